/* Restore drills: a database is brought back as it was at a random moment of its window, looked at, measured
 * and removed. Only that shows that a backup is one. What is looked at: recovery has ended, exactly the
 * marker rows of that moment are there, every row of every table can be read, every page has its checksum.
 *
 * DIR/worker/backup/NAME.drill: "masugata-drill 1 AT FAILED RTO RPO", then a line of what was wrong. */
#include "process/worker/backup.h"

#include "base/io.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
    CHECK_MS = 6 * 3600 * 1000 + 60000,
    APART_MS = 1000, /* a marker's time is a moment before its commit: the target keeps away from both */
    BETWEEN_US = 2500000,
    DRAWS = 16,
    TABLES_MOST = 20000,
};

/* ---- markers ---- */

static const char marker_sql[] =
    "CREATE SCHEMA IF NOT EXISTS masugata;"
    "CREATE TABLE IF NOT EXISTS masugata.marker (at timestamptz PRIMARY KEY DEFAULT clock_timestamp());"
    "DELETE FROM masugata.marker WHERE at < now() - interval '400 days';"
    "INSERT INTO masugata.marker DEFAULT VALUES;";

struct mg_status
marker_put(struct backup *backup)
{
    OWN(database) database = NULL;
    (void) pthread_mutex_lock(&backup->record->lock);
    const struct mg_status status = instance_open(backup->record, "postgres", &database);
    (void) pthread_mutex_unlock(&backup->record->lock);
    TRY(status);
    TRY(mg_database_script(database, "SET client_min_messages = warning"));
    return mg_database_script(database, marker_sql);
}

/* How many there are up to then, and how many within APART_MS of it. */
static CHECKED struct mg_status
markers_count(struct mg_database *database, mg_instant target, int64_t *ret_before, int64_t *ret_near)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "SELECT count(*) FILTER (WHERE at <= $1), count(*) FILTER (WHERE at BETWEEN $2 AND $3)"
                 " FROM masugata.marker",
                 MG_INSTANT(target), MG_INSTANT(target - APART_MS), MG_INSTANT(target + APART_MS)));
    *ret_before = mg_rows_i64(rows, 0, 0);
    *ret_near = mg_rows_i64(rows, 0, 1);
    return OK;
}

/* ---- when ---- */

bool
drill_is_due(const struct backup *backup, mg_instant now)
{
    const int64_t every_ms = backup_plan(backup)->drill_ms;
    if (backup->info.count == 0 || !backup->drill_read)
        return false;
    if (backup->drill_failed) /* tried again once an hour, until it is understood */
        return backup->drilled_at > now || now - backup->drilled_at >= INT64_C(3600000);
    if (backup->drilled_at == 0) /* soon: a backup that was never restored is only believed to be one */
        return now - backup->info.backups[0].stopped_at >=
               backup_moment_of(backup->record->name, mg_environment()->options->backup_first_within);
    /* At a moment of its own in the second half of the time. */
    return backup->drilled_at > now ||
           now - backup->drilled_at >= every_ms / 2 + backup_moment_of(backup->record->name, every_ms / 2);
}

/* ---- one drill ---- */

struct drill {
    mg_instant target, reached;
    int64_t rto_ms, rpo_ms, tables, rows, markers;
    bool from_vault;
};

/* A moment of the window that no marker is near to. The one after the first marker of this drill always is.
 */
static CHECKED struct mg_status
target_draw(struct backup *backup, struct mg_database *database, mg_instant marked_at, struct drill *drill)
{
    int64_t near = 1;
    (void) pthread_mutex_lock(&backup->lock);
    const mg_instant from = backup_window_from(backup) + 2 * APART_MS;
    (void) pthread_mutex_unlock(&backup->lock);
    for (int i = 0; i < DRAWS && near != 0 && marked_at > from; i++) {
        uint64_t random;
        mg_random(&random, sizeof random);
        drill->target = from + (int64_t) (random % (uint64_t) (marked_at - from));
        TRY(markers_count(database, drill->target, &drill->markers, &near));
    }
    if (near == 0)
        return OK;
    drill->target = marked_at + APART_MS + 200;
    return markers_count(database, drill->target, &drill->markers, &near);
}

/* Between two markers lies at least one moment to draw. */
static CHECKED struct mg_status
drill_begin(struct backup *backup, struct drill *drill)
{
    OWN(database) database = NULL;
    int64_t took_ms = 0, took_again_ms = 0;
    TRY(restore_mark(backup, &took_ms));
    const mg_instant marked_at = mg_now();
    (void) usleep(BETWEEN_US);
    TRY(restore_mark(backup, &took_again_ms));
    (void) pthread_mutex_lock(&backup->lock);
    /* Lost is at most what was written since the log was saved last, and while it is being saved. */
    drill->rpo_ms = backup_plan(backup)->log_ms + (took_ms > took_again_ms ? took_ms : took_again_ms);
    (void) pthread_mutex_unlock(&backup->lock);
    (void) pthread_mutex_lock(&backup->record->lock);
    const struct mg_status status = instance_open(backup->record, "postgres", &database);
    (void) pthread_mutex_unlock(&backup->record->lock);
    TRY(status);
    return target_draw(backup, database, marked_at, drill);
}

