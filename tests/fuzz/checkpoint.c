/* The checkpoint file of a copy of the log, a remembered checkpoint or a witness's answer: notes by the
 * first byte, either with the input as it is or with our valid signature under the input's text. Only a
 * checkpoint of the real size and root may be believed. */
#include "ports/log_tiles.h"
#include "ports/log_verify.h"
#include "shared_file.h"

#define SIZE 3

static struct mg_signer *signer;
static struct mg_vkey key;
static struct mg_hash root;

static void
log_make(void)
{
    static const uint8_t seed[32] = {9};
    static const char *const leaves[SIZE] = {"one", "two", "three"};
    const struct mg_tile bundle = {.entries = true, .width = SIZE}, tile = {.width = SIZE};
    uint8_t public_key[32];
    struct mg_tree tree = {0};
    OWN_BUFFER(entries, 256);
    OWN_BUFFER(hashes, 256);
    mg_must(mg_ok(mg_signer_new(mg_view_of(seed, sizeof seed), &signer)));
    mg_signer_public_key(signer, public_key);
    mg_must(mg_ok(mg_vkey_make(mg_view_text("fuzz"), MG_NOTE_ED25519, public_key, &key)));
    for (size_t i = 0; i < SIZE; i++) {
        struct mg_hash hash;
        mg_merkle_leaf(mg_view_text(leaves[i]), &hash);
        mg_tree_add(&tree, &hash);
        mg_must(mg_ok(mg_bundle_add(&entries, mg_view_text(leaves[i]))) &&
                mg_ok(mg_buffer_add(&hashes, mg_view_of(hash.bytes, MG_HASH))));
    }
    mg_tree_root(&tree, &root);
    mg_must(mg_ok(mg_log_tile_write(shared_directory(), &bundle, mg_buffer_view(&entries))) &&
            mg_ok(mg_log_tile_write(shared_directory(), &tile, mg_buffer_view(&hashes))));
}

static CHECKED struct mg_status
note_make(struct mg_view input, bool sign, struct mg_buffer *note)
{
    OWN_BUFFER(lines, 1024);
    TRY(mg_buffer_add(note, input));
    if (!sign)
        return OK;
    TRY(mg_note_sign(input, &key, signer, 0, &lines));
    TRY(mg_buffer_add_text(note, "\n"));
    return mg_buffer_add(note, mg_buffer_view(&lines));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct mg_log_report report;
    if (length == 0)
        return 0;
    if (signer == NULL)
        log_make();
    OWN_BUFFER(note, 65536);
    if (!mg_ok(note_make(mg_view_of(bytes + 1, length - 1), bytes[0] & 1, &note)))
        return 0;
    struct mg_log_trust trust = {.log = &key};
    if (bytes[0] & 2) { /* as the remembered one of a sound log */
        struct mg_checkpoint real = {.origin = mg_view_text("fuzz"), .size = SIZE};
        OWN_BUFFER(text, 512);
        OWN_BUFFER(sound, 1024);
        memcpy(real.root, root.bytes, MG_HASH);
        mg_must(mg_ok(mg_checkpoint_add(&text, &real)) &&
                mg_ok(note_make(mg_buffer_view(&text), true, &sound)));
        shared_write("checkpoint", mg_buffer_view(&sound));
        trust.remembered = mg_buffer_view(&note);
    } else
        shared_write("checkpoint", mg_buffer_view(&note));
    if (!mg_ok(mg_log_verify(shared_directory(), &trust, &report)))
        return 0;
    if (report.count == 0 && (bytes[0] & 2) == 0)
        mg_must(report.size == 0 || (report.size <= SIZE && report.checked == report.size));
    if (report.count == 0 && report.size == SIZE)
        mg_must(mg_hash_equal(&report.root, &root));
    return 0;
}
