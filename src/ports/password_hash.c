#include "ports/password_hash.h"

#include "base/secret.h"

#include <argon2.h>
#include <crypt.h>
#include <stdio.h>
#include <sys/mman.h>

enum { SALT_LENGTH = 16, TAG_LENGTH = 32, SALT_LEAST = 8, TAG_LEAST = 16 };

/* bcrypt at 2^14 takes about a second, yescrypt jCT 128 MiB, sha512crypt 10^6 rounds a second. */
enum { BCRYPT_COST_LEAST = 4, BCRYPT_COST_MOST = 14, SHA512_ROUNDS_MOST = 1000000 };

const char *
mg_password_scheme_name(enum mg_password_scheme scheme)
{
    switch (scheme) {
    case MG_PASSWORD_ARGON2ID:
        return "argon2id";
    case MG_PASSWORD_BCRYPT:
        return "bcrypt";
    case MG_PASSWORD_YESCRYPT:
        return "yescrypt";
    case MG_PASSWORD_SHA512CRYPT:
        return "sha512crypt";
    case MG_PASSWORD_SCHEME_NONE:
        break;
    }
    return "none";
}

/* ---- parsing: each step takes what it names from the front of `rest`, or refuses ------------- */

static bool
take_text(struct mg_view *rest, const char *text)
{
    const size_t length = strlen(text);
    if (rest->length < length || memcmp(rest->bytes, text, length) != 0)
        return false;
    *rest = mg_view_of(rest->bytes + length, rest->length - length);
    return true;
}

/* The bytes up to `end` (which is taken too), or up to the end of the text for '\0'. */
static bool
take_until(struct mg_view *rest, char end, struct mg_view *ret_part)
{
    size_t length = 0;
    while (length < rest->length && rest->bytes[length] != (uint8_t) end)
        length++;
    if (end != '\0' && length == rest->length)
        return false;
    *ret_part = mg_view_of(rest->bytes, length);
    const size_t taken = length + (end != '\0' ? 1 : 0);
    *rest = mg_view_of(rest->bytes + taken, rest->length - taken);
    return true;
}

static bool
take_number(struct mg_view *rest, char end, uint32_t least, uint32_t most, uint32_t *ret_number)
{
    struct mg_view part;
    uint64_t number = 0;
    if (!take_until(rest, end, &part) || !mg_ok(mg_parse_u64(part, most, &number)) || number < least)
        return false;
    *ret_number = (uint32_t) number;
    return true;
}

/* The standard alphabet without padding, which the PHC format calls B64. */
static bool
take_b64(struct mg_view *rest, char end, size_t least, uint8_t *bytes, size_t most, size_t *ret_length)
{
    struct mg_view part;
    if (!take_until(rest, end, &part) || part.length > (most + 2) / 3 * 4)
        return false;
    OWN_BUFFER(padded, 128);
    OWN_BUFFER(decoded, 128);
    if (memchr(part.bytes, '=', part.length) != NULL || !mg_ok(mg_buffer_add(&padded, part)))
        return false;
    while (padded.length % 4 != 0)
        if (!mg_ok(mg_buffer_add_byte(&padded, '=')))
            return false;
    if (!mg_ok(mg_base64_decode(mg_buffer_view(&padded), &decoded)) || decoded.length < least ||
        decoded.length > most)
        return false;
    memcpy(bytes, decoded.bytes, decoded.length);
    *ret_length = decoded.length;
    return true;
}

static bool
parse_argon2id(struct mg_view rest, struct mg_password_parsed *parsed)
{
    struct mg_password_cost *cost = &parsed->cost;
    return take_text(&rest, "v=19$m=") &&
           take_number(&rest, ',', 8, MG_PASSWORD_MEMORY_KIB_MOST, &cost->memory_kib) &&
           take_text(&rest, "t=") &&
           take_number(&rest, ',', 1, MG_PASSWORD_PASSES_MOST, &cost->passes) &&
           take_text(&rest, "p=") &&
           take_number(&rest, '$', 1, MG_PASSWORD_LANES_MOST, &cost->lanes) &&
           mg_ok(mg_password_cost_check(*cost)) &&
           take_b64(&rest, '$', SALT_LEAST, parsed->salt, sizeof parsed->salt, &parsed->salt_length) &&
           take_b64(&rest, '\0', TAG_LEAST, parsed->tag, sizeof parsed->tag, &parsed->tag_length) &&
           rest.length == 0;
}

