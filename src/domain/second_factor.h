/* Which people must give a second factor when they sign in with a password: decided from the tenant's policy,
 * the person's roles and what they have set up. The vendor's operators always must.
 *
 * Zero is the strict end of each enum: what was not decided demands. */
#ifndef MG_DOMAIN_SECOND_FACTOR_H
#define MG_DOMAIN_SECOND_FACTOR_H

#include "base/time.h"

enum mg_second_factor_mode {
    MG_SECOND_FACTOR_REQUIRED = 0, /* of everybody */
    MG_SECOND_FACTOR_OFFERED,      /* of whoever has set one up */
    MG_SECOND_FACTOR_OFF,          /* at sign-in of nobody; a route may still ask for one */
};
/* "required", "offered", "off"; any other word is the strict one. */
enum mg_second_factor_mode mg_second_factor_mode_of(const char *word);

struct mg_second_factor_facts {
    uint64_t tenant; /* 0: the operators */
    enum mg_second_factor_mode mode;
    uint32_t demanding_roles, roles; /* bits of domain/role.h */
    bool has_one;
};
enum mg_second_factor_demand {
    MG_DEMAND_GIVE = 0, /* no session before it */
    MG_DEMAND_SET_UP,   /* no session before one is set up */
    MG_DEMAND_NONE,
};
enum mg_second_factor_demand mg_second_factor_judge(const struct mg_second_factor_facts *facts);

/* True if the person cannot be without one: the last must not be removed. */
bool mg_second_factor_must_have(const struct mg_second_factor_facts *facts);

/* Whether what a session gave (0: never) is recent enough. A time from the future counts for nothing beyond
 * a small correction of the clock. */
#define MG_SECOND_FACTOR_SLACK_MS 5000
bool mg_second_factor_is_fresh(mg_instant given_at, int64_t most_ms, mg_instant now);

/* How long setting up, removing and new recovery codes may follow the last proof of who it is. */
#define MG_SECOND_FACTOR_CHANGE_MS 600000
/* A ticket from the right password to the second factor: bound to the browser by its cookie. */
#define MG_TICKET_SECOND_MS 600000
/* More would be hard to keep apart. */
#define MG_FACTORS_MOST 10

#endif
