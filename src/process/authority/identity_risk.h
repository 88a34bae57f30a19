/* Adaptive sign-in: collects the facts about a sign-in whose password (or assertion) is right, has
 * domain/risk.h judge them, and does what follows. Whoever is about to make a session asks once, before:
 *
 *     TRY(mg_risk_ask(database, &question, &answer));
 *     if (answer.verdict.outcome >= MG_RISK_STEP_UP) → mg_risk_hold, and no session
 *     mg_family_start, whose family names question and answer, and remembers the sign-in with the session */
#ifndef MG_AUTHORITY_IDENTITY_RISK_H
#define MG_AUTHORITY_IDENTITY_RISK_H

#include "domain/risk.h"
#include "process/authority/identity.h"

struct mg_risk_question {
    const struct mg_account *account;
    struct mg_view address, user_agent;
    struct mg_view device;      /* what the browser's device cookie holds, or empty */
    struct mg_view account_key; /* that wrong passwords are counted under; empty: none was asked for */
    enum mg_known breached;
    mg_instant now;
};
struct mg_risk_answer {
    struct mg_risk_verdict verdict;
    struct mg_risk_visit visit;
    bool device_known;
    uint8_t device[MG_TOKEN_BYTES], device_hash[32]; /* for the browser to keep; what is stored of it */
};
/* Reads files of places and bad addresses; called before the process is sealed. */
CHECKED struct mg_status mg_risk_prepare(const struct mg_environment *environment);

/* The facts, in one query: for who asks before the password is known to be right. */
struct mg_risk_look {
    struct mg_risk_answer answer; /* its first half */
    struct mg_rows *rows;
};
void mg_risk_look_drop(struct mg_risk_look *look);
CHECKED struct mg_status mg_risk_look(struct mg_database *database, const struct mg_risk_question *question,
                                      struct mg_risk_look *ret_look);
CHECKED struct mg_status mg_risk_decide(const struct mg_risk_question *question,
                                        const struct mg_risk_look *look, struct mg_risk_answer *ret_answer);
/* Both at once. With adaptive.mode off the verdict is ALLOW, and the rest is filled all the same. What is
 * suspicious is in the audit log when this returns. */
CHECKED struct mg_status mg_risk_ask(struct mg_database *database, const struct mg_risk_question *question,
                                     struct mg_risk_answer *ret_answer);
/* What the SQL function sign_in_visit takes to remember a sign-in and its device; `names` holds a text of it.
 */
#define MG_RISK_VISIT_VALUES 19
CHECKED struct mg_status mg_risk_visit_values(const struct mg_risk_question *question,
                                              const struct mg_risk_answer *answer, struct mg_buffer *names,
                                              struct mg_value values[MG_RISK_VISIT_VALUES]);
/* After the session was made: the person is told if need be. */
CHECKED struct mg_status mg_risk_let_in(struct mg_database *database, const struct mg_risk_question *question,
                                        const struct mg_risk_answer *answer);
/* Instead of a session: remembers it, and tells the person; for STEP_UP by a mail whose link confirms the
 * device. Whoever can ask for a second factor does that instead. */
CHECKED struct mg_status mg_risk_hold(struct mg_database *database, const struct mg_risk_question *question,
                                      const struct mg_risk_answer *answer);
/* A ticket for the second step was made instead of a session: it remembers the device that has to take it.
 * When it is taken there, the sign-in and its device are remembered as let in: false for a ticket that knows
 * no device. */
CHECKED struct mg_status mg_risk_second_begun(struct mg_database *database, struct mg_view ticket,
                                              const struct mg_risk_answer *answer);
CHECKED struct mg_status mg_risk_second_taken(const struct mg_risk_question *question,
                                              struct mg_view device_hash, struct mg_risk_answer *ret_answer,
                                              bool *ret_known);
/* A wrong password, so that guessing across names is seen. Durable when it returns. */
CHECKED struct mg_status mg_risk_failed(struct mg_database *database, uint64_t tenant,
                                        struct mg_view account_key, struct mg_view address, mg_instant now);
/* The ticket of a sign_in_confirm mail that goes out now. */
CHECKED struct mg_status mg_risk_ticket(struct mg_database *database, uint64_t confirmation, mg_instant now,
                                        uint8_t ticket[MG_TOKEN_BYTES], mg_instant *ret_ends_at);
/* Sixty days of sign-ins from one place on one device, for the canary that adaptive sign-in is tried with. */
CHECKED struct mg_status mg_risk_canary_past(struct mg_database *database, const struct mg_account *account,
                                             mg_instant now, uint8_t device[MG_TOKEN_BYTES]);
/* What is past its time. */
CHECKED struct mg_status mg_risk_clean(struct mg_database *database, mg_instant now);

/* Under what a known device's wrong passwords are counted: not with those of strangers. */
CHECKED struct mg_status mg_risk_device_key(const uint8_t account_key[32], const uint8_t device_hash[32],
                                            uint8_t key[32]);

#endif
