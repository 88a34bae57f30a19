#include "process/authority/identity.h"

bool
mg_account_read(const struct mg_rows *rows, size_t row, int first, struct mg_account *account)
{
    if (mg_rows_null(rows, row, first))
        return false;
    *account = (struct mg_account){
        .id = (uint64_t) mg_rows_i64(rows, row, first),
        .tenant = (uint64_t) mg_rows_i64(rows, row, first + 1),
        .login = mg_rows_text(rows, row, first + 2),
        .name = mg_rows_text(rows, row, first + 3),
        .email = mg_rows_text(rows, row, first + 4),
        .roles = mg_rows_text(rows, row, first + 5),
        .language = mg_rows_text(rows, row, first + 6),
        .password_sealed = mg_rows_bytes(rows, row, first + 7),
        .changed_at = mg_rows_instant(rows, row, first + 8),
        .must_change = mg_rows_flag(rows, row, first + 9),
        .disabled = mg_rows_flag(rows, row, first + 10),
        .locked = mg_rows_flag(rows, row, first + 11),
        .has_second_factor = mg_rows_flag(rows, row, first + 12),
        .service = mg_rows_flag(rows, row, first + 13),
    };
    return true;
}

struct mg_status
mg_account_find(struct mg_database *database, uint64_t tenant, struct mg_view folded_login,
                struct mg_rows **ret_rows, struct mg_account *ret_account)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "SELECT " MG_ACCOUNT_COLUMNS " FROM account acc WHERE acc.tenant = $1 AND acc.login = $2",
                 MG_I64(tenant), MG_TEXT(folded_login)));
    struct mg_account account;
    if (mg_rows_count(rows) == 0 || !mg_account_read(rows, 0, 0, &account))
        return fail_with(NOT_FOUND, "no such user");
    *ret_account = account;
    *ret_rows = TAKE(rows);
    return OK;
}

bool
mg_is_as_expected(struct mg_view expected, struct mg_view value)
{
    uint8_t hash[32];
    if (expected.length == 0)
        return true;
    return mg_ok(mg_secret_hash(value, hash)) && mg_view_equal(expected, mg_view_of(hash, sizeof hash));
}
