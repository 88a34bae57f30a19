/* The control database: our own instance, or an existing server (database.url). */
#include "base/log.h"
#include "base/secret.h"
#include "ports/migrations.h"
#include "process/worker/worker.h"

/* The one process that works in the control database (the prober is lent a login of its own). */
static const char authority_role[] = "masugata_authority";

/* After the migrations, so that new tables are covered. The authority reads and writes rows and
 * changes no schema; the prober reads. */
static const char grants_sql[] =
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO masugata_authority;"
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO masugata_authority;"
    "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;"
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO masugata_authority;"
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO masugata_prober;"
    "REVOKE INSERT, UPDATE, DELETE ON schema_migration FROM masugata_authority;";

static bool
url_given(void)
{
    const char *url = mg_environment()->options->database_url;
    return url != NULL && url[0] != '\0';
}

static struct mg_status
migrate(struct mg_database *database)
{
    int applied = 0;
    TRY(mg_migrations_run(database, &mg_migrations_control, &applied));
    if (applied == 0)
        return OK;
    mg_log(MG_INFO, "%d migrations of the control database were run", applied);
    return worker_record(MG_EVENT_schema_migrate, 0, "control", "");
}

static struct mg_status
control_take(struct record **ret_record)
{
    return record_take("control", 0, ret_record);
}

/* With the lock held. */
static struct mg_status
own_ensure(struct record *record)
{
    OWN(database) database = NULL;
    TRY(instance_ensure(record));
    TRY(instance_open(record, CONTROL_DATABASE, &database));
    TRY(mg_database_script(database, "SET search_path = public; SET ROLE masugata_owner"));
    TRY(migrate(database));
    TRY(mg_database_script(database, "RESET ROLE"));
    TRY(mg_database_script(database, grants_sql));
    record_publish(record, RECORD_SERVING);
    return OK;
}

struct mg_status
control_ensure(void)
{
    if (url_given()) {
        OWN(database) database = NULL;
        const struct mg_database_address address = {.url = mg_environment()->options->database_url,
                                                    .statement_ms = 60000};
        TRY(mg_database_open(&address, &database));
        return migrate(database);
    }
    struct record *record = NULL;
    TRY(control_take(&record));
    (void) pthread_mutex_lock(&record->lock);
    const struct mg_status status = own_ensure(record);
    (void) pthread_mutex_unlock(&record->lock);
    return status;
}

/* With the lock held: a new password for this caller; nobody stores it. */
static struct mg_status
login_open(const struct record *record, const char *role, const char *password)
{
    OWN(database) database = NULL;
    TRY(instance_open(record, "postgres", &database));
    TRY(worker_record(MG_EVENT_credential_rotate, 0, record->name, role));
    return role_open(database, role, password, 0);
}

MG_HANDLER_PUBLIC(control_database)
{
    (void) request;
    if (url_given()) {
        const struct mg_reply_control_database there = {
            .url = mg_view_text(mg_environment()->options->database_url)};
        return mg_answer_control_database(call, &there);
    }
    struct record *record = NULL;
    OWN_KEY(password, PASSWORD_TEXT);
    TRY(control_take(&record));
    password_make((char *) password);
    (void) pthread_mutex_lock(&record->lock);
    const struct mg_status status = login_open(record, authority_role, (const char *) password);
    (void) pthread_mutex_unlock(&record->lock);
    TRY(status);
    const struct mg_reply_control_database reply = {
        .host = mg_view_text(record->socket),
        .port = 5432,
        .database = mg_view_text(CONTROL_DATABASE),
        .user = mg_view_text(authority_role),
        .password = mg_view_text((const char *) password),
    };
    return mg_answer_control_database(call, &reply);
}
