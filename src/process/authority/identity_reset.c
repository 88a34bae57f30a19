/* Passwords changed by their owner or with a ticket, and the mails that carry tickets. */
#include "process/authority/identity_risk.h"

#include "base/log.h"
#include "base/secret.h"
#include "domain/login.h"

#include <stdio.h>

enum { MAIL_LEASE_MS = 300000, MAIL_IDLE_MS = 5000, MAIL_ATTEMPTS_MOST = 20 };

/* ---- storing a new password ------------------------------------------------------------------------- */

/* After a reset the account's devices and habits are learnt anew.
 * Hashes, seals and stores; ends the account's families but one; drops its tickets; the counter of
 * failures starts anew; tells the owner by mail. The record is durable before any of it. */
struct replacement {
    const struct mg_account *account;
    struct mg_view normalised, address;
    const struct mg_core_tenant *tenant;
    enum mg_event event;
    uint64_t except; /* family that stays */
    mg_instant now;
};

static CHECKED struct mg_status
password_replace(struct mg_database *database, const struct replacement *it, uint64_t *ret_ended)
{
    OWN_BUFFER(sealed, 2048);
    const struct mg_account *account = it->account;
    const struct mg_core_actor actor = mg_actor_account(account);
    TRY(mg_password_seal(account->tenant, account->id, it->normalised, &sealed));
    TRY(mg_identity_note(&(struct mg_audit_note){.event = it->event,
                                                 .tenant = account->tenant,
                                                 .actor = &actor,
                                                 .target = account->login,
                                                 .outcome = MG_AUDIT_SUCCESS,
                                                 .address = it->address,
                                                 .family = it->except}));
    OWN_EFFECTS(true);
    TRY(mg_password_keep_past(database, it->tenant, account, it->now));
    TRY(mg_query(
        database, NULL,
        "WITH a AS (UPDATE account SET password_sealed = $1, password_changed_at = $2, must_change = false,"
        " risk_since = CASE WHEN $8 THEN NULL ELSE risk_since END"
        " WHERE id = $3), t AS (DELETE FROM ticket WHERE account = $3),"
        " d AS (DELETE FROM sign_in_device WHERE account = $3 AND $8)"
        " INSERT INTO mail (tenant, account, kind, language, address, asked_at, due_at)"
        " SELECT $4, $3, 'password_changed', $5, $6, $2, $2 WHERE $7",
        MG_BYTES(mg_buffer_view(&sealed)), MG_INSTANT(it->now), MG_I64(account->id), MG_I64(account->tenant),
        MG_TEXT(account->language), MG_TEXT(it->address), MG_FLAG(account->email.length != 0),
        MG_FLAG(it->event != MG_EVENT_password_change)));
    TRY(mg_attempt_clear(database, account->tenant, account->login));
    return mg_families_end(database, &(struct mg_family_match){.account = account->id, .except = it->except},
                           ret_ended);
}

static CHECKED struct mg_status
past_judge(struct mg_database *database, const struct mg_core_tenant *tenant,
           const struct mg_account *account, const struct mg_buffer *normalised, enum mg_outcome *ret_outcome)
{
    bool used = false;
    TRY(mg_password_was_used(database, tenant, account, mg_buffer_view(normalised), &used));
    if (used)
        *ret_outcome = MG_PASSWORD_BEFORE;
    return OK;
}

/* ---- password_change -------------------------------------------------------------------------------- */

struct change {
    const struct mg_request_password_change *request;
    mg_instant now;
    struct mg_rows *session_rows, *rows;
    struct mg_live_session live;
    struct mg_attempt attempt;
    struct mg_password_check check;
    struct mg_buffer normalised;
};

static void
change_drop(struct change *it)
{
    mg_rows_drop(&it->session_rows);
    mg_rows_drop(&it->rows);
    mg_attempt_drop(&it->attempt);
    mg_password_check_drop(&it->check);
    mg_buffer_drop(&it->normalised);
}

