/* pgBackRest: its configuration on tmpfs, and one run at a time of a fixed argument list, as the database uid
 * and confined to what that run may touch. It dies with us: a backup that was cut short is begun again by the
 * worker, and what it left behind pgBackRest removes itself. */
#include "base/io.h"
#include "base/log.h"
#include "process/launcher/confine.h"
#include "process/launcher/launcher.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    TOLD_MOST = 32 << 20,
    FILES_MS = 6 * 3600 * 1000,
    QUICK_MS = 300000,
    PROGRESS_MS = 2000,
    LONG_MS = 24 * 3600 * 1000
};

struct mg_status
backup_layout(const char *name, struct mg_pgbackrest *ret_layout)
{
    const struct mg_environment *environment = mg_environment();
    return mg_pgbackrest_layout(environment->directory, environment->runtime_directory,
                                environment->options->backup_near_path, name, ret_layout);
}

static CHECKED struct mg_status
repository_parent_make(const char *repository)
{
    char parent[MG_PATH];
    const char *slash = strrchr(repository, '/');
    TRY(mg_view_copy(mg_view_of(repository, (size_t) (slash - repository)), parent, sizeof parent));
    /* One that is there is the operator's: its owner and mode stay. */
    if (access(parent, F_OK) == 0)
        return OK;
    return owned_directory(parent, 0711, MG_SAME_UID, MG_SAME_GID);
}

/* What is confined to them later must be there before. */
struct mg_status
backup_directories(const struct mg_pgbackrest *layout)
{
    /* Ours: the database uid may read the files that are given to it, and put none there. */
    TRY(owned_directory(layout->directory, places.root ? 0711 : 0700, MG_SAME_UID, MG_SAME_GID));
    TRY(owned_directory(layout->locks, 0700, places.database_uid, places.database_gid));
    TRY(repository_parent_make(layout->repository));
    return owned_directory(layout->repository, 0700, places.database_uid, places.database_gid);
}

struct mg_status
room_check(const char *path, const char *name, uint64_t needed_bytes)
{
    /* That stays for everybody else on the disk. */
    static const uint64_t spare_bytes = UINT64_C(256) << 20;
    struct statvfs disk;
    if (statvfs(path, &disk) != 0)
        return fail_errno("free space of %s", path);
    const uint64_t free_bytes = (uint64_t) disk.f_bavail * disk.f_frsize;
    if (free_bytes / 2 < needed_bytes / 2 + spare_bytes / 2)
        return fail_with(DISK_FULL,
                         "%s needs %" PRIu64 " MiB and there are %" PRIu64 " MiB; nothing was begun", name,
                         (needed_bytes + spare_bytes) >> 20, free_bytes >> 20);
    return OK;
}

/* "control" of tenant 0, "tenant-N" of tenant N. */
struct mg_status
backup_layout_of(struct mg_view name, uint64_t tenant, struct mg_pgbackrest *ret_layout)
{
    char expected[48];
    if (tenant != 0)
        TRY(tenant_check(tenant));
    (void) snprintf(expected, sizeof expected, tenant == 0 ? "control" : "tenant-%llu",
                    (unsigned long long) tenant);
    if (!mg_view_is(name, expected))
        return fail_with(INVALID, "instance %.*s for tenant %llu", (int) name.length,
                         (const char *) name.bytes, (unsigned long long) tenant);
    return backup_layout(expected, ret_layout);
}

MG_HANDLER_PUBLIC(backup_prepare)
{
    struct mg_pgbackrest layout;
    OWN_BUFFER(configuration, 16384);
    OWN_BUFFER(passwords, 512);
    TRY(backup_layout_of(request->name, request->tenant, &layout));
    TRY(backup_directories(&layout));
    TRY(mg_pgbackrest_configuration(&layout, request->passphrase, &configuration));
    TRY(mg_pgbackrest_passwords(request->password, &passwords));
    TRY(mg_file_replace_owned(layout.passwords, mg_buffer_view(&passwords), 0400, places.database_uid,
                              places.database_gid));
    TRY(mg_file_replace_owned(layout.configuration, mg_buffer_view(&configuration), 0400, places.database_uid,
                              places.database_gid));
    return mg_answer_backup_prepare(call, &(struct mg_reply_backup_prepare){0});
}

