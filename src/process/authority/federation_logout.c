/* Signing out across an identity provider: the rows federation_logout, federation_sign_out and
 * federation_keys, and the timer that ends what has passed. */
#include "process/authority/federation.h"

#include "base/log.h"
#include "domain/oidc.h"

#include <inttypes.h>

enum { SWEEP_MS = 5000, ATTEMPT_LIFE_DAYS = 30 };

/* ---- the provider signs somebody out ---- */

struct logout {
    const struct mg_request_federation_logout *request;
    struct mg_call *call;
    mg_instant now;
    struct mg_core_tenant tenant;
    struct mg_idp *idp;
};

static void
logout_drop(struct logout *it)
{
    mg_idp_drop(&it->idp);
}

static CHECKED struct mg_status
answer_logout(const struct logout *it, enum mg_outcome outcome, uint64_t ended, bool *ret_answered)
{
    TRY(mg_answer_federation_logout(
        it->call, &(struct mg_reply_federation_logout){.outcome = outcome, .ended = ended}));
    *ret_answered = true;
    return OK;
}

static CHECKED struct mg_status
refuse_logout(const struct logout *it, struct mg_database *database, enum mg_federation_refusal refusal,
              struct mg_view detail, bool *ret_answered)
{
    const struct mg_idp_attempt attempt = {
        .idp = it->idp, .refusal = refusal, .detail = detail, .arrived = mg_view_text("{}")};
    TRY(mg_idp_attempt_keep(database, &attempt, it->now));
    /* Anybody can send one: counted together. */
    mg_sign_in_refusal_count(it->tenant.number, MG_FEDERATION_REFUSED, it->request->address);
    return answer_logout(it, MG_FEDERATION_REFUSED, 0, ret_answered);
}

/* What comes of it (a session, its end) waits for the disk; the database's log has one order, so that this is
 * there with it, or neither is. */
struct mg_status
mg_idp_replay_check(struct mg_database *database, const struct mg_idp *idp, struct mg_view identifier,
                    mg_instant now, enum mg_federation_refusal *ret_refusal)
{
    OWN(rows) rows = NULL;
    uint8_t hash[32];
    TRY(mg_secret_hash(identifier, hash));
    TRY(mg_query_often(database, &rows,
                       "WITH c AS (SELECT set_config('synchronous_commit', 'off', true))"
                       " INSERT INTO federation_replay (provider, key, expires_at) SELECT $1, $2, $3 FROM c"
                       " ON CONFLICT DO NOTHING RETURNING provider",
                       MG_I64(idp->id), MG_BYTES(mg_view_of(hash, sizeof hash)),
                       MG_INSTANT(now + MG_IDP_REPLAY_MS)));
    *ret_refusal = mg_rows_count(rows) == 1 ? MG_FEDERATION_NONE : MG_FEDERATION_REPLAYED;
    return OK;
}

static bool
audiences_split(struct mg_view lines, struct mg_oidc_claims *claims)
{
    while (lines.length != 0) {
        const uint8_t *end = memchr(lines.bytes, '\n', lines.length);
        const size_t length = end == NULL ? lines.length : (size_t) (end - lines.bytes);
        if (claims->audience_count == MG_OIDC_AUDIENCES_MOST)
            return false;
        claims->audiences[claims->audience_count++] = mg_view_of(lines.bytes, length);
        const size_t taken = end == NULL ? length : length + 1;
        lines = mg_view_of(lines.bytes + taken, lines.length - taken);
    }
    return true;
}

