/* Passkeys: challenges, what a browser is told, setting one up. */
#include "process/authority/identity_factor.h"
#include "process/authority/tenants.h"

#include "base/secret.h"
#include "domain/passkey.h"
#include "domain/recovery_code.h"
#include "ports/passkey_key.h"

#include <inttypes.h>
#include <stdio.h>

#define CHALLENGE_PURPOSE "passkey-challenge"
#define HANDLE_PURPOSE "passkey-user"

static CHECKED struct mg_status
keyed_hash(uint64_t tenant, const char *purpose, struct mg_view bytes, uint8_t hash[32])
{
    OWN_BUFFER(storage, 512);
    struct mg_reply_keyed_hash reply;
    const struct mg_request_keyed_hash request = {
        .tenant = tenant, .purpose = mg_view_text(purpose), .bytes = bytes};
    TRY(mg_call_keyed_hash(&request, &reply, &storage, MG_IDENTITY_CALL_MS));
    if (reply.hash.length != 32)
        return fail_with(MALFORMED, "a keyed hash of %zu bytes", reply.hash.length);
    memcpy(hash, reply.hash.bytes, 32);
    return OK;
}

struct mg_status
mg_passkey_user_handle(uint64_t tenant, uint64_t account, uint8_t handle[32])
{
    char text[24];
    (void) snprintf(text, sizeof text, "%" PRIu64, account);
    return keyed_hash(tenant, HANDLE_PURPOSE, mg_view_text(text), handle); /* says nothing about the person */
}

struct mg_status
mg_passkeys_count(struct mg_database *database, uint64_t account, uint64_t *ret_count)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(
        database, &rows,
        "SELECT count(*) FROM factor WHERE account = $1 AND kind = 'passkey' AND confirmed_at IS NOT NULL",
        MG_I64(account)));
    *ret_count = (uint64_t) mg_rows_i64(rows, 0, 0);
    return OK;
}

/* ---- challenges ------------------------------------------------------------------------------------- */

struct mg_status
mg_passkey_bound(struct mg_view secret, uint8_t bound_to[32])
{
    if (secret.length != 32)
        return fail_with(INVALID, "nothing that a challenge could be bound to");
    return mg_secret_hash(secret, bound_to);
}

static CHECKED struct mg_status
challenge_make(uint64_t tenant, enum mg_passkey_use use, const uint8_t bound_to[32], mg_instant now,
               uint8_t challenge[MG_PASSKEY_CHALLENGE_BYTES])
{
    uint8_t nonce[16], message[MG_PASSKEY_MESSAGE_BYTES];
    mg_random(nonce, sizeof nonce);
    mg_passkey_challenge_begin(now, nonce, challenge);
    mg_passkey_challenge_message(challenge, use, bound_to, message);
    return keyed_hash(tenant, CHALLENGE_PURPOSE, mg_view_of(message, sizeof message), challenge + 24);
}

struct mg_status
mg_passkey_challenge_check(uint64_t tenant, struct mg_view challenge, uint64_t use,
                           const uint8_t bound_to[32], mg_instant now, bool *ret_good)
{
    uint8_t message[MG_PASSKEY_MESSAGE_BYTES], expected[32];
    *ret_good = false;
    if (challenge.length != MG_PASSKEY_CHALLENGE_BYTES ||
        !mg_passkey_challenge_is_fresh(challenge.bytes, now))
        return OK;
    mg_passkey_challenge_message(challenge.bytes, (enum mg_passkey_use) use, bound_to, message);
    TRY(keyed_hash(tenant, CHALLENGE_PURPOSE, mg_view_of(message, sizeof message), expected));
    *ret_good = mg_view_equal_constant_time(mg_view_of(expected, sizeof expected),
                                            mg_view_of(challenge.bytes + 24, 32));
    return OK;
}

