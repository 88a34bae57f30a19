/* What a signed-in browser may ask for: codes for app hosts, who it is, its list of sign-ins, their end. */
#include "process/authority/rights.h"

#include "base/secret.h"
#include "domain/login.h"

#include <endian.h>

/* On the wire a family is 16 bytes: 8 of zero, the id big-endian. */
static void
family_bytes(uint64_t family, uint8_t bytes[MG_FAMILY_BYTES])
{
    const uint64_t big = htobe64(family);
    memset(bytes, 0, MG_FAMILY_BYTES);
    memcpy(bytes + 8, &big, sizeof big);
}

/* 0, which no family has, unless it is of that form. */
static uint64_t
family_of(struct mg_view bytes)
{
    static const uint8_t zeros[8] = {0};
    uint64_t big = 0;
    if (bytes.length != MG_FAMILY_BYTES || memcmp(bytes.bytes, zeros, sizeof zeros) != 0)
        return 0;
    memcpy(&big, bytes.bytes + 8, sizeof big);
    const uint64_t family = be64toh(big);
    return family > INT64_MAX ? 0 : family;
}

static bool
is_app_of(struct mg_view name, uint64_t tenant)
{
    struct mg_core_host host;
    return mg_ok(mg_core_host(name, &host)) && host.tenant == tenant && host.origin == MG_ORIGIN_APP;
}

/* ---- codes: how a sign-in reaches an app host ------------------------------------------------------ */

MG_HANDLER_PUBLIC(code_issue)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_KEY(code, MG_TOKEN_BYTES);
    uint8_t hash[32];
    struct mg_live_session live;
    bool found = false;
    const mg_instant now = mg_now();
    if (request->binding.length != 32 || !is_app_of(request->host, request->tenant))
        return mg_answer_code_issue(call, &(struct mg_reply_code_issue){.outcome = MG_HOST_NOT_YOURS});
    TRY(mg_core_database(&database));
    TRY(mg_session_find(database, request->tenant, request->session, MG_VIEW_EMPTY, now, &rows, &live,
                        &found));
    if (!found)
        return mg_answer_code_issue(call, &(struct mg_reply_code_issue){.outcome = MG_SESSION_ENDED});
    mg_random(code, MG_TOKEN_BYTES);
    TRY(mg_secret_hash(mg_view_of(code, MG_TOKEN_BYTES), hash));
    TRY(mg_query(
        database, NULL,
        "INSERT INTO entry_code (code_hash, tenant, family, host, binding, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        MG_BYTES(mg_view_of(hash, sizeof hash)), MG_I64(request->tenant), MG_I64(live.family),
        MG_TEXT(request->host), MG_BYTES(request->binding), MG_INSTANT(now + MG_CODE_LIFE_MS)));
    return mg_answer_code_issue(
        call, &(struct mg_reply_code_issue){.outcome = MG_GRANTED, .code = mg_view_of(code, MG_TOKEN_BYTES)});
}

struct exchange {
    const struct mg_request_code_exchange *request;
    struct mg_account account;
    uint64_t family;
    mg_instant authenticated_at, second_factor_at, expires_at;
    int64_t idle_ms;
};

