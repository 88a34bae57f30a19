/* Groups of a tenant and the roles that their members hold. */
#include "process/authority/scim.h"

#include "domain/group_roles.h"

#include <inttypes.h>

enum { CHUNK = 100, GROUPS_MOST = 20000 };

void
mg_group_read(const struct mg_rows *rows, size_t row, struct mg_group *ret_group)
{
    *ret_group = (struct mg_group){.id = (uint64_t) mg_rows_i64(rows, row, 0),
                                   .version = (uint64_t) mg_rows_i64(rows, row, 1),
                                   .name = mg_rows_text(rows, row, 2),
                                   .external_id = mg_rows_text(rows, row, 3),
                                   .roles = mg_rows_text(rows, row, 4),
                                   .created_at = mg_rows_instant(rows, row, 5),
                                   .changed_at = mg_rows_instant(rows, row, 6),
                                   .members = (uint64_t) mg_rows_i64(rows, row, 7),
                                   .directory = mg_rows_flag(rows, row, 8)};
}

struct mg_status
mg_group_numbered(struct mg_database *database, uint64_t tenant, uint64_t number, struct mg_rows **ret_rows)
{
    return mg_query(database, ret_rows,
                    "SELECT " MG_GROUP_COLUMNS " FROM tenant_group grp WHERE grp.id = $1 AND grp.tenant = $2",
                    MG_I64(number), MG_I64(tenant));
}

/* ---- records ---- */

static CHECKED struct mg_status
group_record(const struct mg_group_actor *actor, enum mg_event event, struct mg_view name, const char *what,
             struct mg_view value)
{
    const struct mg_core_detail details[] = {{what, mg_view_start(value, 1000)}};
    return mg_core_record(&(struct mg_core_record){.event = event,
                                                   .tenant = actor->tenant,
                                                   .actor = actor->actor,
                                                   .target = name,
                                                   .reason = mg_view_text(actor->reason),
                                                   .details = details,
                                                   .detail_count = value.length == 0 ? 0 : 1});
}

/* ---- members ---- */

/* Who joined and who left, as the statements say it. */
struct moved {
    struct mg_rows *left, *joined;
};

static void
moved_drop(struct moved *moved)
{
    mg_rows_drop(&moved->left);
    mg_rows_drop(&moved->joined);
}

static CHECKED struct mg_status
members_move(struct mg_database *database, const struct mg_group_actor *actor, uint64_t group,
             const struct mg_group_members *members, struct moved *moved, enum mg_scim_problem *ret_problem)
{
    OWN(rows) strangers = NULL;
    const struct mg_value join =
        MG_TEXT(members->join.length == 0 ? mg_view_text("{}") : mg_buffer_view(&members->join));
    const struct mg_value leave =
        MG_TEXT(members->leave.length == 0 ? mg_view_text("{}") : mg_buffer_view(&members->leave));
    TRY(mg_query(
        database, &strangers,
        "SELECT 1 FROM unnest($1::bigint[]) x WHERE NOT EXISTS"
        " (SELECT FROM account acc WHERE acc.id = x AND acc.tenant = $2 AND NOT acc.service) LIMIT 1",
        join, MG_I64(actor->tenant)));
    if (mg_rows_count(strangers) != 0) {
        *ret_problem = MG_SCIM_PROBLEM_value;
        return OK;
    }
    TRY(mg_query(
        database, &moved->left,
        "WITH gone AS (DELETE FROM group_member m WHERE m.\"group\" = $1 AND (m.account = ANY ($3::bigint[])"
        " OR ($4 AND m.account <> ALL ($2::bigint[]))) RETURNING m.account)"
        " SELECT DISTINCT acc.id, acc.login FROM gone JOIN account acc ON acc.id = gone.account",
        MG_I64(group), join, leave, MG_FLAG(members->leave_all)));
    return mg_query(
        database, &moved->joined,
        "WITH new AS (INSERT INTO group_member (\"group\", account) SELECT $1, x FROM"
        " (SELECT DISTINCT x FROM unnest($2::bigint[]) x) x WHERE NOT EXISTS (SELECT FROM group_member m"
        " WHERE m.\"group\" = $1 AND m.account = x) ON CONFLICT DO NOTHING RETURNING account)"
        " SELECT acc.id, acc.login FROM new JOIN account acc ON acc.id = new.account",
        MG_I64(group), join);
}

