/* What browsers and authenticators send when a passkey is set up or used (W3C Web Authentication Level 3,
 * sections 5.8.1, 6.1, 6.5 and 8): hostile bytes, read in the federation process only. A reader takes the
 * bytes and says either why it does not understand them, or what stands there in fixed form; it decides
 * nothing about a person. */
#ifndef MG_PORTS_WEBAUTHN_H
#define MG_PORTS_WEBAUTHN_H

#include "domain/passkey.h"
#include "ports/passkey_key.h"

#define MG_WEBAUTHN_CLIENT_BYTES 2048
#define MG_WEBAUTHN_AUTHENTICATOR_BYTES 4096
#define MG_WEBAUTHN_ATTESTATION_BYTES 8192
#define MG_WEBAUTHN_SIGNATURE_BYTES 1024
#define MG_WEBAUTHN_CREDENTIAL_BYTES 1023

/* Section 5.8.1: clientDataJSON. */
struct mg_webauthn_client {
    char type[32], origin[301];
    uint8_t challenge[128];
    size_t challenge_length;
    bool cross_origin;
};
enum mg_passkey_refusal mg_webauthn_client_read(struct mg_view json, struct mg_webauthn_client *ret_client);

enum mg_webauthn_attestation {
    MG_ATTESTATION_NONE,
    MG_ATTESTATION_SELF,   /* signed by the new key itself */
    MG_ATTESTATION_PACKED, /* signed by a certificate that says it belongs to an authenticator; whose, nobody
                              checked */
};
/* Sections 6.1 and 6.5.1. */
struct mg_webauthn_creation {
    struct mg_passkey_head head;
    uint8_t aaguid[16];
    struct mg_view credential; /* borrows the attestation object */
    int64_t algorithm;
    uint8_t key[MG_PASSKEY_KEY_MOST];
    size_t key_length;
    enum mg_webauthn_attestation attestation;
};
/* An attestation object of the formats `none` and `packed`, its statement checked. `detail` (128 bytes) says
 * more. */
enum mg_passkey_refusal mg_webauthn_creation_read(struct mg_view attestation, struct mg_view client_data,
                                                  struct mg_webauthn_creation *ret_creation, char *detail);

/* Authenticator data of a use: well formed to the last byte, with or without extensions. */
enum mg_passkey_refusal mg_webauthn_use_read(struct mg_view authenticator_data);
/* The signature in the form that passkey_key.h wants; SIGNATURE if it is none of this algorithm. */
enum mg_passkey_refusal mg_webauthn_signature_read(int64_t algorithm, struct mg_view signature,
                                                   struct mg_buffer *plain);

#endif
