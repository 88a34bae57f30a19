/* Writes the manual pages from the tables and from --help, so that neither can disagree with the program:
 *   manual masugata LANG               masugata(1): commands, exit codes, files
 *   manual command WORD LANG HELP      masugata-WORD(1) from the text of `masugata WORD --help`
 *   manual configuration LANG          masugata.conf(5) from catalogue/options.def
 *   manual tenant-policy LANG          masugata-tenant-policy(5) from catalogue/tenant_options.def
 *   manual idp LANG                    masugata-idp(5) from catalogue/idp_options.def
 *   manual sign-in-history LANG       masugata-sign-in-history(5) from src/ports/sign_in_history.c
 *   manual gate LANG                   masugata-gate(5) from catalogue/directives.def
 *   manual sample LANG                 the example configuration
 * The page goes to standard output. Run by the build. */
#include "base/io.h"
#include "domain/federation_refusal.h"
#include "domain/identity_provider.h"
#include "domain/tenant_policy.h"
#include "ports/configuration.h"
#include "ports/sign_in_history.h"
#include "wire/options.h"

#include <stdio.h>
#include <stdlib.h>

static bool japanese;

static const struct {
    const char *word, *en, *ja;
} commands[] = {
#define COMMAND(word, function, english, japanese_text) {word, english, japanese_text},
#include "../catalogue/commands.def"
#undef COMMAND
};

static const char *
say(const char *english, const char *in_japanese)
{
    return japanese ? in_japanese : english;
}

/* Japanese has no spaces to break at: a line may end after any wide character unless a closing mark follows.
 */
static bool
may_break_after(const char *text)
{
    static const char *const closing[] = {"。", "、", "」", ")"};
    if ((text[0] & 0xc0) != 0x80 || (text[1] & 0xc0) == 0x80 || text[1] == '\0')
        return false;
    for (size_t i = 0; i < MG_COUNT(closing); i++)
        if (strncmp(text + 1, closing[i], strlen(closing[i])) == 0)
            return false;
    return true;
}

/* Text as roff: a line's first dot or quote and every backslash and hyphen would mean something. */
static void
put_text(const char *text)
{
    bool line_start = true;
    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            (void) fputs("\\&", stdout);
        if (*text == '\\')
            (void) fputs("\\e", stdout);
        else if (*text == '-')
            (void) fputs("\\-", stdout);
        else
            (void) putchar(*text);
        if (japanese && may_break_after(text))
            (void) fputs("\\:", stdout);
        line_start = *text == '\n';
    }
}

static void
put_line(const char *text)
{
    put_text(text);
    (void) putchar('\n');
}

static void
heading(const char *english, const char *in_japanese)
{
    (void) printf(".SH %s\n", say(english, in_japanese));
}

static void
title(const char *name, int section, const char *what)
{
    char upper[64];
    size_t i = 0;
    for (; name[i] != '\0' && i < sizeof upper - 1; i++)
        upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char) (name[i] - 32) : name[i];
    upper[i] = '\0';
    (void) printf(
        ".\\\" made from catalogue/ by tools/manual.c\n.TH \"%s\" %d \"\" \"masugata %s\" \"Masugata\"\n",
        upper, section, MG_VERSION);
    if (japanese)
        (void) puts(".ad l");
    heading("NAME", "名前");
    put_text(name);
    (void) fputs(" \\- ", stdout);
    put_line(what);
}

static void
tagged(const char *tag)
{
    (void) fputs(".TP\n.B \"", stdout);
    put_text(tag);
    (void) fputs("\"\n", stdout);
}

static void
exit_codes(void)
{
    heading("EXIT STATUS", "終了ステータス");
    static const struct {
        const char *code, *en, *ja;
    } codes[] = {
        {"0", "Done; for prove: everything built holds.", "完了。prove では実装済みの統制がすべて適合。"},
        {"1", "Refused, not found, or not proven.", "拒否、該当なし、または証明できず。"},
        {"2", "The command line, a value or the configuration is wrong; nothing was changed.",
         "コマンドライン、値、または設定が誤り。何も変更していない。"},
        {"3", "A failure of the system; trying again may help.", "システムの障害。再実行で直ることがある。"},
    };
    for (size_t i = 0; i < MG_COUNT(codes); i++) {
        tagged(codes[i].code);
        put_line(say(codes[i].en, codes[i].ja));
    }
}

