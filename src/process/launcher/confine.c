#include "process/launcher/confine.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than Debian 12's headers; the running kernel tells whether it knows them. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
enum { ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_NETWORK = 4, ABI_SCOPE = 6 };
static const __u64 tcp_rights = 1ULL << 0 | 1ULL << 1; /* bind, connect */
static const __u64 scope_signal = 1ULL << 1;
/* struct landlock_ruleset_attr of those kernels. */
struct ruleset_attributes {
    __u64 handled_access_fs, handled_access_net, scoped;
};

static const __u64 read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const __u64 write_rights = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                  LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                                  LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                                  LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM;
/* What may be asked for on something that is not a directory. */
static const __u64 file_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                 LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_TRUNCATE;

/* Everything that this kernel can restrict in files, devices included, which nobody gets. */
static __u64
handled_rights(int abi)
{
    __u64 rights = read_rights | write_rights | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                   LANDLOCK_ACCESS_FS_MAKE_BLOCK;
    if (abi >= ABI_REFER)
        rights |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= ABI_TRUNCATE)
        rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
    return rights;
}

static __u64
rights_of(unsigned access, int abi)
{
    __u64 rights = read_rights;
    if ((access & CONFINE_EXECUTE) != 0)
        rights |= LANDLOCK_ACCESS_FS_EXECUTE;
    if ((access & CONFINE_WRITE) != 0) {
        rights |= write_rights;
        if (abi >= ABI_REFER)
            rights |= LANDLOCK_ACCESS_FS_REFER;
        if (abi >= ABI_TRUNCATE)
            rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
    }
    return rights;
}

static struct mg_status
path_add(int rules, const struct confine_path *path, int abi)
{
    OWN_FD fd = open(path->path, O_PATH | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return OK;
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0)
        return fail_errno("open %s", path->path);
    struct landlock_path_beneath_attr rule = {.allowed_access = rights_of(path->access, abi),
                                              .parent_fd = fd};
    if (!S_ISDIR(found.st_mode))
        rule.allowed_access &= file_rights;
    if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        return fail_errno("landlock rule for %s", path->path);
    return OK;
}

struct mg_status
confine_prepare(const struct confine_path *paths, size_t count, bool network, int *ret_fd)
{
    const int abi = (int) syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        *ret_fd = -1; /* said at start and shown by `masugata status` */
        return OK;
    }
    const struct ruleset_attributes attributes = {
        .handled_access_fs = handled_rights(abi),
        .handled_access_net = abi >= ABI_NETWORK && !network ? tcp_rights : 0,
        .scoped = abi >= ABI_SCOPE ? scope_signal : 0,
    };
    const size_t size = abi >= ABI_SCOPE ? 24 : abi >= ABI_NETWORK ? 16 : 8;
    OWN_FD rules = (int) syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
    if (rules < 0)
        return fail_errno("landlock");
    for (size_t i = 0; i < count; i++)
        TRY(path_add(rules, &paths[i], abi));
    *ret_fd = rules;
    rules = -1;
    return OK;
}

bool
confine_enter(int fd)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return false;
    return fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) == 0;
}
