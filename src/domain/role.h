/* Roles as the session table carries them: one bit each. The built-in ones have the low bits, in the order of
 * catalogue/permissions.def; a tenant's own roles have those from MG_OWN_ROLE_BIT on. */
#ifndef MG_DOMAIN_ROLE_H
#define MG_DOMAIN_ROLE_H

#include "base/bytes.h"

enum { MG_OWN_ROLE_BIT = 8, MG_OWN_ROLES_MOST = 24 };

/* A role that a tenant made. Its bit stays the same as long as there is the role. */
struct mg_own_role {
    char name[64];
    uint8_t bit;
};
/* Borrowed. */
struct mg_own_roles {
    const struct mg_own_role *roles;
    size_t count;
};

/* The bits of the roles in `words` (separated by spaces). Words that are no built-in role have no bit;
 * *ret_unknown, when not NULL, is set to the first of them, else to the empty view. */
uint32_t mg_role_bits(struct mg_view words, struct mg_view *ret_unknown);
/* The same with a tenant's own roles. */
uint32_t mg_role_bits_with(struct mg_view words, struct mg_own_roles own, struct mg_view *ret_unknown);

/* All of them, separated by spaces, for messages. */
const char *mg_role_names(void);

#endif
