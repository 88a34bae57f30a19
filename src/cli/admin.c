#include "base/io.h"
#include "cli/cli.h"
#include "ports/packet.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_SECONDS 60

struct mg_status
mg_admin_open(const struct mg_cli *cli, struct mg_admin **ret_admin)
{
    OWN(options) options = NULL;
    OWN(admin) admin = calloc(1, sizeof *admin);
    if (admin == NULL)
        return fail(OUT_OF_MEMORY);
    admin->authority_fd = admin->warden_fd = admin->prober_fd = -1;
    TRY(mg_cli_deployment(cli, &options, &admin->deployment));
    *ret_admin = TAKE(admin);
    return OK;
}

void
mg_admin_drop(struct mg_admin **admin)
{
    if (*admin == NULL)
        return;
    mg_fd_drop(&(*admin)->authority_fd);
    mg_fd_drop(&(*admin)->warden_fd);
    mg_fd_drop(&(*admin)->prober_fd);
    free(*admin);
    *admin = NULL;
}

static CHECKED struct mg_status
socket_connect(const char *run, const char *name, int *fd)
{
    char path[MG_PATH];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    TRY(mg_path_join(path, run, name));
    TRY(mg_view_copy(mg_view_text(path), address.sun_path, sizeof address.sun_path));
    OWN_FD made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
    if (made < 0 || setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        return fail_errno("socket");
    if (connect(made, (const struct sockaddr *) &address, sizeof address) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return fail_with(NOT_RUNNING, "nobody listens on %s", path);
        if (errno == EACCES)
            return fail_with(REFUSED, "this user is not an operator here (%s)", path);
        return fail_errno("connect to %s", path);
    }
    *fd = made;
    made = -1;
    return OK;
}

static CHECKED struct mg_status
answer_take(const struct mg_packet *answer, enum mg_kind expected, struct mg_buffer *storage)
{
    mg_buffer_clear(storage);
    TRY(mg_buffer_add(storage, answer->fields));
    if (answer->kind == expected)
        return OK;
    struct mg_reply_failed failed;
    if (answer->kind != MG_REPLY_failed || !mg_ok(mg_decode_reply_failed(answer->fields, &failed)))
        return fail_with(MALFORMED, "an answer of the wrong kind");
    const bool known = failed.code > 0 && failed.code < MG_CODE_COUNT;
    return mg_fail_with(known ? (enum mg_code) failed.code : MG_SYSTEM, MG_HERE, "%.*s",
                        (int) failed.detail.length, (const char *) failed.detail.bytes);
}

static CHECKED struct mg_status
exchange(struct mg_admin *admin, enum mg_process receiver, const struct mg_buffer *packet,
         enum mg_kind expected, struct mg_buffer *storage)
{
    const char *name = "admin/admin.sock";
    int *fd = &admin->authority_fd;
    if (receiver == MG_WARDEN) {
        name = "warden.sock";
        fd = &admin->warden_fd;
    } else if (receiver == MG_PROBER) {
        name = "proof/prove.sock";
        fd = &admin->prober_fd;
    }
    if (*fd < 0)
        TRY(socket_connect(admin->deployment.run, name, fd));
    TRY(mg_packet_send(*fd, packet, -1, 5000));
    const size_t size = MG_PACKET_MOST + MG_PACKET_HEADER;
    OWN_BUFFER(raw, size);
    TRY(mg_buffer_reserve(&raw, size));
    struct mg_packet answer;
    const struct mg_status status = mg_packet_receive(*fd, raw.bytes, size, &answer);
    if (receiver == MG_WARDEN || !mg_ok(status))
        mg_fd_drop(fd); /* the warden serves one request a connection */
    if (status.code == MG_UNAVAILABLE)
        return fail_with(REFUSED,
                         "the process closed the connection: this user is not an operator here, or it is "
                         "being restarted");
    if (status.code == MG_TIMEOUT)
        return fail_with(TIMEOUT, "no answer in %d s", ANSWER_SECONDS);
    TRY(status);
    if (answer.fd >= 0)
        (void) close(answer.fd);
    return answer_take(&answer, expected, storage);
}

#define RECORD(name, fields)
#define REPLY(name, maximum, fields)
#define MESSAGE(name, senders, receiver, maximum, fields)                                             \
    struct mg_status mg_admin_##name(struct mg_admin *admin, const struct mg_request_##name *request, \
                                     struct mg_reply_##name *ret_reply, struct mg_buffer *storage)    \
    {                                                                                                 \
        OWN_BUFFER(packet, MG_PACKET_HEADER + (maximum));                                             \
        TRY(mg_packet_begin(&packet, MG_REQUEST_##name, 1));                                          \
        TRY(mg_encode_request_##name(request, &packet));                                              \
        TRY(exchange(admin, (enum mg_process) MG_##receiver, &packet, MG_REPLY_##name, storage));     \
        return mg_decode_reply_##name(mg_buffer_view(storage), ret_reply);                            \
    }
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD
