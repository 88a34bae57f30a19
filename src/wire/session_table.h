/* The session table: every live session of a deployment in shared memory, so that a gate worker
 * decides about a request without a system call, a lock or another process.
 *
 * Files in the gate's directory (RUN/gate, on tmpfs, mode 0750 authority:gate):
 *   sessions         header, hot slots (64 B), cold records (32 B); owned by the writer, 0640
 *   seen.GENERATION  one mark (8 B) a slot, stored by the workers; 0660
 *   sessions.previous  only while a generation is being replaced
 *
 * One writer (the authority; its functions may be called from any of its threads), any number of
 * readers. A slot is guarded by a sequence number that is odd while it is being written; a reader
 * that meets an odd or changed one tries again a bounded number of times and then refuses. Open
 * addressing over the token's first bytes; a removed slot becomes a tombstone until the next generation.
 *
 * Growing writes a complete new file beside the old one, renames it into place and then names its
 * generation in the old header. A reader looks at that word before *and after* every lookup, so it
 * never trusts a file that has been replaced: no reader waits and no acknowledgement is needed.
 *
 * Anything a reader does not expect (magic, version, size, checksum, permissions) is a refusal. */
#ifndef MG_WIRE_SESSION_TABLE_H
#define MG_WIRE_SESSION_TABLE_H

#include "base/bytes.h"
#include "base/time.h"

#include <sys/types.h>

#define MG_TOKEN 32
#define MG_TOKEN_HASH 32

/* What is kept of a session's token (MG_TOKEN random bytes, the cookie), here and in the database: its first
 * 8 bytes as they are, which say where in the table to look, then the last 24 bytes of its SHA-256. So memory
 * can be asked for the session while the hash is still being computed. Who reads it learns a quarter of the
 * token; the other 192 bits remain to be guessed, and ASVS 5.0 (OWASP) asks for 128. Nothing but where to
 * look follows from the first 8 bytes: only a whole match lets anyone in. */
#define MG_TOKEN_LOCATOR 8
void mg_token_hash(const uint8_t token[MG_TOKEN], uint8_t ret_hash[MG_TOKEN_HASH]);

/* What a session may be used for; a host has exactly one of these. */
enum mg_origin { MG_ORIGIN_NONE = 0, MG_ORIGIN_APP = 1, MG_ORIGIN_SIGN_IN = 2, MG_ORIGIN_OPERATOR = 3 };

/* Free for the authority's use; six bits, carried to the reader unchanged. */
#define MG_SESSION_FLAGS_MOST 63U

struct mg_session {
    uint8_t token_hash[MG_TOKEN_HASH]; /* mg_token_hash() of the bytes in the cookie */
    uint64_t session_id;               /* 1 … 2^63-1 */
    uint64_t user_id;
    uint64_t family_id; /* one sign-in is one family */
    uint32_t tenant_id; /* 0 for operators */
    uint32_t host_id;   /* mg_policy_host.id it is bound to; 0: any host of the tenant and origin */
    uint32_t roles;     /* bits; their names are the policy's business */
    uint8_t flags;      /* at most MG_SESSION_FLAGS_MOST */
    enum mg_origin origin;
    mg_instant authenticated_at; /* for rules that ask for a fresh sign-in */
    mg_instant second_factor_at; /* the last one given; 0: none */
    mg_instant expires_at;       /* absolute end; kept in whole seconds, rounded down */
    int64_t idle_ms;             /* kept in whole seconds, at least 1, at most 194 days */
    mg_instant last_seen_at;     /* where idleness counts from until a worker marks the slot */
};

/* ---- writer ---------------------------------------------------------------------------------- */

struct mg_session_writer;

enum mg_session_opening { MG_SESSIONS_CREATED, MG_SESSIONS_OPENED, MG_SESSIONS_REPLACED };

struct mg_session_report {
    enum mg_session_opening how; /* REPLACED: what was there could not be trusted and was retired */
    uint64_t repaired;           /* slots that a writer left half-written; they are removed */
};

/* Opens the table or makes an empty one for at least `least` sessions; readers of an untrusted one
 * are told to leave it. `group` may read it (and write the marks); (gid_t) -1 leaves the group. */
CHECKED struct mg_status mg_session_writer_open(const char *directory, uint64_t least, gid_t group,
                                                struct mg_session_writer **ret_writer,
                                                struct mg_session_report *ret_report);
void mg_session_writer_drop(struct mg_session_writer **writer);

/* Inserts the session or replaces the one with the same token hash. Grows the table when needed. */
CHECKED struct mg_status mg_session_put(struct mg_session_writer *writer, const struct mg_session *session);

/* Selects sessions; zero fields match everything, at least one must be set. With user_id (or
 * token_hash) only that user's are looked at, otherwise the whole table is walked. */
struct mg_session_match {
    const uint8_t *token_hash; /* MG_TOKEN_HASH bytes or NULL */
    uint64_t session_id, user_id, family_id;
    uint32_t tenant_id;
    uint32_t host_id;
    enum mg_origin origin;
    mg_instant expired_at; /* sessions whose absolute end is not after this */
};
/* Revokes: when it returns, the next lookup by any reader refuses. Returns how many. */
CHECKED struct mg_status mg_session_remove(struct mg_session_writer *writer,
                                           const struct mg_session_match *match, uint64_t *ret_count);

/* NOT_FOUND if there is none. */
CHECKED struct mg_status mg_session_get(struct mg_session_writer *writer,
                                        const uint8_t token_hash[MG_TOKEN_HASH],
                                        struct mg_session *ret_session);

