/* Files under a seal in a store (ports/store.h): nobody without the key reads one, and one that was changed,
 * cut short or put under another name is no longer one.
 *
 * An object is "masugata-vault 1" and a line feed, then libsodium's secretstream (XChaCha20-Poly1305): its
 * header, and pieces of 64 KiB, the last one shorter and marked as the last. The name is bound to each. */
#ifndef MG_PORTS_VAULT_H
#define MG_PORTS_VAULT_H

#include "ports/store.h"

#define MG_VAULT_KEY 32
#define MG_VAULT_DIGEST 32 /* SHA-256 of the file, not of the object */

/* How large the object of a file is. */
uint64_t mg_vault_sealed_bytes(uint64_t file_bytes);

/* Not faster than so many bytes a second (0: as fast as it goes). */
struct mg_vault_pace {
    uint64_t bytes_per_s;
    uint64_t bytes; /* that went, since `started_ms` (monotonic; 0: not begun) */
    int64_t started_ms;
};

/* Seals what is read from `file_fd` to its end. `digest`: what it must be, or nothing is put (INTEGRITY);
 * NULL: anything. `pace` may be NULL. */
CHECKED struct mg_status mg_vault_put(const struct mg_store *store, const uint8_t key[MG_VAULT_KEY],
                                      const char *name, int file_fd, const uint8_t *digest,
                                      struct mg_vault_pace *pace);

/* Writes the file to `file_fd` (-1: nowhere), which holds nothing that counts until it returns OK. NOT_FOUND;
 * INTEGRITY: it is not what was put under this name with this key. */
CHECKED struct mg_status mg_vault_get(const struct mg_store *store, const uint8_t key[MG_VAULT_KEY],
                                      const char *name, int file_fd, uint8_t ret_digest[MG_VAULT_DIGEST]);

#endif
