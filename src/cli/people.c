#include "cli/people.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

static CHECKED struct mg_status
verb_run(const struct mg_cli_verbs *verbs, const struct mg_cli *cli)
{
    const int words = cli->argc - 2;
    for (size_t i = 0; cli->argc >= 2 && i < verbs->count; i++) {
        const struct mg_cli_verb *verb = &verbs->rows[i];
        if (strcmp(cli->argv[1], verb->word) != 0)
            continue;
        if (words < verb->least || words > verb->most)
            return verb->least == verb->most
                       ? fail_with(USAGE, "%s %s: %d words, expected %d", cli->argv[0], verb->word, words,
                                   verb->least)
                       : fail_with(USAGE, "%s %s: %d words, expected %d to %d", cli->argv[0], verb->word,
                                   words, verb->least, verb->most);
        OWN(admin) admin = NULL;
        TRY(mg_admin_open(cli, &admin));
        return verb->run(cli, admin);
    }
    return fail_with(USAGE, "%s %s", cli->argv[0], cli->argc >= 2 ? cli->argv[1] : "?");
}

const char mg_cli_told[] = "";

int
mg_cli_verb_run(const struct mg_cli_verbs *verbs, int argc, char **argv)
{
    struct mg_cli cli;
    struct mg_status status = mg_cli_read(&cli, argc, argv, verbs->options);
    if (mg_ok(status) && cli.help)
        return mg_cli_help(&cli, verbs->usage, verbs->en, verbs->ja);
    if (mg_ok(status))
        status = verb_run(verbs, &cli);
    if (!mg_ok(status) && status.detail == mg_cli_told)
        return mg_error_row(status.code)->exit_code;
    return mg_ok(status) ? 0 : mg_cli_fail(&cli, status);
}

static enum mg_code
code_of(uint64_t outcome)
{
    switch (outcome) {
    case MG_NOT_KNOWN:
        return MG_NOT_FOUND;
    case MG_TAKEN:
        return MG_EXISTS;
    case MG_NOT_VALID:
        return MG_INVALID;
    case MG_BUSY_NOW:
        return MG_BUSY;
    default:
        return MG_REFUSED;
    }
}

struct mg_status
mg_cli_outcome(const struct mg_cli *cli, uint64_t outcome, struct mg_view reason)
{
    if (outcome == MG_GRANTED)
        return OK;
    if (code_of(outcome) != MG_REFUSED) /* the error's own text says it; what remains is which */
        return mg_fail_with(code_of(outcome), MG_HERE, "%.*s", (int) reason.length,
                            (const char *) reason.bytes);
    return mg_fail_with(code_of(outcome), MG_HERE, "%s%s%.*s", mg_outcome_text(outcome, cli->japanese),
                        reason.length != 0 ? " " : "", (int) reason.length, (const char *) reason.bytes);
}

const char *
mg_cli_state_name(const struct mg_cli *cli, uint64_t state)
{
    static const struct {
        const char *en, *ja;
    } names[] = {
        [MG_LISTED_NONE] = {"unknown", "不明"},        [MG_LISTED_ACTIVE] = {"active", "有効"},
        [MG_LISTED_SUSPENDED] = {"suspended", "停止"}, [MG_LISTED_LOCKED] = {"locked", "ロック中"},
        [MG_LISTED_INVITED] = {"invited", "招待中"},   [MG_LISTED_PREPARING] = {"preparing", "準備中"},
    };
    const size_t at = state < MG_COUNT(names) ? state : MG_LISTED_NONE;
    return cli->json ? names[at].en : mg_cli_say(cli, names[at].en, names[at].ja);
}

void
mg_cli_done(const struct mg_cli *cli, const char *english, const char *japanese, const char *name,
            uint64_t number)
{
    if (!cli->json)
        (void) puts(mg_cli_say(cli, english, japanese));
    else if (name == NULL)
        (void) puts("{\"done\":true}");
    else
        (void) printf("{\"done\":true,\"%s\":%" PRIu64 "}\n", name, number);
}