static void
page_masugata(void)
{
    title("masugata", 1,
          say("a court between the internet and your web application", "Web アプリケーションの前に立つ枡形"));
    heading("SYNOPSIS", "書式");
    put_line("masugata COMMAND [--dir DIR] [--json] [--lang ja|en] ...");
    heading("DESCRIPTION", "説明");
    put_line(
        say("Masugata stands in front of a web application: sign-in, sessions, tenants kept apart, keys, an "
            "audit log "
            "that shows tampering, and a probe for each control that says whether it holds.",
            "Masugata は Web "
            "アプリケーションの前に立ち、サインイン、セッション、テナントの分離、鍵、改ざんが分かる監査ログを"
            "受け持ち、統制ごとのプローブで適合しているかどうかを示します。"));
    heading("COMMANDS", "コマンド");
    for (size_t i = 0; i < MG_COUNT(commands); i++) {
        char name[64];
        (void) snprintf(name, sizeof name, "masugata %s", commands[i].word);
        tagged(name);
        put_line(say(commands[i].en, commands[i].ja));
    }
    heading("COMMON OPTIONS", "共通オプション");
    tagged("--dir DIR");
    put_line(
        say("The state directory. Without it: $MASUGATA_DIR, else ./masugata-state, else /var/lib/masugata.",
            "状態ディレクトリ。省略時は $MASUGATA_DIR、./masugata-state、/var/lib/masugata の順。"));
    tagged("--json");
    put_line(say("Output for programs.", "プログラム向けの出力。"));
    tagged("--lang ja|en");
    put_line(say("The language; otherwise from LC_ALL, LC_MESSAGES, LANG.",
                 "言語。省略時は LC_ALL、LC_MESSAGES、LANG から。"));
    tagged("--help");
    put_line(say("What a command does and its options.", "コマンドの説明とオプション。"));
    exit_codes();
    heading("FILES", "ファイル");
    static const struct {
        const char *path, *en, *ja;
    } files[] = {
        {"DIR/masugata.conf", "Options, see masugata.conf(5).", "オプション。masugata.conf(5) を参照。"},
        {"DIR/keystore/", "The root key and wrapped keys; never in a backup.",
         "ルート鍵と、それに包まれた鍵。バックアップに含めない。"},
        {"DIR/audit/log, DIR/audit/log.vkey", "The audit log and the public key to check it with.",
         "監査ログと、その検証用の公開鍵。"},
        {"DIR/log/", "One service log for each process.", "プロセスごとの動作ログ。"},
    };
    for (size_t i = 0; i < MG_COUNT(files); i++) {
        tagged(files[i].path);
        put_line(say(files[i].en, files[i].ja));
    }
    heading("SEE ALSO", "関連項目");
    for (size_t i = 0; i < MG_COUNT(commands); i++)
        (void) printf(".BR masugata\\-%s (1),\n", commands[i].word);
    (void) puts(".BR masugata.conf (5),\n.BR masugata\\-tenant\\-policy (5)");
}

static void
page_command(const char *word, const char *help)
{
    const char *what = "";
    for (size_t i = 0; i < MG_COUNT(commands); i++)
        if (strcmp(commands[i].word, word) == 0)
            what = say(commands[i].en, commands[i].ja);
    char name[64];
    (void) snprintf(name, sizeof name, "masugata-%s", word);
    title(name, 1, what);
    heading("SYNOPSIS", "書式");
    /* Up to the first empty line: the usage. */
    const char *end = strstr(help, "\n\n");
    const size_t length = end == NULL ? strlen(help) : (size_t) (end - help);
    char *usage = strndup(help, length);
    if (usage == NULL)
        exit(3);
    const char *colon = strstr(usage, ": ");
    (void) puts(".nf");
    put_line(colon == NULL ? usage : colon + 2);
    (void) puts(".fi");
    free(usage);
    if (end != NULL) {
        heading("DESCRIPTION", "説明");
        (void) puts(".nf");
        put_text(end + 2);
        (void) puts(".fi");
    }
    exit_codes();
    heading("SEE ALSO", "関連項目");
    (void) puts(".BR masugata (1),\n.BR masugata.conf (5)");
}

