/* Second factors without I/O: one-time codes against the vectors of RFC 4226 and RFC 6238, recovery codes,
 * and who must give one. */
#include "test.h"

#include "domain/recovery_code.h"
#include "domain/role.h"
#include "domain/second_factor.h"
#include "domain/totp.h"

#define SECRET mg_view_text("12345678901234567890")

static void
codes_are_those_of_rfc_4226(void **state)
{
    (void) state;
    static const char *const right[] = {"755224", "287082", "359152", "969429", "338314",
                                        "254676", "287922", "162583", "399871", "520489"};
    for (uint64_t i = 0; i < MG_COUNT(right); i++) {
        char code[MG_TOTP_DIGITS + 1];
        assert_true(mg_ok(mg_totp_code(SECRET, i, code)));
        assert_string_equal(code, right[i]);
    }
}

/* Appendix B of RFC 6238 has eight digits: the last six of them. */
static void
codes_are_those_of_rfc_6238(void **state)
{
    (void) state;
    static const struct {
        int64_t at_s;
        const char *code;
    } rows[] = {{59, "287082"},         {1111111109, "081804"}, {1111111111, "050471"},
                {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"}};
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        uint64_t step = 0;
        assert_true(mg_ok(mg_totp_judge(SECRET, rows[i].code, rows[i].at_s * 1000, 0, &step)));
        assert_int_equal(step, (uint64_t) rows[i].at_s / 30);
    }
}

static void
a_code_counts_one_step_around_and_once(void **state)
{
    (void) state;
    const mg_instant now = INT64_C(1700000000000);
    const uint64_t middle = (uint64_t) now / MG_TOTP_STEP_MS;
    for (int away = -3; away <= 3; away++) {
        char code[MG_TOTP_DIGITS + 1];
        uint64_t step = 7;
        assert_true(mg_ok(mg_totp_code(SECRET, middle + (uint64_t) (int64_t) away, code)));
        assert_true(mg_ok(mg_totp_judge(SECRET, code, now, 0, &step)));
        assert_int_equal(step, away >= -1 && away <= 1 ? middle + (uint64_t) (int64_t) away : 0);
        if (step == 0)
            continue;
        /* Used, or an earlier one than that which was used. */
        assert_true(mg_ok(mg_totp_judge(SECRET, code, now, step, &step)));
        assert_int_equal(step, 0);
        assert_true(mg_ok(mg_totp_judge(SECRET, code, now, middle + 1, &step)));
        assert_int_equal(step, 0);
    }
    uint64_t step = 7;
    assert_true(mg_ok(mg_totp_judge(SECRET, "", now, 0, &step)));
    assert_int_equal(step, 0);
    assert_false(mg_ok(mg_totp_judge(SECRET, "123456", -1, 0, &step)));
}

static void
what_people_type_is_understood(void **state)
{
    (void) state;
    char code[MG_TOTP_DIGITS + 1];
    static const char *const good[] = {"123456", " 123 456 ", "123-456", "１２３４５６", "１２３　４５６"};
    for (size_t i = 0; i < MG_COUNT(good); i++) {
        assert_true(mg_totp_normalise(mg_view_text(good[i]), code));
        assert_string_equal(code, "123456");
    }
    static const char *const bad[] = {"",           "12345",  "1234567",  "12345a",
                                      "１２３４５", "+12345", "\xEF\xBC", "12345\xEF"};
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_false(mg_totp_normalise(mg_view_text(bad[i]), code));
    assert_false(mg_totp_normalise(mg_view_of("12345\0", 6), code));
}

static void
the_address_for_the_app_is_complete(void **state)
{
    (void) state;
    OWN_BUFFER(uri, 1024);
    assert_true(mg_ok(mg_totp_uri(mg_view_text("日の出 A&B"), mg_view_text("a+b@c.example"), SECRET, &uri)));
    assert_string_equal(
        mg_buffer_text(&uri),
        "otpauth://totp/%E6%97%A5%E3%81%AE%E5%87%BA%20A%26B:a%2Bb%40c.example"
        "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=%E6%97%A5%E3%81%AE%E5%87%BA%20A%26B");
    OWN_BUFFER(odd, 64);
    assert_true(mg_ok(mg_base32(mg_view_text("foobar"), &odd))); /* RFC 4648 section 10 */
    assert_string_equal(mg_buffer_text(&odd), "MZXW6YTBOI");
}

static void
recovery_codes_come_back_as_they_were(void **state)
{
    (void) state;
    uint8_t bytes[MG_RECOVERY_CHARACTERS];
    char text[MG_RECOVERY_TEXT], code[MG_RECOVERY_CHARACTERS + 1];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t) (i * 23);
    mg_recovery_code_make(bytes, text);
    assert_int_equal(strlen(text), MG_RECOVERY_TEXT - 1);
    assert_true(mg_recovery_code_normalise(mg_view_text(text), code));
    for (char *c = text; *c != '\0'; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char) (*c - 'a' + 'A');
    char again[MG_RECOVERY_CHARACTERS + 1];
    assert_true(mg_recovery_code_normalise(mg_view_text(text), again));
    assert_string_equal(again, code);
    assert_false(mg_recovery_code_normalise(mg_view_text(""), again));
    assert_false(mg_recovery_code_normalise(mg_view_text("abcd-efgh-jkm"), again));
    assert_false(mg_recovery_code_normalise(mg_view_text("abcd-efgh-jkmno"), again));
    assert_false(mg_recovery_code_normalise(mg_view_text("abcd-efgh-jkm0"), again));
    assert_false(mg_recovery_code_normalise(mg_view_of("abcd-efgh-jk\0m", 14), again));
}

