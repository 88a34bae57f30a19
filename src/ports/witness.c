#include "ports/witness.h"

#include "base/io.h"
#include "base/secret.h"
#include "domain/merkle.h"
#include "ports/log_tiles.h"

#include <stdarg.h>
#include <stdio.h>

struct witness {
    const char *directory, *log_directory;
    struct mg_signer *signer;
    struct mg_vkey key;
    struct mg_checkpoint last, newest;
    struct mg_buffer last_note, newest_note;
    struct mg_note note; /* the log's newest, parsed */
    struct mg_witness_result *result;
};

__attribute__((format(printf, 2, 3))) static bool
refuse(struct witness *witness, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void) vsnprintf(witness->result->refused, sizeof witness->result->refused, format, args);
    va_end(args);
    return false;
}

/* ---- its own key ---- */

static CHECKED struct mg_status
key_make(const char *key_path, const char *directory)
{
    OWN(secret) seed = NULL;
    OWN(signer) signer = NULL;
    OWN_BUFFER(text, 512);
    uint8_t public_key[32];
    char name[64], vkey_path[MG_PATH];
    struct mg_vkey key;
    TRY(mg_secret_random(32, &seed));
    TRY(mg_signer_new(mg_secret_view(seed), &signer));
    mg_signer_public_key(signer, public_key);
    (void) snprintf(name, sizeof name, "masugata-witness/%02x%02x%02x%02x", public_key[0], public_key[1],
                    public_key[2], public_key[3]);
    TRY(mg_vkey_make(mg_view_text(name), MG_NOTE_COSIGNATURE, public_key, &key));
    TRY(mg_vkey_add(&text, &key));
    TRY(mg_buffer_add_byte(&text, '\n'));
    TRY(mg_path_join(vkey_path, directory, "witness.vkey"));
    TRY(mg_file_replace(vkey_path, mg_buffer_view(&text), 0644));
    return mg_file_replace(key_path, mg_secret_view(seed), 0600);
}

static CHECKED struct mg_status
key_load(struct witness *witness)
{
    char key_path[MG_PATH], vkey_path[MG_PATH];
    OWN_BUFFER(seed, 32);
    OWN_BUFFER(text, 512);
    uint8_t public_key[32];
    TRY(mg_directory_make(witness->directory, 0755));
    TRY(mg_path_join(key_path, witness->directory, "witness.key"));
    TRY(mg_path_join(vkey_path, witness->directory, "witness.vkey"));
    struct mg_status status = mg_file_read(key_path, &seed);
    if (status.code == MG_NOT_FOUND) {
        TRY(key_make(key_path, witness->directory));
        status = mg_file_read(key_path, &seed);
    }
    TRY(status);
    TRY(mg_signer_new(mg_buffer_view(&seed), &witness->signer));
    TRY(mg_file_read(vkey_path, &text));
    TRY(mg_vkey_parse(mg_buffer_view(&text), &witness->key));
    mg_signer_public_key(witness->signer, public_key);
    if (memcmp(public_key, witness->key.public_key, sizeof public_key) != 0)
        return fail_with(INTEGRITY, "%s is not of this key", vkey_path);
    return OK;
}

/* ---- the two checkpoints ---- */

/* The last one must bear the witness's own signature; there may be none yet. */
static CHECKED struct mg_status
last_read(struct witness *witness)
{
    struct mg_note note;
    const struct mg_status status = mg_log_checkpoint_read(witness->directory, &witness->last_note);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    TRY(mg_note_parse(mg_buffer_view(&witness->last_note), &note));
    if (mg_note_verify(&note, &witness->key, NULL) != MG_NOTE_VALID)
        return fail_with(INTEGRITY, "the witness's own checkpoint was changed");
    return mg_checkpoint_parse(note.text, &witness->last);
}

