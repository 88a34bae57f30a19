#include "ports/root.h"

#include "base/io.h"

#include <argon2.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { KIND_FILE = 1, KIND_PASSPHRASE = 2 };
/* Keys first, then the key made from the passphrase. */
#define PASSPHRASE_KEY (MG_ROOT_GENERATIONS * MG_KEY_BYTES)
#define SECRET_BYTES (PASSPHRASE_KEY + MG_KEY_BYTES)
#define PASSPHRASE_MOST 1024
#define ROOT_FILE_MOST (MG_ROOT_HEADER + MG_ROOT_GENERATIONS * MG_ROOT_RECORD)

static const uint8_t magic[8] = {'M', 'G', 'R', 'O', 'O', 'T', '1', '\n'};

void
mg_root_drop(struct mg_root **root)
{
    if (*root == NULL)
        return;
    mg_secret_drop(&(*root)->keys);
    free(*root);
    *root = NULL;
}

static uint64_t
number_at(const uint8_t *at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t) at[i] << (8 * i);
    return value;
}

static CHECKED struct mg_status
add_number(struct mg_buffer *buffer, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        TRY(mg_buffer_add_byte(buffer, (uint8_t) (value >> (8 * i))));
    return OK;
}

struct mg_status
mg_root_decode(struct mg_view file, struct mg_root_form *ret_form)
{
    if (file.length < MG_ROOT_HEADER || memcmp(file.bytes, magic, sizeof magic) != 0)
        return fail_with(MALFORMED, "not a root key file");
    const uint64_t kind = number_at(file.bytes + 8), settled = number_at(file.bytes + 16),
                   count = number_at(file.bytes + 24);
    if ((kind != KIND_FILE && kind != KIND_PASSPHRASE) || settled > 1 || count < 1 ||
        count > MG_ROOT_GENERATIONS || file.length != MG_ROOT_HEADER + count * MG_ROOT_RECORD)
        return fail_with(MALFORMED, "root key file of a wrong form");
    struct mg_root_form form = {.passphrase = kind == KIND_PASSPHRASE,
                                .settled = settled == 1,
                                .count = count,
                                .salt = mg_view_of(file.bytes + 32, 16)};
    for (size_t i = 0; i < count; i++) {
        const uint8_t *record = file.bytes + MG_ROOT_HEADER + i * MG_ROOT_RECORD;
        form.generation[i] = number_at(record);
        form.sealed[i] = mg_view_of(record + 8, MG_WRAPPED_KEY);
        if (form.generation[i] == 0 || (i > 0 && form.generation[i] != form.generation[i - 1] + 1))
            return fail_with(MALFORMED, "root key generations out of order");
    }
    *ret_form = form;
    return OK;
}

