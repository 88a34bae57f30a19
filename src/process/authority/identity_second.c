/* The second step of a sign-in. After the right password of somebody who must give a second factor there is
 * no session yet, only a ticket: it opens nothing but this step. */
#include "process/authority/identity_risk.h"
#include "process/authority/tenants.h"

#include "base/secret.h"

struct mg_status
mg_second_ticket_make(struct mg_database *database, const struct mg_account *account, const char *kind,
                      mg_instant now, uint8_t ticket[MG_TOKEN_BYTES])
{
    uint8_t hash[32];
    mg_random(ticket, MG_TOKEN_BYTES);
    TRY(mg_secret_hash(mg_view_of(ticket, MG_TOKEN_BYTES), hash));
    return mg_query(
        database, NULL,
        "INSERT INTO ticket (ticket_hash, tenant, account, kind, expires_at) VALUES ($1, $2, $3, $4, $5)",
        MG_BYTES(mg_view_of(hash, sizeof hash)), MG_I64(account->tenant), MG_I64(account->id),
        MG_STRING(kind), MG_INSTANT(now + MG_TICKET_SECOND_MS));
}

struct mg_status
mg_second_ticket_find(struct mg_database *database, uint64_t tenant, struct mg_view ticket, const char *kind,
                      mg_instant now, struct mg_rows **ret_rows, struct mg_account *ret_account,
                      bool *ret_found, bool *ret_enrol)
{
    uint8_t hash[32];
    *ret_found = false;
    if (ticket.length != MG_TOKEN_BYTES)
        return OK;
    TRY(mg_secret_hash(ticket, hash));
    OWN(rows) rows = NULL;
    TRY(mg_query(
        database, &rows,
        "SELECT " MG_ACCOUNT_COLUMNS ", t.kind = 'enrol' FROM ticket t JOIN account acc ON acc.id = t.account"
        " WHERE t.ticket_hash = $1 AND t.tenant = $2 AND t.expires_at > $3 AND t.kind IN ('second', 'enrol')"
        " AND ($4 = '' OR t.kind = $4) AND acc.disabled_at IS NULL AND acc.locked_at IS NULL",
        MG_BYTES(mg_view_of(hash, sizeof hash)), MG_I64(tenant), MG_INSTANT(now),
        MG_STRING(kind != NULL ? kind : "")));
    if (mg_rows_count(rows) != 1 || !mg_account_read(rows, 0, 0, ret_account))
        return OK;
    *ret_enrol = mg_rows_flag(rows, 0, MG_ACCOUNT_COLUMN_COUNT);
    *ret_found = true;
    *ret_rows = TAKE(rows);
    return OK;
}

bool
mg_app_host_is_ours(uint64_t tenant, struct mg_view name, struct mg_view binding)
{
    struct mg_core_host host;
    return name.length == 0 || (binding.length == 32 && mg_ok(mg_core_host(name, &host)) &&
                                host.tenant == tenant && host.origin == MG_ORIGIN_APP);
}

/* ---- the end of a sign-in --------------------------------------------------------------------------- */

static CHECKED struct mg_status
ticket_spend(struct mg_database *database, struct mg_view ticket, uint64_t account, struct mg_rows **ret_rows,
             bool *ret_spent)
{
    uint8_t hash[32];
    TRY(mg_secret_hash(ticket, hash));
    TRY(mg_query(database, ret_rows,
                 "DELETE FROM ticket WHERE ticket_hash = $1 AND account = $2 RETURNING device_hash",
                 MG_BYTES(mg_view_of(hash, sizeof hash)), MG_I64(account)));
    *ret_spent = mg_rows_count(*ret_rows) == 1;
    return OK;
}

