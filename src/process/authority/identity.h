/* Identity: who may sign in, what they are signed in to. What the identity_*.c files share.
 *
 * Order of every change: decide, audit_append (durable), database row (durable), session table. A
 * revocation has left the session table when its reply goes out. */
#ifndef MG_AUTHORITY_IDENTITY_H
#define MG_AUTHORITY_IDENTITY_H

#include "process/authority/core.h"

#include <openssl/sha.h>

#define MG_TOKEN_BYTES 32
#define MG_FAMILY_BYTES 16

/* SHA-256: all that is stored of a code or a ticket (of a session's token: mg_token_hash,
 * wire/session_table.h). */
static inline CHECKED struct mg_status
mg_secret_hash(struct mg_view bytes, uint8_t hash[32])
{
    return SHA256(bytes.bytes, bytes.length, hash) == NULL ? fail(CRYPTO) : OK;
}

/* True if somebody who changes a value saw it as it is: `expected` is empty (they do not say) or its SHA-256.
 */
bool mg_is_as_expected(struct mg_view expected, struct mg_view value);

/* Milliseconds that one call to another process may take. */
#define MG_IDENTITY_CALL_MS 10000

/* The core calls these once before requests are served, and every second. */
CHECKED struct mg_status mg_identity_start(const struct mg_environment *environment);
void mg_identity_tick(mg_instant now);

/* ---- accounts (identity_account.c) ---- */

struct mg_account {
    uint64_t id, tenant;
    struct mg_view login, name, email, roles, language; /* borrow the rows */
    struct mg_view password_sealed;                     /* empty: none yet */
    mg_instant changed_at;                              /* of the password; 0: never */
    bool must_change, disabled, locked;
    bool has_second_factor;
    bool service; /* a program of the tenant: it has API tokens and never a session */
};
#define MG_ACCOUNT_COLUMNS                                                                               \
    "acc.id, acc.tenant, acc.login, acc.name, acc.email, acc.roles, acc.language, acc.password_sealed, " \
    "acc.password_changed_at, acc.must_change, acc.disabled_at IS NOT NULL, acc.locked_at IS NOT NULL, " \
    "EXISTS (SELECT FROM factor fac WHERE fac.account = acc.id AND fac.confirmed_at IS NOT NULL), "      \
    "acc.service"
#define MG_ACCOUNT_COLUMN_COUNT 14
/* Reads those columns from `first` on; false if they are NULL (an outer join found nobody). */
bool mg_account_read(const struct mg_rows *rows, size_t row, int first, struct mg_account *account);
/* NOT_FOUND if there is none. The account borrows *ret_rows. */
CHECKED struct mg_status mg_account_find(struct mg_database *database, uint64_t tenant,
                                         struct mg_view folded_login, struct mg_rows **ret_rows,
                                         struct mg_account *ret_account);

/* ---- passwords (identity_password.c) ---- */

struct mg_password_check {
    bool match;
    bool renew;                  /* the hash or its seal is out of date: mg_password_store it again */
    struct mg_buffer normalised; /* of what was typed; wiped by mg_password_check_drop */
    struct mg_apart *hashing;    /* between begin and end */
    bool possible, stale;
};
void mg_password_check_drop(struct mg_password_check *check);
/* The same work whether the account exists (NULL if not), has a password, or may sign in. */
CHECKED struct mg_status mg_password_check(const struct mg_account *account, struct mg_view typed,
                                           const char *purpose, struct mg_password_check *ret_check);
/* The same for who has something else to do while the hash is computed. */
CHECKED struct mg_status mg_password_check_begin(const struct mg_account *account, struct mg_view typed,
                                                 const char *purpose, struct mg_password_check *ret_check);
CHECKED struct mg_status mg_password_check_end(struct mg_password_check *check);
/* Opens the stored hash; the reply borrows storage (give it a maximum of MG_PACKET_MOST). */
CHECKED struct mg_status mg_password_unseal(const struct mg_account *account, const char *purpose,
                                            struct mg_reply_unseal *ret_reply, struct mg_buffer *storage);
