#include "ports/sign_in_history.h"

#include "wire/network.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIELD_MOST = 1024, COLUMNS_MOST = 32 };

const struct mg_history_column mg_history_columns[] = {
    {"time", true, "when, RFC 3339 (2026-11-22T09:00:00+09:00); rows are in this order",
     "日時。RFC 3339 (2026-11-22T09:00:00+09:00)。この順に並べる"},
    {"login", true, "sign-in name", "サインイン名"},
    {"address", true, "IP address it came from", "接続元の IP アドレス"},
    {"result", false, "success (the password was right; this is judged) or failure; empty: success",
     "success (パスワードが正しい。判定の対象) または failure。空なら success"},
    {"device", false, "any name for the device, the same each time; empty: not known",
     "端末を示す名前 (同じ端末は同じ名前)。空なら不明"},
    {"country", false, "two letters (ISO 3166-1); empty: looked up in adaptive.location_files",
     "国・地域の 2 文字 (ISO 3166-1)。空なら adaptive.location_files で調べる"},
    {"asn", false, "autonomous system number; empty: looked up", "AS 番号。空なら調べる"},
    {"latitude", false, "degrees north; empty: looked up", "北緯 (度)。空なら調べる"},
    {"longitude", false, "degrees east; empty: looked up", "東経 (度)。空なら調べる"},
    {"breached", false, "yes or no: the password was on a list of breached ones; empty: not known",
     "yes または no。漏えいした一覧に載っているパスワードか。空なら不明"},
    {NULL, false, NULL, NULL},
};
enum { COLUMN_COUNT = MG_COUNT(mg_history_columns) - 1 };

void
mg_sign_in_history_drop(struct mg_sign_in_history **history)
{
    if (*history == NULL)
        return;
    for (size_t i = 0; i < (*history)->text_count; i++)
        free((*history)->texts[i]);
    free((*history)->texts);
    free((*history)->rows);
    free(*history);
    *history = NULL;
}

/* Makes room for one more; doubles, so that a long file is not copied again and again. */
static CHECKED struct mg_status
room_make(void **array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return OK;
    const size_t more = *room == 0 ? 64 : 2 * *room;
    void *larger = reallocarray(*array, more, size);
    if (larger == NULL)
        return fail(OUT_OF_MEMORY);
    *array = larger;
    *room = more;
    return OK;
}

static CHECKED struct mg_status
text_keep(struct mg_sign_in_history *history, struct mg_view text, const char **ret_text)
{
    OWN_TEXT copy = NULL;
    TRY(room_make((void **) &history->texts, history->text_count, &history->text_room,
                  sizeof history->texts[0]));
    TRY(mg_view_to_text(text, &copy));
    *ret_text = copy;
    history->texts[history->text_count++] = TAKE(copy);
    return OK;
}

/* ---- one value ---- */

static CHECKED struct mg_status
degrees_read(struct mg_view text, double most, int32_t *ret_e3)
{
    char copy[32];
    char *end = NULL;
    if (text.length == 0 || !mg_ok(mg_view_copy(text, copy, sizeof copy)) ||
        copy[strspn(copy, "+-.0123456789")] != '\0')
        return fail_with(INVALID, "not a number of degrees");
    const double degrees = strtod(copy, &end);
    if (*end != '\0' || !isfinite(degrees) || fabs(degrees) > most)
        return fail_with(INVALID, "degrees are between -%.0f and %.0f", most, most);
    *ret_e3 = (int32_t) lround(degrees * 1000);
    return OK;
}

static CHECKED struct mg_status
country_read(struct mg_view text, char country[3])
{
    if (text.length != 2 || text.bytes[0] < 'A' || text.bytes[0] > 'Z' || text.bytes[1] < 'A' ||
        text.bytes[1] > 'Z')
        return fail_with(INVALID, "a country is two capital letters");
    return mg_view_copy(text, country, 3);
}

