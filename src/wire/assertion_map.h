/* The assertion map: signed identities (JWTs) ready for the app, by session, in shared memory that
 * only the gate reads (RUN/gate/assertions). Bounded: a full bucket loses the entry that would end
 * first, and a missing entry costs the gate one question to the authority.
 *
 * A session has up to MG_ASSERTIONS_MOST tokens, staggered by nbf, so that the app keeps getting
 * short-lived ones while the control plane is away (DESIGN.md section 4, gate.outage). */
#ifndef MG_WIRE_ASSERTION_MAP_H
#define MG_WIRE_ASSERTION_MAP_H

#include "base/bytes.h"
#include "base/time.h"

#include <sys/types.h>

#define MG_ASSERTIONS_MOST 8
/* All tokens of one session together. */
#define MG_ASSERTION_BYTES 4000

struct mg_assertion {
    mg_instant not_before, expires; /* kept in whole seconds */
    struct mg_view token;
};

struct mg_assertion_writer; /* one; its functions may be called from any thread */

/* Opens the map, or makes an empty one when there is none or what is there is not as expected. */
CHECKED struct mg_status mg_assertion_writer_open(const char *directory, uint32_t sessions, gid_t group,
                                                  struct mg_assertion_writer **ret_writer);
void mg_assertion_writer_drop(struct mg_assertion_writer **writer);

/* Replaces the session's tokens. As many of the rows, in their order, as fit are kept; TOO_LARGE if
 * not even the first does. `now` decides which entry may be displaced. */
CHECKED struct mg_status mg_assertion_put(struct mg_assertion_writer *writer, uint64_t session_id,
                                          const struct mg_assertion *rows, size_t count, mg_instant now);
void mg_assertion_remove(struct mg_assertion_writer *writer, uint64_t session_id);
/* All of them, when the key changes. */
void mg_assertion_clear(struct mg_assertion_writer *writer);
/* The latest end among the session's tokens, 0 if it has none: when to sign new ones. */
mg_instant mg_assertion_until(struct mg_assertion_writer *writer, uint64_t session_id);

struct mg_assertion_reader;

CHECKED struct mg_status mg_assertion_reader_open(const char *directory,
                                                  struct mg_assertion_reader **ret_reader);
void mg_assertion_reader_drop(struct mg_assertion_reader **reader);
/* Follows a replaced map; one system call. */
CHECKED struct mg_status mg_assertion_reader_follow(struct mg_assertion_reader *reader);

/* Asks memory for what a search for that session reads first; does nothing visible. */
void mg_assertion_prefetch(const struct mg_assertion_reader *reader, uint64_t session_id);

/* Copies the valid token that ends last; false if there is none. `text` has room for
 * MG_ASSERTION_BYTES. A token that ends within two seconds does not count. */
bool mg_assertion_find(struct mg_assertion_reader *reader, uint64_t session_id, mg_instant now,
                       uint8_t text[MG_ASSERTION_BYTES], size_t *ret_length);

#endif