static const char *
type_text(const struct mg_option_row *row)
{
    switch (row->type) {
    case MG_OPTION_DURATION:
        return say("a duration such as 250ms, 15m, 8h or 60d", "時間。例: 250ms、15m、8h、60d");
    case MG_OPTION_NUMBER:
        return say("a number", "数値");
    case MG_OPTION_FLAG:
        return say("yes or no", "yes または no");
    case MG_OPTION_CHOICE:
        return say("one of", "次のいずれか");
    case MG_OPTION_LIST:
        return say("words separated by spaces or commas", "空白またはコンマ区切りの語");
    case MG_OPTION_TEXT:
        break;
    }
    return say("text", "文字列");
}

static void
option_readers(const struct mg_option_row *row)
{
    (void) fputs(say("Read by: ", "読むプロセス: "), stdout);
    bool first = true;
    for (int process = 0; process < MG_PROCESS_COUNT; process++) {
        if (process == MG_CLI || (process == MG_WARDEN && row->readers != 1U << MG_WARDEN) ||
            (row->readers & (1U << process)) == 0)
            continue;
        (void) printf("%s%s", first ? "" : ", ", mg_process_name((enum mg_process) process));
        first = false;
    }
    (void) puts(say(".", "。"));
}

static void
option(const struct mg_option_row *row)
{
    tagged(row->keyword);
    put_text(say(row->en, row->ja));
    (void) printf("%s%s\n.br\n", row->secret ? say(" (secret)", " (秘密)") : "", say(".", "。"));
    put_text(type_text(row));
    if (row->type == MG_OPTION_CHOICE)
        (void) printf(" %s", row->most);
    else if (row->least[0] != '\0')
        (void) printf(say(", from %s to %s", "、%s から %s まで"), row->least, row->most);
    (void) fputs(say("; preset: ", "。既定値: "), stdout);
    put_text(row->preset[0] != '\0' ? row->preset : say("empty", "空"));
    (void) printf("%s\n", say(".", "。"));
}

static void
page_configuration(void)
{
    title("masugata.conf", 5, say("the configuration of a Masugata deployment", "Masugata の設定ファイル"));
    heading("DESCRIPTION", "説明");
    put_line(say("The file DIR/masugata.conf has one option a line, written as keyword = value. A value with "
                 "spaces stands in double "
                 "quotes; what follows # is a comment. Without a line an option has its preset. A wrong line "
                 "is named with its "
                 "number and what is allowed, and nothing starts or changes.",
                 "DIR/masugata.conf には 1 行に 1 つ「キーワード = "
                 "値」を書きます。空白を含む値は二重引用符で囲み、# 以降はコメントです。"
                 "書かれていないオプションは既定値になります。誤った行は行番号と許可される値を示し、何も起動"
                 "・変更しません。"));
    heading("OPTIONS", "オプション");
    for (size_t i = 0; i < mg_option_count; i++) {
        option(&mg_option_rows[i]);
        (void) puts(".br");
        option_readers(&mg_option_rows[i]);
    }
    heading("SEE ALSO", "関連項目");
    (void) puts(".BR masugata (1)");
}

