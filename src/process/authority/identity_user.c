/* What a tenant's administrators and operators do with users: list, add, import, disable, lock, invite. */
#include "process/authority/rights.h"

#include "base/secret.h"
#include "domain/api_token.h"
#include "domain/login.h"
#include "ports/password_hash.h"

#include <inttypes.h>
#include <stdio.h>

enum { PAGE_ROWS = 100 };

/* ---- who and whom -------------------------------------------------------------------------------------- */

struct target {
    struct mg_right right;
    struct mg_core_actor actor;
    struct mg_core_tenant tenant;
    struct mg_rows *rows;
    struct mg_account account;
};

static void
target_drop(struct target *target)
{
    mg_rows_drop(&target->rows);
}

/* Who asks and in which tenant: GRANTED, NOT_ALLOWED or NOT_KNOWN. */
static CHECKED struct mg_status
tenant_find(struct mg_call *call, enum mg_needs needs, struct mg_view session, struct mg_view name,
            struct target *target, enum mg_outcome *ret_outcome)
{
    TRY(mg_right_ask(call, (enum mg_permission) needs, session, name, &target->right, ret_outcome));
    target->actor = target->right.actor;
    target->tenant = target->right.tenant;
    return OK;
}

/* Nobody acts on an account that may do more than they may themselves. */
static CHECKED struct mg_status
reach_judge(struct mg_database *database, const struct target *target, enum mg_outcome *ret_outcome)
{
    mg_permissions held = 0;
    if (target->right.operator)
        return OK;
    TRY(mg_right_of_roles(database, target->account.tenant, target->account.roles, &held));
    if (!mg_permissions_cover(target->right.grantable, held))
        *ret_outcome = MG_MORE_THAN_YOURS;
    return OK;
}

