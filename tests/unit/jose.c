/* Tokens of identity providers: the right ones pass, and none of the known tricks does. */
#include "ports/jose.h"
#include "ports/crypto.h"
#include "ports/openssl.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char claims[] = "{\"iss\":\"https://idp.example\",\"sub\":\"1\"}";

/* ---- a provider of our own ---- */

static EVP_PKEY *rsa, *ec, *ed, *small_rsa;

static void
number_add(struct mg_buffer *text, EVP_PKEY *key, const char *parameter, size_t length)
{
    BIGNUM *number = NULL;
    uint8_t bytes[1024];
    assert_int_equal(EVP_PKEY_get_bn_param(key, parameter, &number), 1);
    const int count = length == 0 ? BN_bn2bin(number, bytes) : BN_bn2binpad(number, bytes, (int) length);
    assert_true(count > 0 && mg_ok(mg_base64url(mg_view_of(bytes, (size_t) count), text)));
    BN_free(number);
}

static void
rsa_add(struct mg_buffer *set, EVP_PKEY *key, const char *members)
{
    assert_true(mg_ok(mg_buffer_format(set, "{\"kty\":\"RSA\",%s,\"n\":\"", members)));
    number_add(set, key, OSSL_PKEY_PARAM_RSA_N, 0);
    assert_true(mg_ok(mg_buffer_add_text(set, "\",\"e\":\"")));
    number_add(set, key, OSSL_PKEY_PARAM_RSA_E, 0);
    assert_true(mg_ok(mg_buffer_add_text(set, "\"}")));
}

static void
ec_add(struct mg_buffer *set, EVP_PKEY *key, const char *members)
{
    assert_true(mg_ok(mg_buffer_format(set, "{\"kty\":\"EC\",\"crv\":\"P-256\",%s,\"x\":\"", members)));
    number_add(set, key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
    assert_true(mg_ok(mg_buffer_add_text(set, "\",\"y\":\"")));
    number_add(set, key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    assert_true(mg_ok(mg_buffer_add_text(set, "\"}")));
}

static void
ed_add(struct mg_buffer *set, EVP_PKEY *key, const char *members)
{
    uint8_t bytes[32];
    size_t length = sizeof bytes;
    assert_int_equal(EVP_PKEY_get_raw_public_key(key, bytes, &length), 1);
    assert_true(mg_ok(mg_buffer_format(set, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",%s,\"x\":\"", members)));
    assert_true(mg_ok(mg_base64url(mg_view_of(bytes, length), set)));
    assert_true(mg_ok(mg_buffer_add_text(set, "\"}")));
}

static struct mg_jwks *
keys_of(struct mg_buffer *set)
{
    struct mg_jwks *keys = NULL;
    assert_true(mg_ok(mg_buffer_add_text(set, "]}")));
    assert_true(mg_ok(mg_jwks_parse(mg_buffer_view(set), &keys)));
    return keys;
}

static struct mg_jwks *
usual_keys(void)
{
    OWN_BUFFER(set, 8192);
    assert_true(mg_ok(mg_buffer_add_text(&set, "{\"keys\":[")));
    rsa_add(&set, rsa, "\"kid\":\"r\",\"use\":\"sig\"");
    assert_true(mg_ok(mg_buffer_add_text(&set, ",")));
    ec_add(&set, ec, "\"kid\":\"e\",\"alg\":\"ES256\"");
    assert_true(mg_ok(mg_buffer_add_text(&set, ",")));
    ed_add(&set, ed, "\"kid\":\"d\"");
    return keys_of(&set);
}

static void
signature_add(struct mg_buffer *token, EVP_PKEY *key, const char *digest, int padding)
{
    uint8_t signature[1024];
    size_t length = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;
    assert_int_equal(EVP_DigestSignInit_ex(context, &options, digest, NULL, NULL, key, NULL), 1);
    if (padding != 0)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(options, padding), 1);
    if (padding == RSA_PKCS1_PSS_PADDING)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST), 1);
    assert_int_equal(EVP_DigestSign(context, signature, &length, token->bytes, token->length), 1);
    EVP_MD_CTX_free(context);
    uint8_t raw[64];
    if (EVP_PKEY_base_id(key) == EVP_PKEY_EC) {
        const uint8_t *at = signature;
        ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &at, (long) length);
        assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(parts), raw, 32), 32);
        assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(parts), raw + 32, 32), 32);
        ECDSA_SIG_free(parts);
        memcpy(signature, raw, length = 64);
    }
    assert_true(mg_ok(mg_buffer_add_text(token, ".")));
    assert_true(mg_ok(mg_base64url(mg_view_of(signature, length), token)));
}

