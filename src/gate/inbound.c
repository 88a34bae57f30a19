/* The request's headers: read once, then passed on without anything that could be mistaken for
 * ours or for a proxy's. */
#include "gate/gate.h"

#if (NGX_HTTP_SSL)
#include <openssl/ssl.h>
#endif

/* Names as they look after lower-casing and with every other character than a letter or digit as
 * '-'; a '*' ends a prefix. CGI-like interfaces make no difference between these spellings. */
static const char *const stripped_names[] = {
    "x-masugata*",
    "x-forwarded*",
    "x-real-*",
    "x-client-*",
    "x-remote-*",
    "x-original-*",
    "x-rewrite-*",
    "x-auth-request-*",
    "x-auth-user*",
    "x-auth-email*",
    "x-auth-group*",
    "x-auth-role*",
    "x-authenticated-*",
    "x-user",
    "x-user-id",
    "x-user-name",
    "x-user-email",
    "x-user-role*",
    "x-user-group*",
    "x-username",
    "x-email",
    "x-groups",
    "x-roles",
    "x-role",
    "x-tenant*",
    "x-webauth-*",
    "x-goog-auth*",
    "x-amzn-oidc-*",
    "x-ms-client-principal*",
    "x-ssl-client-*",
    "x-ssl-*",
    "x-cluster-client-ip",
    "x-envoy-*",
    "x-host",
    "x-forward-*",
    "x-http-method*",
    "x-method-override",
    "x-proxy-*",
    "x-accel-*",
    "x-sendfile*",
    "x-jwt-*",
    "x-id-token",
    "x-access-token",
    "x-token-*",
    "x-consumer-*",
    "x-proxyuser*",
    "x-iap-*",
    "x-pomerium-*",
    "x-vouch-*",
    "x-authentik-*",
    "x-goog-iap-*",
    "x-userid",
    "x-userinfo",
    "x-credential-*",
    "x-anonymous-consumer",
    "x-originating-*",
    "x-scheme",
    "x-url-scheme",
};
static const char *const stripped_plain_names[] = {
    "forwarded", "true-client-ip", "cf-connecting-ip*", "cf-access-*",    "client-ip", "fastly-client-ip",
    "remote-*",  "proxy",          "ssl-client-*",      "tailscale-*",    "oidc-*",    "auth-user*",
    "http-*",    "from-user",      "via-proxy",         "http2-settings", "shib-*",    "front-end-https",
};

static bool
name_matches(const u_char *name, size_t length, const char *pattern)
{
    size_t at = 0;
    for (; pattern[at] != '\0' && pattern[at] != '*'; at++)
        if (at >= length || name[at] != (u_char) pattern[at])
            return false;
    return pattern[at] == '*' || at == length;
}

static bool
is_listed(const u_char *name, size_t length, const char *const *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (name_matches(name, length, patterns[i]))
            return true;
    return false;
}

#define NAME_MOST 64

/* The first two letters of stripped_plain_names, so that nearly every header is done with here. */
static bool
may_be_plain_name(const ngx_table_elt_t *header)
{
    if (header->key.len < 5)
        return false;
    const u_char second = header->lowcase_key[1];
    switch (header->lowcase_key[0]) {
    case 'f':
        return second == 'o' || second == 'a' || second == 'r';
    case 'c':
        return second == 'f' || second == 'l';
    case 'r':
        return second == 'e' && header->key.len != sizeof "referer" - 1;
    case 'p':
        return second == 'r';
    case 's':
        return second == 's' || second == 'h';
    case 't':
        return second == 'r' || second == 'a';
    case 'o':
        return second == 'i';
    case 'a':
        return second == 'u';
    case 'h':
        return second == 't';
    case 'v':
        return second == 'i';
    default:
        return false;
    }
}

static bool
is_named(const ngx_table_elt_t *header, const char *lower_name, size_t length)
{
    return header->key.len == length && memcmp(header->lowcase_key, lower_name, length) == 0;
}
#define NAMED(header, text) is_named(header, text, sizeof(text) - 1)

/* An app that changed to HTTP/2 in the clear ("h2c") or to anything else that we do not follow would take
 * the requests after it from a stranger's hand, unjudged. A WebSocket carries no requests. */
