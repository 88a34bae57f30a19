/* Versioned schema: files NNNN_name.sql, embedded at build time, each run once, in order, in a
 * transaction of its own. Two processes that start together wait for each other (advisory lock). A
 * schema that has a version we do not know is refused (NEWER_SCHEMA), as is one whose history
 * differs from ours (INTEGRITY): a migration that has run is never edited. */
#ifndef MG_PORTS_MIGRATIONS_H
#define MG_PORTS_MIGRATIONS_H

#include "ports/database.h"

struct mg_migration {
    int version; /* ascending; gaps are allowed */
    const char *name;
    const char *sql;
};

struct mg_migrations {
    const struct mg_migration *rows;
    size_t count;
};

/* src/ports/migrations/control: the control database. */
extern const struct mg_migrations mg_migrations_control;

/* *ret_applied is how many were run now. A failure leaves those before it in place. */
CHECKED struct mg_status mg_migrations_run(struct mg_database *database,
                                           const struct mg_migrations *migrations, int *ret_applied);

#endif
