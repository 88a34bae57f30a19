/* What database.c and database_pool.c share. */
#ifndef MG_PORTS_DATABASE_PRIVATE_H
#define MG_PORTS_DATABASE_PRIVATE_H

#include "ports/database.h"

#include <libpq-fe.h>

#define MG_PREPARED_MOST 32

struct mg_database {
    PGconn *connection;
    int statement_ms;
    bool broken;                   /* a wait ran out: what the server does is unknown, so never reuse it */
    struct mg_database_pool *pool; /* NULL: closed by its drop */
    uint64_t generation;           /* of the pool's credentials */
    struct mg_database *next_idle;
    const char *prepared[MG_PREPARED_MOST]; /* statement p0, p1, …: the literal's address */
    size_t prepared_count;
};

void mg_database_close(struct mg_database *database);
void mg_database_pool_give(struct mg_database_pool *pool, struct mg_database *database);

#endif
