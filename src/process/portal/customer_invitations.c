/* A tenant's own console: invitations that nobody has accepted yet. */
#include "process/portal/portal.h"

struct mg_status
page_customer_invitations(struct visit *visit)
{
    const struct mg_request_invitation_list request = {.session = visit_session(visit),
                                                       .after = mg_form_value(&visit->query, "after")};
    struct mg_reply_invitation_list reply;
    struct mg_record_invitation_row invitation = {0};
    if (request.after.length > 254)
        return fail_with(TOO_LARGE, "after");
    TRY(mg_call_invitation_list(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return customer_refused(visit, reply.outcome);
    for (bool more = true;;) {
        TRY(mg_list_next_invitation_row(&reply.invitations, &invitation, &more));
        if (!more)
            break;
        struct mg_scope *row = mg_scope_add(visit->page, "invitations");
        mg_scope_set(row, "login", invitation.login);
        mg_scope_set(row, "user_name", invitation.name.length != 0 ? invitation.name : invitation.login);
        mg_scope_set(row, "email", invitation.email);
        mg_scope_set_text(row, "roles", customer_roles_text(visit, invitation.roles));
        mg_scope_set(row, "invited_by", invitation.invited_by);
        mg_scope_set_flag(row, "waiting", invitation.state == MG_INVITATION_WAITING);
        mg_scope_set_flag(row, "open", invitation.state == MG_INVITATION_OPEN);
        mg_scope_set_flag(row, "expired", invitation.state == MG_INVITATION_EXPIRED);
        scope_time(visit, row, TIME_NAMES(invited), invitation.invited_at);
        scope_time(visit, row, TIME_NAMES(ends), invitation.ends_at);
    }
    if (reply.more)
        mg_scope_set(visit->page, "next", invitation.login);
    return customer_show(visit, "at_invitations", "customer_invitations");
}

struct mg_status
page_customer_invitation_send(struct visit *visit)
{
    const struct mg_request_user_invite request = {.session = visit_session(visit),
                                                   .login = mg_form_value(&visit->form, "login")};
    struct mg_reply_user_invite reply;
    TRY(mg_call_user_invite(&request, &reply, &visit->storage, CALL_MS));
    return customer_done(visit, reply.outcome, "/console/invitations", "invitation_sent");
}

struct mg_status
page_customer_invitation_revoke(struct visit *visit)
{
    const struct mg_request_invitation_revoke request = {.session = visit_session(visit),
                                                         .login = mg_form_value(&visit->form, "login")};
    struct mg_reply_invitation_revoke reply;
    TRY(mg_call_invitation_revoke(&request, &reply, &visit->storage, CALL_MS));
    return customer_done(visit, reply.outcome, "/console/invitations", "invitation_revoked");
}
