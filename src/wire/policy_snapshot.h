/* The policy snapshot: what the gate judges by, as one immutable file that is replaced whole
 * (RUN/gate/policy, mode 0640 authority:gate).
 *
 * The authority fills the plain structs below and publishes them; a worker loads the file into its
 * own memory, checks every byte of it, and judges by that copy. Which generation is in force stands
 * in the session table's header: a worker that holds an older one loads the new one before it
 * decides, and refuses everything (503) if it cannot. */
#ifndef MG_WIRE_POLICY_SNAPSHOT_H
#define MG_WIRE_POLICY_SNAPSHOT_H

#include "wire/network.h"
#include "wire/session_table.h"

/* ---- what the authority fills in (all borrowed) ----------------------------------------------- */

struct mg_policy_networks {
    bool restricted; /* false: no list, everybody; true with no rows: nobody */
    const struct mg_network *rows;
    size_t count;
};

/* Zero is the strict end of each enum. */
enum mg_tenant_state { MG_TENANT_SUSPENDED = 0, MG_TENANT_ACTIVE = 1 };
enum mg_csp_mode {
    MG_CSP_ENFORCE = 0,     /* ours beside whatever the app sends: browsers apply both */
    MG_CSP_REPORT_ONLY = 1, /* ours as Content-Security-Policy-Report-Only */
    MG_CSP_APP = 2,         /* the app's own where it sends one, ours where it does not */
};

/* The response headers that a tenant may override; the default texts are in gate/headers.c. */
enum mg_policy_header {
    MG_HEADER_CSP,
    MG_HEADER_COOP,
    MG_HEADER_COEP,
    MG_HEADER_CORP,
    MG_HEADER_REFERRER_POLICY,
    MG_HEADER_PERMISSIONS_POLICY,
    MG_HEADER_XSS_PROTECTION,
    MG_HEADER_HSTS,
    MG_HEADER_FRAME_OPTIONS,
    MG_POLICY_HEADERS
};

struct mg_policy_tenant {
    uint32_t id; /* 1 …; 0 stands for the operators */
    const char *name;
    enum mg_tenant_state state;
    bool maintenance;       /* app paths get the maintenance page */
    uint32_t retry_after_s; /* told with it; 0: 60 */
    struct mg_policy_networks use, sign_in, administrators;
    int64_t idle_ms, absolute_ms; /* the gate holds sessions to these too; 0: only to their own */
    enum mg_csp_mode csp_mode;
    const char *headers[MG_POLICY_HEADERS]; /* NULL: the default; "": do not send */
    /* Names of the app's cookies that its scripts must read (no HttpOnly), separated by spaces. */
    const char *script_cookies;
};

struct mg_policy_host {
    uint32_t id;      /* 1 …, stable: sessions are bound to it */
    const char *name; /* lower case, without port */
    uint32_t tenant_id;
    enum mg_origin origin;
    const char *upstream;       /* value of $masugata_upstream, for instance "127.0.0.1:3000" */
    const char *audience;       /* of the assertion */
    const char *sign_in_origin; /* "https://id.acme.localhost:8443" */
    bool forward_identity;      /* X-Forwarded-User, -Email, -Groups too; only towards a unix socket */
};

/* Only we can reach what listens there: a unix socket, or an example application, which has one. */
static inline bool
mg_upstream_is_socket(struct mg_view upstream)
{
    return (upstream.length > 5 && memcmp(upstream.bytes, "unix:", 5) == 0) ||
           (upstream.length > 8 && memcmp(upstream.bytes, "example:", 8) == 0);
}

/* A rule for the paths below a prefix, on app hosts, on sign-in hosts and on the operators' too.
 * The longest prefix wins. `/a` covers /a, /a/b and /a;p but not /ab. What restricts is compared without
 * regard to case or to a `/` at its end, what opens something exactly; a rule that does both restricts the
 * other spellings without opening them. A prefix is in the canonical form of paths (docs/gate.md); any
 * other is refused when the policy is published. */
