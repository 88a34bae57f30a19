#include "process/authority/identity_risk.h"

#include "domain/lockout.h"

/* Columns of attempt_begin, in its order. */
enum {
    COUNTED,
    STAMP,
    ACCOUNT_RECENT,
    ACCOUNT_OLDEST,
    IN_A_ROW,
    ADDRESS_RECENT,
    ADDRESS_OLDEST,
    DEVICE_KNOWN,
    FIRST_ACCOUNT_COLUMN
};
#define ATTEMPT_COLUMNS \
    "a.counted, a.stamp, a.account_recent, a.account_oldest, a.in_a_row, a.address_recent, a.address_oldest"

static struct mg_lockout_limits
limits(void)
{
    const struct mg_options *options = mg_environment()->options;
    return (struct mg_lockout_limits){
        .account_most = (uint32_t) options->lockout_account_attempts,
        .account_window_ms = options->lockout_account_window,
        .address_most = (uint32_t) options->lockout_address_attempts,
        .address_window_ms = options->lockout_address_window,
        .in_a_row_most = (uint32_t) options->lockout_account_in_a_row,
    };
}

void
mg_attempt_drop(struct mg_attempt *attempt)
{
    mg_buffer_drop(&attempt->address_key);
}

/* Purposes of the keys: guesses at passwords and at second factors are counted apart. */
#define PASSWORD "attempt"
#define SECOND_FACTOR "attempt-second"

/* What was typed may be a password by mistake: only its hash under a key of the keys process is kept. */
static CHECKED struct mg_status
account_key(uint64_t tenant, const char *purpose, struct mg_view folded, uint8_t key[32])
{
    OWN_BUFFER(storage, 512);
    struct mg_reply_keyed_hash reply;
    const struct mg_request_keyed_hash request = {
        .tenant = tenant, .purpose = mg_view_text(purpose), .bytes = folded};
    TRY(mg_call_keyed_hash(&request, &reply, &storage, MG_IDENTITY_CALL_MS));
    if (reply.hash.length != 32)
        return fail_with(MALFORMED, "a keyed hash of %zu bytes", reply.hash.length);
    memcpy(key, reply.hash.bytes, 32);
    return OK;
}

/* The database has counted or not; the decision says why not, and both must agree. */
static CHECKED struct mg_status
judge(const struct mg_rows *rows, mg_instant now, struct mg_attempt *attempt)
{
    const struct mg_lockout_limits most = limits();
    attempt->known_device = mg_rows_flag(rows, 0, DEVICE_KNOWN);
    const struct mg_lockout_facts facts = {
        .known_device = attempt->known_device,
        .account_recent = (uint32_t) mg_rows_i64(rows, 0, ACCOUNT_RECENT),
        .account_oldest = mg_rows_i64(rows, 0, ACCOUNT_OLDEST),
        .in_a_row = (uint32_t) mg_rows_i64(rows, 0, IN_A_ROW),
        .address_recent = (uint32_t) mg_rows_i64(rows, 0, ADDRESS_RECENT),
        .address_oldest = mg_rows_i64(rows, 0, ADDRESS_OLDEST),
    };
    const struct mg_lockout_decision decision = mg_lockout_judge(&facts, &most, now);
    attempt->counted = mg_rows_flag(rows, 0, COUNTED);
    attempt->stamp = mg_rows_i64(rows, 0, STAMP);
    attempt->outcome = decision.outcome;
    attempt->wait_ms = decision.wait_ms;
    attempt->locks = decision.locks;
    if (attempt->counted != (decision.outcome == MG_GRANTED))
        return fail_with(INTEGRITY, "attempt counter and decision differ");
    return OK;
}

