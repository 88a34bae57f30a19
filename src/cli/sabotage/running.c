/* Breaks of what keeps the service running and of the audit log's files. */
#include "cli/sabotage/sabotage.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- MONITORING_07 ---- */

/* The warden tells the pids of others only; it is the parent of each. */
static CHECKED struct mg_status
warden_pid(struct mg_stage *stage, pid_t *ret_pid)
{
    pid_t child = 0;
    char path[64];
    uint64_t parent;
    OWN_BUFFER(text, 4096);
    TRY(mg_stage_pid(stage, "prober", &child));
    (void) snprintf(path, sizeof path, "/proc/%d/stat", (int) child);
    TRY(mg_file_read(path, &text));
    const char *at = strrchr(mg_buffer_text(&text), ')'); /* "pid (name) state parent ..." */
    if (at == NULL || strlen(at) < 5)
        return fail_with(MALFORMED, "%s", path);
    at += 4;
    TRY(mg_parse_u64(mg_view_of(at, strcspn(at, " ")), INT32_MAX, &parent));
    *ret_pid = (pid_t) parent;
    return parent > 1 ? OK : fail_with(NOT_FOUND, "the warden");
}

struct mg_status
break_warden_stopped(struct mg_stage *stage)
{
    TRY(warden_pid(stage, &stage->stopped));
    return kill(stage->stopped, SIGSTOP) == 0 ? OK : fail_errno("stop the warden");
}

struct mg_status
repair_warden_stopped(struct mg_stage *stage)
{
    return mg_stage_resume(stage);
}

static CHECKED struct mg_status
descriptors_limit(pid_t pid, rlim_t soft)
{
    struct rlimit limit;
    if (prlimit(pid, RLIMIT_NOFILE, NULL, &limit) != 0)
        return fail_errno("limits of process %d", (int) pid);
    limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
    return prlimit(pid, RLIMIT_NOFILE, &limit, NULL) == 0 ? OK
                                                          : fail_errno("limits of process %d", (int) pid);
}

struct mg_status
break_warden_starved(struct mg_stage *stage)
{
    TRY(warden_pid(stage, &stage->stopped));
    return descriptors_limit(stage->stopped, 4);
}

struct mg_status
repair_warden_starved(struct mg_stage *stage)
{
    const pid_t pid = stage->stopped;
    stage->stopped = 0;
    return descriptors_limit(pid, 1024);
}

/* ---- AUDIT_01 ---- */

static CHECKED struct mg_status
flip(struct mg_stage *stage, const char *name)
{
    char path[MG_PATH];
    uint8_t byte;
    TRY(mg_stage_path(stage, name, path));
    TRY(mg_stage_keep(stage, path));
    OWN_FD fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || pread(fd, &byte, 1, 100) != 1)
        return fail_errno("open %s", path);
    byte ^= 1;
    return pwrite(fd, &byte, 1, 100) == 1 ? OK : fail_errno("write %s", path);
}

struct mg_status
break_entry_flipped(struct mg_stage *stage)
{
    return flip(stage, "audit/log/tile/entries/000");
}

struct mg_status
repair_entry_flipped(struct mg_stage *stage)
{
    return mg_stage_restore(stage);
}

struct mg_status
break_tile_flipped(struct mg_stage *stage)
{
    return flip(stage, "audit/log/tile/0/000");
}

struct mg_status
repair_tile_flipped(struct mg_stage *stage)
{
    return mg_stage_restore(stage);
}
