/* The launcher's table of programs, with toy programs. The table is one for a process, so each test is a
 * launcher of its own in a child of ours; what it starts must outlive it. */
#include "test.h"

#include "base/io.h"
#include "base/time.h"
#include "process/launcher/children.h"
#include "process/launcher/confine.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char runtime[] = "/tmp/mg-children-XXXXXX";
static char record_directory[MG_PATH];

/* ---- toys ---- */

static unsigned starts, stops, refusals_left;
static const char *stopped_last;

/* The request is the words of a command, one a line: "sleep\n1000". */
static struct mg_status
toy_start(struct mg_view request, int pid_fd, struct mg_process_mark *ret_mark)
{
    char text[256], *words[4] = {NULL}, *rest = text;
    starts++;
    if (refusals_left > 0) {
        refusals_left--;
        return fail_with(SYSTEM, "the toy is broken");
    }
    TRY(mg_view_copy(request, text, sizeof text));
    for (size_t i = 0; i < MG_COUNT(words) - 1 && rest != NULL; i++)
        words[i] = strsep(&rest, "\n");
    struct child_preparation preparation = {.pid_fd = pid_fd, .rules_fd = -1};
    const struct mg_program program = {.arguments = (const char *const *) words,
                                       .uid = MG_SAME_UID,
                                       .gid = MG_SAME_GID,
                                       .output_fd = -1,
                                       .prepare = child_prepare,
                                       .context = &preparation};
    pid_t pid;
    TRY(mg_program_start(&program, &pid));
    const struct mg_status marked = mg_process_mark(pid, ret_mark);
    if (marked.code == MG_NOT_FOUND) /* over already: the next look finds that out */
        *ret_mark = (struct mg_process_mark){.pid = pid};
    return OK;
}

static bool
is_sleep(struct mg_view request, pid_t pid)
{
    char path[64];
    OWN_BUFFER(words, 4096);
    (void) request;
    (void) snprintf(path, sizeof path, "/proc/%d/cmdline", (int) pid);
    return mg_ok(mg_file_read(path, &words)) && words.length > 10 &&
           memmem(words.bytes, words.length, "/sleep", 6) != NULL;
}

static struct mg_status
toy_stop(struct mg_view request, const struct mg_process_mark *mark)
{
    (void) request;
    stops++;
    if (kill(mark->pid, SIGTERM) != 0)
        return fail_errno("kill");
    for (int i = 0; i < 400 && mg_process_alive(mark); i++)
        (void) usleep(5000);
    return mg_process_alive(mark) ? fail_with(TIMEOUT, "toy") : OK;
}

static struct mg_status
steady_stop(struct mg_view request, const struct mg_process_mark *mark)
{
    stopped_last = "steady";
    return toy_stop(request, mark);
}

static struct mg_status
fickle_stop(struct mg_view request, const struct mg_process_mark *mark)
{
    stopped_last = "fickle";
    return toy_stop(request, mark);
}

static const struct child_kind steady = {
    .label = "steady", .start = toy_start, .is_it = is_sleep, .stop = steady_stop};
static const struct child_kind fickle = {
    .label = "fickle", .restart_on_change = true, .start = toy_start, .is_it = is_sleep, .stop = fickle_stop};
static const struct child_kind *const kinds[] = {&fickle, &steady};

#define SLEEP "/bin/sleep\n1000"
#define SLEEP_LONGER "/bin/sleep\n1001"
#define ENDS_AT_ONCE "/bin/false"

/* ---- launchers ---- */

static void
opened(void)
{
    assert_ok(children_open(runtime, kinds, MG_COUNT(kinds)));
}

static struct mg_process_mark
ran(const struct child_kind *kind, const char *name, const char *request)
{
    struct mg_process_mark mark = {0};
    assert_ok(child_run(kind, name, mg_view_text(request), &mark));
    assert_true(mark.pid > 0);
    return mark;
}

/* Until the child runs as another process than `old`. */
static struct mg_process_mark
come_back(const struct child_kind *kind, const char *name, const struct mg_process_mark *old)
{
    struct mg_process_mark mark = {0};
    const int64_t until = mg_monotonic_ms() + 5000;
    while (!mg_ok(child_mark(kind, name, &mark)) || (old != NULL && mark.pid == old->pid)) {
        assert_true(mg_monotonic_ms() < until);
        (void) usleep(5000);
    }
    return mark;
}

