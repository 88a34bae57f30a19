/* masugata user import: CSV (RFC 4180) with the hashes another system made. */
#include "cli/people.h"

#include "base/io.h"
#include "base/reason.h"
#include "base/secret.h"

#include <inttypes.h>

enum { FILE_MOST = 64 << 20, FIELD_MOST = 4096 };

/* The columns we know, in the order of `fields` below. */
enum { LOGIN, NAME, EMAIL, ROLES, LANGUAGE, HASH, COLUMN_COUNT };
static const char *const column_names[COLUMN_COUNT] = {"login", "name",     "email",
                                                       "roles", "language", "password_hash"};

enum { COLUMNS_MOST = 32 };

struct csv {
    struct mg_view rest;
    uint64_t line; /* of the row at hand, from 1 */
    struct mg_buffer fields[COLUMNS_MOST];
    size_t count;
    int place[COLUMN_COUNT]; /* which field holds a column; -1: none */
};

static void
csv_drop(struct csv *csv)
{
    for (size_t i = 0; i < COLUMNS_MOST; i++)
        mg_buffer_drop(&csv->fields[i]);
}

static bool
take(struct csv *csv, uint8_t *ret_byte)
{
    if (csv->rest.length == 0)
        return false;
    *ret_byte = csv->rest.bytes[0];
    csv->rest = mg_view_of(csv->rest.bytes + 1, csv->rest.length - 1);
    if (*ret_byte == '\n')
        csv->line++;
    return true;
}

/* The inside of a quoted field, after its first quote; "" stands for one quote. */
static CHECKED struct mg_status
quoted_read(struct csv *csv, struct mg_buffer *field)
{
    uint8_t byte = 0;
    while (take(csv, &byte)) {
        if (byte == '"') {
            if (csv->rest.length == 0 || csv->rest.bytes[0] != '"')
                return OK;
            (void) take(csv, &byte);
        }
        TRY(mg_buffer_add_byte(field, byte));
    }
    return fail_with(MALFORMED, "line %" PRIu64 ": a quote is not closed", csv->line);
}

/* One field up to and with its comma or line break. */
static CHECKED struct mg_status
field_read(struct csv *csv, struct mg_buffer *field, bool *ret_last)
{
    uint8_t byte = 0;
    if (csv->rest.length != 0 && csv->rest.bytes[0] == '"') {
        (void) take(csv, &byte);
        TRY(quoted_read(csv, field));
    }
    while (take(csv, &byte)) {
        *ret_last = byte == '\n';
        if (byte == ',' || byte == '\n')
            return OK;
        if (byte == '\r' && csv->rest.length != 0 && csv->rest.bytes[0] == '\n')
            continue;
        TRY(mg_buffer_add_byte(field, byte));
    }
    *ret_last = true;
    return OK;
}

static CHECKED struct mg_status
row_read(struct csv *csv)
{
    bool last = false;
    csv->count = 0;
    while (!last) {
        if (csv->count == COLUMNS_MOST)
            return fail_with(MALFORMED, "line %" PRIu64 ": more than %d columns", csv->line, COLUMNS_MOST);
        struct mg_buffer *field = &csv->fields[csv->count++];
        mg_buffer_clear(field);
        TRY(field_read(csv, field, &last));
    }
    return OK;
}

/* The first line: which column is where. login and password_hash must be there; unknown names are an
 * error, so that a misspelt column is not silently left out. */
static CHECKED struct mg_status
header_read(struct csv *csv)
{
    static const uint8_t mark[] = {0xEF, 0xBB, 0xBF}; /* spreadsheets write it first */
    if (csv->rest.length >= sizeof mark && memcmp(csv->rest.bytes, mark, sizeof mark) == 0)
        csv->rest = mg_view_of(csv->rest.bytes + sizeof mark, csv->rest.length - sizeof mark);
    TRY(row_read(csv));
    for (size_t column = 0; column < COLUMN_COUNT; column++)
        csv->place[column] = -1;
    for (size_t field = 0; field < csv->count; field++) {
        size_t column = 0;
        while (column < COLUMN_COUNT &&
               !mg_view_is(mg_buffer_view(&csv->fields[field]), column_names[column]))
            column++;
        if (column == COLUMN_COUNT || csv->place[column] >= 0)
            return fail_with(INVALID, "line 1: column \"%s\" is unknown or there twice",
                             mg_buffer_text(&csv->fields[field]));
        csv->place[column] = (int) field;
    }
    if (csv->place[LOGIN] < 0 || csv->place[HASH] < 0)
        return fail_with(INVALID, "line 1: the columns login and password_hash are needed");
    return OK;
}

