/* Starting other programs: fork and exec with an absolute path, a fixed argument list, a minimal
 * environment and the right uid. No shell, no inherited descriptors, no inherited environment. */
#ifndef MG_PORTS_PROGRAM_H
#define MG_PORTS_PROGRAM_H

#include "base/bytes.h"
#include "base/io.h"

#include <sys/types.h>

#define MG_SAME_UID ((uid_t) -1)
#define MG_SAME_GID ((gid_t) -1)

struct mg_program {
    const char *const *arguments;   /* [0] is the absolute path; ends with NULL */
    const char *const *environment; /* ends with NULL; NULL gives a minimal one */
    const char *directory;          /* working directory; NULL is "/" */
    uid_t uid;                      /* MG_SAME_UID stays */
    gid_t gid;                      /* goes with uid; supplementary groups are dropped */
    int output_fd;                  /* standard output and error; -1 is /dev/null */
    struct mg_view secret_input;    /* up to 4096 bytes readable at /proc/self/fd/3; empty for none */
    bool ends_with_caller;          /* killed when the calling thread dies; for short programs */
    /* Runs in the child as the last thing before exec, after the uid has changed: seals it.
     * May use only what is safe after fork; false stops the start. NULL for none. */
    bool (*prepare)(void *context);
    void *context;
};

/* Starts the program in a session of its own. SYSTEM with a detail if it could not be executed. */
CHECKED struct mg_status mg_program_start(const struct mg_program *program, pid_t *ret_pid);

/* Runs it to its end, at most timeout_ms, after which it is killed and TIMEOUT returned.
 * *ret_exit is the exit code, or 128 + the signal. */
CHECKED struct mg_status mg_program_run(const struct mg_program *program, int timeout_ms, int *ret_exit);

/* The same, failing unless it exits 0; what it wrote is appended to `output` (NULL discards it),
 * cut at the buffer's maximum, and its last line is the failure's detail. */
CHECKED struct mg_status mg_program_succeed(const struct mg_program *program, int timeout_ms,
                                            struct mg_buffer *output);

/* Identity of a process across restarts of its parent: the pid and the kernel's start time. */
struct mg_process_mark {
    pid_t pid;
    uint64_t started; /* field 22 of /proc/PID/stat, clock ticks since boot */
};
/* NOT_FOUND if there is no such process, or if it is a zombie. */
CHECKED struct mg_status mg_process_mark(pid_t pid, struct mg_process_mark *ret_mark);
bool mg_process_alive(const struct mg_process_mark *mark);
/* True if the process belongs to uid (MG_SAME_UID: us) and was started with these arguments, or more: each
 * followed by its NUL, as in /proc/PID/cmdline. Needs no right over the other process. */
bool mg_process_runs(pid_t pid, uid_t uid, struct mg_view arguments);
/* To this very process and never to another one that got its number; NOT_FOUND if it has ended. */
CHECKED struct mg_status mg_process_signal(const struct mg_process_mark *mark, int number);

#endif
