/* Probes of the tenants' databases: who is kept apart from whom, by what, and who may log in. */
#include "base/io.h"
#include "probes/instances.h"
#include "probes/probe.h"
#include "probes/visitor.h"
#include "wire/options.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INSTANCES_MOST = 2000, ANSWER_MOST = 65536 };

void
mg_instances_drop(struct mg_instances *instances)
{
    free(instances->rows);
}

struct mg_status
mg_instances_look(struct mg_observer *observer, struct mg_instances *instances)
{
    instances->rows = calloc(INSTANCES_MOST, sizeof *instances->rows);
    if (instances->rows == NULL)
        return fail(OUT_OF_MEMORY);
    return observer->ops->instances(observer, instances->rows, INSTANCES_MOST, &instances->count);
}

static const struct mg_observed_instance *
instance_of(const struct mg_instances *instances, uint64_t tenant)
{
    for (size_t i = 0; i < instances->count; i++)
        if (instances->rows[i].tenant == tenant)
            return &instances->rows[i];
    return NULL;
}

/* The answer to a question whose answer is one word. */
static CHECKED struct mg_status
ask_word(struct mg_observer *observer, const char *instance, const char *sql, char word[256])
{
    OWN_BUFFER(rows, ANSWER_MOST);
    TRY(observer->ops->database_ask(observer, instance, sql, &rows));
    const char *text = mg_buffer_text(&rows);
    return mg_view_copy(mg_view_of(text, strcspn(text, "\n")), word, 256);
}

/* Breaks when the question lists anything; the first line goes into the evidence. */
static CHECKED struct mg_status
must_be_empty(struct mg_observer *observer, const char *instance, const char *sql, struct mg_finding *finding,
              const char *en, const char *ja)
{
    char word[256];
    TRY(ask_word(observer, instance, sql, word));
    if (word[0] == '\0')
        return OK;
    mg_finding_break(finding, instance, en, ja);
    mg_finding_note(finding, "%s: %s", instance, word);
    return OK;
}

/* ---- each active tenant with its instance ---- */

struct subject {
    struct mg_observer *observer;
    const struct mg_observed_tenant *tenant;
    const struct mg_observed_instance *instance;
    const struct mg_instances *all;
    struct mg_finding *finding;
};

static CHECKED struct mg_status
each_tenant(struct mg_observer *observer, struct mg_finding *finding,
            struct mg_status (*look)(const struct subject *subject))
{
    OWN_INSTANCES(instances);
    TRY(mg_instances_look(observer, &instances));
    mg_finding_expect(finding, 0, "tenants", "テナント");
    for (size_t i = 0; i < observer->tenant_count; i++) {
        const struct mg_observed_tenant *tenant = &observer->tenants[i];
        if (!tenant->active)
            continue;
        finding->total++;
        const struct subject subject = {
            .observer = observer,
            .tenant = tenant,
            .instance = instance_of(&instances, tenant->number),
            .all = &instances,
            .finding = finding,
        };
        if (subject.instance == NULL) {
            mg_finding_break(finding, tenant->name, "it has no database instance",
                             "DB インスタンスがありません");
            mg_finding_cover(finding);
            continue;
        }
        TRY(look(&subject));
        mg_finding_cover(finding);
    }
    return OK;
}

/* Another tenant's instance; NULL if there is only one tenant. */
static const struct mg_observed_instance *
neighbour_of(const struct subject *subject)
{
    const size_t at = (size_t) (subject->instance - subject->all->rows);
    for (size_t step = 1; step < subject->all->count; step++) {
        const struct mg_observed_instance *other = &subject->all->rows[(at + step) % subject->all->count];
        if (other->tenant != 0)
            return other;
    }
    return NULL;
}

