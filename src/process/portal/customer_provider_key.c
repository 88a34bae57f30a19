/* A tenant's own console: our own keys at a SAML provider, and how they are rolled over. */
#include "process/portal/csv.h"

#include "domain/saml_key.h"

#define WARN_MS (90LL * 24 * 3600 * 1000) /* the provider's people need time, too */

void
scope_own_keys(struct visit *visit, const struct mg_reply_idp_show *reply)
{
    struct mg_scope *page = visit->page;
    if (reply->key_ends_at == 0)
        return; /* not of SAML */
    mg_scope_set_flag(page, "own_keys", true);
    mg_scope_set_flag(page, "key_rolling", reply->rolling);
    mg_scope_set_flag(page, "key_new", reply->rolling && !reply->switched);
    mg_scope_set_flag(page, "key_switched", reply->switched);
    mg_scope_set_flag(page, "key_set_for", reply->rolling && !reply->switched && reply->signs_at != 0);
    mg_scope_set_flag(page, "key_soon", reply->key_ends_at - visit->now < WARN_MS);
    scope_time(visit, page, TIME_NAMES(key_ends), reply->key_ends_at);
    if (reply->rolling)
        scope_time(visit, page, TIME_NAMES(other_ends), reply->other_ends_at);
    if (reply->signs_at != 0)
        scope_time(visit, page, TIME_NAMES(signs), reply->signs_at);
}

struct mg_status
page_customer_provider_key(struct visit *visit)
{
    const struct mg_view name = mg_form_value(&visit->form, "name");
    mg_instant at = 0;
    /* A day that is not understood is refused like one that has passed. */
    if (!mg_ok(mg_csv_day(visit, mg_form_value(&visit->form, "at"), &at)))
        at = 1;
    const struct mg_request_idp_key request = {
        .session = visit_session(visit),
        .name = name.length <= 31 ? name : MG_VIEW_EMPTY,
        .step = mg_saml_key_step_of(mg_form_value(&visit->form, "step")),
        .at = at,
    };
    struct mg_reply_idp_key reply;
    OWN_BUFFER(storage, MG_PACKET_MOST); /* the reason outlives the next question */
    TRY(mg_call_idp_key(&request, &reply, &storage, CALL_MS));
    visit->here = provider_path(visit, name);
    return reply.outcome == MG_NOT_VALID
               ? show_provider(visit, name, reply.outcome, reply.reason)
               : customer_done(visit, reply.outcome, provider_path(visit, name), "provider_key");
}
