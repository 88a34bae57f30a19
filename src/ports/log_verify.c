#include "ports/log_verify.h"

#include "base/io.h"
#include "ports/log_tiles.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LEVELS 8
#define NO_INDEX UINT64_MAX
#define AHEAD 128 /* bundles read and hashed together, by as many threads as there are cores */
#define EMPTY_MOST \
    4096U /* bundles without a file in a row, a million entries, after which a copy is at its end */
#define THREADS_MOST 8

static const struct mg_log_finding_row rows[MG_LOG_FINDING_KIND_COUNT] = {[MG_LOG_SOUND] = {"sound", "", ""},
#define FINDING(name, english, japanese) [MG_LOG_##name] = {#name, english, japanese},
                                                                          MG_LOG_FINDINGS(FINDING)
#undef FINDING
};

const struct mg_log_finding_row *
mg_log_finding_row(enum mg_log_finding_kind kind)
{
    return &rows[(unsigned) kind < MG_LOG_FINDING_KIND_COUNT ? kind : MG_LOG_SOUND];
}

/* One row of hashes being collected, level by level. */
struct level {
    uint64_t tile;
    unsigned width;
    struct mg_hash hashes[MG_TILE_WIDTH];
};

/* A bundle as the reading threads leave it. */
struct reading {
    uint64_t index;
    unsigned width, count; /* expected and found entries */
    bool skipped, damaged, has_tile;
    bool overlong; /* bytes behind the last entry that no hash covers */
    bool sound;    /* complete and equal to its tile: root is theirs */
    struct mg_hash root;
    struct mg_status status;
    struct mg_hash leaves[MG_TILE_WIDTH], tile[MG_TILE_WIDTH];
};

struct verifier {
    const char *directory;
    struct reading *readings; /* AHEAD of them */
    size_t reading_count;
    unsigned threads;
    struct mg_log_report *report;
    struct mg_checkpoint checkpoint, remembered;
    bool remembers;
    const struct mg_log_range *skipped; /* two */
    struct mg_log_reader *reader;       /* of the tiles as they lie there */
    struct level levels[LEVELS];
    struct mg_tree tree;
    struct mg_buffer tile;
};

__attribute__((format(printf, 4, 5))) static void
found(struct verifier *verifier, enum mg_log_finding_kind kind, uint64_t index, const char *format, ...)
{
    struct mg_log_report *report = verifier->report;
    if (report->count == MG_LOG_FINDINGS_MOST) {
        report->not_listed++;
        return;
    }
    struct mg_log_finding *finding = &report->findings[report->count++];
    *finding = (struct mg_log_finding){.kind = kind, .index = index};
    va_list args;
    va_start(args, format);
    (void) vsnprintf(finding->place, sizeof finding->place, format, args);
    va_end(args);
}

static bool
has_finding(const struct verifier *verifier, enum mg_log_finding_kind kind)
{
    for (size_t i = 0; i < verifier->report->count; i++)
        if (verifier->report->findings[i].kind == kind)
            return true;
    return false;
}

/* ---- checkpoints ---- */

static bool
checkpoint_read(struct verifier *verifier, const struct mg_log_trust *trust, struct mg_buffer *bytes)
{
    struct mg_note note;
    if (!mg_ok(mg_log_checkpoint_read(verifier->directory, bytes))) {
        found(verifier, MG_LOG_checkpoint_missing, NO_INDEX, "checkpoint");
        return false;
    }
    const struct mg_status status = mg_note_parse(mg_buffer_view(bytes), &note);
    if (!mg_ok(status) || !mg_ok(mg_checkpoint_parse(note.text, &verifier->checkpoint))) {
        found(verifier, MG_LOG_checkpoint_malformed, NO_INDEX, "checkpoint: %s", status.detail);
        return false;
    }
    verifier->report->size = verifier->checkpoint.size;
    memcpy(verifier->report->root.bytes, verifier->checkpoint.root, MG_HASH);
    const enum mg_note_verdict verdict = mg_note_verify(&note, trust->log, NULL);
    if (verdict == MG_NOTE_UNSIGNED || !mg_view_is(verifier->checkpoint.origin, trust->log->name))
        found(verifier, MG_LOG_checkpoint_unsigned, NO_INDEX, "checkpoint");
    else if (verdict == MG_NOTE_WRONG)
        found(verifier, MG_LOG_checkpoint_signature, NO_INDEX, "checkpoint");
    if (trust->witness != NULL)
        (void) mg_note_verify(&note, trust->witness, &verifier->report->witnessed_s);
    return true;
}

