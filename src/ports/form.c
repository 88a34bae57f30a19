#include "ports/form.h"

void
mg_form_drop(struct mg_form *form)
{
    mg_buffer_drop(&form->storage);
    form->count = 0;
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

/* Decodes one name or value to the end of `storage`; `storage` has room, so that nothing moves. */
static CHECKED struct mg_status
decode_part(struct mg_view part, struct mg_buffer *storage, struct mg_view *ret_decoded)
{
    const size_t start = storage->length;
    for (size_t i = 0; i < part.length; i++) {
        uint8_t c = part.bytes[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            const int high = i + 2 < part.length ? hex_digit(part.bytes[i + 1]) : -1;
            const int low = i + 2 < part.length ? hex_digit(part.bytes[i + 2]) : -1;
            if (high < 0 || low < 0)
                return fail_with(MALFORMED, "bad escape in a form");
            c = (uint8_t) (high * 16 + low);
            i += 2;
        } else if (c <= ' ' || c >= 0x7f) {
            return fail_with(MALFORMED, "raw byte in a form");
        }
        if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            return fail_with(MALFORMED, "control character in a form");
        TRY(mg_buffer_add_byte(storage, c));
    }
    *ret_decoded = mg_view_of(storage->bytes + start, storage->length - start);
    if (!mg_view_is_utf8(*ret_decoded))
        return fail_with(MALFORMED, "form is not UTF-8");
    return OK;
}

static bool
name_is_plain(struct mg_view name)
{
    for (size_t i = 0; i < name.length; i++) {
        const uint8_t c = name.bytes[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '-'))
            return false;
    }
    return name.length > 0 && name.length <= 32;
}

static const struct mg_form_field *
field_find(const struct mg_form *form, struct mg_view name)
{
    for (size_t i = 0; i < form->count; i++)
        if (mg_view_equal(form->fields[i].name, name))
            return &form->fields[i];
    return NULL;
}

static CHECKED struct mg_status
field_add(struct mg_form *form, struct mg_view pair)
{
    const uint8_t *equals = memchr(pair.bytes, '=', pair.length);
    if (equals == NULL)
        return fail_with(MALFORMED, "form field without a value");
    if (form->count == MG_FORM_FIELDS)
        return fail_with(TOO_LARGE, "more than %d form fields", MG_FORM_FIELDS);
    const size_t name_length = (size_t) (equals - pair.bytes);
    struct mg_form_field field;
    TRY(decode_part(mg_view_of(pair.bytes, name_length), &form->storage, &field.name));
    TRY(decode_part(mg_view_of(equals + 1, pair.length - name_length - 1), &form->storage, &field.value));
    if (!name_is_plain(field.name) || field_find(form, field.name) != NULL)
        return fail_with(MALFORMED, "form field name is not allowed or comes twice");
    form->fields[form->count++] = field;
    return OK;
}

static CHECKED struct mg_status
decode_pairs(struct mg_view encoded, struct mg_form *form)
{
    /* Decoded text is never longer, so one reservation keeps every borrowed view in place. */
    TRY(mg_buffer_reserve(&form->storage, encoded.length));
    size_t start = 0;
    while (start < encoded.length) {
        const uint8_t *ampersand = memchr(encoded.bytes + start, '&', encoded.length - start);
        const size_t end = ampersand == NULL ? encoded.length : (size_t) (ampersand - encoded.bytes);
        TRY(field_add(form, mg_view_of(encoded.bytes + start, end - start)));
        start = end + 1;
    }
    return OK;
}

struct mg_status
mg_form_decode(struct mg_view encoded, struct mg_form *form)
{
    const struct mg_status status = decode_pairs(encoded, form);
    if (!mg_ok(status))
        mg_form_drop(form);
    return status;
}

struct mg_view
mg_form_value(const struct mg_form *form, const char *name)
{
    const struct mg_form_field *field = field_find(form, mg_view_text(name));
    return field == NULL ? MG_VIEW_EMPTY : field->value;
}

bool
mg_form_has(const struct mg_form *form, const char *name)
{
    return field_find(form, mg_view_text(name)) != NULL;
}

struct mg_status
mg_form_encode(struct mg_view value, struct mg_buffer *buffer)
{
    for (size_t i = 0; i < value.length; i++) {
        const uint8_t c = value.bytes[i];
        const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                c == '-' || c == '.' || c == '_' || c == '~';
        if (unreserved)
            TRY(mg_buffer_add_byte(buffer, c));
        else
            TRY(mg_buffer_format(buffer, "%%%02X", c));
    }
    return OK;
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

/* The next piece of a list separated by `separator`; false at the end. */
static bool
piece_next(struct mg_view list, uint8_t separator, size_t *position, struct mg_view *ret_piece)
{
    if (*position >= list.length)
        return false;
    const uint8_t *start = list.bytes + *position;
    const uint8_t *end = memchr(start, separator, list.length - *position);
    const size_t length = end == NULL ? list.length - *position : (size_t) (end - start);
    *ret_piece = trim(mg_view_of(start, length));
    *position += length + 1;
    return true;
}

bool
mg_cookie_next(struct mg_view header, const char *name, size_t *position, struct mg_view *ret_value)
{
    const size_t name_length = strlen(name);
    struct mg_view pair;
    while (piece_next(header, ';', position, &pair)) {
        if (pair.length > name_length && pair.bytes[name_length] == '=' &&
            memcmp(pair.bytes, name, name_length) == 0) {
            *ret_value = mg_view_of(pair.bytes + name_length + 1, pair.length - name_length - 1);
            return true;
        }
    }
    return false;
}

/* The weight of one range in thousandths, e.g. "ja;q=0.8"; 0 when it is not well-formed. */
static int
range_weight(struct mg_view range)
{
    const uint8_t *semicolon = memchr(range.bytes, ';', range.length);
    if (semicolon == NULL)
        return 1000;
    const size_t tag_length = (size_t) (semicolon - range.bytes);
    const struct mg_view weight = trim(mg_view_of(semicolon + 1, range.length - tag_length - 1));
    if (weight.length < 3 || weight.length > 7 || memcmp(weight.bytes, "q=", 2) != 0)
        return 0;
    if (weight.bytes[2] == '1')
        return 1000;
    int thousandths = 0, unit = 100;
    for (size_t i = 4; i < weight.length && weight.bytes[2] == '0' && weight.bytes[3] == '.';
         i++, unit /= 10) {
        if (weight.bytes[i] < '0' || weight.bytes[i] > '9')
            return 0;
        thousandths += (weight.bytes[i] - '0') * unit;
    }
    return thousandths;
}

static bool
range_is(struct mg_view range, char first, char second)
{
    return range.length >= 2 && (range.bytes[0] | 0x20) == first && (range.bytes[1] | 0x20) == second &&
           (range.length == 2 || range.bytes[2] == '-' || range.bytes[2] == ';' || range.bytes[2] == ' ');
}

bool
mg_prefers_japanese(struct mg_view accept_language)
{
    int japanese = 0, english = 0;
    size_t position = 0;
    struct mg_view range;
    while (piece_next(accept_language, ',', &position, &range)) {
        const int weight = range_weight(range);
        /* Of equal weights the first listed wins: browsers list by preference. */
        if (range_is(range, 'j', 'a') && weight > english && weight > japanese)
            japanese = weight;
        else if (range_is(range, 'e', 'n') && weight >= japanese && weight > english)
            english = weight > japanese ? weight : english;
    }
    return japanese > english;
}
