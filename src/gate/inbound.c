/* The request's headers: read once, then passed on without anything that could be mistaken for
 * ours or for a proxy's. */
#include "gate/gate.h"

#if (NGX_HTTP_SSL)
#include <openssl/ssl.h>
#endif

/* Names as they look after lower-casing and with every other character than a letter or digit as
 * '-'; a '*' ends a prefix. CGI-like interfaces make no difference between these spellings. */
static const char *const stripped_names[] = {
    "x-masugata*",       "x-forwarded*",       "x-real-*",           "x-client-*",         "x-remote-*",
    "x-original-*",      "x-rewrite-*",        "x-auth-request-*",   "x-auth-user*",       "x-auth-email*",
    "x-auth-group*",     "x-auth-role*",       "x-authenticated-*",  "x-user",             "x-user-id",
    "x-user-name",       "x-user-email",       "x-user-role*",       "x-user-group*",      "x-username",
    "x-email",           "x-groups",           "x-roles",            "x-role",             "x-tenant*",
    "x-webauth-*",       "x-goog-auth*",       "x-amzn-oidc-*",      "x-ms-client-principal*", "x-ssl-client-*",
    "x-ssl-*",           "x-cluster-client-ip", "x-envoy-*",         "x-host",             "x-forward-*",
    "x-http-method*",    "x-method-override",  "x-proxy-*",          "x-accel-*",          "x-sendfile*",
    "x-jwt-*",           "x-id-token",         "x-access-token",     "x-token-*",          "x-consumer-*",
    "x-proxyuser*",      "x-iap-*",            "x-pomerium-*",       "x-vouch-*",          "x-authentik-*",
};
static const char *const stripped_plain_names[] = {
    "forwarded",    "true-client-ip", "cf-connecting-ip*", "cf-access-*", "client-ip", "fastly-client-ip",
    "remote-*",     "proxy",          "ssl-client-*",      "tailscale-*", "oidc-*",    "auth-user*",
    "http-*",       "from-user",      "via-proxy",
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

/* True if the header must not reach the app or the portal. */
static bool
is_stripped(const ngx_table_elt_t *header)
{
    u_char name[NAME_MOST];
    const size_t length = header->key.len < NAME_MOST ? header->key.len : NAME_MOST;
    const u_char first = header->lowcase_key[0];
    if (first != 'x' && strchr("fcrpstoahv", first) == NULL)
        return false;
    for (size_t i = 0; i < length; i++) {
        const u_char c = ngx_tolower(header->key.data[i]);
        name[i] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
    }
    if (first == 'x')
        return is_listed(name, length, stripped_names, MG_COUNT(stripped_names));
    return is_listed(name, length, stripped_plain_names, MG_COUNT(stripped_plain_names));
}

static bool
is_named(const ngx_table_elt_t *header, const char *lower_name, size_t length)
{
    return header->key.len == length && memcmp(header->lowcase_key, lower_name, length) == 0;
}
#define NAMED(header, text) is_named(header, text, sizeof(text) - 1)

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
            inbound->cookie_count++;
            mg_tokens_collect(gate_view(header->value), &inbound->tokens);
        } else if (NAMED(header, "origin"))
            inbound->origin = header;
        else if (NAMED(header, "accept"))
            inbound->accept = header;
        break;
    case 7:
        if (NAMED(header, "upgrade"))
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
    /* Not ngx_memzero of the whole: the token array is large and counted. */
    ngx_memzero(inbound, offsetof(gate_inbound_t, tokens));
    inbound->tokens.count = 0;
    inbound->tokens.reserved = inbound->tokens.other = false;
    inbound->host_count = inbound->forwarded_count = inbound->cookie_count = inbound->total = 0;
    for (ngx_list_part_t *part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        ngx_table_elt_t *headers = part->elts;
        inbound->total += part->nelts;
        for (ngx_uint_t i = 0; i < part->nelts; i++)
            note(&headers[i], inbound);
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

/* From the right, as long as each hop is a trusted proxy. Two headers of that name cannot be put in
 * order, so they vouch for nothing. */
static struct mg_address
behind_proxies(struct mg_address peer, const struct mg_gate_policy *policy, const gate_inbound_t *inbound)
{
    if (inbound->forwarded_count != 1)
        return peer;
    struct mg_view list = gate_view(inbound->forwarded_for->value);
    struct mg_address client = peer;
    for (int hop = 0; hop < PROXIES_MOST && list.length > 0; hop++) {
        struct mg_address next;
        if (!mg_network_set_has(&policy->trusted_proxies, client) || !mg_ok(mg_address_parse(take_last(&list), &next)))
            break;
        client = next;
    }
    return client;
}

void
gate_client_address(ngx_http_request_t *r, const struct mg_gate_policy *policy, const gate_inbound_t *inbound,
                    gate_context_t *context)
{
    const ngx_connection_t *c = r->connection;
    context->client = (struct mg_address) {0, 0};
    context->client_text = c->addr_text;
#if (NGX_HTTP_SSL)
    context->secure = c->ssl != NULL;
#endif
    /* A unix socket has no address; nothing but a policy without lists lets it in. */
    if (!mg_address_of_socket(c->sockaddr, &context->client) || policy == NULL)
        return;
    if (!mg_network_set_has(&policy->trusted_proxies, context->client))
        return;
    context->secure =
        context->secure || (inbound->forwarded_proto != NULL && mg_view_is(gate_view(inbound->forwarded_proto->value), "https"));
    context->client = behind_proxies(context->client, policy, inbound);
    char text[MG_ADDRESS_TEXT];
    mg_address_text(context->client, text);
    u_char *copy = ngx_pnalloc(r->pool, strlen(text));
    if (copy == NULL)
        return;
    context->client_text = (ngx_str_t) {.len = strlen(text), .data = copy};
    ngx_memcpy(copy, text, strlen(text));
}

/* ---- what goes on --------------------------------------------------------------------------- */

ngx_table_elt_t *
gate_header_add(ngx_http_request_t *r, ngx_list_t *list, const char *name, const char *lower_name, ngx_str_t value)
{
    (void) r;
    ngx_table_elt_t *header = ngx_list_push(list);
    if (header == NULL)
        return NULL;
    header->hash = 1;
    header->key.len = strlen(name);
    header->key.data = (u_char *) (uintptr_t) name;
    header->lowcase_key = (u_char *) (uintptr_t) lower_name;
    header->value = value;
#if (nginx_version >= 1023000)
    header->next = NULL;
#endif
    return header;
}

/* Header names live in the request's hash only as text here; upstream modules look them up by
 * lower-case key and a hash that they compute from `hash`. */
static ngx_int_t
push(ngx_http_request_t *r, ngx_list_t *list, const char *name, const char *lower_name, ngx_str_t value)
{
    ngx_table_elt_t *header = gate_header_add(r, list, name, lower_name, value);
    if (header == NULL)
        return NGX_ERROR;
    header->hash = ngx_hash_key((u_char *) (uintptr_t) lower_name, strlen(lower_name));
    return NGX_OK;
}

/* The Cookie header without ours; false if nothing is left of it. */
static ngx_int_t
keep_cookie(ngx_http_request_t *r, const ngx_table_elt_t *header, ngx_list_t *list)
{
    u_char *room = ngx_pnalloc(r->pool, header->value.len + 1);
    if (room == NULL)
        return NGX_ERROR;
    const size_t length = mg_cookies_without_reserved(gate_view(header->value), room);
    if (length == 0)
        return NGX_OK;
    ngx_table_elt_t *kept = ngx_list_push(list);
    if (kept == NULL)
        return NGX_ERROR;
    *kept = *header;
    kept->value = (ngx_str_t) {.len = length, .data = room};
    return NGX_OK;
}

/* Copies what may pass to a new list. The old elements stay where they are, so nginx's own pointers
 * to them (Host, Content-Length, ...) remain good. */
static ngx_int_t
filter(ngx_http_request_t *r, const gate_inbound_t *inbound, bool without_reserved_cookies, ngx_list_t *list)
{
    if (ngx_list_init(list, r->pool, inbound->total + 10, sizeof(ngx_table_elt_t)) != NGX_OK)
        return NGX_ERROR;
    const bool edit_cookies = without_reserved_cookies && inbound->tokens.reserved;
    for (ngx_list_part_t *part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        ngx_table_elt_t *headers = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (is_stripped(&headers[i]))
                continue;
            if (edit_cookies && NAMED(&headers[i], "cookie")) {
                if (inbound->tokens.other && keep_cookie(r, &headers[i], list) != NGX_OK)
                    return NGX_ERROR;
                continue;
            }
            ngx_table_elt_t *kept = ngx_list_push(list);
            if (kept == NULL)
                return NGX_ERROR;
            *kept = headers[i];
        }
    }
    return NGX_OK;
}