/* Hashes and seals for the account's row. */
CHECKED struct mg_status mg_password_seal(uint64_t tenant, uint64_t account, struct mg_view normalised,
                                          struct mg_buffer *sealed);
CHECKED struct mg_status mg_password_seal_hash(uint64_t tenant, uint64_t account, struct mg_view hash,
                                               struct mg_buffer *sealed);
/* The rules for a new password of this account. */
CHECKED struct mg_status mg_password_new_judge(const struct mg_core_tenant *tenant,
                                               const struct mg_account *account, struct mg_view typed,
                                               struct mg_buffer *normalised, enum mg_outcome *ret_outcome);

/* True for a password that the tenant's history forbids (the present one among them), or that only puts off
 * the end of its age. Takes a hash for each that is compared. */
CHECKED struct mg_status mg_password_was_used(struct mg_database *database,
                                              const struct mg_core_tenant *tenant,
                                              const struct mg_account *account, struct mg_view normalised,
                                              bool *ret_used);
/* Before it is replaced: the present one joins the history, as far as the tenant has one. */
CHECKED struct mg_status mg_password_keep_past(struct mg_database *database,
                                               const struct mg_core_tenant *tenant,
                                               const struct mg_account *account, mg_instant now);
/* True when the password has to be changed at sign-in for its age. */
bool mg_password_is_due(const struct mg_core_tenant *tenant, const struct mg_account *account,
                        mg_instant now);
/* Removes the operators' passwords that are past operators.password.max_age; on the tick. */
CHECKED struct mg_status mg_password_operators_end(mg_instant now);

/* A reset or invitation ticket for the account (identity_reset.c). */
CHECKED struct mg_status mg_ticket_make(struct mg_database *database, const struct mg_account *account,
                                        mg_instant now, uint8_t ticket[MG_TOKEN_BYTES],
                                        mg_instant *ret_ends_at);

/* True for the names of the probes' accounts, which nobody else may have: their passwords and roles are
 * overwritten in every round (identity_canary.c). */
bool mg_canary_is_login(struct mg_view folded);

/* ---- invitations (identity_invitation.c) ---- */

/* A new mail with a new link, the ones before it void, for an account without a password. */
CHECKED struct mg_status mg_invitation_send(struct mg_database *database, const struct mg_account *account,
                                            const struct mg_core_actor *actor, mg_instant now);

/* ---- attempts (identity_attempt.c) ---- */

enum mg_attempt_kind { MG_ATTEMPT_ACCOUNT = 1, MG_ATTEMPT_ADDRESS = 2, MG_ATTEMPT_RESET = 3 };
struct mg_attempt {
    uint64_t tenant;
    uint8_t account_key[32];
    struct mg_buffer address_key;
    enum mg_attempt_kind address_kind;
    int64_t stamp;
    bool counted, locks;
    bool known_device;       /* counted apart, under a key of the device's own, and not by address */
    enum mg_outcome outcome; /* GRANTED when it may go on */
    int64_t wait_ms;
};
void mg_attempt_drop(struct mg_attempt *attempt);
/* Counts the attempt and looks the account up, in one statement. `folded` may be a name nobody has. `device`
 * is what the browser's device cookie holds, or empty: where the account has used that device, strangers'
 * guesses do not hold it up. *ret_rows holds the account; *ret_known tells whether there is one. */
CHECKED struct mg_status mg_attempt_begin(struct mg_database *database, uint64_t tenant,
                                          struct mg_view folded, struct mg_view address,
                                          struct mg_view device, mg_instant now, struct mg_attempt *attempt,
                                          struct mg_rows **ret_rows, struct mg_account *ret_account,
                                          bool *ret_known);
/* The same for requests that only an address is limited in (reset). */
CHECKED struct mg_status mg_attempt_begin_address(struct mg_database *database, uint64_t tenant,
                                                  enum mg_attempt_kind kind, struct mg_view address,
                                                  mg_instant now, struct mg_attempt *attempt);
/* Right password: forgets the account's failures. Otherwise only takes this attempt back, because
 * nothing was guessed. */
CHECKED struct mg_status mg_attempt_forget(struct mg_database *database, const struct mg_attempt *attempt,
                                           bool succeeded);
