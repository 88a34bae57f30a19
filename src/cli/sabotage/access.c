/* Breaks of sign-in, console, sessions and of what a request may say about its tenant. */
#include "cli/sabotage/sabotage.h"

#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { RESTART_US = 2500000 };

/* `map` goes into the http block, and the first `from` after `server` becomes `to`. */
static CHECKED struct mg_status
server_edit(struct mg_stage *stage, const char *map, const char *server, const char *from, const char *to)
{
    char lines[4096];
    (void) snprintf(lines, sizeof lines, "%s    ssl_protocols ", map);
    const struct mg_stage_change changes[] = {{server, from, to}, {NULL, "    ssl_protocols ", lines}};
    return mg_stage_nginx_change(stage, changes, MG_COUNT(changes));
}

/* The first lines of the first application's server; every edit below begins there. */
#define APP_SERVER "        masugata on;\n        error_page 497"

/* ---- IDENTITY_01 ---- */

static CHECKED struct mg_status
authority_restart(struct mg_stage *stage)
{
    TRY(mg_stage_signal(stage, "authority",
                        SIGKILL)); /* it builds the session table anew from the database */
    (void) usleep(RESTART_US);
    return OK;
}

/* The token is 32 zero bytes: the cookie that the probe shows as an obviously invented one. */
struct mg_status
break_planted_session(struct mg_stage *stage)
{
    TRY(mg_stage_control_sql(
        stage,
        "INSERT INTO session_family (id, tenant, account, authenticated_at, last_seen_at, expires_at, idle_ms)"
        " SELECT 4242, a.tenant, a.id, now(), now(), now() + interval '11 hours', 1800000"
        " FROM account a WHERE a.tenant > 0 AND a.login NOT LIKE 'masugata-%' ORDER BY a.id LIMIT 1;"
        "INSERT INTO session (id, family, token_hash, host, origin, created_at, last_seen_at)"
        " SELECT 4243, 4242, decode(repeat('00', 8), 'hex') || substr(sha256(decode(repeat('00', 32), 'hex')), 9), h.host, 1, now(), now()"
        " FROM tenant_host h JOIN session_family f ON f.id = 4242 AND h.tenant = f.tenant WHERE h.origin = 1"
        " ORDER BY h.host LIMIT 1"));
    return authority_restart(stage);
}

struct mg_status
repair_planted_session(struct mg_stage *stage)
{
    TRY(mg_stage_control_sql(stage, "DELETE FROM session_family WHERE id = 4242"));
    return authority_restart(stage);
}

/* A rule of the customer's own policy, written by somebody who reaches the control database. */
struct mg_status
break_path_opened(struct mg_stage *stage)
{
    char sql[256];
    (void) snprintf(sql, sizeof sql,
                    "INSERT INTO tenant_setting (tenant, route, keyword, value)"
                    " VALUES (%ju, '/admin', 'public', 'yes')",
                    (uintmax_t) stage->tenants[0]);
    TRY(mg_stage_control_sql(stage, sql));
    return authority_restart(stage);
}

struct mg_status
repair_path_opened(struct mg_stage *stage)
{
    TRY(mg_stage_control_sql(stage, "DELETE FROM tenant_setting WHERE route = '/admin'"));
    return authority_restart(stage);
}

/* ---- IDENTITY_02 ---- */

struct mg_status
break_readable_password(struct mg_stage *stage)
{
    return mg_stage_control_sql(
        stage, "CREATE SCHEMA sabotage;" /* not public, whose tables DATA_02 reads */
               "CREATE TABLE sabotage.kept AS SELECT id, password_sealed FROM account"
               " WHERE password_sealed IS NOT NULL AND login NOT LIKE 'masugata-%' ORDER BY id LIMIT 1;"
               "UPDATE account SET password_sealed = 'correct horse battery staple'::bytea"
               " WHERE id IN (SELECT id FROM sabotage.kept)");
}

