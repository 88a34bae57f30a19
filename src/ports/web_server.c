#include "ports/web_server.h"

#include "base/own.h"
#include "base/secret.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HEADER_BYTES 16384
#define STORAGE_BYTES 32768
#define IDLE_S 30
#define STACK_BYTES (512 * 1024)

struct mg_web_server {
    int socket;
    uid_t peer; /* who is served; (uid_t) -1: everybody */
    struct MHD_Daemon *daemon;
    mg_web_handler *handler;
    mg_web_reporter *report;
    void *context;
};

/* One request from its first byte to its answer; MHD keeps the pointer for us. */
struct exchange {
    struct mg_buffer target, body;
    struct MHD_Response *response; /* a reference of ours, so that it can be wiped when it was sent */
    bool target_too_long, body_too_long, begun;
};

static void *
exchange_new(void *context, const char *uri, struct MHD_Connection *connection)
{
    (void) context;
    (void) connection;
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return NULL;
    exchange->target = MG_BUFFER(MG_WEB_TARGET);
    exchange->body = MG_BUFFER(MG_WEB_BODY);
    exchange->target_too_long = !mg_ok(mg_buffer_add_text(&exchange->target, uri));
    return exchange;
}

/* Its text is our copy, of which this is the one place that writes. */
static enum MHD_Result
header_wipe(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void) context;
    (void) kind;
    (void) name;
    mg_wipe((void *) (uintptr_t) value, strlen(value));
    return MHD_YES;
}

/* Cookies are among its headers: what MHD frees must not be readable in freed memory. */
static void
response_end(struct MHD_Response **response)
{
    if (*response == NULL)
        return;
    (void) MHD_get_response_headers(*response, header_wipe, NULL);
    MHD_destroy_response(*response);
    *response = NULL;
}

static void
exchange_end(void *context, struct MHD_Connection *connection, void **slot,
             enum MHD_RequestTerminationCode code)
{
    (void) context;
    (void) connection;
    (void) code;
    struct exchange *exchange = *slot;
    if (exchange == NULL)
        return;
    mg_buffer_drop(&exchange->target);
    mg_buffer_drop(&exchange->body);
    response_end(&exchange->response);
    free(exchange);
    *slot = NULL;
}

/* MHD decodes paths in place unless told otherwise; we route on the bytes that nginx judged. */
static size_t
keep_encoded(void *context, struct MHD_Connection *connection, char *text)
{
    (void) context;
    (void) connection;
    return strlen(text);
}

struct mg_status
mg_web_header_add(struct mg_web_answer *answer, const char *name, const char *format, ...)
{
    if (answer->header_count == MG_WEB_HEADERS)
        return fail_with(TOO_LARGE, "more than %d headers", MG_WEB_HEADERS);
    OWN_KEY(bytes, 8192); /* cookies are among them */
    char *value = (char *) bytes;
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(value, sizeof bytes, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t) length >= sizeof bytes)
        return fail_with(TOO_LARGE, "header %s", name);
    for (int i = 0; i < length; i++)
        if ((unsigned char) value[i] < ' ' || (unsigned char) value[i] > '~')
            return fail_with(MALFORMED, "byte in header %s", name);
    const size_t at = answer->storage.length;
    TRY(mg_buffer_add(&answer->storage, mg_view_of(value, (size_t) length + 1)));
    answer->headers[answer->header_count].name = name;
    answer->headers[answer->header_count].value_at = at;
    answer->header_count++;
    return OK;
}

void
mg_web_answer_clear(struct mg_web_answer *answer)
{
    mg_buffer_drop(&answer->body);
    mg_buffer_drop(&answer->storage);
    answer->header_count = 0;
    answer->status = 0;
    answer->content_type = "text/plain; charset=utf-8";
}

struct header_search {
    const char *name;
    struct mg_view value;
    unsigned count;
};

