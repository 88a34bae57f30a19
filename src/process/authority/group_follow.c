/* What groups make of the roles of people: as membership changes, and at a sign-in through a provider. Many
 * people at once share the disk's writes: every sign-in waits while their roles change. */
#include "process/authority/scim.h"

#include "domain/group_roles.h"
#include "process/authority/requests.h"

#include <inttypes.h>
#include <stdlib.h>

enum { GOVERNED_MOST = 65536, AT_ONCE = 64, LIST_MOST = 64 << 20 };

/* Every role that some group of the tenant gives; `instead` as if its group gave others. */
static CHECKED struct mg_status
governed_find(struct mg_database *database, uint64_t tenant, const struct mg_group_instead *instead,
              struct mg_buffer *governed)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows, "SELECT DISTINCT roles FROM tenant_group WHERE tenant = $1 AND roles <> ''",
                 MG_I64(tenant)));
    for (size_t i = 0; i < mg_rows_count(rows); i++)
        TRY(mg_words_join(governed, mg_rows_text(rows, i, 0)));
    if (instead == NULL)
        return OK;
    TRY(mg_words_join(governed, instead->governs));
    return mg_words_join(governed, instead->roles);
}

/* Who they are (`accounts`: "{3,17}") and what their groups give them: number, login, roles, given; but for
 * those of `except`. */
static CHECKED struct mg_status
given_find(struct mg_database *database, uint64_t tenant, struct mg_view accounts, uint64_t except,
           struct mg_rows **ret_rows)
{
    return mg_query(
        database, ret_rows,
        "SELECT acc.id, acc.login, acc.roles, coalesce((SELECT string_agg(DISTINCT grp.roles, ' ') FROM"
        " group_member m JOIN tenant_group grp ON grp.id = m.\"group\" WHERE m.account = acc.id AND grp.id <> $3"
        " AND grp.roles <> ''), '') FROM account acc WHERE acc.id = ANY ($2::bigint[]) AND acc.tenant = $1",
        MG_I64(tenant), MG_TEXT(accounts), MG_I64(except));
}

/* ---- many people's roles ---- */

void
mg_group_follows_drop(struct mg_group_follows *follows)
{
    for (size_t i = 0; i < follows->count; i++) {
        mg_apart_drop(&follows->rows[i].append);
        free(follows->rows[i].login);
        free(follows->rows[i].before);
        free(follows->rows[i].after);
    }
    free(follows->rows);
    *follows = (struct mg_group_follows){0};
}

static CHECKED struct mg_status
follow_add(struct mg_group_follows *follows, uint64_t account, struct mg_view login, struct mg_view before,
           struct mg_view after)
{
    if (follows->count == follows->room) {
        const size_t room = follows->room == 0 ? 32 : follows->room * 2;
        struct mg_group_follow_row *rows = reallocarray(follows->rows, room, sizeof *rows);
        if (rows == NULL)
            return fail(OUT_OF_MEMORY);
        follows->rows = rows;
        follows->room = room;
    }
    struct mg_group_follow_row *row = &follows->rows[follows->count++];
    *row = (struct mg_group_follow_row){.account = account};
    TRY(mg_view_to_text(login, &row->login));
    TRY(mg_view_to_text(before, &row->before));
    return mg_view_to_text(after, &row->after);
}

/* Keeps whose roles become others. */
static CHECKED struct mg_status
row_follow(const struct mg_rows *rows, size_t row, struct mg_view governed,
           const struct mg_group_instead *instead, struct mg_group_follows *follows, bool *administrator_lost)
{
    OWN_BUFFER(given, 4096);
    OWN_BUFFER(roles, 1024);
    const struct mg_view administrator = mg_view_text("administrator");
    const struct mg_view before = mg_rows_text(rows, row, 2);
    TRY(mg_words_join(&given, mg_rows_text(rows, row, 3)));
    if (instead != NULL)
        TRY(mg_words_join(&given, instead->roles));
    TRY(mg_group_roles(before, governed, mg_buffer_view(&given), &roles));
    const struct mg_view after = mg_buffer_view(&roles);
    if (mg_view_equal(before, after))
        return OK;
    if (mg_words_have(before, administrator) && !mg_words_have(after, administrator))
        *administrator_lost = true;
    return follow_add(follows, (uint64_t) mg_rows_i64(rows, row, 0), mg_rows_text(rows, row, 1), before,
                      after);
}

