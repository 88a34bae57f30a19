#include "test.h"

#include "base/io.h"
#include "base/secret.h"
#include "ports/log_store.h"
#include "ports/log_tiles.h"
#include "ports/log_verify.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct mg_log_limits limits = {.segment_bytes = 256 * 1024, .reserve_bytes = 65536};
static char directory[64];

static int
directory_new(void **state)
{
    (void) state;
    (void) snprintf(directory, sizeof directory, "/dev/shm/mg-log-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int
directory_remove(void **state)
{
    (void) state;
    return mg_ok(mg_tree_remove(directory)) ? 0 : -1;
}

/* Leaf i is the same in every run and every reading: its number and some bytes after it. */
static struct mg_view
leaf_of(uint64_t i, uint8_t bytes[700])
{
    const size_t length = 8 + (size_t) (i * 7919 % 600);
    for (size_t at = 0; at < length; at++)
        bytes[at] = (uint8_t) (i >> (8 * (at % 8)));
    return mg_view_of(bytes, length);
}

static void
append(struct mg_log_store *store, uint64_t count)
{
    uint8_t bytes[700];
    uint64_t expected = mg_log_size(store);
    for (uint64_t i = 0; i < count; i++, expected++) {
        uint64_t index = 0;
        struct mg_status status = mg_log_add(store, leaf_of(expected, bytes), &index);
        if (status.code == MG_BUSY) {
            assert_ok(mg_log_commit(store));
            status = mg_log_add(store, leaf_of(expected, bytes), &index);
        }
        assert_ok(status);
        assert_int_equal(index, expected);
    }
    assert_ok(mg_log_commit(store));
}

/* Stands in for the signature of keys. */
static void
publish(struct mg_log_store *store)
{
    struct mg_checkpoint checkpoint = {.origin = mg_view_text("test"), .size = mg_log_size(store)};
    struct mg_hash root;
    mg_log_root(store, &root);
    memcpy(checkpoint.root, root.bytes, MG_HASH);
    OWN_BUFFER(text, 512);
    assert_ok(mg_checkpoint_add(&text, &checkpoint));
    assert_ok(mg_log_publish(store, mg_buffer_view(&text)));
    assert_int_equal(mg_log_published(store), mg_log_size(store));
}

/* Reads everything back from the published files, as a stranger would. */
static void
check_published(const struct mg_log_store *store, uint64_t size)
{
    OWN(log_reader) reader = NULL;
    OWN_BUFFER(note, 1024);
    struct mg_checkpoint checkpoint;
    assert_ok(mg_log_checkpoint_read(mg_log_directory(store), &note));
    assert_ok(mg_checkpoint_parse(mg_buffer_view(&note), &checkpoint));
    assert_int_equal(checkpoint.size, size);
    assert_ok(mg_log_reader_new(mg_log_directory(store), size, &reader));
    const struct mg_tree_source source = mg_log_reader_source(reader);
    struct mg_tree tree = {0};
    struct mg_hash root, hash;
    uint8_t bytes[700];
    for (uint64_t i = 0; i < size; i++) {
        OWN_BUFFER(leaf, 1024);
        assert_ok(mg_log_reader_leaf(reader, i, &leaf));
        assert_true(mg_view_equal(mg_buffer_view(&leaf), leaf_of(i, bytes)));
        mg_merkle_leaf(mg_buffer_view(&leaf), &hash);
        mg_tree_add(&tree, &hash);
    }
    mg_tree_root(&tree, &root);
    assert_memory_equal(root.bytes, checkpoint.root, MG_HASH);
    assert_ok(mg_merkle_root(&source, size, &hash));
    assert_true(mg_hash_equal(&hash, &root));
}

static void
a_log_grows_over_tiles_and_segments_and_comes_back(void **state)
{
    (void) state;
    uint64_t size = 0, first_size = 0;
    struct mg_hash first_root = {{0}};
    for (unsigned round = 0; round < 40; round++) {
        OWN(log_store) store = NULL;
        assert_ok(mg_log_store_open(directory, &limits, &store));
        assert_int_equal(mg_log_size(store), size);
        for (unsigned commit = 0; commit < 3; commit++) {
            const uint64_t count = (round * 13 + commit * 29) % 60;
            append(store, count);
            size += count;
            if (round % 3 != 2)
                publish(store);
            struct mg_proof proof;
            struct mg_hash root;
            mg_log_root(store, &root);
            if (round == 4) {
                first_root = root;
                first_size = size;
            }
            assert_ok(mg_log_consistency(store, first_size, &proof));
            assert_true(round < 4 || mg_merkle_consistent(first_size, &first_root, size, &root, &proof));
        }
        publish(store);
        check_published(store, size);
    }
    assert_true(size > 2048);
}

static void
uncommitted_leaves_are_gone_and_published_files_come_back(void **state)
{
    (void) state;
    {
        OWN(log_store) store = NULL;
        assert_ok(mg_log_store_open(directory, &limits, &store));
        append(store, 600);
        publish(store);
        append(store, 5); /* committed, never published */
        uint64_t index;
        assert_ok(mg_log_add(store, mg_view_text("lost"), &index));
    }
    char published[128];
    (void) snprintf(published, sizeof published, "%s/log", directory);
    assert_ok(mg_tree_remove(published)); /* as after a power failure, at worst */
    OWN(log_store) store = NULL;
    assert_ok(mg_log_store_open(directory, &limits, &store));
    assert_int_equal(mg_log_size(store), 605);
    publish(store);
    check_published(store, 605);
}

/* Cuts or changes the newest segment from `at` bytes before the end of its used part. */
static void
journal_damage(const char *name, off_t at, bool flip)
{
    char path[128];
    (void) snprintf(path, sizeof path, "%s/journal/%s", directory, name);
    OWN_FD fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    uint8_t byte = 0;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = flip ? byte ^ 1 : 0;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void
a_torn_batch_is_dropped_whole(void **state)
{
    (void) state;
    for (unsigned damage = 0; damage < 3; damage++) {
        off_t end = 65536; /* behind the header of an empty log */
        {
            OWN(log_store) store = NULL;
            assert_ok(mg_log_store_open(directory, &limits, &store));
            append(store, 10);
            for (uint64_t i = 0; i < 10; i++) {
                uint8_t bytes[700];
                end += 2 + (off_t) leaf_of(i, bytes).length;
            }
            end += 64;
            append(store, 3);
        }
        journal_damage("0", end + (off_t) damage * 40, true); /* magic, root, first leaf */
        {
            OWN(log_store) store = NULL;
            assert_ok(mg_log_store_open(directory, &limits, &store));
            assert_int_equal(mg_log_size(store), 10);
            append(store, 2); /* over what is left of the torn one */
        }
        OWN(log_store) store = NULL;
        assert_ok(mg_log_store_open(directory, &limits, &store));
        assert_int_equal(mg_log_size(store), 12);
        publish(store);
        check_published(store, 12);
        mg_log_store_drop(&store);
        assert_ok(mg_tree_remove(directory));
    }
}

/* A header that was being written when the machine stopped: the other segment holds everything. */
static void
a_torn_segment_header_loses_nothing(void **state)
{
    (void) state;
    uint64_t size = 0;
    for (unsigned round = 0; round < 12; round++) {
        OWN(log_store) store = NULL;
        assert_ok(mg_log_store_open(directory, &limits, &store));
        assert_int_equal(mg_log_size(store), size);
        append(store, 50);
        size += 50;
        publish(store);
    }
    /* Each segment takes some 600 of these leaves: the first switch has not come or has just come. */
    OWN(log_store) store = NULL;
    assert_ok(mg_log_store_open(directory, &limits, &store));
    char path[128];
    (void) snprintf(path, sizeof path, "%s/journal/1", directory);
    OWN_FD fd = open(path, O_RDWR);
    uint8_t before[4096], now[4096];
    assert_int_equal(pread(fd, before, sizeof before, 0), sizeof before);
    do {
        append(store, 10);
        size += 10;
        assert_int_equal(pread(fd, now, sizeof now, 0), sizeof now);
    } while (memcmp(before, now, sizeof now) == 0);
    /* The commit that came after the switch is in the new segment only: take the state before it. */
    mg_log_store_drop(&store);
    journal_damage("1", 100, true);
    assert_ok(mg_log_store_open(directory, &limits, &store));
    assert_int_equal(mg_log_size(store), size - 10);
    publish(store);
    check_published(store, size - 10);
}

/* Groups on their way at once: a child commits them, tells us, and publishes some groups later, over many
 * journal segments, until it is killed. Whatever it told us of is there. */
static void
child_run(int told)
{
    OWN(log_store) store = NULL;
    struct mg_log_cut *waiting[8] = {NULL};
    uint8_t bytes[700];
    if (!mg_ok(mg_log_store_open(directory, &limits, &store)))
        _exit(1);
    uint64_t next = mg_log_size(store);
    for (size_t round = 0;; round++) {
        struct mg_log_cut *cut = NULL, **place = &waiting[round % MG_COUNT(waiting)];
        uint64_t index;
        OWN_BUFFER(note, 16);
        /* Publishes two old ones in one, so that the newest six are only in the journal. */
        if (*place != NULL && round % 2 == 0) {
            *place = mg_log_cut_merge(*place, waiting[(round + 1) % MG_COUNT(waiting)]);
            waiting[(round + 1) % MG_COUNT(waiting)] = NULL;
            if (!mg_ok(mg_log_cut_publish(store, *place, mg_buffer_view(&note))))
                _exit(2);
            mg_log_cut_drop(place);
        }
        for (size_t i = 0; i < 3 + round % 11; i++)
            if (!mg_ok(mg_log_add(store, leaf_of(next++, bytes), &index)))
                _exit(3);
        if (!mg_ok(mg_log_cut(store, &cut)) || !mg_ok(mg_log_cut_commit(store, cut)) ||
            write(told, &cut->size, sizeof cut->size) != (ssize_t) sizeof cut->size)
            _exit(4);
        mg_must(*place == NULL);
        *place = cut;
    }
}

static void
killed_with_groups_on_their_way_nothing_told_is_lost(void **state)
{
    (void) state;
    uint64_t told = 0;
    for (unsigned round = 0; round < 12; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        const pid_t child = fork();
        if (child == 0)
            child_run(ends[1]);
        (void) close(ends[1]);
        for (unsigned i = 0; i < 40 + round * 17; i++)
            if (read(ends[0], &told, sizeof told) != (ssize_t) sizeof told)
                break;
        assert_int_equal(kill(child, SIGKILL), 0);
        int how;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFSIGNALED(how));
        while (read(ends[0], &told, sizeof told) == (ssize_t) sizeof told) {
        }
        (void) close(ends[0]);
        OWN(log_store) store = NULL;
        assert_ok(mg_log_store_open(directory, &limits, &store));
        assert_true(mg_log_size(store) >= told);
        publish(store);
        check_published(store, mg_log_size(store));
    }
    assert_true(told > 6000);
}

/* ---- looking often ---- */

static void
file_flip(const char *name)
{
    char path[128];
    uint8_t byte = 0;
    (void) snprintf(path, sizeof path, "%s/log/%s", directory, name);
    OWN_FD fd = open(path, O_RDWR);
    assert_true(fd >= 0 && pread(fd, &byte, 1, 40) == 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, 40), 1);
}

static size_t
findings(const struct mg_log_trust *trust, uint64_t *ret_checked)
{
    static struct mg_log_report report;
    char log[128];
    (void) snprintf(log, sizeof log, "%s/log", directory);
    assert_ok(mg_log_verify(log, trust, &report));
    *ret_checked = report.checked;
    return report.count;
}

/* Signed under the name "test", as keys does it. */
static void
note_sign(const struct mg_checkpoint *checkpoint, const struct mg_vkey *key, const struct mg_signer *signer,
          struct mg_buffer *note)
{
    OWN_BUFFER(lines, 1024);
    mg_buffer_clear(note);
    assert_ok(mg_checkpoint_add(note, checkpoint));
    assert_ok(mg_note_sign(mg_buffer_view(note), key, signer, 0, &lines));
    assert_ok(mg_buffer_add_text(note, "\n"));
    assert_ok(mg_buffer_add(note, mg_buffer_view(&lines)));
}

/* Bundles 1 to 3 are left out: what changes there is not seen, what changes elsewhere is, tiles included. */
static void
a_look_may_leave_out_what_the_tiles_above_stand_for(void **state)
{
    (void) state;
    static const uint8_t seed[32] = {5};
    OWN(log_store) store = NULL;
    struct mg_signer *signer = NULL;
    struct mg_vkey key;
    uint8_t public_key[32];
    struct mg_hash root;
    uint64_t checked;
    OWN_BUFFER(note, 2048);
    OWN_BUFFER(remembered, 2048);
    assert_ok(mg_signer_new(mg_view_of(seed, sizeof seed), &signer));
    mg_signer_public_key(signer, public_key);
    assert_ok(mg_vkey_make(mg_view_text("test"), MG_NOTE_ED25519, public_key, &key));
    assert_ok(mg_log_store_open(directory, &limits, &store));
    for (unsigned round = 0; round < 2; round++) {
        append(store, round == 0 ? 1400 : 300);
        struct mg_checkpoint checkpoint = {.origin = mg_view_text("test"), .size = mg_log_size(store)};
        mg_log_root(store, &root);
        memcpy(checkpoint.root, root.bytes, MG_HASH);
        note_sign(&checkpoint, &key, signer, &note);
        assert_ok(mg_log_publish(store, mg_buffer_view(&note)));
        if (round == 0)
            assert_ok(mg_buffer_add(&remembered, mg_buffer_view(&note)));
    }
    mg_signer_drop(&signer);
    const struct mg_log_trust all = {.log = &key, .remembered = mg_buffer_view(&remembered)};
    const struct mg_log_trust some = {.log = &key,
                                      .remembered = mg_buffer_view(&remembered),
                                      .skipped = {{.from = 200, .to = 1024}, {.from = 1300, .to = 1400}}};
    assert_int_equal(findings(&all, &checked), 0);
    assert_int_equal(checked, 1700);
    assert_int_equal(findings(&some, &checked), 0);
    assert_int_equal(checked, 1700 - 3 * 256);
    file_flip("tile/entries/002");
    assert_int_equal(findings(&some, &checked), 0);
    assert_int_equal(findings(&all, &checked), 1);
    file_flip("tile/entries/002");
    file_flip("tile/0/002");
    assert_int_equal(findings(&some, &checked), 0);
    assert_int_equal(findings(&all, &checked), 1);
    file_flip("tile/0/002");
    file_flip("tile/entries/005");
    assert_int_equal(findings(&some, &checked), 1);
    file_flip("tile/entries/005");
    file_flip("tile/1/000.p/6"); /* the node of bundle 1 */
    assert_true(findings(&some, &checked) > 0);
    file_flip("tile/1/000.p/6");
    assert_int_equal(findings(&some, &checked), 0);
}

/* A signed checkpoint may speak of any number of entries; the work follows what is there. */
static void
a_copy_that_ends_long_before_its_checkpoint_is_done_with_soon(void **state)
{
    (void) state;
    static const uint8_t seed[32] = {5};
    static struct mg_log_report report;
    OWN(log_store) store = NULL;
    struct mg_signer *signer = NULL;
    struct mg_vkey key;
    uint8_t public_key[32];
    char log[128], path[160];
    OWN_BUFFER(note, 2048);
    assert_ok(mg_signer_new(mg_view_of(seed, sizeof seed), &signer));
    mg_signer_public_key(signer, public_key);
    assert_ok(mg_vkey_make(mg_view_text("test"), MG_NOTE_ED25519, public_key, &key));
    assert_ok(mg_log_store_open(directory, &limits, &store));
    append(store, 512);
    publish(store);
    const struct mg_checkpoint checkpoint = {.origin = mg_view_text("test"), .size = 555555555555};
    note_sign(&checkpoint, &key, signer, &note);
    mg_signer_drop(&signer);
    (void) snprintf(log, sizeof log, "%s/log", directory);
    (void) snprintf(path, sizeof path, "%s/checkpoint", log);
    OWN_FD fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0 && write(fd, note.bytes, note.length) == (ssize_t) note.length);
    const struct mg_log_trust trust = {.log = &key};
    assert_ok(mg_log_verify(log, &trust, &report));
    assert_int_equal(report.size, 555555555555);
    assert_int_equal(report.checked, 512);
    /* The list is full of what is missing; that the rest was not looked at stands on it all the same. */
    assert_int_equal(report.count, MG_LOG_FINDINGS_MOST);
    const struct mg_log_finding *last = &report.findings[report.count - 1];
    assert_int_equal(last->kind, MG_LOG_truncated);
    assert_int_equal(last->index, 512);
    assert_non_null(strstr(last->place, "not looked at"));
}

