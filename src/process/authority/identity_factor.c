/* Second factors of an account: what a code is compared with, setting up, taking away, recovery codes. */
#include "process/authority/identity_factor.h"
#include "process/authority/tenants.h"

#include "base/secret.h"
#include "domain/passkey.h"
#include "domain/recovery_code.h"
#include "domain/totp.h"
#include "ports/crypto.h"

#include <inttypes.h>
#include <stdio.h>

/* A secret that is being set up is shown again to the same person this long. */
enum { BEGUN_MS = 3600000 };

struct mg_second_factor_facts
mg_second_factor_facts_of(const struct mg_core_tenant *tenant, const struct mg_account *account)
{
    return (struct mg_second_factor_facts){
        .tenant = tenant->number,
        .mode = tenant->second_factor,
        .demanding_roles = tenant->second_factor_roles,
        .roles = mg_core_role_bits(tenant->number, account->roles),
        .has_one = account->has_second_factor,
    };
}

struct mg_status
mg_factor_mail(struct mg_database *database, const struct mg_account *account, const char *kind,
               struct mg_view address, mg_instant now)
{
    if (account->email.length == 0)
        return OK;
    return mg_query(database, NULL,
                    "INSERT INTO mail (tenant, account, kind, language, address, asked_at, due_at)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $6)",
                    MG_I64(account->tenant), MG_I64(account->id), MG_STRING(kind), MG_TEXT(account->language),
                    MG_TEXT(address), MG_INSTANT(now));
}

/* ---- secrets of authenticator apps ----------------------------------------------------------------- */

static void
row_name(uint64_t factor, char row[24])
{
    (void) snprintf(row, 24, "%" PRIu64, factor);
}

static CHECKED struct mg_status
secret_seal(uint64_t tenant, uint64_t factor, struct mg_view secret, struct mg_buffer *sealed)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_seal reply;
    char row[24];
    row_name(factor, row);
    const struct mg_request_seal request = {.tenant = tenant,
                                            .table = mg_view_text("factor"),
                                            .column = mg_view_text("secret"),
                                            .row = mg_view_text(row),
                                            .plaintext = secret};
    TRY(mg_call_seal(&request, &reply, &storage, MG_IDENTITY_CALL_MS));
    return mg_buffer_add(sealed, reply.sealed);
}

/* The reply borrows storage. */
static CHECKED struct mg_status
secret_unseal(uint64_t tenant, uint64_t factor, struct mg_view sealed, struct mg_reply_unseal *ret_reply,
              struct mg_buffer *storage)
{
    char row[24];
    row_name(factor, row);
    const struct mg_request_unseal request = {.tenant = tenant,
                                              .table = mg_view_text("factor"),
                                              .column = mg_view_text("secret"),
                                              .row = mg_view_text(row),
                                              .purpose = mg_view_text("second-factor"),
                                              .sealed = sealed};
    return mg_call_unseal(&request, ret_reply, storage, MG_IDENTITY_CALL_MS);
}

/* ---- a code is tried -------------------------------------------------------------------------------- */

/* The step is taken by one of any number who try it at the same time: only forwards, in one statement. */
static CHECKED struct mg_status
step_take(struct mg_database *database, uint64_t factor, uint64_t step, mg_instant now, bool *ret_taken)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "UPDATE factor SET last_step = $2, last_used_at = $3 WHERE id = $1 AND last_step < $2"
                 " AND confirmed_at IS NOT NULL RETURNING id",
                 MG_I64(factor), MG_I64(step), MG_INSTANT(now)));
    *ret_taken = mg_rows_count(rows) == 1;
    return OK;
}

/* Sealed under a key that is on its way out: sealed anew. */
static CHECKED struct mg_status
secret_renew(struct mg_database *database, uint64_t tenant, uint64_t factor, struct mg_view secret,
             struct mg_view before)
{
    OWN_BUFFER(sealed, 1024);
    TRY(secret_seal(tenant, factor, secret, &sealed));
    return mg_query(database, NULL,
                    "UPDATE factor SET secret_sealed = $2 WHERE id = $1 AND secret_sealed = $3",
                    MG_I64(factor), MG_BYTES(mg_buffer_view(&sealed)), MG_BYTES(before));
}

