#include "gate/cookies.h"

static bool
equal_any_case(struct mg_view a, const char *text)
{
    return strlen(text) == a.length && strncasecmp((const char *) a.bytes, text, a.length) == 0;
}

bool
mg_cookie_is_reserved(struct mg_view name)
{
    const size_t length = sizeof MG_SESSION_COOKIE - 1;
    return name.length >= length && name.bytes[0] == '_' &&
           strncasecmp((const char *) name.bytes, MG_SESSION_COOKIE, length) == 0;
}

static struct mg_view
trim(struct mg_view text)
{
    while (text.length > 0 && (text.bytes[0] == ' ' || text.bytes[0] == '\t'))
        text = mg_view_of(text.bytes + 1, text.length - 1);
    while (text.length > 0 && (text.bytes[text.length - 1] == ' ' || text.bytes[text.length - 1] == '\t'))
        text.length--;
    return text;
}

/* Takes the part up to the next ';' off `rest`; false at the end. */
static bool
next_part(struct mg_view *rest, struct mg_view *ret_part)
{
    if (rest->bytes == NULL || rest->length == 0)
        return false;
    const uint8_t *end = memchr(rest->bytes, ';', rest->length);
    const size_t length = end == NULL ? rest->length : (size_t) (end - rest->bytes);
    *ret_part = mg_view_of(rest->bytes, length);
    const size_t taken = end == NULL ? length : length + 1;
    *rest = mg_view_of(rest->bytes + taken, rest->length - taken);
    return true;
}

static void
split(struct mg_view part, struct mg_view *ret_name, struct mg_view *ret_value)
{
    const uint8_t *equals = part.length == 0 ? NULL : memchr(part.bytes, '=', part.length);
    const size_t length = equals == NULL ? part.length : (size_t) (equals - part.bytes);
    *ret_name = trim(mg_view_of(part.bytes, length));
    *ret_value = equals == NULL ? mg_view_of(part.bytes + length, 0)
                                : trim(mg_view_of(equals + 1, part.length - length - 1));
}

/* Sixteen digits at a time, as a processor without extensions can. */
typedef uint8_t digits __attribute__((vector_size(16)));
typedef uint64_t words __attribute__((vector_size(16)));
#define DIGIT_WORDS 6

/* What base64url (RFC 4648 section 5) digits stand for; 0xFF for every other byte. Comparisons instead of a
 * table: neither time nor cache tell anything about the token. */
static digits
values_of(digits text)
{
    const digits upper = text - 'A', lower = text - 'a', decimal = text - '0';
    const digits is_upper = (digits) (upper < 26), is_lower = (digits) (lower < 26),
                 is_decimal = (digits) (decimal < 10);
    const digits is_minus = (digits) (text == '-'), is_underscore = (digits) (text == '_');
    return (is_upper & upper) | (is_lower & (lower + 26)) | (is_decimal & (decimal + 52)) | (is_minus & 62) |
           (is_underscore & 63) | ~(is_upper | is_lower | is_decimal | is_minus | is_underscore);
}

/* Eight values of six bits, the first in the lowest byte, become six bytes in the same order. */
static uint64_t
join_digits(uint64_t word)
{
    word = __builtin_bswap64(word);
    word = (word & 0x3F003F003F003F00ULL) >> 2 | (word & 0x003F003F003F003FULL);
    word = (word & 0x0FFF00000FFF0000ULL) >> 4 | (word & 0x00000FFF00000FFFULL);
    word = (word & 0x00FFFFFF00000000ULL) >> 8 | (word & 0x0000000000FFFFFFULL);
    return __builtin_bswap64(word << 16);
}

/* Exactly the 43 digits of 32 bytes, without stray bits. Own decoder: base/bytes.h's allocates. */
static bool
decode_token(struct mg_view text, uint8_t token[MG_TOKEN])
{
    if (text.length != MG_TOKEN_TEXT)
        return false;
    /* Digits 0 to 39 as five words; the last three are the end of a word that overlaps the fifth. */
    MG_FILLED union {
        digits lanes[DIGIT_WORDS / 2];
        uint64_t words[DIGIT_WORDS];
    } room;
    memcpy(&room.lanes[0], text.bytes, 16);
    memcpy(&room.lanes[1], text.bytes + 16, 16);
    uint64_t late[2];
    memcpy(&late[0], text.bytes + 32, 8);
    memcpy(&late[1], text.bytes + MG_TOKEN_TEXT - 8, 8);
    room.lanes[2] = (digits) (words){late[0], late[1]};
    uint64_t wrong = 0;
    for (size_t i = 0; i < MG_COUNT(room.lanes); i++)
        room.lanes[i] = values_of(room.lanes[i]);
    for (size_t i = 0; i < DIGIT_WORDS; i++)
        wrong |= room.words[i] & 0xC0C0C0C0C0C0C0C0ULL;
    for (size_t i = 0; i < DIGIT_WORDS - 1; i++) {
        const uint64_t six = join_digits(room.words[i]);
        memcpy(token + 6 * i, &six, i < DIGIT_WORDS - 2 ? sizeof six : 6);
    }
    const uint64_t rest = join_digits(room.words[DIGIT_WORDS - 1] >> 40);
    memcpy(token + 30, &rest, 2);
    return wrong == 0 && (rest >> 16 & 0xC0) == 0; /* no stray bits of the last digit */
}