static CHECKED struct mg_status
asn_read(struct mg_view text, uint32_t *ret_asn)
{
    uint64_t number = 0;
    if (text.length > 2 && text.bytes[0] == 'A' && text.bytes[1] == 'S')
        text = mg_view_of(text.bytes + 2, text.length - 2);
    if (!mg_ok(mg_parse_u64(text, UINT32_MAX, &number)))
        return fail_with(INVALID, "not the number of an autonomous system");
    *ret_asn = (uint32_t) number;
    return OK;
}

static CHECKED struct mg_status
address_read(struct mg_view text, struct mg_risk_visit *visit)
{
    struct mg_address address;
    if (!mg_ok(mg_address_parse(text, &address)))
        return fail_with(INVALID, "not an IP address");
    mg_address_text(address, visit->address);
    return OK;
}

static CHECKED struct mg_status
value_set(struct mg_sign_in_history *history, struct mg_replay_row *row, const char *name,
          struct mg_view text, unsigned *coordinates)
{
    if (text.length == 0)
        return OK;
    if (text.length > FIELD_MOST || !mg_view_is_utf8(text))
        return fail_with(INVALID, "not UTF-8 text of at most %d bytes", FIELD_MOST);
    if (strcmp(name, "time") == 0)
        return mg_instant_parse(text, &row->visit.at);
    if (strcmp(name, "login") == 0)
        return text_keep(history, text, &row->login);
    if (strcmp(name, "address") == 0)
        return address_read(text, &row->visit);
    if (strcmp(name, "device") == 0)
        return text_keep(history, text, &row->device);
    if (strcmp(name, "country") == 0)
        return country_read(text, row->visit.place.country);
    if (strcmp(name, "asn") == 0)
        return asn_read(text, &row->visit.place.asn);
    if (strcmp(name, "latitude") == 0) {
        *coordinates |= 1;
        return degrees_read(text, 90, &row->visit.place.latitude_e3);
    }
    if (strcmp(name, "longitude") == 0) {
        *coordinates |= 2;
        return degrees_read(text, 180, &row->visit.place.longitude_e3);
    }
    if (strcmp(name, "breached") == 0) {
        row->breached = mg_view_is(text, "yes") ? MG_YES : MG_NO;
        return row->breached == MG_YES || mg_view_is(text, "no") ? OK : fail_with(INVALID, "yes or no");
    }
    row->wrong = mg_view_is(text, "failure");
    return row->wrong || mg_view_is(text, "success") ? OK : fail_with(INVALID, "success or failure");
}

/* ---- one row ---- */

struct values {
    struct mg_view of[COLUMN_COUNT]; /* by mg_history_columns; empty: not told */
};

static CHECKED struct mg_status
row_add(struct mg_sign_in_history *history, const struct values *values, size_t line)
{
    struct mg_replay_row row = {.login = "", .device = ""};
    unsigned coordinates = 0;
    if (history->count == MG_SIGN_IN_HISTORY_ROWS)
        return fail_with(TOO_LARGE, "more than %d sign-ins", MG_SIGN_IN_HISTORY_ROWS);
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        const struct mg_history_column *column = &mg_history_columns[i];
        if (column->needed && values->of[i].length == 0)
            return fail_with(INVALID, "line %zu: %s is missing", line, column->name);
        const struct mg_status status = value_set(history, &row, column->name, values->of[i], &coordinates);
        if (status.code == MG_INVALID || status.code == MG_MALFORMED)
            return fail_with(INVALID, "line %zu, %s: %s", line, column->name,
                             status.detail[0] != '\0' ? status.detail : "not understood");
        TRY(status);
    }
    if (coordinates == 1 || coordinates == 2)
        return fail_with(INVALID, "line %zu: latitude and longitude come together", line);
    row.visit.place.located = coordinates == 3;
    if (row.visit.place.located)
        row.visit.place.radius_km = 50;
    TRY(room_make((void **) &history->rows, history->count, &history->room, sizeof history->rows[0]));
    history->rows[history->count++] = row;
    return OK;
}

