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

/* What is done for an instance, each kind by threads of its own, so that none waits for another's long work.
 */
enum backup_turn {
    BACKUP_QUICK,   /* its configuration, its stanza, a look at the log */
    BACKUP_LONG,    /* backups, checks, drills */
    BACKUP_RESTORE, /* a copy is asked for, or ends */
    BACKUP_TURNS
};

/* Where an instance's data comes to lie. */
enum backup_place { BACKUP_PLACE_NEAR, BACKUP_PLACE_VAULT, BACKUP_PLACE_HERE, BACKUP_PLACES };

struct backup {
    struct record *record;
    /* Held for moments; guards everything below. Whoever set `busy` may work without it on what is marked
     * (busy): these change under both. */
    pthread_mutex_t lock;
    bool busy;
    struct mg_backup_rule rule;       /* by which plans; .wanted NULL: none was ever known */
    bool plan_confirmed;              /* since the start: without that nothing is destroyed */
    char plan_strange[32];            /* the authority names a plan that there is none of; "" */
    bool outside[BACKUP_PLACES];      /* of the residency: nothing goes there (residency.c) */
    bool outside_told[BACKUP_PLACES]; /* of these there is a record */
    bool outside_kept;                /* and they are kept for the next start */
    unsigned log_s;                   /* archive_timeout that the instance was started with; 0: none yet */
    mg_instant begin_at;              /* the first backup, when there is none */
    int64_t prepared_ms; /* (busy) monotonic; when pgBackRest was last given its configuration; 0 never */
    int64_t looked_ms;   /* monotonic */
    int64_t tidied_ms;   /* (busy) monotonic */
    bool followed;       /* (busy) the inventory has what was made until the last stop */
    /* How the last turn of each kind ended. */
    struct {
        int64_t retry_ms;  /* monotonic: left alone until then */
        unsigned failures; /* in a row */
        enum mg_backup_trouble trouble;
        char detail[256];
    } ends[BACKUP_TURNS];
    bool known;                 /* (busy) `info` is of the repository */
    struct mg_backup_info info; /* (busy) */
    mg_instant log_at;          /* the last piece of the transaction log that was saved */
    enum mg_backup_trouble log_trouble, inventory_trouble;
    char log_detail[256], inventory_detail[256];
    uint64_t progress; /* of what runs, as it was last asked */
    /* The last check of every byte. */
    enum mg_backup_trouble check_trouble;
    char check_detail[256], chain_from[MG_WAL_NAME];
    mg_instant verified_at;
    uint64_t verified_files, problems;
    bool renew; /* a full backup, so that a new window begins */
    /* Whether all files are encrypted, and under our passphrase alone, as the launcher saw it at that check.
     */
    struct {
        mg_instant at;
        uint64_t files, plain;
        char first[256];
        bool own_key_opens, other_key_opens;
    } sealed;
    /* The copy that was restored beside; password NULL: there is none that we know of. */
    struct {
        char socket[512];
        struct mg_secret *password;
        mg_instant target, reached;
        mg_instant until; /* then it is removed; 0: there is none. Kept in DIR/worker/backup/NAME.copy */
        bool read;        /* (busy) that file was */
    } copy;
    /* The copies at another site (vault.c). Kept in DIR/worker/backup/NAME.vault. */
    struct {
        bool read;    /* that file was */
        bool running; /* a run: one at a time, whoever asked for it */
        char id[33];  /* "": none is known */
        uint64_t generation;
        mg_instant hold_until; /* until then nothing in it is destroyed */
        mg_instant whole_at;   /* everything that was finished until then is in it; 0: never */
        mg_instant since;      /* while it was never whole: when that was first tried */
        bool drilled;          /* the last drill was made from it */
        /* Until a check of it finds nothing, or is accepted: it was found in an older state, or with copies
         * gone; with copies that were changed (check_trouble). */
        bool set_back, gone, changed;
        bool given_up;      /* with `accept`: the vault alone was away, so it is what is accepted as lost */
        uint64_t lost;      /* gone or changed in the near repository before they were copied */
        unsigned lost_runs; /* in a row */
        int64_t next_ms;    /* monotonic */
        unsigned failures;  /* in a row */
        enum mg_backup_trouble trouble, check_trouble;
        char detail[256], check_detail[256];
    } vault;
    /* The last drill; at 0: none. Kept in DIR/worker/backup/NAME.drill. */
    bool drill_read; /* (busy) */
    mg_instant drilled_at;
    bool drill_failed;
    int64_t rto_ms, rpo_ms;
    char drill_detail[256];
    /* The last order. */
    enum mg_backup_order order;
    mg_instant target; /* of a restore */
    int64_t asked_ms;  /* monotonic */
    uint64_t number;
    bool waiting, running;
    enum mg_code failure;
    char result[256];
};

/* The one of an instance, made when first asked for; never freed. OUT_OF_MEMORY. */
CHECKED struct mg_status backup_of(struct record *record, struct backup **ret_backup);

/* ---- backup_file.c ---- */
CHECKED struct mg_status backup_file_path(const char *name, const char *suffix, char path[MG_PATH]);
/* `count` numbers after `start`, then the end of the line; `rest` borrows. */
CHECKED struct mg_status backup_file_numbers(const char *text, const char *start, uint64_t *numbers,
                                             size_t count, const char **ret_rest);

/* ---- backup_plans.c ---- */
/* What was known at the last start; of one that is just made. */
void backup_rule_read(struct backup *backup);
/* Asks the authority, now and then. */
void backup_plans_follow(void);
/* With the lock held. Never NULL. */
const struct mg_backup_plan *backup_plan(const struct backup *backup);
/* archive_timeout of an instance by its plan. */
unsigned backup_log_s(struct record *record);
/* The near repository lies outside of the residency: no log goes there. */
bool backup_log_is_refused(struct record *record);

