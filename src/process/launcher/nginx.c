/* nginx: its certificates, its configuration, its process. */
#include "base/io.h"
#include "base/log.h"
#include "domain/drill.h"
#include "ports/certificate.h"
#include "ports/nginx_configuration.h"
#include "process/launcher/confine.h"
#include "process/launcher/launcher.h"
#include "wire/session_table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
    SITES_MOST = 20000,
    SITES_BYTES_MOST = 8 << 20,
    STOP_MS = 10000,
    LISTEN_MS = 10000,
    SEAL_MS = 10000,
    POLL_MS = 20
};

/* ---- the child -------------------------------------------------------------------------------- */

static struct mg_status
nginx_start(struct mg_view request, int pid_fd, struct mg_process_mark *ret_mark)
{
    (void) request;
    const struct mg_environment *environment = mg_environment();
    char configuration[MG_PATH], log_path[MG_PATH], logs[MG_PATH], tls[MG_PATH];
    char gate[MG_PATH], keys[MG_PATH];
    struct mg_nginx_arguments arguments;
    OWN_FD log = -1;
    OWN_FD rules = -1;
    TRY(mg_nginx_arguments_fill(environment->directory, &arguments));
    TRY(mg_path_join(configuration, environment->directory, "nginx"));
    TRY(mg_path_join(logs, environment->directory, "log"));
    TRY(mg_path_join(log_path, logs, "nginx-start.log"));
    TRY(mg_path_join(tls, environment->directory, "tls"));
    TRY(mg_path_join(gate, environment->runtime_directory, "gate"));
    TRY(mg_path_join(keys, environment->runtime_directory, "tls"));
    TRY(log_open(log_path, MG_SAME_UID, places.prober_gid, &log));
    const struct confine_path paths[] = {
        CONFINE_SYSTEM,
        {places.programs, CONFINE_READ | CONFINE_EXECUTE}, /* the module, in a build tree */
        {configuration, CONFINE_READ | CONFINE_WRITE},
        {logs, CONFINE_READ | CONFINE_WRITE},
        {tls, CONFINE_READ},
        /* Of RUN only what the gate reads and marks (which of both, is the files' mode) and the master's
         * keys; sockets are reached whatever the rules say. */
        {gate, CONFINE_READ | CONFINE_WRITE},
        {keys, CONFINE_READ},
    };
    TRY(confine_prepare(paths, MG_COUNT(paths), true, &rules));
    struct child_preparation preparation = {.pid_fd = pid_fd, .rules_fd = rules};
    const struct mg_program program = {
        .arguments = arguments.argv,
        .uid = MG_SAME_UID,
        .gid = MG_SAME_GID,
        .output_fd = log,
        .prepare = child_prepare,
        .context = &preparation,
    };
    pid_t pid = 0;
    TRY(mg_program_start(&program, &pid));
    return mg_process_mark(pid, ret_mark);
}

/* The noted pid runs the same file as our argument list says. */
static bool
nginx_is_it(struct mg_view request, pid_t pid)
{
    (void) request;
    struct mg_nginx_arguments arguments;
    char link[64];
    struct stat running, program;
    (void) snprintf(link, sizeof link, "/proc/%d/exe", (int) pid);
    return mg_ok(mg_nginx_arguments_fill(mg_environment()->directory, &arguments)) &&
           stat(link, &running) == 0 && stat(arguments.argv[0], &program) == 0 &&
           running.st_dev == program.st_dev && running.st_ino == program.st_ino;
}

static struct mg_status
nginx_stop(struct mg_view request, const struct mg_process_mark *mark)
{
    (void) request;
    const int64_t deadline_ms = mg_monotonic_ms() + STOP_MS;
    if (kill(mark->pid, SIGTERM) != 0 && errno != ESRCH)
        return fail_errno("stop nginx");
    while (mg_process_alive(mark)) {
        if (mg_monotonic_ms() > deadline_ms)
            (void) kill(-mark->pid, SIGKILL);
        (void) usleep(POLL_MS * 1000);
    }
    return OK;
}

