/* What whoever connects to the prober's OpenID provider sends, as far as it matters there (RFC 9112): one
 * request with a body of a stated length. */
#ifndef MG_PROBER_PROVIDER_REQUEST_H
#define MG_PROBER_PROVIDER_REQUEST_H

#include "base/bytes.h"

#define MG_PROVIDER_REQUEST_MOST 16384 /* bytes with all its parts */

/* Where the body begins once all of the request is there; NULL until then. */
const char *mg_provider_request_body(const char *request);
/* Whether the path of the request line, without its query, ends so. */
bool mg_provider_request_path_ends(const char *request, const char *tail);

#endif
