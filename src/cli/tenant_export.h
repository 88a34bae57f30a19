/* masugata tenant export: everything that is kept of a tenant, in files that other programs read.
 * tenant_export.c says what, tenant_export_files.c makes the files and the manifest. */
#ifndef MG_CLI_TENANT_EXPORT_H
#define MG_CLI_TENANT_EXPORT_H

#include "cli/people.h"
#include "ports/program.h"

/* What becomes manifest.json: each file is in it with its size and SHA-256 once it is closed. */
struct mg_export {
    const struct mg_cli *cli;
    const char *directory; /* "/proc/self/fd/N" */
    const char *shown;     /* as it was named */
    const char *tenant;
    struct mg_buffer *files; /* JSON objects, separated by commas */
    bool any;
};

/* Makes the directory if it is not there (*ret_made), closes it to everybody else, and opens it: what is
 * written goes by that descriptor, wherever the name leads later. REFUSED if it is another's, EXISTS if
 * anything is in it. */
CHECKED struct mg_status mg_export_begin(const char *directory, bool *ret_made, int *ret_fd);
/* DISK_FULL with both figures if fewer bytes than that are free there. */
CHECKED struct mg_status mg_export_room(const struct mg_export *export, uint64_t needed_bytes);
/* Takes away whatever an export makes there; then `made`, unless that is NULL. */
void mg_export_discard(const char *directory, const char *made);

/* A file of the export, which must not exist; `name` is relative, directories in it are made. */
CHECKED struct mg_status mg_export_file(const struct mg_export *export, const char *name, int *ret_fd);
/* Syncs it and adds it to the manifest; `facts` is JSON to stand beside, such as ",\"rows\":3", or "". */
CHECKED struct mg_status mg_export_add(struct mg_export *export, const char *name, int fd, const char *facts);
/* Both around a program whose standard output is the file. */
CHECKED struct mg_status mg_export_program(struct mg_export *export, const char *name,
                                           struct mg_program *program, const char *facts);
/* The same with a subcommand of this program and its JSON: `words` ends with NULL. */
CHECKED struct mg_status mg_export_command(struct mg_export *export, const char *name,
                                           const char *const *words);
/* Puts a whole file in its place in one step; the manifest and its proof, which come last. */
CHECKED struct mg_status mg_export_last(const struct mg_export *export, const char *name,
                                        struct mg_view bytes);

/* The verb itself: argv[2] of `cli` is the tenant. */
CHECKED struct mg_status mg_cli_tenant_export(const struct mg_cli *cli, struct mg_admin *admin,
                                              const char *directory);

#endif
