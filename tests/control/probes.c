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
    bool warden_restarts, warden_answers;
    /* The drill's tenant. */
    bool application_away, database_away, page_switched;
    unsigned looks_away;    /* requests since something was stopped */
    unsigned switch_after;  /* of them, until everybody sees the page */
    unsigned error_status;  /* what is shown inside before that; 0: the page */
    const char *page_extra; /* stands in the page as well */
    bool stays;             /* the page does not go */
    unsigned starts;        /* how often something was started again */
} world;

static void
header_add(struct mg_fetched *answer, const char *line)
{
    assert_ok(mg_buffer_format(&answer->headers, "%s\r\n", line));
}

static struct mg_status
page_away(const struct mg_fetch *request, struct mg_fetched *answer)
{
    const bool program = request->headers != NULL && strstr(request->headers, "application/json") != NULL;
    answer->status = 503;
    header_add(answer, "Retry-After: 30");
    header_add(answer, program ? "Content-Type: application/json" : "Content-Type: text/html; charset=utf-8");
    if (program)
        return mg_buffer_add_text(&answer->body, "{\"error\":\"unavailable\"}");
    return mg_buffer_format(&answer->body,
                            "<html lang=\"ja\"><h1>ただいま</h1><section lang=\"en\">It is not available.%s",
                            world.page_extra);
}

/* The front door of the drill's tenant: the form at "/", a session after it. */
static struct mg_status
fake_drill(const struct mg_fetch *request, struct mg_fetched *answer)
{
    const bool inside = request->headers != NULL && strstr(request->headers, "__Host-masugata=") != NULL;
    const bool away = world.application_away || world.database_away;
    answer->status = 200;
    if (request->method != NULL && strcmp(request->method, "POST") == 0) {
        answer->status = 303;
        header_add(answer, "Location: /");
        header_add(answer, "Set-Cookie: __Host-masugata=c2Vzc2lvbg; Path=/; Secure");
        return OK;
    }
    if (strcmp(request->host, MG_DRILL_SIGN_IN_HOST) == 0)
        return OK;
    if (away && ++world.looks_away > world.switch_after)
        world.page_switched = true;
    if (world.page_switched)
        return page_away(request, answer);
    if (away && inside && world.error_status == 0)
        return page_away(request, answer);
    if (away && inside)
        answer->status = world.error_status;
    return inside ? OK : mg_buffer_add_text(&answer->body, "<form><input name=\"token\" value=\"t\"></form>");
}

static struct mg_status
fake_drill_stop(struct mg_observer *observer, enum mg_drill_part part, int most_ms, bool *ret_other_runs)
{
    (void) observer;
    assert_in_range(most_ms, 1, MG_DRILL_MOST_MS);
    world.application_away = part == MG_DRILL_PART_APPLICATION;
    world.database_away = part == MG_DRILL_PART_DATABASE;
    world.looks_away = 0;
    *ret_other_runs = true;
    return OK;
}

static struct mg_status
fake_drill_start(struct mg_observer *observer, enum mg_drill_part part)
{
    (void) observer;
    (void) part;
    world.application_away = world.database_away = false;
    world.page_switched = world.page_switched && world.stays;
    world.starts++;
    return OK;
}

static struct mg_status
fake_canary(struct mg_observer *observer, uint64_t tenant, enum mg_canary which,
            struct mg_canary_account *ret_account)
{
    (void) observer;
    (void) which;
    assert_int_equal(tenant, 7);
    *ret_account = (struct mg_canary_account){.login = "masugata-probe", .password = "secret"};
    return OK;
}

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
    if (strstr(request->host, MG_DRILL_HOST) != NULL)
        return fake_drill(request, answer);
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
    if (!world.warden_answers)
        return fail(TIMEOUT);
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
    .fetch = fake_fetch,
    .processes = fake_processes,
    .crash_canary = fake_crash,
    .canary = fake_canary,
    .drill_stop = fake_drill_stop,
    .drill_start = fake_drill_start,
};

static enum mg_verdict
verdict_of(enum mg_control control)
{
    OWN(options) options = NULL;
    struct mg_finding finding;
    assert_ok(mg_options_new(&options));
    assert_ok(mg_options_preset(options));
    struct mg_observer observer = {.ops = &ops, .options = options, .https_port = 443, .drill_tenant = 7};
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
    world.warden_restarts = world.warden_answers = true;
    world.application_away = world.database_away = world.page_switched = world.stays = false;
    world.switch_after = 4;
    world.error_status = world.starts = 0;
    world.page_extra = "";
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
    memcpy(at, to, strlen(to)); /* NOLINT(bugprone-not-null-terminated-result): the text goes on */
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

static void
MONITORING_07_breaks_when_the_warden_is_stopped(void **state)
{
    (void) state;
    world.warden_answers = false;
    assert_int_equal(verdict_of(MG_CONTROL_MONITORING_07), MG_BROKEN);
}

static void
AVAILABILITY_06_holds(void **state)
{
    (void) state;
    assert_int_equal(verdict_of(MG_CONTROL_AVAILABILITY_06), MG_HOLDS);
    assert_int_equal(world.starts, 1);
}

static void
AVAILABILITY_06_breaks_with_an_error_in_place_of_the_page(void **state)
{
    (void) state;
    world.error_status = 500;
    assert_int_equal(verdict_of(MG_CONTROL_AVAILABILITY_06), MG_BROKEN);
    assert_int_equal(world.starts, 1);
}

static void
AVAILABILITY_06_breaks_when_the_page_comes_late(void **state)
{
    (void) state;
    world.switch_after = 1000000;
    assert_int_equal(verdict_of(MG_CONTROL_AVAILABILITY_06), MG_BROKEN);
    assert_int_equal(world.starts, 1);
}

static void
AVAILABILITY_06_breaks_when_the_page_tells_of_the_inside(void **state)
{
    (void) state;
    world.page_extra = "unix:/run/masugata/app/7/http/http.sock";
    assert_int_equal(verdict_of(MG_CONTROL_AVAILABILITY_06), MG_BROKEN);
}

static void
AVAILABILITY_06_breaks_when_the_page_stays(void **state)
{
    (void) state;
    world.stays = true;
    assert_int_equal(verdict_of(MG_CONTROL_AVAILABILITY_06), MG_BROKEN);
}

static void
AVAILABILITY_07_holds(void **state)
{
    (void) state;
    world.error_status = 500; /* the application's own, until the watch has seen it */
    assert_int_equal(verdict_of(MG_CONTROL_AVAILABILITY_07), MG_HOLDS);
    assert_int_equal(world.starts, 1);
}

static void
AVAILABILITY_07_breaks_when_the_page_comes_late(void **state)
{
    (void) state;
    world.error_status = 500;
    world.switch_after = 1000000;
    assert_int_equal(verdict_of(MG_CONTROL_AVAILABILITY_07), MG_BROKEN);
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
        IN_WORLD(MONITORING_07_breaks_when_the_warden_is_stopped),
        IN_WORLD(AVAILABILITY_06_holds),
        IN_WORLD(AVAILABILITY_06_breaks_with_an_error_in_place_of_the_page),
        IN_WORLD(AVAILABILITY_06_breaks_when_the_page_comes_late),
        IN_WORLD(AVAILABILITY_06_breaks_when_the_page_tells_of_the_inside),
        IN_WORLD(AVAILABILITY_06_breaks_when_the_page_stays),
        IN_WORLD(AVAILABILITY_07_holds),
        IN_WORLD(AVAILABILITY_07_breaks_when_the_page_comes_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
