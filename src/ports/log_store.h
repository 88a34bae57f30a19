/* An append-only log on disk: journal for durability, tiles and checkpoint for everybody else.
 *
 *   mg_log_add() ... mg_log_add()    leaves join the tree in memory
 *   mg_log_cut()                     takes off what was added since the last cut
 *   mg_log_cut_commit(cut)           journal, fdatasync: from here on no crash loses them
 *   mg_log_cut_publish(cut, note)    tiles and the signed checkpoint: from here on others see them
 *
 * Opening replays the journal, so a log comes back with every committed leaf, whatever became of the
 * published files. Adding and cutting, committing, and publishing may each have a thread of their own, so
 * that one group is encrypted while the disk takes the one before; cuts are committed and published in the
 * order they were made in. For one thread there are mg_log_commit() and mg_log_publish().
 * Readers use ports/log_tiles.h on the published files. */
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
/* DIRECTORY/journal and DIRECTORY/log are made if missing. A log without a journal (a copy put back) goes on
 * from its checkpoint. INTEGRITY if what is there cannot be one log. */
CHECKED struct mg_status mg_log_store_open(const char *directory, const struct mg_log_limits *limits,
                                           struct mg_log_store **ret_store);
/* Drops what was not committed. */
void mg_log_store_drop(struct mg_log_store **store);

/* Leaves cut (the adding thread's), and leaves that a published checkpoint covers (0 until the first
 * publish; any thread's). */
uint64_t mg_log_size(const struct mg_log_store *store);
uint64_t mg_log_published(const struct mg_log_store *store);
void mg_log_root(const struct mg_log_store *store, struct mg_hash *ret_root);
const char *mg_log_directory(const struct mg_log_store *store); /* DIRECTORY/log */

/* ---- adding ---- */
/* Adds a leaf to the next cut; ret_index is its place. TOO_LARGE past MG_LOG_ENTRY_MOST, BUSY when
 * the cut is full (4 MiB, or an eighth of a segment), DISK_FULL when the tiles before it cannot be
 * written; nothing was added then. Waits for the disk where a journal segment is to be used again before
 * the tiles it covers are synced. After another error the store is finished: drop it, open it again. */
CHECKED struct mg_status mg_log_add(struct mg_log_store *store, struct mg_view leaf, uint64_t *ret_index);

/* The leaves of one commit on their way, and that the tree with them continues the one before. */
struct mg_log_cut {
    uint64_t size_before, size;
    struct mg_hash root;
    struct mg_proof proof;
};
/* NULL if nothing was added. After an error the store is finished. */
CHECKED struct mg_status mg_log_cut(struct mg_log_store *store, struct mg_log_cut **ret_cut);
void mg_log_cut_drop(struct mg_log_cut **cut);

/* ---- committing ---- */
/* After any error the store is finished, too. */
CHECKED struct mg_status mg_log_cut_commit(struct mg_log_store *store, struct mg_log_cut *cut);

/* ---- publishing ---- */
/* Two cuts, one after the other, become one that is published in one step; takes both over. */
struct mg_log_cut *mg_log_cut_merge(struct mg_log_cut *older, struct mg_log_cut *newer);
/* Writes the tiles of a tree of the cut's size, and the checkpoint. DISK_FULL leaves everything committed;
 * the same cut, or one it was merged into, can be tried again, and until then mg_log_add() may say
 * DISK_FULL, too. */
CHECKED struct mg_status mg_log_cut_publish(struct mg_log_store *store, struct mg_log_cut *cut,
                                            struct mg_view note);

/* ---- all by one thread ---- */
/* The cut of what was added, committed. */
CHECKED struct mg_status mg_log_commit(struct mg_log_store *store);
/* The proof that the committed tree continues that of size `from`. */
CHECKED struct mg_status mg_log_consistency(struct mg_log_store *store, uint64_t from,
                                            struct mg_proof *ret_proof);
/* Writes tiles and checkpoint of the committed tree. */
CHECKED struct mg_status mg_log_publish(struct mg_log_store *store, struct mg_view note);

/* Bytes free for us on the disk, and those left in the reserve. */
struct mg_log_space {
    uint64_t free_bytes, reserve_bytes, reserve_wanted;
};
CHECKED struct mg_status mg_log_space(const struct mg_log_store *store, struct mg_log_space *ret_space);
/* Fills the reserve up again once there is room for it twice. */
void mg_log_reserve_refill(struct mg_log_store *store);

#endif
