/* A tenant's own roles, and who holds rights without using them. */
#include "domain/group_roles.h"
#include "domain/role.h"
#include "process/authority/federation.h"
#include "process/authority/requests.h"
#include "process/authority/rights.h"
#include "process/authority/tenants.h"

enum { REPORT_USERS = 100 };

/* ---- role_list ---- */

MG_HANDLER_PUBLIC(role_list)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, 122880);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(role_list, call, request->session, request->tenant, &right, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_role_list(call, &(struct mg_reply_role_list){.outcome = outcome});
    TRY(mg_core_database(&database));
    TRY(mg_query(
        database, &rows,
        "SELECT r.name, r.label, r.permissions, (SELECT count(*) FROM account a WHERE a.tenant = r.tenant"
        " AND r.name = ANY (string_to_array(a.roles, ' '))) FROM tenant_role r WHERE r.tenant = $1"
        " ORDER BY r.name",
        MG_I64(right.tenant.number)));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        const struct mg_record_role_row row = {.name = mg_rows_text(rows, i, 0),
                                               .label = mg_rows_text(rows, i, 1),
                                               .permissions = mg_rows_text(rows, i, 2),
                                               .users = (uint64_t) mg_rows_i64(rows, i, 3)};
        TRY(mg_list_add_role_row(&list, &row));
    }
    return mg_answer_role_list(
        call, &(struct mg_reply_role_list){.outcome = MG_GRANTED, .roles = {.bytes = mg_buffer_view(&list)}});
}

/* ---- role_set, role_remove ---- */

/* Users who hold a role of this name, and groups that give it: also one that is to be made, so that nobody
 * gets rights by a word that stood in the account before it meant anything. */
static CHECKED struct mg_status
holders_count(struct mg_database *database, uint64_t tenant, struct mg_view name, uint64_t *ret_users)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(
        database, &rows,
        "SELECT (SELECT count(*) FROM account WHERE tenant = $1 AND $2 = ANY (string_to_array(roles, ' ')))"
        " + (SELECT count(*) FROM tenant_group WHERE tenant = $1 AND $2 = ANY (string_to_array(roles, ' ')))",
        MG_I64(tenant), MG_TEXT(name)));
    *ret_users = (uint64_t) mg_rows_i64(rows, 0, 0);
    return OK;
}

static CHECKED struct mg_status
role_judge(struct mg_database *database, const struct mg_right *right,
           const struct mg_request_role_set *request, const struct mg_rows *present, const char **ret_reason,
           enum mg_outcome *ret_outcome)
{
    struct mg_view unknown;
    uint64_t users = 0;
    const mg_permissions wanted = mg_permissions_of_keywords(request->permissions, &unknown);
    *ret_outcome = MG_NOT_VALID;
    *ret_reason = NULL;
    if (right->tenant.number == 0)
        *ret_reason = "ROLES_OPERATORS|";
    else if (!mg_role_name_is_free(request->name))
        *ret_reason = "ROLE_NAME|";
    else if (unknown.length != 0)
        *ret_reason = "ROLE_PERMISSIONS|";
    if (*ret_reason != NULL)
        return OK;
    *ret_outcome = mg_permissions_cover(right->grantable, wanted) ? MG_GRANTED : MG_MORE_THAN_YOURS;
    if (*ret_outcome != MG_GRANTED || mg_rows_count(present) != 0)
        return OK;
    TRY(holders_count(database, right->tenant.number, request->name, &users));
    if (users != 0)
        *ret_outcome = MG_IN_USE;
    return OK;
}

static CHECKED struct mg_status
role_record(const struct mg_right *right, enum mg_event event, struct mg_view name, struct mg_view before,
            struct mg_view after)
{
    const struct mg_core_detail details[] = {{"before", mg_view_start(before, 1000)},
                                             {"after", mg_view_start(after, 1000)}};
    return mg_core_record(&(struct mg_core_record){.event = event,
                                                   .tenant = right->tenant.number,
                                                   .actor = &right->actor,
                                                   .target = name,
                                                   .details = details,
                                                   .detail_count = MG_COUNT(details)});
}

/* The lowest bit that no role of the tenant has; 0 if they are used up. */
static CHECKED struct mg_status
bit_find(struct mg_database *database, uint64_t tenant, int *ret_bit)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "SELECT coalesce(min(b), 0) FROM generate_series($2::int, $3::int) b WHERE NOT EXISTS"
                 " (SELECT 1 FROM tenant_role r WHERE r.tenant = $1 AND r.bit = b)",
                 MG_I64(tenant), MG_I64(MG_OWN_ROLE_BIT), MG_I64(MG_OWN_ROLE_BIT + MG_OWN_ROLES_MOST - 1)));
    *ret_bit = (int) mg_rows_i64(rows, 0, 0);
    return OK;
}

enum { EITHER = 0, MAKE, CHANGE };

