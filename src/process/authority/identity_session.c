#include "process/authority/federation.h"
#include "process/authority/identity_risk.h"
#include "process/authority/tenants.h"

#include "base/log.h"
#include "base/secret.h"

#include <pthread.h>
#include <stdio.h>

/* Ids are random, so that they tell nothing about how many there are; 63 bits, never 0. */
static uint64_t
random_id(void)
{
    uint64_t id;
    mg_random(&id, sizeof id);
    return (id >> 1) | 1;
}

void
mg_new_family_drop(struct mg_new_family *family)
{
    mg_wipe(family->token, sizeof family->token);
    mg_wipe(family->code, sizeof family->code);
}

/* Control: SESSION_01 */
struct mg_status
mg_family_prepare(struct mg_new_family *family)
{
    family->family = random_id();
    family->session = random_id();
    mg_random(family->token, sizeof family->token);
    mg_random(family->code, sizeof family->code);
    mg_token_hash(family->token, family->token_hash);
    return mg_secret_hash(mg_view_of(family->code, sizeof family->code), family->code_hash);
}

/* ---- the session table -------------------------------------------------------------------------- */

static CHECKED struct mg_status
table_put(uint64_t session, uint64_t family, const struct mg_account *account, const uint8_t token_hash[32],
          struct mg_view host_name, mg_instant authenticated_at, mg_instant second_factor_at,
          mg_instant expires_at, int64_t idle_ms, mg_instant last_seen_at)
{
    struct mg_core_host host;
    TRY(mg_core_host(host_name, &host));
    if (host.tenant != account->tenant)
        return fail_with(REFUSED, "the host belongs to another tenant");
    struct mg_session row = {
        .session_id = session,
        .user_id = account->id,
        .family_id = family,
        .tenant_id = (uint32_t) account->tenant,
        .host_id = host.id,
        .roles = mg_core_role_bits(account->tenant, account->roles),
        .origin = host.origin,
        .authenticated_at = authenticated_at,
        .second_factor_at = second_factor_at,
        .expires_at = expires_at,
        .idle_ms = idle_ms,
        .last_seen_at = last_seen_at,
    };
    memcpy(row.token_hash, token_hash, sizeof row.token_hash);
    return mg_session_put(mg_core_sessions(), &row);
}

static CHECKED struct mg_status
table_remove_family(uint64_t account, uint64_t family)
{
    uint64_t count = 0;
    const struct mg_session_match match = {.user_id = account, .family_id = family};
    return mg_session_remove(mg_core_sessions(), &match, &count);
}

/* Takes "17:4" (family 17 of account 4) and the space after it from the front. */
static CHECKED struct mg_status
listed_next(struct mg_view *ids, uint64_t *ret_family, uint64_t *ret_account)
{
    const uint8_t *space = memchr(ids->bytes, ' ', ids->length);
    const size_t length = space != NULL ? (size_t) (space - ids->bytes) : ids->length;
    const uint8_t *colon = memchr(ids->bytes, ':', length);
    if (colon == NULL)
        return fail_with(MALFORMED, "a list of families");
    const size_t first = (size_t) (colon - ids->bytes);
    TRY(mg_parse_u64(mg_view_of(ids->bytes, first), INT64_MAX, ret_family));
    TRY(mg_parse_u64(mg_view_of(colon + 1, length - first - 1), INT64_MAX, ret_account));
    const size_t taken = space != NULL ? length + 1 : length;
    *ids = mg_view_of(ids->bytes + taken, ids->length - taken);
    return OK;
}

/* The families a start has ended, as the database lists them. */
static CHECKED struct mg_status
table_remove_listed(struct mg_view ids)
{
    while (ids.length != 0) {
        uint64_t family = 0, account = 0;
        TRY(listed_next(&ids, &family, &account));
        TRY(table_remove_family(account, family));
    }
    return OK;
}

/* ---- starting and ending families ----------------------------------------------------------------- */

/* When the person showed who they are: here, or as the provider says. */
static mg_instant
authenticated_at(const struct mg_new_family *family)
{
    return family->federated != NULL ? family->federated->authenticated_at : family->now;
}

/* The same of a second factor; 0: none was given. */
static mg_instant
second_factor_at(const struct mg_new_family *family)
{
    if (family->federated != NULL)
        return family->federated->several_factors ? family->federated->authenticated_at : 0;
    return family->second_factor != NULL ? family->now : 0;
}

