/* masugata-vault: one run over the vault of one instance, as the database uid, started by the launcher and
 * confined to that instance's files. It reads what may have been changed by others, and talks to nobody: its
 * key comes as descriptor 3, what it did goes to its output, lines "WORD VALUE" and, if it failed, last one
 * beginning with '!'.
 *
 *   masugata-vault VERB REPOSITORY STORE LIST TARGET ID GENERATION BYTES_MOST BYTES_PER_SECOND
 *                  DIGEST */
#include "base/io.h"
#include "base/secret.h"
#include "ports/vault_mirror.h"

#include <stdio.h>
#include <unistd.h>

enum { ARGUMENTS = 10, KEY_FD = 3 };

static CHECKED struct mg_status
key_read(uint8_t key[MG_VAULT_KEY])
{
    size_t length = 0;
    OWN_FD fd = KEY_FD;
    while (length < MG_VAULT_KEY) {
        const ssize_t got = read(fd, key + length, MG_VAULT_KEY - length);
        if (got <= 0)
            return fail_with(INVALID, "no key");
        length += (size_t) got;
    }
    return OK;
}

static CHECKED struct mg_status
run_read(char **arguments, struct mg_vault_run *run)
{
    for (uint64_t verb = MG_VAULT_NONE + 1; verb < MG_VAULT_VERB_COUNT; verb++)
        if (strcmp(arguments[0], mg_vault_verb_word(verb)) == 0)
            run->verb = (enum mg_vault_verb) verb;
    run->repository = arguments[1];
    run->store = arguments[2];
    run->list = arguments[3];
    run->target = arguments[4];
    if (strcmp(arguments[5], "-") != 0)
        TRY(mg_view_copy(mg_view_text(arguments[5]), run->id, sizeof run->id));
    TRY(mg_parse_u64(mg_view_text(arguments[6]), INT64_MAX, &run->generation));
    TRY(mg_parse_u64(mg_view_text(arguments[7]), INT64_MAX, &run->bytes_most));
    if (strcmp(arguments[9], "-") != 0)
        TRY(mg_view_copy(mg_view_text(arguments[9]), run->digest, sizeof run->digest));
    return mg_parse_u64(mg_view_text(arguments[8]), INT64_MAX, &run->pace.bytes_per_s);
}

static CHECKED struct mg_status
run_all(char **arguments, struct mg_vault_run *run)
{
    MG_CLEANUP(mg_vault_result_drop) struct mg_vault_result result = {.generation = 0};
    OWN_BUFFER(text, 16384);
    TRY(run_read(arguments, run));
    TRY(key_read(run->key));
    const struct mg_status status = mg_vault_mirror(run, &result);
    char detail[300];
    (void) snprintf(detail, sizeof detail, "%s", status.detail);
    if (mg_ok(mg_vault_result_write(&result, &text)))
        (void) mg_ok(mg_fd_write_all(STDOUT_FILENO, mg_buffer_view(&text)));
    return mg_ok(status) ? OK : mg_fail_with(status.code, status.where, "%s", detail);
}

int
main(int argc, char **argv)
{
    struct mg_vault_run run = {.verb = MG_VAULT_NONE};
    const struct mg_status status =
        argc == ARGUMENTS + 1 ? run_all(argv + 1, &run) : fail_with(USAGE, "arguments");
    mg_wipe(run.key, sizeof run.key);
    if (mg_ok(status))
        return 0;
    (void) printf("!%s\n", status.detail[0] != '\0' ? status.detail : mg_error_row(status.code)->en);
    return (int) status.code;
}
