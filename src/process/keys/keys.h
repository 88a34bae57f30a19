/* Shared by the files of the keys process: the one keystore, recording, limits. */
#ifndef MG_PROCESS_KEYS_H
#define MG_PROCESS_KEYS_H

#include "domain/field.h"
#include "domain/use_ledger.h"
#include "ports/keystore.h"
#include "process/runtime/runtime.h"
#include "wire/events.h"

/* Opened in `prepare`, before the sandbox. */
extern struct mg_keystore *mg_keys_store;

/* The path of this process's own files: DIR/keystore/<name>. */
CHECKED struct mg_status mg_keys_path(char path[MG_PATH], const char *name);

/* ---- limits (limits.c) ---- */
/* BUSY when this sender asks for this faster than its row in limits.c allows. */
CHECKED struct mg_status mg_keys_limit(const struct mg_call *call, enum mg_kind kind);

/* ---- recording (record.c) ---- */
/* Counts one opening; a failing status means that it must not happen. */
CHECKED struct mg_status mg_keys_note_use(enum mg_process sender, uint64_t tenant, struct mg_view table,
                                          struct mg_view column, struct mg_view purpose, bool refused);
/* Writes the counts to the audit log; every second. */
void mg_keys_record_uses(void);
/* Records an act before it takes effect: no record, no effect. */
CHECKED struct mg_status mg_keys_record_act(enum mg_event event, enum mg_process sender, uint64_t tenant,
                                            const char *purpose);
/* The same act did not work out. */
void mg_keys_record_failure(enum mg_event event, enum mg_process sender, uint64_t tenant, const char *purpose,
                            struct mg_status status);

/* ---- sealed fields (field.c) ---- */
/* Neither asks whose the field is, nor records: the handlers do. */
CHECKED struct mg_status mg_keys_field_seal(const struct mg_field_place *place, struct mg_view plaintext,
                                            struct mg_buffer *buffer);
CHECKED struct mg_status mg_keys_field_open(const struct mg_field_place *place, struct mg_view field,
                                            struct mg_secret **ret_plaintext, bool *ret_stale);

/* ---- assertion keys (assertion.c) ---- */
/* Reads the assertion keys of the store into memory, ready to sign; again after a rotation. */
CHECKED struct mg_status mg_keys_assertion_load(void);

/* ---- checkpoints (checkpoint.c) ---- */
CHECKED struct mg_status mg_keys_checkpoint_open(void);

MG_HANDLER_DECLARE(seal)
MG_HANDLER_DECLARE(unseal)
MG_HANDLER_DECLARE(reseal)
MG_HANDLER_DECLARE(keyed_hash)
MG_HANDLER_DECLARE(sign_assertion)
MG_HANDLER_DECLARE(jwks)
MG_HANDLER_DECLARE(sign_client_assertion)
MG_HANDLER_DECLARE(client_key)
MG_HANDLER_DECLARE(saml_key)
MG_HANDLER_DECLARE(saml_sign)
MG_HANDLER_DECLARE(saml_unwrap)
MG_HANDLER_DECLARE(tenant_key_create)
MG_HANDLER_DECLARE(tenant_key_destroy)
MG_HANDLER_DECLARE(key_rotate)
MG_HANDLER_DECLARE(key_retire)
MG_HANDLER_DECLARE(keys_list)
MG_HANDLER_DECLARE(audit_key)
MG_HANDLER_DECLARE(audit_key_destroy)
MG_HANDLER_DECLARE(backup_key)
MG_HANDLER_DECLARE(vault_key)
MG_HANDLER_DECLARE(log_key)
MG_HANDLER_DECLARE(sign_checkpoint)

#endif
