/* Probes of what keeps the service running. */
#include "probes/observer.h"
#include "probes/probe.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    PROCESSES_MOST = 8192,
    BACK_MS = 2000, /* the rule: a killed process is back within this */
    POLL_US = 50000,
    RECENT_MS =
        7000, /* a canary younger than this was started again a moment ago: do not hurry the flap limit */
};

struct seen {
    struct mg_observed_process *rows;
    size_t count;
};

static void
seen_drop(struct seen *seen)
{
    free(seen->rows);
}

static CHECKED struct mg_status
look(struct mg_observer *observer, struct seen *seen)
{
    return observer->ops->processes(observer, seen->rows, PROCESSES_MOST, &seen->count);
}

static const struct mg_observed_process *
process_of(const struct seen *seen, const char *name)
{
    for (size_t i = 0; i < seen->count; i++)
        if (strcmp(seen->rows[i].name, name) == 0)
            return &seen->rows[i];
    return NULL;
}

/* Every process that there should be, and every server that was started, runs. */
static void
all_run(const struct seen *seen, struct mg_finding *finding)
{
    static const char *const names[] = {
#define PROCESS(NAME, name, ...) #name,
#define WIRE(a, b)
#include "../../catalogue/processes.def"
#undef PROCESS
#undef WIRE
    };
    for (size_t i = 0; i < MG_COUNT(names); i++)
        if (process_of(seen, names[i]) == NULL)
            mg_finding_break(finding, names[i], "the process is missing", "プロセスがありません");
    mg_finding_expect(finding, seen->count, "processes and servers", "プロセスとサーバー");
    for (size_t i = 0; i < seen->count; i++) {
        if (strcmp(seen->rows[i].state, "running") != 0)
            mg_finding_break(finding, seen->rows[i].name, "is not running", "稼働していません");
        mg_finding_cover(finding);
    }
}

/* The canary crashes and is back, as another process, in time. */
static CHECKED struct mg_status
canary_comes_back(struct mg_observer *observer, struct seen *seen, struct mg_finding *finding)
{
    const struct mg_observed_process *canary = process_of(seen, "canary");
    if (canary == NULL)
        return OK; /* reported above */
    const uint64_t pid = canary->pid;
    if (canary->restarts > 0 && mg_now() - canary->started_at < RECENT_MS) {
        mg_finding_note(finding, "the canary was started again a moment ago");
        return OK;
    }
    TRY(observer->ops->crash_canary(observer));
    const int64_t start = mg_monotonic_ms();
    for (;;) {
        TRY(look(observer, seen));
        canary = process_of(seen, "canary");
        const int64_t waited = mg_monotonic_ms() - start;
        if (canary != NULL && canary->pid != pid && strcmp(canary->state, "running") == 0) {
            mg_finding_note(finding, "a crashed process was back after %jd ms", (intmax_t) waited);
            return OK;
        }
        if (waited > BACK_MS)
            break;
        (void) usleep(POLL_US);
    }
    mg_finding_break(finding, "canary", "a crashed process was not started again within 2 s",
                     "異常終了したプロセスが 2 秒以内に再起動しません");
    return OK;
}

struct mg_status
mg_probe_MONITORING_07(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "warden, launcher, a drill";
    MG_CLEANUP(seen_drop) struct seen seen = {.rows = calloc(PROCESSES_MOST, sizeof *seen.rows)};
    if (seen.rows == NULL)
        return fail(OUT_OF_MEMORY);
    const struct mg_status looked = look(observer, &seen);
    if (looked.code == MG_TIMEOUT || looked.code == MG_UNAVAILABLE) {
        /* Whoever is to start the others again does not answer: as long as that lasts, nobody would. */
        mg_finding_break(finding, "", "the warden or the launcher does not answer",
                         "プロセスを再起動する側が応答しません");
        return OK;
    }
    TRY(looked);
    all_run(&seen, finding);
    return canary_comes_back(observer, &seen, finding);
}
