/* A tenant's own policy: what operators see of it and how they change it. */
#include "process/authority/identity.h"
#include "process/authority/requests.h"
#include "process/authority/tenants.h"

#include "domain/tenant_policy.h"
#include "wire/policy_snapshot.h"

#include <stdio.h>

static CHECKED struct mg_status
settings_read(struct mg_database *database, uint64_t tenant, struct mg_rows **ret_rows)
{
    return mg_query(database, ret_rows,
                    "SELECT route, keyword, value FROM tenant_setting WHERE tenant = $1"
                    " ORDER BY route, keyword",
                    MG_I64(tenant));
}

MG_HANDLER_PUBLIC(tenant_policy)
{
    OWN_BUFFER(list, 122880);
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    struct mg_core_actor actor;
    struct mg_core_tenant tenant;
    struct mg_reply_tenant_policy reply = {.outcome = MG_NOT_ALLOWED};
    bool allowed;
    TRY(mg_core_operator(call, request->session, &actor, &allowed));
    if (!allowed)
        return mg_answer_tenant_policy(call, &reply);
    const struct mg_status found = mg_core_tenant_named(request->tenant, &tenant);
    if (found.code == MG_NOT_FOUND || (mg_ok(found) && tenant.number == 0)) {
        reply.outcome = MG_NOT_KNOWN;
        return mg_answer_tenant_policy(call, &reply);
    }
    TRY(found);
    TRY(mg_core_database(&database));
    TRY(settings_read(database, tenant.number, &rows));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        const struct mg_record_tenant_setting row = {.route = mg_rows_text(rows, i, 0),
                                                     .keyword = mg_rows_text(rows, i, 1),
                                                     .value = mg_rows_text(rows, i, 2)};
        TRY(mg_list_add_tenant_setting(&list, &row));
    }
    reply =
        (struct mg_reply_tenant_policy){.outcome = MG_GRANTED, .settings = {.bytes = mg_buffer_view(&list)}};
    return mg_answer_tenant_policy(call, &reply);
}

/* ---- setting ---- */

static CHECKED struct mg_status
request_read(const struct mg_request_tenant_policy_set *request, const char *hosts,
             struct mg_tenant_policy **ret_policy)
{
    OWN(tenant_policy) policy = NULL;
    struct mg_list settings = request->settings;
    struct mg_record_tenant_setting row;
    bool more = true;
    TRY(mg_tenant_policy_new(&policy));
    for (;;) {
        TRY(mg_list_next_tenant_setting(&settings, &row, &more));
        if (!more)
            break;
        TRY(mg_tenant_policy_set(policy, row.route, row.keyword, row.value));
    }
    TRY(mg_tenant_policy_judge(policy, hosts));
    *ret_policy = TAKE(policy);
    return OK;
}

static CHECKED struct mg_status
setting_insert(struct mg_database *database, uint64_t tenant, const char *route, const void *record,
               const struct mg_option_row *row)
{
    OWN_BUFFER(value, 8192);
    TRY(mg_option_record_text(record, row, &value));
    if (route[0] == '\0' && mg_view_is(mg_buffer_view(&value), row->preset))
        return OK; /* a tenant's presets follow the program; a route keeps all, so that it exists */
    return mg_query(
        database, NULL, "INSERT INTO tenant_setting (tenant, route, keyword, value) VALUES ($1, $2, $3, $4)",
        MG_I64(tenant), MG_STRING(route), MG_STRING(row->keyword), MG_TEXT(mg_buffer_view(&value)));
}

static CHECKED struct mg_status
policy_insert(struct mg_database *database, uint64_t tenant, const struct mg_tenant_policy *policy)
{
    TRY(mg_query(database, NULL, "DELETE FROM tenant_setting WHERE tenant = $1", MG_I64(tenant)));
    for (size_t i = 0; i < mg_tenant_option_count; i++)
        TRY(setting_insert(database, tenant, "", &policy->settings, &mg_tenant_option_rows[i]));
    for (size_t r = 0; r < policy->route_count; r++)
        for (size_t i = 0; i < mg_route_option_count; i++)
            TRY(setting_insert(database, tenant, policy->routes[r].path, &policy->routes[r].settings,
                               &mg_route_option_rows[i]));
    return OK;
}

/* The differing values as "keyword: before -> after", for the record. A long one is cut; the rest of a
 * long list is counted. */
