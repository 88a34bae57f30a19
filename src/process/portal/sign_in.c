/* Sign-in and sign-out on a tenant's sign-in origin, or the operators'. */
#include "process/portal/portal.h"

#include "base/secret.h"

#include "domain/passkey.h"
#include "domain/second_factor.h"
#include "domain/sign_in_method.h"

/* The ways in are the tenant's policy; the authority holds to it, whatever is shown. */
struct mg_status
sign_in_show(struct visit *visit, const struct destination *to, uint64_t outcome)
{
    struct mg_scope *page = visit->page;
    uint64_t begun = MG_OUTCOME_NONE;
    if (visit_posts(visit))
        mg_scope_set(page, "login", mg_form_value(&visit->form, "login"));
    TRY(destination_show(visit, to, "/sign-in"));
    TRY(federation_offer(visit, destination_query(visit, to)));
    const bool by_password = (visit->site.methods & MG_METHOD_PASSWORD) != 0,
               by_passkey = (visit->site.methods & MG_METHOD_PASSKEY) != 0;
    if (by_passkey)
        TRY(passkey_offer(visit, MG_PASSKEY_USE_SIGN_IN, MG_VIEW_EMPTY, &begun));
    mg_scope_set_flag(page, "with_password", by_password || by_passkey);
    mg_scope_set_flag(page, "password_for_set_up", by_passkey && !by_password);
    return outcome == MG_OUTCOME_NONE ? show(visit, 200, "sign_in") : show_outcome(visit, outcome, "sign_in");
}

struct mg_status
page_home(struct visit *visit)
{
    return redirect(visit, "%s", destination_home(visit));
}

static CHECKED struct mg_status
show_closed(struct visit *visit)
{
    return show_message(visit, 404, N_("Not available"),
                        mg_outcome_text(MG_TENANT_CLOSED, visit->language == MG_JAPANESE), NULL, NULL);
}

