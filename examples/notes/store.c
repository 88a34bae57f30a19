/* The tenant's own database. Its credentials are a file that is replaced while we run: we look at it
 * before each use (a stat), and once more when the server refuses us. The role before works on for a
 * while, so no query is lost to the change. */
#include "notes.h"

#include "base/io.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

enum { CONNECTIONS_MOST = 8, WAIT_MS = 3000, CONNECT_MS = 2000, STATEMENT_MS = 5000, FILE_MOST = 4096 };

static const char schema_sql[] = "CREATE TABLE IF NOT EXISTS note ("
                                 " number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
                                 " author text NOT NULL,"
                                 " author_name text NOT NULL,"
                                 " body text NOT NULL CHECK (octet_length(body) BETWEEN 1 AND 2000),"
                                 " at timestamptz NOT NULL)";

static struct {
    pthread_mutex_t lock;
    const char *path;
    struct mg_database_pool *pool; /* NULL until the file could be read */
    struct timespec changed;       /* of the file we read */
    ino_t file;
    bool prepared; /* the table is there */
} store = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
json_drop(json_t **json)
{
    json_decref(*json);
}

/* With the lock held. */
static struct mg_status
credentials_use(const struct mg_buffer *text)
{
    const char *host = NULL, *name = NULL, *user = NULL, *password = NULL;
    json_int_t port = 0;
    MG_CLEANUP(json_drop) json_t *json = json_loadb(mg_buffer_text(text), text->length, 0, NULL);
    if (json == NULL || json_unpack(json, "{s:s, s:I, s:s, s:s, s:s}", "host", &host, "port", &port, "dbname",
                                    &name, "user", &user, "password", &password) != 0)
        return fail_with(MALFORMED, "%s", store.path);
    if (store.pool != NULL)
        return mg_database_pool_credentials(store.pool, user, mg_view_text(password));
    const struct mg_database_address address = {
        .host = host,
        .port = (unsigned) port,
        .database = name,
        .user = user,
        .password = mg_view_text(password),
        .connect_ms = CONNECT_MS,
        .statement_ms = STATEMENT_MS,
    };
    return mg_database_pool_new(&address, CONNECTIONS_MOST, &store.pool);
}

/* With the lock held. */
static struct mg_status
credentials_follow(void)
{
    struct stat found;
    OWN_BUFFER(text, FILE_MOST);
    if (stat(store.path, &found) != 0)
        return fail_errno("credentials %s", store.path);
    if (store.pool != NULL && found.st_ino == store.file && found.st_mtim.tv_sec == store.changed.tv_sec &&
        found.st_mtim.tv_nsec == store.changed.tv_nsec)
        return OK;
    TRY(mg_file_read(store.path, &text));
    TRY(credentials_use(&text));
    store.file = found.st_ino;
    store.changed = found.st_mtim;
    return OK;
}

static struct mg_status
pool_now(bool look_again)
{
    (void) pthread_mutex_lock(&store.lock);
    if (look_again)
        store.changed = (struct timespec){0};
    const struct mg_status status = credentials_follow();
    (void) pthread_mutex_unlock(&store.lock);
    return status;
}

/* A connection that answers. */
static struct mg_status
connection_take(struct mg_database **ret_database)
{
    TRY(pool_now(false));
    const struct mg_status status = mg_database_pool_take(store.pool, WAIT_MS, ret_database);
    if (status.code != MG_REFUSED)
        return status;
    /* Between our look and the connection the password changed. */
    TRY(pool_now(true));
    return mg_database_pool_take(store.pool, WAIT_MS, ret_database);
}

static struct mg_status
connect_ready(struct mg_database **ret_database)
{
    OWN(database) database = NULL;
    TRY(connection_take(&database));
    if (!__atomic_load_n(&store.prepared, __ATOMIC_ACQUIRE)) {
        /* Two of us at the same time: the second finds the table. */
        const struct mg_status made = mg_database_script(database, schema_sql);
        if (!mg_ok(made) && made.code != MG_EXISTS)
            return made;
        __atomic_store_n(&store.prepared, true, __ATOMIC_RELEASE);
    }
    *ret_database = TAKE(database);
    return OK;
}

struct mg_status
store_open(const char *credentials_path)
{
    store.path = credentials_path;
    const struct mg_status status = pool_now(false);
    /* Not there yet is no reason to stay away: each request looks again. */
    return status.code == MG_NOT_FOUND ? OK : status;
}

struct mg_status
store_list(const struct identity *reader, struct note notes[NOTES_SHOWN], size_t *ret_count)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    TRY(connect_ready(&database));
    TRY(mg_query(database, &rows,
                 "SELECT number, at, author = $1, author_name, body FROM note"
                 " ORDER BY number DESC LIMIT $2",
                 MG_STRING(reader->subject), MG_I64(NOTES_SHOWN)));
    const size_t count = mg_rows_count(rows);
    for (size_t i = 0; i < count && i < NOTES_SHOWN; i++) {
        notes[i].number = mg_rows_i64(rows, i, 0);
        notes[i].at = mg_rows_instant(rows, i, 1);
        notes[i].own = mg_rows_flag(rows, i, 2);
        TRY(mg_view_copy(mg_rows_text(rows, i, 3), notes[i].author, sizeof notes[i].author));
        TRY(mg_view_copy(mg_rows_text(rows, i, 4), notes[i].text, sizeof notes[i].text));
    }
    *ret_count = count;
    return OK;
}

struct mg_status
store_add(const struct identity *author, struct mg_view text)
{
    OWN(database) database = NULL;
    TRY(connect_ready(&database));
    return mg_query(database, NULL,
                    "INSERT INTO note (author, author_name, body, at) VALUES ($1, $2, $3, $4)",
                    MG_STRING(author->subject), MG_STRING(author->name), MG_TEXT(text), MG_INSTANT(mg_now()));
}

struct mg_status
store_remove(const struct identity *author, int64_t number)
{
    OWN(database) database = NULL;
    TRY(connect_ready(&database));
    return mg_query(database, NULL, "DELETE FROM note WHERE number = $1 AND author = $2", MG_I64(number),
                    MG_STRING(author->subject));
}

struct mg_status
store_role(char role[64])
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    TRY(connect_ready(&database));
    TRY(mg_query(database, &rows, "SELECT session_user"));
    return mg_view_copy(mg_rows_text(rows, 0, 0), role, 64);
}
