/* A tenant's own console: groups, who is in them, and the roles that their members hold. */
#include "process/portal/portal.h"

#define NAME_MOST 254

/* ---- all groups ---- */

static CHECKED struct mg_status
groups_list(struct visit *visit, uint64_t *ret_outcome)
{
    const struct mg_request_group_list request = {.session = visit_session(visit),
                                                  .search = mg_form_value(&visit->query, "search"),
                                                  .after = mg_form_value(&visit->query, "after")};
    struct mg_reply_group_list reply;
    struct mg_record_group_row group = {.group = 0};
    if (request.search.length > NAME_MOST || request.after.length > NAME_MOST)
        return fail_with(TOO_LARGE, "a group's name");
    mg_buffer_clear(&visit->storage);
    TRY(mg_call_group_list(&request, &reply, &visit->storage, CALL_MS));
    *ret_outcome = reply.outcome;
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        TRY(mg_list_next_group_row(&reply.groups, &group, &more));
        if (!more)
            break;
        struct mg_scope *row = mg_scope_add(visit->page, "groups");
        mg_scope_set(row, "group_name", group.name);
        mg_scope_set_text(row, "roles", customer_roles_text(visit, group.roles));
        mg_scope_set_number(row, "group_members", group.members);
        mg_scope_set_flag(row, "directory", group.directory);
        scope_time(visit, row, TIME_NAMES(changed), group.changed_at);
    }
    mg_scope_set(visit->page, "search", request.search);
    if (reply.more)
        mg_scope_set(visit->page, "next", group.name);
    return OK;
}

static CHECKED struct mg_status
show_groups(struct visit *visit, uint64_t problem)
{
    uint64_t outcome = MG_OUTCOME_NONE;
    OWN_BUFFER(roles, 1024);
    TRY(groups_list(visit, &outcome));
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    TRY(customer_roles_of_form(visit, &roles));
    if (customer_may(visit, MG_PERMISSION_roles_grant))
        TRY(customer_role_choices(visit, mg_buffer_view(&roles)));
    if (problem == MG_GRANTED)
        return customer_show(visit, "at_groups", "customer_groups");
    mg_scope_set_flag(visit->page, "at_groups", true);
    return show_outcome(visit, problem, "customer_groups");
}

struct mg_status
page_customer_groups(struct visit *visit)
{
    return show_groups(visit, MG_GRANTED);
}

/* ---- one group ---- */

