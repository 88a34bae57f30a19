/* masugata api: the description of the API, from its table; needs no deployment. */
#include "cli/cli.h"

#include "domain/api.h"

int
mg_cli_api(int argc, char **argv)
{
    struct mg_cli cli;
    OWN_BUFFER(text, 1 << 20);
    struct mg_status status =
        mg_cli_read(&cli, argc, argv, (const struct mg_cli_option[]){{NULL, NULL, NULL}});
    if (mg_ok(status) && cli.help)
        return mg_cli_help(&cli, "masugata api openapi\n       masugata api matrix",
                           "  openapi  the OpenAPI 3.1 document of /api/v1, in the language of --lang\n"
                           "  matrix   every endpoint with the permission that it needs, as JSON",
                           "  openapi  /api/v1 の OpenAPI 3.1 文書 (--lang の言語)\n"
                           "  matrix   すべてのエンドポイントと必要な権限 (JSON)");
    if (mg_ok(status) && cli.argc == 2 && strcmp(cli.argv[1], "openapi") == 0)
        status = mg_api_document(cli.japanese, &text);
    else if (mg_ok(status) && cli.argc == 2 && strcmp(cli.argv[1], "matrix") == 0)
        status = mg_api_matrix(&text);
    else if (mg_ok(status))
        status = fail_with(USAGE, "masugata api openapi, or masugata api matrix");
    if (!mg_ok(status))
        return mg_cli_fail(&cli, status);
    (void) fputs(mg_buffer_text(&text), stdout);
    return 0;
}
