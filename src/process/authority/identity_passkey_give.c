/* A passkey is used: to sign in without a password, after the password, or to show anew who it is. The
 * federation process reads the browser's JSON and the signature's DER; the signature is checked here, over
 * the bytes as they came. */
#include "process/authority/identity_factor.h"
#include "process/authority/identity_risk.h"
#include "process/authority/tenants.h"

#include "base/secret.h"
#include "domain/passkey.h"
#include "ports/passkey_key.h"

struct factor {
    uint64_t id;
    struct mg_view key; /* borrows the rows */
    int64_t algorithm;
    uint64_t counter;
    bool verifies_user, backup_eligible;
};

struct give {
    const struct mg_request_passkey_give *request;
    mg_instant now;
    struct mg_core_tenant tenant;
    struct mg_rows *rows, *factor_rows;
    struct mg_account account;
    bool known;                  /* whose passkey it is */
    struct mg_live_session live; /* stepping up */
    struct factor factor;
    uint8_t bound_to[32];
    struct mg_attempt attempt;
    struct mg_passkey_head head;
    struct mg_buffer storage;
    struct mg_risk_question question;
    struct mg_risk_answer risk;
    struct mg_new_family family;
};

static void
give_drop(struct give *it)
{
    mg_rows_drop(&it->rows);
    mg_rows_drop(&it->factor_rows);
    mg_attempt_drop(&it->attempt);
    mg_buffer_drop(&it->storage);
    mg_new_family_drop(&it->family);
}

static CHECKED struct mg_status
note(const struct give *it, enum mg_event event, enum mg_audit_outcome outcome, const char *reason)
{
    const struct mg_core_actor actor = mg_actor_account(&it->account);
    return mg_identity_note(&(struct mg_audit_note){.event = event,
                                                    .tenant = it->account.tenant,
                                                    .actor = &actor,
                                                    .outcome = outcome,
                                                    .reason = mg_view_text(reason),
                                                    .address = it->request->address,
                                                    .family = it->live.family});
}

/* ---- whose it may be -------------------------------------------------------------------------------- */

#define FACTOR_COLUMNS "f.id, f.public_key, f.algorithm, f.sign_count, f.verifies_user, f.backup_eligible"

static void
factor_read(struct give *it, int first)
{
    it->factor = (struct factor){.id = (uint64_t) mg_rows_i64(it->factor_rows, 0, first),
                                 .key = mg_rows_bytes(it->factor_rows, 0, first + 1),
                                 .algorithm = mg_rows_i64(it->factor_rows, 0, first + 2),
                                 .counter = (uint64_t) mg_rows_i64(it->factor_rows, 0, first + 3),
                                 .verifies_user = mg_rows_flag(it->factor_rows, 0, first + 4),
                                 .backup_eligible = mg_rows_flag(it->factor_rows, 0, first + 5)};
}

/* By what the passkey says it is: one of this tenant, whoever's. */
static CHECKED struct mg_status
find_anybody(struct give *it, struct mg_database *database)
{
    TRY(mg_passkey_bound(it->request->browser, it->bound_to));
    TRY(mg_query(database, &it->factor_rows,
                 "SELECT " MG_ACCOUNT_COLUMNS ", " FACTOR_COLUMNS
                 " FROM factor f JOIN account acc ON acc.id = f.account WHERE f.credential_id = $1"
                 " AND f.kind = 'passkey' AND f.confirmed_at IS NOT NULL AND acc.tenant = $2",
                 MG_BYTES(it->request->credential), MG_I64(it->tenant.number)));
    it->known = mg_rows_count(it->factor_rows) == 1 && mg_account_read(it->factor_rows, 0, 0, &it->account);
    if (it->known)
        factor_read(it, MG_ACCOUNT_COLUMN_COUNT);
    return OK;
}

static CHECKED struct mg_status
find_own(struct give *it, struct mg_database *database)
{
    TRY(mg_query(database, &it->factor_rows,
                 "SELECT " FACTOR_COLUMNS " FROM factor f WHERE f.credential_id = $1 AND f.account = $2"
                 " AND f.kind = 'passkey' AND f.confirmed_at IS NOT NULL",
                 MG_BYTES(it->request->credential), MG_I64(it->account.id)));
    it->known = mg_rows_count(it->factor_rows) == 1;
    if (it->known)
        factor_read(it, 0);
    return OK;
}

