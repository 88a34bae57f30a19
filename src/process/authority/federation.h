/* Sign-in through identity providers: what the federation_*.c files share. The federation process talks to
 * the provider and reads what it sends; here it is judged, and what follows from it is done.
 *
 * Order of every change as in identity.h: decide, audit record (durable), rows, session table. */
#ifndef MG_AUTHORITY_FEDERATION_H
#define MG_AUTHORITY_FEDERATION_H

#include "domain/identity_provider.h"
#include "process/authority/identity.h"
#include "process/authority/rights.h"

/* One request to the federation process: it makes up to four fetches (ports/outbound.h). */
#define MG_FEDERATION_CALL_MS 26000

/* ---- providers (federation_provider.c) ---- */

struct mg_idp {
    uint64_t id, tenant;
    char name[MG_IDP_NAME_MOST + 1];
    bool enabled;
    struct mg_idp_settings *settings; /* owned */
    struct mg_buffer secret_sealed;   /* empty: none */
    mg_instant expires_at;
    _Atomic unsigned holders; /* it is not changed after it was read; the last one to drop it frees it */
};
struct mg_idp *mg_idp_hold(struct mg_idp *idp);
void mg_idp_drop(struct mg_idp **idp);
/* NOT_FOUND if the tenant has none of this name. One whose settings are not valid any more counts as
 * disabled. */
CHECKED struct mg_status mg_idp_load(struct mg_database *database, uint64_t tenant, struct mg_view name,
                                     struct mg_idp **ret_idp);
/* The same, from memory if it was loaded within a second and nothing was changed here since: for what is
 * judged again, from the database, before it has an effect (federation_recall.c). */
CHECKED struct mg_status mg_idp_recall(uint64_t tenant, struct mg_view name, struct mg_idp **ret_idp);
/* Where an OpenID provider has browsers come to, from memory if the federation process said so within ten
 * seconds (it keeps it for an hour), else asked: then a refusal may be in the reply. Which borrows `storage`.
 */
CHECKED struct mg_status mg_oidc_endpoint_recall(const struct mg_idp *idp, struct mg_buffer *storage,
                                                 struct mg_reply_oidc_begin *ret_reply);
/* Which of our own keys signs at a SAML provider, as it is sealed: appended if it was loaded within a second.
 * Else it is loaded, and kept unless something was changed since `changes`. */
bool mg_saml_signing_recall(uint64_t provider, struct mg_buffer *sealed, uint64_t *ret_changes);
void mg_saml_signing_keep(uint64_t provider, struct mg_view sealed, uint64_t changes);
/* After each change of a provider, or of our keys there, in the database. */
void mg_idp_changed(void);
/* What a statement about providers `p` selects first, once for each of its settings `s` (outer join), and the
 * provider that such rows, at least one, describe. */
#define MG_IDP_COLUMNS "p.id, p.name, p.enabled, p.secret_sealed, s.keyword, s.value"
#define MG_IDP_COLUMN_COUNT 6
CHECKED struct mg_status mg_idp_read(const struct mg_rows *rows, uint64_t tenant, struct mg_idp **ret_idp);
/* What people call it: its label, or its name. */
const char *mg_idp_label(const struct mg_idp *idp);
/* Whether it may be used now, as far as the provider and its tenant are concerned. */
enum mg_federation_refusal mg_idp_judge_now(const struct mg_idp *idp, const struct mg_core_tenant *tenant,
                                            mg_instant now);
/* An address of ours that the provider knows: "callback", "back-channel", … */
CHECKED struct mg_status mg_idp_address(const struct mg_idp *idp, const struct mg_core_tenant *tenant,
                                        const char *what, struct mg_buffer *url);
/* Ends the families that the provider gave: all, or those of its session and person (empty: any). */
CHECKED struct mg_status mg_idp_families_end(struct mg_database *database, uint64_t provider,
                                             struct mg_view session, struct mg_view subject,
                                             uint64_t *ret_ended);

/* ---- records (federation_trial.c) ---- */

/* What one sign-in brought and what became of it; kept for the provider's administrators, the last ones. Of
 * one that succeeds mg_family_start keeps it. */
#define MG_IDP_ATTEMPTS_KEPT 50
#define MG_IDP_ARRIVED_MOST 8192 /* bytes of `arrived` */
struct mg_idp_attempt {
    const struct mg_idp *idp;
    bool trial;
    enum mg_federation_refusal refusal;
    struct mg_view detail, login, arrived;
};
CHECKED struct mg_status mg_idp_attempt_keep(struct mg_database *database,
                                             const struct mg_idp_attempt *attempt, mg_instant now);
/* The claims as JSON, for people. */
CHECKED struct mg_status mg_idp_arrived(const struct mg_reply_oidc_finish *claims, struct mg_buffer *json);
/* One audit event about a provider, durable when OK. */
CHECKED struct mg_status mg_idp_record(enum mg_event event, const struct mg_idp *idp,
                                       const struct mg_core_actor *actor, enum mg_federation_refusal refusal,
                                       struct mg_view detail, struct mg_view address, uint64_t family);

