/* A tenant's own console: reports for a period, with totals, as a page, as CSV and as a workbook; and what
 * the vendor's people did here, which is one of them. */
#include "process/portal/portal.h"

#include "domain/report.h"
#include "ports/spreadsheet.h"
#include "process/portal/csv.h"

#define SHOWN_MOST 200
#define DAY_MS (24 * 3600 * 1000LL)
#define SHOWN_MS (31 * DAY_MS) /* what a page shows when nobody has chosen a period */

/* One walk through the report: counts by event, and what is done with each row. */
struct walk {
    uint64_t totals[MG_EVENT_COUNT], total;
    CHECKED struct mg_status (*take)(struct visit *visit, struct walk *walk,
                                     const struct mg_record_audit_row *row);
    struct mg_buffer *csv;
    struct mg_spreadsheet *book;
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
    return walk->total > SHOWN_MOST ? OK : scope_entry(visit, mg_scope_add(visit->page, "entries"), row);
}

static struct mg_status
row_write(struct visit *visit, struct walk *walk, const struct mg_record_audit_row *row)
{
    return mg_csv_audit_row(walk->csv, row, visit->language == MG_JAPANESE);
}

static struct mg_status
row_tabulate(struct visit *visit, struct walk *walk, const struct mg_record_audit_row *row)
{
    char time[MG_INSTANT_TEXT];
    const struct mg_event_row *event = mg_event_row(mg_event_of_name(row->action));
    const char *words = event == NULL ? "" : visit->language == MG_JAPANESE ? event->ja : event->en;
    mg_instant_text(row->time, time);
    OWN_BUFFER(reason, 8192);
    TRY(mg_audit_reason_add(row->action, row->reason, row->told, visit->language == MG_JAPANESE, &reason));
    const struct mg_spreadsheet_cell cells[] = {
        MG_CELL_NUMBER(row->entry),        MG_CELL_TEXT(mg_view_text(time)),
        MG_CELL_TEXT(mg_view_text(words)), MG_CELL_TEXT(row->action),
        MG_CELL_TEXT(row->actor),          MG_CELL_TEXT(row->target),
        MG_CELL_TEXT(row->outcome),        MG_CELL_TEXT(row->address),
        MG_CELL_TEXT(row->detail),         MG_CELL_TEXT(mg_buffer_view(&reason)),
    };
    return mg_spreadsheet_row(walk->book, cells, MG_COUNT(cells), false);
}

