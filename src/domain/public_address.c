#include "domain/public_address.h"

/* Addresses are 128 bits; IPv4 lies at ::ffff:0:0/96 (wire/network.h). */
struct block {
    uint64_t high, low;
    unsigned prefix;
};

#define FOUR_LOW(a, b, c, d)                                                                      \
    (UINT64_C(0xffff) << 32 | (uint64_t) (a) << 24 | (uint64_t) (b) << 16 | (uint64_t) (c) << 8 | \
     (uint64_t) (d))
#define FOUR(a, b, c, d, prefix)               \
    {                                          \
        0, FOUR_LOW(a, b, c, d), 96 + (prefix) \
    }

static const struct block special_four[] = {
    FOUR(0, 0, 0, 0, 8),       /* this network, RFC 791 */
    FOUR(10, 0, 0, 0, 8),      /* private, RFC 1918 */
    FOUR(100, 64, 0, 0, 10),   /* shared by carriers, RFC 6598 */
    FOUR(127, 0, 0, 0, 8),     /* loopback, RFC 1122 */
    FOUR(169, 254, 0, 0, 16),  /* link-local (where clouds keep their metadata), RFC 3927 */
    FOUR(172, 16, 0, 0, 12),   /* private */
    FOUR(192, 0, 0, 0, 24),    /* protocol assignments, RFC 6890 */
    FOUR(192, 0, 2, 0, 24),    /* documentation, RFC 5737 */
    FOUR(192, 88, 99, 0, 24),  /* the former 6to4 relay, RFC 7526 */
    FOUR(192, 168, 0, 0, 16),  /* private */
    FOUR(198, 18, 0, 0, 15),   /* benchmarking, RFC 2544 */
    FOUR(198, 51, 100, 0, 24), /* documentation */
    FOUR(203, 0, 113, 0, 24),  /* documentation */
    FOUR(224, 0, 0, 0, 4),     /* multicast, RFC 5771 */
    FOUR(240, 0, 0, 0, 4),     /* reserved, and broadcast */
};

/* Inside 2000::/3, the only IPv6 unicast that is assigned (RFC 4291 section 2.4). */
static const struct block special_six[] = {
    {UINT64_C(0x2001000000000000), 0, 23}, /* protocol assignments, Teredo, ORCHID: RFC 2928, 4380, 7343 */
    {UINT64_C(0x20010db800000000), 0, 32}, /* documentation, RFC 3849 */
    {UINT64_C(0x3fff000000000000), 0, 20}, /* documentation, RFC 9637 */
};

static bool
is_in(struct mg_address address, const struct block *block)
{
    const unsigned high_bits = block->prefix < 64 ? block->prefix : 64;
    const unsigned low_bits = block->prefix - high_bits;
    const uint64_t high_mask = high_bits == 0 ? 0 : UINT64_MAX << (64 - high_bits);
    const uint64_t low_mask = low_bits == 0 ? 0 : UINT64_MAX << (64 - low_bits);
    return (address.high & high_mask) == block->high && (address.low & low_mask) == block->low;
}

static bool
four_is_public(uint32_t four)
{
    const struct mg_address address = {.high = 0, .low = UINT64_C(0xffff) << 32 | four};
    for (size_t i = 0; i < MG_COUNT(special_four); i++)
        if (is_in(address, &special_four[i]))
            return false;
    return true;
}

bool
mg_address_is_public(struct mg_address address)
{
    if (address.high == 0 && address.low >> 32 == 0xffff)
        return four_is_public((uint32_t) address.low);
    /* NAT64 (RFC 6052): what is meant is the IPv4 address inside. */
    if (address.high == UINT64_C(0x0064ff9b00000000) && address.low >> 32 == 0)
        return four_is_public((uint32_t) address.low);
    /* 6to4 (RFC 3056) likewise. */
    if (address.high >> 48 == 0x2002)
        return four_is_public((uint32_t) (address.high >> 16));
    if (address.high >> 61 != 1)
        return false;
    for (size_t i = 0; i < MG_COUNT(special_six); i++)
        if (is_in(address, &special_six[i]))
            return false;
    return true;
}
