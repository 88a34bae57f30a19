/* DIR/proof/CONTROL.json: reading back what was stored. */
#include "process/prober/ledger_text.h"

#include <jansson.h>

static void
copy_text(const json_t *object, const char *name, char *text, size_t size)
{
    const char *value = json_string_value(json_object_get(object, name));
    if (value != NULL && !mg_ok(mg_view_copy(mg_view_text(value), text, size)))
        text[0] = '\0';
}

static CHECKED struct mg_status
instant_of(const json_t *object, const char *name, mg_instant *ret_instant)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text == NULL)
        return fail_with(MALFORMED, "finding without %s", name);
    return mg_instant_parse(mg_view_text(text), ret_instant);
}

struct mg_status
mg_ledger_decode(struct mg_view text, struct mg_ledger_entry *ret_entry)
{
    json_t *object = json_loadb((const char *) text.bytes, text.length, JSON_REJECT_DUPLICATES, NULL);
    struct mg_ledger_entry entry = {.since = 0};
    struct mg_finding *finding = &entry.finding;
    struct mg_status status = instant_of(object, "at", &finding->at);
    if (mg_ok(status))
        status = instant_of(object, "since", &entry.since);
    const char *verdict = json_string_value(json_object_get(object, "verdict"));
    finding->verdict = mg_verdict_of_name(mg_view_text(verdict));
    copy_text(object, "reason", finding->reason_en, sizeof finding->reason_en);
    copy_text(object, "reason_ja", finding->reason_ja, sizeof finding->reason_ja);
    copy_text(object, "evidence", finding->evidence, sizeof finding->evidence);
    copy_text(object, "digest", finding->digest, sizeof finding->digest);
    finding->source = "";
    json_decref(object);
    TRY(status);
    *ret_entry = entry;
    return OK;
}
