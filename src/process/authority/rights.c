#include "process/authority/rights.h"

#include "process/authority/token.h"

#include "base/log.h"
#include "domain/group_roles.h"
#include "domain/login.h"
#include "domain/role.h"

#include <pthread.h>
#include <stdio.h>

/* ---- what somebody holds ---- */

struct mg_status
mg_right_of_roles(struct mg_database *database, uint64_t tenant, struct mg_view roles,
                  mg_permissions *ret_held)
{
    struct mg_view own;
    mg_permissions held = mg_permissions_of_roles(roles, tenant == 0);
    (void) mg_role_bits(roles, &own);
    if (tenant != 0 && own.length != 0) {
        OWN(rows) rows = NULL;
        TRY(mg_query(database, &rows,
                     "SELECT permissions FROM tenant_role WHERE tenant = $1"
                     " AND name = ANY (string_to_array($2, ' '))",
                     MG_I64(tenant), MG_TEXT(roles)));
        for (size_t i = 0; i < mg_rows_count(rows); i++)
            held |= mg_permissions_of_keywords(mg_rows_text(rows, i, 0), NULL);
    }
    *ret_held = held;
    return OK;
}

struct mg_status
mg_right_roles_exist(struct mg_database *database, uint64_t tenant, struct mg_view roles,
                     struct mg_view *ret_unknown)
{
    OWN(rows) rows = NULL;
    *ret_unknown = MG_VIEW_EMPTY;
    TRY(mg_query(database, &rows, "SELECT name FROM tenant_role WHERE tenant = $1", MG_I64(tenant)));
    for (size_t at = 0; at < roles.length;) {
        size_t end = at;
        while (end < roles.length && roles.bytes[end] != ' ')
            end++;
        const struct mg_view word = mg_view_of(roles.bytes + at, end - at);
        const struct mg_role_row *row = mg_role_row(word);
        bool known = row != NULL && (tenant == 0 || !mg_view_is(word, "operator"));
        for (size_t i = 0; i < mg_rows_count(rows) && !known; i++)
            known = mg_view_equal(word, mg_rows_text(rows, i, 0));
        if (!known && word.length != 0) {
            *ret_unknown = word;
            return OK;
        }
        at = end + 1;
    }
    return OK;
}

struct mg_status
mg_right_other_administrator(struct mg_database *database, uint64_t tenant, uint64_t account,
                             bool *ret_exists)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(database, &rows,
                 "SELECT 1 FROM account WHERE tenant = $1 AND id <> $2 AND disabled_at IS NULL"
                 " AND NOT service AND 'administrator' = ANY (string_to_array(roles, ' ')) LIMIT 1",
                 MG_I64(tenant), MG_I64(account)));
    *ret_exists = mg_rows_count(rows) != 0;
    return OK;
}

struct mg_status
mg_right_administrators_lock(struct mg_database *database, uint64_t tenant)
{
    return mg_query(database, NULL, "SELECT 1 FROM tenant WHERE number = $1 FOR UPDATE", MG_I64(tenant));
}

/* ---- the last use of a permission ---- */

enum { NOTED_ROWS = 1024, NOTED_FOR_MS = 3600000 };

static struct {
    pthread_mutex_t lock;
    struct {
        uint64_t account;
        enum mg_permission permission;
        mg_instant at;
    } rows[NOTED_ROWS]; /* what the database has been told lately; a collision only means telling it again */
} noted = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool
noted_lately(uint64_t account, enum mg_permission permission, mg_instant now)
{
    const size_t at = (size_t) ((account * 64 + (uint64_t) permission) * UINT64_C(0x9E3779B97F4A7C15) >> 54);
    (void) pthread_mutex_lock(&noted.lock);
    const bool lately = noted.rows[at].account == account && noted.rows[at].permission == permission &&
                        now >= noted.rows[at].at && now - noted.rows[at].at < NOTED_FOR_MS;
    if (!lately) {
        noted.rows[at].account = account;
        noted.rows[at].permission = permission;
        noted.rows[at].at = now;
    }
    (void) pthread_mutex_unlock(&noted.lock);
    return lately;
}

/* Nobody waits for the disk, and nobody is refused because this could not be noted: it is no record of what
 * was done (the audit log is), only of what is needed. */
