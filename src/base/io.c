#include "base/io.h"

#include "base/secret.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct mg_status
mg_fd_read_all(int fd, struct mg_buffer *buffer)
{
    for (;;) {
        uint8_t chunk[16384];
        const ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno("read");
        if (got == 0)
            return OK;
        const struct mg_status status = mg_buffer_add(buffer, mg_view_of(chunk, (size_t) got));
        mg_wipe(chunk, (size_t) got);
        TRY(status);
    }
}

struct mg_status
mg_file_read(const char *path, struct mg_buffer *buffer)
{
    OWN_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return fail_errno("open %s", path);
    return mg_fd_read_all(fd, buffer);
}

struct mg_status
mg_file_read_of(const char *path, uid_t uid, struct mg_buffer *buffer)
{
    struct stat found;
    OWN_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ELOOP)
        return fail_with(REFUSED, "%s is a link", path);
    if (fd < 0 || fstat(fd, &found) != 0)
        return fail_errno("open %s", path);
    if (!S_ISREG(found.st_mode) || found.st_uid != uid || found.st_nlink != 1)
        return fail_with(REFUSED, "%s is not a file that uid %u wrote there", path, (unsigned) uid);
    return mg_fd_read_all(fd, buffer);
}

struct mg_status
mg_fd_write_all(int fd, struct mg_view bytes)
{
    for (size_t done = 0; done < bytes.length;) {
        const ssize_t wrote = write(fd, bytes.bytes + done, bytes.length - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return fail_errno("write");
        done += (size_t) wrote;
    }
    return OK;
}

struct mg_status
mg_directory_sync(const char *path)
{
    OWN_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return fail_errno("sync %s", path);
    return OK;
}

struct mg_status
mg_file_replace_owned(const char *path, struct mg_view bytes, mode_t mode, uid_t uid, gid_t gid)
{
    char temporary[MG_PATH], directory[MG_PATH];
    uint8_t salt[8];
    char salt_text[17];
    mg_random(salt, sizeof salt);
    mg_hex(mg_view_of(salt, sizeof salt), salt_text);
    if (snprintf(temporary, sizeof temporary, "%s.%s.new", path, salt_text) >= (int) sizeof temporary)
        return fail_with(TOO_LARGE, "path %s", path);
    OWN_FD fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno("create %s", temporary);
    struct mg_status status = mg_fd_write_all(fd, bytes);
    if (mg_ok(status) && (uid != (uid_t) -1 || gid != (gid_t) -1) && fchown(fd, uid, gid) != 0)
        status = fail_errno("chown %s", temporary);
    if (mg_ok(status) && fchmod(fd, mode) != 0)
        status = fail_errno("chmod %s", temporary);
    if (mg_ok(status) && fsync(fd) != 0)
        status = fail_errno("sync %s", temporary);
    if (mg_ok(status) && rename(temporary, path) != 0)
        status = fail_errno("rename %s", temporary);
    if (!mg_ok(status)) {
        (void) unlink(temporary);
        return status;
    }
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return mg_directory_sync(".");
    TRY(mg_view_copy(mg_view_of(path, slash == path ? 1 : (size_t) (slash - path)), directory,
                     sizeof directory));
    return mg_directory_sync(directory);
}

struct mg_status
mg_file_replace(const char *path, struct mg_view bytes, mode_t mode)
{
    return mg_file_replace_owned(path, bytes, mode, (uid_t) -1, (gid_t) -1);
}

struct mg_status
mg_directory_make(const char *path, mode_t mode)
{
    char partial[MG_PATH];
    TRY(mg_view_copy(mg_view_text(path), partial, sizeof partial));
    for (char *slash = partial + 1;; slash++) {
        if (*slash != '/' && *slash != '\0')
            continue;
        const char kept = *slash;
        *slash = '\0';
        if (mkdir(partial, mode) != 0 && errno != EEXIST)
            return fail_errno("make directory %s", partial);
        *slash = kept;
        if (kept == '\0')
            break;
    }
    struct stat found;
    if (stat(path, &found) != 0 || !S_ISDIR(found.st_mode))
        return fail_with(INVALID, "%s is not a directory", path);
    return OK;
}

/* Deeper than any tree of ours or PostgreSQL's; each level holds a descriptor. */
#define TREE_DEPTH_MOST 64

static void
directory_drop(DIR **directory)
{
    if (*directory != NULL)
        (void) closedir(*directory);
    *directory = NULL;
}

/* Removes `name` in the open directory. Every step goes by descriptor: who may write in the tree cannot
 * lead us out of it with a link put in the place of a directory we have just looked at. */
static struct mg_status
remove_below(int parent, const char *name, unsigned depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return OK;
    if (errno != EISDIR && errno != EPERM)
        return fail_errno("remove %s", name);
    if (depth == TREE_DEPTH_MOST)
        return fail_with(TOO_LARGE, "remove %s: more than %d levels", name, TREE_DEPTH_MOST);
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_errno("remove %s", name);
    MG_CLEANUP(directory_drop) DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        (void) close(fd);
        return fail_errno("remove %s", name);
    }
    /* A list that is read while its entries go may leave some out: looked at again then. */
    for (int turn = 0; turn < 8; turn++, rewinddir(directory)) {
        for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                TRY(remove_below(fd, entry->d_name, depth + 1));
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return OK;
        if (errno != ENOTEMPTY && errno != EEXIST)
            break;
    }
    return fail_errno("remove directory %s", name);
}

struct mg_status
mg_tree_remove(const char *path)
{
    char directory[MG_PATH];
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    const size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t) (slash - path);
    TRY(mg_view_copy(length == 0 ? mg_view_text(".") : mg_view_of(path, length), directory,
                     sizeof directory));
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return fail_with(INVALID, "remove %s: the path must end in a name", path);
    OWN_FD parent = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 && errno == ENOENT)
        return OK;
    if (parent < 0)
        return fail_errno("open %s", directory);
    return remove_below(parent, name, 0);
}

struct mg_status
mg_path_join(char path[MG_PATH], const char *directory, const char *name)
{
    if (snprintf(path, MG_PATH, "%s/%s", directory, name) >= MG_PATH)
        return fail_with(TOO_LARGE, "path %s/%s", directory, name);
    return OK;
}