struct mg_status
repair_readable_password(struct mg_stage *stage)
{
    return mg_stage_control_sql(
        stage,
        "UPDATE account a SET password_sealed = s.password_sealed FROM sabotage.kept s WHERE a.id = s.id;"
        "DROP SCHEMA sabotage CASCADE");
}

/* A second log with the bodies, for the first sign-in host; nginx has a body only where it buffers it, as
 * it does for the portal. */
struct mg_status
break_password_logged(struct mg_stage *stage)
{
    char log[MG_PATH], lines[2048];
    TRY(mg_stage_path(stage, "log/nginx-sabotage.log", log));
    (void) snprintf(lines, sizeof lines,
                    "    log_format sabotage '$request_body';\n    access_log \"%s\" sabotage;\n", log);
    return server_edit(stage, lines, "server_name id.acme.localhost;\n        ssl_certificate",
                       "        location / {\n",
                       "        location / {\n            client_body_in_single_buffer on;\n");
}

struct mg_status
repair_password_logged(struct mg_stage *stage)
{
    char log[MG_PATH];
    TRY(mg_stage_path(stage, "log/nginx-sabotage.log", log));
    TRY(mg_stage_nginx_restore(stage));
    return unlink(log) == 0 ? OK : fail_errno("remove %s", log);
}

/* ---- IDENTITY_06 ---- */

/* The policy that the gate reads (wire/policy_layout.h): 127.0.0.1/32 becomes 127.0.0.0/8 wherever it
 * stands, under a digest that fits. The authority would put it right with the next change, so its directory
 * is closed to it as well. */
struct mg_status
break_policy_widened(struct mg_stage *stage)
{
    static const uint8_t narrow[MG_STAGE_NETWORK] = {
        [8] = 1, [11] = 127, [12] = 0xff, [13] = 0xff, [16] = 128};
    static const uint8_t wide[MG_STAGE_NETWORK] = {[11] = 127, [12] = 0xff, [13] = 0xff, [16] = 104};
    return mg_stage_policy_network(stage, narrow, wide);
}

struct mg_status
mg_stage_policy_network(struct mg_stage *stage, const uint8_t narrow[MG_STAGE_NETWORK],
                        const uint8_t wide[MG_STAGE_NETWORK])
{
    enum { HEAD = 32, DIGEST = 32, NETWORK = MG_STAGE_NETWORK };
    char path[MG_PATH];
    TRY(mg_stage_run_path(stage, "gate/policy", path));
    TRY(mg_stage_keep(stage, path));
    OWN_BUFFER(changed, 64 << 20);
    OWN_BUFFER(hashed, 64 << 20);
    TRY(mg_buffer_add(&changed, mg_buffer_view(&stage->saved)));
    if (changed.length < HEAD + DIGEST)
        return fail_with(MALFORMED, "%s", path);
    size_t found = 0;
    for (size_t i = HEAD + DIGEST; i + NETWORK <= changed.length; i++)
        if (memcmp(changed.bytes + i, narrow, NETWORK) == 0) {
            memcpy(changed.bytes + i, wide, NETWORK);
            found++;
        }
    if (found == 0)
        return fail_with(NOT_FOUND, "the network in %s", path);
    TRY(mg_buffer_add(&hashed, mg_view_of(changed.bytes, HEAD)));
    TRY(mg_buffer_add(&hashed, mg_view_of(changed.bytes + HEAD + DIGEST, changed.length - HEAD - DIGEST)));
    if (EVP_Digest(hashed.bytes, hashed.length, changed.bytes + HEAD, NULL, EVP_sha256(), NULL) != 1)
        return fail(CRYPTO);
    TRY(mg_stage_replace(stage, mg_buffer_view(&changed)));
    TRY(mg_stage_policy_directory(stage, false));
    return mg_stage_nginx_reload(stage); /* new workers read the file anew */
}

