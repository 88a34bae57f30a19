/* Restoring beside the live data: a copy of the database as it was at a moment, in an instance of its own
 * that nobody but who asked for it can look into. What runs is not touched. */
#include "process/worker/backup.h"

#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
    LAUNCHER_MS = 150000,
    RESTORE_MS = 24 * 3600 * 1000 + 60000,
    REPLAY_MS = 12 * 3600 * 1000,
    SAVE_MS = 120000,
    POLL_US = 100000,
    LOST_POLLS = 100, /* without an answer: it has ended */
    SECOND_MS = 1000, /* pgBackRest tells times in whole seconds */
    LOOK_MS = 24 * 3600 * 1000,
};

/* ---- the log up to now ---- */

static CHECKED struct mg_status
saved_await(struct mg_database *database, struct mg_view segment)
{
    const int64_t deadline_ms = mg_monotonic_ms() + SAVE_MS;
    for (;;) {
        OWN(rows) rows = NULL;
        TRY(mg_query(database, &rows, /* "00000002.history" is none */
                     "SELECT coalesce(last_archived_wal COLLATE \"C\" >= $1"
                     " AND last_archived_wal ~ '^[0-9A-F]{24}$', false) FROM pg_stat_archiver",
                     MG_TEXT(segment)));
        if (mg_rows_flag(rows, 0, 0))
            return OK;
        if (mg_monotonic_ms() >= deadline_ms)
            return fail_with(TIMEOUT, "the transaction log could not be saved within %d s", SAVE_MS / 1000);
        (void) usleep(POLL_US);
    }
}

static CHECKED struct mg_status
live_open(const struct backup *backup, struct mg_database **ret_database)
{
    (void) pthread_mutex_lock(&backup->record->lock);
    const struct mg_status status = instance_open(backup->record, "postgres", ret_database);
    (void) pthread_mutex_unlock(&backup->record->lock);
    return status;
}

struct mg_status
restore_mark(struct backup *backup, int64_t *ret_took_ms)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    TRY(marker_put(backup));
    const int64_t start_ms = mg_monotonic_ms();
    const mg_instant now = mg_now();
    TRY(live_open(backup, &database));
    TRY(mg_query(database, &rows, "SELECT pg_walfile_name(pg_switch_wal())"));
    TRY(saved_await(database, mg_rows_text(rows, 0, 0)));
    *ret_took_ms = mg_monotonic_ms() - start_ms;
    (void) pthread_mutex_lock(&backup->lock);
    backup->log_at = now;
    (void) pthread_mutex_unlock(&backup->lock);
    return OK;
}

/* ---- the copy ---- */

struct mg_status
restore_remove(const struct backup *backup, enum mg_restore_kind kind)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_restore_remove reply;
    const struct mg_request_restore_remove request = {.tenant = backup->record->tenant,
                                                      .kind = (uint64_t) kind};
    return mg_call_restore_remove(&request, &reply, &storage, LAUNCHER_MS);
}

struct mg_status
restore_open(const struct backup *backup, const char *socket, const char *database,
             struct mg_database **ret_database)
{
    OWN(secret) password = NULL;
    const struct record *record = backup->record;
    /* The superuser of the copy is the one of the database it is a copy of, password and all. */
    TRY(password_unseal(record, "superuser", mg_buffer_view(&record->sealed_password), &password));
    const struct mg_database_address address = {.host = socket,
                                                .database = database,
                                                .user = "masugata_super",
                                                .password = mg_secret_view(password),
                                                .statement_ms = 3600 * 1000,
                                                .catalogue_only = true};
    return mg_database_open(&address, ret_database);
}

const char *
restore_database(const struct backup *backup)
{
    return backup->record->tenant == 0 ? CONTROL_DATABASE : OWNER_DATABASE;
}

/* Made in the database `postgres`, which is ours: in the tenant's own one no superuser says a word, for what
 * is there may be made to run as whoever looks at it. */
struct mg_status
restore_reader_make(const struct backup *backup, const char *socket, const char *password)
{
    OWN(database) database = NULL;
    OWN_BUFFER(sql, 512);
    TRY(restore_open(backup, socket, "postgres", &database));
    TRY(mg_buffer_format(&sql,
                         "CREATE ROLE " RESTORE_ROLE
                         " NOLOGIN BYPASSRLS; GRANT pg_read_all_data TO " RESTORE_ROLE
                         /* large objects, which pg_read_all_data leaves out */
                         "; ALTER ROLE " RESTORE_ROLE " SET lo_compat_privileges = on"
                         "; GRANT CONNECT ON DATABASE %s TO " RESTORE_ROLE,
                         restore_database(backup)));
    TRY(mg_database_script(database, mg_buffer_text(&sql)));
    return role_open(database, RESTORE_ROLE, password, mg_now() + LOOK_MS);
}

