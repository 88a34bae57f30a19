/* The reason of an event of the audit log, read out of its OCSF JSON: for exports, whose lines are the event
 * as it is kept with the sentence in front. */
#ifndef MG_PORTS_AUDIT_REASON_H
#define MG_PORTS_AUDIT_REASON_H

#include "base/bytes.h"

/* Appends the sentence; nothing where there is none. MALFORMED if the event is not a JSON object. */
CHECKED struct mg_status mg_audit_reason_of(struct mg_view event, bool japanese, struct mg_buffer *words);
/* Appends the event with `"entry":N` in front where with_entry, and with `"reason":"..."` where there is one.
 * All that follows is the event as it is kept, byte for byte. No newline. */
CHECKED struct mg_status mg_audit_event_add(struct mg_view event, bool with_entry, uint64_t entry,
                                            bool japanese, struct mg_buffer *line);

#endif
