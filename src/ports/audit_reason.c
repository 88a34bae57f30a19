#include "ports/audit_reason.h"

#include "domain/audit_words.h"

#include <inttypes.h>
#include <jansson.h>

struct mg_status
mg_audit_reason_of(struct mg_view event, bool japanese, struct mg_buffer *words)
{
    json_t *json = json_loadb((const char *) event.bytes, event.length, 0, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return fail_with(MALFORMED, "an entry is not JSON");
    }
    const json_t *code = json_object_get(json_object_get(json, "metadata"), "event_code");
    const json_t *details = json_object_get(json_object_get(json, "unmapped"), "details");
    const struct mg_status status = mg_audit_reason_add(
        mg_view_text(json_string_value(code)),
        mg_view_text(json_string_value(json_object_get(json, "status_detail"))),
        mg_view_text(json_string_value(json_object_get(details, "detail"))), japanese, words);
    json_decref(json);
    return status;
}

struct mg_status
mg_audit_event_add(struct mg_view event, bool with_entry, uint64_t entry, bool japanese,
                   struct mg_buffer *line)
{
    OWN_BUFFER(words, 8192);
    TRY(mg_audit_reason_of(event, japanese, &words));
    TRY(mg_buffer_add_byte(line, '{'));
    if (with_entry)
        TRY(mg_buffer_format(line, "\"entry\":%" PRIu64 ",", entry));
    if (words.length != 0) {
        TRY(mg_buffer_add_text(line, "\"reason\":"));
        TRY(mg_buffer_add_json_string(line, mg_buffer_view(&words)));
        TRY(mg_buffer_add_byte(line, ','));
    }
    return mg_buffer_add(line, mg_view_of(event.bytes + 1, event.length - 1));
}
