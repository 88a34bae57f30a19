/* What the prober asks the launcher for a drill. */
#include "process/prober/prober.h"

#include <inttypes.h>
#include <stdio.h>

/* An instance is stopped cleanly, which takes a moment on a busy machine. */
enum { STOP_MS = 25000, CALL_MS = 5000 };

struct mg_status
mg_prober_drill_stop(struct mg_observer *observer, enum mg_drill_part part, int most_ms, bool *ret_other_runs)
{
    (void) observer;
    OWN_BUFFER(storage, 1024);
    struct mg_reply_drill_stop reply;
    const struct mg_request_drill_stop request = {.part = (uint64_t) part, .most_ms = (uint64_t) most_ms};
    TRY(mg_call_drill_stop(&request, &reply, &storage, STOP_MS));
    *ret_other_runs = reply.other_runs;
    return OK;
}

struct mg_status
mg_prober_drill_start(struct mg_observer *observer, enum mg_drill_part part)
{
    (void) observer;
    OWN_BUFFER(storage, 1024);
    struct mg_reply_drill_start reply;
    const struct mg_request_drill_start request = {.part = (uint64_t) part};
    return mg_call_drill_start(&request, &reply, &storage, CALL_MS);
}

bool
mg_drill_is_child(const struct mg_observer *observer, struct mg_view name)
{
    char application[64], database[64];
    (void) snprintf(application, sizeof application, "application %" PRIu64, observer->drill_tenant);
    (void) snprintf(database, sizeof database, "postgres tenant-%" PRIu64, observer->drill_tenant);
    return observer->drill_tenant != 0 && (mg_view_is(name, application) || mg_view_is(name, database));
}
