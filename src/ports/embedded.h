/* Files that are part of the program (tools/embed.py): pages, style, script, translations. */
#ifndef MG_PORTS_EMBEDDED_H
#define MG_PORTS_EMBEDDED_H

#include "base/bytes.h"

/* Rows of a table that ends with a NULL name. */
struct mg_embedded {
    const char *name;
    struct mg_view bytes;
};

extern const struct mg_embedded mg_embedded_pages[];        /* pages: *.html, *.css, *.js, *.svg */
extern const struct mg_embedded mg_embedded_translations[]; /* po: ja.mo */

/* False when there is no such file. */
bool mg_embedded_find(const struct mg_embedded *table, struct mg_view name, struct mg_view *ret_bytes);

#endif
