/* masugata status, masugata down: what the warden knows. */
#include "cli/cli.h"

#include <inttypes.h>
#include <unistd.h>

/* The warden's words, as the reader's language has them. */
static struct mg_view
state_word(const struct mg_cli *cli, struct mg_view state)
{
    static const char *const words[][2] = {{"running", "稼働中"},     {"starting", "起動中"},
                                           {"waiting", "再起動待ち"}, {"flapping", "起動失敗を反復"},
                                           {"ended", "終了"},         {"absent", "なし"}};
    for (size_t i = 0; cli->japanese && i < MG_COUNT(words); i++)
        if (mg_view_is(state, words[i][0]))
            return mg_view_text(words[i][1]);
    return state;
}

static CHECKED struct mg_status
row_print(const struct mg_cli *cli, const struct mg_record_process_state *row, struct mg_cli_table *table,
          struct mg_buffer *json)
{
    char pid[24], restarts[24], landlock[32] = "-", since[MG_INSTANT_TEXT];
    (void) snprintf(pid, sizeof pid, "%" PRIu64, row->pid);
    (void) snprintf(restarts, sizeof restarts, "%" PRIu64, row->restarts);
    if (row->landlock != 0)
        (void) snprintf(landlock, sizeof landlock, "ABI %" PRIu64, row->landlock);
    mg_instant_text(row->started_at, since);
    if (cli->json)
        return mg_buffer_format(
            json,
            "%s{\"name\":\"%.*s\",\"state\":\"%.*s\",\"pid\":%s,\"restarts\":%s,\"since\":\"%s\","
            "\"seccomp\":%s,\"landlock_abi\":%" PRIu64 "}",
            json->length == 0 ? "" : ",", (int) row->name.length, (const char *) row->name.bytes,
            (int) row->state.length, (const char *) row->state.bytes, pid, restarts, since,
            row->seccomp ? "true" : "false", row->landlock);
    TRY(mg_cli_table_cell(table, row->name));
    TRY(mg_cli_table_cell(table, state_word(cli, row->state)));
    TRY(mg_cli_table_cell(table, mg_view_text(pid)));
    TRY(mg_cli_table_cell(table, mg_view_text(restarts)));
    TRY(mg_cli_table_cell(table, mg_view_text(since)));
    TRY(mg_cli_table_cell(table, mg_view_text(row->seccomp ? "seccomp" : "-")));
    return mg_cli_table_cell(table, mg_view_text(landlock));
}

static CHECKED struct mg_status
show(const struct mg_cli *cli, bool *ret_all_running)
{
    OWN(admin) admin = NULL;
    OWN(cli_table) table = NULL;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(json, 65536);
    const char *const titles_en[] = {"PROCESS", "STATE", "PID", "RESTARTS", "SINCE", "SECCOMP", "LANDLOCK"};
    const char *const titles_ja[] = {"プロセス", "状態", "PID", "再起動", "開始", "SECCOMP", "LANDLOCK"};
    TRY(mg_admin_open(cli, &admin));
    struct mg_reply_warden_status reply;
    TRY(mg_admin_warden_status(admin, &(struct mg_request_warden_status){0}, &reply, &storage));
    TRY(mg_cli_table_new(MG_COUNT(titles_en), cli->japanese ? titles_ja : titles_en, &table));
    *ret_all_running = true;
    for (;;) {
        struct mg_record_process_state row;
        bool more;
        TRY(mg_list_next_process_state(&reply.processes, &row, &more));
        if (!more)
            break;
        *ret_all_running = *ret_all_running && mg_view_is(row.state, "running");
        TRY(row_print(cli, &row, table, &json));
    }
    if (cli->json) {
        (void) printf("{\"running\":%s,\"single_uid\":%s,\"processes\":[%s]}\n",
                      *ret_all_running ? "true" : "false", reply.single_uid != 0 ? "true" : "false",
                      mg_buffer_text(&json));
        return OK;
    }
    mg_cli_table_print(table, stdout);
    if (reply.single_uid != 0)
        (void) puts(mg_cli_say(
            cli,
            "Every process has the same uid: the isolation controls are broken. Run as root for one "
            "uid each.",
            "全プロセスが同一 uid のため、分離の統制は「不適合」です。root で実行すると、プロセスごとに uid が分かれます。"));
    return OK;
}

