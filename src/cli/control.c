#include "cli/control.h"

#include "base/io.h"
#include "base/log.h"

#include <getopt.h>
#include <stdio.h>

enum form { TABLE, JSON, MARKDOWN };

struct request {
    enum form form;
    bool japanese;
    const char *verb, *id;
};

static const char usage[] = "usage: masugata control list [--json | --format markdown] [--lang ja|en]\n"
                            "       masugata control show ID [--json] [--lang ja|en]\n"
                            "\n"
                            "  list   every control: what it says, who answers for it, whether it is built\n"
                            "         一覧: 統制の内容、責任者、実装状況\n"
                            "  show   one of them in full\n"
                            "         1 件の詳細\n"
                            "Exit: 0 done, 1 no such control, 2 usage.\n";

bool
mg_cli_japanese(void)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < MG_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0')
            return strncmp(value, "ja", 2) == 0;
    }
    return false;
}

static CHECKED struct mg_status
list_table(bool japanese, struct mg_buffer *text)
{
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const struct mg_control_row *row = mg_control_row((enum mg_control) i);
        const char *state =
            row->built ? (japanese ? "実装済" : "built  ") : (japanese ? "予定  " : "planned");
        TRY(mg_buffer_format(text, "%-16s %s %5s  %s\n", row->id, state, row->claims,
                             mg_words_in(row->statement, japanese)));
    }
    return OK;
}

static CHECKED struct mg_status
line(struct mg_buffer *text, const char *name, const char *value)
{
    return mg_buffer_format(text, "%s: %s\n", name, value[0] == '\0' ? "-" : value);
}

static CHECKED struct mg_status
show_row(const struct mg_control_row *row, bool japanese, struct mg_buffer *text)
{
    char every[MG_DURATION_TEXT], age[MG_DURATION_TEXT];
    mg_duration_text(row->every_ms, every);
    mg_duration_text(row->age_ms, age);
    OWN_BUFFER(evidence, 1024);
    TRY(mg_evidence_list(row, japanese, &evidence));
    const char *state = row->built ? (japanese ? "実装済み" : "built") : (japanese ? "予定" : "planned");
    TRY(mg_buffer_format(text, "%s\n%s\n\n", row->id, mg_words_in(row->statement, japanese)));
    TRY(line(text, japanese ? "状態" : "state", state));
    TRY(line(text, japanese ? "区分" : "category", mg_words_in(mg_category_words(row->category), japanese)));
    TRY(line(text, japanese ? "主張の番号" : "claims", row->claims));
    TRY(line(text, japanese ? "責任者" : "accountable",
             mg_words_in(mg_party_words(row->accountable), japanese)));
    TRY(line(text, japanese ? "実施する部分" : "enforced by",
             mg_words_in(mg_enforcer_words(row->enforcer), japanese)));
    TRY(line(text, japanese ? "根拠" : "evidence", mg_buffer_text(&evidence)));
    TRY(line(text, japanese ? "検査間隔" : "looked at every", every));
    TRY(line(text, japanese ? "有効期間" : "stale after", age));
    TRY(line(text, "ISO/IEC 27001:2022", row->iso));
    return line(text, "NIST SP 800-53", row->nist);
}

static CHECKED struct mg_status
answer(const struct request *request, struct mg_buffer *text)
{
    enum mg_control only = MG_CONTROL_NONE;
    if (request->id != NULL) {
        only = mg_control_find(mg_view_text(request->id));
        if (only == MG_CONTROL_NONE)
            return fail_with(NOT_FOUND, "control %s; `masugata control list` names them", request->id);
    }
    if (request->form == JSON)
        return mg_controls_json(only, text);
    if (request->form == MARKDOWN)
        return mg_controls_markdown(request->japanese, text);
    if (only != MG_CONTROL_NONE)
        return show_row(mg_control_row(only), request->japanese, text);
    return list_table(request->japanese, text);
}

/* False if the arguments are not understood. */
static bool
read_arguments(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"format", required_argument, NULL, 'f'},
        {"lang", required_argument, NULL, 'l'},
        {"dir", required_argument, NULL, 'd'},
        {NULL, 0, NULL, 0},
    };
    optind = 1;
    for (int letter; (letter = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (letter == 'j')
            request->form = JSON;
        else if (letter == 'f' && strcmp(optarg, "markdown") == 0)
            request->form = MARKDOWN;
        else if (letter == 'l' && (strcmp(optarg, "ja") == 0 || strcmp(optarg, "en") == 0))
            request->japanese = optarg[0] == 'j';
        else if (letter != 'd') /* the catalogue is the same in every deployment */
            return false;
    }
    const int words = argc - optind;
    request->verb = words > 0 ? argv[optind] : "";
    request->id = words > 1 ? argv[optind + 1] : NULL;
    if (strcmp(request->verb, "list") == 0)
        return words == 1;
    return strcmp(request->verb, "show") == 0 && words == 2 && request->form != MARKDOWN;
}

int
mg_cli_control(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) {
            (void) fputs(usage, stdout);
            return 0;
        }
    struct request request = {.japanese = mg_cli_japanese()};
    if (!read_arguments(argc, argv, &request)) {
        (void) fputs(usage, stderr);
        return mg_error_row(MG_USAGE)->exit_code;
    }
    OWN_BUFFER(text, 1u << 20);
    struct mg_status status = answer(&request, &text);
    if (mg_ok(status))
        status = mg_fd_write_all(STDOUT_FILENO, mg_buffer_view(&text));
    if (!mg_ok(status))
        mg_log_status(MG_ERROR, "control", status);
    return mg_error_row(status.code)->exit_code;
}
