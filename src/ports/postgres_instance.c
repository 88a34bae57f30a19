#include "ports/postgres_instance.h"

#include "base/io.h"
#include "base/time.h"
#include "ports/database.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { INITDB_MS = 120000, POLL_MS = 20, CONFIGURATION_MOST = 16384 };

static bool
name_good(const char *name)
{
    const size_t length = strlen(name);
    return length != 0 && length < MG_INSTANCE_NAME &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length && name[0] != '-';
}

struct mg_status
mg_instance_layout(const char *directory, const char *runtime_directory, const char *name,
                   struct mg_instance *ret_instance)
{
    if (!name_good(name))
        return fail_with(INVALID, "instance name %s", name);
    struct mg_instance instance = {
        .uid = MG_SAME_UID,
        .gid = MG_SAME_GID,
        .socket_group = MG_SAME_GID,
        .app_socket_group = MG_SAME_GID,
    };
    char part[MG_INSTANCE_NAME + 32];
    TRY(mg_view_copy(mg_view_text(name), instance.name, sizeof instance.name));
    (void) snprintf(part, sizeof part, "postgres/%s", name);
    TRY(mg_path_join(instance.directory, directory, part));
    TRY(mg_path_join(instance.data, instance.directory, "data"));
    TRY(mg_path_join(instance.socket, runtime_directory, part));
    (void) snprintf(part, sizeof part, "log/postgres/%s.log", name);
    TRY(mg_path_join(instance.log, directory, part));
    *ret_instance = instance;
    return OK;
}

/* ---- configuration ------------------------------------------------------------------------- */

struct setting {
    const char *name;
    const char *large, *small; /* control; tenant. NULL: the same as large */
};

/* Only what departs from PostgreSQL's defaults, or what must not depend on them. */
static const struct setting settings[] = {
    /* Who may connect */
    {"unix_socket_permissions", "0777", NULL}, /* the directory around the socket decides */
    {"password_encryption", "'scram-sha-256'", NULL},
    {"authentication_timeout", "10s", NULL},
    {"max_connections", "100", "40"},
    {"superuser_reserved_connections", "3", NULL},
    /* Durability: a commit that was answered survives any crash */
    {"fsync", "on", NULL},
    {"synchronous_commit", "on", NULL},
    {"full_page_writes", "on", NULL},
    {"wal_level", "replica", NULL},
    {"max_wal_senders", "4", NULL},
    {"max_replication_slots", "4", NULL},
    {"restart_after_crash", "on", NULL},
    {"recovery_init_sync_method", "syncfs", NULL}, /* one call, not one a file: sooner back after a crash */
    {"checkpoint_completion_target", "0.9", NULL},
    {"max_wal_size", "256MB", "64MB"},
    {"min_wal_size", "32MB", "8MB"},
    /* Memory: hundreds of tenants on one machine (FACTS: 6.4 MiB each when idle) */
    {"shared_buffers", "64MB", "16MB"},
    {"work_mem", "4MB", "2MB"},
    {"maintenance_work_mem", "32MB", "16MB"},
    {"max_worker_processes", "2", NULL},
    {"max_parallel_workers", "0", NULL},
    {"max_logical_replication_workers", "0", NULL},
    {"max_parallel_workers_per_gather", "0", NULL},
    {"autovacuum_max_workers", "2", "1"},
    {"jit", "off", NULL},
    {"huge_pages", "off", NULL},
    /* In the data directory instead of /dev/shm: the server needs no other place (Landlock) */
    {"dynamic_shared_memory_type", "mmap", NULL},
    /* A session that was forgotten may not hold locks for ever */
    {"idle_in_transaction_session_timeout", "60s", NULL},
    {"tcp_keepalives_idle", "60", NULL},
    {"client_connection_check_interval", "5s", NULL},
    /* The log: no statement text and no parameter, they may hold personal data */
    {"log_destination", "'stderr'", NULL},
    {"logging_collector", "off", NULL},
    {"log_line_prefix", "'%m [%p] %q%u@%d '", NULL},
    {"log_timezone", "'UTC'", NULL},
    {"log_statement", "'none'", NULL},
    {"log_min_error_statement", "panic", NULL},
    {"log_error_verbosity", "terse", NULL},
    {"log_parameter_max_length", "0", NULL},
    {"log_parameter_max_length_on_error", "0", NULL},
    {"log_checkpoints", "off", NULL},
    {"timezone", "'UTC'", NULL},
    {"lc_messages", "'C'", NULL},
};

/* 'text' with quotes doubled, the configuration file's own rule. */
static struct mg_status
quoted(struct mg_buffer *text, const char *name, const char *value)
{
    TRY(mg_buffer_format(text, "%s = '", name));
    for (const char *at = value; *at != '\0'; at++)
        TRY(mg_buffer_add_text(text, *at == '\'' ? "''" : (const char[]){*at, '\0'}));
    return mg_buffer_add_text(text, "'\n");
}

