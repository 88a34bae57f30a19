/* The audit events of catalogue/events.def as C, and the small enumerations of `audit_append`. */
#ifndef MG_WIRE_EVENTS_H
#define MG_WIRE_EVENTS_H

#include "wire/messages.h"

/* Zero is no event, so that a forgotten field is refused. */
enum mg_event {
    MG_EVENT_NONE = 0,
#define EVENT(name, ...) MG_EVENT_##name,
#include "../../catalogue/events.def"
#undef EVENT
    MG_EVENT_COUNT
};

/* Who acted. The name of MG_ACTOR_UNKNOWN (a name that is nobody's) is kept only as a keyed hash. */
enum mg_actor_kind {
    MG_ACTOR_NONE = 0,
    MG_ACTOR_USER,
    MG_ACTOR_OPERATOR,
    MG_ACTOR_PROCESS,
    MG_ACTOR_SERVICE,
    MG_ACTOR_UNKNOWN,
    MG_ACTOR_KIND_COUNT
};
const char *mg_actor_kind_name(enum mg_actor_kind kind);

/* A failure is something that did not work, a refusal something that was not allowed. */
enum mg_audit_outcome {
    MG_AUDIT_UNKNOWN = 0,
    MG_AUDIT_SUCCESS,
    MG_AUDIT_FAILURE,
    MG_AUDIT_REFUSED,
    MG_AUDIT_OUTCOME_COUNT
};
const char *mg_audit_outcome_name(enum mg_audit_outcome outcome);

struct mg_event_row {
    const char *name;
    unsigned class_uid, activity_id, severity_id; /* OCSF */
    uint32_t senders;                             /* bits 1 << enum mg_process */
    bool privileged;
    const char *en, *ja;
};
/* NULL if there is no such event. */
const struct mg_event_row *mg_event_row(enum mg_event event);
/* Instead of a class's number: whatever concerns signing in, for people who look after it: class 3002, what
 * was suspicious, what was refused and locked. */
#define MG_CLASS_SIGN_INS 1
bool mg_event_is_of_class(enum mg_event event, uint64_t class_uid);
/* MG_EVENT_NONE if there is no such event. */
enum mg_event mg_event_of_name(struct mg_view name);

#endif
