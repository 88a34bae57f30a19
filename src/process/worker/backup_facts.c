/* What the prober is told of backups: each fact by itself, so that one that is wrong hides no other. */
#include "process/worker/backup.h"

#include "base/log.h"

#include <stdio.h>

/* A check reads every byte, and this look the beginnings: it never takes longer. */
enum { SEALED_MS = 6 * 3600 * 1000 + 60000 };

void
backup_sealed_look(struct backup *backup)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_backup_sealed reply;
    const struct mg_request_backup_sealed request = {.name = mg_view_text(backup->record->name),
                                                     .tenant = backup->record->tenant};
    const mg_instant at = mg_now();
    const struct mg_status status = mg_call_backup_sealed(&request, &reply, &storage, SEALED_MS);
    if (!mg_ok(status)) { /* backups and the inventory go on */
        mg_log_status(MG_WARNING, "whether backups are encrypted", status);
        return;
    }
    (void) pthread_mutex_lock(&backup->lock);
    backup->sealed.at = at;
    backup->sealed.files = reply.files;
    backup->sealed.plain = reply.plain;
    backup->sealed.own_key_opens = reply.own_key_opens;
    backup->sealed.other_key_opens = reply.other_key_opens;
    (void) snprintf(backup->sealed.first, sizeof backup->sealed.first, "%.*s", (int) reply.first.length,
                    (const char *) reply.first.bytes);
    (void) pthread_mutex_unlock(&backup->lock);
}

/* Copied, because the views of an answer must outlive the lock. */
struct facts {
    char plan_strange[32], files_detail[256], plain_first[256], drill_detail[256];
    struct mg_reply_backup_facts reply;
};

/* With the lock held. */
static void
drill_and_seal_fill(const struct backup *backup, struct facts *facts)
{
    struct mg_reply_backup_facts *reply = &facts->reply;
    (void) snprintf(facts->plain_first, sizeof facts->plain_first, "%s", backup->sealed.first);
    (void) snprintf(facts->drill_detail, sizeof facts->drill_detail, "%s", backup->drill_detail);
    reply->sealed_at = backup->sealed.at;
    reply->sealed_files = backup->sealed.files;
    reply->plain_files = backup->sealed.plain;
    reply->plain_first = mg_view_text(facts->plain_first);
    reply->own_key_opens = backup->sealed.own_key_opens;
    reply->other_key_opens = backup->sealed.other_key_opens;
    reply->drilled_at = backup->drilled_at;
    reply->drill_failed = backup->drill_failed;
    reply->drill_detail = mg_view_text(facts->drill_detail);
    reply->rto_ms = backup->rto_ms;
    reply->rpo_ms = backup->rpo_ms;
}

/* With the lock held. */
static void
facts_fill(const struct backup *backup, struct facts *facts)
{
    const struct mg_backup_info *info = &backup->info;
    struct mg_reply_backup_facts *reply = &facts->reply;
    const bool listed = backup->inventory_trouble > backup->check_trouble;
    (void) snprintf(facts->plan_strange, sizeof facts->plan_strange, "%s", backup->plan_strange);
    (void) snprintf(facts->files_detail, sizeof facts->files_detail, "%s",
                    listed ? backup->inventory_detail : backup->check_detail);
    *reply = (struct mg_reply_backup_facts){
        .plan = mg_view_text(backup_plan(backup)->name),
        .plan_strange = mg_view_text(facts->plan_strange),
        .backups = info->count,
        .due_at = backup->begin_at,
        .from = backup_window_from(backup),
        .files_trouble = (uint64_t) (listed ? backup->inventory_trouble : backup->check_trouble),
        .files_detail = mg_view_text(facts->files_detail),
        .verified_at = backup->verified_at,
        .verified_files = backup->verified_files,
    };
    for (size_t i = 0; i < info->count; i++) {
        if (info->backups[i].damaged) /* no way to any moment */
            continue;
        reply->backup_at = info->backups[i].started_at;
        if (info->backups[i].kind == MG_BACKUP_FULL)
            reply->full_at = info->backups[i].started_at;
    }
    reply->oldest_at = info->count != 0 ? info->backups[0].started_at : 0;
    drill_and_seal_fill(backup, facts);
}

MG_HANDLER_PUBLIC(backup_facts)
{
    struct backup *backup = NULL;
    struct facts facts;
    TRY(backup_find(request->tenant, &backup));
    (void) pthread_mutex_lock(&backup->lock);
    facts_fill(backup, &facts);
    (void) pthread_mutex_unlock(&backup->lock);
    return mg_answer_backup_facts(call, &facts.reply);
}
