#include "ports/log_proof.h"

#include "base/secret.h"
#include "domain/merkle.h"
#include "ports/audit_leaf.h"
#include "wire/tlog.h"

#include <jansson.h>

void
mg_log_proof_drop(struct mg_log_proof *proof)
{
    mg_buffer_drop(&proof->event);
}

static void
json_drop(json_t **json)
{
    json_decref(*json);
}

/* Takes a line off; MALFORMED at the end. */
static CHECKED struct mg_status
line_take(struct mg_view *text, struct mg_view *ret_line)
{
    const uint8_t *end = text->length == 0 ? NULL : memchr(text->bytes, '\n', text->length);
    if (end == NULL)
        return fail_with(MALFORMED, "the proof ends too early");
    *ret_line = mg_view_of(text->bytes, (size_t) (end - text->bytes));
    *text = mg_view_of(end + 1, text->length - ret_line->length - 1);
    return OK;
}

/* c2sp.org/tlog-proof@v1, an index, hashes, an empty line; the rest is the checkpoint. */
static CHECKED struct mg_status
proof_read(struct mg_view *text, uint64_t *ret_index, struct mg_proof *ret_proof)
{
    static const char index[] = "index ";
    struct mg_view line;
    OWN_BUFFER(hashes, sizeof ret_proof->hashes);
    TRY(line_take(text, &line));
    if (!mg_view_is(line, "c2sp.org/tlog-proof@v1"))
        return fail_with(MALFORMED, "not a tlog-proof");
    TRY(line_take(text, &line));
    if (line.length < sizeof index || memcmp(line.bytes, index, sizeof index - 1) != 0)
        return fail_with(MALFORMED, "a proof without its index");
    TRY(mg_parse_u64(mg_view_of(line.bytes + sizeof index - 1, line.length - sizeof index + 1), INT64_MAX,
                     ret_index));
    while (true) {
        const size_t before = hashes.length;
        TRY(line_take(text, &line));
        if (line.length == 0)
            break;
        TRY(mg_base64_decode(line, &hashes));
        if (hashes.length != before + MG_HASH)
            return fail_with(MALFORMED, "a hash of the proof");
    }
    return mg_proof_of_bytes(mg_buffer_view(&hashes), ret_proof);
}

static CHECKED struct mg_status
member(const json_t *object, const char *name, struct mg_view *ret_text)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value))
        return fail_with(MALFORMED, "no %s in the proof", name);
    *ret_text = mg_view_of(json_string_value(value), json_string_length(value));
    return OK;
}

static CHECKED struct mg_status
key_find(const json_t *object, const struct mg_vkey *key, struct mg_vkey *ret_key, struct mg_log_proof *proof)
{
    OWN_BUFFER(text, sizeof proof->log - 1);
    struct mg_view own;
    if (key != NULL) {
        *ret_key = *key;
    } else {
        TRY(member(object, "log", &own));
        TRY(mg_vkey_parse(own, ret_key));
        proof->own_key = true;
    }
    TRY(mg_vkey_add(&text, ret_key));
    return mg_view_copy(mg_buffer_view(&text), proof->log, sizeof proof->log);
}

static CHECKED struct mg_status
tree_check(struct mg_view text, struct mg_view leaf, const struct mg_vkey *key, struct mg_log_proof *proof)
{
    struct mg_proof path;
    struct mg_note note;
    struct mg_checkpoint checkpoint;
    struct mg_hash hash, root;
    TRY(proof_read(&text, &proof->index, &path));
    TRY(mg_note_parse(text, &note));
    TRY(mg_checkpoint_parse(note.text, &checkpoint));
    if (!mg_view_is(checkpoint.origin, key->name) || mg_note_verify(&note, key, NULL) != MG_NOTE_VALID)
        return fail_with(INTEGRITY, "the checkpoint is not signed by this key");
    mg_merkle_leaf(leaf, &hash);
    memcpy(root.bytes, checkpoint.root, MG_HASH);
    proof->size = checkpoint.size;
    if (!mg_merkle_included(&hash, proof->index, checkpoint.size, &path, &root))
        return fail_with(INTEGRITY, "the entry is not in the tree that was signed");
    return OK;
}

static CHECKED struct mg_status
entry_open(const json_t *object, struct mg_view leaf, struct mg_log_proof *proof)
{
    struct mg_view text;
    OWN_BUFFER(key, MG_LEAF_KEY);
    TRY(member(object, "key", &text));
    if (text.length == 0)
        return OK; /* erased after its retention: the proof holds, the content is gone */
    TRY(mg_base64_decode(text, &key));
    if (key.length != MG_LEAF_KEY)
        return fail_with(MALFORMED, "the entry's key");
    TRY(mg_leaf_open(key.bytes, leaf, &proof->event));
    proof->open = true;
    return OK;
}

struct mg_status
mg_log_proof_check(struct mg_view document, const struct mg_vkey *key, struct mg_log_proof *ret_proof)
{
    MG_CLEANUP(mg_log_proof_drop) struct mg_log_proof proof = {.event = MG_BUFFER(MG_LEAF_MOST)};
    OWN_BUFFER(leaf, MG_LEAF_MOST);
    struct mg_view text, leaf_text;
    struct mg_vkey used;
    MG_CLEANUP(json_drop)
    json_t *object = json_loadb((const char *) document.bytes, document.length, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object))
        return fail_with(MALFORMED, "not a proof: not a JSON object");
    TRY(member(object, "proof", &text));
    TRY(member(object, "leaf", &leaf_text));
    TRY(mg_base64_decode(leaf_text, &leaf));
    TRY(key_find(object, key, &used, &proof));
    TRY(tree_check(text, mg_buffer_view(&leaf), &used, &proof));
    if (json_integer_value(json_object_get(object, "entry")) != (json_int_t) proof.index)
        return fail_with(INTEGRITY, "the document names another entry than its proof");
    TRY(entry_open(object, mg_buffer_view(&leaf), &proof));
    *ret_proof = proof;
    proof.event = MG_BUFFER(0);
    return OK;
}
