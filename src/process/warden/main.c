/* masugata-warden --dir DIR: run by `masugata up`. Exit codes as catalogue/errors.def. */
#include "base/io.h"
#include "base/log.h"
#include "process/warden/warden.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char signal_token;
static int signal_fd = -1;

/* One warden a directory. The lock lives as long as the process and names it. */
static CHECKED struct mg_status
lock_take(const char *state, int *ret_fd)
{
    char path[MG_PATH], text[32];
    TRY(mg_path_join(path, state, "warden.lock"));
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno("lock %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const ssize_t length = pread(fd, text, sizeof text - 1, 0);
        text[length > 0 ? length : 0] = '\0';
        (void) close(fd);
        return fail_with(RUNNING, "process %.*s uses %s", (int) strcspn(text, "\n"), text, state);
    }
    const int length = snprintf(text, sizeof text, "%d\n", (int) getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t) length, 0) != length) {
        (void) close(fd);
        return fail_errno("lock %s", path);
    }
    *ret_fd = fd;
    return OK;
}

/* The programs of the other processes lie beside this one. */
static CHECKED struct mg_status
programs_find(struct warden *warden)
{
    const ssize_t length =
        readlink("/proc/self/exe", warden->program_directory, sizeof warden->program_directory - 1);
    if (length <= 0)
        return fail_errno("find our own program");
    warden->program_directory[length] = '\0';
    *strrchr(warden->program_directory, '/') = '\0';
    return OK;
}

static CHECKED struct mg_status
loop_prepare(struct warden *warden)
{
    sigset_t signals;
    (void) sigemptyset(&signals);
    (void) sigaddset(&signals, SIGTERM);
    (void) sigaddset(&signals, SIGINT);
    (void) sigaddset(&signals, SIGHUP);
    (void) sigaddset(&signals, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return fail_errno("signals");
    signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    warden->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = (void *) (uintptr_t) &signal_token};
    if (signal_fd < 0 || warden->epoll_fd < 0 ||
        epoll_ctl(warden->epoll_fd, EPOLL_CTL_ADD, signal_fd, &event) != 0)
        return fail_errno("epoll");
    return OK;
}

/* As the subreaper the warden inherits what a killed launcher leaves behind. Such an orphan must be
 * reaped as soon as it ends: a PostgreSQL that is started again refuses to while the old one's pid
 * is still there, dead or not. */
static void
signals_read(struct warden *warden)
{
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof info) == (ssize_t) sizeof info)
        if (info.ssi_signo != SIGCHLD)
            warden->stop_asked = true;
    children_reap(warden);
}

static void
loop_run(struct warden *warden)
{
    while (!warden->stop_asked) {
        const int wait_ms = children_tick(warden);
        known_settle(warden);
        struct epoll_event events[16];
        const int count = epoll_wait(warden->epoll_fd, events, (int) MG_COUNT(events), wait_ms);
        for (int i = 0; i < count; i++) {
            const void *token = events[i].data.ptr;
            if (token == &signal_token)
                signals_read(warden);
            else if (!control_event(warden, token))
                (void) children_event(warden, token);
        }
    }
}

static CHECKED struct mg_status
run(const char *state)
{
    struct warden warden = {.epoll_fd = -1, .started_at = mg_now(), .single_uid = geteuid() != 0};
    char path[MG_PATH];
    OWN_FD lock_fd = -1;
    TRY(mg_path_join(path, state, "masugata.conf"));
    TRY(mg_configuration_read(path, &warden.options));
    mg_log_open("warden", mg_level_of(warden.options->log_level));
    TRY(mg_deployment_find(state, warden.options, &warden.deployment));
    TRY(lock_take(warden.deployment.state, &lock_fd));
    TRY(programs_find(&warden));
    TRY(warden_layout(&warden));
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        return fail_errno("subreaper");
    TRY(loop_prepare(&warden));
    TRY(control_open(&warden));
    TRY(children_start(&warden));
    known_compare(&warden);
    loop_run(&warden);
    mg_log(MG_INFO, "stopping");
    children_stop(&warden);
    const struct mg_status cleared = warden_layout_clear(&warden);
    if (!mg_ok(cleared))
        mg_log_status(MG_WARNING, "runtime directory", cleared);
    (void) mg_path_join(path, warden.deployment.run, "warden.sock").code;
    (void) unlink(path);
    (void) rmdir(warden.deployment.run);
    mg_log(MG_INFO, "stopped");
    mg_options_drop(&warden.options);
    return OK;
}

int
main(int argc, char **argv)
{
    mg_log_open("warden", MG_INFO);
    (void) umask(0022);
    if (argc != 3 || strcmp(argv[1], "--dir") != 0) {
        (void) fputs("usage: masugata-warden --dir DIR (started by `masugata up`)\n", stderr);
        return 2;
    }
    /* `masugata up` stays our parent; if it is killed, systemd or the person starts both again. */
    const struct mg_status status = run(argv[2]);
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, "warden", status);
        return mg_error_row(status.code)->exit_code;
    }
    return 0;
}
