/* Sign-in through an identity provider, and signing out from there. The portal only carries: what the
 * provider's answer is worth the authority decides. */
#include "process/portal/portal.h"

#include "base/secret.h"
#include "domain/begun_place.h"
#include "domain/return_path.h"

#define FEDERATION_S 600

/* ---- what the sign-in page offers ---- */

/* One link a provider; `go_on` is what the sign-in page itself knows of where to go: "&host=…". */
struct mg_status
federation_offer(struct visit *visit, const char *go_on)
{
    struct mg_reply_federation_choices reply;
    const struct mg_view email = mg_form_value(&visit->query, "email");
    if (visit->origin != ORIGIN_SIGN_IN || go_on == NULL)
        return OK;
    const struct mg_request_federation_choices request = {
        .tenant = visit->tenant, .email = email.length <= 254 ? email : MG_VIEW_EMPTY};
    TRY(mg_call_federation_choices(&request, &reply, &visit->storage, CALL_MS));
    mg_scope_set_flag(visit->page, "by_email", reply.by_email);
    mg_scope_set(visit->page, "email", email);
    bool any = false;
    for (;;) {
        struct mg_record_federation_choice choice;
        bool more;
        TRY(mg_list_next_federation_choice(&reply.choices, &choice, &more));
        if (!more)
            break;
        struct mg_scope *row = mg_scope_add(visit->page, "provider_list");
        mg_scope_set_text(row, "provider_label",
                          mg_arena_text(visit->arena, choice.label)); /* the reply's storage is used again */
        mg_scope_set_text(row, "provider_link",
                          arena_format(visit, "/federation/start/%.*s?%s", (int) choice.name.length,
                                       (const char *) choice.name.bytes, go_on));
        any = true;
    }
    mg_scope_set_flag(visit->page, "federated", any || reply.by_email);
    mg_scope_set_flag(visit->page, "nobody_of_email", email.length != 0 && !any);
    return OK;
}

/* ---- to the provider ---- */

struct mg_status
federation_show_refusal(struct visit *visit, uint64_t outcome)
{
    const bool later = outcome == MG_BUSY_NOW || outcome == MG_FEDERATION_AWAY;
    return show_message(visit,
                        later                        ? 503
                        : outcome == MG_RATE_LIMITED ? 429
                                                     : 403,
                        N_("Sign-in did not finish"),
                        mg_outcome_text(outcome, visit->language == MG_JAPANESE), "/sign-in",
                        N_("Start again"));
}

/* SAML's POST binding: a form that a script sends, or a person by its button. */
static CHECKED struct mg_status
show_carrying(struct visit *visit, const struct mg_reply_federation_begin *reply)
{
    const char *url = mg_arena_text(visit->arena, reply->url);
    if (url == NULL)
        return fail(OUT_OF_MEMORY);
    visit->form_target = origin_of_url(visit, url);
    mg_scope_set_text(visit->page, "action", url);
    mg_scope_set(visit->page, "message", reply->message);
    mg_scope_set(visit->page, "relay_state", reply->relay_state);
    return show(visit, 200, "saml_post");
}

static const char *const begun_cookies[MG_BEGUN_PLACES] = {
    "__Host-masugata-begun-0", "__Host-masugata-begun-1", "__Host-masugata-begun-2"};
enum { BEGUN_MOST = 2816 }; /* as the message has it */

/* The first that is free, or any: the oldest of so many tabs starts again. */
static unsigned
begun_place_choose(const struct visit *visit)
{
    uint8_t any;
    for (unsigned place = 0; place < MG_BEGUN_PLACES; place++) {
        size_t position = 0;
        struct mg_view value;
        if (!mg_cookie_next(visit->cookies, begun_cookies[place], &position, &value))
            return place;
    }
    mg_random(&any, 1);
    return any % MG_BEGUN_PLACES;
}

/* A page of another site may put ours into a frame, and a provider may answer there without a word to
 * anybody: such a sign-in does not end. Browsers say where what they ask for goes to (Fetch Metadata
 * section 2.1). */
static bool
is_framed(const struct visit *visit)
{
    struct mg_view destination;
    unsigned count = 0;
    return mg_web_header(visit->request, "Sec-Fetch-Dest", &destination, &count) &&
           !(count == 1 && mg_view_is(destination, "document"));
}

