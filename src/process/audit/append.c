#include "base/log.h"
#include "process/audit/audit.h"

MG_HANDLER_PUBLIC(audit_append)
{
    const struct mg_event_row *row =
        request->event < MG_EVENT_COUNT ? mg_event_row((enum mg_event) request->event) : NULL;
    if (row == NULL || request->actor_kind >= MG_ACTOR_KIND_COUNT ||
        request->outcome >= MG_AUDIT_OUTCOME_COUNT)
        return fail_with(INVALID, "event %llu, actor %llu, outcome %llu", (unsigned long long) request->event,
                         (unsigned long long) request->actor_kind, (unsigned long long) request->outcome);
    /* The list is walked here, so that a bad one fails before the event has its place. */
    struct mg_list details = request->details;
    for (bool more = true; more;) {
        struct mg_record_audit_detail detail;
        TRY(mg_list_next_audit_detail(&details, &detail, &more));
    }
    const enum mg_process sender = mg_call_sender(call);
    if ((row->senders & 1U << sender) == 0) {
        mg_log(MG_ERROR, "%s tried to write %s", mg_process_name(sender), row->name);
        mg_sequencer_note(MG_EVENT_audit_refuse, MG_AUDIT_REFUSED, row->name, mg_process_name(sender));
        return fail_with(REFUSED, "%s may not write %s", mg_process_name(sender), row->name);
    }
    return mg_sequencer_put(request, call);
}
