/* The vault: what the inventory names, copied to another site under a seal (ports/vault_mirror.h). The near
 * repository never waits for it: a run takes only the files' list from there, and what does not work is said,
 * kept, and tried again.
 *
 * DIR/worker/backup/NAME.vault: "masugata-vault 2 GENERATION HOLD_UNTIL WHOLE_AT DRILLED SINCE FOUND", then a
 * line with the vault's id; FOUND is enum found. A vault whose id we do not know yet is taken as the one that
 * is ours if our key opens it.
 */
#include "ports/vault_mirror.h"
#include "process/worker/backup.h"
#include "process/worker/inventory.h"

#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
    KEYS_MS = 15000,
    RUN_MS = 6 * 3600 * 1000 + 60000,
    JOB_MS = 1000,
    AGAIN_MS = 600000, /* also when nothing is new: is it still there? */
    RETRY_MS = 15000,
    RETRY_MOST_MS = 600000,
    POLL_US = 100000,
    TOLD_MOST = 16384,
};

bool
vault_is_there(void)
{
    const char *path = mg_environment()->options->backup_vault_path;
    return path != NULL && path[0] != '\0';
}

/* ---- kept for the next start ---- */

enum found { SET_BACK = 1, GONE = 2, CHANGED = 4 };

/* The state as it was kept, or as the version before kept it. */
static CHECKED struct mg_status
state_parse(const char *text, uint64_t numbers[6], const char **ret_rest)
{
    const struct mg_status status = backup_file_numbers(text, "masugata-vault 2 ", numbers, 6, ret_rest);
    return mg_ok(status) ? status : backup_file_numbers(text, "masugata-vault 1 ", numbers, 4, ret_rest);
}

/* One that cannot be read: the vault's head says what there is, and nothing in it is destroyed before it is
 * certain that no loss was accepted that we have forgotten. */
static void
state_read(struct backup *backup)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 512);
    uint64_t numbers[6] = {0};
    const char *rest = "";
    if (backup->vault.read)
        return;
    struct mg_status status = backup_file_path(backup->record->name, "vault", path);
    if (mg_ok(status))
        status = mg_file_read(path, &text);
    const bool fresh = status.code == MG_NOT_FOUND;
    if (mg_ok(status))
        status = state_parse(mg_buffer_text(&text), numbers, &rest);
    (void) pthread_mutex_lock(&backup->lock);
    backup->vault.generation = numbers[0];
    backup->vault.hold_until = mg_ok(status) ? (mg_instant) numbers[1]
                               : fresh       ? 0
                                             : mg_now() + mg_backup_plan_longest()->keep_ms;
    backup->vault.whole_at = (mg_instant) numbers[2];
    backup->vault.drilled = numbers[3] != 0;
    backup->vault.since = (mg_instant) numbers[4];
    backup->vault.set_back = (numbers[5] & SET_BACK) != 0;
    backup->vault.gone = (numbers[5] & GONE) != 0;
    backup->vault.changed = (numbers[5] & CHANGED) != 0;
    if (backup->vault.changed)
        backup->vault.check_trouble = MG_BACKUP_TROUBLE_VAULT_CHANGED;
    if (mg_ok(status) && strcspn(rest, "\n") < sizeof backup->vault.id)
        (void) snprintf(backup->vault.id, sizeof backup->vault.id, "%.*s", (int) strcspn(rest, "\n"), rest);
    backup->vault.read = true;
    (void) pthread_mutex_unlock(&backup->lock);
    if (!mg_ok(status) && !fresh)
        mg_log_status(MG_WARNING, "what was kept of the vault", status);
}

static CHECKED struct mg_status
state_keep(struct backup *backup)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 512);
    (void) pthread_mutex_lock(&backup->lock);
    const int found = (backup->vault.set_back ? SET_BACK : 0) | (backup->vault.gone ? GONE : 0) |
                      (backup->vault.changed ? CHANGED : 0);
    const struct mg_status status = mg_buffer_format(
        &text, "masugata-vault 2 %" PRIu64 " %" PRId64 " %" PRId64 " %d %" PRId64 " %d\n%s\n",
        backup->vault.generation, backup->vault.hold_until, backup->vault.whole_at, backup->vault.drilled,
        backup->vault.since, found, backup->vault.id);
    (void) pthread_mutex_unlock(&backup->lock);
    TRY(status);
    TRY(backup_file_path(backup->record->name, "vault", path));
    return mg_file_replace(path, mg_buffer_view(&text), 0600);
}

