/* From tenants, hosts and their settings to the rows of the gate's policy snapshot. */
#include "domain/role.h"
#include "process/authority/tenants_private.h"

#include <stdlib.h>

#define NETWORKS_MOST 1000

void
mg_policy_parts_drop(struct mg_policy_parts *parts)
{
    for (size_t i = 0; i < parts->kept_count; i++)
        free(parts->kept[i]);
    free(parts->kept);
    *parts = (struct mg_policy_parts){0};
}

/* Zeroed room that lives as long as the parts. */
static CHECKED struct mg_status
keep(struct mg_policy_parts *parts, size_t count, size_t size, void **ret_room)
{
    void **more = reallocarray(parts->kept, parts->kept_count + 1, sizeof *more);
    if (more == NULL)
        return fail(OUT_OF_MEMORY);
    parts->kept = more;
    more[parts->kept_count] = calloc(count + 1, size);
    if (more[parts->kept_count] == NULL)
        return fail(OUT_OF_MEMORY);
    *ret_room = more[parts->kept_count++];
    return OK;
}

struct mg_status
mg_policy_parts_networks(struct mg_policy_parts *parts, const char *list,
                         struct mg_policy_networks *ret_networks)
{
    void *room = NULL;
    struct mg_view word;
    size_t count = 0;
    for (const char *cursor = list; mg_option_word(&cursor, &word);)
        count++;
    if (count > NETWORKS_MOST)
        return fail_with(TOO_LARGE, "more than %d networks", NETWORKS_MOST);
    TRY(keep(parts, count, sizeof(struct mg_network), &room));
    struct mg_network *rows = room;
    count = 0;
    while (mg_option_word(&list, &word))
        TRY(mg_network_parse(word, &rows[count++]));
    *ret_networks = (struct mg_policy_networks){.restricted = count != 0, .rows = rows, .count = count};
    return OK;
}

/* The drill's tenant is met by our own prober alone: from this machine's addresses that nginx listens on. */
static CHECKED struct mg_status
drill_networks(struct mg_policy_parts *parts, struct mg_policy_tenant *row)
{
    OWN_BUFFER(list, 4096);
    struct mg_view word;
    TRY(mg_buffer_add_text(&list, "127.0.0.0/8 ::1"));
    for (const char *cursor = mg_environment()->options->gate_address; mg_option_word(&cursor, &word);)
        if (!mg_view_is(word, "0.0.0.0") && !mg_view_is(word, "::"))
            TRY(mg_buffer_format(&list, " %.*s", (int) word.length, (const char *) word.bytes));
    TRY(mg_policy_parts_networks(parts, mg_buffer_text(&list), &row->use));
    /* Its people sign in from the lower half of the loopback network: the probe of IDENTITY_05 comes from the
     * other. */
    mg_buffer_clear(&list);
    TRY(mg_buffer_add_text(&list, "127.0.0.0/9 ::1"));
    for (const char *cursor = mg_environment()->options->gate_address; mg_option_word(&cursor, &word);)
        if (!mg_view_is(word, "0.0.0.0") && !mg_view_is(word, "::"))
            TRY(mg_buffer_format(&list, " %.*s", (int) word.length, (const char *) word.bytes));
    return mg_policy_parts_networks(parts, mg_buffer_text(&list), &row->sign_in);
}

static enum mg_csp_mode
csp_mode_of(const char *word)
{
    return strcmp(word, "app") == 0           ? MG_CSP_APP
           : strcmp(word, "report-only") == 0 ? MG_CSP_REPORT_ONLY
                                              : MG_CSP_ENFORCE;
}

