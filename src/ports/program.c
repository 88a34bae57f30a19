#include "ports/program.h"

#include "base/io.h"
#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { SECRET_FD = 3, SECRET_MOST = 4096 };

static const char *const minimal_environment[] = {
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC", NULL,
};

/* What the child tells its parent when it cannot become the program. */
struct child_failure {
    int number; /* errno */
    int step;   /* index into steps */
};

/* Set before fork, read in the child only. */
static _Thread_local pid_t child_parent;

static bool
signals_reset(const struct mg_program *program)
{
    struct sigaction preset = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        (void) sigaction(number, &preset, NULL); /* KILL, STOP and the C library's own refuse */
    sigset_t none;
    (void) sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) != 0 || setsid() < 0)
        return false;
    const struct rlimit no_core = {0, 0};
    if (setrlimit(RLIMIT_CORE, &no_core) != 0)
        return false;
    if (!program->ends_with_caller)
        return true;
    /* The parent may have died before the flag was set. */
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == child_parent;
}

static bool
files_open(const struct mg_program *program)
{
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int output = program->output_fd >= 0 ? program->output_fd : nothing;
    /* dup3 refuses equal descriptors; the parent always has 0 to 2 open. */
    return nothing > 2 && dup2(nothing, 0) == 0 && dup2(output, 1) == 1 && dup2(output, 2) == 2 &&
           syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

static bool
user_change(const struct mg_program *program)
{
    if (program->uid == MG_SAME_UID)
        return true;
    if (setgroups(0, NULL) != 0 || setresgid(program->gid, program->gid, program->gid) != 0)
        return false;
    return setresuid(program->uid, program->uid, program->uid) == 0;
}

/* A pipe of the new user's own, so that it may open /proc/self/fd/3; never a file. */
static bool
secret_pass(const struct mg_program *program)
{
    if (program->secret_input.length == 0)
        return true;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    const struct mg_view secret = program->secret_input;
    if (write(ends[1], secret.bytes, secret.length) != (ssize_t) secret.length)
        return false;
    (void) close(ends[1]);
    if (ends[0] == SECRET_FD)
        return fcntl(SECRET_FD, F_SETFD, 0) == 0;
    return dup2(ends[0], SECRET_FD) == SECRET_FD;
}

static bool
directory_enter(const struct mg_program *program)
{
    return chdir(program->directory != NULL ? program->directory : "/") == 0;
}

static bool
itself_restrict(const struct mg_program *program)
{
    return program->prepare == NULL || program->prepare(program->context);
}

static bool
program_execute(const struct mg_program *program)
{
    char *const *environment =
        (char *const *) (uintptr_t) (program->environment != NULL ? program->environment
                                                                  : minimal_environment);
    (void) execve(program->arguments[0], (char *const *) (uintptr_t) program->arguments, environment);
    return false;
}

/* From a copy of us to the program, in this order. */
static const struct {
    const char *name;
    bool (*take)(const struct mg_program *program);
} steps[] = {
    {"reset signals", signals_reset},
    {"open files", files_open},
    {"change the user", user_change},
    {"pass the secret", secret_pass},
    {"enter the directory", directory_enter},
    {"restrict itself", itself_restrict},
    {"execute", program_execute},
};

__attribute__((noreturn)) static void
child_become(const struct mg_program *program, int report_fd)
{
    /* Out of the way of 0 to 3, which are about to be replaced. */
    const int report = fcntl(report_fd, F_DUPFD_CLOEXEC, 10);
    struct child_failure failure = {.number = 0, .step = 0};
    for (failure.step = 0; steps[failure.step].take(program); failure.step++)
        ;
    failure.number = errno;
    (void) !write(report, &failure, sizeof failure);
    _exit(127);
}

struct mg_status
mg_program_start(const struct mg_program *program, pid_t *ret_pid)
{
    mg_must(program->arguments[0] != NULL && program->arguments[0][0] == '/');
    if (program->secret_input.length > SECRET_MOST)
        return fail(TOO_LARGE);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail_errno("pipe");
    OWN_FD read_end = ends[0];
    OWN_FD write_end = ends[1];
    child_parent = getpid();
    const pid_t pid = fork();
    if (pid < 0)
        return fail_errno("fork");
    if (pid == 0)
        child_become(program, write_end);
    mg_fd_drop(&write_end);
    struct child_failure failure;
    ssize_t got;
    do
        got = read(read_end, &failure, sizeof failure);
    while (got < 0 && errno == EINTR);
    if (got == 0) { /* closed by exec */
        *ret_pid = pid;
        return OK;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (got != (ssize_t) sizeof failure || (unsigned) failure.step >= MG_COUNT(steps))
        return fail_with(SYSTEM, "%s died at its start", program->arguments[0]);
    errno = failure.number;
    return fail_errno("%s: could not %s", program->arguments[0], steps[failure.step].name);
}

/* Waits for the end of a child; TIMEOUT leaves it running. */
static struct mg_status
child_wait(pid_t pid, int64_t deadline_ms, int *ret_exit)
{
    OWN_FD handle = (int) syscall(SYS_pidfd_open, pid, 0);
    if (handle < 0)
        return fail_errno("watch process %d", (int) pid);
    for (;;) {
        const int64_t left_ms = deadline_ms - mg_monotonic_ms();
        struct pollfd wait = {.fd = handle, .events = POLLIN};
        const int ready = poll(&wait, 1, left_ms > 0 ? (int) left_ms : 0);
        if (ready < 0 && errno != EINTR)
            return fail_errno("poll");
        if (ready > 0)
            break;
        if (left_ms <= 0)
            return fail(TIMEOUT);
    }
    int wait_status = 0;
    if (waitpid(pid, &wait_status, 0) != pid)
        return fail_errno("wait for process %d", (int) pid);
    *ret_exit = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
    return OK;
}

struct mg_status
mg_program_run(const struct mg_program *program, int timeout_ms, int *ret_exit)
{
    const int64_t deadline_ms = mg_monotonic_ms() + timeout_ms;
    pid_t pid = 0;
    TRY(mg_program_start(program, &pid));
    int exit_code = 0;
    const struct mg_status status = child_wait(pid, deadline_ms, &exit_code);
    if (!mg_ok(status)) {
        (void) kill(-pid, SIGKILL); /* the whole session */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return status.code == MG_TIMEOUT ? fail_with(TIMEOUT, "%s", program->arguments[0]) : status;
    }
    *ret_exit = exit_code;
    return OK;
}

/* The last line that says something. */
static struct mg_view
last_line(struct mg_view text)
{
    while (text.length != 0 && text.bytes[text.length - 1] == '\n')
        text.length--;
    size_t start = text.length;
    while (start != 0 && text.bytes[start - 1] != '\n')
        start--;
    return mg_view_of(text.bytes + start, text.length - start);
}

struct mg_status
mg_program_succeed(const struct mg_program *program, int timeout_ms, struct mg_buffer *output)
{
    /* A file in memory, not a pipe: nobody has to read while the program runs. */
    OWN_FD written = memfd_create("output", MFD_CLOEXEC);
    if (written < 0)
        return fail_errno("memfd");
    struct mg_program with_output = *program;
    with_output.output_fd = written;
    int exit_code = 0;
    TRY(mg_program_run(&with_output, timeout_ms, &exit_code));
    if (lseek(written, 0, SEEK_SET) != 0)
        return fail_errno("seek");
    OWN_BUFFER(text, 65536);
    const struct mg_status read_status = mg_fd_read_all(written, &text);
    if (!mg_ok(read_status) && read_status.code != MG_TOO_LARGE)
        return read_status;
    if (exit_code != 0) {
        const struct mg_view line = last_line(mg_buffer_view(&text));
        return fail_with(SYSTEM, "%s ended with %d: %.*s", program->arguments[0], exit_code,
                         (int) line.length, (const char *) line.bytes);
    }
    return output == NULL ? OK : mg_buffer_add(output, mg_buffer_view(&text));
}

struct mg_status
mg_process_mark(pid_t pid, struct mg_process_mark *ret_mark)
{
    char path[64];
    (void) snprintf(path, sizeof path, "/proc/%d/stat", (int) pid);
    OWN_BUFFER(text, 4096);
    if (!mg_ok(mg_file_read(path, &text)))
        return fail(NOT_FOUND);
    /* "pid (name) state ppid …": the name may hold anything, so count from its last parenthesis. */
    const char *at = strrchr(mg_buffer_text(&text), ')');
    if (at == NULL || strlen(at) < 4)
        return fail(MALFORMED);
    if (at[2] == 'Z' || at[2] == 'X')
        return fail(NOT_FOUND);
    for (int field = 2; field < 22 && at != NULL; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return fail(MALFORMED);
    at++;
    uint64_t started = 0;
    TRY(mg_parse_u64(mg_view_of(at, strcspn(at, " ")), UINT64_MAX, &started));
    *ret_mark = (struct mg_process_mark){.pid = pid, .started = started};
    return OK;
}

bool
mg_process_alive(const struct mg_process_mark *mark)
{
    struct mg_process_mark now;
    return mark->pid > 0 && mg_ok(mg_process_mark(mark->pid, &now)) && now.started == mark->started;
}

bool
mg_process_runs(pid_t pid, uid_t uid, struct mg_view arguments)
{
    char path[64];
    struct stat owner;
    OWN_BUFFER(text, 65536);
    (void) snprintf(path, sizeof path, "/proc/%d/cmdline", (int) pid);
    return stat(path, &owner) == 0 && owner.st_uid == (uid != MG_SAME_UID ? uid : geteuid()) &&
           mg_ok(mg_file_read(path, &text)) && text.length >= arguments.length &&
           memcmp(text.bytes, arguments.bytes, arguments.length) == 0;
}

struct mg_status
mg_process_signal(const struct mg_process_mark *mark, int number)
{
    OWN_FD handle = (int) syscall(SYS_pidfd_open, mark->pid, 0);
    if (handle < 0 && errno != ESRCH)
        return fail_errno("process %d", (int) mark->pid);
    /* Looked at after the handle was taken: what it means can no longer change. */
    if (handle < 0 || !mg_process_alive(mark))
        return fail_with(NOT_FOUND, "process %d has ended", (int) mark->pid);
    if (syscall(SYS_pidfd_send_signal, handle, number, NULL, 0) == 0)
        return OK;
    return errno == ESRCH ? fail_with(NOT_FOUND, "process %d has ended", (int) mark->pid)
                          : fail_errno("signal process %d", (int) mark->pid);
}