/* ---- one run ---- */

/* What it told; a failure's words are its last line. */
static CHECKED struct mg_status
told_read(const struct mg_reply_vault_run *reply, struct mg_vault_result *result)
{
    const uint8_t *mark =
        reply->text.length == 0 ? NULL : memrchr(reply->text.bytes, '!', reply->text.length);
    const bool failed = mark != NULL && (mark == reply->text.bytes || mark[-1] == '\n');
    const size_t length = failed ? (size_t) (mark - reply->text.bytes) : reply->text.length;
    if (failed || reply->failure == MG_OK)
        TRY(mg_vault_result_read(mg_view_of(reply->text.bytes, length), result));
    if (reply->failure == MG_OK)
        return OK;
    return mg_fail_with(reply->failure < MG_CODE_COUNT ? (enum mg_code) reply->failure : MG_SYSTEM, MG_HERE,
                        "%.*s", failed ? (int) (reply->text.length - length - 2) : 0,
                        failed ? (const char *) mark + 1 : "");
}

static CHECKED struct mg_status
run_ask(struct backup *backup, enum mg_vault_verb verb, enum mg_restore_kind kind, const char *list,
        struct mg_vault_result *result)
{
    OWN_BUFFER(keys, 1024);
    OWN_BUFFER(storage, TOLD_MOST);
    struct mg_reply_vault_key key;
    struct mg_reply_vault_run reply;
    char id[MG_VAULT_ID];
    const uint64_t tenant = backup->record->tenant;
    TRY(mg_call_vault_key(&(struct mg_request_vault_key){.tenant = tenant}, &key, &keys, KEYS_MS));
    (void) pthread_mutex_lock(&backup->lock);
    (void) snprintf(id, sizeof id, "%s", backup->vault.id);
    const struct mg_request_vault_run request = {.name = mg_view_text(backup->record->name),
                                                 .tenant = tenant,
                                                 .verb = (uint64_t) verb,
                                                 .kind = (uint64_t) kind,
                                                 .key = key.key,
                                                 .id = mg_view_text(id),
                                                 .generation = backup->vault.generation,
                                                 .list = mg_view_text(list)};
    (void) pthread_mutex_unlock(&backup->lock);
    TRY(mg_call_vault_run(&request, &reply, &storage, RUN_MS));
    return told_read(&reply, result);
}

static CHECKED struct mg_status
vault_begin(struct backup *backup)
{
    for (bool mine = false; !mine;) {
        if (mg_stopping())
            return fail_with(UNAVAILABLE, "we are being stopped");
        (void) pthread_mutex_lock(&backup->lock);
        mine = !backup->vault.running;
        backup->vault.running = true;
        (void) pthread_mutex_unlock(&backup->lock);
        if (!mine)
            (void) usleep(POLL_US);
    }
    state_read(backup);
    return OK;
}

static void
vault_end(struct backup *backup)
{
    (void) pthread_mutex_lock(&backup->lock);
    backup->vault.running = false;
    (void) pthread_mutex_unlock(&backup->lock);
}

