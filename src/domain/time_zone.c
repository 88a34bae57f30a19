#include "domain/time_zone.h"

#include <stdio.h>
#include <time.h>

#define MINUTE_MS 60000LL
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

enum summer { NONE, EUROPE, AMERICA, AUSTRALIA };

struct mg_time_zone {
    const char *name;
    int minutes;
    enum summer summer;
};

static const struct mg_time_zone zones[] = {
#define TIME_ZONE(name, minutes, summer) {name, minutes, summer},
#include "../../catalogue/time_zones.def"
#undef TIME_ZONE
};
const size_t mg_time_zone_count = MG_COUNT(zones);

const struct mg_time_zone *
mg_time_zone_at(size_t index)
{
    return index < MG_COUNT(zones) ? &zones[index] : NULL;
}

const struct mg_time_zone *
mg_time_zone_find(struct mg_view name)
{
    for (size_t i = 0; i < MG_COUNT(zones); i++)
        if (mg_view_is(name, zones[i].name))
            return &zones[i];
    return NULL;
}

const char *
mg_time_zone_name(const struct mg_time_zone *zone)
{
    return zone->name;
}

/* Midnight UTC of the n-th Sunday of a month (1 to 12); 0 is the last one. */
static mg_instant
sunday(int year, int month, int nth)
{
    struct tm first = {.tm_year = year - 1900, .tm_mon = nth == 0 ? month : month - 1, .tm_mday = 1};
    const time_t begin = timegm(&first); /* sets tm_wday; of the month after when the last one is asked for */
    const int days =
        nth == 0 ? -(first.tm_wday == 0 ? 7 : first.tm_wday) : (7 - first.tm_wday) % 7 + 7 * (nth - 1);
    return ((mg_instant) begin + days * 86400LL) * 1000;
}

static bool
is_summer(const struct mg_time_zone *zone, mg_instant instant)
{
    const int64_t winter_ms = zone->minutes * MINUTE_MS;
    const time_t seconds = (time_t) ((instant + winter_ms) / 1000);
    struct tm local;
    if (zone->summer == NONE || gmtime_r(&seconds, &local) == NULL)
        return false;
    const int year = local.tm_year + 1900;
    switch (zone->summer) {
    case EUROPE: /* last Sundays of March and October, at 01:00 UTC everywhere */
        return instant >= sunday(year, 3, 0) + HOUR_MS && instant < sunday(year, 10, 0) + HOUR_MS;
    case AMERICA: /* second Sunday of March to the first of November, at 02:00 on the clocks */
        return instant >= sunday(year, 3, 2) + 2 * HOUR_MS - winter_ms &&
               instant < sunday(year, 11, 1) + HOUR_MS - winter_ms;
    case AUSTRALIA: /* first Sunday of October to the first of April, at 02:00 of winter's clocks */
        return instant >= sunday(year, 10, 1) + 2 * HOUR_MS - winter_ms ||
               instant < sunday(year, 4, 1) + 2 * HOUR_MS - winter_ms;
    case NONE:
    default:
        return false;
    }
}

int64_t
mg_time_zone_ahead_ms(const struct mg_time_zone *zone, mg_instant instant)
{
    return zone->minutes * MINUTE_MS + (is_summer(zone, instant) ? HOUR_MS : 0);
}

struct mg_status
mg_time_zone_day(const struct mg_time_zone *zone, struct mg_view day, mg_instant *ret_instant)
{
    OWN_BUFFER(text, 64);
    mg_instant midnight = 0;
    if (day.length != 10)
        return fail_with(INVALID, "a day is written YYYY-MM-DD");
    TRY(mg_buffer_add(&text, day));
    TRY(mg_buffer_add_text(&text, "T00:00:00Z"));
    TRY(mg_instant_parse(mg_buffer_view(&text), &midnight));
    /* Where clocks change at midnight this is the change; none here does. */
    *ret_instant = midnight - mg_time_zone_ahead_ms(zone, midnight - zone->minutes * MINUTE_MS);
    return OK;
}
