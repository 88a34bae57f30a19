/* An arena: many small pieces of memory that live as long as one request, freed and wiped at once.
 * It has a hard maximum. */
#ifndef MG_BASE_ARENA_H
#define MG_BASE_ARENA_H

#include "base/bytes.h"

struct mg_arena;

/* `maximum` is in bytes over all pieces. */
CHECKED struct mg_status mg_arena_new(size_t maximum, struct mg_arena **ret_arena);
/* Wipes and frees every piece. */
void mg_arena_drop(struct mg_arena **arena);
/* Zeroed and aligned for any type; NULL when memory or the maximum is exhausted. */
void *mg_arena_take(struct mg_arena *arena, size_t length);
/* A copy of the bytes followed by a NUL that does not count; NULL as above. */
const char *mg_arena_text(struct mg_arena *arena, struct mg_view text);

#endif
