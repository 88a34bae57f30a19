/* seccomp after catalogue/sandbox.def.
 *
 * A call that is not allowed raises SIGSYS; our handler names it on standard error (the process's log) and
 * ends the process. The handler cannot be replaced (rt_sigaction on SIGSYS is not allowed), and blocking
 * the signal makes the kernel kill. What no honest code of ours would try, such as execve or ptrace,
 * kills at once. */
#include "process/sandbox/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    BASIC = 1 << 0,
    FILE_SET = 1 << 1,
    CHANGE = 1 << 2,
    ACCEPT = 1 << 3,
    CONNECT = 1 << 4,
    LISTEN = 1 << 5,
};
/* FILE is a type of stdio; the table's word stays readable this way. */
#define FILE FILE_SET

enum sockets { NO_SOCKETS, LOCAL, NETWORK };
enum code { NO_CODE, LIBRARIES };

static const struct {
    unsigned set;
    int number;
} allowed[] = {
#define SYSCALL(set, name) {set, SCMP_SYS(name)},
#define SEALED(process, sets, sockets, code)
#define FILES(process, base, path, access)
#include "../../../catalogue/sandbox.def"
#undef SYSCALL
#undef SEALED
#undef FILES
};

static const struct seal {
    bool there;
    unsigned sets;
    enum sockets sockets;
    enum code code;
} seals[MG_PROCESS_COUNT] = {
#define SYSCALL(set, name)
#define SEALED(process, what, families, executable) [MG_##process] = {true, what, families, executable},
#define FILES(process, base, path, access)
#include "../../../catalogue/sandbox.def"
#undef SYSCALL
#undef SEALED
#undef FILES
};
#undef FILE

bool
mg_sandbox_has_row(enum mg_process process)
{
    return (unsigned) process < MG_PROCESS_COUNT && seals[process].there;
}

bool
mg_sandbox_has_network(enum mg_process process)
{
    return mg_sandbox_has_row(process) && seals[process].sockets == NETWORK;
}

/* No program of ours is started by a sealed process, and none is looked into. */
static const int kill_at_once[] = {
    SCMP_SYS(execve),       SCMP_SYS(execveat),
    SCMP_SYS(ptrace),       SCMP_SYS(process_vm_readv),
    SCMP_SYS(fork),         SCMP_SYS(vfork),
    SCMP_SYS(bpf),          SCMP_SYS(process_vm_writev),
    SCMP_SYS(kexec_load),   SCMP_SYS(open_by_handle_at),
    SCMP_SYS(init_module),  SCMP_SYS(finit_module),
    SCMP_SYS(mount),        SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),       SCMP_SYS(setns),
    SCMP_SYS(unshare),      SCMP_SYS(keyctl),
    SCMP_SYS(add_key),      SCMP_SYS(request_key),
    SCMP_SYS(userfaultfd),  SCMP_SYS(io_uring_setup),
    SCMP_SYS(memfd_create), SCMP_SYS(perf_event_open),
    SCMP_SYS(setuid),       SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),    SCMP_SYS(setgid),
    SCMP_SYS(capset),       SCMP_SYS(seccomp),
    SCMP_SYS(personality),  SCMP_SYS(pidfd_getfd),
};

/* Only what is safe in a signal handler. */
static void
on_refused(int number, siginfo_t *info, void *unused)
{
    (void) number;
    (void) unused;
    char text[128];
    size_t length = 0;
    static const char before[] = "system call ",
                      after[] = " is not in catalogue/sandbox.def for this process; stopping\n";
    memcpy(text, before, sizeof before - 1);
    length += sizeof before - 1;
    char digits[12];
    size_t count = 0;
    for (unsigned rest = (unsigned) info->si_syscall; count == 0 || rest != 0; rest /= 10)
        digits[count++] = (char) ('0' + rest % 10);
    while (count > 0)
        text[length++] = digits[--count];
    memcpy(text + length, after, sizeof after - 1);
    length += sizeof after - 1;
    (void) !write(2, text, length);
    _exit(128 + SIGSYS);
}

static int
add_if(scmp_filter_ctx filter, uint32_t action, int number, struct scmp_arg_cmp condition)
{
    return seccomp_rule_add_array(filter, action, number, 1, &condition);
}

/* Calls that are allowed with certain arguments only. */
static int
add_conditional(scmp_filter_ctx filter, const struct seal *seal)
{
    enum { THREAD = 0x00010000 }; /* CLONE_THREAD */
    const unsigned code = seal->code == LIBRARIES ? 0 : PROT_EXEC;
    int result = add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, THREAD, THREAD));
    /* Its flags lie in memory that a filter cannot read; glibc falls back to clone. */
    result |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, code, 0));
    result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, code, 0));
    result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_GET_NAME));
    result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t) getpid()));
    result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONREAD));
    result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONBIO));
    result |= add_if(filter, SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, TCGETS));
    result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(rt_sigaction), SCMP_A0(SCMP_CMP_NE, SIGSYS));
    /* Reading limits, not setting them (the third argument). */
    result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0));
    if (seal->sockets != NO_SOCKETS) {
        result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
        result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    }
    if (seal->sockets == NETWORK) {
        result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_INET));
        result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_INET6));
        result |= add_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_NETLINK));
    }
    return result;
}

static int
add_rows(scmp_filter_ctx filter, const struct seal *seal)
{
    int result = 0;
    for (size_t i = 0; i < MG_COUNT(allowed); i++)
        if ((allowed[i].set & seal->sets) != 0)
            result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i].number, 0);
    for (size_t i = 0; i < MG_COUNT(kill_at_once); i++)
        result |= seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, kill_at_once[i], 0);
    return result;
}

static void
filter_drop(scmp_filter_ctx *filter)
{
    if (*filter != NULL)
        seccomp_release(*filter);
}

struct mg_status
mg_seccomp_restrict(enum mg_process process)
{
    if (!mg_sandbox_has_row(process))
        return fail_with(INVALID, "no SEALED row for %s", mg_process_name(process));
    const struct seal *seal = &seals[process];
    const struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO};
    sigset_t refused;
    (void) sigemptyset(&refused);
    (void) sigaddset(&refused, SIGSYS);
    if (sigaction(SIGSYS, &action, NULL) != 0 || sigprocmask(SIG_UNBLOCK, &refused, NULL) != 0)
        return fail_errno("sandbox: SIGSYS");
    MG_CLEANUP(filter_drop) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    if (filter == NULL)
        return fail(OUT_OF_MEMORY);
    int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    result |= seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    /* A binary tree instead of a list: the filter runs at every call. */
    result |= seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    result |= add_conditional(filter, seal);
    result |= add_rows(filter, seal);
    if (result != 0)
        return fail_with(SYSTEM, "sandbox: seccomp rules");
    const int loaded = seccomp_load(filter);
    if (loaded != 0)
        return fail_with(SYSTEM, "sandbox: seccomp: error %d", -loaded);
    return OK;
}
