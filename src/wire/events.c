#include "wire/events.h"

static const char *const actor_kind_names[MG_ACTOR_KIND_COUNT] = {
    [MG_ACTOR_NONE] = "none",       [MG_ACTOR_USER] = "user",       [MG_ACTOR_OPERATOR] = "operator",
    [MG_ACTOR_PROCESS] = "process", [MG_ACTOR_SERVICE] = "service", [MG_ACTOR_UNKNOWN] = "unknown",
};

const char *
mg_actor_kind_name(enum mg_actor_kind kind)
{
    return (unsigned) kind < MG_ACTOR_KIND_COUNT ? actor_kind_names[kind] : "none";
}

static const char *const outcome_names[MG_AUDIT_OUTCOME_COUNT] = {
    [MG_AUDIT_UNKNOWN] = "unknown",
    [MG_AUDIT_SUCCESS] = "success",
    [MG_AUDIT_FAILURE] = "failure",
    [MG_AUDIT_REFUSED] = "refused",
};

const char *
mg_audit_outcome_name(enum mg_audit_outcome outcome)
{
    return (unsigned) outcome < MG_AUDIT_OUTCOME_COUNT ? outcome_names[outcome] : "unknown";
}

/* The table writes its senders as KEYS|AUTHORITY. */
enum {
#define PROCESS(NAME, ...) NAME = 1 << MG_##NAME,
#define WIRE(a, b)
#include "../../catalogue/processes.def"
#undef PROCESS
#undef WIRE
    WARDEN = 1 << MG_WARDEN,
    NOBODY = 0,
};
enum { ORDINARY = false, PRIVILEGED = true };

static const struct mg_event_row rows[MG_EVENT_COUNT] = {
#define EVENT(name, class, activity, severity, who, reserved, english, japanese) \
    [MG_EVENT_##name] = {#name, class, activity, severity, (who), reserved, english, japanese},
#include "../../catalogue/events.def"
#undef EVENT
};

const struct mg_event_row *
mg_event_row(enum mg_event event)
{
    if ((unsigned) event >= MG_EVENT_COUNT || rows[event].name == NULL)
        return NULL;
    return &rows[event];
}

bool
mg_event_is_of_class(enum mg_event event, uint64_t class_uid)
{
    enum { AUTHENTICATION = 3002 };
    const struct mg_event_row *row = mg_event_row(event);
    if (row == NULL)
        return false;
    if (class_uid != MG_CLASS_SIGN_INS)
        return row->class_uid == class_uid;
    return row->class_uid == AUTHENTICATION || event == MG_EVENT_sign_in_suspicious ||
           event == MG_EVENT_sign_in_refused_flood || event == MG_EVENT_account_lock;
}

enum mg_event
mg_event_of_name(struct mg_view name)
{
    for (unsigned event = 1; event < MG_EVENT_COUNT; event++)
        if (mg_view_is(name, rows[event].name))
            return (enum mg_event) event;
    return MG_EVENT_NONE;
}
