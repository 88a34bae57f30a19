/* Making, turning and destroying keys. Each act is in the audit log before it takes effect. */
#include "base/log.h"
#include "ports/crypto.h"
#include "ports/rsa_key.h"
#include "process/keys/keys.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* audit asks keys to sign while keys waits for audit: so many handlers may wait at once, and no more,
 * or none would be left to sign. Half of the threads in main.c. */
enum { ACTS_MOST = 4, LIST_MOST = 1000 };

static atomic_int acts;

static void
act_end(const int *before)
{
    (void) before;
    (void) atomic_fetch_sub(&acts, 1);
}

/* After a root rotation that stopped half-way only a fresh start knows what holds. */
static void
stop_if_broken(void)
{
    if (!mg_keystore_broken(mg_keys_store))
        return;
    mg_log(MG_ERROR, "a root rotation stopped half-way; starting again to settle it");
    _Exit(3);
}

struct act {
    enum mg_event event;
    const char *name; /* in the record */
    uint64_t tenant, period;
    enum mg_key_purpose purpose;
    struct mg_status (*carry_out)(const struct act *act, uint64_t *ret_result);
};

static CHECKED struct mg_status
act_run(const struct mg_call *call, const struct act *act, uint64_t *ret_result)
{
    MG_CLEANUP(act_end) const int before = atomic_fetch_add(&acts, 1);
    if (before >= ACTS_MOST)
        return fail_with(BUSY, "several changes of keys are under way");
    const enum mg_process sender = mg_call_sender(call);
    TRY(mg_keys_record_act(act->event, sender, act->tenant, act->name));
    const struct mg_status status = act->carry_out(act, ret_result);
    if (!mg_ok(status)) {
        mg_keys_record_failure(act->event, sender, act->tenant, act->name, status);
        stop_if_broken();
    }
    return status;
}

static CHECKED struct mg_status
create_tenant(const struct act *act, uint64_t *ret_result)
{
    *ret_result = 0;
    return mg_keystore_create_tenant(mg_keys_store, act->tenant, mg_now());
}

MG_HANDLER_PUBLIC(tenant_key_create)
{
    TRY(mg_keys_limit(call, MG_REQUEST_tenant_key_create));
    OWN_KEY(key, MG_KEY_BYTES);
    struct mg_key_record record;
    const struct mg_status found =
        mg_keystore_use(mg_keys_store, request->tenant, MG_KEY_FIELD, 0, 0, key, &record);
    if (found.code == MG_NOT_FOUND) {
        const struct act act = {.event = MG_EVENT_key_create,
                                .name = "tenant",
                                .tenant = request->tenant,
                                .carry_out = create_tenant};
        uint64_t unused;
        const struct mg_status made = act_run(call, &act, &unused);
        if (made.code != MG_EXISTS)
            TRY(made);
    } else {
        TRY(found);
    }
    return mg_answer_tenant_key_create(call, &(struct mg_reply_tenant_key_create){0});
}

static CHECKED struct mg_status
destroy_tenant(const struct act *act, uint64_t *ret_result)
{
    const struct mg_status status = mg_keystore_destroy_tenant(mg_keys_store, act->tenant, ret_result);
    mg_rsa_keys_forget(0); /* whosever they are */
    return status;
}

MG_HANDLER_PUBLIC(tenant_key_destroy)
{
    TRY(mg_keys_limit(call, MG_REQUEST_tenant_key_destroy));
    const struct act act = {.event = MG_EVENT_key_destroy,
                            .name = "tenant",
                            .tenant = request->tenant,
                            .carry_out = destroy_tenant};
    struct mg_reply_tenant_key_destroy reply = {0};
    TRY(act_run(call, &act, &reply.root_generation));
    return mg_answer_tenant_key_destroy(call, &reply);
}

static CHECKED struct mg_status
rotate_root(const struct act *act, uint64_t *ret_result)
{
    (void) act;
    return mg_keystore_rotate_root(mg_keys_store, ret_result);
}

