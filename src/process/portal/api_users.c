/* The API: users, their roles, their sessions; service accounts and tokens. */
#include "process/portal/api.h"

#define CALL(name, request, reply, storage) TRY(mg_call_##name(request, reply, storage, CALL_MS))

struct mg_status
api_on_me(struct api *api)
{
    return api_one_me(api, &api->token);
}

/* ---- users ---- */

struct mg_status
api_on_users(struct api *api)
{
    struct visit *visit = api->visit;
    OWN_BUFFER(after, 512);
    struct mg_reply_user_list reply;
    struct mg_record_user_row user = {0};
    bool right = false;
    TRY(api_cursor(api, &after, &right));
    if (!right)
        return OK;
    const struct mg_request_user_list request = {
        .session = visit_session(visit), .search = api_text(api, "search"), .after = mg_buffer_view(&after)};
    if (request.after.length > 254)
        return api_problem(api, MG_API_PROBLEM_wrong_member, "cursor");
    CALL(user_list, &request, &reply, &visit->storage);
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_user_row(&reply.users, &user, &more));
        if (!more)
            break;
        TRY(api_item_user(api, &user));
    }
    return api_list_end(api, reply.more ? user.login : MG_VIEW_EMPTY);
}

struct mg_status
api_on_user_add(struct api *api)
{
    struct visit *visit = api->visit;
    const bool with_roles = api_value(api, "roles")->given;
    const struct mg_request_user_add request = {
        .session = visit_session(visit),
        .login = api_text(api, "login"),
        .name = api_text(api, "name"),
        .email = api_text(api, "email"),
        .roles = with_roles ? api_text(api, "roles") : mg_view_text("user"), /* the least, as on the page */
        .language = api_value(api, "language")->given ? api_text(api, "language") : mg_view_text("ja"),
    };
    struct mg_reply_user_add reply;
    CALL(user_add, &request, &reply, &visit->storage);
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, reply.reason);
    TRY(api_place(api, "/users", request.login));
    return api_one_made(api, &(struct mg_api_made){.id = reply.user, .name = request.login});
}

static CHECKED struct mg_status
detail_ask(struct api *api, struct mg_reply_user_detail *reply)
{
    const struct mg_request_user_detail request = {.session = visit_session(api->visit),
                                                   .login = api_text(api, "login")};
    return mg_call_user_detail(&request, reply, &api->visit->storage, CALL_MS);
}

struct mg_status
api_on_user(struct api *api)
{
    struct mg_reply_user_detail reply;
    TRY(detail_ask(api, &reply));
    return reply.outcome == MG_GRANTED ? api_one_user_detail(api, &reply)
                                       : api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
}

struct mg_status
api_on_user_roles(struct api *api)
{
    struct mg_reply_user_detail reply;
    TRY(detail_ask(api, &reply));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_etag(api, reply.roles));
    return api_one_user_roles(api, &reply);
}

static CHECKED struct mg_status
ended(struct api *api, uint64_t outcome, uint64_t count, struct mg_view reason)
{
    if (outcome != MG_GRANTED)
        return api_refuse(api, outcome, reason);
    return api_one_ended(api, &(struct mg_api_ended){.ended = count});
}

struct mg_status
api_on_user_roles_set(struct api *api)
{
    const struct mg_request_user_roles_set request = {.session = visit_session(api->visit),
                                                      .login = api_text(api, "login"),
                                                      .roles = api_text(api, "roles"),
                                                      .expected = api->expected};
    struct mg_reply_user_roles_set reply;
    CALL(user_roles_set, &request, &reply, &api->visit->storage);
    if (reply.outcome == MG_GRANTED)
        TRY(api_etag(api, request.roles));
    return ended(api, reply.outcome, reply.ended, reply.reason);
}

static CHECKED struct mg_status
disable(struct api *api, bool disabled, struct mg_reply_user_disable *reply)
{
    const struct mg_request_user_disable request = {
        .session = visit_session(api->visit), .login = api_text(api, "login"), .disabled = disabled};
    return mg_call_user_disable(&request, reply, &api->visit->storage, CALL_MS);
}

struct mg_status
api_on_user_disable(struct api *api)
{
    struct mg_reply_user_disable reply;
    TRY(disable(api, true, &reply));
    return ended(api, reply.outcome, reply.ended, MG_VIEW_EMPTY);
}

