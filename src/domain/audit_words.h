/* What the audit log keeps as a code, as a sentence; and entries as rows of a CSV file. The log itself keeps
 * codes (catalogue/reason_events.def says of which events), so that one entry is read in every language. */
#ifndef MG_DOMAIN_AUDIT_WORDS_H
#define MG_DOMAIN_AUDIT_WORDS_H

#include "base/reason.h"
#include "wire/events.h"

/* True if the reason of this event is a code of ours; `event` is its name in the log. */
bool mg_audit_reason_ours(struct mg_view event);
/* Appends the sentence for `reason` with what was told besides (the detail of a refusal); nothing where the
 * reason of this event is not ours or is no code. */
CHECKED struct mg_status mg_audit_reason_add(struct mg_view event, struct mg_view reason, struct mg_view told,
                                             bool japanese, struct mg_buffer *words);

/* RFC 4180, quoted, with `end` behind it. What a spreadsheet would take for a formula gets an apostrophe
 * (OWASP, CSV injection). */
CHECKED struct mg_status mg_csv_cell(struct mg_buffer *csv, struct mg_view text, const char *end);
CHECKED struct mg_status mg_csv_audit_head(struct mg_buffer *csv);
/* `detail` with codes as they are kept, `reason` in the reader's language. */
CHECKED struct mg_status mg_csv_audit_row(struct mg_buffer *csv, const struct mg_record_audit_row *row,
                                          bool japanese);

#endif
