/* The key that signs assertions: every `keys.rotation` the one that has been announced since the time before
 * takes its place (DESIGN.md section 4). The key made for the announcement of the next one tells when that
 * was, so nothing of it is remembered here for longer than this process lives. */
#include "base/log.h"
#include "process/authority/core.h"
#include "process/authority/gate_side.h"

enum { KEYS_MS = 5000, RETRY_MS = 10000 };

/* When the newest key that signs assertions was made. */
static CHECKED struct mg_status
newest_find(mg_instant *ret_made_at)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    mg_instant newest = 0;
    for (uint64_t after = 0;;) {
        struct mg_reply_keys_list reply;
        struct mg_record_key_state key;
        const uint64_t before = after;
        mg_buffer_clear(&storage);
        TRY(mg_call_keys_list(&(struct mg_request_keys_list){.after_key = after}, &reply, &storage, KEYS_MS));
        for (bool more = true; more;) {
            TRY(mg_list_next_key_state(&reply.keys, &key, &more));
            if (!more)
                break;
            after = key.key;
            if (mg_view_is(key.purpose, "assertion") && key.created_at > newest)
                newest = key.created_at;
        }
        if (after == before)
            break;
    }
    if (newest == 0)
        return fail_with(NOT_FOUND, "no assertion key");
    *ret_made_at = newest;
    return OK;
}

static CHECKED struct mg_status
rotate(void)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_key_rotate reply;
    const struct mg_request_key_rotate request = {.tenant = 0, .purpose = mg_view_text("assertion")};
    TRY(mg_call_key_rotate(&request, &reply, &storage, KEYS_MS));
    mg_log(MG_INFO, "assertions are signed with the next key");
    return OK;
}

struct mg_status
mg_assertion_key_tend(mg_instant now)
{
    static mg_instant rotated_at; /* 0: not known */
    static int64_t not_before_ms; /* monotonic; after a failure */
    if (mg_monotonic_ms() < not_before_ms)
        return OK;
    not_before_ms = mg_monotonic_ms() + RETRY_MS;
    if (rotated_at == 0)
        TRY(newest_find(&rotated_at));
    if (now - rotated_at >= mg_environment()->options->keys_rotation) {
        rotated_at = 0;
        TRY(rotate());
    }
    not_before_ms = 0;
    return OK;
}
