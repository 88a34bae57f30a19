/* An append-only log on disk: journal for durability, tiles and checkpoint for everybody else.
 *
 *   mg_log_add() ... mg_log_add()    leaves join the tree in memory
 *   mg_log_commit()                  journal, fdatasync: from here on no crash loses them
 *   mg_log_publish(note)             tiles and the signed checkpoint: from here on others see them
 *
 * A record may be acknowledged after the publish that covers it. Opening replays the journal, so a
 * log comes back with every committed leaf, whatever became of the published files.
 * For one thread; readers use ports/log_tiles.h on the published files. */
#ifndef MG_PORTS_LOG_STORE_H
#define MG_PORTS_LOG_STORE_H

#include "ports/log_journal.h"

#define MG_LOG_SEGMENT_BYTES ((size_t) 32 << 20)
/* Our own entries are far smaller; this bounds what an open bundle can hold. */
#define MG_LOG_ENTRY_MOST 32768

struct mg_log_limits {
    size_t segment_bytes;   /* of each of the two journal segments */
    uint64_t reserve_bytes; /* kept allocated for when the disk is full */
};

struct mg_log_store;
/* DIRECTORY/journal and DIRECTORY/log are made if missing. INTEGRITY if what is there cannot be one log. */
CHECKED struct mg_status mg_log_store_open(const char *directory, const struct mg_log_limits *limits,
                                           struct mg_log_store **ret_store);
/* Drops what was not committed. */
void mg_log_store_drop(struct mg_log_store **store);

/* Leaves committed, and leaves that a published checkpoint covers (0 until the first publish). */
uint64_t mg_log_size(const struct mg_log_store *store);
uint64_t mg_log_published(const struct mg_log_store *store);
void mg_log_root(const struct mg_log_store *store, struct mg_hash *ret_root);
const char *mg_log_directory(const struct mg_log_store *store); /* DIRECTORY/log */

/* Adds a leaf to the next commit; ret_index is its place. TOO_LARGE past MG_LOG_ENTRY_MOST, BUSY when
 * the commit is full (4 MiB, or an eighth of a segment), DISK_FULL when the tiles before it cannot be
 * written; nothing was added then. After another error the store is finished: drop it, open it again. */
CHECKED struct mg_status mg_log_add(struct mg_log_store *store, struct mg_view leaf, uint64_t *ret_index);
/* After any error the store is finished, too. */
CHECKED struct mg_status mg_log_commit(struct mg_log_store *store);
/* The proof that the committed tree continues that of size `from`. */
CHECKED struct mg_status mg_log_consistency(struct mg_log_store *store, uint64_t from,
                                            struct mg_proof *ret_proof);
/* Writes tiles and checkpoint of the committed tree. DISK_FULL leaves everything committed and can be
 * tried again. */
CHECKED struct mg_status mg_log_publish(struct mg_log_store *store, struct mg_view note);

/* Bytes free for us on the disk, and those left in the reserve. */
struct mg_log_space {
    uint64_t free_bytes, reserve_bytes, reserve_wanted;
};
CHECKED struct mg_status mg_log_space(const struct mg_log_store *store, struct mg_log_space *ret_space);
/* Fills the reserve up again once there is room for it twice. */
void mg_log_reserve_refill(struct mg_log_store *store);

#endif
