/* masugata up: starts the warden under a small supervisor, waits until the gate answers, and with
 * --demo fills the deployment with two sample tenants (demo.c). */
#include "base/io.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/demo.h"
#include "cli/start_errors.h"
#include "ports/passage.h"
#include "ports/pgbackrest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 90000
#define LOOK_MS 500                 /* between two looks at the logs while it does not answer */
#define RESTARTS_MOST 100           /* of a warden that is killed; each at least a second apart */
#define RESTARTS_FORGOTTEN_MS 60000 /* one that lived this long begins a new count */

static volatile sig_atomic_t stop_asked;

static void
on_stop(int number)
{
    (void) number;
    stop_asked = 1;
}

/* ---- before the start ---- */

/* gate.address is a word or several: 127.0.0.1, 0.0.0.0, [::1], [::]. False for a form that nginx is left to
 * judge. */
static bool
address_read(struct mg_view word, int64_t port, struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
    char text[64];
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t) port)};
    const bool brackets = word.length > 2 && word.bytes[0] == '[' && word.bytes[word.length - 1] == ']';
    if (brackets)
        word = mg_view_of(word.bytes + 1, word.length - 2);
    if (!mg_ok(mg_view_copy(word, text, sizeof text)) ||
        (brackets ? inet_pton(AF_INET6, text, &v6.sin6_addr) : inet_pton(AF_INET, text, &v4.sin_addr)) != 1)
        return false;
    memset(ret_address, 0, sizeof *ret_address);
    if (brackets)
        memcpy(ret_address, &v6, sizeof v6);
    else
        memcpy(ret_address, &v4, sizeof v4);
    *ret_length = brackets ? sizeof v6 : sizeof v4;
    return true;
}

static CHECKED struct mg_status
port_check(const char *addresses, int64_t port, const char *keyword)
{
    struct mg_view word;
    for (const char *cursor = addresses; mg_option_word(&cursor, &word);) {
        struct sockaddr_storage at;
        socklen_t length;
        const int one = 1, word_length = (int) word.length;
        const char *text = (const char *) word.bytes;
        if (!address_read(word, port, &at, &length))
            continue;
        OWN_FD fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
            (at.ss_family == AF_INET6 &&
             setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0)) /* as nginx does */
            return fail_errno("socket");
        if (bind(fd, (const struct sockaddr *) &at, length) == 0)
            continue;
        if (errno == EADDRINUSE)
            return fail_with(PORT_TAKEN, "%.*s:%lld (option %s)", word_length, text, (long long) port,
                             keyword);
        return fail_errno("%.*s:%lld (option %s)", word_length, text, (long long) port, keyword);
    }
    return OK;
}

/* The warden holds the lock as long as it lives. */
static CHECKED struct mg_status
not_running_check(const char *state)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, state, "warden.lock"));
    OWN_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return OK;
    if (fd < 0)
        return fail_errno("open %s", path);
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        return OK;
    return fail_with(RUNNING, "%s", state);
}

static CHECKED struct mg_status
program_find(char path[MG_PATH])
{
    char own[MG_PATH];
    const ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length <= 0)
        return fail_errno("find our own program");
    own[length] = '\0';
    *strrchr(own, '/') = '\0';
    TRY(mg_path_join(path, own, "masugata-warden"));
    if (access(path, X_OK) == 0)
        return OK;
    /* Installed: PREFIX/bin/masugata and PREFIX/libexec/masugata/masugata-warden. */
    *strrchr(own, '/') = '\0';
    TRY(mg_path_join(path, own, "libexec/masugata/masugata-warden"));
    if (access(path, X_OK) != 0)
        return fail_errno("program %s", path);
    return OK;
}

/* Only root's deployments have other users in them. */
static CHECKED struct mg_status
passage_open(const char *program, const char *state)
{
    char programs[MG_PATH];
    if (geteuid() != 0)
        return OK;
    TRY(mg_view_copy(mg_view_text(program), programs, sizeof programs));
    *strrchr(programs, '/') = '\0';
    const char *const paths[] = {programs, state};
    return mg_passage_open(paths, MG_COUNT(paths));
}

/* ---- the supervisor ---- */

/* In the foreground the warden goes with us (the terminal or the service manager ended us). Detached it
 * stays: nobody would start us again, and what serves must not end because its helper did. */
static pid_t
warden_spawn(const char *program, const char *state, int log_fd, bool detached)
{
    const pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (!detached)
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void) dup2(log_fd, 1);
    (void) dup2(log_fd, 2);
    (void) execl(program, "masugata-warden", "--dir", state, (char *) NULL);
    _exit(127);
}

