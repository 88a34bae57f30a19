/* The response's headers, on every response of a gated server, and the page that stands in for an
 * upstream that is away. */
#include "gate/gate.h"

static ngx_http_output_header_filter_pt next_header_filter;
static ngx_http_output_body_filter_pt next_body_filter;

/* The headers that the gate sets; the enum's order. `app` is for the app's responses, `own` for the
 * portal's and the gate's. */
typedef struct {
    ngx_str_t name;
    ngx_str_t app, own;
} header_row_t;

static const header_row_t header_rows[MG_POLICY_HEADERS] = {
    [MG_HEADER_CSP] = {ngx_string("Content-Security-Policy"),
                       ngx_string(
                           "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                           "font-src 'self'; connect-src 'self'; media-src 'self'; worker-src 'self'; "
                           "manifest-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
                           "frame-ancestors 'self'"),
                       ngx_string(
                           "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
                           "base-uri 'none'; frame-ancestors 'none'")},
    [MG_HEADER_COOP] = {ngx_string("Cross-Origin-Opener-Policy"), ngx_string("same-origin"),
                        ngx_string("same-origin")},
    [MG_HEADER_COEP] = {ngx_string("Cross-Origin-Embedder-Policy"), ngx_string("require-corp"),
                        ngx_string("require-corp")},
    [MG_HEADER_CORP] = {ngx_string("Cross-Origin-Resource-Policy"), ngx_string("same-origin"),
                        ngx_string("same-origin")},
    [MG_HEADER_REFERRER_POLICY] = {ngx_string("Referrer-Policy"),
                                   ngx_string("strict-origin-when-cross-origin"), ngx_string("same-origin")},
    [MG_HEADER_PERMISSIONS_POLICY] = {ngx_string("Permissions-Policy"),
                                      ngx_string("accelerometer=(), camera=(), geolocation=(), gyroscope=(), "
                                                 "magnetometer=(), microphone=(), payment=(), usb=()"),
                                      ngx_string("accelerometer=(), camera=(), geolocation=(), gyroscope=(), "
                                                 "magnetometer=(), microphone=(), payment=(), usb=()")},
    [MG_HEADER_XSS_PROTECTION] = {ngx_string("X-XSS-Protection"), ngx_null_string, ngx_null_string},
    [MG_HEADER_HSTS] = {ngx_string("Strict-Transport-Security"), ngx_null_string, ngx_null_string},
    [MG_HEADER_FRAME_OPTIONS] = {ngx_string("X-Frame-Options"), ngx_string("SAMEORIGIN"), ngx_string("DENY")},
};
static const ngx_str_t no_sniff_name = ngx_string("X-Content-Type-Options");
static const ngx_str_t no_sniff = ngx_string("nosniff");
static const ngx_str_t report_only_name = ngx_string("Content-Security-Policy-Report-Only");

static const struct mg_gate_tenant *
tenant_of(const gate_context_t *context)
{
    return context == NULL || context->verdict.host == NULL ? NULL : context->verdict.host->tenant;
}

static bool
is_apps(const gate_context_t *context)
{
    return context != NULL && context->verdict.destination == MG_TO_APP && !context->own_answer &&
           !context->replace_body;
}

/* The text of a header for this response; empty: do not send it. */
static ngx_str_t
text_of(ngx_http_request_t *r, const gate_context_t *context, enum mg_policy_header which)
{
    const gate_server_conf_t *conf = ngx_http_get_module_srv_conf(r, ngx_http_masugata_module);
    const struct mg_gate_tenant *tenant = tenant_of(context);
    if (which == MG_HEADER_HSTS) {
        /* RFC 6797 section 7.2: never on plain HTTP. */
#if (NGX_HTTP_SSL)
        const bool secure = r->connection->ssl != NULL || (context != NULL && context->secure);
#else
        const bool secure = context != NULL && context->secure;
#endif
        if (!secure)
            return (ngx_str_t) ngx_null_string;
    }
    if (is_apps(context) && tenant != NULL && tenant->header_set[which])
        return gate_text(tenant->headers[which]);
    if (which == MG_HEADER_HSTS)
        return conf->hsts;
    if (which == MG_HEADER_XSS_PROTECTION)
        return conf->xss_protection;
    if (which == MG_HEADER_CSP && context != NULL && (context->own_answer || context->replace_body))
        return gate_page_policy();
    return is_apps(context) ? header_rows[which].app : header_rows[which].own;
}

