/* The example applications and the directories of every application: RUN/app/TENANT with the
 * database's credentials and sockets, DIR/apps/TENANT as its home. */
#include "base/io.h"
#include "base/log.h"
#include "domain/drill.h"
#include "process/launcher/confine.h"
#include "process/launcher/launcher.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

enum { STOP_MS = 5000, POLL_MS = 20, ARGUMENTS_MOST = 20 };

/* All that an argument or a variable may stand for. */
struct application {
    uint64_t tenant;
    char name[32], issuer[301], audience[1025];
    char run[MG_PATH], home[MG_PATH], http[MG_PATH], socket[MG_PATH], credentials[MG_PATH], log[MG_PATH];
    char authority[MG_PATH]; /* who signs the demo's certificates */
};

/* A fixed argument list; "%x" inside an argument is replaced: %p our programs, %s socket, %h home,
 * %c credentials file, %i issuer, %a audience, %t certificate authority. */
static const struct application_row {
    const char *name;
    const char *arguments[ARGUMENTS_MOST];
} rows[] = {
    {"notes",
     {"%p/masugata-notes", "--socket", "%s", "--credentials", "%c", "--issuer", "%i", "--audience", "%a",
      "--authority", "%t", NULL}},
    {MG_DRILL_APPLICATION, {"%p/masugata-drill", "--socket", "%s", "--credentials", "%c", NULL}},
    /* Debian's, unmodified; the gate in front does the sign-in and refuses changes
     * from other sites, so its own are off (for the latter its scripts would have to read a cookie). It is
     * reached through the socket alone, and its kernels talk over sockets on tmpfs (short paths wherever the
     * state directory is), not over TCP. Its pages' inline scripts contain version_hash, which is else the
     * time of the start: fixed, so that the tenant's Content-Security-Policy can name them by their hashes
     * (src/cli/demo.c). */
    {"jupyter",
     {"/usr/bin/python3", "/usr/bin/jupyter-notebook", "--no-browser", "--NotebookApp.sock=%s",
      "--NotebookApp.sock_mode=0666",
      "--NotebookApp.token=", "--NotebookApp.password=", "--NotebookApp.allow_remote_access=True",
      "--NotebookApp.quit_button=False", "--NotebookApp.tornado_settings={'version_hash': 'demo'}",
      "--NotebookApp.terminals_enabled=False", "--NotebookApp.disable_check_xsrf=True",
      "--KernelManager.transport=ipc", "--notebook-dir=%h/notebooks", NULL}},
};

