#include "wire/session_layout.h"

#include "base/io.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A writer holds a slot for some tens of nanoseconds; one that lost its processor meanwhile, for
 * some milliseconds; one that died, for ever. */
#define SPINS_MOST 1024
#define YIELDS_MOST 64

struct mg_session_reader {
    char directory[MG_PATH];
    /* One generation. The numbers are copied here when it is mapped: nothing read from shared
     * memory afterwards is used as an index or a length. */
    const struct session_header *header;
    const struct session_hot_slot *hot;
    const struct session_cold_slot *cold;
    _Atomic uint64_t *seen;
    void *seen_base;
    uint64_t capacity, generation;
    dev_t device;
    ino_t inode;
};

static void
unmap(struct mg_session_reader *reader)
{
    if (reader->header != NULL)
        (void) munmap((void *) (uintptr_t) reader->header, session_file_bytes(reader->capacity));
    if (reader->seen_base != NULL)
        (void) munmap(reader->seen_base, seen_file_bytes(reader->capacity));
    reader->header = NULL;
    reader->seen_base = NULL;
    reader->capacity = 0;
}

/* Maps a whole file after checking its size and that only its owner can write it. */
static struct mg_status
map_file(const char *path, int access, mode_t forbidden, void **ret_base, struct stat *ret_found)
{
    OWN_FD fd = open(path, ((access & PROT_WRITE) != 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fail_errno("open %s", path);
    struct stat found;
    if (fstat(fd, &found) != 0)
        return fail_errno("stat %s", path);
    if (!S_ISREG(found.st_mode) || (found.st_mode & forbidden) != 0 || found.st_size < (off_t) SEEN_HEADER)
        return fail_with(INTEGRITY, "%s: size or permissions", path);
    void *base = mmap(NULL, (size_t) found.st_size, access, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return fail_errno("map %s", path);
    *ret_base = base;
    *ret_found = found;
    return OK;
}

static struct mg_status
map_seen(struct mg_session_reader *next)
{
    char path[MG_PATH], name[32];
    (void) snprintf(name, sizeof name, "seen.%llu", (unsigned long long) next->generation);
    TRY(mg_path_join(path, next->directory, name));
    struct stat found;
    void *base;
    TRY(map_file(path, PROT_READ | PROT_WRITE, S_IWOTH, &base, &found));
    const struct seen_header *header = base;
    if ((uint64_t) found.st_size != seen_file_bytes(next->capacity) || header->magic != SEEN_MAGIC ||
        header->generation != next->generation || header->capacity != next->capacity) {
        (void) munmap(base, (size_t) found.st_size);
        return fail_with(INTEGRITY, "%s does not belong to the session table", path);
    }
    next->seen_base = base;
    next->seen = (_Atomic uint64_t *) (void *) ((uint8_t *) base + SEEN_HEADER);
    return OK;
}

static struct mg_status
map_current(struct mg_session_reader *next)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, next->directory, "sessions"));
    struct stat found;
    void *base;
    TRY(map_file(path, PROT_READ, S_IWGRP | S_IWOTH, &base, &found));
    const struct session_header *header = base;
    if (found.st_size < (off_t) SESSION_HEADER || !session_header_valid(header, (uint64_t) found.st_size)) {
        (void) munmap(base, (size_t) found.st_size);
        return fail_with(INTEGRITY, "%s: header", path);
    }
    next->header = header;
    next->capacity = header->capacity;
    next->generation = header->generation;
    next->device = found.st_dev;
    next->inode = found.st_ino;
    next->hot = (const void *) ((const uint8_t *) base + SESSION_HEADER);
    next->cold = (const void *) (next->hot + next->capacity);
    /* Fewer page-table misses where the kernel allows it for tmpfs; harmless elsewhere. */
    (void) madvise(base, (size_t) found.st_size, MADV_HUGEPAGE);
    return map_seen(next);
}

