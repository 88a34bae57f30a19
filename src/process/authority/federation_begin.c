/* Where a sign-in through an identity provider begins: the rows federation_choices and federation_begin. It
 * ends in federation_sign_in.c.
 *
 * The browser holds a secret in a cookie of the sign-in origin; the state is random and known to nobody else
 * here. From both together come the nonce and the PKCE verifier: whoever has only one of them, or our
 * database, has neither. What else belongs to the sign-in the browser holds too (federation_begun.c). */
#include "process/authority/federation.h"
#include "process/authority/tenants.h"

#include "base/secret.h"
#include "domain/begun_place.h"

#include <inttypes.h>
#include <openssl/hmac.h>

enum {
    BEGUN_MS = 10 * 60 * 1000,
};

/* ---- what the sign-in page offers ---- */

MG_HANDLER_PUBLIC(federation_choices)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, 8192);
    struct mg_core_tenant tenant;
    struct mg_reply_federation_choices reply = {.by_email = false};
    const mg_instant now = mg_now();
    const struct mg_status found = mg_core_tenant(request->tenant, &tenant);
    if (request->tenant == 0 || found.code == MG_NOT_FOUND || (mg_ok(found) && !tenant.open))
        return mg_answer_federation_choices(call, &reply);
    TRY(found);
    TRY(mg_core_database(&database));
    TRY(mg_query_often(database, &rows,
                       "SELECT name FROM identity_provider WHERE tenant = $1 AND enabled ORDER BY name",
                       MG_I64(request->tenant)));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        OWN(idp) idp = NULL;
        const struct mg_status loaded =
            mg_idp_load(database, request->tenant, mg_rows_text(rows, i, 0), &idp);
        if (loaded.code == MG_NOT_FOUND) /* a kind of another file's, or removed meanwhile */
            continue;
        TRY(loaded);
        if (mg_idp_judge_now(idp, &tenant, now) != MG_FEDERATION_NONE)
            continue;
        reply.by_email = reply.by_email || idp->settings->domains[0] != '\0';
        const bool offered = request->email.length != 0 ? mg_idp_has_domain_of(idp->settings, request->email)
                                                        : idp->settings->button;
        const struct mg_record_federation_choice row = {.name = mg_view_text(idp->name),
                                                        .label = mg_view_text(mg_idp_label(idp))};
        if (offered)
            TRY(mg_list_add_federation_choice(&list, &row));
    }
    reply.choices = (struct mg_list){.bytes = mg_buffer_view(&list)};
    return mg_answer_federation_choices(call, &reply);
}

/* ---- what is derived ---- */

/* base64url of HMAC-SHA-256(browser's secret, label | state): 43 characters. */
struct mg_status
mg_federation_derive(struct mg_view browser, struct mg_view state, const char *label, struct mg_buffer *text)
{
    OWN_KEY(mac, 32);
    uint8_t message[16 + MG_TOKEN_BYTES] = {0};
    unsigned length = sizeof mac;
    mg_must(strlen(label) <= 16 && state.length == MG_TOKEN_BYTES && browser.length == MG_TOKEN_BYTES);
    memcpy(message, label, strlen(label)); /* NOLINT(bugprone-not-null-terminated-result): a fixed length */
    memcpy(message + 16, state.bytes, MG_TOKEN_BYTES);
    if (HMAC(EVP_sha256(), browser.bytes, (int) browser.length, message, sizeof message, mac, &length) ==
        NULL)
        return fail_with(CRYPTO, "HMAC");
    return mg_base64url(mg_view_of(mac, sizeof mac), text);
}

/* RFC 7636 section 4.2, S256. */
static CHECKED struct mg_status
challenge_make(struct mg_view verifier, struct mg_buffer *challenge)
{
    uint8_t hash[32];
    TRY(mg_secret_hash(verifier, hash));
    return mg_base64url(mg_view_of(hash, sizeof hash), challenge);
}

/* What the visitor is told: whether to try again, from elsewhere, or to look at the mail. Nothing else. */
enum mg_outcome
mg_federation_outcome(enum mg_federation_refusal refusal)
{
    return refusal == MG_FEDERATION_UNREACHABLE           ? MG_FEDERATION_AWAY
           : refusal == MG_FEDERATION_ADDRESS_NOT_ALLOWED ? MG_ADDRESS_NOT_ALLOWED
           : refusal == MG_FEDERATION_SUSPICIOUS          ? MG_SIGN_IN_HELD
                                                          : MG_FEDERATION_REFUSED;
}

/* ---- begin ---- */

