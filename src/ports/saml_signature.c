#include "ports/saml_signature.h"

#include "ports/openssl.h"
#include "wire/options.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RSA_BITS_LEAST = 2048,
    RSA_BITS_MOST = 8192,
    CERTIFICATE_MOST = 8192,
    SIGNATURE_MOST = RSA_BITS_MOST / 8
};

#define MORE "http://www.w3.org/2001/04/xmldsig-more#"
#define EXCLUSIVE "http://www.w3.org/2001/10/xml-exc-c14n#"
#define ENVELOPED MG_NS_DSIG "enveloped-signature"

/* The allow lists. */
static const struct method {
    const char *uri, *name, *digest;
    int key; /* EVP_PKEY_RSA or EVP_PKEY_EC: an algorithm meets one kind of key */
} methods[] = {
    {MORE "rsa-sha256", "rsa-sha256", "SHA256", EVP_PKEY_RSA},
    {MORE "rsa-sha384", "rsa-sha384", "SHA384", EVP_PKEY_RSA},
    {MORE "rsa-sha512", "rsa-sha512", "SHA512", EVP_PKEY_RSA},
    {MORE "ecdsa-sha256", "ecdsa-sha256", "SHA256", EVP_PKEY_EC},
    {MORE "ecdsa-sha384", "ecdsa-sha384", "SHA384", EVP_PKEY_EC},
    {MORE "ecdsa-sha512", "ecdsa-sha512", "SHA512", EVP_PKEY_EC},
};
static const struct digest {
    const char *uri, *name;
} digests[] = {
    {MG_NS_XENC "sha256", "SHA256"},
    {MORE "sha384", "SHA384"},
    {MG_NS_XENC "sha512", "SHA512"},
};

struct key {
    EVP_PKEY *key;
    char id[80];
};
struct mg_saml_keys {
    size_t count;
    struct key keys[MG_SAML_CERTIFICATES_MOST];
};

void
mg_saml_keys_drop(struct mg_saml_keys **keys)
{
    if (*keys == NULL)
        return;
    for (size_t i = 0; i < (*keys)->count; i++)
        EVP_PKEY_free((*keys)->keys[i].key);
    free(*keys);
    *keys = NULL;
}

/* ---- certificates ---- */

struct certificate {
    X509 *x509;
    EVP_PKEY *key; /* borrowed */
    char id[80];
    const char *kind;
    int bits;
    mg_instant not_before, not_after;
    bool strong;
};

static void
certificate_drop(struct certificate *it)
{
    X509_free(it->x509);
    it->x509 = NULL;
}

static bool
time_read(const ASN1_TIME *time, mg_instant *ret_at)
{
    struct tm parts = {0};
    if (time == NULL || ASN1_TIME_to_tm(time, &parts) != 1)
        return false;
    *ret_at = (mg_instant) timegm(&parts) * 1000;
    return true;
}

/* False for what is no certificate with a key of a kind that signs. */
static bool
certificate_read(struct mg_view der, struct certificate *it)
{
    uint8_t hash[32];
    const uint8_t *cursor = der.bytes;
    it->x509 = d2i_X509(NULL, &cursor, (long) der.length);
    if (it->x509 == NULL || cursor != der.bytes + der.length)
        return false;
    it->key = X509_get0_pubkey(it->x509);
    if (it->key == NULL || !time_read(X509_get0_notBefore(it->x509), &it->not_before) ||
        !time_read(X509_get0_notAfter(it->x509), &it->not_after) ||
        SHA256(der.bytes, der.length, hash) == NULL)
        return false;
    mg_hex(mg_view_of(hash, sizeof hash), it->id);
    it->bits = EVP_PKEY_get_bits(it->key);
    const int kind = EVP_PKEY_get_base_id(it->key);
    it->kind = kind == EVP_PKEY_RSA ? "RSA" : kind == EVP_PKEY_EC ? "EC" : "";
    it->strong = kind == EVP_PKEY_RSA ? it->bits >= RSA_BITS_LEAST && it->bits <= RSA_BITS_MOST
                                      : kind == EVP_PKEY_EC && it->bits >= 256 && it->bits <= 521;
    return true;
}

