#include "ports/database.h"

#include "base/secret.h"
#include "ports/database_private.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum { CONNECT_MS = 5000, STATEMENT_MS = 10000, GRACE_MS = 2000, PARAMETER_BYTES_MOST = 4 << 20 };

/* Types of the wire protocol (pg_type.dat). */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_NAME = 19,
    OID_I64 = 20,
    OID_I16 = 21,
    OID_I32 = 23,
    OID_TEXT = 25,
    OID_JSON = 114,
    OID_VARCHAR = 1043,
    OID_INSTANT = 1184
};

/* 1970-01-01 seen from 2000-01-01, PostgreSQL's epoch. */
static const int64_t epoch_difference_ms = INT64_C(946684800000);

/* Cannot exist: only the password given here counts, not one in a home directory. */
static const char no_passfile[] = "/dev/null/none";

/* The server's and libpq's messages end in a newline and may span lines; one line is enough. */
static struct mg_view
first_line(const char *message)
{
    return mg_view_of(message, strcspn(message, "\n"));
}

static struct mg_status
connection_failure(PGconn *connection)
{
    const struct mg_view line = first_line(PQerrorMessage(connection));
    /* libpq has no SQLSTATE for a failed connection, only the server's words. */
    const bool password = strstr(PQerrorMessage(connection), "password authentication failed") != NULL ||
                          strstr(PQerrorMessage(connection), "pg_hba.conf") != NULL ||
                          strstr(PQerrorMessage(connection), "not permitted to log in") != NULL ||
                          strstr(PQerrorMessage(connection), "permission denied for database") != NULL ||
                          strstr(PQerrorMessage(connection), "no password supplied") != NULL;
    if (password)
        return fail_with(REFUSED, "%.*s", (int) line.length, (const char *) line.bytes);
    return fail_with(UNAVAILABLE, "%.*s", (int) line.length, (const char *) line.bytes);
}

/* Waits until the socket is readable or writable; TIMEOUT at the deadline. */
static struct mg_status
socket_wait(PGconn *connection, short events, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd wait = {.fd = PQsocket(connection), .events = events};
        if (wait.fd < 0)
            return fail_with(UNAVAILABLE, "connection lost");
        const int64_t left_ms = deadline_ms - mg_monotonic_ms();
        const int ready = poll(&wait, 1, left_ms > 0 ? (int) left_ms : 0);
        if (ready > 0)
            return OK;
        if (ready < 0 && errno != EINTR)
            return fail_errno("poll");
        if (left_ms <= 0)
            return fail(TIMEOUT);
    }
}

static struct mg_status
connect_finish(PGconn *connection, int64_t deadline_ms)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK) {
        if (PQstatus(connection) == CONNECTION_BAD || state == PGRES_POLLING_FAILED)
            return connection_failure(connection);
        const struct mg_status waited =
            socket_wait(connection, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms);
        if (waited.code == MG_TIMEOUT)
            return fail_with(UNAVAILABLE, "no answer from %s", PQhost(connection));
        TRY(waited);
        state = PQconnectPoll(connection);
    }
    return OK;
}

/* libpq's keyword and value arrays. */
struct keywords {
    const char *names[16], *values[16];
    size_t count;
};

static void
keyword_add(struct keywords *keywords, const char *name, const char *value)
{
    if (value == NULL)
        return;
    mg_must(keywords->count + 1 < MG_COUNT(keywords->names));
    keywords->names[keywords->count] = name;
    keywords->values[keywords->count++] = value;
}

/* libpq would print notices on standard error; libraries do not log. */
static void
notice_ignore(void *context, const PGresult *result)
{
    (void) context;
    (void) result;
}

