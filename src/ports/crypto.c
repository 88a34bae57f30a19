#include "ports/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <pthread.h>

#define OWN_CIPHER MG_CLEANUP(cipher_drop) EVP_CIPHER_CTX *

static struct {
    EVP_MD *sha256;
    EVP_CIPHER *block, *gcm;
    EVP_KDF *hkdf;
    EVP_MAC *hmac;
} fetched;
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void
cipher_drop(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context);
    *context = NULL;
}

static void
kdf_drop(EVP_KDF_CTX **context)
{
    EVP_KDF_CTX_free(*context);
    *context = NULL;
}

static void
mac_drop(EVP_MAC_CTX **context)
{
    EVP_MAC_CTX_free(*context);
    *context = NULL;
}

static void
fetch(void)
{
    /* OpenSSL's own copies of private keys lie in locked memory too, where the limits allow it. */
    (void) CRYPTO_secure_malloc_init(65536, 32);
    fetched.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    fetched.block = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
    fetched.gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    fetched.hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    fetched.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

struct mg_status
mg_crypto_start(void)
{
    if (pthread_once(&fetch_once, fetch) != 0 || fetched.sha256 == NULL || fetched.block == NULL ||
        fetched.gcm == NULL || fetched.hkdf == NULL || fetched.hmac == NULL)
        return fail_with(CRYPTO, "OpenSSL lacks an algorithm");
    return OK;
}

struct mg_status
mg_sha256(struct mg_view bytes, uint8_t ret_hash[MG_HASH_BYTES])
{
    TRY(mg_crypto_start());
    if (EVP_Digest(bytes.bytes, bytes.length, ret_hash, NULL, fetched.sha256, NULL) != 1)
        return fail_with(CRYPTO, "SHA-256");
    return OK;
}

struct mg_status
mg_hmac_sha256(struct mg_view key, struct mg_view bytes, uint8_t ret_hash[MG_HASH_BYTES])
{
    TRY(mg_crypto_start());
    char digest[] = "SHA256";
    const OSSL_PARAM options[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                  OSSL_PARAM_construct_end()};
    MG_CLEANUP(mac_drop) EVP_MAC_CTX *context = EVP_MAC_CTX_new(fetched.hmac);
    size_t length = 0;
    if (context == NULL || EVP_MAC_init(context, key.bytes, key.length, options) != 1 ||
        EVP_MAC_update(context, bytes.bytes, bytes.length) != 1 ||
        EVP_MAC_final(context, ret_hash, &length, MG_HASH_BYTES) != 1 || length != MG_HASH_BYTES)
        return fail_with(CRYPTO, "HMAC-SHA-256");
    return OK;
}

struct mg_status
mg_hkdf(struct mg_view secret, struct mg_view salt, struct mg_view info, uint8_t *ret_key, size_t length)
{
    TRY(mg_crypto_start());
    char digest[] = "SHA256";
    /* OSSL_PARAM has no const; the function does not write through these. */
    OSSL_PARAM options[5] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *) (uintptr_t) secret.bytes,
                                          secret.length),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *) (uintptr_t) info.bytes, info.length),
        OSSL_PARAM_construct_end(),
        OSSL_PARAM_construct_end(),
    };
    if (salt.length != 0)
        options[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *) (uintptr_t) salt.bytes,
                                                       salt.length);
    MG_CLEANUP(kdf_drop) EVP_KDF_CTX *context = EVP_KDF_CTX_new(fetched.hkdf);
    if (context == NULL || EVP_KDF_derive(context, ret_key, length, options) != 1)
        return fail_with(CRYPTO, "HKDF");
    return OK;
}

/* C2SP XAES-256-GCM: K1 is the first CMAC subkey of the key; the message key is AES(M1 ^ K1) and
 * AES(M2 ^ K1), where M1 and M2 hold the block counter, 'X' and the first half of the nonce. */