static void
fill(ngx_table_elt_t *header, ngx_str_t name, ngx_str_t value)
{
    ngx_memzero(header, sizeof *header);
    header->hash = 1;
    header->key = name;
    header->value = value;
    header->lowcase_key = name.data; /* response headers are not looked up by it */
}

static ngx_int_t
add(ngx_http_request_t *r, ngx_str_t name, ngx_str_t value)
{
    ngx_table_elt_t *header = ngx_list_push(&r->headers_out.headers);
    if (header == NULL)
        return NGX_ERROR;
    fill(header, name, value);
    return NGX_OK;
}

/* ---- blocks -------------------------------------------------------------------------------------- */

/* The policy stands first, so that it can be left out.
 * Control: EDGE_09, EDGE_10, EDGE_11, EDGE_13 */
static void
make_block(ngx_http_request_t *r, const gate_context_t *context, gate_block_t *block)
{
    const struct mg_gate_tenant *tenant = tenant_of(context);
    block->count = 0;
    block->sent = 0;
    for (int i = 0; i < MG_POLICY_HEADERS; i++) {
        const ngx_str_t text = text_of(r, context, (enum mg_policy_header) i);
        if (text.len == 0)
            continue;
        const bool report_only = i == MG_HEADER_CSP && is_apps(context) && tenant != NULL &&
                                 tenant->csp_mode == MG_CSP_REPORT_ONLY;
        fill(&block->headers[block->count++], report_only ? report_only_name : header_rows[i].name, text);
        block->sent |= 1U << i;
    }
    fill(&block->headers[block->count++], no_sniff_name, no_sniff);
}

/* Everything that text_of() looks at, as a number; never 0. */
static ngx_uint_t
kind_of(const ngx_http_request_t *r, const gate_context_t *context)
{
#if (NGX_HTTP_SSL)
    const bool secure = r->connection->ssl != NULL || context->secure;
#else
    const bool secure = context->secure;
#endif
    const bool page = context->own_answer || context->replace_body;
    return 8 | (ngx_uint_t) is_apps(context) | (secure ? 2U : 0U) | (page ? 4U : 0U);
}

/* The block for this response: a ready one, or one made in `room`. */
static const gate_block_t *
block_for(ngx_http_request_t *r, const gate_context_t *context, gate_block_t *room)
{
    if (context == NULL || context->policy == NULL) {
        make_block(r, context, room);
        return room;
    }
    const gate_server_conf_t *conf = ngx_http_get_module_srv_conf(r, ngx_http_masugata_module);
    const struct mg_gate_tenant *tenant = tenant_of(context);
    const ngx_uint_t kind = kind_of(r, context);
    gate_block_t *block =
        &context->policy->blocks[((uintptr_t) tenant / 64 + (uintptr_t) conf / 16 + kind * 31) % GATE_BLOCKS];
    if (block->kind != kind || block->tenant != tenant || block->conf != conf) {
        make_block(r, context, block);
        block->kind = kind;
        block->tenant = tenant;
        block->conf = conf;
    }
    return block;
}