/* Whether what is there is what the person who asks takes it for. */
static CHECKED struct mg_status
role_presence_judge(const struct mg_request_role_set *request, const struct mg_rows *present,
                    enum mg_outcome *ret_outcome)
{
    const bool exists = mg_rows_count(present) != 0;
    OWN_BUFFER(seen, 4096);
    *ret_outcome = request->how == MAKE && exists      ? MG_TAKEN
                   : request->how == CHANGE && !exists ? MG_NOT_KNOWN
                                                       : MG_GRANTED;
    if (!exists || *ret_outcome != MG_GRANTED)
        return OK;
    TRY(mg_buffer_add(&seen, mg_rows_text(present, 0, 1)));
    TRY(mg_buffer_add_byte(&seen, '\n'));
    TRY(mg_buffer_add(&seen, mg_rows_text(present, 0, 0)));
    if (!mg_is_as_expected(request->expected, mg_buffer_view(&seen)))
        *ret_outcome = MG_CHANGED_MEANWHILE;
    return OK;
}

/* In one transaction; the record is durable before it commits. */
static CHECKED struct mg_status
role_store(struct mg_database *database, const struct mg_request_role_set *request,
           const struct mg_right *right, const char **ret_reason, enum mg_outcome *ret_outcome)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) present = NULL;
    int bit = 0;
    OWN_BUFFER(permissions, 2048);
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_right_administrators_lock(database, right->tenant.number));
    TRY(mg_query(database, &present,
                 "SELECT permissions, label FROM tenant_role WHERE tenant = $1 AND name = $2 FOR UPDATE",
                 MG_I64(right->tenant.number), MG_TEXT(request->name)));
    TRY(role_presence_judge(request, present, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(role_judge(database, right, request, present, ret_reason, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    const bool exists = mg_rows_count(present) != 0;
    if (!exists)
        TRY(bit_find(database, right->tenant.number, &bit));
    if (!exists && bit == 0) {
        *ret_outcome = MG_NOT_VALID;
        *ret_reason = "ROLES_MOST|";
        return OK;
    }
    TRY(mg_permissions_text(mg_permissions_of_keywords(request->permissions, NULL), &permissions));
    TRY(role_record(right, MG_EVENT_role_change, request->name,
                    exists ? mg_rows_text(present, 0, 0) : MG_VIEW_EMPTY, mg_buffer_view(&permissions)));
    TRY(mg_query(database, NULL,
                 "INSERT INTO tenant_role (tenant, name, label, permissions, changed_at, bit)"
                 " VALUES ($1, $2, $3, $4, $5, greatest($6, 8)::smallint)"
                 " ON CONFLICT (tenant, name) DO UPDATE SET label = EXCLUDED.label,"
                 " permissions = EXCLUDED.permissions, changed_at = EXCLUDED.changed_at",
                 MG_I64(right->tenant.number), MG_TEXT(request->name), MG_TEXT(request->label),
                 MG_TEXT(mg_buffer_view(&permissions)), MG_INSTANT(mg_now()), MG_I64(bit)));
    return mg_transaction_commit(&transaction);
}

MG_HANDLER_PUBLIC(role_set)
{
    OWN(database) database = NULL;
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    const char *reason = NULL;
    TRY(MG_RIGHT_ASK(role_set, call, request->session, request->tenant, &right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(role_store(database, request, &right, &reason, &outcome));
    if (outcome == MG_GRANTED)
        TRY(mg_tenants_changed());
    return mg_answer_role_set(
        call, &(struct mg_reply_role_set){.outcome = outcome, .reason = mg_view_text(reason)});
}

/* A provider of the tenant gives the role: read by what reads it at a sign-in (domain/identity_provider.c).
 */
static CHECKED struct mg_status
is_in_providers(struct mg_database *database, uint64_t tenant, struct mg_view name, bool *ret_used)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows, "SELECT name FROM identity_provider WHERE tenant = $1", MG_I64(tenant)));
    for (size_t i = 0; i < mg_rows_count(rows) && !*ret_used; i++) {
        OWN(idp) idp = NULL;
        OWN_BUFFER(roles, 16384);
        TRY(mg_idp_load(database, tenant, mg_rows_text(rows, i, 0), &idp));
        TRY(mg_idp_roles_named(idp->settings, &roles));
        *ret_used = mg_words_have(mg_buffer_view(&roles), name);
    }
    return OK;
}

/* Rules of the tenant that name the role (they would open what it guards), and providers that give it. */
static CHECKED struct mg_status
is_in_rules(struct mg_database *database, uint64_t tenant, struct mg_view name, bool *ret_used)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(
        database, &rows,
        "SELECT 1 FROM tenant_setting WHERE tenant = $1 AND keyword IN ('roles', 'second_factor.roles')"
        " AND $2 = ANY (string_to_array(value, ' ')) LIMIT 1",
        MG_I64(tenant), MG_TEXT(name)));
    *ret_used = mg_rows_count(rows) != 0;
    return *ret_used ? OK : is_in_providers(database, tenant, name, ret_used);
}

