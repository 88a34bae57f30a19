/* What the launcher's programs may touch: each deed is tried in a child that closed the door behind itself.
 */
#include "test.h"

#include "base/io.h"
#include "ports/program.h"
#include "process/launcher/confine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "/tmp/mg-confine-XXXXXX";
static char readable[MG_PATH], writable[MG_PATH], closed[MG_PATH], program[MG_PATH], file[MG_PATH];
enum { DONE = 0, DENIED = 10, OTHER = 11, NOT_CLOSED = 12 };

static int
outcome(bool done)
{
    return done ? DONE : errno == EACCES || errno == EPERM ? DENIED : OTHER;
}

static int
opens(const char *directory, const char *name, int flags)
{
    char path[MG_PATH];
    return mg_ok(mg_path_join(path, directory, name)) ? outcome(open(path, flags | O_CLOEXEC, 0600) >= 0)
                                                      : OTHER;
}

static bool network = true;

/* Runs `deed` in a child confined to `paths`. */
static int
confined(const struct confine_path *paths, size_t count, int (*deed)(void))
{
    int rules = -1, status = 0;
    assert_ok(confine_prepare(paths, count, network, &rules));
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(confine_enter(rules) ? deed() : NOT_CLOSED);
    if (rules >= 0)
        (void) close(rules);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int
read_readable(void)
{
    return opens(readable, "text", O_RDONLY);
}
static int
write_readable(void)
{
    return opens(readable, "text", O_WRONLY);
}
static int
make_in_readable(void)
{
    return opens(readable, "new", O_WRONLY | O_CREAT);
}
static int
read_closed(void)
{
    return opens(closed, "text", O_RDONLY);
}
static int
list_closed(void)
{
    return outcome(open(closed, O_RDONLY | O_DIRECTORY) >= 0);
}
static int
read_writable(void)
{
    return opens(writable, "text", O_RDONLY);
}
static int
write_writable(void)
{
    return opens(writable, "text", O_RDWR);
}
static int
truncate_writable(void)
{
    return opens(writable, "text", O_WRONLY | O_TRUNC);
}
static int
make_in_writable(void)
{
    return opens(writable, "new", O_WRONLY | O_CREAT);
}

static int
make_everything(void)
{
    char path[MG_PATH], other[MG_PATH];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int end = socket(AF_UNIX, SOCK_STREAM, 0);
    if (!mg_ok(mg_path_join(path, writable, "directory")) || mkdir(path, 0700) != 0 || rmdir(path) != 0)
        return OTHER;
    if (!mg_ok(mg_path_join(path, writable, "socket")) ||
        !mg_ok(mg_view_copy(mg_view_text(path), address.sun_path, sizeof address.sun_path)))
        return OTHER;
    if (bind(end, (const struct sockaddr *) &address, sizeof address) != 0 || unlink(address.sun_path) != 0)
        return OTHER;
    if (!mg_ok(mg_path_join(path, writable, "one")) || !mg_ok(mg_path_join(other, writable, "two")) ||
        symlink("text", path) != 0 || rename(path, other) != 0 || unlink(other) != 0)
        return OTHER;
    return outcome(true);
}

static int
make_a_device(void)
{
    char path[MG_PATH];
    return mg_ok(mg_path_join(path, writable, "device")) ? outcome(mknod(path, S_IFCHR | 0600, 0x103) == 0)
                                                         : OTHER;
}

static int
move_out(void)
{
    char from[MG_PATH], to[MG_PATH];
    if (!mg_ok(mg_path_join(from, writable, "text")) || !mg_ok(mg_path_join(to, closed, "moved")))
        return OTHER;
    return outcome(rename(from, to) == 0) == DONE ? DONE : DENIED; /* EXDEV is a refusal too */
}

static int
run_program(void)
{
    char *const words[] = {program, NULL};
    (void) execve(program, words, (char *const[]){NULL});
    return outcome(false);
}

static int
no_new_privileges(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? DONE : OTHER;
}

static bool
landlock_is_here(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

static void
reading_is_not_writing(void **state)
{
    (void) state;
    if (!landlock_is_here())
        skip();
    const struct confine_path paths[] = {{readable, CONFINE_READ}};
    assert_int_equal(confined(paths, 1, read_readable), DONE);
    assert_int_equal(confined(paths, 1, write_readable), DENIED);
    assert_int_equal(confined(paths, 1, make_in_readable), DENIED);
    assert_int_equal(confined(paths, 1, read_closed), DENIED);
    assert_int_equal(confined(paths, 1, list_closed), DENIED);
    assert_int_equal(confined(NULL, 0, read_readable), DENIED);
}

static void
writing_is_everything_but_devices(void **state)
{
    (void) state;
    if (!landlock_is_here())
        skip();
    const struct confine_path paths[] = {{writable, CONFINE_READ | CONFINE_WRITE}, {readable, CONFINE_READ}};
    assert_int_equal(confined(paths, 2, read_writable), DONE);
    assert_int_equal(confined(paths, 2, write_writable), DONE);
    assert_int_equal(confined(paths, 2, truncate_writable), DONE);
    assert_int_equal(confined(paths, 2, make_in_writable), DONE);
    assert_int_equal(confined(paths, 2, make_everything), DONE);
    assert_int_equal(confined(paths, 2, make_a_device), DENIED);
    assert_int_equal(confined(paths, 2, move_out), DENIED);
    assert_int_equal(confined(paths, 2, write_readable), DENIED);
}

static void
running_must_be_allowed(void **state)
{
    (void) state;
    if (!landlock_is_here())
        skip();
    const struct confine_path system_paths[] = {{"/usr", CONFINE_READ | CONFINE_EXECUTE},
                                                {"/lib", CONFINE_READ | CONFINE_EXECUTE},
                                                {"/lib64", CONFINE_READ | CONFINE_EXECUTE},
                                                {"/etc", CONFINE_READ},
                                                {program, CONFINE_READ}};
    struct confine_path paths[5];
    memcpy(paths, system_paths, sizeof paths);
    assert_int_equal(confined(paths, 5, run_program), DENIED);
    paths[4].access = CONFINE_READ | CONFINE_EXECUTE; /* a single file, too */
    assert_int_equal(confined(paths, 5, run_program), DONE);
}

static void
a_file_alone_and_a_path_that_is_not_there(void **state)
{
    (void) state;
    if (!landlock_is_here())
        skip();
    int rules = -1;
    const struct confine_path paths[] = {{file, CONFINE_READ | CONFINE_WRITE},
                                         {"/no/such/place", CONFINE_WRITE}};
    assert_int_equal(confined(paths, 2, read_readable), DONE);
    assert_int_equal(confined(paths, 2, make_in_readable), DENIED); /* its directory is not open */
    assert_int_equal(confined(paths, 2, read_closed), DENIED);
    const pid_t pid = fork();
    if (pid == 0) {
        int own = -1;
        const bool closed_door = mg_ok(confine_prepare(paths, 2, true, &own)) && confine_enter(own);
        _exit(closed_door ? outcome(open(file, O_RDWR) >= 0) : NOT_CLOSED);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), DONE);
    /* Not "not there" but wrong: no rule set at all, rather than one with a hole. */
    char below[MG_PATH];
    assert_ok(mg_path_join(below, file, "below"));
    const struct confine_path wrong[] = {{below, CONFINE_READ}};
    assert_false(mg_ok(confine_prepare(wrong, 1, true, &rules)));
    assert_int_equal(rules, -1);
}

static int
signals_its_parent(void)
{
    return outcome(kill(getppid(), 0) == 0);
}
static int
signals_its_child(void)
{
    const pid_t pid = fork();
    if (pid == 0)
        for (;;)
            (void) pause();
    const int result = outcome(kill(pid, SIGKILL) == 0);
    (void) waitpid(pid, NULL, 0);
    return result;
}
/* Nobody listens there: refused by the other side, not by the kernel's rules. */
static int
connects(void)
{
    const struct sockaddr_in nowhere = {
        .sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void) !connect(fd, (const struct sockaddr *) &nowhere, sizeof nowhere);
    return errno == ECONNREFUSED ? DONE : outcome(false);
}

static void
no_signal_to_others_and_no_tcp_for_a_database(void **state)
{
    (void) state;
    const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    assert_int_equal(confined(NULL, 0, connects), DONE);
    assert_int_equal(confined(NULL, 0, signals_its_child), DONE);
    assert_int_equal(confined(NULL, 0, signals_its_parent), abi >= 6 ? DENIED : DONE);
    network = false;
    assert_int_equal(confined(NULL, 0, connects), abi >= 4 ? DENIED : DONE);
    network = true;
}

static void
no_new_privileges_with_or_without_landlock(void **state)
{
    (void) state;
    int status = 0;
    assert_int_equal(confined(NULL, 0, no_new_privileges), DONE);
    const pid_t pid = fork();
    if (pid == 0)
        _exit(confine_enter(-1) ? no_new_privileges() : NOT_CLOSED);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), DONE);
    /* A descriptor that is no rule set lets nothing start. */
    const pid_t other = fork();
    if (other == 0)
        _exit(confine_enter(0) ? DONE : NOT_CLOSED);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(WEXITSTATUS(status), NOT_CLOSED);
}