/* What lies in the vault is not what was left there. */
static CHECKED struct mg_status
finding_record(const struct backup *backup, const char *what, uint64_t count, const char *first)
{
    char number[24];
    OWN_BUFFER(details, 1024);
    (void) snprintf(number, sizeof number, "%" PRIu64, count);
    const struct mg_record_audit_detail rows[] = {
        {.key = mg_view_text("what"), .value = mg_view_text(what)},
        {.key = mg_view_text("objects"), .value = mg_view_text(number)},
        {.key = mg_view_text("first"), .value = mg_view_text(first)},
        {.key = mg_view_text("site"), .value = mg_view_text(mg_environment()->options->backup_vault_site)},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        TRY(mg_list_add_audit_detail(&details, &rows[i]));
    mg_log(MG_ERROR, "%s: the vault: %s: %" PRIu64 " %s", backup->record->name, what, count, first);
    return worker_record_details(MG_EVENT_vault_trouble, backup->record->tenant, backup->record->name, what,
                                 mg_buffer_view(&details));
}

static enum mg_backup_trouble
trouble_of(struct mg_status status)
{
    return mg_ok(status)                 ? MG_BACKUP_TROUBLE_NONE
           : status.code == MG_DISK_FULL ? MG_BACKUP_TROUBLE_VAULT_FULL
           : status.code == MG_INTEGRITY ? MG_BACKUP_TROUBLE_VAULT_CHANGED
                                         : MG_BACKUP_TROUBLE_VAULT_AWAY;
}

/* `begun_at`: everything that was finished before is in the list that the run had. */
static CHECKED struct mg_status
copied(struct backup *backup, mg_instant begun_at, const struct mg_vault_result *result)
{
    const bool whole = result->left == 0 && result->lost == 0;
    const bool set_back = result->old || result->gone != 0;
    (void) pthread_mutex_lock(&backup->lock);
    backup->vault.lost_runs = result->lost != 0 ? backup->vault.lost_runs + 1 : 0;
    /* Once may be a file that the plan took away just now: the next list no longer names it. */
    const uint64_t lost = backup->vault.lost_runs > 1 ? result->lost : 0;
    const bool loss = lost > backup->vault.lost;
    backup->vault.lost = lost;
    backup->vault.set_back = backup->vault.set_back || result->old;
    backup->vault.gone = backup->vault.gone || result->gone != 0;
    (void) snprintf(backup->vault.id, sizeof backup->vault.id, "%s", result->id);
    if (result->generation > backup->vault.generation)
        backup->vault.generation = result->generation;
    if (whole)
        backup->vault.whole_at = begun_at;
    backup->vault.trouble = lost != 0 ? MG_BACKUP_TROUBLE_VAULT_LOST : MG_BACKUP_TROUBLE_NONE;
    (void) snprintf(backup->vault.detail, sizeof backup->vault.detail, "%s", lost != 0 ? result->first : "");
    (void) pthread_mutex_unlock(&backup->lock);
    TRY(state_keep(backup));
    if (set_back)
        TRY(finding_record(backup, result->old ? "older state" : "gone", result->gone, ""));
    if (loss)
        TRY(finding_record(backup, "lost", lost, result->first));
    if (result->copied != 0)
        mg_log(MG_INFO, "%s: %" PRIu64 " files, %" PRIu64 " bytes to the vault, %" PRIu64 " left",
               backup->record->name, result->copied, result->bytes, result->left);
    return OK;
}

/* With `vault.running`. What failed is kept, and was done in part. */
static CHECKED struct mg_status
copy_run(struct backup *backup, mg_instant begun_at, struct mg_vault_result *result)
{
    (void) pthread_mutex_lock(&backup->lock);
    if (backup->vault.whole_at == 0 && backup->vault.since == 0)
        backup->vault.since = mg_now();
    (void) pthread_mutex_unlock(&backup->lock);
    const struct mg_status status = run_ask(backup, MG_VAULT_COPY, MG_RESTORE_NONE, "", result);
    if (mg_ok(status))
        return copied(backup, begun_at, result);
    (void) pthread_mutex_lock(&backup->lock);
    backup->vault.trouble = trouble_of(status);
    (void) snprintf(backup->vault.detail, sizeof backup->vault.detail, "%s", status.detail);
    if (result->id[0] != '\0' && !result->other)
        (void) snprintf(backup->vault.id, sizeof backup->vault.id, "%s", result->id);
    if (result->generation > backup->vault.generation && !result->other)
        backup->vault.generation = result->generation;
    char detail[256];
    (void) snprintf(detail, sizeof detail, "%s", status.detail);
    (void) pthread_mutex_unlock(&backup->lock);
    TRY(state_keep(backup));
    return mg_fail_with(status.code, status.where, "%s", detail);
}

/* ---- what the plan has destroyed goes there as well ---- */

/* With the lock held. What was found wrong with the vault, or with what was to go there: the older backups
 * may be the last that are whole. */
static bool
may_destroy(const struct backup *backup)
{
    return backup_may_destroy(backup) && backup->info.count != 0 && mg_now() >= backup->vault.hold_until &&
           backup->vault.trouble == MG_BACKUP_TROUBLE_NONE &&
           backup->vault.check_trouble == MG_BACKUP_TROUBLE_NONE && !backup->vault.set_back &&
           !backup->vault.gone && !backup->vault.changed && backup->vault.lost_runs == 0;
}

/* Control: BACKUP_06 */
static CHECKED struct mg_status
stale_destroy(struct backup *backup, const struct mg_vault_result *found)
{
    MG_CLEANUP(mg_vault_result_drop) struct mg_vault_result result = {.generation = 0};
    bool agrees = false;
    (void) pthread_mutex_lock(&backup->lock);
    const bool may = may_destroy(backup);
    const mg_instant whole_at = backup->vault.whole_at;
    const struct mg_status status = may ? inventory_agrees(backup->record->name, &backup->info, &agrees) : OK;
    (void) pthread_mutex_unlock(&backup->lock);
    TRY(status);
    if (!agrees)
        return OK;
    for (const char *at = mg_buffer_text(&found->labels); *at != '\0'; at += strcspn(at, "\n") + 1) {
        char label[MG_BACKUP_LABEL];
        TRY(mg_view_copy(mg_view_of(at, strcspn(at, "\n")), label, sizeof label));
        TRY(worker_record(MG_EVENT_backup_destroy, backup->record->tenant, label, "vault"));
    }
    /* By the list that `found` is of: what another no longer names has no record. */
    TRY(run_ask(backup, MG_VAULT_REMOVE, MG_RESTORE_NONE, found->digest, &result));
    return copied(backup, whole_at, &result);
}

/* ---- turns ---- */

/* With the lock held: the newest that is finished in the near repository. */
static mg_instant
newest_at(const struct backup *backup)
{
    mg_instant newest = backup->log_at;
    for (size_t i = 0; i < backup->info.count; i++)
        if (backup->info.backups[i].stopped_at > newest)
            newest = backup->info.backups[i].stopped_at;
    return newest;
}

int64_t
vault_behind_ms(const struct backup *backup, mg_instant now)
{
    if (backup->vault.whole_at == 0)
        return -1;
    return newest_at(backup) <= backup->vault.whole_at || now < backup->vault.whole_at
               ? 0
               : now - backup->vault.whole_at;
}

/* Only when nothing else is under way: the near repository goes first. */
static bool
follow(struct backup *backup, mg_instant *ret_begun_at)
{
    (void) pthread_mutex_lock(&backup->lock);
    const bool free = !backup->busy;
    backup->busy = backup->busy || free;
    (void) pthread_mutex_unlock(&backup->lock);
    if (!free)
        return false;
    *ret_begun_at = mg_now();
    backup_inventory_follow(backup);
    (void) pthread_mutex_lock(&backup->lock);
    backup->busy = false;
    const bool followed = backup->inventory_trouble == MG_BACKUP_TROUBLE_NONE;
    (void) pthread_mutex_unlock(&backup->lock);
    return followed;
}

/* With `vault.running`. */
static CHECKED struct mg_status
turn(struct backup *backup, bool *ret_more)
{
    MG_CLEANUP(mg_vault_result_drop) struct mg_vault_result result = {.generation = 0};
    mg_instant begun_at = 0;
    *ret_more = true;
    if (!follow(backup, &begun_at))
        return OK;
    TRY(copy_run(backup, begun_at, &result));
    (void) pthread_mutex_lock(&backup->lock);
    *ret_more = result.lost == 0 ? result.left != 0 : backup->vault.lost_runs == 1 || result.copied != 0;
    (void) pthread_mutex_unlock(&backup->lock);
    if (result.stale != 0 && result.left == 0 && result.lost == 0)
        TRY(stale_destroy(backup, &result));
    return OK;
}

static struct mg_status
vault_tend(struct record *record, void *context)
{
    struct backup *backup = NULL;
    bool more = false;
    (void) context;
    if (mg_stopping())
        return OK;
    TRY(backup_of(record, &backup));
    (void) pthread_mutex_lock(&backup->lock);
    const int64_t now_ms = mg_monotonic_ms();
    const bool news = backup->vault.failures == 0 && backup->vault.lost_runs == 0 &&
                      newest_at(backup) > backup->vault.whole_at;
    /* Where the data may lie is known once the authority has spoken. */
    const bool allowed = backup->plan_confirmed && !backup->outside[BACKUP_PLACE_VAULT];
    const bool due = allowed && backup->prepared_ms != 0 && backup->info.count != 0 && !backup->busy &&
                     !backup->vault.running && (now_ms >= backup->vault.next_ms || news);
    (void) pthread_mutex_unlock(&backup->lock);
    if (!due)
        return OK;
    TRY(vault_begin(backup));
    const struct mg_status status = turn(backup, &more);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "the vault", status);
    (void) pthread_mutex_lock(&backup->lock);
    const unsigned doublings = backup->vault.failures < 6 ? backup->vault.failures : 6;
    const int64_t retry_ms = (int64_t) RETRY_MS << doublings;
    backup->vault.failures = mg_ok(status) ? 0 : backup->vault.failures + 1;
    backup->vault.next_ms =
        mg_monotonic_ms() + (!mg_ok(status) ? (retry_ms < RETRY_MOST_MS ? retry_ms : RETRY_MOST_MS)
                             : more         ? JOB_MS
                                            : AGAIN_MS);
    (void) pthread_mutex_unlock(&backup->lock);
    vault_end(backup);
    return OK;
}

