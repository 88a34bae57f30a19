/* Replays sign-ins that have happened, and tells what adaptive sign-in would have made of each: for trying
 * limits out before they are set. */
#ifndef MG_DOMAIN_RISK_REPLAY_H
#define MG_DOMAIN_RISK_REPLAY_H

#include "domain/risk.h"

struct mg_replay_row {
    struct mg_risk_visit visit;
    const char *login;  /* borrowed; "" is a name as well */
    const char *device; /* a name for the device; "" when it was not written down */
    bool wrong;         /* the password was: nothing to judge, but counted */
    enum mg_known breached, listed;
    struct mg_risk_verdict verdict; /* filled for those that were right */
};

/* Rows in the order of their times (INVALID otherwise); fills the verdicts. What is blocked is not learnt
 * from; what is asked for more counts as answered, since it was the person when the file says so. At most
 * MG_REPLAY_BACK rows within the window are looked back at for failures. */
#define MG_REPLAY_BACK 5000
CHECKED struct mg_status mg_risk_replay(struct mg_replay_row *rows, size_t count,
                                        const struct mg_risk_limits *limits);

#endif
