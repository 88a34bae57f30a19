/* masugata policy simulate: what adaptive sign-in would make of a history of sign-ins. */
#include "cli/people.h"
#include "cli/tenant_policy.h"

#include "base/io.h"
#include "ports/location.h"
#include "ports/sign_in_history.h"
#include "wire/network.h"
#include "wire/options.h"

#include <stdlib.h>
#include <unistd.h>

static const char usage[] = "masugata policy simulate --file HISTORY [--tenant NAME | --policy FILE]";

struct simulation {
    const struct mg_cli *cli;
    const char *file, *tenant, *policy_file;
    struct mg_options *options;
    struct mg_tenant_policy *policy;
    struct mg_location *location;
    struct mg_network_set own, bad;
    struct mg_sign_in_history *history;
};

static void
simulation_drop(struct simulation *it)
{
    mg_options_drop(&it->options);
    mg_tenant_policy_drop(&it->policy);
    mg_location_drop(&it->location);
    mg_network_set_drop(&it->own);
    mg_network_set_drop(&it->bad);
    mg_sign_in_history_drop(&it->history);
}

/* ---- reading ---- */

/* Without a deployment the presets say where the location files are. */
static CHECKED struct mg_status
options_read(struct simulation *it)
{
    struct mg_deployment deployment;
    const struct mg_status status = mg_cli_deployment(it->cli, &it->options, &deployment);
    if (status.code != MG_NOT_FOUND || it->tenant != NULL)
        return status;
    TRY(mg_options_new(&it->options));
    return mg_options_preset(it->options);
}

static CHECKED struct mg_status
policy_read(struct simulation *it)
{
    if (it->tenant != NULL) {
        OWN(admin) admin = NULL;
        TRY(mg_admin_open(it->cli, &admin));
        return mg_cli_tenant_policy_fetch(it->cli, admin, it->tenant, &it->policy);
    }
    if (it->policy_file == NULL)
        return mg_tenant_policy_new(&it->policy);
    OWN_BUFFER(text, MG_TENANT_POLICY_FILE_MOST);
    TRY(mg_file_read(it->policy_file, &text));
    if (memchr(text.bytes, '\0', text.length) != NULL)
        return fail_with(CONFIGURATION, "%s: not UTF-8 text", it->policy_file);
    return mg_tenant_policy_parse(it->policy_file, mg_buffer_text(&text), &it->policy);
}

static CHECKED struct mg_status
own_networks_read(struct simulation *it)
{
    struct mg_network networks[MG_TENANT_NETWORKS_MOST];
    struct mg_view word;
    size_t count = 0;
    const char *list = it->policy->settings.adaptive_networks;
    while (count < MG_COUNT(networks) && mg_option_word(&list, &word))
        TRY(mg_network_parse(word, &networks[count++]));
    return mg_network_set_make(true, networks, count, &it->own);
}

static CHECKED struct mg_status
history_read(struct simulation *it)
{
    OWN_BUFFER(text, MG_SIGN_IN_HISTORY_BYTES);
    const bool standard_input = strcmp(it->file, "-") == 0;
    TRY(standard_input ? mg_fd_read_all(STDIN_FILENO, &text) : mg_file_read(it->file, &text));
    const struct mg_status status = mg_sign_in_history_parse(mg_buffer_view(&text), &it->history);
    if (mg_ok(status) || status.code == MG_OUT_OF_MEMORY)
        return status;
    return mg_fail_with(status.code, status.where, "%s: %s", it->file, status.detail);
}

/* What the file does not say of an address, the location files may. */
static CHECKED struct mg_status
place_complete(struct simulation *it, struct mg_replay_row *row)
{
    struct mg_risk_place *place = &row->visit.place, found;
    struct mg_address address;
    mg_location_find(it->location, mg_view_text(row->visit.address), &found);
    if (place->asn == 0)
        place->asn = found.asn;
    if (place->country[0] == '\0') {
        memcpy(place->country, found.country, sizeof place->country);
        if (!place->located) {
            found.asn = place->asn;
            *place = found;
        }
    } else if (!place->located) {
        mg_location_of_country(it->location, place);
    }
    if (mg_ok(mg_address_parse(mg_view_text(row->visit.address), &address))) {
        row->visit.own = mg_network_set_has(&it->own, address);
        if (it->bad.count > 0)
            row->listed = mg_network_set_has(&it->bad, address) ? MG_YES : MG_NO;
    }
    return mg_risk_network(mg_view_text(row->visit.address), place->asn, row->visit.network);
}

/* ---- printing ---- */

static const struct mg_cli_column columns[] = {
    {"time", "Time", "日時", false},           {"login", "Sign-in name", "サインイン名", false},
    {"address", "Address", "アドレス", false}, {"place", "Place", "所在", false},
    {"outcome", "Outcome", "結果", false},     {"score", "Score", "スコア", true},
    {"signals", "Reasons", "理由", false},     {"unknown", "Unknown", "不明", false},
};

static CHECKED struct mg_status
outcome_cell(struct mg_cli_list *list, const struct mg_replay_row *row)
{
    const bool people = !list->cli->json;
    if (row->wrong)
        return mg_cli_list_cell(
            list,
            mg_view_text(people ? mg_cli_say(list->cli, "wrong password", "パスワード誤り") : "failure"));
    return mg_cli_list_cell(
        list, mg_view_text(people ? mg_risk_outcome_text(row->verdict.outcome, list->cli->japanese)
                                  : mg_risk_outcome_name(row->verdict.outcome)));
}