/* Control: IDENTITY_04 */
static CHECKED struct mg_status
app_try(struct mg_database *database, const struct mg_account *account, const char *code, mg_instant now,
        bool *ret_right)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "SELECT id, secret_sealed, last_step FROM factor WHERE account = $1 AND kind = 'totp'"
                 " AND confirmed_at IS NOT NULL ORDER BY id LIMIT $2",
                 MG_I64(account->id), MG_I64(MG_FACTORS_MOST)));
    *ret_right = false;
    for (size_t i = 0; i < mg_rows_count(rows) && !*ret_right; i++) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_unseal opened;
        uint64_t step = 0;
        const uint64_t factor = (uint64_t) mg_rows_i64(rows, i, 0);
        TRY(secret_unseal(account->tenant, factor, mg_rows_bytes(rows, i, 1), &opened, &storage));
        TRY(mg_totp_judge(opened.plaintext, code, now, (uint64_t) mg_rows_i64(rows, i, 2), &step));
        if (step == 0)
            continue;
        TRY(step_take(database, factor, step, now, ret_right));
        if (*ret_right && opened.stale)
            TRY(secret_renew(database, account->tenant, factor, opened.plaintext, mg_rows_bytes(rows, i, 1)));
    }
    return OK;
}

static CHECKED struct mg_status
recovery_hash(const struct mg_account *account, const char *code, uint8_t hash[32])
{
    OWN_BUFFER(storage, 512);
    OWN_BUFFER(bytes, 64);
    struct mg_reply_keyed_hash reply;
    TRY(mg_buffer_format(&bytes, "%" PRIu64 ":%s", account->id, code));
    const struct mg_request_keyed_hash request = {
        .tenant = account->tenant, .purpose = mg_view_text("recovery"), .bytes = mg_buffer_view(&bytes)};
    TRY(mg_call_keyed_hash(&request, &reply, &storage, MG_IDENTITY_CALL_MS));
    if (reply.hash.length != 32)
        return fail_with(MALFORMED, "a keyed hash of %zu bytes", reply.hash.length);
    memcpy(hash, reply.hash.bytes, 32);
    return OK;
}

static CHECKED struct mg_status
recovery_try(struct mg_database *database, const struct mg_account *account, const char *code,
             bool *ret_right)
{
    uint8_t hash[32];
    OWN(rows) rows = NULL;
    TRY(recovery_hash(account, code, hash));
    TRY(mg_query(database, &rows,
                 "DELETE FROM recovery_code WHERE account = $1 AND code_hash = $2 RETURNING account",
                 MG_I64(account->id), MG_BYTES(mg_view_of(hash, sizeof hash))));
    *ret_right = mg_rows_count(rows) == 1;
    return OK;
}

struct mg_status
mg_recovery_left(struct mg_database *database, uint64_t account, uint64_t *ret_left)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows, "SELECT count(*) FROM recovery_code WHERE account = $1", MG_I64(account)));
    *ret_left = (uint64_t) mg_rows_i64(rows, 0, 0);
    return OK;
}

struct mg_status
mg_second_factor_try(struct mg_database *database, const struct mg_account *account, struct mg_view typed,
                     mg_instant now, struct mg_second_try *ret_try)
{
    OWN_KEY(app, MG_TOTP_DIGITS + 1);
    OWN_KEY(recovery, MG_RECOVERY_CHARACTERS + 1);
    bool right = false;
    *ret_try = (struct mg_second_try){.kind = NULL};
    if (mg_totp_normalise(typed, (char *) app)) {
        TRY(app_try(database, account, (const char *) app, now, &right));
        ret_try->kind = right ? "totp" : NULL;
    } else if (mg_recovery_code_normalise(typed, (char *) recovery)) {
        TRY(recovery_try(database, account, (const char *) recovery, &right));
        ret_try->kind = right ? "recovery" : NULL;
    }
    return right ? mg_recovery_left(database, account->id, &ret_try->recovery_left) : OK;
}

