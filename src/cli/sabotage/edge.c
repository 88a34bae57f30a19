/* Breaks of the edge: nginx's settings, and the gate's module with a few bytes changed. */
#include "base/secret.h"
#include "cli/sabotage/sabotage.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MODULE_MOST = 32 << 20, POLL_US = 50000, RESTART_MS = 40000 };

/* ---- EDGE_01, 03, 04, 06: versions, suites, groups ---- */

NGINX_BREAK(tls13_aes128, "Ciphersuites TLS_AES_256_GCM_SHA384;",
            "Ciphersuites TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256;")
NGINX_BREAK(tls12_chacha, "ssl_ciphers ", "ssl_ciphers ECDHE-ECDSA-CHACHA20-POLY1305:")

#define OLD_VERSION(version)                            \
    "ssl_protocols TLSv1.2 TLSv1.3;\n    ssl_ciphers ", \
        "ssl_protocols " version " TLSv1.2 TLSv1.3;\n    ssl_ciphers ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0:"
NGINX_BREAK(tls11_on, OLD_VERSION("TLSv1.1"))
NGINX_BREAK(tls10_on, OLD_VERSION("TLSv1"))
NGINX_BREAK(unchosen_legacy, OLD_VERSION("TLSv1 TLSv1.1"))

NGINX_BREAK(cbc_suite, "ssl_ciphers ", "ssl_ciphers ECDHE-ECDSA-AES256-SHA384:")
NGINX_BREAK(weak_curve, "ssl_ecdh_curve X25519", "ssl_ecdh_curve secp224r1:X25519")

/* ---- EDGE_05: key transport under RSA needs an RSA certificate beside the served one ---- */

static CHECKED struct mg_status
pem_write(const char *path, EVP_PKEY *key, X509 *certificate)
{
    OWN_BUFFER(text, 65536);
    char *bytes = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    const bool made = bio != NULL && (certificate == NULL
                                          ? PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                                          : PEM_write_bio_X509(bio, certificate)) == 1;
    const long length = made ? BIO_get_mem_data(bio, &bytes) : 0;
    const struct mg_status status = mg_buffer_add(&text, mg_view_of(bytes, (size_t) length));
    BIO_free(bio);
    TRY(status);
    return made ? mg_file_replace(path, mg_buffer_view(&text), 0600) : fail_with(CRYPTO, "write %s", path);
}

static CHECKED struct mg_status
rsa_pair_write(const char *certificate_path, const char *key_path)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *certificate = X509_new();
    bool made = key != NULL && certificate != NULL && X509_set_version(certificate, X509_VERSION_3) == 1 &&
                ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(certificate), 0) != NULL &&
                X509_gmtime_adj(X509_getm_notAfter(certificate), 86400) != NULL &&
                X509_set_pubkey(certificate, key) == 1 &&
                X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                           (const unsigned char *) "sabotage", -1, -1, 0) == 1 &&
                X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1 &&
                X509_sign(certificate, key, EVP_sha256()) > 0;
    struct mg_status status =
        made ? pem_write(key_path, key, NULL) : fail_with(CRYPTO, "make an RSA certificate");
    if (mg_ok(status))
        status = pem_write(certificate_path, key, certificate);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return status;
}

static CHECKED struct mg_status
rsa_paths(struct mg_stage *stage, char certificate[MG_PATH], char key[MG_PATH])
{
    TRY(mg_stage_path(stage, "nginx/sabotage.pem", certificate));
    return mg_stage_path(stage, "nginx/sabotage.key", key);
}

static CHECKED struct mg_status
rsa_transport(struct mg_stage *stage, const char *suites)
{
    char certificate[MG_PATH], key[MG_PATH], pair[2 * MG_PATH + 128];
    TRY(rsa_paths(stage, certificate, key));
    TRY(rsa_pair_write(certificate, key));
    (void) snprintf(
        pair, sizeof pair,
        "        ssl_certificate \"%s\";\n        ssl_certificate_key \"%s\";\n        ssl_certificate \"",
        certificate, key);
    const struct mg_stage_change changes[] = {{NULL, "ssl_ciphers ", suites},
                                              {NULL, "        ssl_certificate \"", pair}};
    return mg_stage_nginx_change(stage, changes, MG_COUNT(changes));
}

