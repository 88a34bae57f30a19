/* Password sign-in: the row sign_in. */
#include "process/authority/identity_factor.h"
#include "process/authority/identity_risk.h"

#include "base/log.h"
#include "base/secret.h"
#include "domain/login.h"
#include "domain/password_policy.h"
#include "process/authority/tenants.h"

#include <stdio.h>

/* What one sign-in has in hand. */
struct sign_in {
    const struct mg_request_sign_in *request;
    struct mg_call *call;
    int64_t started_ms;
    mg_instant now;
    struct mg_core_tenant tenant;
    struct mg_buffer login; /* folded; "" when what was typed cannot be a name */
    struct mg_attempt attempt;
    struct mg_rows *rows;
    struct mg_account account;
    bool known;
    struct mg_password_check check;
    struct mg_risk_question question;
    struct mg_risk_look look;
    struct mg_risk_answer risk;
};

static void
sign_in_drop(struct sign_in *it)
{
    mg_buffer_drop(&it->login);
    mg_attempt_drop(&it->attempt);
    mg_rows_drop(&it->rows);
    mg_password_check_drop(&it->check);
    mg_risk_look_drop(&it->look);
}

static CHECKED struct mg_status
note(const struct sign_in *it, enum mg_event event, enum mg_audit_outcome outcome, const char *reason,
     uint64_t family)
{
    const struct mg_core_actor actor =
        it->known ? mg_actor_account(&it->account) : mg_actor_unknown(mg_buffer_view(&it->login));
    return mg_identity_note(&(struct mg_audit_note){
        .event = event,
        .tenant = it->request->tenant,
        .actor = &actor,
        .outcome = outcome,
        .reason = mg_view_text(reason),
        .address = it->request->address,
        .family = family,
    });
}

static CHECKED struct mg_status
answer(struct sign_in *it, enum mg_outcome outcome, int64_t wait_ms, bool *ret_answered)
{
    const struct mg_reply_sign_in reply = {.outcome = outcome, .wait_s = (uint64_t) ((wait_ms + 999) / 1000)};
    TRY(mg_answer_sign_in(it->call, &reply));
    *ret_answered = true;
    return OK;
}

static void
answer_wrong(struct mg_call *call)
{
    const struct mg_status status =
        mg_answer_sign_in(call, &(struct mg_reply_sign_in){.outcome = MG_WRONG_CREDENTIALS});
    if (!mg_ok(status))
        mg_call_fail(call, status);
}

/* Records a refusal after the hash and has it answered when its time tells nothing. */
static CHECKED struct mg_status
refuse(struct sign_in *it, struct mg_database *database, const char *reason, bool *ret_answered)
{
    TRY(mg_risk_failed(database, it->request->tenant, mg_view_of(it->attempt.account_key, 32),
                       it->request->address, it->now)); /* durable, and with it what was counted */
    TRY(note(it, MG_EVENT_sign_in, MG_AUDIT_FAILURE, reason, 0));
    if (it->attempt.locks)
        TRY(note(it, MG_EVENT_account_lock, MG_AUDIT_SUCCESS, "failures", 0));
    if (!mg_ok(mg_work_answer_at(mg_work_refusal_due(it->started_ms), it->call, answer_wrong)))
        return answer(it, MG_WRONG_CREDENTIALS, 0, ret_answered); /* at once rather than uncounted */
    *ret_answered = true;
    return OK;
}

/* The password is right, but has to be changed first: a ticket instead of a session. */
static CHECKED struct mg_status
demand_change(struct sign_in *it, struct mg_database *database, bool *ret_answered)
{
    OWN_KEY(ticket, MG_TOKEN_BYTES);
    uint8_t hash[32];
    mg_random(ticket, MG_TOKEN_BYTES);
    TRY(mg_secret_hash(mg_view_of(ticket, MG_TOKEN_BYTES), hash));
    TRY(note(it, MG_EVENT_sign_in, MG_AUDIT_REFUSED, "PASSWORD_MUST_CHANGE", 0));
    TRY(mg_query(
        database, NULL,
        "INSERT INTO ticket (ticket_hash, tenant, account, kind, expires_at) VALUES ($1, $2, $3, 'change', $4)",
        MG_BYTES(mg_view_of(hash, sizeof hash)), MG_I64(it->account.tenant), MG_I64(it->account.id),
        MG_INSTANT(it->now + MG_TICKET_CHANGE_MS)));
    const struct mg_reply_sign_in reply = {.outcome = MG_PASSWORD_MUST_CHANGE,
                                           .ticket = mg_view_of(ticket, MG_TOKEN_BYTES)};
    TRY(mg_answer_sign_in(it->call, &reply));
    *ret_answered = true;
    return OK;
}

