#include "ports/self_signed.h"

#include <stdio.h>

enum { NAME_MOST = 64, BACKDATE_S = 3600 };

static bool
serial_set(X509 *certificate)
{
    uint8_t serial[16];
    mg_random(serial, sizeof serial);
    serial[0] &= 0x7F; /* positive */
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    const bool numbered =
        number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return numbered;
}

static bool
host_set(X509 *certificate, const char *host)
{
    char value[300];
    if (host == NULL)
        return true;
    (void) snprintf(value, sizeof value, "DNS:%.255s", host);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, value);
    const bool added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool
certificate_fill(X509 *certificate, EVP_PKEY *key, struct mg_view name, const char *host, mg_instant now,
                 int days)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    const struct mg_view cut = mg_view_start(name, NAME_MOST);
    const time_t start = (time_t) (now / 1000) - BACKDATE_S;
    return serial_set(certificate) && X509_set_version(certificate, X509_VERSION_3) == 1 &&
           ASN1_TIME_set(X509_getm_notBefore(certificate), start) != NULL &&
           ASN1_TIME_adj(X509_getm_notAfter(certificate), start, days, 0) != NULL &&
           X509_set_pubkey(certificate, key) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, cut.bytes, (int) cut.length, -1, 0) ==
               1 &&
           X509_set_issuer_name(certificate, subject) == 1 && host_set(certificate, host) &&
           X509_sign(certificate, key, EVP_sha256()) > 0;
}

struct mg_status
mg_self_signed(EVP_PKEY *key, struct mg_view name, const char *host, mg_instant now, int days,
               struct mg_buffer *der)
{
    OWN_X509 certificate = X509_new();
    if (certificate == NULL || !certificate_fill(certificate, key, name, host, now, days))
        return fail_openssl("make a certificate");
    const int length = i2d_X509(certificate, NULL);
    if (length <= 0)
        return fail_openssl("write a certificate");
    TRY(mg_buffer_reserve(der, (size_t) length));
    uint8_t *cursor = der->bytes + der->length;
    (void) i2d_X509(certificate, &cursor);
    der->length += (size_t) length;
    return OK;
}
