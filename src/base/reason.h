/* Reasons that people read: why a setting may not stand, why a sign-in was refused. They travel and are kept
 * as a code with what the sentence speaks of, `CODE|first|second` (catalogue/reasons.def), and become a
 * sentence in the reader's language where they are shown. */
#ifndef MG_BASE_REASON_H
#define MG_BASE_REASON_H

#include "base/bytes.h"

/* `text` with every code in it as a sentence: at its beginning also a code alone, as the audit log keeps
 * refusals (WRONG_PASSWORD, TOKEN_SIGNATURE, PASSKEY_ORIGIN, network). What is no code stays as it is. A code
 * with parameters goes to the end of its line. */
CHECKED struct mg_status mg_reason_words(struct mg_view text, bool japanese, struct mg_buffer *words);
/* The same, cut to the array: for a line of a log or of the command line. */
void mg_reason_line(const char *text, bool japanese, char *line, size_t size);

/* The rows, for tests: NULL past the last one. A code may stand in more than one table; the first one counts.
 */
struct mg_reason_row {
    const char *code, *en, *ja;
};
const struct mg_reason_row *mg_reason_row(size_t i);

#endif
