#include "base/log.h"
#include "base/secret.h"
#include "process/worker/backup.h"
#include "process/worker/worker.h"

#include <stdlib.h>

enum { KEYS_MS = 15000, LAUNCHER_MS = 150000, AUDIT_MS = 15000 };

/* Who may log in where; the superuser is always there. pg_hba.conf gets a line for each. */
static const struct {
    const char *role, *database;
} tenant_roles[] =
    {
        {"app_a", OWNER_DATABASE},
        {"app_b", OWNER_DATABASE},
        {"masugata_probe", OWNER_DATABASE},
        {"masugata_backup", "postgres"},
},
  control_roles[] = {
      {"masugata_authority", CONTROL_DATABASE},
      {"masugata_prober", CONTROL_DATABASE},
      {"masugata_backup", "postgres"},
};

struct mg_status
worker_record(enum mg_event event, uint64_t tenant, const char *target, const char *reason)
{
    return worker_record_details(event, tenant, target, reason, MG_VIEW_EMPTY);
}

struct mg_status
worker_record_details(enum mg_event event, uint64_t tenant, const char *target, const char *reason,
                      struct mg_view details)
{
    const struct mg_request_audit_append request = {
        .event = event,
        .tenant = tenant,
        .actor_kind = MG_ACTOR_PROCESS,
        .actor_id = mg_view_text("worker"),
        .target = mg_view_text(target),
        .outcome = MG_AUDIT_SUCCESS,
        .reason = mg_view_text(reason),
        .details = {.bytes = details},
    };
    struct mg_reply_audit_append reply;
    OWN_BUFFER(storage, 4096);
    return mg_call_audit_append(&request, &reply, &storage, AUDIT_MS);
}

void
password_make(char password[PASSWORD_TEXT])
{
    OWN_KEY(random, 32);
    OWN_BUFFER(text, PASSWORD_TEXT);
    mg_random(random, sizeof random);
    mg_must(mg_ok(mg_base64url(mg_view_of(random, sizeof random), &text)) && text.length < PASSWORD_TEXT);
    memcpy(password, text.bytes, text.length + 1);
}

/* ---- passwords that keys has sealed ----------------------------------------------------------- */

struct mg_status
password_seal(const struct record *record, const char *column, const char *password, struct mg_buffer *sealed)
{
    const struct mg_request_seal request = {
        .tenant = record->tenant,
        .table = mg_view_text("instance"),
        .column = mg_view_text(column),
        .row = mg_view_text(record->name),
        .plaintext = mg_view_text(password),
    };
    struct mg_reply_seal reply;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    TRY(mg_call_seal(&request, &reply, &storage, KEYS_MS));
    mg_buffer_clear(sealed);
    return mg_buffer_add(sealed, reply.sealed);
}

struct mg_status
password_unseal(const struct record *record, const char *column, struct mg_view sealed,
                struct mg_secret **ret_password)
{
    const struct mg_request_unseal request = {
        .tenant = record->tenant,
        .table = mg_view_text("instance"),
        .column = mg_view_text(column),
        .row = mg_view_text(record->name),
        .purpose = mg_view_text("instance-maintenance"),
        .sealed = sealed,
    };
    struct mg_reply_unseal reply;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    TRY(mg_call_unseal(&request, &reply, &storage, KEYS_MS));
    return mg_secret_copy(reply.plaintext, ret_password);
}

/* Keys, a password, a record of it: all durable before the first byte of the instance exists. */
static struct mg_status
record_begin(struct record *record)
{
    OWN_BUFFER(storage, 4096);
    OWN_KEY(password, PASSWORD_TEXT);
    if (record->tenant != 0) {
        struct mg_reply_tenant_key_create reply;
        const struct mg_request_tenant_key_create request = {.tenant = record->tenant};
        TRY(mg_call_tenant_key_create(&request, &reply, &storage, KEYS_MS));
    }
    TRY(worker_record(MG_EVENT_instance_create, record->tenant, record->name, ""));
    password_make((char *) password);
    TRY(password_seal(record, "superuser", (const char *) password, &record->sealed_password));
    return record_save(record);
}

/* ---- start ------------------------------------------------------------------------------------ */

static struct mg_status
roles_list(uint64_t tenant, struct mg_buffer *list)
{
    const size_t count = tenant != 0 ? MG_COUNT(tenant_roles) : MG_COUNT(control_roles);
    for (size_t i = 0; i < count; i++) {
        const struct mg_record_instance_role role = {
            .role = mg_view_text(tenant != 0 ? tenant_roles[i].role : control_roles[i].role),
            .database = mg_view_text(tenant != 0 ? tenant_roles[i].database : control_roles[i].database),
        };
        TRY(mg_list_add_instance_role(list, &role));
    }
    return OK;
}

struct mg_status
instance_start(struct record *record)
{
    OWN(secret) password = NULL;
    OWN_BUFFER(roles, 4096);
    OWN_BUFFER(storage, 4096);
    struct mg_reply_instance_start reply;
    TRY(password_unseal(record, "superuser", mg_buffer_view(&record->sealed_password), &password));
    TRY(roles_list(record->tenant, &roles));
    const struct mg_request_instance_start request = {
        .name = mg_view_text(record->name),
        .tenant = record->tenant,
        .superuser_password = mg_secret_view(password),
        .archive_timeout_s = backup_log_s(record),
        .no_archive = backup_log_is_refused(record),
        .roles = {.bytes = mg_buffer_view(&roles)},
    };
    TRY(mg_call_instance_start(&request, &reply, &storage, LAUNCHER_MS));
    record->app_uid = reply.app_uid;
    TRY(mg_view_copy(reply.socket, record->socket, sizeof record->socket));
    return mg_view_copy(reply.app_socket, record->app_socket, sizeof record->app_socket);
}

struct mg_status
instance_open(const struct record *record, const char *database, struct mg_database **ret_database)
{
    OWN(secret) password = NULL;
    TRY(password_unseal(record, "superuser", mg_buffer_view(&record->sealed_password), &password));
    const struct mg_database_address address = {
        .host = record->socket,
        .database = database,
        .user = "masugata_super",
        .password = mg_secret_view(password),
        .statement_ms = 60000,
        .catalogue_only = true,
    };
    return mg_database_open(&address, ret_database);
}

static struct mg_status
identifier_read(struct record *record)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    TRY(instance_open(record, "postgres", &database));
    TRY(mg_query(database, &rows, "SELECT system_identifier::text FROM pg_control_system()"));
    return mg_view_copy(mg_rows_text(rows, 0, 0), record->system_identifier,
                        sizeof record->system_identifier);
}

/* Control: TENANCY_04 */
struct mg_status
instance_ensure(struct record *record)
{
    if (record->sealed_password.length == 0)
        TRY(record_begin(record));
    TRY(instance_start(record));
    TRY(identifier_read(record));
    return record->tenant != 0 ? roles_ensure_tenant(record) : roles_ensure_control(record);
}
