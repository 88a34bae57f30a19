/* The warden: the first process. It reads the configuration, lays out the directories, starts the
 * other processes, wires them in pairs and starts again what stops. It parses nothing from outside. */
#ifndef MG_PROCESS_WARDEN_H
#define MG_PROCESS_WARDEN_H

#include "ports/configuration.h"
#include "wire/events.h"

#include <sys/types.h>

struct warden {
    struct mg_options *options;
    struct mg_deployment deployment;
    char program_directory[512]; /* where masugata-<process> are */
    mg_instant started_at;
    bool single_uid; /* not root: every process has our uid */
    bool stop_asked;
    int epoll_fd;
};

/* layout.c: uids and directories */
CHECKED struct mg_status warden_identity(enum mg_process process, uid_t *ret_uid, gid_t *ret_gid);
/* Supplementary groups: the databases' for who uses their sockets, the gate's for who looks at the
 * applications as nginx does. */
#define WARDEN_GROUPS 2
CHECKED struct mg_status warden_groups(enum mg_process process, gid_t groups[WARDEN_GROUPS],
                                       size_t *ret_count);
CHECKED struct mg_status warden_layout(const struct warden *warden);
/* After an orderly stop: keys, credentials and tables in clear on tmpfs must not outlive us. All of
 * it is made anew at the next start, as after a reboot. */
CHECKED struct mg_status warden_layout_clear(const struct warden *warden);

/* children.c */
CHECKED struct mg_status children_start(struct warden *warden);
/* True if the event belonged to a child. */
bool children_event(struct warden *warden, const void *token);
/* Takes note of every process that ended, ours and inherited ones. */
void children_reap(struct warden *warden);
/* Starts what is due; returns milliseconds until the next due start, at most 1000. */
int children_tick(struct warden *warden);
/* Stops in order, each group at most its time. */
void children_stop(struct warden *warden);
CHECKED struct mg_status children_describe(struct mg_buffer *list);

/* For the audit log; kept while audit is away. Texts are copied, and cut to what an event holds. */
struct warden_record {
    enum mg_event event;
    const char *operator_id; /* "uid:0"; NULL: the warden itself */
    const char *target, *reason;
    struct mg_view before, now; /* details, where there are any */
};
void children_record(const struct warden_record *record);
/* True while audit has not taken all of them. */
bool children_records_wait(void);

/* known.c: records the options that changed since the last start, and keeps the new ones once they are
 * recorded. */
void known_compare(const struct warden *warden);
void known_settle(const struct warden *warden);

/* control.c: RUN/warden.sock for `masugata status` and `down` */
CHECKED struct mg_status control_open(struct warden *warden);
bool control_event(struct warden *warden, const void *token);
CHECKED struct mg_status warden_status_reply(const struct warden *warden, uint64_t call_id,
                                             struct mg_buffer *packet);

#endif