/* An earlier checkpoint counts when the log or the witness signed it. */
static void
remembered_read(struct verifier *verifier, const struct mg_log_trust *trust)
{
    struct mg_note note;
    if (trust->remembered.length == 0)
        return;
    if (!mg_ok(mg_note_parse(trust->remembered, &note)) ||
        !mg_ok(mg_checkpoint_parse(note.text, &verifier->remembered))) {
        found(verifier, MG_LOG_remembered_signature, NO_INDEX, "remembered checkpoint: damaged");
        return;
    }
    uint64_t time_s = 0;
    const bool by_log = mg_note_verify(&note, trust->log, NULL) == MG_NOTE_VALID;
    const bool by_witness =
        trust->witness != NULL && mg_note_verify(&note, trust->witness, &time_s) == MG_NOTE_VALID;
    if (!by_log && !by_witness) {
        found(verifier, MG_LOG_remembered_signature, NO_INDEX, "remembered checkpoint");
        return;
    }
    if (time_s > verifier->report->witnessed_s)
        verifier->report->witnessed_s = time_s;
    verifier->remembers = true;
    verifier->report->remembered = verifier->remembered.size;
}

/* With the tree at the remembered size. */
static void
remembered_compare(struct verifier *verifier)
{
    struct mg_hash root;
    mg_tree_root(&verifier->tree, &root);
    if (memcmp(root.bytes, verifier->remembered.root, MG_HASH) == 0)
        verifier->report->rollback = MG_ROLLBACK_EXCLUDED;
    else {
        verifier->report->rollback = MG_ROLLBACK_DETECTED;
        found(verifier, MG_LOG_history_rewritten, NO_INDEX, "somewhere before entry %llu",
              (unsigned long long) verifier->remembered.size);
    }
}

/* ---- entries against their tile ---- */

/* True if the tile's hashes, as they lie there, are what the tile above says of them. */
static bool
tile_fits_above(struct verifier *verifier, uint64_t index, const struct mg_hash *hashes, unsigned width)
{
    struct mg_hash root, above;
    const struct mg_tree_source source = mg_log_reader_source(verifier->reader);
    if (width < MG_TILE_WIDTH) { /* nothing above it but the root, which is compared at the end */
        const struct mg_tree before = verifier->tree;
        struct mg_tree whole = before;
        for (unsigned i = 0; i < width; i++)
            mg_tree_add(&whole, &hashes[i]);
        mg_tree_root(&whole, &root);
        return memcmp(root.bytes, verifier->checkpoint.root, MG_HASH) == 0;
    }
    mg_tile_node(hashes[0].bytes, MG_TILE_HEIGHT, 0, &root);
    return mg_ok(source.read(source.context, MG_TILE_HEIGHT, index, &above)) && mg_hash_equal(&root, &above);
}

/* The other place in the tile where this leaf belongs; -1 if there is none. */
static int
place_of(const struct mg_hash *hash, const struct mg_hash *hashes, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        if (mg_hash_equal(hash, &hashes[i]))
            return (int) i;
    return -1;
}

