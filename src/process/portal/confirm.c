/* The link of a mail about a suspicious sign-in. Opening it only shows what it is about, because mail
 * scanners open links too; confirming is a form of its own. It signs nobody in here. */
#include "process/portal/portal.h"

#include "base/secret.h"
#include "domain/device.h"

static CHECKED struct mg_status
show_spent(struct visit *visit)
{
    return show_message(visit, 410, N_("This link does not work any more"),
                        N_("It has expired or was used already. Sign in again to get a new one."), "/sign-in",
                        N_("Sign in"));
}

static void
describe(struct visit *visit, const struct mg_reply_confirm_look *look)
{
    const struct mg_device device = mg_device_of(look->user_agent);
    mg_scope_set(visit->page, "login", look->login);
    mg_scope_set(visit->page, "address", look->address);
    mg_scope_set(visit->page, "country", look->country);
    if (device.browser != NULL)
        mg_scope_set_text(visit->page, "browser", device.browser);
    if (device.platform != NULL)
        mg_scope_set_text(visit->page, "platform", device.platform);
    scope_time(visit, visit->page, TIME_NAMES(asked), look->asked_at);
}

struct mg_status
page_confirm_form(struct visit *visit)
{
    OWN_KEY(ticket, TOKEN_BYTES);
    const struct mg_view text = mg_form_value(&visit->query, "ticket");
    if (!token_decode(text, ticket))
        return show_spent(visit);
    TRY(visit_identify(visit)); /* the form's token is bound to the session, if there is one */
    const struct mg_request_confirm_look request = {
        .tenant = visit->tenant, .ticket = mg_view_of(ticket, TOKEN_BYTES), .address = visit->address};
    struct mg_reply_confirm_look reply;
    TRY(mg_call_confirm_look(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return show_spent(visit);
    describe(visit, &reply);
    mg_scope_set(visit->page, "ticket", text);
    return show(visit, 200, "confirm");
}

struct mg_status
page_confirm(struct visit *visit)
{
    OWN_KEY(ticket, TOKEN_BYTES);
    if (!token_decode(mg_form_value(&visit->form, "ticket"), ticket))
        return show_spent(visit);
    const struct mg_request_confirm_complete request = {
        .tenant = visit->tenant, .ticket = mg_view_of(ticket, TOKEN_BYTES), .address = visit->address};
    struct mg_reply_confirm_complete reply;
    TRY(mg_call_confirm_complete(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return show_spent(visit);
    return show_message(visit, 200, N_("The device is confirmed"),
                        N_("Sign in again on the device where you tried. It works for 30 minutes."),
                        "/sign-in", N_("Sign in"));
}
