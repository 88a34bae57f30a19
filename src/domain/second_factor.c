#include "domain/second_factor.h"

#include <string.h>

enum mg_second_factor_mode
mg_second_factor_mode_of(const char *word)
{
    return strcmp(word, "off") == 0       ? MG_SECOND_FACTOR_OFF
           : strcmp(word, "offered") == 0 ? MG_SECOND_FACTOR_OFFERED
                                          : MG_SECOND_FACTOR_REQUIRED;
}

bool
mg_second_factor_must_have(const struct mg_second_factor_facts *facts)
{
    return facts->tenant == 0 || (facts->demanding_roles & facts->roles) != 0 ||
           (facts->mode != MG_SECOND_FACTOR_OFFERED && facts->mode != MG_SECOND_FACTOR_OFF);
}

/* Control: IDENTITY_04 */
enum mg_second_factor_demand
mg_second_factor_judge(const struct mg_second_factor_facts *facts)
{
    if (mg_second_factor_must_have(facts))
        return facts->has_one ? MG_DEMAND_GIVE : MG_DEMAND_SET_UP;
    return facts->mode == MG_SECOND_FACTOR_OFFERED && facts->has_one ? MG_DEMAND_GIVE : MG_DEMAND_NONE;
}

bool
mg_second_factor_is_fresh(mg_instant given_at, int64_t most_ms, mg_instant now)
{
    return given_at != 0 && given_at <= now + MG_SECOND_FACTOR_SLACK_MS && now - given_at <= most_ms;
}