static void
listed(const char *name, struct mg_record_child_state *ret_row)
{
    static struct mg_buffer list = MG_BUFFER(65536);
    bool more = false;
    mg_buffer_clear(&list);
    assert_ok(children_list(0, &list));
    struct mg_list rows = {.bytes = mg_buffer_view(&list)};
    do {
        assert_ok(mg_list_next_child_state(&rows, ret_row, &more));
        assert_true(more);
    } while (!mg_view_is(ret_row->name, name));
}

/* Runs `body` as a launcher; it is killed at the end as hard as a launcher can be. */
static void
as_launcher(void (*body)(void))
{
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        opened();
        body();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* What a launcher left is ours now (we are the subreaper): found by its record. */
static void
leftover_end(const char *name)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 64);
    uint64_t pid = 0;
    assert_ok(mg_path_join(path, record_directory, name));
    if (mg_ok(mg_file_read(path, &text)) && mg_ok(mg_parse_u64(mg_buffer_view(&text), INT32_MAX, &pid)) &&
        pid > 1 && is_sleep(MG_VIEW_EMPTY, (pid_t) pid))
        (void) kill((pid_t) pid, SIGKILL);
    (void) unlink(path);
}

static void
clean(void)
{
    int status;
    DIR *directory = opendir(record_directory);
    assert_non_null(directory);
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2)
            leftover_end(entry->d_name);
    (void) closedir(directory);
    while (waitpid(-1, &status, WNOHANG) > 0)
        ;
    assert_int_equal(rmdir(record_directory), 0);
}

/* ---- one launcher ---- */

static void
runs_once(void)
{
    struct mg_record_child_state row;
    struct mg_process_mark mark;
    assert_code(child_mark(&steady, "a", &mark), NOT_FOUND);
    const struct mg_process_mark first = ran(&steady, "a", SLEEP);
    assert_int_equal(ran(&steady, "a", SLEEP).pid, first.pid);
    assert_int_equal(starts, 1);
    assert_int_not_equal(ran(&steady, "b", SLEEP).pid, first.pid);
    listed("steady a", &row);
    assert_true(mg_view_is(row.state, "running"));
    assert_int_equal(row.pid, first.pid);
    /* Another request reaches it at its next start, or at once if its kind says so. */
    assert_int_equal(ran(&steady, "a", SLEEP_LONGER).pid, first.pid);
    const struct mg_process_mark before = ran(&fickle, "a", SLEEP);
    const struct mg_process_mark after = ran(&fickle, "a", SLEEP_LONGER);
    assert_int_not_equal(after.pid, before.pid);
    assert_false(mg_process_alive(&before));
}

static void
comes_back(void)
{
    struct mg_record_child_state row;
    const struct mg_process_mark first = ran(&steady, "a", SLEEP);
    const int64_t killed_ms = mg_monotonic_ms();
    assert_int_equal(kill(first.pid, SIGKILL), 0);
    const struct mg_process_mark second = come_back(&steady, "a", &first);
    assert_true(mg_monotonic_ms() - killed_ms < 2000);
    listed("steady a", &row);
    assert_int_equal(row.restarts, 1);
    assert_int_equal(row.pid, second.pid);
}

static bool
sleeps_longer(struct mg_view request)
{
    return mg_view_is(request, SLEEP_LONGER);
}

/* A drill: it ends, stays away as long as it is held, and comes back by itself or when it is asked for. */
static void
is_interrupted(void)
{
    struct mg_process_mark mark;
    struct mg_record_child_state row;
    char name[CHILD_NAME / 2];
    assert_code(child_interrupt(&steady, "a", 100), NOT_FOUND);
    assert_code(child_find_request(&steady, sleeps_longer, name), NOT_FOUND);
    (void) ran(&steady, "b", SLEEP);
    const struct mg_process_mark first = ran(&steady, "a", SLEEP_LONGER);
    assert_ok(child_find_request(&steady, sleeps_longer, name));
    assert_string_equal(name, "a");
    const int64_t held_ms = mg_monotonic_ms();
    assert_ok(child_interrupt(&steady, name, 600));
    assert_false(mg_process_alive(&first));
    assert_code(child_mark(&steady, "a", &mark), NOT_FOUND);
    assert_code(child_interrupt(&steady, "a", 100), NOT_FOUND);
    listed("steady a", &row);
    assert_true(mg_view_is(row.state, "waiting"));
    const struct mg_process_mark second = come_back(&steady, "a", &first);
    assert_true(mg_monotonic_ms() - held_ms >= 600);
    assert_ok(child_interrupt(&steady, "a", 60000));
    child_hurry(&steady, "a");
    (void) come_back(&steady, "a", &second);
    assert_true(mg_monotonic_ms() - held_ms < 10000);
    /* That it ended often was meant: nothing makes it wait the next time it really does. */
    for (int i = 0; i < 10; i++) {
        const struct mg_process_mark before = come_back(&steady, "a", NULL);
        assert_ok(child_interrupt(&steady, "a", 0));
        (void) come_back(&steady, "a", &before);
    }
}