static void
use_note(struct mg_database *database, uint64_t account, enum mg_permission permission)
{
    const mg_instant now = mg_now();
    if (noted_lately(account, permission, now))
        return;
    const struct mg_status status = mg_query(
        database, NULL,
        "WITH c AS (SELECT set_config('synchronous_commit', 'off', true))"
        " INSERT INTO permission_use (account, permission, used_at) SELECT $1, $2, $3 FROM c"
        " ON CONFLICT (account, permission) DO UPDATE SET used_at = greatest(permission_use.used_at, EXCLUDED.used_at)",
        MG_I64(account), MG_STRING(mg_permission_row(permission)->keyword), MG_INSTANT(now));
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "last use of a permission", status);
}

/* ---- asking ---- */

static CHECKED struct mg_status
refusal_record(const struct mg_right *right, enum mg_permission permission, struct mg_view named)
{
    const struct mg_core_detail details[] = {{"tenant", named}};
    return mg_core_record(&(struct mg_core_record){
        .event = MG_EVENT_request_refused,
        .tenant = right->tenant.number,
        .actor = &right->actor,
        .target = mg_view_text(mg_permission_row(permission)->keyword),
        .reason = mg_view_text(named.length != 0 ? "another tenant" : "no permission"),
        .outcome = MG_AUDIT_REFUSED,
        .details = details,
        .detail_count = named.length != 0 ? 1 : 0});
}

/* What the vendor's people looked at lately, by actor, tenant and permission; a collision only means that it
 * is recorded again. */
enum { LOOKED_ROWS = 256, LOOKED_FOR_MS = 600000 };

static struct {
    pthread_mutex_t lock;
    struct {
        char actor[sizeof((struct mg_core_actor *) 0)->id];
        uint64_t tenant;
        enum mg_permission permission;
        mg_instant at;
    } rows[LOOKED_ROWS];
} looked = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* True if the same was recorded in the last ten minutes; with `recorded` it is from here on. */
static bool
looked_lately(const struct mg_right *right, enum mg_permission permission, mg_instant now, bool recorded)
{
    const size_t at =
        (size_t) ((right->tenant.number * 64 + (uint64_t) permission) * UINT64_C(0x9E3779B97F4A7C15) >> 56);
    (void) pthread_mutex_lock(&looked.lock);
    const bool lately = looked.rows[at].tenant == right->tenant.number &&
                        looked.rows[at].permission == permission &&
                        strcmp(looked.rows[at].actor, right->actor.id) == 0 && now >= looked.rows[at].at &&
                        now - looked.rows[at].at < LOOKED_FOR_MS;
    if (recorded) {
        (void) snprintf(looked.rows[at].actor, sizeof looked.rows[at].actor, "%s", right->actor.id);
        looked.rows[at].tenant = right->tenant.number;
        looked.rows[at].permission = permission;
        looked.rows[at].at = now;
    }
    (void) pthread_mutex_unlock(&looked.lock);
    return lately;
}

/* What the vendor's people see of a tenant stands in its log before they see it: once in ten minutes for each
 * kind, so that leafing through pages does not hide the rest. Reading the log itself is recorded where it is
 * done. */
static CHECKED struct mg_status
look_record(const struct mg_call *call, const struct mg_right *right, enum mg_permission permission)
{
    const bool reads = permission == MG_PERMISSION_users_read || permission == MG_PERMISSION_sessions_read ||
                       permission == MG_PERMISSION_policy_read ||
                       permission == MG_PERMISSION_providers_read ||
                       permission == MG_PERMISSION_tokens_read || permission == MG_PERMISSION_reports_read;
    const bool person = mg_call_sender(call) == MG_PORTAL || mg_call_sender(call) == MG_CLI;
    const mg_instant now = mg_now();
    if (!reads || !person || right->tenant.number == 0 || looked_lately(right, permission, now, false))
        return OK;
    TRY(mg_core_record(&(struct mg_core_record){
        .event = MG_EVENT_vendor_read,
        .tenant = right->tenant.number,
        .actor = &right->actor,
        .target = mg_view_text(mg_permission_row(permission)->keyword),
    }));
    (void) looked_lately(right, permission, now, true);
    return OK;
}

