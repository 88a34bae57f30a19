/* A tenant's own console, on its sign-in origin: users, their roles and their sessions. No request names the
 * tenant: the authority takes it from the session, which is of this origin alone. */
#include "process/portal/portal.h"

#include "domain/group_roles.h"

static const struct {
    const char *key, *text;
} notices[] = {
    {"user_added", N_("The user was added. A mail with a link to set the password is on its way.")},
    {"disabled", N_("The user is disabled and their sessions have ended.")},
    {"enabled", N_("The user is enabled.")},
    {"invited", N_("A mail with a link to set the password is on its way.")},
    {"factors_reset", N_("Second factors and recovery codes are gone; all sessions have ended.")},
    {"roles", N_("The roles are changed. The user signs in again to use them.")},
    {"reviewed", N_("The account is confirmed.")},
    {"ended", N_("The session has ended.")},
    {"user_ended", N_("All sessions of the user have ended.")},
    {"rule", N_("The rule is in force.")},
    {"role", N_("The role is kept.")},
    {"group_added", N_("The group is made.")},
    {"group_renamed", N_("The group has its new name.")},
    {"group_roles", N_("The members of the group hold its new roles.")},
    {"group_joined", N_("The user is in the group and holds its roles.")},
    {"group_left", N_("The user is no longer in the group.")},
    {"group_removed", N_("The group is removed.")},
    {"role_removed", N_("The role is removed.")},
    {"invitation_sent", N_("A new mail is on its way; the links before it do not work any more.")},
    {"service_added", N_("The service account is made. Issue a token for it below.")},
    {"token_revoked", N_("The token is revoked.")},
    {"invitation_revoked", N_("The invitation is withdrawn.")},
    {"provider_added",
     N_("The identity provider is added, and disabled until you enable it. Enter the addresses below there, then test the connection.")},
    {"provider", N_("The settings of the identity provider are changed.")},
    {"provider_enabled", N_("The identity provider is enabled. People can sign in with it now.")},
    {"provider_disabled", N_("The identity provider is disabled, and the sessions that it gave have ended.")},
    {"provider_key", N_("Done. What the provider has to know stands in our metadata: load it there again.")},
    {"provider_removed", N_("The identity provider is removed, and the sessions that it gave have ended.")},
};

bool
customer_may(const struct visit *visit, enum mg_permission permission)
{
    return visit->signed_in && mg_permissions_have(visit->person.permissions, permission);
}

struct mg_status
customer_show(struct visit *visit, const char *at, const char *name)
{
    const struct mg_view key = mg_form_value(&visit->query, "done");
    for (size_t i = 0; i < MG_COUNT(notices); i++)
        if (mg_view_is(key, notices[i].key))
            mg_scope_set_text(visit->page, "notice", say(visit, notices[i].text));
    mg_scope_set_flag(visit->page, at, true);
    return show(visit, 200, name);
}

struct mg_status
customer_refused(struct visit *visit, uint64_t outcome)
{
    if (outcome == MG_SESSION_ENDED)
        return redirect(visit, "/sign-in?return=%s", encoded(visit, mg_view_text(visit_target(visit))));
    const unsigned status = outcome == MG_NOT_KNOWN                                      ? 404
                            : outcome == MG_NOT_ALLOWED || outcome == MG_MORE_THAN_YOURS ? 403
                                                                                         : 422;
    return show_message(visit, status, N_("Not possible"),
                        mg_outcome_text(outcome, visit->language == MG_JAPANESE), "/account",
                        N_("Back to your account"));
}

struct mg_status
customer_done(struct visit *visit, uint64_t outcome, const char *path, const char *done)
{
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    return redirect(visit, "%s%sdone=%s", path, strchr(path, '?') != NULL ? "&" : "?", done);
}

struct mg_status
page_customer_home(struct visit *visit)
{
    static const struct {
        enum mg_permission permission;
        const char *path;
    } places[] = {
        {MG_PERMISSION_users_read, "/console/users"},
        {MG_PERMISSION_sessions_read, "/console/sessions"},
        {MG_PERMISSION_sign_ins_read, "/console/sign-ins"},
        {MG_PERMISSION_policy_read, "/console/policy"},
        {MG_PERMISSION_audit_read, "/console/audit"},
        {MG_PERMISSION_reports_read, "/console/rights"},
        {MG_PERMISSION_backups_read, "/console/backups"},
    };
    for (size_t i = 0; i < MG_COUNT(places); i++)
        if (customer_may(visit, places[i].permission))
            return redirect(visit, "%s", places[i].path);
    return redirect(visit, "/account");
}

/* ---- roles in a form ---- */