static int
column_of(struct mg_view name)
{
    for (int i = 0; i < (int) COLUMN_COUNT; i++)
        if (mg_view_is(name, mg_history_columns[i].name))
            return i;
    return -1;
}

/* ---- CSV ---- */

struct csv {
    const uint8_t *at, *end;
    size_t line;
    struct mg_buffer fields; /* of one record, one after the other */
    size_t starts[COLUMNS_MOST + 1];
    size_t count;
};

static CHECKED struct mg_status
field_add(struct csv *csv)
{
    const bool quoted = csv->at < csv->end && *csv->at == '"';
    if (quoted)
        csv->at++;
    for (;;) {
        if (csv->at == csv->end)
            return quoted ? fail_with(MALFORMED, "line %zu: a quote is not closed", csv->line) : OK;
        const uint8_t byte = *csv->at;
        if (quoted && byte == '"') {
            if (csv->at + 1 == csv->end || csv->at[1] != '"')
                break;
            csv->at++;
        } else if (!quoted && (byte == ',' || byte == '\n' || byte == '\r')) {
            return OK;
        } else if (byte == '\n') {
            csv->line++;
        }
        TRY(mg_buffer_add_byte(&csv->fields, byte));
        csv->at++;
    }
    csv->at++; /* the closing quote */
    if (csv->at < csv->end && *csv->at != ',' && *csv->at != '\n' && *csv->at != '\r')
        return fail_with(MALFORMED, "line %zu: text after a closing quote", csv->line);
    return OK;
}

/* The fields of the next record; none at the end. */
static CHECKED struct mg_status
record_next(struct csv *csv)
{
    mg_buffer_clear(&csv->fields);
    csv->count = 0;
    csv->line++;
    if (csv->at == csv->end)
        return OK;
    for (;;) {
        if (csv->count == COLUMNS_MOST)
            return fail_with(MALFORMED, "line %zu: more than %d columns", csv->line, COLUMNS_MOST);
        csv->starts[csv->count] = csv->fields.length;
        TRY(field_add(csv));
        csv->starts[++csv->count] = csv->fields.length;
        if (csv->at == csv->end || *csv->at != ',')
            break;
        csv->at++;
    }
    if (csv->at < csv->end && *csv->at == '\r')
        csv->at++;
    if (csv->at < csv->end && *csv->at == '\n')
        csv->at++;
    return OK;
}

static struct mg_view
field_of(const struct csv *csv, size_t i)
{
    return mg_view_of(mg_buffer_text(&csv->fields) + csv->starts[i], csv->starts[i + 1] - csv->starts[i]);
}

static CHECKED struct mg_status
titles_read(const struct csv *csv, int columns[COLUMNS_MOST])
{
    unsigned seen = 0;
    for (size_t i = 0; i < csv->count; i++) {
        const struct mg_view name = field_of(csv, i);
        columns[i] = column_of(name);
        if (columns[i] < 0 || (seen & 1U << columns[i]) != 0)
            return fail_with(INVALID, "line 1: \"%.*s\" is %s", (int) mg_view_start(name, 64).length,
                             (const char *) name.bytes,
                             columns[i] < 0 ? "no column of a history" : "there twice");
        seen |= 1U << columns[i];
    }
    return OK;
}

