/* A worker's side of the policy snapshot: every byte is checked before the first decision. */
#include "wire/policy_layout.h"

#include "base/io.h"

#include <fcntl.h>
#include <stdlib.h>

/* A number of rows that the bytes left can hold at all, so that a lie allocates nothing. */
static struct mg_status
get_count(struct mg_reader *reader, size_t least_row_bytes, size_t *ret_count)
{
    uint64_t count;
    TRY(mg_get_u64(reader, &count));
    if (count > POLICY_ROWS_MOST || count > (uint64_t) (reader->end - reader->at) / least_row_bytes)
        return fail_with(MALFORMED, "policy: %llu rows", (unsigned long long) count);
    *ret_count = (size_t) count;
    return OK;
}

static struct mg_status
get_u32(struct mg_reader *reader, uint32_t most, uint32_t *ret_value)
{
    uint64_t value;
    TRY(mg_get_u64(reader, &value));
    if (value > most)
        return fail_with(MALFORMED, "policy: number %llu", (unsigned long long) value);
    *ret_value = (uint32_t) value;
    return OK;
}

static struct mg_status
get_text(struct mg_reader *reader, struct mg_view *ret_text)
{
    struct mg_view text;
    TRY(mg_get_text(reader, &text, POLICY_TEXT_MOST));
    /* These become header values and addresses: no control character can end one and begin another. */
    for (size_t i = 0; i < text.length; i++)
        if (text.bytes[i] < 0x20 || text.bytes[i] == 0x7F)
            return fail_with(MALFORMED, "policy: control character in a text");
    *ret_text = text;
    return OK;
}

static struct mg_status
get_networks(struct mg_reader *reader, struct mg_network_set *ret_set)
{
    bool restricted;
    size_t count;
    TRY(mg_get_flag(reader, &restricted));
    TRY(get_count(reader, 24, &count));
    struct mg_network *rows = calloc(count + 1, sizeof *rows);
    if (rows == NULL)
        return fail(OUT_OF_MEMORY);
    struct mg_status status = OK;
    for (size_t i = 0; i < count && mg_ok(status); i++) {
        uint32_t prefix = 0;
        status = mg_get_u64(reader, &rows[i].address.high);
        if (mg_ok(status))
            status = mg_get_u64(reader, &rows[i].address.low);
        if (mg_ok(status))
            status = get_u32(reader, 128, &prefix);
        rows[i].prefix = (uint8_t) prefix;
    }
    if (mg_ok(status))
        status = mg_network_set_make(restricted, rows, count, ret_set);
    free(rows);
    return status;
}

static struct mg_status
get_tenant(struct mg_reader *reader, struct mg_gate_tenant *tenant)
{
    uint32_t state, mode;
    TRY(get_u32(reader, UINT32_MAX, &tenant->id));
    if (tenant->id == 0)
        return fail_with(MALFORMED, "policy: tenant 0");
    TRY(get_text(reader, &tenant->name));
    TRY(get_u32(reader, MG_TENANT_ACTIVE, &state));
    tenant->state = (enum mg_tenant_state) state;
    TRY(mg_get_flag(reader, &tenant->maintenance));
    TRY(get_u32(reader, 86400, &tenant->retry_after_s));
    TRY(get_u32(reader, UINT32_MAX, &tenant->idle_s));
    TRY(get_u32(reader, UINT32_MAX, &tenant->absolute_s));
    TRY(get_networks(reader, &tenant->use));
    TRY(get_networks(reader, &tenant->sign_in));
    TRY(get_networks(reader, &tenant->administrators));
    TRY(get_u32(reader, MG_CSP_APP, &mode));
    tenant->csp_mode = (enum mg_csp_mode) mode;
    for (size_t i = 0; i < MG_POLICY_HEADERS; i++) {
        TRY(mg_get_flag(reader, &tenant->header_set[i]));
        TRY(get_text(reader, &tenant->headers[i]));
    }
    return get_text(reader, &tenant->script_cookies);
}

static struct mg_status
get_tenants(struct mg_reader *reader, struct mg_gate_policy *policy)
{
    size_t count;
    TRY(get_count(reader, 64, &count));
    policy->tenants = calloc(count + 1, sizeof *policy->tenants);
    if (policy->tenants == NULL)
        return fail(OUT_OF_MEMORY);
    policy->tenant_count = 1;
    policy->tenants[0].state = MG_TENANT_ACTIVE;
    policy->tenants[0].retry_after_s = 60;
    policy->tenants[0].name = mg_view_text("");
    policy->tenants[0].script_cookies = mg_view_text("");
    for (size_t i = 0; i < count; i++) {
        struct mg_gate_tenant *tenant = &policy->tenants[policy->tenant_count++];
        TRY(get_tenant(reader, tenant));
        /* Ordered, so that it can be searched and none is there twice. */
        if (tenant->id <= tenant[-1].id)
            return fail_with(MALFORMED, "policy: tenants are not in the order of their ids");
    }
    return OK;
}

