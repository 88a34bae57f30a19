/* A worker's hold on the shared files, and its watch over open streams. */
#include "gate/gate.h"

#include <sys/prctl.h>

gate_worker_t gate_worker;

#define RETRY_MS 100
/* Ticks without an answer about its session after which an open stream is cut like a new request. */
#define UNSURE_TICKS_MOST 3

mg_instant
gate_now(void)
{
    const ngx_time_t *now = ngx_timeofday();
    return (mg_instant) now->sec * 1000 + now->msec;
}

/* Once for each kind of trouble, again after it has been well. */
static void
complain(ngx_log_t *log, ngx_uint_t kind, const char *what, struct mg_status status)
{
    if ((gate_worker.complained & kind) != 0)
        return;
    gate_worker.complained |= kind;
    ngx_log_error(NGX_LOG_ALERT, log, 0, "masugata: %s: %s: %s; requests are refused until it is well", what,
                  mg_error_row(status.code)->en, status.detail);
}

void
gate_policy_release(gate_policy_t *policy)
{
    if (policy == NULL || --policy->users > 0)
        return;
    mg_gate_policy_drop(&policy->policy);
    ngx_free(policy);
}

static void
load_policy(ngx_log_t *log, uint64_t wanted)
{
    struct mg_gate_policy *loaded = NULL;
    const struct mg_status status =
        mg_gate_policy_open((const char *) gate_worker.conf->directory.data, wanted, &loaded);
    gate_policy_release(gate_worker.policy);
    gate_worker.policy = NULL;
    if (!mg_ok(status)) {
        complain(log, 1, "policy", status);
        return;
    }
    gate_policy_t *policy = ngx_calloc(sizeof *policy, log);
    if (policy == NULL) {
        mg_gate_policy_drop(&loaded);
        return;
    }
    policy->policy = loaded;
    policy->users = 1;
    gate_worker.policy = policy;
    gate_worker.complained &= ~(ngx_uint_t) 1;
    ngx_log_error(NGX_LOG_NOTICE, log, 0, "masugata: policy %uL in force", (uint64_t) loaded->generation);
}

/* Opens what is not open. The assertion map and the ring may be missing for a while: without the
 * first a request asks and is refused, without the second refusals are not counted. */
static void
open_files(ngx_log_t *log)
{
    const char *directory = (const char *) gate_worker.conf->directory.data;
    if (gate_worker.sessions == NULL) {
        const struct mg_status status = mg_session_reader_open(directory, &gate_worker.sessions);
        if (!mg_ok(status))
            complain(log, 2, "session table", status);
        else
            gate_worker.complained &= ~(ngx_uint_t) 2;
    }
    if (gate_worker.assertions == NULL &&
        !mg_ok(mg_assertion_reader_open(directory, &gate_worker.assertions)))
        gate_worker.assertions = NULL;
    if (gate_worker.refusals == NULL && !mg_ok(mg_refusal_ring_open(directory, &gate_worker.refusals)))
        gate_worker.refusals = NULL;
}

void
gate_worker_refresh(ngx_log_t *log)
{
    const bool may_retry = (ngx_msec_int_t) (ngx_current_msec - gate_worker.retry_at) >= 0;
    if (gate_worker.sessions == NULL) {
        if (!may_retry)
            return;
        gate_worker.retry_at = ngx_current_msec + RETRY_MS;
        open_files(log);
        if (gate_worker.sessions == NULL)
            return;
    }
    const uint64_t wanted = mg_session_wanted_policy(gate_worker.sessions);
    if (gate_worker.policy != NULL && gate_worker.policy->policy->generation >= wanted)
        return;
    if (gate_worker.policy == NULL && !may_retry)
        return;
    gate_worker.retry_at = ngx_current_msec + RETRY_MS;
    /* UINT64_MAX: the table itself is away. What is held is then not known to be in force. */
    load_policy(log, wanted);
}

/* ---- open streams ----------------------------------------------------------------------------- */

static bool
tenant_is_served(const gate_context_t *context)
{
    if (gate_worker.policy == NULL)
        return false;
    const struct mg_gate_host *host = mg_gate_host_find(gate_worker.policy->policy, gate_view(context->host));
    return host != NULL && host->tenant->id == context->verdict.session.tenant_id &&
           host->tenant->state == MG_TENANT_ACTIVE;
}

static bool
control_plane_is_away(void)
{
    const int64_t outage_ms = gate_worker.policy == NULL ? 0 : gate_worker.policy->policy->outage_ms;
    return mg_monotonic_ms() - mg_session_last_heartbeat(gate_worker.sessions) > outage_ms;
}

/* What the visitor sends on a WebSocket or a long upload is use of the session. What the app sends
 * is not: a page left open must not keep it alive. */
static void
mark_if_used(gate_context_t *context, mg_instant now)
{
    const ngx_http_upstream_t *upstream = context->request->upstream;
    const off_t sent =
        upstream != NULL && upstream->peer.connection != NULL ? upstream->peer.connection->sent : 0;
    if (sent > context->sent_upstream && context->sent_upstream != 0)
        mg_session_mark(gate_worker.sessions, &context->verdict.session, now);
    context->sent_upstream = sent;
}

