/* The demo's own certificate authority; see ports/certificate.h. */
#include "base/io.h"
#include "ports/certificate.h"
#include "ports/nginx_configuration.h"
#include "ports/openssl.h"

#include <openssl/ec.h>
#include <openssl/pem.h>

#define DAY_S (INT64_C(86400))
#define AUTHORITY_DAYS 730
#define LEAF_DAYS 90
#define RENEW_DAYS 30
#define BACKDATE_S 3600 /* a browser's clock may be behind */

static struct mg_status
certificate_pem(X509 *certificate, struct mg_buffer *buffer)
{
    OWN_BIO bio = BIO_new(BIO_s_mem());
    if (bio == NULL || PEM_write_bio_X509(bio, certificate) != 1)
        return fail_openssl("write certificate");
    char *text = NULL;
    const long length = BIO_get_mem_data(bio, &text);
    return mg_buffer_add(buffer, mg_view_of(text, (size_t) length));
}

/* The BIO wipes its memory when it is freed. */
static struct mg_status
key_pem(const EVP_PKEY *key, struct mg_secret **ret_pem)
{
    OWN_BIO bio = BIO_new(BIO_s_mem());
    if (bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return fail_openssl("write key");
    char *text = NULL;
    const long length = BIO_get_mem_data(bio, &text);
    return mg_secret_copy(mg_view_of(text, (size_t) length), ret_pem);
}

static struct mg_status
key_der(const EVP_PKEY *key, struct mg_secret **ret_der)
{
    OWN_BIO bio = BIO_new(BIO_s_mem());
    if (bio == NULL || i2d_PKCS8PrivateKey_bio(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return fail_openssl("write key");
    char *bytes = NULL;
    const long length = BIO_get_mem_data(bio, &bytes);
    return mg_secret_copy(mg_view_of(bytes, (size_t) length), ret_der);
}

static struct mg_status
extension_add(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (extension == NULL)
        return fail_openssl(value);
    const int added = X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return added == 1 ? OK : fail_openssl(value);
}

static struct mg_status
serial_set(X509 *certificate)
{
    uint8_t bytes[16];
    mg_random(bytes, sizeof bytes);
    bytes[0] = (uint8_t) ((bytes[0] & 0x7f) | 0x40); /* positive, always 16 bytes */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    const bool done =
        number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return done ? OK : fail(OUT_OF_MEMORY);
}

/* A certificate with all but its extensions and signature. */
static struct mg_status
certificate_start(EVP_PKEY *key, const char *common_name, mg_instant now, int days, X509 **ret_certificate)
{
    OWN_X509 certificate = X509_new();
    if (certificate == NULL)
        return fail(OUT_OF_MEMORY);
    const time_t from = (time_t) (now / 1000) - BACKDATE_S;
    X509_NAME *name = X509_get_subject_name(certificate);
    TRY(serial_set(certificate));
    if (X509_set_version(certificate, X509_VERSION_3) != 1 || X509_set_pubkey(certificate, key) != 1 ||
        ASN1_TIME_set(X509_getm_notBefore(certificate), from) == NULL ||
        ASN1_TIME_set(X509_getm_notAfter(certificate), from + days * DAY_S) == NULL ||
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const uint8_t *) "Masugata demo", -1, -1, 0) !=
            1 ||
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *) common_name, -1, -1, 0) != 1)
        return fail_openssl("make certificate");
    *ret_certificate = TAKE(certificate);
    return OK;
}

