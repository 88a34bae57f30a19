/* A workbook (Office Open XML, ISO/IEC 29500, inside a ZIP archive, ISO/IEC 21320-1) made in memory: for
 * processes that may write no file, which libxlsxwriter (ports/workbook.h) cannot do without. Texts are
 * texts, whatever they begin with: nothing becomes a formula. */
#ifndef MG_PORTS_SPREADSHEET_H
#define MG_PORTS_SPREADSHEET_H

#include "base/bytes.h"

#define MG_SPREADSHEET_SHEETS 4
#define MG_SPREADSHEET_ROWS 1048576 /* in a sheet */
#define MG_SPREADSHEET_CELL 32767   /* characters; bytes beyond as many are cut */

struct mg_spreadsheet_cell {
    struct mg_view text; /* UTF-8; what XML 1.0 cannot hold becomes U+FFFD */
    bool is_number;      /* then `number`, and no text */
    uint64_t number;
};
#define MG_CELL_TEXT(view) ((struct mg_spreadsheet_cell){.text = (view)})
#define MG_CELL_NUMBER(value) ((struct mg_spreadsheet_cell){.is_number = true, .number = (value)})

struct mg_spreadsheet;
/* `most`: bytes of one sheet before it is packed. */
CHECKED struct mg_status mg_spreadsheet_new(size_t most, struct mg_spreadsheet **ret_spreadsheet);
void mg_spreadsheet_drop(struct mg_spreadsheet **spreadsheet);
/* Begins a sheet, which the following rows go to. `name`: 1 to 31 characters, none of []:*?/\ (INVALID). */
CHECKED struct mg_status mg_spreadsheet_sheet(struct mg_spreadsheet *spreadsheet, const char *name);
/* TOO_LARGE past the last row or byte. A row that is `head` is set in bold. */
CHECKED struct mg_status mg_spreadsheet_row(struct mg_spreadsheet *spreadsheet,
                                            const struct mg_spreadsheet_cell *cells, size_t count, bool head);
/* Appends the file. */
CHECKED struct mg_status mg_spreadsheet_finish(struct mg_spreadsheet *spreadsheet, struct mg_buffer *file);

#endif