static void
scope_role(struct visit *visit, struct mg_view name, struct mg_view label, struct mg_view meaning,
           struct mg_view held)
{
    struct mg_scope *row = mg_scope_add(visit->page, "role_choices");
    mg_scope_set_text(row, "role_field",
                      arena_format(visit, "role_%.*s", (int) name.length, (const char *) name.bytes));
    mg_scope_set(row, "role_name", name);
    mg_scope_set(row, "role_label", label.length != 0 ? label : name);
    mg_scope_set(row, "role_meaning", meaning);
    mg_scope_set_flag(row, "role_held", mg_words_have(held, name));
}

/* Built-in roles first, then the tenant's own. */
struct mg_status
customer_role_choices(struct visit *visit, struct mg_view held)
{
    const bool japanese = visit->language == MG_JAPANESE;
    const struct mg_request_role_list request = {.session = visit_session(visit)};
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_role_list reply;
    struct mg_record_role_row role;
    for (size_t i = 0; i < mg_role_count; i++)
        if (strcmp(mg_role_rows[i].name, "operator") != 0)
            scope_role(visit, mg_view_text(mg_role_rows[i].name),
                       mg_view_text(japanese ? mg_role_rows[i].ja : mg_role_rows[i].en),
                       mg_view_text(japanese ? mg_role_rows[i].meaning_ja : mg_role_rows[i].meaning_en),
                       held);
    TRY(mg_call_role_list(&request, &reply, &storage, CALL_MS));
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        TRY(mg_list_next_role_row(&reply.roles, &role, &more));
        if (more)
            scope_role(visit, role.name, role.label, role.permissions, held);
    }
    return OK;
}

/* "administrator own" as people read it: built-in roles by their names, the tenant's own as they are. */
const char *
customer_roles_text(struct visit *visit, struct mg_view roles)
{
    OWN_BUFFER(text, 4096);
    for (size_t at = 0; at < roles.length;) {
        size_t end = at;
        while (end < roles.length && roles.bytes[end] != ' ')
            end++;
        const struct mg_view word = mg_view_of(roles.bytes + at, end - at);
        struct mg_view shown = word;
        for (size_t i = 0; i < mg_role_count; i++)
            if (mg_view_is(word, mg_role_rows[i].name))
                shown =
                    mg_view_text(visit->language == MG_JAPANESE ? mg_role_rows[i].ja : mg_role_rows[i].en);
        if ((at != 0 && !mg_ok(mg_buffer_add_text(&text, visit->language == MG_JAPANESE ? "、" : ", "))) ||
            !mg_ok(mg_buffer_add(&text, shown)))
            return NULL;
        at = end + 1;
    }
    return mg_arena_text(visit->arena, mg_buffer_view(&text));
}

struct mg_status
customer_roles_of_form(struct visit *visit, struct mg_buffer *roles)
{
    static const char prefix[] = "role_";
    for (size_t i = 0; i < visit->form.count; i++) {
        const struct mg_view field = visit->form.fields[i].name;
        if (field.length > sizeof prefix - 1 && memcmp(field.bytes, prefix, sizeof prefix - 1) == 0)
            TRY(mg_buffer_format(roles, "%s%.*s", roles->length == 0 ? "" : " ",
                                 (int) (field.length - sizeof prefix + 1),
                                 (const char *) field.bytes + sizeof prefix - 1));
    }
    return OK;
}

/* ---- users ---- */

static void
scope_state(struct mg_scope *row, uint64_t state)
{
    mg_scope_set_flag(row, "user_active", state == MG_LISTED_ACTIVE);
    mg_scope_set_flag(row, "user_disabled", state == MG_LISTED_SUSPENDED);
    mg_scope_set_flag(row, "user_locked", state == MG_LISTED_LOCKED);
    mg_scope_set_flag(row, "user_invited", state == MG_LISTED_INVITED);
}

static CHECKED struct mg_status
users_list(struct visit *visit, uint64_t *ret_outcome)
{
    const struct mg_request_user_list request = {
        .session = visit_session(visit),
        .search = mg_form_value(&visit->query, "search"),
        .after = mg_form_value(&visit->query, "after"),
    };
    struct mg_reply_user_list reply;
    struct mg_record_user_row user = {0};
    mg_buffer_clear(&visit->storage);
    TRY(mg_call_user_list(&request, &reply, &visit->storage, CALL_MS));
    *ret_outcome = reply.outcome;
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        TRY(mg_list_next_user_row(&reply.users, &user, &more));
        if (!more)
            break;
        struct mg_scope *row = mg_scope_add(visit->page, "users");
        mg_scope_set(row, "login", user.login);
        mg_scope_set(row, "user_name", user.name.length != 0 ? user.name : user.login);
        mg_scope_set_text(row, "roles", customer_roles_text(visit, user.roles));
        mg_scope_set_number(row, "user_sessions", user.sessions);
        scope_state(row, user.state);
        scope_time(visit, row, TIME_NAMES(seen), user.last_sign_in_at);
    }
    mg_scope_set(visit->page, "search", request.search);
    if (reply.more)
        mg_scope_set(visit->page, "next", user.login);
    return OK;
}