/* Maps the file that is at the path now. On failure the reader is left without a table: a replaced
 * one is never served again. */
static struct mg_status
remap(struct mg_session_reader *reader)
{
    enum { TRIES = 4 };
    struct mg_status status = OK;
    for (int i = 0; i < TRIES; i++) {
        unmap(reader);
        status = map_current(reader);
        /* The writer may replace both files between our looks at the one and the other. */
        if (status.code != MG_NOT_FOUND && status.code != MG_INTEGRITY)
            break;
    }
    if (!mg_ok(status))
        unmap(reader);
    return status;
}

struct mg_status
mg_session_reader_open(const char *directory, struct mg_session_reader **ret_reader)
{
    OWN(session_reader) reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(mg_view_copy(mg_view_text(directory), reader->directory, sizeof reader->directory));
    TRY(remap(reader));
    *ret_reader = TAKE(reader);
    return OK;
}

void
mg_session_reader_drop(struct mg_session_reader **reader)
{
    if (*reader != NULL)
        unmap(*reader);
    free(*reader);
    *reader = NULL;
}

static bool
is_current(const struct mg_session_reader *reader)
{
    return reader->header != NULL &&
           atomic_load_explicit(&reader->header->successor, memory_order_acquire) == 0;
}

struct mg_status
mg_session_reader_follow(struct mg_session_reader *reader)
{
    if (is_current(reader)) {
        char path[MG_PATH];
        TRY(mg_path_join(path, reader->directory, "sessions"));
        struct stat found;
        if (stat(path, &found) == 0 && found.st_dev == reader->device && found.st_ino == reader->inode)
            return OK;
    }
    return remap(reader);
}

/* A consistent copy of a slot; false if the writer would not let go of it. */
static inline bool
read_slot(const struct session_hot_slot *slot, uint64_t copy[HOT_WORDS])
{
    for (int spin = 0; spin < SPINS_MOST + YIELDS_MOST; spin++) {
        if (spin >= SPINS_MOST)
            (void) sched_yield();
        copy[HOT_GUARD] = atomic_load_explicit(&slot->words[HOT_GUARD], memory_order_acquire);
        if ((copy[HOT_GUARD] & 1) != 0) {
            __builtin_ia32_pause();
            continue;
        }
#pragma GCC unroll 8 /* so that the copy stays in registers */
        for (int i = 1; i < HOT_WORDS; i++)
            copy[i] = atomic_load_explicit(&slot->words[i], memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&slot->words[HOT_GUARD], memory_order_relaxed) == copy[HOT_GUARD])
            return true;
    }
    return false;
}

static bool
same_hash(const uint64_t slot[HOT_WORDS], const uint64_t words[4])
{
    return ((slot[HOT_HASH] ^ words[0]) | (slot[HOT_HASH + 1] ^ words[1]) | (slot[HOT_HASH + 2] ^ words[2]) |
            (slot[HOT_HASH + 3] ^ words[3])) == 0;
}

/* NONE, FOUND (slot and copy filled) or UNSURE. */
static enum mg_session_answer
find(const struct mg_session_reader *reader, const uint64_t words[4], uint64_t copy[HOT_WORDS],
     uint64_t *ret_slot)
{
    uint64_t at = session_home(words[0], reader->capacity);
    /* Which of the pair is arithmetic and not a jump: a jump foretold wrongly would wait for memory.
     * Where the first is not it, the second may be looked at even if the search should end here. */
    at += atomic_load_explicit(&reader->hot[at].words[HOT_HASH], memory_order_relaxed) != words[0];
    for (unsigned probe = 1; probe < SESSION_PROBES_MOST; probe++) {
        const struct session_hot_slot *slot = &reader->hot[at];
        /* Unguarded on purpose: only a match needs a consistent copy. A session whose insertion
         * has not finished may be missed; it has not been given to anyone yet. */
        if (atomic_load_explicit(&slot->words[HOT_HASH], memory_order_relaxed) == words[0]) {
            if (!read_slot(slot, copy))
                return MG_SESSION_UNSURE;
            if (same_hash(copy, words) && copy[HOT_ID] != SLOT_EMPTY && copy[HOT_ID] != SLOT_TOMBSTONE) {
                *ret_slot = at;
                return MG_SESSION_FOUND;
            }
        }
        if (atomic_load_explicit(&slot->words[HOT_ID], memory_order_relaxed) == SLOT_EMPTY)
            return MG_SESSION_NONE;
        if (++at == reader->capacity)
            at = 0;
    }
    return MG_SESSION_NONE;
}

