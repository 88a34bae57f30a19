/* API tokens as text: "mgk_", 32 random bytes and their CRC-32 (ISO 3309), both in base32 (RFC 4648 section
 * 6, small letters, no padding). The prefix and the check tell a token from other text without asking
 * anybody: for scanners that look for secrets (mgk_[a-z2-7]{59}), and for us, who ask no database about what
 * cannot be one. */
#ifndef MG_DOMAIN_API_TOKEN_H
#define MG_DOMAIN_API_TOKEN_H

#include "base/bytes.h"
#include "base/time.h"

#define MG_API_TOKEN_BYTES 32
#define MG_API_TOKEN_PREFIX "mgk_"
#define MG_API_TOKEN_LENGTH 63 /* of the text */
#define MG_API_TOKEN_HINT 8    /* characters that lists show of it: the prefix and four more */
#define MG_API_TOKEN_LIFE_MOST_MS (366 * 24 * INT64_C(3600000))

/* The caller wipes `text`. */
void mg_api_token_text(const uint8_t bytes[MG_API_TOKEN_BYTES], char text[MG_API_TOKEN_LENGTH + 1]);
/* False unless it is exactly that form; the bytes are then untouched. */
bool mg_api_token_parse(struct mg_view text, uint8_t bytes[MG_API_TOKEN_BYTES]);

/* The name of a service account: a-z, 0-9, '.', '-' and '_', 1 to 63 of them; never an e-mail address, so
 * that no person of an identity provider has it. */
bool mg_service_name_is_valid(struct mg_view name);

#endif