/* Copies the block to the end of the list; one by one only where it does not fit into the last part. */
static ngx_int_t
put_block(ngx_http_request_t *r, const gate_block_t *block, bool without_policy)
{
    const ngx_uint_t skip = without_policy && (block->sent & 1U << MG_HEADER_CSP) != 0 ? 1 : 0;
    const ngx_uint_t count = block->count - skip;
    const ngx_table_elt_t *headers = block->headers + skip;
    ngx_list_t *list = &r->headers_out.headers;
    if (list->last->nelts + count <= list->nalloc) {
        ngx_memcpy((ngx_table_elt_t *) list->last->elts + list->last->nelts, headers,
                   count * sizeof *headers);
        list->last->nelts += count;
        return NGX_OK;
    }
    for (ngx_uint_t i = 0; i < count; i++)
        if (add(r, headers[i].key, headers[i].value) != NGX_OK)
            return NGX_ERROR;
    return NGX_OK;
}

/* ---- what the app sent -------------------------------------------------------------------------- */

typedef struct {
    const gate_block_t *block;
    const gate_context_t *context;
    bool has_csp;
} outbound_t;

/* Control: SESSION_02 */
static ngx_int_t
harden_cookie(ngx_http_request_t *r, const outbound_t *outbound, ngx_table_elt_t *header)
{
    u_char *room = ngx_pnalloc(r->pool, header->value.len + MG_SET_COOKIE_MORE);
    if (room == NULL)
        return NGX_ERROR;
    size_t length;
    const struct mg_gate_tenant *tenant = tenant_of(outbound->context);
    const struct mg_view readable = tenant == NULL ? MG_VIEW_EMPTY : tenant->script_cookies;
    if (!mg_set_cookie_harden(gate_view(header->value), readable, room, &length)) {
        header->hash = 0; /* nginx leaves headers without a hash out */
        return NGX_OK;
    }
    header->value = (ngx_str_t){.len = length, .data = room};
    return NGX_OK;
}

/* True if the app's header gives way to ours. Its own Content-Security-Policy stays: two policies
 * are both enforced by browsers, so it can only make things stricter. */
static bool
gives_way(const ngx_table_elt_t *header, outbound_t *outbound)
{
    for (size_t i = 0; i < MG_POLICY_HEADERS; i++) {
        if (header->key.len != header_rows[i].name.len ||
            strncasecmp((const char *) header->key.data, (const char *) header_rows[i].name.data,
                        header->key.len) != 0)
            continue;
        if (i == MG_HEADER_CSP) {
            outbound->has_csp = true;
            return false;
        }
        return (outbound->block->sent & 1U << i) != 0;
    }
    return header->key.len == no_sniff_name.len &&
           ngx_strncasecmp(header->key.data, no_sniff_name.data, no_sniff_name.len) == 0;
}

static bool
is_set_cookie(const ngx_table_elt_t *header)
{
    return header->key.len == 10 && strncasecmp((const char *) header->key.data, "Set-Cookie", 10) == 0;
}

static ngx_int_t
go_through(ngx_http_request_t *r, outbound_t *outbound)
{
    const bool app = is_apps(outbound->context);
    for (ngx_list_part_t *part = &r->headers_out.headers.part; part != NULL; part = part->next) {
        ngx_table_elt_t *headers = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (headers[i].hash == 0)
                continue;
            /* Ours begin with these letters; everything else passes without a look. */
            const u_char first = ngx_tolower(headers[i].key.data[0]);
            if (first != 'c' && first != 'p' && first != 'r' && first != 's' && first != 'x')
                continue;
            if (gives_way(&headers[i], outbound))
                headers[i].hash = 0;
            else if (app && is_set_cookie(&headers[i]) && harden_cookie(r, outbound, &headers[i]) != NGX_OK)
                return NGX_ERROR;
        }
    }
    return NGX_OK;
}

/* The portal knows its own pages best, and so may an app. */
static bool
leaves_policy_to_upstream(const outbound_t *outbound)
{
    const struct mg_gate_tenant *tenant = tenant_of(outbound->context);
    if (!outbound->has_csp)
        return false;
    return !is_apps(outbound->context) || (tenant != NULL && tenant->csp_mode == MG_CSP_APP);
}

/* ---- an upstream that is away ------------------------------------------------------------------- */