/* The password is right, but it opens no session by itself: a ticket for the second step. */
/* Control: IDENTITY_04 */
static CHECKED struct mg_status
demand_second(struct sign_in *it, struct mg_database *database, enum mg_second_factor_demand demand,
              bool *ret_answered)
{
    OWN_KEY(ticket, MG_TOKEN_BYTES);
    const bool give = demand == MG_DEMAND_GIVE;
    TRY(note(it, MG_EVENT_sign_in, MG_AUDIT_REFUSED, give ? "SECOND_FACTOR" : "SECOND_FACTOR_SET_UP", 0));
    TRY(mg_attempt_forget(database, &it->attempt, true));
    TRY(mg_second_ticket_make(database, &it->account, give ? "second" : "enrol", it->now, ticket));
    TRY(mg_risk_second_begun(database, mg_view_of(ticket, MG_TOKEN_BYTES), &it->risk));
    const struct mg_reply_sign_in reply = {.outcome = give ? MG_SECOND_FACTOR : MG_SECOND_FACTOR_SET_UP,
                                           .ticket = mg_view_of(ticket, MG_TOKEN_BYTES),
                                           .device = mg_view_of(it->risk.device, MG_TOKEN_BYTES)};
    TRY(mg_answer_sign_in(it->call, &reply));
    *ret_answered = true;
    return OK;
}

static CHECKED struct mg_status
grant(struct sign_in *it, struct mg_database *database, bool *ret_answered)
{
    MG_CLEANUP(mg_new_family_drop)
    struct mg_new_family family = {
        .tenant = &it->tenant,
        .account = &it->account,
        .address = it->request->address,
        .user_agent = it->request->user_agent,
        .previous = it->request->previous,
        .code_host = it->request->host,
        .binding = it->request->binding,
        .attempt = &it->attempt,
        .question = &it->question,
        .risk = &it->risk,
        .now = it->now,
    };
    bool started = false;
    TRY(mg_family_prepare(&family));
    const struct mg_core_actor actor = mg_actor_account(&it->account);
    const struct mg_audit_note record = {.event = MG_EVENT_sign_in,
                                         .tenant = it->request->tenant,
                                         .actor = &actor,
                                         .outcome = MG_AUDIT_SUCCESS,
                                         .address = it->request->address,
                                         .family = family.family};
    TRY(mg_family_start(database, &family, &record, &started));
    if (!started) /* disabled, locked or given another password while the hash was computed */
        return refuse(it, database, "CHANGED_MEANWHILE", ret_answered);
    const bool with_code = it->request->host.length != 0;
    const struct mg_reply_sign_in reply = {
        .outcome = MG_GRANTED,
        .token = mg_view_of(family.token, sizeof family.token),
        .code = with_code ? mg_view_of(family.code, sizeof family.code) : MG_VIEW_EMPTY,
        .device = mg_view_of(it->risk.device, sizeof it->risk.device),
    };
    TRY(mg_answer_sign_in(it->call, &reply));
    *ret_answered = true;
    return OK;
}

/* What there is to know about it, before the password is known to be right. */
static CHECKED struct mg_status
look_suspicious(struct sign_in *it, struct mg_database *database)
{
    it->question = (struct mg_risk_question){
        .account = &it->account,
        .address = it->request->address,
        .user_agent = it->request->user_agent,
        .device = it->request->device,
        .account_key = mg_view_of(it->attempt.account_key, 32),
        .now = it->now,
    };
    return mg_risk_look(database, &it->question, &it->look);
}

/* Control: IDENTITY_10
 * The password is right: does the rest look like the person? Whoever has a second factor is asked for it,
 * also where nobody is otherwise. There is one answer for everything that is held back; what is next is in
 * the person's mail. The attempt stays counted, so that this is no way to try on. */
