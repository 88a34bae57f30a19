/* Roles and databases inside an instance. Everything may be repeated. */
#include "base/secret.h"
#include "process/worker/worker.h"

enum { SQL_MOST = 8192 };

/* pgBackRest reads the files by itself: its login begins and ends a backup, and sees no table. */
#define BACKUP_SQL                                                                                        \
    "GRANT CONNECT ON DATABASE postgres TO masugata_backup;"                                              \
    "GRANT pg_read_all_settings TO masugata_backup;"                                                      \
    "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean), pg_switch_wal()," \
    " pg_create_restore_point(text) TO masugata_backup;"

/* Each login is one service; what they share is a role nobody can log in as. PUBLIC gets nothing. */
static const char tenant_owner_sql[] =
    "ALTER ROLE app_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;"
    "GRANT app_owner TO app_a, app_b;"
    "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;" BACKUP_SQL;
static const char tenant_database_sql[] =
    "REVOKE ALL ON DATABASE app FROM PUBLIC;"
    "GRANT CONNECT, TEMPORARY ON DATABASE app TO app_a, app_b;"
    "GRANT CONNECT ON DATABASE app TO masugata_probe;"
    "ALTER ROLE app_a IN DATABASE app SET role = 'app_owner';" /* so that both own the same things */
    "ALTER ROLE app_b IN DATABASE app SET role = 'app_owner';"
    "ALTER SCHEMA public OWNER TO app_owner;"
    "REVOKE ALL ON SCHEMA public FROM PUBLIC;"
    "REVOKE ALL ON LANGUAGE plpgsql, sql FROM PUBLIC;"
    "GRANT USAGE ON LANGUAGE plpgsql, sql TO app_owner;"
    "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;"
    "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE ALL ON TYPES FROM PUBLIC;"
    /* The probe sees how the instance is set up, and no table of the tenant. */
    "GRANT pg_read_all_settings TO masugata_probe;"
    "GRANT EXECUTE ON FUNCTION pg_hba_file_rules(), pg_ls_archive_statusdir() TO masugata_probe;"
    "GRANT SELECT ON pg_hba_file_rules TO masugata_probe;"
    "GRANT EXECUTE ON FUNCTION pg_control_system() TO masugata_probe;";

static const char control_owner_sql[] = "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;" BACKUP_SQL;
static const char control_database_sql[] =
    "REVOKE ALL ON DATABASE masugata FROM PUBLIC;"
    "GRANT CONNECT ON DATABASE masugata TO masugata_authority, masugata_prober;"
    "ALTER SCHEMA public OWNER TO masugata_owner;"
    "REVOKE ALL ON SCHEMA public FROM PUBLIC;"
    "GRANT USAGE ON SCHEMA public TO masugata_authority, masugata_prober;"
    "GRANT pg_read_all_settings TO masugata_prober;"
    "GRANT EXECUTE ON FUNCTION pg_hba_file_rules(), pg_ls_archive_statusdir() TO masugata_prober;"
    "GRANT SELECT ON pg_hba_file_rules TO masugata_prober;";

static struct mg_status
role_make(struct mg_database *database, const char *role)
{
    OWN(rows) rows = NULL;
    OWN_BUFFER(sql, SQL_MOST);
    TRY(mg_query(database, &rows, "SELECT 1 FROM pg_roles WHERE rolname = $1", MG_STRING(role)));
    if (mg_rows_count(rows) != 0)
        return OK;
    TRY(mg_buffer_add_text(&sql, "CREATE ROLE "));
    TRY(mg_sql_name(&sql, role));
    TRY(mg_buffer_add_text(&sql, " NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"));
    return mg_database_script(database, mg_buffer_text(&sql));
}

/* Control: TENANCY_03 */
static struct mg_status
database_make(struct mg_database *database, const char *name, const char *owner)
{
    OWN(rows) rows = NULL;
    OWN_BUFFER(sql, SQL_MOST);
    TRY(mg_query(database, &rows, "SELECT 1 FROM pg_database WHERE datname = $1", MG_STRING(name)));
    if (mg_rows_count(rows) != 0)
        return OK;
    TRY(mg_buffer_add_text(&sql, "CREATE DATABASE "));
    TRY(mg_sql_name(&sql, name));
    TRY(mg_buffer_add_text(&sql, " OWNER "));
    TRY(mg_sql_name(&sql, owner));
    return mg_database_script(database, mg_buffer_text(&sql));
}

static struct mg_status
ensure(const struct record *record, const char *const *roles, size_t count, const char *owner,
       const char *name, const char *owner_sql, const char *database_sql)
{
    OWN(database) outer = NULL;
    OWN(database) inner = NULL;
    TRY(instance_open(record, "postgres", &outer));
    for (size_t i = 0; i < count; i++)
        TRY(role_make(outer, roles[i]));
    TRY(database_make(outer, name, owner));
    TRY(mg_database_script(outer, owner_sql));
    TRY(instance_open(record, name, &inner));
    return mg_database_script(inner, database_sql);
}

struct mg_status
roles_ensure_tenant(const struct record *record)
{
    static const char *const roles[] = {"app_owner", "app_a", "app_b", "masugata_backup", "masugata_probe"};
    return ensure(record, roles, MG_COUNT(roles), "app_owner", OWNER_DATABASE, tenant_owner_sql,
                  tenant_database_sql);
}

struct mg_status
roles_ensure_control(const struct record *record)
{
    static const char *const roles[] = {"masugata_owner", "masugata_authority", "masugata_backup",
                                        "masugata_prober"};
    return ensure(record, roles, MG_COUNT(roles), "masugata_owner", CONTROL_DATABASE, control_owner_sql,
                  control_database_sql);
}

/* Control: PRIVILEGED_16 */
struct mg_status
role_open(struct mg_database *database, const char *role, const char *password, mg_instant until)
{
    OWN_BUFFER(sql, SQL_MOST);
    OWN_BUFFER(verifier, 512);
    char until_text[MG_INSTANT_TEXT] = "infinity";
    if (until != 0)
        mg_instant_text(until, until_text);
    /* Only the SCRAM verifier travels: the password is in no statement, log or activity view. */
    TRY(mg_database_verifier(database, role, password, &verifier));
    TRY(mg_buffer_add_text(&sql, "ALTER ROLE "));
    TRY(mg_sql_name(&sql, role));
    TRY(mg_buffer_add_text(&sql, " LOGIN PASSWORD "));
    TRY(mg_sql_text(&sql, mg_buffer_view(&verifier)));
    TRY(mg_buffer_add_text(&sql, " VALID UNTIL "));
    TRY(mg_sql_text(&sql, mg_view_text(until_text)));
    return mg_database_script(database, mg_buffer_text(&sql));
}

struct mg_status
role_close(struct mg_database *database, const char *role)
{
    OWN_BUFFER(sql, SQL_MOST);
    TRY(mg_buffer_add_text(&sql, "ALTER ROLE "));
    TRY(mg_sql_name(&sql, role));
    TRY(mg_buffer_add_text(&sql, " NOLOGIN PASSWORD NULL"));
    TRY(mg_database_script(database, mg_buffer_text(&sql)));
    return mg_query(database, NULL,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1",
                    MG_STRING(role));
}
