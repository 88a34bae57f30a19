#include "test.h"

#include "base/bytes.h"
#include "base/time.h"

static void
base64_round_trips_and_refuses_stray_bits(void **state)
{
    (void) state;
    for (size_t length = 0; length < 40; length++) {
        uint8_t bytes[40];
        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t) (i * 37 + length);
        OWN_BUFFER(text, 128);
        OWN_BUFFER(back, 128);
        assert_true(mg_ok(mg_base64url(mg_view_of(bytes, length), &text)));
        assert_true(mg_ok(mg_base64url_decode(mg_buffer_view(&text), &back)));
        assert_true(mg_view_equal(mg_buffer_view(&back), mg_view_of(bytes, length)));
        OWN_BUFFER(padded, 128);
        OWN_BUFFER(again, 128);
        assert_true(mg_ok(mg_base64(mg_view_of(bytes, length), &padded)));
        assert_true(mg_ok(mg_base64_decode(mg_buffer_view(&padded), &again)));
        assert_true(mg_view_equal(mg_buffer_view(&again), mg_view_of(bytes, length)));
    }
    OWN_BUFFER(out, 16);
    assert_false(mg_ok(mg_base64url_decode(mg_view_text("AB"), &out)));
    assert_false(mg_ok(mg_base64url_decode(mg_view_text("A"), &out)));
    assert_false(mg_ok(mg_base64_decode(mg_view_text("AA"), &out)));
    assert_false(mg_ok(mg_base64url_decode(mg_view_text("AA=="), &out)));
    assert_int_equal(out.length, 0);
}

static void
utf8_refuses_overlong_and_surrogates(void **state)
{
    (void) state;
    assert_true(mg_view_is_utf8(mg_view_text("枡形 masugata \xF0\x9F\x8F\xAF")));
    assert_false(mg_view_is_utf8(mg_view_of("\xC0\x80", 2)));
    assert_false(mg_view_is_utf8(mg_view_of("\xED\xA0\x80", 3)));
    assert_false(mg_view_is_utf8(mg_view_of("\xF4\x90\x80\x80", 4)));
    assert_false(mg_view_is_utf8(mg_view_of("\xE3\x81", 2)));
    assert_false(mg_view_is_utf8(mg_view_of("a\0b", 3)));
}

static void
buffer_keeps_its_maximum(void **state)
{
    (void) state;
    OWN_BUFFER(buffer, 10);
    assert_true(mg_ok(mg_buffer_add_text(&buffer, "0123456789")));
    assert_int_equal(mg_buffer_add_text(&buffer, "x").code, MG_TOO_LARGE);
    assert_string_equal(mg_buffer_text(&buffer), "0123456789");
}

static void
durations_and_instants_read_what_they_print(void **state)
{
    (void) state;
    int64_t ms = 0;
    char text[MG_DURATION_TEXT];
    assert_true(mg_ok(mg_duration_parse(mg_view_text("15m"), &ms)));
    assert_int_equal(ms, 900000);
    mg_duration_text(ms, text);
    assert_string_equal(text, "15m");
    assert_false(mg_ok(mg_duration_parse(mg_view_text("15"), &ms)));
    assert_false(mg_ok(mg_duration_parse(mg_view_text("-1s"), &ms)));
    mg_instant at = 0;
    char stamp[MG_INSTANT_TEXT];
    assert_true(mg_ok(mg_instant_parse(mg_view_text("2026-11-22T14:19:00.250+09:00"), &at)));
    mg_instant_text(at, stamp);
    assert_string_equal(stamp, "2026-11-22T05:19:00.250Z");
    assert_false(mg_ok(mg_instant_parse(mg_view_text("2026-13-22T14:19:00Z"), &at)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_round_trips_and_refuses_stray_bits),
        cmocka_unit_test(utf8_refuses_overlong_and_surrogates),
        cmocka_unit_test(buffer_keeps_its_maximum),
        cmocka_unit_test(durations_and_instants_read_what_they_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
