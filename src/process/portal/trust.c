/* What the prober found: the public trust page, the matrix of responsibility, and the verdicts with their
 * reasons for operators. */
#include "process/portal/portal.h"

#include "base/io.h"
#include "domain/control.h"

#include <jansson.h>
#include <pthread.h>

#define FINDINGS_MOST (1024 * 1024)

enum { LOG_KEY_MS = 500, LOG_KEY_AGAIN_MS = 1000 };

/* ---- findings of the prober ---- */

static void
json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

/* What the prober publishes: {"at", "controls": [{"id", "verdict", "since", "at"}]}, for operators with
 * "reason" and "reason_ja"; NULL while there is none. */
static json_t *
findings_read(const char *file)
{
    char path[MG_PATH];
    OWN_BUFFER(text, FINDINGS_MOST);
    if (!mg_ok(mg_path_join(path, portal_settings.proof_directory, file)) ||
        !mg_ok(mg_file_read(path, &text)))
        return NULL;
    return json_loadb(mg_buffer_text(&text), text.length, JSON_REJECT_DUPLICATES, NULL);
}

static struct mg_view
json_text(const json_t *object, const char *key)
{
    return mg_view_text(json_string_value(json_object_get(object, key)));
}

static const json_t *
finding_of(const json_t *findings, const char *id)
{
    const json_t *list = json_object_get(findings, "controls"), *finding;
    size_t i;
    json_array_foreach(list, i, finding)
    {
        if (mg_view_is(json_text(finding, "id"), id))
            return finding;
    }
    return NULL;
}

/* Green is said in one way only; whatever is missing, misspelt or late is not green. */
enum verdict { HOLDS, BROKEN, STALE, UNKNOWN, VERDICTS };

static enum verdict
verdict_of(const struct visit *visit, const struct mg_control_row *row, const json_t *finding)
{
    const struct mg_view word = json_text(finding, "verdict");
    mg_instant at = 0;
    if (mg_view_is(word, "broken"))
        return BROKEN;
    if (mg_view_is(word, "stale"))
        return STALE;
    if (!mg_view_is(word, "holds") || !mg_ok(mg_instant_parse(json_text(finding, "at"), &at)))
        return UNKNOWN;
    return at > visit->now + 60000 || visit->now - at > row->age_ms ? STALE : HOLDS;
}

static const struct {
    const char *flag, *count, *any, *word;
} verdicts[VERDICTS] = {
    [HOLDS] = {"holds", "hold_count", "any_hold", N_("Holds")},
    [BROKEN] = {"broken", "broken_count", "any_broken", N_("Broken")},
    [STALE] = {"stale", "stale_count", "any_stale", N_("Out of date")},
    [UNKNOWN] = {"unknown", "unknown_count", "any_unknown", N_("Not known")},
};

static void
scope_time_of(const struct visit *visit, struct mg_scope *row, struct time_names names, struct mg_view text)
{
    mg_instant instant;
    if (mg_ok(mg_instant_parse(text, &instant)))
        scope_time(visit, row, names, instant);
}

static void
scope_control(const struct visit *visit, struct mg_scope *row, const struct mg_control_row *control,
              const json_t *finding, enum verdict verdict)
{
    mg_scope_set_text(row, "id", control->id);
    mg_scope_set_text(row, "statement", mg_words_in(control->statement, visit->language == MG_JAPANESE));
    mg_scope_set_flag(row, verdicts[verdict].flag, true);
    mg_scope_set_text(row, "verdict", say(visit, verdicts[verdict].word));
    /* The public file has no reasons: they would tell an attacker where to look. */
    mg_scope_set(row, "reason", json_text(finding, visit->language == MG_JAPANESE ? "reason_ja" : "reason"));
    scope_time_of(visit, row, TIME_NAMES(since), json_text(finding, "since"));
    scope_time_of(visit, row, TIME_NAMES(seen), json_text(finding, "at"));
}

/* The scope of a category, made with its first control. */
static struct mg_scope *
group_of(const struct visit *visit, struct mg_scope *group, enum mg_control_category category)
{
    if (group != NULL)
        return group;
    group = mg_scope_add(visit->page, "groups");
    mg_scope_set_text(group, "category",
                      mg_words_in(mg_category_words(category), visit->language == MG_JAPANESE));
    return group;
}

static void
scope_category(const struct visit *visit, const json_t *findings, enum mg_control_category category,
               size_t counts[VERDICTS], size_t *planned)
{
    struct mg_scope *group = NULL;
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const struct mg_control_row *control = mg_control_row((enum mg_control) i);
        if (control->category != category)
            continue;
        if (!control->built) {
            (*planned)++;
            continue;
        }
        const json_t *finding = finding_of(findings, control->id);
        const enum verdict verdict = verdict_of(visit, control, finding);
        group = group_of(visit, group, category);
        scope_control(visit, mg_scope_add(group, "controls"), control, finding, verdict);
        counts[verdict]++;
    }
}

/* Controls by category. Planned ones are counted, not listed: they claim nothing. */
static void
scope_controls(const struct visit *visit, const json_t *findings)
{
    size_t counts[VERDICTS] = {0}, planned = 0, total = 0;
    for (int category = 0; category < MG_CATEGORY_COUNT; category++)
        scope_category(visit, findings, (enum mg_control_category) category, counts, &planned);
    for (int i = 0; i < VERDICTS; i++) {
        total += counts[i];
        mg_scope_set_number(visit->page, verdicts[i].count, counts[i]);
        mg_scope_set_flag(visit->page, verdicts[i].any, counts[i] > 0);
    }
    mg_scope_set_number(visit->page, "total_count", total);
    mg_scope_set_number(visit->page, "planned_count", planned);
    mg_scope_set_flag(visit->page, "all_hold", total > 0 && counts[HOLDS] == total);
}

