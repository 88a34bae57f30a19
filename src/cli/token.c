/* masugata token: service accounts of a tenant and their API tokens. */
#include "cli/people.h"

#include "base/secret.h"

#include <inttypes.h>

static const char *tenant, *name, *roles, *label, *permissions, *days, *account;

/* ---- service accounts ---- */

static CHECKED struct mg_status
accounts_page(const struct mg_cli *cli, struct mg_admin *admin, struct mg_cli_list *list, char after[256],
              bool *ret_more)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_service_list reply;
    const struct mg_request_service_list request = {.tenant = mg_view_text(tenant),
                                                    .after = mg_view_text(after)};
    TRY(mg_admin_service_list(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(tenant)));
    *ret_more = reply.more;
    for (;;) {
        struct mg_record_service_row row;
        bool another = false;
        TRY(mg_list_next_service_row(&reply.accounts, &row, &another));
        if (!another)
            return OK;
        TRY(mg_view_copy(row.login, after, 256));
        TRY(mg_cli_list_cell(list, row.login));
        TRY(mg_cli_list_cell(list, row.name));
        TRY(mg_cli_list_cell(list, row.roles));
        TRY(mg_cli_list_cell(list, mg_view_text(mg_cli_state_name(cli, row.disabled ? MG_LISTED_SUSPENDED
                                                                                    : MG_LISTED_ACTIVE))));
        TRY(mg_cli_list_number(list, row.tokens));
        TRY(mg_cli_list_instant(list, row.last_used_at));
        TRY(mg_cli_list_instant(list, row.created_at));
    }
}

static CHECKED struct mg_status
account_list(const struct mg_cli *cli, struct mg_admin *admin)
{
    static const struct mg_cli_column columns[] = {
        {"account", "ACCOUNT", "アカウント", false}, {"name", "NAME", "名称", false},
        {"roles", "ROLES", "ロール", false},         {"state", "STATE", "状態", false},
        {"tokens", "TOKENS", "トークン数", true},    {"last_used_at", "LAST USED", "最終使用", false},
        {"created_at", "SINCE", "作成", false},
    };
    char after[256] = "";
    bool more = true;
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    TRY(mg_cli_list_begin(cli, "accounts", columns, MG_COUNT(columns), &list));
    while (more)
        TRY(accounts_page(cli, admin, &list, after, &more));
    mg_cli_list_end(&list);
    return OK;
}

static CHECKED struct mg_status
account_add(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_service_add reply;
    const struct mg_request_service_add request = {.tenant = mg_view_text(tenant),
                                                   .login = mg_view_text(cli->argv[2]),
                                                   .name = mg_view_text(name),
                                                   .roles = mg_view_text(roles)};
    TRY(mg_admin_service_add(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, reply.reason.length != 0 ? reply.reason : request.login));
    mg_cli_done(cli, "The service account is made.", "サービスアカウントを作成しました。", "account",
                reply.account);
    return OK;
}

/* ---- tokens ---- */

static CHECKED struct mg_status
tokens_page(const struct mg_cli *cli, struct mg_admin *admin, struct mg_cli_list *list, uint64_t *after,
            bool *ret_more)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_token_list reply;
    const struct mg_request_token_list request = {
        .tenant = mg_view_text(tenant), .account = mg_view_text(account), .after = *after};
    TRY(mg_admin_token_list(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(tenant)));
    *ret_more = reply.more;
    for (;;) {
        struct mg_record_token_row row;
        bool another = false;
        TRY(mg_list_next_token_row(&reply.tokens, &row, &another));
        if (!another)
            return OK;
        *after = row.token;
        TRY(mg_cli_list_number(list, row.token));
        TRY(mg_cli_list_cell(list, row.account));
        TRY(mg_cli_list_cell(list, row.label));
        TRY(mg_cli_list_cell(list, row.hint));
        TRY(mg_cli_list_cell(list, row.permissions));
        TRY(mg_cli_list_instant(list, row.expires_at));
        TRY(mg_cli_list_instant(list, row.last_used_at));
        TRY(mg_cli_list_cell(list, row.last_address));
        TRY(mg_cli_list_cell(list, row.created_by));
        TRY(mg_cli_list_instant(list, row.created_at));
    }
}

static CHECKED struct mg_status
token_list(const struct mg_cli *cli, struct mg_admin *admin)
{
    static const struct mg_cli_column columns[] = {
        {"token", "TOKEN", "番号", true},
        {"account", "ACCOUNT", "アカウント", false},
        {"label", "LABEL", "用途", false},
        {"hint", "BEGINS", "先頭", false},
        {"permissions", "PERMISSIONS", "権限", false},
        {"expires_at", "UNTIL", "期限", false},
        {"last_used_at", "LAST USED", "最終使用", false},
        {"last_address", "FROM", "使用元", false},
        {"created_by", "ISSUED BY", "発行者", false},
        {"created_at", "SINCE", "発行", false},
    };
    uint64_t after = 0;
    bool more = true;
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    TRY(mg_cli_list_begin(cli, "tokens", columns, MG_COUNT(columns), &list));
    while (more)
        TRY(tokens_page(cli, admin, &list, &after, &more));
    mg_cli_list_end(&list);
    return OK;
}

