/* SCIM: groups of a tenant and their members (RFC 7644). */
#include "process/authority/scim.h"

#include "process/authority/requests.h"

#include <inttypes.h>

enum { REPLY_BYTES = 122880, ROW_BYTES = 1024, MEMBERS_PAGE = 400, MEMBERS_MOST = MG_SCIM_MEMBERS_MOST };

/* ---- reading ---- */

static CHECKED struct mg_status
group_add(const struct mg_rows *rows, size_t row, struct mg_buffer *list)
{
    struct mg_group group;
    mg_group_read(rows, row, &group);
    return mg_list_add_scim_group(list, &(struct mg_record_scim_group){.group = group.id,
                                                                       .name = group.name,
                                                                       .external_id = group.external_id,
                                                                       .version = group.version,
                                                                       .created_at = group.created_at,
                                                                       .changed_at = group.changed_at,
                                                                       .members = group.members});
}

static CHECKED struct mg_status
groups_where(const struct mg_request_scim_groups *request, uint64_t tenant,
             struct mg_scim_statement *statement)
{
    size_t number = 0;
    TRY(mg_scim_value(statement, MG_I64(tenant), &number));
    TRY(mg_buffer_format(&statement->sql, " FROM tenant_group grp WHERE grp.tenant = $%zu", number));
    if (request->group != 0) {
        TRY(mg_scim_value(statement, MG_I64(request->group), &number));
        TRY(mg_buffer_format(&statement->sql, " AND grp.id = $%zu", number));
    }
    return mg_scim_where(statement, MG_SCIM_GROUP, request->filter);
}

static CHECKED struct mg_status
groups_count(struct mg_database *database, const struct mg_request_scim_groups *request, uint64_t tenant,
             uint64_t *ret_total)
{
    MG_CLEANUP(mg_scim_statement_drop) struct mg_scim_statement statement;
    OWN(rows) rows = NULL;
    TRY(mg_scim_statement_begin(&statement));
    TRY(mg_buffer_add_text(&statement.sql, "SELECT count(*)"));
    TRY(groups_where(request, tenant, &statement));
    TRY(mg_scim_run(database, &statement, &rows));
    *ret_total = (uint64_t) mg_rows_i64(rows, 0, 0);
    return OK;
}

static CHECKED struct mg_status
groups_page(struct mg_database *database, const struct mg_request_scim_groups *request, uint64_t tenant,
            struct mg_buffer *list)
{
    MG_CLEANUP(mg_scim_statement_drop) struct mg_scim_statement statement;
    OWN(rows) rows = NULL;
    size_t offset = 0, limit = 0;
    TRY(mg_scim_statement_begin(&statement));
    TRY(mg_buffer_add_text(&statement.sql, "SELECT " MG_GROUP_COLUMNS));
    TRY(groups_where(request, tenant, &statement));
    TRY(mg_scim_order(&statement, MG_SCIM_GROUP, request->sort_by, request->descending));
    TRY(mg_scim_value(&statement, MG_I64(request->start == 0 ? 0 : request->start - 1), &offset));
    TRY(mg_scim_value(&statement, MG_I64(request->count), &limit));
    TRY(mg_buffer_format(&statement.sql, " OFFSET $%zu LIMIT $%zu", offset, limit));
    TRY(mg_scim_run(database, &statement, &rows));
    for (size_t i = 0; i < mg_rows_count(rows) && list->length + ROW_BYTES < REPLY_BYTES; i++)
        TRY(group_add(rows, i, list));
    return OK;
}

MG_HANDLER_PUBLIC(scim_groups)
{
    OWN(database) database = NULL;
    OWN_BUFFER(list, REPLY_BYTES);
    struct mg_right right;
    struct mg_reply_scim_groups reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(scim_groups, call, request->session, MG_VIEW_EMPTY, &right, &outcome));
    if (outcome == MG_GRANTED) {
        TRY(mg_core_database(&database));
        if (request->count != 0)
            TRY(groups_page(database, request, right.tenant.number, &list));
        if (request->group == 0)
            TRY(groups_count(database, request, right.tenant.number, &reply.total));
    }
    reply.outcome = outcome;
    reply.groups.bytes = mg_buffer_view(&list);
    return mg_answer_scim_groups(call, &reply);
}

