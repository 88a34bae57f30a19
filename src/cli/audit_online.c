/* masugata audit search, tail, proof, export: asks the running system. */
#include "base/io.h"
#include "base/time.h"
#include "cli/audit.h"
#include "domain/outcome.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#define TAIL_PAUSE_US 500000

/* ---- asking ---- */

struct mg_status
mg_audit_time_read(const char *text, int64_t *ret_time)
{
    int64_t age;
    *ret_time = 0;
    if (text == NULL)
        return OK;
    if (mg_ok(mg_duration_parse(mg_view_text(text), &age))) {
        *ret_time = mg_now() - age;
        return OK;
    }
    return mg_instant_parse(mg_view_text(text), ret_time);
}

static CHECKED struct mg_status
request_make(const struct mg_cli *cli, const struct mg_audit_options *options,
             struct mg_request_audit_events *request)
{
    if (cli->argc > 3)
        return fail_with(USAGE, "one TEXT at most; quote it if it has spaces");
    *request = (struct mg_request_audit_events){
        .all_tenants = options->tenant == NULL,
        .tenant = mg_view_text(options->tenant),
        .event = mg_view_text(options->event),
        .actor = mg_view_text(options->actor),
        .text = mg_view_text(cli->argc > 2 ? cli->argv[2] : NULL),
        .limit = 50,
    };
    TRY(mg_audit_time_read(options->since, &request->since));
    TRY(mg_audit_time_read(options->until, &request->until));
    if (options->class_uid != NULL)
        TRY(mg_parse_u64(mg_view_text(options->class_uid), 9999, &request->class_uid));
    if (options->limit != NULL)
        TRY(mg_parse_u64(mg_view_text(options->limit), 1000000, &request->limit));
    return OK;
}

static CHECKED struct mg_status
ask(struct mg_admin *admin, const struct mg_request_audit_events *request,
    struct mg_reply_audit_events *reply, struct mg_buffer *storage)
{
    TRY(mg_admin_audit_events(admin, request, reply, storage));
    if (reply->outcome != MG_GRANTED)
        return fail_with(REFUSED, "%s", mg_outcome_text(reply->outcome, 0));
    return OK;
}

/* ---- showing ---- */

static CHECKED struct mg_status
row_add(const struct mg_cli *cli, struct mg_cli_table *table, const struct mg_record_audit_entry *entry)
{
    char number[24];
    struct mg_audit_summary summary;
    TRY(mg_audit_summary_read(entry->event, cli->japanese, &summary));
    (void) snprintf(number, sizeof number, "%" PRIu64, entry->index);
    const char *cells[] = {number,          summary.time,   summary.event,  summary.outcome, summary.actor,
                           summary.address, summary.tenant, summary.target, summary.reason};
    for (size_t i = 0; i < MG_COUNT(cells); i++)
        TRY(mg_cli_table_cell(table, mg_view_text(cells[i])));
    return OK;
}

static const char *const titles_en[] = {"ENTRY",   "TIME",   "EVENT",  "OUTCOME", "ACTOR",
                                        "ADDRESS", "TENANT", "TARGET", "REASON"};
static const char *const titles_ja[] = {"番号",     "時刻",     "イベント", "結果", "実行者",
                                        "アドレス", "テナント", "対象",     "理由"};

/* Shows what a request finds, page by page, until `limit` entries; leaves where it stopped in
 * request->from. */
