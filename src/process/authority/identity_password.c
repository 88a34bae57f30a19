#include "process/authority/identity.h"

#include "domain/password_policy.h"
#include "domain/tenant_policy.h"
#include "process/authority/tenants.h"

#include <inttypes.h>
#include <stdio.h>

void
mg_password_check_drop(struct mg_password_check *check)
{
    mg_buffer_drop(&check->normalised);
    mg_apart_drop(&check->hashing);
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
mg_password_check_begin(const struct mg_account *account, struct mg_view typed, const char *purpose,
                        struct mg_password_check *ret_check)
{
    OWN_BUFFER(unsealed, MG_PACKET_MOST);
    struct mg_reply_unseal opened = {0};
    *ret_check = (struct mg_password_check){.normalised = MG_BUFFER(16 * MG_PASSWORD_MOST_BYTES)};
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
    ret_check->possible = possible;
    ret_check->stale = opened.stale;
    return mg_begin_password_verify(&request, MG_IDENTITY_CALL_MS, &ret_check->hashing);
}

struct mg_status
mg_password_check_end(struct mg_password_check *check)
{
    struct mg_reply_password_verify reply;
    TRY(mg_end_password_verify(check->hashing, &reply));
    mg_work_took((int64_t) reply.took_ms);
    check->match = check->possible && reply.match;
    check->renew = check->match && (reply.rehash_needed || check->stale);
    return OK;
}

/* The words that the tenant's administrators do not allow in passwords. */
struct words {
    struct mg_view normalised;
    struct mg_status status;
    bool has;
};

static void
words_judge(void *context, const struct mg_tenant_policy *policy)
{
    struct words *words = context;
    words->status = policy == NULL
                        ? fail_with(REFUSED, "a tenant without a policy")
                        : mg_password_has_word(words->normalised,
                                               mg_view_text(policy->settings.password_words), &words->has);
}

struct mg_status
mg_password_check(const struct mg_account *account, struct mg_view typed, const char *purpose,
                  struct mg_password_check *ret_check)
{
    TRY(mg_password_check_begin(account, typed, purpose, ret_check));
    return mg_password_check_end(ret_check);
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
    TRY(mg_password_judge(mg_buffer_view(normalised), tenant->password.least, &context, ret_outcome));
    if (*ret_outcome != MG_GRANTED ||
        tenant->number == 0) /* the operators' passwords have no tenant's rules */
        return OK;
    struct words words = {.normalised = mg_buffer_view(normalised), .has = true};
    mg_tenants_policy_read(tenant->number, words_judge, &words);
    if (mg_ok(words.status) && words.has)
        *ret_outcome = MG_PASSWORD_HAS_WORD;
    return words.status;
}

/* ---- passwords that were ---- */

static CHECKED struct mg_status
past_matches(const struct mg_account *account, struct mg_view sealed, struct mg_view normalised,
             bool *ret_match)
{
    OWN_BUFFER(unsealed, MG_PACKET_MOST);
    OWN_BUFFER(storage, 512);
    struct mg_reply_unseal opened;
    struct mg_reply_password_verify reply;
    struct mg_account past = *account;
    past.password_sealed = sealed;
    const struct mg_status status = mg_password_unseal(&past, "password-history", &opened, &unsealed);
    if (status.code == MG_INTEGRITY) /* sealed under a key that is gone: nobody can compare it any more */
        return OK;
    TRY(status);
    const struct mg_request_password_verify request = {.password = normalised, .hash = opened.plaintext};
    TRY(mg_call_password_verify(&request, &reply, &storage, MG_IDENTITY_CALL_MS));
    *ret_match = reply.match;
    return OK;
}

/* Control: IDENTITY_07 */
struct mg_status
mg_password_was_used(struct mg_database *database, const struct mg_core_tenant *tenant,
                     const struct mg_account *account, struct mg_view normalised, bool *ret_used)
{
    OWN(rows) rows = NULL;
    *ret_used = false;
    if (tenant->password.history == 0 && tenant->password.max_age_ms == 0)
        return OK;
    if (account->password_sealed.length != 0)
        TRY(past_matches(account, account->password_sealed, normalised, ret_used));
    TRY(mg_query(database, &rows,
                 "SELECT sealed FROM password_past WHERE account = $1 ORDER BY replaced_at DESC LIMIT $2",
                 MG_I64(account->id),
                 MG_I64(tenant->password.history == 0 ? 0 : tenant->password.history - 1)));
    for (size_t i = 0; i < mg_rows_count(rows) && !*ret_used; i++)
        TRY(past_matches(account, mg_rows_bytes(rows, i, 0), normalised, ret_used));
    return OK;
}

struct mg_status
mg_password_keep_past(struct mg_database *database, const struct mg_core_tenant *tenant,
                      const struct mg_account *account, mg_instant now)
{
    return mg_query(
        database, NULL,
        "WITH d AS (DELETE FROM password_past WHERE account = $1 AND replaced_at NOT IN"
        " (SELECT replaced_at FROM password_past WHERE account = $1 ORDER BY replaced_at DESC LIMIT $3))"
        " INSERT INTO password_past (account, replaced_at, sealed) SELECT id, $2, password_sealed FROM account"
        " WHERE id = $1 AND password_sealed IS NOT NULL AND $3 > 0",
        MG_I64(account->id), MG_INSTANT(now), MG_I64(tenant->password.history));
}

bool
mg_password_is_due(const struct mg_core_tenant *tenant, const struct mg_account *account, mg_instant now)
{
    const int64_t most_ms = tenant->password.max_age_ms;
    /* Of an operator's password the last day of its life is not the first of being asked. */
    const int64_t due_ms = tenant->number == 0 ? most_ms - most_ms / 10 : most_ms;
    return most_ms != 0 && account->changed_at <= now - due_ms;
}

/* ---- operators.password.max_age ---- */

static CHECKED struct mg_status
operator_end(struct mg_database *database, const struct mg_rows *rows, size_t row)
{
    uint64_t ended = 0;
    TRY(mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_password_expire,
                                                 .target = mg_rows_text(rows, row, 1),
                                                 .reason = mg_view_text("operators.password.max_age"),
                                                 .outcome = MG_AUDIT_SUCCESS}));
    OWN_EFFECTS(true);
    TRY(mg_query(database, NULL, "UPDATE account SET password_sealed = NULL WHERE id = $1",
                 MG_I64(mg_rows_i64(rows, row, 0))));
    return mg_families_end(
        database, &(struct mg_family_match){.account = (uint64_t) mg_rows_i64(rows, row, 0)}, &ended);
}

/* Control: IDENTITY_08 */
struct mg_status
mg_password_operators_end(mg_instant now)
{
    enum { AT_ONCE = 100 };
    const int64_t most_ms = mg_environment()->options->operators_password_max_age;
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    if (most_ms == 0)
        return OK;
    TRY(mg_core_database(&database));
    TRY(mg_query(database, &rows,
                 "SELECT id, login FROM account WHERE tenant = 0 AND password_sealed IS NOT NULL"
                 " AND (password_changed_at IS NULL OR password_changed_at <= $1) ORDER BY id LIMIT $2",
                 MG_INSTANT(now - most_ms), MG_I64(AT_ONCE)));
    for (size_t i = 0; i < mg_rows_count(rows); i++)
        TRY(operator_end(database, rows, i));
    return OK;
}