/* The credentials of one instance open no other. */
static CHECKED struct mg_status
neighbour_refuses(const struct subject *subject)
{
    const struct mg_observed_instance *other = neighbour_of(subject);
    enum mg_entry entry = MG_ENTRY_UNREACHABLE;
    if (other == NULL)
        return OK;
    static const char *const users[] = {"masugata_probe", "app_a", "app_b", "masugata_super"};
    for (size_t i = 0; i < MG_COUNT(users); i++) {
        TRY(subject->observer->ops->database_enter(subject->observer, other, subject->instance->name,
                                                   users[i], &entry));
        if (entry == MG_ENTRY_UNREACHABLE)
            return fail_with(UNAVAILABLE, "%s does not answer", other->name);
        if (entry == MG_ENTRY_GRANTED) {
            mg_finding_break(subject->finding, subject->tenant->name,
                             "its credentials open another customer's database",
                             "認証情報で別のお客様のデータベースが開けます");
            mg_finding_note(subject->finding, "%s with the password of %s opens %s", users[i],
                            subject->instance->name, other->name);
            return OK;
        }
    }
    return OK;
}

/* ---- TENANCY_01: the gate, the credentials file, the database ---- */

/* A session of this tenant means nothing on a host of the other. */
static CHECKED struct mg_status
gate_keeps_apart(const struct subject *subject)
{
    const struct mg_observer *observer = subject->observer;
    const struct mg_observed_tenant *other = NULL;
    for (size_t i = 0; i < observer->tenant_count && other == NULL; i++)
        if (observer->tenants[i].active && observer->tenants[i].number != subject->tenant->number)
            other = &observer->tenants[i];
    if (other == NULL)
        return OK;
    OWN_FETCHED(answer);
    OWN_FETCHED(elsewhere);
    OWN_VISITOR(visitor, subject->observer);
    TRY(mg_visitor_enter(&visitor, subject->tenant, &answer));
    const char *cookie = mg_visitor_cookie(&visitor, subject->tenant->app_host, "__Host-masugata");
    if (cookie == NULL)
        return fail_with(REFUSED, "no session on %s", subject->tenant->app_host);
    char header[1200];
    (void) snprintf(header, sizeof header, "Cookie: __Host-masugata=%s\r\nAccept: application/json\r\n",
                    cookie);
    const struct mg_fetch request = {.host = other->app_host, .path = "/", .headers = header};
    TRY(observer->ops->fetch(subject->observer, &request, &elsewhere));
    if (!mg_answer_keeps_out(&elsewhere)) {
        mg_finding_break(subject->finding, subject->tenant->name,
                         "its session is accepted on another customer's host",
                         "セッションが別のお客様のホストで通用します");
        mg_finding_note(subject->finding, "%s answered %u", other->app_host, elsewhere.status);
    }
    return OK;
}

/* Owner and mode of the file that holds a tenant's database password. */
static CHECKED struct mg_status
credentials_stat(const struct mg_observer *observer, uint64_t tenant, struct stat *ret_found)
{
    char path[MG_PATH];
    if (snprintf(path, sizeof path, "%s/app/%ju/database.json", observer->runtime_directory,
                 (uintmax_t) tenant) >= MG_PATH)
        return fail(TOO_LARGE);
    return lstat(path, ret_found) == 0 ? OK : fail_errno("credentials of tenant %ju", (uintmax_t) tenant);
}

/* Only the app's own uid reads it, and no two customers' apps have the same. */
static CHECKED struct mg_status
credentials_are_private(const struct subject *subject)
{
    struct stat own, other;
    TRY(credentials_stat(subject->observer, subject->tenant->number, &own));
    if (!S_ISREG(own.st_mode) || (own.st_mode & 07777) != 0400)
        mg_finding_break(subject->finding, subject->tenant->name, "others may read its database credentials",
                         "DB 認証情報を他者が読み取れます");
    if (own.st_uid == getuid())
        mg_finding_break(subject->finding, subject->tenant->name,
                         "single uid: its application is not kept apart from us",
                         "単一 uid のため、アプリケーションが分離されていません");
    for (size_t i = 0; i < subject->all->count; i++) {
        const uint64_t tenant = subject->all->rows[i].tenant;
        if (tenant == 0 || tenant == subject->tenant->number ||
            !mg_ok(credentials_stat(subject->observer, tenant, &other)))
            continue;
        if (other.st_uid == own.st_uid && own.st_uid != getuid())
            mg_finding_break(subject->finding, subject->tenant->name,
                             "it shares its uid with another customer's application",
                             "別のお客様のアプリケーションと uid を共有しています");
    }
    return OK;
}

