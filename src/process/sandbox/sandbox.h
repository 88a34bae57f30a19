/* The seal of a process: what it may still ask of the kernel afterwards, after catalogue/sandbox.def.
 *
 *   no new privileges   a set-uid program gives nothing
 *   capabilities        none, the bounding set included where we may
 *   dumpable            off: no core dump, no ptrace, no /proc/PID/mem by another process of the same uid
 *   writable code       refused by the kernel (PR_SET_MDWE) where it can
 *   Landlock            files by path, TCP by port, signals and abstract sockets by domain
 *   seccomp             system calls; what is not allowed ends the process
 *
 * Call it once, with one thread, after everything that needs more was opened. A kernel without
 * Landlock gives landlock_abi 0 in the report and goes on: `masugata status` shows it and the
 * isolation controls say so. seccomp is not optional: without it the process does not start. */
#ifndef MG_PROCESS_SANDBOX_H
#define MG_PROCESS_SANDBOX_H

#include "wire/messages.h"

struct mg_sandbox_report {
    bool sealed; /* false for the processes that have no row: warden and launcher */
    bool seccomp;
    unsigned landlock_abi; /* 0: the kernel has none */
};

enum mg_sandbox_access { MG_SANDBOX_LOOK = 1, MG_SANDBOX_WRITE };

/* Besides the rows: paths that come from the configuration. */
struct mg_sandbox_path {
    const char *path;
    enum mg_sandbox_access access;
};
struct mg_sandbox_plan {
    enum mg_process process;
    const char *state_directory, *runtime_directory;
    const struct mg_sandbox_path *paths;
    size_t path_count;
};

CHECKED struct mg_status mg_sandbox_seal(const struct mg_sandbox_plan *plan,
                                         struct mg_sandbox_report *ret_report);

/* The parts, for the seal and for programs that are started with fixed arguments (PostgreSQL, nginx): an own
 * set of paths and nothing else. `network` keeps TCP allowed. Gives the ABI in force, 0 for none. */
CHECKED struct mg_status mg_landlock_restrict(const struct mg_sandbox_path *paths, size_t count, bool network,
                                              unsigned *ret_abi);
/* seccomp alone, after no_new_privs. */
CHECKED struct mg_status mg_seccomp_restrict(enum mg_process process);
/* True if the process has a SEALED row; true if that row allows the network. */
bool mg_sandbox_has_row(enum mg_process process);
bool mg_sandbox_has_network(enum mg_process process);

#endif