int64_t
vault_job(mg_instant now)
{
    (void) now;
    if (!vault_is_there())
        return 60000;
    const struct mg_status status = records_visit(vault_tend, NULL);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "the vault", status);
    return JOB_MS;
}

/* ---- checks, restores, drills ---- */

/* With the lock held: what is wrong in the near repository, which is what would be accepted. */
static bool
near_is_whole(const struct backup *backup)
{
    return backup->prepared_ms != 0 && backup->check_trouble < MG_BACKUP_TROUBLE_GAP &&
           backup->inventory_trouble < MG_BACKUP_TROUBLE_GAP &&
           backup->ends[BACKUP_QUICK].trouble != MG_BACKUP_TROUBLE_REPOSITORY &&
           backup->ends[BACKUP_LONG].trouble != MG_BACKUP_TROUBLE_REPOSITORY;
}

struct mg_status
vault_hold(struct backup *backup)
{
    TRY(vault_begin(backup)); /* a run under way ends before, and what comes after it sees the hold */
    (void) pthread_mutex_lock(&backup->lock);
    const struct mg_backup_plan *plan = backup_plan(backup);
    const mg_instant until = mg_now() + (plan->destroy_ms > plan->keep_ms ? plan->destroy_ms : plan->keep_ms);
    if (until > backup->vault.hold_until)
        backup->vault.hold_until = until;
    backup->vault.given_up = near_is_whole(backup) && backup->vault.trouble == MG_BACKUP_TROUBLE_VAULT_AWAY;
    (void) pthread_mutex_unlock(&backup->lock);
    const struct mg_status status = state_keep(backup);
    vault_end(backup);
    return status;
}