static CHECKED struct mg_status
reader_open(const struct backup *backup, const char *socket, struct mg_database **ret_database)
{
    OWN_KEY(password, PASSWORD_TEXT);
    password_make((char *) password);
    TRY(restore_reader_make(backup, socket, (const char *) password));
    const struct mg_database_address address = {.host = socket,
                                                .database = restore_database(backup),
                                                .user = RESTORE_ROLE,
                                                .password = mg_view_text((const char *) password),
                                                .statement_ms = CHECK_MS,
                                                .catalogue_only = true};
    return mg_database_open(&address, ret_database);
}

/* Every value of every table, by a login that can only read. The names are PostgreSQL's own: a tenant may
 * have a function count(), or format(). Only comparing a row's bytes (with themselves) fetches and unpacks
 * each value wherever it lies, with no function of its type or of the tenant's; `t.*` is the row even where a
 * column is named t. */
static CHECKED struct mg_status
rows_read(const struct backup *backup, const char *socket, struct drill *drill)
{
    OWN(database) database = NULL;
    OWN(rows) tables = NULL;
    TRY(reader_open(backup, socket, &database));
    TRY(mg_query(database, &tables,
                 "SELECT pg_catalog.format('SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER"
                 " (WHERE pg_catalog.record_image_eq(t.*, t.*)) FROM ONLY %I.%I t', schemaname, tablename)"
                 " FROM pg_catalog.pg_tables"
                 " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') LIMIT $1",
                 MG_I64(TABLES_MOST + 1)));
    if (mg_rows_count(tables) > TABLES_MOST)
        return fail_with(REFUSED, "there are more than %d tables: not all would be read", TABLES_MOST);
    drill->tables = (int64_t) mg_rows_count(tables);
    for (size_t i = 0; i < mg_rows_count(tables); i++) {
        OWN(rows) count = NULL;
        OWN_TEXT sql = NULL;
        TRY(mg_view_to_text(mg_rows_text(tables, i, 0), &sql));
        TRY(mg_query(database, &count, sql));
        if (mg_rows_i64(count, 0, 0) != mg_rows_i64(count, 0, 1))
            return fail_with(INTEGRITY, "a row does not read the same twice");
        drill->rows += mg_rows_i64(count, 0, 0);
    }
    return OK;
}

static CHECKED struct mg_status
markers_compare(const struct backup *backup, const char *socket, const struct drill *drill)
{
    OWN(database) database = NULL;
    OWN(rows) all = NULL;
    int64_t before = 0, near = 0;
    TRY(restore_open(backup, socket, "postgres", &database));
    TRY(markers_count(database, drill->target, &before, &near));
    TRY(mg_query(database, &all, "SELECT count(*) FROM masugata.marker"));
    if (before != drill->markers || mg_rows_i64(all, 0, 0) != drill->markers)
        return fail_with(INTEGRITY, "%" PRId64 " markers are there (%" PRId64 " of that time), not %" PRId64,
                         mg_rows_i64(all, 0, 0), before, drill->markers);
    return OK;
}

static CHECKED struct mg_status
pages_check(const struct backup *backup)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_restore_check reply;
    const struct mg_request_restore_check request = {.tenant = backup->record->tenant,
                                                     .kind = (uint64_t) MG_RESTORE_DRILL};
    return mg_call_restore_check(&request, &reply, &storage, CHECK_MS);
}

static CHECKED struct mg_status
copy_judge(struct backup *backup, struct drill *drill)
{
    char socket[512];
    const int64_t start_ms = mg_monotonic_ms();
    TRY(restore_make(backup, MG_RESTORE_DRILL, drill->from_vault, drill->target, socket, &drill->reached));
    drill->rto_ms = mg_monotonic_ms() - start_ms;
    TRY(markers_compare(backup, socket, drill));
    TRY(rows_read(backup, socket, drill));
    return pages_check(backup);
}

/* Control: BACKUP_09 */
static CHECKED struct mg_status
promise_judge(const struct backup *backup, const struct drill *drill)
{
    const struct mg_backup_plan *plan = backup_plan(backup);
    if (drill->rto_ms > plan->rto_ms)
        return fail_with(REFUSED, "it took %" PRId64 " s; the plan says %" PRId64, drill->rto_ms / 1000,
                         plan->rto_ms / 1000);
    if (drill->rpo_ms > plan->rpo_ms)
        return fail_with(REFUSED, "%" PRId64 " s could be lost; the plan says %" PRId64, drill->rpo_ms / 1000,
                         plan->rpo_ms / 1000);
    return OK;
}

/* ---- what came of it ---- */

