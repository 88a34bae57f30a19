/* How long a session lives, and which requests it may serve. One sign-in is one family of sessions:
 * one on the sign-in origin and one for each app host it entered; they end together.
 * Decisions with `now`; the gate makes the same ones per request from the session table. */
#ifndef MG_DOMAIN_SESSION_POLICY_H
#define MG_DOMAIN_SESSION_POLICY_H

#include "base/time.h"
#include "domain/outcome.h"

struct mg_session_limits {
    int64_t idle_ms;     /* without a request */
    int64_t absolute_ms; /* after sign-in */
    uint32_t families;   /* at once for one user; 0 for any number */
};

/* A tenant may be stricter than the deployment, never laxer; 0 in `tenant` keeps the deployment's. */
struct mg_session_limits mg_session_limits_of(const struct mg_session_limits *deployment,
                                              const struct mg_session_limits *tenant);

/* When a family that signs in now ends at the latest. */
mg_instant mg_session_end_of(const struct mg_session_limits *limits, mg_instant authenticated_at);

struct mg_session_facts {
    mg_instant expires_at, last_seen_at;
    int64_t idle_ms;
    uint64_t tenant, asked_tenant;
    struct mg_view host, asked_host;
    bool user_active, tenant_active;
};

enum mg_session_verdict {
    MG_SESSION_REFUSED = 0, /* another tenant or host, a disabled user, a suspended tenant */
    MG_SESSION_PAST,        /* idle or absolute limit */
    MG_SESSION_LIVE,
};
enum mg_session_verdict mg_session_judge(const struct mg_session_facts *facts, mg_instant now);

/* How many of the user's oldest families must end so that one more fits. */
uint32_t mg_session_excess(const struct mg_session_limits *limits, uint32_t families);

/* A code carries a sign-in to an app host: once, within its time, by the same browser (it knows the
 * nonce whose SHA-256 is `binding`), to the same host of the same tenant. */
#define MG_CODE_LIFE_MS 60000
/* A code that lives longer than it can have been given was made before the clock was set back: it is not
 * accepted. Corrections up to this are forgiven. */
#define MG_CODE_SLACK_MS 5000
struct mg_code_facts {
    mg_instant expires_at;
    uint64_t tenant, asked_tenant;
    struct mg_view host, asked_host, binding, asked_binding;
};
bool mg_code_accepts(const struct mg_code_facts *facts, mg_instant now);

/* Tickets: for a reset half an hour (as the page says), for an invitation a week, for a forced change ten
 * minutes. */
#define MG_TICKET_RESET_MS 1800000
#define MG_TICKET_INVITE_MS (7 * 86400000LL)
#define MG_TICKET_CHANGE_MS 600000

#endif
