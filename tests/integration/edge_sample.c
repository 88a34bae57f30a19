/* Writes the demo's certificates and an nginx.conf as `masugata up` does, for tests that run nginx alone.
 *   edge-sample DIR RUN HTTPS HTTP PROFILE [MODULE|-] KIND:HOST[=UPSTREAM]...     KIND: app, id, ops
 * Prints nothing; exit 0 or the error's code with its text. From the environment: EDGE_CERTIFICATE and
 * EDGE_KEY instead of the demo's, EDGE_TRUST to staple, EDGE_ACME for http-01 answers. */
#include "base/log.h"
#include "ports/certificate.h"
#include "ports/nginx_configuration.h"

#include <stdio.h>
#include <stdlib.h>

#define SITES_MOST 1024

struct sample {
    char tls[MG_PATH], run_tls[MG_PATH], certificate[MG_PATH], key[MG_PATH];
    struct mg_site sites[SITES_MOST];
    const char *hosts[SITES_MOST];
    size_t count;
};

static struct mg_status
site_parse(struct sample *sample, char *text)
{
    struct mg_site *site = &sample->sites[sample->count];
    char *host = strchr(text, ':');
    if (host == NULL || sample->count >= SITES_MOST)
        return fail_with(USAGE, "%s", text);
    *host++ = '\0';
    char *upstream = strchr(host, '=');
    if (upstream != NULL)
        *upstream++ = '\0';
    sample->hosts[sample->count] = host;
    *site = (struct mg_site){.kind = strcmp(text, "app") == 0  ? MG_SITE_APP
                                     : strcmp(text, "id") == 0 ? MG_SITE_SIGN_IN
                                                               : MG_SITE_OPERATOR,
                             .tenant = 1,
                             .hosts = &sample->hosts[sample->count],
                             .host_count = 1,
                             .upstream = upstream,
                             .certificate = sample->certificate,
                             .private_key = sample->key};
    sample->count++;
    return OK;
}

/* What an operator brings, checked and installed as the launcher does. */
static struct mg_status
pair_read(struct sample *sample)
{
    OWN_BUFFER(chain, MG_CERTIFICATE_CHAIN_MOST);
    OWN_BUFFER(key, MG_CERTIFICATE_KEY_MOST);
    TRY(mg_file_read(getenv("EDGE_CERTIFICATE"), &chain));
    TRY(mg_file_read(getenv("EDGE_KEY"), &key));
    TRY(mg_directory_make(sample->tls, 0755));
    TRY(mg_directory_make(sample->run_tls, 0700));
    for (size_t i = 0; i < sample->count; i++)
        sample->sites[i].stapling_trust = getenv("EDGE_TRUST");
    return mg_certificate_install(mg_buffer_view(&chain), mg_buffer_view(&key), sample->hosts, sample->count,
                                  mg_now(), sample->certificate, sample->key, (uid_t) -1);
}

static struct mg_status
run(int argc, char **argv, struct sample *sample)
{
    static const char *const addresses[] = {"127.0.0.1"};
    enum mg_tls_profile profile = MG_TLS_PROFILE_NONE;
    bool changed = false;
    if (argc < 8)
        return fail_with(USAGE, "edge-sample DIR RUN HTTPS HTTP PROFILE MODULE|- KIND:HOST[=UPSTREAM]...");
    TRY(mg_tls_profile_parse(mg_view_text(argv[5]), true, &profile));
    TRY(mg_path_join(sample->tls, argv[1], "tls"));
    TRY(mg_path_join(sample->run_tls, argv[2], "tls"));
    TRY(mg_path_join(sample->certificate, sample->tls, "demo.pem"));
    TRY(mg_path_join(sample->key, sample->run_tls, "demo.key"));
    for (int i = 7; i < argc; i++)
        TRY(site_parse(sample, argv[i]));
    const struct mg_demo_tls demo = {.tls_directory = sample->tls,
                                     .runtime_directory = sample->run_tls,
                                     .hosts = sample->hosts,
                                     .host_count = sample->count,
                                     .now = mg_now(),
                                     .key_uid = (uid_t) -1};
    if (getenv("EDGE_CERTIFICATE") == NULL)
        TRY(mg_demo_tls_ensure(&demo, &changed));
    else
        TRY(pair_read(sample));
    const struct mg_nginx_configuration configuration = {.directory = argv[1],
                                                         .runtime_directory = argv[2],
                                                         .addresses = addresses,
                                                         .address_count = 1,
                                                         .module_path =
                                                             strcmp(argv[6], "-") == 0 ? NULL : argv[6],
                                                         .https_port = (uint16_t) strtoul(argv[3], NULL, 10),
                                                         .http_port = (uint16_t) strtoul(argv[4], NULL, 10),
                                                         .user = getuid() == 0 ? "www-data" : NULL,
                                                         .worker_count = 1,
                                                         .open_files = mg_nginx_open_files(),
                                                         .tls_profile = profile,
                                                         .acme_directory = getenv("EDGE_ACME"),
                                                         .sites = sample->sites,
                                                         .site_count = sample->count};
    return mg_nginx_configuration_install(&configuration, &changed);
}

int
main(int argc, char **argv)
{
    struct sample *sample = calloc(1, sizeof *sample);
    if (sample == NULL)
        return 3;
    mg_log_open("edge-sample", MG_INFO);
    const struct mg_status status = run(argc, argv, sample);
    if (!mg_ok(status))
        mg_log_status(MG_ERROR, "sample", status);
    free(sample);
    return mg_ok(status) ? 0 : mg_error_row(status.code)->exit_code;
}
