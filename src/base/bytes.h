/* Bytes: a view borrows, a buffer owns and has a hard maximum. */
#ifndef MG_BASE_BYTES_H
#define MG_BASE_BYTES_H

#include "base/own.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes, not NUL-terminated; valid as long as their owner. */
struct mg_view {
    const uint8_t *bytes;
    size_t length;
};

#define MG_VIEW_EMPTY ((struct mg_view){.bytes = (const uint8_t *) "", .length = 0})

static inline struct mg_view
mg_view_of(const void *bytes, size_t length)
{
    return (struct mg_view){.bytes = bytes, .length = length};
}

/* NULL gives the empty view. */
static inline struct mg_view
mg_view_text(const char *text)
{
    return text == NULL ? MG_VIEW_EMPTY : mg_view_of(text, strlen(text));
}

static inline bool
mg_view_equal(struct mg_view a, struct mg_view b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}

static inline bool
mg_view_is(struct mg_view view, const char *text)
{
    return mg_view_equal(view, mg_view_text(text));
}

/* Takes time that depends on the lengths only. */
bool mg_view_equal_constant_time(struct mg_view a, struct mg_view b);

/* True if the bytes are well-formed UTF-8 (RFC 3629) without NUL. */
bool mg_view_is_utf8(struct mg_view view);

/* The start of a UTF-8 text, at most so many bytes and no half character. */
struct mg_view mg_view_start(struct mg_view text, size_t most);

/* A copy as malloc'ed, NUL-terminated text; MALFORMED if it holds a NUL. */
CHECKED struct mg_status mg_view_to_text(struct mg_view view, char **ret_text);

/* Copies into an array with a NUL; TOO_LARGE if it does not fit. */
CHECKED struct mg_status mg_view_copy(struct mg_view view, char *array, size_t size);

/* Growing bytes with a hard maximum; always followed by a NUL that does not count. */
struct mg_buffer {
    uint8_t *bytes;
    size_t length, capacity, maximum;
};

#define MG_BUFFER(most) ((struct mg_buffer){.maximum = (most)})
/* OWN_BUFFER(name, maximum): an empty buffer freed at scope end. */
#define OWN_BUFFER(name, most) MG_CLEANUP(mg_buffer_drop) struct mg_buffer name = MG_BUFFER(most)

/* Wipes and frees; the maximum stays, so that it can be used again. */
void mg_buffer_drop(struct mg_buffer *buffer);
void mg_buffer_clear(struct mg_buffer *buffer);
CHECKED struct mg_status mg_buffer_reserve(struct mg_buffer *buffer, size_t more);
CHECKED struct mg_status mg_buffer_add(struct mg_buffer *buffer, struct mg_view view);
CHECKED struct mg_status mg_buffer_add_text(struct mg_buffer *buffer, const char *text);
CHECKED struct mg_status mg_buffer_add_byte(struct mg_buffer *buffer, uint8_t byte);
CHECKED struct mg_status mg_buffer_format(struct mg_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline struct mg_view
mg_buffer_view(const struct mg_buffer *buffer)
{
    return buffer->bytes == NULL ? MG_VIEW_EMPTY : mg_view_of(buffer->bytes, buffer->length);
}

/* NUL-terminated, never NULL. */
static inline const char *
mg_buffer_text(const struct mg_buffer *buffer)
{
    return buffer->bytes == NULL ? "" : (const char *) buffer->bytes;
}

/* Percent-encoded but for RFC 3986's unreserved characters: right in a query and in a form alike. */
CHECKED struct mg_status mg_buffer_add_encoded(struct mg_buffer *buffer, struct mg_view value);

/* Lower-case hexadecimal; `text` has room for 2 * length + 1. */
void mg_hex(struct mg_view view, char *text);
/* MALFORMED unless exactly 2 * length hexadecimal digits. */
CHECKED struct mg_status mg_unhex(struct mg_view text, uint8_t *bytes, size_t length);

/* RFC 4648 section 5 without padding (url) and section 4 with padding (standard). */
CHECKED struct mg_status mg_base64url(struct mg_view view, struct mg_buffer *buffer);
CHECKED struct mg_status mg_base64(struct mg_view view, struct mg_buffer *buffer);
/* Strict: no white space, no stray bits, no wrong padding. */
CHECKED struct mg_status mg_base64url_decode(struct mg_view text, struct mg_buffer *buffer);
CHECKED struct mg_status mg_base64_decode(struct mg_view text, struct mg_buffer *buffer);

/* A decimal number without sign, space or leading zeros, at most `most`. */
CHECKED struct mg_status mg_parse_u64(struct mg_view text, uint64_t most, uint64_t *ret_number);

/* Appends text as a JSON string body with its quotes; invalid UTF-8 becomes U+FFFD. */
CHECKED struct mg_status mg_buffer_add_json_string(struct mg_buffer *buffer, struct mg_view text);

#endif
