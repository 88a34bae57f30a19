/* masugata backup: what can be restored, and backups out of turn. */
#include "cli/backup.h"
#include "domain/backup_order.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

static const char *tenant;
static bool control, full;

/* ---- whose ---- */

/* --tenant NAME, --control, or everything. */
static CHECKED struct mg_status
names_chosen(const struct mg_cli *cli, struct mg_admin *admin, struct mg_cli_backup_names *names)
{
    if (tenant != NULL && control)
        return fail_with(USAGE, "--tenant or --control");
    if (tenant != NULL && tenant[0] == '\0')
        return fail_with(USAGE, "--tenant NAME");
    if (tenant != NULL) {
        names->count = 1;
        return mg_view_copy(mg_view_text(tenant), names->list[0], sizeof names->list[0]);
    }
    names->count = 1; /* the first is "" */
    return control ? OK : mg_cli_backup_tenants(cli, admin, names);
}

/* ---- now ---- */

/* The order for each; the first failure, after all had their turn. */
static CHECKED struct mg_status
orders_run(const struct mg_cli *cli, struct mg_admin *admin, uint64_t what, struct mg_cli_backup_names *names,
           struct mg_cli_list *list)
{
    static uint64_t numbers[MG_CLI_BACKUP_NAMES];
    struct mg_status first = OK;
    static char detail[600];
    for (size_t i = 0; i < names->count; i++) {
        const struct mg_status status = mg_cli_backup_order(cli, admin, names->list[i], what, 0, &numbers[i]);
        /* Of everything, what another server keeps (database.url) is not ours to do. */
        if (status.code == MG_NOT_FOUND && names->list[i][0] == '\0' && !control)
            numbers[i] = 0;
        else
            TRY(status);
    }
    for (size_t i = 0; i < names->count; i++) {
        char result[512];
        if (numbers[i] == 0)
            continue;
        const struct mg_status status = mg_cli_backup_await(cli, admin, names->list[i], numbers[i], result);
        if (mg_ok(status) && list != NULL) {
            TRY(mg_cli_list_cell(list, mg_view_text(mg_cli_backup_shown(names->list[i]))));
            TRY(mg_cli_list_cell(list, mg_view_text(result)));
        }
        if (!mg_ok(status) && mg_ok(first)) {
            (void) snprintf(detail, sizeof detail, "%s", status.detail);
            first = status;
            first.detail = detail;
        }
    }
    return first;
}

static CHECKED struct mg_status
backup_now(const struct mg_cli *cli, struct mg_admin *admin)
{
    static const struct mg_cli_column columns[] = {{"tenant", "TENANT", "テナント", false},
                                                   {"backup", "BACKUP", "バックアップ", false}};
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    static struct mg_cli_backup_names names;
    TRY(names_chosen(cli, admin, &names));
    TRY(mg_cli_list_begin(cli, "backups", columns, MG_COUNT(columns), &list));
    const struct mg_status status =
        orders_run(cli, admin, full ? MG_BACKUP_ORDER_FULL : MG_BACKUP_ORDER_DIFFERENTIAL, &names, &list);
    mg_cli_list_end(&list);
    return status;
}

/* ---- list ---- */

static CHECKED struct mg_status
trouble_cell(const struct mg_cli *cli, struct mg_cli_list *list, const struct mg_reply_backup_look *reply)
{
    const struct mg_backup_trouble_row *row = mg_backup_trouble_row(reply->trouble);
    if (row == NULL)
        return mg_cli_list_cell(list, mg_view_text(cli->json ? "" : mg_cli_say(cli, "well", "正常")));
    return mg_cli_list_cell(list, mg_view_text(cli->json ? row->word : mg_cli_say(cli, row->en, row->ja)));
}