/* An answer longer than a message may be goes to a file that the worker may read, whole or not at all. */
static CHECKED struct mg_status
told_run(const struct mg_pgbackrest *layout, struct mg_program *program, const char *path, int timeout_ms)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    OWN_FD output = memfd_create("told", MFD_CLOEXEC);
    OWN_BUFFER(text, TOLD_MOST);
    int exit_code = 0;
    if (output < 0)
        return fail_errno("memfd");
    program->output_fd = output;
    TRY(mg_program_run(program, timeout_ms, &exit_code));
    if (exit_code != 0)
        return fail_with(SYSTEM, "the repository of %s could not be read (code %d)", layout->name, exit_code);
    if (lseek(output, 0, SEEK_SET) != 0)
        return fail_errno("seek");
    TRY(mg_fd_read_all(output, &text));
    (void) pthread_mutex_lock(&one_at_a_time);
    const struct mg_status status = mg_file_replace_owned(path, mg_buffer_view(&text), 0640,
                                                          places.root ? 0 : MG_SAME_UID, places.worker_gid);
    (void) pthread_mutex_unlock(&one_at_a_time);
    return status;
}

static bool
prepare(void *rules_fd)
{
    return confine_enter(*(const int *) rules_fd);
}

static CHECKED struct mg_status
verb_run(const struct mg_pgbackrest *layout, enum mg_pgbackrest_verb verb, struct mg_view label,
         uint64_t number)
{
    struct mg_pgbackrest_arguments storage;
    struct mg_program program;
    OWN_FD rules = -1;
    TRY(mg_pgbackrest_program(layout, verb, label, number, &storage, &program));
    const struct confine_path paths[] = {
        CONFINE_SYSTEM,
        {layout->directory, CONFINE_READ},
        {layout->locks, CONFINE_READ | CONFINE_WRITE},
        {layout->repository, CONFINE_READ | CONFINE_WRITE},
        {layout->data, CONFINE_READ},
        {layout->socket, CONFINE_READ},
    };
    TRY(confine_prepare(paths, MG_COUNT(paths), false, &rules));
    program.uid = places.database_uid;
    program.gid = places.database_gid;
    program.prepare = prepare;
    program.context = &rules;
    if (verb == MG_PGBACKREST_INFO)
        return told_run(layout, &program, layout->info, QUICK_MS);
    if (verb == MG_PGBACKREST_PROGRESS)
        return told_run(layout, &program, layout->progress, PROGRESS_MS);
    const bool is_long = verb == MG_PGBACKREST_FULL || verb == MG_PGBACKREST_DIFFERENTIAL;
    if (is_long) /* a full disk would stop the log as well, and then the database */
        TRY(room_check(layout->repository, layout->name, number));
    return mg_program_succeed(&program, is_long ? LONG_MS : QUICK_MS, NULL);
}

MG_HANDLER_PUBLIC(backup_run)
{
    struct mg_pgbackrest layout;
    TRY(backup_layout_of(request->name, request->tenant, &layout));
    TRY(backup_directories(&layout));
    TRY(verb_run(&layout, (enum mg_pgbackrest_verb) request->verb, request->label, request->number));
    return mg_answer_backup_run(call, &(struct mg_reply_backup_run){0});
}

MG_HANDLER_PUBLIC(backup_files)
{
    struct mg_pgbackrest layout;
    struct mg_digest_arguments storage;
    struct mg_program program;
    OWN_FD rules = -1;
    TRY(backup_layout_of(request->name, request->tenant, &layout));
    mg_pgbackrest_digests(&layout, request->since_s, &storage, &program);
    const struct confine_path paths[] = {CONFINE_SYSTEM, {layout.repository, CONFINE_READ}};
    TRY(confine_prepare(paths, MG_COUNT(paths), false, &rules));
    program.uid = places.database_uid;
    program.gid = places.database_gid;
    program.prepare = prepare;
    program.context = &rules;
    TRY(told_run(&layout, &program, layout.files, FILES_MS));
    return mg_answer_backup_files(call, &(struct mg_reply_backup_files){0});
}
