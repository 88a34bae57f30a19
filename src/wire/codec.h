/* The primitive encodings of messages and records: little-endian 64-bit integers, one-byte flags,
 * bytes with a 32-bit length. Decoders check every bound and never read past the packet. */
#ifndef MG_WIRE_CODEC_H
#define MG_WIRE_CODEC_H

#include "base/bytes.h"

struct mg_reader {
    const uint8_t *at, *end;
};

static inline struct mg_reader
mg_reader_of(struct mg_view packet)
{
    return (struct mg_reader){.at = packet.bytes, .end = packet.bytes + packet.length};
}

CHECKED struct mg_status mg_put_u64(struct mg_buffer *buffer, uint64_t value);
CHECKED struct mg_status mg_put_flag(struct mg_buffer *buffer, bool value);
/* TOO_LARGE past `most`: the sender's bug is found at the sender. */
CHECKED struct mg_status mg_put_bytes(struct mg_buffer *buffer, struct mg_view value, size_t most);
/* The same for text; MALFORMED unless UTF-8. */
CHECKED struct mg_status mg_put_text(struct mg_buffer *buffer, struct mg_view value, size_t most);

CHECKED struct mg_status mg_get_u64(struct mg_reader *reader, uint64_t *ret_value);
CHECKED struct mg_status mg_get_flag(struct mg_reader *reader, bool *ret_value);
CHECKED struct mg_status mg_get_bytes(struct mg_reader *reader, struct mg_view *ret_value, size_t most);
CHECKED struct mg_status mg_get_text(struct mg_reader *reader, struct mg_view *ret_value, size_t most);
/* MALFORMED if bytes are left. */
CHECKED struct mg_status mg_get_end(const struct mg_reader *reader);

#endif
