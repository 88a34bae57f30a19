#include "cli/cli.h"

#include "base/io.h"
#include "base/reason.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static bool
language_is_japanese(void)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < MG_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0')
            return strncmp(value, "ja", 2) == 0;
    }
    return false;
}

static const char *
directory_default(void)
{
    const char *named = getenv("MASUGATA_DIR");
    if (named != NULL && named[0] != '\0')
        return named;
    if (access("masugata-state/masugata.conf", F_OK) != 0 &&
        access("/var/lib/masugata/masugata.conf", F_OK) == 0)
        return "/var/lib/masugata";
    return "masugata-state";
}

static CHECKED struct mg_status
value_take(int argc, char **argv, int *at, const char **ret_value)
{
    if (*at + 1 >= argc)
        return fail_with(USAGE, "%s needs a value", argv[*at]);
    *ret_value = argv[++*at];
    return OK;
}

static CHECKED struct mg_status
option_take(struct mg_cli *cli, int argc, char **argv, int *at, const struct mg_cli_option *options)
{
    const char *name = argv[*at], *language = NULL;
    if (strcmp(name, "--json") == 0)
        cli->json = true;
    else if (strcmp(name, "--help") == 0)
        cli->help = true;
    else if (strcmp(name, "--dir") == 0)
        return value_take(argc, argv, at, &cli->directory);
    else if (strcmp(name, "--lang") == 0) {
        TRY(value_take(argc, argv, at, &language));
        if (strcmp(language, "ja") != 0 && strcmp(language, "en") != 0)
            return fail_with(USAGE, "--lang is ja or en");
        cli->japanese = strcmp(language, "ja") == 0;
    } else {
        const struct mg_cli_option *row = options;
        while (row != NULL && row->name != NULL && strcmp(row->name, name) != 0)
            row++;
        if (row == NULL || row->name == NULL)
            return fail_with(USAGE, "%s does not know %s", argv[0], name);
        if (row->value != NULL)
            return value_take(argc, argv, at, row->value);
        *row->flag = true;
    }
    return OK;
}

struct mg_status
mg_cli_read(struct mg_cli *cli, int argc, char **argv, const struct mg_cli_option *options)
{
    *cli =
        (struct mg_cli){.directory = directory_default(), .japanese = language_is_japanese(), .argv = argv};
    int kept = 1;
    bool only_words = false;
    for (int at = 1; at < argc; at++) {
        if (!only_words && strcmp(argv[at], "--") == 0)
            only_words = true;
        else if (!only_words && argv[at][0] == '-' && argv[at][1] == '-')
            TRY(option_take(cli, argc, argv, &at, options));
        else
            argv[kept++] = argv[at];
    }
    cli->argc = kept;
    return OK;
}

int
mg_cli_fail(const struct mg_cli *cli, struct mg_status status)
{
    const struct mg_error_row *row = mg_error_row(status.code);
    char detail[1024];
    mg_reason_line(status.detail, cli->japanese, detail, sizeof detail);
    if (cli->json) {
        OWN_BUFFER(text, 8192);
        const struct mg_status made = mg_buffer_format(&text, "{\"error\":\"%s\",\"message\":", row->name);
        if (mg_ok(made) &&
            mg_ok(mg_buffer_add_json_string(&text, mg_view_text(mg_cli_say(cli, row->en, row->ja)))) &&
            mg_ok(mg_buffer_add_text(&text, ",\"detail\":")) &&
            mg_ok(mg_buffer_add_json_string(&text, mg_view_text(detail))) &&
            mg_ok(mg_buffer_add_text(&text, ",\"hint\":")) &&
            mg_ok(
                mg_buffer_add_json_string(&text, mg_view_text(mg_cli_say(cli, row->hint_en, row->hint_ja)))))
            (void) printf("%s}\n", mg_buffer_text(&text));
        return row->exit_code;
    }
    (void) fprintf(stderr, "masugata: %s%s%s\n  → %s\n", mg_cli_say(cli, row->en, row->ja),
                   detail[0] != '\0' ? ": " : "", detail, mg_cli_say(cli, row->hint_en, row->hint_ja));
    return row->exit_code;
}

int
mg_cli_help(const struct mg_cli *cli, const char *usage, const char *english, const char *japanese)
{
    (void) printf("%s %s\n\n%s\n", mg_cli_say(cli, "usage:", "使い方:"), usage,
                  mg_cli_say(cli, english, japanese));
    return 0;
}

struct mg_status
mg_cli_deployment(const struct mg_cli *cli, struct mg_options **ret_options,
                  struct mg_deployment *ret_deployment)
{
    char path[MG_PATH];
    OWN(options) options = NULL;
    TRY(mg_path_join(path, cli->directory, "masugata.conf"));
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return fail_with(NOT_FOUND, "%s; make a deployment with `masugata init --dir DIR`", path);
    TRY(mg_configuration_read(path, &options));
    TRY(mg_deployment_find(cli->directory, options, ret_deployment));
    *ret_options = TAKE(options);
    return OK;
}