/* The next word as a certificate; false at the end. *ret_good tells whether it is one. */
static bool
certificate_next(struct mg_view *words, struct certificate *it, bool *ret_good)
{
    OWN_BUFFER(der, CERTIFICATE_MOST);
    while (words->length != 0 && words->bytes[0] == ' ')
        *words = mg_view_of(words->bytes + 1, words->length - 1);
    if (words->length == 0)
        return false;
    const uint8_t *end = memchr(words->bytes, ' ', words->length);
    const size_t length = end == NULL ? words->length : (size_t) (end - words->bytes);
    *it = (struct certificate){.kind = ""};
    *ret_good = mg_ok(mg_base64_decode(mg_view_of(words->bytes, length), &der)) &&
                certificate_read(mg_buffer_view(&der), it);
    *words = mg_view_of(words->bytes + length, words->length - length);
    ERR_clear_error();
    return true;
}

static const char *
fault_of(const struct certificate *it, bool good, mg_instant now)
{
    return !good                  ? "CERTIFICATE_FORM|"
           : !it->strong          ? "CERTIFICATE_WEAK|"
           : now < it->not_before ? "CERTIFICATE_EARLY|"
           : now >= it->not_after ? "CERTIFICATE_EXPIRED|"
                                  : NULL;
}

struct mg_status
mg_saml_keys_read(struct mg_view certificates, mg_instant now, struct mg_saml_keys **ret_keys,
                  enum mg_federation_refusal *ret_refusal, char detail[256])
{
    OWN(saml_keys) keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return fail(OUT_OF_MEMORY);
    (void) snprintf(detail, 256, "CERTIFICATE_NONE|");
    for (bool good = false;;) {
        MG_CLEANUP(certificate_drop) struct certificate it = {.kind = ""};
        if (keys->count == MG_SAML_CERTIFICATES_MOST || !certificate_next(&certificates, &it, &good))
            break;
        const char *fault = fault_of(&it, good, now);
        if (fault != NULL) {
            (void) snprintf(detail, 256, "CERTIFICATE_FAULT|%.16s|%s", it.id, fault);
            continue;
        }
        struct key *key = &keys->keys[keys->count];
        if (EVP_PKEY_up_ref(it.key) != 1)
            return fail_openssl("certificate");
        key->key = it.key;
        memcpy(key->id, it.id, sizeof key->id);
        keys->count++;
    }
    *ret_refusal = keys->count == 0 ? MG_FEDERATION_CERTIFICATE : MG_FEDERATION_NONE;
    *ret_keys = TAKE(keys);
    return OK;
}

struct mg_status
mg_saml_keys_describe(struct mg_view certificates, mg_instant now, struct mg_buffer *text,
                      mg_instant *ret_first, mg_instant *ret_last)
{
    mg_instant first = INT64_MAX, last = 0;
    for (bool good = false;;) {
        MG_CLEANUP(certificate_drop) struct certificate it = {.kind = ""};
        char until[MG_INSTANT_TEXT];
        if (!certificate_next(&certificates, &it, &good))
            break;
        const char *fault = fault_of(&it, good, now);
        mg_instant_text(it.not_after, until);
        TRY(mg_buffer_format(text, "%sCERTIFICATE_%s|%s|%d|%.10s|%.64s%s%s", text->length == 0 ? "" : "\n",
                             fault == NULL ? "IS" : "IS_NOT", it.kind, it.bits, until, it.id,
                             fault == NULL ? "" : "|", fault == NULL ? "" : fault));
        if (good && it.not_after > last)
            last = it.not_after;
        if (fault == NULL && it.not_after < first)
            first = it.not_after;
    }
    *ret_first = first == INT64_MAX ? last : first;
    *ret_last = last;
    return OK;
}

/* ---- values of signatures ---- */

static void
digest_drop(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
    *context = NULL;
}

static void
ecdsa_drop(ECDSA_SIG **signature)
{
    ECDSA_SIG_free(*signature);
    *signature = NULL;
}

