/* A tenant's own console: the history of sign-ins, the audit log, its export and proofs from it. */
#include "process/portal/csv.h"

#include "domain/risk.h"
#include "wire/events.h"

#include <inttypes.h>

#define PAGE_ENTRIES 100
#define PROBE "masugata-probe" /* how the names of the probes' accounts begin (identity_canary.c) */
#define EXPORT_ENTRIES 200
#define EXPORT_MOST (16u << 20)
#define DAY_MS (24 * 3600 * 1000LL)

/* ---- what is asked for ---- */

struct filter {
    struct mg_view words, since_text, until_text;
    mg_instant since, until; /* 0: open */
    uint64_t outcome;        /* enum mg_audit_outcome; 0: any */
};

static const struct {
    const char *word, *text;
} outcomes[] = {
    {"success", N_("Done")},
    {"failure", N_("Failed")},
    {"refused", N_("Refused")},
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
    for (uint64_t i = 0; i < MG_COUNT(outcomes); i++) {
        const bool chosen = mg_view_is(mg_form_value(&visit->query, "outcome"), outcomes[i].word);
        struct mg_scope *row = mg_scope_add(visit->page, "outcome_choices");
        mg_scope_set_text(row, "choice", outcomes[i].word);
        mg_scope_set_text(row, "choice_text", say(visit, outcomes[i].text));
        mg_scope_set_flag(row, "chosen", chosen);
        if (chosen) {
            filter.outcome = MG_AUDIT_SUCCESS + i; /* in the order of the table */
            mg_scope_set_text(visit->page, "outcome_chosen", outcomes[i].word);
        }
    }
    *ret_filter = filter;
    return OK;
}

/* ---- pages ---- */

/* The value of "key=…" in what the log says besides; empty without one. Values with blanks end there. */
static struct mg_view
detail_value(struct mg_view detail, const char *key)
{
    const size_t length = strlen(key);
    for (size_t at = 0; at + length < detail.length; at++) {
        if ((at != 0 && detail.bytes[at - 1] != ' ') || memcmp(detail.bytes + at, key, length) != 0)
            continue;
        const uint8_t *value = detail.bytes + at + length;
        const size_t left = detail.length - at - length;
        const uint8_t *end = memchr(value, ' ', left);
        return mg_view_of(value, end == NULL ? left : (size_t) (end - value));
    }
    return MG_VIEW_EMPTY;
}

/* A sign-in's reasons in words: signals of a suspicious one, the provider's refusal, or why it was refused.
 */
static CHECKED struct mg_status
scope_reasons(const struct visit *visit, struct mg_scope *row, const struct mg_record_audit_row *entry)
{
    const bool japanese = visit->language == MG_JAPANESE;
    OWN_BUFFER(words, 4096);
    const uint8_t *blank =
        entry->detail.length == 0 ? NULL : memchr(entry->detail.bytes, ' ', entry->detail.length);
    const struct mg_view first = mg_view_of(
        entry->detail.bytes, blank == NULL ? entry->detail.length : (size_t) (blank - entry->detail.bytes));
    if (mg_view_is(entry->action, "sign_in_suspicious")) {
        TRY(mg_signals_words(mg_signals_of(entry->detail), japanese, &words));
        mg_scope_set(row, "score", detail_value(entry->detail, "score="));
    }
    if (words.length == 0) {
        TRY(mg_reason_words(first, japanese, &words));
        if (mg_view_equal(first, mg_buffer_view(&words)))
            mg_buffer_clear(&words); /* no reason: the first of the details */
    }
    mg_scope_set(row, "reasons", mg_buffer_view(&words));
    /* Of names that are nobody's there is only a hash, and what was counted together was nobody's alone. */
    const bool probe =
        entry->actor.length >= sizeof PROBE - 1 && memcmp(entry->actor.bytes, PROBE, sizeof PROBE - 1) == 0;
    if (!mg_view_is(first, "UNKNOWN") && !mg_view_is(entry->action, "sign_in_refused_flood"))
        mg_scope_set(row, "who", entry->actor.length != 0 ? entry->actor : entry->target);
    mg_scope_set_flag(row, "probe", probe);
    if (probe)
        mg_scope_set_flag(visit->page, "probes", true);
    mg_scope_set(row, "provider", detail_value(entry->detail, "provider="));
    mg_scope_set(row, "country", detail_value(entry->detail, "country="));
    mg_scope_set(row, "count", detail_value(entry->detail, "count="));
    return OK;
}

static CHECKED struct mg_status
scope_entry(const struct visit *visit, struct mg_scope *row, const struct mg_record_audit_row *entry)
{
    const struct mg_event_row *event = mg_event_row(mg_event_of_name(entry->action));
    if (event != NULL)
        mg_scope_set_text(row, "event", visit->language == MG_JAPANESE ? event->ja : event->en);
    mg_scope_set_number(row, "entry", entry->entry);
    mg_scope_set(row, "actor", entry->actor);
    mg_scope_set(row, "action", entry->action);
    mg_scope_set(row, "target", entry->target);
    for (size_t i = 0; i < MG_COUNT(outcomes); i++) {
        if (!mg_view_is(entry->outcome, outcomes[i].word))
            continue;
        mg_scope_set_text(row, "outcome", say(visit, outcomes[i].text));
        mg_scope_set_flag(row, "went_well", i == 0);
    }
    mg_scope_set(row, "address", entry->address);
    scope_time(visit, row, TIME_NAMES(at), entry->time);
    return scope_reason(visit, row, "detail", entry->detail);
}

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
            TRY(scope_reasons(visit, row, &entry));
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