static void
unpack(const struct mg_session_reader *reader, const uint64_t copy[HOT_WORDS], uint64_t slot,
       struct mg_session_hot *hot)
{
    const uint32_t packed = (uint32_t) (copy[HOT_TIMES] >> 32);
    hot->session_id = copy[HOT_ID];
    hot->slot = slot;
    hot->sequence = copy[HOT_GUARD];
    hot->generation = reader->generation;
    hot->tenant_id = (uint32_t) (copy[HOT_GUARD] >> 32);
    hot->host_id = (uint32_t) (copy[HOT_RIGHTS] >> 32);
    hot->roles = (uint32_t) copy[HOT_RIGHTS];
    hot->expires_s = (uint32_t) copy[HOT_TIMES];
    hot->idle_s = packed >> 8;
    hot->flags = (packed >> 2) & MG_SESSION_FLAGS_MOST;
    hot->origin = (enum mg_origin)(packed & 3);
    hot->used_s = 0;
}

uint32_t
mg_session_seen_s(const struct mg_session_reader *reader, const struct mg_session_hot *hot)
{
    if (reader->seen_base == NULL || hot->generation != reader->generation || hot->slot >= reader->capacity)
        return 0;
    const uint64_t mark = atomic_load_explicit(&reader->seen[hot->slot], memory_order_relaxed);
    return (uint32_t) (mark >> 32) == (uint32_t) hot->session_id ? (uint32_t) mark : 0;
}

/* The worker's mark, or what the writer knew before there was one. The cold record is touched only
 * then: it would be one more cache miss. */
static uint32_t
last_used_s(const struct mg_session_reader *reader, const struct mg_session_hot *hot)
{
    const uint32_t mark_s = mg_session_seen_s(reader, hot);
    if (mark_s != 0)
        return mark_s;
    return (
        uint32_t) (atomic_load_explicit(&reader->cold[hot->slot].words[COLD_TIMES], memory_order_relaxed) >>
                   32);
}

void
mg_session_mark(struct mg_session_reader *reader, const struct mg_session_hot *hot, mg_instant now)
{
    if (reader->seen_base == NULL || hot->generation != reader->generation || hot->slot >= reader->capacity)
        return;
    const uint64_t mark = session_seen_mark(hot->session_id, session_seconds(now));
    /* At most one store a second a session keeps the line shared between the workers. */
    if (atomic_load_explicit(&reader->seen[hot->slot], memory_order_relaxed) != mark)
        atomic_store_explicit(&reader->seen[hot->slot], mark, memory_order_relaxed);
}

static enum mg_session_answer
judge(const struct mg_session_reader *reader, struct mg_session_hot *hot, mg_instant now)
{
    const uint32_t now_s = session_seconds(now);
    if (hot->origin == MG_ORIGIN_NONE)
        return MG_SESSION_NONE;
    if (now_s >= hot->expires_s)
        return MG_SESSION_EXPIRED;
    hot->used_s = last_used_s(reader, hot);
    if (now_s > hot->used_s && now_s - hot->used_s > hot->idle_s)
        return MG_SESSION_IDLE;
    return MG_SESSION_FOUND;
}

/* Fills `hot` in place, also where the answer is not FOUND in the end: copying it later would wait for
 * the single stores. */
