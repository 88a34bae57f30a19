/* masugata audit verify --proof: one entry, offline, from what the console or `audit proof --json` gave. */
#include "base/io.h"
#include "cli/audit.h"
#include "ports/log_proof.h"

#include <inttypes.h>

static CHECKED struct mg_status
check(const struct mg_audit_options *options, struct mg_log_proof *proof)
{
    struct mg_vkey key;
    OWN_BUFFER(document, MG_LOG_PROOF_MOST);
    OWN_BUFFER(text, 4096);
    if (options->log != NULL || options->checkpoint != NULL || options->remember != NULL ||
        options->witness != NULL)
        return fail_with(USAGE, "--proof takes --key alone: it looks at one entry, and not at a log");
    TRY(mg_file_read(options->proof, &document));
    if (options->key == NULL)
        return mg_log_proof_check(mg_buffer_view(&document), NULL, proof);
    TRY(mg_file_read(options->key, &text));
    TRY(mg_vkey_parse(mg_buffer_view(&text), &key));
    return mg_log_proof_check(mg_buffer_view(&document), &key, proof);
}

static CHECKED struct mg_status
json_print(const struct mg_log_proof *proof)
{
    OWN_BUFFER(json, 2 * MG_LOG_PROOF_MOST);
    TRY(mg_buffer_format(&json,
                         "{\"ok\":true,\"entry\":%" PRIu64 ",\"size\":%" PRIu64 ",\"key_given\":%s,\"log\":",
                         proof->index, proof->size, proof->own_key ? "false" : "true"));
    TRY(mg_buffer_add_json_string(&json, mg_view_text(proof->log)));
    TRY(mg_buffer_add_text(&json, ",\"event\":"));
    TRY(proof->open ? mg_buffer_add(&json, mg_buffer_view(&proof->event))
                    : mg_buffer_add_text(&json, "null"));
    (void) printf("%s}\n", mg_buffer_text(&json));
    return OK;
}

static void
text_print(const struct mg_cli *cli, const struct mg_log_proof *proof)
{
    (void) printf(mg_cli_say(cli, "sound: entry %" PRIu64 " is in the signed log of %" PRIu64 " entries\n",
                             "異常なし: 記録 %" PRIu64 " は、署名された %" PRIu64
                             " 件のログに含まれています\n"),
                  proof->index, proof->size);
    (void) printf("%s %s\n", mg_cli_say(cli, "signed by", "署名鍵:"), proof->log);
    if (proof->own_key)
        (void) puts(mg_cli_say(
            cli, "the key came with the proof: compare it with the one you know, or name that with --key",
            "この鍵は証明に付属していたものです。既知の鍵と比べるか、--key で指定してください"));
    if (proof->open)
        (void) printf("%s\n", mg_buffer_text(&proof->event));
    else
        (void) puts(mg_cli_say(cli,
                               "the entry can no longer be read: its key was destroyed after audit.retention",
                               "この記録はもう読めません: audit.retention の経過後に鍵が破棄されています"));
}

int
mg_audit_proof_verify(const struct mg_cli *cli, const struct mg_audit_options *options)
{
    MG_CLEANUP(mg_log_proof_drop) struct mg_log_proof proof = {.index = 0};
    struct mg_status status = check(options, &proof);
    if (status.code == MG_INTEGRITY || status.code == MG_MALFORMED) {
        if (cli->json)
            (void) puts("{\"ok\":false}");
        (void) fprintf(stderr, "%s: %s\n", mg_cli_say(cli, "NOT SOUND", "異常あり"), status.detail);
        return 1;
    }
    if (mg_ok(status) && cli->json)
        status = json_print(&proof);
    if (!mg_ok(status))
        return mg_cli_fail(cli, status);
    if (!cli->json)
        text_print(cli, &proof);
    return 0;
}