/* $1: whether the sign-in is remembered with its family; $2 to $20: as what. */
enum { VISIT_VALUES = 1 + MG_RISK_VISIT_VALUES, FAMILY_VALUES_MOST = MG_VALUES_MOST - VISIT_VALUES };
#define VISIT                                                                                           \
    "CASE WHEN b.ended IS NOT NULL AND $1 THEN sign_in_visit($2, $3, $4, $5::smallint, $6, $7::int, $8" \
    ", $9, $10, $11, $12, $13, $14::int, $15::int, $16::int, $17, $18, $19::int, $20::int) END"

static CHECKED struct mg_status
visit_values(const struct mg_new_family *family, struct mg_buffer *names,
             struct mg_value values[VISIT_VALUES])
{
    /* Nobody reads these, but each parameter has the same type every time. */
    const struct mg_risk_question nothing = {.account = family->account};
    const struct mg_risk_answer unasked = {0};
    const bool asked = family->question != NULL && family->risk != NULL;
    values[0] = MG_FLAG(asked);
    return mg_risk_visit_values(asked ? family->question : &nothing, asked ? family->risk : &unasked, names,
                                values + 1);
}

/* The values of a family that an identity provider gives, from $21. */
static size_t
federated_values(const struct mg_new_family *family, mg_instant expires_at,
                 struct mg_value values[FAMILY_VALUES_MOST])
{
    const struct mg_core_tenant *tenant = family->tenant;
    const struct mg_federated *federated = family->federated;
    const struct mg_record_saml_claims none = {.name_id = MG_VIEW_EMPTY};
    const struct mg_record_saml_claims *saml = federated->saml != NULL ? federated->saml : &none;
    const bool with_code = family->code_host.length != 0;
    const struct mg_value own[] = {
        MG_I64(family->family),
        MG_I64(family->session),
        MG_I64(tenant->number),
        MG_I64(family->account->id),
        MG_I64(federated->provider),
        MG_TEXT(federated->subject),
        MG_TEXT(federated->session),
        MG_TEXT(federated->acr),
        MG_TEXT(federated->methods),
        MG_INSTANT(federated->authenticated_at),
        MG_INSTANT(family->now),
        MG_INSTANT(expires_at),
        MG_I64(tenant->limits.idle_ms),
        MG_TEXT(family->address),
        MG_TEXT(family->user_agent),
        MG_BYTES(mg_view_of(family->token_hash, 32)),
        MG_TEXT(mg_view_text(tenant->sign_in_host)),
        MG_I64(MG_ORIGIN_SIGN_IN),
        MG_BYTES(family->previous),
        MG_I64(tenant->limits.families),
        MG_BYTES(with_code ? mg_view_of(family->code_hash, 32) : MG_VIEW_EMPTY),
        MG_TEXT(family->code_host),
        MG_BYTES(family->binding),
        MG_INSTANT(family->now + MG_CODE_LIFE_MS),
        federated->several_factors ? MG_INSTANT(federated->authenticated_at) : MG_NULL,
        MG_STRING(federated->several_factors ? "provider" : ""),
        MG_TEXT(family->account->roles),
        MG_STRING(mg_federation_refusal_name(MG_FEDERATION_NONE)),
        MG_TEXT(family->account->login),
        MG_TEXT(federated->arrived),
        MG_I64(MG_IDP_ATTEMPTS_KEPT),
        MG_FLAG(federated->saml != NULL),
        MG_TEXT(saml->name_id),
        MG_TEXT(saml->name_format),
        MG_TEXT(saml->qualifier),
        MG_TEXT(saml->sp_qualifier),
    };
    _Static_assert(MG_COUNT(own) <= FAMILY_VALUES_MOST, "they fit");
    memcpy(values, own, sizeof own);
    return MG_COUNT(own);
}

