/* One request through the gate: gather, decide, act. */
#include "gate/canonical.h"
#include "gate/gate.h"

#include "base/secret.h"

#if (NGX_HTTP_SSL)
#include <openssl/ssl.h>
#endif

#define NAME_MOST 255

static void
forget(void *data)
{
    gate_context_t *context = data;
    if (context->linked) {
        ngx_queue_remove(&context->link); /* a macro of several statements */
    }
    context->linked = 0;
    gate_policy_release(context->policy);
    context->policy = NULL;
}

/* nginx clears module contexts on an internal redirect; the pool's cleanup list keeps ours. */
static gate_context_t *
context_of_cleanup(ngx_http_request_t *r)
{
    for (ngx_pool_cleanup_t *cleanup = r->pool->cleanup; cleanup != NULL; cleanup = cleanup->next)
        if (cleanup->handler == forget)
            return cleanup->data;
    return NULL;
}

gate_context_t *
gate_context(ngx_http_request_t *r)
{
    ngx_http_request_t *main_request = r->main;
    gate_context_t *context = ngx_http_get_module_ctx(main_request, ngx_http_masugata_module);
    if (context == NULL && (main_request->internal || main_request->filter_finalize)) {
        context = context_of_cleanup(main_request);
        if (context != NULL)
            ngx_http_set_ctx(main_request, context, ngx_http_masugata_module);
    }
    return context;
}

static gate_context_t *
new_context(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, sizeof(gate_context_t));
    if (cleanup == NULL)
        return NULL;
    gate_context_t *context = cleanup->data;
    ngx_memzero(context, sizeof *context);
    cleanup->handler = forget;
    context->request = r;
    context->policy = gate_worker.policy;
    if (context->policy != NULL)
        context->policy->users++;
    ngx_http_set_ctx(r, context, ngx_http_masugata_module);
    return context;
}

/* ---- the token's hash ------------------------------------------------------------------------- */

/* A browser sends the same cookie with every request of a connection: the last token and its hash are
 * kept with the connection, and wiped with it. The hash alone proves nothing: the session is looked up by
 * it every time. */
typedef struct {
    uint64_t token[MG_TOKEN / 8];
    uint8_t hash[MG_TOKEN_HASH];
    bool filled;
} kept_hash_t;

static void
wipe_kept(void *data)
{
    mg_wipe(data, sizeof(kept_hash_t));
}

/* NULL if there is no memory for it. */
static kept_hash_t *
kept_of(ngx_http_request_t *r)
{
    ngx_connection_t *c = r->connection;
#if (NGX_HTTP_V2)
    if (r->stream != NULL)
        c = r->stream->connection->connection; /* a stream's own is not a connection at all */
#endif
    for (ngx_pool_cleanup_t *cleanup = c->pool->cleanup; cleanup != NULL; cleanup = cleanup->next)
        if (cleanup->handler == wipe_kept)
            return cleanup->data;
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(c->pool, sizeof(kept_hash_t));
    if (cleanup == NULL)
        return NULL;
    cleanup->handler = wipe_kept;
    ngx_memzero(cleanup->data, sizeof(kept_hash_t));
    return cleanup->data;
}

/* In a time that does not depend on where they differ. */
static bool
same_token(const uint64_t a[MG_TOKEN / 8], const uint64_t b[MG_TOKEN / 8])
{
    return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])) == 0;
}

static void
prepare(ngx_http_request_t *r, struct mg_tokens *tokens)
{
    if (tokens->count == 0)
        return;
    kept_hash_t *kept = kept_of(r);
    uint64_t token[MG_TOKEN / 8];
    ngx_memcpy(token, tokens->bytes[0], MG_TOKEN);
    if (kept != NULL && kept->filled && same_token(kept->token, token)) {
        ngx_memcpy(tokens->first_hash, kept->hash, MG_TOKEN_HASH);
        tokens->hashed = true;
    }
    const bool known = tokens->hashed;
    mg_gate_prepare(gate_worker.sessions, tokens);
    if (kept != NULL && !known && tokens->hashed) {
        ngx_memcpy(kept->token, token, MG_TOKEN);
        ngx_memcpy(kept->hash, tokens->first_hash, MG_TOKEN_HASH);
        kept->filled = true;
    }
}

/* ---- gather ------------------------------------------------------------------------------------ */

static struct mg_view
server_name(const ngx_http_request_t *r, u_char room[NAME_MOST])
{
#if (NGX_HTTP_SSL && defined SSL_CTRL_SET_TLSEXT_HOSTNAME)
    if (r->connection->ssl != NULL) {
        const char *name = SSL_get_servername(r->connection->ssl->connection, TLSEXT_NAMETYPE_host_name);
        const size_t length = name == NULL ? 0 : strlen(name);
        if (length > 0 && length <= NAME_MOST) {
            ngx_strlow(room, (u_char *) (uintptr_t) name, length);
            return mg_view_of(room, length);
        }
    }
#else
    (void) r;
    (void) room;
#endif
    return mg_view_of(NULL, 0);
}

