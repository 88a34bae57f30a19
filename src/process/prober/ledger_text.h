/* The latest finding of a control, and the file it is kept in. */
#ifndef MG_PROBER_LEDGER_TEXT_H
#define MG_PROBER_LEDGER_TEXT_H

#include "probes/probe.h"

struct mg_ledger_entry {
    struct mg_finding finding; /* verdict UNKNOWN, at 0: never looked at */
    mg_instant since;          /* when this verdict was first given */
};

/* MALFORMED or INVALID without both times; a verdict that is no word of ours is UNKNOWN, a text that is too
 * long is left out. `*ret_entry` is untouched on failure. */
CHECKED struct mg_status mg_ledger_decode(struct mg_view text, struct mg_ledger_entry *ret_entry);

#endif
