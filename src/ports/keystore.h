/* The keystore on disk: DIR/keystore/keys (wrapped keys, src/domain/keyring.h, plus an HMAC-SHA-256 of 32
 * bytes) and the root key, by default DIR/keystore/root.key. Only the keys process opens it.
 *
 * Every change is made on a copy, written beside the file and renamed over it, and only then used.
 * The root has generations: after a destruction everything that survives is wrapped under a new one
 * and the old one is overwritten and forgotten, so that an old copy of `keys` opens with nothing.
 *
 * The root key comes from one of:
 *   file:PATH        the key itself, mode 0400; put it on another disk or machine than the backups
 *   passphrase:PATH  PATH holds the passphrase (a systemd credential, tmpfs); the root key lies in
 *                    DIR/keystore/root.key sealed under its Argon2id hash
 * Relative paths start at DIR. Functions are safe to call from several threads. */
#ifndef MG_PORTS_KEYSTORE_H
#define MG_PORTS_KEYSTORE_H

#include "base/io.h"
#include "domain/keyring.h"
#include "ports/crypto.h"

struct mg_keystore;

struct mg_root_place {
    bool passphrase;
    char root_path[MG_PATH];
    char passphrase_path[MG_PATH]; /* empty without a passphrase */
};
/* INVALID unless `option` is file:PATH or passphrase:PATH. */
CHECKED struct mg_status mg_root_place_read(const char *directory, struct mg_view option,
                                            struct mg_root_place *ret_place);

/* Opens, or at the very first start makes, the keystore in `directory`/keystore. A root key without its
 * keys, or keys without their root key, is an error that names the missing file: nothing is replaced. */
CHECKED struct mg_status mg_keystore_open(const char *directory, const struct mg_root_place *place,
                                          mg_instant now, struct mg_keystore **ret_keystore);
void mg_keystore_drop(struct mg_keystore **keystore);

/* Unwraps one key: `id` 0 means the one that seals or signs now. NOT_FOUND if there is none. */
CHECKED struct mg_status mg_keystore_use(struct mg_keystore *keystore, uint64_t tenant,
                                         enum mg_key_purpose purpose, uint64_t period, uint64_t id,
                                         uint8_t ret_key[MG_KEY_BYTES], struct mg_key_record *ret_record);

/* The tenant's keys; EXISTS changes nothing. */
CHECKED struct mg_status mg_keystore_create_tenant(struct mg_keystore *keystore, uint64_t tenant,
                                                   mg_instant now);
/* Makes the month's key if it is not there. */
CHECKED struct mg_status mg_keystore_create_period(struct mg_keystore *keystore, uint64_t tenant,
                                                   uint64_t period, mg_instant now);
/* Makes the tenant's key of a purpose that came after the tenant; EXISTS changes nothing. */
CHECKED struct mg_status mg_keystore_create_key(struct mg_keystore *keystore, uint64_t tenant,
                                                enum mg_key_purpose purpose, mg_instant now);
CHECKED struct mg_status mg_keystore_rotate(struct mg_keystore *keystore, uint64_t tenant,
                                            enum mg_key_purpose purpose, mg_instant now, uint64_t *ret_id);
CHECKED struct mg_status mg_keystore_retire(struct mg_keystore *keystore, uint64_t tenant,
                                            enum mg_key_purpose purpose, uint64_t *ret_removed);
/* These three give the new root generation. */
CHECKED struct mg_status mg_keystore_rotate_root(struct mg_keystore *keystore, uint64_t *ret_generation);
CHECKED struct mg_status mg_keystore_destroy_tenant(struct mg_keystore *keystore, uint64_t tenant,
                                                    uint64_t *ret_generation);
CHECKED struct mg_status mg_keystore_destroy_period(struct mg_keystore *keystore, uint64_t tenant,
                                                    uint64_t period, uint64_t *ret_generation);

/* True after a failure in the middle of a new root generation: nothing can be used, and opening the
 * store again finishes or undoes the step. The process ends itself then. */
bool mg_keystore_broken(struct mg_keystore *keystore);

/* A copy of the wrapped keys as they are now, for lists. */
CHECKED struct mg_status mg_keystore_snapshot(struct mg_keystore *keystore, struct mg_keyring **ret_keyring);
bool mg_keystore_has_passphrase(const struct mg_keystore *keystore);

#endif
