#include "cli/sabotage/sabotage.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILE_MOST = 64 << 20, RELOAD_MS = 10000, POLL_US = 20000, SETTLE_US = 100000, PSQL_MS = 20000 };

struct mg_status
mg_stage_path(const struct mg_stage *stage, const char *name, char path[MG_PATH])
{
    return mg_path_join(path, stage->admin->deployment.state, name);
}

struct mg_status
mg_stage_run_path(const struct mg_stage *stage, const char *name, char path[MG_PATH])
{
    return mg_path_join(path, stage->admin->deployment.run, name);
}

/* ---- files ---- */

struct mg_status
mg_stage_keep(struct mg_stage *stage, const char *path)
{
    struct stat info;
    stage->saved.maximum = FILE_MOST;
    mg_buffer_clear(&stage->saved);
    if (lstat(path, &info) != 0)
        return fail_errno("look at %s", path);
    TRY(mg_file_read(path, &stage->saved));
    TRY(mg_view_copy(mg_view_text(path), stage->saved_path, sizeof stage->saved_path));
    stage->saved_stat = info;
    return OK;
}

struct mg_status
mg_stage_replace(struct mg_stage *stage, struct mg_view bytes)
{
    return mg_file_replace_owned(stage->saved_path, bytes, stage->saved_stat.st_mode & 07777,
                                 stage->saved_stat.st_uid, stage->saved_stat.st_gid);
}

struct mg_status
mg_stage_edit(struct mg_stage *stage, const char *path, const char *from, const char *to)
{
    TRY(mg_stage_keep(stage, path));
    const char *text = mg_buffer_text(&stage->saved);
    const char *at = strstr(text, from);
    if (at == NULL)
        return fail_with(NOT_FOUND, "\"%.80s\" in %s", from, path);
    OWN_BUFFER(changed, FILE_MOST);
    TRY(mg_buffer_add(&changed, mg_view_of(text, (size_t) (at - text))));
    TRY(mg_buffer_add_text(&changed, to));
    TRY(mg_buffer_add_text(&changed, at + strlen(from)));
    return mg_stage_replace(stage, mg_buffer_view(&changed));
}

struct mg_status
mg_stage_restore(struct mg_stage *stage)
{
    if (stage->saved_path[0] == '\0')
        return OK;
    TRY(mg_stage_replace(stage, mg_buffer_view(&stage->saved)));
    stage->saved_path[0] = '\0';
    return OK;
}

struct mg_status
mg_stage_move(struct mg_stage *stage, const char *path)
{
    char aside[MG_PATH];
    TRY(mg_stage_path(stage, "aside", aside));
    TRY(mg_view_copy(mg_view_text(path), stage->moved_path, sizeof stage->moved_path));
    return rename(path, aside) == 0 ? OK : fail_errno("move %s", path);
}

struct mg_status
mg_stage_moved_back(struct mg_stage *stage)
{
    char aside[MG_PATH];
    TRY(mg_stage_path(stage, "aside", aside));
    if (stage->moved_path[0] != '\0' && rename(aside, stage->moved_path) != 0)
        return fail_errno("put %s back", stage->moved_path);
    stage->moved_path[0] = '\0';
    return OK;
}

/* ---- processes ---- */

static CHECKED struct mg_status
nginx_pid(const struct mg_stage *stage, pid_t *ret_pid)
{
    char path[MG_PATH];
    uint64_t number;
    OWN_BUFFER(text, 64);
    TRY(mg_stage_path(stage, "nginx/nginx.pid", path));
    TRY(mg_file_read(path, &text));
    struct mg_view digits = mg_buffer_view(&text);
    if (digits.length > 0 && digits.bytes[digits.length - 1] == '\n')
        digits.length--;
    TRY(mg_parse_u64(digits, INT32_MAX, &number));
    *ret_pid = (pid_t) number;
    return OK;
}

struct mg_status
mg_stage_pid(struct mg_stage *stage, const char *name, pid_t *ret_pid)
{
    if (strcmp(name, "nginx") == 0)
        return nginx_pid(stage, ret_pid);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_warden_status reply;
    TRY(mg_admin_warden_status(stage->admin, &(struct mg_request_warden_status){0}, &reply, &storage));
    for (bool more = true;;) {
        struct mg_record_process_state row;
        TRY(mg_list_next_process_state(&reply.processes, &row, &more));
        if (!more)
            return fail_with(NOT_FOUND, "process %s", name);
        if (!mg_view_is(row.name, name) || row.pid == 0)
            continue;
        *ret_pid = (pid_t) row.pid;
        return OK;
    }
}

