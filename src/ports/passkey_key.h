/* Public keys of passkeys in a fixed form, so that whoever checks a signature parses nothing:
 *   ES256  x and y, 32 bytes each          signature: r and s, 32 bytes each
 *   EdDSA  32 bytes (Ed25519)              signature: 64 bytes
 *   RS256  the modulus, 256 to 512 bytes   signature: as long as that; the exponent is 65537 */
#ifndef MG_PORTS_PASSKEY_KEY_H
#define MG_PORTS_PASSKEY_KEY_H

#include "base/bytes.h"

#define MG_PASSKEY_KEY_MOST 512
#define MG_PASSKEY_RSA_LEAST 256

/* True if key has the form of its algorithm (COSE number). A point that is not on the curve fails in verify.
 */
bool mg_passkey_key_is_sound(int64_t algorithm, struct mg_view key);
/* *ret_right only for a signature of that key over the message; anything odd is not right. A status is a
 * failure of the library. */
CHECKED struct mg_status mg_passkey_key_verify(int64_t algorithm, struct mg_view key, struct mg_view message,
                                               struct mg_view signature, bool *ret_right);

#endif
