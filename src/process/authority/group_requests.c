/* Groups of a tenant, as its people and operators see and change them. */
#include "domain/group_roles.h"
#include "process/authority/requests.h"
#include "process/authority/scim.h"

#include <inttypes.h>

#define NAME_REASON "GROUP_NAME|"
enum { PAGE_ROWS = 100, LIST_BYTES = 120000, ROW_BYTES = 2048 };

/* A name as it is kept: no control characters, not empty. */
static bool
name_is_valid(struct mg_view name)
{
    for (size_t i = 0; i < name.length; i++)
        if (name.bytes[i] < 0x20 || name.bytes[i] == 0x7F)
            return false;
    return name.length != 0 && name.length <= MG_SCIM_TEXT_MOST && mg_view_is_utf8(name);
}

/* Of this number, or with 0 of this name. */
static CHECKED struct mg_status
group_find(struct mg_database *database, uint64_t tenant, uint64_t number, struct mg_view name,
           struct mg_rows **ret_rows, struct mg_group *ret_group, enum mg_outcome *ret_outcome)
{
    OWN(rows) rows = NULL;
    *ret_outcome = MG_NOT_KNOWN;
    if (number > INT64_MAX)
        return OK;
    if (number != 0)
        TRY(mg_group_numbered(database, tenant, number, &rows));
    else
        TRY(mg_query(database, &rows,
                     "SELECT " MG_GROUP_COLUMNS " FROM tenant_group grp WHERE grp.tenant = $1 AND"
                     " lower(grp.name) = lower($2::text)",
                     MG_I64(tenant), MG_TEXT(name)));
    if (mg_rows_count(rows) == 0)
        return OK;
    mg_group_read(rows, 0, ret_group);
    *ret_rows = TAKE(rows);
    *ret_outcome = MG_GRANTED;
    return OK;
}

/* A directory rules its groups as long as it can: with a token that may provision. What it rules is changed
 * there, but for the roles, of which it knows nothing. */
static CHECKED struct mg_status
directory_rules(struct mg_database *database, uint64_t tenant, bool *ret_rules)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "SELECT EXISTS (SELECT FROM account acc JOIN api_token t ON t.account = acc.id WHERE"
                 " acc.tenant = $1 AND acc.service AND acc.disabled_at IS NULL AND t.expires_at > $2"
                 " AND 'users.provision' = ANY (string_to_array(t.permissions, ' ')))",
                 MG_I64(tenant), MG_INSTANT(mg_now())));
    *ret_rules = mg_rows_flag(rows, 0, 0);
    return OK;
}

/* Not when a directory rules it. */
static CHECKED struct mg_status
group_to_change(struct mg_database *database, uint64_t tenant, uint64_t number, struct mg_view name,
                struct mg_rows **ret_rows, struct mg_group *ret_group, enum mg_outcome *ret_outcome)
{
    bool rules = false;
    TRY(group_find(database, tenant, number, name, ret_rows, ret_group, ret_outcome));
    if (*ret_outcome != MG_GRANTED || !ret_group->directory)
        return OK;
    TRY(directory_rules(database, tenant, &rules));
    if (rules)
        *ret_outcome = MG_OF_DIRECTORY;
    return OK;
}

static CHECKED struct mg_status
group_row_add(const struct mg_rows *rows, size_t row, bool rules, struct mg_buffer *list)
{
    struct mg_group group;
    mg_group_read(rows, row, &group);
    return mg_list_add_group_row(list, &(struct mg_record_group_row){.group = group.id,
                                                                     .name = group.name,
                                                                     .external_id = group.external_id,
                                                                     .roles = group.roles,
                                                                     .members = group.members,
                                                                     .directory = group.directory && rules,
                                                                     .changed_at = group.changed_at});
}

MG_HANDLER_PUBLIC(group_list)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, LIST_BYTES);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(group_list, call, request->session, request->tenant, &right, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_group_list(call, &(struct mg_reply_group_list){.outcome = outcome});
    TRY(mg_core_database(&database));
    TRY(mg_query(database, &rows,
                 "SELECT " MG_GROUP_COLUMNS " FROM tenant_group grp WHERE grp.tenant = $1"
                 " AND lower(grp.name) > lower($2::text)"
                 " AND ($3 = '' OR starts_with(lower(grp.name), lower($3::text)))"
                 " ORDER BY lower(grp.name) LIMIT $4",
                 MG_I64(right.tenant.number), MG_TEXT(request->after), MG_TEXT(request->search),
                 MG_I64(PAGE_ROWS + 1)));
    const size_t count = mg_rows_count(rows);
    size_t shown = 0;
    bool rules = false;
    TRY(directory_rules(database, right.tenant.number, &rules));
    while (shown < count && shown < PAGE_ROWS && list.length < LIST_BYTES - ROW_BYTES)
        TRY(group_row_add(rows, shown++, rules, &list));
    return mg_answer_group_list(
        call, &(struct mg_reply_group_list){
                  .outcome = MG_GRANTED, .more = shown < count, .groups = {.bytes = mg_buffer_view(&list)}});
}

