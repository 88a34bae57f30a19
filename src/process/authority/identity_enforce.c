/* After a policy changed: the sign-ins that it would not have allowed end. */
#include "process/authority/identity_factor.h"

#include "domain/sign_in_method.h"

enum { PAGE = 200, FAMILY = MG_ACCOUNT_COLUMN_COUNT, KIND, FEDERATED };

/* Why the tenant's policy would not let this sign-in begin; NULL if it would. */
/* Control: IDENTITY_04 */
static const char *
objection(const struct mg_core_tenant *tenant, const struct mg_account *account, struct mg_view kind,
          bool federated)
{
    const bool alone = mg_view_is(kind, MG_PASSKEY_ALONE);
    const struct mg_sign_in_shown shown = {.by_password = !alone && !federated,
                                           .by_provider = federated,
                                           .passkey = alone || mg_view_is(kind, "passkey")};
    const struct mg_second_factor_facts facts = mg_second_factor_facts_of(tenant, account);
    if (!mg_sign_in_method_allowed(tenant->methods, &shown) && !mg_canary_is_login(account->login))
        return "METHOD";
    /* What a provider asks for besides is its own matter. */
    return kind.length == 0 && !federated && mg_second_factor_must_have(&facts) ? "SECOND_FACTOR" : NULL;
}

static CHECKED struct mg_status
enforce_one(struct mg_database *database, const struct mg_core_tenant *tenant, const struct mg_rows *rows,
            size_t row)
{
    struct mg_account account;
    uint64_t ended = 0;
    if (!mg_account_read(rows, row, 0, &account))
        return OK;
    const char *reason =
        objection(tenant, &account, mg_rows_text(rows, row, KIND), mg_rows_flag(rows, row, FEDERATED));
    if (reason == NULL)
        return OK;
    const struct mg_core_actor actor = mg_actor_account(&account);
    const uint64_t family = (uint64_t) mg_rows_i64(rows, row, FAMILY);
    TRY(mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_session_end,
                                                 .tenant = account.tenant,
                                                 .actor = &actor,
                                                 .outcome = MG_AUDIT_SUCCESS,
                                                 .reason = mg_view_text(reason),
                                                 .family = family}));
    return mg_families_end(database, &(struct mg_family_match){.family = family}, &ended);
}

struct mg_status
mg_sign_ins_enforce(const struct mg_core_tenant *tenant)
{
    OWN(database) database = NULL;
    int64_t after = 0;
    TRY(mg_core_database(&database));
    OWN_EFFECTS(true); /* none starts meanwhile that was judged by the policy before */
    for (size_t count = PAGE; count == PAGE;) {
        OWN(rows) rows = NULL;
        TRY(mg_query(
            database, &rows,
            "SELECT " MG_ACCOUNT_COLUMNS ", f.id, f.second_factor,"
            " EXISTS (SELECT 1 FROM family_federation p WHERE p.family = f.id)"
            " FROM session_family f JOIN account acc ON acc.id = f.account"
            " WHERE f.tenant = $1 AND f.id > $2 AND ($4 OR f.second_factor = '') ORDER BY f.id LIMIT $3",
            MG_I64(tenant->number), MG_I64(after), MG_I64(PAGE),
            MG_FLAG(tenant->methods !=
                    MG_METHODS_ALL))); /* only a method can speak against a second factor */
        count = mg_rows_count(rows);
        for (size_t i = 0; i < count; i++) {
            after = mg_rows_i64(rows, i, FAMILY);
            TRY(enforce_one(database, tenant, rows, i));
        }
    }
    return OK;
}
