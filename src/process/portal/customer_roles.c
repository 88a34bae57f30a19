/* A tenant's own console: the roles and what each may, and rights that nobody uses. */
#include "process/portal/portal.h"

#include "domain/role.h"

#define UNUSED_DAYS 90
#define DAY_MS (24 * 3600 * 1000LL)

/* ---- roles ---- */

static const char *
permission_text(const struct visit *visit, const struct mg_permission_row *row)
{
    return visit->language == MG_JAPANESE ? row->ja : row->en;
}

static void
scope_rights(struct visit *visit, struct mg_scope *row, mg_permissions held)
{
    held &= ~mg_permissions_of_everybody();
    for (int i = 1; i < MG_PERMISSION_COUNT; i++)
        if (mg_permissions_have(held, (enum mg_permission) i))
            mg_scope_set_text(mg_scope_add(row, "rights"), "right",
                              permission_text(visit, mg_permission_row((enum mg_permission) i)));
}

static void
scope_builtin(struct visit *visit)
{
    const bool japanese = visit->language == MG_JAPANESE;
    for (size_t i = 0; i < mg_role_count; i++) {
        if (strcmp(mg_role_rows[i].name, "operator") == 0)
            continue;
        struct mg_scope *row = mg_scope_add(visit->page, "builtin");
        mg_scope_set_text(row, "role_name", mg_role_rows[i].name);
        mg_scope_set_text(row, "role_label", japanese ? mg_role_rows[i].ja : mg_role_rows[i].en);
        mg_scope_set_text(row, "role_meaning",
                          japanese ? mg_role_rows[i].meaning_ja : mg_role_rows[i].meaning_en);
        scope_rights(visit, row, mg_permissions_of_roles(mg_view_text(mg_role_rows[i].name), false));
    }
}

/* The form's choices; those of the role that is being changed are marked. */
static void
scope_choices(struct visit *visit, mg_permissions chosen)
{
    const mg_permissions grantable = mg_permissions_of_tenants() & ~mg_permissions_of_everybody();
    for (int i = 1; i < MG_PERMISSION_COUNT; i++) {
        const struct mg_permission_row *permission = mg_permission_row((enum mg_permission) i);
        if (!mg_permissions_have(grantable, (enum mg_permission) i))
            continue;
        struct mg_scope *row = mg_scope_add(visit->page, "choices");
        mg_scope_set_text(row, "choice_field", arena_format(visit, "may_%s", permission->name));
        mg_scope_set_text(row, "choice_keyword", permission->keyword);
        mg_scope_set_text(row, "choice_text", permission_text(visit, permission));
        mg_scope_set_flag(row, "chosen", mg_permissions_have(chosen, (enum mg_permission) i));
    }
}