/* Control: IDENTITY_04 */
struct mg_status
mg_passkey_challenge_spend(struct mg_database *database, struct mg_view challenge, mg_instant now,
                           bool *ret_first)
{
    OWN(rows) rows = NULL;
    uint8_t hash[32];
    TRY(mg_secret_hash(challenge, hash));
    TRY(mg_query(
        database, &rows,
        "INSERT INTO passkey_answered (challenge_hash, expires_at) VALUES ($1, $2)"
        " ON CONFLICT DO NOTHING RETURNING challenge_hash",
        MG_BYTES(mg_view_of(hash, sizeof hash)),
        MG_INSTANT(now + 2 * MG_PASSKEY_CHALLENGE_MS))); /* beyond its own end, whatever the clocks do */
    *ret_first = mg_rows_count(rows) == 1;
    return OK;
}

/* ---- what a browser is told ------------------------------------------------------------------------- */

struct begin {
    const struct mg_request_passkey_begin *request;
    struct mg_core_tenant tenant;
    struct mg_rows *rows;
    struct mg_live_session live;
    struct mg_changer changer;
    struct mg_account account; /* id 0: it is not known yet who it is */
    uint8_t bound_to[32];
    mg_instant now;
};

static void
begin_drop(struct begin *it)
{
    mg_rows_drop(&it->rows);
    mg_changer_drop(&it->changer);
}

static CHECKED struct mg_status
begin_second(struct begin *it, struct mg_database *database, enum mg_outcome *ret_outcome)
{
    bool found = false, enrol = false;
    TRY(mg_second_ticket_find(database, it->tenant.number, it->request->ticket, "second", it->now, &it->rows,
                              &it->account, &found, &enrol));
    *ret_outcome = found ? MG_GRANTED : MG_TICKET_SPENT;
    return found ? mg_passkey_bound(it->request->ticket, it->bound_to) : OK;
}

static CHECKED struct mg_status
begin_step_up(struct begin *it, struct mg_database *database, enum mg_outcome *ret_outcome)
{
    bool found = false;
    TRY(mg_session_find(database, it->tenant.number, it->request->session, MG_VIEW_EMPTY, it->now, &it->rows,
                        &it->live, &found));
    *ret_outcome = found ? MG_GRANTED : MG_SESSION_ENDED;
    it->account = it->live.account;
    return found ? mg_passkey_bound(it->request->session, it->bound_to) : OK;
}

static CHECKED struct mg_status
begin_set_up(struct begin *it, struct mg_database *database, enum mg_outcome *ret_outcome)
{
    uint64_t count = 0;
    it->changer.now = it->now;
    TRY(mg_changer_find(database, it->tenant.number, it->request->ticket, it->request->session,
                        it->request->address, &it->changer, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    it->account = it->changer.account;
    memcpy(it->bound_to, it->changer.begun_by, sizeof it->bound_to);
    TRY(mg_factors_count(database, it->account.id, &count));
    if (count >= MG_FACTORS_MOST)
        *ret_outcome = MG_TOO_MANY;
    return OK;
}

static CHECKED struct mg_status
begin_find(struct begin *it, struct mg_database *database, enum mg_outcome *ret_outcome)
{
    const struct mg_status place = mg_core_tenant(it->request->tenant, &it->tenant);
    *ret_outcome = MG_TENANT_CLOSED;
    if (place.code == MG_NOT_FOUND || (mg_ok(place) && !it->tenant.open))
        return OK;
    TRY(place);
    switch (it->request->use) {
    case MG_PASSKEY_USE_SIGN_IN:
        *ret_outcome = (it->tenant.methods & MG_METHOD_PASSKEY) != 0 ? MG_GRANTED : MG_METHOD_NOT_ALLOWED;
        return mg_passkey_bound(it->request->browser, it->bound_to);
    case MG_PASSKEY_USE_SECOND:
        return begin_second(it, database, ret_outcome);
    case MG_PASSKEY_USE_STEP_UP:
        return begin_step_up(it, database, ret_outcome);
    case MG_PASSKEY_USE_SET_UP:
        return begin_set_up(it, database, ret_outcome);
    default:
        return fail_with(INVALID, "use of a passkey");
    }
}

/* The passkeys of the account. *ret_all_verify: each of them verified the person when it was set up. */
static CHECKED struct mg_status
credentials_list(struct mg_database *database, uint64_t account, struct mg_buffer *list, bool *ret_all_verify)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(
        database, &rows,
        "SELECT credential_id, transports, verifies_user FROM factor WHERE account = $1"
        " AND kind = 'passkey' AND confirmed_at IS NOT NULL ORDER BY last_used_at DESC NULLS LAST, id LIMIT $2",
        MG_I64(account), MG_I64(MG_FACTORS_MOST)));
    *ret_all_verify = mg_rows_count(rows) != 0;
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        TRY(mg_list_add_passkey_credential(
            list, &(struct mg_record_passkey_credential){.credential = mg_rows_bytes(rows, i, 0),
                                                         .transports = mg_rows_text(rows, i, 1)}));
        *ret_all_verify = *ret_all_verify && mg_rows_flag(rows, i, 2);
    }
    return OK;
}