/* Between begin and end every session that is still wanted is put; end removes the others.
 * This is how the table follows the database after a start, without a moment of emptiness. */
CHECKED struct mg_status mg_session_reload_begin(struct mg_session_writer *writer);
CHECKED struct mg_status mg_session_reload_end(struct mg_session_writer *writer, uint64_t *ret_removed);

/* Calls `visit` for every session marked at or after `since` (whole seconds). A new session is marked
 * with its last_seen_at; all later marks come from the workers: treat them as hints. Stops at the first
 * failing status and returns it. */
typedef struct mg_status (*mg_session_visit)(void *context, uint64_t session_id, uint64_t user_id,
                                             mg_instant seen_at);
CHECKED struct mg_status mg_session_seen_walk(struct mg_session_writer *writer, mg_instant since,
                                              mg_session_visit visit, void *context);

/* A new generation for at least `least` sessions, without tombstones. */
CHECKED struct mg_status mg_session_grow(struct mg_session_writer *writer, uint64_t least);

/* Says "the decisions are in touch with the database" (DESIGN.md section 4, gate.outage). Call it
 * about once a second, with mg_monotonic_ms(), only while that is true. */
void mg_session_heartbeat(struct mg_session_writer *writer, int64_t monotonic_ms);

/* Readers refuse everything until they have loaded a policy of at least this generation. Called by
 * mg_policy_publish(). */
void mg_session_require_policy(struct mg_session_writer *writer, uint64_t generation);
uint64_t mg_session_required_policy(struct mg_session_writer *writer);
/* The bank of the refusal ring that the workers write to (wire/refusal_ring.h). */
void mg_session_set_refusal_epoch(struct mg_session_writer *writer, uint64_t epoch);
uint64_t mg_session_refusal_epoch(struct mg_session_writer *writer);

struct mg_session_usage {
    uint64_t sessions, tombstones, capacity, generation;
    uint64_t shared_bytes; /* of all files of this generation */
};
struct mg_session_usage mg_session_usage_of(struct mg_session_writer *writer);

/* ---- reader ---------------------------------------------------------------------------------- */

struct mg_session_reader;

/* What a lookup found. Only FOUND lets anyone in; the zero value does not. */
enum mg_session_answer {
    MG_SESSION_UNSURE = 0, /* the table is unusable at the moment: refuse with 503 */
    MG_SESSION_NONE,       /* no such session (never was, ended, revoked) */
    MG_SESSION_EXPIRED,    /* past its absolute end */
    MG_SESSION_IDLE,       /* not used for longer than its idle limit */
    MG_SESSION_FOUND,
};

/* The hot part of a session: enough for the decision about nearly every request. */
struct mg_session_hot {
    uint64_t session_id;
    uint64_t slot, sequence; /* for mg_session_still() and mg_session_cold_read() */
    uint64_t generation;
    uint32_t tenant_id, host_id, roles;
    uint32_t expires_s, idle_s;
    uint32_t used_s; /* the last use before this lookup */
    uint8_t flags;
    enum mg_origin origin;
};

struct mg_session_cold {
    uint64_t user_id, family_id;
    mg_instant authenticated_at;
    mg_instant second_factor_at; /* 0: none was given */
};

CHECKED struct mg_status mg_session_reader_open(const char *directory, struct mg_session_reader **ret_reader);
void mg_session_reader_drop(struct mg_session_reader **reader);

/* Follows a replaced table (also done by the lookup) and notices one whose file was exchanged
 * behind its back; one system call. Workers call it from a timer. */
CHECKED struct mg_status mg_session_reader_follow(struct mg_session_reader *reader);

/* `ret_hot` means something for FOUND only. Stores a last-seen mark when `mark` is set. */
enum mg_session_answer mg_session_lookup(struct mg_session_reader *reader,
                                         const uint8_t token_hash[MG_TOKEN_HASH], mg_instant now, bool mark,
                                         struct mg_session_hot *ret_hot);

/* Asks memory for what a lookup of this token, or of its hash, will read. A call that does nothing visible:
 * made as soon as the token is there, it hides the way to memory behind its SHA-256 and the other checks of a
 * request. */
void mg_session_prefetch(const struct mg_session_reader *reader, const uint8_t locator[MG_TOKEN_LOCATOR]);

/* True as long as nothing about the session changed since the lookup: one load. False means: look
 * it up again. Does not judge time. */
bool mg_session_still(const struct mg_session_reader *reader, const struct mg_session_hot *hot);

/* False if the slot has changed since the lookup: refuse. */
bool mg_session_cold_read(const struct mg_session_reader *reader, const struct mg_session_hot *hot,
                          struct mg_session_cold *ret_cold);

/* Marks the session as used now; for streams, which make no further requests. */
void mg_session_mark(struct mg_session_reader *reader, const struct mg_session_hot *hot, mg_instant now);
/* When the slot was last marked, in seconds since 1970; 0 if never. */
uint32_t mg_session_seen_s(const struct mg_session_reader *reader, const struct mg_session_hot *hot);

/* CLOCK_MONOTONIC milliseconds of the authority's last heartbeat; 0 if there was none. */
int64_t mg_session_last_heartbeat(const struct mg_session_reader *reader);
uint64_t mg_session_wanted_policy(const struct mg_session_reader *reader);
uint64_t mg_session_wanted_refusal_epoch(const struct mg_session_reader *reader);

#endif
