#include "process/authority/tenants.h"

#include "base/log.h"
#include "domain/role.h"
#include "process/authority/tenants_private.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define OPERATOR_HOST_ID 0x7FFFFFFFU /* the database counts from 1 upwards and never gets there */

struct tenant {
    struct mg_core_tenant core;
    char *upstream, *hosts;
    struct mg_tenant_policy *policy; /* NULL: what is stored is not valid */
    struct mg_own_role *roles;       /* of its own */
    size_t role_count;
    bool ready, suspended, drill;
    bool upstream_well, database_well;         /* as the watch last said */
    bool upstream_recorded, database_recorded; /* as the audit log has it */
    mg_instant created_at;
};

struct host {
    struct mg_core_host core;
    char *name, *upstream; /* upstream empty: the tenant's */
};

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
/* Both are ordered here, by bytes, and not by a database whose collation may be any. */
static struct tenant *tenants;   /* by name */
static struct tenant **numbered; /* the same by number */
static size_t tenant_count;
static struct host *hosts; /* by name; the operators' is among them */
static size_t host_count;

/* ---- loading ---- */

static void
tenants_free(struct tenant *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].upstream);
        free(list[i].hosts);
        free(list[i].roles);
        mg_tenant_policy_drop(&list[i].policy);
    }
    free(list);
}

static void
hosts_free(struct host *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].name);
        free(list[i].upstream);
    }
    free(list);
}

static int
by_name(const void *one, const void *other)
{
    const struct tenant *a = one, *b = other;
    return strcmp(a->core.name, b->core.name);
}

static int
by_number(const void *one, const void *other)
{
    const struct tenant *const *a = one, *const *b = other;
    return (*a)->core.number < (*b)->core.number ? -1 : (*a)->core.number > (*b)->core.number;
}

static int
by_host(const void *one, const void *other)
{
    const struct host *a = one, *b = other;
    return strcmp(a->name, b->name);
}

static struct tenant *
tenant_find(uint64_t number)
{
    const struct tenant wanted = {.core.number = number};
    const struct tenant *key = &wanted;
    struct tenant **found =
        /* Pointers. NOLINTNEXTLINE(bugprone-sizeof-expression) */
        tenant_count == 0 ? NULL : bsearch(&key, numbered, tenant_count, sizeof *numbered, by_number);
    return found != NULL ? *found : NULL;
}

static void
origin_text(char *origin, size_t size, const char *host)
{
    const int64_t port = mg_environment()->options->gate_https_port;
    if (port == 443)
        (void) snprintf(origin, size, "https://%s", host);
    else
        (void) snprintf(origin, size, "https://%s:%lld", host, (long long) port);
}

static struct mg_session_limits
deployment_limits(void)
{
    const struct mg_options *options = mg_environment()->options;
    return (struct mg_session_limits){.idle_ms = options->session_idle,
                                      .absolute_ms = options->session_absolute,
                                      .families = (uint32_t) options->session_families};
}

static CHECKED struct mg_status
tenant_read(const struct mg_rows *rows, size_t row, struct tenant *tenant)
{
    tenant->core.number = (uint64_t) mg_rows_i64(rows, row, 0);
    TRY(mg_view_copy(mg_rows_text(rows, row, 1), tenant->core.name, sizeof tenant->core.name));
    TRY(mg_view_copy(mg_rows_text(rows, row, 2), tenant->core.label, sizeof tenant->core.label));
    TRY(mg_view_copy(mg_rows_text(rows, row, 3), tenant->core.sign_in_host,
                     sizeof tenant->core.sign_in_host));
    TRY(mg_view_to_text(mg_rows_text(rows, row, 4), &tenant->upstream));
    tenant->ready = !mg_rows_null(rows, row, 5);
    tenant->suspended = !mg_rows_null(rows, row, 6);
    tenant->core.open = tenant->ready && !tenant->suspended;
    tenant->core.limits = deployment_limits();
    tenant->core.password.least = (size_t) mg_environment()->options->password_minimum_length;
    tenant->created_at = mg_rows_instant(rows, row, 7);
    TRY(mg_view_to_text(mg_rows_text(rows, row, 8), &tenant->hosts));
    tenant->drill = mg_rows_flag(rows, row, 9);
    origin_text(tenant->core.sign_in_origin, sizeof tenant->core.sign_in_origin, tenant->core.sign_in_host);
    const struct tenant *before = tenant_find(tenant->core.number);
    tenant->upstream_well = before == NULL || before->upstream_well;
    tenant->database_well = before == NULL || before->database_well;
    tenant->upstream_recorded = before == NULL || before->upstream_recorded;
    tenant->database_recorded = before == NULL || before->database_recorded;
    return OK;
}

