/* masugata group: the groups of a tenant, their members, and the roles that members hold. */
#include "cli/people.h"

#include <inttypes.h>

static const char *tenant, *roles;

static CHECKED struct mg_status
group_list_page(const struct mg_cli *cli, struct mg_admin *admin, struct mg_buffer *after,
                struct mg_cli_list *list, bool *ret_more)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_group_list reply;
    const struct mg_request_group_list request = {.tenant = mg_view_text(tenant),
                                                  .after = mg_buffer_view(after)};
    TRY(mg_admin_group_list(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(tenant)));
    *ret_more = reply.more;
    for (;;) {
        struct mg_record_group_row row;
        bool another = false;
        TRY(mg_list_next_group_row(&reply.groups, &row, &another));
        if (!another)
            return OK;
        mg_buffer_clear(after);
        TRY(mg_buffer_add(after, row.name));
        TRY(mg_cli_list_cell(list, row.name));
        TRY(mg_cli_list_cell(list, row.roles));
        TRY(mg_cli_list_number(list, row.members));
        TRY(mg_cli_list_cell(list, row.external_id));
        TRY(mg_cli_list_instant(list, row.changed_at));
    }
}

static CHECKED struct mg_status
group_list(const struct mg_cli *cli, struct mg_admin *admin)
{
    static const struct mg_cli_column columns[] = {
        {"name", "NAME", "名前", false},          {"roles", "ROLES", "ロール", false},
        {"members", "MEMBERS", "所属者数", true}, {"external_id", "EXTERNAL ID", "外部 ID", false},
        {"changed_at", "CHANGED", "変更", false},
    };
    OWN_BUFFER(after, 512);
    bool more = true;
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    TRY(mg_cli_list_begin(cli, "groups", columns, MG_COUNT(columns), &list));
    while (more)
        TRY(group_list_page(cli, admin, &after, &list, &more));
    mg_cli_list_end(&list);
    return OK;
}

static CHECKED struct mg_status
members_page(const struct mg_cli *cli, struct mg_admin *admin, uint64_t *after, struct mg_cli_list *list,
             bool *ret_more)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_group_detail reply;
    const struct mg_request_group_detail request = {
        .tenant = mg_view_text(tenant), .name = mg_view_text(cli->argv[2]), .after = *after};
    TRY(mg_admin_group_detail(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, request.name));
    *ret_more = reply.more;
    for (;;) {
        struct mg_record_group_member_row row;
        bool another = false;
        TRY(mg_list_next_group_member_row(&reply.members, &row, &another));
        if (!another)
            return OK;
        *after = row.user;
        TRY(mg_cli_list_cell(list, row.login));
        TRY(mg_cli_list_cell(list, row.name));
        TRY(mg_cli_list_cell(list, row.provider));
    }
}

static CHECKED struct mg_status
group_members(const struct mg_cli *cli, struct mg_admin *admin)
{
    static const struct mg_cli_column columns[] = {
        {"login", "LOGIN", "サインイン名", false},
        {"name", "NAME", "氏名", false},
        {"provider", "BY PROVIDER", "IdP による所属", false},
    };
    uint64_t after = 0;
    bool more = true;
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    TRY(mg_cli_list_begin(cli, "members", columns, MG_COUNT(columns), &list));
    while (more)
        TRY(members_page(cli, admin, &after, &list, &more));
    mg_cli_list_end(&list);
    return OK;
}

static CHECKED struct mg_status
group_set(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_group_set reply;
    const struct mg_request_group_set request = {
        .tenant = mg_view_text(tenant), .name = mg_view_text(cli->argv[2]), .roles = mg_view_text(roles)};
    TRY(mg_admin_group_set(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, reply.reason.length != 0 ? reply.reason : request.name));
    mg_cli_done(cli, "The group is kept; its members hold its roles.",
                "グループを保存し、所属者のロールに反映しました。", "changed", reply.changed);
    return OK;
}

