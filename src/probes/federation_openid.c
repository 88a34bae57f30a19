/* Sign-in through an OpenID provider: the prober is one for the drill's tenant while this lasts, on this
 * machine, with everything that a real one has (discovery, key set, code flow with PKCE), so that the
 * federation process fetches and reads as it always does. */
#include "probes/federation.h"
#include "probes/forge.h"

#include <stdio.h>

#define NAME "masugata-probe-openid"
#define CLIENT "masugata"
#define SUBJECT "masugata-probe-person"
#define CALLBACK "/federation/callback/" NAME

struct openid {
    struct mg_federation_look *look;
    struct mg_probe_provider provider;
    char issuer[256];
};

/* ---- the provider ---- */

static void
openid_drop(struct openid *it)
{
    if (it->provider.server != NULL)
        it->look->observer->ops->provider_close(&it->provider);
    mg_buffer_drop(&it->provider.discovery);
    mg_buffer_drop(&it->provider.keys);
    mg_buffer_drop(&it->provider.token);
    mg_buffer_drop(&it->provider.asked);
    (void) pthread_mutex_destroy(&it->provider.lock);
}

/* Another issuer for each look: nothing that is remembered of an earlier one counts. And another code, which
 * nobody else knows. */
static CHECKED struct mg_status
provider_open(struct openid *it)
{
    uint8_t bytes[8], code[16];
    char path[17];
    struct mg_probe_provider *provider = &it->provider;
    mg_random(code, sizeof code);
    mg_hex(mg_view_of(code, sizeof code), provider->code);
    TRY(it->look->observer->ops->provider_open(it->look->observer, provider));
    mg_random(bytes, sizeof bytes);
    mg_hex(mg_view_of(bytes, sizeof bytes), path);
    (void) snprintf(it->issuer, sizeof it->issuer, "https://" MG_DRILL_PROVIDER_HOST ":%u/%s", provider->port,
                    path);
    (void) pthread_mutex_lock(&provider->lock);
    struct mg_status status = mg_buffer_format(
        &provider->discovery,
        "{\"issuer\":\"%s\",\"authorization_endpoint\":\"%s/authorize\",\"token_endpoint\":\"%s/token\","
        "\"jwks_uri\":\"%s/keys\",\"response_types_supported\":[\"code\"],\"subject_types_supported\":[\"public\"],"
        "\"id_token_signing_alg_values_supported\":[\"ES256\"],\"code_challenge_methods_supported\":[\"S256\"],"
        "\"token_endpoint_auth_methods_supported\":[\"none\"]}",
        it->issuer, it->issuer, it->issuer, it->issuer);
    if (mg_ok(status))
        status = mg_forge_key_set(it->look->key, &provider->keys);
    (void) pthread_mutex_unlock(&provider->lock);
    return status;
}

static CHECKED struct mg_status
provider_set(const struct openid *it)
{
    bool there = false;
    const char *const added[] = {
        "new_provider",       NAME,   "new_issuer",  it->issuer,    "new_client", CLIENT,
        "new_authentication", "none", "new_domains", MG_DRILL_HOST, NULL};
    const char *const fields[] = {
        "name",       NAME,       "set_issuer",        it->issuer, "set_domains", MG_DRILL_HOST,
        "set_emails", "verified", "set_link_by_email", "yes",      NULL};
    TRY(mg_federation_is_there(it->look, NAME, &there));
    if (!there)
        TRY(mg_federation_post(it->look, "/console/providers", added));
    TRY(mg_federation_post(it->look, "/console/provider", fields));
    return mg_federation_switch(it->look, NAME, "enabled");
}

/* ---- a sign-in ---- */

struct begun {
    struct mg_buffer state, nonce, challenge;
};
#define BEGUN ((struct begun){.state = MG_BUFFER(256), .nonce = MG_BUFFER(256), .challenge = MG_BUFFER(256)})

static void
begun_drop(struct begun *begun)
{
    mg_buffer_drop(&begun->state);
    mg_buffer_drop(&begun->nonce);
    mg_buffer_drop(&begun->challenge);
}

static CHECKED struct mg_status
begin(const struct openid *it, struct mg_visitor *visitor, struct begun *begun)
{
    struct mg_view location;
    OWN_FETCHED(answer);
    visitor->source = it->look->source;
    TRY(mg_visitor_get(visitor, MG_DRILL_SIGN_IN_HOST, "/federation/start/" NAME "?return=/account",
                       &answer));
    if (mg_answer_is_away(&answer))
        return fail_with(UNAVAILABLE, "%s answers %u", MG_DRILL_SIGN_IN_HOST, answer.status);
    if (answer.status != 303 || !mg_fetched_header(&answer, "Location", 0, &location))
        return fail_with(REFUSED, "no request to the OpenID provider (status %u)", answer.status);
    TRY(mg_query_value(location, "state", &begun->state));
    TRY(mg_query_value(location, "nonce", &begun->nonce));
    return mg_query_value(location, "code_challenge", &begun->challenge);
}