static CHECKED struct mg_status
rotate(const struct act *act, uint64_t *ret_result)
{
    TRY(mg_keystore_rotate(mg_keys_store, act->tenant, act->purpose, mg_now(), ret_result));
    return act->purpose == MG_KEY_ASSERTION ? mg_keys_assertion_load() : OK;
}

MG_HANDLER_PUBLIC(key_rotate)
{
    TRY(mg_keys_limit(call, MG_REQUEST_key_rotate));
    struct act act = {.event = MG_EVENT_key_rotate, .tenant = request->tenant};
    if (mg_view_is(request->purpose, "root")) {
        act.name = "root";
        act.carry_out = rotate_root;
    } else {
        act.purpose = mg_key_purpose_named(request->purpose);
        const struct mg_key_purpose_row *row = mg_key_purpose_row(act.purpose);
        if (row == NULL || row->rotation == MG_KEY_ROTATION_NEVER)
            return fail_with(REFUSED, "keys of this purpose are not rotated");
        act.name = row->name;
        act.carry_out = rotate;
    }
    struct mg_reply_key_rotate reply = {0};
    TRY(act_run(call, &act, &reply.key));
    return mg_answer_key_rotate(call, &reply);
}

static CHECKED struct mg_status
retire(const struct act *act, uint64_t *ret_result)
{
    return mg_keystore_retire(mg_keys_store, act->tenant, act->purpose, ret_result);
}

MG_HANDLER_PUBLIC(key_retire)
{
    TRY(mg_keys_limit(call, MG_REQUEST_key_retire));
    const enum mg_key_purpose purpose = mg_key_purpose_named(request->purpose);
    const struct mg_key_purpose_row *row = mg_key_purpose_row(purpose);
    if (row == NULL || row->rotation != MG_KEY_ROTATION_OVERLAP)
        return fail_with(REFUSED, "keys of this purpose are not retired");
    const struct act act = {.event = MG_EVENT_key_destroy,
                            .name = row->name,
                            .tenant = request->tenant,
                            .purpose = purpose,
                            .carry_out = retire};
    struct mg_reply_key_retire reply = {0};
    TRY(act_run(call, &act, &reply.destroyed));
    return mg_answer_key_retire(call, &reply);
}

/* The first `most` keys after `after`, by id: the keyring lies in another order. */
static int
by_id(const void *a, const void *b)
{
    const uint64_t left = ((const struct mg_key_record *) a)->id,
                   right = ((const struct mg_key_record *) b)->id;
    return left < right ? -1 : left > right;
}

MG_HANDLER_PUBLIC(keys_list)
{
    TRY(mg_keys_limit(call, MG_REQUEST_keys_list));
    OWN(keyring) keyring = NULL;
    TRY(mg_keystore_snapshot(mg_keys_store, &keyring));
    qsort(keyring->keys, keyring->count, sizeof *keyring->keys, by_id);
    OWN_BUFFER(list, 130000);
    size_t listed = 0;
    for (size_t i = 0; i < keyring->count && listed < LIST_MOST; i++) {
        const struct mg_key_record *record = &keyring->keys[i];
        if (record->id <= request->after_key)
            continue;
        const struct mg_record_key_state state = {.tenant = record->tenant,
                                                  .purpose =
                                                      mg_view_text(mg_key_purpose_row(record->purpose)->name),
                                                  .key = record->id,
                                                  .created_at = record->created_at,
                                                  .writing = record->state == MG_KEY_WRITING};
        TRY(mg_list_add_key_state(&list, &state));
        listed++;
    }
    const struct mg_reply_keys_list reply = {
        .root_kind = mg_view_text(mg_keystore_has_passphrase(mg_keys_store) ? "passphrase" : "file"),
        .root_generation = keyring->root_generation,
        .keys = {.bytes = mg_buffer_view(&list)},
    };
    return mg_answer_keys_list(call, &reply);
}