/* The canonical host. nginx keeps it lower-cased and without port in headers_in.server; a request
 * line or HTTP/2 authority that disagrees with a Host header has two meanings. */
static struct mg_view
canonical_host(ngx_http_request_t *r, const gate_inbound_t *inbound, bool *malformed)
{
    const struct mg_view server = gate_view(r->headers_in.server), header = gate_view(inbound->host_text);
    if (inbound->host_count > 1)
        *malformed = true;
    if (inbound->host_count == 0 || mg_view_equal(server, header))
        return server;
    struct mg_view host;
    u_char *room = ngx_pnalloc(r->pool, header.length + 1);
    if (room == NULL)
        return MG_VIEW_EMPTY;
    if (!mg_canonical_host(header, room, &host) || !mg_view_equal(server, host))
        *malformed = true;
    return server;
}

/* nginx chooses the location by its own reading of the path, decoded: that too must be of the path that
 * was judged, or a request judged as the portal's would be passed to the app. */
static ngx_int_t
locate_by(ngx_http_request_t *r, struct mg_view path)
{
    u_char *room = ngx_pnalloc(r->pool, path.length + 1), *end = room;
    u_char *encoded = (u_char *) (uintptr_t) path.bytes;
    if (room == NULL)
        return NGX_ERROR;
    ngx_unescape_uri(&end, &encoded, path.length, 0);
    r->uri = (ngx_str_t){.len = (size_t) (end - room), .data = room};
    ngx_http_set_exten(r);
    return NGX_OK;
}

/* The canonical path; where it differs from what came, it is also what is forwarded and located by. */
static struct mg_view
canonical_path(ngx_http_request_t *r)
{
    const ngx_str_t target = r->unparsed_uri;
    const u_char *question = target.len == 0 ? NULL : memchr(target.data, '?', target.len);
    const size_t length = question == NULL ? target.len : (size_t) (question - target.data);
    const size_t rest = target.len - length;
    if (mg_path_is_canonical(mg_view_of(target.data, length)))
        return mg_view_of(target.data, length);
    u_char *room = ngx_pnalloc(r->pool, 3 * length + rest + 1);
    struct mg_view path;
    if (room == NULL || !mg_canonical_path(mg_view_of(target.data, length), room, &path))
        return MG_VIEW_EMPTY;
    if (locate_by(r, path) != NGX_OK)
        return MG_VIEW_EMPTY;
    ngx_memcpy(room + path.length, target.data + length, rest);
    r->unparsed_uri = (ngx_str_t){.len = path.length + rest, .data = room};
    r->valid_unparsed_uri = 1;
    return path;
}

static struct mg_view
own_origin(ngx_http_request_t *r, const gate_context_t *context, const gate_inbound_t *inbound)
{
    const ngx_str_t host = inbound->host_text;
    u_char *room = ngx_pnalloc(r->pool, sizeof "https://" + host.len);
    if (room == NULL)
        return MG_VIEW_EMPTY;
    u_char *end = ngx_cpymem(room, "https://", context->secure ? 8 : 0);
    if (!context->secure)
        end = ngx_cpymem(room, "http://", 7);
    ngx_strlow(end, host.data, host.len);
    return mg_view_of(room, (size_t) (end - room) + host.len);
}

static bool
has_bearer(const ngx_table_elt_t *authorization)
{
    return authorization != NULL && authorization->value.len > 7 &&
           strncasecmp((const char *) authorization->value.data, "Bearer ", 7) == 0;
}

bool
gate_is_navigation(const gate_context_t *context)
{
    static u_char html[] = "text/html";
    const ngx_table_elt_t *accept = context->accept;
    if ((context->request->method & (NGX_HTTP_GET | NGX_HTTP_HEAD)) == 0)
        return false;
    if (context->fetch_mode != NULL)
        return mg_view_is(gate_view(context->fetch_mode->value), "navigate");
    return accept != NULL && ngx_strlcasestrn(accept->value.data, accept->value.data + accept->value.len,
                                              html, sizeof html - 2) != NULL;
}

