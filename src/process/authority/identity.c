/* Identity's start and its timers. */
#include "process/authority/identity.h"
#include "process/authority/federation.h"
#include "process/authority/identity_risk.h"

#include "base/log.h"

#include <inttypes.h>

enum {
    WORK_THREADS = 12,
    SEEN_EVERY_MS = 5000,
    SEEN_AT_ONCE = 1000,
    EXPIRE_EVERY_MS = 30000,
    CLEAN_EVERY_MS = 3600000,
    EXPIRE_PAGE = 200
};

struct mg_status
mg_identity_start(const struct mg_environment *environment)
{
    (void) environment;
    /* More than there are hashes at once, so that the hasher has work while others talk to the database. */
    return mg_work_start(WORK_THREADS);
}

/* ---- last use, as the gate's workers marked it ----------------------------------------------------------
 */

/* "ID:MILLISECONDS" with spaces between: many marks travel in one statement, because the heartbeat waits. */
struct seen {
    struct mg_buffer marks;
    size_t count;
    struct mg_database *database;
};

static void
seen_drop(struct seen *seen)
{
    mg_buffer_drop(&seen->marks);
}

static CHECKED struct mg_status
seen_store(struct seen *seen)
{
    if (seen->count == 0)
        return OK;
    TRY(mg_query(
        seen->database, NULL,
        "WITH c AS (SELECT set_config('synchronous_commit', 'off', true)),"
        " v AS (SELECT split_part(w, ':', 1)::bigint AS id,"
        "       to_timestamp(split_part(w, ':', 2)::bigint / 1000.0) AS at FROM unnest(string_to_array($1, ' ')) w),"
        " s AS (UPDATE session x SET last_seen_at = v.at FROM v, c WHERE x.id = v.id AND x.last_seen_at < v.at"
        "       RETURNING x.family, v.at)"
        " UPDATE session_family f SET last_seen_at = m.at FROM (SELECT family, max(at) AS at FROM s GROUP BY 1) m"
        " WHERE f.id = m.family AND f.last_seen_at < m.at",
        MG_TEXT(mg_buffer_view(&seen->marks))));
    mg_buffer_clear(&seen->marks);
    seen->count = 0;
    return OK;
}

static CHECKED struct mg_status
seen_add(void *context, uint64_t session, uint64_t user, mg_instant seen_at)
{
    struct seen *seen = context;
    (void) user;
    TRY(mg_buffer_format(&seen->marks, "%s%" PRIu64 ":%" PRId64, seen->count == 0 ? "" : " ", session,
                         seen_at));
    return ++seen->count < SEEN_AT_ONCE ? OK : seen_store(seen);
}

/* Since this last went well: while the database was away the gate let people go on working. After a start,
 * as far back as it does so without us. */
static CHECKED struct mg_status
seen_follow(mg_instant now)
{
    static mg_instant followed_at;
    const int64_t outage_ms = mg_environment()->options->gate_outage;
    const mg_instant since =
        followed_at != 0 && followed_at < now ? followed_at - SEEN_EVERY_MS : now - outage_ms;
    OWN(database) database = NULL;
    OWN(transaction) transaction = NULL;
    MG_CLEANUP(seen_drop) struct seen seen = {.marks = MG_BUFFER(SEEN_AT_ONCE * 48)};
    TRY(mg_core_database(&database));
    seen.database = database;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_session_seen_walk(mg_core_sessions(), since, seen_add, &seen));
    TRY(seen_store(&seen));
    TRY(mg_transaction_commit(&transaction));
    followed_at = now;
    return OK;
}

/* ---- ends
 * --------------------------------------------------------------------------------------------------- */

/* One family past a limit: recorded, then ended. */
static CHECKED struct mg_status
expire_one(struct mg_database *database, const struct mg_rows *rows, size_t row)
{
    struct mg_account account;
    uint64_t ended = 0;
    if (!mg_account_read(rows, row, 0, &account))
        return OK;
    const struct mg_core_actor actor = mg_actor_account(&account);
    const uint64_t family = (uint64_t) mg_rows_i64(rows, row, MG_ACCOUNT_COLUMN_COUNT);
    const bool absolute = mg_rows_flag(rows, row, MG_ACCOUNT_COLUMN_COUNT + 1);
    TRY(mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_session_end,
                                                 .tenant = account.tenant,
                                                 .actor = &actor,
                                                 .outcome = MG_AUDIT_SUCCESS,
                                                 .reason = mg_view_text(absolute ? "ABSOLUTE" : "IDLE"),
                                                 .family = family}));
    OWN_EFFECTS(true);
    return mg_families_end(database, &(struct mg_family_match){.family = family}, &ended);
}

static CHECKED struct mg_status
expire(mg_instant now)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    TRY(mg_core_database(&database));
    TRY(mg_query(database, &rows,
                 "SELECT " MG_ACCOUNT_COLUMNS ", f.id, f.expires_at <= $1 FROM session_family f"
                 " JOIN account acc ON acc.id = f.account WHERE f.expires_at <= $1"
                 " OR f.last_seen_at + f.idle_ms * interval '1 millisecond' <= $1 LIMIT $2",
                 MG_INSTANT(now), MG_I64(EXPIRE_PAGE)));
    for (size_t i = 0; i < mg_rows_count(rows); i++)
        TRY(expire_one(database, rows, i));
    return mg_query(
        database, NULL,
        "WITH c AS (DELETE FROM entry_code WHERE expires_at <= $1) DELETE FROM ticket WHERE expires_at <= $1",
        MG_INSTANT(now));
}

/* Counters that no longer count, and second factors that nobody finished setting up. A counter of failures in
 * a row is kept for a week without an attempt. */
static CHECKED struct mg_status
clean(mg_instant now)
{
    OWN(database) database = NULL;
    TRY(mg_core_database(&database));
    TRY(mg_query(database, NULL, "DELETE FROM factor WHERE confirmed_at IS NULL AND created_at < $1",
                 MG_INSTANT(now - CLEAN_EVERY_MS)));
    TRY(mg_risk_clean(database, now));
    TRY(mg_query(database, NULL, "DELETE FROM passkey_answered WHERE expires_at < $1", MG_INSTANT(now)));
    return mg_query(database, NULL,
                    "DELETE FROM attempt WHERE touched_at < $1 OR (kind <> 1 AND touched_at < $2)",
                    MG_I64(now - 7 * INT64_C(86400000)), MG_I64(now - INT64_C(86400000)));
}

/* Runs `work` when its time has come; a failure is logged and tried again the next time. */
static void
every(mg_instant now, int64_t interval_ms, mg_instant *last, struct mg_status (*work)(mg_instant),
      const char *what)
{
    if (now >= *last && now - *last < interval_ms) /* also runs when the clock went back */
        return;
    *last = now;
    const struct mg_status status = work(now);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, what, status);
}

void
mg_identity_tick(mg_instant now)
{
    static mg_instant seen_at, expired_at, operators_at, cleaned_at;
    every(now, SEEN_EVERY_MS, &seen_at, seen_follow, "last use of sessions");
    every(now, EXPIRE_EVERY_MS, &expired_at, expire, "ends of sessions");
    every(now, EXPIRE_EVERY_MS, &operators_at, mg_password_operators_end,
          "operators' passwords past their age");
    every(now, CLEAN_EVERY_MS, &cleaned_at, clean, "old attempts");
    mg_sign_in_refusal_flush(now);
    mg_federation_tick(now);
}
