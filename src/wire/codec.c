#include "wire/codec.h"

struct mg_status
mg_put_u64(struct mg_buffer *buffer, uint64_t value)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t) (value >> (8 * i));
    return mg_buffer_add(buffer, mg_view_of(bytes, sizeof bytes));
}

struct mg_status
mg_put_flag(struct mg_buffer *buffer, bool value)
{
    return mg_buffer_add_byte(buffer, value ? 1 : 0);
}

struct mg_status
mg_put_bytes(struct mg_buffer *buffer, struct mg_view value, size_t most)
{
    if (value.length > most)
        return fail_with(TOO_LARGE, "field of %zu bytes, at most %zu", value.length, most);
    uint8_t length[4];
    for (unsigned i = 0; i < 4; i++)
        length[i] = (uint8_t) (value.length >> (8 * i));
    TRY(mg_buffer_add(buffer, mg_view_of(length, sizeof length)));
    return mg_buffer_add(buffer, value);
}

struct mg_status
mg_put_text(struct mg_buffer *buffer, struct mg_view value, size_t most)
{
    if (!mg_view_is_utf8(value))
        return fail_with(MALFORMED, "text is not UTF-8");
    return mg_put_bytes(buffer, value, most);
}

struct mg_status
mg_get_u64(struct mg_reader *reader, uint64_t *ret_value)
{
    if (reader->end - reader->at < 8)
        return fail_with(MALFORMED, "packet too short");
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t) reader->at[i] << (8 * i);
    reader->at += 8;
    *ret_value = value;
    return OK;
}

struct mg_status
mg_get_flag(struct mg_reader *reader, bool *ret_value)
{
    if (reader->end == reader->at)
        return fail_with(MALFORMED, "packet too short");
    if (*reader->at > 1)
        return fail_with(MALFORMED, "flag is neither 0 nor 1");
    *ret_value = *reader->at++ == 1;
    return OK;
}

struct mg_status
mg_get_bytes(struct mg_reader *reader, struct mg_view *ret_value, size_t most)
{
    if (reader->end - reader->at < 4)
        return fail_with(MALFORMED, "packet too short");
    size_t length = 0;
    for (unsigned i = 0; i < 4; i++)
        length |= (size_t) reader->at[i] << (8 * i);
    if (length > most)
        return fail_with(MALFORMED, "field of %zu bytes, at most %zu", length, most);
    if ((size_t) (reader->end - reader->at) - 4 < length)
        return fail_with(MALFORMED, "packet too short");
    *ret_value = mg_view_of(reader->at + 4, length);
    reader->at += 4 + length;
    return OK;
}

struct mg_status
mg_get_text(struct mg_reader *reader, struct mg_view *ret_value, size_t most)
{
    struct mg_view value;
    TRY(mg_get_bytes(reader, &value, most));
    if (!mg_view_is_utf8(value))
        return fail_with(MALFORMED, "text is not UTF-8");
    *ret_value = value;
    return OK;
}

struct mg_status
mg_get_end(const struct mg_reader *reader)
{
    if (reader->at != reader->end)
        return fail_with(MALFORMED, "packet too long");
    return OK;
}
