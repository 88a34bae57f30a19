#include "ports/jose.h"

#include "ports/crypto.h"
#include "ports/openssl.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <strings.h>

enum { HEADER_BYTES = 8192, RSA_BITS_LEAST = 2048, RSA_BITS_MOST = 8192, RSA_BYTES_MOST = RSA_BITS_MOST / 8 };

enum key_kind { KEY_NONE = 0, KEY_RSA, KEY_P256, KEY_ED25519 };

struct key {
    enum key_kind kind;
    char id[128], algorithm[8]; /* empty: not said */
    uint8_t public_key[64];     /* P-256: x and y; Ed25519: 32 bytes */
    EVP_PKEY *rsa;
};

struct mg_jwks {
    size_t count;
    struct key keys[MG_JWKS_KEYS_MOST];
};

/* The allow list (RFC 8725 section 3.1): an algorithm and the one kind of key that it may meet. */
static const struct algorithm {
    const char *name;
    enum key_kind kind;
    bool pss;
} algorithms[] = {
    {"RS256", KEY_RSA, false},
    {"PS256", KEY_RSA, true},
    {"ES256", KEY_P256, false},
    {"EdDSA", KEY_ED25519, false},
};

static void
json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}
#define OWN_JSON MG_CLEANUP(json_drop) json_t *

static json_t *
object_parse(struct mg_view text)
{
    json_error_t error;
    OWN_JSON json = json_loadb((const char *) text.bytes, text.length, JSON_REJECT_DUPLICATES, &error);
    return json_is_object(json) ? TAKE(json) : NULL;
}

/* ---- keys ---- */

void
mg_jwks_drop(struct mg_jwks **keys)
{
    if (*keys == NULL)
        return;
    for (size_t i = 0; i < (*keys)->count; i++)
        EVP_PKEY_free((*keys)->keys[i].rsa);
    free(*keys);
    *keys = NULL;
}

static bool
member_copy(const json_t *object, const char *name, char *array, size_t size)
{
    const json_t *member = json_object_get(object, name);
    array[0] = '\0';
    if (member == NULL)
        return true;
    return json_is_string(member) &&
           mg_ok(
               mg_view_copy(mg_view_of(json_string_value(member), json_string_length(member)), array, size));
}

static bool
member_decode(const json_t *object, const char *name, struct mg_buffer *bytes)
{
    const json_t *member = json_object_get(object, name);
    return json_is_string(member) &&
           mg_ok(
               mg_base64url_decode(mg_view_of(json_string_value(member), json_string_length(member)), bytes));
}

static bool
member_is(const json_t *object, const char *name, const char *value)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL && strcmp(text, value) == 0;
}

static void
bn_drop(BIGNUM **number)
{
    BN_free(*number);
    *number = NULL;
}

static void
build_drop(OSSL_PARAM_BLD **build)
{
    OSSL_PARAM_BLD_free(*build);
    *build = NULL;
}

static void
parameters_drop(OSSL_PARAM **parameters)
{
    OSSL_PARAM_free(*parameters);
    *parameters = NULL;
}

static void
context_drop(EVP_PKEY_CTX **context)
{
    EVP_PKEY_CTX_free(*context);
    *context = NULL;
}

static void
digest_drop(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
    *context = NULL;
}

/* RFC 7518 section 6.3.1; sizes that are neither weak nor a way to keep us busy. NULL if it does not fit. */
static EVP_PKEY *
rsa_read(const json_t *jwk)
{
    OWN_BUFFER(modulus, RSA_BYTES_MOST + 1);
    OWN_BUFFER(exponent, 8);
    if (!member_decode(jwk, "n", &modulus) || !member_decode(jwk, "e", &exponent) || exponent.length == 0 ||
        exponent.length > 4)
        return NULL;
    MG_CLEANUP(bn_drop) BIGNUM *n = BN_bin2bn(modulus.bytes, (int) modulus.length, NULL);
    MG_CLEANUP(bn_drop) BIGNUM *e = BN_bin2bn(exponent.bytes, (int) exponent.length, NULL);
    MG_CLEANUP(build_drop) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (n == NULL || e == NULL || build == NULL || BN_num_bits(n) < RSA_BITS_LEAST ||
        BN_num_bits(n) > RSA_BITS_MOST || !BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e) ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) != 1)
        return NULL;
    MG_CLEANUP(parameters_drop) OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
    MG_CLEANUP(context_drop) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    if (parameters == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        return NULL;
    return key;
}

static bool
point_read(const json_t *jwk, struct key *key)
{
    OWN_BUFFER(x, 33);
    OWN_BUFFER(y, 33);
    if (!member_is(jwk, "crv", "P-256") || !member_decode(jwk, "x", &x) || !member_decode(jwk, "y", &y) ||
        x.length != 32 || y.length != 32)
        return false;
    memcpy(key->public_key, x.bytes, 32);
    memcpy(key->public_key + 32, y.bytes, 32);
    return true;
}

