/* Probes in a made-up world: each holds there, and breaks when the world is changed in one place.
 * The same is shown on a running system by `masugata prove --sabotage`. */
#include "../unit/test.h"

#include "probes/observer.h"
#include "probes/probe.h"
#include "process/prober/responsibility.h"
#include "wire/options.h"

#include <stdlib.h>

static struct {
    const char *console_answer_outside; /* status line of the console to an address that is not listed */
    struct mg_buffer matrix;
    const char *canary_state;
    uint64_t canary_pid;
    bool warden_restarts;
} world;

static struct mg_status
fake_fetch(struct mg_observer *observer, const struct mg_fetch *request, struct mg_fetched *answer)
{
    (void) observer;
    mg_buffer_clear(&answer->body);
    mg_buffer_clear(&answer->headers);
    if (strcmp(request->path, "/.well-known/masugata/responsibility.json") == 0) {
        answer->status = 200;
        return mg_buffer_add(&answer->body, mg_buffer_view(&world.matrix));
    }
    const bool outside = request->source != NULL && strcmp(request->source, "127.0.0.1") != 0;
    answer->status = outside ? (unsigned) strtoul(world.console_answer_outside, NULL, 10) : 200;
    return OK;
}

static struct mg_status
fake_processes(struct mg_observer *observer, struct mg_observed_process *rows, size_t most, size_t *ret_count)
{
    static const char *const names[] = {
#define PROCESS(NAME, name, ...) #name,
#define WIRE(a, b)
#include "../../catalogue/processes.def"
#undef PROCESS
#undef WIRE
    };
    (void) observer;
    assert_true(MG_COUNT(names) <= most);
    for (size_t i = 0; i < MG_COUNT(names); i++) {
        const bool canary = strcmp(names[i], "canary") == 0;
        rows[i] = (struct mg_observed_process){.pid = canary ? world.canary_pid : 100 + i};
        assert_ok(mg_view_copy(mg_view_text(names[i]), rows[i].name, sizeof rows[i].name));
        assert_ok(mg_view_copy(mg_view_text(canary ? world.canary_state : "running"), rows[i].state,
                               sizeof rows[i].state));
    }
    *ret_count = MG_COUNT(names);
    return OK;
}

static struct mg_status
fake_crash(struct mg_observer *observer)
{
    (void) observer;
    world.canary_state = world.warden_restarts ? "running" : "waiting";
    world.canary_pid += world.warden_restarts;
    return OK;
}

static const struct mg_observer_ops ops = {
    .fetch = fake_fetch, .processes = fake_processes, .crash_canary = fake_crash};

static enum mg_verdict
verdict_of(enum mg_control control)
{
    OWN(options) options = NULL;
    struct mg_finding finding;
    assert_ok(mg_options_new(&options));
    assert_ok(mg_options_preset(options));
    struct mg_observer observer = {.ops = &ops, .options = options};
    mg_probe_run(control, &observer, mg_now(), &finding);
    return finding.verdict;
}

static int
new_world(void **state)
{
    (void) state;
    world.console_answer_outside = "403";
    world.canary_state = "running";
    world.canary_pid = 50;
    world.warden_restarts = true;
    world.matrix = MG_BUFFER(1u << 20);
    assert_ok(mg_responsibility_json(&world.matrix));
    return 0;
}

static int
end_world(void **state)
{
    (void) state;
    mg_buffer_drop(&world.matrix);
    return 0;
}

static void
replace_in_matrix(const char *from, const char *to)
{
    char *at = strstr((char *) world.matrix.bytes, from);
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
}

static void
COMPLIANCE_04_holds(void **state)
{
    (void) state;
    assert_int_equal(verdict_of(MG_CONTROL_COMPLIANCE_04), MG_HOLDS);
}

static void
COMPLIANCE_04_breaks(void **state)
{
    (void) state;
    replace_in_matrix("{\"id\":\"CUSTOMER_USERS\"", "{\"id\":\"CUSTOMER_OTHER\"");
    assert_int_equal(verdict_of(MG_CONTROL_COMPLIANCE_04), MG_BROKEN);
}

static void
COMPLIANCE_04_breaks_for_another_party(void **state)
{
    (void) state;
    replace_in_matrix("\"accountable\":\"VENDOR\"", "\"accountable\":\"NOBODY\"");
    assert_int_equal(verdict_of(MG_CONTROL_COMPLIANCE_04), MG_BROKEN);
}

static void
IDENTITY_06_holds(void **state)
{
    (void) state;
    assert_int_equal(verdict_of(MG_CONTROL_IDENTITY_06), MG_HOLDS);
}

static void
IDENTITY_06_breaks(void **state)
{
    (void) state;
    world.console_answer_outside = "200";
    assert_int_equal(verdict_of(MG_CONTROL_IDENTITY_06), MG_BROKEN);
}

static void
MONITORING_07_holds(void **state)
{
    (void) state;
    assert_int_equal(verdict_of(MG_CONTROL_MONITORING_07), MG_HOLDS);
}

static void
MONITORING_07_breaks(void **state)
{
    (void) state;
    world.warden_restarts = false;
    assert_int_equal(verdict_of(MG_CONTROL_MONITORING_07), MG_BROKEN);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, new_world, end_world)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(COMPLIANCE_04_holds),
        IN_WORLD(COMPLIANCE_04_breaks),
        IN_WORLD(COMPLIANCE_04_breaks_for_another_party),
        IN_WORLD(IDENTITY_06_holds),
        IN_WORLD(IDENTITY_06_breaks),
        IN_WORLD(MONITORING_07_holds),
        IN_WORLD(MONITORING_07_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
