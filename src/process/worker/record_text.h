/* DIR/worker/NAME.json as text: a JSON object with exactly these members, no two of one name. */
#ifndef MG_WORKER_RECORD_TEXT_H
#define MG_WORKER_RECORD_TEXT_H

#include "base/bytes.h"
#include "base/time.h"

#define RECORD_SEALED_MOST 4096

struct record_text {
    uint64_t tenant;
    char active; /* 'a', 'b' or 0 */
    mg_instant rotated_at, retire_at;
};

CHECKED struct mg_status record_encode(const struct record_text *stored, struct mg_view sealed,
                                       struct mg_buffer *text);
/* Appends the sealed password to `sealed` (at most RECORD_SEALED_MOST). MALFORMED for anything else than
 * what record_encode writes; NEWER_SCHEMA for a later version of it. */
CHECKED struct mg_status record_decode(struct mg_view text, struct record_text *ret_stored,
                                       struct mg_buffer *sealed);

#endif