struct mg_status
mg_database_open(const struct mg_database_address *address, struct mg_database **ret_database)
{
    const int connect_ms = address->connect_ms > 0 ? address->connect_ms : CONNECT_MS;
    const int statement_ms = address->statement_ms > 0 ? address->statement_ms : STATEMENT_MS;
    char port[16], options[128];
    (void) snprintf(port, sizeof port, "%u", address->port != 0 ? address->port : 5432);
    (void) snprintf(options, sizeof options, "-c statement_timeout=%d -c lock_timeout=%d%s", statement_ms,
                    statement_ms, address->catalogue_only ? " -c search_path=pg_catalog" : "");
    OWN_BUFFER(password, 4096); /* a copy with its NUL, wiped at the end */
    TRY(mg_buffer_add(&password, address->password));
    struct keywords keywords = {.count = 0};
    keyword_add(&keywords, "dbname", address->url != NULL ? address->url : address->database);
    keyword_add(&keywords, "host", address->host);
    keyword_add(&keywords, "port", address->url == NULL ? port : NULL);
    keyword_add(&keywords, "user", address->user);
    keyword_add(&keywords, "password", address->password.length != 0 ? mg_buffer_text(&password) : NULL);
    keyword_add(&keywords, "options", options);
    keyword_add(&keywords, "client_encoding", "UTF8");
    keyword_add(&keywords, "application_name", "masugata");
    keyword_add(&keywords, "tcp_user_timeout", "10000");
    keyword_add(&keywords, "gssencmode", "disable"); /* no Kerberos library calls */
    keyword_add(&keywords, "passfile", no_passfile);
    struct mg_database *database = calloc(1, sizeof *database);
    if (database == NULL)
        return fail(OUT_OF_MEMORY);
    database->statement_ms = statement_ms;
    database->connection = PQconnectStartParams(keywords.names, keywords.values, 1);
    if (database->connection == NULL) {
        mg_database_close(database);
        return fail(OUT_OF_MEMORY);
    }
    const struct mg_status status = connect_finish(database->connection, mg_monotonic_ms() + connect_ms);
    if (!mg_ok(status)) {
        mg_database_close(database);
        return status;
    }
    (void) PQsetNoticeReceiver(database->connection, notice_ignore, NULL);
    (void) PQsetErrorVerbosity(database->connection, PQERRORS_TERSE);
    *ret_database = database;
    return OK;
}

void
mg_database_close(struct mg_database *database)
{
    if (database->connection != NULL)
        PQfinish(database->connection);
    free(database);
}

void
mg_database_drop(struct mg_database **database)
{
    if (*database == NULL)
        return;
    if ((*database)->pool != NULL)
        mg_database_pool_give((*database)->pool, *database);
    else
        mg_database_close(*database);
    *database = NULL;
}

bool
mg_database_good(const struct mg_database *database)
{
    return !database->broken && PQstatus(database->connection) == CONNECTION_OK;
}

/* ---- queries ------------------------------------------------------------------------------- */

/* SQLSTATE, or its class, to our code; the first row that matches. */
static const struct {
    const char *state;
    enum mg_code code;
} state_codes[] = {
    {"23505", MG_EXISTS},    {"42P04", MG_EXISTS},    {"42710", MG_EXISTS},    {"42P07", MG_EXISTS},
    {"40", MG_BUSY},         {"55P03", MG_BUSY},      {"53100", MG_DISK_FULL}, {"53200", MG_OUT_OF_MEMORY},
    {"53300", MG_BUSY},      {"57014", MG_TIMEOUT},   {"57P", MG_UNAVAILABLE}, {"08", MG_UNAVAILABLE},
    {"28", MG_REFUSED},      {"42501", MG_REFUSED},   {"3D000", MG_NOT_FOUND}, {"42P01", MG_NOT_FOUND},
    {"42704", MG_NOT_FOUND}, {"3F000", MG_NOT_FOUND}, {"22021", MG_MALFORMED}, {"22P02", MG_INVALID},
    {"22001", MG_TOO_LARGE}, {"23514", MG_INVALID},   {"23502", MG_INVALID},
};

static struct mg_status
result_failure(const struct mg_database *database, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (state == NULL) { /* libpq's own: the connection broke */
        const struct mg_view line = first_line(PQerrorMessage(database->connection));
        return mg_fail_with(PQstatus(database->connection) == CONNECTION_OK ? MG_DATABASE : MG_UNAVAILABLE,
                            MG_HERE, "%.*s", (int) line.length, (const char *) line.bytes);
    }
    enum mg_code code = MG_DATABASE;
    for (size_t i = 0; i < MG_COUNT(state_codes); i++)
        if (strncmp(state, state_codes[i].state, strlen(state_codes[i].state)) == 0) {
            code = state_codes[i].code;
            break;
        }
    return mg_fail_with(code, MG_HERE, "%s (%s)", text != NULL ? text : "", state);
}