static CHECKED struct mg_status
hold_suspicious(struct sign_in *it, struct mg_database *database, bool must_change, bool *ret_answered)
{
    it->question.breached = mg_password_is_breached(mg_buffer_view(&it->check.normalised)) ? MG_YES : MG_NO;
    TRY(mg_risk_decide(&it->question, &it->look, &it->risk));
    if (it->risk.verdict.outcome < MG_RISK_STEP_UP)
        return OK;
    /* The second step ends in a session, which a password that must change does not give. */
    if (it->risk.verdict.outcome == MG_RISK_STEP_UP && it->account.has_second_factor && !must_change)
        return demand_second(it, database, MG_DEMAND_GIVE, ret_answered);
    TRY(mg_risk_hold(database, &it->question, &it->risk));
    const struct mg_reply_sign_in reply = {.outcome = MG_SIGN_IN_HELD,
                                           .device = mg_view_of(it->risk.device, sizeof it->risk.device)};
    TRY(mg_answer_sign_in(it->call, &reply));
    *ret_answered = true;
    return OK;
}

/* The stored hash is imported, has old parameters or an old seal: replaced now that the password is
 * known. After the answer, so nobody waits for it; a failure only means that the next sign-in does it. */
static CHECKED struct mg_status
renew(struct sign_in *it, struct mg_database *database)
{
    OWN_BUFFER(sealed, 2048);
    const struct mg_core_actor actor = mg_actor_account(&it->account);
    TRY(mg_password_seal(it->account.tenant, it->account.id, mg_buffer_view(&it->check.normalised), &sealed));
    TRY(mg_identity_note(&(struct mg_audit_note){
        .event = MG_EVENT_password_upgrade,
        .tenant = it->account.tenant,
        .actor = &actor,
        .outcome = MG_AUDIT_SUCCESS,
    }));
    return mg_query(
        database, NULL, "UPDATE account SET password_sealed = $1 WHERE id = $2 AND password_sealed = $3",
        MG_BYTES(mg_buffer_view(&sealed)), MG_I64(it->account.id), MG_BYTES(it->account.password_sealed));
}

/* Refusals that no hash is spent on. Counted together in the log. */
static CHECKED struct mg_status
refuse_early(struct sign_in *it, enum mg_outcome outcome, int64_t wait_ms, bool *ret_answered)
{
    mg_sign_in_refusal_count(it->request->tenant, outcome, it->request->address);
    return answer(it, outcome, wait_ms, ret_answered);
}

/* Where a password is no way in, its right use is to set up the first passkey (sign_in.methods). The refusal
 * looks like that of a wrong one: what it is good for elsewhere is nobody's business here. */
/* Control: IDENTITY_04 */
static CHECKED struct mg_status
judge_method(struct sign_in *it, struct mg_database *database, bool *ret_answered)
{
    uint64_t passkeys = 0;
    if ((it->tenant.methods & MG_METHOD_PASSWORD) != 0 || mg_canary_is_login(it->account.login))
        return OK;
    TRY(mg_passkeys_count(database, it->account.id, &passkeys));
    switch (mg_password_use_of(it->tenant.methods, passkeys != 0)) {
    case MG_PASSWORD_SIGNS_IN:
        return OK;
    case MG_PASSWORD_SETS_UP_PASSKEY: /* whoever has another second factor gives it first */
        return demand_second(it, database, it->account.has_second_factor ? MG_DEMAND_GIVE : MG_DEMAND_SET_UP,
                             ret_answered);
    case MG_PASSWORD_NOT_HERE:
        break;
    }
    return refuse(it, database, "METHOD", ret_answered);
}