static CHECKED struct mg_status
show(const struct mg_cli *cli, struct mg_admin *admin, struct mg_request_audit_events *request)
{
    OWN(cli_table) table = NULL;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    TRY(mg_cli_table_new(MG_COUNT(titles_en), cli->japanese ? titles_ja : titles_en, &table));
    uint64_t left = request->limit, shown = 0;
    for (bool more = true; more && left > 0;) {
        struct mg_reply_audit_events reply;
        request->limit = left < 500 ? left : 500;
        TRY(ask(admin, request, &reply, &storage));
        for (bool further = true;;) {
            struct mg_record_audit_entry entry;
            TRY(mg_list_next_audit_entry(&reply.entries, &entry, &further));
            if (!further)
                break;
            OWN_BUFFER(line, 131072);
            if (cli->json) {
                TRY(mg_audit_format_add(MG_FORMAT_OCSF, entry.index, entry.event, cli->japanese, &line));
                (void) fputs(mg_buffer_text(&line), stdout);
            } else
                TRY(row_add(cli, table, &entry));
            left--;
            shown++;
        }
        request->from = reply.next;
        more = reply.more;
    }
    if (!cli->json && shown > 0)
        mg_cli_table_print(table, stdout);
    (void) fflush(stdout);
    return OK;
}

int
mg_audit_search(const struct mg_cli *cli, const struct mg_audit_options *options)
{
    OWN(admin) admin = NULL;
    struct mg_request_audit_events request;
    struct mg_status status = request_make(cli, options, &request);
    if (mg_ok(status))
        status = mg_admin_open(cli, &admin);
    if (mg_ok(status))
        status = show(cli, admin, &request);
    return mg_ok(status) ? 0 : mg_cli_fail(cli, status);
}

static CHECKED struct mg_status
tail(const struct mg_cli *cli, const struct mg_audit_options *options)
{
    OWN(admin) admin = NULL;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_request_audit_events request;
    struct mg_reply_audit_events reply;
    TRY(request_make(cli, options, &request));
    TRY(mg_admin_open(cli, &admin));
    /* Where the last `limit` entries begin: one look from the end, then forward from there. */
    const uint64_t limit = request.limit < 500 ? request.limit : 500;
    request.limit = limit;
    TRY(ask(admin, &request, &reply, &storage));
    request.from = reply.next;
    request.oldest_first = true;
    const uint64_t size = reply.size;
    TRY(show(cli, admin, &request));
    if (request.from < size)
        request.from = size;
    while (options->follow) {
        (void) usleep(TAIL_PAUSE_US);
        request.limit = 500;
        TRY(show(cli, admin, &request));
    }
    return OK;
}

int
mg_audit_tail(const struct mg_cli *cli, const struct mg_audit_options *options)
{
    const struct mg_status status = tail(cli, options);
    return mg_ok(status) ? 0 : mg_cli_fail(cli, status);
}

/* ---- proof ---- */

static CHECKED struct mg_status
file_put(const char *directory, const char *name, struct mg_view bytes, mode_t mode)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, name));
    return mg_file_replace(path, bytes, mode);
}

/* What `audit verify --proof` reads. */
static CHECKED struct mg_status
proof_document(uint64_t index, const struct mg_reply_audit_evidence *evidence, struct mg_buffer *json)
{
    TRY(mg_buffer_format(json, "{\"entry\":%" PRIu64 ",\"proof\":", index));
    TRY(mg_buffer_add_json_string(json, evidence->proof));
    TRY(mg_buffer_add_text(json, ",\"leaf\":\""));
    TRY(mg_base64(evidence->leaf, json));
    TRY(mg_buffer_add_text(json, "\",\"key\":\""));
    TRY(mg_base64(evidence->entry_key, json));
    TRY(mg_buffer_add_text(json, "\",\"log\":"));
    TRY(mg_buffer_add_json_string(json, evidence->log));
    return mg_buffer_add_text(json, "}\n");
}

struct mg_status
mg_audit_proof_document(struct mg_admin *admin, uint64_t index, struct mg_buffer *json)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_audit_evidence reply;
    TRY(mg_admin_audit_evidence(admin, &(struct mg_request_audit_evidence){.index = index}, &reply,
                                &storage));
    if (reply.outcome != MG_GRANTED)
        return fail_with(REFUSED, "%s", mg_outcome_text(reply.outcome, 0));
    return proof_document(index, &reply, json);
}