static CHECKED struct mg_status
member_rows_add(struct mg_database *database, uint64_t group, uint64_t after, struct mg_buffer *list,
                bool *ret_more)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(
        database, &rows,
        "SELECT DISTINCT ON (acc.id) acc.id, acc.login, acc.name, coalesce(p.name, '') FROM group_member m"
        " JOIN account acc ON acc.id = m.account LEFT JOIN identity_provider p ON p.id = m.provider"
        " WHERE m.\"group\" = $1 AND m.account > $2 ORDER BY acc.id, m.provider LIMIT $3",
        MG_I64(group), MG_I64(after), MG_I64(PAGE_ROWS + 1)));
    for (size_t i = 0; i < mg_rows_count(rows) && i < PAGE_ROWS; i++)
        TRY(mg_list_add_group_member_row(
            list, &(struct mg_record_group_member_row){.user = (uint64_t) mg_rows_i64(rows, i, 0),
                                                       .login = mg_rows_text(rows, i, 1),
                                                       .name = mg_rows_text(rows, i, 2),
                                                       .provider = mg_rows_text(rows, i, 3)}));
    *ret_more = mg_rows_count(rows) > PAGE_ROWS;
    return OK;
}

MG_HANDLER_PUBLIC(group_detail)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, LIST_BYTES);
    struct mg_right right;
    struct mg_group group = {.id = 0};
    struct mg_reply_group_detail reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(group_detail, call, request->session, request->tenant, &right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(group_find(database, right.tenant.number, request->group, request->name, &rows, &group,
                       &outcome));
    if (outcome == MG_GRANTED) {
        reply.group = group.id;
        reply.name = group.name;
        reply.external_id = group.external_id;
        reply.roles = group.roles;
        reply.count = group.members;
        TRY(directory_rules(database, right.tenant.number, &reply.directory));
        reply.directory = reply.directory && group.directory;
        TRY(member_rows_add(database, group.id, request->after, &list, &reply.more));
        reply.members.bytes = mg_buffer_view(&list);
    }
    reply.outcome = outcome;
    return mg_answer_group_detail(call, &reply);
}

static void
outcome_of(enum mg_scim_problem problem, enum mg_outcome *ret_outcome, const char **ret_reason)
{
    if (problem == MG_SCIM_PROBLEM_last_administrator) {
        *ret_outcome = MG_LAST_ADMINISTRATOR;
    } else if (problem == MG_SCIM_PROBLEM_uniqueness) {
        *ret_outcome = MG_TAKEN;
    } else if (problem == MG_SCIM_PROBLEM_precondition) {
        *ret_outcome = MG_CHANGED_MEANWHILE;
    } else if (problem == MG_SCIM_PROBLEM_too_many) {
        *ret_outcome = MG_TOO_MANY;
    } else if (problem != MG_SCIM_FINE) {
        *ret_outcome = MG_NOT_VALID;
        *ret_reason = mg_scim_problem_code(problem);
    }
}

enum { EITHER = 0, MAKE, CHANGE };

