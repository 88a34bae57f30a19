/* OpenID Connect: what a verified token's claims mean for a sign-in. The signature has been checked by then
 * (ports/jose.h, in the federation process); here the authority decides, with the time as an argument. */
#ifndef MG_DOMAIN_OIDC_H
#define MG_DOMAIN_OIDC_H

#include "base/bytes.h"
#include "base/time.h"
#include "domain/federation_refusal.h"

#define MG_OIDC_AUDIENCES_MOST 16
#define MG_OIDC_CLASSES_MOST 16
/* How old an ID token may be when it comes, besides its own `exp`: it was made for this very exchange. */
#define MG_OIDC_ID_TOKEN_AGE_S 600
/* Back-Channel Logout 1.0 section 2.4: logout tokens live two minutes at most; some providers give five. */
#define MG_OIDC_LOGOUT_TOKEN_AGE_S 300

/* Times in seconds since 1970, -1 for a claim that did not come. All views borrowed. */
struct mg_oidc_claims {
    struct mg_view issuer, subject;
    struct mg_view audiences[MG_OIDC_AUDIENCES_MOST];
    size_t audience_count;
    struct mg_view authorized_party; /* empty: did not come */
    struct mg_view nonce;
    int64_t expires_s, issued_s, not_before_s, authenticated_s;
    struct mg_view acr;
};

struct mg_oidc_expected {
    struct mg_view issuer, client, nonce;
    struct mg_view classes[MG_OIDC_CLASSES_MOST]; /* acr: one of these */
    size_t class_count;
    int64_t skew_s;
    int64_t maximum_age_s; /* of the authentication; 0: any */
};

/* OpenID Connect Core 1.0 section 3.1.3.7, and RFC 9700. */
enum mg_federation_refusal mg_oidc_judge(const struct mg_oidc_claims *claims,
                                         const struct mg_oidc_expected *expected, mg_instant now);

/* Back-Channel Logout 1.0 section 2.6. */
struct mg_oidc_logout {
    struct mg_oidc_claims claims; /* issuer, audiences, times, subject */
    struct mg_view sid, identifier /* jti */;
    bool is_logout_event, has_nonce;
};
enum mg_federation_refusal mg_oidc_logout_judge(const struct mg_oidc_logout *logout,
                                                const struct mg_oidc_expected *expected, mg_instant now);

/* RFC 9207 section 2.4: the issuer in the authorization response. `must` when the provider's discovery
 * document says that it sends one. */
enum mg_federation_refusal mg_oidc_response_judge(bool given, struct mg_view issuer, bool must,
                                                  struct mg_view expected_issuer);

#endif
