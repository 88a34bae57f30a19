#include "process/authority/core.h"

#include "base/log.h"
#include "domain/role.h"
#include "process/authority/gate_side.h"
#include "process/authority/identity.h"
#include "process/authority/identity_risk.h"
#include "process/authority/tenants.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define POOL_CONNECTIONS 22 /* a handler thread each, the tick, the follower, sign-ins between hashes */
#define POOL_WAIT_MS 2000
#define DATABASE_WAIT_MS 60000
#define RECORD_MS 10000

static struct mg_database_pool *pool;
static struct mg_session_writer *sessions;

struct mg_status
mg_core_database(struct mg_database **ret_database)
{
    if (pool == NULL)
        return fail_with(UNAVAILABLE, "the control database is not connected yet");
    return mg_database_pool_take(pool, POOL_WAIT_MS, ret_database);
}

struct mg_session_writer *
mg_core_sessions(void)
{
    return sessions;
}

/* ---- roles ---- */

uint32_t
mg_core_role_bits(uint64_t tenant, struct mg_view roles)
{
    return mg_tenants_role_bits(tenant, roles);
}

/* ---- who acts ---- */

/* A session that lives, but not as an operator's, was used for an operator's request. */
static CHECKED struct mg_status
intrusion_record(const struct mg_session *session)
{
    struct mg_core_actor actor = {.kind = MG_ACTOR_USER};
    (void) snprintf(actor.id, sizeof actor.id, "%llu", (unsigned long long) session->user_id);
    return mg_core_record(&(struct mg_core_record){.event = MG_EVENT_request_refused,
                                                   .tenant = session->tenant_id,
                                                   .actor = &actor,
                                                   .target = mg_view_text("console"),
                                                   .reason = mg_view_text("not an operator"),
                                                   .outcome = MG_AUDIT_REFUSED});
}

static CHECKED struct mg_status
operator_of_session(struct mg_view session, struct mg_core_actor *ret_actor, bool *ret_allowed)
{
    struct mg_session found;
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    *ret_allowed = false;
    if (session.length != MG_TOKEN_HASH)
        return OK;
    const struct mg_status status = mg_session_get(sessions, session.bytes, &found);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    const mg_instant now = mg_now();
    if (found.expires_at <= now)
        return OK;
    if (found.origin != MG_ORIGIN_OPERATOR || found.tenant_id != 0)
        return intrusion_record(&found);
    TRY(mg_core_database(&database));
    TRY(mg_query(
        database, &rows,
        "SELECT login, name, roles FROM account WHERE id = $1 AND tenant = 0 AND disabled_at IS NULL",
        MG_I64(found.user_id)));
    /* An account among the operators' is not enough: the probes' canaries are there too. */
    if (mg_rows_count(rows) != 1 ||
        (mg_core_role_bits(0, mg_rows_text(rows, 0, 2)) & MG_CORE_ROLE_OPERATOR) == 0)
        return OK;
    ret_actor->kind = MG_ACTOR_OPERATOR;
    TRY(mg_view_copy(mg_rows_text(rows, 0, 0), ret_actor->id, sizeof ret_actor->id));
    TRY(mg_view_copy(mg_rows_text(rows, 0, 1), ret_actor->name, sizeof ret_actor->name));
    *ret_allowed = true;
    return OK;
}

struct mg_status
mg_core_operator(const struct mg_call *call, struct mg_view session, struct mg_core_actor *ret_actor,
                 bool *ret_allowed)
{
    *ret_actor = (struct mg_core_actor){.kind = MG_ACTOR_PROCESS};
    *ret_allowed = false;
    switch (mg_call_sender(call)) {
    case MG_CLI: {
        /* The admin socket admitted this uid by SO_PEERCRED. */
        ret_actor->kind = MG_ACTOR_OPERATOR;
        (void) snprintf(ret_actor->id, sizeof ret_actor->id, "uid:%u", (unsigned) mg_call_uid(call));
        (void) snprintf(ret_actor->name, sizeof ret_actor->name, "command line");
        *ret_allowed = true;
        return OK;
    }
    case MG_PORTAL:
        return operator_of_session(session, ret_actor, ret_allowed);
    default:
        (void) snprintf(ret_actor->id, sizeof ret_actor->id, "%s", mg_process_name(mg_call_sender(call)));
        *ret_allowed = true; /* a process of ours whose row names it as a sender */
        return OK;
    }
}

struct mg_status
mg_core_record_begin(const struct mg_core_record *record, struct mg_apart **ret_append)
{
    OWN_BUFFER(details, 4096);
    for (size_t i = 0; i < record->detail_count; i++) {
        const struct mg_record_audit_detail detail = {.key = mg_view_text(record->details[i].key),
                                                      .value = record->details[i].value};
        TRY(mg_list_add_audit_detail(&details, &detail));
    }
    const struct mg_request_audit_append request = {
        .event = record->event,
        .tenant = record->tenant,
        .actor_kind = record->actor != NULL ? record->actor->kind : MG_ACTOR_PROCESS,
        .actor_id = mg_view_text(record->actor != NULL ? record->actor->id : "authority"),
        .actor_name = mg_view_text(record->actor != NULL ? record->actor->name : ""),
        .target = record->target,
        .outcome = record->outcome != 0 ? record->outcome : MG_AUDIT_SUCCESS,
        .reason = record->reason,
        .address = record->address,
        .session = record->session.length != 0 || record->actor == NULL
                       ? record->session
                       : mg_view_text(record->actor->session),
        .details = {.bytes = mg_buffer_view(&details)},
    };
    return mg_begin_audit_append(&request, RECORD_MS, ret_append);
}

