#include "ports/passkey_key.h"

#include "domain/passkey.h"
#include "ports/crypto.h"
#include "ports/openssl.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#define DROPPER(name, type, release) \
    static void name(type **pointer) \
    {                                \
        release(*pointer);           \
        *pointer = NULL;             \
    }
DROPPER(bn_drop, BIGNUM, BN_free)
DROPPER(build_drop, OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
DROPPER(parameters_drop, OSSL_PARAM, OSSL_PARAM_free)
DROPPER(context_drop, EVP_PKEY_CTX, EVP_PKEY_CTX_free)
DROPPER(digest_drop, EVP_MD_CTX, EVP_MD_CTX_free)

bool
mg_passkey_key_is_sound(int64_t algorithm, struct mg_view key)
{
    switch (algorithm) {
    case MG_COSE_ES256:
        return key.length == 64;
    case MG_COSE_EDDSA:
        return key.length == 32;
    case MG_COSE_RS256: /* full length, odd */
        return key.length >= MG_PASSKEY_RSA_LEAST && key.length <= MG_PASSKEY_KEY_MOST &&
               (key.bytes[0] & 0x80) != 0 && (key.bytes[key.length - 1] & 1) != 0;
    default:
        return false;
    }
}

static CHECKED struct mg_status
rsa_key_make(struct mg_view modulus, EVP_PKEY **ret_key)
{
    MG_CLEANUP(bn_drop) BIGNUM *n = BN_bin2bn(modulus.bytes, (int) modulus.length, NULL);
    MG_CLEANUP(build_drop) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (n == NULL || build == NULL || OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_uint(build, OSSL_PKEY_PARAM_RSA_E, 65537) != 1)
        return fail(OUT_OF_MEMORY);
    MG_CLEANUP(parameters_drop) OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
    MG_CLEANUP(context_drop) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (parameters == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, ret_key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        return fail_openssl("RSA key");
    return OK;
}

static CHECKED struct mg_status
rsa_verify(struct mg_view modulus, struct mg_view message, struct mg_view signature, bool *ret_right)
{
    OWN_PKEY key = NULL;
    EVP_PKEY_CTX *options = NULL; /* the digest's */
    TRY(rsa_key_make(modulus, &key));
    MG_CLEANUP(digest_drop) EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestVerifyInit_ex(context, &options, "SHA256", NULL, NULL, key, NULL) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PADDING) != 1)
        return fail_openssl("RSA verify");
    *ret_right =
        signature.length == modulus.length &&
        EVP_DigestVerify(context, signature.bytes, signature.length, message.bytes, message.length) == 1;
    return OK;
}

struct mg_status
mg_passkey_key_verify(int64_t algorithm, struct mg_view key, struct mg_view message, struct mg_view signature,
                      bool *ret_right)
{
    *ret_right = false;
    if (!mg_passkey_key_is_sound(algorithm, key))
        return OK;
    TRY(mg_crypto_start());
    struct mg_status status = OK;
    if (algorithm == MG_COSE_RS256) {
        status = rsa_verify(key, message, signature, ret_right);
    } else {
        /* CRYPTO here means a point that is not on the curve: nobody's key. */
        const struct mg_status verified =
            mg_verify(algorithm == MG_COSE_ES256 ? MG_ES256 : MG_ED25519, key, message, signature);
        *ret_right = mg_ok(verified);
        if (verified.code == MG_OUT_OF_MEMORY)
            status = verified;
    }
    ERR_clear_error();
    return status;
}