static CHECKED struct mg_status
layers_look(const struct subject *subject)
{
    TRY(gate_keeps_apart(subject));
    TRY(credentials_are_private(subject));
    return neighbour_refuses(subject);
}

struct mg_status
mg_probe_TENANCY_01(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "front door, credentials, databases";
    return each_tenant(observer, finding, layers_look);
}

/* ---- TENANCY_03: a database apart, and nobody else in it ---- */

/* Whoever may connect besides the tenant's own roles; 0 is PUBLIC. */
static const char connect_sql[] =
    "SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END"
    " FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) g"
    " WHERE d.datname = 'app' AND g.privilege_type = 'CONNECT' AND (g.grantee = 0 OR"
    " g.grantee::regrole::text NOT IN ('app_owner', 'app_a', 'app_b', 'masugata_probe')) LIMIT 1";
static const char public_sql[] =
    "SELECT n.nspname::text FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) g"
    " WHERE n.nspname = 'public' AND g.grantee = 0 LIMIT 1";
static const char members_sql[] =
    "SELECT m.member::regrole::text FROM pg_auth_members m WHERE m.roleid = 'app_owner'::regrole"
    " AND m.member::regrole::text NOT IN ('app_a', 'app_b') LIMIT 1";

static CHECKED struct mg_status
database_is_apart(const struct subject *subject)
{
    const char *name = subject->instance->name;
    TRY(must_be_empty(subject->observer, name, connect_sql, subject->finding,
                      "somebody else may connect to it", "ほかのロールが接続できます"));
    TRY(must_be_empty(subject->observer, name, public_sql, subject->finding, "everybody may use its schema",
                      "誰でもスキーマを使えます"));
    TRY(must_be_empty(subject->observer, name, members_sql, subject->finding,
                      "another role belongs to its owner", "ほかのロールが所有者に属しています"));
    return neighbour_refuses(subject);
}

struct mg_status
mg_probe_TENANCY_03(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "databases";
    return each_tenant(observer, finding, database_is_apart);
}

/* ---- TENANCY_04: an instance of its own ---- */

static const char databases_sql[] =
    "SELECT datname::text FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1', 'app') LIMIT 1";
static const char elsewhere_sql[] =
    "SELECT spcname::text FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') LIMIT 1";

static CHECKED struct mg_status
instance_is_own(const struct subject *subject)
{
    char identifier[256], name[256], directory[256], expected[MG_PATH];
    const char *instance = subject->instance->name;
    TRY(ask_word(subject->observer, instance, "SELECT system_identifier::text FROM pg_control_system()",
                 identifier));
    TRY(ask_word(subject->observer, instance, "SELECT current_setting('cluster_name')", name));
    TRY(ask_word(subject->observer, instance, "SELECT current_setting('data_directory')", directory));
    if (snprintf(expected, sizeof expected, "%s/postgres/%s/data", subject->observer->directory, instance) >=
        MG_PATH)
        return fail(TOO_LARGE);
    if (strcmp(name, instance) != 0 || strcmp(directory, expected) != 0 ||
        strcmp(identifier, subject->instance->system_identifier) != 0)
        mg_finding_break(subject->finding, subject->tenant->name,
                         "it is served by another instance than its own",
                         "専用ではないインスタンスが応答しています");
    for (size_t i = 0; i < subject->all->count; i++)
        if (&subject->all->rows[i] != subject->instance &&
            strcmp(subject->all->rows[i].system_identifier, identifier) == 0)
            mg_finding_break(subject->finding, subject->tenant->name, "it shares its instance",
                             "インスタンスを共有しています");
    TRY(must_be_empty(subject->observer, instance, databases_sql, subject->finding,
                      "its instance holds another database", "インスタンスに別のデータベースがあります"));
    return must_be_empty(subject->observer, instance, elsewhere_sql, subject->finding,
                         "its data is placed outside its own directory",
                         "データが専用の場所の外に置かれています");
}

struct mg_status
mg_probe_TENANCY_04(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "worker, databases";
    return each_tenant(observer, finding, instance_is_own);
}

/* ---- PRIVILEGED_16: each login is one service, its password restricted and young ---- */

