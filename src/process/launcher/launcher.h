/* The launcher: the one process of ours that is not sealed, because it must start PostgreSQL, nginx
 * and the example applications under their own uids. It parses nothing from outside; argument lists
 * are fixed, and each program is confined to its own directories before it runs. */
#ifndef MG_LAUNCHER_H
#define MG_LAUNCHER_H

#include "ports/pgbackrest.h"
#include "ports/postgres_instance.h"
#include "process/launcher/children.h"
#include "process/runtime/runtime.h"

/* Who is who on this machine, found once at start. */
struct places {
    bool root; /* false: one uid for everything */
    uid_t database_uid;
    gid_t database_gid;     /* its members reach the instances' sockets */
    gid_t gate_gid;         /* nginx workers */
    gid_t prober_gid;       /* reads the logs */
    uid_t worker_uid;       /* whose lists we read */
    gid_t worker_gid;       /* reads what pgBackRest tells */
    char programs[MG_PATH]; /* where our own programs lie */
};
extern struct places places;
CHECKED struct mg_status places_find(void);
/* MG_SAME_UID unless root. */
uid_t application_uid(uint64_t tenant);
/* A number that comes in a message must not become the uid of somebody else: INVALID for 0, for one
 * that no deployment reaches, and for one whose application would be "nobody". */
CHECKED struct mg_status tenant_check(uint64_t tenant);

extern const struct child_kind postgres_kind, nginx_kind, application_kind;

/* What every program may read and run. */
#define CONFINE_SYSTEM                                                                               \
    {"/usr", CONFINE_READ | CONFINE_EXECUTE}, {"/lib", CONFINE_READ | CONFINE_EXECUTE},              \
        {"/lib64", CONFINE_READ | CONFINE_EXECUTE}, {"/etc", CONFINE_READ}, {"/proc", CONFINE_READ}, \
        {"/sys/devices/system/cpu", CONFINE_READ}, {"/dev/null", CONFINE_READ | CONFINE_WRITE},      \
    {                                                                                                \
        "/dev/urandom", CONFINE_READ                                                                 \
    }

/* True if the remembered request of an application names this one. */
bool application_is(struct mg_view request, const char *name);
/* RUN/app/TENANT and what is in it, made if missing. */
CHECKED struct mg_status application_directories(uint64_t tenant);
/* "example:NAME" is an application that we start. */
bool application_is_ours(struct mg_view upstream);
/* Starts it; the upstream for nginx is written to `ret_upstream`. */
CHECKED struct mg_status application_ensure(uint64_t tenant, struct mg_view upstream, const char *issuer,
                                            const char *audience, char ret_upstream[MG_PATH]);
/* Where the backups of an instance are, and the directories of that, made if missing (backup.c). */
CHECKED struct mg_status backup_layout(const char *name, struct mg_pgbackrest *ret_layout);
CHECKED struct mg_status backup_directories(const struct mg_pgbackrest *layout);
/* INVALID unless the name is that of the tenant's instance ("control" of tenant 0). */
CHECKED struct mg_status backup_layout_of(struct mg_view name, uint64_t tenant,
                                          struct mg_pgbackrest *ret_layout);
/* DIR/backup/back/NAME: what came out of the vault for the copy of that name, while there is one (vault.c).
 */
CHECKED struct mg_status vault_back_path(const char *name, char path[MG_PATH]);
/* DISK_FULL unless the disk has so much and a spare 256 MiB. */
CHECKED struct mg_status room_check(const char *path, const char *name, uint64_t needed_bytes);
/* Makes a directory or corrects it; "same" ids leave the owner. */
CHECKED struct mg_status owned_directory(const char *path, mode_t mode, uid_t uid, gid_t gid);
/* An append-only log. */
CHECKED struct mg_status log_open(const char *path, uid_t uid, gid_t gid, int *ret_fd);
/* Every second: keeps every log of the deployment below a bound (logs.c). */
void logs_tick(mg_instant now);

#endif
