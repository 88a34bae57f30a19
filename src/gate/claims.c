#include "gate/claims.h"

#define PAYLOAD_MOST 8192

struct scanner {
    const uint8_t *at, *end;
};

static bool
next_is(struct scanner *scanner, char c)
{
    if (scanner->at == scanner->end || *scanner->at != (uint8_t) c)
        return false;
    scanner->at++;
    return true;
}

static CHECKED struct mg_status
byte_put(char *text, size_t size, size_t *length, uint8_t byte)
{
    if (*length + 1 >= size)
        return fail_with(TOO_LARGE, "a claim does not fit a header");
    text[(*length)++] = (char) byte;
    text[*length] = '\0';
    return OK;
}

/* A string from behind its first quote to behind its last, appended to `text`; size 0 skips it. No claim
 * of ours has an escape but \" and \\: the others stand for control characters, which no header may have. */
static CHECKED struct mg_status
string_read(struct scanner *scanner, char *text, size_t size, size_t *length)
{
    while (scanner->at < scanner->end) {
        uint8_t c = *scanner->at++;
        if (c == '"')
            return OK;
        const bool escaped = c == '\\';
        if (escaped) {
            if (scanner->at == scanner->end)
                break;
            c = *scanner->at++;
        }
        if (size == 0)
            continue;
        if (c < 0x20 || c == 0x7F || (escaped && c != '"' && c != '\\'))
            return fail_with(MALFORMED, "a claim has a control character");
        TRY(byte_put(text, size, length, c));
    }
    return fail_with(MALFORMED, "a claim has no end");
}

/* ["a","b"] from behind the bracket, joined by commas. */
static CHECKED struct mg_status
list_read(struct scanner *scanner, char *text, size_t size)
{
    size_t length = 0;
    if (next_is(scanner, ']'))
        return OK;
    do {
        if (!next_is(scanner, '"'))
            return fail_with(MALFORMED, "a claim's list has something else than strings");
        if (size != 0 && length != 0)
            TRY(byte_put(text, size, &length, ','));
        TRY(string_read(scanner, text, size, &length));
    } while (next_is(scanner, ','));
    return next_is(scanner, ']') ? OK : fail_with(MALFORMED, "a claim's list has no end");
}

static CHECKED struct mg_status
value_read(struct scanner *scanner, char *text, size_t size, bool list)
{
    size_t length = 0;
    const bool is_list = scanner->at < scanner->end && *scanner->at == '[';
    if (size != 0 && is_list != list)
        return fail_with(MALFORMED, "a claim of another type");
    if (next_is(scanner, '['))
        return list_read(scanner, text, size);
    if (next_is(scanner, '"'))
        return string_read(scanner, text, size, &length);
    const uint8_t *start = scanner->at;
    while (scanner->at < scanner->end && *scanner->at >= '0' && *scanner->at <= '9')
        scanner->at++;
    return size == 0 && scanner->at != start ? OK : fail_with(MALFORMED, "a claim of another type");
}

static CHECKED struct mg_status
members_read(struct scanner *scanner, struct mg_claims *claims)
{
    struct {
        const char *name;
        char *text;
        size_t size;
        bool list, seen;
    } wanted[] = {
        {"sub", claims->subject, sizeof claims->subject, false, false},
        {"email", claims->email, sizeof claims->email, false, false},
        {"roles", claims->groups, sizeof claims->groups, true, false},
    };
    do {
        char name[32] = "";
        char *text = NULL;
        size_t length = 0, size = 0;
        bool list = false;
        if (!next_is(scanner, '"'))
            return fail_with(MALFORMED, "a claim without a name");
        TRY(string_read(scanner, name, sizeof name, &length));
        if (!next_is(scanner, ':'))
            return fail_with(MALFORMED, "a claim without a value");
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if (strcmp(name, wanted[i].name) == 0) {
                if (wanted[i].seen)
                    return fail_with(MALFORMED, "the claim %s twice", name);
                wanted[i].seen = true;
                text = wanted[i].text;
                size = wanted[i].size;
                list = wanted[i].list;
            }
        TRY(value_read(scanner, text, size, list));
    } while (next_is(scanner, ','));
    if (!next_is(scanner, '}') || scanner->at != scanner->end)
        return fail_with(MALFORMED, "the claims have no end");
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (!wanted[i].seen)
            return fail_with(MALFORMED, "no claim %s", wanted[i].name);
    return OK;
}

struct mg_status
mg_claims_read(struct mg_view token, struct mg_claims *ret_claims)
{
    OWN_BUFFER(payload, PAYLOAD_MOST);
    const uint8_t *end = token.bytes + token.length;
    const uint8_t *first = token.length == 0 ? NULL : memchr(token.bytes, '.', token.length);
    const uint8_t *last = first == NULL ? NULL : memchr(first + 1, '.', (size_t) (end - first - 1));
    *ret_claims = (struct mg_claims){0};
    if (last == NULL)
        return fail_with(MALFORMED, "not a token");
    TRY(mg_base64url_decode(mg_view_of(first + 1, (size_t) (last - first - 1)), &payload));
    if (!mg_view_is_utf8(mg_buffer_view(&payload)))
        return fail_with(MALFORMED, "claims are UTF-8");
    struct scanner scanner = {.at = payload.bytes, .end = payload.bytes + payload.length};
    if (!next_is(&scanner, '{'))
        return fail_with(MALFORMED, "claims are an object");
    return members_read(&scanner, ret_claims);
}
