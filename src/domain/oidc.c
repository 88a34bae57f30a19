#include "domain/oidc.h"

#include "domain/provider_authentication.h"

static bool
is_for_us(const struct mg_oidc_claims *claims, struct mg_view client)
{
    for (size_t i = 0; i < claims->audience_count; i++)
        if (mg_view_equal(claims->audiences[i], client))
            return true;
    return false;
}

/* Who made it and for whom. An empty identifier never matches: it would be a provider that is not set up. */
static enum mg_federation_refusal
parties_judge(const struct mg_oidc_claims *claims, const struct mg_oidc_expected *expected)
{
    if (expected->issuer.length == 0 || !mg_view_equal(claims->issuer, expected->issuer))
        return MG_FEDERATION_WRONG_ISSUER;
    if (expected->client.length == 0 || !is_for_us(claims, expected->client))
        return MG_FEDERATION_WRONG_AUDIENCE;
    /* Core 3.1.3.7 steps 3 to 5: other audiences must be trusted, and none is; with several, azp must say
     * that the token was given to us. */
    if (claims->audience_count > 1 && claims->authorized_party.length == 0)
        return MG_FEDERATION_WRONG_PARTY;
    if (claims->authorized_party.length != 0 && !mg_view_equal(claims->authorized_party, expected->client))
        return MG_FEDERATION_WRONG_PARTY;
    return MG_FEDERATION_NONE;
}

static enum mg_federation_refusal
times_judge(const struct mg_oidc_claims *claims, int64_t age_most_s, int64_t skew_s, int64_t now_s)
{
    if (claims->expires_s < 0 || claims->issued_s < 0)
        return MG_FEDERATION_TOKEN_CLAIMS;
    if (now_s >= claims->expires_s + skew_s)
        return MG_FEDERATION_EXPIRED;
    if (claims->issued_s > now_s + skew_s || claims->not_before_s > now_s + skew_s)
        return MG_FEDERATION_FROM_THE_FUTURE;
    if (now_s - claims->issued_s > age_most_s + skew_s)
        return MG_FEDERATION_TOO_OLD;
    return MG_FEDERATION_NONE;
}

/* Seconds of any claim are bounded where they are read (ports/jose.c), so that nothing here overflows. */
enum mg_federation_refusal
mg_oidc_judge(const struct mg_oidc_claims *claims, const struct mg_oidc_expected *expected, mg_instant now)
{
    const int64_t now_s = now / 1000;
    if (claims->subject.length == 0)
        return MG_FEDERATION_TOKEN_CLAIMS;
    const enum mg_federation_refusal parties = parties_judge(claims, expected);
    if (parties != MG_FEDERATION_NONE)
        return parties;
    const enum mg_federation_refusal times =
        times_judge(claims, MG_OIDC_ID_TOKEN_AGE_S, expected->skew_s, now_s);
    if (times != MG_FEDERATION_NONE)
        return times;
    if (expected->nonce.length == 0 || !mg_view_equal_constant_time(claims->nonce, expected->nonce))
        return MG_FEDERATION_WRONG_NONCE;
    return mg_provider_authentication_judge(
        (struct mg_provider_authentication){.at_s = claims->authenticated_s, .class = claims->acr},
        &(struct mg_provider_authentication_wanted){.classes = expected->classes,
                                                    .class_count = expected->class_count,
                                                    .maximum_age_s = expected->maximum_age_s,
                                                    .skew_s = expected->skew_s},
        now_s);
}

enum mg_federation_refusal
mg_oidc_logout_judge(const struct mg_oidc_logout *logout, const struct mg_oidc_expected *expected,
                     mg_instant now)
{
    const struct mg_oidc_claims *claims = &logout->claims;
    /* A nonce is forbidden so that no ID token passes for a logout, the event so that nothing else does. */
    if (!logout->is_logout_event || logout->has_nonce)
        return MG_FEDERATION_NOT_A_LOGOUT;
    if (logout->identifier.length == 0 || (logout->sid.length == 0 && claims->subject.length == 0))
        return MG_FEDERATION_TOKEN_CLAIMS;
    const enum mg_federation_refusal parties = parties_judge(claims, expected);
    if (parties != MG_FEDERATION_NONE)
        return parties;
    return times_judge(claims, MG_OIDC_LOGOUT_TOKEN_AGE_S, expected->skew_s, now / 1000);
}

enum mg_federation_refusal
mg_oidc_response_judge(bool given, struct mg_view issuer, bool must, struct mg_view expected_issuer)
{
    if (!given)
        return must ? MG_FEDERATION_RESPONSE_ISSUER : MG_FEDERATION_NONE;
    return mg_view_equal(issuer, expected_issuer) ? MG_FEDERATION_NONE : MG_FEDERATION_RESPONSE_ISSUER;
}