/* nginx's own 502 or 504: no upstream has answered. What an app answers itself passes as it is. */
static bool
upstream_is_away(const ngx_http_request_t *r, const gate_context_t *context)
{
    const ngx_uint_t status = r->headers_out.status;
    return context != NULL && context->verdict.refusal == MG_REFUSAL_NONE &&
           (status == NGX_HTTP_BAD_GATEWAY || status == NGX_HTTP_GATEWAY_TIME_OUT) && r->upstream != NULL &&
           r->upstream->headers_in.status_n == 0;
}

static ngx_int_t
stand_in(ngx_http_request_t *r, gate_context_t *context)
{
    static const ngx_str_t html = ngx_string("text/html; charset=utf-8"),
                           json = ngx_string("application/json");
    static const ngx_str_t retry_name = ngx_string("Retry-After"), store_name = ngx_string("Cache-Control");
    static const ngx_str_t no_store = ngx_string("no-store");
    context->replace_body = 1;
    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);
    r->headers_out.status = NGX_HTTP_SERVICE_UNAVAILABLE;
    r->headers_out.status_line.len = 0;
    r->headers_out.content_type = gate_is_navigation(context) ? html : json;
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.charset.len = 0;
    r->headers_out.content_length_n = (off_t) gate_page_away(context).len;
    const struct mg_gate_tenant *tenant = tenant_of(context);
    u_char *text = ngx_pnalloc(r->pool, NGX_INT32_LEN);
    if (text == NULL)
        return NGX_ERROR;
    const uint32_t seconds = tenant == NULL ? 60 : tenant->retry_after_s;
    const ngx_str_t retry = {.len = (size_t) (ngx_sprintf(text, "%uD", seconds) - text), .data = text};
    return add(r, retry_name, retry) == NGX_OK && add(r, store_name, no_store) == NGX_OK ? NGX_OK : NGX_ERROR;
}

static ngx_int_t
header_filter(ngx_http_request_t *r)
{
    const gate_server_conf_t *conf = ngx_http_get_module_srv_conf(r, ngx_http_masugata_module);
    if (!conf->enabled || r != r->main)
        return next_header_filter(r);
    gate_context_t *context = gate_context(r);
    if (upstream_is_away(r, context) && stand_in(r, context) != NGX_OK)
        return NGX_ERROR;
    static gate_block_t room; /* a worker handles one response's headers at a time */
    outbound_t outbound = {.context = context, .block = block_for(r, context, &room), .has_csp = false};
    if (go_through(r, &outbound) != NGX_OK ||
        put_block(r, outbound.block, leaves_policy_to_upstream(&outbound)) != NGX_OK)
        return NGX_ERROR;
    return next_header_filter(r);
}

/* Sends the page once, in place of nginx's, whose buffers are taken as sent. */
static ngx_int_t
body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    gate_context_t *context = r == r->main ? ngx_http_get_module_ctx(r, ngx_http_masugata_module) : NULL;
    if (context == NULL || !context->replace_body || in == NULL)
        return next_body_filter(r, in);
    for (ngx_chain_t *link = in; link != NULL; link = link->next)
        link->buf->pos = link->buf->last;
    if (context->replaced)
        return NGX_OK;
    context->replaced = 1;
    ngx_buf_t *buffer = ngx_calloc_buf(r->pool);
    ngx_chain_t *chain = ngx_alloc_chain_link(r->pool);
    if (buffer == NULL || chain == NULL)
        return NGX_ERROR;
    const ngx_str_t page = gate_page_away(context);
    buffer->pos = page.data;
    buffer->last = page.data + page.len;
    buffer->memory = 1;
    buffer->last_buf = 1;
    buffer->last_in_chain = 1;
    *chain = (ngx_chain_t){.buf = buffer, .next = NULL};
    return next_body_filter(r, chain);
}

ngx_int_t
gate_outbound_install(ngx_conf_t *cf)
{
    (void) cf;
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;
    next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = body_filter;
    return NGX_OK;
}
