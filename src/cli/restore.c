/* masugata restore: a tenant's database as it was, beside the one that runs. */
#include "cli/backup.h"

#include <inttypes.h>
#include <stdio.h>

static const char *tenant, *to, *from;
static bool control, discard, show;

static CHECKED struct mg_status
copy_show(const struct mg_cli *cli, struct mg_admin *admin, const char *name)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_restore_show reply;
    char target[MG_INSTANT_TEXT], reached[MG_INSTANT_TEXT] = "";
    TRY(mg_admin_restore_show(admin, &(struct mg_request_restore_show){.tenant = mg_view_text(name)}, &reply,
                              &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(name)));
    if (!reply.there)
        return fail_with(NOT_FOUND, "no restored copy of %s", mg_cli_backup_shown(name));
    mg_instant_text(reply.target, target);
    if (reply.reached != 0)
        mg_instant_text(reply.reached, reached);
    const int socket = (int) reply.socket.length, user = (int) reply.user.length,
              database = (int) reply.database.length, password = (int) reply.password.length;
    if (cli->json)
        (void) printf(
            "{\"target\":\"%s\",\"last_change\":%s%s%s,\"host\":\"%.*s\",\"port\":5432,\"database\":\"%.*s\","
            "\"user\":\"%.*s\",\"password\":\"%.*s\"}\n",
            target, reached[0] != '\0' ? "\"" : "", reached[0] != '\0' ? reached : "null",
            reached[0] != '\0' ? "\"" : "", socket, (const char *) reply.socket.bytes, database,
            (const char *) reply.database.bytes, user, (const char *) reply.user.bytes, password,
            (const char *) reply.password.bytes);
    else
        (void) printf(mg_cli_say(cli,
                                 "The database as of %s (last change in it: %s) can be looked at for a day:\n"
                                 "  psql -h %.*s -U %.*s %.*s\n"
                                 "  password: %.*s\n"
                                 "It takes nothing from the live one. End it with --discard.\n",
                                 "%s 時点のデータベース (最後の変更: %s) を 1 日間参照できます:\n"
                                 "  psql -h %.*s -U %.*s %.*s\n"
                                 "  パスワード: %.*s\n"
                                 "本番には影響しません。終わったら --discard で破棄してください。\n"),
                      target, reached[0] != '\0' ? reached : "-", socket, (const char *) reply.socket.bytes,
                      user, (const char *) reply.user.bytes, database, (const char *) reply.database.bytes,
                      password, (const char *) reply.password.bytes);
    return OK;
}

static CHECKED struct mg_status
restore(const struct mg_cli *cli, struct mg_admin *admin)
{
    const char *name = control ? "" : tenant;
    uint64_t number;
    mg_instant target = 0;
    char result[512];
    if (control == (tenant != NULL && tenant[0] != '\0') || (to != NULL) + discard + show != 1)
        return fail_with(USAGE,
                         "restore needs --tenant NAME or --control, and one of --to, --show, --discard");
    const bool vault = from != NULL && strcmp(from, "vault") == 0;
    if (from != NULL && (to == NULL || (!vault && strcmp(from, "near") != 0)))
        return fail_with(USAGE, "--from near or --from vault, with --to");
    if (show)
        return copy_show(cli, admin, name);
    if (to != NULL)
        TRY(mg_instant_parse(mg_view_text(to), &target));
    TRY(mg_cli_backup_order(cli, admin, name,
                            discard ? MG_BACKUP_ORDER_DISCARD
                            : vault ? MG_BACKUP_ORDER_RESTORE_VAULT
                                    : MG_BACKUP_ORDER_RESTORE,
                            target, &number));
    const struct mg_status status = mg_cli_backup_await(cli, admin, name, number, result);
    TRY(status);
    if (!discard)
        return copy_show(cli, admin, name);
    mg_cli_done(cli, "The copy is gone.", "複製を破棄しました。", NULL, 0);
    return OK;
}

int
mg_cli_restore(int argc, char **argv)
{
    static const struct mg_cli_option options[] = {{"--tenant", &tenant, NULL}, {"--control", NULL, &control},
                                                   {"--to", &to, NULL},         {"--from", &from, NULL},
                                                   {"--show", NULL, &show},     {"--discard", NULL, &discard},
                                                   {NULL, NULL, NULL}};
    return mg_cli_plain_run(
        &(struct mg_cli_plain){
            .run = restore,
            .options = options,
            .usage = "masugata restore --tenant NAME | --control --to TIME [--from near | vault]\n"
                     "       masugata restore --tenant NAME | --control --show | --discard",
            .en =
                "Brings a database back as it was at a moment, beside the one that runs, which is not touched:\n"
                "look, compare, copy back what is needed.\n"
                "  --to       the moment, as 2026-11-22T09:30:00Z or with another offset; `masugata backup list`\n"
                "             shows since when any moment can be restored\n"
                "  --from     near (otherwise), or the vault at the other site (backup.vault.path)\n"
                "  --show     where the copy is and how to look at it\n"
                "  --discard  ends the copy and removes its files\n"
                "A moment that cannot be reached is refused, and so is a copy that the disk has no room for.\n"
                "While the database is down, what was saved of it can be restored. A copy ends after a day.\n"
                "Every restore is in the tenant's audit log.",
            .ja =
                "ある時点のデータベースを、本番には触れずに並べて復元します。内容を確認し、比較し、必要な分だけ\n"
                "書き戻せます。\n"
                "  --to       復元する時点 (例: 2026-11-22T09:30:00+09:00)。復元できる期間は `masugata backup list`\n"
                "  --from     復元元。near (既定) または別拠点の保管庫 vault (backup.vault.path)\n"
                "  --show     複製の場所と参照方法を表示\n"
                "  --discard  複製を終了し、ファイルを削除\n"
                "到達できない時点や、ディスクに収まらない復元は、開始前に拒否します。\n"
                "データベースの停止中も、保存済みの範囲は復元できます。複製は 1 日後に破棄します。\n"
                "復元はすべてテナントの監査ログに残ります。",
        },
        argc, argv);
}