/* ---- recovery codes --------------------------------------------------------------------------------- */

struct mg_status
mg_recovery_make(struct mg_database *database, const struct mg_account *account, size_t count,
                 struct mg_buffer *text)
{
    OWN(transaction) transaction = NULL;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(database, NULL, "DELETE FROM recovery_code WHERE account = $1", MG_I64(account->id)));
    for (size_t i = 0; i < count; i++) {
        OWN_KEY(bytes, MG_RECOVERY_CHARACTERS);
        OWN_KEY(shown, MG_RECOVERY_TEXT);
        OWN_KEY(code, MG_RECOVERY_CHARACTERS + 1);
        uint8_t hash[32];
        mg_random(bytes, sizeof bytes);
        mg_recovery_code_make(bytes, (char *) shown);
        mg_must(mg_recovery_code_normalise(mg_view_text((const char *) shown), (char *) code));
        TRY(recovery_hash(account, (const char *) code, hash));
        TRY(mg_query(database, NULL, "INSERT INTO recovery_code (account, code_hash) VALUES ($1, $2)",
                     MG_I64(account->id), MG_BYTES(mg_view_of(hash, sizeof hash))));
        TRY(mg_buffer_format(text, "%s%s", i == 0 ? "" : " ", (const char *) shown));
    }
    return mg_transaction_commit(&transaction);
}

struct mg_status
mg_factors_clear(struct mg_database *database, const struct mg_account *account, uint64_t *ret_removed)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "WITH r AS (DELETE FROM recovery_code WHERE account = $1),"
                 " t AS (DELETE FROM ticket WHERE account = $1 AND kind IN ('second', 'enrol')),"
                 " f AS (DELETE FROM factor WHERE account = $1 RETURNING confirmed_at)"
                 " SELECT count(confirmed_at) FROM f",
                 MG_I64(account->id)));
    *ret_removed = (uint64_t) mg_rows_i64(rows, 0, 0);
    return OK;
}

/* A passkey whose private key is forgotten as soon as it is made. */
static CHECKED struct mg_status
passkey_make_unknown(struct mg_database *database, const struct mg_account *account, mg_instant now)
{
    OWN_KEY(private_key, MG_KEY_BYTES);
    OWN(signing_key) key = NULL;
    uint8_t credential[16];
    uint64_t id;
    mg_random(credential, sizeof credential);
    mg_random(&id, sizeof id);
    id = (id >> 1) | 1;
    TRY(mg_signing_key_generate(MG_ES256, private_key));
    TRY(mg_signing_key_new(MG_ES256, private_key, &key));
    return mg_query(
        database, NULL,
        "INSERT INTO factor (id, account, kind, credential_id, public_key, algorithm, verifies_user,"
        " created_at, confirmed_at) VALUES ($1, $2, 'passkey', $3, $4, $5::int, true, $6, $6)",
        MG_I64(id), MG_I64(account->id), MG_BYTES(mg_view_of(credential, sizeof credential)),
        MG_BYTES(mg_signing_key_public(key)), MG_I64(MG_COSE_ES256), MG_INSTANT(now));
}

struct mg_status
mg_factor_make_unknown(struct mg_database *database, const struct mg_account *account, mg_instant now)
{
    OWN_KEY(secret, MG_TOTP_SECRET_BYTES);
    OWN_BUFFER(sealed, 1024);
    uint64_t id;
    mg_random(secret, sizeof secret);
    mg_random(&id, sizeof id);
    id = (id >> 1) | 1;
    TRY(secret_seal(account->tenant, id, mg_view_of(secret, sizeof secret), &sealed));
    TRY(mg_query(database, NULL,
                 "INSERT INTO factor (id, account, kind, secret_sealed, created_at, confirmed_at)"
                 " VALUES ($1, $2, 'totp', $3, $4, $4)",
                 MG_I64(id), MG_I64(account->id), MG_BYTES(mg_buffer_view(&sealed)), MG_INSTANT(now)));
    return passkey_make_unknown(database, account, now);
}

