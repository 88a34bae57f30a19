/* The operators' console: tenants, users, sessions, audit log. Each request names the operator's
 * session; the authority checks the right and records what is done. */
#include "process/portal/portal.h"

#include "domain/backup_plan.h"
#include "domain/tenant_policy.h"

#define PAGE_ENTRIES 100

static const struct {
    const char *key, *text;
} notices[] = {
    {"tenant_added", N_("The tenant was added. It serves as soon as its database is ready.")},
    {"suspended", N_("The tenant is suspended and its sessions have ended.")},
    {"resumed", N_("The tenant is active again.")},
    {"user_added", N_("The user was added. A mail with a link to set the password is on its way.")},
    {"disabled", N_("The user is disabled and their sessions have ended.")},
    {"enabled", N_("The user is enabled.")},
    {"factors_reset", N_("Second factors and recovery codes are gone; all sessions have ended.")},
    {"invited", N_("A mail with a link to set the password is on its way.")},
    {"ended", N_("The session has ended.")},
    {"user_ended", N_("All sessions of the user have ended.")},
    {"gone", N_("It had changed already; nothing was done.")},
};

struct mg_status
console_show(struct visit *visit, const char *at, const char *name)
{
    const struct mg_view key = mg_form_value(&visit->query, "done");
    for (size_t i = 0; i < MG_COUNT(notices); i++)
        if (mg_view_is(key, notices[i].key))
            mg_scope_set_text(visit->page, "notice", say(visit, notices[i].text));
    mg_scope_set_flag(visit->page, at, true);
    return show(visit, 200, name);
}

/* A list that was refused: the session has no right to it, or has just ended. */
struct mg_status
console_refused(struct visit *visit, uint64_t outcome)
{
    if (outcome == MG_SESSION_ENDED)
        return redirect(visit, "/sign-in?return=%s", encoded(visit, mg_view_text(visit_target(visit))));
    return show_message(visit, outcome == MG_NOT_KNOWN ? 404 : 403, N_("Not possible"),
                        mg_outcome_text(outcome, visit->language == MG_JAPANESE), "/console",
                        N_("Back to the console"));
}

struct mg_status
page_console_home(struct visit *visit)
{
    return redirect(visit, "/console/tenants");
}

/* ---- tenants ---- */

static void
scope_tenant(const struct visit *visit, struct mg_scope *row, const struct mg_record_tenant_row *tenant)
{
    mg_scope_set(row, "name", tenant->name);
    mg_scope_set(row, "tenant_label", tenant->label);
    mg_scope_set(row, "hosts", tenant->hosts);
    mg_scope_set(row, "sign_in_host", tenant->sign_in_host);
    mg_scope_set(row, "upstream", tenant->upstream);
    mg_scope_set_number(row, "user_count", tenant->users);
    mg_scope_set_number(row, "session_count", tenant->sessions);
    mg_scope_set_flag(row, "active", tenant->state == MG_LISTED_ACTIVE);
    mg_scope_set_flag(row, "suspended", tenant->state == MG_LISTED_SUSPENDED);
    mg_scope_set_flag(row, "preparing", tenant->state == MG_LISTED_PREPARING);
    scope_time(visit, row, TIME_NAMES(created), tenant->created_at);
}

struct mg_status
console_tenants_ask(struct visit *visit, struct mg_view name, struct mg_view after,
                    struct mg_reply_tenant_list *ret_reply)
{
    const struct mg_request_tenant_list request = {
        .session = visit_session(visit), .name = name, .after = after};
    return mg_call_tenant_list(&request, ret_reply, &visit->storage, CALL_MS);
}

struct mg_status
page_console_tenants(struct visit *visit)
{
    struct mg_reply_tenant_list reply;
    TRY(console_tenants_ask(visit, MG_VIEW_EMPTY, mg_form_value(&visit->query, "after"), &reply));
    if (reply.outcome != MG_GRANTED)
        return console_refused(visit, reply.outcome);
    struct mg_record_tenant_row tenant = {0};
    for (bool more = true;;) {
        TRY(mg_list_next_tenant_row(&reply.tenants, &tenant, &more));
        if (!more)
            break;
        scope_tenant(visit, mg_scope_add(visit->page, "tenants"), &tenant);
    }
    if (reply.more)
        mg_scope_set(visit->page, "next", tenant.name);
    return console_show(visit, "at_tenants", "console_tenants");
}

