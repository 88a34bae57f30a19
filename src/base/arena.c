#include "base/arena.h"

#include "base/secret.h"

#include <stdlib.h>

#define BLOCK_BYTES 4096

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(max_align_t) uint8_t bytes[];
};

struct mg_arena {
    struct block *blocks;
    size_t left;
};

struct mg_status
mg_arena_new(size_t maximum, struct mg_arena **ret_arena)
{
    struct mg_arena *arena = calloc(1, sizeof *arena);
    if (arena == NULL)
        return fail(OUT_OF_MEMORY);
    arena->left = maximum;
    *ret_arena = arena;
    return OK;
}

void
mg_arena_drop(struct mg_arena **arena)
{
    if (*arena == NULL)
        return;
    struct block *block = (*arena)->blocks;
    while (block != NULL) {
        struct block *next = block->next;
        mg_wipe(block->bytes, block->used);
        free(block);
        block = next;
    }
    free(*arena);
    *arena = NULL;
}

static struct block *
block_add(struct mg_arena *arena, size_t length)
{
    const size_t size = length > BLOCK_BYTES ? length : BLOCK_BYTES;
    struct block *block = calloc(1, sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->size = size;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *
mg_arena_take(struct mg_arena *arena, size_t length)
{
    const size_t unit = _Alignof(max_align_t);
    if (length > arena->left || arena->left - length < unit)
        return NULL;
    const size_t rounded = (length + unit - 1) / unit * unit;
    struct block *block = arena->blocks;
    if (block == NULL || block->size - block->used < rounded)
        block = block_add(arena, rounded);
    if (block == NULL)
        return NULL;
    void *piece = block->bytes + block->used;
    block->used += rounded;
    arena->left -= rounded;
    return piece;
}

const char *
mg_arena_text(struct mg_arena *arena, struct mg_view text)
{
    char *copy = mg_arena_take(arena, text.length + 1);
    if (copy != NULL && text.length > 0)
        memcpy(copy, text.bytes, text.length);
    return copy;
}