/* ---- backup.c ---- */

/* A moment of its own within `most_ms`, the same after every start. */
int64_t backup_moment_of(const char *name, int64_t most_ms);

/* One run of pgBackRest by the launcher. `number` as in catalogue/messages.def. */
CHECKED struct mg_status backup_verb(const struct record *record, enum mg_pgbackrest_verb verb,
                                     const char *label, uint64_t number);
/* Reads the repository anew (INFO, or PROGRESS). */
CHECKED struct mg_status backup_info_look(const struct record *record, enum mg_pgbackrest_verb verb,
                                          struct mg_backup_info *ret_info);

/* `busy`. Takes up into the inventory what is new; that it does not work is kept and told. */
void backup_inventory_follow(struct backup *backup);
/* With the lock held: what the plan no longer needs may go. */
bool backup_may_destroy(const struct backup *backup);

#define RESTORE_ROLE "masugata_look" /* in a copy alone; reads everything */

/* ---- restore.c ---- (all: `busy`) */

/* A commit now, saved in the repository when it returns: every moment until now can be restored. Only while
 * the database serves. *ret_took_ms: how long saving took. */
CHECKED struct mg_status restore_mark(struct backup *backup, int64_t *ret_took_ms);
/* The copy, promoted at `target` (`reached`: its last change). `socket` is where. */
CHECKED struct mg_status restore_make(struct backup *backup, enum mg_restore_kind kind, bool from_vault,
                                      mg_instant target, char socket[512], mg_instant *ret_reached);
CHECKED struct mg_status restore_remove(const struct backup *backup, enum mg_restore_kind kind);
/* As the superuser: to databases of ours alone (postgres; the control database). */
CHECKED struct mg_status restore_open(const struct backup *backup, const char *socket, const char *database,
                                      struct mg_database **ret_database);
/* The database of a copy that holds its data. */
const char *restore_database(const struct backup *backup);
/* In a copy: the login RESTORE_ROLE, which reads everything, rows behind policies too, and can do nothing
 * else. */
CHECKED struct mg_status restore_reader_make(const struct backup *backup, const char *socket,
                                             const char *password);
/* With the lock held: what can be restored begins here; 0: nothing. */
mg_instant backup_window_from(const struct backup *backup);
CHECKED struct mg_status restore_order(struct backup *backup, bool from_vault);
CHECKED struct mg_status restore_discard(struct backup *backup);
/* What was kept of a copy at the last stop. */
void restore_copy_read(struct backup *backup);
/* Does the database serve? Without it there is no new end of the log, but what was saved can be restored. */
bool backup_is_serving(const struct backup *backup);

/* ---- backup_log.c ---- */
/* Is the log being saved? What is found is kept; the instance is given another plan's configuration. */
void backup_log_look(struct backup *backup);

/* ---- backup_requests.c ---- */
/* Of a tenant (0: the control instance). NOT_FOUND. */
CHECKED struct mg_status backup_find(uint64_t tenant, struct backup **ret_backup);

/* ---- backup_facts.c ---- (`busy`) */
/* Are the files encrypted? What is found is kept; a look that failed keeps what the one before found, which
 * grows old. */
void backup_sealed_look(struct backup *backup);

/* ---- restore_drill.c ---- (`busy`) */
/* A row in a table of ours, so that a copy can be told from another. */
CHECKED struct mg_status marker_put(struct backup *backup);
CHECKED struct mg_status drill_run(struct backup *backup);
CHECKED struct mg_status drill_read(struct backup *backup);
/* With the lock held. */
bool drill_is_due(const struct backup *backup, mg_instant now);

/* ---- residency.c ---- */
/* What was known at the last start; of one that is just made. */
void residency_read(struct backup *backup);
/* Adds the places that are outside of this list. */
void residency_judge(const char *residency, bool outside[BACKUP_PLACES]);
/* The authority has spoken. */
void residency_follow(struct backup *backup, const bool outside[BACKUP_PLACES]);
/* It has spoken of a part: what was outside stays outside. */
void residency_widen(struct backup *backup, bool outside[BACKUP_PLACES]);
/* REFUSED: nothing may be stored there. */
CHECKED struct mg_status residency_demand(struct backup *backup, enum backup_place place);
/* With the lock held: the site of one that is outside; NULL if none is. */
const char *residency_outside(const struct backup *backup);

/* ---- vault.c ---- */
bool vault_is_there(void); /* backup.vault.path */
/* `busy`. Before a loss is accepted: from now on, and over a crash, nothing is destroyed in the vault for as
 * long as the plan keeps a backup. */
CHECKED struct mg_status vault_hold(struct backup *backup);
/* `busy`. Every byte in the vault; what is wrong is a finding. `accept` (after vault_hold): what was lost
 * there is known.
 */
void vault_verify(struct backup *backup, bool accept);
/* `busy`. A repository for this copy, out of the vault, with what can still be copied there. */
CHECKED struct mg_status vault_fetch(struct backup *backup, enum mg_restore_kind kind);
/* `busy`. Where the next drill restores from: here and there in turn. */
bool vault_drill_turn(const struct backup *backup);
CHECKED struct mg_status vault_drill_keep(struct backup *backup, bool from_vault);
/* With the lock held: how far it is behind, -1 if it was never whole. */
int64_t vault_behind_ms(const struct backup *backup, mg_instant now);
int64_t vault_job(mg_instant now);

/* One of each kind of turn for every instance that it is due for. */
int64_t backup_job(mg_instant now);
int64_t backup_quick_job(mg_instant now);
int64_t restore_job(mg_instant now);

#endif
