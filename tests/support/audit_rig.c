#include "support/audit_rig.h"

#include "base/io.h"
#include "wire/options.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANNEL_FD 3
#define START_MS 20000

static CHECKED struct mg_status
child_start(const struct mg_rig *rig, const char *name, struct mg_rig_child *child)
{
    char program[MG_PATH], file[MG_PATH], log[MG_PATH];
    int sockets[2];
    (void) snprintf(file, sizeof file, "masugata-%s", name);
    TRY(mg_path_join(program, rig->programs, file));
    (void) snprintf(file, sizeof file, "%s.log", name);
    TRY(mg_path_join(log, rig->directory, file));
    TRY(mg_packet_pair(sockets));
    const pid_t pid = fork();
    if (pid == 0) {
        const int output = open(log, O_WRONLY | O_APPEND | O_CREAT, 0600);
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (output < 0 || dup2(output, 2) < 0 || dup2(sockets[1], CHANNEL_FD) < 0)
            _exit(127);
        (void) execl(program, program, (char *) NULL);
        _exit(127);
    }
    (void) close(sockets[1]);
    if (pid < 0)
        return fail_errno("fork");
    *child = (struct mg_rig_child){.pid = pid, .channel = sockets[0]};
    return OK;
}

void
mg_rig_kill(struct mg_rig_child *child)
{
    if (child->pid == 0)
        return;
    (void) kill(child->pid, SIGKILL);
    (void) waitpid(child->pid, NULL, 0);
    (void) close(child->channel);
    child->pid = 0;
}

static void
child_stop(struct mg_rig_child *child)
{
    if (child->pid == 0)
        return;
    (void) close(child->channel); /* without its warden a process ends */
    (void) waitpid(child->pid, NULL, 0);
    child->pid = 0;
}

void
mg_rig_stop(struct mg_rig *rig)
{
    if (rig->sender >= 0)
        (void) close(rig->sender);
    rig->sender = -1;
    child_stop(&rig->audit);
    child_stop(&rig->keys);
}

static CHECKED struct mg_status
configure(const struct mg_rig *rig, const struct mg_rig_child *child, enum mg_process process)
{
    OWN(options) options = NULL;
    OWN_BUFFER(list, 122880);
    OWN_BUFFER(packet, MG_PACKET_MOST + MG_PACKET_HEADER);
    TRY(mg_options_new(&options));
    TRY(mg_options_preset(options));
    for (size_t i = 0; i < mg_option_count; i++) {
        const struct mg_option_row *row = &mg_option_rows[i];
        if ((row->readers & (1U << process)) == 0)
            continue;
        OWN_BUFFER(value, 4096);
        TRY(mg_option_text(options, row, &value));
        const struct mg_record_option_value record = {.keyword = mg_view_text(row->keyword),
                                                      .value = mg_buffer_view(&value)};
        TRY(mg_list_add_option_value(&list, &record));
    }
    char run[MG_PATH];
    TRY(mg_path_join(run, rig->directory, "run"));
    const struct mg_request_configure request = {.directory = mg_view_text(rig->directory),
                                                 .runtime_directory = mg_view_text(run),
                                                 .options = {.bytes = mg_buffer_view(&list)}};
    TRY(mg_packet_begin(&packet, MG_REQUEST_configure, 1));
    TRY(mg_encode_request_configure(&request, &packet));
    TRY(mg_packet_send(child->channel, &packet, -1, 1000));
    static uint8_t answer[MG_PACKET_MOST];
    struct pollfd ready = {.fd = child->channel, .events = POLLIN};
    if (poll(&ready, 1, START_MS) != 1)
        return fail_with(TIMEOUT, "%s does not start", mg_process_name(process));
    struct mg_packet got;
    TRY(mg_packet_receive(child->channel, answer, sizeof answer, &got));
    if (got.kind != MG_REPLY_configure)
        return fail_with(UNAVAILABLE, "%s does not start", mg_process_name(process));
    return OK;
}

