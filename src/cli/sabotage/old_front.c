/* A front of the old days: takes the HTTPS port, answers SSL 3 by hand (no library of today speaks it),
 * and passes everything else on to nginx, which was moved to another port. */
#include "cli/sabotage/sabotage.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SETTLE_US = 50000, IDLE_MS = 30000, HELLO_LEAST = 46, FILE_MOST = 32 << 20, BIND_TRIES = 400 };

/* TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: strong, forward secret; only the version is wrong. */
static const uint8_t suite[2] = {0xc0, 0x14};

static bool
is_ssl3(const uint8_t *hello, size_t length)
{
    return length >= HELLO_LEAST && hello[0] == 22 && hello[9] == 3 && hello[10] == 0 &&
           memmem(hello + 44, length - 44, suite, sizeof suite) != NULL;
}

static void
answer_ssl3(int client)
{
    uint8_t flight[51] = {22, 3, 0, 0, 46, 2, 0, 0, 38, 3, 0};
    memcpy(flight + 44, suite, sizeof suite);
    flight[47] = 14; /* ServerHelloDone */
    (void) send(client, flight, sizeof flight, MSG_NOSIGNAL);
}

/* From the visitor's own loopback address, so that nginx sees who it is. */
static int
connect_on(int client, uint16_t port)
{
    struct sockaddr_in visitor,
        nginx = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof visitor;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || getpeername(client, (struct sockaddr *) &visitor, &size) != 0)
        return fd;
    visitor.sin_port = 0;
    (void) bind(fd, (struct sockaddr *) &visitor, size);
    if (connect(fd, (struct sockaddr *) &nginx, sizeof nginx) == 0)
        return fd;
    (void) close(fd);
    return -1;
}

static bool
pass_on(int from, int to)
{
    uint8_t chunk[16384];
    const ssize_t got = recv(from, chunk, sizeof chunk, 0);
    return got > 0 && send(to, chunk, (size_t) got, MSG_NOSIGNAL) == got;
}

static void
serve_one(int client, uint16_t port)
{
    uint8_t hello[4096];
    const ssize_t peeked = recv(client, hello, sizeof hello, MSG_PEEK);
    if (peeked > 0 && is_ssl3(hello, (size_t) peeked)) {
        answer_ssl3(client);
        return;
    }
    const int server = connect_on(client, port);
    struct pollfd ends[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    while (server >= 0 && poll(ends, 2, IDLE_MS) > 0) {
        if (ends[0].revents != 0 && !pass_on(client, server))
            return;
        if (ends[1].revents != 0 && !pass_on(server, client))
            return;
    }
}

/* One child a connection; ends with the program that started it. */
__attribute__((noreturn)) static void
front_run(int listener, uint16_t port)
{
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) signal(SIGCHLD, SIG_IGN);
    for (;;) {
        const int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0 && errno != EINTR)
            _exit(1);
        if (client >= 0 && fork() == 0) {
            serve_one(client, port);
            _exit(0);
        }
        if (client >= 0)
            (void) close(client);
    }
}

/* nginx's old workers hold the port until they have gone. */
static CHECKED struct mg_status
listen_on(uint16_t port, int *ret_listener)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int yes = 1;
    for (int i = 0; i < BIND_TRIES; i++) {
        OWN_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
            bind(fd, (const struct sockaddr *) &address, sizeof address) == 0 && listen(fd, 128) == 0) {
            *ret_listener = fd;
            fd = -1;
            return OK;
        }
        (void) usleep(SETTLE_US);
    }
    return fail_errno("listen on port %u", (unsigned) port);
}

/* Moves every TLS listener of nginx from one port to another. */
static CHECKED struct mg_status
nginx_move(struct mg_stage *stage, uint16_t from, uint16_t to)
{
    char path[MG_PATH], old[32], moved[32];
    OWN_BUFFER(text, FILE_MOST);
    (void) snprintf(old, sizeof old, ":%u ssl", (unsigned) from);
    (void) snprintf(moved, sizeof moved, ":%u ssl", (unsigned) to);
    TRY(mg_stage_path(stage, "nginx/nginx.conf", path));
    TRY(mg_stage_keep(stage, path));
    const char *at = mg_buffer_text(&stage->saved);
    for (const char *next; (next = strstr(at, old)) != NULL; at = next + strlen(old)) {
        TRY(mg_buffer_add(&text, mg_view_of(at, (size_t) (next - at))));
        TRY(mg_buffer_add_text(&text, moved));
    }
    TRY(mg_buffer_add_text(&text, at));
    TRY(mg_stage_replace(stage, mg_buffer_view(&text)));
    return mg_stage_signal(stage, "nginx", SIGHUP);
}

struct mg_status
break_ssl3_front(struct mg_stage *stage)
{
    const uint16_t https = (uint16_t) stage->options->gate_https_port;
    uint16_t moved = 0;
    OWN_FD listener = -1;
    TRY(mg_stage_free_port(&moved));
    TRY(nginx_move(stage, https, moved));
    TRY(listen_on(https, &listener));
    const pid_t front = fork();
    if (front < 0)
        return fail_errno("fork");
    if (front == 0)
        front_run(listener, moved);
    stage->stopped = front;
    return OK;
}

/* Gone first, so that nginx finds its port free. */
struct mg_status
repair_ssl3_front(struct mg_stage *stage)
{
    if (stage->stopped > 1) {
        if (kill(stage->stopped, SIGKILL) != 0 || waitpid(stage->stopped, NULL, 0) < 0)
            return fail_errno("end the front");
        stage->stopped = 0;
    }
    return mg_stage_nginx_restore(stage);
}
