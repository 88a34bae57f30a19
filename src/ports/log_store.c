#include "ports/log_store.h"

#include "base/io.h"
#include "ports/log_tiles.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define COMMIT_MOST ((size_t) 4 << 20)
#define PENDING_MOST 65536

/* A full tile that is not on disk yet. */
struct pending {
    struct mg_tile tile;
    struct mg_buffer bytes;
};

struct mg_log_store {
    char directory[MG_PATH]; /* the published one */
    char reserve[MG_PATH];
    struct mg_journal *journal;
    struct mg_log_state state;
    struct mg_buffer batch; /* leaves added since the last commit */
    uint64_t committed, published;
    uint64_t reserve_wanted;
    struct pending *pending;
    size_t pending_count, pending_room;
    unsigned partial_widths[MG_LOG_LEVELS + 1]; /* as last written; the last one is the entries' */
    int directory_fd;
    bool broken;
    /* The thread that syncs the tiles below the newest segment's base. */
    pthread_t syncer;
    bool syncing;
    int sync_error;
};

static CHECKED struct mg_status
usable(const struct mg_log_store *store)
{
    return store->broken ? fail_with(SYSTEM, "the log must be opened again") : OK;
}

/* ---- the tree in memory ---- */

static CHECKED struct mg_status
pending_add(struct mg_log_store *store, const struct mg_tile *tile, struct mg_view bytes)
{
    if (store->pending_count == store->pending_room) {
        const size_t room = store->pending_room == 0 ? 64 : store->pending_room * 2;
        if (room > PENDING_MOST)
            return fail_with(BUSY, "too many tiles wait for the disk");
        struct pending *grown = reallocarray(store->pending, room, sizeof *grown);
        if (grown == NULL)
            return fail(OUT_OF_MEMORY);
        store->pending = grown;
        store->pending_room = room;
    }
    struct pending *added = &store->pending[store->pending_count];
    *added = (struct pending){.tile = *tile, .bytes = MG_BUFFER(MG_BUNDLE_MOST)};
    TRY(mg_buffer_add(&added->bytes, bytes));
    store->pending_count++;
    return OK;
}

/* The tile that the newest hash of this level filled. */
static CHECKED struct mg_status
tile_full(struct mg_log_store *store, unsigned level)
{
    struct mg_log_state *state = &store->state;
    const struct mg_tile tile = {.level = level,
                                 .index = (state->tree.size >> (MG_TILE_HEIGHT * (level + 1))) - 1,
                                 .width = MG_TILE_WIDTH};
    TRY(pending_add(store, &tile, mg_view_of(state->hashes[level], sizeof state->hashes[level])));
    state->widths[level] = 0;
    if (level != 0)
        return OK;
    const struct mg_tile bundle = {.entries = true, .index = tile.index, .width = MG_TILE_WIDTH};
    TRY(pending_add(store, &bundle, mg_buffer_view(&state->bundle)));
    mg_buffer_clear(&state->bundle);
    return OK;
}

static CHECKED struct mg_status
tree_add(struct mg_log_store *store, struct mg_view leaf)
{
    struct mg_log_state *state = &store->state;
    struct mg_hash hash, completed[8];
    mg_merkle_leaf(leaf, &hash);
    TRY(mg_bundle_add(&state->bundle, leaf));
    const unsigned count = mg_tree_add_tiles(&state->tree, &hash, completed);
    state->hashes[0][state->widths[0]++] = hash;
    for (unsigned level = 0; level < count; level++) {
        if (level + 1 >= MG_LOG_LEVELS)
            return fail_with(TOO_LARGE, "the log is full");
        TRY(tile_full(store, level));
        state->hashes[level + 1][state->widths[level + 1]++] = completed[level];
    }
    return OK;
}

/* ---- the reserve ---- */

static uint64_t
reserve_held(const struct mg_log_store *store)
{
    struct stat found;
    return stat(store->reserve, &found) == 0 ? (uint64_t) found.st_blocks * 512 : 0;
}

