#include "test.h"

#include "domain/header_grade.h"

static const char best[] =
    "HTTP/1.1 200 OK\r\n"
    "Strict-Transport-Security: max-age=63072000; includeSubDomains\r\n"
    "content-security-policy: default-src 'none'; script-src 'self'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer, strict-origin-when-cross-origin\r\n"
    "Permissions-Policy: camera=()\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Embedder-Policy: require-corp\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Set-Cookie: __Host-masugata=x; Path=/; Secure; HttpOnly; SameSite=Lax\r\n"
    "X-XSS-Protection: 0\r\n"
    "Server: nginx\r\n";

static void
the_best_headers_have_a_plus(void **state)
{
    (void) state;
    struct mg_headers_seen seen;
    struct mg_header_grade grade;
    mg_headers_read(mg_view_text(best), &seen);
    mg_header_grade(&seen, &grade);
    assert_string_equal(grade.letter, "A+");
    assert_string_equal(grade.observatory, "A+");
    assert_true(mg_csp_is_strict(&seen.csp));
    assert_int_equal(seen.hsts.max_age_s, 63072000);
    assert_true(seen.hsts.subdomains);
    assert_true(seen.referrer_safe);
    assert_string_equal(seen.xss_protection, "0");
    assert_int_equal(seen.cookies, 1);
    assert_true(seen.cookies_secure && seen.cookies_same_site);
    assert_false(seen.banner);
}

static void
no_headers_have_f(void **state)
{
    (void) state;
    struct mg_headers_seen seen;
    struct mg_header_grade grade;
    mg_headers_read(mg_view_text("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nSet-Cookie: a=b\r\n"), &seen);
    mg_header_grade(&seen, &grade);
    assert_string_equal(grade.letter, "F");
    assert_string_equal(grade.observatory, "F");
    assert_true(seen.banner);
    assert_false(seen.cookies_secure);
}

static bool
strict(const char *policy)
{
    const struct mg_csp csp = mg_csp_parse(mg_view_text(policy));
    return mg_csp_is_strict(&csp);
}

static void
a_policy_is_strict_or_not(void **state)
{
    (void) state;
    assert_true(strict("default-src 'self'; frame-ancestors 'none'"));
    assert_true(strict("script-src 'nonce-abc' 'unsafe-inline'; frame-ancestors 'self'"));
    assert_true(
        strict("script-src 'strict-dynamic' 'nonce-abc' https: 'unsafe-inline'; frame-ancestors 'self'"));
    assert_true(strict("SCRIPT-SRC 'self' ; Frame-Ancestors https://portal.example"));
    assert_false(strict("default-src 'self'"));     /* framing open */
    assert_false(strict("frame-ancestors 'none'")); /* scripts open */
    assert_false(strict("script-src 'self' 'unsafe-inline'; frame-ancestors 'none'"));
    assert_false(strict("script-src 'self' 'unsafe-eval'; frame-ancestors 'none'"));
    assert_false(strict("script-src *; frame-ancestors 'none'"));
    assert_false(strict("script-src data:; frame-ancestors 'none'"));
    assert_false(strict("script-src https:; frame-ancestors 'none'"));
    assert_false(strict("default-src 'self'; frame-ancestors *"));
    assert_false(strict(
        "script-src 'unsafe-inline'; script-src 'self'; frame-ancestors 'none'")); /* the first counts */
    assert_false(strict(""));
}

static void
two_policies_are_both_in_force(void **state)
{
    (void) state;
    struct mg_headers_seen seen;
    mg_headers_read(mg_view_text("Content-Security-Policy: script-src 'self'\r\n"
                                 "Content-Security-Policy: script-src *; frame-ancestors 'none'\r\n"),
                    &seen);
    assert_true(mg_csp_is_strict(&seen.csp));
    mg_headers_read(
        mg_view_text("Content-Security-Policy-Report-Only: default-src 'self'; frame-ancestors 'none'\r\n"),
        &seen);
    assert_false(seen.csp.present);
}

static void
hsts_needs_one_number(void **state)
{
    (void) state;
    struct mg_hsts hsts;
    assert_true(mg_hsts_parse(mg_view_text("includeSubDomains; MAX-AGE=\"31536000\""), &hsts));
    assert_int_equal(hsts.max_age_s, 31536000);
    assert_true(mg_hsts_parse(mg_view_text("max-age = 0"), &hsts));
    assert_false(mg_hsts_parse(mg_view_text("max-age=1; max-age=2"), &hsts));
    assert_false(mg_hsts_parse(mg_view_text("includeSubDomains"), &hsts));
    assert_false(mg_hsts_parse(mg_view_text("max-age=abc"), &hsts));
    assert_false(mg_hsts_parse(mg_view_text("max-age"), &hsts));
    assert_false(mg_hsts_parse(mg_view_text("max-age=99999999999999999999"), &hsts));
    assert_false(mg_hsts_parse(MG_VIEW_EMPTY, &hsts));
}

static void
one_weak_cookie_is_enough(void **state)
{
    (void) state;
    struct mg_headers_seen seen;
    mg_headers_read(
        mg_view_text("Set-Cookie: a=b; Secure; HttpOnly; SameSite=Lax\r\nSet-Cookie: c=d; Secure\r\n"),
        &seen);
    assert_false(seen.cookies_secure);
    assert_false(seen.cookies_same_site);
    mg_headers_read(
        mg_view_text("Set-Cookie: c=d; Secure\r\nSet-Cookie: a=b; Secure; HttpOnly; SameSite=Lax\r\n"),
        &seen);
    assert_false(seen.cookies_secure);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_headers_have_a_plus), cmocka_unit_test(no_headers_have_f),
        cmocka_unit_test(a_policy_is_strict_or_not),    cmocka_unit_test(two_policies_are_both_in_force),
        cmocka_unit_test(hsts_needs_one_number),        cmocka_unit_test(one_weak_cookie_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
