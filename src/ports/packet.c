#include "ports/packet.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

struct mg_status
mg_packet_pair(int sockets[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
        return fail_errno("socketpair");
    /* Room for a few packets of the largest size; the kernel caps this at wmem_max. */
    const int room = 4 * MG_PACKET_MOST;
    for (int i = 0; i < 2; i++)
        (void) setsockopt(sockets[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    return OK;
}

static void
put_u32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t) (value >> (8 * i));
}

struct mg_status
mg_packet_begin(struct mg_buffer *buffer, enum mg_kind kind, uint64_t call_id)
{
    uint8_t header[8] = {0};
    put_u32(header, (uint32_t) kind);
    mg_buffer_clear(buffer);
    TRY(mg_buffer_add(buffer, mg_view_of(header, sizeof header)));
    return mg_put_u64(buffer, call_id);
}

static CHECKED struct mg_status
header_read(struct mg_view bytes, struct mg_packet *ret_packet)
{
    if (bytes.length < MG_PACKET_HEADER)
        return fail_with(MALFORMED, "packet of %zu bytes", bytes.length);
    struct mg_reader reader = mg_reader_of(bytes);
    uint64_t kind, call_id;
    TRY(mg_get_u64(&reader, &kind)); /* the upper half is the reserved zero */
    TRY(mg_get_u64(&reader, &call_id));
    const struct mg_message_row *row = kind < MG_KIND_COUNT ? mg_message_row((enum mg_kind) kind) : NULL;
    if (row == NULL)
        return fail_with(MALFORMED, "no message has number %llu", (unsigned long long) kind);
    if (bytes.length > row->maximum + MG_PACKET_HEADER)
        return fail_with(MALFORMED, "%s of %zu bytes, at most %zu", row->name, bytes.length, row->maximum);
    *ret_packet = (struct mg_packet){
        .kind = (enum mg_kind) kind,
        .call_id = call_id,
        .fields = mg_view_of(bytes.bytes + MG_PACKET_HEADER, bytes.length - MG_PACKET_HEADER),
        .fd = -1,
    };
    return OK;
}

struct mg_status
mg_packet_send(int socket, const struct mg_buffer *buffer, int fd, int timeout_ms)
{
    struct mg_packet checked;
    const struct mg_status fits = header_read(mg_buffer_view(buffer), &checked);
    if (!mg_ok(fits))
        return fail_with(TOO_LARGE, "packet does not fit its row");
    struct iovec part = {.iov_base = buffer->bytes, .iov_len = buffer->length};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    for (;;) {
        if (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return OK;
        if (errno == EINTR)
            continue;
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN || errno == EBADF)
            return fail_with(UNAVAILABLE, "peer is gone");
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
            return fail_errno("sendmsg");
        struct pollfd wait = {.fd = socket, .events = POLLOUT};
        const int ready = poll(&wait, 1, timeout_ms);
        if (ready == 0)
            return fail_with(TIMEOUT, "peer does not read");
        if (ready < 0 && errno != EINTR)
            return fail_errno("poll");
    }
}

struct mg_status
mg_packet_receive(int socket, uint8_t *storage, size_t size, struct mg_packet *ret_packet)
{
    struct iovec part = {.iov_base = storage, .iov_len = size};
    union {
        char bytes[CMSG_SPACE(sizeof(int) * 4)];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t got;
    do
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return fail_with(TIMEOUT, "nothing to read");
    if (got < 0 && (errno == ECONNRESET || errno == EPIPE))
        return fail_with(UNAVAILABLE, "peer is gone");
    if (got < 0)
        return fail_errno("recvmsg");
    int received[4];
    size_t received_count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
         header = CMSG_NXTHDR(&message, header))
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
            received_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            if (received_count > MG_COUNT(received))
                received_count = MG_COUNT(received);
            memcpy(received, CMSG_DATA(header), received_count * sizeof(int));
        }
    struct mg_status status = OK;
    struct mg_packet packet = {.fd = -1};
    if (got == 0)
        status = fail_with(UNAVAILABLE, "peer is gone");
    else if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        status = fail_with(MALFORMED, "packet is cut");
    else
        status = header_read(mg_view_of(storage, (size_t) got), &packet);
    if (mg_ok(status) && received_count > 1)
        status = fail_with(MALFORMED, "more than one descriptor");
    if (mg_ok(status) && received_count == 1)
        packet.fd = received[0];
    else
        for (size_t i = 0; i < received_count; i++)
            (void) close(received[i]);
    TRY(status);
    *ret_packet = packet;
    return OK;
}
