/* The root key file: one or, in the middle of a rotation, two generations of 32 bytes. Part of the
 * keystore; the format is fixed:
 *   "MGROOT1\n", kind, settled, count (u64 little-endian), salt 16, then count records of 80 bytes:
 *   generation (u64) and 72 bytes: the key sealed under the passphrase's hash, or for kind FILE
 *   the key, its SHA-256 and 8 zero bytes. */
#ifndef MG_PORTS_ROOT_H
#define MG_PORTS_ROOT_H

#include "ports/keystore.h"

#define MG_ROOT_HEADER 48
#define MG_ROOT_RECORD 80
#define MG_ROOT_GENERATIONS 2

struct mg_root {
    bool settled; /* false until the first keyring under it is on disk */
    size_t count;
    uint64_t generation[MG_ROOT_GENERATIONS]; /* ascending */
    uint8_t salt[16];                         /* of the passphrase */
    struct mg_secret *keys;                   /* count * 32 bytes, then the passphrase's key */
};
void mg_root_drop(struct mg_root **root);

/* A first generation; asks for no file but the passphrase's. */
CHECKED struct mg_status mg_root_new(const struct mg_root_place *place, struct mg_root **ret_root);
/* NOT_FOUND if there is no file; INTEGRITY if the passphrase is wrong or the file was changed. */
CHECKED struct mg_status mg_root_load(const struct mg_root_place *place, struct mg_root **ret_root);
/* Replaces the file; the bytes of the one before are overwritten as far as the file system allows. */
CHECKED struct mg_status mg_root_save(const struct mg_root_place *place, const struct mg_root *root);

/* Adds generation last + 1 / keeps only `generation`. */
CHECKED struct mg_status mg_root_add(struct mg_root *root);
CHECKED struct mg_status mg_root_keep(struct mg_root *root, uint64_t generation);
/* 32 bytes, borrowed; NULL if there is no such generation. */
const uint8_t *mg_root_key(const struct mg_root *root, uint64_t generation);

/* The form alone, without passphrase or file: MALFORMED unless it is a root file. For the fuzzer. */
struct mg_root_form {
    bool passphrase, settled;
    size_t count;
    uint64_t generation[MG_ROOT_GENERATIONS];
    struct mg_view salt, sealed[MG_ROOT_GENERATIONS]; /* borrowed */
};
CHECKED struct mg_status mg_root_decode(struct mg_view file, struct mg_root_form *ret_form);

#endif
