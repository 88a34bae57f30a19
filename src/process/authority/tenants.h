/* The tenants and hosts in memory, and what follows from them outside: the policy snapshot for the
 * gate, nginx's origins, the tenants' databases. The database is the truth; every change writes it
 * first and then loads everything anew. */
#ifndef MG_AUTHORITY_TENANTS_H
#define MG_AUTHORITY_TENANTS_H

#include "process/authority/core.h"

/* Reads tenants and hosts from the database. */
CHECKED struct mg_status mg_tenants_load(void);
/* Gives the gate a new policy; when it returns every worker judges by it or refuses. */
CHECKED struct mg_status mg_tenants_publish(void);
/* Load, publish, and let the follower do the rest. */
CHECKED struct mg_status mg_tenants_changed(void);
/* What is in memory or in the policy may be older than the database: the follower brings both up to date. */
void mg_tenants_behind(void);
/* Shows the reader the policy of a tenant while nobody can change it; NULL when there is none that is valid.
 * It must not call back into tenants.c. */
struct mg_tenant_policy;
typedef void (*mg_tenants_policy_reader)(void *context, const struct mg_tenant_policy *policy);
void mg_tenants_policy_read(uint64_t number, mg_tenants_policy_reader read, void *context);
/* Starts the thread that follows: nginx's origins, databases of new tenants. */
CHECKED struct mg_status mg_tenants_follow(void);
/* From the watch. */
CHECKED struct mg_status mg_tenants_health(uint64_t number, bool upstream, bool database,
                                           struct mg_view reason);

/* The bits of roles of the tenant's users, its own roles among them (domain/role.h). */
uint32_t mg_tenants_role_bits(uint64_t number, struct mg_view roles);
/* Whether the tenant's networks let people sign in from there: what the gate judges as well. */
bool mg_tenants_sign_in_allowed(uint64_t number, struct mg_view address);

/* Visits copies in the order of names, after `after`; the visitor says when it has enough. */
struct mg_tenant_listed {
    uint64_t number;
    const char *name, *label, *hosts, *sign_in_host, *upstream;
    bool ready, suspended, drill;
    mg_instant created_at;
};
typedef struct mg_status (*mg_tenant_visit)(void *context, const struct mg_tenant_listed *tenant,
                                            bool *ret_enough);
CHECKED struct mg_status mg_tenants_walk(struct mg_view after, mg_tenant_visit visit, void *context);
/* The same in the order of numbers. */
CHECKED struct mg_status mg_tenants_walk_numbers(uint64_t after, mg_tenant_visit visit, void *context);

/* A reason if what this deployment stores of a tenant would lie outside of `residency` (domain/site.h): the
 * database itself, and the near repository, without which it has no backup. */
CHECKED struct mg_status mg_residency_judge(const char *residency, struct mg_buffer *reason);

#endif
