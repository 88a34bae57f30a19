#include "wire/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
#define PROCESS(NAME, ...) NAME = 1 << MG_##NAME,
#define WIRE(a, b)
#include "../../catalogue/processes.def"
#undef PROCESS
#undef WIRE
    WARDEN = 1 << MG_WARDEN,
    ANY = (1 << MG_PROCESS_COUNT) - 1,
};

const struct mg_option_row mg_option_rows[] = {
#define OPTION(field, word, kind, value, low, high, who, hidden, english, japanese) \
    {.keyword = (word),                                                             \
     .type = MG_OPTION_##kind,                                                      \
     .preset = (value),                                                             \
     .least = (low),                                                                \
     .most = (high),                                                                \
     .readers = (who),                                                              \
     .secret = (hidden),                                                            \
     .en = (english),                                                               \
     .ja = (japanese),                                                              \
     .offset = offsetof(struct mg_options, field)},
#include "../../catalogue/options.def"
#undef OPTION
};
const size_t mg_option_count = MG_COUNT(mg_option_rows);

const struct mg_option_row *
mg_option_find(struct mg_view keyword)
{
    for (size_t i = 0; i < mg_option_count; i++)
        if (mg_view_is(keyword, mg_option_rows[i].keyword))
            return &mg_option_rows[i];
    return NULL;
}

static bool
is_text(const struct mg_option_row *row)
{
    return row->type == MG_OPTION_TEXT || row->type == MG_OPTION_CHOICE || row->type == MG_OPTION_LIST;
}

static void *
field_of(const void *record, const struct mg_option_row *row)
{
    return (uint8_t *) (uintptr_t) record + row->offset;
}

struct mg_status
mg_option_record_begin(void *record, const struct mg_option_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_text(&rows[i])) {
            char *empty = calloc(1, 1);
            if (empty == NULL)
                return fail(OUT_OF_MEMORY);
            *(char **) field_of(record, &rows[i]) = empty;
        }
    return OK;
}

struct mg_status
mg_option_record_preset(void *record, const struct mg_option_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        TRY(mg_option_record_set(record, &rows[i], mg_view_text(rows[i].preset)));
    return OK;
}

void
mg_option_record_wipe(void *record, const struct mg_option_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_text(&rows[i])) {
            char **text = field_of(record, &rows[i]);
            if (*text != NULL)
                explicit_bzero(*text, strlen(*text));
            free(*text);
            *text = NULL;
        }
}