/* Before a wrong guess is answered: what was counted outlives a crash of the database, or whoever can bring
 * one about would guess without end. */
CHECKED struct mg_status mg_attempt_keep(struct mg_database *database);
/* Counts a guess at a second factor: on a counter of the account's own, so that wrong passwords, which
 * anybody can type, do not keep its owner from the second step. */
CHECKED struct mg_status mg_attempt_begin_second(struct mg_database *database, uint64_t tenant,
                                                 struct mg_view folded, struct mg_view address,
                                                 mg_instant now, struct mg_attempt *attempt);
/* An operator's unlock, a reset password. Both counters. */
CHECKED struct mg_status mg_attempt_clear(struct mg_database *database, uint64_t tenant,
                                          struct mg_view folded);
/* Until when the account's counter locks it; 0 if it does not, INT64_MAX for no end. */
CHECKED struct mg_status mg_attempt_locked_until(struct mg_database *database, uint64_t tenant,
                                                 struct mg_view folded, mg_instant now,
                                                 mg_instant *ret_until);

/* ---- audit (identity_audit.c) ---- */

struct mg_core_actor mg_actor_account(const struct mg_account *account);
struct mg_core_actor mg_actor_unknown(struct mg_view login);
/* One event about one family; mg_core_record with the names filled in. */
struct mg_audit_note {
    enum mg_event event;
    uint64_t tenant;
    const struct mg_core_actor *actor;
    struct mg_view target, reason, address;
    enum mg_audit_outcome outcome;
    uint64_t family; /* 0: none */
};
/* Durable when it returns OK; otherwise do not act. */
CHECKED struct mg_status mg_identity_note(const struct mg_audit_note *note);
/* The same for who has something else to do meanwhile: durable when mg_record_end says so. */
CHECKED struct mg_status mg_identity_note_begin(const struct mg_audit_note *note,
                                                struct mg_apart **ret_append);
/* Refusals that need no hash are counted together, so that nobody can fill the log with them. */
void mg_sign_in_refusal_count(uint64_t tenant, enum mg_outcome outcome, struct mg_view address);
void mg_sign_in_refusal_flush(mg_instant now);

/* ---- sessions (identity_session.c) ---- */

/* What an identity provider said of a person, for a family that it gives. */
struct mg_federated {
    uint64_t provider;
    struct mg_view subject, session, acr, methods;
    mg_instant authenticated_at, expires_at;  /* there; the family ends with the provider */
    bool several_factors;                     /* "mfa" among the methods (RFC 8176) */
    struct mg_view arrived;                   /* all that the provider said, for its administrators: JSON */
    const struct mg_record_saml_claims *saml; /* whom its sign-out has to name; NULL: it is not SAML */
};

/* The kind of a second factor that came without a password. A family keeps it, so that a changed policy knows
 * how it began. */
#define MG_PASSKEY_ALONE "passkey-alone"

struct mg_risk_question;
struct mg_risk_answer;

/* What a new family needs; token and code are the browser's, only their hashes are stored. */
struct mg_new_family {
    const struct mg_core_tenant *tenant;
    const struct mg_account *account;
    struct mg_view address, user_agent;
    struct mg_view previous;           /* hash of the session the browser came with, or empty */
    struct mg_view code_host, binding; /* or empty */
    const struct mg_attempt *attempt;  /* that the password or code was right in: forgotten with the start */
    const char *second_factor;         /* the kind that was given; NULL: none */
    bool without_password;             /* a passkey alone */
    const struct mg_federated *federated; /* instead of a password: the provider that vouches, whose second
                                             factor is its own matter (federation.h); or NULL */
    /* What adaptive sign-in was asked and answered (identity_risk.h): remembered with the session. NULL: not
     * asked. */
    const struct mg_risk_question *question;
    const struct mg_risk_answer *risk;
    mg_instant now;
    uint64_t family, session; /* random, set by mg_family_prepare */
    uint8_t token[MG_TOKEN_BYTES], token_hash[32], code[MG_TOKEN_BYTES], code_hash[32];
};
CHECKED struct mg_status mg_family_prepare(struct mg_new_family *family);
void mg_new_family_drop(struct mg_new_family *family);
/* Writes the note and the rows at the same time, because both wait for the disk; the session is in the
 * table, and its token can be given out, only when both are durable. Until then nobody knows the token
 * that the rows are for. *ret_started is false when the account changed meanwhile. */
