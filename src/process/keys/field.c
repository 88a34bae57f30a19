/* Sealing and opening of fields, and keyed hashes. */
#include "domain/field.h"
#include "process/keys/keys.h"

enum { FIELD_MOST = 65600 };

/* Control: DATA_02 */
struct mg_status
mg_keys_field_seal(const struct mg_field_place *place, struct mg_view plaintext, struct mg_buffer *buffer)
{
    OWN_KEY(key, MG_KEY_BYTES);
    struct mg_key_record record;
    TRY(mg_keystore_use(mg_keys_store, place->tenant, MG_KEY_FIELD, 0, 0, key, &record));
    OWN_BUFFER(associated, MG_FIELD_ASSOCIATED_MOST);
    TRY(mg_field_associated(place, record.id, &associated));
    TRY(mg_field_begin(record.id, buffer));
    return mg_seal(key, mg_buffer_view(&associated), plaintext, buffer);
}

/* `ret_plaintext` is made here and wiped by its owner. */
struct mg_status
mg_keys_field_open(const struct mg_field_place *place, struct mg_view field, struct mg_secret **ret_plaintext,
                   bool *ret_stale)
{
    uint64_t id;
    struct mg_view sealed;
    TRY(mg_field_split(field, &id, &sealed));
    OWN_KEY(key, MG_KEY_BYTES);
    struct mg_key_record record;
    TRY(mg_keystore_use(mg_keys_store, place->tenant, MG_KEY_FIELD, 0, id, key, &record));
    OWN_BUFFER(associated, MG_FIELD_ASSOCIATED_MOST);
    TRY(mg_field_associated(place, id, &associated));
    if (sealed.length < MG_SEAL_OVERHEAD)
        return fail_with(INTEGRITY, "sealed data is too short");
    OWN(secret) plaintext = NULL;
    TRY(mg_secret_new(sealed.length - MG_SEAL_OVERHEAD, &plaintext));
    TRY(mg_unseal(key, mg_buffer_view(&associated), sealed, mg_secret_bytes(plaintext)));
    *ret_plaintext = TAKE(plaintext);
    *ret_stale = record.state != MG_KEY_WRITING;
    return OK;
}

/* Each table is one process's; an attempt at another's is in the audit log. */
static CHECKED struct mg_status
owner_check(const struct mg_call *call, const struct mg_field_place *place, struct mg_view purpose)
{
    const enum mg_process sender = mg_call_sender(call);
    if (sender == mg_field_owner(place->table))
        return OK;
    TRY(mg_keys_note_use(sender, place->tenant, place->table, place->column, purpose, true));
    return fail_with(REFUSED, "%s has nothing to do with table %.*s", mg_process_name(sender),
                     (int) place->table.length, (const char *) place->table.bytes);
}

MG_HANDLER_PUBLIC(seal)
{
    TRY(mg_keys_limit(call, MG_REQUEST_seal));
    const struct mg_field_place place = {request->tenant, request->table, request->column, request->row};
    TRY(owner_check(call, &place, mg_view_text("seal")));
    OWN_BUFFER(sealed, FIELD_MOST);
    TRY(mg_keys_field_seal(&place, request->plaintext, &sealed));
    return mg_answer_seal(call, &(struct mg_reply_seal){.sealed = mg_buffer_view(&sealed)});
}

/* Counts the opening first; a failed proof is counted as a refusal besides. */
static CHECKED struct mg_status
open_recorded(const struct mg_call *call, const struct mg_field_place *place, struct mg_view purpose,
              struct mg_view field, struct mg_secret **ret_plaintext, bool *ret_stale)
{
    const enum mg_process sender = mg_call_sender(call);
    TRY(owner_check(call, place, purpose));
    TRY(mg_keys_note_use(sender, place->tenant, place->table, place->column, purpose, false));
    const struct mg_status status = mg_keys_field_open(place, field, ret_plaintext, ret_stale);
    if (status.code == MG_INTEGRITY)
        TRY(mg_keys_note_use(sender, place->tenant, place->table, place->column, purpose, true));
    return status;
}

MG_HANDLER_PUBLIC(unseal)
{
    TRY(mg_keys_limit(call, MG_REQUEST_unseal));
    const struct mg_field_place place = {request->tenant, request->table, request->column, request->row};
    OWN(secret) plaintext = NULL;
    bool stale = false;
    TRY(open_recorded(call, &place, request->purpose, request->sealed, &plaintext, &stale));
    return mg_answer_unseal(
        call, &(struct mg_reply_unseal){.plaintext = mg_secret_view(plaintext), .stale = stale});
}

MG_HANDLER_PUBLIC(reseal)
{
    TRY(mg_keys_limit(call, MG_REQUEST_reseal));
    const struct mg_field_place place = {request->tenant, request->table, request->column, request->row};
    OWN(secret) plaintext = NULL;
    bool stale = false;
    TRY(open_recorded(call, &place, mg_view_text("reseal"), request->sealed, &plaintext, &stale));
    if (!stale)
        return mg_answer_reseal(call, &(struct mg_reply_reseal){.sealed = request->sealed, .changed = false});
    OWN_BUFFER(sealed, FIELD_MOST);
    TRY(mg_keys_field_seal(&place, mg_secret_view(plaintext), &sealed));
    return mg_answer_reseal(call,
                            &(struct mg_reply_reseal){.sealed = mg_buffer_view(&sealed), .changed = true});
}

MG_HANDLER_PUBLIC(keyed_hash)
{
    TRY(mg_keys_limit(call, MG_REQUEST_keyed_hash));
    if (request->purpose.length == 0)
        return fail_with(INVALID, "a keyed hash names its purpose");
    OWN_KEY(lookup, MG_KEY_BYTES);
    OWN_KEY(key, MG_KEY_BYTES);
    struct mg_key_record record;
    TRY(mg_keystore_use(mg_keys_store, request->tenant, MG_KEY_LOOKUP, 0, 0, lookup, &record));
    /* A key of its own for each purpose, so that a hash made for one says nothing about another. */
    TRY(mg_hkdf(mg_view_of(lookup, sizeof lookup), MG_VIEW_EMPTY, request->purpose, key, sizeof key));
    uint8_t hash[MG_HASH_BYTES];
    TRY(mg_hmac_sha256(mg_view_of(key, sizeof key), request->bytes, hash));
    return mg_answer_keyed_hash(call, &(struct mg_reply_keyed_hash){.hash = mg_view_of(hash, sizeof hash)});
}
