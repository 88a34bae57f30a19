/* Back from an identity provider: the row federation_finish, for both kinds. What was begun is taken
 * (federation_begin.c), what came is judged, and a session starts or the administrator learns why not. */
#include "process/authority/federation.h"
#include "process/authority/identity_risk.h"
#include "process/authority/tenants.h"

#include "base/secret.h"
#include "domain/oidc.h"
#include "domain/return_path.h"
#include "domain/saml.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- finish ---- */

struct finishing {
    const struct mg_request_federation_finish *request;
    struct mg_call *call;
    mg_instant now;
    struct mg_core_tenant tenant;
    bool begun;                            /* else nobody here asked (SAML) */
    struct mg_record_federation_begun way; /* what was begun; it borrows the request */
    struct mg_federation_once once;
    struct mg_idp *idp;
    bool trial;
    struct mg_rows *arrival; /* of SAML; the next three borrow it */
    struct mg_record_saml_claims saml;
    struct mg_view provider, relay_state;
    uint8_t state[MG_TOKEN_BYTES];
    struct mg_buffer storage; /* of the claims */
    struct mg_reply_oidc_finish claims;
    struct mg_rows *rows; /* of the account */
    struct mg_buffer roles;
    struct mg_account account;
    struct mg_risk_question question;
    struct mg_risk_answer risk;
};
static void
finishing_drop(struct finishing *it)
{
    mg_rows_drop(&it->arrival);
    mg_rows_drop(&it->rows);
    mg_idp_drop(&it->idp);
    mg_buffer_drop(&it->storage);
    mg_buffer_drop(&it->roles);
}

/* SAML: somebody here asked, or the provider says so. */
static bool
is_solicited(const struct finishing *it)
{
    return it->saml.in_response_to.length != 0;
}

/* Whether the provider speaks SAML, and `saml` is what it said. */
static bool
is_saml(const struct finishing *it)
{
    return it->saml.identifier.length != 0;
}

/* Where a sign-in that began at the provider leads: RelayState, if that is an address of this tenant's own
 * applications, or a path here. Anything else is left alone (open redirect). */
static void
place_of(const struct finishing *it, struct mg_reply_federation_finish *reply)
{
    static const char scheme[] = "https://";
    const size_t start = sizeof scheme - 1;
    const struct mg_view wish = it->relay_state;
    struct mg_core_host host;
    if (wish.length <= start || memcmp(wish.bytes, scheme, start) != 0) {
        reply->path = mg_return_path(wish);
        return;
    }
    const struct mg_view rest = mg_view_of(wish.bytes + start, wish.length - start);
    const uint8_t *slash = memchr(rest.bytes, '/', rest.length);
    const size_t length = slash == NULL ? rest.length : (size_t) (slash - rest.bytes);
    const uint8_t *colon = memchr(rest.bytes, ':', length);
    const struct mg_view name =
        mg_view_of(rest.bytes, colon == NULL ? length : (size_t) (colon - rest.bytes));
    if (!mg_ok(mg_core_host(name, &host)) || host.tenant != it->tenant.number || host.origin != MG_ORIGIN_APP)
        return;
    reply->host = name; /* the port is ours to say, not theirs */
    reply->path = mg_return_path(mg_view_of(rest.bytes + length, rest.length - length));
}

static CHECKED struct mg_status
answer_finish(struct finishing *it, struct mg_reply_federation_finish reply, bool *ret_answered)
{
    if (it->begun) {
        reply.trial = it->trial;
        reply.host = it->way.host;
        reply.path = it->way.path;
    } else if (it->arrival != NULL && !is_solicited(it))
        place_of(it, &reply);
    if (it->question.account != NULL) /* it was asked about, so the browser has a device to keep */
        reply.device = mg_view_of(it->risk.device, sizeof it->risk.device);
    TRY(mg_answer_federation_finish(it->call, &reply));
    *ret_answered = true;
    return OK;
}

/* Who it is about, for the record: the account, or what the provider calls the person. */
static struct mg_core_actor
actor_of(const struct finishing *it)
{
    if (it->account.id != 0)
        return mg_actor_account(&it->account);
    return mg_actor_unknown(it->claims.email.length != 0 ? it->claims.email : it->claims.subject);
}

