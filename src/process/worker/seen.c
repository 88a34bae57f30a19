/* Starts and stops of what the launcher runs, as they are seen: it starts again what ends by itself, and has
 * no way to the audit log. DIR/worker/seen has the starts that are recorded, so that a worker that was
 * started again says nothing twice. */
#include "base/io.h"
#include "base/log.h"
#include "process/worker/worker.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHILDREN_MOST = 4096, CALL_MS = 5000, LOOK_MS = 2000, FILE_MOST = 1 << 20 };

struct seen {
    char name[96]; /* "postgres tenant-3" */
    uint64_t pid;  /* 0: does not run */
    mg_instant started_at;
    bool listed;
};

static struct {
    struct seen *list[CHILDREN_MOST]; /* never freed: there are as many as tenants */
    size_t count;
    bool looked, changed; /* once; since the file was written */
} own;

static struct seen *
seen_find(struct mg_view name, bool *ret_fresh)
{
    *ret_fresh = false;
    for (size_t i = 0; i < own.count; i++)
        if (mg_view_is(name, own.list[i]->name))
            return own.list[i];
    struct seen *seen = own.count == CHILDREN_MOST ? NULL : calloc(1, sizeof *seen);
    if (seen == NULL || !mg_ok(mg_view_copy(name, seen->name, sizeof seen->name))) {
        free(seen);
        return NULL;
    }
    *ret_fresh = true;
    own.list[own.count++] = seen;
    return seen;
}