CHECKED struct mg_status mg_family_start(struct mg_database *database, struct mg_new_family *family,
                                         const struct mg_audit_note *note, bool *ret_started);

/* Ends families: one, an account's (but one), a tenant's. Deleted and out of the table on return. */
struct mg_family_match {
    uint64_t family, account, tenant; /* zero: any; at least one is set */
    bool of_tenant;                   /* `tenant` counts even if it is 0 */
    uint64_t except;
};
CHECKED struct mg_status mg_families_end(struct mg_database *database, const struct mg_family_match *match,
                                         uint64_t *ret_ended);
/* All of these accounts ("{3,17}"), as mg_families_end of each. */
CHECKED struct mg_status mg_families_end_of(struct mg_database *database, struct mg_view accounts);

/* The live session with this hash on this host (or any host when empty), with its account. */
struct mg_live_session {
    uint64_t session, family;
    struct mg_account account;
    mg_instant authenticated_at, expires_at;
    mg_instant second_factor_at; /* 0: none was given */
    struct mg_view host;         /* where the session lives; borrows the rows like the account */
};
CHECKED struct mg_status mg_session_find(struct mg_database *database, uint64_t tenant, struct mg_view hash,
                                         struct mg_view host, mg_instant now, struct mg_rows **ret_rows,
                                         struct mg_live_session *ret_session, bool *ret_live);

/* The same for a request that does not say its tenant: any host, the session's own tenant. */
CHECKED struct mg_status mg_session_find_any_tenant(struct mg_database *database, struct mg_view hash,
                                                    mg_instant now, struct mg_rows **ret_rows,
                                                    struct mg_live_session *ret_session, bool *ret_live);

/* One more session of a live family, on an app host. *ret_joined is false when the family has ended. */
struct mg_session_join {
    uint64_t family;
    const struct mg_account *account;
    const uint8_t *token_hash; /* 32 bytes */
    struct mg_view host;
    mg_instant authenticated_at, second_factor_at, expires_at, now;
    int64_t idle_ms;
};
CHECKED struct mg_status mg_session_start_in(struct mg_database *database, const struct mg_session_join *join,
                                             bool *ret_joined);
/* It was proven anew who it is: by a second factor (its kind) or, NULL, by the password. In the database and
 * in the table, for all sessions of the family. *ret_alive is false when it has ended. */
CHECKED struct mg_status mg_family_prove(struct mg_database *database, const struct mg_live_session *live,
                                         const char *second_factor, mg_instant now, bool *ret_alive);
/* Remembers that it was used. */
CHECKED struct mg_status mg_session_touch(struct mg_database *database, uint64_t session, uint64_t family,
                                          mg_instant now);

/* Changes that make an account unable to sign in hold this while they write and revoke; whoever starts
 * a session holds it shared from the row to the table, so that none slips past a revocation.
 *   OWN_EFFECTS(exclusive); */
void mg_effects_lock(bool exclusive);
void mg_effects_unlock(const bool *held);
#define OWN_EFFECTS(is_exclusive)                                    \
    MG_CLEANUP(mg_effects_unlock) const bool mg_effects_held = true; \
    (void) mg_effects_held;                                          \
    mg_effects_lock(is_exclusive)

/* ---- second factors (identity_factor.c; who must: domain/second_factor.h) ---- */

struct mg_second_factor_facts mg_second_factor_facts_of(const struct mg_core_tenant *tenant,
                                                        const struct mg_account *account);
/* What came of a code: how it was right, or NULL. A right one is spent for good when this returns. */
struct mg_second_try {
    const char *kind; /* "totp", "recovery"; NULL: wrong */
    uint64_t recovery_left;
};
CHECKED struct mg_status mg_second_factor_try(struct mg_database *database, const struct mg_account *account,
                                              struct mg_view typed, mg_instant now,
                                              struct mg_second_try *ret_try);
