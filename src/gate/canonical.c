#include "gate/canonical.h"

/* What a byte of a raw path asks for. */
enum byte_class {
    PLAIN,   /* as it is */
    SLASH,   /* a second one, or a dot behind it, needs a look */
    PERCENT, /* an encoding */
    EIGHT,   /* not ASCII: to be encoded */
    REFUSED, /* control characters, space, backslash, '#' */
};

static const uint8_t classes[256] = {
    [0 ... 0x20] = REFUSED, [0x7F] = REFUSED, ['\\'] = REFUSED,        ['#'] = REFUSED,
    ['/'] = SLASH,          ['%'] = PERCENT,  [0x80 ... 0xFF] = EIGHT,
};

static enum byte_class
class_of(uint8_t c)
{
    return (enum byte_class) classes[c];
}

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 section 2.3 */
static bool
is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* True if the segment at `at` is "." or "..", also when parameters follow ("..;a=b"). */
static bool
is_dot_segment(struct mg_view path, size_t at)
{
    size_t dots = 0;
    while (at + dots < path.length && path.bytes[at + dots] == '.')
        dots++;
    if (dots == 0 || dots > 2)
        return false;
    const size_t end = at + dots;
    return end == path.length || path.bytes[end] == '/' || path.bytes[end] == ';';
}

/* Most paths: nothing to decode, join or refuse. */
bool
mg_path_is_canonical(struct mg_view raw)
{
    if (raw.length == 0 || raw.bytes[0] != '/')
        return false;
    uint8_t before = 'a';
    for (const uint8_t *at = raw.bytes, *const end = raw.bytes + raw.length; at < end; at++) {
        if (classes[*at] > SLASH || (before == '/' && (*at == '/' || *at == '.')))
            return false;
        before = *at;
    }
    return true;
}

static size_t
put_encoded(uint8_t *room, size_t used, uint8_t byte)
{
    static const char digits[] = "0123456789ABCDEF";
    room[used] = '%';
    room[used + 1] = (uint8_t) digits[byte >> 4];
    room[used + 2] = (uint8_t) digits[byte & 15];
    return used + 3;
}

/* The byte that %XX at `at` stands for; false if the encoding is broken or hides a delimiter. */
static bool
decode_at(struct mg_view raw, size_t at, uint8_t *ret_byte)
{
    if (at + 2 >= raw.length)
        return false;
    const int high = hex_digit(raw.bytes[at + 1]), low = hex_digit(raw.bytes[at + 2]);
    if (high < 0 || low < 0)
        return false;
    const uint8_t byte = (uint8_t) (high * 16 + low);
    if (byte == '/' || byte == '\\' || byte < 0x20 || byte == 0x7F)
        return false;
    *ret_byte = byte;
    return true;
}

/* Decodes what may be decoded, encodes what must be. */
static bool
rewrite(struct mg_view raw, uint8_t *room, size_t *ret_used)
{
    size_t used = 0;
    for (size_t i = 0; i < raw.length; i++) {
        const uint8_t c = raw.bytes[i];
        switch (class_of(c)) {
        case REFUSED:
            return false;
        case SLASH:
            if (used == 0 || room[used - 1] != '/')
                room[used++] = c;
            break;
        case EIGHT:
            used = put_encoded(room, used, c);
            break;
        case PERCENT: {
            uint8_t byte;
            if (!decode_at(raw, i, &byte))
                return false;
            if (is_unreserved(byte))
                room[used++] = byte;
            else
                used = put_encoded(room, used, byte);
            i += 2;
            break;
        }
        case PLAIN:
            room[used++] = c;
        }
    }
    *ret_used = used;
    return true;
}

/* UTF-8 (RFC 3629) of what the encodings stand for. Decodes into a small window: a sequence is at
 * most four bytes, so each lead byte is judged with what follows it. */
static bool
decodes_to_utf8(struct mg_view path)
{
    for (size_t i = 0; i < path.length; i++) {
        if (path.bytes[i] != '%')
            continue;
        uint8_t sequence[4];
        size_t length = 0;
        while (length < 4 && i + 2 < path.length && path.bytes[i] == '%') {
            const int byte = hex_digit(path.bytes[i + 1]) * 16 + hex_digit(path.bytes[i + 2]);
            if (length > 0 && (byte & 0xC0) != 0x80)
                break;
            sequence[length++] = (uint8_t) byte;
            i += 3;
            if (sequence[0] < 0xC0)
                break;
        }
        if (!mg_view_is_utf8(mg_view_of(sequence, length)))
            return false;
        i--; /* the loop adds one */
    }
    return true;
}

/* An encoded '%' before two digits would be an encoding again for whoever decodes twice. Looked for
 * in the result, since the digits may have been encoded themselves. */
static bool
hides_encoding(struct mg_view path)
{
    for (size_t i = 0; i + 4 < path.length; i++)
        if (memcmp(path.bytes + i, "%25", 3) == 0 && hex_digit(path.bytes[i + 3]) >= 0 &&
            hex_digit(path.bytes[i + 4]) >= 0)
            return true;
    return false;
}

static bool
has_dot_segment(struct mg_view path)
{
    for (size_t i = 0; i < path.length; i++)
        if (path.bytes[i] == '/' && is_dot_segment(path, i + 1))
            return true;
    return false;
}

bool
mg_canonical_path(struct mg_view raw, uint8_t *room, struct mg_view *ret_path)
{
    if (mg_path_is_canonical(raw)) {
        *ret_path = raw;
        return true;
    }
    if (raw.length == 0 || raw.bytes[0] != '/')
        return false;
    size_t used;
    if (!rewrite(raw, room, &used))
        return false;
    const struct mg_view path = mg_view_of(room, used);
    if (has_dot_segment(path) || hides_encoding(path) || !decodes_to_utf8(path))
        return false;
    *ret_path = path;
    return true;
}

/* The length of the host without ":port"; SIZE_MAX if what follows the colon is no port. */
static size_t
without_port(struct mg_view raw)
{
    size_t end = raw.length;
    while (end > 0 && raw.bytes[end - 1] >= '0' && raw.bytes[end - 1] <= '9')
        end--;
    if (end > 0 && raw.bytes[end - 1] == ':' &&
        (raw.bytes[0] != '[' || (end > 1 && raw.bytes[end - 2] == ']')))
        return raw.length - end > 5 ? SIZE_MAX : end - 1;
    return raw.length;
}

bool
mg_canonical_host(struct mg_view raw, uint8_t *room, struct mg_view *ret_host)
{
    size_t length = raw.length == 0 ? SIZE_MAX : without_port(raw);
    if (length == SIZE_MAX)
        return false;
    if (length > 0 && raw.bytes[length - 1] == '.')
        length--;
    if (length == 0 || length > 253)
        return false;
    const bool literal = raw.bytes[0] == '[';
    for (size_t i = 0; i < length; i++) {
        const uint8_t c = raw.bytes[i];
        const uint8_t low = c >= 'A' && c <= 'Z' ? (uint8_t) (c | 0x20) : c;
        const bool name = (low >= 'a' && low <= 'z') || (low >= '0' && low <= '9') || low == '-' ||
                          low == '.' || low == '_';
        if (!name && !(literal && (low == ':' || low == '[' || low == ']')))
            return false;
        room[i] = low;
    }
    *ret_host = mg_view_of(room, length);
    return true;
}
