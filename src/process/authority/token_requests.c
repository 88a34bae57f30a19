/* Service accounts and their API tokens: issued, listed, revoked, and asked about with every request of the
 * API. */
#include "base/log.h"
#include "base/secret.h"
#include "domain/api_token.h"
#include "domain/login.h"
#include "domain/tenant_policy.h"
#include "process/authority/requests.h"
#include "process/authority/rights.h"
#include "process/authority/tenants.h"
#include "process/authority/token.h"

enum { PAGE_ROWS = 100, TOKENS_MOST = 20, USED_EVERY_MS = 600000 };

/* ---- token_check ---- */

struct place {
    struct mg_view address;
    bool shut_out, read;
};

static void
place_read(void *context, const struct mg_tenant_policy *policy)
{
    struct place *place = context;
    const char *keyword;
    place->shut_out = mg_tenant_policy_shuts_out(policy, place->address, &keyword);
    place->read = true;
}

/* Nobody waits for the disk: it is there to find tokens that nobody uses, and the audit log says what was
 * done. */
static void
use_note(struct mg_database *database, uint64_t token, struct mg_view address, mg_instant now)
{
    const struct mg_status status =
        mg_query_often(database, NULL,
                       "WITH c AS (SELECT set_config('synchronous_commit', 'off', true))"
                       " UPDATE api_token SET last_used_at = $2, last_address = $3 FROM c WHERE id = $1"
                       " AND (last_used_at IS NULL OR last_used_at < $4)",
                       MG_I64(token), MG_INSTANT(now), MG_TEXT(address), MG_INSTANT(now - USED_EVERY_MS));
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "last use of a token", status);
}

/* The gate has judged the address already; here it is judged again, because a token is no less than a
 * password. */
static enum mg_outcome
token_judge(const struct mg_token *token, uint64_t tenant, struct mg_view address)
{
    struct place place = {.address = address};
    if (token->account.tenant != tenant)
        return MG_TOKEN_NOT_VALID;
    if (!token->tenant.open)
        return MG_TENANT_CLOSED;
    mg_tenants_policy_read(tenant, place_read, &place);
    return place.read && !place.shut_out ? MG_GRANTED : MG_ADDRESS_NOT_ALLOWED;
}

/* Control: IDENTITY_05, IDENTITY_06 */
MG_HANDLER_PUBLIC(token_check)
{
    OWN(database) database = NULL;
    MG_CLEANUP(mg_token_drop) struct mg_token token = {0};
    struct mg_reply_token_check reply = {.outcome = MG_TOKEN_NOT_VALID};
    const mg_instant now = mg_now();
    bool found = false;
    TRY(mg_core_database(&database));
    TRY(mg_token_find(database, request->token, now, &token, &found));
    if (found)
        reply.outcome = token_judge(&token, request->tenant, request->address);
    if (reply.outcome != MG_GRANTED) {
        mg_sign_in_refusal_count(request->tenant, (enum mg_outcome) reply.outcome, request->address);
        return mg_answer_token_check(call, &reply);
    }
    const struct mg_token_rate rate =
        mg_token_rate_take(token.id, mg_environment()->options->api_rate, mg_monotonic_ms());
    if (rate.allowed)
        use_note(database, token.id, request->address, now);
    else
        reply.outcome = MG_RATE_LIMITED;
    reply.token = token.id;
    reply.account = token.account.id;
    reply.login = token.account.login;
    reply.permissions = token.held;
    reply.rate_most = rate.most;
    reply.rate_window_s = rate.window_s;
    reply.rate_left = rate.left;
    reply.rate_reset_s = rate.reset_s;
    return mg_answer_token_check(call, &reply);
}

/* ---- lists ---- */

MG_HANDLER_PUBLIC(service_list)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, 122880);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(service_list, call, request->session, request->tenant, &right, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_service_list(call, &(struct mg_reply_service_list){.outcome = outcome});
    TRY(mg_core_database(&database));
    TRY(mg_query(
        database, &rows,
        "SELECT a.id, a.login, a.name, a.roles, a.disabled_at IS NOT NULL, count(t.id), a.created_at,"
        " max(t.last_used_at) FROM account a LEFT JOIN api_token t ON t.account = a.id"
        " WHERE a.tenant = $1 AND a.service AND a.login > $2 GROUP BY a.id ORDER BY a.login LIMIT $3",
        MG_I64(right.tenant.number), MG_TEXT(request->after), MG_I64(PAGE_ROWS + 1)));
    const size_t count = mg_rows_count(rows);
    for (size_t i = 0; i < count && i < PAGE_ROWS; i++) {
        const struct mg_record_service_row row = {
            .account = (uint64_t) mg_rows_i64(rows, i, 0),
            .login = mg_rows_text(rows, i, 1),
            .name = mg_rows_text(rows, i, 2),
            .roles = mg_rows_text(rows, i, 3),
            .disabled = mg_rows_flag(rows, i, 4),
            .tokens = (uint64_t) mg_rows_i64(rows, i, 5),
            .created_at = mg_rows_instant(rows, i, 6),
            .last_used_at = mg_rows_null(rows, i, 7) ? 0 : mg_rows_instant(rows, i, 7),
        };
        TRY(mg_list_add_service_row(&list, &row));
    }
    return mg_answer_service_list(
        call, &(struct mg_reply_service_list){.outcome = MG_GRANTED,
                                              .more = count > PAGE_ROWS,
                                              .accounts = {.bytes = mg_buffer_view(&list)}});
}