/* After the attempt was counted: hash, then decide. */
static CHECKED struct mg_status
decide(struct sign_in *it, struct mg_database **database, bool *ret_answered)
{
    TRY(mg_password_check_begin(it->known ? &it->account : NULL, it->request->password, "sign-in",
                                &it->check));
    if (it->known) /* in the shadow of the hash, where it takes nobody's time and tells nobody anything */
        TRY(look_suspicious(it, *database));
    mg_database_drop(database); /* others may use the connection while the hash is computed */
    TRY(mg_password_check_end(&it->check));
    TRY(mg_core_database(database));
    if (!it->check.match || it->account.disabled || it->account.locked)
        return refuse(it, *database,
                      !it->known             ? "UNKNOWN"
                      : it->account.disabled ? "DISABLED"
                      : it->account.locked   ? "LOCKED_BY_OPERATOR"
                                             : "WRONG_PASSWORD",
                      ret_answered);
    const bool must_change =
        it->account.must_change || mg_password_is_due(&it->tenant, &it->account, it->now);
    TRY(hold_suspicious(it, *database, must_change, ret_answered));
    if (*ret_answered)
        return OK;
    if (must_change) {
        TRY(mg_attempt_forget(*database, &it->attempt, true));
        return demand_change(it, *database, ret_answered);
    }
    TRY(judge_method(it, *database, ret_answered));
    if (*ret_answered)
        return OK;
    const struct mg_second_factor_facts facts = mg_second_factor_facts_of(&it->tenant, &it->account);
    const enum mg_second_factor_demand demand = mg_second_factor_judge(&facts);
    if (demand == MG_DEMAND_NONE)
        TRY(grant(it, *database, ret_answered));
    else
        TRY(demand_second(it, *database, demand, ret_answered));
    if (it->check.renew)
        TRY(renew(it, *database));
    return OK;
}

/* Control: IDENTITY_05, IDENTITY_08 */
static CHECKED struct mg_status
sign_in_run(struct sign_in *it, bool *ret_answered)
{
    const struct mg_request_sign_in *request = it->request;
    const struct mg_status tenant = mg_core_tenant(request->tenant, &it->tenant);
    if (tenant.code == MG_NOT_FOUND || (mg_ok(tenant) && !it->tenant.open))
        return refuse_early(it, MG_TENANT_CLOSED, 0, ret_answered);
    TRY(tenant);
    if (!mg_tenants_sign_in_allowed(request->tenant, request->address))
        return refuse_early(it, MG_ADDRESS_NOT_ALLOWED, 0, ret_answered);
    if (!mg_app_host_is_ours(request->tenant, request->host, request->binding))
        return refuse_early(it, MG_HOST_NOT_YOURS, 0, ret_answered);
    /* What cannot be a name is nobody's: counted under the empty name, by address above all. */
    if (!mg_ok(mg_login_fold(request->login, &it->login)))
        mg_buffer_clear(&it->login);
    if ((it->tenant.methods & (MG_METHOD_PASSWORD | MG_METHOD_PASSKEY)) == 0 &&
        !mg_canary_is_login(mg_buffer_view(&it->login)))
        return refuse_early(it, MG_METHOD_NOT_ALLOWED, 0, ret_answered);
    OWN(database) database = NULL;
    TRY(mg_core_database(&database));
    TRY(mg_attempt_begin(database, request->tenant, mg_buffer_view(&it->login), request->address,
                         request->device, it->now, &it->attempt, &it->rows, &it->account, &it->known));
    if (it->attempt.outcome != MG_GRANTED)
        return refuse_early(it, it->attempt.outcome, it->attempt.wait_ms, ret_answered);
    struct mg_status status = decide(it, &database, ret_answered);
    if (!mg_ok(status) && !*ret_answered) { /* no answer was given, so nothing was guessed */
        if (database == NULL)
            TRY(mg_core_database(&database));
        TRY(mg_attempt_forget(database, &it->attempt, false));
        if (status.code == MG_BUSY)
            status = answer(it, MG_BUSY_NOW, 1000, ret_answered);
    }
    return status;
}

static struct mg_status
sign_in_task(const void *request, struct mg_call *call, bool *ret_answered)
{
    MG_CLEANUP(sign_in_drop)
    struct sign_in it = {
        .request = request,
        .call = call,
        .started_ms = mg_monotonic_ms(),
        .now = mg_now(),
        .login = MG_BUFFER(1024),
        .attempt = {.address_key = MG_BUFFER(128)},
        .check = {.normalised = MG_BUFFER(1)},
    };
    return sign_in_run(&it, ret_answered);
}

MG_HANDLER_PUBLIC(sign_in)
{
    const struct mg_status status = mg_work_put(sign_in_task, request, sizeof *request, call);
    if (status.code != MG_BUSY)
        return status;
    mg_sign_in_refusal_count(request->tenant, MG_BUSY_NOW, request->address);
    return mg_answer_sign_in(call, &(struct mg_reply_sign_in){.outcome = MG_BUSY_NOW, .wait_s = 2});
}