static struct mg_forged_token
honest(const struct openid *it, const struct begun *begun)
{
    return (struct mg_forged_token){.issuer = it->issuer,
                                    .audience = CLIENT,
                                    .subject = SUBJECT,
                                    .nonce = mg_buffer_text(&begun->nonce),
                                    .email = MG_DRILL_PERSON,
                                    .algorithm = "ES256",
                                    .key = it->look->key};
}

/* What the token endpoint answers from now on. */
static CHECKED struct mg_status
token_put(struct openid *it, const struct mg_forged_token *wish)
{
    OWN_BUFFER(token, 4096);
    TRY(mg_forge_token(wish, mg_now(), &token));
    (void) pthread_mutex_lock(&it->provider.lock);
    mg_buffer_clear(&it->provider.token);
    mg_buffer_clear(&it->provider.asked);
    const struct mg_status status = mg_buffer_format(
        &it->provider.token,
        "{\"access_token\":\"probe\",\"token_type\":\"Bearer\",\"expires_in\":60,\"id_token\":\"%s\"}",
        mg_buffer_text(&token));
    (void) pthread_mutex_unlock(&it->provider.lock);
    return status;
}

static CHECKED struct mg_status
come_back(const struct openid *it, const struct begun *begun, struct mg_visitor *visitor, bool *ret_inside)
{
    char path[512];
    OWN_FETCHED(answer);
    (void) snprintf(path, sizeof path, CALLBACK "?code=%s&state=%s", it->provider.code,
                    mg_buffer_text(&begun->state));
    TRY(mg_visitor_get(visitor, MG_DRILL_SIGN_IN_HOST, path, &answer));
    if (mg_answer_is_away(&answer))
        return fail_with(UNAVAILABLE, "%s answers %u", MG_DRILL_SIGN_IN_HOST, answer.status);
    return mg_federation_inside(visitor, ret_inside);
}

/* ---- the tries ---- */

enum wrong { NONCE, ISSUER, AUDIENCE, UNSIGNED, CONFUSED, OTHER_KEY, EXPIRED, FUTURE, WRONGS };

static const struct mg_words wrongs[WRONGS] = {
    [NONCE] = {"an ID token with another nonce opened a session",
               "別の nonce の ID トークンでセッションが開きました"},
    [ISSUER] = {"an ID token by another issuer opened a session",
                "別の発行者の ID トークンでセッションが開きました"},
    [AUDIENCE] = {"an ID token for another client opened a session",
                  "別のクライアント宛ての ID トークンでセッションが開きました"},
    [UNSIGNED] = {"an ID token with algorithm none opened a session",
                  "署名方式 none の ID トークンでセッションが開きました"},
    [CONFUSED] = {"an ID token signed with the public key opened a session",
                  "公開鍵で署名した ID トークンでセッションが開きました"},
    [OTHER_KEY] = {"an ID token that somebody else signed opened a session",
                   "別の鍵で署名した ID トークンでセッションが開きました"},
    [EXPIRED] = {"an ID token that has expired opened a session",
                 "期限切れの ID トークンでセッションが開きました"},
    [FUTURE] = {"an ID token of the future opened a session",
                "未来の日時の ID トークンでセッションが開きました"},
};

static void
make_wrong(const struct openid *it, enum wrong wrong, struct mg_forged_token *wish)
{
    switch (wrong) {
    case NONCE:
        wish->nonce = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        break;
    case ISSUER:
        wish->issuer = "https://" MG_DRILL_PROVIDER_HOST "/somebody";
        break;
    case AUDIENCE:
        wish->audience = "somebody";
        break;
    case UNSIGNED:
        wish->algorithm = "none";
        break;
    case CONFUSED:
        wish->algorithm = "HS256";
        break;
    case OTHER_KEY:
        wish->key = it->look->other;
        break;
    case EXPIRED:
        wish->shift_s = -7200;
        break;
    case FUTURE:
        wish->shift_s = 7200;
        break;
    case WRONGS:
        break;
    }
}

static CHECKED struct mg_status
wrongs_try(struct openid *it)
{
    it->look->finding->total += WRONGS;
    for (size_t i = 0; i < WRONGS; i++) {
        bool inside = false;
        MG_CLEANUP(begun_drop) struct begun begun = BEGUN;
        OWN_VISITOR(visitor, it->look->observer);
        TRY(begin(it, &visitor, &begun));
        struct mg_forged_token wish = honest(it, &begun);
        make_wrong(it, (enum wrong) i, &wish);
        TRY(token_put(it, &wish));
        TRY(come_back(it, &begun, &visitor, &inside));
        mg_federation_judge(it->look, inside, false, wrongs[i].en, wrongs[i].ja);
    }
    return OK;
}

