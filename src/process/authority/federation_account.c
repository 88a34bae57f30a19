/* Whose account a person is that an identity provider vouches for (domain/identity_provider.h). */
#include "process/authority/federation.h"

#include "domain/drill.h"
#include "domain/group_roles.h"
#include "domain/login.h"
#include "process/authority/scim.h"

#include <inttypes.h>
#include <stdio.h>

struct search {
    struct mg_database *database;
    const struct mg_idp *idp;
    const struct mg_reply_oidc_finish *claims;
    struct mg_federation_once *once; /* NULL: nothing is changed */
    mg_instant now;
    struct mg_buffer login; /* the folded address; empty: none that can be a name */
};

/* Behind the account, whether any group of the tenant gives roles: most tenants need not be asked further;
 * and whether the answer comes for the first time. Always one row, of NULL without an account. */
enum { GROUPS_GOVERN = MG_ACCOUNT_COLUMN_COUNT, FIRST };
static CHECKED struct mg_status
linked_find(const struct search *it, struct mg_rows **ret_rows)
{
    static const struct mg_federation_once nothing = {.count = 0};
    const struct mg_federation_once *once = it->once != NULL ? it->once : &nothing;
    return mg_query_often(
        it->database, ret_rows,
        "SELECT " MG_ACCOUNT_COLUMNS ", EXISTS (SELECT FROM tenant_group grp WHERE grp.tenant = acc.tenant"
        " AND grp.roles <> ''), s.first FROM (SELECT federation_spend($1, $4, $5, $6) AS first OFFSET 0) s"
        " LEFT JOIN (account_link l JOIN account acc ON acc.id = l.account)"
        " ON l.provider = $1 AND l.subject = $2 AND acc.tenant = $3",
        MG_I64(it->idp->id), MG_TEXT(it->claims->subject), MG_I64(it->idp->tenant),
        MG_BYTES(mg_federation_once_key(once, 0)), MG_BYTES(mg_federation_once_key(once, 1)),
        MG_INSTANT(it->now + MG_IDP_REPLAY_MS));
}

/* The account of that sign-in name, and whether it has somebody else at this provider. */
static CHECKED struct mg_status
named_find(const struct search *it, struct mg_rows **ret_rows, bool *ret_linked)
{
    OWN(rows) rows = NULL;
    *ret_linked = false;
    if (it->login.length == 0)
        return OK;
    TRY(mg_query(it->database, &rows,
                 "SELECT " MG_ACCOUNT_COLUMNS ", EXISTS (SELECT 1 FROM account_link l WHERE l.provider = $3"
                 " AND l.account = acc.id) FROM account acc WHERE acc.tenant = $1 AND acc.login = $2",
                 MG_I64(it->idp->tenant), MG_TEXT(mg_buffer_view(&it->login)), MG_I64(it->idp->id)));
    if (mg_rows_count(rows) == 0)
        return OK;
    *ret_linked = mg_rows_flag(rows, 0, MG_ACCOUNT_COLUMN_COUNT);
    *ret_rows = TAKE(rows);
    return OK;
}

static CHECKED struct mg_status
note(const struct search *it, enum mg_event event, struct mg_view target, const char *reason)
{
    const struct mg_core_detail details[] = {{"provider", mg_view_text(it->idp->name)},
                                             {"subject", it->claims->subject}};
    return mg_core_record(&(struct mg_core_record){.event = event,
                                                   .tenant = it->idp->tenant,
                                                   .target = target,
                                                   .reason = mg_view_text(reason),
                                                   .details = details,
                                                   .detail_count = MG_COUNT(details)});
}

static CHECKED struct mg_status
link_write(const struct search *it, uint64_t account)
{
    return mg_query(
        it->database, NULL,
        "INSERT INTO account_link (provider, subject, account, linked_at) VALUES ($1, $2, $3, $4)",
        MG_I64(it->idp->id), MG_TEXT(it->claims->subject), MG_I64(account), MG_INSTANT(it->now));
}

static CHECKED struct mg_status
link_existing(const struct search *it, const struct mg_account *account)
{
    OWN(transaction) transaction = NULL;
    TRY(mg_transaction_begin(it->database, &transaction));
    TRY(link_write(it, account->id));
    TRY(note(it, MG_EVENT_account_link, account->login, "BY_EMAIL"));
    return mg_transaction_commit(&transaction);
}

