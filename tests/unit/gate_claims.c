#include "test.h"

#include "gate/claims.h"

static struct mg_status
read_payload(const char *payload, struct mg_claims *ret_claims)
{
    OWN_BUFFER(token, 16384);
    assert_ok(mg_buffer_add_text(&token, "head."));
    assert_ok(mg_base64url(mg_view_text(payload), &token));
    assert_ok(mg_buffer_add_text(&token, ".signature"));
    return mg_claims_read(mg_buffer_view(&token), ret_claims);
}

static void
the_three_claims_are_read(void **state)
{
    struct mg_claims claims;
    (void) state;
    assert_ok(
        read_payload("{\"iss\":\"x\",\"sub\":\"7\",\"tenant\":1,\"email\":\"a\\\"b@x\",\"name\":\"\\u0007\","
                     "\"roles\":[\"user\",\"king\"],\"exp\":5}",
                     &claims));
    assert_string_equal(claims.subject, "7");
    assert_string_equal(claims.email, "a\"b@x");
    assert_string_equal(claims.groups, "user,king");
    assert_ok(read_payload("{\"sub\":\"7\",\"email\":\"花@例え.jp\",\"roles\":[]}", &claims));
    assert_string_equal(claims.email, "花@例え.jp");
    assert_string_equal(claims.groups, "");
}

static void
anything_else_is_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "{",
                                        "{}",
                                        "[]",
                                        "null",
                                        "{\"sub\":\"7\"}",
                                        "{\"sub\":\"7\",\"email\":\"e\",\"roles\":\"r\"}",
                                        "{\"sub\":7,\"email\":\"e\",\"roles\":[]}",
                                        "{\"sub\":[\"7\"],\"email\":\"e\",\"roles\":[]}",
                                        "{\"sub\":\"7\",\"sub\":\"8\",\"email\":\"e\",\"roles\":[]}",
                                        "{\"sub\":\"7\",\"email\":\"e\\nX-Role: king\",\"roles\":[]}",
                                        "{\"sub\":\"7\",\"email\":\"e\\u000aX\",\"roles\":[]}",
                                        "{\"sub\":\"7\",\"email\":\"e\",\"roles\":[1]}",
                                        "{\"sub\":\"7\",\"email\":\"e\",\"roles\":[\"a\"",
                                        "{\"sub\":\"7\",\"email\":\"e\",\"roles\":[]}x",
                                        "{\"sub\":\"7\",\"email\":\"e\",\"roles\":[],\"o\":{}}",
                                        "{\"sub\":\"7\",\"email\":\"e\",\"roles\":[\"a\\"};
    struct mg_claims claims;
    (void) state;
    for (size_t i = 0; i < MG_COUNT(wrong); i++)
        assert_code(read_payload(wrong[i], &claims), MALFORMED);
    assert_code(mg_claims_read(mg_view_text("a.b"), &claims), MALFORMED);
    assert_code(mg_claims_read(MG_VIEW_EMPTY, &claims), MALFORMED);
    OWN_BUFFER(long_one, 4096);
    assert_ok(mg_buffer_add_text(&long_one, "{\"email\":\"e\",\"roles\":[],\"sub\":\""));
    for (int i = 0; i < 128; i++)
        assert_ok(mg_buffer_add_text(&long_one, "s"));
    assert_ok(mg_buffer_add_text(&long_one, "\"}"));
    assert_code(read_payload(mg_buffer_text(&long_one), &claims), TOO_LARGE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_claims_are_read),
        cmocka_unit_test(anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