struct mg_policy_route {
    uint32_t tenant_id;
    uint32_t host_id; /* 0: every app host of the tenant */
    const char *prefix;
    bool public;    /* no session needed */
    uint32_t roles; /* at least one of these bits; 0: any */
    struct mg_policy_networks networks;
    bool administrators_only_networks; /* the tenant's list for administrators holds here too */
    uint32_t fresh_s;                  /* the sign-in is at most this old; 0: any age */
    uint32_t second_factor_s;          /* a second factor was given at most this long ago; 0: none needed */
    bool bearer;                       /* Authorization: Bearer goes to the app without a session */
    bool webhook;             /* unsafe methods from anywhere, no session (the app checks a signature) */
    const char *cors_origins; /* origins, separated by spaces, that may call it; "" or NULL: none */
};

struct mg_policy {
    const struct mg_policy_tenant *tenants; /* in the order of their ids, none twice */
    size_t tenant_count;
    const struct mg_policy_host *hosts;
    size_t host_count;
    const struct mg_policy_route *routes;
    size_t route_count;
    struct mg_policy_networks trusted_proxies; /* restricted is implied: no rows, nobody is trusted */
    struct mg_policy_networks operators;       /* where the operators' console may be used from */
    int64_t outage_ms;                         /* gate.outage; 0: 15 minutes */
};

/* Writes the file and tells the workers through the session table. Its generation is larger than
 * any before. INVALID names what contradicts itself (an unknown tenant, the same host twice). */
CHECKED struct mg_status mg_policy_publish(const char *directory, gid_t group,
                                           struct mg_session_writer *writer, const struct mg_policy *policy,
                                           uint64_t *ret_generation);

/* The file's bytes alone, for tests. */
#define MG_POLICY_MOST (256u << 20)
CHECKED struct mg_status mg_policy_encode(const struct mg_policy *policy, uint64_t generation,
                                          struct mg_buffer *buffer);

/* ---- what a worker judges by ------------------------------------------------------------------ */

/* The first bytes of a rule's prefix, and which bits of them must agree. */
struct mg_gate_route_head {
    uint64_t bytes, mask;
};

struct mg_gate_route {
    struct mg_view prefix;
    uint32_t host_id, roles, fresh_s, second_factor_s;
    bool public, bearer, webhook, administrators_only_networks;
    bool any_case;
    struct mg_network_set networks;
    struct mg_view cors_origins;
};

struct mg_gate_tenant {
    /* What every request asks for stands first. */
    uint32_t id;
    enum mg_tenant_state state;
    bool maintenance;
    uint32_t idle_s, absolute_s, retry_after_s;
    struct mg_network_set use, sign_in, administrators;
    struct mg_view name;
    enum mg_csp_mode csp_mode;
    bool header_set[MG_POLICY_HEADERS]; /* false: the default text */
    struct mg_view headers[MG_POLICY_HEADERS];
    struct mg_view script_cookies;
    struct mg_gate_route *routes; /* longest prefix first */
    struct mg_gate_route_head *route_heads;
    size_t route_count;
};

struct mg_gate_host {
    uint32_t id;
    struct mg_view name, upstream, audience, sign_in_origin;
    bool forward_identity;
    enum mg_origin origin;
    const struct mg_gate_tenant *tenant; /* of the operators' host: one with id 0 */
};

struct mg_gate_policy {
    uint64_t generation;
    int64_t outage_ms;
    struct mg_network_set trusted_proxies;
    struct mg_gate_tenant *tenants; /* the first is the operators' */
    size_t tenant_count;
    struct mg_gate_host *hosts;
    size_t host_count;
    uint32_t *buckets; /* host index + 1, open addressing */
    size_t bucket_count;
    struct mg_buffer file; /* the views point into it */
};

/* Loads RUN/gate/policy; MALFORMED or INTEGRITY when anything in it is not as it must be, and when
 * its generation is below `least`. */
CHECKED struct mg_status mg_gate_policy_open(const char *directory, uint64_t least,
                                             struct mg_gate_policy **ret_policy);
/* The same from bytes. */
CHECKED struct mg_status mg_gate_policy_decode(struct mg_view file, struct mg_gate_policy **ret_policy);
void mg_gate_policy_drop(struct mg_gate_policy **pointer);

/* `name` is lower case without port; NULL if there is no such host. */
const struct mg_gate_host *mg_gate_host_find(const struct mg_gate_policy *policy, struct mg_view name);

/* The rule for a canonical path; NULL if none of the tenant's covers it. */
const struct mg_gate_route *mg_gate_route_find(const struct mg_gate_host *host, struct mg_view path);

#endif
