/* Where a browser keeps what it has begun: one cookie for each sign-in that is under way to an identity
 * provider, so that two tabs do not take each other's. The state names the place, by bits that are not
 * secret. */
#ifndef MG_DOMAIN_BEGUN_PLACE_H
#define MG_DOMAIN_BEGUN_PLACE_H

#include <stdint.h>

/* All of them full fit into one header line of nginx (16 KiB, nginx_configuration.c). */
enum { MG_BEGUN_PLACES = 3 };

static inline unsigned
mg_begun_place(const uint8_t *state)
{
    return (state[0] & 3U) % MG_BEGUN_PLACES;
}

static inline void
mg_begun_place_mark(uint8_t *state, unsigned place)
{
    state[0] = (uint8_t) ((state[0] & ~3U) | (place % MG_BEGUN_PLACES));
}

#endif
