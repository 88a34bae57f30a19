#include "ports/cbor.h"

enum { LEVELS_MOST = 8 };

/* RFC 8949 section 3: the argument of a head, in its shortest form (section 4.2.1). */
static CHECKED struct mg_status
argument_read(struct mg_view *rest, uint8_t information, uint64_t *ret_number)
{
    static const uint64_t least[] = {24, 0x100, 0x10000, UINT64_C(0x100000000)};
    uint64_t number = 0;
    if (information < 24) {
        *ret_number = information;
        return OK;
    }
    if (information > 27)
        return fail_with(MALFORMED, "CBOR: indefinite or reserved length");
    const size_t size = (size_t) 1 << (information - 24);
    if (rest->length < size)
        return fail_with(MALFORMED, "CBOR: cut short");
    for (size_t i = 0; i < size; i++)
        number = number << 8 | rest->bytes[i];
    *rest = mg_view_of(rest->bytes + size, rest->length - size);
    if (number < least[information - 24])
        return fail_with(MALFORMED, "CBOR: not the shortest form");
    *ret_number = number;
    return OK;
}

struct mg_status
mg_cbor_next(struct mg_view *rest, struct mg_cbor_item *ret_item)
{
    struct mg_view left = *rest;
    struct mg_cbor_item item = {.bytes = MG_VIEW_EMPTY};
    if (left.length == 0)
        return fail_with(MALFORMED, "CBOR: cut short");
    const uint8_t head = left.bytes[0];
    item.kind = (enum mg_cbor_kind)(head >> 5);
    left = mg_view_of(left.bytes + 1, left.length - 1);
    TRY(argument_read(&left, head & 0x1f, &item.number));
    switch (item.kind) {
    case MG_CBOR_BYTES:
    case MG_CBOR_TEXT:
        if (item.number > left.length)
            return fail_with(MALFORMED, "CBOR: cut short");
        item.bytes = mg_view_of(left.bytes, (size_t) item.number);
        left = mg_view_of(left.bytes + item.number, left.length - (size_t) item.number);
        if (item.kind == MG_CBOR_TEXT && !mg_view_is_utf8(item.bytes))
            return fail_with(MALFORMED, "CBOR: text that is not UTF-8");
        break;
    case MG_CBOR_ARRAY: /* each item and each half of a pair takes a byte at least */
        if (item.number > left.length)
            return fail_with(MALFORMED, "CBOR: cut short");
        break;
    case MG_CBOR_MAP:
        if (item.number > left.length / 2)
            return fail_with(MALFORMED, "CBOR: cut short");
        break;
    case MG_CBOR_UNSIGNED:
    case MG_CBOR_NEGATIVE:
        break;
    case MG_CBOR_SIMPLE:
        if ((head & 0x1f) >= 24 || item.number < 20 || item.number > 22)
            return fail_with(MALFORMED, "CBOR: a simple value or float");
        break;
    default:
        return fail_with(MALFORMED, "CBOR: a tag");
    }
    *rest = left;
    *ret_item = item;
    return OK;
}

struct mg_status
mg_cbor_skip(struct mg_view *rest)
{
    uint64_t open[LEVELS_MOST + 1] = {1}; /* items that are still to come, level by level */
    size_t level = 0;
    for (;;) {
        struct mg_cbor_item item;
        TRY(mg_cbor_next(rest, &item));
        open[level]--;
        if (item.kind == MG_CBOR_ARRAY || item.kind == MG_CBOR_MAP) {
            if (level == LEVELS_MOST)
                return fail_with(MALFORMED, "CBOR: too many levels");
            open[++level] = item.kind == MG_CBOR_MAP ? 2 * item.number : item.number;
        }
        while (open[level] == 0) {
            if (level == 0)
                return OK;
            level--;
        }
    }
}

struct mg_status
mg_cbor_integer(const struct mg_cbor_item *item, int64_t *ret_integer)
{
    if ((item->kind != MG_CBOR_UNSIGNED && item->kind != MG_CBOR_NEGATIVE) || item->number > INT64_MAX)
        return fail_with(MALFORMED, "CBOR: not a whole number of 63 bits");
    *ret_integer = item->kind == MG_CBOR_UNSIGNED ? (int64_t) item->number : -1 - (int64_t) item->number;
    return OK;
}