const struct child_kind nginx_kind = {
    .label = "nginx",
    .start = nginx_start,
    .is_it = nginx_is_it,
    .stop = nginx_stop,
};

/* ---- certificates ------------------------------------------------------------------------------ */

/* A private key lies on disk only as keys sealed it. The context is the name of the row. */
static struct mg_status
sealer_seal(void *context, struct mg_view clear, struct mg_buffer *sealed)
{
    const struct mg_request_seal request = {
        .table = mg_view_text("tls"),
        .column = mg_view_text("private_key"),
        .row = mg_view_text(context),
        .plaintext = clear,
    };
    struct mg_reply_seal reply;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    TRY(mg_call_seal(&request, &reply, &storage, SEAL_MS));
    return mg_buffer_add(sealed, reply.sealed);
}

static struct mg_status
sealer_unseal(void *context, struct mg_view sealed, struct mg_secret **ret_clear)
{
    const struct mg_request_unseal request = {
        .table = mg_view_text("tls"),
        .column = mg_view_text("private_key"),
        .row = mg_view_text(context),
        .purpose = mg_view_text("tls-certificate"),
        .sealed = sealed,
    };
    struct mg_reply_unseal reply;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    TRY(mg_call_unseal(&request, &reply, &storage, SEAL_MS));
    return mg_secret_copy(reply.plaintext, ret_clear);
}

/* Paths of the one certificate all origins share. */
struct pair {
    char certificate[MG_PATH], private_key[MG_PATH];
    const char *stapling_trust; /* NULL: the certificate names no OCSP responder */
};

static bool
file_holds(const char *path, struct mg_view bytes)
{
    OWN_BUFFER(found, MG_CERTIFICATE_CHAIN_MOST);
    return mg_ok(mg_file_read(path, &found)) && mg_view_equal(mg_buffer_view(&found), bytes);
}

/* The operator's key, from its file or, once that is gone, from the sealed copy. One that is installed
 * already was sealed then. */
static struct mg_status
operator_key(const struct mg_options *options, const char *installed, struct mg_secret **ret_key)
{
    char path[MG_PATH], row[] = "site";
    OWN_BUFFER(bytes, MG_CERTIFICATE_KEY_MOST);
    OWN_BUFFER(sealed, MG_CERTIFICATE_KEY_MOST);
    TRY(mg_path_join(path, mg_environment()->directory, "tls/site.key.sealed"));
    const struct mg_status found = mg_file_read(options->tls_key, &bytes);
    if (mg_ok(found)) {
        if (access(path, F_OK) != 0 || !file_holds(installed, mg_buffer_view(&bytes))) {
            TRY(sealer_seal(row, mg_buffer_view(&bytes), &sealed));
            TRY(mg_file_replace(path, mg_buffer_view(&sealed), 0600));
        }
        return mg_secret_copy(mg_buffer_view(&bytes), ret_key);
    }
    if (found.code != MG_NOT_FOUND || !mg_ok(mg_file_read(path, &sealed)))
        return found;
    return sealer_unseal(row, mg_buffer_view(&sealed), ret_key);
}

static struct mg_status
operator_pair(const struct mg_options *options, const char *const *hosts, size_t count, struct pair *pair,
              bool *ret_changed)
{
    OWN_BUFFER(chain, MG_CERTIFICATE_CHAIN_MOST);
    OWN(secret) key = NULL;
    struct mg_certificate_facts facts;
    TRY(mg_file_read(options->tls_certificate, &chain));
    TRY(operator_key(options, pair->private_key, &key));
    TRY(mg_certificate_check(mg_buffer_view(&chain), mg_secret_view(key), hosts, count, mg_now(), &facts));
    pair->stapling_trust = facts.has_ocsp ? "/etc/ssl/certs/ca-certificates.crt" : NULL;
    *ret_changed = !file_holds(pair->certificate, mg_buffer_view(&chain)) ||
                   !file_holds(pair->private_key, mg_secret_view(key));
    if (!*ret_changed)
        return OK;
    return mg_certificate_install(mg_buffer_view(&chain), mg_secret_view(key), hosts, count, mg_now(),
                                  pair->certificate, pair->private_key, (uid_t) -1);
}

