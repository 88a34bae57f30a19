/* bench-configuration DIR RUN UPSTREAM CERTIFICATE KEY HTTPS_PORT HTTP_PORT USER [MODULE]: prints the
 * nginx.conf that masugata would write for one app host "localhost" with that upstream ("127.0.0.1:3000"),
 * one worker, with the gate or, without MODULE, as a plain proxy. So both sides of a measurement run in
 * the complete generated configuration. */
#include "ports/nginx_configuration.h"

#include <stdio.h>
#include <stdlib.h>

static uint16_t
port(const char *text)
{
    return (uint16_t) strtoul(text, NULL, 10);
}

int
main(int argc, char **argv)
{
    if (argc < 9 || argc > 10)
        return 2;
    static const char *const addresses[] = {"127.0.0.1"}, *const hosts[] = {"localhost"};
    const struct mg_site site = {.kind = MG_SITE_APP,
                                 .tenant = 1,
                                 .hosts = hosts,
                                 .host_count = 1,
                                 .upstream = argv[3],
                                 .certificate = argv[4],
                                 .private_key = argv[5]};
    const struct mg_nginx_configuration configuration = {
        .directory = argv[1],
        .runtime_directory = argv[2],
        .module_path = argc == 10 ? argv[9] : NULL,
        .addresses = addresses,
        .address_count = 1,
        .https_port = port(argv[6]),
        .http_port = port(argv[7]),
        .user = argv[8][0] == '\0' ? NULL : argv[8],
        .worker_count = 1,
        .tls_profile = MG_TLS_PROFILE_RECOMMENDED,
        .requests_per_address = 256,
        .sites = &site,
        .site_count = 1,
    };
    OWN_BUFFER(text, MG_NGINX_CONFIGURATION_MOST);
    const struct mg_status status = mg_nginx_configuration_render(&configuration, &text);
    if (!mg_ok(status)) {
        (void) fprintf(stderr, "%s: %s\n", mg_error_row(status.code)->name, status.detail);
        return 3;
    }
    (void) fputs(mg_buffer_text(&text), stdout);
    return 0;
}
