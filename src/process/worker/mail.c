#include "process/worker/mail.h"

#include "base/log.h"
#include "base/secret.h"
#include "ports/mail.h"

#define CALL_MS 10000
#define IDLE_MS 1000
#define FIRST_RETRY_MS 30000
#define RETRY_MOST_MS (4 * 3600 * 1000LL)
#define MAILS_A_RUN 20

static struct mg_mail_server
server_of(const struct mg_options *options)
{
    return (struct mg_mail_server){
        .url = options->mail_url,
        .tls = strcmp(options->mail_tls, "off") == 0 ? MG_MAIL_TLS_OFF : MG_MAIL_TLS_REQUIRED,
        .user = options->mail_user,
        .password = options->mail_password,
        .authorities = options->mail_authorities,
    };
}

static int64_t
pause_after(uint64_t attempt)
{
    int64_t pause = FIRST_RETRY_MS;
    while (attempt-- > 1 && pause < RETRY_MOST_MS)
        pause *= 2;
    return pause < RETRY_MOST_MS ? pause : RETRY_MOST_MS;
}

static CHECKED struct mg_status
send(const struct mg_options *options, const struct mg_reply_mail_next *mail, enum mg_mail_result *ret_result,
     char *reason, size_t reason_size)
{
    OWN_BUFFER(subject, 1024);
    OWN_BUFFER(body, MG_MAIL_BYTES);
    OWN_BUFFER(message, 2 * MG_MAIL_BYTES);
    uint8_t token[16];
    mg_random(token, sizeof token);
    TRY(mg_worker_mail_text(mail, &subject, &body));
    const struct mg_mail letter = {
        .from = mg_view_text(options->mail_from),
        .to = mail->recipient,
        .from_name = mail->label,
        .subject = mg_buffer_view(&subject),
        .body = mg_buffer_view(&body),
    };
    TRY(mg_mail_compose(&letter, mg_now(), mg_view_of(token, sizeof token), &message));
    const struct mg_mail_server server = server_of(options);
    return mg_mail_send(&server, letter.from, letter.to, mg_buffer_view(&message), ret_result, reason,
                        reason_size);
}

static CHECKED struct mg_status
send_and_tell(const struct mg_options *options, const struct mg_reply_mail_next *mail)
{
    char reason[256] = "";
    enum mg_mail_result result = MG_MAIL_LATER;
    const struct mg_status status = send(options, mail, &result, reason, sizeof reason);
    if (!mg_ok(status)) {
        /* An address that cannot be written to stays so; anything else is tried again. */
        result = status.code == MG_INVALID ? MG_MAIL_REFUSED : MG_MAIL_LATER;
        (void) snprintf(reason, sizeof reason, "%s", status.detail);
    }
    if (result != MG_MAIL_SENT)
        mg_log(MG_WARNING, "mail %llu, attempt %llu: %s%s", (unsigned long long) mail->mail,
               (unsigned long long) mail->attempt, reason, result == MG_MAIL_REFUSED ? "; given up" : "");
    const struct mg_request_mail_done done = {
        .mail = mail->mail,
        .sent = result == MG_MAIL_SENT,
        .permanent = result == MG_MAIL_REFUSED,
        .retry_ms = pause_after(mail->attempt),
        .reason = mg_view_text(reason),
    };
    struct mg_reply_mail_done reply;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    return mg_call_mail_done(&done, &reply, &storage, CALL_MS);
}

struct mg_status
mg_worker_mail(const struct mg_environment *environment, int64_t *ret_wait_ms)
{
    *ret_wait_ms = IDLE_MS;
    /* Without a server mail waits in the queue; nothing is leased, no ticket is made. */
    if (environment->options->mail_url[0] == '\0')
        return OK;
    for (int i = 0; i < MAILS_A_RUN && !mg_stopping(); i++) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        const struct mg_request_mail_next request = {0};
        struct mg_reply_mail_next mail;
        TRY(mg_call_mail_next(&request, &mail, &storage, CALL_MS));
        if (mail.mail == 0)
            return OK;
        TRY(send_and_tell(environment->options, &mail));
    }
    *ret_wait_ms = 0;
    return OK;
}