static void
install(ngx_http_request_t *r, ngx_list_t list)
{
    r->headers_in.headers = list;
    /* A list that fits into its first part is where `last` points; the copy moved it. */
    if (list.part.next == NULL)
        r->headers_in.headers.last = &r->headers_in.headers.part;
#if (NGX_HTTP_X_FORWARDED_FOR)
#if (nginx_version >= 1023000)
    r->headers_in.x_forwarded_for = NULL;
#else
    r->headers_in.x_forwarded_for.nelts = 0;
#endif
#endif
#if (NGX_HTTP_REALIP)
    r->headers_in.x_real_ip = NULL;
#endif
}

static ngx_str_t
literal(const char *text)
{
    return (ngx_str_t) {.len = strlen(text), .data = (u_char *) (uintptr_t) text};
}

ngx_int_t
gate_inbound_for_app(ngx_http_request_t *r, gate_context_t *context, const gate_inbound_t *inbound)
{
    ngx_list_t list;
    if (filter(r, inbound, true, &list) != NGX_OK)
        return NGX_ERROR;
    install(r, list);
    ngx_list_t *headers = &r->headers_in.headers;
    if (push(r, headers, "X-Forwarded-For", "x-forwarded-for", context->client_text) != NGX_OK ||
        push(r, headers, "X-Forwarded-Proto", "x-forwarded-proto", literal(context->secure ? "https" : "http")) != NGX_OK ||
        push(r, headers, "X-Forwarded-Host", "x-forwarded-host", inbound->host_text) != NGX_OK)
        return NGX_ERROR;
    return NGX_OK;
}