struct mg_status
api_on_user_enable(struct api *api)
{
    struct mg_reply_user_disable reply;
    TRY(disable(api, false, &reply));
    return api_done(api, reply.outcome, MG_VIEW_EMPTY);
}

struct mg_status
api_on_user_invite(struct api *api)
{
    const struct mg_request_user_invite request = {.session = visit_session(api->visit),
                                                   .login = api_text(api, "login")};
    struct mg_reply_user_invite reply;
    CALL(user_invite, &request, &reply, &api->visit->storage);
    return api_done(api, reply.outcome, MG_VIEW_EMPTY);
}

struct mg_status
api_on_user_factors_reset(struct api *api)
{
    const struct mg_request_factors_reset request = {.session = visit_session(api->visit),
                                                     .login = api_text(api, "login")};
    struct mg_reply_factors_reset reply;
    CALL(factors_reset, &request, &reply, &api->visit->storage);
    return ended(api, reply.outcome, reply.ended, MG_VIEW_EMPTY);
}

struct mg_status
api_on_user_review(struct api *api)
{
    const struct mg_request_user_review request = {.session = visit_session(api->visit),
                                                   .login = api_text(api, "login")};
    struct mg_reply_user_review reply;
    CALL(user_review, &request, &reply, &api->visit->storage);
    return api_done(api, reply.outcome, MG_VIEW_EMPTY);
}

/* ---- invitations ---- */

struct mg_status
api_on_invitations(struct api *api)
{
    OWN_BUFFER(after, 254);
    struct mg_reply_invitation_list reply;
    struct mg_record_invitation_row invitation = {0};
    bool right = false;
    TRY(api_cursor(api, &after, &right));
    if (!right)
        return OK;
    const struct mg_request_invitation_list request = {.session = visit_session(api->visit),
                                                       .after = mg_buffer_view(&after)};
    CALL(invitation_list, &request, &reply, &api->visit->storage);
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_invitation_row(&reply.invitations, &invitation, &more));
        if (!more)
            break;
        TRY(api_item_invitation(api, &invitation));
    }
    return api_list_end(api, reply.more ? invitation.login : MG_VIEW_EMPTY);
}

struct mg_status
api_on_invitation_revoke(struct api *api)
{
    const struct mg_request_invitation_revoke request = {.session = visit_session(api->visit),
                                                         .login = api_text(api, "login")};
    struct mg_reply_invitation_revoke reply;
    CALL(invitation_revoke, &request, &reply, &api->visit->storage);
    return api_done(api, reply.outcome, MG_VIEW_EMPTY);
}

/* ---- sessions ---- */

struct mg_status
api_on_user_sign_out(struct api *api)
{
    const struct mg_request_session_end request = {
        .session = visit_session(api->visit), .scope = MG_SCOPE_USER, .login = api_text(api, "login")};
    struct mg_reply_session_end reply;
    CALL(session_end, &request, &reply, &api->visit->storage);
    return ended(api, reply.outcome, reply.ended, MG_VIEW_EMPTY);
}

struct mg_status
api_on_sessions(struct api *api)
{
    OWN_BUFFER(after, 512);
    struct mg_reply_session_list reply;
    struct mg_record_session_row session = {0};
    uint8_t family[16];
    char text[33] = "";
    bool right = false;
    TRY(api_cursor(api, &after, &right));
    if (!right)
        return OK;
    if (after.length != 0 && !mg_ok(mg_unhex(mg_buffer_view(&after), family, sizeof family)))
        return api_problem(api, MG_API_PROBLEM_wrong_member, "cursor");
    const struct mg_request_session_list request = {
        .session = visit_session(api->visit),
        .login = api_text(api, "login"),
        .after = after.length != 0 ? mg_view_of(family, sizeof family) : MG_VIEW_EMPTY};
    CALL(session_list, &request, &reply, &api->visit->storage);
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_session_row(&reply.sessions, &session, &more));
        if (!more)
            break;
        TRY(api_item_session(api, &session));
    }
    if (reply.more && session.family.length == sizeof family)
        mg_hex(session.family, text);
    return api_list_end(api, mg_view_text(text));
}