static void
page_tenant_policy(void)
{
    title("masugata-tenant-policy", 5, say("what a tenant has of its own", "テナント固有の設定"));
    heading("DESCRIPTION", "説明");
    put_line(
        say("masugata tenant policy NAME prints this file, and with --file FILE replaces the whole of a "
            "tenant's policy by it: one keyword = value a line, values with spaces in double quotes, # "
            "before a comment. What is not written goes back to its preset. A wrong line is named with "
            "its number and what is allowed, and nothing changes; a change is recorded with before and "
            "after, and holds for the next request.",
            "masugata tenant policy NAME はこの形式で表示し、--file FILE を付けるとテナントの設定全体を"
            "置き換えます。1 行に 1 つ「キーワード = 値」を書き、空白を含む値は二重引用符で囲み、# 以降は"
            "コメントです。書かれていないものは既定値に戻ります。誤った行は行番号と許可される値を示し、"
            "何も変更しません。変更は前後の値とともに記録され、次の要求から有効です。"));
    heading("KEYWORDS", "キーワード");
    for (size_t i = 0; i < mg_tenant_option_count; i++)
        option(&mg_tenant_option_rows[i]);
    heading("ROUTES", "経路");
    put_line(
        say("route \"/path\" { keyword = value } holds for the path and everything below it, on every "
            "application host of the tenant; route \"HOST/path\" on one of them. The longest path wins. "
            "Rules that only restrict are compared without regard to case.",
            "route \"/パス\" { キーワード = 値 } は、そのパスと配下に、テナントのすべてのアプリケーション"
            "ホストで適用されます。route \"HOST/パス\" なら 1 つのホストだけです。最も長いパスが優先され、"
            "制限だけの規則は大文字小文字を区別せずに比べます。"));
    for (size_t i = 0; i < mg_route_option_count; i++)
        option(&mg_route_option_rows[i]);
    heading("EXAMPLE", "例");
    (void) puts(".nf");
    put_line("allow.use = \"198.51.100.0/24 2001:db8::/32\"");
    put_line("session.idle = 15m");
    put_line("route \"/admin\" { roles = administrator  fresh = 1h }");
    put_line("route \"/hooks\" { webhook = yes  networks = \"203.0.113.0/24\" }");
    (void) puts(".fi");
    heading("SEE ALSO", "関連項目");
    (void) puts(".BR masugata\\-tenant (1),\n.BR masugata.conf (5)");
}

static void
page_sign_in_history(void)
{
    title("masugata-sign-in-history", 5, say("a file of past sign-ins", "過去のサインインのファイル"));
    heading("DESCRIPTION", "説明");
    put_line(say(
        "What masugata policy simulate reads: one sign-in a row, oldest first, in UTF-8. Either CSV (RFC 4180) "
        "whose first line names the columns, in any order, or one JSON object a line with the same "
        "names. At most 200,000 sign-ins and 64 MiB. A line that cannot be understood is named, and "
        "nothing is simulated.",
        "masugata policy simulate が読むファイルです。1 行に 1 回のサインインを、古いものから UTF-8 で"
        "書きます。CSV (RFC 4180。1 行目に列名、順序は自由) か、同じ名前を持つ JSON オブジェクトを "
        "1 行に 1 つ並べます。最大 200,000 件、64 MiB。解釈できない行があれば行番号を示し、何も実行しません。"));
    heading("COLUMNS", "列");
    for (size_t i = 0; mg_history_columns[i].name != NULL; i++) {
        char tag[64];
        (void) snprintf(tag, sizeof tag, "%s%s", mg_history_columns[i].name,
                        !mg_history_columns[i].needed ? "" : say(" (needed)", " (必須)"));
        tagged(tag);
        put_line(say(mg_history_columns[i].en, mg_history_columns[i].ja));
    }
    heading("SIGNALS", "判定要素");
    put_line(say("The score of a sign-in is the sum of the weights of what applies to it:",
                 "スコアは、あてはまる判定要素の重みの合計です。"));
    for (int i = 0; i < MG_SIGNAL_COUNT; i++) {
        char tag[64];
        (void) snprintf(tag, sizeof tag, "%s (%u)", mg_signal_name((enum mg_signal) i),
                        mg_signal_weight((enum mg_signal) i));
        tagged(tag);
        put_line(mg_signal_text((enum mg_signal) i, japanese));
    }
    put_line(
        say("What cannot be told, for want of data or of a past, is printed as unknown and counts nothing.",
            "データや過去の履歴がなく判定できないものは「不明」と表示し、加算しません。"));
    heading("EXAMPLE", "例");
    (void) puts(".nf");
    put_line("time,login,address,device,country,latitude,longitude,result");
    put_line("2026-11-20T09:00:00+09:00,aiko@acme.example,192.0.2.10,laptop,JP,35.68,139.77,success");
    put_line("2026-11-20T10:00:00+09:00,aiko@acme.example,198.51.100.7,,FR,48.86,2.35,success");
    (void) puts(".fi");
    heading("SEE ALSO", "関連項目");
    (void) puts(".BR masugata\\-policy (1),\n.BR masugata\\-tenant\\-policy (5)");
}

