#include "domain/provider_authentication.h"

/* Control: IDENTITY_03 */
enum mg_federation_refusal
mg_provider_authentication_judge(struct mg_provider_authentication given,
                                 const struct mg_provider_authentication_wanted *wanted, int64_t now_s)
{
    if (given.at_s > now_s + wanted->skew_s)
        return MG_FEDERATION_FROM_THE_FUTURE;
    if (wanted->maximum_age_s > 0 &&
        (given.at_s < 0 || now_s - given.at_s > wanted->maximum_age_s + wanted->skew_s))
        return MG_FEDERATION_STALE_AUTHENTICATION;
    if (wanted->class_count == 0)
        return MG_FEDERATION_NONE;
    for (size_t i = 0; i < wanted->class_count; i++)
        if (given.class.length != 0 && mg_view_equal(given.class, wanted->classes[i]))
            return MG_FEDERATION_NONE;
    return MG_FEDERATION_WRONG_CLASS;
}