struct mg_status
api_on_sessions_end(struct api *api)
{
    const struct mg_request_session_end request = {.session = visit_session(api->visit),
                                                   .scope = MG_SCOPE_TENANT};
    struct mg_reply_session_end reply;
    CALL(session_end, &request, &reply, &api->visit->storage);
    return ended(api, reply.outcome, reply.ended, MG_VIEW_EMPTY);
}

struct mg_status
api_on_session_end(struct api *api)
{
    uint8_t family[16];
    if (!mg_ok(mg_unhex(api_text(api, "id"), family, sizeof family)))
        return api_refuse(api, MG_NOT_KNOWN, MG_VIEW_EMPTY);
    const struct mg_request_session_end request = {.session = visit_session(api->visit),
                                                   .scope = MG_SCOPE_FAMILY,
                                                   .family = mg_view_of(family, sizeof family)};
    struct mg_reply_session_end reply;
    CALL(session_end, &request, &reply, &api->visit->storage);
    return api_done(api, reply.outcome, MG_VIEW_EMPTY);
}

/* ---- service accounts and tokens ---- */

struct mg_status
api_on_service_accounts(struct api *api)
{
    OWN_BUFFER(after, 254);
    struct mg_reply_service_list reply;
    struct mg_record_service_row account = {0};
    bool right = false;
    TRY(api_cursor(api, &after, &right));
    if (!right)
        return OK;
    const struct mg_request_service_list request = {.session = visit_session(api->visit),
                                                    .after = mg_buffer_view(&after)};
    CALL(service_list, &request, &reply, &api->visit->storage);
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_service_row(&reply.accounts, &account, &more));
        if (!more)
            break;
        TRY(api_item_service_account(api, &account));
    }
    return api_list_end(api, reply.more ? account.login : MG_VIEW_EMPTY);
}

struct mg_status
api_on_service_add(struct api *api)
{
    const struct mg_request_service_add request = {.session = visit_session(api->visit),
                                                   .login = api_text(api, "account"),
                                                   .name = api_text(api, "name"),
                                                   .roles = api_text(api, "roles")};
    struct mg_reply_service_add reply;
    CALL(service_add, &request, &reply, &api->visit->storage);
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, reply.reason);
    TRY(api_place(api, "/users", request.login));
    return api_one_made(api, &(struct mg_api_made){.id = reply.account, .name = request.login});
}

struct mg_status
api_on_tokens(struct api *api)
{
    struct mg_reply_token_list reply;
    struct mg_record_token_row token = {0};
    struct mg_request_token_list request = {.session = visit_session(api->visit),
                                            .account = api_text(api, "account")};
    bool right = false;
    TRY(api_cursor_number(api, &request.after, &right));
    if (!right)
        return OK;
    CALL(token_list, &request, &reply, &api->visit->storage);
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_token_row(&reply.tokens, &token, &more));
        if (!more)
            break;
        TRY(api_item_token(api, &token));
    }
    return api_list_end_number(api, reply.more, token.token);
}

/* What is kept for a repetition holds no secret: it is stored in clear. */
struct mg_status
api_on_token_add(struct api *api)
{
    const struct mg_request_token_add request = {.session = visit_session(api->visit),
                                                 .account = api_text(api, "account"),
                                                 .label = api_text(api, "label"),
                                                 .permissions = api_text(api, "permissions"),
                                                 .expires_at = api_value(api, "expires_at")->time};
    struct mg_reply_token_add reply;
    CALL(token_add, &request, &reply, &api->visit->storage);
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, reply.reason);
    TRY(mg_buffer_format(&api->kept, "{\"token\":%llu,\"secret\":null}", (unsigned long long) reply.token));
    return api_one_issued_token(api, &(struct mg_api_issued){.token = reply.token, .secret = reply.secret});
}

struct mg_status
api_on_token_revoke(struct api *api)
{
    struct mg_request_token_revoke request = {.session = visit_session(api->visit)};
    struct mg_reply_token_revoke reply;
    if (!api_number(api, "token", &request.token))
        return api_refuse(api, MG_NOT_KNOWN, MG_VIEW_EMPTY);
    CALL(token_revoke, &request, &reply, &api->visit->storage);
    return api_done(api, reply.outcome, MG_VIEW_EMPTY);
}
