/* masugata role: the matrix of roles and rights, a tenant's own roles, rights that nobody uses. */
#include "cli/role.h"

#include "cli/people.h"
#include "domain/permission.h"

static const char *tenant, *label, *permissions, *days, *format;

/* ---- matrix: what is built in; needs no deployment ---- */

static CHECKED struct mg_status
matrix_print(const struct mg_cli *cli)
{
    OWN_BUFFER(text, 1 << 20);
    if (format != NULL && strcmp(format, "markdown") != 0)
        return fail_with(USAGE, "--format is markdown");
    TRY(cli->json ? mg_roles_json(&text) : mg_roles_markdown(cli->japanese, &text));
    (void) fputs(mg_buffer_text(&text), stdout);
    return OK;
}

/* ---- a tenant's own roles ---- */

static CHECKED struct mg_status
role_list(const struct mg_cli *cli, struct mg_admin *admin)
{
    static const struct mg_cli_column columns[] = {
        {"name", "NAME", "名前", false},
        {"label", "LABEL", "表示名", false},
        {"users", "USERS", "利用者数", true},
        {"permissions", "PERMISSIONS", "権限", false},
    };
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_role_list reply;
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    TRY(mg_admin_role_list(admin, &(struct mg_request_role_list){.tenant = mg_view_text(tenant)}, &reply,
                           &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(tenant)));
    TRY(mg_cli_list_begin(cli, "roles", columns, MG_COUNT(columns), &list));
    for (;;) {
        struct mg_record_role_row row;
        bool more = false;
        TRY(mg_list_next_role_row(&reply.roles, &row, &more));
        if (!more)
            break;
        TRY(mg_cli_list_cell(&list, row.name));
        TRY(mg_cli_list_cell(&list, row.label));
        TRY(mg_cli_list_number(&list, row.users));
        TRY(mg_cli_list_cell(&list, row.permissions));
    }
    mg_cli_list_end(&list);
    return OK;
}

static CHECKED struct mg_status
role_set(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_role_set reply;
    const struct mg_request_role_set request = {.tenant = mg_view_text(tenant),
                                                .name = mg_view_text(cli->argv[2]),
                                                .label = mg_view_text(label),
                                                .permissions = mg_view_text(permissions)};
    TRY(mg_admin_role_set(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, reply.reason.length != 0 ? reply.reason : request.name));
    mg_cli_done(cli, "The role is kept.", "ロールを保存しました。", NULL, 0);
    return OK;
}

static CHECKED struct mg_status
role_remove(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_role_remove reply;
    const struct mg_request_role_remove request = {.tenant = mg_view_text(tenant),
                                                   .name = mg_view_text(cli->argv[2])};
    TRY(mg_admin_role_remove(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, request.name));
    mg_cli_done(cli, "The role is removed.", "ロールを削除しました。", NULL, 0);
    return OK;
}

static CHECKED struct mg_status
role_give(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_user_roles_set reply;
    const struct mg_request_user_roles_set request = {.tenant = mg_view_text(tenant),
                                                      .login = mg_view_text(cli->argv[2]),
                                                      .roles = mg_view_text(cli->argv[3])};
    TRY(mg_admin_user_roles_set(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, reply.reason.length != 0 ? reply.reason : request.login));
    mg_cli_done(cli, "The roles are changed; the user's sessions have ended.",
                "ロールを変更し、その利用者のセッションを終了しました。", "ended", reply.ended);
    return OK;
}

/* ---- rights that nobody uses ---- */

static CHECKED struct mg_status
unused_page(const struct mg_cli *cli, struct mg_admin *admin, int64_t unused_ms, struct mg_buffer *after,
            struct mg_cli_list *list, bool *ret_more)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_role_report reply;
    const struct mg_request_role_report request = {
        .tenant = mg_view_text(tenant), .unused_ms = unused_ms, .after = mg_buffer_view(after)};
    TRY(mg_admin_role_report(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(tenant)));
    for (;;) {
        struct mg_record_unused_row row;
        bool another = false;
        TRY(mg_list_next_unused_row(&reply.rows, &row, &another));
        if (!another)
            break;
        TRY(mg_cli_list_cell(list, row.login));
        TRY(mg_cli_list_cell(list, row.roles));
        TRY(mg_cli_list_cell(list, row.permission));
        TRY(mg_cli_list_instant(list, row.granted_at));
        TRY(mg_cli_list_instant(list, row.used_at));
    }
    *ret_more = reply.more;
    mg_buffer_clear(after);
    return mg_buffer_add(after, reply.next);
}

