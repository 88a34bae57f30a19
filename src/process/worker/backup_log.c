/* The transaction log on its way to the repository: PostgreSQL saves it by itself, and says little of one
 * that does not come to an end. So the age of what waits is judged, and how much there is. */
#include "process/worker/backup.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

enum { GROWN = 4 /* times max_wal_size, to which PostgreSQL keeps its log when nothing holds it */ };

struct archiver {
    mg_instant saved_at, waiting_since; /* 0: nothing */
    bool failing;
    int64_t log_bytes, log_most_bytes;
    char pending[160]; /* settings that wait for a start */
};

/* With the record's lock held. */
static CHECKED struct mg_status
archiver_ask(const struct record *record, struct archiver *archiver)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    TRY(instance_open(record, "postgres", &database));
    TRY(mg_query(
        database, &rows,
        "SELECT last_archived_time,"
        " coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false),"
        " (SELECT min(modification) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),"
        " (SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()),"
        " pg_size_bytes(current_setting('max_wal_size')),"
        " left((SELECT coalesce(string_agg(name, ', '), '') FROM pg_settings WHERE pending_restart), 150)"
        " FROM pg_stat_archiver"));
    archiver->saved_at = mg_rows_null(rows, 0, 0) ? 0 : mg_rows_instant(rows, 0, 0);
    archiver->failing = mg_rows_flag(rows, 0, 1);
    archiver->waiting_since = mg_rows_null(rows, 0, 2) ? 0 : mg_rows_instant(rows, 0, 2);
    archiver->log_bytes = mg_rows_i64(rows, 0, 3);
    archiver->log_most_bytes = GROWN * mg_rows_i64(rows, 0, 4);
    return mg_view_copy(mg_rows_text(rows, 0, 5), archiver->pending, sizeof archiver->pending);
}

/* With the lock held. That the archiver failed is told at once when there is something to lose: a new
 * database's tries a few times before its repository has been made. */
static void
archiver_judge(struct backup *backup, const struct archiver *archiver, mg_instant now)
{
    const int64_t waits_ms = archiver->waiting_since == 0 ? 0 : now - archiver->waiting_since;
    backup->log_trouble = MG_BACKUP_TROUBLE_NONE;
    backup->log_detail[0] = '\0';
    if (archiver->saved_at != 0)
        backup->log_at = archiver->saved_at;
    if (archiver->log_bytes > archiver->log_most_bytes) {
        backup->log_trouble = MG_BACKUP_TROUBLE_GROWTH;
        (void) snprintf(backup->log_detail, sizeof backup->log_detail, "pg_wal: %" PRId64 " MiB",
                        archiver->log_bytes >> 20);
    } else if ((archiver->failing && backup->info.count != 0) || waits_ms > backup_plan(backup)->rpo_ms) {
        backup->log_trouble = MG_BACKUP_TROUBLE_LOG;
        if (archiver->waiting_since != 0)
            (void) snprintf(backup->log_detail, sizeof backup->log_detail, "%" PRId64 " s", waits_ms / 1000);
    } else if (archiver->pending[0] != '\0') {
        backup->log_trouble = MG_BACKUP_TROUBLE_RESTART;
        (void) snprintf(backup->log_detail, sizeof backup->log_detail, "%s", archiver->pending);
    }
}

void
backup_log_look(struct backup *backup)
{
    struct record *record = backup->record;
    struct archiver archiver = {.saved_at = 0};
    (void) pthread_mutex_lock(&backup->lock);
    const bool other = backup->log_s != (unsigned) (backup_plan(backup)->log_ms / 1000);
    (void) pthread_mutex_unlock(&backup->lock);
    (void) pthread_mutex_lock(&record->lock);
    struct mg_status status = other ? instance_start(record) : OK;
    if (mg_ok(status))
        status = archiver_ask(record, &archiver);
    (void) pthread_mutex_unlock(&record->lock);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, record->name, status);
    (void) pthread_mutex_lock(&backup->lock);
    if (mg_ok(status)) {
        archiver_judge(backup, &archiver, mg_now());
    } else {
        backup->log_trouble = MG_BACKUP_TROUBLE_LOG;
        (void) snprintf(backup->log_detail, sizeof backup->log_detail, "%s", status.detail);
    }
    backup->looked_ms = mg_monotonic_ms();
    (void) pthread_mutex_unlock(&backup->lock);
}