static const char *
unless_empty(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static CHECKED struct mg_status
tenant_fill(struct mg_policy_parts *parts, const struct mg_tenants_tenant *tenant,
            struct mg_policy_tenant *row)
{
    *row = (struct mg_policy_tenant){
        .id = (uint32_t) tenant->core->number,
        .name = tenant->core->name,
        .state = tenant->core->open && tenant->policy != NULL ? MG_TENANT_ACTIVE : MG_TENANT_SUSPENDED,
        .maintenance = !tenant->well,
        .retry_after_s = 30,
        .idle_ms = tenant->core->limits.idle_ms,
        .absolute_ms = tenant->core->limits.absolute_ms,
    };
    if (tenant->policy == NULL)
        return OK;
    const struct mg_tenant_settings *settings = &tenant->policy->settings;
    TRY(mg_policy_parts_networks(parts, settings->allow_use, &row->use));
    TRY(mg_policy_parts_networks(parts, settings->allow_sign_in, &row->sign_in));
    TRY(mg_policy_parts_networks(parts, settings->allow_administrators, &row->administrators));
    row->csp_mode = csp_mode_of(settings->content_security_policy_mode);
    row->headers[MG_HEADER_CSP] = unless_empty(settings->content_security_policy);
    row->headers[MG_HEADER_COOP] = unless_empty(settings->opener_policy);
    row->headers[MG_HEADER_COEP] = unless_empty(settings->embedder_policy);
    row->headers[MG_HEADER_CORP] = unless_empty(settings->resource_policy);
    row->headers[MG_HEADER_REFERRER_POLICY] = unless_empty(settings->referrer_policy);
    row->headers[MG_HEADER_PERMISSIONS_POLICY] = unless_empty(settings->permissions_policy);
    row->script_cookies = settings->script_cookies;
    return tenant->drill ? drill_networks(parts, row) : OK;
}

static uint32_t
host_number(const struct mg_tenants_view *view, uint64_t tenant, struct mg_view name)
{
    for (size_t i = 0; i < view->host_count; i++)
        if (view->hosts[i].core.tenant == tenant && mg_view_is(name, view->hosts[i].name))
            return view->hosts[i].core.id;
    return 0;
}

/* The path as the gate judges it: canonical, so that what is not ASCII is encoded (docs/gate.md). */
static CHECKED struct mg_status
prefix_fill(struct mg_policy_parts *parts, struct mg_view path, const char **ret_prefix)
{
    static const char digits[] = "0123456789ABCDEF";
    void *room = NULL;
    TRY(keep(parts, 3 * path.length, 1, &room));
    char *prefix = room, *end = prefix;
    for (size_t i = 0; i < path.length; i++) {
        const uint8_t c = path.bytes[i];
        if (c < 0x80) {
            *end++ = (char) c;
            continue;
        }
        *end++ = '%';
        *end++ = digits[c >> 4];
        *end++ = digits[c & 15];
    }
    *ret_prefix = prefix;
    return OK;
}

static CHECKED struct mg_status
route_fill(struct mg_policy_parts *parts, const struct mg_tenants_view *view,
           const struct mg_tenants_tenant *tenant, const struct mg_tenant_route *route)
{
    const struct mg_route_settings *settings = &route->settings;
    struct mg_policy_route *row = &parts->routes[parts->route_count];
    struct mg_view host, prefix;
    mg_tenant_route_split(route->path, &host, &prefix);
    *row = (struct mg_policy_route){
        .tenant_id = (uint32_t) tenant->core->number,
        .host_id = host.length == 0 ? 0 : host_number(view, tenant->core->number, host),
        .public = settings->public,
        .roles = mg_role_bits_with(mg_view_text(settings->roles), tenant->roles, NULL),
        .administrators_only_networks = settings->administrator_networks,
        .fresh_s = (uint32_t) ((settings->fresh + 999) / 1000),
        .second_factor_s = (uint32_t) ((settings->second_factor + 999) / 1000),
        .bearer = settings->bearer,
        .webhook = settings->webhook,
        .cors_origins = settings->cors_origins,
    };
    if (host.length != 0 && row->host_id == 0)
        return OK; /* a rule of a host that is gone holds nowhere */
    TRY(prefix_fill(parts, prefix, &row->prefix));
    TRY(mg_policy_parts_networks(parts, settings->networks, &row->networks));
    parts->route_count++;
    return OK;
}

/* The rule for the whole tenant holds for those of its applications that only we can reach. */
static bool
identity_forwarded(const struct mg_tenants_view *view, const struct mg_tenants_host *host)
{
    for (size_t i = 0; i < view->tenant_count; i++)
        if (view->tenants[i].core->number == host->core.tenant)
            return host->core.origin == MG_ORIGIN_APP && view->tenants[i].policy != NULL &&
                   view->tenants[i].policy->settings.forward_identity &&
                   mg_upstream_is_socket(mg_view_text(host->upstream));
    return false;
}

static int
by_id(const void *one, const void *other)
{
    const struct mg_policy_tenant *a = one, *b = other;
    return a->id < b->id ? -1 : a->id > b->id ? 1 : 0;
}

static CHECKED struct mg_status
routes_make(struct mg_policy_parts *parts, const struct mg_tenants_view *view)
{
    size_t count = 0;
    void *room = NULL;
    for (size_t i = 0; i < view->tenant_count; i++)
        count += view->tenants[i].policy != NULL ? view->tenants[i].policy->route_count : 0;
    TRY(keep(parts, count, sizeof *parts->routes, &room));
    parts->routes = room;
    for (size_t i = 0; i < view->tenant_count; i++)
        for (size_t r = 0; view->tenants[i].policy != NULL && r < view->tenants[i].policy->route_count; r++)
            TRY(route_fill(parts, view, &view->tenants[i], &view->tenants[i].policy->routes[r]));
    return OK;
}

struct mg_status
mg_policy_parts_make(const struct mg_tenants_view *view, struct mg_policy_parts *parts)
{
    void *room = NULL;
    TRY(keep(parts, view->tenant_count, sizeof *parts->tenants, &room));
    parts->tenants = room;
    TRY(keep(parts, view->host_count, sizeof *parts->hosts, &room));
    parts->hosts = room;
    for (size_t i = 0; i < view->tenant_count; i++)
        TRY(tenant_fill(parts, &view->tenants[i], &parts->tenants[i]));
    /* Here they are in the order of their names, in the snapshot of their numbers. */
    qsort(parts->tenants, view->tenant_count, sizeof *parts->tenants, by_id);
    for (size_t i = 0; i < view->host_count; i++)
        parts->hosts[i] = (struct mg_policy_host){
            .forward_identity = identity_forwarded(view, &view->hosts[i]),
            .id = view->hosts[i].core.id,
            .name = view->hosts[i].name,
            .tenant_id = (uint32_t) view->hosts[i].core.tenant,
            .origin = view->hosts[i].core.origin,
            .upstream = view->hosts[i].upstream,
            .audience = view->hosts[i].name,
            .sign_in_origin = view->hosts[i].sign_in_origin,
        };
    return routes_make(parts, view);
}
