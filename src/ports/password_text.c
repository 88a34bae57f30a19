/* The text form of password hashes: parsed strictly, without any hashing library. */
#include "ports/password_hash.h"

enum { SALT_LEAST = 8, TAG_LEAST = 16 };

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
           take_text(&rest, "t=") && take_number(&rest, ',', 1, MG_PASSWORD_PASSES_MOST, &cost->passes) &&
           take_text(&rest, "p=") && take_number(&rest, '$', 1, MG_PASSWORD_LANES_MOST, &cost->lanes) &&
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
    return take_until(&rest, '$', &salt) && salt.length >= 1 && salt.length <= 16 && is_crypt_base64(salt) &&
           rest.length == 86 && is_crypt_base64(rest);
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

bool
mg_password_needs_rehash(struct mg_view hash, struct mg_password_cost cost)
{
    struct mg_password_parsed parsed;
    if (!mg_ok(mg_password_parse(hash, &parsed)) || parsed.scheme != MG_PASSWORD_ARGON2ID)
        return true;
    return parsed.cost.memory_kib != cost.memory_kib || parsed.cost.passes != cost.passes ||
           parsed.cost.lanes != cost.lanes || parsed.salt_length != MG_PASSWORD_SALT ||
           parsed.tag_length != MG_PASSWORD_TAG;
}