static enum mg_federation_refusal
token_judge(const struct logout *it, const struct mg_reply_oidc_logout *from)
{
    struct mg_oidc_logout logout = {.claims = {.issuer = from->issuer,
                                               .subject = from->subject,
                                               .authorized_party = from->authorized_party,
                                               .expires_s = from->expires_s,
                                               .issued_s = from->issued_s,
                                               .not_before_s = from->not_before_s},
                                    .sid = from->sid,
                                    .identifier = from->identifier,
                                    .is_logout_event = from->logout_event,
                                    .has_nonce = from->with_nonce};
    const struct mg_oidc_expected expected = {.issuer = mg_view_text(it->idp->settings->issuer),
                                              .client = mg_view_text(it->idp->settings->client),
                                              .skew_s = it->idp->settings->skew / 1000};
    if (!audiences_split(from->audiences, &logout.claims))
        return MG_FEDERATION_TOKEN_CLAIMS;
    return mg_oidc_logout_judge(&logout, &expected, it->now);
}

static CHECKED struct mg_status
sign_out(const struct logout *it, struct mg_database *database, struct mg_view sid, struct mg_view subject,
         bool *ret_answered)
{
    uint64_t ended = 0;
    TRY(mg_idp_record(MG_EVENT_idp_sign_out, it->idp, NULL, MG_FEDERATION_NONE, subject, it->request->address,
                      0));
    TRY(mg_idp_families_end(database, it->idp->id, sid, subject, &ended));
    return answer_logout(it, MG_GRANTED, ended, ret_answered);
}

/* Back-Channel Logout 1.0 section 2.6. */
static CHECKED struct mg_status
back_channel(const struct logout *it, bool *ret_answered)
{
    OWN(database) database = NULL;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_oidc_logout reply;
    const struct mg_request_oidc_logout ask = {.issuer = mg_view_text(it->idp->settings->issuer),
                                               .token = it->request->token};
    TRY(mg_call_oidc_logout(&ask, &reply, &storage, MG_FEDERATION_CALL_MS));
    TRY(mg_core_database(&database));
    enum mg_federation_refusal refusal = (enum mg_federation_refusal) reply.refusal;
    if (refusal == MG_FEDERATION_NONE)
        refusal = token_judge(it, &reply);
    if (refusal == MG_FEDERATION_NONE)
        TRY(mg_idp_replay_check(database, it->idp, reply.identifier, it->now, &refusal));
    if (refusal != MG_FEDERATION_NONE)
        return refuse_logout(it, database, refusal, reply.detail, ret_answered);
    return sign_out(it, database, reply.sid, reply.subject, ret_answered);
}

/* Front-Channel Logout 1.0 section 3: a request from the browser that only the provider's session id makes
 * good; it can end that session and nothing else. */
static CHECKED struct mg_status
front_channel(const struct logout *it, bool *ret_answered)
{
    OWN(database) database = NULL;
    TRY(mg_core_database(&database));
    if (!mg_view_is(it->request->issuer, it->idp->settings->issuer))
        return refuse_logout(it, database, MG_FEDERATION_WRONG_ISSUER, MG_VIEW_EMPTY, ret_answered);
    if (it->request->sid.length == 0)
        return refuse_logout(it, database, MG_FEDERATION_TOKEN_CLAIMS, mg_view_text("sid"), ret_answered);
    return sign_out(it, database, it->request->sid, MG_VIEW_EMPTY, ret_answered);
}

