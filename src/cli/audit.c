/* masugata audit: finds the word's row. */
#include "cli/audit.h"

static const struct {
    const char *word;
    int (*run)(const struct mg_cli *cli, const struct mg_audit_options *options);
    const char *usage, *en, *ja;
} words[] = {
    {"search", mg_audit_search,
     "masugata audit search [TEXT] [--tenant NAME] [--actor NAME] [--event NAME] [--class NUMBER] [--since TIME] "
     "[--until TIME] [--limit N]",
     "Shows matching entries, newest first. Times are RFC 3339 or an age such as 15m or 7d.",
     "条件に合う記録を新しい順に表示します。時刻は RFC 3339 か、15m や 7d のような経過時間で指定します。"},
    {"tail", mg_audit_tail, "masugata audit tail [--follow] [--tenant NAME] [--limit N]",
     "Shows the newest entries; with --follow goes on as they come.",
     "最新の記録を表示します。--follow を付けると、続く記録も届き次第表示します。"},
    {"verify", mg_audit_verify,
     "masugata audit verify [--log DIR --key FILE] [--checkpoint FILE] [--witness FILE] [--remember FILE]\n"
     "masugata audit verify --proof FILE [--key FILE]",
     "Checks every entry, tile and signature of a log or a copy of one, without the running system, and\n"
     "names what is wrong. --checkpoint is one kept from earlier or from a witness (whose vkey --witness\n"
     "names): with it a roll-back is noticed. --remember writes the checkpoint for the next time.\n"
     "--proof checks one entry, as the console or `audit proof --json` gave it, and prints it.",
     "ログ (または複製) の記録・タイル・署名をすべて検査し、異常を具体的に示します。稼働中のシステムは不要です。\n"
     "--checkpoint に以前の控えか立会人のもの (--witness にその vkey) を指定すると、巻き戻しを検出できます。\n"
     "--remember は次回のためにチェックポイントを保存します。\n"
     "--proof は、コンソールまたは `audit proof --json` で取得した 1 件の証明を検証し、内容を表示します。"},
    {"witness", mg_audit_witness, "masugata audit witness --log DIR --key FILE --state DIR",
     "One look of a witness of your own at a log or a copy of one: cosigns its checkpoint into the state\n"
     "directory if it continues the one cosigned last. Run it from a timer, on another machine.",
     "独立した立会人として、ログ (または複製) を一度照合します。前回の副署名に続くものであれば、状態ディレクトリに\n"
     "副署名を保存します。別のマシンのタイマーから実行してください。"},
    {"proof", mg_audit_proof, "masugata audit proof NUMBER [--output DIR]",
     "Gives the inclusion proof of one entry (c2sp.org/tlog-proof); --output also writes the entry's bytes\n"
     "and the key that opens it alone.",
     "1 件の記録の包含証明 (c2sp.org/tlog-proof) を出力します。--output で記録のバイト列と、その 1 件だけを\n"
     "開ける鍵も書き出します。"},
    {"report", mg_audit_report,
     "masugata audit report accounts|users|privileges [--tenant NAME] [--since TIME] [--until TIME] [--json]\n"
     "                      [--format csv|xlsx] [--output FILE]",
     "Counts the changes of accounts, of users and their rights, or the use of privileges in a period, by event;\n"
     "with --format every entry, as CSV or as a workbook with the totals. Without --tenant: the operators'.",
     "期間内のアカウントの変更、利用者と権限の変更、特権の使用をイベントごとに集計します。--format を付けると\n"
     "全件を CSV または集計付きのブックとして書き出します。--tenant がなければ運用者側の記録が対象です。"},
    {"export", mg_audit_export,
     "masugata audit export [--format ocsf|cef|rfc5424] [--tenant NAME] [--since TIME] [--until TIME] [--output FILE]",
     "Writes entries, oldest first, one a line: OCSF JSON, CEF, or RFC 5424 syslog.",
     "記録を古い順に 1 行 1 件で書き出します: OCSF JSON、CEF、または RFC 5424 syslog。"},
};

static int
help_all(const struct mg_cli *cli)
{
    OWN_BUFFER(text, 8192);
    for (size_t i = 0; i < MG_COUNT(words); i++)
        if (!mg_ok(mg_buffer_format(&text, "%s\n%s\n\n", words[i].usage,
                                    mg_cli_say(cli, words[i].en, words[i].ja))))
            break;
    return mg_cli_help(cli, "masugata audit search|tail|verify|witness|proof|report|export",
                       mg_buffer_text(&text), mg_buffer_text(&text));
}

int
mg_cli_audit(int argc, char **argv)
{
    struct mg_cli cli;
    struct mg_audit_options values = {0};
    const struct mg_cli_option options[] = {
        {.name = "--log", .value = &values.log},
        {.name = "--key", .value = &values.key},
        {.name = "--checkpoint", .value = &values.checkpoint},
        {.name = "--remember", .value = &values.remember},
        {.name = "--witness", .value = &values.witness},
        {.name = "--proof", .value = &values.proof},
        {.name = "--tenant", .value = &values.tenant},
        {.name = "--actor", .value = &values.actor},
        {.name = "--event", .value = &values.event},
        {.name = "--class", .value = &values.class_uid},
        {.name = "--since", .value = &values.since},
        {.name = "--until", .value = &values.until},
        {.name = "--limit", .value = &values.limit},
        {.name = "--format", .value = &values.format},
        {.name = "--output", .value = &values.output},
        {.name = "--state", .value = &values.state},
        {.name = "--follow", .flag = &values.follow},
        {0},
    };
    const struct mg_status status = mg_cli_read(&cli, argc, argv, options);
    if (!mg_ok(status))
        return mg_cli_fail(&cli, status);
    const char *word = cli.argc > 1 ? cli.argv[1] : "";
    for (size_t i = 0; i < MG_COUNT(words); i++)
        if (strcmp(word, words[i].word) == 0)
            return cli.help ? mg_cli_help(&cli, words[i].usage, words[i].en, words[i].ja)
                            : words[i].run(&cli, &values);
    if (cli.help)
        return help_all(&cli);
    return mg_cli_fail(
        &cli, fail_with(USAGE, "audit %s; the words are search, tail, verify, witness, proof, report, export",
                        word));
}