/* GRANTED when there is somebody to try it for. */
static CHECKED struct mg_status
subject_find(struct give *it, struct mg_database *database, enum mg_outcome *ret_outcome)
{
    const struct mg_request_passkey_give *request = it->request;
    bool found = false, enrol = false;
    *ret_outcome = MG_ADDRESS_NOT_ALLOWED; /* here as well, before a challenge is spent */
    if (request->use != MG_PASSKEY_USE_STEP_UP &&
        !mg_tenants_sign_in_allowed(request->tenant, request->address))
        return OK;
    *ret_outcome = MG_GRANTED;
    switch (request->use) {
    case MG_PASSKEY_USE_SIGN_IN:
        if ((it->tenant.methods & MG_METHOD_PASSKEY) == 0)
            *ret_outcome = MG_METHOD_NOT_ALLOWED;
        return OK;
    case MG_PASSKEY_USE_SECOND:
        TRY(mg_second_ticket_find(database, request->tenant, request->ticket, "second", it->now, &it->rows,
                                  &it->account, &found, &enrol));
        *ret_outcome = found ? MG_GRANTED : MG_TICKET_SPENT;
        return found ? mg_passkey_bound(request->ticket, it->bound_to) : OK;
    case MG_PASSKEY_USE_STEP_UP:
        TRY(mg_session_find(database, request->tenant, request->session, MG_VIEW_EMPTY, it->now, &it->rows,
                            &it->live, &found));
        it->account = it->live.account;
        *ret_outcome = found ? MG_GRANTED : MG_SESSION_ENDED;
        return found ? mg_passkey_bound(request->session, it->bound_to) : OK;
    default:
        return fail_with(INVALID, "use of a passkey");
    }
}

/* A passkey cannot be guessed, but what is tried costs work and records: tries are counted like those of
 * codes, and where nobody is known yet by the address. */
static CHECKED struct mg_status
attempt_begin(struct give *it, struct mg_database *database)
{
    if (it->request->use == MG_PASSKEY_USE_SIGN_IN)
        return mg_attempt_begin_address(database, it->tenant.number, MG_ATTEMPT_ADDRESS, it->request->address,
                                        it->now, &it->attempt);
    return mg_attempt_begin_second(database, it->account.tenant, it->account.login, it->request->address,
                                   it->now, &it->attempt);
}

/* ---- what it is worth ------------------------------------------------------------------------------- */

static CHECKED struct mg_status
handle_judge(const struct give *it, enum mg_passkey_refusal *ret_refusal)
{
    uint8_t handle[32];
    const struct mg_view given = it->request->user_handle;
    *ret_refusal = MG_PASSKEY_NONE;
    if (given.length == 0 && it->request->use != MG_PASSKEY_USE_SIGN_IN)
        return OK; /* section 7.2 step 6: only one that was not asked for by name has to say whose it is */
    TRY(mg_passkey_user_handle(it->account.tenant, it->account.id, handle));
    if (!mg_view_equal_constant_time(given, mg_view_of(handle, sizeof handle)))
        *ret_refusal = MG_PASSKEY_USER_HANDLE;
    return OK;
}

static CHECKED struct mg_status
signature_judge(const struct give *it, struct mg_view signature, enum mg_passkey_refusal *ret_refusal)
{
    OWN_BUFFER(message, 4096 + 32);
    uint8_t hash[32];
    bool right = false;
    TRY(mg_secret_hash(it->request->client_data, hash));
    TRY(mg_buffer_add(&message, it->request->authenticator_data));
    TRY(mg_buffer_add(&message, mg_view_of(hash, sizeof hash)));
    TRY(mg_passkey_key_verify(it->factor.algorithm, it->factor.key, mg_buffer_view(&message), signature,
                              &right));
    *ret_refusal = right ? MG_PASSKEY_NONE : MG_PASSKEY_SIGNATURE;
    return OK;
}