static struct mg_own_roles
own_roles(const struct tenant *tenant)
{
    return (struct mg_own_roles){.roles = tenant->roles, .count = tenant->role_count};
}

/* The tenant's own roles, rows *at and on. */
static CHECKED struct mg_status
roles_read(const struct mg_rows *rows, size_t *at, struct tenant *tenant)
{
    size_t count = 0;
    while (*at + count < mg_rows_count(rows) &&
           (uint64_t) mg_rows_i64(rows, *at + count, 0) == tenant->core.number)
        count++;
    tenant->roles = calloc(count + 1, sizeof *tenant->roles);
    if (tenant->roles == NULL)
        return fail(OUT_OF_MEMORY);
    for (; tenant->role_count < count; ++*at) {
        struct mg_own_role *role = &tenant->roles[tenant->role_count++];
        const int64_t bit = mg_rows_i64(rows, *at, 2);
        if (bit < MG_OWN_ROLE_BIT || bit >= MG_OWN_ROLE_BIT + MG_OWN_ROLES_MOST)
            return fail_with(INTEGRITY, "bit %lld of a role", (long long) bit);
        role->bit = (uint8_t) bit;
        TRY(mg_view_copy(mg_rows_text(rows, *at, 1), role->name, sizeof role->name));
    }
    return OK;
}

/* The settings of one tenant, rows *at and on. What a newer or an older version stored and this one does
 * not understand closes the tenant: half a policy is none. */
static CHECKED struct mg_status
policy_read(const struct mg_rows *rows, size_t *at, struct tenant *tenant)
{
    const struct mg_session_limits deployment = deployment_limits();
    OWN(tenant_policy) policy = NULL;
    struct mg_status status = OK;
    TRY(mg_tenant_policy_new(&policy));
    for (; *at < mg_rows_count(rows) && (uint64_t) mg_rows_i64(rows, *at, 0) == tenant->core.number; ++*at)
        if (mg_ok(status))
            status = mg_tenant_policy_set(policy, mg_rows_text(rows, *at, 1), mg_rows_text(rows, *at, 2),
                                          mg_rows_text(rows, *at, 3));
    if (mg_ok(status))
        status = mg_tenant_policy_judge(policy, tenant->hosts);
    if (mg_ok(status)) /* a role that there is not would open what it guards */
        status = mg_tenant_policy_roles_judge(policy, own_roles(tenant));
    if (!mg_ok(status)) {
        if (status.code != MG_INVALID)
            return status;
        mg_log(MG_ERROR, "tenant %s is closed until its policy is set anew: %s", tenant->core.name,
               status.detail);
        tenant->core.open = false;
        return OK;
    }
    const struct mg_tenant_settings *settings = &policy->settings;
    const struct mg_session_limits own = {.idle_ms = settings->session_idle,
                                          .absolute_ms = settings->session_absolute,
                                          .families = (uint32_t) settings->session_families};
    tenant->core.limits = mg_session_limits_of(&deployment, &own);
    tenant->core.second_factor = mg_second_factor_mode_of(settings->second_factor);
    tenant->core.second_factor_roles =
        mg_role_bits_with(mg_view_text(settings->second_factor_roles), own_roles(tenant), NULL);
    if (!mg_ok(mg_sign_in_methods_read(settings->sign_in_methods, &tenant->core.methods)))
        tenant->core.methods =
            0; /* was checked when it was set: keeps everybody out rather than letting in */
    if ((size_t) settings->password_length > tenant->core.password.least)
        tenant->core.password.least = (size_t) settings->password_length;
    tenant->core.password.history = (size_t) settings->password_history;
    tenant->core.password.max_age_ms = settings->password_max_age;
    tenant->policy = TAKE(policy);
    return OK;
}

