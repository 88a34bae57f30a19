/* CBOR (RFC 8949) in the form that CTAP2 writes (CTAP 2.1 section 8): definite lengths, shortest heads, no
 * tags, at most eight levels. A reader over borrowed bytes: it allocates nothing, and a length is believed
 * only as far as there are bytes. Written instead of linking libcbor and libfido2 because what is needed of
 * them is this, and they bring USB, smart cards and allocations by the length that a stranger names.
 * MALFORMED for everything else. */
#ifndef MG_PORTS_CBOR_H
#define MG_PORTS_CBOR_H

#include "base/bytes.h"

enum mg_cbor_kind {
    MG_CBOR_UNSIGNED = 0,
    MG_CBOR_NEGATIVE, /* -1 - number */
    MG_CBOR_BYTES,
    MG_CBOR_TEXT,
    MG_CBOR_ARRAY,      /* number: of items that follow */
    MG_CBOR_MAP,        /* number: of pairs that follow */
    MG_CBOR_SIMPLE = 7, /* number: 20 false, 21 true, 22 null */
};
struct mg_cbor_item {
    enum mg_cbor_kind kind;
    uint64_t number;
    struct mg_view bytes; /* of BYTES and TEXT, borrowed; TEXT is UTF-8 */
};

/* The next head (with its content for BYTES and TEXT) from the front of *rest, which moves on. */
CHECKED struct mg_status mg_cbor_next(struct mg_view *rest, struct mg_cbor_item *ret_item);
/* One whole item, what it contains included. */
CHECKED struct mg_status mg_cbor_skip(struct mg_view *rest);
/* A whole number of either sign; MALFORMED beyond 63 bits. */
CHECKED struct mg_status mg_cbor_integer(const struct mg_cbor_item *item, int64_t *ret_integer);

#endif
