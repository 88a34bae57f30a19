/* Reports agree with the log: drawn at the front door by the probes' auditor of the drill's tenant
 * (domain/drill.h), counted against the entries that the audit process gives us directly. */
#include "domain/report.h"
#include "probes/probe.h"
#include "probes/visitor.h"

#include <stdio.h>
#include <stdlib.h>

enum { ENTRIES_MOST = 1000, REPORT_MOST = 16 << 20 };

/* The newest entries of the tenant, without a gap. */
struct listed {
    uint64_t oldest, newest;
    char day[11]; /* of the oldest, in UTC */
    size_t count;
    struct {
        uint64_t number;
        enum mg_event event;
        bool by_operator;
    } rows[ENTRIES_MOST];
};

/* The text behind `mark` up to the next quote or comma. */
static struct mg_view
after(const char *line, const char *end, const char *mark)
{
    const char *at = memmem(line, (size_t) (end - line), mark, strlen(mark));
    if (at == NULL)
        return MG_VIEW_EMPTY;
    at += strlen(mark);
    size_t length = 0;
    while (at + length < end && at[length] != '"' && at[length] != ',' && at[length] != '}')
        length++;
    return mg_view_of(at, length);
}

static CHECKED struct mg_status
line_read(const char *line, const char *end, struct listed *listed)
{
    uint64_t time_ms = 0;
    char instant[MG_INSTANT_TEXT];
    const char *blank = memchr(line, ' ', (size_t) (end - line));
    if (blank == NULL || listed->count == ENTRIES_MOST)
        return fail_with(MALFORMED, "an entry of the log");
    TRY(mg_parse_u64(mg_view_of(line, (size_t) (blank - line)), INT64_MAX,
                     &listed->rows[listed->count].number));
    TRY(mg_parse_u64(after(line, end, "\"time\":"), INT64_MAX, &time_ms));
    listed->rows[listed->count].event = mg_event_of_name(after(line, end, "\"event_code\":\""));
    listed->rows[listed->count].by_operator =
        memmem(line, (size_t) (end - line), "\"type\":\"operator\"}}", 19) != NULL;
    listed->oldest = listed->rows[listed->count].number; /* newest first */
    if (listed->count == 0)
        listed->newest = listed->oldest;
    listed->count++;
    mg_instant_text((mg_instant) time_ms, instant);
    (void) snprintf(listed->day, sizeof listed->day, "%.10s", instant);
    return OK;
}

static CHECKED struct mg_status
entries_list(struct mg_observer *observer, struct listed *listed)
{
    OWN_BUFFER(lines, 1u << 20);
    *listed = (struct listed){.count = 0};
    TRY(observer->ops->audit_export(observer, observer->drill_tenant, ENTRIES_MOST, &lines));
    for (const char *line = mg_buffer_text(&lines), *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        TRY(line_read(line, end, listed));
    return listed->count > 0 ? OK : fail_with(NOT_FOUND, "no entry of the drill's tenant");
}

/* Rows of the report that lie among the listed entries, by event. */
static CHECKED struct mg_status
report_count(struct mg_visitor *auditor, enum mg_report report, const struct listed *listed, uint64_t *counts)
{
    char path[256];
    OWN_FETCHED(answer);
    answer.body.maximum = REPORT_MOST;
    (void) snprintf(path, sizeof path, "/console/reports/file?kind=%s&since=%s",
                    mg_report_row(report)->keyword, listed->day);
    TRY(mg_visitor_get(auditor, MG_DRILL_SIGN_IN_HOST, path, &answer));
    if (answer.status != 200)
        return fail_with(REFUSED, "the report %s: status %u", mg_report_row(report)->keyword, answer.status);
    for (const char *line = mg_buffer_text(&answer.body), *end; (end = strstr(line, "\r\n")) != NULL;
         line = end + 2) {
        char *comma = NULL;
        const uint64_t number = strtoull(line, &comma, 10);
        if (comma == line || *comma != ',' || number < listed->oldest || number > listed->newest)
            continue; /* the head, or beside what was listed */
        const char *event = memmem(comma + 1, (size_t) (end - comma) - 1, ",\"", 2);
        if (event != NULL)
            counts[mg_event_of_name(after(event, end, ",\""))]++;
    }
    return OK;
}

static CHECKED struct mg_status
report_agrees(struct mg_visitor *auditor, enum mg_report report, const struct listed *listed,
              struct mg_finding *finding)
{
    uint64_t logged[MG_EVENT_COUNT] = {0}, reported[MG_EVENT_COUNT] = {0}, total = 0;
    for (size_t i = 0; i < listed->count; i++)
        if (mg_report_counts(report, listed->rows[i].event, listed->rows[i].by_operator)) {
            logged[listed->rows[i].event]++;
            total++;
        }
    TRY(report_count(auditor, report, listed, reported));
    for (int i = 0; i < MG_EVENT_COUNT; i++)
        if (logged[i] != reported[i]) {
            mg_finding_break(finding, mg_report_row(report)->keyword, "a report does not agree with the log",
                             "報告がログと一致しません");
            break;
        }
    mg_finding_note(finding, "%s: %ju of %zu entries", mg_report_row(report)->keyword, (uintmax_t) total,
                    listed->count);
    mg_finding_cover(finding);
    return OK;
}

static void
listed_drop(struct listed **listed)
{
    free(*listed);
    *listed = NULL;
}

struct mg_status
mg_probe_AUDIT_04(struct mg_observer *observer, struct mg_finding *finding)
{
    struct mg_canary_account account;
    OWN_FETCHED(answer);
    OWN_VISITOR(auditor, observer);
    MG_CLEANUP(listed_drop) struct listed *listed = calloc(1, sizeof *listed);
    if (listed == NULL)
        return fail(OUT_OF_MEMORY);
    finding->source = "front door, audit log";
    mg_finding_expect(finding, MG_REPORT_COUNT - 1, "reports", "報告");
    TRY(observer->ops->canary(observer, observer->drill_tenant, MG_CANARY_AUDITOR, &account));
    TRY(mg_visitor_password(&auditor, MG_DRILL_SIGN_IN_HOST, &account, &answer));
    TRY(entries_list(observer, listed));
    for (int i = 1; i < MG_REPORT_COUNT; i++)
        TRY(report_agrees(&auditor, (enum mg_report) i, listed, finding));
    return OK;
}