/* The same with the user of that name. */
static CHECKED struct mg_status
user_find(struct mg_database *database, struct mg_call *call, enum mg_needs needs, struct mg_view session,
          struct mg_view tenant, struct mg_view login, struct target *target, enum mg_outcome *ret_outcome)
{
    OWN_BUFFER(folded, 1024);
    TRY(tenant_find(call, needs, session, tenant, target, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    *ret_outcome = MG_NOT_KNOWN;
    if (!mg_ok(mg_login_fold(login, &folded)))
        return OK;
    const struct mg_status status = mg_account_find(database, target->tenant.number, mg_buffer_view(&folded),
                                                    &target->rows, &target->account);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    *ret_outcome = MG_GRANTED;
    return reach_judge(database, target, ret_outcome);
}

static CHECKED struct mg_status
note(const struct target *target, enum mg_event event, struct mg_view login)
{
    return mg_identity_note(&(struct mg_audit_note){.event = event,
                                                    .tenant = target->tenant.number,
                                                    .actor = &target->actor,
                                                    .target = login,
                                                    .outcome = MG_AUDIT_SUCCESS});
}

/* ---- list ------------------------------------------------------------------------------------------------
 */

enum { CREATED_AT = MG_ACCOUNT_COLUMN_COUNT, LAST_SIGN_IN_AT, FAMILIES };

static CHECKED struct mg_status
user_row_add(struct mg_database *database, const struct mg_rows *rows, size_t row, mg_instant now,
             struct mg_buffer *list)
{
    struct mg_account account;
    mg_instant locked_until = 0;
    if (!mg_account_read(rows, row, 0, &account))
        return OK;
    TRY(mg_attempt_locked_until(database, account.tenant, account.login, now, &locked_until));
    if (account.locked)
        locked_until = INT64_MAX;
    const struct mg_record_user_row record = {
        .user = account.id,
        .login = account.login,
        .name = account.name,
        .email = account.email,
        .roles = account.roles,
        .state = account.disabled                      ? MG_LISTED_SUSPENDED
                 : locked_until != 0                   ? MG_LISTED_LOCKED
                 : account.password_sealed.length == 0 ? MG_LISTED_INVITED
                                                       : MG_LISTED_ACTIVE,
        .locked_until = locked_until,
        .created_at = mg_rows_instant(rows, row, CREATED_AT),
        .last_sign_in_at =
            mg_rows_null(rows, row, LAST_SIGN_IN_AT) ? 0 : mg_rows_instant(rows, row, LAST_SIGN_IN_AT),
        .sessions = (uint64_t) mg_rows_i64(rows, row, FAMILIES),
    };
    return mg_list_add_user_row(list, &record);
}

/* One statement for all and one for those that are looked for: as a condition of one, the search would be
 * asked of every account of the tenant. */
static CHECKED struct mg_status
list_fetch(struct mg_database *database, uint64_t tenant, struct mg_view search, struct mg_view after,
           mg_instant now, struct mg_rows **ret_rows)
{
#define LISTED                                                            \
    "SELECT " MG_ACCOUNT_COLUMNS ", acc.created_at, acc.last_sign_in_at," \
    " (SELECT count(*) FROM session_family f WHERE f.account = acc.id AND f.expires_at > $4) FROM account acc"
#define IN_ORDER " acc.tenant = $1 AND NOT acc.service AND acc.login > $2 ORDER BY acc.login LIMIT $3"
    if (search.length == 0)
        return mg_query(database, ret_rows, LISTED " WHERE" IN_ORDER, MG_I64(tenant), MG_TEXT(after),
                        MG_I64(PAGE_ROWS + 1), MG_INSTANT(now));
    return mg_query(
        database, ret_rows,
        LISTED " JOIN (SELECT a.id FROM account a WHERE a.tenant = $1 AND starts_with(a.login, $5)"
               " UNION SELECT a.id FROM account a WHERE a.tenant = $1 AND starts_with(lower(a.name), $5)"
               " UNION SELECT a.id FROM account a WHERE a.tenant = $1 AND starts_with(lower(a.email), $5))"
               " m ON m.id = acc.id WHERE" IN_ORDER,
        MG_I64(tenant), MG_TEXT(after), MG_I64(PAGE_ROWS + 1), MG_INSTANT(now), MG_TEXT(search));
#undef LISTED
#undef IN_ORDER
}

MG_HANDLER_PUBLIC(user_list)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, 122880);
    OWN_BUFFER(search, 1024);
    struct target target = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    const mg_instant now = mg_now();
    TRY(tenant_find(call, MG_NEEDS_user_list, request->session, request->tenant, &target, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_user_list(call, &(struct mg_reply_user_list){.outcome = outcome});
    if (request->search.length != 0 && !mg_ok(mg_login_fold(request->search, &search)))
        return mg_answer_user_list(call, &(struct mg_reply_user_list){.outcome = MG_GRANTED});
    TRY(mg_core_database(&database));
    TRY(list_fetch(database, target.tenant.number, mg_buffer_view(&search), request->after, now, &rows));
    const size_t count = mg_rows_count(rows);
    for (size_t i = 0; i < count && i < PAGE_ROWS; i++)
        TRY(user_row_add(database, rows, i, now, &list));
    return mg_answer_user_list(call, &(struct mg_reply_user_list){.outcome = MG_GRANTED,
                                                                  .more = count > PAGE_ROWS,
                                                                  .users = {.bytes = mg_buffer_view(&list)}});
}

/* ---- add and import
 * ---------------------------------------------------------------------------------------- */

/* A user to be: what was asked for, checked. */
struct new_user {
    struct mg_view name, email, roles, language;
    struct mg_buffer login, normalised, sealed;
    uint64_t id;
    bool must_change, service;
};

static void
new_user_drop(struct new_user *user)
{
    mg_buffer_drop(&user->login);
    mg_buffer_drop(&user->normalised);
    mg_buffer_drop(&user->sealed);
}

/* The first value that may not stand, as a reason for people; NULL if all may. */
static const char *
new_user_judge(struct mg_view login, struct new_user *user)
{
    if (!mg_ok(mg_login_fold(login, &user->login)))
        return "LOGIN_FORM|";
    if (mg_canary_is_login(mg_buffer_view(&user->login)))
        return "LOGIN_OF_PROBES|";
    if (user->email.length != 0 && !mg_email_plausible(user->email))
        return "EMAIL_FORM|";
    if (!mg_roles_valid(user->roles))
        return "ROLES_FORM|";
    if (user->language.length != 0 && !mg_view_is(user->language, "ja") && !mg_view_is(user->language, "en"))
        return "LANGUAGE_FORM|";
    return NULL;
}

/* A new user's roles exist and are the actor's to give. `user`, which holds nothing, is anybody's who may
 * add. */
static CHECKED struct mg_status
new_roles_judge(struct mg_database *database, const struct target *target, struct mg_view roles,
                const char **ret_reason, enum mg_outcome *ret_outcome)
{
    struct mg_view unknown;
    mg_permissions wanted = 0;
    TRY(mg_right_roles_exist(database, target->tenant.number, roles, &unknown));
    if (unknown.length != 0) {
        *ret_outcome = MG_NOT_VALID;
        *ret_reason = "ROLES_UNKNOWN|";
        return OK;
    }
    if (target->right.operator|| roles.length == 0 || mg_view_is(roles, "user"))
        return OK;
    TRY(mg_right_of_roles(database, target->tenant.number, roles, &wanted));
    if (!mg_permissions_have(target->right.held, MG_PERMISSION_roles_grant) ||
        !mg_permissions_cover(target->right.grantable, wanted))
        *ret_outcome = MG_MORE_THAN_YOURS;
    return OK;
}

static CHECKED struct mg_status
account_number(struct mg_database *database, uint64_t *ret_id)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows, "SELECT nextval(pg_get_serial_sequence('account', 'id'))"));
    *ret_id = (uint64_t) mg_rows_i64(rows, 0, 0);
    return OK;
}

