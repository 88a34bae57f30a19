/* What the authority asks about backups. */
#include "process/worker/backup.h"

#include <stdio.h>

enum { PAGE_ROWS = 400, CLOCK_MS = 60000, VAULT_LATE_MS = 3600000 };

struct mg_status
backup_find(uint64_t tenant, struct backup **ret_backup)
{
    struct record *record = NULL;
    char name[48];
    (void) snprintf(name, sizeof name, tenant == 0 ? "control" : "tenant-%llu", (unsigned long long) tenant);
    TRY(record_find(name, &record));
    return backup_of(record, ret_backup);
}

MG_HANDLER_PUBLIC(backup_order)
{
    struct backup *backup = NULL;
    if (mg_backup_order_row(request->order) == NULL)
        return fail_with(INVALID, "no such order");
    TRY(backup_find(request->tenant, &backup));
    (void) pthread_mutex_lock(&backup->lock);
    const bool free = !backup->waiting && !backup->running;
    if (free) {
        backup->order = (enum mg_backup_order) request->order;
        backup->target = request->target;
        backup->number++;
        backup->waiting = true;
        backup->asked_ms = mg_monotonic_ms();
        backup->failure = MG_OK;
        backup->result[0] = '\0';
        backup->progress = 0;
    }
    const uint64_t number = backup->number;
    (void) pthread_mutex_unlock(&backup->lock);
    if (!free)
        return fail_with(BUSY, "%s: a backup that was asked for is under way", backup->record->name);
    return mg_answer_backup_order(call, &(struct mg_reply_backup_order){.number = number});
}

/* With the lock held. A new instance has the plan's time for its first drill. */
static bool
drill_is_overdue(const struct backup *backup, mg_instant now)
{
    const int64_t every_ms = backup_plan(backup)->drill_ms;
    const mg_instant since =
        backup->drilled_at != 0 ? backup->drilled_at : backup->info.backups[0].stopped_at;
    return now - since > every_ms + every_ms / 4;
}

/* What the backups themselves tell. */
static enum mg_backup_trouble
shape_of(const struct mg_backup *backups, size_t count, mg_instant now)
{
    if (count == 0)
        return MG_BACKUP_TROUBLE_NONE;
    size_t full = count; /* the newest, and one more */
    while (full > 0 && backups[full - 1].kind != MG_BACKUP_FULL)
        full--;
    if (backups[count - 1].damaged || (full > 0 && backups[full - 1].damaged))
        return MG_BACKUP_TROUBLE_DAMAGED;
    return backups[count - 1].started_at > now + CLOCK_MS ? MG_BACKUP_TROUBLE_CLOCK : MG_BACKUP_TROUBLE_NONE;
}

/* A trouble, and what is known of it. */
struct told {
    enum mg_backup_trouble trouble;
    const char *detail;
};

static void
tell(struct told *told, enum mg_backup_trouble trouble, const char *detail)
{
    if (trouble > told->trouble)
        *told = (struct told){.trouble = trouble, .detail = detail};
}

/* With the lock held. One that was never whole has the same time from the first try. */
static bool
vault_is_late(const struct backup *backup, mg_instant now)
{
    const mg_instant since = backup->vault.since;
    return vault_is_there() && (backup->vault.whole_at != 0 ? vault_behind_ms(backup, now) > VAULT_LATE_MS
                                                            : since != 0 && now - since > VAULT_LATE_MS);
}

