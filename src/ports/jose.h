/* JSON Web Tokens and key sets of identity providers (RFC 7515, 7517, 7518, 8725; EdDSA: RFC 8037), on
 * OpenSSL and jansson. A narrow reader rather than a JOSE library: signatures only, four algorithms, keys
 * from the provider's own key set alone. There is no code here for `none`, for HMAC or for keys that a token
 * brings along, so no setting can switch them on. */
#ifndef MG_PORTS_JOSE_H
#define MG_PORTS_JOSE_H

#include "base/bytes.h"
#include "domain/federation_refusal.h"

#define MG_JWKS_BYTES (256 * 1024)
#define MG_JWKS_KEYS_MOST 64
#define MG_JWT_BYTES 65536
#define MG_JWT_PAYLOAD_BYTES 49152

/* The keys that can verify; others in the document are passed over. */
struct mg_jwks;
void mg_jwks_drop(struct mg_jwks **keys);
/* MALFORMED unless it is a key set; a broken key is passed over like one of an unknown kind. */
CHECKED struct mg_status mg_jwks_parse(struct mg_view json, struct mg_jwks **ret_keys);
size_t mg_jwks_count(const struct mg_jwks *keys);
/* "ES256 kid", one key a line. */
CHECKED struct mg_status mg_jwks_describe(const struct mg_jwks *keys, struct mg_buffer *text);

enum mg_jwt_type { MG_JWT_ID_TOKEN, MG_JWT_LOGOUT_TOKEN };
struct mg_jwt_head {
    char algorithm[8], key[128];
};
/* Appends the payload of a token whose signature is right, with *ret_refusal NONE; anything else leaves
 * `payload` as it was. TOKEN_KEY means that another key set may help. */
CHECKED struct mg_status mg_jwt_verify(struct mg_view token, enum mg_jwt_type type,
                                       const struct mg_jwks *keys, struct mg_buffer *payload,
                                       struct mg_jwt_head *ret_head, enum mg_federation_refusal *ret_refusal);

#endif
