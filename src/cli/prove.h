/* The outcome of a run of probes as the command line has it; used by `masugata prove` and, against
 * the synthetic deployment, by `--sabotage`. */
#ifndef MG_CLI_PROVE_H
#define MG_CLI_PROVE_H

#include "cli/cli.h"
#include "domain/control.h"

struct mg_control_proof {
    char verdict[17]; /* "holds", "broken", "unknown", "stale"; "planned" for rows without a probe */
    mg_instant at, since;
    char reason_en[512], reason_ja[512], evidence[2048], digest[65];
};

/* Asks the running prober to look at `controls` (ids separated by spaces, "" for all built ones) and
 * reads the findings; `proofs` has room for MG_CONTROL_COUNT. */
CHECKED struct mg_status mg_prove(struct mg_admin *admin, const char *controls,
                                  struct mg_control_proof *proofs);

#endif