struct mg_status
repair_policy_widened(struct mg_stage *stage)
{
    TRY(mg_stage_policy_directory(stage, true));
    return mg_stage_nginx_restore(stage);
}

struct mg_status
break_console_beside_gate(struct mg_stage *stage)
{
    char server[512];
    (void) snprintf(server, sizeof server, "server_name %s;\n        ssl_certificate",
                    stage->options->console_host);
    return server_edit(stage, "", server, "masugata on;", "masugata off;");
}

struct mg_status
repair_console_beside_gate(struct mg_stage *stage)
{
    return mg_stage_nginx_restore(stage);
}

/* ---- IDENTITY_09 ---- */

struct mg_status
break_attempts_forgotten(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage, "CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS"
                                       " $$BEGIN NEW.recent = '{}'; NEW.in_a_row = 0; RETURN NEW; END$$;"
                                       "CREATE TRIGGER sabotage BEFORE INSERT OR UPDATE ON attempt"
                                       " FOR EACH ROW EXECUTE FUNCTION sabotage()");
}

struct mg_status
repair_attempts_forgotten(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage, "DROP TRIGGER sabotage ON attempt; DROP FUNCTION sabotage()");
}

struct mg_status
break_attempts_not_looked_at(struct mg_stage *stage)
{
    return mg_stage_control_sql(
        stage,
        "CREATE SCHEMA sabotage;"
        "CREATE TABLE sabotage.kept AS SELECT pg_get_functiondef('attempt_look'::regproc) AS definition;"
        "CREATE OR REPLACE FUNCTION attempt_look(a_tenant bigint, a_kind smallint, a_key bytea,"
        " a_now bigint, a_window bigint, OUT recent bigint[], OUT in_a_row int)"
        " LANGUAGE sql AS $$SELECT '{}'::bigint[], 0$$");
}

struct mg_status
repair_attempts_not_looked_at(struct mg_stage *stage)
{
    return mg_stage_control_sql(
        stage, "DO $$DECLARE d text; BEGIN SELECT definition INTO d FROM sabotage.kept; EXECUTE d; END$$;"
               "DROP SCHEMA sabotage CASCADE");
}

/* ---- IDENTITY_10 ---- */

struct mg_status
break_always_learning(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage, "CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS"
                                       " $$BEGIN NEW.risk_since = NULL; RETURN NEW; END$$;"
                                       "CREATE TRIGGER sabotage BEFORE INSERT OR UPDATE ON account"
                                       " FOR EACH ROW EXECUTE FUNCTION sabotage()");
}

struct mg_status
repair_always_learning(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage, "DROP TRIGGER sabotage ON account; DROP FUNCTION sabotage()");
}

struct mg_status
break_failures_unseen(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage, "CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS"
                                       " $$BEGIN RETURN NULL; END$$;"
                                       "CREATE TRIGGER sabotage BEFORE INSERT ON sign_in_failure"
                                       " FOR EACH ROW EXECUTE FUNCTION sabotage()");
}

struct mg_status
repair_failures_unseen(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage, "DROP TRIGGER sabotage ON sign_in_failure; DROP FUNCTION sabotage()");
}

/* ---- SESSION_01, SESSION_02: cookies that somebody adds ---- */

#define WITH_COOKIE(cookie) APP_SERVER, "        add_header Set-Cookie \"" cookie "\" always;\n" APP_SERVER

NGINX_BREAK(cookie_names_customer, WITH_COOKIE("customer=$host; Path=/; Secure; HttpOnly; SameSite=Lax"))
/* base64 of "acme corporation": acme is the first synthetic tenant. */
NGINX_BREAK(cookie_hides_customer,
            WITH_COOKIE("hint=YWNtZSBjb3Jwb3JhdGlvbg==; Path=/; Secure; HttpOnly; SameSite=Lax"))
NGINX_BREAK(cookie_bare, WITH_COOKIE("bare=1; Path=/"))
NGINX_BREAK(cookie_wide, WITH_COOKIE("wide=1; Path=/; Secure; HttpOnly; SameSite=Lax; Domain=localhost"))

