/* Checkpoints of the audit log: keys signs one only if it extends the last one it signed, and writes
 * that down durably first. So an audit process that was taken over can append, but not rewrite.
 *
 * DIR/keystore/checkpoint has two slots of 512 bytes, written in turn: "MGCKPT1\n", turn, size (u64
 * little-endian), root 32, HMAC-SHA-256 of all that. A torn write leaves the other slot. */
#include "domain/merkle.h"
#include "process/keys/keys.h"
#include "wire/note.h"
#include "wire/tlog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { SLOT = 512, SLOT_CONTENT = 56, SLOT_MAC = 32 };

static const uint8_t magic[8] = {'M', 'G', 'C', 'K', 'P', 'T', '1', '\n'};

static struct {
    pthread_mutex_t lock;
    int fd;
    uint64_t turn, size;
    struct mg_hash root;
    struct mg_vkey vkey;
    struct mg_signer *signer;
} log_state = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static void
put_number(uint8_t *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (uint8_t) (value >> (8 * i));
}

static uint64_t
get_number(const uint8_t *at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t) at[i] << (8 * i);
    return value;
}

static CHECKED struct mg_status
slot_mac(const uint8_t slot[SLOT_CONTENT], uint8_t ret_mac[SLOT_MAC])
{
    OWN_KEY(checkpoint, MG_KEY_BYTES);
    OWN_KEY(key, MG_KEY_BYTES);
    struct mg_key_record record;
    TRY(mg_keystore_use(mg_keys_store, 0, MG_KEY_CHECKPOINT, 0, 0, checkpoint, &record));
    TRY(mg_hkdf(mg_view_of(checkpoint, sizeof checkpoint), MG_VIEW_EMPTY,
                mg_view_text("masugata last checkpoint v1"), key, sizeof key));
    return mg_hmac_sha256(mg_view_of(key, sizeof key), mg_view_of(slot, SLOT_CONTENT), ret_mac);
}

static CHECKED struct mg_status
slot_write(uint64_t size, const struct mg_hash *root)
{
    uint8_t slot[SLOT] = {0};
    const uint64_t turn = log_state.turn + 1;
    memcpy(slot, magic, sizeof magic);
    put_number(slot + 8, turn);
    put_number(slot + 16, size);
    memcpy(slot + 24, root->bytes, MG_HASH);
    TRY(slot_mac(slot, slot + SLOT_CONTENT));
    if (pwrite(log_state.fd, slot, sizeof slot, (off_t) (turn % 2 * SLOT)) != (ssize_t) sizeof slot ||
        fdatasync(log_state.fd) != 0)
        return fail_errno("write down the checkpoint");
    log_state.turn = turn;
    return OK;
}

/* Takes the slot over if it is whole and newer. */
static CHECKED struct mg_status
slot_read(const uint8_t *slot, bool *ret_whole)
{
    uint8_t mac[SLOT_MAC];
    TRY(slot_mac(slot, mac));
    *ret_whole =
        memcmp(slot, magic, sizeof magic) == 0 &&
        mg_view_equal_constant_time(mg_view_of(mac, SLOT_MAC), mg_view_of(slot + SLOT_CONTENT, SLOT_MAC));
    if (*ret_whole && get_number(slot + 8) > log_state.turn) {
        log_state.turn = get_number(slot + 8);
        log_state.size = get_number(slot + 16);
        memcpy(log_state.root.bytes, slot + 24, MG_HASH);
    }
    return OK;
}

static CHECKED struct mg_status
slots_read(void)
{
    uint8_t slots[2 * SLOT] = {0};
    const ssize_t got = pread(log_state.fd, slots, sizeof slots, 0);
    if (got < 0)
        return fail_errno("read the checkpoint");
    if (got == 0) {
        /* A new deployment: nothing was signed yet. Both slots, so that the file has its final size. */
        struct mg_hash empty;
        mg_tree_root(&(struct mg_tree){0}, &empty);
        log_state.root = empty;
        TRY(slot_write(0, &empty));
        return slot_write(0, &empty);
    }
    bool first = false, second = false;
    TRY(slot_read(slots, &first));
    TRY(slot_read(slots + SLOT, &second));
    if (!first && !second)
        return fail_with(INTEGRITY, "keystore/checkpoint was changed or belongs to another keystore");
    return OK;
}

