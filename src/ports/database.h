/* PostgreSQL through libpq: connections with bounded waits, parameterised queries, transactions,
 * and a pool for threads.
 *
 * A connection belongs to one thread at a time. Text that a person or another process supplied
 * travels only as a parameter. Failures: UNAVAILABLE (no connection, or it broke), REFUSED (password
 * or privilege), TIMEOUT, EXISTS (unique key), BUSY (serialisation or deadlock: try again),
 * DISK_FULL, NOT_FOUND (no such database, table or role), DATABASE with the server's message. */
#ifndef MG_PORTS_DATABASE_H
#define MG_PORTS_DATABASE_H

#include "base/bytes.h"
#include "base/time.h"

struct mg_rows;

/* Where to connect and as whom. All borrowed; a pool copies what it needs. */
struct mg_database_address {
    const char *url;  /* postgresql://… of an existing server; NULL with the fields below */
    const char *host; /* directory of a unix socket, or an address */
    unsigned port;    /* 0: 5432 */
    const char *database, *user;
    struct mg_view password; /* text; empty for none */
    int connect_ms;          /* 0: 5000 */
    int statement_ms;        /* longest statement; 0: 10000 */
    /* Unqualified names mean PostgreSQL's own, whatever the database's owner says (ALTER DATABASE … SET) and
     * has made in public: for a login with rights that its owner has not. */
    bool catalogue_only;
};

struct mg_database;
CHECKED struct mg_status mg_database_open(const struct mg_database_address *address,
                                          struct mg_database **ret_database);
/* Closes it, or gives it back to its pool; an open transaction is rolled back. */
void mg_database_drop(struct mg_database **database);

/* A parameter: $1 is the first. Borrowed until the query returns. */
struct mg_value {
    enum { MG_VALUE_NULL, MG_VALUE_TEXT, MG_VALUE_BYTES, MG_VALUE_I64, MG_VALUE_FLAG, MG_VALUE_INSTANT } kind;
    struct mg_view view;
    int64_t number;
};
#define MG_NULL ((struct mg_value){.kind = MG_VALUE_NULL})
/* The server infers the type of TEXT from its place, so it also serves jsonb, inet, uuid, … */
#define MG_TEXT(v) ((struct mg_value){.kind = MG_VALUE_TEXT, .view = (v)})
#define MG_STRING(text) MG_TEXT(mg_view_text(text))
#define MG_BYTES(v) ((struct mg_value){.kind = MG_VALUE_BYTES, .view = (v)})
#define MG_I64(n) ((struct mg_value){.kind = MG_VALUE_I64, .number = (int64_t) (n)})
#define MG_FLAG(b) ((struct mg_value){.kind = MG_VALUE_FLAG, .number = (b) ? 1 : 0})
#define MG_INSTANT(ms) ((struct mg_value){.kind = MG_VALUE_INSTANT, .number = (ms)})

#define MG_VALUES_MOST 56

/* Runs one statement. `ret_rows` may be NULL when nothing is wanted back.
 *   OWN(rows) rows = NULL;
 *   TRY(mg_query(database, &rows, "SELECT name FROM tenant WHERE number = $1", MG_I64(number))); */
CHECKED struct mg_status mg_database_query(struct mg_database *database, struct mg_rows **ret_rows,
                                           const char *sql, const struct mg_value *values, size_t count);
#define mg_query(database, ret_rows, ...) MG_QUERY_(database, ret_rows, __VA_ARGS__, MG_NULL)
#define MG_QUERY_(database, ret_rows, sql, ...)                                        \
    mg_database_query(database, ret_rows, sql, (const struct mg_value[]){__VA_ARGS__}, \
                      sizeof((const struct mg_value[]){__VA_ARGS__}) / sizeof(struct mg_value) - 1)

/* The same for a statement that runs all the time: each connection keeps it parsed and planned, for
 * the first 64 of them. `sql` is a string literal (it is known by its address) whose plan is good for
 * every value of its parameters, and is used with the same kinds of values each time. */
CHECKED struct mg_status mg_database_query_often(struct mg_database *database, struct mg_rows **ret_rows,
                                                 const char *sql, const struct mg_value *values,
                                                 size_t count);
