/* API tokens of service accounts: whose a token is, what it may at this moment, and how often it asks. Stored
 * is only SHA-256 of its 32 bytes (NIST SP 800-63B-4 section 3.1.2.2 for secrets of that many random bits).
 *
 * A token never has more than its account: roles that were taken away, a disabled account and a suspended
 * tenant count from the next request on, because each one asks anew. */
#ifndef MG_AUTHORITY_TOKEN_H
#define MG_AUTHORITY_TOKEN_H

#include "process/authority/identity.h"

#include "domain/permission.h"

struct mg_token {
    uint64_t id;
    struct mg_rows *rows; /* what `account` borrows */
    struct mg_account account;
    struct mg_core_tenant tenant;
    struct mg_core_actor actor;
    mg_permissions held; /* of the token's, those that the account holds now */
};
void mg_token_drop(struct mg_token *token);

/* *ret_found is false for an unknown or expired token and one of a disabled account; `token` is then empty.
 */
CHECKED struct mg_status mg_token_find(struct mg_database *database, struct mg_view hash, mg_instant now,
                                       struct mg_token *token, bool *ret_found);

/* Takes one request from the token's rate (option api.rate). What is left also when it is refused. */
struct mg_token_rate {
    bool allowed;
    uint64_t most, window_s, left, reset_s;
};
struct mg_token_rate mg_token_rate_take(uint64_t token, int64_t per_second, int64_t now_ms);

#endif
