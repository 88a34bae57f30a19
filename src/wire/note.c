#include "wire/note.h"

#include <openssl/evp.h>
#include <stdio.h>

#define DASH "\xE2\x80\x94 " /* U+2014 and a space */
#define SIGNATURE 64

/* ---- key names and ids ---- */

/* White_Space of Unicode outside ASCII, as UTF-8. */
static bool
is_wide_space(const uint8_t *bytes, size_t left)
{
    static const char *const spaces[] = {
        "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\xA8",
        "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80",
    };
    if (left >= 3 && bytes[0] == 0xE2 && bytes[1] == 0x80 && bytes[2] >= 0x80 && bytes[2] <= 0x8A)
        return true;
    for (size_t i = 0; i < MG_COUNT(spaces); i++) {
        const size_t length = strlen(spaces[i]);
        if (left >= length && memcmp(bytes, spaces[i], length) == 0)
            return true;
    }
    return false;
}

static bool
name_allowed(struct mg_view name)
{
    if (name.length == 0 || name.length >= MG_KEY_NAME || !mg_view_is_utf8(name))
        return false;
    for (size_t i = 0; i < name.length; i++)
        if (name.bytes[i] <= ' ' || name.bytes[i] == '+' || is_wide_space(name.bytes + i, name.length - i))
            return false;
    return true;
}

/* SHA-256(name || 0x0A || type || public key)[:4], big-endian. */
static CHECKED struct mg_status
key_id(struct mg_view name, enum mg_note_key_type type, const uint8_t public_key[32], uint32_t *ret_id)
{
    OWN_BUFFER(input, MG_KEY_NAME + 40);
    TRY(mg_buffer_add(&input, name));
    TRY(mg_buffer_add_byte(&input, '\n'));
    TRY(mg_buffer_add_byte(&input, (uint8_t) type));
    TRY(mg_buffer_add(&input, mg_view_of(public_key, 32)));
    uint8_t digest[32];
    if (EVP_Digest(input.bytes, input.length, digest, NULL, EVP_sha256(), NULL) != 1)
        return fail(CRYPTO);
    *ret_id = (uint32_t) digest[0] << 24 | (uint32_t) digest[1] << 16 | (uint32_t) digest[2] << 8 | digest[3];
    return OK;
}

struct mg_status
mg_vkey_make(struct mg_view name, enum mg_note_key_type type, const uint8_t public_key[32],
             struct mg_vkey *ret_key)
{
    if (!name_allowed(name))
        return fail_with(INVALID, "key name");
    if (type != MG_NOTE_ED25519 && type != MG_NOTE_COSIGNATURE)
        return fail_with(INVALID, "key type %u", (unsigned) type);
    struct mg_vkey key = {.type = type};
    TRY(mg_view_copy(name, key.name, sizeof key.name));
    TRY(key_id(name, type, public_key, &key.id));
    memcpy(key.public_key, public_key, sizeof key.public_key);
    *ret_key = key;
    return OK;
}

struct mg_status
mg_vkey_parse(struct mg_view text, struct mg_vkey *ret_key)
{
    if (text.length != 0 && text.bytes[text.length - 1] == '\n')
        text.length--;
    const uint8_t *plus = text.length == 0 ? NULL : memchr(text.bytes, '+', text.length);
    const size_t name_length = plus == NULL ? 0 : (size_t) (plus - text.bytes);
    if (plus == NULL || text.length - name_length < 11 || plus[9] != '+')
        return fail_with(MALFORMED, "not a verifier key (name+id+key)");
    uint8_t id[4];
    TRY(mg_unhex(mg_view_of(plus + 1, 8), id, sizeof id));
    OWN_BUFFER(key, 33);
    TRY(mg_base64_decode(mg_view_of(plus + 10, text.length - name_length - 10), &key));
    if (key.length != 33)
        return fail_with(MALFORMED, "verifier key of %zu bytes", key.length);
    struct mg_vkey made;
    TRY(mg_vkey_make(mg_view_of(text.bytes, name_length), (enum mg_note_key_type) key.bytes[0], key.bytes + 1,
                     &made));
    char expected[9];
    (void) snprintf(expected, sizeof expected, "%08x", made.id);
    if (!mg_view_is(mg_view_of(plus + 1, 8), expected))
        return fail_with(MALFORMED, "verifier key whose id is not its own");
    *ret_key = made;
    return OK;
}