/* The same of one that a password, a passkey or a second step begins. */
static size_t
own_values(const struct mg_new_family *family, mg_instant expires_at,
           struct mg_value values[FAMILY_VALUES_MOST])
{
    const struct mg_core_tenant *tenant = family->tenant;
    const struct mg_account *account = family->account;
    const bool with_code = family->code_host.length != 0;
    const struct mg_value own[] = {
        MG_I64(family->family),
        MG_I64(family->session),
        MG_I64(tenant->number),
        MG_I64(account->id),
        MG_INSTANT(account->changed_at), /* 0 for never, which no account with a right password has */
        MG_INSTANT(family->now),
        MG_INSTANT(expires_at),
        MG_I64(tenant->limits.idle_ms),
        MG_TEXT(family->address),
        MG_TEXT(family->user_agent),
        MG_BYTES(mg_view_of(family->token_hash, 32)),
        MG_TEXT(mg_view_text(tenant->sign_in_host)),
        MG_I64(tenant->number == 0 ? MG_ORIGIN_OPERATOR : MG_ORIGIN_SIGN_IN),
        MG_BYTES(family->previous),
        MG_I64(tenant->limits.families),
        MG_BYTES(with_code ? mg_view_of(family->code_hash, 32) : MG_VIEW_EMPTY),
        MG_TEXT(family->code_host),
        MG_BYTES(family->binding),
        MG_INSTANT(family->now + MG_CODE_LIFE_MS),
        MG_BYTES(mg_view_of(family->attempt->account_key, 32)),
        MG_I64(family->attempt->address_kind),
        MG_BYTES(mg_buffer_view(&family->attempt->address_key)),
        MG_I64(family->attempt->stamp),
        family->second_factor != NULL ? MG_INSTANT(family->now) : MG_NULL,
        MG_STRING(family->second_factor != NULL ? family->second_factor : ""),
        MG_TEXT(account->roles),
    };
    _Static_assert(MG_COUNT(own) <= FAMILY_VALUES_MOST, "they fit");
    memcpy(values, own, sizeof own);
    return MG_COUNT(own);
}

/* The rows of a family. The first column is what it ended, the third the attempt that a provider's
 * administrators see; *ret_started false when nothing was written. */
static CHECKED struct mg_status
family_insert(struct mg_database *database, const struct mg_new_family *family, mg_instant expires_at,
              struct mg_rows **ret_rows, bool *ret_started)
{
    struct mg_value values[MG_VALUES_MOST];
    OWN_BUFFER(names, 512);
    OWN(rows) rows = NULL;
    TRY(visit_values(family, &names, values));
    if (family->federated != NULL)
        TRY(mg_database_query_often(
            database, &rows,
            "SELECT b.ended, " VISIT ", CASE WHEN b.ended IS NOT NULL THEN"
            " federation_attempt_keep($25, $31, false, $48, '', $49, $50, $51::int) END,"
            " CASE WHEN b.ended IS NOT NULL AND $52 THEN family_saml_keep($21, $53, $54, $55, $56) END"
            " FROM (SELECT family_begin_federated($21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31,"
            " $32, $33, $34, $35, $36, $37, $38::smallint, $39, $40::int, $41, $42, $43, $44, $45, $46, $47)"
            " AS ended OFFSET 0) b",
            values, VISIT_VALUES + federated_values(family, expires_at, values + VISIT_VALUES)));
    else
        TRY(mg_database_query_often(
            database, &rows,
            "SELECT b.ended, " VISIT " FROM (SELECT family_begin($21, $22, $23, $24, $25, $26, $27, $28, $29,"
            " $30, $31, $32, $33::smallint, $34, $35::int, $36, $37, $38, $39, $40, $41::smallint, $42, $43,"
            " $44, $45, $46) AS ended OFFSET 0) b",
            values, VISIT_VALUES + own_values(family, expires_at, values + VISIT_VALUES)));
    *ret_started = !mg_rows_null(rows, 0, 0);
    *ret_rows = TAKE(rows);
    return OK;
}

/* The probes sign in by passwords that nobody else knows and that each round replaces, to accounts that own
 * nothing: the policy is about people. */
static bool
method_is_allowed(const struct mg_core_tenant *tenant, const struct mg_new_family *family)
{
    const struct mg_sign_in_shown shown = {
        .by_password = family->federated == NULL && !family->without_password,
        .by_provider = family->federated != NULL,
        .passkey = family->second_factor != NULL &&
                   (family->without_password || strcmp(family->second_factor, "passkey") == 0)};
    return mg_sign_in_method_allowed(tenant->methods, &shown) || mg_canary_is_login(family->account->login);
}