/* The current password is a guess like any other: whoever sits at a session left open gets no more. */
static CHECKED struct mg_status
change_prove(struct change *it, struct mg_database **database, struct mg_reply_password_change *reply)
{
    struct mg_account account;
    bool known = false;
    TRY(mg_attempt_begin(*database, it->live.account.tenant, it->live.account.login, it->request->address,
                         MG_VIEW_EMPTY, it->now, &it->attempt, &it->rows, &account, &known));
    if (it->attempt.outcome != MG_GRANTED) {
        reply->outcome = it->attempt.outcome;
        reply->wait_s = (uint64_t) ((it->attempt.wait_ms + 999) / 1000);
        mg_sign_in_refusal_count(it->live.account.tenant, it->attempt.outcome, it->request->address);
        return OK;
    }
    mg_database_drop(database);
    const struct mg_status status =
        mg_password_check(known ? &account : NULL, it->request->current, "password-change", &it->check);
    TRY(mg_core_database(database));
    if (!mg_ok(status)) {
        TRY(mg_attempt_forget(*database, &it->attempt, false));
        return status;
    }
    if (it->check.match) {
        reply->outcome = MG_GRANTED;
        return mg_attempt_forget(*database, &it->attempt, true);
    }
    TRY(mg_attempt_keep(*database));
    const struct mg_core_actor actor = mg_actor_account(&it->live.account);
    reply->outcome = MG_WRONG_CREDENTIALS;
    return mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_password_change,
                                                    .tenant = it->live.account.tenant,
                                                    .actor = &actor,
                                                    .outcome = MG_AUDIT_FAILURE,
                                                    .reason = mg_view_text("WRONG_PASSWORD"),
                                                    .address = it->request->address,
                                                    .family = it->live.family});
}

static CHECKED struct mg_status
change_run(struct change *it, struct mg_reply_password_change *reply)
{
    OWN(database) database = NULL;
    bool found = false;
    TRY(mg_core_database(&database));
    TRY(mg_session_find(database, it->request->tenant, it->request->session, MG_VIEW_EMPTY, it->now,
                        &it->session_rows, &it->live, &found));
    if (!found) {
        reply->outcome = MG_SESSION_ENDED;
        return OK;
    }
    struct mg_core_tenant tenant;
    enum mg_outcome judged = MG_OUTCOME_NONE;
    TRY(mg_core_tenant(it->request->tenant, &tenant));
    TRY(change_prove(it, &database, reply));
    if (reply->outcome != MG_GRANTED)
        return OK;
    TRY(mg_password_new_judge(&tenant, &it->live.account, it->request->password, &it->normalised, &judged));
    if (judged == MG_GRANTED &&
        mg_view_equal_constant_time(mg_buffer_view(&it->normalised), mg_buffer_view(&it->check.normalised)))
        judged = MG_PASSWORD_SAME;
    if (judged == MG_GRANTED)
        TRY(past_judge(database, &tenant, &it->live.account, &it->normalised, &judged));
    reply->outcome = judged;
    if (judged != MG_GRANTED)
        return OK;
    const struct replacement replacement = {.account = &it->live.account,
                                            .tenant = &tenant,
                                            .normalised = mg_buffer_view(&it->normalised),
                                            .address = it->request->address,
                                            .event = MG_EVENT_password_change,
                                            .except = it->live.family,
                                            .now = it->now};
    return password_replace(database, &replacement, &reply->ended);
}

static struct mg_status
change_task(const void *request, struct mg_call *call, bool *ret_answered)
{
    MG_CLEANUP(change_drop)
    struct change it = {
        .request = request,
        .now = mg_now(),
        .attempt = {.address_key = MG_BUFFER(128)},
        .check = {.normalised = MG_BUFFER(1)},
        .normalised = MG_BUFFER(16384),
    };
    struct mg_reply_password_change reply = {.outcome = MG_OUTCOME_NONE};
    const struct mg_status status = change_run(&it, &reply);
    if (status.code == MG_BUSY)
        reply = (struct mg_reply_password_change){.outcome = MG_BUSY_NOW, .wait_s = 1};
    else
        TRY(status);
    TRY(mg_answer_password_change(call, &reply));
    *ret_answered = true;
    return OK;
}

MG_HANDLER_PUBLIC(password_change)
{
    const struct mg_status status = mg_work_put(change_task, request, sizeof *request, call);
    if (status.code != MG_BUSY)
        return status;
    return mg_answer_password_change(call,
                                     &(struct mg_reply_password_change){.outcome = MG_BUSY_NOW, .wait_s = 2});
}

