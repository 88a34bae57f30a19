/* Probes of the audit log and of what is published about responsibility. */
#include "base/io.h"
#include "domain/merkle.h"
#include "ports/log_tiles.h"
#include "probes/observer.h"
#include "probes/probe.h"
#include "wire/note.h"
#include "wire/options.h"
#include "wire/tlog.h"

#include <stdio.h>

/* ---- AUDIT_01: kept for a year, tampering shows, the customer can have its own ---- */

static const int64_t year_ms = INT64_C(365) * 24 * 3600 * 1000;

struct log {
    char directory[MG_PATH];
    struct mg_checkpoint checkpoint;
    struct mg_buffer note;
    bool signature_valid;
};

/* Everything from the files alone, as anybody with a copy and the public key would do it. */
static CHECKED struct mg_status
log_open(const struct mg_observer *observer, struct log *log)
{
    char path[MG_PATH];
    struct mg_vkey key;
    struct mg_note note;
    OWN_BUFFER(vkey, 4096);
    TRY(mg_path_join(log->directory, observer->directory, "audit/log"));
    TRY(mg_path_join(path, observer->directory, "audit/log.vkey"));
    TRY(mg_file_read(path, &vkey));
    TRY(mg_vkey_parse(mg_buffer_view(&vkey), &key));
    TRY(mg_log_checkpoint_read(log->directory, &log->note));
    TRY(mg_note_parse(mg_buffer_view(&log->note), &note));
    TRY(mg_checkpoint_parse(note.text, &log->checkpoint));
    log->signature_valid = mg_note_verify(&note, &key, NULL) == MG_NOTE_VALID;
    return OK;
}

/* The hash that a tile holds must be the one that the leaves give. */
static CHECKED struct mg_status
tile_agrees(const struct mg_tree_source *source, unsigned level, uint64_t index,
            const struct mg_hash *expected, struct mg_finding *finding)
{
    struct mg_hash found;
    TRY(source->read(source->context, level, index, &found));
    if (!mg_hash_equal(&found, expected) && finding->breaks == 0)
        mg_finding_break(finding, "", "a hash tile does not fit its entries",
                         "ハッシュタイルが記録と一致しません");
    return OK;
}

/* Hashes every leaf, compares with every tile, and the root with the signed one: a flipped bit
 * anywhere shows. */
static CHECKED struct mg_status
log_recompute(struct log *log, struct mg_finding *finding)
{
    OWN(log_reader) leaves = NULL; /* one reader each: both keep the file they read last */
    OWN(log_reader) tiles = NULL;
    struct mg_tree tree = {.size = 0};
    struct mg_hash root, hash, completed[8];
    OWN_BUFFER(leaf, MG_LEAF_MOST);
    TRY(mg_log_reader_new(log->directory, log->checkpoint.size, &leaves));
    TRY(mg_log_reader_new(log->directory, log->checkpoint.size, &tiles));
    const struct mg_tree_source source = mg_log_reader_source(tiles);
    for (uint64_t i = 0; i < log->checkpoint.size; i++) {
        mg_buffer_clear(&leaf);
        TRY(mg_log_reader_leaf(leaves, i, &leaf));
        mg_merkle_leaf(mg_buffer_view(&leaf), &hash);
        TRY(tile_agrees(&source, 0, i, &hash, finding));
        const unsigned count = mg_tree_add_tiles(&tree, &hash, completed);
        for (unsigned level = 0; level < count; level++)
            TRY(tile_agrees(&source, 8 * (level + 1), i >> (8 * (level + 1)), &completed[level], finding));
        mg_finding_cover(finding);
    }
    mg_tree_root(&tree, &root);
    if (memcmp(root.bytes, log->checkpoint.root, sizeof root.bytes) != 0)
        mg_finding_break(finding, "", "the entries do not give the signed root",
                         "記録が署名済みルートと一致しません");
    return OK;
}

/* The checkpoint seen last time must be a beginning of this log: a log set back shows. */
static CHECKED struct mg_status
log_extends(struct mg_observer *observer, struct log *log, struct mg_finding *finding)
{
    OWN(log_reader) reader = NULL;
    OWN_BUFFER(remembered, MG_CHECKPOINT_MOST);
    struct mg_note note;
    struct mg_checkpoint before;
    const struct mg_status status = observer->ops->recall(observer, &remembered);
    if (status.code == MG_NOT_FOUND) {
        mg_finding_note(finding, "first look: roll-back not excluded yet");
        return OK;
    }
    TRY(status);
    TRY(mg_note_parse(mg_buffer_view(&remembered), &note));
    TRY(mg_checkpoint_parse(note.text, &before));
    struct mg_hash root;
    bool same = before.size <= log->checkpoint.size;
    if (same) {
        TRY(mg_log_reader_new(log->directory, log->checkpoint.size, &reader));
        const struct mg_tree_source source = mg_log_reader_source(reader);
        TRY(mg_merkle_root(&source, before.size, &root));
        same = memcmp(root.bytes, before.root, sizeof root.bytes) == 0;
    }
    if (!same)
        mg_finding_break(finding, "", "the log does not contain what it contained before",
                         "以前あった記録が失われています");
    return OK;
}

