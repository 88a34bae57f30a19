/* masugata tenant export: everything that is kept of a tenant. Its database is read from a copy restored
 * beside the live one as of now: one moment for the dump and every table, nothing of the live database slowed
 * or locked, and a login that only reads. The live one must serve: "now" is saved first. What Masugata itself
 * keeps is what its own subcommands show. The manifest comes last, and a record in the audit log holds its
 * digest. */
#include "cli/tenant_export.h"
#include "cli/audit.h"
#include "cli/backup.h"
#include "ports/crypto.h"
#include "ports/database.h"
#include "ports/postgres_instance.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pwd.h>
#include <unistd.h>

enum { STATEMENT_MS = 24 * 3600 * 1000, ROOM_SPARE = 64 << 20 };

/* ---- the database ---- */

struct copy {
    char host[512], database[64], user[64];
    struct mg_buffer environment; /* PGPASSWORD=… */
    struct mg_view password;      /* in it */
    mg_instant target, reached;
    uint64_t tables, rows, unlogged;
};

static void
copy_drop(struct copy *copy)
{
    mg_buffer_drop(&copy->environment);
}

static CHECKED struct mg_status
copy_find(const struct mg_cli *cli, struct mg_admin *admin, const char *tenant, struct copy *copy)
{
    static const char variable[] = "PGPASSWORD=";
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_restore_show reply;
    TRY(mg_admin_restore_show(admin, &(struct mg_request_restore_show){.tenant = mg_view_text(tenant)},
                              &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(tenant)));
    if (!reply.there)
        return fail_with(NOT_FOUND, "no restored copy of %s", tenant);
    TRY(mg_view_copy(reply.socket, copy->host, sizeof copy->host));
    TRY(mg_view_copy(reply.database, copy->database, sizeof copy->database));
    TRY(mg_view_copy(reply.user, copy->user, sizeof copy->user));
    TRY(mg_buffer_add_text(&copy->environment, variable));
    TRY(mg_buffer_add(&copy->environment, reply.password));
    const struct mg_view whole = mg_buffer_view(&copy->environment);
    copy->password = mg_view_of(whole.bytes + strlen(variable), whole.length - strlen(variable));
    copy->target = reply.target;
    copy->reached = reply.reached;
    return OK;
}

/* As whom pg_dump runs: what it reads was written by a tenant, so never as root. */
static CHECKED struct mg_status
reader_find(struct mg_program *program)
{
    program->uid = MG_SAME_UID;
    program->gid = MG_SAME_GID;
    if (geteuid() != 0)
        return OK;
    errno = 0;
    const struct passwd *user = getpwnam("masugata-db");
    if (user == NULL)
        return fail_with(NOT_FOUND, "the system user masugata-db");
    program->uid = user->pw_uid;
    program->gid = user->pw_gid;
    return OK;
}

static CHECKED struct mg_status
dump(struct mg_export *export, const struct copy *copy, struct mg_view snapshot_id)
{
    char snapshot[128] = "--snapshot=";
    TRY(mg_view_copy(snapshot_id, snapshot + strlen(snapshot), sizeof snapshot - strlen(snapshot)));
    const char *const arguments[] = {mg_instance_dump_program(),
                                     "--format=custom",
                                     "--no-privileges", /* the roles are this deployment's */
                                     "--no-password",
                                     snapshot,
                                     "--host",
                                     copy->host,
                                     "--username",
                                     copy->user,
                                     copy->database,
                                     NULL};
    const char *const environment[] = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "TZ=UTC",
                                       mg_buffer_text(&copy->environment), NULL};
    struct mg_program program = {.arguments = arguments, .environment = environment};
    TRY(reader_find(&program));
    return mg_export_program(export, "database.dump", &program, ",\"format\":\"pg_dump custom\"");
}

/* tables/0001-public-note.csv: names are the tenant's, and may hold anything; the manifest has them as they
 * are. */
static CHECKED struct mg_status
table_name(uint64_t number, struct mg_view schema, struct mg_view table, char name[160])
{
    OWN_BUFFER(text, 4096);
    TRY(mg_buffer_add(&text, mg_view_start(schema, 40)));
    TRY(mg_buffer_add_byte(&text, '-'));
    TRY(mg_buffer_add(&text, mg_view_start(table, 60)));
    for (size_t i = 0; i < text.length; i++) {
        const uint8_t byte = text.bytes[i];
        if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9')))
            text.bytes[i] = byte == '-' ? '-' : '_';
    }
    (void) snprintf(name, 160, "tables/%04" PRIu64 "-%s.csv", number, mg_buffer_text(&text));
    return OK;
}

