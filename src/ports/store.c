#include "ports/store.h"

#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { DEPTH_MOST = 12 };

struct mg_store {
    int directory;
};

struct mg_store_writer {
    int parent, file;
    char last[MG_STORE_NAME], part[MG_STORE_NAME + 8];
    bool ended;
};

bool
mg_store_name_is_valid(struct mg_view name)
{
    size_t parts = 1;
    if (name.length == 0 || name.length >= MG_STORE_NAME)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        const uint8_t sign = name.bytes[i];
        const bool begins = i == 0 || name.bytes[i - 1] == '/';
        const bool word = (sign >= '0' && sign <= '9') || (sign >= 'a' && sign <= 'z') ||
                          (sign >= 'A' && sign <= 'Z') || sign == '_';
        if (!word && (begins || (sign != '.' && sign != '-' && sign != '+' && sign != '/')))
            return false;
        parts += sign == '/';
    }
    return name.bytes[name.length - 1] != '/' && parts <= DEPTH_MOST;
}

struct mg_status
mg_store_open(const char *directory, struct mg_store **ret_store)
{
    OWN(store) store = calloc(1, sizeof *store);
    if (store == NULL)
        return fail(OUT_OF_MEMORY);
    store->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (store->directory < 0)
        return errno == ENOENT ? fail_with(UNAVAILABLE, "%s is not there", directory)
                               : fail_errno("open %s", directory);
    *ret_store = TAKE(store);
    return OK;
}

void
mg_store_drop(struct mg_store **store)
{
    if (*store == NULL)
        return;
    mg_fd_drop(&(*store)->directory);
    free(*store);
    *store = NULL;
}

struct mg_status
mg_store_free(const struct mg_store *store, uint64_t *ret_bytes)
{
    struct statvfs disk;
    if (fstatvfs(store->directory, &disk) != 0)
        return fail_errno("free space of the store");
    *ret_bytes = (uint64_t) disk.f_bavail * disk.f_frsize;
    return OK;
}

/* ---- the way to an object ---- */

/* The directory that holds it, made on the way if `make`, and the last part of its name. */
static CHECKED struct mg_status
parent_open(const struct mg_store *store, const char *name, bool make, int *ret_fd, char last[MG_STORE_NAME])
{
    OWN_FD at = dup(store->directory);
    if (!mg_store_name_is_valid(mg_view_text(name)))
        return fail_with(INVALID, "%s is no name of an object", name);
    if (at < 0)
        return fail_errno("the store");
    for (const char *slash; (slash = strchr(name, '/')) != NULL; name = slash + 1) {
        char part[MG_STORE_NAME];
        TRY(mg_view_copy(mg_view_of(name, (size_t) (slash - name)), part, sizeof part));
        if (make && mkdirat(at, part, 0700) == 0) {
            if (fsync(at) != 0)
                return fail_errno("make %s", part);
        } else if (make && errno != EEXIST) {
            return fail_errno("make %s", part);
        }
        const int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (next < 0)
            return fail_errno("open %s", part);
        mg_fd_drop(&at);
        at = next;
    }
    TRY(mg_view_copy(mg_view_text(name), last, MG_STORE_NAME));
    *ret_fd = at;
    at = -1;
    return OK;
}

/* ---- list ---- */

struct walk {
    struct mg_status (*visit)(void *context, const struct mg_store_object *object);
    void *context;
};

static void
directory_drop(DIR **directory)
{
    if (*directory != NULL)
        (void) closedir(*directory);
}

