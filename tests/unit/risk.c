#include "test.h"

#include "domain/risk.h"
#include "domain/risk_replay.h"
#include "domain/tenant_policy.h"

#include <stdio.h>

static const mg_instant noon = 1795348800000;
#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)

static const struct mg_risk_place tokyo = {.country = "JP",
                                           .asn = 2516,
                                           .located = true,
                                           .latitude_e3 = 35681,
                                           .longitude_e3 = 139767,
                                           .radius_km = 20};
static const struct mg_risk_place osaka = {.country = "JP",
                                           .asn = 2516,
                                           .located = true,
                                           .latitude_e3 = 34702,
                                           .longitude_e3 = 135495,
                                           .radius_km = 20};
static const struct mg_risk_place paris = {.country = "FR",
                                           .asn = 3215,
                                           .located = true,
                                           .latitude_e3 = 48857,
                                           .longitude_e3 = 2352,
                                           .radius_km = 20};
static const struct mg_risk_place nowhere;

/* A person of Tokyo who has signed in at noon on each of the last thirty days. */
struct scene {
    struct mg_risk_visit past[30];
    struct mg_risk_facts facts;
    struct mg_risk_limits limits;
};

static void
visit_set(struct mg_risk_visit *visit, mg_instant at, const char *address, struct mg_risk_place place)
{
    *visit = (struct mg_risk_visit){.at = at, .place = place};
    (void) snprintf(visit->address, sizeof visit->address, "%s", address);
    assert_ok(mg_risk_network(mg_view_text(address), place.asn, visit->network));
}

static void
scene_make(struct scene *scene)
{
    *scene = (struct scene){.limits = MG_RISK_PRESET};
    for (int day = 0; day < 30; day++)
        visit_set(&scene->past[day], noon - (day + 1) * DAY, "192.0.2.10", tokyo);
    scene->facts = (struct mg_risk_facts){.device = MG_YES,
                                          .breached = MG_NO,
                                          .listed = MG_NO,
                                          .learnt_from = noon - 60 * DAY,
                                          .past = scene->past,
                                          .past_count = 30};
    visit_set(&scene->facts.now, noon, "192.0.2.10", tokyo);
}

static void
expect(const struct scene *scene, enum mg_risk_outcome outcome, const char *signals)
{
    OWN_BUFFER(names, 1024);
    const struct mg_risk_verdict verdict = mg_risk_judge(&scene->facts, &scene->limits);
    assert_ok(mg_signals_names(verdict.signals, &names));
    assert_string_equal(mg_buffer_text(&names), signals);
    assert_string_equal(mg_risk_outcome_name(verdict.outcome), mg_risk_outcome_name(outcome));
}

static void
the_usual_is_let_in(void **state)
{
    (void) state;
    struct scene scene;
    scene_make(&scene);
    expect(&scene, MG_RISK_ALLOW, "");
    assert_int_equal(mg_risk_judge(&scene.facts, &scene.limits).unknown, 0);
}

static void
a_new_device_is_asked_for_more(void **state)
{
    (void) state;
    struct scene scene;
    scene_make(&scene);
    scene.facts.device = MG_NO;
    expect(&scene, MG_RISK_STEP_UP, "new_device");
    scene.facts.confirmed = true;
    expect(&scene, MG_RISK_ALLOW, "new_device");
    assert_true(mg_risk_judge(&scene.facts, &scene.limits).confirmed);
    scene.facts.confirmed = false;
    scene.limits.enforce = false;
    expect(&scene, MG_RISK_NOTIFY, "new_device");
    scene.limits = MG_RISK_PRESET;
    scene.facts.learnt_from = noon - 13 * DAY;
    expect(&scene, MG_RISK_ALLOW, ""); /* learning */
    scene.facts.learnt_from = noon - 14 * DAY;
    expect(&scene, MG_RISK_STEP_UP, "new_device");
    scene.facts.learnt_from = noon + DAY; /* the clock was set back: learning again, not over */
    expect(&scene, MG_RISK_ALLOW, "");
}

static void
a_place_too_far_is_impossible(void **state)
{
    (void) state;
    static const struct {
        const struct mg_risk_place *place;
        int64_t after_ms;
        bool impossible;
    } rows[] = {
        {&paris, HOUR, true},  {&paris, 12 * HOUR, true}, {&paris, 13 * HOUR, false}, /* 9,700 km */
        {&osaka, HOUR, false}, {&osaka, HOUR / 4, true},  {&tokyo, 0, false},
        {&paris, -HOUR, true}, /* a clock that was set back allows no journey */
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct scene scene;
        scene_make(&scene);
        visit_set(&scene.facts.now, scene.past[0].at + rows[i].after_ms, "203.0.113.9", *rows[i].place);
        const struct mg_risk_verdict verdict = mg_risk_judge(&scene.facts, &scene.limits);
        if (((verdict.signals & MG_SIGNAL_BIT(impossible_travel)) != 0) != rows[i].impossible)
            fail_msg("journey %zu", i);
        assert_int_equal(verdict.travel_km != 0, rows[i].impossible);
    }
}

