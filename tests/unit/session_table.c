#include "test.h"

#include "base/io.h"
#include "base/secret.h"
#include "wire/session_layout.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define NOW ((mg_instant) 1790000000000)

static char directory[64];

static int
make_directory(void **state)
{
    (void) state;
    (void) snprintf(directory, sizeof directory, "/tmp/mg-sessions-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
remove_directory(void **state)
{
    (void) state;
    return mg_ok(mg_tree_remove(directory)) ? 0 : -1;
}

static void
hash_of(uint64_t id, uint8_t hash[MG_TOKEN_HASH])
{
    for (int i = 0; i < 4; i++) {
        const uint64_t word = (id + 1) * 0x9E3779B97F4A7C15ULL * (uint64_t) (2 * i + 1);
        memcpy(hash + 8 * i, &word, sizeof word);
    }
}

static struct mg_session
session_of(uint64_t id)
{
    struct mg_session session = {
        .session_id = id,
        .user_id = id / 4 + 1,
        .family_id = id / 2 + 1,
        .tenant_id = (uint32_t) (id % 7 + 1),
        .host_id = (uint32_t) (id % 3),
        .roles = (uint32_t) id * 3,
        .flags = (uint8_t) (id % 64),
        .origin = MG_ORIGIN_APP,
        .authenticated_at = NOW - 60000,
        .expires_at = NOW + 3600000,
        .idle_ms = 900000,
        .last_seen_at = NOW,
    };
    hash_of(id, session.token_hash);
    return session;
}

static struct mg_session_writer *
open_writer(enum mg_session_opening expected)
{
    struct mg_session_writer *writer = NULL;
    struct mg_session_report report;
    assert_ok(mg_session_writer_open(directory, 100, (gid_t) -1, &writer, &report));
    assert_int_equal(report.how, expected);
    return writer;
}

static enum mg_session_answer
ask(struct mg_session_reader *reader, uint64_t id, mg_instant now)
{
    uint8_t hash[MG_TOKEN_HASH];
    struct mg_session_hot hot;
    hash_of(id, hash);
    return mg_session_lookup(reader, hash, now, false, &hot);
}

static void
a_session_is_found_whole_and_ends(void **state)
{
    (void) state;
    OWN(session_writer) writer = open_writer(MG_SESSIONS_CREATED);
    const struct mg_session put = session_of(41);
    assert_ok(mg_session_put(writer, &put));
    OWN(session_reader) reader = NULL;
    assert_ok(mg_session_reader_open(directory, &reader));
    struct mg_session_hot hot;
    assert_int_equal(mg_session_lookup(reader, put.token_hash, NOW, true, &hot), MG_SESSION_FOUND);
    assert_int_equal(hot.session_id, 41);
    assert_int_equal(hot.tenant_id, put.tenant_id);
    assert_int_equal(hot.host_id, put.host_id);
    assert_int_equal(hot.roles, put.roles);
    assert_int_equal(hot.flags, put.flags);
    assert_int_equal(hot.origin, MG_ORIGIN_APP);
    struct mg_session_cold cold;
    assert_true(mg_session_cold_read(reader, &hot, &cold));
    assert_int_equal(cold.user_id, put.user_id);
    assert_int_equal(cold.family_id, put.family_id);
    assert_int_equal(cold.authenticated_at, put.authenticated_at);
    assert_int_equal(ask(reader, 42, NOW), MG_SESSION_NONE);
    assert_int_equal(ask(reader, 41, NOW + 3600000), MG_SESSION_EXPIRED);
    assert_int_equal(ask(reader, 41, NOW + 901000), MG_SESSION_IDLE);
    mg_session_mark(reader, &hot, NOW + 800000);
    assert_int_equal(ask(reader, 41, NOW + 901000), MG_SESSION_FOUND);
    assert_true(mg_session_still(reader, &hot));
    uint64_t count;
    assert_ok(mg_session_remove(writer, &(struct mg_session_match){.session_id = 41}, &count));
    assert_int_equal(count, 1);
    assert_false(mg_session_still(reader, &hot));
    assert_false(mg_session_cold_read(reader, &hot, &cold));
    assert_int_equal(ask(reader, 41, NOW), MG_SESSION_NONE);
}

static void
revocation_reaches_exactly_whom_it_names(void **state)
{
    (void) state;
    OWN(session_writer) writer = open_writer(MG_SESSIONS_CREATED);
    for (uint64_t id = 1; id <= 400; id++) {
        const struct mg_session session = session_of(id);
        assert_ok(mg_session_put(writer, &session));
    }
    uint64_t count;
    assert_code(mg_session_remove(writer, &(struct mg_session_match){0}, &count), INVALID);
    assert_ok(mg_session_remove(writer, &(struct mg_session_match){.user_id = 11}, &count));
    assert_int_equal(count, 4);
    assert_ok(mg_session_remove(writer, &(struct mg_session_match){.user_id = 12, .family_id = 23}, &count));
    assert_int_equal(count, 2);
    assert_ok(mg_session_remove(writer, &(struct mg_session_match){.family_id = 24}, &count));
    assert_int_equal(count, 2);
    assert_ok(mg_session_remove(writer, &(struct mg_session_match){.tenant_id = 3}, &count));
    OWN(session_reader) reader = NULL;
    assert_ok(mg_session_reader_open(directory, &reader));
    for (uint64_t id = 1; id <= 400; id++) {
        const bool gone = (id >= 40 && id < 48) || id % 7 + 1 == 3;
        assert_int_equal(ask(reader, id, NOW), gone ? MG_SESSION_NONE : MG_SESSION_FOUND);
    }
    struct mg_session kept = session_of(100), got;
    assert_ok(mg_session_reload_begin(writer));
    assert_ok(mg_session_put(writer, &kept));
    assert_ok(mg_session_reload_end(writer, &count));
    assert_int_equal(mg_session_usage_of(writer).sessions, 1);
    assert_ok(mg_session_get(writer, kept.token_hash, &got));
    assert_int_equal(got.user_id, kept.user_id);
    assert_int_equal(ask(reader, 101, NOW), MG_SESSION_NONE);
    assert_int_equal(ask(reader, 100, NOW), MG_SESSION_FOUND);
}

static struct mg_status
count_row(void *context, uint64_t session_id, uint64_t user_id, mg_instant seen_at)
{
    assert_int_equal(user_id, session_id / 4 + 1);
    assert_int_equal(seen_at, NOW + 5000);
    ++*(int *) context;
    return OK;
}

static void
growing_keeps_sessions_and_marks(void **state)
{
    (void) state;
    OWN(session_writer) writer = open_writer(MG_SESSIONS_CREATED);
    OWN(session_reader) reader = NULL;
    assert_ok(mg_session_reader_open(directory, &reader));
    const uint64_t first = mg_session_usage_of(writer).generation;
    for (uint64_t id = 1; id <= 5000; id++) {
        const struct mg_session session = session_of(id);
        assert_ok(mg_session_put(writer, &session));
        struct mg_session_hot hot;
        assert_int_equal(mg_session_lookup(reader, session.token_hash, NOW + 5000, id % 2 == 0, &hot),
                         MG_SESSION_FOUND);
    }
    const struct mg_session_usage usage = mg_session_usage_of(writer);
    assert_true(usage.generation > first);
    assert_true((usage.shared_bytes - SESSION_HEADER - SEEN_HEADER) / usage.sessions <= 200);
    int marked = 0;
    assert_ok(mg_session_seen_walk(writer, NOW + 5000, count_row, &marked));
    assert_int_equal(marked, 2500);
    marked = 0;
    assert_ok(mg_session_seen_walk(writer, NOW + 6000, count_row, &marked));
    assert_int_equal(marked, 0);
}

static void
a_second_writer_is_refused_and_a_restart_keeps_sessions(void **state)
{
    (void) state;
    OWN(session_writer) writer = open_writer(MG_SESSIONS_CREATED);
    const struct mg_session session = session_of(1);
    assert_ok(mg_session_put(writer, &session));
    struct mg_session_writer *second = NULL;
    struct mg_session_report report;
    assert_code(mg_session_writer_open(directory, 100, (gid_t) -1, &second, &report), BUSY);
    mg_session_writer_drop(&writer);
    writer = open_writer(MG_SESSIONS_OPENED);
    OWN(session_reader) reader = NULL;
    assert_ok(mg_session_reader_open(directory, &reader));
    assert_int_equal(ask(reader, 1, NOW), MG_SESSION_FOUND);
}

/* Overwrites bytes of the table's file, as damage or a died writer would leave them. */
static void
overwrite(off_t at, const void *bytes, size_t length)
{
    char path[MG_PATH];
    assert_ok(mg_path_join(path, directory, "sessions"));
    OWN_FD fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, at), length);
}