/* ---- who asks to change something ------------------------------------------------------------------- */

void
mg_changer_drop(struct mg_changer *it)
{
    mg_rows_drop(&it->rows);
}

/* A session must have shown a short while ago who it is: by a second factor, where there is one. */
static bool
is_proven(const struct mg_live_session *live, mg_instant now)
{
    return mg_second_factor_is_fresh(live->account.has_second_factor ? live->second_factor_at
                                                                     : live->authenticated_at,
                                     MG_SECOND_FACTOR_CHANGE_MS, now);
}

static CHECKED struct mg_status
changer_of_session(struct mg_database *database, uint64_t tenant, struct mg_view session,
                   struct mg_changer *it, enum mg_outcome *ret_outcome)
{
    bool found = false;
    TRY(mg_session_find(database, tenant, session, MG_VIEW_EMPTY, it->now, &it->rows, &it->live, &found));
    if (!found) {
        *ret_outcome = MG_SESSION_ENDED;
        return OK;
    }
    it->account = it->live.account;
    TRY(mg_secret_hash(mg_view_of(&it->live.family, sizeof it->live.family), it->begun_by));
    *ret_outcome = is_proven(&it->live, it->now) ? MG_GRANTED : MG_STEP_UP;
    return OK;
}

/* A ticket is for the first one only: whoever knows the password must not add one to those of its owner. */
static CHECKED struct mg_status
changer_of_ticket(struct mg_database *database, uint64_t tenant, struct mg_view ticket, struct mg_changer *it,
                  enum mg_outcome *ret_outcome)
{
    bool found = false, enrol = false;
    TRY(mg_second_ticket_find(database, tenant, ticket, "enrol", it->now, &it->rows, &it->account, &found,
                              &enrol));
    it->by_ticket = true;
    *ret_outcome = found && !it->account.has_second_factor ? MG_GRANTED : MG_TICKET_SPENT;
    return found ? mg_secret_hash(ticket, it->begun_by) : OK;
}

struct mg_status
mg_changer_find(struct mg_database *database, uint64_t tenant, struct mg_view ticket, struct mg_view session,
                struct mg_view address, struct mg_changer *it, enum mg_outcome *ret_outcome)
{
    const struct mg_status place = mg_core_tenant(tenant, &it->tenant);
    *ret_outcome = MG_TENANT_CLOSED;
    if (place.code == MG_NOT_FOUND || (mg_ok(place) && !it->tenant.open))
        return OK;
    TRY(place);
    if (session.length != 0)
        return changer_of_session(database, tenant, session, it, ret_outcome);
    if (mg_tenants_sign_in_allowed(tenant, address)) /* a ticket is part of a sign-in */
        TRY(changer_of_ticket(database, tenant, ticket, it, ret_outcome));
    else
        *ret_outcome = MG_ADDRESS_NOT_ALLOWED;
    if (*ret_outcome != MG_GRANTED)
        mg_sign_in_refusal_count(tenant, *ret_outcome, address);
    return OK;
}

struct mg_status
mg_changer_note(const struct mg_changer *it, enum mg_event event, enum mg_audit_outcome outcome,
                struct mg_view address, const char *reason)
{
    const struct mg_core_actor actor = mg_actor_account(&it->account);
    return mg_identity_note(&(struct mg_audit_note){.event = event,
                                                    .tenant = it->account.tenant,
                                                    .actor = &actor,
                                                    .target = it->account.login,
                                                    .reason = mg_view_text(reason),
                                                    .outcome = outcome,
                                                    .address = address,
                                                    .family = it->by_ticket ? 0 : it->live.family});
}