/* All that the provider said, for its administrators. */
static CHECKED struct mg_status
arrived_tell(const struct finishing *it, struct mg_buffer *arrived)
{
    const struct mg_status told =
        is_saml(it) ? mg_saml_arrived(&it->saml, arrived) : mg_idp_arrived(&it->claims, arrived);
    if (mg_ok(told))
        return OK;
    mg_buffer_clear(arrived); /* too much of it */
    return mg_buffer_add_text(arrived, "{}");
}

static CHECKED struct mg_status
attempt_keep(struct finishing *it, struct mg_database *database, enum mg_federation_refusal refusal,
             struct mg_view detail)
{
    OWN_BUFFER(arrived, MG_IDP_ARRIVED_MOST);
    TRY(arrived_tell(it, &arrived));
    const struct mg_idp_attempt attempt = {.idp = it->idp,
                                           .trial = it->trial,
                                           .refusal = refusal,
                                           .detail = detail,
                                           .login = it->account.login,
                                           .arrived = mg_buffer_view(&arrived)};
    return mg_idp_attempt_keep(database, &attempt, it->now);
}

/* Somebody was first, or it took too long. Anybody can cause these: they are counted together. */
static CHECKED struct mg_status
spent_finish(struct finishing *it, bool *ret_answered)
{
    mg_sign_in_refusal_count(it->tenant.number, MG_TICKET_SPENT, it->request->address);
    return answer_finish(it, (struct mg_reply_federation_finish){.outcome = MG_TICKET_SPENT}, ret_answered);
}

/* The administrator learns why, the visitor that it did not work; of each sign-in that was begun once. */
static CHECKED struct mg_status
refuse_finish(struct finishing *it, struct mg_database *database, enum mg_federation_refusal refusal,
              struct mg_view detail, bool *ret_answered)
{
    const struct mg_core_actor actor = actor_of(it);
    bool first = true;
    TRY(mg_federation_spend(database, it->idp, &it->once, it->now, &first));
    if (!first)
        return spent_finish(it, ret_answered);
    TRY(mg_idp_record(it->trial ? MG_EVENT_idp_test : MG_EVENT_sign_in, it->idp, &actor, refusal, detail,
                      it->request->address, 0));
    TRY(attempt_keep(it, database, refusal, detail));
    return answer_finish(it, (struct mg_reply_federation_finish){.outcome = mg_federation_outcome(refusal)},
                         ret_answered);
}

/* What was begun, from the browser that began it and no other (login CSRF, and a state that leaked), with its
 * provider as it is now. `begun` stays false if there is no such thing, or the provider is another one. */
static CHECKED struct mg_status
begun_open(struct finishing *it, struct mg_view state)
{
    OWN(idp) idp = NULL;
    const struct mg_begun_bond bond = {
        .tenant = it->tenant.number, .browser = it->request->browser, .state = state};
    bool found = false;
    TRY(mg_begun_open(&bond, it->request->begun, it->now, &it->way, &found));
    if (!found)
        return OK;
    const struct mg_status loaded = mg_idp_recall(it->tenant.number, it->way.name, &idp);
    if (loaded.code == MG_NOT_FOUND || (mg_ok(loaded) && idp->id != it->way.provider))
        return OK; /* removed meanwhile */
    TRY(loaded);
    TRY(mg_federation_once_add(&it->once, MG_ONCE_STATE, state));
    it->idp = TAKE(idp);
    it->trial = it->way.trial;
    it->begun = true;
    return OK;
}

/* How we show who we are at the token endpoint: a JWT that keys signs, or the shared secret, opened for this
 * one request and handed on without being kept. */