/* The audit log's key, which stays the same while we run: asked of the authority until it is there, never by
 * two visitors at once, and not again at once when it did not come: no visitor can hold a thread of ours
 * for it for longer than LOG_KEY_MS. */
static struct {
    pthread_mutex_t lock;
    char key[512];   /* empty: not there yet */
    int64_t next_ms; /* monotonic: when it may be asked for */
} log_key = {.lock = PTHREAD_MUTEX_INITIALIZER};

static CHECKED struct mg_status
log_key_ask(struct visit *visit)
{
    const struct mg_request_log_public_key request = {0};
    struct mg_reply_log_public_key reply;
    if (mg_monotonic_ms() < log_key.next_ms)
        return fail_with(UNAVAILABLE, "the key of the log");
    const struct mg_status status = mg_call_log_public_key(&request, &reply, &visit->storage, LOG_KEY_MS);
    log_key.next_ms = mg_monotonic_ms() + LOG_KEY_AGAIN_MS;
    return mg_ok(status) ? mg_view_copy(reply.key, log_key.key, sizeof log_key.key) : status;
}

/* Whole as long as the portal runs. */
static CHECKED struct mg_status
log_key_get(struct visit *visit, const char **ret_key)
{
    (void) pthread_mutex_lock(&log_key.lock);
    const struct mg_status status = log_key.key[0] != '\0' ? OK : log_key_ask(visit);
    (void) pthread_mutex_unlock(&log_key.lock);
    *ret_key = log_key.key;
    return status;
}

/* What proofs from the audit log are checked with: "name+id+key" in a line (c2sp.org/signed-note). */
struct mg_status
page_log_key(struct visit *visit)
{
    const char *key;
    OWN_BUFFER(line, 512);
    TRY(log_key_get(visit, &key));
    TRY(mg_buffer_add_text(&line, key));
    TRY(mg_buffer_add_byte(&line, '\n'));
    TRY(mg_web_header_add(visit->answer, "Content-Disposition", "attachment; filename=\"log.vkey\""));
    return send_bytes(visit, "text/plain; charset=utf-8", "public, max-age=300", mg_buffer_view(&line));
}

struct mg_status
page_trust(struct visit *visit)
{
    MG_CLEANUP(json_drop) json_t *findings = findings_read("trust.json");
    const char *key;
    /* The verdicts are files and are shown also without the key. */
    if (mg_ok(log_key_get(visit, &key)))
        mg_scope_set_text(visit->page, "log_key", key);
    scope_controls(visit, findings);
    scope_time(visit, visit->page, TIME_NAMES(now), visit->now);
    return show(visit, 200, "trust");
}

/* ---- who answers for what ---- */

/* The matrix as the prober published it, for programs. */
struct mg_status
page_responsibility_json(struct visit *visit)
{
    char path[MG_PATH];
    OWN_BUFFER(text, FINDINGS_MOST);
    TRY(mg_path_join(path, portal_settings.proof_directory, "responsibility.json"));
    TRY(mg_file_read(path, &text));
    return send_bytes(visit, "application/json", "public, max-age=60", mg_buffer_view(&text));
}

static void
scope_duty(const struct visit *visit, struct mg_scope *party, struct mg_words words)
{
    mg_scope_set_text(mg_scope_add(party, "duties"), "duty",
                      mg_words_in(words, visit->language == MG_JAPANESE));
}

/* The same for people: what is expected of the reader's side first. */
struct mg_status
page_responsibility(struct visit *visit)
{
    for (int party = MG_PARTY_COUNT - 1; party > MG_PARTY_NONE; party--) {
        struct mg_scope *row = mg_scope_add(visit->page, "parties");
        mg_scope_set_text(row, "party",
                          mg_words_in(mg_party_words((enum mg_party) party), visit->language == MG_JAPANESE));
        for (size_t i = 0; i < mg_duty_count; i++)
            if ((int) mg_duty_rows[i].accountable == party)
                scope_duty(visit, row, mg_duty_rows[i].duty);
        for (size_t i = 0; i < mg_attestation_count; i++)
            if ((int) mg_attestation_rows[i].accountable == party)
                scope_duty(visit, row, mg_attestation_rows[i].statement);
        for (int i = 0; i < MG_CONTROL_COUNT; i++)
            if ((int) mg_control_row((enum mg_control) i)->accountable == party)
                scope_duty(visit, row, mg_control_row((enum mg_control) i)->statement);
    }
    return show(visit, 200, "responsibility");
}

/* ---- for operators ---- */

struct mg_status
page_console_controls(struct visit *visit)
{
    /* Operators see this with any live operator session; it is read from files, so the right to the
     * console is asked from the authority like everywhere else. */
    const struct mg_request_tenant_list request = {.session = visit_session(visit)};
    struct mg_reply_tenant_list reply;
    TRY(mg_call_tenant_list(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return fail(REFUSED);
    MG_CLEANUP(json_drop) json_t *findings = findings_read("controls.json");
    scope_controls(visit, findings);
    mg_scope_set_flag(visit->page, "at_controls", true);
    return show(visit, 200, "console_controls");
}