/* Reads the answer, bounded; the last result wins, as with PQexec, but a failure stays. */
static struct mg_status
answer_read(struct mg_database *database, int64_t deadline_ms, PGresult **ret_result)
{
    PGconn *connection = database->connection;
    PGresult *kept = NULL;
    for (;;) {
        while (PQisBusy(connection) != 0) {
            const struct mg_status waited = socket_wait(connection, POLLIN, deadline_ms);
            if (!mg_ok(waited)) {
                database->broken = true;
                PQclear(kept);
                return waited;
            }
            if (PQconsumeInput(connection) == 0)
                break; /* PQgetResult now reports it */
        }
        PGresult *result = PQgetResult(connection);
        if (result == NULL)
            break;
        const ExecStatusType state = PQresultStatus(result);
        if (state == PGRES_COPY_IN || state == PGRES_COPY_OUT || state == PGRES_COPY_BOTH) {
            database->broken = true;
            PQclear(result);
            PQclear(kept);
            return fail_with(DATABASE, "COPY is not used here");
        }
        const bool kept_failed = kept != NULL && PQresultStatus(kept) == PGRES_FATAL_ERROR;
        PQclear(kept_failed ? result : kept);
        if (!kept_failed)
            kept = result;
    }
    if (kept == NULL) {
        database->broken = true;
        return fail_with(UNAVAILABLE, "no answer");
    }
    const ExecStatusType state = PQresultStatus(kept);
    if (state != PGRES_COMMAND_OK && state != PGRES_TUPLES_OK && state != PGRES_EMPTY_QUERY) {
        const struct mg_status status = result_failure(database, kept);
        PQclear(kept);
        return status;
    }
    *ret_result = kept;
    return OK;
}

/* The parameters in libpq's form. Numbers are binary, text is text so that the server infers. */
struct parameters {
    Oid types[MG_VALUES_MOST];
    const char *values[MG_VALUES_MOST];
    int lengths[MG_VALUES_MOST], formats[MG_VALUES_MOST];
    union {
        uint64_t big_endian;
        char flag;
    } numbers[MG_VALUES_MOST];
    size_t text_offsets[MG_VALUES_MOST];
};

static struct mg_status
parameter_set(struct parameters *parameters, size_t at, const struct mg_value *value, struct mg_buffer *texts)
{
    parameters->formats[at] = 1;
    parameters->types[at] = 0;
    parameters->values[at] = NULL;
    parameters->lengths[at] = (int) value->view.length;
    switch (value->kind) {
    case MG_VALUE_NULL:
        return OK;
    case MG_VALUE_TEXT:
        /* libpq wants a NUL: a copy, whose address is known once all are in. */
        parameters->formats[at] = 0;
        if (value->view.length != 0 && memchr(value->view.bytes, 0, value->view.length) != NULL)
            return fail(MALFORMED);
        parameters->text_offsets[at] = texts->length;
        TRY(mg_buffer_add(texts, value->view));
        return mg_buffer_add_byte(texts, 0);
    case MG_VALUE_BYTES:
        parameters->types[at] = OID_BYTEA;
        parameters->values[at] = (const char *) value->view.bytes;
        if (value->view.bytes == NULL)
            parameters->values[at] = "";
        return value->view.length > PARAMETER_BYTES_MOST ? fail(TOO_LARGE) : OK;
    case MG_VALUE_FLAG:
        parameters->types[at] = OID_BOOL;
        parameters->numbers[at].flag = value->number != 0;
        parameters->values[at] = &parameters->numbers[at].flag;
        parameters->lengths[at] = 1;
        return OK;
    case MG_VALUE_I64:
    case MG_VALUE_INSTANT: {
        const bool instant = value->kind == MG_VALUE_INSTANT;
        /* Microseconds since 2000; unsigned, so that a wild instant wraps instead of being undefined. */
        const uint64_t number = instant ? ((uint64_t) value->number - (uint64_t) epoch_difference_ms) * 1000
                                        : (uint64_t) value->number;
        parameters->types[at] = instant ? OID_INSTANT : OID_I64;
        parameters->numbers[at].big_endian = htobe64(number);
        parameters->values[at] = (const char *) &parameters->numbers[at].big_endian;
        parameters->lengths[at] = 8;
        return OK;
    }
    }
    return fail(INVALID);
}

struct prepared_name {
    char text[16];
};

