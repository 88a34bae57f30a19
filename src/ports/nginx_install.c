/* Putting nginx's configuration in place; see ports/nginx_configuration.h. */
#include "ports/nginx_configuration.h"
#include "ports/program.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define NGINX "/usr/sbin/nginx"
#define CHECK_MS 20000
#define COMPLAINT_MOST 65536

struct mg_status
mg_nginx_arguments_fill(const char *directory, struct mg_nginx_arguments *ret_arguments)
{
    struct mg_nginx_arguments *a = ret_arguments;
    TRY(mg_path_join(a->prefix, directory, "nginx/"));
    TRY(mg_path_join(a->configuration, directory, "nginx/nginx.conf"));
    TRY(mg_path_join(a->error_log, directory, "log/nginx-error.log"));
    const char *const argv[8] = {NGINX, "-p", a->prefix, "-c", a->configuration, "-e", a->error_log, NULL};
    memcpy(a->argv, argv, sizeof argv);
    return OK;
}

/* The first complaint, not the closing "test failed". */
static struct mg_status
complaint_status(const struct mg_buffer *said)
{
    const char *text = mg_buffer_text(said);
    const char *line = strstr(text, "[emerg]");
    const char *after = line == NULL ? NULL : strstr(line, ": "); /* past "[emerg] 1#1: " */
    line = after == NULL ? text : after + 2;
    return fail_with(CONFIGURATION, "nginx: %.*s", (int) strcspn(line, "\n"), line);
}

struct mg_status
mg_nginx_configuration_check(const char *directory, const char *path)
{
    struct mg_nginx_arguments fixed;
    OWN_BUFFER(said, COMPLAINT_MOST);
    TRY(mg_nginx_arguments_fill(directory, &fixed));
    const char *const arguments[] = {NGINX, "-t", "-q", "-p", fixed.prefix, "-c", path, "-e", "stderr", NULL};
    OWN_FD written = memfd_create("nginx -t", MFD_CLOEXEC);
    if (written < 0)
        return fail_errno("memfd");
    const struct mg_program program = {.arguments = arguments,
                                       .uid = MG_SAME_UID,
                                       .gid = MG_SAME_GID,
                                       .output_fd = written,
                                       .ends_with_caller = true};
    int result = 0;
    TRY(mg_program_run(&program, CHECK_MS, &result));
    if (result == 0)
        return OK;
    if (lseek(written, 0, SEEK_SET) != 0)
        return fail_errno("seek");
    const struct mg_status read_status = mg_fd_read_all(written, &said);
    if (!mg_ok(read_status) && read_status.code != MG_TOO_LARGE)
        return read_status;
    return complaint_status(&said);
}

unsigned
mg_nginx_open_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    return limit.rlim_max > 65536 ? 65536 : (unsigned) limit.rlim_max;
}

static struct mg_status
directories_make(const char *directory)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, "nginx/temp"));
    TRY(mg_directory_make(path, 0755));
    if (chmod(path, 0711) != 0) /* whatever the umask: the workers go through to what is theirs */
        return fail_errno("chmod %s", path);
    TRY(mg_path_join(path, directory, "log"));
    return mg_directory_make(path, 0755);
}

struct mg_status
mg_nginx_configuration_install(const struct mg_nginx_configuration *configuration, bool *ret_changed)
{
    char path[MG_PATH], next[MG_PATH];
    OWN_BUFFER(text, MG_NGINX_CONFIGURATION_MOST);
    OWN_BUFFER(old, MG_NGINX_CONFIGURATION_MOST);
    TRY(mg_nginx_configuration_render(configuration, &text));
    TRY(directories_make(configuration->directory));
    TRY(mg_path_join(path, configuration->directory, "nginx/nginx.conf"));
    TRY(mg_path_join(next, configuration->directory, "nginx/nginx.conf.next"));
    if (mg_ok(mg_file_read(path, &old)) && mg_view_equal(mg_buffer_view(&old), mg_buffer_view(&text))) {
        *ret_changed = false;
        return OK;
    }
    TRY(mg_file_replace(next, mg_buffer_view(&text), 0644));
    const struct mg_status accepted = mg_nginx_configuration_check(configuration->directory, next);
    if (!mg_ok(accepted)) {
        (void) unlink(next); /* the complaint is in the status */
        return accepted;
    }
    if (rename(next, path) != 0)
        return fail_errno("rename %s", next);
    TRY(mg_path_join(next, configuration->directory, "nginx"));
    TRY(mg_directory_sync(next));
    *ret_changed = true;
    return OK;
}
