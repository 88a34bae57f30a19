/* A journal as a broken disk might give it back. By the first byte:
 *   0  the whole beginning of a segment is the input
 *   1  a valid header whose fields the input changes, under a right checksum
 *   2  batches behind a valid header: the input's own, or ones that are right but for what it changes
 * Opening never fails but for INTEGRITY, takes exactly the batches that are right and in order, and what
 * it took is there again the next time. */
#include "ports/log_journal.c" /* header_checksum(); NOLINT(bugprone-suspicious-include) */
#include "ports/log_store.h"
#include "shared_file.h"

#define SEGMENT ((size_t) 4 * HEADER_BYTES)
static const struct mg_log_limits limits = {.segment_bytes = SEGMENT};
static uint8_t area[SEGMENT], fresh[HEADER_BYTES];

/* The header of a new log, as the store writes it. */
static void
fresh_make(void)
{
    OWN(log_store) store = NULL;
    char path[MG_PATH];
    mg_must(mg_ok(mg_log_store_open(shared_directory(), &limits, &store)));
    mg_must(mg_ok(mg_path_join(path, shared_directory(), "journal/0")));
    OWN_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    mg_must(fd >= 0 && pread(fd, fresh, sizeof fresh, 0) == sizeof fresh);
}

static struct mg_view
take(struct mg_view *input, size_t length)
{
    const struct mg_view taken = mg_view_of(input->bytes, length < input->length ? length : input->length);
    *input = mg_view_of(input->bytes + taken.length, input->length - taken.length);
    return taken;
}

static uint8_t
take_byte(struct mg_view *input)
{
    const struct mg_view byte = take(input, 1);
    return byte.length == 0 ? 0 : byte.bytes[0];
}

static void
header_try(struct mg_view input)
{
    uint8_t checksum[MG_HASH];
    memcpy(area, fresh, sizeof fresh);
    for (unsigned i = take_byte(&input); i > 0; i--) {
        const unsigned at = take_byte(&input) << 8 | take_byte(&input);
        area[at % (HEADER_BYTES - MG_HASH)] = take_byte(&input);
    }
    struct header header;
    size_t tail = 0;
    if (input.length != 0)
        memcpy(area + HEADER_BYTES, input.bytes, input.length);
    if (mg_ok(header_get(mg_view_of(area, HEADER_BYTES - MG_HASH), &header)) &&
        header.tail_length <= SEGMENT - HEADER_BYTES)
        tail = (size_t) header.tail_length;
    mg_must(mg_ok(header_checksum(mg_view_of(area, HEADER_BYTES - MG_HASH),
                                  mg_view_of(area + HEADER_BYTES, tail), checksum)));
    memcpy(area + HEADER_BYTES - MG_HASH, checksum, MG_HASH);
}

/* Returns how many entries must be there. */
static uint64_t
batches_try(struct mg_view input)
{
    struct mg_tree tree = {0};
    size_t at = HEADER_BYTES;
    bool sound = true;
    memcpy(area, fresh, sizeof fresh);
    while (input.length > 2) {
        const uint8_t how = take_byte(&input);
        const struct mg_view part = take(&input, take_byte(&input));
        if (at + BATCH_BYTES + 2 + part.length > SEGMENT)
            break;
        if (how % 4 == 0) { /* just bytes */
            memcpy(area + at, part.bytes, part.length);
            at += part.length;
            sound = sound && part.length == 0;
            continue;
        }
        struct mg_tree after = tree;
        struct mg_hash hash, root;
        OWN_BUFFER(batch, BATCH_BYTES);
        OWN_BUFFER(bundle, 512);
        mg_must(mg_ok(mg_bundle_add(&bundle, part)));
        mg_merkle_leaf(part, &hash);
        mg_tree_add(&after, &hash);
        mg_tree_root(&after, &root);
        mg_must(mg_ok(mg_put_u64(&batch, BATCH_MAGIC)) && mg_ok(mg_put_u64(&batch, tree.size)) &&
                mg_ok(mg_put_u64(&batch, 1)) && mg_ok(mg_put_u64(&batch, bundle.length)) &&
                mg_ok(mg_buffer_add(&batch, mg_view_of(root.bytes, MG_HASH))));
        if (how % 4 == 1) { /* one bit is wrong */
            batch.bytes[(how >> 2) % BATCH_BYTES] ^= 1;
            sound = false;
        } else if (sound)
            tree = after;
        memcpy(area + at, batch.bytes, BATCH_BYTES);
        memcpy(area + at + BATCH_BYTES, bundle.bytes, bundle.length);
        at += BATCH_BYTES + bundle.length;
    }
    return tree.size;
}

static struct mg_status
open_once(uint64_t *ret_size, struct mg_hash *ret_root)
{
    OWN(log_store) store = NULL;
    TRY(mg_log_store_open(shared_directory(), &limits, &store));
    *ret_size = mg_log_size(store);
    mg_log_root(store, ret_root);
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static bool made;
    if (length < 2 || length > SEGMENT - HEADER_BYTES)
        return 0;
    if (!made)
        fresh_make();
    made = true;
    memset(area, 0, sizeof area);
    uint64_t expected = UINT64_MAX;
    const struct mg_view input = mg_view_of(bytes + 1, length - 1);
    if (bytes[0] % 3 == 0)
        memcpy(area, input.bytes, input.length);
    else if (bytes[0] % 3 == 1)
        header_try(input);
    else
        expected = batches_try(input);
    mg_must(mg_ok(mg_tree_remove(shared_directory())) && mg_ok(mg_directory_make(shared_directory(), 0700)));
    char journal[MG_PATH];
    mg_must(mg_ok(mg_path_join(journal, shared_directory(), "journal")) &&
            mg_ok(mg_directory_make(journal, 0700)));
    shared_write("journal/0", mg_view_of(area, sizeof area));
    uint64_t size = 0, again = 0;
    struct mg_hash root, root_again;
    const struct mg_status status = open_once(&size, &root);
    mg_must(mg_ok(status) || status.code == MG_INTEGRITY ||
            (expected == UINT64_MAX && status.code == MG_MALFORMED));
    if (!mg_ok(status))
        return 0;
    mg_must(expected == UINT64_MAX || size == expected);
    mg_must(mg_ok(open_once(&again, &root_again)) && again == size && mg_hash_equal(&root, &root_again));
    return 0;
}
