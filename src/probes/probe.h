/* A probe looks at one control of the running system and says what it found.
 *
 *   struct mg_status mg_probe_<ID>(struct mg_observer *observer, struct mg_finding *finding);
 *
 * Every BUILT row of catalogue/controls.def declares one here; a missing one does not link. A probe
 * only asks questions (observer.h) and fills the finding:
 *
 *   mg_finding_expect(finding, count, "hosts", "ホスト")   how many subjects there are
 *   mg_finding_cover(finding)                              one of them was looked at
 *   mg_finding_break(finding, host, "…", "…")              one of them does not do what the row says
 *   mg_finding_warn(finding, host, "…", "…")               somebody else's part of it does not work: no break
 * of ours mg_finding_note(finding, "TLS 1.3 %s", cipher)         what was seen, for the evidence
 *
 * A failing status means that it could not look: UNKNOWN, never green. So does covering fewer
 * subjects than expected, or expecting none. Probes hold no state between runs. */
#ifndef MG_PROBES_PROBE_H
#define MG_PROBES_PROBE_H

#include "domain/control.h"
#include "domain/verdict.h"

struct mg_observer;

#define MG_REASON_TEXT 512
#define MG_EVIDENCE_TEXT 2048

struct mg_finding {
    enum mg_verdict verdict;
    char reason_en[MG_REASON_TEXT], reason_ja[MG_REASON_TEXT];
    char evidence[MG_EVIDENCE_TEXT]; /* facts seen, separated by "; "; no secrets, no personal data */
    const char *source;              /* what was asked: "front door", "database", ... */
    uint64_t covered, total, breaks, warnings;
    char warning_en[192], warning_ja[192]; /* the first one */
    struct mg_words subjects;              /* of total */
    mg_instant at;
    char digest[65]; /* SHA-256 of control, verdict, reason, evidence and time, in hexadecimal */
};

void mg_finding_expect(struct mg_finding *finding, uint64_t total, const char *en, const char *ja);
void mg_finding_cover(struct mg_finding *finding);
/* The first break gives the reason, later ones are counted. `subject` may be "". */
void mg_finding_break(struct mg_finding *finding, const char *subject, const char *en, const char *ja);
/* What others have to mend and the row does not promise: the verdict stays, its reason says so. */
void mg_finding_warn(struct mg_finding *finding, const char *subject, const char *en, const char *ja);
void mg_finding_note(struct mg_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Planned rows are declared as well: their probes may be written before the row is switched. */
#define CONTROL(id, ...) \
    CHECKED struct mg_status mg_probe_##id(struct mg_observer *observer, struct mg_finding *finding);
#include "../../catalogue/controls.def"
#undef CONTROL

/* Runs the probe of one control, closes and digests the finding. Always fills it. */
void mg_probe_run(enum mg_control control, struct mg_observer *observer, mg_instant now,
                  struct mg_finding *ret_finding);

/* Decides from what the probe filled in and the status it returned. */
void mg_finding_close(enum mg_control control, struct mg_status status, mg_instant now,
                      struct mg_finding *finding);

/* A stored finding at `now`: the same verdict, or STALE past the row's age. A finding from the future
 * (the clock was set back) is stale as well. */
enum mg_verdict mg_finding_verdict_at(enum mg_control control, const struct mg_finding *finding,
                                      mg_instant now);

/* DIR/proof/<id>.json. */
CHECKED struct mg_status mg_finding_json(enum mg_control control, const struct mg_finding *finding,
                                         struct mg_buffer *json);

#endif