static bool
may_go_on(gate_context_t *context, mg_instant now)
{
    if (gate_worker.sessions == NULL)
        return false;
    mark_if_used(context, now);
    struct mg_session_hot found;
    const enum mg_session_answer answer =
        mg_session_lookup(gate_worker.sessions, context->verdict.token_hash, now, false, &found);
    if (answer == MG_SESSION_UNSURE)
        return ++context->unsure_ticks <= UNSURE_TICKS_MOST;
    context->unsure_ticks = 0;
    if (answer != MG_SESSION_FOUND || found.session_id != context->verdict.session.session_id)
        return false;
    context->verdict.session = found;
    return tenant_is_served(context) && !control_plane_is_away();
}

static void
cut(gate_context_t *context, mg_instant now)
{
    ngx_http_request_t *r = context->request;
    ngx_connection_t *c = r->connection;
    ngx_log_error(NGX_LOG_INFO, c->log, 0, "masugata: session %uL has ended, its stream is cut",
                  context->verdict.session.session_id);
    mg_refusal_count(gate_worker.refusals, mg_session_wanted_refusal_epoch(gate_worker.sessions),
                     context->verdict.session.tenant_id, MG_REFUSAL_CUT, context->client, now);
    ngx_queue_remove(&context->link);
    context->linked = 0;
    context->verdict.refusal = MG_REFUSAL_CUT;
    /* Terminating runs the upstream's cleanup, which gives up a reference of its own: with one to
     * spare the request lives until its posted termination and is not kept alive instead. */
    r->main->count++;
    r->keepalive = 0;
    ngx_http_finalize_request(r, NGX_HTTP_CLOSE);
    ngx_http_run_posted_requests(c);
}

/* Looked at once each: cutting one may end others of the same connection (HTTP/2), which then leave
 * whichever queue they are in. */
static void
check_streams(void)
{
    const mg_instant now = gate_now();
    ngx_queue_t seen;
    ngx_queue_init(&seen);
    while (!ngx_queue_empty(&gate_worker.open)) {
        ngx_queue_t *link = ngx_queue_head(&gate_worker.open);
        gate_context_t *context = ngx_queue_data(link, gate_context_t, link);
        ngx_queue_remove(link);
        ngx_queue_insert_tail(&seen, link);
        if (!may_go_on(context, now))
            cut(context, now);
    }
    if (!ngx_queue_empty(&seen)) {
        ngx_queue_add(&gate_worker.open, &seen);
    }
}

static void
tick(ngx_event_t *event)
{
    gate_worker_refresh(event->log);
    if (gate_worker.sessions != NULL) {
        const struct mg_status status = mg_session_reader_follow(gate_worker.sessions);
        if (!mg_ok(status))
            complain(event->log, 4, "session table", status);
        else
            gate_worker.complained &= ~(ngx_uint_t) 4;
    }
    if (gate_worker.assertions != NULL && !mg_ok(mg_assertion_reader_follow(gate_worker.assertions)))
        mg_assertion_reader_drop(&gate_worker.assertions);
    if (gate_worker.assertions == NULL || gate_worker.refusals == NULL)
        open_files(event->log);
    check_streams();
    ngx_add_timer(event, gate_worker.conf->streams_check);
}

/* A worker whose master was killed would go on serving for ever: no reload and no stop reaches it, and its
 * sockets keep a new nginx from starting. It ends as on `nginx -s quit`: open requests are finished. */
static void
follow_master(void)
{
    if (prctl(PR_SET_PDEATHSIG, ngx_signal_value(NGX_SHUTDOWN_SIGNAL), 0, 0, 0) == 0 &&
        getppid() != ngx_parent)
        (void) raise(ngx_signal_value(NGX_SHUTDOWN_SIGNAL)); /* killed before we asked */
}

ngx_int_t
gate_worker_start(ngx_cycle_t *cycle)
{
    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
        return NGX_OK;
    if (ngx_process == NGX_PROCESS_WORKER)
        follow_master();
    ngx_queue_init(&gate_worker.open);
    gate_inbound_prepare();
    if (ngx_get_conf(cycle->conf_ctx, ngx_http_module) == NULL)
        return NGX_OK; /* no http block at all */
    gate_worker.conf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_masugata_module);
    if (gate_worker.conf == NULL || gate_worker.conf->directory.len == 0)
        return NGX_OK;
    gate_worker.retry_at = ngx_current_msec;
    open_files(cycle->log);
    gate_worker_refresh(cycle->log);
    gate_worker.timer.handler = tick;
    gate_worker.timer.log = cycle->log;
    /* nginx takes the data of every event for a connection when it logs. */
    static ngx_connection_t nobody = {.fd = (ngx_socket_t) -1};
    gate_worker.timer.data = &nobody;
    /* A draining worker keeps watching but does not wait for this timer to leave. */
    gate_worker.timer.cancelable = 1;
    ngx_add_timer(&gate_worker.timer, gate_worker.conf->streams_check);
    return NGX_OK;
}

void
gate_worker_stop(ngx_cycle_t *cycle)
{
    (void) cycle;
    gate_policy_release(gate_worker.policy);
    gate_worker.policy = NULL;
    mg_session_reader_drop(&gate_worker.sessions);
    mg_assertion_reader_drop(&gate_worker.assertions);
    mg_refusal_ring_drop(&gate_worker.refusals);
}
