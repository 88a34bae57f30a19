/* The built-in roles, and how the session table carries them: one bit each. */
#ifndef MG_DOMAIN_ROLE_H
#define MG_DOMAIN_ROLE_H

#include "base/bytes.h"

/* The bits of the roles in `words` (separated by spaces). Words that are no built-in role have no bit;
 * *ret_unknown, when not NULL, is set to the first of them, else to the empty view. */
uint32_t mg_role_bits(struct mg_view words, struct mg_view *ret_unknown);

/* All of them, separated by spaces, for messages. */
const char *mg_role_names(void);

#endif
