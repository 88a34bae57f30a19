/* The mail job: asks the authority what to send, writes it in the reader's language and hands it to the
 * SMTP server. A lost mail is tried again with growing pauses. */
#ifndef MG_WORKER_MAIL_H
#define MG_WORKER_MAIL_H

#include "process/runtime/runtime.h"

/* Sends what is due, one after another; blocks up to 30 s a mail, so call it on a thread of its own.
 * *ret_wait_ms is when to come again. */
CHECKED struct mg_status mg_worker_mail(const struct mg_environment *environment, int64_t *ret_wait_ms);

/* The text of one mail; `subject` and `body` are filled. Separate for tests. */
CHECKED struct mg_status mg_worker_mail_text(const struct mg_reply_mail_next *mail, struct mg_buffer *subject,
                                             struct mg_buffer *body);

#endif