/* One part "name=value" that begins like a reserved name. */
static void
collect_reserved(struct mg_view part, struct mg_tokens *tokens)
{
    static const char as_set[] = MG_SESSION_COOKIE "=";
    static const size_t length = sizeof as_set - 1;
    /* Exactly as it was set: its own case, no space around the '='. */
    if (part.length > length && memcmp(part.bytes, as_set, length) == 0) {
        tokens->reserved = true;
        if (tokens->count < MG_TOKENS_MOST &&
            decode_token(trim(mg_view_of(part.bytes + length, part.length - length)),
                         tokens->bytes[tokens->count]))
            tokens->count++;
    } else if (mg_cookie_is_reserved(part))
        tokens->reserved = true;
    else
        tokens->other = true;
}

void
mg_tokens_collect(struct mg_view header, struct mg_tokens *tokens)
{
    const uint8_t *at = header.bytes, *const end = header.bytes + header.length;
    while (at < end) {
        const uint8_t *semicolon = memchr(at, ';', (size_t) (end - at));
        const uint8_t *const stop = semicolon == NULL ? end : semicolon;
        while (at < stop && (*at == ' ' || *at == '\t'))
            at++;
        /* Reserved names begin with two underscores; most cookies need no further look. */
        if (stop - at >= 2 && at[0] == '_' && at[1] == '_')
            collect_reserved(mg_view_of(at, (size_t) (stop - at)), tokens);
        else if (at < stop)
            tokens->other = true;
        at = stop + 1;
    }
}

static size_t
append(uint8_t *room, size_t used, const void *bytes, size_t length)
{
    memcpy(room + used, bytes, length);
    return used + length;
}

/* Never longer than what came in: the separators stay as they were. */
size_t
mg_cookies_without_reserved(struct mg_view header, uint8_t *room)
{
    size_t used = 0;
    const uint8_t *start = header.bytes, *const end = header.bytes + header.length;
    while (start < end) {
        const uint8_t *semicolon = memchr(start, ';', (size_t) (end - start));
        const uint8_t *const stop = semicolon == NULL ? end : semicolon;
        const uint8_t *at = start;
        while (at < stop && (*at == ' ' || *at == '\t'))
            at++;
        if (at < stop && !mg_cookie_is_reserved(mg_view_of(at, (size_t) (stop - at)))) {
            if (used > 0) {
                room[used++] = ';';
                at = start;
            }
            used = append(room, used, at, (size_t) (stop - at));
        }
        start = stop + 1;
    }
    return used;
}

static bool
is_listed(struct mg_view list, struct mg_view name)
{
    for (size_t at = 0; at < list.length;) {
        size_t end = at;
        while (end < list.length && list.bytes[end] != ' ')
            end++;
        if (mg_view_equal(mg_view_of(list.bytes + at, end - at), name))
            return true;
        at = end + 1;
    }
    return false;
}

bool
mg_set_cookie_harden(struct mg_view header, struct mg_view script_cookies, uint8_t *room, size_t *ret_length)
{
    struct mg_view part, cookie, value, name;
    if (!next_part(&header, &part))
        return false;
    split(part, &cookie, &value);
    /* Browsers before RFC 6265bis send a cookie without a name back as its value alone: "=a=b" as "a=b". */
    if (mg_cookie_is_reserved(cookie) || (cookie.length == 0 && mg_cookie_is_reserved(value)))
        return false;
    size_t used = append(room, 0, part.bytes, part.length);
    bool secure = false, http_only = false, same_site = false, path = false;
    while (next_part(&header, &part)) {
        split(part, &name, &value);
        if (equal_any_case(name, "Domain"))
            continue;
        secure = secure || equal_any_case(name, "Secure");
        http_only = http_only || equal_any_case(name, "HttpOnly");
        same_site = same_site || equal_any_case(name, "SameSite");
        path = path || (equal_any_case(name, "Path") && value.length > 0 && value.bytes[0] == '/');
        used = append(room, used, ";", 1);
        used = append(room, used, part.bytes, part.length);
    }
    if (!path)
        used = append(room, used, "; Path=/", 8);
    if (!secure)
        used = append(room, used, "; Secure", 8);
    if (!http_only && !is_listed(script_cookies, cookie))
        used = append(room, used, "; HttpOnly", 10);
    if (!same_site)
        used = append(room, used, "; SameSite=Lax", 14);
    *ret_length = used;
    return true;
}
