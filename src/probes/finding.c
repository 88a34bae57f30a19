#include "probes/probe.h"

#include "base/reason.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>

/* Texts are cut at a whole character, so that they stay UTF-8. */
static void
cut_to_utf8(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && !mg_view_is_utf8(mg_view_of(text, length)))
        text[--length] = '\0';
}

void
mg_finding_expect(struct mg_finding *finding, uint64_t total, const char *en, const char *ja)
{
    finding->total += total;
    finding->subjects = (struct mg_words){en, ja};
}

void
mg_finding_cover(struct mg_finding *finding)
{
    finding->covered++;
}

void
mg_finding_break(struct mg_finding *finding, const char *subject, const char *en, const char *ja)
{
    const char *colon = subject[0] == '\0' ? "" : ": ";
    if (finding->breaks++ == 0) {
        (void) snprintf(finding->reason_en, sizeof finding->reason_en, "%s%s%s", subject, colon, en);
        (void) snprintf(finding->reason_ja, sizeof finding->reason_ja, "%s%s%s", subject, colon, ja);
        cut_to_utf8(finding->reason_en);
        cut_to_utf8(finding->reason_ja);
    }
    mg_finding_note(finding, "broken: %s%s%s", subject, colon, en);
}

void
mg_finding_warn(struct mg_finding *finding, const char *subject, const char *en, const char *ja)
{
    if (finding->warnings++ == 0) {
        (void) snprintf(finding->warning_en, sizeof finding->warning_en, "%s: %s", subject, en);
        (void) snprintf(finding->warning_ja, sizeof finding->warning_ja, "%s: %s", subject, ja);
        cut_to_utf8(finding->warning_en);
        cut_to_utf8(finding->warning_ja);
    }
    mg_finding_note(finding, "warning: %s: %s", subject, en);
}

void
mg_finding_note(struct mg_finding *finding, const char *format, ...)
{
    const size_t used = strlen(finding->evidence);
    char *end = finding->evidence + used;
    size_t room = sizeof finding->evidence - used;
    if (used > 0 && room > 3) {
        memcpy(end, "; ", 3);
        end += 2;
        room -= 2;
    }
    va_list args;
    va_start(args, format);
    (void) vsnprintf(end, room, format, args);
    va_end(args);
    cut_to_utf8(finding->evidence);
}

static void
give_reason(struct mg_finding *finding, const char *en, const char *ja)
{
    (void) snprintf(finding->reason_en, sizeof finding->reason_en, "%s", en);
    (void) snprintf(finding->reason_ja, sizeof finding->reason_ja, "%s", ja);
    cut_to_utf8(finding->reason_en);
    cut_to_utf8(finding->reason_ja);
}

/* Broken outranks unknown: one subject seen to fail is a fact, however many were not reached. */
static void
decide(struct mg_finding *finding, struct mg_status status)
{
    char en[MG_REASON_TEXT], ja[MG_REASON_TEXT];
    const struct mg_words subjects = finding->subjects;
    if (finding->breaks > 0) {
        finding->verdict = MG_BROKEN;
    } else if (!mg_ok(status)) {
        const struct mg_error_row *row = mg_error_row(status.code);
        finding->verdict = MG_UNKNOWN;
        char detail[384];
        mg_reason_line(status.detail, false, detail, sizeof detail);
        (void) snprintf(en, sizeof en, "could not look: %s: %s", row->en, detail);
        mg_reason_line(status.detail, true, detail, sizeof detail);
        (void) snprintf(ja, sizeof ja, "確認できません: %s: %s", row->ja, detail);
        give_reason(finding, en, ja);
    } else if (finding->total == 0) {
        finding->verdict = MG_UNKNOWN;
        give_reason(finding, "there was nothing to look at", "確認する対象がありません");
    } else {
        finding->verdict = finding->covered == finding->total ? MG_HOLDS : MG_UNKNOWN;
        const bool warned = finding->warnings > 0;
        (void) snprintf(en, sizeof en, "%ju of %ju %.200s%s%s", (uintmax_t) finding->covered,
                        (uintmax_t) finding->total, subjects.en, warned ? "; warning: " : "",
                        finding->warning_en);
        (void) snprintf(ja, sizeof ja, "%.200s %ju / %ju%s%s", subjects.ja, (uintmax_t) finding->covered,
                        (uintmax_t) finding->total, warned ? "。警告: " : "", finding->warning_ja);
        give_reason(finding, en, ja);
    }
}

static void
digest(enum mg_control control, struct mg_finding *finding)
{
    char text[MG_REASON_TEXT + MG_EVIDENCE_TEXT + 128];
    const int length = snprintf(text, sizeof text, "%s\n%s\n%jd\n%s\n%s\n", mg_control_row(control)->id,
                                mg_verdict_name(finding->verdict), (intmax_t) finding->at, finding->reason_en,
                                finding->evidence);
    mg_must(length > 0 && (size_t) length < sizeof text);
    uint8_t hash[32];
    mg_must(EVP_Digest(text, (size_t) length, hash, NULL, EVP_sha256(), NULL) == 1);
    mg_hex(mg_view_of(hash, sizeof hash), finding->digest);
}

void
mg_finding_close(enum mg_control control, struct mg_status status, mg_instant now, struct mg_finding *finding)
{
    decide(finding, status);
    finding->at = now;
    if (finding->source == NULL)
        finding->source = "";
    digest(control, finding);
}

enum mg_verdict
mg_finding_verdict_at(enum mg_control control, const struct mg_finding *finding, mg_instant now)
{
    const struct mg_control_row *row = mg_control_row(control);
    if (!row->built)
        return MG_PLANNED;
    if (finding->verdict == MG_HOLDS && (finding->at > now + 1000 || now - finding->at > row->age_ms))
        return MG_STALE;
    return finding->verdict;
}

static CHECKED struct mg_status
add_text(struct mg_buffer *json, const char *name, const char *text)
{
    TRY(mg_buffer_format(json, ",\"%s\":", name));
    return mg_buffer_add_json_string(json, mg_view_text(text));
}

struct mg_status
mg_finding_json(enum mg_control control, const struct mg_finding *finding, struct mg_buffer *json)
{
    char at[MG_INSTANT_TEXT];
    mg_instant_text(finding->at, at);
    TRY(mg_buffer_format(json, "{\"id\":\"%s\",\"verdict\":\"%s\",\"at\":\"%s\"", mg_control_row(control)->id,
                         mg_verdict_name(finding->verdict), at));
    TRY(add_text(json, "reason", finding->reason_en));
    TRY(add_text(json, "reason_ja", finding->reason_ja));
    TRY(add_text(json, "evidence", finding->evidence));
    TRY(add_text(json, "source", finding->source));
    TRY(mg_buffer_format(json, ",\"covered\":%ju,\"total\":%ju", (uintmax_t) finding->covered,
                         (uintmax_t) finding->total));
    TRY(add_text(json, "digest", finding->digest));
    return mg_buffer_add_text(json, "}\n");
}
