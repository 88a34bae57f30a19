#include "ports/migrations.h"

#include <openssl/sha.h>

/* Any constant will do, as long as it never changes: "masugata" in ASCII. */
static const int64_t lock_number = INT64_C(0x6d61737567617461);

static const char history_sql[] = "CREATE TABLE IF NOT EXISTS schema_migration ("
                                  " version integer PRIMARY KEY,"
                                  " name text NOT NULL,"
                                  " digest bytea NOT NULL,"
                                  " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())";

struct digest {
    uint8_t bytes[SHA256_DIGEST_LENGTH];
};

static struct digest
digest_of(const struct mg_migration *migration)
{
    struct digest digest;
    (void) SHA256((const uint8_t *) migration->sql, strlen(migration->sql), digest.bytes);
    return digest;
}

/* What has run must be a beginning of what we have. */
static struct mg_status
history_check(const struct mg_rows *history, const struct mg_migrations *migrations)
{
    const size_t count = mg_rows_count(history);
    const int newest = migrations->count == 0 ? 0 : migrations->rows[migrations->count - 1].version;
    for (size_t i = 0; i < count; i++) {
        const int64_t version = mg_rows_i64(history, i, 0);
        if (version > newest)
            return fail_with(NEWER_SCHEMA, "schema version %lld, this program knows %d", (long long) version,
                             newest);
        if (i >= migrations->count || version != migrations->rows[i].version)
            return fail_with(INTEGRITY, "schema version %lld does not belong here", (long long) version);
        const struct digest digest = digest_of(&migrations->rows[i]);
        if (!mg_view_equal(mg_rows_bytes(history, i, 1), mg_view_of(digest.bytes, sizeof digest.bytes)))
            return fail_with(INTEGRITY, "migration %04d_%s is not the one that was run",
                             migrations->rows[i].version, migrations->rows[i].name);
    }
    return OK;
}

static struct mg_status
migration_run(struct mg_database *database, const struct mg_migration *migration)
{
    const struct digest digest = digest_of(migration);
    OWN(transaction) transaction = NULL;
    TRY(mg_transaction_begin(database, &transaction));
    const struct mg_status status = mg_database_script(database, migration->sql);
    if (!mg_ok(status))
        return mg_fail_with(status.code, status.where, "migration %04d_%s: %s", migration->version,
                            migration->name, status.detail);
    TRY(mg_query(database, NULL, "INSERT INTO schema_migration (version, name, digest) VALUES ($1, $2, $3)",
                 MG_I64(migration->version), MG_STRING(migration->name),
                 MG_BYTES(mg_view_of(digest.bytes, sizeof digest.bytes))));
    return mg_transaction_commit(&transaction);
}

static struct mg_status
run_locked(struct mg_database *database, const struct mg_migrations *migrations, int *applied)
{
    TRY(mg_database_script(database, history_sql));
    OWN(rows) history = NULL;
    TRY(mg_query(database, &history, "SELECT version, digest FROM schema_migration ORDER BY version"));
    TRY(history_check(history, migrations));
    for (size_t i = mg_rows_count(history); i < migrations->count; i++) {
        TRY(migration_run(database, &migrations->rows[i]));
        (*applied)++;
    }
    return OK;
}

struct mg_status
mg_migrations_run(struct mg_database *database, const struct mg_migrations *migrations, int *ret_applied)
{
    int applied = 0;
    /* Held by the session, across the transactions; a lost connection gives it up. */
    TRY(mg_query(database, NULL, "SELECT pg_advisory_lock($1)", MG_I64(lock_number)));
    const struct mg_status status = run_locked(database, migrations, &applied);
    const struct mg_status unlocked =
        mg_ok(status) ? mg_query(database, NULL, "SELECT pg_advisory_unlock($1)", MG_I64(lock_number)) : OK;
    if (!mg_ok(status)) {
        /* Keeps the detail of the first failure: the unlock may overwrite it. */
        char detail[512];
        (void) snprintf(detail, sizeof detail, "%s", status.detail);
        const struct mg_status ignored =
            mg_query(database, NULL, "SELECT pg_advisory_unlock($1)", MG_I64(lock_number));
        (void) ignored;
        return mg_fail_with(status.code, status.where, "%s", detail);
    }
    TRY(unlocked);
    *ret_applied = applied;
    return OK;
}
