/* A tenant's own policy: what operators see of it and how they change it. */
#include "process/authority/identity.h"
#include "process/authority/identity_factor.h"
#include "process/authority/requests.h"
#include "process/authority/rights.h"
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
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_tenant_policy reply = {.outcome = MG_NOT_ALLOWED};
    TRY(MG_RIGHT_ASK(tenant_policy, call, request->session, request->tenant, &right, &outcome));
    if (outcome != MG_GRANTED || right.tenant.number == 0) {
        reply.outcome = outcome != MG_GRANTED ? outcome : MG_NOT_KNOWN;
        return mg_answer_tenant_policy(call, &reply);
    }
    struct mg_core_tenant tenant = right.tenant;
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

/* With the row of the tenant locked, which whoever ends a role locks as well. */
static CHECKED struct mg_status
roles_judge(struct mg_database *database, uint64_t tenant, const struct mg_tenant_policy *policy)
{
    struct mg_own_role roles[MG_OWN_ROLES_MOST];
    size_t count = 0;
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "SELECT name, bit FROM tenant_role WHERE tenant = $1 ORDER BY name LIMIT $2", MG_I64(tenant),
                 MG_I64(MG_OWN_ROLES_MOST)));
    for (; count < mg_rows_count(rows); count++) {
        roles[count].bit = (uint8_t) mg_rows_i64(rows, count, 1);
        TRY(mg_view_copy(mg_rows_text(rows, count, 0), roles[count].name, sizeof roles[count].name));
    }
    return mg_tenant_policy_roles_judge(policy, (struct mg_own_roles){.roles = roles, .count = count});
}

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

/* A file about networks or headers must not shorten how long backups are kept, or open places for them, by
 * saying nothing of it. */
static CHECKED struct mg_status
plan_keep(const struct mg_rows *before, struct mg_tenant_policy *policy)
{
    const bool plan = !policy->names_plan, residency = !policy->names_residency;
    for (size_t i = 0; i < mg_rows_count(before); i++) {
        const struct mg_view keyword = mg_rows_text(before, i, 1);
        const bool keeps =
            (plan && mg_view_is(keyword, "backup.plan")) || (residency && mg_view_is(keyword, "residency"));
        if (keeps && mg_rows_text(before, i, 0).length == 0)
            TRY(mg_tenant_policy_set(policy, MG_VIEW_EMPTY, keyword, mg_rows_text(before, i, 2)));
    }
    return OK;
}