struct mg_status
mg_vkey_add(struct mg_buffer *text, const struct mg_vkey *key)
{
    uint8_t material[33] = {(uint8_t) key->type};
    memcpy(material + 1, key->public_key, sizeof key->public_key);
    TRY(mg_buffer_format(text, "%s+%08x+", key->name, key->id));
    return mg_base64(mg_view_of(material, sizeof material), text);
}

/* ---- parsing ---- */

static CHECKED struct mg_status
signature_parse(struct mg_view line, struct mg_note_signature *ret_signature)
{
    const size_t dash = strlen(DASH);
    if (line.length <= dash || memcmp(line.bytes, DASH, dash) != 0)
        return fail_with(MALFORMED, "signature line without dash");
    line = mg_view_of(line.bytes + dash, line.length - dash);
    const uint8_t *space = memchr(line.bytes, ' ', line.length);
    if (space == NULL)
        return fail_with(MALFORMED, "signature line without name");
    struct mg_note_signature signature = {.name = mg_view_of(line.bytes, (size_t) (space - line.bytes))};
    if (!name_allowed(signature.name))
        return fail_with(MALFORMED, "signature line with a bad name");
    OWN_BUFFER(decoded, MG_NOTE_MOST);
    TRY(mg_base64_decode(mg_view_of(space + 1, line.length - signature.name.length - 1), &decoded));
    if (decoded.length < 5)
        return fail_with(MALFORMED, "signature of %zu bytes", decoded.length);
    const uint8_t *id = decoded.bytes;
    signature.id = (uint32_t) id[0] << 24 | (uint32_t) id[1] << 16 | (uint32_t) id[2] << 8 | id[3];
    signature.length = decoded.length - 4;
    memcpy(signature.bytes, decoded.bytes + 4,
           signature.length < sizeof signature.bytes ? signature.length : sizeof signature.bytes);
    *ret_signature = signature;
    return OK;
}

/* Where the signatures begin: behind the last empty line; 0 if there is none. */
static size_t
signatures_at(struct mg_view bytes)
{
    for (size_t at = bytes.length; at >= 3; at--)
        if (bytes.bytes[at - 1] == '\n' && bytes.bytes[at - 2] == '\n')
            return at;
    return 0;
}

struct mg_status
mg_note_parse(struct mg_view bytes, struct mg_note *ret_note)
{
    if (bytes.length > MG_NOTE_MOST)
        return fail_with(TOO_LARGE, "note of %zu bytes", bytes.length);
    if (!mg_view_is_utf8(bytes))
        return fail_with(MALFORMED, "note is not UTF-8");
    for (size_t i = 0; i < bytes.length; i++)
        if (bytes.bytes[i] < 0x20 && bytes.bytes[i] != '\n')
            return fail_with(MALFORMED, "note with a control character");
    const size_t begin = signatures_at(bytes);
    if (begin == 0 || begin == bytes.length || bytes.bytes[bytes.length - 1] != '\n')
        return fail_with(MALFORMED, "note without signatures");
    struct mg_note note = {.text = mg_view_of(bytes.bytes, begin - 1)};
    for (size_t at = begin; at < bytes.length;) {
        const uint8_t *end = memchr(bytes.bytes + at, '\n', bytes.length - at);
        if (end == NULL || note.count == MG_NOTE_SIGNATURES)
            return fail_with(MALFORMED, "note with too many signatures");
        const size_t length = (size_t) (end - (bytes.bytes + at));
        TRY(signature_parse(mg_view_of(bytes.bytes + at, length), &note.signatures[note.count++]));
        at += length + 1;
    }
    *ret_note = note;
    return OK;
}

/* ---- signatures ---- */

/* What is signed: the text itself, or for a cosignature the text behind two lines of its own. */
static CHECKED struct mg_status
message_make(struct mg_view text, enum mg_note_key_type type, uint64_t time_s, struct mg_buffer *message)
{
    if (type == MG_NOTE_COSIGNATURE)
        TRY(mg_buffer_format(message, "cosignature/v1\ntime %llu\n", (unsigned long long) time_s));
    return mg_buffer_add(message, text);
}

