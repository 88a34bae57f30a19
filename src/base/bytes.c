#include "base/bytes.h"

#include "base/secret.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool
mg_view_equal_constant_time(struct mg_view a, struct mg_view b)
{
    if (a.length != b.length)
        return false;
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < a.length; i++)
        difference |= (uint8_t) (a.bytes[i] ^ b.bytes[i]);
    return difference == 0;
}

/* Length of the well-formed sequence at the start (RFC 3629 section 4), 0 if there is none. */
static size_t
utf8_sequence(const uint8_t *b, size_t left)
{
    if (b[0] < 0x80)
        return b[0] != 0 ? 1 : 0;
    size_t length;
    uint8_t low = 0x80, high = 0xBF; /* bounds of the second byte */
    if (b[0] >= 0xC2 && b[0] <= 0xDF)
        length = 2;
    else if (b[0] >= 0xE0 && b[0] <= 0xEF) {
        length = 3;
        if (b[0] == 0xE0)
            low = 0xA0;
        if (b[0] == 0xED)
            high = 0x9F;
    } else if (b[0] >= 0xF0 && b[0] <= 0xF4) {
        length = 4;
        if (b[0] == 0xF0)
            low = 0x90;
        if (b[0] == 0xF4)
            high = 0x8F;
    } else
        return 0;
    if (left < length || b[1] < low || b[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((b[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

/* Length of the run of plain ASCII at the start, NUL excluded, in steps of eight bytes: most text is
 * nothing else, and every field of every message is looked at. */
static size_t
ascii_run(const uint8_t *bytes, size_t length)
{
    const uint64_t high = 0x8080808080808080, low = 0x0101010101010101;
    size_t at = 0;
    for (uint64_t word; at + sizeof word <= length; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        if (((word | (word - low)) & high) != 0) /* a high bit, or perhaps a NUL */
            break;
    }
    return at;
}

bool
mg_view_is_utf8(struct mg_view view)
{
    for (size_t at = ascii_run(view.bytes, view.length); at < view.length;) {
        const size_t length = utf8_sequence(view.bytes + at, view.length - at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

struct mg_view
mg_view_start(struct mg_view text, size_t most)
{
    if (text.length <= most)
        return text;
    while (most > 0 && (text.bytes[most] & 0xC0) == 0x80)
        most--;
    return mg_view_of(text.bytes, most);
}

struct mg_status
mg_view_to_text(struct mg_view view, char **ret_text)
{
    if (view.length != 0 && memchr(view.bytes, 0, view.length) != NULL)
        return fail(MALFORMED);
    char *text = malloc(view.length + 1);
    if (text == NULL)
        return fail(OUT_OF_MEMORY);
    if (view.length != 0)
        memcpy(text, view.bytes, view.length);
    text[view.length] = '\0';
    *ret_text = text;
    return OK;
}

struct mg_status
mg_view_copy(struct mg_view view, char *array, size_t size)
{
    if (view.length >= size)
        return fail_with(TOO_LARGE, "%zu bytes, at most %zu", view.length, size - 1);
    if (view.length != 0 && memchr(view.bytes, 0, view.length) != NULL)
        return fail(MALFORMED);
    if (view.length != 0)
        memcpy(array, view.bytes, view.length);
    array[view.length] = '\0';
    return OK;
}

void
mg_buffer_drop(struct mg_buffer *buffer)
{
    if (buffer->bytes != NULL)
        mg_wipe(buffer->bytes, buffer->capacity);
    free(buffer->bytes);
    *buffer = MG_BUFFER(buffer->maximum);
}

void
mg_buffer_clear(struct mg_buffer *buffer)
{
    buffer->length = 0;
    if (buffer->bytes != NULL)
        buffer->bytes[0] = '\0';
}

struct mg_status
mg_buffer_reserve(struct mg_buffer *buffer, size_t more)
{
    if (more > buffer->maximum || buffer->length > buffer->maximum - more)
        return fail_with(TOO_LARGE, "more than %zu bytes", buffer->maximum);
    const size_t need = buffer->length + more + 1;
    if (need <= buffer->capacity)
        return OK;
    size_t capacity = buffer->capacity < 64 ? 64 : buffer->capacity * 2;
    if (capacity < need)
        capacity = need;
    if (capacity > buffer->maximum + 1)
        capacity = buffer->maximum + 1;
    /* Not realloc: the old bytes may be secret and must be wiped. */
    uint8_t *bytes = malloc(capacity);
    if (bytes == NULL)
        return fail(OUT_OF_MEMORY);
    if (buffer->bytes != NULL) {
        memcpy(bytes, buffer->bytes, buffer->length);
        mg_wipe(buffer->bytes, buffer->capacity);
        free(buffer->bytes);
    }
    bytes[buffer->length] = '\0';
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return OK;
}

struct mg_status
mg_buffer_add(struct mg_buffer *buffer, struct mg_view view)
{
    TRY(mg_buffer_reserve(buffer, view.length));
    if (view.length != 0)
        memcpy(buffer->bytes + buffer->length, view.bytes, view.length);
    buffer->length += view.length;
    buffer->bytes[buffer->length] = '\0';
    return OK;
}

struct mg_status
mg_buffer_add_text(struct mg_buffer *buffer, const char *text)
{
    return mg_buffer_add(buffer, mg_view_text(text));
}

struct mg_status
mg_buffer_add_byte(struct mg_buffer *buffer, uint8_t byte)
{
    return mg_buffer_add(buffer, mg_view_of(&byte, 1));
}

struct mg_status
mg_buffer_add_encoded(struct mg_buffer *buffer, struct mg_view value)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < value.length; i++) {
        const uint8_t c = value.bytes[i];
        const uint8_t encoded[3] = {'%', (uint8_t) digits[c >> 4], (uint8_t) digits[c & 15]};
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '-' || c == '.' || c == '_' || c == '~';
        TRY(mg_buffer_add(buffer, plain ? mg_view_of(&c, 1) : mg_view_of(encoded, sizeof encoded)));
    }
    return OK;
}

struct mg_status
mg_buffer_format(struct mg_buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    struct mg_status status = OK;
    if (length < 0)
        status = fail(SYSTEM);
    else
        status = mg_buffer_reserve(buffer, (size_t) length);
    if (mg_ok(status)) {
        (void) vsnprintf((char *) buffer->bytes + buffer->length, (size_t) length + 1, format, again);
        buffer->length += (size_t) length;
    }
    va_end(again);
    return status;
}

void
mg_hex(struct mg_view view, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < view.length; i++) {
        text[2 * i] = digits[view.bytes[i] >> 4];
        text[2 * i + 1] = digits[view.bytes[i] & 15];
    }
    text[2 * view.length] = '\0';
}

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

struct mg_status
mg_unhex(struct mg_view text, uint8_t *bytes, size_t length)
{
    if (text.length != 2 * length)
        return fail_with(MALFORMED, "%zu hexadecimal digits, expected %zu", text.length, 2 * length);
    for (size_t i = 0; i < text.length; i++)
        if (hex_digit(text.bytes[i]) < 0)
            return fail_with(MALFORMED, "not a hexadecimal digit at %zu", i);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t) (hex_digit(text.bytes[2 * i]) * 16 + hex_digit(text.bytes[2 * i + 1]));
    return OK;
}

static const char alphabet_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char alphabet_standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static struct mg_status
base64_encode(struct mg_view view, const char *alphabet, bool padding, struct mg_buffer *buffer)
{
    TRY(mg_buffer_reserve(buffer, (view.length + 2) / 3 * 4));
    for (size_t at = 0; at < view.length; at += 3) {
        const size_t left = view.length - at;
        const uint32_t group = (uint32_t) view.bytes[at] << 16 |
                               (left > 1 ? (uint32_t) view.bytes[at + 1] << 8 : 0) |
                               (left > 2 ? view.bytes[at + 2] : 0);
        const size_t digits = left > 2 ? 4 : left + 1;
        for (size_t i = 0; i < 4; i++) {
            if (i < digits)
                buffer->bytes[buffer->length++] = (uint8_t) alphabet[group >> (18 - 6 * i) & 63];
            else if (padding)
                buffer->bytes[buffer->length++] = '=';
        }
    }
    buffer->bytes[buffer->length] = '\0';
    return OK;
}

static struct mg_status
base64_decode(struct mg_view text, const char *alphabet, bool padding, struct mg_buffer *buffer)
{
    size_t length = text.length;
    if (padding) {
        if (length % 4 != 0)
            return fail_with(MALFORMED, "base64 length");
        for (int i = 0; i < 2 && length != 0 && text.bytes[length - 1] == '='; i++)
            length--;
    }
    if (length % 4 == 1)
        return fail_with(MALFORMED, "base64 length");
    OWN_BUFFER(decoded, length / 4 * 3 + 3);
    TRY(mg_buffer_reserve(&decoded, length / 4 * 3 + 3));
    uint32_t group = 0;
    unsigned bits = 0;
    for (size_t at = 0; at < length; at++) {
        const uint8_t c = text.bytes[at];
        const char *digit = c != 0 ? strchr(alphabet, c) : NULL;
        if (digit == NULL)
            return fail_with(MALFORMED, "base64 digit at %zu", at);
        group = group << 6 | (uint32_t) (digit - alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            TRY(mg_buffer_add_byte(&decoded, (uint8_t) (group >> bits)));
        }
    }
    if ((group & ((1U << bits) - 1)) != 0)
        return fail_with(MALFORMED, "base64 with stray bits");
    return mg_buffer_add(buffer, mg_buffer_view(&decoded));
}

struct mg_status
mg_base64url(struct mg_view view, struct mg_buffer *buffer)
{
    return base64_encode(view, alphabet_url, false, buffer);
}

struct mg_status
mg_base64(struct mg_view view, struct mg_buffer *buffer)
{
    return base64_encode(view, alphabet_standard, true, buffer);
}

struct mg_status
mg_base64url_decode(struct mg_view text, struct mg_buffer *buffer)
{
    return base64_decode(text, alphabet_url, false, buffer);
}

struct mg_status
mg_base64_decode(struct mg_view text, struct mg_buffer *buffer)
{
    return base64_decode(text, alphabet_standard, true, buffer);
}

struct mg_status
mg_parse_u64(struct mg_view text, uint64_t most, uint64_t *ret_number)
{
    if (text.length == 0 || text.length > 20 || (text.bytes[0] == '0' && text.length > 1))
        return fail_with(MALFORMED, "not a number");
    uint64_t number = 0;
    for (size_t i = 0; i < text.length; i++) {
        const uint8_t c = text.bytes[i];
        if (c < '0' || c > '9')
            return fail_with(MALFORMED, "not a number");
        if (__builtin_mul_overflow(number, (uint64_t) 10, &number) ||
            __builtin_add_overflow(number, (uint64_t) (c - '0'), &number))
            return fail_with(TOO_LARGE, "number too large");
    }
    if (number > most)
        return fail_with(TOO_LARGE, "number larger than %llu", (unsigned long long) most);
    *ret_number = number;
    return OK;
}

/* Length of the run that stands in a JSON string as it is. */
static size_t
json_plain_run(const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    while (at < length && bytes[at] >= 0x20 && bytes[at] < 0x7F && bytes[at] != '"' && bytes[at] != '\\')
        at++;
    return at;
}

struct mg_status
mg_buffer_add_json_string(struct mg_buffer *buffer, struct mg_view text)
{
    TRY(mg_buffer_add_byte(buffer, '"'));
    for (size_t at = 0; at < text.length;) {
        const uint8_t c = text.bytes[at];
        const size_t plain = json_plain_run(text.bytes + at, text.length - at);
        if (plain != 0) {
            TRY(mg_buffer_add(buffer, mg_view_of(text.bytes + at, plain)));
            at += plain;
            continue;
        }
        if (c == '"' || c == '\\') {
            TRY(mg_buffer_add_byte(buffer, '\\'));
            TRY(mg_buffer_add_byte(buffer, c));
            at++;
        } else if (c < 0x20 || c == 0x7F) {
            TRY(mg_buffer_format(buffer, "\\u%04x", c));
            at++;
        } else {
            const size_t length = utf8_sequence(text.bytes + at, text.length - at);
            if (length == 0) {
                TRY(mg_buffer_add_text(buffer, "\xEF\xBF\xBD"));
                at++;
            } else {
                TRY(mg_buffer_add(buffer, mg_view_of(text.bytes + at, length)));
                at += length;
            }
        }
    }
    return mg_buffer_add_byte(buffer, '"');
}
