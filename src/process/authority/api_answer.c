/* Requests of the API that come twice: the first one's answer is kept for a day under the key that its sender
 * chose (draft-ietf-httpapi-idempotency-key-header). */
#include "process/authority/requests.h"
#include "process/authority/token.h"

enum { KEPT_MS = 86400000, KEYS_MOST = 1000, FIRST = 1, REPEATED, OTHER_REQUEST, UNDER_WAY, TOO_MANY_KEYS };

/* A crash of the database may forget the row of a request that has not done anything yet, never of one that
 * has: what a request does is committed after it and waits for the disk. */
#define WITHOUT_WAITING "WITH c AS (SELECT set_config('synchronous_commit', 'off', true))"

static CHECKED struct mg_status
turn_take(struct mg_database *database, uint64_t token, const struct mg_request_api_begin *request,
          mg_instant now, uint64_t *ret_turn)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, NULL, WITHOUT_WAITING " DELETE FROM api_answer USING c WHERE begun_at < $1",
                 MG_INSTANT(now - KEPT_MS)));
    TRY(mg_query(database, &rows,
                 WITHOUT_WAITING
                 " INSERT INTO api_answer (token, key, request_hash, begun_at) SELECT $1, $2, $3, $4 FROM c"
                 " WHERE (SELECT count(*) FROM api_answer WHERE token = $1) < $5"
                 " ON CONFLICT (token, key) DO NOTHING RETURNING 1",
                 MG_I64(token), MG_TEXT(request->key), MG_BYTES(request->request), MG_INSTANT(now),
                 MG_I64(KEYS_MOST)));
    *ret_turn = mg_rows_count(rows) == 1 ? FIRST : TOO_MANY_KEYS;
    return OK;
}

MG_HANDLER_PUBLIC(api_begin)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    MG_CLEANUP(mg_token_drop) struct mg_token token = {0};
    struct mg_reply_api_begin reply = {0};
    bool found = false;
    const mg_instant now = mg_now();
    TRY(mg_core_database(&database));
    TRY(mg_token_find(database, request->token, now, &token, &found));
    if (!found || request->key.length == 0 || request->request.length != 32)
        return fail_with(REFUSED, "a key without a token");
    TRY(turn_take(database, token.id, request, now, &reply.turn));
    if (reply.turn == FIRST)
        return mg_answer_api_begin(call, &reply);
    TRY(mg_query(database, &rows,
                 "SELECT request_hash, status, place, body FROM api_answer WHERE token = $1 AND key = $2",
                 MG_I64(token.id), MG_TEXT(request->key)));
    if (mg_rows_count(rows) == 1 && !mg_view_equal(mg_rows_bytes(rows, 0, 0), request->request))
        reply.turn = OTHER_REQUEST;
    else if (mg_rows_count(rows) == 1 && mg_rows_null(rows, 0, 1))
        reply.turn = UNDER_WAY;
    else if (mg_rows_count(rows) == 1) {
        reply.turn = REPEATED;
        reply.status = (uint64_t) mg_rows_i64(rows, 0, 1);
        reply.place = mg_rows_text(rows, 0, 2);
        reply.body = mg_rows_text(rows, 0, 3);
    }
    return mg_answer_api_begin(call, &reply);
}

MG_HANDLER_PUBLIC(api_end)
{
    OWN(database) database = NULL;
    MG_CLEANUP(mg_token_drop) struct mg_token token = {0};
    bool found = false;
    TRY(mg_core_database(&database));
    TRY(mg_token_find(database, request->token, mg_now(), &token, &found));
    if (found && request->status == 0)
        TRY(mg_query(database, NULL,
                     "DELETE FROM api_answer WHERE token = $1 AND key = $2 AND status IS NULL",
                     MG_I64(token.id), MG_TEXT(request->key)));
    else if (found) /* a token that revoked itself took its answers with it */
        TRY(mg_query(database, NULL,
                     WITHOUT_WAITING " UPDATE api_answer SET status = $3, place = $4, body = $5 FROM c"
                                     " WHERE token = $1 AND key = $2 AND status IS NULL",
                     MG_I64(token.id), MG_TEXT(request->key), MG_I64(request->status),
                     MG_TEXT(request->place), MG_TEXT(request->body)));
    return mg_answer_api_end(call, &(struct mg_reply_api_end){0});
}
