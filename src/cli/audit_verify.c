/* masugata audit verify: offline, on a log or a copy of one. */
#include "base/io.h"
#include "base/time.h"
#include "cli/audit.h"
#include "ports/log_tiles.h"
#include "ports/log_verify.h"
#include "ports/witness.h"

#include <inttypes.h>
#include <unistd.h>

static CHECKED struct mg_status
vkey_read(const char *path, enum mg_note_key_type type, struct mg_vkey *ret_key)
{
    OWN_BUFFER(text, 4096);
    TRY(mg_file_read(path, &text));
    const struct mg_status status = mg_vkey_parse(mg_buffer_view(&text), ret_key);
    if (!mg_ok(status))
        return fail_with(INVALID, "%s: %s", path, status.detail);
    if (ret_key->type != type)
        return fail_with(INVALID, "%s: a key of another kind", path);
    return OK;
}

/* --log and --key, or those of --dir. */
static CHECKED struct mg_status
paths_find(const struct mg_cli *cli, const struct mg_audit_options *options, char log[MG_PATH],
           char key[MG_PATH])
{
    if (cli->argc > 2)
        return fail_with(USAGE, "audit verify takes no %s", cli->argv[2]);
    if ((options->log == NULL) != (options->key == NULL))
        return fail_with(USAGE, "--log and --key belong together");
    if (options->log == NULL) {
        TRY(mg_path_join(log, cli->directory, "audit/log"));
        return mg_path_join(key, cli->directory, "audit/log.vkey");
    }
    TRY(mg_view_copy(mg_view_text(options->log), log, MG_PATH));
    return mg_view_copy(mg_view_text(options->key), key, MG_PATH);
}

static const char *
rollback_name(enum mg_log_rollback rollback)
{
    static const char *const names[] = {
        [MG_ROLLBACK_NOT_EXCLUDED] = "not excluded",
        [MG_ROLLBACK_EXCLUDED] = "excluded",
        [MG_ROLLBACK_DETECTED] = "detected",
    };
    return names[rollback];
}

/* What the list beside the log says of months whose keys were destroyed. It is not signed: it explains, and
 * proves nothing. */
struct erased {
    uint64_t entries, months;
};

static void
erased_read(const char *log, struct erased *erased)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 16u << 20);
    *erased = (struct erased){0};
    if (!mg_ok(mg_path_join(path, log, "../erased")) || !mg_ok(mg_file_read(path, &text)))
        return;
    for (const char *line = mg_buffer_text(&text), *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        uint64_t entries = 0;
        const char *field = line;
        for (unsigned i = 0; i < 2 && field != NULL && field < end; i++) {
            field = memchr(field, ' ', (size_t) (end - field));
            field = field == NULL ? NULL : field + 1;
        }
        const char *after = field == NULL || field >= end ? NULL : memchr(field, ' ', (size_t) (end - field));
        if (after != NULL &&
            mg_ok(mg_parse_u64(mg_view_of(field, (size_t) (after - field)), INT64_MAX, &entries))) {
            erased->entries += entries;
            erased->months++;
        }
    }
}