MG_HANDLER_PUBLIC(scim_members)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, REPLY_BYTES);
    struct mg_right right;
    struct mg_reply_scim_members reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(MG_RIGHT_ASK(scim_members, call, request->session, MG_VIEW_EMPTY, &right, &outcome));
    reply.outcome = outcome;
    if (outcome != MG_GRANTED)
        return mg_answer_scim_members(call, &reply);
    TRY(mg_core_database(&database));
    TRY(mg_query(
        database, &rows,
        "SELECT DISTINCT acc.id, acc.login FROM group_member m JOIN tenant_group grp ON grp.id = m.\"group\""
        " JOIN account acc ON acc.id = m.account WHERE grp.id = $1 AND grp.tenant = $2 AND m.account > $3"
        " ORDER BY acc.id LIMIT $4",
        MG_I64(request->group), MG_I64(right.tenant.number), MG_I64(request->after),
        MG_I64(MEMBERS_PAGE + 1)));
    for (size_t i = 0; i < mg_rows_count(rows) && i < MEMBERS_PAGE; i++)
        TRY(mg_list_add_scim_member_row(
            &list, &(struct mg_record_scim_member_row){.user = (uint64_t) mg_rows_i64(rows, i, 0),
                                                       .login = mg_rows_text(rows, i, 1)}));
    reply.more = mg_rows_count(rows) > MEMBERS_PAGE;
    reply.members.bytes = mg_buffer_view(&list);
    return mg_answer_scim_members(call, &reply);
}

/* ---- changing ---- */

struct change {
    const struct mg_request_scim_group_change *request;
    struct mg_database *database;
    struct mg_group_actor actor;
    struct mg_rows *rows; /* of the group as it is; NULL for a new one */
    struct mg_group before;
    struct mg_view name, external_id;
    struct mg_group_members members;
    enum mg_scim_problem problem;
    const char *about;
    uint64_t group;
};

static void
change_drop(struct change *change)
{
    mg_rows_drop(&change->rows);
    mg_buffer_drop(&change->members.join);
    mg_buffer_drop(&change->members.leave);
}

static CHECKED struct mg_status
changes_take(struct change *change)
{
    struct mg_list list = change->request->changes;
    for (;;) {
        struct mg_record_scim_change one;
        bool more = false;
        TRY(mg_scim_change_next(&list, MG_SCIM_GROUP, &one, &more));
        if (!more)
            break;
        if (one.attribute == MG_SCIM_group_name && !one.clear)
            change->name = one.text;
        else if (one.attribute == MG_SCIM_group_external_id)
            change->external_id = one.clear ? MG_VIEW_EMPTY : one.text;
        else
            return fail_with(MALFORMED, "a change that no reader of ours makes");
    }
    if (change->name.length == 0) {
        change->problem = MG_SCIM_PROBLEM_value;
        change->about = "displayName";
    }
    return OK;
}

static CHECKED struct mg_status
number_add(struct mg_buffer *text, uint64_t number)
{
    return mg_buffer_format(text, "%c%" PRIu64, text->length == 0 ? '{' : ',', number);
}

/* The last word on each counts: who joins and then leaves has left. */
static CHECKED struct mg_status
members_take(struct change *change)
{
    struct mg_record_scim_member all[MEMBERS_MOST];
    struct mg_list list = change->request->members;
    size_t count = 0;
    for (;;) {
        bool more = false;
        if (count == MEMBERS_MOST)
            return fail_with(MALFORMED, "more members than a request has");
        TRY(mg_list_next_scim_member(&list, &all[count], &more));
        if (!more)
            break;
        if (all[count].act == MG_SCIM_LEAVE_ALL) {
            change->members.leave_all = true;
            count = 0;
        } else if ((all[count].act == MG_SCIM_JOIN || all[count].act == MG_SCIM_LEAVE) &&
                   all[count].user != 0 && all[count].user <= INT64_MAX) {
            count++;
        } else {
            return fail_with(MALFORMED, "a member that no reader of ours makes");
        }
    }
    for (size_t i = 0; i < count; i++) {
        bool later = false;
        for (size_t k = i + 1; k < count && !later; k++)
            later = all[k].user == all[i].user;
        if (!later)
            TRY(number_add(all[i].act == MG_SCIM_JOIN ? &change->members.join : &change->members.leave,
                           all[i].user));
    }
    if (change->members.join.length != 0)
        TRY(mg_buffer_add_text(&change->members.join, "}"));
    if (change->members.leave.length != 0)
        TRY(mg_buffer_add_text(&change->members.leave, "}"));
    return OK;
}

