/* The identity assertion that apps read: a JWT (RFC 7519) with ES256 (RFC 7518 3.4), and the JSON Web
 * Key Set (RFC 7517) to check it with. Text only: the signature is made elsewhere. */
#ifndef MG_DOMAIN_ASSERTION_H
#define MG_DOMAIN_ASSERTION_H

#include "wire/messages.h"

#define MG_ASSERTION_SECONDS_MOST 300
/* Staggered ones cover an outage of the control plane; no one needs one further ahead. */
#define MG_ASSERTION_AHEAD_SECONDS_MOST 7200
#define MG_ASSERTION_ROLES_MOST 64
#define MG_KEY_THUMBPRINT 44 /* base64url of SHA-256 and a NUL */

/* INVALID unless who, for whom and when make sense at now_s. */
CHECKED struct mg_status mg_assertion_check(const struct mg_request_sign_assertion *identity);
CHECKED struct mg_status mg_assertion_window_check(const struct mg_record_assertion_window *window,
                                                   uint64_t now_s);

/* The parts of the payload that all windows share, without the closing brace. */
CHECKED struct mg_status mg_assertion_claims(const struct mg_request_sign_assertion *identity,
                                             struct mg_buffer *buffer);
/* base64url(header) "." base64url(payload): what is signed. */
CHECKED struct mg_status mg_assertion_input(const char *kid, struct mg_view claims,
                                            const struct mg_record_assertion_window *window,
                                            struct mg_buffer *buffer);

/* The members that RFC 7638 hashes, in its order: {"crv":"P-256","kty":"EC","x":..,"y":..}. */
CHECKED struct mg_status mg_jwk_canonical(struct mg_view public_key, struct mg_buffer *buffer);
/* One member of the key set. */
CHECKED struct mg_status mg_jwk_add(const char *kid, struct mg_view public_key, struct mg_buffer *buffer);

#endif
