/* Plans of backups (catalogue/backup_plans.def), and what follows from one: what is due, what may go.
 *
 * Retention has two ends. What is still the way to a moment that was promised stays, whatever else is
 * configured; what is older than the plan's end is destroyed. Between the two lies nothing that a program
 * decides by itself: pgBackRest is told each backup by name (its own expiry is off). */
#ifndef MG_DOMAIN_BACKUP_PLAN_H
#define MG_DOMAIN_BACKUP_PLAN_H

#include "base/bytes.h"
#include "base/time.h"
#include "domain/wal.h"

struct mg_backup_plan {
    const char *name;
    int64_t full_ms, differential_ms; /* between two of the kind; 0: none */
    int64_t log_ms;                   /* until the transaction log is saved */
    int64_t window_ms;                /* any moment of the last so long can be restored */
    int64_t keep_ms, destroy_ms;      /* destroy_ms 0: no end */
    int64_t rpo_ms, rto_ms, drill_ms;
    const char *en, *ja;
};
extern const struct mg_backup_plan mg_backup_plans[];
extern const size_t mg_backup_plan_count;
/* NULL if there is none of that name. */
const struct mg_backup_plan *mg_backup_plan_named(struct mg_view name);

enum mg_backup_kind { MG_BACKUP_NONE = 0, MG_BACKUP_FULL, MG_BACKUP_DIFFERENTIAL };
/* "full", "differential"; "" for NONE. */
const char *mg_backup_kind_name(enum mg_backup_kind kind);

#define MG_BACKUP_LABEL 40 /* "20261122-183811F_20261122-183813D" */
struct mg_backup {
    char label[MG_BACKUP_LABEL];
    enum mg_backup_kind kind;
    mg_instant started_at, stopped_at;
    char wal_start[MG_WAL_NAME], wal_stop[MG_WAL_NAME];
    uint64_t database_bytes, repository_bytes; /* the database's size; what this one added */
    bool damaged;                              /* pages failed their checksums while it was taken */
};

/* Digits, '-', '_', 'F' and 'D': it becomes an argument of a program. */
bool mg_backup_label_is_valid(struct mg_view label);

/* What to take now. `backups` oldest first; `begin_at`: before it nothing is due for an instance without any,
 * so that many new ones do not begin at once. Those from the future (the clock was set back) do not count. */
enum mg_backup_kind mg_backup_due(const struct mg_backup_plan *plan, const struct mg_backup *backups,
                                  size_t count, mg_instant begin_at, mg_instant now);

/* By which plans backups are destroyed: what one of the two keeps stays. NULL: not known, nothing goes.
 * They differ while a plan that keeps less is not yet believed: a word in a file, or an operator's slip, must
 * not destroy within a minute what nobody can bring back. */
struct mg_backup_rule {
    const struct mg_backup_plan *keeps, *wanted;
    mg_instant since; /* that `wanted` is wanted, while it keeps less than `keeps` */
};
/* Another plan is wanted; one that keeps less counts once it was wanted for `grace_ms`. True if the rule is
 * another now. */
bool mg_backup_rule_follow(struct mg_backup_rule *rule, const struct mg_backup_plan *wanted, int64_t grace_ms,
                           mg_instant now);
/* The one that keeps backups longest: for an instance whose plan is not known. */
const struct mg_backup_plan *mg_backup_plan_longest(void);

/* The next backup that may be destroyed: the index of a full one (its differential ones go with it), or -1.
 * The newest full backup never is, and only a whole one makes an older one needless. */
int mg_backup_expired(const struct mg_backup_rule *rule, const struct mg_backup *backups, size_t count,
                      mg_instant now);

/* How many of the newest full backups need the transaction log from their beginning on: older ones can be
 * restored as they were when they ended. At least 1 if there is any. */
size_t mg_backup_full_with_log(const struct mg_backup_plan *plan, const struct mg_backup *backups,
                               size_t count, mg_instant now);

#endif