/* Takes the code (it is spent whatever comes of it) and judges it. */
static CHECKED struct mg_status
code_take(struct mg_database *database, struct exchange *it, mg_instant now, struct mg_rows **ret_rows,
          bool *ret_good)
{
    enum {
        FAMILY = MG_ACCOUNT_COLUMN_COUNT,
        TENANT,
        HOST,
        BINDING,
        CODE_EXPIRES,
        AUTHENTICATED,
        EXPIRES,
        IDLE,
        SEEN,
        SECOND
    };
    uint8_t hash[32], binding[32];
    *ret_good = false;
    if (it->request->code.length != MG_TOKEN_BYTES || it->request->nonce.length != MG_TOKEN_BYTES)
        return OK;
    TRY(mg_secret_hash(it->request->code, hash));
    TRY(mg_secret_hash(it->request->nonce, binding));
    OWN(rows) rows = NULL;
    TRY(mg_query(
        database, &rows,
        "WITH c AS (DELETE FROM entry_code WHERE code_hash = $1 RETURNING *) SELECT " MG_ACCOUNT_COLUMNS
        ", c.family, c.tenant, c.host, c.binding, c.expires_at, f.authenticated_at, f.expires_at, f.idle_ms,"
        " f.last_seen_at, f.second_factor_at FROM c JOIN session_family f ON f.id = c.family JOIN account acc ON acc.id = f.account",
        MG_BYTES(mg_view_of(hash, sizeof hash))));
    if (mg_rows_count(rows) == 0 || !mg_account_read(rows, 0, 0, &it->account))
        return OK;
    it->family = (uint64_t) mg_rows_i64(rows, 0, FAMILY);
    it->authenticated_at = mg_rows_instant(rows, 0, AUTHENTICATED);
    it->expires_at = mg_rows_instant(rows, 0, EXPIRES);
    it->second_factor_at = mg_rows_instant(rows, 0, SECOND);
    it->idle_ms = mg_rows_i64(rows, 0, IDLE);
    const struct mg_code_facts facts = {
        .expires_at = mg_rows_instant(rows, 0, CODE_EXPIRES),
        .tenant = (uint64_t) mg_rows_i64(rows, 0, TENANT),
        .asked_tenant = it->request->tenant,
        .host = mg_rows_text(rows, 0, HOST),
        .asked_host = it->request->host,
        .binding = mg_rows_bytes(rows, 0, BINDING),
        .asked_binding = mg_view_of(binding, sizeof binding),
    };
    struct mg_core_tenant tenant;
    TRY(mg_core_tenant(it->request->tenant, &tenant));
    *ret_good = mg_code_accepts(&facts, now) && now < it->expires_at && !it->account.disabled &&
                tenant.open && is_app_of(it->request->host, it->request->tenant);
    *ret_rows = TAKE(rows);
    return OK;
}

MG_HANDLER_PUBLIC(code_exchange)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_KEY(token, MG_TOKEN_BYTES);
    uint8_t hash[32];
    struct exchange it = {.request = request};
    bool good = false;
    const mg_instant now = mg_now();
    TRY(mg_core_database(&database));
    TRY(code_take(database, &it, now, &rows, &good));
    if (!good) {
        mg_sign_in_refusal_count(request->tenant, MG_TICKET_SPENT, request->address);
        return mg_answer_code_exchange(call, &(struct mg_reply_code_exchange){.outcome = MG_TICKET_SPENT});
    }
    struct mg_core_actor actor = mg_actor_account(&it.account);
    mg_random(token, MG_TOKEN_BYTES);
    mg_token_hash(token, hash);
    TRY(mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_session_start,
                                                 .tenant = request->tenant,
                                                 .actor = &actor,
                                                 .target = request->host,
                                                 .outcome = MG_AUDIT_SUCCESS,
                                                 .address = request->address,
                                                 .family = it.family}));
    bool joined = false;
    const struct mg_session_join join = {.family = it.family,
                                         .account = &it.account,
                                         .token_hash = hash,
                                         .host = request->host,
                                         .authenticated_at = it.authenticated_at,
                                         .second_factor_at = it.second_factor_at,
                                         .expires_at = it.expires_at,
                                         .idle_ms = it.idle_ms,
                                         .now = now};
    TRY(mg_session_start_in(database, &join, &joined));
    if (!joined) /* the family ended meanwhile */
        return mg_answer_code_exchange(call, &(struct mg_reply_code_exchange){.outcome = MG_TICKET_SPENT});
    return mg_answer_code_exchange(
        call,
        &(struct mg_reply_code_exchange){.outcome = MG_GRANTED, .token = mg_view_of(token, MG_TOKEN_BYTES)});
}

/* ---- who acts --------------------------------------------------------------------------------------- */

MG_HANDLER_PUBLIC(session_check)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    struct mg_live_session live;
    bool found = false;
    const mg_instant now = mg_now();
    TRY(mg_core_database(&database));
    if (request->host.length != 0)
        TRY(mg_session_find(database, request->tenant, request->session, request->host, now, &rows, &live,
                            &found));
    if (!found)
        return mg_answer_session_check(call, &(struct mg_reply_session_check){.valid = false});
    TRY(mg_session_touch(database, live.session, live.family, now));
    struct mg_core_tenant place;
    mg_permissions permissions = 0;
    TRY(mg_core_tenant(live.account.tenant, &place));
    if (mg_view_is(live.host, place.sign_in_host)) /* elsewhere there is nothing of ours to do */
        TRY(mg_right_of_roles(database, live.account.tenant, live.account.roles, &permissions));
    return mg_answer_session_check(call, &(struct mg_reply_session_check){
                                             .permissions = permissions,
                                             .valid = true,
                                             .user = live.account.id,
                                             .login = live.account.login,
                                             .name = live.account.name,
                                             .email = live.account.email,
                                             .roles = live.account.roles,
                                             .authenticated_at = live.authenticated_at,
                                             .expires_at = live.expires_at,
                                             .second_factor_at = live.second_factor_at,
                                             .has_second_factor = live.account.has_second_factor,
                                         });
}