/* One whose sign-in could not be recorded. */
static CHECKED struct mg_status
family_undo(struct mg_database *database, const struct mg_new_family *family, const struct mg_rows *rows)
{
    if (family->federated != NULL)
        TRY(mg_query(database, NULL, "DELETE FROM federation_attempt WHERE id = $1",
                     MG_I64(mg_rows_i64(rows, 0, 2))));
    return mg_query(database, NULL, "DELETE FROM session_family WHERE id = $1", MG_I64(family->family));
}

/* Control: IDENTITY_04, IDENTITY_05 */
struct mg_status
mg_family_start(struct mg_database *database, struct mg_new_family *family, const struct mg_audit_note *note,
                bool *ret_started)
{
    const struct mg_core_tenant *tenant = family->tenant;
    mg_instant expires_at = mg_session_end_of(&tenant->limits, family->now);
    OWN(rows) rows = NULL;
    OWN_EFFECTS(false);
    if (family->federated != NULL && family->federated->expires_at < expires_at)
        expires_at = family->federated->expires_at;
    struct mg_core_tenant place; /* as it is now: it may have been suspended while the hash was computed */
    TRY(mg_core_tenant(tenant->number, &place));
    *ret_started = false;
    if (!place.open)
        return OK;
    /* The last word, whoever asks for a session: by the policy as it is now. */
    if (!mg_tenants_sign_in_allowed(place.number, family->address))
        return OK;
    const struct mg_second_factor_facts facts = mg_second_factor_facts_of(&place, family->account);
    if (family->second_factor == NULL && family->federated == NULL &&
        mg_second_factor_judge(&facts) != MG_DEMAND_NONE)
        return OK;
    if (!method_is_allowed(&place, family))
        return OK;
    OWN(apart) append = NULL;
    TRY(mg_identity_note_begin(note, &append)); /* both become durable at the same time */
    const struct mg_status inserted = family_insert(database, family, expires_at, &rows, ret_started);
    const struct mg_status noted = mg_record_end(append);
    /* What the start has ended is gone from the database, whatever becomes of the new one. */
    struct mg_status emptied = OK;
    if (mg_ok(inserted) && *ret_started)
        emptied = table_remove_listed(mg_rows_text(rows, 0, 0));
    if (mg_ok(inserted) && !mg_ok(noted) && *ret_started) {
        const struct mg_status undone = family_undo(database, family, rows);
        if (!mg_ok(undone)) /* it stays unusable: its token is forgotten here; idleness will end it */
            mg_log_status(MG_WARNING, "a family without a record", undone);
    }
    TRY(inserted);
    TRY(noted);
    TRY(emptied);
    if (!*ret_started)
        return OK;
    TRY(table_put(family->session, family->family, family->account, family->token_hash,
                  mg_view_text(tenant->sign_in_host), authenticated_at(family), second_factor_at(family),
                  expires_at, tenant->limits.idle_ms, family->now));
    return family->question != NULL ? mg_risk_let_in(database, family->question, family->risk) : OK;
}

/* What is in the table without its row: the connection broke between an earlier deletion and its answer.
 * Whoever revokes again must not be told that there is nothing. `found`: families that had a row. */
static CHECKED struct mg_status
table_remove_left(const struct mg_family_match *match, size_t found, uint64_t *ret_count)
{
    const struct mg_session_match left = {
        .user_id = match->account, .family_id = match->family, .tenant_id = (uint32_t) match->tenant};
    *ret_count = 0;
    /* Of all operators there is no such match, and "all but one" is none either. */
    if (match->except != 0 || (left.user_id == 0 && left.family_id == 0 && left.tenant_id == 0))
        return OK;
    /* A family alone is looked for in the whole table: only when it had no row. */
    if (left.user_id == 0 && left.family_id != 0 && found != 0)
        return OK;
    return mg_session_remove(mg_core_sessions(), &left, ret_count);
}

struct mg_status
mg_families_end(struct mg_database *database, const struct mg_family_match *match, uint64_t *ret_ended)
{
    mg_must(match->family != 0 || match->account != 0 || match->tenant != 0 || match->of_tenant);
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "DELETE FROM session_family WHERE ($1 = 0 OR id = $1) AND ($2 = 0 OR account = $2)"
                 " AND (NOT $3 OR tenant = $4) AND id <> $5 RETURNING id, account",
                 MG_I64(match->family), MG_I64(match->account),
                 MG_FLAG(match->of_tenant || match->tenant != 0), MG_I64(match->tenant),
                 MG_I64(match->except)));
    const size_t count = mg_rows_count(rows);
    for (size_t i = 0; i < count; i++)
        TRY(table_remove_family((uint64_t) mg_rows_i64(rows, i, 1), (uint64_t) mg_rows_i64(rows, i, 0)));
    uint64_t left = 0;
    TRY(table_remove_left(match, count, &left));
    *ret_ended = count != 0 ? count : left;
    return OK;
}

