/* `masugata control`: the catalogue in the forms people and programs read. */
#ifndef MG_CLI_CONTROL_H
#define MG_CLI_CONTROL_H

#include "domain/control.h"

int mg_cli_control(int argc, char **argv);

/* Japanese if the language of the environment (LC_ALL, LC_MESSAGES, LANG) is. */
bool mg_cli_japanese(void);

/* docs/CONTROLS.<lang>.md: every row by category, the attestations, the responsibility matrix. */
CHECKED struct mg_status mg_controls_markdown(bool japanese, struct mg_buffer *text);
/* The catalogue as JSON: {"controls":[…],"attestations":[…],"duties":[…]}; with `only`, one control. */
CHECKED struct mg_status mg_controls_json(enum mg_control only, struct mg_buffer *text);
/* Appends "[1,2]" for the claims of a row. */
CHECKED struct mg_status mg_claims_json(const struct mg_control_row *row, struct mg_buffer *text);
/* The evidence words of a row, separated by ", " or "、". */
CHECKED struct mg_status mg_evidence_list(const struct mg_control_row *row, bool japanese,
                                          struct mg_buffer *text);

#endif
