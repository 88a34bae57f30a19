#include "process/runtime/runtime.h"

#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"
#include "ports/packet.h"
#include "process/runtime/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define QUEUE_MOST 4096
#define ADMIN_CONNECTIONS_MOST 32
#define PACKETS_PER_WAKE 64 /* so that one busy peer cannot starve the others */
#define CHANNEL_FD 3        /* the warden's end, given at exec */

struct runtime_state mg_runtime;

static struct {
    const struct mg_process_description *description;
    struct mg_environment environment;
    struct mg_options *options;
    char directory[MG_PATH], runtime_directory[MG_PATH];
    int epoll_fd, stop_fd, listener_fd;
    uid_t admin_owner;
    unsigned admin_count;
    struct mg_call *queue_head, *queue_tail;
    size_t queue_length;
    pthread_cond_t queue_changed;
    bool serving; /* start() has returned */
    bool configured;
    uint8_t packet[MG_PACKET_MOST + MG_PACKET_HEADER];
} self = {.epoll_fd = -1, .stop_fd = -1, .listener_fd = -1};

static atomic_bool stopping;
static atomic_bool stop_asked; /* by SIGTERM: an orderly end */

const struct mg_environment *
mg_environment(void)
{
    return &self.environment;
}

bool
mg_stopping(void)
{
    return atomic_load(&stopping);
}

static void
on_terminate(int number)
{
    (void) number;
    atomic_store(&stop_asked, true);
    atomic_store(&stopping, true);
    const uint64_t one = 1;
    (void) !write(self.stop_fd, &one, sizeof one);
}

/* ---- connections ---- */

static CHECKED struct mg_status
connection_add(int fd, enum mg_process process, uid_t uid)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        (void) close(fd);
        return fail(OUT_OF_MEMORY);
    }
    *connection = (struct connection){.fd = fd, .process = process, .references = 1, .uid = uid};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        (void) close(fd);
        free(connection);
        return fail_errno("watch a peer");
    }
    (void) pthread_mutex_lock(&mg_runtime.lock);
    if (process != MG_CLI) {
        struct connection *old = mg_runtime.peers[process];
        if (old != NULL)
            (void) shutdown(old->fd, SHUT_RDWR); /* its end of file is seen and cleaned up by the loop */
        mg_runtime.peers[process] = connection;
        (void) pthread_cond_broadcast(&mg_runtime.changed);
    }
    (void) pthread_mutex_unlock(&mg_runtime.lock);
    return OK;
}

void
mg_connection_release(struct connection *connection)
{
    (void) pthread_mutex_lock(&mg_runtime.lock);
    const bool last = --connection->references == 0;
    (void) pthread_mutex_unlock(&mg_runtime.lock);
    if (last) {
        (void) close(connection->fd);
        free(connection);
    }
}