/* False with the reason: not a checkpoint of this log. */
static CHECKED struct mg_status
newest_read(struct witness *witness, const struct mg_vkey *log_key, bool *ret_good)
{
    *ret_good = false;
    TRY(mg_log_checkpoint_read(witness->log_directory, &witness->newest_note));
    if (!mg_ok(mg_note_parse(mg_buffer_view(&witness->newest_note), &witness->note)) ||
        !mg_ok(mg_checkpoint_parse(witness->note.text, &witness->newest)))
        (void) refuse(witness, "the checkpoint is damaged");
    else if (!mg_view_is(witness->newest.origin, log_key->name) ||
             mg_note_verify(&witness->note, log_key, NULL) != MG_NOTE_VALID)
        (void) refuse(witness, "the checkpoint is not signed by the log's key");
    else
        *ret_good = true;
    return OK;
}

/* RFC 6962 section 2.1.2, with the proof made from the log's own tiles. */
static bool
continues(struct witness *witness)
{
    struct mg_log_reader *reader = NULL;
    struct mg_proof proof;
    struct mg_hash from, to;
    const uint64_t old_size = witness->last.size, size = witness->newest.size;
    if (witness->last_note.length == 0)
        return true; /* the first it sees */
    if (size < old_size)
        return refuse(witness, "rolled back: %llu entries, %llu were witnessed", (unsigned long long) size,
                      (unsigned long long) old_size);
    memcpy(from.bytes, witness->last.root, MG_HASH);
    memcpy(to.bytes, witness->newest.root, MG_HASH);
    struct mg_status status = mg_log_reader_new(witness->log_directory, size, &reader);
    if (mg_ok(status)) {
        const struct mg_tree_source source = mg_log_reader_source(reader);
        status = mg_merkle_consistency(&source, old_size, size, &proof);
    }
    mg_log_reader_drop(&reader);
    if (!mg_ok(status))
        return refuse(witness, "no consistency proof: %s", status.detail);
    if (!mg_merkle_consistent(old_size, &from, size, &to, &proof))
        return refuse(witness, "history was rewritten before entry %llu", (unsigned long long) old_size);
    return true;
}

/* The note with the log's signature lines and ours behind them. Written down before anybody sees it: it is
 * the record of what was cosigned last. */
static CHECKED struct mg_status
cosign(struct witness *witness, uint64_t now_s)
{
    char path[MG_PATH];
    OWN_BUFFER(note, MG_CHECKPOINT_MOST);
    TRY(mg_buffer_add(&note, mg_buffer_view(&witness->newest_note)));
    TRY(mg_note_sign(witness->note.text, &witness->key, witness->signer, now_s, &note));
    TRY(mg_path_join(path, witness->directory, "checkpoint"));
    return mg_file_replace(path, mg_buffer_view(&note), 0644);
}

static CHECKED struct mg_status
look(struct witness *witness, const struct mg_vkey *log_key, uint64_t now_s)
{
    bool good = false;
    TRY(key_load(witness));
    TRY(last_read(witness));
    witness->result->size = witness->last.size;
    TRY(newest_read(witness, log_key, &good));
    if (!good)
        return OK;
    const bool same = witness->last_note.length != 0 && witness->last.size == witness->newest.size &&
                      memcmp(witness->last.root, witness->newest.root, MG_HASH) == 0;
    if (same || !continues(witness))
        return OK;
    TRY(cosign(witness, now_s));
    witness->result->cosigned = true;
    witness->result->size = witness->newest.size;
    return OK;
}

struct mg_status
mg_witness_look(const char *directory, const char *log_directory, const struct mg_vkey *log_key,
                uint64_t now_s, struct mg_witness_result *ret_result)
{
    *ret_result = (struct mg_witness_result){0};
    struct witness witness = {.directory = directory,
                              .log_directory = log_directory,
                              .last_note = MG_BUFFER(MG_CHECKPOINT_MOST),
                              .newest_note = MG_BUFFER(MG_CHECKPOINT_MOST),
                              .result = ret_result};
    const struct mg_status status = look(&witness, log_key, now_s);
    mg_signer_drop(&witness.signer);
    mg_buffer_drop(&witness.last_note);
    mg_buffer_drop(&witness.newest_note);
    return status;
}
