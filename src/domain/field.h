/* A sealed field: 1 byte form, 8 bytes key id (little-endian), then nonce, ciphertext and tag of
 * ports/crypto. The associated data binds it to tenant, table, column and row: a value copied to another
 * place does not open there. */
#ifndef MG_DOMAIN_FIELD_H
#define MG_DOMAIN_FIELD_H

#include "wire/messages.h"

#define MG_FIELD_HEADER 9
/* What a field is bound to; the texts are at most 127 bytes each. */
struct mg_field_place {
    uint64_t tenant;
    struct mg_view table, column, row;
};
#define MG_FIELD_ASSOCIATED_MOST 512

/* The one process that seals and opens the fields of a table: a process that was taken over opens nothing of
 * another's, even with the sealed bytes in hand. */
enum mg_process mg_field_owner(struct mg_view table);

/* INVALID if a name is empty or too long. */
CHECKED struct mg_status mg_field_associated(const struct mg_field_place *place, uint64_t key_id,
                                             struct mg_buffer *buffer);
CHECKED struct mg_status mg_field_begin(uint64_t key_id, struct mg_buffer *buffer);
/* INTEGRITY unless it begins like a sealed field. `ret_sealed` borrows. */
CHECKED struct mg_status mg_field_split(struct mg_view field, uint64_t *ret_key_id,
                                        struct mg_view *ret_sealed);

#endif