static CHECKED struct mg_status
json_print(const struct mg_log_report *report, const struct erased *erased)
{
    char root[2 * MG_HASH + 1];
    OWN_BUFFER(json, 65536);
    mg_hex(mg_view_of(report->root.bytes, MG_HASH), root);
    TRY(mg_buffer_format(&json,
                         "{\"ok\":%s,\"size\":%" PRIu64 ",\"root\":\"%s\",\"entries_checked\":%" PRIu64
                         ",\"rollback\":\"%s\",\"remembered_size\":%" PRIu64 ",\"witnessed_at\":%" PRIu64
                         ",\"erased_entries\":%" PRIu64 ",\"erased_months\":%" PRIu64
                         ",\"findings_not_listed\":%zu,\"findings\":[",
                         report->count == 0 ? "true" : "false", report->size, root, report->checked,
                         rollback_name(report->rollback), report->remembered, report->witnessed_s,
                         erased->entries, erased->months, report->not_listed));
    for (size_t i = 0; i < report->count; i++) {
        const struct mg_log_finding *finding = &report->findings[i];
        const struct mg_log_finding_row *row = mg_log_finding_row(finding->kind);
        TRY(mg_buffer_format(&json, "%s{\"finding\":\"%s\",\"index\":", i == 0 ? "" : ",", row->name));
        if (finding->index == UINT64_MAX)
            TRY(mg_buffer_add_text(&json, "null"));
        else
            TRY(mg_buffer_format(&json, "%" PRIu64, finding->index));
        TRY(mg_buffer_add_text(&json, ",\"place\":"));
        TRY(mg_buffer_add_json_string(&json, mg_view_text(finding->place)));
        TRY(mg_buffer_format(&json, ",\"en\":\"%s\",\"ja\":\"%s\"}", row->en, row->ja));
    }
    (void) printf("%s]}\n", mg_buffer_text(&json));
    return OK;
}

static void
rollback_print(const struct mg_cli *cli, const struct mg_log_report *report)
{
    if (report->rollback == MG_ROLLBACK_NOT_EXCLUDED)
        (void) puts(mg_cli_say(
            cli, "roll-back not excluded: give a --checkpoint kept from earlier or from a witness",
            "roll-back not excluded (巻き戻しは否定できません): --checkpoint に以前の控えか立会人のものを指定してください"));
    else if (report->rollback == MG_ROLLBACK_EXCLUDED)
        (void) printf(mg_cli_say(cli,
                                 "no roll-back: the log continues the remembered checkpoint of %" PRIu64
                                 " entries\n",
                                 "巻き戻しなし: 控えのチェックポイント (%" PRIu64 " 件) に続くログです\n"),
                      report->remembered);
    if (report->witnessed_s != 0) {
        char text[MG_INSTANT_TEXT];
        mg_instant_text((mg_instant) report->witnessed_s * 1000, text);
        (void) printf("%s %s\n", mg_cli_say(cli, "witnessed at", "立会人の署名時刻:"), text);
    }
}

static void
erased_print(const struct mg_cli *cli, const struct erased *erased)
{
    if (erased->months != 0)
        (void) printf(
            mg_cli_say(cli,
                       "%" PRIu64 " entries can be verified but no longer be read: the keys of %" PRIu64
                       " months of tenants were destroyed after audit.retention\n",
                       "%" PRIu64
                       " 件は検証できますが、もう読めません: audit.retention の経過後に、延べ %" PRIu64
                       " か月分の鍵を破棄しました\n"),
            erased->entries, erased->months);
}

static void
text_print(const struct mg_cli *cli, const struct mg_log_report *report, const struct erased *erased)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct mg_log_finding *finding = &report->findings[i];
        const struct mg_log_finding_row *row = mg_log_finding_row(finding->kind);
        (void) printf("%s: %s: %s\n", row->name, mg_cli_say(cli, row->en, row->ja), finding->place);
    }
    if (report->not_listed != 0)
        (void) printf(mg_cli_say(cli, "... and %zu more\n", "... ほか %zu 件\n"), report->not_listed);
    if (report->count == 0)
        (void) printf(mg_cli_say(cli, "sound: %" PRIu64 " entries, all tiles and the signature match\n",
                                 "異常なし: %" PRIu64 " 件の記録、全タイル、署名が一致しました\n"),
                      report->checked);
    else
        (void) printf(mg_cli_say(cli, "NOT SOUND: %" PRIu64 " of %" PRIu64 " entries read\n",
                                 "異常あり: %2$" PRIu64 " 件中 %1$" PRIu64 " 件を読みました\n"),
                      report->checked, report->size);
    erased_print(cli, erased);
    rollback_print(cli, report);
}