static CHECKED struct mg_status
moved_text(const struct moved *moved, struct mg_buffer *text)
{
    const struct {
        const struct mg_rows *rows;
        char sign;
    } lists[] = {{moved->joined, '+'}, {moved->left, '-'}};
    for (size_t k = 0; k < MG_COUNT(lists); k++)
        for (size_t i = 0; lists[k].rows != NULL && i < mg_rows_count(lists[k].rows); i++) {
            const struct mg_view login = mg_rows_text(lists[k].rows, i, 1);
            if (text->length + login.length > 900) /* the count says how many there are */
                return mg_buffer_format(text, " … (+%zu -%zu)", mg_rows_count(moved->joined),
                                        mg_rows_count(moved->left));
            TRY(mg_buffer_format(text, "%s%c%.*s", text->length == 0 ? "" : " ", lists[k].sign,
                                 (int) login.length, (const char *) login.bytes));
        }
    return OK;
}

/* "{3,17}" of the first column. */
static CHECKED struct mg_status
accounts_add(const struct mg_rows *rows, struct mg_buffer *accounts)
{
    for (size_t i = 0; rows != NULL && i < mg_rows_count(rows); i++)
        TRY(mg_buffer_format(accounts, "%c%" PRId64, accounts->length == 0 ? '{' : ',',
                             mg_rows_i64(rows, i, 0)));
    return OK;
}

/* All of them or none: what is refused for one has no record of another. */
static CHECKED struct mg_status
accounts_follow(struct mg_database *database, const struct mg_group_actor *actor, struct mg_buffer *accounts,
                const struct mg_group_instead *instead, uint64_t *changed)
{
    MG_CLEANUP(mg_group_follows_drop) struct mg_group_follows follows = {0};
    if (accounts->length == 0)
        return OK;
    TRY(mg_buffer_add_text(accounts, "}"));
    TRY(mg_group_follow(database, actor, mg_buffer_view(accounts), instead, &follows));
    return mg_group_follows_end(database, actor, &follows, changed);
}

static CHECKED struct mg_status
moved_follow(struct mg_database *database, const struct mg_group_actor *actor, const struct moved *moved)
{
    uint64_t changed = 0;
    OWN_BUFFER(accounts, 64 << 20);
    TRY(accounts_add(moved->left, &accounts));
    TRY(accounts_add(moved->joined, &accounts));
    return accounts_follow(database, actor, &accounts, NULL, &changed);
}

static CHECKED struct mg_status
change_text(const struct mg_group *before, struct mg_view name, struct mg_view external_id,
            const struct moved *moved, struct mg_buffer *text)
{
    if (!mg_view_equal(before->name, name))
        TRY(mg_buffer_format(text, "name: \"%.*s\" -> \"%.*s\" ", (int) before->name.length,
                             (const char *) before->name.bytes, (int) name.length,
                             (const char *) name.bytes));
    if (!mg_view_equal(before->external_id, external_id))
        TRY(mg_buffer_add_text(text, "externalId "));
    OWN_BUFFER(members, 2048);
    TRY(moved_text(moved, &members));
    return mg_buffer_add(text, mg_buffer_view(&members));
}

/* ---- changes ---- */

static CHECKED struct mg_status
store(struct mg_database *database, const struct mg_group_actor *actor, const struct mg_group *before,
      struct mg_view name, struct mg_view external_id, const struct mg_group_members *members,
      enum mg_scim_problem *ret_problem)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) kept = NULL;
    OWN_BUFFER(text, 4096);
    MG_CLEANUP(moved_drop) struct moved moved = {0};
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(
        database, &kept,
        "UPDATE tenant_group SET name = $3, external_id = $4, version = version + 1, changed_at = $5,"
        " directory = directory OR $6 WHERE id = $1 AND version = $2",
        MG_I64(before->id), MG_I64(before->version), MG_TEXT(name), MG_TEXT(external_id),
        MG_INSTANT(mg_now()), MG_FLAG(actor->directory)));
    if (mg_rows_affected(kept) != 1) {
        *ret_problem = MG_SCIM_PROBLEM_precondition;
        return OK;
    }
    if (members != NULL)
        TRY(members_move(database, actor, before->id, members, &moved, ret_problem));
    if (*ret_problem != MG_SCIM_FINE)
        return OK;
    TRY(change_text(before, name, external_id, &moved, &text));
    if (text.length == 0) /* it is so already */
        return OK;
    if (before->roles.length != 0)
        TRY(moved_follow(database, actor, &moved));
    TRY(group_record(actor, MG_EVENT_group_change, before->name, "change", mg_buffer_view(&text)));
    return mg_transaction_commit(&transaction);
}