static CHECKED struct mg_status
show_group(struct visit *visit, struct mg_view name, uint64_t problem)
{
    struct mg_request_group_detail request = {.session = visit_session(visit), .name = name};
    const struct mg_view after = mg_form_value(&visit->query, "after");
    struct mg_reply_group_detail reply;
    struct mg_record_group_member_row member = {.user = 0};
    struct mg_scope *page = visit->page;
    if (name.length > NAME_MOST)
        return fail_with(TOO_LARGE, "a group's name");
    if (after.length != 0)
        TRY(mg_parse_u64(after, INT64_MAX, &request.after));
    mg_buffer_clear(&visit->storage);
    TRY(mg_call_group_detail(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return customer_refused(visit, reply.outcome);
    for (bool more = true;;) {
        TRY(mg_list_next_group_member_row(&reply.members, &member, &more));
        if (!more)
            break;
        struct mg_scope *row = mg_scope_add(page, "members");
        mg_scope_set(row, "login", member.login);
        mg_scope_set(row, "user_name", member.name.length != 0 ? member.name : member.login);
        mg_scope_set(row, "provider", member.provider);
    }
    mg_scope_set(page, "group_name", reply.name);
    mg_scope_set(page, "external_id", reply.external_id);
    mg_scope_set_number(page, "group_members", reply.count);
    mg_scope_set_flag(page, "directory", reply.directory);
    if (reply.more)
        mg_scope_set_number(page, "next", member.user);
    TRY(customer_role_choices(visit, reply.roles));
    if (problem == MG_GRANTED)
        return customer_show(visit, "at_groups", "customer_group");
    mg_scope_set_flag(page, "at_groups", true);
    return show_outcome(visit, problem, "customer_group");
}

struct mg_status
page_customer_group(struct visit *visit)
{
    return show_group(visit, mg_form_value(&visit->query, "name"), MG_GRANTED);
}

/* ---- changes ---- */

static const char *
group_path(struct visit *visit, struct mg_view name)
{
    return arena_format(visit, "/console/group?name=%s", encoded(visit, name));
}

/* What cannot be done is said on the group's page, at the field where it was tried. */
static CHECKED struct mg_status
back_to_group(struct visit *visit, uint64_t outcome, struct mg_view reason, const char *field,
              const char *done)
{
    const struct mg_view name = mg_form_value(&visit->form, "group");
    if (outcome == MG_GRANTED || outcome == MG_NOT_ALLOWED || outcome == MG_SESSION_ENDED ||
        !customer_may(visit, MG_PERMISSION_users_read))
        return customer_done(visit, outcome, group_path(visit, name), done);
    page_problem(visit, field, mg_outcome_text(outcome, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "reason", reason));
    return show_group(visit, name, outcome);
}

static CHECKED struct mg_status
roles_ask(struct visit *visit, uint64_t how, const char *field, struct mg_buffer *storage,
          struct mg_reply_group_set *reply)
{
    OWN_BUFFER(roles, 1024);
    TRY(customer_roles_of_form(visit, &roles));
    const struct mg_request_group_set request = {.session = visit_session(visit),
                                                 .name = mg_form_value(&visit->form, field),
                                                 .roles = mg_buffer_view(&roles),
                                                 .how = how};
    if (request.name.length > NAME_MOST)
        return fail_with(TOO_LARGE, "a group's name");
    return mg_call_group_set(&request, reply, storage, CALL_MS);
}

enum { MAKE = 1, CHANGE };

struct mg_status
page_customer_group_add(struct visit *visit)
{
    OWN_BUFFER(storage, 4096); /* the reason outlives the next question */
    struct mg_reply_group_set reply;
    const struct mg_view name = mg_form_value(&visit->form, "new_group");
    TRY(roles_ask(visit, MAKE, "new_group", &storage, &reply));
    if (reply.outcome == MG_GRANTED)
        return customer_done(visit, reply.outcome, group_path(visit, name), "group_added");
    if (reply.outcome == MG_NOT_ALLOWED || reply.outcome == MG_SESSION_ENDED)
        return customer_refused(visit, reply.outcome);
    mg_scope_set(visit->page, "new_group", name);
    page_problem(visit, "new_group", mg_outcome_text(reply.outcome, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "reason", reply.reason));
    return show_groups(visit, reply.outcome);
}

struct mg_status
page_customer_group_roles(struct visit *visit)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_group_set reply;
    TRY(roles_ask(visit, CHANGE, "group", &storage, &reply));
    return back_to_group(visit, reply.outcome, reply.reason, "roles", "group_roles");
}

struct mg_status
page_customer_group_name(struct visit *visit)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_group_rename reply;
    const struct mg_request_group_rename request = {.session = visit_session(visit),
                                                    .name = mg_form_value(&visit->form, "group"),
                                                    .new_name = mg_form_value(&visit->form, "new_name")};
    if (request.name.length > NAME_MOST || request.new_name.length > NAME_MOST)
        return fail_with(TOO_LARGE, "a group's name");
    TRY(mg_call_group_rename(&request, &reply, &storage, CALL_MS));
    if (reply.outcome == MG_GRANTED)
        return customer_done(visit, reply.outcome, group_path(visit, request.new_name), "group_renamed");
    return back_to_group(visit, reply.outcome, reply.reason, "new_name", "group_renamed");
}

struct mg_status
page_customer_group_member(struct visit *visit)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_group_member_set reply;
    const bool joins = mg_view_is(mg_form_value(&visit->form, "to"), "member");
    const struct mg_request_group_member_set request = {.session = visit_session(visit),
                                                        .name = mg_form_value(&visit->form, "group"),
                                                        .login = mg_form_value(&visit->form, "login"),
                                                        .member = joins};
    if (request.name.length > NAME_MOST || request.login.length > NAME_MOST)
        return fail_with(TOO_LARGE, "a member");
    TRY(mg_call_group_member_set(&request, &reply, &storage, CALL_MS));
    mg_scope_set(visit->page, "typed_login", request.login);
    return back_to_group(visit, reply.outcome, reply.reason, "new_member",
                         joins ? "group_joined" : "group_left");
}

struct mg_status
page_customer_group_remove(struct visit *visit)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_group_remove reply;
    const struct mg_request_group_remove request = {.session = visit_session(visit),
                                                    .name = mg_form_value(&visit->form, "group")};
    if (request.name.length > NAME_MOST)
        return fail_with(TOO_LARGE, "a group's name");
    TRY(mg_call_group_remove(&request, &reply, &storage, CALL_MS));
    if (reply.outcome == MG_GRANTED)
        return customer_done(visit, reply.outcome, "/console/groups", "group_removed");
    return back_to_group(visit, reply.outcome, MG_VIEW_EMPTY, "roles", "group_removed");
}
