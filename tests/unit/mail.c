#include "test.h"

#include "ports/mail.h"
#include "process/worker/mail.h"

static const struct mg_mail plain = {
    .from = {(const uint8_t *) "masugata@example.com", 20},
    .to = {(const uint8_t *) "hana@example.com", 16},
};

static void
addresses_that_could_say_more_are_refused(void **state)
{
    (void) state;
    static const char *const good[] = {"a@b", "hana.sato+x@mail.example.co.jp", "o'k@x"};
    static const char *const bad[] = {"",      "@",      "a@",    "@b",
                                      "a",     "a@b@c",  "a b@c", "a@b\r\nBcc: x@y",
                                      "<a@b>", "a,b@c",  "-a@b",  "花@example.com",
                                      "a@b\t", "\"a\"@b"};
    assert_true(mg_mail_address_is_plain(mg_view_text(good[0])));
    assert_true(mg_mail_address_is_plain(mg_view_text(good[1])));
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_false(mg_mail_address_is_plain(mg_view_text(bad[i])));
}

static void
a_mail_is_folded_and_encoded(void **state)
{
    (void) state;
    struct mg_mail mail = plain;
    mail.from_name = mg_view_text("株式会社アクメ");
    mail.subject = mg_view_text("株式会社アクメ のパスワード再設定について、大切なお知らせがあります");
    mail.body = mg_view_text("こんにちは\n枡形\n");
    OWN_BUFFER(text, 65536);
    assert_ok(mg_mail_compose(&mail, 1795326000000, mg_view_text("0123456789abcdef"), &text));
    assert_non_null(strstr(mg_buffer_text(&text), "Date: Sun, 22 Nov 2026 05:40:00 +0000\r\n"));
    assert_non_null(
        strstr(mg_buffer_text(&text), "\r\n <masugata@example.com>\r\nTo: <hana@example.com>\r\n"));
    assert_non_null(strstr(mg_buffer_text(&text), "Subject: =?UTF-8?B?"));
    size_t line = 0;
    for (size_t i = 0; i < text.length; i++) {
        line = text.bytes[i] == '\n' ? 0 : line + 1;
        assert_true(line <= 78);
        assert_true(text.bytes[i] < 0x80);
    }
    mail.subject = mg_view_text("a\r\nBcc: x@example.com");
    assert_code(mg_mail_compose(&mail, 0, mg_view_text("x"), &text), INVALID);
}

static void
mails_say_what_they_must_in_both_languages(void **state)
{
    (void) state;
    static const char *const kinds[] = {"reset",           "invite",          "password_changed",
                                        "sign_in_confirm", "sign_in_blocked", "sign_in_notice"};
    static const char *const links[] = {"/reset/new?ticket=", "/reset/new?ticket=", "/reset\n",
                                        "/confirm?ticket=",   "/reset\n",           "/reset\n"};
    static const char *const languages[] = {"ja", "en"};
    uint8_t ticket[32];
    memset(ticket, 0xff, sizeof ticket);
    for (size_t i = 0; i < MG_COUNT(kinds); i++) {
        for (size_t j = 0; j < MG_COUNT(languages); j++) {
            const struct mg_reply_mail_next mail = {.kind = mg_view_text(kinds[i]),
                                                    .language = mg_view_text(languages[j]),
                                                    .recipient = mg_view_text("hana@example.com"),
                                                    .name = mg_view_text("佐藤 花"),
                                                    .label = mg_view_text("株式会社アクメ"),
                                                    .sign_in_origin =
                                                        mg_view_text("https://id.acme.localhost:8443"),
                                                    .ticket = mg_view_of(ticket, sizeof ticket),
                                                    .ticket_ends_at = 1795326000000,
                                                    .asked_at = 1795324200000,
                                                    .address = mg_view_text("203.0.113.9"),
                                                    .signals = mg_view_text("new_device impossible_travel")};
            OWN_BUFFER(subject, 1024);
            OWN_BUFFER(body, 65536);
            assert_ok(mg_worker_mail_text(&mail, &subject, &body));
            const char *text = mg_buffer_text(&body);
            assert_non_null(strstr(mg_buffer_text(&subject), "株式会社アクメ"));
            assert_non_null(strstr(text, "佐藤 花"));
            assert_null(strchr(text, '{'));
            const char *link = strstr(text, links[i]);
            assert_non_null(link);
            assert_memory_equal(link - 30, "https://id.acme.localhost:8443", 30);
            assert_int_equal(strchr(links[i], '=') != NULL,
                             strstr(link, "=__________________________________________8\n") != NULL);
            if (i > 2) /* reasons in words */
                assert_non_null(strstr(text, j == 0 ? "このアカウントで初めて使われる端末、前回の"
                                                    : "not used before; a place too far"));
            assert_true((strstr(text, "Hello") == NULL) == (j == 0));
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_that_could_say_more_are_refused),
        cmocka_unit_test(a_mail_is_folded_and_encoded),
        cmocka_unit_test(mails_say_what_they_must_in_both_languages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
