/* The Cookie header (RFC 6265 section 4.2.1) and Set-Cookie (section 4.1), as the gate needs them. */
#ifndef MG_GATE_COOKIES_H
#define MG_GATE_COOKIES_H

#include "wire/session_table.h"

#define MG_SESSION_COOKIE "__Host-masugata"
#define MG_TOKEN_TEXT 43 /* base64url without padding */

/* All values of one request that are tried; a planted bad one must not hide the good one. */
#define MG_TOKENS_MOST 8
struct mg_tokens {
    uint8_t bytes[MG_TOKENS_MOST][MG_TOKEN];
    uint8_t first_hash[MG_TOKEN_HASH]; /* of bytes[0], by mg_gate_prepare() */
    size_t count;
    bool hashed;   /* first_hash is there */
    bool reserved; /* a cookie with a reserved name was there */
    bool other;    /* a cookie of the app's was there */
};

/* To begin with; the bytes are counted and need no clearing. */
static inline void
mg_tokens_clear(struct mg_tokens *tokens)
{
    tokens->count = 0;
    tokens->hashed = tokens->reserved = tokens->other = false;
}

/* Adds the session cookies of one Cookie header. */
void mg_tokens_collect(struct mg_view header, struct mg_tokens *tokens);

/* Copies a Cookie header without the reserved names into `room` (header.length bytes); returns the
 * length, 0 if nothing is left. */
size_t mg_cookies_without_reserved(struct mg_view header, uint8_t *room);

/* True for names that are ours, in any case. */
bool mg_cookie_is_reserved(struct mg_view name);

/* A Set-Cookie of the app, made safe: Secure, HttpOnly (unless the name is in `script_cookies`),
 * SameSite=Lax and Path=/ where they are missing, Domain removed (the cookie stays on its host, away
 * from the sign-in origin). False: the app may not set this cookie at all. `room` has place for
 * header.length + MG_SET_COOKIE_MORE bytes. */
#define MG_SET_COOKIE_MORE 64
bool mg_set_cookie_harden(struct mg_view header, struct mg_view script_cookies, uint8_t *room,
                          size_t *ret_length);

#endif
