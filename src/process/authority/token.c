#include "process/authority/token.h"

#include "domain/bucket.h"
#include "process/authority/rights.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

void
mg_token_drop(struct mg_token *token)
{
    mg_rows_drop(&token->rows);
}

enum { ID = MG_ACCOUNT_COLUMN_COUNT, PERMISSIONS };

/* Control: IDENTITY_11 */
struct mg_status
mg_token_find(struct mg_database *database, struct mg_view hash, mg_instant now, struct mg_token *token,
              bool *ret_found)
{
    OWN(rows) rows = NULL;
    struct mg_token found = {0};
    *ret_found = false;
    if (hash.length != 32)
        return OK;
    TRY(mg_query_often(
        database, &rows,
        "SELECT " MG_ACCOUNT_COLUMNS ", tok.id, tok.permissions FROM api_token tok"
        " JOIN account acc ON acc.id = tok.account"
        " WHERE tok.token_hash = $1 AND tok.expires_at > $2 AND acc.service AND acc.disabled_at IS NULL",
        MG_BYTES(hash), MG_INSTANT(now)));
    if (mg_rows_count(rows) != 1 || !mg_account_read(rows, 0, 0, &found.account))
        return OK;
    const struct mg_status place = mg_core_tenant(found.account.tenant, &found.tenant);
    if (place.code == MG_NOT_FOUND || found.account.tenant == 0)
        return OK;
    TRY(place);
    found.id = (uint64_t) mg_rows_i64(rows, 0, ID);
    found.actor = mg_actor_account(&found.account);
    (void) snprintf(found.actor.session, sizeof found.actor.session, "token:%" PRIu64, found.id);
    TRY(mg_right_of_roles(database, found.account.tenant, found.account.roles, &found.held));
    found.held &= mg_permissions_of_keywords(mg_rows_text(rows, 0, PERMISSIONS), NULL);
    found.rows = TAKE(rows);
    *token = found;
    *ret_found = true;
    return OK;
}

/* ---- how often ---- */

enum { RATE_ROWS = 4096, RATE_TRIED = 8, WINDOW_S = 10 };

static struct {
    pthread_mutex_t lock;
    struct {
        uint64_t token;
        struct mg_bucket bucket;
    } rows[RATE_ROWS];
} rates = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The token's row, or the one among its places that was not asked for longest: what is lost with it is at
 * most what was used up of one window. */
static size_t
rate_row(uint64_t token)
{
    const size_t first = (size_t) (token * UINT64_C(0x9E3779B97F4A7C15) >> 52);
    size_t oldest = first;
    for (size_t i = 0; i < RATE_TRIED; i++) {
        const size_t at = (first + i) % RATE_ROWS;
        if (rates.rows[at].token == token)
            return at;
        if (rates.rows[at].bucket.filled_ms < rates.rows[oldest].bucket.filled_ms)
            oldest = at;
    }
    rates.rows[oldest].token = token;
    rates.rows[oldest].bucket = (struct mg_bucket){0};
    return oldest;
}

struct mg_token_rate
mg_token_rate_take(uint64_t token, int64_t per_second, int64_t now_ms)
{
    const int64_t burst = per_second * WINDOW_S;
    struct mg_token_rate rate = {.most = (uint64_t) burst, .window_s = WINDOW_S};
    (void) pthread_mutex_lock(&rates.lock);
    struct mg_bucket *bucket = &rates.rows[rate_row(token)].bucket;
    rate.allowed = mg_bucket_take(bucket, per_second, burst, now_ms);
    rate.left = (uint64_t) mg_bucket_left(bucket);
    rate.reset_s = (uint64_t) ((mg_bucket_full_in_ms(bucket, per_second, burst) + 999) / 1000);
    (void) pthread_mutex_unlock(&rates.lock);
    if (!rate.allowed)
        rate.reset_s = 1; /* one more after a second at the latest */
    return rate;
}
