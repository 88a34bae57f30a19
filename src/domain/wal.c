#include "domain/wal.h"

#include <stdio.h>

enum { NAME_DIGITS = 24, PART_DIGITS = 8 };

static bool
size_is_valid(uint32_t segment_bytes)
{
    return segment_bytes >= 1U << 20 && segment_bytes <= 1U << 30 &&
           (segment_bytes & (segment_bytes - 1)) == 0;
}

static bool
part_read(const uint8_t *digits, uint32_t *ret_part)
{
    uint32_t part = 0;
    for (size_t i = 0; i < PART_DIGITS; i++) {
        const uint8_t c = digits[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'F'))
            return false;
        part = part << 4 | (uint32_t) (c <= '9' ? c - '0' : c - 'A' + 10);
    }
    *ret_part = part;
    return true;
}

struct mg_status
mg_wal_segment_read(struct mg_view name, uint32_t segment_bytes, struct mg_wal_segment *ret_segment)
{
    uint32_t timeline, log, segment;
    if (!size_is_valid(segment_bytes) || name.length != NAME_DIGITS || !part_read(name.bytes, &timeline) ||
        !part_read(name.bytes + PART_DIGITS, &log) || !part_read(name.bytes + 2 * PART_DIGITS, &segment))
        return fail(INVALID);
    const uint64_t in_a_log = (UINT64_C(1) << 32) / segment_bytes;
    if (timeline == 0 || segment >= in_a_log)
        return fail(INVALID);
    *ret_segment = (struct mg_wal_segment){.timeline = timeline, .number = log * in_a_log + segment};
    return OK;
}

void
mg_wal_segment_name(const struct mg_wal_segment *segment, uint32_t segment_bytes, char name[MG_WAL_NAME])
{
    const uint64_t in_a_log = (UINT64_C(1) << 32) / segment_bytes;
    (void) snprintf(name, MG_WAL_NAME, "%08X%08X%08X", segment->timeline,
                    (uint32_t) (segment->number / in_a_log), (uint32_t) (segment->number % in_a_log));
}

/* A new timeline begins in the segment where the one before it was left, or in the next. */
static bool
follows(const struct mg_wal_segment *before, const struct mg_wal_segment *after)
{
    if (before->timeline == after->timeline)
        return before->number + 1 == after->number;
    return before->timeline < after->timeline && before->number + 1 >= after->number;
}

struct mg_status
mg_wal_chain(const char (*names)[MG_WAL_NAME], size_t count, uint32_t segment_bytes,
             struct mg_wal_chain *ret_chain)
{
    struct mg_wal_chain chain = {.first = count};
    struct mg_wal_segment after = {.number = 0};
    while (chain.first > 0) {
        struct mg_wal_segment segment;
        TRY(mg_wal_segment_read(mg_view_text(names[chain.first - 1]), segment_bytes, &segment));
        if (chain.first < count && !follows(&segment, &after)) {
            const struct mg_wal_segment missing = {.timeline = after.timeline, .number = after.number - 1};
            mg_wal_segment_name(&missing, segment_bytes, chain.missing);
            break;
        }
        after = segment;
        chain.first--;
    }
    *ret_chain = chain;
    return OK;
}