static CHECKED struct mg_status
proof(const struct mg_cli *cli, const struct mg_audit_options *options)
{
    OWN(admin) admin = NULL;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_request_audit_evidence request = {0};
    struct mg_reply_audit_evidence reply;
    if (cli->argc != 3)
        return fail_with(USAGE, "audit proof NUMBER");
    TRY(mg_parse_u64(mg_view_text(cli->argv[2]), INT64_MAX, &request.index));
    TRY(mg_admin_open(cli, &admin));
    TRY(mg_admin_audit_evidence(admin, &request, &reply, &storage));
    if (reply.outcome != MG_GRANTED)
        return fail_with(REFUSED, "%s", mg_outcome_text(reply.outcome, 0));
    if (options->output != NULL) {
        char key[65] = "";
        if (reply.entry_key.length == 32)
            mg_hex(reply.entry_key, key);
        TRY(mg_directory_make(options->output, 0700));
        TRY(file_put(options->output, "entry.tlog-proof", reply.proof, 0644));
        TRY(file_put(options->output, "entry.leaf", reply.leaf, 0644));
        TRY(file_put(options->output, "entry.key", mg_view_text(key), 0600));
        return OK;
    }
    if (cli->json) {
        OWN_BUFFER(json, MG_AUDIT_PROOF_MOST);
        TRY(proof_document(request.index, &reply, &json));
        (void) fputs(mg_buffer_text(&json), stdout);
    } else
        (void) fwrite(reply.proof.bytes, 1, reply.proof.length, stdout);
    return OK;
}

int
mg_audit_proof(const struct mg_cli *cli, const struct mg_audit_options *options)
{
    const struct mg_status status = proof(cli, options);
    return mg_ok(status) ? 0 : mg_cli_fail(cli, status);
}

/* ---- export ---- */

static CHECKED struct mg_status
export_page(const struct mg_cli *cli, const struct mg_reply_audit_events *reply, enum mg_audit_format format,
            FILE *out)
{
    struct mg_list entries = reply->entries;
    for (bool more = true;;) {
        struct mg_record_audit_entry entry;
        OWN_BUFFER(line, 131072);
        TRY(mg_list_next_audit_entry(&entries, &entry, &more));
        if (!more)
            return OK;
        TRY(mg_audit_format_add(format, entry.index, entry.event, cli->japanese, &line));
        if (fwrite(line.bytes, 1, line.length, out) != line.length)
            return fail_errno("write the export");
    }
}

static CHECKED struct mg_status
export_run(const struct mg_cli *cli, const struct mg_audit_options *options, FILE *out)
{
    OWN(admin) admin = NULL;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    enum mg_audit_format format;
    struct mg_request_audit_events request;
    struct mg_reply_audit_events reply;
    TRY(mg_audit_format_find(options->format, &format));
    TRY(request_make(cli, options, &request));
    TRY(mg_admin_open(cli, &admin));
    request.oldest_first = request.exporting = true;
    uint64_t end = UINT64_MAX; /* as large as the log was at the start, so that it ends */
    do {
        request.limit = 500;
        TRY(ask(admin, &request, &reply, &storage));
        if (end == UINT64_MAX)
            end = reply.size;
        TRY(export_page(cli, &reply, format, out));
        request.from = reply.next;
        request.exporting = false; /* recorded once */
    } while (reply.more && request.from < end);
    return fflush(out) == 0 ? OK : fail_errno("write the export");
}

int
mg_audit_export(const struct mg_cli *cli, const struct mg_audit_options *options)
{
    FILE *out = stdout;
    if (options->output != NULL) {
        const int fd = open(options->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        out = fd < 0 ? NULL : fdopen(fd, "w");
        if (out == NULL)
            return mg_cli_fail(cli, fail_errno("open %s", options->output));
    }
    struct mg_status status = export_run(cli, options, out);
    if (out != stdout && fclose(out) != 0 && mg_ok(status))
        status = fail_errno("write %s", options->output);
    return mg_ok(status) ? 0 : mg_cli_fail(cli, status);
}
