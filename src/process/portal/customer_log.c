/* A tenant's own console: the history of sign-ins, the audit log, its export and proofs from it. */
#include "process/portal/csv.h"

#include "ports/audit_reason.h"
#include "wire/events.h"

#include <inttypes.h>

#define PAGE_ENTRIES 100
#define EXPORT_ENTRIES 200
#define DAY_MS (24 * 3600 * 1000LL)

/* ---- what is asked for ---- */

struct filter {
    struct mg_view words, since_text, until_text;
    mg_instant since, until; /* 0: open */
    uint64_t outcome;        /* enum mg_audit_outcome; 0: any */
};

/* A day as <input type="date"> sends it, beginning in the tenant's zone. */
static CHECKED struct mg_status
day_read(const struct visit *visit, struct mg_view text, mg_instant *ret_instant)
{
    *ret_instant = 0;
    return text.length == 0 ? OK : mg_time_zone_day(visit_time_zone(visit), text, ret_instant);
}

/* When the day after the one that begins at *instant begins: 23 to 25 hours later. */
static CHECKED struct mg_status
day_after(const struct visit *visit, mg_instant *instant)
{
    char text[MG_INSTANT_TEXT];
    const mg_instant noon = *instant + DAY_MS + DAY_MS / 2;
    mg_instant_text(noon + mg_time_zone_ahead_ms(visit_time_zone(visit), noon), text);
    text[10] = '\0';
    return mg_time_zone_day(visit_time_zone(visit), mg_view_text(text), instant);
}

static CHECKED struct mg_status
filter_read(struct visit *visit, struct filter *ret_filter)
{
    struct filter filter = {
        .words = mg_form_value(&visit->query, "words"),
        .since_text = mg_form_value(&visit->query, "since"),
        .until_text = mg_form_value(&visit->query, "until"),
    };
    TRY(day_read(visit, filter.since_text, &filter.since));
    TRY(day_read(visit, filter.until_text, &filter.until));
    if (filter.until != 0)
        TRY(day_after(visit, &filter.until)); /* that day included */
    mg_scope_set(visit->page, "words", filter.words);
    mg_scope_set(visit->page, "since", filter.since_text);
    mg_scope_set(visit->page, "until", filter.until_text);
    for (uint64_t i = 0; i < MG_OUTCOME_WORDS; i++) {
        const bool chosen = mg_view_is(mg_form_value(&visit->query, "outcome"), outcome_words[i].word);
        struct mg_scope *row = mg_scope_add(visit->page, "outcome_choices");
        mg_scope_set_text(row, "choice", outcome_words[i].word);
        mg_scope_set_text(row, "choice_text", say(visit, outcome_words[i].text));
        mg_scope_set_flag(row, "chosen", chosen);
        if (chosen) {
            filter.outcome = MG_AUDIT_SUCCESS + i; /* in the order of the table */
            mg_scope_set_text(visit->page, "outcome_chosen", outcome_words[i].word);
        }
    }
    *ret_filter = filter;
    return OK;
}

/* ---- pages ---- */

