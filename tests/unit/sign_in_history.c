#include "test.h"

#include "ports/sign_in_history.h"

static void
both_formats_say_the_same(void **state)
{
    (void) state;
    static const char *const texts[] = {
        "\xEF\xBB\xBFlogin,time,address,country,latitude,longitude,asn,device,breached,result\r\n"
        "\"a,\"\"b\"\"\",2026-11-20T09:00:00+09:00,2001:DB8::1,JP,35.68,-139.77,AS2516,laptop,no,success\r\n"
        "\r\n"
        "x,2026-11-20T00:00:01Z,192.0.2.1,,,,,,,failure",
        "{\"login\":\"a,\\\"b\\\"\",\"time\":\"2026-11-20T00:00:00Z\",\"address\":\"2001:db8::1\",\"country\":\"JP\","
        "\"latitude\":35.68,\"longitude\":-139.77,\"asn\":2516,\"device\":\"laptop\",\"breached\":false}\n\n"
        "{\"login\":\"x\",\"time\":\"2026-11-20T00:00:01Z\",\"address\":\"192.0.2.1\",\"result\":\"failure\",\"device\":null}",
    };
    for (size_t i = 0; i < MG_COUNT(texts); i++) {
        OWN(sign_in_history) history = NULL;
        assert_ok(mg_sign_in_history_parse(mg_view_text(texts[i]), &history));
        assert_int_equal(history->count, 2);
        const struct mg_replay_row *row = &history->rows[0];
        assert_string_equal(row->login, "a,\"b\"");
        assert_string_equal(row->visit.address, "2001:db8::1");
        assert_string_equal(row->visit.place.country, "JP");
        assert_true(row->visit.place.located);
        assert_int_equal(row->visit.place.latitude_e3, 35680);
        assert_int_equal(row->visit.place.longitude_e3, -139770);
        assert_int_equal(row->visit.place.asn, 2516);
        assert_string_equal(row->device, "laptop");
        assert_int_equal(row->breached, MG_NO);
        assert_false(row->wrong);
        assert_true(history->rows[1].wrong);
        assert_int_equal(history->rows[1].visit.at - row->visit.at, 1000);
        assert_string_equal(history->rows[1].device, "");
        assert_int_equal(history->rows[1].breached, MG_NOT_TOLD);
    }
}

static void
what_is_wrong_is_named_with_its_line(void **state)
{
    (void) state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "empty"},
        {"time,login\n", ""}, /* no rows: nothing is missing */
        {"time,login,adress\n", "adress"},
        {"time,time\n", "twice"},
        {"time,login,address\n2026-11-20T00:00:00Z,a\n", "line 2"},
        {"time,login,address\n2026-11-20T00:00:00Z,a,\n", "line 2: address is missing"},
        {"time,login,address\nyesterday,a,192.0.2.1\n", "line 2, time"},
        {"time,login,address\n2026-11-20T00:00:00Z,a,192.0.2.256\n", "line 2, address: not an IP address"},
        {"time,login,address\n2026-11-20T00:00:00Z,\"a,192.0.2.1\n", "quote is not closed"},
        {"time,login,address\n2026-11-20T00:00:00Z,\"a\"b,192.0.2.1\n", "after a closing quote"},
        {"time,login,address,latitude\n2026-11-20T00:00:00Z,a,192.0.2.1,12\n", "together"},
        {"time,login,address,latitude,longitude\n2026-11-20T00:00:00Z,a,192.0.2.1,91,0\n",
         "latitude: degrees"},
        {"time,login,address,latitude,longitude\n2026-11-20T00:00:00Z,a,192.0.2.1,nan,0\n", "latitude: not"},
        {"time,login,address,result\n2026-11-20T00:00:00Z,a,192.0.2.1,maybe\n", "success or failure"},
        {"{\"login\":1,\"login\":2}", "line 1"},
        {"{\"logins\":1}", "logins"},
        {"{\"login\":[]}", "login"},
        {"{}\n", "time is missing"},
        {"{}x", "line 1"},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        OWN(sign_in_history) history = NULL;
        const struct mg_status status = mg_sign_in_history_parse(mg_view_text(rows[i].text), &history);
        if (rows[i].says[0] == '\0')
            assert_ok(status);
        else if (mg_ok(status) || strstr(status.detail, rows[i].says) == NULL)
            fail_msg("row %zu: \"%s\"", i, status.detail);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats_say_the_same),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
