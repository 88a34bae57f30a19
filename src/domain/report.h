/* Which events of the audit log a report counts (catalogue/reports.def). */
#ifndef MG_DOMAIN_REPORT_H
#define MG_DOMAIN_REPORT_H

#include "wire/events.h"

enum mg_report {
    MG_REPORT_NONE = 0,
#define REPORT(name, ...) MG_REPORT_##name,
#include "../../catalogue/reports.def"
    MG_REPORT_COUNT
};

struct mg_report_row {
    const char *keyword, *en, *ja;
};
/* NULL for no report. */
const struct mg_report_row *mg_report_row(enum mg_report report);
/* By its keyword; MG_REPORT_NONE if there is none. */
enum mg_report mg_report_find(struct mg_view keyword);
/* by_operator: one of the vendor's people acted. */
bool mg_report_counts(enum mg_report report, enum mg_event event, bool by_operator);

#endif