/* The alphabet of crypt(5). */
static bool
is_crypt_base64(struct mg_view text)
{
    for (size_t i = 0; i < text.length; i++) {
        const uint8_t c = text.bytes[i];
        if (!(c == '.' || c == '/' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
              (c >= 'a' && c <= 'z')))
            return false;
    }
    return true;
}

/* After "$2a$", "$2b$" or "$2y$": two digits of cost, 22 of salt and 31 of hash. */
static bool
parse_bcrypt(struct mg_view rest)
{
    if (rest.length != 56 || rest.bytes[0] < '0' || rest.bytes[0] > '9' || rest.bytes[1] < '0' ||
        rest.bytes[1] > '9' || rest.bytes[2] != '$')
        return false;
    const int cost = (rest.bytes[0] - '0') * 10 + (rest.bytes[1] - '0');
    return cost >= BCRYPT_COST_LEAST && cost <= BCRYPT_COST_MOST &&
           is_crypt_base64(mg_view_of(rest.bytes + 3, 53));
}

/* After "$y$": the flavours crypt_gensalt() writes for counts 1 to 8, a salt, 43 digits. */
static bool
parse_yescrypt(struct mg_view rest)
{
    static const char *const flavours[] = {"j75$", "j85$", "j7T$", "j8T$", "j9T$", "jAT$", "jBT$", "jCT$"};
    bool known = false;
    for (size_t i = 0; i < MG_COUNT(flavours) && !known; i++)
        known = take_text(&rest, flavours[i]);
    struct mg_view salt;
    return known && take_until(&rest, '$', &salt) && salt.length >= 1 && salt.length <= 86 &&
           is_crypt_base64(salt) && rest.length == 43 && is_crypt_base64(rest);
}

/* After "$6$": optionally rounds, a salt of at most 16, 86 digits. */
static bool
parse_sha512crypt(struct mg_view rest)
{
    uint32_t rounds = 5000;
    if (take_text(&rest, "rounds=") && !take_number(&rest, '$', 1000, SHA512_ROUNDS_MOST, &rounds))
        return false;
    struct mg_view salt;
    return take_until(&rest, '$', &salt) && salt.length >= 1 && salt.length <= 16 &&
           is_crypt_base64(salt) && rest.length == 86 && is_crypt_base64(rest);
}

struct mg_status
mg_password_parse(struct mg_view hash, struct mg_password_parsed *ret_parsed)
{
    struct mg_password_parsed parsed = {0};
    struct mg_view rest = hash;
    bool good = false;
    if (hash.length >= MG_PASSWORD_HASH_TEXT)
        return fail_with(INVALID, "a password hash has at most %d characters", MG_PASSWORD_HASH_TEXT - 1);
    if (take_text(&rest, "$argon2id$")) {
        parsed.scheme = MG_PASSWORD_ARGON2ID;
        good = parse_argon2id(rest, &parsed);
    } else if (take_text(&rest, "$2b$") || take_text(&rest, "$2a$") || take_text(&rest, "$2y$")) {
        parsed.scheme = MG_PASSWORD_BCRYPT;
        good = parse_bcrypt(rest);
    } else if (take_text(&rest, "$y$")) {
        parsed.scheme = MG_PASSWORD_YESCRYPT;
        good = parse_yescrypt(rest);
    } else if (take_text(&rest, "$6$")) {
        parsed.scheme = MG_PASSWORD_SHA512CRYPT;
        good = parse_sha512crypt(rest);
    } else
        return fail_with(INVALID, "a password hash is argon2id, bcrypt, yescrypt or sha512crypt");
    if (!good)
        return fail_with(INVALID, "the %s hash is malformed or its cost is out of bounds",
                         mg_password_scheme_name(parsed.scheme));
    *ret_parsed = parsed;
    return OK;
}

