/* What the files of the portal share: one visit (a request with what nginx says of it), its page, and
 * the routes. The portal decides nothing about people: it asks the authority by message. */
#ifndef MG_PROCESS_PORTAL_PORTAL_H
#define MG_PROCESS_PORTAL_PORTAL_H

#include "base/arena.h"
#include "base/reason.h"
#include "base/time.h"
#include "domain/outcome.h"
#include "domain/permission.h"
#include "domain/time_zone.h"
#include "ports/form.h"
#include "ports/template.h"
#include "ports/translation.h"
#include "ports/web_server.h"
#include "process/runtime/runtime.h"

#define TOKEN_BYTES 32
#define HASH_BYTES 32
#define CALL_MS 15000
/* For the first question of a request, which the authority answers from memory or by one row: one that does
 * not answer by then is away, and the visitor is told to try again. */
#define FIRST_CALL_MS 3000
#define COOKIE_SESSION "__Host-masugata"
#define COOKIE_SECOND "__Host-masugata-second" /* between the password and the second factor */
#define COOKIE_START "__Host-masugata-start"
#define COOKIE_FORM "__Host-masugata-form"
#define COOKIE_DEVICE "__Host-masugata-device"
#define DEVICE_S (400 * 86400) /* as long as browsers keep a cookie */
#define COOKIE_LANGUAGE "__Host-masugata-language"

/* Which server of nginx the request came through; bits for the route table. */
enum origin {
    ORIGIN_APP = 1,
    ORIGIN_SIGN_IN = 2,
    ORIGIN_OPERATOR = 4,
};

/* Set once at start. */
struct portal_settings {
    unsigned https_port;
    unsigned password_minimum;
    const char *proof_directory; /* what the prober publishes */
    /* Of security.txt; empty for none. */
    const char *security_contact, *security_policy, *security_encryption;
};
extern struct portal_settings portal_settings;

struct visit {
    const struct mg_web_request *request;
    struct mg_web_answer *answer;
    struct mg_arena *arena;
    struct mg_scope *page;
    enum origin origin;
    uint64_t tenant;
    struct mg_view host, address, user_agent, cookies;
    enum mg_language language;
    char own_origin[320]; /* "https://host:port" of this very origin */
    mg_instant now;
    struct mg_form query, form;
    struct mg_buffer site_storage, person_storage, storage; /* of replies; `storage` for the handler's */
    struct mg_reply_site site; /* whose page it is; empty until visit_site was called */
    bool site_asked;
    /* The session of the cookie, when the route needs one. */
    bool signed_in;
    uint8_t session[HASH_BYTES];
    struct mg_reply_session_check person;
    /* Another origin that this page's form may lead to (an app host), or NULL. */
    const char *form_target;
    /* Where the language switch comes back to; NULL for the path of the request. */
    const char *here;
    /* What stands for the * at the end of the route's path; empty without one. */
    struct mg_view tail;
    /* 32 random bytes of this browser, for the forms' tokens. */
    uint8_t browser[TOKEN_BYTES];
    bool browser_is_new;
};

/* ---- visit.c ---- */
/* A header that nginx sets on every request, exactly once; INVALID otherwise. */
CHECKED struct mg_status visit_from_nginx(const struct visit *visit, const char *name,
                                          struct mg_view *ret_value);
/* Reads what nginx set and what the browser sent. INVALID when nginx's headers are not exactly there:
 * then this is not nginx, or a header slipped through it. */
CHECKED struct mg_status visit_begin(struct visit *visit, const struct mg_web_request *request,
                                     struct mg_web_answer *answer);
