#include "test.h"

#include "base/io.h"
#include "ports/vault_mirror.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char place[MG_PATH];
static const uint8_t key[MG_VAULT_KEY] = {1, 2, 3}, other_key[MG_VAULT_KEY] = {4};

static const char *
at(const char *name)
{
    static char paths[8][MG_PATH];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    assert_true(mg_ok(mg_path_join(path, place, name)));
    return path;
}

static int
place_make(void **state)
{
    const char *base = getenv("TMPDIR");
    (void) state;
    (void) snprintf(place, sizeof place, "%s/mg-vault-XXXXXX", base != NULL ? base : "/tmp");
    return mkdtemp(place) == NULL || !mg_ok(mg_directory_make(at("near/backup/t/20260101-000000F"), 0700)) ||
           !mg_ok(mg_directory_make(at("vault"), 0700)) || !mg_ok(mg_directory_make(at("back"), 0700));
}

static int
place_remove(void **state)
{
    (void) state;
    return mg_ok(mg_tree_remove(place)) ? 0 : 1;
}

static void
put(const char *path, const char *text)
{
    assert_true(mg_ok(mg_file_replace(at(path), mg_view_text(text), 0600)));
}

/* Of "one", of "two". */
#define ONE "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
#define TWO "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
#define FULL "backup/t/20260101-000000F/"

static void
list_put(const char *lines)
{
    char text[1024];
    (void) snprintf(text, sizeof text, "masugata-inventory 1 0 0 -\n%shmac 00\n", lines);
    put("list", text);
}

static struct mg_vault_run
run_of(enum mg_vault_verb verb, const struct mg_vault_result *known)
{
    static char repository[MG_PATH], store[MG_PATH], list[MG_PATH], target[MG_PATH];
    (void) snprintf(repository, sizeof repository, "%s", at("near"));
    (void) snprintf(store, sizeof store, "%s", at("vault"));
    (void) snprintf(list, sizeof list, "%s", at("list"));
    (void) snprintf(target, sizeof target, "%s", at("back"));
    struct mg_vault_run run = {
        .verb = verb, .repository = repository, .store = store, .list = list, .target = target};
    memcpy(run.key, key, sizeof key);
    if (known != NULL) {
        memcpy(run.digest, known->digest, sizeof run.digest);
        memcpy(run.id, known->id, sizeof run.id);
        run.generation = known->generation;
    }
    return run;
}

static struct mg_vault_result
done(enum mg_vault_verb verb, const struct mg_vault_result *known)
{
    struct mg_vault_run run = run_of(verb, known);
    struct mg_vault_result result;
    assert_true(mg_ok(mg_vault_mirror(&run, &result)));
    mg_vault_result_drop(&result);
    return result;
}

static enum mg_code
refused(struct mg_vault_run run)
{
    struct mg_vault_result result;
    const struct mg_status status = mg_vault_mirror(&run, &result);
    mg_vault_result_drop(&result);
    return status.code;
}

static bool
is_there(const char *path)
{
    return access(at(path), F_OK) == 0;
}

static void
flip(const char *path, off_t offset)
{
    uint8_t byte = 0;
    const int fd = open(at(path), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && pread(fd, &byte, 1, offset) == 1);
    byte ^= 1;
    assert_true(pwrite(fd, &byte, 1, offset) == 1 && close(fd) == 0);
}

static void
names_lead_nowhere_else(void **state)
{
    (void) state;
    static const char *const good[] = {"a", "a/b-1.gz", "backup/t/2026F_2026D/x", "0+_."};
    static const char *const bad[] = {"",   "/a",   "a/",  "a//b", "..",   "a/../b",
                                      ".a", "a/.b", "a b", "-a",   "a\nb", "a/1/2/3/4/5/6/7/8/9/10/11/12/13"};
    for (size_t i = 0; i < MG_COUNT(good); i++)
        assert_true(mg_store_name_is_valid(mg_view_text(good[i])));
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_false(mg_store_name_is_valid(mg_view_text(bad[i])));
}