/* Only the reading thread closes; the descriptor lives until the last answer is sent. */
static void
connection_close(struct connection *connection)
{
    (void) epoll_ctl(self.epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
    (void) shutdown(connection->fd, SHUT_RDWR);
    (void) pthread_mutex_lock(&mg_runtime.lock);
    if (mg_runtime.peers[connection->process] == connection)
        mg_runtime.peers[connection->process] = NULL;
    for (struct pending *pending = mg_runtime.pending; pending != NULL; pending = pending->next)
        if (pending->connection == connection && !pending->done) {
            pending->done = true;
            pending->lost = true;
            (void) pthread_cond_broadcast(&mg_runtime.answered[pending->id % MG_ANSWER_CONDITIONS]);
        }
    (void) pthread_mutex_unlock(&mg_runtime.lock);
    if (connection->process == MG_CLI)
        self.admin_count--;
    if (connection->process == MG_WARDEN)
        atomic_store(&stopping, true); /* without its warden a process has nothing to do */
    mg_connection_release(connection);
}

/* To the warden, which replaces the process. */
static void
peer_report(enum mg_process peer)
{
    OWN_BUFFER(packet, 256);
    const struct mg_request_peer_poisoned report = {.peer = (uint64_t) peer};
    (void) pthread_mutex_lock(&mg_runtime.lock);
    struct connection *warden = mg_runtime.peers[MG_WARDEN];
    if (warden != NULL)
        warden->references++;
    (void) pthread_mutex_unlock(&mg_runtime.lock);
    if (warden == NULL)
        return;
    struct mg_status sent = mg_packet_begin(&packet, MG_REQUEST_peer_poisoned, 0);
    if (mg_ok(sent))
        sent = mg_encode_request_peer_poisoned(&report, &packet);
    if (mg_ok(sent))
        sent = mg_packet_send(warden->fd, &packet, -1, 100);
    if (!mg_ok(sent))
        mg_log_status(MG_WARNING, "report to the warden", sent);
    mg_connection_release(warden);
}

void
mg_connection_accuse(const struct connection *connection, const char *what, struct mg_status status)
{
    mg_log(MG_ERROR, "%s, %s: %s; closing the connection and reporting it",
           mg_process_name(connection->process), what, status.detail);
    if (connection->process != MG_CLI && connection->process != MG_WARDEN)
        peer_report(connection->process);
    (void) shutdown(connection->fd, SHUT_RDWR);
}

/* A message that breaks its row ends its sender: the connection here, the process by the warden. */
static void
connection_poisoned(struct connection *connection, const char *what, struct mg_status status)
{
    mg_connection_accuse(connection, what, status);
    connection_close(connection);
}

/* ---- the queue of requests ---- */

void
mg_call_free(struct mg_call *call)
{
    mg_connection_release(call->connection);
    mg_wipe(call->fields, call->length);
    free(call);
}

static void
queue_put(struct mg_call *call)
{
    (void) pthread_mutex_lock(&mg_runtime.lock);
    const size_t most = self.description->queue_most != 0 ? self.description->queue_most : QUEUE_MOST;
    const bool full = self.queue_length >= most;
    if (!full) {
        if (self.queue_tail != NULL)
            self.queue_tail->next = call;
        else
            self.queue_head = call;
        self.queue_tail = call;
        self.queue_length++;
    }
    (void) pthread_mutex_unlock(&mg_runtime.lock);
    if (!full)
        (void) pthread_cond_signal(&self.queue_changed);
    else {
        mg_call_answer_failed(call, fail_with(BUSY, "%s has %zu requests waiting",
                                              mg_process_name(self.description->process), most));
        mg_call_free(call);
    }
}

struct mg_status
mg_call_malformed(struct mg_call *call, struct mg_status status)
{
    call->malformed = true;
    return status;
}

/* After the answer, so that an operator's program reads what was wrong. */
static void
malformed_accuse(const struct mg_call *call, struct mg_status status)
{
    if (call->malformed)
        mg_connection_accuse(call->connection, mg_message_row(call->kind)->name, status);
}

static const struct mg_handler_row *
handler_of(enum mg_kind kind)
{
    for (size_t i = 0; i < self.description->handler_count; i++)
        if (self.description->handlers[i].kind == kind)
            return &self.description->handlers[i];
    return NULL;
}

static void
call_run(struct mg_call *call)
{
    const struct mg_handler_row *row = handler_of(call->kind);
    mg_must(row != NULL); /* request_take looked it up before queueing */
    mg_call_kept_here = false;
    const struct mg_status status = row->handle(mg_view_of(call->fields, call->length), call);
    if (mg_call_kept_here) {
        mg_must(mg_ok(status)); /* whoever kept it owns it, and may have answered and freed it already */
        return;
    }
    if (!mg_ok(status)) {
        if (status.code == MG_MALFORMED && !call->answered && !call->malformed)
            mg_log_status(MG_WARNING, mg_message_row(call->kind)->name, status);
        mg_call_answer_failed(call, status);
        malformed_accuse(call, status);
    }
    mg_must(call->answered);
    mg_call_free(call);
}

static void *
handler_thread(void *unused)
{
    for (;;) {
        (void) pthread_mutex_lock(&mg_runtime.lock);
        while (!self.serving || self.queue_head == NULL)
            (void) pthread_cond_wait(&self.queue_changed, &mg_runtime.lock);
        struct mg_call *call = self.queue_head;
        self.queue_head = call->next;
        if (self.queue_head == NULL)
            self.queue_tail = NULL;
        self.queue_length--;
        (void) pthread_mutex_unlock(&mg_runtime.lock);
        call_run(call);
    }
    return unused;
}

static void *
start_thread(void *unused)
{
    const struct mg_process_description *description = self.description;
    if (description->start != NULL) {
        const struct mg_status status = description->start(&self.environment);
        if (!mg_ok(status)) {
            mg_log_status(MG_ERROR, "start", status);
            _exit(mg_error_row(status.code)->exit_code);
        }
    }
    (void) pthread_mutex_lock(&mg_runtime.lock);
    self.serving = true;
    (void) pthread_cond_broadcast(&self.queue_changed);
    (void) pthread_mutex_unlock(&mg_runtime.lock);
    mg_log(MG_INFO, "ready");
    while (description->tick != NULL && !mg_stopping()) {
        description->tick(mg_now());
        (void) usleep(1000000);
    }
    return unused;
}

static CHECKED struct mg_status
threads_start(void)
{
    mg_must(self.description->threads >= 1 && self.description->threads <= 64);
    for (unsigned i = 0; i <= self.description->threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, i == 0 ? start_thread : handler_thread, NULL) != 0)
            return fail_with(SYSTEM, "cannot start a thread");
        (void) pthread_detach(thread);
    }
    return OK;
}

