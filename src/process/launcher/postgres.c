/* PostgreSQL instances: instance_start and instance_stop. */
#include "base/io.h"
#include "base/log.h"
#include "domain/backup_order.h"
#include "process/launcher/confine.h"
#include "process/launcher/launcher.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

enum { READY_MS = 60000, STOP_MS = 20000 };

static const char tenant_prefix[] = "tenant-";

/* The instance a request speaks of; role names borrow the request. */
struct wanted {
    struct mg_instance instance;
    struct mg_pgbackrest backup;
    bool backed_up;           /* `backup` is filled: its paths can be used */
    bool copy;                /* restored; its backups are those of another */
    char repository[MG_PATH]; /* that its log goes to, or comes from */
    char names[MG_INSTANCE_ROLES_MOST][2][64];
};

static struct mg_status
roles_read(struct mg_list roles, struct wanted *wanted)
{
    struct mg_record_instance_role role;
    bool more;
    for (;;) {
        TRY(mg_list_next_instance_role(&roles, &role, &more));
        if (!more)
            return OK;
        const size_t at = wanted->instance.role_count;
        if (at >= MG_INSTANCE_ROLES_MOST)
            return fail_with(TOO_LARGE, "more than %d roles", MG_INSTANCE_ROLES_MOST);
        const struct mg_view texts[2] = {role.role, role.database};
        for (size_t i = 0; i < 2; i++) {
            /* They stand in pg_hba.conf in double quotes; anything but a plain word is refused. */
            TRY(mg_view_copy(texts[i], wanted->names[at][i], sizeof wanted->names[at][i]));
            const char *name = wanted->names[at][i];
            if (name[0] == '\0' || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(name))
                return fail_with(INVALID, "role or database name \"%s\"", name);
        }
        wanted->instance.roles[at] =
            (struct mg_instance_role){.role = wanted->names[at][0], .database = wanted->names[at][1]};
        wanted->instance.role_count++;
    }
}

/* A database brought back beside the one that runs: launcher/restore.c. */
static bool
is_copy(const char *name, uint64_t tenant)
{
    for (uint64_t kind = MG_RESTORE_NONE + 1; kind < MG_RESTORE_KIND_COUNT; kind++) {
        char expected[MG_INSTANCE_NAME];
        (void) snprintf(expected, sizeof expected, "%s%llu", mg_restore_prefix(kind),
                        (unsigned long long) tenant);
        if (strcmp(name, expected) == 0)
            return true;
    }
    return false;
}

static struct mg_status
wanted_read(const struct mg_request_instance_start *request, struct wanted *ret_wanted)
{
    char name[MG_INSTANCE_NAME], expected[MG_INSTANCE_NAME];
    const struct mg_environment *environment = mg_environment();
    *ret_wanted = (struct wanted){.instance = {.role_count = 0}};
    TRY(mg_view_copy(request->name, name, sizeof name));
    if (request->tenant != 0)
        TRY(tenant_check(request->tenant));
    if (request->tenant == 0)
        (void) snprintf(expected, sizeof expected, "control");
    else
        (void) snprintf(expected, sizeof expected, "%s%llu", tenant_prefix,
                        (unsigned long long) request->tenant);
    ret_wanted->copy = is_copy(name, request->tenant);
    if (strcmp(name, expected) != 0 && !ret_wanted->copy)
        return fail_with(INVALID, "instance %s for tenant %llu", name, (unsigned long long) request->tenant);
    /* A database serves also when its backups cannot be made; the worker shows why (the trouble
     * "repository"), and what is not saved stays with the database until it can be. */
    ret_wanted->backed_up = mg_ok(backup_layout(expected, &ret_wanted->backup));
    (void) snprintf(ret_wanted->repository, sizeof ret_wanted->repository, "%s",
                    ret_wanted->backup.repository);
    if (ret_wanted->copy) {
        char back[MG_PATH];
        TRY(vault_back_path(name, back));
        if (access(back, F_OK) == 0)
            memcpy(ret_wanted->repository, back, sizeof back);
    }
    TRY(mg_instance_layout(environment->directory, environment->runtime_directory, name,
                           &ret_wanted->instance));
    struct mg_instance *instance = &ret_wanted->instance;
    instance->uid = places.database_uid;
    instance->gid = places.database_gid;
    instance->socket_group = places.database_gid;
    instance->small = request->tenant != 0;
    if (ret_wanted->copy) /* nobody's application, and no log of its own */
        return roles_read(request->roles, ret_wanted);
    if (request->tenant != 0) {
        char part[64];
        (void) snprintf(part, sizeof part, "app/%llu/database", (unsigned long long) request->tenant);
        TRY(mg_path_join(instance->app_socket, environment->runtime_directory, part));
        instance->app_socket_group = places.root ? (gid_t) application_uid(request->tenant) : MG_SAME_GID;
    }
    if (request->archive_timeout_s == 0 || request->archive_timeout_s > 86400)
        return fail_with(INVALID, "archive timeout of %s", name);
    OWN_BUFFER(command, sizeof instance->archive_command - 1);
    if (ret_wanted->backed_up && !request->no_archive)
        TRY(mg_pgbackrest_archive_command(&ret_wanted->backup, &command));
    else
        TRY(mg_buffer_add_text(&command, "/bin/false"));
    TRY(mg_view_copy(mg_buffer_view(&command), instance->archive_command, sizeof instance->archive_command));
    instance->archive_timeout_s = (unsigned) request->archive_timeout_s;
    return roles_read(request->roles, ret_wanted);
}

