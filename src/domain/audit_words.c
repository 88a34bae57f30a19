#include "domain/audit_words.h"

#include "base/time.h"
#include "domain/risk.h"

#include <inttypes.h>

bool
mg_audit_reason_ours(struct mg_view event)
{
    static const enum mg_event events[] = {
#define REASON_EVENT(name) MG_EVENT_##name,
#include "../../catalogue/reason_events.def"
#undef REASON_EVENT
    };
    const enum mg_event it = mg_event_of_name(event);
    for (size_t i = 0; i < MG_COUNT(events); i++)
        if (events[i] == it)
            return true;
    return false;
}

struct mg_status
mg_audit_reason_add(struct mg_view event, struct mg_view reason, struct mg_view told, bool japanese,
                    struct mg_buffer *words)
{
    if (reason.length == 0 || !mg_audit_reason_ours(event))
        return OK;
    if (mg_view_is(event, "sign_in_suspicious"))
        return mg_signals_words(mg_signals_of(reason), japanese, words);
    OWN_BUFFER(sentence, 8192);
    TRY(mg_reason_words(reason, japanese, &sentence));
    if (mg_view_equal(mg_buffer_view(&sentence), reason))
        return OK; /* a word that says it by itself: "totp" */
    TRY(mg_buffer_add(words, mg_buffer_view(&sentence)));
    if (told.length == 0)
        return OK;
    TRY(mg_buffer_add_text(words, ": "));
    return mg_reason_words(told, japanese, words);
}

struct mg_status
mg_csv_cell(struct mg_buffer *csv, struct mg_view text, const char *end)
{
    TRY(mg_buffer_add_byte(csv, '"'));
    if (text.length != 0 && strchr("=+-@\t\r\n", text.bytes[0]) != NULL)
        TRY(mg_buffer_add_byte(csv, '\''));
    for (size_t i = 0; i < text.length; i++) {
        if (text.bytes[i] == '"')
            TRY(mg_buffer_add_byte(csv, '"'));
        TRY(mg_buffer_add_byte(csv, text.bytes[i]));
    }
    return mg_buffer_format(csv, "\"%s", end);
}

struct mg_status
mg_csv_audit_head(struct mg_buffer *csv)
{
    return mg_buffer_add_text(csv, "entry,time,event,who,what,outcome,address,detail,reason\r\n");
}

struct mg_status
mg_csv_audit_row(struct mg_buffer *csv, const struct mg_record_audit_row *row, bool japanese)
{
    char time[MG_INSTANT_TEXT];
    OWN_BUFFER(words, 8192);
    mg_instant_text(row->time, time);
    TRY(mg_audit_reason_add(row->action, row->reason, row->told, japanese, &words));
    TRY(mg_buffer_format(csv, "%" PRIu64 ",%s,", row->entry, time));
    TRY(mg_csv_cell(csv, row->action, ","));
    TRY(mg_csv_cell(csv, row->actor, ","));
    TRY(mg_csv_cell(csv, row->target, ","));
    TRY(mg_csv_cell(csv, row->outcome, ","));
    TRY(mg_csv_cell(csv, row->address, ","));
    TRY(mg_csv_cell(csv, row->detail, ","));
    return mg_csv_cell(csv, mg_buffer_view(&words), "\r\n");
}
