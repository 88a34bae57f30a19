#include "ports/log_store.h"

#include "base/io.h"
#include "ports/log_tiles.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define COMMIT_MOST ((size_t) 4 << 20)
#define PENDING_MOST 65536

/* A full tile that is not on disk yet. */
struct pending {
    struct mg_tile tile;
    struct mg_buffer bytes;
};
struct pending_list {
    struct pending *tiles;
    size_t count, room;
};

struct cut {
    struct mg_log_cut visible; /* first: this is what others hold */
    struct mg_buffer bundle;
    struct mg_journal_plan segment, batch; /* segment: empty unless a new one begins */
    bool begins_segment;
    struct pending_list full;  /* tiles that were filled */
    struct mg_log_state state; /* the unfinished tiles: widths, hashes, bundle */
};

/* How far the tiles below the newest segment's base are. */
enum sync_state { SYNC_DONE, SYNC_WANTED, SYNC_RUNNING, SYNC_FAILED };

struct mg_log_store {
    char directory[MG_PATH]; /* the published one */
    char reserve[MG_PATH];
    uint64_t reserve_wanted;
    struct mg_journal *journal;
    bool broken;               /* the adding thread's: a step was left half done */
    atomic_bool commit_failed; /* what the disk holds is unknown */

    /* Of the adding thread. */
    struct mg_log_state state;
    struct mg_buffer batch;  /* leaves added since the last cut */
    struct mg_buffer hashes; /* of them */
    struct mg_tree cut_tree; /* at the last cut */
    struct pending_list full;
    struct mg_journal_plan segment; /* that the next cut begins */
    bool begins_segment;

    /* Of the publishing thread. */
    unsigned partial_widths[MG_LOG_LEVELS + 1]; /* as last written; the last one is the entries' */
    atomic_ullong published;
    atomic_bool disk_full;

    /* Of the thread that syncs tiles, under the lock. */
    pthread_mutex_t sync_lock;
    pthread_cond_t sync_changed;
    enum sync_state sync;
    uint64_t synced, sync_to; /* sizes: full tiles below are on the disk, or to be brought there */
    struct mg_status sync_status;
    pthread_t syncer;
    bool syncer_runs;

    struct cut *waiting; /* committed by mg_log_commit(), not published */
};

static CHECKED struct mg_status
usable(const struct mg_log_store *store)
{
    return store->broken || atomic_load(&store->commit_failed)
               ? fail_with(SYSTEM, "the log must be opened again")
               : OK;
}

/* ---- the tree in memory ---- */

static CHECKED struct mg_status
pending_add(struct pending_list *list, const struct mg_tile *tile, struct mg_view bytes)
{
    if (list->count == list->room) {
        const size_t room = list->room == 0 ? 16 : list->room * 2;
        if (room > PENDING_MOST)
            return fail_with(BUSY, "too many tiles wait for the disk");
        struct pending *grown = reallocarray(list->tiles, room, sizeof *grown);
        if (grown == NULL)
            return fail(OUT_OF_MEMORY);
        list->tiles = grown;
        list->room = room;
    }
    struct pending *added = &list->tiles[list->count];
    *added = (struct pending){.tile = *tile, .bytes = MG_BUFFER(MG_BUNDLE_MOST)};
    TRY(mg_buffer_add(&added->bytes, bytes));
    list->count++;
    return OK;
}

/* The first `count` are done with. */
static void
pending_forget(struct pending_list *list, size_t count)
{
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        mg_buffer_drop(&list->tiles[i].bytes);
    list->count -= count;
    memmove(list->tiles, list->tiles + count, list->count * sizeof *list->tiles);
}

static void
pending_drop(struct pending_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mg_buffer_drop(&list->tiles[i].bytes);
    free(list->tiles);
    *list = (struct pending_list){0};
}

