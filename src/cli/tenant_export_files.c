/* The files of an export, and what its manifest says of each. */
#include "cli/tenant_export.h"
#include "ports/crypto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PROGRAM_MS = 24 * 3600 * 1000, WORDS_MOST = 16 };

static void
listing_drop(DIR **listing)
{
    if (*listing != NULL)
        (void) closedir(*listing);
}

struct mg_status
mg_export_begin(const char *directory, bool *ret_made, int *ret_fd)
{
    *ret_made = mkdir(directory, 0700) == 0;
    if (!*ret_made && errno != EEXIST)
        return fail_errno("make %s", directory);
    struct stat found;
    OWN_FD fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &found) != 0)
        return fail_errno("open %s", directory);
    /* Its owner could put a link where a file of ours is about to be. */
    if (found.st_uid != geteuid())
        return fail_with(REFUSED, "%s belongs to another user", directory);
    if (fchmod(fd, 0700) != 0)
        return fail_errno("mode of %s", directory);
    MG_CLEANUP(listing_drop) DIR *listing = NULL;
    OWN_FD listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (listed < 0 || (listing = fdopendir(listed)) == NULL)
        return fail_errno("open %s", directory);
    listed = -1; /* the listing's */
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return fail_with(EXISTS, "%s is not empty; name a directory that is, or a new one", directory);
    *ret_fd = fd;
    fd = -1;
    return OK;
}

struct mg_status
mg_export_room(const struct mg_export *export, uint64_t needed_bytes)
{
    struct statvfs space;
    if (statvfs(export->directory, &space) != 0)
        return fail_errno("look at %s", export->shown);
    const uint64_t free_bytes = (uint64_t) space.f_bavail * space.f_frsize;
    if (free_bytes < needed_bytes)
        return fail_with(DISK_FULL, "%s: an export may need %" PRIu64 " MiB, %" PRIu64 " MiB are free",
                         export->shown, needed_bytes >> 20, free_bytes >> 20);
    return OK;
}

void
mg_export_discard(const char *directory, const char *made)
{
    static const char *const names[] = {"manifest.json", "manifest.proof.json", "database.dump", "tables",
                                        "masugata"};
    for (size_t i = 0; i < MG_COUNT(names); i++) {
        char path[MG_PATH];
        if (!mg_ok(mg_path_join(path, directory, names[i])) || !mg_ok(mg_tree_remove(path)))
            (void) fprintf(stderr, "masugata: %s/%s\n", directory, names[i]);
    }
    if (made != NULL)
        (void) rmdir(made);
}

struct mg_status
mg_export_file(const struct mg_export *export, const char *name, int *ret_fd)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, export->directory, name));
    char *slash = strrchr(path, '/');
    *slash = '\0';
    TRY(mg_directory_make(path, 0700));
    *slash = '/';
    *ret_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return *ret_fd >= 0 ? OK : fail_errno("make %s", path);
}

/* The digest is of what can be read back, not of what was meant to be written. */
static CHECKED struct mg_status
digest(int fd, char ret_hex[2 * MG_HASH_BYTES + 1], uint64_t *ret_bytes)
{
    uint8_t hash[MG_HASH_BYTES];
    struct stat file;
    if (fsync(fd) != 0 || fstat(fd, &file) != 0)
        return fail_errno("sync a file of the export");
    *ret_bytes = (uint64_t) file.st_size;
    void *bytes = file.st_size == 0 ? NULL : mmap(NULL, *ret_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return fail_errno("read a file of the export");
    const struct mg_status status = mg_sha256(mg_view_of(bytes, *ret_bytes), hash);
    if (bytes != NULL)
        (void) munmap(bytes, *ret_bytes);
    TRY(status);
    mg_hex(mg_view_of(hash, sizeof hash), ret_hex);
    return OK;
}

struct mg_status
mg_export_add(struct mg_export *export, const char *name, int fd, const char *facts)
{
    char hex[2 * MG_HASH_BYTES + 1];
    uint64_t bytes = 0;
    TRY(digest(fd, hex, &bytes));
    TRY(mg_buffer_add_text(export->files, export->any ? ",\n{\"path\":" : "\n{\"path\":"));
    TRY(mg_buffer_add_json_string(export->files, mg_view_text(name)));
    export->any = true;
    return mg_buffer_format(export->files, ",\"bytes\":%" PRIu64 ",\"sha256\":\"%s\"%s}", bytes, hex, facts);
}

static bool
output_turn(void *fd)
{
    return dup2(*(const int *) fd, STDOUT_FILENO) == STDOUT_FILENO;
}

struct mg_status
mg_export_program(struct mg_export *export, const char *name, struct mg_program *program, const char *facts)
{
    OWN_FD fd = -1;
    TRY(mg_export_file(export, name, &fd));
    program->output_fd = -1; /* what it complains of is not for the file */
    program->ends_with_caller = true;
    program->prepare = output_turn;
    program->context = &fd;
    TRY(mg_program_succeed(program, PROGRAM_MS, NULL));
    return mg_export_add(export, name, fd, facts);
}

struct mg_status
mg_export_command(struct mg_export *export, const char *name, const char *const *words)
{
    char itself[MG_PATH], state[PATH_MAX];
    const char *arguments[WORDS_MOST] = {itself};
    const ssize_t length = readlink("/proc/self/exe", itself, sizeof itself - 1);
    if (length < 0)
        return fail_errno("find this program");
    itself[length] = '\0';
    if (realpath(export->cli->directory, state) == NULL) /* a program starts in another directory */
        return fail_errno("%s", export->cli->directory);
    size_t count = 1;
    for (; words[count - 1] != NULL; count++) {
        mg_must(count < WORDS_MOST - 6);
        arguments[count] = words[count - 1];
    }
    const char *const common[] = {"--json", "--dir", state, "--lang", export->cli->japanese ? "ja" : "en"};
    for (size_t i = 0; i < MG_COUNT(common); i++)
        arguments[count++] = common[i];
    struct mg_program program = {.arguments = arguments, .uid = MG_SAME_UID, .gid = MG_SAME_GID};
    return mg_export_program(export, name, &program, "");
}

struct mg_status
mg_export_last(const struct mg_export *export, const char *name, struct mg_view bytes)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, export->directory, name));
    return mg_file_replace(path, bytes, 0600);
}
