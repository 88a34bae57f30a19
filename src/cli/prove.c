/* masugata prove: has the running prober look now, and shows what it found. */
#include "cli/prove.h"

#include "cli/control.h"
#include "cli/sabotage/sabotage.h"
#include "domain/verdict.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How long a deployment counts as just started, and how long its first looks are waited for. */
enum { YOUNG_S = 120, FIRST_LOOK_MS = 10000 };

static CHECKED struct mg_status
proof_take(const struct mg_record_control_finding *row, struct mg_control_proof *proofs)
{
    const enum mg_control control = mg_control_find(row->id);
    if (control == MG_CONTROL_NONE)
        return fail_with(MALFORMED, "a finding of a control that is not in the catalogue");
    struct mg_control_proof *proof = &proofs[control];
    proof->at = row->at;
    proof->since = row->since;
    TRY(mg_view_copy(row->verdict, proof->verdict, sizeof proof->verdict));
    TRY(mg_view_copy(row->reason_en, proof->reason_en, sizeof proof->reason_en));
    TRY(mg_view_copy(row->reason_ja, proof->reason_ja, sizeof proof->reason_ja));
    TRY(mg_view_copy(row->evidence, proof->evidence, sizeof proof->evidence));
    return mg_view_copy(row->digest, proof->digest, sizeof proof->digest);
}

static void
proofs_clear(struct mg_control_proof *proofs)
{
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const bool built = mg_control_row((enum mg_control) i)->built;
        proofs[i] = (struct mg_control_proof){.at = 0};
        (void) snprintf(proofs[i].verdict, sizeof proofs[i].verdict, "%s", built ? "unknown" : "planned");
    }
}

struct mg_status
mg_prove(struct mg_admin *admin, const char *controls, struct mg_control_proof *proofs)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_prove_run ran;
    const struct mg_request_prove_run run = {.controls = mg_view_text(controls)};
    proofs_clear(proofs);
    TRY(mg_admin_prove_run(admin, &run, &ran, &storage));
    struct mg_reply_prove_list page = {.more = true};
    for (uint64_t from = 0; page.more; from = page.next) {
        TRY(mg_admin_prove_list(admin, &(struct mg_request_prove_list){.from = from}, &page, &storage));
        for (bool more = true;;) {
            struct mg_record_control_finding row;
            TRY(mg_list_next_control_finding(&page.findings, &row, &more));
            if (!more)
                break;
            TRY(proof_take(&row, proofs));
        }
    }
    return OK;
}

/* ---- what was asked ---- */

struct asked {
    bool control[MG_CONTROL_COUNT];
    bool all;
};

static CHECKED struct mg_status
asked_read(const struct mg_cli *cli, struct asked *asked, struct mg_buffer *ids)
{
    asked->all = cli->argc < 2;
    for (int i = 1; i < cli->argc; i++) {
        const enum mg_control control = mg_control_find(mg_view_text(cli->argv[i]));
        if (control == MG_CONTROL_NONE)
            return fail_with(NOT_FOUND, "control %s; `masugata control list` names them", cli->argv[i]);
        asked->control[control] = true;
        TRY(mg_buffer_format(ids, "%s%s", ids->length == 0 ? "" : " ", cli->argv[i]));
    }
    return OK;
}

static bool
is_asked(const struct asked *asked, int control)
{
    return asked->all || asked->control[control];
}

/* ---- showing it ---- */

static CHECKED struct mg_status
json_text(struct mg_buffer *json, const char *name, const char *value)
{
    TRY(mg_buffer_format(json, ",\"%s\":", name));
    return mg_buffer_add_json_string(json, mg_view_text(value));
}

static CHECKED struct mg_status
proof_json(const struct mg_control_row *row, const struct mg_control_proof *proof, bool japanese,
           struct mg_buffer *json)
{
    char at[MG_INSTANT_TEXT], since[MG_INSTANT_TEXT];
    mg_instant_text(proof->at, at);
    mg_instant_text(proof->since, since);
    TRY(mg_buffer_format(json, "{\"id\":\"%s\",\"claims\":", row->id));
    TRY(mg_claims_json(row, json));
    TRY(json_text(json, "verdict", proof->verdict));
    TRY(json_text(json, "reason", japanese ? proof->reason_ja : proof->reason_en));
    if (proof->at == 0)
        TRY(mg_buffer_add_text(json, ",\"at\":null,\"since\":null"));
    else
        TRY(mg_buffer_format(json, ",\"at\":\"%s\",\"since\":\"%s\"", at, since));
    TRY(json_text(json, "evidence", proof->evidence));
    TRY(json_text(json, "digest", proof->digest));
    return mg_buffer_add_byte(json, '}');
}

static CHECKED struct mg_status
show_json(const struct mg_cli *cli, const struct asked *asked, const struct mg_control_proof *proofs)
{
    OWN_BUFFER(json, 1u << 20);
    const char *between = "\n";
    TRY(mg_buffer_add_text(&json, "{\"controls\":["));
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        if (!is_asked(asked, i))
            continue;
        TRY(mg_buffer_add_text(&json, between));
        TRY(proof_json(mg_control_row((enum mg_control) i), &proofs[i], cli->japanese, &json));
        between = ",\n";
    }
    TRY(mg_buffer_add_text(&json, "]}\n"));
    (void) fputs(mg_buffer_text(&json), stdout);
    return OK;
}

