/* The gate's decision about one request: a pure function of the request, the policy, the session
 * table and the time. No nginx here, so that it can be tested, fuzzed and measured alone. */
#ifndef MG_GATE_DECISION_H
#define MG_GATE_DECISION_H

#include "gate/cookies.h"
#include "wire/policy_snapshot.h"
#include "wire/refusal_ring.h"
#include "wire/session_table.h"

struct mg_gate_request {
    struct mg_view host;               /* canonical; empty if there was none that could be read */
    struct mg_view path;               /* canonical; empty if it was ambiguous */
    struct mg_view server_name;        /* of TLS, lower case; empty without TLS or without one */
    struct mg_view own_origin;         /* "https://acme.example:8443", from scheme and Host header */
    struct mg_view origin, fetch_site; /* headers Origin and Sec-Fetch-Site; bytes NULL when absent */
    struct mg_address client;
    const struct mg_tokens *tokens;
    bool unsafe;    /* a method other than GET, HEAD, OPTIONS */
    bool preflight; /* OPTIONS with Access-Control-Request-Method */
    bool websocket; /* asks for an upgrade */
    bool bearer;    /* Authorization: Bearer */
    bool malformed; /* headers that contradict each other */
    mg_instant now;
    int64_t monotonic_ms;
};

enum mg_gate_destination { MG_TO_NOBODY = 0, MG_TO_APP, MG_TO_PORTAL };

struct mg_gate_verdict {
    enum mg_refusal refusal; /* NONE: pass */
    enum mg_gate_destination destination;
    const struct mg_gate_host *host;   /* NULL if it is unknown */
    const struct mg_gate_route *route; /* NULL if no rule covers the path */
    bool has_session;
    struct mg_session_hot session; /* where has_session */
    uint8_t token_hash[MG_TOKEN_HASH];
};

/* Asks memory for the first token's session, and hashes the token unless its hash is there. For speed alone:
 * called as soon as the tokens are collected, it hides the way to memory behind what comes before
 * mg_gate_decide().
 */
void mg_gate_prepare(const struct mg_session_reader *sessions, struct mg_tokens *tokens);

/* `policy` NULL: everything is refused as UNAVAILABLE. Marks the session as seen when it passes. */
void mg_gate_decide(const struct mg_gate_policy *policy, struct mg_session_reader *sessions,
                    const struct mg_gate_request *request, struct mg_gate_verdict *ret_verdict);

#endif