static void
plans_offer(struct visit *visit, struct mg_view chosen)
{
    for (size_t i = 0; i < mg_backup_plan_count; i++) {
        const struct mg_backup_plan *plan = &mg_backup_plans[i];
        struct mg_scope *row = mg_scope_add(visit->page, "plans");
        mg_scope_set_text(row, "plan_word", plan->name);
        mg_scope_set_text(row, "plan_meaning", visit->language == MG_JAPANESE ? plan->ja : plan->en);
        mg_scope_set_flag(row, "plan_chosen", mg_view_is(chosen, plan->name));
    }
}

struct mg_status
page_console_tenant_new(struct visit *visit)
{
    plans_offer(visit, MG_VIEW_EMPTY);
    return console_show(visit, "at_tenants", "console_tenant_new");
}

static void
keep_fields(struct visit *visit, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mg_scope_set(visit->page, names[i], mg_form_value(&visit->form, names[i]));
}

/* The host of a new tenant's sign-in page: as entered, or id. before the first of its hosts. */
static struct mg_view
sign_in_host_meant(struct visit *visit)
{
    const struct mg_view entered = mg_form_value(&visit->form, "sign_in_host"),
                         hosts = mg_form_value(&visit->form, "hosts");
    size_t first = 0;
    while (first < hosts.length && hosts.bytes[first] != ' ')
        first++;
    return entered.length != 0 || first == 0
               ? entered
               : mg_view_text(arena_format(visit, "id.%.*s", (int) first, (const char *) hosts.bytes));
}

struct mg_status
page_console_tenant_add(struct visit *visit)
{
    static const char *const fields[] = {"name", "tenant_label", "hosts", "sign_in_host", "upstream"};
    const struct mg_request_tenant_add request = {
        .session = visit_session(visit),
        .name = mg_form_value(&visit->form, "name"),
        .label = mg_form_value(&visit->form, "tenant_label"),
        .hosts = mg_form_value(&visit->form, "hosts"),
        .sign_in_host = sign_in_host_meant(visit),
        .upstream = mg_form_value(&visit->form, "upstream"),
        .backup_plan = mg_form_value(&visit->form, "backup_plan"),
    };
    struct mg_reply_tenant_add reply;
    TRY(mg_call_tenant_add(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome == MG_GRANTED)
        return redirect(visit, "/console/tenant?name=%s&done=tenant_added", encoded(visit, request.name));
    keep_fields(visit, fields, MG_COUNT(fields));
    plans_offer(visit, request.backup_plan);
    mg_scope_set_flag(visit->page, "at_tenants", true);
    page_problem(visit, "name", mg_outcome_text(reply.outcome, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "reason", reply.reason));
    return show_outcome(visit, reply.outcome, "console_tenant_new");
}

/* ---- one tenant and its users ---- */

static CHECKED struct mg_status
tenant_find(struct visit *visit, struct mg_view name, bool *ret_found)
{
    *ret_found = false;
    if (name.length == 0 || name.length > 63)
        return OK;
    struct mg_reply_tenant_list reply;
    struct mg_record_tenant_row tenant;
    TRY(console_tenants_ask(visit, name, MG_VIEW_EMPTY, &reply));
    if (reply.outcome == MG_GRANTED)
        TRY(mg_list_next_tenant_row(&reply.tenants, &tenant, ret_found));
    if (*ret_found)
        scope_tenant(visit, visit->page, &tenant);
    return OK;
}

static void
scope_user(const struct visit *visit, struct mg_scope *row, const struct mg_record_user_row *user)
{
    mg_scope_set(row, "login", user->login);
    mg_scope_set(row, "user_name", user->name);
    mg_scope_set(row, "email", user->email);
    mg_scope_set(row, "roles", user->roles);
    mg_scope_set_number(row, "user_sessions", user->sessions);
    mg_scope_set_flag(row, "user_active", user->state == MG_LISTED_ACTIVE);
    mg_scope_set_flag(row, "user_disabled", user->state == MG_LISTED_SUSPENDED);
    mg_scope_set_flag(row, "user_locked", user->state == MG_LISTED_LOCKED);
    mg_scope_set_flag(row, "user_invited", user->state == MG_LISTED_INVITED);
    scope_time(visit, row, TIME_NAMES(seen), user->last_sign_in_at);
}

static CHECKED struct mg_status
users_list(struct visit *visit, struct mg_view tenant, uint64_t *ret_outcome)
{
    const struct mg_request_user_list request = {
        .session = visit_session(visit),
        .tenant = tenant,
        .search = mg_form_value(&visit->query, "search"),
        .after = mg_form_value(&visit->query, "after"),
    };
    struct mg_reply_user_list reply;
    mg_buffer_clear(&visit->storage);
    TRY(mg_call_user_list(&request, &reply, &visit->storage, CALL_MS));
    *ret_outcome = reply.outcome;
    struct mg_record_user_row user = {0};
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        TRY(mg_list_next_user_row(&reply.users, &user, &more));
        if (more)
            scope_user(visit, mg_scope_add(visit->page, "users"), &user);
    }
    mg_scope_set(visit->page, "search", request.search);
    if (reply.more)
        mg_scope_set(visit->page, "next", user.login);
    return OK;
}

