/* What the probes send as an identity provider: read as the federation process reads it, the honest is right,
 * and what is wrong in one place is refused for that very reason. */
#include "tests/unit/test.h"

#include "ports/jose.h"
#include "ports/saml_read.h"
#include "ports/self_signed.h"
#include "probes/forge.h"

#define NOW INT64_C(1795000000000)

static struct mg_signing_key *key, *other;
static struct mg_buffer certificate; /* DER in base64 */

static int
keys_make(void **state)
{
    OWN_BUFFER(der, 4096);
    uint8_t secret[MG_KEY_BYTES];
    (void) state;
    certificate = MG_BUFFER(4096);
    assert_ok(mg_signing_key_generate(MG_ES256, secret));
    assert_ok(mg_signing_key_new(MG_ES256, secret, &key));
    assert_ok(
        mg_self_signed(mg_signing_key_openssl(key), mg_view_text("test"), "provider.invalid", NOW, 1, &der));
    assert_ok(mg_base64(mg_buffer_view(&der), &certificate));
    assert_ok(mg_signing_key_generate(MG_ES256, secret));
    assert_ok(mg_signing_key_new(MG_ES256, secret, &other));
    return 0;
}

static int
keys_drop(void **state)
{
    (void) state;
    mg_signing_key_drop(&key);
    mg_signing_key_drop(&other);
    mg_buffer_drop(&certificate);
    return 0;
}

/* ---- SAML ---- */

static struct mg_forged_saml
honest(void)
{
    return (struct mg_forged_saml){.issuer = "urn:idp",
                                   .entity = "https://sp/m",
                                   .consumer = "https://sp/c",
                                   .in_response_to = "_r1",
                                   .subject = "person",
                                   .email = "person@example.com",
                                   .key = key};
}

static enum mg_federation_refusal
saml_refusal(const struct mg_forged_saml *wish, struct mg_saml_texts *texts)
{
    static const struct mg_saml_wishes wishes = {.subject = "", .email = "", .name = "", .groups = ""};
    MG_CLEANUP(mg_saml_keys_drop) struct mg_saml_keys *keys = NULL;
    struct mg_saml_wrapped wrapped = {.length = 0};
    enum mg_federation_refusal refusal = MG_FEDERATION_NONE;
    char detail[256];
    OWN_BUFFER(base64, 65536);
    OWN_BUFFER(xml, 65536);
    assert_ok(mg_saml_keys_read(mg_buffer_view(&certificate), NOW, &keys, &refusal, detail));
    assert_int_equal(refusal, MG_FEDERATION_NONE);
    assert_ok(mg_forge_saml(wish, NOW, &base64));
    assert_ok(mg_base64_decode(mg_buffer_view(&base64), &xml));
    assert_ok(mg_saml_response_read(mg_buffer_view(&xml), keys, &wishes, MG_VIEW_EMPTY, texts, &wrapped,
                                    &refusal, detail));
    return refusal;
}

static void
an_honest_assertion_says_what_was_wished(void **state)
{
    (void) state;
    const struct mg_forged_saml wish = honest();
    MG_CLEANUP(mg_saml_texts_drop) struct mg_saml_texts texts = {.groups = MG_BUFFER(0)};
    assert_int_equal(saml_refusal(&wish, &texts), MG_FEDERATION_NONE);
    assert_string_equal(texts.issuer, "urn:idp");
    assert_string_equal(texts.audiences, "https://sp/m");
    assert_string_equal(texts.recipient, "https://sp/c");
    assert_string_equal(texts.in_response_to, "_r1");
    assert_string_equal(texts.subject, "person");
    assert_string_equal(texts.email, "person@example.com");
    assert_int_equal(texts.issued_s, NOW / 1000);
    assert_int_equal(texts.confirmation_expires_s, NOW / 1000 + 300);
}

