/* Time zones of catalogue/time_zones.def: what clocks show somewhere at an instant, and when a day begins
 * there. */
#ifndef MG_DOMAIN_TIME_ZONE_H
#define MG_DOMAIN_TIME_ZONE_H

#include "base/time.h"

struct mg_time_zone;
extern const size_t mg_time_zone_count;

/* NULL if there is none of this name. */
const struct mg_time_zone *mg_time_zone_find(struct mg_view name);
const struct mg_time_zone *mg_time_zone_at(size_t index);
const char *mg_time_zone_name(const struct mg_time_zone *zone);
/* How far clocks there are ahead of UTC at that instant, in ms; of summer time today's rules hold at all
 * times. */
int64_t mg_time_zone_ahead_ms(const struct mg_time_zone *zone, mg_instant instant);
/* "2026-11-22": when that day begins there. INVALID for anything else. */
CHECKED struct mg_status mg_time_zone_day(const struct mg_time_zone *zone, struct mg_view day,
                                          mg_instant *ret_instant);

#endif