static CHECKED struct mg_status
rsa_away(struct mg_stage *stage)
{
    char certificate[MG_PATH], key[MG_PATH];
    TRY(rsa_paths(stage, certificate, key));
    TRY(mg_stage_nginx_restore(stage));
    if (unlink(certificate) != 0 || unlink(key) != 0)
        return fail_errno("remove %s", certificate);
    return OK;
}

struct mg_status
break_rsa_transport_gcm(struct mg_stage *stage)
{
    return rsa_transport(stage, "ssl_ciphers AES256-GCM-SHA384:");
}

struct mg_status
repair_rsa_transport_gcm(struct mg_stage *stage)
{
    return rsa_away(stage);
}

struct mg_status
break_rsa_transport_cbc(struct mg_stage *stage)
{
    return rsa_transport(stage, "ssl_ciphers AES256-SHA256:");
}

struct mg_status
repair_rsa_transport_cbc(struct mg_stage *stage)
{
    return rsa_away(stage);
}

/* ---- EDGE_02, NETWORK_02: the plain port, and another one ---- */

/* The console's plain server, whose answer becomes `answer`; what stood there is commented out. */
static CHECKED struct mg_status
plain_answer(struct mg_stage *stage, const char *answer)
{
    char from[512], to[1024];
    static const char rest[] = ";\n        keepalive_timeout 0;\n        location / {\n            ";
    (void) snprintf(from, sizeof from, "server_name %s%sreturn 308 ", stage->options->console_host, rest);
    (void) snprintf(to, sizeof to, "server_name %s%s%s ", stage->options->console_host, rest, answer);
    return mg_stage_nginx(stage, from, to);
}

struct mg_status
break_plain_page(struct mg_stage *stage)
{
    return plain_answer(stage, "return 200 welcome; #");
}

struct mg_status
repair_plain_page(struct mg_stage *stage)
{
    return mg_stage_nginx_restore(stage);
}

struct mg_status
break_plain_elsewhere(struct mg_stage *stage)
{
    return plain_answer(stage, "return 308 http://elsewhere.localhost/; #");
}

struct mg_status
repair_plain_elsewhere(struct mg_stage *stage)
{
    return mg_stage_nginx_restore(stage);
}

struct mg_status
break_second_port(struct mg_stage *stage)
{
    char to[256];
    uint16_t port = 0;
    TRY(mg_stage_free_port(&port));
    (void) snprintf(
        to, sizeof to,
        "    server {\n        listen 0.0.0.0:%u;\n        return 200 open;\n    }\n    server {\n",
        (unsigned) port);
    return mg_stage_nginx(stage, "    server {\n", to);
}

struct mg_status
repair_second_port(struct mg_stage *stage)
{
    return mg_stage_nginx_restore(stage);
}

struct mg_status
break_second_tls_port(struct mg_stage *stage)
{
    char to[256];
    uint16_t port = 0;
    TRY(mg_stage_free_port(&port));
    (void) snprintf(to, sizeof to, " ssl http2 default_server;\n        listen 0.0.0.0:%u ssl default_server",
                    (unsigned) port);
    return mg_stage_nginx(stage, " ssl http2 default_server", to);
}

struct mg_status
repair_second_tls_port(struct mg_stage *stage)
{
    return mg_stage_nginx_restore(stage);
}

/* ---- EDGE_09: HSTS, a directive of the module ---- */

NGINX_BREAK(hsts_gone, "    masugata_directory", "    masugata_hsts \"\";\n    masugata_directory")
NGINX_BREAK(hsts_short, "    masugata_directory", "    masugata_hsts max-age=86400;\n    masugata_directory")

/* ---- EDGE_10, 11, 13: the module with the same number of other bytes ---- */

