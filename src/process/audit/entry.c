#include "base/secret.h"
#include "ports/audit_leaf.h"
#include "ports/crypto.h"
#include "process/audit/audit.h"
#include "wire/ocsf.h"

/* A request of 8 KiB, every byte of it escaped. */
#define JSON_MOST 65535

/* A name that is nobody's (a password typed into the wrong field, perhaps) is kept as a hash under the
 * month's key: equal names can be counted within a month, and are erased with it. */
static CHECKED struct mg_status
name_hash(const uint8_t month_key[32], struct mg_view name, char text[33])
{
    OWN_BUFFER(input, 512);
    TRY(mg_buffer_add_text(&input, "masugata unknown name v1\n"));
    TRY(mg_buffer_add(&input, name));
    uint8_t hash[32];
    TRY(mg_hmac_sha256(mg_view_of(month_key, 32), mg_buffer_view(&input), hash));
    mg_hex(mg_view_of(hash, 16), text);
    return OK;
}

/* A salt from a stock of them: one call of the kernel for 128 leaves. */
static void
salt_take(uint8_t salt[MG_LEAF_SALT])
{
    static _Thread_local uint8_t stock[128][MG_LEAF_SALT];
    static _Thread_local size_t left;
    if (left == 0) {
        mg_random(stock, sizeof stock);
        left = MG_COUNT(stock);
    }
    memcpy(salt, stock[--left], MG_LEAF_SALT);
}

struct mg_status
mg_entry_seal(const struct mg_request_audit_append *request, enum mg_process sender, mg_instant time,
              struct mg_buffer *leaf)
{
    static _Thread_local struct mg_buffer json = MG_BUFFER(JSON_MOST);
    OWN_KEY(key, 32);
    char hash[33] = "";
    uint8_t salt[MG_LEAF_SALT];
    const uint32_t month = mg_month_of(time);
    TRY(mg_month_key(request->tenant, month, key));
    if (request->actor_kind == MG_ACTOR_UNKNOWN && request->actor_name.length != 0)
        TRY(name_hash(key, request->actor_name, hash));
    const struct mg_ocsf_stamp stamp = {.sender = sender, .time = time, .name_hash = mg_view_text(hash)};
    mg_buffer_clear(&json);
    TRY(mg_ocsf_add(&json, request, &stamp));
    salt_take(salt);
    return mg_leaf_seal(key, request->tenant, month, salt, mg_buffer_view(&json), leaf);
}

struct mg_status
mg_entry_open(struct mg_view leaf, struct mg_buffer *json)
{
    uint64_t tenant;
    uint32_t month;
    OWN_KEY(month_key, 32);
    OWN_KEY(key, 32);
    TRY(mg_leaf_place(leaf, &tenant, &month));
    const struct mg_status status = mg_month_key(tenant, month, month_key);
    if (status.code == MG_NOT_FOUND)
        return mg_buffer_format(json, "{\"erased\":true,\"metadata\":{\"tenant_uid\":\"%llu\"},\"month\":%u}",
                                (unsigned long long) tenant, (unsigned) month);
    TRY(status);
    TRY(mg_leaf_key(month_key, leaf, key));
    return mg_leaf_open(key, leaf, json);
}
