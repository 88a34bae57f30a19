/* Probes of backups. The worker says what it knows of each instance's (observer.h); whether the log is being
 * saved each database is asked itself; what became of every backup that was ever taken stands in the audit
 * log (backup_kept.c). What lies in the repository the worker's checks read byte by byte: a check that was
 * not made counts as one that failed. */
#include "probes/backup.h"

#include "ports/pgbackrest.h"
#include "probes/instances.h"
#include "wire/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
enum {
    FRESH_MS = 600000, /* a first backup, check or drill may take so long */
    CLOCK_MS = 60000,
    ANSWER_MOST = 16384,
};

/* ---- whose backups ---- */

/* `selects` NULL: every plan. */
static CHECKED struct mg_status
each_instance(struct mg_observer *observer, struct mg_finding *finding,
              bool (*selects)(const struct mg_backup_plan *plan),
              struct mg_status (*look)(const struct mg_backup_subject *subject, bool *ret_seen))
{
    OWN_INSTANCES(instances);
    TRY(mg_instances_look(observer, &instances));
    mg_finding_expect(finding, 0, "databases", "データベース");
    for (size_t i = 0; i < instances.count; i++) {
        struct mg_backup_subject subject = {.observer = observer,
                                            .instance = &instances.rows[i],
                                            .finding = finding,
                                            .now = mg_now(),
                                            .name = instances.rows[i].name};
        bool seen = true;
        TRY(observer->ops->backup_facts(observer, subject.instance->tenant, &subject.facts));
        subject.plan = mg_backup_plan_named(mg_view_text(subject.facts.plan));
        if (subject.plan == NULL)
            return fail_with(MALFORMED, "the plan of %s", subject.name);
        if (selects != NULL && !selects(subject.plan))
            continue;
        for (size_t t = 0; t < observer->tenant_count; t++)
            if (observer->tenants[t].number == subject.instance->tenant)
                subject.name = observer->tenants[t].name;
        finding->total++;
        TRY(look(&subject, &seen));
        if (seen)
            mg_finding_cover(finding);
    }
    if (finding->total != 0)
        return OK;
    mg_finding_expect(finding, 1, "deployment", "環境");
    mg_finding_cover(finding);
    mg_finding_note(finding, "no database has a plan of this kind: this profile is not selected here");
    return OK;
}

void
mg_backup_break(const struct mg_backup_subject *subject, const char *en, const char *ja, const char *detail)
{
    mg_finding_break(subject->finding, subject->name, en, ja);
    if (detail[0] != '\0')
        mg_finding_note(subject->finding, "%s: %s", subject->name, detail);
}

/* ---- what several probes ask ---- */

static bool
is_late(mg_instant at, int64_t most_ms, mg_instant now)
{
    return at == 0 || now - at > most_ms || at > now + CLOCK_MS;
}

/* Is there one that was checked? Of an instance that is so young that there cannot be yet nothing is seen. */
static bool
is_there(const struct mg_backup_subject *subject, bool *ret_seen)
{
    const struct mg_observed_backup *facts = &subject->facts;
    const bool young = subject->now < facts->due_at + FRESH_MS; /* or the worker was started a moment ago */
    if (facts->backups == 0) {
        *ret_seen = !young;
        if (*ret_seen)
            mg_backup_break(subject, "it has no backup", "バックアップがありません", "");
        return false;
    }
    if (facts->verified_at == 0 && facts->files_trouble == MG_BACKUP_TROUBLE_NONE) {
        *ret_seen = !young;
        if (*ret_seen)
            mg_backup_break(subject, "its backups were never checked",
                            "バックアップが一度も検証されていません", "");
        return false;
    }
    return true;
}

/* Is every file as it was taken, at the last check, and was that not long ago? `from`: what is worse than
 * that counts. */