/* If it is another now, or an empty one, that is the one. */
static void
vault_forget(struct backup *backup)
{
    (void) pthread_mutex_lock(&backup->lock);
    backup->vault.id[0] = '\0';
    backup->vault.generation = 0;
    backup->vault.whole_at = 0;
    backup->vault.since = 0;
    (void) pthread_mutex_unlock(&backup->lock);
}

/* With `vault.running`. One that is only away is not given up with what was lost in the near repository: it
 * may be what brings that back. */
static CHECKED struct mg_status
accept_run(struct backup *backup, struct mg_vault_result *copy)
{
    const struct mg_status status = copy_run(backup, mg_now(), copy);
    (void) pthread_mutex_lock(&backup->lock);
    const bool forget =
        !mg_ok(status) &&
        (copy->other || (trouble_of(status) == MG_BACKUP_TROUBLE_VAULT_AWAY && backup->vault.given_up));
    (void) pthread_mutex_unlock(&backup->lock);
    if (!forget)
        return status;
    vault_forget(backup);
    mg_vault_result_drop(copy);
    *copy = (struct mg_vault_result){.generation = 0};
    return copy_run(backup, mg_now(), copy);
}

/* With `vault.running`. What the check found, until the next. */
static void
checked(struct backup *backup, bool accept, const struct mg_vault_result *copy,
        const struct mg_vault_result *result, struct mg_status status)
{
    (void) pthread_mutex_lock(&backup->lock);
    backup->vault.check_trouble = !mg_ok(status)         ? trouble_of(status)
                                  : result->damaged != 0 ? MG_BACKUP_TROUBLE_VAULT_CHANGED
                                                         : MG_BACKUP_TROUBLE_NONE;
    (void) snprintf(backup->vault.check_detail, sizeof backup->vault.check_detail, "%s",
                    mg_ok(status) ? result->first : status.detail);
    if (mg_ok(status)) {
        const bool again = !accept && (copy->old || copy->gone != 0); /* found in this very check */
        backup->vault.set_back = backup->vault.set_back && again;
        backup->vault.gone = backup->vault.gone && again;
        backup->vault.changed = result->damaged != 0;
    }
    if (accept)
        backup->vault.failures = 0;
    backup->vault.next_ms = accept ? 0 : backup->vault.next_ms;
    (void) pthread_mutex_unlock(&backup->lock);
    const struct mg_status kept = state_keep(backup);
    if (!mg_ok(kept))
        mg_log_status(MG_WARNING, "what was found in the vault", kept);
}

