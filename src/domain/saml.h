/* SAML 2.0, our side as a service provider: what the facts of a verified message mean, and the messages that
 * we send ourselves. Signatures have been checked by then (ports/saml_read.h, in the federation process);
 * here the authority decides, with the time as an argument, and the keys process builds what it signs.
 *
 * Standards: SAML 2.0 Core, Bindings, Profiles (OASIS, 2005, with errata 05); Exclusive XML
 * Canonicalization 1.0; XML Signature 1.1. */
#ifndef MG_DOMAIN_SAML_H
#define MG_DOMAIN_SAML_H

#include "base/time.h"
#include "domain/federation_refusal.h"
#include "wire/messages.h"

#define MG_SAML_CLASSES_MOST 16
/* How old an assertion may be when it comes, besides its own end. */
#define MG_SAML_ASSERTION_AGE_S 600
/* How old a request or answer of a sign-out may be. */
#define MG_SAML_LOGOUT_AGE_S 300
#define MG_SAML_XML_MOST 8192 /* a message of ours */
#define MG_SAML_NAME_TRANSIENT "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"

/* All views borrowed. */
struct mg_saml_expected {
    struct mg_view issuer;                        /* the provider's entity id */
    struct mg_view entity;                        /* ours */
    struct mg_view consumer;                      /* our assertion consumer service */
    struct mg_view classes[MG_SAML_CLASSES_MOST]; /* of authentication: one of these */
    size_t class_count;
    int64_t skew_s;
    int64_t maximum_age_s; /* of the authentication; 0: any */
};

/* Core section 2, Profiles section 4.1.4.3: issuer, audience, recipient, destination, times, class. Whether
 * it was asked for is mg_saml_answer_judge's. */
enum mg_federation_refusal mg_saml_judge(const struct mg_record_saml_claims *claims,
                                         const struct mg_saml_expected *expected, mg_instant now);

/* Profiles section 4.1.5: an answer names the request of this very browser; what nobody asked for names none.
 * `request` is empty for what nobody asked for, which must be `allowed`. */
enum mg_federation_refusal mg_saml_answer_judge(const struct mg_record_saml_claims *claims,
                                                struct mg_view request, bool allowed);

/* A sign-out asked for by the provider (Core section 3.7.1). */
enum mg_federation_refusal mg_saml_logout_judge(const struct mg_reply_saml_logout *logout,
                                                struct mg_view issuer, struct mg_view destination,
                                                int64_t skew_s, mg_instant now);

/* How a content key was wrapped for us (XML Encryption 1.1 section 5.5): RSA-OAEP with this digest and mask.
 */
enum mg_saml_oaep {
    MG_SAML_OAEP_NONE = 0,
    MG_SAML_OAEP_SHA1,        /* both */
    MG_SAML_OAEP_SHA256,      /* SHA-256, its mask SHA-1 */
    MG_SAML_OAEP_SHA256_BOTH, /* both */
};

/* ---- what we send ---- */

enum mg_saml_kind {
    MG_SAML_AUTHN_REQUEST = 1,
    MG_SAML_LOGOUT_REQUEST,
    MG_SAML_LOGOUT_RESPONSE,
};

/* INVALID unless kind, identifiers and addresses are what such a message may hold. */
CHECKED struct mg_status mg_saml_fields_check(const struct mg_request_saml_sign *fields);
/* The message in exclusive canonical form, so that nobody needs to canonicalise it: `signature` (an element
 * in canonical form, or empty) stands behind the issuer. */
CHECKED struct mg_status mg_saml_message(const struct mg_request_saml_sign *fields, mg_instant now,
                                         struct mg_view signature, struct mg_buffer *xml);
/* SignedInfo over the message of that identifier, RSA with SHA-256. `standing_alone`: with its namespace, as
 * it is signed; else as it stands inside a Signature. */
CHECKED struct mg_status mg_saml_signed_info(struct mg_view identifier, const uint8_t digest[32],
                                             bool standing_alone, struct mg_buffer *xml);
CHECKED struct mg_status mg_saml_signature(struct mg_view identifier, const uint8_t digest[32],
                                           struct mg_view value, struct mg_buffer *xml);
/* The query of the redirect binding (Bindings section 3.4.4.1), without a signature. The message is in a
 * stored block of RFC 1951: nothing is compressed, so nothing tells of its length. */
CHECKED struct mg_status mg_saml_redirect_query(const struct mg_request_saml_sign *fields, struct mg_view xml,
                                                struct mg_buffer *query);
/* The same up to and with SigAlg: what is signed. */
CHECKED struct mg_status mg_saml_redirect_input(const struct mg_request_saml_sign *fields, struct mg_view xml,
                                                struct mg_buffer *query);

/* Our metadata at one provider (Metadata section 2.4.4): certificates in DER. */
struct mg_saml_metadata {
    struct mg_view entity, consumer, logout;
    bool signs_requests; /* AuthnRequestsSigned (Metadata section 2.4.4) */
    struct mg_view signing[2],
        encryption[2]; /* certificates, DER: what is used first; the second may be empty */
};
CHECKED struct mg_status mg_saml_metadata(const struct mg_saml_metadata *metadata, struct mg_buffer *xml);

#endif