static void
each_wrong_assertion_is_refused_for_what_is_wrong(void **state)
{
    (void) state;
    struct mg_forged_saml wish;
#define WRONG(change, reason)                                                                 \
    do {                                                                                      \
        MG_CLEANUP(mg_saml_texts_drop) struct mg_saml_texts texts = {.groups = MG_BUFFER(0)}; \
        wish = honest();                                                                      \
        change;                                                                               \
        assert_int_equal(saml_refusal(&wish, &texts), MG_FEDERATION_##reason);                \
    } while (0)
    WRONG(wish.key = NULL, TOKEN_UNSIGNED);
    WRONG(wish.key = other, TOKEN_SIGNATURE);
    WRONG(wish.names_rsa = true, TOKEN_SIGNATURE);
    WRONG(wish.wrapped = "boss@example.com", XML_WRAPPED);
#undef WRONG
}

static void
the_metadata_is_a_providers(void **state)
{
    (void) state;
    struct mg_saml_provider provider;
    char detail[128];
    OWN_BUFFER(der, 4096);
    OWN_BUFFER(xml, 8192);
    assert_ok(mg_base64_decode(mg_buffer_view(&certificate), &der));
    assert_ok(mg_forge_saml_metadata("urn:idp", "https://idp.example/sso", mg_buffer_view(&der), &xml));
    assert_int_equal(mg_saml_metadata_read(mg_buffer_view(&xml), NOW, &provider, detail), MG_FEDERATION_NONE);
    assert_string_equal(provider.issuer, "urn:idp");
    assert_string_equal(provider.sign_in_url, "https://idp.example/sso");
    assert_string_equal(provider.certificates, mg_buffer_text(&certificate));
}

/* ---- OpenID Connect ---- */

static enum mg_federation_refusal
token_refusal(const char *algorithm, const struct mg_signing_key *signer, struct mg_buffer *payload)
{
    const struct mg_forged_token wish = {.issuer = "https://idp.example",
                                         .audience = "us",
                                         .subject = "person",
                                         .nonce = "n",
                                         .email = "person@example.com",
                                         .algorithm = algorithm,
                                         .key = signer};
    struct mg_jwt_head head;
    enum mg_federation_refusal refusal = MG_FEDERATION_NONE;
    OWN(jwks) keys = NULL;
    OWN_BUFFER(set, 1024);
    OWN_BUFFER(token, 4096);
    assert_ok(mg_forge_key_set(key, &set));
    assert_ok(mg_jwks_parse(mg_buffer_view(&set), &keys));
    assert_int_equal(mg_jwks_count(keys), 1);
    assert_ok(mg_forge_token(&wish, NOW, &token));
    assert_ok(mg_jwt_verify(mg_buffer_view(&token), MG_JWT_ID_TOKEN, keys, payload, &head, &refusal));
    return refusal;
}

static void
tokens_are_right_or_refused_for_what_is_wrong(void **state)
{
    (void) state;
    OWN_BUFFER(payload, MG_JWT_PAYLOAD_BYTES);
    assert_int_equal(token_refusal("ES256", other, &payload), MG_FEDERATION_TOKEN_SIGNATURE);
    assert_int_equal(token_refusal("HS256", key, &payload), MG_FEDERATION_TOKEN_ALGORITHM);
    assert_int_equal(token_refusal("none", key, &payload), MG_FEDERATION_TOKEN_UNSIGNED);
    assert_int_equal(payload.length, 0);
    assert_int_equal(token_refusal("ES256", key, &payload), MG_FEDERATION_NONE);
    assert_non_null(strstr(mg_buffer_text(&payload), "\"nonce\":\"n\""));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_honest_assertion_says_what_was_wished),
        cmocka_unit_test(each_wrong_assertion_is_refused_for_what_is_wrong),
        cmocka_unit_test(the_metadata_is_a_providers),
        cmocka_unit_test(tokens_are_right_or_refused_for_what_is_wrong),
    };
    assert_ok(mg_saml_start());
    return cmocka_run_group_tests(tests, keys_make, keys_drop);
}