/* XML Signature 1.1 section 6.4.3: r and s of the curve's length each; OpenSSL wants DER. */
static bool
der_make(const EVP_PKEY *key, struct mg_view raw, uint8_t der[160], size_t *ret_length)
{
    const size_t half = (size_t) (EVP_PKEY_get_bits(key) + 7) / 8;
    if (raw.length != 2 * half)
        return false;
    MG_CLEANUP(ecdsa_drop) ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.bytes, (int) half, NULL), *s = BN_bin2bn(raw.bytes + half, (int) half, NULL);
    if (signature == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return false;
    }
    uint8_t *cursor = der;
    const int length = i2d_ECDSA_SIG(signature, NULL);
    if (length <= 0 || length > 160 || i2d_ECDSA_SIG(signature, &cursor) != length)
        return false;
    *ret_length = (size_t) length;
    return true;
}

static bool
key_verifies(EVP_PKEY *key, const struct method *method, struct mg_view input, struct mg_view value)
{
    uint8_t der[160];
    size_t length = 0;
    EVP_PKEY_CTX *options = NULL; /* the digest's */
    if (EVP_PKEY_get_base_id(key) != method->key)
        return false;
    if (method->key == EVP_PKEY_EC) {
        if (!der_make(key, value, der, &length))
            return false;
        value = mg_view_of(der, length);
    }
    MG_CLEANUP(digest_drop) EVP_MD_CTX *context = EVP_MD_CTX_new();
    return context != NULL &&
           EVP_DigestVerifyInit_ex(context, &options, method->digest, NULL, NULL, key, NULL) == 1 &&
           (method->key != EVP_PKEY_RSA || EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PADDING) == 1) &&
           EVP_DigestVerify(context, value.bytes, value.length, input.bytes, input.length) == 1;
}

static const struct method *
method_find(const char *uri)
{
    for (size_t i = 0; i < MG_COUNT(methods); i++)
        if (strcmp(uri, methods[i].uri) == 0)
            return &methods[i];
    return NULL;
}

enum mg_federation_refusal
mg_saml_verify_bytes(const struct mg_saml_keys *keys, const char *algorithm, struct mg_view input,
                     struct mg_view signature, struct mg_saml_signed *ret_signed)
{
    const struct method *method = method_find(algorithm);
    if (method == NULL)
        return MG_FEDERATION_TOKEN_ALGORITHM;
    (void) snprintf(ret_signed->algorithm, sizeof ret_signed->algorithm, "%s", method->name);
    enum mg_federation_refusal refusal = MG_FEDERATION_TOKEN_SIGNATURE;
    for (size_t i = 0; i < keys->count && refusal != MG_FEDERATION_NONE; i++) {
        if (!key_verifies(keys->keys[i].key, method, input, signature))
            continue;
        memcpy(ret_signed->key, keys->keys[i].id, sizeof ret_signed->key);
        refusal = MG_FEDERATION_NONE;
    }
    ERR_clear_error();
    return refusal;
}

/* ---- signatures in XML ---- */

/* A method's algorithm, and the prefixes of its InclusiveNamespaces; false if there is anything else in it.
 */
static bool
transform_read(const xmlNode *node, char algorithm[128], char prefixes[256])
{
    size_t count = 0;
    prefixes[0] = '\0';
    if (node == NULL || !mg_xml_attribute(node, "Algorithm", algorithm, 128))
        return false;
    const xmlNode *inclusive = mg_xml_child(node, EXCLUSIVE, "InclusiveNamespaces", &count);
    if (count > 1 || (count == 1 && strcmp(algorithm, EXCLUSIVE) != 0))
        return false;
    for (const xmlNode *child = node->children; child != NULL; child = child->next)
        if (child->type == XML_ELEMENT_NODE && child != inclusive)
            return false;
    return mg_xml_attribute(inclusive, "PrefixList", prefixes, 256);
}

