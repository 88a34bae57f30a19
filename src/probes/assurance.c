/* Probes of the audit log and of what is published about responsibility. */
#include "base/io.h"
#include "base/secret.h"
#include "domain/merkle.h"
#include "ports/audit_leaf.h"
#include "ports/log_tiles.h"
#include "ports/log_verify.h"
#include "probes/observer.h"
#include "probes/probe.h"
#include "wire/note.h"
#include "wire/options.h"
#include "wire/tlog.h"

#include <stdio.h>

/* ---- AUDIT_01: kept for a year, tampering shows, the customer can have its own ---- */

static const int64_t year_ms = INT64_C(365) * 24 * 3600 * 1000;

/* Old entries rehashed in one look, a second of work at most. What is new since the last look is hashed
 * in any case, and so are all tiles from the second row up to the signed root; a log of this size or less is
 * read as a whole each time, a larger one every size / REHASHED looks. */
#define REHASHED ((uint64_t) 500000)
#define EXPORTED 20 /* entries asked for a tenant */

/* What is kept from look to look: "next N" and the checkpoint's note. */
struct memory {
    uint64_t next; /* where rehashing goes on */
    struct mg_buffer text;
    struct mg_view note; /* in it; empty before the first look */
};

static CHECKED struct mg_status
memory_recall(struct mg_observer *observer, struct memory *memory)
{
    static const char mark[] = "next ";
    const struct mg_status status = observer->ops->recall(observer, &memory->text);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    memory->note = mg_buffer_view(&memory->text);
    const char *text = mg_buffer_text(&memory->text), *end = strchr(text, '\n');
    if (strncmp(text, mark, strlen(mark)) != 0 || end == NULL)
        return OK;
    const char *number = text + strlen(mark);
    TRY(mg_parse_u64(mg_view_of(number, (size_t) (end - number)), MG_TREE_MOST, &memory->next));
    memory->note = mg_view_of(end + 1, memory->text.length - (size_t) (end + 1 - text));
    return OK;
}

static CHECKED struct mg_status
memory_remember(struct mg_observer *observer, uint64_t next, struct mg_view note)
{
    OWN_BUFFER(text, MG_CHECKPOINT_MOST + 64);
    TRY(mg_buffer_format(&text, "next %ju\n", (uintmax_t) next));
    TRY(mg_buffer_add(&text, note));
    return observer->ops->remember(observer, mg_buffer_view(&text));
}

static uint64_t
checkpoint_size(struct mg_view note)
{
    struct mg_note parsed;
    struct mg_checkpoint checkpoint;
    return note.length != 0 && mg_ok(mg_note_parse(note, &parsed)) &&
                   mg_ok(mg_checkpoint_parse(parsed.text, &checkpoint))
               ? checkpoint.size
               : 0;
}

/* Whole bundles only. */
static uint64_t
skipped_entries(const struct mg_log_trust *trust)
{
    uint64_t skipped = 0;
    for (size_t i = 0; i < MG_COUNT(trust->skipped); i++) {
        const uint64_t from = (trust->skipped[i].from + MG_TILE_WIDTH - 1) / MG_TILE_WIDTH;
        const uint64_t to = trust->skipped[i].to / MG_TILE_WIDTH;
        skipped += to > from ? (to - from) * MG_TILE_WIDTH : 0;
    }
    return skipped;
}

/* From the files alone, as anybody with a copy and the public key would do it. */
static CHECKED struct mg_status
log_verify(const char *directory, const struct mg_vkey *key, const struct memory *memory, uint64_t size,
           struct mg_finding *finding)
{
    static struct mg_log_report report;
    const uint64_t known = checkpoint_size(memory->note);
    uint64_t from = memory->next < known ? memory->next / MG_TILE_WIDTH * MG_TILE_WIDTH : 0;
    if (known <= REHASHED)
        from = 0;
    const struct mg_log_trust trust = {
        .log = key,
        .remembered = memory->note,
        .skipped = {{.from = 0, .to = from},
                    {.from = from + REHASHED, .to = known / MG_TILE_WIDTH * MG_TILE_WIDTH}},
    };
    TRY(mg_log_verify(directory, &trust, &report));
    for (size_t i = 0; i < report.count; i++) {
        const struct mg_log_finding_row *row = mg_log_finding_row(report.findings[i].kind);
        mg_finding_break(finding, report.findings[i].place, row->en, row->ja);
    }
    mg_finding_expect(finding, report.size - skipped_entries(&trust), "entries", "記録");
    for (uint64_t i = 0; i < report.checked; i++)
        mg_finding_cover(finding);
    if (report.size < size)
        mg_finding_break(finding, "", "the published log lags behind", "公開された記録が遅れています");
    mg_finding_note(finding, "size %ju, rehashed %ju", (uintmax_t) report.size, (uintmax_t) report.checked);
    if (memory->note.length == 0)
        mg_finding_note(finding, "first look: roll-back not excluded yet");
    return OK;
}