static CHECKED struct mg_status
role_report(const struct mg_cli *cli, struct mg_admin *admin)
{
    static const struct mg_cli_column columns[] = {
        {"login", "LOGIN", "サインイン名", false},   {"roles", "ROLES", "ロール", false},
        {"permission", "PERMISSION", "権限", false}, {"granted_at", "GIVEN", "付与", false},
        {"used_at", "LAST USED", "最終使用", false},
    };
    uint64_t number = 90;
    bool more = true;
    OWN_BUFFER(after, 256);
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    if (days != NULL && !mg_ok(mg_parse_u64(mg_view_text(days), 3660, &number)))
        return fail_with(USAGE, "--days is a number up to 3660");
    TRY(mg_cli_list_begin(cli, "unused", columns, MG_COUNT(columns), &list));
    while (more)
        TRY(unused_page(cli, admin, (int64_t) number * 86400000, &after, &list, &more));
    mg_cli_list_end(&list);
    return OK;
}

int
mg_cli_role(int argc, char **argv)
{
    static const struct mg_cli_verb verbs[] = {
        {"list", role_list, 0, 0}, {"set", role_set, 1, 1},       {"remove", role_remove, 1, 1},
        {"give", role_give, 2, 2}, {"report", role_report, 0, 0},
    };
    static const struct mg_cli_option options[] = {
        {"--tenant", &tenant, NULL}, {"--label", &label, NULL},   {"--permissions", &permissions, NULL},
        {"--days", &days, NULL},     {"--format", &format, NULL}, {NULL, NULL, NULL},
    };
    if (argc > 1 && strcmp(argv[1], "matrix") == 0) {
        struct mg_cli cli = {0};
        struct mg_status status = mg_cli_read(&cli, argc, argv, options);
        if (mg_ok(status) && !cli.help)
            status = matrix_print(&cli);
        if (!cli.help)
            return mg_ok(status) ? 0 : mg_cli_fail(&cli, status);
    }
    return mg_cli_verb_run(
        &(struct mg_cli_verbs){
            .rows = verbs,
            .count = MG_COUNT(verbs),
            .options = options,
            .usage =
                "masugata role matrix [--json | --format markdown]\n"
                "       masugata role list --tenant NAME\n"
                "       masugata role set ROLE --tenant NAME [--label TEXT] [--permissions \"PERMISSION …\"]\n"
                "       masugata role remove ROLE --tenant NAME\n"
                "       masugata role give LOGIN \"ROLE …\" [--tenant NAME]\n"
                "       masugata role report [--tenant NAME] [--days NUMBER]",
            .en = "  matrix  every built-in role against every permission and every action\n"
                  "  list    the roles that a tenant made for itself, and what each may\n"
                  "  set     makes one or changes it; without --permissions it may nothing here, and only\n"
                  "          reaches the application and the rules of paths (roles = ROLE)\n"
                  "  remove  removes one that no user has and no rule names\n"
                  "  give    replaces the roles of a user, whose sessions end\n"
                  "  report  rights that were given 90 (or --days) days ago or earlier and not used since\n"
                  "What is changed in a tenant stands in that tenant's own audit log.",
            .ja = "  matrix  組み込みのロールと権限・操作の対応表\n"
                  "  list    テナント独自のロールとその権限\n"
                  "  set     独自のロールを作成・変更。--permissions がなければ Masugata での権限はなく、\n"
                  "          名前だけがアプリケーションとパスの規則 (roles = ROLE) で使われる\n"
                  "  remove  誰にも付与されていない独自のロールを削除\n"
                  "  give    利用者のロールを置き換える。その利用者のセッションは終了する\n"
                  "  report  付与から 90 日 (--days で変更) 以上、使われていない権限\n"
                  "テナント内での変更は、そのテナントの監査ログに残ります。",
        },
        argc, argv);
}
