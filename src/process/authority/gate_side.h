/* Identity assertions kept ready for the gate, and its counts of refusals taken to the audit log. */
#ifndef MG_AUTHORITY_GATE_SIDE_H
#define MG_AUTHORITY_GATE_SIDE_H

#include "base/status.h"

/* Opens the shared files below RUN/gate; before the sandbox closes. */
CHECKED struct mg_status mg_gate_side_prepare(const char *directory);
/* Starts the thread of the regular rounds; after the database is connected. */
CHECKED struct mg_status mg_gate_side_start(void);

#endif
