/* Passkeys and security keys: what an answer of one is worth (W3C Web Authentication Level 3, sections 7.1
 * and 7.2).
 *
 * Three parts judge it. The federation process reads what needs a parser: JSON of the browser, CBOR and DER
 * of the authenticator. The authority checks the signature itself, over the bytes as they came, and compares
 * what was read with what it expects, here. So a lie of the reader is worth nothing without a signature by
 * the person's own key. */
#ifndef MG_DOMAIN_PASSKEY_H
#define MG_DOMAIN_PASSKEY_H

#include "base/bytes.h"
#include "base/time.h"

/* Zero is the only value that lets somebody in: whoever fills it in has made every check. */
enum mg_passkey_refusal {
    MG_PASSKEY_NONE = 0,
#define PASSKEY_REFUSAL(name, ...) MG_PASSKEY_##name,
#include "../../catalogue/passkey_refusals.def"
#undef PASSKEY_REFUSAL
    MG_PASSKEY_REFUSAL_COUNT
};
/* "PASSKEY_ORIGIN", for the audit log; "PASSKEY_UNKNOWN" for a number without a row. */
const char *mg_passkey_refusal_name(uint64_t refusal);
/* For administrators. Never NULL. */
const char *mg_passkey_refusal_text(uint64_t refusal, bool japanese);

/* What a challenge is for; it is good for nothing else. */
enum mg_passkey_use {
    MG_PASSKEY_USE_SIGN_IN = 1, /* instead of the password; bound to the browser's form cookie */
    MG_PASSKEY_USE_SECOND,      /* after the password; bound to the ticket */
    MG_PASSKEY_USE_STEP_UP,     /* of somebody who is signed in; bound to the session */
    MG_PASSKEY_USE_SET_UP,      /* bound to ticket or sign-in */
};

/* RFC 8812, RFC 9053: COSE numbers of the algorithms that are allowed, the preferred first. */
enum { MG_COSE_ES256 = -7, MG_COSE_EDDSA = -8, MG_COSE_RS256 = -257 };
bool mg_passkey_algorithm_allowed(int64_t algorithm);

/* Section 6.1. Flags of the authenticator data. */
enum {
    MG_PASSKEY_USER_PRESENT = 1 << 0,
    MG_PASSKEY_USER_VERIFIED = 1 << 2,
    MG_PASSKEY_BACKUP_ELIGIBLE = 1 << 3,
    MG_PASSKEY_BACKED_UP = 1 << 4,
    MG_PASSKEY_ATTESTED = 1 << 6,
    MG_PASSKEY_EXTENDED = 1 << 7,
};
/* The fixed part in front of any authenticator data: needs no parser. False when it is too short. */
struct mg_passkey_head {
    uint8_t rp_id_hash[32];
    uint8_t flags;
    uint32_t counter;
};
bool mg_passkey_head_read(struct mg_view authenticator_data, struct mg_passkey_head *ret_head);

/* What was read of an answer, and what it must be. */
struct mg_passkey_facts {
    bool creation; /* setting up; otherwise use */
    struct mg_view type, challenge, origin;
    bool cross_origin;
    struct mg_view challenge_expected, origin_expected;
    uint8_t rp_id_hash_expected[32];
    struct mg_passkey_head head;
    int64_t algorithm;      /* of the key */
    bool must_verify;       /* the authenticator has to have verified the person */
    bool eligible_expected; /* use: what the authenticator said at set-up of its backup */
};
/* All but signature, attestation, credential and counter, in the order of the standard. */
enum mg_passkey_refusal mg_passkey_judge(const struct mg_passkey_facts *facts);

/* Section 7.2 step 22 and section 6.1.1: zero on both sides is an authenticator without a counter. */
bool mg_passkey_counter_advances(uint64_t stored, uint64_t given);

/* Whether the authenticator must verify the person: a passkey alone is two factors only if it does, and one
 * that did when it was set up has to do it again where a session is at hand that somebody may have left. */
bool mg_passkey_must_verify(enum mg_passkey_use use, bool verifies_user);

/* ---- challenges: nothing is stored before one is answered, so strangers cannot fill the database ---- */

#define MG_PASSKEY_CHALLENGE_BYTES 56 /* seconds since 1970 (8, big-endian), random (16), keyed hash (32) */
#define MG_PASSKEY_CHALLENGE_MS 600000
#define MG_PASSKEY_MESSAGE_BYTES (8 + 24 + 32)
/* Writes the first 24 bytes of a new challenge from 16 random ones. */
void mg_passkey_challenge_begin(mg_instant now, const uint8_t random[16], uint8_t challenge[24]);
/* What keys hashes to its last 32: the first 24, what it is for, what it is bound to. */
void mg_passkey_challenge_message(const uint8_t challenge[24], enum mg_passkey_use use,
                                  const uint8_t bound_to[32], uint8_t message[MG_PASSKEY_MESSAGE_BYTES]);
/* Of one whose keyed hash is right: neither too old nor from the future. */
bool mg_passkey_challenge_is_fresh(const uint8_t challenge[MG_PASSKEY_CHALLENGE_BYTES], mg_instant now);

/* "usb nfc internal": the words of the standard (section 5.8.4) among those given, each once, at most 63
 * bytes. */
void mg_passkey_transports(struct mg_view given, char transports[64]);

#endif