/* ---- what arrives ---- */

static CHECKED struct mg_status
options_take(struct mg_list list)
{
    TRY(mg_options_new(&self.options));
    struct mg_record_option_value value;
    bool more;
    for (;;) {
        TRY(mg_list_next_option_value(&list, &value, &more));
        if (!more)
            return OK;
        const struct mg_option_row *row = mg_option_find(value.keyword);
        if (row == NULL)
            return fail_with(MALFORMED, "no such option");
        TRY(mg_option_set(self.options, row, value.value));
    }
}

MG_HANDLER(configure)
{
    if (self.configured)
        return fail_with(REFUSED, "configured already");
    self.configured = true;
    TRY(mg_view_copy(request->directory, self.directory, sizeof self.directory));
    TRY(mg_view_copy(request->runtime_directory, self.runtime_directory, sizeof self.runtime_directory));
    TRY(options_take(request->options));
    if (self.options->log_level != NULL)
        mg_log_open(mg_process_name(self.description->process), mg_level_of(self.options->log_level));
    self.environment = (struct mg_environment){
        .directory = self.directory, .runtime_directory = self.runtime_directory, .options = self.options};
    if (self.description->prepare != NULL)
        TRY(self.description->prepare(&self.environment));
    struct mg_reply_configure reply = {0};
    TRY(mg_runtime_seal(self.description->process, &self.environment, &reply));
    TRY(mg_answer_configure(call, &reply));
    return threads_start();
}

MG_HANDLER(ping)
{
    (void) request;
    return mg_answer_ping(call, &(struct mg_reply_ping){0});
}

static const struct mg_handler_row own_rows[] = {MG_HANDLE(configure), MG_HANDLE(ping)};

static void
own_run(const struct mg_handler_row *row, struct mg_call *call)
{
    const struct mg_status status = row->handle(mg_view_of(call->fields, call->length), call);
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, mg_message_row(call->kind)->name, status);
        mg_call_answer_failed(call, status);
        malformed_accuse(call, status);
        if (call->kind == MG_REQUEST_configure)
            _exit(mg_error_row(status.code)->exit_code);
    }
    mg_call_free(call);
}

static CHECKED struct mg_status
peer_take(const struct mg_packet *packet)
{
    struct mg_request_peer_attach request;
    const struct mg_status status = mg_decode_request_peer_attach(packet->fields, &request);
    if (!mg_ok(status) || packet->fd < 0 || request.peer >= MG_PROCESS_COUNT) {
        if (packet->fd >= 0)
            (void) close(packet->fd);
        return fail_with(MALFORMED, "peer_attach");
    }
    return connection_add(packet->fd, (enum mg_process) request.peer, (uid_t) -1);
}