static void
input_add(struct mg_buffer *token, const char *header, const char *payload)
{
    mg_buffer_clear(token);
    assert_true(mg_ok(mg_base64url(mg_view_text(header), token)));
    assert_true(mg_ok(mg_buffer_add_text(token, ".")));
    assert_true(mg_ok(mg_base64url(mg_view_text(payload), token)));
}

static void
token_make(struct mg_buffer *token, const char *header, EVP_PKEY *key, const char *digest, int padding)
{
    input_add(token, header, claims);
    signature_add(token, key, digest, padding);
}

static enum mg_federation_refusal
verdict(const struct mg_jwks *keys, const struct mg_buffer *token, enum mg_jwt_type type)
{
    OWN_BUFFER(payload, MG_JWT_PAYLOAD_BYTES);
    struct mg_jwt_head head;
    enum mg_federation_refusal refusal = MG_FEDERATION_NONE;
    assert_true(mg_ok(mg_jwt_verify(mg_buffer_view(token), type, keys, &payload, &head, &refusal)));
    if (refusal == MG_FEDERATION_NONE)
        assert_string_equal(mg_buffer_text(&payload), claims);
    else
        assert_int_equal(payload.length, 0);
    return refusal;
}

static int
make_keys(void **state)
{
    (void) state;
    rsa = EVP_RSA_gen(2048);
    small_rsa = EVP_RSA_gen(1024);
    ec = EVP_EC_gen("P-256");
    ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return rsa == NULL || small_rsa == NULL || ec == NULL || ed == NULL;
}

static int
drop_keys(void **state)
{
    (void) state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(small_rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ed);
    return 0;
}

/* ---- tests ---- */

static void
the_four_algorithms_pass(void **state)
{
    (void) state;
    OWN(jwks) keys = usual_keys();
    OWN_BUFFER(token, 8192);
    assert_int_equal(mg_jwks_count(keys), 3);
    token_make(&token, "{\"alg\":\"RS256\",\"kid\":\"r\"}", rsa, "SHA256", RSA_PKCS1_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_NONE);
    token_make(&token, "{\"alg\":\"PS256\",\"kid\":\"r\",\"typ\":\"JWT\"}", rsa, "SHA256",
               RSA_PKCS1_PSS_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_NONE);
    token_make(&token, "{\"alg\":\"ES256\",\"kid\":\"e\"}", ec, "SHA256", 0);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_NONE);
    token_make(&token, "{\"alg\":\"EdDSA\",\"kid\":\"d\",\"x5t\":\"abc\"}", ed, NULL, 0);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_NONE);
    /* Without a key id the only key that fits is meant. */
    token_make(&token, "{\"alg\":\"ES256\"}", ec, "SHA256", 0);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_NONE);
}

static void
tokens_without_a_signature_are_refused(void **state)
{
    (void) state;
    static const char *const headers[] = {"{\"alg\":\"none\"}", "{\"alg\":\"None\"}",
                                          "{\"alg\":\"NONE\",\"kid\":\"r\"}", "{\"alg\":\"nOnE\"}"};
    OWN(jwks) keys = usual_keys();
    OWN_BUFFER(token, 8192);
    for (size_t i = 0; i < MG_COUNT(headers); i++) {
        input_add(&token, headers[i], claims);
        assert_true(mg_ok(mg_buffer_add_text(&token, ".")));
        assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_UNSIGNED);
    }
    /* An allowed algorithm and an empty signature. */
    input_add(&token, "{\"alg\":\"RS256\",\"kid\":\"r\"}", claims);
    assert_true(mg_ok(mg_buffer_add_text(&token, ".")));
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_SIGNATURE);
}

/* The public key as an HMAC secret, the oldest of these tricks. */
static void
a_public_key_is_no_secret(void **state)
{
    (void) state;
    OWN(jwks) keys = usual_keys();
    OWN_BUFFER(token, 8192);
    OWN_BIO pem = BIO_new(BIO_s_mem());
    char *text = NULL;
    uint8_t mac[32];
    unsigned length = sizeof mac;
    assert_int_equal(PEM_write_bio_PUBKEY(pem, rsa), 1);
    const long size = BIO_get_mem_data(pem, &text);
    static const char *const headers[] = {"{\"alg\":\"HS256\",\"kid\":\"r\"}", "{\"alg\":\"HS256\"}",
                                          "{\"alg\":\"HS512\",\"kid\":\"r\"}"};
    for (size_t i = 0; i < MG_COUNT(headers); i++) {
        input_add(&token, headers[i], claims);
        assert_non_null(HMAC(EVP_sha256(), text, (int) size, token.bytes, token.length, mac, &length));
        assert_true(mg_ok(mg_buffer_add_text(&token, ".")));
        assert_true(mg_ok(mg_base64url(mg_view_of(mac, length), &token)));
        assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_ALGORITHM);
    }
}

