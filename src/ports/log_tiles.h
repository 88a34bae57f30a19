/* The published files of a log, as they lie in DIR/audit/log: tiles, entry bundles, checkpoint.
 * Reading trusts nothing: sizes are checked here, hashes by whoever asks. */
#ifndef MG_PORTS_LOG_TILES_H
#define MG_PORTS_LOG_TILES_H

#include "domain/merkle.h"
#include "wire/tlog.h"

/* Appends a tile's or bundle's file for a tree of `size`, falling back to the full tile where the
 * partial one has been removed (its bytes beyond the width are cut off). MALFORMED if it is too
 * short or, for a bundle, does not hold exactly its entries. NOT_FOUND if it is not there. */
CHECKED struct mg_status mg_log_tile_read(const char *directory, const struct mg_tile *tile,
                                          struct mg_buffer *bytes);
/* Writes one, making its directories; an equal file is left as it is. Not synced. */
CHECKED struct mg_status mg_log_tile_write(const char *directory, const struct mg_tile *tile,
                                           struct mg_view bytes);
/* Removes the partial tiles of this place but that of width `kept` (0: none); returns how many. */
unsigned mg_log_tile_remove_partials(const char *directory, const struct mg_tile *place, unsigned kept);

#define MG_CHECKPOINT_MOST 16384
CHECKED struct mg_status mg_log_checkpoint_read(const char *directory, struct mg_buffer *note);
/* Replaces it in one step for readers; not synced (the journal is what survives a crash). */
CHECKED struct mg_status mg_log_checkpoint_write(const char *directory, struct mg_view note);

/* Hashes of a tree of `size` out of a directory, with the tiles read last kept in memory.
 * Not for use by several threads at once. */
struct mg_log_reader;
CHECKED struct mg_status mg_log_reader_new(const char *directory, uint64_t size,
                                           struct mg_log_reader **ret_reader);
void mg_log_reader_drop(struct mg_log_reader **reader);
/* For mg_merkle_inclusion() and its kind. */
struct mg_tree_source mg_log_reader_source(struct mg_log_reader *reader);
/* Appends one leaf; INVALID outside the tree. */
CHECKED struct mg_status mg_log_reader_leaf(struct mg_log_reader *reader, uint64_t index,
                                            struct mg_buffer *leaf);

/* The node `height` levels above the tile's bottom row, at `position` among its kind. The tile must
 * hold all hashes below that node. */
void mg_tile_node(const uint8_t *hashes, unsigned height, unsigned position, struct mg_hash *ret_hash);

#endif