struct mg_status
mg_stage_signal(struct mg_stage *stage, const char *name, int number)
{
    pid_t pid = 0;
    TRY(mg_stage_pid(stage, name, &pid));
    if (pid <= 1 || kill(pid, number) != 0)
        return fail_errno("signal %d to %s", number, name);
    return OK;
}

struct mg_status
mg_stage_stop(struct mg_stage *stage, const char *name)
{
    TRY(mg_stage_pid(stage, name, &stage->stopped));
    if (kill(stage->stopped, SIGSTOP) != 0)
        return fail_errno("stop %s", name);
    return OK;
}

struct mg_status
mg_stage_resume(struct mg_stage *stage)
{
    if (stage->stopped > 1 && kill(stage->stopped, SIGCONT) != 0)
        return fail_errno("resume process %d", (int) stage->stopped);
    stage->stopped = 0;
    return OK;
}

/* ---- nginx ---- */

/* proc(5): "pid (name) state parent ...", and the 22nd field is when it started. */
static bool
parent_and_start(const char *pid, uint64_t *ret_parent, uint64_t *ret_start)
{
    enum { STATE = 3, PARENT = 4, START = 22 };
    char path[300], *rest = NULL;
    OWN_BUFFER(text, 4096);
    (void) snprintf(path, sizeof path, "/proc/%s/stat", pid);
    if (!mg_ok(mg_file_read(path, &text)) || text.length == 0)
        return false; /* it has ended meanwhile */
    char *word = strrchr((char *) text.bytes, ')');
    bool read = word != NULL;
    word = word == NULL ? NULL : strtok_r(word + 1, " ", &rest);
    for (int field = STATE; word != NULL && field <= START; field++, word = strtok_r(NULL, " ", &rest))
        if (field == PARENT || field == START)
            read = read && mg_ok(mg_parse_u64(mg_view_text(word), UINT64_MAX,
                                              field == PARENT ? ret_parent : ret_start));
    return read;
}

/* The youngest child of a process; 0 if it has none. */
static uint64_t
youngest_child(pid_t parent)
{
    DIR *directory = opendir("/proc");
    uint64_t best = 0, child = 0;
    for (const struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        uint64_t pid = 0, its_parent = 0, started = 0;
        if (!mg_ok(mg_parse_u64(mg_view_text(entry->d_name), INT32_MAX, &pid)) ||
            !parent_and_start(entry->d_name, &its_parent, &started) || its_parent != (uint64_t) parent)
            continue;
        if (started > best || (started == best && pid > child)) {
            best = started;
            child = pid;
        }
    }
    if (directory != NULL)
        (void) closedir(directory);
    return child;
}

/* Old workers stop listening as soon as new ones run. */
struct mg_status
mg_stage_nginx_reload(struct mg_stage *stage)
{
    pid_t master = 0;
    TRY(mg_stage_pid(stage, "nginx", &master));
    const uint64_t before = youngest_child(master);
    if (kill(master, SIGHUP) != 0)
        return fail_errno("reload nginx");
    for (const int64_t end = mg_monotonic_ms() + RELOAD_MS; mg_monotonic_ms() < end; (void) usleep(POLL_US))
        if (youngest_child(master) != before) {
            (void) usleep(SETTLE_US);
            return OK;
        }
    return fail_with(TIMEOUT, "nginx does not take its configuration");
}

static CHECKED struct mg_status
change_first(const struct mg_buffer *text, const struct mg_stage_change *change, struct mg_buffer *changed)
{
    const char *start = mg_buffer_text(text);
    const char *from = change->after == NULL ? start : strstr(start, change->after);
    const char *at = from == NULL ? NULL : strstr(from, change->from);
    if (at == NULL)
        return fail_with(NOT_FOUND, "\"%.80s\" in nginx.conf", from == NULL ? change->after : change->from);
    TRY(mg_buffer_add(changed, mg_view_of(start, (size_t) (at - start))));
    TRY(mg_buffer_add_text(changed, change->to));
    return mg_buffer_add_text(changed, at + strlen(change->from));
}