/* The tile that the newest hash of this level filled. */
static CHECKED struct mg_status
tile_full(struct mg_log_store *store, unsigned level)
{
    struct mg_log_state *state = &store->state;
    const struct mg_tile tile = {.level = level,
                                 .index = (state->tree.size >> (MG_TILE_HEIGHT * (level + 1))) - 1,
                                 .width = MG_TILE_WIDTH};
    TRY(pending_add(&store->full, &tile, mg_view_of(state->hashes[level], sizeof state->hashes[level])));
    state->widths[level] = 0;
    if (level != 0)
        return OK;
    const struct mg_tile bundle = {.entries = true, .index = tile.index, .width = MG_TILE_WIDTH};
    TRY(pending_add(&store->full, &bundle, mg_buffer_view(&state->bundle)));
    mg_buffer_clear(&state->bundle);
    return OK;
}

static CHECKED struct mg_status
tree_add(struct mg_log_store *store, struct mg_view leaf, const struct mg_hash *hash)
{
    struct mg_log_state *state = &store->state;
    struct mg_hash completed[8];
    TRY(mg_bundle_add(&state->bundle, leaf));
    const unsigned count = mg_tree_add_tiles(&state->tree, hash, completed);
    state->hashes[0][state->widths[0]++] = *hash;
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
    const uint64_t published = mg_log_published(store), index = published >> MG_TILE_HEIGHT;
    const unsigned width = (unsigned) (published % MG_TILE_WIDTH);
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
pending_write(struct mg_log_store *store, struct pending_list *list)
{
    size_t done = 0;
    struct mg_status status = OK;
    for (; done < list->count; done++) {
        const struct pending *pending = &list->tiles[done];
        status = tile_put(store, &pending->tile, mg_buffer_view(&pending->bytes));
        if (!mg_ok(status))
            break;
        (void) mg_log_tile_remove_partials(store->directory, &pending->tile, 0);
        store->partial_widths[pending->tile.entries ? MG_LOG_LEVELS : pending->tile.level] = 0;
    }
    pending_forget(list, done);
    return status;
}

static CHECKED struct mg_status
partial_write(struct mg_log_store *store, const struct cut *cut, bool entries, unsigned level)
{
    const struct mg_log_state *state = &cut->state;
    const unsigned width = state->widths[level];
    unsigned *written = &store->partial_widths[entries ? MG_LOG_LEVELS : level];
    if (width == 0 || *written == width)
        return OK;
    const struct mg_tile tile = {.entries = entries,
                                 .level = level,
                                 .index = cut->visible.size >> (MG_TILE_HEIGHT * (level + 1)),
                                 .width = width};
    TRY(tile_put(store, &tile,
                 entries ? mg_buffer_view(&state->bundle)
                         : mg_view_of(state->hashes[level], width * (size_t) MG_HASH)));
    *written = width;
    return OK;
}

/* ---- bringing tiles to the disk ---- */

/* A file, and the directories that were perhaps made for it. */
static CHECKED struct mg_status
tile_sync(const struct mg_log_store *store, const struct mg_tile *tile, char last_parent[MG_PATH])
{
    char name[MG_TILE_PATH], path[MG_PATH];
    mg_tile_path(tile, name);
    TRY(mg_path_join(path, store->directory, name));
    OWN_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return fail_errno("sync %s", path);
    *strrchr(path, '/') = '\0';
    if (strcmp(path, last_parent) == 0)
        return OK;
    TRY(mg_view_copy(mg_view_text(path), last_parent, MG_PATH));
    for (; strlen(path) > strlen(store->directory); *strrchr(path, '/') = '\0')
        TRY(mg_directory_sync(path));
    return mg_directory_sync(store->directory);
}

/* Not syncfs(): that would wait for whatever else is written on this file system. */
static CHECKED struct mg_status
tiles_sync(const struct mg_log_store *store, uint64_t from, uint64_t to)
{
    char parent[MG_PATH] = "", bundle_parent[MG_PATH] = "";
    for (unsigned level = 0; level < MG_LOG_LEVELS - 1; level++) {
        const unsigned shift = MG_TILE_HEIGHT * (level + 1);
        for (uint64_t index = from >> shift; index < to >> shift; index++) {
            const struct mg_tile tile = {.level = level, .index = index, .width = MG_TILE_WIDTH};
            const struct mg_tile bundle = {.entries = true, .index = index, .width = MG_TILE_WIDTH};
            TRY(tile_sync(store, &tile, parent));
            if (level == 0)
                TRY(tile_sync(store, &bundle, bundle_parent));
        }
    }
    return OK;
}

static void *
sync_run(void *argument)
{
    struct mg_log_store *store = argument;
    const struct mg_status status = tiles_sync(store, store->synced, store->sync_to);
    (void) pthread_mutex_lock(&store->sync_lock);
    store->sync = mg_ok(status) ? SYNC_DONE : SYNC_FAILED;
    store->sync_status = status;
    if (mg_ok(status))
        store->synced = store->sync_to;
    (void) pthread_cond_broadcast(&store->sync_changed);
    (void) pthread_mutex_unlock(&store->sync_lock);
    return NULL;
}

/* The tiles below sync_to are written. */
static CHECKED struct mg_status
sync_start(struct mg_log_store *store)
{
    if (store->syncer_runs)
        (void) pthread_join(store->syncer, NULL);
    (void) pthread_mutex_lock(&store->sync_lock);
    store->sync = SYNC_RUNNING;
    (void) pthread_mutex_unlock(&store->sync_lock);
    store->syncer_runs = pthread_create(&store->syncer, NULL, sync_run, store) == 0;
    return store->syncer_runs ? OK : fail_with(SYSTEM, "no thread for syncing the log");
}

static CHECKED struct mg_status
cut_tiles_write(struct mg_log_store *store, struct cut *cut)
{
    TRY(pending_write(store, &cut->full));
    if (!cut->begins_segment)
        return OK;
    cut->begins_segment = false;
    return sync_start(store);
}

/* Until the journal segment that comes next may be overwritten. */
static CHECKED struct mg_status
sync_wait(struct mg_log_store *store)
{
    if (store->waiting != NULL) /* no other thread will */
        TRY(cut_tiles_write(store, store->waiting));
    struct mg_status status = OK;
    (void) pthread_mutex_lock(&store->sync_lock);
    while ((store->sync == SYNC_WANTED || store->sync == SYNC_RUNNING) && mg_ok(status)) {
        struct timespec until;
        mg_must(clock_gettime(CLOCK_REALTIME, &until) == 0);
        until.tv_sec++;
        (void) pthread_cond_timedwait(&store->sync_changed, &store->sync_lock, &until);
        if (store->sync == SYNC_WANTED && atomic_load(&store->disk_full))
            status = fail_with(DISK_FULL, "the tiles of the log cannot be written");
    }
    if (store->sync == SYNC_FAILED)
        status = store->sync_status;
    (void) pthread_mutex_unlock(&store->sync_lock);
    return status;
}

/* ---- adding ---- */

/* To the other segment, while nothing is uncut: its header then repeats only leaves that the old one
 * holds or will hold before it is written. The full tiles below the new base are synced while the new
 * segment fills; that is waited for before the old segment is used again. */
static CHECKED struct mg_status
journal_switch(struct mg_log_store *store)
{
    TRY(sync_wait(store));
    store->broken = true;
    TRY(mg_journal_plan_segment(store->journal, &store->state, &store->segment));
    store->broken = false;
    store->begins_segment = true;
    (void) pthread_mutex_lock(&store->sync_lock);
    store->sync = SYNC_WANTED;
    store->sync_to = store->state.tree.size / MG_TILE_WIDTH * MG_TILE_WIDTH;
    (void) pthread_mutex_unlock(&store->sync_lock);
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
    struct mg_hash hash;
    mg_merkle_leaf(leaf, &hash);
    TRY(mg_bundle_add(&store->batch, leaf));
    const uint64_t index = store->state.tree.size;
    store->broken = true;
    TRY(mg_buffer_add(&store->hashes, mg_view_of(hash.bytes, MG_HASH)));
    TRY(tree_add(store, leaf, &hash));
    store->broken = false;
    *ret_index = index;
    return OK;
}

/* The unfinished tiles as they are now, for publishing later. */
static CHECKED struct mg_status
state_copy(const struct mg_log_state *state, struct mg_log_state *copy)
{
    copy->bundle = MG_BUFFER(MG_BUNDLE_MOST);
    memcpy(copy->widths, state->widths, sizeof copy->widths);
    for (unsigned level = 0; level < MG_LOG_LEVELS; level++)
        memcpy(copy->hashes[level], state->hashes[level], state->widths[level] * sizeof(struct mg_hash));
    return mg_buffer_add(&copy->bundle, mg_buffer_view(&state->bundle));
}

static void
cut_drop(struct cut **cut)
{
    if (*cut == NULL)
        return;
    mg_buffer_drop(&(*cut)->bundle);
    mg_buffer_drop(&(*cut)->state.bundle);
    mg_journal_plan_drop(&(*cut)->segment);
    mg_journal_plan_drop(&(*cut)->batch);
    pending_drop(&(*cut)->full);
    free(*cut);
    *cut = NULL;
}

/* A cut of the tree as it is, with no leaves of its own. */
static CHECKED struct mg_status
cut_new(const struct mg_log_store *store, struct cut **ret_cut)
{
    struct cut *cut = malloc(sizeof *cut);
    if (cut == NULL)
        return fail(OUT_OF_MEMORY);
    cut->visible = (struct mg_log_cut){.size_before = store->cut_tree.size, .size = store->state.tree.size};
    mg_tree_root(&store->state.tree, &cut->visible.root);
    cut->bundle = MG_BUFFER(0);
    cut->segment = cut->batch = (struct mg_journal_plan){0};
    cut->begins_segment = false;
    cut->full = (struct pending_list){0};
    struct mg_status status = state_copy(&store->state, &cut->state);
    if (!mg_ok(status))
        cut_drop(&cut);
    *ret_cut = cut;
    return status;
}

/* Gives the cut what was added. */
static CHECKED struct mg_status
cut_fill(struct mg_log_store *store, struct cut *cut)
{
    const uint64_t count = cut->visible.size - cut->visible.size_before;
    TRY(mg_merkle_growth(&store->cut_tree, (const struct mg_hash *) (const void *) store->hashes.bytes, count,
                         &cut->visible.proof));
    cut->bundle = store->batch;
    store->batch = MG_BUFFER(cut->bundle.maximum);
    cut->segment = store->segment;
    store->segment = (struct mg_journal_plan){0};
    cut->begins_segment = store->begins_segment;
    store->begins_segment = false;
    cut->full = store->full;
    store->full = (struct pending_list){0};
    const struct mg_journal_batch batch = {.size_before = cut->visible.size_before,
                                           .count = (uint32_t) count,
                                           .root_after = cut->visible.root,
                                           .bundle = mg_buffer_view(&cut->bundle)};
    TRY(mg_journal_plan_batch(store->journal, &batch, &cut->batch));
    mg_buffer_clear(&store->hashes);
    store->cut_tree = store->state.tree;
    return OK;
}

struct mg_status
mg_log_cut(struct mg_log_store *store, struct mg_log_cut **ret_cut)
{
    *ret_cut = NULL;
    TRY(usable(store));
    if (store->batch.length == 0)
        return OK;
    struct cut *cut;
    store->broken = true;
    TRY(cut_new(store, &cut));
    const struct mg_status status = cut_fill(store, cut);
    if (!mg_ok(status)) {
        cut_drop(&cut);
        return status;
    }
    store->broken = false;
    *ret_cut = &cut->visible;
    return OK;
}

void
mg_log_cut_drop(struct mg_log_cut **cut)
{
    cut_drop((struct cut **) (void *) cut);
}

/* ---- committing ---- */

struct mg_status
mg_log_cut_commit(struct mg_log_store *store, struct mg_log_cut *visible)
{
    struct cut *cut = (struct cut *) (void *) visible;
    struct mg_status status = OK;
    if (atomic_load(&store->commit_failed))
        status = fail_with(SYSTEM, "the log must be opened again");
    if (mg_ok(status) && cut->segment.bytes.length != 0)
        status = mg_journal_write(store->journal, &cut->segment);
    if (mg_ok(status))
        status = mg_journal_write(store->journal, &cut->batch);
    if (!mg_ok(status))
        atomic_store(&store->commit_failed, true);
    mg_journal_plan_drop(&cut->segment);
    mg_journal_plan_drop(&cut->batch);
    mg_buffer_drop(&cut->bundle);
    return status;
}

/* ---- publishing ---- */

struct mg_log_cut *
mg_log_cut_merge(struct mg_log_cut *older, struct mg_log_cut *newer)
{
    struct cut *first = (struct cut *) (void *) older, *second = (struct cut *) (void *) newer;
    if (older == NULL)
        return newer;
    mg_must(older->size == newer->size_before);
    for (size_t i = 0; i < second->full.count; i++) {
        struct pending *tile = &second->full.tiles[i];
        if (first->full.count == first->full.room) {
            const size_t room = first->full.room == 0 ? 16 : first->full.room * 2;
            struct pending *grown = reallocarray(first->full.tiles, room, sizeof *grown);
            mg_must(grown != NULL);
            first->full.tiles = grown;
            first->full.room = room;
        }
        first->full.tiles[first->full.count++] = *tile;
        tile->bytes = MG_BUFFER(0);
    }
    pending_drop(&second->full);
    second->full = first->full;
    first->full = (struct pending_list){0};
    second->begins_segment = second->begins_segment || first->begins_segment;
    second->visible.size_before = first->visible.size_before;
    cut_drop(&first);
    return newer;
}

static CHECKED struct mg_status
cut_publish(struct mg_log_store *store, struct cut *cut, struct mg_view note)
{
    TRY(cut_tiles_write(store, cut));
    TRY(partial_write(store, cut, true, 0));
    for (unsigned level = 0; level < MG_LOG_LEVELS; level++)
        TRY(partial_write(store, cut, false, level));
    struct mg_status status;
    do
        status = mg_log_checkpoint_write(store->directory, note);
    while (status.code == MG_DISK_FULL && reserve_release(store, 65536));
    TRY(status);
    atomic_store(&store->published, cut->visible.size);
    return OK;
}

struct mg_status
mg_log_cut_publish(struct mg_log_store *store, struct mg_log_cut *cut, struct mg_view note)
{
    const struct mg_status status = cut_publish(store, (struct cut *) (void *) cut, note);
    atomic_store(&store->disk_full, status.code == MG_DISK_FULL);
    return status;
}

/* ---- all by one thread ---- */

struct mg_status
mg_log_commit(struct mg_log_store *store)
{
    struct mg_log_cut *cut = NULL;
    TRY(mg_log_cut(store, &cut));
    if (cut == NULL)
        return OK;
    const struct mg_status status = mg_log_cut_commit(store, cut);
    store->waiting = (struct cut *) (void *) mg_log_cut_merge(
        store->waiting == NULL ? NULL : &store->waiting->visible, cut);
    return status;
}

struct mg_status
mg_log_publish(struct mg_log_store *store, struct mg_view note)
{
    mg_must(store->batch.length == 0);
    TRY(usable(store));
    if (store->waiting == NULL)
        TRY(cut_new(store, &store->waiting));
    TRY(mg_log_cut_publish(store, &store->waiting->visible, note));
    cut_drop(&store->waiting);
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
    for (size_t i = 0; store->waiting != NULL && i < store->waiting->full.count; i++) {
        const struct pending *pending = &store->waiting->full.tiles[i];
        if (!pending->tile.entries && pending->tile.level == level && pending->tile.index == index)
            return pending->bytes.bytes;
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
    return mg_merkle_consistency(&source, from, store->cut_tree.size, ret_proof);
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
        mg_merkle_leaf(leaf, &hash);
        TRY(tree_add(store, leaf, &hash));
    }
    *ret_accepted = true;
    return pending_write(store, &store->full);
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
        const struct mg_status loaded = mg_journal_load(store->journal, n, &state, &bytes);
        if (!mg_ok(loaded)) {
            mg_buffer_drop(&state.bundle);
            return loaded;
        }
        const uint64_t expected = n == 0 ? state.tree.size : store->state.tree.size;
        /* All tiles below the older segment's base were synced before the one it replaced was. */
        if (n == 0)
            store->synced = state.tree.size / MG_TILE_WIDTH * MG_TILE_WIDTH;
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

/* ---- a log whose journal is not there, such as one put back from a copy ---- */

/* The unfinished tile of a level. */
static CHECKED struct mg_status
level_restore(struct mg_log_store *store, unsigned level)
{
    struct mg_log_state *state = &store->state;
    const unsigned shift = MG_TILE_HEIGHT * level;
    const struct mg_tile tile = {.level = level,
                                 .index = state->tree.size >> shift >> MG_TILE_HEIGHT,
                                 .width = (unsigned) ((state->tree.size >> shift) % MG_TILE_WIDTH)};
    state->widths[level] = tile.width;
    if (tile.width == 0)
        return OK;
    OWN_BUFFER(hashes, (size_t) MG_TILE_WIDTH * MG_HASH);
    TRY(mg_log_tile_read(store->directory, &tile, &hashes));
    memcpy(state->hashes[level], hashes.bytes, tile.width * (size_t) MG_HASH);
    if (level != 0)
        return OK;
    struct mg_tile bundle = tile;
    bundle.entries = true;
    TRY(mg_log_tile_read(store->directory, &bundle, &state->bundle));
    struct mg_view rest = mg_buffer_view(&state->bundle), leaf;
    for (unsigned i = 0; i < tile.width; i++) {
        struct mg_hash hash;
        bool more = false;
        TRY(mg_bundle_next(&rest, &leaf, &more));
        mg_merkle_leaf(leaf, &hash);
        if (!mg_hash_equal(&hash, &state->hashes[0][i]))
            return fail_with(INTEGRITY, "an entry does not fit its tile");
    }
    return OK;
}

static CHECKED struct mg_status
tree_restore(struct mg_log_store *store, const struct mg_checkpoint *checkpoint)
{
    OWN(log_reader) reader = NULL;
    struct mg_hash root;
    struct mg_tree *tree = &store->state.tree;
    tree->size = checkpoint->size;
    TRY(mg_log_reader_new(store->directory, checkpoint->size, &reader));
    const struct mg_tree_source source = mg_log_reader_source(reader);
    for (unsigned level = 0; level < MG_COUNT(tree->peaks); level++)
        if ((tree->size >> level & 1) != 0)
            TRY(source.read(source.context, level, (tree->size >> level) - 1, &tree->peaks[level]));
    mg_tree_root(tree, &root);
    if (memcmp(root.bytes, checkpoint->root, MG_HASH) != 0)
        return fail_with(INTEGRITY, "the tiles do not give the checkpoint's root");
    for (unsigned level = 0; level < MG_LOG_LEVELS; level++)
        TRY(level_restore(store, level));
    return OK;
}

/* Tiles and checkpoint are the whole log, as far as the checkpoint goes: whether that is as far as the log
 * went, keys knows. */
static CHECKED struct mg_status
tiles_replay(struct mg_log_store *store)
{
    OWN_BUFFER(bytes, MG_CHECKPOINT_MOST);
    struct mg_checkpoint checkpoint;
    struct mg_status status = mg_log_checkpoint_read(store->directory, &bytes);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    const uint8_t *end = bytes.length == 0 ? NULL : memmem(bytes.bytes, bytes.length, "\n\n", 2);
    status = mg_checkpoint_parse(end == NULL ? mg_buffer_view(&bytes)
                                             : mg_view_of(bytes.bytes, (size_t) (end + 1 - bytes.bytes)),
                                 &checkpoint);
    if (mg_ok(status))
        status = tree_restore(store, &checkpoint);
    if (!mg_ok(status))
        return fail_with(INTEGRITY,
                         "%s has no journal beside it and is not complete in itself (%s): put the journal or "
                         "another copy back; masugata audit verify names what is wrong",
                         store->directory, status.detail);
    /* Whoever copied them may not have waited for the disk. */
    OWN_FD fd = open(store->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) != 0)
        return fail_errno("sync %s", store->directory);
    store->synced = checkpoint.size / MG_TILE_WIDTH * MG_TILE_WIDTH;
    return OK;
}

/* The journal begins at `synced`; what is before must be in tiles. */
static CHECKED struct mg_status
tiles_look(const struct mg_log_store *store)
{
    if (store->synced == 0)
        return OK;
    const struct mg_tile tile = {.index = store->synced / MG_TILE_WIDTH - 1, .width = MG_TILE_WIDTH};
    OWN_BUFFER(hashes, (size_t) MG_TILE_WIDTH * MG_HASH);
    if (mg_ok(mg_log_tile_read(store->directory, &tile, &hashes)))
        return OK;
    return fail_with(
        INTEGRITY,
        "the journal goes on after entry %llu, but %s does not hold the entries before: put it back",
        (unsigned long long) store->synced, store->directory);
}

/* A journal for a log that has none. */
static CHECKED struct mg_status
journal_first(struct mg_log_store *store)
{
    struct mg_journal_plan plan = {0};
    TRY(mg_journal_plan_segment(store->journal, &store->state, &plan));
    const struct mg_status status = mg_journal_write(store->journal, &plan);
    mg_journal_plan_drop(&plan);
    return status;
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
    TRY(mg_journal_open(journal, limits->segment_bytes, &store->journal));
    store->reserve_wanted = limits->reserve_bytes;
    mg_log_reserve_refill(store);
    if (mg_journal_segments(store->journal) != 0) {
        TRY(journal_replay(store));
        TRY(tiles_look(store));
    } else {
        TRY(tiles_replay(store));
        TRY(journal_first(store));
    }
    store->cut_tree = store->state.tree;
    /* What was replayed may be in the page cache only. */
    store->sync_to = store->state.tree.size / MG_TILE_WIDTH * MG_TILE_WIDTH;
    return sync_start(store);
}

struct mg_status
mg_log_store_open(const char *directory, const struct mg_log_limits *limits, struct mg_log_store **ret_store)
{
    OWN(log_store) store = calloc(1, sizeof *store);
    if (store == NULL)
        return fail(OUT_OF_MEMORY);
    (void) pthread_mutex_init(&store->sync_lock, NULL);
    (void) pthread_cond_init(&store->sync_changed, NULL);
    store->hashes = MG_BUFFER(SIZE_MAX / 2); /* as many as leaves fit the batch */
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
    if (dropped->syncer_runs)
        (void) pthread_join(dropped->syncer, NULL);
    pending_drop(&dropped->full);
    cut_drop(&dropped->waiting);
    mg_journal_plan_drop(&dropped->segment);
    mg_buffer_drop(&dropped->hashes);
    mg_buffer_drop(&dropped->batch);
    mg_buffer_drop(&dropped->state.bundle);
    mg_journal_drop(&dropped->journal);
    (void) pthread_cond_destroy(&dropped->sync_changed);
    (void) pthread_mutex_destroy(&dropped->sync_lock);
    free(dropped);
    *store = NULL;
}

uint64_t
mg_log_size(const struct mg_log_store *store)
{
    return store->cut_tree.size;
}

uint64_t
mg_log_published(const struct mg_log_store *store)
{
    return atomic_load(&store->published);
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
