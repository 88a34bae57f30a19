#include "test.h"

#include "domain/api_token.h"
#include "domain/bucket.h"

static void
a_token_reads_back(void **state)
{
    (void) state;
    for (int round = 0; round < 200; round++) {
        uint8_t bytes[MG_API_TOKEN_BYTES], again[MG_API_TOKEN_BYTES] = {0};
        char text[MG_API_TOKEN_LENGTH + 1];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t) (round * 37 + (int) i * 11);
        mg_api_token_text(bytes, text);
        assert_int_equal(strlen(text), MG_API_TOKEN_LENGTH);
        assert_memory_equal(text, MG_API_TOKEN_PREFIX, strlen(MG_API_TOKEN_PREFIX));
        assert_true(mg_api_token_parse(mg_view_text(text), again));
        assert_memory_equal(bytes, again, sizeof bytes);
    }
}

/* The example that scanners are given (docs/api.md): 32 zero bytes, whose CRC-32 is 190A55AD. */
static void
the_form_is_fixed(void **state)
{
    (void) state;
    const uint8_t zero[MG_API_TOKEN_BYTES] = {0};
    char text[MG_API_TOKEN_LENGTH + 1];
    mg_api_token_text(zero, text);
    assert_string_equal(text, "mgk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaadefflli");
}

static void
one_wrong_character_is_no_token(void **state)
{
    (void) state;
    uint8_t bytes[MG_API_TOKEN_BYTES] = {1, 2, 3}, untouched[MG_API_TOKEN_BYTES] = {9};
    char text[MG_API_TOKEN_LENGTH + 1];
    mg_api_token_text(bytes, text);
    for (size_t i = 0; i < MG_API_TOKEN_LENGTH; i++) {
        const char *replacements = "a2z1A=- ";
        for (const char *c = replacements; *c != '\0'; c++) {
            const char before = text[i];
            if (*c == before)
                continue;
            text[i] = *c;
            assert_false(mg_api_token_parse(mg_view_text(text), untouched));
            text[i] = before;
        }
    }
    assert_false(mg_api_token_parse(mg_view_of(text, MG_API_TOKEN_LENGTH - 1), untouched));
    assert_false(mg_api_token_parse(MG_VIEW_EMPTY, untouched));
    assert_int_equal(untouched[0], 9);
}

static void
names_of_service_accounts(void **state)
{
    (void) state;
    assert_true(mg_service_name_is_valid(mg_view_text("okta-scim.v2_1")));
    assert_false(mg_service_name_is_valid(mg_view_text("")));
    assert_false(mg_service_name_is_valid(mg_view_text("a@b")));
    assert_false(mg_service_name_is_valid(mg_view_text("Upper")));
    assert_false(mg_service_name_is_valid(mg_view_text("a b")));
    assert_false(mg_service_name_is_valid(
        mg_view_text("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
}

static void
a_bucket_says_what_is_left(void **state)
{
    (void) state;
    struct mg_bucket bucket = {0};
    for (int i = 0; i < 20; i++)
        assert_true(mg_bucket_take(&bucket, 2, 20, 1000));
    assert_false(mg_bucket_take(&bucket, 2, 20, 1000));
    assert_int_equal(mg_bucket_left(&bucket), 0);
    assert_int_equal(mg_bucket_full_in_ms(&bucket, 2, 20), 10000);
    assert_true(mg_bucket_take(&bucket, 2, 20, 2000));
    assert_int_equal(mg_bucket_left(&bucket), 1);
    assert_true(mg_bucket_take(&bucket, 2, 20, 100000));
    assert_int_equal(mg_bucket_left(&bucket), 19);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_reads_back),
        cmocka_unit_test(the_form_is_fixed),
        cmocka_unit_test(one_wrong_character_is_no_token),
        cmocka_unit_test(names_of_service_accounts),
        cmocka_unit_test(a_bucket_says_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
