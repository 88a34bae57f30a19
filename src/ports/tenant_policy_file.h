/* A tenant's policy as people write it, read through libconfuse (as masugata.conf is):
 *
 *   allow.use = "198.51.100.0/24 2001:db8::/32"
 *   session.idle = 15m
 *   route "/admin" { roles = administrator  fresh = 15m }
 *   route "shop.example/hooks" { webhook = yes }
 */
#ifndef MG_PORTS_TENANT_POLICY_FILE_H
#define MG_PORTS_TENANT_POLICY_FILE_H

#include "domain/tenant_policy.h"

#define MG_TENANT_POLICY_FILE_MOST 131072

/* `name` is only for messages. CONFIGURATION with "NAME:LINE: what is wrong and what is allowed". */
CHECKED struct mg_status mg_tenant_policy_parse(const char *name, const char *text,
                                                struct mg_tenant_policy **ret_policy);

/* The same form again: every keyword of the tenant with its explanation, presets commented out, and the
 * routes. What comes out can be read in. */
CHECKED struct mg_status mg_tenant_policy_write(const struct mg_tenant_policy *policy, bool japanese,
                                                struct mg_buffer *text);

#endif
