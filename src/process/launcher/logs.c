/* Logs of programs that run for months are kept below a bound: a visitor's requests, or a process that was
 * taken over, must not fill the disk that the audit log lies on. A log that has grown too long moves to
 * NAME.1, in the place of the one before, and begins anew. Whoever writes it holds it open for appending, so
 * it is emptied where it stands; a line written in that very moment may be lost. */
#include "base/io.h"
#include "base/log.h"
#include "base/time.h"
#include "process/launcher/launcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

enum { LOOK_EVERY_MS = 10000, LOG_MOST = 16 << 20 };

static void
directory_drop(DIR **directory)
{
    if (*directory != NULL)
        (void) closedir(*directory);
}

/* The newest LOG_MOST bytes of `log`. */
static struct mg_status
tail_copy(int log, const struct stat *found, int kept)
{
    off_t at = found->st_size > LOG_MOST ? found->st_size - LOG_MOST : 0;
    while (at < found->st_size) {
        const ssize_t sent = sendfile(kept, log, &at, (size_t) (found->st_size - at));
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return fail_errno("copy a log");
        if (sent == 0)
            break;
    }
    return OK;
}

/* `directory` may be another uid's: nothing in it is followed, and what we make has its name only when it
 * is whole. */
static struct mg_status
log_keep(int directory, const char *name, int log, const struct stat *found)
{
    char kept_name[300], new_name[300];
    if (snprintf(kept_name, sizeof kept_name, "%s.1", name) >= (int) sizeof kept_name ||
        snprintf(new_name, sizeof new_name, "%s.1.new", name) >= (int) sizeof new_name)
        return fail(TOO_LARGE);
    (void) unlinkat(directory, new_name, 0);
    OWN_FD kept = openat(directory, new_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (kept < 0)
        return fail_errno("create %s", new_name);
    struct mg_status status = tail_copy(log, found, kept);
    if (mg_ok(status) && places.root && fchown(kept, found->st_uid, found->st_gid) != 0)
        status = fail_errno("owner of %s", new_name);
    if (mg_ok(status) && fchmod(kept, found->st_mode & 0640) != 0)
        status = fail_errno("mode of %s", new_name);
    if (mg_ok(status) && renameat(directory, new_name, directory, kept_name) != 0)
        status = fail_errno("rename %s", new_name);
    if (!mg_ok(status))
        (void) unlinkat(directory, new_name, 0);
    return status;
}

static struct mg_status
log_look(int directory, const char *name)
{
    struct stat found;
    OWN_FD log = openat(directory, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (log < 0 || fstat(log, &found) != 0)
        return fail_errno("log %s", name);
    if (!S_ISREG(found.st_mode) || found.st_size <= LOG_MOST)
        return OK;
    const struct mg_status kept = log_keep(directory, name, log, &found);
    if (!mg_ok(kept)) /* a full disk, perhaps: then it is all the more to be emptied */
        mg_log_status(MG_WARNING, name, kept);
    if (ftruncate(log, 0) != 0)
        return fail_errno("shorten %s", name);
    mg_log(MG_INFO, "log %s begins anew after %lld bytes", name, (long long) found.st_size);
    return OK;
}

static struct mg_status
directory_look(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? OK : fail_errno("logs in %s", path);
    MG_CLEANUP(directory_drop) DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        (void) close(fd);
        return fail_errno("logs in %s", path);
    }
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const size_t length = strlen(entry->d_name), suffix = strlen(".log");
        if (length <= suffix || strcmp(entry->d_name + length - suffix, ".log") != 0)
            continue;
        const struct mg_status status = log_look(fd, entry->d_name);
        if (!mg_ok(status))
            mg_log_status(MG_WARNING, "log", status);
    }
    return OK;
}

void
logs_tick(mg_instant now)
{
    static const char *const directories[] = {"log", "log/postgres"};
    static int64_t looked_ms;
    (void) now;
    if (looked_ms != 0 && mg_monotonic_ms() - looked_ms < LOOK_EVERY_MS)
        return;
    looked_ms = mg_monotonic_ms();
    for (size_t i = 0; i < MG_COUNT(directories); i++) {
        char path[MG_PATH];
        struct mg_status status = mg_path_join(path, mg_environment()->directory, directories[i]);
        if (mg_ok(status))
            status = directory_look(path);
        if (!mg_ok(status))
            mg_log_status(MG_WARNING, "logs", status);
    }
}
