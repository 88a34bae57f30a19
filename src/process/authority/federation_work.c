#include "process/authority/federation.h"

#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>

enum { ALL_MOST = 48, TENANT_MOST = 8 };

struct work {
    mg_task task;
    struct mg_call *call;
    uint64_t tenant;
    _Alignas(max_align_t) uint8_t request[];
};

static struct {
    pthread_mutex_t lock;
    uint64_t tenants[ALL_MOST]; /* of the requests under way; the first `count` */
    size_t count;
} running = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool
begin(uint64_t tenant)
{
    size_t own = 0;
    (void) pthread_mutex_lock(&running.lock);
    for (size_t i = 0; i < running.count; i++)
        own += running.tenants[i] == tenant;
    const bool room = running.count < ALL_MOST && own < TENANT_MOST;
    if (room)
        running.tenants[running.count++] = tenant;
    (void) pthread_mutex_unlock(&running.lock);
    return room;
}

static void
end(uint64_t tenant)
{
    (void) pthread_mutex_lock(&running.lock);
    for (size_t i = 0; i < running.count; i++) {
        if (running.tenants[i] != tenant)
            continue;
        running.tenants[i] = running.tenants[--running.count];
        break;
    }
    (void) pthread_mutex_unlock(&running.lock);
}

static void *
work_thread(void *argument)
{
    struct work *work = argument;
    bool answered = false;
    const struct mg_status status = work->task(work->request, work->call, &answered);
    if (!mg_ok(status)) {
        mg_log_status(MG_WARNING, "identity provider", status);
        if (!answered)
            mg_call_fail(work->call, status);
    } else
        mg_must(answered);
    end(work->tenant);
    free(work);
    return NULL;
}

struct mg_status
mg_federation_work(uint64_t tenant, mg_task task, const void *request, size_t length, struct mg_call *call)
{
    pthread_t thread;
    if (!begin(tenant))
        return fail_with(BUSY, "%d requests to this tenant's identity providers are under way", TENANT_MOST);
    struct work *work = malloc(sizeof *work + length);
    if (work == NULL) {
        end(tenant);
        return fail(OUT_OF_MEMORY);
    }
    *work = (struct work){.task = task, .tenant = tenant, .call = mg_call_keep(call)};
    memcpy(work->request, request, length);
    if (pthread_create(&thread, NULL, work_thread, work) == 0) {
        (void) pthread_detach(thread);
        return OK;
    }
    /* The call is kept already: it is answered here. */
    mg_call_fail(work->call, fail_with(BUSY, "no thread"));
    end(tenant);
    free(work);
    return OK;
}
