/* Host names as this deployment serves them. */
#ifndef MG_DOMAIN_HOST_NAME_H
#define MG_DOMAIN_HOST_NAME_H

#include "base/bytes.h"

/* Lower-case letters, digits and inner hyphens in labels of 1 to 63 (RFC 1123 section 2.1), at most 253
 * bytes, no trailing dot, and not all digits in the last label (that would be an address). */
bool mg_host_name_is_valid(struct mg_view name);

#endif
