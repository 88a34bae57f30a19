#include "test.h"

#include "domain/keyring.h"

static uint64_t
add(struct mg_keyring *keyring, uint64_t tenant, enum mg_key_purpose purpose, enum mg_key_state state,
    mg_instant now)
{
    struct mg_key_record *record = NULL;
    assert_ok(
        mg_keyring_add(keyring, tenant, purpose, purpose == MG_KEY_AUDIT ? 24000 : 0, state, now, &record));
    memset(record->wrapped, (int) record->id, sizeof record->wrapped);
    return record->id;
}

static struct mg_keyring *
example(void)
{
    struct mg_keyring *keyring = NULL;
    assert_ok(mg_keyring_new(3, &keyring));
    (void) add(keyring, 0, MG_KEY_TENANT, MG_KEY_WRITING, 1000);
    (void) add(keyring, 0, MG_KEY_ASSERTION, MG_KEY_WRITING, 1000);
    (void) add(keyring, 0, MG_KEY_ASSERTION, MG_KEY_NEXT, 1000);
    (void) add(keyring, 7, MG_KEY_TENANT, MG_KEY_WRITING, 1000);
    (void) add(keyring, 7, MG_KEY_FIELD, MG_KEY_WRITING, 1000);
    (void) add(keyring, 5, MG_KEY_FIELD, MG_KEY_WRITING, 1000);
    (void) add(keyring, 7, MG_KEY_AUDIT, MG_KEY_WRITING, 1000);
    return keyring;
}

static void
a_keyring_reads_back_and_every_cut_is_refused(void **state)
{
    (void) state;
    OWN(keyring) keyring = example();
    OWN_BUFFER(file, 65536);
    OWN_BUFFER(again, 65536);
    assert_ok(mg_keyring_encode(keyring, &file));
    OWN(keyring) read = NULL;
    assert_ok(mg_keyring_decode(mg_buffer_view(&file), &read));
    assert_ok(mg_keyring_encode(read, &again));
    assert_true(mg_view_equal(mg_buffer_view(&file), mg_buffer_view(&again)));
    struct mg_keyring *none = NULL;
    for (size_t length = 0; length < file.length; length++)
        assert_code(mg_keyring_decode(mg_view_of(file.bytes, length), &none), MALFORMED);
    assert_null(none);
}

static void
records_out_of_order_or_out_of_range_are_refused(void **state)
{
    (void) state;
    OWN(keyring) keyring = example();
    struct mg_keyring *none = NULL;
    const struct {
        size_t offset;
        uint8_t value;
    } breaks[] = {
        {0, 'X'},                                   /* magic */
        {32, 6},                                    /* count */
        {MG_KEYRING_HEADER, 200},                   /* id beyond next_id */
        {MG_KEYRING_HEADER, 0},                     /* id 0 */
        {MG_KEYRING_HEADER + 8, 9},                 /* tenant: order */
        {MG_KEYRING_HEADER + 16, 0},                /* purpose 0 */
        {MG_KEYRING_HEADER + 16, 99},               /* purpose unknown */
        {MG_KEYRING_HEADER + 24, 0},                /* state 0 */
        {MG_KEYRING_HEADER + 24, MG_KEY_READING},   /* a tenant key is never only reading */
        {MG_KEYRING_HEADER + 32, 1},                /* a period where none belongs */
        {MG_KEYRING_HEADER + 47, 0x80},             /* created before 1970 */
        {MG_KEYRING_HEADER + MG_KEY_RECORD + 8, 1}, /* a deployment purpose in a tenant */
    };
    for (size_t i = 0; i < MG_COUNT(breaks); i++) {
        OWN_BUFFER(file, 65536);
        assert_ok(mg_keyring_encode(keyring, &file));
        file.bytes[breaks[i].offset] = breaks[i].value;
        assert_code(mg_keyring_decode(mg_buffer_view(&file), &none), MALFORMED);
    }
}