/* All lists are in the order of the tenants' names. */
static CHECKED struct mg_status
policies_read(const struct mg_rows *rows, const struct mg_rows *roles, struct tenant *list, size_t count)
{
    size_t at = 0, role = 0;
    for (size_t i = 0; i < count; i++) {
        TRY(roles_read(roles, &role, &list[i]));
        TRY(policy_read(rows, &at, &list[i]));
    }
    if (role != mg_rows_count(roles))
        return fail_with(INTEGRITY, "roles of a tenant that is not listed");
    return at == mg_rows_count(rows) ? OK : fail_with(INTEGRITY, "settings of a tenant that is not listed");
}

static CHECKED struct mg_status
host_read(const struct mg_rows *rows, size_t row, struct host *host)
{
    host->core = (struct mg_core_host){.id = (uint32_t) mg_rows_i64(rows, row, 1),
                                       .tenant = (uint64_t) mg_rows_i64(rows, row, 2),
                                       .origin = (enum mg_origin) mg_rows_i64(rows, row, 3)};
    TRY(mg_view_to_text(mg_rows_text(rows, row, 4), &host->upstream));
    return mg_view_to_text(mg_rows_text(rows, row, 0), &host->name);
}

/* Puts the new lists, which are complete, in place of the old ones. With the lock held for writing. */
static void
lists_swap(struct tenant *new_tenants, struct tenant **new_numbered, size_t new_tenant_count,
           struct host *new_hosts, size_t new_host_count)
{
    qsort(new_tenants, new_tenant_count, sizeof *new_tenants, by_name);
    for (size_t i = 0; i < new_tenant_count; i++)
        new_numbered[i] = &new_tenants[i];
    /* Pointers. NOLINTNEXTLINE(bugprone-sizeof-expression) */
    qsort(new_numbered, new_tenant_count, sizeof *new_numbered, by_number);
    qsort(new_hosts, new_host_count, sizeof *new_hosts, by_host);
    tenants_free(tenants, tenant_count);
    free(numbered);
    hosts_free(hosts, host_count);
    tenants = new_tenants;
    numbered = new_numbered;
    tenant_count = new_tenant_count;
    hosts = new_hosts;
    host_count = new_host_count;
}

static struct mg_status
load(void)
{
    OWN(database) database = NULL;
    OWN(rows) tenant_rows = NULL;
    OWN(rows) host_rows = NULL;
    OWN(rows) setting_rows = NULL;
    OWN(rows) role_rows = NULL;
    TRY(mg_core_database(&database));
    TRY(mg_query(database, &tenant_rows,
                 "SELECT t.number, t.name, t.label, t.sign_in_host, t.upstream, t.ready_at, t.suspended_at,"
                 " t.created_at,"
                 " coalesce((SELECT string_agg(h.host, ' ' ORDER BY h.id) FROM tenant_host h"
                 "           WHERE h.tenant = t.number AND h.origin = 1), ''), t.drill"
                 " FROM tenant t ORDER BY t.name"));
    TRY(mg_query(database, &host_rows,
                 "SELECT host, id, tenant, origin, upstream FROM tenant_host ORDER BY host"));
    TRY(mg_query(database, &setting_rows,
                 "SELECT s.tenant, s.route, s.keyword, s.value FROM tenant_setting s"
                 " JOIN tenant t ON t.number = s.tenant ORDER BY t.name, s.route, s.keyword"));
    TRY(mg_query(database, &role_rows,
                 "SELECT r.tenant, r.name, r.bit FROM tenant_role r JOIN tenant t ON t.number = r.tenant"
                 " ORDER BY t.name, r.name"));
    const size_t new_tenant_count = mg_rows_count(tenant_rows), new_host_count = mg_rows_count(host_rows) + 1;
    struct tenant *new_tenants = calloc(new_tenant_count + 1, sizeof *new_tenants);
    /* Pointers. NOLINTNEXTLINE(bugprone-sizeof-expression) */
    struct tenant **new_numbered = calloc(new_tenant_count + 1, sizeof *new_numbered);
    struct host *new_hosts = calloc(new_host_count, sizeof *new_hosts);
    struct mg_status status =
        new_tenants == NULL || new_numbered == NULL || new_hosts == NULL ? fail(OUT_OF_MEMORY) : OK;
    (void) pthread_rwlock_wrlock(&lock);
    for (size_t i = 0; mg_ok(status) && i < new_tenant_count; i++)
        status = tenant_read(tenant_rows, i, &new_tenants[i]);
    if (mg_ok(status))
        status = policies_read(setting_rows, role_rows, new_tenants, new_tenant_count);
    for (size_t i = 0; mg_ok(status) && i + 1 < new_host_count; i++)
        status = host_read(host_rows, i, &new_hosts[i]);
    if (mg_ok(status)) {
        struct host *operators = &new_hosts[new_host_count - 1];
        operators->core = (struct mg_core_host){.id = OPERATOR_HOST_ID, .origin = MG_ORIGIN_OPERATOR};
        status = mg_view_to_text(mg_view_text(mg_environment()->options->console_host), &operators->name);
    }
    if (mg_ok(status))
        lists_swap(new_tenants, new_numbered, new_tenant_count, new_hosts, new_host_count);
    else {
        free(new_numbered);
        if (new_tenants != NULL)
            tenants_free(new_tenants, new_tenant_count);
        if (new_hosts != NULL)
            hosts_free(new_hosts, new_host_count);
    }
    (void) pthread_rwlock_unlock(&lock);
    return status;
}

