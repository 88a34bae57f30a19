#include "test.h"

#include "domain/device.h"
#include "domain/return_path.h"
#include "ports/form.h"

static void
a_form_is_decoded(void **state)
{
    (void) state;
    OWN_FORM(form);
    assert_ok(mg_form_decode(
        mg_view_text("login=hana%40example.com&password=a+b%2B%26%3D%0D%0A&name=%E6%9E%A1&empty="), &form));
    assert_true(mg_view_is(mg_form_value(&form, "login"), "hana@example.com"));
    assert_true(mg_view_is(mg_form_value(&form, "password"), "a b+&=\r\n"));
    assert_true(mg_view_is(mg_form_value(&form, "name"), "枡"));
    assert_true(mg_form_has(&form, "empty"));
    assert_false(mg_form_has(&form, "absent"));
    assert_int_equal(mg_form_value(&form, "absent").length, 0);
}

static void
what_no_browser_sends_is_refused(void **state)
{
    (void) state;
    static const char *const bad[] = {
        "a=%",      "a=%4",        "a=%4g",    "a=%zz",          "a=%00",   "a=%1F", "a=%7f",
        "a=%C0%80", "a=%ED%A0%80", "a=%E6%9E", "a=\xE6\x9E\xA1", "a=b c",   "a=\n",  "a.b=1",
        "a",        "=1",          "a=1&a=2",  "a=1&&b=2",       "a%20b=1", "a=1&",  "a[]=1",
    };
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        OWN_FORM(form);
        const struct mg_status status = mg_form_decode(mg_view_text(bad[i]), &form);
        /* A trailing separator is what some clients send, and means nothing. */
        if (strcmp(bad[i], "a=1&") == 0)
            assert_ok(status);
        else
            assert_code(status, MALFORMED);
        if (!mg_ok(status))
            assert_int_equal(form.count, 0);
    }
}

static void
a_form_is_bounded(void **state)
{
    (void) state;
    OWN_BUFFER(text, 65536);
    for (int i = 0; i < MG_FORM_FIELDS + 1; i++)
        assert_ok(mg_buffer_format(&text, "%sf%d=1", i == 0 ? "" : "&", i));
    OWN_FORM(form);
    assert_code(mg_form_decode(mg_buffer_view(&text), &form), TOO_LARGE);
    mg_buffer_clear(&text);
    assert_ok(mg_buffer_add_text(&text, "a="));
    while (text.length <= MG_FORM_BYTES)
        assert_ok(mg_buffer_add_byte(&text, 'x'));
    assert_code(mg_form_decode(mg_buffer_view(&text), &form), TOO_LARGE);
}

static void
every_value_survives_a_query(void **state)
{
    (void) state;
    OWN_BUFFER(query, 4096);
    assert_ok(mg_buffer_add_text(&query, "v="));
    static const char value[] = "/a b?c=d&e=%2F#\"'<>日本\t~-._";
    assert_ok(mg_form_encode(mg_view_text(value), &query));
    OWN_FORM(form);
    assert_ok(mg_form_decode(mg_buffer_view(&query), &form));
    assert_true(mg_view_is(mg_form_value(&form, "v"), value));
}

static void
all_cookies_of_a_name_are_found(void **state)
{
    (void) state;
    const struct mg_view header =
        mg_view_text("a=1; __Host-masugata=planted;__Host-masugata=good ; __Host-masugata-start=x; b");
    size_t position = 0;
    struct mg_view value;
    assert_true(mg_cookie_next(header, "__Host-masugata", &position, &value));
    assert_true(mg_view_is(value, "planted"));
    assert_true(mg_cookie_next(header, "__Host-masugata", &position, &value));
    assert_true(mg_view_is(value, "good"));
    assert_false(mg_cookie_next(header, "__Host-masugata", &position, &value));
    position = 0;
    assert_false(mg_cookie_next(MG_VIEW_EMPTY, "a", &position, &value));
}

static void
the_language_is_the_preferred_one(void **state)
{
    (void) state;
    static const struct {
        const char *header;
        bool japanese;
    } rows[] = {
        {"ja", true},
        {"ja-JP,ja;q=0.9,en;q=0.8", true},
        {"en-US,en;q=0.9,ja;q=0.8", false},
        {"", false},
        {"fr,de;q=0.5", false},
        {"fr, ja;q=0.3", true},
        {"en;q=0.1, ja", true},
        {"ja;q=0, en;q=0.1", false},
        {"JA-jp", true},
        {"java", false},
        {"ja;q=x", false},
        {"ja;q=1.000,en;q=0.999", true},
        {"*", false},
        {";;;,,,", false},
        {"en, ja", false},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        assert_int_equal(mg_prefers_japanese(mg_view_text(rows[i].header)), rows[i].japanese);
}

static void
the_way_back_leads_nowhere_else(void **state)
{
    (void) state;
    static const char *const good[] = {"/",     "/a", "/a/b?c=d&e=%2F", "/?next=https://example.com/",
                                       "/a//b", "/~x"};
    static const char *const bad[] = {"",
                                      "a",
                                      "//evil.example",
                                      "/\\evil.example",
                                      "https://evil.example/",
                                      "/a\nb",
                                      "/a b",
                                      "/\t/evil.example",
                                      "/a#b",
                                      "/\"x",
                                      "/日本",
                                      "\\\\evil",
                                      "javascript:alert(1)",
                                      "/.masugata/start",
                                      "/.masugata",
                                      "/a\\b",
                                      "/<script>"};
    for (size_t i = 0; i < MG_COUNT(good); i++)
        assert_true(mg_return_path_is_safe(mg_view_text(good[i])));
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        assert_false(mg_return_path_is_safe(mg_view_text(bad[i])));
        assert_true(mg_view_is(mg_return_path(mg_view_text(bad[i])), "/"));
    }
    OWN_BUFFER(path, 4096);
    assert_ok(mg_buffer_add_byte(&path, '/'));
    while (path.length < MG_RETURN_PATH_MOST)
        assert_ok(mg_buffer_add_byte(&path, 'a'));
    assert_true(mg_return_path_is_safe(mg_buffer_view(&path)));
    assert_ok(mg_buffer_add_byte(&path, 'a'));
    assert_false(mg_return_path_is_safe(mg_buffer_view(&path)));
}

static void
devices_have_names(void **state)
{
    (void) state;
    struct mg_device device =
        mg_device_of(mg_view_text("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
                                  "Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0"));
    assert_string_equal(device.browser, "Microsoft Edge");
    assert_string_equal(device.platform, "Windows");
    assert_false(device.handheld);
    device = mg_device_of(mg_view_text(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Mobile/15E148 Safari/604.1"));
    assert_string_equal(device.browser, "Safari");
    assert_string_equal(device.platform, "iPhone");
    assert_true(device.handheld);
    device = mg_device_of(MG_VIEW_EMPTY);
    assert_null(device.browser);
    assert_null(device.platform);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form_is_decoded),
        cmocka_unit_test(what_no_browser_sends_is_refused),
        cmocka_unit_test(a_form_is_bounded),
        cmocka_unit_test(every_value_survives_a_query),
        cmocka_unit_test(all_cookies_of_a_name_are_found),
        cmocka_unit_test(the_language_is_the_preferred_one),
        cmocka_unit_test(the_way_back_leads_nowhere_else),
        cmocka_unit_test(devices_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
