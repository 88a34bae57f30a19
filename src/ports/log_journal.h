/* The journal: what makes a log entry durable, with one fdatasync a commit.
 *
 * Two segment files of fixed size, written with zeros once and then reused in turn, so that a
 * commit changes no file-system metadata. A segment begins with a header that holds the whole state
 * of the tree at its base (a multiple of 256 entries) and the entries since; a valid header
 * therefore needs nothing before it. Behind it come batches, each naming the tree's size before and
 * the root after it: a torn or stale batch cannot match. Before a segment is overwritten, all tiles
 * below the other one's base have been synced. */
#ifndef MG_PORTS_LOG_JOURNAL_H
#define MG_PORTS_LOG_JOURNAL_H

#include "domain/merkle.h"
#include "wire/tlog.h"

#define MG_LOG_LEVELS 8

/* A growing log: the tree, the hashes of the unfinished tile of each level and the leaves of the
 * unfinished entry bundle. */
struct mg_log_state {
    struct mg_tree tree;
    unsigned widths[MG_LOG_LEVELS];
    struct mg_hash hashes[MG_LOG_LEVELS][MG_TILE_WIDTH];
    struct mg_buffer bundle;
};

struct mg_journal_batch {
    uint64_t size_before;
    uint32_t count;
    struct mg_hash root_after;
    struct mg_view bundle; /* count leaves */
};

struct mg_journal;
/* Opens DIRECTORY/0 and /1, making what is missing; segment_bytes counts when a file is made. */
CHECKED struct mg_status mg_journal_open(const char *directory, size_t segment_bytes,
                                         struct mg_journal **ret_journal);
void mg_journal_drop(struct mg_journal **journal);

/* Valid segments, oldest first: 0, 1 or 2. */
unsigned mg_journal_segments(const struct mg_journal *journal);
/* The n-th valid segment: its state at base, and the bytes behind its header, which begin with
 * batches. `state` is overwritten; its bundle must be an empty buffer. */
CHECKED struct mg_status mg_journal_load(const struct mg_journal *journal, unsigned n,
                                         struct mg_log_state *state, struct mg_buffer *bytes);
/* Takes a batch off; false where there is none that could continue a tree of `size`. Its root is not
 * checked here. */
bool mg_journal_next(struct mg_view *rest, uint64_t size, struct mg_journal_batch *ret_batch);
/* Appending goes on behind the batches that were accepted, `left` bytes before the newest segment's end. */
void mg_journal_resume(struct mg_journal *journal, size_t left);

/* Writing is planned by one thread and done, in the same order, by the same or another: the plan takes its
 * place in a segment, the writing makes it durable. A plan owns what it has to write but for the batch's
 * leaves, which must stay until it was written. */
struct mg_journal_plan {
    unsigned segment;
    size_t offset;
    struct mg_buffer bytes;  /* header, or head of a batch */
    struct mg_view borrowed; /* what comes behind it */
};
void mg_journal_plan_drop(struct mg_journal_plan *plan);
/* The other segment, beginning with this state; what is planned next goes behind it. */
CHECKED struct mg_status mg_journal_plan_segment(struct mg_journal *journal, const struct mg_log_state *state,
                                                 struct mg_journal_plan *ret_plan);
bool mg_journal_has_room(const struct mg_journal *journal, size_t bundle_length);
CHECKED struct mg_status mg_journal_plan_batch(struct mg_journal *journal,
                                               const struct mg_journal_batch *batch,
                                               struct mg_journal_plan *ret_plan);
/* Durable when it returns. After an error nothing may be written any more: what the disk holds is
 * unknown until it is opened again. */
CHECKED struct mg_status mg_journal_write(const struct mg_journal *journal,
                                          const struct mg_journal_plan *plan);

#endif
