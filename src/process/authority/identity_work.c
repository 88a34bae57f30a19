#include "process/authority/identity.h"

#include "base/log.h"
#include "base/secret.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { WAITING_MOST = 256 };

struct work {
    struct work *next;
    mg_task task;
    struct mg_call *call;
    _Alignas(max_align_t) uint8_t request[];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct work *first, **last;
    size_t waiting;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void
work_run(struct work *work)
{
    bool answered = false;
    const struct mg_status status = work->task(work->request, work->call, &answered);
    if (!mg_ok(status)) {
        mg_log_status(MG_WARNING, "identity", status);
        if (!answered)
            mg_call_fail(work->call, status);
    } else
        mg_must(answered);
}

static void *
work_thread(void *unused)
{
    for (;;) {
        (void) pthread_mutex_lock(&queue.lock);
        while (queue.first == NULL)
            (void) pthread_cond_wait(&queue.changed, &queue.lock);
        struct work *work = queue.first;
        queue.first = work->next;
        if (queue.first == NULL)
            queue.last = &queue.first;
        queue.waiting--;
        (void) pthread_mutex_unlock(&queue.lock);
        work_run(work);
        free(work);
    }
    return unused;
}

struct mg_status
mg_work_start(unsigned threads)
{
    queue.last = &queue.first;
    for (unsigned i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work_thread, NULL) != 0)
            return fail_with(SYSTEM, "no thread");
        (void) pthread_detach(thread);
    }
    return OK;
}

struct mg_status
mg_work_put(mg_task task, const void *request, size_t length, struct mg_call *call)
{
    struct work *work = malloc(sizeof *work + length);
    if (work == NULL)
        return fail(OUT_OF_MEMORY);
    *work = (struct work) {.task = task};
    memcpy(work->request, request, length);
    (void) pthread_mutex_lock(&queue.lock);
    const bool full = queue.waiting >= WAITING_MOST;
    if (!full) {
        work->call = mg_call_keep(call);
        *queue.last = work;
        queue.last = &work->next;
        queue.waiting++;
        (void) pthread_cond_signal(&queue.changed);
    }
    (void) pthread_mutex_unlock(&queue.lock);
    if (full) {
        free(work);
        return fail_with(BUSY, "%d sign-ins are waiting", WAITING_MOST);
    }
    return OK;
}

void
mg_work_even_out(int64_t started_ms)
{
    const int64_t left_ms = started_ms + mg_environment()->options->password_refusal_time - mg_monotonic_ms();
    if (left_ms > 0)
        (void) nanosleep(&(struct timespec) {.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000}, NULL);
}

/* ---- revocation against starting sessions ------------------------------------------------------- */

static pthread_rwlock_t effects = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

void
mg_effects_lock(bool exclusive)
{
    mg_must((exclusive ? pthread_rwlock_wrlock(&effects) : pthread_rwlock_rdlock(&effects)) == 0);
}

void
mg_effects_unlock(const bool *held)
{
    (void) held;
    mg_must(pthread_rwlock_unlock(&effects) == 0);
}