static CHECKED struct mg_status
log_look(struct mg_observer *observer, const struct mg_vkey *key, uint64_t size, struct mg_finding *finding)
{
    char directory[MG_PATH];
    struct memory memory = {.text = MG_BUFFER(MG_CHECKPOINT_MOST + 64)};
    OWN_BUFFER(note, MG_CHECKPOINT_MOST);
    TRY(mg_path_join(directory, observer->directory, "audit/log"));
    /* The one to remember is read before the look: what the look saw is at least this. */
    struct mg_status status = mg_log_checkpoint_read(directory, &note);
    if (mg_ok(status))
        status = memory_recall(observer, &memory);
    if (mg_ok(status))
        status = log_verify(directory, key, &memory, size, finding);
    if (mg_ok(status) && finding->breaks == 0)
        status = memory_remember(
            observer, memory.next + REHASHED < checkpoint_size(memory.note) ? memory.next + REHASHED : 0,
            mg_buffer_view(&note));
    mg_buffer_drop(&memory.text);
    return status;
}

/* ---- what a customer is given ---- */

/* The lines of a proof after the first two: hashes, an empty line, the checkpoint's note. */
static CHECKED struct mg_status
proof_read(struct mg_view text, uint64_t *ret_index, struct mg_proof *ret_proof, struct mg_view *ret_note)
{
    static const char head[] = "c2sp.org/tlog-proof@v1\nindex ";
    struct mg_view rest = text;
    *ret_proof = (struct mg_proof){.count = 0};
    if (rest.length < strlen(head) || memcmp(rest.bytes, head, strlen(head)) != 0)
        return fail_with(MALFORMED, "not a proof");
    rest = mg_view_of(rest.bytes + strlen(head), rest.length - strlen(head));
    for (bool first = true;; first = false) {
        const uint8_t *end = memchr(rest.bytes, '\n', rest.length);
        if (end == NULL)
            return fail_with(MALFORMED, "a proof ends early");
        const struct mg_view line = mg_view_of(rest.bytes, (size_t) (end - rest.bytes));
        rest = mg_view_of(end + 1, rest.length - line.length - 1);
        if (first) {
            TRY(mg_parse_u64(line, MG_TREE_MOST, ret_index));
            continue;
        }
        if (line.length == 0)
            break;
        OWN_BUFFER(hash, MG_HASH);
        TRY(mg_base64_decode(line, &hash));
        if (hash.length != MG_HASH || ret_proof->count == MG_PROOF_MOST)
            return fail_with(MALFORMED, "a proof's hash");
        memcpy(ret_proof->hashes[ret_proof->count++].bytes, hash.bytes, MG_HASH);
    }
    *ret_note = rest;
    return OK;
}

/* True if the proof says of this leaf that it is entry `index` of a tree that the key signed. */
static bool
proof_holds(const struct mg_observed_proof *given, uint64_t index, const struct mg_vkey *key)
{
    struct mg_proof proof;
    struct mg_view text;
    struct mg_note note;
    struct mg_checkpoint checkpoint;
    struct mg_hash leaf, root;
    uint64_t proven = 0;
    if (!mg_ok(proof_read(mg_buffer_view(&given->proof), &proven, &proof, &text)) ||
        !mg_ok(mg_note_parse(text, &note)) || !mg_ok(mg_checkpoint_parse(note.text, &checkpoint)) ||
        mg_note_verify(&note, key, NULL) != MG_NOTE_VALID)
        return false;
    mg_merkle_leaf(mg_buffer_view(&given->leaf), &leaf);
    memcpy(root.bytes, checkpoint.root, MG_HASH);
    return proven == index && mg_merkle_included(&leaf, index, checkpoint.size, &proof, &root);
}

/* The line that the customer was given is what its own key opens in the leaf that the proof is about. */
static bool
entry_opens(const struct mg_observed_proof *given, uint64_t tenant, struct mg_view json)
{
    uint64_t owner = 0;
    uint32_t month;
    OWN_BUFFER(event, MG_LEAF_MOST);
    return mg_ok(mg_leaf_place(mg_buffer_view(&given->leaf), &owner, &month)) && owner == tenant &&
           mg_ok(mg_leaf_open(given->key, mg_buffer_view(&given->leaf), &event)) &&
           mg_view_equal(mg_buffer_view(&event), json);
}