/* Without a password: only the provider's sign-in, or an administrator's reset, gives one. */
static CHECKED struct mg_status
account_create(const struct search *it)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(roles, 1024);
    TRY(mg_option_words(it->idp->settings->create_roles, &roles));
    TRY(mg_transaction_begin(it->database, &transaction));
    TRY(mg_query(
        it->database, &rows,
        "INSERT INTO account (tenant, login, name, email, roles, created_at) VALUES ($1, $2, $3, $4, $5, $6)"
        " RETURNING id",
        MG_I64(it->idp->tenant), MG_TEXT(mg_buffer_view(&it->login)), MG_TEXT(it->claims->name),
        MG_TEXT(it->claims->email), MG_TEXT(mg_buffer_view(&roles)), MG_INSTANT(it->now)));
    TRY(link_write(it, (uint64_t) mg_rows_i64(rows, 0, 0)));
    TRY(note(it, MG_EVENT_user_create, mg_buffer_view(&it->login), "JUST_IN_TIME"));
    TRY(note(it, MG_EVENT_account_link, mg_buffer_view(&it->login), "JUST_IN_TIME"));
    return mg_transaction_commit(&transaction);
}

/* A person who comes for the first time: linked to an account or given one, if the provider's settings say
 * so. */
static CHECKED struct mg_status
first_sign_in(const struct search *it, struct mg_rows **ret_rows, enum mg_federation_refusal *ret_refusal)
{
    OWN(rows) rows = NULL;
    struct mg_account account;
    struct mg_idp_person person = {.email = mg_buffer_view(&it->login),
                                   .email_verified = it->claims->email_verified};
    TRY(named_find(it, &rows, &person.account_linked));
    person.account_exists = rows != NULL;
    const enum mg_idp_act act = mg_idp_first_sign_in(it->idp->settings, &person, ret_refusal);
    if (act == MG_IDP_REFUSE || it->once == NULL) {
        *ret_rows = TAKE(rows);
        return OK;
    }
    /* A probe's account, or a program's, is nobody's to take; but for the one in the drill's tenant that is
     * there for it, where all providers are the probes'. */
    const bool read = person.account_exists && mg_account_read(rows, 0, 0, &account);
    const bool probes =
        it->idp->tenant == MG_DRILL_NUMBER && read && mg_view_is(account.login, MG_DRILL_PERSON);
    if ((mg_canary_is_login(mg_buffer_view(&it->login)) && !probes) || (read && account.service)) {
        *ret_refusal = MG_FEDERATION_ACCOUNT_TAKEN;
        return OK;
    }
    if (act == MG_IDP_LINK && !read)
        return fail_with(DATABASE, "an account without columns");
    const struct mg_status done = act == MG_IDP_LINK ? link_existing(it, &account) : account_create(it);
    if (done.code == MG_EXISTS) { /* another sign-in was first; the next one finds what it made */
        *ret_refusal = MG_FEDERATION_CHANGED_MEANWHILE;
        return OK;
    }
    TRY(done);
    mg_rows_drop(&rows);
    return linked_find(it, ret_rows);
}

/* What the provider's map and the tenant's groups make of the account's roles. */
static CHECKED struct mg_status
roles_find(const struct search *it, const struct mg_account *account, bool groups_govern,
           struct mg_buffer *roles)
{
    OWN_BUFFER(mapped, 1024);
    OWN_BUFFER(own, 1024);
    const struct mg_view groups = it->claims->groups;
    TRY(mg_idp_roles(it->idp->settings, account->roles, groups, &mapped));
    TRY(mg_idp_roles(it->idp->settings, MG_VIEW_EMPTY, groups, &own));
    if (groups_govern)
        return mg_group_roles_at_sign_in(it->database, it->idp->tenant, account->id, mg_buffer_view(&mapped),
                                         mg_buffer_view(&own), roles);
    return mg_group_roles(mg_buffer_view(&mapped), MG_VIEW_EMPTY, mg_buffer_view(&own), roles);
}

/* The tenant's last administrator stays one, whatever the provider says, and signs in: who else could set it
 * right? */
static CHECKED struct mg_status
administrator_keep(const struct search *it, const struct mg_account *account, struct mg_buffer *roles,
                   bool *ret_kept)
{
    const struct mg_view administrator = mg_view_text("administrator");
    bool other = true;
    *ret_kept = false;
    if (!mg_words_have(account->roles, administrator) || mg_words_have(mg_buffer_view(roles), administrator))
        return OK;
    TRY(mg_right_other_administrator(it->database, it->idp->tenant, account->id, &other));
    if (other)
        return OK;
    OWN_BUFFER(with, 1024);
    TRY(mg_group_roles(mg_buffer_view(roles), MG_VIEW_EMPTY, administrator, &with));
    mg_buffer_clear(roles);
    *ret_kept = true;
    return mg_buffer_add(roles, mg_buffer_view(&with));
}

