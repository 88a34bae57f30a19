/* An audit event as OCSF 1.3 JSON, on one line. What OCSF has no place for (outcome, sender, session,
 * request id, details) stands in `unmapped`. */
#ifndef MG_WIRE_OCSF_H
#define MG_WIRE_OCSF_H

#include "base/time.h"
#include "wire/events.h"

/* Stamped by audit, not taken from the message. */
struct mg_ocsf_stamp {
    enum mg_process sender;
    mg_instant time;
    /* Stands for the actor's name where that is nobody's (MG_ACTOR_UNKNOWN); empty otherwise. */
    struct mg_view name_hash;
};

/* INVALID unless event, actor kind and outcome are in their tables. */
CHECKED struct mg_status mg_ocsf_add(struct mg_buffer *json, const struct mg_request_audit_append *request,
                                     const struct mg_ocsf_stamp *stamp);

#endif
