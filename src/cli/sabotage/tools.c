#include "cli/sabotage/sabotage.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MOST = 64 << 20, RELOAD_SETTLE_US = 300000, PSQL_MS = 20000 };

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

static CHECKED struct mg_status
write_kept(struct mg_stage *stage, struct mg_view bytes)
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
    return write_kept(stage, mg_buffer_view(&changed));
}

struct mg_status
mg_stage_restore(struct mg_stage *stage)
{
    if (stage->saved_path[0] == '\0')
        return OK;
    TRY(write_kept(stage, mg_buffer_view(&stage->saved)));
    stage->saved_path[0] = '\0';
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

static CHECKED struct mg_status
nginx_reload(struct mg_stage *stage)
{
    TRY(mg_stage_signal(stage, "nginx", SIGHUP));
    (void) usleep(RELOAD_SETTLE_US);
    return OK;
}

struct mg_status
mg_stage_nginx(struct mg_stage *stage, const char *from, const char *to)
{
    char path[MG_PATH];
    TRY(mg_stage_path(stage, "nginx/nginx.conf", path));
    TRY(mg_stage_edit(stage, path, from, to));
    return nginx_reload(stage);
}

struct mg_status
mg_stage_nginx_restore(struct mg_stage *stage)
{
    TRY(mg_stage_restore(stage));
    return nginx_reload(stage);
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
    (void) usleep(RELOAD_SETTLE_US);
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
