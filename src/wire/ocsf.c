#include "wire/ocsf.h"

#define VERSION_OF_OCSF "1.3.0"

/* ,"key":"value" for text that is not empty. */
static CHECKED struct mg_status
text_add(struct mg_buffer *json, const char *key, struct mg_view value)
{
    if (value.length == 0)
        return OK;
    const uint8_t last = json->bytes[json->length - 1];
    if (last != '{')
        TRY(mg_buffer_add_byte(json, ','));
    TRY(mg_buffer_add_byte(json, '"'));
    TRY(mg_buffer_add_text(json, key));
    TRY(mg_buffer_add_text(json, "\":"));
    return mg_buffer_add_json_string(json, value);
}

/* Numbers are frequent and snprintf is not cheap at 50,000 events a second. */
static CHECKED struct mg_status
number_add(struct mg_buffer *json, const char *prefix, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char) ('0' + number % 10);
    while ((number /= 10) != 0);
    TRY(mg_buffer_add_text(json, prefix));
    return mg_buffer_add(json, mg_view_of(digits + at, sizeof digits - at));
}

static CHECKED struct mg_status
metadata_add(struct mg_buffer *json, const struct mg_event_row *row, uint64_t tenant,
             const struct mg_ocsf_stamp *stamp)
{
    TRY(mg_buffer_add_text(
        json, "{\"metadata\":{\"version\":\"" VERSION_OF_OCSF
              "\",\"product\":{\"name\":\"Masugata\",\"vendor_name\":\"Masugata\",\"version\":\"" MG_VERSION
              "\"}"));
    TRY(text_add(json, "event_code", mg_view_text(row->name)));
    TRY(number_add(json, ",\"tenant_uid\":\"", tenant));
    TRY(mg_buffer_add_text(json, "\",\"log_provider\":\""));
    TRY(mg_buffer_add_text(json, mg_process_name(stamp->sender)));
    return mg_buffer_add_text(json, "\"}");
}

static CHECKED struct mg_status
class_add(struct mg_buffer *json, const struct mg_event_row *row,
          const struct mg_request_audit_append *request, const struct mg_ocsf_stamp *stamp)
{
    static const char *const status[MG_AUDIT_OUTCOME_COUNT] = {
        [MG_AUDIT_UNKNOWN] = ",\"status_id\":0,\"status\":\"Unknown\"",
        [MG_AUDIT_SUCCESS] = ",\"status_id\":1,\"status\":\"Success\"",
        [MG_AUDIT_FAILURE] = ",\"status_id\":2,\"status\":\"Failure\"",
        [MG_AUDIT_REFUSED] = ",\"status_id\":2,\"status\":\"Failure\"",
    };
    TRY(number_add(json, ",\"time\":", stamp->time < 0 ? 0 : (uint64_t) stamp->time));
    TRY(number_add(json, ",\"category_uid\":", row->class_uid / 1000));
    TRY(number_add(json, ",\"class_uid\":", row->class_uid));
    TRY(number_add(json, ",\"activity_id\":", row->activity_id));
    TRY(number_add(json, ",\"type_uid\":", row->class_uid * 100ULL + row->activity_id));
    TRY(number_add(json, ",\"severity_id\":", row->severity_id));
    TRY(mg_buffer_add_text(json, status[request->outcome]));
    TRY(text_add(json, "status_detail", request->reason));
    return text_add(json, "message", mg_view_text(row->en));
}

static CHECKED struct mg_status
actor_add(struct mg_buffer *json, const struct mg_request_audit_append *request,
          const struct mg_ocsf_stamp *stamp)
{
    if (request->actor_kind == MG_ACTOR_NONE)
        return OK;
    const bool process = request->actor_kind == MG_ACTOR_PROCESS;
    const struct mg_view name =
        request->actor_kind == MG_ACTOR_UNKNOWN ? stamp->name_hash : request->actor_name;
    TRY(mg_buffer_add_text(json, process ? ",\"actor\":{\"process\":{" : ",\"actor\":{\"user\":{"));
    TRY(text_add(json, "uid", request->actor_id));
    TRY(text_add(json, "name", name));
    TRY(text_add(json, "type", mg_view_text(mg_actor_kind_name((enum mg_actor_kind) request->actor_kind))));
    return mg_buffer_add_text(json, "}}");
}

/* Where OCSF keeps what was acted on differs by class. */
static CHECKED struct mg_status
target_add(struct mg_buffer *json, const struct mg_event_row *row,
           const struct mg_request_audit_append *request)
{
    if (row->class_uid == 6003)
        TRY(mg_buffer_format(json, ",\"api\":{\"operation\":\"%s\"}", row->name));
    if (request->target.length == 0)
        return OK;
    const char *before, *after;
    switch (row->class_uid) {
    case 3001:
    case 3005:
        before = ",\"user\":{", after = "}";
        break;
    case 2003:
    case 2004:
    case 2005:
        before = ",\"finding_info\":{", after = "}";
        break;
    case 6005:
        before = ",\"database\":{", after = "}";
        break;
    case 3004:
        before = ",\"entity\":{", after = "}";
        break;
    default:
        before = ",\"resources\":[{", after = "}]";
    }
    TRY(mg_buffer_add_text(json, before));
    TRY(text_add(json, row->class_uid / 1000 == 2 ? "title" : "name", request->target));
    return mg_buffer_add_text(json, after);
}

static CHECKED struct mg_status
unmapped_add(struct mg_buffer *json, const struct mg_request_audit_append *request)
{
    TRY(mg_buffer_add_text(json, ",\"unmapped\":{"));
    TRY(text_add(json, "outcome",
                 mg_view_text(mg_audit_outcome_name((enum mg_audit_outcome) request->outcome))));
    TRY(text_add(json, "session", request->session));
    TRY(text_add(json, "request", request->request));
    struct mg_list details = request->details;
    TRY(mg_buffer_add_text(json, ",\"details\":{"));
    for (bool more = true;;) {
        struct mg_record_audit_detail detail;
        TRY(mg_list_next_audit_detail(&details, &detail, &more));
        if (!more)
            break;
        const uint8_t last = json->bytes[json->length - 1];
        if (last != '{')
            TRY(mg_buffer_add_byte(json, ','));
        TRY(mg_buffer_add_json_string(json, detail.key));
        TRY(mg_buffer_add_byte(json, ':'));
        TRY(mg_buffer_add_json_string(json, detail.value));
    }
    return mg_buffer_add_text(json, "}}}");
}

struct mg_status
mg_ocsf_add(struct mg_buffer *json, const struct mg_request_audit_append *request,
            const struct mg_ocsf_stamp *stamp)
{
    const struct mg_event_row *row =
        request->event < MG_EVENT_COUNT ? mg_event_row((enum mg_event) request->event) : NULL;
    if (row == NULL || request->actor_kind >= MG_ACTOR_KIND_COUNT ||
        request->outcome >= MG_AUDIT_OUTCOME_COUNT)
        return fail_with(INVALID, "event %llu, actor %llu, outcome %llu", (unsigned long long) request->event,
                         (unsigned long long) request->actor_kind, (unsigned long long) request->outcome);
    TRY(metadata_add(json, row, request->tenant, stamp));
    TRY(class_add(json, row, request, stamp));
    TRY(actor_add(json, request, stamp));
    TRY(target_add(json, row, request));
    if (request->address.length != 0) {
        TRY(mg_buffer_add_text(json, ",\"src_endpoint\":{"));
        TRY(text_add(json, "ip", request->address));
        TRY(mg_buffer_add_byte(json, '}'));
    }
    return unmapped_add(json, request);
}