static void
algorithms_are_not_exchanged(void **state)
{
    (void) state;
    OWN(jwks) keys = usual_keys();
    OWN_BUFFER(token, 8192);
    token_make(&token, "{\"alg\":\"PS256\",\"kid\":\"r\"}", rsa, "SHA256", RSA_PKCS1_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_SIGNATURE);
    token_make(&token, "{\"alg\":\"RS256\",\"kid\":\"r\"}", rsa, "SHA256", RSA_PKCS1_PSS_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_SIGNATURE);
    token_make(&token, "{\"alg\":\"RS256\",\"kid\":\"r\"}", rsa, "SHA1", RSA_PKCS1_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_SIGNATURE);
    token_make(&token, "{\"alg\":\"RS384\",\"kid\":\"r\"}", rsa, "SHA384", RSA_PKCS1_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_ALGORITHM);
    /* A key of another kind under its id. */
    token_make(&token, "{\"alg\":\"ES256\",\"kid\":\"r\"}", ec, "SHA256", 0);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_KEY);
    token_make(&token, "{\"alg\":\"RS256\",\"kid\":\"e\"}", rsa, "SHA256", RSA_PKCS1_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_KEY);
}

static void
a_token_brings_no_key(void **state)
{
    (void) state;
    static const char *const headers[] = {
        "{\"alg\":\"RS256\",\"jku\":\"https://evil.example/keys\"}",
        "{\"alg\":\"RS256\",\"kid\":\"r\",\"jku\":\"https://evil.example/keys\"}",
        "{\"alg\":\"RS256\",\"x5u\":\"https://evil.example/cert\"}",
        "{\"alg\":\"RS256\",\"x5c\":[\"MIIB\"]}",
        "{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[\"exp\"],\"exp\":1}",
        "{\"alg\":\"RS256\",\"kid\":\"r\",\"b64\":false}",
        "{\"alg\":\"RS256\",\"kid\":\"r\",\"zip\":\"DEF\"}",
        "{\"alg\":\"RS256\",\"kid\":5}",
    };
    OWN(jwks) keys = usual_keys();
    OWN_BUFFER(token, 16384);
    OWN_BUFFER(header, 8192);
    EVP_PKEY *stranger = EVP_RSA_gen(2048);
    for (size_t i = 0; i < MG_COUNT(headers); i++) {
        token_make(&token, headers[i], rsa, "SHA256", RSA_PKCS1_PADDING);
        assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_HEADER);
    }
    assert_true(mg_ok(mg_buffer_add_text(&header, "{\"alg\":\"RS256\",\"kid\":\"r\",\"jwk\":")));
    rsa_add(&header, stranger, "\"kid\":\"r\"");
    assert_true(mg_ok(mg_buffer_add_text(&header, "}")));
    token_make(&token, mg_buffer_text(&header), stranger, "SHA256", RSA_PKCS1_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_HEADER);
    token_make(&token, "{\"alg\":\"RS256\",\"kid\":\"r\"}", stranger, "SHA256", RSA_PKCS1_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_SIGNATURE);
    token_make(&token, "{\"alg\":\"RS256\",\"kid\":\"stranger\"}", stranger, "SHA256", RSA_PKCS1_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_KEY);
    EVP_PKEY_free(stranger);
}

