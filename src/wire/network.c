#include "wire/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#define MAPPED_IPV4 0xFFFF00000000ULL

static uint64_t
big_endian(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}

static struct mg_address
of_ipv4(const uint8_t bytes[4])
{
    uint64_t value = MAPPED_IPV4;
    for (int i = 0; i < 4; i++)
        value |= (uint64_t) bytes[i] << (24 - 8 * i);
    return (struct mg_address){.high = 0, .low = value};
}

static bool
is_ipv4(struct mg_address address)
{
    return address.high == 0 && (address.low & 0xFFFFFFFF00000000ULL) == MAPPED_IPV4;
}

struct mg_status
mg_address_parse(struct mg_view text, struct mg_address *ret_address)
{
    char copy[MG_ADDRESS_TEXT];
    uint8_t bytes[16];
    if (text.length >= sizeof copy)
        return fail_with(INVALID, "not an address");
    TRY(mg_view_copy(text, copy, sizeof copy));
    if (inet_pton(AF_INET, copy, bytes) == 1)
        *ret_address = of_ipv4(bytes);
    else if (inet_pton(AF_INET6, copy, bytes) == 1)
        *ret_address = (struct mg_address){.high = big_endian(bytes), .low = big_endian(bytes + 8)};
    else
        return fail_with(INVALID, "not an address: %s", copy);
    return OK;
}

bool
mg_address_of_socket(const struct sockaddr *socket_address, struct mg_address *ret_address)
{
    uint8_t bytes[16];
    if (socket_address->sa_family == AF_INET) {
        memcpy(bytes, &((const struct sockaddr_in *) (const void *) socket_address)->sin_addr, 4);
        *ret_address = of_ipv4(bytes);
        return true;
    }
    if (socket_address->sa_family == AF_INET6) {
        memcpy(bytes, &((const struct sockaddr_in6 *) (const void *) socket_address)->sin6_addr, 16);
        *ret_address = (struct mg_address){.high = big_endian(bytes), .low = big_endian(bytes + 8)};
        return true;
    }
    return false;
}

void
mg_address_text(struct mg_address address, char text[MG_ADDRESS_TEXT])
{
    uint8_t bytes[16];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t) (address.high >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t) (address.low >> (56 - 8 * i));
    }
    const bool four = is_ipv4(address);
    if (inet_ntop(four ? AF_INET : AF_INET6, four ? bytes + 12 : bytes, text, MG_ADDRESS_TEXT) == NULL)
        text[0] = '\0';
}

static struct mg_address
mask_of(unsigned prefix)
{
    return (struct mg_address){
        .high = prefix == 0    ? 0
                : prefix >= 64 ? UINT64_MAX
                               : UINT64_MAX << (64 - prefix),
        .low = prefix <= 64 ? 0 : UINT64_MAX << (128 - prefix),
    };
}

struct mg_address
mg_address_prefix(struct mg_address address)
{
    const struct mg_address mask = mask_of(is_ipv4(address) ? 96 + 24 : 48);
    return (struct mg_address){.high = address.high & mask.high, .low = address.low & mask.low};
}

struct mg_status
mg_network_parse(struct mg_view text, struct mg_network *ret_network)
{
    const uint8_t *slash = text.length == 0 ? NULL : memchr(text.bytes, '/', text.length);
    const struct mg_view host = slash == NULL ? text : mg_view_of(text.bytes, (size_t) (slash - text.bytes));
    struct mg_network network;
    TRY(mg_address_parse(host, &network.address));
    const bool four = memchr(host.bytes, ':', host.length) == NULL;
    uint64_t bits = four ? 32 : 128;
    if (slash != NULL)
        TRY(mg_parse_u64(mg_view_of(slash + 1, text.length - host.length - 1), bits, &bits));
    network.prefix = (uint8_t) (four ? bits + 96 : bits);
    const struct mg_address mask = mask_of(network.prefix);
    if ((network.address.high & ~mask.high) != 0 || (network.address.low & ~mask.low) != 0)
        return fail_with(INVALID, "network with bits behind its prefix");
    *ret_network = network;
    return OK;
}

static int
compare(struct mg_address a, struct mg_address b)
{
    if (a.high != b.high)
        return a.high < b.high ? -1 : 1;
    return a.low == b.low ? 0 : a.low < b.low ? -1 : 1;
}

