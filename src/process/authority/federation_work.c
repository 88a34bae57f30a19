#include "process/authority/federation.h"

#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>

enum { ALL_MOST = 48, TENANT_MOST = 16 };

struct work {
    mg_task task;
    struct mg_call *call;
    uint64_t tenant;
    _Alignas(max_align_t) uint8_t request[];
};

/* A thread that waits for its next work, on its own stack. */
struct hand {
    pthread_cond_t wake;
    struct work *work;
    struct hand *next;
};

/* As many threads as there was ever work at once, at most ALL_MOST; they stay, because to make one for each
 * sign-in costs more than what it does for it. Who rested last works next: what it needs is still near. */
static struct {
    pthread_mutex_t lock;
    uint64_t tenants[ALL_MOST]; /* of the requests under way; the first `count` */
    size_t count;
    struct hand *idle;
} running = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- with the lock held ---- */

static bool
begin_locked(uint64_t tenant)
{
    size_t own = 0;
    for (size_t i = 0; i < running.count; i++)
        own += running.tenants[i] == tenant;
    const bool room = running.count < ALL_MOST && own < TENANT_MOST;
    if (room)
        running.tenants[running.count++] = tenant;
    return room;
}

static void
end_locked(uint64_t tenant)
{
    for (size_t i = 0; i < running.count; i++) {
        if (running.tenants[i] != tenant)
            continue;
        running.tenants[i] = running.tenants[--running.count];
        break;
    }
}

/* ---- threads ---- */

static void
work_run(struct work *work)
{
    bool answered = false;
    const struct mg_status status = work->task(work->request, work->call, &answered);
    if (!mg_ok(status)) {
        mg_log_status(MG_WARNING, "identity provider", status);
        if (!answered)
            mg_call_fail(work->call, status);
    } else
        mg_must(answered);
}

static void *
work_thread(void *first)
{
    struct hand self = {.work = first};
    mg_must(pthread_cond_init(&self.wake, NULL) == 0);
    for (;;) {
        const uint64_t tenant = self.work->tenant;
        work_run(self.work);
        free(self.work);
        self.work = NULL;
        (void) pthread_mutex_lock(&running.lock);
        end_locked(tenant);
        self.next = running.idle;
        running.idle = &self;
        while (self.work == NULL)
            (void) pthread_cond_wait(&self.wake, &running.lock);
        (void) pthread_mutex_unlock(&running.lock);
    }
    return NULL;
}

/* To a thread that rests, or a new one; false if there is none to be had. */
static bool
work_give(struct work *work)
{
    pthread_t thread;
    (void) pthread_mutex_lock(&running.lock);
    struct hand *hand = running.idle;
    if (hand != NULL) {
        running.idle = hand->next;
        hand->work = work;
        (void) pthread_cond_signal(&hand->wake); /* it may be gone from its wait, never from its stack */
    }
    (void) pthread_mutex_unlock(&running.lock);
    if (hand != NULL)
        return true;
    if (pthread_create(&thread, NULL, work_thread, work) != 0)
        return false;
    (void) pthread_detach(thread);
    return true;
}

static bool
begin(uint64_t tenant)
{
    (void) pthread_mutex_lock(&running.lock);
    const bool room = begin_locked(tenant);
    (void) pthread_mutex_unlock(&running.lock);
    return room;
}

static void
end(uint64_t tenant)
{
    (void) pthread_mutex_lock(&running.lock);
    end_locked(tenant);
    (void) pthread_mutex_unlock(&running.lock);
}

struct mg_status
mg_federation_work(uint64_t tenant, mg_task task, const void *request, size_t length, struct mg_call *call)
{
    if (!begin(tenant))
        return fail_with(BUSY, "%d requests to this tenant's identity providers are under way", TENANT_MOST);
    struct work *work = malloc(sizeof *work + length);
    if (work == NULL) {
        end(tenant);
        return fail(OUT_OF_MEMORY);
    }
    *work = (struct work){.task = task, .tenant = tenant, .call = mg_call_keep(call)};
    memcpy(work->request, request, length);
    if (work_give(work))
        return OK;
    /* The call is kept already: it is answered here. */
    mg_call_fail(work->call, fail_with(BUSY, "no thread"));
    end(tenant);
    free(work);
    return OK;
}
