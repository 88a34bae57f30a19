/* Probes of backups in a made-up deployment of one customer's database: each holds there, and breaks when one
 * thing is changed. On a running system `masugata prove --sabotage` shows the same. */
#include "../unit/test.h"

#include "ports/pgbackrest.h"
#include "probes/observer.h"
#include "probes/probe.h"
#include "wire/events.h"
#include "wire/options.h"

#include <stdio.h>

#define HOUR_MS INT64_C(3600000)

static struct {
    struct mg_observed_backup facts;
    const char *archive_mode, *failing, *waits_s, *unlogged;
    char taken[512], destroyed[512], checked[512];
} world;

static struct mg_status
fake_instances(struct mg_observer *observer, struct mg_observed_instance *rows, size_t most,
               size_t *ret_count)
{
    (void) observer;
    assert_true(most > 1);
    rows[0] = (struct mg_observed_instance){.name = "tenant-7", .tenant = 7};
    (void) snprintf(rows[0].system_identifier, sizeof rows[0].system_identifier, "%llu",
                    (unsigned long long) ((uint64_t) (mg_now() / 1000 - 30 * 24 * 3600) << 32));
    *ret_count = 1;
    return OK;
}

static struct mg_status
fake_facts(struct mg_observer *observer, uint64_t tenant, struct mg_observed_backup *ret_backup)
{
    (void) observer;
    assert_int_equal(tenant, 7);
    *ret_backup = world.facts;
    return OK;
}

static struct mg_status
fake_labels(struct mg_observer *observer, uint64_t tenant, struct mg_buffer *lines)
{
    (void) observer;
    (void) tenant;
    return mg_buffer_add_text(lines, "20261120-000000F\n20261121-000000F\n");
}

static struct mg_status
fake_events(struct mg_observer *observer, uint64_t tenant, uint64_t event, mg_instant since,
            struct mg_buffer *lines)
{
    (void) observer;
    (void) tenant;
    (void) since;
    return mg_buffer_add_text(lines, event == MG_EVENT_backup           ? world.taken
                                     : event == MG_EVENT_backup_destroy ? world.destroyed
                                                                        : world.checked);
}

static struct mg_status
fake_ask(struct mg_observer *observer, const char *instance, const char *sql, struct mg_buffer *rows)
{
    struct mg_pgbackrest layout;
    assert_string_equal(instance, "tenant-7");
    if (strstr(sql, "pg_stat_archiver") == NULL)
        return mg_buffer_add_text(rows, world.unlogged);
    TRY(mg_pgbackrest_layout(observer->directory, observer->runtime_directory, "", instance, &layout));
    TRY(mg_buffer_format(rows, "%s\t\t%s\t60\t30\t%s\t", world.archive_mode, world.failing, world.waits_s));
    TRY(mg_pgbackrest_archive_command(&layout, rows));
    return mg_buffer_add_byte(rows, '\n');
}

static const struct mg_observer_ops ops = {
    .instances = fake_instances,
    .backup_facts = fake_facts,
    .backup_labels = fake_labels,
    .audit_events = fake_events,
    .database_ask = fake_ask,
};

static enum mg_verdict
verdict_of(enum mg_control control)
{
    OWN(options) options = NULL;
    struct mg_finding finding;
    static const struct mg_observed_tenant tenant = {.number = 7, .name = "acme", .active = true};
    assert_ok(mg_options_new(&options));
    assert_ok(mg_options_preset(options));
    struct mg_observer observer = {.ops = &ops,
                                   .options = options,
                                   .directory = "/state",
                                   .runtime_directory = "/run/state",
                                   .tenants = &tenant,
                                   .tenant_count = 1};
    mg_probe_run(control, &observer, mg_now(), &finding);
    return finding.verdict;
}

static void
plan_choose(const char *plan)
{
    (void) snprintf(world.facts.plan, sizeof world.facts.plan, "%s", plan);
}

