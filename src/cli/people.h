/* What the subcommands tenant, user and session share: verbs, outcomes as errors, rows as JSON. */
#ifndef MG_CLI_PEOPLE_H
#define MG_CLI_PEOPLE_H

#include "cli/cli.h"
#include "domain/outcome.h"

/* The second word of a subcommand and what runs it; the words after it are in cli->argv from 2 on. */
struct mg_cli_verb {
    const char *word;
    struct mg_status (*run)(const struct mg_cli *cli, struct mg_admin *admin);
    int least, most; /* number of words after the verb */
};
/* Reads argv, shows the help, opens the admin socket and runs the verb; returns the exit code. */
struct mg_cli_verbs {
    const struct mg_cli_verb *rows;
    size_t count;
    const struct mg_cli_option *options;
    const char *usage, *en, *ja;
};
/* A status with this detail has been told already: only its exit code counts. */
extern const char mg_cli_told[];
int mg_cli_verb_run(const struct mg_cli_verbs *verbs, int argc, char **argv);

/* OK for GRANTED; otherwise the error of that kind, with the outcome's text and the reason. */
CHECKED struct mg_status mg_cli_outcome(const struct mg_cli *cli, uint64_t outcome, struct mg_view reason);

/* "active", "suspended", "locked", "invited", "preparing": in JSON always so, in tables in the reader's
 * language. */
const char *mg_cli_state_name(const struct mg_cli *cli, uint64_t state);

/* Says what was done: the text, or {"done":true,NAME:number} with --json. */
void mg_cli_done(const struct mg_cli *cli, const char *english, const char *japanese, const char *name,
                 uint64_t number);

/* A list printed as it comes in: a table, or {"NAME":[{…},…]}. Cells are added in the columns' order. */
struct mg_cli_column {
    const char *json, *en, *ja;
    bool number; /* JSON without quotes */
};
struct mg_cli_list {
    const struct mg_cli *cli;
    const char *name;
    const struct mg_cli_column *columns;
    size_t count, at;
    bool any;
    struct mg_cli_table *table;
    struct mg_buffer json; /* the row at hand */
};
CHECKED struct mg_status mg_cli_list_begin(const struct mg_cli *cli, const char *name,
                                           const struct mg_cli_column *columns, size_t count,
                                           struct mg_cli_list *list);
CHECKED struct mg_status mg_cli_list_cell(struct mg_cli_list *list, struct mg_view text);
CHECKED struct mg_status mg_cli_list_number(struct mg_cli_list *list, uint64_t number);
/* RFC 3339; "" (null in JSON) for 0; "until unlocked" for the end of time. */
CHECKED struct mg_status mg_cli_list_instant(struct mg_cli_list *list, mg_instant instant);
void mg_cli_list_end(struct mg_cli_list *list);
void mg_cli_list_drop(struct mg_cli_list *list);

/* A password from standard input, one line without its line break. */
CHECKED struct mg_status mg_cli_password_read(struct mg_buffer *password);

/* src/cli/user_import.c */
CHECKED struct mg_status mg_cli_user_import(const struct mg_cli *cli, struct mg_admin *admin,
                                            const char *tenant, const char *path);

#endif
