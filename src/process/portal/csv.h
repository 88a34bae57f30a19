/* Tables as files, and the period that a person chooses (customer_log.c), for reports as well. */
#ifndef MG_PROCESS_PORTAL_CSV_H
#define MG_PROCESS_PORTAL_CSV_H

#include "domain/audit_words.h"
#include "process/portal/portal.h"

/* From the query's `since` and `until` (days, both included), which the page keeps; 0: open. */
CHECKED struct mg_status mg_csv_period(struct visit *visit, mg_instant *ret_since, mg_instant *ret_until);
/* When a day as <input type="date"> sends it begins in the tenant's zone; 0 for an empty one. */
CHECKED struct mg_status mg_csv_day(struct visit *visit, struct mg_view day, mg_instant *ret_instant);

/* ---- csv.c ---- */
#define MG_CSV_TYPE "text/csv; charset=utf-8"
#define MG_FILE_MOST (16u << 20)
/* Answers with a file to keep; its content is what the answer's body has or gets. */
CHECKED struct mg_status mg_file_head(struct visit *visit, const char *content_type, const char *name);
CHECKED struct mg_status mg_csv_send(struct visit *visit, const char *content_type,
                                     const struct mg_buffer *file, const char *name);
CHECKED struct mg_status mg_csv_too_large(struct visit *visit);

#endif
