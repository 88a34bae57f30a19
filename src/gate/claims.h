/* What an application behind plain headers is told of the identity assertion: three of its claims, taken
 * from the payload of a token of our own (RFC 7519 section 4, written by src/domain/assertion.c). The
 * signature is not checked here: the token comes from the map that only the authority writes. */
#ifndef MG_GATE_CLAIMS_H
#define MG_GATE_CLAIMS_H

#include "base/bytes.h"
#include "base/status.h"

/* NUL-terminated UTF-8 without control characters, fit for a header. */
struct mg_claims {
    char subject[128], email[256], groups[1100]; /* groups: the roles, separated by commas */
};

/* MALFORMED for anything but a flat object of strings, numbers and lists of strings that has all three,
 * each once; TOO_LARGE if one does not fit. */
CHECKED struct mg_status mg_claims_read(struct mg_view token, struct mg_claims *ret_claims);

#endif
