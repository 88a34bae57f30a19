#include "test.h"

#include "domain/session_policy.h"

static const mg_instant noon = 1795348800000;
static const struct mg_session_limits deployment = {
    .idle_ms = 1800000, .absolute_ms = 43200000, .families = 0};

static void
a_tenant_may_only_be_stricter(void **state)
{
    (void) state;
    const struct mg_session_limits strict = {.idle_ms = 60000, .absolute_ms = 3600000, .families = 3};
    const struct mg_session_limits lax = {.idle_ms = 86400000, .absolute_ms = 864000000};
    struct mg_session_limits limits = mg_session_limits_of(&deployment, &strict);
    assert_int_equal(limits.idle_ms, 60000);
    assert_int_equal(limits.absolute_ms, 3600000);
    assert_int_equal(limits.families, 3);
    limits = mg_session_limits_of(&deployment, &lax);
    assert_int_equal(limits.idle_ms, deployment.idle_ms);
    assert_int_equal(limits.absolute_ms, deployment.absolute_ms);
    assert_int_equal(mg_session_end_of(&limits, noon), noon + 43200000);
}

static struct mg_session_facts
live(void)
{
    return (struct mg_session_facts){
        .expires_at = noon + 1000,
        .last_seen_at = noon - 1000,
        .idle_ms = 60000,
        .tenant = 7,
        .asked_tenant = 7,
        .host = mg_view_text("acme.localhost"),
        .asked_host = mg_view_text("acme.localhost"),
        .user_active = true,
        .tenant_active = true,
    };
}

static void
a_session_ends_at_both_limits_to_the_millisecond(void **state)
{
    (void) state;
    struct mg_session_facts facts = live();
    assert_int_equal(mg_session_judge(&facts, noon), MG_SESSION_LIVE);
    assert_int_equal(mg_session_judge(&facts, noon + 999), MG_SESSION_LIVE);
    assert_int_equal(mg_session_judge(&facts, noon + 1000), MG_SESSION_PAST);
    facts.expires_at = noon + 86400000;
    assert_int_equal(mg_session_judge(&facts, facts.last_seen_at + 59999), MG_SESSION_LIVE);
    assert_int_equal(mg_session_judge(&facts, facts.last_seen_at + 60000), MG_SESSION_PAST);
}

static void
a_session_serves_its_own_host_and_tenant_only(void **state)
{
    (void) state;
    struct mg_session_facts facts = live();
    facts.asked_tenant = 8;
    assert_int_equal(mg_session_judge(&facts, noon), MG_SESSION_REFUSED);
    facts = live();
    facts.asked_host = mg_view_text("id.acme.localhost");
    assert_int_equal(mg_session_judge(&facts, noon), MG_SESSION_REFUSED);
    facts = live();
    facts.host = facts.asked_host = MG_VIEW_EMPTY;
    assert_int_equal(mg_session_judge(&facts, noon), MG_SESSION_REFUSED);
    facts = live();
    facts.user_active = false;
    assert_int_equal(mg_session_judge(&facts, noon), MG_SESSION_REFUSED);
    facts = live();
    facts.tenant_active = false;
    assert_int_equal(mg_session_judge(&facts, noon), MG_SESSION_REFUSED);
    const struct mg_session_facts nothing = {0};
    assert_int_equal(mg_session_judge(&nothing, noon), MG_SESSION_REFUSED);
}

static void
one_more_family_ends_the_oldest(void **state)
{
    (void) state;
    const struct mg_session_limits three = {.families = 3};
    assert_int_equal(mg_session_excess(&three, 2), 0);
    assert_int_equal(mg_session_excess(&three, 3), 1);
    assert_int_equal(mg_session_excess(&three, 7), 5);
    assert_int_equal(mg_session_excess(&deployment, 1000), 0);
}

static void
a_code_is_for_one_browser_host_tenant_and_minute(void **state)
{
    (void) state;
    uint8_t nonce[32] = {1}, other[32] = {2};
    const struct mg_code_facts good = {
        .expires_at = noon + MG_CODE_LIFE_MS,
        .tenant = 7,
        .asked_tenant = 7,
        .host = mg_view_text("acme.localhost"),
        .asked_host = mg_view_text("acme.localhost"),
        .binding = mg_view_of(nonce, 32),
        .asked_binding = mg_view_of(nonce, 32),
    };
    assert_true(mg_code_accepts(&good, noon));
    assert_true(mg_code_accepts(&good, noon + 59999));
    assert_false(mg_code_accepts(&good, noon + 60000));
    assert_true(mg_code_accepts(&good, noon - 2000));     /* the clock was corrected a little */
    assert_false(mg_code_accepts(&good, noon - 3600000)); /* it was set back */
    struct mg_code_facts bad = good;
    bad.asked_tenant = 8;
    assert_false(mg_code_accepts(&bad, noon));
    bad = good;
    bad.asked_host = mg_view_text("rival.localhost");
    assert_false(mg_code_accepts(&bad, noon));
    bad = good;
    bad.asked_binding = mg_view_of(other, 32);
    assert_false(mg_code_accepts(&bad, noon));
    bad = good;
    bad.binding = bad.asked_binding = MG_VIEW_EMPTY;
    assert_false(mg_code_accepts(&bad, noon));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenant_may_only_be_stricter),
        cmocka_unit_test(a_session_ends_at_both_limits_to_the_millisecond),
        cmocka_unit_test(a_session_serves_its_own_host_and_tenant_only),
        cmocka_unit_test(one_more_family_ends_the_oldest),
        cmocka_unit_test(a_code_is_for_one_browser_host_tenant_and_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
