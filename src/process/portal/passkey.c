/* Passkeys: what the pages tell a browser, and what it answers. Without JavaScript, or in a browser that
 * knows no passkeys, a page says so, and codes work. The bytes of an answer are only carried: who reads them
 * holds nothing (federation), who judges them parses nothing of them (authority). */
#include "process/portal/portal.h"

#include "base/secret.h"
#include "domain/passkey.h"
#include "domain/return_path.h"

enum { CLIENT_MOST = 2048, DATA_MOST = 4096, ATTESTATION_MOST = 8192, SIGNATURE_MOST = 1024, ID_MOST = 1023 };

/* A field in base64url, decoded into the arena; the empty view for anything else, which the authority
 * refuses. */
static struct mg_view
field_bytes(struct visit *visit, const char *name, size_t most)
{
    OWN_BUFFER(bytes, ATTESTATION_MOST);
    const struct mg_view text = mg_form_value(&visit->form, name);
    if (text.length == 0 || !mg_ok(mg_base64url_decode(text, &bytes)) || bytes.length > most)
        return MG_VIEW_EMPTY;
    const char *copy = mg_arena_text(visit->arena, mg_buffer_view(&bytes));
    return copy == NULL ? MG_VIEW_EMPTY : mg_view_of(copy, bytes.length);
}

/* ---- what a page tells the browser ---- */

/* "id:usb nfc,id:": one passkey after the other. */
static CHECKED struct mg_status
credentials_text(struct mg_reply_passkey_begin *reply, struct mg_buffer *text)
{
    for (;;) {
        struct mg_record_passkey_credential row;
        bool more = true;
        TRY(mg_list_next_passkey_credential(&reply->credentials, &row, &more));
        if (!more)
            return OK;
        if (text->length != 0)
            TRY(mg_buffer_add_text(text, ","));
        TRY(mg_base64url(row.credential, text));
        TRY(mg_buffer_add_text(text, ":"));
        TRY(mg_buffer_add(text, row.transports));
    }
}

static CHECKED struct mg_status
scope_base64url(struct visit *visit, const char *name, struct mg_view bytes)
{
    OWN_BUFFER(text, 256);
    TRY(mg_base64url(bytes, &text));
    mg_scope_set(visit->page, name, mg_buffer_view(&text));
    return OK;
}

struct mg_status
passkey_offer(struct visit *visit, uint64_t use, struct mg_view ticket, uint64_t *ret_outcome)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(credentials, 32768);
    struct mg_reply_passkey_begin reply;
    const bool with_session =
        use == MG_PASSKEY_USE_STEP_UP || (use == MG_PASSKEY_USE_SET_UP && ticket.length == 0);
    const struct mg_request_passkey_begin request = {
        .tenant = visit->tenant,
        .use = use,
        .ticket = ticket,
        .session = with_session ? visit_session(visit) : MG_VIEW_EMPTY,
        .browser = use == MG_PASSKEY_USE_SIGN_IN ? mg_view_of(visit->browser, TOKEN_BYTES) : MG_VIEW_EMPTY,
        .address = visit->address,
    };
    TRY(mg_call_passkey_begin(&request, &reply, &storage, CALL_MS));
    *ret_outcome = reply.outcome;
    if (reply.outcome != MG_GRANTED)
        return OK;
    TRY(credentials_text(&reply, &credentials));
    const bool to_choose = use == MG_PASSKEY_USE_SECOND || use == MG_PASSKEY_USE_STEP_UP;
    mg_scope_set_flag(visit->page, "with_passkey", !to_choose || credentials.length != 0);
    mg_scope_set_flag(visit->page, "with_code", reply.totp || reply.recovery_left != 0);
    mg_scope_set_flag(visit->page, "passkey_only", reply.only);
    mg_scope_set_text(visit->page, "passkey_verify", reply.verify ? "required" : "preferred");
    mg_scope_set(visit->page, "passkey_credentials", mg_buffer_view(&credentials));
    mg_scope_set(visit->page, "relying_party", reply.relying_party);
    mg_scope_set(visit->page, "relying_party_name",
                 reply.label.length != 0 ? reply.label : reply.relying_party);
    mg_scope_set(visit->page, "passkey_login", reply.login);
    mg_scope_set(visit->page, "passkey_person", reply.name.length != 0 ? reply.name : reply.login);
    TRY(scope_base64url(visit, "passkey_user", reply.user_handle));
    return scope_base64url(visit, "challenge", reply.challenge);
}

/* ---- one is used ---- */

