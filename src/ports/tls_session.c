/* What needs a finished handshake; see ports/tls_scan.h. */
#include "domain/header_grade.h"
#include "ports/openssl.h"
#include "ports/tls_scan.h"

#include <openssl/ct.h>
#include <openssl/ssl.h>
#include <stdio.h>

MG_OPENSSL_OWN(SSL_CTX, ssl_context, SSL_CTX_free)
MG_OPENSSL_OWN(SSL, ssl, SSL_free)
#define OWN_SSL_CONTEXT MG_CLEANUP(mg_ssl_context_drop) SSL_CTX *
#define OWN_SSL MG_CLEANUP(mg_ssl_drop) SSL *

/* Seeing is the purpose: nothing is refused here, everything is reported. */
static int
timestamps_accept(const CT_POLICY_EVAL_CTX *context, const STACK_OF(SCT) * scts, void *argument)
{
    (void) context;
    (void) scts;
    (void) argument;
    return 1;
}

static struct mg_status
context_make(const struct mg_tls_target *target, int newest, SSL_CTX **ret_context)
{
    OWN_SSL_CONTEXT context = SSL_CTX_new(TLS_client_method());
    if (context == NULL || SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0") != 1 ||
        SSL_CTX_set_min_proto_version(context, TLS1_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, newest) != 1 ||
        SSL_CTX_set_tlsext_status_type(context, TLSEXT_STATUSTYPE_ocsp) != 1 ||
        SSL_CTX_set_ct_validation_callback(context, timestamps_accept, NULL) != 1)
        return fail_openssl("TLS client");
    (void) SSL_CTX_set_default_verify_paths(context);
    if (target->authorities != NULL && SSL_CTX_load_verify_file(context, target->authorities) != 1)
        return fail_openssl("authorities");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    *ret_context = TAKE(context);
    return OK;
}

/* SSL_set_tlsext_host_name() without its cast that drops const. */
static long
server_name_set(SSL *ssl, const char *name)
{
    return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *) (uintptr_t) name);
}

/* `fd` must outlive the session. */
static struct mg_status
session_open(const struct mg_tls_target *target, SSL_CTX *context, int fd, SSL **ret_ssl)
{
    OWN_SSL ssl = SSL_new(context);
    if (ssl == NULL || server_name_set(ssl, target->server_name) != 1 || SSL_set_fd(ssl, fd) != 1)
        return fail_openssl("TLS client");
    if (SSL_connect(ssl) != 1)
        return fail_openssl("TLS handshake");
    *ret_ssl = TAKE(ssl);
    return OK;
}

/* ---- certificate ---- */

static mg_instant
instant_of(const ASN1_TIME *time)
{
    struct tm broken = {0};
    return ASN1_TIME_to_tm(time, &broken) == 1 ? (mg_instant) timegm(&broken) * 1000 : 0;
}

static bool
signature_is_weak(X509 *certificate)
{
    int digest = NID_undef;
    if ((X509_get_extension_flags(certificate) & EXFLAG_SS) != 0)
        return false;
    return X509_get_signature_info(certificate, &digest, NULL, NULL, NULL) != 1 || digest == NID_md5 ||
           digest == NID_sha1 || digest == NID_undef;
}

static bool
chain_is_ordered(STACK_OF(X509) * chain)
{
    for (int i = 0; i + 1 < sk_X509_num(chain); i++)
        if (X509_check_issued(sk_X509_value(chain, i + 1), sk_X509_value(chain, i)) != X509_V_OK)
            return false;
    return true;
}

/* An issuer that could be fetched (its address is in the last certificate) should have been sent. */
static bool
chain_is_complete(STACK_OF(X509) * chain, long verified)
{
    if (verified != X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY &&
        verified != X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT &&
        verified != X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE)
        return true;
    AUTHORITY_INFO_ACCESS *access =
        X509_get_ext_d2i(sk_X509_value(chain, sk_X509_num(chain) - 1), NID_info_access, NULL, NULL);
    bool fetchable = false;
    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(access); i++)
        if (OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(access, i)->method) == NID_ad_ca_issuers)
            fetchable = true;
    AUTHORITY_INFO_ACCESS_free(access);
    return !fetchable;
}

static void
one_line(const X509_NAME *name, char text[256])
{
    text[0] = '\0';
    OWN_BIO bio = BIO_new(BIO_s_mem());
    if (bio == NULL || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0)
        return;
    const int length = BIO_read(bio, text, 255);
    text[length > 0 ? length : 0] = '\0';
}

static void
certificate_key_look(X509 *leaf, struct mg_tls_facts *facts)
{
    const EVP_PKEY *key = X509_get0_pubkey(leaf);
    const char *type = key == NULL ? NULL : EVP_PKEY_get0_type_name(key);
    const char *signature = OBJ_nid2sn(X509_get_signature_nid(leaf));
    (void) snprintf(facts->certificate.key_type, sizeof facts->certificate.key_type, "%s",
                    type == NULL ? "?" : type);
    (void) snprintf(facts->certificate.signature, sizeof facts->certificate.signature, "%s",
                    signature == NULL ? "?" : signature);
    facts->certificate.key_bits = key == NULL ? 0 : (unsigned) EVP_PKEY_get_bits(key);
}

static bool
has_ocsp_address(X509 *leaf)
{
    STACK_OF(OPENSSL_STRING) *addresses = X509_get1_ocsp(leaf);
    const bool found = sk_OPENSSL_STRING_num(addresses) > 0;
    X509_email_free(addresses);
    return found;
}

