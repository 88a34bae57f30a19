/* The files of the keystore: the keyring's records, the root key file, and the header of a sealed field. */
#include "domain/field.h"
#include "domain/keyring.h"
#include "ports/root.h"

static void
keyring_check(struct mg_view bytes)
{
    OWN(keyring) keyring = NULL;
    if (!mg_ok(mg_keyring_decode(bytes, &keyring)))
        return;
    OWN_BUFFER(again, 1U << 26);
    mg_must(mg_ok(mg_keyring_encode(keyring, &again)));
    mg_must(mg_view_equal(mg_buffer_view(&again), bytes));
    for (size_t i = 0; i < keyring->count; i++) {
        const struct mg_key_record *record = &keyring->keys[i];
        mg_must(mg_keyring_find(keyring, record->tenant, record->purpose, record->period, record->id) ==
                record);
        mg_must(mg_key_purpose_row(record->purpose) != NULL);
        (void) mg_keyring_parent(keyring, record);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length == 0)
        return 0;
    const struct mg_view rest = mg_view_of(bytes + 1, length - 1);
    struct mg_root_form form;
    uint64_t id;
    struct mg_view sealed;
    switch (bytes[0] % 3) {
    case 0:
        keyring_check(rest);
        break;
    case 1:
        if (mg_ok(mg_root_decode(rest, &form)))
            mg_must(form.count >= 1 && form.count <= MG_ROOT_GENERATIONS && form.generation[0] > 0);
        break;
    default:
        if (mg_ok(mg_field_split(rest, &id, &sealed)))
            mg_must(id != 0 && sealed.length + MG_FIELD_HEADER == rest.length);
        break;
    }
    return 0;
}