static struct mg_status
certificate_ensure(const char *const *hosts, size_t count, struct pair *pair, bool *ret_changed)
{
    const struct mg_environment *environment = mg_environment();
    const struct mg_options *options = environment->options;
    const bool own = options->tls_certificate == NULL || options->tls_certificate[0] == '\0';
    char tls[MG_PATH], keys[MG_PATH];
    pair->stapling_trust = NULL;
    TRY(mg_path_join(tls, environment->directory, "tls"));
    TRY(mg_path_join(keys, environment->runtime_directory, "tls"));
    TRY(mg_path_join(pair->certificate, tls, own ? "demo.pem" : "site.pem"));
    TRY(mg_path_join(pair->private_key, keys, own ? "demo.key" : "site.key"));
    if (!own)
        return operator_pair(options, hosts, count, pair, ret_changed);
    char row[] = "demo-authority";
    const struct mg_sealer sealer = {.context = row, .seal = sealer_seal, .unseal = sealer_unseal};
    const struct mg_demo_tls demo = {
        .tls_directory = tls,
        .runtime_directory = keys,
        .hosts = hosts,
        .host_count = count,
        .now = mg_now(),
        .sealer = &sealer,
        .key_uid = (uid_t) -1,
    };
    return mg_demo_tls_ensure(&demo, ret_changed);
}

/* ---- the list of origins ------------------------------------------------------------------------ */

struct origin {
    enum mg_site_kind kind;
    uint64_t tenant;
    char host[256], upstream[MG_PATH];
};

struct origins {
    struct origin *rows;   /* owned */
    const char **hosts;    /* owned; of the rows, in their order */
    const char **named;    /* owned; those a certificate must name */
    struct mg_site *sites; /* owned */
    size_t count, named_count, site_count;
};

static void
origins_drop(struct origins *origins)
{
    free(origins->rows);
    free(origins->hosts);
    free(origins->named);
    free(origins->sites);
}

static const enum mg_site_kind site_kinds[] = {
    [MG_ORIGIN_APP] = MG_SITE_APP,
    [MG_ORIGIN_SIGN_IN] = MG_SITE_SIGN_IN,
    [MG_ORIGIN_OPERATOR] = MG_SITE_OPERATOR,
};

static struct mg_status
origins_read(struct mg_list list, struct origins *origins)
{
    origins->rows = calloc(SITES_MOST, sizeof *origins->rows);
    origins->hosts = calloc(SITES_MOST, sizeof *origins->hosts);
    origins->named = calloc(SITES_MOST, sizeof *origins->named);
    origins->sites = calloc(SITES_MOST, sizeof *origins->sites);
    if (origins->rows == NULL || origins->hosts == NULL || origins->named == NULL || origins->sites == NULL)
        return fail(OUT_OF_MEMORY);
    for (;;) {
        struct mg_record_site site;
        bool more;
        TRY(mg_list_next_site(&list, &site, &more));
        if (!more)
            return OK;
        if (origins->count >= SITES_MOST)
            return fail_with(TOO_LARGE, "more than %d origins", SITES_MOST);
        struct origin *origin = &origins->rows[origins->count];
        if (site.kind < MG_ORIGIN_APP || site.kind > MG_ORIGIN_OPERATOR)
            return fail(MALFORMED);
        origin->kind = site_kinds[site.kind];
        origin->tenant = site.tenant;
        TRY(mg_view_copy(site.host, origin->host, sizeof origin->host));
        TRY(mg_view_copy(site.upstream, origin->upstream, sizeof origin->upstream));
        origins->hosts[origins->count++] = origin->host;
    }
}

static const struct origin *
origin_of(const struct origins *origins, uint64_t tenant, enum mg_site_kind kind)
{
    for (size_t i = 0; i < origins->count; i++)
        if (origins->rows[i].tenant == tenant && origins->rows[i].kind == kind)
            return &origins->rows[i];
    return NULL;
}