static void
a_seal_holds_the_bytes_the_name_and_the_end(void **state)
{
    OWN(store) store = NULL;
    uint8_t digest[MG_VAULT_DIGEST];
    (void) state;
    assert_true(mg_ok(mg_store_open(at("vault"), &store)));
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 200000};
    for (size_t i = 0; i < MG_COUNT(sizes); i++) {
        struct stat info;
        OWN_BUFFER(bytes, 200000);
        OWN_BUFFER(back, 200000);
        for (size_t b = 0; b < sizes[i]; b++)
            assert_true(mg_ok(mg_buffer_add_byte(&bytes, (uint8_t) (b * 7))));
        assert_true(mg_ok(mg_file_replace(at("plain"), mg_buffer_view(&bytes), 0600)));
        OWN_FD fd = open(at("plain"), O_RDONLY | O_CLOEXEC);
        OWN_FD out = open(at("out"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(mg_ok(mg_vault_put(store, key, "seal/x", fd, NULL, NULL)));
        assert_true(stat(at("vault/seal/x"), &info) == 0);
        assert_int_equal((uint64_t) info.st_size, mg_vault_sealed_bytes(sizes[i]));
        assert_true(mg_ok(mg_vault_get(store, key, "seal/x", out, digest)));
        assert_true(lseek(out, 0, SEEK_SET) == 0 && mg_ok(mg_fd_read_all(out, &back)));
        assert_true(mg_view_equal(mg_buffer_view(&bytes), mg_buffer_view(&back)));
        assert_int_equal(mg_vault_get(store, other_key, "seal/x", -1, digest).code, MG_INTEGRITY);
        /* Cut short by a piece, or by a byte. */
        assert_true(truncate(at("vault/seal/x"), info.st_size - 1) == 0);
        assert_int_equal(mg_vault_get(store, key, "seal/x", -1, digest).code, MG_INTEGRITY);
        if (sizes[i] > 65536) {
            assert_true(truncate(at("vault/seal/x"), 17 + 24 + 65536 + 17) == 0);
            assert_int_equal(mg_vault_get(store, key, "seal/x", -1, digest).code, MG_INTEGRITY);
        }
    }
    put("plain", "one");
    OWN_FD fd = open(at("plain"), O_RDONLY | O_CLOEXEC);
    assert_true(mg_ok(mg_vault_put(store, key, "seal/x", fd, NULL, NULL)));
    for (off_t i = 0; i < (off_t) mg_vault_sealed_bytes(3); i++) {
        flip("vault/seal/x", i);
        assert_int_equal(mg_vault_get(store, key, "seal/x", -1, digest).code, MG_INTEGRITY);
        flip("vault/seal/x", i);
    }
    assert_true(mg_ok(mg_vault_get(store, key, "seal/x", -1, digest)));
    assert_true(rename(at("vault/seal/x"), at("vault/seal/y")) == 0);
    assert_int_equal(mg_vault_get(store, key, "seal/y", -1, digest).code, MG_INTEGRITY);
    assert_true(mg_ok(mg_store_remove(store, "seal/y")) && mg_ok(mg_store_remove(store, "seal/y")));
    /* What is not what it was said to be does not get there. */
    assert_true(lseek(fd, 0, SEEK_SET) == 0);
    memset(digest, 0, sizeof digest);
    assert_int_equal(mg_vault_put(store, key, "seal/z", fd, digest, NULL).code, MG_INTEGRITY);
    assert_false(is_there("vault/seal/z") || is_there("vault/seal/.z.part"));
    assert_true(rmdir(at("vault/seal")) == 0);
}

static void
the_list_says_what_is_there(void **state)
{
    (void) state;
    put("near/" FULL "1", "one");
    put("near/" FULL "2", "two");
    list_put(ONE " " FULL "1\n" TWO " " FULL "2\n");
    assert_int_equal(refused(run_of(MG_VAULT_FETCH, NULL)), MG_UNAVAILABLE);
    struct mg_vault_result known = done(MG_VAULT_COPY, NULL);
    assert_true(known.fresh && known.copied == 2 && known.files == 2 && known.left == 0);
    struct mg_vault_result again = done(MG_VAULT_COPY, &known);
    assert_true(!again.fresh && again.copied == 0 && again.generation == known.generation);
    /* The repository is emptied: nothing goes. */
    assert_true(unlink(at("near/" FULL "1")) == 0);
    again = done(MG_VAULT_COPY, &known);
    assert_true(again.files == 2 && again.lost == 0 && again.stale == 0);
    /* A changed file gets no further. */
    put("near/" FULL "2", "changed");
    again = done(MG_VAULT_COPY, &known);
    assert_true(again.lost == 0 && again.files == 2 && again.copied == 0);
    put("near/" FULL "2", "two");
    /* Read whole, healed from the repository as long as that has it. */
    flip("vault/" FULL "2", 50);
    flip("vault/" FULL "1", 50);
    again = done(MG_VAULT_CHECK, &known);
    assert_true(again.damaged == 2 && again.copied == 1 && again.lost == 1);
    again = done(MG_VAULT_CHECK, &known);
    assert_true(again.damaged == 1 && again.files == 1);
    put("near/" FULL "1", "one");
    assert_int_equal(done(MG_VAULT_CHECK, &known).copied, 1);
    /* Gone from the vault: said, and copied anew. */
    assert_true(unlink(at("vault/" FULL "1")) == 0);
    again = done(MG_VAULT_COPY, &known);
    assert_true(again.gone == 1 && again.copied == 1 && again.generation > known.generation);
    /* Back out. */
    assert_int_equal(done(MG_VAULT_FETCH, &known).copied, 2);
    assert_true(is_there("back/" FULL "1"));
    flip("vault/" FULL "1", 50);
    assert_int_equal(refused(run_of(MG_VAULT_FETCH, &known)), MG_INTEGRITY);
    assert_int_equal(done(MG_VAULT_CHECK, &known).copied, 1);
    /* What the list no longer names is only counted, until it is to go. */
    list_put(TWO " " FULL "2\n");
    again = done(MG_VAULT_COPY, &known);
    assert_true(again.stale == 1 && is_there("vault/" FULL "1"));
    /* By that list alone. */
    assert_int_equal(refused(run_of(MG_VAULT_REMOVE, &known)), MG_REFUSED);
    assert_int_equal(refused(run_of(MG_VAULT_REMOVE, NULL)), MG_REFUSED);
    assert_true(is_there("vault/" FULL "1"));
    (void) done(MG_VAULT_REMOVE, &again);
    assert_false(is_there("vault/" FULL "1"));
    assert_true(is_there("vault/" FULL "2"));
    assert_int_equal(done(MG_VAULT_COPY, &known).gone, 0);
}

static void
another_vault_and_an_older_one_are_told(void **state)
{
    (void) state;
    struct mg_vault_result known = done(MG_VAULT_COPY, NULL);
    struct mg_vault_result ahead = known;
    ahead.generation += 5;
    assert_true(done(MG_VAULT_COPY, &ahead).old);
    known = done(MG_VAULT_COPY, NULL);
    assert_true(known.generation > ahead.generation);
    struct mg_vault_run run = run_of(MG_VAULT_COPY, &known);
    run.id[0] = run.id[0] == '0' ? '1' : '0';
    assert_int_equal(refused(run), MG_UNAVAILABLE);
    /* Another deployment's: nothing of it is written over. */
    run = run_of(MG_VAULT_COPY, &known);
    memcpy(run.key, other_key, sizeof run.key);
    assert_int_equal(refused(run), MG_INTEGRITY);
    /* A head that was changed is made anew where our key opens what lies beside it. */
    flip("vault/head", 60);
    assert_int_equal(refused(run_of(MG_VAULT_COPY, NULL)), MG_INTEGRITY);
    assert_true(done(MG_VAULT_COPY, &known).old);
    assert_false(done(MG_VAULT_COPY, &known).old);
    /* Not mounted. */
    assert_true(rename(at("vault"), at("away")) == 0 && mkdir(at("vault"), 0700) == 0);
    assert_int_equal(refused(run_of(MG_VAULT_COPY, &known)), MG_UNAVAILABLE);
    assert_true(rmdir(at("vault")) == 0);
    assert_int_equal(refused(run_of(MG_VAULT_COPY, &known)), MG_UNAVAILABLE);
    assert_true(rename(at("away"), at("vault")) == 0);
}

static void
a_bound_is_kept_and_info_comes_last(void **state)
{
    (void) state;
    put("near/" FULL "3", "one");
    put("near/" FULL "4", "two");
    put("near/backup/t/a.info", "one");
    list_put(ONE " backup/t/a.info\n" TWO " " FULL "2\n" ONE " " FULL "3\n" TWO " " FULL "4\n");
    struct mg_vault_run run = run_of(MG_VAULT_COPY, NULL);
    run.bytes_most = 4;
    struct mg_vault_result result;
    assert_true(mg_ok(mg_vault_mirror(&run, &result)));
    mg_vault_result_drop(&result);
    assert_true(result.copied == 1 && result.left == 2 && !is_there("vault/backup/t/a.info"));
    run = run_of(MG_VAULT_COPY, NULL);
    assert_true(mg_ok(mg_vault_mirror(&run, &result)));
    mg_vault_result_drop(&result);
    assert_true(result.left == 0 && is_there("vault/backup/t/a.info"));
    /* It changes, and is copied again. */
    put("near/backup/t/a.info", "two");
    list_put(TWO " backup/t/a.info\n");
    assert_int_equal(done(MG_VAULT_COPY, NULL).copied, 1);
}

/* Gone or changed before it was copied: no info file names it in the vault. */
static void
what_was_lost_before_is_told(void **state)
{
    (void) state;
    put("near/" FULL "5", "changed");
    put("near/backup/t/a.info", "one");
    list_put(ONE " backup/t/a.info\n" ONE " " FULL "5\n" ONE " " FULL "6\n");
    struct mg_vault_result known = done(MG_VAULT_COPY, NULL);
    assert_true(known.lost == 2 && known.left == 1 && strcmp(known.first, FULL "5") == 0);
    put("near/" FULL "5", "one");
    put("near/" FULL "6", "one");
    known = done(MG_VAULT_COPY, &known);
    assert_true(known.lost == 0 && known.left == 0 && known.copied == 3);
}

static void
another_place_is_told_from_one_that_is_away(void **state)
{
    (void) state;
    struct mg_vault_result known = done(MG_VAULT_COPY, NULL), result;
    struct mg_vault_run run = run_of(MG_VAULT_COPY, &known);
    run.id[0] = run.id[0] == '0' ? '1' : '0';
    assert_int_equal(mg_vault_mirror(&run, &result).code, MG_UNAVAILABLE);
    assert_true(result.other);
    mg_vault_result_drop(&result);
    assert_true(rename(at("vault"), at("away")) == 0);
    run = run_of(MG_VAULT_COPY, &known);
    assert_false(mg_ok(mg_vault_mirror(&run, &result)));
    assert_false(result.other);
    mg_vault_result_drop(&result);
    assert_true(mkdir(at("vault"), 0700) == 0);
    run = run_of(MG_VAULT_COPY, &known);
    assert_int_equal(mg_vault_mirror(&run, &result).code, MG_UNAVAILABLE);
    assert_true(result.other);
    mg_vault_result_drop(&result);
    assert_true(rmdir(at("vault")) == 0 && rename(at("away"), at("vault")) == 0);
}

/* The launcher reads a list in a directory that another may write. */
static void
a_file_of_another_is_no_link_and_no_pipe(void **state)
{
    OWN_BUFFER(text, 64);
    (void) state;
    put("plain", "one");
    assert_true(mg_ok(mg_file_read_of(at("plain"), geteuid(), &text)));
    assert_string_equal(mg_buffer_text(&text), "one");
    assert_int_equal(mg_file_read_of(at("plain"), geteuid() + 1, &text).code, MG_REFUSED);
    assert_true(symlink("plain", at("link")) == 0 && mkfifo(at("pipe"), 0600) == 0);
    assert_int_equal(mg_file_read_of(at("link"), geteuid(), &text).code, MG_REFUSED);
    assert_int_equal(mg_file_read_of(at("pipe"), geteuid(), &text).code, MG_REFUSED);
    assert_true(link(at("plain"), at("second")) == 0);
    assert_int_equal(mg_file_read_of(at("second"), geteuid(), &text).code, MG_REFUSED);
    assert_int_equal(mg_file_read_of(at("none"), geteuid(), &text).code, MG_NOT_FOUND);
}

static void
what_it_tells_is_read_back(void **state)
{
    (void) state;
    struct mg_vault_result result = {
        .id = "00", .generation = 7, .left = 3, .old = true, .first = "a b", .labels = MG_BUFFER(100)};
    struct mg_vault_result read;
    OWN_BUFFER(text, 4096);
    assert_true(mg_ok(mg_buffer_add_text(&result.labels, "20260101-000000F\n20260102-000000F\n")));
    assert_true(mg_ok(mg_vault_result_write(&result, &text)));
    assert_true(mg_ok(mg_vault_result_read(mg_buffer_view(&text), &read)));
    assert_true(read.generation == 7 && read.left == 3 && read.old && strcmp(read.first, "a b") == 0);
    assert_string_equal(mg_buffer_text(&read.labels), mg_buffer_text(&result.labels));
    mg_vault_result_drop(&read);
    mg_vault_result_drop(&result);
    static const char *const bad[] = {"left 3", "left\n", "left x\n", "what 3\n", "left -1\n"};
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        assert_int_equal(mg_vault_result_read(mg_view_text(bad[i]), &read).code, MG_MALFORMED);
        mg_vault_result_drop(&read);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_nowhere_else),
        cmocka_unit_test(a_seal_holds_the_bytes_the_name_and_the_end),
        cmocka_unit_test(the_list_says_what_is_there),
        cmocka_unit_test(another_vault_and_an_older_one_are_told),
        cmocka_unit_test(a_bound_is_kept_and_info_comes_last),
        cmocka_unit_test(what_was_lost_before_is_told),
        cmocka_unit_test(another_place_is_told_from_one_that_is_away),
        cmocka_unit_test(a_file_of_another_is_no_link_and_no_pipe),
        cmocka_unit_test(what_it_tells_is_read_back),
    };
    return cmocka_run_group_tests(tests, place_make, place_remove);
}
