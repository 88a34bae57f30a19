/* A leaf of the audit log: an event encrypted under a key per tenant and month.
 *
 *   0x01, tenant (u64), month (u32, 202611), salt (32 bytes), AES-256-GCM(32 zero bytes || event), tag
 *
 * Numbers are big-endian. The GCM key is HMAC-SHA-256(month key, label || salt): each leaf has its
 * own, so the nonce is zero, the month key may seal any number of leaves, and one leaf can be opened
 * for a tenant or an auditor without opening the month. Everything before the ciphertext is
 * associated data. The zero bytes commit the ciphertext to its key: GCM alone would let one leaf be
 * opened as two events under two keys. */
#ifndef MG_PORTS_AUDIT_LEAF_H
#define MG_PORTS_AUDIT_LEAF_H

#include "base/bytes.h"

#define MG_LEAF_KEY 32
#define MG_LEAF_SALT 32
#define MG_LEAF_OVERHEAD (1 + 8 + 4 + MG_LEAF_SALT + 32 + 16)

/* Appends the leaf; salt is random and used once. */
CHECKED struct mg_status mg_leaf_seal(const uint8_t month_key[MG_LEAF_KEY], uint64_t tenant, uint32_t month,
                                      const uint8_t salt[MG_LEAF_SALT], struct mg_view event,
                                      struct mg_buffer *leaf);
/* Whose leaf it says it is, and of which month. */
CHECKED struct mg_status mg_leaf_place(struct mg_view leaf, uint64_t *ret_tenant, uint32_t *ret_month);
CHECKED struct mg_status mg_leaf_key(const uint8_t month_key[MG_LEAF_KEY], struct mg_view leaf,
                                     uint8_t ret_leaf_key[MG_LEAF_KEY]);
/* Appends the event; INTEGRITY if the key is not the leaf's. */
CHECKED struct mg_status mg_leaf_open(const uint8_t leaf_key[MG_LEAF_KEY], struct mg_view leaf,
                                      struct mg_buffer *event);

#endif