static void
refuse(struct change *change, enum mg_scim_problem problem)
{
    change->problem = problem;
    change->about = problem == MG_SCIM_PROBLEM_uniqueness ? "displayName"
                    : problem == MG_SCIM_PROBLEM_value    ? "members"
                                                          : NULL;
}

static CHECKED struct mg_status
group_create(struct change *change)
{
    OWN(rows) rows = NULL;
    enum mg_scim_problem problem = MG_SCIM_FINE;
    TRY(mg_group_create(change->database, &change->actor, change->name, change->external_id, MG_VIEW_EMPTY,
                        &change->group, &problem));
    if (problem == MG_SCIM_FINE && change->members.join.length != 0) {
        TRY(mg_group_numbered(change->database, change->actor.tenant, change->group, &rows));
        if (mg_rows_count(rows) == 0)
            return fail_with(NOT_FOUND, "the group is gone");
        mg_group_read(rows, 0, &change->before);
        TRY(mg_group_store(change->database, &change->actor, &change->before, change->name,
                           change->external_id, &change->members, &problem));
        /* Whole or not at all: it had nobody yet, and no rights. */
        enum mg_scim_problem undone = MG_SCIM_FINE;
        if (problem != MG_SCIM_FINE)
            TRY(mg_group_delete(change->database, &change->actor, &change->before, &undone));
    }
    if (problem != MG_SCIM_FINE)
        refuse(change, problem);
    return OK;
}

static CHECKED struct mg_status
existing_find(struct change *change)
{
    const struct mg_request_scim_group_change *request = change->request;
    TRY(mg_group_numbered(change->database, change->actor.tenant, request->group, &change->rows));
    if (mg_rows_count(change->rows) == 0) {
        change->problem = MG_SCIM_PROBLEM_not_found;
        return OK;
    }
    mg_group_read(change->rows, 0, &change->before);
    change->group = change->before.id;
    change->name = change->before.name;
    change->external_id = change->before.external_id;
    if (!mg_scim_version_fits(request->versions, change->before.version))
        change->problem = MG_SCIM_PROBLEM_precondition;
    return OK;
}

static CHECKED struct mg_status
change_run(struct change *change)
{
    enum mg_scim_problem problem = MG_SCIM_FINE;
    if (change->request->act != MG_SCIM_CREATE)
        TRY(existing_find(change));
    if (change->problem != MG_SCIM_FINE)
        return OK;
    if (change->request->act == MG_SCIM_DELETE) {
        TRY(mg_group_delete(change->database, &change->actor, &change->before, &problem));
    } else {
        TRY(changes_take(change));
        TRY(members_take(change));
        if (change->problem != MG_SCIM_FINE)
            return OK;
        if (change->rows == NULL)
            return group_create(change);
        TRY(mg_group_store(change->database, &change->actor, &change->before, change->name,
                           change->external_id, &change->members, &problem));
    }
    if (problem != MG_SCIM_FINE)
        refuse(change, problem);
    return OK;
}

MG_HANDLER_PUBLIC(scim_group_change)
{
    OWN(database) database = NULL;
    OWN(rows) now = NULL;
    OWN_BUFFER(list, 1024);
    MG_CLEANUP(change_drop)
    struct change change = {.request = request,
                            .members = {.join = MG_BUFFER(70000), .leave = MG_BUFFER(70000)}};
    struct mg_right right;
    struct mg_reply_scim_group_change reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    if (request->act < MG_SCIM_CREATE || request->act > MG_SCIM_DELETE)
        return fail_with(MALFORMED, "no such act");
    TRY(MG_RIGHT_ASK(scim_group_change, call, request->session, MG_VIEW_EMPTY, &right, &outcome));
    if (outcome == MG_GRANTED && right.tenant.number == 0)
        outcome = MG_NOT_ALLOWED;
    if (outcome == MG_GRANTED) {
        change.actor = (struct mg_group_actor){&right.actor, right.tenant.number, "SCIM", true};
        TRY(mg_core_database(&database));
        change.database = database;
        TRY(change_run(&change));
        if (change.problem == MG_SCIM_FINE && request->act != MG_SCIM_DELETE)
            TRY(mg_group_numbered(database, right.tenant.number, change.group, &now));
        if (now != NULL && mg_rows_count(now) == 1)
            TRY(group_add(now, 0, &list));
    }
    reply.outcome = outcome;
    reply.problem = change.problem;
    reply.about = mg_view_text(change.about);
    reply.groups.bytes = mg_buffer_view(&list);
    return mg_answer_scim_group_change(call, &reply);
}