/* "postgres tenant-3" is of tenant 3. */
static uint64_t
tenant_of(const char *name)
{
    static const char *const prefixes[] = {"postgres tenant-", "application "};
    uint64_t tenant = 0;
    for (size_t i = 0; i < MG_COUNT(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0 &&
            !mg_ok(mg_parse_u64(mg_view_text(name + strlen(prefixes[i])), UINT32_MAX, &tenant)))
            tenant = 0;
    return tenant;
}

static const char *
instance_of(const char *name)
{
    static const char prefix[] = "postgres ";
    return strncmp(name, prefix, strlen(prefix)) == 0 ? name + strlen(prefix) : NULL;
}

static CHECKED struct mg_status
record(enum mg_event event, const struct seen *seen, const char *target, const char *reason)
{
    char started[MG_INSTANT_TEXT], pid[24];
    OWN_BUFFER(details, 512);
    mg_instant_text(seen->started_at, started);
    (void) snprintf(pid, sizeof pid, "%llu", (unsigned long long) seen->pid);
    const struct mg_record_audit_detail rows[] = {
        {.key = mg_view_text("started_at"), .value = mg_view_text(started)},
        {.key = mg_view_text("pid"), .value = mg_view_text(pid)},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        TRY(mg_list_add_audit_detail(&details, &rows[i]));
    return worker_record_details(event, tenant_of(seen->name), target, reason, mg_buffer_view(&details));
}

static CHECKED struct mg_status
started(const struct seen *seen, bool known)
{
    const char *instance = instance_of(seen->name);
    if (instance == NULL)
        return known ? record(MG_EVENT_health_change, seen, seen->name, "started again") : OK;
    return record(MG_EVENT_instance_start, seen, instance, known ? "again" : "");
}

static CHECKED struct mg_status
ended(const struct seen *seen, const char *reason)
{
    const char *instance = instance_of(seen->name);
    if (instance != NULL)
        return record(MG_EVENT_instance_stop, seen, instance, reason);
    return record(MG_EVENT_health_change, seen, seen->name, reason);
}

/* What is recorded is noted afterwards: if the log cannot take it, the next look tries again. The first look
 * says of what ran before only what it finds running now: the system's own stop and start are recorded. */
static CHECKED struct mg_status
child_look(const struct mg_record_child_state *state)
{
    bool fresh = false;
    struct seen *seen = seen_find(state->name, &fresh);
    if (seen == NULL)
        return OK;
    seen->listed = true;
    if (seen->pid == state->pid && (state->pid == 0 || seen->started_at == state->started_at))
        return OK;
    own.changed = true;
    if (seen->pid != 0 && own.looked)
        TRY(ended(seen,
                  state->pid != 0 || mg_view_is(state->state, "waiting") ? "ended unexpectedly" : "stopped"));
    seen->pid = 0;
    if (state->pid == 0)
        return OK;
    struct seen now = *seen;
    now.pid = state->pid;
    now.started_at = state->started_at;
    TRY(started(&now, !fresh && own.looked));
    *seen = now;
    return OK;
}

static CHECKED struct mg_status
children_look(void)
{
    for (size_t i = 0; i < own.count; i++)
        own.list[i]->listed = false;
    for (uint64_t from = 0, before = UINT64_MAX; from != before;) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_children_list reply;
        TRY(mg_call_children_list(&(struct mg_request_children_list){.from = from}, &reply, &storage,
                                  CALL_MS));
        before = from;
        for (bool more = true;; from++) {
            struct mg_record_child_state state;
            TRY(mg_list_next_child_state(&reply.children, &state, &more));
            if (!more)
                break;
            TRY(child_look(&state));
        }
    }
    for (size_t i = 0; i < own.count; i++)
        if (!own.list[i]->listed && own.list[i]->pid != 0) {
            own.changed = true;
            if (own.looked)
                TRY(ended(own.list[i], "stopped"));
            own.list[i]->pid = 0;
        }
    own.looked = true;
    return OK;
}

/* ---- the file: pid, milliseconds, name ---- */

static CHECKED struct mg_status
file_path(char path[MG_PATH])
{
    return mg_path_join(path, mg_environment()->directory, "worker/seen");
}

static CHECKED struct mg_status
line_read(const char *line, const char *end)
{
    uint64_t pid, started_at;
    bool fresh;
    const char *second = memchr(line, ' ', (size_t) (end - line));
    const char *third = second == NULL ? NULL : memchr(second + 1, ' ', (size_t) (end - second - 1));
    if (third == NULL)
        return fail_with(MALFORMED, "worker/seen");
    TRY(mg_parse_u64(mg_view_of(line, (size_t) (second - line)), UINT32_MAX, &pid));
    TRY(mg_parse_u64(mg_view_of(second + 1, (size_t) (third - second - 1)), INT64_MAX, &started_at));
    struct seen *seen = seen_find(mg_view_of(third + 1, (size_t) (end - third - 1)), &fresh);
    if (seen != NULL) {
        seen->pid = pid;
        seen->started_at = (mg_instant) started_at;
    }
    return OK;
}

static CHECKED struct mg_status
file_read(void)
{
    char path[MG_PATH];
    OWN_BUFFER(text, FILE_MOST);
    TRY(file_path(path));
    const struct mg_status status = mg_file_read(path, &text);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    for (const char *line = mg_buffer_text(&text), *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        TRY(line_read(line, end));
    return OK;
}

static CHECKED struct mg_status
file_write(void)
{
    char path[MG_PATH];
    OWN_BUFFER(text, FILE_MOST);
    TRY(file_path(path));
    for (size_t i = 0; i < own.count; i++)
        if (own.list[i]->pid != 0)
            TRY(mg_buffer_format(&text, "%llu %lld %s\n", (unsigned long long) own.list[i]->pid,
                                 (long long) own.list[i]->started_at, own.list[i]->name));
    TRY(mg_file_replace(path, mg_buffer_view(&text), 0600));
    own.changed = false;
    return OK;
}

int64_t
seen_job(mg_instant now)
{
    static bool read;
    (void) now;
    struct mg_status status = read ? OK : file_read();
    if (!mg_ok(status)) /* a file that cannot be read costs a repetition */
        mg_log_status(MG_WARNING, "what ran before", status);
    read = true;
    status = children_look();
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "what the launcher runs", status);
    status = own.changed ? file_write() : OK;
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "keep what runs", status);
    return LOOK_MS;
}