/* Where the deployment's two directories are, whether it runs or not: for scripts. */
static CHECKED struct mg_status
paths_show(const struct mg_cli *cli)
{
    OWN(options) options = NULL;
    OWN_BUFFER(json, 4096);
    struct mg_deployment deployment;
    TRY(mg_cli_deployment(cli, &options, &deployment));
    TRY(mg_buffer_add_text(&json, "{\"state\":"));
    TRY(mg_buffer_add_json_string(&json, mg_view_text(deployment.state)));
    TRY(mg_buffer_add_text(&json, ",\"run\":"));
    TRY(mg_buffer_add_json_string(&json, mg_view_text(deployment.run)));
    (void) printf("%s}\n", mg_buffer_text(&json));
    return OK;
}

int
mg_cli_status(int argc, char **argv)
{
    struct mg_cli cli;
    bool all_running = false, paths = false;
    const struct mg_cli_option options[] = {{.name = "--paths", .flag = &paths}, {0}};
    struct mg_status status = mg_cli_read(&cli, argc, argv, options);
    if (mg_ok(status) && cli.help)
        return mg_cli_help(
            &cli, "masugata status [--dir DIR] [--json | --paths]",
            "Shows each process: state, restarts, and which of seccomp and Landlock protect it.\n"
            "Exit code 0 when all run, 1 when one does not. --paths prints the two directories as JSON.",
            "各プロセスの状態、再起動回数、seccomp と Landlock の有無を表示します。\n"
            "すべて稼働していれば 0、そうでなければ 1 で終了します。--paths は 2 つのディレクトリを JSON で表示します。");
    if (mg_ok(status) && paths) {
        status = paths_show(&cli);
        return mg_ok(status) ? 0 : mg_cli_fail(&cli, status);
    }
    if (mg_ok(status))
        status = show(&cli, &all_running);
    if (!mg_ok(status))
        return mg_cli_fail(&cli, status);
    return all_running ? 0 : 1;
}

enum { STOP_SECONDS = 170 };

static CHECKED struct mg_status
stop(const struct mg_cli *cli)
{
    OWN(admin) admin = NULL;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_warden_stop reply;
    TRY(mg_admin_open(cli, &admin));
    TRY(mg_admin_warden_stop(admin, &(struct mg_request_warden_stop){0}, &reply, &storage));
    char socket_path[600];
    (void) snprintf(socket_path, sizeof socket_path, "%s/warden.sock", admin->deployment.run);
    /* The warden removes its socket last. This is more than all its own limits together. */
    for (int i = 0; i < STOP_SECONDS * 10; i++) {
        if (access(socket_path, F_OK) != 0)
            return OK;
        (void) usleep(100000);
    }
    return fail_with(TIMEOUT, "still stopping after %d s; see log/warden.log", STOP_SECONDS);
}

int
mg_cli_down(int argc, char **argv)
{
    struct mg_cli cli;
    struct mg_status status = mg_cli_read(&cli, argc, argv, NULL);
    if (mg_ok(status) && cli.help)
        return mg_cli_help(
            &cli, "masugata down [--dir DIR] [--json]",
            "Stops everything in order: pages and jobs, nginx and PostgreSQL, audit log, keys.",
            "順に停止します: 画面とジョブ、nginx と PostgreSQL、監査ログ、鍵。");
    if (mg_ok(status))
        status = stop(&cli);
    if (!mg_ok(status))
        return mg_cli_fail(&cli, status);
    (void) puts(cli.json ? "{\"stopped\":true}" : mg_cli_say(&cli, "stopped", "停止しました"));
    return 0;
}