/* The log's name never changes: it is made from its key. */
static CHECKED struct mg_status
signer_open(void)
{
    OWN_KEY(seed, MG_KEY_BYTES);
    struct mg_key_record record;
    TRY(mg_keystore_use(mg_keys_store, 0, MG_KEY_CHECKPOINT, 0, 0, seed, &record));
    TRY(mg_signer_new(mg_view_of(seed, sizeof seed), &log_state.signer));
    uint8_t public_key[32], hash[MG_HASH_BYTES];
    char name[64], hex[17];
    mg_signer_public_key(log_state.signer, public_key);
    TRY(mg_sha256(mg_view_of(public_key, sizeof public_key), hash));
    mg_hex(mg_view_of(hash, 8), hex);
    (void) snprintf(name, sizeof name, "masugata/%s", hex);
    return mg_vkey_make(mg_view_text(name), MG_NOTE_ED25519, public_key, &log_state.vkey);
}

struct mg_status
mg_keys_checkpoint_open(void)
{
    char path[MG_PATH];
    TRY(mg_keys_path(path, "checkpoint"));
    log_state.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log_state.fd < 0)
        return fail_errno("open %s", path);
    TRY(signer_open());
    return slots_read();
}

MG_HANDLER_PUBLIC(log_key)
{
    (void) request;
    TRY(mg_keys_limit(call, MG_REQUEST_log_key));
    OWN_BUFFER(text, 512);
    TRY(mg_vkey_add(&text, &log_state.vkey));
    (void) pthread_mutex_lock(&log_state.lock);
    const uint64_t size = log_state.size;
    const struct mg_hash root = log_state.root;
    (void) pthread_mutex_unlock(&log_state.lock);
    const struct mg_reply_log_key reply = {
        .vkey = mg_buffer_view(&text), .size = size, .root = mg_view_of(root.bytes, MG_HASH)};
    return mg_answer_log_key(call, &reply);
}

/* With the lock held. */
static CHECKED struct mg_status
advance(uint64_t size, const struct mg_hash *root, const struct mg_proof *proof)
{
    if (size == log_state.size && mg_hash_equal(root, &log_state.root))
        return OK;
    if (!mg_merkle_consistent(log_state.size, &log_state.root, size, root, proof))
        return fail_with(INTEGRITY, "the checkpoint of size %llu does not extend the last one of size %llu",
                         (unsigned long long) size, (unsigned long long) log_state.size);
    TRY(slot_write(size, root));
    log_state.size = size;
    log_state.root = *root;
    return OK;
}

MG_HANDLER_PUBLIC(sign_checkpoint)
{
    TRY(mg_keys_limit(call, MG_REQUEST_sign_checkpoint));
    if (request->root.length != MG_HASH)
        return fail_with(INVALID, "a root has 32 bytes");
    struct mg_hash root;
    struct mg_proof proof;
    memcpy(root.bytes, request->root.bytes, MG_HASH);
    TRY(mg_proof_of_bytes(request->consistency, &proof));
    (void) pthread_mutex_lock(&log_state.lock);
    const struct mg_status status = advance(request->size, &root, &proof);
    (void) pthread_mutex_unlock(&log_state.lock);
    if (status.code == MG_INTEGRITY)
        TRY(mg_keys_note_use(MG_AUDIT, 0, mg_view_text("audit"), mg_view_text("checkpoint"),
                             mg_view_text("sign_checkpoint"), true));
    TRY(status);
    struct mg_checkpoint checkpoint = {.origin = mg_view_text(log_state.vkey.name), .size = request->size};
    memcpy(checkpoint.root, root.bytes, MG_HASH);
    OWN_BUFFER(note, 2048);
    OWN_BUFFER(lines, 1024);
    TRY(mg_checkpoint_add(&note, &checkpoint));
    TRY(mg_note_sign(mg_buffer_view(&note), &log_state.vkey, log_state.signer, 0, &lines));
    TRY(mg_buffer_add_text(&note, "\n"));
    TRY(mg_buffer_add(&note, mg_buffer_view(&lines)));
    return mg_answer_sign_checkpoint(call, &(struct mg_reply_sign_checkpoint){.note = mg_buffer_view(&note)});
}