/* The site, and how far behind: "jp-osaka: 12 s behind". */
static CHECKED struct mg_status
vault_cell(const struct mg_cli *cli, struct mg_cli_list *list, const struct mg_reply_backup_look *reply)
{
    char text[400] = "";
    const int length = (int) reply->vault.length;
    const char *site = (const char *) reply->vault.bytes;
    if (length != 0 && reply->vault_behind_ms < 0)
        (void) snprintf(text, sizeof text, mg_cli_say(cli, "%.*s: not whole yet", "%.*s: 複製未完了"), length,
                        site);
    else if (length != 0)
        (void) snprintf(text, sizeof text, mg_cli_say(cli, "%.*s: %jd s behind", "%.*s: 遅れ %jd 秒"), length,
                        site, (intmax_t) (reply->vault_behind_ms / 1000));
    return mg_cli_list_cell(list, mg_view_text(text));
}

static CHECKED struct mg_status
overview_row(const struct mg_cli *cli, struct mg_admin *admin, const char *name, struct mg_cli_list *list)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_backup_look reply;
    TRY(mg_cli_backup_look(cli, admin, name, &reply, &storage));
    TRY(mg_cli_list_cell(list, mg_view_text(mg_cli_backup_shown(name))));
    TRY(mg_cli_list_cell(list, reply.plan));
    TRY(mg_cli_list_instant(list, reply.from));
    TRY(mg_cli_list_instant(list, reply.log_at));
    TRY(mg_cli_list_instant(list, reply.full_at));
    TRY(mg_cli_list_instant(list, reply.backup_at));
    TRY(mg_cli_list_number(list, reply.backups));
    TRY(mg_cli_list_number(list, reply.repository_bytes));
    TRY(mg_cli_list_instant(list, reply.verified_at));
    TRY(mg_cli_list_cell(list, reply.site));
    TRY(vault_cell(cli, list, &reply));
    return trouble_cell(cli, list, &reply);
}

/* Beside the table, for people: what to do. */
static CHECKED struct mg_status
hints_show(const struct mg_cli *cli, struct mg_admin *admin, const struct mg_cli_backup_names *names)
{
    for (size_t i = 0; i < names->count && !cli->json; i++) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_backup_look reply;
        TRY(mg_cli_backup_look(cli, admin, names->list[i], &reply, &storage));
        const struct mg_backup_trouble_row *row = mg_backup_trouble_row(reply.trouble);
        if (row != NULL)
            (void) printf("%s: %s%s%.*s\n  %s\n", mg_cli_backup_shown(names->list[i]),
                          mg_cli_say(cli, row->en, row->ja), reply.detail.length != 0 ? ": " : "",
                          (int) reply.detail.length, (const char *) reply.detail.bytes,
                          mg_cli_say(cli, row->hint_en, row->hint_ja));
    }
    return OK;
}

static CHECKED struct mg_status
overview(const struct mg_cli *cli, struct mg_admin *admin)
{
    static const struct mg_cli_column columns[] = {
        {"tenant", "TENANT", "テナント", false},
        {"plan", "PLAN", "計画", false},
        {"from", "ANY MOMENT SINCE", "復元できる期間の始まり", false},
        {"log_at", "LOG SAVED", "ログの保存", false},
        {"full_at", "LAST FULL", "最新の全体", false},
        {"backup_at", "LAST", "最新", false},
        {"backups", "BACKUPS", "件数", true},
        {"repository_bytes", "BYTES", "バイト", true},
        {"verified_at", "CHECKED", "検証", false},
        {"site", "SITE", "所在地", false},
        {"vault", "VAULT", "保管庫", false},
        {"state", "STATE", "状態", false},
    };
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    static struct mg_cli_backup_names names;
    TRY(names_chosen(cli, admin, &names));
    TRY(mg_cli_list_begin(cli, "instances", columns, MG_COUNT(columns), &list));
    for (size_t i = 0; i < names.count; i++) {
        const struct mg_status status = overview_row(cli, admin, names.list[i], &list);
        /* Its database may be another server's (database.url), or not made yet. */
        if (status.code != MG_NOT_FOUND)
            TRY(status);
    }
    mg_cli_list_end(&list);
    const struct mg_status status = hints_show(cli, admin, &names);
    return status.code == MG_NOT_FOUND ? OK : status;
}