/* EXISTS if the name is somebody's in this tenant. The record is durable before the row is. */
static CHECKED struct mg_status
account_insert(struct mg_database *database, const struct target *target, const struct new_user *user,
               enum mg_event event)
{
    OWN(transaction) transaction = NULL;
    const bool invited = user->sealed.length == 0;
    const mg_instant now = mg_now();
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(database, NULL,
                 "INSERT INTO account (id, tenant, login, name, email, roles, language, password_sealed,"
                 " password_changed_at, must_change, created_at, service)"
                 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                 MG_I64(user->id), MG_I64(target->tenant.number), MG_TEXT(mg_buffer_view(&user->login)),
                 MG_TEXT(user->name), MG_TEXT(user->email), MG_TEXT(user->roles),
                 user->language.length == 0 ? MG_STRING("ja") : MG_TEXT(user->language),
                 invited ? MG_NULL : MG_BYTES(mg_buffer_view(&user->sealed)),
                 invited ? MG_NULL : MG_INSTANT(now), MG_FLAG(user->must_change), MG_INSTANT(now),
                 MG_FLAG(user->service)));
    if (invited && user->email.length != 0)
        TRY(mg_query(database, NULL,
                     "WITH a AS (UPDATE account SET invited_at = $4, invited_by = $5 WHERE id = $2)"
                     " INSERT INTO mail (tenant, account, kind, language, asked_at, due_at)"
                     " VALUES ($1, $2, 'invite', $3, $4, $4)",
                     MG_I64(target->tenant.number), MG_I64(user->id),
                     user->language.length == 0 ? MG_STRING("ja") : MG_TEXT(user->language), MG_INSTANT(now),
                     MG_STRING(target->actor.name)));
    TRY(note(target, event, mg_buffer_view(&user->login)));
    return mg_transaction_commit(&transaction);
}

