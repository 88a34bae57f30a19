#include "ports/certificate.h"

#include "base/io.h"
#include "ports/openssl.h"

#include <openssl/ct.h>
#include <openssl/pem.h>

#define CHAIN_MOST 8

/* ---- reading ---- */

/* A wrong passphrase prompt must never appear on a terminal. */
static int
no_passphrase(char *text, int size, int writing, void *context)
{
    (void) text;
    (void) size;
    (void) writing;
    (void) context;
    return -1;
}

static struct mg_status
chain_read(struct mg_view pem, STACK_OF(X509) * *ret_chain)
{
    if (pem.length > MG_CERTIFICATE_CHAIN_MOST)
        return fail_with(TOO_LARGE, "certificate chain of %zu bytes", pem.length);
    OWN_BIO bio = BIO_new_mem_buf(pem.bytes, (int) pem.length);
    OWN_X509_CHAIN chain = sk_X509_new_null();
    if (bio == NULL || chain == NULL)
        return fail(OUT_OF_MEMORY);
    for (;;) {
        OWN_X509 certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        if (certificate == NULL)
            break;
        if (sk_X509_num(chain) >= CHAIN_MOST)
            return fail_with(INVALID, "certificate chain: more than %d certificates", CHAIN_MOST);
        if (sk_X509_push(chain, certificate) == 0)
            return fail(OUT_OF_MEMORY);
        certificate = NULL;
    }
    const unsigned long error = ERR_peek_last_error();
    if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
        return fail_openssl("certificate chain");
    ERR_clear_error();
    if (sk_X509_num(chain) == 0)
        return fail_with(INVALID, "certificate file: no PEM certificate in it");
    *ret_chain = TAKE(chain);
    return OK;
}

static struct mg_status
key_read(struct mg_view bytes, EVP_PKEY **ret_key)
{
    if (bytes.length > MG_CERTIFICATE_KEY_MOST)
        return fail_with(TOO_LARGE, "private key of %zu bytes", bytes.length);
    OWN_BIO bio = BIO_new_mem_buf(bytes.bytes, (int) bytes.length);
    if (bio == NULL)
        return fail(OUT_OF_MEMORY);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    if (key == NULL)
        return fail_openssl("private key (PEM without passphrase)");
    *ret_key = key;
    return OK;
}

/* ---- judging ---- */

static mg_instant
instant_of(const ASN1_TIME *time)
{
    struct tm broken = {0};
    if (ASN1_TIME_to_tm(time, &broken) != 1)
        return 0;
    return (mg_instant) timegm(&broken) * 1000;
}

static void
name_text(const X509_NAME *name, char text[256])
{
    text[0] = '\0';
    OWN_BIO bio = BIO_new(BIO_s_mem());
    if (bio == NULL || X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) < 0)
        return;
    const int length = BIO_read(bio, text, 255);
    text[length > 0 ? length : 0] = '\0';
}

static unsigned
sct_count(const X509 *leaf)
{
    STACK_OF(SCT) *list = X509_get_ext_d2i(leaf, NID_ct_precert_scts, NULL, NULL);
    const int count = list == NULL ? 0 : sk_SCT_num(list);
    SCT_LIST_free(list);
    return count > 0 ? (unsigned) count : 0;
}

static bool
has_ocsp_address(X509 *leaf)
{
    STACK_OF(OPENSSL_STRING) *addresses = X509_get1_ocsp(leaf);
    const bool found = addresses != NULL && sk_OPENSSL_STRING_num(addresses) > 0;
    X509_email_free(addresses);
    return found;
}

static void
facts_fill(STACK_OF(X509) * chain, struct mg_certificate_facts *facts)
{
    X509 *leaf = sk_X509_value(chain, 0);
    X509 *last = sk_X509_value(chain, sk_X509_num(chain) - 1);
    const EVP_PKEY *key = X509_get0_pubkey(leaf);
    *facts = (struct mg_certificate_facts){0};
    name_text(X509_get_subject_name(leaf), facts->subject);
    name_text(X509_get_issuer_name(leaf), facts->issuer);
    const char *type = key == NULL ? NULL : EVP_PKEY_get0_type_name(key);
    (void) snprintf(facts->key_type, sizeof facts->key_type, "%s", type == NULL ? "unknown" : type);
    const char *signature = OBJ_nid2sn(X509_get_signature_nid(leaf));
    (void) snprintf(facts->signature, sizeof facts->signature, "%s",
                    signature == NULL ? "unknown" : signature);
    facts->key_bits = key == NULL ? 0 : (unsigned) EVP_PKEY_get_bits(key);
    facts->not_before = instant_of(X509_get0_notBefore(leaf));
    facts->not_after = instant_of(X509_get0_notAfter(leaf));
    facts->chain_length = (size_t) sk_X509_num(chain);
    facts->anchor_included = facts->chain_length > 1 && (X509_get_extension_flags(last) & EXFLAG_SS) != 0;
    facts->has_ocsp = has_ocsp_address(leaf);
    facts->must_staple = X509_get_ext_by_NID(leaf, NID_tlsfeature, -1) >= 0;
    facts->sct_count = sct_count(leaf);
}