struct mg_status
mg_last_step_take(struct mg_database *database, const struct mg_last_step *step, struct mg_new_family *family,
                  enum mg_outcome *ret_outcome)
{
    OWN(rows) rows = NULL;
    struct mg_risk_answer risk;
    const struct mg_risk_question question = {
        .account = step->account, .address = step->address, .user_agent = step->user_agent, .now = step->now};
    bool spent = false, started = false, known = false;
    if (!mg_tenants_sign_in_allowed(step->tenant->number, step->address)) {
        *ret_outcome = MG_ADDRESS_NOT_ALLOWED; /* the ticket stays, for where it may be used */
        mg_sign_in_refusal_count(step->tenant->number, *ret_outcome, step->address);
        return mg_attempt_forget(database, step->attempt, false);
    }
    *ret_outcome = MG_TICKET_SPENT;
    TRY(ticket_spend(database, step->ticket, step->account->id, &rows, &spent));
    if (!spent)
        return mg_attempt_forget(database, step->attempt, true);
    TRY(mg_risk_second_taken(&question, mg_rows_bytes(rows, 0, 0), &risk, &known));
    *family = (struct mg_new_family){.tenant = step->tenant,
                                     .account = step->account,
                                     .address = step->address,
                                     .user_agent = step->user_agent,
                                     .previous = step->previous,
                                     .code_host = step->host,
                                     .binding = step->binding,
                                     .attempt = step->attempt,
                                     .second_factor = step->kind,
                                     .question = known ? &question : NULL,
                                     .risk = known ? &risk : NULL,
                                     .now = step->now};
    TRY(mg_family_prepare(family));
    const struct mg_core_actor actor = mg_actor_account(step->account);
    const struct mg_audit_note record = {.event = MG_EVENT_sign_in,
                                         .tenant = step->account->tenant,
                                         .actor = &actor,
                                         .outcome = MG_AUDIT_SUCCESS,
                                         .reason = mg_view_text(step->kind),
                                         .address = step->address,
                                         .family = family->family};
    TRY(mg_family_start(database, family, &record, &started));
    family->question = NULL; /* they end here */
    family->risk = NULL;
    if (started)
        *ret_outcome = MG_GRANTED;
    return OK;
}

/* ---- second_look ------------------------------------------------------------------------------------ */

MG_HANDLER_PUBLIC(second_look)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN(rows) kinds = NULL;
    struct mg_account account;
    bool found = false, enrol = false;
    TRY(mg_core_database(&database));
    TRY(mg_second_ticket_find(database, request->tenant, request->ticket, NULL, mg_now(), &rows, &account,
                              &found, &enrol));
    if (!found) {
        mg_sign_in_refusal_count(request->tenant, MG_TICKET_SPENT, request->address);
        return mg_answer_second_look(call, &(struct mg_reply_second_look){.outcome = MG_TICKET_SPENT});
    }
    struct mg_reply_second_look reply = {.outcome = MG_GRANTED, .set_up = enrol, .login = account.login};
    TRY(mg_query(database, &kinds,
                 "SELECT count(*) FILTER (WHERE kind = 'totp'), count(*) FILTER (WHERE kind = 'passkey')"
                 " FROM factor WHERE account = $1 AND confirmed_at IS NOT NULL",
                 MG_I64(account.id)));
    reply.totp = mg_rows_i64(kinds, 0, 0) != 0;
    reply.passkey = mg_rows_i64(kinds, 0, 1) != 0;
    TRY(mg_recovery_left(database, account.id, &reply.recovery_left));
    return mg_answer_second_look(call, &reply);
}

/* ---- second_give ------------------------------------------------------------------------------------ */

struct give {
    const struct mg_request_second_give *request;
    mg_instant now;
    struct mg_core_tenant tenant;
    struct mg_rows *rows;
    struct mg_account account;
    struct mg_attempt attempt;
    struct mg_second_try tried;
    struct mg_new_family family;
};

static void
give_drop(struct give *it)
{
    mg_rows_drop(&it->rows);
    mg_attempt_drop(&it->attempt);
    mg_new_family_drop(&it->family);
}

static CHECKED struct mg_status
give_note(const struct give *it, enum mg_event event, enum mg_audit_outcome outcome, const char *reason)
{
    const struct mg_core_actor actor = mg_actor_account(&it->account);
    return mg_identity_note(&(struct mg_audit_note){.event = event,
                                                    .tenant = it->account.tenant,
                                                    .actor = &actor,
                                                    .outcome = outcome,
                                                    .reason = mg_view_text(reason),
                                                    .address = it->request->address});
}

