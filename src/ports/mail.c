#include "ports/mail.h"

#include <curl/curl.h>

#define SEND_S 30
#define CONNECT_S 10
#define WORD_BYTES 42 /* UTF-8 bytes of one encoded word: 75 characters at most (RFC 2047 section 2) */
#define LINE_BYTES 57 /* bytes of one base64 line of 76 characters (RFC 2045 section 6.8) */

bool
mg_mail_address_is_plain(struct mg_view address)
{
    size_t ats = 0;
    for (size_t i = 0; i < address.length; i++) {
        const uint8_t c = address.bytes[i];
        if (c <= ' ' || c >= 0x7f || strchr("\"'<>(),;:\\[]", c) != NULL)
            return false;
        ats += c == '@';
    }
    return ats == 1 && address.length >= 3 && address.length <= 254 && address.bytes[0] != '@' &&
           address.bytes[address.length - 1] != '@' && address.bytes[0] != '-';
}

static bool
is_one_line(struct mg_view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.bytes[i] < ' ' || text.bytes[i] == 0x7f)
            return false;
    return mg_view_is_utf8(text);
}

/* The length of the next piece of at most `most` bytes that does not cut a character. */
static size_t
piece_length(struct mg_view text, size_t most)
{
    if (text.length <= most)
        return text.length;
    size_t length = most;
    while (length > 0 && (text.bytes[length] & 0xc0) == 0x80)
        length--;
    return length;
}

/* Encoded words on folded lines (RFC 2047), also for plain ASCII: one path, tested once. */
static CHECKED struct mg_status
add_words(struct mg_buffer *buffer, struct mg_view text)
{
    for (bool first = true; text.length > 0; first = false) {
        const size_t length = piece_length(text, WORD_BYTES);
        TRY(mg_buffer_add_text(buffer, first ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?"));
        TRY(mg_base64(mg_view_of(text.bytes, length), buffer));
        TRY(mg_buffer_add_text(buffer, "?="));
        text = mg_view_of(text.bytes + length, text.length - length);
    }
    return OK;
}

static CHECKED struct mg_status
add_date(struct mg_buffer *buffer, mg_instant now)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const time_t seconds = (time_t) (now / 1000);
    struct tm t;
    mg_must(gmtime_r(&seconds, &t) != NULL);
    return mg_buffer_format(buffer, "Date: %.3s, %d %.3s %d %02d:%02d:%02d +0000\r\n", days + 3 * t.tm_wday,
                            t.tm_mday, months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min,
                            t.tm_sec);
}

static CHECKED struct mg_status
add_headers(const struct mg_mail *mail, mg_instant now, struct mg_view token, struct mg_buffer *buffer)
{
    const uint8_t *at = memchr(mail->from.bytes, '@', mail->from.length);
    const struct mg_view domain =
        mg_view_of(at + 1, mail->from.length - (size_t) (at + 1 - mail->from.bytes));
    TRY(add_date(buffer, now));
    TRY(mg_buffer_add_text(buffer, "From: "));
    if (mail->from_name.length > 0) {
        TRY(add_words(buffer, mail->from_name));
        TRY(mg_buffer_add_text(buffer, "\r\n "));
    }
    TRY(mg_buffer_format(buffer, "<%.*s>\r\nTo: <%.*s>\r\nSubject: ", (int) mail->from.length,
                         (const char *) mail->from.bytes, (int) mail->to.length,
                         (const char *) mail->to.bytes));
    TRY(add_words(buffer, mail->subject));
    TRY(mg_buffer_add_text(buffer, "\r\nMessage-ID: <"));
    TRY(mg_base64url(token, buffer));
    return mg_buffer_format(buffer,
                            "@%.*s>\r\n"
                            "Auto-Submitted: auto-generated\r\n"
                            "MIME-Version: 1.0\r\n"
                            "Content-Type: text/plain; charset=utf-8\r\n"
                            "Content-Transfer-Encoding: base64\r\n\r\n",
                            (int) domain.length, (const char *) domain.bytes);
}

/* Text in base64 has CRLF line ends inside (RFC 2045 section 6.8). */
static CHECKED struct mg_status
add_body(struct mg_view body, struct mg_buffer *buffer)
{
    OWN_BUFFER(text, MG_MAIL_BYTES);
    for (size_t i = 0; i < body.length; i++) {
        if (body.bytes[i] == '\n')
            TRY(mg_buffer_add_byte(&text, '\r'));
        TRY(mg_buffer_add_byte(&text, body.bytes[i]));
    }
    for (size_t start = 0; start < text.length; start += LINE_BYTES) {
        const size_t left = text.length - start;
        TRY(mg_base64(mg_view_of(text.bytes + start, left < LINE_BYTES ? left : LINE_BYTES), buffer));
        TRY(mg_buffer_add_text(buffer, "\r\n"));
    }
    return OK;
}

struct mg_status
mg_mail_compose(const struct mg_mail *mail, mg_instant now, struct mg_view token, struct mg_buffer *buffer)
{
    if (!mg_mail_address_is_plain(mail->from) || !mg_mail_address_is_plain(mail->to))
        return fail_with(INVALID, "mail address");
    if (!is_one_line(mail->subject) || !is_one_line(mail->from_name) || mail->subject.length == 0)
        return fail_with(INVALID, "mail subject");
    TRY(add_headers(mail, now, token, buffer));
    return add_body(mail->body, buffer);
}

/* ---- sending ---- */

struct source {
    struct mg_view left;
};

static size_t
source_read(char *room, size_t size, size_t count, void *context)
{
    struct source *source = context;
    size_t length = size * count;
    if (length > source->left.length)
        length = source->left.length;
    if (length > 0)
        memcpy(room, source->left.bytes, length);
    source->left = mg_view_of(source->left.bytes + length, source->left.length - length);
    return length;
}

static void
curl_drop(CURL **curl)
{
    if (*curl != NULL)
        curl_easy_cleanup(*curl);
    *curl = NULL;
}

static void
list_drop(struct curl_slist **list)
{
    curl_slist_free_all(*list);
    *list = NULL;
}

static bool
set_server(CURL *curl, const struct mg_mail_server *server)
{
    bool set = curl_easy_setopt(curl, CURLOPT_URL, server->url) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps") == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long) SEND_S) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long) CONNECT_S) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    set = set && curl_easy_setopt(
                     curl, CURLOPT_USE_SSL,
                     (long) (server->tls == MG_MAIL_TLS_OFF ? CURLUSESSL_NONE : CURLUSESSL_ALL)) == CURLE_OK;
    if (set && server->authorities[0] != '\0')
        set = curl_easy_setopt(curl, CURLOPT_CAINFO, server->authorities) == CURLE_OK;
    if (set && server->user[0] != '\0')
        set = curl_easy_setopt(curl, CURLOPT_USERNAME, server->user) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_PASSWORD, server->password) == CURLE_OK;
    return set;
}