/* ---- what begins a sign-in, and what ends it must know (federation_begin.c) ---- */

/* base64url of HMAC-SHA-256(browser's secret, label | state): 43 characters. */
#define MG_FEDERATION_DERIVED_TEXT 44
CHECKED struct mg_status mg_federation_derive(struct mg_view browser, struct mg_view state, const char *label,
                                              struct mg_buffer *text);

/* What the browser keeps meanwhile (federation_begun.c). */
#define MG_BEGUN_MOST 2816
struct mg_begun_bond { /* what it is bound to */
    uint64_t tenant;
    struct mg_view browser, state;
};
CHECKED struct mg_status mg_begun_seal(const struct mg_begun_bond *bond,
                                       const struct mg_record_federation_begun *begun,
                                       struct mg_buffer *sealed);
/* *ret_found false: none, not of this bond, or too late. *ret_begun borrows `sealed`. */
CHECKED struct mg_status mg_begun_open(const struct mg_begun_bond *bond, struct mg_view sealed,
                                       mg_instant now, struct mg_record_federation_begun *ret_begun,
                                       bool *ret_found);

/* What an answer may bring only once: the state it was begun with, the assertion itself. They are spent
 * before anything comes of them, or in the statement that starts the family. */
struct mg_federation_once {
    uint8_t keys[2][32];
    size_t count;
    bool spent;
};
/* `kind` is a word of ours, so that a provider's identifier is never taken for a state. */
#define MG_ONCE_STATE "state"
#define MG_ONCE_ASSERTION "assertion"
CHECKED struct mg_status mg_federation_once_add(struct mg_federation_once *once, const char *kind,
                                                struct mg_view identifier);
/* *ret_first false: some of it came before. Nothing is done a second time. */
CHECKED struct mg_status mg_federation_spend(struct mg_database *database, const struct mg_idp *idp,
                                             struct mg_federation_once *once, mg_instant now,
                                             bool *ret_first);
/* Empty for what is not there, or was spent already. */
static inline struct mg_view
mg_federation_once_key(const struct mg_federation_once *once, size_t index)
{
    return index < once->count && !once->spent ? mg_view_of(once->keys[index], 32) : MG_VIEW_EMPTY;
}

/* The identifier of a SAML request: "_" and what only this browser and this state make. */
CHECKED struct mg_status mg_federation_request_identifier(struct mg_view browser, struct mg_view state,
                                                          struct mg_buffer *text);
/* The stricter of what the provider's settings and the page ask for, in seconds; 0: any age. */
int64_t mg_federation_age_wanted_s(const struct mg_idp *idp, uint64_t fresh_s);
/* What the visitor is told of a refusal. */
enum mg_outcome mg_federation_outcome(enum mg_federation_refusal refusal);

/* ---- what the prober saw last (federation_state.c) ---- */

/* Why nobody could come through a provider at the last look; `at` 0 for one that worked or was not looked at.
 * Kept in memory: the next look comes within the day. */
struct mg_idp_looked {
    mg_instant at;
    uint64_t refusal;
    char detail[512];
};
void mg_idp_looked_note(uint64_t provider, uint64_t refusal, struct mg_view detail);
void mg_idp_looked_get(uint64_t provider, struct mg_idp_looked *ret_looked);

/* ---- who may set providers up (federation_provider.c) ---- */

/* GRANTED, NOT_ALLOWED or NOT_KNOWN. The operators' own place has no providers. */
#define MG_IDP_ASK(name, call, request, ret_right, ret_outcome)                                       \
    do {                                                                                              \
        TRY(MG_RIGHT_ASK(name, call, (request)->session, (request)->tenant, ret_right, ret_outcome)); \
        if (*(ret_outcome) == MG_GRANTED && (ret_right)->tenant.number == 0)                          \
            *(ret_outcome) = MG_NOT_KNOWN;                                                            \
    } while (0)

/* A provider says who people are, administrators among them: whoever sets one up must hold all that they do.
 */
bool mg_idp_holds_enough(const struct mg_right *right);

/* ---- SAML (federation_saml.c; what signs people out: federation_saml_logout.c) ---- */

/* Our own names at a provider. */
struct mg_saml_names {
    char entity[512], consumer[512], logout[512];
};
CHECKED struct mg_status mg_saml_names(const struct mg_idp *idp, const struct mg_core_tenant *tenant,
                                       struct mg_saml_names *ret_names);
/* What the federation process says of a provider's certificates. */
CHECKED struct mg_status mg_saml_certificates_ask(const struct mg_idp_settings *settings,
                                                  struct mg_buffer *storage,
                                                  struct mg_reply_saml_certificates *ret_reply);
/* What `idp test` shows of a SAML provider: its certificates, and whether its metadata still says the same.
 */
CHECKED struct mg_status mg_saml_look(const struct mg_idp *idp, uint64_t *ret_refusal, char detail[512],
                                      struct mg_buffer *found);

/* A request to sign in: an address to go to and, for the POST binding, what is carried there. `identifier` is
 * what the answer has to name. */