static void
own_networks_say_nothing_about_places(void **state)
{
    (void) state;
    struct scene scene;
    scene_make(&scene);
    visit_set(&scene.facts.now, scene.past[0].at + HOUR, "203.0.113.9", paris);
    expect(&scene, MG_RISK_STEP_UP, "new_address new_network new_country impossible_travel");
    scene.facts.now.own = true; /* the VPN's exit */
    expect(&scene, MG_RISK_ALLOW, "");
    scene.facts.now.own = false;
    scene.past[0].own = true; /* from the VPN before: the visit before that counts */
    scene.facts.now.at = noon;
    expect(&scene, MG_RISK_NOTIFY, "new_address new_network new_country");
}

static void
what_nobody_knows_counts_nothing_and_is_said(void **state)
{
    (void) state;
    struct scene scene;
    scene_make(&scene);
    visit_set(&scene.facts.now, noon, "192.0.2.10", nowhere);
    scene.facts.device = MG_NOT_TOLD;
    scene.facts.listed = MG_NOT_TOLD;
    const struct mg_risk_verdict verdict = mg_risk_judge(&scene.facts, &scene.limits);
    OWN_BUFFER(names, 1024);
    assert_ok(mg_signals_names(verdict.unknown, &names));
    assert_string_equal(mg_buffer_text(&names), "new_device new_country impossible_travel listed_address");
    assert_int_equal(mg_signals_of(mg_buffer_view(&names)), verdict.unknown);
    struct scene first = {.limits = MG_RISK_PRESET};
    first.facts = (struct mg_risk_facts){.now = scene.facts.now, .device = MG_NO, .breached = MG_NO};
    expect(&first, MG_RISK_ALLOW, "");
    assert_true(mg_risk_judge(&first.facts, &first.limits).learning);
}

static void
an_odd_hour_goes_round_midnight(void **state)
{
    (void) state;
    struct scene scene;
    scene_make(&scene);
    for (int day = 0; day < 30; day++)
        scene.past[day].at += 11 * HOUR; /* always at 23:00 */
    scene.facts.now.at = noon + 14 * HOUR;
    expect(&scene, MG_RISK_ALLOW, ""); /* 02:00 is three hours away */
    scene.facts.now.at = noon + 15 * HOUR;
    expect(&scene, MG_RISK_ALLOW, "odd_hour");
    scene.facts.past_count = 9; /* too few to call an hour odd */
    expect(&scene, MG_RISK_ALLOW, "");
}

static void
guessing_across_names_is_seen_but_not_held_against_a_known_device(void **state)
{
    (void) state;
    struct scene scene;
    scene_make(&scene);
    scene.facts.device = MG_NO;
    scene.facts.learnt_from = 0; /* also of a new account */
    scene.facts.address_failures = scene.facts.address_names = 3;
    expect(&scene, MG_RISK_ALLOW, "address_failures");
    scene.facts.address_failures = scene.facts.address_names = 4;
    expect(&scene, MG_RISK_STEP_UP, "address_failures stuffing");
    scene.facts.learnt_from = noon - 60 * DAY;
    expect(&scene, MG_RISK_BLOCK, "new_device address_failures stuffing");
    scene.facts.device = MG_YES;
    scene.facts.account_failures = 10;
    scene.facts.network_failures = 50;
    expect(&scene, MG_RISK_ALLOW, "");
    scene.facts.device = MG_NO;
    scene.facts.now.own = true;
    expect(&scene, MG_RISK_STEP_UP, "new_device account_failures");
}

static void
lists_count_from_the_first_sign_in(void **state)
{
    (void) state;
    struct scene scene;
    scene_make(&scene);
    scene.facts.learnt_from = 0;
    scene.facts.listed = MG_YES;
    expect(&scene, MG_RISK_STEP_UP, "listed_address");
    scene.facts.breached = MG_YES;
    expect(&scene, MG_RISK_STEP_UP, "breached_password listed_address");
    scene.facts.listed = MG_NO;
    expect(&scene, MG_RISK_ALLOW, "breached_password");
}

static void
thresholds_of_zero_are_never_reached(void **state)
{
    (void) state;
    struct scene scene;
    scene_make(&scene);
    scene.facts.device = MG_NO;
    scene.facts.address_names = 4;
    scene.facts.listed = MG_YES;
    scene.limits.block = 0;
    expect(&scene, MG_RISK_STEP_UP, "new_device stuffing listed_address");
    scene.limits.step_up = 0;
    expect(&scene, MG_RISK_NOTIFY, "new_device stuffing listed_address");
    scene.limits.notify = 0;
    expect(&scene, MG_RISK_ALLOW, "new_device stuffing listed_address");
}