static CHECKED struct mg_status
copy_files(struct backup *backup, enum mg_restore_kind kind, bool from_vault, mg_instant target)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_restore_run reply;
    uint64_t needed_bytes = 0;
    for (size_t i = 0; i < backup->info.count; i++)
        if (backup->info.backups[i].stopped_at <= target)
            needed_bytes = backup->info.backups[i].database_bytes;
    /* A quarter more for the log that is replayed. */
    const struct mg_request_restore_run request = {.tenant = backup->record->tenant,
                                                   .kind = (uint64_t) kind,
                                                   .target = target,
                                                   .needed_bytes = needed_bytes + needed_bytes / 4,
                                                   .from_vault = from_vault};
    if (from_vault)
        TRY(vault_fetch(backup, kind));
    return mg_call_restore_run(&request, &reply, &storage, RESTORE_MS);
}

static CHECKED struct mg_status
copy_start(const struct backup *backup, enum mg_restore_kind kind, char socket[512])
{
    char name[48];
    OWN_BUFFER(roles, 512);
    OWN_BUFFER(storage, 4096);
    struct mg_reply_instance_start reply;
    const uint64_t tenant = backup->record->tenant;
    const struct mg_record_instance_role role = {.role = mg_view_text(RESTORE_ROLE),
                                                 .database = mg_view_text(restore_database(backup))};
    (void) snprintf(name, sizeof name, "%s%" PRIu64, mg_restore_prefix((uint64_t) kind), tenant);
    TRY(mg_list_add_instance_role(&roles, &role));
    const struct mg_request_instance_start request = {
        .name = mg_view_text(name), .tenant = tenant, .roles = {.bytes = mg_buffer_view(&roles)}};
    TRY(mg_call_instance_start(&request, &reply, &storage, LAUNCHER_MS));
    return mg_view_copy(reply.socket, socket, 512);
}

/* One look: is it still replaying, since when does the server run, what is the last change it replayed? */
static CHECKED struct mg_status
copy_look(const struct backup *backup, const char *socket, bool *ret_replaying, mg_instant *ret_started_at,
          mg_instant *ret_reached)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    TRY(restore_open(backup, socket, "postgres", &database));
    TRY(mg_query(database, &rows,
                 "SELECT pg_is_in_recovery(), pg_postmaster_start_time(), pg_last_xact_replay_timestamp()"));
    *ret_replaying = mg_rows_flag(rows, 0, 0);
    *ret_started_at = mg_rows_instant(rows, 0, 1);
    *ret_reached = mg_rows_null(rows, 0, 2) ? 0 : mg_rows_instant(rows, 0, 2);
    return OK;
}

/* PostgreSQL ends when the log ends before the moment, and the launcher starts it again: only a server that
 * is still the same and has left recovery is there. */
static CHECKED struct mg_status
copy_await(const struct backup *backup, const char *socket, mg_instant target, mg_instant *ret_reached)
{
    const int64_t deadline_ms = mg_monotonic_ms() + REPLAY_MS;
    char at[MG_INSTANT_TEXT];
    mg_instant first = 0, started_at = 0;
    int lost = 0;
    mg_instant_text(target, at);
    while (mg_monotonic_ms() < deadline_ms && !mg_stopping()) {
        bool replaying = true;
        const struct mg_status status = copy_look(backup, socket, &replaying, &started_at, ret_reached);
        if (mg_ok(status) && first == 0)
            first = started_at;
        lost = mg_ok(status) ? 0 : lost + 1;
        if (lost >= LOST_POLLS || (mg_ok(status) && started_at != first))
            return fail_with(REFUSED, "the transaction log does not lead to %s", at);
        if (mg_ok(status) && !replaying)
            return OK;
        (void) usleep(POLL_US);
    }
    return fail_with(TIMEOUT, "replaying the log up to %s", at);
}

struct mg_status
restore_make(struct backup *backup, enum mg_restore_kind kind, bool from_vault, mg_instant target,
             char socket[512], mg_instant *ret_reached)
{
    TRY(residency_demand(backup, BACKUP_PLACE_HERE));
    struct mg_status status = copy_files(backup, kind, from_vault, target);
    if (status.code == MG_EXISTS || status.code == MG_DISK_FULL) /* nothing was begun */
        return status;
    if (mg_ok(status))
        status = copy_start(backup, kind, socket);
    if (mg_ok(status))
        status = copy_await(backup, socket, target, ret_reached);
    if (mg_ok(status))
        return OK;
    char detail[256];
    (void) snprintf(detail, sizeof detail, "%s", status.detail);
    const struct mg_status removed = restore_remove(backup, kind);
    if (!mg_ok(removed))
        mg_log_status(MG_WARNING, "what a failed restore left", removed);
    return mg_fail_with(status.code, status.where, "%s", detail);
}

/* ---- as it is asked for ---- */

