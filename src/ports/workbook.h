/* Workbooks (Office Open XML, ISO/IEC 29500) through libxlsxwriter: sheets of texts and numbers. A text is a
 * text, whatever it begins with: nothing becomes a formula. The file appears when the workbook is closed. */
#ifndef MG_PORTS_WORKBOOK_H
#define MG_PORTS_WORKBOOK_H

#include "base/bytes.h"

#define MG_WORKBOOK_ROWS 1048576 /* in a sheet */

struct mg_workbook;
CHECKED struct mg_status mg_workbook_new(const char *path, struct mg_workbook **ret_workbook);
/* Without a close nothing is written. */
void mg_workbook_drop(struct mg_workbook **workbook);
/* Adds a sheet; *ret_sheet counts from 0. At most 8. */
CHECKED struct mg_status mg_workbook_sheet(struct mg_workbook *workbook, const char *name, size_t *ret_sheet);
/* TOO_LARGE past the last row. */
CHECKED struct mg_status mg_workbook_text(struct mg_workbook *workbook, size_t sheet, size_t row,
                                          size_t column, struct mg_view text);
CHECKED struct mg_status mg_workbook_number(struct mg_workbook *workbook, size_t sheet, size_t row,
                                            size_t column, uint64_t number);
/* Writes the file and frees the workbook, whatever comes of it. */
CHECKED struct mg_status mg_workbook_close(struct mg_workbook **workbook);

#endif