/* Section 7.2 but for the counter, which is taken together with the challenge. */
/* Control: IDENTITY_04 */
static CHECKED struct mg_status
judge(struct give *it, enum mg_passkey_refusal *ret_refusal)
{
    const struct mg_request_passkey_give *request = it->request;
    const enum mg_passkey_use use = (enum mg_passkey_use) request->use;
    struct mg_reply_passkey_use_read read;
    bool good = false;
    *ret_refusal = MG_PASSKEY_CREDENTIAL;
    if (!it->known)
        return OK;
    *ret_refusal = MG_PASSKEY_CHALLENGE;
    TRY(mg_passkey_challenge_check(it->account.tenant, request->challenge, use, it->bound_to, it->now,
                                   &good));
    if (!good)
        return OK;
    const struct mg_request_passkey_use_read ask = {.client_data = request->client_data,
                                                    .authenticator_data = request->authenticator_data,
                                                    .signature = request->signature,
                                                    .algorithm = it->factor.algorithm};
    TRY(mg_call_passkey_use_read(&ask, &read, &it->storage, MG_IDENTITY_CALL_MS));
    *ret_refusal = read.refusal < MG_PASSKEY_REFUSAL_COUNT ? (enum mg_passkey_refusal) read.refusal
                                                           : MG_PASSKEY_CLIENT_DATA;
    if (*ret_refusal != MG_PASSKEY_NONE)
        return OK;
    struct mg_passkey_facts facts = {
        .type = read.type,
        .challenge = read.challenge,
        .origin = read.origin,
        .cross_origin = read.cross_origin,
        .challenge_expected = request->challenge,
        .origin_expected = mg_view_text(it->tenant.sign_in_origin),
        .algorithm = it->factor.algorithm,
        .must_verify = mg_passkey_must_verify(use, it->factor.verifies_user),
        .eligible_expected = it->factor.backup_eligible,
    };
    *ret_refusal = MG_PASSKEY_AUTHENTICATOR_DATA;
    if (!mg_passkey_head_read(request->authenticator_data, &facts.head))
        return OK;
    it->head = facts.head;
    TRY(mg_secret_hash(mg_view_text(it->tenant.sign_in_host), facts.rp_id_hash_expected));
    *ret_refusal = mg_passkey_judge(&facts);
    if (*ret_refusal == MG_PASSKEY_NONE)
        TRY(signature_judge(it, read.signature, ret_refusal));
    if (*ret_refusal == MG_PASSKEY_NONE)
        TRY(handle_judge(it, ret_refusal));
    return OK;
}

/* Of any number who use the challenge, or the counter's value, at the same time one wins. */
/* Control: IDENTITY_04 */
static CHECKED struct mg_status
take(struct give *it, struct mg_database *database, enum mg_passkey_refusal *ret_refusal)
{
    OWN(rows) rows = NULL;
    bool first = false;
    TRY(mg_passkey_challenge_spend(database, it->request->challenge, it->now, &first));
    *ret_refusal = MG_PASSKEY_CHALLENGE;
    if (!first)
        return OK;
    TRY(mg_query(
        database, &rows,
        "UPDATE factor SET sign_count = $2, backed_up = $3, last_used_at = $4 WHERE id = $1"
        " AND confirmed_at IS NOT NULL AND (sign_count < $2 OR (sign_count = 0 AND $2 = 0)) RETURNING id",
        MG_I64(it->factor.id), MG_I64(it->head.counter),
        MG_FLAG((it->head.flags & MG_PASSKEY_BACKED_UP) != 0), MG_INSTANT(it->now)));
    *ret_refusal = mg_rows_count(rows) == 1 ? MG_PASSKEY_NONE : MG_PASSKEY_COUNTER;
    if (*ret_refusal == MG_PASSKEY_COUNTER)
        return mg_factor_mail(database, &it->account, "passkey_copied", it->request->address, it->now);
    return OK;
}

