/* Our authentication towards identity providers: client assertions (RFC 7523, OpenID Connect Core section 9),
 * built here from fixed fields. Each provider's key is derived from the tenant's lookup key, which lives as
 * long as the tenant and goes with it; another number is another key. Nothing else is signed with it. */
#include "domain/assertion.h"
#include "process/keys/keys.h"

#include <inttypes.h>
#include <stdio.h>

enum { LIFE_S = 60, TOKEN_MOST = 4096, TRIES = 8 };

/* A string of 32 bytes is no P-256 private key once in 2^32; then the next one is taken. */
static CHECKED struct mg_status
client_key_make(uint64_t tenant, uint64_t provider, uint64_t number, struct mg_signing_key **ret_key)
{
    OWN_KEY(lookup, MG_KEY_BYTES);
    OWN_KEY(derived, MG_KEY_BYTES);
    struct mg_key_record record;
    TRY(mg_keystore_use(mg_keys_store, tenant, MG_KEY_LOOKUP, 0, 0, lookup, &record));
    struct mg_status status = fail_with(CRYPTO, "no client key");
    for (int attempt = 0; attempt < TRIES && !mg_ok(status); attempt++) {
        char info[128];
        (void) snprintf(info, sizeof info, "masugata oidc client v1 %" PRIu64 " %" PRIu64 " %d", provider,
                        number, attempt);
        TRY(mg_hkdf(mg_view_of(lookup, sizeof lookup), MG_VIEW_EMPTY, mg_view_text(info), derived,
                    sizeof derived));
        status = mg_signing_key_new(MG_ES256, derived, ret_key);
    }
    return status;
}

/* The RFC 7638 thumbprint. */
static CHECKED struct mg_status
key_id(const struct mg_signing_key *key, struct mg_buffer *text)
{
    OWN_BUFFER(canonical, 512);
    uint8_t hash[MG_HASH_BYTES];
    TRY(mg_jwk_canonical(mg_signing_key_public(key), &canonical));
    TRY(mg_sha256(mg_buffer_view(&canonical), hash));
    return mg_base64url(mg_view_of(hash, sizeof hash), text);
}

static CHECKED struct mg_status
claims_make(const struct mg_request_sign_client_assertion *request, uint64_t now_s, struct mg_buffer *claims)
{
    uint8_t identifier[16];
    mg_random(identifier, sizeof identifier);
    TRY(mg_buffer_add_text(claims, "{\"iss\":"));
    TRY(mg_buffer_add_json_string(claims, request->client));
    TRY(mg_buffer_add_text(claims, ",\"sub\":"));
    TRY(mg_buffer_add_json_string(claims, request->client));
    TRY(mg_buffer_add_text(claims, ",\"aud\":"));
    TRY(mg_buffer_add_json_string(claims, request->audience));
    TRY(mg_buffer_add_text(claims, ",\"jti\":\""));
    TRY(mg_base64url(mg_view_of(identifier, sizeof identifier), claims));
    return mg_buffer_format(claims, "\",\"iat\":%" PRIu64 ",\"exp\":%" PRIu64 "}", now_s, now_s + LIFE_S);
}

MG_HANDLER_PUBLIC(sign_client_assertion)
{
    TRY(mg_keys_limit(call, MG_REQUEST_sign_client_assertion));
    if (request->tenant == 0 || request->provider == 0 || request->client.length == 0 ||
        request->audience.length == 0)
        return fail_with(INVALID, "a client assertion names tenant, provider, client and audience");
    TRY(mg_keys_note_use(mg_call_sender(call), request->tenant, mg_view_text("identity_provider"),
                         mg_view_text("client"), mg_view_text("client assertion"), false));
    OWN(signing_key) key = NULL;
    OWN_BUFFER(part, TOKEN_MOST);
    OWN_BUFFER(token, TOKEN_MOST);
    TRY(client_key_make(request->tenant, request->provider, request->key, &key));
    TRY(mg_buffer_add_text(&part, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\""));
    TRY(key_id(key, &part));
    TRY(mg_buffer_add_text(&part, "\"}"));
    TRY(mg_base64url(mg_buffer_view(&part), &token));
    TRY(mg_buffer_add_text(&token, "."));
    mg_buffer_clear(&part);
    TRY(claims_make(request, (uint64_t) mg_now() / 1000, &part));
    TRY(mg_base64url(mg_buffer_view(&part), &token));
    uint8_t signature[MG_SIGNATURE_BYTES];
    TRY(mg_sign(key, mg_buffer_view(&token), signature));
    TRY(mg_buffer_add_text(&token, "."));
    TRY(mg_base64url(mg_view_of(signature, sizeof signature), &token));
    return mg_answer_sign_client_assertion(
        call, &(struct mg_reply_sign_client_assertion){.token = mg_buffer_view(&token)});
}

MG_HANDLER_PUBLIC(client_key)
{
    TRY(mg_keys_limit(call, MG_REQUEST_client_key));
    OWN(signing_key) key = NULL;
    OWN_BUFFER(id, 64);
    OWN_BUFFER(json, 1024);
    TRY(client_key_make(request->tenant, request->provider, request->key, &key));
    TRY(key_id(key, &id));
    TRY(mg_buffer_add_text(&json, "{\"keys\":["));
    TRY(mg_jwk_add(mg_buffer_text(&id), mg_signing_key_public(key), &json));
    TRY(mg_buffer_add_text(&json, "]}"));
    return mg_answer_client_key(call, &(struct mg_reply_client_key){.json = mg_buffer_view(&json)});
}