static CHECKED struct mg_status
logout_run(struct logout *it, bool *ret_answered)
{
    OWN(database) database = NULL;
    TRY(mg_core_database(&database));
    const struct mg_status found = mg_idp_load(database, it->tenant.number, it->request->provider, &it->idp);
    if (found.code == MG_NOT_FOUND)
        return answer_logout(it, MG_FEDERATION_REFUSED, 0, ret_answered);
    TRY(found);
    const enum mg_federation_refusal refusal = mg_idp_is_saml(it->idp->settings)
                                                   ? MG_FEDERATION_WRONG_PROVIDER
                                                   : mg_idp_judge_now(it->idp, &it->tenant, it->now);
    if (refusal != MG_FEDERATION_NONE)
        return refuse_logout(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    mg_database_drop(&database);
    return it->request->token.length != 0 ? back_channel(it, ret_answered) : front_channel(it, ret_answered);
}

static struct mg_status
logout_task(const void *request, struct mg_call *call, bool *ret_answered)
{
    MG_CLEANUP(logout_drop) struct logout it = {.request = request, .call = call, .now = mg_now()};
    const struct mg_status tenant = mg_core_tenant(it.request->tenant, &it.tenant);
    if (it.request->tenant == 0 || tenant.code == MG_NOT_FOUND)
        return answer_logout(&it, MG_TENANT_CLOSED, 0, ret_answered);
    TRY(tenant);
    return logout_run(&it, ret_answered);
}

MG_HANDLER_PUBLIC(federation_logout)
{
    const struct mg_status status =
        mg_federation_work(request->tenant, logout_task, request, sizeof *request, call);
    return status.code == MG_BUSY ? mg_answer_federation_logout(
                                        call, &(struct mg_reply_federation_logout){.outcome = MG_BUSY_NOW})
                                  : status;
}

/* ---- we sign somebody out there (RP-Initiated Logout 1.0) ---- */

/* The client is named instead of handing the ID token back (section 2: id_token_hint is recommended,
 * client_id does): so no token has to be kept. */
static CHECKED struct mg_status
sign_out_url(const struct mg_idp *idp, const struct mg_core_tenant *tenant, struct mg_view endpoint,
             struct mg_buffer *url)
{
    OWN_BUFFER(back, 511);
    TRY(mg_buffer_format(&back, "%s/signed-out", tenant->sign_in_origin));
    TRY(mg_buffer_add(url, endpoint));
    TRY(mg_buffer_add_text(url, memchr(endpoint.bytes, '?', endpoint.length) == NULL ? "?client_id="
                                                                                     : "&client_id="));
    TRY(mg_buffer_add_encoded(url, mg_view_text(idp->settings->client)));
    TRY(mg_buffer_add_text(url, "&post_logout_redirect_uri="));
    return mg_buffer_add_encoded(url, mg_buffer_view(&back));
}

/* The provider behind a live session; NULL if it came about otherwise. */
static CHECKED struct mg_status
provider_of(const struct mg_request_federation_sign_out *request, const struct mg_core_tenant *tenant,
            struct mg_idp **ret_idp, uint64_t *ret_family)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN(rows) names = NULL;
    struct mg_live_session session;
    bool live = false;
    TRY(mg_core_database(&database));
    TRY(mg_session_find(database, tenant->number, request->session, MG_VIEW_EMPTY, mg_now(), &rows, &session,
                        &live));
    if (!live)
        return OK;
    TRY(mg_query(database, &names,
                 "SELECT p.name FROM family_federation f JOIN identity_provider p ON p.id = f.provider"
                 " WHERE f.family = $1 AND p.tenant = $2",
                 MG_I64(session.family), MG_I64(tenant->number)));
    if (mg_rows_count(names) == 0)
        return OK;
    *ret_family = session.family;
    const struct mg_status found = mg_idp_load(database, tenant->number, mg_rows_text(names, 0, 0), ret_idp);
    return found.code == MG_NOT_FOUND ? OK : found;
}

static struct mg_status
sign_out_task(const void *copy, struct mg_call *call, bool *ret_answered)
{
    const struct mg_request_federation_sign_out *request = copy;
    OWN(idp) idp = NULL;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(url, 36864);
    struct mg_core_tenant tenant;
    struct mg_reply_oidc_look look = {.refusal = MG_FEDERATION_UNREACHABLE};
    uint64_t family = 0;
    TRY(mg_core_tenant(request->tenant, &tenant));
    TRY(provider_of(request, &tenant, &idp, &family));
    if (idp != NULL && mg_idp_is_saml(idp->settings)) {
        TRY(mg_saml_sign_out_url(idp, &tenant, family, &url));
    } else if (idp != NULL) {
        const struct mg_request_oidc_look ask = {.issuer = mg_view_text(idp->settings->issuer)};
        TRY(mg_call_oidc_look(&ask, &look, &storage, MG_FEDERATION_CALL_MS));
        if (look.refusal == MG_FEDERATION_NONE && look.end_session_endpoint.length != 0)
            TRY(sign_out_url(idp, &tenant, look.end_session_endpoint, &url));
    }
    TRY(mg_answer_federation_sign_out(call,
                                      &(struct mg_reply_federation_sign_out){.url = mg_buffer_view(&url)}));
    *ret_answered = true;
    return OK;
}