static void
a_rotation_keeps_the_old_key_for_reading(void **state)
{
    (void) state;
    OWN(keyring) keyring = example();
    const uint64_t before = mg_keyring_in_state(keyring, 7, MG_KEY_FIELD, 0, MG_KEY_WRITING)->id;
    enum mg_key_state wanted = 0;
    assert_ok(mg_keyring_rotate(keyring, 7, MG_KEY_FIELD, 2000, &wanted));
    assert_int_equal(wanted, MG_KEY_WRITING);
    const uint64_t after = add(keyring, 7, MG_KEY_FIELD, wanted, 2000);
    assert_int_equal(mg_keyring_in_state(keyring, 7, MG_KEY_FIELD, 0, MG_KEY_WRITING)->id, after);
    assert_int_equal(mg_keyring_find(keyring, 7, MG_KEY_FIELD, 0, before)->state, MG_KEY_READING);
    assert_int_equal(mg_keyring_in_state(keyring, 5, MG_KEY_FIELD, 0, MG_KEY_WRITING)->state, MG_KEY_WRITING);
    uint64_t removed = 0;
    assert_ok(mg_keyring_retire(keyring, 7, MG_KEY_FIELD, &removed));
    assert_int_equal(removed, 1);
    assert_null(mg_keyring_find(keyring, 7, MG_KEY_FIELD, 0, before));
    assert_non_null(mg_keyring_find(keyring, 7, MG_KEY_FIELD, 0, after));
}

static void
an_assertion_key_is_announced_before_and_a_week_after(void **state)
{
    (void) state;
    OWN(keyring) keyring = example();
    const uint64_t first = mg_keyring_in_state(keyring, 0, MG_KEY_ASSERTION, 0, MG_KEY_WRITING)->id;
    const uint64_t second = mg_keyring_in_state(keyring, 0, MG_KEY_ASSERTION, 0, MG_KEY_NEXT)->id;
    enum mg_key_state wanted = 0;
    mg_instant now = 5000;
    assert_ok(mg_keyring_rotate(keyring, 0, MG_KEY_ASSERTION, now, &wanted));
    assert_int_equal(wanted, MG_KEY_NEXT);
    (void) add(keyring, 0, MG_KEY_ASSERTION, wanted, now);
    assert_int_equal(mg_keyring_in_state(keyring, 0, MG_KEY_ASSERTION, 0, MG_KEY_WRITING)->id, second);
    assert_non_null(mg_keyring_find(keyring, 0, MG_KEY_ASSERTION, 0, first));
    now += MG_KEY_ANNOUNCED_MS - 1;
    assert_ok(mg_keyring_rotate(keyring, 0, MG_KEY_ASSERTION, now, &wanted));
    (void) add(keyring, 0, MG_KEY_ASSERTION, wanted, now);
    assert_non_null(mg_keyring_find(keyring, 0, MG_KEY_ASSERTION, 0, first));
    now += 1;
    assert_ok(mg_keyring_rotate(keyring, 0, MG_KEY_ASSERTION, now, &wanted));
    assert_null(mg_keyring_find(keyring, 0, MG_KEY_ASSERTION, 0, first));
    assert_non_null(mg_keyring_find(keyring, 0, MG_KEY_ASSERTION, 0, second));
}

static void
what_must_not_turn_or_go_is_refused(void **state)
{
    (void) state;
    OWN(keyring) keyring = example();
    enum mg_key_state wanted = 0;
    uint64_t removed = 0;
    struct mg_key_record *record = NULL;
    assert_code(mg_keyring_rotate(keyring, 7, MG_KEY_TENANT, 2000, &wanted), REFUSED);
    assert_code(mg_keyring_rotate(keyring, 7, MG_KEY_AUDIT, 2000, &wanted), REFUSED);
    assert_code(mg_keyring_rotate(keyring, 8, MG_KEY_FIELD, 2000, &wanted), NOT_FOUND);
    assert_code(mg_keyring_retire(keyring, 0, MG_KEY_ASSERTION, &removed), REFUSED);
    assert_code(mg_keyring_remove_tenant(keyring, 0), REFUSED);
    assert_code(mg_keyring_remove_tenant(keyring, 8), NOT_FOUND);
    assert_code(mg_keyring_add(keyring, 7, MG_KEY_CHECKPOINT, 0, MG_KEY_WRITING, 1, &record), INVALID);
    assert_ok(mg_keyring_remove_tenant(keyring, 7));
    assert_null(mg_keyring_in_state(keyring, 7, MG_KEY_TENANT, 0, MG_KEY_WRITING));
    assert_non_null(mg_keyring_in_state(keyring, 5, MG_KEY_FIELD, 0, MG_KEY_WRITING));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keyring_reads_back_and_every_cut_is_refused),
        cmocka_unit_test(records_out_of_order_or_out_of_range_are_refused),
        cmocka_unit_test(a_rotation_keeps_the_old_key_for_reading),
        cmocka_unit_test(an_assertion_key_is_announced_before_and_a_week_after),
        cmocka_unit_test(what_must_not_turn_or_go_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
