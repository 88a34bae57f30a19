/* masugata audit report: what the audit log counts for a period, as a table, JSON, CSV or a workbook. */
#include "base/io.h"
#include "cli/audit.h"
#include "cli/people.h"
#include "domain/audit_words.h"
#include "domain/report.h"
#include "ports/workbook.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/* What becomes of each entry, and of the totals at the end; `context` is the form's own. */
struct form {
    struct mg_status (*row)(void *context, const struct mg_record_audit_row *row);
    void *context;
};

struct drawn {
    enum mg_report report;
    uint64_t totals[MG_EVENT_COUNT], total;
};

static CHECKED struct mg_status
draw(const struct mg_cli *cli, const struct mg_audit_options *options, struct drawn *drawn,
     const struct form *form)
{
    OWN(admin) admin = NULL;
    struct mg_request_report request = {.tenant = mg_view_text(options->tenant),
                                        .report = (uint64_t) drawn->report};
    struct mg_reply_report reply = {.more = true};
    TRY(mg_audit_time_read(options->since, &request.since));
    TRY(mg_audit_time_read(options->until, &request.until));
    TRY(mg_admin_open(cli, &admin));
    while (reply.more) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        TRY(mg_admin_report(admin, &request, &reply, &storage));
        TRY(mg_cli_outcome(cli, reply.outcome, request.tenant));
        for (bool another = true;;) {
            struct mg_record_audit_row row;
            TRY(mg_list_next_audit_row(&reply.entries, &row, &another));
            if (!another)
                break;
            drawn->total++;
            drawn->totals[mg_event_of_name(row.action)]++;
            TRY(form->row(form->context, &row));
        }
        request.from = reply.next;
    }
    return OK;
}

static const char *
event_text(const struct mg_cli *cli, int event)
{
    const struct mg_event_row *row = mg_event_row((enum mg_event) event);
    return row == NULL ? "" : mg_cli_say(cli, row->en, row->ja);
}

/* ---- totals, as a table or JSON ---- */

static struct mg_status
row_ignore(void *context, const struct mg_record_audit_row *row)
{
    (void) context;
    (void) row;
    return OK;
}

static CHECKED struct mg_status
totals_print(const struct mg_cli *cli, const struct drawn *drawn)
{
    const char *const titles[] = {mg_cli_say(cli, "EVENT", "イベント"), mg_cli_say(cli, "NUMBER", "件数"),
                                  mg_cli_say(cli, "MEANING", "内容")};
    OWN(cli_table) table = NULL;
    const char *between = "";
    TRY(mg_cli_table_new(MG_COUNT(titles), titles, &table));
    if (cli->json)
        (void) printf("{\"report\":\"%s\",\"total\":%" PRIu64 ",\"events\":{",
                      mg_report_row(drawn->report)->keyword, drawn->total);
    for (int i = 1; i < MG_EVENT_COUNT; i++) {
        char number[24];
        if (drawn->totals[i] == 0)
            continue;
        const char *name = mg_event_row((enum mg_event) i)->name;
        (void) snprintf(number, sizeof number, "%" PRIu64, drawn->totals[i]);
        if (cli->json)
            (void) printf("%s\"%s\":%s", between, name, number);
        between = ",";
        TRY(mg_cli_table_cell(table, mg_view_text(name)));
        TRY(mg_cli_table_cell(table, mg_view_text(number)));
        TRY(mg_cli_table_cell(table, mg_view_text(event_text(cli, i))));
    }
    if (cli->json)
        (void) printf("}}\n");
    else
        mg_cli_table_print(table, stdout);
    return OK;
}

/* ---- CSV ---- */

struct table {
    struct mg_buffer csv;
    bool japanese;
};

static struct mg_status
row_csv(void *context, const struct mg_record_audit_row *row)
{
    struct table *table = context;
    return mg_csv_audit_row(&table->csv, row, table->japanese);
}

static CHECKED struct mg_status
csv_write(const struct mg_cli *cli, const struct mg_audit_options *options, struct drawn *drawn)
{
    struct table table = {.csv = MG_BUFFER(256 << 20), .japanese = cli->japanese};
    const struct form form = {row_csv, &table};
    struct mg_status status = mg_csv_audit_head(&table.csv);
    if (mg_ok(status))
        status = draw(cli, options, drawn, &form);
    const struct mg_view file = mg_buffer_view(&table.csv);
    if (mg_ok(status))
        status = options->output != NULL ? mg_file_replace(options->output, file, 0600)
                                         : mg_fd_write_all(STDOUT_FILENO, file);
    mg_buffer_drop(&table.csv);
    return status;
}

/* ---- a workbook with the totals and the entries ---- */

struct book {
    struct mg_workbook *workbook;
    size_t totals, entries, row;
    bool japanese;
};

