/* keys: holds the root key; seals, opens, hashes and signs. It reads only the fixed messages of
 * catalogue/messages.def and its own files, and has no socket but those to its peers. */
#include "base/log.h"
#include "ports/rsa_key.h"
#include "process/keys/keys.h"

/* How long a key that signs stays decoded: reading one takes as long as a signature. */
enum { RSA_KEPT_MS = 60000 };

struct mg_keystore *mg_keys_store;

struct mg_status
mg_keys_path(char path[MG_PATH], const char *name)
{
    char directory[MG_PATH];
    TRY(mg_path_join(directory, mg_environment()->directory, "keystore"));
    return mg_path_join(path, directory, name);
}

static CHECKED struct mg_status
prepare(const struct mg_environment *environment)
{
    struct mg_root_place place;
    TRY(mg_root_place_read(environment->directory, mg_view_text(environment->options->keys_root), &place));
    TRY(mg_keystore_open(environment->directory, &place, mg_now(), &mg_keys_store));
    TRY(mg_keys_checkpoint_open());
    return mg_keys_assertion_load();
}

static void
tick(mg_instant now)
{
    (void) now;
    mg_rsa_keys_forget(RSA_KEPT_MS);
    mg_keys_record_uses();
}

int
main(int argc, char **argv)
{
    static const struct mg_handler_row handlers[] = {
        MG_HANDLE_PUBLIC(seal),
        MG_HANDLE_PUBLIC(unseal),
        MG_HANDLE_PUBLIC(reseal),
        MG_HANDLE_PUBLIC(keyed_hash),
        MG_HANDLE_PUBLIC(sign_assertion),
        MG_HANDLE_PUBLIC(jwks),
        MG_HANDLE_PUBLIC(sign_client_assertion),
        MG_HANDLE_PUBLIC(client_key),
        MG_HANDLE_PUBLIC(saml_key),
        MG_HANDLE_PUBLIC(saml_sign),
        MG_HANDLE_PUBLIC(saml_unwrap),
        MG_HANDLE_PUBLIC(tenant_key_create),
        MG_HANDLE_PUBLIC(tenant_key_destroy),
        MG_HANDLE_PUBLIC(key_rotate),
        MG_HANDLE_PUBLIC(key_retire),
        MG_HANDLE_PUBLIC(keys_list),
        MG_HANDLE_PUBLIC(audit_key),
        MG_HANDLE_PUBLIC(audit_key_destroy),
        MG_HANDLE_PUBLIC(backup_key),
        MG_HANDLE_PUBLIC(vault_key),
        MG_HANDLE_PUBLIC(log_key),
        MG_HANDLE_PUBLIC(sign_checkpoint),
    };
    const struct mg_process_description description = {
        .process = MG_KEYS,
        .handlers = handlers,
        .handler_count = MG_COUNT(handlers),
        .threads = 8,
        .prepare = prepare,
        .tick = tick,
    };
    return mg_process_main(argc, argv, &description);
}