static enum mg_session_answer
lookup_once(struct mg_session_reader *reader, const uint64_t words[4], mg_instant now,
            struct mg_session_hot *hot)
{
    uint64_t copy[HOT_WORDS], slot;
    const enum mg_session_answer answer = find(reader, words, copy, &slot);
    if (answer != MG_SESSION_FOUND)
        return answer;
    unpack(reader, copy, slot, hot);
    return judge(reader, hot, now);
}

void
mg_session_prefetch(const struct mg_session_reader *reader, const uint8_t locator[MG_TOKEN_LOCATOR])
{
    uint64_t word;
    memcpy(&word, locator, sizeof word);
    if (reader->header == NULL)
        return;
    /* Both slots of the pair and the marks: misses that are waited for together. */
    const uint64_t at = session_home(word, reader->capacity);
    __builtin_prefetch(&reader->hot[at]);
    __builtin_prefetch(&reader->hot[at + 1]);
    __builtin_prefetch(&reader->seen[at], 1);
}

enum mg_session_answer
mg_session_lookup(struct mg_session_reader *reader, const uint8_t token_hash[MG_TOKEN_HASH], mg_instant now,
                  bool mark, struct mg_session_hot *ret_hot)
{
    uint64_t words[4];
    session_hash_words(token_hash, words);
    for (int attempt = 0; attempt < 3; attempt++) {
        if (!is_current(reader) && !mg_ok(remap(reader)))
            return MG_SESSION_UNSURE;
        const enum mg_session_answer answer = lookup_once(reader, words, now, ret_hot);
        if (!is_current(reader))
            continue; /* replaced meanwhile: the new table decides */
        if (answer == MG_SESSION_FOUND && mark)
            mg_session_mark(reader, ret_hot, now);
        return answer;
    }
    return MG_SESSION_UNSURE;
}

bool
mg_session_still(const struct mg_session_reader *reader, const struct mg_session_hot *hot)
{
    if (!is_current(reader) || hot->generation != reader->generation || hot->slot >= reader->capacity)
        return false;
    return atomic_load_explicit(&reader->hot[hot->slot].words[HOT_GUARD], memory_order_acquire) ==
           hot->sequence;
}

bool
mg_session_cold_read(const struct mg_session_reader *reader, const struct mg_session_hot *hot,
                     struct mg_session_cold *ret_cold)
{
    if (!mg_session_still(reader, hot))
        return false;
    const struct session_cold_slot *slot = &reader->cold[hot->slot];
    const uint64_t user = atomic_load_explicit(&slot->words[COLD_USER], memory_order_relaxed);
    const uint64_t family = atomic_load_explicit(&slot->words[COLD_FAMILY], memory_order_relaxed);
    const uint64_t times = atomic_load_explicit(&slot->words[COLD_TIMES], memory_order_relaxed);
    const uint64_t second = atomic_load_explicit(&slot->words[COLD_SECOND], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if (!mg_session_still(reader, hot))
        return false;
    *ret_cold = (struct mg_session_cold){.user_id = user,
                                         .family_id = family,
                                         .authenticated_at = (mg_instant) (uint32_t) times * 1000,
                                         .second_factor_at = (mg_instant) (uint32_t) second * 1000};
    return true;
}

int64_t
mg_session_last_heartbeat(const struct mg_session_reader *reader)
{
    return reader->header == NULL ? 0
                                  : atomic_load_explicit(&reader->header->heartbeat_ms, memory_order_relaxed);
}

uint64_t
mg_session_wanted_policy(const struct mg_session_reader *reader)
{
    return reader->header == NULL
               ? UINT64_MAX
               : atomic_load_explicit(&reader->header->wanted_policy, memory_order_acquire);
}

uint64_t
mg_session_wanted_refusal_epoch(const struct mg_session_reader *reader)
{
    return reader->header == NULL
               ? 0
               : atomic_load_explicit(&reader->header->refusal_epoch, memory_order_acquire);
}
