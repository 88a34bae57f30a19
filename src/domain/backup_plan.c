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

bool
mg_backup_label_is_valid(struct mg_view label)
{
    static const char allowed[] = "0123456789-_FD";
    for (size_t i = 0; i < label.length; i++)
        if (label.bytes[i] == '\0' || strchr(allowed, label.bytes[i]) == NULL)
            return false;
    return label.length != 0 && label.length < MG_BACKUP_LABEL;
}

/* The newest of a kind (NONE: of any) that is not from the future, or NULL: after the clock was set back,
 * what it made before says nothing of when the next is due. */
static const struct mg_backup *
newest(const struct mg_backup *backups, size_t count, enum mg_backup_kind kind, mg_instant now)
{
    for (size_t i = count; i > 0; i--)
        if ((kind == MG_BACKUP_NONE || backups[i - 1].kind == kind) && backups[i - 1].started_at <= now)
            return &backups[i - 1];
    return NULL;
}

/* Control: BACKUP_02, BACKUP_07 */
enum mg_backup_kind
mg_backup_due(const struct mg_backup_plan *plan, const struct mg_backup *backups, size_t count,
              mg_instant begin_at, mg_instant now)
{
    const struct mg_backup *full = newest(backups, count, MG_BACKUP_FULL, now);
    if (full == NULL)
        return count != 0 || now >= begin_at ? MG_BACKUP_FULL : MG_BACKUP_NONE;
    if (now - full->started_at >= plan->full_ms)
        return MG_BACKUP_FULL;
    if (plan->differential_ms == 0)
        return MG_BACKUP_NONE;
    const struct mg_backup *any = newest(backups, count, MG_BACKUP_NONE, now);
    return any != NULL && now - any->started_at >= plan->differential_ms ? MG_BACKUP_DIFFERENTIAL
                                                                         : MG_BACKUP_NONE;
}

/* The whole full backup after `at`, or NULL. A damaged one is no way to any moment, so it stands for none
 * before it. */
static const struct mg_backup *
full_after(const struct mg_backup *backups, size_t count, size_t at)
{
    for (size_t i = at + 1; i < count; i++)
        if (backups[i].kind == MG_BACKUP_FULL && !backups[i].damaged)
            return &backups[i];
    return NULL;
}

/* May this full backup go? */
static bool
is_expired(const struct mg_backup_plan *plan, const struct mg_backup *backups, size_t count, size_t at,
           mg_instant now)
{
    const struct mg_backup *next = full_after(backups, count, at);
    if (next == NULL)
        return false;
    const bool too_old = plan->destroy_ms != 0 && now >= backups[at].started_at &&
                         now - backups[at].started_at >= plan->destroy_ms;
    /* Up to the end of the next one, this one is the way. */
    const bool needed = next->stopped_at > now || now - next->stopped_at < plan->keep_ms;
    return too_old || (!needed && plan->destroy_ms == 0);
}

/* Control: BACKUP_05, BACKUP_06 */
int
mg_backup_expired(const struct mg_backup_rule *rule, const struct mg_backup *backups, size_t count,
                  mg_instant now)
{
    for (size_t i = 0; i < count && rule->keeps != NULL && rule->wanted != NULL; i++)
        if (backups[i].kind == MG_BACKUP_FULL && is_expired(rule->keeps, backups, count, i, now) &&
            is_expired(rule->wanted, backups, count, i, now))
            return (int) i;
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

/* ---- another plan ---- */

static bool
keeps_less(const struct mg_backup_plan *plan, const struct mg_backup_plan *than)
{
    return plan->keep_ms < than->keep_ms || plan->window_ms < than->window_ms ||
           (plan->destroy_ms != 0 && (than->destroy_ms == 0 || plan->destroy_ms < than->destroy_ms));
}

const struct mg_backup_plan *
mg_backup_plan_longest(void)
{
    const struct mg_backup_plan *longest = &mg_backup_plans[0];
    for (size_t i = 1; i < MG_COUNT(mg_backup_plans); i++)
        if (mg_backup_plans[i].destroy_ms == 0 && mg_backup_plans[i].keep_ms > longest->keep_ms)
            longest = &mg_backup_plans[i];
    return longest;
}

bool
mg_backup_rule_follow(struct mg_backup_rule *rule, const struct mg_backup_plan *wanted, int64_t grace_ms,
                      mg_instant now)
{
    const struct mg_backup_rule before = *rule;
    if (rule->keeps == NULL || !keeps_less(wanted, rule->keeps)) {
        *rule = (struct mg_backup_rule){.keeps = wanted, .wanted = wanted};
        return before.keeps != wanted || before.wanted != wanted;
    }
    if (rule->wanted != wanted || rule->since > now) /* the clock was set back: the time begins anew */
        *rule = (struct mg_backup_rule){.keeps = rule->keeps, .wanted = wanted, .since = now};
    if (now - rule->since >= grace_ms)
        *rule = (struct mg_backup_rule){.keeps = wanted, .wanted = wanted};
    return before.keeps != rule->keeps || before.wanted != rule->wanted || before.since != rule->since;
}