static void
whole_look(const struct mg_backup_subject *subject, enum mg_backup_trouble from)
{
    const struct mg_observed_backup *facts = &subject->facts;
    const int64_t every_ms = subject->observer->options->backup_verify;
    const struct mg_backup_trouble_row *row = mg_backup_trouble_row(facts->files_trouble);
    if (row != NULL && facts->files_trouble >= from)
        mg_backup_break(subject, row->en, row->ja, facts->files_detail);
    else if (facts->files_trouble == MG_BACKUP_TROUBLE_UNCHECKED)
        mg_backup_break(subject, row->en, row->ja, facts->files_detail);
    else if (is_late(facts->verified_at, every_ms + every_ms / 2 + FRESH_MS, subject->now))
        mg_backup_break(subject, "its backups were not checked in time",
                        "バックアップの検証が期限を過ぎています", "");
}

/* How the database saves its log, as it says itself. */
struct archive {
    char mode[16], library[256], command[2 * MG_PATH];
    bool failing;
    int64_t timeout_s;
    int64_t age_s;   /* of the last piece that was saved; -1: none ever */
    int64_t waits_s; /* since when a complete piece waits; 0: none does */
};

static const char archive_sql[] =
    "SELECT current_setting('archive_mode'), coalesce(current_setting('archive_library', true), ''),"
    " coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)::int::text,"
    " (SELECT setting FROM pg_settings WHERE name = 'archive_timeout'),"
    " coalesce(extract(epoch FROM now() - last_archived_time)::bigint, -1)::text,"
    " (SELECT greatest(0, coalesce(extract(epoch FROM now() - min(modification))::bigint, 0))::text"
    "  FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),"
    " current_setting('archive_command') FROM pg_stat_archiver";

static CHECKED struct mg_status
number_of(struct mg_view word, int64_t *ret_number)
{
    uint64_t number;
    *ret_number = -1;
    if (mg_view_is(word, "-1"))
        return OK;
    TRY(mg_parse_u64(word, INT64_MAX, &number));
    *ret_number = (int64_t) number;
    return OK;
}

static CHECKED struct mg_status
archive_ask(const struct mg_backup_subject *subject, struct archive *archive)
{
    enum { COLUMNS = 7 };
    struct mg_view words[COLUMNS];
    OWN_BUFFER(rows, ANSWER_MOST);
    int64_t failing = 0;
    TRY(subject->observer->ops->database_ask(subject->observer, subject->instance->name, archive_sql, &rows));
    const char *at = mg_buffer_text(&rows);
    for (size_t i = 0; i < COLUMNS; i++) {
        const size_t length = strcspn(at, i + 1 == COLUMNS ? "\n" : "\t\n");
        if (at[length] != (i + 1 == COLUMNS ? '\n' : '\t'))
            return fail_with(MALFORMED, "%s says nothing of its log", subject->instance->name);
        words[i] = mg_view_of(at, length);
        at += length + 1;
    }
    TRY(mg_view_copy(words[0], archive->mode, sizeof archive->mode));
    TRY(mg_view_copy(words[1], archive->library, sizeof archive->library));
    TRY(number_of(words[2], &failing));
    archive->failing = failing != 0;
    TRY(number_of(words[3], &archive->timeout_s));
    TRY(number_of(words[4], &archive->age_s));
    TRY(number_of(words[5], &archive->waits_s));
    return mg_view_copy(words[6], archive->command, sizeof archive->command);
}

/* Is it saved by our command, and as often as the plan says? */
static CHECKED struct mg_status
archive_is_set(const struct mg_backup_subject *subject, const struct archive *archive, bool *ret_set)
{
    struct mg_pgbackrest layout;
    OWN_BUFFER(command, sizeof archive->command);
    const struct mg_observer *observer = subject->observer;
    TRY(mg_pgbackrest_layout(observer->directory, observer->runtime_directory,
                             observer->options->backup_near_path, subject->instance->name, &layout));
    TRY(mg_pgbackrest_archive_command(&layout, &command));
    *ret_set = strcmp(archive->mode, "on") == 0 && archive->library[0] == '\0' &&
               strcmp(archive->command, mg_buffer_text(&command)) == 0 && archive->timeout_s > 0 &&
               archive->timeout_s <= subject->plan->log_ms / 1000;
    return OK;
}

