/* What operators ask about backups. The worker does it; here is who may, and the record that they did. */
#include "process/authority/requests.h"

#include "domain/backup_order.h"
#include "domain/site.h"
#include "domain/tenant_policy.h"
#include "process/authority/rights.h"
#include "process/authority/tenants.h"

enum { WORKER_MS = 45000, PAGE_MS = 5000 };

/* ---- for the worker: which plan each tenant has ---- */

struct plan {
    bool known; /* of a tenant whose policy was not read only that is said: the default may keep less */
    char word[32], residency[MG_RESIDENCY];
};

static void
plan_copy(void *context, const struct mg_tenant_policy *policy)
{
    struct plan *plan = context;
    *plan = (struct plan){.known = policy != NULL};
    const char *keyword = policy == NULL ? "" : policy->settings.backup_plan;
    (void) snprintf(plan->word, sizeof plan->word, "%s", strcmp(keyword, "deployment") == 0 ? "" : keyword);
    (void) snprintf(plan->residency, sizeof plan->residency, "%s",
                    policy == NULL ? "" : policy->settings.residency);
}

enum { PLANS_MOST = 600 };
struct numbers {
    uint64_t list[PLANS_MOST];
    size_t count;
    bool more;
};

/* The walk holds the lock that reading a policy takes: numbers first. */
static CHECKED struct mg_status
number_collect(void *context, const struct mg_tenant_listed *tenant, bool *ret_enough)
{
    struct numbers *numbers = context;
    *ret_enough = numbers->more = numbers->count == PLANS_MOST;
    if (!numbers->more)
        numbers->list[numbers->count++] = tenant->number;
    return OK;
}

MG_HANDLER_PUBLIC(backup_plans)
{
    OWN_BUFFER(list, 122880);
    struct numbers numbers = {.count = 0};
    TRY(mg_tenants_walk_numbers(request->after, number_collect, &numbers));
    for (size_t i = 0; i < numbers.count; i++) {
        struct plan plan;
        mg_tenants_policy_read(numbers.list[i], plan_copy, &plan);
        const struct mg_record_backup_plan row = {.tenant = numbers.list[i],
                                                  .plan = mg_view_text(plan.word),
                                                  .residency = mg_view_text(plan.residency),
                                                  .unknown = !plan.known};
        TRY(mg_list_add_backup_plan(&list, &row));
    }
    const struct mg_reply_backup_plans reply = {.more = numbers.more,
                                                .plans = {.bytes = mg_buffer_view(&list)}};
    return mg_answer_backup_plans(call, &reply);
}

struct mg_status
mg_residency_judge(const char *residency, struct mg_buffer *reason)
{
    const struct mg_options *options = mg_environment()->options;
    const char *const sites[] = {options->site, options->backup_near_site};
    for (size_t i = 0; i < MG_COUNT(sites); i++)
        if (!mg_site_is_within(sites[i], residency))
            return mg_buffer_format(reason, "RESIDENCY_HERE|%s|%s", sites[i], residency);
    return OK;
}

/* ---- for operators, and to look at for a tenant's people ---- */

MG_HANDLER_PUBLIC(backup_now)
{
    OWN_BUFFER(storage, 1024);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_backup_now reply = {.outcome = MG_NOT_ALLOWED};
    struct mg_reply_backup_order ordered;
    TRY(MG_RIGHT_ASK(backup_now, call, MG_VIEW_EMPTY, request->tenant, &right, &outcome));
    reply.outcome = outcome;
    const struct mg_backup_order_row *order = mg_backup_order_row(request->order);
    if (outcome == MG_GRANTED && order == NULL)
        reply.outcome = MG_NOT_VALID;
    if (reply.outcome != MG_GRANTED)
        return mg_answer_backup_now(call, &reply);
    TRY(mg_core_record(&(struct mg_core_record){
        .event = MG_EVENT_backup_order,
        .tenant = right.tenant.number,
        .actor = &right.actor,
        .target = right.tenant.number == 0 ? mg_view_text("control") : mg_view_text(right.tenant.name),
        .reason = mg_view_text(order->word)}));
    const struct mg_request_backup_order ask = {
        .tenant = right.tenant.number, .order = request->order, .target = request->target};
    TRY(mg_call_backup_order(&ask, &ordered, &storage, WORKER_MS));
    reply.number = ordered.number;
    return mg_answer_backup_now(call, &reply);
}