CHECKED struct mg_status mg_recovery_left(struct mg_database *database, uint64_t account, uint64_t *ret_left);
/* New codes in place of the old ones, as text with spaces between; only their keyed hashes are stored. */
CHECKED struct mg_status mg_recovery_make(struct mg_database *database, const struct mg_account *account,
                                          size_t count, struct mg_buffer *text);
/* A mail of that kind to the account's owner, if there is an address. */
CHECKED struct mg_status mg_factor_mail(struct mg_database *database, const struct mg_account *account,
                                        const char *kind, struct mg_view address, mg_instant now);
/* An app and a passkey whose secrets nobody knows: for the probes' accounts. */
CHECKED struct mg_status mg_factor_make_unknown(struct mg_database *database,
                                                const struct mg_account *account, mg_instant now);
/* Takes everything away: factors, recovery codes, tickets, and the sessions that they opened. */
CHECKED struct mg_status mg_factors_clear(struct mg_database *database, const struct mg_account *account,
                                          uint64_t *ret_removed);
/* Ends the sign-ins of the tenant's people that its policy, which has changed, would not allow any more:
 * without the second factor that they must give now, or by a method that is none any more
 * (identity_enforce.c). */
CHECKED struct mg_status mg_sign_ins_enforce(const struct mg_core_tenant *tenant);

/* ---- the second step (identity_second.c) ---- */

/* A ticket for the second step instead of a session: kind "second" or "enrol". */
CHECKED struct mg_status mg_second_ticket_make(struct mg_database *database, const struct mg_account *account,
                                               const char *kind, mg_instant now,
                                               uint8_t ticket[MG_TOKEN_BYTES]);
/* The account of a live ticket of that kind (NULL: of either); *ret_kind is set to it. */
CHECKED struct mg_status mg_second_ticket_find(struct mg_database *database, uint64_t tenant,
                                               struct mg_view ticket, const char *kind, mg_instant now,
                                               struct mg_rows **ret_rows, struct mg_account *ret_account,
                                               bool *ret_found, bool *ret_enrol);
/* What the last step of a sign-in has in hand, and the session that it gives. */
struct mg_last_step {
    const struct mg_core_tenant *tenant;
    const struct mg_account *account;
    const struct mg_attempt *attempt;
    struct mg_view ticket, address, user_agent, host, binding, previous;
    const char *kind; /* of the second factor */
    mg_instant now;
};
/* Spends the ticket (true for one of any number at the same time), then starts the family. GRANTED, or
 * TICKET_SPENT. The secrets are family->token and, with a host, family->code. */
CHECKED struct mg_status mg_last_step_take(struct mg_database *database, const struct mg_last_step *step,
                                           struct mg_new_family *family, enum mg_outcome *ret_outcome);
/* A host the person wants to go on to must be an app of this very tenant. */
bool mg_app_host_is_ours(uint64_t tenant, struct mg_view host, struct mg_view binding);

/* ---- work that takes a hash (identity_work.c) ----
 * Threads of their own, so that hashes cannot keep session checks waiting. The task owns a kept call
 * and answers it; a failing status answers for it. The request is a copy whose views live as long as
 * the call. BUSY when the queue is full. */
typedef struct mg_status (*mg_task)(const void *request, struct mg_call *call, bool *ret_answered);
CHECKED struct mg_status mg_work_start(unsigned threads);
CHECKED struct mg_status mg_work_put(mg_task task, const void *request, size_t length, struct mg_call *call);
/* When a refusal that began at `started_ms` (monotonic) may be answered: password.refusal_time later,
 * or more while hashes have been taking longer of late, so that its time tells neither whether the
 * name exists nor how its password is hashed. */
int64_t mg_work_refusal_due(int64_t started_ms);
/* One verification took this long. */
void mg_work_took(int64_t duration_ms);
/* Calls `answer` for the kept call at that time, on a thread of its own; no thread waits meanwhile. */
CHECKED struct mg_status mg_work_answer_at(int64_t due_ms, struct mg_call *call,
                                           void (*answer)(struct mg_call *call));

#endif