/* The demo's mailbox listens where mail.url points; without it mails wait in the queue. */
static void
mail_sink_spawn(const char *program, const char *state, const char *url, int log_fd)
{
    char path[MG_PATH], directory[MG_PATH];
    static const char scheme[] = "smtp://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0 ||
        !mg_ok(mg_view_copy(mg_view_text(program), path, sizeof path)))
        return;
    *strrchr(path, '/') = '\0';
    if (!mg_ok(mg_path_join(directory, state, "demo/mail")) ||
        strlen(path) + sizeof "/masugata-mail-sink" > sizeof path || fork() != 0)
        return;
    (void) snprintf(path + strlen(path), sizeof path - strlen(path), "/masugata-mail-sink");
    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void) dup2(log_fd, 1);
    (void) dup2(log_fd, 2);
    (void) execl(path, "masugata-mail-sink", url + sizeof scheme - 1, directory, (char *) NULL);
    _exit(127);
}

/* Ends with the warden's exit code; starts a warden that was killed again. */
__attribute__((noreturn)) static void
supervise(const char *program, const char *state, const char *demo_mail_url, int log_fd, bool detached)
{
    const struct sigaction stop = {.sa_handler = on_stop};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void) sigaction(SIGTERM, &stop, NULL);
    (void) sigaction(SIGINT, &ignore, NULL);
    if (detached) {
        const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        (void) setsid();
        if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
            _exit(3);
    } else
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (demo_mail_url != NULL)
        mail_sink_spawn(program, state, demo_mail_url, log_fd);
    for (int restarts = 0;; restarts++) {
        const int64_t started_ms = mg_monotonic_ms();
        const pid_t pid = warden_spawn(program, state, log_fd, detached);
        int status = 0;
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) /* the mailbox is not waited for */
            if (stop_asked)
                (void) kill(pid, SIGTERM);
        if (pid < 0)
            _exit(3);
        if (WIFEXITED(status))
            _exit(WEXITSTATUS(status));
        if (mg_monotonic_ms() - started_ms > RESTARTS_FORGOTTEN_MS)
            restarts = 0;
        if (stop_asked || restarts >= RESTARTS_MOST)
            _exit(3);
        mg_log(MG_WARNING, "the warden was ended by signal %d; starting it again", WTERMSIG(status));
        (void) usleep(restarts < 3 ? 100000 : 1000000);
    }
}

/* ---- waiting until it serves ---- */

/* The first address that can be looked at; where there is none, the authority's word is enough. */
static bool
port_answers(const char *addresses, int64_t port)
{
    struct mg_view word;
    for (const char *cursor = addresses; mg_option_word(&cursor, &word);) {
        struct sockaddr_storage at;
        socklen_t length;
        if (mg_view_is(word, "0.0.0.0"))
            word = mg_view_text("127.0.0.1");
        else if (mg_view_is(word, "[::]"))
            word = mg_view_text("[::1]");
        if (!address_read(word, port, &at, &length))
            continue;
        OWN_FD fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return fd >= 0 && connect(fd, (const struct sockaddr *) &at, length) == 0;
    }
    return true;
}

static bool
authority_answers(const struct mg_cli *cli)
{
    OWN(admin) admin = NULL;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_tenant_list reply;
    return mg_ok(mg_admin_open(cli, &admin)) &&
           mg_ok(mg_admin_tenant_list(admin, &(struct mg_request_tenant_list){0}, &reply, &storage));
}

static CHECKED struct mg_status
ready_wait(const struct mg_cli *cli, const struct mg_options *options, pid_t supervisor,
           const struct mg_start_errors *errors)
{
    const int64_t deadline_ms = mg_monotonic_ms() + READY_MS;
    bool authority = false;
    char last[512] = "";
    int64_t looked_ms = mg_monotonic_ms();
    while (mg_monotonic_ms() < deadline_ms && !stop_asked) {
        int status = 0;
        if (waitpid(supervisor, &status, WNOHANG) == supervisor)
            return fail_with(SYSTEM, "the warden ended with code %d; see %s/log/warden.log",
                             WEXITSTATUS(status), cli->directory);
        authority = authority || authority_answers(cli);
        if (authority && port_answers(options->gate_address, options->gate_https_port))
            return OK;
        if (mg_monotonic_ms() - looked_ms > LOOK_MS) {
            TRY(mg_start_errors_look(errors, last));
            looked_ms = mg_monotonic_ms();
        }
        (void) usleep(50000);
    }
    if (stop_asked)
        return fail_with(REFUSED, "stopped before everything answered");
    return fail_with(TIMEOUT, "%s does not answer after %d s; see the logs in %s/log%s%s",
                     authority ? "the gate" : "the authority", READY_MS / 1000, cli->directory,
                     last[0] != '\0' ? "; the last error there: " : "", last);
}

static void
supervisor_stop(pid_t supervisor)
{
    (void) kill(supervisor, SIGTERM);
    while (waitpid(supervisor, NULL, 0) < 0 && errno == EINTR)
        ;
}

static CHECKED struct mg_status
log_file_open(const char *state, int *ret_fd)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, state, "log"));
    TRY(mg_directory_make(path, 0711));
    TRY(mg_path_join(path, state, "log/warden.log"));
    *ret_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (*ret_fd < 0)
        return fail_errno("log %s", path);
    return OK;
}

