#include "domain/field.h"

enum { FORM = 1, NAME_MOST = 127 };

/* Everything else is of the control database, where the authority alone works. */
static const struct {
    const char *table;
    enum mg_process owner;
} owners[] = {
    {"instance", MG_WORKER},
    {"tls", MG_LAUNCHER},
    {"saml_key", MG_KEYS}, /* nobody else ever sees one (process/keys/saml.c) */
};

enum mg_process
mg_field_owner(struct mg_view table)
{
    for (size_t i = 0; i < MG_COUNT(owners); i++)
        if (mg_view_is(table, owners[i].table))
            return owners[i].owner;
    return MG_AUTHORITY;
}

static CHECKED struct mg_status
add_number(struct mg_buffer *buffer, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        TRY(mg_buffer_add_byte(buffer, (uint8_t) (value >> (8 * i))));
    return OK;
}

/* Lengths in front, so that ("ab", "c") and ("a", "bc") differ. */
static CHECKED struct mg_status
add_name(struct mg_buffer *buffer, struct mg_view name)
{
    if (name.length == 0 || name.length > NAME_MOST)
        return fail_with(INVALID, "a sealed field needs a table, a column and a row");
    TRY(mg_buffer_add_byte(buffer, (uint8_t) name.length));
    return mg_buffer_add(buffer, name);
}

struct mg_status
mg_field_associated(const struct mg_field_place *place, uint64_t key_id, struct mg_buffer *buffer)
{
    TRY(mg_buffer_add_text(buffer, "masugata field v1"));
    TRY(add_number(buffer, key_id));
    TRY(add_number(buffer, place->tenant));
    TRY(add_name(buffer, place->table));
    TRY(add_name(buffer, place->column));
    return add_name(buffer, place->row);
}

struct mg_status
mg_field_begin(uint64_t key_id, struct mg_buffer *buffer)
{
    TRY(mg_buffer_add_byte(buffer, FORM));
    return add_number(buffer, key_id);
}

struct mg_status
mg_field_split(struct mg_view field, uint64_t *ret_key_id, struct mg_view *ret_sealed)
{
    if (field.length < MG_FIELD_HEADER || field.bytes[0] != FORM)
        return fail_with(INTEGRITY, "not a sealed field");
    uint64_t id = 0;
    for (unsigned i = 0; i < 8; i++)
        id |= (uint64_t) field.bytes[1 + i] << (8 * i);
    if (id == 0)
        return fail_with(INTEGRITY, "not a sealed field");
    *ret_key_id = id;
    *ret_sealed = mg_view_of(field.bytes + MG_FIELD_HEADER, field.length - MG_FIELD_HEADER);
    return OK;
}
