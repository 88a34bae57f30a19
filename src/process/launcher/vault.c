/* The vault of an instance: masugata-vault, once, as the database uid, confined to the instance's repository
 * and its place in the vault, with the key on a descriptor of its own.
 *
 *   VAULT/NAME/              (backup.vault.path) what lies at the other site
 *   DIR/backup/back/COPY/    a repository that was fetched out of it, for one copy
 *   RUN/backup/NAME/wanted   the worker's list, for the database uid to read, while it runs */
#include "base/io.h"
#include "base/log.h"
#include "domain/backup_order.h"
#include "ports/vault_mirror.h"
#include "process/launcher/confine.h"
#include "process/launcher/launcher.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    LIST_MOST = 32 << 20,
    TOLD_MOST = 12000,
    LONG_MS = 6 * 3600 * 1000,
    /* In one run of COPY: then another instance has its turn. */
    COPY_MOST_MIB = 1024,
    COPY_MOST_S = 120,
};

struct vault {
    struct mg_pgbackrest backup;
    enum mg_vault_verb verb;
    char store[MG_PATH], list[MG_PATH], wanted[MG_PATH], back[MG_PATH];
    char id[MG_VAULT_ID], digest[MG_VAULT_LIST];
};

struct mg_status
vault_back_path(const char *name, char path[MG_PATH])
{
    char part[96];
    (void) snprintf(part, sizeof part, "backup/back/%s", name);
    return mg_path_join(path, mg_environment()->directory, part);
}

static CHECKED struct mg_status
vault_of(const struct mg_request_vault_run *request, struct vault *vault)
{
    char part[96], copy[48];
    const char *prefix = mg_restore_prefix(request->kind);
    const char *root = mg_environment()->options->backup_vault_path;
    TRY(backup_layout_of(request->name, request->tenant, &vault->backup));
    if (root == NULL || root[0] != '/')
        return fail_with(UNAVAILABLE, "there is no vault (backup.vault.path)");
    vault->verb = (enum mg_vault_verb) request->verb;
    if (request->verb >= MG_VAULT_VERB_COUNT || mg_vault_verb_word(request->verb) == NULL ||
        request->key.length != MG_VAULT_KEY || (vault->verb == MG_VAULT_FETCH && prefix == NULL))
        return fail_with(INVALID, "nothing that a vault does");
    TRY(mg_view_copy(request->id, vault->id, sizeof vault->id));
    if (strspn(vault->id, "0123456789abcdef") != strlen(vault->id))
        return fail_with(INVALID, "no name of a vault");
    TRY(mg_view_copy(request->list, vault->digest, sizeof vault->digest));
    if (strspn(vault->digest, "0123456789abcdef") != strlen(vault->digest))
        return fail_with(INVALID, "no digest of a list");
    TRY(mg_path_join(vault->store, root, vault->backup.name));
    TRY(mg_path_join(vault->wanted, vault->backup.directory, "wanted"));
    (void) snprintf(part, sizeof part, "worker/backup/%s.files", vault->backup.name);
    TRY(mg_path_join(vault->list, mg_environment()->directory, part));
    (void) snprintf(copy, sizeof copy, "%s%" PRIu64, prefix != NULL ? prefix : "none-", request->tenant);
    return vault_back_path(copy, vault->back);
}

/* The place in the vault is made once: afterwards one that is empty is one that is not mounted. */
static CHECKED struct mg_status
vault_places(const struct vault *vault)
{
    char parent[MG_PATH];
    OWN_BUFFER(list, LIST_MOST);
    const char *root = mg_environment()->options->backup_vault_path;
    if (access(root, F_OK) != 0)
        return fail_with(UNAVAILABLE, "%s is not there", root);
    if (vault->id[0] == '\0' && vault->verb != MG_VAULT_FETCH)
        TRY(owned_directory(vault->store, 0700, places.database_uid, places.database_gid));
    TRY(backup_directories(&vault->backup));
    TRY(mg_file_read_of(vault->list, places.worker_uid, &list));
    TRY(mg_file_replace_owned(vault->wanted, mg_buffer_view(&list), 0400, places.database_uid,
                              places.database_gid));
    if (vault->verb != MG_VAULT_FETCH)
        return OK;
    TRY(mg_path_join(parent, mg_environment()->directory, "backup/back"));
    TRY(owned_directory(parent, 0711, MG_SAME_UID, MG_SAME_GID));
    TRY(mg_tree_remove(vault->back));
    return owned_directory(vault->back, 0700, places.database_uid, places.database_gid);
}