static const struct application_row *
row_find(const char *name)
{
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

static struct mg_status
application_paths(struct application *application)
{
    const struct mg_environment *environment = mg_environment();
    char part[64];
    TRY(tenant_check(application->tenant));
    (void) snprintf(part, sizeof part, "app/%llu", (unsigned long long) application->tenant);
    TRY(mg_path_join(application->run, environment->runtime_directory, part));
    (void) snprintf(part, sizeof part, "apps/%llu", (unsigned long long) application->tenant);
    TRY(mg_path_join(application->home, environment->directory, part));
    (void) snprintf(part, sizeof part, "log/app-%llu.log", (unsigned long long) application->tenant);
    TRY(mg_path_join(application->log, environment->directory, part));
    TRY(mg_path_join(application->http, application->run, "http"));
    TRY(mg_path_join(application->socket, application->http, "http.sock"));
    TRY(mg_path_join(application->credentials, application->run, "database.json"));
    return mg_path_join(application->authority, environment->directory, "tls/demo-ca.pem");
}

static struct mg_status
application_decode(struct mg_view encoded, struct application *ret_application)
{
    struct mg_list list = {.bytes = encoded};
    struct mg_record_application_request record;
    bool more = false;
    struct application application = {.tenant = 0};
    TRY(mg_list_next_application_request(&list, &record, &more));
    if (!more)
        return fail(MALFORMED);
    application.tenant = record.tenant;
    TRY(mg_view_copy(record.application, application.name, sizeof application.name));
    TRY(mg_view_copy(record.issuer, application.issuer, sizeof application.issuer));
    TRY(mg_view_copy(record.audience, application.audience, sizeof application.audience));
    TRY(application_paths(&application));
    *ret_application = application;
    return OK;
}

/* ---- directories ----------------------------------------------------------------------------- */

struct mg_status
application_directories(uint64_t tenant)
{
    struct application application = {.tenant = tenant};
    TRY(application_paths(&application));
    const uid_t uid = application_uid(tenant);
    const gid_t gid = places.root ? (gid_t) uid : MG_SAME_GID;
    /* Ours: the app may pass through, and cannot put a file of its own in the place of another. */
    TRY(owned_directory(application.run, 0711, MG_SAME_UID, MG_SAME_GID));
    TRY(owned_directory(application.http, places.root ? 0710 : 0700, uid, places.gate_gid));
    return owned_directory(application.home, 0700, uid, gid);
}

MG_HANDLER_PUBLIC(credentials_publish)
{
    struct application application = {.tenant = request->tenant};
    TRY(application_paths(&application));
    TRY(application_directories(request->tenant));
    const uid_t uid = application_uid(request->tenant);
    TRY(mg_file_replace_owned(application.credentials, request->json, 0400, uid,
                              places.root ? (gid_t) uid : MG_SAME_GID));
    return mg_answer_credentials_publish(call, &(struct mg_reply_credentials_publish){0});
}

/* ---- the child -------------------------------------------------------------------------------- */

static struct mg_status
argument_expand(const struct application *application, const char *pattern, struct mg_buffer *out)
{
    for (const char *at = pattern; *at != '\0'; at++) {
        const char *text = NULL;
        if (*at == '%') {
            at++;
            text = *at == 'p'   ? places.programs
                   : *at == 's' ? application->socket
                   : *at == 'h' ? application->home
                   : *at == 'c' ? application->credentials
                   : *at == 'i' ? application->issuer
                   : *at == 'a' ? application->audience
                                : application->authority;
        }
        TRY(text != NULL ? mg_buffer_add_text(out, text) : mg_buffer_add_byte(out, (uint8_t) *at));
    }
    return mg_buffer_add_byte(out, 0);
}

/* The arguments one after another in `texts`; the list points into it. */
static struct mg_status
arguments_expand(const struct application *application, const struct application_row *row,
                 struct mg_buffer *texts, const char *list[ARGUMENTS_MOST])
{
    size_t offsets[ARGUMENTS_MOST], count = 0;
    for (; row->arguments[count] != NULL; count++) {
        offsets[count] = texts->length;
        TRY(argument_expand(application, row->arguments[count], texts));
    }
    for (size_t i = 0; i < count; i++)
        list[i] = mg_buffer_text(texts) + offsets[i];
    list[count] = NULL;
    return OK;
}

static struct mg_status
application_run(const struct application *application, const struct application_row *row, int pid_fd,
                pid_t *ret_pid)
{
    const char *list[ARGUMENTS_MOST];
    char home[MG_PATH + 16], temporary[MG_PATH + 16], runtime[MG_PATH + 32];
    OWN_BUFFER(texts, 16384);
    OWN_FD log = -1;
    OWN_FD rules = -1;
    TRY(arguments_expand(application, row, &texts, list));
    TRY(log_open(application->log, MG_SAME_UID, places.prober_gid, &log));
    const struct confine_path paths[] = {
        CONFINE_SYSTEM,
        {places.programs, CONFINE_READ | CONFINE_EXECUTE},
        {application->run, CONFINE_READ},
        {application->http, CONFINE_READ | CONFINE_WRITE},
        {application->home, CONFINE_READ | CONFINE_WRITE},
        {application->authority, CONFINE_READ},
    };
    TRY(confine_prepare(paths, MG_COUNT(paths), true, &rules));
    (void) snprintf(home, sizeof home, "HOME=%s", application->home);
    (void) snprintf(temporary, sizeof temporary, "TMPDIR=%s/tmp", application->home);
    (void) snprintf(runtime, sizeof runtime, "JUPYTER_RUNTIME_DIR=%s/runtime", application->http);
    const char *const environment[] = {
        home, temporary, runtime, "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC", NULL,
    };
    struct child_preparation preparation = {.pid_fd = pid_fd, .rules_fd = rules};
    const uid_t uid = application_uid(application->tenant);
    const struct mg_program program = {
        .arguments = list,
        .environment = environment,
        .directory = application->home,
        .uid = uid,
        .gid = places.root ? (gid_t) uid : MG_SAME_GID,
        .output_fd = log,
        .prepare = child_prepare,
        .context = &preparation,
    };
    return mg_program_start(&program, ret_pid);
}

static struct mg_status
application_start(struct mg_view request, int pid_fd, struct mg_process_mark *ret_mark)
{
    struct application application;
    char path[MG_PATH];
    pid_t pid = 0;
    TRY(application_decode(request, &application));
    const struct application_row *row = row_find(application.name);
    if (row == NULL)
        return fail_with(INVALID, "there is no example application \"%s\"", application.name);
    const uid_t uid = application_uid(application.tenant);
    static const char *const inside[] = {"tmp", "notebooks"};
    TRY(application_directories(application.tenant));
    for (size_t i = 0; i < MG_COUNT(inside); i++) {
        TRY(mg_path_join(path, application.home, inside[i]));
        TRY(owned_directory(path, 0700, uid, places.root ? (gid_t) uid : MG_SAME_GID));
    }
    (void) unlink(application.socket); /* of one that was killed */
    TRY(application_run(&application, row, pid_fd, &pid));
    return mg_process_mark(pid, ret_mark);
}

/* The pid was noted by the program itself before exec; its uid and arguments, which name the tenant's
 * socket, tell a reused number apart. */
static bool
application_is_it(struct mg_view request, pid_t pid)
{
    struct application application;
    const char *list[ARGUMENTS_MOST];
    OWN_BUFFER(texts, 16384);
    if (!mg_ok(application_decode(request, &application)))
        return false;
    const struct application_row *row = row_find(application.name);
    return row != NULL && mg_ok(arguments_expand(&application, row, &texts, list)) &&
           mg_process_runs(pid, application_uid(application.tenant), mg_buffer_view(&texts));
}

bool
application_is(struct mg_view request, const char *name)
{
    struct application application;
    return mg_ok(application_decode(request, &application)) && strcmp(application.name, name) == 0;
}

static struct mg_status
application_stop(struct mg_view request, const struct mg_process_mark *mark)
{
    (void) request;
    const int64_t deadline_ms = mg_monotonic_ms() + STOP_MS;
    /* Its whole session: what it started belongs to it. */
    if (kill(-mark->pid, SIGTERM) != 0 && errno != ESRCH)
        return fail_errno("stop process %d", (int) mark->pid);
    while (mg_process_alive(mark)) {
        if (mg_monotonic_ms() > deadline_ms)
            (void) kill(-mark->pid, SIGKILL);
        (void) usleep(POLL_MS * 1000);
    }
    (void) kill(-mark->pid, SIGKILL);
    return OK;
}

const struct child_kind application_kind = {
    .label = "application",
    .restart_on_change = true,
    .start = application_start,
    .is_it = application_is_it,
    .stop = application_stop,
};

static const char prefix[] = "example:";

bool
application_is_ours(struct mg_view upstream)
{
    return upstream.length >= sizeof prefix - 1 && memcmp(upstream.bytes, prefix, sizeof prefix - 1) == 0;
}

struct mg_status
application_ensure(uint64_t tenant, struct mg_view upstream, const char *issuer, const char *audience,
                   char ret_upstream[MG_PATH])
{
    const size_t skip = sizeof prefix - 1;
    if (!application_is_ours(upstream))
        return fail(INVALID);
    const struct mg_record_application_request record = {
        .tenant = tenant,
        .application = mg_view_of(upstream.bytes + skip, upstream.length - skip),
        .issuer = mg_view_text(issuer),
        .audience = mg_view_text(audience),
    };
    OWN_BUFFER(encoded, 4096);
    TRY(mg_list_add_application_request(&encoded, &record));
    struct application application;
    struct mg_process_mark mark;
    char name[CHILD_NAME];
    TRY(application_decode(mg_buffer_view(&encoded), &application));
    if (row_find(application.name) == NULL)
        return fail_with(INVALID, "there is no example application \"%s\"", application.name);
    (void) snprintf(name, sizeof name, "%llu", (unsigned long long) tenant);
    TRY(child_run(&application_kind, name, mg_buffer_view(&encoded), &mark));
    if (snprintf(ret_upstream, MG_PATH, "unix:%s", application.socket) >= MG_PATH)
        return fail_with(TOO_LARGE, "path %s", application.socket);
    return OK;
}