static struct mg_status
row_book(void *context, const struct mg_record_audit_row *row)
{
    struct book *book = context;
    char time[MG_INSTANT_TEXT];
    OWN_BUFFER(reason, 8192);
    mg_instant_text(row->time, time);
    TRY(mg_audit_reason_add(row->action, row->reason, row->told, book->japanese, &reason));
    const struct mg_view cells[] = {mg_view_text(time), row->action,  row->actor,  row->target,
                                    row->outcome,       row->address, row->detail, mg_buffer_view(&reason)};
    book->row++;
    TRY(mg_workbook_number(book->workbook, book->entries, book->row, 0, row->entry));
    for (size_t i = 0; i < MG_COUNT(cells); i++)
        TRY(mg_workbook_text(book->workbook, book->entries, book->row, i + 1, cells[i]));
    return OK;
}

static CHECKED struct mg_status
heads_write(const struct mg_cli *cli, struct book *book)
{
    const char *const heads[] = {
        mg_cli_say(cli, "Entry", "番号"),     mg_cli_say(cli, "Time (UTC)", "時刻 (UTC)"),
        mg_cli_say(cli, "Event", "イベント"), mg_cli_say(cli, "Who", "実行者"),
        mg_cli_say(cli, "What", "対象"),      mg_cli_say(cli, "Outcome", "結果"),
        mg_cli_say(cli, "Address", "接続元"), mg_cli_say(cli, "Detail", "詳細"),
        mg_cli_say(cli, "Reason", "理由")};
    for (size_t i = 0; i < MG_COUNT(heads); i++)
        TRY(mg_workbook_text(book->workbook, book->entries, 0, i, mg_view_text(heads[i])));
    return OK;
}

static CHECKED struct mg_status
totals_write(const struct mg_cli *cli, const struct drawn *drawn, struct book *book)
{
    size_t row = 0;
    const struct mg_report_row *title = mg_report_row(drawn->report);
    TRY(mg_workbook_text(book->workbook, book->totals, 0, 0,
                         mg_view_text(mg_cli_say(cli, title->en, title->ja))));
    TRY(mg_workbook_number(book->workbook, book->totals, 0, 1, drawn->total));
    for (int i = 1; i < MG_EVENT_COUNT; i++) {
        if (drawn->totals[i] == 0)
            continue;
        row++;
        TRY(mg_workbook_text(book->workbook, book->totals, row, 0,
                             mg_view_text(mg_event_row((enum mg_event) i)->name)));
        TRY(mg_workbook_number(book->workbook, book->totals, row, 1, drawn->totals[i]));
        TRY(mg_workbook_text(book->workbook, book->totals, row, 2, mg_view_text(event_text(cli, i))));
    }
    return OK;
}

static CHECKED struct mg_status
book_write(const struct mg_cli *cli, const struct mg_audit_options *options, struct drawn *drawn)
{
    OWN(workbook) workbook = NULL;
    if (options->output == NULL)
        return fail_with(USAGE, "--format xlsx needs --output FILE");
    TRY(mg_workbook_new(options->output, &workbook));
    struct book book = {.workbook = workbook, .japanese = cli->japanese};
    TRY(mg_workbook_sheet(workbook, mg_cli_say(cli, "Totals", "集計"), &book.totals));
    TRY(mg_workbook_sheet(workbook, mg_cli_say(cli, "Entries", "記録"), &book.entries));
    TRY(heads_write(cli, &book));
    TRY(draw(cli, options, drawn, &(struct form){row_book, &book}));
    TRY(totals_write(cli, drawn, &book));
    return mg_workbook_close(&workbook);
}

/* ---- the word ---- */

static CHECKED struct mg_status
report(const struct mg_cli *cli, const struct mg_audit_options *options)
{
    const char *format = options->format != NULL ? options->format : "";
    struct drawn *drawn = calloc(1, sizeof *drawn);
    MG_CLEANUP(mg_text_drop) char *owned = (char *) drawn;
    if (drawn == NULL)
        return fail(OUT_OF_MEMORY);
    (void) owned;
    drawn->report = cli->argc == 3 ? mg_report_find(mg_view_text(cli->argv[2])) : MG_REPORT_NONE;
    if (drawn->report == MG_REPORT_NONE)
        return fail_with(USAGE, "audit report accounts|users|privileges");
    if (strcmp(format, "csv") == 0)
        return csv_write(cli, options, drawn);
    if (strcmp(format, "xlsx") == 0)
        return book_write(cli, options, drawn);
    if (format[0] != '\0')
        return fail_with(USAGE, "--format is csv or xlsx");
    TRY(draw(cli, options, drawn, &(struct form){row_ignore, NULL}));
    return totals_print(cli, drawn);
}

int
mg_audit_report(const struct mg_cli *cli, const struct mg_audit_options *options)
{
    const struct mg_status status = report(cli, options);
    return mg_ok(status) ? 0 : mg_cli_fail(cli, status);
}
