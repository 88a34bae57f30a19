/* Breaks of networks, password rules, roles and of what customers do themselves. */
#include "cli/sabotage/sabotage.h"

#include "domain/drill.h"

#include <stdio.h>
#include <unistd.h>

/* ---- IDENTITY_05 ---- */

/* The lower half of the loopback network, from which the drill's people sign in, becomes the whole of it. */
struct mg_status
break_sign_in_widened(struct mg_stage *stage)
{
    static const uint8_t narrow[MG_STAGE_NETWORK] = {[11] = 127, [12] = 0xff, [13] = 0xff, [16] = 105};
    static const uint8_t wide[MG_STAGE_NETWORK] = {[11] = 127, [12] = 0xff, [13] = 0xff, [16] = 104};
    return mg_stage_policy_network(stage, narrow, wide);
}

struct mg_status
repair_sign_in_widened(struct mg_stage *stage)
{
    return repair_policy_widened(stage);
}

/* The workers can no longer count what they refuse: it is denied, but nobody hears of it. */
struct mg_status
break_refusals_unseen(struct mg_stage *stage)
{
    char path[MG_PATH];
    TRY(mg_stage_run_path(stage, "gate/refusals", path));
    if (stat(path, &stage->saved_stat) != 0 || chmod(path, 0) != 0)
        return fail_errno("close %s", path);
    return mg_stage_nginx_reload(stage); /* new workers open it anew */
}

struct mg_status
repair_refusals_unseen(struct mg_stage *stage)
{
    char path[MG_PATH];
    TRY(mg_stage_run_path(stage, "gate/refusals", path));
    if (chmod(path, stage->saved_stat.st_mode & 07777) != 0)
        return fail_errno("open %s again", path);
    return mg_stage_nginx_reload(stage);
}

/* ---- triggers in the control database ---- */

/* `body` between BEGIN and END, before `what` on `table` when `condition`. */
static CHECKED struct mg_status
trigger_make(struct mg_stage *stage, const char *what, const char *table, const char *condition,
             const char *body)
{
    OWN_BUFFER(sql, 4096);
    TRY(mg_buffer_format(
        &sql,
        "CREATE SCHEMA sabotage;"
        "CREATE FUNCTION sabotage.act() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN %s END$$;"
        "GRANT USAGE ON SCHEMA sabotage TO PUBLIC;"
        "CREATE TRIGGER sabotage BEFORE %s ON %s FOR EACH ROW WHEN (%s)"
        " EXECUTE FUNCTION sabotage.act()",
        body, what, table, condition));
    return mg_stage_control_sql(stage, mg_buffer_text(&sql));
}

static CHECKED struct mg_status
trigger_drop(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage, "DROP SCHEMA sabotage CASCADE");
}

#define TRIGGER_BREAK(name, what, table, condition, body)         \
    struct mg_status break_##name(struct mg_stage *stage)         \
    {                                                             \
        return trigger_make(stage, what, table, condition, body); \
    }                                                             \
    struct mg_status repair_##name(struct mg_stage *stage)        \
    {                                                             \
        return trigger_drop(stage);                               \
    }

/* ---- IDENTITY_03 ---- */

TRIGGER_BREAK(provider_stays_on, "UPDATE", "identity_provider", "NOT NEW.enabled",
              "NEW.enabled = true; RETURN NEW;")
TRIGGER_BREAK(answers_come_back, "INSERT", "federation_replay", "true",
              "NEW.key = sha256(random()::text::bytea); RETURN NEW;")
TRIGGER_BREAK(answers_not_counted, "INSERT", "federation_replay", "true", "RETURN NULL;")

/* ---- IDENTITY_07 ---- */

TRIGGER_BREAK(rules_not_kept, "INSERT", "tenant_setting", "NEW.keyword = 'password.length'", "RETURN NULL;")
TRIGGER_BREAK(user_administers, "UPDATE", "account", "NEW.login = 'masugata-probe-user'",
              "NEW.roles = 'administrator'; RETURN NEW;")

/* ---- IDENTITY_08 ---- */

/* An operator whom the job that ends old passwords cannot touch. */
static CHECKED struct mg_status
operator_plant(struct mg_stage *stage, const char *changed_at)
{
    OWN_BUFFER(sql, 2048);
    TRY(mg_buffer_format(
        &sql,
        "INSERT INTO account (tenant, login, password_sealed, password_changed_at, created_at)"
        " VALUES (0, 'sabotage', 'x', %s, now())",
        changed_at));
    TRY(trigger_make(stage, "UPDATE", "account", "OLD.login = 'sabotage'", "RETURN OLD;"));
    return mg_stage_control_sql(stage, mg_buffer_text(&sql));
}