/* One child of the Signature of each kind that may be there; KeyInfo is not looked into. */
static bool
shape_is_right(const xmlNode *signature)
{
    size_t information = 0;
    if (mg_xml_only(signature, MG_NS_DSIG, "SignedInfo") == NULL ||
        mg_xml_only(signature, MG_NS_DSIG, "SignatureValue") == NULL)
        return false;
    for (const xmlNode *child = signature->children; child != NULL; child = child->next) {
        if (child->type != XML_ELEMENT_NODE)
            continue;
        information += mg_xml_is(child, MG_NS_DSIG, "KeyInfo");
        if (!mg_xml_is(child, MG_NS_DSIG, "SignedInfo") && !mg_xml_is(child, MG_NS_DSIG, "SignatureValue") &&
            !mg_xml_is(child, MG_NS_DSIG, "KeyInfo"))
            return false; /* an Object may hold anything */
    }
    return information <= 1;
}

struct check {
    const struct mg_xml *xml;
    const xmlNode *element, *signature;
    char *detail;
};

static enum mg_federation_refusal
refuse(const struct check *it, enum mg_federation_refusal refusal, const char *what)
{
    (void) snprintf(it->detail, 128, "%.127s", what);
    return refusal;
}

/* The transforms take the signature out and canonicalise, and nothing else. */
static enum mg_federation_refusal
transforms_check(const struct check *it, const xmlNode *reference, char prefixes[256])
{
    char algorithm[128], unused[256];
    const xmlNode *list = mg_xml_only(reference, MG_NS_DSIG, "Transforms");
    const xmlNode *first = list == NULL ? NULL : mg_xml_child(list, MG_NS_DSIG, "Transform", NULL);
    const xmlNode *second = first == NULL ? NULL : mg_xml_next(first, MG_NS_DSIG, "Transform");
    if (second == NULL || mg_xml_next(second, MG_NS_DSIG, "Transform") != NULL)
        return refuse(it, MG_FEDERATION_TOKEN_ALGORITHM, "Transforms");
    if (!transform_read(first, algorithm, unused) || strcmp(algorithm, ENVELOPED) != 0)
        return refuse(it, MG_FEDERATION_TOKEN_ALGORITHM, algorithm);
    if (!transform_read(second, algorithm, prefixes) || strcmp(algorithm, EXCLUSIVE) != 0)
        return refuse(it, MG_FEDERATION_TOKEN_ALGORITHM, algorithm);
    return MG_FEDERATION_NONE;
}

/* The reference names the element that the signature stands in, whichever that is: nothing is looked up. */
static bool
reference_is_here(const struct check *it, const xmlNode *reference)
{
    char uri[160], identifier[128];
    if (!mg_xml_attribute(reference, "URI", uri, sizeof uri) ||
        !mg_xml_attribute(it->element, "ID", identifier, sizeof identifier) || identifier[0] == '\0')
        return false;
    return uri[0] == '#' && strcmp(uri + 1, identifier) == 0;
}

static CHECKED struct mg_status
digest_check(const struct check *it, const xmlNode *reference, const char *prefixes,
             struct mg_buffer *canonical, enum mg_federation_refusal *ret_refusal)
{
    char algorithm[128], unused[256];
    uint8_t made[EVP_MAX_MD_SIZE];
    size_t length = 0;
    const struct digest *digest = NULL;
    OWN_BUFFER(stated, EVP_MAX_MD_SIZE);
    if (!transform_read(mg_xml_only(reference, MG_NS_DSIG, "DigestMethod"), algorithm, unused))
        algorithm[0] = '\0';
    for (size_t i = 0; i < MG_COUNT(digests); i++)
        if (strcmp(algorithm, digests[i].uri) == 0)
            digest = &digests[i];
    if (digest == NULL) {
        *ret_refusal = refuse(it, MG_FEDERATION_TOKEN_ALGORITHM, algorithm);
        return OK;
    }
    *ret_refusal = refuse(it, MG_FEDERATION_TOKEN_SIGNATURE, "DigestValue");
    if (!mg_ok(mg_xml_base64(mg_xml_only(reference, MG_NS_DSIG, "DigestValue"), &stated)))
        return OK;
    TRY(mg_xml_canonical(it->xml, it->element, it->signature, prefixes, canonical));
    if (EVP_Q_digest(NULL, digest->name, NULL, canonical->bytes, canonical->length, made, &length) != 1)
        return fail_openssl("digest");
    if (mg_view_equal_constant_time(mg_buffer_view(&stated), mg_view_of(made, length)))
        *ret_refusal = MG_FEDERATION_NONE;
    return OK;
}