/* "{3,17}", and roles one a line, in the same order. */
static CHECKED struct mg_status
lists_make(const struct mg_group_follows *follows, struct mg_buffer *accounts, struct mg_buffer *roles)
{
    for (size_t i = 0; i < follows->count; i++) {
        TRY(mg_buffer_format(accounts, "%c%" PRIu64, i == 0 ? '{' : ',', follows->rows[i].account));
        TRY(mg_buffer_format(roles, "%s%s", i == 0 ? "" : "\n", follows->rows[i].after));
    }
    return mg_buffer_add_text(accounts, follows->count == 0 ? "{}" : "}");
}

struct mg_status
mg_group_follow(struct mg_database *database, const struct mg_group_actor *actor, struct mg_view accounts,
                const struct mg_group_instead *instead, struct mg_group_follows *follows)
{
    OWN(rows) rows = NULL;
    OWN_BUFFER(governed, GOVERNED_MOST);
    OWN_BUFFER(changed, LIST_MOST);
    OWN_BUFFER(roles, LIST_MOST);
    bool administrator_lost = false, other = false;
    TRY(governed_find(database, actor->tenant, instead, &governed));
    TRY(given_find(database, actor->tenant, accounts, instead == NULL ? 0 : instead->group, &rows));
    for (size_t i = 0; i < mg_rows_count(rows); i++)
        TRY(row_follow(rows, i, mg_buffer_view(&governed), instead, follows, &administrator_lost));
    if (follows->count == 0)
        return OK;
    TRY(lists_make(follows, &changed, &roles));
    /* An empty text has no lines, but one account has no roles then. */
    TRY(mg_query(database, NULL,
                 "UPDATE account a SET roles = n.roles, roles_changed_at = $3 FROM ROWS FROM"
                 " (unnest($1::bigint[]), unnest(string_to_array($2 || E'\\n', E'\\n'))) AS n (id, roles)"
                 " WHERE a.id = n.id",
                 MG_TEXT(mg_buffer_view(&changed)), MG_TEXT(mg_buffer_view(&roles)), MG_INSTANT(mg_now())));
    if (!administrator_lost)
        return OK;
    TRY(mg_right_other_administrator(database, actor->tenant, 0, &other)); /* of all, as it is now */
    return other ? OK : fail_with(REFUSED, "the tenant's last administrator");
}

static CHECKED struct mg_status
record_begin(const struct mg_group_actor *actor, struct mg_group_follow_row *row)
{
    const struct mg_core_detail details[] = {{"before", mg_view_start(mg_view_text(row->before), 1000)},
                                             {"after", mg_view_start(mg_view_text(row->after), 1000)},
                                             {"by", mg_view_text(actor->reason)}};
    return mg_core_record_begin(&(struct mg_core_record){.event = MG_EVENT_user_change,
                                                         .tenant = actor->tenant,
                                                         .actor = actor->actor,
                                                         .target = mg_view_text(row->login),
                                                         .reason = mg_view_text("GROUPS"),
                                                         .details = details,
                                                         .detail_count = MG_COUNT(details)},
                                &row->append);
}

struct mg_status
mg_group_follows_end(struct mg_database *database, const struct mg_group_actor *actor,
                     struct mg_group_follows *follows, uint64_t *changed)
{
    /* A window of records on their way: audit makes those durable together that come together. */
    for (size_t i = 0; i < follows->count + AT_ONCE; i++) {
        if (i >= AT_ONCE)
            TRY(mg_record_end(follows->rows[i - AT_ONCE].append));
        if (i < follows->count)
            TRY(record_begin(actor, &follows->rows[i]));
    }
    OWN_BUFFER(accounts, LIST_MOST);
    OWN_BUFFER(roles, LIST_MOST);
    TRY(lists_make(follows, &accounts, &roles));
    *changed += follows->count;
    return follows->count == 0 ? OK : mg_families_end_of(database, mg_buffer_view(&accounts));
}

/* ---- at a sign-in ---- */

struct mg_status
mg_group_roles_at_sign_in(struct mg_database *database, uint64_t tenant, uint64_t account,
                          struct mg_view roles, struct mg_view own, struct mg_buffer *ret_roles)
{
    OWN(rows) rows = NULL;
    OWN_BUFFER(one, 32);
    OWN_BUFFER(governed, GOVERNED_MOST);
    OWN_BUFFER(given, 4096);
    TRY(mg_buffer_format(&one, "{%" PRIu64 "}", account));
    TRY(governed_find(database, tenant, NULL, &governed));
    TRY(given_find(database, tenant, mg_buffer_view(&one), 0, &rows));
    if (mg_rows_count(rows) == 1)
        TRY(mg_words_join(&given, mg_rows_text(rows, 0, 3)));
    TRY(mg_words_join(&given, own));
    return mg_group_roles(roles, mg_buffer_view(&governed), mg_buffer_view(&given), ret_roles);
}
