#include "ports/password_hash.h"

#include "base/secret.h"
#include "ports/argon2_memory.h"

#include <argon2.h>
#include <crypt.h>
#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>

/* ---- argon2id -------------------------------------------------------------------------------- */

static pthread_once_t sodium_once = PTHREAD_ONCE_INIT;
static bool sodium_ready;

static void
sodium_start(void)
{
    sodium_ready = sodium_init() >= 0; /* it looks at what the processor can do */
}

/* libsodium fills the memory with the widest registers that the processor has, the reference implementation
 * with those that every one has: a third of the time for the same hash (bench/RESULTS.md). It knows one lane
 * and salts of 16 bytes: ours, and most that come from elsewhere. */
static bool
is_for_sodium(struct mg_password_cost cost, struct mg_view salt, size_t tag_length)
{
    (void) pthread_once(&sodium_once, sodium_start);
    return sodium_ready && cost.lanes == 1 && salt.length == crypto_pwhash_SALTBYTES &&
           tag_length >= crypto_pwhash_BYTES_MIN;
}

static CHECKED struct mg_status
argon2id_sodium(struct mg_view password, struct mg_password_cost cost, struct mg_view salt, uint8_t *tag,
                size_t tag_length)
{
    mg_argon2_memory_begin();
    errno = 0;
    const int result =
        crypto_pwhash(tag, tag_length, (const char *) password.bytes, password.length, salt.bytes,
                      cost.passes, (size_t) cost.memory_kib * 1024, crypto_pwhash_ALG_ARGON2ID13);
    const int error = errno;
    mg_argon2_memory_end();
    if (result == 0)
        return OK;
    return error == ENOMEM ? fail(OUT_OF_MEMORY) : fail_with(CRYPTO, "argon2id");
}

static CHECKED struct mg_status
argon2id(struct mg_view password, struct mg_password_cost cost, struct mg_view salt, uint8_t *tag,
         size_t tag_length)
{
    if (is_for_sodium(cost, salt, tag_length))
        return argon2id_sodium(password, cost, salt, tag, tag_length);
    /* libargon2 takes its inputs without const; it writes neither without the CLEAR flags. */
    argon2_context context = {
        .out = tag,
        .outlen = (uint32_t) tag_length,
        .pwd = (uint8_t *) (uintptr_t) password.bytes,
        .pwdlen = (uint32_t) password.length,
        .salt = (uint8_t *) (uintptr_t) salt.bytes,
        .saltlen = (uint32_t) salt.length,
        .t_cost = cost.passes,
        .m_cost = cost.memory_kib,
        .lanes = cost.lanes,
        .threads = 1, /* parallelism is the number of hashes, not of threads in one */
        .version = ARGON2_VERSION_13,
        .flags = ARGON2_DEFAULT_FLAGS,
    };
    const int result = argon2id_ctx(&context);
    if (result == ARGON2_MEMORY_ALLOCATION_ERROR)
        return fail(OUT_OF_MEMORY);
    if (result != ARGON2_OK)
        return fail_with(CRYPTO, "argon2: %s", argon2_error_message(result));
    return OK;
}

static CHECKED struct mg_status
add_b64(struct mg_buffer *text, const uint8_t *bytes, size_t length)
{
    TRY(mg_base64(mg_view_of(bytes, length), text));
    while (text->length != 0 && text->bytes[text->length - 1] == '=')
        text->bytes[--text->length] = '\0';
    return OK;
}

struct mg_status
mg_password_hash(struct mg_view password, struct mg_password_cost cost, char hash[MG_PASSWORD_HASH_TEXT])
{
    if (password.length > MG_PASSWORD_BYTES_MOST)
        return fail_with(TOO_LARGE, "a password has at most %d bytes", MG_PASSWORD_BYTES_MOST);
    TRY(mg_password_cost_check(cost));
    OWN_KEY(tag, MG_PASSWORD_TAG);
    uint8_t salt[MG_PASSWORD_SALT];
    mg_random(salt, sizeof salt);
    TRY(argon2id(password, cost, mg_view_of(salt, sizeof salt), tag, MG_PASSWORD_TAG));
    OWN_BUFFER(text, MG_PASSWORD_HASH_TEXT - 1);
    TRY(mg_buffer_format(&text, "$argon2id$v=19$m=%u,t=%u,p=%u$", cost.memory_kib, cost.passes, cost.lanes));
    TRY(add_b64(&text, salt, sizeof salt));
    TRY(mg_buffer_add_byte(&text, '$'));
    TRY(add_b64(&text, tag, MG_PASSWORD_TAG));
    return mg_view_copy(mg_buffer_view(&text), hash, MG_PASSWORD_HASH_TEXT);
}

/* ---- verification ---------------------------------------------------------------------------- */

static CHECKED struct mg_status
verify_argon2id(struct mg_view password, const struct mg_password_parsed *parsed, bool *ret_match)
{
    OWN_KEY(tag, sizeof parsed->tag);
    TRY(argon2id(password, parsed->cost, mg_view_of(parsed->salt, parsed->salt_length), tag,
                 parsed->tag_length));
    *ret_match = mg_view_equal_constant_time(mg_view_of(tag, parsed->tag_length),
                                             mg_view_of(parsed->tag, parsed->tag_length));
    return OK;
}

static void
text_wipe(char **text)
{
    if (*text != NULL)
        mg_wipe(*text, strlen(*text));
    mg_text_drop(text);
}

static void
crypt_data_drop(struct crypt_data **data)
{
    if (*data != NULL)
        mg_wipe(*data, sizeof **data);
    free(*data);
    *data = NULL;
}

static CHECKED struct mg_status
verify_crypt(struct mg_view password, struct mg_view hash, bool *ret_match)
{
    char setting[MG_PASSWORD_HASH_TEXT];
    TRY(mg_view_copy(hash, setting, sizeof setting));
    MG_CLEANUP(text_wipe) char *phrase = NULL;
    TRY(mg_view_to_text(password, &phrase));
    /* crypt(5) hashes other systems made of the first 512 bytes at most are not ours to guess. */
    if (password.length >= CRYPT_MAX_PASSPHRASE_SIZE) {
        *ret_match = false;
        return OK;
    }
    MG_CLEANUP(crypt_data_drop) struct crypt_data *data = calloc(1, sizeof *data);
    if (data == NULL)
        return fail(OUT_OF_MEMORY);
    const char *computed = crypt_r(phrase, setting, data);
    if (computed == NULL || computed[0] == '*')
        return fail_with(CRYPTO, "crypt refused the hash");
    *ret_match = mg_view_equal_constant_time(mg_view_text(computed), hash);
    return OK;
}

struct mg_status
mg_password_verify(struct mg_view password, struct mg_view hash, bool *ret_match)
{
    struct mg_password_parsed parsed;
    if (password.length > MG_PASSWORD_BYTES_MOST)
        return fail_with(TOO_LARGE, "a password has at most %d bytes", MG_PASSWORD_BYTES_MOST);
    TRY(mg_password_parse(hash, &parsed));
    if (parsed.scheme == MG_PASSWORD_ARGON2ID)
        return verify_argon2id(password, &parsed, ret_match);
    return verify_crypt(password, hash, ret_match);
}
