/* A tenant's own console: service accounts and their API tokens. */
#include "process/portal/portal.h"

#define DAY_MS (24 * 3600 * INT64_C(1000))
#define DAYS_PRESET "90"

/* ---- what there is ---- */

static CHECKED struct mg_status
accounts_list(struct visit *visit, uint64_t *ret_outcome)
{
    const struct mg_request_service_list request = {.session = visit_session(visit)};
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_service_list reply;
    struct mg_record_service_row account;
    TRY(mg_call_service_list(&request, &reply, &storage, CALL_MS));
    *ret_outcome = reply.outcome;
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        TRY(mg_list_next_service_row(&reply.accounts, &account, &more));
        if (!more)
            break;
        struct mg_scope *row = mg_scope_add(visit->page, "accounts");
        mg_scope_set(row, "login", account.login);
        mg_scope_set(row, "user_name", account.name.length != 0 ? account.name : account.login);
        mg_scope_set_text(row, "roles", customer_roles_text(visit, account.roles));
        mg_scope_set_flag(row, "disabled", account.disabled);
        mg_scope_set_flag(row, "chosen",
                          mg_view_equal(account.login, mg_form_value(&visit->form, "account")));
        mg_scope_set_number(row, "token_count", account.tokens);
        scope_time(visit, row, TIME_NAMES(used), account.last_used_at);
    }
    return OK;
}

static CHECKED struct mg_status
tokens_list(struct visit *visit)
{
    struct mg_request_token_list request = {.session = visit_session(visit)};
    const struct mg_view after = mg_form_value(&visit->query, "after");
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_token_list reply;
    struct mg_record_token_row token = {0};
    if (after.length != 0)
        TRY(mg_parse_u64(after, INT64_MAX, &request.after));
    TRY(mg_call_token_list(&request, &reply, &storage, CALL_MS));
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        TRY(mg_list_next_token_row(&reply.tokens, &token, &more));
        if (!more)
            break;
        struct mg_scope *row = mg_scope_add(visit->page, "tokens");
        mg_scope_set_number(row, "number", token.token);
        mg_scope_set(row, "token_label", token.label);
        mg_scope_set(row, "hint", token.hint);
        mg_scope_set(row, "login", token.account);
        mg_scope_set(row, "rights", token.permissions);
        mg_scope_set(row, "address", token.last_address);
        mg_scope_set_flag(row, "over", token.expires_at <= visit->now);
        scope_time(visit, row, TIME_NAMES(ends), token.expires_at);
        scope_time(visit, row, TIME_NAMES(used), token.last_used_at);
    }
    if (reply.more)
        mg_scope_set_number(visit->page, "next", token.token);
    return OK;
}

/* The form's choices: what the person has themselves. */
static void
scope_rights(struct visit *visit)
{
    const mg_permissions held = visit->person.permissions & ~mg_permissions_of_everybody();
    for (int i = 1; i < MG_PERMISSION_COUNT; i++) {
        const struct mg_permission_row *permission = mg_permission_row((enum mg_permission) i);
        if (!mg_permissions_have(held, (enum mg_permission) i))
            continue;
        struct mg_scope *row = mg_scope_add(visit->page, "choices");
        const char *field = arena_format(visit, "may_%s", permission->name);
        mg_scope_set_text(row, "choice_field", field);
        mg_scope_set_text(row, "choice_keyword", permission->keyword);
        mg_scope_set_text(row, "choice_text",
                          visit->language == MG_JAPANESE ? permission->ja : permission->en);
        mg_scope_set_flag(row, "chosen", field != NULL && mg_form_has(&visit->form, field));
    }
}

static void
scope_role(struct visit *visit, struct mg_view name, struct mg_view label)
{
    struct mg_scope *row = mg_scope_add(visit->page, "roles_there");
    mg_scope_set(row, "role_name", name);
    mg_scope_set(row, "role_label", label.length != 0 ? label : name);
}

/* Without users.read only the built-in ones are known. */
static CHECKED struct mg_status
scope_roles(struct visit *visit)
{
    const struct mg_request_role_list request = {.session = visit_session(visit)};
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_role_list reply;
    struct mg_record_role_row role;
    for (size_t i = 0; i < mg_role_count; i++)
        if (strcmp(mg_role_rows[i].name, "operator") != 0)
            scope_role(
                visit, mg_view_text(mg_role_rows[i].name),
                mg_view_text(visit->language == MG_JAPANESE ? mg_role_rows[i].ja : mg_role_rows[i].en));
    if (!customer_may(visit, MG_PERMISSION_users_read))
        return OK;
    TRY(mg_call_role_list(&request, &reply, &storage, CALL_MS));
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        TRY(mg_list_next_role_row(&reply.roles, &role, &more));
        if (more)
            scope_role(visit, role.name, role.label);
    }
    return OK;
}

