#include "domain/risk.h"

#include "wire/network.h"

#include <math.h>
#include <stdio.h>

enum { ALWAYS = 0, LEARNT = 1, STRANGER = 2, OUTSIDE = 4 };

enum {
    ACCOUNT_FAILURES = 3, /* from so many on */
    ADDRESS_FAILURES = 3,
    NETWORK_FAILURES = 20,
    HOURS_KNOWN_FROM = 10, /* visits, before an hour can be odd */
    HOURS_NEAR = 3,
    TRAVEL_LEAST_KM = 100 /* nearer, data and clocks are not good enough to say anything */
};

#define HOUR_MS 3600000
#define EARTH_KM 6371.0

static const struct {
    const char *name, *en, *ja;
    uint32_t weight, when;
} rows[] = {
#define SIGNAL(word, points, condition, english, japanese) \
    {.name = #word, .en = (english), .ja = (japanese), .weight = (points), .when = (condition)},
#include "../../catalogue/signals.def"
#undef SIGNAL
};

static const struct {
    const char *name, *en, *ja;
} outcomes[] = {
    {"none", "not judged", "未判定"},
    {"allow", "let in", "許可"},
    {"notify", "let in, and the person is told", "許可し、本人に通知"},
    {"step-up", "asked for more than the password", "追加の確認を要求"},
    {"block", "blocked", "遮断"},
};

const char *
mg_signal_name(enum mg_signal signal)
{
    return signal < MG_SIGNAL_COUNT ? rows[signal].name : "";
}

const char *
mg_signal_text(enum mg_signal signal, bool japanese)
{
    if (signal >= MG_SIGNAL_COUNT)
        return "";
    return japanese ? rows[signal].ja : rows[signal].en;
}

uint32_t
mg_signal_weight(enum mg_signal signal)
{
    return signal < MG_SIGNAL_COUNT ? rows[signal].weight : 0;
}

const char *
mg_risk_outcome_name(enum mg_risk_outcome outcome)
{
    return outcomes[outcome < MG_COUNT(outcomes) ? outcome : 0].name;
}

const char *
mg_risk_outcome_text(enum mg_risk_outcome outcome, bool japanese)
{
    const size_t row = outcome < MG_COUNT(outcomes) ? outcome : 0;
    return japanese ? outcomes[row].ja : outcomes[row].en;
}

struct mg_status
mg_signals_names(uint32_t signals, struct mg_buffer *buffer)
{
    const char *between = "";
    for (uint32_t i = 0; i < MG_SIGNAL_COUNT; i++) {
        if ((signals & 1U << i) == 0)
            continue;
        TRY(mg_buffer_format(buffer, "%s%s", between, rows[i].name));
        between = " ";
    }
    return OK;
}

uint32_t
mg_signals_of(struct mg_view names)
{
    uint32_t signals = 0;
    for (size_t at = 0; at < names.length;) {
        const uint8_t *blank = memchr(names.bytes + at, ' ', names.length - at);
        const size_t end = blank != NULL ? (size_t) (blank - names.bytes) : names.length;
        for (uint32_t i = 0; i < MG_SIGNAL_COUNT; i++)
            if (mg_view_is(mg_view_of(names.bytes + at, end - at), rows[i].name))
                signals |= 1U << i;
        at = end + 1;
    }
    return signals;
}

struct mg_status
mg_signals_words(uint32_t signals, bool japanese, struct mg_buffer *buffer)
{
    const char *between = "";
    for (uint32_t i = 0; i < MG_SIGNAL_COUNT; i++) {
        if ((signals & 1U << i) == 0)
            continue;
        TRY(mg_buffer_format(buffer, "%s%s", between, japanese ? rows[i].ja : rows[i].en));
        between = japanese ? "、" : "; ";
    }
    return OK;
}

/* ---- places ---- */

/* The haversine formula on a sphere; what the ellipsoid adds is less than the radii hide. */
uint32_t
mg_risk_distance_km(const struct mg_risk_place *one, const struct mg_risk_place *other)
{
    if (!one->located || !other->located)
        return 0;
    const double to_radians = M_PI / 180000.0;
    const double a = one->latitude_e3 * to_radians, b = other->latitude_e3 * to_radians;
    const double up = sin((b - a) / 2),
                 side = sin((other->longitude_e3 - one->longitude_e3) * to_radians / 2);
    const double h = up * up + cos(a) * cos(b) * side * side;
    const double km = 2 * EARTH_KM * asin(sqrt(h < 1 ? h : 1));
    const double hidden = (double) one->radius_km + (double) other->radius_km;
    return km > hidden ? (uint32_t) (km - hidden) : 0;
}

struct mg_status
mg_risk_network(struct mg_view address, uint32_t asn, char text[MG_RISK_ADDRESS_TEXT])
{
    struct mg_address parsed;
    char prefix[MG_ADDRESS_TEXT];
    if (asn != 0) {
        (void) snprintf(text, MG_RISK_ADDRESS_TEXT, "AS%u", asn);
        return OK;
    }
    if (!mg_ok(mg_address_parse(address, &parsed))) {
        text[0] = '\0';
        return OK;
    }
    mg_address_text(mg_address_prefix(parsed), prefix);
    (void) snprintf(text, MG_RISK_ADDRESS_TEXT, "%s/%s", prefix, strchr(prefix, ':') != NULL ? "48" : "24");
    return OK;
}

/* ---- the signals ---- */

static enum mg_known
known(bool is_so)
{
    return is_so ? MG_YES : MG_NO;
}

static enum mg_known
negated(enum mg_known answer)
{
    return answer == MG_NOT_TOLD ? MG_NOT_TOLD : answer == MG_YES ? MG_NO : MG_YES;
}

/* Whether a text of the visit is among those of the past. Without one there is nothing to compare. */
static enum mg_known
seen(const struct mg_risk_facts *facts, size_t offset)
{
    const char *text = (const char *) &facts->now + offset;
    bool compared = false;
    if (text[0] == '\0')
        return MG_NOT_TOLD;
    for (size_t i = 0; i < facts->past_count; i++) {
        const char *before = (const char *) &facts->past[i] + offset;
        if (strcmp(before, text) == 0)
            return MG_YES;
        compared = compared || before[0] != '\0';
    }
    return compared ? MG_NO : MG_NOT_TOLD;
}

/* Against the latest sign-in that has a place. One within the tenant's own networks may leave the net
 * anywhere: it says nothing about where the person was. */
static enum mg_known
travel(const struct mg_risk_facts *facts, uint32_t km_h, uint32_t *ret_km)
{
    if (!facts->now.place.located)
        return MG_NOT_TOLD;
    for (size_t i = 0; i < facts->past_count; i++) {
        const struct mg_risk_visit *before = &facts->past[i];
        if (before->own || !before->place.located)
            continue;
        const uint32_t km = mg_risk_distance_km(&facts->now.place, &before->place);
        const int64_t ms = facts->now.at > before->at ? facts->now.at - before->at : 0;
        *ret_km = km;
        return known(km >= TRAVEL_LEAST_KM && (double) km * HOUR_MS > (double) km_h * (double) ms);
    }
    return MG_NOT_TOLD;
}

static int
hour_of(mg_instant at)
{
    const int64_t hours = at / HOUR_MS % 24;
    return (int) (hours < 0 ? hours + 24 : hours);
}

static enum mg_known
hour_is_odd(const struct mg_risk_facts *facts)
{
    if (facts->past_count < HOURS_KNOWN_FROM)
        return MG_NOT_TOLD;
    for (size_t i = 0; i < facts->past_count; i++) {
        const int apart = abs(hour_of(facts->now.at) - hour_of(facts->past[i].at));
        if (apart <= HOURS_NEAR || apart >= 24 - HOURS_NEAR)
            return MG_NO;
    }
    return MG_YES;
}

static enum mg_known
applies(enum mg_signal signal, const struct mg_risk_facts *facts, const struct mg_risk_limits *limits,
        uint32_t *ret_km)
{
    switch (signal) {
    case MG_SIGNAL_new_device:
        return negated(facts->device);
    case MG_SIGNAL_new_address:
        return negated(seen(facts, offsetof(struct mg_risk_visit, address)));
    case MG_SIGNAL_new_network:
        return negated(seen(facts, offsetof(struct mg_risk_visit, network)));
    case MG_SIGNAL_new_country:
        return negated(seen(facts, offsetof(struct mg_risk_visit, place.country)));
    case MG_SIGNAL_impossible_travel:
        return travel(facts, limits->travel_km_h, ret_km);
    case MG_SIGNAL_odd_hour:
        return hour_is_odd(facts);
    case MG_SIGNAL_account_failures:
        return known(facts->account_failures >= ACCOUNT_FAILURES);
    case MG_SIGNAL_address_failures:
        return known(facts->address_failures >= ADDRESS_FAILURES);
    case MG_SIGNAL_network_failures:
        return known(facts->network_failures >= NETWORK_FAILURES);
    case MG_SIGNAL_stuffing:
        return known(facts->address_names >= limits->names_most);
    case MG_SIGNAL_breached_password:
        return facts->breached;
    case MG_SIGNAL_listed_address:
        return facts->listed;
    default:
        return MG_NOT_TOLD;
    }
}

static bool
counts(uint32_t when, const struct mg_risk_facts *facts, bool learning)
{
    return !((when & LEARNT) != 0 && learning) && !((when & STRANGER) != 0 && facts->device == MG_YES) &&
           !((when & OUTSIDE) != 0 && facts->now.own);
}

static bool
reaches(uint32_t score, uint32_t threshold)
{
    return threshold != 0 && score >= threshold;
}

/* Control: IDENTITY_10 */
struct mg_risk_verdict
mg_risk_judge(const struct mg_risk_facts *facts, const struct mg_risk_limits *limits)
{
    struct mg_risk_verdict verdict = {.outcome = MG_RISK_ALLOW};
    uint32_t km = 0;
    /* A clock that was set back makes it longer, not shorter. */
    verdict.learning = facts->learnt_from == 0 || facts->now.at - facts->learnt_from < limits->learning_ms;
    for (uint32_t i = 0; i < MG_SIGNAL_COUNT; i++) {
        if (!counts(rows[i].when, facts, verdict.learning))
            continue;
        const enum mg_known answer = applies((enum mg_signal) i, facts, limits, &km);
        if (answer == MG_NOT_TOLD)
            verdict.unknown |= 1U << i;
        if (answer != MG_YES)
            continue;
        verdict.signals |= 1U << i;
        verdict.score += rows[i].weight;
    }
    if ((verdict.signals & MG_SIGNAL_BIT(impossible_travel)) != 0)
        verdict.travel_km = km;
    if (reaches(verdict.score, limits->block))
        verdict.outcome = MG_RISK_BLOCK;
    else if (reaches(verdict.score, limits->step_up))
        verdict.outcome = MG_RISK_STEP_UP;
    else if (reaches(verdict.score, limits->notify))
        verdict.outcome = MG_RISK_NOTIFY;
    verdict.confirmed = facts->confirmed && verdict.outcome == MG_RISK_STEP_UP;
    if (verdict.confirmed)
        verdict.outcome = MG_RISK_ALLOW;
    if (!limits->enforce && verdict.outcome > MG_RISK_NOTIFY)
        verdict.outcome = MG_RISK_NOTIFY;
    return verdict;
}