struct mg_saml_ask {
    struct mg_view identifier, relay_state;
    int64_t maximum_age_s;
    bool fresh; /* the person must show there anew who they are */
};
CHECKED struct mg_status mg_saml_begin(const struct mg_idp *idp, const struct mg_core_tenant *tenant,
                                       const struct mg_saml_ask *ask, struct mg_buffer *url,
                                       struct mg_buffer *message);
/* A message of ours, signed; the fields that name tenant, provider and key are filled in here. */
CHECKED struct mg_status mg_saml_sign_ask(const struct mg_idp *idp, struct mg_request_saml_sign *fields,
                                          struct mg_buffer *storage, struct mg_reply_saml_sign *ret_reply);
/* "_" and 32 hexadecimal digits. */
CHECKED struct mg_status mg_saml_identifier(struct mg_buffer *text);
/* The address with a query of ours behind its own. */
CHECKED struct mg_status mg_saml_query_add(const char *place, struct mg_view query, struct mg_buffer *url);

/* What saml_arrive kept: taken, once. NULL rows if there is none, or its minute has passed. The claims borrow
 * the rows. */
enum mg_saml_taking {
    MG_SAML_TAKE,           /* whatever it is */
    MG_SAML_TAKE_SOLICITED, /* if a request of ours is answered; else it is not seen */
    MG_SAML_LOOK,           /* it stays */
};
CHECKED struct mg_status mg_saml_arrival_take(struct mg_database *database, uint64_t tenant,
                                              struct mg_view ticket, enum mg_saml_taking taking,
                                              mg_instant now, struct mg_rows **ret_rows,
                                              struct mg_record_saml_claims *ret_claims,
                                              struct mg_view *ret_provider, struct mg_view *ret_relay_state);
/* What the federation process reads in a response, in `storage`, which the claims borrow. With reply.refusal
 * there are none. `all_groups`: also if they decide nothing. */
CHECKED struct mg_status mg_saml_response_read(const struct mg_idp *idp, struct mg_view response,
                                               bool all_groups, struct mg_buffer *storage,
                                               struct mg_reply_saml_read *ret_reply,
                                               struct mg_record_saml_claims *ret_claims);
CHECKED struct mg_status mg_saml_claims_judge(const struct mg_idp *idp, const struct mg_core_tenant *tenant,
                                              const struct mg_record_saml_claims *claims,
                                              int64_t maximum_age_s, mg_instant now,
                                              enum mg_federation_refusal *ret_refusal);
/* What both kinds of provider say, in one form: accounts, roles and records are the same for both. */
struct mg_reply_oidc_finish mg_saml_claims_map(const struct mg_record_saml_claims *claims);
/* The claims as JSON, for people. */
CHECKED struct mg_status mg_saml_arrived(const struct mg_record_saml_claims *claims, struct mg_buffer *json);
/* Where the person of a family is sent to sign out there; nothing is added if nowhere. */
CHECKED struct mg_status mg_saml_sign_out_url(const struct mg_idp *idp, const struct mg_core_tenant *tenant,
                                              uint64_t family, struct mg_buffer *url);
/* Forgets what nobody fetched; tells of certificates that end soon. */
CHECKED struct mg_status mg_saml_sweep(struct mg_database *database, mg_instant now);
/* For how long what came once is known again: longer than anything is valid that may come. */
#define MG_IDP_REPLAY_MS INT64_C(3600000)
/* Counts an identifier of the provider as used, once for all nodes; REPLAYED for whoever comes second. */
CHECKED struct mg_status mg_idp_replay_check(struct mg_database *database, const struct mg_idp *idp,
                                             struct mg_view identifier, mg_instant now,
                                             enum mg_federation_refusal *ret_refusal);

/* ---- people (federation_account.c) ---- */

/* The account of the person that the provider vouches for: linked, linked now, or made now; its roles follow
 * the groups. `once` is spent before anything is changed, so that what is said a second time changes nothing;
 * NULL: nothing is changed at all (a trial). *ret_refusal says why there is none. The account borrows
 * *ret_rows and `roles`.
 */
CHECKED struct mg_status mg_idp_account(struct mg_database *database, const struct mg_idp *idp,
                                        const struct mg_reply_oidc_finish *claims,
                                        struct mg_federation_once *once, mg_instant now,
                                        struct mg_rows **ret_rows, struct mg_buffer *roles,
                                        struct mg_account *ret_account,
                                        enum mg_federation_refusal *ret_refusal);

/* ---- the probes' own provider (federation_state.c) ---- */

/* Appends the certificate that the drill's own provider is known by; nothing for any other tenant and issuer.
 */
CHECKED struct mg_status mg_drill_certificate(const struct mg_idp *idp, struct mg_buffer *certificate);

/* ---- work that waits for a provider (federation_work.c) ----
 * On threads of their own, a bounded number of each tenant, so that a provider that does not answer holds up
 * neither session checks nor other tenants. As mg_work_put in identity.h; BUSY when too many are under way.
 */
CHECKED struct mg_status mg_federation_work(uint64_t tenant, mg_task task, const void *request, size_t length,
                                            struct mg_call *call);

/* Every second: forgets what has passed, ends the families of providers that have expired. */
void mg_federation_tick(mg_instant now);

#endif