static CHECKED struct mg_status
root_alloc(struct mg_root **ret_root)
{
    OWN(root) root = calloc(1, sizeof *root);
    if (root == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(mg_secret_new(SECRET_BYTES, &root->keys));
    *ret_root = TAKE(root);
    return OK;
}

/* RFC 9106 Argon2id with m=64 MiB, t=3, p=1: once at a start, unlike the hashes of sign-in. */
static CHECKED struct mg_status
passphrase_key(struct mg_view passphrase, const uint8_t salt[16], uint8_t ret_key[MG_KEY_BYTES])
{
    const int result =
        argon2id_hash_raw(3, 65536, 1, passphrase.bytes, passphrase.length, salt, 16, ret_key, MG_KEY_BYTES);
    if (result != ARGON2_OK)
        return fail_with(CRYPTO, "argon2id: %s", argon2_error_message(result));
    return OK;
}

/* The first line of the file, without its end. */
static CHECKED struct mg_status
passphrase_read(const struct mg_root_place *place, struct mg_root *root)
{
    OWN_BUFFER(text, PASSPHRASE_MOST);
    TRY(mg_file_read(place->passphrase_path, &text));
    const uint8_t *end = text.length == 0 ? NULL : memchr(text.bytes, '\n', text.length);
    const size_t length = end == NULL ? text.length : (size_t) (end - text.bytes);
    if (length < 15)
        return fail_with(INVALID, "%s: the passphrase needs 15 bytes or more", place->passphrase_path);
    return passphrase_key(mg_view_of(text.bytes, length), root->salt,
                          mg_secret_bytes(root->keys) + PASSPHRASE_KEY);
}

struct mg_status
mg_root_new(const struct mg_root_place *place, struct mg_root **ret_root)
{
    OWN(root) root = NULL;
    TRY(root_alloc(&root));
    mg_random(root->salt, sizeof root->salt);
    if (place->passphrase)
        TRY(passphrase_read(place, root));
    TRY(mg_root_add(root));
    *ret_root = TAKE(root);
    return OK;
}

static void
record_binding(uint64_t generation, uint8_t ret_binding[24])
{
    static const char label[16] = "masugata root 1";
    memcpy(ret_binding, label, sizeof label);
    for (unsigned i = 0; i < 8; i++)
        ret_binding[16 + i] = (uint8_t) (generation >> (8 * i));
}

static CHECKED struct mg_status
record_open(const struct mg_root_form *form, size_t index, uint8_t *keys)
{
    uint8_t *key = keys + index * MG_KEY_BYTES;
    if (form->passphrase) {
        uint8_t binding[24];
        record_binding(form->generation[index], binding);
        return mg_unseal(keys + PASSPHRASE_KEY, mg_view_of(binding, sizeof binding), form->sealed[index],
                         key);
    }
    static const uint8_t zero[8] = {0};
    uint8_t check[MG_HASH_BYTES];
    TRY(mg_sha256(mg_view_of(form->sealed[index].bytes, MG_KEY_BYTES), check));
    if (memcmp(form->sealed[index].bytes + MG_KEY_BYTES, check, sizeof check) != 0 ||
        memcmp(form->sealed[index].bytes + MG_KEY_BYTES + sizeof check, zero, sizeof zero) != 0)
        return fail_with(INTEGRITY, "the root key file is damaged");
    memcpy(key, form->sealed[index].bytes, MG_KEY_BYTES);
    return OK;
}

struct mg_status
mg_root_load(const struct mg_root_place *place, struct mg_root **ret_root)
{
    OWN_BUFFER(file, ROOT_FILE_MOST);
    TRY(mg_file_read(place->root_path, &file));
    struct mg_root_form form;
    TRY(mg_root_decode(mg_buffer_view(&file), &form));
    if (form.passphrase != place->passphrase)
        return fail_with(CONFIGURATION, "%s is %s, keys.root says otherwise", place->root_path,
                         form.passphrase ? "under a passphrase" : "a plain key file");
    OWN(root) root = NULL;
    TRY(root_alloc(&root));
    root->settled = form.settled;
    root->count = form.count;
    memcpy(root->salt, form.salt.bytes, sizeof root->salt);
    if (place->passphrase)
        TRY(passphrase_read(place, root));
    for (size_t i = 0; i < form.count; i++) {
        root->generation[i] = form.generation[i];
        TRY(record_open(&form, i, mg_secret_bytes(root->keys)));
    }
    *ret_root = TAKE(root);
    return OK;
}

static CHECKED struct mg_status
record_add(const struct mg_root_place *place, const struct mg_root *root, size_t index,
           struct mg_buffer *buffer)
{
    const uint8_t *keys = mg_secret_view(root->keys).bytes;
    const struct mg_view key = mg_view_of(keys + index * MG_KEY_BYTES, MG_KEY_BYTES);
    TRY(add_number(buffer, root->generation[index]));
    if (place->passphrase) {
        uint8_t binding[24];
        record_binding(root->generation[index], binding);
        return mg_seal(keys + PASSPHRASE_KEY, mg_view_of(binding, sizeof binding), key, buffer);
    }
    uint8_t check[MG_HASH_BYTES];
    TRY(mg_sha256(key, check));
    TRY(mg_buffer_add(buffer, key));
    TRY(mg_buffer_add(buffer, mg_view_of(check, sizeof check)));
    return add_number(buffer, 0);
}

/* A journal or a flash disk may keep another copy; whoever can read those has the disk (THREAT_MODEL). */
static void
overwrite(int fd, size_t length)
{
    uint8_t noise[ROOT_FILE_MOST];
    mg_random(noise, sizeof noise);
    if (length > sizeof noise)
        length = sizeof noise;
    if (pwrite(fd, noise, length, 0) == (ssize_t) length)
        (void) fsync(fd);
}

struct mg_status
mg_root_save(const struct mg_root_place *place, const struct mg_root *root)
{
    OWN_BUFFER(file, ROOT_FILE_MOST);
    TRY(mg_buffer_reserve(&file, ROOT_FILE_MOST));
    TRY(mg_buffer_add(&file, mg_view_of(magic, sizeof magic)));
    TRY(add_number(&file, place->passphrase ? KIND_PASSPHRASE : KIND_FILE));
    TRY(add_number(&file, root->settled ? 1 : 0));
    TRY(add_number(&file, root->count));
    TRY(mg_buffer_add(&file, mg_view_of(root->salt, sizeof root->salt)));
    for (size_t i = 0; i < root->count; i++)
        TRY(record_add(place, root, i, &file));
    /* The file is read-only even for its owner; a moment of 0600 lets the old bytes be overwritten. */
    const bool had_one = chmod(place->root_path, 0600) == 0;
    OWN_FD old = had_one ? open(place->root_path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    TRY(mg_file_replace(place->root_path, mg_buffer_view(&file), 0400));
    if (old >= 0)
        overwrite(old, file.length);
    return OK;
}

struct mg_status
mg_root_add(struct mg_root *root)
{
    if (root->count == MG_ROOT_GENERATIONS)
        return fail_with(REFUSED, "a root rotation is under way");
    root->generation[root->count] = root->count == 0 ? 1 : root->generation[root->count - 1] + 1;
    mg_random(mg_secret_bytes(root->keys) + root->count * MG_KEY_BYTES, MG_KEY_BYTES);
    root->count++;
    return OK;
}

struct mg_status
mg_root_keep(struct mg_root *root, uint64_t generation)
{
    uint8_t *keys = mg_secret_bytes(root->keys);
    for (size_t i = 0; i < root->count; i++) {
        if (root->generation[i] != generation)
            continue;
        memmove(keys, keys + i * MG_KEY_BYTES, MG_KEY_BYTES);
        mg_wipe(keys + MG_KEY_BYTES, PASSPHRASE_KEY - MG_KEY_BYTES);
        root->generation[0] = generation;
        root->count = 1;
        return OK;
    }
    return fail_with(INTEGRITY, "the root key file has no generation %llu", (unsigned long long) generation);
}

const uint8_t *
mg_root_key(const struct mg_root *root, uint64_t generation)
{
    for (size_t i = 0; i < root->count; i++)
        if (root->generation[i] == generation)
            return mg_secret_view(root->keys).bytes + i * MG_KEY_BYTES;
    return NULL;
}
