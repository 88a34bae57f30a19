/* Who answers for what: the matrix of claim 139, made from the catalogue. */
#include "process/prober/responsibility.h"

#include "domain/control.h"

static CHECKED struct mg_status
words(struct mg_buffer *json, const char *name, struct mg_words text)
{
    TRY(mg_buffer_format(json, "\"%s\":{\"en\":", name));
    TRY(mg_buffer_add_json_string(json, mg_view_text(text.en)));
    TRY(mg_buffer_add_text(json, ",\"ja\":"));
    TRY(mg_buffer_add_json_string(json, mg_view_text(text.ja)));
    return mg_buffer_add_byte(json, '}');
}

static CHECKED struct mg_status
matrix_row(const char *id, struct mg_words what, enum mg_party accountable, bool first,
           struct mg_buffer *json)
{
    TRY(mg_buffer_format(json, "%s{\"id\":\"%s\",", first ? "\n" : ",\n", id));
    TRY(words(json, "what", what));
    return mg_buffer_format(json, ",\"accountable\":\"%s\"}", mg_party_name(accountable));
}

/* Control: COMPLIANCE_04 */
struct mg_status
mg_responsibility_json(struct mg_buffer *json)
{
    TRY(mg_buffer_add_text(json, "{\"parties\":["));
    for (enum mg_party party = MG_PARTY_CLOUD_PROVIDER; party < MG_PARTY_COUNT; party++) {
        TRY(mg_buffer_format(json, "%s{\"party\":\"%s\",", party == MG_PARTY_CLOUD_PROVIDER ? "" : ",",
                             mg_party_name(party)));
        TRY(words(json, "name", mg_party_words(party)));
        TRY(mg_buffer_add_byte(json, '}'));
    }
    TRY(mg_buffer_add_text(json, "],\"rows\":["));
    for (size_t i = 0; i < mg_duty_count; i++)
        TRY(matrix_row(mg_duty_rows[i].id, mg_duty_rows[i].duty, mg_duty_rows[i].accountable, i == 0, json));
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const struct mg_control_row *row = mg_control_row((enum mg_control) i);
        TRY(matrix_row(row->id, row->statement, row->accountable, false, json));
    }
    for (size_t i = 0; i < mg_attestation_count; i++)
        TRY(matrix_row(mg_attestation_rows[i].id, mg_attestation_rows[i].statement,
                       mg_attestation_rows[i].accountable, false, json));
    return mg_buffer_add_text(json, "]}\n");
}