static const struct {
    const char *name, *value, *contexts, *preset, *en, *ja;
} directives[] = {
#define DIRECTIVE(name, value, contexts, preset, english, japanese_text) \
    {name, value, contexts, preset, english, japanese_text},
#include "../catalogue/directives.def"
};

static const struct {
    const char *name, *en, *ja;
} gate_variables[] = {
#define GATE_VARIABLE(name, english, japanese_text) {name, english, japanese_text},
#include "../catalogue/directives.def"
};

static void
put_directives(void)
{
    for (size_t i = 0; i < MG_COUNT(directives); i++) {
        (void) printf(".TP\n.BI \"%s \" \"%s\"\n", directives[i].name, directives[i].value);
        put_line(say(directives[i].en, directives[i].ja));
        (void) puts(".br");
        (void) printf("%s", say("Context: ", "コンテキスト: "));
        put_text(directives[i].contexts);
        if (directives[i].preset[0] == '\0')
            put_line(say(". Must be given.", "。必須です。"));
        else {
            (void) fputs(say(". Preset: ", "。既定値: "), stdout);
            put_text(directives[i].preset);
            put_line(say(".", "。"));
        }
    }
}

static void
page_gate(void)
{
    title("masugata-gate", 5, say("the gate's nginx module", "ゲートの nginx モジュール"));
    heading("DESCRIPTION", "説明");
    put_line(say(
        "ngx_http_masugata_module.so decides about every request of a server block before any location is "
        "chosen: host, network, path, site, session and the policy's rules for the path. It needs the files "
        "that masugata keeps in RUN/gate and a portal to send people to. masugata up writes a hardened "
        "nginx.conf with it; this page is for those who keep their own. Nothing but proxy_pass is needed for "
        "the decision: headers from outside that look like ours are removed, the identity and the response "
        "headers are added by the module itself.",
        "ngx_http_masugata_module.so は、server ブロックのすべての要求を location の選択より前に判定します。"
        "ホスト、ネットワーク、パス、要求元のサイト、セッション、パスごとの規則を順に確かめます。masugata が "
        "RUN/gate に置くファイルと、利用者を案内するポータルが必要です。masugata up は堅牢化した nginx.conf を"
        "書き出します。このページは nginx.conf を自分で管理する人のためのものです。判定に必要なのは proxy_pass "
        "だけです。外から来た紛らわしいヘッダーは取り除かれ、利用者の識別情報と応答ヘッダーはモジュールが付けます。"));
    heading("DIRECTIVES", "ディレクティブ");
    put_line(
        say("None of them can stand in a location block; everything else follows nginx's usual rules of "
            "inheritance.",
            "いずれも location ブロックには書けません。それ以外の継承は nginx の通常の規則に従います。"));
    put_directives();
    heading("VARIABLES", "変数");
    for (size_t i = 0; i < MG_COUNT(gate_variables); i++) {
        (void) printf(".TP\n.B \"$%s\"\n", gate_variables[i].name);
        put_line(say(gate_variables[i].en, gate_variables[i].ja));
    }
    heading("EXAMPLE", "例");
    (void) puts(".nf");
    put_line("load_module /usr/lib/nginx/modules/ngx_http_masugata_module.so;");
    put_line("http {");
    put_line("    masugata_directory /run/masugata/ID/gate;");
    put_line("    upstream masugata_portal { server unix:/run/masugata/ID/portal/http.sock; keepalive 16; }");
    put_line("    upstream app { server 127.0.0.1:3000; keepalive 32; }");
    put_line("    server {");
    put_line("        listen 443 ssl http2;");
    put_line("        server_name acme.example id.acme.example;");
    put_line("        masugata on;");
    put_line("        location ^~ /.masugata/ { proxy_pass http://masugata_portal; }");
    put_line("        location ^~ /.well-known/masugata/ { proxy_pass http://masugata_portal; }");
    put_line("        location / { proxy_http_version 1.1; proxy_pass http://app; }");
    put_line("    }");
    put_line("}");
    (void) puts(".fi");
    heading("CAUTIONS", "注意");
    put_line(say(
        "return, rewrite and satisfy cannot open what the gate closes: it decides first. An application that "
        "answers with X-Accel-Redirect can reach other locations of its server block; add "
        "proxy_ignore_headers X-Accel-Redirect where that is not wanted.",
        "return、rewrite、satisfy でゲートの拒否を覆すことはできません。判定が先だからです。X-Accel-Redirect を"
        "返すアプリケーションは同じ server ブロックの別の location に届きます。望まない場合は "
        "proxy_ignore_headers X-Accel-Redirect を加えてください。"));
    heading("SEE ALSO", "関連項目");
    (void) puts(
        ".BR masugata (1),\n.BR masugata.conf (5),\n.BR masugata\\-tenant\\-policy (5),\n.BR nginx (8)");
}

