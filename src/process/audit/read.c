#include "base/secret.h"
#include "ports/audit_leaf.h"
#include "ports/log_tiles.h"
#include "process/audit/audit.h"
#include "wire/tlog.h"

#define LIMIT_MOST 1000
/* What one answer may decrypt: some 20 ms of work. The caller goes on from `next`. */
#define OPENED_MOST 10000
#define LIST_MOST 122880

/* ---- search ---- */

struct search {
    const struct mg_request_audit_read *request;
    struct mg_audit_view view;
    struct mg_log_reader *reader;
    struct mg_buffer list;
    char *actor, *text; /* NUL-terminated copies; NULL if empty */
    uint64_t limit, found, opened;
    bool full;
};

static bool
row_matches(const struct search *search, const struct mg_index_row *row)
{
    const struct mg_request_audit_read *request = search->request;
    if (row->known == 0)
        return true; /* lost to a full disk: look at the entry itself */
    if (!request->all_tenants && row->tenant != request->tenant)
        return false;
    if (request->event != 0 && row->event != request->event)
        return false;
    if (request->class_uid != 0 && !mg_event_is_of_class((enum mg_event) row->event, request->class_uid))
        return false;
    if (request->outcome != 0 && row->outcome != request->outcome)
        return false;
    return (request->since == 0 || row->time >= request->since) &&
           (request->until == 0 || row->time < request->until);
}

/* `"name":"who"` or `"uid":"who"` inside the event's actor. */
static bool
actor_matches(const char *json, const char *actor)
{
    const char *begin = strstr(json, ",\"actor\":{");
    const char *end = begin == NULL ? NULL : strstr(begin, "}}");
    if (end == NULL)
        return false;
    OWN_BUFFER(quoted, 2048);
    if (!mg_ok(mg_buffer_add_byte(&quoted, ':')) ||
        !mg_ok(mg_buffer_add_json_string(&quoted, mg_view_text(actor))))
        return false;
    return memmem(begin, (size_t) (end - begin), quoted.bytes, quoted.length) != NULL;
}

static bool
place_matches(const struct search *search, struct mg_view leaf)
{
    uint64_t tenant;
    uint32_t month;
    return search->request->all_tenants ||
           (mg_ok(mg_leaf_place(leaf, &tenant, &month)) && tenant == search->request->tenant);
}

/* Looks at one entry; adds it if it matches. */
static CHECKED struct mg_status
entry_look(struct search *search, uint64_t entry)
{
    const struct mg_index_row row = mg_index_get(search->view.index, entry);
    if (!row_matches(search, &row))
        return OK;
    OWN_BUFFER(leaf, MG_LEAF_MOST);
    OWN_BUFFER(json, MG_LEAF_MOST);
    TRY(mg_log_reader_leaf(search->reader, entry, &leaf));
    if (!place_matches(search, mg_buffer_view(&leaf)))
        return OK;
    search->opened++;
    TRY(mg_entry_open(mg_buffer_view(&leaf), &json));
    if (search->actor != NULL && !actor_matches(mg_buffer_text(&json), search->actor))
        return OK;
    if (search->text != NULL && strcasestr(mg_buffer_text(&json), search->text) == NULL)
        return OK;
    const struct mg_record_audit_entry record = {.index = entry, .event = mg_buffer_view(&json)};
    const struct mg_status status = mg_list_add_audit_entry(&search->list, &record);
    if (status.code == MG_TOO_LARGE && search->found != 0) {
        search->full = true;
        return OK;
    }
    TRY(status);
    search->found++;
    return OK;
}

/* Walks until an answer is full; ret_next is where to go on. */
static CHECKED struct mg_status
search_walk(struct search *search, uint64_t *ret_next, bool *ret_more)
{
    const uint64_t size = search->view.size;
    const bool forward = search->request->oldest_first;
    const uint64_t from = search->request->from;
    uint64_t at = forward ? from : (from == 0 || from > size ? size : from);
    while (forward ? at < size : at > 0) {
        const uint64_t entry = forward ? at : at - 1;
        const size_t length = search->list.length;
        TRY(entry_look(search, entry));
        if (search->full) {
            search->list.length = length;
            break;
        }
        at = forward ? at + 1 : at - 1;
        if (search->found >= search->limit || search->opened >= OPENED_MOST)
            break;
    }
    *ret_next = at;
    *ret_more = forward ? at < size : at > 0;
    return OK;
}