static CHECKED struct mg_status
change_note(const struct mg_changer *it, enum mg_event event, struct mg_view address, const char *reason)
{
    return mg_changer_note(it, event, MG_AUDIT_SUCCESS, address, reason);
}

/* ---- setting up an app ------------------------------------------------------------------------------ */

/* What this ticket or session has begun: its number (0: nothing) and its secret, which borrows storage. */
static CHECKED struct mg_status
begun_find(struct mg_database *database, const struct mg_changer *it, uint64_t *ret_factor,
           struct mg_view *ret_secret, struct mg_buffer *storage)
{
    OWN(rows) rows = NULL;
    struct mg_reply_unseal opened;
    *ret_factor = 0;
    TRY(mg_query(database, &rows,
                 "SELECT id, secret_sealed FROM factor WHERE account = $1 AND begun_by = $2 AND kind = 'totp'"
                 " AND confirmed_at IS NULL AND created_at > $3 ORDER BY created_at DESC LIMIT 1",
                 MG_I64(it->account.id), MG_BYTES(mg_view_of(it->begun_by, 32)),
                 MG_INSTANT(it->now - BEGUN_MS)));
    if (mg_rows_count(rows) == 0)
        return OK;
    const uint64_t factor = (uint64_t) mg_rows_i64(rows, 0, 0);
    TRY(secret_unseal(it->account.tenant, factor, mg_rows_bytes(rows, 0, 1), &opened, storage));
    *ret_factor = factor;
    *ret_secret = opened.plaintext;
    return OK;
}

static CHECKED struct mg_status
begin(struct mg_database *database, const struct mg_changer *it, uint64_t *ret_factor,
      uint8_t secret[MG_TOTP_SECRET_BYTES])
{
    OWN_BUFFER(sealed, 1024);
    uint64_t id;
    mg_random(secret, MG_TOTP_SECRET_BYTES);
    mg_random(&id, sizeof id);
    id = (id >> 1) | 1;
    TRY(secret_seal(it->account.tenant, id, mg_view_of(secret, MG_TOTP_SECRET_BYTES), &sealed));
    TRY(mg_query(
        database, NULL,
        "WITH old AS (DELETE FROM factor WHERE account = $2 AND begun_by = $4 AND confirmed_at IS NULL)"
        " INSERT INTO factor (id, account, kind, secret_sealed, begun_by, created_at)"
        " VALUES ($1, $2, 'totp', $3, $4, $5)",
        MG_I64(id), MG_I64(it->account.id), MG_BYTES(mg_buffer_view(&sealed)),
        MG_BYTES(mg_view_of(it->begun_by, 32)), MG_INSTANT(it->now)));
    *ret_factor = id;
    return OK;
}

struct mg_status
mg_factors_count(struct mg_database *database, uint64_t account, uint64_t *ret_count)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "SELECT count(*) FROM factor WHERE account = $1 AND confirmed_at IS NOT NULL",
                 MG_I64(account)));
    *ret_count = (uint64_t) mg_rows_i64(rows, 0, 0);
    return OK;
}

MG_HANDLER_PUBLIC(factor_begin)
{
    OWN(database) database = NULL;
    OWN_KEY(fresh, MG_TOTP_SECRET_BYTES);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(text, 64);
    OWN_BUFFER(uri, 1024);
    MG_CLEANUP(mg_changer_drop) struct mg_changer it = {.now = mg_now()};
    struct mg_reply_factor_begin reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_view secret = MG_VIEW_EMPTY;
    uint64_t count = 0;
    TRY(mg_core_database(&database));
    TRY(mg_changer_find(database, request->tenant, request->ticket, request->session, request->address, &it,
                        &outcome));
    if (outcome == MG_GRANTED)
        TRY(mg_factors_count(database, it.account.id, &count));
    if (count >= MG_FACTORS_MOST)
        outcome = MG_TOO_MANY;
    reply.outcome = outcome;
    if (outcome != MG_GRANTED)
        return mg_answer_factor_begin(call, &reply);
    TRY(begun_find(database, &it, &reply.factor, &secret, &storage));
    if (reply.factor == 0) {
        TRY(begin(database, &it, &reply.factor, fresh));
        secret = mg_view_of(fresh, sizeof fresh);
    }
    TRY(mg_base32(secret, &text));
    TRY(mg_totp_uri(mg_view_text(it.tenant.label), it.account.login, secret, &uri));
    reply.secret = mg_buffer_view(&text);
    reply.uri = mg_buffer_view(&uri);
    reply.login = it.account.login;
    return mg_answer_factor_begin(call, &reply);
}

