/* masugata drill: restores for real, measures, and removes what was restored. */
#include "base/secret.h"
#include "cli/backup.h"

#include <inttypes.h>

static const char *tenant;
static bool control;

static CHECKED struct mg_status
result_show(const struct mg_cli *cli, struct mg_admin *admin, const char *name)
{
    static const struct mg_cli_column columns[] = {
        {"tenant", "TENANT", "テナント", false},     {"drilled_at", "DRILL", "訓練", false},
        {"rto_ms", "BACK IN MS", "復旧 (ms)", true}, {"rpo_ms", "LOST AT MOST MS", "最大損失 (ms)", true},
        {"state", "STATE", "状態", false},
    };
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_backup_look reply;
    TRY(mg_cli_backup_look(cli, admin, name, &reply, &storage));
    const struct mg_backup_trouble_row *row = mg_backup_trouble_row(reply.trouble);
    TRY(mg_cli_list_begin(cli, "drills", columns, MG_COUNT(columns), &list));
    TRY(mg_cli_list_cell(&list, mg_view_text(mg_cli_backup_shown(name))));
    TRY(mg_cli_list_instant(&list, reply.drilled_at));
    TRY(mg_cli_list_number(&list, (uint64_t) reply.rto_ms));
    TRY(mg_cli_list_number(&list, (uint64_t) reply.rpo_ms));
    TRY(mg_cli_list_cell(&list, mg_view_text(row == NULL ? (cli->json ? "" : mg_cli_say(cli, "well", "正常"))
                                             : cli->json ? row->word
                                                         : mg_cli_say(cli, row->en, row->ja))));
    mg_cli_list_end(&list);
    return OK;
}

static CHECKED struct mg_status
drill(const struct mg_cli *cli, struct mg_admin *admin)
{
    static struct mg_cli_backup_names names;
    const char *name = control ? "" : tenant;
    uint64_t number, draw;
    char result[512];
    if (tenant != NULL && (control || tenant[0] == '\0'))
        return fail_with(USAGE, "--tenant NAME or --control");
    if (name == NULL) {
        TRY(mg_cli_backup_tenants(cli, admin, &names));
        if (names.count == 0)
            return fail_with(NOT_FOUND, "there is no tenant");
        mg_random(&draw, sizeof draw);
        name = names.list[draw % names.count];
    }
    TRY(mg_cli_backup_order(cli, admin, name, MG_BACKUP_ORDER_DRILL, 0, &number));
    TRY(mg_cli_backup_await(cli, admin, name, number, result));
    return result_show(cli, admin, name);
}

int
mg_cli_drill(int argc, char **argv)
{
    static const struct mg_cli_option options[] = {
        {"--tenant", &tenant, NULL}, {"--control", NULL, &control}, {NULL, NULL, NULL}};
    return mg_cli_plain_run(
        &(struct mg_cli_plain){
            .run = drill,
            .options = options,
            .usage = "masugata drill [--tenant NAME | --control]",
            .en =
                "Restores the database as it was at a random moment of its window into a place of its own, checks\n"
                "that exactly the markers of that moment are there, reads every row, checks every page, measures\n"
                "how long it took and how much could have been lost against the plan, records it, and removes\n"
                "everything. Without a name a tenant is drawn. It happens by itself as often as the plan says; one\n"
                "that did not run, or failed, is shown by `masugata backup list`.",
            .ja =
                "期間内の無作為な時点のデータベースを専用の場所に復元し、その時点の目印だけがあること、全行が\n"
                "読めること、全ページのチェックサムを確かめます。所要時間と失われ得る量を計画と比べて記録し、\n"
                "復元したものはすべて削除します。対象を省略するとテナントを無作為に選びます。計画の間隔で自動でも行い、未実施と失敗は\n"
                "`masugata backup list` に表示します。",
        },
        argc, argv);
}
