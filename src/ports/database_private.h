/* What database.c and database_pool.c share. */
#ifndef MG_PORTS_DATABASE_PRIVATE_H
#define MG_PORTS_DATABASE_PRIVATE_H

#include "ports/database.h"

#include <libpq-fe.h>

#define MG_PREPARED_MOST 64

struct mg_database {
    PGconn *connection;
    int statement_ms;
    bool broken;                   /* a wait ran out: what the server does is unknown, so never reuse it */
    struct mg_database_pool *pool; /* NULL: closed by its drop */
    uint64_t generation;           /* of the pool's credentials */
    struct mg_database *next_idle;
    const char *prepared[MG_PREPARED_MOST]; /* statement p0, p1, …: the literal's address */
    size_t prepared_count;
    /* What the server's plan_cache_mode is; UNKNOWN also after a rollback, which takes a setting back. */
    enum mg_plans { MG_PLANS_UNKNOWN, MG_PLANS_FOR_VALUES, MG_PLANS_KEPT } plans;
};

void mg_database_close(struct mg_database *database);
CHECKED struct mg_status mg_database_rollback(struct mg_database *database);
void mg_database_pool_give(struct mg_database_pool *pool, struct mg_database *database);

#endif
