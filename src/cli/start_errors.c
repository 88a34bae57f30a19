#include "cli/start_errors.h"

#include "base/io.h"
#include "wire/messages.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PART_MOST = 65536, SEEN_BEFORE_TOLD = 2, STAMP = 25 }; /* "2026-11-22T05:19:00.000Z " */

/* Errors that another try does not mend. Others (no such file, refused, no answer) may be gone a moment
 * later. */
static const enum mg_code lasting[] = {MG_NEWER_SCHEMA, MG_CONFIGURATION, MG_INVALID, MG_CRYPTO,
                                       MG_INTEGRITY};

static bool
is_logging(int process)
{
    return process != MG_CLI && process < MG_START_LOGS;
}

static CHECKED struct mg_status
log_path(const struct mg_start_errors *errors, int process, char path[MG_PATH])
{
    char name[64];
    (void) snprintf(name, sizeof name, "log/%s.log", mg_process_name((enum mg_process) process));
    return mg_path_join(path, errors->directory, name);
}

struct mg_status
mg_start_errors_begin(const char *state, struct mg_start_errors *ret_errors)
{
    _Static_assert(MG_PROCESS_COUNT <= MG_START_LOGS, "a place for every process");
    *ret_errors = (struct mg_start_errors){.from = {0}};
    TRY(mg_view_copy(mg_view_text(state), ret_errors->directory, sizeof ret_errors->directory));
    for (int process = 0; process < MG_PROCESS_COUNT; process++) {
        char path[MG_PATH];
        struct stat found;
        if (!is_logging(process))
            continue;
        TRY(log_path(ret_errors, process, path));
        if (stat(path, &found) == 0)
            ret_errors->from[process] = found.st_size;
    }
    return OK;
}

/* What was written since, the last PART_MOST bytes of it; empty if the log cannot be read. */
static size_t
part_read(const struct mg_start_errors *errors, int process, char part[PART_MOST + 1])
{
    char path[MG_PATH];
    struct stat found;
    if (!mg_ok(log_path(errors, process, path)))
        return 0;
    OWN_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &found) != 0)
        return 0;
    off_t from = errors->from[process] <= found.st_size ? errors->from[process] : 0;
    if (found.st_size - from > PART_MOST)
        from = found.st_size - PART_MOST;
    const ssize_t length = pread(fd, part, PART_MOST, from);
    part[length > 0 ? length : 0] = '\0';
    return length > 0 ? (size_t) length : 0;
}

/* "STAMP error   worker: start: TEXT: DETAIL (HINT) [PLACE]": what was said of this error, in `detail`. */
static bool
line_is_of(const char *line, const struct mg_error_row *row, char detail[512])
{
    const char *found = strstr(line, row->en);
    if (found == NULL)
        return false;
    found += strlen(row->en);
    found += strncmp(found, ": ", 2) == 0 ? 2 : 0;
    const char *hint = strstr(found, " (");
    for (const char *next = hint; next != NULL;
         next = strstr(next + 1, " (")) /* the last one is the hint's */
        if (strncmp(next + 2, row->hint_en, strlen(row->hint_en)) == 0)
            hint = next;
    const size_t length = hint != NULL ? (size_t) (hint - found) : strlen(found);
    (void) snprintf(detail, 512, "%.*s", (int) length, found);
    return true;
}

/* "worker: start: ..." and what nginx is to serve: without these there is nothing to serve at all. One
 * tenant's trouble is not the whole's. */
static bool
is_about_start(const char *text)
{
    static const char *const subjects[] = {"start: ", "nginx's origins: "};
    const char *after = strstr(text, ": ");
    for (size_t i = 0; after != NULL && i < MG_COUNT(subjects); i++)
        if (strncmp(after + 2, subjects[i], strlen(subjects[i])) == 0)
            return true;
    return false;
}

struct seen {
    unsigned times;
    char detail[512];
};

static void
line_take(const char *line, struct seen seen[MG_COUNT(lasting)], char last[512])
{
    if (strlen(line) < STAMP || strncmp(line + STAMP, "error", 5) != 0)
        return;
    (void) snprintf(last, 512, "%s", line + STAMP + sizeof "error  ");
    for (size_t i = 0; is_about_start(last) && i < MG_COUNT(lasting); i++)
        if (line_is_of(line, mg_error_row(lasting[i]), seen[i].detail))
            seen[i].times++;
}

struct mg_status
mg_start_errors_look(const struct mg_start_errors *errors, char last[512])
{
    static char part[PART_MOST + 1];
    last[0] = '\0';
    for (int process = 0; process < MG_PROCESS_COUNT; process++) {
        struct seen seen[MG_COUNT(lasting)] = {0};
        char *rest = part;
        if (!is_logging(process) || part_read(errors, process, part) == 0)
            continue;
        for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
            line_take(line, seen, last);
        for (size_t i = 0; i < MG_COUNT(lasting); i++)
            if (seen[i].times >= SEEN_BEFORE_TOLD)
                return mg_fail_with(lasting[i], MG_HERE, "%s; see log/%s.log", seen[i].detail,
                                    mg_process_name((enum mg_process) process));
    }
    return OK;
}
