/* The verb `policy` of masugata tenant (src/cli/tenant.c). */
#ifndef MG_CLI_TENANT_POLICY_H
#define MG_CLI_TENANT_POLICY_H

#include "cli/cli.h"
#include "ports/tenant_policy_file.h"

/* Prints the policy of the tenant that cli->argv[2] names, or replaces it by that of `file` ("-" is the
 * standard input); NULL prints. */
CHECKED struct mg_status mg_cli_tenant_policy(const struct mg_cli *cli, struct mg_admin *admin,
                                              const char *file);

/* The policy of a tenant that runs. */
CHECKED struct mg_status mg_cli_tenant_policy_fetch(const struct mg_cli *cli, struct mg_admin *admin,
                                                    const char *tenant, struct mg_tenant_policy **ret_policy);

/* Puts this policy in the place of the tenant's. */
CHECKED struct mg_status mg_cli_tenant_policy_send(const struct mg_cli *cli, struct mg_admin *admin,
                                                   const char *tenant, const struct mg_tenant_policy *policy);

#endif
