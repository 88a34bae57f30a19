#include "test.h"

#include "base/io.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char place[MG_PATH];

static int
place_make(void **state)
{
    const char *base = getenv("TMPDIR");
    (void) state;
    (void) snprintf(place, sizeof place, "%s/mg-files-XXXXXX", base != NULL ? base : "/tmp");
    return mkdtemp(place) == NULL;
}

static int
place_remove(void **state)
{
    (void) state;
    return mg_ok(mg_tree_remove(place)) && access(place, F_OK) != 0 ? 0 : 1;
}

static const char *
at(const char *name)
{
    static _Thread_local char paths[4][MG_PATH];
    static _Thread_local unsigned turn;
    char *path = paths[turn++ % 4];
    assert_true(mg_ok(mg_path_join(path, place, name)));
    return path;
}

static void
file_put(const char *name)
{
    assert_true(mg_ok(mg_file_replace(at(name), mg_view_text("kept"), 0600)));
}

static void
a_tree_goes_and_its_links_are_not_followed(void **state)
{
    (void) state;
    assert_true(mg_ok(mg_directory_make(at("tree/a/b/c"), 0700)));
    assert_true(mg_ok(mg_directory_make(at("outside"), 0700)));
    file_put("outside/file");
    for (int i = 0; i < 300; i++) {
        char name[32];
        (void) snprintf(name, sizeof name, "tree/a/file-%d", i);
        file_put(name);
    }
    assert_int_equal(symlink(at("outside"), at("tree/a/link")), 0);
    assert_true(mg_ok(mg_tree_remove(at("tree"))));
    assert_int_not_equal(access(at("tree"), F_OK), 0);
    assert_int_equal(access(at("outside/file"), F_OK), 0);
    /* The link itself, not what it names; what is not there is not missed. */
    assert_int_equal(symlink(at("outside"), at("link")), 0);
    assert_true(mg_ok(mg_tree_remove(at("link"))));
    assert_true(mg_ok(mg_tree_remove(at("link"))));
    assert_true(mg_ok(mg_tree_remove(at("nowhere/at/all"))));
    assert_int_equal(access(at("outside/file"), F_OK), 0);
    assert_false(mg_ok(mg_tree_remove(at(".."))));
    assert_false(mg_ok(mg_tree_remove(at("outside/"))));
}

static atomic_bool done;

/* Puts a link to the outside in the place of a directory and back, as fast as it can. */
static void *
swap(void *unused)
{
    while (!atomic_load(&done)) {
        (void) renameat2(AT_FDCWD, at("swapped/inner"), AT_FDCWD, at("link"), RENAME_EXCHANGE);
        (void) renameat2(AT_FDCWD, at("swapped/inner"), AT_FDCWD, at("link"), RENAME_EXCHANGE);
    }
    return unused;
}

static void
a_directory_that_becomes_a_link_meanwhile_leads_nowhere(void **state)
{
    (void) state;
    pthread_t thread;
    assert_true(mg_ok(mg_directory_make(at("victim"), 0700)));
    assert_int_equal(symlink(at("victim"), at("link")), 0);
    assert_int_equal(pthread_create(&thread, NULL, swap, NULL), 0);
    for (int i = 0; i < 300; i++) {
        file_put("victim/file");
        (void) mkdir(at("swapped"), 0700);
        (void) mkdir(at("swapped/inner"), 0700);
        const struct mg_status ignored = mg_tree_remove(at("swapped"));
        (void) ignored; /* it may fail under such a hand; it must not reach the victim */
        assert_int_equal(access(at("victim/file"), F_OK), 0);
        (void) rmdir(at("link")); /* the last turn may have left the directory here */
        (void) !symlink(at("victim"), at("link"));
    }
    atomic_store(&done, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_goes_and_its_links_are_not_followed),
        cmocka_unit_test(a_directory_that_becomes_a_link_meanwhile_leads_nowhere),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
