/* Which plan an instance has: what the authority says, and what was said last, kept for the next start. Until
 * the authority has spoken since the start nothing is destroyed: what we remember may be long past.
 *
 * DIR/worker/backup/NAME.plan: "masugata-plan 1 KEEPS WANTED SINCE" (struct mg_backup_rule). */
#include "process/worker/backup.h"

#include "base/io.h"
#include "base/log.h"
#include "domain/site.h"

#include <inttypes.h>
#include <stdio.h>

enum { PLANS_MS = 3000 }; /* answered from memory */

/* ---- kept for the next start ---- */

/* The next word of a line, and what comes after it. */
static struct mg_view
word_next(const char **text)
{
    const char *start = *text;
    const size_t length = strcspn(start, " \n");
    *text = start + length + (start[length] != '\0');
    return mg_view_of(start, length);
}

static CHECKED struct mg_status
rule_parse(const char *text, struct mg_backup_rule *rule)
{
    static const char start[] = "masugata-plan 1 ";
    uint64_t since;
    if (strncmp(text, start, sizeof start - 1) != 0)
        return fail(MALFORMED);
    text += sizeof start - 1;
    const struct mg_backup_plan *keeps = mg_backup_plan_named(word_next(&text));
    const struct mg_backup_plan *wanted = mg_backup_plan_named(word_next(&text));
    TRY(mg_parse_u64(word_next(&text), INT64_MAX, &since));
    if (keeps == NULL || wanted == NULL)
        return fail(MALFORMED);
    *rule = (struct mg_backup_rule){.keeps = keeps, .wanted = wanted, .since = (mg_instant) since};
    return OK;
}

void
backup_rule_read(struct backup *backup)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 256);
    struct mg_status status = backup_file_path(backup->record->name, "plan", path);
    if (mg_ok(status))
        status = mg_file_read(path, &text);
    if (mg_ok(status))
        status = rule_parse(mg_buffer_text(&text), &backup->rule);
    if (mg_ok(status))
        return;
    /* We do not know how long it was to be kept: as long as any plan says, until the present one was wanted
     * for the time of grace. */
    backup->rule = (struct mg_backup_rule){.keeps = mg_backup_plan_longest()};
    if (status.code != MG_NOT_FOUND)
        mg_log_status(MG_WARNING, "the plan of backups that was kept", status);
}

/* With the lock held. */
static void
rule_keep(const struct backup *backup)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 256);
    struct mg_status status = backup_file_path(backup->record->name, "plan", path);
    if (mg_ok(status))
        status = mg_buffer_format(&text, "masugata-plan 1 %s %s %" PRId64 "\n", backup->rule.keeps->name,
                                  backup->rule.wanted->name, backup->rule.since);
    if (mg_ok(status))
        status = mg_file_replace(path, mg_buffer_view(&text), 0600);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "plan of backups", status);
}

/* ---- what is known ---- */

static const struct mg_backup_plan *
deployment_plan(void)
{
    const struct mg_backup_plan *plan =
        mg_backup_plan_named(mg_view_text(mg_environment()->options->backup_plan));
    mg_must(plan != NULL); /* the option is a choice of the same rows */
    return plan;
}

const struct mg_backup_plan *
backup_plan(const struct backup *backup)
{
    return backup->rule.wanted != NULL ? backup->rule.wanted : deployment_plan();
}

unsigned
backup_log_s(struct record *record)
{
    struct backup *backup = NULL;
    if (!mg_ok(backup_of(record, &backup)))
        return (unsigned) (deployment_plan()->log_ms / 1000);
    (void) pthread_mutex_lock(&backup->lock);
    const unsigned log_s = (unsigned) (backup_plan(backup)->log_ms / 1000);
    backup->log_s = log_s;
    (void) pthread_mutex_unlock(&backup->lock);
    return log_s;
}

bool
backup_log_is_refused(struct record *record)
{
    struct backup *backup = NULL;
    return mg_ok(backup_of(record, &backup)) && !mg_ok(residency_demand(backup, BACKUP_PLACE_NEAR));
}

/* With the lock held. A word that we do not know (of a newer version, or of a hand) says nothing. */
static void
plan_follow(struct backup *backup, struct mg_view word)
{
    const struct mg_backup_plan *wanted = word.length == 0 ? deployment_plan() : mg_backup_plan_named(word);
    backup->plan_confirmed = wanted != NULL;
    backup->plan_strange[0] = '\0';
    if (wanted == NULL) {
        if (!mg_ok(mg_view_copy(word, backup->plan_strange, sizeof backup->plan_strange)))
            (void) snprintf(backup->plan_strange, sizeof backup->plan_strange, "?");
    } else if (mg_backup_rule_follow(&backup->rule, wanted, mg_environment()->options->backup_grace,
                                     mg_now())) {
        rule_keep(backup);
    }
}

/* ---- the plans of the tenants, which the authority knows ---- */

static void
plan_take(const char *name, struct mg_view word, const bool outside[BACKUP_PLACES])
{
    struct record *record = NULL;
    struct backup *backup = NULL;
    if (!mg_ok(record_find(name, &record)) || !mg_ok(backup_of(record, &backup)))
        return;
    residency_follow(backup, outside); /* before anything may go somewhere */
    (void) pthread_mutex_lock(&backup->lock);
    plan_follow(backup, word);
    (void) pthread_mutex_unlock(&backup->lock);
}

/* Of a tenant nothing is known now: what its residency left out stays out, and nothing new is confirmed. */
static CHECKED struct mg_status
plan_widen(const char *name, bool outside[BACKUP_PLACES])
{
    struct record *record = NULL;
    struct backup *backup = NULL;
    TRY(record_find(name, &record));
    TRY(backup_of(record, &backup));
    residency_widen(backup, outside);
    return OK;
}

static CHECKED struct mg_status
plans_read(void)
{
    bool any[BACKUP_PLACES] = {false}; /* Masugata's own database knows something of every tenant */
    bool more = true, unknown = false;
    for (uint64_t after = 0; more;) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_backup_plans reply;
        struct mg_record_backup_plan row;
        TRY(mg_call_backup_plans(&(struct mg_request_backup_plans){.after = after}, &reply, &storage, 5000));
        more = reply.more;
        for (bool another = true;;) {
            TRY(mg_list_next_backup_plan(&reply.plans, &row, &another));
            if (!another)
                break;
            char name[48];
            after = row.tenant;
            unknown = unknown || row.unknown;
            if (row.unknown) /* what was said last holds */
                continue;
            (void) snprintf(name, sizeof name, "tenant-%" PRIu64, row.tenant);
            char residency[MG_RESIDENCY];
            bool outside[BACKUP_PLACES] = {false};
            TRY(mg_view_copy(row.residency, residency, sizeof residency));
            residency_judge(residency, outside);
            residency_judge(residency, any);
            plan_take(name, row.plan, outside);
        }
    }
    if (unknown)
        return plan_widen("control", any);
    plan_take("control", MG_VIEW_EMPTY, any); /* always the deployment's plan */
    return OK;
}

/* By one thread at a time; while the authority is away what it said last holds. */
void
backup_plans_follow(void)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    static int64_t due_ms;
    if (pthread_mutex_trylock(&one_at_a_time) != 0)
        return;
    if (mg_monotonic_ms() >= due_ms) {
        const struct mg_status status = plans_read();
        if (!mg_ok(status))
            mg_log_status(MG_DEBUG, "plans of backups", status);
        due_ms = mg_monotonic_ms() + PLANS_MS;
    }
    (void) pthread_mutex_unlock(&one_at_a_time);
}