static CHECKED struct mg_status
show_table(const struct mg_cli *cli, const struct asked *asked, const struct mg_control_proof *proofs)
{
    const char *const titles_en[] = {"CONTROL", "CLAIM", "VERDICT", "REASON"};
    const char *const titles_ja[] = {"統制", "主張", "判定", "理由"};
    OWN(cli_table) table = NULL;
    unsigned planned = 0;
    TRY(mg_cli_table_new(MG_COUNT(titles_en), cli->japanese ? titles_ja : titles_en, &table));
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const struct mg_control_row *row = mg_control_row((enum mg_control) i);
        planned += is_asked(asked, i) && !row->built;
        if (!is_asked(asked, i) || (asked->all && !row->built))
            continue;
        TRY(mg_cli_table_cell(table, mg_view_text(row->id)));
        TRY(mg_cli_table_cell(table, mg_view_text(row->claims)));
        const enum mg_verdict verdict = mg_verdict_of_name(mg_view_text(proofs[i].verdict));
        TRY(mg_cli_table_cell(table, mg_view_text(mg_words_in(mg_verdict_words(verdict), cli->japanese))));
        TRY(mg_cli_table_cell(table,
                              mg_view_text(cli->japanese ? proofs[i].reason_ja : proofs[i].reason_en)));
    }
    mg_cli_table_print(table, stdout);
    if (planned > 0)
        (void) printf(mg_cli_say(cli, "%u planned: not built yet, nothing is claimed.\n",
                                 "予定 %u 件: 未実装のため何も主張しません。\n"),
                      planned);
    return OK;
}

/* Only what holds is proven: unknown and stale are not green. Planned rows claim nothing, unless
 * somebody asks for one by name. */
static bool
all_hold(const struct asked *asked, const struct mg_control_proof *proofs)
{
    unsigned built = 0;
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const bool planned = strcmp(proofs[i].verdict, "planned") == 0;
        if (!is_asked(asked, i) || (planned && asked->all))
            continue;
        if (strcmp(proofs[i].verdict, "holds") != 0)
            return false;
        built++;
    }
    return built > 0;
}

/* Those that were asked for and could not be looked at. */
static CHECKED struct mg_status
unknown_list(const struct asked *asked, const struct mg_control_proof *proofs, struct mg_buffer *ids)
{
    mg_buffer_clear(ids);
    for (int i = 0; i < MG_CONTROL_COUNT; i++)
        if (is_asked(asked, i) && strcmp(proofs[i].verdict, "unknown") == 0)
            TRY(mg_buffer_format(ids, "%s%s", ids->length == 0 ? "" : " ",
                                 mg_control_row((enum mg_control) i)->id));
    return OK;
}

/* Just started: its drill's tenant may still be on its way, without which some controls cannot be looked at.
 */
static bool
is_young(const struct mg_cli *cli)
{
    OWN(options) options = NULL;
    struct mg_deployment deployment;
    struct stat file;
    char path[MG_PATH];
    return mg_ok(mg_cli_deployment(cli, &options, &deployment)) &&
           mg_ok(mg_path_join(path, deployment.run, "admin/admin.sock")) && stat(path, &file) == 0 &&
           time(NULL) - file.st_mtime < YOUNG_S;
}

static CHECKED struct mg_status
prove(const struct mg_cli *cli, bool *ret_proven)
{
    struct asked asked = {.all = false};
    OWN(admin) admin = NULL;
    OWN_BUFFER(ids, 4096);
    TRY(asked_read(cli, &asked, &ids));
    struct mg_control_proof *proofs = calloc(MG_CONTROL_COUNT, sizeof *proofs);
    if (proofs == NULL)
        return fail(OUT_OF_MEMORY);
    struct mg_status status = mg_admin_open(cli, &admin);
    if (mg_ok(status))
        status = mg_prove(admin, mg_buffer_text(&ids), proofs);
    const int64_t until_ms = mg_monotonic_ms() + FIRST_LOOK_MS;
    while (mg_ok(status) && is_young(cli) && mg_monotonic_ms() < until_ms) {
        status = unknown_list(&asked, proofs, &ids);
        if (!mg_ok(status) || ids.length == 0)
            break;
        (void) usleep(500000);
        status = mg_prove(admin, mg_buffer_text(&ids), proofs);
    }
    if (mg_ok(status))
        status = cli->json ? show_json(cli, &asked, proofs) : show_table(cli, &asked, proofs);
    *ret_proven = mg_ok(status) && all_hold(&asked, proofs);
    free(proofs);
    return status;
}

int
mg_cli_prove(int argc, char **argv)
{
    struct mg_cli cli;
    bool sabotage = false, proven = false;
    const struct mg_cli_option options[] = {{.name = "--sabotage", .flag = &sabotage}, {0}};
    struct mg_status status = mg_cli_read(&cli, argc, argv, options);
    if (mg_ok(status) && cli.help)
        return mg_cli_help(
            &cli, "masugata prove [CONTROL…] [--json] [--sabotage] [--dir DIR]",
            "Looks at the controls of the running deployment now and shows what holds.\n"
            "Exit code 0 only when every control that is built holds; 1 otherwise.\n"
            "  --sabotage  in a fresh deployment of its own, break each control in two ways and\n"
            "              watch the probes notice; the deployment of --dir is not touched",
            "稼働中の環境の統制を今すぐ検査し、適合状況を表示します。\n"
            "実装済みの統制がすべて適合していれば 0、そうでなければ 1 で終了します。\n"
            "  --sabotage  専用の新しい環境で各統制を二通りに壊し、プローブが検知することを\n"
            "              確かめます。--dir の環境には触れません");
    if (mg_ok(status))
        status = sabotage ? mg_sabotage(&cli, &proven) : prove(&cli, &proven);
    if (!mg_ok(status))
        return mg_cli_fail(&cli, status);
    return proven ? 0 : 1;
}
