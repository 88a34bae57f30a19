/* A tenant's own console: its users and its groups as a table to keep. Whoever may see the pages may keep
 * them; the authority asks for the right with each part of the list. */
#include "process/portal/csv.h"

#include <inttypes.h>

static const char *
state_word(uint64_t state)
{
    static const char *const words[] = {[MG_LISTED_ACTIVE] = "active",
                                        [MG_LISTED_SUSPENDED] = "disabled",
                                        [MG_LISTED_LOCKED] = "locked",
                                        [MG_LISTED_INVITED] = "invited"};
    return state < MG_COUNT(words) && words[state] != NULL ? words[state] : "";
}

/* Empty for never. */
static CHECKED struct mg_status
time_cell(struct mg_buffer *csv, mg_instant instant, const char *end)
{
    char text[MG_INSTANT_TEXT] = "";
    if (instant > 0)
        mg_instant_text(instant, text);
    return mg_buffer_format(csv, "%s%s", text, end);
}

static CHECKED struct mg_status
user_add(struct mg_buffer *csv, const struct mg_record_user_row *user)
{
    TRY(mg_csv_cell(csv, user->login, ","));
    TRY(mg_csv_cell(csv, user->name, ","));
    TRY(mg_csv_cell(csv, user->email, ","));
    TRY(mg_csv_cell(csv, user->roles, ","));
    TRY(mg_buffer_format(csv, "%s,", state_word(user->state)));
    TRY(time_cell(csv, user->created_at, ","));
    TRY(time_cell(csv, user->last_sign_in_at, ","));
    return mg_buffer_format(csv, "%" PRIu64 "\r\n", user->sessions);
}

static CHECKED struct mg_status
users_add(struct visit *visit, struct mg_buffer *csv, uint64_t *ret_outcome)
{
    OWN_BUFFER(after, 254);
    struct mg_request_user_list request = {.session = visit_session(visit),
                                           .search = mg_form_value(&visit->query, "search")};
    struct mg_reply_user_list reply = {.more = true};
    TRY(mg_buffer_add_text(csv, "login,name,email,roles,state,created,last_sign_in,sessions\r\n"));
    while (reply.more) {
        struct mg_record_user_row user = {0};
        mg_buffer_clear(&visit->storage);
        TRY(mg_call_user_list(&request, &reply, &visit->storage, CALL_MS));
        *ret_outcome = reply.outcome;
        if (reply.outcome != MG_GRANTED)
            return OK;
        mg_buffer_clear(&after);
        for (bool another = true; another;) {
            TRY(mg_list_next_user_row(&reply.users, &user, &another));
            if (!another)
                break;
            TRY(user_add(csv, &user));
            mg_buffer_clear(&after);
            TRY(mg_buffer_add(&after, user.login));
        }
        reply.more = reply.more && after.length != 0; /* each part has rows, or it ends */
        request.after = mg_buffer_view(&after);
    }
    return OK;
}

static CHECKED struct mg_status
group_add(struct mg_buffer *csv, const struct mg_record_group_row *group)
{
    TRY(mg_csv_cell(csv, group->name, ","));
    TRY(mg_csv_cell(csv, group->roles, ","));
    TRY(mg_buffer_format(csv, "%" PRIu64 ",%s,", group->members, group->directory ? "directory" : "here"));
    TRY(mg_csv_cell(csv, group->external_id, ","));
    return time_cell(csv, group->changed_at, "\r\n");
}

static CHECKED struct mg_status
groups_add(struct visit *visit, struct mg_buffer *csv, uint64_t *ret_outcome)
{
    OWN_BUFFER(after, 254);
    struct mg_request_group_list request = {.session = visit_session(visit),
                                            .search = mg_form_value(&visit->query, "search")};
    struct mg_reply_group_list reply = {.more = true};
    TRY(mg_buffer_add_text(csv, "group,roles,members,ruled_by,external_id,changed\r\n"));
    while (reply.more) {
        struct mg_record_group_row group = {0};
        mg_buffer_clear(&visit->storage);
        TRY(mg_call_group_list(&request, &reply, &visit->storage, CALL_MS));
        *ret_outcome = reply.outcome;
        if (reply.outcome != MG_GRANTED)
            return OK;
        mg_buffer_clear(&after);
        for (bool another = true; another;) {
            TRY(mg_list_next_group_row(&reply.groups, &group, &another));
            if (!another)
                break;
            TRY(group_add(csv, &group));
            mg_buffer_clear(&after);
            TRY(mg_buffer_add(&after, group.name));
        }
        reply.more = reply.more && after.length != 0; /* each part has rows, or it ends */
        request.after = mg_buffer_view(&after);
    }
    return OK;
}

static CHECKED struct mg_status
list_send(struct visit *visit, bool groups)
{
    uint64_t outcome = MG_OUTCOME_NONE;
    MG_CLEANUP(mg_buffer_drop) struct mg_buffer file = MG_BUFFER(MG_FILE_MOST);
    const struct mg_status made =
        groups ? groups_add(visit, &file, &outcome) : users_add(visit, &file, &outcome);
    if (made.code == MG_TOO_LARGE)
        return show_message(visit, 422, N_("Not possible"),
                            N_("That is too much for one file. Search for a part of it first."),
                            groups ? "/console/groups" : "/console/users", N_("Back to the list"));
    TRY(made);
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    return mg_csv_send(visit, MG_CSV_TYPE, &file, groups ? "groups.csv" : "users.csv");
}

struct mg_status
page_customer_users_file(struct visit *visit)
{
    return list_send(visit, false);
}

struct mg_status
page_customer_groups_file(struct visit *visit)
{
    return list_send(visit, true);
}
