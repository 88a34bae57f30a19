/* The API: groups and their members. */
#include "process/portal/api.h"

#include <stdio.h>

enum { MAKE = 1, CHANGE };

struct mg_status
api_on_groups(struct api *api)
{
    OWN_BUFFER(after, 512);
    struct mg_reply_group_list reply;
    struct mg_record_group_row group = {.group = 0};
    bool right = false;
    TRY(api_cursor(api, &after, &right));
    if (!right)
        return OK;
    const struct mg_request_group_list request = {.session = visit_session(api->visit),
                                                  .search = api_text(api, "search"),
                                                  .after = mg_buffer_view(&after)};
    if (request.after.length > 254)
        return api_problem(api, MG_API_PROBLEM_wrong_member, "cursor");
    TRY(mg_call_group_list(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_group_row(&reply.groups, &group, &more));
        if (!more)
            break;
        TRY(api_item_group(api, &group));
    }
    return api_list_end(api, reply.more ? group.name : MG_VIEW_EMPTY);
}

/* The number in the path; NOT_KNOWN is written as the answer for what is none. */
static CHECKED struct mg_status
number_read(struct api *api, uint64_t *ret_number, bool *ret_right)
{
    *ret_right = api_number(api, "group", ret_number) && *ret_number != 0;
    return *ret_right ? OK : api_refuse(api, MG_NOT_KNOWN, MG_VIEW_EMPTY);
}

static CHECKED struct mg_status
detail_ask(struct api *api, uint64_t number, uint64_t after, struct mg_reply_group_detail *reply)
{
    const struct mg_request_group_detail request = {
        .session = visit_session(api->visit), .group = number, .after = after};
    return mg_call_group_detail(&request, reply, &api->visit->storage, CALL_MS);
}

struct mg_status
api_on_group(struct api *api)
{
    struct mg_reply_group_detail reply;
    uint64_t number = 0;
    bool right = false;
    TRY(number_read(api, &number, &right));
    if (!right)
        return OK;
    TRY(detail_ask(api, number, 0, &reply));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_etag(api, reply.roles));
    return api_one_group_detail(api, &reply);
}

struct mg_status
api_on_group_members(struct api *api)
{
    struct mg_reply_group_detail reply;
    struct mg_record_group_member_row member = {.user = 0};
    uint64_t number = 0, after = 0;
    bool right = false;
    TRY(number_read(api, &number, &right));
    if (right)
        TRY(api_cursor_number(api, &after, &right));
    if (!right)
        return OK;
    TRY(detail_ask(api, number, after, &reply));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_group_member_row(&reply.members, &member, &more));
        if (!more)
            break;
        TRY(api_item_group_member(api, &member));
    }
    return api_list_end_number(api, reply.more, member.user);
}

struct mg_status
api_on_group_add(struct api *api)
{
    char number[24];
    const struct mg_request_group_set request = {.session = visit_session(api->visit),
                                                 .name = api_text(api, "name"),
                                                 .roles = api_text(api, "roles"),
                                                 .how = MAKE};
    struct mg_reply_group_set reply;
    TRY(mg_call_group_set(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, reply.reason);
    (void) snprintf(number, sizeof number, "%llu", (unsigned long long) reply.group);
    TRY(api_place(api, "/groups", mg_view_text(number)));
    return api_one_made(api, &(struct mg_api_made){.id = reply.group, .name = request.name});
}

struct mg_status
api_on_group_roles_set(struct api *api)
{
    struct mg_request_group_set request = {.session = visit_session(api->visit),
                                           .roles = api_text(api, "roles"),
                                           .how = CHANGE,
                                           .expected = api->expected};
    struct mg_reply_group_set reply;
    bool right = false;
    TRY(number_read(api, &request.group, &right));
    if (!right)
        return OK;
    TRY(mg_call_group_set(&request, &reply, &api->visit->storage, CALL_MS));
    return api_done(api, reply.outcome, reply.reason);
}

struct mg_status
api_on_group_rename(struct api *api)
{
    struct mg_request_group_rename request = {.session = visit_session(api->visit),
                                              .new_name = api_text(api, "to")};
    struct mg_reply_group_rename reply;
    bool right = false;
    TRY(number_read(api, &request.group, &right));
    if (!right)
        return OK;
    TRY(mg_call_group_rename(&request, &reply, &api->visit->storage, CALL_MS));
    return api_done(api, reply.outcome, reply.reason);
}

struct mg_status
api_on_group_remove(struct api *api)
{
    struct mg_request_group_remove request = {.session = visit_session(api->visit)};
    struct mg_reply_group_remove reply;
    bool right = false;
    TRY(number_read(api, &request.group, &right));
    if (!right)
        return OK;
    TRY(mg_call_group_remove(&request, &reply, &api->visit->storage, CALL_MS));
    return api_done(api, reply.outcome, MG_VIEW_EMPTY);
}

static CHECKED struct mg_status
member_set(struct api *api, bool member)
{
    struct mg_request_group_member_set request = {
        .session = visit_session(api->visit), .login = api_text(api, "login"), .member = member};
    struct mg_reply_group_member_set reply;
    bool right = false;
    TRY(number_read(api, &request.group, &right));
    if (!right)
        return OK;
    TRY(mg_call_group_member_set(&request, &reply, &api->visit->storage, CALL_MS));
    return api_done(api, reply.outcome, reply.reason);
}

struct mg_status
api_on_group_join(struct api *api)
{
    return member_set(api, true);
}

struct mg_status
api_on_group_leave(struct api *api)
{
    return member_set(api, false);
}