static struct mg_gate_tenant *
tenant_of(const struct mg_gate_policy *policy, uint32_t id)
{
    size_t low = 0, high = policy->tenant_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (policy->tenants[middle].id == id)
            return &policy->tenants[middle];
        if (policy->tenants[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static inline uint64_t
mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * 0x9E3779B97F4A7C15ULL;
    return sum ^ sum >> 32;
}

static size_t
host_bucket(const struct mg_gate_policy *policy, struct mg_view name)
{
    /* Names come from the operator's policy, so nobody can choose them to collide. */
    uint64_t sum = name.length, word = 0;
    if (name.length < sizeof word) {
        memcpy(&word, name.bytes, name.length);
        sum = mix(sum, word);
    } else {
        for (size_t i = 0; i + sizeof word < name.length; i += sizeof word) {
            memcpy(&word, name.bytes + i, sizeof word);
            sum = mix(sum, word);
        }
        memcpy(&word, name.bytes + name.length - sizeof word, sizeof word); /* some bytes a second time */
        sum = mix(sum, word);
    }
    return (size_t) sum & (policy->bucket_count - 1);
}

const struct mg_gate_host *
mg_gate_host_find(const struct mg_gate_policy *policy, struct mg_view name)
{
    for (size_t at = host_bucket(policy, name);; at = (at + 1) & (policy->bucket_count - 1)) {
        if (policy->buckets[at] == 0)
            return NULL;
        const struct mg_gate_host *host = &policy->hosts[policy->buckets[at] - 1];
        if (mg_view_equal(host->name, name))
            return host;
    }
}

static struct mg_status
add_bucket(struct mg_gate_policy *policy, size_t index)
{
    const struct mg_view name = policy->hosts[index].name;
    if (mg_gate_host_find(policy, name) != NULL)
        return fail_with(INVALID, "policy: host %.*s twice", (int) name.length, (const char *) name.bytes);
    size_t at = host_bucket(policy, name);
    while (policy->buckets[at] != 0)
        at = (at + 1) & (policy->bucket_count - 1);
    policy->buckets[at] = (uint32_t) index + 1;
    return OK;
}

static bool
is_host_name(struct mg_view name)
{
    if (name.length == 0 || name.length > 253)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        const uint8_t c = name.bytes[i];
        const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                           c == ':' || c == '[' || c == ']';
        if (!plain)
            return false;
    }
    return true;
}

static struct mg_status
get_host(struct mg_reader *reader, struct mg_gate_policy *policy, struct mg_gate_host *host)
{
    uint32_t tenant, origin;
    TRY(get_u32(reader, UINT32_MAX, &host->id));
    TRY(get_text(reader, &host->name));
    TRY(get_u32(reader, UINT32_MAX, &tenant));
    TRY(get_u32(reader, MG_ORIGIN_OPERATOR, &origin));
    TRY(get_text(reader, &host->upstream));
    TRY(get_text(reader, &host->audience));
    TRY(get_text(reader, &host->sign_in_origin));
    TRY(mg_get_flag(reader, &host->forward_identity));
    host->origin = (enum mg_origin) origin;
    host->tenant = tenant_of(policy, tenant);
    if (host->id == 0 || !is_host_name(host->name) || host->origin == MG_ORIGIN_NONE ||
        host->tenant == NULL || (tenant == 0) != (host->origin == MG_ORIGIN_OPERATOR))
        return fail_with(INVALID, "policy: host %.*s", (int) host->name.length,
                         (const char *) host->name.bytes);
    return OK;
}

static struct mg_status
get_hosts(struct mg_reader *reader, struct mg_gate_policy *policy)
{
    size_t count;
    TRY(get_count(reader, 40, &count));
    policy->hosts = calloc(count + 1, sizeof *policy->hosts);
    for (policy->bucket_count = 8; policy->bucket_count < count * 2 + 2;)
        policy->bucket_count *= 2;
    policy->buckets = calloc(policy->bucket_count, sizeof *policy->buckets);
    if (policy->hosts == NULL || policy->buckets == NULL)
        return fail(OUT_OF_MEMORY);
    for (size_t i = 0; i < count; i++) {
        TRY(get_host(reader, policy, &policy->hosts[i]));
        policy->host_count++;
        TRY(add_bucket(policy, i));
    }
    return OK;
}

/* The first eight bytes, zeros behind a shorter text. */
static uint64_t
head_of(struct mg_view text)
{
    uint64_t head = 0;
    memcpy(&head, text.bytes, text.length < sizeof head ? text.length : sizeof head);
    return head;
}

/* The case bit of each byte is left out, so that a rule for any case is not missed. */
static struct mg_gate_route_head
route_head(const struct mg_gate_route *route)
{
    uint8_t mask[8] = {0};
    struct mg_gate_route_head head;
    memset(mask, (uint8_t) ~0x20, route->prefix.length < sizeof mask ? route->prefix.length : sizeof mask);
    memcpy(&head.mask, mask, sizeof mask);
    head.bytes = head_of(route->prefix) & head.mask;
    return head;
}

static int
upper_hex(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A byte that the canonical form writes as "%XX": neither one that it decodes nor one that it refuses. */
static bool
is_encoding(struct mg_view prefix, size_t at)
{
    if (at + 2 >= prefix.length)
        return false;
    const int high = upper_hex(prefix.bytes[at + 1]), low = upper_hex(prefix.bytes[at + 2]);
    const int byte = high * 16 + low;
    const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    return high >= 0 && low >= 0 && byte >= ' ' && !letter && !(byte >= '0' && byte <= '9') &&
           strchr("-._~/\\\x7F", byte) == NULL;
}

/* Paths are judged in their canonical form (docs/gate.md): a rule written otherwise would cover none of
 * them, and what it should restrict would stand open. */
static bool
may_cover_a_path(struct mg_view prefix)
{
    if (prefix.length == 0 || prefix.bytes[0] != '/')
        return false;
    for (size_t i = 0; i < prefix.length; i++) {
        const uint8_t c = prefix.bytes[i];
        if (c <= ' ' || c >= 0x7F || strchr("\\#?", c) != NULL ||
            (c == '/' && i + 1 < prefix.length && prefix.bytes[i + 1] == '/') ||
            (c == '%' && !is_encoding(prefix, i)))
            return false;
    }
    return true;
}

static struct mg_status
get_route(struct mg_reader *reader, struct mg_gate_route *route)
{
    TRY(get_u32(reader, UINT32_MAX, &route->host_id));
    TRY(get_text(reader, &route->prefix));
    if (!may_cover_a_path(route->prefix))
        return fail_with(INVALID, "policy: a route that is not the beginning of a canonical path");
    TRY(mg_get_flag(reader, &route->public));
    TRY(get_u32(reader, UINT32_MAX, &route->roles));
    TRY(get_networks(reader, &route->networks));
    TRY(mg_get_flag(reader, &route->administrators_only_networks));
    TRY(get_u32(reader, UINT32_MAX, &route->fresh_s));
    TRY(get_u32(reader, UINT32_MAX, &route->second_factor_s));
    TRY(mg_get_flag(reader, &route->bearer));
    TRY(mg_get_flag(reader, &route->webhook));
    TRY(get_text(reader, &route->cors_origins));
    route->any_case = !route->public && !route->bearer && !route->webhook && route->cors_origins.length == 0;
    return OK;
}

static struct mg_status
keep_route(struct mg_gate_tenant *tenant, const struct mg_gate_route *route)
{
    /* Doubling at powers of two: a tenant has a handful. */
    if ((tenant->route_count & (tenant->route_count - 1)) == 0) {
        const size_t room = tenant->route_count == 0 ? 1 : tenant->route_count * 2;
        struct mg_gate_route *grown = reallocarray(tenant->routes, room, sizeof *grown);
        if (grown == NULL)
            return fail(OUT_OF_MEMORY);
        tenant->routes = grown;
    }
    tenant->routes[tenant->route_count++] = *route;
    return OK;
}

/* Longest prefix first; of two equally long ones, that for one host before that for all, and what opens
 * something exactly before what restricts it in any case. */
static int
compare_routes(const void *left, const void *right)
{
    const struct mg_gate_route *a = left, *b = right;
    if (a->prefix.length != b->prefix.length)
        return a->prefix.length > b->prefix.length ? -1 : 1;
    if ((a->host_id == 0) != (b->host_id == 0))
        return (a->host_id == 0) - (b->host_id == 0);
    return (int) a->any_case - (int) b->any_case;
}

static bool
restricts(const struct mg_gate_route *route)
{
    return route->roles != 0 || route->fresh_s != 0 || route->second_factor_s != 0 ||
           route->administrators_only_networks || route->networks.restricted;
}

/* What a rule that also opens something restricts, for the spellings of its prefix that it does not cover
 * itself: for an application that makes no difference they are the same place. */
static struct mg_status
keep_restrictions(struct mg_gate_tenant *tenant, const struct mg_gate_route *route)
{
    struct mg_gate_route closed = *route;
    closed.public = closed.bearer = closed.webhook = false;
    closed.cors_origins = MG_VIEW_EMPTY;
    closed.any_case = true;
    TRY(mg_network_set_copy(&route->networks, &closed.networks));
    const struct mg_status status = keep_route(tenant, &closed);
    if (!mg_ok(status))
        mg_network_set_drop(&closed.networks);
    return status;
}

/* In order, and then ready to be compared with. Most applications make no difference between "/admin/" and
 * "/admin": a rule that only restricts covers both, ahead of one for "/admin" itself. The heads stand in a
 * row of their own, so that most rules are passed over without being touched. */
static struct mg_status
settle_routes(struct mg_gate_tenant *tenant)
{
    if (tenant->route_count == 0)
        return OK;
    tenant->route_heads = calloc(tenant->route_count, sizeof *tenant->route_heads);
    if (tenant->route_heads == NULL)
        return fail(OUT_OF_MEMORY);
    qsort(tenant->routes, tenant->route_count, sizeof(struct mg_gate_route), compare_routes);
    for (size_t i = 0; i < tenant->route_count; i++) {
        struct mg_gate_route *route = &tenant->routes[i];
        const size_t length = route->prefix.length;
        if (route->any_case && length > 1 && route->prefix.bytes[length - 1] == '/')
            route->prefix.length--;
        tenant->route_heads[i] = route_head(route);
    }
    return OK;
}

static struct mg_status
get_routes(struct mg_reader *reader, struct mg_gate_policy *policy)
{
    size_t count;
    TRY(get_count(reader, 54, &count)); /* that of the rule for "/", which names nothing else */
    for (size_t i = 0; i < count; i++) {
        uint32_t tenant_id;
        struct mg_gate_route route = {0};
        TRY(get_u32(reader, UINT32_MAX, &tenant_id));
        struct mg_gate_tenant *tenant = tenant_of(policy, tenant_id);
        if (tenant == NULL)
            return fail_with(INVALID, "policy: a route of tenant %u", tenant_id);
        struct mg_status status = get_route(reader, &route);
        if (mg_ok(status))
            status = keep_route(tenant, &route);
        if (!mg_ok(status)) {
            mg_network_set_drop(&route.networks);
            return status;
        }
        if (!route.any_case && restricts(&route))
            TRY(keep_restrictions(tenant, &route));
    }
    for (size_t i = 0; i < policy->tenant_count; i++)
        TRY(settle_routes(&policy->tenants[i]));
    return OK;
}

static struct mg_status
get_body(struct mg_reader *reader, struct mg_gate_policy *policy)
{
    uint64_t outage_ms;
    TRY(mg_get_u64(reader, &outage_ms));
    if (outage_ms > (uint64_t) 30 * 86400 * 1000)
        return fail_with(MALFORMED, "policy: outage");
    policy->outage_ms = (int64_t) outage_ms;
    TRY(get_networks(reader, &policy->trusted_proxies));
    /* "No list" must not mean "trust every proxy". */
    policy->trusted_proxies.restricted = true;
    struct mg_network_set operators;
    TRY(get_networks(reader, &operators));
    const struct mg_status status = get_tenants(reader, policy);
    if (policy->tenants != NULL)
        policy->tenants[0].use = operators;
    else
        mg_network_set_drop(&operators);
    TRY(status);
    TRY(get_hosts(reader, policy));
    TRY(get_routes(reader, policy));
    return mg_get_end(reader);
}

/* Checks the head and the digest; the body follows. */
static struct mg_status
check_head(struct mg_view file, uint64_t *ret_generation)
{
    if (file.length < POLICY_HEAD + POLICY_DIGEST)
        return fail_with(MALFORMED, "policy: too short");
    struct mg_reader reader = mg_reader_of(mg_view_of(file.bytes, POLICY_HEAD));
    uint64_t magic, version, generation, length;
    TRY(mg_get_u64(&reader, &magic));
    TRY(mg_get_u64(&reader, &version));
    TRY(mg_get_u64(&reader, &generation));
    TRY(mg_get_u64(&reader, &length));
    if (magic != POLICY_MAGIC || version != POLICY_VERSION ||
        length != file.length - POLICY_HEAD - POLICY_DIGEST)
        return fail_with(INTEGRITY, "policy: head");
    uint8_t digest[POLICY_DIGEST];
    TRY(mg_policy_digest(mg_view_of(file.bytes, POLICY_HEAD),
                         mg_view_of(file.bytes + POLICY_HEAD + POLICY_DIGEST, (size_t) length), digest));
    if (memcmp(digest, file.bytes + POLICY_HEAD, POLICY_DIGEST) != 0)
        return fail_with(INTEGRITY, "policy: digest");
    *ret_generation = generation;
    return OK;
}

struct mg_status
mg_gate_policy_decode(struct mg_view file, struct mg_gate_policy **ret_policy)
{
    OWN(gate_policy) policy = calloc(1, sizeof *policy);
    if (policy == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(check_head(file, &policy->generation));
    policy->file = MG_BUFFER(MG_POLICY_MOST);
    TRY(mg_buffer_add(&policy->file, file));
    struct mg_reader reader = mg_reader_of(mg_buffer_view(&policy->file));
    reader.at += POLICY_HEAD + POLICY_DIGEST;
    TRY(get_body(&reader, policy));
    *ret_policy = TAKE(policy);
    return OK;
}

void
mg_gate_policy_drop(struct mg_gate_policy **pointer)
{
    struct mg_gate_policy *policy = *pointer;
    if (policy == NULL)
        return;
    for (size_t i = 0; i < policy->tenant_count; i++) {
        struct mg_gate_tenant *tenant = &policy->tenants[i];
        for (size_t r = 0; r < tenant->route_count; r++)
            mg_network_set_drop(&tenant->routes[r].networks);
        free(tenant->routes);
        free(tenant->route_heads);
        mg_network_set_drop(&tenant->use);
        mg_network_set_drop(&tenant->sign_in);
        mg_network_set_drop(&tenant->administrators);
    }
    mg_network_set_drop(&policy->trusted_proxies);
    free(policy->tenants);
    free(policy->hosts);
    free(policy->buckets);
    mg_buffer_drop(&policy->file);
    free(policy);
    *pointer = NULL;
}

struct mg_status
mg_gate_policy_open(const char *directory, uint64_t least, struct mg_gate_policy **ret_policy)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, "policy"));
    OWN_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0)
        return fail_errno("open %s", path);
    if (!S_ISREG(found.st_mode) || (found.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return fail_with(INTEGRITY, "%s: somebody else may write it", path);
    OWN_BUFFER(file, MG_POLICY_MOST);
    TRY(mg_fd_read_all(fd, &file));
    OWN(gate_policy) policy = NULL;
    TRY(mg_gate_policy_decode(mg_buffer_view(&file), &policy));
    if (policy->generation < least)
        return fail_with(INTEGRITY, "policy of generation %llu where %llu is in force",
                         (unsigned long long) policy->generation, (unsigned long long) least);
    *ret_policy = TAKE(policy);
    return OK;
}

static uint8_t
lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t) (c | 0x20) : c;
}