MG_HANDLER_PUBLIC(sign_out)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    struct mg_live_session live;
    bool found = false;
    TRY(mg_core_database(&database));
    TRY(mg_session_find(database, request->tenant, request->session, MG_VIEW_EMPTY, mg_now(), &rows, &live,
                        &found));
    if (found) {
        struct mg_core_actor actor = mg_actor_account(&live.account);
        uint64_t ended = 0;
        TRY(mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_sign_out,
                                                     .tenant = request->tenant,
                                                     .actor = &actor,
                                                     .outcome = MG_AUDIT_SUCCESS,
                                                     .family = live.family}));
        OWN_EFFECTS(true);
        TRY(mg_families_end(database, &(struct mg_family_match){.family = live.family}, &ended));
    }
    return mg_answer_sign_out(call, &(struct mg_reply_sign_out){.outcome = MG_GRANTED});
}

/* ---- lists ------------------------------------------------------------------------------------------ */

enum { LIST_MOST = 100 };
#define FAMILY_COLUMNS                                                                                        \
    "f.id, acc.login, coalesce((SELECT string_agg(DISTINCT s.host, ' ') FROM session s WHERE s.family = f.id" \
    " AND s.origin = 1), ''), f.address, f.user_agent, f.authenticated_at, f.last_seen_at, f.expires_at, acc.tenant"

static CHECKED struct mg_status
family_row_add(const struct mg_rows *rows, size_t row, uint64_t current, struct mg_buffer *list)
{
    struct mg_core_tenant tenant;
    TRY(mg_core_tenant((uint64_t) mg_rows_i64(rows, row, 8), &tenant));
    uint8_t family[MG_FAMILY_BYTES];
    const uint64_t id = (uint64_t) mg_rows_i64(rows, row, 0);
    family_bytes(id, family);
    const struct mg_view hosts = mg_rows_text(rows, row, 2);
    const struct mg_record_session_row record = {
        .family = mg_view_of(family, sizeof family),
        .tenant = mg_view_text(tenant.name),
        .login = mg_rows_text(rows, row, 1),
        .hosts = hosts.length <= 1024 ? hosts : mg_view_of(hosts.bytes, 1024), /* host names are ASCII */
        .address = mg_rows_text(rows, row, 3),
        .user_agent = mg_rows_text(rows, row, 4),
        .signed_in_at = mg_rows_instant(rows, row, 5),
        .last_used_at = mg_rows_instant(rows, row, 6),
        .expires_at = mg_rows_instant(rows, row, 7),
        .current = id == current,
    };
    return mg_list_add_session_row(list, &record);
}

MG_HANDLER_PUBLIC(session_list_own)
{
    OWN(database) database = NULL;
    OWN(rows) own = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, 122880);
    struct mg_live_session live;
    bool found = false;
    const mg_instant now = mg_now();
    TRY(mg_core_database(&database));
    TRY(mg_session_find(database, request->tenant, request->session, MG_VIEW_EMPTY, now, &own, &live,
                        &found));
    if (!found)
        return mg_answer_session_list_own(call,
                                          &(struct mg_reply_session_list_own){.outcome = MG_SESSION_ENDED});
    TRY(mg_query(
        database, &rows,
        "SELECT " FAMILY_COLUMNS " FROM session_family f JOIN account acc ON acc.id = f.account"
        " WHERE f.account = $1 AND f.expires_at > $2 ORDER BY f.id = $3 DESC, f.last_seen_at DESC LIMIT $4",
        MG_I64(live.account.id), MG_INSTANT(now), MG_I64(live.family), MG_I64(LIST_MOST)));
    for (size_t i = 0; i < mg_rows_count(rows); i++)
        TRY(family_row_add(rows, i, live.family, &list));
    return mg_answer_session_list_own(
        call, &(struct mg_reply_session_list_own){.outcome = MG_GRANTED,
                                                  .sessions = {.bytes = mg_buffer_view(&list)}});
}

/* Tenant and login of an operator's request; NOT_KNOWN when there are none such. */
struct named {
    bool all_tenants;
    struct mg_core_tenant tenant;
    uint64_t account; /* 0: all users */
};

