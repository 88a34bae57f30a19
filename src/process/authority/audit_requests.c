/* What operators ask of the audit log: the authority checks the right, names tenants, records that the
 * log was read, and asks the audit process. */
#include "base/io.h"
#include "domain/audit_words.h"
#include "domain/report.h"
#include "process/authority/requests.h"
#include "process/authority/rights.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define AUDIT_MS 20000
/* An answer may be empty and have more: so many are asked for one page. */
#define PAGES_MOST 50
#define ROWS_MOST 200

/* Recorded once a search, not once a page of it. */
static CHECKED struct mg_status
reading_record(const struct mg_core_actor *actor, enum mg_event event, uint64_t tenant, struct mg_view words)
{
    const struct mg_core_detail details[] = {{.key = "text", .value = words}};
    return mg_core_record(&(struct mg_core_record){.event = event,
                                                   .tenant = tenant,
                                                   .actor = actor,
                                                   .target = mg_view_text("audit log"),
                                                   .outcome = MG_AUDIT_SUCCESS,
                                                   .details = details,
                                                   .detail_count = words.length == 0 ? 0 : 1});
}

/* ---- rows for the console ---- */

static struct mg_view
text_at(const json_t *event, const char *first, const char *second, const char *third)
{
    const json_t *at = json_object_get(event, first);
    if (second != NULL)
        at = json_object_get(at, second);
    if (third != NULL)
        at = json_object_get(at, third);
    return mg_view_text(json_string_value(at));
}

static struct mg_view
either(struct mg_view a, struct mg_view b)
{
    return a.length != 0 ? a : b;
}

static struct mg_view
cut(struct mg_view text, size_t most)
{
    if (text.length <= most)
        return text;
    while (most != 0 && (text.bytes[most] & 0xC0) == 0x80)
        most--;
    return mg_view_of(text.bytes, most);
}

/* The name of a tenant that exists, its number otherwise. */
static struct mg_view
tenant_name(struct mg_view number, struct mg_core_tenant *tenant)
{
    uint64_t value = 0;
    if (!mg_ok(mg_parse_u64(number, UINT64_MAX, &value)) || value == 0)
        return MG_VIEW_EMPTY;
    return mg_ok(mg_core_tenant(value, tenant)) ? mg_view_text(tenant->name) : number;
}

/* The details as key=value; without the one that is told beside the reason if there is such. */
static CHECKED struct mg_status
details_add(const json_t *event, bool but_told, struct mg_buffer *text)
{
    json_t *details = json_object_get(json_object_get(event, "unmapped"), "details");
    const char *key;
    json_t *value;
    json_object_foreach(details, key, value) if (!but_told || strcmp(key, "detail") != 0)
        TRY(mg_buffer_format(text, "%s%s=%s", text->length == 0 ? "" : " ", key,
                             json_is_string(value) ? json_string_value(value) : ""));
    return OK;
}

