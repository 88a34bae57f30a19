/* Who asks, and whether they may (catalogue/permissions.def). Every handler of a request that changes or
 * shows what belongs to others begins with mg_right_ask(). */
#ifndef MG_AUTHORITY_RIGHTS_H
#define MG_AUTHORITY_RIGHTS_H

#include "domain/permission.h"
#include "process/authority/identity.h"

struct mg_right {
    struct mg_core_actor actor;
    struct mg_core_tenant tenant; /* whose things are asked for */
    bool operator;                /* an operator, or a process of ours */
    uint64_t account, family;     /* of the person; 0 for the command line and for processes */
    uint64_t token;               /* of the API token that acts for a service account; 0: none */
    mg_permissions held;          /* of the person; all for operators */
    mg_permissions grantable;     /* what they may give to others */
};

/* GRANTED when the person behind the call holds `permission` in the tenant; NOT_ALLOWED (recorded, when a
 * person tried); NOT_KNOWN when there is no such tenant. Operators name the tenant (empty: their own). A
 * tenant's people ask with a session of its sign-in origin and get that tenant, whatever the portal says;
 * naming another one is NOT_ALLOWED; so do service accounts, whose `session` is the hash of an API token.
 * Using a permission is noted. */
CHECKED struct mg_status mg_right_ask(const struct mg_call *call, enum mg_permission permission,
                                      struct mg_view session, struct mg_view tenant,
                                      struct mg_right *ret_right, enum mg_outcome *ret_outcome);
/* MG_RIGHT_ASK(user_list, …): the permission that the request of that name needs. */
#define MG_RIGHT_ASK(request_name, call, session, tenant, ret_right, ret_outcome) \
    mg_right_ask(call, (enum mg_permission) MG_NEEDS_##request_name, session, tenant, ret_right, ret_outcome)

/* Whose things are asked for, without a judgement: 0 when that is not known, or the operators' own. For
 * limits that are kept for each tenant. */
CHECKED struct mg_status mg_right_tenant(const struct mg_call *call, struct mg_view session,
                                         struct mg_view tenant, uint64_t *ret_number);

/* What an account holds: by built-in roles and by the tenant's own. */
CHECKED struct mg_status mg_right_of_roles(struct mg_database *database, uint64_t tenant,
                                           struct mg_view roles, mg_permissions *ret_held);
/* True if every word is a role that exists in this tenant; *ret_unknown is the first that is not. */
CHECKED struct mg_status mg_right_roles_exist(struct mg_database *database, uint64_t tenant,
                                              struct mg_view roles, struct mg_view *ret_unknown);
/* Whether the person may give `roles`, and take `before` away: NOT_VALID with *ret_reason for what is no role
 * of the tenant, MORE_THAN_YOURS for what holds more than they may give. */
CHECKED struct mg_status mg_right_roles_give(struct mg_database *database, const struct mg_right *right,
                                             struct mg_view before, struct mg_view roles,
                                             const char **ret_reason, enum mg_outcome *ret_outcome);
/* The same of roles for one person: whether `roles` may take the place of `before`, of a user or of what
 * gives roles to users: GRANTED; NOT_VALID with *ret_reason; MORE_THAN_YOURS when either holds more than the
 * person may give. */
CHECKED struct mg_status mg_right_roles_judge(struct mg_database *database, const struct mg_right *right,
                                              struct mg_view before, struct mg_view roles,
                                              const char **ret_reason, enum mg_outcome *ret_outcome);
/* Within a transaction: whoever changes who administers a tenant, or which of its roles a rule may name,
 * waits for the one before. */
CHECKED struct mg_status mg_right_administrators_lock(struct mg_database *database, uint64_t tenant);
/* True if another account of the tenant, able to sign in, is administrator. */
CHECKED struct mg_status mg_right_other_administrator(struct mg_database *database, uint64_t tenant,
                                                      uint64_t account, bool *ret_exists);

#endif
