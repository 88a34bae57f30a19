/* masugata: finds the subcommand's row and runs it. */
#include "cli/cli.h"

#include "base/log.h"

#include <locale.h>
#include <signal.h>
#include <stdlib.h>

static const struct {
    const char *word;
    int (*run)(int argc, char **argv);
    const char *en, *ja;
} commands[] = {
#define COMMAND(word, function, english, japanese) {word, function, english, japanese},
#include "../../catalogue/commands.def"
#undef COMMAND
};

static int
usage(FILE *out, const struct mg_cli *cli)
{
    (void) fputs(mg_cli_say(cli, "usage: masugata COMMAND [--dir DIR] [--json] [--lang ja|en] ...\n\n",
                            "使い方: masugata コマンド [--dir DIR] [--json] [--lang ja|en] ...\n\n"),
                 out);
    for (size_t i = 0; i < MG_COUNT(commands); i++)
        (void) fprintf(out, "  %-10s %s\n", commands[i].word,
                       mg_cli_say(cli, commands[i].en, commands[i].ja));
    (void) fputs(mg_cli_say(cli, "\n`masugata COMMAND --help` tells more, and so does masugata(1).\n",
                            "\n詳しくは `masugata コマンド --help` と masugata(1) を参照してください。\n"),
                 out);
    return out == stdout ? 0 : 2;
}

int
main(int argc, char **argv)
{
    (void) setlocale(LC_CTYPE, "");
    (void) signal(SIGPIPE, SIG_IGN);
    mg_log_open("masugata", MG_INFO);
    struct mg_cli cli = {0};
    const struct mg_status status = mg_cli_read(&cli, 1, argv, NULL); /* the language only */
    if (!mg_ok(status))
        return mg_cli_fail(&cli, status);
    if (argc < 2)
        return usage(stderr, &cli);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout, &cli);
    if (strcmp(argv[1], "--version") == 0) {
        (void) printf("masugata %s\n", MG_VERSION);
        return 0;
    }
    for (size_t i = 0; i < MG_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].word) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return mg_cli_fail(&cli, fail_with(USAGE, "%s", argv[1]));
}