static CHECKED struct mg_status
client_authenticate(const struct mg_idp *idp, struct mg_request_oidc_finish *ask, struct mg_buffer *storage)
{
    const struct mg_idp_settings *settings = idp->settings;
    ask->authentication = mg_view_text(settings->client_authentication);
    if (strcmp(settings->client_authentication, "private-key") == 0) {
        struct mg_reply_sign_client_assertion reply;
        const struct mg_request_sign_client_assertion request = {.tenant = idp->tenant,
                                                                 .provider = idp->id,
                                                                 .key = (uint64_t) settings->client_key,
                                                                 .client = mg_view_text(settings->client),
                                                                 .audience = mg_view_text(settings->issuer)};
        TRY(mg_call_sign_client_assertion(&request, &reply, storage, MG_IDENTITY_CALL_MS));
        ask->assertion = reply.token;
        return OK;
    }
    if (strncmp(settings->client_authentication, "secret-", 7) != 0)
        return OK;
    struct mg_reply_unseal reply;
    char row[24];
    (void) snprintf(row, sizeof row, "%" PRIu64, idp->id);
    const struct mg_request_unseal request = {.tenant = idp->tenant,
                                              .table = mg_view_text("identity_provider"),
                                              .column = mg_view_text("secret"),
                                              .row = mg_view_text(row),
                                              .purpose = mg_view_text("token request"),
                                              .sealed = mg_buffer_view(&idp->secret_sealed)};
    TRY(mg_call_unseal(&request, &reply, storage, MG_IDENTITY_CALL_MS));
    ask->secret = reply.plaintext;
    return OK;
}

static CHECKED struct mg_status
claims_ask(struct finishing *it)
{
    OWN_BUFFER(secret_storage, MG_PACKET_MOST);
    OWN_BUFFER(redirect_uri, 511);
    OWN_BUFFER(verifier, MG_FEDERATION_DERIVED_TEXT);
    OWN_BUFFER(drill, 2048);
    const struct mg_idp_settings *settings = it->idp->settings;
    TRY(mg_idp_address(it->idp, &it->tenant, "callback", &redirect_uri));
    TRY(mg_federation_derive(it->request->browser, it->request->state, "verifier", &verifier));
    TRY(mg_drill_certificate(it->idp, &drill));
    struct mg_request_oidc_finish ask = {
        .issuer = mg_view_text(settings->issuer),
        .client = mg_view_text(settings->client),
        .redirect_uri = mg_buffer_view(&redirect_uri),
        .code = it->request->code,
        .verifier = mg_buffer_view(&verifier),
        .with_response_issuer = it->request->with_issuer,
        .response_issuer = it->request->issuer,
        /* Groups are asked for when they decide something, or when somebody wants to see them. */
        .groups_claim = settings->groups_roles[0] != '\0' || it->trial ? mg_view_text(settings->groups_claim)
                                                                       : MG_VIEW_EMPTY,
        .drill_certificate = mg_buffer_view(&drill),
    };
    TRY(client_authenticate(it->idp, &ask, &secret_storage));
    return mg_call_oidc_finish(&ask, &it->claims, &it->storage, MG_FEDERATION_CALL_MS);
}

/* False if there are more than anybody sends. */
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

/* Control: IDENTITY_03 */
static CHECKED struct mg_status
claims_judge(const struct finishing *it, enum mg_federation_refusal *ret_refusal)
{
    OWN_BUFFER(nonce, MG_FEDERATION_DERIVED_TEXT);
    const struct mg_idp_settings *settings = it->idp->settings;
    const struct mg_reply_oidc_finish *from = &it->claims;
    struct mg_oidc_claims claims = {.issuer = from->issuer,
                                    .subject = from->subject,
                                    .authorized_party = from->authorized_party,
                                    .nonce = from->nonce,
                                    .expires_s = from->expires_s,
                                    .issued_s = from->issued_s,
                                    .not_before_s = from->not_before_s,
                                    .authenticated_s = from->authenticated_s,
                                    .acr = from->acr};
    TRY(mg_federation_derive(it->request->browser, it->request->state, "nonce", &nonce));
    struct mg_oidc_expected expected = {.issuer = mg_view_text(settings->issuer),
                                        .client = mg_view_text(settings->client),
                                        .nonce = mg_buffer_view(&nonce),
                                        .skew_s = settings->skew / 1000,
                                        .maximum_age_s =
                                            mg_federation_age_wanted_s(it->idp, it->way.fresh_s)};
    const char *classes = settings->acr;
    struct mg_view word;
    while (mg_option_word(&classes, &word)) {
        if (expected.class_count == MG_OIDC_CLASSES_MOST) {
            *ret_refusal = MG_FEDERATION_WRONG_CLASS;
            return OK;
        }
        expected.classes[expected.class_count++] = word;
    }
    *ret_refusal = audiences_split(from->audiences, &claims) ? mg_oidc_judge(&claims, &expected, it->now)
                                                             : MG_FEDERATION_TOKEN_CLAIMS;
    return OK;
}

