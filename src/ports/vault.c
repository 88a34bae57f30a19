#include "ports/vault.h"

#include "base/io.h"
#include "base/secret.h"
#include "base/time.h"

#include <errno.h>
#include <sodium.h>
#include <unistd.h>

enum {
    PIECE = 65536,
    HEADER = crypto_secretstream_xchacha20poly1305_HEADERBYTES,
    MORE = crypto_secretstream_xchacha20poly1305_ABYTES, /* a sealed piece is so much longer */
};
static const char magic[] = "masugata-vault 1\n";
enum { MAGIC = sizeof magic - 1 };

_Static_assert(MG_VAULT_KEY == crypto_secretstream_xchacha20poly1305_KEYBYTES, "key");
_Static_assert(MG_VAULT_DIGEST == crypto_hash_sha256_BYTES, "digest");

/* The state of a stream is a key. */
struct stream {
    crypto_secretstream_xchacha20poly1305_state state;
};
static void
stream_drop(struct stream *stream)
{
    mg_wipe(stream, sizeof *stream);
}
#define OWN_STREAM(name) MG_CLEANUP(stream_drop) struct stream name

uint64_t
mg_vault_sealed_bytes(uint64_t file_bytes)
{
    return MAGIC + HEADER + file_bytes + MORE * (file_bytes / PIECE + 1);
}

/* As many as there are, up to `most`: less only at the end. */
static CHECKED struct mg_status
piece_read(int fd, uint8_t *bytes, size_t most, size_t *ret_length)
{
    size_t length = 0;
    while (length < most) {
        const ssize_t got = read(fd, bytes + length, most - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno("read");
        if (got == 0)
            break;
        length += (size_t) got;
    }
    *ret_length = length;
    return OK;
}

static void
pace_keep(struct mg_vault_pace *pace, size_t bytes)
{
    if (pace == NULL || pace->bytes_per_s == 0)
        return;
    if (pace->started_ms == 0)
        pace->started_ms = mg_monotonic_ms();
    pace->bytes += bytes;
    const int64_t due_ms = pace->started_ms + (int64_t) (pace->bytes * 1000 / pace->bytes_per_s);
    const int64_t early_ms = due_ms - mg_monotonic_ms();
    if (early_ms > 0)
        (void) usleep((useconds_t) (early_ms < 1000 ? early_ms : 1000) * 1000);
}

struct mg_status
mg_vault_put(const struct mg_store *store, const uint8_t key[MG_VAULT_KEY], const char *name, int file_fd,
             const uint8_t *digest, struct mg_vault_pace *pace)
{
    OWN_STREAM(stream);
    OWN(store_writer) writer = NULL;
    crypto_hash_sha256_state hash;
    uint8_t header[HEADER], found[MG_VAULT_DIGEST], plain[PIECE], sealed[PIECE + MORE];
    if (sodium_init() < 0 || crypto_secretstream_xchacha20poly1305_init_push(&stream.state, header, key) != 0)
        return fail(CRYPTO);
    (void) crypto_hash_sha256_init(&hash);
    TRY(mg_store_put_begin(store, name, &writer));
    TRY(mg_store_put_bytes(writer, mg_view_of(magic, MAGIC)));
    TRY(mg_store_put_bytes(writer, mg_view_of(header, sizeof header)));
    for (size_t length = PIECE; length == PIECE;) {
        TRY(piece_read(file_fd, plain, PIECE, &length));
        (void) crypto_hash_sha256_update(&hash, plain, length);
        const unsigned char tag = length == PIECE ? 0 : crypto_secretstream_xchacha20poly1305_TAG_FINAL;
        if (crypto_secretstream_xchacha20poly1305_push(&stream.state, sealed, NULL, plain, length,
                                                       (const uint8_t *) name, strlen(name), tag) != 0)
            return fail(CRYPTO);
        TRY(mg_store_put_bytes(writer, mg_view_of(sealed, length + MORE)));
        pace_keep(pace, length);
    }
    (void) crypto_hash_sha256_final(&hash, found);
    if (digest != NULL && memcmp(found, digest, sizeof found) != 0)
        return fail_with(INTEGRITY, "%s is not what it was", name);
    return mg_store_put_end(writer);
}

struct mg_status
mg_vault_get(const struct mg_store *store, const uint8_t key[MG_VAULT_KEY], const char *name, int file_fd,
             uint8_t ret_digest[MG_VAULT_DIGEST])
{
    OWN_STREAM(stream);
    OWN_FD fd = -1;
    crypto_hash_sha256_state hash;
    uint8_t start[MAGIC + HEADER], plain[PIECE], sealed[PIECE + MORE];
    size_t length = 0;
    unsigned char tag = 0;
    if (sodium_init() < 0)
        return fail(CRYPTO);
    TRY(mg_store_get(store, name, &fd));
    TRY(piece_read(fd, start, sizeof start, &length));
    if (length != sizeof start || memcmp(start, magic, MAGIC) != 0 ||
        crypto_secretstream_xchacha20poly1305_init_pull(&stream.state, start + MAGIC, key) != 0)
        return fail_with(INTEGRITY, "%s is not what was put there", name);
    (void) crypto_hash_sha256_init(&hash);
    while (tag != crypto_secretstream_xchacha20poly1305_TAG_FINAL) {
        unsigned long long opened = 0;
        TRY(piece_read(fd, sealed, sizeof sealed, &length));
        if (length < MORE ||
            crypto_secretstream_xchacha20poly1305_pull(&stream.state, plain, &opened, &tag, sealed, length,
                                                       (const uint8_t *) name, strlen(name)) != 0)
            return fail_with(INTEGRITY, "%s is not what was put there", name);
        (void) crypto_hash_sha256_update(&hash, plain, opened);
        if (file_fd >= 0)
            TRY(mg_fd_write_all(file_fd, mg_view_of(plain, (size_t) opened)));
    }
    TRY(piece_read(fd, sealed, 1, &length));
    if (length != 0)
        return fail_with(INTEGRITY, "something was added to %s", name);
    (void) crypto_hash_sha256_final(&hash, ret_digest);
    return OK;
}
