/* One user of a tenant: everything about the account, the roles, and the confirmation that it is still
 * needed. */
#include "domain/group_roles.h"
#include "domain/login.h"
#include "domain/role.h"
#include "process/authority/requests.h"
#include "process/authority/rights.h"

struct subject {
    struct mg_rows *rows;
    struct mg_account account;
};

static void
subject_drop(struct subject *subject)
{
    mg_rows_drop(&subject->rows);
}

/* NOT_KNOWN unless the tenant has a user of that name. */
static CHECKED struct mg_status
subject_find(struct mg_database *database, uint64_t tenant, struct mg_view login, struct subject *subject,
             enum mg_outcome *ret_outcome)
{
    OWN_BUFFER(folded, 1024);
    *ret_outcome = MG_NOT_KNOWN;
    if (!mg_ok(mg_login_fold(login, &folded)))
        return OK;
    const struct mg_status status =
        mg_account_find(database, tenant, mg_buffer_view(&folded), &subject->rows, &subject->account);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    *ret_outcome = MG_GRANTED;
    return OK;
}

/* ---- user_detail ---- */

MG_HANDLER_PUBLIC(user_detail)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(text, 4096);
    MG_CLEANUP(subject_drop) struct subject subject = {0};
    struct mg_right right;
    struct mg_reply_user_detail reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    mg_permissions held = 0;
    mg_instant locked_until = 0;
    const mg_instant now = mg_now();
    TRY(MG_RIGHT_ASK(user_detail, call, request->session, request->tenant, &right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(subject_find(database, right.tenant.number, request->login, &subject, &outcome));
    if (outcome != MG_GRANTED) {
        reply.outcome = outcome;
        return mg_answer_user_detail(call, &reply);
    }
    const struct mg_account *account = &subject.account;
    TRY(mg_query(
        database, &rows,
        "SELECT created_at, last_sign_in_at, coalesce(roles_changed_at, created_at), reviewed_at,"
        " reviewed_by, (SELECT count(*) FROM session_family f WHERE f.account = acc.id AND f.expires_at > $2)"
        " FROM account acc WHERE id = $1",
        MG_I64(account->id), MG_INSTANT(now)));
    if (mg_rows_count(rows) != 1)
        return fail_with(NOT_FOUND, "the user is gone");
    TRY(mg_right_of_roles(database, account->tenant, account->roles, &held));
    TRY(mg_permissions_text(held, &text));
    TRY(mg_attempt_locked_until(database, account->tenant, account->login, now, &locked_until));
    if (account->locked)
        locked_until = INT64_MAX;
    reply = (struct mg_reply_user_detail){
        .outcome = MG_GRANTED,
        .user = account->id,
        .login = account->login,
        .name = account->name,
        .email = account->email,
        .roles = account->roles,
        .state = account->disabled                                           ? MG_LISTED_SUSPENDED
                 : locked_until != 0                                         ? MG_LISTED_LOCKED
                 : account->password_sealed.length == 0 && !account->service ? MG_LISTED_INVITED
                                                                             : MG_LISTED_ACTIVE,
        .locked_until = locked_until,
        .created_at = mg_rows_instant(rows, 0, 0),
        .last_sign_in_at = mg_rows_instant(rows, 0, 1),
        .sessions = (uint64_t) mg_rows_i64(rows, 0, 5),
        .password_changed_at = account->changed_at,
        .permissions = mg_buffer_view(&text),
        .roles_changed_at = mg_rows_instant(rows, 0, 2),
        .reviewed_at = mg_rows_instant(rows, 0, 3),
        .reviewed_by = mg_rows_text(rows, 0, 4),
        .yourself = right.account == account->id,
    };
    if (mg_rows_null(rows, 0, 1))
        reply.last_sign_in_at = 0;
    if (mg_rows_null(rows, 0, 3))
        reply.reviewed_at = 0;
    return mg_answer_user_detail(call, &reply);
}

/* ---- user_roles_set ---- */

static CHECKED struct mg_status
roles_judge(struct mg_database *database, const struct mg_right *right, const struct mg_account *account,
            struct mg_view roles, const char **ret_reason, enum mg_outcome *ret_outcome)
{
    const struct mg_view administrator = mg_view_text("administrator");
    bool other = false;
    TRY(mg_right_roles_judge(database, right, account->roles, roles, ret_reason, ret_outcome));
    if (*ret_outcome != MG_GRANTED || right->operator|| !mg_words_have(account->roles, administrator) ||
        mg_words_have(roles, administrator))
        return OK;
    TRY(mg_right_other_administrator(database, account->tenant, account->id, &other));
    *ret_outcome = other ? MG_GRANTED : MG_LAST_ADMINISTRATOR;
    return OK;
}

/* Words of `of` that are not among `without`, spaces between. */
static CHECKED struct mg_status
words_less(struct mg_view of, struct mg_view without, struct mg_buffer *text)
{
    for (size_t at = 0; at < of.length;) {
        size_t end = at;
        while (end < of.length && of.bytes[end] != ' ')
            end++;
        const struct mg_view one = mg_view_of(of.bytes + at, end - at);
        at = end + 1;
        if (one.length != 0 && !mg_words_have(without, one))
            TRY(mg_words_join(text, one));
    }
    return OK;
}

static CHECKED struct mg_status
roles_record(const struct mg_right *right, const struct mg_account *account, struct mg_view roles)
{
    OWN_BUFFER(given, 1024);
    OWN_BUFFER(taken, 1024);
    TRY(words_less(roles, account->roles, &given));
    TRY(words_less(account->roles, roles, &taken));
    const struct mg_core_detail details[] = {{"before", mg_view_start(account->roles, 1000)},
                                             {"after", mg_view_start(roles, 1000)}};
    struct mg_core_record record = {.tenant = account->tenant,
                                    .actor = &right->actor,
                                    .target = account->login,
                                    .details = details,
                                    .detail_count = MG_COUNT(details)};
    if (given.length != 0) {
        record.event = MG_EVENT_role_grant;
        record.reason = mg_view_start(mg_buffer_view(&given), 500);
        TRY(mg_core_record(&record));
    }
    if (taken.length != 0) {
        record.event = MG_EVENT_role_revoke;
        record.reason = mg_view_start(mg_buffer_view(&taken), 500);
        TRY(mg_core_record(&record));
    }
    return OK;
}

/* The sessions end: the table that the gate reads and the assertions made ahead carry the roles of before. */
static CHECKED struct mg_status
roles_store(struct mg_database *database, const struct mg_account *account, struct mg_view roles,
            uint64_t *ret_ended, enum mg_outcome *ret_outcome)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "UPDATE account SET roles = $2, roles_changed_at = $3 WHERE id = $1 AND roles = $4",
                 MG_I64(account->id), MG_TEXT(roles), MG_INSTANT(mg_now()), MG_TEXT(account->roles)));
    if (mg_rows_affected(rows) != 1) { /* by groups, which take no turns */
        *ret_outcome = MG_CHANGED_MEANWHILE;
        return OK;
    }
    return mg_families_end(database, &(struct mg_family_match){.account = account->id}, ret_ended);
}

