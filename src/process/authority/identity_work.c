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
mg_work_put(mg_task task, const void *request, size_t length, struct mg_call *call)
{
    struct work *work = malloc(sizeof *work + length);
    if (work == NULL)
        return fail(OUT_OF_MEMORY);
    *work = (struct work){.task = task};
    memcpy(work->request, request, length);
    (void) pthread_mutex_lock(&queue.lock);
    const bool full = queue.waiting >= WAITING_MOST;
    if (!full) {
        work->call = mg_call_keep(call);
        *queue.last = work;
        queue.last = &work->next;
        queue.waiting++;
    }
    (void) pthread_mutex_unlock(&queue.lock);
    if (!full)
        (void) pthread_cond_signal(&queue.changed);
    if (full) {
        free(work);
        return fail_with(BUSY, "%d sign-ins are waiting", WAITING_MOST);
    }
    return OK;
}

/* ---- refusals that wait for their time ------------------------------------------------------------ */

enum { LATE_MOST = 4096, DUE_MOST_MS = 3000, WINDOW_MS = 600000 };

struct late {
    struct late *next;
    int64_t due_ms;
    struct mg_call *call;
    void (*answer)(struct mg_call *call);
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct late *first; /* by due time */
    size_t count;
    /* The longest verification of this window and of the one before. */
    int64_t window_started_ms, longest_ms, longest_before_ms;
} lates = {.lock = PTHREAD_MUTEX_INITIALIZER};

void
mg_work_took(int64_t duration_ms)
{
    const int64_t now_ms = mg_monotonic_ms();
    (void) pthread_mutex_lock(&lates.lock);
    if (now_ms - lates.window_started_ms >= WINDOW_MS) {
        lates.window_started_ms = now_ms;
        lates.longest_before_ms = lates.longest_ms;
        lates.longest_ms = 0;
    }
    if (duration_ms > lates.longest_ms)
        lates.longest_ms = duration_ms;
    (void) pthread_mutex_unlock(&lates.lock);
}

int64_t
mg_work_refusal_due(int64_t started_ms)
{
    int64_t after_ms = mg_environment()->options->password_refusal_time;
    (void) pthread_mutex_lock(&lates.lock);
    const int64_t longest_ms =
        lates.longest_ms > lates.longest_before_ms ? lates.longest_ms : lates.longest_before_ms;
    (void) pthread_mutex_unlock(&lates.lock);
    if (after_ms > 0 && longest_ms + longest_ms / 4 > after_ms)
        after_ms = longest_ms + longest_ms / 4;
    return started_ms + (after_ms < DUE_MOST_MS ? after_ms : DUE_MOST_MS);
}

struct mg_status
mg_work_answer_at(int64_t due_ms, struct mg_call *call, void (*answer)(struct mg_call *call))
{
    struct late *late = malloc(sizeof *late);
    if (late == NULL)
        return fail(OUT_OF_MEMORY);
    *late = (struct late){.due_ms = due_ms, .call = call, .answer = answer};
    (void) pthread_mutex_lock(&lates.lock);
    const bool full = lates.count >= LATE_MOST;
    if (!full) {
        struct late **link = &lates.first;
        while (*link != NULL && (*link)->due_ms <= due_ms)
            link = &(*link)->next;
        late->next = *link;
        *link = late;
        lates.count++;
        (void) pthread_cond_signal(&lates.changed);
    }
    (void) pthread_mutex_unlock(&lates.lock);
    if (full) {
        free(late);
        return fail_with(BUSY, "%d refusals are waiting", LATE_MOST);
    }
    return OK;
}

/* Takes the first one that is due, waiting for it. */
static struct late *
late_next(void)
{
    struct late *late = NULL;
    (void) pthread_mutex_lock(&lates.lock);
    while (late == NULL) {
        if (lates.first == NULL) {
            (void) pthread_cond_wait(&lates.changed, &lates.lock);
            continue;
        }
        const int64_t due_ms = lates.first->due_ms;
        if (due_ms <= mg_monotonic_ms()) {
            late = lates.first;
            lates.first = late->next;
            lates.count--;
            continue;
        }
        const struct timespec until = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000};
        (void) pthread_cond_timedwait(&lates.changed, &lates.lock, &until);
    }
    (void) pthread_mutex_unlock(&lates.lock);
    return late;
}

static void *
late_thread(void *unused)
{
    for (;;) {
        struct late *late = late_next();
        late->answer(late->call);
        free(late);
    }
    return unused;
}

static CHECKED struct mg_status
late_start(void)
{
    pthread_condattr_t attributes;
    pthread_t thread;
    (void) pthread_condattr_init(&attributes);
    (void) pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&lates.changed, &attributes);
    (void) pthread_condattr_destroy(&attributes);
    if (pthread_create(&thread, NULL, late_thread, NULL) != 0)
        return fail_with(SYSTEM, "no thread");
    (void) pthread_detach(thread);
    return OK;
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
    return late_start();
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
