#include "ports/log_tiles.h"

#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- files ---- */

static CHECKED struct mg_status
tile_file(char path[MG_PATH], const char *directory, const struct mg_tile *tile)
{
    char name[MG_TILE_PATH];
    mg_tile_path(tile, name);
    return mg_path_join(path, directory, name);
}

/* The length of the first `width` entries of a bundle; MALFORMED if it holds fewer. */
static CHECKED struct mg_status
bundle_measure(struct mg_view bundle, unsigned width, size_t *ret_length)
{
    struct mg_view rest = bundle, leaf;
    for (unsigned i = 0; i < width; i++) {
        bool more = false;
        TRY(mg_bundle_next(&rest, &leaf, &more));
        if (!more)
            return fail_with(MALFORMED, "entry bundle with %u of %u entries", i, width);
    }
    *ret_length = bundle.length - rest.length;
    return OK;
}

static CHECKED struct mg_status
tile_read_file(const char *directory, const struct mg_tile *file, unsigned width, struct mg_buffer *bytes)
{
    char path[MG_PATH];
    TRY(tile_file(path, directory, file));
    const size_t before = bytes->length;
    TRY(mg_file_read(path, bytes));
    const size_t got = bytes->length - before;
    size_t length = (size_t) width * MG_HASH;
    if (file->entries)
        TRY(bundle_measure(mg_view_of(bytes->bytes + before, got), width, &length));
    else if (got < length)
        return fail_with(MALFORMED, "tile with %zu of %zu bytes", got, length);
    if (got != length && width == file->width)
        return fail_with(MALFORMED, "tile with %zu bytes, expected %zu", got, length);
    bytes->length = before + length;
    return OK;
}

struct mg_status
mg_log_tile_read(const char *directory, const struct mg_tile *tile, struct mg_buffer *bytes)
{
    const size_t before = bytes->length;
    struct mg_status status = tile_read_file(directory, tile, tile->width, bytes);
    if (status.code == MG_NOT_FOUND && tile->width < MG_TILE_WIDTH) {
        struct mg_tile full = *tile;
        full.width = MG_TILE_WIDTH;
        status = tile_read_file(directory, &full, tile->width, bytes);
    }
    if (mg_ok(status))
        return OK;
    bytes->length = before;
    char name[MG_TILE_PATH];
    mg_tile_path(tile, name);
    if (status.code == MG_NOT_FOUND)
        return fail_with(NOT_FOUND, "%s is missing", name);
    return mg_fail_with(status.code, status.where, "%s: %s", name, status.detail);
}

static bool
file_equals(const char *path, struct mg_view bytes)
{
    struct stat found;
    if (stat(path, &found) != 0 || (size_t) found.st_size != bytes.length)
        return false;
    OWN_BUFFER(old, bytes.length);
    return mg_ok(mg_file_read(path, &old)) && mg_view_equal(mg_buffer_view(&old), bytes);
}

/* A file that stays: the disk is started early, so that the sync at a journal's end finds little left to
 * do. Most of the others are gone before the disk would have seen them. */
static CHECKED struct mg_status
file_write(const char *path, struct mg_view bytes, bool stays)
{
    OWN_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail_errno("open %s", path);
    TRY(mg_fd_write_all(fd, bytes));
    if (stays)
        (void) sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return OK;
}

struct mg_status
mg_log_tile_write(const char *directory, const struct mg_tile *tile, struct mg_view bytes)
{
    char path[MG_PATH];
    TRY(tile_file(path, directory, tile));
    if (file_equals(path, bytes))
        return OK;
    const bool full = tile->width == MG_TILE_WIDTH;
    struct mg_status status = file_write(path, bytes, full);
    if (status.code != MG_NOT_FOUND)
        return status;
    char parent[MG_PATH];
    TRY(mg_view_copy(mg_view_text(path), parent, sizeof parent));
    *strrchr(parent, '/') = '\0';
    TRY(mg_directory_make(parent, 0755));
    return file_write(path, bytes, full);
}

unsigned
mg_log_tile_remove_partials(const char *directory, const struct mg_tile *place, unsigned kept)
{
    struct mg_tile partial = *place;
    char path[MG_PATH], kept_name[16];
    unsigned removed = 0;
    partial.width = 1;
    (void) snprintf(kept_name, sizeof kept_name, "%u", kept);
    if (!mg_ok(tile_file(path, directory, &partial)))
        return 0;
    *strrchr(path, '/') = '\0';
    DIR *names = opendir(path);
    if (names == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(names)) != NULL;)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, kept_name) != 0)
            removed += unlinkat(dirfd(names), entry->d_name, 0) == 0;
    (void) closedir(names);
    if (kept == 0)
        (void) rmdir(path);
    return removed;
}

struct mg_status
mg_log_checkpoint_read(const char *directory, struct mg_buffer *note)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, "checkpoint"));
    return mg_file_read(path, note);
}

struct mg_status
mg_log_checkpoint_write(const char *directory, struct mg_view note)
{
    char path[MG_PATH], fresh[MG_PATH];
    TRY(mg_path_join(path, directory, "checkpoint"));
    TRY(mg_path_join(fresh, directory, "checkpoint.new"));
    TRY(file_write(fresh, note, false));
    if (rename(fresh, path) != 0)
        return fail_errno("replace %s", path);
    return OK;
}

