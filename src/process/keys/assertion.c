/* Identity assertions: keys builds the JWT from fields and signs nothing else with this key. */
#include "domain/assertion.h"
#include "process/keys/keys.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    CLAIMS_MOST = 8192,
    TOKEN_MOST = 4096,
    TOKENS_MOST = 130000,
    JWKS_MOST = 16384,
};

struct announced {
    char kid[MG_KEY_THUMBPRINT];
    struct mg_signing_key *key;
    bool writing;
};

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct announced announced[MG_KEY_ANNOUNCED_MOST];
static size_t announced_count;

static void
announced_clear(struct announced *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mg_signing_key_drop(&keys[i].key);
}

/* The RFC 7638 thumbprint as key id. */
static CHECKED struct mg_status
thumbprint(struct mg_view public_key, char kid[MG_KEY_THUMBPRINT])
{
    OWN_BUFFER(canonical, 512);
    OWN_BUFFER(text, 64);
    uint8_t hash[MG_HASH_BYTES];
    TRY(mg_jwk_canonical(public_key, &canonical));
    TRY(mg_sha256(mg_buffer_view(&canonical), hash));
    TRY(mg_base64url(mg_view_of(hash, sizeof hash), &text));
    return mg_view_copy(mg_buffer_view(&text), kid, MG_KEY_THUMBPRINT);
}

static CHECKED struct mg_status
announced_read(const struct mg_key_record *record, struct announced *ret_announced)
{
    OWN_KEY(private_key, MG_KEY_BYTES);
    struct mg_key_record same;
    TRY(mg_keystore_use(mg_keys_store, 0, MG_KEY_ASSERTION, 0, record->id, private_key, &same));
    OWN(signing_key) key = NULL;
    TRY(mg_signing_key_new(MG_ES256, private_key, &key));
    struct announced made = {.writing = record->state == MG_KEY_WRITING};
    TRY(thumbprint(mg_signing_key_public(key), made.kid));
    made.key = TAKE(key);
    *ret_announced = made;
    return OK;
}

struct mg_status
mg_keys_assertion_load(void)
{
    OWN(keyring) keyring = NULL;
    TRY(mg_keystore_snapshot(mg_keys_store, &keyring));
    struct announced fresh[MG_KEY_ANNOUNCED_MOST] = {0};
    size_t count = 0;
    struct mg_status status = OK;
    for (size_t i = 0; i < keyring->count && mg_ok(status); i++) {
        if (keyring->keys[i].purpose != MG_KEY_ASSERTION)
            continue;
        if (count == MG_KEY_ANNOUNCED_MOST)
            status = fail_with(INTEGRITY, "more than %d assertion keys", MG_KEY_ANNOUNCED_MOST);
        else
            status = announced_read(&keyring->keys[i], &fresh[count]);
        count += mg_ok(status) ? 1 : 0;
    }
    if (!mg_ok(status)) {
        announced_clear(fresh, count);
        return status;
    }
    mg_must(pthread_rwlock_wrlock(&lock) == 0);
    announced_clear(announced, announced_count);
    memcpy(announced, fresh, sizeof announced);
    announced_count = count;
    (void) pthread_rwlock_unlock(&lock);
    return OK;
}

static CHECKED struct mg_status
token_add(const struct announced *signer, struct mg_view claims,
          const struct mg_record_assertion_window *window, struct mg_buffer *tokens)
{
    OWN_BUFFER(token, TOKEN_MOST);
    TRY(mg_assertion_input(signer->kid, claims, window, &token));
    uint8_t signature[MG_SIGNATURE_BYTES];
    TRY(mg_sign(signer->key, mg_buffer_view(&token), signature));
    TRY(mg_buffer_add_text(&token, "."));
    TRY(mg_base64url(mg_view_of(signature, sizeof signature), &token));
    const struct mg_record_assertion row = {.not_before_s = window->not_before_s,
                                            .expires_s = window->expires_s,
                                            .token = mg_buffer_view(&token)};
    return mg_list_add_assertion(tokens, &row);
}

/* With the lock held for reading. */
static CHECKED struct mg_status
tokens_make(const struct mg_request_sign_assertion *request, struct mg_buffer *tokens)
{
    const struct announced *signer = NULL;
    for (size_t i = 0; i < announced_count; i++)
        if (announced[i].writing)
            signer = &announced[i];
    if (signer == NULL)
        return fail_with(NOT_FOUND, "no assertion key");
    OWN_BUFFER(claims, CLAIMS_MOST);
    TRY(mg_assertion_claims(request, &claims));
    struct mg_list windows = request->windows;
    const uint64_t now_s = (uint64_t) mg_now() / 1000;
    for (;;) {
        struct mg_record_assertion_window window;
        bool more;
        TRY(mg_list_next_assertion_window(&windows, &window, &more));
        if (!more)
            return OK;
        TRY(mg_assertion_window_check(&window, now_s));
        TRY(token_add(signer, mg_buffer_view(&claims), &window, tokens));
    }
}

MG_HANDLER_PUBLIC(sign_assertion)
{
    TRY(mg_keys_limit(call, MG_REQUEST_sign_assertion));
    TRY(mg_assertion_check(request));
    OWN_BUFFER(tokens, TOKENS_MOST);
    mg_must(pthread_rwlock_rdlock(&lock) == 0);
    const struct mg_status status = tokens_make(request, &tokens);
    (void) pthread_rwlock_unlock(&lock);
    TRY(status);
    return mg_answer_sign_assertion(
        call, &(struct mg_reply_sign_assertion){.assertions = {.bytes = mg_buffer_view(&tokens)}});
}

static CHECKED struct mg_status
key_set_make(struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(text, "{\"keys\":["));
    for (size_t i = 0; i < announced_count; i++) {
        if (i > 0)
            TRY(mg_buffer_add_text(text, ","));
        TRY(mg_jwk_add(announced[i].kid, mg_signing_key_public(announced[i].key), text));
    }
    return mg_buffer_add_text(text, "]}");
}

MG_HANDLER_PUBLIC(jwks)
{
    (void) request;
    TRY(mg_keys_limit(call, MG_REQUEST_jwks));
    OWN_BUFFER(text, JWKS_MOST);
    mg_must(pthread_rwlock_rdlock(&lock) == 0);
    const struct mg_status status = key_set_make(&text);
    (void) pthread_rwlock_unlock(&lock);
    TRY(status);
    return mg_answer_jwks(call, &(struct mg_reply_jwks){.json = mg_buffer_view(&text)});
}