static CHECKED struct mg_status
name_resolve(struct mg_database *database, struct mg_view tenant, struct mg_view login, struct named *named,
             enum mg_outcome *ret_outcome)
{
    *ret_outcome = MG_NOT_KNOWN;
    named->all_tenants = tenant.length == 0 && login.length == 0;
    if (!named->all_tenants) {
        const struct mg_status status = mg_core_tenant_named(tenant, &named->tenant);
        if (status.code == MG_NOT_FOUND)
            return OK;
        TRY(status);
    }
    if (login.length != 0) {
        OWN(rows) rows = NULL;
        OWN_BUFFER(folded, 1024);
        struct mg_account account;
        if (!mg_ok(mg_login_fold(login, &folded)))
            return OK;
        const struct mg_status status =
            mg_account_find(database, named->tenant.number, mg_buffer_view(&folded), &rows, &account);
        if (status.code == MG_NOT_FOUND)
            return OK;
        TRY(status);
        named->account = account.id;
    }
    *ret_outcome = MG_GRANTED;
    return OK;
}

/* What an operator named, or the tenant that everybody else is bound to. */
static struct mg_view
tenant_of_right(const struct mg_right *right, struct mg_view named)
{
    return right->operator? named : mg_view_text(right->tenant.name);
}

MG_HANDLER_PUBLIC(session_list)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, 122880);
    struct mg_right right;
    struct named named = {0};
    enum mg_outcome outcome = MG_NOT_ALLOWED;
    const mg_instant now = mg_now();
    TRY(MG_RIGHT_ASK(session_list, call, request->session, request->tenant, &right, &outcome));
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED)
        TRY(name_resolve(database, tenant_of_right(&right, request->tenant), request->login, &named,
                         &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_session_list(call, &(struct mg_reply_session_list){.outcome = outcome});
    TRY(mg_query(
        database, &rows,
        "SELECT " FAMILY_COLUMNS " FROM session_family f JOIN account acc ON acc.id = f.account"
        " WHERE ($1 OR f.tenant = $2) AND ($3 = 0 OR f.account = $3) AND f.id > $4 AND f.expires_at > $5"
        " ORDER BY f.id LIMIT $6",
        MG_FLAG(named.all_tenants), MG_I64(named.tenant.number), MG_I64(named.account),
        MG_I64(family_of(request->after)), MG_INSTANT(now), MG_I64(LIST_MOST + 1)));
    const size_t count = mg_rows_count(rows);
    for (size_t i = 0; i < count && i < LIST_MOST; i++)
        TRY(family_row_add(rows, i, right.family, &list));
    return mg_answer_session_list(
        call, &(struct mg_reply_session_list){.outcome = MG_GRANTED,
                                              .more = count > LIST_MOST,
                                              .sessions = {.bytes = mg_buffer_view(&list)}});
}

/* ---- ending ----------------------------------------------------------------------------------------- */

/* What `scope` means for a user's own sessions. False: not such a scope. */
static bool
own_match(const struct mg_request_session_end *request, const struct mg_live_session *live,
          struct mg_family_match *match)
{
    *match = (struct mg_family_match){.account = live->account.id};
    if (request->scope == MG_SCOPE_ONE)
        match->family = family_of(request->family);
    else if (request->scope == MG_SCOPE_OTHERS)
        match->except = live->family;
    return request->scope == MG_SCOPE_OTHERS || request->scope == MG_SCOPE_OWN ||
           (request->scope == MG_SCOPE_ONE && match->family != 0);
}

static CHECKED struct mg_status
end_recorded(struct mg_database *database, const struct mg_core_actor *actor, uint64_t tenant,
             struct mg_view target, const struct mg_family_match *match, uint64_t *ret_ended)
{
    TRY(mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_session_revoke,
                                                 .tenant = tenant,
                                                 .actor = actor,
                                                 .target = target,
                                                 .outcome = MG_AUDIT_SUCCESS,
                                                 .family = match->family}));
    OWN_EFFECTS(true);
    return mg_families_end(database, match, ret_ended);
}

/* Whose family it is, for the record. NOT_KNOWN if there is none that matches: nothing is ended then, and
 * nobody is told otherwise. One without a row was recorded when that went; only the table may not have
 * followed. */
