/* When a password guess is not even looked at: limits on attempts by account and by address.
 *
 * Every attempt is counted before its password is hashed and taken back when it was right, in one
 * statement that locks both counters (attempt_begin in the control schema), so that any number of
 * parallel guesses gets exactly as many hashes as the limit says. The windows slide: "10 an hour"
 * holds for every hour, not for every hour by the clock.
 *
 * Names nobody has are counted like those somebody has; an answer tells nothing about existence.
 * Only password sign-in asks here: whoever is locked can still come by SSO, so a stranger who
 * guesses wrong on purpose cannot keep them out. A known device has counters of its own and is not
 * held up by what strangers do. NIST SP 800-63B-4 section 3.2.2 (at most 100 in a row). */
#ifndef MG_DOMAIN_LOCKOUT_H
#define MG_DOMAIN_LOCKOUT_H

#include "base/time.h"
#include "domain/outcome.h"

struct mg_lockout_limits {
    uint32_t account_most, address_most; /* failed or undecided attempts within the window */
    int64_t account_window_ms, address_window_ms;
    uint32_t in_a_row_most; /* failures of an account without a success between, over any time */
};
#define MG_LOCKOUT_PRESET                                     \
    ((struct mg_lockout_limits){.account_most = 10,           \
                                .account_window_ms = 3600000, \
                                .address_most = 5,            \
                                .address_window_ms = 900000,  \
                                .in_a_row_most = 100})

/* What was counted before the attempt in question. */
struct mg_lockout_facts {
    uint32_t account_recent, address_recent;   /* within the windows */
    mg_instant account_oldest, address_oldest; /* of those; when there are none, ignored */
    uint32_t in_a_row;
    bool known_device; /* then the account counters are the device's and the address does not count */
};

struct mg_lockout_decision {
    enum mg_outcome outcome; /* GRANTED: hash it; LOCKED (account) or RATE_LIMITED (address) */
    int64_t wait_ms;         /* until it would be granted; 0 when only a reset or an operator helps */
    bool locks;              /* granted, and the last one before the account is locked */
};

struct mg_lockout_decision mg_lockout_judge(const struct mg_lockout_facts *facts,
                                            const struct mg_lockout_limits *limits, mg_instant now);

/* What an address counts as: the whole of an IPv4 address, the first 64 bits of an IPv6 address,
 * because a household gets that many. Text that is neither counts as itself.
 * Appends a printable key. */
CHECKED struct mg_status mg_lockout_address_key(struct mg_view address, struct mg_buffer *key);

#endif
