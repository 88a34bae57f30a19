/* What `masugata backup`, `restore` and `drill` share. A tenant's name "" is Masugata's own database. */
#ifndef MG_CLI_BACKUP_H
#define MG_CLI_BACKUP_H

#include "cli/people.h"
#include "domain/backup_order.h"

#define MG_CLI_BACKUP_NAMES 2000
struct mg_cli_backup_names {
    char list[MG_CLI_BACKUP_NAMES][64];
    size_t count;
};
/* Appends the names of all tenants. */
CHECKED struct mg_status mg_cli_backup_tenants(const struct mg_cli *cli, struct mg_admin *admin,
                                               struct mg_cli_backup_names *names);
/* As people read it. */
const char *mg_cli_backup_shown(const char *name);
CHECKED struct mg_status mg_cli_backup_look(const struct mg_cli *cli, struct mg_admin *admin,
                                            const char *name, struct mg_reply_backup_look *ret_reply,
                                            struct mg_buffer *storage);
/* Gives an order (enum mg_backup_order), waiting for one that is under way. */
CHECKED struct mg_status mg_cli_backup_order(const struct mg_cli *cli, struct mg_admin *admin,
                                             const char *name, uint64_t what, mg_instant target,
                                             uint64_t *ret_number);
/* Until it is done; fails as the order failed. */
CHECKED struct mg_status mg_cli_backup_await(const struct mg_cli *cli, struct mg_admin *admin,
                                             const char *name, uint64_t number, char result[512]);

/* backup_metrics.c: figures for monitoring, as OpenMetrics. */
CHECKED struct mg_status mg_cli_backup_metrics(const struct mg_cli *cli, struct mg_admin *admin,
                                               const struct mg_cli_backup_names *names);

/* A subcommand without verbs. */
struct mg_cli_plain {
    struct mg_status (*run)(const struct mg_cli *cli, struct mg_admin *admin);
    const struct mg_cli_option *options;
    const char *usage, *en, *ja;
};
int mg_cli_plain_run(const struct mg_cli_plain *plain, int argc, char **argv);

#endif