static CHECKED struct mg_status
roles_record(const struct search *it, const struct mg_account *account, struct mg_view roles, bool kept)
{
    OWN_BUFFER(change, 2200);
    TRY(mg_buffer_format(&change, "roles: \"%.*s\" -> \"%.*s\"", (int) account->roles.length,
                         (const char *) account->roles.bytes, (int) roles.length,
                         (const char *) roles.bytes));
    const struct mg_core_detail details[] = {
        {"provider", mg_view_text(it->idp->name)},
        {"change", mg_view_start(mg_buffer_view(&change), 1024)},
        {"kept", mg_view_text("administrator: the provider takes it away, but there is no other")}};
    return mg_core_record(&(struct mg_core_record){.event = MG_EVENT_user_change,
                                                   .tenant = it->idp->tenant,
                                                   .target = account->login,
                                                   .reason = mg_view_text("GROUPS"),
                                                   .details = details,
                                                   .detail_count = MG_COUNT(details) - (kept ? 0 : 1)});
}

/* Groups decide at every sign-in; a change ends what the account was signed in to with other roles. */
static CHECKED struct mg_status
roles_follow(const struct search *it, struct mg_account *account, bool groups_govern, struct mg_buffer *roles,
             enum mg_federation_refusal *ret_refusal)
{
    uint64_t ended = 0;
    bool kept = false;
    OWN(rows) changed = NULL;
    if (it->idp->settings->groups_join)
        TRY(mg_group_join_named(it->database, it->idp->tenant, it->idp->id, account, it->claims->groups));
    TRY(roles_find(it, account, groups_govern, roles));
    if (mg_view_equal(mg_buffer_view(roles), account->roles))
        return OK;
    OWN_EFFECTS(true); /* of two administrators who lose it at once, one stays */
    OWN(transaction) transaction = NULL;
    TRY(administrator_keep(it, account, roles, &kept));
    if (mg_view_equal(mg_buffer_view(roles), account->roles))
        return roles_record(it, account, mg_buffer_view(roles), kept);
    TRY(mg_transaction_begin(it->database, &transaction));
    TRY(mg_query(it->database, &changed,
                 "UPDATE account SET roles = $2, roles_changed_at = $4 WHERE id = $1 AND roles = $3",
                 MG_I64(account->id), MG_TEXT(mg_buffer_view(roles)), MG_TEXT(account->roles),
                 MG_INSTANT(mg_now())));
    if (mg_rows_affected(changed) != 1) { /* somebody took a role since it was read: it stays taken */
        *ret_refusal = MG_FEDERATION_CHANGED_MEANWHILE;
        return OK;
    }
    TRY(mg_families_end(it->database, &(struct mg_family_match){.account = account->id}, &ended));
    TRY(roles_record(it, account, mg_buffer_view(roles), kept)); /* durable before it commits */
    TRY(mg_transaction_commit(&transaction));
    account->roles = mg_buffer_view(roles);
    return OK;
}

static void
search_drop(struct search *it)
{
    mg_buffer_drop(&it->login);
}

struct mg_status
mg_idp_account(struct mg_database *database, const struct mg_idp *idp,
               const struct mg_reply_oidc_finish *claims, struct mg_federation_once *once, mg_instant now,
               struct mg_rows **ret_rows, struct mg_buffer *roles, struct mg_account *ret_account,
               enum mg_federation_refusal *ret_refusal)
{
    MG_CLEANUP(search_drop)
    struct search it = {.database = database,
                        .idp = idp,
                        .claims = claims,
                        .once = once,
                        .now = now,
                        .login = MG_BUFFER(1024)};
    OWN(rows) rows = NULL;
    *ret_refusal = MG_FEDERATION_NONE;
    if (!mg_ok(mg_login_fold(claims->email, &it.login)))
        mg_buffer_clear(&it.login);
    TRY(linked_find(&it, &rows));
    if (!mg_rows_flag(rows, 0, FIRST)) {
        *ret_refusal = MG_FEDERATION_REPLAYED;
        return OK;
    }
    if (once != NULL)
        once->spent = true;
    if (mg_rows_null(rows, 0, 0)) {
        mg_rows_drop(&rows);
        TRY(first_sign_in(&it, &rows, ret_refusal));
    }
    if (*ret_refusal != MG_FEDERATION_NONE)
        return OK;
    if (rows == NULL || mg_rows_count(rows) == 0 || mg_rows_null(rows, 0, 0) ||
        !mg_account_read(rows, 0, 0, ret_account)) {
        if (once != NULL) /* a trial that would make an account ends here */
            *ret_refusal = MG_FEDERATION_CHANGED_MEANWHILE;
        *ret_account = (struct mg_account){.login = MG_VIEW_EMPTY};
        return OK;
    }
    if (ret_account->disabled)
        *ret_refusal = MG_FEDERATION_ACCOUNT_DISABLED;
    else if (once != NULL)
        TRY(roles_follow(&it, ret_account, mg_rows_flag(rows, 0, GROUPS_GOVERN), roles, ret_refusal));
    *ret_rows = TAKE(rows);
    return OK;
}