static bool
is_other_protocol(const ngx_table_elt_t *header)
{
    static const char websocket[] = "websocket";
    return NAMED(header, "upgrade") &&
           (header->value.len != sizeof websocket - 1 ||
            ngx_strncasecmp(header->value.data, (u_char *) (uintptr_t) websocket, sizeof websocket - 1) != 0);
}

/* True if the header must not reach the app or the portal.
 * Control: TENANCY_02 */
static bool
is_stripped(const ngx_table_elt_t *header)
{
    const u_char first = header->lowcase_key[0];
    if (first == 'u')
        return is_other_protocol(header);
    if (first != 'x' && !may_be_plain_name(header))
        return false;
    GATE_COUNTED u_char name[NAME_MOST];
    const size_t length = header->key.len < NAME_MOST ? header->key.len : NAME_MOST;
    for (size_t i = 0; i < length; i++) {
        const u_char c = ngx_tolower(header->key.data[i]);
        name[i] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
    }
    if (first == 'x')
        return is_listed(name, length, stripped_names, MG_COUNT(stripped_names));
    return is_listed(name, length, stripped_plain_names, MG_COUNT(stripped_plain_names));
}

static void
note(ngx_table_elt_t *header, gate_inbound_t *inbound)
{
    switch (header->key.len) {
    case 4:
        if (NAMED(header, "host")) {
            inbound->host_count++;
            inbound->host_text = header->value;
        }
        break;
    case 6:
        if (NAMED(header, "cookie")) {
            if (inbound->cookie_count < GATE_COOKIES)
                inbound->cookies[inbound->cookie_count] = header;
            inbound->cookie_count++;
            mg_tokens_collect(gate_view(header->value), &inbound->tokens);
        } else if (NAMED(header, "origin"))
            inbound->origin = header;
        else if (NAMED(header, "accept"))
            inbound->accept = header;
        break;
    case 7:
        if (NAMED(header, "upgrade") && !is_other_protocol(header))
            inbound->upgrade = header;
        break;
    case 13:
        if (NAMED(header, "authorization"))
            inbound->authorization = header;
        break;
    case 14:
        if (NAMED(header, "sec-fetch-site"))
            inbound->fetch_site = header;
        else if (NAMED(header, "sec-fetch-mode"))
            inbound->fetch_mode = header;
        break;
    case 15:
        if (NAMED(header, "x-forwarded-for")) {
            inbound->forwarded_for = header;
            inbound->forwarded_count++;
        }
        break;
    case 17:
        if (NAMED(header, "x-forwarded-proto"))
            inbound->forwarded_proto = header;
        break;
    case 29:
        if (NAMED(header, "access-control-request-method"))
            inbound->preflight_method = header;
        break;
    }
}

void
gate_inbound_scan(ngx_http_request_t *r, gate_inbound_t *inbound)
{
    /* Not the whole: the arrays are counted. */
    ngx_memzero(inbound, offsetof(gate_inbound_t, holes));
    mg_tokens_clear(&inbound->tokens);
    for (ngx_list_part_t *part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        ngx_table_elt_t *headers = part->elts;
        inbound->total += part->nelts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            note(&headers[i], inbound);
            if (!is_stripped(&headers[i]))
                continue;
            if (inbound->stripped < GATE_HOLES)
                inbound->holes[inbound->stripped] = &headers[i];
            inbound->stripped++;
        }
    }
}

/* ---- the visitor's address --------------------------------------------------------------------- */

/* The last element of a comma-separated list, taken off it. */
static struct mg_view
take_last(struct mg_view *list)
{
    size_t start = list->length;
    while (start > 0 && list->bytes[start - 1] != ',')
        start--;
    struct mg_view last = mg_view_of(list->bytes + start, list->length - start);
    list->length = start > 0 ? start - 1 : 0;
    while (last.length > 0 && last.bytes[0] == ' ')
        last = mg_view_of(last.bytes + 1, last.length - 1);
    while (last.length > 0 && last.bytes[last.length - 1] == ' ')
        last.length--;
    return last;
}

#define PROXIES_MOST 16

/* From the right, as long as each hop is a trusted proxy. Of two headers of that name it is not known
 * which one the proxy wrote, and what cannot be read is nobody's address either: then the visitor has
 * none, and above all not the proxy's, which a list may allow. */
