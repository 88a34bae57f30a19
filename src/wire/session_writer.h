/* The writer's private parts, shared by session_writer.c (one generation) and
 * session_generation.c (files, growing). */
#ifndef MG_WIRE_SESSION_WRITER_H
#define MG_WIRE_SESSION_WRITER_H

#include "base/io.h"
#include "wire/session_layout.h"

#include <pthread.h>

#define NO_SLOT UINT64_MAX
#define CHAIN_END UINT32_MAX

/* One generation as its writer sees it. */
struct session_generation {
    struct session_header *header;
    struct session_hot_slot *hot;
    struct session_cold_slot *cold;
    int seen_fd; /* read with pread: the workers could shorten it, and must not be able to stop us */
    uint64_t capacity, number;
    uint64_t sessions, tombstones;
    /* Private to the writer: the sessions of a user, and who was put since reload_begin. */
    uint32_t *chain_heads, *chain_next;
    uint64_t chain_count;
    uint8_t *fresh;
};

struct mg_session_writer {
    pthread_mutex_t lock;
    char directory[MG_PATH];
    gid_t group;
    int lock_fd;
    struct session_generation current;
    bool reloading;
};

CHECKED struct mg_status session_generation_open(struct mg_session_writer *writer,
                                                 struct session_generation *ret_generation,
                                                 uint64_t *ret_repaired);
/* An empty one under temporary names. */
CHECKED struct mg_status session_generation_create(struct mg_session_writer *writer, uint64_t number,
                                                   uint64_t capacity,
                                                   struct session_generation *ret_generation);
/* Makes a created generation the current one for every reader. */
CHECKED struct mg_status session_generation_install(struct mg_session_writer *writer,
                                                    struct session_generation *next);
/* Moves every session to a new generation with room for `least`. */
CHECKED struct mg_status session_generation_grow(struct mg_session_writer *writer, uint64_t least);
void session_generation_drop(struct session_generation *generation);
/* Tells the readers of the file at that path, whatever it holds, to leave it. */
CHECKED struct mg_status session_file_retire(const char *path);

/* Slots of one generation. */
uint64_t session_slot_find(const struct session_generation *generation, const uint64_t words[4]);
CHECKED struct mg_status session_slot_put(struct session_generation *generation,
                                          const struct mg_session *session, uint64_t *ret_slot);
void session_slot_clear(struct session_generation *generation, uint64_t slot);
void session_slot_read(const struct session_generation *generation, uint64_t slot,
                       struct mg_session *ret_session);
bool session_slot_live(const struct session_generation *generation, uint64_t slot);
void session_chain_add(struct session_generation *generation, uint64_t slot);
uint64_t session_chain_bucket(const struct session_generation *generation, uint64_t user_id);
/* The mark of a slot, 0 if there is none or the file is too short. */
uint32_t session_seen_read(const struct session_generation *generation, uint64_t slot);
/* Stores a mark as it is; a failure loses no more than a hint. */
void session_seen_write(const struct session_generation *generation, uint64_t slot, uint64_t mark);

#endif
