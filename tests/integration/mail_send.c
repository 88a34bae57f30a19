/* Sends one mail through src/ports/mail: mail-send URL required|off AUTHORITIES FROM TO. Prints sent, later
 * or refused and the reason. For tests/integration/test_mail.py. */
#include "ports/mail.h"

#include <stdio.h>

int
main(int argc, char **argv)
{
    static const char *const results[] = {
        [MG_MAIL_SENT] = "sent", [MG_MAIL_LATER] = "later", [MG_MAIL_REFUSED] = "refused"};
    if (argc != 6)
        return 2;
    const struct mg_mail_server server = {
        .url = argv[1],
        .tls = strcmp(argv[2], "off") == 0 ? MG_MAIL_TLS_OFF : MG_MAIL_TLS_REQUIRED,
        .user = "",
        .password = "",
        .authorities = argv[3],
    };
    const struct mg_mail mail = {
        .from = mg_view_text(argv[4]),
        .to = mg_view_text(argv[5]),
        .from_name = mg_view_text("株式会社アクメ"),
        .subject = mg_view_text("パスワード再設定: 株式会社アクメ の長い件名をここに書きます"),
        .body = mg_view_text("一行目\n.\n..二行目\n")};
    OWN_BUFFER(message, 2 * MG_MAIL_BYTES);
    enum mg_mail_result result = MG_MAIL_LATER;
    char reason[256] = "";
    struct mg_status status = mg_mail_compose(&mail, mg_now(), mg_view_text("0123456789abcdef"), &message);
    if (mg_ok(status))
        status = mg_mail_send(&server, mail.from, mail.to, mg_buffer_view(&message), &result, reason,
                              sizeof reason);
    if (!mg_ok(status)) {
        (void) printf("failed %s\n", mg_error_row(status.code)->name);
        return 1;
    }
    (void) printf("%s %s\n", results[result], reason);
    return 0;
}
