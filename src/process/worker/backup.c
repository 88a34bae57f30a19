#include "process/worker/backup.h"

#include "process/worker/inventory.h"

#include "base/io.h"
#include "base/log.h"

#include <stdlib.h>

enum {
    KEYS_MS = 15000,
    QUICK_MS = 320000,
    LONG_MS = 24 * 3600 * 1000 + 60000,
    JOB_MS = 500,
    LOOK_MS = 300000,
    PREPARE_MS = 24 * 3600 * 1000,
    TIDY_MS = 3600 * 1000,
    RETRY_MS = 30000,
    RETRY_MOST_MS = 1800000,
    PASSWORD_DAYS = 7,
    DESTROYED_MOST = 64, /* in one turn */
    INFO_MOST = 4 << 20,
};

/* ---- what is known ---- */

int64_t
backup_moment_of(const char *name, int64_t most_ms)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a: to spread, not to hide */
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t) *name) * UINT64_C(1099511628211);
    return most_ms <= 0 ? 0 : (int64_t) (hash % (uint64_t) most_ms);
}

struct mg_status
backup_of(struct record *record, struct backup **ret_backup)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    (void) pthread_mutex_lock(&one_at_a_time);
    if (record->backup == NULL) {
        struct backup *backup = calloc(1, sizeof *backup);
        if (backup != NULL) {
            mg_must(pthread_mutex_init(&backup->lock, NULL) == 0);
            backup->record = record;
            backup_rule_read(backup);
            backup->begin_at =
                mg_now() + backup_moment_of(record->name, mg_environment()->options->backup_first_within);
            record->backup = backup;
        }
    }
    *ret_backup = record->backup;
    (void) pthread_mutex_unlock(&one_at_a_time);
    return *ret_backup != NULL ? OK : fail(OUT_OF_MEMORY);
}

/* ---- pgBackRest ---- */

struct mg_status
backup_verb(const struct record *record, enum mg_pgbackrest_verb verb, const char *label, uint64_t number)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_backup_run reply;
    const struct mg_request_backup_run request = {.name = mg_view_text(record->name),
                                                  .tenant = record->tenant,
                                                  .verb = (uint64_t) verb,
                                                  .label = mg_view_text(label),
                                                  .number = number};
    const bool is_long = verb == MG_PGBACKREST_FULL || verb == MG_PGBACKREST_DIFFERENTIAL;
    return mg_call_backup_run(&request, &reply, &storage, is_long ? LONG_MS : QUICK_MS);
}

struct mg_status
backup_info_look(const struct record *record, struct mg_backup_info *ret_info)
{
    struct mg_pgbackrest layout;
    OWN_BUFFER(json, INFO_MOST);
    const struct mg_environment *environment = mg_environment();
    TRY(mg_pgbackrest_layout(environment->directory, environment->runtime_directory,
                             environment->options->backup_near_path, record->name, &layout));
    TRY(backup_verb(record, MG_PGBACKREST_INFO, "", 0));
    TRY(mg_file_read(layout.info, &json));
    return mg_backup_info_read(mg_buffer_view(&json), record->name, ret_info);
}

/* With the record's lock held: a new password for pgBackRest's login; nobody else has it. */
static CHECKED struct mg_status
login_open(const struct record *record, const char *password)
{
    OWN(database) database = NULL;
    TRY(instance_open(record, "postgres", &database));
    return role_open(database, MG_BACKUP_ROLE, password, mg_now() + INT64_C(86400000) * PASSWORD_DAYS);
}

static CHECKED struct mg_status
configuration_publish(struct record *record)
{
    OWN_BUFFER(keys, 1024);
    OWN_BUFFER(storage, 1024);
    OWN_KEY(password, PASSWORD_TEXT);
    struct mg_reply_backup_key key;
    struct mg_reply_backup_prepare prepared;
    const struct mg_request_backup_key ask = {.tenant = record->tenant,
                                              .repository = mg_view_text(MG_BACKUP_NEAR)};
    TRY(mg_call_backup_key(&ask, &key, &keys, KEYS_MS));
    password_make((char *) password);
    (void) pthread_mutex_lock(&record->lock);
    const struct mg_status status = login_open(record, (const char *) password);
    (void) pthread_mutex_unlock(&record->lock);
    TRY(status);
    const struct mg_request_backup_prepare request = {.name = mg_view_text(record->name),
                                                      .tenant = record->tenant,
                                                      .passphrase = key.passphrase,
                                                      .password = mg_view_text((const char *) password)};
    return mg_call_backup_prepare(&request, &prepared, &storage, KEYS_MS);
}