static const char *
origin_name(enum mg_origin origin)
{
    return origin == MG_ORIGIN_APP ? "app" : origin == MG_ORIGIN_SIGN_IN ? "sign-in" : "operator";
}

static ngx_int_t
push_number(ngx_http_request_t *r, ngx_list_t *list, const char *name, const char *lower_name, uint64_t number)
{
    u_char *text = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (text == NULL)
        return NGX_ERROR;
    const ngx_str_t value = {.len = (size_t) (ngx_sprintf(text, "%uL", number) - text), .data = text};
    return push(r, list, name, lower_name, value);
}

static ngx_int_t
push_ours(ngx_http_request_t *r, gate_context_t *context, ngx_list_t *list)
{
    const struct mg_gate_host *host = context->verdict.host;
    const ngx_str_t id = gate_request_id(r, context);
    if (id.len == 0 ||
        push_number(r, list, "X-Masugata-Tenant", "x-masugata-tenant", host->tenant->id) != NGX_OK ||
        push(r, list, "X-Masugata-Origin", "x-masugata-origin", literal(origin_name(host->origin))) != NGX_OK ||
        push(r, list, "X-Masugata-Host", "x-masugata-host", context->host) != NGX_OK ||
        push(r, list, "X-Masugata-Client", "x-masugata-client", context->client_text) != NGX_OK ||
        push(r, list, "X-Masugata-Request", "x-masugata-request", id) != NGX_OK)
        return NGX_ERROR;
    return NGX_OK;
}

ngx_int_t
gate_inbound_for_portal(ngx_http_request_t *r, gate_context_t *context, const gate_inbound_t *inbound)
{
    ngx_list_t list;
    if (filter(r, inbound, false, &list) != NGX_OK)
        return NGX_ERROR;
    install(r, list);
    return push_ours(r, context, &r->headers_in.headers);
}

ngx_int_t
gate_inbound_for_question(ngx_http_request_t *subrequest, gate_context_t *context)
{
    ngx_list_t list;
    if (ngx_list_init(&list, subrequest->pool, 8, sizeof(ngx_table_elt_t)) != NGX_OK)
        return NGX_ERROR;
    install(subrequest, list);
    if (push_ours(subrequest, context, &subrequest->headers_in.headers) != NGX_OK)
        return NGX_ERROR;
    return push_number(subrequest, &subrequest->headers_in.headers, "X-Masugata-Session", "x-masugata-session",
                       context->verdict.session.session_id);
}
