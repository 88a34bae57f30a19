/* Mail: composing one message (RFC 5322, MIME) and handing it to an SMTP server through libcurl. */
#ifndef MG_PORTS_MAIL_H
#define MG_PORTS_MAIL_H

#include "base/bytes.h"
#include "base/time.h"

#define MG_MAIL_BYTES 65536

struct mg_mail {
    struct mg_view from, to;      /* bare addresses: ASCII, one "@" */
    struct mg_view from_name;     /* shown before the sender's address; may be empty */
    struct mg_view subject, body; /* UTF-8; the body has "\n" line ends */
};

/* True for an address that is safe in a header and in SMTP: printable ASCII without spaces, quotes,
 * brackets or a second "@", at most 254 bytes. */
bool mg_mail_address_is_plain(struct mg_view address);

/* Appends the whole message with CRLF line ends; `token` makes the Message-ID unique. INVALID for an
 * address that is not plain or a line break in the subject or name. */
CHECKED struct mg_status mg_mail_compose(const struct mg_mail *mail, mg_instant now, struct mg_view token,
                                         struct mg_buffer *buffer);

enum mg_mail_tls {
    MG_MAIL_TLS_REQUIRED, /* STARTTLS or smtps, certificate checked, else not sent */
    MG_MAIL_TLS_OFF,      /* for a server on this machine only */
};
struct mg_mail_server {
    const char *url; /* smtp://host:port or smtps://host:port */
    enum mg_mail_tls tls;
    const char *user, *password; /* empty: no authentication */
    const char *authorities;     /* PEM file; empty: the system's */
};

enum mg_mail_result {
    MG_MAIL_SENT,
    MG_MAIL_LATER,   /* refused for now, or the server does not answer */
    MG_MAIL_REFUSED, /* refused for good (5xx) */
};

/* Blocks for at most 30 s. `reason` says why when it was not sent; it names no recipient. */
CHECKED struct mg_status mg_mail_send(const struct mg_mail_server *server, struct mg_view from,
                                      struct mg_view to, struct mg_view message,
                                      enum mg_mail_result *ret_result, char *reason, size_t reason_size);

#endif