/* The repository must be this database's, and encrypted. */
static CHECKED struct mg_status
info_judge(const struct record *record, const struct mg_backup_info *info)
{
    if (strcmp(info->cipher, "aes-256-cbc") != 0)
        return fail_with(INTEGRITY, "the repository of %s is not encrypted with AES-256", record->name);
    if (strcmp(info->system_identifier, record->system_identifier) != 0)
        return fail_with(INTEGRITY, "the repository of %s is another database's (%s, not %s)", record->name,
                         info->system_identifier, record->system_identifier);
    return OK;
}

/* `busy`. */
static CHECKED struct mg_status
info_refresh(struct backup *backup)
{
    struct mg_backup_info info = {.backups = NULL};
    TRY(backup_info_look(backup->record, &info));
    const struct mg_status status = info_judge(backup->record, &info);
    if (!mg_ok(status)) {
        mg_backup_info_drop(&info);
        return status;
    }
    (void) pthread_mutex_lock(&backup->lock);
    mg_backup_info_drop(&backup->info);
    backup->info = info;
    backup->known = true;
    (void) pthread_mutex_unlock(&backup->lock);
    return OK;
}

/* `busy`. */
static CHECKED struct mg_status
backup_prepare(struct backup *backup)
{
    TRY(configuration_publish(backup->record));
    TRY(backup_verb(backup->record, MG_PGBACKREST_CREATE, "", 0));
    TRY(info_refresh(backup));
    backup->prepared_ms = mg_monotonic_ms();
    return OK;
}

/* ---- looking after the transaction log ---- */

/* With the record's lock held. */
static CHECKED struct mg_status
archiver_ask(const struct record *record, mg_instant *ret_saved_at, bool *ret_failing)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    TRY(instance_open(record, "postgres", &database));
    TRY(mg_query(database, &rows,
                 "SELECT last_archived_time, coalesce(last_failed_time > coalesce(last_archived_time,"
                 " '-infinity'), false) FROM pg_stat_archiver"));
    *ret_saved_at = mg_rows_null(rows, 0, 0) ? 0 : mg_rows_instant(rows, 0, 0);
    *ret_failing = mg_rows_flag(rows, 0, 1);
    return OK;
}

/* `busy`. Another plan means another configuration. */
static CHECKED struct mg_status
log_look(struct backup *backup)
{
    struct record *record = backup->record;
    mg_instant saved_at = 0;
    bool failing = false;
    (void) pthread_mutex_lock(&backup->lock);
    const bool other = backup->log_s != (unsigned) (backup_plan(backup)->log_ms / 1000);
    (void) pthread_mutex_unlock(&backup->lock);
    (void) pthread_mutex_lock(&record->lock);
    struct mg_status status = other ? instance_start(record) : OK;
    if (mg_ok(status))
        status = archiver_ask(record, &saved_at, &failing);
    (void) pthread_mutex_unlock(&record->lock);
    TRY(status);
    (void) pthread_mutex_lock(&backup->lock);
    if (saved_at != 0)
        backup->log_at = saved_at;
    backup->log_trouble = failing ? MG_BACKUP_TROUBLE_LOG : MG_BACKUP_TROUBLE_NONE;
    (void) pthread_mutex_unlock(&backup->lock);
    backup->looked_ms = mg_monotonic_ms();
    return OK;
}

/* ---- the inventory ---- */