/* Whoever looks at a page must not hold threads of the authority for as long as an operator's command may. */
static int
look_ms(const struct mg_call *call)
{
    return mg_call_sender(call) == MG_PORTAL ? PAGE_MS : WORKER_MS;
}

MG_HANDLER_PUBLIC(backup_look)
{
    OWN_BUFFER(storage, 4096);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_backup_state state;
    TRY(MG_RIGHT_ASK(backup_look, call, request->session, request->tenant, &right, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_backup_look(call, &(struct mg_reply_backup_look){.outcome = outcome});
    const struct mg_request_backup_state ask = {.tenant = right.tenant.number};
    TRY(mg_call_backup_state(&ask, &state, &storage, look_ms(call)));
    const struct mg_reply_backup_look reply = {.outcome = MG_GRANTED,
                                               .number = state.number,
                                               .waiting = state.waiting,
                                               .running = state.running,
                                               .failure = state.failure,
                                               .progress = state.progress,
                                               .result = state.result,
                                               .trouble = state.trouble,
                                               .detail = state.detail,
                                               .plan = state.plan,
                                               .full_at = state.full_at,
                                               .backup_at = state.backup_at,
                                               .log_at = state.log_at,
                                               .from = state.from,
                                               .backups = state.backups,
                                               .repository_bytes = state.repository_bytes,
                                               .site = state.site,
                                               .verified_at = state.verified_at,
                                               .verified_files = state.verified_files,
                                               .drilled_at = state.drilled_at,
                                               .rto_ms = state.rto_ms,
                                               .rpo_ms = state.rpo_ms,
                                               .vault = state.vault,
                                               .vault_behind_ms = state.vault_behind_ms};
    return mg_answer_backup_look(call, &reply);
}

MG_HANDLER_PUBLIC(backup_list)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_backup_entries entries;
    TRY(MG_RIGHT_ASK(backup_list, call, request->session, request->tenant, &right, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_backup_list(call, &(struct mg_reply_backup_list){.outcome = outcome});
    const struct mg_request_backup_entries ask = {.tenant = right.tenant.number, .from = request->from};
    TRY(mg_call_backup_entries(&ask, &entries, &storage, look_ms(call)));
    const struct mg_reply_backup_list reply = {
        .outcome = MG_GRANTED, .more = entries.more, .next = entries.next, .backups = entries.backups};
    return mg_answer_backup_list(call, &reply);
}

MG_HANDLER_PUBLIC(restore_show)
{
    OWN_BUFFER(storage, 4096);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_restore_look look;
    TRY(MG_RIGHT_ASK(restore_show, call, MG_VIEW_EMPTY, request->tenant, &right, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_restore_show(call, &(struct mg_reply_restore_show){.outcome = outcome});
    const struct mg_request_restore_look ask = {.tenant = right.tenant.number};
    TRY(mg_call_restore_look(&ask, &look, &storage, WORKER_MS));
    /* Whoever is told the password may read every row: that stands in the log before they are. */
    if (look.there)
        TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_vendor_read,
                                                    .tenant = right.tenant.number,
                                                    .actor = &right.actor,
                                                    .target = mg_view_text("restored copy")}));
    const struct mg_reply_restore_show reply = {.outcome = MG_GRANTED,
                                                .there = look.there,
                                                .socket = look.socket,
                                                .database = look.database,
                                                .user = look.user,
                                                .password = look.password,
                                                .target = look.target,
                                                .reached = look.reached};
    return mg_answer_restore_show(call, &reply);
}
