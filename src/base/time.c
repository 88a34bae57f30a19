#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static int64_t
clock_ms(clockid_t clock)
{
    struct timespec now;
    mg_must(clock_gettime(clock, &now) == 0);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

mg_instant
mg_now(void)
{
    return clock_ms(CLOCK_REALTIME);
}

int64_t
mg_monotonic_ms(void)
{
    /* Not CLOCK_BOOTTIME: condition variables wait on CLOCK_MONOTONIC and nginx counts by it, and after a
     * suspend the two are apart for ever. */
    return clock_ms(CLOCK_MONOTONIC);
}

void
mg_instant_text(mg_instant instant, char text[MG_INSTANT_TEXT])
{
    const int64_t ms = (instant % 1000 + 1000) % 1000;
    const time_t seconds = (time_t) ((instant - ms) / 1000);
    struct tm broken;
    if (gmtime_r(&seconds, &broken) == NULL || broken.tm_year > 8099 || broken.tm_year < -1900) {
        (void) snprintf(text, MG_INSTANT_TEXT, "out-of-range");
        return;
    }
    /* The year is in range, so this fits; the compiler needs the modulo to see it. */
    (void) snprintf(text, MG_INSTANT_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                    (unsigned) (broken.tm_year + 1900) % 10000U, (unsigned) (broken.tm_mon + 1) % 100U,
                    (unsigned) broken.tm_mday % 100U, (unsigned) broken.tm_hour % 100U,
                    (unsigned) broken.tm_min % 100U, (unsigned) broken.tm_sec % 100U, (unsigned) ms % 1000U);
}

/* Reads exactly `count` digits. */
static bool
digits(struct mg_view text, size_t at, size_t count, int *ret_value)
{
    if (at + count > text.length)
        return false;
    int value = 0;
    for (size_t i = at; i < at + count; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9')
            return false;
        value = value * 10 + (text.bytes[i] - '0');
    }
    *ret_value = value;
    return true;
}

struct mg_status
mg_instant_parse(struct mg_view text, mg_instant *ret_instant)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct tm broken = {0};
    const uint8_t *b = text.bytes;
    if (text.length < 20 || !digits(text, 0, 4, &broken.tm_year) || b[4] != '-' ||
        !digits(text, 5, 2, &broken.tm_mon) || b[7] != '-' || !digits(text, 8, 2, &broken.tm_mday) ||
        (b[10] != 'T' && b[10] != ' ') || !digits(text, 11, 2, &broken.tm_hour) || b[13] != ':' ||
        !digits(text, 14, 2, &broken.tm_min) || b[16] != ':' || !digits(text, 17, 2, &broken.tm_sec))
        return fail_with(INVALID, "a time looks like 2026-11-22T05:19:00Z");
    if (broken.tm_mon < 1 || broken.tm_mon > 12 || broken.tm_mday < 1 ||
        broken.tm_mday > month_days[broken.tm_mon - 1] || broken.tm_hour > 23 || broken.tm_min > 59 ||
        broken.tm_sec > 60)
        return fail_with(INVALID, "no such date or time");
    size_t at = 19;
    int ms = 0;
    if (b[at] == '.') {
        int scale = 100;
        at++;
        const size_t start = at;
        while (at < text.length && b[at] >= '0' && b[at] <= '9') {
            ms += (b[at] - '0') * scale;
            scale /= 10;
            at++;
        }
        if (at == start)
            return fail_with(INVALID, "no digits after the point");
    }
    int offset_minutes = 0;
    if (at + 1 == text.length && (b[at] == 'Z' || b[at] == 'z'))
        offset_minutes = 0;
    else {
        int hours = 0, minutes = 0;
        if (at + 6 != text.length || (b[at] != '+' && b[at] != '-') || b[at + 3] != ':' ||
            !digits(text, at + 1, 2, &hours) || !digits(text, at + 4, 2, &minutes) || hours > 23 ||
            minutes > 59)
            return fail_with(INVALID, "a time ends in Z or an offset such as +09:00");
        offset_minutes = (hours * 60 + minutes) * (b[at] == '-' ? -1 : 1);
    }
    broken.tm_year -= 1900;
    broken.tm_mon -= 1;
    const time_t seconds = timegm(&broken);
    *ret_instant = ((int64_t) seconds - (int64_t) offset_minutes * 60) * 1000 + ms;
    return OK;
}

static const struct {
    const char *name;
    int64_t ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

struct mg_status
mg_duration_parse(struct mg_view text, int64_t *ret_ms)
{
    size_t number_length = 0;
    while (number_length < text.length && text.bytes[number_length] >= '0' &&
           text.bytes[number_length] <= '9')
        number_length++;
    uint64_t number = 0;
    if (!mg_ok(mg_parse_u64(mg_view_of(text.bytes, number_length), 1000000000, &number)))
        return fail_with(INVALID, "a duration looks like 250ms, 15m, 8h or 60d");
    const struct mg_view unit = mg_view_of(text.bytes + number_length, text.length - number_length);
    for (size_t i = 0; i < MG_COUNT(units); i++)
        if (mg_view_is(unit, units[i].name)) {
            *ret_ms = (int64_t) number * units[i].ms;
            return OK;
        }
    return fail_with(INVALID, "a duration ends in ms, s, m, h or d");
}

void
mg_duration_text(int64_t duration_ms, char text[MG_DURATION_TEXT])
{
    for (size_t i = 0; i < MG_COUNT(units); i++)
        if (duration_ms != 0 && duration_ms % units[i].ms == 0) {
            (void) snprintf(text, MG_DURATION_TEXT, "%" PRId64 "%s", duration_ms / units[i].ms,
                            units[i].name);
            return;
        }
    (void) snprintf(text, MG_DURATION_TEXT, "0s");
}
