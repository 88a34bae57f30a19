/* COPY TO STDOUT, row by row into a file: nothing of a table is ever held in memory as a whole. */
#include "ports/database_private.h"

#include "base/io.h"

#include <stdio.h>

enum { CHUNK = 1 << 20 };

/* Until the server says that the rows are over. libpq gives one row at a time. */
static CHECKED struct mg_status
rows_write(PGconn *connection, int fd)
{
    OWN_BUFFER(chunk, (size_t) 2 << 30);
    for (;;) {
        char *row = NULL;
        const int length = PQgetCopyData(connection, &row, 0);
        if (length < 0)
            return length == -1 ? mg_fd_write_all(fd, mg_buffer_view(&chunk))
                                : fail_with(UNAVAILABLE, "the connection was lost in the middle of a table");
        const struct mg_status added = mg_buffer_add(&chunk, mg_view_of(row, (size_t) length));
        PQfreemem(row);
        TRY(added);
        if (chunk.length >= CHUNK) {
            TRY(mg_fd_write_all(fd, mg_buffer_view(&chunk)));
            chunk.length = 0;
        }
    }
}

struct mg_status
mg_database_copy_out(struct mg_database *database, const char *sql, int fd, uint64_t *ret_count)
{
    PGconn *connection = database->connection;
    PGresult *result = PQexec(connection, sql);
    const ExecStatusType begun = PQresultStatus(result);
    PQclear(result);
    database->broken = true; /* unless all of it went well */
    if (begun != PGRES_COPY_OUT)
        return fail_with(DATABASE, "%s", PQerrorMessage(connection));
    TRY(rows_write(connection, fd));
    struct mg_status status = fail_with(DATABASE, "%s", "a table was not copied as a whole");
    while ((result = PQgetResult(connection)) != NULL) {
        if (PQresultStatus(result) == PGRES_COMMAND_OK)
            status = mg_parse_u64(mg_view_text(PQcmdTuples(result)), INT64_MAX, ret_count);
        else
            status = fail_with(DATABASE, "%s", PQresultErrorMessage(result));
        PQclear(result);
    }
    database->broken = !mg_ok(status);
    return status;
}
