/* DIR/worker/NAME.json as text: a JSON object with exactly these members, no two of one name. */
#ifndef MG_WORKER_RECORD_TEXT_H
#define MG_WORKER_RECORD_TEXT_H

#include "base/bytes.h"
#include "base/time.h"

#define RECORD_SEALED_MOST 4096

struct record_text {
    uint64_t tenant;
    char active, pending; /* 'a', 'b' or 0 */
    mg_instant rotated_at, retire_at, pending_at;
};

/* `pending` is the sealed password of a swap under way, empty without one. */
CHECKED struct mg_status record_encode(const struct record_text *stored, struct mg_view sealed,
                                       struct mg_view pending, struct mg_buffer *text);
/* Appends the sealed passwords to `sealed` and `pending` (at most RECORD_SEALED_MOST each). MALFORMED for
 * anything else than what record_encode writes (without a swap, as the first program did, too);
 * NEWER_SCHEMA for a later version of it. */
CHECKED struct mg_status record_decode(struct mg_view text, struct record_text *ret_stored,
                                       struct mg_buffer *sealed, struct mg_buffer *pending);

#endif
