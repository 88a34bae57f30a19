/* The OpenID provider that the prober is while it looks at sign-in through one (probes/federation_openid.c):
 * TLS on an address of this machine alone, one connection at a time and each for a few seconds at most, for
 * as long as it is open. Whoever else comes gets what anybody may read of a provider; a token, of a person
 * who owns nothing, only whoever has the code of this look. */
#include "process/prober/prober.h"
#include "process/prober/provider_request.h"

#include "base/log.h"
#include "ports/self_signed.h"
#include "probes/federation.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALL_MS = 5000, POLL_MS = 100, PEER_MS = 5000, BACKLOG = 16 };

struct mg_probe_server {
    struct mg_probe_provider *provider;
    SSL_CTX *tls;
    int listener;
    atomic_bool ends;
    pthread_mutex_t lock;
    int connection; /* the one that is open, or -1; with the lock */
    pthread_t thread;
    bool runs;
};

/* ---- one request ---- */

/* TLS with the peer until the connection's end, whatever the peer does in between. */
struct peer {
    SSL *tls;
    int64_t until_ms; /* monotonic */
};

/* Whether what gave `result` is to be tried once more: waits for the peer as long as there is time. */
static bool
once_more(const struct peer *peer, int result)
{
    const int error = SSL_get_error(peer->tls, result);
    const int64_t left_ms = peer->until_ms - mg_monotonic_ms();
    struct pollfd waiting = {.fd = SSL_get_fd(peer->tls),
                             .events = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN};
    if (result > 0 || left_ms <= 0 || (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE))
        return false;
    ERR_clear_error();
    return poll(&waiting, 1, (int) left_ms) > 0;
}

static void
ssl_drop(SSL **tls)
{
    SSL_free(*tls);
    *tls = NULL;
}

static CHECKED struct mg_status
request_read(const struct peer *peer, struct mg_buffer *request, const char **ret_body)
{
    char bytes[4096];
    while ((*ret_body = mg_provider_request_body(mg_buffer_text(request))) == NULL) {
        int length;
        do
            length = SSL_read(peer->tls, bytes, sizeof bytes);
        while (once_more(peer, length));
        if (length <= 0)
            return fail_with(UNAVAILABLE, "half a request");
        TRY(mg_buffer_add(request, mg_view_of(bytes, (size_t) length)));
    }
    return OK;
}

/* Whether the form trades the code of this look: anybody on this machine can send one. */
static bool
has_code(const struct mg_probe_provider *provider, const char *form)
{
    OWN_BUFFER(query, MG_PROVIDER_REQUEST_MOST + 1);
    OWN_BUFFER(code, MG_PROVIDER_REQUEST_MOST);
    return mg_ok(mg_buffer_format(&query, "?%s", form)) &&
           mg_ok(mg_query_value(mg_buffer_view(&query), "code", &code)) &&
           mg_view_is(mg_buffer_view(&code), provider->code);
}

/* With the provider's lock held. */
static CHECKED struct mg_status
answer_make(struct mg_probe_provider *provider, const char *request, const char *body,
            struct mg_buffer *answer)
{
    const bool is_token = strncmp(request, "POST ", 5) == 0 &&
                          mg_provider_request_path_ends(request, "/token") && has_code(provider, body);
    const struct mg_buffer *document =
        is_token                                                                      ? &provider->token
        : mg_provider_request_path_ends(request, "/.well-known/openid-configuration") ? &provider->discovery
        : mg_provider_request_path_ends(request, "/keys")                             ? &provider->keys
                                                                                      : NULL;
    if (is_token) {
        mg_buffer_clear(&provider->asked);
        TRY(mg_buffer_add_text(&provider->asked, body));
    }
    TRY(mg_buffer_format(answer,
                         "HTTP/1.1 %s\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
                         "Connection: close\r\nContent-Length: %zu\r\n\r\n",
                         document != NULL ? "200 OK" : "404 Not Found",
                         document != NULL ? document->length : 0));
    return document != NULL ? mg_buffer_add(answer, mg_buffer_view(document)) : OK;
}

static CHECKED struct mg_status
serve(struct mg_probe_server *server, int fd)
{
    int result;
    const char *body = NULL;
    OWN_BUFFER(request, MG_PROVIDER_REQUEST_MOST);
    OWN_BUFFER(answer, 2 * MG_PROVIDER_REQUEST_MOST);
    MG_CLEANUP(ssl_drop) SSL *tls = SSL_new(server->tls);
    const struct peer peer = {.tls = tls, .until_ms = mg_monotonic_ms() + PEER_MS};
    if (tls == NULL || SSL_set_fd(tls, fd) != 1)
        return fail_with(SYSTEM, "TLS");
    do
        result = SSL_accept(tls);
    while (once_more(&peer, result));
    if (result != 1)
        return fail_openssl("take a connection");
    TRY(request_read(&peer, &request, &body));
    (void) pthread_mutex_lock(&server->provider->lock);
    const struct mg_status made = answer_make(server->provider, mg_buffer_text(&request), body, &answer);
    (void) pthread_mutex_unlock(&server->provider->lock);
    TRY(made);
    do
        result = SSL_write(tls, answer.bytes, (int) answer.length);
    while (once_more(&peer, result));
    if (result <= 0)
        return fail_openssl("answer");
    (void) SSL_shutdown(tls);
    return OK;
}