static CHECKED struct mg_status
refuse(const struct give *it, struct mg_database *database, const char *reason)
{
    TRY(mg_attempt_keep(database));
    if (it->account.id == 0) { /* nobody's: counted together, so that nobody can fill the log */
        mg_sign_in_refusal_count(it->request->tenant, MG_PASSKEY_REFUSED, it->request->address);
        return OK;
    }
    const bool step_up = it->request->use == MG_PASSKEY_USE_STEP_UP;
    TRY(note(it, step_up ? MG_EVENT_step_up : MG_EVENT_sign_in, MG_AUDIT_FAILURE, reason));
    return it->attempt.locks && it->request->use != MG_PASSKEY_USE_SIGN_IN
               ? note(it, MG_EVENT_account_lock, MG_AUDIT_SUCCESS, "second factor")
               : OK;
}

/* ---- what it opens ---------------------------------------------------------------------------------- */

static CHECKED struct mg_status
step_up(struct give *it, struct mg_database *database, enum mg_outcome *ret_outcome)
{
    bool alive = false;
    TRY(mg_attempt_forget(database, &it->attempt, true));
    TRY(note(it, MG_EVENT_step_up, MG_AUDIT_SUCCESS, "passkey"));
    TRY(mg_family_prove(database, &it->live, "passkey", it->now, &alive));
    *ret_outcome = alive ? MG_GRANTED : MG_SESSION_ENDED;
    return OK;
}

static CHECKED struct mg_status
second(struct give *it, struct mg_database *database, enum mg_outcome *ret_outcome)
{
    const struct mg_last_step last = {.tenant = &it->tenant,
                                      .account = &it->account,
                                      .attempt = &it->attempt,
                                      .ticket = it->request->ticket,
                                      .address = it->request->address,
                                      .user_agent = it->request->user_agent,
                                      .host = it->request->host,
                                      .binding = it->request->binding,
                                      .previous = it->request->previous,
                                      .kind = "passkey",
                                      .now = it->now};
    return mg_last_step_take(database, &last, &it->family, ret_outcome);
}

/* Without a password. The passkey is two factors in one and cannot be given away to a false site, so what a
 * suspicious sign-in would otherwise ask for has been given; one that is blocked stays so. */
/* Control: IDENTITY_10 */
static CHECKED struct mg_status
sign_in(struct give *it, struct mg_database *database, enum mg_outcome *ret_outcome)
{
    bool started = false;
    it->question = (struct mg_risk_question){.account = &it->account,
                                             .address = it->request->address,
                                             .user_agent = it->request->user_agent,
                                             .device = it->request->device,
                                             .account_key = MG_VIEW_EMPTY,
                                             .breached = MG_NOT_TOLD,
                                             .now = it->now};
    TRY(mg_risk_ask(database, &it->question, &it->risk));
    *ret_outcome = MG_SIGN_IN_HELD;
    if (it->risk.verdict.outcome == MG_RISK_BLOCK)
        return mg_risk_hold(database, &it->question, &it->risk);
    it->family = (struct mg_new_family){.tenant = &it->tenant,
                                        .account = &it->account,
                                        .address = it->request->address,
                                        .user_agent = it->request->user_agent,
                                        .previous = it->request->previous,
                                        .code_host = it->request->host,
                                        .binding = it->request->binding,
                                        .attempt = &it->attempt,
                                        .second_factor = MG_PASSKEY_ALONE,
                                        .without_password = true,
                                        .question = &it->question,
                                        .risk = &it->risk,
                                        .now = it->now};
    TRY(mg_family_prepare(&it->family));
    const struct mg_core_actor actor = mg_actor_account(&it->account);
    const struct mg_audit_note record = {.event = MG_EVENT_sign_in,
                                         .tenant = it->account.tenant,
                                         .actor = &actor,
                                         .outcome = MG_AUDIT_SUCCESS,
                                         .reason = mg_view_text(MG_PASSKEY_ALONE),
                                         .address = it->request->address,
                                         .family = it->family.family};
    TRY(mg_family_start(database, &it->family, &record, &started));
    *ret_outcome = started ? MG_GRANTED : MG_PASSKEY_REFUSED;
    return started ? OK : refuse(it, database, "CHANGED_MEANWHILE");
}

