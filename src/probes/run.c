/* The table that binds rows to probes. Separate from finding.c, so that a test may bring its own
 * probes. */
#include "probes/probe.h"

typedef struct mg_status probe(struct mg_observer *observer, struct mg_finding *finding);

#define PROBE_BUILT(id) mg_probe_##id
#define PROBE_PLANNED(id) NULL
static probe *const probes[MG_CONTROL_COUNT] = {
#define CONTROL(id, state, ...) [MG_CONTROL_##id] = PROBE_##state(id),
#include "../../catalogue/controls.def"
#undef CONTROL
};

void
mg_probe_run(enum mg_control control, struct mg_observer *observer, mg_instant now,
             struct mg_finding *ret_finding)
{
    struct mg_finding finding = {.verdict = MG_UNKNOWN};
    mg_must(control > MG_CONTROL_NONE && control < MG_CONTROL_COUNT);
    struct mg_status status = fail_with(NOT_FOUND, "this control is planned and has no probe");
    if (probes[control] != NULL)
        status = probes[control](observer, &finding);
    mg_finding_close(control, status, now, &finding);
    *ret_finding = finding;
}