static struct mg_view
column(const struct csv *csv, int at)
{
    const int place = csv->place[at];
    return place < 0 || (size_t) place >= csv->count ? MG_VIEW_EMPTY : mg_buffer_view(&csv->fields[place]);
}

static CHECKED struct mg_status
user_import(const struct csv *csv, struct mg_admin *admin, const char *tenant,
            struct mg_reply_user_import *reply, struct mg_buffer *storage)
{
    const struct mg_view login = column(csv, LOGIN), email = column(csv, EMAIL);
    const bool login_is_email = login.length != 0 && memchr(login.bytes, '@', login.length) != NULL;
    const struct mg_request_user_import request = {
        .tenant = mg_view_text(tenant),
        .login = login,
        .name = column(csv, NAME),
        .email = email.length != 0 || !login_is_email ? email : login,
        .roles = column(csv, ROLES),
        .language = column(csv, LANGUAGE),
        .hash = column(csv, HASH),
    };
    return mg_admin_user_import(admin, &request, reply, storage);
}

static void
refusal_print(const struct mg_cli *cli, uint64_t line, uint64_t outcome, struct mg_view reason, bool first)
{
    const char *text = mg_outcome_text(outcome, cli->japanese);
    OWN_BUFFER(words, 2048);
    OWN_BUFFER(json, 4096);
    if (!mg_ok(mg_reason_words(reason, cli->japanese, &words)))
        mg_buffer_clear(&words);
    if (!cli->json) {
        (void) fprintf(stderr, mg_cli_say(cli, "line %" PRIu64 ": %s %s\n", "%" PRIu64 " 行目: %s %s\n"),
                       line, text, mg_buffer_text(&words));
        return;
    }
    if (mg_ok(mg_buffer_add_json_string(&json, mg_buffer_view(&words))))
        (void) printf("%s{\"line\":%" PRIu64 ",\"outcome\":\"%s\",\"reason\":%s}", first ? "" : ",", line,
                      mg_outcome_name(outcome), mg_buffer_text(&json));
}

/* Every row on its own: what can be imported is, and each that cannot is named. */
static CHECKED struct mg_status
rows_import(const struct mg_cli *cli, struct csv *csv, struct mg_admin *admin, const char *tenant,
            uint64_t *ret_done, uint64_t *ret_refused)
{
    while (csv->rest.length != 0) {
        const uint64_t line = csv->line;
        TRY(row_read(csv));
        if (csv->count == 1 && csv->fields[0].length == 0)
            continue; /* an empty line */
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_user_import reply = {0};
        const struct mg_status status = user_import(csv, admin, tenant, &reply, &storage);
        if (status.code == MG_TOO_LARGE || status.code == MG_MALFORMED) { /* a field that no row can hold */
            reply.outcome = MG_NOT_VALID;
            reply.reason = mg_view_text(status.detail);
        } else
            TRY(status);
        if (reply.outcome == MG_GRANTED)
            ++*ret_done;
        else
            refusal_print(cli, line, reply.outcome, reply.reason, (*ret_refused)++ == 0);
    }
    return OK;
}

struct mg_status
mg_cli_user_import(const struct mg_cli *cli, struct mg_admin *admin, const char *tenant, const char *path)
{
    OWN_BUFFER(file, FILE_MOST);
    MG_CLEANUP(csv_drop) struct csv csv = {.line = 1};
    uint64_t done = 0, refused = 0;
    for (size_t i = 0; i < COLUMNS_MOST; i++)
        csv.fields[i] = MG_BUFFER(FIELD_MOST);
    TRY(mg_file_read(path, &file));
    csv.rest = mg_buffer_view(&file);
    TRY(header_read(&csv));
    if (cli->json)
        (void) printf("{\"refused\":[");
    const struct mg_status status = rows_import(cli, &csv, admin, tenant, &done, &refused);
    if (cli->json)
        (void) printf("],\"imported\":%" PRIu64 "}\n", done);
    else
        (void) printf(mg_cli_say(cli, "%" PRIu64 " users imported, %" PRIu64 " refused.\n",
                                 "%" PRIu64 " 人を取り込み、%" PRIu64 " 人を拒否しました。\n"),
                      done, refused);
    TRY(status);
    if (refused != 0) /* each was named */
        return (struct mg_status){.code = MG_REFUSED, .where = MG_HERE, .detail = mg_cli_told};
    return OK;
}