MG_HANDLER_PUBLIC(federation_sign_out)
{
    const struct mg_reply_federation_sign_out nowhere = {.url = MG_VIEW_EMPTY};
    if (request->tenant == 0 || request->session.length != 32)
        return mg_answer_federation_sign_out(call, &nowhere);
    const struct mg_status status =
        mg_federation_work(request->tenant, sign_out_task, request, sizeof *request, call);
    return status.code == MG_BUSY ? mg_answer_federation_sign_out(call, &nowhere) : status;
}

/* ---- our public key ---- */

MG_HANDLER_PUBLIC(federation_keys)
{
    OWN(database) database = NULL;
    OWN(idp) idp = NULL;
    OWN_BUFFER(storage, 4096);
    struct mg_reply_client_key key;
    TRY(mg_core_database(&database));
    const struct mg_status found = mg_idp_load(database, request->tenant, request->provider, &idp);
    if (!mg_ok(found) && found.code != MG_NOT_FOUND)
        return found;
    if (!mg_ok(found) || mg_idp_is_saml(idp->settings) ||
        strcmp(idp->settings->client_authentication, "private-key") != 0)
        return mg_answer_federation_keys(call, &(struct mg_reply_federation_keys){.outcome = MG_NOT_KNOWN});
    mg_database_drop(&database);
    const struct mg_request_client_key ask = {
        .tenant = idp->tenant, .provider = idp->id, .key = (uint64_t) idp->settings->client_key};
    TRY(mg_call_client_key(&ask, &key, &storage, MG_IDENTITY_CALL_MS));
    return mg_answer_federation_keys(
        call, &(struct mg_reply_federation_keys){.outcome = MG_GRANTED, .json = key.json});
}

/* ---- what passes ---- */

/* A provider that has expired: what it gave ends with it, also when `expires` was moved. */
static CHECKED struct mg_status
providers_expire(struct mg_database *database, mg_instant now)
{
    OWN(rows) rows = NULL;
    TRY(mg_query_often(
        database, &rows,
        "SELECT DISTINCT p.id FROM identity_provider p JOIN family_federation f ON f.provider = p.id"
        " WHERE p.expires_at <= $1 OR NOT p.enabled",
        MG_INSTANT(now)));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        uint64_t ended = 0;
        TRY(mg_idp_families_end(database, (uint64_t) mg_rows_i64(rows, i, 0), MG_VIEW_EMPTY, MG_VIEW_EMPTY,
                                &ended));
    }
    return OK;
}

static CHECKED struct mg_status
sweep(mg_instant now)
{
    OWN(database) database = NULL;
    TRY(mg_core_database(&database));
    TRY(providers_expire(database, now));
    TRY(mg_saml_sweep(database, now));
    TRY(mg_query_often(database, NULL, "DELETE FROM federation_replay WHERE expires_at <= $1",
                       MG_INSTANT(now)));
    return mg_query_often(database, NULL, "DELETE FROM federation_attempt WHERE at <= $1",
                          MG_INSTANT(now - (int64_t) ATTEMPT_LIFE_DAYS * 86400 * 1000));
}

void
mg_federation_tick(mg_instant now)
{
    static int64_t due_ms; /* monotonic */
    if (mg_monotonic_ms() < due_ms)
        return;
    due_ms = mg_monotonic_ms() + SWEEP_MS;
    const struct mg_status status = sweep(now);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "identity providers", status);
}
