/* Password hashes: argon2id for ours, and what other systems export, verified and then replaced.
 *
 * Ours are PHC strings (github.com/P-H-C/phc-string-format), argon2id version 19 (RFC 9106):
 *   $argon2id$v=19$m=19456,t=2,p=1$<16-byte salt>$<32-byte tag>   base64 without padding
 * Imported ones are crypt(5) strings: bcrypt ($2a$, $2b$, $2y$), yescrypt ($y$), sha512crypt ($6$).
 * Every cost in a hash is bounded before any work is done: whoever can plant a hash cannot make the
 * hasher run for hours or take all memory. Nothing here keeps, logs or returns a password. */
#ifndef MG_PORTS_PASSWORD_HASH_H
#define MG_PORTS_PASSWORD_HASH_H

#include "base/bytes.h"

/* Room for any hash accepted here, with its NUL. */
#define MG_PASSWORD_HASH_TEXT 256
/* Bytes of salt and tag in the hashes we make. */
#define MG_PASSWORD_SALT 16
#define MG_PASSWORD_TAG 32
/* The longest password hashed, in bytes after normalisation (domain/password_policy.h). */
#define MG_PASSWORD_BYTES_MOST 1024

/* The costs of argon2id (RFC 9106 section 3.1): memory in KiB, passes, lanes. */
struct mg_password_cost {
    uint32_t memory_kib, passes, lanes;
};

/* OWASP Password Storage Cheat Sheet, 2026; the options password.argon2.* override it. */
#define MG_PASSWORD_COST_PRESET ((struct mg_password_cost){.memory_kib = 19456, .passes = 2, .lanes = 1})

#define MG_PASSWORD_MEMORY_KIB_MOST 262144U
#define MG_PASSWORD_PASSES_MOST 16U
#define MG_PASSWORD_LANES_MOST 8U

enum mg_password_scheme {
    MG_PASSWORD_SCHEME_NONE = 0,
    MG_PASSWORD_ARGON2ID,
    MG_PASSWORD_BCRYPT,
    MG_PASSWORD_YESCRYPT,
    MG_PASSWORD_SHA512CRYPT,
};
/* "argon2id", …; "none" for anything else. */
const char *mg_password_scheme_name(enum mg_password_scheme scheme);

/* A hash taken apart. The salt and tag of argon2id are decoded; of the others only the scheme is
 * kept, crypt_r() reads the rest itself. */
struct mg_password_parsed {
    enum mg_password_scheme scheme;
    struct mg_password_cost cost;
    uint8_t salt[48], tag[64];
    size_t salt_length, tag_length;
};

/* INVALID unless the text is exactly one of the forms above with costs inside the bounds. */
CHECKED struct mg_status mg_password_parse(struct mg_view hash, struct mg_password_parsed *ret_parsed);

/* INVALID if a cost is outside the bounds, or memory is below 8 KiB a lane. */
CHECKED struct mg_status mg_password_cost_check(struct mg_password_cost cost);

/* True unless the hash is argon2id with exactly this cost and our salt and tag lengths. */
bool mg_password_needs_rehash(struct mg_view hash, struct mg_password_cost cost);

/* ---- hashing; only the hasher links what follows (password_hash.c) ---- */

/* A new argon2id hash with a random salt. TOO_LARGE past MG_PASSWORD_BYTES_MOST. */
CHECKED struct mg_status mg_password_hash(struct mg_view password, struct mg_password_cost cost,
                                          char hash[MG_PASSWORD_HASH_TEXT]);

/* Whether the password belongs to the hash; tags are compared in constant time. A wrong password
 * is OK with *ret_match false; a status means that nothing is known, so deny. */
CHECKED struct mg_status mg_password_verify(struct mg_view password, struct mg_view hash, bool *ret_match);

#endif
