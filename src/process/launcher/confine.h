/* Landlock for the programs that the launcher starts: what a child may touch is a short list made
 * before fork; the child only closes the door behind itself. */
#ifndef MG_LAUNCHER_CONFINE_H
#define MG_LAUNCHER_CONFINE_H

#include "base/status.h"

enum confine_access {
    CONFINE_READ = 1,    /* files and directories below */
    CONFINE_EXECUTE = 2, /* with READ: run programs, map libraries */
    CONFINE_WRITE = 4,   /* with READ: everything, sockets and links included */
};

struct confine_path {
    const char *path; /* one that does not exist is left out */
    unsigned access;
};

/* *ret_fd is the rule set (close it), or -1 where the kernel has no Landlock. Where the kernel can, a child
 * also sends signals to its own kind only, and without `network` has no TCP at all. */
CHECKED struct mg_status confine_prepare(const struct confine_path *paths, size_t count, bool network,
                                         int *ret_fd);

/* In the child, after fork: no new privileges, and nothing but the rule set. True with fd -1. */
bool confine_enter(int fd);

#endif
