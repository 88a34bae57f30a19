/* The worker: jobs that take time. Tenant instances and their credentials are here; other jobs (mail)
 * are files of their own with a row in the table of main.c.
 *
 * What it knows of an instance lies in DIR/worker/NAME.json, the superuser's password sealed by keys.
 * An app's password is stored nowhere but in the app's own file on tmpfs; sealed, for the moment of a swap.
 */
#ifndef MG_WORKER_H
#define MG_WORKER_H

#include "base/secret.h"
#include "ports/database.h"
#include "process/runtime/runtime.h"
#include "wire/events.h"

#include <pthread.h>

/* A job runs on a thread of its own, again after the milliseconds it returns. */
struct worker_job {
    const char *name;
    int64_t (*run)(mg_instant now);
};

/* ---- record.c: what is known of an instance ---- */

enum record_state { RECORD_PREPARING, RECORD_SERVING, RECORD_FAILED };

struct record {
    char name[48];
    uint64_t tenant; /* 0: the control instance */
    /* Held while an instance is made, opened or rotated; guards everything up to `shown`. */
    pthread_mutex_t lock;
    struct mg_buffer sealed_password; /* of the superuser */
    char active;                      /* 'a' or 'b': whose password the app has; 0 none yet */
    /* A swap under way: the role, and its password as keys sealed it, until the app's file is written. A
     * worker that was killed in the middle finishes with the same password, so that whoever read the file
     * already is not locked out. */
    char pending; /* 0: none */
    struct mg_buffer pending_password;
    mg_instant pending_at;
    mg_instant rotated_at, retire_at; /* retire_at: when the other role ends; 0 it has */
    int64_t retry_ms;                 /* monotonic; after a failure it is left alone until then */
    char socket[512], app_socket[512];
    uint64_t app_uid;
    struct backup *backup; /* backup.h; under a lock of its own */
    /* Copied for others under the table's lock. */
    enum record_state state;
    char system_identifier[32];
    char shown_active;
    mg_instant shown_rotated_at;
};

CHECKED struct mg_status records_load(const char *directory);
/* NOT_FOUND if there is none. Records are never freed. */
CHECKED struct mg_status record_find(const char *name, struct record **ret_record);
/* Finds or makes one in memory; the caller saves it. */
CHECKED struct mg_status record_take(const char *name, uint64_t tenant, struct record **ret_record);
CHECKED struct mg_status record_save(const struct record *record);
/* Makes state, active and rotated_at visible to record_show. */
void record_publish(struct record *record, enum record_state state);
/* Calls `visit` for each, without a lock. */
CHECKED struct mg_status records_visit(struct mg_status (*visit)(struct record *record, void *context),
                                       void *context);
CHECKED struct mg_status record_show(struct record *record, struct mg_buffer *list);

/* ---- instance.c ---- */

#define OWNER_DATABASE "app"
#define CONTROL_DATABASE "masugata"

/* Makes the instance if there is none and starts it; on return it serves. With the lock held. */
CHECKED struct mg_status instance_ensure(struct record *record);
/* Starts it, or gives one that runs its configuration anew. With the lock held. */
CHECKED struct mg_status instance_start(struct record *record);
/* As the superuser. With the lock held. */
CHECKED struct mg_status instance_open(const struct record *record, const char *database,
                                       struct mg_database **ret_database);
/* Durable in the audit log when it returns OK. */
CHECKED struct mg_status worker_record(enum mg_event event, uint64_t tenant, const char *target,
                                       const char *reason);
CHECKED struct mg_status worker_record_details(enum mg_event event, uint64_t tenant, const char *target,
                                               const char *reason, struct mg_view details);
/* A password of this instance, by column ("superuser", "pending"). */
CHECKED struct mg_status password_seal(const struct record *record, const char *column, const char *password,
                                       struct mg_buffer *sealed);
CHECKED struct mg_status password_unseal(const struct record *record, const char *column,
                                         struct mg_view sealed, struct mg_secret **ret_password);
/* 256 random bits as text. */
#define PASSWORD_TEXT 44
void password_make(char password[PASSWORD_TEXT]);

/* ---- roles.c ---- */
CHECKED struct mg_status roles_ensure_tenant(const struct record *record);
CHECKED struct mg_status roles_ensure_control(const struct record *record);
/* May log in from now on with this password, until `until` (0: for ever). */
CHECKED struct mg_status role_open(struct mg_database *database, const char *role, const char *password,
                                   mg_instant until);
/* May not log in any more; its sessions are ended. */
CHECKED struct mg_status role_close(struct mg_database *database, const char *role);

/* ---- credentials.c ---- */
/* Gives the app a new role and password. With the lock held. */
CHECKED struct mg_status credentials_rotate(struct record *record, const char *why);
int64_t credentials_job(mg_instant now);

/* ---- seen.c ---- */
/* Records the starts and stops of PostgreSQL instances, and when nginx or an application is started again. */
int64_t seen_job(mg_instant now);

/* ---- control.c ---- */
/* Our own control instance, or the server of database.url: running and migrated. */
CHECKED struct mg_status control_ensure(void);

#endif
