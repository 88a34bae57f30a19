/* Events of the log in the forms that other systems read: OCSF JSON as it is kept, ArcSight CEF
 * (Implementing ArcSight CEF, revision 25), and syslog (RFC 5424). */
#include "base/time.h"
#include "cli/audit.h"
#include "ports/audit_reason.h"

#include <inttypes.h>
#include <jansson.h>
#include <unistd.h>

struct mg_status
mg_audit_format_find(const char *name, enum mg_audit_format *ret_format)
{
    static const char *const names[] = {
        [MG_FORMAT_OCSF] = "ocsf", [MG_FORMAT_CEF] = "cef", [MG_FORMAT_RFC5424] = "rfc5424"};
    for (size_t i = 0; i < MG_COUNT(names); i++)
        if (name == NULL ? i == MG_FORMAT_OCSF : strcmp(name, names[i]) == 0) {
            *ret_format = (enum mg_audit_format) i;
            return OK;
        }
    return fail_with(USAGE, "--format is ocsf, cef or rfc5424");
}

/* ---- fields of an event ---- */

/* "" where the path does not lead to text. */
static const char *
text_at(const json_t *event, const char *first, const char *second, const char *third)
{
    const json_t *at = json_object_get(event, first);
    if (second != NULL)
        at = json_object_get(at, second);
    if (third != NULL)
        at = json_object_get(at, third);
    const char *text = json_string_value(at);
    return text != NULL ? text : "";
}

static const char *
either(const char *a, const char *b)
{
    return a[0] != '\0' ? a : b;
}

static const char *
actor_of(const json_t *event)
{
    const char *user =
        either(text_at(event, "actor", "user", "name"), text_at(event, "actor", "user", "uid"));
    return either(
        user, either(text_at(event, "actor", "process", "name"), text_at(event, "actor", "process", "uid")));
}

static const char *
target_of(const json_t *event)
{
    const char *resource =
        json_string_value(json_object_get(json_array_get(json_object_get(event, "resources"), 0), "name"));
    const char *named = either(text_at(event, "user", "name", NULL), text_at(event, "entity", "name", NULL));
    return either(either(named, text_at(event, "database", "name", NULL)),
                  either(text_at(event, "finding_info", "title", NULL), resource != NULL ? resource : ""));
}

static int
severity_of(const json_t *event)
{
    const json_int_t severity = json_integer_value(json_object_get(event, "severity_id"));
    return severity >= 1 && severity <= 5 ? (int) severity : 1;
}

/* ---- escapes ---- */

/* A backslash before each of `special`; line breaks and other control characters become spaces. */
static CHECKED struct mg_status
escaped_add(struct mg_buffer *line, const char *text, const char *special)
{
    for (; *text != '\0'; text++) {
        if (strchr(special, *text) != NULL)
            TRY(mg_buffer_add_byte(line, '\\'));
        TRY(mg_buffer_add_byte(line, (unsigned char) *text < 0x20 || *text == 0x7F ? ' ' : (uint8_t) *text));
    }
    return OK;
}

static CHECKED struct mg_status
pair_add(struct mg_buffer *line, const char *before, const char *text, const char *special, const char *after)
{
    if (text[0] == '\0')
        return OK;
    TRY(mg_buffer_add_text(line, before));
    TRY(escaped_add(line, text, special));
    return mg_buffer_add_text(line, after);
}

/* ---- CEF ---- */

static CHECKED struct mg_status
cef_add(const json_t *event, uint64_t index, const char *reason, struct mg_buffer *line)
{
    static const int severities[] = {0, 1, 3, 5, 8, 10};
    const char *header = "\\|", *value = "\\=";
    TRY(mg_buffer_add_text(line, "CEF:0|Masugata|Masugata|" MG_VERSION "|"));
    TRY(escaped_add(line, text_at(event, "metadata", "event_code", NULL), header));
    TRY(mg_buffer_add_byte(line, '|'));
    TRY(escaped_add(line, text_at(event, "message", NULL, NULL), header));
    TRY(mg_buffer_format(line, "|%d|rt=%" JSON_INTEGER_FORMAT " cn1=%" PRIu64 " cn1Label=entry",
                         severities[severity_of(event)], json_integer_value(json_object_get(event, "time")),
                         index));
    TRY(pair_add(line, " suser=", actor_of(event), value, ""));
    TRY(pair_add(line, " suid=", text_at(event, "actor", "user", "uid"), value, ""));
    TRY(pair_add(line, " src=", text_at(event, "src_endpoint", "ip", NULL), value, ""));
    TRY(pair_add(line, " duser=", text_at(event, "user", "name", NULL), value, ""));
    TRY(pair_add(line, " outcome=", text_at(event, "unmapped", "outcome", NULL), value, ""));
    TRY(pair_add(line, " reason=", text_at(event, "status_detail", NULL, NULL), value, ""));
    TRY(pair_add(line, " msg=", reason, value, ""));
    TRY(pair_add(line, " cs1Label=tenant cs1=", text_at(event, "metadata", "tenant_uid", NULL), value, ""));
    TRY(pair_add(line, " cs2Label=target cs2=", target_of(event), value, ""));
    return mg_buffer_add_byte(line, '\n');
}