/* Gives `bytes` of the reserve back to the disk; false if it is used up. */
static bool
reserve_release(const struct mg_log_store *store, uint64_t bytes)
{
    const uint64_t held = reserve_held(store);
    OWN_FD fd = open(store->reserve, O_RDWR | O_CLOEXEC);
    return held != 0 && fd >= 0 && ftruncate(fd, (off_t) (held > bytes ? held - bytes : 0)) == 0;
}

static void
reserve_fill(const struct mg_log_store *store)
{
    OWN_FD fd = open(store->reserve, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && store->reserve_wanted != 0)
        (void) posix_fallocate(fd, 0, (off_t) store->reserve_wanted);
}

struct mg_status
mg_log_space(const struct mg_log_store *store, struct mg_log_space *ret_space)
{
    struct statvfs found;
    if (statvfs(store->directory, &found) != 0)
        return fail_errno("free space of %s", store->directory);
    *ret_space = (struct mg_log_space){.free_bytes = (uint64_t) found.f_bavail * found.f_frsize,
                                       .reserve_bytes = reserve_held(store),
                                       .reserve_wanted = store->reserve_wanted};
    return OK;
}

void
mg_log_reserve_refill(struct mg_log_store *store)
{
    struct mg_log_space space;
    if (mg_ok(mg_log_space(store, &space)) && space.reserve_bytes < space.reserve_wanted &&
        space.free_bytes > 2 * space.reserve_wanted)
        reserve_fill(store);
}

/* ---- publishing ---- */

/* Gives up the partial tiles of earlier checkpoints, which the specification would have us keep until the
 * full tile is there: on a full disk the newest state goes first. False if there were none. */
static bool
partials_thin(const struct mg_log_store *store)
{
    const uint64_t index = store->published >> MG_TILE_HEIGHT;
    const unsigned width = (unsigned) (store->published % MG_TILE_WIDTH);
    const struct mg_tile bundle = {.entries = true, .index = index}, tile = {.index = index};
    return mg_log_tile_remove_partials(store->directory, &bundle, width) +
               mg_log_tile_remove_partials(store->directory, &tile, width) >
           2;
}

/* Writes a tile; a full disk eats into the reserve. */
static CHECKED struct mg_status
tile_put(const struct mg_log_store *store, const struct mg_tile *tile, struct mg_view bytes)
{
    struct mg_status status;
    do
        status = mg_log_tile_write(store->directory, tile, bytes);
    while (status.code == MG_DISK_FULL &&
           (partials_thin(store) || reserve_release(store, bytes.length + 65536)));
    return status;
}

static CHECKED struct mg_status
pending_write(struct mg_log_store *store)
{
    size_t done = 0;
    struct mg_status status = OK;
    while (done < store->pending_count) {
        struct pending *pending = &store->pending[done];
        status = tile_put(store, &pending->tile, mg_buffer_view(&pending->bytes));
        if (!mg_ok(status))
            break;
        (void) mg_log_tile_remove_partials(store->directory, &pending->tile, 0);
        store->partial_widths[pending->tile.entries ? MG_LOG_LEVELS : pending->tile.level] = 0;
        mg_buffer_drop(&pending->bytes);
        done++;
    }
    if (done == 0)
        return status;
    store->pending_count -= done;
    memmove(store->pending, store->pending + done, store->pending_count * sizeof *store->pending);
    return status;
}

static CHECKED struct mg_status
partial_write(struct mg_log_store *store, bool entries, unsigned level, struct mg_view bytes)
{
    const unsigned width = store->state.widths[level];
    unsigned *written = &store->partial_widths[entries ? MG_LOG_LEVELS : level];
    if (width == 0 || *written == width)
        return OK;
    const struct mg_tile tile = {.entries = entries,
                                 .level = level,
                                 .index = store->state.tree.size >> (MG_TILE_HEIGHT * (level + 1)),
                                 .width = width};
    TRY(tile_put(store, &tile, bytes));
    *written = width;
    return OK;
}