static CHECKED struct mg_status
give(struct visit *visit, const struct destination *to, uint64_t use, struct mg_view ticket,
     struct mg_reply_passkey_give *ret_reply)
{
    OWN_KEY(device, TOKEN_BYTES);
    const bool has_device = use == MG_PASSKEY_USE_SIGN_IN && visit_cookie(visit, COOKIE_DEVICE, device);
    const struct mg_request_passkey_give request = {
        .tenant = visit->tenant,
        .use = use,
        .ticket = ticket,
        .session = use == MG_PASSKEY_USE_STEP_UP ? visit_session(visit) : MG_VIEW_EMPTY,
        .browser = use == MG_PASSKEY_USE_SIGN_IN ? mg_view_of(visit->browser, TOKEN_BYTES) : MG_VIEW_EMPTY,
        .challenge = field_bytes(visit, "challenge", MG_PASSKEY_CHALLENGE_BYTES),
        .credential = field_bytes(visit, "credential", ID_MOST),
        .client_data = field_bytes(visit, "client_data", CLIENT_MOST),
        .authenticator_data = field_bytes(visit, "authenticator_data", DATA_MOST),
        .signature = field_bytes(visit, "signature", SIGNATURE_MOST),
        .user_handle = field_bytes(visit, "user_handle", 64),
        .address = visit->address,
        .user_agent = visit->user_agent,
        .host = to->host,
        .binding = to->origin == NULL ? MG_VIEW_EMPTY : mg_view_of(to->binding, HASH_BYTES),
        .previous = use == MG_PASSKEY_USE_STEP_UP ? MG_VIEW_EMPTY : visit_session(visit),
        .device = has_device ? mg_view_of(device, TOKEN_BYTES) : MG_VIEW_EMPTY,
    };
    return mg_call_passkey_give(&request, ret_reply, &visit->storage, CALL_MS);
}

static void
problem(struct visit *visit, const char *field, const struct mg_reply_passkey_give *reply)
{
    page_problem(visit, field, mg_outcome_text(reply->outcome, visit->language == MG_JAPANESE));
    if (reply->wait_s == 0)
        return;
    mg_scope_set_number(visit->page, "wait_minutes", (reply->wait_s + 59) / 60);
    mg_scope_set_flag(visit->page, "must_wait", true);
}

struct mg_status
page_passkey_sign_in(struct visit *visit)
{
    struct destination to;
    struct mg_reply_passkey_give reply;
    TRY(destination_read(visit, &visit->form, &to));
    TRY(give(visit, &to, MG_PASSKEY_USE_SIGN_IN, MG_VIEW_EMPTY, &reply));
    if (reply.device.length == TOKEN_BYTES)
        TRY(cookie_set(visit, COOKIE_DEVICE, reply.device, DEVICE_S));
    if (reply.outcome != MG_GRANTED || reply.token.length != TOKEN_BYTES) {
        const uint64_t outcome = reply.outcome;
        problem(visit, "login", &reply);
        return sign_in_show(visit, &to, outcome);
    }
    /* A new token at sign-in, never the one the browser came with (session fixation). */
    TRY(cookie_set(visit, COOKIE_SESSION, reply.token, -1));
    return destination_enter(visit, &to, reply.code);
}

struct mg_status
page_passkey_second(struct visit *visit)
{
    OWN_KEY(ticket, TOKEN_BYTES);
    struct destination to;
    struct mg_reply_passkey_give reply = {.outcome = MG_TICKET_SPENT};
    TRY(destination_read(visit, &visit->form, &to));
    if (visit_cookie(visit, COOKIE_SECOND, ticket))
        TRY(give(visit, &to, MG_PASSKEY_USE_SECOND, mg_view_of(ticket, TOKEN_BYTES), &reply));
    if (reply.outcome == MG_TICKET_SPENT)
        return second_begin_anew(visit, &to);
    if (reply.outcome != MG_GRANTED || reply.token.length != TOKEN_BYTES) {
        const uint64_t outcome = reply.outcome;
        problem(visit, "code", &reply);
        return second_show(visit, &to, ticket, outcome);
    }
    TRY(cookie_set(visit, COOKIE_SECOND, MG_VIEW_EMPTY, 0));
    TRY(cookie_set(visit, COOKIE_SESSION, reply.token, -1));
    return destination_enter(visit, &to, reply.code);
}

struct mg_status
page_passkey_step_up(struct visit *visit)
{
    struct destination to;
    struct mg_reply_passkey_give reply;
    TRY(destination_read(visit, &visit->form, &to));
    TRY(give(visit, &to, MG_PASSKEY_USE_STEP_UP, MG_VIEW_EMPTY, &reply));
    if (reply.outcome == MG_SESSION_ENDED)
        return redirect(visit, "/sign-in?%s", destination_query(visit, &to));
    if (reply.outcome != MG_GRANTED) {
        const uint64_t outcome = reply.outcome;
        problem(visit, "code", &reply);
        return step_up_show(visit, &to, outcome);
    }
    return destination_enter(visit, &to, MG_VIEW_EMPTY);
}

