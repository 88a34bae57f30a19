/* Landlock through the raw system calls. The header of the distribution is older than the kernel, so the
 * constants are ours: linux/landlock.h of Linux 6.12, ABI 1 to 7. */
#include "process/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CREATE_VERSION = 1, RULE_PATH_BENEATH = 1 };

enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_CHAR = 1 << 6,
    FS_MAKE_DIR = 1 << 7,
    FS_MAKE_REG = 1 << 8,
    FS_MAKE_SOCK = 1 << 9,
    FS_MAKE_FIFO = 1 << 10,
    FS_MAKE_BLOCK = 1 << 11,
    FS_MAKE_SYM = 1 << 12,
    FS_REFER = 1 << 13,     /* ABI 2 */
    FS_TRUNCATE = 1 << 14,  /* ABI 3 */
    FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
};
enum { NET_BIND_TCP = 1 << 0, NET_CONNECT_TCP = 1 << 1 };            /* ABI 4 */
enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0, SCOPE_SIGNAL = 1 << 1 }; /* ABI 6 */

#define LOOK_FILE FS_READ_FILE
#define LOOK_DIRECTORY (FS_READ_FILE | FS_READ_DIR)
#define WRITE_FILE (FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE)
#define WRITE_DIRECTORY                                                                            \
    (LOOK_DIRECTORY | FS_WRITE_FILE | FS_TRUNCATE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | \
     FS_MAKE_REG | FS_MAKE_SOCK | FS_REFER)

struct ruleset_attributes {
    uint64_t handled_access_fs, handled_access_net, scoped;
};
struct path_beneath {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

static uint64_t
handled_files(unsigned abi)
{
    const uint64_t all = FS_IOCTL_DEV * 2ULL - 1;
    if (abi >= 5)
        return all;
    if (abi >= 3)
        return all & ~(uint64_t) FS_IOCTL_DEV;
    if (abi == 2)
        return FS_TRUNCATE - 1ULL;
    return FS_REFER - 1ULL;
}

/* A path that does not exist has nothing to allow. */
static CHECKED struct mg_status
path_allow(int ruleset, const struct mg_sandbox_path *rule, uint64_t handled)
{
    OWN_FD fd = open(rule->path, O_PATH | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == EACCES))
        return OK;
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0)
        return fail_errno("sandbox: %s", rule->path);
    const bool directory = S_ISDIR(found.st_mode);
    uint64_t access = directory ? LOOK_DIRECTORY : LOOK_FILE;
    if (rule->access == MG_SANDBOX_WRITE)
        access = directory ? WRITE_DIRECTORY : WRITE_FILE;
    const struct path_beneath beneath = {.allowed_access = access & handled, .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &beneath, 0) != 0)
        return fail_errno("sandbox: Landlock rule for %s", rule->path);
    return OK;
}

struct mg_status
mg_landlock_restrict(const struct mg_sandbox_path *paths, size_t count, bool network, unsigned *ret_abi)
{
    const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    if (abi < 1) {
        *ret_abi = 0;
        return OK;
    }
    const struct ruleset_attributes attributes = {
        .handled_access_fs = handled_files((unsigned) abi),
        .handled_access_net = abi >= 4 && !network ? NET_BIND_TCP | NET_CONNECT_TCP : 0,
        .scoped = abi >= 6 ? SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL : 0,
    };
    const size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
    OWN_FD ruleset = (int) syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
    if (ruleset < 0)
        return fail_errno("sandbox: Landlock");
    for (size_t i = 0; i < count; i++)
        TRY(path_allow(ruleset, &paths[i], attributes.handled_access_fs));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
        return fail_errno("sandbox: Landlock");
    *ret_abi = (unsigned) abi;
    return OK;
}