static void
gather(ngx_http_request_t *r, gate_context_t *context, const gate_inbound_t *inbound,
       u_char name_room[NAME_MOST], struct mg_gate_request *request)
{
    bool malformed = false;
    const struct mg_view host = canonical_host(r, inbound, &malformed);
    gate_client_address(r, context->policy == NULL ? NULL : context->policy->policy, inbound, context);
    context->host = gate_text(host);
    context->accept = inbound->accept;
    context->fetch_mode = inbound->fetch_mode;
    const bool unsafe = (r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD | NGX_HTTP_OPTIONS)) == 0;
    /* RFC 9113 section 8.2.2: HTTP/2 has no upgrades; one that asks for it is malformed. */
    malformed = malformed || (inbound->upgrade != NULL && r->http_version > NGX_HTTP_VERSION_11);
    *request = (struct mg_gate_request){
        .host = host,
        .path = canonical_path(r),
        .server_name = server_name(r, name_room),
        .own_origin = unsafe || inbound->upgrade != NULL ? own_origin(r, context, inbound) : MG_VIEW_EMPTY,
        .origin = gate_header_view(inbound->origin),
        .fetch_site = gate_header_view(inbound->fetch_site),
        .client = context->client,
        .tokens = &inbound->tokens,
        .unsafe = unsafe,
        .preflight = r->method == NGX_HTTP_OPTIONS && inbound->preflight_method != NULL,
        .websocket = inbound->upgrade != NULL,
        .bearer = has_bearer(inbound->authorization),
        .malformed = malformed,
        .now = gate_now(),
        .monotonic_ms = (int64_t) ngx_current_msec,
    };
}

/* ---- act ---------------------------------------------------------------------------------------- */

static ngx_int_t
finish(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_finalize_request(r, rc);
    return NGX_DONE;
}

static ngx_int_t
refuse(ngx_http_request_t *r, gate_context_t *context)
{
    const struct mg_gate_host *host = context->verdict.host;
    const uint64_t epoch =
        gate_worker.sessions == NULL ? 0 : mg_session_wanted_refusal_epoch(gate_worker.sessions);
    mg_refusal_count(gate_worker.refusals, epoch, host == NULL ? 0 : host->tenant->id,
                     context->verdict.refusal, context->client, gate_now());
    context->phase = GATE_DONE;
    return finish(r, gate_answer_refusal(r, context));
}

/* From here on the worker watches whether the session still lives. */
static void
watch(gate_context_t *context)
{
    if (!context->verdict.has_session || context->linked)
        return;
    ngx_queue_insert_tail(&gate_worker.open, &context->link);
    context->linked = 1;
}

/* Adds the identity, now or after asking for it; then the request goes on to the app. */
static ngx_int_t
identify(ngx_http_request_t *r, gate_context_t *context)
{
    const ngx_int_t rc = gate_assertion_set(r, context);
    if (rc == NGX_AGAIN)
        return NGX_AGAIN;
    if (rc != NGX_OK) {
        context->verdict.refusal = MG_REFUSAL_NO_ASSERTION;
        return refuse(r, context);
    }
    context->phase = GATE_DONE;
    watch(context);
    return NGX_DECLINED;
}

static ngx_int_t
pass(ngx_http_request_t *r, gate_context_t *context, gate_inbound_t *inbound)
{
    if (context->verdict.destination == MG_TO_PORTAL) {
        context->phase = GATE_DONE;
        return gate_inbound_for_portal(r, context, inbound) == NGX_OK ? NGX_DECLINED
                                                                      : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (context->verdict.has_session && gate_worker.assertions != NULL)
        mg_assertion_prefetch(gate_worker.assertions, context->verdict.session.session_id);
    if (gate_inbound_for_app(r, context, inbound) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return identify(r, context);
}

ngx_int_t
gate_handler(ngx_http_request_t *r)
{
    const gate_server_conf_t *conf = ngx_http_get_module_srv_conf(r, ngx_http_masugata_module);
    if (!conf->enabled)
        return NGX_DECLINED;
    gate_context_t *context = ngx_http_get_module_ctx(r, ngx_http_masugata_module);
    if (context != NULL) {
        if (context->phase == GATE_DONE)
            return NGX_DECLINED;
        return context->phase == GATE_ASKING ? NGX_AGAIN : identify(r, context);
    }
    gate_worker_refresh(r->connection->log);
    context = new_context(r);
    if (context == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    GATE_COUNTED gate_inbound_t inbound;
    gate_inbound_scan(r, &inbound);
    struct mg_gate_request request;
    GATE_COUNTED u_char name_room[NAME_MOST];
    prepare(r, &inbound.tokens);
    gather(r, context, &inbound, name_room, &request);
    mg_gate_decide(context->policy == NULL ? NULL : context->policy->policy, gate_worker.sessions, &request,
                   &context->verdict);
    return context->verdict.refusal == MG_REFUSAL_NONE ? pass(r, context, &inbound) : refuse(r, context);
}