static CHECKED struct mg_status
row_add(struct mg_buffer *list, const struct mg_record_audit_entry *entry)
{
    char class[24];
    struct mg_core_tenant tenant;
    OWN_BUFFER(detail, 16384);
    OWN_BUFFER(rest, 16384);
    json_t *event = json_loadb((const char *) entry->event.bytes, entry->event.length, 0, NULL);
    (void) snprintf(class, sizeof class, "%" JSON_INTEGER_FORMAT,
                    json_integer_value(json_object_get(event, "class_uid")));
    const struct mg_view actor =
        either(either(text_at(event, "actor", "user", "name"), text_at(event, "actor", "user", "uid")),
               text_at(event, "actor", "process", "uid"));
    const json_t *resource = json_array_get(json_object_get(event, "resources"), 0);
    const struct mg_view target =
        either(either(text_at(event, "user", "name", NULL), text_at(event, "entity", "name", NULL)),
               either(either(text_at(event, "database", "name", NULL),
                             text_at(event, "finding_info", "title", NULL)),
                      mg_view_text(json_string_value(json_object_get(resource, "name")))));
    const struct mg_view reason = text_at(event, "status_detail", NULL, NULL);
    const bool ours =
        reason.length != 0 && mg_audit_reason_ours(text_at(event, "metadata", "event_code", NULL));
    struct mg_status status = mg_buffer_add(&detail, reason);
    if (mg_ok(status))
        status = details_add(event, false, &detail);
    if (mg_ok(status))
        status = details_add(event, ours, &rest);
    const struct mg_record_audit_row row = {
        .entry = entry->index,
        .time = (int64_t) json_integer_value(json_object_get(event, "time")),
        .class = mg_view_text(class),
        .tenant = tenant_name(text_at(event, "metadata", "tenant_uid", NULL), &tenant),
        .actor = cut(actor, 254),
        .action = cut(json_is_true(json_object_get(event, "erased"))
                          ? mg_view_text("erased")
                          : text_at(event, "metadata", "event_code", NULL),
                      64),
        .target = cut(target, 254),
        .outcome = cut(text_at(event, "unmapped", "outcome", NULL), 64),
        .address = cut(text_at(event, "src_endpoint", "ip", NULL), 64),
        .detail = cut(mg_buffer_view(&detail), 1024),
        .reason = cut(reason, 512),
        .told = ours ? cut(text_at(event, "unmapped", "details", "detail"), 512) : MG_VIEW_EMPTY,
        .rest = cut(mg_buffer_view(&rest), 1024),
    };
    if (mg_ok(status))
        status = mg_list_add_audit_row(list, &row);
    json_decref(event);
    return status;
}

/* Adds the rows of one answer; *full when the list takes no more, and then *ret_next the last entry that it
 * took: what comes before that one is next. */
static CHECKED struct mg_status
rows_add(struct mg_buffer *list, struct mg_list entries, uint64_t most, uint64_t *rows, bool *full,
         uint64_t *ret_next)
{
    uint64_t last = 0;
    for (bool more = true;;) {
        struct mg_record_audit_entry entry;
        TRY(mg_list_next_audit_entry(&entries, &entry, &more));
        if (!more)
            return OK;
        const size_t before = list->length;
        const struct mg_status status = *rows < most ? row_add(list, &entry) : fail(TOO_LARGE);
        if (status.code == MG_TOO_LARGE && *rows != 0) {
            list->length = before;
            *full = true;
            if (last != 0)
                *ret_next = last;
            return OK;
        }
        TRY(status);
        last = entry.index;
        ++*rows;
    }
}

MG_HANDLER_PUBLIC(audit_search)
{
    OWN_BUFFER(list, 122880);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_audit_search reply = {.outcome = MG_NOT_ALLOWED};
    bool full = false;
    enum mg_permission permission = (enum mg_permission) MG_NEEDS_audit_search;
    if (request->class_uid == MG_CLASS_SIGN_INS)
        permission = MG_PERMISSION_sign_ins_read;
    else if (request->exporting)
        permission = MG_PERMISSION_audit_export;
    TRY(mg_right_ask(call, permission, request->session, request->tenant, &right, &outcome));
    if (outcome != MG_GRANTED) {
        reply.outcome = outcome;
        return mg_answer_audit_search(call, &reply);
    }
    if (request->before == 0)
        TRY(reading_record(&right.actor, request->exporting ? MG_EVENT_audit_export : MG_EVENT_audit_read,
                           right.tenant.number, request->words));
    const uint64_t most = request->most == 0 || request->most > ROWS_MOST ? ROWS_MOST : request->most;
    struct mg_request_audit_read read = {.all_tenants = right.operator&& request->tenant.length == 0,
                                         .tenant = right.tenant.number,
                                         .class_uid = request->class_uid,
                                         .text = request->words,
                                         .since = request->since,
                                         .until = request->until,
                                         .from = request->before,
                                         .limit = most,
                                         .outcome = request->audit_outcome};
    struct mg_reply_audit_read answer = {.more = true};
    uint64_t rows = 0, next = 0;
    for (unsigned page = 0; page < PAGES_MOST && answer.more && rows < most && !full; page++) {
        TRY(mg_call_audit_read(&read, &answer, &storage, AUDIT_MS));
        next = read.from;
        TRY(rows_add(&list, answer.entries, most, &rows, &full, &next));
        if (!full)
            next = answer.next;
        read.from = next;
    }
    reply = (struct mg_reply_audit_search){.outcome = MG_GRANTED,
                                           .more = next != 0 && (answer.more || full),
                                           .next = next,
                                           .entries = {.bytes = mg_buffer_view(&list)}};
    return mg_answer_audit_search(call, &reply);
}