#define mg_query_often(database, ret_rows, ...) MG_QUERY_OFTEN_(database, ret_rows, __VA_ARGS__, MG_NULL)
#define MG_QUERY_OFTEN_(database, ret_rows, sql, ...)                                        \
    mg_database_query_often(database, ret_rows, sql, (const struct mg_value[]){__VA_ARGS__}, \
                            sizeof((const struct mg_value[]){__VA_ARGS__}) / sizeof(struct mg_value) - 1)

/* Several statements without parameters or results, as one transaction unless they say otherwise. */
CHECKED struct mg_status mg_database_script(struct mg_database *database, const char *sql);

/* COPY … TO STDOUT: what comes is written to `fd`; *ret_count is how many rows. Bounded by statement_ms. DISK_FULL
 * or SYSTEM when it cannot be written, after which the connection is not used again. */
CHECKED struct mg_status mg_database_copy_out(struct mg_database *database, const char *sql, int fd,
                                              uint64_t *ret_count);

/* The rows of an answer; views borrow from it. A wrong column or type is a bug and stops the
 * process; SQL NULL reads as 0, false or the empty view. */
struct mg_rows;
void mg_rows_drop(struct mg_rows **rows);
size_t mg_rows_count(const struct mg_rows *rows);
int mg_rows_columns(const struct mg_rows *rows);
uint64_t mg_rows_affected(const struct mg_rows *rows); /* by INSERT, UPDATE, DELETE */
bool mg_rows_null(const struct mg_rows *rows, size_t row, int column);
struct mg_view mg_rows_text(const struct mg_rows *rows, size_t row, int column);  /* text, name, json */
struct mg_view mg_rows_bytes(const struct mg_rows *rows, size_t row, int column); /* bytea */
int64_t mg_rows_i64(const struct mg_rows *rows, size_t row, int column); /* smallint, integer, bigint */
bool mg_rows_flag(const struct mg_rows *rows, size_t row, int column);
mg_instant mg_rows_instant(const struct mg_rows *rows, size_t row, int column); /* timestamptz */

/* A transaction that is rolled back unless it was committed:
 *   OWN(transaction) transaction = NULL;
 *   TRY(mg_transaction_begin(database, &transaction)); … TRY(mg_transaction_commit(&transaction));
 * READ COMMITTED; lock rows with FOR UPDATE. The database must outlive it. */
struct mg_transaction;
CHECKED struct mg_status mg_transaction_begin(struct mg_database *database,
                                              struct mg_transaction **ret_transaction);
CHECKED struct mg_status mg_transaction_commit(struct mg_transaction **transaction);
void mg_transaction_drop(struct mg_transaction **transaction);

/* True if the connection may still be used. */
bool mg_database_good(const struct mg_database *database);

/* A SCRAM-SHA-256 verifier, so that the password itself never travels in a statement. */
CHECKED struct mg_status mg_database_verifier(struct mg_database *database, const char *user,
                                              const char *password, struct mg_buffer *verifier);
/* Appends an identifier in double quotes, or a literal, for statements that take no parameters. */
CHECKED struct mg_status mg_sql_name(struct mg_buffer *sql, const char *name);
CHECKED struct mg_status mg_sql_text(struct mg_buffer *sql, struct mg_view text);

/* Connections shared by threads: at most `most` at once, opened when needed. */
struct mg_database_pool;
CHECKED struct mg_status mg_database_pool_new(const struct mg_database_address *address, size_t most,
                                              struct mg_database_pool **ret_pool);
/* Closes the idle ones. Every taken connection must have been dropped. */
void mg_database_pool_drop(struct mg_database_pool **pool);
/* Waits at most wait_ms for a free one (BUSY). Give it back with OWN(database) or the drop. */
CHECKED struct mg_status mg_database_pool_take(struct mg_database_pool *pool, int wait_ms,
                                               struct mg_database **ret_database);
/* From now on new connections use this user and password; idle ones are closed. */
CHECKED struct mg_status mg_database_pool_credentials(struct mg_database_pool *pool, const char *user,
                                                      struct mg_view password);

/* Does a server answer there, without a password? OK, or UNAVAILABLE with the reason; at most about
 * two seconds. `user` should be one that pg_hba.conf lists, so that the server logs no refusal. */
CHECKED struct mg_status mg_database_ping(const char *host, unsigned port, const char *database,
                                          const char *user);

#endif