static bool
prepare(void *rules_fd)
{
    return confine_enter(*(const int *) rules_fd);
}

static CHECKED struct mg_status
vault_program(const struct vault *vault, const struct mg_request_vault_run *request, struct mg_buffer *told,
              int *ret_exit)
{
    char program_path[MG_PATH], generation[24], most[24], rate[24];
    OWN_FD rules = -1;
    OWN_FD output = memfd_create("told", MFD_CLOEXEC);
    if (output < 0)
        return fail_errno("memfd");
    TRY(mg_path_join(program_path, places.programs, "masugata-vault"));
    (void) snprintf(generation, sizeof generation, "%" PRIu64, request->generation);
    const uint64_t bytes_per_s = (uint64_t) mg_environment()->options->backup_vault_rate << 10;
    const uint64_t all = (uint64_t) COPY_MOST_MIB << 20, paced = bytes_per_s * COPY_MOST_S;
    (void) snprintf(most, sizeof most, "%" PRIu64, paced != 0 && paced < all ? paced : all);
    (void) snprintf(rate, sizeof rate, "%" PRIu64, bytes_per_s);
    const char *const arguments[] = {program_path,
                                     mg_vault_verb_word(request->verb),
                                     vault->backup.repository,
                                     vault->store,
                                     vault->wanted,
                                     vault->back,
                                     vault->id[0] != '\0' ? vault->id : "-",
                                     generation,
                                     most,
                                     rate,
                                     vault->digest[0] != '\0' ? vault->digest : "-",
                                     NULL};
    const bool fetch = vault->verb == MG_VAULT_FETCH;
    const struct confine_path paths[] = {
        CONFINE_SYSTEM,
        {places.programs, CONFINE_READ | CONFINE_EXECUTE},
        {vault->backup.repository, CONFINE_READ},
        {vault->wanted, CONFINE_READ},
        {vault->store, fetch ? CONFINE_READ : CONFINE_READ | CONFINE_WRITE},
        {fetch ? vault->back : vault->backup.locks, CONFINE_READ | CONFINE_WRITE},
    };
    TRY(confine_prepare(paths, MG_COUNT(paths), false, &rules));
    const struct mg_program program = {.arguments = arguments,
                                       .uid = places.database_uid,
                                       .gid = places.database_gid,
                                       .output_fd = output,
                                       .secret_input = request->key,
                                       .ends_with_caller = true,
                                       .prepare = prepare,
                                       .context = &rules};
    TRY(mg_program_run(&program, LONG_MS, ret_exit));
    if (lseek(output, 0, SEEK_SET) != 0)
        return fail_errno("seek");
    return mg_fd_read_all(output, told);
}

MG_HANDLER_PUBLIC(vault_run)
{
    struct vault vault = {.verb = MG_VAULT_NONE};
    OWN_BUFFER(told, TOLD_MOST);
    int exit_code = 0;
    TRY(vault_of(request, &vault));
    struct mg_status status = vault_places(&vault);
    if (mg_ok(status))
        status = vault_program(&vault, request, &told, &exit_code);
    (void) unlink(vault.wanted); /* where the instance could read it; the next run has its own */
    TRY(status);
    /* 127, 128 and more: it did not come to an end of its own. */
    const struct mg_reply_vault_run reply = {.failure = exit_code < MG_CODE_COUNT ? (uint64_t) exit_code
                                                                                  : (uint64_t) MG_SYSTEM,
                                             .text = mg_buffer_view(&told)};
    return mg_answer_vault_run(call, &reply);
}