static int
new_world(void **state)
{
    (void) state;
    const mg_instant now = mg_now();
    memset(&world, 0, sizeof world);
    world.facts = (struct mg_observed_backup){
        .backups = 2,
        .verified_files = 10,
        .sealed_files = 10,
        .due_at = now - 24 * HOUR_MS,
        .oldest_at = now - 80 * HOUR_MS,
        .full_at = now - 2 * HOUR_MS,
        .backup_at = now - HOUR_MS,
        .from = now - 79 * HOUR_MS,
        .verified_at = now - HOUR_MS,
        .sealed_at = now - HOUR_MS,
        .drilled_at = now - HOUR_MS,
        .own_key_opens = true,
        .rto_ms = 2000,
        .rpo_ms = 61000,
    };
    plan_choose("window72");
    world.archive_mode = "on";
    world.failing = world.waits_s = "0";
    world.unlogged = "";
    (void) snprintf(
        world.taken, sizeof world.taken,
        "{\"time\":%lld,\"event_code\":\"backup\",\"details\":{\"backup\":\"20261120-000000F\"}}\n"
        "{\"time\":%lld,\"event_code\":\"backup\",\"details\":{\"backup\":\"20261121-000000F\"}}\n",
        (long long) (now - 80 * HOUR_MS), (long long) (now - 2 * HOUR_MS));
    return 0;
}

/* Each profile by the plan that selects it. */
static const struct {
    enum mg_control control;
    const char *plan;
} all[] = {
    {MG_CONTROL_BACKUP_02, "frequent"}, {MG_CONTROL_BACKUP_03, "window72"}, {MG_CONTROL_BACKUP_05, "year"},
    {MG_CONTROL_BACKUP_06, "days90"},   {MG_CONTROL_BACKUP_07, "daily"},    {MG_CONTROL_BACKUP_08, "daily"},
    {MG_CONTROL_BACKUP_09, "daily"},    {MG_CONTROL_BACKUP_10, "daily"},
};

static void
expect_all(enum mg_verdict wanted)
{
    for (size_t i = 0; i < MG_COUNT(all); i++) {
        plan_choose(all[i].plan);
        assert_int_equal(verdict_of(all[i].control), wanted);
    }
}

/* The named ones are broken, all others hold. */
static void
expect_broken(const char *numbers)
{
    for (size_t i = 0; i < MG_COUNT(all); i++) {
        const char *number = mg_control_row(all[i].control)->id + strlen("BACKUP_");
        plan_choose(all[i].plan);
        if (verdict_of(all[i].control) != (strstr(numbers, number) != NULL ? MG_BROKEN : MG_HOLDS))
            fail_msg("BACKUP_%s", number);
    }
}

static void
all_hold(void **state)
{
    (void) state;
    expect_all(MG_HOLDS);
}

static void
what_nobody_chose_is_not_judged(void **state)
{
    (void) state;
    world.facts.full_at = mg_now() - 12 * HOUR_MS;
    plan_choose("window72");
    assert_int_equal(verdict_of(MG_CONTROL_BACKUP_02), MG_HOLDS);
    assert_int_equal(verdict_of(MG_CONTROL_BACKUP_05), MG_HOLDS);
    plan_choose("no such plan");
    assert_int_equal(verdict_of(MG_CONTROL_BACKUP_07), MG_UNKNOWN);
}

static void
without_a_backup(void **state)
{
    (void) state;
    world.facts = (struct mg_observed_backup){.due_at = mg_now() + HOUR_MS}; /* not yet */
    expect_all(MG_UNKNOWN);
    world.facts.due_at = mg_now() - HOUR_MS;
    expect_all(MG_BROKEN);
}

static void
ages(void **state)
{
    (void) state;
    world.facts.full_at = mg_now() - 7 * HOUR_MS;
    expect_broken("02");
    world.facts.full_at = mg_now() - 40 * HOUR_MS;
    expect_broken("02 05");
    world.facts.full_at = mg_now() + HOUR_MS; /* from the future: says nothing */
    expect_broken("02 05");
    (void) new_world(state);
    world.facts.backup_at = mg_now() - 40 * HOUR_MS;
    expect_broken("02 07");
    world.archive_mode = "off"; /* then nothing since that backup can be brought back */
    expect_broken("02 03 07 08");
}

static void
the_log(void **state)
{
    (void) state;
    world.failing = "1";
    expect_broken("02 03");
    world.failing = "0";
    world.waits_s = "1000";
    expect_broken("02 03");
    world.waits_s = "90000";
    expect_broken("02 03"); /* the last backup is an hour old */
    world.waits_s = "nonsense";
    plan_choose("window72");
    assert_int_equal(verdict_of(MG_CONTROL_BACKUP_03), MG_UNKNOWN);
}

