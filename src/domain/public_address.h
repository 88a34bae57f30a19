/* Which addresses a fetch for somebody else may go to. Identity providers are named by tenants'
 * administrators, so a name may be made to lead inside (server-side request forgery): only globally reachable
 * unicast addresses count (IANA special-purpose registries of RFC 6890, RFC 4291, RFC 6052). */
#ifndef MG_DOMAIN_PUBLIC_ADDRESS_H
#define MG_DOMAIN_PUBLIC_ADDRESS_H

#include "wire/network.h"

/* False for loopback, private, link-local, shared, multicast, documentation, benchmarking and reserved
 * addresses, and for IPv6 forms that carry an IPv4 address which is one of these. */
bool mg_address_is_public(struct mg_address address);

#endif
