/* Tables as files, and the period that a person chooses; of customer_log.c, for reports as well. */
#ifndef MG_PROCESS_PORTAL_CSV_H
#define MG_PROCESS_PORTAL_CSV_H

#include "process/portal/portal.h"

/* From the query's `since` and `until` (days, both included), which the page keeps; 0: open. */
CHECKED struct mg_status mg_csv_period(struct visit *visit, mg_instant *ret_since, mg_instant *ret_until);
/* When a day as <input type="date"> sends it begins in the tenant's zone; 0 for an empty one. */
CHECKED struct mg_status mg_csv_day(struct visit *visit, struct mg_view day, mg_instant *ret_instant);
CHECKED struct mg_status mg_csv_audit_head(struct mg_buffer *csv);
/* RFC 4180; what a spreadsheet would take for a formula is text. */
CHECKED struct mg_status mg_csv_audit_row(struct mg_buffer *csv, const struct mg_record_audit_row *row);
CHECKED struct mg_status mg_csv_send(struct visit *visit, const char *content_type,
                                     const struct mg_buffer *file, const char *name);
CHECKED struct mg_status mg_csv_too_large(struct visit *visit);

#endif
