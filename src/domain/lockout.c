#include "domain/lockout.h"

#include <arpa/inet.h>

/* Until the oldest attempt leaves its window. A clock that was set back makes it longer, never
 * negative or unbounded. */
static int64_t
wait_for(mg_instant oldest, int64_t window_ms, mg_instant now)
{
    const int64_t wait = oldest + window_ms - now;
    if (wait < 1)
        return 1;
    return wait > window_ms ? window_ms : wait;
}

/* Control: IDENTITY_09 */
struct mg_lockout_decision
mg_lockout_judge(const struct mg_lockout_facts *facts, const struct mg_lockout_limits *limits, mg_instant now)
{
    if (!facts->known_device && facts->address_recent >= limits->address_most)
        return (struct mg_lockout_decision){
            .outcome = MG_RATE_LIMITED,
            .wait_ms = wait_for(facts->address_oldest, limits->address_window_ms, now),
        };
    if (facts->in_a_row >= limits->in_a_row_most)
        return (struct mg_lockout_decision){.outcome = MG_LOCKED};
    if (facts->account_recent >= limits->account_most)
        return (struct mg_lockout_decision){
            .outcome = MG_LOCKED,
            .wait_ms = wait_for(facts->account_oldest, limits->account_window_ms, now),
        };
    return (struct mg_lockout_decision){
        .outcome = MG_GRANTED,
        .locks =
            facts->account_recent + 1 >= limits->account_most || facts->in_a_row + 1 >= limits->in_a_row_most,
    };
}

struct mg_status
mg_lockout_address_key(struct mg_view address, struct mg_buffer *key)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr six;
    struct in_addr four;
    if (!mg_ok(mg_view_copy(address, text, sizeof text)))
        return mg_buffer_add(key, address);
    if (inet_pton(AF_INET, text, &four) == 1)
        return mg_buffer_add_text(key, text);
    if (inet_pton(AF_INET6, text, &six) != 1)
        return mg_buffer_add(key, address);
    if (IN6_IS_ADDR_V4MAPPED(&six)) { /* ::ffff:192.0.2.1 is that IPv4 address */
        char mapped[INET_ADDRSTRLEN];
        return mg_buffer_add_text(key, inet_ntop(AF_INET, six.s6_addr + 12, mapped, sizeof mapped));
    }
    memset(six.s6_addr + 8, 0, 8);
    char network[INET6_ADDRSTRLEN];
    return mg_buffer_format(key, "%s/64", inet_ntop(AF_INET6, &six, network, sizeof network));
}