static bool
names_host(struct mg_view chain, const char *host)
{
    struct mg_certificate_facts facts;
    return mg_ok(mg_certificate_check(chain, MG_VIEW_EMPTY, &host, 1, mg_now(), &facts));
}

/* Nobody can have a certificate for the drill's hosts; only our own prober goes there. */
static bool
is_for_drills(const struct origin *origin)
{
    return strcmp(origin->upstream, MG_DRILL_UPSTREAM) == 0;
}

/* Leaves out the origins that our certificate does not name: a host that cannot be served is its tenant's
 * trouble, and must not keep all others from being served. The operators' own must be named: a certificate
 * without it is the wrong one, and whoever installs it says so. */
static struct mg_status
origins_cover(struct origins *origins)
{
    const struct mg_options *options = mg_environment()->options;
    const bool own = options->tls_certificate == NULL || options->tls_certificate[0] == '\0';
    OWN_BUFFER(chain, MG_CERTIFICATE_CHAIN_MOST);
    struct mg_certificate_facts facts;
    size_t kept = 0;
    if (!own) {
        TRY(mg_file_read(options->tls_certificate, &chain));
        TRY(mg_certificate_check(mg_buffer_view(&chain), MG_VIEW_EMPTY, NULL, 0, mg_now(), &facts));
    }
    for (size_t i = 0; i < origins->count; i++) {
        const char *host = origins->rows[i].host;
        if (origins->rows[i].kind == MG_SITE_OPERATOR || is_for_drills(&origins->rows[i]) ||
            (own ? mg_demo_host_is_local(host) : names_host(mg_buffer_view(&chain), host))) {
            if (kept != i)
                origins->rows[kept] = origins->rows[i];
            kept++;
        } else
            mg_log(MG_ERROR, "%s is not served: %s", host,
                   own ? "the demo's certificate names hosts under localhost only; set tls.certificate"
                       : "tls.certificate does not name it");
    }
    origins->count = kept;
    origins->named_count = 0;
    for (size_t i = 0; i < kept; i++) {
        origins->hosts[i] = origins->rows[i].host;
        if (!is_for_drills(&origins->rows[i]))
            origins->named[origins->named_count++] = origins->rows[i].host;
    }
    return OK;
}

/* Who signs the assertions of this tenant (`iss`) and for whom (`aud`, its app hosts with spaces). */
static struct mg_status
parties_of(const struct origins *origins, uint64_t tenant, char issuer[300], struct mg_buffer *audience)
{
    const int64_t port = mg_environment()->options->gate_https_port;
    const struct origin *sign_in = origin_of(origins, tenant, MG_SITE_SIGN_IN);
    char suffix[16] = "";
    if (port != 443)
        (void) snprintf(suffix, sizeof suffix, ":%d", (int) port);
    (void) snprintf(issuer, 300, "https://%s%s", sign_in != NULL ? sign_in->host : "", suffix);
    for (size_t i = 0; i < origins->count; i++)
        if (origins->rows[i].tenant == tenant && origins->rows[i].kind == MG_SITE_APP)
            TRY(mg_buffer_format(audience, "%s%s", audience->length != 0 ? " " : "", origins->rows[i].host));
    return OK;
}

/* Where nginx finds the application; one of ours is started. */
static struct mg_status
upstream_settle(const struct origins *origins, struct origin *origin)
{
    char issuer[300], upstream[MG_PATH];
    OWN_BUFFER(audience, 1024);
    if (!application_is_ours(mg_view_text(origin->upstream)))
        return OK;
    TRY(parties_of(origins, origin->tenant, issuer, &audience));
    TRY(application_ensure(origin->tenant, mg_view_text(origin->upstream), issuer, mg_buffer_text(&audience),
                           upstream));
    return mg_view_copy(mg_view_text(upstream), origin->upstream, sizeof origin->upstream);
}

/* One site a host: nginx does not care, and a host more or less changes no other. An application of
 * ours that cannot be started is a 502 for its tenant, not an outage of all. */
