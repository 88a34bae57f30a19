/* Sites, where machines and stores are: words from the wide to the narrow, joined by "-", such as "jp-tokyo"
 * or "us-east-2". A tenant's residency is a list of such beginnings. */
#ifndef MG_DOMAIN_SITE_H
#define MG_DOMAIN_SITE_H

#include "base/bytes.h"

#define MG_RESIDENCY 128 /* a list's text, its NUL included */

/* a-z, 0-9 and single "-" between them; 2 to 40 characters. */
bool mg_site_is_valid(struct mg_view site);
/* Words separated by blanks; none: everywhere. "jp" holds "jp" and "jp-tokyo", not "jpx". A place that nobody
 * named lies in no list but the empty one. */
bool mg_site_is_within(const char *site, const char *residency);

#endif