static bool
ed25519_verify(const uint8_t public_key[32], struct mg_view message, const uint8_t *signature)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool valid = key != NULL && context != NULL &&
                       EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                       EVP_DigestVerify(context, signature, SIGNATURE, message.bytes, message.length) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return valid;
}

static bool
signature_valid(const struct mg_note_signature *signature, struct mg_view text, const struct mg_vkey *key,
                uint64_t *time_s)
{
    const size_t stamp = key->type == MG_NOTE_COSIGNATURE ? 8 : 0;
    if (signature->length != stamp + SIGNATURE)
        return false;
    *time_s = 0;
    for (size_t i = 0; i < stamp; i++)
        *time_s = *time_s << 8 | signature->bytes[i];
    OWN_BUFFER(message, MG_NOTE_MOST + 64);
    if (*time_s > INT64_MAX || !mg_ok(message_make(text, key->type, *time_s, &message)))
        return false;
    return ed25519_verify(key->public_key, mg_buffer_view(&message), signature->bytes + stamp);
}

enum mg_note_verdict
mg_note_verify(const struct mg_note *note, const struct mg_vkey *key, uint64_t *ret_time_s)
{
    enum mg_note_verdict verdict = MG_NOTE_UNSIGNED;
    for (size_t i = 0; i < note->count; i++) {
        const struct mg_note_signature *signature = &note->signatures[i];
        uint64_t time_s = 0;
        if (signature->id != key->id || !mg_view_is(signature->name, key->name))
            continue;
        if (!signature_valid(signature, note->text, key, &time_s))
            return MG_NOTE_WRONG;
        verdict = MG_NOTE_VALID;
        if (ret_time_s != NULL)
            *ret_time_s = time_s;
    }
    return verdict;
}

struct mg_signer {
    EVP_PKEY *key;
};

struct mg_status
mg_signer_new(struct mg_view seed, struct mg_signer **ret_signer)
{
    if (seed.length != 32)
        return fail_with(INVALID, "an Ed25519 seed has 32 bytes");
    OWN(signer) signer = calloc(1, sizeof *signer);
    if (signer == NULL)
        return fail(OUT_OF_MEMORY);
    signer->key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed.bytes, seed.length);
    if (signer->key == NULL)
        return fail(CRYPTO);
    *ret_signer = TAKE(signer);
    return OK;
}

void
mg_signer_drop(struct mg_signer **signer)
{
    if (*signer != NULL)
        EVP_PKEY_free((*signer)->key);
    free(*signer);
    *signer = NULL;
}

void
mg_signer_public_key(const struct mg_signer *signer, uint8_t ret_public_key[32])
{
    size_t length = 32;
    mg_must(EVP_PKEY_get_raw_public_key(signer->key, ret_public_key, &length) == 1 && length == 32);
}

struct mg_status
mg_note_sign(struct mg_view text, const struct mg_vkey *key, const struct mg_signer *signer, uint64_t time_s,
             struct mg_buffer *lines)
{
    OWN_BUFFER(message, MG_NOTE_MOST + 64);
    TRY(message_make(text, key->type, time_s, &message));
    uint8_t bytes[4 + 8 + SIGNATURE];
    size_t used = 0;
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes[used++] = (uint8_t) (key->id >> shift);
    for (int shift = 56; key->type == MG_NOTE_COSIGNATURE && shift >= 0; shift -= 8)
        bytes[used++] = (uint8_t) (time_s >> shift);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t length = SIGNATURE;
    const bool made = context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, signer->key) == 1 &&
                      EVP_DigestSign(context, bytes + used, &length, message.bytes, message.length) == 1 &&
                      length == SIGNATURE;
    EVP_MD_CTX_free(context);
    if (!made)
        return fail(CRYPTO);
    TRY(mg_buffer_format(lines, DASH "%s ", key->name));
    TRY(mg_base64(mg_view_of(bytes, used + SIGNATURE), lines));
    return mg_buffer_add_byte(lines, '\n');
}