/* ---- reset_request ------------------------------------------------------------------------------------ */

/* One statement for known and unknown names alike; a person who asked a moment ago gets no second mail. */
static CHECKED struct mg_status
reset_mail_add(struct mg_database *database, const struct mg_request_reset_request *request,
               struct mg_view folded, mg_instant now)
{
    return mg_query(
        database, NULL,
        "WITH acc AS (UPDATE account SET reset_asked_at = $5 WHERE tenant = $1 AND login = $2 AND email <> ''"
        " AND disabled_at IS NULL AND (reset_asked_at IS NULL OR reset_asked_at <= $6)"
        " RETURNING tenant, id, password_sealed)"
        " INSERT INTO mail (tenant, account, kind, language, address, asked_at, due_at)"
        " SELECT acc.tenant, acc.id, CASE WHEN acc.password_sealed IS NULL THEN 'invite' ELSE 'reset' END,"
        " $3, $4, $5, $5 FROM acc",
        MG_I64(request->tenant), MG_TEXT(folded),
        MG_STRING(mg_view_is(request->language, "en") ? "en" : "ja"), MG_TEXT(request->address),
        MG_INSTANT(now), MG_INSTANT(now - 60000));
}

static CHECKED struct mg_status
reset_run(const struct mg_request_reset_request *request, struct mg_reply_reset_request *reply)
{
    OWN(database) database = NULL;
    OWN_BUFFER(folded, 1024);
    struct mg_core_tenant tenant;
    const mg_instant now = mg_now();
    const struct mg_status place = mg_core_tenant(request->tenant, &tenant);
    reply->outcome = MG_TENANT_CLOSED;
    if (place.code == MG_NOT_FOUND || (mg_ok(place) && !tenant.open))
        return OK;
    TRY(place);
    TRY(mg_core_database(&database));
    MG_CLEANUP(mg_attempt_drop) struct mg_attempt attempt = {0};
    TRY(mg_attempt_begin_address(database, request->tenant, MG_ATTEMPT_RESET, request->address, now,
                                 &attempt));
    reply->outcome = attempt.outcome;
    reply->wait_s = (uint64_t) ((attempt.wait_ms + 999) / 1000);
    if (attempt.outcome != MG_GRANTED) {
        mg_sign_in_refusal_count(request->tenant, attempt.outcome, request->address);
        return OK;
    }
    if (!mg_ok(mg_login_fold(request->login, &folded)))
        mg_buffer_clear(&folded);
    /* Recorded as asked by somebody who gave this name: whether it is anybody's, this path does not say. */
    const struct mg_core_actor actor = mg_actor_unknown(mg_buffer_view(&folded));
    TRY(mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_password_reset_request,
                                                 .tenant = request->tenant,
                                                 .actor = &actor,
                                                 .outcome = MG_AUDIT_SUCCESS,
                                                 .address = request->address}));
    return reset_mail_add(database, request, mg_buffer_view(&folded), now);
}

static void
answer_reset_granted(struct mg_call *call)
{
    const struct mg_status status =
        mg_answer_reset_request(call, &(struct mg_reply_reset_request){.outcome = MG_GRANTED});
    if (!mg_ok(status))
        mg_call_fail(call, status);
}

/* A mail that is written takes longer than none: the answer waits for the same moment in both cases. */
static struct mg_status
reset_task(const void *request, struct mg_call *call, bool *ret_answered)
{
    const int64_t started_ms = mg_monotonic_ms();
    struct mg_reply_reset_request reply = {.outcome = MG_OUTCOME_NONE};
    TRY(reset_run(request, &reply));
    if (reply.outcome == MG_GRANTED)
        TRY(mg_work_answer_at(mg_work_refusal_due(started_ms), call, answer_reset_granted));
    else
        TRY(mg_answer_reset_request(call, &reply));
    *ret_answered = true;
    return OK;
}

MG_HANDLER_PUBLIC(reset_request)
{
    const struct mg_status status = mg_work_put(reset_task, request, sizeof *request, call);
    if (status.code != MG_BUSY)
        return status;
    return mg_answer_reset_request(call,
                                   &(struct mg_reply_reset_request){.outcome = MG_BUSY_NOW, .wait_s = 2});
}

/* ---- tickets ------------------------------------------------------------------------------------------- */

