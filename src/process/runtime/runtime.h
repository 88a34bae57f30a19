/* What every process of ours shares: its main(), its sockets to its peers, calls and handlers.
 *
 * One thread reads all sockets; `threads` threads run the handlers, so a handler may block in
 * mg_call_<name>(). Requests wait in a bounded queue; when it is full the caller gets BUSY. A packet
 * that breaks its row in catalogue/messages.def closes the connection and the warden is told, which
 * replaces the sender; so does a peer that does not take its answers. The receiver goes on.
 *
 *   MG_HANDLER(seal)
 *   {
 *       ... request->plaintext ...
 *       return mg_answer_seal(call, &reply);
 *   }
 *   static const struct mg_handler_row handlers[] = {MG_HANDLE(seal), ...};
 *   int main(int argc, char **argv) { return mg_process_main(argc, argv, &description); }
 *
 * A handler that returns a failing status answers with it. */
#ifndef MG_PROCESS_RUNTIME_H
#define MG_PROCESS_RUNTIME_H

#include "wire/messages.h"
#include "wire/options.h"

struct mg_call; /* one request being handled */

struct mg_handler_row {
    enum mg_kind kind;
    struct mg_status (*handle)(struct mg_view fields, struct mg_call *call);
    /* Never blocks, so it runs on the reading thread: for requests that are only put into a queue of
     * the process's own, tens of thousands a second. */
    bool quick;
};

/* The fields were not those of the row: the sender is reported and its connection ends. Gives the status
 * back. */
CHECKED struct mg_status mg_call_malformed(struct mg_call *call, struct mg_status status);

#define MG_HANDLER(name)                                                                      \
    static CHECKED struct mg_status handle_##name(const struct mg_request_##name *request,    \
                                                  struct mg_call *call);                      \
    static CHECKED struct mg_status thunk_##name(struct mg_view fields, struct mg_call *call) \
    {                                                                                         \
        struct mg_request_##name request;                                                     \
        const struct mg_status decoded = mg_decode_request_##name(fields, &request);          \
        if (!mg_ok(decoded))                                                                  \
            return mg_call_malformed(call, decoded);                                          \
        return handle_##name(&request, call);                                                 \
    }                                                                                         \
    static struct mg_status handle_##name(const struct mg_request_##name *request, struct mg_call *call)
#define MG_HANDLE(name)                                   \
    {                                                     \
        .kind = MG_REQUEST_##name, .handle = thunk_##name \
    }
/* For handlers spread over several files: MG_HANDLER_PUBLIC(name) in the .c defines the visible
 * thunk mg_thunk_<name>; the file with the table declares it with MG_HANDLER_DECLARE(name) and
 * lists MG_HANDLE_PUBLIC(name). */
#define MG_HANDLER_DECLARE(name) \
    struct mg_status mg_thunk_##name(struct mg_view fields, struct mg_call *call);
#define MG_HANDLER_PUBLIC(name)                                                            \
    static CHECKED struct mg_status handle_##name(const struct mg_request_##name *request, \
                                                  struct mg_call *call);                   \
    MG_HANDLER_DECLARE(name)                                                               \
    struct mg_status mg_thunk_##name(struct mg_view fields, struct mg_call *call)          \
    {                                                                                      \
        struct mg_request_##name request;                                                  \
        const struct mg_status decoded = mg_decode_request_##name(fields, &request);       \
        if (!mg_ok(decoded))                                                               \
            return mg_call_malformed(call, decoded);                                       \
        return handle_##name(&request, call);                                              \
    }                                                                                      \
    static struct mg_status handle_##name(const struct mg_request_##name *request, struct mg_call *call)
#define MG_HANDLE_PUBLIC(name)                               \
    {                                                        \
        .kind = MG_REQUEST_##name, .handle = mg_thunk_##name \
    }
#define MG_HANDLE_QUICK(name)                                               \
    {                                                                       \
        .kind = MG_REQUEST_##name, .handle = mg_thunk_##name, .quick = true \
    }

