#include "process/authority/identity.h"

#include "domain/password_policy.h"

#include <inttypes.h>
#include <stdio.h>

void
mg_password_check_drop(struct mg_password_check *check)
{
    mg_buffer_drop(&check->normalised);
}

/* Where a password hash lies; what it is sealed to (table, column, row). */
static void
row_name(uint64_t account, char row[24])
{
    (void) snprintf(row, 24, "%" PRIu64, account);
}

struct mg_status
mg_password_unseal(const struct mg_account *account, const char *purpose, struct mg_reply_unseal *ret_reply,
                   struct mg_buffer *storage)
{
    char row[24];
    row_name(account->id, row);
    const struct mg_request_unseal request = {
        .tenant = account->tenant,
        .table = mg_view_text("account"),
        .column = mg_view_text("password"),
        .row = mg_view_text(row),
        .purpose = mg_view_text(purpose),
        .sealed = account->password_sealed,
    };
    return mg_call_unseal(&request, ret_reply, storage, MG_IDENTITY_CALL_MS);
}

struct mg_status
mg_password_seal_hash(uint64_t tenant, uint64_t account, struct mg_view hash, struct mg_buffer *sealed)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_seal reply;
    char row[24];
    row_name(account, row);
    const struct mg_request_seal request = {
        .tenant = tenant,
        .table = mg_view_text("account"),
        .column = mg_view_text("password"),
        .row = mg_view_text(row),
        .plaintext = hash,
    };
    TRY(mg_call_seal(&request, &reply, &storage, MG_IDENTITY_CALL_MS));
    return mg_buffer_add(sealed, reply.sealed);
}

/* Control: IDENTITY_02 */
struct mg_status
mg_password_seal(uint64_t tenant, uint64_t account, struct mg_view normalised, struct mg_buffer *sealed)
{
    OWN_BUFFER(storage, 1024);
    struct mg_reply_password_hash reply;
    const struct mg_request_password_hash request = {.password = normalised};
    TRY(mg_call_password_hash(&request, &reply, &storage, MG_IDENTITY_CALL_MS));
    return mg_password_seal_hash(tenant, account, reply.hash, sealed);
}

struct mg_status
mg_password_check(const struct mg_account *account, struct mg_view typed, const char *purpose,
                  struct mg_password_check *ret_check)
{
    OWN_BUFFER(unsealed, MG_PACKET_MOST);
    OWN_BUFFER(storage, 512);
    struct mg_reply_unseal opened = {0};
    ret_check->normalised = MG_BUFFER(16 * MG_PASSWORD_MOST_BYTES);
    bool possible = mg_ok(mg_password_normalise(typed, &ret_check->normalised)) &&
                    ret_check->normalised.length <= MG_PASSWORD_MOST_BYTES;
    if (account != NULL && account->password_sealed.length != 0)
        TRY(mg_password_unseal(account, purpose, &opened, &unsealed));
    else
        possible = false;
    /* Other systems hashed the bytes as they were typed; ours are of the normalised text. */
    static const char ours[] = "$argon2";
    const bool imported = opened.plaintext.length < sizeof ours - 1 ||
                          memcmp(opened.plaintext.bytes, ours, sizeof ours - 1) != 0;
    /* What cannot match is compared with the hasher's dummy: the same work, never true. */
    const struct mg_request_password_verify request = {
        .password = !possible  ? MG_VIEW_EMPTY
                    : imported ? typed
                               : mg_buffer_view(&ret_check->normalised),
        .hash = possible ? opened.plaintext : MG_VIEW_EMPTY,
    };
    struct mg_reply_password_verify reply;
    TRY(mg_call_password_verify(&request, &reply, &storage, MG_IDENTITY_CALL_MS));
    mg_work_took((int64_t) reply.took_ms);
    ret_check->match = possible && reply.match;
    ret_check->renew = ret_check->match && (reply.rehash_needed || opened.stale);
    return OK;
}

struct mg_status
mg_password_new_judge(const struct mg_core_tenant *tenant, const struct mg_account *account,
                      struct mg_view typed, struct mg_buffer *normalised, enum mg_outcome *ret_outcome)
{
    struct mg_password_context context = {0};
    mg_password_context_add(&context, account->login);
    mg_password_context_add(&context, account->name);
    mg_password_context_add(&context, account->email);
    mg_password_context_add(&context, mg_view_text(tenant->name));
    mg_password_context_add(&context, mg_view_text(tenant->label));
    mg_password_context_add(&context, mg_view_text("masugata"));
    if (!mg_view_is_utf8(typed)) {
        *ret_outcome = MG_NOT_VALID;
        return OK;
    }
    if (typed.length > MG_PASSWORD_MOST_BYTES) {
        *ret_outcome = MG_PASSWORD_TOO_LONG;
        return OK;
    }
    TRY(mg_password_normalise(typed, normalised));
    const size_t least = (size_t) mg_environment()->options->password_minimum_length;
    return mg_password_judge(mg_buffer_view(normalised), least, &context, ret_outcome);
}