/* RFC 7636 section 4.6: what came to the token endpoint is what the challenge was made of. */
static CHECKED struct mg_status
verifier_check(struct openid *it, const struct begun *begun, bool *ret_right)
{
    uint8_t hash[MG_HASH_BYTES];
    OWN_BUFFER(query, 8192);
    OWN_BUFFER(verifier, 256);
    OWN_BUFFER(challenge, 64);
    TRY(mg_buffer_add_text(&query, "?"));
    (void) pthread_mutex_lock(&it->provider.lock);
    const struct mg_status status = mg_buffer_add(&query, mg_buffer_view(&it->provider.asked));
    (void) pthread_mutex_unlock(&it->provider.lock);
    TRY(status);
    TRY(mg_query_value(mg_buffer_view(&query), "code_verifier", &verifier));
    TRY(mg_sha256(mg_buffer_view(&verifier), hash));
    TRY(mg_base64url(mg_view_of(hash, sizeof hash), &challenge));
    *ret_right = mg_view_equal(mg_buffer_view(&challenge), mg_buffer_view(&begun->challenge));
    return OK;
}

/* In the browser that began; not in another one, and not twice. */
static CHECKED struct mg_status
right_one_opens(struct openid *it)
{
    bool inside = false, right = false;
    MG_CLEANUP(begun_drop) struct begun begun = BEGUN;
    MG_CLEANUP(begun_drop) struct begun other = BEGUN;
    OWN_VISITOR(visitor, it->look->observer);
    OWN_VISITOR(thief, it->look->observer);
    it->look->finding->total += 4;
    TRY(begin(it, &visitor, &begun));
    const struct mg_forged_token wish = honest(it, &begun);
    TRY(token_put(it, &wish));
    TRY(begin(it, &thief, &other)); /* it has a secret of its own */
    TRY(come_back(it, &begun, &thief, &inside));
    mg_federation_judge(it->look, inside, false,
                        "an OpenID sign-in ended in another browser than it began in",
                        "開始したブラウザー以外で OpenID のサインインが完了しました");
    TRY(come_back(it, &begun, &visitor, &inside));
    mg_federation_judge(it->look, inside, true, "a right ID token opens no session",
                        "正しい ID トークンでサインインできません");
    if (inside)
        TRY(verifier_check(it, &begun, &right));
    mg_federation_judge(it->look, right, true, "the code was traded without the right verifier (PKCE)",
                        "PKCE の検証値が正しく送られていません");
    /* The same browser, signed out: only what it began with is left. */
    TRY(mg_visitor_cookie_set(&visitor, MG_DRILL_SIGN_IN_HOST, "__Host-masugata", ""));
    TRY(come_back(it, &begun, &visitor, &inside));
    mg_federation_judge(it->look, inside, false, "an OpenID answer opened a session twice",
                        "同じ OpenID の応答で二度セッションが開きました");
    return OK;
}

/* Also for what had begun before. It stays switched off. */
static CHECKED struct mg_status
switch_holds(struct openid *it)
{
    bool inside = false;
    MG_CLEANUP(begun_drop) struct begun begun = BEGUN;
    OWN_VISITOR(visitor, it->look->observer);
    it->look->finding->total++;
    TRY(begin(it, &visitor, &begun));
    TRY(mg_federation_switch(it->look, NAME, "disabled"));
    const struct mg_forged_token wish = honest(it, &begun);
    TRY(token_put(it, &wish));
    TRY(come_back(it, &begun, &visitor, &inside));
    mg_federation_judge(it->look, inside, false,
                        "an identity provider that is switched off finished a sign-in",
                        "無効にした IdP でサインインが完了しました");
    return OK;
}

struct mg_status
mg_federation_openid(struct mg_federation_look *look)
{
    MG_CLEANUP(openid_drop)
    struct openid it = {.look = look,
                        .provider = {.key = look->key,
                                     .certificate = mg_buffer_view(&look->certificate),
                                     .lock = PTHREAD_MUTEX_INITIALIZER,
                                     .discovery = MG_BUFFER(4096),
                                     .keys = MG_BUFFER(1024),
                                     .token = MG_BUFFER(8192),
                                     .asked = MG_BUFFER(8192)}};
    TRY(provider_open(&it));
    TRY(provider_set(&it));
    TRY(right_one_opens(&it));
    TRY(wrongs_try(&it));
    return switch_holds(&it);
}
