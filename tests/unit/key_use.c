#include "test.h"

#include "domain/bucket.h"
#include "domain/field.h"
#include "domain/use_ledger.h"

#include <stdio.h>

static void
a_field_is_bound_to_its_place_without_ambiguity(void **state)
{
    (void) state;
    const struct mg_field_place places[] = {
        {1, mg_view_text("ab"), mg_view_text("c"), mg_view_text("7")},
        {1, mg_view_text("a"), mg_view_text("bc"), mg_view_text("7")},
        {2, mg_view_text("ab"), mg_view_text("c"), mg_view_text("7")},
        {1, mg_view_text("ab"), mg_view_text("c"), mg_view_text("8")},
    };
    struct mg_buffer texts[MG_COUNT(places)];
    for (size_t i = 0; i < MG_COUNT(places); i++) {
        texts[i] = MG_BUFFER(MG_FIELD_ASSOCIATED_MOST);
        assert_ok(mg_field_associated(&places[i], 5, &texts[i]));
        for (size_t before = 0; before < i; before++)
            assert_false(mg_view_equal(mg_buffer_view(&texts[before]), mg_buffer_view(&texts[i])));
    }
    OWN_BUFFER(other_key, MG_FIELD_ASSOCIATED_MOST);
    assert_ok(mg_field_associated(&places[0], 6, &other_key));
    assert_false(mg_view_equal(mg_buffer_view(&other_key), mg_buffer_view(&texts[0])));
    for (size_t i = 0; i < MG_COUNT(places); i++)
        mg_buffer_drop(&texts[i]);
    const struct mg_field_place nowhere = {1, mg_view_text("ab"), MG_VIEW_EMPTY, mg_view_text("7")};
    OWN_BUFFER(none, MG_FIELD_ASSOCIATED_MOST);
    assert_code(mg_field_associated(&nowhere, 5, &none), INVALID);
}

static void
a_field_splits_only_where_it_was_begun(void **state)
{
    (void) state;
    OWN_BUFFER(field, 64);
    uint64_t id = 0;
    struct mg_view sealed;
    assert_ok(mg_field_begin(0x0102030405060708, &field));
    assert_ok(mg_buffer_add_text(&field, "rest"));
    assert_ok(mg_field_split(mg_buffer_view(&field), &id, &sealed));
    assert_true(id == 0x0102030405060708);
    assert_true(mg_view_is(sealed, "rest"));
    for (size_t length = 0; length < MG_FIELD_HEADER; length++)
        assert_code(mg_field_split(mg_view_of(field.bytes, length), &id, &sealed), INTEGRITY);
    field.bytes[0] = 9;
    assert_code(mg_field_split(mg_buffer_view(&field), &id, &sealed), INTEGRITY);
}

static void
a_bucket_gives_its_burst_then_its_rate(void **state)
{
    (void) state;
    struct mg_bucket bucket = {0};
    int64_t now_ms = 5000;
    for (int i = 0; i < 10; i++)
        assert_true(mg_bucket_take(&bucket, 100, 10, now_ms));
    assert_false(mg_bucket_take(&bucket, 100, 10, now_ms));
    now_ms += 9;
    assert_false(mg_bucket_take(&bucket, 100, 10, now_ms));
    now_ms += 1;
    assert_true(mg_bucket_take(&bucket, 100, 10, now_ms));
    assert_false(mg_bucket_take(&bucket, 100, 10, now_ms));
    now_ms += 1000000;
    for (int i = 0; i < 10; i++)
        assert_true(mg_bucket_take(&bucket, 100, 10, now_ms));
    assert_false(mg_bucket_take(&bucket, 100, 10, now_ms));
}

static void
uses_are_counted_until_they_are_written(void **state)
{
    (void) state;
    static struct mg_use_ledger ledger;
    const struct mg_use use = {.tenant = 3, .sender = 4, .place = "users.password", .purpose = "sign-in"};
    struct mg_use other = use;
    other.tenant = 4;
    for (int i = 0; i < 5; i++)
        assert_ok(mg_use_note(&ledger, &use, 1000 + i));
    assert_ok(mg_use_note(&ledger, &other, 1000));
    struct mg_use_row row;
    assert_true(mg_use_take(&ledger, &row));
    assert_int_equal(row.count, 5);
    assert_int_equal(row.last_ms, 1004);
    assert_ok(mg_use_note(&ledger, &use, 2000));
    mg_use_put_back(&ledger, &row);
    uint64_t total = 0;
    while (mg_use_take(&ledger, &row))
        total += row.count;
    assert_int_equal(total, 7);
}

static void
a_use_that_cannot_be_recorded_is_refused(void **state)
{
    (void) state;
    static struct mg_use_ledger ledger;
    struct mg_use use = {.tenant = 3, .purpose = "sign-in"};
    assert_ok(mg_use_note(&ledger, &use, 1000));
    assert_ok(mg_use_note(&ledger, &use, 1000 + MG_USE_UNRECORDED_MS_MOST));
    assert_code(mg_use_note(&ledger, &use, 1001 + MG_USE_UNRECORDED_MS_MOST), BUSY);
    struct mg_use_row row;
    assert_true(mg_use_take(&ledger, &row));
    /* One sender fills its share and no more; the others still have room. */
    for (uint64_t tenant = 0; tenant < MG_USE_ROWS_OF_ONE_MOST; tenant++) {
        use.tenant = tenant + 100;
        assert_ok(mg_use_note(&ledger, &use, 1000));
    }
    use.tenant = 99;
    assert_code(mg_use_note(&ledger, &use, 1000), BUSY);
    use.sender = 1;
    for (uint64_t tenant = MG_USE_ROWS_OF_ONE_MOST; tenant < MG_USE_ROWS_MOST - 1; tenant++) {
        use.tenant = tenant + 100;
        assert_ok(mg_use_note(&ledger, &use, 1000));
    }
    use.tenant = 99;
    assert_code(mg_use_note(&ledger, &use, 1000), BUSY);
    mg_use_put_back(&ledger, &row);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_is_bound_to_its_place_without_ambiguity),
        cmocka_unit_test(a_field_splits_only_where_it_was_begun),
        cmocka_unit_test(a_bucket_gives_its_burst_then_its_rate),
        cmocka_unit_test(uses_are_counted_until_they_are_written),
        cmocka_unit_test(a_use_that_cannot_be_recorded_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