static void
networks_are_systems_or_prefixes(void **state)
{
    (void) state;
    char text[MG_RISK_ADDRESS_TEXT];
    static const struct {
        const char *address;
        uint32_t asn;
        const char *network;
    } rows[] = {{"192.0.2.77", 0, "192.0.2.0/24"},
                {"2001:db8:1:2::3", 0, "2001:db8:1::/48"},
                {"192.0.2.77", 64496, "AS64496"},
                {"no address", 0, ""},
                {"", 0, ""}};
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        assert_ok(mg_risk_network(mg_view_text(rows[i].address), rows[i].asn, text));
        assert_string_equal(text, rows[i].network);
    }
}

/* What is set for a tenant that has set nothing is what the tests above judge by. */
static void
presets_agree_with_the_catalogue(void **state)
{
    (void) state;
    OWN(tenant_policy) policy = NULL;
    const struct mg_risk_limits limits = MG_RISK_PRESET;
    assert_ok(mg_tenant_policy_new(&policy));
    assert_int_equal(policy->settings.adaptive_notify, limits.notify);
    assert_int_equal(policy->settings.adaptive_step_up, limits.step_up);
    assert_int_equal(policy->settings.adaptive_block, limits.block);
    assert_int_equal(policy->settings.adaptive_learning, limits.learning_ms);
    assert_int_equal(policy->settings.adaptive_travel_speed, limits.travel_km_h);
    assert_int_equal(policy->settings.adaptive_names, limits.names_most);
    assert_string_equal(policy->settings.adaptive_mode, "enforce");
}

static void
every_signal_reads_in_both_languages(void **state)
{
    (void) state;
    for (int i = 0; i < MG_SIGNAL_COUNT; i++)
        for (int japanese = 0; japanese < 2; japanese++)
            assert_true(strlen(mg_signal_text((enum mg_signal) i, japanese != 0)) > 10);
    OWN_BUFFER(words, 1024);
    assert_ok(mg_signals_words(MG_SIGNAL_BIT(new_device) | MG_SIGNAL_BIT(odd_hour), true, &words));
    assert_string_equal(mg_buffer_text(&words),
                        "このアカウントで初めて使われる端末、このアカウントがサインインしたことのない時間帯");
}

/* ---- replay ---- */

static void
a_history_is_replayed_in_its_order(void **state)
{
    (void) state;
    const struct mg_risk_limits limits = MG_RISK_PRESET;
    struct mg_replay_row rows[30] = {0};
    for (int i = 0; i < 20; i++) {
        rows[i] =
            (struct mg_replay_row){.login = "aiko", .device = "laptop", .breached = MG_NO, .listed = MG_NO};
        visit_set(&rows[i].visit, noon + i * DAY, "192.0.2.10", tokyo);
    }
    rows[20] = rows[19]; /* minutes later, in Paris, on a device nobody knows */
    rows[20].device = "other";
    visit_set(&rows[20].visit, noon + 19 * DAY + HOUR / 6, "203.0.113.9", paris);
    for (int i = 21; i < 25; i++) {
        rows[i] = (struct mg_replay_row){.login = i % 2 == 0 ? "a" : "b", .device = "", .wrong = true};
        visit_set(&rows[i].visit, noon + 20 * DAY + i, "198.51.100.7", paris);
    }
    rows[22].login = "c";
    rows[23].login = "d";
    rows[25] = (struct mg_replay_row){.login = "new", .device = ""};
    visit_set(&rows[25].visit, noon + 20 * DAY + HOUR / 2, "198.51.100.7", paris);
    assert_ok(mg_risk_replay(rows, 26, &limits));
    for (int i = 0; i < 20; i++)
        assert_int_equal(rows[i].verdict.outcome, MG_RISK_ALLOW);
    assert_true(rows[13].verdict.learning);
    assert_false(rows[14].verdict.learning);
    assert_int_equal(rows[20].verdict.outcome, MG_RISK_BLOCK);
    assert_int_equal(rows[21].verdict.outcome, 0);
    assert_int_equal(rows[25].verdict.outcome, MG_RISK_STEP_UP);
    assert_true((rows[25].verdict.signals & MG_SIGNAL_BIT(stuffing)) != 0);
    rows[1].visit.at = noon - 1;
    assert_code(mg_risk_replay(rows, 26, &limits), INVALID);
    assert_ok(mg_risk_replay(rows, 0, &limits));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_is_let_in),
        cmocka_unit_test(a_new_device_is_asked_for_more),
        cmocka_unit_test(a_place_too_far_is_impossible),
        cmocka_unit_test(own_networks_say_nothing_about_places),
        cmocka_unit_test(what_nobody_knows_counts_nothing_and_is_said),
        cmocka_unit_test(an_odd_hour_goes_round_midnight),
        cmocka_unit_test(guessing_across_names_is_seen_but_not_held_against_a_known_device),
        cmocka_unit_test(lists_count_from_the_first_sign_in),
        cmocka_unit_test(thresholds_of_zero_are_never_reached),
        cmocka_unit_test(networks_are_systems_or_prefixes),
        cmocka_unit_test(presets_agree_with_the_catalogue),
        cmocka_unit_test(every_signal_reads_in_both_languages),
        cmocka_unit_test(a_history_is_replayed_in_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