static CHECKED struct mg_status
attach(const struct mg_rig_child *child, enum mg_process peer, int fd)
{
    OWN_BUFFER(packet, 256);
    const struct mg_request_peer_attach request = {.peer = (uint64_t) peer};
    TRY(mg_packet_begin(&packet, MG_REQUEST_peer_attach, 2));
    TRY(mg_encode_request_peer_attach(&request, &packet));
    const struct mg_status status = mg_packet_send(child->channel, &packet, fd, 1000);
    (void) close(fd);
    return status;
}

static CHECKED struct mg_status
wire(struct mg_rig *rig)
{
    int between[2], ours[2];
    TRY(mg_packet_pair(between));
    TRY(attach(&rig->keys, MG_AUDIT, between[0]));
    TRY(attach(&rig->audit, MG_KEYS, between[1]));
    TRY(mg_packet_pair(ours));
    TRY(attach(&rig->audit, MG_AUTHORITY, ours[1]));
    rig->sender = ours[0];
    return OK;
}

struct mg_status
mg_rig_start(struct mg_rig *rig)
{
    char path[MG_PATH];
    static const char *const directories[] = {"keystore", "audit", "run"};
    rig->sender = -1;
    for (size_t i = 0; i < MG_COUNT(directories); i++) {
        TRY(mg_path_join(path, rig->directory, directories[i]));
        TRY(mg_directory_make(path, 0755));
    }
    TRY(child_start(rig, "keys", &rig->keys));
    TRY(configure(rig, &rig->keys, MG_KEYS));
    TRY(child_start(rig, "audit", &rig->audit));
    TRY(configure(rig, &rig->audit, MG_AUDIT));
    return wire(rig);
}

struct mg_status
mg_rig_restart_audit(struct mg_rig *rig)
{
    (void) close(rig->sender);
    rig->sender = -1;
    TRY(child_start(rig, "audit", &rig->audit));
    TRY(configure(rig, &rig->audit, MG_AUDIT));
    return wire(rig);
}

struct mg_status
mg_rig_send_append(struct mg_rig *rig, const struct mg_request_audit_append *request, uint64_t *ret_call)
{
    OWN_BUFFER(packet, 8192 + MG_PACKET_HEADER);
    *ret_call = ++rig->last_call;
    TRY(mg_packet_begin(&packet, MG_REQUEST_audit_append, *ret_call));
    TRY(mg_encode_request_audit_append(request, &packet));
    return mg_packet_send(rig->sender, &packet, -1, 10000);
}

struct mg_status
mg_rig_receive(struct mg_rig *rig, int timeout_ms, uint8_t *packet, size_t size, struct mg_packet *ret_packet)
{
    struct pollfd ready = {.fd = rig->sender, .events = POLLIN};
    if (poll(&ready, 1, timeout_ms) != 1)
        return fail_with(TIMEOUT, "audit does not answer");
    TRY(mg_packet_receive(rig->sender, packet, size, ret_packet));
    if (ret_packet->kind != MG_REPLY_failed)
        return OK;
    struct mg_reply_failed failed;
    TRY(mg_decode_reply_failed(ret_packet->fields, &failed));
    return mg_fail_with((enum mg_code) failed.code, MG_HERE, "%.*s", (int) failed.detail.length,
                        (const char *) failed.detail.bytes);
}

struct mg_status
mg_rig_append(struct mg_rig *rig, const struct mg_request_audit_append *request,
              struct mg_reply_audit_append *ret_reply)
{
    uint8_t bytes[4096];
    struct mg_packet packet;
    uint64_t call;
    TRY(mg_rig_send_append(rig, request, &call));
    TRY(mg_rig_receive(rig, 30000, bytes, sizeof bytes, &packet));
    if (packet.kind != MG_REPLY_audit_append || packet.call_id != call)
        return fail_with(MALFORMED, "an answer to another call");
    return mg_decode_reply_audit_append(packet.fields, ret_reply);
}