/* Its owner may sign in at all: asked only after the signature, so that nobody else learns it. */
static const char *
kept_out(const struct give *it)
{
    if (it->account.disabled)
        return "DISABLED";
    if (it->account.locked)
        return "LOCKED_BY_OPERATOR";
    /* Whoever signs in through a provider alone must not stay when they have left there. */
    if (it->request->use == MG_PASSKEY_USE_SIGN_IN && it->account.password_sealed.length == 0)
        return mg_passkey_refusal_name(MG_PASSKEY_PROVIDER_ONLY);
    return NULL;
}

static CHECKED struct mg_status
try_it(struct give *it, struct mg_database *database, enum mg_outcome *ret_outcome)
{
    enum mg_passkey_refusal refusal = MG_PASSKEY_CREDENTIAL;
    TRY(it->request->use == MG_PASSKEY_USE_SIGN_IN ? find_anybody(it, database) : find_own(it, database));
    TRY(judge(it, &refusal));
    if (refusal == MG_PASSKEY_NONE)
        TRY(take(it, database, &refusal));
    const char *reason = refusal != MG_PASSKEY_NONE ? mg_passkey_refusal_name(refusal) : kept_out(it);
    *ret_outcome = MG_PASSKEY_REFUSED;
    if (reason != NULL)
        return refuse(it, database, reason);
    switch (it->request->use) {
    case MG_PASSKEY_USE_SIGN_IN:
        return sign_in(it, database, ret_outcome);
    case MG_PASSKEY_USE_SECOND:
        return second(it, database, ret_outcome);
    default:
        return step_up(it, database, ret_outcome);
    }
}

static CHECKED struct mg_status
give_run(struct give *it, struct mg_database *database, struct mg_reply_passkey_give *reply)
{
    const struct mg_request_passkey_give *request = it->request;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    const struct mg_status place = mg_core_tenant(request->tenant, &it->tenant);
    reply->outcome = MG_TENANT_CLOSED;
    if (place.code == MG_NOT_FOUND || (mg_ok(place) && !it->tenant.open))
        return OK;
    TRY(place);
    if (!mg_app_host_is_ours(request->tenant, request->host, request->binding))
        outcome = MG_HOST_NOT_YOURS;
    else
        TRY(subject_find(it, database, &outcome));
    if (outcome == MG_GRANTED) {
        TRY(attempt_begin(it, database));
        outcome = it->attempt.outcome;
        reply->wait_s = (uint64_t) ((it->attempt.wait_ms + 999) / 1000);
    }
    reply->outcome = outcome;
    if (outcome != MG_GRANTED) {
        mg_sign_in_refusal_count(request->tenant, outcome, request->address);
        return OK;
    }
    const struct mg_status status = try_it(it, database, &outcome);
    if (!mg_ok(status)) { /* no answer was given, so nothing was tried */
        TRY(mg_attempt_forget(database, &it->attempt, false));
        return status;
    }
    reply->outcome = outcome;
    return OK;
}

MG_HANDLER_PUBLIC(passkey_give)
{
    OWN(database) database = NULL;
    MG_CLEANUP(give_drop)
    struct give it = {.request = request,
                      .now = mg_now(),
                      .attempt = {.address_key = MG_BUFFER(128)},
                      .storage = MG_BUFFER(MG_PACKET_MOST)};
    struct mg_reply_passkey_give reply = {.outcome = MG_OUTCOME_NONE};
    TRY(mg_core_database(&database));
    TRY(give_run(&it, database, &reply));
    if (reply.outcome == MG_GRANTED && request->use != MG_PASSKEY_USE_STEP_UP) {
        reply.token = mg_view_of(it.family.token, sizeof it.family.token);
        if (request->host.length != 0)
            reply.code = mg_view_of(it.family.code, sizeof it.family.code);
    }
    if (request->use == MG_PASSKEY_USE_SIGN_IN &&
        (reply.outcome == MG_GRANTED || reply.outcome == MG_SIGN_IN_HELD))
        reply.device = mg_view_of(it.risk.device, sizeof it.risk.device);
    return mg_answer_passkey_give(call, &reply);
}