static CHECKED struct mg_status
partials_write(struct mg_log_store *store)
{
    struct mg_log_state *state = &store->state;
    TRY(partial_write(store, true, 0, mg_buffer_view(&state->bundle)));
    for (unsigned level = 0; level < MG_LOG_LEVELS; level++)
        TRY(partial_write(store, false, level,
                          mg_view_of(state->hashes[level], state->widths[level] * (size_t) MG_HASH)));
    return OK;
}

struct mg_status
mg_log_publish(struct mg_log_store *store, struct mg_view note)
{
    mg_must(store->batch.length == 0);
    TRY(usable(store));
    TRY(pending_write(store));
    TRY(partials_write(store));
    struct mg_status status;
    do
        status = mg_log_checkpoint_write(store->directory, note);
    while (status.code == MG_DISK_FULL && reserve_release(store, 65536));
    TRY(status);
    store->published = store->committed;
    return OK;
}

/* ---- committing ---- */

static void *
sync_run(void *argument)
{
    struct mg_log_store *store = argument;
    store->sync_error = syncfs(store->directory_fd) == 0 ? 0 : errno;
    return NULL;
}

static CHECKED struct mg_status
sync_start(struct mg_log_store *store)
{
    if (pthread_create(&store->syncer, NULL, sync_run, store) != 0)
        return fail_with(SYSTEM, "no thread for syncing the log");
    store->syncing = true;
    return OK;
}

static CHECKED struct mg_status
sync_wait(struct mg_log_store *store)
{
    if (!store->syncing)
        return OK;
    (void) pthread_join(store->syncer, NULL);
    store->syncing = false;
    if (store->sync_error != 0) {
        errno = store->sync_error;
        return fail_errno("sync %s", store->directory);
    }
    return OK;
}

/* To the other segment, while nothing is uncommitted: its header then repeats only leaves that the
 * old one holds. The full tiles below the new base are written before and synced while the new
 * segment fills; that is waited for before the old segment is used again. */
static CHECKED struct mg_status
journal_switch(struct mg_log_store *store)
{
    TRY(sync_wait(store));
    TRY(pending_write(store));
    store->broken = true;
    TRY(mg_journal_begin(store->journal, &store->state));
    store->broken = false;
    return sync_start(store);
}

struct mg_status
mg_log_commit(struct mg_log_store *store)
{
    TRY(usable(store));
    if (store->batch.length == 0)
        return OK;
    struct mg_journal_batch batch = {.size_before = store->committed,
                                     .count = (uint32_t) (store->state.tree.size - store->committed),
                                     .bundle = mg_buffer_view(&store->batch)};
    mg_tree_root(&store->state.tree, &batch.root_after);
    store->broken = true;
    TRY(mg_journal_append(store->journal, &batch));
    store->broken = false;
    mg_buffer_clear(&store->batch);
    store->committed = store->state.tree.size;
    return OK;
}

struct mg_status
mg_log_add(struct mg_log_store *store, struct mg_view leaf, uint64_t *ret_index)
{
    TRY(usable(store));
    if (leaf.length > MG_LOG_ENTRY_MOST)
        return fail_with(TOO_LARGE, "log entry of %zu bytes", leaf.length);
    if (store->batch.length + leaf.length + 2 > store->batch.maximum)
        return fail_with(BUSY, "the commit is full");
    if (store->batch.length == 0 && !mg_journal_has_room(store->journal, store->batch.maximum))
        TRY(journal_switch(store));
    if (!mg_journal_has_room(store->journal, store->batch.length + leaf.length + 2))
        return fail_with(BUSY, "the journal segment is full");
    TRY(mg_bundle_add(&store->batch, leaf));
    const uint64_t index = store->state.tree.size;
    store->broken = true;
    TRY(tree_add(store, leaf));
    store->broken = false;
    *ret_index = index;
    return OK;
}

/* ---- proofs of the tree in memory ---- */

