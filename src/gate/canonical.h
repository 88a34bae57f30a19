/* One meaning for one request: the canonical form of a path, which is both judged and forwarded. */
#ifndef MG_GATE_CANONICAL_H
#define MG_GATE_CANONICAL_H

#include "base/bytes.h"

/* Brings the path of a request target (without its query) into the form of docs/gate.md, "Paths".
 * False means that it could be read in more than one way: answer 400. `room` has place for
 * 3 * raw.length bytes; the result borrows it, or `raw` itself when nothing had to change. */
bool mg_canonical_path(struct mg_view raw, uint8_t *room, struct mg_view *ret_path);
/* True if nothing has to change, as with most paths. */
bool mg_path_is_canonical(struct mg_view raw);

/* Host of a Host header: lower case, without port and trailing dot, into `room` (raw.length bytes).
 * False if a character may not stand there (RFC 3986 section 3.2.2, registered names and literals). */
bool mg_canonical_host(struct mg_view raw, uint8_t *room, struct mg_view *ret_host);

#endif
