/* Somebody who is signed in shows anew who it is: by a second factor, or by the password where there is none.
 */
#include "process/authority/identity.h"

#include "base/secret.h"

struct step {
    const struct mg_request_step_up *request;
    mg_instant now;
    struct mg_rows *session_rows, *rows;
    struct mg_live_session live;
    struct mg_attempt attempt;
    struct mg_password_check check;
};

static void
step_drop(struct step *it)
{
    mg_rows_drop(&it->session_rows);
    mg_rows_drop(&it->rows);
    mg_attempt_drop(&it->attempt);
    mg_password_check_drop(&it->check);
}

static CHECKED struct mg_status
step_note(const struct step *it, enum mg_audit_outcome outcome, const char *reason)
{
    const struct mg_core_actor actor = mg_actor_account(&it->live.account);
    return mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_step_up,
                                                    .tenant = it->live.account.tenant,
                                                    .actor = &actor,
                                                    .outcome = outcome,
                                                    .reason = mg_view_text(reason),
                                                    .address = it->request->address,
                                                    .family = it->live.family});
}

/* *ret_kind: how it was right; NULL when it was wrong. */
static CHECKED struct mg_status
try_code(struct step *it, struct mg_database *database, const char **ret_kind)
{
    struct mg_second_try tried;
    TRY(mg_second_factor_try(database, &it->live.account, it->request->code, it->now, &tried));
    *ret_kind = tried.kind;
    if (tried.kind != NULL && strcmp(tried.kind, "recovery") == 0)
        TRY(mg_factor_mail(database, &it->live.account, "recovery_used", it->request->address, it->now));
    return OK;
}

static CHECKED struct mg_status
try_password(struct step *it, struct mg_database **database, const char **ret_kind)
{
    mg_database_drop(database); /* others may use the connection while the hash is computed */
    const struct mg_status status =
        mg_password_check(&it->live.account, it->request->password, "step-up", &it->check);
    TRY(mg_core_database(database));
    TRY(status);
    *ret_kind = it->check.match ? "password" : NULL;
    return OK;
}

static CHECKED struct mg_status
begin(struct step *it, struct mg_database *database)
{
    struct mg_account unused;
    bool known = false;
    const struct mg_account *account = &it->live.account;
    if (account->has_second_factor)
        return mg_attempt_begin_second(database, account->tenant, account->login, it->request->address,
                                       it->now, &it->attempt);
    return mg_attempt_begin(database, account->tenant, account->login, it->request->address, MG_VIEW_EMPTY,
                            it->now, &it->attempt, &it->rows, &unused, &known);
}

/* After the attempt was counted. */
static CHECKED struct mg_status
decide(struct step *it, struct mg_database **database, struct mg_reply_step_up *reply)
{
    const bool by_code = it->live.account.has_second_factor;
    const char *kind = NULL;
    bool alive = false;
    const struct mg_status status =
        by_code ? try_code(it, *database, &kind) : try_password(it, database, &kind);
    if (!mg_ok(status)) {
        if (*database == NULL)
            TRY(mg_core_database(database));
        TRY(mg_attempt_forget(*database, &it->attempt, false));
        return status;
    }
    if (kind == NULL) {
        reply->outcome = by_code ? MG_WRONG_CODE : MG_WRONG_CREDENTIALS;
        TRY(mg_attempt_keep(*database));
        return step_note(it, MG_AUDIT_FAILURE, by_code ? "WRONG_CODE" : "WRONG_PASSWORD");
    }
    TRY(mg_attempt_forget(*database, &it->attempt, true));
    TRY(step_note(it, MG_AUDIT_SUCCESS, kind));
    TRY(mg_family_prove(*database, &it->live, by_code ? kind : NULL, it->now, &alive));
    reply->outcome = alive ? MG_GRANTED : MG_SESSION_ENDED;
    return OK;
}

static CHECKED struct mg_status
step_run(struct step *it, struct mg_reply_step_up *reply)
{
    OWN(database) database = NULL;
    bool found = false;
    TRY(mg_core_database(&database));
    TRY(mg_session_find(database, it->request->tenant, it->request->session, MG_VIEW_EMPTY, it->now,
                        &it->session_rows, &it->live, &found));
    reply->outcome = MG_SESSION_ENDED;
    if (!found)
        return OK;
    TRY(begin(it, database));
    reply->outcome = it->attempt.outcome;
    reply->wait_s = (uint64_t) ((it->attempt.wait_ms + 999) / 1000);
    if (it->attempt.outcome != MG_GRANTED) {
        mg_sign_in_refusal_count(it->live.account.tenant, it->attempt.outcome, it->request->address);
        return OK;
    }
    return decide(it, &database, reply);
}

static struct mg_status
step_task(const void *request, struct mg_call *call, bool *ret_answered)
{
    MG_CLEANUP(step_drop)
    struct step it = {
        .request = request,
        .now = mg_now(),
        .attempt = {.address_key = MG_BUFFER(128)},
        .check = {.normalised = MG_BUFFER(1)},
    };
    struct mg_reply_step_up reply = {.outcome = MG_OUTCOME_NONE};
    const struct mg_status status = step_run(&it, &reply);
    if (status.code == MG_BUSY)
        reply = (struct mg_reply_step_up){.outcome = MG_BUSY_NOW, .wait_s = 1};
    else
        TRY(status);
    TRY(mg_answer_step_up(call, &reply));
    *ret_answered = true;
    return OK;
}

MG_HANDLER_PUBLIC(step_up)
{
    const struct mg_status status = mg_work_put(step_task, request, sizeof *request, call);
    if (status.code != MG_BUSY)
        return status;
    return mg_answer_step_up(call, &(struct mg_reply_step_up){.outcome = MG_BUSY_NOW, .wait_s = 2});
}