struct beginning {
    const struct mg_request_federation_begin *request;
    struct mg_call *call;
    mg_instant now;
    struct mg_core_tenant tenant;
    struct mg_idp *idp;
    bool trial;
    struct mg_buffer message, relay_state; /* for the POST binding of SAML */
    struct mg_buffer begun;
};

static void
beginning_drop(struct beginning *it)
{
    mg_idp_drop(&it->idp);
    mg_buffer_drop(&it->message);
    mg_buffer_drop(&it->relay_state);
    mg_buffer_drop(&it->begun);
}

static CHECKED struct mg_status
answer_begin(const struct beginning *it, enum mg_outcome outcome, struct mg_view url, bool *ret_answered)
{
    const struct mg_reply_federation_begin reply = {.outcome = outcome,
                                                    .url = url,
                                                    .message = mg_buffer_view(&it->message),
                                                    .relay_state = mg_buffer_view(&it->relay_state),
                                                    .begun = mg_buffer_view(&it->begun),
                                                    .by_form = outcome == MG_GRANTED &&
                                                               mg_idp_is_saml(it->idp->settings)};
    TRY(mg_answer_federation_begin(it->call, &reply));
    *ret_answered = true;
    return OK;
}

/* Anybody can cause these: in the log they are counted together, the last ones are kept for the
 * administrator. */
static CHECKED struct mg_status
refuse_begin(const struct beginning *it, enum mg_federation_refusal refusal, struct mg_view detail,
             bool *ret_answered)
{
    OWN(database) database = NULL;
    const struct mg_idp_attempt attempt = {.idp = it->idp,
                                           .trial = it->trial,
                                           .refusal = refusal,
                                           .detail = detail,
                                           .arrived = mg_view_text("{}")};
    TRY(mg_core_database(&database));
    TRY(mg_idp_attempt_keep(database, &attempt, it->now));
    mg_sign_in_refusal_count(it->tenant.number, mg_federation_outcome(refusal), it->request->address);
    return answer_begin(it, mg_federation_outcome(refusal), MG_VIEW_EMPTY, ret_answered);
}

static bool
host_is_ours(const struct mg_request_federation_begin *request)
{
    struct mg_core_host host;
    return request->host.length == 0 ||
           (request->binding.length == 32 && mg_ok(mg_core_host(request->host, &host)) &&
            host.tenant == request->tenant && host.origin == MG_ORIGIN_APP);
}

/* The ticket of `idp test`, spent here. */
static CHECKED struct mg_status
trial_take(struct beginning *it)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    uint8_t hash[32];
    if (it->request->trial.length != MG_TOKEN_BYTES)
        return OK;
    TRY(mg_core_database(&database));
    TRY(mg_secret_hash(it->request->trial, hash));
    TRY(mg_query(database, &rows,
                 "UPDATE identity_provider SET trial_hash = NULL, trial_until = NULL"
                 " WHERE id = $1 AND trial_hash = $2 AND trial_until > $3 RETURNING id",
                 MG_I64(it->idp->id), MG_BYTES(mg_view_of(hash, sizeof hash)), MG_INSTANT(it->now)));
    it->trial = mg_rows_count(rows) == 1;
    return OK;
}

/* The stricter of what the provider's settings and the page ask for; 0: any age. */
int64_t
mg_federation_age_wanted_s(const struct mg_idp *idp, uint64_t fresh_s)
{
    const int64_t setting_s = idp->settings->maximum_age / 1000;
    const int64_t page_s = fresh_s > INT32_MAX ? INT32_MAX : (int64_t) fresh_s;
    if (setting_s == 0 || page_s == 0)
        return setting_s == 0 ? page_s : setting_s;
    return setting_s < page_s ? setting_s : page_s;
}

/* "_" and what only this browser and this state make: the answer names it (SAML Core section 3.2.2). */
struct mg_status
mg_federation_request_identifier(struct mg_view browser, struct mg_view state, struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(text, "_"));
    return mg_federation_derive(browser, state, "request", text);
}

static CHECKED struct mg_status
saml_ask(struct beginning *it, struct mg_view state, struct mg_buffer *url)
{
    OWN_BUFFER(identifier, 2 * MG_FEDERATION_DERIVED_TEXT);
    OWN_BUFFER(relay_state, MG_FEDERATION_DERIVED_TEXT);
    TRY(mg_federation_request_identifier(it->request->browser, state, &identifier));
    TRY(mg_base64url(state, &relay_state));
    const struct mg_saml_ask ask = {.identifier = mg_buffer_view(&identifier),
                                    .relay_state = mg_buffer_view(&relay_state),
                                    .fresh = mg_federation_age_wanted_s(it->idp, it->request->fresh_s) > 0};
    TRY(mg_saml_begin(it->idp, &it->tenant, &ask, url, &it->message));
    return it->message.length != 0 ? mg_buffer_add(&it->relay_state, mg_buffer_view(&relay_state)) : OK;
}

