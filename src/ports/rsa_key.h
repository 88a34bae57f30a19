/* RSA keys of 3072 bits for SAML, whose peers know nothing else: signing (RSASSA-PKCS1-v1_5 with SHA-256, RFC
 * 8017 section 8.2) and unwrapping (RSAES-OAEP, section 7.1). Only the keys process uses these. */
#ifndef MG_PORTS_RSA_KEY_H
#define MG_PORTS_RSA_KEY_H

#include "base/secret.h"
#include "base/time.h"

#define MG_RSA_SIGNATURE_BYTES 384

/* A new key as PKCS#8 DER. */
CHECKED struct mg_status mg_rsa_key_new(struct mg_secret **ret_key);
/* Its self-signed certificate, DER, for `years`; the subject is that common name (cut to 64 characters). */
CHECKED struct mg_status mg_rsa_certificate(struct mg_view key, struct mg_view name, mg_instant now,
                                            int years, struct mg_buffer *der);
CHECKED struct mg_status mg_rsa_sign(struct mg_view key, struct mg_view message,
                                     uint8_t ret_signature[MG_RSA_SIGNATURE_BYTES]);
/* INTEGRITY unless the bytes were wrapped for this key, in this way, and hold at most 32 bytes. */
CHECKED struct mg_status mg_rsa_unwrap(struct mg_view key, struct mg_view wrapped, const char *digest,
                                       const char *mask, struct mg_secret **ret_secret);

/* Keys that were used stay decoded in memory until this is called: forgets those read so long ago, 0 for all.
 */
void mg_rsa_keys_forget(int64_t kept_ms);

#endif
