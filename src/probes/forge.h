/* What an identity provider sends, right or wrong: the probes are one in the drill's tenant (domain/drill.h),
 * with a key of their own for each look. All texts are ours and hold nothing that XML or JSON would have to
 * escape. */
#ifndef MG_PROBES_FORGE_H
#define MG_PROBES_FORGE_H

#include "base/time.h"
#include "ports/crypto.h"

/* An assertion in a response (SAML 2.0 Core sections 2.3 and 3.3), signed with ECDSA on P-256. */
struct mg_forged_saml {
    const char *issuer, *entity, *consumer;
    const char *in_response_to; /* NULL: nobody asked */
    const char *subject, *email;
    int64_t shift_s;                  /* how far all its times are off */
    const struct mg_signing_key *key; /* NULL: it bears no signature */
    bool names_rsa;                   /* the signature says that it is another algorithm's */
    const char *wrapped;              /* NULL, or whom an unsigned assertion before this one names */
};
/* Appends base64, as the form carries it. */
CHECKED struct mg_status mg_forge_saml(const struct mg_forged_saml *wish, mg_instant now,
                                       struct mg_buffer *base64);

/* The provider's metadata (Metadata section 2.4.3); `certificate` is DER. */
CHECKED struct mg_status mg_forge_saml_metadata(const char *issuer, const char *place,
                                                struct mg_view certificate, struct mg_buffer *xml);

/* An ID token (OpenID Connect Core section 2; RFC 7515). */
struct mg_forged_token {
    const char *issuer, *audience, *subject, *nonce, *email;
    const char *algorithm; /* "ES256"; "HS256" is made with the public key as secret, "none" without any */
    int64_t shift_s;       /* how far all its times are off */
    const struct mg_signing_key *key; /* whose kid is "probe" */
};
CHECKED struct mg_status mg_forge_token(const struct mg_forged_token *wish, mg_instant now,
                                        struct mg_buffer *token);
/* The key set with that key (RFC 7517). */
CHECKED struct mg_status mg_forge_key_set(const struct mg_signing_key *key, struct mg_buffer *json);

#endif