static struct prepared_name
prepared_name(size_t at)
{
    struct prepared_name name;
    (void) snprintf(name.text, sizeof name.text, "p%zu", at);
    return name;
}

/* `prepared` is the number of the statement, or -1 when the server is to parse `sql` now. */
static struct mg_status
query_send(struct mg_database *database, const char *sql, int prepared, const struct mg_value *values,
           size_t count)
{
    struct parameters parameters;
    OWN_BUFFER(texts, PARAMETER_BYTES_MOST);
    for (size_t i = 0; i < count; i++)
        TRY(parameter_set(&parameters, i, &values[i], &texts));
    for (size_t i = 0; i < count; i++)
        if (values[i].kind == MG_VALUE_TEXT)
            parameters.values[i] = mg_buffer_text(&texts) + parameters.text_offsets[i];
    const int sent =
        prepared < 0
            ? PQsendQueryParams(database->connection, sql, (int) count, parameters.types, parameters.values,
                                parameters.lengths, parameters.formats, 1)
            : PQsendQueryPrepared(database->connection, prepared_name((size_t) prepared).text, (int) count,
                                  parameters.values, parameters.lengths, parameters.formats, 1);
    mg_wipe(&parameters.numbers, sizeof parameters.numbers);
    if (sent == 0)
        return connection_failure(database->connection);
    return OK;
}

struct mg_rows {
    PGresult *result;
};

/* The number under which this connection has the statement, made now if there is room; -1 if not. */
static struct mg_status
prepared_find(struct mg_database *database, const char *sql, const struct mg_value *values, size_t count,
              int64_t deadline_ms, int *ret_number)
{
    size_t at = 0;
    while (at < database->prepared_count && database->prepared[at] != sql)
        at++;
    *ret_number = at < MG_PREPARED_MOST ? (int) at : -1;
    if (at < database->prepared_count || at == MG_PREPARED_MOST)
        return OK;
    Oid types[MG_VALUES_MOST];
    for (size_t i = 0; i < count; i++)
        types[i] = values[i].kind == MG_VALUE_BYTES     ? OID_BYTEA
                   : values[i].kind == MG_VALUE_FLAG    ? OID_BOOL
                   : values[i].kind == MG_VALUE_I64     ? OID_I64
                   : values[i].kind == MG_VALUE_INSTANT ? OID_INSTANT
                                                        : 0;
    if (PQsendPrepare(database->connection, prepared_name(at).text, sql, (int) count, types) == 0)
        return connection_failure(database->connection);
    PGresult *result = NULL;
    TRY(answer_read(database, deadline_ms, &result));
    PQclear(result);
    database->prepared[database->prepared_count++] = sql;
    return OK;
}

/* A script within the time that is left. */
static struct mg_status
script_run(struct mg_database *database, const char *sql, int64_t deadline_ms)
{
    if (PQsendQuery(database->connection, sql) == 0)
        return connection_failure(database->connection);
    PGresult *result = NULL;
    TRY(answer_read(database, deadline_ms, &result));
    PQclear(result);
    return OK;
}

/* A statement that runs all the time keeps one plan for every value: the server would, where its guess of the
 * costs says so, plan it anew each time, which takes longer than running it. All others are planned for the
 * values at hand. Runs of one sort follow each other, so that this is rarely sent. */
static struct mg_status
plans_choose(struct mg_database *database, bool kept, int64_t deadline_ms)
{
    const enum mg_plans wanted = kept ? MG_PLANS_KEPT : MG_PLANS_FOR_VALUES;
    if (database->plans == wanted)
        return OK;
    database->plans = MG_PLANS_UNKNOWN;
    TRY(script_run(database,
                   kept ? "SET plan_cache_mode TO force_generic_plan" : "SET plan_cache_mode TO auto",
                   deadline_ms));
    database->plans = wanted;
    return OK;
}

