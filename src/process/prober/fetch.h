/* The observer's requests at the front door, through libcurl. */
#ifndef MG_PROCESS_PROBER_FETCH_H
#define MG_PROCESS_PROBER_FETCH_H

#include "probes/observer.h"

/* UNAVAILABLE if nobody answers or the answer cannot be understood, TIMEOUT after request->timeout_ms. */
CHECKED struct mg_status mg_prober_fetch(struct mg_observer *observer, const struct mg_fetch *request,
                                         struct mg_fetched *ret_answer);

#endif
