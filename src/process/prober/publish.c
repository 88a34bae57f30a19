/* What the pages show. The public one (trust.json) has verdict, since when and how old the look is;
 * reasons (controls.json) are for the operators' page only, because they would tell an attacker where
 * to look. */
#include "base/io.h"
#include "process/prober/prober.h"
#include "process/prober/responsibility.h"

#include <stdio.h>

static CHECKED struct mg_status
entry_json(enum mg_control control, mg_instant now, bool reasons, struct mg_buffer *json)
{
    const struct mg_control_row *row = mg_control_row(control);
    const struct mg_ledger_entry entry = mg_ledger_entry(control);
    char at[MG_INSTANT_TEXT], since[MG_INSTANT_TEXT];
    mg_instant_text(entry.finding.at, at);
    mg_instant_text(entry.since, since);
    TRY(mg_buffer_format(json, "{\"id\":\"%s\",\"verdict\":\"%s\",\"since\":\"%s\",\"at\":\"%s\"", row->id,
                         mg_verdict_name(mg_finding_verdict_at(control, &entry.finding, now)), since, at));
    if (reasons) {
        TRY(mg_buffer_add_text(json, ",\"reason\":"));
        TRY(mg_buffer_add_json_string(json, mg_view_text(entry.finding.reason_en)));
        TRY(mg_buffer_add_text(json, ",\"reason_ja\":"));
        TRY(mg_buffer_add_json_string(json, mg_view_text(entry.finding.reason_ja)));
    }
    return mg_buffer_add_byte(json, '}');
}

/* The page looks at `at` by itself, so that it shows "stale" also when the prober is gone. */
static CHECKED struct mg_status
findings_publish(const char *path, mg_instant now, bool reasons)
{
    char made_at[MG_INSTANT_TEXT];
    OWN_BUFFER(json, 1u << 20);
    mg_instant_text(now, made_at);
    TRY(mg_buffer_format(&json, "{\"at\":\"%s\",\"controls\":[", made_at));
    const char *between = "\n";
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        if (!mg_control_row((enum mg_control) i)->built)
            continue;
        TRY(mg_buffer_add_text(&json, between));
        TRY(entry_json((enum mg_control) i, now, reasons, &json));
        between = ",\n";
    }
    TRY(mg_buffer_add_text(&json, "]}\n"));
    return mg_file_replace(path, mg_buffer_view(&json), 0644);
}

struct mg_status
mg_trust_publish(const char *runtime_directory, mg_instant now)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, runtime_directory, "proof/trust.json"));
    TRY(findings_publish(path, now, false));
    TRY(mg_path_join(path, runtime_directory, "proof/controls.json"));
    return findings_publish(path, now, true);
}

struct mg_status
mg_responsibility_publish(const char *runtime_directory)
{
    char path[MG_PATH];
    OWN_BUFFER(json, 1u << 20);
    TRY(mg_path_join(path, runtime_directory, "proof/responsibility.json"));
    TRY(mg_responsibility_json(&json));
    return mg_file_replace(path, mg_buffer_view(&json), 0644);
}