/* ---- entries as they are ---- */

MG_HANDLER_PUBLIC(audit_events)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_audit_events reply = {.outcome = MG_NOT_ALLOWED};
    TRY(mg_right_ask(
        call, request->exporting ? MG_PERMISSION_audit_export : (enum mg_permission) MG_NEEDS_audit_events,
        request->session, request->tenant, &right, &outcome));
    if (outcome == MG_NOT_KNOWN)
        return fail_with(NOT_FOUND, "tenant %.*s", (int) request->tenant.length,
                         (const char *) request->tenant.bytes);
    if (outcome != MG_GRANTED)
        return mg_answer_audit_events(call, &reply);
    const enum mg_event event = mg_event_of_name(request->event);
    if (request->event.length != 0 && event == MG_EVENT_NONE)
        return fail_with(NOT_FOUND, "no event is called %.*s", (int) request->event.length,
                         (const char *) request->event.bytes);
    if (request->exporting)
        TRY(reading_record(&right.actor, MG_EVENT_audit_export, right.tenant.number, request->text));
    else if (request->from == 0)
        TRY(reading_record(&right.actor, MG_EVENT_audit_read, right.tenant.number, request->text));
    const struct mg_request_audit_read read = {.all_tenants = right.operator&& request->all_tenants,
                                               .tenant = right.tenant.number,
                                               .class_uid = request->class_uid,
                                               .event = (uint64_t) event,
                                               .actor = request->actor,
                                               .text = request->text,
                                               .since = request->since,
                                               .until = request->until,
                                               .from = request->from,
                                               .oldest_first = request->oldest_first,
                                               .limit = request->limit};
    struct mg_reply_audit_read answer;
    TRY(mg_call_audit_read(&read, &answer, &storage, AUDIT_MS));
    reply = (struct mg_reply_audit_events){.outcome = MG_GRANTED,
                                           .entries = answer.entries,
                                           .next = answer.next,
                                           .more = answer.more,
                                           .size = answer.size};
    return mg_answer_audit_events(call, &reply);
}

static CHECKED struct mg_status
log_key_read(struct mg_buffer *key)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, mg_environment()->directory, "audit/log.vkey"));
    TRY(mg_file_read(path, key));
    while (key->length != 0 && key->bytes[key->length - 1] == '\n')
        key->length--;
    return OK;
}

MG_HANDLER_PUBLIC(log_public_key)
{
    OWN_BUFFER(key, 511);
    (void) request;
    TRY(log_key_read(&key));
    return mg_answer_log_public_key(call, &(struct mg_reply_log_public_key){.key = mg_buffer_view(&key)});
}

/* The proof carries the key of the entry: nobody gets another tenant's. */
static CHECKED struct mg_status
entry_is_of(uint64_t index, uint64_t tenant, bool *ret_own)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_audit_read answer;
    struct mg_record_audit_entry entry;
    const struct mg_request_audit_read read = {
        .tenant = tenant, .from = index, .oldest_first = true, .limit = 1};
    *ret_own = false;
    TRY(mg_call_audit_read(&read, &answer, &storage, AUDIT_MS));
    TRY(mg_list_next_audit_entry(&answer.entries, &entry, ret_own));
    *ret_own = *ret_own && entry.index == index;
    return OK;
}

