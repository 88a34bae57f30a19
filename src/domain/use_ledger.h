/* Who opened what and why, counted until it is written to the audit log: one row for each combination of
 * sender, tenant, place, purpose and outcome. Bounded, and it says when it cannot take more: an
 * opening that could not be recorded must not happen. */
#ifndef MG_DOMAIN_USE_LEDGER_H
#define MG_DOMAIN_USE_LEDGER_H

#include "base/bytes.h"

#define MG_USE_ROWS_MOST 4096
/* Of one sender, so that one which was taken over cannot stop the openings of the others. */
#define MG_USE_ROWS_OF_ONE_MOST 3072
/* How long openings go on while the audit log takes no records. */
#define MG_USE_UNRECORDED_MS_MOST 60000

struct mg_use {
    uint64_t tenant;
    unsigned sender; /* enum mg_process */
    bool refused;    /* it did not match its proof */
    char place[128]; /* "table.column" */
    char purpose[64];
};
struct mg_use_row {
    struct mg_use use;
    uint64_t count;
    int64_t first_ms, last_ms; /* monotonic */
};
struct mg_use_ledger {
    size_t count;
    struct mg_use_row rows[MG_USE_ROWS_MOST];
};

/* BUSY if there is no room or the oldest row has waited too long. */
CHECKED struct mg_status mg_use_note(struct mg_use_ledger *ledger, const struct mg_use *use, int64_t now_ms);
/* Takes a row out; false if there is none. */
bool mg_use_take(struct mg_use_ledger *ledger, struct mg_use_row *ret_row);
/* Puts back what could not be written. Room is made by forgetting nothing: it was there before, and
 * mg_use_note leaves one row free for it. */
void mg_use_put_back(struct mg_use_ledger *ledger, const struct mg_use_row *row);

#endif