void visit_end(struct visit *visit);
/* Asks whose page it is. Not `needed`: it may stay unknown, and OK is returned. */
CHECKED struct mg_status visit_site(struct visit *visit, bool needed);
/* Tries each session cookie; sets signed_in, session and person. */
CHECKED struct mg_status visit_identify(struct visit *visit);
/* True unless the request may come from another site (Origin, Sec-Fetch-Site). */
bool visit_is_same_origin(const struct visit *visit);
/* The token of this browser's (and session's) forms as base64url text, in the arena. */
CHECKED struct mg_status visit_form_token(struct visit *visit, const char **ret_token);
bool visit_token_is_right(struct visit *visit);
/* The first cookie of that name that is 32 bytes in base64url; false if none. */
bool visit_cookie(const struct visit *visit, const char *name, uint8_t bytes[TOKEN_BYTES]);
/* 32 bytes from base64url text; false if it is not that. */
bool token_decode(struct mg_view text, uint8_t bytes[TOKEN_BYTES]);
CHECKED struct mg_status token_text(struct visit *visit, struct mg_view bytes, const char **ret_text);
void token_hash(const uint8_t token[TOKEN_BYTES], uint8_t hash[HASH_BYTES]);
/* The path of the request with its query, to come back to; in the arena. */
const char *visit_target(struct visit *visit);
static inline struct mg_view
visit_session(const struct visit *visit)
{
    return visit->signed_in ? mg_view_of(visit->session, HASH_BYTES) : MG_VIEW_EMPTY;
}
static inline bool
visit_posts(const struct visit *visit)
{
    return mg_view_is(visit->request->method, "POST");
}

/* True for paths that programs use (/api/, with a token): no form is read, and no cookie counts. */
bool visit_is_by_program(const struct visit *visit);

/* ---- bearer.c ---- */
/* Who comes with an API token of this tenant: from then on visit_session() is the token's hash, which the
 * authority takes in the place of a session. Otherwise signed_in stays false and the reply's outcome says why
 * not. Adds the headers of the token's rate. The reply borrows `storage` (maximum MG_PACKET_MOST). */
CHECKED struct mg_status visit_identify_token(struct visit *visit, struct mg_buffer *storage,
                                              struct mg_reply_token_check *ret_reply);

/* The time zone of this origin's tenant; of the operators Japan's, or UTC in English. Never NULL. */
const struct mg_time_zone *visit_time_zone(const struct visit *visit);

/* ---- answer.c ---- */
CHECKED struct mg_status pages_open(void);
void pages_close(void);
/* Renders pages/<name>.html with the page scope and all headers. */
CHECKED struct mg_status show(struct visit *visit, unsigned status, const char *name);
/* A page with only a title and a text (msgids), and a way on (a path and its msgid) or NULL. */
CHECKED struct mg_status show_message(struct visit *visit, unsigned status, const char *title,
                                      const char *text, const char *link, const char *link_text);
