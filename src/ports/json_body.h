/* The body of a request to the API: one JSON object (RFC 8259) whose members are known by name and type.
 * Stricter than the standard: UTF-8 without NUL and other control characters than tab and line break, no
 * member twice, none that is not in the list, no null, nothing nested deeper than a member's own array or
 * object. Bounded by the caller's body. */
#ifndef MG_PORTS_JSON_BODY_H
#define MG_PORTS_JSON_BODY_H

#include "base/time.h"

enum mg_json_kind {
    MG_JSON_TEXT,
    MG_JSON_NUMBER,
    MG_JSON_FLAG,
    MG_JSON_TIME,     /* RFC 3339 */
    MG_JSON_WORDS,    /* an array of words without spaces, none twice; read as one text with single spaces
                         between */
    MG_JSON_SETTINGS, /* an object of texts; read as a list of idp_setting records (catalogue/messages.def) */
};

struct mg_json_member {
    const char *name;
    enum mg_json_kind kind;
    bool required;
    uint64_t most; /* bytes of a text (of all words together, of all settings); of a NUMBER the largest */
};

struct mg_json_value {
    bool given;
    struct mg_view text; /* borrows the storage; empty when it is not given */
    uint64_t number;
    bool flag;
    mg_instant time;
};

/* What is wrong, for the answer: zero when nothing is. `member` is cut to what fits and is UTF-8. */
enum mg_json_fault {
    MG_JSON_RIGHT = 0,
    MG_JSON_MALFORMED, /* no JSON object */
    MG_JSON_UNKNOWN_MEMBER,
    MG_JSON_MISSING_MEMBER,
    MG_JSON_WRONG_MEMBER, /* type or size */
};
struct mg_json_verdict {
    enum mg_json_fault fault;
    char member[64];
};

#define MG_JSON_BODY_STORAGE 65536

/* Fills values[i] for members[i]; with a fault all of them are empty. `storage` is the caller's, with a
 * maximum of MG_JSON_BODY_STORAGE, and holds what may be secret: its drop wipes it. A failing status is our
 * own trouble (memory), never the body's. */
CHECKED struct mg_status mg_json_body_read(struct mg_view body, const struct mg_json_member *members,
                                           size_t count, struct mg_json_value *values,
                                           struct mg_buffer *storage, struct mg_json_verdict *ret_verdict);

#endif