static CHECKED struct mg_status
result_record(const struct backup *backup, const struct drill *drill, struct mg_status status)
{
    char target[MG_INSTANT_TEXT], numbers[4][24];
    OWN_BUFFER(details, 1024);
    const int64_t values[] = {drill->rto_ms, drill->rpo_ms, drill->rows, drill->markers};
    static const char *const keys[] = {"rto_ms", "rpo_ms", "rows", "markers"};
    mg_instant_text(drill->target, target);
    TRY(mg_list_add_audit_detail(&details, &(struct mg_record_audit_detail){.key = mg_view_text("target"),
                                                                            .value = mg_view_text(target)}));
    TRY(mg_list_add_audit_detail(&details,
                                 &(struct mg_record_audit_detail){
                                     .key = mg_view_text("from"),
                                     .value = mg_view_text(drill->from_vault ? "vault" : MG_BACKUP_NEAR)}));
    for (size_t i = 0; i < MG_COUNT(keys); i++) {
        (void) snprintf(numbers[i], sizeof numbers[i], "%" PRId64, values[i]);
        const struct mg_record_audit_detail row = {.key = mg_view_text(keys[i]),
                                                   .value = mg_view_text(numbers[i])};
        TRY(mg_list_add_audit_detail(&details, &row));
    }
    return worker_record_details(MG_EVENT_restore_drill, backup->record->tenant, backup->record->name,
                                 mg_ok(status) ? "held" : status.detail, mg_buffer_view(&details));
}

static CHECKED struct mg_status
result_keep(struct backup *backup)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 1024);
    TRY(mg_buffer_format(&text, "masugata-drill 1 %" PRId64 " %d %" PRId64 " %" PRId64 "\n%s\n",
                         backup->drilled_at, backup->drill_failed, backup->rto_ms, backup->rpo_ms,
                         backup->drill_detail));
    TRY(backup_file_path(backup->record->name, "drill", path));
    return mg_file_replace(path, mg_buffer_view(&text), 0600);
}

/* One that cannot be read is one that did not run. */
struct mg_status
drill_read(struct backup *backup)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 1024);
    uint64_t numbers[4];
    const char *rest = "";
    TRY(backup_file_path(backup->record->name, "drill", path));
    struct mg_status status = mg_file_read(path, &text);
    if (mg_ok(status))
        status = backup_file_numbers(mg_buffer_text(&text), "masugata-drill 1 ", numbers, MG_COUNT(numbers),
                                     &rest);
    (void) pthread_mutex_lock(&backup->lock);
    if (mg_ok(status)) {
        backup->drilled_at = (mg_instant) numbers[0];
        backup->drill_failed = numbers[1] != 0;
        backup->rto_ms = (int64_t) numbers[2];
        backup->rpo_ms = (int64_t) numbers[3];
        (void) snprintf(backup->drill_detail, sizeof backup->drill_detail, "%.*s", (int) strcspn(rest, "\n"),
                        rest);
    }
    backup->drill_read = true;
    (void) pthread_mutex_unlock(&backup->lock);
    return mg_ok(status) || status.code == MG_NOT_FOUND || status.code == MG_MALFORMED ? OK : status;
}

/* A drill that failed is a finding, not a failure of ours to retry at once. */
struct mg_status
drill_run(struct backup *backup)
{
    struct drill drill = {.from_vault = vault_drill_turn(backup)};
    if (backup->info.count == 0)
        return fail_with(REFUSED, "%s has no backup yet", backup->record->name);
    struct mg_status status = restore_remove(backup, MG_RESTORE_DRILL); /* what one that was cut short left */
    if (mg_ok(status))
        status = drill_begin(backup, &drill);
    if (mg_ok(status))
        status = copy_judge(backup, &drill);
    if (mg_ok(status))
        status = promise_judge(backup, &drill);
    char detail[256];
    (void) snprintf(detail, sizeof detail, "%s", status.detail);
    status.detail = detail;
    const struct mg_status removed = restore_remove(backup, MG_RESTORE_DRILL);
    if (!mg_ok(removed))
        mg_log_status(MG_WARNING, "what a drill left", removed);
    const struct mg_status recorded = result_record(backup, &drill, status);
    (void) pthread_mutex_lock(&backup->lock);
    backup->drilled_at = mg_now();
    backup->drill_failed = !mg_ok(status);
    backup->rto_ms = drill.rto_ms;
    backup->rpo_ms = drill.rpo_ms;
    (void) snprintf(backup->drill_detail, sizeof backup->drill_detail, "%s", detail);
    (void) pthread_mutex_unlock(&backup->lock);
    mg_log(mg_ok(status) ? MG_INFO : MG_ERROR, "%s: drill: %s; back in %lld ms, %lld rows",
           backup->record->name, mg_ok(status) ? "held" : detail, (long long) drill.rto_ms,
           (long long) drill.rows);
    TRY(result_keep(backup));
    TRY(vault_drill_keep(backup, drill.from_vault));
    TRY(recorded);
    return mg_ok(status) ? OK : mg_fail_with(status.code, status.where, "%s", detail);
}
