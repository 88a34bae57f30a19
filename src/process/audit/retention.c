/* After audit.retention a tenant's month can no longer be read: keys destroys its key (and says so in the
 * log first). Entries and tree stay as they are and go on to verify. DIR/audit/erased has a line for each
 * month of a tenant that was erased: month, tenant, entries, when; it holds nothing personal and makes
 * verify and the next start say and know it without asking. */
#include "base/io.h"
#include "base/log.h"
#include "process/audit/audit.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EVERY_MS (INT64_C(3600) * 1000)
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define DESTROY_TIMEOUT_MS 20000
/* Tenants times months in one go; what is beyond comes the next time. */
#define MONTHS_MOST 4096
/* Entries lie in the order of time, but for a clock that was set: after so many young ones in a row no old
 * one is looked for. */
#define YOUNG_MOST 65536

struct month {
    uint64_t tenant, entries;
    uint32_t month;
};

static struct {
    struct month found[MONTHS_MOST];
    size_t count;
    int64_t looked_ms;
    uint64_t settled; /* entries below belong to months that are erased */
} own;

/* Of the day it is in, since a log has many entries a day and days are few. */
static uint32_t
month_of(mg_instant time)
{
    static mg_instant day = -1;
    static uint32_t month;
    if (time / DAY_MS != day) {
        day = time / DAY_MS;
        month = mg_month_of(time);
    }
    return month;
}

static CHECKED struct mg_status
month_add(uint64_t tenant, uint32_t month)
{
    /* Entries of one kind come together: the last one found is the likeliest. */
    for (size_t i = own.count; i-- > 0;)
        if (own.found[i].tenant == tenant && own.found[i].month == month) {
            own.found[i].entries++;
            return OK;
        }
    if (own.count == MONTHS_MOST)
        return fail(BUSY);
    own.found[own.count++] = (struct month){.tenant = tenant, .month = month, .entries = 1};
    return OK;
}

/* The months before `limit` of the entries from `settled` on. Returns up to where all are of such months. */
static uint64_t
months_find(const struct mg_audit_view *view, uint32_t limit)
{
    uint64_t old = own.settled, young = 0;
    own.count = 0;
    for (uint64_t at = own.settled; at < view->size && young < YOUNG_MOST; at++) {
        const struct mg_index_row row = mg_index_get(view->index, at);
        /* An entry that could not be read when the index was made has no time; its month is known by others.
         */
        if (row.known != 0 && row.time > 0) {
            if (month_of(row.time) >= limit) {
                young++;
                continue;
            }
            if (!mg_ok(month_add(row.tenant, month_of(row.time))))
                return old;
        }
        if (young == 0)
            old = at + 1;
    }
    return old;
}

static CHECKED struct mg_status
list_path(char path[MG_PATH])
{
    return mg_path_join(path, mg_environment()->directory, "audit/erased");
}

/* True if a line of the list begins with this month and tenant. */
static bool
list_has(const struct mg_buffer *list, const struct month *month)
{
    char mark[64];
    const int length = snprintf(mark, sizeof mark, "\n%" PRIu32 " %" PRIu64 " ", month->month, month->tenant);
    return strncmp(mg_buffer_text(list), mark + 1, (size_t) length - 1) == 0 ||
           strstr(mg_buffer_text(list), mark) != NULL;
}

static CHECKED struct mg_status
list_add(const struct month *month, mg_instant now)
{
    char path[MG_PATH], when[MG_INSTANT_TEXT];
    OWN_BUFFER(line, 128);
    TRY(list_path(path));
    mg_instant_text(now, when);
    TRY(mg_buffer_format(&line, "%" PRIu32 " %" PRIu64 " %" PRIu64 " %s\n", month->month, month->tenant,
                         month->entries, when));
    OWN_FD fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return fail_errno("open %s", path);
    TRY(mg_fd_write_all(fd, mg_buffer_view(&line)));
    return fsync(fd) == 0 ? OK : fail_errno("sync %s", path);
}

static CHECKED struct mg_status
month_erase(const struct month *month, mg_instant now)
{
    OWN_BUFFER(answer, MG_PACKET_MOST);
    struct mg_reply_audit_key_destroy reply;
    const struct mg_status status = mg_call_audit_key_destroy(
        &(struct mg_request_audit_key_destroy){.tenant = month->tenant, .month = month->month}, &reply,
        &answer, DESTROY_TIMEOUT_MS);
    if (status.code != MG_NOT_FOUND) /* destroyed, but the line was not written any more */
        TRY(status);
    mg_month_key_forget(month->tenant, month->month);
    mg_log(MG_INFO,
           "%" PRIu64 " entries of %" PRIu32 " (tenant %" PRIu64 ") were erased after audit.retention",
           month->entries, month->month, month->tenant);
    return list_add(month, now);
}

static CHECKED struct mg_status
months_erase(mg_instant now, int64_t retention_ms)
{
    char path[MG_PATH];
    struct mg_audit_view view;
    OWN_BUFFER(list, 16u << 20);
    mg_sequencer_view(&view);
    if (view.index == NULL)
        return OK;
    const uint64_t looked = months_find(&view, mg_month_of(now - retention_ms));
    if (own.count == 0) {
        own.settled = looked;
        return OK;
    }
    TRY(list_path(path));
    const struct mg_status status = mg_file_read(path, &list);
    if (status.code != MG_NOT_FOUND)
        TRY(status);
    for (size_t i = 0; i < own.count; i++)
        if (!list_has(&list, &own.found[i]))
            TRY(month_erase(&own.found[i], now));
    own.settled = looked;
    return OK;
}

void
mg_retention_tick(mg_instant now)
{
    const int64_t monotonic_ms = mg_monotonic_ms();
    if (own.looked_ms != 0 && monotonic_ms - own.looked_ms < EVERY_MS)
        return;
    own.looked_ms = monotonic_ms;
    const struct mg_status status = months_erase(now, mg_environment()->options->audit_retention);
    if (!mg_ok(status))
        mg_log_status(MG_ERROR, "erase what audit.retention has passed", status);
}