/* A person of a tenant, with a session of its sign-in origin: one of an application's host is not enough, so
 * that a flaw in the application's pages never administers the tenant. */
static CHECKED struct mg_status
ask_of_tenant(enum mg_permission permission, struct mg_view session, struct mg_view tenant,
              struct mg_right *right, enum mg_outcome *ret_outcome)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    struct mg_live_session live;
    bool found = false;
    TRY(mg_core_database(&database));
    TRY(mg_session_find_any_tenant(database, session, mg_now(), &rows, &live, &found));
    *ret_outcome = found ? MG_NOT_ALLOWED : MG_SESSION_ENDED;
    if (!found)
        return OK;
    TRY(mg_core_tenant(live.account.tenant, &right->tenant));
    right->actor = mg_actor_account(&live.account);
    right->account = live.account.id;
    right->family = live.family;
    if (live.account.tenant == 0 || !mg_view_is(live.host, right->tenant.sign_in_host))
        return refusal_record(right, permission, MG_VIEW_EMPTY);
    if (tenant.length != 0 && !mg_view_is(tenant, right->tenant.name))
        return refusal_record(right, permission, tenant);
    TRY(mg_right_of_roles(database, live.account.tenant, live.account.roles, &right->held));
    right->grantable = right->held;
    if ((mg_role_bits(live.account.roles, NULL) & mg_role_bits(mg_view_text("administrator"), NULL)) != 0)
        right->grantable = mg_permissions_of_tenants(); /* who else could make an approver? */
    if (!mg_permissions_have(right->held, permission))
        return refusal_record(right, permission, MG_VIEW_EMPTY);
    use_note(database, right->account, permission);
    *ret_outcome = MG_GRANTED;
    return OK;
}

/* A program of a tenant, with a token: what both its account and the token hold, and it gives on no more. */
static CHECKED struct mg_status
ask_of_token(enum mg_permission permission, struct mg_view session, struct mg_view tenant,
             struct mg_right *right, bool *ret_found, enum mg_outcome *ret_outcome)
{
    OWN(database) database = NULL;
    MG_CLEANUP(mg_token_drop) struct mg_token token = {0};
    TRY(mg_core_database(&database));
    TRY(mg_token_find(database, session, mg_now(), &token, ret_found));
    if (!*ret_found)
        return OK;
    *ret_outcome = MG_NOT_ALLOWED;
    right->tenant = token.tenant;
    right->actor = token.actor;
    right->account = token.account.id;
    right->token = token.id;
    right->held = token.held;
    right->grantable = token.held | mg_permissions_of_everybody();
    if (!token.tenant.open)
        return OK;
    if (tenant.length != 0 && !mg_view_is(tenant, right->tenant.name))
        return refusal_record(right, permission, tenant);
    if (!mg_permissions_have(right->held, permission))
        return refusal_record(right, permission, MG_VIEW_EMPTY);
    use_note(database, right->account, permission);
    *ret_outcome = MG_GRANTED;
    return OK;
}

/* The rules of a tenant bind its own people; the vendor may repair what they did. */
struct mg_status
mg_right_roles_give(struct mg_database *database, const struct mg_right *right, struct mg_view before,
                    struct mg_view roles, const char **ret_reason, enum mg_outcome *ret_outcome)
{
    struct mg_view unknown;
    mg_permissions had = 0, next = 0;
    *ret_outcome = MG_NOT_VALID;
    *ret_reason = "ROLES_FORM|";
    if (!mg_roles_valid(roles))
        return OK;
    TRY(mg_right_roles_exist(database, right->tenant.number, roles, &unknown));
    *ret_reason = "ROLES_UNKNOWN|";
    if (unknown.length != 0)
        return OK;
    *ret_reason = NULL;
    *ret_outcome = MG_GRANTED;
    if (right->operator)
        return OK;
    TRY(mg_right_of_roles(database, right->tenant.number, before, &had));
    TRY(mg_right_of_roles(database, right->tenant.number, roles, &next));
    if (!mg_permissions_cover(right->grantable, had | next))
        *ret_outcome = MG_MORE_THAN_YOURS;
    return OK;
}