static struct mg_status
sockets_add(const struct mg_instance *instance, struct mg_buffer *text)
{
    OWN_BUFFER(list, 2 * MG_PATH + 8);
    /* Inside the list a path stands in double quotes, so that a comma in it is no separator. */
    TRY(mg_buffer_format(&list, "\"%s\"", instance->socket));
    if (instance->app_socket[0] != '\0')
        TRY(mg_buffer_format(&list, ", \"%s\"", instance->app_socket));
    return quoted(text, "unix_socket_directories", mg_buffer_text(&list));
}

struct mg_status
mg_instance_configuration(const struct mg_instance *instance, struct mg_buffer *text)
{
    TRY(mg_buffer_format(text, "# Written by masugata at every start; changes here are lost.\n"));
    TRY(quoted(text, "data_directory", instance->data));
    TRY(quoted(text, "cluster_name", instance->name));
    TRY(sockets_add(instance, text));
    TRY(quoted(text, "listen_addresses", instance->loopback_port != 0 ? "127.0.0.1" : ""));
    /* The number also names the socket file; without TCP all instances may use the same. */
    TRY(mg_buffer_format(text, "port = %u\n", instance->loopback_port != 0 ? instance->loopback_port : 5432));
    TRY(mg_buffer_format(text, "archive_mode = %s\narchive_timeout = %us\n",
                         instance->archive_command[0] != '\0' ? "on" : "off", instance->archive_timeout_s));
    TRY(quoted(text, "archive_command", instance->archive_command));
    for (size_t i = 0; i < MG_COUNT(settings); i++) {
        const bool small = instance->small && settings[i].small != NULL;
        TRY(mg_buffer_format(text, "%s = %s\n", settings[i].name,
                             small ? settings[i].small : settings[i].large));
    }
    return OK;
}

static struct mg_status
role_add(const struct mg_instance *instance, const struct mg_instance_role *role, struct mg_buffer *text)
{
    const bool all = strcmp(role->database, "all") == 0;
    const char *quote = all ? "" : "\"";
    TRY(mg_buffer_format(text, "local %s%s%s \"%s\" scram-sha-256\n", quote, role->database, quote,
                         role->role));
    if (instance->loopback_port == 0)
        return OK;
    return mg_buffer_format(text, "host  %s%s%s \"%s\" 127.0.0.1/32 scram-sha-256\n", quote, role->database,
                            quote, role->role);
}

/* Control: NETWORK_04 */
struct mg_status
mg_instance_authentication(const struct mg_instance *instance, struct mg_buffer *text)
{
    TRY(mg_buffer_format(
        text, "# Written by masugata at every start: one line a role, everything else is refused.\n"));
    const struct mg_instance_role superuser = {.role = MG_INSTANCE_SUPERUSER, .database = "all"};
    /* Never over TCP, not even from here. */
    TRY(mg_buffer_format(text, "local %s \"%s\" scram-sha-256\n", superuser.database, superuser.role));
    for (size_t i = 0; i < instance->role_count; i++)
        TRY(role_add(instance, &instance->roles[i], text));
    return mg_buffer_add_text(text, "local all all reject\n"
                                    "host  all all all reject\n"
                                    "local replication all reject\n"
                                    "host  replication all all reject\n");
}

/* ---- directories and initdb ---------------------------------------------------------------- */

/* Makes a directory or corrects its mode and owner; a link in its place is refused. */
static struct mg_status
directory_own(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    TRY(mg_directory_make(path, mode));
    OWN_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_errno("open directory %s", path);
    if ((uid != MG_SAME_UID || gid != MG_SAME_GID) && fchown(fd, uid, gid) != 0)
        return fail_errno("chown %s", path);
    if (fchmod(fd, mode) != 0)
        return fail_errno("chmod %s", path);
    return OK;
}

static struct mg_status
socket_directory_own(const struct mg_instance *instance, const char *path, gid_t group)
{
    const bool grouped = group != MG_SAME_GID;
    return directory_own(path, grouped ? 0710 : 0700, instance->uid, grouped ? group : instance->gid);
}

static struct mg_status
parent_make(const char *path)
{
    char parent[MG_PATH];
    const char *slash = strrchr(path, '/');
    mg_must(slash != NULL && slash != path);
    TRY(mg_view_copy(mg_view_of(path, (size_t) (slash - path)), parent, sizeof parent));
    return mg_directory_make(parent, 0711);
}