/* ---- hashes out of tiles ---- */

void
mg_tile_node(const uint8_t *hashes, unsigned height, unsigned position, struct mg_hash *ret_hash)
{
    struct mg_hash row[MG_TILE_WIDTH];
    unsigned count = 1U << height;
    memcpy(row, hashes + (size_t) position * count * MG_HASH, (size_t) count * MG_HASH);
    for (; count > 1; count /= 2)
        for (unsigned i = 0; i < count / 2; i++)
            mg_merkle_node(&row[2 * i], &row[2 * i + 1], &row[i]);
    *ret_hash = row[0];
}

/* Proofs walk the right edge and one path, so few tiles are enough. */
#define SLOTS 32

struct slot {
    struct mg_tile tile; /* width 0: empty */
    struct mg_buffer bytes;
    uint64_t used;
};

struct mg_log_reader {
    char directory[MG_PATH];
    uint64_t size, clock;
    struct slot slots[SLOTS];
};

struct mg_status
mg_log_reader_new(const char *directory, uint64_t size, struct mg_log_reader **ret_reader)
{
    OWN(log_reader) reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(mg_view_copy(mg_view_text(directory), reader->directory, sizeof reader->directory));
    reader->size = size;
    for (size_t i = 0; i < SLOTS; i++)
        reader->slots[i].bytes = MG_BUFFER(MG_BUNDLE_MOST);
    *ret_reader = TAKE(reader);
    return OK;
}

void
mg_log_reader_drop(struct mg_log_reader **reader)
{
    if (*reader == NULL)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        mg_buffer_drop(&(*reader)->slots[i].bytes);
    free(*reader);
    *reader = NULL;
}

/* The slot that holds the tile, or the one unused for longest, filled with it. */
static CHECKED struct mg_status
slot_fill(struct mg_log_reader *reader, const struct mg_tile *tile, struct slot **ret_slot)
{
    struct slot *oldest = &reader->slots[0];
    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &reader->slots[i];
        if (slot->tile.width == tile->width && slot->tile.entries == tile->entries &&
            slot->tile.level == tile->level && slot->tile.index == tile->index) {
            slot->used = ++reader->clock;
            *ret_slot = slot;
            return OK;
        }
        if (slot->used < oldest->used)
            oldest = slot;
    }
    oldest->tile.width = 0;
    mg_buffer_clear(&oldest->bytes);
    TRY(mg_log_tile_read(reader->directory, tile, &oldest->bytes));
    oldest->tile = *tile;
    oldest->used = ++reader->clock;
    *ret_slot = oldest;
    return OK;
}

/* The tile of that level and index as the tree of this size has it; INVALID if it has none. */
static CHECKED struct mg_status
tile_of(const struct mg_log_reader *reader, bool entries, unsigned level, uint64_t index,
        struct mg_tile *ret_tile)
{
    unsigned last_width = 0;
    const uint64_t count = mg_tile_count(level, reader->size, &last_width);
    if (index >= count)
        return fail_with(INVALID, "no tile %u/%llu in a tree of %llu", level, (unsigned long long) index,
                         (unsigned long long) reader->size);
    *ret_tile = (struct mg_tile){.entries = entries,
                                 .level = level,
                                 .index = index,
                                 .width = index + 1 == count ? last_width : MG_TILE_WIDTH};
    return OK;
}

static struct mg_status
reader_hash(void *context, unsigned level, uint64_t index, struct mg_hash *ret_hash)
{
    struct mg_log_reader *reader = context;
    const unsigned height = level % MG_TILE_HEIGHT;
    const uint64_t first = index << height; /* in the tile's row */
    const unsigned position = (unsigned) (index % (MG_TILE_WIDTH >> height));
    struct mg_tile tile;
    TRY(tile_of(reader, false, level / MG_TILE_HEIGHT, first / MG_TILE_WIDTH, &tile));
    if ((position + 1) << height > tile.width)
        return fail_with(INVALID, "node %u/%llu is not complete", level, (unsigned long long) index);
    struct slot *slot;
    TRY(slot_fill(reader, &tile, &slot));
    mg_tile_node(slot->bytes.bytes, height, position, ret_hash);
    return OK;
}

struct mg_tree_source
mg_log_reader_source(struct mg_log_reader *reader)
{
    return (struct mg_tree_source){.read = reader_hash, .context = reader};
}

struct mg_status
mg_log_reader_leaf(struct mg_log_reader *reader, uint64_t index, struct mg_buffer *leaf)
{
    struct mg_tile tile;
    if (index >= reader->size)
        return fail_with(INVALID, "no entry %llu in a tree of %llu", (unsigned long long) index,
                         (unsigned long long) reader->size);
    TRY(tile_of(reader, true, 0, index / MG_TILE_WIDTH, &tile));
    struct slot *slot;
    TRY(slot_fill(reader, &tile, &slot));
    struct mg_view rest = mg_buffer_view(&slot->bytes), found = MG_VIEW_EMPTY;
    for (uint64_t i = 0; i <= index % MG_TILE_WIDTH; i++) {
        bool more = false;
        TRY(mg_bundle_next(&rest, &found, &more));
    }
    return mg_buffer_add(leaf, found);
}
