/* What the prober asks about sign-in: accounts to try it with, and how the stored passwords look.
 * A canary account owns nothing, has no role, and gets a new random password for each round of
 * probes; every time that is recorded. */
#include "process/authority/identity_risk.h"

#include "base/secret.h"
#include "domain/drill.h"
#include "ports/password_hash.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    const char *login, *name;
    const char *role; /* with one: in the drill's tenant alone, which is no customer's */
} canaries[] = {
    {"masugata-probe", "Masugata probe / 検査用", ""},
    {"masugata-probe-lock", "Masugata probe (lock) / 検査用 (ロック)", ""},
    {"masugata-probe-second", "Masugata probe (second factor) / 検査用 (第 2 要素)", ""},
    {"masugata-probe-administrator", "Masugata probe (administrator) / 検査用 (管理者)", "administrator"},
    {"masugata-probe-approver", "Masugata probe (approver) / 検査用 (承認者)", "approver"},
    {"masugata-probe-auditor", "Masugata probe (auditor) / 検査用 (監査者)", "auditor"},
    {"masugata-probe-user", "Masugata probe (user) / 検査用 (利用者)", "user"},
    {"masugata-probe-password", "Masugata probe (password) / 検査用 (パスワード)", "user"},
    {"masugata-probe-risk", "Masugata probe (adaptive) / 検査用 (適応型)", ""},
    {MG_DRILL_PERSON, "Masugata probe (identity provider) / 検査用 (IdP)", "user"},
};
enum { SECOND = 2, WITH_A_PAST = 8, RECOVERY_CODES = 60 }; /* more than the probes of one round sign in */

bool
mg_canary_is_login(struct mg_view folded)
{
    for (size_t i = 0; i < MG_COUNT(canaries); i++)
        if (mg_view_is(folded, canaries[i].login))
            return true;
    return false;
}

static CHECKED struct mg_status
account_ensure(struct mg_database *database, uint64_t tenant, size_t which, mg_instant now,
               struct mg_rows **ret_rows, struct mg_account *ret_account)
{
    const struct mg_view login = mg_view_text(canaries[which].login);
    const struct mg_status status = mg_account_find(database, tenant, login, ret_rows, ret_account);
    if (status.code != MG_NOT_FOUND)
        return status;
    TRY(mg_identity_note(&(struct mg_audit_note){
        .event = MG_EVENT_user_create, .tenant = tenant, .target = login, .outcome = MG_AUDIT_SUCCESS}));
    OWN(rows) inserted = NULL;
    TRY(mg_query(
        database, &inserted,
        "INSERT INTO account (tenant, login, name, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        MG_I64(tenant), MG_TEXT(login), MG_TEXT(mg_view_text(canaries[which].name)), MG_INSTANT(now)));
    return mg_account_find(database, tenant, login, ret_rows, ret_account);
}

/* A new password, no lock, no failures, no sessions, no past. */
static CHECKED struct mg_status
account_renew(struct mg_database *database, const struct mg_account *account, struct mg_view password,
              const char *role, mg_instant now)
{
    uint64_t ended = 0;
    OWN_BUFFER(sealed, 4096);
    OWN(rows) updated = NULL;
    TRY(mg_password_seal(account->tenant, account->id, password, &sealed));
    TRY(mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_user_change,
                                                 .tenant = account->tenant,
                                                 .target = account->login,
                                                 .reason = mg_view_text("a round of probes"),
                                                 .outcome = MG_AUDIT_SUCCESS}));
    OWN_EFFECTS(true);
    TRY(mg_query(database, &updated,
                 "WITH h AS (DELETE FROM sign_in_history WHERE account = $1),"
                 " d AS (DELETE FROM sign_in_device WHERE account = $1)"
                 "UPDATE account SET password_sealed = $2, password_changed_at = $3, must_change = false,"
                 " disabled_at = NULL, locked_at = NULL, roles = $4, risk_since = NULL WHERE id = $1",
                 MG_I64(account->id), MG_BYTES(mg_buffer_view(&sealed)), MG_INSTANT(now), MG_STRING(role)));
    TRY(mg_attempt_clear(database, account->tenant, account->login));
    return mg_families_end(database, &(struct mg_family_match){.account = account->id}, &ended);
}

/* A second factor whose secret nobody knows, where it is demanded or tried; in a tenant with recovery codes,
 * so that the probes get in. Among the operators without: whoever has that password still never gets in. */
static CHECKED struct mg_status
factors_renew(struct mg_database *database, const struct mg_core_tenant *tenant,
              const struct mg_account *account, size_t which, mg_instant now, struct mg_buffer *recovery)
{
    uint64_t removed = 0;
    const struct mg_second_factor_facts facts = mg_second_factor_facts_of(tenant, account);
    TRY(mg_factors_clear(database, account, &removed));
    if (which != SECOND && !mg_second_factor_must_have(&facts))
        return OK;
    TRY(mg_factor_make_unknown(database, account, now));
    return tenant->number == 0 ? OK : mg_recovery_make(database, account, RECOVERY_CODES, recovery);
}