static CHECKED struct mg_status
verify(const struct mg_cli *cli, const struct mg_audit_options *options, struct mg_log_report *report,
       struct erased *erased)
{
    char log[MG_PATH], key_path[MG_PATH];
    char own_checkpoint[MG_PATH], own_vkey[MG_PATH];
    struct mg_vkey key, witness;
    OWN_BUFFER(remembered, MG_NOTE_MOST);
    const char *checkpoint = options->checkpoint, *witness_path = options->witness;
    TRY(paths_find(cli, options, log, key_path));
    TRY(mg_path_join(own_checkpoint, cli->directory, "witness/checkpoint"));
    TRY(mg_path_join(own_vkey, cli->directory, "witness/witness.vkey"));
    if (options->log == NULL && checkpoint == NULL && access(own_checkpoint, R_OK) == 0) {
        /* A deployment has a witness under a uid of its own. */
        checkpoint = own_checkpoint;
        witness_path = own_vkey;
    }
    TRY(vkey_read(key_path, MG_NOTE_ED25519, &key));
    if (witness_path != NULL)
        TRY(vkey_read(witness_path, MG_NOTE_COSIGNATURE, &witness));
    if (checkpoint != NULL)
        TRY(mg_file_read(checkpoint, &remembered));
    const struct mg_log_trust trust = {.log = &key,
                                       .witness = witness_path != NULL ? &witness : NULL,
                                       .remembered = mg_buffer_view(&remembered)};
    TRY(mg_log_verify(log, &trust, report));
    erased_read(log, erased);
    if (options->remember == NULL || report->count != 0)
        return OK;
    OWN_BUFFER(note, MG_CHECKPOINT_MOST);
    TRY(mg_log_checkpoint_read(log, &note));
    return mg_file_replace(options->remember, mg_buffer_view(&note), 0644);
}

int
mg_audit_verify(const struct mg_cli *cli, const struct mg_audit_options *options)
{
    static struct mg_log_report report;
    if (options->proof != NULL)
        return mg_audit_proof_verify(cli, options);
    struct erased erased = {0};
    struct mg_status status = verify(cli, options, &report, &erased);
    if (mg_ok(status) && cli->json)
        status = json_print(&report, &erased);
    if (!mg_ok(status))
        return mg_cli_fail(cli, status);
    if (!cli->json)
        text_print(cli, &report, &erased);
    return report.count == 0 ? 0 : 1;
}

static CHECKED struct mg_status
witness_look(const struct mg_cli *cli, const struct mg_audit_options *options,
             struct mg_witness_result *result)
{
    char log[MG_PATH], key_path[MG_PATH];
    struct mg_vkey key;
    if (options->state == NULL)
        return fail_with(USAGE, "--state DIR is where the witness keeps its key and its last checkpoint");
    TRY(paths_find(cli, options, log, key_path));
    TRY(vkey_read(key_path, MG_NOTE_ED25519, &key));
    return mg_witness_look(options->state, log, &key, (uint64_t) (mg_now() / 1000), result);
}

int
mg_audit_witness(const struct mg_cli *cli, const struct mg_audit_options *options)
{
    struct mg_witness_result result;
    const struct mg_status status = witness_look(cli, options, &result);
    if (!mg_ok(status))
        return mg_cli_fail(cli, status);
    if (cli->json) {
        OWN_BUFFER(json, 2048);
        if (mg_ok(mg_buffer_format(&json, "{\"cosigned\":%s,\"size\":%" PRIu64 ",\"refused\":",
                                   result.cosigned ? "true" : "false", result.size)) &&
            mg_ok(mg_buffer_add_json_string(&json, mg_view_text(result.refused))))
            (void) printf("%s}\n", mg_buffer_text(&json));
    } else if (result.refused[0] != '\0')
        (void) printf("%s: %s\n", mg_cli_say(cli, "NOT cosigned", "副署名しません"), result.refused);
    else
        (void) printf(
            result.cosigned
                ? mg_cli_say(cli, "cosigned: %" PRIu64 " entries\n", "副署名しました: %" PRIu64 " 件\n")
                : mg_cli_say(cli, "nothing new: %" PRIu64 " entries\n", "変化なし: %" PRIu64 " 件\n"),
            result.size);
    return result.refused[0] != '\0' ? 1 : 0;
}