static void
certificate_look(const struct mg_tls_target *target, SSL *ssl, struct mg_tls_facts *facts)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    X509 *leaf = sk_X509_value(chain, 0);
    if (leaf == NULL)
        return;
    const long verified = SSL_get_verify_result(ssl);
    facts->certificate.present = true;
    one_line(X509_get_subject_name(leaf), facts->certificate.subject);
    one_line(X509_get_issuer_name(leaf), facts->certificate.issuer);
    certificate_key_look(leaf, facts);
    for (int i = 0; i < sk_X509_num(chain); i++)
        facts->certificate.weak_signature |= signature_is_weak(sk_X509_value(chain, i));
    facts->certificate.names_host =
        X509_check_host(leaf, target->server_name, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
    facts->certificate.chain_in_order = chain_is_ordered(chain);
    facts->certificate.chain_complete = chain_is_complete(chain, verified);
    facts->certificate.trusted = verified == X509_V_OK;
    facts->certificate.not_before = instant_of(X509_get0_notBefore(leaf));
    facts->certificate.not_after = instant_of(X509_get0_notAfter(leaf));
    facts->certificate.chain_length = (size_t) sk_X509_num(chain);
    facts->certificate.has_ocsp = has_ocsp_address(leaf);
    facts->certificate.must_staple = X509_get_ext_by_NID(leaf, NID_tlsfeature, -1) >= 0;
    const int timestamps = sk_SCT_num(SSL_get0_peer_scts(ssl));
    facts->certificate.sct_count = timestamps > 0 ? (unsigned) timestamps : 0;
    const unsigned char *staple = NULL;
    facts->ocsp_stapled = SSL_get_tlsext_status_ocsp_resp(ssl, &staple) > 0 ? MG_SEEN_YES : MG_SEEN_NO;
}

/* ---- HTTP ---- */

/* The value of the first Strict-Transport-Security line (RFC 6797 section 8.1). */
static void
hsts_look(const char *head, struct mg_tls_facts *facts)
{
    static const char name[] = "\nstrict-transport-security:";
    for (const char *at = strchr(head, '\n'); at != NULL; at = strchr(at + 1, '\n')) {
        if (strncasecmp(at, name, sizeof name - 1) != 0)
            continue;
        const char *value = at + sizeof name - 1;
        struct mg_hsts hsts;
        if (mg_hsts_parse(mg_view_of(value, strcspn(value, "\r\n")), &hsts))
            facts->hsts_max_age_s = hsts.max_age_s;
        return;
    }
}

static void
http_look(const struct mg_tls_target *target, SSL *ssl, struct mg_tls_facts *facts)
{
    OWN_BUFFER(head, 65536);
    OWN_BUFFER(request, 1024);
    char port[8] = "";
    if (target->port != 443)
        (void) snprintf(port, sizeof port, ":%u", (unsigned) target->port);
    if (!mg_ok(mg_buffer_format(
            &request, "GET / HTTP/1.1\r\nHost: %s%s\r\nUser-Agent: masugata\r\nConnection: close\r\n\r\n",
            target->server_name, port)) ||
        SSL_write(ssl, request.bytes, (int) request.length) != (int) request.length)
        return;
    while (strstr(mg_buffer_text(&head), "\r\n\r\n") == NULL) {
        char chunk[4096];
        const int got = SSL_read(ssl, chunk, sizeof chunk);
        if (got <= 0 || !mg_ok(mg_buffer_add(&head, mg_view_of(chunk, (size_t) got))))
            break;
    }
    if (strncmp(mg_buffer_text(&head), "HTTP/1.", 7) != 0)
        return;
    facts->http_answered = true;
    hsts_look(mg_buffer_text(&head), facts);
}

/* ---- renegotiation ---- */

/* RFC 5246 section 7.4.1.1: whether the server lets a client start over. */
static struct mg_status
renegotiation_look(const struct mg_tls_target *target, struct mg_tls_facts *facts)
{
    OWN_FD fd = -1;
    OWN_SSL_CONTEXT context = NULL;
    OWN_SSL ssl = NULL;
    TRY(context_make(target, TLS1_2_VERSION, &context));
    SSL_CTX_set_options(context, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
    TRY(mg_tls_connect(target, &fd));
    TRY(session_open(target, context, fd, &ssl));
    const bool again = SSL_renegotiate(ssl) == 1 && SSL_do_handshake(ssl) == 1 &&
                       SSL_total_renegotiations(ssl) > 0 && SSL_renegotiate_pending(ssl) == 0;
    ERR_clear_error();
    facts->client_renegotiation = again ? MG_SEEN_YES : MG_SEEN_NO;
    return OK;
}

struct mg_status
mg_tls_session_look(const struct mg_tls_target *target, struct mg_tls_facts *facts)
{
    OWN_FD fd = -1;
    OWN_SSL_CONTEXT context = NULL;
    OWN_SSL ssl = NULL;
    TRY(context_make(target, TLS1_3_VERSION, &context));
    SSL_CTX_set_options(context, SSL_OP_LEGACY_SERVER_CONNECT);
    TRY(mg_tls_connect(target, &fd));
    TRY(session_open(target, context, fd, &ssl));
    certificate_look(target, ssl, facts);
    http_look(target, ssl, facts);
    if ((facts->versions & (MG_TLS_1_0 | MG_TLS_1_1 | MG_TLS_1_2)) != 0)
        return renegotiation_look(target, facts);
    return OK;
}