static const struct mg_option_row *
setting_row(const struct mg_record_tenant_setting *setting)
{
    const bool route = setting->route.length != 0;
    const struct mg_option_row *rows = route ? mg_route_option_rows : mg_tenant_option_rows;
    const size_t count = route ? mg_route_option_count : mg_tenant_option_count;
    for (size_t i = 0; i < count; i++)
        if (mg_view_is(setting->keyword, rows[i].keyword))
            return &rows[i];
    return NULL;
}

/* What differs from the presets; a route that only stands against a shorter one shows its first keyword. */
static void
scope_setting(struct visit *visit, const struct mg_record_tenant_setting *setting)
{
    const struct mg_option_row *row = setting_row(setting);
    if (row == NULL || (mg_view_is(setting->value, row->preset) && row != &mg_route_option_rows[0]))
        return;
    struct mg_scope *scope = mg_scope_add(visit->page, "settings");
    mg_scope_set(scope, "route", setting->route);
    mg_scope_set(scope, "keyword", setting->keyword);
    mg_scope_set(scope, "value", setting->value);
    mg_scope_set_text(scope, "meaning", visit->language == MG_JAPANESE ? row->ja : row->en);
}

static CHECKED struct mg_status
policy_list(struct visit *visit, struct mg_view tenant)
{
    const struct mg_request_tenant_policy request = {.session = visit_session(visit), .tenant = tenant};
    struct mg_reply_tenant_policy reply;
    struct mg_record_tenant_setting setting;
    mg_buffer_clear(&visit->storage);
    TRY(mg_call_tenant_policy(&request, &reply, &visit->storage, CALL_MS));
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        TRY(mg_list_next_tenant_setting(&reply.settings, &setting, &more));
        if (more)
            scope_setting(visit, &setting);
    }
    return OK;
}

static CHECKED struct mg_status
show_tenant(struct visit *visit, struct mg_view name, uint64_t problem)
{
    bool found = false;
    uint64_t outcome = MG_NOT_KNOWN;
    TRY(tenant_find(visit, name, &found));
    if (found)
        TRY(policy_list(visit, name));
    if (found)
        TRY(users_list(visit, name, &outcome));
    if (outcome != MG_GRANTED)
        return console_refused(visit, outcome);
    if (problem == MG_GRANTED)
        return console_show(visit, "at_tenants", "console_tenant");
    mg_scope_set_flag(visit->page, "at_tenants", true);
    return show_outcome(visit, problem, "console_tenant");
}

struct mg_status
page_console_tenant(struct visit *visit)
{
    return show_tenant(visit, mg_form_value(&visit->query, "name"), MG_GRANTED);
}

/* Back to the tenant with what was done, or that it could not be. */
static CHECKED struct mg_status
back_to_tenant(struct visit *visit, uint64_t outcome, const char *done)
{
    if (outcome == MG_NOT_ALLOWED || outcome == MG_SESSION_ENDED)
        return console_refused(visit, outcome);
    return redirect(visit, "/console/tenant?name=%s&done=%s",
                    encoded(visit, mg_form_value(&visit->form, "tenant")),
                    outcome == MG_GRANTED ? done : "gone");
}

struct mg_status
page_console_suspend(struct visit *visit)
{
    const bool suspend = mg_view_is(mg_form_value(&visit->form, "to"), "suspended");
    const struct mg_request_tenant_suspend request = {.session = visit_session(visit),
                                                      .tenant = mg_form_value(&visit->form, "tenant"),
                                                      .suspended = suspend};
    struct mg_reply_tenant_suspend reply;
    TRY(mg_call_tenant_suspend(&request, &reply, &visit->storage, CALL_MS));
    return back_to_tenant(visit, reply.outcome, suspend ? "suspended" : "resumed");
}