static bool
edwards_read(const json_t *jwk, struct key *key)
{
    OWN_BUFFER(x, 33);
    if (!member_is(jwk, "crv", "Ed25519") || !member_decode(jwk, "x", &x) || x.length != 32)
        return false;
    memcpy(key->public_key, x.bytes, 32);
    return true;
}

/* False for a key that cannot verify one of our algorithms: of another kind, for encryption, or broken. */
static bool
key_read(const json_t *jwk, struct key *key)
{
    char use[16];
    *key = (struct key){.kind = KEY_NONE};
    if (!json_is_object(jwk) || !member_copy(jwk, "kid", key->id, sizeof key->id) ||
        !member_copy(jwk, "alg", key->algorithm, sizeof key->algorithm) ||
        !member_copy(jwk, "use", use, sizeof use) || (use[0] != '\0' && strcmp(use, "sig") != 0))
        return false;
    if (member_is(jwk, "kty", "RSA")) {
        key->rsa = rsa_read(jwk);
        key->kind = key->rsa != NULL ? KEY_RSA : KEY_NONE;
    } else if (member_is(jwk, "kty", "EC")) {
        key->kind = point_read(jwk, key) ? KEY_P256 : KEY_NONE;
    } else if (member_is(jwk, "kty", "OKP")) {
        key->kind = edwards_read(jwk, key) ? KEY_ED25519 : KEY_NONE;
    }
    ERR_clear_error();
    return key->kind != KEY_NONE;
}

struct mg_status
mg_jwks_parse(struct mg_view json, struct mg_jwks **ret_keys)
{
    if (json.length > MG_JWKS_BYTES)
        return fail_with(TOO_LARGE, "KEY_SET_LARGE|");
    OWN_JSON document = object_parse(json);
    const json_t *list = json_object_get(document, "keys");
    OWN(jwks) keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return fail(OUT_OF_MEMORY);
    if (!json_is_array(list))
        return fail_with(MALFORMED, "KEY_SET_FORM|");
    for (size_t i = 0; i < json_array_size(list) && keys->count < MG_JWKS_KEYS_MOST; i++)
        if (key_read(json_array_get(list, i), &keys->keys[keys->count]))
            keys->count++;
    *ret_keys = TAKE(keys);
    return OK;
}

size_t
mg_jwks_count(const struct mg_jwks *keys)
{
    return keys->count;
}

struct mg_status
mg_jwks_describe(const struct mg_jwks *keys, struct mg_buffer *text)
{
    static const char *const kinds[] = {
        [KEY_NONE] = "", [KEY_RSA] = "RSA", [KEY_P256] = "P-256", [KEY_ED25519] = "Ed25519"};
    for (size_t i = 0; i < keys->count; i++)
        TRY(mg_buffer_format(text, "%s%s %s", i == 0 ? "" : "\n", kinds[keys->keys[i].kind],
                             keys->keys[i].id));
    return OK;
}

/* ---- tokens ---- */

/* Three parts and no more (RFC 7515 section 7.1). */
struct parts {
    struct mg_view header, payload, signature, input;
};

static bool
split(struct mg_view token, struct parts *parts)
{
    const uint8_t *first = token.length == 0 ? NULL : memchr(token.bytes, '.', token.length);
    if (first == NULL)
        return false;
    const size_t rest = token.length - (size_t) (first + 1 - token.bytes);
    const uint8_t *second = memchr(first + 1, '.', rest);
    if (second == NULL)
        return false;
    parts->header = mg_view_of(token.bytes, (size_t) (first - token.bytes));
    parts->payload = mg_view_of(first + 1, (size_t) (second - first - 1));
    parts->signature = mg_view_of(second + 1, token.length - (size_t) (second + 1 - token.bytes));
    parts->input = mg_view_of(token.bytes, (size_t) (second - token.bytes));
    return memchr(parts->signature.bytes, '.', parts->signature.length) == NULL && parts->header.length != 0;
}

static bool
type_fits(const json_t *header, enum mg_jwt_type type)
{
    const json_t *member = json_object_get(header, "typ");
    const char *text = json_string_value(member);
    if (member == NULL)
        return true;
    if (text == NULL)
        return false;
    return strcasecmp(text, "JWT") == 0 ||
           (type == MG_JWT_LOGOUT_TOKEN && strcasecmp(text, "logout+jwt") == 0);
}

