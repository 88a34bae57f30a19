/* Invitations: accounts that were made without a password and whose person has not come yet. The link in the
 * mail is a ticket of kind `invite` (identity_reset.c): only its hash is stored, it expires, and it counts
 * once. */
#include "domain/login.h"
#include "process/authority/requests.h"
#include "process/authority/rights.h"

enum { PAGE_ROWS = 100 };

/* Nobody has come with it yet: no password, nobody linked at a provider, never signed in. */
#define STILL_INVITED                                                                         \
    " acc.invited_at IS NOT NULL AND acc.password_sealed IS NULL AND acc.disabled_at IS NULL" \
    " AND acc.last_sign_in_at IS NULL"                                                        \
    " AND NOT EXISTS (SELECT 1 FROM account_link l WHERE l.account = acc.id)"

struct mg_status
mg_invitation_send(struct mg_database *database, const struct mg_account *account,
                   const struct mg_core_actor *actor, mg_instant now)
{
    return mg_query(
        database, NULL,
        "WITH t AS (DELETE FROM ticket WHERE account = $2 AND kind = 'invite'),"
        " m AS (DELETE FROM mail WHERE account = $2 AND kind = 'invite'),"
        " a AS (UPDATE account SET invited_at = $4, invited_by = $5 WHERE id = $2)"
        " INSERT INTO mail (tenant, account, kind, language, asked_at, due_at) VALUES ($1, $2, 'invite', $3, $4, $4)",
        MG_I64(account->tenant), MG_I64(account->id), MG_TEXT(account->language), MG_INSTANT(now),
        MG_STRING(actor->name));
}

/* ---- list ---- */

static CHECKED struct mg_status
row_add(const struct mg_rows *rows, size_t row, mg_instant now, struct mg_buffer *list)
{
    const mg_instant ends_at = mg_rows_null(rows, row, 6) ? 0 : mg_rows_instant(rows, row, 6);
    const struct mg_record_invitation_row record = {
        .login = mg_rows_text(rows, row, 0),
        .name = mg_rows_text(rows, row, 1),
        .email = mg_rows_text(rows, row, 2),
        .roles = mg_rows_text(rows, row, 3),
        .invited_by = mg_rows_text(rows, row, 4),
        .invited_at = mg_rows_instant(rows, row, 5),
        .ends_at = ends_at,
        .state = mg_rows_flag(rows, row, 7) ? MG_INVITATION_WAITING
                 : ends_at > now            ? MG_INVITATION_OPEN
                                            : MG_INVITATION_EXPIRED,
    };
    return mg_list_add_invitation_row(list, &record);
}

MG_HANDLER_PUBLIC(invitation_list)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, 122880);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    const mg_instant now = mg_now();
    TRY(MG_RIGHT_ASK(invitation_list, call, request->session, request->tenant, &right, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_invitation_list(call, &(struct mg_reply_invitation_list){.outcome = outcome});
    TRY(mg_core_database(&database));
    TRY(mg_query(database, &rows,
                 "SELECT acc.login, acc.name, acc.email, acc.roles, acc.invited_by, acc.invited_at,"
                 " (SELECT max(t.expires_at) FROM ticket t WHERE t.account = acc.id AND t.kind = 'invite'),"
                 " EXISTS (SELECT 1 FROM mail m WHERE m.account = acc.id AND m.kind = 'invite')"
                 " FROM account acc WHERE acc.tenant = $1 AND acc.login > $2 AND" STILL_INVITED
                 " ORDER BY acc.login LIMIT $3",
                 MG_I64(right.tenant.number), MG_TEXT(request->after), MG_I64(PAGE_ROWS + 1)));
    const size_t count = mg_rows_count(rows);
    for (size_t i = 0; i < count && i < PAGE_ROWS; i++)
        TRY(row_add(rows, i, now, &list));
    return mg_answer_invitation_list(
        call, &(struct mg_reply_invitation_list){.outcome = MG_GRANTED,
                                                 .more = count > PAGE_ROWS,
                                                 .invitations = {.bytes = mg_buffer_view(&list)}});
}

/* ---- withdrawal ---- */

/* The row is held from the look on: whoever accepts at the same moment is either before it (then there is
 * nothing to withdraw) or finds the account gone. */
static CHECKED struct mg_status
withdraw(struct mg_database *database, const struct mg_right *right, struct mg_view folded,
         enum mg_outcome *ret_outcome)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    mg_permissions held = 0;
    *ret_outcome = MG_NOT_KNOWN;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(
        database, &rows,
        "SELECT acc.id, acc.roles FROM account acc WHERE acc.tenant = $1 AND acc.login = $2 AND" STILL_INVITED
        " FOR UPDATE",
        MG_I64(right->tenant.number), MG_TEXT(folded)));
    if (mg_rows_count(rows) != 1)
        return OK;
    *ret_outcome = MG_MORE_THAN_YOURS;
    TRY(mg_right_of_roles(database, right->tenant.number, mg_rows_text(rows, 0, 1), &held));
    if (!right->operator&& !mg_permissions_cover(right->grantable, held))
        return OK;
    TRY(mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_invitation_revoke,
                                                 .tenant = right->tenant.number,
                                                 .actor = &right->actor,
                                                 .target = folded,
                                                 .outcome = MG_AUDIT_SUCCESS}));
    TRY(mg_query(database, NULL, "DELETE FROM account WHERE id = $1", MG_I64(mg_rows_i64(rows, 0, 0))));
    TRY(mg_transaction_commit(&transaction));
    *ret_outcome = MG_GRANTED;
    return OK;
}

MG_HANDLER_PUBLIC(invitation_revoke)
{
    OWN(database) database = NULL;
    OWN_BUFFER(folded, 1024);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(invitation_revoke, call, request->session, request->tenant, &right, &outcome));
    if (outcome == MG_GRANTED && !mg_ok(mg_login_fold(request->login, &folded)))
        outcome = MG_NOT_KNOWN;
    if (outcome == MG_GRANTED) {
        TRY(mg_core_database(&database));
        TRY(withdraw(database, &right, mg_buffer_view(&folded), &outcome));
    }
    return mg_answer_invitation_revoke(call, &(struct mg_reply_invitation_revoke){.outcome = outcome});
}
