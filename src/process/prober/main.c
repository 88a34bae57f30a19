#include "base/io.h"
#include "base/log.h"
#include "process/prober/prober.h"
#include "wire/events.h"

#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

enum { THREADS = 4, FINDINGS_A_PAGE = 16, SETTLE_MS = 5000, RECORD_MS = 5000 };

static int64_t first_round_ms; /* monotonic */

/* Ids separated by spaces; empty means all that are built. */
static CHECKED struct mg_status
read_ids(struct mg_view ids, enum mg_control controls[MG_CONTROL_COUNT], size_t *ret_count)
{
    size_t count = 0;
    OWN_TEXT text = NULL;
    TRY(mg_view_to_text(ids, &text));
    struct mg_view word;
    for (const char *cursor = text; mg_option_word(&cursor, &word);) {
        const enum mg_control control = mg_control_find(word);
        if (control == MG_CONTROL_NONE)
            return fail_with(NOT_FOUND, "control %.*s", (int) word.length, (const char *) word.bytes);
        if (count < MG_CONTROL_COUNT && mg_control_row(control)->built)
            controls[count++] = control;
    }
    for (int i = 0; ids.length == 0 && i < MG_CONTROL_COUNT; i++)
        if (mg_control_row((enum mg_control) i)->built)
            controls[count++] = (enum mg_control) i;
    *ret_count = count;
    return OK;
}

/* A run signs in at the front door and ends the canary process: somebody wanted that. */
static CHECKED struct mg_status
command_record(const struct mg_call *call, struct mg_view controls)
{
    char uid[24];
    OWN_BUFFER(storage, 4096);
    struct mg_reply_audit_append reply;
    (void) snprintf(uid, sizeof uid, "uid:%u", (unsigned) mg_call_uid(call));
    return mg_call_audit_append(
        &(struct mg_request_audit_append){.event = MG_EVENT_command,
                                          .actor_kind = MG_ACTOR_OPERATOR,
                                          .actor_id = mg_view_text(uid),
                                          .actor_name = mg_view_text("command line"),
                                          .target = mg_view_text("prove"),
                                          .outcome = MG_AUDIT_SUCCESS,
                                          .reason = controls.length <= 200 ? controls : MG_VIEW_EMPTY},
        &reply, &storage, RECORD_MS);
}

MG_HANDLER(prove_run)
{
    enum mg_control controls[MG_CONTROL_COUNT];
    size_t count = 0;
    TRY(read_ids(request->controls, controls, &count));
    TRY(command_record(call, request->controls));
    if (count > 0)
        TRY(mg_round_run(mg_environment(), controls, count));
    return mg_answer_prove_run(call, &(struct mg_reply_prove_run){.ran = count});
}

static CHECKED struct mg_status
add_finding(enum mg_control control, mg_instant now, struct mg_buffer *list)
{
    const struct mg_ledger_entry entry = mg_ledger_entry(control);
    const struct mg_finding *finding = &entry.finding;
    const struct mg_record_control_finding record = {
        .id = mg_view_text(mg_control_row(control)->id),
        .verdict = mg_view_text(mg_verdict_name(mg_finding_verdict_at(control, finding, now))),
        .at = finding->at,
        .since = entry.since,
        .reason_en = mg_view_text(finding->reason_en),
        .reason_ja = mg_view_text(finding->reason_ja),
        .evidence = mg_view_text(finding->evidence),
        .digest = mg_view_text(finding->digest),
    };
    return mg_list_add_control_finding(list, &record);
}

MG_HANDLER(prove_list)
{
    OWN_BUFFER(list, 122880);
    const mg_instant now = mg_now();
    uint64_t row = request->from;
    for (size_t added = 0; added < FINDINGS_A_PAGE && row < MG_CONTROL_COUNT; row++) {
        if (!mg_control_row((enum mg_control) row)->built)
            continue;
        TRY(add_finding((enum mg_control) row, now, &list));
        added++;
    }
    const struct mg_reply_prove_list reply = {
        .more = row < MG_CONTROL_COUNT,
        .next = row,
        .findings = {.bytes = mg_buffer_view(&list)},
    };
    return mg_answer_prove_list(call, &reply);
}

static CHECKED struct mg_status
prepare(const struct mg_environment *environment)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, environment->runtime_directory, "proof/prove.sock"));
    if (unlink(path) != 0 && access(path, F_OK) == 0)
        return fail_errno("old socket %s", path);
    return mg_listen_admin(path, getuid());
}

static CHECKED struct mg_status
start(const struct mg_environment *environment)
{
    mg_ledger_load(environment->directory);
    first_round_ms =
        mg_monotonic_ms() + SETTLE_MS; /* nginx and the instances start at the same time as we do */
    TRY(mg_responsibility_publish(environment->runtime_directory));
    return mg_trust_publish(environment->runtime_directory, mg_now());
}

/* The drill's tenant takes a few seconds to make: it is asked for before the first round. */
static void
drill_prepare(void)
{
    static bool asked;
    uint64_t tenant;
    if (!asked)
        asked = mg_ok(mg_drill_look(&tenant));
}

static void
tick(mg_instant now)
{
    enum mg_control due[MG_CONTROL_COUNT];
    size_t count = 0;
    if (mg_monotonic_ms() >= first_round_ms - SETTLE_MS / 2)
        drill_prepare();
    if (mg_monotonic_ms() < first_round_ms)
        return;
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const enum mg_control control = (enum mg_control) i;
        /* After the clock was set back, a finding from the future is due at once. */
        const bool future = mg_ledger_entry(control).finding.at > now;
        if (mg_control_row(control)->built && (future || mg_ledger_due(control) <= now))
            due[count++] = control;
    }
    if (count == 0)
        return;
    struct mg_status status = mg_round_run(mg_environment(), due, count);
    if (!mg_ok(status))
        mg_log_status(MG_ERROR, "round of probes", status);
    /* What is wrong with the published matrix has been recorded; now it is put right. Not in a round that
     * somebody asked for: that one only looks. */
    if (mg_ledger_entry(MG_CONTROL_COMPLIANCE_04).finding.verdict == MG_BROKEN) {
        status = mg_responsibility_publish(mg_environment()->runtime_directory);
        if (!mg_ok(status))
            mg_log_status(MG_ERROR, "publish who answers for what", status);
    }
}

static const struct mg_handler_row handlers[] = {MG_HANDLE(prove_run), MG_HANDLE(prove_list)};

int
main(int argc, char **argv)
{
    const struct mg_process_description description = {
        .process = MG_PROBER,
        .handlers = handlers,
        .handler_count = MG_COUNT(handlers),
        .threads = THREADS,
        .prepare = prepare,
        .start = start,
        .tick = tick,
    };
    return mg_process_main(argc, argv, &description);
}
