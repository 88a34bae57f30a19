/* nginx's configuration file, written whole from one struct: hardened, without a line that an
 * operator has to know. Text that comes from elsewhere (hosts, paths, addresses) is checked against
 * what may stand there, so that no value can end its directive and begin another.
 *
 * Files below DIR/nginx: nginx.conf, temp/ (nginx's own), nginx.pid. Logs below DIR/log:
 * nginx-access.log (JSON lines without query, cookie, referrer), nginx-error.log.
 *
 * A host that no site names is refused in the handshake (RFC 6066 unrecognized_name), on plain HTTP
 * with 421. A suspended tenant's sites are left out, which makes it one of those. */
#ifndef MG_PORTS_NGINX_CONFIGURATION_H
#define MG_PORTS_NGINX_CONFIGURATION_H

#include "base/io.h"
#include "domain/tls_profile.h"

enum mg_site_kind { MG_SITE_APP, MG_SITE_SIGN_IN, MG_SITE_OPERATOR };

/* One origin set: the hosts share upstream, certificate and tenant. All borrowed. */
struct mg_site {
    enum mg_site_kind kind;
    uint64_t tenant; /* 0 for the operators */
    const char *const *hosts;
    size_t host_count;
    const char *upstream; /* of an app: "127.0.0.1:3000", "[::1]:3000", "unix:/path"; else NULL */
    const char *certificate, *private_key; /* PEM chain, PEM key (on tmpfs) */
    const char
        *stapling_trust; /* PEM authorities, where the certificate names an OCSP responder; else NULL */
};

struct mg_nginx_configuration {
    const char *directory, *runtime_directory; /* DIR, RUN */
    const char *module_path;                   /* masugata's nginx module; NULL for a plain proxy (tests) */
    const char *const *addresses;              /* to listen on: "0.0.0.0", "[::]", "127.0.0.1" */
    size_t address_count;
    uint16_t https_port, http_port;
    const char *user;      /* of the workers when started as root, else NULL */
    unsigned worker_count; /* 0: one a core */
    unsigned open_files;   /* descriptors a worker may hold; 0: what it inherits, 1024 connections */
    enum mg_tls_profile tls_profile;
    const char *resolver;       /* for OCSP stapling: "127.0.0.53"; NULL: responders are resolved at start */
    uint64_t upload_most_bytes; /* 0: no limit beside the app's own */
    unsigned requests_per_address; /* requests at a time from one address; 0: no limit */
    unsigned upstream_idle_s;      /* silence allowed on a stream or WebSocket; 0: 3600 */
    const char *acme_directory;    /* where the ACME helper leaves http-01 answers; NULL: none */
    const struct mg_site *sites;
    size_t site_count;
};

#define MG_NGINX_CONFIGURATION_MOST (16u << 20)

/* Pure. INVALID names the value that may not stand in the file. */
CHECKED struct mg_status mg_nginx_configuration_render(const struct mg_nginx_configuration *configuration,
                                                       struct mg_buffer *buffer);

/* Runs `nginx -t` on the file; CONFIGURATION carries nginx's own first complaint. */
CHECKED struct mg_status mg_nginx_configuration_check(const char *directory, const char *path);

/* What open_files may be here: the hard limit, at most 65536. */
unsigned mg_nginx_open_files(void);

/* Renders, checks beside the old file, replaces it only if nginx accepts the new one. `ret_changed`
 * is false if the file was the same already. Makes the directories nginx needs. */
CHECKED struct mg_status mg_nginx_configuration_install(const struct mg_nginx_configuration *configuration,
                                                        bool *ret_changed);

/* The fixed argument list of a launcher: nginx in the foreground. SIGHUP reloads, SIGQUIT drains and
 * ends, SIGTERM ends, SIGUSR1 reopens the logs. The strings live in `arguments`. */
struct mg_nginx_arguments {
    char prefix[MG_PATH], configuration[MG_PATH], error_log[MG_PATH];
    const char *argv[8]; /* NULL at the end */
};
CHECKED struct mg_status mg_nginx_arguments_fill(const char *directory,
                                                 struct mg_nginx_arguments *ret_arguments);

/* A host name as it may stand in a certificate and a server_name: lower case, LDH labels, no
 * trailing dot, 253 bytes at most. */
bool mg_host_is_valid(struct mg_view host);

#endif