/* ---- months of the audit log ---- */

/* 202611 for a moment in November 2026. */
static CHECKED struct mg_status
month_of(mg_instant now, uint64_t *ret_month)
{
    char text[MG_INSTANT_TEXT];
    mg_instant_text(now, text);
    uint64_t year, month;
    TRY(mg_parse_u64(mg_view_of(text, 4), 9999, &year));
    /* A leading zero is no number for mg_parse_u64. */
    month = (uint64_t) (text[5] - '0') * 10 + (uint64_t) (text[6] - '0');
    *ret_month = year * 100 + month;
    return OK;
}

static CHECKED struct mg_status
month_check(uint64_t month)
{
    if (month < 200001 || month > 999912 || month % 100 < 1 || month % 100 > 12)
        return fail_with(INVALID, "a month is written like 202611");
    return OK;
}

static uint64_t
month_count(uint64_t month)
{
    return month / 100 * 12 + month % 100 - 1;
}

MG_HANDLER_PUBLIC(audit_key)
{
    TRY(mg_keys_limit(call, MG_REQUEST_audit_key));
    TRY(month_check(request->month));
    OWN_KEY(key, MG_KEY_BYTES);
    struct mg_key_record record;
    struct mg_status status =
        mg_keystore_use(mg_keys_store, request->tenant, MG_KEY_AUDIT, request->month, 0, key, &record);
    if (status.code == MG_NOT_FOUND) {
        uint64_t this_month;
        TRY(month_of(mg_now(), &this_month));
        const uint64_t asked = month_count(request->month), now = month_count(this_month);
        /* A neighbour month, so that a clock a little off does not stop the log; nothing older, so that a
         * destroyed key never comes back as another one. */
        if (asked + 1 < now || asked > now + 1)
            return status;
        status = mg_keystore_create_period(mg_keys_store, request->tenant, request->month, mg_now());
        if (status.code != MG_EXISTS)
            TRY(status);
        status =
            mg_keystore_use(mg_keys_store, request->tenant, MG_KEY_AUDIT, request->month, 0, key, &record);
    }
    TRY(status);
    return mg_answer_audit_key(call, &(struct mg_reply_audit_key){.key = mg_view_of(key, sizeof key)});
}

static CHECKED struct mg_status
destroy_month(const struct act *act, uint64_t *ret_result)
{
    return mg_keystore_destroy_period(mg_keys_store, act->tenant, act->period, ret_result);
}

MG_HANDLER_PUBLIC(audit_key_destroy)
{
    TRY(mg_keys_limit(call, MG_REQUEST_audit_key_destroy));
    TRY(month_check(request->month));
    uint64_t this_month;
    TRY(month_of(mg_now(), &this_month));
    if (month_count(request->month) + 12 >= month_count(this_month))
        return fail_with(REFUSED, "audit records are kept for a year at least");
    char name[32];
    (void) snprintf(name, sizeof name, "audit %llu", (unsigned long long) request->month);
    const struct act act = {.event = MG_EVENT_key_destroy,
                            .name = name,
                            .tenant = request->tenant,
                            .period = request->month,
                            .carry_out = destroy_month};
    struct mg_reply_audit_key_destroy reply = {0};
    TRY(act_run(call, &act, &reply.root_generation));
    return mg_answer_audit_key_destroy(call, &reply);
}

/* ---- backups ---- */

static CHECKED struct mg_status
create_backup_key(const struct act *act, uint64_t *ret_result)
{
    *ret_result = 0;
    return mg_keystore_create_key(mg_keys_store, act->tenant, MG_KEY_BACKUP, mg_now());
}

static CHECKED struct mg_status
create_vault_key(const struct act *act, uint64_t *ret_result)
{
    *ret_result = 0;
    return mg_keystore_create_key(mg_keys_store, act->tenant, MG_KEY_VAULT, mg_now());
}