/* `busy`. */
static CHECKED struct mg_status
scope_fill(struct backup *backup, bool log_too, struct inventory_scope *scope)
{
    const struct mg_backup_info *info = &backup->info;
    *scope = (struct inventory_scope){
        .name = backup->record->name, .tenant = backup->record->tenant, .info = info};
    (void) pthread_mutex_lock(&backup->lock);
    size_t with_log = mg_backup_full_with_log(backup_plan(backup), info->backups, info->count, mg_now());
    (void) pthread_mutex_unlock(&backup->lock);
    for (size_t i = info->count; i > 0 && with_log != 0; i--)
        if (info->backups[i - 1].kind == MG_BACKUP_FULL && --with_log == 0)
            TRY(mg_view_copy(mg_view_text(info->backups[i - 1].wal_start), scope->log_from,
                             sizeof scope->log_from));
    if (!log_too)
        return OK;
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    (void) pthread_mutex_lock(&backup->record->lock);
    const struct mg_status status = instance_open(backup->record, "postgres", &database);
    (void) pthread_mutex_unlock(&backup->record->lock);
    TRY(status);
    TRY(mg_query(
        database, &rows,
        "SELECT setting::bigint, coalesce((SELECT last_archived_wal FROM pg_stat_archiver"
        " WHERE last_archived_wal ~ '^[0-9A-F]{24}$'), '') FROM pg_settings WHERE name = 'wal_segment_size'"));
    scope->segment_bytes = (uint32_t) mg_rows_i64(rows, 0, 0);
    return mg_view_copy(mg_rows_text(rows, 0, 1), scope->log_last, sizeof scope->log_last);
}

/* `busy`. */
static CHECKED struct mg_status
inventory_follow(struct backup *backup)
{
    struct inventory_scope scope;
    mg_instant verified_at = 0;
    TRY(scope_fill(backup, false, &scope));
    const struct mg_status status = inventory_update(&scope, &verified_at);
    (void) pthread_mutex_lock(&backup->lock);
    if (mg_ok(status))
        backup->verified_at = verified_at;
    if (status.code == MG_INTEGRITY)
        backup->check_trouble = MG_BACKUP_TROUBLE_INVENTORY;
    (void) pthread_mutex_unlock(&backup->lock);
    return status.code == MG_INTEGRITY ? OK : status; /* told; backups go on */
}

