#include "ports/passage.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATHS_MOST 8

struct passage {
    const char *path;
    char closed[MG_PATH]; /* empty: open to all */
    int fd;
};

/* The topmost directory above `path` (absolute) that others may not pass through, if there is one. */
static CHECKED struct mg_status
closed_find(const char *path, char ret_closed[MG_PATH], bool *ret_found)
{
    *ret_found = false;
    TRY(mg_view_copy(mg_view_text(path), ret_closed, MG_PATH));
    if (ret_closed[0] != '/')
        return fail_with(INVALID, "%s is not an absolute path", path);
    for (char *slash = strchr(ret_closed + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        struct stat found;
        *slash = '\0';
        if (stat(ret_closed, &found) != 0)
            return fail_errno("directory %s", ret_closed);
        if ((found.st_mode & S_IXOTH) == 0) {
            *ret_found = true;
            return OK;
        }
        *slash = '/';
    }
    ret_closed[0] = '\0';
    return OK;
}

static struct mg_status
refuse(const struct passage *passage)
{
    const int reason = errno;
    struct stat found;
    const unsigned mode = stat(passage->closed, &found) == 0 ? (unsigned) found.st_mode & 07777U : 0;
    return fail_with(
        REFUSED,
        "%s has mode %04o: Masugata's processes, each a user of its own, cannot pass through it to %s, "
        "and a mount namespace is not allowed here (%s). Move %s elsewhere, or: chmod o+x %s",
        passage->closed, mode, passage->path, strerror(reason), passage->path, passage->closed);
}

/* An empty directory over the closed one; others may pass through it, and nobody may add to it later. */
static struct mg_status
cover(const struct passage *passage)
{
    return mount("masugata", passage->closed, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 "mode=0711,size=64k") == 0
               ? OK
               : refuse(passage);
}

static struct mg_status
seal(const struct passage *passage)
{
    return mount(NULL, passage->closed, NULL,
                 MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0
               ? OK
               : refuse(passage);
}

/* The directories down to the path, and the path's own contents at the end of them. */
static struct mg_status
lead_through(const struct passage *passage)
{
    char path[MG_PATH], from[64];
    TRY(mg_view_copy(mg_view_text(passage->path), path, sizeof path));
    for (char *slash = path + strlen(passage->closed); slash != NULL; slash = strchr(slash + 1, '/')) {
        char *const next = strchr(slash + 1, '/');
        if (next != NULL)
            *next = '\0';
        if (mkdir(path, 0711) != 0 && errno != EEXIST)
            return fail_errno("directory %s", path);
        if (next != NULL)
            *next = '/';
    }
    (void) snprintf(from, sizeof from, "/proc/self/fd/%d", passage->fd);
    return mount(from, passage->path, NULL, MS_BIND | MS_REC, NULL) == 0 ? OK : refuse(passage);
}

/* The first of those with the same closed directory does what is done once for it. */
static bool
is_first(const struct passage *passages, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(passages[i].closed, passages[index].closed) == 0)
            return false;
    return true;
}

static struct mg_status
build(struct passage *passages, size_t count)
{
    /* Later mounts of the machine still arrive here; ours stay here. */
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
        return refuse(&passages[0]);
    for (size_t i = 0; i < count; i++) {
        passages[i].fd = open(passages[i].path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (passages[i].fd < 0)
            return fail_errno("directory %s", passages[i].path);
    }
    for (size_t i = 0; i < count; i++)
        if (is_first(passages, i))
            TRY(cover(&passages[i]));
    for (size_t i = 0; i < count; i++)
        TRY(lead_through(&passages[i]));
    for (size_t i = 0; i < count; i++)
        if (is_first(passages, i))
            TRY(seal(&passages[i]));
    return OK;
}

struct mg_status
mg_passage_open(const char *const paths[], size_t count)
{
    struct passage passages[PATHS_MOST];
    size_t closed = 0;
    mg_must(count <= PATHS_MOST);
    for (size_t i = 0; i < count; i++) {
        bool found;
        passages[closed] = (struct passage){.path = paths[i], .fd = -1};
        TRY(closed_find(paths[i], passages[closed].closed, &found));
        closed += found ? 1 : 0;
    }
    if (closed == 0)
        return OK;
    const struct mg_status status = build(passages, closed);
    for (size_t i = 0; i < closed; i++)
        if (passages[i].fd >= 0)
            (void) close(passages[i].fd);
    return status;
}