static void
a_half_written_slot_is_refused_and_repaired(void **state)
{
    (void) state;
    OWN(session_writer) writer = open_writer(MG_SESSIONS_CREATED);
    const struct mg_session session = session_of(1), other = session_of(2);
    assert_ok(mg_session_put(writer, &session));
    assert_ok(mg_session_put(writer, &other));
    OWN(session_reader) reader = NULL;
    assert_ok(mg_session_reader_open(directory, &reader));
    struct mg_session_hot hot;
    assert_int_equal(mg_session_lookup(reader, session.token_hash, NOW, false, &hot), MG_SESSION_FOUND);
    const uint32_t odd = (uint32_t) hot.sequence + 1;
    overwrite((off_t) (SESSION_HEADER + hot.slot * 64), &odd, sizeof odd);
    assert_int_equal(ask(reader, 1, NOW), MG_SESSION_UNSURE);
    assert_int_equal(ask(reader, 2, NOW), MG_SESSION_FOUND);
    mg_session_writer_drop(&writer);
    struct mg_session_report report;
    assert_ok(mg_session_writer_open(directory, 100, (gid_t) -1, &writer, &report));
    assert_int_equal(report.how, MG_SESSIONS_OPENED);
    assert_int_equal(report.repaired, 1);
    assert_int_equal(ask(reader, 1, NOW), MG_SESSION_NONE);
    assert_int_equal(ask(reader, 2, NOW), MG_SESSION_FOUND);
    assert_ok(mg_session_put(writer, &session));
    assert_int_equal(ask(reader, 1, NOW), MG_SESSION_FOUND);
}