static CHECKED struct mg_status
show_roles(struct visit *visit, uint64_t problem, struct mg_view reason)
{
    const struct mg_request_role_list request = {.session = visit_session(visit)};
    const struct mg_view edited = mg_form_value(&visit->query, "edit");
    struct mg_reply_role_list reply;
    struct mg_record_role_row role;
    mg_permissions chosen = 0;
    TRY(mg_call_role_list(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return customer_refused(visit, reply.outcome);
    scope_builtin(visit);
    for (bool more = true;;) {
        TRY(mg_list_next_role_row(&reply.roles, &role, &more));
        if (!more)
            break;
        const mg_permissions held = mg_permissions_of_keywords(role.permissions, NULL);
        struct mg_scope *row = mg_scope_add(visit->page, "own_roles");
        mg_scope_set(row, "role_name", role.name);
        mg_scope_set(row, "role_label", role.label.length != 0 ? role.label : role.name);
        mg_scope_set_number(row, "role_users", role.users);
        scope_rights(visit, row, held);
        if (mg_view_equal(edited, role.name)) {
            chosen = held;
            mg_scope_set(visit->page, "new_role", role.name);
            mg_scope_set(visit->page, "new_label", role.label);
        }
    }
    scope_choices(visit, chosen);
    if (problem == MG_GRANTED)
        return customer_show(visit, "at_roles", "customer_roles");
    mg_scope_set(visit->page, "new_role", mg_form_value(&visit->form, "new_role"));
    mg_scope_set(visit->page, "new_label", mg_form_value(&visit->form, "new_label"));
    page_problem(visit, "new_role", mg_outcome_text(problem, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "reason", reason));
    mg_scope_set_flag(visit->page, "at_roles", true);
    return show_outcome(visit, problem, "customer_roles");
}

struct mg_status
page_customer_roles(struct visit *visit)
{
    return show_roles(visit, MG_GRANTED, MG_VIEW_EMPTY);
}

static CHECKED struct mg_status
role_done(struct visit *visit, uint64_t outcome, struct mg_view reason, const char *done)
{
    if (outcome == MG_NOT_VALID || outcome == MG_IN_USE || outcome == MG_MORE_THAN_YOURS)
        return show_roles(visit, outcome, reason);
    return customer_done(visit, outcome, "/console/roles", done);
}

struct mg_status
page_customer_role_set(struct visit *visit)
{
    OWN_BUFFER(permissions, 2048);
    OWN_BUFFER(storage, 4096); /* the reason outlives the next question */
    for (int i = 1; i < MG_PERMISSION_COUNT; i++) {
        const struct mg_permission_row *row = mg_permission_row((enum mg_permission) i);
        const char *field = arena_format(visit, "may_%s", row->name);
        if (field != NULL && mg_form_has(&visit->form, field))
            TRY(mg_buffer_format(&permissions, "%s%s", permissions.length == 0 ? "" : " ", row->keyword));
    }
    const struct mg_request_role_set request = {
        .session = visit_session(visit),
        .name = mg_form_value(&visit->form, "new_role"),
        .label = mg_form_value(&visit->form, "new_label"),
        .permissions = mg_buffer_view(&permissions),
    };
    struct mg_reply_role_set reply;
    if (request.name.length > 63 || request.label.length > 254)
        return fail_with(TOO_LARGE, "a role");
    TRY(mg_call_role_set(&request, &reply, &storage, CALL_MS));
    return role_done(visit, reply.outcome, reply.reason, "role");
}

struct mg_status
page_customer_role_remove(struct visit *visit)
{
    const struct mg_request_role_remove request = {.session = visit_session(visit),
                                                   .name = mg_form_value(&visit->form, "role")};
    struct mg_reply_role_remove reply;
    TRY(mg_call_role_remove(&request, &reply, &visit->storage, CALL_MS));
    return role_done(visit, reply.outcome, MG_VIEW_EMPTY, "role_removed");
}

/* ---- rights that nobody uses ---- */

struct mg_status
page_customer_rights(struct visit *visit)
{
    const struct mg_request_role_report request = {.session = visit_session(visit),
                                                   .unused_ms = UNUSED_DAYS * DAY_MS,
                                                   .after = mg_form_value(&visit->query, "after")};
    struct mg_reply_role_report reply;
    struct mg_record_unused_row unused;
    TRY(mg_call_role_report(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return customer_refused(visit, reply.outcome);
    for (bool more = true;;) {
        TRY(mg_list_next_unused_row(&reply.rows, &unused, &more));
        if (!more)
            break;
        const struct mg_permission_row *permission = mg_permission_row(mg_permission_find(unused.permission));
        struct mg_scope *row = mg_scope_add(visit->page, "unused");
        mg_scope_set(row, "login", unused.login);
        mg_scope_set(row, "roles", unused.roles);
        mg_scope_set(row, "permission", unused.permission);
        if (permission != NULL)
            mg_scope_set_text(row, "right", permission_text(visit, permission));
        scope_time(visit, row, TIME_NAMES(granted), unused.granted_at);
        scope_time(visit, row, TIME_NAMES(used), unused.used_at);
    }
    mg_scope_set_number(visit->page, "days", UNUSED_DAYS);
    if (reply.more)
        mg_scope_set(visit->page, "next", reply.next);
    return customer_show(visit, "at_rights", "customer_rights");
}
