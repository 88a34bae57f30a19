#include "base/io.h"
#include "base/log.h"
#include "process/prober/prober.h"
#include "wire/events.h"

#include <pthread.h>
#include <stdio.h>

enum { AUDIT_MS = 5000, RETRY_MS = 60000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mg_ledger_entry entries[MG_CONTROL_COUNT];
static char proof_directory[MG_PATH];

static CHECKED struct mg_status
path_of(enum mg_control control, char path[MG_PATH])
{
    char name[64];
    (void) snprintf(name, sizeof name, "%s.json", mg_control_row(control)->id);
    return mg_path_join(path, proof_directory, name);
}

static CHECKED struct mg_status
entry_read(enum mg_control control, struct mg_ledger_entry *ret_entry)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 65536);
    TRY(path_of(control, path));
    TRY(mg_file_read(path, &text));
    return mg_ledger_decode(mg_buffer_view(&text), ret_entry);
}

void
mg_ledger_load(const char *directory)
{
    mg_must(mg_ok(mg_path_join(proof_directory, directory, "proof")));
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const enum mg_control control = (enum mg_control) i;
        if (!mg_control_row(control)->built)
            continue;
        const struct mg_status status = entry_read(control, &entries[i]);
        if (!mg_ok(status) && status.code != MG_NOT_FOUND)
            mg_log_status(MG_WARNING, mg_control_row(control)->id, status);
    }
}

/* ---- recording ---- */

static CHECKED struct mg_status
add_detail(struct mg_buffer *list, const char *key, const char *value)
{
    const struct mg_record_audit_detail record = {.key = mg_view_text(key), .value = mg_view_text(value)};
    return mg_list_add_audit_detail(list, &record);
}

static enum mg_event
event_of(enum mg_verdict before, enum mg_verdict now)
{
    if (now == MG_BROKEN)
        return MG_EVENT_control_broken;
    if (now == MG_HOLDS && before == MG_BROKEN)
        return MG_EVENT_control_restored;
    return MG_EVENT_control_verdict;
}

static CHECKED struct mg_status
audit(enum mg_control control, const struct mg_finding *finding, enum mg_verdict before)
{
    OWN_BUFFER(details, 4096);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    char cover[64];
    (void) snprintf(cover, sizeof cover, "%ju/%ju", (uintmax_t) finding->covered, (uintmax_t) finding->total);
    TRY(add_detail(&details, "verdict", mg_verdict_name(finding->verdict)));
    TRY(add_detail(&details, "covered", cover));
    TRY(add_detail(&details, "digest", finding->digest));
    const struct mg_request_audit_append request = {
        .event = event_of(before, finding->verdict),
        .actor_kind = MG_ACTOR_PROCESS,
        .actor_id = mg_view_text("prober"),
        .target = mg_view_text(mg_control_row(control)->id),
        .outcome = finding->verdict == MG_UNKNOWN ? MG_AUDIT_UNKNOWN : MG_AUDIT_SUCCESS,
        .reason = mg_view_text(finding->reason_en),
        .details = {.bytes = mg_buffer_view(&details)},
    };
    struct mg_reply_audit_append reply;
    return mg_call_audit_append(&request, &reply, &storage, AUDIT_MS);
}

static CHECKED struct mg_status
entry_write(enum mg_control control, const struct mg_ledger_entry *entry)
{
    char path[MG_PATH], since[MG_INSTANT_TEXT];
    OWN_BUFFER(json, 65536);
    mg_instant_text(entry->since, since);
    TRY(path_of(control, path));
    TRY(mg_finding_json(control, &entry->finding, &json));
    /* The finding's object ends in "}\n": `since` belongs to the ledger, so it is put in here. */
    json.length -= 2;
    TRY(mg_buffer_format(&json, ",\"since\":\"%s\"}\n", since));
    return mg_file_replace(path, mg_buffer_view(&json), 0644);
}

static void
make_unrecorded(struct mg_finding *finding, struct mg_status status)
{
    finding->verdict = MG_UNKNOWN;
    (void) snprintf(finding->reason_en, sizeof finding->reason_en,
                    "looked, but the result could not be recorded: %s", mg_error_row(status.code)->en);
    (void) snprintf(finding->reason_ja, sizeof finding->reason_ja,
                    "確認しましたが、結果を監査ログに記録できません: %s", mg_error_row(status.code)->ja);
}

void
mg_ledger_record(enum mg_control control, struct mg_finding *finding)
{
    struct mg_ledger_entry entry = mg_ledger_entry(control);
    const enum mg_verdict before = entry.finding.verdict;
    struct mg_status status = audit(control, finding, before);
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, mg_control_row(control)->id, status);
        make_unrecorded(finding, status);
    }
    if (entry.finding.at == 0 || before != finding->verdict) {
        entry.since = finding->at;
        mg_log(finding->verdict == MG_HOLDS ? MG_INFO : MG_WARNING, "%s %s: %s", mg_control_row(control)->id,
               mg_verdict_name(finding->verdict), finding->reason_en);
    }
    entry.finding = *finding;
    (void) pthread_mutex_lock(&lock);
    entries[control] = entry;
    (void) pthread_mutex_unlock(&lock);
    status = entry_write(control, &entry);
    if (!mg_ok(status))
        mg_log_status(MG_ERROR, "proof", status);
}

struct mg_ledger_entry
mg_ledger_entry(enum mg_control control)
{
    (void) pthread_mutex_lock(&lock);
    const struct mg_ledger_entry entry = entries[control];
    (void) pthread_mutex_unlock(&lock);
    return entry;
}

mg_instant
mg_ledger_due(enum mg_control control)
{
    const struct mg_control_row *row = mg_control_row(control);
    const struct mg_ledger_entry entry = mg_ledger_entry(control);
    const int64_t every =
        entry.finding.verdict == MG_HOLDS || row->every_ms < RETRY_MS ? row->every_ms : RETRY_MS;
    return entry.finding.at + every;
}
