#include "process/worker/backup.h"

#include "process/worker/inventory.h"

#include "base/io.h"
#include "base/log.h"

#include <stdlib.h>

enum {
    KEYS_MS = 15000,
    QUICK_MS = 320000,
    PROGRESS_MS = 2500,
    LONG_MS = 24 * 3600 * 1000 + 60000,
    JOB_MS = 500,
    LOOK_MS = 60000,
    SERVING_MS = 60000, /* an order waits so long for the database to be there */
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
            residency_read(backup);
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
    return mg_call_backup_run(&request, &reply, &storage,
                              is_long                          ? LONG_MS
                              : verb == MG_PGBACKREST_PROGRESS ? PROGRESS_MS
                                                               : QUICK_MS);
}

struct mg_status
backup_info_look(const struct record *record, enum mg_pgbackrest_verb verb, struct mg_backup_info *ret_info)
{
    struct mg_pgbackrest layout;
    OWN_BUFFER(json, INFO_MOST);
    const struct mg_environment *environment = mg_environment();
    TRY(mg_pgbackrest_layout(environment->directory, environment->runtime_directory,
                             environment->options->backup_near_path, record->name, &layout));
    TRY(backup_verb(record, verb, "", 0));
    TRY(mg_file_read(verb == MG_PGBACKREST_PROGRESS ? layout.progress : layout.info, &json));
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
    /* What is only read needs no login: a copy can be made while its database is down. */
    if (record->state == RECORD_SERVING) {
        (void) pthread_mutex_lock(&record->lock);
        const struct mg_status status = login_open(record, (const char *) password);
        (void) pthread_mutex_unlock(&record->lock);
        TRY(status);
    }
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
    if (record->system_identifier[0] != '\0' && /* not known before it has served */
        strcmp(info->system_identifier, record->system_identifier) != 0)
        return fail_with(INTEGRITY, "the repository of %s is another database's (%s, not %s)", record->name,
                         info->system_identifier, record->system_identifier);
    return OK;
}