/* The account of a live ticket; *ret_found false otherwise. */
static CHECKED struct mg_status
ticket_find(struct mg_database *database, uint64_t tenant, struct mg_view ticket, mg_instant now,
            struct mg_rows **ret_rows, struct mg_account *ret_account, bool *ret_found)
{
    uint8_t hash[32];
    *ret_found = false;
    if (ticket.length != MG_TOKEN_BYTES)
        return OK;
    TRY(mg_secret_hash(ticket, hash));
    OWN(rows) rows = NULL;
    TRY(mg_query(
        database, &rows,
        "SELECT " MG_ACCOUNT_COLUMNS " FROM ticket t JOIN account acc ON acc.id = t.account"
        " WHERE t.ticket_hash = $1 AND t.tenant = $2 AND t.expires_at > $3 AND acc.disabled_at IS NULL"
        " AND t.kind IN ('reset', 'invite', 'change')", /* not those of a second step */
        MG_BYTES(mg_view_of(hash, sizeof hash)), MG_I64(tenant), MG_INSTANT(now)));
    *ret_found = mg_rows_count(rows) == 1 && mg_account_read(rows, 0, 0, ret_account);
    *ret_rows = TAKE(rows);
    return OK;
}

MG_HANDLER_PUBLIC(reset_look)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    struct mg_account account;
    bool found = false;
    TRY(mg_core_database(&database));
    TRY(ticket_find(database, request->tenant, request->ticket, mg_now(), &rows, &account, &found));
    if (!found) {
        mg_sign_in_refusal_count(request->tenant, MG_TICKET_SPENT, request->address);
        return mg_answer_reset_look(call, &(struct mg_reply_reset_look){.outcome = MG_TICKET_SPENT});
    }
    return mg_answer_reset_look(
        call, &(struct mg_reply_reset_look){.outcome = MG_GRANTED,
                                            .login = account.login,
                                            .invited = account.password_sealed.length == 0});
}

/* Spends the ticket: true for exactly one of any number at the same time. */
static CHECKED struct mg_status
ticket_spend(struct mg_database *database, struct mg_view ticket, bool *ret_spent)
{
    uint8_t hash[32];
    OWN(rows) rows = NULL;
    TRY(mg_secret_hash(ticket, hash));
    TRY(mg_query(database, &rows, "DELETE FROM ticket WHERE ticket_hash = $1 RETURNING account",
                 MG_BYTES(mg_view_of(hash, sizeof hash))));
    *ret_spent = mg_rows_count(rows) == 1;
    return OK;
}

static CHECKED struct mg_status
complete_run(const struct mg_request_reset_complete *request, enum mg_outcome *ret_outcome)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(normalised, 16384);
    struct mg_account account;
    struct mg_core_tenant tenant;
    bool found = false, spent = false;
    const mg_instant now = mg_now();
    *ret_outcome = MG_TICKET_SPENT;
    TRY(mg_core_database(&database));
    TRY(ticket_find(database, request->tenant, request->ticket, now, &rows, &account, &found));
    if (!found) {
        mg_sign_in_refusal_count(request->tenant, MG_TICKET_SPENT, request->address);
        return OK;
    }
    TRY(mg_core_tenant(request->tenant, &tenant));
    if (!tenant.open) {
        *ret_outcome = MG_TENANT_CLOSED;
        return OK;
    }
    enum mg_outcome judged = MG_OUTCOME_NONE;
    TRY(mg_password_new_judge(&tenant, &account, request->password, &normalised, &judged));
    if (judged == MG_GRANTED)
        TRY(past_judge(database, &tenant, &account, &normalised, &judged));
    if (judged != MG_GRANTED) {
        *ret_outcome = judged;
        return OK;
    }
    TRY(ticket_spend(database, request->ticket, &spent));
    if (!spent)
        return OK;
    uint64_t ended = 0;
    const struct replacement replacement = {
        .account = &account,
        .tenant = &tenant,
        .normalised = mg_buffer_view(&normalised),
        .address = request->address,
        .event = account.password_sealed.length == 0 ? MG_EVENT_invitation_accept : MG_EVENT_password_reset,
        .now = now};
    TRY(password_replace(database, &replacement, &ended));
    *ret_outcome = MG_GRANTED;
    return OK;
}