static enum MHD_Result
header_visit(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void) kind;
    struct header_search *search = context;
    if (strcasecmp(name, search->name) != 0)
        return MHD_YES;
    if (search->count++ == 0)
        search->value = mg_view_text(value);
    return MHD_YES;
}

bool
mg_web_header(const struct mg_web_request *request, const char *name, struct mg_view *ret_value,
              unsigned *ret_count)
{
    struct header_search search = {.name = name};
    struct MHD_Connection *connection = (struct MHD_Connection *) request->headers;
    (void) MHD_get_connection_values(connection, MHD_HEADER_KIND, header_visit, &search);
    if (ret_count != NULL)
        *ret_count = search.count;
    if (search.count == 0)
        return false;
    *ret_value = search.value;
    return true;
}

struct page {
    size_t length;
    uint8_t bytes[];
};

static void
page_free(void *context)
{
    struct page *page = context;
    mg_wipe(page->bytes, page->length); /* links and codes may stand in it */
    free(page);
}

static CHECKED struct MHD_Response *
response_new(struct mg_view body)
{
    struct page *page = malloc(sizeof *page + body.length);
    if (page == NULL)
        return NULL;
    page->length = body.length;
    if (body.length != 0)
        memcpy(page->bytes, body.bytes, body.length);
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(body.length, page->bytes, page_free, page);
    if (response == NULL)
        page_free(page);
    return response;
}

static enum MHD_Result
answer_send(struct MHD_Connection *connection, struct exchange *exchange, const struct mg_web_answer *answer)
{
    struct MHD_Response *response = response_new(mg_buffer_view(&answer->body));
    if (response == NULL)
        return MHD_NO;
    response_end(&exchange->response);
    exchange->response = response;
    enum MHD_Result result = MHD_add_response_header(response, "Content-Type", answer->content_type);
    for (size_t i = 0; i < answer->header_count && result == MHD_YES; i++)
        result = MHD_add_response_header(response, answer->headers[i].name,
                                         mg_buffer_text(&answer->storage) + answer->headers[i].value_at);
    if (result == MHD_YES)
        result = MHD_queue_response(connection, answer->status, response);
    return result;
}

static enum MHD_Result
answer_bare(struct MHD_Connection *connection, struct exchange *exchange, unsigned status)
{
    const struct mg_web_answer answer = {.status = status, .content_type = "text/plain; charset=utf-8"};
    return answer_send(connection, exchange, &answer);
}

static enum MHD_Result
handle(struct mg_web_server *server, struct MHD_Connection *connection, const char *method,
       struct exchange *exchange)
{
    const struct mg_view target = mg_buffer_view(&exchange->target);
    const uint8_t *mark = memchr(target.bytes, '?', target.length);
    const size_t path_length = mark == NULL ? target.length : (size_t) (mark - target.bytes);
    const struct mg_web_request request = {
        .method = mg_view_text(method),
        .path = mg_view_of(target.bytes, path_length),
        .query = mark == NULL ? MG_VIEW_EMPTY : mg_view_of(mark + 1, target.length - path_length - 1),
        .body = mg_buffer_view(&exchange->body),
        .headers = (struct mg_web_headers *) connection,
    };
    struct mg_web_answer answer = {.body = MG_BUFFER(MG_WEB_ANSWER), .storage = MG_BUFFER(STORAGE_BYTES)};
    mg_web_answer_clear(&answer);
    const struct mg_status status = server->handler(server->context, &request, &answer);
    if (!mg_ok(status) && server->report != NULL)
        server->report(server->context, status);
    const enum MHD_Result result = mg_ok(status) && answer.status != 0
                                       ? answer_send(connection, exchange, &answer)
                                       : answer_bare(connection, exchange, 500);
    mg_web_answer_clear(&answer);
    return result;
}

/* The headers that nginx sets say who the visitor is: nobody else may say it, even if a group of theirs lets
 * them reach the socket. */
