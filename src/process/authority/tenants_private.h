/* Between tenants.c (what is) and publish.c (what follows from it). */
#ifndef MG_AUTHORITY_TENANTS_PRIVATE_H
#define MG_AUTHORITY_TENANTS_PRIVATE_H

#include "process/authority/tenants.h"

struct mg_tenants_tenant {
    const struct mg_core_tenant *core;
    const char *upstream;
    bool ready, suspended, well;
};
struct mg_tenants_host {
    struct mg_core_host core;
    const char *name, *upstream, *sign_in_origin;
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

#endif
