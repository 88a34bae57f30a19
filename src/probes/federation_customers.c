/* The customers' own identity providers: whether people can come through them at this moment, without sending
 * anything to them. And that no customer believes the drill's. */
#include "probes/federation.h"
#include "probes/forge.h"

#include "domain/identity_provider.h"

enum {
    FORM_MOST = 49152,
    NAMED_MOST = 5,
    WAIT_MS = 20000,  /* for what does not answer; then the rest stays unseen, which is not green */
    LOOK_MS = 180000, /* at all customers; the same */
};

/* The drill's provider is nobody else's. */
static CHECKED struct mg_status
stranger_is_refused(struct mg_federation_look *look, const struct mg_forged_saml *wish,
                    const struct mg_observed_tenant *tenant)
{
    struct mg_view location;
    OWN_FETCHED(answer);
    OWN_BUFFER(response, FORM_MOST);
    TRY(mg_forge_saml(wish, mg_now(), &response));
    TRY(mg_federation_send(look, NULL, tenant->sign_in_host, mg_buffer_view(&response), "/account", &answer));
    if (mg_fetched_header(&answer, "Location", 0, &location) &&
        memmem(location.bytes, location.length, "/federation/arrived/", 20) != NULL)
        mg_finding_break(look->finding, tenant->name, "another tenant's identity provider is believed",
                         "別テナントの IdP の応答を受け入れました");
    return OK;
}

struct count {
    size_t all, usable, without, tenants, away;
    int64_t waited_ms; /* for providers and sign-in hosts that did not work */
    int64_t until_ms;  /* monotonic: the end of the look */
};

static bool
has_time(const struct count *count)
{
    return count->waited_ms < WAIT_MS && mg_monotonic_ms() < count->until_ms;
}

/* Settings that were taken once and are not any more are ours to answer for. A provider that does not answer,
 * or whose certificates have ended, is its customer's: the row is about what we enforce, and its people are
 * told. */
static void
unusable_tell(struct mg_finding *finding, const struct mg_observed_tenant *tenant,
              const struct mg_observed_idp *idp)
{
    char subject[128];
    (void) snprintf(subject, sizeof subject, "%.63s %.31s", tenant->name, idp->name);
    if (idp->refusal == MG_FEDERATION_PROVIDER_DISABLED)
        mg_finding_break(finding, subject,
                         "the settings of an identity provider that is switched on are not valid",
                         "有効な IdP の設定が正しくありません");
    else
        mg_finding_warn(finding, subject, mg_federation_refusal_text(idp->refusal, false),
                        mg_federation_refusal_text(idp->refusal, true));
}

/* False if there was no time left to look at all of the tenant's. */
static CHECKED struct mg_status
providers_count(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
                struct mg_finding *finding, struct count *count, bool *ret_all)
{
    struct mg_observed_idp idp = {.name = ""};
    *ret_all = false;
    for (size_t i = 0; i <= MG_IDPS_MOST && has_time(count); i++) {
        char after[sizeof idp.name];
        const int64_t start_ms = mg_monotonic_ms();
        memcpy(after, idp.name, sizeof after);
        TRY(observer->ops->provider_state(observer, tenant->number, after, &idp));
        *ret_all = idp.name[0] == '\0';
        if (*ret_all)
            return OK;
        count->all++;
        count->usable += idp.refusal == MG_FEDERATION_NONE;
        if (idp.refusal == MG_FEDERATION_NONE)
            continue;
        count->waited_ms += mg_monotonic_ms() - start_ms;
        unusable_tell(finding, tenant, &idp);
        if (count->all - count->usable <= NAMED_MOST) /* the evidence has to hold the counts as well */
            mg_finding_note(finding, "%s %s: %s %.100s", tenant->name, idp.name,
                            mg_federation_refusal_name(idp.refusal), idp.detail);
    }
    return OK;
}

/* False if the tenant's sign-in host is away: that leaves this tenant unseen, and no other. */
static CHECKED struct mg_status
stranger_try(struct mg_federation_look *look, const struct mg_forged_saml *wish,
             const struct mg_observed_tenant *tenant, struct count *count, bool *ret_tried)
{
    const int64_t start_ms = mg_monotonic_ms();
    const struct mg_status status = stranger_is_refused(look, wish, tenant);
    *ret_tried = mg_ok(status);
    if (mg_ok(status) || (status.code != MG_UNAVAILABLE && status.code != MG_TIMEOUT))
        return status;
    count->waited_ms += mg_monotonic_ms() - start_ms;
    if (count->away++ < NAMED_MOST)
        mg_finding_note(look->finding, "%s: the sign-in host %s does not answer", tenant->name,
                        tenant->sign_in_host);
    return OK;
}

struct mg_status
mg_federation_customers(struct mg_federation_look *look, const struct mg_forged_saml *wish)
{
    struct mg_observer *observer = look->observer;
    struct mg_finding *finding = look->finding;
    struct count count = {.until_ms = mg_monotonic_ms() + LOOK_MS};
    for (size_t i = 0; i < observer->tenant_count; i++)
        finding->total += observer->tenants[i].active;
    for (size_t i = 0; i < observer->tenant_count; i++) {
        const struct mg_observed_tenant *tenant = &observer->tenants[i];
        const size_t before = count.all;
        bool all = false, tried = false;
        if (!tenant->active || !has_time(&count))
            continue;
        TRY(stranger_try(look, wish, tenant, &count, &tried));
        TRY(providers_count(observer, tenant, finding, &count, &all));
        count.tenants++;
        count.without += all && count.all == before;
        if (all && tried)
            mg_finding_cover(finding);
    }
    mg_finding_note(finding, "%zu of %zu providers of customers can be used; %zu of %zu customers have none",
                    count.usable, count.all, count.without, count.tenants);
    return OK;
}