static struct mg_status
query(struct mg_database *database, struct mg_rows **ret_rows, const char *sql, bool often,
      const struct mg_value *values, size_t count)
{
    mg_must(count <= MG_VALUES_MOST);
    if (!mg_database_good(database))
        return fail_with(UNAVAILABLE, "connection lost");
    /* The server's own limit comes first; ours is for a server or a network that hangs. */
    const int64_t deadline_ms = mg_monotonic_ms() + database->statement_ms + GRACE_MS;
    int prepared = -1;
    TRY(plans_choose(database, often, deadline_ms));
    if (often)
        TRY(prepared_find(database, sql, values, count, deadline_ms, &prepared));
    TRY(query_send(database, sql, prepared, values, count));
    PGresult *result = NULL;
    TRY(answer_read(database, deadline_ms, &result));
    if (ret_rows == NULL) {
        PQclear(result);
        return OK;
    }
    struct mg_rows *rows = malloc(sizeof *rows);
    if (rows == NULL) {
        PQclear(result);
        return fail(OUT_OF_MEMORY);
    }
    rows->result = result;
    *ret_rows = rows;
    return OK;
}

struct mg_status
mg_database_query(struct mg_database *database, struct mg_rows **ret_rows, const char *sql,
                  const struct mg_value *values, size_t count)
{
    return query(database, ret_rows, sql, false, values, count);
}

struct mg_status
mg_database_query_often(struct mg_database *database, struct mg_rows **ret_rows, const char *sql,
                        const struct mg_value *values, size_t count)
{
    return query(database, ret_rows, sql, true, values, count);
}

struct mg_status
mg_database_script(struct mg_database *database, const char *sql)
{
    if (!mg_database_good(database))
        return fail_with(UNAVAILABLE, "connection lost");
    return script_run(database, sql, mg_monotonic_ms() + database->statement_ms + GRACE_MS);
}

struct mg_status
mg_database_rollback(struct mg_database *database)
{
    database->plans = MG_PLANS_UNKNOWN;
    return mg_database_script(database, "ROLLBACK");
}

/* ---- rows ---------------------------------------------------------------------------------- */

void
mg_rows_drop(struct mg_rows **rows)
{
    if (*rows != NULL)
        PQclear((*rows)->result);
    free(*rows);
    *rows = NULL;
}

size_t
mg_rows_count(const struct mg_rows *rows)
{
    return (size_t) PQntuples(rows->result);
}

int
mg_rows_columns(const struct mg_rows *rows)
{
    return PQnfields(rows->result);
}

uint64_t
mg_rows_affected(const struct mg_rows *rows)
{
    uint64_t count = 0;
    /* PQcmdTuples declares its argument without const. */
    const char *text = PQcmdTuples((PGresult *) (uintptr_t) rows->result);
    return mg_ok(mg_parse_u64(mg_view_text(text), UINT64_MAX, &count)) ? count : 0;
}

bool
mg_rows_null(const struct mg_rows *rows, size_t row, int column)
{
    mg_must(row < mg_rows_count(rows) && column >= 0 && column < PQnfields(rows->result));
    return PQgetisnull(rows->result, (int) row, column) != 0;
}

static struct mg_view
field(const struct mg_rows *rows, size_t row, int column)
{
    if (mg_rows_null(rows, row, column))
        return MG_VIEW_EMPTY;
    return mg_view_of(PQgetvalue(rows->result, (int) row, column),
                      (size_t) PQgetlength(rows->result, (int) row, column));
}

struct mg_view
mg_rows_text(const struct mg_rows *rows, size_t row, int column)
{
    const Oid type = PQftype(rows->result, column);
    mg_must(type == OID_TEXT || type == OID_NAME || type == OID_VARCHAR || type == OID_JSON);
    return field(rows, row, column);
}

struct mg_view
mg_rows_bytes(const struct mg_rows *rows, size_t row, int column)
{
    mg_must(PQftype(rows->result, column) == OID_BYTEA);
    return field(rows, row, column);
}

/* A big-endian two's complement integer of 2, 4 or 8 bytes. */
static int64_t
integer_of(struct mg_view bytes)
{
    uint64_t number = bytes.length != 0 && (bytes.bytes[0] & 0x80) != 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < bytes.length; i++)
        number = number << 8 | bytes.bytes[i];
    return (int64_t) number;
}

int64_t
mg_rows_i64(const struct mg_rows *rows, size_t row, int column)
{
    const Oid type = PQftype(rows->result, column);
    mg_must(type == OID_I64 || type == OID_I32 || type == OID_I16);
    return integer_of(field(rows, row, column));
}

bool
mg_rows_flag(const struct mg_rows *rows, size_t row, int column)
{
    mg_must(PQftype(rows->result, column) == OID_BOOL);
    const struct mg_view flag = field(rows, row, column);
    return flag.length == 1 && flag.bytes[0] != 0;
}