/* `busy`. */
static CHECKED struct mg_status
info_refresh(struct backup *backup)
{
    struct mg_backup_info info = {.backups = NULL};
    TRY(backup_info_look(backup->record, MG_PGBACKREST_INFO, &info));
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

/* `busy`. A repository in which there is nothing of what we put there is not the one: a disk that is not
 * mounted, or everything was removed. What would be made there now would hide that. */
static CHECKED struct mg_status
repository_judge(const struct backup *backup)
{
    struct mg_backup_info info = {.backups = NULL};
    bool knows = false;
    TRY(inventory_knows_backups(backup->record->name, &knows));
    if (!knows)
        return OK;
    TRY(backup_info_look(backup->record, MG_PGBACKREST_INFO, &info));
    const size_t count = info.count;
    mg_backup_info_drop(&info);
    if (count == 0)
        return fail_with(INTEGRITY, "the repository of %s is empty, and there were backups in it",
                         backup->record->name);
    return OK;
}

/* `busy`. `accept`: an operator says that what is lost is lost. */
static CHECKED struct mg_status
backup_prepare(struct backup *backup, bool accept)
{
    TRY(configuration_publish(backup->record));
    if (!accept)
        TRY(repository_judge(backup));
    TRY(backup_verb(backup->record, MG_PGBACKREST_CREATE, "", 0));
    TRY(info_refresh(backup));
    TRY(drill_read(backup));
    (void) pthread_mutex_lock(&backup->lock);
    backup->prepared_ms = mg_monotonic_ms();
    backup->ends[BACKUP_QUICK].trouble = MG_BACKUP_TROUBLE_NONE; /* whatever turn came to it */
    backup->ends[BACKUP_QUICK].failures = 0;
    (void) pthread_mutex_unlock(&backup->lock);
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

/* `busy`. Backups go on when it does not work: that is told. */
void
backup_inventory_follow(struct backup *backup)
{
    struct inventory_scope scope;
    mg_instant verified_at = 0;
    struct mg_status status = scope_fill(backup, false, &scope);
    if (mg_ok(status))
        status = inventory_update(&scope, &verified_at);
    if (!mg_ok(status))
        mg_log_status(MG_ERROR, "inventory", status);
    (void) pthread_mutex_lock(&backup->lock);
    if (mg_ok(status) && verified_at != 0)
        backup->verified_at = verified_at;
    backup->followed = backup->followed || mg_ok(status);
    backup->inventory_trouble = mg_ok(status)                 ? MG_BACKUP_TROUBLE_NONE
                                : status.code == MG_INTEGRITY ? MG_BACKUP_TROUBLE_INVENTORY
                                                              : MG_BACKUP_TROUBLE_UNCHECKED;
    (void) snprintf(backup->inventory_detail, sizeof backup->inventory_detail, "%s", status.detail);
    (void) pthread_mutex_unlock(&backup->lock);
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
    backup_sealed_look(backup);
    TRY(inventory_verify(&scope, accept, &finding));
    TRY(verified_record(backup, &finding, accept));
    (void) pthread_mutex_lock(&backup->lock);
    const bool fresh = finding.trouble != MG_BACKUP_TROUBLE_NONE && finding.problems > backup->problems;
    backup->problems = accept ? 0 : finding.problems;
    backup->verified_at = finding.at;
    backup->verified_files = finding.files;
    backup->check_trouble = finding.trouble;
    backup->inventory_trouble = MG_BACKUP_TROUBLE_NONE;
    backup->followed = true;
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

/* What the last of its kind added. */
static uint64_t
bytes_expected(const struct mg_backup_info *info, enum mg_backup_kind kind)
{
    for (size_t i = info->count; i > 0; i--)
        if (info->backups[i - 1].kind == kind)
            return info->backups[i - 1].repository_bytes;
    return 0;
}

/* `busy`. */
static CHECKED struct mg_status
backup_take(struct backup *backup, enum mg_backup_kind kind)
{
    const int64_t start_ms = mg_monotonic_ms();
    const enum mg_pgbackrest_verb verb =
        kind == MG_BACKUP_FULL ? MG_PGBACKREST_FULL : MG_PGBACKREST_DIFFERENTIAL;
    TRY(backup_verb(backup->record, verb, "", bytes_expected(&backup->info, kind)));
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

/* `busy`. The record is durable before the backup goes, and the inventory no longer asks for it: what goes
 * otherwise is missing. */
static CHECKED struct mg_status
backup_destroy(struct backup *backup, const struct mg_backup_rule *rule, int at)
{
    char label[MG_BACKUP_LABEL];
    struct inventory_scope scope;
    struct mg_backup_info *info = &backup->info;
    TRY(mg_view_copy(mg_view_text(info->backups[at].label), label, sizeof label));
    TRY(scope_fill(backup, false, &scope));
    scope.destroyed = label;
    TRY(worker_record(MG_EVENT_backup_destroy, backup->record->tenant, label, rule->wanted->name));
    TRY(inventory_forget(&scope));
    TRY(backup_verb(backup->record, MG_PGBACKREST_EXPIRE, label, with_log_of(info, rule)));
    mg_log(MG_INFO, "%s: backup %s is destroyed (%s)", backup->record->name, label, rule->wanted->name);
    return info_refresh(backup);
}

/* With the lock held: the plan is confirmed, the files were looked at (a finding is looked for again after a
 * start: until then verified_at is 0), and what was found wrong with them is accepted. Until then the older
 * backups may be the last ones that are whole. */
bool
backup_may_destroy(const struct backup *backup)
{
    return backup->plan_confirmed && backup->rule.keeps != NULL && backup->rule.wanted != NULL &&
           backup->verified_at != 0 && backup->check_trouble < MG_BACKUP_TROUBLE_GAP &&
           backup->inventory_trouble < MG_BACKUP_TROUBLE_GAP;
}

/* `busy`. Also what of the log no backup needs any more. */
static CHECKED struct mg_status
backups_tidy(struct backup *backup)
{
    (void) pthread_mutex_lock(&backup->lock);
    const struct mg_backup_rule rule = backup->rule;
    const bool may = backup_may_destroy(backup);
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
    if (backup->outside[BACKUP_PLACE_NEAR])
        return MG_BACKUP_NONE;
    if (backup->renew)
        return MG_BACKUP_FULL;
    return mg_backup_due(backup_plan(backup), backup->info.backups, backup->info.count, backup->begin_at,
                         mg_now());
}

/* `busy`. */
static CHECKED struct mg_status
kind_take(struct backup *backup, enum mg_backup_kind kind)
{
    TRY(residency_demand(backup, BACKUP_PLACE_NEAR));
    TRY(marker_put(backup));
    TRY(backup_take(backup, kind));
    backup_inventory_follow(backup);
    if (kind == MG_BACKUP_FULL) {
        (void) pthread_mutex_lock(&backup->lock);
        backup->renew = false;
        (void) pthread_mutex_unlock(&backup->lock);
    }
    backup_log_look(backup);
    return OK;
}

/* With the lock held. */
static bool
tidy_is_due(const struct backup *backup)
{
    return backup->info.count != 0 && backup_may_destroy(backup) &&
           (backup->tidied_ms == 0 || mg_monotonic_ms() - backup->tidied_ms >= TIDY_MS);
}

/* With the lock held. What one long turn does. */
struct work {
    enum mg_backup_kind kind;
    bool accept, verify, drill, tidy;
};
static struct work
work_due(const struct backup *backup, bool ordered)
{
    struct work work = {.kind = kind_due(backup, ordered), .tidy = tidy_is_due(backup)};
    work.accept = ordered && backup->order == MG_BACKUP_ORDER_ACCEPT;
    work.verify = work.accept || (ordered ? backup->order == MG_BACKUP_ORDER_VERIFY : verify_is_due(backup));
    work.drill = ordered ? backup->order == MG_BACKUP_ORDER_DRILL : drill_is_due(backup, mg_now());
    return work;
}

/* `busy`. */
static CHECKED struct mg_status
work_do(struct backup *backup, const struct work *work)
{
    if (work->accept) /* first: what is accepted as lost here may be whole there */
        TRY(vault_hold(backup));
    if (backup->prepared_ms == 0)
        TRY(backup_prepare(backup, work->accept));
    if (!backup->followed)
        backup_inventory_follow(backup); /* a worker that was killed may not have come to it */
    if (backup->sealed.at == 0 && backup->info.count != 0)
        backup_sealed_look(backup); /* not kept: it is soon done */
    if (work->kind != MG_BACKUP_NONE)
        TRY(kind_take(backup, work->kind));
    if (work->verify) {
        backup_log_look(backup);
        TRY(backups_verify(backup, work->accept));
        vault_verify(backup, work->accept);
    }
    /* After the look: what it finds keeps the older ones. */
    if (work->kind == MG_BACKUP_FULL || work->tidy) {
        TRY(backups_tidy(backup));
        backup_inventory_follow(backup);
    }
    return OK;
}

/* ---- turns ---- */

bool
backup_is_serving(const struct backup *backup)
{
    return backup->record->state == RECORD_SERVING;
}

static bool
order_is_restore(enum mg_backup_order order)
{
    return order == MG_BACKUP_ORDER_RESTORE || order == MG_BACKUP_ORDER_RESTORE_VAULT ||
           order == MG_BACKUP_ORDER_DISCARD;
}

/* `busy`. *ret_aside: what failed says nothing of the backups (a drill keeps its own account). */
static CHECKED struct mg_status
turn_take(struct backup *backup, enum backup_turn turn, bool ordered, bool *ret_aside)
{
    *ret_aside = turn == BACKUP_RESTORE;
    if (turn == BACKUP_QUICK)
        return backup_prepare(backup, false);
    if (turn == BACKUP_RESTORE) {
        if (!ordered || backup->order == MG_BACKUP_ORDER_DISCARD)
            return restore_discard(backup);
        if (backup->prepared_ms == 0) {
            TRY(configuration_publish(backup->record));
            TRY(info_refresh(backup));
        }
        return restore_order(backup, backup->order == MG_BACKUP_ORDER_RESTORE_VAULT);
    }
    (void) pthread_mutex_lock(&backup->lock);
    const struct work work = work_due(backup, ordered);
    (void) pthread_mutex_unlock(&backup->lock);
    TRY(work_do(backup, &work));
    *ret_aside = work.drill;
    return work.drill ? drill_run(backup) : OK;
}

/* With the lock held. */
static void
order_end(struct backup *backup, struct mg_status status)
{
    const bool took = mg_ok(status) && kind_ordered(backup->order) != MG_BACKUP_NONE;
    backup->waiting = backup->running = false;
    backup->failure = status.code;
    (void) snprintf(backup->result, sizeof backup->result, "%s",
                    took && backup->info.count != 0 ? backup->info.backups[backup->info.count - 1].label
                                                    : status.detail);
}

/* With the lock held, at the end of a turn. */
static void
turn_end(struct backup *backup, enum backup_turn turn, bool ordered, bool aside, struct mg_status status)
{
    const bool failed = !mg_ok(status) && !aside;
    backup->ends[turn].trouble = !failed                    ? MG_BACKUP_TROUBLE_NONE
                                 : backup->prepared_ms == 0 ? MG_BACKUP_TROUBLE_REPOSITORY
                                                            : MG_BACKUP_TROUBLE_FAILED;
    (void) snprintf(backup->ends[turn].detail, sizeof backup->ends[turn].detail, "%s",
                    failed ? status.detail : "");
    if (mg_ok(status)) {
        backup->ends[turn].failures = 0;
    } else if (failed || !ordered) { /* an order that was refused is tried again by who gave it */
        const unsigned doublings = backup->ends[turn].failures < 6 ? backup->ends[turn].failures : 6;
        const int64_t wait_ms = (int64_t) RETRY_MS << doublings;
        backup->ends[turn].retry_ms = mg_monotonic_ms() + (wait_ms < RETRY_MOST_MS ? wait_ms : RETRY_MOST_MS);
        backup->ends[turn].failures++;
        if (failed)
            backup->prepared_ms = 0; /* perhaps its files on tmpfs are gone, or its password */
    }
    if (ordered)
        order_end(backup, status);
    backup->busy = false;
}

/* With the lock held: something to do that nobody asked for. */
static bool
turn_is_due(const struct backup *backup, enum backup_turn turn)
{
    const int64_t now_ms = mg_monotonic_ms();
    if (now_ms < backup->ends[turn].retry_ms)
        return false;
    if (turn == BACKUP_RESTORE)
        return backup->copy.until != 0 && mg_now() >= backup->copy.until;
    if (!backup_is_serving(backup))
        return false;
    if (turn == BACKUP_QUICK)
        return backup->prepared_ms == 0 || now_ms - backup->prepared_ms >= PREPARE_MS;
    const struct work work = work_due(backup, false);
    return backup->prepared_ms != 0 &&
           (!backup->followed || backup->ends[turn].failures != 0 || work.kind != MG_BACKUP_NONE ||
            work.tidy || work.verify || work.drill);
}

/* Is it this thread's turn to do something for it? An order waits for nothing but its turn. */
static bool
turn_begin(struct backup *backup, enum backup_turn turn, bool *ret_ordered)
{
    (void) pthread_mutex_lock(&backup->lock);
    *ret_ordered = backup->waiting && turn != BACKUP_QUICK &&
                   order_is_restore(backup->order) == (turn == BACKUP_RESTORE) &&
                   (turn == BACKUP_RESTORE || backup_is_serving(backup));
    const bool due = !backup->busy && (*ret_ordered || turn_is_due(backup, turn));
    if (due) {
        backup->busy = true;
        backup->running = backup->running || *ret_ordered;
        backup->waiting = backup->waiting && !*ret_ordered;
    }
    (void) pthread_mutex_unlock(&backup->lock);
    return due;
}

static void
turn_run(struct backup *backup, enum backup_turn turn)
{
    bool ordered = false, aside = false;
    if (!turn_begin(backup, turn, &ordered))
        return;
    const struct mg_status status = turn_take(backup, turn, ordered, &aside);
    if (!mg_ok(status))
        mg_log_status(MG_ERROR, backup->record->name, status);
    (void) pthread_mutex_lock(&backup->lock);
    turn_end(backup, turn, ordered, aside, status);
    (void) pthread_mutex_unlock(&backup->lock);
}

/* ---- the jobs ---- */

/* Who asked hears that nothing will come of it. */
static void
order_refuse(struct backup *backup)
{
    (void) pthread_mutex_lock(&backup->lock);
    if (backup->waiting && !order_is_restore(backup->order) && !backup_is_serving(backup) &&
        mg_monotonic_ms() - backup->asked_ms >= SERVING_MS)
        order_end(backup, fail_with(UNAVAILABLE, "the database of %s is not serving", backup->record->name));
    (void) pthread_mutex_unlock(&backup->lock);
}

static struct mg_status
quick_tend(struct record *record, void *context)
{
    struct backup *backup = NULL;
    (void) context;
    if (mg_stopping())
        return OK;
    TRY(backup_of(record, &backup));
    order_refuse(backup);
    if (!backup_is_serving(backup))
        return OK;
    turn_run(backup, BACKUP_QUICK);
    (void) pthread_mutex_lock(&backup->lock);
    const bool look = backup->looked_ms == 0 || mg_monotonic_ms() - backup->looked_ms >= LOOK_MS ||
                      backup->log_s != (unsigned) (backup_plan(backup)->log_ms / 1000);
    (void) pthread_mutex_unlock(&backup->lock);
    if (look)
        backup_log_look(backup);
    return OK;
}

static struct mg_status
long_tend(struct record *record, void *context)
{
    struct backup *backup = NULL;
    (void) context;
    if (mg_stopping() || record->state != RECORD_SERVING)
        return OK;
    TRY(backup_of(record, &backup));
    turn_run(backup, BACKUP_LONG);
    return OK;
}

static struct mg_status
restore_tend(struct record *record, void *context)
{
    struct backup *backup = NULL;
    (void) context;
    if (mg_stopping())
        return OK;
    TRY(backup_of(record, &backup));
    restore_copy_read(backup);
    turn_run(backup, BACKUP_RESTORE);
    return OK;
}

static int64_t tend_all(struct mg_status (*tend)(struct record *record, void *context))
{
    const struct mg_status status = records_visit(tend, NULL);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "backups", status);
    return JOB_MS;
}

int64_t
backup_quick_job(mg_instant now)
{
    (void) now;
    backup_plans_follow();
    return tend_all(quick_tend);
}

int64_t
backup_job(mg_instant now)
{
    (void) now;
    return tend_all(long_tend);
}

int64_t
restore_job(mg_instant now)
{
    (void) now;
    return tend_all(restore_tend);
}
