/* The demo: what `masugata up --demo` adds to an empty deployment. */
#ifndef MG_CLI_DEMO_H
#define MG_CLI_DEMO_H

#include "cli/cli.h"

/* Makes the state directory with the demo's configuration. */
CHECKED struct mg_status mg_cli_demo_make(const struct mg_cli *cli);

/* Adds the sample tenants, users and applications unless they exist, and prints addresses and
 * logins. Passwords are random and printed this once. */
/* With --json nothing is printed: what people would read is appended to `json` as members of an object. */
CHECKED struct mg_status mg_cli_demo_fill(const struct mg_cli *cli, const struct mg_options *options,
                                          struct mg_buffer *json);

/* Adds the first `count` sample tenants and their users, and prints nothing: nobody gets to know the
 * passwords. Returns when their databases serve. */
CHECKED struct mg_status mg_cli_demo_customers(const struct mg_cli *cli, struct mg_admin *admin,
                                               size_t count);

#endif
