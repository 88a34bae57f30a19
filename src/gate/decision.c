#include "gate/decision.h"

void
mg_gate_prepare(const struct mg_session_reader *sessions, struct mg_tokens *tokens)
{
    if (tokens->count == 0 || sessions == NULL)
        return;
    mg_session_prefetch(sessions, tokens->bytes[0]);
    if (!tokens->hashed)
        mg_token_hash(tokens->bytes[0], tokens->first_hash);
    tokens->hashed = true;
}

static bool
lies_below(struct mg_view path, const char *directory)
{
    const size_t length = strlen(directory);
    return path.length >= length && memcmp(path.bytes, directory, length) == 0 &&
           (path.length == length || path.bytes[length] == '/');
}

/* Paths that are ours, or may be, begin with "/.": most need no further look. */
static inline bool
is_below(struct mg_view path, const char *directory)
{
    return path.length >= 2 && path.bytes[1] == '.' && lies_below(path, directory);
}

/* RFC 8615: what every host of ours answers in one manner. One of three is a statement to strangers (RFC
 * 9116). */
static bool
is_well_known_of_ours(struct mg_view path)
{
    static const char *const names[] = {"change-password", "passkey-endpoints", "security.txt"};
    static const char directory[] = "/.well-known/";
    enum { length = sizeof directory - 1 };
    if (path.length <= length || path.bytes[1] != '.' || memcmp(path.bytes, directory, length) != 0)
        return false;
    for (size_t i = 0; i < MG_COUNT(names); i++)
        if (mg_view_is(mg_view_of(path.bytes + length, path.length - length), names[i]))
            return true;
    return false;
}

static inline bool
is_public_statement(struct mg_view path)
{
    return is_below(path, "/.well-known/masugata") ||
           (path.length == sizeof "/.well-known/security.txt" - 1 &&
            is_below(path, "/.well-known/security.txt"));
}

static enum mg_gate_destination
destination_of(const struct mg_gate_host *host, struct mg_view path)
{
    if (host->origin != MG_ORIGIN_APP || is_below(path, "/.masugata") || is_public_statement(path) ||
        is_well_known_of_ours(path))
        return MG_TO_PORTAL;
    return MG_TO_APP;
}

static bool
in_list(struct mg_view list, struct mg_view item)
{
    for (size_t at = 0; at < list.length;) {
        size_t end = at;
        while (end < list.length && list.bytes[end] != ' ')
            end++;
        if (mg_view_equal(mg_view_of(list.bytes + at, end - at), item))
            return true;
        at = end + 1;
    }
    return false;
}

/* Which host, whose, and in what state. */
static enum mg_refusal
judge_host(const struct mg_gate_policy *policy, const struct mg_gate_request *request,
           struct mg_gate_verdict *verdict)
{
    if (request->host.length == 0)
        return MG_REFUSAL_UNKNOWN_HOST;
    verdict->host = mg_gate_host_find(policy, request->host);
    if (verdict->host == NULL)
        return MG_REFUSAL_UNKNOWN_HOST;
    if (verdict->host->tenant->state != MG_TENANT_ACTIVE)
        return MG_REFUSAL_SUSPENDED;
    /* RFC 9110 section 7.4: a request for an authority that this connection was not made for. */
    if (request->server_name.length != 0 && !mg_view_equal(request->server_name, request->host))
        return MG_REFUSAL_MISDIRECTED;
    return MG_REFUSAL_NONE;
}

static enum mg_refusal
judge_path(const struct mg_gate_request *request, struct mg_gate_verdict *verdict)
{
    if (request->malformed)
        return MG_REFUSAL_BAD_HEADER;
    if (request->path.length == 0)
        return MG_REFUSAL_AMBIGUOUS_PATH;
    if (is_below(request->path, "/.masugata/internal"))
        return MG_REFUSAL_INTERNAL_PATH;
    verdict->destination = destination_of(verdict->host, request->path);
    verdict->route = mg_gate_route_find(verdict->host, request->path);
    return MG_REFUSAL_NONE;
}

/* Where a tenant is administered on its sign-in origin: the console and the API. */
static bool
is_administration(struct mg_view path)
{
    return lies_below(path, "/console") || lies_below(path, "/api");
}

/* Control: IDENTITY_05, IDENTITY_06 */
static enum mg_refusal
judge_network(const struct mg_gate_request *request, const struct mg_gate_verdict *verdict)
{
    const struct mg_gate_host *host = verdict->host;
    const struct mg_gate_route *route = verdict->route;
    if (is_public_statement(request->path))
        return MG_REFUSAL_NONE;
    if (!mg_network_set_has(&host->tenant->use, request->client))
        return MG_REFUSAL_NETWORK;
    if (host->origin == MG_ORIGIN_SIGN_IN && !mg_network_set_has(&host->tenant->sign_in, request->client))
        return MG_REFUSAL_NETWORK;
    if (host->origin == MG_ORIGIN_SIGN_IN && is_administration(request->path) &&
        !mg_network_set_has(&host->tenant->administrators, request->client))
        return MG_REFUSAL_NETWORK;
    if (route == NULL)
        return MG_REFUSAL_NONE;
    if (!mg_network_set_has(&route->networks, request->client) ||
        (route->administrators_only_networks &&
         !mg_network_set_has(&host->tenant->administrators, request->client)))
        return MG_REFUSAL_NETWORK;
    return MG_REFUSAL_NONE;
}

