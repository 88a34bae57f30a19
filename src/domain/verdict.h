/* What was found of a control, and the words for it. */
#ifndef MG_DOMAIN_VERDICT_H
#define MG_DOMAIN_VERDICT_H

#include "domain/control.h"

/* Zero is UNKNOWN: whoever forgets to decide has not passed. STALE and PLANNED are made from the
 * clock and the row, never by a probe. */
enum mg_verdict { MG_UNKNOWN = 0, MG_BROKEN, MG_HOLDS, MG_STALE, MG_PLANNED, MG_VERDICT_COUNT };
const char *mg_verdict_name(enum mg_verdict verdict); /* "holds" */
struct mg_words mg_verdict_words(enum mg_verdict verdict);
/* "unknown" for a word that is none. */
enum mg_verdict mg_verdict_of_name(struct mg_view name);

#endif