static CHECKED struct mg_status
table_write(struct mg_export *export, struct copy *copy, struct mg_database *database,
            const struct mg_rows *tables, size_t at)
{
    char name[160];
    uint64_t count = 0;
    OWN_FD fd = -1;
    OWN_BUFFER(sql, 1024);
    OWN_BUFFER(facts, 4096);
    const struct mg_view schema = mg_rows_text(tables, at, 0), table = mg_rows_text(tables, at, 1),
                         quoted = mg_rows_text(tables, at, 2);
    const bool unlogged = mg_rows_flag(tables, at, 3);
    TRY(table_name(at + 1, schema, table, name));
    TRY(mg_export_file(export, name, &fd));
    TRY(mg_buffer_format(&sql, "COPY %.*s TO STDOUT (FORMAT csv, HEADER, ENCODING 'UTF8')",
                         (int) quoted.length, (const char *) quoted.bytes));
    TRY(mg_database_copy_out(database, mg_buffer_text(&sql), fd, &count));
    TRY(mg_buffer_add_text(&facts, ",\"schema\":"));
    TRY(mg_buffer_add_json_string(&facts, schema));
    TRY(mg_buffer_add_text(&facts, ",\"table\":"));
    TRY(mg_buffer_add_json_string(&facts, table));
    TRY(mg_buffer_format(&facts, ",\"rows\":%" PRIu64 "%s", count, unlogged ? ",\"unlogged\":true" : ""));
    copy->tables++;
    copy->rows += count;
    copy->unlogged += unlogged ? 1 : 0;
    return mg_export_add(export, name, fd, mg_buffer_text(&facts));
}

