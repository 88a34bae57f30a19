#include "test.h"

#include "wire/messages.h"

static void
a_message_reads_back_and_every_cut_is_refused(void **state)
{
    (void) state;
    OWN_BUFFER(list, 1024);
    const struct mg_record_option_value record = {.keyword = mg_view_text("session.idle"),
                                                  .value = mg_view_text("15m")};
    assert_true(mg_ok(mg_list_add_option_value(&list, &record)));
    assert_true(mg_ok(mg_list_add_option_value(&list, &record)));
    const struct mg_request_configure sent = {.directory = mg_view_text("/d"),
                                              .runtime_directory = mg_view_text("/r"),
                                              .options = {.bytes = mg_buffer_view(&list)}};
    OWN_BUFFER(packet, 4096);
    assert_true(mg_ok(mg_encode_request_configure(&sent, &packet)));
    struct mg_request_configure got;
    assert_true(mg_ok(mg_decode_request_configure(mg_buffer_view(&packet), &got)));
    assert_true(mg_view_is(got.directory, "/d"));
    struct mg_record_option_value row;
    bool more = false;
    for (int i = 0; i < 2; i++) {
        assert_true(mg_ok(mg_list_next_option_value(&got.options, &row, &more)));
        assert_true(more);
        assert_true(mg_view_is(row.value, "15m"));
    }
    assert_true(mg_ok(mg_list_next_option_value(&got.options, &row, &more)));
    assert_false(more);
    for (size_t length = 0; length < packet.length; length++)
        assert_false(mg_ok(mg_decode_request_configure(mg_view_of(packet.bytes, length), &got)));
    assert_true(mg_ok(mg_buffer_add_byte(&packet, 0)));
    assert_false(mg_ok(mg_decode_request_configure(mg_buffer_view(&packet), &got)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_reads_back_and_every_cut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
