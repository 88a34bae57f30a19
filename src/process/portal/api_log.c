/* The API: the history of sign-ins, the audit log with its export and proofs, reports. */
#include "process/portal/api.h"

#include "domain/audit_words.h"
#include "domain/report.h"
#include "ports/audit_reason.h"

#define PAGE_ENTRIES 100
#define UNUSED_DAYS 90
#define DAY_MS (24 * 3600 * INT64_C(1000))

/* ---- entries ---- */

static uint64_t
outcome_of(struct mg_view word)
{
    for (int i = 1; i < MG_AUDIT_OUTCOME_COUNT; i++)
        if (mg_view_is(word, mg_audit_outcome_name((enum mg_audit_outcome) i)))
            return (uint64_t) i;
    return 0;
}

/* With the reason as a sentence in the asker's language in place of its code, which `detail` keeps. */
static CHECKED struct mg_status
entry_item(struct api *api, struct mg_record_audit_row entry)
{
    OWN_BUFFER(reason, 8192);
    TRY(mg_audit_reason_add(entry.action, entry.reason, entry.told, api->visit->language == MG_JAPANESE,
                            &reason));
    entry.reason = mg_buffer_view(&reason);
    return api_item_entry(api, &entry);
}

static CHECKED struct mg_status
event_item(struct api *api, const struct mg_record_audit_entry *entry)
{
    OWN_BUFFER(reason, 8192);
    TRY(mg_audit_reason_of(entry->event, api->visit->language == MG_JAPANESE, &reason));
    return api_item_event(api, &(struct mg_api_event){.index = entry->index,
                                                      .event = entry->event,
                                                      .reason = mg_buffer_view(&reason)});
}

static CHECKED struct mg_status
entries_list(struct api *api, uint64_t class_uid)
{
    struct mg_reply_audit_search reply;
    struct mg_record_audit_row entry;
    struct mg_request_audit_search request = {
        .session = visit_session(api->visit),
        .words = api_text(api, "words"),
        .since = api_value(api, "since")->time,
        .until = api_value(api, "until")->time,
        .most = PAGE_ENTRIES,
        .class_uid = class_uid,
    };
    bool right = false;
    TRY(api_cursor_number(api, &request.before, &right));
    if (!right)
        return OK;
    request.audit_outcome = outcome_of(api_text(api, "outcome"));
    if (request.audit_outcome == 0 && api_text(api, "outcome").length != 0)
        return api_problem(api, MG_API_PROBLEM_wrong_member, "outcome");
    TRY(mg_call_audit_search(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_audit_row(&reply.entries, &entry, &more));
        if (!more)
            break;
        TRY(entry_item(api, entry));
    }
    return api_list_end_number(api, reply.more, reply.next);
}

struct mg_status
api_on_sign_ins(struct api *api)
{
    return entries_list(api, MG_CLASS_SIGN_INS);
}

struct mg_status
api_on_audit(struct api *api)
{
    return entries_list(api, 0);
}

/* Each page is an export and recorded as one. */
struct mg_status
api_on_audit_events(struct api *api)
{
    struct mg_reply_audit_events reply;
    struct mg_record_audit_entry entry;
    struct mg_request_audit_events request = {
        .session = visit_session(api->visit),
        .event = api_text(api, "event"),
        .actor = api_text(api, "actor"),
        .text = api_text(api, "words"),
        .since = api_value(api, "since")->time,
        .until = api_value(api, "until")->time,
        .oldest_first = true,
        .exporting = true,
    };
    bool right = false;
    TRY(api_cursor_number(api, &request.from, &right));
    if (!right)
        return OK;
    if (request.event.length != 0 && mg_event_of_name(request.event) == MG_EVENT_NONE)
        return api_problem(api, MG_API_PROBLEM_wrong_member, "event");
    TRY(mg_call_audit_events(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_audit_entry(&reply.entries, &entry, &more));
        if (!more)
            break;
        TRY(event_item(api, &entry));
    }
    return api_list_end_number(api, reply.more, reply.next);
}

struct mg_status
api_on_audit_proof(struct api *api)
{
    struct mg_request_audit_evidence request = {.session = visit_session(api->visit)};
    struct mg_reply_audit_evidence reply;
    if (!api_number(api, "entry", &request.index))
        return api_refuse(api, MG_NOT_KNOWN, MG_VIEW_EMPTY);
    TRY(mg_call_audit_evidence(&request, &reply, &api->visit->storage, CALL_MS));
    return reply.outcome == MG_GRANTED ? api_one_proof(api, &reply)
                                       : api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
}

/* ---- reports ---- */

struct mg_status
api_on_report(struct api *api)
{
    struct mg_reply_report reply;
    struct mg_record_audit_row entry;
    struct mg_request_report request = {
        .session = visit_session(api->visit),
        .report = (uint64_t) mg_report_find(api_text(api, "report")),
        .since = api_value(api, "since")->time,
        .until = api_value(api, "until")->time,
    };
    bool right = false;
    TRY(api_cursor_number(api, &request.from, &right));
    if (!right)
        return OK;
    if (request.report == MG_REPORT_NONE)
        return api_refuse(api, MG_NOT_KNOWN, MG_VIEW_EMPTY);
    TRY(mg_call_report(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_audit_row(&reply.entries, &entry, &more));
        if (!more)
            break;
        TRY(entry_item(api, entry));
    }
    return api_list_end_number(api, reply.more, reply.next);
}

struct mg_status
api_on_report_unused(struct api *api)
{
    OWN_BUFFER(after, 254);
    struct mg_reply_role_report reply;
    struct mg_record_unused_row row;
    const struct mg_json_value *days = api_value(api, "days");
    bool right = false;
    TRY(api_cursor(api, &after, &right));
    if (!right)
        return OK;
    const struct mg_request_role_report request = {
        .session = visit_session(api->visit),
        .unused_ms = (int64_t) (days->given ? days->number : UNUSED_DAYS) * DAY_MS,
        .after = mg_buffer_view(&after)};
    TRY(mg_call_role_report(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_unused_row(&reply.rows, &row, &more));
        if (!more)
            break;
        TRY(api_item_unused_permission(api, &row));
    }
    return api_list_end(api, reply.more ? reply.next : MG_VIEW_EMPTY);
}