static bool
has_line(struct mg_view lines, const char *wanted)
{
    while (lines.length != 0) {
        const uint8_t *end = memchr(lines.bytes, '\n', lines.length);
        const size_t length = end == NULL ? lines.length : (size_t) (end - lines.bytes);
        if (mg_view_is(mg_view_of(lines.bytes, length), wanted))
            return true;
        const size_t taken = end == NULL ? length : length + 1;
        lines = mg_view_of(lines.bytes + taken, lines.length - taken);
    }
    return false;
}

/* With an answer that comes in a form the browser shows neither of these: then it is what it showed in the
 * beginning. */
static struct mg_view
device_of(const struct finishing *it)
{
    return it->request->response.length != 0 ? it->way.device : it->request->device;
}
static struct mg_view
previous_of(const struct finishing *it)
{
    return it->request->response.length != 0 ? it->way.previous : it->request->previous;
}

/* Control: IDENTITY_10
 * The provider knows the person; does the rest look like them? Several factors given there are the step up
 * that would be asked for here. Wrong passwords say nothing: none was asked for. */
static CHECKED struct mg_status
look_suspicious(struct finishing *it, struct mg_database *database, bool *ret_held)
{
    it->question = (struct mg_risk_question){.account = &it->account,
                                             .address = it->request->address,
                                             .user_agent = it->request->user_agent,
                                             .device = device_of(it),
                                             .account_key = MG_VIEW_EMPTY,
                                             .breached = MG_NOT_TOLD,
                                             .now = it->now};
    TRY(mg_risk_ask(database, &it->question, &it->risk));
    *ret_held = it->risk.verdict.outcome == MG_RISK_BLOCK ||
                (it->risk.verdict.outcome == MG_RISK_STEP_UP && !has_line(it->claims.methods, "mfa"));
    return *ret_held ? mg_risk_hold(database, &it->question, &it->risk) : OK;
}

/* With the provider, and when the provider says that its own session ends (SAML Core section 2.7.2). */
static mg_instant
session_end(const struct finishing *it)
{
    const int64_t end_s = is_saml(it) ? it->saml.session_expires_s : -1;
    return end_s >= 0 && end_s * 1000 < it->idp->expires_at ? end_s * 1000 : it->idp->expires_at;
}

