#include "process/sandbox/sandbox.h"

#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#if defined(__has_feature) && !defined(__SANITIZE_ADDRESS__)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

enum { PATHS_MOST = 64 };
enum base { STATE, RUN, SYSTEM };
enum { LOOK = MG_SANDBOX_LOOK, WRITE = MG_SANDBOX_WRITE };

static const struct {
    enum mg_process process;
    enum base base;
    const char *path;
    int access;
} files[] = {
#define SYSCALL(set, name)
#define SEALED(process, sets, sockets, code)
#define FILES(process, base, path, access) {MG_##process, base, path, access},
#include "../../../catalogue/sandbox.def"
#undef SYSCALL
#undef SEALED
#undef FILES
};

struct path_list {
    size_t count;
    struct mg_sandbox_path rules[PATHS_MOST];
    char texts[PATHS_MOST][MG_PATH];
};

static CHECKED struct mg_status
path_add(struct path_list *list, const char *directory, const char *path, enum mg_sandbox_access access)
{
    if (list->count == PATHS_MOST)
        return fail_with(TOO_LARGE, "sandbox: more than %d paths", PATHS_MOST);
    char *text = list->texts[list->count];
    if (directory != NULL && path[0] != '\0')
        TRY(mg_path_join(text, directory, path));
    else
        TRY(mg_view_copy(mg_view_text(directory != NULL ? directory : path), text, MG_PATH));
    list->rules[list->count++] = (struct mg_sandbox_path){.path = text, .access = access};
    return OK;
}

static CHECKED struct mg_status
paths_collect(const struct mg_sandbox_plan *plan, struct path_list *list)
{
    const char *const bases[] = {
        [STATE] = plan->state_directory, [RUN] = plan->runtime_directory, [SYSTEM] = NULL};
    list->count = 0;
    for (size_t i = 0; i < MG_COUNT(files); i++)
        if (files[i].process == plan->process)
            TRY(path_add(list, bases[files[i].base], files[i].path,
                         (enum mg_sandbox_access) files[i].access));
    for (size_t i = 0; i < plan->path_count; i++)
        TRY(path_add(list, NULL, plan->paths[i].path, plan->paths[i].access));
    return OK;
}

/* Landlock binds the calling thread and what it starts: one that runs already would stay free. */
static CHECKED struct mg_status
one_thread_check(void)
{
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL)
        return fail_errno("/proc/self/task");
    int count = 0;
    for (const struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks))
        count += entry->d_name[0] != '.';
    (void) closedir(tasks);
    if (count != 1)
        return fail_with(SYSTEM, "sandbox: %d threads run before the seal", count);
    return OK;
}

static CHECKED struct mg_status
privileges_drop(void)
{
    const struct rlimit no_core = {0, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &no_core) != 0)
        return fail_errno("sandbox: privileges");
    /* Needs CAP_SETPCAP, which only a root process has; the others have nothing to drop. */
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno == EPERM)
            break;
    (void) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}, {0, 0, 0}};
    if (syscall(SYS_capset, &header, none) != 0)
        return fail_errno("sandbox: capabilities");
    return OK;
}

struct mg_status
mg_sandbox_seal(const struct mg_sandbox_plan *plan, struct mg_sandbox_report *ret_report)
{
    if (!mg_sandbox_has_row(plan->process)) {
        *ret_report = (struct mg_sandbox_report){0};
        return OK;
    }
    static struct path_list list; /* 64 KiB: too much for the stack, needed once */
    struct mg_sandbox_report report = {.sealed = true};
    tzset(); /* the C library reads its time zone now and not at the first date it writes */
    TRY(one_thread_check());
    TRY(paths_collect(plan, &list));
    TRY(privileges_drop());
    /* Linux 6.3 and later; seccomp refuses new executable memory too. */
    (void) prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
    const bool network = mg_sandbox_has_network(plan->process);
    TRY(mg_landlock_restrict(list.rules, list.count, network, &report.landlock_abi));
#ifndef __SANITIZE_ADDRESS__
    /* The address sanitizer starts a tracer of its own at exit; such a build says "seccomp off". */
    TRY(mg_seccomp_restrict(plan->process));
    report.seccomp = true;
#endif
    *ret_report = report;
    return OK;
}
