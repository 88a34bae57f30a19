#include "base/log.h"
#include "base/secret.h"
#include "ports/packet.h"
#include "process/runtime/internal.h"

#include <errno.h>
#include <time.h>

/* Answers wait this long for a peer that does not read; on the reading thread, which all others wait for,
 * hardly at all. */
#define ANSWER_MS 5000
#define ANSWER_READING_MS 100

_Thread_local bool mg_call_kept_here;
_Thread_local bool mg_reading_here;

enum mg_process
mg_call_sender(const struct mg_call *call)
{
    return call->connection->process;
}

uid_t
mg_call_uid(const struct mg_call *call)
{
    return call->connection->uid;
}

struct mg_call *
mg_call_keep(struct mg_call *call)
{
    call->kept = true;
    mg_call_kept_here = true;
    return call;
}

static void
answer_send(struct mg_call *call, const struct mg_buffer *packet)
{
    mg_must(!call->answered);
    call->answered = true;
    const struct mg_status status =
        mg_packet_send(call->connection->fd, packet, -1, mg_reading_here ? ANSWER_READING_MS : ANSWER_MS);
    /* It asks and does not take what it asked for: every further answer would keep a thread as long. */
    if (status.code == MG_TIMEOUT)
        mg_connection_accuse(call->connection, mg_message_row(call->kind)->name, status);
    else if (!mg_ok(status) && status.code != MG_UNAVAILABLE)
        mg_log_status(MG_WARNING, mg_message_row(call->kind)->name, status);
}

void
mg_call_answer_failed(struct mg_call *call, struct mg_status status)
{
    if (call->answered)
        return;
    OWN_BUFFER(packet, 2048);
    struct mg_view detail = mg_view_text(status.detail);
    if (!mg_view_is_utf8(detail))
        detail = MG_VIEW_EMPTY;
    const struct mg_reply_failed reply = {.code = (uint64_t) status.code, .detail = detail};
    if (mg_ok(mg_packet_begin(&packet, MG_REPLY_failed, call->id)) &&
        mg_ok(mg_encode_reply_failed(&reply, &packet)))
        answer_send(call, &packet);
    call->answered = true;
}

void
mg_call_fail(struct mg_call *call, struct mg_status status)
{
    mg_call_answer_failed(call, status);
    mg_call_free(call);
}

