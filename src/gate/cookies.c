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

/* Digits of base64url (RFC 4648 section 5) + 1; 0 for every other byte. */
static const uint8_t digit_plus_one[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

/* Exactly the 43 digits of 32 bytes, without stray bits. Own decoder: base/bytes.h's allocates. */
static bool
decode_token(struct mg_view text, uint8_t token[MG_TOKEN])
{
    if (text.length != MG_TOKEN_TEXT)
        return false;
    /* Ten groups of four digits and one of three; a zero anywhere is found at the end. */
    uint32_t wrong = 0;
    for (size_t i = 0, used = 0; used < MG_TOKEN; i += 4, used += 3) {
        const uint32_t a = digit_plus_one[text.bytes[i]], b = digit_plus_one[text.bytes[i + 1]];
        const uint32_t c = digit_plus_one[text.bytes[i + 2]];
        const uint32_t d = i + 3 < MG_TOKEN_TEXT ? digit_plus_one[text.bytes[i + 3]] : 1;
        wrong |= (a - 1) | (b - 1) | (c - 1) | (d - 1);
        const uint32_t group = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
        token[used] = (uint8_t) (group >> 16);
        token[used + 1] = (uint8_t) (group >> 8);
        if (used + 2 < MG_TOKEN)
            token[used + 2] = (uint8_t) group;
        else
            wrong |= (group & 0xFF) << 24; /* stray bits of the last digit */
    }
    return wrong < 64;
}

/* One part "name=value" that begins like a reserved name. */
static void
collect_reserved(struct mg_view part, struct mg_tokens *tokens)
{
    static const size_t length = sizeof MG_SESSION_COOKIE - 1;
    if (!mg_cookie_is_reserved(part)) {
        tokens->other = true;
        return;
    }
    tokens->reserved = true;
    /* Exactly as it was set: its own case, no space around the '='. */
    if (tokens->count < MG_TOKENS_MOST && part.length > length && part.bytes[length] == '=' &&
        memcmp(part.bytes, MG_SESSION_COOKIE, length) == 0 &&
        decode_token(trim(mg_view_of(part.bytes + length + 1, part.length - length - 1)),
                     tokens->bytes[tokens->count]))
        tokens->count++;
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