struct mg_status
mg_password_cost_check(struct mg_password_cost cost)
{
    if (cost.lanes < 1 || cost.lanes > MG_PASSWORD_LANES_MOST)
        return fail_with(INVALID, "argon2 lanes: 1 to %u", MG_PASSWORD_LANES_MOST);
    if (cost.passes < 1 || cost.passes > MG_PASSWORD_PASSES_MOST)
        return fail_with(INVALID, "argon2 passes: 1 to %u", MG_PASSWORD_PASSES_MOST);
    if (cost.memory_kib < 8 * cost.lanes || cost.memory_kib > MG_PASSWORD_MEMORY_KIB_MOST)
        return fail_with(INVALID, "argon2 memory: %u to %u KiB", 8 * cost.lanes, MG_PASSWORD_MEMORY_KIB_MOST);
    return OK;
}

/* ---- argon2 on memory that the thread keeps -------------------------------------------------- */

static _Thread_local struct {
    uint8_t *bytes;
    size_t length;
} arena;

void
mg_password_memory_release(void)
{
    if (arena.bytes != NULL)
        (void) munmap(arena.bytes, arena.length);
    arena.bytes = NULL;
    arena.length = 0;
}

/* libargon2's allocator. It asks once a hash; a smaller earlier arena is replaced. */
static int
arena_take(uint8_t **ret_memory, size_t length)
{
    if (arena.length < length) {
        mg_password_memory_release();
        void *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED)
            return ARGON2_MEMORY_ALLOCATION_ERROR;
        if (madvise(map, length, MADV_DONTDUMP) != 0) {
            (void) munmap(map, length);
            return ARGON2_MEMORY_ALLOCATION_ERROR;
        }
        (void) madvise(map, length, MADV_HUGEPAGE); /* only speed */
        arena.bytes = map;
        arena.length = length;
    }
    *ret_memory = arena.bytes;
    return ARGON2_OK;
}

/* libargon2 has wiped the memory before it gives it back (FLAG_clear_internal_memory). */
static void
arena_give_back(uint8_t *memory, size_t length)
{
    (void) memory;
    (void) length;
}

static CHECKED struct mg_status
argon2id(struct mg_view password, struct mg_password_cost cost, struct mg_view salt, uint8_t *tag,
         size_t tag_length)
{
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
        .allocate_cbk = arena_take,
        .free_cbk = arena_give_back,
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
    OWN_KEY(tag, TAG_LENGTH);
    uint8_t salt[SALT_LENGTH];
    mg_random(salt, sizeof salt);
    TRY(argon2id(password, cost, mg_view_of(salt, sizeof salt), tag, TAG_LENGTH));
    OWN_BUFFER(text, MG_PASSWORD_HASH_TEXT - 1);
    TRY(mg_buffer_format(&text, "$argon2id$v=19$m=%u,t=%u,p=%u$", cost.memory_kib, cost.passes, cost.lanes));
    TRY(add_b64(&text, salt, sizeof salt));
    TRY(mg_buffer_add_byte(&text, '$'));
    TRY(add_b64(&text, tag, TAG_LENGTH));
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

bool
mg_password_needs_rehash(struct mg_view hash, struct mg_password_cost cost)
{
    struct mg_password_parsed parsed;
    if (!mg_ok(mg_password_parse(hash, &parsed)) || parsed.scheme != MG_PASSWORD_ARGON2ID)
        return true;
    return parsed.cost.memory_kib != cost.memory_kib || parsed.cost.passes != cost.passes ||
           parsed.cost.lanes != cost.lanes || parsed.salt_length != SALT_LENGTH ||
           parsed.tag_length != TAG_LENGTH;
}