/* ---- one is set up ---- */

static CHECKED struct mg_status
add(struct visit *visit, const struct destination *to, struct mg_view ticket,
    struct mg_reply_passkey_add *ret_reply)
{
    const bool by_ticket = ticket.length != 0;
    const struct mg_view name = mg_form_value(&visit->form, "name"),
                         transports = mg_form_value(&visit->form, "transports");
    const struct mg_request_passkey_add request = {
        .tenant = visit->tenant,
        .ticket = ticket,
        .session = by_ticket ? MG_VIEW_EMPTY : visit_session(visit),
        .challenge = field_bytes(visit, "challenge", MG_PASSKEY_CHALLENGE_BYTES),
        .client_data = field_bytes(visit, "client_data", CLIENT_MOST),
        .attestation = field_bytes(visit, "attestation", ATTESTATION_MOST),
        .transports = transports.length <= 127 ? transports : MG_VIEW_EMPTY,
        .name = mg_view_start(name, 128),
        .address = visit->address,
        .user_agent = visit->user_agent,
        .host = to->host,
        .binding = to->origin == NULL ? MG_VIEW_EMPTY : mg_view_of(to->binding, HASH_BYTES),
        .previous = by_ticket ? visit_session(visit) : MG_VIEW_EMPTY,
    };
    return mg_call_passkey_add(&request, ret_reply, &visit->storage, CALL_MS);
}

struct mg_status
page_passkey_enrol(struct visit *visit)
{
    OWN_KEY(ticket, TOKEN_BYTES);
    struct destination to;
    struct mg_reply_passkey_add reply;
    TRY(destination_read(visit, &visit->form, &to));
    if (!visit_cookie(visit, COOKIE_SECOND, ticket))
        return second_begin_anew(visit, &to);
    TRY(add(visit, &to, mg_view_of(ticket, TOKEN_BYTES), &reply));
    if (reply.outcome == MG_PASSKEY_REFUSED) {
        page_problem(visit, "passkey", mg_outcome_text(reply.outcome, visit->language == MG_JAPANESE));
        return enrol_show(visit, &to, mg_view_of(ticket, TOKEN_BYTES), MG_PASSKEY_REFUSED);
    }
    if (reply.outcome != MG_GRANTED || reply.token.length != TOKEN_BYTES)
        return second_begin_anew(visit, &to);
    TRY(cookie_set(visit, COOKIE_SECOND, MG_VIEW_EMPTY, 0));
    TRY(cookie_set(visit, COOKIE_SESSION, reply.token, -1));
    if (reply.recovery.length == 0)
        return destination_enter(visit, &to, reply.code);
    const char *on = to.origin != NULL
                         ? arena_format(visit, "/sign-in?%s", destination_query(visit, &to))
                         : arena_format(visit, "%.*s", (int) to.path.length, (const char *) to.path.bytes);
    return recovery_show(visit, reply.recovery, on);
}

static CHECKED struct mg_status
show_add(struct visit *visit, const struct destination *to, uint64_t outcome)
{
    uint64_t begun = MG_OUTCOME_NONE;
    TRY(passkey_offer(visit, MG_PASSKEY_USE_SET_UP, MG_VIEW_EMPTY, &begun));
    if (begun != MG_GRANTED)
        return factor_lead_elsewhere(visit, to, begun, "/factors/passkey");
    mg_scope_set_flag(visit->page, "at_factors", true);
    TRY(destination_show(visit, to, "/factors/passkey"));
    return outcome == MG_GRANTED ? show(visit, 200, "factor_passkey")
                                 : show_outcome(visit, outcome, "factor_passkey");
}

struct mg_status
page_passkey_form(struct visit *visit)
{
    struct destination to;
    TRY(destination_read(visit, &visit->query, &to));
    return show_add(visit, &to, MG_GRANTED);
}

struct mg_status
page_passkey_add(struct visit *visit)
{
    struct destination to;
    struct mg_reply_passkey_add reply;
    TRY(destination_read(visit, &visit->form, &to));
    TRY(add(visit, &to, MG_VIEW_EMPTY, &reply));
    if (reply.outcome == MG_PASSKEY_REFUSED) {
        page_problem(visit, "passkey", mg_outcome_text(reply.outcome, visit->language == MG_JAPANESE));
        return show_add(visit, &to, MG_PASSKEY_REFUSED);
    }
    if (reply.outcome != MG_GRANTED)
        return factor_lead_elsewhere(visit, &to, reply.outcome, "/factors/passkey");
    const char *on = to.origin != NULL ? arena_format(visit, "/sign-in?%s", destination_query(visit, &to))
                                       : "/factors?done=added";
    if (reply.recovery.length == 0)
        return redirect(visit, "%s", on);
    return recovery_show(visit, reply.recovery, on);
}
