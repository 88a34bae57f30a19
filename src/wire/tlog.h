/* The files of a tiled transparency log, after c2sp.org/tlog-tiles and c2sp.org/tlog-checkpoint. */
#ifndef MG_WIRE_TLOG_H
#define MG_WIRE_TLOG_H

#include "base/bytes.h"

#define MG_TILE_WIDTH 256
#define MG_TILE_HEIGHT 8
#define MG_LEAF_MOST 65535
#define MG_BUNDLE_MOST ((size_t) MG_TILE_WIDTH * (2 + MG_LEAF_MOST))

/* A tile: `width` nodes of tree level 8 * level, or the log entries themselves. */
struct mg_tile {
    bool entries;
    unsigned level; /* 0..63; 0 for entries */
    uint64_t index;
    unsigned width; /* 1..256; 256 is a full tile */
};

/* "tile/0/x001/x234/067", "tile/entries/000.p/5". */
#define MG_TILE_PATH 64
void mg_tile_path(const struct mg_tile *tile, char path[MG_TILE_PATH]);
/* MALFORMED for anything mg_tile_path would not have written. */
CHECKED struct mg_status mg_tile_path_parse(struct mg_view path, struct mg_tile *ret_tile);

/* The number of tiles of that level in a tree of `size`, and the width of the last one (1..256; 0 if
 * there is none). Level 0 also counts entry bundles. */
uint64_t mg_tile_count(unsigned level, uint64_t size, unsigned *ret_last_width);

/* An entry bundle: leaves, each behind its length as a big-endian uint16. */
CHECKED struct mg_status mg_bundle_add(struct mg_buffer *bundle, struct mg_view leaf);
/* Takes the first leaf off; MALFORMED if the bundle ends inside it. An empty bundle gives more false. */
CHECKED struct mg_status mg_bundle_next(struct mg_view *bundle, struct mg_view *ret_leaf, bool *ret_more);

/* The text of a checkpoint; extension lines are accepted and not interpreted. */
struct mg_checkpoint {
    struct mg_view origin;
    uint64_t size;
    uint8_t root[32];
};
CHECKED struct mg_status mg_checkpoint_add(struct mg_buffer *text, const struct mg_checkpoint *checkpoint);
CHECKED struct mg_status mg_checkpoint_parse(struct mg_view text, struct mg_checkpoint *ret_checkpoint);

#endif
