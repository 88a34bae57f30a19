#include "cli/demo.h"

#include "base/secret.h"

struct mg_status
mg_cli_demo_make(const struct mg_cli *cli)
{
    return mg_cli_directory_make(cli->directory, mg_view_text("# The demo's configuration; see masugata.conf(5).\n"
                                                              "tls.profile = \"aes256\"\n"
                                                              "mail.url = \"smtp://127.0.0.1:2525\"\n"
                                                              "mail.from = \"no-reply@masugata.localhost\"\n"));
}

struct mg_status
mg_cli_demo_fill(const struct mg_cli *cli, const struct mg_options *options)
{
    (void) cli;
    (void) options;
    return OK;
}