/* A whole bundle may have changed places with another below the same tile. */
static bool
bundle_elsewhere(struct verifier *verifier, uint64_t index, const struct mg_hash *leaves, unsigned width)
{
    if (width < MG_TILE_WIDTH)
        return false;
    struct mg_hash root, above;
    const struct mg_tree_source source = mg_log_reader_source(verifier->reader);
    mg_tile_node(leaves[0].bytes, MG_TILE_HEIGHT, 0, &root);
    const uint64_t first = index / MG_TILE_WIDTH * MG_TILE_WIDTH;
    for (uint64_t other = first; other < first + MG_TILE_WIDTH; other++)
        if (other != index && mg_ok(source.read(source.context, MG_TILE_HEIGHT, other, &above)) &&
            mg_hash_equal(&root, &above)) {
            found(verifier, MG_LOG_entries_reordered, index * MG_TILE_WIDTH,
                  "entries %llu to %llu stand where %llu to %llu belong",
                  (unsigned long long) other * MG_TILE_WIDTH,
                  (unsigned long long) other * MG_TILE_WIDTH + MG_TILE_WIDTH - 1,
                  (unsigned long long) index * MG_TILE_WIDTH,
                  (unsigned long long) index * MG_TILE_WIDTH + MG_TILE_WIDTH - 1);
            return true;
        }
    return false;
}

/* Names what differs between the leaves that were read and the tile. */
static void
difference_name(struct verifier *verifier, uint64_t index, const struct mg_hash *leaves,
                const struct mg_hash *hashes, unsigned width)
{
    if (!tile_fits_above(verifier, index, hashes, width) && tile_fits_above(verifier, index, leaves, width)) {
        found(verifier, MG_LOG_tile_changed, NO_INDEX, "tile/0/%llu", (unsigned long long) index);
        return;
    }
    if (bundle_elsewhere(verifier, index, leaves, width))
        return;
    for (unsigned i = 0; i < width; i++) {
        if (mg_hash_equal(&leaves[i], &hashes[i]))
            continue;
        const uint64_t entry = index * MG_TILE_WIDTH + i;
        const int place = place_of(&leaves[i], hashes, width);
        if (place >= 0)
            found(verifier, MG_LOG_entries_reordered, entry, "entry %llu stands where %llu belongs",
                  (unsigned long long) index * MG_TILE_WIDTH + (unsigned) place, (unsigned long long) entry);
        else
            found(verifier, MG_LOG_entry_changed, entry, "entry %llu", (unsigned long long) entry);
    }
}

/* Hashes the bundle's leaves; returns how many there are, and of how many bytes. */
static unsigned
leaves_hash(struct mg_view bundle, struct mg_hash *leaves, unsigned width, bool *damaged, size_t *ret_used)
{
    const size_t length = bundle.length;
    struct mg_view leaf;
    unsigned count = 0;
    *damaged = false;
    for (; count < width; count++) {
        bool more = false;
        if (!mg_ok(mg_bundle_next(&bundle, &leaf, &more))) {
            *damaged = true;
            break;
        }
        if (!more)
            break;
        mg_merkle_leaf(leaf, &leaves[count]);
    }
    *ret_used = length - bundle.length;
    return count;
}

/* The tile's own hashes; false if they cannot be had. */
static bool
tile_hashes(struct verifier *verifier, unsigned level, uint64_t index, unsigned width)
{
    const struct mg_tile tile = {.level = level, .index = index, .width = width};
    mg_buffer_clear(&verifier->tile);
    if (mg_ok(mg_log_tile_read(verifier->directory, &tile, &verifier->tile)))
        return true;
    char path[MG_TILE_PATH];
    mg_tile_path(&tile, path);
    found(verifier, MG_LOG_tile_missing, NO_INDEX, "%s", path);
    return false;
}

/* Where a partial bundle has given way to the full one, that is read, and holds more. */
static CHECKED struct mg_status
bundle_read(const char *directory, uint64_t index, unsigned width, struct mg_buffer *bundle, bool *ret_more)
{
    *ret_more = false;
    struct mg_tile tile = {.entries = true, .index = index, .width = width};
    char name[MG_TILE_PATH], path[MG_PATH];
    mg_buffer_clear(bundle);
    mg_tile_path(&tile, name);
    TRY(mg_path_join(path, directory, name));
    struct mg_status status = mg_file_read(path, bundle);
    if (status.code == MG_NOT_FOUND && width < MG_TILE_WIDTH) {
        tile.width = MG_TILE_WIDTH;
        mg_tile_path(&tile, name);
        TRY(mg_path_join(path, directory, name));
        status = mg_file_read(path, bundle);
        *ret_more = true;
    }
    return status.code == MG_NOT_FOUND ? OK : status;
}

