/* $masugata_... for configuration files and logs. */
#include "gate/gate.h"

#include <openssl/rand.h>

enum { UPSTREAM, CLIENT, HOST, TENANT, SESSION, REQUEST, REFUSAL_NAME };

#define REQUEST_ID 16

/* Random bytes for the ids of many requests at once: asking for sixteen costs as much as for thousands.
 * Filled in the worker, never before the fork, so that no two workers share any. */
static bool
random_bytes(u_char bytes[REQUEST_ID])
{
    static u_char store[256 * REQUEST_ID];
    static size_t left;
    if (left == 0) {
        if (RAND_bytes(store, sizeof store) != 1)
            return false;
        left = sizeof store;
    }
    left -= REQUEST_ID;
    ngx_memcpy(bytes, store + left, REQUEST_ID);
    return true;
}

ngx_str_t
gate_request_id(ngx_http_request_t *r, gate_context_t *context)
{
    if (context->request_id.len == 0) {
        u_char bytes[REQUEST_ID], *text = ngx_pnalloc(r->main->pool, 2 * REQUEST_ID + 1);
        if (text != NULL && random_bytes(bytes)) {
            ngx_hex_dump(text, bytes, REQUEST_ID);
            context->request_id = (ngx_str_t){.len = 2 * REQUEST_ID, .data = text};
        }
    }
    return context->request_id;
}

/* The question about an assertion goes to the portal, whatever its main request is for. */
static ngx_str_t
upstream_of(ngx_http_request_t *r, const gate_context_t *context)
{
    const gate_server_conf_t *conf = ngx_http_get_module_srv_conf(r, ngx_http_masugata_module);
    if (r != r->main || context->verdict.destination == MG_TO_PORTAL)
        return conf->portal;
    if (context->verdict.destination == MG_TO_APP)
        return gate_text(context->verdict.host->upstream);
    return (ngx_str_t) ngx_null_string;
}

static ngx_str_t
number(ngx_http_request_t *r, uint64_t value)
{
    u_char *text = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (text == NULL)
        return (ngx_str_t) ngx_null_string;
    return (ngx_str_t){.len = (size_t) (ngx_sprintf(text, "%uL", value) - text), .data = text};
}

static ngx_str_t
value_of(ngx_http_request_t *r, gate_context_t *context, uintptr_t which)
{
    const struct mg_gate_verdict *verdict = &context->verdict;
    switch (which) {
    case UPSTREAM:
        return upstream_of(r, context);
    case CLIENT:
        return context->client_text;
    case HOST:
        return context->host;
    case TENANT:
        return verdict->host == NULL ? (ngx_str_t) ngx_null_string : number(r, verdict->host->tenant->id);
    case SESSION:
        return verdict->has_session ? number(r, verdict->session.session_id) : (ngx_str_t) ngx_null_string;
    case REQUEST:
        return gate_request_id(r, context);
    case REFUSAL_NAME: {
        const struct mg_refusal_row *row = mg_refusal_row(verdict->refusal);
        return row == NULL ? (ngx_str_t) ngx_null_string
                           : (ngx_str_t){.len = strlen(row->name), .data = (u_char *) (uintptr_t) row->name};
    }
    }
    return (ngx_str_t) ngx_null_string;
}

static ngx_int_t
get(ngx_http_request_t *r, ngx_http_variable_value_t *value, uintptr_t which)
{
    gate_context_t *context = gate_context(r);
    const ngx_str_t text = context == NULL ? (ngx_str_t) ngx_null_string : value_of(r, context, which);
    value->valid = 1;
    value->no_cacheable = 0;
    value->not_found = 0;
    value->len = (unsigned) text.len & 0xFFFFFFF;
    value->data = text.data;
    return NGX_OK;
}

ngx_int_t
gate_variables_add(ngx_conf_t *cf)
{
    static const struct {
        ngx_str_t name;
        uintptr_t which;
    } variables[] = {
        {ngx_string("masugata_upstream"), UPSTREAM},
        {ngx_string("masugata_client"), CLIENT},
        {ngx_string("masugata_host"), HOST},
        {ngx_string("masugata_tenant"), TENANT},
        {ngx_string("masugata_session"), SESSION},
        {ngx_string("masugata_request"), REQUEST},
        {ngx_string("masugata_refusal"), REFUSAL_NAME},
    };
    for (size_t i = 0; i < MG_COUNT(variables); i++) {
        ngx_str_t name = variables[i].name;
        ngx_http_variable_t *variable = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);
        if (variable == NULL)
            return NGX_ERROR;
        variable->get_handler = get;
        variable->data = variables[i].which;
    }
    return NGX_OK;
}