/* A copy of the published files alone, put back: it goes on where its checkpoint is, at every kind of size.
 */
static void
a_log_without_its_journal_goes_on_from_its_checkpoint(void **state)
{
    (void) state;
    char journal[128];
    uint64_t size = 0;
    (void) snprintf(journal, sizeof journal, "%s/journal", directory);
    for (unsigned round = 0; round < 8; round++) {
        OWN(log_store) store = NULL;
        assert_ok(mg_log_store_open(directory, &limits, &store));
        assert_int_equal(mg_log_size(store), size);
        const uint64_t count = (const uint64_t[]){3, 253, 256, 1, 700, 835, 65536, 77}[round];
        append(store, count);
        size += count;
        publish(store);
        mg_log_store_drop(&store);
        assert_ok(mg_tree_remove(journal));
    }
    OWN(log_store) store = NULL;
    assert_ok(mg_log_store_open(directory, &limits, &store));
    assert_int_equal(mg_log_size(store), size);
    append(store, 300);
    publish(store);
    check_published(store, size + 300);
    /* What is not complete is refused, whichever half is missing. */
    mg_log_store_drop(&store);
    char path[128];
    (void) snprintf(path, sizeof path, "%s/log/tile/0", directory);
    assert_ok(mg_tree_remove(path));
    assert_code(mg_log_store_open(directory, &limits, &store), INTEGRITY);
    assert_ok(mg_tree_remove(journal));
    assert_code(mg_log_store_open(directory, &limits, &store), INTEGRITY);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_log_grows_over_tiles_and_segments_and_comes_back, directory_new,
                                        directory_remove),
        cmocka_unit_test_setup_teardown(uncommitted_leaves_are_gone_and_published_files_come_back,
                                        directory_new, directory_remove),
        cmocka_unit_test_setup_teardown(a_torn_batch_is_dropped_whole, directory_new, directory_remove),
        cmocka_unit_test_setup_teardown(a_torn_segment_header_loses_nothing, directory_new, directory_remove),
        cmocka_unit_test_setup_teardown(killed_with_groups_on_their_way_nothing_told_is_lost, directory_new,
                                        directory_remove),
        cmocka_unit_test_setup_teardown(a_look_may_leave_out_what_the_tiles_above_stand_for, directory_new,
                                        directory_remove),
        cmocka_unit_test_setup_teardown(a_copy_that_ends_long_before_its_checkpoint_is_done_with_soon,
                                        directory_new, directory_remove),
        cmocka_unit_test_setup_teardown(a_log_without_its_journal_goes_on_from_its_checkpoint, directory_new,
                                        directory_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