static void
reading_fill(const char *directory, struct reading *reading, struct mg_buffer *bundle,
             struct mg_buffer *hashes)
{
    const struct mg_tile tile = {.index = reading->index, .width = reading->width};
    if (reading->skipped)
        return;
    bool holds_more = false;
    reading->status = bundle_read(directory, reading->index, reading->width, bundle, &holds_more);
    if (!mg_ok(reading->status))
        return;
    size_t used = 0;
    reading->count =
        leaves_hash(mg_buffer_view(bundle), reading->leaves, reading->width, &reading->damaged, &used);
    reading->overlong = !holds_more && reading->count == reading->width && used < bundle->length;
    mg_buffer_clear(hashes);
    reading->has_tile = mg_ok(mg_log_tile_read(directory, &tile, hashes));
    if (reading->has_tile)
        memcpy(reading->tile, hashes->bytes, reading->width * sizeof reading->tile[0]);
    reading->sound = reading->has_tile && reading->count == MG_TILE_WIDTH &&
                     memcmp(reading->leaves, reading->tile, sizeof reading->tile) == 0;
    if (reading->sound)
        mg_tile_node(reading->leaves[0].bytes, MG_TILE_HEIGHT, 0, &reading->root);
}

struct reader_thread {
    const struct verifier *verifier;
    size_t first;
    pthread_t thread;
    bool started;
};

/* Every n-th reading of the round; they share nothing. */
static void *
readings_fill(void *argument)
{
    const struct reader_thread *mine = argument;
    const struct verifier *verifier = mine->verifier;
    OWN_BUFFER(bundle, MG_BUNDLE_MOST);
    OWN_BUFFER(hashes, (size_t) MG_TILE_WIDTH * MG_HASH);
    for (size_t i = mine->first; i < verifier->reading_count; i += verifier->threads)
        reading_fill(verifier->directory, &verifier->readings[i], &bundle, &hashes);
    return NULL;
}

/* A thread that cannot be started is no error: its part is done here. */
static void
round_read(const struct verifier *verifier)
{
    struct reader_thread threads[THREADS_MOST] = {0};
    for (unsigned i = 0; i < verifier->threads; i++) {
        threads[i] = (struct reader_thread){.verifier = verifier, .first = i};
        threads[i].started =
            i > 0 && pthread_create(&threads[i].thread, NULL, readings_fill, &threads[i]) == 0;
    }
    for (unsigned i = 0; i < verifier->threads; i++)
        if (!threads[i].started)
            (void) readings_fill(&threads[i]);
    for (unsigned i = 0; i < verifier->threads; i++)
        if (threads[i].started)
            (void) pthread_join(threads[i].thread, NULL);
}

/* One bundle and its tile. What is missing of the entries is taken from the tile, so that the rest of
 * the log can still be checked. Leaves the leaves to go on with in the reading. */
static CHECKED struct mg_status
bundle_verify(struct verifier *verifier, struct reading *reading)
{
    struct mg_hash *leaves = reading->leaves;
    const unsigned width = reading->width, count = reading->count;
    const uint64_t first = reading->index * MG_TILE_WIDTH;
    TRY(reading->status);
    if (reading->skipped) {
        const struct mg_tree_source source = mg_log_reader_source(verifier->reader);
        /* A tile that is missing is named when its row is closed. */
        if (!mg_ok(source.read(source.context, MG_TILE_HEIGHT, reading->index, &reading->root)))
            memset(&reading->root, 0, sizeof reading->root);
        return OK;
    }
    verifier->report->checked += count;
    if (reading->overlong)
        found(verifier, MG_LOG_entry_changed, first + width - 1,
              "bytes behind entry %llu that belong to none", (unsigned long long) first + width - 1);
    if (reading->sound)
        return OK;
    if (!reading->has_tile)
        (void) tile_hashes(verifier, 0, reading->index, width); /* names it */
    if (count < width) {
        found(verifier, reading->damaged ? MG_LOG_entry_changed : MG_LOG_truncated, first + count,
              "entries %llu to %llu%s", (unsigned long long) first + count,
              (unsigned long long) first + width - 1, reading->damaged ? ": a length is damaged" : "");
        if (reading->has_tile)
            memcpy(&leaves[count], &reading->tile[count], (width - count) * sizeof *leaves);
        else
            memset(&leaves[count], 0, (width - count) * sizeof *leaves);
    }
    if (reading->has_tile && memcmp(leaves, reading->tile, width * sizeof *leaves) != 0) {
        difference_name(verifier, reading->index, leaves, reading->tile, width);
        /* The tile stands for them from here on, so that one change is reported once. */
        if (tile_fits_above(verifier, reading->index, reading->tile, width))
            memcpy(leaves, reading->tile, width * sizeof *leaves);
    }
    return OK;
}

