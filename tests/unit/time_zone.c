#include "test.h"

#include "domain/tenant_policy.h"
#include "domain/time_zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Every hour and a bit of some years, against the system's own database of zones. */
static void
clocks_show_what_the_system_says(void **state)
{
    (void) state;
    enum { STEP_S = 2999 };
    if (access("/usr/share/zoneinfo/Europe/London", R_OK) != 0)
        skip();
    for (size_t i = 0; i < mg_time_zone_count; i++) {
        const struct mg_time_zone *zone = mg_time_zone_at(i);
        assert_int_equal(setenv("TZ", mg_time_zone_name(zone), 1), 0);
        tzset();
        for (time_t at = 1735600000; at < 1893456000; at += STEP_S) { /* end of 2024 to 2030 */
            struct tm local;
            assert_non_null(localtime_r(&at, &local));
            if (mg_time_zone_ahead_ms(zone, (mg_instant) at * 1000) != local.tm_gmtoff * 1000)
                fail_msg("%s at %lld: %lld, not %ld", mg_time_zone_name(zone), (long long) at,
                         (long long) mg_time_zone_ahead_ms(zone, (mg_instant) at * 1000) / 1000,
                         local.tm_gmtoff);
        }
    }
    assert_int_equal(unsetenv("TZ"), 0);
    tzset();
}

static void
a_day_begins_at_its_midnight(void **state)
{
    static const struct {
        const char *zone, *day, *begins;
    } rows[] = {
        {"Asia/Tokyo", "2026-11-22", "2026-11-21T15:00:00Z"},
        {"UTC", "2026-11-22", "2026-11-22T00:00:00Z"},
        {"America/New_York", "2026-03-08", "2026-03-08T05:00:00Z"},
        {"America/New_York", "2026-03-09", "2026-03-09T04:00:00Z"},
        {"America/New_York", "2026-11-02", "2026-11-02T05:00:00Z"},
        {"Europe/Berlin", "2026-03-30", "2026-03-29T22:00:00Z"},
        {"Australia/Sydney", "2026-10-05", "2026-10-04T13:00:00Z"},
    };
    (void) state;
    mg_instant instant, expected;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        assert_ok(mg_time_zone_day(mg_time_zone_find(mg_view_text(rows[i].zone)), mg_view_text(rows[i].day),
                                   &instant));
        assert_ok(mg_instant_parse(mg_view_text(rows[i].begins), &expected));
        assert_int_equal(instant, expected);
    }
    assert_code(mg_time_zone_day(mg_time_zone_at(0), mg_view_text("2026-11-2"), &instant), INVALID);
    assert_code(mg_time_zone_day(mg_time_zone_at(0), mg_view_text("2026-13-22"), &instant), INVALID);
    assert_null(mg_time_zone_find(mg_view_text("Mars/Base")));
}

/* The option's choices are the zones, in the same order. */
static void
the_option_offers_every_zone(void **state)
{
    (void) state;
    OWN_BUFFER(names, 4096);
    for (size_t i = 0; i < mg_time_zone_count; i++)
        assert_ok(mg_buffer_format(&names, "%s%s", i == 0 ? "" : "|", mg_time_zone_name(mg_time_zone_at(i))));
    for (size_t i = 0; i < mg_tenant_option_count; i++)
        if (strcmp(mg_tenant_option_rows[i].keyword, "time_zone") == 0) {
            assert_string_equal(mg_tenant_option_rows[i].most, mg_buffer_text(&names));
            return;
        }
    fail_msg("no option time_zone");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_show_what_the_system_says),
        cmocka_unit_test(a_day_begins_at_its_midnight),
        cmocka_unit_test(the_option_offers_every_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
