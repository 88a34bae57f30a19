/* Where a person goes back to after signing in. Only a path on the same host is accepted, so that our
 * pages cannot be used to send somebody to another site (open redirect). */
#ifndef MG_DOMAIN_RETURN_PATH_H
#define MG_DOMAIN_RETURN_PATH_H

#include "base/bytes.h"

#define MG_RETURN_PATH_MOST 2048

/* True for an absolute path with an optional query: printable ASCII without quotes, brackets,
 * backslash or fragment, not beginning with "//" and not one of our own paths, which would loop. */
bool mg_return_path_is_safe(struct mg_view path);

/* The path itself if it is safe, else "/". */
struct mg_view mg_return_path(struct mg_view path);

#endif