struct mg_status
mg_right_roles_judge(struct mg_database *database, const struct mg_right *right, struct mg_view before,
                     struct mg_view roles, const char **ret_reason, enum mg_outcome *ret_outcome)
{
    TRY(mg_right_roles_give(database, right, before, roles, ret_reason, ret_outcome));
    if (*ret_outcome == MG_NOT_VALID || !mg_words_have(roles, mg_view_text("administrator")) ||
        !mg_words_have(roles, mg_view_text("approver")))
        return OK;
    *ret_outcome = MG_NOT_VALID;
    *ret_reason = "ROLES_TWO_PEOPLE|";
    return OK;
}

/* A session of the operators' origin is an operator's or nobody's; any other one is asked as a tenant's. What
 * is no session may be a token. */
static CHECKED struct mg_status
is_of_tenant(const struct mg_call *call, struct mg_view session, bool *ret_tenants, bool *ret_unknown)
{
    struct mg_session found;
    *ret_tenants = *ret_unknown = false;
    if (mg_call_sender(call) != MG_PORTAL || session.length != MG_TOKEN_HASH)
        return OK;
    const struct mg_status status = mg_session_get(mg_core_sessions(), session.bytes, &found);
    *ret_unknown = status.code == MG_NOT_FOUND;
    if (*ret_unknown)
        return OK;
    TRY(status);
    *ret_tenants = found.origin == MG_ORIGIN_SIGN_IN && found.tenant_id != 0;
    return OK;
}

struct mg_status
mg_right_tenant(const struct mg_call *call, struct mg_view session, struct mg_view tenant,
                uint64_t *ret_number)
{
    struct mg_session found;
    struct mg_core_tenant named = {.number = 0};
    *ret_number = 0;
    if (mg_call_sender(call) == MG_PORTAL && session.length == MG_TOKEN_HASH) {
        const struct mg_status status = mg_session_get(mg_core_sessions(), session.bytes, &found);
        if (mg_ok(status) && found.tenant_id != 0) {
            *ret_number = found.tenant_id;
            return OK;
        }
        if (status.code == MG_NOT_FOUND) {
            OWN(database) database = NULL;
            MG_CLEANUP(mg_token_drop) struct mg_token token = {0};
            bool known = false;
            TRY(mg_core_database(&database));
            TRY(mg_token_find(database, session, mg_now(), &token, &known));
            *ret_number = known ? token.tenant.number : 0;
            return OK;
        }
        TRY(status);
    }
    const struct mg_status status = mg_core_tenant_named(tenant, &named);
    *ret_number = mg_ok(status) ? named.number : 0;
    return status.code == MG_NOT_FOUND ? OK : status;
}

/* Control: IDENTITY_11, IDENTITY_12 */
struct mg_status
mg_right_ask(const struct mg_call *call, enum mg_permission permission, struct mg_view session,
             struct mg_view tenant, struct mg_right *ret_right, enum mg_outcome *ret_outcome)
{
    struct mg_right right = {.account = 0};
    bool of_tenant = false, unknown = false, allowed = false;
    *ret_outcome = MG_NOT_ALLOWED;
    if (mg_permission_row(permission) == NULL)
        return OK;
    TRY(is_of_tenant(call, session, &of_tenant, &unknown));
    if (unknown)
        TRY(ask_of_token(permission, session, tenant, &right, &of_tenant, ret_outcome));
    if (of_tenant && unknown) {
        *ret_right = right;
        return OK;
    }
    if (of_tenant) {
        TRY(ask_of_tenant(permission, session, tenant, &right, ret_outcome));
        *ret_right = right;
        return OK;
    }
    TRY(mg_core_operator(call, session, &right.actor, &allowed));
    right.operator= true;
    right.held = mg_permissions_of_roles(mg_view_text("operator"), true);
    right.grantable = right.held | mg_permissions_of_tenants();
    if (!allowed || (mg_call_sender(call) == MG_PORTAL && !mg_permissions_have(right.held, permission)))
        return OK;
    const struct mg_status found = mg_core_tenant_named(tenant, &right.tenant);
    *ret_outcome = found.code == MG_NOT_FOUND ? MG_NOT_KNOWN : MG_GRANTED;
    if (found.code != MG_NOT_FOUND) {
        TRY(found);
        TRY(look_record(call, &right, permission));
    }
    *ret_right = right;
    return OK;
}