/* With the lock held: the worst that is true; the detail borrows. */
static struct told
trouble_now(const struct backup *backup, mg_instant now)
{
    struct told told = {.trouble = MG_BACKUP_TROUBLE_NONE, .detail = ""};
    const struct mg_backup_plan *plan = backup_plan(backup);
    const struct mg_backup *backups = backup->info.backups;
    const size_t count = backup->info.count;
    const int64_t every_ms = plan->differential_ms != 0 ? plan->differential_ms : plan->full_ms;
    for (size_t i = 0; i < BACKUP_TURNS; i++)
        tell(&told, backup->ends[i].trouble, backup->ends[i].detail);
    tell(&told, backup->log_trouble, backup->log_detail);
    tell(&told, backup->inventory_trouble, backup->inventory_detail);
    tell(&told, backup->check_trouble, backup->check_detail);
    if (residency_outside(backup) != NULL)
        tell(&told, MG_BACKUP_TROUBLE_RESIDENCY, residency_outside(backup));
    tell(&told, backup->vault.trouble, backup->vault.detail);
    tell(&told, backup->vault.check_trouble, backup->vault.check_detail);
    if (backup->vault.set_back || backup->vault.gone)
        tell(&told, MG_BACKUP_TROUBLE_VAULT_OLD,
             backup->vault.set_back ? "an older state" : "copies are gone");
    if (vault_is_late(backup, now))
        tell(&told, MG_BACKUP_TROUBLE_VAULT_LATE, "");
    if (backup->drill_failed)
        tell(&told, MG_BACKUP_TROUBLE_DRILL, backup->drill_detail);
    if (backup->plan_strange[0] != '\0')
        tell(&told, MG_BACKUP_TROUBLE_PLAN, backup->plan_strange);
    if (count == 0) {
        tell(&told, MG_BACKUP_TROUBLE_FIRST, "");
        return told;
    }
    tell(&told, shape_of(backups, count, now), backups[count - 1].label);
    if (told.trouble == MG_BACKUP_TROUBLE_NONE && drill_is_overdue(backup, now))
        tell(&told, MG_BACKUP_TROUBLE_UNDRILLED, "");
    /* Half of the interval more, for waiting and for taking it. */
    if (now - backups[count - 1].started_at > every_ms + every_ms / 2)
        tell(&told, MG_BACKUP_TROUBLE_LATE, "");
    return told;
}

/* With the lock held: the end of the oldest full backup that has the log from there on, without a gap. */
mg_instant
backup_window_from(const struct backup *backup)
{
    const struct mg_backup_info *info = &backup->info;
    size_t with_log = mg_backup_full_with_log(backup_plan(backup), info->backups, info->count, mg_now());
    mg_instant from = 0;
    for (size_t i = info->count; i > 0 && with_log != 0; i--) {
        const struct mg_backup *entry = &info->backups[i - 1];
        if (entry->kind != MG_BACKUP_FULL)
            continue;
        if (strcmp(entry->wal_start, backup->chain_from) < 0)
            break;
        from = entry->stopped_at;
        with_log--;
    }
    return from;
}

/* With the lock held. */
static void
state_fill(const struct backup *backup, const struct told *told, struct mg_reply_backup_state *reply)
{
    const struct mg_backup_info *info = &backup->info;
    *reply = (struct mg_reply_backup_state){
        .number = backup->number,
        .waiting = backup->waiting,
        .running = backup->running,
        .failure = (uint64_t) backup->failure,
        .result = mg_view_text(backup->result),
        .trouble = (uint64_t) told->trouble,
        .verified_at = backup->verified_at,
        .verified_files = backup->verified_files,
        .drilled_at = backup->drilled_at,
        .rto_ms = backup->rto_ms,
        .rpo_ms = backup->rpo_ms,
        .plan = mg_view_text(backup_plan(backup)->name),
        .log_at = backup->log_at,
        .from = backup_window_from(backup),
        .backups = info->count,
        .site = mg_view_text(mg_environment()->options->backup_near_site),
        .vault = mg_view_text(vault_is_there() ? mg_environment()->options->backup_vault_site : ""),
        .vault_behind_ms = vault_behind_ms(backup, mg_now()),
    };
    for (size_t i = 0; i < info->count; i++) {
        reply->repository_bytes += info->backups[i].repository_bytes;
        reply->backup_at = info->backups[i].stopped_at;
        if (info->backups[i].kind == MG_BACKUP_FULL)
            reply->full_at = info->backups[i].stopped_at;
    }
}

/* While one runs pgBackRest tells how far it is: to one asker at a time, and others hear what it said last.
 */
