#include "test.h"

#include "ports/audit_leaf.h"
#include "wire/ocsf.h"

static struct mg_request_audit_append
request_of(enum mg_event event)
{
    return (struct mg_request_audit_append){.event = (uint64_t) event,
                                            .tenant = 7,
                                            .actor_kind = MG_ACTOR_USER,
                                            .actor_id = mg_view_text("12"),
                                            .actor_name = mg_view_text("花子 \"h\"\n"),
                                            .target = mg_view_text("taro"),
                                            .outcome = MG_AUDIT_REFUSED,
                                            .reason = mg_view_text("no \\ reason"),
                                            .address = mg_view_text("2001:db8::1")};
}

static const struct mg_ocsf_stamp stamp = {.sender = MG_AUTHORITY, .time = 1763788740000};

static void
an_event_is_one_line_of_ocsf(void **state)
{
    (void) state;
    OWN_BUFFER(json, 8192);
    OWN_BUFFER(details, 1024);
    struct mg_request_audit_append request = request_of(MG_EVENT_user_disable);
    assert_ok(mg_list_add_audit_detail(
        &details, &(struct mg_record_audit_detail){.key = mg_view_text("k"), .value = mg_view_text("v\t")}));
    request.details.bytes = mg_buffer_view(&details);
    assert_ok(mg_ocsf_add(&json, &request, &stamp));
    assert_string_equal(
        mg_buffer_text(&json),
        "{\"metadata\":{\"version\":\"1.3.0\",\"product\":{\"name\":\"Masugata\",\"vendor_name\":\"Masugata\","
        "\"version\":\"" MG_VERSION
        "\"},\"event_code\":\"user_disable\",\"tenant_uid\":\"7\",\"log_provider\":\"authority\"},"
        "\"time\":1763788740000,\"category_uid\":3,\"class_uid\":3001,\"activity_id\":5,\"type_uid\":300105,"
        "\"severity_id\":2,\"status_id\":2,\"status\":\"Failure\",\"status_detail\":\"no \\\\ reason\","
        "\"message\":\"user disabled\",\"actor\":{\"user\":{\"uid\":\"12\",\"name\":\"花子 \\\"h\\\"\\u000a\",\"type\":\"user\"}},"
        "\"user\":{\"name\":\"taro\"},\"src_endpoint\":{\"ip\":\"2001:db8::1\"},"
        "\"unmapped\":{\"outcome\":\"refused\",\"details\":{\"k\":\"v\\u0009\"}}}");
}

static void
an_unknown_name_does_not_appear(void **state)
{
    (void) state;
    OWN_BUFFER(json, 8192);
    struct mg_request_audit_append request = request_of(MG_EVENT_sign_in);
    request.actor_kind = MG_ACTOR_UNKNOWN;
    request.actor_name = mg_view_text("a-password-perhaps");
    const struct mg_ocsf_stamp hashed = {
        .sender = MG_AUTHORITY, .time = 0, .name_hash = mg_view_text("00ff")};
    assert_ok(mg_ocsf_add(&json, &request, &hashed));
    assert_null(strstr(mg_buffer_text(&json), "a-password-perhaps"));
    assert_non_null(strstr(mg_buffer_text(&json), "\"name\":\"00ff\""));
}

static void
numbers_outside_the_tables_are_refused(void **state)
{
    (void) state;
    OWN_BUFFER(json, 8192);
    struct mg_request_audit_append request = request_of(MG_EVENT_NONE);
    assert_code(mg_ocsf_add(&json, &request, &stamp), INVALID);
    request = request_of(MG_EVENT_COUNT);
    assert_code(mg_ocsf_add(&json, &request, &stamp), INVALID);
    request = request_of(MG_EVENT_sign_in);
    request.actor_kind = MG_ACTOR_KIND_COUNT;
    assert_code(mg_ocsf_add(&json, &request, &stamp), INVALID);
    request = request_of(MG_EVENT_sign_in);
    request.outcome = MG_AUDIT_OUTCOME_COUNT;
    assert_code(mg_ocsf_add(&json, &request, &stamp), INVALID);
}

static void
a_leaf_opens_under_its_own_key_only(void **state)
{
    (void) state;
    const uint8_t month_key[MG_LEAF_KEY] = {1}, other_month[MG_LEAF_KEY] = {2}, salt[MG_LEAF_SALT] = {3};
    uint8_t key[MG_LEAF_KEY], other[MG_LEAF_KEY];
    uint64_t tenant = 0;
    uint32_t month = 0;
    OWN_BUFFER(leaf, 1024);
    OWN_BUFFER(event, 1024);
    assert_ok(mg_leaf_seal(month_key, 7, 202611, salt, mg_view_text("{\"event\":1}"), &leaf));
    assert_int_equal(leaf.length, 11 + MG_LEAF_OVERHEAD);
    assert_ok(mg_leaf_place(mg_buffer_view(&leaf), &tenant, &month));
    assert_int_equal(tenant, 7);
    assert_int_equal(month, 202611);
    assert_ok(mg_leaf_key(month_key, mg_buffer_view(&leaf), key));
    assert_ok(mg_leaf_open(key, mg_buffer_view(&leaf), &event));
    assert_string_equal(mg_buffer_text(&event), "{\"event\":1}");
    assert_ok(mg_leaf_key(other_month, mg_buffer_view(&leaf), other));
    mg_buffer_clear(&event);
    assert_code(mg_leaf_open(other, mg_buffer_view(&leaf), &event), INTEGRITY);
    assert_int_equal(event.length, 0);
    for (size_t at = 1; at < leaf.length; at++) { /* tenant, month and salt are bound, too */
        leaf.bytes[at] ^= 1;
        assert_false(mg_ok(mg_leaf_open(key, mg_buffer_view(&leaf), &event)));
        leaf.bytes[at] ^= 1;
    }
    assert_code(mg_leaf_place(mg_view_of(leaf.bytes, MG_LEAF_OVERHEAD - 1), &tenant, &month), MALFORMED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_one_line_of_ocsf),
        cmocka_unit_test(an_unknown_name_does_not_appear),
        cmocka_unit_test(numbers_outside_the_tables_are_refused),
        cmocka_unit_test(a_leaf_opens_under_its_own_key_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