static CHECKED struct mg_status
begin_person(struct begin *it, struct mg_database *database, struct mg_buffer *list, uint8_t handle[32],
             struct mg_reply_passkey_begin *reply)
{
    OWN(rows) rows = NULL;
    bool all_verify = false;
    TRY(credentials_list(database, it->account.id, list, &all_verify));
    TRY(mg_query(
        database, &rows,
        "SELECT count(*) FROM factor WHERE account = $1 AND kind = 'totp' AND confirmed_at IS NOT NULL",
        MG_I64(it->account.id)));
    TRY(mg_passkey_user_handle(it->account.tenant, it->account.id, handle));
    TRY(mg_recovery_left(database, it->account.id, &reply->recovery_left));
    reply->totp = mg_rows_i64(rows, 0, 0) != 0;
    reply->user_handle = mg_view_of(handle, 32);
    reply->login = it->account.login;
    reply->name = it->account.name;
    reply->verify = it->request->use == MG_PASSKEY_USE_STEP_UP && all_verify;
    return OK;
}

MG_HANDLER_PUBLIC(passkey_begin)
{
    OWN(database) database = NULL;
    OWN_BUFFER(list, 12288);
    MG_CLEANUP(begin_drop) struct begin it = {.request = request, .now = mg_now()};
    struct mg_reply_passkey_begin reply = {0};
    uint8_t challenge[MG_PASSKEY_CHALLENGE_BYTES], handle[32];
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(mg_core_database(&database));
    TRY(begin_find(&it, database, &outcome));
    reply.outcome = outcome;
    if (outcome != MG_GRANTED)
        return mg_answer_passkey_begin(call, &reply);
    reply.only =
        (it.tenant.methods & MG_METHOD_PASSWORD) == 0 && (it.tenant.methods & MG_METHOD_PASSKEY) != 0;
    if (it.account.id != 0)
        TRY(begin_person(&it, database, &list, handle, &reply));
    TRY(challenge_make(it.tenant.number, (enum mg_passkey_use) request->use, it.bound_to, it.now, challenge));
    reply.verify = reply.verify || reply.only || request->use == MG_PASSKEY_USE_SIGN_IN;
    reply.challenge = mg_view_of(challenge, sizeof challenge);
    reply.relying_party = mg_view_text(it.tenant.sign_in_host);
    reply.label = mg_view_text(it.tenant.label);
    reply.credentials.bytes = mg_buffer_view(&list);
    return mg_answer_passkey_begin(call, &reply);
}

/* ---- setting one up --------------------------------------------------------------------------------- */

struct adding {
    const struct mg_request_passkey_add *request;
    struct mg_changer changer;
    struct mg_reply_passkey_creation_read read; /* borrows storage */
    struct mg_buffer storage;
    struct mg_passkey_head head;
    bool only;
};

static void
adding_drop(struct adding *it)
{
    mg_changer_drop(&it->changer);
    mg_buffer_drop(&it->storage);
}