/* 100 rows of the longest fit into no packet, 30 do. */
enum { TOKEN_ROWS = 30 };

MG_HANDLER_PUBLIC(token_list)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, 122880);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(token_list, call, request->session, request->tenant, &right, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_token_list(call, &(struct mg_reply_token_list){.outcome = outcome});
    TRY(mg_core_database(&database));
    TRY(mg_query(
        database, &rows,
        "SELECT t.id, a.login, t.label, t.hint, t.permissions, t.created_by, t.created_at, t.expires_at,"
        " t.last_used_at, t.last_address FROM api_token t JOIN account a ON a.id = t.account"
        " WHERE a.tenant = $1 AND ($2 = '' OR a.login = $2) AND t.id > $3 ORDER BY t.id LIMIT $4",
        MG_I64(right.tenant.number), MG_TEXT(request->account), MG_I64(request->after),
        MG_I64(TOKEN_ROWS + 1)));
    const size_t count = mg_rows_count(rows);
    for (size_t i = 0; i < count && i < TOKEN_ROWS; i++) {
        const struct mg_record_token_row row = {
            .token = (uint64_t) mg_rows_i64(rows, i, 0),
            .account = mg_rows_text(rows, i, 1),
            .label = mg_rows_text(rows, i, 2),
            .hint = mg_rows_text(rows, i, 3),
            .permissions = mg_rows_text(rows, i, 4),
            .created_by = mg_rows_text(rows, i, 5),
            .created_at = mg_rows_instant(rows, i, 6),
            .expires_at = mg_rows_instant(rows, i, 7),
            .last_used_at = mg_rows_null(rows, i, 8) ? 0 : mg_rows_instant(rows, i, 8),
            .last_address = mg_rows_text(rows, i, 9),
        };
        TRY(mg_list_add_token_row(&list, &row));
    }
    return mg_answer_token_list(call,
                                &(struct mg_reply_token_list){.outcome = MG_GRANTED,
                                                              .more = count > TOKEN_ROWS,
                                                              .tokens = {.bytes = mg_buffer_view(&list)}});
}

/* ---- token_add ---- */

struct issue {
    const struct mg_request_token_add *request;
    struct mg_right right;
    struct mg_rows *rows;
    struct mg_account account;
    mg_permissions wanted;
    const char *reason;
    mg_instant now;
};

static void
issue_drop(struct issue *it)
{
    mg_rows_drop(&it->rows);
}

/* The service account of that name; NOT_KNOWN for a person's. */
static CHECKED struct mg_status
issue_account(struct mg_database *database, struct issue *it, enum mg_outcome *ret_outcome)
{
    *ret_outcome = MG_NOT_KNOWN;
    const struct mg_status status =
        mg_account_find(database, it->right.tenant.number, it->request->account, &it->rows, &it->account);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    if (it->account.service)
        *ret_outcome = MG_GRANTED;
    return OK;
}

/* A token is asked for by somebody who holds all that it shall hold, now and themselves: what an
 * administrator may give to people without having it is not given to programs. */
static CHECKED struct mg_status
issue_judge(struct mg_database *database, struct issue *it, enum mg_outcome *ret_outcome)
{
    struct mg_view unknown;
    mg_permissions held = 0;
    it->wanted = mg_permissions_of_keywords(it->request->permissions, &unknown);
    TRY(mg_right_of_roles(database, it->account.tenant, it->account.roles, &held));
    *ret_outcome = MG_NOT_VALID;
    if (it->request->label.length == 0)
        it->reason = "TOKEN_LABEL|";
    else if (unknown.length != 0 || it->wanted == 0)
        it->reason = "TOKEN_PERMISSIONS|";
    else if (it->request->expires_at <= it->now ||
             it->request->expires_at > it->now + MG_API_TOKEN_LIFE_MOST_MS)
        it->reason = "TOKEN_EXPIRES|";
    else if (it->account.disabled)
        it->reason = "TOKEN_DISABLED|";
    else if (!mg_permissions_cover(held, it->wanted))
        it->reason = "TOKEN_TOO_MUCH|";
    if (it->reason != NULL)
        return OK;
    *ret_outcome = it->right.operator|| mg_permissions_cover(it->right.held, it->wanted) ? MG_GRANTED
                                                                                         : MG_MORE_THAN_YOURS;
    return OK;
}

