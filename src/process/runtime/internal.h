/* Shared between runtime.c (who reads) and calls.c (who calls and answers). Private to the folder. */
#ifndef MG_PROCESS_RUNTIME_INTERNAL_H
#define MG_PROCESS_RUNTIME_INTERNAL_H

#include "process/runtime/runtime.h"

#include <pthread.h>

struct connection {
    int fd;
    enum mg_process process;
    unsigned references; /* under mg_runtime.lock */
    uid_t uid;           /* of a CLI */
};

/* A call that waits for its answer; lives with its caller. */
struct pending {
    uint64_t id;
    enum mg_kind expected, kind;
    const struct connection *connection;
    struct mg_buffer *storage;
    enum mg_code failure; /* of storing the answer */
    bool done, lost;
    struct pending *next;
};

/* Who waits for an answer waits at one of these, by the call's id: an answer wakes its caller and hardly
 * anybody else. They outlive every call, so they may be signalled without the lock, which a woken thread then
 * finds free. */
#define MG_ANSWER_CONDITIONS 64

struct runtime_state {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a peer came; CLOCK_MONOTONIC, as are these: */
    pthread_cond_t answered[MG_ANSWER_CONDITIONS];
    struct connection *peers[MG_PROCESS_COUNT];
    struct pending *pending;
    uint64_t last_id;
};
extern struct runtime_state mg_runtime;

struct mg_call {
    struct connection *connection;
    enum mg_kind kind;
    uint64_t id;
    bool answered, kept, malformed;
    struct mg_call *next;
    size_t length;
    uint8_t fields[];
};

/* Set when the handler running on this thread kept its call: the call itself may be gone by then. */
extern _Thread_local bool mg_call_kept_here;

/* True on the thread that reads all sockets, which must not wait for one peer. */
extern _Thread_local bool mg_reading_here;

void mg_connection_release(struct connection *connection);
/* Says to the log and the warden that this peer broke the rules, and ends the connection: the reading thread
 * sees its end and cleans up. From any thread. */
void mg_connection_accuse(const struct connection *connection, const char *what, struct mg_status status);
void mg_call_free(struct mg_call *call);
void mg_call_answer_failed(struct mg_call *call, struct mg_status status);

/* Closes the sandbox of this process and reports what is active (process/sandbox). */
CHECKED struct mg_status mg_runtime_seal(enum mg_process process, const struct mg_environment *environment,
                                         struct mg_reply_configure *report);

#endif