/* ---- the levels above ---- */

static void
level_close(struct verifier *verifier, unsigned level)
{
    struct level *row = &verifier->levels[level];
    if (row->width != 0 && tile_hashes(verifier, level, row->tile, row->width) &&
        memcmp(row->hashes, verifier->tile.bytes, row->width * sizeof row->hashes[0]) != 0)
        found(verifier, MG_LOG_tile_changed, NO_INDEX, "tile/%u/%llu", level, (unsigned long long) row->tile);
}

static void
level_push(struct verifier *verifier, unsigned level, const struct mg_hash *hash)
{
    struct level *row = &verifier->levels[level];
    row->hashes[row->width++] = *hash;
    if (row->width < MG_TILE_WIDTH)
        return;
    level_close(verifier, level);
    row->width = 0;
    row->tile++;
}

static void
completed_push(struct verifier *verifier, const struct mg_hash *completed, unsigned count)
{
    for (unsigned level = 0; level < count && level + 1 < LEVELS; level++)
        level_push(verifier, level + 1, &completed[level]);
}

static bool
remembered_inside(const struct verifier *verifier, uint64_t index)
{
    return verifier->remembers && verifier->remembered.size / MG_TILE_WIDTH == index &&
           verifier->remembered.size % MG_TILE_WIDTH != 0;
}

static void
leaves_push(struct verifier *verifier, const struct reading *reading)
{
    struct mg_hash completed[8];
    if (verifier->remembers && verifier->tree.size == verifier->remembered.size)
        remembered_compare(verifier);
    if (reading->skipped || (reading->sound && !remembered_inside(verifier, reading->index))) {
        completed_push(verifier, completed,
                       mg_tree_add_subtree(&verifier->tree, MG_TILE_HEIGHT, &reading->root, completed));
        return;
    }
    for (unsigned i = 0; i < reading->width; i++) {
        if (i > 0 && verifier->remembers && verifier->tree.size == verifier->remembered.size)
            remembered_compare(verifier);
        completed_push(verifier, completed,
                       mg_tree_add_tiles(&verifier->tree, &reading->leaves[i], completed));
    }
}

static void
root_compare(struct verifier *verifier)
{
    struct mg_hash root;
    mg_tree_root(&verifier->tree, &root);
    if (memcmp(root.bytes, verifier->checkpoint.root, MG_HASH) == 0)
        return;
    if (!has_finding(verifier, MG_LOG_entry_changed) && !has_finding(verifier, MG_LOG_entries_reordered) &&
        !has_finding(verifier, MG_LOG_truncated))
        found(verifier, MG_LOG_root_differs, NO_INDEX, "tree of %llu entries",
              (unsigned long long) verifier->tree.size);
}

static bool
bundle_skipped(const struct verifier *verifier, uint64_t index, unsigned width)
{
    const uint64_t from = index * MG_TILE_WIDTH, to = from + MG_TILE_WIDTH;
    if (width < MG_TILE_WIDTH || remembered_inside(verifier, index))
        return false;
    for (size_t i = 0; i < 2; i++)
        if (verifier->skipped[i].from <= from && to <= verifier->skipped[i].to)
            return true;
    return false;
}

/* Says where the copy ends when so much in a row has no file at all that looking on would be counting: a
 * signed checkpoint may speak of any number of entries, and the work must follow what is there. */
