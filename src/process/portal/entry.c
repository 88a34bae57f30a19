/* One entry of the audit log on a page: of a tenant's log, of its reports, of the operators' log. */
#include "process/portal/portal.h"

#include "domain/audit_words.h"
#include "domain/risk.h"

#define PROBE "masugata-probe" /* how the names of the probes' accounts begin (identity_canary.c) */

const struct outcome_word outcome_words[MG_OUTCOME_WORDS] = {
    {"success", N_("Done")},
    {"failure", N_("Failed")},
    {"refused", N_("Refused")},
};

/* The reason as a sentence where it is one of ours, and what else is kept as it is. */
static CHECKED struct mg_status
detail_set(const struct visit *visit, struct mg_scope *row, const struct mg_record_audit_row *entry)
{
    OWN_BUFFER(words, 8192);
    TRY(mg_audit_reason_add(entry->action, entry->reason, entry->told, visit->language == MG_JAPANESE,
                            &words));
    if (words.length == 0) {
        mg_scope_set(row, "detail", entry->detail);
        return OK;
    }
    if (entry->rest.length != 0)
        TRY(mg_buffer_format(&words, " %.*s", (int) entry->rest.length, (const char *) entry->rest.bytes));
    mg_scope_set(row, "detail", mg_buffer_view(&words));
    return OK;
}

struct mg_status
scope_entry(const struct visit *visit, struct mg_scope *row, const struct mg_record_audit_row *entry)
{
    const struct mg_event_row *event = mg_event_row(mg_event_of_name(entry->action));
    if (event != NULL)
        mg_scope_set_text(row, "event", visit->language == MG_JAPANESE ? event->ja : event->en);
    mg_scope_set_number(row, "entry", entry->entry);
    mg_scope_set(row, "entry_tenant", entry->tenant);
    mg_scope_set(row, "actor", entry->actor);
    mg_scope_set(row, "action", entry->action);
    mg_scope_set(row, "target", entry->target);
    for (size_t i = 0; i < MG_OUTCOME_WORDS; i++) {
        if (!mg_view_is(entry->outcome, outcome_words[i].word))
            continue;
        mg_scope_set_text(row, "outcome", say(visit, outcome_words[i].text));
        mg_scope_set_flag(row, "went_well", i == 0);
    }
    mg_scope_set(row, "address", entry->address);
    scope_time(visit, row, TIME_NAMES(at), entry->time);
    return detail_set(visit, row, entry);
}

/* ---- sign-ins ---- */

/* The value of "key=…" in what the log says besides; empty without one. Values with blanks end there. */
static struct mg_view
detail_value(struct mg_view detail, const char *key)
{
    const size_t length = strlen(key);
    for (size_t at = 0; at + length < detail.length; at++) {
        if ((at != 0 && detail.bytes[at - 1] != ' ') || memcmp(detail.bytes + at, key, length) != 0)
            continue;
        const uint8_t *value = detail.bytes + at + length;
        const size_t left = detail.length - at - length;
        const uint8_t *end = memchr(value, ' ', left);
        return mg_view_of(value, end == NULL ? left : (size_t) (end - value));
    }
    return MG_VIEW_EMPTY;
}

/* A sign-in's reasons in words: signals of a suspicious one, the provider's refusal, or why it was refused.
 */
struct mg_status
scope_sign_in(const struct visit *visit, struct mg_scope *row, const struct mg_record_audit_row *entry)
{
    OWN_BUFFER(words, 8192);
    TRY(mg_audit_reason_add(entry->action, entry->reason, entry->told, visit->language == MG_JAPANESE,
                            &words));
    if (mg_view_is(entry->action, "sign_in_suspicious"))
        mg_scope_set(row, "score", detail_value(entry->rest, "score="));
    mg_scope_set(row, "reasons", mg_buffer_view(&words));
    /* Of names that are nobody's there is only a hash, and what was counted together was nobody's alone. */
    const bool probe =
        entry->actor.length >= sizeof PROBE - 1 && memcmp(entry->actor.bytes, PROBE, sizeof PROBE - 1) == 0;
    if (!mg_view_is(entry->reason, "UNKNOWN") && !mg_view_is(entry->action, "sign_in_refused_flood"))
        mg_scope_set(row, "who", entry->actor.length != 0 ? entry->actor : entry->target);
    mg_scope_set_flag(row, "probe", probe);
    if (probe)
        mg_scope_set_flag(visit->page, "probes", true);
    mg_scope_set(row, "provider", detail_value(entry->rest, "provider="));
    mg_scope_set(row, "country", detail_value(entry->rest, "country="));
    mg_scope_set(row, "count", detail_value(entry->rest, "count="));
    return OK;
}