/* One at a time in a tenant: of two administrators who take the role from each other at once, one stays. */
static CHECKED struct mg_status
roles_change(const struct mg_right *right, const struct mg_request_user_roles_set *request,
             struct subject *subject, const char **ret_reason, uint64_t *ret_ended,
             enum mg_outcome *ret_outcome)
{
    OWN(database) database = NULL;
    TRY(mg_core_database(&database));
    OWN_EFFECTS(true);
    OWN(transaction) transaction = NULL;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_right_administrators_lock(database, right->tenant.number));
    TRY(subject_find(database, right->tenant.number, request->login, subject, ret_outcome));
    if (*ret_outcome == MG_GRANTED)
        TRY(roles_judge(database, right, &subject->account, request->roles, ret_reason, ret_outcome));
    if (*ret_outcome == MG_GRANTED && !mg_is_as_expected(request->expected, subject->account.roles))
        *ret_outcome = MG_CHANGED_MEANWHILE;
    if (*ret_outcome != MG_GRANTED || mg_view_equal(subject->account.roles, request->roles))
        return OK;
    TRY(roles_store(database, &subject->account, request->roles, ret_ended, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(roles_record(right, &subject->account, request->roles)); /* durable before it commits */
    return mg_transaction_commit(&transaction);
}

/* Control: IDENTITY_11, IDENTITY_12 */
MG_HANDLER_PUBLIC(user_roles_set)
{
    MG_CLEANUP(subject_drop) struct subject subject = {0};
    struct mg_right right;
    struct mg_reply_user_roles_set reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    const char *reason = NULL;
    TRY(MG_RIGHT_ASK(user_roles_set, call, request->session, request->tenant, &right, &outcome));
    if (outcome == MG_GRANTED)
        TRY(roles_change(&right, request, &subject, &reason, &reply.ended, &outcome));
    reply.outcome = outcome;
    reply.reason = mg_view_text(reason);
    return mg_answer_user_roles_set(call, &reply);
}

/* ---- user_review ---- */

MG_HANDLER_PUBLIC(user_review)
{
    OWN(database) database = NULL;
    MG_CLEANUP(subject_drop) struct subject subject = {0};
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(user_review, call, request->session, MG_VIEW_EMPTY, &right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(subject_find(database, right.tenant.number, request->login, &subject, &outcome));
    if (outcome == MG_GRANTED && subject.account.id == right.account)
        outcome = MG_YOURSELF;
    if (outcome == MG_GRANTED) {
        TRY(mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_user_review,
                                                     .tenant = right.tenant.number,
                                                     .actor = &right.actor,
                                                     .target = subject.account.login,
                                                     .reason = subject.account.roles,
                                                     .outcome = MG_AUDIT_SUCCESS}));
        TRY(mg_query(database, NULL, "UPDATE account SET reviewed_at = $2, reviewed_by = $3 WHERE id = $1",
                     MG_I64(subject.account.id), MG_INSTANT(mg_now()), MG_STRING(right.actor.name)));
    }
    return mg_answer_user_review(call, &(struct mg_reply_user_review){.outcome = outcome});
}