static struct mg_status
complete_task(const void *request, struct mg_call *call, bool *ret_answered)
{
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    const struct mg_status status = complete_run(request, &outcome);
    if (status.code == MG_BUSY)
        outcome = MG_BUSY_NOW;
    else
        TRY(status);
    TRY(mg_answer_reset_complete(call, &(struct mg_reply_reset_complete){.outcome = outcome}));
    *ret_answered = true;
    return OK;
}

MG_HANDLER_PUBLIC(reset_complete)
{
    const struct mg_status status = mg_work_put(complete_task, request, sizeof *request, call);
    if (status.code != MG_BUSY)
        return status;
    return mg_answer_reset_complete(call, &(struct mg_reply_reset_complete){.outcome = MG_BUSY_NOW});
}

/* ---- mails: the worker asks what to send -----------------------------------------------------------------
 */

enum {
    MAIL_ID = MG_ACCOUNT_COLUMN_COUNT,
    MAIL_KIND,
    MAIL_LANGUAGE,
    MAIL_ADDRESS,
    MAIL_ASKED,
    MAIL_ATTEMPTS,
    MAIL_SIGNALS,
    MAIL_CONFIRMATION
};

static CHECKED struct mg_status
mail_lease(struct mg_database *database, mg_instant now, struct mg_rows **ret_rows)
{
    return mg_query(
        database, ret_rows,
        "WITH m AS (UPDATE mail SET due_at = $2, attempts = attempts + 1 WHERE id = (SELECT id FROM mail"
        " WHERE due_at <= $1 ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING *)"
        " SELECT " MG_ACCOUNT_COLUMNS
        ", m.id, m.kind, m.language, m.address, m.asked_at, m.attempts::bigint, m.signals, m.confirmation"
        " FROM m JOIN account acc ON acc.id = m.account",
        MG_INSTANT(now), MG_INSTANT(now + MAIL_LEASE_MS));
}

static CHECKED struct mg_status
next_due(struct mg_database *database, mg_instant now, int64_t *ret_ms)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows, "SELECT min(due_at) FROM mail"));
    *ret_ms = MAIL_IDLE_MS; /* new mails are not announced: look again after this at the latest */
    if (!mg_rows_null(rows, 0, 0) && mg_rows_instant(rows, 0, 0) - now < MAIL_IDLE_MS)
        *ret_ms = mg_rows_instant(rows, 0, 0) > now ? mg_rows_instant(rows, 0, 0) - now : 0;
    return OK;
}

/* A ticket for this sending; the one of an earlier try stays good until it expires. */
static CHECKED struct mg_status
ticket_make(struct mg_database *database, const struct mg_account *account, const char *kind,
            mg_instant ends_at, uint8_t ticket[MG_TOKEN_BYTES])
{
    uint8_t hash[32];
    mg_random(ticket, MG_TOKEN_BYTES);
    TRY(mg_secret_hash(mg_view_of(ticket, MG_TOKEN_BYTES), hash));
    return mg_query(
        database, NULL,
        "INSERT INTO ticket (ticket_hash, tenant, account, kind, expires_at) VALUES ($1, $2, $3, $4, $5)",
        MG_BYTES(mg_view_of(hash, sizeof hash)), MG_I64(account->tenant), MG_I64(account->id),
        MG_STRING(kind), MG_INSTANT(ends_at));
}

struct mg_status
mg_ticket_make(struct mg_database *database, const struct mg_account *account, mg_instant now,
               uint8_t ticket[MG_TOKEN_BYTES], mg_instant *ret_ends_at)
{
    const bool invite = account->password_sealed.length == 0;
    *ret_ends_at = now + (invite ? MG_TICKET_INVITE_MS : MG_TICKET_RESET_MS);
    return ticket_make(database, account, invite ? "invite" : "reset", *ret_ends_at, ticket);
}