static void
what_is_no_token_is_refused(void **state)
{
    (void) state;
    static const char *const texts[] = {"",
                                        ".",
                                        "..",
                                        "...",
                                        "a.b",
                                        "eyJhbGciOiJSUzI1NiJ9",
                                        "a.b.c.d.e",
                                        "{}.{}.x",
                                        "eyJhbGciOiJSUzI1NiIsImFsZyI6Im5vbmUifQ.e30.AA" /* alg twice */,
                                        "W10.e30.AA" /* header [] */,
                                        "eyJhbGciOjF9.e30.AA" /* alg 1 */};
    OWN(jwks) keys = usual_keys();
    OWN_BUFFER(token, 8192);
    for (size_t i = 0; i < MG_COUNT(texts); i++) {
        mg_buffer_clear(&token);
        assert_true(mg_ok(mg_buffer_add_text(&token, texts[i])));
        assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_FORM);
    }
    /* A bit of the payload, of the header or of the signature. */
    token_make(&token, "{\"alg\":\"EdDSA\",\"kid\":\"d\"}", ed, NULL, 0);
    token.bytes[token.length - 20] = token.bytes[token.length - 20] == 'A' ? 'B' : 'A';
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_SIGNATURE);
    token_make(&token, "{\"alg\":\"EdDSA\",\"kid\":\"d\"}", ed, NULL, 0);
    uint8_t *dot = memchr(token.bytes, '.', token.length);
    dot[5] = dot[5] == 'A' ? 'B' : 'A';
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_SIGNATURE);
}

static void
types_are_not_exchanged(void **state)
{
    (void) state;
    OWN(jwks) keys = usual_keys();
    OWN_BUFFER(token, 8192);
    token_make(&token, "{\"alg\":\"EdDSA\",\"kid\":\"d\",\"typ\":\"logout+jwt\"}", ed, NULL, 0);
    assert_int_equal(verdict(keys, &token, MG_JWT_LOGOUT_TOKEN), MG_FEDERATION_NONE);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_TYPE);
    token_make(&token, "{\"alg\":\"EdDSA\",\"kid\":\"d\",\"typ\":\"at+jwt\"}", ed, NULL, 0);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_TYPE);
    assert_int_equal(verdict(keys, &token, MG_JWT_LOGOUT_TOKEN), MG_FEDERATION_TOKEN_TYPE);
}

static void
weak_and_foreign_keys_are_passed_over(void **state)
{
    (void) state;
    OWN_BUFFER(set, 16384);
    OWN_BUFFER(token, 8192);
    assert_true(mg_ok(mg_buffer_add_text(
        &set,
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"r\",\"k\":\"AAAA\"},5,{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"},"
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"},{\"kty\":\"EC\",\"crv\":\"secp256k1\"},")));
    rsa_add(&set, small_rsa, "\"kid\":\"small\"");
    assert_true(mg_ok(mg_buffer_add_text(&set, ",")));
    rsa_add(&set, rsa, "\"kid\":\"r\",\"use\":\"enc\"");
    assert_true(mg_ok(mg_buffer_add_text(&set, ",")));
    rsa_add(&set, rsa, "\"kid\":\"x\",\"alg\":\"RS512\"");
    OWN(jwks) keys = keys_of(&set);
    assert_int_equal(mg_jwks_count(keys), 1); /* the last, for an algorithm that is not allowed */
    token_make(&token, "{\"alg\":\"RS256\",\"kid\":\"small\"}", small_rsa, "SHA256", RSA_PKCS1_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_KEY);
    token_make(&token, "{\"alg\":\"RS256\",\"kid\":\"x\"}", rsa, "SHA256", RSA_PKCS1_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_KEY);
    token_make(&token, "{\"alg\":\"RS256\"}", rsa, "SHA256", RSA_PKCS1_PADDING);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_KEY);
}

/* Two keys that fit: which one is meant must be said. */
static void
a_choice_of_keys_is_no_key(void **state)
{
    (void) state;
    OWN_BUFFER(set, 16384);
    OWN_BUFFER(token, 8192);
    assert_true(mg_ok(mg_buffer_add_text(&set, "{\"keys\":[")));
    ed_add(&set, ed, "\"kid\":\"d\"");
    assert_true(mg_ok(mg_buffer_add_text(&set, ",")));
    ed_add(&set, ed, "\"kid\":\"d2\"");
    OWN(jwks) keys = keys_of(&set);
    token_make(&token, "{\"alg\":\"EdDSA\"}", ed, NULL, 0);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_TOKEN_KEY);
    token_make(&token, "{\"alg\":\"EdDSA\",\"kid\":\"d2\"}", ed, NULL, 0);
    assert_int_equal(verdict(keys, &token, MG_JWT_ID_TOKEN), MG_FEDERATION_NONE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_four_algorithms_pass),
        cmocka_unit_test(tokens_without_a_signature_are_refused),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(algorithms_are_not_exchanged),
        cmocka_unit_test(a_token_brings_no_key),
        cmocka_unit_test(what_is_no_token_is_refused),
        cmocka_unit_test(types_are_not_exchanged),
        cmocka_unit_test(weak_and_foreign_keys_are_passed_over),
        cmocka_unit_test(a_choice_of_keys_is_no_key),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