static void
what_is_not_expected_is_refused(void **state)
{
    (void) state;
    OWN(session_writer) writer = open_writer(MG_SESSIONS_CREATED);
    const struct mg_session session = session_of(1);
    assert_ok(mg_session_put(writer, &session));
    OWN(session_reader) reader = NULL;
    assert_ok(mg_session_reader_open(directory, &reader));
    struct mg_session_reader *other = NULL;
    char path[MG_PATH];
    assert_ok(mg_path_join(path, directory, "sessions"));
    for (off_t at = 0; at < (off_t) offsetof(struct session_header, successor); at += 5) {
        uint8_t before = 0;
        OWN_FD fd = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(pread(fd, &before, 1, at), 1);
        const uint8_t flipped = before ^ 0x10;
        overwrite(at, &flipped, 1);
        assert_code(mg_session_reader_open(directory, &other), INTEGRITY);
        overwrite(at, &before, 1);
    }
    assert_int_equal(chmod(path, 0660), 0);
    assert_code(mg_session_reader_open(directory, &other), INTEGRITY);
    assert_int_equal(chmod(path, 0640), 0);
    /* Exchanged behind the reader's back for something it cannot read: no old table is served. */
    const uint8_t flipped = 0;
    overwrite(0, &flipped, 1);
    mg_session_writer_drop(&writer);
    writer = open_writer(MG_SESSIONS_REPLACED);
    assert_int_equal(ask(reader, 1, NOW), MG_SESSION_NONE);
    assert_int_equal(unlink(path), 0);
    assert_false(mg_ok(mg_session_reader_follow(reader)));
    assert_int_equal(ask(reader, 1, NOW), MG_SESSION_UNSURE);
}

/* ---- stress: one writer, four readers, the table growing and shrinking under them ------------- */

static atomic_bool stop;
static atomic_ullong torn, unsure, looked_up;

static void *
read_for_ever(void *argument)
{
    (void) argument;
    OWN(session_reader) reader = NULL;
    assert_ok(mg_session_reader_open(directory, &reader));
    uint64_t id = 1;
    while (!atomic_load(&stop)) {
        id = id % 2000 + 1;
        uint8_t hash[MG_TOKEN_HASH];
        struct mg_session_hot hot;
        struct mg_session_cold cold;
        hash_of(id, hash);
        const enum mg_session_answer answer = mg_session_lookup(reader, hash, NOW, true, &hot);
        atomic_fetch_add_explicit(&looked_up, 1, memory_order_relaxed);
        if (answer == MG_SESSION_UNSURE)
            atomic_fetch_add(&unsure, 1); /* the writer lost its processor inside a slot */
        if (answer == MG_SESSION_NONE || answer == MG_SESSION_UNSURE)
            continue;
        /* Every field of a copy comes from one and the same writing of the slot. */
        const bool whole = answer == MG_SESSION_FOUND && hot.session_id == id &&
                           hot.tenant_id == id % 7 + 1 && hot.host_id == hot.roles * 5 &&
                           hot.flags == hot.roles % 64;
        const bool whole_cold =
            !mg_session_cold_read(reader, &hot, &cold) || cold.family_id == (uint64_t) hot.roles + 9;
        if (!whole || !whole_cold)
            atomic_fetch_add(&torn, 1);
    }
    return NULL;
}

static void
no_read_is_torn_while_everything_moves(void **state)
{
    (void) state;
    OWN(session_writer) writer = open_writer(MG_SESSIONS_CREATED);
    pthread_t readers[4];
    for (size_t i = 0; i < MG_COUNT(readers); i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_for_ever, NULL), 0);
    const int64_t end = mg_monotonic_ms() + 1500;
    for (uint32_t round = 1; mg_monotonic_ms() < end; round++) {
        for (uint64_t id = 1; id <= 2000; id++) {
            struct mg_session session = session_of(id);
            session.roles = round * 2000 + (uint32_t) id;
            session.host_id = session.roles * 5;
            session.flags = (uint8_t) (session.roles % 64);
            session.family_id = (uint64_t) session.roles + 9;
            assert_ok(mg_session_put(writer, &session));
        }
        uint64_t count;
        assert_ok(mg_session_remove(writer, &(struct mg_session_match){.tenant_id = round % 7 + 1}, &count));
        if (round % 16 == 0)
            assert_ok(mg_session_grow(writer, 2000 + round % 1000));
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < MG_COUNT(readers); i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    assert_true(looked_up > 1000);
    assert_int_equal(torn, 0);
    assert_true(unsure < looked_up / 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_is_found_whole_and_ends),
        TEST(revocation_reaches_exactly_whom_it_names),
        TEST(growing_keeps_sessions_and_marks),
        TEST(a_second_writer_is_refused_and_a_restart_keeps_sessions),
        TEST(a_half_written_slot_is_refused_and_repaired),
        TEST(what_is_not_expected_is_refused),
        TEST(no_read_is_torn_while_everything_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
