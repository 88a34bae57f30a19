/* Second factors: the second step of a sign-in, setting one up, the list of a person's own, and showing anew
 * who it is. Everything works without JavaScript. */
#include "process/portal/portal.h"

#include "base/secret.h"
#include "domain/passkey.h"

static const char *
outcome_text(const struct visit *visit, uint64_t outcome)
{
    return mg_outcome_text(outcome, visit->language == MG_JAPANESE);
}

static void
show_problem(struct visit *visit, const char *field, uint64_t outcome, uint64_t wait_s)
{
    page_problem(visit, field, outcome_text(visit, outcome));
    if (wait_s == 0)
        return;
    mg_scope_set_number(visit->page, "wait_minutes", (wait_s + 59) / 60);
    mg_scope_set_flag(visit->page, "must_wait", true);
}

/* A typed code that can be one: longer ones are not sent on. */
static struct mg_view
typed_code(const struct visit *visit)
{
    const struct mg_view code = mg_form_value(&visit->form, "code");
    return code.length <= 64 ? code : mg_view_text("-");
}

/* Recovery codes come with spaces between. */
struct mg_status
recovery_show(struct visit *visit, struct mg_view codes, const char *on)
{
    for (size_t at = 0; at < codes.length;) {
        size_t end = at;
        while (end < codes.length && codes.bytes[end] != ' ')
            end++;
        mg_scope_set(mg_scope_add(visit->page, "codes"), "recovery", mg_view_of(codes.bytes + at, end - at));
        at = end + 1;
    }
    mg_scope_set_text(visit->page, "on", on);
    visit->here = on; /* shown once: another language shows the next page */
    return show(visit, 200, "recovery");
}

struct mg_status
second_begin_anew(struct visit *visit, const struct destination *to)
{
    TRY(cookie_set(visit, COOKIE_SECOND, MG_VIEW_EMPTY, 0));
    return redirect(visit, "/sign-in?%s", destination_query(visit, to));
}

/* A session instead of the ticket. A new token at sign-in, never the one the browser came with. */
static CHECKED struct mg_status
session_take(struct visit *visit, struct mg_view token)
{
    TRY(cookie_set(visit, COOKIE_SECOND, MG_VIEW_EMPTY, 0));
    return cookie_set(visit, COOKIE_SESSION, token, -1);
}

/* ---- the second step of a sign-in ---- */

