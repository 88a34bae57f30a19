#include "test.h"

#include "domain/lockout.h"

static const mg_instant noon = 1795348800000;

static void
an_account_gets_exactly_its_attempts_in_any_hour(void **state)
{
    (void) state;
    const struct mg_lockout_limits limits = MG_LOCKOUT_PRESET;
    struct mg_lockout_facts facts = {.account_recent = 9, .account_oldest = noon - 60000};
    struct mg_lockout_decision decision = mg_lockout_judge(&facts, &limits, noon);
    assert_int_equal(decision.outcome, MG_GRANTED);
    assert_true(decision.locks);
    facts.account_recent = 10;
    decision = mg_lockout_judge(&facts, &limits, noon);
    assert_int_equal(decision.outcome, MG_LOCKED);
    assert_int_equal(decision.wait_ms, 3600000 - 60000);
    assert_false(decision.locks);
    facts.account_recent = 1;
    assert_false(mg_lockout_judge(&facts, &limits, noon).locks);
}

static void
an_address_is_limited_unless_the_device_is_known(void **state)
{
    (void) state;
    const struct mg_lockout_limits limits = MG_LOCKOUT_PRESET;
    struct mg_lockout_facts facts = {.address_recent = 5, .address_oldest = noon - 899999};
    struct mg_lockout_decision decision = mg_lockout_judge(&facts, &limits, noon);
    assert_int_equal(decision.outcome, MG_RATE_LIMITED);
    assert_int_equal(decision.wait_ms, 1);
    facts.known_device = true;
    assert_int_equal(mg_lockout_judge(&facts, &limits, noon).outcome, MG_GRANTED);
    facts.account_recent = 10; /* the device's own */
    assert_int_equal(mg_lockout_judge(&facts, &limits, noon).outcome, MG_LOCKED);
}

static void
a_hundred_failures_in_a_row_lock_without_an_end(void **state)
{
    (void) state;
    const struct mg_lockout_limits limits = MG_LOCKOUT_PRESET;
    struct mg_lockout_facts facts = {.in_a_row = 99};
    assert_true(mg_lockout_judge(&facts, &limits, noon).locks);
    facts.in_a_row = 100;
    const struct mg_lockout_decision decision = mg_lockout_judge(&facts, &limits, noon);
    assert_int_equal(decision.outcome, MG_LOCKED);
    assert_int_equal(decision.wait_ms, 0);
}

static void
a_clock_that_jumps_never_makes_a_wait_endless_or_free(void **state)
{
    (void) state;
    const struct mg_lockout_limits limits = MG_LOCKOUT_PRESET;
    const struct mg_lockout_facts facts = {.account_recent = 10, .account_oldest = noon + 7200000};
    const struct mg_lockout_decision decision = mg_lockout_judge(&facts, &limits, noon);
    assert_int_equal(decision.outcome, MG_LOCKED);
    assert_int_equal(decision.wait_ms, 3600000);
}

static void
address_is(const char *address, const char *expected)
{
    OWN_BUFFER(key, 128);
    assert_ok(mg_lockout_address_key(mg_view_text(address), &key));
    assert_string_equal(mg_buffer_text(&key), expected);
}

static void
addresses_count_by_what_one_person_holds(void **state)
{
    (void) state;
    address_is("192.0.2.7", "192.0.2.7");
    address_is("::ffff:192.0.2.7", "192.0.2.7");
    address_is("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64");
    address_is("2001:DB8:1:2:bbbb:cccc:0:9", "2001:db8:1:2::/64");
    address_is("2001:db8:1:3::1", "2001:db8:1:3::/64");
    address_is("unix:", "unix:");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_account_gets_exactly_its_attempts_in_any_hour),
        cmocka_unit_test(an_address_is_limited_unless_the_device_is_known),
        cmocka_unit_test(a_hundred_failures_in_a_row_lock_without_an_end),
        cmocka_unit_test(a_clock_that_jumps_never_makes_a_wait_endless_or_free),
        cmocka_unit_test(addresses_count_by_what_one_person_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