/* An own action is found again by its name, decrypted, by way of the authority's export. */
static CHECKED struct mg_status
log_is_obtainable(struct mg_observer *observer, const struct mg_observed_log *state,
                  struct mg_finding *finding)
{
    OWN_BUFFER(lines, 1u << 18);
    TRY(observer->ops->audit_read(observer, "", 0, 1, &lines));
    if (lines.length == 0)
        mg_finding_break(finding, "", "the oldest entry cannot be read", "最も古い記録を読み出せません");
    mg_buffer_clear(&lines);
    TRY(observer->ops->audit_read(observer, "sign_in", 0, 1, &lines));
    if (lines.length == 0)
        mg_finding_note(finding, "no sign-in recorded yet");
    if (state->refusing)
        mg_finding_break(finding, "", "records are refused for want of space",
                         "空き容量不足で記録を拒否しています");
    return OK;
}

struct mg_status
mg_probe_AUDIT_01(struct mg_observer *observer, struct mg_finding *finding)
{
    struct log log = {.note = MG_BUFFER(MG_CHECKPOINT_MOST)};
    struct mg_observed_log state;
    finding->source = "log files, audit process";
    TRY(observer->ops->audit_state(observer, &state));
    struct mg_status status = log_open(observer, &log);
    if (mg_ok(status)) {
        mg_finding_expect(finding, log.checkpoint.size, "entries", "記録");
        if (!log.signature_valid)
            mg_finding_break(finding, "", "the checkpoint is not signed by the log's key",
                             "チェックポイントの署名が正しくありません");
        if (observer->options->audit_retention < year_ms)
            mg_finding_break(finding, "", "records are kept for less than a year", "保管期間が 1 年未満です");
        if (log.checkpoint.size + 1000000 < state.size)
            mg_finding_break(finding, "", "the published log lags behind", "公開された記録が遅れています");
        status = log_recompute(&log, finding);
    }
    if (mg_ok(status))
        status = log_extends(observer, &log, finding);
    if (mg_ok(status))
        status = log_is_obtainable(observer, &state, finding);
    if (mg_ok(status) && finding->breaks == 0)
        status = observer->ops->remember(observer, mg_buffer_view(&log.note));
    mg_finding_note(finding, "size %ju", (uintmax_t) log.checkpoint.size);
    mg_buffer_drop(&log.note);
    return status;
}

/* ---- COMPLIANCE_04: exactly one party answers for each thing ---- */

/* The published row of an id: true if its "accountable" is exactly this party. */
static bool
published_party_is(const char *json, const char *id, const char *party)
{
    char mark[128], accountable[128];
    (void) snprintf(mark, sizeof mark, "{\"id\":\"%s\",", id);
    (void) snprintf(accountable, sizeof accountable, "\"accountable\":\"%s\"}", party);
    const char *row = strstr(json, mark);
    const char *again = row == NULL ? NULL : strstr(row + 1, mark);
    const char *end = row == NULL ? NULL : strstr(row, "\"accountable\":");
    return end != NULL && again == NULL && strncmp(end, accountable, strlen(accountable)) == 0;
}

static void
check_published(const char *json, const char *id, enum mg_party party, struct mg_finding *finding)
{
    if (party == MG_PARTY_NONE || !published_party_is(json, id, mg_party_name(party)))
        mg_finding_break(finding, id, "the published matrix does not name exactly the one accountable party",
                         "公開中の責任分担表が責任者を正しく一者に定めていません");
    mg_finding_cover(finding);
}

/* The customer's duties that the claim lists one by one. */
static const char *const customer_duties[] = {"CUSTOMER_SETTINGS", "CUSTOMER_USERS", "CUSTOMER_DATA",
                                              "CUSTOMER_INTEGRATIONS", "CUSTOMER_SIGN_ON"};

struct mg_status
mg_probe_COMPLIANCE_04(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "front door";
    mg_finding_expect(finding,
                      MG_COUNT(customer_duties) + mg_duty_count + MG_CONTROL_COUNT + mg_attestation_count,
                      "controls and duties", "統制と責務");
    OWN_FETCHED(answer);
    const char *host = observer->options->console_host; /* any host will do; customers come to an app's */
    for (size_t i = 0; i < observer->host_count; i++)
        if (observer->hosts[i].origin == MG_ORIGIN_APP)
            host = observer->hosts[i].name;
    const struct mg_fetch request = {.host = host, .path = "/.well-known/masugata/responsibility.json"};
    TRY(observer->ops->fetch(observer, &request, &answer));
    if (answer.status != 200) {
        mg_finding_break(finding, "", "the matrix is not published", "責任分担表が公開されていません");
        return OK;
    }
    const char *json = mg_buffer_text(&answer.body);
    for (size_t i = 0; i < MG_COUNT(customer_duties); i++)
        check_published(json, customer_duties[i], MG_PARTY_CUSTOMER, finding);
    for (size_t i = 0; i < mg_duty_count; i++)
        check_published(json, mg_duty_rows[i].id, mg_duty_rows[i].accountable, finding);
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const struct mg_control_row *row = mg_control_row((enum mg_control) i);
        check_published(json, row->id, row->accountable, finding);
    }
    for (size_t i = 0; i < mg_attestation_count; i++)
        check_published(json, mg_attestation_rows[i].id, mg_attestation_rows[i].accountable, finding);
    return OK;
}
