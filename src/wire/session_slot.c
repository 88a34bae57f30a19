/* Slots of one generation: find, put, clear, and the writer's chains of a user's sessions. */
#include "wire/session_writer.h"

#include <unistd.h>

static uint64_t
word(const struct session_generation *generation, uint64_t slot, int index)
{
    return atomic_load_explicit(&generation->hot[slot].words[index], memory_order_relaxed);
}

static uint64_t
cold_word(const struct session_generation *generation, uint64_t slot, int index)
{
    return atomic_load_explicit(&generation->cold[slot].words[index], memory_order_relaxed);
}

bool
session_slot_live(const struct session_generation *generation, uint64_t slot)
{
    const uint64_t id = word(generation, slot, HOT_ID);
    return id != SLOT_EMPTY && id != SLOT_TOMBSTONE;
}

static bool
holds(const struct session_generation *generation, uint64_t slot, const uint64_t words[4])
{
    for (int i = 0; i < 4; i++)
        if (word(generation, slot, HOT_HASH + i) != words[i])
            return false;
    return session_slot_live(generation, slot);
}

uint64_t
session_slot_find(const struct session_generation *generation, const uint64_t words[4])
{
    uint64_t at = session_home(words[0], generation->capacity);
    for (unsigned probe = 0; probe < SESSION_PROBES_MOST; probe++) {
        if (holds(generation, at, words))
            return at;
        if (word(generation, at, HOT_ID) == SLOT_EMPTY)
            return NO_SLOT;
        at = at + 1 == generation->capacity ? 0 : at + 1;
    }
    return NO_SLOT;
}

/* The first slot that may take a new session. */
static uint64_t
find_room(const struct session_generation *generation, const uint64_t words[4])
{
    uint64_t at = session_home(words[0], generation->capacity);
    for (unsigned probe = 0; probe < SESSION_PROBES_MOST; probe++) {
        if (!session_slot_live(generation, at))
            return at;
        at = at + 1 == generation->capacity ? 0 : at + 1;
    }
    return NO_SLOT;
}

