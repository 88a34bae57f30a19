/* Questions to the PostgreSQL instances. The worker lends the probe role's login for ten minutes; it is
 * kept for eight, so that probes that look at the same time do not take it from each other. */
#include "process/prober/prober.h"

#include "base/secret.h"
#include "ports/database.h"

#include <stdio.h>
#include <stdlib.h>

enum { CALL_MS = 10000, ACCESS_MS = 480000, ACCESSES_MOST = 2000, CONNECT_MS = 3000, STATEMENT_MS = 5000 };

struct access {
    char instance[48], host[512], database[64], user[64], password[128];
    int64_t taken_ms; /* monotonic */
};

static struct {
    pthread_mutex_t lock;
    struct access *rows[ACCESSES_MOST]; /* never freed; names come back */
    size_t count;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct mg_status
mg_prober_instances(struct mg_observer *observer, struct mg_observed_instance *rows, size_t most,
                    size_t *ret_count)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_instances_list reply;
    uint64_t from = 0;
    size_t count = 0;
    TRY(mg_call_instances_list(&(struct mg_request_instances_list){0}, &reply, &storage, CALL_MS));
    for (bool more = true;;) {
        struct mg_record_instance_state state;
        TRY(mg_list_next_instance_state(&reply.instances, &state, &more));
        if (!more && reply.more && reply.next > from) {
            from = reply.next;
            const struct mg_request_instances_list next = {.from = from};
            TRY(mg_call_instances_list(&next, &reply, &storage, CALL_MS));
            continue;
        }
        if (!more)
            break;
        if (state.tenant != 0 && state.tenant == observer->drill_tenant)
            continue;
        if (count == most)
            return fail_with(TOO_LARGE, "more than %zu instances", most);
        struct mg_observed_instance *row = &rows[count++];
        *row = (struct mg_observed_instance){.tenant = state.tenant, .rotated_at = state.rotated_at};
        TRY(mg_view_copy(state.name, row->name, sizeof row->name));
        TRY(mg_view_copy(state.state, row->state, sizeof row->state));
        TRY(mg_view_copy(state.system_identifier, row->system_identifier, sizeof row->system_identifier));
        TRY(mg_view_copy(state.host, row->host, sizeof row->host));
        TRY(mg_view_copy(state.database, row->database, sizeof row->database));
        TRY(mg_view_copy(state.active_role, row->active_role, sizeof row->active_role));
    }
    *ret_count = count;
    return OK;
}

static struct mg_status
access_ask(const char *instance, struct access *access)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_probe_access reply;
    const struct mg_request_probe_access request = {.name = mg_view_text(instance)};
    TRY(mg_call_probe_access(&request, &reply, &storage, CALL_MS));
    TRY(mg_view_copy(reply.host, access->host, sizeof access->host));
    TRY(mg_view_copy(reply.database, access->database, sizeof access->database));
    TRY(mg_view_copy(reply.user, access->user, sizeof access->user));
    TRY(mg_view_copy(reply.password, access->password, sizeof access->password));
    access->taken_ms = mg_monotonic_ms();
    return OK;
}

/* With the lock held. */
static struct mg_status
access_row(const char *instance, struct access **ret_access)
{
    for (size_t i = 0; i < kept.count; i++)
        if (strcmp(kept.rows[i]->instance, instance) == 0) {
            *ret_access = kept.rows[i];
            return OK;
        }
    if (kept.count == ACCESSES_MOST)
        return fail_with(TOO_LARGE, "more than %d instances", ACCESSES_MOST);
    struct access *access = calloc(1, sizeof *access);
    if (access == NULL)
        return fail(OUT_OF_MEMORY);
    (void) snprintf(access->instance, sizeof access->instance, "%s", instance);
    kept.rows[kept.count++] = access;
    *ret_access = access;
    return OK;
}

static struct mg_status
access_take(const char *instance, bool renew, struct access *ret_access)
{
    struct access *access = NULL;
    (void) pthread_mutex_lock(&kept.lock);
    struct mg_status status = access_row(instance, &access);
    if (mg_ok(status) && (renew || access->taken_ms == 0 || mg_monotonic_ms() - access->taken_ms > ACCESS_MS))
        status = access_ask(instance, access);
    if (mg_ok(status))
        *ret_access = *access;
    (void) pthread_mutex_unlock(&kept.lock);
    return status;
}

static struct mg_status
connect_as(const struct access *access, struct mg_database **ret_database)
{
    const struct mg_database_address address = {
        .host = access->host,
        .database = access->database,
        .user = access->user,
        .password = mg_view_text(access->password),
        .connect_ms = CONNECT_MS,
        .statement_ms = STATEMENT_MS,
    };
    return mg_database_open(&address, ret_database);
}

struct mg_status
mg_prober_database_ask(struct mg_observer *observer, const char *instance, const char *sql,
                       struct mg_buffer *lines)
{
    (void) observer;
    struct access access;
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    TRY(access_take(instance, false, &access));
    struct mg_status status = connect_as(&access, &database);
    if (status.code == MG_REFUSED) { /* the instance or the worker was restarted meanwhile */
        TRY(access_take(instance, true, &access));
        status = connect_as(&access, &database);
    }
    mg_wipe(access.password, sizeof access.password);
    TRY(status);
    TRY(mg_database_query(database, &rows, sql, NULL, 0));
    for (size_t row = 0; row < mg_rows_count(rows); row++)
        for (int column = 0, columns = mg_rows_columns(rows); column < columns; column++) {
            TRY(mg_buffer_add(lines, mg_rows_text(rows, row, column)));
            TRY(mg_buffer_add_byte(lines, column + 1 < columns ? '\t' : '\n'));
        }
    return OK;
}

struct mg_status
mg_prober_database_enter(struct mg_observer *observer, const struct mg_observed_instance *target,
                         const char *source, const char *user, enum mg_entry *ret_entry)
{
    (void) observer;
    struct access access = {.password = ""};
    OWN(database) database = NULL;
    if (source != NULL)
        TRY(access_take(source, false, &access));
    (void) snprintf(access.host, sizeof access.host, "%s", target->host);
    (void) snprintf(access.database, sizeof access.database, "%s", target->database);
    (void) snprintf(access.user, sizeof access.user, "%s", user);
    const struct mg_status status = connect_as(&access, &database);
    mg_wipe(access.password, sizeof access.password);
    *ret_entry = mg_ok(status)               ? MG_ENTRY_GRANTED
                 : status.code == MG_REFUSED ? MG_ENTRY_REFUSED
                                             : MG_ENTRY_UNREACHABLE;
    return OK;
}
