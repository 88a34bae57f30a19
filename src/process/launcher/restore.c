/* A database brought back from its backups beside the one that runs: restore-N to look at, drill-N for a
 * drill, N the tenant's number. It lies in DIR/postgres like any other and is started by instance_start; it
 * has no archive, no socket for an application, and may read the repository and nothing more of it. */
#include "base/io.h"
#include "base/log.h"
#include "domain/backup_order.h"
#include "process/launcher/confine.h"
#include "process/launcher/launcher.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { RESTORE_MS = 24 * 3600 * 1000, CHECK_MS = 6 * 3600 * 1000, STOP_MS = 20000 };

struct copy {
    struct mg_instance instance;
    struct mg_pgbackrest backup; /* of the database it is a copy of */
    char back[MG_PATH];          /* a repository out of the vault, for this copy alone */
};

static CHECKED struct mg_status
copy_of(uint64_t tenant, uint64_t kind, struct copy *ret_copy)
{
    char name[MG_INSTANCE_NAME], source[MG_INSTANCE_NAME];
    const char *prefix = mg_restore_prefix(kind);
    if (prefix == NULL)
        return fail_with(INVALID, "no such kind of copy");
    if (tenant != 0)
        TRY(tenant_check(tenant));
    (void) snprintf(name, sizeof name, "%s%" PRIu64, prefix, tenant);
    (void) snprintf(source, sizeof source, tenant == 0 ? "control" : "tenant-%" PRIu64, tenant);
    TRY(backup_layout(source, &ret_copy->backup));
    TRY(mg_instance_layout(mg_environment()->directory, mg_environment()->runtime_directory, name,
                           &ret_copy->instance));
    TRY(vault_back_path(name, ret_copy->back));
    ret_copy->instance.uid = places.database_uid;
    ret_copy->instance.gid = places.database_gid;
    return OK;
}

static CHECKED struct mg_status
space_check(const struct copy *copy, uint64_t needed_bytes)
{
    char parent[MG_PATH];
    TRY(mg_path_join(parent, mg_environment()->directory, "postgres"));
    return room_check(parent, copy->instance.name, needed_bytes);
}

static bool
prepare(void *rules_fd)
{
    return confine_enter(*(const int *) rules_fd);
}

static CHECKED struct mg_status
files_restore(const struct copy *copy, mg_instant target, bool from_vault)
{
    struct mg_restore_arguments storage;
    struct mg_program program;
    OWN_FD rules = -1;
    TRY(mg_pgbackrest_restore(&copy->backup, from_vault ? copy->back : NULL, copy->instance.data, target,
                              &storage, &program));
    const struct confine_path paths[] = {
        CONFINE_SYSTEM,
        {copy->backup.directory, CONFINE_READ},
        {copy->backup.locks, CONFINE_READ | CONFINE_WRITE},
        {from_vault ? copy->back : copy->backup.repository, CONFINE_READ},
        {copy->instance.data, CONFINE_READ | CONFINE_WRITE},
    };
    TRY(confine_prepare(paths, MG_COUNT(paths), false, &rules));
    program.uid = places.database_uid;
    program.gid = places.database_gid;
    program.prepare = prepare;
    program.context = &rules;
    return mg_program_succeed(&program, RESTORE_MS, NULL);
}

static CHECKED struct mg_status
copy_remove(const struct copy *copy)
{
    TRY(child_stop(&postgres_kind, copy->instance.name));
    TRY(mg_instance_stop(&copy->instance, STOP_MS));
    TRY(mg_tree_remove(copy->back));
    TRY(mg_tree_remove(copy->instance.socket));
    return mg_tree_remove(copy->instance.directory);
}

MG_HANDLER_PUBLIC(restore_run)
{
    struct copy copy;
    TRY(copy_of(request->tenant, request->kind, &copy));
    if (access(copy.instance.directory, F_OK) == 0)
        return fail_with(EXISTS, "%s; end it with `masugata restore --discard`", copy.instance.name);
    if (!request->from_vault) /* left by a fetch that was killed: the copy would read that one */
        TRY(mg_tree_remove(copy.back));
    TRY(space_check(&copy, request->needed_bytes));
    TRY(owned_directory(copy.instance.directory, places.root ? 0711 : 0700, MG_SAME_UID, MG_SAME_GID));
    TRY(owned_directory(copy.instance.data, 0700, places.database_uid, places.database_gid));
    const struct mg_status status = files_restore(&copy, request->target, request->from_vault);
    if (!mg_ok(status)) {
        char detail[512];
        (void) snprintf(detail, sizeof detail, "%s", status.detail);
        TRY(copy_remove(&copy));
        return mg_fail_with(status.code, status.where, "%s", detail);
    }
    return mg_answer_restore_run(call, &(struct mg_reply_restore_run){0});
}

MG_HANDLER_PUBLIC(restore_remove)
{
    struct copy copy;
    TRY(copy_of(request->tenant, request->kind, &copy));
    TRY(copy_remove(&copy));
    return mg_answer_restore_remove(call, &(struct mg_reply_restore_remove){0});
}

/* Every page of a copy that was stopped. */
MG_HANDLER_PUBLIC(restore_check)
{
    struct copy copy;
    OWN_FD rules = -1;
    TRY(copy_of(request->tenant, request->kind, &copy));
    TRY(child_stop(&postgres_kind, copy.instance.name));
    const char *const arguments[] = {mg_instance_checksums_program(), "--check", "-D", copy.instance.data,
                                     NULL};
    struct mg_program program = {.arguments = arguments,
                                 .uid = places.database_uid,
                                 .gid = places.database_gid,
                                 .output_fd = -1,
                                 .ends_with_caller = true,
                                 .prepare = prepare,
                                 .context = &rules};
    const struct confine_path paths[] = {CONFINE_SYSTEM, {copy.instance.data, CONFINE_READ | CONFINE_WRITE}};
    TRY(confine_prepare(paths, MG_COUNT(paths), false, &rules));
    TRY(mg_program_succeed(&program, CHECK_MS, NULL));
    return mg_answer_restore_check(call, &(struct mg_reply_restore_check){0});
}
