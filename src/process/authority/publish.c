/* What follows from the tenants outside the database: the gate's policy, nginx's origins, and the
 * databases of new tenants. */
#include "base/log.h"
#include "process/authority/tenants_private.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FOLLOW_RETRY_MS 1000

/* ---- policy ---- */

static CHECKED struct mg_status
policy_write(void *context, const struct mg_tenants_view *view)
{
    const struct mg_environment *environment = mg_environment();
    MG_CLEANUP(mg_policy_parts_drop) struct mg_policy_parts parts = {0};
    struct mg_policy policy = {.outage_ms = environment->options->gate_outage};
    char directory[600];
    uint64_t generation = 0;
    (void) context;
    TRY(mg_policy_parts_make(view, &parts));
    TRY(mg_policy_parts_networks(&parts, environment->options->console_allow, &policy.operators));
    TRY(mg_policy_parts_networks(&parts, environment->options->gate_trusted_proxies,
                                 &policy.trusted_proxies));
    policy.operators.restricted = policy.trusted_proxies.restricted = true;
    policy.tenants = parts.tenants;
    policy.tenant_count = view->tenant_count;
    policy.hosts = parts.hosts;
    policy.host_count = view->host_count;
    policy.routes = parts.routes;
    policy.route_count = parts.route_count;
    (void) snprintf(directory, sizeof directory, "%s/gate", environment->runtime_directory);
    return mg_policy_publish(directory, (gid_t) -1, mg_core_sessions(), &policy, &generation);
}

struct mg_status
mg_tenants_publish(void)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    (void) pthread_mutex_lock(&one_at_a_time);
    const struct mg_status status = mg_tenants_read(policy_write, NULL);
    (void) pthread_mutex_unlock(&one_at_a_time);
    return status;
}

/* ---- the follower ---- */

static pthread_mutex_t follow_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t follow_asked; /* waits by the monotonic clock; made in mg_tenants_follow */
static bool follow_due;

static CHECKED struct mg_status
sites_add(void *context, const struct mg_tenants_view *view)
{
    struct mg_buffer *list = context;
    for (size_t i = 0; i < view->host_count; i++) {
        const struct mg_tenants_host *host = &view->hosts[i];
        bool suspended = false;
        for (size_t t = 0; t < view->tenant_count; t++)
            suspended = suspended ||
                        (view->tenants[t].core->number == host->core.tenant && view->tenants[t].suspended);
        if (suspended)
            continue; /* then nginx knows the host as little as any stranger's */
        const struct mg_record_site site = {.kind = (uint64_t) host->core.origin,
                                            .tenant = host->core.tenant,
                                            .host = mg_view_text(host->name),
                                            .upstream = mg_view_text(host->upstream)};
        TRY(mg_list_add_site(list, &site));
    }
    return OK;
}

/* Sends nginx's origins when they differ from the last ones that were accepted. */
static CHECKED struct mg_status
nginx_follow(void)
{
    static uint8_t applied[SHA256_DIGEST_LENGTH];
    uint8_t digest[SHA256_DIGEST_LENGTH];
    OWN_BUFFER(list, 122880);
    OWN_BUFFER(storage, 4096);
    struct mg_reply_nginx_apply reply;
    TRY(mg_tenants_read(sites_add, &list));
    (void) SHA256(list.bytes, list.length, digest);
    if (memcmp(digest, applied, sizeof digest) == 0)
        return OK;
    const struct mg_request_nginx_apply request = {.sites = {.bytes = mg_buffer_view(&list)}};
    TRY(mg_call_nginx_apply(&request, &reply, &storage, 60000));
    memcpy(applied, digest, sizeof digest);
    return OK;
}

struct preparing {
    uint64_t number;
    char name[64];
};

static CHECKED struct mg_status
preparing_find(void *context, const struct mg_tenants_view *view)
{
    struct preparing *found = context;
    for (size_t i = 0; i < view->tenant_count && found->number == 0; i++)
        if (!view->tenants[i].ready && !view->tenants[i].suspended) {
            found->number = view->tenants[i].core->number;
            memcpy(found->name, view->tenants[i].core->name, sizeof found->name);
        }
    return OK;
}

/* One tenant that has no database yet; *ret_more when there was one. */
static CHECKED struct mg_status
provision_follow(bool *ret_more)
{
    OWN_BUFFER(storage, 4096);
    OWN(database) database = NULL;
    struct preparing next = {0};
    struct mg_reply_tenant_provision reply;
    TRY(mg_tenants_read(preparing_find, &next));
    *ret_more = next.number != 0;
    if (next.number == 0)
        return OK;
    const struct mg_request_tenant_provision request = {.tenant = next.number,
                                                        .name = mg_view_text(next.name)};
    TRY(mg_call_tenant_provision(&request, &reply, &storage, 120000));
    TRY(mg_core_database(&database));
    TRY(mg_query(database, NULL,
                 "UPDATE tenant SET ready_at = $2, app_uid = $3 WHERE number = $1 AND ready_at IS NULL",
                 MG_I64(next.number), MG_INSTANT(mg_now()), MG_I64(reply.app_uid)));
    mg_database_drop(&database);
    mg_log(MG_INFO, "tenant %s is ready", next.name);
    TRY(mg_tenants_load());
    return mg_tenants_publish();
}

static void
follow_wait(bool soon)
{
    struct timespec until;
    (void) clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += soon ? FOLLOW_RETRY_MS / 1000 : 5;
    (void) pthread_mutex_lock(&follow_lock);
    if (!follow_due)
        (void) pthread_cond_timedwait(&follow_asked, &follow_lock, &until);
    follow_due = false;
    (void) pthread_mutex_unlock(&follow_lock);
}

static void *
follower(void *unused)
{
    for (;;) {
        bool more = false;
        struct mg_status status = nginx_follow();
        if (!mg_ok(status))
            mg_log_status(MG_ERROR, "nginx's origins", status);
        const bool nginx_ok = mg_ok(status);
        status = provision_follow(&more);
        if (!mg_ok(status))
            mg_log_status(MG_ERROR, "a tenant's database", status);
        if (!more || !mg_ok(status))
            follow_wait(!nginx_ok || !mg_ok(status));
    }
    return unused;
}

struct mg_status
mg_tenants_follow(void)
{
    pthread_t thread;
    pthread_condattr_t attributes;
    (void) pthread_condattr_init(&attributes);
    (void) pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&follow_asked, &attributes);
    (void) pthread_condattr_destroy(&attributes);
    if (pthread_create(&thread, NULL, follower, NULL) != 0)
        return fail_with(SYSTEM, "cannot start a thread");
    (void) pthread_detach(thread);
    return OK;
}

struct mg_status
mg_tenants_changed(void)
{
    TRY(mg_tenants_load());
    TRY(mg_tenants_publish());
    (void) pthread_mutex_lock(&follow_lock);
    follow_due = true;
    (void) pthread_cond_signal(&follow_asked);
    (void) pthread_mutex_unlock(&follow_lock);
    return OK;
}