/* What a statement or the rules say of a change, as an answer. */
static CHECKED struct mg_status
problem_of(struct mg_status status, enum mg_scim_problem *ret_problem)
{
    if (status.code == MG_EXISTS)
        *ret_problem = MG_SCIM_PROBLEM_uniqueness;
    else if (status.code == MG_REFUSED)
        *ret_problem = MG_SCIM_PROBLEM_last_administrator;
    else
        return status;
    return OK;
}

struct mg_status
mg_group_store(struct mg_database *database, const struct mg_group_actor *actor,
               const struct mg_group *before, struct mg_view name, struct mg_view external_id,
               const struct mg_group_members *members, enum mg_scim_problem *ret_problem)
{
    *ret_problem = MG_SCIM_FINE;
    if (before->roles.length == 0) /* nobody's rights change */
        return problem_of(store(database, actor, before, name, external_id, members, ret_problem),
                          ret_problem);
    OWN_EFFECTS(true);
    return problem_of(store(database, actor, before, name, external_id, members, ret_problem), ret_problem);
}

/* Within the transaction that writes them into a group: are they all still roles? Roles are removed under the
 * tenant's lock by whoever sees no group that gives them; who comes second sees what the first left. The row
 * of a group that is there is locked before. */
static CHECKED struct mg_status
roles_stand(struct mg_database *database, uint64_t tenant, struct mg_view roles,
            enum mg_scim_problem *ret_problem)
{
    struct mg_view unknown;
    if (roles.length == 0)
        return OK;
    TRY(mg_right_administrators_lock(database, tenant));
    TRY(mg_right_roles_exist(database, tenant, roles, &unknown));
    if (unknown.length != 0)
        *ret_problem = MG_SCIM_PROBLEM_precondition;
    return OK;
}

struct mg_status
mg_group_create(struct mg_database *database, const struct mg_group_actor *actor, struct mg_view name,
                struct mg_view external_id, struct mg_view roles, uint64_t *ret_group,
                enum mg_scim_problem *ret_problem)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    *ret_problem = MG_SCIM_FINE;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(roles_stand(database, actor->tenant, roles, ret_problem)); /* first: the row refers to the tenant's */
    if (*ret_problem != MG_SCIM_FINE)
        return OK;
    const struct mg_status status = mg_query(
        database, &rows,
        "INSERT INTO tenant_group (tenant, name, external_id, roles, created_at, changed_at, directory)"
        " SELECT $1, $2, $3, $4, $5, $5, $7 WHERE (SELECT count(*) FROM tenant_group WHERE tenant = $1) < $6"
        " RETURNING id",
        MG_I64(actor->tenant), MG_TEXT(name), MG_TEXT(external_id), MG_TEXT(roles), MG_INSTANT(mg_now()),
        MG_I64(GROUPS_MOST), MG_FLAG(actor->directory));
    TRY(problem_of(status, ret_problem));
    if (*ret_problem != MG_SCIM_FINE)
        return OK;
    if (mg_rows_count(rows) == 0) {
        *ret_problem = MG_SCIM_PROBLEM_too_many;
        return OK;
    }
    TRY(group_record(actor, MG_EVENT_group_create, name, "roles", roles));
    *ret_group = (uint64_t) mg_rows_i64(rows, 0, 0);
    return mg_transaction_commit(&transaction);
}

static CHECKED struct mg_status delete (struct mg_database *database, const struct mg_group_actor *actor,
                                        const struct mg_group *group, enum mg_scim_problem *ret_problem)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) gone = NULL;
    MG_CLEANUP(moved_drop) struct moved moved = {0};
    const struct mg_group_members nobody = {.leave_all = true, .join = MG_BUFFER(1), .leave = MG_BUFFER(1)};
    TRY(mg_transaction_begin(database, &transaction));
    TRY(members_move(database, actor, group->id, &nobody, &moved, ret_problem));
    if (group->roles.length != 0)
        TRY(moved_follow(database, actor, &moved)); /* first: it may be refused */
    TRY(group_record(actor, MG_EVENT_group_delete, group->name, "roles", group->roles));
    TRY(mg_query(database, &gone, "DELETE FROM tenant_group WHERE id = $1 AND version = $2",
                 MG_I64(group->id), MG_I64(group->version)));
    if (mg_rows_affected(gone) != 1) {
        *ret_problem = MG_SCIM_PROBLEM_precondition;
        return OK;
    }
    return mg_transaction_commit(&transaction);
}