/* In one transaction: the record is durable before it commits. */
static CHECKED struct mg_status
policy_store(const struct mg_core_tenant *tenant, struct mg_tenant_policy *policy,
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
    TRY(roles_judge(database, tenant->number, policy));
    TRY(settings_read(database, tenant->number, &before));
    TRY(plan_keep(before, policy));
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

/* ---- one rule, by the tenant's own people ---- */

/* The policy as it is stored, with one value set anew. INVALID with the reason if that may not stand. */
static CHECKED struct mg_status
policy_with(const struct mg_rows *before, const struct mg_request_tenant_setting_set *request,
            struct mg_tenant_policy **ret_policy)
{
    OWN(tenant_policy) policy = NULL;
    TRY(mg_tenant_policy_new(&policy));
    for (size_t i = 0; i < mg_rows_count(before); i++)
        TRY(mg_tenant_policy_set(policy, mg_rows_text(before, i, 0), mg_rows_text(before, i, 1),
                                 mg_rows_text(before, i, 2)));
    TRY(mg_tenant_policy_set(policy, MG_VIEW_EMPTY, request->keyword, request->value));
    *ret_policy = TAKE(policy);
    return OK;
}

static const struct mg_option_row *
customers_row(struct mg_view keyword)
{
    for (size_t i = 0; i < mg_tenant_option_count; i++)
        if (mg_view_is(keyword, mg_tenant_option_rows[i].keyword))
            return mg_tenant_option_is_customers(&mg_tenant_option_rows[i]) ? &mg_tenant_option_rows[i]
                                                                            : NULL;
    return NULL;
}

static CHECKED struct mg_status
setting_record(const struct mg_right *right, const struct mg_option_row *row, struct mg_view address,
               struct mg_view before, struct mg_view after)
{
    const struct mg_core_detail details[] = {{"keyword", mg_view_text(row->keyword)},
                                             {"before", mg_view_start(before, 1000)},
                                             {"after", mg_view_start(after, 1000)}};
    return mg_core_record(&(struct mg_core_record){.event = MG_EVENT_policy_change,
                                                   .tenant = right->tenant.number,
                                                   .actor = &right->actor,
                                                   .target = mg_view_text(right->tenant.name),
                                                   .reason = mg_view_text(row->keyword),
                                                   .address = address,
                                                   .details = details,
                                                   .detail_count = MG_COUNT(details)});
}

/* GRANTED when who changes the rules could still sign in: by a password or passkey of theirs, or as they did.
 */
static CHECKED struct mg_status
methods_keep_in(struct mg_database *database, const struct mg_right *right,
                const struct mg_tenant_policy *policy, struct mg_buffer *reason, enum mg_outcome *ret_outcome)
{
    OWN(rows) rows = NULL;
    unsigned methods = 0;
    *ret_outcome = MG_GRANTED;
    TRY(mg_sign_in_methods_read(policy->settings.sign_in_methods, &methods));
    if (right->account == 0 || right->token != 0 || methods == right->tenant.methods)
        return OK; /* the command line and programs do not sign in */
    TRY(mg_query(
        database, &rows,
        "SELECT a.password_sealed IS NOT NULL,"
        " EXISTS (SELECT 1 FROM factor f WHERE f.account = a.id AND f.kind = 'passkey' AND f.verifies_user"
        "  AND f.confirmed_at IS NOT NULL),"
        " EXISTS (SELECT 1 FROM family_federation p WHERE p.family = $2) FROM account a WHERE a.id = $1",
        MG_I64(right->account), MG_I64(right->family)));
    const bool there = mg_rows_count(rows) == 1, with_password = there && mg_rows_flag(rows, 0, 0);
    if (((methods & MG_METHOD_PASSWORD) != 0 && with_password) ||
        ((methods & MG_METHOD_PASSKEY) != 0 && with_password && mg_rows_flag(rows, 0, 1)) ||
        ((methods & MG_METHOD_SSO) != 0 && there && mg_rows_flag(rows, 0, 2)))
        return OK;
    *ret_outcome = MG_LOCKS_OUT;
    return mg_buffer_add_text(reason, "sign_in.methods");
}

/* Whether the rule is still what the person who changes it saw. */
static CHECKED struct mg_status
rule_is_as_seen(const struct mg_rows *before, const struct mg_option_row *row, struct mg_view expected,
                bool *ret_as_seen)
{
    OWN(tenant_policy) policy = NULL;
    OWN_BUFFER(value, 8192);
    *ret_as_seen = true;
    if (expected.length == 0)
        return OK;
    TRY(mg_tenant_policy_new(&policy));
    for (size_t i = 0; i < mg_rows_count(before); i++)
        if (mg_rows_text(before, i, 0).length == 0)
            TRY(mg_tenant_policy_set(policy, MG_VIEW_EMPTY, mg_rows_text(before, i, 1),
                                     mg_rows_text(before, i, 2)));
    TRY(mg_option_record_text(&policy->settings, row, &value));
    *ret_as_seen = mg_is_as_expected(expected, mg_buffer_view(&value));
    return OK;
}

/* In one transaction, the row of the tenant locked: two administrators at the same time lose nothing. */
static CHECKED struct mg_status
setting_store(const struct mg_right *right, const struct mg_request_tenant_setting_set *request,
              const struct mg_option_row *row, struct mg_buffer *reason, enum mg_outcome *ret_outcome)
{
    OWN(database) database = NULL;
    OWN(transaction) transaction = NULL;
    OWN(rows) before = NULL;
    OWN(tenant_policy) policy = NULL;
    OWN_BUFFER(after, 8192);
    const char *keyword = NULL;
    struct mg_view was = mg_view_text(row->preset);
    TRY(mg_core_database(&database));
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(database, NULL, "SELECT 1 FROM tenant WHERE number = $1 FOR UPDATE",
                 MG_I64(right->tenant.number)));
    TRY(settings_read(database, right->tenant.number, &before));
    for (size_t i = 0; i < mg_rows_count(before); i++)
        if (mg_rows_text(before, i, 0).length == 0 && mg_view_is(mg_rows_text(before, i, 1), row->keyword))
            was = mg_rows_text(before, i, 2);
    bool as_seen = false;
    TRY(rule_is_as_seen(before, row, request->expected, &as_seen));
    *ret_outcome = MG_CHANGED_MEANWHILE;
    if (!as_seen)
        return OK;
    struct mg_status read = policy_with(before, request, &policy);
    if (mg_ok(read))
        read = roles_judge(database, right->tenant.number, policy);
    *ret_outcome = MG_NOT_VALID;
    if (read.code == MG_INVALID)
        return mg_buffer_add(reason, mg_view_start(mg_view_text(read.detail), 500));
    TRY(read);
    *ret_outcome = MG_LOCKS_OUT;
    if (mg_tenant_policy_ends_too_soon(policy, request->keyword, &keyword))
        return mg_buffer_add_text(reason, keyword);
    if (mg_tenant_policy_shuts_out(policy, request->address, &keyword))
        return mg_buffer_format(reason, "%s: %.*s", keyword, (int) request->address.length,
                                (const char *) request->address.bytes);
    TRY(methods_keep_in(database, right, policy, reason, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(mg_option_record_text(&policy->settings, row, &after));
    if (mg_view_equal(was, mg_buffer_view(&after)))
        return OK;
    TRY(mg_query(database, NULL,
                 "DELETE FROM tenant_setting WHERE tenant = $1 AND route = '' AND keyword = $2",
                 MG_I64(right->tenant.number), MG_STRING(row->keyword)));
    TRY(setting_insert(database, right->tenant.number, "", &policy->settings, row));
    TRY(setting_record(right, row, request->address, was, mg_buffer_view(&after)));
    return mg_transaction_commit(&transaction);
}

static CHECKED struct mg_status
rule_effect(uint64_t number)
{
    struct mg_core_tenant tenant;
    TRY(mg_tenants_changed());
    TRY(mg_core_tenant(number, &tenant));
    return mg_sign_ins_enforce(&tenant); /* who is in as nobody may come in any more, signs in again */
}

/* Control: IDENTITY_07, IDENTITY_12 */
MG_HANDLER_PUBLIC(tenant_setting_set)
{
    OWN_BUFFER(reason, 511);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(tenant_setting_set, call, request->session, MG_VIEW_EMPTY, &right, &outcome));
    const struct mg_option_row *row = customers_row(request->keyword);
    if (outcome == MG_GRANTED && (right.tenant.number == 0 || row == NULL))
        outcome = row == NULL ? MG_NOT_KNOWN : MG_NOT_ALLOWED;
    if (outcome == MG_GRANTED) {
        TRY(setting_store(&right, request, row, &reason, &outcome));
        if (outcome == MG_GRANTED)
            TRY(rule_effect(right.tenant.number));
    }
    return mg_answer_tenant_setting_set(
        call, &(struct mg_reply_tenant_setting_set){.outcome = outcome, .reason = mg_buffer_view(&reason)});
}

/* ---- the whole, by operators ---- */

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
    OWN_BUFFER(places, 511);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_tenant_policy_set reply = {.outcome = MG_NOT_ALLOWED};
    TRY(MG_RIGHT_ASK(tenant_policy_set, call, request->session, request->tenant, &right, &outcome));
    if (outcome == MG_GRANTED && !right.operator)
        outcome = MG_NOT_ALLOWED; /* the whole, rules for paths included, is the operators' to replace */
    if (outcome != MG_GRANTED || right.tenant.number == 0) {
        reply.outcome = outcome != MG_GRANTED ? outcome : MG_NOT_KNOWN;
        return mg_answer_tenant_policy_set(call, &reply);
    }
    struct mg_core_tenant tenant = right.tenant;
    struct hosts_found facts = {.number = tenant.number, .hosts = &hosts};
    TRY(mg_tenants_walk(MG_VIEW_EMPTY, hosts_find, &facts));
    struct mg_status read = request_read(request, mg_buffer_text(&hosts), &policy);
    if (mg_ok(read) && policy->settings.forward_identity && !facts.over_socket)
        read = fail_with(INVALID, "FORWARD_IDENTITY|");
    if (mg_ok(read))
        read = mg_residency_judge(policy->settings.residency, &places);
    if (mg_ok(read) && places.length != 0)
        read = fail_with(INVALID, "%s", mg_buffer_text(&places));
    if (mg_ok(read))
        read = policy_store(&tenant, policy, &right.actor);
    if (read.code == MG_INVALID) {
        reply = (struct mg_reply_tenant_policy_set){.outcome = MG_NOT_VALID,
                                                    .reason = mg_view_start(mg_view_text(read.detail), 500)};
        return mg_answer_tenant_policy_set(call, &reply);
    }
    TRY(read);
    TRY(mg_tenants_changed());
    TRY(mg_core_tenant(tenant.number, &tenant));
    TRY(mg_sign_ins_enforce(&tenant)); /* who is in as nobody may come in any more, signs in again */
    reply.outcome = MG_GRANTED;
    return mg_answer_tenant_policy_set(call, &reply);
}
