/* The identity for the app: from the shared map, or, once, by asking the authority through the
 * portal without blocking. */
#include "gate/gate.h"

#include "gate/claims.h"

static ngx_int_t
answered(ngx_http_request_t *subrequest, void *data, ngx_int_t rc)
{
    (void) subrequest;
    gate_context_t *context = data;
    /* The answer itself carries nothing: the authority has put tokens into the map, or not. */
    context->phase = GATE_ASKED;
    return rc;
}

static ngx_int_t
ask(ngx_http_request_t *r, gate_context_t *context)
{
    static ngx_str_t uri = ngx_string("/.masugata/internal/assertion");
    ngx_http_post_subrequest_t *after = ngx_palloc(r->pool, sizeof *after);
    if (after == NULL)
        return NGX_ERROR;
    *after = (ngx_http_post_subrequest_t){.handler = answered, .data = context};
    ngx_http_request_t *subrequest;
    context->phase = GATE_ASKING;
    if (ngx_http_subrequest(r, &uri, NULL, &subrequest, after, NGX_HTTP_SUBREQUEST_WAITED) != NGX_OK)
        return NGX_ERROR;
    subrequest->header_only = 1;
    /* The visitor's body stays with the visitor's request. */
    subrequest->headers_in.content_length_n = -1;
    subrequest->headers_in.content_length = NULL;
    subrequest->headers_in.chunked = 0;
    if (gate_inbound_for_question(subrequest, context) != NGX_OK)
        return NGX_ERROR;
    return NGX_AGAIN;
}

static ngx_int_t
add(ngx_http_request_t *r, const uint8_t *token, size_t length)
{
    u_char *copy = ngx_pnalloc(r->pool, length);
    if (copy == NULL)
        return NGX_ERROR;
    ngx_memcpy(copy, token, length);
    const ngx_str_t value = {.len = length, .data = copy};
    return gate_inbound_assertion(r, value);
}

static ngx_str_t
copied(ngx_http_request_t *r, const char *text)
{
    const size_t length = ngx_strlen(text);
    u_char *copy = ngx_pnalloc(r->pool, length + 1);
    if (copy == NULL)
        return (ngx_str_t) ngx_null_string;
    ngx_memcpy(copy, text, length);
    return (ngx_str_t){.len = length, .data = copy};
}

/* For applications that only know plain headers. They would believe anybody who reaches them, so this is
 * for unix sockets only, whatever the policy says. */
static ngx_int_t
add_identity(ngx_http_request_t *r, const struct mg_gate_host *host, struct mg_view token)
{
    struct mg_claims claims;
    if (!host->forward_identity)
        return NGX_OK;
    if (!mg_upstream_is_socket(host->upstream) || !mg_ok(mg_claims_read(token, &claims)))
        return NGX_DECLINED;
    const ngx_str_t user = copied(r, claims.subject), email = copied(r, claims.email);
    const ngx_str_t groups = copied(r, claims.groups);
    if (user.data == NULL || email.data == NULL || groups.data == NULL)
        return NGX_ERROR;
    return gate_inbound_identity(r, user, email, groups);
}

ngx_int_t
gate_assertion_set(ngx_http_request_t *r, gate_context_t *context)
{
    const gate_server_conf_t *conf = ngx_http_get_module_srv_conf(r, ngx_http_masugata_module);
    if (!context->verdict.has_session || !conf->assertion)
        return NGX_OK;
    /* Ended while we asked? Then nothing that was granted before counts. */
    if (context->phase == GATE_ASKED && !mg_session_still(gate_worker.sessions, &context->verdict.session)) {
        struct mg_session_hot again;
        if (mg_session_lookup(gate_worker.sessions, context->verdict.token_hash, gate_now(), false, &again) !=
            MG_SESSION_FOUND)
            return NGX_DECLINED;
        context->verdict.session = again;
    }
    static uint8_t token[MG_ASSERTION_BYTES]; /* a worker handles one request at a time */
    size_t length;
    if (gate_worker.assertions != NULL &&
        mg_assertion_find(gate_worker.assertions, context->verdict.session.session_id, gate_now(), token,
                          &length)) {
        const ngx_int_t rc = add_identity(r, context->verdict.host, mg_view_of(token, length));
        return rc == NGX_OK ? add(r, token, length) : rc;
    }
    return context->phase == GATE_NEW ? ask(r, context) : NGX_DECLINED;
}