static CHECKED struct mg_status
show_entries(struct visit *visit, uint64_t class_uid, const char *at, const char *page)
{
    uint64_t before = 0;
    struct filter filter;
    struct mg_reply_audit_search reply;
    struct mg_record_audit_row entry = {0};
    const struct mg_view before_text = mg_form_value(&visit->query, "before");
    if (before_text.length > 0)
        TRY(mg_parse_u64(before_text, UINT64_MAX, &before));
    TRY(filter_read(visit, &filter));
    const struct mg_request_audit_search request = {
        .session = visit_session(visit),
        .words = filter.words,
        .since = filter.since,
        .until = filter.until,
        .before = before,
        .most = PAGE_ENTRIES,
        .class_uid = class_uid,
        .audit_outcome = filter.outcome,
    };
    TRY(mg_call_audit_search(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return customer_refused(visit, reply.outcome);
    for (bool more = true;;) {
        TRY(mg_list_next_audit_row(&reply.entries, &entry, &more));
        if (!more)
            break;
        struct mg_scope *row = mg_scope_add(visit->page, "entries");
        TRY(scope_entry(visit, row, &entry));
        if (class_uid == MG_CLASS_SIGN_INS)
            TRY(scope_sign_in(visit, row, &entry));
    }
    if (reply.more)
        mg_scope_set_number(visit->page, "next", reply.next);
    mg_scope_set_flag(visit->page, "filtered",
                      filter.words.length != 0 || filter.since != 0 || filter.until != 0 ||
                          filter.outcome != 0);
    return customer_show(visit, at, page);
}

struct mg_status
page_customer_sign_ins(struct visit *visit)
{
    return show_entries(visit, MG_CLASS_SIGN_INS, "at_sign_ins", "customer_sign_ins");
}

struct mg_status
page_customer_audit(struct visit *visit)
{
    return show_entries(visit, 0, "at_audit", "customer_audit");
}

/* ---- export ---- */

/* Newest first. The first page is recorded as the export. */
static CHECKED struct mg_status
csv_make(struct visit *visit, const struct filter *filter, uint64_t class_uid, struct mg_buffer *csv,
         uint64_t *ret_outcome)
{
    struct mg_request_audit_search request = {
        .session = visit_session(visit),
        .words = filter->words,
        .since = filter->since,
        .until = filter->until,
        .most = EXPORT_ENTRIES,
        .class_uid = class_uid,
        .audit_outcome = filter->outcome,
        .exporting = true,
    };
    struct mg_reply_audit_search reply = {.more = true};
    TRY(mg_csv_audit_head(csv));
    while (reply.more) {
        struct mg_record_audit_row row = {0};
        mg_buffer_clear(&visit->storage);
        TRY(mg_call_audit_search(&request, &reply, &visit->storage, CALL_MS));
        *ret_outcome = reply.outcome;
        for (bool another = reply.outcome == MG_GRANTED; another;) {
            TRY(mg_list_next_audit_row(&reply.entries, &row, &another));
            if (another)
                TRY(mg_csv_audit_row(csv, &row, visit->language == MG_JAPANESE));
        }
        request.before = reply.next;
    }
    return OK;
}

/* OCSF as it is kept, behind the reason in words: one JSON object a line, oldest first. */
static CHECKED struct mg_status
ocsf_make(struct visit *visit, const struct filter *filter, struct mg_buffer *lines, uint64_t *ret_outcome)
{
    struct mg_request_audit_events request = {
        .session = visit_session(visit),
        .text = filter->words,
        .since = filter->since,
        .until = filter->until,
        .oldest_first = true,
        .exporting = true,
    };
    struct mg_reply_audit_events reply = {.more = true};
    while (reply.more) {
        struct mg_record_audit_entry entry;
        mg_buffer_clear(&visit->storage);
        TRY(mg_call_audit_events(&request, &reply, &visit->storage, CALL_MS));
        *ret_outcome = reply.outcome;
        for (bool another = reply.outcome == MG_GRANTED; another;) {
            TRY(mg_list_next_audit_entry(&reply.entries, &entry, &another));
            if (!another)
                break;
            TRY(mg_audit_event_add(entry.event, false, 0, visit->language == MG_JAPANESE, lines));
            TRY(mg_buffer_add_byte(lines, '\n'));
        }
        if (reply.outcome != MG_GRANTED)
            return OK;
        request.from = reply.next;
        request.exporting = false; /* recorded once */
    }
    return OK;
}

static CHECKED struct mg_status
entries_export(struct visit *visit, bool csv, uint64_t class_uid, const char *name)
{
    struct filter filter;
    uint64_t outcome = MG_OUTCOME_NONE;
    MG_CLEANUP(mg_buffer_drop) struct mg_buffer file = MG_BUFFER(MG_FILE_MOST);
    TRY(filter_read(visit, &filter));
    const struct mg_status made = csv ? csv_make(visit, &filter, class_uid, &file, &outcome)
                                      : ocsf_make(visit, &filter, &file, &outcome);
    if (made.code == MG_TOO_LARGE)
        return mg_csv_too_large(visit);
    TRY(made);
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    return mg_csv_send(visit, csv ? MG_CSV_TYPE : "application/x-ndjson; charset=utf-8", &file, name);
}

struct mg_status
page_customer_audit_export(struct visit *visit)
{
    const bool csv = mg_view_is(mg_form_value(&visit->query, "format"), "csv");
    return entries_export(visit, csv, 0, csv ? "audit.csv" : "audit.ocsf.jsonl");
}

struct mg_status
page_customer_sign_in_export(struct visit *visit)
{
    return entries_export(visit, true, MG_CLASS_SIGN_INS, "sign-ins.csv");
}

/* ---- proof ---- */

/* What `masugata audit proof` gives: the proof (c2sp.org/tlog-proof), the entry as it stands in the log and
 * the key that opens this entry alone. */
struct mg_status
page_customer_audit_proof(struct visit *visit)
{
    uint64_t index = 0;
    char name[64];
    OWN_BUFFER(leaf, 131072);
    OWN_BUFFER(key, 64);
    /* What is no number is asked for as an entry that there is not: whoever may not do this is told so first.
     */
    if (!mg_ok(mg_parse_u64(mg_form_value(&visit->query, "entry"), INT64_MAX, &index)))
        index = INT64_MAX;
    const struct mg_request_audit_evidence request = {.session = visit_session(visit), .index = index};
    struct mg_reply_audit_evidence reply;
    TRY(mg_call_audit_evidence(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return customer_refused(visit, reply.outcome);
    TRY(mg_base64(reply.leaf, &leaf));
    TRY(mg_base64(reply.entry_key, &key));
    struct mg_buffer *body = &visit->answer->body;
    TRY(mg_buffer_format(body, "{\"entry\":%" PRIu64 ",\"proof\":", index));
    TRY(mg_buffer_add_json_string(body, reply.proof));
    TRY(mg_buffer_format(body, ",\"leaf\":\"%s\",\"key\":\"%s\",\"log\":", mg_buffer_text(&leaf),
                         mg_buffer_text(&key)));
    TRY(mg_buffer_add_json_string(body, reply.log));
    TRY(mg_buffer_add_text(body, "}\n"));
    (void) snprintf(name, sizeof name, "entry-%" PRIu64 ".proof.json", index);
    return mg_file_head(visit, "application/json", name);
}

/* ---- for reports ---- */

struct mg_status
mg_csv_period(struct visit *visit, mg_instant *ret_since, mg_instant *ret_until)
{
    struct filter filter;
    TRY(filter_read(visit, &filter));
    *ret_since = filter.since;
    *ret_until = filter.until;
    return OK;
}

struct mg_status
mg_csv_day(struct visit *visit, struct mg_view day, mg_instant *ret_instant)
{
    return day_read(visit, day, ret_instant);
}