static CHECKED struct mg_status
database_write(struct mg_export *export, struct copy *copy)
{
    OWN(database) database = NULL;
    OWN(rows) snapshot = NULL;
    OWN(rows) tables = NULL;
    const struct mg_database_address address = {.host = copy->host,
                                                .database = copy->database,
                                                .user = copy->user,
                                                .password = copy->password,
                                                .statement_ms = STATEMENT_MS,
                                                .catalogue_only = true};
    TRY(mg_database_open(&address, &database));
    TRY(mg_query(database, NULL, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
    TRY(mg_query(database, &snapshot, "SELECT pg_export_snapshot()"));
    TRY(dump(export, copy, mg_rows_text(snapshot, 0, 0)));
    TRY(mg_query(database, &tables,
                 "SELECT n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), c.relpersistence = 'u'"
                 " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                 " WHERE c.relkind = 'r' AND c.relpersistence <> 't'"
                 " AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2"));
    for (size_t i = 0; i < mg_rows_count(tables); i++)
        TRY(table_write(export, copy, database, tables, i));
    return mg_query(database, NULL, "COMMIT");
}

/* ---- what Masugata keeps ---- */

/* One file for each element of a list that was just written: `words` with its name in place of NAME. */
static CHECKED struct mg_status
each_write(struct mg_export *export, const char *list, const char *key, const char *stem,
           const char *const *words, const char **place)
{
    char path[MG_PATH];
    struct mg_status status = OK;
    TRY(mg_path_join(path, export->directory, list));
    json_t *document = json_load_file(path, 0, NULL);
    const json_t *rows = json_object_get(document, key);
    for (size_t i = 0; mg_ok(status) && i < json_array_size(rows); i++) {
        char name[64];
        (void) snprintf(name, sizeof name, "masugata/%s-%04zu.json", stem, i + 1);
        *place = json_string_value(json_object_get(json_array_get(rows, i), "name"));
        if (*place != NULL)
            status = mg_export_command(export, name, words);
    }
    const bool readable = rows != NULL;
    json_decref(document);
    if (!mg_ok(status))
        return status;
    return readable ? OK : fail_with(MALFORMED, "%s", list);
}

static CHECKED struct mg_status
settings_write(struct mg_export *export)
{
    const char *const tenant = export->tenant;
    const struct {
        const char *name, *words[6];
    } files[] = {
        {"masugata/tenant.json", {"tenant", "show", tenant}},
        {"masugata/policy.json", {"tenant", "policy", tenant}},
        {"masugata/users.json", {"user", "list", "--tenant", tenant}},
        {"masugata/groups.json", {"group", "list", "--tenant", tenant}},
        {"masugata/roles.json", {"role", "list", "--tenant", tenant}},
        {"masugata/providers.json", {"idp", "list", tenant}},
        {"masugata/service-accounts.json", {"token", "accounts", "--tenant", tenant}},
        {"masugata/tokens.json", {"token", "list", "--tenant", tenant}},
        {"masugata/sessions.json", {"session", "list", "--tenant", tenant}},
        {"masugata/log.ocsf.jsonl", {"audit", "export", "--tenant", tenant}},
    };
    for (size_t i = 0; i < MG_COUNT(files); i++)
        TRY(mg_export_command(export, files[i].name, files[i].words));
    const char *members[] = {"group", "members", NULL, "--tenant", tenant, NULL};
    TRY(each_write(export, "masugata/groups.json", "groups", "group", members, &members[2]));
    const char *provider[] = {"idp", "show", tenant, NULL, NULL};
    return each_write(export, "masugata/providers.json", "providers", "provider", provider, &provider[3]);
}

/* The proof of each entry of the tenant's log, a line each, as `audit verify --proof` takes it. */
static CHECKED struct mg_status
proofs_write(struct mg_export *export, struct mg_admin *admin)
{
    OWN_FD fd = -1;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_audit_events reply;
    struct mg_request_audit_events request = {
        .tenant = mg_view_text(export->tenant), .limit = 500, .oldest_first = true};
    uint64_t end = UINT64_MAX;
    TRY(mg_export_file(export, "masugata/log.proofs.jsonl", &fd));
    do {
        bool more = true;
        TRY(mg_admin_audit_events(admin, &request, &reply, &storage));
        TRY(mg_cli_outcome(export->cli, reply.outcome, request.tenant));
        if (end == UINT64_MAX)
            end = reply.size;
        for (;;) {
            struct mg_record_audit_entry entry;
            OWN_BUFFER(proof, MG_AUDIT_PROOF_MOST);
            TRY(mg_list_next_audit_entry(&reply.entries, &entry, &more));
            if (!more)
                break;
            TRY(mg_audit_proof_document(admin, entry.index, &proof));
            TRY(mg_fd_write_all(fd, mg_buffer_view(&proof)));
        }
        request.from = reply.next;
    } while (reply.more && request.from < end);
    return mg_export_add(export, "masugata/log.proofs.jsonl", fd, "");
}

/* ---- the manifest ---- */

static CHECKED struct mg_status
manifest_make(const struct mg_export *export, const struct copy *copy, uint64_t number,
              struct mg_buffer *json)
{
    char moment[MG_INSTANT_TEXT], reached[MG_INSTANT_TEXT] = "";
    mg_instant_text(copy->target, moment);
    if (copy->reached != 0)
        mg_instant_text(copy->reached, reached);
    TRY(mg_buffer_format(json,
                         "{\"format\":\"masugata export 1\",\"tenant\":\"%s\",\"number\":%" PRIu64
                         ",\"moment\":\"%s\",\"last_change\":%s%s%s,\"database\":\"%s\",\"tables\":%" PRIu64
                         ",\"rows\":%" PRIu64 ",\"unlogged_tables\":%" PRIu64 ",\"files\":[",
                         export->tenant, number, moment, reached[0] != '\0' ? "\"" : "",
                         reached[0] != '\0' ? reached : "null", reached[0] != '\0' ? "\"" : "",
                         copy->database, copy->tables, copy->rows, copy->unlogged));
    TRY(mg_buffer_add(json, mg_buffer_view(export->files)));
    return mg_buffer_add_text(json, "]}\n");
}

static CHECKED struct mg_status
record(const struct mg_cli *cli, struct mg_admin *admin, const char *tenant, struct mg_view hash,
       uint64_t *ret_number)
{
    OWN_BUFFER(storage, 1024);
    struct mg_reply_tenant_export reply;
    const struct mg_request_tenant_export request = {.tenant = mg_view_text(tenant), .manifest = hash};
    TRY(mg_admin_tenant_export(admin, &request, &reply, &storage));
    *ret_number = reply.tenant;
    return mg_cli_outcome(cli, reply.outcome, mg_view_text(tenant));
}

/* The proof of the record that has this digest: signed with the log's key, it stands for the manifest. */
static CHECKED struct mg_status
manifest_prove(const struct mg_export *export, struct mg_admin *admin, struct mg_view hash)
{
    char hex[2 * MG_HASH_BYTES + 1];
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(proof, MG_AUDIT_PROOF_MOST);
    struct mg_reply_audit_events reply;
    const struct mg_request_audit_events request = {
        .tenant = mg_view_text(export->tenant), .event = mg_view_text("tenant_export"), .limit = 8};
    mg_hex(hash, hex);
    TRY(mg_admin_audit_events(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(export->cli, reply.outcome, request.tenant));
    for (bool more = true;;) {
        struct mg_record_audit_entry entry;
        TRY(mg_list_next_audit_entry(&reply.entries, &entry, &more));
        if (!more)
            return fail_with(NOT_FOUND, "the record of this export in the audit log");
        if (memmem(entry.event.bytes, entry.event.length, hex, strlen(hex)) == NULL)
            continue;
        TRY(mg_audit_proof_document(admin, entry.index, &proof));
        return mg_export_last(export, "manifest.proof.json", mg_buffer_view(&proof));
    }
}

/* ---- all of it ---- */

/* A dump takes about what the database takes, and so do its tables as text; the newest backup says how much.
 */
static CHECKED struct mg_status
room_check(const struct mg_cli *cli, struct mg_admin *admin, const struct mg_export *export)
{
    uint64_t bytes = 0, from = 0;
    for (bool more = true; more;) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_backup_list reply;
        const struct mg_request_backup_list request = {.tenant = mg_view_text(export->tenant), .from = from};
        TRY(mg_admin_backup_list(admin, &request, &reply, &storage));
        TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(export->tenant)));
        for (bool another = true;;) {
            struct mg_record_backup_entry entry;
            TRY(mg_list_next_backup_entry(&reply.backups, &entry, &another));
            if (!another)
                break;
            bytes = entry.database_bytes;
        }
        more = reply.more && reply.next > from;
        from = reply.next;
    }
    return mg_export_room(export, 2 * bytes + ROOM_SPARE);
}

