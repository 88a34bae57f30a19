/* A certificate that a key gives to itself (RFC 5280), for those who take keys in no other form: SAML's
 * metadata, and the prober's own identity provider. Nobody is asked to trust it for more than the key in it.
 */
#ifndef MG_PORTS_SELF_SIGNED_H
#define MG_PORTS_SELF_SIGNED_H

#include "base/time.h"
#include "ports/crypto.h"
#include "ports/openssl.h"

/* Appends DER. The subject is that common name (cut to 64 characters); it is valid from an hour before `now`
 * for so many days. `host`, if not NULL, is the one name that a TLS server shows it for. */
CHECKED struct mg_status mg_self_signed(EVP_PKEY *key, struct mg_view name, const char *host, mg_instant now,
                                        int days, struct mg_buffer *der);

/* The key as OpenSSL has it; borrowed. */
EVP_PKEY *mg_signing_key_openssl(const struct mg_signing_key *key);

#endif
