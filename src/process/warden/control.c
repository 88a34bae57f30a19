#include "base/io.h"
#include "base/log.h"
#include "ports/packet.h"
#include "process/warden/warden.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* One request a connection, answered at once: status and stop need no more. */
static int listener = -1;
static const char listener_token;

struct mg_status
control_open(struct warden *warden)
{
    char path[MG_PATH];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    TRY(mg_path_join(path, warden->deployment.run, "warden.sock"));
    TRY(mg_view_copy(mg_view_text(path), address.sun_path, sizeof address.sun_path));
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void) unlink(path);
    if (listener < 0 || bind(listener, (const struct sockaddr *) &address, sizeof address) != 0 ||
        chmod(path, 0600) != 0 || listen(listener, 8) != 0)
        return fail_errno("listen on %s", path);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = (void *) (uintptr_t) &listener_token};
    if (epoll_ctl(warden->epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0)
        return fail_errno("epoll_ctl");
    return OK;
}

struct mg_status
warden_status_reply(const struct warden *warden, uint64_t call_id, struct mg_buffer *packet)
{
    OWN_BUFFER(list, 61440);
    TRY(children_describe(&list));
    const struct mg_reply_warden_status reply = {.started_at = warden->started_at,
                                                 .single_uid = warden->single_uid ? 1 : 0,
                                                 .processes = {.bytes = mg_buffer_view(&list)}};
    TRY(mg_packet_begin(packet, MG_REPLY_warden_status, call_id));
    return mg_encode_reply_warden_status(&reply, packet);
}

static CHECKED struct mg_status
status_answer(const struct warden *warden, int fd, uint64_t call_id)
{
    OWN_BUFFER(packet, MG_PACKET_MOST);
    TRY(warden_status_reply(warden, call_id, &packet));
    return mg_packet_send(fd, &packet, -1, 100);
}

static CHECKED struct mg_status
request_serve(struct warden *warden, int fd, uid_t uid)
{
    char operator_id[24];
    static uint8_t storage[4096];
    struct mg_packet packet;
    /* A silent caller must not hold the warden, and one on a busy machine is not silent. */
    const struct timeval patience = {.tv_sec = 1};
    (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    TRY(mg_packet_receive(fd, storage, sizeof storage, &packet));
    if (packet.fd >= 0)
        (void) close(packet.fd);
    if (packet.kind == MG_REQUEST_warden_status)
        return status_answer(warden, fd, packet.call_id);
    if (packet.kind != MG_REQUEST_warden_stop)
        return fail_with(MALFORMED, "not for the warden");
    (void) snprintf(operator_id, sizeof operator_id, "uid:%u", (unsigned) uid);
    children_record(&(struct warden_record){
        .event = MG_EVENT_command, .operator_id = operator_id, .target = "down", .reason = ""});
    warden->stop_asked = true;
    OWN_BUFFER(answer, 256);
    TRY(mg_packet_begin(&answer, MG_REPLY_warden_stop, packet.call_id));
    return mg_packet_send(fd, &answer, -1, 100);
}

bool
control_event(struct warden *warden, const void *token)
{
    if (token != &listener_token)
        return false;
    OWN_FD fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    struct ucred caller = {.uid = (uid_t) -1};
    socklen_t length = sizeof caller;
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &caller, &length) != 0 ||
        (caller.uid != 0 && caller.uid != geteuid()))
        return true;
    const struct mg_status status = request_serve(warden, fd, caller.uid);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "control socket", status);
    return true;
}
