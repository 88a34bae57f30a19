#include "domain/backup_plan.h"

const struct mg_backup_plan mg_backup_plans[] = {
#define BACKUP_PLAN(id, keyword, full, differential, log, window, keep, destroy, rpo, rto, drill, english, \
                    japanese)                                                                              \
    {.name = (keyword),                                                                                    \
     .full_ms = INT64_C(1000) * (full),                                                                    \
     .differential_ms = INT64_C(1000) * (differential),                                                    \
     .log_ms = INT64_C(1000) * (log),                                                                      \
     .window_ms = INT64_C(1000) * (window),                                                                \
     .keep_ms = INT64_C(1000) * (keep),                                                                    \
     .destroy_ms = INT64_C(1000) * (destroy),                                                              \
     .rpo_ms = INT64_C(1000) * (rpo),                                                                      \
     .rto_ms = INT64_C(1000) * (rto),                                                                      \
     .drill_ms = INT64_C(1000) * (drill),                                                                  \
     .en = (english),                                                                                      \
     .ja = (japanese)},
#include "../../catalogue/backup_plans.def"
};
const size_t mg_backup_plan_count = MG_COUNT(mg_backup_plans);

const struct mg_backup_plan *
mg_backup_plan_named(struct mg_view name)
{
    for (size_t i = 0; i < MG_COUNT(mg_backup_plans); i++)
        if (mg_view_is(name, mg_backup_plans[i].name))
            return &mg_backup_plans[i];
    return NULL;
}

const char *
mg_backup_kind_name(enum mg_backup_kind kind)
{
    return kind == MG_BACKUP_FULL ? "full" : kind == MG_BACKUP_DIFFERENTIAL ? "differential" : "";
}

/* The newest of a kind (NONE: of any), or NULL. */
static const struct mg_backup *
newest(const struct mg_backup *backups, size_t count, enum mg_backup_kind kind)
{
    for (size_t i = count; i > 0; i--)
        if (kind == MG_BACKUP_NONE || backups[i - 1].kind == kind)
            return &backups[i - 1];
    return NULL;
}

/* A backup from the future (the clock was set back) counts as old: better one too many. */
static bool
is_older(mg_instant at, int64_t age_ms, mg_instant now)
{
    return at > now || now - at >= age_ms;
}

enum mg_backup_kind
mg_backup_due(const struct mg_backup_plan *plan, const struct mg_backup *backups, size_t count,
              mg_instant begin_at, mg_instant now)
{
    const struct mg_backup *full = newest(backups, count, MG_BACKUP_FULL);
    if (full == NULL)
        return now >= begin_at ? MG_BACKUP_FULL : MG_BACKUP_NONE;
    if (is_older(full->started_at, plan->full_ms, now))
        return MG_BACKUP_FULL;
    if (plan->differential_ms == 0)
        return MG_BACKUP_NONE;
    const struct mg_backup *any = newest(backups, count, MG_BACKUP_NONE);
    return is_older(any->started_at, plan->differential_ms, now) ? MG_BACKUP_DIFFERENTIAL : MG_BACKUP_NONE;
}

/* The full backup after `at`, or NULL. */
static const struct mg_backup *
full_after(const struct mg_backup *backups, size_t count, size_t at)
{
    for (size_t i = at + 1; i < count; i++)
        if (backups[i].kind == MG_BACKUP_FULL)
            return &backups[i];
    return NULL;
}

int
mg_backup_expired(const struct mg_backup_plan *plan, const struct mg_backup *backups, size_t count,
                  mg_instant now)
{
    for (size_t i = 0; i < count; i++) {
        if (backups[i].kind != MG_BACKUP_FULL)
            continue;
        const struct mg_backup *next = full_after(backups, count, i);
        if (next == NULL)
            return -1;
        const bool too_old = plan->destroy_ms != 0 && now >= backups[i].started_at &&
                             now - backups[i].started_at >= plan->destroy_ms;
        /* Up to the end of the next one, this one is the way. */
        const bool needed = next->stopped_at > now || now - next->stopped_at < plan->keep_ms;
        if (too_old || (!needed && plan->destroy_ms == 0))
            return (int) i;
    }
    return -1;
}

size_t
mg_backup_full_with_log(const struct mg_backup_plan *plan, const struct mg_backup *backups, size_t count,
                        mg_instant now)
{
    size_t with_log = 0;
    for (size_t i = 0; i < count; i++) {
        if (backups[i].kind != MG_BACKUP_FULL)
            continue;
        const struct mg_backup *next = full_after(backups, count, i);
        if (next == NULL || next->stopped_at > now || now - next->stopped_at < plan->window_ms)
            with_log++;
    }
    return with_log;
}