static CHECKED struct mg_status
up(struct mg_cli *cli, bool demo, bool detach)
{
    char program[MG_PATH], configuration[MG_PATH];
    OWN(options) options = NULL;
    OWN_FD log_fd = -1;
    struct mg_deployment deployment;
    struct mg_start_errors errors;
    struct mg_pgbackrest unused; /* that its paths are good is what matters here */
    TRY(mg_path_join(configuration, cli->directory, "masugata.conf"));
    if (demo && access(configuration, F_OK) != 0)
        TRY(mg_cli_demo_make(cli));
    TRY(mg_cli_deployment(cli, &options, &deployment));
    TRY(mg_pgbackrest_layout(deployment.state, deployment.run, options->backup_near_path, "control",
                             &unused));
    TRY(mg_cli_users_make());
    TRY(not_running_check(deployment.state));
    TRY(port_check(options->gate_address, options->gate_https_port, "gate.https_port"));
    TRY(port_check(options->gate_address, options->gate_http_port, "gate.http_port"));
    TRY(program_find(program));
    TRY(passage_open(program, deployment.state));
    TRY(log_file_open(deployment.state, &log_fd));
    TRY(mg_start_errors_begin(deployment.state, &errors));
    const struct sigaction stop = {.sa_handler = on_stop};
    (void) sigaction(SIGINT, &stop, NULL);
    (void) sigaction(SIGTERM, &stop, NULL);
    const int64_t started_ms = mg_monotonic_ms();
    const pid_t supervisor = fork();
    if (supervisor == 0)
        supervise(program, deployment.state, demo ? options->mail_url : NULL, log_fd, detach);
    if (supervisor < 0)
        return fail_errno("fork");
    struct mg_status status = ready_wait(cli, options, supervisor, &errors);
    const long long ready_ms = (long long) (mg_monotonic_ms() - started_ms);
    if (mg_ok(status) && !cli->json)
        (void) printf(mg_cli_say(cli, "Masugata runs in %s (ready after %lld ms).\n",
                                 "Masugata が %s で稼働中です (%lld ms で準備完了)。\n"),
                      deployment.state, ready_ms);
    OWN_BUFFER(json, 65536);
    if (mg_ok(status))
        status = mg_buffer_add_text(&json, "{\"directory\":");
    if (mg_ok(status))
        status = mg_buffer_add_json_string(&json, mg_view_text(deployment.state));
    if (mg_ok(status))
        status = mg_buffer_format(&json, ",\"ready_ms\":%lld", ready_ms);
    if (mg_ok(status) && demo)
        status = mg_cli_demo_fill(cli, options, &json);
    if (mg_ok(status) && cli->json)
        (void) printf("%s}\n", mg_buffer_text(&json));
    (void) fflush(stdout);
    if (!mg_ok(status)) {
        supervisor_stop(supervisor);
        return status;
    }
    if (detach)
        return OK;
    if (!cli->json)
        (void) puts(mg_cli_say(cli, "Press Ctrl-C to stop.", "Ctrl-C で停止します。"));
    (void) fflush(stdout);
    int ended = 0;
    while (!stop_asked && waitpid(supervisor, &ended, 0) < 0 && errno == EINTR)
        ;
    if (stop_asked) {
        if (!cli->json)
            (void) puts(mg_cli_say(cli, "\nstopping ...", "\n停止しています…"));
        supervisor_stop(supervisor);
    } else if (WEXITSTATUS(ended) != 0)
        return fail_with(SYSTEM, "the warden ended with code %d; see %s/log/warden.log", WEXITSTATUS(ended),
                         deployment.state);
    return OK;
}

int
mg_cli_up(int argc, char **argv)
{
    struct mg_cli cli;
    bool demo = false, detach = false;
    const struct mg_cli_option options[] = {
        {.name = "--demo", .flag = &demo}, {.name = "--detach", .flag = &detach}, {0}};
    struct mg_status status = mg_cli_read(&cli, argc, argv, options);
    if (mg_ok(status) && cli.help)
        return mg_cli_help(
            &cli, "masugata up [--demo] [--dir DIR] [--detach] [--json]",
            "Starts everything in a state directory and stays in the foreground until Ctrl-C.\n"
            "  --demo    two sample tenants, a real application and a mailbox; makes the directory\n"
            "  --detach  return when everything answers; stop with `masugata down`",
            "状態ディレクトリの全プロセスを起動し、Ctrl-C まで前面で動きます。\n"
            "  --demo    サンプルの 2 テナント、実アプリ、メール受信箱を用意 (ディレクトリも作成)\n"
            "  --detach  準備ができたら戻ります。停止は `masugata down`");
    if (mg_ok(status))
        status = up(&cli, demo, detach);
    return mg_ok(status) ? 0 : mg_cli_fail(&cli, status);
}