static CHECKED struct mg_status
request_take(struct connection *connection, const struct mg_packet *packet, const struct mg_message_row *row)
{
    const bool to_us = row->receiver == MG_ANY || row->receiver == self.description->process;
    if (!to_us || (row->senders & (1U << connection->process)) == 0)
        return fail_with(MALFORMED, "%s is not for us from there", row->name);
    const struct mg_handler_row *own = NULL;
    for (size_t i = 0; i < MG_COUNT(own_rows); i++)
        if (own_rows[i].kind == packet->kind)
            own = &own_rows[i];
    const struct mg_handler_row *handler = handler_of(packet->kind);
    if (own == NULL && handler == NULL)
        return fail_with(MALFORMED, "%s has no handler here", row->name);
    struct mg_call *call = calloc(1, sizeof *call + packet->fields.length);
    if (call == NULL)
        return fail(OUT_OF_MEMORY);
    call->connection = connection;
    call->kind = packet->kind;
    call->id = packet->call_id;
    call->length = packet->fields.length;
    memcpy(call->fields, packet->fields.bytes, packet->fields.length);
    (void) pthread_mutex_lock(&mg_runtime.lock);
    connection->references++;
    const bool serving = self.serving;
    (void) pthread_mutex_unlock(&mg_runtime.lock);
    if (own != NULL)
        own_run(own, call);
    else if (serving && handler != NULL && handler->quick)
        call_run(call);
    else
        queue_put(call);
    return OK;
}

static CHECKED struct mg_status
reply_take(const struct connection *connection, const struct mg_packet *packet)
{
    struct mg_status status = OK;
    bool answered = false;
    (void) pthread_mutex_lock(&mg_runtime.lock);
    struct pending *pending = mg_runtime.pending;
    while (pending != NULL && (pending->id != packet->call_id || pending->connection != connection))
        pending = pending->next;
    /* A late answer to a call that timed out has nobody waiting: dropped. */
    if (pending != NULL && !pending->done) {
        if (packet->kind != pending->expected && packet->kind != MG_REPLY_failed)
            status = fail_with(MALFORMED, "an answer of the wrong kind");
        else {
            mg_buffer_clear(pending->storage);
            pending->failure = mg_buffer_add(pending->storage, packet->fields).code;
            pending->kind = packet->kind;
            pending->done = answered = true;
        }
    }
    (void) pthread_mutex_unlock(&mg_runtime.lock);
    if (answered)
        (void) pthread_cond_broadcast(&mg_runtime.answered[packet->call_id % MG_ANSWER_CONDITIONS]);
    return status;
}

/* False when the connection was closed. */
static bool
connection_read(struct connection *connection)
{
    for (int i = 0; i < PACKETS_PER_WAKE; i++) {
        struct mg_packet packet;
        struct mg_status status = mg_packet_receive(connection->fd, self.packet, sizeof self.packet, &packet);
        if (status.code == MG_TIMEOUT)
            return true;
        if (status.code == MG_UNAVAILABLE) {
            connection_close(connection);
            return false;
        }
        const char *what = "a packet";
        if (mg_ok(status)) {
            const struct mg_message_row *row = mg_message_row(packet.kind);
            what = row->name;
            if (packet.kind == MG_REQUEST_peer_attach && connection->process == MG_WARDEN)
                status = peer_take(&packet);
            else {
                if (packet.fd >= 0)
                    (void) close(packet.fd);
                status = row->senders != 0 ? request_take(connection, &packet, row)
                                           : reply_take(connection, &packet);
            }
            mg_wipe(self.packet, packet.fields.length + MG_PACKET_HEADER);
        }
        if (!mg_ok(status)) {
            connection_poisoned(connection, what, status);
            return false;
        }
    }
    return true;
}

/* ---- the operator's socket ---- */

