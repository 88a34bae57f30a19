/* SAML single logout (Profiles section 4.4): the row saml_sign_out, and where we send people to sign out
 * there. */
#include "process/authority/federation.h"

#include "domain/saml.h"

struct logout {
    const struct mg_request_saml_sign_out *request;
    struct mg_call *call;
    mg_instant now;
    struct mg_core_tenant tenant;
    struct mg_idp *idp;
    struct mg_saml_names names;
    struct mg_reply_saml_logout message;
};

static void
logout_drop(struct logout *it)
{
    mg_idp_drop(&it->idp);
}

static CHECKED struct mg_status
answer(const struct logout *it, enum mg_outcome outcome, uint64_t ended, struct mg_view url,
       bool *ret_answered)
{
    const struct mg_reply_saml_sign_out reply = {.outcome = outcome, .ended = ended, .url = url};
    TRY(mg_answer_saml_sign_out(it->call, &reply));
    *ret_answered = true;
    return OK;
}

/* Anybody can send one: counted together, the last ones are kept for the administrator. */
static CHECKED struct mg_status
refuse(const struct logout *it, struct mg_database *database, enum mg_federation_refusal refusal,
       struct mg_view detail, bool *ret_answered)
{
    const struct mg_idp_attempt attempt = {
        .idp = it->idp, .refusal = refusal, .detail = detail, .arrived = mg_view_text("{}")};
    TRY(mg_idp_attempt_keep(database, &attempt, it->now));
    mg_sign_in_refusal_count(it->tenant.number, MG_FEDERATION_REFUSED, it->request->address);
    return answer(it, MG_FEDERATION_REFUSED, 0, MG_VIEW_EMPTY, ret_answered);
}

static CHECKED struct mg_status
families_end(const struct logout *it, struct mg_database *database, uint64_t *ret_ended)
{
    OWN(rows) rows = NULL;
    *ret_ended = 0;
    OWN_EFFECTS(true);
    TRY(mg_query(database, &rows,
                 "SELECT f.family FROM family_federation f JOIN family_saml s ON s.family = f.family"
                 " WHERE f.provider = $1 AND s.name_id = $2 AND ($3 = '' OR f.provider_session = $3)",
                 MG_I64(it->idp->id), MG_TEXT(it->message.name_id), MG_TEXT(it->message.session_index)));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        uint64_t ended = 0;
        const struct mg_family_match match = {.family = (uint64_t) mg_rows_i64(rows, i, 0)};
        TRY(mg_families_end(database, &match, &ended));
        *ret_ended += ended;
    }
    return OK;
}

/* Our answer, by the redirect binding, which every provider takes. Without a place for it the browser stays
 * here. */
static CHECKED struct mg_status
response_make(const struct logout *it, struct mg_buffer *url)
{
    OWN_BUFFER(identifier, 64);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_saml_sign reply;
    const struct mg_idp_settings *settings = it->idp->settings;
    const char *place =
        settings->saml_sign_out_answer[0] != '\0' ? settings->saml_sign_out_answer : settings->saml_sign_out;
    if (place[0] == '\0')
        return OK;
    TRY(mg_saml_identifier(&identifier));
    struct mg_request_saml_sign fields = {
        .kind = MG_SAML_LOGOUT_RESPONSE,
        .identifier = mg_buffer_view(&identifier),
        .destination = mg_view_text(place),
        .issuer = mg_view_text(it->names.entity),
        .answers = it->message.identifier,
        .success = true,
        .relay_state = it->request->message.length != 0 ? it->request->relay_state : it->message.relay_state,
    };
    TRY(mg_saml_sign_ask(it->idp, &fields, &storage, &reply));
    return mg_saml_query_add(place, reply.query, url);
}

static CHECKED struct mg_status
message_ask(struct logout *it, struct mg_buffer *storage)
{
    OWN_BUFFER(certificates, 8191);
    TRY(mg_option_words(it->idp->settings->saml_certificates, &certificates));
    const struct mg_request_saml_logout ask = {.query = it->request->query,
                                               .message = it->request->message,
                                               .certificates = mg_buffer_view(&certificates)};
    return mg_call_saml_logout(&ask, &it->message, storage, MG_FEDERATION_CALL_MS);
}