mg_instant
mg_rows_instant(const struct mg_rows *rows, size_t row, int column)
{
    mg_must(PQftype(rows->result, column) == OID_INSTANT);
    if (mg_rows_null(rows, row, column))
        return 0;
    return integer_of(field(rows, row, column)) / 1000 + epoch_difference_ms;
}

/* ---- transactions -------------------------------------------------------------------------- */

struct mg_transaction {
    struct mg_database *database;
};

struct mg_status
mg_transaction_begin(struct mg_database *database, struct mg_transaction **ret_transaction)
{
    struct mg_transaction *transaction = malloc(sizeof *transaction);
    if (transaction == NULL)
        return fail(OUT_OF_MEMORY);
    const struct mg_status status = mg_database_script(database, "BEGIN");
    if (!mg_ok(status)) {
        free(transaction);
        return status;
    }
    transaction->database = database;
    *ret_transaction = transaction;
    return OK;
}

struct mg_status
mg_transaction_commit(struct mg_transaction **transaction)
{
    struct mg_database *database = (*transaction)->database;
    /* COMMIT of a failed transaction answers ROLLBACK without an error: that must not pass for done. */
    const bool failed = PQtransactionStatus(database->connection) != PQTRANS_INTRANS;
    TRY(failed ? mg_database_rollback(database) : mg_database_script(database, "COMMIT"));
    free(*transaction);
    *transaction = NULL;
    return failed ? fail_with(DATABASE, "the transaction had failed") : OK;
}

void
mg_transaction_drop(struct mg_transaction **transaction)
{
    if (*transaction == NULL)
        return;
    struct mg_database *database = (*transaction)->database;
    if (!mg_ok(mg_database_rollback(database)))
        database->broken = true;
    free(*transaction);
    *transaction = NULL;
}

/* ---- text for statements that take no parameters ------------------------------------------- */

struct mg_status
mg_database_verifier(struct mg_database *database, const char *user, const char *password,
                     struct mg_buffer *verifier)
{
    char *text = PQencryptPasswordConn(database->connection, password, user, "scram-sha-256");
    if (text == NULL)
        return fail_with(CRYPTO, "SCRAM verifier");
    const struct mg_status status = mg_buffer_add_text(verifier, text);
    mg_wipe(text, strlen(text));
    PQfreemem(text);
    return status;
}

static struct mg_status
quoted_add(struct mg_buffer *sql, struct mg_view text, uint8_t quote)
{
    TRY(mg_buffer_add_byte(sql, quote));
    for (size_t i = 0; i < text.length; i++) {
        if (text.bytes[i] == 0)
            return fail(MALFORMED);
        if (text.bytes[i] == quote)
            TRY(mg_buffer_add_byte(sql, quote));
        TRY(mg_buffer_add_byte(sql, text.bytes[i]));
    }
    return mg_buffer_add_byte(sql, quote);
}

struct mg_status
mg_sql_name(struct mg_buffer *sql, const char *name)
{
    return quoted_add(sql, mg_view_text(name), '"');
}

/* standard_conforming_strings is on (the default since 9.1): only the quote itself is special. */
struct mg_status
mg_sql_text(struct mg_buffer *sql, struct mg_view text)
{
    if (!mg_view_is_utf8(text))
        return fail(MALFORMED);
    return quoted_add(sql, text, '\'');
}

struct mg_status
mg_database_ping(const char *host, unsigned port, const char *database, const char *user)
{
    char port_text[16];
    (void) snprintf(port_text, sizeof port_text, "%u", port != 0 ? port : 5432);
    const char *const names[] = {"host",       "port",     "dbname", "user", "connect_timeout",
                                 "gssencmode", "passfile", NULL};
    const char *const values[] = {host, port_text, database, user, "2", "disable", no_passfile, NULL};
    switch (PQpingParams(names, values, 0)) {
    case PQPING_OK:
        return OK;
    case PQPING_REJECT:
        return fail_with(UNAVAILABLE, "%s: starting, stopping or full", host);
    case PQPING_NO_RESPONSE:
        return fail_with(UNAVAILABLE, "%s: no answer", host);
    case PQPING_NO_ATTEMPT:
        break;
    }
    return fail_with(INVALID, "%s: not an address", host);
}