MG_HANDLER_PUBLIC(canary_account)
{
    struct mg_core_tenant tenant;
    struct mg_account account;
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_KEY(bytes, 32);
    OWN_KEY(device, MG_TOKEN_BYTES);
    struct mg_view device_view = MG_VIEW_EMPTY;
    OWN_BUFFER(password, 64);
    OWN_BUFFER(recovery, 1024);
    const mg_instant now = mg_now();
    if (request->which >= MG_COUNT(canaries) || (request->tenant == 0 && request->which != SECOND))
        return fail(INVALID);
    if (canaries[request->which].role[0] != '\0' && request->tenant != MG_DRILL_NUMBER)
        return fail(INVALID);
    TRY(mg_core_tenant(request->tenant, &tenant));
    if (!tenant.open)
        return mg_answer_canary_account(call, &(struct mg_reply_canary_account){.outcome = MG_TENANT_CLOSED});
    mg_random(bytes, sizeof bytes);
    TRY(mg_base64url(mg_view_of(bytes, sizeof bytes), &password));
    TRY(mg_core_database(&database));
    TRY(account_ensure(database, tenant.number, (size_t) request->which, now, &rows, &account));
    TRY(factors_renew(database, &tenant, &account, (size_t) request->which, now, &recovery));
    account.has_second_factor = request->which == SECOND || recovery.length != 0;
    const struct mg_second_factor_facts facts = mg_second_factor_facts_of(&tenant, &account);
    const bool asked = mg_second_factor_judge(&facts) == MG_DEMAND_GIVE;
    TRY(account_renew(database, &account, mg_buffer_view(&password), canaries[request->which].role, now));
    if (request->which == WITH_A_PAST) {
        TRY(mg_risk_canary_past(database, &account, now, device));
        device_view = mg_view_of(device, sizeof device);
    }
    return mg_answer_canary_account(call,
                                    &(struct mg_reply_canary_account){.outcome = MG_GRANTED,
                                                                      .login = account.login,
                                                                      .password = mg_buffer_view(&password),
                                                                      .recovery = mg_buffer_view(&recovery),
                                                                      .device = device_view,
                                                                      .second_factor = asked});
}

/* ---- how the stored passwords look ---- */

static bool
is_weak(const struct mg_password_parsed *parsed)
{
    const struct mg_options *options = mg_environment()->options;
    if (parsed->scheme != MG_PASSWORD_ARGON2ID)
        return false; /* imported: bounded by the parser, replaced at the next sign-in */
    return parsed->cost.memory_kib < (uint64_t) options->password_argon2_memory_kib ||
           parsed->cost.passes < (uint64_t) options->password_argon2_passes || parsed->salt_length < 16 ||
           parsed->tag_length < 32;
}

static void
count_hash(struct mg_view hash, struct mg_reply_stored_passwords *counts)
{
    struct mg_password_parsed parsed;
    if (!mg_ok(mg_password_parse(hash, &parsed))) {
        counts->foreign++;
        return;
    }
    counts->weak += is_weak(&parsed);
    counts->argon2id += parsed.scheme == MG_PASSWORD_ARGON2ID;
    counts->bcrypt += parsed.scheme == MG_PASSWORD_BCRYPT;
    counts->yescrypt += parsed.scheme == MG_PASSWORD_YESCRYPT;
    counts->foreign += parsed.scheme == MG_PASSWORD_SHA512CRYPT;
}

static CHECKED struct mg_status
count_account(const struct mg_account *account, struct mg_reply_stored_passwords *counts)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_unseal opened;
    counts->users++;
    const struct mg_status status = mg_password_unseal(account, "probe", &opened, &storage);
    if (status.code == MG_INTEGRITY || status.code == MG_CRYPTO || status.code == MG_MALFORMED) {
        counts->unreadable++;
        return OK;
    }
    TRY(status);
    count_hash(opened.plaintext, counts);
    return OK;
}

/* All accounts with a password, a page at a time. */
MG_HANDLER_PUBLIC(stored_passwords)
{
    enum { PAGE = 200 };
    struct mg_reply_stored_passwords counts = {.users = 0};
    (void) request;
    OWN(database) database = NULL;
    TRY(mg_core_database(&database));
    uint64_t after = 0;
    for (size_t count = PAGE; count == PAGE;) {
        OWN(rows) rows = NULL;
        TRY(mg_query(database, &rows,
                     "SELECT " MG_ACCOUNT_COLUMNS
                     " FROM account acc WHERE acc.id > $1 AND acc.password_sealed IS NOT NULL"
                     " ORDER BY acc.id LIMIT $2",
                     MG_I64(after), MG_I64(PAGE)));
        count = mg_rows_count(rows);
        for (size_t i = 0; i < count; i++) {
            struct mg_account account;
            if (!mg_account_read(rows, i, 0, &account))
                return fail(DATABASE);
            TRY(count_account(&account, &counts));
            after = account.id;
        }
    }
    return mg_answer_stored_passwords(call, &counts);
}

/* ---- how old operators' passwords are ---- */

MG_HANDLER_PUBLIC(operator_passwords)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    const mg_instant now = mg_now();
    struct mg_reply_operator_passwords reply = {.most_ms =
                                                    mg_environment()->options->operators_password_max_age};
    (void) request;
    TRY(mg_core_database(&database));
    TRY(mg_query(database, &rows,
                 "SELECT password_changed_at FROM account WHERE tenant = 0 AND password_sealed IS NOT NULL"));
    reply.passwords = mg_rows_count(rows);
    for (size_t i = 0; i < reply.passwords; i++) {
        const bool known = !mg_rows_null(rows, i, 0);
        const int64_t age_ms = known ? now - mg_rows_instant(rows, i, 0) : INT64_MAX;
        reply.too_old += !known || (reply.most_ms != 0 && age_ms > reply.most_ms);
        if (known && age_ms > reply.oldest_ms)
            reply.oldest_ms = age_ms;
    }
    return mg_answer_operator_passwords(call, &reply);
}