/* A name and its value, behind `url`, which has a query already. */
static CHECKED struct mg_status
field_add(struct mg_buffer *url, const char *name, struct mg_view value)
{
    TRY(mg_buffer_format(url, "&%s=", name));
    return mg_buffer_add_encoded(url, value);
}

/* OpenID Connect Core section 3.1.2.1, with RFC 7636. */
static CHECKED struct mg_status
url_make(const struct beginning *it, struct mg_view endpoint, struct mg_view state, struct mg_buffer *url)
{
    OWN_BUFFER(redirect_uri, 511);
    OWN_BUFFER(scopes, 255);
    OWN_BUFFER(classes, 1023);
    OWN_BUFFER(state_text, MG_FEDERATION_DERIVED_TEXT);
    OWN_BUFFER(nonce, MG_FEDERATION_DERIVED_TEXT);
    OWN_BUFFER(verifier, MG_FEDERATION_DERIVED_TEXT);
    OWN_BUFFER(challenge, MG_FEDERATION_DERIVED_TEXT);
    const struct mg_idp_settings *settings = it->idp->settings;
    const int64_t maximum_age_s = mg_federation_age_wanted_s(it->idp, it->request->fresh_s);
    TRY(mg_idp_address(it->idp, &it->tenant, "callback", &redirect_uri));
    TRY(mg_option_words(settings->scopes, &scopes));
    TRY(mg_option_words(settings->acr, &classes));
    TRY(mg_base64url(state, &state_text));
    TRY(mg_federation_derive(it->request->browser, state, "nonce", &nonce));
    TRY(mg_federation_derive(it->request->browser, state, "verifier", &verifier));
    TRY(challenge_make(mg_buffer_view(&verifier), &challenge));
    TRY(mg_buffer_add(url, endpoint));
    TRY(mg_buffer_format(url, "%cresponse_type=code",
                         memchr(endpoint.bytes, '?', endpoint.length) == NULL ? '?' : '&'));
    const struct {
        const char *name;
        struct mg_view value;
    } fields[] = {
        {"client_id", mg_view_text(settings->client)},
        {"redirect_uri", mg_buffer_view(&redirect_uri)},
        {"scope", mg_buffer_view(&scopes)},
        {"state", mg_buffer_view(&state_text)},
        {"nonce", mg_buffer_view(&nonce)},
        {"code_challenge", mg_buffer_view(&challenge)},
        {"code_challenge_method", mg_view_text("S256")},
    };
    for (size_t i = 0; i < MG_COUNT(fields); i++)
        TRY(field_add(url, fields[i].name, fields[i].value));
    if (classes.length != 0)
        TRY(field_add(url, "acr_values", mg_buffer_view(&classes)));
    return maximum_age_s > 0 ? mg_buffer_format(url, "&max_age=%" PRId64, maximum_age_s) : OK;
}

static CHECKED struct mg_status
begun_make(struct beginning *it, struct mg_view state)
{
    const struct mg_request_federation_begin *request = it->request;
    const bool by_form = mg_idp_is_saml(it->idp->settings);
    const struct mg_record_federation_begun begun = {
        .provider = it->idp->id,
        .name = mg_view_text(it->idp->name),
        .expires_at = it->now + BEGUN_MS,
        .host = request->host,
        .binding = request->host.length != 0 ? request->binding : MG_VIEW_EMPTY,
        .path = request->path,
        .fresh_s = request->fresh_s,
        .trial = it->trial,
        /* To a form from another site the browser does not show the cookies that these are from. */
        .previous = by_form ? request->previous : MG_VIEW_EMPTY,
        .device = by_form ? request->device : MG_VIEW_EMPTY,
    };
    const struct mg_begun_bond bond = {
        .tenant = it->tenant.number, .browser = request->browser, .state = state};
    return mg_begun_seal(&bond, &begun, &it->begun);
}

/* A location is our word to the browser: whatever the other process says, it is an address on the web. */
static bool
url_is_safe(struct mg_view url)
{
    static const char scheme[] = "https://";
    if (url.length < sizeof scheme || memcmp(url.bytes, scheme, sizeof scheme - 1) != 0)
        return false;
    for (size_t i = 0; i < url.length; i++)
        if (url.bytes[i] <= 0x20 || url.bytes[i] > 0x7E)
            return false;
    return true;
}

