/* A directory of the fuzzer's own, and a file in it with the fuzzer's bytes. */
#ifndef MG_TESTS_FUZZ_SHARED_FILE_H
#define MG_TESTS_FUZZ_SHARED_FILE_H

#include "base/io.h"

#include <fcntl.h>
#include <unistd.h>

static inline const char *
shared_directory(void)
{
    static char directory[] = "/dev/shm/mg-fuzz-XXXXXX";
    static bool made;
    if (!made)
        mg_must(mkdtemp(directory) != NULL);
    made = true;
    return directory;
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
