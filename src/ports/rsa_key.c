#include "ports/rsa_key.h"

#include "ports/self_signed.h"

#include <openssl/rsa.h>
#include <pthread.h>

enum { BITS = 3072, CONTENT_MOST = 32, KEPT_MOST = 16 };

/* Reading a key and what OpenSSL prepares at its first use take as long as a signature: the last ones are
 * kept until they are to be forgotten, known by the hash of what they were read from. */
static struct {
    pthread_mutex_t lock;
    struct {
        uint8_t hash[32];
        EVP_PKEY *key; /* NULL: free */
        int64_t read_ms;
    } list[KEPT_MOST];
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

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

static void
pkcs8_drop(PKCS8_PRIV_KEY_INFO **information)
{
    PKCS8_PRIV_KEY_INFO_free(*information);
    *information = NULL;
}

/* What is read here was made here and came back sealed. */
static CHECKED struct mg_status
key_decode(struct mg_view der, EVP_PKEY **ret_key)
{
    const uint8_t *cursor = der.bytes;
    MG_CLEANUP(pkcs8_drop)
    PKCS8_PRIV_KEY_INFO *information = d2i_PKCS8_PRIV_KEY_INFO(NULL, &cursor, (long) der.length);
    OWN_PKEY key = information == NULL ? NULL : EVP_PKCS82PKEY(information);
    if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) != BITS)
        return fail_openssl("RSA key");
    *ret_key = TAKE(key);
    return OK;
}

/* Those that have been kept for so long go; freeing wipes them. */
void
mg_rsa_keys_forget(int64_t kept_ms)
{
    const int64_t now_ms = mg_monotonic_ms();
    (void) pthread_mutex_lock(&kept.lock);
    for (size_t i = 0; i < KEPT_MOST; i++)
        if (kept.list[i].key != NULL && now_ms - kept.list[i].read_ms >= kept_ms) {
            EVP_PKEY_free(kept.list[i].key);
            kept.list[i].key = NULL;
        }
    (void) pthread_mutex_unlock(&kept.lock);
}

/* With the lock held: the kept key of that hash, or NULL. */
static EVP_PKEY *
kept_find(const uint8_t hash[32])
{
    EVP_PKEY *found = NULL;
    for (size_t i = 0; i < KEPT_MOST; i++)
        if (kept.list[i].key != NULL && memcmp(kept.list[i].hash, hash, 32) == 0)
            found = kept.list[i].key;
    return found != NULL && EVP_PKEY_up_ref(found) == 1 ? found : NULL;
}

/* With the lock held: in a free place, or that of the oldest. */
static void
kept_add(const uint8_t hash[32], EVP_PKEY *key, int64_t now_ms)
{
    size_t place = 0;
    for (size_t i = 1; i < KEPT_MOST; i++)
        if (kept.list[place].key != NULL &&
            (kept.list[i].key == NULL || kept.list[i].read_ms < kept.list[place].read_ms))
            place = i;
    if (EVP_PKEY_up_ref(key) != 1)
        return;
    EVP_PKEY_free(kept.list[place].key);
    kept.list[place].key = key;
    kept.list[place].read_ms = now_ms;
    memcpy(kept.list[place].hash, hash, 32);
}

static CHECKED struct mg_status
key_read(struct mg_view der, EVP_PKEY **ret_key)
{
    uint8_t hash[32];
    const int64_t now_ms = mg_monotonic_ms();
    if (EVP_Digest(der.bytes, der.length, hash, NULL, EVP_sha256(), NULL) != 1)
        return fail_openssl("hash a key");
    (void) pthread_mutex_lock(&kept.lock);
    EVP_PKEY *found = kept_find(hash);
    (void) pthread_mutex_unlock(&kept.lock);
    if (found == NULL) {
        TRY(key_decode(der, &found));
        (void) pthread_mutex_lock(&kept.lock);
        kept_add(hash, found, now_ms);
        (void) pthread_mutex_unlock(&kept.lock);
    }
    *ret_key = found;
    return OK;
}

struct mg_status
mg_rsa_key_new(struct mg_secret **ret_key)
{
    OWN_PKEY key = EVP_RSA_gen(BITS);
    MG_CLEANUP(pkcs8_drop) PKCS8_PRIV_KEY_INFO *information = key == NULL ? NULL : EVP_PKEY2PKCS8(key);
    const int length = information == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(information, NULL);
    if (length <= 0)
        return fail_openssl("make an RSA key");
    OWN(secret) secret = NULL;
    TRY(mg_secret_new((size_t) length, &secret));
    uint8_t *cursor = mg_secret_bytes(secret);
    if (i2d_PKCS8_PRIV_KEY_INFO(information, &cursor) != length)
        return fail_openssl("write an RSA key");
    *ret_key = TAKE(secret);
    return OK;
}

struct mg_status
mg_rsa_certificate(struct mg_view key_der, struct mg_view name, mg_instant now, int years,
                   struct mg_buffer *der)
{
    OWN_PKEY key = NULL;
    TRY(key_read(key_der, &key));
    return mg_self_signed(key, name, NULL, now, years * 365, der);
}

struct mg_status
mg_rsa_sign(struct mg_view key_der, struct mg_view message, uint8_t ret_signature[MG_RSA_SIGNATURE_BYTES])
{
    OWN_PKEY key = NULL;
    size_t length = MG_RSA_SIGNATURE_BYTES;
    TRY(key_read(key_der, &key));
    MG_CLEANUP(digest_drop) EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestSignInit_ex(context, NULL, "SHA256", NULL, NULL, key, NULL) != 1 ||
        EVP_DigestSign(context, ret_signature, &length, message.bytes, message.length) != 1 ||
        length != MG_RSA_SIGNATURE_BYTES)
        return fail_openssl("sign");
    return OK;
}

struct mg_status
mg_rsa_unwrap(struct mg_view key_der, struct mg_view wrapped, const char *digest, const char *mask,
              struct mg_secret **ret_secret)
{
    OWN_PKEY key = NULL;
    OWN_KEY(clear, BITS / 8);
    size_t length = sizeof clear;
    TRY(key_read(key_der, &key));
    MG_CLEANUP(context_drop) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (context == NULL || EVP_PKEY_decrypt_init(context) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md_name(context, digest, NULL) != 1 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, mask, NULL) != 1)
        return fail_openssl("prepare to unwrap");
    const bool opened = EVP_PKEY_decrypt(context, clear, &length, wrapped.bytes, wrapped.length) == 1;
    ERR_clear_error();
    if (!opened || length == 0 || length > CONTENT_MOST)
        return fail_with(INTEGRITY, "not wrapped for this key");
    return mg_secret_copy(mg_view_of(clear, length), ret_secret);
}