struct mg_status
mg_group_delete(struct mg_database *database, const struct mg_group_actor *actor,
                const struct mg_group *group, enum mg_scim_problem *ret_problem)
{
    *ret_problem = MG_SCIM_FINE;
    if (group->roles.length == 0)
        return problem_of(delete (database, actor, group, ret_problem), ret_problem);
    OWN_EFFECTS(true);
    return problem_of(delete (database, actor, group, ret_problem), ret_problem);
}

/* People whose roles follow a group's: numbers. */
struct accounts {
    uint64_t *list;
    size_t count, room;
};

static void
accounts_drop(struct accounts *accounts)
{
    free(accounts->list);
    *accounts = (struct accounts){0};
}

static CHECKED struct mg_status
accounts_keep(struct accounts *accounts, const struct mg_rows *rows)
{
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        if (accounts->count == accounts->room) {
            const size_t room = accounts->room == 0 ? CHUNK : 2 * accounts->room;
            uint64_t *list = reallocarray(accounts->list, room, sizeof *list);
            if (list == NULL)
                return fail(OUT_OF_MEMORY);
            accounts->list = list;
            accounts->room = room;
        }
        accounts->list[accounts->count++] = (uint64_t) mg_rows_i64(rows, i, 0);
    }
    return OK;
}

static CHECKED struct mg_status
some_follow(struct mg_database *database, const struct mg_group_actor *actor, struct mg_buffer *accounts,
            const struct mg_group_instead *instead, uint64_t *changed)
{
    OWN_EFFECTS(true);
    OWN(transaction) transaction = NULL;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(accounts_follow(database, actor, accounts, instead, changed));
    return mg_transaction_commit(&transaction);
}

/* One pass through the members, a few at a time, so that nobody's sign-in waits for all of them. Who they
 * were is kept in `seen`, if it is wanted. */
static CHECKED struct mg_status
members_follow(struct mg_database *database, const struct mg_group_actor *actor, uint64_t group,
               const struct mg_group_instead *instead, struct accounts *seen, uint64_t *changed)
{
    uint64_t after = 0;
    for (;;) {
        OWN(rows) rows = NULL;
        OWN_BUFFER(accounts, 65536);
        TRY(mg_query(
            database, &rows,
            "SELECT DISTINCT account FROM group_member WHERE \"group\" = $1 AND account > $2 ORDER BY account"
            " LIMIT $3",
            MG_I64(group), MG_I64(after), MG_I64(CHUNK)));
        if (mg_rows_count(rows) == 0)
            return OK;
        after = (uint64_t) mg_rows_i64(rows, mg_rows_count(rows) - 1, 0);
        if (seen != NULL)
            TRY(accounts_keep(seen, rows));
        TRY(accounts_add(rows, &accounts));
        TRY(some_follow(database, actor, &accounts, instead, changed));
    }
}

/* The same for those of an earlier pass, who may have left since. */
static CHECKED struct mg_status
seen_follow(struct mg_database *database, const struct mg_group_actor *actor, const struct accounts *seen,
            const struct mg_group_instead *instead, uint64_t *changed)
{
    for (size_t start = 0; start < seen->count; start += CHUNK) {
        OWN_BUFFER(accounts, 65536);
        for (size_t i = start; i < seen->count && i < start + CHUNK; i++)
            TRY(mg_buffer_format(&accounts, "%c%" PRIu64, accounts.length == 0 ? '{' : ',', seen->list[i]));
        TRY(some_follow(database, actor, &accounts, instead, changed));
    }
    return OK;
}

/* The group itself: unless it was removed or given others meanwhile, or one of these roles is no more. */
static CHECKED struct mg_status
roles_write(struct mg_database *database, uint64_t tenant, const struct mg_group *group, struct mg_view roles,
            enum mg_scim_problem *ret_problem)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) written = NULL;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(database, &written,
                 "UPDATE tenant_group SET roles = $2, version = version + 1, changed_at = $3"
                 " WHERE id = $1 AND roles = $4",
                 MG_I64(group->id), MG_TEXT(roles), MG_INSTANT(mg_now()), MG_TEXT(group->roles)));
    if (mg_rows_affected(written) != 1)
        *ret_problem = MG_SCIM_PROBLEM_precondition;
    else
        TRY(roles_stand(database, tenant, roles, ret_problem));
    return *ret_problem == MG_SCIM_FINE ? mg_transaction_commit(&transaction) : OK;
}