static CHECKED struct mg_status
group_rename(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_group_rename reply;
    const struct mg_request_group_rename request = {.tenant = mg_view_text(tenant),
                                                    .name = mg_view_text(cli->argv[2]),
                                                    .new_name = mg_view_text(cli->argv[3])};
    TRY(mg_admin_group_rename(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, reply.reason.length != 0 ? reply.reason : request.name));
    mg_cli_done(cli, "The group has its new name.", "グループの名前を変更しました。", NULL, 0);
    return OK;
}

static CHECKED struct mg_status
member_set(const struct mg_cli *cli, struct mg_admin *admin, bool member)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_group_member_set reply;
    const struct mg_request_group_member_set request = {.tenant = mg_view_text(tenant),
                                                        .name = mg_view_text(cli->argv[2]),
                                                        .login = mg_view_text(cli->argv[3]),
                                                        .member = member};
    TRY(mg_admin_group_member_set(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, reply.reason.length != 0 ? reply.reason : request.login));
    mg_cli_done(cli, "The members of the group are changed.", "グループの所属者を変更しました。", NULL, 0);
    return OK;
}

static CHECKED struct mg_status
group_join(const struct mg_cli *cli, struct mg_admin *admin)
{
    return member_set(cli, admin, true);
}

static CHECKED struct mg_status
group_leave(const struct mg_cli *cli, struct mg_admin *admin)
{
    return member_set(cli, admin, false);
}

static CHECKED struct mg_status
group_remove(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_group_remove reply;
    const struct mg_request_group_remove request = {.tenant = mg_view_text(tenant),
                                                    .name = mg_view_text(cli->argv[2])};
    TRY(mg_admin_group_remove(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, request.name));
    mg_cli_done(cli, "The group is removed.", "グループを削除しました。", NULL, 0);
    return OK;
}

int
mg_cli_group(int argc, char **argv)
{
    static const struct mg_cli_verb verbs[] = {
        {"list", group_list, 0, 0},     {"members", group_members, 1, 1}, {"set", group_set, 1, 1},
        {"rename", group_rename, 2, 2}, {"join", group_join, 2, 2},       {"leave", group_leave, 2, 2},
        {"remove", group_remove, 1, 1},
    };
    static const struct mg_cli_option options[] = {
        {"--tenant", &tenant, NULL}, {"--roles", &roles, NULL}, {NULL, NULL, NULL}};
    return mg_cli_verb_run(
        &(struct mg_cli_verbs){
            .rows = verbs,
            .count = MG_COUNT(verbs),
            .options = options,
            .usage = "masugata group list --tenant NAME\n"
                     "       masugata group members GROUP --tenant NAME\n"
                     "       masugata group set GROUP --tenant NAME [--roles \"ROLE …\"]\n"
                     "       masugata group rename GROUP NAME --tenant NAME\n"
                     "       masugata group join GROUP LOGIN --tenant NAME\n"
                     "       masugata group leave GROUP LOGIN --tenant NAME\n"
                     "       masugata group remove GROUP --tenant NAME",
            .en =
                "  list     the groups of a tenant, also those that its directory provisions (SCIM)\n"
                "  members  who is in a group\n"
                "  set      makes a group, or gives it other roles; without --roles it gives none\n"
                "  rename   gives a group another name; its members and roles stay\n"
                "  join     makes a user a member, who holds the group's roles from then on\n"
                "  leave    ends the membership, and what roles it gave\n"
                "  remove   removes a group; its members lose what it gave\n"
                "Whoever gets other roles is signed out. What a directory (SCIM) rules is changed there, but for the roles.",
            .ja =
                "  list     テナントのグループの一覧 (SCIM で連携されたものを含む)\n"
                "  members  グループの所属者\n"
                "  set      グループを作成、またはロールを変更。--roles がなければロールなし\n"
                "  rename   グループの名前を変更。所属者とロールは変わらない\n"
                "  join     利用者を所属させる。以後、グループのロールを持つ\n"
                "  leave    所属を解除し、グループによるロールを取り消す\n"
                "  remove   グループを削除。所属者はグループによるロールを失う\n"
                "ロールが変わった利用者はサインアウトされます。ディレクトリ (SCIM) が管理するグループでは、ロール以外はディレクトリ側で変更します。",
        },
        argc, argv);
}