/* Is it saved, in time and without failing? */
static CHECKED struct mg_status
archive_look(const struct mg_backup_subject *subject)
{
    struct archive archive = {.mode = ""};
    bool set = false;
    TRY(archive_ask(subject, &archive));
    TRY(archive_is_set(subject, &archive, &set));
    mg_finding_note(subject->finding, "%s: log saved %" PRId64 " s ago, a piece waits for %" PRId64 " s",
                    subject->name, archive.age_s, archive.waits_s);
    if (!set)
        mg_backup_break(subject, "its database does not save the transaction log as the plan says",
                        "データベースが計画どおりにトランザクションログを保存する設定ではありません", "");
    else if (archive.failing || archive.age_s < 0 || archive.waits_s * 1000 > subject->plan->rpo_ms)
        mg_backup_break(subject, "its transaction log is not being saved",
                        "トランザクションログを保存できていません", "");
    return OK;
}

/* Was it restored in its time, whole? */
static void
drill_look(const struct mg_backup_subject *subject, bool *ret_seen)
{
    const struct mg_observed_backup *facts = &subject->facts;
    const int64_t every_ms = subject->plan->drill_ms;
    if (facts->drilled_at == 0) {
        const int64_t within_ms = subject->observer->options->backup_first_within;
        if (subject->now < facts->due_at + within_ms + FRESH_MS)
            *ret_seen = false;
        else
            mg_backup_break(subject, "it was never restored in a drill", "復元訓練が一度も行われていません",
                            "");
    } else if (facts->drill_failed) {
        mg_backup_break(subject, "its last restore drill failed", "直近の復元訓練に失敗しています",
                        facts->drill_detail);
    } else if (is_late(facts->drilled_at, every_ms + every_ms / 4, subject->now)) {
        mg_backup_break(subject, "its last restore drill is too long ago",
                        "直近の復元訓練から期間が空きすぎています", "");
    } else {
        mg_finding_note(subject->finding, "%s: back in %" PRId64 " ms, at most %" PRId64 " s lost",
                        subject->name, facts->rto_ms, facts->rpo_ms / 1000);
    }
}

/* ---- BACKUP_02: full, differential, log, each by its own clock ---- */

static bool
is_frequent(const struct mg_backup_plan *plan)
{
    return plan->full_ms <= 6 * HOUR_MS && plan->differential_ms != 0 &&
           plan->differential_ms <= HOUR_MS + HOUR_MS / 10 && plan->log_ms <= HOUR_MS / 4;
}

static CHECKED struct mg_status
clocks_look(const struct mg_backup_subject *subject, bool *ret_seen)
{
    if (!is_there(subject, ret_seen))
        return OK;
    const struct mg_backup_plan *plan = subject->plan;
    if (is_late(subject->facts.full_at, plan->full_ms + plan->full_ms / 2, subject->now))
        mg_backup_break(subject, "its last full backup is too old", "直近の全体バックアップが古すぎます", "");
    if (is_late(subject->facts.backup_at, plan->differential_ms + plan->differential_ms / 2, subject->now))
        mg_backup_break(subject, "its last backup is too old", "直近のバックアップが古すぎます", "");
    whole_look(subject, MG_BACKUP_TROUBLE_GAP);
    return archive_look(subject);
}

struct mg_status
mg_probe_BACKUP_02(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "worker, databases";
    return each_instance(observer, finding, is_frequent, clocks_look);
}

/* ---- BACKUP_03: any moment of 72 hours ---- */

static bool
has_window(const struct mg_backup_plan *plan)
{
    return plan->window_ms >= 72 * HOUR_MS;
}

/* When initdb made it: PostgreSQL puts the second into the upper half of the system identifier. */
static CHECKED struct mg_status
made_at(const struct mg_observed_instance *instance, mg_instant *ret_at)
{
    uint64_t identifier;
    TRY(mg_parse_u64(mg_view_text(instance->system_identifier), UINT64_MAX, &identifier));
    *ret_at = (mg_instant) (identifier >> 32) * 1000;
    return OK;
}

