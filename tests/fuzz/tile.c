/* A forged copy of a log: tile, bundle and size are the input's, the checkpoint over the root that the tile
 * gives is signed with the real key. The verifier may only be content if the entries give that root; the
 * reader stays within the files. */
#include "ports/log_tiles.h"
#include "ports/log_verify.h"
#include "shared_file.h"

static struct mg_signer *signer;
static struct mg_vkey key;

static void
key_make(void)
{
    static const uint8_t seed[32] = {1, 2, 3};
    uint8_t public_key[32];
    mg_must(mg_ok(mg_signer_new(mg_view_of(seed, sizeof seed), &signer)));
    mg_signer_public_key(signer, public_key);
    mg_must(mg_ok(mg_vkey_make(mg_view_text("fuzz"), MG_NOTE_ED25519, public_key, &key)));
}

static void
checkpoint_put(uint64_t size, const struct mg_hash *root)
{
    struct mg_checkpoint checkpoint = {.origin = mg_view_text("fuzz"), .size = size};
    OWN_BUFFER(note, 4096);
    OWN_BUFFER(lines, 1024);
    memcpy(checkpoint.root, root->bytes, MG_HASH);
    mg_must(mg_ok(mg_checkpoint_add(&note, &checkpoint)) &&
            mg_ok(mg_note_sign(mg_buffer_view(&note), &key, signer, 0, &lines)) &&
            mg_ok(mg_buffer_add_text(&note, "\n")) && mg_ok(mg_buffer_add(&note, mg_buffer_view(&lines))));
    shared_write("checkpoint", mg_buffer_view(&note));
}

/* The root of the leaves in the bundle; false if it does not hold exactly `size`. */
static bool
root_of(struct mg_view bundle, uint64_t size, struct mg_hash *ret_root)
{
    struct mg_tree tree = {0};
    struct mg_hash hash;
    struct mg_view leaf;
    bool more = false;
    while (mg_ok(mg_bundle_next(&bundle, &leaf, &more)) && more) {
        mg_merkle_leaf(leaf, &hash);
        mg_tree_add(&tree, &hash);
    }
    mg_tree_root(&tree, ret_root);
    return bundle.length == 0 && tree.size == size;
}

static void
tile_put(bool entries, unsigned size, struct mg_view bytes)
{
    const struct mg_tile tile = {.entries = entries, .width = size};
    mg_must(mg_ok(mg_log_tile_write(shared_directory(), &tile, bytes)));
}

static void
read_try(unsigned size)
{
    OWN(log_reader) reader = NULL;
    struct mg_hash hash;
    mg_must(mg_ok(mg_log_reader_new(shared_directory(), size, &reader)));
    const struct mg_tree_source source = mg_log_reader_source(reader);
    const struct mg_status rooted = mg_merkle_root(&source, size, &hash);
    mg_must(mg_ok(rooted) || rooted.code == MG_MALFORMED);
    for (uint64_t i = 0; i <= size; i++) {
        OWN_BUFFER(leaf, MG_LEAF_MOST);
        const struct mg_status status = mg_log_reader_leaf(reader, i, &leaf);
        mg_must(mg_ok(status) ? i < size : leaf.length == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* One byte: size; one: does the tile come of the entries (or of the input); the rest: bundle, tile. */
int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct mg_log_report report;
    if (length < 3)
        return 0;
    if (signer == NULL)
        key_make();
    const unsigned size = 1 + bytes[0] % 255; /* a partial tile: what is half a directory up to now */
    const size_t hashes = (size_t) size * MG_HASH;
    struct mg_view bundle = mg_view_of(bytes + 2, length - 2);
    OWN_BUFFER(tile, 65536);
    struct mg_view rest = bundle, leaf;
    bool more = false;
    if (bytes[1] % 2 == 0)
        while (mg_ok(mg_bundle_next(&rest, &leaf, &more)) && more && tile.length < hashes) {
            struct mg_hash hash;
            mg_merkle_leaf(leaf, &hash);
            mg_must(mg_ok(mg_buffer_add(&tile, mg_view_of(hash.bytes, MG_HASH))));
        }
    else if (bundle.length > hashes) {
        bundle.length -= hashes;
        mg_must(mg_ok(mg_buffer_add(&tile, mg_view_of(bundle.bytes + bundle.length, hashes))));
    }
    struct mg_tree tree = {0};
    struct mg_hash root, entries_root;
    for (size_t at = 0; at + MG_HASH <= tile.length; at += MG_HASH) {
        memcpy(root.bytes, tile.bytes + at, MG_HASH);
        mg_tree_add(&tree, &root);
    }
    mg_tree_root(&tree, &root);
    mg_must(mg_ok(mg_tree_remove(shared_directory())) && mg_ok(mg_directory_make(shared_directory(), 0700)));
    tile_put(true, size, bundle);
    tile_put(false, size, mg_buffer_view(&tile));
    checkpoint_put(size, &root);
    mg_must(mg_ok(mg_log_verify(shared_directory(), &(struct mg_log_trust){.log = &key}, &report)));
    if (report.count == 0)
        mg_must(root_of(bundle, size, &entries_root) && mg_hash_equal(&root, &entries_root));
    read_try(size);
    return 0;
}