/* SignedInfo as it was signed: its canonical bytes, read again. */
static CHECKED struct mg_status
information_read(const struct check *it, struct mg_buffer *bytes, struct mg_xml *ret_xml,
                 enum mg_federation_refusal *ret_refusal)
{
    char algorithm[128], prefixes[256];
    const xmlNode *information = mg_xml_only(it->signature, MG_NS_DSIG, "SignedInfo");
    const xmlNode *method = mg_xml_only(information, MG_NS_DSIG, "CanonicalizationMethod");
    if (!transform_read(method, algorithm, prefixes) || strcmp(algorithm, EXCLUSIVE) != 0) {
        *ret_refusal = refuse(it, MG_FEDERATION_TOKEN_ALGORITHM, "CanonicalizationMethod");
        return OK;
    }
    TRY(mg_xml_canonical(it->xml, information, NULL, prefixes, bytes));
    return mg_xml_parse(mg_buffer_view(bytes), false, ret_xml);
}

static CHECKED struct mg_status
signature_check(const struct check *it, const struct mg_saml_keys *keys, struct mg_buffer *canonical,
                struct mg_saml_signed *ret_signed, enum mg_federation_refusal *ret_refusal)
{
    OWN_XML(information);
    OWN_BUFFER(input, MG_XML_MOST);
    OWN_BUFFER(value, SIGNATURE_MOST);
    char algorithm[128], prefixes[256];
    *ret_refusal = MG_FEDERATION_NONE;
    TRY(information_read(it, &input, &information, ret_refusal));
    if (*ret_refusal != MG_FEDERATION_NONE)
        return OK;
    const xmlNode *root = xmlDocGetRootElement(information.document);
    const xmlNode *reference = mg_xml_only(root, MG_NS_DSIG, "Reference");
    *ret_refusal = refuse(it, MG_FEDERATION_TOKEN_FORM, "SignatureMethod");
    if (!transform_read(mg_xml_only(root, MG_NS_DSIG, "SignatureMethod"), algorithm, prefixes) ||
        !mg_ok(mg_xml_base64(mg_xml_only(it->signature, MG_NS_DSIG, "SignatureValue"), &value)))
        return OK;
    /* First the key, then what it vouches for. */
    *ret_refusal =
        mg_saml_verify_bytes(keys, algorithm, mg_buffer_view(&input), mg_buffer_view(&value), ret_signed);
    if (*ret_refusal != MG_FEDERATION_NONE) {
        (void) refuse(it, *ret_refusal, algorithm);
        return OK;
    }
    *ret_refusal = refuse(it, MG_FEDERATION_XML_WRAPPED, "Reference");
    if (reference == NULL || !reference_is_here(it, reference))
        return OK;
    *ret_refusal = transforms_check(it, reference, prefixes);
    return *ret_refusal != MG_FEDERATION_NONE ? OK
                                              : digest_check(it, reference, prefixes, canonical, ret_refusal);
}

/* Control: IDENTITY_03 */
struct mg_status
mg_saml_verify(const struct mg_xml *xml, const xmlNode *element, const struct mg_saml_keys *keys,
               struct mg_buffer *canonical, struct mg_saml_signed *ret_signed,
               enum mg_federation_refusal *ret_refusal, char detail[128])
{
    size_t count = 0;
    struct check it = {.xml = xml, .element = element, .detail = detail};
    detail[0] = '\0';
    it.signature = mg_xml_child(element, MG_NS_DSIG, "Signature", &count);
    *ret_refusal = MG_FEDERATION_TOKEN_UNSIGNED;
    if (count == 0)
        return OK;
    *ret_refusal = refuse(&it, MG_FEDERATION_XML_WRAPPED, "Signature");
    if (count != 1 || !shape_is_right(it.signature))
        return OK;
    const struct mg_status status = signature_check(&it, keys, canonical, ret_signed, ret_refusal);
    if (status.code == MG_MALFORMED || status.code == MG_TOO_LARGE) {
        *ret_refusal = refuse(&it, MG_FEDERATION_XML_FORM, status.detail);
        return OK;
    }
    return status;
}