/* The newest of them is proven; that no other's entry is among them is looked at in all. */
static CHECKED struct mg_status
export_check(struct mg_observer *observer, const struct mg_observed_tenant *tenant, const struct mg_vkey *key,
             struct mg_finding *finding)
{
    OWN_BUFFER(lines, 1u << 18);
    const struct mg_status exported = observer->ops->audit_export(observer, tenant->number, EXPORTED, &lines);
    if (exported.code == MG_INTEGRITY || exported.code == MG_MALFORMED) {
        mg_finding_break(finding, tenant->name, "an entry of the tenant cannot be opened",
                         "テナントの記録を開けません");
        return OK;
    }
    TRY(exported);
    char owner[48];
    (void) snprintf(owner, sizeof owner, "\"tenant_uid\":\"%ju\"", (uintmax_t) tenant->number);
    bool first = true;
    for (char *line = (char *) (uintptr_t) mg_buffer_text(&lines), *end; *line != '\0'; line = end + 1) {
        end = strchr(line, '\n');
        const char *json = strchr(line, ' ');
        if (end == NULL || json == NULL || json > end)
            return fail_with(MALFORMED, "a line of an export");
        *end = '\0';
        if (strstr(json, owner) == NULL)
            mg_finding_break(finding, tenant->name, "an export holds an entry of another",
                             "出力に他のテナントの記録が含まれています");
        if (!first)
            continue;
        first = false;
        uint64_t index = 0;
        struct mg_observed_proof proof = {.leaf = MG_BUFFER(MG_LEAF_MOST), .proof = MG_BUFFER(16384)};
        struct mg_status status =
            mg_parse_u64(mg_view_of(line, (size_t) (json - line)), MG_TREE_MOST, &index);
        if (mg_ok(status))
            status = observer->ops->audit_prove(observer, index, &proof);
        if (mg_ok(status) && !proof_holds(&proof, index, key))
            mg_finding_break(finding, tenant->name, "the proof of a tenant's entry does not hold",
                             "テナントの記録の証明が成り立ちません");
        else if (mg_ok(status) && !entry_opens(&proof, tenant->number, mg_view_text(json + 1)))
            mg_finding_break(finding, tenant->name, "a tenant's entry does not open with its key",
                             "テナントの記録をその鍵で開けません");
        mg_wipe(proof.key, sizeof proof.key);
        mg_buffer_drop(&proof.leaf);
        mg_buffer_drop(&proof.proof);
        TRY(status);
    }
    if (first)
        mg_finding_note(finding, "%s has no entries yet", tenant->name);
    return OK;
}

/* The oldest entry of the last year: it can be read and was not erased. */
static CHECKED struct mg_status
year_check(struct mg_observer *observer, struct mg_finding *finding)
{
    OWN_BUFFER(lines, 1u << 18);
    if (observer->options->audit_retention < year_ms)
        mg_finding_break(finding, "", "records are kept for less than a year", "保管期間が 1 年未満です");
    const struct mg_status status = observer->ops->audit_read(observer, "", mg_now() - year_ms, 1, &lines);
    if (status.code != MG_INTEGRITY && status.code != MG_MALFORMED) /* not what was written */
        TRY(status);
    if (lines.length == 0 || strncmp(mg_buffer_text(&lines), "{\"erased\":", 10) == 0)
        mg_finding_break(finding, "", "the oldest entry of the year cannot be read",
                         "過去 1 年で最も古い記録を読み出せません");
    return OK;
}

struct mg_status
mg_probe_AUDIT_01(struct mg_observer *observer, struct mg_finding *finding)
{
    char path[MG_PATH];
    struct mg_vkey key;
    struct mg_observed_log state;
    OWN_BUFFER(vkey, 4096);
    finding->source = "log files; export and proof of each tenant's entries";
    TRY(mg_path_join(path, observer->directory, "audit/log.vkey"));
    TRY(mg_file_read(path, &vkey));
    TRY(mg_vkey_parse(mg_buffer_view(&vkey), &key));
    TRY(observer->ops->audit_state(observer, &state));
    if (state.refusing)
        mg_finding_break(finding, "", "records are refused for want of space",
                         "空き容量不足で記録を拒否しています");
    TRY(log_look(observer, &key, state.size, finding));
    TRY(year_check(observer, finding));
    for (size_t i = 0; i < observer->tenant_count; i++)
        TRY(export_check(observer, &observer->tenants[i], &key, finding));
    return OK;
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