static struct mg_status
authority_extend(X509 *certificate)
{
    TRY(extension_add(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
    TRY(extension_add(certificate, certificate, NID_key_usage, "critical,keyCertSign"));
    TRY(extension_add(certificate, certificate, NID_ext_key_usage, "serverAuth"));
    TRY(extension_add(certificate, certificate, NID_subject_key_identifier, "hash"));
    /* RFC 5280 section 4.2.1.10: a constraint on one form of name leaves the others free, so
     * addresses and mail are excluded as a whole. */
    return extension_add(certificate, certificate, NID_name_constraints,
                         "critical,permitted;DNS:localhost,excluded;IP:0.0.0.0/0.0.0.0,"
                         "excluded;IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0,excluded;email:.");
}

struct mg_status
mg_demo_authority_new(mg_instant now, struct mg_buffer *pem, struct mg_secret **ret_key)
{
    OWN_PKEY key = EVP_EC_gen("P-256");
    OWN_X509 certificate = NULL;
    OWN(secret) der = NULL;
    char name[64];
    uint8_t salt[4];
    char salt_text[9];
    if (key == NULL)
        return fail_openssl("make key");
    /* Two deployments on one machine must not look alike in a browser's list of authorities. */
    mg_random(salt, sizeof salt);
    mg_hex(mg_view_of(salt, sizeof salt), salt_text);
    (void) snprintf(name, sizeof name, "Masugata demo CA %s (localhost only)", salt_text);
    TRY(certificate_start(key, name, now, AUTHORITY_DAYS, &certificate));
    if (X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) != 1)
        return fail(OUT_OF_MEMORY);
    TRY(authority_extend(certificate));
    if (X509_sign(certificate, key, EVP_sha256()) == 0)
        return fail_openssl("sign certificate");
    TRY(key_der(key, &der));
    TRY(certificate_pem(certificate, pem));
    *ret_key = TAKE(der);
    return OK;
}

/* Built from parts, not from a configuration string, so that a host cannot smuggle in another name. */
static struct mg_status
names_add(X509 *leaf, const char *const *hosts, size_t host_count)
{
    OWN_GENERAL_NAMES names = sk_GENERAL_NAME_new_null();
    if (names == NULL)
        return fail(OUT_OF_MEMORY);
    for (size_t i = 0; i < host_count; i++) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();
        if (name == NULL || text == NULL || ASN1_STRING_set(text, hosts[i], -1) != 1 ||
            sk_GENERAL_NAME_push(names, name) == 0) {
            GENERAL_NAME_free(name);
            ASN1_IA5STRING_free(text);
            return fail(OUT_OF_MEMORY);
        }
        GENERAL_NAME_set0_value(name, GEN_DNS, text);
    }
    if (X509_add1_ext_i2d(leaf, NID_subject_alt_name, names, 0, 0) != 1)
        return fail_openssl("names");
    return OK;
}

bool
mg_demo_host_is_local(const char *host)
{
    if (!mg_host_is_valid(mg_view_text(host)))
        return false;
    static const char suffix[] = ".localhost";
    const size_t length = strlen(host);
    const size_t tail = sizeof suffix - 1;
    return strcmp(host, "localhost") == 0 || (length > tail && strcmp(host + length - tail, suffix) == 0);
}

static struct mg_status
hosts_check(const char *const *hosts, size_t host_count)
{
    if (host_count == 0)
        return fail_with(INVALID, "demo certificate: no host");
    for (size_t i = 0; i < host_count; i++)
        if (!mg_demo_host_is_local(hosts[i]))
            return fail_with(
                REFUSED, "demo certificate: %s is not under localhost; set tls.certificate for it", hosts[i]);
    return OK;
}

static struct mg_status
authority_load(struct mg_view pem, struct mg_view der, X509 **ret_certificate, EVP_PKEY **ret_key)
{
    OWN_BIO bio = BIO_new_mem_buf(pem.bytes, (int) pem.length);
    OWN_X509 certificate = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    const uint8_t *at = der.bytes;
    OWN_PKEY key = d2i_AutoPrivateKey(NULL, &at, (long) der.length);
    if (certificate == NULL || key == NULL || X509_check_private_key(certificate, key) != 1)
        return fail_openssl("demo authority and its key");
    *ret_certificate = TAKE(certificate);
    *ret_key = TAKE(key);
    return OK;
}