struct mg_status
mg_record_end(struct mg_apart *append)
{
    struct mg_reply_audit_append reply;
    return mg_end_audit_append(append, &reply);
}

struct mg_status
mg_core_record(const struct mg_core_record *record)
{
    OWN(apart) append = NULL;
    TRY(mg_core_record_begin(record, &append));
    return mg_record_end(append);
}

/* ---- start ---- */

struct mg_status
mg_core_prepare(const struct mg_environment *environment)
{
    char path[600];
    struct mg_session_report report;
    (void) snprintf(path, sizeof path, "%s/gate", environment->runtime_directory);
    /* The directory's set-group-ID bit gives the files to the group of the nginx workers. */
    TRY(mg_session_writer_open(path, (uint64_t) environment->options->gate_sessions, (gid_t) -1, &sessions,
                               &report));
    if (report.how == MG_SESSIONS_REPLACED)
        mg_log(MG_WARNING, "the session table could not be trusted and was made anew");
    if (report.repaired != 0)
        mg_log(MG_WARNING, "%llu sessions were half-written and are ended",
               (unsigned long long) report.repaired);
    TRY(mg_gate_side_prepare(path));
    TRY(mg_risk_prepare(environment));
    (void) snprintf(path, sizeof path, "%s/admin/admin.sock", environment->runtime_directory);
    return mg_listen_admin(path, geteuid());
}

static CHECKED struct mg_status
database_connect(void)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_control_database place;
    TRY(mg_call_control_database(&(struct mg_request_control_database){0}, &place, &storage,
                                 DATABASE_WAIT_MS));
    OWN_TEXT url = NULL;
    OWN_TEXT host = NULL;
    OWN_TEXT name = NULL;
    OWN_TEXT user = NULL;
    TRY(mg_view_to_text(place.url, &url));
    TRY(mg_view_to_text(place.host, &host));
    TRY(mg_view_to_text(place.database, &name));
    TRY(mg_view_to_text(place.user, &user));
    const struct mg_database_address address = {
        .url = url[0] != '\0' ? url : NULL,
        .host = host,
        .port = (unsigned) place.port,
        .database = name,
        .user = user,
        .password = place.password,
    };
    return mg_database_pool_new(&address, POOL_CONNECTIONS, &pool);
}

/* The durable sessions are in the database; the table follows it, without a moment of emptiness. */
static CHECKED struct mg_status
sessions_reload(void)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    uint64_t removed = 0;
    const mg_instant now = mg_now();
    TRY(mg_core_database(&database));
    TRY(mg_session_reload_begin(sessions));
    TRY(mg_query(
        database, &rows,
        "SELECT s.id, s.token_hash, f.account, f.id, f.tenant, s.origin, f.authenticated_at, f.expires_at,"
        " f.idle_ms, s.last_seen_at, a.roles, s.host, f.second_factor_at"
        " FROM session s JOIN session_family f ON f.id = s.family JOIN account a ON a.id = f.account"
        " LEFT JOIN tenant t ON t.number = f.tenant"
        " WHERE f.expires_at > $1 AND a.disabled_at IS NULL AND t.suspended_at IS NULL",
        MG_INSTANT(now)));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        struct mg_core_host host;
        if (!mg_ok(mg_core_host(mg_rows_text(rows, i, 11), &host)))
            continue; /* the host was taken away: so is what was bound to it */
        struct mg_session session = {
            .session_id = (uint64_t) mg_rows_i64(rows, i, 0),
            .user_id = (uint64_t) mg_rows_i64(rows, i, 2),
            .family_id = (uint64_t) mg_rows_i64(rows, i, 3),
            .tenant_id = (uint32_t) mg_rows_i64(rows, i, 4),
            .host_id = host.id,
            .origin = (enum mg_origin) mg_rows_i64(rows, i, 5),
            .authenticated_at = mg_rows_instant(rows, i, 6),
            .second_factor_at = mg_rows_instant(rows, i, 12),
            .expires_at = mg_rows_instant(rows, i, 7),
            .idle_ms = mg_rows_i64(rows, i, 8),
            .last_seen_at = mg_rows_instant(rows, i, 9),
            .roles = mg_core_role_bits((uint64_t) mg_rows_i64(rows, i, 4), mg_rows_text(rows, i, 10)),
        };
        const struct mg_view hash = mg_rows_bytes(rows, i, 1);
        if (hash.length != MG_TOKEN_HASH)
            continue;
        memcpy(session.token_hash, hash.bytes, MG_TOKEN_HASH);
        /* The table may know a later use than the database: the marks are kept by reload for slots
         * that stay, and last_seen_at only counts where there is none. */
        TRY(mg_session_put(sessions, &session));
    }
    TRY(mg_session_reload_end(sessions, &removed));
    mg_log(MG_INFO, "%zu sessions from the database, %llu ended meanwhile", mg_rows_count(rows),
           (unsigned long long) removed);
    return OK;
}

struct mg_status
mg_core_start(const struct mg_environment *environment)
{
    TRY(database_connect());
    TRY(mg_tenants_load());
    TRY(sessions_reload());
    TRY(mg_tenants_publish());
    TRY(mg_gate_side_start());
    TRY(mg_identity_start(environment));
    return mg_tenants_follow();
}

void
mg_core_tick(mg_instant now)
{
    OWN(database) database = NULL;
    /* The heartbeat says that decisions are in touch with the database; the gate goes on alone for
     * gate.outage without it. */
    if (mg_ok(mg_core_database(&database)) && mg_ok(mg_query(database, NULL, "SELECT 1")))
        mg_session_heartbeat(sessions, mg_monotonic_ms());
    mg_database_drop(&database);
    mg_identity_tick(now);
}