static int
places_make(void **state)
{
    (void) state;
    char *const directories[] = {readable, writable, closed};
    static const char *const names[] = {"readable", "writable", "closed"};
    assert_non_null(mkdtemp(root));
    for (size_t i = 0; i < MG_COUNT(names); i++) {
        char path[MG_PATH];
        assert_ok(mg_path_join(directories[i], root, names[i]));
        assert_int_equal(mkdir(directories[i], 0700), 0);
        assert_ok(mg_path_join(path, directories[i], "text"));
        assert_ok(mg_file_replace(path, mg_view_text("text"), 0600));
    }
    assert_ok(mg_path_join(file, readable, "text"));
    assert_ok(mg_path_join(program, root, "program"));
    OWN_BUFFER(bytes, 1 << 20);
    assert_ok(mg_file_read("/bin/true", &bytes));
    assert_ok(mg_file_replace(program, mg_buffer_view(&bytes), 0700));
    return 0;
}

static int
places_remove(void **state)
{
    (void) state;
    const char *const words[] = {"/bin/rm", "-rf", root, NULL};
    const struct mg_program remove = {
        .arguments = words, .uid = MG_SAME_UID, .gid = MG_SAME_GID, .output_fd = -1};
    int code = 0;
    return mg_ok(mg_program_run(&remove, 10000, &code)) ? code : 1;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_is_not_writing),
        cmocka_unit_test(writing_is_everything_but_devices),
        cmocka_unit_test(running_must_be_allowed),
        cmocka_unit_test(a_file_alone_and_a_path_that_is_not_there),
        cmocka_unit_test(no_signal_to_others_and_no_tcp_for_a_database),
        cmocka_unit_test(no_new_privileges_with_or_without_landlock),
    };
    return cmocka_run_group_tests(tests, places_make, places_remove);
}
