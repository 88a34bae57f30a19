/* A file of past sign-ins, as `masugata policy simulate` reads it: CSV with a line of titles (RFC 4180), or
 * JSON objects, one a line. masugata-sign-in-history(5) has the columns. */
#ifndef MG_PORTS_SIGN_IN_HISTORY_H
#define MG_PORTS_SIGN_IN_HISTORY_H

#include "domain/risk_replay.h"

#define MG_SIGN_IN_HISTORY_BYTES (64U << 20)
#define MG_SIGN_IN_HISTORY_ROWS 200000

/* Owns the rows and what their texts point to. */
struct mg_sign_in_history {
    struct mg_replay_row *rows;
    size_t count, room;
    char **texts;
    size_t text_count, text_room;
};
/* MALFORMED or INVALID with the line and what is wrong. The rows' networks are not filled in, nor places that
 * the file does not name. */
CHECKED struct mg_status mg_sign_in_history_parse(struct mg_view text,
                                                  struct mg_sign_in_history **ret_history);
void mg_sign_in_history_drop(struct mg_sign_in_history **history);

/* What a column is called and means; the manual is made from these. A row without a name ends the list. */
struct mg_history_column {
    const char *name;
    bool needed;
    const char *en, *ja;
};
extern const struct mg_history_column mg_history_columns[];

#endif