/* ---- lists -------------------------------------------------------------------------------------------- */

struct mg_status
mg_cli_list_begin(const struct mg_cli *cli, const char *name, const struct mg_cli_column *columns,
                  size_t count, struct mg_cli_list *list)
{
    *list = (struct mg_cli_list){
        .cli = cli, .name = name, .columns = columns, .count = count, .json = MG_BUFFER(65536)};
    if (cli->json) /* the first row writes the beginning: before it, an error may still be all there is */
        return OK;
    const char *titles[16];
    mg_must(count <= MG_COUNT(titles));
    for (size_t i = 0; i < count; i++)
        titles[i] = mg_cli_say(cli, columns[i].en, columns[i].ja);
    return mg_cli_table_new(count, titles, &list->table);
}

/* `json` is the cell's value as JSON, `text` as it stands in a table. */
static CHECKED struct mg_status
cell(struct mg_cli_list *list, struct mg_view text, bool quoted)
{
    const struct mg_cli_column *column = &list->columns[list->at];
    const bool last = ++list->at == list->count;
    if (last)
        list->at = 0;
    if (!list->cli->json)
        return mg_cli_table_cell(list->table, text);
    TRY(mg_buffer_format(&list->json, "%s\"%s\":", list->json.length == 0 ? "{" : ",", column->json));
    if (quoted)
        TRY(mg_buffer_add_json_string(&list->json, text));
    else
        TRY(mg_buffer_add(&list->json, text));
    if (!last)
        return OK;
    if (!list->any)
        (void) printf("{\"%s\":[\n%s}", list->name, mg_buffer_text(&list->json));
    else
        (void) printf(",\n%s}", mg_buffer_text(&list->json));
    list->any = true;
    mg_buffer_clear(&list->json);
    return OK;
}

struct mg_status
mg_cli_list_cell(struct mg_cli_list *list, struct mg_view text)
{
    return cell(list, text, true);
}

struct mg_status
mg_cli_list_number(struct mg_cli_list *list, uint64_t number)
{
    char text[24];
    (void) snprintf(text, sizeof text, "%" PRIu64, number);
    return cell(list, mg_view_text(text), false);
}

struct mg_status
mg_cli_list_instant(struct mg_cli_list *list, mg_instant instant)
{
    char text[MG_INSTANT_TEXT] = "";
    if (instant == 0)
        return cell(list, mg_view_text(list->cli->json ? "null" : "-"), false);
    if (instant == INT64_MAX)
        return cell(list,
                    mg_view_text(list->cli->json ? "forever" : mg_cli_say(list->cli, "unlocked", "解除まで")),
                    true);
    mg_instant_text(instant, text);
    return cell(list, mg_view_text(text), true);
}

void
mg_cli_list_end(struct mg_cli_list *list)
{
    if (list->cli->json && !list->any)
        (void) printf("{\"%s\":[]}\n", list->name);
    else if (list->cli->json)
        (void) puts("]}");
    else
        mg_cli_table_print(list->table, stdout);
}

void
mg_cli_list_drop(struct mg_cli_list *list)
{
    mg_cli_table_drop(&list->table);
    mg_buffer_drop(&list->json);
}

/* ---- secrets on standard input ------------------------------------------------------------------------- */

struct mg_status
mg_cli_password_read(struct mg_buffer *password)
{
    for (;;) {
        uint8_t byte = 0;
        const ssize_t got =
            read(STDIN_FILENO, &byte, 1); /* by bytes: nothing of it stays in a stream's buffer */
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno("standard input");
        if (got == 0 || byte == '\n')
            break;
        TRY(mg_buffer_add_byte(password, byte));
    }
    if (password->length == 0)
        return fail_with(USAGE, "no password on standard input");
    return OK;
}
