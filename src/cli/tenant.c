/* masugata tenant: what the operator does with tenants. */
#include "cli/people.h"
#include "cli/tenant_export.h"
#include "cli/tenant_policy.h"

#include <inttypes.h>
#include <unistd.h>

static const char *label, *hosts, *sign_in_host, *upstream, *backup_plan, *residency, *file, *to;
static bool wait_for_it;

static CHECKED struct mg_status
tenant_row_print(struct mg_cli_list *list, const struct mg_record_tenant_row *row)
{
    TRY(mg_cli_list_cell(list, row->name));
    TRY(mg_cli_list_cell(list, row->label));
    TRY(mg_cli_list_cell(list, mg_view_text(mg_cli_state_name(list->cli, row->state))));
    TRY(mg_cli_list_cell(list, row->hosts));
    TRY(mg_cli_list_cell(list, row->sign_in_host));
    TRY(mg_cli_list_cell(list, row->upstream));
    TRY(mg_cli_list_number(list, row->users));
    TRY(mg_cli_list_number(list, row->sessions));
    TRY(mg_cli_list_number(list, row->tenant));
    return mg_cli_list_instant(list, row->created_at);
}

/* Visits every tenant, page by page; `only` picks one by name. *ret_state is that of the last visited. */
static CHECKED struct mg_status
tenants_walk(const struct mg_cli *cli, struct mg_admin *admin, const char *only, struct mg_cli_list *list,
             uint64_t *ret_state)
{
    char after[64] = "";
    bool more = true;
    *ret_state = MG_LISTED_NONE;
    while (more) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_tenant_list reply;
        struct mg_record_tenant_row row;
        bool another = true;
        TRY(mg_admin_tenant_list(
            admin, &(struct mg_request_tenant_list){.name = mg_view_text(only), .after = mg_view_text(after)},
            &reply, &storage));
        TRY(mg_cli_outcome(cli, reply.outcome, MG_VIEW_EMPTY));
        more = reply.more;
        for (;;) {
            TRY(mg_list_next_tenant_row(&reply.tenants, &row, &another));
            if (!another)
                break;
            TRY(mg_view_copy(row.name, after, sizeof after));
            if (only != NULL && strcmp(only, after) != 0)
                continue;
            *ret_state = row.state;
            if (list != NULL)
                TRY(tenant_row_print(list, &row));
        }
    }
    return OK;
}

static CHECKED struct mg_status
print(const struct mg_cli *cli, struct mg_admin *admin, const char *only)
{
    static const struct mg_cli_column columns[] = {
        {"name", "NAME", "名前", false},
        {"label", "LABEL", "表示名", false},
        {"state", "STATE", "状態", false},
        {"hosts", "HOSTS", "ホスト", false},
        {"sign_in_host", "SIGN-IN", "サインイン", false},
        {"upstream", "UPSTREAM", "アップストリーム", false},
        {"users", "USERS", "利用者", true},
        {"sessions", "SESSIONS", "セッション", true},
        {"number", "NUMBER", "番号", true},
        {"created_at", "SINCE", "作成", false},
    };
    uint64_t state;
    if (only != NULL) { /* say that it is unknown before the list begins */
        TRY(tenants_walk(cli, admin, only, NULL, &state));
        if (state == MG_LISTED_NONE)
            return fail_with(NOT_FOUND, "tenant %s", only);
    }
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    TRY(mg_cli_list_begin(cli, "tenants", columns, MG_COUNT(columns), &list));
    TRY(tenants_walk(cli, admin, only, &list, &state));
    mg_cli_list_end(&list);
    return OK;
}

static CHECKED struct mg_status
tenant_list(const struct mg_cli *cli, struct mg_admin *admin)
{
    return print(cli, admin, NULL);
}

static CHECKED struct mg_status
tenant_show(const struct mg_cli *cli, struct mg_admin *admin)
{
    return print(cli, admin, cli->argv[2]);
}

enum { READY_SECONDS = 120 };

static CHECKED struct mg_status
ready_wait(const struct mg_cli *cli, struct mg_admin *admin, const char *name)
{
    for (int tenths = 0; tenths < READY_SECONDS * 10; tenths++) {
        uint64_t state;
        TRY(tenants_walk(cli, admin, name, NULL, &state));
        if (state != MG_LISTED_PREPARING)
            return OK;
        (void) usleep(100000);
    }
    return fail_with(TIMEOUT, "the database of %s is not ready after %d s; see log/worker.log", name,
                     READY_SECONDS);
}