static CHECKED struct mg_status
grant(struct finishing *it, struct mg_database *database, bool *ret_answered)
{
    const struct mg_view host = it->begun ? it->way.host : MG_VIEW_EMPTY;
    const int64_t authenticated_s = it->claims.authenticated_s;
    OWN_BUFFER(arrived, MG_IDP_ARRIVED_MOST);
    TRY(arrived_tell(it, &arrived));
    const struct mg_federated federated = {
        .provider = it->idp->id,
        .subject = it->claims.subject,
        .session = it->claims.sid,
        .acr = it->claims.acr,
        .methods = it->claims.methods,
        /* What the provider says, but never later than now: a clock that is ahead makes nobody fresher. */
        .authenticated_at =
            authenticated_s >= 0 && authenticated_s * 1000 < it->now ? authenticated_s * 1000 : it->now,
        .expires_at = session_end(it),
        .several_factors = has_line(it->claims.methods, "mfa"),
        .arrived = mg_buffer_view(&arrived),
        .saml = is_saml(it) ? &it->saml : NULL,
    };
    MG_CLEANUP(mg_new_family_drop)
    struct mg_new_family family = {
        .tenant = &it->tenant,
        .account = &it->account,
        .address = it->request->address,
        .user_agent = it->request->user_agent,
        .previous = previous_of(it),
        .code_host = host,
        .binding = it->begun ? it->way.binding : MG_VIEW_EMPTY,
        .federated = &federated,
        .question = &it->question,
        .risk = &it->risk,
        .now = it->now,
    };
    bool started = false, held = false;
    OWN_BUFFER(by, 128);
    TRY(look_suspicious(it, database, &held));
    if (held)
        return refuse_finish(it, database, MG_FEDERATION_SUSPICIOUS, MG_VIEW_EMPTY, ret_answered);
    const struct mg_core_actor actor = mg_actor_account(&it->account);
    TRY(mg_family_prepare(&family));
    TRY(mg_buffer_format(&by, "provider %s", it->idp->name));
    const struct mg_audit_note record = {.event = MG_EVENT_sign_in,
                                         .tenant = it->tenant.number,
                                         .actor = &actor,
                                         .target = mg_buffer_view(&by),
                                         .outcome = MG_AUDIT_SUCCESS,
                                         .address = it->request->address,
                                         .family = family.family};
    TRY(mg_family_start(database, &family, &record, &started));
    if (!started)
        return refuse_finish(it, database, MG_FEDERATION_CHANGED_MEANWHILE, MG_VIEW_EMPTY, ret_answered);
    return answer_finish(
        it,
        (struct mg_reply_federation_finish){
            .outcome = MG_GRANTED,
            .token = mg_view_of(family.token, sizeof family.token),
            .code = host.length != 0 ? mg_view_of(family.code, sizeof family.code) : MG_VIEW_EMPTY,
        },
        ret_answered);
}

/* A trial ends with what would have been decided. */
static CHECKED struct mg_status
trial_end(struct finishing *it, struct mg_database *database, bool *ret_answered)
{
    const struct mg_core_actor actor = actor_of(it);
    bool first = true;
    TRY(mg_federation_spend(database, it->idp, &it->once, it->now, &first));
    if (!first)
        return spent_finish(it, ret_answered);
    TRY(mg_idp_record(MG_EVENT_idp_test, it->idp, &actor, MG_FEDERATION_NONE, MG_VIEW_EMPTY,
                      it->request->address, 0));
    TRY(attempt_keep(it, database, MG_FEDERATION_NONE, MG_VIEW_EMPTY));
    return answer_finish(it, (struct mg_reply_federation_finish){.outcome = MG_GRANTED}, ret_answered);
}