MG_HANDLER_PUBLIC(audit_evidence)
{
    OWN_BUFFER(log, 511);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_audit_evidence reply = {.outcome = MG_NOT_ALLOWED};
    bool own = true;
    TRY(MG_RIGHT_ASK(audit_evidence, call, request->session, MG_VIEW_EMPTY, &right, &outcome));
    if (outcome == MG_GRANTED && !right.operator)
        TRY(entry_is_of(request->index, right.tenant.number, &own));
    if (outcome != MG_GRANTED || !own) {
        reply.outcome = outcome != MG_GRANTED ? outcome : MG_NOT_KNOWN;
        return mg_answer_audit_evidence(call, &reply);
    }
    struct mg_reply_audit_proof answer;
    TRY(mg_call_audit_proof(&(struct mg_request_audit_proof){.index = request->index}, &answer, &storage,
                            AUDIT_MS));
    TRY(log_key_read(&log));
    reply = (struct mg_reply_audit_evidence){.outcome = MG_GRANTED,
                                             .proof = answer.proof,
                                             .leaf = answer.leaf,
                                             .entry_key = answer.entry_key,
                                             .log = mg_buffer_view(&log)};
    return mg_answer_audit_evidence(call, &reply);
}

/* ---- reports ---- */

static bool
is_counted(enum mg_report report, const struct mg_record_audit_entry *entry)
{
    json_t *event = json_loadb((const char *) entry->event.bytes, entry->event.length, 0, NULL);
    const bool counted =
        mg_report_counts(report, mg_event_of_name(text_at(event, "metadata", "event_code", NULL)),
                         mg_view_is(text_at(event, "actor", "user", "type"), "operator"));
    json_decref(event);
    return counted;
}

/* Adds what the report counts of one answer; *ret_next is the entry to go on from when the list is full. */
static CHECKED struct mg_status
counted_add(struct mg_buffer *list, struct mg_list entries, enum mg_report report, uint64_t *ret_next,
            bool *ret_full)
{
    for (bool more = true;;) {
        struct mg_record_audit_entry entry;
        TRY(mg_list_next_audit_entry(&entries, &entry, &more));
        if (!more)
            return OK;
        if (!is_counted(report, &entry))
            continue;
        const size_t before = list->length;
        const struct mg_status status = row_add(list, &entry);
        if (status.code == MG_TOO_LARGE && before != 0) {
            list->length = before;
            *ret_next = entry.index;
            *ret_full = true;
            return OK;
        }
        TRY(status);
    }
}

/* Control: AUDIT_04 */
MG_HANDLER_PUBLIC(report)
{
    OWN_BUFFER(list, 122880);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_audit_read answer = {.more = true};
    const enum mg_report kind =
        request->report < MG_REPORT_COUNT ? (enum mg_report) request->report : MG_REPORT_NONE;
    TRY(MG_RIGHT_ASK(report, call, request->session, request->tenant, &right, &outcome));
    if (outcome == MG_GRANTED && mg_report_row(kind) == NULL)
        outcome = MG_NOT_VALID;
    if (outcome != MG_GRANTED)
        return mg_answer_report(call, &(struct mg_reply_report){.outcome = outcome});
    if (request->from == 0)
        TRY(reading_record(&right.actor, MG_EVENT_audit_read, right.tenant.number,
                           mg_view_text(mg_report_row(kind)->keyword)));
    struct mg_request_audit_read read = {.tenant = right.tenant.number,
                                         .since = request->since,
                                         .until = request->until,
                                         .from = request->from,
                                         .oldest_first = true};
    uint64_t next = 0;
    bool full = false;
    for (unsigned page = 0; page < PAGES_MOST && answer.more && !full; page++) {
        TRY(mg_call_audit_read(&read, &answer, &storage, AUDIT_MS));
        next = answer.next;
        TRY(counted_add(&list, answer.entries, kind, &next, &full));
        read.from = next;
    }
    return mg_answer_report(call, &(struct mg_reply_report){.outcome = MG_GRANTED,
                                                            .more = answer.more || full,
                                                            .next = next,
                                                            .entries = {.bytes = mg_buffer_view(&list)}});
}
