/* Putting nginx's configuration in place; see ports/nginx_configuration.h. */
#include "base/time.h"
#include "ports/nginx_configuration.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#define NGINX "/usr/sbin/nginx"
#define CHECK_MS 20000
#define COMPLAINT_MOST 8192

extern char **environ;

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

/* Reads what nginx says until it closes its end or the time is over. */
static struct mg_status
complaint_read(int fd, struct mg_buffer *said)
{
    const int64_t end = mg_monotonic_ms() + CHECK_MS;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        const int64_t left = end - mg_monotonic_ms();
        const int ready = left > 0 ? poll(&wait, 1, (int) left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return fail_with(TIMEOUT, "nginx -t");
        char chunk[1024];
        const ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return OK;
        if (said->length + (size_t) got <= COMPLAINT_MOST)
            TRY(mg_buffer_add(said, mg_view_of(chunk, (size_t) got)));
    }
}

/* The first line that is an error, without nginx's prefix. */
static struct mg_status
complaint_status(const struct mg_buffer *said)
{
    const char *text = mg_buffer_text(said);
    const char *line = strstr(text, "[emerg]");
    if (line == NULL)
        line = text;
    return fail_with(CONFIGURATION, "nginx: %.*s", (int) strcspn(line, "\n"), line);
}

static struct mg_status
check_spawn(char *const argv[], pid_t *ret_pid, int *ret_fd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail_errno("pipe");
    OWN_FD reader = ends[0];
    OWN_FD writer = ends[1];
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return fail(OUT_OF_MEMORY);
    int error = posix_spawn_file_actions_adddup2(&actions, writer, STDOUT_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, writer, STDERR_FILENO);
    if (error == 0)
        error = posix_spawn(ret_pid, NGINX, &actions, NULL, argv, environ);
    (void) posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        errno = error;
        return fail_errno("start %s", NGINX);
    }
    *ret_fd = reader;
    reader = -1;
    return OK;
}

struct mg_status
mg_nginx_configuration_check(const char *directory, const char *path)
{
    struct mg_nginx_arguments arguments;
    TRY(mg_nginx_arguments_fill(directory, &arguments));
    char *const argv[] = {(char[]) {NGINX}, (char[]) {"-t"}, (char[]) {"-q"}, (char[]) {"-p"}, arguments.prefix,
                          (char[]) {"-c"}, (char *) (uintptr_t) path, (char[]) {"-e"}, (char[]) {"stderr"}, NULL};
    pid_t pid = -1;
    OWN_FD fd = -1;
    OWN_BUFFER(said, COMPLAINT_MOST + 1);
    TRY(check_spawn(argv, &pid, &fd));
    const struct mg_status read_status = complaint_read(fd, &said);
    if (!mg_ok(read_status))
        (void) kill(pid, SIGKILL);
    int result = 0;
    while (waitpid(pid, &result, 0) < 0)
        if (errno != EINTR)
            return fail_errno("wait for nginx -t");
    TRY(read_status);
    if (!WIFEXITED(result) || WEXITSTATUS(result) != 0)
        return complaint_status(&said);
    return OK;
}

static struct mg_status
directories_make(const char *directory)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, "nginx/temp"));
    TRY(mg_directory_make(path, 0755));
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
