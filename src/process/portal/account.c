/* A person's own account: sessions and password. */
#include "process/portal/portal.h"

#include "base/secret.h"

#include "domain/device.h"

static const struct {
    const char *key, *text;
} notices[] = {
    {"ended", N_("The session has ended.")},
    {"others_ended", N_("All other sessions have ended.")},
    {"password", N_("Your password has been changed. All other sessions have ended.")},
    {"gone", N_("That session had ended already.")},
};

static void
show_notice(struct visit *visit)
{
    const struct mg_view key = mg_form_value(&visit->query, "done");
    for (size_t i = 0; i < MG_COUNT(notices); i++)
        if (mg_view_is(key, notices[i].key))
            mg_scope_set_text(visit->page, "notice", say(visit, notices[i].text));
}

static void
scope_device(const struct visit *visit, struct mg_scope *row, struct mg_view user_agent)
{
    const struct mg_device device = mg_device_of(user_agent);
    mg_scope_set_flag(row, "handheld", device.handheld);
    mg_scope_set_text(row, "browser",
                      device.browser == NULL ? say(visit, N_("Unknown browser")) : device.browser);
    mg_scope_set_text(row, "system", device.platform);
}

static CHECKED struct mg_status
scope_session(const struct visit *visit, struct mg_scope *row, const struct mg_record_session_row *session)
{
    char family[33] = "";
    if (session->family.length != 16)
        return fail_with(MALFORMED, "family of a session");
    mg_hex(session->family, family);
    mg_scope_set_text(row, "family", family);
    mg_scope_set(row, "address", session->address);
    mg_scope_set(row, "hosts", session->hosts);
    mg_scope_set_flag(row, "current", session->current);
    scope_device(visit, row, session->user_agent);
    scope_time(visit, row, TIME_NAMES(used), session->last_used_at);
    scope_time(visit, row, TIME_NAMES(began), session->signed_in_at);
    scope_time(visit, row, TIME_NAMES(ends), session->expires_at);
    return OK;
}

