/* Each deed is tried in a child that sealed itself; the child's end says what happened. */
#include "test.h"

#include "base/io.h"
#include "base/secret.h"
#include "process/sandbox/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DONE = 0, DENIED = 10, SEAL_FAILED = 20, STOPPED = 128 + SIGSYS };

static char directory[] = "/tmp/mg-sandbox-XXXXXX";
static char state_path[MG_PATH], run_path[MG_PATH], key_path[MG_PATH], other_path[MG_PATH],
    socket_path[MG_PATH];
static struct sockaddr_in tcp = {.sin_family = AF_INET};
static struct mg_sandbox_report report;
static pid_t parent;

static int
denied(bool failed)
{
    return failed ? (errno == EACCES || errno == EPERM ? DENIED : 99) : DONE;
}

static int
open_the_key(void)
{
    return denied(open(key_path, O_RDONLY) < 0);
}

static int
open_a_log(void)
{
    return denied(open(other_path, O_RDONLY) < 0);
}

static int
write_beside_the_key(void)
{
    char path[MG_PATH];
    (void) mg_path_join(path, state_path, "keystore/new").code;
    return denied(open(path, O_WRONLY | O_CREAT, 0600) < 0);
}

static int
replace_the_key(void)
{
    return mg_ok(mg_file_replace(key_path, mg_view_text("new"), 0400)) ? DONE : 99;
}

static int
run_a_program(void)
{
    char *const arguments[] = {(char *) (uintptr_t) "true", NULL};
    (void) execve("/bin/true", arguments, NULL);
    return denied(true);
}

static int
start_a_process(void)
{
    const pid_t child = fork();
    if (child == 0)
        _exit(0);
    return denied(child < 0);
}

static int
make_a_local_socket(void)
{
    return denied(socket(AF_UNIX, SOCK_STREAM, 0) < 0);
}

static int
connect_out(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? 98 : denied(connect(fd, (const struct sockaddr *) &tcp, sizeof tcp) != 0);
}

static int
make_a_packet_socket(void)
{
    return denied(socket(AF_PACKET, SOCK_RAW, 0) < 0);
}