MG_HANDLER_PUBLIC(mail_next)
{
    (void) request;
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_KEY(ticket, MG_TOKEN_BYTES);
    struct mg_account account;
    struct mg_core_tenant tenant;
    const mg_instant now = mg_now();
    TRY(mg_core_database(&database));
    TRY(mail_lease(database, now, &rows));
    struct mg_reply_mail_next reply = {0};
    if (mg_rows_count(rows) == 0 || !mg_account_read(rows, 0, 0, &account)) {
        TRY(next_due(database, now, &reply.next_due_ms));
        return mg_answer_mail_next(call, &reply);
    }
    TRY(mg_core_tenant(account.tenant, &tenant));
    reply = (struct mg_reply_mail_next){
        .mail = (uint64_t) mg_rows_i64(rows, 0, MAIL_ID),
        .attempt = (uint64_t) mg_rows_i64(rows, 0, MAIL_ATTEMPTS),
        .kind = mg_rows_text(rows, 0, MAIL_KIND),
        .language = mg_rows_text(rows, 0, MAIL_LANGUAGE),
        .recipient = account.email,
        .name = account.name.length != 0 ? account.name : account.login,
        .label = mg_view_text(tenant.label),
        .sign_in_origin = mg_view_text(tenant.sign_in_origin),
        .address = mg_rows_text(rows, 0, MAIL_ADDRESS),
        .asked_at = mg_rows_instant(rows, 0, MAIL_ASKED),
        .signals = mg_rows_text(rows, 0, MAIL_SIGNALS),
    };
    const bool invite = mg_view_is(reply.kind, "invite");
    if (mg_view_is(reply.kind, "sign_in_confirm")) {
        TRY(mg_risk_ticket(database, (uint64_t) mg_rows_i64(rows, 0, MAIL_CONFIRMATION), now, ticket,
                           &reply.ticket_ends_at));
        reply.ticket = mg_view_of(ticket, MG_TOKEN_BYTES);
    }
    if (invite || mg_view_is(reply.kind, "reset")) {
        reply.ticket_ends_at = now + (invite ? MG_TICKET_INVITE_MS : MG_TICKET_RESET_MS);
        TRY(ticket_make(database, &account, invite ? "invite" : "reset", reply.ticket_ends_at, ticket));
        reply.ticket = mg_view_of(ticket, MG_TOKEN_BYTES);
    }
    return mg_answer_mail_next(call, &reply);
}

/* To whom and of what kind; the text and its link are in no log. A try that will be repeated is not an end.
 */
static CHECKED struct mg_status
mail_record(struct mg_database *database, const struct mg_request_mail_done *request)
{
    OWN(rows) rows = NULL;
    if (!request->sent && !request->permanent)
        return OK;
    TRY(mg_query(
        database, &rows,
        "SELECT m.tenant, m.kind, a.login FROM mail m JOIN account a ON a.id = m.account WHERE m.id = $1",
        MG_I64(request->mail)));
    if (mg_rows_count(rows) == 0)
        return OK;
    const struct mg_core_detail kind = {.key = "kind", .value = mg_rows_text(rows, 0, 1)};
    return mg_core_record(
        &(struct mg_core_record){.event = MG_EVENT_mail_send,
                                 .tenant = (uint64_t) mg_rows_i64(rows, 0, 0),
                                 .target = mg_rows_text(rows, 0, 2),
                                 .reason = request->sent ? MG_VIEW_EMPTY : request->reason,
                                 .outcome = request->sent ? MG_AUDIT_SUCCESS : MG_AUDIT_FAILURE,
                                 .details = &kind,
                                 .detail_count = 1});
}

MG_HANDLER_PUBLIC(mail_done)
{
    OWN(database) database = NULL;
    TRY(mg_core_database(&database));
    TRY(mail_record(database, request));
    if (!request->sent)
        mg_log(MG_WARNING, "mail %llu not sent: %.*s", (unsigned long long) request->mail,
               (int) request->reason.length, (const char *) request->reason.bytes);
    if (request->sent || request->permanent)
        TRY(mg_query(database, NULL, "DELETE FROM mail WHERE id = $1", MG_I64(request->mail)));
    else
        TRY(mg_query(database, NULL,
                     "WITH gone AS (DELETE FROM mail WHERE id = $1 AND attempts >= $3)"
                     " UPDATE mail SET due_at = $2 WHERE id = $1 AND attempts < $3",
                     MG_I64(request->mail),
                     MG_INSTANT(mg_now() + (request->retry_ms > 0 ? request->retry_ms : 60000)),
                     MG_I64(MAIL_ATTEMPTS_MOST)));
    return mg_answer_mail_done(call, &(struct mg_reply_mail_done){0});
}
