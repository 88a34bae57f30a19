#include "wire/tlog.h"

#include <stdio.h>

#define TREE_MOST ((uint64_t) 1 << 62)

/* Three digits an element, from the front; all but the last begin with an x. */
static size_t
index_path(uint64_t index, char *text, size_t room)
{
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%021llu", (unsigned long long) index);
    const char *at = digits;
    while (at[0] == '0' && at[1] == '0' && at[2] == '0' && at + 3 < digits + length)
        at += 3;
    size_t used = 0;
    for (; at < digits + length; at += 3) {
        const bool last = at + 3 == digits + length;
        used += (size_t) snprintf(text + used, room - used, "/%s%.3s", last ? "" : "x", at);
    }
    return used;
}

void
mg_tile_path(const struct mg_tile *tile, char path[MG_TILE_PATH])
{
    size_t used = 0;
    if (tile->entries)
        used = (size_t) snprintf(path, MG_TILE_PATH, "tile/entries");
    else
        used = (size_t) snprintf(path, MG_TILE_PATH, "tile/%u", tile->level);
    used += index_path(tile->index, path + used, MG_TILE_PATH - used);
    if (tile->width < MG_TILE_WIDTH)
        (void) snprintf(path + used, MG_TILE_PATH - used, ".p/%u", tile->width);
}

/* Takes the text up to the next slash, and the slash. */
static struct mg_view
element_take(struct mg_view *path)
{
    size_t length = 0;
    while (length < path->length && path->bytes[length] != '/')
        length++;
    const struct mg_view element = mg_view_of(path->bytes, length);
    const size_t step = length < path->length ? length + 1 : length;
    *path = mg_view_of(path->bytes + step, path->length - step);
    return element;
}

static bool
digits_read(struct mg_view text, uint64_t *number)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9')
            return false;
        *number = *number * 10 + (uint64_t) (text.bytes[i] - '0');
    }
    return text.length == 3 && *number < TREE_MOST;
}

/* The elements of an index; leaves the width behind ".p/" in `path`. */
static CHECKED struct mg_status
index_parse(struct mg_view *path, struct mg_tile *tile, bool *ret_partial)
{
    tile->index = 0;
    for (unsigned elements = 0; elements < 7; elements++) {
        struct mg_view element = element_take(path);
        const bool more = element.length == 4 && element.bytes[0] == 'x';
        if (more)
            element = mg_view_of(element.bytes + 1, 3);
        const bool partial = element.length == 5 && memcmp(element.bytes + 3, ".p", 2) == 0;
        if (partial)
            element.length = 3;
        if (!digits_read(element, &tile->index) || (more && elements == 0 && tile->index == 0))
            return fail_with(MALFORMED, "tile index");
        *ret_partial = partial;
        if (!more)
            return OK;
    }
    return fail_with(MALFORMED, "tile index too long");
}

struct mg_status
mg_tile_path_parse(struct mg_view path, struct mg_tile *ret_tile)
{
    struct mg_view rest = path;
    struct mg_tile tile = {.width = MG_TILE_WIDTH};
    uint64_t number = 0;
    if (!mg_view_is(element_take(&rest), "tile"))
        return fail_with(MALFORMED, "not a tile");
    const struct mg_view level = element_take(&rest);
    tile.entries = mg_view_is(level, "entries");
    if (!tile.entries) {
        TRY(mg_parse_u64(level, 63, &number));
        tile.level = (unsigned) number;
    }
    bool partial = false;
    TRY(index_parse(&rest, &tile, &partial));
    if (partial) {
        TRY(mg_parse_u64(rest, MG_TILE_WIDTH - 1, &number));
        if (number == 0)
            return fail_with(MALFORMED, "empty tile");
        tile.width = (unsigned) number;
    } else if (rest.length != 0)
        return fail_with(MALFORMED, "tile path too long");
    char canonical[MG_TILE_PATH];
    mg_tile_path(&tile, canonical);
    if (!mg_view_is(path, canonical))
        return fail_with(MALFORMED, "tile path");
    *ret_tile = tile;
    return OK;
}