/* Hashes of a tile of the tree in memory: the open one, or a full one not written yet; NULL if it is
 * on disk. */
static const uint8_t *
tile_in_memory(const struct mg_log_store *store, unsigned level, uint64_t index)
{
    /* The highest level covers every size; a shift by 64 would be undefined. */
    const unsigned shift = MG_TILE_HEIGHT * (level + 1);
    if (level < MG_LOG_LEVELS && index == (shift < 64 ? store->state.tree.size >> shift : 0))
        return store->state.hashes[level][0].bytes;
    for (size_t i = 0; i < store->pending_count; i++) {
        const struct mg_tile *tile = &store->pending[i].tile;
        if (!tile->entries && tile->level == level && tile->index == index)
            return store->pending[i].bytes.bytes;
    }
    return NULL;
}

static struct mg_status
store_hash(void *context, unsigned level, uint64_t index, struct mg_hash *ret_hash)
{
    const struct mg_log_store *store = context;
    const unsigned height = level % MG_TILE_HEIGHT;
    const unsigned position = (unsigned) (index % (MG_TILE_WIDTH >> height));
    const struct mg_tile tile = {
        .level = level / MG_TILE_HEIGHT, .index = (index << height) / MG_TILE_WIDTH, .width = MG_TILE_WIDTH};
    const uint8_t *hashes = tile_in_memory(store, tile.level, tile.index);
    OWN_BUFFER(bytes, (size_t) MG_TILE_WIDTH * MG_HASH);
    if (hashes == NULL) {
        TRY(mg_log_tile_read(store->directory, &tile, &bytes));
        hashes = bytes.bytes;
    }
    mg_tile_node(hashes, height, position, ret_hash);
    return OK;
}

struct mg_status
mg_log_consistency(struct mg_log_store *store, uint64_t from, struct mg_proof *ret_proof)
{
    const struct mg_tree_source source = {.read = store_hash, .context = store};
    return mg_merkle_consistency(&source, from, store->committed, ret_proof);
}

/* ---- opening ---- */

/* Adds a journal batch; false, and nothing added, if its root is another than it says. */
static CHECKED struct mg_status
batch_replay(struct mg_log_store *store, const struct mg_journal_batch *batch, bool *ret_accepted)
{
    struct mg_tree tree = store->state.tree;
    struct mg_view rest = batch->bundle, leaf;
    struct mg_hash hash;
    uint64_t count = 0;
    *ret_accepted = false;
    for (bool more = true;; count++) {
        if (!mg_ok(mg_bundle_next(&rest, &leaf, &more)))
            return OK;
        if (!more)
            break;
        mg_merkle_leaf(leaf, &hash);
        mg_tree_add(&tree, &hash);
    }
    mg_tree_root(&tree, &hash);
    if (count != batch->count || !mg_hash_equal(&hash, &batch->root_after))
        return OK;
    rest = batch->bundle;
    for (uint64_t i = 0; i < count; i++) {
        bool more = false;
        TRY(mg_bundle_next(&rest, &leaf, &more));
        TRY(tree_add(store, leaf));
    }
    *ret_accepted = true;
    return pending_write(store);
}

static CHECKED struct mg_status
segment_replay(struct mg_log_store *store, struct mg_view *rest)
{
    struct mg_journal_batch batch;
    for (struct mg_view ahead = *rest; mg_journal_next(&ahead, store->state.tree.size, &batch);
         *rest = ahead) {
        bool accepted = false;
        TRY(batch_replay(store, &batch, &accepted));
        if (!accepted)
            break;
    }
    return OK;
}