static struct mg_status
sites_fill(struct origins *origins, const struct pair *pair)
{
    for (size_t i = 0; i < origins->count; i++) {
        struct origin *origin = &origins->rows[i];
        if (origin->kind == MG_SITE_APP) {
            const struct mg_status status = upstream_settle(origins, origin);
            if (!mg_ok(status)) {
                mg_log_status(MG_ERROR, origin->host, status);
                continue;
            }
        }
        origins->sites[origins->site_count++] = (struct mg_site){
            .kind = origin->kind,
            .tenant = origin->tenant,
            .hosts = &origins->hosts[i],
            .host_count = 1,
            .upstream = origin->kind == MG_SITE_APP ? origin->upstream : NULL,
            .certificate = pair->certificate,
            .private_key = pair->private_key,
            .stapling_trust = pair->stapling_trust,
        };
    }
    return OK;
}

/* ---- the configuration --------------------------------------------------------------------------- */

static const char *
module_find(char path[MG_PATH])
{
    /* Beside the programs in a build tree; PREFIX/lib/nginx/modules when they are in PREFIX/libexec/masugata.
     */
    static const char *const names[] = {"ngx_http_masugata_module.so", "src/gate/ngx_http_masugata_module.so",
                                        "../../lib/nginx/modules/ngx_http_masugata_module.so"};
    for (size_t i = 0; i < MG_COUNT(names); i++)
        if (mg_ok(mg_path_join(path, places.programs, names[i])) && access(path, R_OK) == 0)
            return path;
    return NULL;
}

/* The addresses of the option, which are words with spaces between. */
static size_t
addresses_split(const char *text, char words[8][64], const char *list[8])
{
    size_t count = 0;
    struct mg_view word;
    const char *cursor = text;
    while (count < 8 && mg_option_word(&cursor, &word))
        if (mg_ok(mg_view_copy(word, words[count], sizeof words[count]))) {
            list[count] = words[count];
            count++;
        }
    return count;
}

static struct mg_status
configuration_install(const struct origins *origins, bool *ret_changed)
{
    const struct mg_environment *environment = mg_environment();
    const struct mg_options *options = environment->options;
    char module[MG_PATH], acme[MG_PATH], words[8][64];
    const char *addresses[8];
    enum mg_tls_profile profile;
    /* A weak profile is somebody's decision, said twice in masugata.conf; its controls then say broken. */
    TRY(mg_tls_profile_parse(mg_view_text(options->tls_profile), options->tls_legacy, &profile));
    TRY(mg_path_join(acme, environment->directory, "nginx/acme"));
    if (options->tls_acme)
        TRY(mg_directory_make(acme, 0755));
    if (options->tls_acme && chmod(acme, 0755) != 0) /* the workers read it, whatever the umask */
        return fail_errno("chmod %s", acme);
    const struct mg_nginx_configuration configuration = {
        .directory = environment->directory,
        .runtime_directory = environment->runtime_directory,
        .module_path = module_find(module),
        .addresses = addresses,
        .address_count = addresses_split(options->gate_address, words, addresses),
        .https_port = (uint16_t) options->gate_https_port,
        .http_port = (uint16_t) options->gate_http_port,
        .user = places.root ? "masugata-gate" : NULL,
        .worker_count = (unsigned) options->gate_workers,
        .open_files = mg_nginx_open_files(),
        .tls_profile = profile,
        .resolver = options->tls_resolver[0] != '\0' ? options->tls_resolver : NULL,
        .upload_most_bytes = (uint64_t) options->gate_upload_most_mib << 20,
        .requests_per_address = (unsigned) options->gate_requests_per_address,
        .upstream_idle_s = (unsigned) (options->gate_stream_idle / 1000),
        .acme_directory = options->tls_acme ? acme : NULL,
        .sites = origins->sites,
        .site_count = origins->site_count,
    };
    /* Without the gate every request would pass: rather nothing is served. */
    if (configuration.module_path == NULL)
        return fail_with(NOT_FOUND, "nginx module ngx_http_masugata_module.so in %s", places.programs);
    return mg_nginx_configuration_install(&configuration, ret_changed);
}

/* ---- what is asked --------------------------------------------------------------------------------- */

