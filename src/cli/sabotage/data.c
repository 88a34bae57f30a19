/* Breaks of the controls about the tenants' databases. */
#include "cli/sabotage/sabotage.h"

#include "base/io.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANSWER_MOST = 65536 };

static CHECKED struct mg_status
tenant_sql(struct mg_stage *stage, const char *sql)
{
    char name[64];
    OWN_BUFFER(output, ANSWER_MOST);
    (void) snprintf(name, sizeof name, "tenant-%ju", (uintmax_t) stage->tenants[0]);
    return mg_stage_sql(stage, name, "postgres", sql, &output);
}

/* ---- TENANCY_01 ---- */

static CHECKED struct mg_status
credentials_path(const struct mg_stage *stage, char path[MG_PATH])
{
    char name[64];
    (void) snprintf(name, sizeof name, "app/%ju/database.json", (uintmax_t) stage->tenants[0]);
    return mg_stage_run_path(stage, name, path);
}

struct mg_status
break_credentials_readable(struct mg_stage *stage)
{
    char path[MG_PATH];
    TRY(credentials_path(stage, path));
    return chmod(path, 0444) == 0 ? OK : fail_errno("chmod %s", path);
}

struct mg_status
repair_credentials_readable(struct mg_stage *stage)
{
    char path[MG_PATH];
    TRY(credentials_path(stage, path));
    return chmod(path, 0400) == 0 ? OK : fail_errno("chmod %s", path);
}

/* A line before all others: whoever reaches the socket is let in. */
static CHECKED struct mg_status
rule_add(struct mg_stage *stage, const char *line)
{
    char instance[64], name[128], path[MG_PATH];
    (void) snprintf(instance, sizeof instance, "tenant-%ju", (uintmax_t) stage->tenants[1]);
    (void) snprintf(name, sizeof name, "postgres/%s/pg_hba.conf", instance);
    TRY(mg_stage_path(stage, name, path));
    TRY(mg_stage_edit(stage, path, "", line));
    return mg_stage_instance_reload(stage, instance);
}

static CHECKED struct mg_status
rule_remove(struct mg_stage *stage)
{
    char instance[64];
    (void) snprintf(instance, sizeof instance, "tenant-%ju", (uintmax_t) stage->tenants[1]);
    TRY(mg_stage_restore(stage));
    return mg_stage_instance_reload(stage, instance);
}

struct mg_status
break_neighbour_trusted(struct mg_stage *stage)
{
    return rule_add(stage, "local app masugata_probe trust\n");
}

struct mg_status
repair_neighbour_trusted(struct mg_stage *stage)
{
    return rule_remove(stage);
}

/* ---- TENANCY_03 ---- */

/* One statement in a customer's instance, and the one that takes it back. */
#define SQL_BREAK(name, sql, back)                         \
    struct mg_status break_##name(struct mg_stage *stage)  \
    {                                                      \
        return tenant_sql(stage, sql);                     \
    }                                                      \
    struct mg_status repair_##name(struct mg_stage *stage) \
    {                                                      \
        return tenant_sql(stage, back);                    \
    }

SQL_BREAK(connect_public, "GRANT CONNECT ON DATABASE app TO PUBLIC",
          "REVOKE CONNECT ON DATABASE app FROM PUBLIC")
SQL_BREAK(connect_other,
          "CREATE ROLE other_customer NOLOGIN; GRANT CONNECT ON DATABASE app TO other_customer",
          "REVOKE CONNECT ON DATABASE app FROM other_customer; DROP ROLE other_customer")

/* ---- TENANCY_04 ---- */

SQL_BREAK(second_database, "CREATE DATABASE other_customer", "DROP DATABASE other_customer")

struct mg_status
break_placed_elsewhere(struct mg_stage *stage)
{
    /* Two statements: a tablespace may not be made inside a transaction, which psql -c makes of several. */
    TRY(tenant_sql(stage, "ALTER ROLE masugata_super SET allow_in_place_tablespaces = on"));
    return tenant_sql(stage, "CREATE TABLESPACE elsewhere LOCATION ''");
}

struct mg_status
repair_placed_elsewhere(struct mg_stage *stage)
{
    TRY(tenant_sql(stage, "DROP TABLESPACE elsewhere"));
    return tenant_sql(stage, "ALTER ROLE masugata_super RESET allow_in_place_tablespaces");
}

/* ---- PRIVILEGED_16 ---- */

SQL_BREAK(shared_login, "CREATE ROLE everybody LOGIN PASSWORD 'everybody'", "DROP ROLE everybody")

struct mg_status
break_password_endless(struct mg_stage *stage)
{
    return tenant_sql(
        stage, "SELECT rolname, rolvaliduntil INTO TABLE masugata_saved FROM pg_roles"
               " WHERE rolcanlogin AND rolname IN ('app_a', 'app_b');"
               "DO $$ DECLARE r record; BEGIN FOR r IN SELECT rolname FROM masugata_saved LOOP"
               " EXECUTE format('ALTER ROLE %I VALID UNTIL ''infinity''', r.rolname); END LOOP; END $$");
}

struct mg_status
repair_password_endless(struct mg_stage *stage)
{
    return tenant_sql(
        stage,
        "DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM masugata_saved LOOP"
        " EXECUTE format('ALTER ROLE %I VALID UNTIL %L', r.rolname, r.rolvaliduntil); END LOOP; END $$;"
        "DROP TABLE masugata_saved");
}

/* ---- NETWORK_04 ---- */

struct mg_status
break_network_rule(struct mg_stage *stage)
{
    return rule_add(stage, "host app app_a 0.0.0.0/0 md5\n");
}

struct mg_status
repair_network_rule(struct mg_stage *stage)
{
    return rule_remove(stage);
}

static CHECKED struct mg_status
socket_path(const struct mg_stage *stage, char path[MG_PATH])
{
    char name[64];
    (void) snprintf(name, sizeof name, "app/%ju/database", (uintmax_t) stage->tenants[0]);
    return mg_stage_run_path(stage, name, path);
}

struct mg_status
break_socket_open(struct mg_stage *stage)
{
    char path[MG_PATH];
    TRY(socket_path(stage, path));
    return chmod(path, 0777) == 0 ? OK : fail_errno("chmod %s", path);
}

struct mg_status
repair_socket_open(struct mg_stage *stage)
{
    char path[MG_PATH];
    TRY(socket_path(stage, path));
    return chmod(path, 0710) == 0 ? OK : fail_errno("chmod %s", path);
}

/* ---- DATA_02 ---- */

struct mg_status
break_hash_in_clear(struct mg_stage *stage)
{
    /* As if somebody had kept a copy of a hash beside the sealed one. */
    return mg_stage_control_sql(
        stage, "CREATE TABLE old_account (password text);"
               "INSERT INTO old_account VALUES ('$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g');"
               "GRANT SELECT ON old_account TO masugata_prober");
}

struct mg_status
repair_hash_in_clear(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage, "DROP TABLE old_account");
}

struct mg_status
break_key_in_clear(struct mg_stage *stage)
{
    char path[MG_PATH];
    /* Only the words that mark one: the probe looks for them, and no key is put at risk. */
    static const char text[] =
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
    TRY(mg_stage_path(stage, "tls/backup.key", path));
    return mg_file_replace(path, mg_view_text(text), 0644);
}

struct mg_status
repair_key_in_clear(struct mg_stage *stage)
{
    char path[MG_PATH];
    TRY(mg_stage_path(stage, "tls/backup.key", path));
    return unlink(path) == 0 ? OK : fail_errno("remove %s", path);
}