struct mg_status
mg_families_end_of(struct mg_database *database, struct mg_view accounts)
{
    OWN(rows) rows = NULL;
    OWN(rows) people = NULL;
    uint64_t left = 0;
    TRY(mg_query(database, &rows,
                 "DELETE FROM session_family WHERE account = ANY ($1::bigint[]) RETURNING id, account",
                 MG_TEXT(accounts)));
    for (size_t i = 0; i < mg_rows_count(rows); i++)
        TRY(table_remove_family((uint64_t) mg_rows_i64(rows, i, 1), (uint64_t) mg_rows_i64(rows, i, 0)));
    TRY(mg_query(database, &people, "SELECT unnest($1::bigint[])", MG_TEXT(accounts)));
    for (size_t i = 0; i < mg_rows_count(people); i++)
        TRY(table_remove_left(&(struct mg_family_match){.account = (uint64_t) mg_rows_i64(people, i, 0)}, 0,
                              &left));
    return OK;
}

/* ---- looking up ------------------------------------------------------------------------------------ */

enum {
    SESSION_ID = MG_ACCOUNT_COLUMN_COUNT,
    FAMILY_ID,
    HOST,
    AUTHENTICATED_AT,
    EXPIRES_AT,
    LAST_SEEN_AT,
    IDLE_MS,
    SECOND_FACTOR_AT
};
#define SESSION_COLUMNS                                                                       \
    MG_ACCOUNT_COLUMNS                                                                        \
    ", s.id, s.family, s.host, f.authenticated_at, f.expires_at, f.last_seen_at, f.idle_ms, " \
    "f.second_factor_at"

/* The session with this hash, if it is live where it is asked for. */
static CHECKED struct mg_status
find(struct mg_database *database, bool any_tenant, uint64_t tenant, struct mg_view hash, struct mg_view host,
     mg_instant now, struct mg_rows **ret_rows, struct mg_live_session *ret_session, bool *ret_live)
{
    *ret_live = false;
    if (hash.length != 32)
        return OK;
    OWN(rows) rows = NULL;
    TRY(mg_query_often(database, &rows,
                       "SELECT " SESSION_COLUMNS " FROM session s JOIN session_family f ON f.id = s.family"
                       " JOIN account acc ON acc.id = f.account WHERE s.token_hash = $1",
                       MG_BYTES(hash)));
    struct mg_account account;
    if (mg_rows_count(rows) == 0 || !mg_account_read(rows, 0, 0, &account))
        return OK;
    struct mg_core_tenant place;
    TRY(mg_core_tenant(account.tenant, &place));
    const struct mg_session_facts facts = {
        .expires_at = mg_rows_instant(rows, 0, EXPIRES_AT),
        .last_seen_at = mg_rows_instant(rows, 0, LAST_SEEN_AT),
        .idle_ms = mg_rows_i64(rows, 0, IDLE_MS),
        .tenant = account.tenant,
        .asked_tenant = any_tenant ? account.tenant : tenant,
        .host = mg_rows_text(rows, 0, HOST),
        .asked_host = host.length != 0 ? host : mg_rows_text(rows, 0, HOST),
        .user_active = !account.disabled,
        .tenant_active = place.open,
    };
    if (mg_session_judge(&facts, now) != MG_SESSION_LIVE)
        return OK;
    *ret_session = (struct mg_live_session){
        .session = (uint64_t) mg_rows_i64(rows, 0, SESSION_ID),
        .family = (uint64_t) mg_rows_i64(rows, 0, FAMILY_ID),
        .account = account,
        .authenticated_at = mg_rows_instant(rows, 0, AUTHENTICATED_AT),
        .second_factor_at = mg_rows_instant(rows, 0, SECOND_FACTOR_AT),
        .expires_at = facts.expires_at,
        .host = facts.host,
    };
    *ret_rows = TAKE(rows);
    *ret_live = true;
    return OK;
}

