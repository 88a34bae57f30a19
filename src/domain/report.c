#include "domain/report.h"

static const struct mg_report_row rows[MG_REPORT_COUNT] = {
#define REPORT(name, word, english, japanese) \
    [MG_REPORT_##name] = {.keyword = (word), .en = (english), .ja = (japanese)},
#include "../../catalogue/reports.def"
};

static const struct {
    enum mg_report report;
    enum mg_event event;
} counted[] = {
#define IN_REPORT(report, event) {MG_REPORT_##report, MG_EVENT_##event},
#include "../../catalogue/reports.def"
};

const struct mg_report_row *
mg_report_row(enum mg_report report)
{
    return report > MG_REPORT_NONE && report < MG_REPORT_COUNT ? &rows[report] : NULL;
}

enum mg_report
mg_report_find(struct mg_view keyword)
{
    for (int i = 1; i < MG_REPORT_COUNT; i++)
        if (mg_view_is(keyword, rows[i].keyword))
            return (enum mg_report) i;
    return MG_REPORT_NONE;
}

bool
mg_report_counts(enum mg_report report, enum mg_event event, bool by_operator)
{
    const struct mg_event_row *row = mg_event_row(event);
    if (row == NULL)
        return false;
    if (report == MG_REPORT_vendor)
        return by_operator;
    if (report == MG_REPORT_privileges && row->privileged)
        return true;
    for (size_t i = 0; i < MG_COUNT(counted); i++)
        if (counted[i].report == report && counted[i].event == event)
            return true;
    return false;
}
