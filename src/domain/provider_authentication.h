/* How and when an identity provider says that it authenticated the person: one rule for OpenID Connect
 * (auth_time and acr, Core section 3.1.3.7) and SAML (AuthnInstant and AuthnContextClassRef, Core
 * section 2.7.2). */
#ifndef MG_DOMAIN_PROVIDER_AUTHENTICATION_H
#define MG_DOMAIN_PROVIDER_AUTHENTICATION_H

#include "base/bytes.h"
#include "domain/federation_refusal.h"

struct mg_provider_authentication {
    int64_t at_s;         /* negative: not told */
    struct mg_view class; /* empty: not told */
};
/* Borrowed. */
struct mg_provider_authentication_wanted {
    const struct mg_view *classes; /* one of these; none: any */
    size_t class_count;
    int64_t maximum_age_s; /* 0: any */
    int64_t skew_s;
};
/* NONE if it will do. The seconds are bounded by whoever read them, so that nothing overflows. */
enum mg_federation_refusal mg_provider_authentication_judge(
    struct mg_provider_authentication given, const struct mg_provider_authentication_wanted *wanted,
    int64_t now_s);

#endif
