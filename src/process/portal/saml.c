/* SAML on the pages: a provider's form comes in. A browser that began the sign-in shows that with it, and it
 * ends there; any other is sent on to where the session's cookie is seen as well. The portal only carries:
 * what the message is worth the authority decides. */
#include "process/portal/portal.h"

#include "base/secret.h"
#include "domain/begun_place.h"

enum { RESPONSE_MOST = 65536, LOGOUT_MOST = 32768, RELAY_MOST = 1023, QUERY_MOST = 16384 };

/* ---- the provider's response ---- */

/* The sign-in that this browser began; *ret_seen false: it shows none. */
static CHECKED struct mg_status
finish_begun(struct visit *visit, struct mg_view response, const uint8_t state[TOKEN_BYTES],
             struct mg_reply_federation_finish *ret_reply, bool *ret_seen)
{
    OWN_KEY(browser, TOKEN_BYTES);
    struct mg_view begun;
    TRY(federation_begun(visit, mg_begun_place(state), browser, &begun, ret_seen));
    if (!*ret_seen)
        return OK;
    const struct mg_request_federation_finish request = {
        .tenant = visit->tenant,
        .provider = visit->tail,
        .state = mg_view_of(state, TOKEN_BYTES),
        .browser = mg_view_of(browser, TOKEN_BYTES),
        .begun = begun,
        .response = response,
        .address = visit->address,
        .user_agent = visit->user_agent,
    };
    TRY(federation_begun_forget(visit, mg_begun_place(state)));
    return mg_call_federation_finish(&request, ret_reply, &visit->storage, FEDERATION_CALL_MS);
}

