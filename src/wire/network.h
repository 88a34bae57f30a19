/* Addresses and networks. IPv4 is kept as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2), so that one
 * comparison serves both and a dual-stack socket's view of a client makes no difference. */
#ifndef MG_WIRE_NETWORK_H
#define MG_WIRE_NETWORK_H

#include "base/bytes.h"

#include <sys/socket.h>

struct mg_address {
    uint64_t high, low; /* the 128 bits, most significant first */
};

struct mg_network {
    struct mg_address address;
    uint8_t prefix; /* 0 … 128 */
};

#define MG_ADDRESS_TEXT 46

/* "192.0.2.7", "2001:db8::1"; no zone, no port, no brackets. */
CHECKED struct mg_status mg_address_parse(struct mg_view text, struct mg_address *ret_address);
/* An AF_INET or AF_INET6 socket address; false for any other. */
bool mg_address_of_socket(const struct sockaddr *socket_address, struct mg_address *ret_address);
void mg_address_text(struct mg_address address, char text[MG_ADDRESS_TEXT]);
/* The network a refusal is counted under: /24 of IPv4, /48 of IPv6. */
struct mg_address mg_address_prefix(struct mg_address address);

/* "192.0.2.0/24", "2001:db8::/32" or a single address; INVALID if bits are set behind the prefix. */
CHECKED struct mg_status mg_network_parse(struct mg_view text, struct mg_network *ret_network);

/* A union of networks as sorted, disjoint ranges: one binary search a question. What of it is IPv4 is
 * kept a second time as plain numbers, in a cache line or two. */
struct mg_address_range {
    struct mg_address first, last;
};
struct mg_network_set {
    bool restricted; /* false: everybody is in */
    struct mg_address_range *ranges;
    size_t count;
    const uint32_t *four_first, *four_last; /* behind the ranges */
    size_t four_count;
};
/* Owns its ranges; restricted with no networks means nobody. */
CHECKED struct mg_status mg_network_set_make(bool restricted, const struct mg_network *networks, size_t count,
                                             struct mg_network_set *ret_set);
CHECKED struct mg_status mg_network_set_copy(const struct mg_network_set *set,
                                             struct mg_network_set *ret_set);
void mg_network_set_drop(struct mg_network_set *set);
bool mg_network_set_has(const struct mg_network_set *set, struct mg_address address);

#endif
