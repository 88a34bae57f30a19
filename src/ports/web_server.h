/* HTTP for the pages: libmicrohttpd on a unix socket that only nginx connects to. One thread a
 * connection, at most MG_WEB_CONNECTIONS; headers, bodies and times are bounded. The handler sees a
 * whole request and fills an answer; it may block. */
#ifndef MG_PORTS_WEB_SERVER_H
#define MG_PORTS_WEB_SERVER_H

#include "base/bytes.h"

#include <sys/types.h>

#define MG_WEB_CONNECTIONS 128
#define MG_WEB_BODY 65536 /* SCIM and the API; a form is read up to MG_FORM_BYTES */
#define MG_WEB_TARGET 8192
#define MG_WEB_ANSWER 1048576
#define MG_WEB_HEADERS 24

struct mg_web_server;
struct mg_web_headers; /* of the request, inside the server */

/* Valid during the handler's call. */
struct mg_web_request {
    struct mg_view method, path, query; /* as sent, still percent-encoded; query without "?" */
    struct mg_view body;
    struct mg_web_headers *headers;
};

struct mg_web_answer {
    unsigned status;
    const char *content_type;
    struct mg_buffer body;
    /* Name and value pairs, in order; borrowed from static text or from `storage`. */
    struct {
        const char *name;
        size_t value_at; /* offset in `storage` */
    } headers[MG_WEB_HEADERS];
    size_t header_count;
    struct mg_buffer storage;
};

/* Values that would break out of a header line are MALFORMED. `name` is static text. */
CHECKED struct mg_status mg_web_header_add(struct mg_web_answer *answer, const char *name, const char *format,
                                           ...) __attribute__((format(printf, 3, 4)));
/* Empties everything, for a handler that must start again with an error page. */
void mg_web_answer_clear(struct mg_web_answer *answer);

/* False if the header is absent; *ret_count tells how often it came (the value is the first). */
bool mg_web_header(const struct mg_web_request *request, const char *name, struct mg_view *ret_value,
                   unsigned *ret_count);

/* A failing status is answered with a bare 500 and given to `report`, which may be NULL. */
typedef struct mg_status mg_web_handler(void *context, const struct mg_web_request *request,
                                        struct mg_web_answer *answer);
typedef void mg_web_reporter(void *context, struct mg_status status);

/* Binds `path` (replacing a stale socket) with `mode`. Only `peer` is served, whoever else may reach the
 * socket
 * ((uid_t) -1: everybody). The socket answers after mg_web_server_start, so that it can be opened before a
 * sandbox closes and served after it. */
CHECKED struct mg_status mg_web_server_open(const char *path, mode_t mode, uid_t peer,
                                            struct mg_web_server **ret_server);
/* Serves until the drop; `context` must live until then. */
CHECKED struct mg_status mg_web_server_start(struct mg_web_server *server, mg_web_handler *handler,
                                             mg_web_reporter *report, void *context);
/* Waits for running handlers. */
void mg_web_server_drop(struct mg_web_server **server);

#endif