static struct mg_status
directories_make(const struct mg_instance *instance)
{
    TRY(parent_make(instance->directory));
    /* Ours, not the server's: it may pass through and read the two files, and change nothing. */
    TRY(directory_own(instance->directory, instance->uid == MG_SAME_UID ? 0700 : 0711, MG_SAME_UID,
                      MG_SAME_GID));
    TRY(parent_make(instance->socket));
    TRY(socket_directory_own(instance, instance->socket, instance->socket_group));
    if (instance->app_socket[0] != '\0') {
        TRY(parent_make(instance->app_socket));
        TRY(socket_directory_own(instance, instance->app_socket, instance->app_socket_group));
    }
    return parent_make(instance->log);
}

bool
mg_instance_exists(const struct mg_instance *instance)
{
    char path[MG_PATH];
    struct stat found;
    return mg_ok(mg_path_join(path, instance->data, "PG_VERSION")) && stat(path, &found) == 0;
}

static struct mg_status
initdb_run(const struct mg_instance *instance, const char *target, struct mg_view password)
{
    const char *const arguments[] = {
        (MG_POSTGRES_BIN "/initdb"),
        "--pgdata",
        target,
        "--username",
        MG_INSTANCE_SUPERUSER,
        "--pwfile=/proc/self/fd/3",
        "--auth-local=scram-sha-256",
        "--auth-host=scram-sha-256",
        "--data-checksums",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-instructions",
        instance->small ? "--wal-segsize=1" : "--wal-segsize=16",
        NULL,
    };
    const struct mg_program program = {
        .arguments = arguments,
        .uid = instance->uid,
        .gid = instance->gid,
        .output_fd = -1,
        .secret_input = password,
        .ends_with_caller = true,
    };
    return mg_program_succeed(&program, INITDB_MS, NULL);
}

/* Into data.new, which becomes data when it is whole: a crash half-way leaves nothing that looks done. */
static struct mg_status
data_make(const struct mg_instance *instance, struct mg_view password)
{
    char target[MG_PATH];
    if (password.length < 16)
        return fail_with(INVALID, "instance %s: superuser password is too short", instance->name);
    TRY(mg_path_join(target, instance->directory, "data.new"));
    TRY(mg_tree_remove(target));
    TRY(directory_own(target, 0700, instance->uid, instance->gid));
    TRY(initdb_run(instance, target, password));
    if (rename(target, instance->data) != 0)
        return fail_errno("rename %s", target);
    return mg_directory_sync(instance->directory);
}

/* What lies in the data directory is the server's to write: a link, a pipe or a long file in the place of
 * one we expect must not hold us up, nor show what it points at. */
static struct mg_status
data_file_read(const struct mg_instance *instance, const char *name, struct mg_buffer *text)
{
    char path[MG_PATH];
    struct stat found;
    TRY(mg_path_join(path, instance->data, name));
    OWN_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &found) != 0)
        return fail_errno("open %s", path);
    if (!S_ISREG(found.st_mode))
        return fail_with(INVALID, "%s is not a file", path);
    return mg_fd_read_all(fd, text);
}

/* A data directory of another major version cannot be started. */
static struct mg_status
version_check(const struct mg_instance *instance)
{
    OWN_BUFFER(text, 64);
    TRY(data_file_read(instance, "PG_VERSION", &text));
    if (strcmp(mg_buffer_text(&text), MG_POSTGRES_MAJOR "\n") != 0)
        return fail_with(CONFIGURATION, "%s is of PostgreSQL %.*s, this is " MG_POSTGRES_MAJOR,
                         instance->data, (int) strcspn(mg_buffer_text(&text), "\n"), mg_buffer_text(&text));
    return OK;
}

/* Writes only what differs, so that a reload is needed only then. */
static struct mg_status
file_write(const struct mg_instance *instance, const char *name, const struct mg_buffer *text)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, instance->directory, name));
    OWN_BUFFER(old, CONFIGURATION_MOST);
    if (mg_ok(mg_file_read(path, &old)) && mg_view_equal(mg_buffer_view(&old), mg_buffer_view(text)))
        return OK;
    return mg_file_replace(path, mg_buffer_view(text), 0644);
}

struct mg_status
mg_instance_prepare(const struct mg_instance *instance, struct mg_view superuser_password)
{
    TRY(directories_make(instance));
    if (!mg_instance_exists(instance))
        TRY(data_make(instance, superuser_password));
    TRY(version_check(instance));
    OWN_BUFFER(configuration, CONFIGURATION_MOST);
    TRY(mg_instance_configuration(instance, &configuration));
    TRY(file_write(instance, "postgresql.conf", &configuration));
    OWN_BUFFER(authentication, CONFIGURATION_MOST);
    TRY(mg_instance_authentication(instance, &authentication));
    return file_write(instance, "pg_hba.conf", &authentication);
}

/* ---- running ------------------------------------------------------------------------------- */