/* So that whoever closes the provider can end it; -1 when it is over, before it is closed. */
static void
connection_is(struct mg_probe_server *server, int fd)
{
    (void) pthread_mutex_lock(&server->lock);
    server->connection = fd;
    (void) pthread_mutex_unlock(&server->lock);
}

static CHECKED struct mg_status
serve_next(struct mg_probe_server *server)
{
    OWN_FD fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return OK;
    connection_is(server, fd);
    /* Closing says that it ends and then looks for the connection: one of the two is seen. */
    const struct mg_status status = atomic_load(&server->ends) ? OK : serve(server, fd);
    connection_is(server, -1);
    return status;
}

static void *
serve_all(void *argument)
{
    struct mg_probe_server *server = argument;
    while (!atomic_load(&server->ends)) {
        struct pollfd waiting = {.fd = server->listener, .events = POLLIN};
        if (poll(&waiting, 1, POLL_MS) <= 0)
            continue;
        const struct mg_status status = serve_next(server);
        if (!mg_ok(status)) /* the probe sees what came of it */
            mg_log_status(MG_DEBUG, "the probes' identity provider", status);
        ERR_clear_error();
    }
    return NULL;
}

/* ---- opening and closing ---- */

static CHECKED struct mg_status
tls_make(struct mg_probe_server *server)
{
    const struct mg_view certificate = server->provider->certificate;
    server->tls = SSL_CTX_new(TLS_server_method());
    if (server->tls == NULL || SSL_CTX_set_min_proto_version(server->tls, TLS1_2_VERSION) != 1 ||
        SSL_CTX_use_certificate_ASN1(server->tls, (int) certificate.length, certificate.bytes) != 1 ||
        SSL_CTX_use_PrivateKey(server->tls, mg_signing_key_openssl(server->provider->key)) != 1)
        return fail_openssl("prepare TLS");
    /* Records that carry nothing are not waited through inside OpenSSL, which knows no end. */
    (void) SSL_CTX_clear_mode(server->tls, SSL_MODE_AUTO_RETRY);
    return OK;
}

static CHECKED struct mg_status
listener_make(struct mg_probe_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    if (inet_pton(AF_INET, MG_DRILL_PROVIDER_ADDRESS, &address.sin_addr) != 1)
        return fail(INVALID);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listener < 0 || bind(server->listener, (struct sockaddr *) &address, sizeof address) != 0 ||
        listen(server->listener, BACKLOG) != 0 ||
        getsockname(server->listener, (struct sockaddr *) &address, &length) != 0)
        return fail_errno("listen on %s", MG_DRILL_PROVIDER_ADDRESS);
    server->provider->port = ntohs(address.sin_port);
    return OK;
}

static CHECKED struct mg_status
authority_tell(const struct mg_probe_provider *provider)
{
    OWN_BUFFER(storage, 1024);
    struct mg_reply_drill_provider reply;
    const struct mg_request_drill_provider request = {.certificate = provider->certificate};
    return mg_call_drill_provider(&request, &reply, &storage, CALL_MS);
}

struct mg_status
mg_prober_provider_open(struct mg_observer *observer, struct mg_probe_provider *provider)
{
    (void) observer;
    struct mg_probe_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return fail(OUT_OF_MEMORY);
    server->provider = provider;
    server->listener = server->connection = -1;
    (void) pthread_mutex_init(&server->lock, NULL);
    provider->server = server; /* closed by whoever opens, also when this fails */
    TRY(tls_make(server));
    TRY(listener_make(server));
    if (pthread_create(&server->thread, NULL, serve_all, server) != 0)
        return fail_with(SYSTEM, "no thread");
    server->runs = true;
    return authority_tell(provider);
}

void
mg_prober_provider_close(struct mg_probe_provider *provider)
{
    struct mg_probe_server *server = TAKE(provider->server);
    if (server == NULL)
        return;
    atomic_store(&server->ends, true);
    (void) pthread_mutex_lock(&server->lock);
    if (server->connection >= 0)
        (void) shutdown(server->connection, SHUT_RDWR);
    (void) pthread_mutex_unlock(&server->lock);
    if (server->runs)
        (void) pthread_join(server->thread, NULL);
    if (server->listener >= 0)
        (void) close(server->listener);
    SSL_CTX_free(server->tls);
    (void) pthread_mutex_destroy(&server->lock);
    free(server);
}
