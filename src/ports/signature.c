/* ES256 and Ed25519 of ports/crypto.h. Private keys are kept as 32 bytes; OpenSSL's forms are made
 * from them, so that no DER is parsed. */
#include "ports/self_signed.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>

#include <stdlib.h>

/* DER of two 256-bit integers: at most 2 + 2 * (2 + 33) bytes. */
#define ECDSA_DER_MOST 72
#define POINT_BYTES 65

struct mg_signing_key {
    enum mg_signature_kind kind;
    EVP_PKEY *key;
    size_t public_length;
    uint8_t public_key[MG_PUBLIC_KEY_MOST];
};

#define DROPPER(name, type, release) \
    static void name(type **pointer) \
    {                                \
        release(*pointer);           \
        *pointer = NULL;             \
    }
DROPPER(bn_drop, BIGNUM, BN_clear_free)
DROPPER(group_drop, EC_GROUP, EC_GROUP_free)
DROPPER(point_drop, EC_POINT, EC_POINT_free)
DROPPER(build_drop, OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
DROPPER(parameters_drop, OSSL_PARAM, OSSL_PARAM_free)
DROPPER(context_drop, EVP_PKEY_CTX, EVP_PKEY_CTX_free)
DROPPER(key_drop, EVP_PKEY, EVP_PKEY_free)
DROPPER(digest_drop, EVP_MD_CTX, EVP_MD_CTX_free)
DROPPER(signature_drop, ECDSA_SIG, ECDSA_SIG_free)

void
mg_signing_key_drop(struct mg_signing_key **key)
{
    if (*key == NULL)
        return;
    EVP_PKEY_free((*key)->key);
    free(*key);
    *key = NULL;
}

EVP_PKEY *
mg_signing_key_openssl(const struct mg_signing_key *key)
{
    return key->key;
}

struct mg_view
mg_signing_key_public(const struct mg_signing_key *key)
{
    return mg_view_of(key->public_key, key->public_length);
}

/* The scalar as a number, checked to lie in [1, n - 1] (SEC 1, 3.2.1). */
static CHECKED struct mg_status
scalar_read(const EC_GROUP *group, const uint8_t bytes[MG_KEY_BYTES], BIGNUM **ret_scalar)
{
    MG_CLEANUP(bn_drop) BIGNUM *scalar = BN_secure_new();
    if (group == NULL || scalar == NULL || BN_bin2bn(bytes, MG_KEY_BYTES, scalar) == NULL)
        return fail(OUT_OF_MEMORY);
    BN_set_flags(scalar, BN_FLG_CONSTTIME);
    if (BN_is_zero(scalar) || BN_cmp(scalar, EC_GROUP_get0_order(group)) >= 0)
        return fail_with(CRYPTO, "not a P-256 private key");
    *ret_scalar = TAKE(scalar);
    return OK;
}

struct mg_status
mg_signing_key_generate(enum mg_signature_kind kind, uint8_t ret_private[MG_KEY_BYTES])
{
    if (kind == MG_ED25519) {
        mg_random(ret_private, MG_KEY_BYTES);
        return OK;
    }
    MG_CLEANUP(group_drop) EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    OWN_KEY(candidate, MG_KEY_BYTES);
    /* A random string misses [1, n - 1] once in 2^32; the bound is for a broken generator. */
    for (int attempt = 0; attempt < 64; attempt++) {
        mg_random(candidate, sizeof candidate);
        MG_CLEANUP(bn_drop) BIGNUM *scalar = NULL;
        if (!mg_ok(scalar_read(group, candidate, &scalar)))
            continue;
        memcpy(ret_private, candidate, MG_KEY_BYTES);
        return OK;
    }
    return fail_with(CRYPTO, "no private key found");
}

static CHECKED struct mg_status
p256_from_parameters(const OSSL_PARAM *parameters, int selection, EVP_PKEY **ret_key)
{
    MG_CLEANUP(context_drop) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, ret_key, selection, (OSSL_PARAM *) (uintptr_t) parameters) != 1)
        return fail_with(CRYPTO, "P-256 key");
    return OK;
}

static CHECKED struct mg_status
p256_new(const uint8_t private_key[MG_KEY_BYTES], struct mg_signing_key *key)
{
    MG_CLEANUP(group_drop) EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    MG_CLEANUP(bn_drop) BIGNUM *scalar = NULL;
    TRY(scalar_read(group, private_key, &scalar));
    MG_CLEANUP(point_drop) EC_POINT *point = EC_POINT_new(group);
    uint8_t encoded[POINT_BYTES];
    if (point == NULL || EC_POINT_mul(group, point, scalar, NULL, NULL, NULL) != 1 ||
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, encoded, sizeof encoded, NULL) !=
            sizeof encoded)
        return fail_with(CRYPTO, "P-256 public key");
    MG_CLEANUP(build_drop) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (build == NULL ||
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, encoded, sizeof encoded) != 1)
        return fail(OUT_OF_MEMORY);
    MG_CLEANUP(parameters_drop) OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
    if (parameters == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(p256_from_parameters(parameters, EVP_PKEY_KEYPAIR, &key->key));
    memcpy(key->public_key, encoded + 1, 64);
    key->public_length = 64;
    return OK;
}

