/* What follows from the tenants outside the database: the gate's policy, nginx's origins, and the
 * databases of new tenants. */
#include "base/log.h"
#include "process/authority/tenants_private.h"
#include "wire/policy_snapshot.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NETWORKS_MOST 1000
#define FOLLOW_RETRY_MS 1000

/* ---- policy ---- */

/* A LIST option of CIDRs as networks; the caller frees. */
static CHECKED struct mg_status
networks_read(const char *list, struct mg_network **ret_rows, size_t *ret_count)
{
    struct mg_network *rows = calloc(NETWORKS_MOST, sizeof *rows);
    size_t count = 0;
    struct mg_view word;
    struct mg_status status = rows == NULL ? fail(OUT_OF_MEMORY) : OK;
    while (mg_ok(status) && mg_option_word(&list, &word)) {
        if (count == NETWORKS_MOST)
            status = fail_with(TOO_LARGE, "more than %d networks", NETWORKS_MOST);
        else
            status = mg_network_parse(word, &rows[count++]);
    }
    if (!mg_ok(status)) {
        free(rows);
        return status;
    }
    *ret_rows = rows;
    *ret_count = count;
    return OK;
}

static int
by_id(const void *one, const void *other)
{
    const struct mg_policy_tenant *a = one, *b = other;
    return a->id < b->id ? -1 : a->id > b->id ? 1 : 0;
}

struct publication {
    struct mg_network *operators, *proxies;
    size_t operator_count, proxy_count;
};

static CHECKED struct mg_status
policy_write(void *context, const struct mg_tenants_view *view)
{
    const struct publication *publication = context;
    const struct mg_environment *environment = mg_environment();
    char directory[600];
    uint64_t generation = 0;
    struct mg_policy_tenant *tenants = calloc(view->tenant_count + 1, sizeof *tenants);
    struct mg_policy_host *hosts = calloc(view->host_count + 1, sizeof *hosts);
    struct mg_status status = tenants == NULL || hosts == NULL ? fail(OUT_OF_MEMORY) : OK;
    for (size_t i = 0; mg_ok(status) && i < view->tenant_count; i++) {
        const struct mg_tenants_tenant *tenant = &view->tenants[i];
        tenants[i] = (struct mg_policy_tenant){
            .id = (uint32_t) tenant->core->number,
            .name = tenant->core->name,
            .state = tenant->core->open ? MG_TENANT_ACTIVE : MG_TENANT_SUSPENDED,
            .maintenance = !tenant->well,
            .retry_after_s = 30,
            .idle_ms = tenant->core->limits.idle_ms,
            .absolute_ms = tenant->core->limits.absolute_ms,
        };
    }
    if (mg_ok(status)) /* here they are in the order of their names, in the snapshot of their numbers */
        qsort(tenants, view->tenant_count, sizeof *tenants, by_id);
    for (size_t i = 0; mg_ok(status) && i < view->host_count; i++) {
        const struct mg_tenants_host *host = &view->hosts[i];
        hosts[i] = (struct mg_policy_host){
            .id = host->core.id,
            .name = host->name,
            .tenant_id = (uint32_t) host->core.tenant,
            .origin = host->core.origin,
            .upstream = host->upstream,
            .audience = host->name,
            .sign_in_origin = host->sign_in_origin,
        };
    }
    (void) snprintf(directory, sizeof directory, "%s/gate", environment->runtime_directory);
    const struct mg_policy policy = {
        .tenants = tenants,
        .tenant_count = view->tenant_count,
        .hosts = hosts,
        .host_count = view->host_count,
        .trusted_proxies = {.restricted = true,
                            .rows = publication->proxies,
                            .count = publication->proxy_count},
        .operators = {.restricted = true,
                      .rows = publication->operators,
                      .count = publication->operator_count},
        .outage_ms = environment->options->gate_outage,
    };
    if (mg_ok(status))
        status = mg_policy_publish(directory, (gid_t) -1, mg_core_sessions(), &policy, &generation);
    free(tenants);
    free(hosts);
    return status;
}

struct mg_status
mg_tenants_publish(void)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    const struct mg_options *options = mg_environment()->options;
    struct publication publication = {0};
    TRY(networks_read(options->console_allow, &publication.operators, &publication.operator_count));
    struct mg_status status =
        networks_read(options->gate_trusted_proxies, &publication.proxies, &publication.proxy_count);
    (void) pthread_mutex_lock(&one_at_a_time);
    if (mg_ok(status))
        status = mg_tenants_read(policy_write, &publication);
    (void) pthread_mutex_unlock(&one_at_a_time);
    free(publication.operators);
    free(publication.proxies);
    return status;
}

/* ---- the follower ---- */

static pthread_mutex_t follow_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t follow_asked = PTHREAD_COND_INITIALIZER;
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
    (void) clock_gettime(CLOCK_REALTIME, &until);
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