static uint64_t
progress_look(struct backup *backup)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    struct mg_backup_info info = {.backups = NULL};
    uint64_t asked = 0;
    if (pthread_mutex_trylock(&one_at_a_time) == 0) {
        if (mg_ok(backup_info_look(backup->record, MG_PGBACKREST_PROGRESS, &info)) && info.all_bytes != 0)
            asked = info.done_bytes * 10000 / info.all_bytes;
        mg_backup_info_drop(&info);
        (void) pthread_mutex_unlock(&one_at_a_time);
    }
    (void) pthread_mutex_lock(&backup->lock);
    if (asked != 0)
        backup->progress = asked;
    const uint64_t progress = backup->progress;
    (void) pthread_mutex_unlock(&backup->lock);
    return progress;
}

MG_HANDLER_PUBLIC(backup_state)
{
    struct backup *backup = NULL;
    struct mg_reply_backup_state reply;
    char detail[256], result[256];
    TRY(backup_find(request->tenant, &backup));
    (void) pthread_mutex_lock(&backup->lock);
    const struct told told = trouble_now(backup, mg_now());
    state_fill(backup, &told, &reply);
    (void) snprintf(result, sizeof result, "%s", backup->result);
    (void) snprintf(detail, sizeof detail, "%s", told.detail);
    const bool taking = backup->running && backup->order <= MG_BACKUP_ORDER_DIFFERENTIAL;
    (void) pthread_mutex_unlock(&backup->lock);
    reply.result = mg_view_text(result);
    reply.detail = mg_view_text(detail);
    if (taking)
        reply.progress = progress_look(backup);
    return mg_answer_backup_state(call, &reply);
}

MG_HANDLER_PUBLIC(backup_entries)
{
    struct backup *backup = NULL;
    struct mg_status status = OK;
    OWN_BUFFER(list, 122880);
    struct mg_reply_backup_entries reply = {.next = request->from};
    TRY(backup_find(request->tenant, &backup));
    (void) pthread_mutex_lock(&backup->lock);
    for (size_t rows = 0; mg_ok(status) && rows < PAGE_ROWS && reply.next < backup->info.count; rows++) {
        const struct mg_backup *entry = &backup->info.backups[reply.next++];
        const struct mg_record_backup_entry row = {.label = mg_view_text(entry->label),
                                                   .kind = mg_view_text(mg_backup_kind_name(entry->kind)),
                                                   .started_at = entry->started_at,
                                                   .stopped_at = entry->stopped_at,
                                                   .database_bytes = entry->database_bytes,
                                                   .repository_bytes = entry->repository_bytes,
                                                   .damaged = entry->damaged};
        status = mg_list_add_backup_entry(&list, &row);
    }
    reply.more = reply.next < backup->info.count;
    (void) pthread_mutex_unlock(&backup->lock);
    TRY(status);
    reply.backups.bytes = mg_buffer_view(&list);
    return mg_answer_backup_entries(call, &reply);
}

MG_HANDLER_PUBLIC(restore_look)
{
    struct backup *backup = NULL;
    OWN(secret) password = NULL;
    char socket[512];
    TRY(backup_find(request->tenant, &backup));
    struct mg_status status = OK;
    (void) pthread_mutex_lock(&backup->lock);
    struct mg_reply_restore_look reply = {.there = backup->copy.password != NULL,
                                          .target = backup->copy.target,
                                          .reached = backup->copy.reached};
    memcpy(socket, backup->copy.socket, sizeof socket);
    if (reply.there)
        status = mg_secret_copy(mg_secret_view(backup->copy.password), &password);
    (void) pthread_mutex_unlock(&backup->lock);
    TRY(status);
    if (reply.there) {
        reply.socket = mg_view_text(socket);
        reply.database = mg_view_text(request->tenant == 0 ? CONTROL_DATABASE : OWNER_DATABASE);
        reply.user = mg_view_text(RESTORE_ROLE);
        reply.password = mg_secret_view(password);
    }
    return mg_answer_restore_look(call, &reply);
}