static CHECKED struct mg_status
tenant_add(const struct mg_cli *cli, struct mg_admin *admin)
{
    const char *name = cli->argv[2];
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(usual_host, 128);
    OWN_BUFFER(usual_sign_in, 128);
    struct mg_reply_tenant_add reply;
    if (upstream == NULL)
        return fail_with(USAGE, "tenant add needs --upstream ADDRESS:PORT or --upstream unix:/PATH");
    TRY(mg_buffer_format(&usual_host, "%s.localhost", name));
    TRY(mg_buffer_format(&usual_sign_in, "id.%s.localhost", name));
    const struct mg_request_tenant_add request = {
        .name = mg_view_text(name),
        .label = mg_view_text(label != NULL ? label : name),
        .hosts = hosts != NULL ? mg_view_text(hosts) : mg_buffer_view(&usual_host),
        .sign_in_host = sign_in_host != NULL ? mg_view_text(sign_in_host) : mg_buffer_view(&usual_sign_in),
        .upstream = mg_view_text(upstream),
        .backup_plan = mg_view_text(backup_plan),
        .residency = mg_view_text(residency),
    };
    TRY(mg_admin_tenant_add(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, reply.reason));
    if (wait_for_it)
        TRY(ready_wait(cli, admin, name));
    mg_cli_done(cli,
                wait_for_it ? "The tenant is ready."
                            : "Recorded; `tenant list` shows when its database is ready.",
                wait_for_it ? "テナントの準備ができました。"
                            : "登録しました。データベースの準備状況は `tenant list` で確認できます。",
                "tenant", reply.tenant);
    return OK;
}

static CHECKED struct mg_status
suspend(const struct mg_cli *cli, struct mg_admin *admin, bool suspended)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_tenant_suspend reply;
    const struct mg_request_tenant_suspend request = {.tenant = mg_view_text(cli->argv[2]),
                                                      .suspended = suspended};
    TRY(mg_admin_tenant_suspend(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(cli->argv[2])));
    mg_cli_done(cli, suspended ? "Suspended; its sessions have ended." : "Open again.",
                suspended ? "停止しました。セッションはすべて終了しました。" : "再開しました。", "ended",
                reply.ended);
    return OK;
}

static CHECKED struct mg_status
tenant_suspend(const struct mg_cli *cli, struct mg_admin *admin)
{
    return suspend(cli, admin, true);
}

static CHECKED struct mg_status
tenant_resume(const struct mg_cli *cli, struct mg_admin *admin)
{
    return suspend(cli, admin, false);
}

static CHECKED struct mg_status
tenant_policy(const struct mg_cli *cli, struct mg_admin *admin)
{
    return mg_cli_tenant_policy(cli, admin, file);
}

static CHECKED struct mg_status
tenant_export(const struct mg_cli *cli, struct mg_admin *admin)
{
    return mg_cli_tenant_export(cli, admin, to);
}

static CHECKED struct mg_status
tenant_rotate(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_tenant_rotate reply;
    char at[MG_INSTANT_TEXT];
    TRY(mg_admin_tenant_rotate(admin, &(struct mg_request_tenant_rotate){.name = mg_view_text(cli->argv[2])},
                               &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(cli->argv[2])));
    mg_instant_text(reply.rotated_at, at);
    const int length = (int) reply.tenant.length;
    const char *name = (const char *) reply.tenant.bytes;
    if (cli->json)
        (void) printf("{\"done\":true,\"tenant\":\"%.*s\",\"rotated_at\":\"%s\"}\n", length, name, at);
    else
        (void) printf(mg_cli_say(cli,
                                 "%.*s has a new database password since %s; the one before works on for\n"
                                 "credentials.overlap.\n",
                                 "%.*s のデータベースパスワードを更新しました (%s)。以前のパスワードは\n"
                                 "credentials.overlap の間だけ使えます。\n"),
                      length, name, at);
    return OK;
}