static CHECKED struct mg_status
token_add(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_token_add reply;
    uint64_t life_days = 90;
    if (days != NULL && !mg_ok(mg_parse_u64(mg_view_text(days), 366, &life_days)))
        return fail_with(USAGE, "--days is a number up to 366");
    if (label == NULL || permissions == NULL)
        return fail_with(USAGE, "token add needs --label and --permissions");
    const struct mg_request_token_add request = {.tenant = mg_view_text(tenant),
                                                 .account = mg_view_text(cli->argv[2]),
                                                 .label = mg_view_text(label),
                                                 .permissions = mg_view_text(permissions),
                                                 .expires_at = mg_now() + (int64_t) life_days * 86400000};
    TRY(mg_admin_token_add(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, reply.reason.length != 0 ? reply.reason : request.account));
    if (cli->json)
        (void) printf("{\"token\":%" PRIu64 ",\"secret\":\"%.*s\"}\n", reply.token, (int) reply.secret.length,
                      (const char *) reply.secret.bytes);
    else
        (void) printf("%s\n%.*s\n",
                      mg_cli_say(cli, "The token, shown this once:", "トークン (表示は今回限り):"),
                      (int) reply.secret.length, (const char *) reply.secret.bytes);
    return OK;
}

static CHECKED struct mg_status
token_revoke(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_token_revoke reply;
    struct mg_request_token_revoke request = {.tenant = mg_view_text(tenant)};
    if (!mg_ok(mg_parse_u64(mg_view_text(cli->argv[2]), INT64_MAX, &request.token)))
        return fail_with(USAGE, "token revoke NUMBER, as `masugata token list` shows it");
    TRY(mg_admin_token_revoke(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(cli->argv[2])));
    mg_cli_done(cli, "The token is revoked.", "トークンを失効しました。", NULL, 0);
    return OK;
}

int
mg_cli_token(int argc, char **argv)
{
    static const struct mg_cli_verb verbs[] = {
        {"accounts", account_list, 0, 0}, {"account", account_add, 1, 1}, {"list", token_list, 0, 0},
        {"add", token_add, 1, 1},         {"revoke", token_revoke, 1, 1},
    };
    static const struct mg_cli_option options[] = {
        {"--tenant", &tenant, NULL},   {"--name", &name, NULL}, {"--roles", &roles, NULL},
        {"--label", &label, NULL},     {"--days", &days, NULL}, {"--permissions", &permissions, NULL},
        {"--account", &account, NULL}, {NULL, NULL, NULL},
    };
    return mg_cli_verb_run(
        &(struct mg_cli_verbs){
            .rows = verbs,
            .count = MG_COUNT(verbs),
            .options = options,
            .usage =
                "masugata token accounts --tenant NAME\n"
                "       masugata token account ACCOUNT --tenant NAME [--name TEXT] [--roles \"ROLE …\"]\n"
                "       masugata token list --tenant NAME [--account ACCOUNT]\n"
                "       masugata token add ACCOUNT --tenant NAME --label TEXT --permissions \"PERMISSION …\" [--days NUMBER]\n"
                "       masugata token revoke NUMBER --tenant NAME",
            .en =
                "  accounts  the service accounts: programs that use the API\n"
                "  account   makes one; like a user it is given roles (`role give`), disabled and enabled\n"
                "            (`user disable`), but nobody can sign in as one\n"
                "  list      the tokens, with their last use\n"
                "  add       issues one for 90 (or --days) days with some of the account's rights and prints it;\n"
                "            it is shown this once and kept only as a hash\n"
                "  revoke    ends one; the next request with it is refused\n"
                "What is changed in a tenant stands in that tenant's own audit log.",
            .ja =
                "  accounts  サービスアカウント (API を使うプログラム) の一覧\n"
                "  account   サービスアカウントを作成。利用者と同じようにロールの付与 (`role give`) や無効化・有効化\n"
                "            (`user disable`) ができるが、サインインはできない\n"
                "  list      トークンの一覧と最終使用\n"
                "  add       アカウントの権限の一部を持つトークンを 90 日間 (--days で変更) の期限で発行し、表示する。\n"
                "            表示は一度限りで、保存されるのはハッシュのみ\n"
                "  revoke    失効させる。以後の要求は拒否される\n"
                "テナント内での変更は、そのテナントの監査ログに残ります。",
        },
        argc, argv);
}