static CHECKED struct mg_status
role_drop(struct mg_database *database, const struct mg_right *right, struct mg_view name,
          enum mg_outcome *ret_outcome)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    uint64_t users = 0;
    bool ruled = false;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_right_administrators_lock(database, right->tenant.number));
    TRY(is_in_rules(database, right->tenant.number, name, &ruled));
    TRY(mg_query(database, &rows,
                 "DELETE FROM tenant_role WHERE tenant = $1 AND name = $2 RETURNING permissions",
                 MG_I64(right->tenant.number), MG_TEXT(name)));
    TRY(holders_count(database, right->tenant.number, name, &users));
    *ret_outcome = mg_rows_count(rows) == 0 ? MG_NOT_KNOWN : users != 0 || ruled ? MG_IN_USE : MG_GRANTED;
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(role_record(right, MG_EVENT_role_delete, name, mg_rows_text(rows, 0, 0), MG_VIEW_EMPTY));
    return mg_transaction_commit(&transaction);
}

MG_HANDLER_PUBLIC(role_remove)
{
    OWN(database) database = NULL;
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(role_remove, call, request->session, request->tenant, &right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(role_drop(database, &right, request->name, &outcome));
    if (outcome == MG_GRANTED)
        TRY(mg_tenants_changed());
    return mg_answer_role_remove(call, &(struct mg_reply_role_remove){.outcome = outcome});
}

/* ---- role_report ---- */

/* The rows of one user: what was given and not used. */
static CHECKED struct mg_status
unused_add(struct mg_database *database, const struct mg_rows *users, size_t at, uint64_t tenant,
           int64_t unused_ms, mg_instant now, struct mg_buffer *list, bool *ret_any)
{
    OWN(rows) used = NULL;
    mg_permissions held = 0;
    const mg_instant granted_at = mg_rows_instant(users, at, 3);
    TRY(mg_right_of_roles(database, tenant, mg_rows_text(users, at, 2), &held));
    held &= ~mg_permissions_of_everybody();
    if (held == 0)
        return OK;
    TRY(mg_query(database, &used, "SELECT permission, used_at FROM permission_use WHERE account = $1",
                 MG_I64(mg_rows_i64(users, at, 0))));
    for (int i = 1; i < MG_PERMISSION_COUNT; i++) {
        const struct mg_permission_row *row = mg_permission_row((enum mg_permission) i);
        mg_instant used_at = 0;
        if (!mg_permissions_have(held, (enum mg_permission) i))
            continue;
        for (size_t r = 0; r < mg_rows_count(used); r++)
            if (mg_view_is(mg_rows_text(used, r, 0), row->keyword))
                used_at = mg_rows_instant(used, r, 1);
        if (!mg_permission_is_unused(granted_at, used_at, unused_ms, now))
            continue;
        const struct mg_record_unused_row record = {.login = mg_rows_text(users, at, 1),
                                                    .roles = mg_rows_text(users, at, 2),
                                                    .permission = mg_view_text(row->keyword),
                                                    .granted_at = granted_at,
                                                    .used_at = used_at};
        TRY(mg_list_add_unused_row(list, &record));
        *ret_any = true;
    }
    return OK;
}

/* Control: IDENTITY_11 */
MG_HANDLER_PUBLIC(role_report)
{
    OWN(database) database = NULL;
    OWN(rows) users = NULL;
    OWN_BUFFER(list, 122880);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_role_report reply = {0};
    TRY(MG_RIGHT_ASK(role_report, call, request->session, request->tenant, &right, &outcome));
    reply.outcome = outcome;
    if (outcome == MG_GRANTED && request->unused_ms < 0)
        reply.outcome = MG_NOT_VALID;
    if (reply.outcome != MG_GRANTED)
        return mg_answer_role_report(call, &reply);
    TRY(mg_core_database(&database));
    TRY(mg_query(
        database, &users,
        "SELECT id, login, roles, greatest(coalesce(roles_changed_at, created_at), reviewed_at) FROM account"
        " WHERE tenant = $1 AND login > $2 AND roles <> '' AND roles <> 'user' AND disabled_at IS NULL"
        " ORDER BY login LIMIT $3",
        MG_I64(right.tenant.number), MG_TEXT(request->after), MG_I64(REPORT_USERS + 1)));
    for (size_t i = 0; i < mg_rows_count(users); i++) {
        const size_t before = list.length;
        bool any = false;
        reply.more = i == REPORT_USERS;
        struct mg_status added = OK;
        if (!reply.more)
            added = unused_add(database, users, i, right.tenant.number, request->unused_ms, mg_now(), &list,
                               &any);
        if (added.code == MG_TOO_LARGE && before != 0) {
            list.length = before; /* this user begins the next page */
            reply.more = true;
        } else
            TRY(added);
        if (reply.more)
            break;
        reply.users += any;
        reply.next = mg_rows_text(users, i, 1);
    }
    reply.rows = (struct mg_list){.bytes = mg_buffer_view(&list)};
    return mg_answer_role_report(call, &reply);
}