static CHECKED struct mg_status
verified_record(const struct backup *backup, const struct inventory_finding *finding, bool accept)
{
    char files[24], problems[24];
    OWN_BUFFER(details, 1024);
    const struct mg_backup_trouble_row *row = mg_backup_trouble_row(finding->trouble);
    (void) snprintf(files, sizeof files, "%llu", (unsigned long long) finding->files);
    (void) snprintf(problems, sizeof problems, "%llu", (unsigned long long) finding->problems);
    const struct mg_record_audit_detail rows[] = {
        {.key = mg_view_text("files"), .value = mg_view_text(files)},
        {.key = mg_view_text("problems"), .value = mg_view_text(problems)},
        {.key = mg_view_text("first"), .value = mg_view_text(finding->detail)},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        TRY(mg_list_add_audit_detail(&details, &rows[i]));
    return worker_record_details(MG_EVENT_backup_verify, backup->record->tenant, backup->record->name,
                                 accept        ? "accepted"
                                 : row != NULL ? row->word
                                               : "",
                                 mg_buffer_view(&details));
}

/* `busy`. What is wrong is a finding, not a failure: it is kept, and a full backup begins a new window. */
static CHECKED struct mg_status
backups_verify(struct backup *backup, bool accept)
{
    struct inventory_scope scope;
    struct inventory_finding finding;
    TRY(info_refresh(backup));
    TRY(scope_fill(backup, true, &scope));
    TRY(inventory_verify(&scope, accept, &finding));
    TRY(verified_record(backup, &finding, accept));
    (void) pthread_mutex_lock(&backup->lock);
    const bool fresh = finding.trouble != MG_BACKUP_TROUBLE_NONE && finding.problems > backup->problems;
    backup->problems = accept ? 0 : finding.problems;
    backup->verified_at = finding.at;
    backup->verified_files = finding.files;
    backup->check_trouble = finding.trouble;
    backup->renew = backup->renew || fresh;
    memcpy(backup->chain_from, finding.chain_from, sizeof backup->chain_from);
    memcpy(backup->check_detail, finding.detail, sizeof backup->check_detail);
    (void) pthread_mutex_unlock(&backup->lock);
    if (finding.trouble != MG_BACKUP_TROUBLE_NONE)
        mg_log(MG_ERROR, "%s: %s: %s (%llu problems)", backup->record->name,
               mg_backup_trouble_row(finding.trouble)->en, finding.detail,
               (unsigned long long) finding.problems);
    return OK;
}

/* ---- taking and destroying ---- */

static CHECKED struct mg_status
taken_record(const struct backup *backup, const char *kind, const char *label)
{
    OWN_BUFFER(details, 512);
    const struct mg_record_audit_detail rows[] = {
        {.key = mg_view_text("kind"), .value = mg_view_text(kind)},
        {.key = mg_view_text("backup"), .value = mg_view_text(label)},
        {.key = mg_view_text("site"), .value = mg_view_text(mg_environment()->options->backup_near_site)},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        TRY(mg_list_add_audit_detail(&details, &rows[i]));
    return worker_record_details(MG_EVENT_backup, backup->record->tenant, backup->record->name, "",
                                 mg_buffer_view(&details));
}

/* `busy`. */
static CHECKED struct mg_status
backup_take(struct backup *backup, enum mg_backup_kind kind)
{
    const int64_t start_ms = mg_monotonic_ms();
    const enum mg_pgbackrest_verb verb =
        kind == MG_BACKUP_FULL ? MG_PGBACKREST_FULL : MG_PGBACKREST_DIFFERENTIAL;
    TRY(backup_verb(backup->record, verb, "", 0));
    TRY(info_refresh(backup));
    if (backup->info.count == 0)
        return fail_with(INTEGRITY, "a backup of %s was taken, and is not there", backup->record->name);
    const struct mg_backup *newest = &backup->info.backups[backup->info.count - 1];
    TRY(taken_record(backup, mg_backup_kind_name(newest->kind), newest->label));
    mg_log(MG_INFO, "%s: %s backup %s in %lld ms", backup->record->name, mg_backup_kind_name(newest->kind),
           newest->label, (long long) (mg_monotonic_ms() - start_ms));
    if (newest->damaged)
        return fail_with(INTEGRITY, "pages of %s failed their checksums while backup %s was taken",
                         backup->record->name, newest->label);
    return OK;
}

/* Both plans' windows are kept. */
static uint64_t
with_log_of(const struct mg_backup_info *info, const struct mg_backup_rule *rule)
{
    const size_t keeps = mg_backup_full_with_log(rule->keeps, info->backups, info->count, mg_now());
    const size_t wanted = mg_backup_full_with_log(rule->wanted, info->backups, info->count, mg_now());
    return keeps > wanted ? keeps : wanted;
}

/* `busy`. The record is durable before the backup goes. */
static CHECKED struct mg_status
backup_destroy(struct backup *backup, const struct mg_backup_rule *rule, int at)
{
    char label[MG_BACKUP_LABEL];
    struct mg_backup_info *info = &backup->info;
    TRY(mg_view_copy(mg_view_text(info->backups[at].label), label, sizeof label));
    TRY(worker_record(MG_EVENT_backup_destroy, backup->record->tenant, label, rule->wanted->name));
    TRY(backup_verb(backup->record, MG_PGBACKREST_EXPIRE, label, with_log_of(info, rule)));
    mg_log(MG_INFO, "%s: backup %s is destroyed (%s)", backup->record->name, label, rule->wanted->name);
    return info_refresh(backup);
}

/* With the lock held: the plan is confirmed, and what was found wrong with the files is accepted. Until then
 * the older backups may be the last ones that are whole. */
static bool
may_destroy(const struct backup *backup)
{
    return backup->plan_confirmed && backup->rule.keeps != NULL && backup->rule.wanted != NULL &&
           backup->check_trouble < MG_BACKUP_TROUBLE_MISSING;
}

/* `busy`. Also what of the log no backup needs any more. */
static CHECKED struct mg_status
backups_tidy(struct backup *backup)
{
    (void) pthread_mutex_lock(&backup->lock);
    const struct mg_backup_rule rule = backup->rule;
    const bool may = may_destroy(backup);
    (void) pthread_mutex_unlock(&backup->lock);
    if (!may)
        return OK;
    TRY(info_refresh(backup)); /* as it is now: what is decided from it cannot be taken back */
    for (int left = DESTROYED_MOST; left > 0; left--) {
        const int at = mg_backup_expired(&rule, backup->info.backups, backup->info.count, mg_now());
        if (at < 0)
            break;
        TRY(backup_destroy(backup, &rule, at));
    }
    const uint64_t with_log = with_log_of(&backup->info, &rule);
    if (with_log != 0)
        TRY(backup_verb(backup->record, MG_PGBACKREST_EXPIRE, "", with_log));
    backup->tidied_ms = mg_monotonic_ms();
    return OK;
}

/* ---- one turn ---- */

static enum mg_backup_kind
kind_ordered(enum mg_backup_order order)
{
    return order == MG_BACKUP_ORDER_FULL           ? MG_BACKUP_FULL
           : order == MG_BACKUP_ORDER_DIFFERENTIAL ? MG_BACKUP_DIFFERENTIAL
                                                   : MG_BACKUP_NONE;
}

/* With the lock held. */
static bool
verify_is_due(const struct backup *backup)
{
    const mg_instant now = mg_now();
    return backup->info.count != 0 && (backup->verified_at > now ||
                                       now - backup->verified_at >= mg_environment()->options->backup_verify);
}

/* With the lock held: NONE when nothing is to be taken now. */
static enum mg_backup_kind
kind_due(const struct backup *backup, bool ordered)
{
    if (ordered)
        return kind_ordered(backup->order);
    if (backup->renew)
        return MG_BACKUP_FULL;
    return mg_backup_due(backup_plan(backup), backup->info.backups, backup->info.count, backup->begin_at,
                         mg_now());
}

/* `busy`. */
static CHECKED struct mg_status
kind_take(struct backup *backup, enum mg_backup_kind kind)
{
    TRY(marker_put(backup));
    TRY(backup_take(backup, kind));
    TRY(inventory_follow(backup));
    if (kind == MG_BACKUP_FULL) {
        (void) pthread_mutex_lock(&backup->lock);
        backup->renew = false;
        (void) pthread_mutex_unlock(&backup->lock);
    }
    return log_look(backup);
}

/* `busy`. */
static CHECKED struct mg_status
turn_take(struct backup *backup, bool ordered)
{
    const int64_t now_ms = mg_monotonic_ms();
    if (backup->prepared_ms == 0 || now_ms - backup->prepared_ms >= PREPARE_MS) {
        TRY(backup_prepare(backup));
        TRY(inventory_follow(backup)); /* a worker that was killed may not have come to it */
        TRY(drill_read(backup));
    }
    if (backup->looked_ms == 0 || now_ms - backup->looked_ms >= LOOK_MS)
        TRY(log_look(backup));
    (void) pthread_mutex_lock(&backup->lock);
    const enum mg_backup_kind kind = kind_due(backup, ordered);
    const bool accept = ordered && backup->order == MG_BACKUP_ORDER_ACCEPT;
    const bool verify = accept || (ordered ? backup->order == MG_BACKUP_ORDER_VERIFY : verify_is_due(backup));
    const bool drill = ordered ? backup->order == MG_BACKUP_ORDER_DRILL : drill_is_due(backup, mg_now());
    const bool restore = ordered && backup->order == MG_BACKUP_ORDER_RESTORE;
    const bool discard = ordered && backup->order == MG_BACKUP_ORDER_DISCARD;
    (void) pthread_mutex_unlock(&backup->lock);
    if (restore || discard)
        return restore ? restore_order(backup) : restore_discard(backup);
    if (kind != MG_BACKUP_NONE)
        TRY(kind_take(backup, kind));
    if (kind == MG_BACKUP_FULL || (backup->info.count != 0 && now_ms - backup->tidied_ms >= TIDY_MS)) {
        TRY(backups_tidy(backup));
        TRY(inventory_follow(backup));
    }
    if (verify)
        TRY(backups_verify(backup, accept));
    return drill ? drill_run(backup) : OK;
}

/* With the lock held. What failed, by how far it came. */
static enum mg_backup_trouble
trouble_of(const struct backup *backup, struct mg_status status)
{
    if (!mg_ok(status))
        return backup->prepared_ms == 0 ? MG_BACKUP_TROUBLE_REPOSITORY : MG_BACKUP_TROUBLE_FAILED;
    return MG_BACKUP_TROUBLE_NONE;
}

/* With the lock held, at the end of a turn. */
static void
turn_note(struct backup *backup, bool ordered, struct mg_status status)
{
    const bool aside = ordered && backup->order >= MG_BACKUP_ORDER_RESTORE;
    if (!aside) {
        backup->trouble = trouble_of(backup, status);
        (void) snprintf(backup->detail, sizeof backup->detail, "%s", status.detail);
    }
    if (mg_ok(status))
        backup->failures = 0;
    else if (!aside) { /* a restore that is refused says nothing of the backups */
        const unsigned doublings = backup->failures < 6 ? backup->failures : 6;
        const int64_t wait_ms = (int64_t) RETRY_MS << doublings;
        backup->retry_ms = mg_monotonic_ms() + (wait_ms < RETRY_MOST_MS ? wait_ms : RETRY_MOST_MS);
        backup->failures++;
        backup->prepared_ms = 0; /* perhaps its files on tmpfs are gone, or its password */
    }
    if (ordered) {
        backup->waiting = backup->running = false;
        backup->failure = status.code;
        const bool took = mg_ok(status) && kind_ordered(backup->order) != MG_BACKUP_NONE;
        (void) snprintf(backup->result, sizeof backup->result, "%s",
                        took && backup->info.count != 0 ? backup->info.backups[backup->info.count - 1].label
                                                        : status.detail);
    }
    backup->busy = false;
}

/* Is it this thread's turn to do something for it? An order waits for nothing but its turn. */
static bool
turn_begin(struct backup *backup, bool *ret_ordered)
{
    (void) pthread_mutex_lock(&backup->lock);
    const int64_t now_ms = mg_monotonic_ms();
    *ret_ordered = backup->waiting;
    bool due = backup->waiting || backup->prepared_ms == 0 || now_ms - backup->prepared_ms >= PREPARE_MS ||
               now_ms - backup->looked_ms >= LOOK_MS ||
               backup->log_s != (unsigned) (backup_plan(backup)->log_ms / 1000) ||
               kind_due(backup, false) != MG_BACKUP_NONE || verify_is_due(backup) ||
               drill_is_due(backup, mg_now());
    if (backup->log_s != (unsigned) (backup_plan(backup)->log_ms / 1000))
        backup->looked_ms = 0;
    due = due && !backup->busy && (backup->waiting || now_ms >= backup->retry_ms);
    if (due) {
        backup->busy = true;
        backup->running = backup->waiting;
        backup->waiting = false;
    }
    (void) pthread_mutex_unlock(&backup->lock);
    return due;
}

static struct mg_status
record_tend(struct record *record, void *context)
{
    struct backup *backup = NULL;
    bool ordered = false;
    (void) context;
    if (mg_stopping() || record->state != RECORD_SERVING)
        return OK;
    TRY(backup_of(record, &backup));
    if (!turn_begin(backup, &ordered))
        return OK;
    const struct mg_status status = turn_take(backup, ordered);
    if (!mg_ok(status))
        mg_log_status(MG_ERROR, record->name, status);
    (void) pthread_mutex_lock(&backup->lock);
    turn_note(backup, ordered, status);
    (void) pthread_mutex_unlock(&backup->lock);
    return OK;
}

int64_t
backup_job(mg_instant now)
{
    (void) now;
    backup_plans_follow();
    const struct mg_status status = records_visit(record_tend, NULL);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "backups", status);
    return JOB_MS;
}