static struct mg_status
leaf_extend(X509 *leaf, X509 *authority, const char *const *hosts, size_t host_count)
{
    TRY(extension_add(leaf, authority, NID_basic_constraints, "critical,CA:FALSE"));
    TRY(extension_add(leaf, authority, NID_key_usage, "critical,digitalSignature"));
    TRY(extension_add(leaf, authority, NID_ext_key_usage, "serverAuth"));
    TRY(extension_add(leaf, authority, NID_subject_key_identifier, "hash"));
    TRY(extension_add(leaf, authority, NID_authority_key_identifier, "keyid"));
    return names_add(leaf, hosts, host_count);
}

struct mg_status
mg_demo_leaf_new(struct mg_view authority_pem, struct mg_view authority_key, const char *const *hosts,
                 size_t host_count, mg_instant now, struct mg_buffer *chain_pem,
                 struct mg_secret **ret_key_pem)
{
    OWN_X509 authority = NULL;
    OWN_X509 leaf = NULL;
    OWN_PKEY signer = NULL;
    OWN_PKEY key = NULL;
    OWN(secret) pem = NULL;
    TRY(hosts_check(hosts, host_count));
    TRY(authority_load(authority_pem, authority_key, &authority, &signer));
    key = EVP_EC_gen("P-256");
    if (key == NULL)
        return fail_openssl("make key");
    TRY(certificate_start(key, "Masugata demo", now, LEAF_DAYS, &leaf));
    if (X509_set_issuer_name(leaf, X509_get_subject_name(authority)) != 1)
        return fail(OUT_OF_MEMORY);
    TRY(leaf_extend(leaf, authority, hosts, host_count));
    if (X509_sign(leaf, signer, EVP_sha256()) == 0)
        return fail_openssl("sign certificate");
    TRY(key_pem(key, &pem));
    TRY(certificate_pem(leaf, chain_pem));
    *ret_key_pem = TAKE(pem);
    return OK;
}

/* ---- keeping them ---- */

struct demo_paths {
    char authority[MG_PATH], authority_key[MG_PATH], authority_sealed[MG_PATH], leaf[MG_PATH],
        leaf_key[MG_PATH];
};

static struct mg_status
paths_fill(const struct mg_demo_tls *demo, struct demo_paths *paths)
{
    TRY(mg_path_join(paths->authority, demo->tls_directory, "demo-ca.pem"));
    TRY(mg_path_join(paths->authority_sealed, demo->tls_directory, "demo-ca.key.sealed"));
    TRY(mg_path_join(paths->authority_key, demo->runtime_directory, "demo-ca.key"));
    TRY(mg_path_join(paths->leaf, demo->tls_directory, "demo.pem"));
    return mg_path_join(paths->leaf_key, demo->runtime_directory, "demo.key");
}

static struct mg_status
authority_key_read(const struct mg_demo_tls *demo, const struct demo_paths *paths, struct mg_secret **ret_key)
{
    OWN_BUFFER(bytes, MG_CERTIFICATE_KEY_MOST);
    TRY(mg_file_read(demo->sealer == NULL ? paths->authority_key : paths->authority_sealed, &bytes));
    if (demo->sealer == NULL)
        return mg_secret_copy(mg_buffer_view(&bytes), ret_key);
    return demo->sealer->unseal(demo->sealer->context, mg_buffer_view(&bytes), ret_key);
}

static struct mg_status
authority_key_write(const struct mg_demo_tls *demo, const struct demo_paths *paths,
                    const struct mg_secret *key)
{
    if (demo->sealer == NULL)
        return mg_file_replace(paths->authority_key, mg_secret_view(key), 0400);
    OWN_BUFFER(sealed, MG_CERTIFICATE_KEY_MOST);
    TRY(demo->sealer->seal(demo->sealer->context, mg_secret_view(key), &sealed));
    return mg_file_replace(paths->authority_sealed, mg_buffer_view(&sealed), 0600);
}

