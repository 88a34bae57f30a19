#include "cli/cli.h"

#include <stdlib.h>
#include <wchar.h>

#define CELLS_MOST 100000

struct mg_cli_table {
    size_t columns, count, capacity;
    char **cells;
};

struct mg_status
mg_cli_table_new(size_t columns, const char *const *titles, struct mg_cli_table **ret_table)
{
    OWN(cli_table) table = calloc(1, sizeof *table);
    if (table == NULL)
        return fail(OUT_OF_MEMORY);
    table->columns = columns;
    for (size_t i = 0; i < columns; i++)
        TRY(mg_cli_table_cell(table, mg_view_text(titles[i])));
    *ret_table = TAKE(table);
    return OK;
}

struct mg_status
mg_cli_table_cell(struct mg_cli_table *table, struct mg_view text)
{
    if (table->count == table->capacity) {
        const size_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
        if (capacity > CELLS_MOST)
            return fail_with(TOO_LARGE, "too many rows; use --json");
        char **cells = reallocarray(table->cells, capacity, sizeof *cells);
        if (cells == NULL)
            return fail(OUT_OF_MEMORY);
        table->cells = cells;
        table->capacity = capacity;
    }
    TRY(mg_view_to_text(text, &table->cells[table->count]));
    /* A control character from stored data must not reach the terminal. */
    for (char *c = table->cells[table->count]; *c != '\0'; c++)
        if ((unsigned char) *c < 0x20 || *c == 0x7F)
            *c = '?';
    table->count++;
    return OK;
}

static size_t
display_width(const char *text)
{
    size_t width = 0;
    mbstate_t state = {0};
    for (const char *at = text; *at != '\0';) {
        wchar_t wide;
        const size_t length = mbrtowc(&wide, at, strlen(at), &state);
        if (length == 0 || length > 4)
            return width + strlen(at);
        const int columns = wcwidth(wide);
        width += columns > 0 ? (size_t) columns : 0;
        at += length;
    }
    return width;
}

void
mg_cli_table_print(const struct mg_cli_table *table, FILE *out)
{
    for (size_t start = 0; start + table->columns <= table->count; start += table->columns) {
        for (size_t column = 0; column < table->columns; column++) {
            size_t widest = 0;
            for (size_t at = column; at < table->count; at += table->columns) {
                const size_t width = display_width(table->cells[at]);
                widest = width > widest ? width : widest;
            }
            const char *cell = table->cells[start + column];
            const size_t padding = column + 1 < table->columns ? widest - display_width(cell) + 2 : 0;
            (void) fprintf(out, "%s%*s", cell, (int) padding, "");
        }
        (void) fputc('\n', out);
    }
}

void
mg_cli_table_drop(struct mg_cli_table **table)
{
    if (*table == NULL)
        return;
    for (size_t i = 0; i < (*table)->count; i++)
        free((*table)->cells[i]);
    free((*table)->cells);
    free(*table);
    *table = NULL;
}