struct mg_program
mg_instance_program(const struct mg_instance *instance, struct mg_instance_arguments *storage)
{
    (void) snprintf(storage->data, sizeof storage->data, "%s", instance->data);
    (void) snprintf(storage->configuration, sizeof storage->configuration, "config_file=%s/postgresql.conf",
                    instance->directory);
    (void) snprintf(storage->authentication, sizeof storage->authentication, "hba_file=%s/pg_hba.conf",
                    instance->directory);
    const char *const list[] = {
        (MG_POSTGRES_BIN "/postgres"), "-D", storage->data,           "-c",
        storage->configuration,        "-c", storage->authentication, NULL,
    };
    memcpy(storage->list, list, sizeof list);
    return (struct mg_program){
        .arguments = storage->list,
        .uid = instance->uid,
        .gid = instance->gid,
        .output_fd = -1,
    };
}

const char *
mg_instance_checksums_program(void)
{
    return MG_POSTGRES_BIN "/pg_checksums";
}

const char *
mg_instance_dump_program(void)
{
    return MG_POSTGRES_BIN "/pg_dump";
}

/* A postmaster keeps the arguments it was started with; its children show others. */
static bool
is_server_of(pid_t pid, const struct mg_instance *instance)
{
    static const char start[] = MG_POSTGRES_BIN "/postgres\0-D"; /* with its last NUL */
    OWN_BUFFER(arguments, sizeof start + MG_PATH);
    return mg_ok(mg_buffer_add(&arguments, mg_view_of(start, sizeof start))) &&
           mg_ok(mg_buffer_add(&arguments, mg_view_of(instance->data, strlen(instance->data) + 1))) &&
           mg_process_runs(pid, instance->uid, mg_buffer_view(&arguments));
}

struct mg_status
mg_instance_find(const struct mg_instance *instance, struct mg_process_mark *ret_mark)
{
    OWN_BUFFER(text, 4096);
    TRY(data_file_read(instance, "postmaster.pid", &text));
    const char *first = mg_buffer_text(&text);
    uint64_t pid = 0;
    if (!mg_ok(mg_parse_u64(mg_view_of(first, strcspn(first, "\n")), INT32_MAX, &pid)) || pid == 0)
        return fail_with(NOT_FOUND, "%s: postmaster.pid is not complete", instance->name);
    struct mg_process_mark mark;
    TRY(mg_process_mark((pid_t) pid, &mark));
    if (!is_server_of(mark.pid, instance))
        return fail_with(NOT_FOUND, "process %d is another program", (int) mark.pid);
    *ret_mark = mark;
    return OK;
}

struct mg_status
mg_instance_await(const struct mg_instance *instance, const struct mg_process_mark *mark, int timeout_ms)
{
    const int64_t deadline_ms = mg_monotonic_ms() + timeout_ms;
    for (;;) {
        const struct mg_status status =
            mg_database_ping(instance->socket, instance->loopback_port, "postgres", MG_INSTANCE_SUPERUSER);
        if (mg_ok(status))
            return OK;
        if (!mg_process_alive(mark))
            return fail_with(UNAVAILABLE, "PostgreSQL %s ended at its start; see %s", instance->name,
                             instance->log);
        if (mg_monotonic_ms() >= deadline_ms)
            return status;
        (void) usleep(POLL_MS * 1000);
    }
}

/* The start time is compared too: by then the pid may mean another process. */
static struct mg_status
await_end(const struct mg_process_mark *mark, int timeout_ms)
{
    const int64_t deadline_ms = mg_monotonic_ms() + timeout_ms;
    while (mg_process_alive(mark)) {
        if (mg_monotonic_ms() >= deadline_ms)
            return fail(TIMEOUT);
        (void) usleep(POLL_MS * 1000);
    }
    return OK;
}

struct mg_status
mg_instance_stop(const struct mg_instance *instance, int timeout_ms)
{
    struct mg_process_mark mark;
    const struct mg_status found = mg_instance_find(instance, &mark);
    if (found.code == MG_NOT_FOUND)
        return OK;
    TRY(found);
    /* pg_ctl's "fast" and then "immediate". */
    const struct mg_status asked = mg_process_signal(&mark, SIGINT);
    if (asked.code != MG_NOT_FOUND)
        TRY(asked);
    if (mg_ok(await_end(&mark, timeout_ms)))
        return OK;
    const struct mg_status pressed = mg_process_signal(&mark, SIGQUIT);
    if (pressed.code != MG_NOT_FOUND)
        TRY(pressed);
    return await_end(&mark, 10000);
}

struct mg_status
mg_instance_reload(const struct mg_instance *instance)
{
    struct mg_process_mark mark;
    TRY(mg_instance_find(instance, &mark));
    return mg_process_signal(&mark, SIGHUP);
}