/* RFC 8725 sections 3.1 and 3.10: what the header may say is which algorithm and which key, no more. */
static enum mg_federation_refusal
header_read(struct mg_view text, enum mg_jwt_type type, struct mg_jwt_head *head,
            const struct algorithm **ret_algorithm)
{
    static const char *const foreign[] = {"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"};
    OWN_BUFFER(decoded, HEADER_BYTES);
    if (!mg_ok(mg_base64url_decode(text, &decoded)))
        return MG_FEDERATION_TOKEN_FORM;
    OWN_JSON header = object_parse(mg_buffer_view(&decoded));
    const char *name = json_string_value(json_object_get(header, "alg"));
    if (header == NULL || name == NULL)
        return MG_FEDERATION_TOKEN_FORM;
    if (strcasecmp(name, "none") == 0)
        return MG_FEDERATION_TOKEN_UNSIGNED;
    for (size_t i = 0; i < MG_COUNT(foreign); i++)
        if (json_object_get(header, foreign[i]) != NULL)
            return MG_FEDERATION_TOKEN_HEADER;
    if (!type_fits(header, type))
        return MG_FEDERATION_TOKEN_TYPE;
    if (!member_copy(header, "kid", head->key, sizeof head->key))
        return MG_FEDERATION_TOKEN_HEADER;
    for (size_t i = 0; i < MG_COUNT(algorithms); i++) {
        if (strcmp(name, algorithms[i].name) != 0)
            continue;
        *ret_algorithm = &algorithms[i];
        return mg_ok(mg_view_copy(mg_view_text(name), head->algorithm, sizeof head->algorithm))
                   ? MG_FEDERATION_NONE
                   : MG_FEDERATION_TOKEN_ALGORITHM;
    }
    return MG_FEDERATION_TOKEN_ALGORITHM;
}

static bool
key_fits(const struct key *key, const struct algorithm *algorithm)
{
    return key->kind == algorithm->kind &&
           (key->algorithm[0] == '\0' || strcmp(key->algorithm, algorithm->name) == 0);
}

/* With a key id, that key; without one, the only key that fits (Core 10.1). NULL if there is none or a
 * choice. */
static const struct key *
key_find(const struct mg_jwks *keys, const struct algorithm *algorithm, const char *id)
{
    const struct key *found = NULL;
    for (size_t i = 0; i < keys->count; i++) {
        const struct key *key = &keys->keys[i];
        if (!key_fits(key, algorithm) || (id[0] != '\0' && strcmp(id, key->id) != 0))
            continue;
        if (found != NULL)
            return NULL;
        found = key;
    }
    return found;
}

static bool
rsa_verify(EVP_PKEY *key, bool pss, struct mg_view message, struct mg_view signature)
{
    MG_CLEANUP(digest_drop) EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL; /* the digest's */
    const bool right =
        context != NULL && EVP_DigestVerifyInit_ex(context, &options, "SHA256", NULL, NULL, key, NULL) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(options, pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1 &&
        /* RFC 7518 section 3.5: the salt is as long as the hash, and MGF1 uses the same one. */
        (!pss || EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1) &&
        EVP_DigestVerify(context, signature.bytes, signature.length, message.bytes, message.length) == 1;
    ERR_clear_error();
    return right;
}

static bool
signature_is_right(const struct key *key, const struct algorithm *algorithm, const struct parts *parts)
{
    OWN_BUFFER(signature, RSA_BYTES_MOST);
    if (!mg_ok(mg_base64url_decode(parts->signature, &signature)))
        return false;
    if (key->kind == KEY_RSA)
        return rsa_verify(key->rsa, algorithm->pss, parts->input, mg_buffer_view(&signature));
    const bool edwards = key->kind == KEY_ED25519;
    const bool right =
        mg_ok(mg_verify(edwards ? MG_ED25519 : MG_ES256, mg_view_of(key->public_key, edwards ? 32 : 64),
                        parts->input, mg_buffer_view(&signature)));
    ERR_clear_error();
    return right;
}

struct mg_status
mg_jwt_verify(struct mg_view token, enum mg_jwt_type type, const struct mg_jwks *keys,
              struct mg_buffer *payload, struct mg_jwt_head *ret_head,
              enum mg_federation_refusal *ret_refusal)
{
    struct mg_jwt_head head = {.algorithm = ""};
    const struct algorithm *algorithm = NULL;
    struct parts parts;
    *ret_refusal = MG_FEDERATION_TOKEN_FORM;
    if (token.length > MG_JWT_BYTES || !split(token, &parts))
        return OK;
    *ret_refusal = header_read(parts.header, type, &head, &algorithm);
    *ret_head = head;
    if (*ret_refusal != MG_FEDERATION_NONE)
        return OK;
    const struct key *key = key_find(keys, algorithm, head.key);
    if (key == NULL) {
        *ret_refusal = MG_FEDERATION_TOKEN_KEY;
        return OK;
    }
    if (!signature_is_right(key, algorithm, &parts)) {
        *ret_refusal = MG_FEDERATION_TOKEN_SIGNATURE;
        return OK;
    }
    OWN_BUFFER(decoded, MG_JWT_PAYLOAD_BYTES);
    if (!mg_ok(mg_base64url_decode(parts.payload, &decoded))) {
        *ret_refusal = MG_FEDERATION_TOKEN_FORM;
        return OK;
    }
    return mg_buffer_add(payload, mg_buffer_view(&decoded));
}