struct mg_status
page_account(struct visit *visit)
{
    const struct mg_request_session_list_own request = {.tenant = visit->tenant,
                                                        .session = visit_session(visit)};
    struct mg_reply_session_list_own reply;
    TRY(mg_call_session_list_own(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return redirect(visit, "/sign-in");
    struct mg_record_session_row session;
    size_t count = 0;
    for (bool more = true;; count++) {
        TRY(mg_list_next_session_row(&reply.sessions, &session, &more));
        if (!more)
            break;
        TRY(scope_session(visit, mg_scope_add(visit->page, "sessions"), &session));
    }
    mg_scope_set_flag(visit->page, "has_others", count > 1);
    mg_scope_set_number(visit->page, "count", count);
    mg_scope_set(visit->page, "email", visit->person.email);
    mg_scope_set_flag(visit->page, "at_account", true);
    show_notice(visit);
    return show(visit, 200, "account");
}

static CHECKED struct mg_status
scope_of(struct visit *visit, struct mg_request_session_end *request, uint8_t family[16])
{
    const struct mg_view scope = mg_form_value(&visit->form, "scope");
    if (mg_view_is(scope, "others")) {
        request->scope = MG_SCOPE_OTHERS;
    } else if (mg_view_is(scope, "all")) {
        request->scope = MG_SCOPE_OWN;
    } else {
        TRY(mg_unhex(mg_form_value(&visit->form, "family"), family, 16));
        request->scope = MG_SCOPE_ONE;
        request->family = mg_view_of(family, 16);
    }
    return OK;
}

struct mg_status
page_account_end(struct visit *visit)
{
    struct mg_request_session_end request = {.session = visit_session(visit)};
    uint8_t family[16];
    TRY(scope_of(visit, &request, family));
    struct mg_reply_session_end reply;
    TRY(mg_call_session_end(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return redirect(visit, "/account?done=gone");
    if (request.scope == MG_SCOPE_OWN)
        return redirect(visit, "/signed-out");
    return redirect(visit, "/account?done=%s", request.scope == MG_SCOPE_OTHERS ? "others_ended" : "ended");
}

static void
scope_password_rules(struct visit *visit)
{
    mg_scope_set_number(visit->page, "minimum",
                        visit->site.password_least != 0 ? visit->site.password_least
                                                        : portal_settings.password_minimum);
    mg_scope_set_flag(visit->page, "at_password", true);
}

struct mg_status
page_password_form(struct visit *visit)
{
    scope_password_rules(visit);
    return show(visit, 200, "password");
}

struct mg_status
page_password(struct visit *visit)
{
    scope_password_rules(visit);
    const struct mg_request_password_change request = {
        .tenant = visit->tenant,
        .session = visit_session(visit),
        .current = mg_form_value(&visit->form, "current"),
        .password = mg_form_value(&visit->form, "password"),
        .address = visit->address,
    };
    const bool japanese = visit->language == MG_JAPANESE;
    if (request.current.length == 0 || request.current.length > 1024) {
        page_problem(visit, "current", say(visit, N_("Enter your current password.")));
        return show_outcome(visit, MG_WRONG_CREDENTIALS, "password");
    }
    if (request.password.length > 1024) {
        page_problem(visit, "password", mg_outcome_text(MG_PASSWORD_TOO_LONG, japanese));
        return show_outcome(visit, MG_PASSWORD_TOO_LONG, "password");
    }
    struct mg_reply_password_change reply;
    TRY(mg_call_password_change(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome == MG_GRANTED)
        return redirect(visit, "/account?done=password");
    if (reply.outcome == MG_WRONG_CREDENTIALS)
        page_problem(visit, "current", say(visit, N_("The current password is not right.")));
    else
        page_problem(visit, reply.outcome == MG_LOCKED ? "current" : "password",
                     mg_outcome_text(reply.outcome, japanese));
    return show_outcome(visit, reply.outcome, "password");
}

/* ---- reset by mail ---- */

struct mg_status
page_reset_form(struct visit *visit)
{
    TRY(visit_identify(visit)); /* the form's token is bound to the session, if there is one */
    return show(visit, 200, "reset");
}

/* The answer is the same whether the name exists or not, and the authority takes as long. */
struct mg_status
page_reset(struct visit *visit)
{
    const struct mg_request_reset_request request = {
        .tenant = visit->tenant,
        .login = mg_form_value(&visit->form, "login"),
        .address = visit->address,
        .language = mg_view_text(mg_language_tag(visit->language)),
    };
    if (request.login.length == 0 || request.login.length > 254) {
        page_problem(visit, "login", say(visit, N_("Enter your sign-in name.")));
        return show_outcome(visit, MG_NOT_VALID, "reset");
    }
    struct mg_reply_reset_request reply;
    TRY(mg_call_reset_request(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED) {
        page_problem(visit, "login", mg_outcome_text(reply.outcome, visit->language == MG_JAPANESE));
        return show_outcome(visit, reply.outcome, "reset");
    }
    return show_message(visit, 200, N_("Check your mail"),
                        N_("If there is an account with that name, a mail with a link is on its way. "
                           "The link works once, for 30 minutes."),
                        "/sign-in", N_("Back to sign-in"));
}

static CHECKED struct mg_status
show_spent(struct visit *visit)
{
    return show_message(visit, 410, N_("This link does not work any more"),
                        N_("It has expired or was used already. Ask for a new one."), "/reset",
                        N_("Ask for a new link"));
}

static CHECKED struct mg_status
show_new_form(struct visit *visit, struct mg_view ticket, uint64_t outcome)
{
    scope_password_rules(visit);
    mg_scope_set(visit->page, "ticket", ticket);
    mg_scope_set_flag(visit->page, "at_password", false);
    return outcome == MG_GRANTED ? show(visit, 200, "reset_new") : show_outcome(visit, outcome, "reset_new");
}

struct mg_status
page_reset_new_form(struct visit *visit)
{
    OWN_KEY(ticket, TOKEN_BYTES);
    const struct mg_view text = mg_form_value(&visit->query, "ticket");
    if (!token_decode(text, ticket))
        return show_spent(visit);
    TRY(visit_identify(visit)); /* as above: a link may be opened where somebody is signed in */
    const struct mg_request_reset_look request = {
        .tenant = visit->tenant, .ticket = mg_view_of(ticket, TOKEN_BYTES), .address = visit->address};
    struct mg_reply_reset_look reply;
    TRY(mg_call_reset_look(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return show_spent(visit);
    mg_scope_set(visit->page, "login", reply.login);
    mg_scope_set_flag(visit->page, "invited", reply.invited);
    mg_scope_set_flag(visit->page, "must", mg_view_is(mg_form_value(&visit->query, "must"), "1"));
    return show_new_form(visit, text, MG_GRANTED);
}

struct mg_status
page_reset_new(struct visit *visit)
{
    OWN_KEY(ticket, TOKEN_BYTES);
    const struct mg_view text = mg_form_value(&visit->form, "ticket");
    const struct mg_view password = mg_form_value(&visit->form, "password");
    if (!token_decode(text, ticket))
        return show_spent(visit);
    const bool invited = mg_form_has(&visit->form, "invited"); /* only for what the pages say */
    mg_scope_set(visit->page, "login", mg_form_value(&visit->form, "login"));
    mg_scope_set_flag(visit->page, "invited", invited);
    const struct mg_request_reset_complete request = {.tenant = visit->tenant,
                                                      .ticket = mg_view_of(ticket, TOKEN_BYTES),
                                                      .password = password,
                                                      .address = visit->address};
    struct mg_reply_reset_complete reply = {.outcome = MG_PASSWORD_TOO_LONG};
    if (password.length <= 1024)
        TRY(mg_call_reset_complete(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome == MG_TICKET_SPENT)
        return show_spent(visit);
    if (reply.outcome != MG_GRANTED) {
        page_problem(visit, "password", mg_outcome_text(reply.outcome, visit->language == MG_JAPANESE));
        return show_new_form(visit, text, reply.outcome);
    }
    if (invited)
        return show_message(
            visit, 200, N_("Your account is ready"),
            N_("Sign in with your new password. Where your organization asks for a second factor, "
               "you set it up now."),
            "/sign-in", N_("Sign in"));
    return show_message(visit, 200, N_("Your password is set"), N_("Sign in with your new password."),
                        "/sign-in", N_("Sign in"));
}