/* A form from another site: nothing of the session is seen here. */
struct mg_status
page_saml_arrive(struct visit *visit)
{
    struct mg_reply_saml_arrive reply;
    struct mg_reply_federation_finish finished;
    OWN_KEY(state, TOKEN_BYTES);
    const char *ticket = NULL;
    bool seen = false;
    const struct mg_view response = mg_form_value(&visit->form, "SAMLResponse"),
                         relay_state = mg_form_value(&visit->form, "RelayState");
    visit->here = "/sign-in";
    if (response.length == 0 || response.length > RESPONSE_MOST || relay_state.length > RELAY_MOST)
        return fail_with(MALFORMED, "no SAMLResponse");
    const bool is_state = token_decode(relay_state, state);
    if (is_state)
        TRY(finish_begun(visit, response, state, &finished, &seen));
    if (seen)
        return federation_conclude(visit, &finished);
    const struct mg_request_saml_arrive request = {.tenant = visit->tenant,
                                                   .provider = visit->tail,
                                                   .response = response,
                                                   .relay_state = relay_state,
                                                   .address = visit->address};
    TRY(mg_call_saml_arrive(&request, &reply, &visit->storage, FEDERATION_CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return federation_show_refusal(visit, reply.outcome);
    TRY(token_text(visit, reply.ticket, &ticket));
    return redirect(visit, "/federation/arrived/%.*s?ticket=%s%s", (int) visit->tail.length,
                    (const char *) visit->tail.bytes, ticket,
                    is_state ? arena_format(visit, "&place=%u", mg_begun_place(state)) : "");
}

/* ---- where the cookies are seen ---- */

static CHECKED struct mg_status
finish(struct visit *visit, struct mg_view ticket_text, bool confirmed,
       struct mg_reply_federation_finish *ret_reply)
{
    OWN_KEY(browser, TOKEN_BYTES);
    OWN_KEY(ticket, TOKEN_BYTES);
    OWN_KEY(device, TOKEN_BYTES);
    *ret_reply = (struct mg_reply_federation_finish){.outcome = MG_TICKET_SPENT};
    TRY(visit_identify(visit)); /* the sign-in that this one replaces, or does not */
    if (!token_decode(ticket_text, ticket))
        return OK;
    struct mg_view begun = MG_VIEW_EMPTY;
    uint64_t place = 0;
    bool known = false;
    const bool has_device = visit_cookie(visit, COOKIE_DEVICE, device);
    if (mg_ok(mg_parse_u64(mg_form_value(&visit->query, "place"), MG_BEGUN_PLACES - 1, &place))) {
        TRY(federation_begun(visit, (unsigned) place, browser, &begun, &known));
        TRY(federation_begun_forget(visit, (unsigned) place));
    }
    const struct mg_request_federation_finish request = {
        .tenant = visit->tenant,
        .provider = visit->tail,
        .browser = known ? mg_view_of(browser, TOKEN_BYTES) : MG_VIEW_EMPTY,
        .address = visit->address,
        .user_agent = visit->user_agent,
        .previous = visit_session(visit),
        .device = has_device ? mg_view_of(device, TOKEN_BYTES) : MG_VIEW_EMPTY,
        .begun = begun,
        .arrival = mg_view_of(ticket, TOKEN_BYTES),
        .confirmed = confirmed,
    };
    return mg_call_federation_finish(&request, ret_reply, &visit->storage, FEDERATION_CALL_MS);
}

/* Who would be signed in, and a button. The answer to it may lead to an application. */
static CHECKED struct mg_status
show_confirm(struct visit *visit, const struct mg_reply_federation_finish *reply)
{
    mg_scope_set_text(visit->page, "login", mg_arena_text(visit->arena, reply->login));
    mg_scope_set_text(visit->page, "ticket",
                      mg_arena_text(visit->arena, mg_form_value(&visit->query, "ticket")));
    mg_scope_set_text(visit->page, "action",
                      arena_format(visit, "/federation/arrived/%.*s", (int) visit->tail.length,
                                   (const char *) visit->tail.bytes));
    if (reply->host.length != 0) {
        const struct mg_request_site request = {.tenant = visit->tenant, .host = reply->host};
        struct mg_reply_site site;
        OWN_BUFFER(storage, MG_PACKET_MOST);
        TRY(mg_call_site(&request, &site, &storage, CALL_MS));
        if (site.app_origin.length != 0)
            visit->form_target = mg_arena_text(visit->arena, site.app_origin);
    }
    return show(visit, 200, "saml_confirm");
}

static CHECKED struct mg_status
arrived(struct visit *visit, struct mg_view ticket, bool confirmed)
{
    struct mg_reply_federation_finish reply;
    visit->here = "/sign-in"; /* the ticket stands in no link */
    TRY(finish(visit, ticket, confirmed, &reply));
    if (reply.outcome == MG_GRANTED && reply.stays)
        return federation_go_on(visit, &reply);
    if (reply.outcome == MG_GRANTED && reply.confirm)
        return show_confirm(visit, &reply);
    return federation_conclude(visit, &reply);
}

struct mg_status
page_saml_arrived(struct visit *visit)
{
    return arrived(visit, mg_form_value(&visit->query, "ticket"), false);
}

struct mg_status
page_saml_confirm(struct visit *visit)
{
    return arrived(visit, mg_form_value(&visit->form, "ticket"), true);
}

/* ---- the provider signs somebody out ---- */

static CHECKED struct mg_status
sign_out(struct visit *visit, struct mg_view query, struct mg_view message, struct mg_view relay_state)
{
    struct mg_reply_saml_sign_out reply;
    visit->here = "/sign-in";
    if (query.length > QUERY_MOST || message.length > LOGOUT_MOST || relay_state.length > RELAY_MOST)
        return fail_with(MALFORMED, "too large");
    const struct mg_request_saml_sign_out request = {.tenant = visit->tenant,
                                                     .provider = visit->tail,
                                                     .query = query,
                                                     .message = message,
                                                     .relay_state = relay_state,
                                                     .address = visit->address};
    TRY(mg_call_saml_sign_out(&request, &reply, &visit->storage, FEDERATION_CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return federation_show_refusal(visit, reply.outcome);
    if (reply.url.length == 0)
        return redirect(visit, "/signed-out");
    return redirect(visit, "%.*s", (int) reply.url.length, (const char *) reply.url.bytes);
}

struct mg_status
page_saml_sign_out(struct visit *visit)
{
    if (!mg_form_has(&visit->query, "SAMLRequest") && !mg_form_has(&visit->query, "SAMLResponse"))
        return fail_with(MALFORMED, "no SAML message");
    /* As it was written: the signature is over these very bytes. */
    return sign_out(visit, visit->request->query, MG_VIEW_EMPTY, MG_VIEW_EMPTY);
}

struct mg_status
page_saml_sign_out_form(struct visit *visit)
{
    const struct mg_view request = mg_form_value(&visit->form, "SAMLRequest"),
                         message =
                             request.length != 0 ? request : mg_form_value(&visit->form, "SAMLResponse");
    if (message.length == 0)
        return fail_with(MALFORMED, "no SAML message");
    return sign_out(visit, MG_VIEW_EMPTY, message, mg_form_value(&visit->form, "RelayState"));
}

/* ---- what the provider fetches ---- */

struct mg_status
page_saml_metadata(struct visit *visit)
{
    struct mg_reply_saml_describe reply;
    const struct mg_request_saml_describe request = {.tenant = visit->tenant, .provider = visit->tail};
    TRY(mg_call_saml_describe(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return show_message(visit, 404, N_("Page not found"), N_("There is no page at this address."), NULL,
                            NULL);
    return send_bytes(visit, "application/samlmetadata+xml", "no-cache", reply.xml);
}