/* Made when it is first asked for, under the tenant's own key: of a tenant whose keys were destroyed none
 * comes anew. */
static CHECKED struct mg_status
backup_key_find(const struct mg_call *call, uint64_t tenant, enum mg_key_purpose purpose,
                uint8_t key[MG_KEY_BYTES])
{
    struct mg_key_record record;
    const struct mg_status found = mg_keystore_use(mg_keys_store, tenant, purpose, 0, 0, key, &record);
    if (found.code != MG_NOT_FOUND)
        return found;
    const bool vault = purpose == MG_KEY_VAULT;
    const struct act act = {.event = MG_EVENT_key_create,
                            .name = vault ? "vault" : "backup",
                            .tenant = tenant,
                            .carry_out = vault ? create_vault_key : create_backup_key};
    uint64_t unused;
    const struct mg_status made = act_run(call, &act, &unused);
    if (made.code != MG_EXISTS)
        TRY(made);
    return mg_keystore_use(mg_keys_store, tenant, purpose, 0, 0, key, &record);
}

/* pgBackRest encrypts by itself and so must be given its passphrase; each repository has one of its own,
 * derived from the tenant's backup key, which never leaves. Nothing more has to be kept: whoever has the
 * keystore can restore, and when the tenant's keys are destroyed no copy of its backups anywhere can be read.
 */
static CHECKED struct mg_status
derive(const uint8_t key[MG_KEY_BYTES], const char *what, struct mg_view repository,
       uint8_t ret_key[MG_KEY_BYTES])
{
    OWN_BUFFER(purpose, 128);
    TRY(mg_buffer_format(&purpose, "masugata backup %s ", what));
    TRY(mg_buffer_add(&purpose, repository));
    return mg_hkdf(mg_view_of(key, MG_KEY_BYTES), MG_VIEW_EMPTY, mg_buffer_view(&purpose), ret_key,
                   MG_KEY_BYTES);
}

MG_HANDLER_PUBLIC(backup_key)
{
    TRY(mg_keys_limit(call, MG_REQUEST_backup_key));
    OWN_KEY(key, MG_KEY_BYTES);
    OWN_KEY(passphrase, MG_KEY_BYTES);
    OWN_KEY(inventory, MG_KEY_BYTES);
    OWN_BUFFER(text, 64);
    if (request->repository.length == 0)
        return fail_with(INVALID, "a backup key names its repository");
    TRY(mg_keys_note_use(mg_call_sender(call), request->tenant, mg_view_text("backup"), request->repository,
                         mg_view_text("backup"), false));
    TRY(backup_key_find(call, request->tenant, MG_KEY_BACKUP, key));
    TRY(derive(key, "passphrase", request->repository, passphrase));
    TRY(derive(key, "inventory", request->repository, inventory));
    TRY(mg_base64url(mg_view_of(passphrase, sizeof passphrase), &text));
    const struct mg_reply_backup_key reply = {.passphrase = mg_buffer_view(&text),
                                              .inventory = mg_view_of(inventory, sizeof inventory)};
    return mg_answer_backup_key(call, &reply);
}

/* A key of its own: who learns the passphrases of repositories opens no vault, and the other way round. */
MG_HANDLER_PUBLIC(vault_key)
{
    TRY(mg_keys_limit(call, MG_REQUEST_vault_key));
    OWN_KEY(key, MG_KEY_BYTES);
    OWN_KEY(seal, MG_KEY_BYTES);
    TRY(mg_keys_note_use(mg_call_sender(call), request->tenant, mg_view_text("vault"), mg_view_text("vault"),
                         mg_view_text("vault"), false));
    TRY(backup_key_find(call, request->tenant, MG_KEY_VAULT, key));
    TRY(derive(key, "seal", mg_view_text("vault"), seal));
    return mg_answer_vault_key(call, &(struct mg_reply_vault_key){.key = mg_view_of(seal, sizeof seal)});
}
