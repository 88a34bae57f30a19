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
#define APPLY_EVERY_MS (15 * 60 * 1000)
#define APPLY_RETRY_MS (2 * 60 * 1000)
#define SITES_MOST (8U << 20)
#define SITES_PART_MOST 122880

/* ---- policy ---- */

/* What was published, for the record. */
struct published {
    uint64_t generation;
    size_t tenants, hosts, routes;
};

static CHECKED struct mg_status
policy_write(void *context, const struct mg_tenants_view *view)
{
    struct published *published = context;
    const struct mg_environment *environment = mg_environment();
    MG_CLEANUP(mg_policy_parts_drop) struct mg_policy_parts parts = {0};
    struct mg_policy policy = {.outage_ms = environment->options->gate_outage};
    char directory[600];
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
    *published = (struct published){
        .tenants = policy.tenant_count, .hosts = policy.host_count, .routes = policy.route_count};
    return mg_policy_publish(directory, (gid_t) -1, mg_core_sessions(), &policy, &published->generation);
}

/* What made it necessary was recorded before it was done; this says when the gate had it. So it is no
 * reason to take the policy back, nor to leave the gate without one at start, when it cannot be recorded. */
static void
published_record(const struct published *published)
{
    char numbers[4][24];
    const uint64_t values[] = {published->generation, published->tenants, published->hosts,
                               published->routes};
    struct mg_core_detail details[] = {
        {.key = "generation"}, {.key = "tenants"}, {.key = "hosts"}, {.key = "rules"}};
    for (size_t i = 0; i < MG_COUNT(values); i++) {
        (void) snprintf(numbers[i], sizeof numbers[i], "%llu", (unsigned long long) values[i]);
        details[i].value = mg_view_text(numbers[i]);
    }
    const struct mg_status status =
        mg_core_record(&(struct mg_core_record){.event = MG_EVENT_policy_publish,
                                                .target = mg_view_text("gate"),
                                                .details = details,
                                                .detail_count = MG_COUNT(details)});
    if (!mg_ok(status))
        mg_log_status(MG_ERROR, "record that the policy was published", status);
}

struct mg_status
mg_tenants_publish(void)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    (void) pthread_mutex_lock(&one_at_a_time);
    struct published published = {0};
    const struct mg_status status = mg_tenants_read(policy_write, &published);
    (void) pthread_mutex_unlock(&one_at_a_time);
    if (mg_ok(status))
        published_record(&published);
    return status;
}

/* ---- the follower ---- */

static pthread_mutex_t follow_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t follow_asked; /* waits by the monotonic clock; made in mg_tenants_follow */
static bool follow_due, follow_behind;

static void
follow_wake(bool behind)
{
    (void) pthread_mutex_lock(&follow_lock);
    follow_due = true;
    follow_behind = follow_behind || behind;
    (void) pthread_cond_signal(&follow_asked);
    (void) pthread_mutex_unlock(&follow_lock);
}

void
mg_tenants_behind(void)
{
    follow_wake(true);
}

/* A change that is in the database but did not come through to memory and policy. */
static CHECKED struct mg_status
catch_up(void)
{
    (void) pthread_mutex_lock(&follow_lock);
    const bool behind = follow_behind;
    follow_behind = false;
    (void) pthread_mutex_unlock(&follow_lock);
    if (!behind)
        return OK;
    struct mg_status status = mg_tenants_load();
    if (mg_ok(status))
        status = mg_tenants_publish();
    if (!mg_ok(status)) {
        (void) pthread_mutex_lock(&follow_lock);
        follow_behind = true;
        (void) pthread_mutex_unlock(&follow_lock);
    }
    return status;
}

static CHECKED struct mg_status
sites_add(void *context, const struct mg_tenants_view *view)
{
    struct mg_buffer *list = context;
    for (size_t i = 0; i < view->host_count; i++) {
        const struct mg_tenants_host *host = &view->hosts[i];
        if (host->suspended)
            continue; /* then nginx knows the host as little as any stranger's */
        const struct mg_record_site site = {.kind = (uint64_t) host->core.origin,
                                            .tenant = host->core.tenant,
                                            .host = mg_view_text(host->name),
                                            .upstream = mg_view_text(host->upstream)};
        TRY(mg_list_add_site(list, &site));
    }
    return OK;
}