static const char tenant_logins_sql[] =
    "SELECT rolname::text FROM pg_roles WHERE rolcanlogin AND rolname NOT IN"
    " ('app_a', 'app_b', 'masugata_probe', 'masugata_backup', 'masugata_super') LIMIT 1";
static const char control_logins_sql[] =
    "SELECT rolname::text FROM pg_roles WHERE rolcanlogin AND rolname NOT IN ('masugata_authority',"
    " 'masugata_prober', 'masugata_backup', 'masugata_super') LIMIT 1";
static const char superusers_sql[] =
    "SELECT rolname::text FROM pg_roles WHERE (rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls)"
    " AND rolname <> 'masugata_super' LIMIT 1";
/* A password that never ends, or lasts longer than the promised sixty days. */
static const char endless_sql[] =
    "SELECT rolname::text FROM pg_roles WHERE rolcanlogin AND rolname IN ('app_a', 'app_b')"
    " AND (rolvaliduntil IS NULL OR rolvaliduntil > now() + interval '60 days 1 hour') LIMIT 1";

static CHECKED struct mg_status
logins_are_single(struct mg_observer *observer, const struct mg_observed_instance *instance,
                  struct mg_finding *finding)
{
    TRY(must_be_empty(
        observer, instance->name, instance->tenant != 0 ? tenant_logins_sql : control_logins_sql, finding,
        "a login that belongs to no service of ours", "どのサービスにも属さない接続アカウントがあります"));
    TRY(must_be_empty(observer, instance->name, superusers_sql, finding,
                      "a second role has privileges over all others", "ほかのロールに特権があります"));
    if (instance->tenant == 0)
        return OK;
    TRY(must_be_empty(observer, instance->name, endless_sql, finding,
                      "a password that does not end in 60 days",
                      "60 日以内に失効しないパスワードがあります"));
    const int64_t age_ms = mg_now() - instance->rotated_at;
    /* A minute for the rotation itself. */
    if (instance->rotated_at == 0 || age_ms > observer->options->credentials_rotation + 60000)
        mg_finding_break(finding, instance->name, "its password was not replaced in time",
                         "パスワードが期限内に更新されていません");
    return OK;
}

struct mg_status
mg_probe_PRIVILEGED_16(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "databases";
    OWN_INSTANCES(instances);
    TRY(mg_instances_look(observer, &instances));
    mg_finding_expect(finding, instances.count, "database instances", "DB インスタンス");
    for (size_t i = 0; i < instances.count; i++) {
        TRY(logins_are_single(observer, &instances.rows[i], finding));
        mg_finding_cover(finding);
    }
    return OK;
}

/* ---- NETWORK_04: who reaches a database at all, and how it authenticates ---- */

static const char listening_sql[] =
    "SELECT name || '=' || setting FROM pg_settings WHERE (name = 'listen_addresses' AND setting <> '')"
    " OR (name = 'password_encryption' AND setting <> 'scram-sha-256') LIMIT 1";
/* Every line names one role over a unix socket and asks for SCRAM, or refuses. */
static const char rules_sql[] =
    "SELECT line_number::text || ' ' || coalesce(type, '') || ' ' || coalesce(auth_method, '?') FROM pg_hba_file_rules"
    " WHERE error IS NOT NULL OR (auth_method <> 'reject' AND (auth_method <> 'scram-sha-256' OR type <> 'local'"
    " OR user_name = '{all}')) LIMIT 1";
static const char last_rule_sql[] =
    "SELECT CASE WHEN count(*) FILTER (WHERE auth_method = 'reject' AND user_name = '{all}' AND type = 'local') > 0"
    " AND count(*) FILTER (WHERE auth_method = 'reject' AND user_name = '{all}' AND type = 'host') > 0"
    " THEN '' ELSE 'no final reject' END FROM pg_hba_file_rules";

/* Nobody but owner and group passes through the socket's directory. */
static CHECKED struct mg_status
socket_is_guarded(const char *name, const char *path, struct mg_finding *finding)
{
    struct stat found;
    if (lstat(path, &found) != 0)
        return fail_errno("socket directory of %s", name);
    if (!S_ISDIR(found.st_mode) || (found.st_mode & 07) != 0 || (found.st_mode & 020) != 0)
        mg_finding_break(finding, name, "anybody on the machine reaches its socket",
                         "誰でもソケットに到達できます");
    return OK;
}