static bool
is_past_end(struct verifier *verifier, const struct reading *reading, unsigned *empty)
{
    *empty = reading->skipped || reading->count > 0 || reading->has_tile ? 0 : *empty + 1;
    if (*empty < EMPTY_MOST)
        return false;
    const uint64_t from = (reading->index + 1 - EMPTY_MOST) * MG_TILE_WIDTH;
    /* The empty bundles have filled the list; that the look ends here must be on it. */
    if (verifier->report->count == MG_LOG_FINDINGS_MOST) {
        verifier->report->count--;
        verifier->report->not_listed++;
    }
    found(verifier, MG_LOG_truncated, from,
          "entries %llu to %llu: there is no file of the next %u bundles, and the rest was not looked at",
          (unsigned long long) from, (unsigned long long) verifier->checkpoint.size - 1, EMPTY_MOST);
    return true;
}

static void
rolled_back(struct verifier *verifier, uint64_t size)
{
    verifier->report->rollback = MG_ROLLBACK_DETECTED;
    found(verifier, MG_LOG_rolled_back, size, "it has %llu entries; %llu were remembered",
          (unsigned long long) size, (unsigned long long) verifier->remembered.size);
}

static CHECKED struct mg_status
entries_verify(struct verifier *verifier)
{
    unsigned last_width = 0, empty = 0;
    const uint64_t count = mg_tile_count(0, verifier->checkpoint.size, &last_width);
    for (uint64_t index = 0; index < count; index += verifier->reading_count) {
        verifier->reading_count = (size_t) (count - index < AHEAD ? count - index : AHEAD);
        for (size_t i = 0; i < verifier->reading_count; i++) {
            struct reading *reading = &verifier->readings[i];
            reading->index = index + i;
            reading->width = index + i + 1 == count ? last_width : MG_TILE_WIDTH;
            reading->skipped = bundle_skipped(verifier, reading->index, reading->width);
            reading->sound = reading->damaged = reading->has_tile = reading->overlong = false;
            reading->status = OK;
        }
        round_read(verifier);
        for (size_t i = 0; i < verifier->reading_count; i++) {
            TRY(bundle_verify(verifier, &verifier->readings[i]));
            leaves_push(verifier, &verifier->readings[i]);
            if (!is_past_end(verifier, &verifier->readings[i], &empty))
                continue;
            if (verifier->remembers && verifier->remembered.size > verifier->checkpoint.size)
                rolled_back(verifier, verifier->checkpoint.size);
            return OK;
        }
    }
    for (unsigned level = 1; level < LEVELS; level++)
        level_close(verifier, level);
    root_compare(verifier);
    if (!verifier->remembers)
        return OK;
    if (verifier->remembered.size == verifier->tree.size)
        remembered_compare(verifier);
    else if (verifier->remembered.size > verifier->tree.size)
        rolled_back(verifier, verifier->tree.size);
    return OK;
}

struct mg_status
mg_log_verify(const char *directory, const struct mg_log_trust *trust, struct mg_log_report *ret_report)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct verifier *verifier = calloc(1, sizeof *verifier);
    struct reading *readings = calloc(AHEAD, sizeof *readings);
    if (verifier == NULL || readings == NULL) {
        free(verifier);
        free(readings);
        return fail(OUT_OF_MEMORY);
    }
    OWN_BUFFER(note, MG_CHECKPOINT_MOST);
    *ret_report = (struct mg_log_report){0};
    verifier->directory = directory;
    verifier->report = ret_report;
    verifier->readings = readings;
    verifier->skipped = trust->skipped;
    verifier->threads = cores < 1 ? 1 : cores > THREADS_MOST ? THREADS_MOST : (unsigned) cores;
    verifier->tile = MG_BUFFER((size_t) MG_TILE_WIDTH * MG_HASH);
    struct mg_status status = OK;
    if (checkpoint_read(verifier, trust, &note)) {
        remembered_read(verifier, trust);
        status = mg_log_reader_new(directory, verifier->checkpoint.size, &verifier->reader);
        if (mg_ok(status))
            status = entries_verify(verifier);
    }
    mg_log_reader_drop(&verifier->reader);
    mg_buffer_drop(&verifier->tile);
    free(readings);
    free(verifier);
    return status;
}