/* The authority there is, or a new one if it is missing, damaged or near its end. */
static struct mg_status
authority_ensure(const struct mg_demo_tls *demo, const struct demo_paths *paths, struct mg_buffer *pem,
                 struct mg_secret **ret_key)
{
    OWN(secret) key = NULL;
    struct mg_certificate_facts facts;
    const struct mg_status found = mg_file_read(paths->authority, pem);
    if (mg_ok(found) && mg_ok(authority_key_read(demo, paths, &key))) {
        OWN_X509 certificate = NULL;
        OWN_PKEY pair = NULL;
        if (mg_ok(authority_load(mg_buffer_view(pem), mg_secret_view(key), &certificate, &pair)) &&
            mg_ok(mg_certificate_check(mg_buffer_view(pem), MG_VIEW_EMPTY, NULL, 0,
                                       demo->now + (LEAF_DAYS + 1) * DAY_S * 1000, &facts))) {
            *ret_key = TAKE(key);
            return OK;
        }
    }
    mg_buffer_clear(pem);
    mg_secret_drop(&key);
    TRY(mg_demo_authority_new(demo->now, pem, &key));
    TRY(authority_key_write(demo, paths, key));
    TRY(mg_file_replace(paths->authority, mg_buffer_view(pem), 0644));
    *ret_key = TAKE(key);
    return OK;
}

static bool
leaf_serves(const struct mg_demo_tls *demo, const struct demo_paths *paths)
{
    OWN_BUFFER(authority, MG_CERTIFICATE_CHAIN_MOST);
    OWN_BUFFER(chain, MG_CERTIFICATE_CHAIN_MOST);
    OWN_BUFFER(key, MG_CERTIFICATE_KEY_MOST);
    struct mg_certificate_facts facts;
    if (!mg_ok(mg_file_read(paths->authority, &authority)) || !mg_ok(mg_file_read(paths->leaf, &chain)) ||
        !mg_ok(mg_file_read(paths->leaf_key, &key)))
        return false;
    /* Leaf and authority as one chain: the signature is checked along with the rest. */
    return mg_ok(mg_buffer_add(&chain, mg_buffer_view(&authority))) &&
           mg_ok(mg_certificate_check(mg_buffer_view(&chain), mg_buffer_view(&key), demo->hosts,
                                      demo->host_count, demo->now, &facts)) &&
           demo->now + RENEW_DAYS * DAY_S * 1000 < facts.not_after;
}

struct mg_status
mg_demo_tls_ensure(const struct mg_demo_tls *demo, bool *ret_changed)
{
    struct demo_paths paths;
    TRY(hosts_check(demo->hosts, demo->host_count));
    TRY(paths_fill(demo, &paths));
    TRY(mg_directory_make(demo->tls_directory, 0755));
    TRY(mg_directory_make(demo->runtime_directory, 0700));
    if (leaf_serves(demo, &paths)) {
        *ret_changed = false;
        return OK;
    }
    OWN_BUFFER(authority, MG_CERTIFICATE_CHAIN_MOST);
    OWN_BUFFER(chain, MG_CERTIFICATE_CHAIN_MOST);
    OWN(secret) authority_key = NULL;
    OWN(secret) leaf_key = NULL;
    TRY(authority_ensure(demo, &paths, &authority, &authority_key));
    TRY(mg_demo_leaf_new(mg_buffer_view(&authority), mg_secret_view(authority_key), demo->hosts,
                         demo->host_count, demo->now, &chain, &leaf_key));
    TRY(mg_file_replace_owned(paths.leaf_key, mg_secret_view(leaf_key), 0400, demo->key_uid, (gid_t) -1));
    TRY(mg_file_replace(paths.leaf, mg_buffer_view(&chain), 0644));
    *ret_changed = true;
    return OK;
}