static CHECKED struct mg_status
target_judge(struct backup *backup)
{
    char from[MG_INSTANT_TEXT], until[MG_INSTANT_TEXT];
    (void) pthread_mutex_lock(&backup->lock);
    const mg_instant target = backup->target, begin = backup_window_from(backup);
    mg_instant end = backup->log_at;
    for (size_t i = 0; i < backup->info.count; i++) /* each has the log up to its end with it */
        end = backup->info.backups[i].stopped_at > end ? backup->info.backups[i].stopped_at : end;
    (void) pthread_mutex_unlock(&backup->lock);
    if (begin == 0)
        return fail_with(REFUSED, "%s has no backup yet", backup->record->name);
    mg_instant_text(begin + SECOND_MS, from);
    mg_instant_text(end, until);
    if (target < begin + SECOND_MS || target > end)
        return fail_with(REFUSED, "what can be restored lies between %s and %s", from, until);
    return OK;
}

/* ---- until when: DIR/worker/backup/NAME.copy, "masugata-copy 1 UNTIL" ---- */

static CHECKED struct mg_status
until_keep(struct backup *backup, mg_instant until)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 128);
    TRY(backup_file_path(backup->record->name, "copy", path));
    if (until == 0 && unlink(path) != 0 && errno != ENOENT)
        return fail_errno("remove %s", path);
    if (until != 0) {
        TRY(mg_buffer_format(&text, "masugata-copy 1 %" PRId64 "\n", until));
        TRY(mg_file_replace(path, mg_buffer_view(&text), 0600));
    }
    (void) pthread_mutex_lock(&backup->lock);
    backup->copy.until = until;
    (void) pthread_mutex_unlock(&backup->lock);
    return OK;
}

/* One that we cannot read of ends now. */
void
restore_copy_read(struct backup *backup)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 128);
    uint64_t until = 1;
    const char *rest = "";
    (void) pthread_mutex_lock(&backup->lock);
    const bool read = backup->copy.read;
    backup->copy.read = true;
    (void) pthread_mutex_unlock(&backup->lock);
    if (read || !mg_ok(backup_file_path(backup->record->name, "copy", path)))
        return;
    const struct mg_status status = mg_file_read(path, &text);
    if (mg_ok(status) &&
        !mg_ok(backup_file_numbers(mg_buffer_text(&text), "masugata-copy 1 ", &until, 1, &rest)))
        until = 1;
    (void) pthread_mutex_lock(&backup->lock);
    backup->copy.until = status.code == MG_NOT_FOUND ? 0 : (mg_instant) until;
    (void) pthread_mutex_unlock(&backup->lock);
}

static CHECKED struct mg_status
copy_make(struct backup *backup, bool from_vault, mg_instant target)
{
    char socket[512];
    mg_instant reached = 0;
    OWN_KEY(password, PASSWORD_TEXT);
    OWN(secret) kept = NULL;
    /* From the beginning on: a worker that is killed must not leave one for ever. */
    if (backup->copy.until == 0)
        TRY(until_keep(backup, mg_now() + LOOK_MS));
    TRY(restore_make(backup, MG_RESTORE_BESIDE, from_vault, target, socket, &reached));
    TRY(until_keep(backup, mg_now() + LOOK_MS));
    password_make((char *) password);
    TRY(restore_reader_make(backup, socket, (const char *) password));
    TRY(mg_secret_copy(mg_view_text((const char *) password), &kept));
    (void) pthread_mutex_lock(&backup->lock);
    mg_secret_drop(&backup->copy.password);
    backup->copy.password = TAKE(kept);
    backup->copy.target = target;
    backup->copy.reached = reached;
    memcpy(backup->copy.socket, socket, sizeof backup->copy.socket);
    (void) pthread_mutex_unlock(&backup->lock);
    return OK;
}

struct mg_status
restore_order(struct backup *backup, bool from_vault)
{
    char at[MG_INSTANT_TEXT];
    int64_t took_ms = 0;
    /* A database that is gone, or a log that cannot be saved, is when a restore is needed most: then it
     * reaches to where the log was saved last. */
    const struct mg_status marked = backup_is_serving(backup)
                                        ? restore_mark(backup, &took_ms)
                                        : fail_with(UNAVAILABLE, "%s is not serving", backup->record->name);
    if (!mg_ok(marked))
        mg_log_status(MG_WARNING, "the log up to now", marked);
    TRY(target_judge(backup));
    mg_instant_text(backup->target, at);
    TRY(worker_record(MG_EVENT_restore, backup->record->tenant, backup->record->name, at));
    const int64_t start_ms = mg_monotonic_ms();
    TRY(copy_make(backup, from_vault, backup->target));
    mg_log(MG_INFO, "%s: restored beside as of %s in %lld ms", backup->record->name, at,
           (long long) (mg_monotonic_ms() - start_ms));
    return OK;
}

struct mg_status
restore_discard(struct backup *backup)
{
    TRY(worker_record(MG_EVENT_restore_discard, backup->record->tenant, backup->record->name, ""));
    TRY(restore_remove(backup, MG_RESTORE_BESIDE));
    (void) pthread_mutex_lock(&backup->lock);
    mg_secret_drop(&backup->copy.password);
    (void) pthread_mutex_unlock(&backup->lock);
    return until_keep(backup, 0);
}
