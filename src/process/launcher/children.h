/* The programs that run for us: started, watched, started again with a bounded back-off, found again
 * by the next launcher if this one is killed.
 *
 * Databases, nginx and applications must outlive a dead launcher: they are not tied to it
 * (no PR_SET_PDEATHSIG). The request that asked for a child and the pid it got lie in RUN/launcher;
 * the next launcher reads both and takes over what still runs, so nothing is lost and nothing runs
 * twice. */
#ifndef MG_LAUNCHER_CHILDREN_H
#define MG_LAUNCHER_CHILDREN_H

#include "ports/program.h"
#include "wire/messages.h"

#define CHILD_NAME 64

struct child_kind;

/* What a kind of program knows how to do. `request` is the encoded form of what was asked; all
 * functions may be called from several threads for different children. */
struct child_kind {
    const char *label;      /* file name prefix: "postgres", "nginx", "application" */
    bool restart_on_change; /* another request means other arguments */
    /* Forks and executes; does not wait until it serves. pid_fd: where the child writes its pid. */
    CHECKED struct mg_status (*start)(struct mg_view request, int pid_fd, struct mg_process_mark *ret_mark);
    /* Is this process really that child? */
    bool (*is_it)(struct mg_view request, pid_t pid);
    /* Ends it cleanly; the mark is alive. */
    CHECKED struct mg_status (*stop)(struct mg_view request, const struct mg_process_mark *mark);
};

/* The directory, the kinds, and the thread that watches. Children of an earlier launcher are found. */
CHECKED struct mg_status children_open(const char *runtime_directory, const struct child_kind *const *kinds,
                                       size_t kind_count);

/* It shall run from now on, by this request; one that runs already is left alone. *ret_mark is the
 * running process. */
CHECKED struct mg_status child_run(const struct child_kind *kind, const char *name, struct mg_view request,
                                   struct mg_process_mark *ret_mark);
/* It shall not run any more; OK if there is none. */
CHECKED struct mg_status child_stop(const struct child_kind *kind, const char *name);
/* It ends, and is started again after hold_ms, or at once when child_hurry asks; that death was meant and
 * does not count as flapping. NOT_FOUND if it does not run. */
CHECKED struct mg_status child_interrupt(const struct child_kind *kind, const char *name, int64_t hold_ms);
void child_hurry(const struct child_kind *kind, const char *name);
/* The name of the child whose request `is_it` takes; NOT_FOUND. */
CHECKED struct mg_status child_find_request(const struct child_kind *kind,
                                            bool (*is_it)(struct mg_view request), char name[CHILD_NAME / 2]);
/* The running process, NOT_FOUND if it does not run. */
CHECKED struct mg_status child_mark(const struct child_kind *kind, const char *name,
                                    struct mg_process_mark *ret_mark);

/* In an orderly end: everything, applications and nginx before databases. */
void children_stop_all(void);

CHECKED struct mg_status children_list(uint64_t from, struct mg_buffer *list);

/* For `prepare` of a program: writes our pid into the descriptor and confines us. */
struct child_preparation {
    int pid_fd, rules_fd;
};
bool child_prepare(void *preparation);

#endif