/* As many whole rows from the front as one message takes. */
static CHECKED struct mg_status
sites_part(struct mg_list *rest, struct mg_view *ret_part)
{
    const struct mg_view before = rest->bytes;
    for (bool more = true; more;) {
        const struct mg_list last = *rest;
        struct mg_record_site site;
        TRY(mg_list_next_site(rest, &site, &more));
        if (before.length - rest->bytes.length > SITES_PART_MOST) {
            *rest = last;
            break;
        }
    }
    *ret_part = mg_view_of(before.bytes, before.length - rest->bytes.length);
    return OK;
}

/* The certificate that nginx serves now, if the log's last word on it is another. The log is the memory:
 * nothing else has to be kept. */
static CHECKED struct mg_status
certificate_record(struct mg_view certificate)
{
    static char known[512];
    char before[512] = "";
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_audit_read reply;
    struct mg_record_audit_entry entry;
    bool found = false;
    if (certificate.length == 0 || mg_view_is(certificate, known))
        return OK;
    if (known[0] == '\0') {
        TRY(mg_call_audit_read(
            &(struct mg_request_audit_read){.event = MG_EVENT_certificate_change, .limit = 1}, &reply,
            &storage, 10000));
        TRY(mg_list_next_audit_entry(&reply.entries, &entry, &found));
        OWN_BUFFER(quoted, 1024);
        TRY(mg_buffer_add_json_string(&quoted, certificate));
        if (found && memmem(entry.event.bytes, entry.event.length, quoted.bytes, quoted.length) != NULL)
            return mg_view_copy(certificate, known, sizeof known);
    } else
        TRY(mg_view_copy(mg_view_text(known), before, sizeof before));
    const struct mg_core_detail details[] = {{.key = "now", .value = certificate},
                                             {.key = "before", .value = mg_view_text(before)}};
    TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_certificate_change,
                                                .target = mg_view_text("gate"),
                                                .details = details,
                                                .detail_count = before[0] == '\0' ? 1 : 2}));
    return mg_view_copy(certificate, known, sizeof known);
}

/* Sends nginx's origins when they differ from the last ones that were accepted, and now and then all the
 * same: a certificate that somebody has renewed is found that way. */
static CHECKED struct mg_status
nginx_follow(void)
{
    static uint8_t applied[SHA256_DIGEST_LENGTH];
    static int64_t again_ms; /* monotonic */
    uint8_t digest[SHA256_DIGEST_LENGTH];
    OWN_BUFFER(list, SITES_MOST);
    TRY(mg_tenants_read(sites_add, &list));
    (void) SHA256(list.bytes, list.length, digest);
    if (memcmp(digest, applied, sizeof digest) == 0) {
        if (mg_monotonic_ms() < again_ms)
            return OK;
        again_ms = mg_monotonic_ms() + APPLY_RETRY_MS; /* if it does not work now */
    }
    struct mg_list rest = {.bytes = mg_buffer_view(&list)};
    for (bool last = false; !last;) {
        OWN_BUFFER(storage, 4096);
        struct mg_reply_nginx_apply reply;
        struct mg_request_nginx_apply request = {.at = list.length - rest.bytes.length};
        TRY(sites_part(&rest, &request.sites.bytes));
        request.last = last = rest.bytes.length == 0;
        TRY(mg_call_nginx_apply(&request, &reply, &storage, 60000));
        TRY(certificate_record(reply.certificate));
    }
    memcpy(applied, digest, sizeof digest);
    again_ms = mg_monotonic_ms() + APPLY_EVERY_MS;
    return OK;
}

struct preparing {
    uint64_t after, number;
    char name[64];
};

/* The one after the last that was tried, in turns: one whose database cannot be made keeps nobody waiting. */
static CHECKED struct mg_status
preparing_find(void *context, const struct mg_tenants_view *view)
{
    struct preparing *found = context;
    for (size_t i = 0; i < view->tenant_count; i++) {
        const uint64_t number = view->tenants[i].core->number;
        const bool waits = !view->tenants[i].ready && !view->tenants[i].suspended;
        const bool later = number > found->after, found_later = found->number > found->after;
        if (!waits || (found->number != 0 && (later == found_later ? number > found->number : !later)))
            continue;
        found->number = number;
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
    static uint64_t tried; /* the follower's own */
    struct preparing next = {.after = tried};
    struct mg_reply_tenant_provision reply;
    TRY(mg_tenants_read(preparing_find, &next));
    *ret_more = next.number != 0;
    tried = next.number;
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
        struct mg_status status = catch_up();
        if (!mg_ok(status))
            mg_log_status(MG_ERROR, "tenants and policy", status);
        status = nginx_follow();
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
    struct mg_status status = mg_tenants_load();
    if (mg_ok(status))
        status = mg_tenants_publish();
    follow_wake(!mg_ok(status));
    return status;
}