static CHECKED struct mg_status
message_key(const uint8_t key[MG_KEY_BYTES], const uint8_t nonce[12], uint8_t ret_key[MG_KEY_BYTES])
{
    OWN_CIPHER context = EVP_CIPHER_CTX_new();
    OWN_KEY(subkey, 16);
    OWN_KEY(blocks, 32);
    const uint8_t zero[16] = {0};
    int length = 0;
    if (context == NULL || EVP_EncryptInit_ex2(context, fetched.block, key, NULL, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(context, 0) != 1 ||
        EVP_EncryptUpdate(context, subkey, &length, zero, sizeof zero) != 1 || length != 16)
        return fail_with(CRYPTO, "message key");
    const uint8_t carry = (uint8_t) (0U - (subkey[0] >> 7)) & 0x87;
    for (size_t i = 0; i < 15; i++)
        subkey[i] = (uint8_t) (subkey[i] << 1 | subkey[i + 1] >> 7);
    subkey[15] = (uint8_t) (subkey[15] << 1) ^ carry;
    for (size_t block = 0; block < 2; block++) {
        uint8_t *m = blocks + 16 * block;
        m[0] = 0;
        m[1] = (uint8_t) (block + 1);
        m[2] = 'X';
        m[3] = 0;
        memcpy(m + 4, nonce, 12);
        for (size_t i = 0; i < 16; i++)
            m[i] ^= subkey[i];
    }
    if (EVP_EncryptUpdate(context, ret_key, &length, blocks, sizeof blocks) != 1 || length != 32)
        return fail_with(CRYPTO, "message key");
    return OK;
}

struct mg_status
mg_seal_with_nonce(const uint8_t key[MG_KEY_BYTES], const uint8_t nonce[MG_SEAL_NONCE],
                   struct mg_view associated, struct mg_view plaintext, struct mg_buffer *buffer)
{
    TRY(mg_crypto_start());
    if (plaintext.length > 1U << 30 || associated.length > 1U << 20)
        return fail(TOO_LARGE);
    OWN_KEY(derived, MG_KEY_BYTES);
    TRY(message_key(key, nonce, derived));
    TRY(mg_buffer_reserve(buffer, plaintext.length + MG_SEAL_OVERHEAD));
    uint8_t *out = buffer->bytes + buffer->length;
    memcpy(out, nonce, MG_SEAL_NONCE);
    OWN_CIPHER context = EVP_CIPHER_CTX_new();
    int length = 0, end = 0;
    if (context == NULL || EVP_EncryptInit_ex2(context, fetched.gcm, derived, nonce + 12, NULL) != 1 ||
        EVP_EncryptUpdate(context, NULL, &length, associated.bytes, (int) associated.length) != 1 ||
        EVP_EncryptUpdate(context, out + MG_SEAL_NONCE, &length, plaintext.bytes, (int) plaintext.length) !=
            1 ||
        (size_t) length != plaintext.length ||
        EVP_EncryptFinal_ex(context, out + MG_SEAL_NONCE + length, &end) != 1 || end != 0 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, out + MG_SEAL_NONCE + length) != 1)
        return fail_with(CRYPTO, "seal");
    buffer->length += plaintext.length + MG_SEAL_OVERHEAD;
    buffer->bytes[buffer->length] = 0;
    return OK;
}

struct mg_status
mg_seal(const uint8_t key[MG_KEY_BYTES], struct mg_view associated, struct mg_view plaintext,
        struct mg_buffer *buffer)
{
    uint8_t nonce[MG_SEAL_NONCE];
    mg_random(nonce, sizeof nonce);
    return mg_seal_with_nonce(key, nonce, associated, plaintext, buffer);
}

struct mg_status
mg_unseal(const uint8_t key[MG_KEY_BYTES], struct mg_view associated, struct mg_view sealed,
          uint8_t *ret_plaintext)
{
    TRY(mg_crypto_start());
    if (sealed.length < MG_SEAL_OVERHEAD)
        return fail_with(INTEGRITY, "sealed data is too short");
    if (sealed.length > 1U << 30 || associated.length > 1U << 20)
        return fail(TOO_LARGE);
    const size_t plain_length = sealed.length - MG_SEAL_OVERHEAD;
    OWN_KEY(derived, MG_KEY_BYTES);
    TRY(message_key(key, sealed.bytes, derived));
    uint8_t tag[16];
    memcpy(tag, sealed.bytes + sealed.length - sizeof tag, sizeof tag);
    OWN_CIPHER context = EVP_CIPHER_CTX_new();
    int length = 0, end = 0;
    if (context == NULL || EVP_DecryptInit_ex2(context, fetched.gcm, derived, sealed.bytes + 12, NULL) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1 ||
        EVP_DecryptUpdate(context, NULL, &length, associated.bytes, (int) associated.length) != 1 ||
        EVP_DecryptUpdate(context, ret_plaintext, &length, sealed.bytes + MG_SEAL_NONCE,
                          (int) plain_length) != 1) {
        mg_wipe(ret_plaintext, plain_length);
        return fail_with(CRYPTO, "unseal");
    }
    uint8_t none[16];
    if ((size_t) length != plain_length || EVP_DecryptFinal_ex(context, none, &end) != 1 || end != 0) {
        mg_wipe(ret_plaintext, plain_length);
        return fail_with(INTEGRITY, "sealed data was changed, moved or is under another key");
    }
    return OK;
}