/* Section 7.1: everything but whether the passkey is there already. */
static CHECKED struct mg_status
creation_judge(struct adding *it, enum mg_passkey_refusal *ret_refusal)
{
    const struct mg_request_passkey_add *request = it->request;
    bool good = false;
    TRY(mg_passkey_challenge_check(it->changer.account.tenant, request->challenge, MG_PASSKEY_USE_SET_UP,
                                   it->changer.begun_by, it->changer.now, &good));
    *ret_refusal = MG_PASSKEY_CHALLENGE;
    if (!good)
        return OK;
    const struct mg_request_passkey_creation_read ask = {.client_data = request->client_data,
                                                         .attestation = request->attestation};
    TRY(mg_call_passkey_creation_read(&ask, &it->read, &it->storage, MG_IDENTITY_CALL_MS));
    *ret_refusal = it->read.refusal < MG_PASSKEY_REFUSAL_COUNT ? (enum mg_passkey_refusal) it->read.refusal
                                                               : MG_PASSKEY_AUTHENTICATOR_DATA;
    if (*ret_refusal != MG_PASSKEY_NONE)
        return OK;
    struct mg_passkey_facts facts = {
        .creation = true,
        .type = it->read.type,
        .challenge = it->read.challenge,
        .origin = it->read.origin,
        .cross_origin = it->read.cross_origin,
        .challenge_expected = request->challenge,
        .origin_expected = mg_view_text(it->changer.tenant.sign_in_origin),
        .algorithm = it->read.algorithm,
        .must_verify = it->only,
    };
    *ret_refusal = MG_PASSKEY_AUTHENTICATOR_DATA;
    if (!mg_passkey_head_read(it->read.head, &facts.head) || it->read.credential.length == 0)
        return OK;
    it->head = facts.head;
    TRY(mg_secret_hash(mg_view_text(it->changer.tenant.sign_in_host), facts.rp_id_hash_expected));
    *ret_refusal = mg_passkey_judge(&facts);
    if (*ret_refusal == MG_PASSKEY_NONE && !mg_passkey_key_is_sound(it->read.algorithm, it->read.key))
        *ret_refusal = MG_PASSKEY_KEY;
    return OK;
}

/* One at a time for an account; recorded before it counts. *ret_refusal CREDENTIAL_TAKEN for one that is
 * known. */
static CHECKED struct mg_status
store(struct mg_database *database, struct adding *it, enum mg_passkey_refusal *ret_refusal,
      enum mg_outcome *ret_outcome)
{
    static const char *const attestations[] = {"none", "self", "packed"};
    OWN(transaction) transaction = NULL;
    OWN(rows) counted = NULL;
    OWN(rows) rows = NULL;
    char transports[64];
    uint64_t id;
    const struct mg_changer *changer = &it->changer;
    mg_random(&id, sizeof id);
    id = (id >> 1) | 1;
    mg_passkey_transports(it->request->transports, transports);
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(database, NULL, "SELECT 1 FROM account WHERE id = $1 FOR UPDATE",
                 MG_I64(changer->account.id)));
    TRY(mg_query(database, &counted,
                 "SELECT count(*) FROM factor WHERE account = $1 AND confirmed_at IS NOT NULL",
                 MG_I64(changer->account.id)));
    const int64_t count = mg_rows_i64(counted, 0, 0);
    *ret_outcome = count >= MG_FACTORS_MOST ? MG_TOO_MANY : MG_TICKET_SPENT;
    if (count >= MG_FACTORS_MOST || (changer->by_ticket && count != 0))
        return OK;
    TRY(mg_query(
        database, &rows,
        "INSERT INTO factor (id, account, kind, name, credential_id, public_key, algorithm, sign_count, verifies_user,"
        " backup_eligible, backed_up, transports, aaguid, attestation, created_at, confirmed_at)"
        " VALUES ($1, $2, 'passkey', $3, $4, $5, $6::int, $7, $8, $9, $10, $11, $12, $13, $14, $14)"
        " ON CONFLICT (credential_id) WHERE credential_id IS NOT NULL DO NOTHING RETURNING id",
        MG_I64(id), MG_I64(changer->account.id), MG_TEXT(it->request->name), MG_BYTES(it->read.credential),
        MG_BYTES(it->read.key), MG_I64(it->read.algorithm), MG_I64(it->head.counter),
        MG_FLAG((it->head.flags & MG_PASSKEY_USER_VERIFIED) != 0),
        MG_FLAG((it->head.flags & MG_PASSKEY_BACKUP_ELIGIBLE) != 0),
        MG_FLAG((it->head.flags & MG_PASSKEY_BACKED_UP) != 0), MG_STRING(transports),
        MG_BYTES(it->read.aaguid),
        MG_STRING(it->read.attestation < MG_COUNT(attestations) ? attestations[it->read.attestation] : ""),
        MG_INSTANT(changer->now)));
    *ret_outcome = MG_PASSKEY_REFUSED;
    *ret_refusal = MG_PASSKEY_CREDENTIAL_TAKEN;
    if (mg_rows_count(rows) != 1)
        return OK;
    TRY(mg_changer_note(changer, MG_EVENT_factor_add, MG_AUDIT_SUCCESS, it->request->address, "passkey"));
    TRY(mg_transaction_commit(&transaction));
    *ret_refusal = MG_PASSKEY_NONE;
    *ret_outcome = MG_GRANTED;
    return OK;
}

