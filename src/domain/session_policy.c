#include "domain/session_policy.h"

static int64_t
stricter(int64_t deployment, int64_t tenant)
{
    return tenant > 0 && (deployment == 0 || tenant < deployment) ? tenant : deployment;
}

struct mg_session_limits
mg_session_limits_of(const struct mg_session_limits *deployment, const struct mg_session_limits *tenant)
{
    return (struct mg_session_limits){
        .idle_ms = stricter(deployment->idle_ms, tenant->idle_ms),
        .absolute_ms = stricter(deployment->absolute_ms, tenant->absolute_ms),
        .families = (uint32_t) stricter(deployment->families, tenant->families),
    };
}

mg_instant
mg_session_end_of(const struct mg_session_limits *limits, mg_instant authenticated_at)
{
    return authenticated_at + limits->absolute_ms;
}

enum mg_session_verdict
mg_session_judge(const struct mg_session_facts *facts, mg_instant now)
{
    if (!facts->user_active || !facts->tenant_active || facts->tenant != facts->asked_tenant ||
        facts->asked_host.length == 0 || !mg_view_equal(facts->host, facts->asked_host))
        return MG_SESSION_REFUSED;
    if (now >= facts->expires_at || now - facts->last_seen_at >= facts->idle_ms)
        return MG_SESSION_PAST;
    return MG_SESSION_LIVE;
}

uint32_t
mg_session_excess(const struct mg_session_limits *limits, uint32_t families)
{
    if (limits->families == 0 || families < limits->families)
        return 0;
    return families - limits->families + 1;
}

bool
mg_code_accepts(const struct mg_code_facts *facts, mg_instant now)
{
    return now < facts->expires_at && facts->expires_at - now <= MG_CODE_LIFE_MS + MG_CODE_SLACK_MS &&
           facts->tenant == facts->asked_tenant && facts->asked_host.length != 0 &&
           mg_view_equal(facts->host, facts->asked_host) && facts->binding.length == 32 &&
           mg_view_equal_constant_time(facts->binding, facts->asked_binding);
}