struct mg_status
federation_begun(struct visit *visit, unsigned place, uint8_t browser[TOKEN_BYTES], struct mg_view *ret_begun,
                 bool *ret_seen)
{
    OWN_BUFFER(begun, BEGUN_MOST);
    size_t position = 0;
    struct mg_view value;
    *ret_seen = false;
    if (place >= MG_BEGUN_PLACES || is_framed(visit) || !visit_cookie(visit, COOKIE_FEDERATION, browser) ||
        !mg_cookie_next(visit->cookies, begun_cookies[place], &position, &value) ||
        !mg_ok(mg_base64url_decode(value, &begun)))
        return OK;
    uint8_t *bytes = mg_arena_take(visit->arena, begun.length);
    if (bytes == NULL)
        return fail(OUT_OF_MEMORY);
    memcpy(bytes, begun.bytes, begun.length);
    *ret_begun = mg_view_of(bytes, begun.length);
    *ret_seen = true;
    return OK;
}

struct mg_status
federation_begun_forget(struct visit *visit, unsigned place)
{
    mg_must(place < MG_BEGUN_PLACES);
    return cookie_set(visit, begun_cookies[place], MG_VIEW_EMPTY, 0);
}

/* A second tab that begins while the first is on its way uses the same secret, so both arrive. */
struct mg_status
page_federation_start(struct visit *visit)
{
    OWN_KEY(browser, TOKEN_BYTES);
    OWN_KEY(trial, TOKEN_BYTES);
    uint8_t binding[TOKEN_BYTES];
    uint64_t fresh_s = 0;
    struct mg_reply_federation_begin reply;
    const struct mg_view host = mg_form_value(&visit->query, "host"),
                         path = mg_form_value(&visit->query, "return");
    visit->here = "/sign-in";
    const bool to_app = host.length != 0,
               is_trial = token_decode(mg_form_value(&visit->query, "trial"), trial);
    if (host.length > 255 || path.length > 2048 ||
        (to_app && !token_decode(mg_form_value(&visit->query, "binding"), binding)))
        return fail_with(MALFORMED, "destination");
    if (mg_form_value(&visit->query, "fresh").length > 0)
        TRY(mg_parse_u64(mg_form_value(&visit->query, "fresh"), UINT32_MAX, &fresh_s));
    if (!visit_cookie(visit, COOKIE_FEDERATION, browser))
        mg_random(browser, TOKEN_BYTES);
    OWN_KEY(device, TOKEN_BYTES);
    const bool has_device = visit_cookie(visit, COOKIE_DEVICE, device);
    const unsigned place = begun_place_choose(visit);
    TRY(visit_identify(visit)); /* the sign-in that this one may replace */
    const struct mg_request_federation_begin request = {
        .tenant = visit->tenant,
        .provider = visit->tail,
        .browser = mg_view_of(browser, TOKEN_BYTES),
        .host = host,
        .binding = to_app ? mg_view_of(binding, TOKEN_BYTES) : MG_VIEW_EMPTY,
        .path = path,
        .fresh_s = fresh_s,
        .address = visit->address,
        .trial = is_trial ? mg_view_of(trial, TOKEN_BYTES) : MG_VIEW_EMPTY,
        .previous = visit_session(visit),
        .device = has_device ? mg_view_of(device, TOKEN_BYTES) : MG_VIEW_EMPTY,
        .place = place,
    };
    TRY(mg_call_federation_begin(&request, &reply, &visit->storage, FEDERATION_CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return federation_show_refusal(visit, reply.outcome);
    struct mg_status (*const set)(struct visit *, const char *, struct mg_view, int) =
        reply.by_form ? cookie_set_for_forms : cookie_set;
    TRY(set(visit, COOKIE_FEDERATION, mg_view_of(browser, TOKEN_BYTES), FEDERATION_S));
    TRY(set(visit, begun_cookies[place], reply.begun, FEDERATION_S));
    if (reply.message.length != 0)
        return show_carrying(visit, &reply);
    return redirect(visit, "%.*s", (int) reply.url.length, (const char *) reply.url.bytes);
}

/* ---- and back ---- */

struct mg_status
federation_go_on(struct visit *visit, const struct mg_reply_federation_finish *reply)
{
    const char *code = NULL, *origin = NULL;
    if (reply->host.length == 0)
        return redirect(visit, "%s",
                        mg_return_path_is_safe(reply->path) && !mg_view_is(reply->path, "/")
                            ? mg_arena_text(visit->arena, reply->path)
                            : "/account");
    const bool with_code = reply->code.length != 0;
    if (with_code)
        TRY(token_text(visit, reply->code, &code));
    const char *path = with_code ? encoded(visit, mg_return_path(reply->path))
                                 : mg_arena_text(visit->arena, mg_return_path(reply->path));
    const struct mg_request_site request = {.tenant = visit->tenant, .host = reply->host};
    struct mg_reply_site site;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    TRY(mg_call_site(&request, &site, &storage, CALL_MS));
    if (!site.open || site.app_origin.length == 0)
        return fail_with(REFUSED, "host is not of this tenant");
    origin = mg_arena_text(visit->arena, site.app_origin);
    if (origin == NULL || path == NULL)
        return fail(OUT_OF_MEMORY);
    /* Without a code (nobody came from the application): it sends the browser back here, which is signed in
     * by then. */
    return with_code ? redirect(visit, "%s/.masugata/enter?code=%s&return=%s", origin, code, path)
                     : redirect(visit, "%s%s", origin, path);
}

static CHECKED struct mg_status
finish(struct visit *visit, struct mg_reply_federation_finish *ret_reply)
{
    OWN_KEY(browser, TOKEN_BYTES);
    OWN_KEY(state, TOKEN_BYTES);
    *ret_reply = (struct mg_reply_federation_finish){.outcome = MG_TICKET_SPENT};
    const struct mg_view code = mg_form_value(&visit->query, "code"),
                         issuer = mg_form_value(&visit->query, "iss");
    struct mg_view begun;
    bool seen = false;
    if (!token_decode(mg_form_value(&visit->query, "state"), state) || code.length > 4096 ||
        issuer.length > 511)
        return OK;
    TRY(federation_begun(visit, mg_begun_place(state), browser, &begun, &seen));
    if (!seen)
        return OK;
    TRY(visit_identify(visit)); /* the sign-in that this one replaces */
    OWN_KEY(device, TOKEN_BYTES);
    const bool has_device = visit_cookie(visit, COOKIE_DEVICE, device);
    const struct mg_request_federation_finish request = {
        .tenant = visit->tenant,
        .provider = visit->tail,
        .state = mg_view_of(state, TOKEN_BYTES),
        .code = code,
        .error = mg_view_start(mg_form_value(&visit->query, "error"), 127),
        .with_issuer = mg_form_has(&visit->query, "iss"),
        .issuer = issuer,
        .browser = mg_view_of(browser, TOKEN_BYTES),
        .address = visit->address,
        .user_agent = visit->user_agent,
        .previous = visit_session(visit),
        .device = has_device ? mg_view_of(device, TOKEN_BYTES) : MG_VIEW_EMPTY,
        .begun = begun,
    };
    TRY(federation_begun_forget(visit, mg_begun_place(state)));
    return mg_call_federation_finish(&request, ret_reply, &visit->storage, FEDERATION_CALL_MS);
}

struct mg_status
federation_conclude(struct visit *visit, const struct mg_reply_federation_finish *reply)
{
    if (reply->device.length == TOKEN_BYTES) /* of this browser, also after the person signs out */
        TRY(cookie_set(visit, COOKIE_DEVICE, reply->device, DEVICE_S));
    if (reply->trial && (reply->outcome == MG_GRANTED || reply->outcome == MG_FEDERATION_REFUSED))
        return show_message(
            visit, reply->outcome == MG_GRANTED ? 200 : 403, N_("The trial sign-in is finished"),
            N_("Nobody was signed in. The administrator sees what arrived and what would have been decided."),
            customer_may(visit, MG_PERMISSION_providers_read)
                ? arena_format(visit, "/console/provider?name=%.*s#attempts", (int) visit->tail.length,
                               (const char *) visit->tail.bytes)
                : NULL,
            N_("See what arrived"));
    if (reply->outcome == MG_GRANTED && reply->token.length == TOKEN_BYTES) {
        /* A new token at sign-in, never the one the browser came with (session fixation). */
        TRY(cookie_set(visit, COOKIE_SESSION, reply->token, -1));
        TRY(cookie_set(visit, COOKIE_FEDERATION, MG_VIEW_EMPTY, 0));
        return federation_go_on(visit, reply);
    }
    /* The back button, or the second of two tabs: who is in already just goes on. */
    if (reply->outcome == MG_TICKET_SPENT && visit->signed_in)
        return redirect(visit, "/account");
    if (reply->outcome == MG_TICKET_SPENT)
        return show_message(
            visit, 400, N_("Sign-in did not finish"),
            N_("It took too long, or cookies are switched off in this browser. Please start again."),
            "/sign-in", N_("Start again"));
    return federation_show_refusal(visit, reply->outcome);
}

struct mg_status
page_federation_callback(struct visit *visit)
{
    struct mg_reply_federation_finish reply;
    visit->here =
        "/sign-in"; /* nothing of the answer stands in a page of ours, not even in the language switch */
    TRY(finish(visit, &reply));
    return federation_conclude(visit, &reply);
}

/* ---- the provider signs somebody out ---- */

static CHECKED struct mg_status
logout(struct visit *visit, struct mg_view token, struct mg_view issuer, struct mg_view sid)
{
    struct mg_reply_federation_logout reply = {.outcome = MG_NOT_VALID};
    const struct mg_request_federation_logout request = {.tenant = visit->tenant,
                                                         .provider = visit->tail,
                                                         .token = token,
                                                         .issuer = issuer,
                                                         .sid = sid,
                                                         .address = visit->address};
    if (token.length <= 8192 && issuer.length <= 511 && sid.length <= 255)
        TRY(mg_call_federation_logout(&request, &reply, &visit->storage, FEDERATION_CALL_MS));
    visit->answer->status = reply.outcome == MG_GRANTED ? 200 : reply.outcome == MG_BUSY_NOW ? 503 : 400;
    visit->answer->content_type = "text/plain; charset=utf-8";
    return mg_web_header_add(visit->answer, "Cache-Control", "no-store");
}

/* Asked by the provider itself: no browser, no cookie, no form of ours. The token's signature is what counts.
 */
struct mg_status
page_federation_back_channel(struct visit *visit)
{
    const struct mg_view token = mg_form_value(&visit->form, "logout_token");
    if (token.length == 0)
        return fail_with(MALFORMED, "no logout_token");
    return logout(visit, token, MG_VIEW_EMPTY, MG_VIEW_EMPTY);
}

struct mg_status
page_federation_front_channel(struct visit *visit)
{
    return logout(visit, MG_VIEW_EMPTY, mg_form_value(&visit->query, "iss"),
                  mg_form_value(&visit->query, "sid"));
}

/* ---- what the provider fetches ---- */

struct mg_status
page_federation_keys(struct visit *visit)
{
    struct mg_reply_federation_keys reply;
    const struct mg_request_federation_keys request = {.tenant = visit->tenant, .provider = visit->tail};
    TRY(mg_call_federation_keys(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return show_message(visit, 404, N_("Page not found"), N_("There is no page at this address."), NULL,
                            NULL);
    return send_bytes(visit, "application/jwk-set+json", "public, max-age=300", reply.json);
}

/* ---- signing out there as well ---- */

struct mg_status
federation_sign_out_place(struct visit *visit, const char **ret_url)
{
    struct mg_reply_federation_sign_out reply;
    *ret_url = NULL;
    if (!visit->signed_in || visit->origin != ORIGIN_SIGN_IN)
        return OK;
    const struct mg_request_federation_sign_out request = {.tenant = visit->tenant,
                                                           .session = visit_session(visit)};
    const struct mg_status asked =
        mg_call_federation_sign_out(&request, &reply, &visit->storage, FEDERATION_CALL_MS);
    /* Signing out here must not fail because the provider, or the way to it, is away. */
    if (mg_ok(asked) && reply.url.length != 0)
        *ret_url = mg_arena_text(visit->arena, reply.url);
    return OK;
}
