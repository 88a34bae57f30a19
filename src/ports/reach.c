#include "ports/reach.h"

#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Waits until the socket may be read or written. */
static struct mg_status
socket_wait(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        const int64_t left_ms = deadline_ms - mg_monotonic_ms();
        struct pollfd wait = {.fd = fd, .events = events};
        const int ready = left_ms > 0 ? poll(&wait, 1, (int) left_ms) : 0;
        if (ready > 0)
            return OK;
        if (ready == 0)
            return fail_with(UNAVAILABLE, "no answer in time");
        if (errno != EINTR)
            return fail_errno("poll");
    }
}

static struct mg_status
connect_to(const struct sockaddr *address, socklen_t length, int64_t deadline_ms, int *ret_fd)
{
    int problem = 0;
    socklen_t size = sizeof problem;
    OWN_FD fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_errno("socket");
    if (connect(fd, address, length) != 0 && errno != EINPROGRESS)
        return fail_with(UNAVAILABLE, "connect: %s", strerror(errno));
    TRY(socket_wait(fd, POLLOUT, deadline_ms));
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) != 0 || problem != 0)
        return fail_with(UNAVAILABLE, "connect: %s", strerror(problem));
    *ret_fd = fd;
    fd = -1;
    return OK;
}

static struct mg_status
connect_unix(const char *path, int64_t deadline_ms, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    TRY(mg_view_copy(mg_view_text(path), address.sun_path, sizeof address.sun_path));
    return connect_to((const struct sockaddr *) &address, sizeof address, deadline_ms, ret_fd);
}

static struct mg_status
connect_tcp(const char *upstream, int64_t deadline_ms, int *ret_fd)
{
    char name[256], port[8];
    const char *colon = strrchr(upstream, ':');
    if (colon == NULL)
        return fail_with(INVALID, "upstream %s has no port", upstream);
    struct mg_view host = mg_view_of(upstream, (size_t) (colon - upstream));
    if (host.length >= 2 && host.bytes[0] == '[' && host.bytes[host.length - 1] == ']')
        host = mg_view_of(host.bytes + 1, host.length - 2);
    TRY(mg_view_copy(host, name, sizeof name));
    TRY(mg_view_copy(mg_view_text(colon + 1), port, sizeof port));
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    if (getaddrinfo(name, port, &hints, &found) != 0)
        return fail_with(UNAVAILABLE, "%s is not known", name);
    struct mg_status status = fail_with(UNAVAILABLE, "%s has no address", name);
    for (const struct addrinfo *at = found; at != NULL && !mg_ok(status); at = at->ai_next)
        status = connect_to(at->ai_addr, at->ai_addrlen, deadline_ms, ret_fd);
    freeaddrinfo(found);
    return status;
}

static struct mg_status
request_send(int fd, const char *host, int64_t deadline_ms)
{
    char request[512];
    const int length = snprintf(request, sizeof request,
                                "GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: masugata-watch\r\nAccept: */*\r\n"
                                "Connection: close\r\n\r\n",
                                host);
    if (length <= 0 || length >= (int) sizeof request)
        return fail(TOO_LARGE);
    TRY(socket_wait(fd, POLLOUT, deadline_ms));
    if (send(fd, request, (size_t) length, MSG_NOSIGNAL) != length)
        return fail_with(UNAVAILABLE, "send: %s", strerror(errno));
    return OK;
}

/* "HTTP/1.1 200": twelve bytes are all we want (RFC 9112 section 4). */
static struct mg_status
status_read(int fd, int64_t deadline_ms)
{
    char line[13] = "";
    uint64_t status = 0;
    for (size_t have = 0; have < 12;) {
        TRY(socket_wait(fd, POLLIN, deadline_ms));
        const ssize_t got = recv(fd, line + have, 12 - have, 0);
        if (got == 0)
            return fail_with(UNAVAILABLE, "it closed without an answer");
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return fail_with(UNAVAILABLE, "receive: %s", strerror(errno));
        if (got > 0)
            have += (size_t) got;
    }
    if (strncmp(line, "HTTP/1.", 7) != 0 || !mg_ok(mg_parse_u64(mg_view_text(line + 9), 999, &status)))
        return fail_with(UNAVAILABLE, "it does not speak HTTP");
    if (status == 502 || status == 503 || status == 504)
        return fail_with(UNAVAILABLE, "it answers %u", (unsigned) status);
    return OK;
}

static struct mg_status
upstream_connect(const char *upstream, int64_t deadline_ms, int *ret_fd)
{
    static const char unix_prefix[] = "unix:";
    if (strncmp(upstream, unix_prefix, sizeof unix_prefix - 1) == 0)
        return connect_unix(upstream + sizeof unix_prefix - 1, deadline_ms, ret_fd);
    return connect_tcp(upstream, deadline_ms, ret_fd);
}

struct mg_status
mg_reach_connect(const char *upstream, int timeout_ms)
{
    OWN_FD fd = -1;
    return upstream_connect(upstream, mg_monotonic_ms() + timeout_ms, &fd);
}

struct mg_status
mg_reach_http(const char *upstream, const char *host, int timeout_ms)
{
    const int64_t deadline_ms = mg_monotonic_ms() + timeout_ms;
    OWN_FD fd = -1;
    TRY(upstream_connect(upstream, deadline_ms, &fd));
    TRY(request_send(fd, host, deadline_ms));
    return status_read(fd, deadline_ms);
}