/* ---- verify ---- */

static CHECKED struct mg_status
trouble_find(const struct mg_cli *cli, struct mg_admin *admin, const struct mg_cli_backup_names *names,
             bool *ret_any)
{
    for (size_t i = 0; i < names->count; i++) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_backup_look reply;
        TRY(mg_cli_backup_look(cli, admin, names->list[i], &reply, &storage));
        *ret_any = *ret_any || reply.trouble >= MG_BACKUP_TROUBLE_GAP;
    }
    return OK;
}

static CHECKED struct mg_status
backup_verify(const struct mg_cli *cli, struct mg_admin *admin)
{
    static struct mg_cli_backup_names names;
    bool any = false;
    TRY(names_chosen(cli, admin, &names));
    TRY(orders_run(cli, admin, MG_BACKUP_ORDER_VERIFY, &names, NULL));
    TRY(overview(cli, admin));
    TRY(trouble_find(cli, admin, &names, &any));
    return any ? (struct mg_status){.code = MG_INTEGRITY, .detail = mg_cli_told} : OK;
}

static CHECKED struct mg_status
backup_accept(const struct mg_cli *cli, struct mg_admin *admin)
{
    static struct mg_cli_backup_names names;
    if (tenant == NULL && !control)
        return fail_with(USAGE, "backup accept needs --tenant NAME or --control");
    TRY(names_chosen(cli, admin, &names));
    TRY(orders_run(cli, admin, MG_BACKUP_ORDER_ACCEPT, &names, NULL));
    return overview(cli, admin);
}

static CHECKED struct mg_status
entries_page(const struct mg_cli *cli, struct mg_admin *admin, struct mg_cli_list *list, uint64_t *from,
             bool *ret_more)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_backup_list reply;
    const struct mg_request_backup_list request = {.tenant = mg_view_text(tenant), .from = *from};
    TRY(mg_admin_backup_list(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(tenant)));
    *ret_more = reply.more;
    *from = reply.next;
    for (bool another = true;;) {
        struct mg_record_backup_entry row;
        TRY(mg_list_next_backup_entry(&reply.backups, &row, &another));
        if (!another)
            return OK;
        TRY(mg_cli_list_cell(list, row.label));
        TRY(mg_cli_list_cell(list, row.kind));
        TRY(mg_cli_list_instant(list, row.started_at));
        TRY(mg_cli_list_instant(list, row.stopped_at));
        TRY(mg_cli_list_number(list, row.database_bytes));
        TRY(mg_cli_list_number(list, row.repository_bytes));
        TRY(mg_cli_list_cell(list, mg_view_text(!row.damaged ? ""
                                                : cli->json  ? "damaged"
                                                             : mg_cli_say(cli, "damaged", "破損"))));
    }
}

static CHECKED struct mg_status
backup_list(const struct mg_cli *cli, struct mg_admin *admin)
{
    static const struct mg_cli_column columns[] = {
        {"backup", "BACKUP", "バックアップ", false},
        {"kind", "KIND", "種類", false},
        {"started_at", "BEGUN", "開始", false},
        {"stopped_at", "ENDED", "終了", false},
        {"database_bytes", "DATABASE", "データベース", true},
        {"repository_bytes", "STORED", "保存量", true},
        {"state", "STATE", "状態", false},
    };
    uint64_t from = 0;
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    if (tenant == NULL && !control)
        return overview(cli, admin);
    TRY(mg_cli_list_begin(cli, "backups", columns, MG_COUNT(columns), &list));
    for (bool more = true; more;)
        TRY(entries_page(cli, admin, &list, &from, &more));
    mg_cli_list_end(&list);
    return OK;
}

static CHECKED struct mg_status
backup_metrics(const struct mg_cli *cli, struct mg_admin *admin)
{
    static struct mg_cli_backup_names names;
    TRY(names_chosen(cli, admin, &names));
    return mg_cli_backup_metrics(cli, admin, &names);
}