/* The members first, the group last: if it ends halfway, the group still says what was, and asking again does
 * the rest. Whoever joins or leaves meanwhile is seen to by the second pass. Of several who saw the same
 * roles and give others at once, one does. */
static CHECKED struct mg_status
roles_set(struct mg_database *database, const struct mg_group_actor *actor, const struct mg_group *group,
          struct mg_view roles, uint64_t *ret_changed, enum mg_scim_problem *ret_problem)
{
    const struct mg_group_instead instead = {.group = group->id, .roles = roles};
    const struct mg_group_instead undone = {.governs = roles};
    MG_CLEANUP(accounts_drop) struct accounts seen = {0};
    OWN_BUFFER(text, 2200);
    TRY(mg_buffer_format(&text, "roles: \"%.*s\" -> \"%.*s\"", (int) group->roles.length,
                         (const char *) group->roles.bytes, (int) roles.length, (const char *) roles.bytes));
    TRY(group_record(actor, MG_EVENT_group_change, group->name, "change", mg_buffer_view(&text)));
    TRY(members_follow(database, actor, group->id, &instead, &seen, ret_changed));
    TRY(roles_write(database, actor->tenant, group, roles, ret_problem));
    if (*ret_problem != MG_SCIM_FINE) /* ours go again */
        return seen_follow(database, actor, &seen, &undone, ret_changed);
    TRY(seen_follow(database, actor, &seen, NULL, ret_changed));
    return members_follow(database, actor, group->id, NULL, NULL, ret_changed);
}

struct mg_status
mg_group_roles_set(struct mg_database *database, const struct mg_group_actor *actor,
                   const struct mg_group *group, struct mg_view roles, uint64_t *ret_changed,
                   enum mg_scim_problem *ret_problem)
{
    *ret_problem = MG_SCIM_FINE;
    *ret_changed = 0;
    return problem_of(roles_set(database, actor, group, roles, ret_changed, ret_problem), ret_problem);
}

/* ---- what identity providers say ---- */

static CHECKED struct mg_status
joined_record(const struct mg_group_actor *actor, struct mg_view login, const struct mg_rows *rows)
{
    OWN_BUFFER(text, 2048);
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        const struct mg_view sign = mg_rows_text(rows, i, 0), name = mg_rows_text(rows, i, 1);
        if (text.length + name.length < 1000)
            TRY(mg_buffer_format(&text, "%s%.*s%.*s", text.length == 0 ? "" : " ", (int) sign.length,
                                 (const char *) sign.bytes, (int) name.length, (const char *) name.bytes));
    }
    const struct mg_core_detail details[] = {{"groups", mg_buffer_view(&text)}};
    return mg_core_record(&(struct mg_core_record){.event = MG_EVENT_user_change,
                                                   .tenant = actor->tenant,
                                                   .actor = actor->actor,
                                                   .target = login,
                                                   .reason = mg_view_text(actor->reason),
                                                   .details = details,
                                                   .detail_count = 1});
}

struct mg_status
mg_group_join_named(struct mg_database *database, uint64_t tenant, uint64_t provider,
                    const struct mg_account *account, struct mg_view lines)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    const struct mg_group_actor actor = {NULL, tenant, "GROUPS", false};
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(
        database, &rows,
        "WITH named AS (SELECT grp.id FROM tenant_group grp WHERE grp.tenant = $1 AND (grp.name = ANY"
        " (string_to_array($4, E'\\n')) OR grp.external_id <> '' AND grp.external_id = ANY"
        " (string_to_array($4, E'\\n')))),"
        " gone AS (DELETE FROM group_member m WHERE m.account = $3 AND m.provider = $2"
        " AND NOT EXISTS (SELECT FROM named n WHERE n.id = m.\"group\") RETURNING m.\"group\" AS id),"
        " new AS (INSERT INTO group_member (\"group\", account, provider) SELECT n.id, $3, $2 FROM named n"
        " ON CONFLICT DO NOTHING RETURNING \"group\" AS id)"
        " SELECT '+'::text, grp.name FROM new JOIN tenant_group grp ON grp.id = new.id"
        " UNION ALL SELECT '-'::text, grp.name FROM gone JOIN tenant_group grp ON grp.id = gone.id",
        MG_I64(tenant), MG_I64(provider), MG_I64(account->id), MG_TEXT(lines)));
    if (mg_rows_count(rows) == 0)
        return OK;
    TRY(joined_record(&actor, account->login, rows));
    return mg_transaction_commit(&transaction);
}