/* One at a time for an account, so that two first ones cannot both be the first. */
static CHECKED struct mg_status
confirm(struct mg_database *database, const struct mg_changer *it, uint64_t factor, uint64_t step,
        struct mg_view name, bool *ret_done)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(database, NULL, "SELECT 1 FROM account WHERE id = $1 FOR UPDATE", MG_I64(it->account.id)));
    TRY(mg_query(
        database, &rows,
        "UPDATE factor f SET confirmed_at = $2, last_used_at = $2, last_step = $3, name = $4, begun_by = NULL"
        " WHERE f.id = $1 AND f.confirmed_at IS NULL AND (NOT $5 OR NOT EXISTS (SELECT FROM factor o"
        " WHERE o.account = f.account AND o.confirmed_at IS NOT NULL)) RETURNING f.id",
        MG_I64(factor), MG_INSTANT(it->now), MG_I64(step), MG_TEXT(name), MG_FLAG(it->by_ticket)));
    *ret_done = mg_rows_count(rows) == 1;
    return mg_transaction_commit(&transaction);
}

/* The code is right: recorded, stored, told to the owner. */
static CHECKED struct mg_status
set_up(struct mg_database *database, const struct mg_changer *it,
       const struct mg_request_factor_confirm *request, uint64_t factor, uint64_t step,
       struct mg_buffer *recovery, enum mg_outcome *ret_outcome)
{
    bool done = false;
    uint64_t left = 0;
    TRY(change_note(it, MG_EVENT_factor_add, request->address, "totp"));
    TRY(confirm(database, it, factor, step, request->name, &done));
    *ret_outcome = done ? MG_GRANTED : MG_TICKET_SPENT;
    if (!done)
        return OK;
    TRY(mg_recovery_left(database, it->account.id, &left));
    if (left == 0)
        TRY(mg_recovery_make(database, &it->account, MG_RECOVERY_CODES, recovery));
    return mg_factor_mail(database, &it->account, "factor_added", request->address, it->now);
}

struct mg_status
mg_changer_go_on(struct mg_database *database, const struct mg_changer *it,
                 const struct mg_changer_place *place, const char *kind, struct mg_new_family *family,
                 enum mg_outcome *ret_outcome)
{
    if (!it->by_ticket) {
        bool alive = false;
        TRY(mg_family_prove(database, &it->live, kind, it->now, &alive));
        *ret_outcome = alive ? MG_GRANTED : MG_SESSION_ENDED;
        return OK;
    }
    MG_CLEANUP(mg_attempt_drop) struct mg_attempt attempt = {0};
    TRY(mg_attempt_begin_second(database, it->account.tenant, it->account.login, place->address, it->now,
                                &attempt));
    const struct mg_last_step step = {.tenant = &it->tenant,
                                      .account = &it->account,
                                      .attempt = &attempt,
                                      .ticket = place->ticket,
                                      .address = place->address,
                                      .user_agent = place->user_agent,
                                      .host = place->host,
                                      .binding = place->binding,
                                      .previous = place->previous,
                                      .kind = kind,
                                      .now = it->now};
    return mg_last_step_take(database, &step, family, ret_outcome);
}

