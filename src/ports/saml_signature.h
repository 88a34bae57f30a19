/* XML signatures of identity providers (XML Signature 1.1), the narrow part that SAML needs (Core
 * section 5.4): one enveloped signature over the element that it stands in, exclusive canonicalisation,
 * SHA-2, RSA of 2048 bits and more or ECDSA on a NIST curve, keys from the provider's certificates alone.
 * There is no code here for HMAC, SHA-1, XPath, XSLT, references elsewhere, or keys that a message brings
 * along, so no setting can switch them on. */
#ifndef MG_PORTS_SAML_SIGNATURE_H
#define MG_PORTS_SAML_SIGNATURE_H

#include "base/time.h"
#include "domain/federation_refusal.h"
#include "ports/saml_xml.h"

#define MG_SAML_CERTIFICATES_MOST 16

struct mg_saml_keys;
void mg_saml_keys_drop(struct mg_saml_keys **keys);
/* From DER in base64, words. CERTIFICATE unless at least one may be used at `now`; which may not is told in
 * `detail`. */
CHECKED struct mg_status mg_saml_keys_read(struct mg_view certificates, mg_instant now,
                                           struct mg_saml_keys **ret_keys,
                                           enum mg_federation_refusal *ret_refusal, char detail[256]);
/* One certificate a line for people: key, dates, SHA-256. *ret_first: the first end among those that are
 * valid (or the last end of all, when none is). */
CHECKED struct mg_status mg_saml_keys_describe(struct mg_view certificates, mg_instant now,
                                               struct mg_buffer *text, mg_instant *ret_first,
                                               mg_instant *ret_last);

struct mg_saml_signed {
    char algorithm[64]; /* "rsa-sha256" */
    char key[80];       /* the certificate's SHA-256 in hexadecimal */
};
/* Checks the signature that is a child of `element` and covers it whole; *canonical is then what was signed,
 * without the signature. TOKEN_UNSIGNED if there is none. Anything but NONE leaves `canonical` without
 * meaning. */
CHECKED struct mg_status mg_saml_verify(const struct mg_xml *xml, const xmlNode *element,
                                        const struct mg_saml_keys *keys, struct mg_buffer *canonical,
                                        struct mg_saml_signed *ret_signed,
                                        enum mg_federation_refusal *ret_refusal, char detail[128]);
/* The signature of the redirect binding over `input`, with the algorithm's URI. */
enum mg_federation_refusal mg_saml_verify_bytes(const struct mg_saml_keys *keys, const char *algorithm,
                                                struct mg_view input, struct mg_view signature,
                                                struct mg_saml_signed *ret_signed);

#endif
