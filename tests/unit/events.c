#include "test.h"

#include "wire/events.h"

static void
every_event_is_complete_and_found_by_name(void **state)
{
    (void) state;
    assert_null(mg_event_row(MG_EVENT_NONE));
    assert_null(mg_event_row(MG_EVENT_COUNT));
    for (unsigned number = 1; number < MG_EVENT_COUNT; number++) {
        const struct mg_event_row *row = mg_event_row((enum mg_event) number);
        assert_non_null(row);
        assert_true(row->class_uid >= 1000 && row->class_uid < 10000);
        assert_true(row->severity_id >= 1 && row->severity_id <= 5);
        /* Nobody may write in the name of the CLI, and a process of ours that exists, or nobody, writes this.
         */
        assert_true((row->senders & (1U << MG_CLI)) == 0 && row->senders < 1U << MG_PROCESS_COUNT);
        assert_true(row->en[0] != '\0' && row->ja[0] != '\0');
        assert_int_equal(mg_event_of_name(mg_view_text(row->name)), number);
    }
    assert_int_equal(mg_event_of_name(mg_view_text("no_such_event")), MG_EVENT_NONE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_event_is_complete_and_found_by_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