struct mg_status
page_sign_in_form(struct visit *visit)
{
    if (!visit->site.open)
        return show_closed(visit);
    struct destination to;
    TRY(destination_read(visit, &visit->query, &to));
    TRY(visit_identify(visit));
    if (!visit->signed_in)
        return sign_in_show(visit, &to, MG_OUTCOME_NONE);
    if (to.origin == NULL)
        return destination_enter(visit, &to, MG_VIEW_EMPTY);
    if (to.second_s > 0 &&
        !mg_second_factor_is_fresh(visit->person.second_factor_at, (int64_t) to.second_s * 1000, visit->now))
        return redirect(visit, "/step-up?%s", destination_query(visit, &to));
    if (to.fresh_s > 0 && visit->now - visit->person.authenticated_at > (int64_t) to.fresh_s * 1000) {
        mg_scope_set_flag(visit->page, "again", true);
        mg_scope_set(visit->page, "login", visit->person.login);
        return sign_in_show(visit, &to, MG_OUTCOME_NONE);
    }
    /* Signed in already: one sign-in serves all applications of the tenant. */
    const struct mg_request_code_issue request = {.tenant = visit->tenant,
                                                  .session = visit_session(visit),
                                                  .host = to.host,
                                                  .binding = mg_view_of(to.binding, HASH_BYTES)};
    struct mg_reply_code_issue reply;
    TRY(mg_call_code_issue(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome == MG_GRANTED && reply.code.length == TOKEN_BYTES)
        return destination_enter(visit, &to, reply.code);
    visit->signed_in = false;
    return sign_in_show(visit, &to, MG_OUTCOME_NONE);
}

static void
problem_of(struct visit *visit, const struct mg_reply_sign_in *reply)
{
    const char *text = mg_outcome_text(reply->outcome, visit->language == MG_JAPANESE);
    page_problem(visit, "login", text);
    if (reply->wait_s > 0) {
        mg_scope_set_number(visit->page, "wait_minutes", (reply->wait_s + 59) / 60);
        mg_scope_set_flag(visit->page, "must_wait", true);
    }
}

static CHECKED struct mg_status
ask(struct visit *visit, const struct destination *to, struct mg_reply_sign_in *ret_reply)
{
    OWN_KEY(device, TOKEN_BYTES);
    const bool has_device = visit_cookie(visit, COOKIE_DEVICE, device);
    const struct mg_request_sign_in request = {
        .tenant = visit->tenant,
        .login = mg_form_value(&visit->form, "login"),
        .password = mg_form_value(&visit->form, "password"),
        .address = visit->address,
        .user_agent = visit->user_agent,
        .host = to->host,
        .binding = to->origin == NULL ? MG_VIEW_EMPTY : mg_view_of(to->binding, HASH_BYTES),
        .previous = visit_session(visit),
        .device = has_device ? mg_view_of(device, TOKEN_BYTES) : MG_VIEW_EMPTY,
    };
    if (request.login.length == 0 || request.login.length > 254 || request.password.length > 1024) {
        *ret_reply = (struct mg_reply_sign_in){.outcome = MG_WRONG_CREDENTIALS};
        return OK;
    }
    return mg_call_sign_in(&request, ret_reply, &visit->storage, CALL_MS);
}

/* An empty field is told apart from a wrong one: it needs no guess. */
static bool
form_is_filled(struct visit *visit)
{
    if (mg_form_value(&visit->form, "login").length == 0)
        page_problem(visit, "login", say(visit, N_("Enter your sign-in name.")));
    if (mg_form_value(&visit->form, "password").length == 0)
        page_problem(visit, "password", say(visit, N_("Enter your password.")));
    return mg_form_value(&visit->form, "login").length > 0 &&
           mg_form_value(&visit->form, "password").length > 0;
}

struct mg_status
page_sign_in(struct visit *visit)
{
    if (!visit->site.open)
        return show_closed(visit);
    struct destination to;
    TRY(destination_read(visit, &visit->form, &to));
    if (!form_is_filled(visit))
        return sign_in_show(visit, &to, MG_WRONG_CREDENTIALS);
    struct mg_reply_sign_in reply;
    TRY(ask(visit, &to, &reply));
    if (reply.device.length == TOKEN_BYTES) /* of this browser, also after the person signs out */
        TRY(cookie_set(visit, COOKIE_DEVICE, reply.device, DEVICE_S));
    if (reply.outcome == MG_PASSWORD_MUST_CHANGE && reply.ticket.length == TOKEN_BYTES) {
        const char *ticket = NULL;
        TRY(token_text(visit, reply.ticket, &ticket));
        return redirect(visit, "/reset/new?must=1&ticket=%s", ticket);
    }
    if ((reply.outcome == MG_SECOND_FACTOR || reply.outcome == MG_SECOND_FACTOR_SET_UP) &&
        reply.ticket.length == TOKEN_BYTES) {
        TRY(cookie_set(visit, COOKIE_SECOND, reply.ticket, MG_TICKET_SECOND_MS / 1000));
        return redirect(visit, "/sign-in/%s?%s", reply.outcome == MG_SECOND_FACTOR ? "second" : "enrol",
                        destination_query(visit, &to));
    }
    if (reply.outcome != MG_GRANTED || reply.token.length != TOKEN_BYTES) {
        problem_of(visit, &reply);
        return sign_in_show(visit, &to, reply.outcome);
    }
    /* A new token at sign-in, never the one the browser came with (session fixation). */
    TRY(cookie_set(visit, COOKIE_SESSION, reply.token, -1));
    return destination_enter(visit, &to, reply.code);
}

const char *
origin_of_url(struct visit *visit, const char *url)
{
    static const char scheme[] = "https://";
    const size_t start = sizeof scheme - 1;
    return arena_format(visit, "%.*s", (int) (start + strcspn(url + start, "/?")), url);
}

struct mg_status
page_sign_out_form(struct visit *visit)
{
    TRY(visit_identify(visit));
    if (!visit->signed_in)
        return redirect(visit, "/signed-out");
    const char *there = NULL;
    TRY(federation_sign_out_place(visit, &there));
    if (there != NULL) /* the answer to the form leads to the identity provider */
        visit->form_target = origin_of_url(visit, there);
    mg_scope_set_text(visit->page, "action", "/sign-out");
    return show(visit, 200, "sign_out");
}

struct mg_status
page_sign_out(struct visit *visit)
{
    const char *there = NULL;
    if (visit->signed_in) {
        TRY(federation_sign_out_place(visit, &there)); /* as long as the session tells */
        const struct mg_request_sign_out request = {.tenant = visit->tenant, .session = visit_session(visit)};
        struct mg_reply_sign_out reply;
        TRY(mg_call_sign_out(&request, &reply, &visit->storage, CALL_MS));
    }
    TRY(cookie_set(visit, COOKIE_SESSION, MG_VIEW_EMPTY, 0));
    if (there != NULL)
        return redirect(visit, "%s", there);
    return redirect(visit, "/signed-out");
}

struct mg_status
page_signed_out(struct visit *visit)
{
    return show_message(visit, 200, N_("You are signed out"),
                        N_("Your session has ended in every application of this service."), "/sign-in",
                        N_("Sign in again"));
}