/* The whole table: who × mode × role × has one. */
static void
who_must_give_one(void **state)
{
    (void) state;
    for (unsigned mask = 0; mask < 48; mask++) {
        const struct mg_second_factor_facts facts = {
            .tenant = mask & 1,
            .has_one = mask >> 1 & 1,
            .roles = mask >> 2 & 1,
            .demanding_roles = mask >> 3 & 1,
            .mode = (enum mg_second_factor_mode)(mask >> 4),
        };
        const bool must = facts.tenant == 0 || facts.mode == MG_SECOND_FACTOR_REQUIRED ||
                          (facts.roles == 1 && facts.demanding_roles == 1);
        const bool asked = must || (facts.mode == MG_SECOND_FACTOR_OFFERED && facts.has_one);
        assert_int_equal(mg_second_factor_must_have(&facts), must);
        assert_int_equal(mg_second_factor_judge(&facts), !asked          ? MG_DEMAND_NONE
                                                         : facts.has_one ? MG_DEMAND_GIVE
                                                                         : MG_DEMAND_SET_UP);
    }
    assert_int_equal(mg_second_factor_judge(&(struct mg_second_factor_facts){.has_one = true}),
                     MG_DEMAND_GIVE);
    assert_int_equal(mg_second_factor_mode_of("required"), MG_SECOND_FACTOR_REQUIRED);
    assert_int_equal(mg_second_factor_mode_of("offered"), MG_SECOND_FACTOR_OFFERED);
    assert_int_equal(mg_second_factor_mode_of("off"), MG_SECOND_FACTOR_OFF);
    assert_int_equal(mg_second_factor_mode_of("of"), MG_SECOND_FACTOR_REQUIRED);
}

static void
what_was_given_ages(void **state)
{
    (void) state;
    const mg_instant now = INT64_C(1700000000000);
    assert_false(mg_second_factor_is_fresh(0, INT64_MAX, now));
    assert_true(mg_second_factor_is_fresh(now, 1000, now));
    assert_true(mg_second_factor_is_fresh(now - 1000, 1000, now));
    assert_false(mg_second_factor_is_fresh(now - 1001, 1000, now));
    assert_true(mg_second_factor_is_fresh(now + MG_SECOND_FACTOR_SLACK_MS, 1000, now));
    assert_false(mg_second_factor_is_fresh(now + MG_SECOND_FACTOR_SLACK_MS + 1, 1000, now));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_those_of_rfc_4226),
        cmocka_unit_test(codes_are_those_of_rfc_6238),
        cmocka_unit_test(a_code_counts_one_step_around_and_once),
        cmocka_unit_test(what_people_type_is_understood),
        cmocka_unit_test(the_address_for_the_app_is_complete),
        cmocka_unit_test(recovery_codes_come_back_as_they_were),
        cmocka_unit_test(who_must_give_one),
        cmocka_unit_test(what_was_given_ages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