/* The code was counted: try it. *ret_outcome GRANTED with the session's secrets in it->family. */
static CHECKED struct mg_status
give_try(struct give *it, struct mg_database *database, enum mg_outcome *ret_outcome)
{
    const struct mg_status status =
        mg_second_factor_try(database, &it->account, it->request->code, it->now, &it->tried);
    if (!mg_ok(status)) { /* no answer was given, so nothing was guessed */
        TRY(mg_attempt_forget(database, &it->attempt, false));
        return status;
    }
    if (it->tried.kind == NULL) {
        *ret_outcome = MG_WRONG_CODE;
        TRY(mg_attempt_keep(database));
        TRY(give_note(it, MG_EVENT_sign_in, MG_AUDIT_FAILURE, "WRONG_CODE"));
        return it->attempt.locks ? give_note(it, MG_EVENT_account_lock, MG_AUDIT_SUCCESS, "second factor")
                                 : OK;
    }
    const struct mg_last_step step = {.tenant = &it->tenant,
                                      .account = &it->account,
                                      .attempt = &it->attempt,
                                      .ticket = it->request->ticket,
                                      .address = it->request->address,
                                      .user_agent = it->request->user_agent,
                                      .host = it->request->host,
                                      .binding = it->request->binding,
                                      .previous = it->request->previous,
                                      .kind = it->tried.kind,
                                      .now = it->now};
    return mg_last_step_take(database, &step, &it->family, ret_outcome);
}

static CHECKED struct mg_status
give_run(struct give *it, struct mg_database *database, struct mg_reply_second_give *reply)
{
    bool found = false, enrol = false;
    const struct mg_request_second_give *request = it->request;
    const struct mg_status place = mg_core_tenant(request->tenant, &it->tenant);
    reply->outcome = MG_TENANT_CLOSED;
    if (place.code == MG_NOT_FOUND || (mg_ok(place) && !it->tenant.open))
        return OK;
    TRY(place);
    reply->outcome = MG_HOST_NOT_YOURS;
    if (!mg_app_host_is_ours(request->tenant, request->host, request->binding))
        return OK;
    /* Here as well, before a code is tried that works only once. */
    if (!mg_tenants_sign_in_allowed(request->tenant, request->address)) {
        reply->outcome = MG_ADDRESS_NOT_ALLOWED;
        mg_sign_in_refusal_count(request->tenant, MG_ADDRESS_NOT_ALLOWED, request->address);
        return OK;
    }
    reply->outcome = MG_TICKET_SPENT;
    TRY(mg_second_ticket_find(database, request->tenant, request->ticket, "second", it->now, &it->rows,
                              &it->account, &found, &enrol));
    if (!found) {
        mg_sign_in_refusal_count(request->tenant, MG_TICKET_SPENT, request->address);
        return OK;
    }
    TRY(mg_attempt_begin_second(database, request->tenant, it->account.login, request->address, it->now,
                                &it->attempt));
    reply->outcome = it->attempt.outcome;
    reply->wait_s = (uint64_t) ((it->attempt.wait_ms + 999) / 1000);
    if (it->attempt.outcome != MG_GRANTED) {
        mg_sign_in_refusal_count(request->tenant, it->attempt.outcome, request->address);
        return OK;
    }
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(give_try(it, database, &outcome));
    reply->outcome = outcome;
    return OK;
}

/* Control: IDENTITY_04 */
MG_HANDLER_PUBLIC(second_give)
{
    OWN(database) database = NULL;
    MG_CLEANUP(give_drop) struct give it = {.request = request, .now = mg_now()};
    struct mg_reply_second_give reply = {.outcome = MG_OUTCOME_NONE};
    TRY(mg_core_database(&database));
    TRY(give_run(&it, database, &reply));
    if (reply.outcome == MG_GRANTED) {
        reply.by_recovery = strcmp(it.tried.kind, "recovery") == 0;
        reply.recovery_left = it.tried.recovery_left;
        reply.token = mg_view_of(it.family.token, sizeof it.family.token);
        reply.code =
            request->host.length != 0 ? mg_view_of(it.family.code, sizeof it.family.code) : MG_VIEW_EMPTY;
        if (reply.by_recovery)
            TRY(mg_factor_mail(database, &it.account, "recovery_used", request->address, it.now));
    }
    return mg_answer_second_give(call, &reply);
}