/* ---- TENANCY_02 ---- */

/* Tenant 1's sign-in pages believe ?tenant=. */
struct mg_status
break_tenant_from_query(struct mg_stage *stage)
{
    char map[256];
    (void) snprintf(map, sizeof map,
                    "    map $arg_tenant $sabotage {\n        default $arg_tenant;\n        '' %ju;\n    }\n",
                    (uintmax_t) stage->tenants[0]);
    return server_edit(stage, map, "server_name id.acme.localhost;\n        ssl_certificate",
                       "        location / {\n",
                       "        location / {\n            proxy_set_header X-Masugata-Tenant $sabotage;\n");
}

struct mg_status
repair_tenant_from_query(struct mg_stage *stage)
{
    return mg_stage_nginx_restore(stage);
}

/* Tenant 1's application shows tenant 2's page to whoever asks with ?tenant=2. */
struct mg_status
break_application_obeys_query(struct mg_stage *stage)
{
    char to[512];
    (void) snprintf(to, sizeof to,
                    "        location / {\n"
                    "            if ($arg_tenant = %ju) {\n"
                    "                return 200 \"notes of another customer\\n\";\n"
                    "            }\n",
                    (uintmax_t) stage->tenants[1]);
    return server_edit(stage, "", "server_name acme.localhost;\n        ssl_certificate",
                       "        location / {\n", to);
}

struct mg_status
repair_application_obeys_query(struct mg_stage *stage)
{
    return mg_stage_nginx_restore(stage);
}

/* ---- IDENTITY_04 ---- */

/* Nobody of a customer has a second factor that counts, so none is asked for. */
struct mg_status
break_factors_do_not_count(struct mg_stage *stage)
{
    return mg_stage_control_sql(
        stage, "CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
               " IF EXISTS (SELECT 1 FROM account a WHERE a.id = NEW.account AND a.tenant <> 0) THEN"
               " NEW.confirmed_at := NULL; END IF; RETURN NEW; END$$;"
               "CREATE TRIGGER sabotage BEFORE INSERT ON factor FOR EACH ROW EXECUTE FUNCTION sabotage()");
}

struct mg_status
repair_factors_do_not_count(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage, "DROP TRIGGER sabotage ON factor; DROP FUNCTION sabotage();"
                                       "DELETE FROM factor WHERE confirmed_at IS NULL");
}

/* A code that was used comes back. */
struct mg_status
break_code_comes_back(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage,
                                "CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS"
                                " $$BEGIN INSERT INTO recovery_code VALUES (OLD.account, OLD.code_hash)"
                                " ON CONFLICT DO NOTHING; RETURN NULL; END$$;"
                                "CREATE TRIGGER sabotage AFTER DELETE ON recovery_code"
                                " FOR EACH ROW EXECUTE FUNCTION sabotage()");
}

struct mg_status
repair_code_comes_back(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage, "DROP TRIGGER sabotage ON recovery_code; DROP FUNCTION sabotage();"
                                       "DELETE FROM recovery_code");
}

/* Every passkey has the key that everybody knows: the generator of P-256, whose private key is 1. */
struct mg_status
break_passkeys_are_anybodys(struct mg_stage *stage)
{
    return mg_stage_control_sql(
        stage,
        "CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.kind = 'passkey' THEN"
        " NEW.public_key := '\\x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5'; NEW.algorithm := -7; END IF; RETURN NEW;"
        " END$$; CREATE TRIGGER sabotage BEFORE INSERT ON factor FOR EACH ROW EXECUTE FUNCTION sabotage()");
}

struct mg_status
repair_passkeys_are_anybodys(struct mg_stage *stage)
{
    return mg_stage_control_sql(stage, "DROP TRIGGER sabotage ON factor; DROP FUNCTION sabotage();"
                                       "DELETE FROM factor WHERE kind = 'passkey'");
}
