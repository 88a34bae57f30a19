/* Time. Decisions take `now` as an argument; only the outer loops read a clock. */
#ifndef MG_BASE_TIME_H
#define MG_BASE_TIME_H

#include "base/bytes.h"

/* Milliseconds since 1970-01-01T00:00:00Z. */
typedef int64_t mg_instant;

mg_instant mg_now(void); /* wall clock */
/* CLOCK_MONOTONIC, which nobody sets: for every wait, and for ages between processes of one machine. */
int64_t mg_monotonic_ms(void);

/* RFC 3339 in UTC with milliseconds, e.g. 2026-11-22T05:19:00.000Z. */
#define MG_INSTANT_TEXT 32
void mg_instant_text(mg_instant instant, char text[MG_INSTANT_TEXT]);
/* Accepts RFC 3339 with any offset; INVALID otherwise. */
CHECKED struct mg_status mg_instant_parse(struct mg_view text, mg_instant *ret_instant);

/* "250ms", "15m", "8h", "60d": one number, one unit of ms s m h d. */
CHECKED struct mg_status mg_duration_parse(struct mg_view text, int64_t *ret_ms);
/* The shortest exact form, e.g. "15m". */
#define MG_DURATION_TEXT 32
void mg_duration_text(int64_t duration_ms, char text[MG_DURATION_TEXT]);

#endif