static void
waits_longer_each_time(void)
{
    struct mg_record_child_state row;
    const int64_t began_ms = mg_monotonic_ms();
    (void) ran(&steady, "a", ENDS_AT_ONCE);
    do { /* 50, 100, ... 1600 ms, and from the eighth end on half a minute */
        (void) usleep(50000);
        listed("steady a", &row);
        assert_true(mg_monotonic_ms() - began_ms < 15000);
    } while (row.restarts < 8);
    assert_true(mg_monotonic_ms() - began_ms > 50 + 100 + 200 + 400 + 800 + 1600 + 1600);
    assert_true(mg_view_is(row.state, "waiting"));
    const unsigned before = starts;
    (void) usleep(2500000);
    assert_int_equal(starts, before);
}

static void
a_start_that_fails_is_tried_again(void)
{
    struct mg_process_mark mark;
    refusals_left = 1;
    assert_code(child_run(&steady, "a", mg_view_text(SLEEP), &mark), SYSTEM);
    (void) come_back(&steady, "a", NULL);
    assert_int_equal(starts, 2);
}

static void
is_stopped(void)
{
    char path[MG_PATH];
    struct mg_process_mark mark;
    const struct mg_process_mark first = ran(&steady, "a", SLEEP);
    assert_ok(mg_path_join(path, record_directory, "steady.a.request"));
    assert_int_equal(access(path, F_OK), 0);
    assert_ok(child_stop(&steady, "a"));
    assert_false(mg_process_alive(&first));
    assert_int_equal(access(path, F_OK), -1);
    (void) usleep(1200000); /* the watching thread looks, and leaves it so */
    assert_code(child_mark(&steady, "a", &mark), NOT_FOUND);
    assert_int_equal(starts, 1);
    assert_ok(child_stop(&steady, "a"));
    assert_ok(child_stop(&steady, "never"));
    assert_int_equal(stops, 1);
}

static void
all_are_stopped(void)
{
    struct mg_process_mark mark;
    const struct mg_process_mark marks[] = {ran(&steady, "a", SLEEP), ran(&fickle, "b", SLEEP),
                                            ran(&steady, "c", SLEEP)};
    children_stop_all();
    for (size_t i = 0; i < MG_COUNT(marks); i++)
        assert_false(mg_process_alive(&marks[i]));
    assert_string_equal(stopped_last, "steady"); /* in the order of the kinds: what uses another goes first */
    assert_code(child_run(&steady, "d", mg_view_text(SLEEP), &mark), UNAVAILABLE);
}

static void
names_are_bounded(void)
{
    char name[CHILD_NAME + 8];
    struct mg_process_mark mark;
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_false(mg_ok(child_run(&steady, name, mg_view_text(SLEEP), &mark)));
    assert_int_equal(starts, 0);
}

#define ALONE(name)                       \
    static void test_##name(void **state) \
    {                                     \
        (void) state;                     \
        as_launcher(name);                \
        clean();                          \
    }
ALONE(runs_once)
ALONE(comes_back)
ALONE(is_interrupted)
ALONE(waits_longer_each_time)
ALONE(a_start_that_fails_is_tried_again)
ALONE(is_stopped)
ALONE(all_are_stopped)
ALONE(names_are_bounded)

/* ---- one launcher after another ---- */

static void
starts_one(void)
{
    (void) ran(&steady, "a", SLEEP);
}

static pid_t
recorded(void)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 32);
    uint64_t pid = 0;
    assert_ok(mg_path_join(path, record_directory, "steady.a.pid"));
    assert_ok(mg_file_read(path, &text));
    assert_ok(mg_parse_u64(mg_buffer_view(&text), INT32_MAX, &pid));
    return (pid_t) pid;
}

static void
finds_it_again(void)
{
    const pid_t before = recorded();
    const struct mg_process_mark found = come_back(&steady, "a", NULL);
    assert_int_equal(found.pid, before);
    assert_int_equal(starts, 0);
    /* It is nobody's child of ours, and still its end is seen. */
    assert_int_equal(kill(before, SIGKILL), 0);
    (void) come_back(&steady, "a", &found);
    assert_int_equal(starts, 1);
    assert_ok(child_stop(&steady, "a"));
}