int
mg_cli_backup(int argc, char **argv)
{
    static const struct mg_cli_verb verbs[] = {
        {"now", backup_now, 0, 0},       {"list", backup_list, 0, 0},       {"verify", backup_verify, 0, 0},
        {"accept", backup_accept, 0, 0}, {"metrics", backup_metrics, 0, 0},
    };
    static const struct mg_cli_option options[] = {{"--tenant", &tenant, NULL},
                                                   {"--control", NULL, &control},
                                                   {"--full", NULL, &full},
                                                   {NULL, NULL, NULL}};
    return mg_cli_verb_run(
        &(struct mg_cli_verbs){
            .rows = verbs,
            .count = MG_COUNT(verbs),
            .options = options,
            .usage = "masugata backup list [--tenant NAME | --control]\n"
                     "       masugata backup now [--tenant NAME | --control] [--full]\n"
                     "       masugata backup verify [--tenant NAME | --control]\n"
                     "       masugata backup accept --tenant NAME | --control\n"
                     "       masugata backup metrics [--tenant NAME | --control]",
            .en =
                "Every tenant's database is backed up by itself, by its plan (backup.plan), encrypted under a\n"
                "passphrase of its own, and so is Masugata's own. Between backups the transaction log is saved,\n"
                "so that any moment of the plan's window can be restored.\n"
                "  list       each database: its plan, since when any moment can be restored, what was saved when,\n"
                "             and what is wrong and what to do; with --tenant or --control its backups\n"
                "  now        takes a backup now, and waits for it\n"
                "  verify     reads every byte of the backups and of the log now, against the list that was made\n"
                "             when they were taken, and looks for gaps; the exit code is 1 when something is wrong\n"
                "  accept     what was found missing or changed is known as lost: it is no longer shown, and the\n"
                "             older backups may go again. First put back what a copy elsewhere still has\n"
                "  metrics    figures for monitoring as OpenMetrics: age of the recovery point, start of the window,\n"
                "             what the last drill took, whether something is wrong\n"
                "  --tenant   that one; without it all of them\n"
                "  --control  Masugata's own database\n"
                "  --full     a full backup; otherwise what changed since the last full one\n"
                "What a plan no longer needs is destroyed by itself, each with a record in the audit log; never\n"
                "while a finding is open, and under a plan that keeps less only after backup.grace.",
            .ja =
                "各テナントのデータベースと Masugata 自身のデータベースは、計画 (backup.plan) に従って自動で\n"
                "バックアップされ、それぞれ専用のパスフレーズで暗号化されます。その間のトランザクションログも\n"
                "保存され、計画の期間内の任意の時点に復元できます。\n"
                "  list       データベースごとの計画、復元できる期間、保存時刻、問題と対処。--tenant または\n"
                "             --control を付けると、そのバックアップの一覧\n"
                "  now        すぐにバックアップを取得し、完了を待つ\n"
                "  verify     バックアップとログの全バイトを取得時の一覧と照合し、ログの欠落も調べる。問題が\n"
                "             あれば終了コード 1\n"
                "  accept     検出された欠落・改ざんを確認済みとする。以後は表示せず、古いバックアップの破棄も\n"
                "             再開する。控えがあれば、先にファイルを戻すこと\n"
                "  metrics    監視用の数値 (OpenMetrics): 復旧時点の古さ、復元できる期間の始まり、直近の訓練の\n"
                "             所要時間、問題の有無\n"
                "  --tenant   対象のテナント。省略するとすべて\n"
                "  --control  Masugata 自身のデータベース\n"
                "  --full     全体バックアップ。省略すると直近の全体からの差分\n"
                "計画上不要になったバックアップは自動で破棄し、1 件ごとに監査ログへ記録します。検出結果が未確認の間は\n"
                "破棄しません。保管期間がより短い計画への変更は、backup.grace の経過後に有効になります。",
        },
        argc, argv);
}