static CHECKED struct mg_status
send_file(struct visit *visit, const char *content_type, const char *name)
{
    visit->answer->status = 200;
    visit->answer->content_type = content_type;
    TRY(mg_web_header_add(visit->answer, "Cache-Control", "no-store"));
    TRY(mg_web_header_add(visit->answer, "X-Content-Type-Options", "nosniff"));
    TRY(mg_web_header_add(visit->answer, "Content-Security-Policy", "default-src 'none'; sandbox"));
    TRY(mg_web_header_add(visit->answer, "Cross-Origin-Resource-Policy", "same-origin"));
    return mg_web_header_add(visit->answer, "Content-Disposition", "attachment; filename=\"%s\"", name);
}

static const char csv_head[] = "entry,time,event,who,what,outcome,address,detail\r\n";

/* RFC 4180. A cell that a spreadsheet would take for a formula gets an apostrophe (OWASP, CSV injection). */
static CHECKED struct mg_status
cell_add(struct mg_buffer *csv, struct mg_view text, const char *end)
{
    TRY(mg_buffer_add_byte(csv, '"'));
    if (text.length != 0 && strchr("=+-@\t\r", text.bytes[0]) != NULL)
        TRY(mg_buffer_add_byte(csv, '\''));
    for (size_t i = 0; i < text.length; i++) {
        if (text.bytes[i] == '"')
            TRY(mg_buffer_add_byte(csv, '"'));
        TRY(mg_buffer_add_byte(csv, text.bytes[i]));
    }
    return mg_buffer_format(csv, "\"%s", end);
}

static CHECKED struct mg_status
row_add(struct mg_buffer *csv, const struct mg_record_audit_row *row)
{
    char time[MG_INSTANT_TEXT];
    mg_instant_text(row->time, time);
    TRY(mg_buffer_format(csv, "%" PRIu64 ",%s,", row->entry, time));
    TRY(cell_add(csv, row->action, ","));
    TRY(cell_add(csv, row->actor, ","));
    TRY(cell_add(csv, row->target, ","));
    TRY(cell_add(csv, row->outcome, ","));
    TRY(cell_add(csv, row->address, ","));
    return cell_add(csv, row->detail, "\r\n");
}

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
    TRY(mg_buffer_add_text(csv, csv_head));
    while (reply.more) {
        struct mg_record_audit_row row = {0};
        mg_buffer_clear(&visit->storage);
        TRY(mg_call_audit_search(&request, &reply, &visit->storage, CALL_MS));
        *ret_outcome = reply.outcome;
        for (bool another = reply.outcome == MG_GRANTED; another;) {
            TRY(mg_list_next_audit_row(&reply.entries, &row, &another));
            if (another)
                TRY(row_add(csv, &row));
        }
        request.before = reply.next;
    }
    return OK;
}

/* OCSF as it is kept: one JSON object a line, oldest first. */
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
            TRY(mg_buffer_add(lines, entry.event));
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
    MG_CLEANUP(mg_buffer_drop) struct mg_buffer file = MG_BUFFER(EXPORT_MOST);
    TRY(filter_read(visit, &filter));
    const struct mg_status made = csv ? csv_make(visit, &filter, class_uid, &file, &outcome)
                                      : ocsf_make(visit, &filter, &file, &outcome);
    if (made.code == MG_TOO_LARGE)
        return mg_csv_too_large(visit);
    TRY(made);
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    TRY(send_file(visit, csv ? "text/csv; charset=utf-8" : "application/x-ndjson; charset=utf-8", name));
    visit->answer->body.maximum = EXPORT_MOST + 1;
    return mg_buffer_add(&visit->answer->body, mg_buffer_view(&file));
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
    return send_file(visit, "application/json", name);
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

struct mg_status
mg_csv_audit_head(struct mg_buffer *csv)
{
    return mg_buffer_add_text(csv, csv_head);
}

struct mg_status
mg_csv_audit_row(struct mg_buffer *csv, const struct mg_record_audit_row *row)
{
    return row_add(csv, row);
}

struct mg_status
mg_csv_send(struct visit *visit, const char *content_type, const struct mg_buffer *file, const char *name)
{
    if (name == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(send_file(visit, content_type, name));
    visit->answer->body.maximum = EXPORT_MOST + 1;
    return mg_buffer_add(&visit->answer->body, mg_buffer_view(file));
}

struct mg_status
mg_csv_too_large(struct visit *visit)
{
    return show_message(visit, 422, N_("Not possible"),
                        N_("That is too much for one file. Choose a shorter period."), "/console/audit",
                        N_("Back to the audit log"));
}
