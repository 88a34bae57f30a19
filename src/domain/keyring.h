/* The key hierarchy as data: root key (not in here) > tenant keys > data keys, all wrapped. Which key
 * seals, which may still open, what a rotation or an erasure does. No key is ever in clear here, and
 * nothing here does I/O or cryptography; src/ports/keystore does both.
 *
 * File form: a header of 40 bytes ("MGKEYS1\n", root generation, next key id, change number, count; 64-bit
 * little-endian), then records of 128 bytes ordered by tenant, purpose, period, id. The keystore adds a
 * MAC. */
#ifndef MG_DOMAIN_KEYRING_H
#define MG_DOMAIN_KEYRING_H

#include "base/bytes.h"
#include "base/time.h"

enum mg_key_purpose {
    MG_KEY_NONE = 0,
#define KEY_PURPOSE(NAME, ...) MG_KEY_##NAME,
#include "../../catalogue/keys.def"
#undef KEY_PURPOSE
    MG_KEY_PURPOSE_COUNT
};

enum mg_key_kind { MG_KEY_KIND_SECRET, MG_KEY_KIND_ES256, MG_KEY_KIND_ED25519 };
enum mg_key_scope { MG_KEY_SCOPE_TENANT, MG_KEY_SCOPE_DEPLOYMENT };
enum mg_key_rotation { MG_KEY_ROTATION_NEVER, MG_KEY_ROTATION_OVERLAP, MG_KEY_ROTATION_PUBLISHED };

struct mg_key_purpose_row {
    const char *name;
    enum mg_key_kind kind;
    enum mg_key_scope scope;
    enum mg_key_rotation rotation;
    const char *en, *ja;
};
/* NULL if there is no such purpose. */
const struct mg_key_purpose_row *mg_key_purpose_row(enum mg_key_purpose purpose);
/* MG_KEY_NONE if no row has that name. */
enum mg_key_purpose mg_key_purpose_named(struct mg_view name);

enum mg_key_state {
    MG_KEY_NEXT = 1, /* announced, not used yet (PUBLISHED only) */
    MG_KEY_WRITING,  /* the one that seals or signs */
    MG_KEY_READING,  /* only opens or verifies */
};

/* 32 bytes sealed: nonce 24, tag 16. */
#define MG_WRAPPED_KEY 72
#define MG_KEY_RECORD 128
#define MG_KEYRING_HEADER 40
/* About 32 MiB: ten thousand tenants with two years of months. */
#define MG_KEYRING_MOST 262144
/* How long an old assertion key stays announced. */
#define MG_KEY_ANNOUNCED_MS (7LL * 24 * 3600 * 1000)
/* How many assertion keys there may be at once, the next one among them: all are in one answer. */
#define MG_KEY_ANNOUNCED_MOST 32

struct mg_key_record {
    uint64_t id; /* unique for ever in this keystore */
    uint64_t tenant;
    enum mg_key_purpose purpose;
    enum mg_key_state state;
    uint64_t period; /* AUDIT: the month, such as 202611; otherwise 0 */
    mg_instant created_at, changed_at;
    uint8_t wrapped[MG_WRAPPED_KEY];
};

struct mg_keyring {
    uint64_t root_generation, next_id, change;
    size_t count, capacity;
    struct mg_key_record *keys; /* ordered as in the file */
};
void mg_keyring_drop(struct mg_keyring **keyring);
CHECKED struct mg_status mg_keyring_new(uint64_t root_generation, struct mg_keyring **ret_keyring);
/* A deep copy: changes are made on it and take its place once they are on disk. */
CHECKED struct mg_status mg_keyring_copy(const struct mg_keyring *keyring, struct mg_keyring **ret_copy);

/* Accepts exactly what mg_keyring_encode makes; everything else is MALFORMED. */
CHECKED struct mg_status mg_keyring_decode(struct mg_view bytes, struct mg_keyring **ret_keyring);
CHECKED struct mg_status mg_keyring_encode(const struct mg_keyring *keyring, struct mg_buffer *buffer);

/* The bytes that bind a wrapped key to its place: id, tenant, purpose, period, creation. */
#define MG_KEY_BINDING 64
void mg_key_binding(const struct mg_key_record *record, uint8_t ret_binding[MG_KEY_BINDING]);

/* NULL if there is none. Borrowed until the keyring changes. */
const struct mg_key_record *mg_keyring_find(const struct mg_keyring *keyring, uint64_t tenant,
                                            enum mg_key_purpose purpose, uint64_t period, uint64_t id);
const struct mg_key_record *mg_keyring_in_state(const struct mg_keyring *keyring, uint64_t tenant,
                                                enum mg_key_purpose purpose, uint64_t period,
                                                enum mg_key_state state);
/* The tenant key that wraps `record` (tenant 0's for audit keys); NULL for a tenant key, which the root
 * key wraps. */
const struct mg_key_record *mg_keyring_parent(const struct mg_keyring *keyring,
                                              const struct mg_key_record *record);

/* Adds a key; its id is taken and the wrapped bytes are left for the caller to fill in. */
CHECKED struct mg_status mg_keyring_add(struct mg_keyring *keyring, uint64_t tenant,
                                        enum mg_key_purpose purpose, uint64_t period, enum mg_key_state state,
                                        mg_instant now, struct mg_key_record **ret_record);

/* The states of a rotation: writing becomes reading, next becomes writing; old announced keys past
 * their time go. REFUSED for purposes that are never rotated, BUSY if too many are announced. What has to
 * be added afterwards: `ret_state` of the one new key. */
CHECKED struct mg_status mg_keyring_rotate(struct mg_keyring *keyring, uint64_t tenant,
                                           enum mg_key_purpose purpose, mg_instant now,
                                           enum mg_key_state *ret_state);
/* Removes the reading keys of an OVERLAP purpose; gives their number. */
CHECKED struct mg_status mg_keyring_retire(struct mg_keyring *keyring, uint64_t tenant,
                                           enum mg_key_purpose purpose, uint64_t *ret_removed);
/* Removes all keys of the tenant but its audit keys, which go month by month; tenant 0 is REFUSED, an unknown
 * one NOT_FOUND. */
CHECKED struct mg_status mg_keyring_remove_tenant(struct mg_keyring *keyring, uint64_t tenant);
/* Removes one month's audit key of a tenant. */
CHECKED struct mg_status mg_keyring_remove_period(struct mg_keyring *keyring, uint64_t tenant,
                                                  uint64_t period);

#endif
