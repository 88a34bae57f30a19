/* Reasons become sentences in the reader's language: codes with parameters anywhere, codes alone at the
 * beginning. */
#include "base/reason.h"
#include "domain/federation_refusal.h"

#include "test.h"

static void
check_words(const char *text, const char *en, const char *ja)
{
    OWN_BUFFER(words, 4096);
    assert_ok(mg_reason_words(mg_view_text(text), false, &words));
    assert_string_equal(mg_buffer_text(&words), en);
    mg_buffer_clear(&words);
    assert_ok(mg_reason_words(mg_view_text(text), true, &words));
    assert_string_equal(mg_buffer_text(&words), ja);
}

static void
codes_become_sentences(void **state)
{
    (void) state;
    check_words("", "", "");
    check_words("access_denied", "access_denied", "access_denied");
    check_words("WRONG_PASSWORD", "wrong password", "パスワードの誤り");
    check_words("EXPIRED provider=okta", "expired provider=okta", "有効期限が切れています provider=okta");
    check_words("HOSTS_COUNT|8", "hosts: 1 to 8", "ホスト: 1 から 8 件");
    check_words("XML_FORM provider=okta detail=XML_LINE|7",
                "the message is not SAML in plain XML (document types, entities and comments are not read) "
                "provider=okta detail=not well-formed (line 7)",
                "SAML メッセージの XML が正しくありません (DOCTYPE、実体、コメントは受け付けません) "
                "provider=okta detail=整形式ではありません (7 行目)");
    /* One in the other, and one behind the other. */
    check_words("OF_ROUTE|/a|NETWORKS_MOST|allow.use|64", "route \"/a\": allow.use: more than 64 networks",
                "経路「/a」: allow.use: ネットワークは 64 件までです");
    check_words(
        "OF_SETTING|saml.certificates|CERTIFICATE|CERTIFICATE_FAULT|ab|CERTIFICATE_EXPIRED|",
        "saml.certificates: no certificate of the provider may be used: none is valid now, or it is too weak: "
        "ab: expired",
        "saml.certificates: 使用できる IdP の証明書がありません (有効期間外、または強度不足): ab: "
        "有効期限切れです");
    check_words(
        "certificates: CERTIFICATE_IS|RSA|2048|2027-01-01|ab; CERTIFICATE_IS_NOT|EC|256|2020-01-01|cd|"
        "CERTIFICATE_EXPIRED|",
        "certificates: RSA 2048, until 2027-01-01, SHA-256 ab; EC 256, until 2020-01-01, SHA-256 cd: expired",
        "certificates: RSA 2048、2027-01-01 まで、SHA-256 ab; EC 256、2020-01-01 まで、SHA-256 cd: "
        "有効期限切れです");
}

/* A parameter is a stranger's: it is shown as it is, whatever it looks like; a missing one is empty. */
static void
parameters_stay(void **state)
{
    (void) state;
    check_words("SAML_STATUS|Responder|HOSTS_COUNT|9", "Responder HOSTS_COUNT|9", "Responder HOSTS_COUNT|9");
    check_words("ADDRESS_IS|host", "host is ", "host のアドレスは  です");
    check_words("NO_SUCH_CODE|x", "NO_SUCH_CODE|x", "NO_SUCH_CODE|x");
    check_words("x HOSTS_COUNT|1\nHOSTS_COUNT|2", "x hosts: 1 to 1\nhosts: 1 to 2",
                "x ホスト: 1 から 1 件\nホスト: 1 から 2 件");
}

/* A name that somebody chose to be nothing but codes must not keep the page away that tells of it. */
static void
what_becomes_too_long_stays_as_it_is(void **state)
{
    (void) state;
    char text[36 * 7 + 1] = "";
    OWN_BUFFER(words, 1024);
    for (int i = 0; i < 36; i++)
        memcpy(text + (size_t) i * 7, "IN_USE|", 8);
    assert_ok(mg_buffer_add_text(&words, "x"));
    assert_ok(mg_reason_words(mg_view_text(text), true, &words));
    assert_string_equal(mg_buffer_text(&words) + 1, text);
}

static void
depth_is_bounded(void **state)
{
    OWN_BUFFER(text, 1 << 16);
    OWN_BUFFER(words, 1 << 16);
    (void) state;
    for (int i = 0; i < 1000; i++)
        assert_ok(mg_buffer_add_text(&text, "OF_SETTING|a|"));
    assert_ok(mg_reason_words(mg_buffer_view(&text), false, &words));
    char line[16];
    mg_reason_line("WRONG_PASSWORD", true, line, sizeof line);
    assert_string_equal(line, "パスワード"); /* no half character */
    mg_reason_line(NULL, true, line, sizeof line);
    assert_string_equal(line, "");
}

/* {1}, {2}, {>}: the same in both languages. */
static unsigned
placeholders(const char *sentence)
{
    unsigned seen = 0;
    for (const char *at = strchr(sentence, '{'); at != NULL; at = strchr(at + 1, '{'))
        seen |= at[1] == '>' ? 1U : at[1] >= '1' && at[1] <= '9' && at[2] == '}' ? 1U << (at[1] - '0') : 0;
    return seen;
}

static void
every_row_has_both_texts(void **state)
{
    (void) state;
    size_t count = 0;
    for (const struct mg_reason_row *row; (row = mg_reason_row(count)) != NULL; count++) {
        bool japanese = strchr(row->en, '{') != NULL; /* may be nothing but what it speaks of */
        for (const char *at = row->ja; *at != '\0'; at++)
            japanese = japanese || (*at & 0x80) != 0;
        if (row->en[0] == '\0' || !japanese || placeholders(row->en) != placeholders(row->ja))
            fail_msg("%s: \"%s\" and \"%s\"", row->code, row->en, row->ja);
    }
    assert_true(count > 200);
    for (uint64_t refusal = 1; refusal < MG_FEDERATION_COUNT; refusal++) {
        char line[512];
        mg_reason_line(mg_federation_refusal_name(refusal), true, line, sizeof line);
        assert_string_not_equal(line, mg_federation_refusal_name(refusal));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_become_sentences),
        cmocka_unit_test(parameters_stay),
        cmocka_unit_test(what_becomes_too_long_stays_as_it_is),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(every_row_has_both_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