static CHECKED struct mg_status
strangers_are_refused(struct mg_observer *observer, const struct mg_observed_instance *instance,
                      struct mg_finding *finding)
{
    static const char *const users[] = {"postgres", "app_a", "app_owner", "masugata_authority",
                                        "masugata_super"};
    for (size_t i = 0; i < MG_COUNT(users); i++) {
        enum mg_entry entry = MG_ENTRY_UNREACHABLE;
        TRY(observer->ops->database_enter(observer, instance, NULL, users[i], &entry));
        if (entry == MG_ENTRY_UNREACHABLE)
            return fail_with(UNAVAILABLE, "%s does not answer", instance->name);
        if (entry == MG_ENTRY_GRANTED)
            mg_finding_break(finding, instance->name, "somebody gets in without a password",
                             "パスワードなしで接続できます");
    }
    return OK;
}

static CHECKED struct mg_status
zone_is_closed(struct mg_observer *observer, const struct mg_observed_instance *instance,
               struct mg_finding *finding)
{
    char path[MG_PATH];
    TRY(must_be_empty(observer, instance->name, listening_sql, finding, "it listens on the network",
                      "ネットワークで待ち受けています"));
    TRY(must_be_empty(observer, instance->name, rules_sql, finding, "a rule lets in by something weaker",
                      "弱い方法で接続を許す規則があります"));
    TRY(must_be_empty(observer, instance->name, last_rule_sql, finding, "its rules do not end in a refusal",
                      "規則の最後が拒否ではありません"));
    TRY(socket_is_guarded(instance->name, instance->host, finding));
    if (instance->tenant != 0) {
        if (snprintf(path, sizeof path, "%s/app/%ju/database", observer->runtime_directory,
                     (uintmax_t) instance->tenant) >= MG_PATH)
            return fail(TOO_LARGE);
        TRY(socket_is_guarded(instance->name, path, finding));
    }
    return strangers_are_refused(observer, instance, finding);
}

struct mg_status
mg_probe_NETWORK_04(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "databases, sockets";
    OWN_INSTANCES(instances);
    TRY(mg_instances_look(observer, &instances));
    mg_finding_expect(finding, instances.count, "database instances", "DB インスタンス");
    for (size_t i = 0; i < instances.count; i++) {
        TRY(zone_is_closed(observer, &instances.rows[i], finding));
        mg_finding_cover(finding);
    }
    return OK;
}

/* ---- DATA_02: no secret in readable form ---- */

/* Tables of the control database with their text columns as one text each: a stored hash, a private key
 * or a bearer token would show. */
static const char tables_sql[] =
    "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 1";

static CHECKED struct mg_status
table_is_clean(struct mg_observer *observer, const char *table, struct mg_finding *finding)
{
    char sql[1024], word[256];
    /* bytea shows as hexadecimal in a row's text, so the patterns are looked for in that form too. */
    if (snprintf(
            sql, sizeof sql,
            "SELECT count(*)::text FROM %s t WHERE t::text ~ '(\\$argon2(id|i|d)\\$|\\$2[abxy]\\$|\\$y\\$|\\$6\\$|"
            "BEGIN [A-Z ]*PRIVATE KEY|SCRAM-SHA-256\\$)' OR t::text ~ '(246172676f6e32|243262|24326224|2d2d2d424547494e)'",
            table) >= (int) sizeof sql)
        return fail(TOO_LARGE);
    TRY(ask_word(observer, "control", sql, word));
    if (strcmp(word, "0") != 0) {
        mg_finding_break(finding, table, "a secret lies in readable form in the control database",
                         "管理データベースに読み取れる形の秘密情報があります");
        mg_finding_note(finding, "%s: %s rows", table, word);
    }
    return OK;
}