/* One at a time, the reading included: what was read before a suspension must not replace what was read
 * after it. */
struct mg_status
mg_tenants_load(void)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    (void) pthread_mutex_lock(&one_at_a_time);
    const struct mg_status status = load();
    (void) pthread_mutex_unlock(&one_at_a_time);
    return status;
}

/* ---- looking up ---- */

static void
operators_fill(struct mg_core_tenant *ret_tenant)
{
    *ret_tenant = (struct mg_core_tenant){.open = true, .limits = deployment_limits(), .label = "Masugata"};
    ret_tenant->methods = MG_METHOD_PASSWORD | MG_METHOD_PASSKEY;
    ret_tenant->password.least = (size_t) mg_environment()->options->password_minimum_length;
    ret_tenant->password.max_age_ms = mg_environment()->options->operators_password_max_age;
    const char *host = mg_environment()->options->console_host;
    (void) snprintf(ret_tenant->sign_in_host, sizeof ret_tenant->sign_in_host, "%s", host);
    origin_text(ret_tenant->sign_in_origin, sizeof ret_tenant->sign_in_origin, host);
}

struct mg_status
mg_core_tenant(uint64_t number, struct mg_core_tenant *ret_tenant)
{
    if (number == 0) {
        operators_fill(ret_tenant);
        return OK;
    }
    (void) pthread_rwlock_rdlock(&lock);
    const struct tenant *tenant = tenant_find(number);
    if (tenant != NULL)
        *ret_tenant = tenant->core;
    (void) pthread_rwlock_unlock(&lock);
    return tenant != NULL ? OK : fail_with(NOT_FOUND, "tenant %llu", (unsigned long long) number);
}

uint32_t
mg_tenants_role_bits(uint64_t number, struct mg_view roles)
{
    if (number == 0)
        return mg_role_bits(roles, NULL);
    (void) pthread_rwlock_rdlock(&lock);
    const struct tenant *tenant = tenant_find(number);
    const uint32_t bits =
        tenant != NULL ? mg_role_bits_with(roles, own_roles(tenant), NULL) : mg_role_bits(roles, NULL);
    (void) pthread_rwlock_unlock(&lock);
    return bits;
}

bool
mg_tenants_sign_in_allowed(uint64_t number, struct mg_view address)
{
    if (number == 0)
        return true; /* the gate asks console.allow */
    (void) pthread_rwlock_rdlock(&lock);
    const struct tenant *tenant = tenant_find(number);
    const bool allowed = tenant != NULL && tenant->policy != NULL &&
                         mg_tenant_networks_have(tenant->policy->settings.allow_use, address) &&
                         mg_tenant_networks_have(tenant->policy->settings.allow_sign_in, address);
    (void) pthread_rwlock_unlock(&lock);
    return allowed;
}