struct mg_status
mg_options_new(struct mg_options **ret_options)
{
    OWN(options) options = calloc(1, sizeof *options);
    if (options == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(mg_option_record_begin(options, mg_option_rows, mg_option_count));
    *ret_options = TAKE(options);
    return OK;
}

void
mg_options_drop(struct mg_options **options)
{
    if (*options == NULL)
        return;
    mg_option_record_wipe(*options, mg_option_rows, mg_option_count);
    free(*options);
    *options = NULL;
}

bool
mg_option_word(const char **cursor, struct mg_view *ret_word)
{
    const char *at = *cursor + strspn(*cursor, " ,\t");
    const size_t length = strcspn(at, " ,\t");
    *cursor = at + length;
    *ret_word = mg_view_of(at, length);
    return length != 0;
}

struct mg_status
mg_option_words(const char *list, struct mg_buffer *words)
{
    struct mg_view word;
    while (mg_option_word(&list, &word)) {
        if (words->length != 0)
            TRY(mg_buffer_add_text(words, " "));
        TRY(mg_buffer_add(words, word));
    }
    return OK;
}

static bool
is_choice(const char *choices, struct mg_view value)
{
    for (const char *at = choices; *at != '\0';) {
        const size_t length = strcspn(at, "|");
        if (mg_view_equal(mg_view_of(at, length), value))
            return true;
        at += length + (at[length] == '|' ? 1 : 0);
    }
    return false;
}

/* A number or duration as int64_t. */
static CHECKED struct mg_status
number_read(const struct mg_option_row *row, struct mg_view value, int64_t *ret_number)
{
    if (row->type == MG_OPTION_DURATION)
        return mg_duration_parse(value, ret_number);
    uint64_t number;
    if (!mg_ok(mg_parse_u64(value, INT64_MAX, &number)))
        return fail_with(INVALID, "OPTION_WHOLE|%s|%s|%s", row->keyword, row->least, row->most);
    *ret_number = (int64_t) number;
    return OK;
}

static CHECKED struct mg_status
number_set(void *record, const struct mg_option_row *row, struct mg_view value)
{
    int64_t number, least, most;
    const struct mg_status read = number_read(row, value, &number);
    if (!mg_ok(read))
        return fail_with(INVALID, "OPTION_%s|%s|%.*s|%s|%s",
                         row->type == MG_OPTION_DURATION ? "DURATION" : "NUMBER", row->keyword,
                         (int) mg_view_start(value, 64).length, (const char *) value.bytes, row->least,
                         row->most);
    TRY(number_read(row, mg_view_text(row->least), &least));
    TRY(number_read(row, mg_view_text(row->most), &most));
    if (number < least || number > most)
        return fail_with(INVALID, "OPTION_RANGE|%s|%.*s|%s|%s", row->keyword, (int) value.length,
                         (const char *) value.bytes, row->least, row->most);
    *(int64_t *) field_of(record, row) = number;
    return OK;
}

struct mg_status
mg_option_record_set(void *record, const struct mg_option_row *row, struct mg_view value)
{
    if (value.length > 8191 || !mg_view_is_utf8(value))
        return fail_with(INVALID, "OPTION_LONG|%s", row->keyword);
    for (size_t i = 0; i < value.length; i++)
        if (value.bytes[i] < 0x20 || value.bytes[i] == 0x7F)
            return fail_with(INVALID, "OPTION_CONTROL|%s", row->keyword);
    if (row->type == MG_OPTION_DURATION || row->type == MG_OPTION_NUMBER)
        return number_set(record, row, value);
    if (row->type == MG_OPTION_FLAG) {
        if (!mg_view_is(value, "yes") && !mg_view_is(value, "no"))
            return fail_with(INVALID, "OPTION_YES_NO|%s", row->keyword);
        *(bool *) field_of(record, row) = mg_view_is(value, "yes");
        return OK;
    }
    if (row->type == MG_OPTION_CHOICE && !is_choice(row->most, value))
        return fail_with(INVALID, "OPTION_CHOICE|%s|%.*s|%s", row->keyword,
                         (int) mg_view_start(value, 64).length, (const char *) value.bytes, row->most);
    char *text = NULL;
    TRY(mg_view_to_text(value, &text));
    char **field = field_of(record, row);
    free(*field);
    *field = text;
    return OK;
}

struct mg_status
mg_option_set(struct mg_options *options, const struct mg_option_row *row, struct mg_view value)
{
    return mg_option_record_set(options, row, value);
}

struct mg_status
mg_options_preset(struct mg_options *options)
{
    return mg_option_record_preset(options, mg_option_rows, mg_option_count);
}

struct mg_status
mg_option_record_text(const void *record, const struct mg_option_row *row, struct mg_buffer *text)
{
    const void *field = field_of(record, row);
    char duration[MG_DURATION_TEXT];
    switch (row->type) {
    case MG_OPTION_DURATION:
        mg_duration_text(*(const int64_t *) field, duration);
        return mg_buffer_add_text(text, duration);
    case MG_OPTION_NUMBER:
        return mg_buffer_format(text, "%" PRId64, *(const int64_t *) field);
    case MG_OPTION_FLAG:
        return mg_buffer_add_text(text, *(const bool *) field ? "yes" : "no");
    default:
        return mg_buffer_add_text(text, *(const char *const *) field);
    }
}

struct mg_status
mg_option_text(const struct mg_options *options, const struct mg_option_row *row, struct mg_buffer *text)
{
    return mg_option_record_text(options, row, text);
}