static CHECKED struct mg_status
window_look(const struct mg_backup_subject *subject, bool *ret_seen)
{
    mg_instant made = 0;
    if (!is_there(subject, ret_seen))
        return OK;
    TRY(made_at(subject->instance, &made));
    /* A database that is younger goes back to where its backups began. */
    const mg_instant begun = made + subject->observer->options->backup_first_within + FRESH_MS;
    const mg_instant wanted = subject->now - 72 * HOUR_MS;
    const mg_instant from = subject->facts.from;
    if (from == 0 || from > (begun > wanted ? begun : wanted))
        mg_backup_break(subject, "it cannot be set back to every moment of the past 72 hours",
                        "過去 72 時間の任意の時点には復元できません", "");
    else
        mg_finding_note(subject->finding, "%s: any moment of the last %" PRId64 " min", subject->name,
                        (subject->now - from) / 60000);
    whole_look(subject, MG_BACKUP_TROUBLE_GAP);
    drill_look(subject, ret_seen);
    return archive_look(subject);
}

struct mg_status
mg_probe_BACKUP_03(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "worker, databases, drills";
    return each_instance(observer, finding, has_window, window_look);
}

/* ---- BACKUP_05, 06: kept for a year; kept for 90 days and then destroyed ---- */

static bool
is_for_a_year(const struct mg_backup_plan *plan)
{
    return plan->keep_ms >= 365 * DAY_MS;
}

static CHECKED struct mg_status
year_look(const struct mg_backup_subject *subject, bool *ret_seen)
{
    if (!is_there(subject, ret_seen))
        return OK;
    if (is_late(subject->facts.full_at, DAY_MS + DAY_MS / 2, subject->now))
        mg_backup_break(subject, "its last daily backup is too old", "直近の日次バックアップが古すぎます",
                        "");
    whole_look(subject, MG_BACKUP_TROUBLE_MISSING);
    return mg_backup_kept_look(subject, 365 * DAY_MS);
}

struct mg_status
mg_probe_BACKUP_05(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "worker, audit log";
    return each_instance(observer, finding, is_for_a_year, year_look);
}

static bool
is_for_90_days(const struct mg_backup_plan *plan)
{
    return plan->destroy_ms == 90 * DAY_MS;
}

static CHECKED struct mg_status
days_look(const struct mg_backup_subject *subject, bool *ret_seen)
{
    const struct mg_observed_backup *facts = &subject->facts;
    if (!is_there(subject, ret_seen))
        return OK;
    if (facts->plan_strange[0] != '\0')
        mg_backup_break(subject, "it is said to have a plan that there is none of, so nothing is destroyed",
                        "存在しない計画が設定されているため、破棄が行われません", facts->plan_strange);
    if (subject->now - facts->oldest_at > 91 * DAY_MS)
        mg_backup_break(subject, "a backup is older than 90 days", "90 日を過ぎたバックアップが残っています",
                        "");
    whole_look(subject, MG_BACKUP_TROUBLE_MISSING);
    return mg_backup_kept_look(subject, 89 * DAY_MS);
}

struct mg_status
mg_probe_BACKUP_06(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "worker, audit log";
    return each_instance(observer, finding, is_for_90_days, days_look);
}

/* ---- BACKUP_07: all data of everybody, every day ---- */

/* Tables that PostgreSQL does not log are in no backup: they come back empty. */
static const char unlogged_sql[] =
    "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'm') LIMIT 1";

static CHECKED struct mg_status
daily_look(const struct mg_backup_subject *subject, bool *ret_seen)
{
    OWN_BUFFER(rows, ANSWER_MOST);
    if (!is_there(subject, ret_seen))
        return OK;
    if (is_late(subject->facts.backup_at, DAY_MS + DAY_MS / 2, subject->now))
        mg_backup_break(subject, "its last backup is older than a day",
                        "直近のバックアップが 1 日より古くなっています", "");
    whole_look(subject, MG_BACKUP_TROUBLE_MISSING);
    TRY(subject->observer->ops->database_ask(subject->observer, subject->instance->name, unlogged_sql,
                                             &rows));
    if (rows.length != 0)
        mg_backup_break(subject, "a table is left out of backups (UNLOGGED)",
                        "バックアップに含まれない表があります (UNLOGGED)", "");
    return OK;
}