static CHECKED struct mg_status
module_path(const struct mg_stage *stage, char path[MG_PATH])
{
    static const char start[] = "load_module \"";
    char conf[MG_PATH];
    OWN_BUFFER(text, MODULE_MOST);
    TRY(mg_stage_path(stage, "nginx/nginx.conf", conf));
    TRY(mg_file_read(conf, &text));
    const char *at = strstr(mg_buffer_text(&text), start);
    if (at == NULL)
        return fail_with(NOT_FOUND, "load_module in %s", conf);
    at += sizeof start - 1;
    return mg_view_copy(mg_view_of(at, strcspn(at, "\"")), path, MG_PATH);
}

static CHECKED struct mg_status
bytes_replace(struct mg_buffer *bytes, const char *from, const char *to)
{
    const size_t length = strlen(from);
    size_t found = 0;
    mg_must(strlen(to) == length);
    for (uint8_t *at = bytes->bytes;
         (at = memmem(at, bytes->length - (size_t) (at - bytes->bytes), from, length)) != NULL;) {
        memcpy(at, to, length);
        at += length;
        found++;
    }
    return found > 0 ? OK : fail_with(NOT_FOUND, "\"%s\" in the module", from);
}

static bool
port_answers(int64_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t) port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    OWN_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *) &address, sizeof address) == 0;
}

/* A reload would keep the old module's symbols in force (nginx loads modules RTLD_GLOBAL): nginx is
 * ended, and the launcher starts it again from the file as it stands. */
static CHECKED struct mg_status
nginx_restart(struct mg_stage *stage)
{
    pid_t before = 0, after = 0;
    TRY(mg_stage_pid(stage, "nginx", &before));
    if (kill(before, SIGTERM) != 0)
        return fail_errno("end nginx");
    for (int64_t end = mg_monotonic_ms() + RESTART_MS; mg_monotonic_ms() < end; (void) usleep(POLL_US))
        if (mg_ok(mg_stage_pid(stage, "nginx", &after)) && after != before && kill(after, 0) == 0 &&
            port_answers(stage->options->gate_https_port))
            return OK;
    return fail_with(TIMEOUT, "nginx is not started again");
}

/* A copy of the module that says something else, loaded in place of it. */
static CHECKED struct mg_status
module_change(struct mg_stage *stage, const char *from, const char *to)
{
    char module[MG_PATH], copy[MG_PATH], conf[MG_PATH];
    OWN_BUFFER(bytes, MODULE_MOST);
    TRY(module_path(stage, module));
    TRY(mg_stage_path(stage, "nginx/sabotage.so", copy));
    TRY(mg_file_read(module, &bytes));
    TRY(bytes_replace(&bytes, from, to));
    TRY(mg_file_replace(copy, mg_buffer_view(&bytes), 0755));
    TRY(mg_stage_path(stage, "nginx/nginx.conf", conf));
    TRY(mg_stage_edit(stage, conf, module, copy));
    return nginx_restart(stage);
}

static CHECKED struct mg_status
module_back(struct mg_stage *stage)
{
    char copy[MG_PATH];
    TRY(mg_stage_path(stage, "nginx/sabotage.so", copy));
    TRY(mg_stage_restore(stage));
    TRY(nginx_restart(stage));
    return unlink(copy) == 0 ? OK : fail_errno("remove %s", copy);
}

#define MODULE_BREAK(name, from, to)                       \
    struct mg_status break_##name(struct mg_stage *stage)  \
    {                                                      \
        return module_change(stage, from, to);             \
    }                                                      \
    struct mg_status repair_##name(struct mg_stage *stage) \
    {                                                      \
        return module_back(stage);                         \
    }

MODULE_BREAK(csp_gone, "frame-ancestors 'none'", "frame-ancestors *     ")
MODULE_BREAK(csp_wide, "script-src 'self'; style-src", "script-src *     ; style-src")
MODULE_BREAK(xss_gone, "X-XSS-Protection", "X-XSS-Protectiom")
NGINX_BREAK(xss_twice, "    masugata_directory",
            "    add_header X-XSS-Protection 1 always;\n    masugata_directory")
MODULE_BREAK(no_retry_after, "Retry-After", "Retry-Aftez")
MODULE_BREAK(referrer_gone, "Referrer-Policy", "Referrer-Policz")
MODULE_BREAK(referrer_unsafe, "strict-origin-when-cross-origin", "unsafe-url                     ")
