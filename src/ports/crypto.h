/* Cryptography on OpenSSL 3: algorithms are fetched once, keys are 32 bytes, nothing is negotiable.
 *
 * Sealing is XAES-256-GCM (C2SP XAES-256-GCM): AES-256-GCM under a key derived for each message from
 * a 192-bit random nonce, so that random nonces stay safe far beyond GCM's 2^32 messages a key.
 * No function logs; CRYPTO means a library failure, INTEGRITY that a tag or signature is wrong. */
#ifndef MG_PORTS_CRYPTO_H
#define MG_PORTS_CRYPTO_H

#include "base/bytes.h"
#include "base/secret.h"

#define MG_KEY_BYTES 32
#define MG_HASH_BYTES 32
#define MG_SIGNATURE_BYTES 64
#define MG_PUBLIC_KEY_MOST 64
/* Nonce in front, tag behind. */
#define MG_SEAL_NONCE 24
#define MG_SEAL_OVERHEAD (MG_SEAL_NONCE + 16)

/* Fetches the algorithms; may be called again. Every function below calls it, but a process that
 * seals itself off calls it first, because a fetch may open files. */
CHECKED struct mg_status mg_crypto_start(void);

CHECKED struct mg_status mg_sha256(struct mg_view bytes, uint8_t ret_hash[MG_HASH_BYTES]);
CHECKED struct mg_status mg_hmac_sha256(struct mg_view key, struct mg_view bytes,
                                        uint8_t ret_hash[MG_HASH_BYTES]);
/* RFC 5869 with SHA-256; at most 8160 bytes. */
CHECKED struct mg_status mg_hkdf(struct mg_view secret, struct mg_view salt, struct mg_view info,
                                 uint8_t *ret_key, size_t length);
/* Appends nonce, ciphertext and tag. */
CHECKED struct mg_status mg_seal(const uint8_t key[MG_KEY_BYTES], struct mg_view associated,
                                 struct mg_view plaintext, struct mg_buffer *buffer);
/* Writes sealed.length - MG_SEAL_OVERHEAD bytes; INTEGRITY, and wiped output, unless all matches. */
CHECKED struct mg_status mg_unseal(const uint8_t key[MG_KEY_BYTES], struct mg_view associated,
                                   struct mg_view sealed, uint8_t *ret_plaintext);
/* The same with a given nonce, for test vectors and for nothing else: a repeated nonce is fatal. */
CHECKED struct mg_status mg_seal_with_nonce(const uint8_t key[MG_KEY_BYTES],
                                            const uint8_t nonce[MG_SEAL_NONCE], struct mg_view associated,
                                            struct mg_view plaintext, struct mg_buffer *buffer);

enum mg_signature_kind {
    MG_ES256 = 1, /* RFC 7518 3.4: P-256, SHA-256, r and s of 32 bytes each */
    MG_ED25519,   /* RFC 8032 */
};

/* A private key ready to sign; safe to use from several threads. */
struct mg_signing_key;
/* 32 random bytes that are a valid private key. */
CHECKED struct mg_status mg_signing_key_generate(enum mg_signature_kind kind,
                                                 uint8_t ret_private[MG_KEY_BYTES]);
CHECKED struct mg_status mg_signing_key_new(enum mg_signature_kind kind,
                                            const uint8_t private_key[MG_KEY_BYTES],
                                            struct mg_signing_key **ret_key);
void mg_signing_key_drop(struct mg_signing_key **key);
/* ES256: x and y, 64 bytes. Ed25519: 32 bytes. Borrows the key. */
struct mg_view mg_signing_key_public(const struct mg_signing_key *key);
CHECKED struct mg_status mg_sign(const struct mg_signing_key *key, struct mg_view message,
                                 uint8_t ret_signature[MG_SIGNATURE_BYTES]);
/* INTEGRITY unless the signature is that of the public key. */
CHECKED struct mg_status mg_verify(enum mg_signature_kind kind, struct mg_view public_key,
                                   struct mg_view message, struct mg_view signature);

#endif