static CHECKED struct mg_status
show_users(struct visit *visit, uint64_t problem)
{
    uint64_t outcome = MG_OUTCOME_NONE;
    TRY(users_list(visit, &outcome));
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    if (customer_may(visit, MG_PERMISSION_roles_grant)) {
        OWN_BUFFER(roles, 1024);
        TRY(customer_roles_of_form(visit, &roles));
        TRY(customer_role_choices(visit,
                                  problem == MG_GRANTED ? mg_view_text("user") : mg_buffer_view(&roles)));
    }
    if (problem == MG_GRANTED)
        return customer_show(visit, "at_users", "customer_users");
    mg_scope_set_flag(visit->page, "at_users", true);
    return show_outcome(visit, problem, "customer_users");
}

struct mg_status
page_customer_users(struct visit *visit)
{
    return show_users(visit, MG_GRANTED);
}

struct mg_status
page_customer_user_add(struct visit *visit)
{
    static const char *const fields[] = {"new_login", "new_name", "new_email"};
    OWN_BUFFER(roles, 1024);
    OWN_BUFFER(storage, 4096); /* the reason outlives the next question */
    TRY(customer_roles_of_form(visit, &roles));
    const struct mg_request_user_add request = {
        .session = visit_session(visit),
        .login = mg_form_value(&visit->form, "new_login"),
        .name = mg_form_value(&visit->form, "new_name"),
        .email = mg_form_value(&visit->form, "new_email"),
        .roles = roles.length == 0 ? mg_view_text("user") : mg_buffer_view(&roles),
        .language = mg_view_text(mg_view_is(mg_form_value(&visit->form, "new_language"), "ja") ? "ja" : "en"),
    };
    struct mg_reply_user_add reply;
    TRY(mg_call_user_add(&request, &reply, &storage, CALL_MS));
    if (reply.outcome == MG_GRANTED)
        return redirect(visit, "/console/user?login=%s&done=user_added", encoded(visit, request.login));
    if (reply.outcome == MG_NOT_ALLOWED || reply.outcome == MG_SESSION_ENDED)
        return customer_refused(visit, reply.outcome);
    for (size_t i = 0; i < MG_COUNT(fields); i++)
        mg_scope_set(visit->page, fields[i], mg_form_value(&visit->form, fields[i]));
    page_problem(visit, "new_login", mg_outcome_text(reply.outcome, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "reason", reply.reason));
    return show_users(visit, reply.outcome);
}

/* ---- one user ---- */

static const char *
user_path(struct visit *visit)
{
    return arena_format(visit, "/console/user?login=%s",
                        encoded(visit, mg_form_value(&visit->form, "login")));
}

static void
scope_permissions(struct visit *visit, struct mg_view keywords)
{
    for (int i = 1; i < MG_PERMISSION_COUNT; i++) {
        const struct mg_permission_row *row = mg_permission_row((enum mg_permission) i);
        if (mg_words_have(keywords, mg_view_text(row->keyword)))
            mg_scope_set_text(mg_scope_add(visit->page, "rights"), "right",
                              visit->language == MG_JAPANESE ? row->ja : row->en);
    }
}