static CHECKED struct mg_status
row_print(struct mg_cli_list *list, const struct mg_replay_row *row)
{
    OWN_BUFFER(place, 128);
    OWN_BUFFER(reasons, 4096);
    OWN_BUFFER(unknown, 1024);
    TRY(mg_buffer_format(&place, "%s%s%s", row->visit.place.country,
                         row->visit.place.country[0] != '\0' ? " " : "", row->visit.network));
    TRY(list->cli->json ? mg_signals_names(row->verdict.signals, &reasons)
                        : mg_signals_words(row->verdict.signals, list->cli->japanese, &reasons));
    if (!list->cli->json && row->verdict.learning && !row->wrong)
        TRY(mg_buffer_format(&reasons, "%s%s", reasons.length > 0 ? "; " : "",
                             mg_cli_say(list->cli, "(learning)", "(学習中)")));
    TRY(mg_signals_names(row->verdict.unknown, &unknown));
    TRY(mg_cli_list_instant(list, row->visit.at));
    TRY(mg_cli_list_cell(list, mg_view_text(row->login)));
    TRY(mg_cli_list_cell(list, mg_view_text(row->visit.address)));
    TRY(mg_cli_list_cell(list, mg_buffer_view(&place)));
    TRY(outcome_cell(list, row));
    TRY(mg_cli_list_number(list, row->verdict.score));
    TRY(mg_cli_list_cell(list, mg_buffer_view(&reasons)));
    return mg_cli_list_cell(list, mg_buffer_view(&unknown));
}

static CHECKED struct mg_status
print(const struct simulation *it)
{
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    size_t counts[MG_RISK_BLOCK + 1] = {0};
    TRY(mg_cli_list_begin(it->cli, "sign_ins", columns, MG_COUNT(columns), &list));
    for (size_t i = 0; i < it->history->count; i++) {
        const struct mg_replay_row *row = &it->history->rows[i];
        TRY(row_print(&list, row));
        counts[row->wrong ? 0 : row->verdict.outcome]++;
    }
    mg_cli_list_end(&list);
    if (!it->cli->json)
        (void) printf(
            mg_cli_say(
                it->cli,
                "\n%zu let in, %zu let in and told, %zu asked for more, %zu blocked; %zu wrong passwords\n",
                "\n許可 %zu、許可して通知 %zu、追加の確認 %zu、遮断 %zu。パスワード誤り %zu\n"),
            counts[MG_RISK_ALLOW], counts[MG_RISK_NOTIFY], counts[MG_RISK_STEP_UP], counts[MG_RISK_BLOCK],
            counts[0]);
    return OK;
}

static CHECKED struct mg_status
simulate(struct simulation *it)
{
    size_t missing = 0;
    TRY(options_read(it));
    TRY(policy_read(it));
    TRY(own_networks_read(it));
    TRY(mg_location_open(it->options->adaptive_location_files, MG_ZONE_TABLE, &it->location, &missing));
    TRY(mg_address_lists_read(it->options->adaptive_address_lists, &it->bad));
    TRY(history_read(it));
    for (size_t i = 0; i < it->history->count; i++)
        TRY(place_complete(it, &it->history->rows[i]));
    const struct mg_tenant_settings *settings = &it->policy->settings;
    const bool off = strcmp(settings->adaptive_mode, "off") == 0;
    const struct mg_risk_limits limits = {
        .notify = off ? 0 : (uint32_t) settings->adaptive_notify,
        .step_up = off ? 0 : (uint32_t) settings->adaptive_step_up,
        .block = off ? 0 : (uint32_t) settings->adaptive_block,
        .learning_ms = settings->adaptive_learning,
        .travel_km_h = (uint32_t) settings->adaptive_travel_speed,
        .names_most = (uint32_t) settings->adaptive_names,
        .enforce = strcmp(settings->adaptive_mode, "watch") != 0,
    };
    TRY(mg_risk_replay(it->history->rows, it->history->count, &limits));
    return print(it);
}

int
mg_cli_policy(int argc, char **argv)
{
    struct mg_cli cli = {0};
    MG_CLEANUP(simulation_drop) struct simulation it = {.cli = &cli};
    const struct mg_cli_option options[] = {{"--file", &it.file, NULL},
                                            {"--tenant", &it.tenant, NULL},
                                            {"--policy", &it.policy_file, NULL},
                                            {NULL, NULL, NULL}};
    struct mg_status status = mg_cli_read(&cli, argc, argv, options);
    if (mg_ok(status) && cli.help)
        return mg_cli_help(
            &cli, usage,
            "Replays a history of sign-ins (masugata-sign-in-history(5); - is the standard input) and\n"
            "prints for each what adaptive sign-in would do and why. The limits are those of the tenant\n"
            "that runs, of a policy file (masugata-tenant-policy(5)) that is not set yet, or the presets.\n"
            "Nothing is changed and nobody is told. A sign-in that would be asked for more counts as\n"
            "answered; one that would be blocked is not learnt from.",
            "サインインの履歴 (masugata-sign-in-history(5)。- は標準入力) を順に調べ、適応型サインインが\n"
            "それぞれどう扱うかと理由を表示します。しきい値には、稼働中のテナントのもの、まだ適用していない\n"
            "ポリシーファイル (masugata-tenant-policy(5)) のもの、または既定値を使います。何も変更せず、\n"
            "誰にも通知しません。追加の確認となるものは本人が応じたものとみなし、遮断となるものは学習しません。");
    if (mg_ok(status) && (cli.argc != 2 || strcmp(cli.argv[1], "simulate") != 0 || it.file == NULL ||
                          (it.tenant != NULL && it.policy_file != NULL)))
        status = fail_with(USAGE, "%s", usage);
    if (mg_ok(status))
        status = simulate(&it);
    return mg_ok(status) ? 0 : mg_cli_fail(&cli, status);
}