static CHECKED struct mg_status
csv_parse(struct mg_view text, struct mg_sign_in_history *history)
{
    OWN_BUFFER(fields, 65536);
    struct csv csv = {.at = text.bytes, .end = text.bytes + text.length, .fields = fields};
    int columns[COLUMNS_MOST];
    struct mg_status status = record_next(&csv);
    const size_t column_count = csv.count;
    if (mg_ok(status))
        status = titles_read(&csv, columns);
    while (mg_ok(status)) {
        struct values values = {0};
        status = record_next(&csv);
        if (!mg_ok(status) || csv.count == 0)
            break;
        if (csv.count == 1 && field_of(&csv, 0).length == 0)
            continue; /* an empty line */
        if (csv.count != column_count)
            status = fail_with(MALFORMED, "line %zu: %zu columns where the titles are %zu", csv.line,
                               csv.count, column_count);
        for (size_t i = 0; mg_ok(status) && i < csv.count; i++)
            values.of[columns[i]] = field_of(&csv, i);
        if (mg_ok(status))
            status = row_add(history, &values, csv.line);
    }
    fields = csv.fields; /* for its drop */
    return status;
}

/* ---- JSON lines ---- */

struct members {
    char numbers[COLUMN_COUNT][40];
    struct values values;
};

static CHECKED struct mg_status
member_read(int column, const json_t *value, struct members *members)
{
    char *number = members->numbers[column];
    const size_t size = sizeof members->numbers[column];
    number[0] = '\0';
    if (json_is_string(value)) {
        members->values.of[column] = mg_view_of(json_string_value(value), json_string_length(value));
        return OK;
    }
    if (json_is_integer(value))
        (void) snprintf(number, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        (void) snprintf(number, size, "%.6f", json_real_value(value));
    else if (json_is_boolean(value))
        (void) snprintf(number, size, "%s", json_is_true(value) ? "yes" : "no");
    else if (!json_is_null(value))
        return fail_with(INVALID, "not a text, a number, true or false");
    members->values.of[column] = mg_view_text(number);
    return OK;
}

static CHECKED struct mg_status
object_read(json_t *object, size_t line, struct mg_sign_in_history *history)
{
    struct members members = {0};
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return fail_with(MALFORMED, "line %zu: not a JSON object", line);
    json_object_foreach(object, key, value)
    {
        const int column = column_of(mg_view_text(key));
        if (column < 0)
            return fail_with(INVALID, "line %zu: \"%.64s\" is no member of a history", line, key);
        const struct mg_status status = member_read(column, value, &members);
        if (!mg_ok(status))
            return fail_with(INVALID, "line %zu, %s: %s", line, key, status.detail);
    }
    return row_add(history, &members.values, line);
}

static CHECKED struct mg_status
json_parse(struct mg_view text, struct mg_sign_in_history *history)
{
    size_t line = 0;
    for (size_t at = 0; at < text.length;) {
        const uint8_t *end = memchr(text.bytes + at, '\n', text.length - at);
        const size_t length = end != NULL ? (size_t) (end - text.bytes) - at : text.length - at;
        line++;
        if (length > 0 && !(length == 1 && text.bytes[at] == '\r')) {
            json_error_t error;
            json_t *object =
                json_loadb((const char *) text.bytes + at, length, JSON_REJECT_DUPLICATES, &error);
            if (object == NULL)
                return fail_with(MALFORMED, "line %zu: %s", line, error.text);
            const struct mg_status status = object_read(object, line, history);
            json_decref(object);
            TRY(status);
        }
        at += length + 1;
    }
    return OK;
}

struct mg_status
mg_sign_in_history_parse(struct mg_view text, struct mg_sign_in_history **ret_history)
{
    OWN(sign_in_history) history = calloc(1, sizeof *history);
    if (history == NULL)
        return fail(OUT_OF_MEMORY);
    if (text.length > MG_SIGN_IN_HISTORY_BYTES)
        return fail_with(TOO_LARGE, "more than %u bytes", MG_SIGN_IN_HISTORY_BYTES);
    if (text.length >= 3 && memcmp(text.bytes, "\xEF\xBB\xBF", 3) == 0) /* spreadsheets begin so */
        text = mg_view_of(text.bytes + 3, text.length - 3);
    if (text.length == 0)
        return fail_with(MALFORMED, "the file is empty");
    TRY(text.bytes[0] == '{' ? json_parse(text, history) : csv_parse(text, history));
    *ret_history = TAKE(history);
    return OK;
}