static CHECKED struct mg_status
ed25519_new(const uint8_t private_key[MG_KEY_BYTES], struct mg_signing_key *key)
{
    key->public_length = 32;
    key->key = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, private_key, MG_KEY_BYTES);
    if (key->key == NULL || EVP_PKEY_get_raw_public_key(key->key, key->public_key, &key->public_length) != 1)
        return fail_with(CRYPTO, "Ed25519 key");
    return OK;
}

struct mg_status
mg_signing_key_new(enum mg_signature_kind kind, const uint8_t private_key[MG_KEY_BYTES],
                   struct mg_signing_key **ret_key)
{
    TRY(mg_crypto_start());
    OWN(signing_key) key = calloc(1, sizeof *key);
    if (key == NULL)
        return fail(OUT_OF_MEMORY);
    key->kind = kind;
    if (kind == MG_ES256)
        TRY(p256_new(private_key, key));
    else
        TRY(ed25519_new(private_key, key));
    *ret_key = TAKE(key);
    return OK;
}

/* RFC 7518 3.4 wants r and s as 32 bytes each; OpenSSL gives DER. */
static CHECKED struct mg_status
raw_from_der(const uint8_t *der, size_t length, uint8_t ret_signature[MG_SIGNATURE_BYTES])
{
    MG_CLEANUP(signature_drop) ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &der, (long) length);
    if (parts == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(parts), ret_signature, 32) != 32 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(parts), ret_signature + 32, 32) != 32)
        return fail_with(CRYPTO, "ECDSA signature");
    return OK;
}

static CHECKED struct mg_status
der_from_raw(const uint8_t signature[MG_SIGNATURE_BYTES], uint8_t ret_der[ECDSA_DER_MOST], size_t *ret_length)
{
    MG_CLEANUP(signature_drop) ECDSA_SIG *parts = ECDSA_SIG_new();
    MG_CLEANUP(bn_drop) BIGNUM *r = BN_bin2bn(signature, 32, NULL);
    MG_CLEANUP(bn_drop) BIGNUM *s = BN_bin2bn(signature + 32, 32, NULL);
    if (parts == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(parts, r, s) != 1)
        return fail(OUT_OF_MEMORY);
    /* Owned by parts now. */
    r = NULL;
    s = NULL;
    uint8_t *at = ret_der;
    const int length = i2d_ECDSA_SIG(parts, &at);
    if (length <= 0 || length > ECDSA_DER_MOST)
        return fail_with(CRYPTO, "ECDSA signature");
    *ret_length = (size_t) length;
    return OK;
}

struct mg_status
mg_sign(const struct mg_signing_key *key, struct mg_view message, uint8_t ret_signature[MG_SIGNATURE_BYTES])
{
    MG_CLEANUP(digest_drop) EVP_MD_CTX *context = EVP_MD_CTX_new();
    const char *digest = key->kind == MG_ES256 ? "SHA256" : NULL;
    uint8_t der[ECDSA_DER_MOST];
    uint8_t *out = key->kind == MG_ES256 ? der : ret_signature;
    size_t length = key->kind == MG_ES256 ? sizeof der : MG_SIGNATURE_BYTES;
    if (context == NULL || EVP_DigestSignInit_ex(context, NULL, digest, NULL, NULL, key->key, NULL) != 1 ||
        EVP_DigestSign(context, out, &length, message.bytes, message.length) != 1)
        return fail_with(CRYPTO, "sign");
    return key->kind == MG_ES256 ? raw_from_der(der, length, ret_signature) : OK;
}

static CHECKED struct mg_status
p256_public(struct mg_view public_key, EVP_PKEY **ret_key)
{
    uint8_t encoded[POINT_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(encoded + 1, public_key.bytes, 64);
    MG_CLEANUP(build_drop) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (build == NULL ||
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, encoded, sizeof encoded) != 1)
        return fail(OUT_OF_MEMORY);
    MG_CLEANUP(parameters_drop) OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
    if (parameters == NULL)
        return fail(OUT_OF_MEMORY);
    return p256_from_parameters(parameters, EVP_PKEY_PUBLIC_KEY, ret_key);
}

struct mg_status
mg_verify(enum mg_signature_kind kind, struct mg_view public_key, struct mg_view message,
          struct mg_view signature)
{
    TRY(mg_crypto_start());
    if (signature.length != MG_SIGNATURE_BYTES || public_key.length != (kind == MG_ES256 ? 64U : 32U))
        return fail_with(INTEGRITY, "signature or public key of a wrong length");
    MG_CLEANUP(key_drop) EVP_PKEY *key = NULL;
    uint8_t der[ECDSA_DER_MOST];
    const uint8_t *bytes = signature.bytes;
    size_t length = signature.length;
    if (kind == MG_ES256) {
        TRY(p256_public(public_key, &key));
        TRY(der_from_raw(signature.bytes, der, &length));
        bytes = der;
    } else {
        key = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, public_key.bytes, public_key.length);
    }
    MG_CLEANUP(digest_drop) EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (key == NULL || context == NULL ||
        EVP_DigestVerifyInit_ex(context, NULL, kind == MG_ES256 ? "SHA256" : NULL, NULL, NULL, key, NULL) !=
            1)
        return fail_with(CRYPTO, "verify");
    if (EVP_DigestVerify(context, bytes, length, message.bytes, message.length) != 1)
        return fail_with(INTEGRITY, "the signature is wrong");
    return OK;
}