void
vault_verify(struct backup *backup, bool accept)
{
    MG_CLEANUP(mg_vault_result_drop) struct mg_vault_result result = {.generation = 0};
    MG_CLEANUP(mg_vault_result_drop) struct mg_vault_result copy = {.generation = 0};
    if (!vault_is_there() || !mg_ok(residency_demand(backup, BACKUP_PLACE_VAULT)) ||
        !mg_ok(vault_begin(backup)))
        return;
    struct mg_status status = accept ? accept_run(backup, &copy) : copy_run(backup, mg_now(), &copy);
    if (mg_ok(status))
        status = run_ask(backup, MG_VAULT_CHECK, MG_RESTORE_NONE, "", &result);
    if (mg_ok(status) && result.damaged != 0)
        status = finding_record(backup, "changed", result.damaged, result.first);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "check of the vault", status);
    checked(backup, accept, &copy, &result, status);
    vault_end(backup);
}

struct mg_status
vault_fetch(struct backup *backup, enum mg_restore_kind kind)
{
    MG_CLEANUP(mg_vault_result_drop) struct mg_vault_result result = {.generation = 0};
    MG_CLEANUP(mg_vault_result_drop) struct mg_vault_result copy = {.generation = 0};
    if (!vault_is_there())
        return fail_with(UNAVAILABLE, "there is no vault (backup.vault.path)");
    TRY(residency_demand(backup, BACKUP_PLACE_VAULT));
    TRY(vault_begin(backup));
    /* What the near repository still has; without it what was copied before. */
    const mg_instant begun_at = mg_now();
    backup_inventory_follow(backup);
    const struct mg_status copying = copy_run(backup, begun_at, &copy);
    if (!mg_ok(copying))
        mg_log_status(MG_WARNING, "the vault before a restore", copying);
    const struct mg_status status = run_ask(backup, MG_VAULT_FETCH, kind, "", &result);
    vault_end(backup);
    return status;
}

bool
vault_drill_turn(const struct backup *backup)
{
    return vault_is_there() && backup->vault.whole_at != 0 && !backup->vault.drilled;
}

struct mg_status
vault_drill_keep(struct backup *backup, bool from_vault)
{
    if (!vault_is_there())
        return OK;
    if (!mg_ok(vault_begin(backup))) /* we are being stopped: the next is made from where this one was */
        return OK;
    (void) pthread_mutex_lock(&backup->lock);
    backup->vault.drilled = from_vault;
    (void) pthread_mutex_unlock(&backup->lock);
    const struct mg_status status = state_keep(backup);
    vault_end(backup);
    return status;
}