MG_HANDLER_PUBLIC(factor_confirm)
{
    OWN(database) database = NULL;
    OWN_KEY(code, MG_TOTP_DIGITS + 1);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(recovery, 512);
    MG_CLEANUP(mg_changer_drop) struct mg_changer it = {.now = mg_now()};
    MG_CLEANUP(mg_new_family_drop) struct mg_new_family family = {0};
    struct mg_reply_factor_confirm reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_view secret = MG_VIEW_EMPTY;
    uint64_t factor = 0, step = 0;
    TRY(mg_core_database(&database));
    if (!mg_app_host_is_ours(request->tenant, request->host, request->binding))
        outcome = MG_HOST_NOT_YOURS;
    else
        TRY(mg_changer_find(database, request->tenant, request->ticket, request->session, request->address,
                            &it, &outcome));
    if (outcome == MG_GRANTED)
        TRY(begun_find(database, &it, &factor, &secret, &storage));
    if (outcome == MG_GRANTED && factor != 0 && mg_totp_normalise(request->code, (char *) code))
        TRY(mg_totp_judge(secret, (const char *) code, it.now, 0, &step));
    if (outcome == MG_GRANTED && step == 0)
        outcome = MG_WRONG_CODE;
    if (outcome == MG_GRANTED)
        TRY(set_up(database, &it, request, factor, step, &recovery, &outcome));
    if (outcome == MG_GRANTED)
        TRY(mg_changer_go_on(database, &it,
                             &(struct mg_changer_place){.ticket = request->ticket,
                                                        .address = request->address,
                                                        .user_agent = request->user_agent,
                                                        .host = request->host,
                                                        .binding = request->binding,
                                                        .previous = request->previous},
                             "totp", &family, &outcome));
    reply.outcome = outcome;
    if (outcome == MG_GRANTED) {
        reply.recovery = mg_buffer_view(&recovery);
        reply.token = it.by_ticket ? mg_view_of(family.token, sizeof family.token) : MG_VIEW_EMPTY;
        reply.code = it.by_ticket && request->host.length != 0 ? mg_view_of(family.code, sizeof family.code)
                                                               : MG_VIEW_EMPTY;
    }
    return mg_answer_factor_confirm(call, &reply);
}

/* ---- the list, and what goes ------------------------------------------------------------------------ */

MG_HANDLER_PUBLIC(factor_list)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, 15360);
    MG_CLEANUP(mg_changer_drop) struct mg_changer it = {.now = mg_now()};
    struct mg_reply_factor_list reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(mg_core_database(&database));
    TRY(mg_changer_find(database, request->tenant, MG_VIEW_EMPTY, request->session, MG_VIEW_EMPTY, &it,
                        &outcome));
    reply.proven = outcome == MG_GRANTED;
    reply.outcome = outcome == MG_STEP_UP ? MG_GRANTED : outcome; /* to look is free */
    if (reply.outcome != MG_GRANTED)
        return mg_answer_factor_list(call, &reply);
    const struct mg_second_factor_facts facts = mg_second_factor_facts_of(&it.tenant, &it.account);
    reply.must = mg_second_factor_must_have(&facts);
    TRY(mg_recovery_left(database, it.account.id, &reply.recovery_left));
    TRY(mg_query(
        database, &rows,
        "SELECT id, kind, name, created_at, last_used_at, verifies_user, backed_up FROM factor WHERE account = $1"
        " AND confirmed_at IS NOT NULL ORDER BY created_at LIMIT $2",
        MG_I64(it.account.id), MG_I64(MG_FACTORS_MOST)));
    for (size_t i = 0; i < mg_rows_count(rows); i++)
        TRY(mg_list_add_factor_row(
            &list, &(struct mg_record_factor_row){.factor = (uint64_t) mg_rows_i64(rows, i, 0),
                                                  .kind = mg_rows_text(rows, i, 1),
                                                  .name = mg_rows_text(rows, i, 2),
                                                  .created_at = mg_rows_instant(rows, i, 3),
                                                  .last_used_at = mg_rows_instant(rows, i, 4),
                                                  .alone = mg_rows_flag(rows, i, 5),
                                                  .synced = mg_rows_flag(rows, i, 6)}));
    reply.factors.bytes = mg_buffer_view(&list);
    return mg_answer_factor_list(call, &reply);
}

