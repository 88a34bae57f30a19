/* Reasons of the log become sentences by the field that they are, not by how a text looks; rows of a CSV
 * file. */
#include "domain/audit_words.h"
#include "ports/audit_reason.h"

#include "test.h"

static void
check(const char *event, const char *reason, const char *told, bool japanese, const char *expected)
{
    OWN_BUFFER(words, 4096);
    assert_ok(
        mg_audit_reason_add(mg_view_text(event), mg_view_text(reason), mg_view_text(told), japanese, &words));
    assert_string_equal(mg_buffer_text(&words), expected);
}

static void
reasons_of_ours_become_sentences(void **state)
{
    (void) state;
    check("sign_in", "WRONG_PASSWORD", "", false, "wrong password");
    check("sign_in", "WRONG_PASSWORD", "", true, "パスワードの誤り");
    check("idp_test", "CERTIFICATE", "CERTIFICATE_EXPIRED|", false,
          "no certificate of the provider may be used: none is valid now, or it is too weak: expired");
    check("account_lock", "failures", "", false, "after too many wrong passwords");
    check("sign_in_suspicious", "new_device new_network", "", false,
          "a device that this account has not used before; a network that this account has not come from "
          "before");
    check("sign_in", "totp", "", false, ""); /* says it by itself */
    check("sign_in", "", "WRONG_PASSWORD", false, "");
}

/* A role, a setting or a name may be called like a code of ours. */
static void
what_somebody_chose_stays(void **state)
{
    (void) state;
    check("role_grant", "failures", "", false, "");
    check("group_change", "DISABLED", "HOSTS_COUNT|8", false, "");
    check("user_change", "HOSTS_COUNT|8", "", true, "");
    check("policy_change", "network", "", false, "");
    check("no_such_event", "UNKNOWN", "", false, "");
    OWN_BUFFER(words, 1024);
    assert_ok(mg_audit_reason_of(
        mg_view_text("{\"metadata\":{\"event_code\":\"group_change\"},\"status_detail\":\"DISABLED\"}"),
        false, &words));
    assert_int_equal(words.length, 0);
}

static void
an_exported_event_keeps_its_bytes(void **state)
{
    (void) state;
    OWN_BUFFER(line, 4096);
    const char *event = "{\"metadata\":{\"event_code\":\"sign_in\"},\"status_detail\":\"WRONG_CODE\"}";
    assert_ok(mg_audit_event_add(mg_view_text(event), true, 7, false, &line));
    assert_string_equal(mg_buffer_text(&line), "{\"entry\":7,\"reason\":\"wrong code of the second factor\","
                                               "\"metadata\":{\"event_code\":\"sign_in\"},\"status_detail\":"
                                               "\"WRONG_CODE\"}");
    mg_buffer_clear(&line);
    assert_ok(mg_audit_event_add(mg_view_text("{\"erased\":true}"), false, 0, true, &line));
    assert_string_equal(mg_buffer_text(&line), "{\"erased\":true}");
    assert_int_equal(mg_audit_event_add(mg_view_text("[]"), false, 0, true, &line).code, MG_MALFORMED);
    assert_int_equal(mg_audit_event_add(MG_VIEW_EMPTY, false, 0, true, &line).code, MG_MALFORMED);
}

static void
cells_are_no_formulas(void **state)
{
    (void) state;
    static const char *const cells[][2] = {{"plain", "\"plain\""},
                                           {"=1+1", "\"'=1+1\""},
                                           {"+1", "\"'+1\""},
                                           {"-1", "\"'-1\""},
                                           {"@x", "\"'@x\""},
                                           {"\tx", "\"'\tx\""},
                                           {"a \"b\"", "\"a \"\"b\"\"\""},
                                           {"", "\"\""},
                                           {"\n=1", "\"'\n=1\""}};
    for (size_t i = 0; i < MG_COUNT(cells); i++) {
        OWN_BUFFER(csv, 64);
        assert_ok(mg_csv_cell(&csv, mg_view_text(cells[i][0]), ""));
        assert_string_equal(mg_buffer_text(&csv), cells[i][1]);
    }
    const struct mg_record_audit_row row = {.entry = 3,
                                            .action = mg_view_text("sign_in"),
                                            .actor = mg_view_text("=hana"),
                                            .detail = mg_view_text("WRONG_PASSWORD"),
                                            .reason = mg_view_text("WRONG_PASSWORD")};
    OWN_BUFFER(csv, 1024);
    assert_ok(mg_csv_audit_row(&csv, &row, true));
    assert_non_null(strstr(mg_buffer_text(&csv), "\"sign_in\",\"'=hana\",\"\",\"\",\"\",\"WRONG_PASSWORD\","
                                                 "\"パスワードの誤り\"\r\n"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons_of_ours_become_sentences),
        cmocka_unit_test(what_somebody_chose_stays),
        cmocka_unit_test(an_exported_event_keeps_its_bytes),
        cmocka_unit_test(cells_are_no_formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