/* A customer without a database of its own would be in nobody's backups. */
static CHECKED struct mg_status
customers_look(struct mg_observer *observer, struct mg_finding *finding)
{
    OWN_INSTANCES(instances);
    TRY(mg_instances_look(observer, &instances));
    for (size_t t = 0; t < observer->tenant_count; t++) {
        bool there = false;
        for (size_t i = 0; i < instances.count && !there; i++)
            there = instances.rows[i].tenant == observer->tenants[t].number;
        if (!there && observer->tenants[t].active)
            mg_finding_break(finding, observer->tenants[t].name, "it has no database instance",
                             "DB インスタンスがありません");
    }
    return OK;
}

struct mg_status
mg_probe_BACKUP_07(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "worker, databases";
    TRY(customers_look(observer, finding));
    return each_instance(observer, finding, NULL, daily_look);
}

/* ---- BACKUP_08: at most 24 hours lost ---- */

static CHECKED struct mg_status
point_look(const struct mg_backup_subject *subject, bool *ret_seen)
{
    struct archive archive = {.mode = ""};
    bool set = false;
    if (!is_there(subject, ret_seen))
        return OK;
    TRY(archive_ask(subject, &archive));
    TRY(archive_is_set(subject, &archive, &set));
    /* What waits and what is not complete yet; without a log, everything since the last backup. */
    int64_t lost_ms = subject->now - subject->facts.backup_at;
    const int64_t log_ms = 1000 * (archive.waits_s + archive.timeout_s);
    if (set && archive.age_s >= 0 && log_ms < lost_ms)
        lost_ms = log_ms;
    mg_finding_note(subject->finding, "%s: at most %" PRId64 " s would be lost", subject->name,
                    lost_ms / 1000);
    if (lost_ms > DAY_MS)
        mg_backup_break(subject, "more than 24 hours would be lost",
                        "24 時間分を超えるデータが失われ得る状態です", "");
    /* Behind a gap, or in a file that is not what it was, nothing can be reached. */
    whole_look(subject, MG_BACKUP_TROUBLE_GAP);
    return OK;
}

struct mg_status
mg_probe_BACKUP_08(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "worker, databases";
    return each_instance(observer, finding, NULL, point_look);
}

/* ---- BACKUP_09: back within four hours ---- */

static CHECKED struct mg_status
return_look(const struct mg_backup_subject *subject, bool *ret_seen)
{
    if (!is_there(subject, ret_seen))
        return OK;
    drill_look(subject, ret_seen);
    if (subject->facts.drilled_at != 0 && subject->facts.rto_ms > 4 * HOUR_MS)
        mg_backup_break(subject, "its last restore drill took more than four hours",
                        "直近の復元訓練に 4 時間を超えました", "");
    return OK;
}

struct mg_status
mg_probe_BACKUP_09(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "drills";
    return each_instance(observer, finding, NULL, return_look);
}

/* ---- BACKUP_10: encrypted, and nothing without the key ---- */

static CHECKED struct mg_status
sealed_look(const struct mg_backup_subject *subject, bool *ret_seen)
{
    const struct mg_observed_backup *facts = &subject->facts;
    const int64_t every_ms = subject->observer->options->backup_verify;
    if (!is_there(subject, ret_seen))
        return OK;
    mg_finding_note(subject->finding, "%s: %" PRIu64 " files", subject->name, facts->sealed_files);
    if (facts->sealed_at == 0 && subject->now < facts->due_at + FRESH_MS) {
        *ret_seen = false;
        return OK;
    }
    if (is_late(facts->sealed_at, every_ms + every_ms / 2 + FRESH_MS, subject->now) ||
        facts->sealed_files == 0)
        mg_backup_break(subject, "nobody looked whether its backups are encrypted",
                        "バックアップの暗号化が確認されていません", "");
    if (facts->plain_files != 0)
        mg_backup_break(subject, "a file among its backups is not encrypted",
                        "バックアップに暗号化されていないファイルがあります", facts->plain_first);
    if (facts->other_key_opens)
        mg_backup_break(subject, "its backups can be read without its key",
                        "鍵がなくてもバックアップを読み取れます", "");
    if (!facts->own_key_opens)
        mg_backup_break(subject, "its backups cannot be read with its key",
                        "正しい鍵でもバックアップを読み取れません", "");
    return OK;
}

struct mg_status
mg_probe_BACKUP_10(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "worker, repository";
    return each_instance(observer, finding, NULL, sealed_look);
}
