#include "process/launcher/launcher.h"

#include "base/io.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>

/* With application.uid_base at its most this is still below 2^31. */
enum { TENANT_MOST = 1000000, NOBODY = 65534, NO_UID_OF_16_BITS = 65535 };

struct places places;

static struct mg_status
user_find(const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
    const struct passwd *user = getpwnam(name);
    if (user == NULL)
        return fail_with(NOT_FOUND, "system user %s; `masugata init` as root makes it", name);
    *ret_uid = user->pw_uid;
    *ret_gid = user->pw_gid;
    return OK;
}

struct mg_status
places_find(void)
{
    struct places found = {
        .root = geteuid() == 0,
        .database_uid = MG_SAME_UID,
        .database_gid = MG_SAME_GID,
        .gate_gid = MG_SAME_GID,
        .prober_gid = MG_SAME_GID,
        .worker_gid = MG_SAME_GID,
        .worker_uid = geteuid(),
    };
    uid_t unused;
    if (found.root) {
        TRY(user_find("masugata-db", &found.database_uid, &found.database_gid));
        TRY(user_find("masugata-gate", &unused, &found.gate_gid));
        TRY(user_find("masugata-prober", &unused, &found.prober_gid));
        TRY(user_find("masugata-worker", &found.worker_uid, &found.worker_gid));
    }
    const ssize_t length = readlink("/proc/self/exe", found.programs, sizeof found.programs - 1);
    if (length <= 0)
        return fail_errno("find our own program");
    found.programs[length] = '\0';
    *strrchr(found.programs, '/') = '\0';
    places = found;
    return OK;
}

uid_t
application_uid(uint64_t tenant)
{
    if (!places.root)
        return MG_SAME_UID;
    return (uid_t) ((uint64_t) mg_environment()->options->application_uid_base + tenant);
}

struct mg_status
tenant_check(uint64_t tenant)
{
    if (tenant == 0 || tenant > TENANT_MOST)
        return fail_with(INVALID, "there is no tenant %llu", (unsigned long long) tenant);
    const uid_t uid = application_uid(tenant);
    if (places.root && (uid == NOBODY || uid == NO_UID_OF_16_BITS))
        return fail_with(CONFIGURATION,
                         "the application of tenant %llu would be uid %u; set application.uid_base elsewhere",
                         (unsigned long long) tenant, (unsigned) uid);
    return OK;
}

struct mg_status
owned_directory(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    TRY(mg_directory_make(path, 0711));
    OWN_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_errno("open directory %s", path);
    if ((uid != MG_SAME_UID || gid != MG_SAME_GID) && fchown(fd, uid, gid) != 0)
        return fail_errno("owner of %s", path);
    if (fchmod(fd, mode) != 0)
        return fail_errno("mode of %s", path);
    return OK;
}

struct mg_status
log_open(const char *path, uid_t uid, gid_t gid, int *ret_fd)
{
    OWN_FD fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0)
        return fail_errno("log %s", path);
    if (!S_ISREG(found.st_mode))
        return fail_with(INVALID, "log %s is not a file", path);
    if ((uid != MG_SAME_UID || gid != MG_SAME_GID) && fchown(fd, uid, gid) != 0)
        return fail_errno("owner of %s", path);
    *ret_fd = fd;
    fd = -1;
    return OK;
}