static CHECKED struct mg_status
request_run(struct logout *it, struct mg_database *database, bool *ret_answered)
{
    OWN_BUFFER(url, 36864);
    OWN_BUFFER(once, 512);
    uint64_t ended = 0;
    enum mg_federation_refusal refusal =
        mg_saml_logout_judge(&it->message, mg_view_text(it->idp->settings->issuer),
                             mg_view_text(it->names.logout), it->idp->settings->skew / 1000, it->now);
    TRY(mg_buffer_add_text(&once, "logout "));
    TRY(mg_buffer_add(&once, it->message.identifier));
    if (refusal == MG_FEDERATION_NONE)
        TRY(mg_idp_replay_check(database, it->idp, mg_buffer_view(&once), it->now, &refusal));
    if (refusal != MG_FEDERATION_NONE)
        return refuse(it, database, refusal, it->message.detail, ret_answered);
    TRY(mg_idp_record(MG_EVENT_idp_sign_out, it->idp, NULL, MG_FEDERATION_NONE, it->message.name_id,
                      it->request->address, 0));
    TRY(families_end(it, database, &ended));
    TRY(response_make(it, &url));
    return answer(it, MG_GRANTED, ended, mg_buffer_view(&url), ret_answered);
}

static CHECKED struct mg_status
run(struct logout *it, bool *ret_answered)
{
    OWN(database) database = NULL;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    TRY(mg_core_database(&database));
    const struct mg_status found = mg_idp_load(database, it->tenant.number, it->request->provider, &it->idp);
    if (found.code == MG_NOT_FOUND)
        return answer(it, MG_FEDERATION_REFUSED, 0, MG_VIEW_EMPTY, ret_answered);
    TRY(found);
    const enum mg_federation_refusal refusal = mg_idp_is_saml(it->idp->settings)
                                                   ? mg_idp_judge_now(it->idp, &it->tenant, it->now)
                                                   : MG_FEDERATION_WRONG_PROVIDER;
    if (refusal != MG_FEDERATION_NONE)
        return refuse(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    TRY(mg_saml_names(it->idp, &it->tenant, &it->names));
    TRY(message_ask(it, &storage));
    if (it->message.refusal != MG_FEDERATION_NONE)
        return refuse(it, database, (enum mg_federation_refusal) it->message.refusal, it->message.detail,
                      ret_answered);
    /* The answer to a sign-out of ours, which has happened here already. */
    if (!it->message.is_request)
        return answer(it, MG_GRANTED, 0, MG_VIEW_EMPTY, ret_answered);
    return request_run(it, database, ret_answered);
}

static struct mg_status
task(const void *request, struct mg_call *call, bool *ret_answered)
{
    MG_CLEANUP(logout_drop) struct logout it = {.request = request, .call = call, .now = mg_now()};
    const struct mg_status tenant = mg_core_tenant(it.request->tenant, &it.tenant);
    if (it.request->tenant == 0 || tenant.code == MG_NOT_FOUND)
        return answer(&it, MG_TENANT_CLOSED, 0, MG_VIEW_EMPTY, ret_answered);
    TRY(tenant);
    return run(&it, ret_answered);
}

MG_HANDLER_PUBLIC(saml_sign_out)
{
    const struct mg_status status = mg_federation_work(request->tenant, task, request, sizeof *request, call);
    return status.code == MG_BUSY
               ? mg_answer_saml_sign_out(call, &(struct mg_reply_saml_sign_out){.outcome = MG_BUSY_NOW})
               : status;
}

/* ---- we sign somebody out there ---- */

struct mg_status
mg_saml_sign_out_url(const struct mg_idp *idp, const struct mg_core_tenant *tenant, uint64_t family,
                     struct mg_buffer *url)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(identifier, 64);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_saml_names names;
    struct mg_reply_saml_sign reply;
    if (idp->settings->saml_sign_out[0] == '\0')
        return OK;
    TRY(mg_core_database(&database));
    TRY(mg_query(database, &rows,
                 "SELECT s.name_id, s.name_format, s.qualifier, s.sp_qualifier, f.provider_session"
                 " FROM family_saml s JOIN family_federation f ON f.family = s.family WHERE s.family = $1",
                 MG_I64(family)));
    if (mg_rows_count(rows) == 0 || mg_rows_text(rows, 0, 0).length == 0)
        return OK;
    TRY(mg_saml_names(idp, tenant, &names));
    TRY(mg_saml_identifier(&identifier));
    struct mg_request_saml_sign fields = {.kind = MG_SAML_LOGOUT_REQUEST,
                                          .identifier = mg_buffer_view(&identifier),
                                          .destination = mg_view_text(idp->settings->saml_sign_out),
                                          .issuer = mg_view_text(names.entity),
                                          .name_id = mg_rows_text(rows, 0, 0),
                                          .name_format = mg_rows_text(rows, 0, 1),
                                          .qualifier = mg_rows_text(rows, 0, 2),
                                          .sp_qualifier = mg_rows_text(rows, 0, 3),
                                          .session_index = mg_rows_text(rows, 0, 4)};
    TRY(mg_saml_sign_ask(idp, &fields, &storage, &reply));
    return mg_saml_query_add(idp->settings->saml_sign_out, reply.query, url);
}