struct mg_status
mg_attempt_begin(struct mg_database *database, uint64_t tenant, struct mg_view folded, struct mg_view address,
                 struct mg_view device, mg_instant now, struct mg_attempt *attempt, struct mg_rows **ret_rows,
                 struct mg_account *ret_account, bool *ret_known)
{
    const struct mg_lockout_limits most = limits();
    *attempt = (struct mg_attempt){
        .tenant = tenant, .address_kind = MG_ATTEMPT_ADDRESS, .address_key = MG_BUFFER(128)};
    TRY(account_key(tenant, PASSWORD, folded, attempt->account_key));
    TRY(mg_lockout_address_key(address, &attempt->address_key));
    uint8_t device_hash[32] = {0}, device_key[32];
    if (device.length == MG_TOKEN_BYTES)
        TRY(mg_secret_hash(device, device_hash));
    TRY(mg_risk_device_key(attempt->account_key, device_hash, device_key));
    OWN(rows) rows = NULL;
    TRY(mg_query_often(
        database, &rows,
        "SELECT " ATTEMPT_COLUMNS ", d.known, " MG_ACCOUNT_COLUMNS
        " FROM (SELECT EXISTS(SELECT 1 FROM account x JOIN sign_in_device s ON s.account = x.id AND s.device_hash = $12"
        "  WHERE x.tenant = $1 AND x.login = $11) AS known) d"
        " CROSS JOIN LATERAL attempt_begin($1, CASE WHEN d.known THEN $13 ELSE $2 END, $3::smallint,"
        " CASE WHEN d.known THEN '' ELSE $4 END, $5, $6::int, $7, $8::int, $9::int, $10) a"
        " LEFT JOIN account acc ON acc.tenant = $1 AND acc.login = $11",
        MG_I64(tenant), MG_BYTES(mg_view_of(attempt->account_key, 32)), MG_I64(attempt->address_kind),
        MG_BYTES(mg_buffer_view(&attempt->address_key)), MG_I64(now), MG_I64(most.account_most),
        MG_I64(most.account_window_ms), MG_I64(most.in_a_row_most), MG_I64(most.address_most),
        MG_I64(most.address_window_ms), MG_TEXT(folded),
        MG_BYTES(mg_view_of(device_hash, sizeof device_hash)),
        MG_BYTES(mg_view_of(device_key, sizeof device_key))));
    TRY(judge(rows, now, attempt));
    if (attempt->known_device) { /* what is taken back is taken back where it was counted */
        memcpy(attempt->account_key, device_key, sizeof device_key);
        mg_buffer_clear(&attempt->address_key);
    }
    *ret_known = mg_account_read(rows, 0, FIRST_ACCOUNT_COLUMN, ret_account);
    *ret_rows = TAKE(rows);
    return OK;
}

/* Control: IDENTITY_04 */
struct mg_status
mg_attempt_begin_second(struct mg_database *database, uint64_t tenant, struct mg_view folded,
                        struct mg_view address, mg_instant now, struct mg_attempt *attempt)
{
    const struct mg_lockout_limits most = limits();
    *attempt = (struct mg_attempt){
        .tenant = tenant, .address_kind = MG_ATTEMPT_ADDRESS, .address_key = MG_BUFFER(128)};
    TRY(account_key(tenant, SECOND_FACTOR, folded, attempt->account_key));
    TRY(mg_lockout_address_key(address, &attempt->address_key));
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "SELECT " ATTEMPT_COLUMNS ", false"
                 " FROM attempt_begin($1, $2, $3::smallint, $4, $5, $6::int, $7, $8::int, $9::int, $10) a",
                 MG_I64(tenant), MG_BYTES(mg_view_of(attempt->account_key, 32)),
                 MG_I64(attempt->address_kind), MG_BYTES(mg_buffer_view(&attempt->address_key)), MG_I64(now),
                 MG_I64(most.account_most), MG_I64(most.account_window_ms), MG_I64(most.in_a_row_most),
                 MG_I64(most.address_most), MG_I64(most.address_window_ms)));
    return judge(rows, now, attempt);
}

