/* What keys tells the audit log.
 *
 * Acts (create, rotate, destroy) are recorded one by one, before they take effect. Openings are far
 * too many for that: they are counted by sender, tenant, place, purpose and outcome and written every
 * second as one key_use event with its count; a crash loses at most that second's counts, and when
 * the log takes no records for a minute openings are refused. What audit itself asks of keys is
 * not recorded, because audit would wait for itself. */
#include "base/log.h"
#include "process/keys/keys.h"

#include <pthread.h>
#include <stdio.h>

enum { RECORD_TIMEOUT_MS = 5000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mg_use_ledger ledger;

struct mg_status
mg_keys_note_use(enum mg_process sender, uint64_t tenant, struct mg_view table, struct mg_view column,
                 struct mg_view purpose, bool refused)
{
    struct mg_use use = {.tenant = tenant, .sender = (unsigned) sender, .refused = refused};
    if (purpose.length == 0)
        return fail_with(INVALID, "an opening names its purpose");
    TRY(mg_view_copy(purpose, use.purpose, sizeof use.purpose));
    if (snprintf(use.place, sizeof use.place, "%.*s.%.*s", (int) table.length, (const char *) table.bytes,
                 (int) column.length, (const char *) column.bytes) >= (int) sizeof use.place)
        return fail(TOO_LARGE);
    (void) pthread_mutex_lock(&lock);
    const struct mg_status status = mg_use_note(&ledger, &use, mg_monotonic_ms());
    (void) pthread_mutex_unlock(&lock);
    return status;
}

static CHECKED struct mg_status
record_row(const struct mg_use_row *row)
{
    OWN_BUFFER(details, 1024);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    char count[24];
    (void) snprintf(count, sizeof count, "%llu", (unsigned long long) row->count);
    TRY(mg_list_add_audit_detail(&details,
                                 &(struct mg_record_audit_detail){.key = mg_view_text("purpose"),
                                                                  .value = mg_view_text(row->use.purpose)}));
    TRY(mg_list_add_audit_detail(&details, &(struct mg_record_audit_detail){.key = mg_view_text("count"),
                                                                            .value = mg_view_text(count)}));
    const struct mg_request_audit_append request = {
        .event = row->use.refused ? MG_EVENT_key_refuse : MG_EVENT_key_use,
        .tenant = row->use.tenant,
        .actor_kind = MG_ACTOR_PROCESS,
        .actor_id = mg_view_text(mg_process_name((enum mg_process) row->use.sender)),
        .target = mg_view_text(row->use.place),
        .outcome = row->use.refused ? MG_AUDIT_REFUSED : MG_AUDIT_SUCCESS,
        .reason = mg_view_text(
            row->use.refused ? "the sealed data was changed, moved, is under another key or another process's"
                             : ""),
        .details = {.bytes = mg_buffer_view(&details)},
    };
    struct mg_reply_audit_append reply;
    return mg_call_audit_append(&request, &reply, &storage, RECORD_TIMEOUT_MS);
}

void
mg_keys_record_uses(void)
{
    /* Not more rows than there are now, so that one call ends. */
    (void) pthread_mutex_lock(&lock);
    size_t turns = ledger.count;
    (void) pthread_mutex_unlock(&lock);
    for (; turns > 0; turns--) {
        struct mg_use_row row;
        (void) pthread_mutex_lock(&lock);
        const bool taken = mg_use_take(&ledger, &row);
        (void) pthread_mutex_unlock(&lock);
        if (!taken)
            return;
        const struct mg_status status = record_row(&row);
        if (mg_ok(status))
            continue;
        (void) pthread_mutex_lock(&lock);
        mg_use_put_back(&ledger, &row);
        (void) pthread_mutex_unlock(&lock);
        mg_log_status(MG_WARNING, "recording the use of keys", status);
        return;
    }
}

static CHECKED struct mg_status
append_act(enum mg_event event, enum mg_process sender, uint64_t tenant, const char *purpose,
           enum mg_audit_outcome outcome, const char *reason)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    const struct mg_request_audit_append request = {
        .event = (uint64_t) event,
        .tenant = tenant,
        .actor_kind = MG_ACTOR_PROCESS,
        .actor_id = mg_view_text(mg_process_name(sender)),
        .target = mg_view_text(purpose),
        .outcome = outcome,
        .reason = mg_view_text(reason),
    };
    struct mg_reply_audit_append reply;
    return mg_call_audit_append(&request, &reply, &storage, RECORD_TIMEOUT_MS);
}

struct mg_status
mg_keys_record_act(enum mg_event event, enum mg_process sender, uint64_t tenant, const char *purpose)
{
    return append_act(event, sender, tenant, purpose, MG_AUDIT_SUCCESS, "");
}

void
mg_keys_record_failure(enum mg_event event, enum mg_process sender, uint64_t tenant, const char *purpose,
                       struct mg_status status)
{
    const struct mg_status recorded =
        append_act(event, sender, tenant, purpose, MG_AUDIT_FAILURE, mg_error_row(status.code)->name);
    if (!mg_ok(recorded))
        mg_log_status(MG_WARNING, "recording a failed change of keys", recorded);
}