/* ---- RFC 5424 ---- */

/* Facility 13 (log audit). The SD-ID carries 32473, the number that RFC 5612 sets aside for those who
 * have none of their own. */
static CHECKED struct mg_status
syslog_add(const json_t *event, uint64_t index, const char *reason, struct mg_buffer *line)
{
    static const int severities[] = {6, 6, 5, 4, 3, 2};
    char time[MG_INSTANT_TEXT], host[256] = "-";
    const char *value = "\"\\]";
    mg_instant_text((mg_instant) json_integer_value(json_object_get(event, "time")), time);
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        (void) snprintf(host, sizeof host, "-");
    TRY(mg_buffer_format(line, "<%d>1 %s %s masugata - %s [masugata@32473 entry=\"%" PRIu64 "\"",
                         13 * 8 + severities[severity_of(event)], time, host,
                         either(text_at(event, "metadata", "event_code", NULL), "-"), index));
    TRY(pair_add(line, " tenant=\"", text_at(event, "metadata", "tenant_uid", NULL), value, "\""));
    TRY(pair_add(line, " actor=\"", actor_of(event), value, "\""));
    TRY(pair_add(line, " target=\"", target_of(event), value, "\""));
    TRY(pair_add(line, " outcome=\"", text_at(event, "unmapped", "outcome", NULL), value, "\""));
    TRY(pair_add(line, " reason=\"", text_at(event, "status_detail", NULL, NULL), value, "\""));
    TRY(pair_add(line, " address=\"", text_at(event, "src_endpoint", "ip", NULL), value, "\""));
    TRY(mg_buffer_add_text(line, "] \xEF\xBB\xBF"));
    TRY(escaped_add(line, text_at(event, "message", NULL, NULL), ""));
    TRY(pair_add(line, ": ", reason, "", ""));
    return mg_buffer_add_byte(line, '\n');
}

struct mg_status
mg_audit_format_add(enum mg_audit_format format, uint64_t index, struct mg_view json, bool japanese,
                    struct mg_buffer *line)
{
    OWN_BUFFER(reason, 8192);
    if (format == MG_FORMAT_OCSF) {
        TRY(mg_audit_event_add(json, true, index, japanese, line));
        return mg_buffer_add_byte(line, '\n');
    }
    TRY(mg_audit_reason_of(json, japanese, &reason));
    json_t *event = json_loadb((const char *) json.bytes, json.length, 0, NULL);
    const struct mg_status status = format == MG_FORMAT_CEF
                                        ? cef_add(event, index, mg_buffer_text(&reason), line)
                                        : syslog_add(event, index, mg_buffer_text(&reason), line);
    json_decref(event);
    return status;
}

struct mg_status
mg_audit_summary_read(struct mg_view json, bool japanese, struct mg_audit_summary *ret_summary)
{
    OWN_BUFFER(reason, 8192);
    TRY(mg_audit_reason_of(json, japanese, &reason));
    json_t *event = json_loadb((const char *) json.bytes, json.length, 0, NULL);
    if (!json_is_object(event)) {
        json_decref(event);
        return fail_with(MALFORMED, "an entry is not JSON");
    }
    struct mg_audit_summary *summary = ret_summary;
    const bool erased = json_is_true(json_object_get(event, "erased"));
    mg_instant_text((mg_instant) json_integer_value(json_object_get(event, "time")), summary->time);
    if (erased)
        (void) snprintf(summary->time, sizeof summary->time, "-");
    (void) snprintf(summary->event, sizeof summary->event, "%s",
                    erased ? "(erased)" : text_at(event, "metadata", "event_code", NULL));
    (void) snprintf(summary->tenant, sizeof summary->tenant, "%s",
                    text_at(event, "metadata", "tenant_uid", NULL));
    (void) snprintf(summary->actor, sizeof summary->actor, "%s", actor_of(event));
    (void) snprintf(summary->target, sizeof summary->target, "%s", target_of(event));
    (void) snprintf(summary->outcome, sizeof summary->outcome, "%s",
                    text_at(event, "unmapped", "outcome", NULL));
    (void) snprintf(summary->address, sizeof summary->address, "%s",
                    text_at(event, "src_endpoint", "ip", NULL));
    const struct mg_view shown = mg_view_start(mg_buffer_view(&reason), sizeof summary->reason - 1);
    (void) snprintf(summary->reason, sizeof summary->reason, "%.*s", (int) shown.length,
                    shown.length == 0 ? "" : (const char *) shown.bytes);
    json_decref(event);
    return OK;
}
