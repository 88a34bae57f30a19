/* Who is signed in, on the operators' console and on a tenant's own. */
#include "process/portal/portal.h"

#include "domain/device.h"

static CHECKED struct mg_status
scope_session(struct visit *visit, const struct mg_record_session_row *session, char family[33])
{
    if (session->family.length != 16)
        return fail_with(MALFORMED, "family of a session");
    struct mg_scope *row = mg_scope_add(visit->page, "sessions");
    const struct mg_device device = mg_device_of(session->user_agent);
    mg_hex(session->family, family);
    mg_scope_set_text(row, "family", family);
    mg_scope_set(row, "session_tenant", session->tenant);
    mg_scope_set(row, "login", session->login);
    mg_scope_set(row, "address", session->address);
    mg_scope_set_text(row, "browser",
                      device.browser == NULL ? say(visit, N_("Unknown browser")) : device.browser);
    mg_scope_set_text(row, "system", device.platform);
    mg_scope_set_flag(row, "current", session->current);
    scope_time(visit, row, TIME_NAMES(used), session->last_used_at);
    scope_time(visit, row, TIME_NAMES(began), session->signed_in_at);
    return OK;
}

struct mg_status
sessions_list(struct visit *visit, struct mg_view tenant, uint64_t *ret_outcome)
{
    uint8_t after[16];
    const struct mg_view after_text = mg_form_value(&visit->query, "after");
    if (after_text.length > 0)
        TRY(mg_unhex(after_text, after, sizeof after));
    const struct mg_request_session_list request = {
        .session = visit_session(visit),
        .tenant = tenant,
        .login = mg_form_value(&visit->query, "login"),
        .after = after_text.length > 0 ? mg_view_of(after, sizeof after) : MG_VIEW_EMPTY,
    };
    struct mg_reply_session_list reply;
    struct mg_record_session_row session;
    char family[33] = "";
    TRY(mg_call_session_list(&request, &reply, &visit->storage, CALL_MS));
    *ret_outcome = reply.outcome;
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        TRY(mg_list_next_session_row(&reply.sessions, &session, &more));
        if (more)
            TRY(scope_session(visit, &session, family));
    }
    mg_scope_set(visit->page, "filter_login", request.login);
    if (reply.outcome == MG_GRANTED && reply.more)
        mg_scope_set_text(visit->page, "next", family);
    return OK;
}

struct mg_status
sessions_end(struct visit *visit, struct mg_view tenant, uint64_t *ret_scope, uint64_t *ret_outcome)
{
    uint8_t family[16];
    const struct mg_view login = mg_form_value(&visit->form, "login");
    struct mg_request_session_end request = {.session = visit_session(visit), .tenant = tenant};
    struct mg_reply_session_end reply;
    if (visit->origin == ORIGIN_SIGN_IN && mg_form_has(&visit->form, "all")) {
        request.scope = MG_SCOPE_TENANT;
    } else if (login.length > 0) {
        request.scope = MG_SCOPE_USER;
        request.login = login;
    } else {
        /* What names none is none, after whoever may not do this has been told so. */
        request.scope = MG_SCOPE_FAMILY;
        if (mg_ok(mg_unhex(mg_form_value(&visit->form, "family"), family, sizeof family)))
            request.family = mg_view_of(family, sizeof family);
    }
    TRY(mg_call_session_end(&request, &reply, &visit->storage, CALL_MS));
    *ret_scope = request.scope;
    *ret_outcome = reply.outcome;
    return OK;
}
