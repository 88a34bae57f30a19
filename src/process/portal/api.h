/* What the files of the API share: one request with its inputs checked against catalogue/api.def, and its
 * answer. The handlers send the authority the same requests as the pages of the console, with the hash of the
 * token in the place of a session: who may do what is decided there, once. */
#ifndef MG_PROCESS_PORTAL_API_H
#define MG_PROCESS_PORTAL_API_H

#include "domain/api.h"
#include "ports/json_body.h"
#include "process/portal/portal.h"

/* Objects of answers that are no record or reply of a message. */
struct mg_api_ended {
    uint64_t ended;
};
struct mg_api_made {
    uint64_t id;
    struct mg_view name;
};
struct mg_api_issued {
    uint64_t token;
    struct mg_view secret;
};
struct mg_api_event {
    uint64_t index;
    struct mg_view event, reason;
};
struct mg_api_backups {
    struct mg_view plan, plan_text, site, copy_site, trouble, trouble_text;
    uint64_t promised_rpo_ms, promised_rto_ms, window_ms, backups, stored_bytes, verified_files, rto_ms,
        rpo_ms;
    mg_instant from, log_at, full_at, backup_at, copied_until, verified_at, drilled_at;
};
struct mg_api_rule {
    struct mg_view keyword, value, preset, meaning;
};
struct mg_api_provider {
    struct mg_view name, addresses, settings;
    bool enabled, with_secret, key_rolling, key_switched;
    mg_instant key_ends_at, key_signs_at;
};

struct mg_api_metadata {
    uint64_t refusal;
    struct mg_view detail, settings;
};

struct api {
    struct visit *visit;
    const struct mg_api_endpoint_row *row;
    struct mg_json_value values[MG_API_INPUTS_MOST]; /* in the order of the row's inputs */
    struct mg_buffer inputs;                         /* what they borrow */
    struct mg_buffer token_storage;
    struct mg_reply_token_check token;
    struct mg_view expected; /* the hash in If-Match; empty for * */
    uint8_t expected_bytes[HASH_BYTES];
    char key[256]; /* Idempotency-Key; empty without one */
    /* the answer */
    unsigned status;
    struct mg_buffer json, kept; /* `kept`: what a repetition gets, when it is not the same */
    char place[1024];            /* Location */
    char etag[48];               /* base64url */
    size_t items;
};

/* ---- api.c ---- */
/* Answers a request below /api/. */
CHECKED struct mg_status api_follow(struct visit *visit);
/* The answer to a request that failed with a status of ours; what the cause is goes to the log only. */
CHECKED struct mg_status api_failed(struct visit *visit, struct mg_status failure);
/* An input by its name; a name that the row does not have is a bug. */
const struct mg_json_value *api_value(const struct api *api, const char *name);
struct mg_view api_text(const struct api *api, const char *name);
/* The number that a path's {name} is; false if it is none (the answer is then 404). */
bool api_number(const struct api *api, const char *name, uint64_t *ret_number);
/* Answers with a decision of the authority; `reason` is its text for the member that is at fault, or empty.
 */
CHECKED struct mg_status api_refuse(struct api *api, uint64_t outcome, struct mg_view reason);
CHECKED struct mg_status api_problem(struct api *api, enum mg_api_problem problem, const char *member);
/* GRANTED: 204. Anything else as api_refuse. */
CHECKED struct mg_status api_done(struct api *api, uint64_t outcome, struct mg_view reason);
/* The ETag of a value: what `expected` in a message is the hash of. */
CHECKED struct mg_status api_etag(struct api *api, struct mg_view value);
/* Where the thing that was made is: `collection` and its name, percent-encoded. */
CHECKED struct mg_status api_place(struct api *api, const char *collection, struct mg_view name);

/* A page: begin, then one api_item_<object> each, then end with the cursor of the next page or an empty view.
 */
CHECKED struct mg_status api_list_begin(struct api *api);
CHECKED struct mg_status api_list_end(struct api *api, struct mg_view next);
CHECKED struct mg_status api_list_end_number(struct api *api, bool more, uint64_t next);
/* What the cursor stands for; false if it is none (the answer is then 422). */
CHECKED struct mg_status api_cursor(struct api *api, struct mg_buffer *after, bool *ret_right);
CHECKED struct mg_status api_cursor_number(struct api *api, uint64_t *ret_after, bool *ret_right);

/* ---- api_write.c: api_item_<object> adds to a list, api_one_<object> is the whole answer ---- */
#define OBJECT(name, type, ...)                                                  \
    CHECKED struct mg_status api_item_##name(struct api *api, const type *from); \
    CHECKED struct mg_status api_one_##name(struct api *api, const type *from);
#include "catalogue/api.def"

/* ---- handlers ---- */
#define ENDPOINT(name, ...) struct mg_status api_on_##name(struct api *api);
#include "catalogue/api.def"

#endif