/* Keeps the file as it was first, so that one restore undoes all. */
struct mg_status
mg_stage_nginx_change(struct mg_stage *stage, const struct mg_stage_change *changes, size_t count)
{
    char path[MG_PATH];
    OWN_BUFFER(text, FILE_MOST);
    TRY(mg_stage_path(stage, "nginx/nginx.conf", path));
    TRY(mg_stage_keep(stage, path));
    TRY(mg_buffer_add(&text, mg_buffer_view(&stage->saved)));
    for (size_t i = 0; i < count; i++) {
        OWN_BUFFER(changed, FILE_MOST);
        TRY(change_first(&text, &changes[i], &changed));
        mg_buffer_clear(&text);
        TRY(mg_buffer_add(&text, mg_buffer_view(&changed)));
    }
    TRY(mg_stage_replace(stage, mg_buffer_view(&text)));
    return mg_stage_nginx_reload(stage);
}

struct mg_status
mg_stage_nginx(struct mg_stage *stage, const char *from, const char *to)
{
    return mg_stage_nginx_change(stage, &(struct mg_stage_change){NULL, from, to}, 1);
}

struct mg_status
mg_stage_nginx_restore(struct mg_stage *stage)
{
    TRY(mg_stage_restore(stage));
    return mg_stage_nginx_reload(stage);
}

struct mg_status
mg_stage_free_port(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    OWN_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *) &address, size) != 0 ||
        getsockname(fd, (struct sockaddr *) &address, &size) != 0)
        return fail_errno("find a free port");
    *ret_port = ntohs(address.sin_port);
    return OK;
}

/* ---- PostgreSQL ---- */

static CHECKED struct mg_status
instance_pid(const struct mg_stage *stage, const char *instance, pid_t *ret_pid)
{
    char name[128], path[MG_PATH];
    uint64_t number;
    OWN_BUFFER(text, 4096);
    (void) snprintf(name, sizeof name, "postgres/%s/data/postmaster.pid", instance);
    TRY(mg_stage_path(stage, name, path));
    TRY(mg_file_read(path, &text));
    const char *end = strchr(mg_buffer_text(&text), '\n');
    if (end == NULL)
        return fail_with(MALFORMED, "%s", path);
    TRY(mg_parse_u64(mg_view_of(text.bytes, (size_t) (end - mg_buffer_text(&text))), INT32_MAX, &number));
    *ret_pid = (pid_t) number;
    return OK;
}

struct mg_status
mg_stage_instance_reload(struct mg_stage *stage, const char *instance)
{
    pid_t pid = 0;
    TRY(instance_pid(stage, instance, &pid));
    if (kill(pid, SIGHUP) != 0)
        return fail_errno("reload %s", instance);
    (void) usleep(SETTLE_US);
    return OK;
}

static CHECKED struct mg_status
psql(struct mg_stage *stage, const char *instance, const char *database, const char *sql,
     struct mg_buffer *output)
{
    char name[128], socket[MG_PATH];
    (void) snprintf(name, sizeof name, "postgres/%s", instance);
    TRY(mg_stage_run_path(stage, name, socket));
    const char *const arguments[] = {
        "/usr/bin/psql",  "-X", "-q",     "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", socket, "-U",
        "masugata_super", "-d", database, "-c", sql,  NULL};
    const struct mg_program program = {.arguments = arguments,
                                       .uid = MG_SAME_UID,
                                       .gid = MG_SAME_GID,
                                       .output_fd = -1,
                                       .ends_with_caller = true};
    return mg_program_succeed(&program, PSQL_MS, output);
}

struct mg_status
mg_stage_sql(struct mg_stage *stage, const char *instance, const char *database, const char *sql,
             struct mg_buffer *output)
{
    char name[128], path[MG_PATH];
    struct mg_stage door = *stage; /* its own place to keep the file, beside the break's */
    door.saved = (struct mg_buffer){.maximum = FILE_MOST};
    (void) snprintf(name, sizeof name, "postgres/%s/pg_hba.conf", instance);
    TRY(mg_stage_path(stage, name, path));
    struct mg_status status = mg_stage_edit(&door, path, "", "local all masugata_super trust\n");
    if (mg_ok(status))
        status = mg_stage_instance_reload(stage, instance);
    if (mg_ok(status))
        status = psql(stage, instance, database, sql, output);
    const struct mg_status closed = mg_stage_restore(&door);
    mg_buffer_drop(&door.saved);
    TRY(status);
    TRY(closed);
    return mg_stage_instance_reload(stage, instance);
}

struct mg_status
mg_stage_control_sql(struct mg_stage *stage, const char *sql)
{
    OWN_BUFFER(output, 65536);
    return mg_stage_sql(stage, "control", "masugata", sql, &output);
}
