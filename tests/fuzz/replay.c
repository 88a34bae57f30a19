/* Replays a corpus: every file named, or in the directories named, once through the decoder. */
#include "base/io.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
file_replay(const char *path)
{
    OWN_BUFFER(bytes, 1u << 24);
    if (!mg_ok(mg_file_read(path, &bytes))) {
        (void) fprintf(stderr, "cannot read %s\n", path);
        return false;
    }
    /* A block of exactly this size, so that the sanitizer sees a read past the end. */
    uint8_t *exact = malloc(bytes.length + (bytes.length == 0));
    if (exact == NULL)
        return false;
    memcpy(exact, mg_buffer_text(&bytes), bytes.length);
    (void) LLVMFuzzerTestOneInput(exact, bytes.length);
    free(exact);
    return true;
}

static bool
directory_replay(const char *path, size_t *files)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return false;
    bool good = true;
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char file[MG_PATH];
        if (entry->d_name[0] == '.' || !mg_ok(mg_path_join(file, path, entry->d_name)))
            continue;
        good = file_replay(file) && good;
        (*files)++;
    }
    (void) closedir(directory);
    return good;
}

/* An empty corpus proves nothing and fails. */
int
main(int argc, char **argv)
{
    size_t files = 0;
    bool good = true;
    for (int i = 1; i < argc; i++)
        good = directory_replay(argv[i], &files) && good;
    (void) printf("%zu inputs\n", files);
    return good && files > 0 ? 0 : 1;
}
