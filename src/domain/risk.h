/* How much a sign-in with the right password looks like somebody else's, and what follows: adaptive sign-in
 * (NIST SP 800-53 IA-10; NIST SP 800-63B-4 section 3.2.10 names such signals as an addition to, and never a
 * replacement of, the proof of identity itself).
 *
 * The signals and their weights are the rows of catalogue/signals.def. What is not known (an address without
 * a place, an account without a past) is said to be unknown and counts nothing: no data is no suspicion, and
 * no assurance either. */
#ifndef MG_DOMAIN_RISK_H
#define MG_DOMAIN_RISK_H

#include "base/time.h"

enum mg_signal {
#define SIGNAL(name, ...) MG_SIGNAL_##name,
#include "../../catalogue/signals.def"
#undef SIGNAL
    MG_SIGNAL_COUNT
};
#define MG_SIGNAL_BIT(name) (1U << MG_SIGNAL_##name)

enum mg_risk_outcome {
    MG_RISK_ALLOW = 1, /* zero is no outcome: whoever forgets to judge does not allow */
    MG_RISK_NOTIFY,    /* let in; the person is told by mail */
    MG_RISK_STEP_UP,   /* not let in before more was shown than the password */
    MG_RISK_BLOCK,     /* not let in */
};

/* Whether something is so, when it may be that nobody knows. */
enum mg_known { MG_NOT_TOLD, MG_YES, MG_NO };

/* Where an address is, as far as the data say. Coordinates in thousandths of a degree, north and east. */
struct mg_risk_place {
    char country[3]; /* ISO 3166-1 alpha-2, or "" */
    uint32_t asn;    /* autonomous system; 0: unknown */
    bool located;
    int32_t latitude_e3, longitude_e3;
    uint32_t radius_km; /* it may be as far from there */
};

#define MG_RISK_ADDRESS_TEXT 64
/* One sign-in. `address` and `network` are texts to be compared, "" when not known. */
struct mg_risk_visit {
    mg_instant at;
    char address[MG_RISK_ADDRESS_TEXT], network[MG_RISK_ADDRESS_TEXT];
    struct mg_risk_place place;
    bool own; /* from the tenant's own networks */
};

#define MG_RISK_PAST_MOST 50
#define MG_RISK_WINDOW_MS 3600000 /* in which failures are counted */

struct mg_risk_facts {
    struct mg_risk_visit now;
    enum mg_known device;             /* MG_YES: this account has used it */
    enum mg_known breached, listed;   /* the password; the address */
    bool confirmed;                   /* the person has just confirmed this device by mail */
    mg_instant learnt_from;           /* first sign-in of the account that counts; 0: none yet */
    const struct mg_risk_visit *past; /* that were let in, newest first; borrowed */
    size_t past_count;
    /* Wrong passwords within the window, and for how many names the address tried. */
    uint32_t account_failures, address_failures, network_failures, address_names;
};

/* A threshold of 0 is never reached. */
struct mg_risk_limits {
    uint32_t notify, step_up, block;
    int64_t learning_ms;
    uint32_t travel_km_h; /* faster is impossible */
    uint32_t names_most;  /* so many names from one address are stuffing */
    bool enforce;         /* false: nothing worse than NOTIFY comes out */
};
#define MG_RISK_PRESET                                  \
    ((struct mg_risk_limits){.notify = 30,              \
                             .step_up = 50,             \
                             .block = 120,              \
                             .learning_ms = 1209600000, \
                             .travel_km_h = 800,        \
                             .names_most = 4,           \
                             .enforce = true})

struct mg_risk_verdict {
    enum mg_risk_outcome outcome;
    uint32_t score, signals, unknown; /* bits of enum mg_signal: that apply, that nobody could tell */
    bool learning, confirmed;         /* confirmed: it would have been STEP_UP */
    uint32_t travel_km;               /* at least, with impossible_travel */
};

struct mg_risk_verdict mg_risk_judge(const struct mg_risk_facts *facts, const struct mg_risk_limits *limits);

/* Kilometres between two places that are certain, whatever their radii hide; 0 unless both are located. */
uint32_t mg_risk_distance_km(const struct mg_risk_place *one, const struct mg_risk_place *other);

/* The network an address counts as: its autonomous system ("AS64496") or, where that is not known, the /24 or
 * /48 around it. "" when the text is no address. */
CHECKED struct mg_status mg_risk_network(struct mg_view address, uint32_t asn,
                                         char text[MG_RISK_ADDRESS_TEXT]);

const char *mg_signal_name(enum mg_signal signal); /* "new_device" */
const char *mg_signal_text(enum mg_signal signal, bool japanese);
uint32_t mg_signal_weight(enum mg_signal signal);
const char *mg_risk_outcome_name(enum mg_risk_outcome outcome); /* "step-up" */
const char *mg_risk_outcome_text(enum mg_risk_outcome outcome, bool japanese);

/* Names of the rows with a blank between, for records; and back (unknown words are passed over). */
CHECKED struct mg_status mg_signals_names(uint32_t signals, struct mg_buffer *buffer);
uint32_t mg_signals_of(struct mg_view names);
/* The reasons in words, for a person: with "; " or 「、」 between. */
CHECKED struct mg_status mg_signals_words(uint32_t signals, bool japanese, struct mg_buffer *buffer);

#endif
