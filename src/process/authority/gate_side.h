/* Identity assertions kept ready for the gate, and its counts of refusals taken to the audit log. */
#ifndef MG_AUTHORITY_GATE_SIDE_H
#define MG_AUTHORITY_GATE_SIDE_H

#include "base/status.h"
#include "base/time.h"

/* Opens the shared files below RUN/gate; before the sandbox closes. */
CHECKED struct mg_status mg_gate_side_prepare(const char *directory);
/* Starts the thread of the regular rounds; after the database is connected. */
CHECKED struct mg_status mg_gate_side_start(void);

/* Rotates the key that signs assertions when its time has come (assertion_key.c). By one thread. */
CHECKED struct mg_status mg_assertion_key_tend(mg_instant now);

#endif