static CHECKED struct mg_status
family_end_recorded(struct mg_database *database, const struct mg_core_actor *actor,
                    const struct mg_family_match *match, enum mg_outcome *ret_outcome, uint64_t *ret_ended)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "SELECT f.tenant, acc.login FROM session_family f JOIN account acc ON acc.id = f.account"
                 " WHERE f.id = $1 AND ($2 = 0 OR f.account = $2) AND ($3 = 0 OR f.tenant = $3)",
                 MG_I64(match->family), MG_I64(match->account), MG_I64(match->tenant)));
    if (mg_rows_count(rows) != 1) {
        const struct mg_session_match left = {
            .user_id = match->account, .family_id = match->family, .tenant_id = (uint32_t) match->tenant};
        TRY(mg_session_remove(mg_core_sessions(), &left, ret_ended));
        *ret_outcome = *ret_ended != 0 ? MG_GRANTED : MG_NOT_KNOWN;
        return OK;
    }
    *ret_outcome = MG_GRANTED;
    TRY(end_recorded(database, actor, (uint64_t) mg_rows_i64(rows, 0, 0), mg_rows_text(rows, 0, 1), match,
                     ret_ended));
    if (*ret_ended == 0) /* it ended by itself meanwhile */
        *ret_outcome = MG_NOT_KNOWN;
    return OK;
}

/* Who has the right: a family by its id, all of a user, all of a tenant. Of a tenant's people only in that
 * tenant. */
static CHECKED struct mg_status
end_as_operator(struct mg_database *database, struct mg_call *call,
                const struct mg_request_session_end *request, enum mg_outcome *ret_outcome,
                uint64_t *ret_ended)
{
    struct mg_right right;
    struct named named = {0};
    TRY(MG_RIGHT_ASK(session_end, call, request->session, request->tenant, &right, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    *ret_outcome = MG_NOT_VALID;
    const struct mg_core_actor actor = right.actor;
    if (request->scope == MG_SCOPE_FAMILY) {
        const struct mg_family_match one = {.family = family_of(request->family),
                                            .tenant = right.operator? 0 : right.tenant.number };
        return one.family == 0 ? OK : family_end_recorded(database, &actor, &one, ret_outcome, ret_ended);
    }
    const bool user = request->scope == MG_SCOPE_USER;
    if (!user && request->scope != MG_SCOPE_TENANT)
        return OK;
    TRY(name_resolve(database, tenant_of_right(&right, request->tenant),
                     user ? request->login : MG_VIEW_EMPTY, &named, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    if (user ? named.account == 0 : named.all_tenants) {
        *ret_outcome = MG_NOT_VALID;
        return OK;
    }
    const struct mg_family_match match = {
        .account = named.account, .tenant = named.tenant.number, .of_tenant = true};
    return end_recorded(database, &actor, named.tenant.number,
                        user ? request->login : mg_view_text(named.tenant.name), &match, ret_ended);
}

/* Whoever is signed in: of their own sign-ins one, the others, all. */
static CHECKED struct mg_status
end_own(struct mg_database *database, const struct mg_request_session_end *request,
        enum mg_outcome *ret_outcome, uint64_t *ret_ended)
{
    OWN(rows) rows = NULL;
    struct mg_live_session live;
    struct mg_family_match match;
    bool found = false;
    *ret_outcome = MG_SESSION_ENDED;
    TRY(mg_session_find_any_tenant(database, request->session, mg_now(), &rows, &live, &found));
    if (!found)
        return OK;
    *ret_outcome = MG_NOT_VALID;
    if (!own_match(request, &live, &match))
        return OK;
    const struct mg_core_actor actor = mg_actor_account(&live.account);
    if (match.family != 0)
        return family_end_recorded(database, &actor, &match, ret_outcome, ret_ended);
    *ret_outcome = MG_GRANTED;
    return end_recorded(database, &actor, live.account.tenant, live.account.login, &match, ret_ended);
}

MG_HANDLER_PUBLIC(session_end)
{
    OWN(database) database = NULL;
    struct mg_reply_session_end reply = {.outcome = MG_OUTCOME_NONE};
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(mg_core_database(&database));
    if (mg_call_sender(call) == MG_CLI || request->scope == MG_SCOPE_FAMILY ||
        request->scope == MG_SCOPE_USER || request->scope == MG_SCOPE_TENANT)
        TRY(end_as_operator(database, call, request, &outcome, &reply.ended));
    else
        TRY(end_own(database, request, &outcome, &reply.ended));
    reply.outcome = outcome;
    return mg_answer_session_end(call, &reply);
}