struct mg_status
page_console_user_add(struct visit *visit)
{
    static const char *const fields[] = {"new_login", "new_name", "new_email", "new_roles"};
    const struct mg_request_user_add request = {
        .session = visit_session(visit),
        .tenant = mg_form_value(&visit->form, "tenant"),
        .login = mg_form_value(&visit->form, "new_login"),
        .name = mg_form_value(&visit->form, "new_name"),
        .email = mg_form_value(&visit->form, "new_email"),
        .roles = mg_form_value(&visit->form, "new_roles"),
        .language = mg_view_text(mg_view_is(mg_form_value(&visit->form, "new_language"), "ja") ? "ja" : "en"),
    };
    struct mg_reply_user_add reply;
    TRY(mg_call_user_add(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome == MG_GRANTED)
        return back_to_tenant(visit, MG_GRANTED, "user_added");
    keep_fields(visit, fields, MG_COUNT(fields));
    page_problem(visit, "new_login", mg_outcome_text(reply.outcome, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "reason", reply.reason));
    mg_buffer_clear(&visit->storage);
    return show_tenant(visit, request.tenant, reply.outcome);
}

struct mg_status
page_console_user_disable(struct visit *visit)
{
    const bool disable = mg_view_is(mg_form_value(&visit->form, "to"), "disabled");
    const struct mg_request_user_disable request = {.session = visit_session(visit),
                                                    .tenant = mg_form_value(&visit->form, "tenant"),
                                                    .login = mg_form_value(&visit->form, "login"),
                                                    .disabled = disable};
    struct mg_reply_user_disable reply;
    TRY(mg_call_user_disable(&request, &reply, &visit->storage, CALL_MS));
    return back_to_tenant(visit, reply.outcome, disable ? "disabled" : "enabled");
}

struct mg_status
page_console_user_invite(struct visit *visit)
{
    const struct mg_request_user_invite request = {.session = visit_session(visit),
                                                   .tenant = mg_form_value(&visit->form, "tenant"),
                                                   .login = mg_form_value(&visit->form, "login")};
    struct mg_reply_user_invite reply;
    TRY(mg_call_user_invite(&request, &reply, &visit->storage, CALL_MS));
    return back_to_tenant(visit, reply.outcome, "invited");
}

struct mg_status
page_console_user_second_factor(struct visit *visit)
{
    const struct mg_request_factors_reset request = {.session = visit_session(visit),
                                                     .tenant = mg_form_value(&visit->form, "tenant"),
                                                     .login = mg_form_value(&visit->form, "login")};
    struct mg_reply_factors_reset reply;
    TRY(mg_call_factors_reset(&request, &reply, &visit->storage, CALL_MS));
    return back_to_tenant(visit, reply.outcome, "factors_reset");
}

/* ---- sessions ---- */

struct mg_status
page_console_sessions(struct visit *visit)
{
    const struct mg_view tenant = mg_form_value(&visit->query, "tenant");
    uint64_t outcome = MG_OUTCOME_NONE;
    TRY(sessions_list(visit, tenant, &outcome));
    if (outcome != MG_GRANTED)
        return console_refused(visit, outcome);
    mg_scope_set(visit->page, "tenant", tenant);
    return console_show(visit, "at_sessions", "console_sessions");
}

struct mg_status
page_console_session_end(struct visit *visit)
{
    uint64_t scope = 0, outcome = MG_OUTCOME_NONE;
    TRY(sessions_end(visit, mg_form_value(&visit->form, "tenant"), &scope, &outcome));
    if (outcome == MG_NOT_ALLOWED || outcome == MG_SESSION_ENDED)
        return console_refused(visit, outcome);
    if (scope == MG_SCOPE_USER)
        return back_to_tenant(visit, outcome, "user_ended");
    return redirect(visit, "/console/sessions?done=%s", outcome == MG_GRANTED ? "ended" : "gone");
}

/* ---- audit log ---- */

struct mg_status
page_console_audit(struct visit *visit)
{
    uint64_t before = 0;
    const struct mg_view before_text = mg_form_value(&visit->query, "before");
    if (before_text.length > 0)
        TRY(mg_parse_u64(before_text, UINT64_MAX, &before));
    const struct mg_request_audit_search request = {
        .session = visit_session(visit),
        .tenant = mg_form_value(&visit->query, "tenant"),
        .words = mg_form_value(&visit->query, "words"),
        .before = before,
        .most = PAGE_ENTRIES,
    };
    struct mg_reply_audit_search reply;
    TRY(mg_call_audit_search(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return console_refused(visit, reply.outcome);
    struct mg_record_audit_row entry = {0};
    for (bool more = true;;) {
        TRY(mg_list_next_audit_row(&reply.entries, &entry, &more));
        if (!more)
            break;
        TRY(scope_entry(visit, mg_scope_add(visit->page, "entries"), &entry));
    }
    mg_scope_set(visit->page, "tenant", request.tenant);
    mg_scope_set(visit->page, "words", request.words);
    if (reply.more)
        mg_scope_set_number(visit->page, "next", entry.entry);
    return console_show(visit, "at_audit", "console_audit");
}