static CHECKED struct mg_status
begin_run(struct beginning *it, bool *ret_answered)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_KEY(state, MG_TOKEN_BYTES);
    OWN_BUFFER(url, 36864);
    struct mg_reply_oidc_begin reply = {.refusal = MG_FEDERATION_NONE};
    const struct mg_status found = mg_idp_recall(it->tenant.number, it->request->provider, &it->idp);
    if (found.code == MG_NOT_FOUND) {
        mg_sign_in_refusal_count(it->tenant.number, MG_FEDERATION_REFUSED, it->request->address);
        return answer_begin(it, MG_FEDERATION_REFUSED, MG_VIEW_EMPTY, ret_answered);
    }
    TRY(found);
    TRY(trial_take(it));
    if (it->request->trial.length != 0 && !it->trial)
        return answer_begin(it, MG_TICKET_SPENT, MG_VIEW_EMPTY, ret_answered);
    const enum mg_federation_refusal refusal = mg_idp_judge_now(it->idp, &it->tenant, it->now);
    if (refusal != MG_FEDERATION_NONE && !it->trial)
        return refuse_begin(it, refusal, MG_VIEW_EMPTY, ret_answered);
    if (!mg_tenants_sign_in_allowed(it->tenant.number, it->request->address))
        return refuse_begin(it, MG_FEDERATION_ADDRESS_NOT_ALLOWED, MG_VIEW_EMPTY, ret_answered);
    mg_random(state, sizeof state);
    mg_begun_place_mark(state, (unsigned) it->request->place);
    if (mg_idp_is_saml(it->idp->settings))
        TRY(saml_ask(it, mg_view_of(state, sizeof state), &url));
    else {
        TRY(mg_oidc_endpoint_recall(it->idp, &storage, &reply));
        if (reply.refusal != MG_FEDERATION_NONE)
            return refuse_begin(it, (enum mg_federation_refusal) reply.refusal, reply.detail, ret_answered);
        TRY(url_make(it, reply.endpoint, mg_view_of(state, sizeof state), &url));
    }
    if (!url_is_safe(mg_buffer_view(&url)))
        return refuse_begin(it, MG_FEDERATION_DISCOVERY, mg_view_text("authorization_endpoint"),
                            ret_answered);
    TRY(begun_make(it, mg_view_of(state, sizeof state)));
    return answer_begin(it, MG_GRANTED, mg_buffer_view(&url), ret_answered);
}

static struct mg_status
begin_task(const void *request, struct mg_call *call, bool *ret_answered)
{
    MG_CLEANUP(beginning_drop)
    struct beginning it = {.request = request,
                           .call = call,
                           .now = mg_now(),
                           .message = MG_BUFFER(16384),
                           .relay_state = MG_BUFFER(127),
                           .begun = MG_BUFFER(MG_BEGUN_MOST)};
    const struct mg_status tenant = mg_core_tenant(it.request->tenant, &it.tenant);
    if (it.request->tenant == 0 || tenant.code == MG_NOT_FOUND || (mg_ok(tenant) && !it.tenant.open))
        return answer_begin(&it, MG_TENANT_CLOSED, MG_VIEW_EMPTY, ret_answered);
    TRY(tenant);
    if (!host_is_ours(it.request))
        return answer_begin(&it, MG_HOST_NOT_YOURS, MG_VIEW_EMPTY, ret_answered);
    const struct mg_status status = begin_run(&it, ret_answered);
    return status.code == MG_BUSY && !*ret_answered
               ? answer_begin(&it, MG_BUSY_NOW, MG_VIEW_EMPTY, ret_answered)
               : status;
}

MG_HANDLER_PUBLIC(federation_begin)
{
    if (request->browser.length != MG_TOKEN_BYTES || request->place >= MG_BEGUN_PLACES)
        return fail_with(INVALID, "a sign-in is bound to a browser, and kept in one of its %d places",
                         MG_BEGUN_PLACES);
    const struct mg_status status =
        mg_federation_work(request->tenant, begin_task, request, sizeof *request, call);
    if (status.code != MG_BUSY)
        return status;
    mg_sign_in_refusal_count(request->tenant, MG_BUSY_NOW, request->address);
    return mg_answer_federation_begin(call, &(struct mg_reply_federation_begin){.outcome = MG_BUSY_NOW});
}