static CHECKED struct mg_status
operator_remove(struct mg_stage *stage)
{
    TRY(trigger_drop(stage));
    return mg_stage_control_sql(stage, "DELETE FROM account WHERE tenant = 0 AND login = 'sabotage'");
}

struct mg_status
break_operator_password_old(struct mg_stage *stage)
{
    return operator_plant(stage, "now() - interval '61 days'");
}

struct mg_status
repair_operator_password_old(struct mg_stage *stage)
{
    return operator_remove(stage);
}

struct mg_status
break_operator_password_ageless(struct mg_stage *stage)
{
    return operator_plant(stage, "NULL");
}

struct mg_status
repair_operator_password_ageless(struct mg_stage *stage)
{
    return operator_remove(stage);
}

/* ---- IDENTITY_11 ---- */

/* A role of the tenant's own that nobody recorded, slipped to somebody who is a user. */
struct mg_status
break_role_slipped_in(struct mg_stage *stage)
{
    OWN_BUFFER(sql, 512);
    TRY(mg_buffer_format(&sql,
                         "INSERT INTO tenant_role (tenant, name, permissions, changed_at, bit)"
                         " VALUES (%d, 'sabotage', 'sessions.read', now(), 31)",
                         MG_DRILL_NUMBER));
    TRY(mg_stage_control_sql(stage, mg_buffer_text(&sql)));
    return trigger_make(stage, "UPDATE", "account", "NEW.login = 'masugata-probe-user'",
                        "NEW.roles = 'user sabotage'; RETURN NEW;");
}

struct mg_status
repair_role_slipped_in(struct mg_stage *stage)
{
    TRY(trigger_drop(stage));
    return mg_stage_control_sql(stage, "DELETE FROM tenant_role WHERE name = 'sabotage'");
}

struct mg_status
break_rights_left_over(struct mg_stage *stage)
{
    return mg_stage_control_sql(
        stage, "CREATE SCHEMA sabotage;"
               "CREATE TABLE sabotage.kept AS SELECT id, roles, roles_changed_at FROM account"
               " WHERE tenant > 0 AND login NOT LIKE 'masugata-%' ORDER BY id LIMIT 1;"
               "UPDATE account SET roles = 'administrator', roles_changed_at = now() - interval '91 days'"
               " WHERE id IN (SELECT id FROM sabotage.kept)");
}

struct mg_status
repair_rights_left_over(struct mg_stage *stage)
{
    return mg_stage_control_sql(
        stage,
        "UPDATE account a SET roles = s.roles, roles_changed_at = s.roles_changed_at FROM sabotage.kept s"
        " WHERE a.id = s.id; DROP SCHEMA sabotage CASCADE");
}

/* ---- IDENTITY_12 ---- */

TRIGGER_BREAK(disabling_ignored, "UPDATE", "account", "NEW.disabled_at IS NOT NULL", "RETURN OLD;")
TRIGGER_BREAK(confirmation_forgotten, "UPDATE", "account", "NEW.reviewed_at IS NOT NULL",
              "NEW.reviewed_at = NULL; NEW.reviewed_by = ''; RETURN NEW;")

/* ---- AUDIT_04: what stands between the reader and the report ---- */

static CHECKED struct mg_status
drill_server_add(struct mg_stage *stage, const char *lines)
{
    char to[1024];
    (void) snprintf(to, sizeof to, "masugata on;\n%s", lines);
    const struct mg_stage_change change = {"server_name " MG_DRILL_SIGN_IN_HOST ";\n        ssl_certificate",
                                           "masugata on;\n", to};
    return mg_stage_nginx_change(stage, &change, 1);
}

struct mg_status
break_report_empty(struct mg_stage *stage)
{
    return drill_server_add(
        stage, "        location = /console/reports/file {\n"
               "            return 200 \"entry,time,event,who,what,outcome,address,detail\\r\\n\";\n"
               "        }\n");
}

struct mg_status
repair_report_empty(struct mg_stage *stage)
{
    return mg_stage_nginx_restore(stage);
}

struct mg_status
break_report_exchanged(struct mg_stage *stage)
{
    return drill_server_add(stage, "        if ($arg_kind = users) {\n"
                                   "            set $args \"kind=accounts\";\n"
                                   "        }\n");
}

struct mg_status
repair_report_exchanged(struct mg_stage *stage)
{
    return mg_stage_nginx_restore(stage);
}
