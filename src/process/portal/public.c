/* What everybody may read: style, script, keys of the assertion, the trust page; and the verdicts for
 * operators, which come from the same findings of the prober. */
#include "process/portal/portal.h"

#include "base/io.h"
#include "domain/control.h"
#include "domain/return_path.h"
#include "ports/embedded.h"

#include <jansson.h>

#define FINDINGS_MOST (1024 * 1024)
#define LANGUAGE_S (400 * 24 * 3600)
#define FOREVER "public, max-age=31536000, immutable"

/* The path after a change of language: our own pages are allowed here, other sites are not. */
static bool
is_own_page(struct mg_view path)
{
    return mg_return_path_is_safe(path) ||
           (path.length > 11 && memcmp(path.bytes, "/.masugata/", 11) == 0 && path.length < MG_RETURN_PATH_MOST &&
            memchr(path.bytes, '\\', path.length) == NULL);
}

struct mg_status
page_language(struct visit *visit)
{
    const struct mg_view to = mg_form_value(&visit->query, "to");
    const struct mg_view back = mg_form_value(&visit->query, "return");
    TRY(mg_web_header_add(visit->answer, "Set-Cookie", "%s=%s; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=%d",
                          COOKIE_LANGUAGE, mg_language_tag(mg_language_of(to)), LANGUAGE_S));
    if (!is_own_page(back))
        return redirect(visit, "/");
    return redirect(visit, "%.*s", (int) back.length, (const char *) back.bytes);
}

static CHECKED struct mg_status
send_file(struct visit *visit, const char *name, const char *content_type)
{
    struct mg_view bytes;
    if (!mg_embedded_find(mg_embedded_pages, mg_view_text(name), &bytes))
        return fail(NOT_FOUND);
    return send_bytes(visit, content_type, FOREVER, bytes);
}

struct mg_status
page_style(struct visit *visit)
{
    return send_file(visit, "masugata.css", "text/css; charset=utf-8");
}

struct mg_status
page_script(struct visit *visit)
{
    return send_file(visit, "masugata.js", "text/javascript; charset=utf-8");
}

struct mg_status
page_icon(struct visit *visit)
{
    return send_file(visit, "icon.svg", "image/svg+xml");
}

struct mg_status
page_key_set(struct visit *visit)
{
    const struct mg_request_key_set request = {0};
    struct mg_reply_key_set reply;
    TRY(mg_call_key_set(&request, &reply, &visit->storage, CALL_MS));
    return send_bytes(visit, "application/jwk-set+json", "public, max-age=300", reply.json);
}

/* ---- findings of the prober ---- */

static void
json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

/* What the prober publishes: {"at", "controls": [{"id", "verdict", "since", "at"}]}; NULL while there is none. */
static json_t *
findings_read(void)
{
    char path[MG_PATH];
    OWN_BUFFER(text, FINDINGS_MOST);
    if (!mg_ok(mg_path_join(path, portal_settings.proof_directory, "trust.json")) ||
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
    json_array_foreach(list, i, finding) {
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
    scope_time_of(visit, row, TIME_NAMES(since), json_text(finding, "since"));
    scope_time_of(visit, row, TIME_NAMES(seen), json_text(finding, "at"));
}

/* Controls by category. Planned ones are counted, not listed: they claim nothing. */
static void
scope_controls(struct visit *visit, const json_t *findings)
{
    size_t counts[VERDICTS] = {0}, planned = 0;
    for (int category = 0; category < MG_CATEGORY_COUNT; category++) {
        struct mg_scope *group = NULL;
        for (int i = 0; i < MG_CONTROL_COUNT; i++) {
            const struct mg_control_row *control = mg_control_row((enum mg_control) i);
            if ((int) control->category != category)
                continue;
            if (!control->built) {
                planned++;
                continue;
            }
            if (group == NULL) {
                group = mg_scope_add(visit->page, "groups");
                mg_scope_set_text(group, "category",
                                  mg_words_in(mg_category_words(control->category), visit->language == MG_JAPANESE));
            }
            const json_t *finding = finding_of(findings, control->id);
            const enum verdict verdict = verdict_of(visit, control, finding);
            scope_control(visit, mg_scope_add(group, "controls"), control, finding, verdict);
            counts[verdict]++;
        }
    }
    for (int i = 0; i < VERDICTS; i++) {
        mg_scope_set_number(visit->page, verdicts[i].count, counts[i]);
        mg_scope_set_flag(visit->page, verdicts[i].any, counts[i] > 0);
    }
    mg_scope_set_number(visit->page, "total_count", counts[HOLDS] + counts[BROKEN] + counts[STALE] + counts[UNKNOWN]);
    mg_scope_set_number(visit->page, "planned_count", planned);
    mg_scope_set_flag(visit->page, "all_hold", counts[HOLDS] > 0 && counts[BROKEN] + counts[STALE] + counts[UNKNOWN] == 0);
}

struct mg_status
page_trust(struct visit *visit)
{
    MG_CLEANUP(json_drop) json_t *findings = findings_read();
    scope_controls(visit, findings);
    scope_time(visit, visit->page, TIME_NAMES(now), visit->now);
    return show(visit, 200, "trust");
}

/* Who answers for what (claim 139), as the prober published it. */
struct mg_status
page_responsibility(struct visit *visit)
{
    char path[MG_PATH];
    OWN_BUFFER(text, FINDINGS_MOST);
    TRY(mg_path_join(path, portal_settings.proof_directory, "responsibility.json"));
    TRY(mg_file_read(path, &text));
    return send_bytes(visit, "application/json", "public, max-age=60", mg_buffer_view(&text));
}

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
    MG_CLEANUP(json_drop) json_t *findings = findings_read();
    scope_controls(visit, findings);
    mg_scope_set_flag(visit->page, "at_controls", true);
    return show(visit, 200, "console_controls");
}