/* NOLINTNEXTLINE(misc-no-recursion): no deeper than DEPTH_MOST */
static CHECKED struct mg_status
directory_walk(int fd, const char *prefix, int depth, const struct walk *walk)
{
    MG_CLEANUP(directory_drop) DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        (void) close(fd);
        return fail_errno("read the store");
    }
    for (;;) {
        char name[MG_STORE_NAME];
        struct stat info;
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL)
            return errno == 0 ? OK : fail_errno("read the store");
        const int length = snprintf(name, sizeof name, "%s%s", prefix, entry->d_name);
        if (length < 0 || (size_t) length >= sizeof name || !mg_store_name_is_valid(mg_view_text(name)))
            continue;
        if (fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT)
                continue;
            return fail_errno("look at %s", name);
        }
        if (S_ISREG(info.st_mode)) {
            const struct mg_store_object object = {.name = name, .bytes = (uint64_t) info.st_size};
            TRY(walk->visit(walk->context, &object));
        } else if (S_ISDIR(info.st_mode) && depth < DEPTH_MOST) {
            char below[MG_STORE_NAME + 1];
            const int next =
                openat(dirfd(directory), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
            if (next < 0)
                return fail_errno("open %s", name);
            (void) snprintf(below, sizeof below, "%s/", name);
            TRY(directory_walk(next, below, depth + 1, walk));
        }
    }
}

struct mg_status
mg_store_list(const struct mg_store *store,
              struct mg_status (*visit)(void *context, const struct mg_store_object *object), void *context)
{
    const struct walk walk = {.visit = visit, .context = context};
    const int fd = openat(store->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno("read the store");
    return directory_walk(fd, "", 0, &walk);
}

/* ---- put ---- */

struct mg_status
mg_store_put_begin(const struct mg_store *store, const char *name, struct mg_store_writer **ret_writer)
{
    OWN(store_writer) writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return fail(OUT_OF_MEMORY);
    writer->parent = writer->file = -1;
    TRY(parent_open(store, name, true, &writer->parent, writer->last));
    /* A name that is none of an object's: what was cut short is written over the next time. */
    (void) snprintf(writer->part, sizeof writer->part, ".%s.part", writer->last);
    writer->file =
        openat(writer->parent, writer->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (writer->file < 0)
        return fail_errno("make %s", name);
    *ret_writer = TAKE(writer);
    return OK;
}

struct mg_status
mg_store_put_bytes(struct mg_store_writer *writer, struct mg_view bytes)
{
    return mg_fd_write_all(writer->file, bytes);
}

struct mg_status
mg_store_put_end(struct mg_store_writer *writer)
{
    if (fsync(writer->file) != 0)
        return fail_errno("keep %s", writer->last);
    if (renameat(writer->parent, writer->part, writer->parent, writer->last) != 0)
        return fail_errno("name %s", writer->last);
    writer->ended = true;
    return fsync(writer->parent) == 0 ? OK : fail_errno("keep %s", writer->last);
}

int
mg_store_writer_fd(const struct mg_store_writer *writer)
{
    return writer->file;
}

void
mg_store_writer_drop(struct mg_store_writer **writer)
{
    struct mg_store_writer *gone = *writer;
    if (gone == NULL)
        return;
    if (gone->file >= 0 && !gone->ended)
        (void) unlinkat(gone->parent, gone->part, 0);
    mg_fd_drop(&gone->file);
    mg_fd_drop(&gone->parent);
    free(gone);
    *writer = NULL;
}

/* ---- get, remove ---- */

struct mg_status
mg_store_get(const struct mg_store *store, const char *name, int *ret_fd)
{
    char last[MG_STORE_NAME];
    OWN_FD parent = -1;
    TRY(parent_open(store, name, false, &parent, last));
    const int fd = openat(parent, last, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return fail_errno("open %s", name);
    *ret_fd = fd;
    return OK;
}

struct mg_status
mg_store_remove(const struct mg_store *store, const char *name)
{
    char last[MG_STORE_NAME];
    OWN_FD parent = -1;
    const struct mg_status status = parent_open(store, name, false, &parent, last);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    if (unlinkat(parent, last, 0) != 0)
        return errno == ENOENT ? OK : fail_errno("remove %s", name);
    return fsync(parent) == 0 ? OK : fail_errno("remove %s", name);
}