/* Writes a slot under its guard: odd while the words change, even and new when they are complete. */
static void
write_guarded(struct session_generation *generation, uint64_t slot, const uint64_t hot[HOT_WORDS],
              const uint64_t cold[COLD_WORDS])
{
    struct session_hot_slot *target = &generation->hot[slot];
    const uint64_t guard = atomic_load_explicit(&target->words[HOT_GUARD], memory_order_relaxed);
    const uint32_t sequence = (uint32_t) guard | 1;
    atomic_store_explicit(&target->words[HOT_GUARD], (guard & ~(uint64_t) UINT32_MAX) | sequence,
                          memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (int i = 1; i < HOT_WORDS; i++)
        atomic_store_explicit(&target->words[i], hot[i], memory_order_relaxed);
    for (int i = 0; i < COLD_WORDS; i++)
        atomic_store_explicit(&generation->cold[slot].words[i], cold[i], memory_order_relaxed);
    /* The half word wraps after two thousand million changes of one slot. */
    atomic_store_explicit(&target->words[HOT_GUARD],
                          (hot[HOT_GUARD] & ~(uint64_t) UINT32_MAX) | (uint32_t) (sequence + 1),
                          memory_order_release);
}

uint64_t
session_chain_bucket(const struct session_generation *generation, uint64_t user_id)
{
    return session_scale(user_id * 0x9E3779B97F4A7C15ULL, generation->chain_count);
}

void
session_chain_add(struct session_generation *generation, uint64_t slot)
{
    uint32_t *head =
        &generation->chain_heads[session_chain_bucket(generation, cold_word(generation, slot, COLD_USER))];
    generation->chain_next[slot] = *head;
    *head = (uint32_t) slot;
}

static void
chain_take(struct session_generation *generation, uint64_t slot)
{
    uint32_t *link =
        &generation->chain_heads[session_chain_bucket(generation, cold_word(generation, slot, COLD_USER))];
    while (*link != CHAIN_END && *link != slot)
        link = &generation->chain_next[*link];
    mg_must(*link == slot);
    *link = generation->chain_next[slot];
}

void
session_slot_clear(struct session_generation *generation, uint64_t slot)
{
    if (session_slot_live(generation, slot)) {
        chain_take(generation, slot);
        generation->sessions--;
        generation->tombstones++;
    }
    const uint64_t hot[HOT_WORDS] = {[HOT_ID] = SLOT_TOMBSTONE};
    const uint64_t cold[COLD_WORDS] = {0};
    write_guarded(generation, slot, hot, cold);
}

static void
pack(const struct mg_session *session, uint64_t hot[HOT_WORDS], uint64_t cold[COLD_WORDS])
{
    uint64_t idle_s = session->idle_ms < 1000 ? 1 : (uint64_t) session->idle_ms / 1000;
    if (idle_s > 0xFFFFFF)
        idle_s = 0xFFFFFF;
    const uint64_t packed = idle_s << 8 | (uint64_t) session->flags << 2 | (uint64_t) session->origin;
    memset(hot, 0, HOT_WORDS * sizeof *hot);
    hot[HOT_GUARD] = (uint64_t) session->tenant_id << 32;
    session_hash_words(session->token_hash, hot + HOT_HASH);
    hot[HOT_ID] = session->session_id;
    hot[HOT_TIMES] = packed << 32 | session_seconds(session->expires_at);
    hot[HOT_RIGHTS] = (uint64_t) session->host_id << 32 | session->roles;
    cold[COLD_USER] = session->user_id;
    cold[COLD_FAMILY] = session->family_id;
    cold[COLD_TIMES] =
        (uint64_t) session_seconds(session->last_seen_at) << 32 | session_seconds(session->authenticated_at);
    cold[COLD_SECOND] = session_seconds(session->second_factor_at);
}

struct mg_status
session_slot_put(struct session_generation *generation, const struct mg_session *session, uint64_t *ret_slot)
{
    uint64_t hot[HOT_WORDS], cold[COLD_WORDS];
    pack(session, hot, cold);
    uint64_t slot = session_slot_find(generation, hot + HOT_HASH);
    if (slot == NO_SLOT) {
        slot = find_room(generation, hot + HOT_HASH);
        if (slot == NO_SLOT)
            return fail(TOO_LARGE);
        if (word(generation, slot, HOT_ID) == SLOT_TOMBSTONE)
            generation->tombstones--;
        generation->sessions++;
    } else
        chain_take(generation, slot);
    write_guarded(generation, slot, hot, cold);
    session_chain_add(generation, slot);
    *ret_slot = slot;
    return OK;
}

/* All but the workers' mark. */
void
session_slot_read(const struct session_generation *generation, uint64_t slot, struct mg_session *ret_session)
{
    uint64_t hash[4];
    for (int i = 0; i < 4; i++)
        hash[i] = word(generation, slot, HOT_HASH + i);
    const uint64_t times = word(generation, slot, HOT_TIMES), rights = word(generation, slot, HOT_RIGHTS);
    const uint64_t moments = cold_word(generation, slot, COLD_TIMES);
    *ret_session = (struct mg_session){
        .session_id = word(generation, slot, HOT_ID),
        .user_id = cold_word(generation, slot, COLD_USER),
        .family_id = cold_word(generation, slot, COLD_FAMILY),
        .tenant_id = (uint32_t) (word(generation, slot, HOT_GUARD) >> 32),
        .host_id = (uint32_t) (rights >> 32),
        .roles = (uint32_t) rights,
        .flags = (uint8_t) (times >> 34 & MG_SESSION_FLAGS_MOST),
        .origin = (enum mg_origin)(times >> 32 & 3),
        .authenticated_at = (mg_instant) (uint32_t) moments * 1000,
        .second_factor_at = (mg_instant) (uint32_t) cold_word(generation, slot, COLD_SECOND) * 1000,
        .expires_at = (mg_instant) (uint32_t) times * 1000,
        .idle_ms = (int64_t) (times >> 40) * 1000,
        .last_seen_at = (mg_instant) (moments >> 32) * 1000,
    };
    memcpy(ret_session->token_hash, hash, sizeof hash);
}

uint32_t
session_seen_read(const struct session_generation *generation, uint64_t slot)
{
    uint64_t mark = 0;
    const off_t at = (off_t) (SEEN_HEADER + slot * sizeof mark);
    if (pread(generation->seen_fd, &mark, sizeof mark, at) != sizeof mark)
        return 0;
    return (uint32_t) (mark >> 32) == (uint32_t) word(generation, slot, HOT_ID) ? (uint32_t) mark : 0;
}

void
session_seen_write(const struct session_generation *generation, uint64_t slot, uint64_t mark)
{
    const off_t at = (off_t) (SEEN_HEADER + slot * sizeof mark);
    if (pwrite(generation->seen_fd, &mark, sizeof mark, at) < 0)
        return; /* the session's cold record keeps an earlier moment */
}