static CHECKED struct mg_status
difference(const struct mg_rows *before, const struct mg_rows *after, bool new_only, struct mg_buffer *text)
{
    for (size_t i = 0; i < mg_rows_count(before); i++) {
        const struct mg_view route = mg_rows_text(before, i, 0), keyword = mg_rows_text(before, i, 1);
        struct mg_view now = MG_VIEW_EMPTY;
        bool found = false;
        for (size_t k = 0; k < mg_rows_count(after) && !found; k++)
            if (mg_view_equal(route, mg_rows_text(after, k, 0)) &&
                mg_view_equal(keyword, mg_rows_text(after, k, 1))) {
                now = mg_rows_text(after, k, 2);
                found = true;
            }
        const struct mg_view was = mg_rows_text(before, i, 2);
        if (found && (new_only || mg_view_equal(was, now)))
            continue;
        const struct mg_view from = new_only ? MG_VIEW_EMPTY : was, to = new_only ? was : now;
        TRY(mg_buffer_format(text, "%s%.*s%s%.*s: \"%.*s\" -> \"%.*s\"", text->length != 0 ? "; " : "",
                             (int) route.length, (const char *) route.bytes, route.length != 0 ? " " : "",
                             (int) keyword.length, (const char *) keyword.bytes,
                             (int) mg_view_start(from, 256).length, (const char *) from.bytes,
                             (int) mg_view_start(to, 256).length, (const char *) to.bytes));
    }
    return OK;
}

/* In one transaction: the record is durable before it commits. */
static CHECKED struct mg_status
policy_store(const struct mg_core_tenant *tenant, const struct mg_tenant_policy *policy,
             const struct mg_core_actor *actor)
{
    OWN(database) database = NULL;
    OWN(transaction) transaction = NULL;
    OWN(rows) before = NULL;
    OWN(rows) after = NULL;
    OWN_BUFFER(changed, 16384);
    TRY(mg_core_database(&database));
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(database, NULL, "SELECT 1 FROM tenant WHERE number = $1 FOR UPDATE",
                 MG_I64(tenant->number)));
    TRY(settings_read(database, tenant->number, &before));
    TRY(policy_insert(database, tenant->number, policy));
    TRY(settings_read(database, tenant->number, &after));
    struct mg_status listed = difference(before, after, false, &changed);
    if (mg_ok(listed))
        listed = difference(after, before, true, &changed);
    if (!mg_ok(listed) && listed.code != MG_TOO_LARGE)
        return listed;
    const struct mg_core_detail details[] = {{"changed", mg_view_start(mg_buffer_view(&changed), 1000)}};
    TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_policy_change,
                                                .tenant = tenant->number,
                                                .actor = actor,
                                                .target = mg_view_text(tenant->name),
                                                .details = details,
                                                .detail_count = MG_COUNT(details)}));
    return mg_transaction_commit(&transaction);
}

struct hosts_found {
    uint64_t number;
    struct mg_buffer *hosts;
    bool over_socket;
};

static CHECKED struct mg_status
hosts_find(void *context, const struct mg_tenant_listed *tenant, bool *ret_enough)
{
    struct hosts_found *found = context;
    if (tenant->number != found->number)
        return OK;
    *ret_enough = true;
    found->over_socket = mg_upstream_is_socket(mg_view_text(tenant->upstream));
    return mg_buffer_add_text(found->hosts, tenant->hosts);
}

MG_HANDLER_PUBLIC(tenant_policy_set)
{
    OWN(tenant_policy) policy = NULL;
    OWN_BUFFER(hosts, 16384);
    struct mg_core_actor actor;
    struct mg_core_tenant tenant;
    struct mg_reply_tenant_policy_set reply = {.outcome = MG_NOT_ALLOWED};
    bool allowed;
    TRY(mg_core_operator(call, request->session, &actor, &allowed));
    if (!allowed)
        return mg_answer_tenant_policy_set(call, &reply);
    const struct mg_status found = mg_core_tenant_named(request->tenant, &tenant);
    if (found.code == MG_NOT_FOUND || (mg_ok(found) && tenant.number == 0)) {
        reply.outcome = MG_NOT_KNOWN;
        return mg_answer_tenant_policy_set(call, &reply);
    }
    TRY(found);
    struct hosts_found facts = {.number = tenant.number, .hosts = &hosts};
    TRY(mg_tenants_walk(MG_VIEW_EMPTY, hosts_find, &facts));
    struct mg_status read = request_read(request, mg_buffer_text(&hosts), &policy);
    if (mg_ok(read) && policy->settings.forward_identity && !facts.over_socket)
        read = fail_with(INVALID, "forward_identity: the application would believe anybody who reaches it; "
                                  "its upstream must be a unix socket (unix:/PATH)");
    if (read.code == MG_INVALID) {
        reply = (struct mg_reply_tenant_policy_set){.outcome = MG_NOT_VALID,
                                                    .reason = mg_view_start(mg_view_text(read.detail), 500)};
        return mg_answer_tenant_policy_set(call, &reply);
    }
    TRY(read);
    TRY(policy_store(&tenant, policy, &actor));
    TRY(mg_tenants_changed());
    TRY(mg_core_tenant(tenant.number, &tenant));
    TRY(mg_second_factor_enforce(&tenant)); /* who must give one now and has not, signs in again */
    reply.outcome = MG_GRANTED;
    return mg_answer_tenant_policy_set(call, &reply);
}