#define MESSAGE(name, senders, receiver, maximum, fields)
#define RECORD(name, fields)
#define REPLY(name, maximum, fields)                                                             \
    struct mg_status mg_answer_##name(struct mg_call *call, const struct mg_reply_##name *reply) \
    {                                                                                            \
        OWN_BUFFER(packet, MG_PACKET_HEADER + (maximum));                                        \
        TRY(mg_packet_begin(&packet, MG_REPLY_##name, call->id));                                \
        TRY(mg_encode_reply_##name(reply, &packet));                                             \
        const bool kept = call->kept;                                                            \
        answer_send(call, &packet);                                                              \
        if (kept)                                                                                \
            mg_call_free(call);                                                                  \
        return OK;                                                                               \
    }
#include "../../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD

static struct timespec
deadline_in(int timeout_ms)
{
    struct timespec at;
    mg_must(clock_gettime(CLOCK_MONOTONIC, &at) == 0);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += (long) (timeout_ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* Waits for the peer, registers the call. The lock is held by the caller. */
static CHECKED struct mg_status
call_register(enum mg_process receiver, struct pending *pending, const struct timespec *deadline)
{
    while (mg_runtime.peers[receiver] == NULL)
        if (pthread_cond_timedwait(&mg_runtime.changed, &mg_runtime.lock, deadline) == ETIMEDOUT)
            return fail_with(UNAVAILABLE, "%s does not run", mg_process_name(receiver));
    struct connection *connection = mg_runtime.peers[receiver];
    connection->references++;
    pending->connection = connection;
    pending->id = ++mg_runtime.last_id;
    pending->done = pending->lost = false;
    pending->next = mg_runtime.pending;
    mg_runtime.pending = pending;
    return OK;
}

static void
call_unregister(struct pending *pending)
{
    struct pending **link = &mg_runtime.pending;
    while (*link != pending)
        link = &(*link)->next;
    *link = pending->next;
}

static void
id_write(struct mg_buffer *packet, uint64_t id)
{
    for (unsigned i = 0; i < 8; i++)
        packet->bytes[8 + i] = (uint8_t) (id >> (8 * i));
}

/* What one call has in hand between its request and its answer. */
struct calling {
    enum mg_process receiver;
    int timeout_ms;
    struct timespec deadline;
    struct pending pending;
    struct mg_status sent;
    bool registered;
};

/* Sends it. Unless this fails, call_end must follow. */
static CHECKED struct mg_status
call_begin(struct calling *calling, struct mg_buffer *packet)
{
    (void) pthread_mutex_lock(&mg_runtime.lock);
    const struct mg_status status = call_register(calling->receiver, &calling->pending, &calling->deadline);
    (void) pthread_mutex_unlock(&mg_runtime.lock);
    TRY(status);
    calling->registered = true;
    id_write(packet, calling->pending.id);
    /* call_register took a reference, so the descriptor stays ours until the release in call_end. */
    calling->sent = mg_packet_send(calling->pending.connection->fd, packet, -1, calling->timeout_ms);
    return OK;
}

/* Waits for the answer. UNAVAILABLE with *ret_unsent means that the peer never saw it. */
static CHECKED struct mg_status
call_end(struct calling *calling, bool *ret_unsent)
{
    struct pending *pending = &calling->pending;
    pthread_cond_t *answered = &mg_runtime.answered[pending->id % MG_ANSWER_CONDITIONS];
    struct mg_status status = calling->sent;
    *ret_unsent = status.code == MG_UNAVAILABLE;
    (void) pthread_mutex_lock(&mg_runtime.lock);
    while (mg_ok(status) && !pending->done)
        if (pthread_cond_timedwait(answered, &mg_runtime.lock, &calling->deadline) == ETIMEDOUT &&
            !pending->done)
            status = fail_with(TIMEOUT, "%s did not answer in %d ms", mg_process_name(calling->receiver),
                               calling->timeout_ms);
    call_unregister(pending);
    calling->registered = false;
    (void) pthread_mutex_unlock(&mg_runtime.lock);
    mg_connection_release((struct connection *) (uintptr_t) pending->connection);
    TRY(status);
    if (pending->lost)
        return fail_with(UNAVAILABLE, "%s stopped before it answered", mg_process_name(calling->receiver));
    if (pending->failure != MG_OK)
        return fail_with(TOO_LARGE, "the answer of %s does not fit", mg_process_name(calling->receiver));
    return OK;
}

/* An answer whose fields are not those of its row. */
static CHECKED struct mg_status
reply_check(enum mg_process receiver, const char *name, struct mg_status decoded)
{
    if (mg_ok(decoded))
        return OK;
    if (receiver >= MG_PROCESS_COUNT)
        return decoded; /* of a message to any process, which no row's call has */
    (void) pthread_mutex_lock(&mg_runtime.lock);
    struct connection *connection = mg_runtime.peers[receiver];
    if (connection != NULL)
        connection->references++;
    (void) pthread_mutex_unlock(&mg_runtime.lock);
    if (connection != NULL) {
        mg_connection_accuse(connection, name, decoded);
        mg_connection_release(connection);
    }
    return decoded;
}

static struct calling
calling_to(enum mg_process receiver, enum mg_kind expected, struct mg_buffer *storage, int timeout_ms)
{
    return (struct calling){.receiver = receiver,
                            .timeout_ms = timeout_ms,
                            .deadline = deadline_in(timeout_ms),
                            .pending = {.expected = expected, .storage = storage}};
}

/* The answer to what call_begin sent, and sent again as long as the peer never saw it. */
static CHECKED struct mg_status
call_await(struct calling *calling, struct mg_buffer *packet)
{
    bool unsent = false;
    struct mg_status status = call_end(calling, &unsent);
    while (unsent) {
        (void) nanosleep(&(struct timespec){.tv_nsec = 2000000},
                         NULL); /* its end of file is about to be read */
        TRY(call_begin(calling, packet));
        status = call_end(calling, &unsent);
    }
    TRY(status);
    if (calling->pending.kind != MG_REPLY_failed)
        return OK;
    struct mg_reply_failed failed = {0};
    TRY(reply_check(calling->receiver, "failed",
                    mg_decode_reply_failed(mg_buffer_view(calling->pending.storage), &failed)));
    const enum mg_code code =
        failed.code > MG_OK && failed.code < MG_CODE_COUNT ? (enum mg_code) failed.code : MG_SYSTEM;
    return mg_fail_with(code, MG_HERE, "%.*s", (int) failed.detail.length,
                        (const char *) failed.detail.bytes);
}

static CHECKED struct mg_status
call_peer(enum mg_process receiver, struct mg_buffer *packet, enum mg_kind expected,
          struct mg_buffer *storage, int timeout_ms)
{
    struct calling calling = calling_to(receiver, expected, storage, timeout_ms);
    TRY(call_begin(&calling, packet));
    return call_await(&calling, packet);
}

#define RECORD(name, fields)
#define REPLY(name, maximum, fields)
#define MESSAGE(name, senders, receiver, maximum, fields)                                               \
    struct mg_status mg_call_##name(const struct mg_request_##name *request,                            \
                                    struct mg_reply_##name *ret_reply, struct mg_buffer *storage,       \
                                    int timeout_ms)                                                     \
    {                                                                                                   \
        OWN_BUFFER(packet, MG_PACKET_HEADER + (maximum));                                               \
        mg_must(MG_##receiver < MG_PROCESS_COUNT);                                                      \
        TRY(mg_packet_begin(&packet, MG_REQUEST_##name, 0));                                            \
        TRY(mg_encode_request_##name(request, &packet));                                                \
        TRY(call_peer((enum mg_process) MG_##receiver, &packet, MG_REPLY_##name, storage, timeout_ms)); \
        return reply_check((enum mg_process) MG_##receiver, #name,                                      \
                           mg_decode_reply_##name(mg_buffer_view(storage), ret_reply));                 \
    }
#include "../../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD

/* ---- calls whose caller does something else meanwhile ---- */

struct mg_apart {
    struct mg_buffer packet, storage;
    struct calling calling;
};

static CHECKED struct mg_status
apart_new(enum mg_process receiver, enum mg_kind expected, int timeout_ms, struct mg_apart **ret_apart)
{
    struct mg_apart *apart = calloc(1, sizeof *apart);
    if (apart == NULL)
        return fail(OUT_OF_MEMORY);
    apart->packet = (struct mg_buffer) MG_BUFFER(MG_PACKET_MOST);
    apart->storage = (struct mg_buffer) MG_BUFFER(MG_PACKET_MOST);
    apart->calling = calling_to(receiver, expected, &apart->storage, timeout_ms);
    *ret_apart = apart;
    return OK;
}

void
mg_apart_drop(struct mg_apart **apart)
{
    if (*apart == NULL)
        return;
    if ((*apart)->calling.registered) { /* nobody waits for it any more */
        (void) pthread_mutex_lock(&mg_runtime.lock);
        call_unregister(&(*apart)->calling.pending);
        (void) pthread_mutex_unlock(&mg_runtime.lock);
        mg_connection_release((struct connection *) (uintptr_t) (*apart)->calling.pending.connection);
    }
    mg_buffer_drop(&(*apart)->packet);
    mg_buffer_drop(&(*apart)->storage);
    free(*apart);
    *apart = NULL;
}

#define APART(name, receiver)                                                                   \
    struct mg_status mg_begin_##name(const struct mg_request_##name *request, int timeout_ms,   \
                                     struct mg_apart **ret_apart)                               \
    {                                                                                           \
        OWN(apart) apart = NULL;                                                                \
        TRY(apart_new(MG_##receiver, MG_REPLY_##name, timeout_ms, &apart));                     \
        TRY(mg_packet_begin(&apart->packet, MG_REQUEST_##name, 0));                             \
        TRY(mg_encode_request_##name(request, &apart->packet));                                 \
        TRY(call_begin(&apart->calling, &apart->packet));                                       \
        *ret_apart = TAKE(apart);                                                               \
        return OK;                                                                              \
    }                                                                                           \
    struct mg_status mg_end_##name(struct mg_apart *apart, struct mg_reply_##name *ret_reply)   \
    {                                                                                           \
        TRY(call_await(&apart->calling, &apart->packet));                                       \
        return reply_check(MG_##receiver, #name,                                                \
                           mg_decode_reply_##name(mg_buffer_view(&apart->storage), ret_reply)); \
    }
MG_APART_CALLS(APART)