static CHECKED struct mg_status
show_user(struct visit *visit, struct mg_view login, uint64_t problem)
{
    const struct mg_request_user_detail request = {.session = visit_session(visit), .login = login};
    struct mg_reply_user_detail reply;
    struct mg_scope *page = visit->page;
    mg_buffer_clear(&visit->storage);
    TRY(mg_call_user_detail(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return customer_refused(visit, reply.outcome);
    mg_scope_set(page, "login", reply.login);
    mg_scope_set(page, "user_name", reply.name.length != 0 ? reply.name : reply.login);
    mg_scope_set(page, "email", reply.email);
    mg_scope_set_number(page, "user_sessions", reply.sessions);
    mg_scope_set_flag(page, "yourself", reply.yourself);
    scope_state(page, reply.state);
    scope_time(visit, page, TIME_NAMES(created), reply.created_at);
    scope_time(visit, page, TIME_NAMES(seen), reply.last_sign_in_at);
    scope_time(visit, page, TIME_NAMES(password), reply.password_changed_at);
    scope_time(visit, page, TIME_NAMES(granted), reply.roles_changed_at);
    scope_time(visit, page, TIME_NAMES(reviewed), reply.reviewed_at);
    mg_scope_set(page, "reviewed_by", reply.reviewed_by);
    scope_permissions(visit, reply.permissions);
    TRY(customer_role_choices(visit, reply.roles));
    if (problem == MG_GRANTED)
        return customer_show(visit, "at_users", "customer_user");
    mg_scope_set_flag(page, "at_users", true);
    return show_outcome(visit, problem, "customer_user");
}

struct mg_status
page_customer_user(struct visit *visit)
{
    return show_user(visit, mg_form_value(&visit->query, "login"), MG_GRANTED);
}

/* What cannot be done is said on the user's page, where it was tried. */
static CHECKED struct mg_status
back_to_user(struct visit *visit, uint64_t outcome, struct mg_view reason, const char *done)
{
    const struct mg_view login = mg_form_value(&visit->form, "login");
    if (outcome == MG_GRANTED || outcome == MG_NOT_ALLOWED || outcome == MG_SESSION_ENDED ||
        outcome == MG_NOT_KNOWN || !customer_may(visit, MG_PERMISSION_users_read))
        return customer_done(visit, outcome, user_path(visit), done);
    page_problem(visit, "roles", mg_outcome_text(outcome, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "reason", reason));
    return show_user(visit, login, outcome);
}

struct mg_status
page_customer_user_disable(struct visit *visit)
{
    const bool disable = mg_view_is(mg_form_value(&visit->form, "to"), "disabled");
    const struct mg_request_user_disable request = {
        .session = visit_session(visit), .login = mg_form_value(&visit->form, "login"), .disabled = disable};
    struct mg_reply_user_disable reply;
    TRY(mg_call_user_disable(&request, &reply, &visit->storage, CALL_MS));
    return back_to_user(visit, reply.outcome, MG_VIEW_EMPTY, disable ? "disabled" : "enabled");
}

struct mg_status
page_customer_user_invite(struct visit *visit)
{
    const struct mg_request_user_invite request = {.session = visit_session(visit),
                                                   .login = mg_form_value(&visit->form, "login")};
    struct mg_reply_user_invite reply;
    TRY(mg_call_user_invite(&request, &reply, &visit->storage, CALL_MS));
    return back_to_user(visit, reply.outcome, MG_VIEW_EMPTY, "invited");
}

struct mg_status
page_customer_user_second_factor(struct visit *visit)
{
    const struct mg_request_factors_reset request = {.session = visit_session(visit),
                                                     .login = mg_form_value(&visit->form, "login")};
    struct mg_reply_factors_reset reply;
    TRY(mg_call_factors_reset(&request, &reply, &visit->storage, CALL_MS));
    return back_to_user(visit, reply.outcome, MG_VIEW_EMPTY, "factors_reset");
}

struct mg_status
page_customer_user_roles(struct visit *visit)
{
    OWN_BUFFER(roles, 1024);
    TRY(customer_roles_of_form(visit, &roles));
    const struct mg_request_user_roles_set request = {.session = visit_session(visit),
                                                      .login = mg_form_value(&visit->form, "login"),
                                                      .roles = mg_buffer_view(&roles)};
    struct mg_reply_user_roles_set reply;
    OWN_BUFFER(storage, 4096); /* the reason outlives the next question */
    TRY(mg_call_user_roles_set(&request, &reply, &storage, CALL_MS));
    return back_to_user(visit, reply.outcome, reply.reason, "roles");
}

struct mg_status
page_customer_user_review(struct visit *visit)
{
    const struct mg_request_user_review request = {.session = visit_session(visit),
                                                   .login = mg_form_value(&visit->form, "login")};
    struct mg_reply_user_review reply;
    TRY(mg_call_user_review(&request, &reply, &visit->storage, CALL_MS));
    return back_to_user(visit, reply.outcome, MG_VIEW_EMPTY, "reviewed");
}

/* ---- sessions ---- */

struct mg_status
page_customer_sessions(struct visit *visit)
{
    uint64_t outcome = MG_OUTCOME_NONE;
    TRY(sessions_list(visit, MG_VIEW_EMPTY, &outcome));
    if (outcome != MG_GRANTED && outcome != MG_NOT_KNOWN)
        return customer_refused(visit, outcome);
    return customer_show(visit, "at_sessions", "customer_sessions");
}

struct mg_status
page_customer_session_end(struct visit *visit)
{
    uint64_t scope = 0, outcome = MG_OUTCOME_NONE;
    TRY(sessions_end(visit, MG_VIEW_EMPTY, &scope, &outcome));
    if (scope == MG_SCOPE_TENANT && outcome == MG_GRANTED)
        return redirect(visit, "/signed-out"); /* one's own has ended with the others */
    if (scope == MG_SCOPE_USER)
        return customer_done(visit, outcome, user_path(visit), "user_ended");
    return customer_done(visit, outcome, "/console/sessions", "ended");
}
