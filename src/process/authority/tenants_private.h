/* Between tenants.c (what is) and publish.c (what follows from it). */
#ifndef MG_AUTHORITY_TENANTS_PRIVATE_H
#define MG_AUTHORITY_TENANTS_PRIVATE_H

#include "domain/tenant_policy.h"
#include "process/authority/tenants.h"
#include "wire/policy_snapshot.h"

struct mg_tenants_tenant {
    const struct mg_core_tenant *core;
    const char *upstream;
    bool ready, suspended, well, drill;
    const struct mg_tenant_policy *policy; /* NULL: what is stored is not valid, and nobody may enter */
    struct mg_own_roles roles;
};
struct mg_tenants_host {
    struct mg_core_host core;
    const char *name, *upstream, *sign_in_origin;
    bool suspended; /* its tenant is */
};
struct mg_tenants_view {
    const struct mg_tenants_tenant *tenants;
    size_t tenant_count;
    const struct mg_tenants_host *hosts; /* the operators' is among them, with tenant 0 */
    size_t host_count;
};
/* Calls `read` while the lists cannot change; it must not call back into tenants.c. */
typedef struct mg_status (*mg_tenants_reader)(void *context, const struct mg_tenants_view *view);
CHECKED struct mg_status mg_tenants_read(mg_tenants_reader read, void *context);

/* A policy snapshot under construction (policy_parts.c): what its rows point to lives until the drop. */
struct mg_policy_parts {
    struct mg_policy_tenant *tenants;
    struct mg_policy_host *hosts;
    struct mg_policy_route *routes;
    size_t route_count;
    void **kept;
    size_t kept_count;
};
CHECKED struct mg_status mg_policy_parts_make(const struct mg_tenants_view *view,
                                              struct mg_policy_parts *parts);
void mg_policy_parts_drop(struct mg_policy_parts *parts);
/* A LIST of CIDRs; `restricted` is the caller's to say. */
CHECKED struct mg_status mg_policy_parts_networks(struct mg_policy_parts *parts, const char *list,
                                                  struct mg_policy_networks *ret_networks);

#endif