static struct mg_address
behind_proxies(struct mg_address peer, const struct mg_gate_policy *policy, const gate_inbound_t *inbound)
{
    static const struct mg_address unknown = {.high = 0, .low = 0};
    if (inbound->forwarded_count == 0)
        return peer;
    if (inbound->forwarded_count > 1)
        return unknown;
    struct mg_view list = gate_view(inbound->forwarded_for->value);
    struct mg_address client = peer;
    for (int hop = 0; hop < PROXIES_MOST && list.length > 0; hop++) {
        if (!mg_network_set_has(&policy->trusted_proxies, client))
            break;
        if (!mg_ok(mg_address_parse(take_last(&list), &client)))
            return unknown;
    }
    return client;
}

void
gate_client_address(ngx_http_request_t *r, const struct mg_gate_policy *policy, const gate_inbound_t *inbound,
                    gate_context_t *context)
{
    const ngx_connection_t *c = r->connection;
    context->client = (struct mg_address){0, 0};
    context->client_text = c->addr_text;
#if (NGX_HTTP_SSL)
    context->secure = c->ssl != NULL;
#endif
    /* A unix socket has no address; nothing but a policy without lists lets it in. */
    if (!mg_address_of_socket(c->sockaddr, &context->client) || policy == NULL)
        return;
    if (!mg_network_set_has(&policy->trusted_proxies, context->client))
        return;
    context->secure = context->secure || (inbound->forwarded_proto != NULL &&
                                          mg_view_is(gate_view(inbound->forwarded_proto->value), "https"));
    context->client = behind_proxies(context->client, policy, inbound);
    char text[MG_ADDRESS_TEXT];
    mg_address_text(context->client, text);
    u_char *copy = ngx_pnalloc(r->pool, strlen(text));
    if (copy == NULL)
        return;
    context->client_text = (ngx_str_t){.len = strlen(text), .data = copy};
    ngx_memcpy(copy, text, strlen(text));
}

/* ---- what goes on --------------------------------------------------------------------------- */

/* A header of ours: its name as it is sent, as upstream modules look it up, and that name's hash. */
typedef struct {
    ngx_str_t name;
    u_char *lower;
    ngx_uint_t hash;
} own_name_t;

#define OWN_NAME(text, lower_text)                  \
    {                                               \
        ngx_string(text), (u_char[]){lower_text}, 0 \
    }
enum {
    FORWARDED_FOR,
    FORWARDED_PROTO,
    FORWARDED_HOST,
    ASSERTION,
    FORWARDED_USER,
    FORWARDED_EMAIL,
    FORWARDED_GROUPS,
    TENANT,
    ORIGIN,
    HOST,
    CLIENT,
    REQUEST,
    SESSION,
    OWN_NAMES
};
static own_name_t own_names[OWN_NAMES] = {
    [FORWARDED_FOR] = OWN_NAME("X-Forwarded-For", "x-forwarded-for"),
    [FORWARDED_PROTO] = OWN_NAME("X-Forwarded-Proto", "x-forwarded-proto"),
    [FORWARDED_HOST] = OWN_NAME("X-Forwarded-Host", "x-forwarded-host"),
    [ASSERTION] = OWN_NAME("X-Masugata-Assertion", "x-masugata-assertion"),
    [FORWARDED_USER] = OWN_NAME("X-Forwarded-User", "x-forwarded-user"),
    [FORWARDED_EMAIL] = OWN_NAME("X-Forwarded-Email", "x-forwarded-email"),
    [FORWARDED_GROUPS] = OWN_NAME("X-Forwarded-Groups", "x-forwarded-groups"),
    [TENANT] = OWN_NAME("X-Masugata-Tenant", "x-masugata-tenant"),
    [ORIGIN] = OWN_NAME("X-Masugata-Origin", "x-masugata-origin"),
    [HOST] = OWN_NAME("X-Masugata-Host", "x-masugata-host"),
    [CLIENT] = OWN_NAME("X-Masugata-Client", "x-masugata-client"),
    [REQUEST] = OWN_NAME("X-Masugata-Request", "x-masugata-request"),
    [SESSION] = OWN_NAME("X-Masugata-Session", "x-masugata-session"),
};