static bool
peer_is_known(const struct mg_web_server *server, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred caller = {.uid = (uid_t) -1};
    socklen_t length = sizeof caller;
    if (server->peer == (uid_t) -1)
        return true;
    return info != NULL && getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &caller, &length) == 0 &&
           caller.uid == server->peer;
}

static bool
announces_too_much(struct MHD_Connection *connection)
{
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    uint64_t bytes = 0;
    return length != NULL && !mg_ok(mg_parse_u64(mg_view_text(length), MG_WEB_BODY, &bytes));
}

static enum MHD_Result
on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
           const char *version, const char *upload, size_t *upload_length, void **slot)
{
    (void) url;
    (void) version;
    struct exchange *exchange = *slot;
    if (exchange == NULL)
        return MHD_NO;
    if (!exchange->begun) {
        exchange->begun = true;
        if (!peer_is_known(context, connection))
            return answer_bare(connection, exchange, 403);
        if (exchange->target_too_long)
            return answer_bare(connection, exchange, 414);
        return announces_too_much(connection) ? answer_bare(connection, exchange, 413) : MHD_YES;
    }
    if (*upload_length > 0) {
        if (!mg_ok(mg_buffer_add(&exchange->body, mg_view_of(upload, *upload_length))))
            exchange->body_too_long = true;
        *upload_length = 0;
        return MHD_YES;
    }
    return exchange->body_too_long ? answer_bare(connection, exchange, 413)
                                   : handle(context, connection, method, exchange);
}

static CHECKED struct mg_status
listen_on(const char *path, mode_t mode, int *ret_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    TRY(mg_view_copy(mg_view_text(path), address.sun_path, sizeof address.sun_path));
    OWN_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_errno("socket");
    if (unlink(path) != 0 && errno != ENOENT)
        return fail_errno("remove %s", path);
    /* Nobody may connect between bind and chmod. */
    const mode_t before = umask(0777);
    const int bound = bind(fd, (const struct sockaddr *) &address, sizeof address);
    umask(before);
    if (bound != 0)
        return fail_errno("bind %s", path);
    if (chmod(path, mode) != 0)
        return fail_errno("chmod %s", path);
    if (listen(fd, MG_WEB_CONNECTIONS) != 0)
        return fail_errno("listen on %s", path);
    *ret_socket = fd;
    fd = -1;
    return OK;
}

struct mg_status
mg_web_server_open(const char *path, mode_t mode, uid_t peer, struct mg_web_server **ret_server)
{
    OWN(web_server) server = calloc(1, sizeof *server);
    if (server == NULL)
        return fail(OUT_OF_MEMORY);
    server->socket = -1;
    server->peer = peer;
    TRY(listen_on(path, mode, &server->socket));
    *ret_server = TAKE(server);
    return OK;
}

struct mg_status
mg_web_server_start(struct mg_web_server *server, mg_web_handler *handler, mg_web_reporter *report,
                    void *context)
{
    server->handler = handler;
    server->report = report;
    server->context = context;
    server->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL,
        on_request, server, MHD_OPTION_LISTEN_SOCKET, server->socket, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned) MG_WEB_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) (2 * HEADER_BYTES),
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) IDLE_S, MHD_OPTION_THREAD_STACK_SIZE, (size_t) STACK_BYTES,
        MHD_OPTION_URI_LOG_CALLBACK, exchange_new, NULL, MHD_OPTION_NOTIFY_COMPLETED, exchange_end, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded, NULL, MHD_OPTION_END);
    if (server->daemon == NULL)
        return fail_errno("start the web server");
    return OK;
}

void
mg_web_server_drop(struct mg_web_server **server)
{
    if (*server == NULL)
        return;
    /* MHD closes the listening socket with the daemon. */
    if ((*server)->daemon != NULL)
        MHD_stop_daemon((*server)->daemon);
    else
        mg_fd_drop(&(*server)->socket);
    free(*server);
    *server = NULL;
}