struct mg_status
mg_session_find(struct mg_database *database, uint64_t tenant, struct mg_view hash, struct mg_view host,
                mg_instant now, struct mg_rows **ret_rows, struct mg_live_session *ret_session,
                bool *ret_live)
{
    return find(database, false, tenant, hash, host, now, ret_rows, ret_session, ret_live);
}

struct mg_status
mg_session_find_any_tenant(struct mg_database *database, struct mg_view hash, mg_instant now,
                           struct mg_rows **ret_rows, struct mg_live_session *ret_session, bool *ret_live)
{
    return find(database, true, 0, hash, MG_VIEW_EMPTY, now, ret_rows, ret_session, ret_live);
}

struct mg_status
mg_session_start_in(struct mg_database *database, const struct mg_session_join *join, bool *ret_joined)
{
    const uint64_t session = random_id();
    OWN(rows) rows = NULL;
    OWN_EFFECTS(false);
    TRY(mg_query(database, &rows,
                 "WITH f AS (UPDATE session_family SET last_seen_at = $5 WHERE id = $2 RETURNING id)"
                 " INSERT INTO session (id, family, token_hash, host, origin, created_at, last_seen_at)"
                 " SELECT $1, f.id, $3, $4, $6::smallint, $5, $5 FROM f RETURNING id",
                 MG_I64(session), MG_I64(join->family), MG_BYTES(mg_view_of(join->token_hash, 32)),
                 MG_TEXT(join->host), MG_INSTANT(join->now), MG_I64(MG_ORIGIN_APP)));
    *ret_joined = mg_rows_count(rows) == 1;
    if (!*ret_joined)
        return OK;
    return table_put(session, join->family, join->account, join->token_hash, join->host,
                     join->authenticated_at, join->second_factor_at, join->expires_at, join->idle_ms,
                     join->now);
}

struct mg_status
mg_family_prove(struct mg_database *database, const struct mg_live_session *live, const char *second_factor,
                mg_instant now, bool *ret_alive)
{
    OWN(rows) rows = NULL;
    OWN_EFFECTS(false);
    TRY(mg_query(
        database, &rows,
        "WITH f AS (UPDATE session_family SET second_factor_at = CASE WHEN $2 <> '' THEN $3 ELSE second_factor_at END,"
        " second_factor = CASE WHEN $2 <> '' AND second_factor <> '" MG_PASSKEY_ALONE
        "' THEN $2 ELSE second_factor END,"
        " authenticated_at = CASE WHEN $2 = '' THEN $3 ELSE authenticated_at END WHERE id = $1 RETURNING *)"
        " SELECT s.id, s.token_hash, s.host, s.last_seen_at, f.authenticated_at, f.second_factor_at, f.expires_at,"
        " f.idle_ms FROM f JOIN session s ON s.family = f.id",
        MG_I64(live->family), MG_STRING(second_factor != NULL ? second_factor : ""), MG_INSTANT(now)));
    *ret_alive = mg_rows_count(rows) != 0;
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        const struct mg_view hash = mg_rows_bytes(rows, i, 1);
        if (hash.length != 32)
            return fail_with(MALFORMED, "a token's hash of %zu bytes", hash.length);
        TRY(table_put((uint64_t) mg_rows_i64(rows, i, 0), live->family, &live->account, hash.bytes,
                      mg_rows_text(rows, i, 2), mg_rows_instant(rows, i, 4), mg_rows_instant(rows, i, 5),
                      mg_rows_instant(rows, i, 6), mg_rows_i64(rows, i, 7), mg_rows_instant(rows, i, 3)));
    }
    return OK;
}

/* Seconds between two writes of the same session's last use: fine enough for idle limits of a minute. */
enum { TOUCH_MS = 5000 };

struct mg_status
mg_session_touch(struct mg_database *database, uint64_t session, uint64_t family, mg_instant now)
{
    return mg_query(
        database, NULL,
        "WITH s AS (UPDATE session SET last_seen_at = $3 WHERE id = $1 AND last_seen_at < $4),"
        " c AS (SELECT set_config('synchronous_commit', 'off', true))"
        " UPDATE session_family f SET last_seen_at = $3 FROM c WHERE f.id = $2 AND f.last_seen_at < $4",
        MG_I64(session), MG_I64(family), MG_INSTANT(now), MG_INSTANT(now - TOUCH_MS));
}
