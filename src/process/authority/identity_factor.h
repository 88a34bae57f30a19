/* What the files about second factors share: who asks to change something about their own. */
#ifndef MG_AUTHORITY_IDENTITY_FACTOR_H
#define MG_AUTHORITY_IDENTITY_FACTOR_H

#include "process/authority/identity.h"

struct mg_changer {
    struct mg_rows *rows;
    struct mg_account account;
    struct mg_core_tenant tenant;
    struct mg_live_session live; /* with a session */
    bool by_ticket;
    uint8_t begun_by[32]; /* names ticket or family for what is being set up */
    mg_instant now;
};
void mg_changer_drop(struct mg_changer *changer);
/* By session or by ticket, of which one is empty. GRANTED; STEP_UP when the session has not shown a short
 * while ago who it is; a ticket is for the first second factor only (TICKET_SPENT). Set changer->now before.
 */
CHECKED struct mg_status mg_changer_find(struct mg_database *database, uint64_t tenant, struct mg_view ticket,
                                         struct mg_view session, struct mg_view address,
                                         struct mg_changer *changer, enum mg_outcome *ret_outcome);
CHECKED struct mg_status mg_changer_note(const struct mg_changer *changer, enum mg_event event,
                                         enum mg_audit_outcome outcome, struct mg_view address,
                                         const char *reason);
/* What another second factor, of that kind, was set up from. With a ticket the sign-in ends here, and family
 * has the session's secrets; a session has now given a second factor. */
struct mg_changer_place {
    struct mg_view ticket, address, user_agent, host, binding, previous;
};
CHECKED struct mg_status mg_changer_go_on(struct mg_database *database, const struct mg_changer *changer,
                                          const struct mg_changer_place *place, const char *kind,
                                          struct mg_new_family *family, enum mg_outcome *ret_outcome);
CHECKED struct mg_status mg_factors_count(struct mg_database *database, uint64_t account,
                                          uint64_t *ret_count);

/* ---- passkeys (identity_passkey.c) ---- */

/* Confirmed ones of the account. */
CHECKED struct mg_status mg_passkeys_count(struct mg_database *database, uint64_t account,
                                           uint64_t *ret_count);
/* What a challenge for `use` is bound to: SHA-256 of the ticket, the session or the browser's secret. */
CHECKED struct mg_status mg_passkey_bound(struct mg_view secret, uint8_t bound_to[32]);
/* *ret_good for a challenge of ours that was made for this and is not too old. It may have been answered
 * before: mg_passkey_challenge_spend. */
CHECKED struct mg_status mg_passkey_challenge_check(uint64_t tenant, struct mg_view challenge, uint64_t use,
                                                    const uint8_t bound_to[32], mg_instant now,
                                                    bool *ret_good);
/* *ret_first for one of any number who answer it at the same time. Durable when it returns. */
CHECKED struct mg_status mg_passkey_challenge_spend(struct mg_database *database, struct mg_view challenge,
                                                    mg_instant now, bool *ret_first);
CHECKED struct mg_status mg_passkey_user_handle(uint64_t tenant, uint64_t account, uint8_t handle[32]);

#endif
