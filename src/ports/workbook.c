/* The library's headers have macros with functions that we forbid ourselves (base/forbidden.h), so that this
 * file is built without that list in front (meson.build) and takes it after them. */
#include <stdint.h>
#include <stdio.h>
#include <xlsxwriter.h>
#undef MG_BASE_FORBIDDEN_H
#include "base/forbidden.h"
#include "ports/workbook.h"

enum { SHEETS_MOST = 8 };

struct mg_workbook {
    lxw_workbook *book;
    lxw_worksheet *sheets[SHEETS_MOST];
    size_t count;
};

static CHECKED struct mg_status
done(lxw_error error)
{
    return error == LXW_NO_ERROR ? OK : fail_with(SYSTEM, "workbook: %s", lxw_strerror(error));
}

struct mg_status
mg_workbook_new(const char *path, struct mg_workbook **ret_workbook)
{
    OWN(workbook) workbook = calloc(1, sizeof *workbook);
    if (workbook == NULL)
        return fail(OUT_OF_MEMORY);
    workbook->book = workbook_new(path);
    if (workbook->book == NULL)
        return fail(OUT_OF_MEMORY);
    *ret_workbook = TAKE(workbook);
    return OK;
}

void
mg_workbook_drop(struct mg_workbook **workbook)
{
    if (*workbook == NULL)
        return;
    if ((*workbook)->book != NULL)
        lxw_workbook_free((*workbook)->book);
    free(*workbook);
    *workbook = NULL;
}

struct mg_status
mg_workbook_sheet(struct mg_workbook *workbook, const char *name, size_t *ret_sheet)
{
    if (workbook->count == SHEETS_MOST)
        return fail_with(TOO_LARGE, "more than %d sheets", SHEETS_MOST);
    lxw_worksheet *sheet = workbook_add_worksheet(workbook->book, name);
    if (sheet == NULL)
        return fail_with(INVALID, "the name of a sheet: %s", name);
    *ret_sheet = workbook->count;
    workbook->sheets[workbook->count++] = sheet;
    return OK;
}

struct mg_status
mg_workbook_text(struct mg_workbook *workbook, size_t sheet, size_t row, size_t column, struct mg_view text)
{
    OWN_TEXT copy = NULL;
    mg_must(sheet < workbook->count);
    if (row >= MG_WORKBOOK_ROWS)
        return fail_with(TOO_LARGE, "more rows than a sheet has");
    TRY(mg_view_to_text(text, &copy));
    return done(
        worksheet_write_string(workbook->sheets[sheet], (lxw_row_t) row, (lxw_col_t) column, copy, NULL));
}

struct mg_status
mg_workbook_number(struct mg_workbook *workbook, size_t sheet, size_t row, size_t column, uint64_t number)
{
    mg_must(sheet < workbook->count);
    if (row >= MG_WORKBOOK_ROWS)
        return fail_with(TOO_LARGE, "more rows than a sheet has");
    return done(worksheet_write_number(workbook->sheets[sheet], (lxw_row_t) row, (lxw_col_t) column,
                                       (double) number, NULL));
}

struct mg_status
mg_workbook_close(struct mg_workbook **workbook)
{
    const struct mg_status status = done(workbook_close(TAKE((*workbook)->book))); /* frees it */
    mg_workbook_drop(workbook);
    return status;
}