/* `request` as it is remembered: without the password. */
static struct mg_status
wanted_decode(struct mg_view encoded, struct wanted *ret_wanted)
{
    struct mg_request_instance_start request;
    TRY(mg_decode_request_instance_start(encoded, &request));
    return wanted_read(&request, ret_wanted);
}

/* ---- the child ------------------------------------------------------------------------------ */

static struct mg_status
postgres_start(struct mg_view request, int pid_fd, struct mg_process_mark *ret_mark)
{
    struct wanted wanted;
    TRY(wanted_decode(request, &wanted));
    const struct mg_instance *instance = &wanted.instance;
    /* One that an earlier launcher started just before it could note its pid. */
    if (mg_ok(mg_instance_find(instance, ret_mark)))
        return OK;
    OWN_FD log = -1;
    OWN_FD rules = -1;
    TRY(log_open(instance->log, instance->uid, places.root ? places.prober_gid : instance->gid, &log));
    const struct confine_path paths[] = {
        CONFINE_SYSTEM,
        {instance->directory, CONFINE_READ},
        {instance->data, CONFINE_READ | CONFINE_WRITE},
        {instance->socket, CONFINE_READ | CONFINE_WRITE},
        {instance->app_socket[0] != '\0' ? instance->app_socket : instance->socket,
         CONFINE_READ | CONFINE_WRITE},
        /* It runs archive_command by itself. */
        {wanted.backup.directory, CONFINE_READ},
        {wanted.backup.locks, CONFINE_READ | CONFINE_WRITE},
        {wanted.repository, wanted.copy ? CONFINE_READ : CONFINE_READ | CONFINE_WRITE},
    };
    /* Without the repository: it may be on a disk that is away, where even opening fails. */
    const bool repository = wanted.backed_up && access(wanted.repository, R_OK) == 0;
    const size_t count = MG_COUNT(paths) - (repository ? 0 : wanted.backed_up ? 1 : 3);
    TRY(confine_prepare(paths, count, instance->loopback_port != 0, &rules));
    struct child_preparation preparation = {.pid_fd = pid_fd, .rules_fd = rules};
    struct mg_instance_arguments storage;
    struct mg_program program = mg_instance_program(instance, &storage);
    program.output_fd = log;
    program.prepare = child_prepare;
    program.context = &preparation;
    pid_t pid = 0;
    TRY(mg_program_start(&program, &pid));
    return mg_process_mark(pid, ret_mark);
}

static bool
postgres_is_it(struct mg_view request, pid_t pid)
{
    struct wanted wanted;
    struct mg_process_mark mark;
    return mg_ok(wanted_decode(request, &wanted)) && mg_ok(mg_instance_find(&wanted.instance, &mark)) &&
           mark.pid == pid;
}

static struct mg_status
postgres_stop(struct mg_view request, const struct mg_process_mark *mark)
{
    struct wanted wanted;
    (void) mark;
    TRY(wanted_decode(request, &wanted));
    return mg_instance_stop(&wanted.instance, STOP_MS);
}

const struct child_kind postgres_kind = {
    .label = "postgres",
    .start = postgres_start,
    .is_it = postgres_is_it,
    .stop = postgres_stop,
};

/* ---- what is asked --------------------------------------------------------------------------- */

/* The file system of the instance is laid out here, not at each restart: a restart must be quick. */
static struct mg_status
instance_make(const struct mg_request_instance_start *request, const struct wanted *wanted, bool *ret_created)
{
    if (wanted->copy && !mg_instance_exists(&wanted->instance))
        return fail_with(NOT_FOUND, "%s was not restored", wanted->instance.name);
    if (request->tenant != 0 && !wanted->copy)
        TRY(application_directories(request->tenant));
    if (wanted->backed_up) {
        const struct mg_status status = backup_directories(&wanted->backup);
        if (!mg_ok(status)) /* told by the worker's first look at it; the database serves meanwhile */
            mg_log_status(MG_WARNING, wanted->backup.name, status);
    }
    const bool created = !mg_instance_exists(&wanted->instance);
    const int64_t start_ms = mg_monotonic_ms();
    TRY(mg_instance_prepare(&wanted->instance, request->superuser_password));
    if (created)
        mg_log(MG_INFO, "made instance %s in %lld ms", wanted->instance.name,
               (long long) (mg_monotonic_ms() - start_ms));
    *ret_created = created;
    return OK;
}

MG_HANDLER_PUBLIC(instance_start)
{
    struct wanted wanted;
    bool created = false;
    TRY(wanted_read(request, &wanted));
    TRY(instance_make(request, &wanted, &created));
    struct mg_request_instance_start remembered = *request;
    remembered.superuser_password = MG_VIEW_EMPTY;
    OWN_BUFFER(encoded, 8192);
    TRY(mg_encode_request_instance_start(&remembered, &encoded));
    struct mg_process_mark mark;
    TRY(child_run(&postgres_kind, wanted.instance.name, mg_buffer_view(&encoded), &mark));
    TRY(mg_instance_await(&wanted.instance, &mark, READY_MS));
    /* Roles may have come or gone since it was started. */
    TRY(mg_instance_reload(&wanted.instance));
    const struct mg_reply_instance_start reply = {
        .created = created,
        .socket = mg_view_text(wanted.instance.socket),
        .app_socket = mg_view_text(wanted.instance.app_socket),
        .app_uid = (uint64_t) (places.root ? application_uid(request->tenant) : geteuid()),
    };
    return mg_answer_instance_start(call, &reply);
}

MG_HANDLER_PUBLIC(instance_stop)
{
    char name[MG_INSTANCE_NAME];
    TRY(mg_view_copy(request->name, name, sizeof name));
    TRY(child_stop(&postgres_kind, name));
    return mg_answer_instance_stop(call, &(struct mg_reply_instance_stop){0});
}
