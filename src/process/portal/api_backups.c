/* The API: how the tenant's database is backed up, and which backups there are. */
#include "process/portal/api.h"

#include "domain/backup_order.h"
#include "domain/backup_plan.h"

struct mg_status
api_on_backups(struct api *api)
{
    const struct mg_request_backup_look request = {.session = visit_session(api->visit)};
    const bool japanese = api->visit->language == MG_JAPANESE;
    struct mg_reply_backup_look reply;
    TRY(mg_call_backup_look(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    struct mg_api_backups it = {.plan = reply.plan,
                                .site = reply.site,
                                .copy_site = reply.vault,
                                .copied_until = reply.vault.length != 0 && reply.vault_behind_ms >= 0
                                                    ? api->visit->now - reply.vault_behind_ms
                                                    : 0,
                                .backups = reply.backups,
                                .stored_bytes = reply.repository_bytes,
                                .verified_files = reply.verified_files,
                                .rto_ms = reply.rto_ms > 0 ? (uint64_t) reply.rto_ms : 0,
                                .rpo_ms = reply.rpo_ms > 0 ? (uint64_t) reply.rpo_ms : 0,
                                .from = reply.from,
                                .log_at = reply.log_at,
                                .full_at = reply.full_at,
                                .backup_at = reply.backup_at,
                                .verified_at = reply.verified_at,
                                .drilled_at = reply.drilled_at};
    const struct mg_backup_plan *plan = mg_backup_plan_named(reply.plan);
    const struct mg_backup_trouble_row *trouble = mg_backup_trouble_row(reply.trouble);
    if (plan != NULL) {
        it.plan_text = mg_view_text(japanese ? plan->ja : plan->en);
        it.promised_rpo_ms = (uint64_t) plan->rpo_ms;
        it.promised_rto_ms = (uint64_t) plan->rto_ms;
        it.window_ms = (uint64_t) plan->window_ms;
    }
    if (trouble != NULL) {
        it.trouble = mg_view_text(trouble->word);
        it.trouble_text = mg_view_text(japanese ? trouble->ja : trouble->en);
    }
    return api_one_backups(api, &it);
}

struct mg_status
api_on_backup_entries(struct api *api)
{
    struct mg_request_backup_list request = {.session = visit_session(api->visit)};
    struct mg_reply_backup_list reply;
    struct mg_record_backup_entry entry;
    bool right = false;
    TRY(api_cursor_number(api, &request.from, &right));
    if (!right)
        return OK;
    TRY(mg_call_backup_list(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_backup_entry(&reply.backups, &entry, &more));
        if (!more)
            break;
        TRY(api_item_backup(api, &entry));
    }
    return api_list_end_number(api, reply.more, reply.next);
}
