/* Names of pieces of PostgreSQL's transaction log (segments), and whether they follow each other without a
 * gap.
 *
 * A name is timeline, log and segment, eight upper-case hexadecimal digits each; with segments of S bytes a
 * log has 2^32 / S of them (PostgreSQL 15, src/include/access/xlog_internal.h). Names of one database compare
 * like text: a later one is greater, and so is one of a later timeline. */
#ifndef MG_DOMAIN_WAL_H
#define MG_DOMAIN_WAL_H

#include "base/bytes.h"

#define MG_WAL_NAME 25 /* 24 digits */

struct mg_wal_segment {
    uint32_t timeline;
    uint64_t number; /* from the beginning of the database */
};
/* INVALID for anything else than a segment's name of segments of that size (a power of two, 1 MiB to 1 GiB).
 */
CHECKED struct mg_status mg_wal_segment_read(struct mg_view name, uint32_t segment_bytes,
                                             struct mg_wal_segment *ret_segment);
void mg_wal_segment_name(const struct mg_wal_segment *segment, uint32_t segment_bytes,
                         char name[MG_WAL_NAME]);

/* The part of a sorted list (no two alike) from which nothing is missing up to its end. */
struct mg_wal_chain {
    size_t first;              /* index of its oldest; `count` of an empty list */
    char missing[MG_WAL_NAME]; /* the one before it that is not there, when the list has older ones; "" */
};
CHECKED struct mg_status mg_wal_chain(const char (*names)[MG_WAL_NAME], size_t count, uint32_t segment_bytes,
                                      struct mg_wal_chain *ret_chain);

#endif