void
gate_inbound_prepare(void)
{
    for (size_t i = 0; i < OWN_NAMES; i++)
        own_names[i].hash = ngx_hash_key(own_names[i].lower, own_names[i].name.len);
}

static void
put(ngx_table_elt_t *header, const own_name_t *name, ngx_str_t value)
{
    header->hash = name->hash;
    header->key = name->name;
    header->lowcase_key = name->lower;
    header->value = value;
#if (nginx_version >= 1023000)
    header->next = NULL;
#endif
}

static ngx_int_t
push(ngx_list_t *list, int which, ngx_str_t value)
{
    ngx_table_elt_t *header = ngx_list_push(list);
    if (header == NULL)
        return NGX_ERROR;
    put(header, &own_names[which], value);
    return NGX_OK;
}

/* Adds one of ours, in the place of a header that must not go on while there is one. */
static ngx_int_t
place(ngx_http_request_t *r, gate_inbound_t *inbound, int which, ngx_str_t value)
{
    if (inbound->stripped == 0)
        return push(&r->headers_in.headers, which, value);
    put(inbound->holes[--inbound->stripped], &own_names[which], value);
    return NGX_OK;
}

/* Takes our cookies out of the Cookie headers; one that has no others becomes a hole. */
static ngx_int_t
clean_cookies(ngx_http_request_t *r, gate_inbound_t *inbound)
{
    if (!inbound->tokens.reserved)
        return NGX_OK;
    for (ngx_uint_t i = 0; i < inbound->cookie_count; i++) {
        ngx_table_elt_t *header = inbound->cookies[i];
        u_char *room = ngx_pnalloc(r->pool, header->value.len + 1);
        if (room == NULL)
            return NGX_ERROR;
        header->value =
            (ngx_str_t){.len = mg_cookies_without_reserved(gate_view(header->value), room), .data = room};
        if (header->value.len == 0)
            inbound->holes[inbound->stripped++] = header;
    }
    return NGX_OK;
}

/* More to strip than fits: a new list. The old elements stay where they are, so that nginx's own
 * pointers to them (Host, Content-Length, ...) remain good. */
static ngx_int_t
copy_list(ngx_http_request_t *r, const gate_inbound_t *inbound, bool clean)
{
    ngx_list_t list;
    if (ngx_list_init(&list, r->pool, inbound->total + 10, sizeof(ngx_table_elt_t)) != NGX_OK)
        return NGX_ERROR;
    for (ngx_list_part_t *part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        ngx_table_elt_t *headers = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            ngx_str_t value = headers[i].value;
            if (is_stripped(&headers[i]))
                continue;
            if (clean && NAMED(&headers[i], "cookie")) {
                u_char *room = ngx_pnalloc(r->pool, value.len + 1);
                if (room == NULL)
                    return NGX_ERROR;
                value = (ngx_str_t){.len = mg_cookies_without_reserved(gate_view(value), room), .data = room};
                if (value.len == 0)
                    continue;
            }
            ngx_table_elt_t *kept = ngx_list_push(&list);
            if (kept == NULL)
                return NGX_ERROR;
            *kept = headers[i];
            kept->value = value;
        }
    }
    r->headers_in.headers = list;
    if (list.part.next == NULL)
        r->headers_in.headers.last = &r->headers_in.headers.part; /* the copy moved it */
    return NGX_OK;
}

/* nginx's own notes of headers that are gone now. */
static void
forget_stripped(ngx_http_request_t *r)
{
#if (nginx_version >= 1023000)
    r->headers_in.cookie = NULL;
#if (NGX_HTTP_X_FORWARDED_FOR)
    r->headers_in.x_forwarded_for = NULL;
#endif
#else
    r->headers_in.cookies.nelts = 0;
#if (NGX_HTTP_X_FORWARDED_FOR)
    r->headers_in.x_forwarded_for.nelts = 0;
#endif
#endif
#if (NGX_HTTP_REALIP)
    r->headers_in.x_real_ip = NULL;
#endif
    if (r->headers_in.upgrade != NULL && is_other_protocol(r->headers_in.upgrade))
        r->headers_in.upgrade = NULL;
}

/* Afterwards nothing that must not go on is left but `inbound->stripped` holes. GATE_HOLES headers
 * of ours follow in any case, so none stays open. */