struct mg_status
mg_listen_admin(const char *path, uid_t owner)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    TRY(mg_view_copy(mg_view_text(path), address.sun_path, sizeof address.sun_path));
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_errno("socket");
    (void) unlink(path);
    /* Who may act is decided by SO_PEERCRED; the mode keeps strangers from filling the log with attempts. */
    if (bind(fd, (const struct sockaddr *) &address, sizeof address) != 0 || chmod(path, 0600) != 0 ||
        listen(fd, 16) != 0) {
        const struct mg_status status = fail_errno("listen on %s", path);
        (void) close(fd);
        return status;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &self.listener_fd};
    if (epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        (void) close(fd);
        return fail_errno("watch %s", path);
    }
    self.listener_fd = fd;
    self.admin_owner = owner;
    return OK;
}

static void
admin_accept(void)
{
    const int fd = accept4(self.listener_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct ucred caller = {.uid = (uid_t) -1};
    socklen_t length = sizeof caller;
    const bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &caller, &length) == 0 &&
                       (caller.uid == 0 || caller.uid == getuid() || caller.uid == self.admin_owner);
    if (!known || self.admin_count >= ADMIN_CONNECTIONS_MOST) {
        mg_log(MG_WARNING, "admin socket: uid %u refused: %s", (unsigned) caller.uid,
               known ? "too many connections" : "not an operator");
        (void) close(fd);
        return;
    }
    const struct mg_status status = connection_add(fd, MG_CLI, caller.uid);
    if (mg_ok(status))
        self.admin_count++;
    else
        mg_log_status(MG_WARNING, "admin socket", status);
}

/* ---- the loop ---- */

static CHECKED struct mg_status
loop_prepare(void)
{
    (void) pthread_mutex_init(&mg_runtime.lock, NULL);
    (void) pthread_cond_init(&self.queue_changed, NULL);
    pthread_condattr_t attributes;
    (void) pthread_condattr_init(&attributes);
    (void) pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&mg_runtime.changed, &attributes);
    for (size_t i = 0; i < MG_ANSWER_CONDITIONS; i++)
        (void) pthread_cond_init(&mg_runtime.answered[i], &attributes);
    self.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    self.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self.epoll_fd < 0 || self.stop_fd < 0)
        return fail_errno("epoll");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &self.stop_fd};
    if (epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, self.stop_fd, &event) != 0)
        return fail_errno("epoll_ctl");
    struct sigaction action = {.sa_handler = on_terminate};
    if (sigaction(SIGTERM, &action, NULL) != 0)
        return fail_errno("sigaction");
    action.sa_handler = SIG_IGN;
    if (sigaction(SIGPIPE, &action, NULL) != 0 || sigaction(SIGINT, &action, NULL) != 0)
        return fail_errno("sigaction");
    if (fcntl(CHANNEL_FD, F_SETFD, FD_CLOEXEC) != 0)
        return fail_with(USAGE, "this program is started by `masugata up`, not by hand");
    return connection_add(CHANNEL_FD, MG_WARDEN, (uid_t) -1);
}

static void
loop_run(void)
{
    while (!mg_stopping()) {
        struct epoll_event events[16];
        const int count = epoll_wait(self.epoll_fd, events, (int) MG_COUNT(events), 1000);
        for (int i = 0; i < count && !mg_stopping(); i++) {
            if (events[i].data.ptr == &self.stop_fd)
                continue;
            if (events[i].data.ptr == &self.listener_fd)
                admin_accept();
            else
                (void) connection_read(events[i].data.ptr);
        }
    }
}

int
mg_process_main(int argc, char **argv, const struct mg_process_description *description)
{
    (void) argc;
    (void) argv;
    mg_log_open(mg_process_name(description->process), MG_INFO);
    mg_reading_here = true;
    self.description = description;
    const struct mg_status status = loop_prepare();
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, "start", status);
        return mg_error_row(status.code)->exit_code;
    }
    loop_run();
    if (atomic_load(&stop_asked) && description->stop != NULL)
        description->stop(&self.environment);
    mg_log(MG_INFO, "stopped");
    return 0;
}