/* What the provider says holds: whose account is it? */
static CHECKED struct mg_status
person_let_in(struct finishing *it, struct mg_database *database, bool *ret_answered)
{
    enum mg_federation_refusal refusal;
    TRY(mg_idp_account(database, it->idp, &it->claims, it->trial ? NULL : &it->once, it->now, &it->rows,
                       &it->roles, &it->account, &refusal));
    if (refusal == MG_FEDERATION_REPLAYED)
        return spent_finish(it, ret_answered);
    if (refusal != MG_FEDERATION_NONE)
        return refuse_finish(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    return it->trial ? trial_end(it, database, ret_answered) : grant(it, database, ret_answered);
}

/* Before the provider is asked: is it still the one, and may it be used? */
static enum mg_federation_refusal
way_judge(const struct finishing *it)
{
    if (!mg_view_equal(it->request->provider, mg_view_text(it->idp->name)) ||
        mg_idp_is_saml(it->idp->settings))
        return MG_FEDERATION_WRONG_PROVIDER;
    const enum mg_federation_refusal usable = mg_idp_judge_now(it->idp, &it->tenant, it->now);
    if (usable != MG_FEDERATION_NONE && !(it->trial && it->tenant.open))
        return usable;
    if (!mg_tenants_sign_in_allowed(it->tenant.number, it->request->address))
        return MG_FEDERATION_ADDRESS_NOT_ALLOWED;
    return it->request->error.length != 0 || it->request->code.length == 0 ? MG_FEDERATION_PROVIDER_ERROR
                                                                           : MG_FEDERATION_NONE;
}

static CHECKED struct mg_status
finish_run(struct finishing *it, bool *ret_answered)
{
    OWN(database) database = NULL;
    enum mg_federation_refusal refusal;
    bool first = true;
    TRY(begun_open(it, it->request->state));
    if (!it->begun)
        return spent_finish(it, ret_answered);
    /* Before the provider is asked: a code that comes twice it refuses, and may take back what it gave for it
     * (RFC 6749 section 4.1.2). Of several at once one goes on. */
    TRY(mg_core_database(&database));
    TRY(mg_federation_spend(database, it->idp, &it->once, it->now, &first));
    if (!first)
        return spent_finish(it, ret_answered);
    refusal = way_judge(it);
    if (refusal != MG_FEDERATION_NONE)
        return refuse_finish(it, database, refusal, it->request->error, ret_answered);
    mg_database_drop(&database); /* others may use the connection while the provider is asked */
    TRY(claims_ask(it));
    TRY(mg_core_database(&database));
    if (it->claims.refusal != MG_FEDERATION_NONE)
        return refuse_finish(it, database, (enum mg_federation_refusal) it->claims.refusal, it->claims.detail,
                             ret_answered);
    TRY(claims_judge(it, &refusal));
    if (refusal != MG_FEDERATION_NONE)
        return refuse_finish(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    return person_let_in(it, database, ret_answered);
}

/* ---- SAML: what saml_arrive has verified meets the browser's cookies ---- */

/* What saml_arrive kept, or nothing: it was never there, its minute has passed, or somebody was first. */
static CHECKED struct mg_status
arrival_find(struct finishing *it, struct mg_database *database, enum mg_saml_taking taking)
{
    mg_rows_drop(&it->arrival);
    return mg_saml_arrival_take(database, it->tenant.number, it->request->arrival, taking, it->now,
                                &it->arrival, &it->saml, &it->provider, &it->relay_state);
}

/* What this browser began, if that is what is answered, and the provider that answered, as it is now. */
static CHECKED struct mg_status
arrival_provider(struct finishing *it, struct mg_database *database)
{
    OWN_BUFFER(state, MG_TOKEN_BYTES);
    if (is_solicited(it) && mg_ok(mg_base64url_decode(it->relay_state, &state)) &&
        state.length == MG_TOKEN_BYTES) {
        memcpy(it->state, state.bytes, MG_TOKEN_BYTES);
        TRY(begun_open(it, mg_view_of(it->state, MG_TOKEN_BYTES)));
    }
    if (it->begun && mg_view_equal(it->way.name, it->provider))
        return OK;
    mg_idp_drop(&it->idp);
    return mg_idp_load(database, it->tenant.number, it->provider, &it->idp);
}

/* Control: IDENTITY_03. Who asked, in which browser, and whether somebody is signed in here already. Answers
 * by itself when the sign-in does not go on. */
static CHECKED struct mg_status
arrival_bind(struct finishing *it, struct mg_database *database, bool *ret_answered)
{
    OWN_BUFFER(identifier, 2 * MG_FEDERATION_DERIVED_TEXT);
    enum mg_federation_refusal refusal = MG_FEDERATION_NONE;
    const bool solicited = is_solicited(it);
    const bool allowed = strcmp(it->idp->settings->idp_initiated, "no") != 0;
    if (solicited) {
        if (!it->begun) /* of another browser (login CSRF), or too late */
            refusal = MG_FEDERATION_WRONG_REQUEST;
        else if (!mg_view_is(it->way.name, it->idp->name))
            refusal = MG_FEDERATION_WRONG_PROVIDER;
        else
            TRY(mg_federation_request_identifier(it->request->browser, mg_view_of(it->state, MG_TOKEN_BYTES),
                                                 &identifier));
    }
    if (refusal == MG_FEDERATION_NONE)
        refusal = mg_saml_answer_judge(&it->saml, mg_buffer_view(&identifier), allowed);
    if (refusal != MG_FEDERATION_NONE)
        return refuse_finish(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    /* What nobody here asked for never takes the place of a session. */
    if (!solicited && it->request->previous.length != 0)
        return answer_finish(it, (struct mg_reply_federation_finish){.outcome = MG_GRANTED, .stays = true},
                             ret_answered);
    return OK;
}

/* A sign-in that began at the provider may need the person's word first: then the arrival is kept, and the
 * page says who would be signed in. */
static CHECKED struct mg_status
confirm_ask(struct finishing *it, struct mg_database *database, bool *ret_answered)
{
    OWN_BUFFER(unused, 1024);
    enum mg_federation_refusal refusal = MG_FEDERATION_NONE;
    TRY(mg_idp_account(database, it->idp, &it->claims, NULL, it->now, &it->rows, &unused, &it->account,
                       &refusal));
    if (refusal != MG_FEDERATION_NONE)
        return refuse_finish(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    const struct mg_view login = it->account.id != 0 ? it->account.login : it->claims.email;
    return answer_finish(
        it, (struct mg_reply_federation_finish){.outcome = MG_GRANTED, .confirm = true, .login = login},
        ret_answered);
}

static CHECKED struct mg_status
arrival_run(struct finishing *it, bool *ret_answered)
{
    OWN(database) database = NULL;
    enum mg_federation_refusal refusal;
    TRY(mg_core_database(&database));
    TRY(arrival_find(it, database, it->request->confirmed ? MG_SAML_TAKE : MG_SAML_TAKE_SOLICITED));
    if (it->arrival == NULL && !it->request->confirmed)
        TRY(arrival_find(it, database, MG_SAML_LOOK));
    if (it->arrival == NULL || !mg_view_equal(it->provider, it->request->provider)) {
        mg_sign_in_refusal_count(it->tenant.number, MG_TICKET_SPENT, it->request->address);
        return answer_finish(it, (struct mg_reply_federation_finish){.outcome = MG_TICKET_SPENT},
                             ret_answered);
    }
    TRY(arrival_provider(it, database));
    const bool asks = !is_solicited(it) && strcmp(it->idp->settings->idp_initiated, "confirm") == 0 &&
                      it->request->previous.length == 0;
    if (!it->request->confirmed && !is_solicited(it) && !asks) { /* whoever comes second finds nothing */
        TRY(arrival_find(it, database, MG_SAML_TAKE));
        if (it->arrival == NULL)
            return answer_finish(it, (struct mg_reply_federation_finish){.outcome = MG_TICKET_SPENT},
                                 ret_answered);
    }
    it->claims = mg_saml_claims_map(&it->saml);
    TRY(arrival_bind(it, database, ret_answered));
    if (*ret_answered)
        return OK;
    refusal = mg_idp_judge_now(it->idp, &it->tenant, it->now);
    if (refusal != MG_FEDERATION_NONE && !(it->trial && it->tenant.open))
        return refuse_finish(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    if (!mg_tenants_sign_in_allowed(it->tenant.number, it->request->address))
        return refuse_finish(it, database, MG_FEDERATION_ADDRESS_NOT_ALLOWED, MG_VIEW_EMPTY, ret_answered);
    const uint64_t fresh_s = it->begun ? it->way.fresh_s : 0;
    TRY(mg_saml_claims_judge(it->idp, &it->tenant, &it->saml, mg_federation_age_wanted_s(it->idp, fresh_s),
                             it->now, &refusal));
    if (refusal != MG_FEDERATION_NONE)
        return refuse_finish(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    if (asks && !it->request->confirmed)
        return confirm_ask(it, database, ret_answered);
    return person_let_in(it, database, ret_answered);
}

/* ---- SAML: an answer whose browser showed its cookies with it ---- */

/* Before a provider's signature was seen anybody can send one: counted together. */
static CHECKED struct mg_status
refuse_unsigned(struct finishing *it, enum mg_federation_refusal refusal, struct mg_view detail,
                bool *ret_answered)
{
    OWN(database) database = NULL;
    const struct mg_idp_attempt attempt = {.idp = it->idp,
                                           .trial = it->trial,
                                           .refusal = refusal,
                                           .detail = detail,
                                           .arrived = mg_view_text("{}")};
    TRY(mg_core_database(&database));
    TRY(mg_idp_attempt_keep(database, &attempt, it->now));
    mg_sign_in_refusal_count(it->tenant.number, mg_federation_outcome(refusal), it->request->address);
    return answer_finish(it, (struct mg_reply_federation_finish){.outcome = mg_federation_outcome(refusal)},
                         ret_answered);
}

/* Control: IDENTITY_03 */
static CHECKED struct mg_status
response_judge(struct finishing *it, enum mg_federation_refusal *ret_refusal)
{
    OWN_BUFFER(identifier, 2 * MG_FEDERATION_DERIVED_TEXT);
    TRY(mg_federation_request_identifier(it->request->browser, it->request->state, &identifier));
    *ret_refusal = mg_saml_answer_judge(&it->saml, mg_buffer_view(&identifier), false);
    if (*ret_refusal == MG_FEDERATION_NONE)
        TRY(mg_saml_claims_judge(it->idp, &it->tenant, &it->saml,
                                 mg_federation_age_wanted_s(it->idp, it->way.fresh_s), it->now, ret_refusal));
    return OK;
}

static CHECKED struct mg_status
response_run(struct finishing *it, bool *ret_answered)
{
    OWN(database) database = NULL;
    struct mg_reply_saml_read reply;
    TRY(begun_open(it, it->request->state));
    if (!it->begun)
        return spent_finish(it, ret_answered);
    enum mg_federation_refusal refusal = MG_FEDERATION_WRONG_PROVIDER;
    if (mg_view_equal(it->request->provider, it->way.name) && mg_idp_is_saml(it->idp->settings)) {
        refusal = mg_idp_judge_now(it->idp, &it->tenant, it->now);
        if (it->trial && it->tenant.open)
            refusal = MG_FEDERATION_NONE;
    }
    if (refusal == MG_FEDERATION_NONE && !mg_tenants_sign_in_allowed(it->tenant.number, it->request->address))
        refusal = MG_FEDERATION_ADDRESS_NOT_ALLOWED;
    if (refusal != MG_FEDERATION_NONE)
        return refuse_unsigned(it, refusal, MG_VIEW_EMPTY, ret_answered);
    TRY(mg_saml_response_read(it->idp, it->request->response, it->trial, &it->storage, &reply, &it->saml));
    if (reply.refusal != MG_FEDERATION_NONE)
        return refuse_unsigned(it, (enum mg_federation_refusal) reply.refusal, reply.detail, ret_answered);
    it->claims = mg_saml_claims_map(&it->saml);
    TRY(mg_federation_once_add(&it->once, MG_ONCE_ASSERTION, it->saml.identifier));
    TRY(response_judge(it, &refusal));
    TRY(mg_core_database(&database));
    if (refusal != MG_FEDERATION_NONE)
        return refuse_finish(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    return person_let_in(it, database, ret_answered);
}

static struct mg_status
finish_task(const void *request, struct mg_call *call, bool *ret_answered)
{
    MG_CLEANUP(finishing_drop)
    struct finishing it = {.request = request,
                           .call = call,
                           .now = mg_now(),
                           .storage = MG_BUFFER(MG_PACKET_MOST),
                           .roles = MG_BUFFER(1024),
                           .account = {.login = MG_VIEW_EMPTY}};
    const struct mg_status tenant = mg_core_tenant(it.request->tenant, &it.tenant);
    if (it.request->tenant == 0 || tenant.code == MG_NOT_FOUND || (mg_ok(tenant) && !it.tenant.open))
        return answer_finish(&it, (struct mg_reply_federation_finish){.outcome = MG_TENANT_CLOSED},
                             ret_answered);
    TRY(tenant);
    const struct mg_status status = it.request->arrival.length != 0    ? arrival_run(&it, ret_answered)
                                    : it.request->response.length != 0 ? response_run(&it, ret_answered)
                                                                       : finish_run(&it, ret_answered);
    if (status.code == MG_BUSY && !*ret_answered)
        return answer_finish(&it, (struct mg_reply_federation_finish){.outcome = MG_BUSY_NOW}, ret_answered);
    return status;
}

MG_HANDLER_PUBLIC(federation_finish)
{
    const struct mg_status status =
        mg_federation_work(request->tenant, finish_task, request, sizeof *request, call);
    if (status.code != MG_BUSY)
        return status;
    mg_sign_in_refusal_count(request->tenant, MG_BUSY_NOW, request->address);
    return mg_answer_federation_finish(call, &(struct mg_reply_federation_finish){.outcome = MG_BUSY_NOW});
}