uint64_t
mg_tile_count(unsigned level, uint64_t size, unsigned *ret_last_width)
{
    const unsigned shift = MG_TILE_HEIGHT * level;
    const uint64_t nodes = shift < 64 ? size >> shift : 0;
    *ret_last_width = (unsigned) (nodes % MG_TILE_WIDTH);
    if (*ret_last_width == 0 && nodes != 0)
        *ret_last_width = MG_TILE_WIDTH;
    return nodes / MG_TILE_WIDTH + (nodes % MG_TILE_WIDTH != 0);
}

struct mg_status
mg_bundle_add(struct mg_buffer *bundle, struct mg_view leaf)
{
    if (leaf.length > MG_LEAF_MOST)
        return fail_with(TOO_LARGE, "log entry of %zu bytes", leaf.length);
    TRY(mg_buffer_reserve(bundle, leaf.length + 2));
    const uint8_t length[2] = {(uint8_t) (leaf.length >> 8), (uint8_t) leaf.length};
    TRY(mg_buffer_add(bundle, mg_view_of(length, sizeof length)));
    return mg_buffer_add(bundle, leaf);
}

struct mg_status
mg_bundle_next(struct mg_view *bundle, struct mg_view *ret_leaf, bool *ret_more)
{
    if (bundle->length == 0) {
        *ret_more = false;
        return OK;
    }
    if (bundle->length < 2)
        return fail_with(MALFORMED, "entry bundle ends inside a length");
    const size_t length = (size_t) bundle->bytes[0] << 8 | bundle->bytes[1];
    if (bundle->length - 2 < length)
        return fail_with(MALFORMED, "entry bundle ends inside an entry");
    *ret_leaf = mg_view_of(bundle->bytes + 2, length);
    *bundle = mg_view_of(bundle->bytes + 2 + length, bundle->length - 2 - length);
    *ret_more = true;
    return OK;
}

struct mg_status
mg_checkpoint_add(struct mg_buffer *text, const struct mg_checkpoint *checkpoint)
{
    TRY(mg_buffer_add(text, checkpoint->origin));
    TRY(mg_buffer_format(text, "\n%llu\n", (unsigned long long) checkpoint->size));
    TRY(mg_base64(mg_view_of(checkpoint->root, sizeof checkpoint->root), text));
    return mg_buffer_add_byte(text, '\n');
}

/* Takes a non-empty line and its newline. */
static CHECKED struct mg_status
line_take(struct mg_view *text, struct mg_view *ret_line)
{
    const uint8_t *end = text->length == 0 ? NULL : memchr(text->bytes, '\n', text->length);
    if (end == NULL || end == text->bytes)
        return fail_with(MALFORMED, "checkpoint line missing or empty");
    const size_t length = (size_t) (end - text->bytes);
    *ret_line = mg_view_of(text->bytes, length);
    *text = mg_view_of(end + 1, text->length - length - 1);
    return OK;
}

struct mg_status
mg_checkpoint_parse(struct mg_view text, struct mg_checkpoint *ret_checkpoint)
{
    struct mg_checkpoint checkpoint;
    struct mg_view size, root, extension;
    TRY(line_take(&text, &checkpoint.origin));
    TRY(line_take(&text, &size));
    TRY(line_take(&text, &root));
    while (text.length != 0)
        TRY(line_take(&text, &extension));
    TRY(mg_parse_u64(size, TREE_MOST, &checkpoint.size));
    OWN_BUFFER(decoded, sizeof checkpoint.root);
    TRY(mg_base64_decode(root, &decoded));
    if (decoded.length != sizeof checkpoint.root)
        return fail_with(MALFORMED, "root hash of %zu bytes", decoded.length);
    memcpy(checkpoint.root, decoded.bytes, sizeof checkpoint.root);
    *ret_checkpoint = checkpoint;
    return OK;
}
