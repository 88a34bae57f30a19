/* What a tenant has of its own: networks, session limits, headers, and rules for paths
 * (catalogue/tenant_options.def). Values are checked one by one as they are set, and the whole by
 * mg_tenant_policy_judge before it is kept. */
#ifndef MG_DOMAIN_TENANT_POLICY_H
#define MG_DOMAIN_TENANT_POLICY_H

#include "domain/role.h"
#include "wire/options.h"

struct mg_tenant_settings {
#define TENANT_OPTION(field, keyword, type, ...) MG_C_##type field;
#include "../../catalogue/tenant_options.def"
};

struct mg_route_settings {
#define ROUTE_OPTION(field, keyword, type, ...) MG_C_##type field;
#include "../../catalogue/tenant_options.def"
};

extern const struct mg_option_row mg_tenant_option_rows[], mg_route_option_rows[];
extern const size_t mg_tenant_option_count, mg_route_option_count;

#define MG_TENANT_ROUTES_MOST 200
#define MG_TENANT_NETWORKS_MOST 256 /* in one list */

/* `path` is the title of a rule as people write it: "/admin", or "acme.example/admin" for one host. */
struct mg_tenant_route {
    char *path;
    struct mg_route_settings settings;
};

/* Owns everything in it. */
struct mg_tenant_policy {
    struct mg_tenant_settings settings;
    struct mg_tenant_route *routes; /* in the order they were made */
    size_t route_count;
    bool names_residency; /* likewise: saying nothing of it opens no other place */
    bool names_plan;      /* backup.plan was set: one that does not name it leaves the plan as it is */
};

/* All presets, no routes. */
CHECKED struct mg_status mg_tenant_policy_new(struct mg_tenant_policy **ret_policy);
void mg_tenant_policy_drop(struct mg_tenant_policy **policy);

/* Sets one value; `path` is empty for the tenant itself, else the route, which is made if it is new.
 * INVALID says which keyword, what is wrong and what is allowed; the policy may then hold an empty
 * route and should be dropped. */
CHECKED struct mg_status mg_tenant_policy_set(struct mg_tenant_policy *policy, struct mg_view path,
                                              struct mg_view keyword, struct mg_view value);

/* What single values cannot show: contradicting rules, a rule of a host that is not the tenant's.
 * `hosts` are its application hosts, separated by spaces. INVALID with the reason. */
CHECKED struct mg_status mg_tenant_policy_judge(const struct mg_tenant_policy *policy, const char *hosts);

/* INVALID, naming the rule and the roles there are, if a list names one that is neither built in nor the
 * tenant's. */
CHECKED struct mg_status mg_tenant_policy_roles_judge(const struct mg_tenant_policy *policy,
                                                      struct mg_own_roles own);

/* True if the tenant's own administrators may set it; otherwise only operators do. */
bool mg_tenant_option_is_customers(const struct mg_option_row *row);

/* True if the networks of a LIST have the address, or the list is empty. False for what is no address. */
bool mg_tenant_networks_have(const char *list, struct mg_view address);

/* True if by this rule sessions or passwords would end before anybody could set it back: nobody who lives by
 * it may make it. */
bool mg_tenant_policy_ends_too_soon(const struct mg_tenant_policy *policy, struct mg_view keyword,
                                    const char **ret_reason);
/* True if somebody who administers the tenant from this address could no longer do so under the policy;
 * *ret_keyword is then the rule that would keep them out. */
bool mg_tenant_policy_shuts_out(const struct mg_tenant_policy *policy, struct mg_view address,
                                const char **ret_keyword);

/* The parts of a route's title; the host is empty when the rule holds on every host. */
void mg_tenant_route_split(const char *path, struct mg_view *ret_host, struct mg_view *ret_prefix);

#endif