MG_HANDLER_PUBLIC(audit_read)
{
    OWN_TEXT actor = NULL;
    OWN_TEXT text = NULL;
    OWN(log_reader) reader = NULL;
    struct search search = {.request = request, .limit = request->limit, .list = MG_BUFFER(LIST_MOST)};
    if (search.limit == 0 || search.limit > LIMIT_MOST)
        search.limit = LIMIT_MOST;
    mg_sequencer_view(&search.view);
    if (request->actor.length != 0)
        TRY(mg_view_to_text(request->actor, &actor));
    if (request->text.length != 0)
        TRY(mg_view_to_text(request->text, &text));
    TRY(mg_log_reader_new(search.view.log_directory, search.view.size, &reader));
    search.reader = reader;
    search.actor = actor;
    search.text = text;
    struct mg_reply_audit_read reply = {.size = search.view.size};
    struct mg_status status = search_walk(&search, &reply.next, &reply.more);
    if (mg_ok(status)) {
        reply.entries.bytes = mg_buffer_view(&search.list);
        status = mg_answer_audit_read(call, &reply);
    }
    mg_buffer_drop(&search.list);
    return status;
}

/* ---- proof ---- */

static CHECKED struct mg_status
proof_write(struct mg_log_reader *reader, uint64_t index, uint64_t size, struct mg_view note,
            struct mg_buffer *text)
{
    struct mg_proof proof;
    const struct mg_tree_source source = mg_log_reader_source(reader);
    TRY(mg_merkle_inclusion(&source, index, size, &proof));
    TRY(mg_buffer_format(text, "c2sp.org/tlog-proof@v1\nindex %llu\n", (unsigned long long) index));
    for (size_t i = 0; i < proof.count; i++) {
        TRY(mg_base64(mg_view_of(proof.hashes[i].bytes, MG_HASH), text));
        TRY(mg_buffer_add_byte(text, '\n'));
    }
    TRY(mg_buffer_add_byte(text, '\n'));
    return mg_buffer_add(text, note);
}

MG_HANDLER_PUBLIC(audit_proof)
{
    struct mg_audit_view view;
    OWN(log_reader) reader = NULL;
    OWN_BUFFER(note, MG_CHECKPOINT_MOST);
    OWN_BUFFER(leaf, MG_LEAF_MOST);
    OWN_BUFFER(text, 16384);
    struct mg_checkpoint checkpoint;
    mg_sequencer_view(&view);
    TRY(mg_log_checkpoint_read(view.log_directory, &note));
    const uint8_t *end = memmem(note.bytes, note.length, "\n\n", 2);
    if (end == NULL)
        return fail_with(INTEGRITY, "the checkpoint is damaged");
    TRY(mg_checkpoint_parse(mg_view_of(note.bytes, (size_t) (end + 1 - note.bytes)), &checkpoint));
    if (request->size != 0 && request->size != checkpoint.size)
        return fail_with(NOT_FOUND, "only the newest checkpoint (size %llu) is kept",
                         (unsigned long long) checkpoint.size);
    if (request->index >= checkpoint.size)
        return fail_with(NOT_FOUND, "the log has %llu entries", (unsigned long long) checkpoint.size);
    TRY(mg_log_reader_new(view.log_directory, checkpoint.size, &reader));
    TRY(mg_log_reader_leaf(reader, request->index, &leaf));
    TRY(proof_write(reader, request->index, checkpoint.size, mg_buffer_view(&note), &text));
    uint64_t tenant;
    uint32_t month;
    OWN_KEY(month_key, 32);
    OWN_KEY(key, 32);
    TRY(mg_leaf_place(mg_buffer_view(&leaf), &tenant, &month));
    struct mg_reply_audit_proof reply = {.proof = mg_buffer_view(&text), .leaf = mg_buffer_view(&leaf)};
    const struct mg_status status = mg_month_key(tenant, month, month_key);
    if (mg_ok(status)) {
        TRY(mg_leaf_key(month_key, mg_buffer_view(&leaf), key));
        reply.entry_key = mg_view_of(key, sizeof key);
    } else if (status.code != MG_NOT_FOUND) /* erased: the proof stays, the content is gone */
        return status;
    return mg_answer_audit_proof(call, &reply);
}

/* ---- state ---- */

MG_HANDLER_PUBLIC(audit_state)
{
    (void) request;
    struct mg_audit_view view;
    OWN_BUFFER(note, 3072);
    mg_sequencer_view(&view);
    const struct mg_status status = mg_log_checkpoint_read(view.log_directory, &note);
    if (status.code != MG_NOT_FOUND)
        TRY(status);
    const struct mg_index_row oldest = mg_index_get(view.index, 0);
    const struct mg_index_row newest = mg_index_get(view.index, view.size == 0 ? 0 : view.size - 1);
    const struct mg_reply_audit_state reply = {
        .size = view.size,
        .root = mg_view_of(view.root.bytes, MG_HASH),
        .oldest = oldest.time,
        .newest = newest.time,
        .free_bytes = view.free_bytes,
        .ordinary_refused = view.ordinary_refused,
        .privileged_refused = view.privileged_refused,
        .checkpoint = mg_buffer_view(&note),
    };
    return mg_answer_audit_state(call, &reply);
}