static struct mg_status
strength_check(X509 *certificate, const char *which)
{
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    const int bits = key == NULL ? 0 : EVP_PKEY_get_bits(key);
    if (key == NULL)
        return fail_with(INVALID, "%s certificate: unreadable public key", which);
    if (EVP_PKEY_is_a(key, "RSA") ? bits < 2048 : EVP_PKEY_is_a(key, "EC") ? bits < 256 : true)
        return fail_with(INVALID, "%s certificate: %s key of %d bits; use ECDSA P-256 or RSA 2048 and more",
                         which, EVP_PKEY_get0_type_name(key), bits);
    int digest = NID_undef;
    if ((X509_get_extension_flags(certificate) & EXFLAG_SS) != 0)
        return OK; /* nobody relies on the signature of an anchor */
    if (X509_get_signature_info(certificate, &digest, NULL, NULL, NULL) != 1 ||
        (digest != NID_sha256 && digest != NID_sha384 && digest != NID_sha512))
        return fail_with(INVALID, "%s certificate: signed with %s; SHA-256 or better is needed", which,
                         OBJ_nid2sn(X509_get_signature_nid(certificate)));
    return OK;
}

/* RFC 8446 section 4.4.2: the leaf first, each following one certifies the one before. */
static struct mg_status
chain_check(STACK_OF(X509) * chain)
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *certificate = sk_X509_value(chain, i);
        TRY(strength_check(certificate, i == 0 ? "server" : "chain"));
        if (i + 1 == sk_X509_num(chain))
            break;
        X509 *issuer = sk_X509_value(chain, i + 1);
        char name[256];
        name_text(X509_get_subject_name(issuer), name);
        if (X509_check_issued(issuer, certificate) != X509_V_OK ||
            X509_verify(certificate, X509_get0_pubkey(issuer)) != 1) {
            ERR_clear_error();
            return fail_with(INVALID,
                             "certificate chain: number %d (%s) did not issue the one before it; "
                             "put the server certificate first, then its issuers in order",
                             i + 2, name);
        }
    }
    return OK;
}

static struct mg_status
validity_check(const struct mg_certificate_facts *facts, mg_instant now)
{
    char moment[MG_INSTANT_TEXT];
    if (now < facts->not_before) {
        mg_instant_text(facts->not_before, moment);
        return fail_with(INVALID, "certificate: not valid before %s", moment);
    }
    if (now >= facts->not_after) {
        mg_instant_text(facts->not_after, moment);
        return fail_with(INVALID, "certificate: expired at %s", moment);
    }
    return OK;
}

static struct mg_status
names_check(X509 *leaf, const char *const *hosts, size_t host_count)
{
    for (size_t i = 0; i < host_count; i++)
        if (X509_check_host(leaf, hosts[i], 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) != 1)
            return fail_with(INVALID, "certificate: does not name the host %s", hosts[i]);
    return OK;
}

struct mg_status
mg_certificate_check(struct mg_view chain_pem, struct mg_view key_pem, const char *const *hosts,
                     size_t host_count, mg_instant now, struct mg_certificate_facts *ret_facts)
{
    OWN_X509_CHAIN chain = NULL;
    TRY(chain_read(chain_pem, &chain));
    X509 *leaf = sk_X509_value(chain, 0);
    struct mg_certificate_facts facts;
    facts_fill(chain, &facts);
    if (X509_check_ca(leaf) == 1 && facts.chain_length > 1)
        return fail_with(INVALID, "certificate chain: the first one is an authority; put the server's first");
    TRY(chain_check(chain));
    TRY(validity_check(&facts, now));
    TRY(names_check(leaf, hosts, host_count));
    if (key_pem.length > 0) {
        OWN_PKEY key = NULL;
        TRY(key_read(key_pem, &key));
        if (X509_check_private_key(leaf, key) != 1) {
            ERR_clear_error();
            return fail_with(INVALID, "private key: does not belong to the certificate %s", facts.subject);
        }
    }
    *ret_facts = facts;
    return OK;
}

struct mg_status
mg_certificate_summary(struct mg_view chain_pem, char text[MG_CERTIFICATE_SUMMARY])
{
    OWN_X509_CHAIN chain = NULL;
    struct mg_certificate_facts facts;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    char until[MG_INSTANT_TEXT], hex[2 * EVP_MAX_MD_SIZE + 1];
    TRY(chain_read(chain_pem, &chain));
    facts_fill(chain, &facts);
    if (X509_digest(sk_X509_value(chain, 0), EVP_sha256(), digest, &length) != 1)
        return fail_openssl("certificate digest");
    mg_hex(mg_view_of(digest, length), hex);
    mg_instant_text(facts.not_after, until);
    (void) snprintf(text, MG_CERTIFICATE_SUMMARY, "%s until %s sha256:%s", facts.subject, until, hex);
    return OK;
}

struct mg_status
mg_certificate_install(struct mg_view chain_pem, struct mg_view key_pem, const char *const *hosts,
                       size_t host_count, mg_instant now, const char *chain_path, const char *key_path,
                       uid_t uid)
{
    struct mg_certificate_facts facts;
    if (key_pem.length == 0)
        return fail_with(INVALID, "private key: the file is empty");
    TRY(mg_certificate_check(chain_pem, key_pem, hosts, host_count, now, &facts));
    TRY(mg_file_replace_owned(key_path, key_pem, 0400, uid, (gid_t) -1));
    return mg_file_replace(chain_path, chain_pem, 0644);
}
