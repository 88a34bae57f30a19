#include "base/log.h"
#include "probes/visitor.h"
#include "process/prober/prober.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* Most probes wait for an answer; a few at a time keep `masugata prove` short on two cores. */
enum { LOOKERS = 4, DRILLERS = 2, YOUNG_MS = 20000, SETTLE_POLL_US = 250000 };

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

/* Drills wait most of their time: they begin first, and others look meanwhile. */
static size_t
drills_first(const enum mg_control *controls, size_t count, enum mg_control *ordered)
{
    size_t at = 0, drills = 0;
    for (int drill = 1; drill >= 0; drill--)
        for (size_t i = 0; i < count; i++)
            if (((mg_control_row(controls[i])->evidence & MG_EVIDENCE_DRILL) != 0) == (drill == 1)) {
                ordered[at++] = controls[i];
                drills += (size_t) drill;
            }
    return drills;
}

static void
look_together(struct round *round, size_t drills)
{
    pthread_t threads[LOOKERS + DRILLERS];
    const size_t most = LOOKERS + (drills < DRILLERS ? drills : DRILLERS);
    size_t started = 0;
    while (started < most && pthread_create(&threads[started], NULL, look, round) == 0)
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

/* At the front door of a deployment that has just started, portal and applications come a moment after
 * nginx: until then there is nothing to judge. Only the young are waited for; later an outage is a fact.
 */
static void
settle(struct mg_observer *observer)
{
    static int64_t first_ms; /* of this process; rounds come one at a time */
    static bool settled;
    const int64_t now_ms = mg_monotonic_ms();
    if (first_ms == 0)
        first_ms = now_ms;
    while (!settled && !mg_stopping() && mg_monotonic_ms() - first_ms < YOUNG_MS) {
        bool all = true;
        for (size_t i = 0; i < observer->host_count && all; i++) {
            OWN_FETCHED(answer);
            const struct mg_fetch request = {.host = observer->hosts[i].name,
                                             .path = observer->hosts[i].origin == MG_ORIGIN_APP ? "/"
                                                                                                : "/sign-in",
                                             .headers = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n"};
            all = mg_ok(observer->ops->fetch(observer, &request, &answer)) && !mg_answer_is_away(&answer);
        }
        settled = all;
        if (!all)
            (void) usleep(SETTLE_POLL_US);
    }
    settled = true;
}

struct mg_status
mg_round_run(const struct mg_environment *environment, const enum mg_control *controls, size_t count)
{
    (void) pthread_mutex_lock(&one_round);
    MG_CLEANUP(mg_facts_drop) struct mg_facts *facts = NULL;
    struct mg_status status = mg_facts_load(environment, &facts);
    if (mg_ok(status)) {
        enum mg_control ordered[MG_CONTROL_COUNT];
        const size_t drills = drills_first(controls, count, ordered);
        struct round round = {.observer = mg_facts_observer(facts), .controls = ordered, .count = count};
        settle(round.observer);
        look_together(&round, drills);
    } else {
        mg_log_status(MG_ERROR, "what there is to look at", status);
        record_blind(controls, count, status);
    }
    status = mg_trust_publish(environment->runtime_directory, mg_now());
    (void) pthread_mutex_unlock(&one_round);
    return status;
}
