/* One-time codes from a shared secret and the time: RFC 6238 (TOTP) on RFC 4226 (HOTP), with the values that
 * every authenticator app computes: HMAC-SHA-1, six digits, steps of 30 seconds from 1970.
 *
 * A code is right for its step and one step on either side (RFC 6238 section 5.2: a network delay, a clock
 * that is a little off), and only for a step after the last one that was accepted: so each works once.
 * liboath would check the same, but with times in its own terms and no say in which steps still count. */
#ifndef MG_DOMAIN_TOTP_H
#define MG_DOMAIN_TOTP_H

#include "base/time.h"

#define MG_TOTP_SECRET_BYTES 20 /* RFC 4226 section 4, R6: 160 bits */
#define MG_TOTP_DIGITS 6
#define MG_TOTP_STEP_MS 30000
#define MG_TOTP_WINDOW 1 /* steps before and after */

/* What was typed, without blanks and hyphens and with the wide digits of a Japanese keyboard as plain ones.
 * False unless that leaves exactly six digits. */
bool mg_totp_normalise(struct mg_view typed, char code[MG_TOTP_DIGITS + 1]);

/* The code of one step. */
CHECKED struct mg_status mg_totp_code(struct mg_view secret, uint64_t step, char code[MG_TOTP_DIGITS + 1]);

/* Finds the step that the code (normalised) belongs to: inside the window around `now` and after
 * `last_step`. *ret_step is 0 when there is none: the code is wrong, too old, or was used. */
CHECKED struct mg_status mg_totp_judge(struct mg_view secret, const char *code, mg_instant now,
                                       uint64_t last_step, uint64_t *ret_step);

/* RFC 4648 section 6 without padding: how people type a secret. */
CHECKED struct mg_status mg_base32(struct mg_view bytes, struct mg_buffer *text);

/* "otpauth://totp/ISSUER:ACCOUNT?secret=…&issuer=ISSUER": what the QR code says (the form that authenticator
 * apps agree on, Key URI Format). A long issuer or account is cut so that the code stays readable. */
CHECKED struct mg_status mg_totp_uri(struct mg_view issuer, struct mg_view account, struct mg_view secret,
                                     struct mg_buffer *uri);

#endif
