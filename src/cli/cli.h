/* What the subcommands share: the common options, output, and talking to the running processes.
 *
 * Common options, in any place after the subcommand: --dir DIR (default: $MASUGATA_DIR, else
 * ./masugata-state, else /var/lib/masugata if it exists), --json, --lang ja|en (default: from
 * LC_ALL/LC_MESSAGES/LANG), --help. */
#ifndef MG_CLI_H
#define MG_CLI_H

#include "ports/configuration.h"

#include <stdbool.h>
#include <stdio.h>

struct mg_cli {
    const char *directory;
    bool json, japanese, help;
    int argc; /* what is left, argv[0] is the subcommand */
    char **argv;
};

/* One option of a subcommand, for mg_cli_read. A row without a name ends the table. */
struct mg_cli_option {
    const char *name;   /* "--label" */
    const char **value; /* takes a value */
    bool *flag;         /* takes none */
};

/* Takes the common options and those of the table out of argv. USAGE for unknown ones. */
CHECKED struct mg_status mg_cli_read(struct mg_cli *cli, int argc, char **argv,
                                     const struct mg_cli_option *options);

/* Picks by language: mg_cli_say(cli, "tenant", "テナント"). */
static inline const char *
mg_cli_say(const struct mg_cli *cli, const char *english, const char *japanese)
{
    return cli->japanese ? japanese : english;
}

/* Prints the error (as JSON with --json) with what, where and what to do; returns its exit code. */
int mg_cli_fail(const struct mg_cli *cli, struct mg_status status);

/* --help: usage line and text, each in both languages. Returns 0. */
int mg_cli_help(const struct mg_cli *cli, const char *usage, const char *english, const char *japanese);

/* The deployment of --dir; its configuration is read. NOT_FOUND with what to do if there is none. */
CHECKED struct mg_status mg_cli_deployment(const struct mg_cli *cli, struct mg_options **ret_options,
                                           struct mg_deployment *ret_deployment);

/* As root: the system users of the processes that are missing. */
CHECKED struct mg_status mg_cli_users_make(void);
/* Makes the state directory with this configuration (and the users); EXISTS if there is one. */
CHECKED struct mg_status mg_cli_directory_make(const char *directory, struct mg_view configuration);

/* A table for people: columns are padded by display width (East Asian wide characters count two).
 * Rows are added cell by cell. */
struct mg_cli_table;
CHECKED struct mg_status mg_cli_table_new(size_t columns, const char *const *titles,
                                          struct mg_cli_table **ret_table);
CHECKED struct mg_status mg_cli_table_cell(struct mg_cli_table *table, struct mg_view text);
void mg_cli_table_print(const struct mg_cli_table *table, FILE *out);
void mg_cli_table_drop(struct mg_cli_table **table);

/* ---- requests to the running processes ----
 * mg_admin_<request>(admin, &request, &reply, &storage): connects when needed (to the authority's
 * admin.sock, the warden's or the prober's socket, by the row's receiver), sends, waits at most 60 s.
 * NOT_RUNNING when nobody listens. Only rows with CLI among the senders work. The reply borrows
 * storage (give it a maximum of MG_PACKET_MOST). */
struct mg_admin {
    struct mg_deployment deployment;
    int authority_fd, warden_fd, prober_fd;
};
CHECKED struct mg_status mg_admin_open(const struct mg_cli *cli, struct mg_admin **ret_admin);
void mg_admin_drop(struct mg_admin **admin);

#define MESSAGE(name, senders, receiver, maximum, fields)                             \
    CHECKED struct mg_status mg_admin_##name(struct mg_admin *admin,                  \
                                             const struct mg_request_##name *request, \
                                             struct mg_reply_##name *ret_reply, struct mg_buffer *storage);
#define REPLY(name, maximum, fields)
#define RECORD(name, fields)
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD

/* Subcommands. */
#define COMMAND(word, function, english, japanese) int function(int argc, char **argv);
#include "../../catalogue/commands.def"
#undef COMMAND

#endif