/* SAML's POST binding: a form of an identity provider, which comes from its site. What counts is its
 * signature; the portal looks at no cookie there. */
static bool
is_carried_in(const struct mg_gate_host *host, struct mg_view path)
{
    static const char *const places[] = {"/federation/saml/", "/federation/sign-out/"};
    for (size_t i = 0; i < MG_COUNT(places) && host->origin == MG_ORIGIN_SIGN_IN; i++)
        if (path.length > strlen(places[i]) && memcmp(path.bytes, places[i], strlen(places[i])) == 0)
            return true;
    return false;
}

/* A browser names where a request comes from: Sec-Fetch-Site, or Origin on anything but GET and HEAD
 * (Fetch standard). A request with neither was not caused by a page. */
static enum mg_refusal
judge_site(const struct mg_gate_request *request, const struct mg_gate_verdict *verdict)
{
    const struct mg_gate_route *route = verdict->route;
    if ((!request->unsafe && !request->websocket) || is_carried_in(verdict->host, request->path))
        return MG_REFUSAL_NONE;
    if (route != NULL && request->origin.bytes != NULL && in_list(route->cors_origins, request->origin))
        return MG_REFUSAL_NONE;
    const bool same_site =
        request->fetch_site.bytes != NULL &&
        (mg_view_is(request->fetch_site, "same-origin") || mg_view_is(request->fetch_site, "none"));
    if (request->fetch_site.bytes != NULL && !same_site)
        return MG_REFUSAL_CROSS_SITE;
    if (request->origin.bytes == NULL || mg_view_equal(request->origin, request->own_origin))
        return MG_REFUSAL_NONE;
    /* Under Referrer-Policy: no-referrer a page's own forms say "null"; Sec-Fetch-Site, which no page
     * can set, then tells them from others. */
    return same_site && mg_view_is(request->origin, "null") ? MG_REFUSAL_NONE : MG_REFUSAL_CROSS_SITE;
}

static bool
needs_no_session(const struct mg_gate_request *request, const struct mg_gate_verdict *verdict)
{
    const struct mg_gate_route *route = verdict->route;
    if (verdict->destination == MG_TO_PORTAL)
        return true;
    if (route == NULL)
        return false;
    return route->public || route->webhook || (route->bearer && request->bearer) ||
           (request->preflight && route->cors_origins.length != 0 && request->origin.bytes != NULL &&
            in_list(route->cors_origins, request->origin));
}

/* A session counts only where it was issued for. */
static bool
is_for_host(const struct mg_session_hot *session, const struct mg_gate_host *host)
{
    return session->tenant_id == host->tenant->id && session->origin == host->origin &&
           (session->host_id == 0 || session->host_id == host->id);
}

/* The tenant's limits hold whatever the session's own row says. */
static enum mg_refusal
judge_limits(const struct mg_session_hot *session, const struct mg_gate_tenant *tenant, uint32_t now_s)
{
    if (tenant->idle_s != 0 && now_s > session->used_s && now_s - session->used_s > tenant->idle_s)
        return MG_REFUSAL_IDLE;
    if (tenant->absolute_s != 0 && session->expires_s - now_s > tenant->absolute_s)
        return MG_REFUSAL_EXPIRED; /* a longer life than the policy can have given */
    return MG_REFUSAL_NONE;
}

static enum mg_refusal
refusal_of(enum mg_session_answer answer)
{
    switch (answer) {
    case MG_SESSION_NONE:
        return MG_REFUSAL_NO_SESSION;
    case MG_SESSION_EXPIRED:
        return MG_REFUSAL_EXPIRED;
    case MG_SESSION_IDLE:
        return MG_REFUSAL_IDLE;
    case MG_SESSION_FOUND:
        return MG_REFUSAL_NONE;
    case MG_SESSION_UNSURE:
        break;
    }
    return MG_REFUSAL_UNAVAILABLE;
}

static enum mg_refusal
try_token(struct mg_session_reader *sessions, const struct mg_gate_request *request, size_t index,
          struct mg_gate_verdict *verdict)
{
    if (index == 0 && request->tokens->hashed)
        memcpy(verdict->token_hash, request->tokens->first_hash, MG_TOKEN_HASH);
    else
        mg_token_hash(request->tokens->bytes[index], verdict->token_hash);
    const enum mg_session_answer answer =
        mg_session_lookup(sessions, verdict->token_hash, request->now, false, &verdict->session);
    if (answer != MG_SESSION_FOUND)
        return refusal_of(answer);
    if (!is_for_host(&verdict->session, verdict->host))
        return MG_REFUSAL_OTHER_TENANT;
    return judge_limits(&verdict->session, verdict->host->tenant, (uint32_t) (request->now / 1000));
}

