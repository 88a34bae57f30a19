#include "process/worker/record_text.h"

#include <jansson.h>
#include <stdlib.h>

static void
json_drop(json_t **json)
{
    json_decref(*json);
}
#define OWN_JSON MG_CLEANUP(json_drop) json_t *

struct mg_status
record_encode(const struct record_text *stored, struct mg_view sealed, struct mg_view pending,
              struct mg_buffer *text)
{
    const char active[2] = {stored->active, '\0'}, next[2] = {stored->pending, '\0'};
    OWN_BUFFER(encoded, 2 * RECORD_SEALED_MOST);
    OWN_BUFFER(next_encoded, 2 * RECORD_SEALED_MOST);
    TRY(mg_base64(sealed, &encoded));
    TRY(mg_base64(pending, &next_encoded));
    OWN_JSON json = json_pack("{s:i, s:I, s:s, s:s, s:I, s:I, s:s, s:s, s:I}", "version", 1, "tenant",
                              (json_int_t) stored->tenant, "superuser_sealed", mg_buffer_text(&encoded),
                              "active", active, "rotated_at", (json_int_t) stored->rotated_at, "retire_at",
                              (json_int_t) stored->retire_at, "pending", next, "pending_sealed",
                              mg_buffer_text(&next_encoded), "pending_at", (json_int_t) stored->pending_at);
    if (json == NULL)
        return fail(OUT_OF_MEMORY);
    char *dumped = json_dumps(json, JSON_INDENT(1));
    if (dumped == NULL)
        return fail(OUT_OF_MEMORY);
    const struct mg_status status = mg_buffer_add_text(text, dumped);
    free(dumped);
    return status;
}

static bool
is_role(const char *text)
{
    return text[0] == '\0' || ((text[0] == 'a' || text[0] == 'b') && text[1] == '\0');
}

static bool
is_sound(const struct record_text *stored, json_int_t tenant, const char *active, const char *pending,
         const char *pending_sealed)
{
    return tenant >= 0 && stored->rotated_at >= 0 && stored->retire_at >= 0 && stored->pending_at >= 0 &&
           is_role(active) && is_role(pending) && (pending[0] == '\0' || pending_sealed[0] != '\0');
}

struct mg_status
record_decode(struct mg_view text, struct record_text *ret_stored, struct mg_buffer *sealed,
              struct mg_buffer *pending)
{
    json_int_t version = 0, tenant = 0, rotated_at = 0, retire_at = 0, pending_at = 0;
    const char *encoded = NULL, *active = NULL, *next = "", *next_encoded = "";
    OWN_JSON json = json_loadb((const char *) text.bytes, text.length, JSON_REJECT_DUPLICATES, NULL);
    if (json == NULL || json_unpack(json, "{s:I}", "version", &version) != 0)
        return fail_with(MALFORMED, "record of an instance");
    if (version > 1)
        return fail_with(NEWER_SCHEMA, "record of an instance");
    if (json_unpack(json, "{s:I, s:I, s:s, s:s, s:I, s:I, s?s, s?s, s?I!}", "version", &version, "tenant",
                    &tenant, "superuser_sealed", &encoded, "active", &active, "rotated_at", &rotated_at,
                    "retire_at", &retire_at, "pending", &next, "pending_sealed", &next_encoded, "pending_at",
                    &pending_at) != 0)
        return fail_with(MALFORMED, "record of an instance");
    const struct record_text stored = {.tenant = (uint64_t) tenant,
                                       .active = active[0],
                                       .pending = next[0],
                                       .rotated_at = rotated_at,
                                       .retire_at = retire_at,
                                       .pending_at = pending_at};
    if (version != 1 || !is_sound(&stored, tenant, active, next, next_encoded))
        return fail_with(MALFORMED, "record of an instance");
    TRY(mg_base64_decode(mg_view_text(encoded), sealed));
    TRY(mg_base64_decode(mg_view_text(next_encoded), pending));
    *ret_stored = stored;
    return OK;
}