/* The password of a new user: judged, hashed, sealed. *ret_outcome GRANTED when it may stand. */
static CHECKED struct mg_status
new_password(const struct target *target, struct new_user *user, struct mg_view password,
             enum mg_outcome *ret_outcome)
{
    const struct mg_account account = {
        .login = mg_buffer_view(&user->login), .name = user->name, .email = user->email};
    TRY(mg_password_new_judge(&target->tenant, &account, password, &user->normalised, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    return mg_password_seal(target->tenant.number, user->id, mg_buffer_view(&user->normalised),
                            &user->sealed);
}

static CHECKED struct mg_status
add_run(const struct mg_request_user_add *request, struct mg_call *call, enum mg_outcome *ret_outcome,
        const char **ret_reason, uint64_t *ret_user)
{
    OWN(database) database = NULL;
    struct target target = {0};
    MG_CLEANUP(new_user_drop)
    struct new_user user = {
        .name = request->name,
        .email = request->email,
        .roles = request->roles,
        .language = request->language,
        .must_change = request->must_change && request->password.length != 0,
        .login = MG_BUFFER(1024),
        .normalised = MG_BUFFER(16384),
        .sealed = MG_BUFFER(2048),
    };
    TRY(tenant_find(call, MG_NEEDS_user_add, request->session, request->tenant, &target, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    *ret_reason = new_user_judge(request->login, &user);
    if (*ret_reason != NULL) {
        *ret_outcome = MG_NOT_VALID;
        return OK;
    }
    TRY(mg_core_database(&database));
    TRY(new_roles_judge(database, &target, user.roles, ret_reason, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(account_number(database, &user.id));
    mg_database_drop(&database);
    if (request->password.length != 0)
        TRY(new_password(&target, &user, request->password, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(mg_core_database(&database));
    const struct mg_status status = account_insert(database, &target, &user, MG_EVENT_user_create);
    if (status.code == MG_EXISTS) {
        *ret_outcome = MG_TAKEN;
        *ret_reason = "LOGIN|";
        return OK;
    }
    TRY(status);
    *ret_user = user.id;
    return OK;
}

static struct mg_status
add_task(const void *request, struct mg_call *call, bool *ret_answered)
{
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    const char *reason = NULL;
    uint64_t user = 0;
    TRY(add_run(request, call, &outcome, &reason, &user));
    const struct mg_reply_user_add reply = {.outcome = outcome, .reason = mg_view_text(reason), .user = user};
    TRY(mg_answer_user_add(call, &reply));
    *ret_answered = true;
    return OK;
}

MG_HANDLER_PUBLIC(user_add)
{
    return mg_work_put(add_task, request, sizeof *request, call);
}

MG_HANDLER_PUBLIC(user_import)
{
    OWN(database) database = NULL;
    struct target target = {0};
    struct mg_password_parsed parsed;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    MG_CLEANUP(new_user_drop)
    struct new_user user = {
        .name = request->name,
        .email = request->email,
        .roles = request->roles,
        .language = request->language,
        .login = MG_BUFFER(1024),
        .normalised = MG_BUFFER(1),
        .sealed = MG_BUFFER(2048),
    };
    TRY(tenant_find(call, MG_NEEDS_user_import, MG_VIEW_EMPTY, request->tenant, &target, &outcome));
    TRY(mg_core_database(&database));
    const char *reason = outcome == MG_GRANTED ? new_user_judge(request->login, &user) : NULL;
    if (outcome == MG_GRANTED && reason == NULL)
        TRY(new_roles_judge(database, &target, user.roles, &reason, &outcome));
    const struct mg_status hash = mg_password_parse(request->hash, &parsed);
    if (outcome == MG_GRANTED && reason == NULL && !mg_ok(hash))
        reason = hash.detail;
    if (reason != NULL)
        outcome = MG_NOT_VALID;
    if (outcome != MG_GRANTED)
        return mg_answer_user_import(
            call, &(struct mg_reply_user_import){.outcome = outcome, .reason = mg_view_text(reason)});
    TRY(account_number(database, &user.id));
    TRY(mg_password_seal_hash(target.tenant.number, user.id, request->hash, &user.sealed));
    const struct mg_status status = account_insert(database, &target, &user, MG_EVENT_user_import);
    if (status.code == MG_EXISTS)
        return mg_answer_user_import(
            call, &(struct mg_reply_user_import){.outcome = MG_TAKEN, .reason = mg_view_text("login")});
    TRY(status);
    return mg_answer_user_import(call,
                                 &(struct mg_reply_user_import){.outcome = MG_GRANTED, .user = user.id});
}

/* ---- disable, lock
 * ------------------------------------------------------------------------------------------- */

/* Out of every session when this returns. With OWN_EFFECTS(true). */
static CHECKED struct mg_status
disable(struct mg_database *database, const struct target *target, uint64_t *ret_ended)
{
    TRY(note(target, MG_EVENT_user_disable, target->account.login));
    TRY(mg_query(
        database, NULL,
        "WITH t AS (DELETE FROM ticket WHERE account = $1), m AS (DELETE FROM mail WHERE account = $1)"
        " UPDATE account SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL",
        MG_I64(target->account.id), MG_INSTANT(mg_now())));
    return mg_families_end(database, &(struct mg_family_match){.account = target->account.id}, ret_ended);
}

static CHECKED struct mg_status
enable(struct mg_database *database, const struct target *target)
{
    TRY(note(target, MG_EVENT_user_enable, target->account.login));
    TRY(mg_query(database, NULL, "UPDATE account SET disabled_at = NULL, locked_at = NULL WHERE id = $1",
                 MG_I64(target->account.id)));
    return mg_attempt_clear(database, target->account.tenant, target->account.login);
}

/* A tenant's people do not shut themselves out, nor leave the tenant without an administrator. */
static CHECKED struct mg_status
disabling_judge(struct mg_database *database, const struct target *target, enum mg_outcome *ret_outcome)
{
    bool other = false;
    if (target->right.operator)
        return OK;
    if (target->right.account == target->account.id) {
        *ret_outcome = MG_YOURSELF;
        return OK;
    }
    TRY(mg_right_other_administrator(database, target->tenant.number, target->account.id, &other));
    if (!other)
        *ret_outcome = MG_LAST_ADMINISTRATOR;
    return OK;
}

/* Of two administrators who disable each other at once, one stays. The effects' lock comes before the
 * tenant's row, as everywhere, and stays until the commit, which those wait for who take no lock of the
 * tenant's (groups, providers, directories). */
static CHECKED struct mg_status
disable_unless_last(struct mg_database *database, const struct target *target, uint64_t *ret_ended,
                    enum mg_outcome *ret_outcome)
{
    OWN_EFFECTS(true);
    OWN(transaction) transaction = NULL;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_right_administrators_lock(database, target->tenant.number));
    TRY(disabling_judge(database, target, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(disable(database, target, ret_ended));
    return mg_transaction_commit(&transaction);
}

MG_HANDLER_PUBLIC(user_disable)
{
    OWN(database) database = NULL;
    MG_CLEANUP(target_drop) struct target target = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    uint64_t ended = 0;
    TRY(mg_core_database(&database));
    TRY(user_find(database, call, MG_NEEDS_user_disable, request->session, request->tenant, request->login,
                  &target, &outcome));
    if (outcome == MG_GRANTED)
        TRY(request->disabled ? disable_unless_last(database, &target, &ended, &outcome)
                              : enable(database, &target));
    return mg_answer_user_disable(call, &(struct mg_reply_user_disable){.outcome = outcome, .ended = ended});
}

static CHECKED struct mg_status
lock(struct mg_database *database, const struct target *target, bool locked)
{
    TRY(note(target, locked ? MG_EVENT_account_lock : MG_EVENT_account_unlock, target->account.login));
    TRY(mg_query(database, NULL, "UPDATE account SET locked_at = $2 WHERE id = $1",
                 MG_I64(target->account.id), locked ? MG_INSTANT(mg_now()) : MG_NULL));
    return locked ? OK : mg_attempt_clear(database, target->account.tenant, target->account.login);
}

MG_HANDLER_PUBLIC(user_lock)
{
    OWN(database) database = NULL;
    MG_CLEANUP(target_drop) struct target target = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(mg_core_database(&database));
    TRY(user_find(database, call, MG_NEEDS_user_lock, request->session, request->tenant, request->login,
                  &target, &outcome));
    if (outcome == MG_GRANTED)
        TRY(lock(database, &target, request->locked));
    return mg_answer_user_lock(call, &(struct mg_reply_user_lock){.outcome = outcome});
}

/* ---- invitations
 * --------------------------------------------------------------------------------------------- */

MG_HANDLER_PUBLIC(user_invite)
{
    OWN(database) database = NULL;
    MG_CLEANUP(target_drop) struct target target = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(mg_core_database(&database));
    TRY(user_find(database, call, MG_NEEDS_user_invite, request->session, request->tenant, request->login,
                  &target, &outcome));
    if (outcome == MG_GRANTED && (target.account.email.length == 0 || target.account.disabled))
        outcome = MG_NOT_VALID; /* nowhere to send it, or nobody to send it to */
    if (outcome == MG_GRANTED && target.account.password_sealed.length == 0) {
        TRY(note(&target, MG_EVENT_invitation_send, target.account.login));
        TRY(mg_invitation_send(database, &target.account, &target.actor, mg_now()));
    } else if (outcome == MG_GRANTED) {
        TRY(note(&target, MG_EVENT_password_reset_request, target.account.login));
        TRY(mg_query(
            database, NULL,
            "INSERT INTO mail (tenant, account, kind, language, asked_at, due_at) VALUES ($1, $2, 'reset', $3, $4, $4)",
            MG_I64(target.account.tenant), MG_I64(target.account.id), MG_TEXT(target.account.language),
            MG_INSTANT(mg_now())));
    }
    return mg_answer_user_invite(call, &(struct mg_reply_user_invite){.outcome = outcome});
}

MG_HANDLER_PUBLIC(user_ticket)
{
    OWN(database) database = NULL;
    OWN_KEY(ticket, MG_TOKEN_BYTES);
    MG_CLEANUP(target_drop) struct target target = {0};
    struct mg_reply_user_ticket reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(mg_core_database(&database));
    TRY(user_find(database, call, MG_NEEDS_user_ticket, MG_VIEW_EMPTY, request->tenant, request->login,
                  &target, &outcome));
    if (outcome == MG_GRANTED && (target.account.disabled || target.account.service))
        outcome = MG_NOT_VALID;
    if (outcome == MG_GRANTED) {
        TRY(note(&target, MG_EVENT_password_reset_request, target.account.login));
        TRY(mg_ticket_make(database, &target.account, mg_now(), ticket, &reply.ends_at));
        reply.ticket = mg_view_of(ticket, MG_TOKEN_BYTES);
        reply.sign_in_origin = mg_view_text(target.tenant.sign_in_origin);
    }
    reply.outcome = outcome;
    return mg_answer_user_ticket(call, &reply);
}

/* ---- service accounts (their tokens: token_requests.c) --------------------------------------------------
 */

MG_HANDLER_PUBLIC(service_add)
{
    OWN(database) database = NULL;
    struct target target = {0};
    struct mg_reply_service_add reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    const char *reason = NULL;
    MG_CLEANUP(new_user_drop)
    struct new_user user = {
        .name = request->name,
        .roles = request->roles,
        .service = true,
        .login = MG_BUFFER(1024),
        .normalised = MG_BUFFER(1),
        .sealed = MG_BUFFER(1),
    };
    TRY(tenant_find(call, MG_NEEDS_service_add, request->session, request->tenant, &target, &outcome));
    if (outcome == MG_GRANTED && target.tenant.number == 0)
        reason = "OPERATORS_NO_SERVICE|";
    else if (outcome == MG_GRANTED && !mg_service_name_is_valid(request->login))
        reason = "SERVICE_LOGIN_FORM|";
    else if (outcome == MG_GRANTED)
        reason = new_user_judge(request->login, &user);
    if (reason != NULL)
        outcome = MG_NOT_VALID;
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(new_roles_judge(database, &target, user.roles, &reason, &outcome));
    if (outcome == MG_GRANTED) {
        TRY(account_number(database, &user.id));
        const struct mg_status status = account_insert(database, &target, &user, MG_EVENT_service_create);
        if (status.code == MG_EXISTS) {
            outcome = MG_TAKEN;
            reason = "LOGIN|";
        } else {
            TRY(status);
            reply.account = user.id;
        }
    }
    reply.outcome = outcome;
    reply.reason = mg_view_text(reason);
    return mg_answer_service_add(call, &reply);
}

/* ---- second factors ---------------------------------------------------------------------------------- */

static CHECKED struct mg_status
factors_take(struct mg_database *database, const struct target *target, struct mg_reply_factors_reset *reply)
{
    const struct mg_account *account = &target->account;
    TRY(note(target, MG_EVENT_factor_remove, account->login));
    OWN_EFFECTS(true);
    TRY(mg_factors_clear(database, account, &reply->removed));
    TRY(mg_factor_mail(database, account, "factors_reset", MG_VIEW_EMPTY, mg_now()));
    TRY(mg_attempt_clear(database, account->tenant, account->login));
    return mg_families_end(database, &(struct mg_family_match){.account = account->id}, &reply->ended);
}

MG_HANDLER_PUBLIC(factors_reset)
{
    OWN(database) database = NULL;
    MG_CLEANUP(target_drop) struct target target = {0};
    struct mg_reply_factors_reset reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(mg_core_database(&database));
    TRY(user_find(database, call, MG_NEEDS_factors_reset, request->session, request->tenant, request->login,
                  &target, &outcome));
    if (outcome == MG_GRANTED)
        TRY(factors_take(database, &target, &reply));
    reply.outcome = outcome;
    return mg_answer_factors_reset(call, &reply);
}
