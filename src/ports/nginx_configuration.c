#include "ports/nginx_configuration.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what may stand in the file ---- */

bool
mg_host_is_valid(struct mg_view host)
{
    if (host.length == 0 || host.length > 253)
        return false;
    size_t label = 0;
    for (size_t i = 0; i < host.length; i++) {
        const uint8_t c = host.bytes[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        const bool last = i + 1 == host.length || host.bytes[i + 1] == '.';
        if (c == '.' ? label == 0 || last : !letter && (c != '-' || label == 0 || last))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return true;
}

/* A path is written between quotes; nothing in it may end them or name a variable. */
static struct mg_status
path_check(const char *what, const char *path)
{
    if (path == NULL || path[0] != '/')
        return fail_with(INVALID, "nginx: %s must be an absolute path", what);
    for (const char *c = path; *c != '\0'; c++)
        if ((unsigned char) *c < 0x20 || *c == 0x7f || strchr("\"\\${};'", *c) != NULL)
            return fail_with(INVALID, "nginx: %s has a character that may not stand in a path", what);
    return OK;
}

/* Addresses, CIDRs, user names, host:port. */
static struct mg_status
word_check(const char *what, const char *word, const char *also)
{
    if (word == NULL || word[0] == '\0' || strlen(word) > 256)
        return fail_with(INVALID, "nginx: %s is missing or too long", what);
    for (const char *c = word; *c != '\0'; c++)
        if (!isalnum((unsigned char) *c) && strchr(also, *c) == NULL)
            return fail_with(INVALID, "nginx: %s \"%.80s\" has a character that is not allowed", what, word);
    return OK;
}

static struct mg_status
upstream_check(const char *upstream)
{
    if (upstream != NULL && strncmp(upstream, "unix:", 5) == 0)
        return path_check("upstream socket", upstream + 5);
    return word_check("upstream", upstream, ".:-[]");
}

static struct mg_status
site_check(const struct mg_site *site)
{
    if (site->host_count == 0)
        return fail_with(INVALID, "nginx: a site without a host");
    for (size_t i = 0; i < site->host_count; i++)
        if (!mg_host_is_valid(mg_view_text(site->hosts[i])))
            return fail_with(INVALID, "nginx: \"%.80s\" is not a host name", site->hosts[i]);
    TRY(path_check("certificate", site->certificate));
    TRY(path_check("private key", site->private_key));
    if (site->stapling_trust != NULL)
        TRY(path_check("authorities for stapling", site->stapling_trust));
    return site->kind == MG_SITE_APP ? upstream_check(site->upstream) : OK;
}

static int
text_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* nginx only warns of a name that two servers claim, and the second loses its traffic. */
static struct mg_status
hosts_unique_check(const struct mg_nginx_configuration *c)
{
    size_t total = 0;
    for (size_t i = 0; i < c->site_count; i++)
        total += c->sites[i].host_count;
    const char **hosts = calloc(total + 1, sizeof *hosts);
    if (hosts == NULL)
        return fail(OUT_OF_MEMORY);
    size_t filled = 0;
    for (size_t i = 0; i < c->site_count; i++)
        for (size_t j = 0; j < c->sites[i].host_count; j++)
            hosts[filled++] = c->sites[i].hosts[j];
    qsort(hosts, filled, sizeof *hosts, text_compare);
    struct mg_status status = OK;
    for (size_t i = 1; i < filled && mg_ok(status); i++)
        if (strcmp(hosts[i - 1], hosts[i]) == 0)
            status = fail_with(INVALID, "nginx: the host %s is claimed twice", hosts[i]);
    free(hosts);
    return status;
}

static struct mg_status
configuration_check(const struct mg_nginx_configuration *c)
{
    TRY(path_check("state directory", c->directory));
    TRY(path_check("runtime directory", c->runtime_directory));
    if (c->module_path != NULL)
        TRY(path_check("module", c->module_path));
    if (c->acme_directory != NULL)
        TRY(path_check("ACME directory", c->acme_directory));
    if (c->user != NULL)
        TRY(word_check("user", c->user, "-_"));
    if (c->resolver != NULL)
        TRY(word_check("resolver", c->resolver, ".:[]"));
    if (c->address_count == 0 || c->https_port == 0 || c->http_port == 0)
        return fail_with(INVALID, "nginx: no address or port to listen on");
    for (size_t i = 0; i < c->address_count; i++)
        TRY(word_check("address", c->addresses[i], ".:[]"));
    for (size_t i = 0; i < c->site_count; i++)
        TRY(site_check(&c->sites[i]));
    return hosts_unique_check(c);
}

/* ---- the parts of the file ---- */

/* nginx adds the whole request line, with its query, to what it logs below `crit`: a code or a token
 * would stand there. What fails upstream is in the access log as its status. */
static struct mg_status
add_main(const struct mg_nginx_configuration *c, struct mg_buffer *out)
{
    const unsigned connections = c->open_files == 0      ? 1024
                                 : c->open_files < 32768 ? c->open_files / 2
                                                         : 16384;
    TRY(mg_buffer_add_text(out, "# Written by masugata; changes are overwritten. Options: masugata.conf.\n"));
    if (c->module_path != NULL)
        TRY(mg_buffer_format(out, "load_module \"%s\";\n", c->module_path));
    if (c->user != NULL)
        TRY(mg_buffer_format(out, "user %s;\n", c->user));
    if (c->worker_count == 0)
        TRY(mg_buffer_add_text(out, "worker_processes auto;\n"));
    else
        TRY(mg_buffer_format(out, "worker_processes %u;\n", c->worker_count));
    if (c->open_files > 0)
        TRY(mg_buffer_format(out, "worker_rlimit_nofile %u;\n", c->open_files));
    return mg_buffer_format(out,
                            "daemon off;\n"
                            "pid \"%s/nginx/nginx.pid\";\n"
                            "error_log \"%s/log/nginx-error.log\" crit;\n"
                            "worker_rlimit_core 0;\n"
                            "worker_shutdown_timeout 60s;\n"
                            "pcre_jit on;\n"
                            "events {\n"
                            "    worker_connections %u;\n"
                            "}\n"
                            "http {\n",
                            c->directory, c->directory, connections);
}

/* The log has the path without its query, and neither cookies nor the referrer: a code, a token or a
 * session never reaches the disk that way. */
static struct mg_status
add_logs(const struct mg_nginx_configuration *c, struct mg_buffer *out)
{
    const bool gate = c->module_path != NULL;
    return mg_buffer_format(
        out,
        "    log_format masugata escape=json '{\"at\":\"$time_iso8601\",\"request\":\"%s\","
        "\"client\":\"%s\",\"refusal\":\"%s\",\"host\":\"$host\",\"method\":\"$request_method\",\"path\":\"$uri\","
        "\"protocol\":\"$server_protocol\",\"status\":$status,\"bytes\":$body_bytes_sent,"
        "\"seconds\":$request_time,\"upstream\":\"$upstream_status\",\"tls\":\"$ssl_protocol\",\"cipher\":\"$ssl_cipher\"}';\n"
        "    access_log \"%s/log/nginx-access.log\" masugata buffer=32k flush=2s;\n",
        gate ? "$masugata_request" : "$request_id", gate ? "$masugata_client" : "$remote_addr",
        gate ? "$masugata_refusal" : "", c->directory);
}

/* Slow or large requests meet a bound before they meet the app. Responses and uploads pass through
 * without touching a disk: streams arrive at once, and a tenant's data is not left in a temporary file. */
static struct mg_status
add_limits(const struct mg_nginx_configuration *c, struct mg_buffer *out)
{
    TRY(mg_buffer_format(out,
                         "    client_body_temp_path \"%s/nginx/temp/body\";\n"
                         "    proxy_temp_path \"%s/nginx/temp/proxy\";\n"
                         "    fastcgi_temp_path \"%s/nginx/temp/fastcgi\";\n"
                         "    uwsgi_temp_path \"%s/nginx/temp/uwsgi\";\n"
                         "    scgi_temp_path \"%s/nginx/temp/scgi\";\n",
                         c->directory, c->directory, c->directory, c->directory, c->directory));
    TRY(mg_buffer_add_text(out, "    default_type application/octet-stream;\n"
                                "    server_tokens off;\n"
                                "    server_name_in_redirect off;\n"
                                "    server_names_hash_bucket_size 512;\n"
                                "    server_names_hash_max_size 65536;\n"
                                "    variables_hash_max_size 2048;\n"
                                "    underscores_in_headers off;\n"
                                "    ignore_invalid_headers on;\n"
                                "    merge_slashes off;\n"
                                "    client_header_timeout 10s;\n"
                                "    client_body_timeout 20s;\n"
                                "    send_timeout 30s;\n"
                                "    keepalive_timeout 30s;\n"
                                "    keepalive_requests 1000;\n"
                                "    reset_timedout_connection on;\n"
                                "    client_header_buffer_size 2k;\n"
                                "    large_client_header_buffers 4 16k;\n"
                                "    client_body_buffer_size 64k;\n"
                                "    http2_max_concurrent_streams 128;\n"
                                "    tcp_nodelay on;\n"
                                "    gzip off;\n"
                                "    limit_conn_status 429;\n"));
    if (c->requests_per_address > 0)
        TRY(mg_buffer_format(out,
                             "    limit_conn_zone %s zone=masugata_address:8m;\n"
                             "    limit_conn masugata_address %u;\n",
                             c->module_path != NULL ? "$masugata_client" : "$binary_remote_addr",
                             c->requests_per_address));
    if (c->upload_most_bytes > 0)
        return mg_buffer_format(out, "    client_max_body_size %llu;\n",
                                (unsigned long long) c->upload_most_bytes);
    return mg_buffer_add_text(out, "    client_max_body_size 0;\n");
}

/* What the app may know of the visitor (X-Forwarded-*, the assertion) is set by the gate, which first
 * removes whatever the visitor sent under such names. */
static struct mg_status
add_gate(const struct mg_nginx_configuration *c, struct mg_buffer *out)
{
    if (c->module_path == NULL)
        return OK;
    return mg_buffer_format(out, "    masugata_directory \"%s/gate\";\n", c->runtime_directory);
}

/* The app gets the host as we understood it (lower case, our port), not as the client spelt it. A kept
 * connection that the app closes under us is replaced once, by `error`; nginx does not repeat a
 * request that may change something and was sent already. */
static struct mg_status
add_proxy(const struct mg_nginx_configuration *c, struct mg_buffer *out)
{
    char port[8] = "";
    if (c->https_port != 443)
        (void) snprintf(port, sizeof port, ":%u", (unsigned) c->https_port);
    TRY(mg_buffer_format(
        out,
        /* WebSocket only: whatever else an app may change to (h2c) would carry requests past the gate. */
        "    map $http_upgrade $masugata_upgrade {\n"
        "        default '';\n"
        "        '' '';\n" /* nearly every request: found without the expression */
        "        '~*^websocket$' websocket;\n"
        "    }\n"
        "    map $masugata_upgrade $masugata_connection {\n"
        "        default upgrade;\n"
        "        '' '';\n"
        "    }\n"
        "    proxy_http_version 1.1;\n"
        "    proxy_buffering off;\n"
        "    proxy_request_buffering off;\n"
        "    proxy_max_temp_file_size 0;\n"
        "    proxy_buffer_size 16k;\n"
        "    proxy_buffers 4 16k;\n"
        "    proxy_next_upstream error;\n"
        "    proxy_connect_timeout 5s;\n"
        "    proxy_send_timeout 60s;\n"
        "    proxy_read_timeout %us;\n"
        "    proxy_hide_header X-Powered-By;\n"
        "    proxy_set_header Host $host%s;\n"
        "    proxy_set_header Upgrade $masugata_upgrade;\n"
        "    proxy_set_header HTTP2-Settings \"\";\n"
        "    proxy_set_header Connection $masugata_connection;\n"
        "    proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Charset;\n"
        "    upstream masugata_portal {\n"
        "        server \"unix:%s/portal/http.sock\";\n"
        "        keepalive 16;\n"
        "        keepalive_timeout 4s;\n"
        "    }\n",
        c->upstream_idle_s == 0 ? 3600 : c->upstream_idle_s, port, c->runtime_directory));
    return OK;
}

static struct mg_status
add_tls(const struct mg_nginx_configuration *c, struct mg_buffer *out)
{
    TRY(mg_tls_profile_nginx(c->tls_profile, out));
    if (c->resolver != NULL)
        TRY(mg_buffer_format(out, "    resolver %s valid=300s;\n    resolver_timeout 5s;\n", c->resolver));
    return OK;
}

static struct mg_status
add_listen(const struct mg_nginx_configuration *c, uint16_t port, const char *options, struct mg_buffer *out)
{
    for (size_t i = 0; i < c->address_count; i++)
        TRY(mg_buffer_format(out, "        listen %s:%u%s;\n", c->addresses[i], (unsigned) port, options));
    return OK;
}

static struct mg_status
add_gate_on(const struct mg_nginx_configuration *c, struct mg_buffer *out)
{
    return c->module_path == NULL ? OK : mg_buffer_add_text(out, "        masugata on;\n");
}

/* Who names no host of ours learns nothing: no certificate, no name. */
static struct mg_status
add_default_servers(const struct mg_nginx_configuration *c, struct mg_buffer *out)
{
    TRY(mg_buffer_add_text(out, "    server {\n"));
    TRY(add_listen(c, c->https_port, " ssl http2 default_server backlog=4096", out));
    TRY(add_gate_on(c, out)); /* a stranger's Host under a known name: the gate's 421, with its headers */
    TRY(mg_buffer_add_text(out, "        server_name _;\n"
                                "        ssl_reject_handshake on;\n"
                                "        return 421;\n"
                                "    }\n"
                                "    server {\n"));
    TRY(add_listen(c, c->http_port, " default_server backlog=1024", out));
    return mg_buffer_add_text(out, "        server_name _;\n"
                                   "        keepalive_timeout 0;\n"
                                   "        return 421;\n"
                                   "    }\n");
}

static struct mg_status
add_names(const struct mg_site *site, struct mg_buffer *out)
{
    TRY(mg_buffer_add_text(out, "        server_name"));
    for (size_t i = 0; i < site->host_count; i++)
        TRY(mg_buffer_format(out, " %s", site->hosts[i]));
    return mg_buffer_add_text(out, ";\n");
}

static struct mg_status
add_redirect_target(const struct mg_nginx_configuration *c, struct mg_buffer *out)
{
    if (c->https_port == 443)
        return mg_buffer_add_text(out, "https://$host$request_uri");
    return mg_buffer_format(out, "https://$host:%u$request_uri", (unsigned) c->https_port);
}

/* Control: EDGE_02, NETWORK_02 */
static struct mg_status
add_plain_server(const struct mg_nginx_configuration *c, const struct mg_site *site, struct mg_buffer *out)
{
    TRY(mg_buffer_add_text(out, "    server {\n"));
    TRY(add_listen(c, c->http_port, "", out));
    TRY(add_names(site, out));
    TRY(mg_buffer_add_text(out, "        keepalive_timeout 0;\n"));
    if (c->acme_directory != NULL)
        TRY(mg_buffer_format(out,
                             "        location ^~ /.well-known/acme-challenge/ {\n"
                             "            alias \"%s/\";\n"
                             "            default_type text/plain;\n"
                             "            disable_symlinks on;\n"
                             "        }\n",
                             c->acme_directory));
    TRY(mg_buffer_add_text(out, "        location / {\n            return 308 "));
    TRY(add_redirect_target(c, out));
    return mg_buffer_add_text(out, ";\n        }\n    }\n");
}

/* Forms are small; a password never meets a temporary file. The portal has few threads: who sends or reads
 * slowly keeps a buffer of nginx, and none of them. */
static const char portal_location[] = "            client_max_body_size 64k;\n"
                                      "            client_body_buffer_size 72k;\n"
                                      "            proxy_request_buffering on;\n"
                                      "            proxy_buffering on;\n"
                                      "            proxy_buffers 16 16k;\n"
                                      "            proxy_read_timeout 60s;\n"
                                      "            proxy_set_header Connection \"\";\n"
                                      "            proxy_set_header Upgrade \"\";\n"
                                      "            proxy_pass http://masugata_portal;\n"
                                      "        }\n";

static struct mg_status
add_locations(const struct mg_site *site, size_t number, struct mg_buffer *out)
{
    if (site->kind != MG_SITE_APP) {
        TRY(mg_buffer_add_text(out, "        location / {\n"));
        return mg_buffer_add_text(out, portal_location);
    }
    TRY(mg_buffer_add_text(out, "        location ^~ /.masugata/ {\n"));
    TRY(mg_buffer_add_text(out, portal_location));
    TRY(mg_buffer_add_text(out, "        location ^~ /.well-known/masugata/ {\n"));
    TRY(mg_buffer_add_text(out, portal_location));
    /* The gate knows the same three (gate/decision.c). */
    static const char *const well_known[] = {"change-password", "passkey-endpoints", "security.txt"};
    for (size_t i = 0; i < MG_COUNT(well_known); i++) {
        TRY(mg_buffer_format(out, "        location = /.well-known/%s {\n", well_known[i]));
        TRY(mg_buffer_add_text(out, portal_location));
    }
    return mg_buffer_format(out,
                            "        location / {\n"
                            "            proxy_pass http://masugata_app_%zu;\n"
                            "        }\n",
                            number);
}

static struct mg_status
add_site(const struct mg_nginx_configuration *c, size_t number, struct mg_buffer *out)
{
    const struct mg_site *site = &c->sites[number];
    if (site->kind == MG_SITE_APP)
        TRY(mg_buffer_format(out,
                             "    upstream masugata_app_%zu {\n"
                             "        server \"%s\";\n"
                             "        keepalive 32;\n"
                             "        keepalive_timeout 4s;\n"
                             "    }\n",
                             number, site->upstream));
    TRY(mg_buffer_add_text(out, "    server {\n"));
    TRY(add_listen(c, c->https_port, " ssl http2", out));
    TRY(add_names(site, out));
    TRY(mg_buffer_format(out, "        ssl_certificate \"%s\";\n        ssl_certificate_key \"%s\";\n",
                         site->certificate, site->private_key));
    TRY(add_gate_on(c, out));
    if (site->stapling_trust != NULL)
        TRY(mg_buffer_format(out,
                             "        ssl_stapling on;\n"
                             "        ssl_stapling_verify on;\n"
                             "        ssl_trusted_certificate \"%s\";\n",
                             site->stapling_trust));
    /* Plain HTTP spoken to the TLS port. */
    TRY(mg_buffer_add_text(out, "        error_page 497 =308 "));
    TRY(add_redirect_target(c, out));
    TRY(mg_buffer_add_text(out, ";\n"));
    TRY(add_locations(site, number, out));
    return mg_buffer_add_text(out, "    }\n");
}

struct mg_status
mg_nginx_configuration_render(const struct mg_nginx_configuration *c, struct mg_buffer *out)
{
    TRY(configuration_check(c));
    TRY(add_main(c, out));
    TRY(add_logs(c, out));
    TRY(add_limits(c, out));
    TRY(add_gate(c, out));
    TRY(add_proxy(c, out));
    TRY(add_tls(c, out));
    TRY(add_default_servers(c, out));
    for (size_t i = 0; i < c->site_count; i++) {
        TRY(add_plain_server(c, &c->sites[i], out));
        TRY(add_site(c, i, out));
    }
    return mg_buffer_add_text(out, "}\n");
}