/* `field` is where a problem is; `reason` borrows a storage that is not the visit's. */
static CHECKED struct mg_status
show_tokens(struct visit *visit, uint64_t problem, const char *field, struct mg_view reason)
{
    static const char *const kept[] = {"new_account", "new_name", "new_token"};
    const struct mg_view days = mg_form_value(&visit->form, "days");
    uint64_t outcome = MG_OUTCOME_NONE;
    TRY(accounts_list(visit, &outcome));
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    TRY(tokens_list(visit));
    scope_rights(visit);
    TRY(scope_roles(visit));
    mg_scope_set(visit->page, "days", days.length != 0 ? days : mg_view_text(DAYS_PRESET));
    if (problem == MG_GRANTED)
        return customer_show(visit, "at_tokens", "customer_tokens");
    for (size_t i = 0; i < MG_COUNT(kept); i++)
        mg_scope_set(visit->page, kept[i], mg_form_value(&visit->form, kept[i]));
    page_problem(visit, field, mg_outcome_text(problem, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "reason", reason));
    mg_scope_set_flag(visit->page, "at_tokens", true);
    return show_outcome(visit, problem, "customer_tokens");
}

struct mg_status
page_customer_tokens(struct visit *visit)
{
    return show_tokens(visit, MG_GRANTED, "", MG_VIEW_EMPTY);
}

/* ---- what is done ---- */

/* What is not the person's to do is a page of its own; what was wrong in the form is said there. */
static bool
is_of_form(uint64_t outcome)
{
    return outcome != MG_NOT_ALLOWED && outcome != MG_SESSION_ENDED;
}

struct mg_status
page_customer_service_add(struct visit *visit)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    const struct mg_request_service_add request = {.session = visit_session(visit),
                                                   .login = mg_form_value(&visit->form, "new_account"),
                                                   .name = mg_form_value(&visit->form, "new_name"),
                                                   .roles = mg_form_value(&visit->form, "new_role")};
    struct mg_reply_service_add reply;
    if (request.login.length > 254 || request.name.length > 254 || request.roles.length > 1024)
        return fail_with(TOO_LARGE, "a service account");
    TRY(mg_call_service_add(&request, &reply, &storage, CALL_MS));
    if (reply.outcome != MG_GRANTED && is_of_form(reply.outcome))
        return show_tokens(visit, reply.outcome, "new_account", reply.reason);
    return customer_done(visit, reply.outcome, "/console/tokens", "service_added");
}

/* The answer to the form itself shows the token: no address leads to it, nothing keeps it, and loading the
 * page again asks for a new one. */
struct mg_status
page_customer_token_add(struct visit *visit)
{
    OWN_BUFFER(permissions, 2048);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    uint64_t days = 0;
    for (int i = 1; i < MG_PERMISSION_COUNT; i++) {
        const struct mg_permission_row *row = mg_permission_row((enum mg_permission) i);
        const char *field = arena_format(visit, "may_%s", row->name);
        if (field != NULL && mg_form_has(&visit->form, field))
            TRY(mg_buffer_format(&permissions, "%s%s", permissions.length == 0 ? "" : " ", row->keyword));
    }
    if (!mg_ok(mg_parse_u64(mg_form_value(&visit->form, "days"), 366, &days)))
        days = 0; /* which is in no future */
    const struct mg_request_token_add request = {.session = visit_session(visit),
                                                 .account = mg_form_value(&visit->form, "account"),
                                                 .label = mg_form_value(&visit->form, "new_token"),
                                                 .permissions = mg_buffer_view(&permissions),
                                                 .expires_at = visit->now + (int64_t) days * DAY_MS};
    struct mg_reply_token_add reply;
    if (request.account.length > 254 || request.label.length > 127)
        return fail_with(TOO_LARGE, "a token");
    TRY(mg_call_token_add(&request, &reply, &storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return is_of_form(reply.outcome) ? show_tokens(visit, reply.outcome, "new_token", reply.reason)
                                         : customer_refused(visit, reply.outcome);
    mg_scope_set(visit->page, "issued", reply.secret);
    mg_form_drop(&visit->form); /* the form for the next one is empty */
    return show_tokens(visit, MG_GRANTED, "", MG_VIEW_EMPTY);
}

struct mg_status
page_customer_token_revoke(struct visit *visit)
{
    struct mg_request_token_revoke request = {.session = visit_session(visit)};
    struct mg_reply_token_revoke reply;
    /* What is no number is no token: the authority says so, and first whether this person may ask. */
    if (!mg_ok(mg_parse_u64(mg_form_value(&visit->form, "number"), INT64_MAX, &request.token)))
        request.token = 0;
    TRY(mg_call_token_revoke(&request, &reply, &visit->storage, CALL_MS));
    return customer_done(visit, reply.outcome, "/console/tokens", "token_revoked");
}