static CHECKED struct mg_status
issue_record(const struct issue *it, const char *hint, struct mg_view permissions)
{
    char expires[MG_INSTANT_TEXT];
    mg_instant_text(it->request->expires_at, expires);
    const struct mg_core_detail details[] = {{"token", mg_view_text(hint)},
                                             {"label", it->request->label},
                                             {"permissions", mg_view_start(permissions, 1000)},
                                             {"expires_at", mg_view_text(expires)}};
    return mg_core_record(&(struct mg_core_record){.event = MG_EVENT_token_issue,
                                                   .tenant = it->right.tenant.number,
                                                   .actor = &it->right.actor,
                                                   .target = it->account.login,
                                                   .details = details,
                                                   .detail_count = MG_COUNT(details)});
}

/* In one transaction, the account locked, so that two at the same time do not pass the limit together. */
static CHECKED struct mg_status
issue_store(struct mg_database *database, struct issue *it, const char *text, const uint8_t *secret,
            uint64_t *ret_token, enum mg_outcome *ret_outcome)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) count = NULL;
    OWN(rows) made = NULL;
    OWN_BUFFER(permissions, 2048);
    uint8_t hash[32];
    char hint[MG_API_TOKEN_HINT + 1];
    TRY(mg_view_copy(mg_view_of(text, MG_API_TOKEN_HINT), hint, sizeof hint));
    TRY(mg_secret_hash(mg_view_of(secret, MG_API_TOKEN_BYTES), hash));
    TRY(mg_permissions_text(it->wanted, &permissions));
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(database, NULL, "SELECT 1 FROM account WHERE id = $1 FOR UPDATE", MG_I64(it->account.id)));
    TRY(mg_query(database, NULL, "DELETE FROM api_token WHERE account = $1 AND expires_at <= $2",
                 MG_I64(it->account.id), MG_INSTANT(it->now)));
    TRY(mg_query(database, &count, "SELECT count(*) FROM api_token WHERE account = $1",
                 MG_I64(it->account.id)));
    if (mg_rows_i64(count, 0, 0) >= TOKENS_MOST) {
        *ret_outcome = MG_TOO_MANY;
        return OK;
    }
    TRY(mg_query(
        database, &made,
        "INSERT INTO api_token (account, token_hash, label, hint, permissions, created_by, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        MG_I64(it->account.id), MG_BYTES(mg_view_of(hash, sizeof hash)), MG_TEXT(it->request->label),
        MG_STRING(hint), MG_TEXT(mg_buffer_view(&permissions)), MG_STRING(it->right.actor.name),
        MG_INSTANT(it->now), MG_INSTANT(it->request->expires_at)));
    TRY(issue_record(it, hint, mg_buffer_view(&permissions)));
    TRY(mg_transaction_commit(&transaction));
    *ret_token = (uint64_t) mg_rows_i64(made, 0, 0);
    return OK;
}

MG_HANDLER_PUBLIC(token_add)
{
    OWN(database) database = NULL;
    OWN_KEY(secret, MG_API_TOKEN_BYTES);
    OWN_KEY(text, MG_API_TOKEN_LENGTH + 1);
    MG_CLEANUP(issue_drop) struct issue it = {.request = request, .now = mg_now()};
    struct mg_reply_token_add reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(token_add, call, request->session, request->tenant, &it.right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(issue_account(database, &it, &outcome));
    if (outcome == MG_GRANTED)
        TRY(issue_judge(database, &it, &outcome));
    if (outcome == MG_GRANTED) {
        mg_random(secret, sizeof secret);
        mg_api_token_text(secret, (char *) text);
        TRY(issue_store(database, &it, (const char *) text, secret, &reply.token, &outcome));
    }
    if (outcome == MG_GRANTED)
        reply.secret = mg_view_of(text, MG_API_TOKEN_LENGTH);
    reply.outcome = outcome;
    reply.reason = mg_view_text(it.reason);
    return mg_answer_token_add(call, &reply);
}

/* ---- token_revoke ---- */

static CHECKED struct mg_status
token_end(struct mg_database *database, const struct mg_right *right, uint64_t token,
          enum mg_outcome *ret_outcome)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(
        database, &rows,
        "DELETE FROM api_token t USING account a WHERE t.id = $1 AND a.id = t.account AND a.tenant = $2"
        " RETURNING a.login, t.hint, t.label",
        MG_I64(token), MG_I64(right->tenant.number)));
    if (mg_rows_count(rows) == 0) {
        *ret_outcome = MG_NOT_KNOWN;
        return OK;
    }
    const struct mg_core_detail details[] = {{"token", mg_rows_text(rows, 0, 1)},
                                             {"label", mg_rows_text(rows, 0, 2)}};
    TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_token_revoke,
                                                .tenant = right->tenant.number,
                                                .actor = &right->actor,
                                                .target = mg_rows_text(rows, 0, 0),
                                                .details = details,
                                                .detail_count = MG_COUNT(details)}));
    return mg_transaction_commit(&transaction);
}

MG_HANDLER_PUBLIC(token_revoke)
{
    OWN(database) database = NULL;
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(token_revoke, call, request->session, request->tenant, &right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(token_end(database, &right, request->token, &outcome));
    return mg_answer_token_revoke(call, &(struct mg_reply_token_revoke){.outcome = outcome});
}
