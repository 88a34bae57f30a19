/* SHA256_* are deprecated for EVP_MAC, whose context and look-ups cost several times the four
 * compressions of one HMAC; a leaf is sealed 50,000 times a second. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "ports/audit_leaf.h"

#include "base/secret.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#define VERSION 0x01
#define PREFIX (1 + 8 + 4 + MG_LEAF_SALT) /* the associated data */
#define COMMITMENT 32
#define TAG 16

static const char label[] = "masugata audit leaf v1\n";
static const uint8_t zeros[COMMITMENT];

/* RFC 2104 with SHA-256 over label || salt. */
static void
leaf_key(const uint8_t month_key[MG_LEAF_KEY], const uint8_t salt[MG_LEAF_SALT], uint8_t ret_key[MG_LEAF_KEY])
{
    OWN_KEY(pad, SHA256_CBLOCK);
    uint8_t inner[SHA256_DIGEST_LENGTH];
    SHA256_CTX context;
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = (i < MG_LEAF_KEY ? month_key[i] : 0) ^ 0x36;
    (void) SHA256_Init(&context);
    (void) SHA256_Update(&context, pad, sizeof pad);
    (void) SHA256_Update(&context, label, sizeof label - 1);
    (void) SHA256_Update(&context, salt, MG_LEAF_SALT);
    (void) SHA256_Final(inner, &context);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    (void) SHA256_Init(&context);
    (void) SHA256_Update(&context, pad, sizeof pad);
    (void) SHA256_Update(&context, inner, sizeof inner);
    (void) SHA256_Final(ret_key, &context);
    mg_wipe(&context, sizeof context);
}

/* A context of the thread's own: making one a leaf would cost as much as the encryption. */
struct ciphers {
    EVP_CIPHER *algorithm;
    EVP_CIPHER_CTX *context;
};

static CHECKED struct mg_status
context_begin(const uint8_t key[MG_LEAF_KEY], bool encrypt, EVP_CIPHER_CTX **ret_context)
{
    static _Thread_local struct ciphers mine;
    static const uint8_t nonce[12];
    if (mine.context == NULL) {
        mine.algorithm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
        mine.context = EVP_CIPHER_CTX_new();
        if (mine.algorithm == NULL || mine.context == NULL)
            return fail(CRYPTO);
    }
    if (EVP_CipherInit_ex2(mine.context, mine.algorithm, key, nonce, encrypt ? 1 : 0, NULL) != 1)
        return fail(CRYPTO);
    *ret_context = mine.context;
    return OK;
}

static bool
encrypt_parts(EVP_CIPHER_CTX *context, struct mg_view prefix, struct mg_view event, uint8_t *output)
{
    int length = 0;
    return EVP_EncryptUpdate(context, NULL, &length, prefix.bytes, (int) prefix.length) == 1 &&
           EVP_EncryptUpdate(context, output, &length, zeros, COMMITMENT) == 1 &&
           EVP_EncryptUpdate(context, output + COMMITMENT, &length, event.bytes, (int) event.length) == 1 &&
           EVP_EncryptFinal_ex(context, output + COMMITMENT + event.length, &length) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG, output + COMMITMENT + event.length) == 1;
}

struct mg_status
mg_leaf_seal(const uint8_t month_key[MG_LEAF_KEY], uint64_t tenant, uint32_t month,
             const uint8_t salt[MG_LEAF_SALT], struct mg_view event, struct mg_buffer *leaf)
{
    if (event.length > UINT16_MAX - MG_LEAF_OVERHEAD)
        return fail_with(TOO_LARGE, "event of %zu bytes", event.length);
    TRY(mg_buffer_reserve(leaf, event.length + MG_LEAF_OVERHEAD));
    uint8_t *start = leaf->bytes + leaf->length;
    size_t used = 0;
    start[used++] = VERSION;
    for (int shift = 56; shift >= 0; shift -= 8)
        start[used++] = (uint8_t) (tenant >> shift);
    for (int shift = 24; shift >= 0; shift -= 8)
        start[used++] = (uint8_t) (month >> shift);
    memcpy(start + used, salt, MG_LEAF_SALT);
    OWN_KEY(key, MG_LEAF_KEY);
    EVP_CIPHER_CTX *context;
    leaf_key(month_key, salt, key);
    TRY(context_begin(key, true, &context));
    if (!encrypt_parts(context, mg_view_of(start, PREFIX), event, start + PREFIX))
        return fail(CRYPTO);
    leaf->length += event.length + MG_LEAF_OVERHEAD;
    leaf->bytes[leaf->length] = '\0';
    return OK;
}

struct mg_status
mg_leaf_place(struct mg_view leaf, uint64_t *ret_tenant, uint32_t *ret_month)
{
    if (leaf.length < MG_LEAF_OVERHEAD || leaf.bytes[0] != VERSION)
        return fail_with(MALFORMED, "not an audit leaf");
    uint64_t tenant = 0;
    uint32_t month = 0;
    for (size_t i = 1; i < 9; i++)
        tenant = tenant << 8 | leaf.bytes[i];
    for (size_t i = 9; i < 13; i++)
        month = month << 8 | leaf.bytes[i];
    *ret_tenant = tenant;
    *ret_month = month;
    return OK;
}

struct mg_status
mg_leaf_key(const uint8_t month_key[MG_LEAF_KEY], struct mg_view leaf, uint8_t ret_leaf_key[MG_LEAF_KEY])
{
    uint64_t tenant;
    uint32_t month;
    TRY(mg_leaf_place(leaf, &tenant, &month));
    leaf_key(month_key, leaf.bytes + PREFIX - MG_LEAF_SALT, ret_leaf_key);
    return OK;
}

static bool
decrypt_parts(EVP_CIPHER_CTX *context, struct mg_view leaf, size_t event_length, uint8_t *output)
{
    uint8_t tag[TAG], commitment[COMMITMENT];
    int length = 0;
    memcpy(tag, leaf.bytes + leaf.length - TAG, TAG);
    return EVP_DecryptUpdate(context, NULL, &length, leaf.bytes, PREFIX) == 1 &&
           EVP_DecryptUpdate(context, commitment, &length, leaf.bytes + PREFIX, COMMITMENT) == 1 &&
           EVP_DecryptUpdate(context, output, &length, leaf.bytes + PREFIX + COMMITMENT,
                             (int) event_length) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1 &&
           EVP_DecryptFinal_ex(context, output + event_length, &length) == 1 &&
           memcmp(commitment, zeros, COMMITMENT) == 0;
}

struct mg_status
mg_leaf_open(const uint8_t key[MG_LEAF_KEY], struct mg_view leaf, struct mg_buffer *event)
{
    uint64_t tenant;
    uint32_t month;
    EVP_CIPHER_CTX *context;
    TRY(mg_leaf_place(leaf, &tenant, &month));
    const size_t length = leaf.length - MG_LEAF_OVERHEAD;
    TRY(mg_buffer_reserve(event, length));
    TRY(context_begin(key, false, &context));
    if (!decrypt_parts(context, leaf, length, event->bytes + event->length)) {
        mg_wipe(event->bytes + event->length, length);
        event->bytes[event->length] = '\0';
        return fail_with(INTEGRITY, "the key does not open this leaf");
    }
    event->length += length;
    event->bytes[event->length] = '\0';
    return OK;
}
