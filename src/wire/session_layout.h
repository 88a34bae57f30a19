/* Layout of the session table's files, shared by its reader and its writer and by nobody else. */
#ifndef MG_WIRE_SESSION_LAYOUT_H
#define MG_WIRE_SESSION_LAYOUT_H

#include "wire/session_table.h"

#include <stdatomic.h>

#define SESSION_MAGIC 0x313053534553474DULL /* "MGSESS01", little-endian */
#define SEEN_MAGIC 0x31304E454553474DULL    /* "MGSEEN01" */
#define SESSION_VERSION 3U
#define SESSION_HEADER 4096U
#define SEEN_HEADER 64U
#define SESSION_CAPACITY_LEAST 64U
#define SESSION_CAPACITY_MOST (1ULL << 30)
/* No session lies further from its home slot; insertion grows the table rather than exceed it. */
#define SESSION_PROBES_MOST 256U

/* Values of the id word of a slot that holds no session. */
#define SLOT_EMPTY 0ULL
#define SLOT_TOMBSTONE UINT64_MAX

struct session_header {
    /* Fixed for the life of the file and covered by the checksum. */
    uint64_t magic;
    uint32_t version, header_bytes;
    uint32_t hot_bytes, cold_bytes;
    uint64_t generation, capacity, file_bytes;
    uint64_t checksum;
    /* Changed by the writer. */
    _Atomic uint64_t successor; /* generation that replaced this file, 0 while it is current */
    _Atomic int64_t heartbeat_ms;
    _Atomic uint64_t wanted_policy;
    _Atomic uint64_t refusal_epoch;
};
_Static_assert(sizeof(struct session_header) <= SESSION_HEADER, "header page");

/* One cache line. The first word's low half is the sequence number. */
enum {
    HOT_GUARD, /* sequence | tenant << 32 */
    HOT_HASH,  /* four words */
    HOT_ID = HOT_HASH + 4,
    HOT_TIMES,  /* expires_s | (idle_s << 8 | flags << 2 | origin) << 32 */
    HOT_RIGHTS, /* roles | host << 32 */
    HOT_WORDS
};
struct session_hot_slot {
    _Atomic uint64_t words[HOT_WORDS];
};
_Static_assert(sizeof(struct session_hot_slot) == 64, "a hot slot is a cache line");

enum { COLD_USER, COLD_FAMILY, COLD_TIMES /* authenticated_s | seen_s << 32 */, COLD_WORDS };
struct session_cold_slot {
    _Atomic uint64_t words[COLD_WORDS];
};

struct seen_header {
    uint64_t magic, generation, capacity;
};
/* A mark: low half of the session id << 32 | seconds, so that it cannot be read as another's. */
static inline uint64_t
session_seen_mark(uint64_t session_id, uint32_t seconds)
{
    return (uint64_t) (uint32_t) session_id << 32 | seconds;
}

static inline uint64_t
session_header_checksum(const struct session_header *header)
{
    /* FNV-1a: against damage and mix-ups, not against an attacker, who cannot write the file. */
    const uint8_t *bytes = (const uint8_t *) header;
    uint64_t sum = 0xCBF29CE484222325ULL;
    for (size_t i = 0; i < offsetof(struct session_header, checksum); i++)
        sum = (sum ^ bytes[i]) * 0x100000001B3ULL;
    return sum;
}

static inline uint64_t
session_file_bytes(uint64_t capacity)
{
    return SESSION_HEADER + capacity * (sizeof(struct session_hot_slot) + sizeof(struct session_cold_slot));
}

static inline uint64_t
seen_file_bytes(uint64_t capacity)
{
    return SEEN_HEADER + capacity * sizeof(uint64_t);
}

/* The high bits of a hash scaled to a number, which need not be a power of 2. */
static inline uint64_t
session_scale(uint64_t hash_word, uint64_t count)
{
    return (uint64_t) (((unsigned __int128) hash_word * count) >> 64);
}

/* The home slot: the first of a pair of neighbours, which a processor fetches for little more than
 * one. Two thirds full, five of six sessions lie in their home pair. */
static inline uint64_t
session_home(uint64_t hash_word, uint64_t capacity)
{
    return 2 * session_scale(hash_word, capacity / 2);
}

static inline void
session_hash_words(const uint8_t hash[MG_TOKEN_HASH], uint64_t words[4])
{
    memcpy(words, hash, MG_TOKEN_HASH);
}

/* Seconds since 1970 as they are stored; what does not fit is clamped. */
static inline uint32_t
session_seconds(mg_instant instant)
{
    const int64_t seconds = instant / 1000;
    return seconds < 0 ? 0 : seconds > (int64_t) UINT32_MAX ? UINT32_MAX : (uint32_t) seconds;
}

/* True if the header describes a file of this size exactly. */
static inline bool
session_header_valid(const struct session_header *header, uint64_t file_bytes)
{
    return header->magic == SESSION_MAGIC && header->version == SESSION_VERSION &&
           header->header_bytes == SESSION_HEADER && header->hot_bytes == sizeof(struct session_hot_slot) &&
           header->cold_bytes == sizeof(struct session_cold_slot) && header->generation != 0 &&
           header->capacity >= SESSION_CAPACITY_LEAST && header->capacity <= SESSION_CAPACITY_MOST &&
           header->file_bytes == session_file_bytes(header->capacity) && header->file_bytes == file_bytes &&
           header->checksum == session_header_checksum(header);
}

#endif