static int
compare_ranges(const void *a, const void *b)
{
    return compare(((const struct mg_address_range *) a)->first,
                   ((const struct mg_address_range *) b)->first);
}

/* Joins overlapping ranges of a sorted array; returns how many are left. */
static size_t
join_ranges(struct mg_address_range *ranges, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && compare(ranges[i].first, ranges[kept - 1].last) <= 0) {
            if (compare(ranges[i].last, ranges[kept - 1].last) > 0)
                ranges[kept - 1].last = ranges[i].last;
        } else
            ranges[kept++] = ranges[i];
    }
    return kept;
}

/* Room for that many ranges and, behind them, for their IPv4 part. */
static struct mg_address_range *
new_ranges(size_t count)
{
    return calloc(count, sizeof(struct mg_address_range) + 2 * sizeof(uint32_t));
}

/* Fills the IPv4 part of sorted, disjoint ranges that have `room`. */
static void
take_four(struct mg_network_set *set, size_t room)
{
    static const struct mg_address lowest = {0, MAPPED_IPV4}, highest = {0, MAPPED_IPV4 | UINT32_MAX};
    uint32_t *const first = (void *) (set->ranges + room), *const last = first + room;
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct mg_address_range range = set->ranges[i];
        if (compare(range.last, lowest) < 0 || compare(range.first, highest) > 0)
            continue;
        first[kept] = compare(range.first, lowest) < 0 ? 0 : (uint32_t) range.first.low;
        last[kept++] = compare(range.last, highest) > 0 ? UINT32_MAX : (uint32_t) range.last.low;
    }
    set->four_first = first;
    set->four_last = last;
    set->four_count = kept;
}

struct mg_status
mg_network_set_make(bool restricted, const struct mg_network *networks, size_t count,
                    struct mg_network_set *ret_set)
{
    struct mg_network_set set = {.restricted = restricted};
    if (count > 0) {
        set.ranges = new_ranges(count);
        if (set.ranges == NULL)
            return fail(OUT_OF_MEMORY);
        for (size_t i = 0; i < count; i++) {
            const struct mg_address mask = mask_of(networks[i].prefix);
            const struct mg_address first = {.high = networks[i].address.high & mask.high,
                                             .low = networks[i].address.low & mask.low};
            set.ranges[i] = (struct mg_address_range){
                .first = first, .last = {.high = first.high | ~mask.high, .low = first.low | ~mask.low}};
        }
        qsort(set.ranges, count, sizeof *set.ranges, compare_ranges);
        set.count = join_ranges(set.ranges, count);
        take_four(&set, count);
    }
    *ret_set = set;
    return OK;
}

struct mg_status
mg_network_set_copy(const struct mg_network_set *set, struct mg_network_set *ret_set)
{
    struct mg_network_set copy = {.restricted = set->restricted, .count = set->count};
    if (set->count > 0) {
        copy.ranges = new_ranges(set->count);
        if (copy.ranges == NULL)
            return fail(OUT_OF_MEMORY);
        memcpy(copy.ranges, set->ranges, set->count * sizeof *copy.ranges);
        take_four(&copy, set->count);
    }
    *ret_set = copy;
    return OK;
}

void
mg_network_set_drop(struct mg_network_set *set)
{
    free(set->ranges);
    *set = (struct mg_network_set){.restricted = true};
}

/* Without a jump that depends on the address: half of them would be foretold wrongly. */
static bool
has_four(const struct mg_network_set *set, uint32_t address)
{
    const uint32_t *at = set->four_first;
    size_t left = set->four_count;
    if (left == 0 || address < at[0])
        return false;
    while (left > 1) {
        const size_t half = left / 2;
        at += at[half] <= address ? half : 0;
        left -= half;
    }
    return address <= set->four_last[at - set->four_first];
}

bool
mg_network_set_has(const struct mg_network_set *set, struct mg_address address)
{
    if (!set->restricted)
        return true;
    if (is_ipv4(address))
        return has_four(set, (uint32_t) address.low);
    size_t low = 0, high = set->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare(address, set->ranges[middle].first) < 0)
            high = middle;
        else if (compare(address, set->ranges[middle].last) > 0)
            low = middle + 1;
        else
            return true;
    }
    return false;
}