static bool
port_answers(const char *address, uint16_t port)
{
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(port)};
    OWN_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, strcmp(address, "0.0.0.0") == 0 ? "127.0.0.1" : address, &target.sin_addr) != 1)
        return true; /* IPv6 or a name: not looked at */
    return fd >= 0 && connect(fd, (const struct sockaddr *) &target, sizeof target) == 0;
}

/* Until it listens, or has ended: then its log says why. */
static struct mg_status
nginx_await(const struct mg_process_mark *mark)
{
    const struct mg_options *options = mg_environment()->options;
    const int64_t deadline_ms = mg_monotonic_ms() + LISTEN_MS;
    char words[8][64];
    const char *addresses[8];
    if (addresses_split(options->gate_address, words, addresses) == 0)
        return OK;
    while (!port_answers(addresses[0], (uint16_t) options->gate_https_port)) {
        if (!mg_process_alive(mark))
            return fail_with(UNAVAILABLE,
                             "nginx ended at its start; see log/nginx-error.log and log/nginx-start.log");
        if (mg_monotonic_ms() > deadline_ms)
            return fail_with(TIMEOUT, "nginx does not listen");
        (void) usleep(POLL_MS * 1000);
    }
    return OK;
}

static struct mg_status
nginx_run(bool changed)
{
    struct mg_process_mark mark;
    if (mg_ok(child_mark(&nginx_kind, "main", &mark))) {
        return changed ? mg_process_signal(&mark, SIGHUP) : OK;
    }
    TRY(child_run(&nginx_kind, "main", mg_view_text("1"), &mark));
    return nginx_await(&mark);
}

static pthread_mutex_t apply_lock = PTHREAD_MUTEX_INITIALIZER; /* one list at a time */

static struct mg_status
apply(struct mg_list sites, bool *ret_changed, char certificate[MG_CERTIFICATE_SUMMARY])
{
    OWN_BUFFER(chain, MG_CERTIFICATE_CHAIN_MOST);
    MG_CLEANUP(origins_drop) struct origins origins = {.count = 0};
    struct pair pair;
    bool certificate_changed = false, configuration_changed = false;
    TRY(origins_read(sites, &origins));
    TRY(origins_cover(&origins));
    if (origins.count == 0)
        return fail_with(INVALID, "no origin at all");
    TRY(certificate_ensure(origins.named, origins.named_count, &pair, &certificate_changed));
    TRY(mg_file_read(pair.certificate, &chain));
    TRY(mg_certificate_summary(mg_buffer_view(&chain), certificate));
    TRY(sites_fill(&origins, &pair));
    TRY(configuration_install(&origins, &configuration_changed));
    TRY(nginx_run(certificate_changed || configuration_changed));
    *ret_changed = certificate_changed || configuration_changed;
    return OK;
}

/* With the lock held. The list comes in parts; a first one forgets what came before, and one whose beginning
 * went to a launcher that was killed is refused: half a list would end the service of the other half. */
static struct mg_status
part_take(const struct mg_request_nginx_apply *request, bool *ret_changed,
          char certificate[MG_CERTIFICATE_SUMMARY])
{
    static struct mg_buffer parts = MG_BUFFER(SITES_BYTES_MOST);
    if (request->at == 0)
        mg_buffer_clear(&parts);
    if (request->at != parts.length)
        return fail_with(REFUSED, "a part of the list of origins without those before it");
    TRY(mg_buffer_add(&parts, request->sites.bytes));
    return request->last ? apply((struct mg_list){.bytes = mg_buffer_view(&parts)}, ret_changed, certificate)
                         : OK;
}

MG_HANDLER_PUBLIC(nginx_apply)
{
    bool changed = false;
    (void) pthread_mutex_lock(&apply_lock);
    char certificate[MG_CERTIFICATE_SUMMARY] = "";
    const struct mg_status status = part_take(request, &changed, certificate);
    (void) pthread_mutex_unlock(&apply_lock);
    TRY(status);
    return mg_answer_nginx_apply(
        call, &(struct mg_reply_nginx_apply){.changed = changed, .certificate = mg_view_text(certificate)});
}