struct mg_status
mg_core_tenant_named(struct mg_view name, struct mg_core_tenant *ret_tenant)
{
    if (name.length == 0) {
        operators_fill(ret_tenant);
        return OK;
    }
    struct tenant wanted = {.core.number = 0};
    const struct tenant *found = NULL;
    (void) pthread_rwlock_rdlock(&lock);
    if (tenant_count != 0 && mg_ok(mg_view_copy(name, wanted.core.name, sizeof wanted.core.name)))
        found = bsearch(&wanted, tenants, tenant_count, sizeof *tenants, by_name);
    if (found != NULL)
        *ret_tenant = found->core;
    (void) pthread_rwlock_unlock(&lock);
    return found != NULL ? OK
                         : fail_with(NOT_FOUND, "tenant %.*s", (int) name.length, (const char *) name.bytes);
}

struct mg_status
mg_core_host(struct mg_view host, struct mg_core_host *ret_host)
{
    char name[256];
    const struct host wanted = {.name = name};
    const struct host *found = NULL;
    (void) pthread_rwlock_rdlock(&lock);
    if (host_count != 0 && mg_ok(mg_view_copy(host, name, sizeof name)))
        found = bsearch(&wanted, hosts, host_count, sizeof *hosts, by_host);
    if (found != NULL)
        *ret_host = found->core;
    (void) pthread_rwlock_unlock(&lock);
    return found != NULL ? OK
                         : fail_with(NOT_FOUND, "host %.*s", (int) host.length, (const char *) host.bytes);
}

static struct mg_tenant_listed
listed_of(const struct tenant *tenant)
{
    return (struct mg_tenant_listed){
        .number = tenant->core.number,
        .name = tenant->core.name,
        .label = tenant->core.label,
        .hosts = tenant->hosts,
        .sign_in_host = tenant->core.sign_in_host,
        .upstream = tenant->upstream,
        .ready = tenant->ready,
        .suspended = tenant->suspended,
        .drill = tenant->drill,
        .created_at = tenant->created_at,
    };
}

struct mg_status
mg_tenants_walk_numbers(uint64_t after, mg_tenant_visit visit, void *context)
{
    struct mg_status status = OK;
    bool enough = false;
    (void) pthread_rwlock_rdlock(&lock);
    for (size_t i = 0; i < tenant_count && mg_ok(status) && !enough; i++) {
        const struct mg_tenant_listed listed = listed_of(numbered[i]);
        if (listed.number > after)
            status = visit(context, &listed, &enough);
    }
    (void) pthread_rwlock_unlock(&lock);
    return status;
}

struct mg_status
mg_tenants_walk(struct mg_view after, mg_tenant_visit visit, void *context)
{
    OWN_TEXT from = NULL;
    struct mg_status status = OK;
    bool enough = false;
    TRY(mg_view_to_text(after, &from));
    (void) pthread_rwlock_rdlock(&lock);
    for (size_t i = 0; i < tenant_count && mg_ok(status) && !enough; i++) {
        const struct tenant *tenant = &tenants[i];
        if (strcmp(tenant->core.name, from) <= 0 && from[0] != '\0')
            continue;
        const struct mg_tenant_listed listed = listed_of(tenant);
        status = visit(context, &listed, &enough);
    }
    (void) pthread_rwlock_unlock(&lock);
    return status;
}

void
mg_tenants_policy_read(uint64_t number, mg_tenants_policy_reader read, void *context)
{
    (void) pthread_rwlock_rdlock(&lock);
    const struct tenant *tenant = tenant_find(number);
    read(context, tenant != NULL ? tenant->policy : NULL);
    (void) pthread_rwlock_unlock(&lock);
}

/* ---- what the follower and the policy are made from (publish.c) ---- */

