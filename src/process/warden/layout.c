#include "base/io.h"
#include "process/warden/warden.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define TMPFS_MAGIC 0x01021994

/* Owners that are not processes of ours, besides the numbers of enum mg_process. */
enum { OWNER_ROOT = 1000, OWNER_DB, OWNER_GATE };

static const char *const user_suffixes[MG_PROCESS_COUNT] = {
    [MG_WARDEN] = "",
#define PROCESS(NAME, name, suffix, ...) [MG_##NAME] = suffix,
#define WIRE(a, b)
#include "../../../catalogue/processes.def"
#undef PROCESS
#undef WIRE
    [MG_CLI] = "",
};

static CHECKED struct mg_status
user_find(const char *suffix, uid_t *ret_uid, gid_t *ret_gid)
{
    char name[64];
    (void) snprintf(name, sizeof name, "masugata-%s", suffix);
    const struct passwd *user = getpwnam(name);
    if (user == NULL)
        return fail_with(NOT_FOUND, "system user %s; `masugata init` as root makes it", name);
    *ret_uid = user->pw_uid;
    *ret_gid = user->pw_gid;
    return OK;
}

struct mg_status
warden_identity(enum mg_process process, uid_t *ret_uid, gid_t *ret_gid)
{
    if (geteuid() != 0 || user_suffixes[process][0] == '\0') {
        *ret_uid = geteuid();
        *ret_gid = getegid();
        return OK;
    }
    return user_find(user_suffixes[process], ret_uid, ret_gid);
}

struct mg_status
warden_groups(enum mg_process process, gid_t groups[WARDEN_GROUPS], size_t *ret_count)
{
    static const uint32_t database = 1U << MG_AUTHORITY | 1U << MG_WORKER | 1U << MG_WATCH | 1U << MG_PROBER;
    static const uint32_t applications = 1U << MG_WATCH;
    uid_t unused;
    size_t count = 0;
    if (geteuid() == 0 && (database & (1U << process)) != 0)
        TRY(user_find("db", &unused, &groups[count++]));
    if (geteuid() == 0 && (applications & (1U << process)) != 0)
        TRY(user_find("gate", &unused, &groups[count++]));
    *ret_count = count;
    return OK;
}

static CHECKED struct mg_status
owner_find(int owner, uid_t *ret_uid, gid_t *ret_gid)
{
    if (owner < OWNER_ROOT)
        return warden_identity((enum mg_process) owner, ret_uid, ret_gid);
    if (geteuid() != 0 || owner == OWNER_ROOT) {
        *ret_uid = geteuid();
        *ret_gid = getegid();
        return OK;
    }
    return user_find(owner == OWNER_DB ? "db" : "gate", ret_uid, ret_gid);
}

/* Opens without following links, so that a planted link cannot move our ownership elsewhere. */
static CHECKED struct mg_status
directory_put(const char *base, const char *relative, int owner, int group, mode_t mode)
{
    char path[MG_PATH];
    uid_t uid, unused_uid;
    gid_t gid, unused_gid;
    if (snprintf(path, sizeof path, "%s%s%s", base, relative[0] != '\0' ? "/" : "", relative) >=
        (int) sizeof path)
        return fail_with(TOO_LARGE, "path %s/%s", base, relative);
    TRY(owner_find(owner, &uid, &unused_gid));
    TRY(owner_find(group, &unused_uid, &gid));
    TRY(mg_directory_make(path, 0711));
    OWN_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_errno("directory %s", path);
    if (geteuid() == 0 && fchown(fd, uid, gid) != 0)
        return fail_errno("owner of %s", path);
    if (fchmod(fd, mode) != 0)
        return fail_errno("mode of %s", path);
    return OK;
}

/* Whoever made RUN, or may rename it or one of the directories above it, owns all that is in it. /dev/shm is
 * everybody's: a directory of ours there must not be one that somebody else made first. A link among them
 * is judged as what it names. */
static CHECKED struct mg_status
run_check(const char *run)
{
    char path[MG_PATH];
    struct stat found;
    TRY(mg_view_copy(mg_view_text(run), path, sizeof path));
    for (;;) {
        if (stat(path, &found) != 0)
            return fail_errno("directory %s", path);
        const bool others_write =
            (found.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (found.st_mode & S_ISVTX) == 0;
        if ((found.st_uid != 0 && found.st_uid != geteuid()) || others_write)
            return fail_with(CONFIGURATION,
                             "runtime directory: others may change %s (uid %u, mode %03o); remove it, or set "
                             "runtime.directory",
                             path, (unsigned) found.st_uid, (unsigned) found.st_mode & 07777);
        char *slash = strrchr(path, '/');
        if (slash == NULL || path[1] == '\0')
            return OK;
        slash[slash == path ? 1 : 0] = '\0';
    }
}

static CHECKED struct mg_status
tmpfs_check(const char *run)
{
    struct statfs found;
    mg_must(run != NULL);
    if (statfs(run, &found) != 0)
        return fail_errno("runtime directory %s", run);
    if (found.f_type != TMPFS_MAGIC)
        return fail_with(CONFIGURATION,
                         "runtime directory %s is not on tmpfs; set runtime.directory to one that is", run);
    return OK;
}

/* Logs are made inside a directory that gives them its group; our own is older than the directory's
 * right mode. The prober searches it for passwords like the others. */
static CHECKED struct mg_status
own_log_open_to_prober(void)
{
    struct stat log;
    uid_t unused;
    gid_t gid;
    if (geteuid() != 0 || fstat(STDERR_FILENO, &log) != 0 || !S_ISREG(log.st_mode))
        return OK;
    TRY(owner_find(MG_PROBER, &unused, &gid));
    if (fchown(STDERR_FILENO, (uid_t) -1, gid) != 0)
        return fail_errno("group of the warden's log");
    return OK;
}

struct mg_status
warden_layout(const struct warden *warden)
{
    enum { STATE, RUN };
    const char *const bases[] = {[STATE] = warden->deployment.state, [RUN] = warden->deployment.run};
    static const struct {
        int base;
        const char *relative;
        int owner, group;
        mode_t mode;
    } rows[] = {
#define MG_ROOT OWNER_ROOT
#define MG_DB OWNER_DB
#define MG_GATE OWNER_GATE
#define DIRECTORY(name, base, relative, owner, group, mode, what) \
    {base, relative, MG_##owner, MG_##group, mode},
#include "../../../catalogue/paths.def"
#undef DIRECTORY
#undef MG_ROOT
#undef MG_DB
#undef MG_GATE
    };
    TRY(mg_directory_make(warden->deployment.run, 0711));
    TRY(run_check(warden->deployment.run));
    TRY(tmpfs_check(warden->deployment.run));
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        TRY(directory_put(bases[rows[i].base], rows[i].relative, rows[i].owner, rows[i].group, rows[i].mode));
    return own_log_open_to_prober();
}

struct mg_status
warden_layout_clear(const struct warden *warden)
{
    DIR *directory = opendir(warden->deployment.run);
    struct mg_status status = OK;
    if (directory == NULL)
        return fail_errno("runtime directory %s", warden->deployment.run);
    for (const struct dirent *entry; mg_ok(status) && (entry = readdir(directory)) != NULL;) {
        char path[MG_PATH];
        /* The socket goes last: `masugata down` waits for its end. */
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strcmp(entry->d_name, "warden.sock") == 0)
            continue;
        status = mg_path_join(path, warden->deployment.run, entry->d_name);
        if (mg_ok(status))
            status = mg_tree_remove(path);
    }
    (void) closedir(directory);
    return status;
}
