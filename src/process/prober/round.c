#include "base/log.h"
#include "process/prober/prober.h"

#include <pthread.h>
#include <stdatomic.h>

/* Most probes wait for an answer; a few at a time keep `masugata prove` short on two cores. */
enum { LOOKERS = 4 };

static pthread_mutex_t one_round = PTHREAD_MUTEX_INITIALIZER;

struct round {
    struct mg_observer *observer;
    const enum mg_control *controls;
    size_t count;
    atomic_size_t next;
};

static void *
look(void *argument)
{
    struct round *round = argument;
    for (size_t i; !mg_stopping() && (i = atomic_fetch_add(&round->next, 1)) < round->count;) {
        struct mg_finding finding;
        mg_probe_run(round->controls[i], round->observer, mg_now(), &finding);
        mg_ledger_record(round->controls[i], &finding);
    }
    return NULL;
}

static void
look_together(struct round *round)
{
    pthread_t threads[LOOKERS];
    size_t started = 0;
    while (started < LOOKERS && pthread_create(&threads[started], NULL, look, round) == 0)
        started++;
    if (started == 0)
        (void) look(round);
    for (size_t i = 0; i < started; i++)
        (void) pthread_join(threads[i], NULL);
}

/* Nothing is known of what there is to look at: every asked control becomes unknown, and says why. */
static void
record_blind(const enum mg_control *controls, size_t count, struct mg_status status)
{
    for (size_t i = 0; i < count; i++) {
        struct mg_finding finding = {.verdict = MG_UNKNOWN};
        mg_finding_close(controls[i], status, mg_now(), &finding);
        mg_ledger_record(controls[i], &finding);
    }
}

struct mg_status
mg_round_run(const struct mg_environment *environment, const enum mg_control *controls, size_t count)
{
    (void) pthread_mutex_lock(&one_round);
    MG_CLEANUP(mg_facts_drop) struct mg_facts *facts = NULL;
    struct mg_status status = mg_facts_load(environment, &facts);
    if (mg_ok(status)) {
        struct round round = {.observer = mg_facts_observer(facts), .controls = controls, .count = count};
        look_together(&round);
    } else {
        mg_log_status(MG_ERROR, "what there is to look at", status);
        record_blind(controls, count, status);
    }
    status = mg_trust_publish(environment->runtime_directory, mg_now());
    (void) pthread_mutex_unlock(&one_round);
    return status;
}