int
mg_cli_tenant(int argc, char **argv)
{
    static const struct mg_cli_verb verbs[] = {
        {"add", tenant_add, 1, 1},         {"list", tenant_list, 0, 0},     {"show", tenant_show, 1, 1},
        {"suspend", tenant_suspend, 1, 1}, {"resume", tenant_resume, 1, 1}, {"policy", tenant_policy, 1, 1},
        {"rotate", tenant_rotate, 1, 1},   {"export", tenant_export, 1, 1},
    };
    static const struct mg_cli_option options[] = {
        {"--label", &label, NULL},
        {"--host", &hosts, NULL},
        {"--sign-in-host", &sign_in_host, NULL},
        {"--upstream", &upstream, NULL},
        {"--backup-plan", &backup_plan, NULL},
        {"--residency", &residency, NULL},
        {"--file", &file, NULL},
        {"--to", &to, NULL},
        {"--wait", NULL, &wait_for_it},
        {NULL, NULL, NULL},
    };
    return mg_cli_verb_run(
        &(struct mg_cli_verbs){
            .rows = verbs,
            .count = MG_COUNT(verbs),
            .options = options,
            .usage = "masugata tenant add NAME --upstream ADDRESS:PORT [--label TEXT] [--host \"HOST …\"]\n"
                     "                            [--sign-in-host HOST] [--backup-plan PLAN]\n"
                     "                            [--residency \"SITE …\"] [--wait]\n"
                     "       masugata tenant list | show NAME | suspend NAME | resume NAME\n"
                     "       masugata tenant rotate NAME|HOST\n"
                     "       masugata tenant policy NAME [--file FILE]\n"
                     "       masugata tenant export NAME --to DIRECTORY",
            .en =
                "A tenant is a customer: hosts of its own, users of its own, a database of its own.\n"
                "  --label         the customer's name as people read it (default: NAME)\n"
                "  --host          where its application is reached (default: NAME.localhost)\n"
                "  --sign-in-host  the separate host of its sign-in pages (default: id.NAME.localhost)\n"
                "  --upstream      where its application listens: an IP address or localhost and a port, or unix:/PATH\n"
                "  --backup-plan   how it is backed up (masugata-tenant-policy(5), backup.plan; default: backup.plan of\n"
                "                  masugata.conf)\n"
                "  --residency     where its data may lie: beginnings of sites such as jp (default: anywhere)\n"
                "  --wait          until its database serves\n"
                "suspend ends every session of the tenant before the command returns.\n"
                "rotate gives its application a new database password now; it happens by itself after\n"
                "credentials.rotation.\n"
                "policy prints what the tenant has of its own: networks, session limits, response\n"
                "headers, rules for paths; with --file (or --file - for standard input) it replaces all of\n"
                "it at once. A wrong line changes nothing. See masugata-tenant-policy(5).\n"
                "export writes everything that is kept of the tenant into an empty directory: its database as\n"
                "pg_dump's custom format and a CSV file a table, users, groups, roles, policy, identity providers,\n"
                "audit log with proofs, and a manifest with the SHA-256 of each file.",
            .ja =
                "テナントは顧客 1 社です。ホスト、利用者、データベースをそれぞれ専用に持ちます。\n"
                "  --label         画面に表示する顧客名 (既定: NAME)\n"
                "  --host          アプリケーションのホスト (既定: NAME.localhost)\n"
                "  --sign-in-host  サインイン画面専用のホスト (既定: id.NAME.localhost)\n"
                "  --upstream      アプリケーションの待ち受け先。IP アドレスか localhost とポート、または unix:/PATH\n"
                "  --backup-plan   バックアップ計画 (masugata-tenant-policy(5) の backup.plan。既定: masugata.conf の\n"
                "                  backup.plan)\n"
                "  --residency     データを置いてよい所在地の先頭部分 (例: jp。既定: 制限なし)\n"
                "  --wait          データベースが使えるまで待つ\n"
                "suspend はコマンドが終わるまでに、そのテナントの全セッションを終了します。\n"
                "rotate はアプリのデータベースパスワードを今すぐ更新します (通常は credentials.rotation ごとに\n"
                "自動で更新)。\n"
                "policy はテナント固有の設定 (ネットワーク、セッションの上限、応答ヘッダー、パスごとの\n"
                "規則) を表示します。--file FILE (標準入力は -) を付けると全体を一度に置き換えます。\n"
                "誤った行があれば何も変更しません。masugata-tenant-policy(5) を参照。\n"
                "export はテナントについて保持しているすべてを空のディレクトリに書き出します。データベース (pg_dump の\n"
                "カスタム形式とテーブルごとの CSV)、利用者、グループ、ロール、設定、IdP、証明付きの監査ログ、\n"
                "全ファイルの SHA-256 を載せたマニフェストです。",
        },
        argc, argv);
}