/* Shows what an outcome says on `name`: an error summary, or a busy page's status. */
void page_problem(struct visit *visit, const char *field, const char *text);
CHECKED struct mg_status show_outcome(struct visit *visit, uint64_t outcome, const char *name);
/* 303; the location is ours or was judged by mg_return_path. */
CHECKED struct mg_status redirect(struct visit *visit, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
CHECKED struct mg_status send_bytes(struct visit *visit, const char *content_type, const char *cache,
                                    struct mg_view bytes);
/* Max-Age in seconds; 0 clears, negative lasts as long as the browser runs. */
CHECKED struct mg_status cookie_set(struct visit *visit, const char *name, struct mg_view bytes, int age_s);
/* One that a browser also shows to a form that another site's page sends here: what ends a sign-in at a
 * provider that this browser began. It holds no session; beside what was begun the token by which the device
 * is known. */
CHECKED struct mg_status cookie_set_for_forms(struct visit *visit, const char *name, struct mg_view bytes,
                                              int age_s);
const char *say(const struct visit *visit, const char *text);
/* A reason (base/reason.h) as a sentence in the visitor's language. */
CHECKED struct mg_status scope_reason(const struct visit *visit, struct mg_scope *scope, const char *name,
                                      struct mg_view reason);
/* Formats into the arena; NULL when it is exhausted, which the page then reports. */
const char *arena_format(struct visit *visit, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Percent-encoded for a query, in the arena; "" when exhausted. */
const char *encoded(struct visit *visit, struct mg_view value);
/* Sets <name>_iso, <name> (a date in the reader's manner) and <name>_ago. Names are static text. */
struct time_names {
    const char *iso, *date, *ago;
};
#define TIME_NAMES(name) ((struct time_names){#name "_iso", #name, #name "_ago"})
void scope_time(const struct visit *visit, struct mg_scope *scope, struct time_names names,
                mg_instant instant);

/* ---- console.c: the operators' pages ---- */
CHECKED struct mg_status console_show(struct visit *visit, const char *at, const char *name);
/* What was refused: the session has no right to it, or has just ended. */
CHECKED struct mg_status console_refused(struct visit *visit, uint64_t outcome);
CHECKED struct mg_status console_tenants_ask(struct visit *visit, struct mg_view name, struct mg_view after,
                                             struct mg_reply_tenant_list *ret_reply);

/* ---- entry.c: an entry of the audit log on a page ---- */
#define MG_OUTCOME_WORDS 3
extern const struct outcome_word {
    const char *word, *text;       /* as it is kept; a msgid */
} outcome_words[MG_OUTCOME_WORDS]; /* in the order of enum mg_audit_outcome, from MG_AUDIT_SUCCESS on */
CHECKED struct mg_status scope_entry(const struct visit *visit, struct mg_scope *row,
                                     const struct mg_record_audit_row *entry);
/* What the page of sign-ins shows besides: who, why, through which provider. */
CHECKED struct mg_status scope_sign_in(const struct visit *visit, struct mg_scope *row,
                                       const struct mg_record_audit_row *entry);

/* ---- destination.c: where a sign-in leads, carried from page to page ---- */
struct destination {
    struct mg_view host, path; /* an application's host, or a page of this origin when empty */
    const char *origin;        /* of the application; NULL without one */
    uint8_t binding[HASH_BYTES];
    uint64_t fresh_s;  /* how old the sign-in may be; 0: any */
    uint64_t second_s; /* how long ago a second factor may have been given; 0: none is needed */
};
/* From a form or a query. REFUSED unless the host is one of this tenant's: a code for another site is never
 * made. */
CHECKED struct mg_status destination_read(struct visit *visit, const struct mg_form *form,
                                          struct destination *ret_destination);
/* The console or the account. */
const char *destination_home(const struct visit *visit);
/* "host=…&return=…" for an address of ours, in the arena. */
const char *destination_query(struct visit *visit, const struct destination *to);
/* Puts it into the hidden fields of the page's form at `action`, and lets the answer to it lead there. */
CHECKED struct mg_status destination_show(struct visit *visit, const struct destination *to,
                                          const char *action);
/* Redirects there; with a code into the application. */
CHECKED struct mg_status destination_enter(struct visit *visit, const struct destination *to,
                                           struct mg_view code);

/* ---- sign_in.c, factors.c: pages that another file leads back to ---- */
CHECKED struct mg_status sign_in_show(struct visit *visit, const struct destination *to, uint64_t outcome);
CHECKED struct mg_status second_show(struct visit *visit, const struct destination *to,
                                     const uint8_t ticket[TOKEN_BYTES], uint64_t outcome);
CHECKED struct mg_status second_begin_anew(struct visit *visit, const struct destination *to);
/* `ticket` empty: somebody who is signed in. */
CHECKED struct mg_status enrol_show(struct visit *visit, const struct destination *to, struct mg_view ticket,
                                    uint64_t outcome);
CHECKED struct mg_status step_up_show(struct visit *visit, const struct destination *to, uint64_t outcome);
/* New recovery codes (spaces between), which are shown once; `on`: where it goes on. */
CHECKED struct mg_status recovery_show(struct visit *visit, struct mg_view codes, const char *on);
CHECKED struct mg_status factor_lead_elsewhere(struct visit *visit, const struct destination *to,
                                               uint64_t outcome, const char *page);

/* ---- passkey.c ---- */
/* Puts into the page what a browser needs to use a passkey (with_passkey) or to set one up; `use` is enum
 * mg_passkey_use. Nothing is put there unless *ret_outcome is GRANTED. */
CHECKED struct mg_status passkey_offer(struct visit *visit, uint64_t use, struct mg_view ticket,
                                       uint64_t *ret_outcome);

/* ---- qr.c ---- */
/* Sets qr_path and qr_size of the page: the dark modules as one SVG path. */
CHECKED struct mg_status scope_qr(struct visit *visit, struct mg_view text);

/* ---- customer_providers.c, customer_provider_key.c ---- */
/* An identity provider's page; `reason` (base/reason.h) with a problem. */
CHECKED struct mg_status show_provider(struct visit *visit, struct mg_view name, uint64_t problem,
                                       struct mg_view reason);
const char *provider_path(struct visit *visit, struct mg_view name);
/* Our own keys at the provider, and how far their roll-over is. */
void scope_own_keys(struct visit *visit, const struct mg_reply_idp_show *reply);

/* ---- customer.c: what the pages of a tenant's own console share ---- */
/* Shows the page, with what the query's `done` says was done; `at` is the flag of its place in the list of
 * pages. */
CHECKED struct mg_status customer_show(struct visit *visit, const char *at, const char *name);
/* A refusal as a page of its own: 403, 404, or off to sign-in. */
CHECKED struct mg_status customer_refused(struct visit *visit, uint64_t outcome);
/* After a change: back to `path` (which has a query or not) saying what was done, or a page that says why
 * not. */
CHECKED struct mg_status customer_done(struct visit *visit, uint64_t outcome, const char *path,
                                       const char *done);
/* Words of roles as people read them, in the arena. */
const char *customer_roles_text(struct visit *visit, struct mg_view roles);
/* The roles there are as choices of a form, those that are held marked. */
CHECKED struct mg_status customer_role_choices(struct visit *visit, struct mg_view held);
/* The names of those that the form came back with, as words. */
CHECKED struct mg_status customer_roles_of_form(struct visit *visit, struct mg_buffer *roles);
/* A permission of the person behind the visit; for showing, the authority decides. */
bool customer_may(const struct visit *visit, enum mg_permission permission);

/* ---- sessions.c ---- */
/* Puts the sessions that the query asks for into the page; of `tenant`, or empty for that of the origin. */
CHECKED struct mg_status sessions_list(struct visit *visit, struct mg_view tenant, uint64_t *ret_outcome);
/* Ends what the form names: all of a user, one, or on a tenant's own console everybody's. *ret_scope is
 * MG_SCOPE_…
 */
CHECKED struct mg_status sessions_end(struct visit *visit, struct mg_view tenant, uint64_t *ret_scope,
                                      uint64_t *ret_outcome);

/* ---- federation.c ---- */
/* Adds the tenant's identity providers to the sign-in page; `go_on`: the query with where to go afterwards.
 */
CHECKED struct mg_status federation_offer(struct visit *visit, const char *go_on);
#define COOKIE_FEDERATION "__Host-masugata-federation"
/* What this browser has begun at a provider and keeps in that place (domain/begun_place.h); false if it shows
 * nothing of that, or a page of another site has put ours into a frame. *ret_begun is in the arena. */
CHECKED struct mg_status federation_begun(struct visit *visit, unsigned place, uint8_t browser[TOKEN_BYTES],
                                          struct mg_view *ret_begun, bool *ret_seen);
/* It has ended, one way or the other. */
CHECKED struct mg_status federation_begun_forget(struct visit *visit, unsigned place);
/* The authority waits for the provider at most 26 s (authority/federation.h). */
#define FEDERATION_CALL_MS 30000
/* What follows from an answer of the authority: in, a trial, or a page that says that it did not work. */
CHECKED struct mg_status federation_conclude(struct visit *visit,
                                             const struct mg_reply_federation_finish *reply);
/* Where it goes on, without a session being given. */
CHECKED struct mg_status federation_go_on(struct visit *visit,
                                          const struct mg_reply_federation_finish *reply);
CHECKED struct mg_status federation_show_refusal(struct visit *visit, uint64_t outcome);
/* "https://host:port" of an address, in the arena. */
const char *origin_of_url(struct visit *visit, const char *url);
/* Where the person behind this session is signed out at the identity provider too; NULL if nowhere. */
CHECKED struct mg_status federation_sign_out_place(struct visit *visit, const char **ret_url);

/* ---- routes.c ---- */
mg_web_handler portal_handle;

/* ---- handlers ---- */
#define ROUTE(path, check, origins, need, page) struct mg_status page_##page(struct visit *visit);
#include "catalogue/routes.def"
#undef ROUTE

#endif