/* GRANTED when it is gone; with the last one the recovery codes go, too. */
static CHECKED struct mg_status
remove_one(struct mg_database *database, const struct mg_changer *it, uint64_t factor, struct mg_view address,
           enum mg_outcome *ret_outcome)
{
    const struct mg_second_factor_facts facts = mg_second_factor_facts_of(&it->tenant, &it->account);
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(database, NULL, "SELECT 1 FROM account WHERE id = $1 FOR UPDATE", MG_I64(it->account.id)));
    TRY(mg_query(database, &rows,
                 "SELECT count(*) FILTER (WHERE id = $2), count(*) FILTER (WHERE id <> $2),"
                 " count(*) FILTER (WHERE id <> $2 AND kind = 'passkey' AND verifies_user),"
                 " count(*) FILTER (WHERE id = $2 AND kind = 'passkey') FROM factor"
                 " WHERE account = $1 AND confirmed_at IS NOT NULL",
                 MG_I64(it->account.id), MG_I64(factor)));
    const bool there = mg_rows_i64(rows, 0, 0) == 1, last = mg_rows_i64(rows, 0, 1) == 0;
    /* Where the password is no way in, the last passkey is the only one. */
    const bool only_way = (it->tenant.methods & MG_METHOD_PASSWORD) == 0 && mg_rows_i64(rows, 0, 3) == 1 &&
                          mg_rows_i64(rows, 0, 2) == 0;
    *ret_outcome = !there                                                     ? MG_NOT_KNOWN
                   : only_way || (last && mg_second_factor_must_have(&facts)) ? MG_LAST_FACTOR
                                                                              : MG_GRANTED;
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(change_note(it, MG_EVENT_factor_remove, address, "by its owner"));
    TRY(mg_query(database, NULL, "DELETE FROM factor WHERE id = $1", MG_I64(factor)));
    if (last)
        TRY(mg_query(database, NULL, "DELETE FROM recovery_code WHERE account = $1", MG_I64(it->account.id)));
    TRY(mg_factor_mail(database, &it->account, "factor_removed", address, it->now));
    return mg_transaction_commit(&transaction);
}

MG_HANDLER_PUBLIC(factor_remove)
{
    OWN(database) database = NULL;
    MG_CLEANUP(mg_changer_drop) struct mg_changer it = {.now = mg_now()};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(mg_core_database(&database));
    TRY(mg_changer_find(database, request->tenant, MG_VIEW_EMPTY, request->session, request->address, &it,
                        &outcome));
    if (outcome == MG_GRANTED)
        TRY(remove_one(database, &it, request->factor, request->address, &outcome));
    return mg_answer_factor_remove(call, &(struct mg_reply_factor_remove){.outcome = outcome});
}

MG_HANDLER_PUBLIC(recovery_renew)
{
    OWN(database) database = NULL;
    OWN_BUFFER(recovery, 512);
    MG_CLEANUP(mg_changer_drop) struct mg_changer it = {.now = mg_now()};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(mg_core_database(&database));
    TRY(mg_changer_find(database, request->tenant, MG_VIEW_EMPTY, request->session, request->address, &it,
                        &outcome));
    if (outcome == MG_GRANTED && !it.account.has_second_factor)
        outcome = MG_NOT_VALID; /* codes stand in for something that must be there */
    if (outcome == MG_GRANTED) {
        TRY(change_note(&it, MG_EVENT_factor_add, request->address, "recovery codes"));
        TRY(mg_recovery_make(database, &it.account, MG_RECOVERY_CODES, &recovery));
        TRY(mg_factor_mail(database, &it.account, "recovery_renewed", request->address, it.now));
    }
    return mg_answer_recovery_renew(
        call, &(struct mg_reply_recovery_renew){.outcome = outcome, .recovery = mg_buffer_view(&recovery)});
}