static void
scope_reports(struct visit *visit, enum mg_report chosen)
{
    for (int i = 1; i < MG_REPORT_COUNT; i++) {
        const struct mg_report_row *row = mg_report_row((enum mg_report) i);
        if (i == MG_REPORT_vendor)
            continue; /* has a page of its own */
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

/* The period that was chosen, or the last month for whoever has just come to the page. */
static CHECKED struct mg_status
period_read(struct visit *visit, mg_instant *ret_since, mg_instant *ret_until)
{
    char day[MG_INSTANT_TEXT];
    TRY(mg_csv_period(visit, ret_since, ret_until));
    if (mg_form_has(&visit->query, "since") || mg_form_has(&visit->query, "until"))
        return OK;
    *ret_since = visit->now - SHOWN_MS + mg_time_zone_ahead_ms(visit_time_zone(visit), visit->now);
    mg_instant_text(*ret_since, day);
    day[10] = '\0';
    mg_scope_set_text(visit->page, "since", day);
    return mg_csv_day(visit, mg_view_text(day), ret_since);
}

static CHECKED struct mg_status
show_report(struct visit *visit, enum mg_report report, const char *at, const char *page)
{
    struct walk walk = {.take = row_show};
    mg_instant since = 0, until = 0;
    uint64_t outcome = MG_OUTCOME_NONE;
    TRY(period_read(visit, &since, &until));
    TRY(report_walk(visit, report, since, until, &walk, &outcome));
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    scope_reports(visit, report);
    scope_totals(visit, &walk);
    return customer_show(visit, at, page);
}

static enum mg_report
report_asked(const struct visit *visit)
{
    const enum mg_report report = mg_report_find(mg_form_value(&visit->query, "kind"));
    return report == MG_REPORT_NONE ? MG_REPORT_accounts : report;
}

struct mg_status
page_customer_reports(struct visit *visit)
{
    const enum mg_report report = report_asked(visit);
    return show_report(visit, report == MG_REPORT_vendor ? MG_REPORT_accounts : report, "at_reports",
                       "customer_reports");
}

struct mg_status
page_customer_vendor(struct visit *visit)
{
    return show_report(visit, MG_REPORT_vendor, "at_vendor", "customer_vendor");
}

/* ---- files ---- */

static CHECKED struct mg_status
head_add(struct visit *visit, struct mg_spreadsheet *book)
{
    static const char *const heads[] = {N_("No."),     N_("Time"),  N_("Event"),   N_("Event code"),
                                        N_("Who"),     N_("What"),  N_("Outcome"), N_("Address"),
                                        N_("Details"), N_("Reason")};
    struct mg_spreadsheet_cell cells[MG_COUNT(heads)];
    for (size_t i = 0; i < MG_COUNT(heads); i++)
        cells[i] = MG_CELL_TEXT(mg_view_text(say(visit, heads[i])));
    TRY(mg_spreadsheet_sheet(book, say(visit, N_("Entries"))));
    return mg_spreadsheet_row(book, cells, MG_COUNT(cells), true);
}

static CHECKED struct mg_status
totals_add(struct visit *visit, const struct walk *walk)
{
    const struct mg_spreadsheet_cell heads[] = {MG_CELL_TEXT(mg_view_text(say(visit, N_("Event")))),
                                                MG_CELL_TEXT(mg_view_text(say(visit, N_("Event code")))),
                                                MG_CELL_TEXT(mg_view_text(say(visit, N_("Number"))))};
    TRY(mg_spreadsheet_sheet(walk->book, say(visit, N_("Totals"))));
    TRY(mg_spreadsheet_row(walk->book, heads, MG_COUNT(heads), true));
    for (int i = 1; i < MG_EVENT_COUNT; i++) {
        const struct mg_event_row *event = mg_event_row((enum mg_event) i);
        if (walk->totals[i] == 0)
            continue;
        const struct mg_spreadsheet_cell cells[] = {
            MG_CELL_TEXT(mg_view_text(visit->language == MG_JAPANESE ? event->ja : event->en)),
            MG_CELL_TEXT(mg_view_text(event->name)), MG_CELL_NUMBER(walk->totals[i])};
        TRY(mg_spreadsheet_row(walk->book, cells, MG_COUNT(cells), false));
    }
    return OK;
}

/* Appends the report's file; what it is not allowed to hold is in *ret_outcome. */
static CHECKED struct mg_status
file_make(struct visit *visit, enum mg_report report, bool workbook, struct mg_buffer *file,
          uint64_t *ret_outcome)
{
    OWN(spreadsheet) book = NULL;
    struct walk walk = {.take = workbook ? row_tabulate : row_write, .csv = file};
    mg_instant since = 0, until = 0;
    TRY(mg_csv_period(visit, &since, &until));
    if (!workbook) {
        TRY(mg_csv_audit_head(file));
        return report_walk(visit, report, since, until, &walk, ret_outcome);
    }
    TRY(mg_spreadsheet_new(MG_FILE_MOST, &book));
    walk.book = book;
    TRY(head_add(visit, book));
    TRY(report_walk(visit, report, since, until, &walk, ret_outcome));
    TRY(totals_add(visit, &walk));
    return mg_spreadsheet_finish(book, file);
}

struct mg_status
page_customer_report_file(struct visit *visit)
{
    static const char *const types[] = {MG_CSV_TYPE,
                                        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"};
    MG_CLEANUP(mg_buffer_drop) struct mg_buffer file = MG_BUFFER(MG_FILE_MOST);
    uint64_t outcome = MG_OUTCOME_NONE;
    const enum mg_report report = report_asked(visit);
    const bool workbook = mg_view_is(mg_form_value(&visit->query, "format"), "xlsx");
    const struct mg_status made = file_make(visit, report, workbook, &file, &outcome);
    if (made.code == MG_TOO_LARGE)
        return mg_csv_too_large(visit);
    TRY(made);
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    return mg_csv_send(
        visit, types[workbook], &file,
        arena_format(visit, "report-%s.%s", mg_report_row(report)->keyword, workbook ? "xlsx" : "csv"));
}