/* Where the process runs; filled before `prepare`. */
struct mg_environment {
    const char *directory;            /* --dir */
    const char *runtime_directory;    /* tmpfs */
    const struct mg_options *options; /* only those this process reads are set */
};
const struct mg_environment *mg_environment(void);

struct mg_process_description {
    enum mg_process process;
    const struct mg_handler_row *handlers;
    size_t handler_count;
    unsigned threads;  /* handler threads, 1..64 */
    size_t queue_most; /* requests that may wait; 0 for 4096 */
    /* Before the sandbox closes: open what needs a path or a privilege. May be NULL. */
    struct mg_status (*prepare)(const struct mg_environment *environment);
    /* After the sandbox, on a thread of its own; may call peers. Requests wait until it returns.
     * A failing status ends the process (and the warden tries again). May be NULL. */
    struct mg_status (*start)(const struct mg_environment *environment);
    /* Every second on that same thread, for timers. May be NULL. */
    void (*tick)(mg_instant now);
    /* In an orderly end (the warden asked, SIGTERM), before the process exits; not when the warden
     * died. May be NULL. */
    void (*stop)(const struct mg_environment *environment);
};

int mg_process_main(int argc, char **argv, const struct mg_process_description *description);

/* True once the warden has asked this process to stop or its channel is closed. */
bool mg_stopping(void);

/* ---- in a handler ---- */
enum mg_process mg_call_sender(const struct mg_call *call);
/* For CLI connections: the caller's uid by SO_PEERCRED; (uid_t) -1 otherwise. */
uid_t mg_call_uid(const struct mg_call *call);
/* The call stays open after the handler returns OK; answer it exactly once, from any thread. */
struct mg_call *mg_call_keep(struct mg_call *call);
/* Answers a kept call with a failure. */
void mg_call_fail(struct mg_call *call, struct mg_status status);

/* mg_answer_<request>(call, &reply): sends the reply; a lost caller is not an error. */
#define MESSAGE(name, senders, receiver, maximum, fields)
#define RECORD(name, fields)
#define REPLY(name, maximum, fields) \
    CHECKED struct mg_status mg_answer_##name(struct mg_call *call, const struct mg_reply_##name *reply);
#include "../../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD

/* ---- towards peers ----
 * mg_call_<request>(&request, &reply, &storage, timeout_ms): blocks until the answer; the reply
 * borrows `storage` (give it a maximum of MG_PACKET_MOST). A peer that is being restarted is waited
 * for within the timeout. The peer's failure comes back as the status it failed with.
 * Rows whose receiver is ANY have no caller here: only the warden sends them. */
#define MESSAGE(name, senders, receiver, maximum, fields)                                                 \
    CHECKED struct mg_status mg_call_##name(const struct mg_request_##name *request,                      \
                                            struct mg_reply_##name *ret_reply, struct mg_buffer *storage, \
                                            int timeout_ms);
#define RECORD(name, fields)
#define REPLY(name, maximum, fields)
#include "../../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD

/* The same for who has something else to do meanwhile: mg_begin_<request> sends, mg_end_<request> waits for
 * the answer (`timeout_ms` after the beginning at most), which borrows from `apart`. Who drops it before the
 * end does not learn what came of it. */
struct mg_apart;
void mg_apart_drop(struct mg_apart **apart);
#define MG_APART_CALLS(X) X(audit_append, AUDIT) X(password_verify, HASHER)
#define X(name, receiver)                                                                             \
    CHECKED struct mg_status mg_begin_##name(const struct mg_request_##name *request, int timeout_ms, \
                                             struct mg_apart **ret_apart);                            \
    CHECKED struct mg_status mg_end_##name(struct mg_apart *apart, struct mg_reply_##name *ret_reply);
MG_APART_CALLS(X)
#undef X

/* Opens a SOCK_SEQPACKET listener whose callers are MG_CLI; only uid 0, our own and `owner` are
 * served. At most 32 connections. Call in `prepare`. */
CHECKED struct mg_status mg_listen_admin(const char *path, uid_t owner);

#endif