static CHECKED struct mg_status
add(struct mg_database *database, struct adding *it, struct mg_buffer *recovery, enum mg_outcome *ret_outcome)
{
    enum mg_passkey_refusal refusal = MG_PASSKEY_CHALLENGE;
    bool first = false;
    uint64_t left = 0;
    *ret_outcome = MG_PASSKEY_REFUSED;
    TRY(creation_judge(it, &refusal));
    if (refusal == MG_PASSKEY_NONE) {
        TRY(mg_passkey_challenge_spend(database, it->request->challenge, it->changer.now, &first));
        if (first)
            TRY(store(database, it, &refusal, ret_outcome));
        else
            refusal = MG_PASSKEY_CHALLENGE;
    }
    if (refusal != MG_PASSKEY_NONE)
        return mg_changer_note(&it->changer, MG_EVENT_factor_add, MG_AUDIT_FAILURE, it->request->address,
                               mg_passkey_refusal_name(refusal));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(mg_recovery_left(database, it->changer.account.id, &left));
    if (left == 0)
        TRY(mg_recovery_make(database, &it->changer.account, MG_RECOVERY_CODES, recovery));
    return mg_factor_mail(database, &it->changer.account, "factor_added", it->request->address,
                          it->changer.now);
}

MG_HANDLER_PUBLIC(passkey_add)
{
    OWN(database) database = NULL;
    OWN_BUFFER(recovery, 512);
    MG_CLEANUP(adding_drop)
    struct adding it = {
        .request = request, .changer = {.now = mg_now()}, .storage = MG_BUFFER(MG_PACKET_MOST)};
    MG_CLEANUP(mg_new_family_drop) struct mg_new_family family = {0};
    struct mg_reply_passkey_add reply = {0};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(mg_core_database(&database));
    if (!mg_app_host_is_ours(request->tenant, request->host, request->binding))
        outcome = MG_HOST_NOT_YOURS;
    else
        TRY(mg_changer_find(database, request->tenant, request->ticket, request->session, request->address,
                            &it.changer, &outcome));
    it.only = outcome == MG_GRANTED && (it.changer.tenant.methods & MG_METHOD_PASSWORD) == 0;
    if (outcome == MG_GRANTED)
        TRY(add(database, &it, &recovery, &outcome));
    if (outcome == MG_GRANTED)
        TRY(mg_changer_go_on(database, &it.changer,
                             &(struct mg_changer_place){.ticket = request->ticket,
                                                        .address = request->address,
                                                        .user_agent = request->user_agent,
                                                        .host = request->host,
                                                        .binding = request->binding,
                                                        .previous = request->previous},
                             "passkey", &family, &outcome));
    reply.outcome = outcome;
    if (outcome == MG_GRANTED) {
        const bool with_code = it.changer.by_ticket && request->host.length != 0;
        reply.recovery = mg_buffer_view(&recovery);
        reply.token = it.changer.by_ticket ? mg_view_of(family.token, sizeof family.token) : MG_VIEW_EMPTY;
        reply.code = with_code ? mg_view_of(family.code, sizeof family.code) : MG_VIEW_EMPTY;
    }
    return mg_answer_passkey_add(call, &reply);
}
