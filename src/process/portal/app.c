/* On an application's host: to sign-in and back. The session of the application's origin is got by a
 * single-use code that is bound to this browser (the nonce in its cookie), to host and to tenant. */
#include "process/portal/portal.h"

#include "base/secret.h"
#include "domain/return_path.h"

#define START_S 600

static CHECKED struct mg_status
show_closed(struct visit *visit)
{
    return show_message(visit, 404, N_("Not available"),
                        mg_outcome_text(MG_TENANT_CLOSED, visit->language == MG_JAPANESE), NULL, NULL);
}

/* A second tab that starts while the first is on its way uses the same nonce, so both arrive. */
struct mg_status
page_app_start(struct visit *visit)
{
    if (!visit->site.open)
        return show_closed(visit);
    OWN_KEY(nonce, TOKEN_BYTES);
    if (!visit_cookie(visit, COOKIE_START, nonce))
        mg_random(nonce, TOKEN_BYTES);
    uint8_t binding[HASH_BYTES];
    token_hash(nonce, binding);
    const char *binding_text = NULL;
    TRY(token_text(visit, mg_view_of(binding, HASH_BYTES), &binding_text));
    TRY(cookie_set(visit, COOKIE_START, mg_view_of(nonce, TOKEN_BYTES), START_S));
    const struct mg_view origin = visit->site.sign_in_origin;
    /* The gate adds `fresh` where a rule wants a recent sign-in, `second` where it wants a second factor. */
    return redirect(visit, "%.*s/sign-in?host=%s&binding=%s&fresh=%s&second=%s&return=%s",
                    (int) origin.length, (const char *) origin.bytes, encoded(visit, visit->host),
                    binding_text, encoded(visit, mg_form_value(&visit->query, "fresh")),
                    encoded(visit, mg_form_value(&visit->query, "second")),
                    encoded(visit, mg_return_path(mg_form_value(&visit->query, "return"))));
}

static CHECKED struct mg_status
exchange(struct visit *visit, struct mg_reply_code_exchange *ret_reply)
{
    OWN_KEY(code, TOKEN_BYTES);
    OWN_KEY(nonce, TOKEN_BYTES);
    *ret_reply = (struct mg_reply_code_exchange){.outcome = MG_TICKET_SPENT};
    if (!token_decode(mg_form_value(&visit->query, "code"), code) ||
        !visit_cookie(visit, COOKIE_START, nonce))
        return OK;
    const struct mg_request_code_exchange request = {
        .tenant = visit->tenant,
        .code = mg_view_of(code, TOKEN_BYTES),
        .nonce = mg_view_of(nonce, TOKEN_BYTES),
        .host = visit->host,
        .address = visit->address,
        .user_agent = visit->user_agent,
    };
    return mg_call_code_exchange(&request, ret_reply, &visit->storage, CALL_MS);
}

struct mg_status
page_app_enter(struct visit *visit)
{
    const struct mg_view path = mg_return_path(mg_form_value(&visit->query, "return"));
    struct mg_reply_code_exchange reply;
    TRY(exchange(visit, &reply));
    if (reply.outcome == MG_GRANTED && reply.token.length == TOKEN_BYTES) {
        TRY(cookie_set(visit, COOKIE_SESSION, reply.token, -1));
        TRY(cookie_set(visit, COOKIE_START, MG_VIEW_EMPTY, 0));
        return redirect(visit, "%.*s", (int) path.length, (const char *) path.bytes);
    }
    /* The back button, or the second of two tabs: who is in already just goes on. */
    TRY(visit_identify(visit));
    if (visit->signed_in)
        return redirect(visit, "%.*s", (int) path.length, (const char *) path.bytes);
    if (reply.outcome == MG_TENANT_CLOSED || !visit->site.open)
        return show_closed(visit);
    if (reply.outcome == MG_ADDRESS_NOT_ALLOWED)
        return show_message(visit, 403, N_("Not allowed"),
                            mg_outcome_text(MG_ADDRESS_NOT_ALLOWED, visit->language == MG_JAPANESE), NULL,
                            NULL);
    return show_message(
        visit, 400, N_("Sign-in did not finish"),
        N_("It took too long, or cookies are switched off in this browser. Please start again."),
        arena_format(visit, "/.masugata/start?return=%s", encoded(visit, path)), N_("Start again"));
}

struct mg_status
page_app_sign_out_form(struct visit *visit)
{
    mg_scope_set_text(visit->page, "action", "/.masugata/sign-out");
    if (visit->site.open)
        visit->form_target = arena_format(visit, "%.*s", (int) visit->site.sign_in_origin.length,
                                          (const char *) visit->site.sign_in_origin.bytes);
    return show(visit, 200, "sign_out");
}

struct mg_status
page_app_sign_out(struct visit *visit)
{
    TRY(visit_identify(visit));
    if (visit->signed_in) {
        const struct mg_request_sign_out request = {.tenant = visit->tenant, .session = visit_session(visit)};
        struct mg_reply_sign_out reply;
        TRY(mg_call_sign_out(&request, &reply, &visit->storage, CALL_MS));
    }
    TRY(cookie_set(visit, COOKIE_SESSION, MG_VIEW_EMPTY, 0));
    const struct mg_view origin = visit->site.sign_in_origin;
    if (!visit->site.open)
        return redirect(visit, "/");
    return redirect(visit, "%.*s/signed-out", (int) origin.length, (const char *) origin.bytes);
}

/* The gate found no assertion for a live session: the authority writes one, the gate looks again. Which
 * session stands in a header that only nginx can set here; it strips a visitor's. */
struct mg_status
page_internal_assertion(struct visit *visit)
{
    struct mg_view number;
    struct mg_request_assertion_refresh request = {.tenant = visit->tenant, .host = visit->host};
    struct mg_reply_assertion_refresh reply;
    TRY(visit_from_nginx(visit, "X-Masugata-Session", &number));
    TRY(mg_parse_u64(number, INT64_MAX, &request.session));
    TRY(mg_call_assertion_refresh(&request, &reply, &visit->storage, CALL_MS));
    visit->answer->status = reply.outcome == MG_GRANTED ? 204 : 403;
    return mg_web_header_add(visit->answer, "Cache-Control", "no-store");
}