struct mg_status
second_show(struct visit *visit, const struct destination *to, const uint8_t ticket[TOKEN_BYTES],
            uint64_t outcome)
{
    const struct mg_request_second_look request = {
        .tenant = visit->tenant, .ticket = mg_view_of(ticket, TOKEN_BYTES), .address = visit->address};
    struct mg_reply_second_look reply;
    TRY(mg_call_second_look(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return second_begin_anew(visit, to);
    if (reply.set_up)
        return redirect(visit, "/sign-in/enrol?%s", destination_query(visit, to));
    mg_scope_set(visit->page, "login", reply.login);
    mg_scope_set_flag(visit->page, "has_recovery", reply.recovery_left > 0);
    mg_scope_set_flag(visit->page, "has_app", reply.totp);
    mg_scope_set_flag(visit->page, "with_code", reply.totp || reply.recovery_left > 0);
    if (reply.passkey) {
        uint64_t begun = MG_OUTCOME_NONE;
        TRY(passkey_offer(visit, MG_PASSKEY_USE_SECOND, mg_view_of(ticket, TOKEN_BYTES), &begun));
        if (begun != MG_GRANTED)
            return second_begin_anew(visit, to);
    }
    TRY(destination_show(visit, to, "/sign-in/second"));
    return outcome == MG_GRANTED ? show(visit, 200, "second") : show_outcome(visit, outcome, "second");
}

struct mg_status
page_second_form(struct visit *visit)
{
    OWN_KEY(ticket, TOKEN_BYTES);
    struct destination to;
    TRY(destination_read(visit, &visit->query, &to));
    TRY(visit_identify(visit)); /* the form's token is bound to the session, if there is one */
    if (!visit_cookie(visit, COOKIE_SECOND, ticket))
        return second_begin_anew(visit, &to);
    return second_show(visit, &to, ticket, MG_GRANTED);
}

struct mg_status
page_second(struct visit *visit)
{
    OWN_KEY(ticket, TOKEN_BYTES);
    struct destination to;
    TRY(destination_read(visit, &visit->form, &to));
    if (!visit_cookie(visit, COOKIE_SECOND, ticket))
        return second_begin_anew(visit, &to);
    const struct mg_request_second_give request = {
        .tenant = visit->tenant,
        .ticket = mg_view_of(ticket, TOKEN_BYTES),
        .code = typed_code(visit),
        .address = visit->address,
        .user_agent = visit->user_agent,
        .host = to.host,
        .binding = to.origin == NULL ? MG_VIEW_EMPTY : mg_view_of(to.binding, HASH_BYTES),
        .previous = visit_session(visit),
    };
    if (request.code.length == 0) {
        page_problem(visit, "code", say(visit, N_("Enter the code.")));
        return second_show(visit, &to, ticket, MG_WRONG_CODE);
    }
    struct mg_reply_second_give reply;
    TRY(mg_call_second_give(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome == MG_TICKET_SPENT)
        return second_begin_anew(visit, &to);
    if (reply.outcome != MG_GRANTED || reply.token.length != TOKEN_BYTES) {
        const uint64_t outcome = reply.outcome;
        show_problem(visit, "code", outcome, reply.wait_s);
        return second_show(visit, &to, ticket, outcome);
    }
    TRY(session_take(visit, reply.token));
    return destination_enter(visit, &to, reply.code);
}

/* ---- setting up an app: at sign-in with the ticket, later with the session ---- */

/* STEP_UP, SESSION_ENDED and the like, on the way to setting one up at `page`. */
struct mg_status
factor_lead_elsewhere(struct visit *visit, const struct destination *to, uint64_t outcome, const char *page)
{
    switch (outcome) {
    case MG_SESSION_ENDED:
        return redirect(visit, "/sign-in?return=%s", encoded(visit, mg_view_text("/factors")));
    case MG_STEP_UP:
        return to->origin != NULL ? redirect(visit, "/step-up?%s", destination_query(visit, to))
                                  : redirect(visit, "/step-up?return=%s", encoded(visit, mg_view_text(page)));
    case MG_TOO_MANY:
        return redirect(visit, "/factors?done=many");
    default:
        return fail_with(REFUSED, "second factor");
    }
}

static CHECKED struct mg_status
lead_elsewhere(struct visit *visit, const struct destination *to, uint64_t outcome, bool by_ticket)
{
    return by_ticket && outcome != MG_TOO_MANY ? second_begin_anew(visit, to)
                                               : factor_lead_elsewhere(visit, to, outcome, "/factors/totp");
}

struct mg_status
enrol_show(struct visit *visit, const struct destination *to, struct mg_view ticket, uint64_t outcome)
{
    const bool by_ticket = ticket.length != 0;
    const struct mg_request_factor_begin request = {.tenant = visit->tenant,
                                                    .ticket = ticket,
                                                    .session =
                                                        by_ticket ? MG_VIEW_EMPTY : visit_session(visit),
                                                    .address = visit->address};
    struct mg_reply_factor_begin reply;
    TRY(mg_call_factor_begin(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return lead_elsewhere(visit, to, reply.outcome, by_ticket);
    OWN_BUFFER(groups, 128);
    for (size_t i = 0; i < reply.secret.length; i++)
        TRY(mg_buffer_format(&groups, "%s%c", i != 0 && i % 4 == 0 ? " " : "", reply.secret.bytes[i]));
    mg_scope_set(visit->page, "secret", mg_buffer_view(&groups));
    mg_scope_set(visit->page, "uri", reply.uri);
    mg_scope_set(visit->page, "login", reply.login);
    TRY(scope_qr(visit, reply.uri));
    if (by_ticket) {
        uint64_t begun = MG_OUTCOME_NONE;
        TRY(passkey_offer(visit, MG_PASSKEY_USE_SET_UP, ticket, &begun));
    }
    mg_scope_set_flag(visit->page, "at_sign_in", by_ticket);
    mg_scope_set_flag(visit->page, "at_factors", !by_ticket);
    TRY(destination_show(visit, to, by_ticket ? "/sign-in/enrol" : "/factors/totp"));
    const char *name = by_ticket ? "enrol" : "factor_app";
    return outcome == MG_GRANTED ? show(visit, 200, name) : show_outcome(visit, outcome, name);
}

static CHECKED struct mg_status
confirm(struct visit *visit, const struct destination *to, struct mg_view ticket,
        struct mg_reply_factor_confirm *ret_reply)
{
    const bool by_ticket = ticket.length != 0;
    const struct mg_view name = mg_form_value(&visit->form, "name");
    const struct mg_request_factor_confirm request = {
        .tenant = visit->tenant,
        .ticket = ticket,
        .session = by_ticket ? MG_VIEW_EMPTY : visit_session(visit),
        .code = typed_code(visit),
        .name = mg_view_start(mg_view_is_utf8(name) ? name : MG_VIEW_EMPTY, 128),
        .address = visit->address,
        .user_agent = visit->user_agent,
        .host = to->host,
        .binding = to->origin == NULL ? MG_VIEW_EMPTY : mg_view_of(to->binding, HASH_BYTES),
        .previous = by_ticket ? visit_session(visit) : MG_VIEW_EMPTY,
    };
    return mg_call_factor_confirm(&request, ret_reply, &visit->storage, CALL_MS);
}

struct mg_status
page_enrol_form(struct visit *visit)
{
    OWN_KEY(ticket, TOKEN_BYTES);
    struct destination to;
    TRY(destination_read(visit, &visit->query, &to));
    TRY(visit_identify(visit));
    if (!visit_cookie(visit, COOKIE_SECOND, ticket))
        return second_begin_anew(visit, &to);
    return enrol_show(visit, &to, mg_view_of(ticket, TOKEN_BYTES), MG_GRANTED);
}

struct mg_status
page_enrol(struct visit *visit)
{
    OWN_KEY(ticket, TOKEN_BYTES);
    struct destination to;
    struct mg_reply_factor_confirm reply;
    TRY(destination_read(visit, &visit->form, &to));
    if (!visit_cookie(visit, COOKIE_SECOND, ticket))
        return second_begin_anew(visit, &to);
    TRY(confirm(visit, &to, mg_view_of(ticket, TOKEN_BYTES), &reply));
    if (reply.outcome == MG_WRONG_CODE) {
        page_problem(visit, "code",
                     say(visit, N_("The code is not right. Enter the one that the app shows now.")));
        return enrol_show(visit, &to, mg_view_of(ticket, TOKEN_BYTES), MG_WRONG_CODE);
    }
    if (reply.outcome != MG_GRANTED || reply.token.length != TOKEN_BYTES)
        return second_begin_anew(visit, &to);
    TRY(session_take(visit, reply.token));
    if (reply.recovery.length == 0)
        return destination_enter(visit, &to, reply.code);
    /* The codes first; their page leads on. */
    const char *on = to.origin != NULL
                         ? arena_format(visit, "/sign-in?%s", destination_query(visit, &to))
                         : arena_format(visit, "%.*s", (int) to.path.length, (const char *) to.path.bytes);
    return recovery_show(visit, reply.recovery, on);
}

struct mg_status
page_factor_app_form(struct visit *visit)
{
    struct destination to;
    TRY(destination_read(visit, &visit->query, &to));
    return enrol_show(visit, &to, MG_VIEW_EMPTY, MG_GRANTED);
}

struct mg_status
page_factor_app(struct visit *visit)
{
    struct destination to;
    struct mg_reply_factor_confirm reply;
    TRY(destination_read(visit, &visit->form, &to));
    TRY(confirm(visit, &to, MG_VIEW_EMPTY, &reply));
    if (reply.outcome == MG_WRONG_CODE) {
        page_problem(visit, "code",
                     say(visit, N_("The code is not right. Enter the one that the app shows now.")));
        return enrol_show(visit, &to, MG_VIEW_EMPTY, MG_WRONG_CODE);
    }
    if (reply.outcome != MG_GRANTED)
        return lead_elsewhere(visit, &to, reply.outcome, false);
    const char *on = to.origin != NULL ? arena_format(visit, "/sign-in?%s", destination_query(visit, &to))
                                       : "/factors?done=added";
    if (reply.recovery.length == 0)
        return redirect(visit, "%s", on);
    return recovery_show(visit, reply.recovery, on);
}

/* ---- a person's own ---- */

static const struct {
    const char *key, *text;
} notices[] = {
    {"added", N_("The second factor has been added.")},
    {"removed", N_("The second factor has been removed.")},
    {"gone", N_("That one was removed already.")},
    {"last", N_("You need a second factor here. Add another one before you remove this one.")},
    {"many", N_("There are ten already. Remove one before you add another.")},
};

struct mg_status
page_factors(struct visit *visit)
{
    const struct mg_request_factor_list request = {.tenant = visit->tenant, .session = visit_session(visit)};
    struct mg_reply_factor_list reply;
    struct mg_record_factor_row factor;
    size_t count = 0;
    TRY(mg_call_factor_list(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return redirect(visit, "/sign-in");
    for (bool more = true;; count++) {
        TRY(mg_list_next_factor_row(&reply.factors, &factor, &more));
        if (!more)
            break;
        struct mg_scope *row = mg_scope_add(visit->page, "factors");
        mg_scope_set_number(row, "factor", factor.factor);
        mg_scope_set_flag(row, "is_app", mg_view_is(factor.kind, "totp"));
        mg_scope_set_flag(row, "alone", factor.alone);
        mg_scope_set_flag(row, "synced", factor.synced);
        mg_scope_set(row, "factor_name", factor.name);
        scope_time(visit, row, TIME_NAMES(added), factor.created_at);
        scope_time(visit, row, TIME_NAMES(used), factor.last_used_at);
    }
    mg_scope_set_flag(visit->page, "has_any", count > 0);
    mg_scope_set_flag(visit->page, "must", reply.must);
    mg_scope_set_number(visit->page, "recovery_left", reply.recovery_left);
    mg_scope_set_flag(visit->page, "few", count > 0 && reply.recovery_left < 4);
    mg_scope_set_flag(visit->page, "at_factors", true);
    const struct mg_view key = mg_form_value(&visit->query, "done");
    for (size_t i = 0; i < MG_COUNT(notices); i++)
        if (mg_view_is(key, notices[i].key))
            mg_scope_set_text(visit->page, "notice", say(visit, notices[i].text));
    return show(visit, 200, "factors");
}

struct mg_status
page_factor_remove(struct visit *visit)
{
    struct mg_request_factor_remove request = {
        .tenant = visit->tenant, .session = visit_session(visit), .address = visit->address};
    struct mg_reply_factor_remove reply;
    TRY(mg_parse_u64(mg_form_value(&visit->form, "factor"), INT64_MAX, &request.factor));
    TRY(mg_call_factor_remove(&request, &reply, &visit->storage, CALL_MS));
    switch (reply.outcome) {
    case MG_GRANTED:
        return redirect(visit, "/factors?done=removed");
    case MG_STEP_UP:
        return redirect(visit, "/step-up?return=%s", encoded(visit, mg_view_text("/factors")));
    case MG_LAST_FACTOR:
        return redirect(visit, "/factors?done=last");
    case MG_NOT_KNOWN:
        return redirect(visit, "/factors?done=gone");
    default:
        return redirect(visit, "/sign-in");
    }
}

struct mg_status
page_recovery(struct visit *visit)
{
    const struct mg_request_recovery_renew request = {
        .tenant = visit->tenant, .session = visit_session(visit), .address = visit->address};
    struct mg_reply_recovery_renew reply;
    TRY(mg_call_recovery_renew(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome == MG_STEP_UP)
        return redirect(visit, "/step-up?return=%s", encoded(visit, mg_view_text("/factors")));
    if (reply.outcome != MG_GRANTED)
        return redirect(visit, "/factors");
    return recovery_show(visit, reply.recovery, "/factors");
}

/* ---- showing anew who it is ---- */

struct mg_status
step_up_show(struct visit *visit, const struct destination *to, uint64_t outcome)
{
    uint64_t begun = MG_OUTCOME_NONE;
    mg_scope_set_flag(visit->page, "by_code", visit->person.has_second_factor);
    if (visit->person.has_second_factor)
        TRY(passkey_offer(visit, MG_PASSKEY_USE_STEP_UP, MG_VIEW_EMPTY, &begun));
    TRY(destination_show(visit, to, "/step-up"));
    return outcome == MG_GRANTED ? show(visit, 200, "step_up") : show_outcome(visit, outcome, "step_up");
}

struct mg_status
page_step_up_form(struct visit *visit)
{
    struct destination to;
    TRY(destination_read(visit, &visit->query, &to));
    return step_up_show(visit, &to, MG_GRANTED);
}

struct mg_status
page_step_up(struct visit *visit)
{
    struct destination to;
    TRY(destination_read(visit, &visit->form, &to));
    const bool by_code = visit->person.has_second_factor;
    const char *field = by_code ? "code" : "password";
    const struct mg_view password = mg_form_value(&visit->form, "password");
    const struct mg_request_step_up request = {
        .tenant = visit->tenant,
        .session = visit_session(visit),
        .code = by_code ? typed_code(visit) : MG_VIEW_EMPTY,
        .password = by_code || password.length > 1024 ? MG_VIEW_EMPTY : password,
        .address = visit->address,
    };
    struct mg_reply_step_up reply;
    if (request.code.length + request.password.length == 0) {
        page_problem(visit, field,
                     by_code ? say(visit, N_("Enter the code.")) : say(visit, N_("Enter your password.")));
        return step_up_show(visit, &to, MG_WRONG_CODE);
    }
    TRY(mg_call_step_up(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome == MG_SESSION_ENDED)
        return redirect(visit, "/sign-in?%s", destination_query(visit, &to));
    if (reply.outcome != MG_GRANTED) {
        if (reply.outcome == MG_WRONG_CREDENTIALS)
            page_problem(visit, field, say(visit, N_("The password is not right.")));
        else
            show_problem(visit, field, reply.outcome, reply.wait_s);
        return step_up_show(visit, &to, reply.outcome);
    }
    /* Who has none yet and needs one goes on to set it up. */
    if (to.second_s > 0 && !by_code)
        return redirect(visit, "/factors/totp?%s", destination_query(visit, &to));
    return destination_enter(visit, &to, MG_VIEW_EMPTY);
}