struct mg_status
mg_attempt_begin_address(struct mg_database *database, uint64_t tenant, enum mg_attempt_kind kind,
                         struct mg_view address, mg_instant now, struct mg_attempt *attempt)
{
    const struct mg_lockout_limits most = limits();
    *attempt = (struct mg_attempt){.tenant = tenant, .address_kind = kind, .address_key = MG_BUFFER(128)};
    TRY(mg_lockout_address_key(address, &attempt->address_key));
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "SELECT " ATTEMPT_COLUMNS ", false"
                 " FROM attempt_begin($1, '', $2::smallint, $3, $4, 1, 1, 1, $5::int, $6) a",
                 MG_I64(tenant), MG_I64(kind), MG_BYTES(mg_buffer_view(&attempt->address_key)), MG_I64(now),
                 MG_I64(most.address_most), MG_I64(most.address_window_ms)));
    return judge(rows, now, attempt);
}

struct mg_status
mg_attempt_forget(struct mg_database *database, const struct mg_attempt *attempt, bool succeeded)
{
    return mg_query(
        database, NULL,
        "SELECT set_config('synchronous_commit', 'off', true), attempt_forget($1, $2, $3::smallint, $4, $5, $6)",
        MG_I64(attempt->tenant), MG_BYTES(mg_view_of(attempt->account_key, 32)),
        MG_I64(attempt->address_kind), MG_BYTES(mg_buffer_view(&attempt->address_key)),
        MG_I64(attempt->stamp), MG_FLAG(succeeded));
}

/* A commit that waits for the disk takes along all that were given to it before, so the counting itself need
 * not wait while the hash is computed. A transaction that writes nothing would not wait. */
struct mg_status
mg_attempt_keep(struct mg_database *database)
{
    return mg_query_often(database, NULL, "SELECT pg_logical_emit_message(true, 'masugata', '')");
}

struct mg_status
mg_attempt_clear(struct mg_database *database, uint64_t tenant, struct mg_view folded)
{
    uint8_t key[32], second[32];
    TRY(account_key(tenant, PASSWORD, folded, key));
    TRY(account_key(tenant, SECOND_FACTOR, folded, second));
    return mg_query(
        database, NULL,
        "DELETE FROM attempt WHERE tenant = $1 AND kind = 1 AND (key IN ($2, $3) OR key IN"
        " (SELECT sha256($2 || s.device_hash) FROM sign_in_device s JOIN account a ON a.id = s.account"
        "  WHERE a.tenant = $1 AND a.login = $4))",
        MG_I64(tenant), MG_BYTES(mg_view_of(key, sizeof key)), MG_BYTES(mg_view_of(second, sizeof second)),
        MG_TEXT(folded));
}

struct mg_status
mg_attempt_locked_until(struct mg_database *database, uint64_t tenant, struct mg_view folded, mg_instant now,
                        mg_instant *ret_until)
{
    const struct mg_lockout_limits most = limits();
    uint8_t key[32];
    TRY(account_key(tenant, PASSWORD, folded, key));
    OWN(rows) rows = NULL;
    TRY(mg_query(
        database, &rows,
        "SELECT count(t), coalesce(min(t), 0), max(a.in_a_row)::bigint FROM attempt a"
        " LEFT JOIN LATERAL unnest(a.recent) t ON t > $3 WHERE a.tenant = $1 AND a.kind = 1 AND a.key = $2",
        MG_I64(tenant), MG_BYTES(mg_view_of(key, sizeof key)), MG_I64(now - most.account_window_ms)));
    const struct mg_lockout_facts facts = {
        .account_recent = (uint32_t) mg_rows_i64(rows, 0, 0),
        .account_oldest = mg_rows_i64(rows, 0, 1),
        .in_a_row = (uint32_t) mg_rows_i64(rows, 0, 2),
    };
    const struct mg_lockout_decision decision = mg_lockout_judge(&facts, &most, now);
    *ret_until = decision.outcome == MG_GRANTED ? 0
                 : decision.wait_ms == 0        ? INT64_MAX
                                                : now + decision.wait_ms;
    return OK;
}
