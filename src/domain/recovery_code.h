/* Recovery codes: for the day the telephone is lost. Ten at a time, shown once, kept only as keyed hashes,
 * each good for one sign-in. Twelve characters of an alphabet of 32 without look-alikes: 60 bits, of which a
 * guesser has a handful of tries an hour (NIST SP 800-63B-4 section 3.1.2, look-up secrets). */
#ifndef MG_DOMAIN_RECOVERY_CODE_H
#define MG_DOMAIN_RECOVERY_CODE_H

#include "base/bytes.h"

#define MG_RECOVERY_CODES 10
#define MG_RECOVERY_CHARACTERS 12
#define MG_RECOVERY_TEXT 15 /* "abcd-efgh-jkmn" and its NUL */

/* From that many random bytes. */
void mg_recovery_code_make(const uint8_t bytes[MG_RECOVERY_CHARACTERS], char text[MG_RECOVERY_TEXT]);

/* What was typed, in lower case and without blanks and hyphens; 0, 1, i and o do not occur
 * and are not guessed at. False unless that leaves a code. */
bool mg_recovery_code_normalise(struct mg_view typed, char code[MG_RECOVERY_CHARACTERS + 1]);

#endif