/* Control: IDENTITY_01 */
static enum mg_refusal
find_session(const struct mg_gate_policy *policy, struct mg_session_reader *sessions,
             const struct mg_gate_request *request, struct mg_gate_verdict *verdict)
{
    if (request->tokens->count == 0)
        return MG_REFUSAL_NO_SESSION;
    if (request->monotonic_ms - mg_session_last_heartbeat(sessions) > policy->outage_ms)
        return MG_REFUSAL_UNAVAILABLE;
    enum mg_refusal worst = MG_REFUSAL_NO_SESSION;
    for (size_t i = 0; i < request->tokens->count; i++) {
        const enum mg_refusal refusal = try_token(sessions, request, i, verdict);
        if (refusal == MG_REFUSAL_NONE) {
            verdict->has_session = true;
            return refusal;
        }
        if (worst != MG_REFUSAL_UNAVAILABLE)
            worst = refusal;
    }
    return worst;
}

/* Control: IDENTITY_04 */
static bool
second_factor_given(const struct mg_gate_route *route, const struct mg_session_cold *cold, mg_instant now)
{
    return route->second_factor_s == 0 ||
           (cold->second_factor_at != 0 &&
            now - cold->second_factor_at <= (int64_t) route->second_factor_s * 1000);
}

static enum mg_refusal
judge_rights(struct mg_session_reader *sessions, const struct mg_gate_request *request,
             const struct mg_gate_verdict *verdict)
{
    const struct mg_gate_route *route = verdict->route;
    if (route == NULL)
        return MG_REFUSAL_NONE;
    if (route->roles != 0 && (route->roles & verdict->session.roles) == 0)
        return MG_REFUSAL_ROLE;
    if (route->fresh_s == 0 && route->second_factor_s == 0)
        return MG_REFUSAL_NONE;
    struct mg_session_cold cold;
    if (!mg_session_cold_read(sessions, &verdict->session, &cold))
        return MG_REFUSAL_UNAVAILABLE;
    if (route->fresh_s != 0 && request->now - cold.authenticated_at > (int64_t) route->fresh_s * 1000)
        return MG_REFUSAL_STALE_SIGN_IN;
    return second_factor_given(route, &cold, request->now) ? MG_REFUSAL_NONE : MG_REFUSAL_STEP_UP;
}

/* A webhook's request may come from anywhere, but then it comes as nobody: a page of another site must not
 * lend it the session of whoever looks at it. */
static bool
comes_as_nobody(const struct mg_gate_request *request, const struct mg_gate_verdict *verdict)
{
    return verdict->route != NULL && verdict->route->webhook && !request->websocket &&
           verdict->destination == MG_TO_APP;
}

static enum mg_refusal
judge(const struct mg_gate_policy *policy, struct mg_session_reader *sessions,
      const struct mg_gate_request *request, struct mg_gate_verdict *verdict)
{
    if (policy == NULL || sessions == NULL)
        return MG_REFUSAL_UNAVAILABLE;
    enum mg_refusal refusal = judge_host(policy, request, verdict);
    if (refusal == MG_REFUSAL_NONE)
        refusal = judge_path(request, verdict);
    if (refusal == MG_REFUSAL_NONE)
        refusal = judge_network(request, verdict);
    if (refusal != MG_REFUSAL_NONE)
        return refusal;
    refusal = judge_site(request, verdict);
    const bool nobody = refusal != MG_REFUSAL_NONE && comes_as_nobody(request, verdict);
    if (refusal != MG_REFUSAL_NONE && !nobody)
        return refusal;
    if (verdict->destination == MG_TO_APP && verdict->host->tenant->maintenance)
        return MG_REFUSAL_MAINTENANCE;
    refusal = nobody ? MG_REFUSAL_NO_SESSION : find_session(policy, sessions, request, verdict);
    if (needs_no_session(request, verdict))
        return MG_REFUSAL_NONE;
    return refusal == MG_REFUSAL_NONE ? judge_rights(sessions, request, verdict) : refusal;
}

void
mg_gate_decide(const struct mg_gate_policy *policy, struct mg_session_reader *sessions,
               const struct mg_gate_request *request, struct mg_gate_verdict *ret_verdict)
{
    ret_verdict->destination = MG_TO_NOBODY;
    ret_verdict->host = NULL;
    ret_verdict->route = NULL;
    ret_verdict->has_session = false;
    ret_verdict->refusal = judge(policy, sessions, request, ret_verdict);
    if (ret_verdict->refusal == MG_REFUSAL_NONE && ret_verdict->has_session)
        mg_session_mark(sessions, &ret_verdict->session, request->now);
}