static void
page_idp(void)
{
    title("masugata-idp", 5, say("the settings of an identity provider", "IdP の設定項目"));
    heading("DESCRIPTION", "説明");
    put_line(say(
        "masugata idp add and masugata idp set take these as KEYWORD=VALUE words, or one a line with --file; "
        "masugata idp show prints them. A wrong value is named with what is allowed, and nothing changes; a "
        "change is recorded with before and after.",
        "masugata idp add と masugata idp set に KEYWORD=VALUE の形で、または --file で 1 行に 1 つずつ"
        "指定します。masugata idp show で表示できます。誤った値は許可される値とともに示し、何も変更しません。"
        "変更は前後の値とともに記録されます。"));
    heading("KEYWORDS", "キーワード");
    for (size_t i = 0; i < mg_idp_option_count; i++)
        option(&mg_idp_option_rows[i]);
    heading("REFUSALS", "拒否の理由");
    put_line(say("What masugata idp test and the audit log say when a sign-in was refused:",
                 "サインインを拒否したとき、masugata idp test と監査ログに示す理由です。"));
    for (uint64_t i = 1; i < MG_FEDERATION_COUNT; i++) {
        tagged(mg_federation_refusal_name(i));
        put_line(mg_federation_refusal_text(i, japanese));
    }
    heading("SEE ALSO", "関連項目");
    (void) puts(".BR masugata\\-idp (1),\n.BR masugata.conf (5)");
}

int
main(int argc, char **argv)
{
    OWN_BUFFER(help, 65536);
    OWN_BUFFER(sample, 1U << 20);
    const char *language = argc > 2 ? argv[argc == 5 ? 3 : 2] : "";
    japanese = strcmp(language, "ja") == 0;
    if (argc == 3 && strcmp(argv[1], "masugata") == 0)
        page_masugata();
    else if (argc == 3 && strcmp(argv[1], "configuration") == 0)
        page_configuration();
    else if (argc == 3 && strcmp(argv[1], "tenant-policy") == 0)
        page_tenant_policy();
    else if (argc == 3 && strcmp(argv[1], "idp") == 0)
        page_idp();
    else if (argc == 3 && strcmp(argv[1], "sign-in-history") == 0)
        page_sign_in_history();
    else if (argc == 3 && strcmp(argv[1], "gate") == 0)
        page_gate();
    else if (argc == 5 && strcmp(argv[1], "command") == 0 && mg_ok(mg_file_read(argv[4], &help)))
        page_command(argv[2], mg_buffer_text(&help));
    else if (argc == 3 && strcmp(argv[1], "sample") == 0 && mg_ok(mg_configuration_sample(&sample)))
        (void) fputs(mg_buffer_text(&sample), stdout);
    else {
        (void) fputs(
            "usage: manual masugata|configuration|tenant-policy|sign-in-history|idp|gate|sample LANG, manual command WORD LANG HELP\n",
            stderr);
        return 2;
    }
    return 0;
}