static enum mg_mail_result
result_of(CURL *curl, CURLcode code)
{
    long answer = 0;
    if (code == CURLE_OK)
        return MG_MAIL_SENT;
    (void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
    /* A wrong login of ours (535) is our trouble, not the recipient's. */
    return answer >= 500 && answer < 600 && code != CURLE_LOGIN_DENIED ? MG_MAIL_REFUSED : MG_MAIL_LATER;
}

struct mg_status
mg_mail_send(const struct mg_mail_server *server, struct mg_view from, struct mg_view to,
             struct mg_view message, enum mg_mail_result *ret_result, char *reason, size_t reason_size)
{
    if (!mg_mail_address_is_plain(from) || !mg_mail_address_is_plain(to))
        return fail_with(INVALID, "mail address");
    MG_CLEANUP(curl_drop) CURL *curl = curl_easy_init();
    MG_CLEANUP(list_drop) struct curl_slist *recipients = NULL;
    char sender[260], recipient[260];
    (void) snprintf(sender, sizeof sender, "<%.*s>", (int) from.length, (const char *) from.bytes);
    (void) snprintf(recipient, sizeof recipient, "<%.*s>", (int) to.length, (const char *) to.bytes);
    recipients = curl_slist_append(NULL, recipient);
    if (curl == NULL || recipients == NULL)
        return fail(OUT_OF_MEMORY);
    struct source source = {.left = message};
    if (!set_server(curl, server) || curl_easy_setopt(curl, CURLOPT_MAIL_FROM, sender) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, source_read) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_READDATA, &source) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L) != CURLE_OK)
        return fail_with(CONFIGURATION, "mail server");
    const CURLcode code = curl_easy_perform(curl);
    (void) snprintf(reason, reason_size, "%s", code == CURLE_OK ? "" : curl_easy_strerror(code));
    *ret_result = result_of(curl, code);
    return OK;
}
