/* What became of every backup that was taken: the audit log has a record of each that was taken and of each
 * that was destroyed, and nobody can take one out of it. One that is gone without a record was taken away. */
#include "probes/backup.h"
#include "wire/events.h"

#include <inttypes.h>
#include <stdio.h>

#define BACK_MS (INT64_C(400) * 86400000)
enum { LINES_MOST = 32 << 20, FULL_LABEL = 16 /* "20261122-183811F" */ };

struct records {
    struct mg_buffer taken, destroyed, checked, labels;
};
static void
records_drop(struct records *records)
{
    mg_buffer_drop(&records->taken);
    mg_buffer_drop(&records->destroyed);
    mg_buffer_drop(&records->checked);
    mg_buffer_drop(&records->labels);
}

/* The log first: what is taken meanwhile is in the list then. */
static CHECKED struct mg_status
records_read(const struct mg_backup_subject *subject, struct records *records)
{
    const struct mg_observer_ops *ops = subject->observer->ops;
    const uint64_t tenant = subject->instance->tenant;
    const mg_instant since = subject->now - BACK_MS;
    TRY(ops->audit_events(subject->observer, tenant, MG_EVENT_backup, since, &records->taken));
    TRY(ops->backup_labels(subject->observer, tenant, &records->labels));
    TRY(ops->audit_events(subject->observer, tenant, MG_EVENT_backup_destroy, since, &records->destroyed));
    return ops->audit_events(subject->observer, tenant, MG_EVENT_backup_verify, since, &records->checked);
}

/* What stands behind `key` up to one of `ends`; empty without it. */
static struct mg_view
value_after(struct mg_view line, const char *key, const char *ends)
{
    const size_t length = strlen(key);
    const char *at = memmem(line.bytes, line.length, key, length);
    if (at == NULL)
        return MG_VIEW_EMPTY;
    at += length;
    const char *end = at;
    while (end < (const char *) line.bytes + line.length && strchr(ends, *end) == NULL)
        end++;
    return mg_view_of(at, (size_t) (end - at));
}

static CHECKED struct mg_status
time_of(struct mg_view line, mg_instant *ret_at)
{
    uint64_t at;
    TRY(mg_parse_u64(value_after(line, "\"time\":", ",}"), INT64_MAX, &at));
    *ret_at = (mg_instant) at;
    return OK;
}

/* The next line of the text; false at its end. */
static bool
line_next(const char **text, struct mg_view *ret_line)
{
    const size_t length = strcspn(*text, "\n");
    *ret_line = mg_view_of(*text, length);
    const bool there = (*text)[length] == '\n';
    *text += length + there;
    return there;
}

/* The first line that has both. */
static bool
line_with(const struct mg_buffer *text, struct mg_view word, const char *other, struct mg_view *ret_line)
{
    const char *at = mg_buffer_text(text);
    while (line_next(&at, ret_line))
        if (memmem(ret_line->bytes, ret_line->length, word.bytes, word.length) != NULL &&
            memmem(ret_line->bytes, ret_line->length, other, strlen(other)) != NULL)
            return true;
    return false;
}

/* Did an operator say after that moment that what is missing is known to be lost? */
static CHECKED struct mg_status
is_accepted(const struct records *records, mg_instant taken_at, bool *ret_accepted)
{
    struct mg_view line;
    mg_instant at;
    *ret_accepted = false;
    for (const char *text = mg_buffer_text(&records->checked); line_next(&text, &line);) {
        if (memmem(line.bytes, line.length, "\"accepted\"", strlen("\"accepted\"")) == NULL)
            continue;
        TRY(time_of(line, &at));
        *ret_accepted = *ret_accepted || at >= taken_at;
    }
    return OK;
}

/* A backup that was taken and is not there. Differential ones go with their full one, whose label theirs
 * begins with. */
static CHECKED struct mg_status
gone_judge(const struct mg_backup_subject *subject, const struct records *records, struct mg_view label,
           mg_instant taken_at, int64_t keep_ms)
{
    char text[64], own[48];
    struct mg_view line;
    bool accepted = false;
    const struct mg_view full =
        mg_view_of(label.bytes, label.length < FULL_LABEL ? label.length : FULL_LABEL);
    (void) snprintf(text, sizeof text, "%.*s", (int) label.length, (const char *) label.bytes);
    (void) snprintf(own, sizeof own, "\"%s\"", subject->plan->name);
    if (line_with(&records->destroyed, full, own, &line)) {
        if (subject->now - taken_at < keep_ms)
            mg_backup_break(subject, "a backup was destroyed before its time",
                            "期間内のバックアップが破棄されています", text);
        return OK;
    }
    if (line_with(&records->destroyed, full, "", &line)) /* by the plan before this one */
        return OK;
    TRY(is_accepted(records, taken_at, &accepted));
    if (!accepted)
        mg_backup_break(subject, "a backup is gone, and there is no record that it was destroyed",
                        "破棄の記録がないまま、バックアップが失われています", text);
    return OK;
}

struct mg_status
mg_backup_kept_look(const struct mg_backup_subject *subject, int64_t keep_ms)
{
    MG_CLEANUP(records_drop)
    struct records records = {.taken = MG_BUFFER(LINES_MOST),
                              .destroyed = MG_BUFFER(LINES_MOST),
                              .checked = MG_BUFFER(LINES_MOST),
                              .labels = MG_BUFFER(LINES_MOST)};
    struct mg_view line;
    uint64_t taken = 0;
    TRY(records_read(subject, &records));
    for (const char *text = mg_buffer_text(&records.taken); line_next(&text, &line); taken++) {
        const struct mg_view label = value_after(line, "\"backup\":\"2", "\"");
        mg_instant taken_at;
        TRY(time_of(line, &taken_at));
        if (label.length + 1 < FULL_LABEL)
            return fail_with(MALFORMED, "the record of a backup of %s", subject->name);
        const struct mg_view whole = mg_view_of(label.bytes - 1, label.length + 1); /* with the century's 2 */
        struct mg_view found;
        bool there = false;
        for (const char *at = mg_buffer_text(&records.labels); !there && line_next(&at, &found);)
            there = mg_view_equal(found, whole);
        if (!there)
            TRY(gone_judge(subject, &records, whole, taken_at, keep_ms));
    }
    mg_finding_note(subject->finding, "%s: %" PRIu64 " backups taken, %" PRIu64 " there", subject->name,
                    taken, subject->facts.backups);
    return OK;
}