struct mg_status
mg_tenants_read(mg_tenants_reader read, void *context)
{
    (void) pthread_rwlock_rdlock(&lock);
    struct mg_tenants_view view = {.tenant_count = tenant_count, .host_count = host_count};
    struct mg_tenants_tenant *tenant_rows = calloc(tenant_count + 1, sizeof *tenant_rows);
    struct mg_tenants_host *host_rows = calloc(host_count + 1, sizeof *host_rows);
    struct mg_status status = tenant_rows == NULL || host_rows == NULL ? fail(OUT_OF_MEMORY) : OK;
    for (size_t i = 0; mg_ok(status) && i < tenant_count; i++)
        tenant_rows[i] = (struct mg_tenants_tenant){
            .core = &tenants[i].core,
            .upstream = tenants[i].upstream,
            .ready = tenants[i].ready,
            .suspended = tenants[i].suspended,
            .drill = tenants[i].drill,
            .well = tenants[i].upstream_well && tenants[i].database_well,
            .policy = tenants[i].policy,
            .roles = own_roles(&tenants[i]),
        };
    for (size_t i = 0; mg_ok(status) && i < host_count; i++) {
        const struct tenant *tenant = tenant_find(hosts[i].core.tenant);
        host_rows[i] = (struct mg_tenants_host){
            .core = hosts[i].core,
            .name = hosts[i].name,
            .upstream = hosts[i].upstream != NULL && hosts[i].upstream[0] != '\0' ? hosts[i].upstream
                        : tenant != NULL                                          ? tenant->upstream
                                                                                  : "",
            .suspended = tenant != NULL && tenant->suspended,
            .sign_in_origin = tenant != NULL ? tenant->core.sign_in_origin : "",
        };
    }
    view.tenants = tenant_rows;
    view.hosts = host_rows;
    if (mg_ok(status))
        status = read(context, &view);
    (void) pthread_rwlock_unlock(&lock);
    free(tenant_rows);
    free(host_rows);
    return status;
}

/* A part came or went. The maintenance page does not wait for the record; when it fails the watch says the
 * same again. */
static CHECKED struct mg_status
health_record(uint64_t number, const char *name, bool upstream, bool database, struct mg_view reason)
{
    const struct mg_core_detail details[] = {
        {.key = "application", .value = mg_view_text(upstream ? "answers" : "is away")},
        {.key = "database", .value = mg_view_text(database ? "answers" : "is away")},
    };
    TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_health_change,
                                                .tenant = number,
                                                .target = mg_view_text(name),
                                                .reason = reason,
                                                .details = details,
                                                .detail_count = MG_COUNT(details)}));
    (void) pthread_rwlock_wrlock(&lock);
    struct tenant *tenant = tenant_find(number);
    if (tenant != NULL) {
        tenant->upstream_recorded = upstream;
        tenant->database_recorded = database;
    }
    (void) pthread_rwlock_unlock(&lock);
    return OK;
}

static CHECKED struct mg_status
maintenance_switch(uint64_t number, const char *name, bool well, struct mg_view reason)
{
    mg_log(MG_WARNING, "tenant %s: maintenance page %s: %.*s", name, well ? "off" : "on", (int) reason.length,
           (const char *) reason.bytes);
    const struct mg_status published = mg_tenants_publish();
    if (!mg_ok(published)) /* the watch says it once only: the follower tries again */
        mg_tenants_behind();
    TRY(published);
    return mg_core_record(
        &(struct mg_core_record){.event = well ? MG_EVENT_maintenance_off : MG_EVENT_maintenance_on,
                                 .tenant = number,
                                 .target = mg_view_text(name),
                                 .reason = reason});
}

/* Control: AVAILABILITY_06, AVAILABILITY_07 */
struct mg_status
mg_tenants_health(uint64_t number, bool upstream, bool database, struct mg_view reason)
{
    bool switches = false, unrecorded = false;
    char name[64] = "";
    (void) pthread_rwlock_wrlock(&lock);
    struct tenant *tenant = tenant_find(number);
    if (tenant != NULL) {
        switches = (tenant->upstream_well && tenant->database_well) != (upstream && database);
        unrecorded = tenant->upstream_recorded != upstream || tenant->database_recorded != database;
        tenant->upstream_well = upstream;
        tenant->database_well = database;
        (void) snprintf(name, sizeof name, "%s", tenant->core.name);
    }
    (void) pthread_rwlock_unlock(&lock);
    if (switches)
        TRY(maintenance_switch(number, name, upstream && database, reason));
    return unrecorded ? health_record(number, name, upstream, database, reason) : OK;
}
