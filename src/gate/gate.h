/* The nginx module's parts to each other. Memory that belongs to a request comes from its pool;
 * nothing here aborts: what cannot be decided is refused. */
#ifndef MG_GATE_GATE_H
#define MG_GATE_GATE_H

/* nginx's headers first: they set feature macros. */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

/* nginx has an OK and a fail of its own kind only in prose; ours are macros. */
#include "gate/decision.h"
#include "wire/assertion_map.h"

extern ngx_module_t ngx_http_masugata_module;

/* For large arrays that are counted. */
#define GATE_COUNTED MG_FILLED

typedef struct {
    ngx_str_t directory;
    ngx_msec_t streams_check;
} gate_main_conf_t;

typedef struct {
    ngx_flag_t enabled;
    ngx_flag_t assertion;
    ngx_str_t portal;
    ngx_str_t xss_protection;
    ngx_str_t hsts;
} gate_server_conf_t;

/* Response headers made ready for one tenant, kind of response and server block. */
#define GATE_BLOCKS 256
#define GATE_BLOCK_HEADERS (MG_POLICY_HEADERS + 1)
typedef struct {
    const gate_server_conf_t *conf;
    const struct mg_gate_tenant *tenant;
    ngx_uint_t kind; /* 0: empty */
    ngx_uint_t count;
    uint32_t sent; /* bits of enum mg_policy_header that the block holds */
    ngx_table_elt_t headers[GATE_BLOCK_HEADERS];
} gate_block_t;

/* A policy stays in memory until the last request that was judged by it has gone. */
typedef struct {
    struct mg_gate_policy *policy;
    ngx_uint_t users;
    gate_block_t blocks[GATE_BLOCKS];
} gate_policy_t;

/* One a worker process. */
typedef struct {
    const gate_main_conf_t *conf;
    struct mg_session_reader *sessions;
    struct mg_assertion_reader *assertions;
    struct mg_refusal_ring *refusals;
    gate_policy_t *policy;
    ngx_queue_t open; /* gate_context_t.link of requests that hold a session */
    ngx_event_t timer;
    ngx_msec_t retry_at;   /* not before: files that could not be opened are not hammered */
    ngx_uint_t complained; /* what is wrong was logged once */
} gate_worker_t;
extern gate_worker_t gate_worker;

typedef enum { GATE_NEW = 0, GATE_ASKING, GATE_ASKED, GATE_DONE } gate_phase_t;

/* What the gate knows about one request. */
typedef struct {
    ngx_queue_t link;
    ngx_http_request_t *request;
    gate_policy_t *policy;
    struct mg_gate_verdict verdict;
    struct mg_address client;
    ngx_str_t client_text;
    ngx_str_t host;
    ngx_str_t request_id;
    off_t sent_upstream;     /* bytes at the last look, to tell a stream in use from an idle one */
    ngx_uint_t unsure_ticks; /* looks in a row at which the table gave no answer */
    gate_phase_t phase;
    const ngx_table_elt_t *accept, *fetch_mode;
    unsigned linked : 1;
    unsigned secure : 1;     /* TLS here or at a trusted proxy */
    unsigned own_answer : 1; /* the response is the gate's own page */
    unsigned replace_body : 1;
    unsigned replaced : 1;
} gate_context_t;

/* As many headers as are added to every request. */
#define GATE_HOLES 3
#define GATE_COOKIES GATE_HOLES

/* Headers of the request that matter, found in one walk over the list. */
typedef struct {
    ngx_table_elt_t *origin, *fetch_site, *fetch_mode, *accept, *authorization, *upgrade, *preflight_method;
    ngx_table_elt_t *forwarded_for, *forwarded_proto; /* the last of each */
    ngx_str_t host_text;                              /* of the Host header, with port */
    ngx_uint_t host_count, forwarded_count, total;
    /* Headers that must not go on. Where they fit, ours are written over them. */
    ngx_uint_t stripped, cookie_count;
    ngx_table_elt_t *holes[GATE_HOLES], *cookies[GATE_COOKIES];
    struct mg_tokens tokens;
} gate_inbound_t;

/* worker.c */
ngx_int_t gate_worker_start(ngx_cycle_t *cycle);
void gate_worker_stop(ngx_cycle_t *cycle);
/* Brings the files up to date; afterwards sessions and policy are NULL or current. */
void gate_worker_refresh(ngx_log_t *log);
void gate_policy_release(gate_policy_t *policy);
mg_instant gate_now(void);

/* request.c */
ngx_int_t gate_handler(ngx_http_request_t *r);
/* A request for a page that a person will look at, and can be sent elsewhere with. */
bool gate_is_navigation(const gate_context_t *context);
/* The context of the main request, also after an internal redirect; NULL if it was never judged. */
gate_context_t *gate_context(ngx_http_request_t *r);

/* inbound.c */
void gate_inbound_scan(ngx_http_request_t *r, gate_inbound_t *inbound);
void gate_inbound_prepare(void);
ngx_int_t gate_inbound_for_app(ngx_http_request_t *r, const gate_context_t *context, gate_inbound_t *inbound);
ngx_int_t gate_inbound_for_portal(ngx_http_request_t *r, gate_context_t *context, gate_inbound_t *inbound);
ngx_int_t gate_inbound_assertion(ngx_http_request_t *r, ngx_str_t value);
ngx_int_t gate_inbound_identity(ngx_http_request_t *r, ngx_str_t user, ngx_str_t email, ngx_str_t groups);
ngx_int_t gate_inbound_for_question(ngx_http_request_t *subrequest, gate_context_t *context);
/* The visitor's address, as far as trusted proxies vouch for it. */
void gate_client_address(ngx_http_request_t *r, const struct mg_gate_policy *policy,
                         const gate_inbound_t *inbound, gate_context_t *context);
/* assertion.c: NGX_OK set, NGX_AGAIN asked, NGX_DECLINED none, NGX_ERROR */
ngx_int_t gate_assertion_set(ngx_http_request_t *r, gate_context_t *context);

/* answer.c: sends the refusal of context->verdict; the request is finished afterwards */
ngx_int_t gate_answer_refusal(ngx_http_request_t *r, gate_context_t *context);
ngx_str_t gate_page_away(const gate_context_t *context);
ngx_str_t gate_page_policy(void);
ngx_int_t gate_pages_prepare(ngx_conf_t *cf);

/* outbound.c */
ngx_int_t gate_outbound_install(ngx_conf_t *cf);
/* variables.c */
ngx_int_t gate_variables_add(ngx_conf_t *cf);
ngx_str_t gate_request_id(ngx_http_request_t *r, gate_context_t *context);

static inline struct mg_view
gate_view(ngx_str_t text)
{
    return mg_view_of(text.data, text.len);
}

static inline ngx_str_t
gate_text(struct mg_view view)
{
    return (ngx_str_t){.len = view.length, .data = (u_char *) (uintptr_t) view.bytes};
}

static inline struct mg_view
gate_header_view(const ngx_table_elt_t *header)
{
    return header == NULL ? (struct mg_view){.bytes = NULL, .length = 0} : gate_view(header->value);
}

#endif