static void
files(void **state)
{
    (void) state;
    world.facts.files_trouble = MG_BACKUP_TROUBLE_GAP;
    expect_broken("02 03 08");
    world.facts.files_trouble = MG_BACKUP_TROUBLE_CHANGED;
    expect_broken("02 03 05 06 07 08");
    world.facts.files_trouble = MG_BACKUP_TROUBLE_NONE;
    world.facts.verified_at = mg_now() - 60 * HOUR_MS;
    expect_broken("02 03 05 06 07 08");
}

static void
the_window(void **state)
{
    (void) state;
    world.facts.from = mg_now() - 71 * HOUR_MS;
    expect_broken("03");
    world.facts.from = 0;
    expect_broken("03");
}

static void
drills(void **state)
{
    (void) state;
    world.facts.drill_failed = true;
    expect_broken("03 09");
    world.facts.drill_failed = false;
    world.facts.rto_ms = 5 * HOUR_MS;
    expect_broken("09");
    world.facts.drilled_at = 0;
    expect_broken("03 09");
}

static void
encryption(void **state)
{
    (void) state;
    world.facts.plain_files = 1;
    expect_broken("10");
    world.facts.plain_files = 0;
    world.facts.other_key_opens = true;
    expect_broken("10");
    world.facts.other_key_opens = world.facts.own_key_opens = false;
    expect_broken("10");
    world.facts.own_key_opens = true;
    world.facts.sealed_at = 0;
    expect_broken("10");
}

static void
tables_that_are_not_logged(void **state)
{
    (void) state;
    world.unlogged = "public.cache\n";
    expect_broken("07");
}

static void
gone_append(void)
{
    const size_t used = strlen(world.taken);
    (void) snprintf(
        world.taken + used, sizeof world.taken - used,
        "{\"time\":%lld,\"event_code\":\"backup\",\"details\":{\"backup\":\"20261119-000000F\"}}\n",
        (long long) (mg_now() - 20 * HOUR_MS));
}

static void
what_is_gone_needs_a_record(void **state)
{
    (void) state;
    gone_append();
    expect_broken("05 06");
    (void) snprintf(world.destroyed, sizeof world.destroyed,
                    "{\"time\":%lld,\"object\":\"20261119-000000F\",\"status_detail\":\"days90\"}\n",
                    (long long) mg_now());
    expect_broken("06"); /* by its own plan, before its time; with "year" it was the plan before */
    world.destroyed[0] = '\0';
    (void) snprintf(world.checked, sizeof world.checked, "{\"time\":%lld,\"outcome\":\"accepted\"}\n",
                    (long long) (mg_now() - 30 * HOUR_MS));
    expect_broken("05 06"); /* that was before */
    (void) snprintf(world.checked, sizeof world.checked, "{\"time\":%lld,\"outcome\":\"accepted\"}\n",
                    (long long) mg_now());
    expect_broken("");
}

static void
destruction_that_does_not_come(void **state)
{
    (void) state;
    world.facts.oldest_at = mg_now() - 92 * 24 * HOUR_MS;
    expect_broken("06");
    (void) new_world(state);
    (void) snprintf(world.facts.plan_strange, sizeof world.facts.plan_strange, "days9000");
    expect_broken("06");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_hold, new_world),
        cmocka_unit_test_setup(what_nobody_chose_is_not_judged, new_world),
        cmocka_unit_test_setup(without_a_backup, new_world),
        cmocka_unit_test_setup(ages, new_world),
        cmocka_unit_test_setup(the_log, new_world),
        cmocka_unit_test_setup(files, new_world),
        cmocka_unit_test_setup(the_window, new_world),
        cmocka_unit_test_setup(drills, new_world),
        cmocka_unit_test_setup(encryption, new_world),
        cmocka_unit_test_setup(tables_that_are_not_logged, new_world),
        cmocka_unit_test_setup(what_is_gone_needs_a_record, new_world),
        cmocka_unit_test_setup(destruction_that_does_not_come, new_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