static CHECKED struct mg_status
set_run(struct mg_database *database, const struct mg_right *right,
        const struct mg_request_group_set *request, const char **ret_reason, struct mg_reply_group_set *reply,
        enum mg_outcome *ret_outcome)
{
    OWN(rows) rows = NULL;
    struct mg_group group = {.roles = MG_VIEW_EMPTY};
    enum mg_outcome found = MG_GRANTED;
    enum mg_scim_problem problem = MG_SCIM_FINE;
    const struct mg_group_actor actor = {&right->actor, right->tenant.number, "CONSOLE", false};
    if (right->tenant.number == 0 || (request->group == 0 && !name_is_valid(request->name))) {
        *ret_reason = NAME_REASON;
        *ret_outcome = MG_NOT_VALID;
        return OK;
    }
    TRY(group_find(database, right->tenant.number, request->group, request->name, &rows, &group, &found));
    *ret_outcome = found == MG_GRANTED && request->how == MAKE                                ? MG_TAKEN
                   : found == MG_NOT_KNOWN && (request->how == CHANGE || request->group != 0) ? MG_NOT_KNOWN
                                                                                              : MG_GRANTED;
    reply->group = group.id;
    if (*ret_outcome == MG_GRANTED && found == MG_GRANTED &&
        !mg_is_as_expected(request->expected, group.roles))
        *ret_outcome = MG_CHANGED_MEANWHILE;
    if (*ret_outcome == MG_GRANTED)
        TRY(mg_right_roles_judge(database, right, group.roles, request->roles, ret_reason, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    if (found == MG_GRANTED)
        TRY(mg_group_roles_set(database, &actor, &group, request->roles, &reply->changed, &problem));
    else
        TRY(mg_group_create(database, &actor, request->name, MG_VIEW_EMPTY, request->roles, &reply->group,
                            &problem));
    outcome_of(problem, ret_outcome, ret_reason);
    return OK;
}

MG_HANDLER_PUBLIC(group_set)
{
    OWN(database) database = NULL;
    struct mg_right right;
    struct mg_reply_group_set reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    const char *reason = NULL;
    TRY(MG_RIGHT_ASK(group_set, call, request->session, request->tenant, &right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(set_run(database, &right, request, &reason, &reply, &outcome));
    reply.outcome = outcome;
    reply.reason = mg_view_text(reason);
    return mg_answer_group_set(call, &reply);
}

/* A name is what identity providers and people call a group by: renaming one into the other's place gives
 * rights, so whoever does it may give the group's roles. */
static CHECKED struct mg_status
rename_run(struct mg_database *database, const struct mg_right *right,
           const struct mg_request_group_rename *request, const char **ret_reason,
           enum mg_outcome *ret_outcome)
{
    OWN(rows) rows = NULL;
    struct mg_group group = {.id = 0};
    enum mg_scim_problem problem = MG_SCIM_FINE;
    const struct mg_group_actor actor = {&right->actor, right->tenant.number, "CONSOLE", false};
    TRY(group_to_change(database, right->tenant.number, request->group, request->name, &rows, &group,
                        ret_outcome));
    if (*ret_outcome == MG_GRANTED)
        TRY(mg_right_roles_judge(database, right, MG_VIEW_EMPTY, group.roles, ret_reason, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    if (!name_is_valid(request->new_name)) {
        *ret_reason = NAME_REASON;
        *ret_outcome = MG_NOT_VALID;
        return OK;
    }
    TRY(mg_group_store(database, &actor, &group, request->new_name, group.external_id, NULL, &problem));
    outcome_of(problem, ret_outcome, ret_reason);
    return OK;
}

MG_HANDLER_PUBLIC(group_rename)
{
    OWN(database) database = NULL;
    struct mg_right right;
    struct mg_reply_group_rename reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    const char *reason = NULL;
    TRY(MG_RIGHT_ASK(group_rename, call, request->session, request->tenant, &right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(rename_run(database, &right, request, &reason, &outcome));
    reply.outcome = outcome;
    reply.reason = mg_view_text(reason);
    return mg_answer_group_rename(call, &reply);
}

static CHECKED struct mg_status
member_run(struct mg_database *database, const struct mg_right *right,
           const struct mg_request_group_member_set *request, const char **ret_reason,
           enum mg_outcome *ret_outcome)
{
    OWN(rows) rows = NULL;
    OWN(rows) user = NULL;
    struct mg_group group = {.id = 0};
    enum mg_scim_problem problem = MG_SCIM_FINE;
    struct mg_group_members members = {.join = MG_BUFFER(64), .leave = MG_BUFFER(64)};
    const struct mg_group_actor actor = {&right->actor, right->tenant.number, "CONSOLE", false};
    TRY(group_to_change(database, right->tenant.number, request->group, request->name, &rows, &group,
                        ret_outcome));
    if (*ret_outcome == MG_GRANTED) /* membership gives the group's roles */
        TRY(mg_right_roles_judge(database, right, MG_VIEW_EMPTY, group.roles, ret_reason, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(mg_query(database, &user, "SELECT id FROM account WHERE tenant = $1 AND login = $2 AND NOT service",
                 MG_I64(right->tenant.number), MG_TEXT(request->login)));
    if (mg_rows_count(user) == 0) {
        *ret_outcome = MG_NOT_KNOWN;
        return OK;
    }
    struct mg_buffer *list = request->member ? &members.join : &members.leave;
    struct mg_status status = mg_buffer_format(list, "{%" PRId64 "}", mg_rows_i64(user, 0, 0));
    if (mg_ok(status))
        status = mg_group_store(database, &actor, &group, group.name, group.external_id, &members, &problem);
    mg_buffer_drop(&members.join);
    mg_buffer_drop(&members.leave);
    outcome_of(problem, ret_outcome, ret_reason);
    return status;
}

MG_HANDLER_PUBLIC(group_member_set)
{
    OWN(database) database = NULL;
    struct mg_right right;
    struct mg_reply_group_member_set reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    const char *reason = NULL;
    TRY(MG_RIGHT_ASK(group_member_set, call, request->session, request->tenant, &right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(member_run(database, &right, request, &reason, &outcome));
    reply.outcome = outcome;
    reply.reason = mg_view_text(reason);
    return mg_answer_group_member_set(call, &reply);
}

MG_HANDLER_PUBLIC(group_remove)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    struct mg_right right;
    struct mg_group group = {.id = 0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    enum mg_scim_problem problem = MG_SCIM_FINE;
    const char *reason = NULL;
    TRY(MG_RIGHT_ASK(group_remove, call, request->session, request->tenant, &right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(group_to_change(database, right.tenant.number, request->group, request->name, &rows, &group,
                            &outcome));
    if (outcome == MG_GRANTED)
        TRY(mg_right_roles_judge(database, &right, group.roles, MG_VIEW_EMPTY, &reason, &outcome));
    const struct mg_group_actor actor = {&right.actor, right.tenant.number, "CONSOLE", false};
    if (outcome == MG_GRANTED)
        TRY(mg_group_delete(database, &actor, &group, &problem));
    outcome_of(problem, &outcome, &reason);
    return mg_answer_group_remove(call, &(struct mg_reply_group_remove){.outcome = outcome});
}