static bool
equal_any_case(const uint8_t *a, const uint8_t *b, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

static bool
covers(const struct mg_gate_route *route, struct mg_view path)
{
    const struct mg_view prefix = route->prefix;
    if (path.length < prefix.length)
        return false;
    if (memcmp(path.bytes, prefix.bytes, prefix.length) != 0 &&
        !(route->any_case && equal_any_case(path.bytes, prefix.bytes, prefix.length)))
        return false;
    if (path.length == prefix.length || prefix.bytes[prefix.length - 1] == '/')
        return true;
    const uint8_t next = path.bytes[prefix.length];
    return next == '/' || next == ';';
}

const struct mg_gate_route *
mg_gate_route_find(const struct mg_gate_host *host, struct mg_view path)
{
    const struct mg_gate_tenant *tenant = host->tenant;
    const uint64_t head = head_of(path);
    for (size_t i = 0; i < tenant->route_count; i++) {
        if ((head & tenant->route_heads[i].mask) != tenant->route_heads[i].bytes)
            continue; /* most rules end here */
        const struct mg_gate_route *route = &tenant->routes[i];
        if (route->host_id != 0 ? route->host_id != host->id : host->origin == MG_ORIGIN_SIGN_IN)
            continue;
        if (covers(route, path))
            return route;
    }
    return NULL;
}