static CHECKED struct mg_status
tables_are_clean(struct mg_observer *observer, struct mg_finding *finding)
{
    OWN_BUFFER(tables, ANSWER_MOST);
    TRY(observer->ops->database_ask(observer, "control", tables_sql, &tables));
    for (const char *at = mg_buffer_text(&tables); *at != '\0'; at += strcspn(at, "\n") + 1) {
        char table[128];
        TRY(mg_view_copy(mg_view_of(at, strcspn(at, "\n")), table, sizeof table));
        if (strspn(table, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(table))
            return fail_with(INVALID, "table %s", table);
        finding->total++;
        TRY(table_is_clean(observer, table, finding));
        mg_finding_cover(finding);
    }
    return OK;
}

/* A private key on disk in clear; those on tmpfs are nginx's to use. */
static CHECKED struct mg_status
file_is_clean(const char *directory, const char *name, struct mg_finding *finding)
{
    static const char mark[] = "PRIVATE KEY-----";
    char path[MG_PATH];
    OWN_BUFFER(text, 1 << 20);
    TRY(mg_path_join(path, directory, name));
    const struct mg_status status = mg_file_read(path, &text);
    if (status.code == MG_SYSTEM && errno == EACCES)
        return OK; /* not even we may read it */
    if (status.code == MG_NOT_FOUND)
        return OK; /* a file that was being replaced: its successor is looked at under its own name */
    TRY(status);
    if (text.length != 0 && memmem(text.bytes, text.length, mark, sizeof mark - 1) != NULL)
        mg_finding_break(finding, name, "a private key lies on disk in clear",
                         "秘密鍵が平文でディスクにあります");
    return OK;
}

static void
directory_close(DIR **directory)
{
    if (*directory != NULL)
        (void) closedir(*directory);
}

static CHECKED struct mg_status
directory_is_clean(const struct mg_observer *observer, const char *name, struct mg_finding *finding)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, observer->directory, name));
    MG_CLEANUP(directory_close) DIR *directory = opendir(path);
    if (directory == NULL)
        return fail_errno("look into %s", path);
    finding->total++;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_type == DT_REG)
            TRY(file_is_clean(path, entry->d_name, finding));
    mg_finding_cover(finding);
    return OK;
}

/* What others hold must be closed to us: the keystore and the worker's sealed passwords. */
static CHECKED struct mg_status
directory_is_closed(const struct mg_observer *observer, const char *name, struct mg_finding *finding)
{
    char path[MG_PATH];
    struct stat found;
    TRY(mg_path_join(path, observer->directory, name));
    if (lstat(path, &found) != 0)
        return fail_errno("look at %s", path);
    finding->total++;
    if (!S_ISDIR(found.st_mode) || (found.st_mode & 077) != 0)
        mg_finding_break(finding, name, "others may look into it", "他者が読み取れます");
    mg_finding_cover(finding);
    return OK;
}

/* A password that was just used is in no log. */
static CHECKED struct mg_status
logs_are_clean(struct mg_observer *observer, struct mg_finding *finding)
{
    struct mg_canary_account account;
    uint64_t files = 0, hits = 0;
    const struct mg_observed_tenant *tenant = NULL;
    for (size_t i = 0; i < observer->tenant_count && tenant == NULL; i++)
        if (observer->tenants[i].active)
            tenant = &observer->tenants[i];
    if (tenant == NULL)
        return OK;
    TRY(observer->ops->canary(observer, tenant->number, MG_CANARY_SIGN_IN, &account));
    TRY(observer->ops->logs_search(observer, account.password, &files, &hits));
    finding->total++;
    if (hits != 0)
        mg_finding_break(finding, "log", "a password is in a log", "ログにパスワードが記録されています");
    mg_finding_note(finding, "%ju log files", (uintmax_t) files);
    mg_finding_cover(finding);
    return OK;
}

struct mg_status
mg_probe_DATA_02(struct mg_observer *observer, struct mg_finding *finding)
{
    static const char *const open_directories[] = {"tls", "nginx", "proof"};
    static const char *const closed_directories[] = {"keystore", "worker"};
    finding->source = "control database, files, logs";
    mg_finding_expect(finding, 0, "tables and places", "表と場所");
    TRY(tables_are_clean(observer, finding));
    for (size_t i = 0; i < MG_COUNT(open_directories); i++)
        TRY(directory_is_clean(observer, open_directories[i], finding));
    for (size_t i = 0; i < MG_COUNT(closed_directories); i++)
        TRY(directory_is_closed(observer, closed_directories[i], finding));
    return logs_are_clean(observer, finding);
}
