/* Backups of the instances: what is known of each, what is due, what was asked for.
 *
 * The truth about backups is the repository: after a start it is read, and nothing of it is kept beside. So a
 * worker, a launcher or a pgBackRest that was killed loses only the backup it was taking, which is due again.
 */
#ifndef MG_WORKER_BACKUP_H
#define MG_WORKER_BACKUP_H

#include "domain/backup_order.h"
#include "ports/backup_info.h"
#include "ports/pgbackrest.h"
#include "process/worker/worker.h"

struct backup {
    struct record *record;
    /* Held for moments; guards everything below. Whoever set `busy` may work without it on what is marked
     * (busy): these change under both. */
    pthread_mutex_t lock;
    bool busy;
    char plan[32];       /* of the tenant; "": the deployment's */
    unsigned log_s;      /* archive_timeout that the instance was started with; 0: none yet */
    mg_instant begin_at; /* the first backup, when there is none */
    int64_t prepared_ms; /* (busy) monotonic; when pgBackRest was last given its configuration; 0 never */
    int64_t looked_ms, tidied_ms; /* (busy) monotonic */
    int64_t retry_ms;             /* (busy) monotonic: left alone until then */
    unsigned failures;            /* (busy) in a row */
    bool known;                   /* (busy) `info` is of the repository */
    struct mg_backup_info info;   /* (busy) */
    mg_instant log_at;            /* the last piece of the transaction log that was saved */
    enum mg_backup_trouble trouble, log_trouble;
    char detail[256];
    /* The last order. */
    enum mg_backup_order order;
    uint64_t number;
    bool waiting, running, failed;
    char result[256];
};

/* The one of an instance, made when first asked for; never freed. OUT_OF_MEMORY. */
CHECKED struct mg_status backup_of(struct record *record, struct backup **ret_backup);
/* With the lock held. Never NULL. */
const struct mg_backup_plan *backup_plan(const struct backup *backup);
/* archive_timeout of an instance by its plan. */
unsigned backup_log_s(struct record *record);

/* One run of pgBackRest by the launcher. `number` as in catalogue/messages.def. */
CHECKED struct mg_status backup_verb(const struct record *record, enum mg_pgbackrest_verb verb,
                                     const char *label, uint64_t number);
/* Reads the repository anew. */
CHECKED struct mg_status backup_info_look(const struct record *record, struct mg_backup_info *ret_info);

int64_t backup_job(mg_instant now);

#endif
