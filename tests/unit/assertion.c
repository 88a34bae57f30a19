#include "test.h"

#include "domain/assertion.h"

static struct mg_request_sign_assertion
identity(struct mg_buffer *roles, struct mg_buffer *windows)
{
    assert_ok(mg_list_add_role(roles, &(struct mg_record_role){.name = mg_view_text("admin")}));
    assert_ok(mg_list_add_role(roles, &(struct mg_record_role){.name = mg_view_text("経理")}));
    const struct mg_record_assertion_window window = {
        .issued_at_s = 1000, .not_before_s = 1000, .expires_s = 1300};
    assert_ok(mg_list_add_assertion_window(windows, &window));
    return (struct mg_request_sign_assertion){
        .issuer = mg_view_text("https://id.acme.localhost:8443"),
        .audience = mg_view_text("acme.localhost"),
        .subject = mg_view_text("u-7"),
        .tenant = 3,
        .email = mg_view_text("a\"b@example.com"),
        .name = mg_view_text("花子"),
        .roles = {.bytes = mg_buffer_view(roles)},
        .sid = mg_view_text("s1"),
        .windows = {.bytes = mg_buffer_view(windows)},
    };
}

static void
a_token_has_the_claims_it_was_given(void **state)
{
    (void) state;
    OWN_BUFFER(roles, 1024);
    OWN_BUFFER(windows, 1024);
    OWN_BUFFER(claims, 4096);
    OWN_BUFFER(token, 4096);
    OWN_BUFFER(text, 4096);
    const struct mg_request_sign_assertion request = identity(&roles, &windows);
    assert_ok(mg_assertion_check(&request));
    assert_ok(mg_assertion_claims(&request, &claims));
    const struct mg_record_assertion_window window = {
        .issued_at_s = 1000, .not_before_s = 1100, .expires_s = 1400};
    assert_ok(mg_assertion_input("KID", mg_buffer_view(&claims), &window, &token));
    const char *dot = strchr(mg_buffer_text(&token), '.');
    assert_non_null(dot);
    assert_ok(
        mg_base64url_decode(mg_view_of(token.bytes, (size_t) (dot - (const char *) token.bytes)), &text));
    assert_string_equal(mg_buffer_text(&text), "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"KID\"}");
    mg_buffer_clear(&text);
    assert_ok(mg_base64url_decode(mg_view_text(dot + 1), &text));
    assert_string_equal(
        mg_buffer_text(&text),
        "{\"iss\":\"https://id.acme.localhost:8443\",\"aud\":\"acme.localhost\",\"sub\":\"u-7\","
        "\"tenant\":3,\"email\":\"a\\\"b@example.com\",\"name\":\"花子\",\"roles\":[\"admin\",\"経理\"],"
        "\"sid\":\"s1\",\"iat\":1000,\"nbf\":1100,\"exp\":1400}");
}

static void
who_and_for_whom_must_make_sense(void **state)
{
    (void) state;
    OWN_BUFFER(roles, 1024);
    OWN_BUFFER(windows, 1024);
    const struct mg_request_sign_assertion good = identity(&roles, &windows);
    struct mg_request_sign_assertion bad = good;
    const char *const issuers[] = {"", "http://id.acme.localhost", "https://", "https://a/b", "https://a b"};
    for (size_t i = 0; i < MG_COUNT(issuers); i++) {
        bad.issuer = mg_view_text(issuers[i]);
        assert_code(mg_assertion_check(&bad), INVALID);
    }
    bad = good;
    bad.audience = MG_VIEW_EMPTY;
    assert_code(mg_assertion_check(&bad), INVALID);
    bad = good;
    bad.subject = mg_view_text("a\nb");
    assert_code(mg_assertion_check(&bad), INVALID);
    bad = good;
    bad.windows.bytes = MG_VIEW_EMPTY;
    assert_code(mg_assertion_check(&bad), INVALID);
}

static void
windows_are_short_and_near(void **state)
{
    (void) state;
    const uint64_t now_s = 100000;
    const struct {
        uint64_t issued_at, not_before, expires;
        bool good;
    } cases[] = {
        {now_s, now_s, now_s + 300, true},          {now_s, now_s + 7200, now_s + 7500, true},
        {now_s, now_s, now_s + 301, false},         {now_s, now_s, now_s, false},
        {now_s, now_s + 1, now_s, false},           {now_s, now_s - 300, now_s, false},
        {now_s, now_s + 7201, now_s + 7300, false}, {now_s + 61, now_s, now_s + 300, false},
        {now_s, UINT64_MAX - 1, UINT64_MAX, false},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct mg_record_assertion_window window = {.issued_at_s = cases[i].issued_at,
                                                          .not_before_s = cases[i].not_before,
                                                          .expires_s = cases[i].expires};
        assert_int_equal(mg_ok(mg_assertion_window_check(&window, now_s)), cases[i].good);
    }
}

/* RFC 7515 A.3: a public key as a JWK. */
static void
a_public_key_is_written_as_the_standard_shows(void **state)
{
    (void) state;
    OWN_BUFFER(point, 64);
    OWN_BUFFER(text, 1024);
    assert_ok(mg_base64url_decode(mg_view_text("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"), &point));
    assert_ok(mg_base64url_decode(mg_view_text("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"), &point));
    assert_ok(mg_jwk_add("k", mg_buffer_view(&point), &text));
    assert_string_equal(mg_buffer_text(&text),
                        "{\"kid\":\"k\",\"use\":\"sig\",\"alg\":\"ES256\",\"crv\":\"P-256\",\"kty\":\"EC\","
                        "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_has_the_claims_it_was_given),
        cmocka_unit_test(who_and_for_whom_must_make_sense),
        cmocka_unit_test(windows_are_short_and_near),
        cmocka_unit_test(a_public_key_is_written_as_the_standard_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
