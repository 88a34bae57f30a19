/* A directory of the fuzzer's own, and a file in it with the fuzzer's bytes. */
#ifndef MG_TESTS_FUZZ_SHARED_FILE_H
#define MG_TESTS_FUZZ_SHARED_FILE_H

#include "base/io.h"

#include <fcntl.h>
#include <unistd.h>

static char shared_path[] = "/dev/shm/mg-fuzz-XXXXXX";

static void
shared_remove(void)
{
    if (!mg_ok(mg_tree_remove(shared_path)))
        (void) fprintf(stderr, "%s is left behind\n", shared_path);
}

static inline const char *
shared_directory(void)
{
    static bool made;
    if (!made)
        mg_must(mkdtemp(shared_path) != NULL && atexit(shared_remove) == 0);
    made = true;
    return shared_path;
}

static inline void
shared_write(const char *name, struct mg_view bytes)
{
    char path[MG_PATH];
    mg_must(mg_ok(mg_path_join(path, shared_directory(), name)));
    OWN_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    mg_must(fd >= 0 && mg_ok(mg_fd_write_all(fd, bytes)));
}

#endif
