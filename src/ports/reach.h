/* Does an upstream answer HTTP? One bounded request over TCP or a unix socket, without credentials. */
#ifndef MG_PORTS_REACH_H
#define MG_PORTS_REACH_H

#include "base/bytes.h"

/* `upstream` as in nginx: "127.0.0.1:3000", "[::1]:3000", "name:3000", "unix:/path". OK if it answers
 * with a status line whose status is not 502, 503 or 504; UNAVAILABLE with the reason. */
CHECKED struct mg_status mg_reach_http(const char *upstream, const char *host, int timeout_ms);

/* Only whether something accepts a connection there. */
CHECKED struct mg_status mg_reach_connect(const char *upstream, int timeout_ms);

#endif
