/* A tenant's own console: reports for a period, with totals, as a page and as CSV. */
#include "process/portal/portal.h"

#include "domain/report.h"
#include "process/portal/csv.h"

#define SHOWN_MOST 200
#define FILE_MOST (16u << 20)

/* One walk through the report: counts by event, and what is done with each row. */
struct walk {
    uint64_t totals[MG_EVENT_COUNT], total;
    CHECKED struct mg_status (*take)(struct visit *visit, struct walk *walk,
                                     const struct mg_record_audit_row *row);
    struct mg_buffer *csv;
};

static CHECKED struct mg_status
report_walk(struct visit *visit, enum mg_report report, mg_instant since, mg_instant until, struct walk *walk,
            uint64_t *ret_outcome)
{
    struct mg_request_report request = {
        .session = visit_session(visit), .report = (uint64_t) report, .since = since, .until = until};
    struct mg_reply_report reply = {.more = true};
    while (reply.more) {
        struct mg_record_audit_row row;
        mg_buffer_clear(&visit->storage);
        TRY(mg_call_report(&request, &reply, &visit->storage, CALL_MS));
        *ret_outcome = reply.outcome;
        if (reply.outcome != MG_GRANTED)
            return OK;
        for (bool another = true;;) {
            TRY(mg_list_next_audit_row(&reply.entries, &row, &another));
            if (!another)
                break;
            walk->total++;
            walk->totals[mg_event_of_name(row.action)]++;
            TRY(walk->take(visit, walk, &row));
        }
        request.from = reply.next;
    }
    return OK;
}

static struct mg_status
row_show(struct visit *visit, struct walk *walk, const struct mg_record_audit_row *row)
{
    const struct mg_event_row *event = mg_event_row(mg_event_of_name(row->action));
    if (walk->total > SHOWN_MOST)
        return OK;
    struct mg_scope *scope = mg_scope_add(visit->page, "entries");
    if (event != NULL)
        mg_scope_set_text(scope, "event", visit->language == MG_JAPANESE ? event->ja : event->en);
    mg_scope_set_number(scope, "entry", row->entry);
    mg_scope_set(scope, "actor", row->actor);
    mg_scope_set(scope, "action", row->action);
    mg_scope_set(scope, "target", row->target);
    mg_scope_set(scope, "address", row->address);
    mg_scope_set(scope, "detail", row->detail);
    scope_time(visit, scope, TIME_NAMES(at), row->time);
    return OK;
}

static struct mg_status
row_write(struct visit *visit, struct walk *walk, const struct mg_record_audit_row *row)
{
    (void) visit;
    return mg_csv_audit_row(walk->csv, row);
}

static void
scope_reports(struct visit *visit, enum mg_report chosen)
{
    for (int i = 1; i < MG_REPORT_COUNT; i++) {
        const struct mg_report_row *row = mg_report_row((enum mg_report) i);
        struct mg_scope *scope = mg_scope_add(visit->page, "kinds");
        mg_scope_set_text(scope, "kind_word", row->keyword);
        mg_scope_set_text(scope, "kind_text", visit->language == MG_JAPANESE ? row->ja : row->en);
        mg_scope_set_flag(scope, "chosen", i == (int) chosen);
    }
    mg_scope_set_text(visit->page, "kind", mg_report_row(chosen)->keyword);
    mg_scope_set_text(visit->page, "kind_title",
                      visit->language == MG_JAPANESE ? mg_report_row(chosen)->ja : mg_report_row(chosen)->en);
}

static void
scope_totals(struct visit *visit, const struct walk *walk)
{
    for (int i = 1; i < MG_EVENT_COUNT; i++) {
        const struct mg_event_row *event = mg_event_row((enum mg_event) i);
        if (walk->totals[i] == 0)
            continue;
        struct mg_scope *scope = mg_scope_add(visit->page, "totals");
        mg_scope_set_text(scope, "total_text", visit->language == MG_JAPANESE ? event->ja : event->en);
        mg_scope_set_text(scope, "total_event", event->name);
        mg_scope_set_number(scope, "total_count", walk->totals[i]);
    }
    mg_scope_set_number(visit->page, "total", walk->total);
    mg_scope_set_flag(visit->page, "cut", walk->total > SHOWN_MOST);
}

struct mg_status
page_customer_reports(struct visit *visit)
{
    struct walk walk = {.take = row_show};
    mg_instant since = 0, until = 0;
    uint64_t outcome = MG_OUTCOME_NONE;
    enum mg_report report = mg_report_find(mg_form_value(&visit->query, "kind"));
    if (report == MG_REPORT_NONE)
        report = MG_REPORT_accounts;
    TRY(mg_csv_period(visit, &since, &until));
    TRY(report_walk(visit, report, since, until, &walk, &outcome));
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    scope_reports(visit, report);
    scope_totals(visit, &walk);
    return customer_show(visit, "at_reports", "customer_reports");
}

struct mg_status
page_customer_report_file(struct visit *visit)
{
    MG_CLEANUP(mg_buffer_drop) struct mg_buffer csv = MG_BUFFER(FILE_MOST);
    struct walk walk = {.take = row_write, .csv = &csv};
    mg_instant since = 0, until = 0;
    uint64_t outcome = MG_OUTCOME_NONE;
    enum mg_report report = mg_report_find(mg_form_value(&visit->query, "kind"));
    if (report == MG_REPORT_NONE)
        report = MG_REPORT_accounts;
    TRY(mg_csv_period(visit, &since, &until));
    TRY(mg_csv_audit_head(&csv));
    const struct mg_status made = report_walk(visit, report, since, until, &walk, &outcome);
    if (made.code == MG_TOO_LARGE)
        return mg_csv_too_large(visit);
    TRY(made);
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    return mg_csv_send(visit, &csv, arena_format(visit, "report-%s.csv", mg_report_row(report)->keyword));
}