static ngx_int_t
strip(ngx_http_request_t *r, gate_inbound_t *inbound, bool clean)
{
    const ngx_uint_t cookies = clean && inbound->tokens.reserved ? inbound->cookie_count : 0;
    forget_stripped(r);
    if (inbound->stripped + cookies > GATE_HOLES) {
        inbound->stripped = 0;
        return copy_list(r, inbound, clean);
    }
    return clean ? clean_cookies(r, inbound) : NGX_OK;
}

static ngx_str_t
literal(const char *text)
{
    return (ngx_str_t){.len = strlen(text), .data = (u_char *) (uintptr_t) text};
}

ngx_int_t
gate_inbound_for_app(ngx_http_request_t *r, const gate_context_t *context, gate_inbound_t *inbound)
{
    if (strip(r, inbound, true) != NGX_OK ||
        place(r, inbound, FORWARDED_FOR, context->client_text) != NGX_OK ||
        place(r, inbound, FORWARDED_PROTO, literal(context->secure ? "https" : "http")) != NGX_OK ||
        place(r, inbound, FORWARDED_HOST, inbound->host_text) != NGX_OK)
        return NGX_ERROR;
    return NGX_OK;
}

ngx_int_t
gate_inbound_assertion(ngx_http_request_t *r, ngx_str_t value)
{
    return push(&r->headers_in.headers, ASSERTION, value);
}

ngx_int_t
gate_inbound_identity(ngx_http_request_t *r, ngx_str_t user, ngx_str_t email, ngx_str_t groups)
{
    ngx_list_t *headers = &r->headers_in.headers;
    return push(headers, FORWARDED_USER, user) == NGX_OK && push(headers, FORWARDED_EMAIL, email) == NGX_OK &&
                   push(headers, FORWARDED_GROUPS, groups) == NGX_OK
               ? NGX_OK
               : NGX_ERROR;
}

static const char *
origin_name(enum mg_origin origin)
{
    return origin == MG_ORIGIN_APP ? "app" : origin == MG_ORIGIN_SIGN_IN ? "sign-in" : "operator";
}

static ngx_str_t
number(ngx_http_request_t *r, uint64_t value)
{
    u_char *text = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (text == NULL)
        return (ngx_str_t) ngx_null_string;
    return (ngx_str_t){.len = (size_t) (ngx_sprintf(text, "%uL", value) - text), .data = text};
}

static ngx_int_t
place_ours(ngx_http_request_t *r, gate_context_t *context, gate_inbound_t *inbound)
{
    const struct mg_gate_host *host = context->verdict.host;
    const ngx_str_t id = gate_request_id(r, context), tenant = number(r, host->tenant->id);
    if (id.len == 0 || tenant.len == 0 || place(r, inbound, TENANT, tenant) != NGX_OK ||
        place(r, inbound, ORIGIN, literal(origin_name(host->origin))) != NGX_OK ||
        place(r, inbound, HOST, context->host) != NGX_OK ||
        place(r, inbound, CLIENT, context->client_text) != NGX_OK || place(r, inbound, REQUEST, id) != NGX_OK)
        return NGX_ERROR;
    return NGX_OK;
}

ngx_int_t
gate_inbound_for_portal(ngx_http_request_t *r, gate_context_t *context, gate_inbound_t *inbound)
{
    return strip(r, inbound, false) == NGX_OK ? place_ours(r, context, inbound) : NGX_ERROR;
}

ngx_int_t
gate_inbound_for_question(ngx_http_request_t *subrequest, gate_context_t *context)
{
    ngx_list_t list;
    gate_inbound_t nothing = {.stripped = 0};
    if (ngx_list_init(&list, subrequest->pool, 8, sizeof(ngx_table_elt_t)) != NGX_OK)
        return NGX_ERROR;
    subrequest->headers_in.headers = list;
    subrequest->headers_in.headers.last = &subrequest->headers_in.headers.part;
    forget_stripped(subrequest);
    const ngx_str_t session = number(subrequest, context->verdict.session.session_id);
    if (session.len == 0 || place_ours(subrequest, context, &nothing) != NGX_OK)
        return NGX_ERROR;
    return push(&subrequest->headers_in.headers, SESSION, session);
}
