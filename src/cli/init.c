/* masugata init: a state directory with a commented configuration, and as root the system users. */
#include "base/io.h"
#include "cli/cli.h"
#include "ports/pgbackrest.h"

#include <errno.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const users[] = {
#define PROCESS(NAME, name, suffix, ...) suffix,
#define WIRE(a, b)
#include "../../catalogue/processes.def"
#undef PROCESS
#undef WIRE
    "db",
    "gate",
};

static CHECKED struct mg_status
user_make(const char *name)
{
    const pid_t pid = fork();
    if (pid == 0) {
        (void) execl("/usr/sbin/useradd", "useradd", "--system", "--user-group", "--no-create-home",
                     "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "--comment", "Masugata",
                     name, (char *) NULL);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail_with(SYSTEM, "useradd %s did not work (code %d)", name, WEXITSTATUS(status));
    return OK;
}

struct mg_status
mg_cli_users_make(void)
{
    for (size_t i = 0; geteuid() == 0 && i < MG_COUNT(users); i++) {
        char name[64];
        if (users[i][0] == '\0')
            continue;
        (void) snprintf(name, sizeof name, "masugata-%s", users[i]);
        if (getpwnam(name) == NULL)
            TRY(user_make(name));
    }
    return OK;
}

struct mg_status
mg_cli_directory_make(const char *directory, struct mg_view configuration)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, "masugata.conf"));
    if (access(path, F_OK) == 0)
        return fail_with(EXISTS, "%s", path);
    TRY(mg_cli_users_make());
    TRY(mg_directory_make(directory, 0711));
    return mg_file_replace(path, configuration, 0640);
}

/* What `masugata up` would refuse is said before anything is put there. */
static CHECKED struct mg_status
directory_check(const char *directory)
{
    struct mg_pgbackrest unused;
    char here[MG_PATH], path[MG_PATH];
    if (directory[0] == '/')
        return mg_pgbackrest_layout(directory, "/run", "", "control", &unused);
    if (getcwd(here, sizeof here) == NULL)
        return fail_errno("current directory");
    TRY(mg_path_join(path, here, directory));
    return mg_pgbackrest_layout(path, "/run", "", "control", &unused);
}

static CHECKED struct mg_status
init(const struct mg_cli *cli)
{
    TRY(directory_check(cli->directory));
    OWN_BUFFER(sample, 262144);
    OWN_BUFFER(json, 4096);
    TRY(mg_configuration_sample(&sample));
    TRY(mg_cli_directory_make(cli->directory, mg_buffer_view(&sample)));
    if (cli->json) {
        TRY(mg_buffer_add_json_string(&json, mg_view_text(cli->directory)));
        (void) printf("{\"directory\":%s}\n", mg_buffer_text(&json));
    } else
        (void) printf(
            mg_cli_say(
                cli, "Made %s. Edit %s/masugata.conf, then run `masugata up --dir %s`.\n",
                "%s を作成しました。%s/masugata.conf を編集し、`masugata up --dir %s` で起動してください。\n"),
            cli->directory, cli->directory, cli->directory);
    return OK;
}

int
mg_cli_init(int argc, char **argv)
{
    struct mg_cli cli;
    struct mg_status status = mg_cli_read(&cli, argc, argv, NULL);
    if (mg_ok(status) && cli.help)
        return mg_cli_help(
            &cli, "masugata init [--dir DIR]",
            "Makes a state directory with a commented masugata.conf. As root it also makes the system\n"
            "users masugata-*, one for each process, so that each may touch only its own files.",
            "コメント付きの masugata.conf を含む状態ディレクトリを作ります。root で実行すると、プロセスごとの\n"
            "システムユーザー masugata-* も作り、各プロセスが自分のファイルだけに触れるようにします。");
    if (mg_ok(status))
        status = init(&cli);
    return mg_ok(status) ? 0 : mg_cli_fail(&cli, status);
}