static CHECKED struct mg_status
journal_replay(struct mg_log_store *store)
{
    const unsigned count = mg_journal_segments(store->journal);
    for (unsigned n = 0; n < count; n++) {
        OWN_BUFFER(bytes, SIZE_MAX / 2);
        struct mg_log_state state = {.bundle = MG_BUFFER(MG_BUNDLE_MOST)};
        TRY(mg_journal_load(store->journal, n, &state, &bytes));
        const uint64_t expected = n == 0 ? state.tree.size : store->state.tree.size;
        mg_buffer_drop(&store->state.bundle);
        store->state = state;
        if (state.tree.size != expected)
            return fail_with(INTEGRITY, "the journal's segments end at %llu and begin at %llu",
                             (unsigned long long) expected, (unsigned long long) state.tree.size);
        struct mg_view rest = mg_buffer_view(&bytes);
        TRY(segment_replay(store, &rest));
        if (n + 1 == count)
            mg_journal_resume(store->journal, rest.length);
    }
    return OK;
}

static CHECKED struct mg_status
tiles_replay(struct mg_log_store *store)
{
    OWN_BUFFER(note, MG_CHECKPOINT_MOST);
    const struct mg_status status = mg_log_checkpoint_read(store->directory, &note);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    return fail_with(INTEGRITY, "there is a log in %s but no journal for it", store->directory);
}

static CHECKED struct mg_status
store_open(struct mg_log_store *store, const char *directory, const struct mg_log_limits *limits)
{
    char journal[MG_PATH];
    TRY(mg_path_join(journal, directory, "journal"));
    TRY(mg_path_join(store->directory, directory, "log"));
    TRY(mg_path_join(store->reserve, directory, "reserve"));
    TRY(mg_directory_make(directory, 0755));
    TRY(mg_directory_make(store->directory, 0755));
    store->directory_fd = open(store->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->directory_fd < 0)
        return fail_errno("open %s", store->directory);
    TRY(mg_journal_open(journal, limits->segment_bytes, &store->journal));
    store->reserve_wanted = limits->reserve_bytes;
    mg_log_reserve_refill(store);
    if (mg_journal_segments(store->journal) != 0)
        TRY(journal_replay(store));
    else {
        TRY(tiles_replay(store));
        TRY(mg_journal_begin(store->journal, &store->state));
    }
    store->committed = store->state.tree.size;
    /* What was replayed may be in the page cache only. */
    return sync_start(store);
}

struct mg_status
mg_log_store_open(const char *directory, const struct mg_log_limits *limits, struct mg_log_store **ret_store)
{
    OWN(log_store) store = calloc(1, sizeof *store);
    if (store == NULL)
        return fail(OUT_OF_MEMORY);
    store->directory_fd = -1;
    store->state.bundle = MG_BUFFER(MG_BUNDLE_MOST);
    /* A segment must take its header, the open bundle and a whole commit. */
    store->batch =
        MG_BUFFER(limits->segment_bytes / 8 < COMMIT_MOST ? limits->segment_bytes / 8 : COMMIT_MOST);
    TRY(store_open(store, directory, limits));
    *ret_store = TAKE(store);
    return OK;
}

void
mg_log_store_drop(struct mg_log_store **store)
{
    struct mg_log_store *dropped = *store;
    if (dropped == NULL)
        return;
    if (dropped->syncing)
        (void) pthread_join(dropped->syncer, NULL);
    for (size_t i = 0; i < dropped->pending_count; i++)
        mg_buffer_drop(&dropped->pending[i].bytes);
    free(dropped->pending);
    mg_buffer_drop(&dropped->batch);
    mg_buffer_drop(&dropped->state.bundle);
    mg_journal_drop(&dropped->journal);
    mg_fd_drop(&dropped->directory_fd);
    free(dropped);
    *store = NULL;
}

uint64_t
mg_log_size(const struct mg_log_store *store)
{
    return store->committed;
}

uint64_t
mg_log_published(const struct mg_log_store *store)
{
    return store->published;
}

void
mg_log_root(const struct mg_log_store *store, struct mg_hash *ret_root)
{
    mg_must(store->batch.length == 0);
    mg_tree_root(&store->state.tree, ret_root);
}

const char *
mg_log_directory(const struct mg_log_store *store)
{
    return store->directory;
}