static void
test_the_next_launcher_takes_over(void **state)
{
    (void) state;
    as_launcher(starts_one);
    assert_true(is_sleep(MG_VIEW_EMPTY, recorded()));
    as_launcher(finds_it_again);
    clean();
}

static void
starts_its_own(void)
{
    const struct mg_process_mark found = come_back(&steady, "a", NULL);
    assert_int_equal(starts, 1);
    assert_true(is_sleep(MG_VIEW_EMPTY, found.pid));
    assert_ok(child_stop(&steady, "a"));
}

/* The pid came to another program, or the file is damaged: nobody else's process is taken or ended. */
static void
test_a_stranger_is_not_taken_for_it(void **state)
{
    char path[MG_PATH], pid[32];
    (void) state;
    (void) snprintf(pid, sizeof pid, "%d", (int) getpid());
    const char *const texts[] = {pid, "", "1x", "-1", "99999999999999999999", "2147483646"};
    for (size_t i = 0; i < MG_COUNT(texts); i++) {
        as_launcher(starts_one);
        (void) kill(recorded(), SIGKILL);
        assert_ok(mg_path_join(path, record_directory, "steady.a.pid"));
        assert_ok(mg_file_replace(path, mg_view_text(texts[i]), 0600));
        as_launcher(starts_its_own);
        clean();
    }
}

static void
knows_nobody(void)
{
    OWN_BUFFER(list, 65536);
    (void) usleep(100000);
    assert_ok(children_list(0, &list));
    assert_int_equal(list.length, 0);
}

static void
test_other_files_are_left_alone(void **state)
{
    static const char *const names[] = {"steady.request",    "steady..request", "other.a.request",
                                        "steady.a.requests", "steady",          ".request"};
    (void) state;
    as_launcher(knows_nobody);
    for (size_t i = 0; i < MG_COUNT(names); i++) {
        char path[MG_PATH];
        if (strcmp(names[i], "steady..request") == 0)
            continue; /* the empty name is a name */
        assert_ok(mg_path_join(path, record_directory, names[i]));
        assert_ok(mg_file_replace(path, mg_view_text(SLEEP), 0600));
    }
    as_launcher(knows_nobody);
    clean();
}

enum { MANY = 1200 };

static void
lists_them_all(void)
{
    static bool seen[MANY];
    uint64_t from = 0;
    for (uint64_t before = UINT64_MAX; from != before;) {
        OWN_BUFFER(list, 122880);
        before = from;
        assert_ok(children_list(from, &list));
        struct mg_list rows = {.bytes = mg_buffer_view(&list)};
        for (bool more = true;; from++) {
            struct mg_record_child_state row;
            uint64_t number = 0;
            assert_ok(mg_list_next_child_state(&rows, &row, &more));
            if (!more)
                break;
            assert_ok(mg_parse_u64(
                mg_view_of(row.name.bytes + strlen("steady "), row.name.length - strlen("steady ")), MANY - 1,
                &number));
            assert_false(seen[number]);
            seen[number] = true;
        }
    }
    assert_int_equal(from, MANY);
    OWN_BUFFER(none, 64);
    assert_ok(children_list(UINT64_MAX, &none));
    assert_int_equal(none.length, 0);
}

static void
test_a_thousand_are_listed_in_parts(void **state)
{
    char name[64], path[MG_PATH];
    (void) state;
    assert_int_equal(mkdir(record_directory, 0700), 0);
    for (int i = 0; i < MANY; i++) {
        (void) snprintf(name, sizeof name, "steady.%d.request", i);
        assert_ok(mg_path_join(path, record_directory, name));
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        (void) fputs(SLEEP, file);
        (void) fclose(file);
    }
    refusals_left = UINT32_MAX; /* none of them need run */
    as_launcher(lists_them_all);
    refusals_left = 0;
    clean();
}

int
main(void)
{
    if (mkdtemp(runtime) == NULL || !mg_ok(mg_path_join(record_directory, runtime, "launcher")) ||
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_once),
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_is_interrupted),
        cmocka_unit_test(test_waits_longer_each_time),
        cmocka_unit_test(test_a_start_that_fails_is_tried_again),
        cmocka_unit_test(test_is_stopped),
        cmocka_unit_test(test_all_are_stopped),
        cmocka_unit_test(test_names_are_bounded),
        cmocka_unit_test(test_the_next_launcher_takes_over),
        cmocka_unit_test(test_a_stranger_is_not_taken_for_it),
        cmocka_unit_test(test_other_files_are_left_alone),
        cmocka_unit_test(test_a_thousand_are_listed_in_parts),
    };
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    (void) rmdir(runtime);
    return failures;
}