static CHECKED struct mg_status
order(const struct mg_cli *cli, struct mg_admin *admin, const char *tenant, uint64_t what, mg_instant target)
{
    uint64_t number = 0;
    char result[512];
    TRY(mg_cli_backup_order(cli, admin, tenant, what, target, &number));
    return mg_cli_backup_await(cli, admin, tenant, number, result);
}

/* Between making the copy and ending it. */
static CHECKED struct mg_status
contents_write(struct mg_export *export, struct mg_admin *admin, struct copy *copy)
{
    TRY(copy_find(export->cli, admin, export->tenant, copy));
    TRY(database_write(export, copy));
    TRY(settings_write(export));
    return proofs_write(export, admin);
}

static CHECKED struct mg_status
export_make(struct mg_export *export, struct mg_admin *admin, struct copy *copy)
{
    uint64_t number = 0;
    uint8_t hash[MG_HASH_BYTES];
    OWN_BUFFER(manifest, (size_t) 64 << 20);
    TRY(room_check(export->cli, admin, export));
    TRY(record(export->cli, admin, export->tenant, MG_VIEW_EMPTY, &number));
    TRY(order(export->cli, admin, export->tenant, MG_BACKUP_ORDER_RESTORE, mg_now()));
    const struct mg_status written = contents_write(export, admin, copy);
    char detail[512];
    (void) snprintf(detail, sizeof detail, "%s", written.detail);
    const struct mg_status ended = order(export->cli, admin, export->tenant, MG_BACKUP_ORDER_DISCARD, 0);
    if (!mg_ok(written))
        return mg_fail_with(written.code, written.where, "%s", detail);
    TRY(ended);
    TRY(manifest_make(export, copy, number, &manifest));
    TRY(mg_sha256(mg_buffer_view(&manifest), hash));
    TRY(record(export->cli, admin, export->tenant, mg_view_of(hash, sizeof hash), &number));
    TRY(manifest_prove(export, admin, mg_view_of(hash, sizeof hash)));
    return mg_export_last(export, "manifest.json", mg_buffer_view(&manifest));
}

struct mg_status
mg_cli_tenant_export(const struct mg_cli *cli, struct mg_admin *admin, const char *directory)
{
    MG_CLEANUP(copy_drop) struct copy copy = {.environment = {.maximum = 4096}};
    OWN_BUFFER(files, (size_t) 48 << 20);
    bool made = false;
    OWN_FD fd = -1;
    char place[32];
    if (directory == NULL)
        return fail_with(USAGE, "tenant export needs --to DIRECTORY");
    TRY(mg_export_begin(directory, &made, &fd));
    (void) snprintf(place, sizeof place, "/proc/self/fd/%d", fd);
    struct mg_export export = {
        .cli = cli, .directory = place, .shown = directory, .tenant = cli->argv[2], .files = &files};
    const struct mg_status status = export_make(&export, admin, &copy);
    if (!mg_ok(status)) {
        char detail[512];
        (void) snprintf(detail, sizeof detail, "%s", status.detail);
        mg_export_discard(place, made ? directory : NULL);
        return mg_fail_with(status.code, status.where, "%s", detail);
    }
    if (copy.unlogged != 0)
        (void) fprintf(
            stderr, "%s\n",
            mg_cli_say(cli,
                       "UNLOGGED tables are in no backup and so are empty in this export; the manifest "
                       "marks them.",
                       "UNLOGGED のテーブルはバックアップに含まれないため、このエクスポートでは空です "
                       "(マニフェストに印があります)。"));
    mg_cli_done(
        cli, "Exported. manifest.json names every file, manifest.proof.json proves it.",
        "エクスポートしました。全ファイルは manifest.json に、その証明は manifest.proof.json にあります。",
        "rows", copy.rows);
    return OK;
}
