#include "base/io.h"
#include "process/runtime/internal.h"
#include "process/sandbox/sandbox.h"

/* keys.root may name a file outside the state directory: its directory is written when the root key is
 * renewed. A passphrase was read before the seal and is needed no more. */
static CHECKED struct mg_status
root_directory(const struct mg_environment *environment, char path[MG_PATH])
{
    static const char file[] = "file:/";
    const char *option = environment->options->keys_root;
    path[0] = '\0';
    if (option == NULL || strncmp(option, file, sizeof file - 1) != 0)
        return OK;
    TRY(mg_view_copy(mg_view_text(option + sizeof file - 2), path, MG_PATH));
    char *slash = strrchr(path, '/');
    slash[slash == path ? 1 : 0] = '\0';
    return OK;
}

struct mg_status
mg_runtime_seal(enum mg_process process, const struct mg_environment *environment,
                struct mg_reply_configure *report)
{
    char root[MG_PATH] = "";
    if (process == MG_KEYS)
        TRY(root_directory(environment, root));
    const struct mg_sandbox_path paths[] = {{.path = root, .access = MG_SANDBOX_WRITE}};
    const struct mg_sandbox_plan plan = {
        .process = process,
        .state_directory = environment->directory,
        .runtime_directory = environment->runtime_directory,
        .paths = paths,
        .path_count = root[0] != '\0' ? 1 : 0,
    };
    struct mg_sandbox_report sealed;
    TRY(mg_sandbox_seal(&plan, &sealed));
    *report =
        (struct mg_reply_configure){.seccomp_active = sealed.seccomp, .landlock_abi = sealed.landlock_abi};
    return OK;
}
