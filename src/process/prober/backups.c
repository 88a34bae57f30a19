/* What the worker knows of backups, and what the audit log says of them. */
#include "process/prober/prober.h"

#include <stdio.h>

enum { CALL_MS = 10000, PAGE = 1000 };

bool
mg_prober_is_copy(struct mg_view child)
{
    for (uint64_t kind = MG_RESTORE_NONE + 1; kind < MG_RESTORE_KIND_COUNT; kind++) {
        char start[64];
        const int length = snprintf(start, sizeof start, "postgres %s", mg_restore_prefix(kind));
        if (child.length > (size_t) length && memcmp(child.bytes, start, (size_t) length) == 0)
            return true;
    }
    return false;
}

struct mg_status
mg_prober_backup_facts(struct mg_observer *observer, uint64_t tenant, struct mg_observed_backup *ret_backup)
{
    OWN_BUFFER(storage, 8192);
    struct mg_reply_backup_facts reply;
    (void) observer;
    TRY(mg_call_backup_facts(&(struct mg_request_backup_facts){.tenant = tenant}, &reply, &storage, CALL_MS));
    *ret_backup = (struct mg_observed_backup){
        .backups = reply.backups,
        .verified_files = reply.verified_files,
        .sealed_files = reply.sealed_files,
        .plain_files = reply.plain_files,
        .due_at = reply.due_at,
        .oldest_at = reply.oldest_at,
        .full_at = reply.full_at,
        .backup_at = reply.backup_at,
        .from = reply.from,
        .verified_at = reply.verified_at,
        .sealed_at = reply.sealed_at,
        .drilled_at = reply.drilled_at,
        /* One that we do not know is the worst. */
        .files_trouble = reply.files_trouble < MG_BACKUP_TROUBLE_COUNT
                             ? (enum mg_backup_trouble) reply.files_trouble
                             : MG_BACKUP_TROUBLE_INVENTORY,
        .own_key_opens = reply.own_key_opens,
        .other_key_opens = reply.other_key_opens,
        .drill_failed = reply.drill_failed,
        .rto_ms = reply.rto_ms,
        .rpo_ms = reply.rpo_ms,
    };
    TRY(mg_view_copy(reply.plan, ret_backup->plan, sizeof ret_backup->plan));
    TRY(mg_view_copy(reply.plan_strange, ret_backup->plan_strange, sizeof ret_backup->plan_strange));
    TRY(mg_view_copy(reply.files_detail, ret_backup->files_detail, sizeof ret_backup->files_detail));
    TRY(mg_view_copy(reply.plain_first, ret_backup->plain_first, sizeof ret_backup->plain_first));
    return mg_view_copy(reply.drill_detail, ret_backup->drill_detail, sizeof ret_backup->drill_detail);
}

struct mg_status
mg_prober_backup_labels(struct mg_observer *observer, uint64_t tenant, struct mg_buffer *lines)
{
    uint64_t from = 0;
    (void) observer;
    for (bool more = true; more;) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_backup_entries reply;
        const struct mg_request_backup_entries request = {.tenant = tenant, .from = from};
        TRY(mg_call_backup_entries(&request, &reply, &storage, CALL_MS));
        for (bool another = true;;) {
            struct mg_record_backup_entry row;
            TRY(mg_list_next_backup_entry(&reply.backups, &row, &another));
            if (!another)
                break;
            TRY(mg_buffer_add(lines, row.label));
            TRY(mg_buffer_add_byte(lines, '\n'));
        }
        more = reply.more && reply.next > from;
        from = reply.next;
    }
    return OK;
}

struct mg_status
mg_prober_audit_events(struct mg_observer *observer, uint64_t tenant, uint64_t event, mg_instant since,
                       struct mg_buffer *lines)
{
    struct mg_request_audit_read request = {
        .tenant = tenant, .event = event, .since = since, .oldest_first = true, .limit = PAGE};
    (void) observer;
    for (bool more = true; more;) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_audit_read reply;
        TRY(mg_call_audit_read(&request, &reply, &storage, CALL_MS));
        for (bool another = true;;) {
            struct mg_record_audit_entry entry;
            TRY(mg_list_next_audit_entry(&reply.entries, &entry, &another));
            if (!another)
                break;
            TRY(mg_buffer_add(lines, entry.event));
            TRY(mg_buffer_add_byte(lines, '\n'));
        }
        more = reply.more && reply.next > request.from;
        request.from = reply.next;
    }
    return OK;
}