static int
map_code(void)
{
    return denied(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

static int
make_writable_code(void)
{
    void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return map == MAP_FAILED ? 98 : denied(mprotect(map, 4096, PROT_READ | PROT_EXEC) != 0);
}

static int
trace_the_parent(void)
{
    return denied(ptrace(PTRACE_ATTACH, parent, NULL, NULL) != 0);
}

static int
signal_the_parent(void)
{
    return denied(kill(parent, SIGTERM) != 0);
}

static int
replace_the_handler(void)
{
    return denied(signal(SIGSYS, SIG_IGN) == SIG_ERR);
}

static int
be_dumpable_again(void)
{
    return denied(prctl(PR_SET_DUMPABLE, 1) != 0);
}

static void *
run_thread(void *ran)
{
    *(bool *) ran = true;
    return NULL;
}

static int
start_threads_and_allocate(void)
{
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        bool ran = false;
        if (pthread_create(&thread, NULL, run_thread, &ran) != 0 || pthread_join(thread, NULL) != 0 || !ran)
            return 99;
    }
    char *large = malloc(32U << 20);
    if (large == NULL)
        return 99;
    memset(large, 1, 32U << 20);
    free(large);
    uint8_t bytes[16];
    mg_random(bytes, sizeof bytes);
    return DONE;
}

/* The end of a child that is sealed as `process` and does `deed`; minus a signal number if killed. */
static int
end_of(enum mg_process process, int (*deed)(void))
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct mg_sandbox_plan plan = {
            .process = process, .state_directory = state_path, .runtime_directory = run_path};
        const int null_fd = open("/dev/null", O_WRONLY);
        (void) dup2(null_fd, 2);
        if (!mg_ok(mg_sandbox_seal(&plan, &report)) || !report.seccomp)
            _exit(SEAL_FAILED);
        _exit(deed());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static bool
have_landlock(void)
{
    unsigned abi = 0;
    const pid_t child = fork();
    if (child == 0) {
        const struct mg_sandbox_path root = {"/", MG_SANDBOX_LOOK};
        _exit(mg_ok(mg_landlock_restrict(&root, 1, true, &abi)) && abi > 0 ? 0 : 1);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void
the_portal_reaches_no_key_no_program_and_no_socket(void **state)
{
    (void) state;
    if (have_landlock()) {
        assert_int_equal(end_of(MG_PORTAL, open_the_key), DENIED);
        assert_int_equal(end_of(MG_PORTAL, open_a_log), DENIED);
        assert_int_equal(end_of(MG_PORTAL, write_beside_the_key), DENIED);
    }
    assert_int_equal(end_of(MG_PORTAL, run_a_program), -SIGSYS);
    assert_int_equal(end_of(MG_PORTAL, start_a_process), STOPPED);
    assert_int_equal(end_of(MG_PORTAL, make_a_local_socket), STOPPED);
    assert_int_equal(end_of(MG_PORTAL, connect_out), STOPPED);
}

static void
keys_replaces_its_files_and_opens_no_socket(void **state)
{
    (void) state;
    assert_int_equal(end_of(MG_KEYS, open_the_key), DONE);
    assert_int_equal(end_of(MG_KEYS, replace_the_key), DONE);
    if (have_landlock())
        assert_int_equal(end_of(MG_KEYS, open_a_log), DENIED);
    assert_int_equal(end_of(MG_KEYS, make_a_local_socket), STOPPED);
    assert_int_equal(end_of(MG_KEYS, connect_out), STOPPED);
    assert_int_equal(end_of(MG_KEYS, run_a_program), -SIGSYS);
}

static void
the_hasher_opens_nothing_at_all(void **state)
{
    (void) state;
    assert_int_equal(end_of(MG_HASHER, open_a_log), STOPPED);
    assert_int_equal(end_of(MG_HASHER, make_a_local_socket), STOPPED);
}

static void
the_worker_connects_but_only_where_it_may(void **state)
{
    (void) state;
    assert_int_equal(end_of(MG_WORKER, connect_out), DONE);
    assert_int_equal(end_of(MG_WORKER, make_a_local_socket), DONE);
    assert_int_equal(end_of(MG_WORKER, make_a_packet_socket), STOPPED);
    assert_int_equal(end_of(MG_WORKER, run_a_program), -SIGSYS);
    if (have_landlock())
        assert_int_equal(end_of(MG_WORKER, open_the_key), DENIED);
}

static void
every_sealed_process_runs_threads_and_no_new_code(void **state)
{
    (void) state;
    for (int process = 0; process < MG_PROCESS_COUNT; process++) {
        if (!mg_sandbox_has_row((enum mg_process) process))
            continue;
        const enum mg_process sealed = (enum mg_process) process;
        assert_int_equal(end_of(sealed, start_threads_and_allocate), DONE);
        assert_int_equal(end_of(sealed, run_a_program), -SIGSYS);
        assert_int_equal(end_of(sealed, trace_the_parent), -SIGSYS);
        assert_int_equal(end_of(sealed, signal_the_parent), STOPPED);
        assert_int_equal(end_of(sealed, replace_the_handler), STOPPED);
        assert_int_equal(end_of(sealed, be_dumpable_again), STOPPED);
        if (!mg_sandbox_has_network(sealed)) {
            assert_int_equal(end_of(sealed, map_code), STOPPED);
            assert_int_equal(end_of(sealed, make_writable_code), STOPPED);
        }
    }
}

static void
a_second_thread_before_the_seal_is_refused(void **state)
{
    (void) state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pthread_t thread;
        pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
        (void) pthread_mutex_lock(&held);
        if (pthread_create(&thread, NULL, (void *(*) (void *) )(void *) pthread_mutex_lock, &held) != 0)
            _exit(99);
        const struct mg_sandbox_plan plan = {
            .process = MG_KEYS, .state_directory = state_path, .runtime_directory = run_path};
        _exit(mg_sandbox_seal(&plan, &report).code == MG_SYSTEM ? DENIED : DONE);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), DENIED);
}

static int
prepare(void **state)
{
    (void) state;
    parent = getpid();
    if (mkdtemp(directory) == NULL)
        return 1;
    assert_ok(mg_path_join(state_path, directory, "state"));
    assert_ok(mg_path_join(run_path, directory, "run"));
    assert_ok(mg_path_join(key_path, state_path, "keystore/root.key"));
    assert_ok(mg_path_join(other_path, state_path, "log/x"));
    assert_ok(mg_path_join(socket_path, run_path, "portal"));
    char path[MG_PATH];
    assert_ok(mg_path_join(path, state_path, "keystore"));
    assert_ok(mg_directory_make(path, 0700));
    assert_ok(mg_path_join(path, state_path, "log"));
    assert_ok(mg_directory_make(path, 0700));
    assert_ok(mg_directory_make(socket_path, 0700));
    assert_ok(mg_file_replace(key_path, mg_view_text("key"), 0400));
    assert_ok(mg_file_replace(other_path, mg_view_text("log"), 0600));
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof tcp;
    tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return bind(listener, (const struct sockaddr *) &tcp, sizeof tcp) != 0 || listen(listener, 8) != 0 ||
           getsockname(listener, (struct sockaddr *) &tcp, &length) != 0;
}

static int
clean(void **state)
{
    (void) state;
    assert_ok(mg_tree_remove(directory));
    return 0;
}

int
main(void)
{
    const struct mg_sandbox_plan plan = {.process = MG_WARDEN};
    struct mg_sandbox_report unsealed;
    if (!mg_ok(mg_sandbox_seal(&plan, &unsealed)) || unsealed.sealed)
        return 1;
#if defined(__SANITIZE_ADDRESS__)
    return 77; /* such a build has no seccomp: see sandbox.c */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return 77;
#endif
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_portal_reaches_no_key_no_program_and_no_socket),
        cmocka_unit_test(keys_replaces_its_files_and_opens_no_socket),
        cmocka_unit_test(the_hasher_opens_nothing_at_all),
        cmocka_unit_test(the_worker_connects_but_only_where_it_may),
        cmocka_unit_test(every_sealed_process_runs_threads_and_no_new_code),
        cmocka_unit_test(a_second_thread_before_the_seal_is_refused),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}
