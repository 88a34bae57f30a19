#include "base/io.h"
#include "base/log.h"
#include "ports/packet.h"
#include "process/warden/warden.h"
#include "wire/events.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANNEL_FD 3
#define SEND_MS 200
#define LAUNCHER_STOP_MS 120000 /* a thousand databases end in this time */
#define PING_EVERY_MS 10000
#define PINGS_MOST 6 /* unanswered in a row: it hangs */
#define DEATHS_REMEMBERED 10
#define FLAP_WINDOW_MS 60000 /* DEATHS_REMEMBERED deaths within this are flapping: slow down */
#define FLAP_WAIT_MS 30000
#define BACKOFF_FIRST_MS 50
#define ORPHANS_MS 2000      /* then SIGKILL */
#define BACKOFF_MOST_MS 1500 /* so that a killed process is back within 2 s */

enum state { ABSENT, STARTING, RUNNING, WAITING, FLAPPING, ENDED };
static const char *const state_names[] = {"absent", "starting", "running", "waiting", "flapping", "ended"};

static struct child {
    enum mg_process process;
    enum state state;
    pid_t pid;
    int pid_fd, channel;
    bool exit_seen;
    uint64_t restarts;
    mg_instant started_at;
    int64_t due_ms;                    /* monotonic; when WAITING or FLAPPING */
    int64_t deaths[DEATHS_REMEMBERED]; /* monotonic, newest first, 0 none */
    bool seccomp;
    uint64_t landlock;
    int64_t pinged_ms; /* monotonic */
    unsigned pings;    /* without an answer */
    /* Distinct addresses that tell the event loop which descriptor woke. */
    char pid_token, channel_token;
} children[MG_PROCESS_COUNT];

static const struct {
    enum mg_process a, b;
} wires[] = {
#define PROCESS(...)
#define WIRE(one, other) {MG_##one, MG_##other},
#include "../../../catalogue/processes.def"
#undef PROCESS
#undef WIRE
};

static bool
is_ours(int process)
{
    return process != MG_WARDEN && process != MG_CLI;
}

static bool
are_wired(enum mg_process one, enum mg_process other)
{
    for (size_t i = 0; i < MG_COUNT(wires); i++)
        if ((wires[i].a == one && wires[i].b == other) || (wires[i].a == other && wires[i].b == one))
            return true;
    return false;
}

/* What strangers send is read here first: browsers' requests, answers of applications, of our front door. */
static bool
is_exposed(enum mg_process process)
{
    return process == MG_PORTAL || process == MG_FEDERATION || process == MG_WATCH || process == MG_PROBER;
}

/* ---- the child's side of fork ---- */

__attribute__((noreturn)) static void
child_exec(const struct warden *warden, enum mg_process process, int channel, int log_fd, uid_t uid,
           gid_t gid, const gid_t *groups, size_t group_count)
{
    char program[MG_PATH];
    const int null_fd = open("/dev/null", O_RDWR);
    const int length = snprintf(program, sizeof program, "%s/masugata-%s", warden->program_directory,
                                mg_process_name(process));
    sigset_t none;
    (void) sigemptyset(&none);
    const struct rlimit no_core = {0, 0};
    if (length <= 0 || length >= (int) sizeof program || null_fd < 0 || dup2(null_fd, 0) < 0 ||
        dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0 || dup2(channel, CHANNEL_FD) < 0 ||
        sigprocmask(SIG_SETMASK, &none, NULL) != 0 || syscall(SYS_close_range, CHANNEL_FD + 1, ~0U, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &no_core) != 0)
        _exit(127);
    if (geteuid() == 0 && uid != 0) {
        /* The authority writes into a directory that nginx workers read through their group. */
        if (setgroups(group_count, groups) != 0 || setresgid(gid, gid, gid) != 0 ||
            setresuid(uid, uid, uid) != 0)
            _exit(127);
    }
    (void) umask(0027);
    char *arguments[] = {program, NULL};
    char *environment[] = {(char *) (uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                           (char *) (uintptr_t) "LC_ALL=C.UTF-8", (char *) (uintptr_t) "TZ=UTC", NULL};
    (void) execve(program, arguments, environment);
    (void) fprintf(stderr, "cannot run %s: %s\n", program, strerror(errno));
    _exit(127);
}

static CHECKED struct mg_status
log_open(const struct warden *warden, enum mg_process process, int *ret_fd)
{
    char name[64], path[MG_PATH];
    (void) snprintf(name, sizeof name, "log/%s.log", mg_process_name(process));
    TRY(mg_path_join(path, warden->deployment.state, name));
    const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return fail_errno("log %s", path);
    /* The prober looks for secrets in all of them. */
    uid_t unused;
    gid_t readers;
    const struct mg_status known = warden_identity(MG_PROBER, &unused, &readers);
    if (!mg_ok(known) || (geteuid() == 0 && fchown(fd, (uid_t) -1, readers) != 0)) {
        (void) close(fd);
        return mg_ok(known) ? fail_errno("group of %s", path) : known;
    }
    *ret_fd = fd;
    return OK;
}

/* ---- messages on the channel ---- */

static CHECKED struct mg_status
configure_send(const struct warden *warden, const struct child *child)
{
    OWN_BUFFER(list, 122880);
    OWN_BUFFER(packet, MG_PACKET_MOST + MG_PACKET_HEADER);
    for (size_t i = 0; i < mg_option_count; i++) {
        const struct mg_option_row *row = &mg_option_rows[i];
        if ((row->readers & (1U << child->process)) == 0)
            continue;
        OWN_BUFFER(value, 4096);
        TRY(mg_option_text(warden->options, row, &value));
        const struct mg_record_option_value record = {.keyword = mg_view_text(row->keyword),
                                                      .value = mg_buffer_view(&value)};
        TRY(mg_list_add_option_value(&list, &record));
    }
    const struct mg_request_configure request = {
        .directory = mg_view_text(warden->deployment.state),
        .runtime_directory = mg_view_text(warden->deployment.run),
        .options = {.bytes = mg_buffer_view(&list)},
    };
    TRY(mg_packet_begin(&packet, MG_REQUEST_configure, 1));
    TRY(mg_encode_request_configure(&request, &packet));
    return mg_packet_send(child->channel, &packet, -1, SEND_MS);
}

static CHECKED struct mg_status
attach_send(const struct child *child, enum mg_process peer, int fd)
{
    OWN_BUFFER(packet, 256);
    const struct mg_request_peer_attach request = {.peer = (uint64_t) peer};
    TRY(mg_packet_begin(&packet, MG_REQUEST_peer_attach, 2));
    TRY(mg_encode_request_peer_attach(&request, &packet));
    return mg_packet_send(child->channel, &packet, fd, SEND_MS);
}

/* A fresh pair between a child and each running peer; the old pair of the peer closes by itself. */
static CHECKED struct mg_status
peers_attach(struct child *child)
{
    for (size_t i = 0; i < MG_COUNT(wires); i++) {
        if (wires[i].a != child->process && wires[i].b != child->process)
            continue;
        struct child *peer = &children[wires[i].a == child->process ? wires[i].b : wires[i].a];
        if (peer->state != STARTING && peer->state != RUNNING)
            continue;
        int pair[2];
        TRY(mg_packet_pair(pair));
        const struct mg_status status = attach_send(child, peer->process, pair[0]);
        const struct mg_status other =
            mg_ok(status) ? attach_send(peer, child->process, pair[1]) : fail(UNAVAILABLE);
        (void) close(pair[0]);
        (void) close(pair[1]);
        TRY(status);
        if (mg_ok(other))
            continue;
        /* It is the peer that does not read: its place is taken anew, and it meets this child then. */
        mg_log_status(MG_ERROR, mg_process_name(peer->process), other);
        (void) kill(peer->pid, SIGKILL);
    }
    return OK;
}

/* ---- records ---- */

/* What happened to processes, for the audit log; kept while audit itself is away. The oldest is
 * dropped when there is no room, and the service log has every line anyway. */
#define RECORDS_MOST 128
static struct record {
    enum mg_event event;
    char operator_id[24], target[128], reason[128], before[1024], now[1024];
} records[RECORDS_MOST];
static size_t record_count;

static CHECKED struct mg_status
detail_add(struct mg_buffer *details, const char *key, const char *value)
{
    return mg_list_add_audit_detail(
        details, &(struct mg_record_audit_detail){.key = mg_view_text(key), .value = mg_view_text(value)});
}

static CHECKED struct mg_status
record_send(const struct record *record)
{
    OWN_BUFFER(packet, 8192);
    OWN_BUFFER(details, 4096);
    const bool operator= record->operator_id[0] != '\0';
    if (record->before[0] != '\0' || record->now[0] != '\0') {
        TRY(detail_add(&details, "before", record->before));
        TRY(detail_add(&details, "now", record->now));
    }
    const struct mg_request_audit_append request = {
        .event = (uint64_t) record->event,
        .actor_kind = operator? MG_ACTOR_OPERATOR : MG_ACTOR_PROCESS,
        .actor_id = mg_view_text(operator? record->operator_id : "warden"),
        .actor_name = mg_view_text(operator? "command line" : ""),
        .target = mg_view_text(record->target),
        .outcome = MG_AUDIT_SUCCESS,
        .reason = mg_view_text(record->reason),
        .details = {.bytes = mg_buffer_view(&details)},
    };
    TRY(mg_packet_begin(&packet, MG_REQUEST_audit_append, 3));
    TRY(mg_encode_request_audit_append(&request, &packet));
    return mg_packet_send(children[MG_AUDIT].channel, &packet, -1, SEND_MS);
}

static void
records_flush(void)
{
    size_t sent = 0;
    while (children[MG_AUDIT].state == RUNNING && sent < record_count && mg_ok(record_send(&records[sent])))
        sent++;
    memmove(records, records + sent, (record_count - sent) * sizeof records[0]);
    record_count -= sent;
}

/* Cut to whole characters. */
static void
text_keep(struct mg_view text, char *kept, size_t size)
{
    size_t length = text.length < size ? text.length : size - 1;
    while (length < text.length && length > 0 && (text.bytes[length] & 0xC0) == 0x80)
        length--;
    if (length != 0)
        memcpy(kept, text.bytes, length);
    kept[length] = '\0';
}

void
children_record(const struct warden_record *record)
{
    if (record_count == RECORDS_MOST) {
        memmove(records, records + 1, (RECORDS_MOST - 1) * sizeof records[0]);
        record_count--;
    }
    struct record *kept = &records[record_count++];
    kept->event = record->event;
    text_keep(mg_view_text(record->operator_id), kept->operator_id, sizeof kept->operator_id);
    text_keep(mg_view_text(record->target), kept->target, sizeof kept->target);
    text_keep(mg_view_text(record->reason), kept->reason, sizeof kept->reason);
    text_keep(record->before, kept->before, sizeof kept->before);
    text_keep(record->now, kept->now, sizeof kept->now);
    records_flush();
}

bool
children_records_wait(void)
{
    return record_count != 0;
}

static void
record_add(enum mg_event event, enum mg_process process, const char *reason)
{
    children_record(
        &(struct warden_record){.event = event, .target = mg_process_name(process), .reason = reason});
}

/* ---- start ---- */

static CHECKED struct mg_status
watch(const struct warden *warden, int fd, void *token)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = token};
    if (epoll_ctl(warden->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return fail_errno("epoll_ctl");
    return OK;
}

static CHECKED struct mg_status
child_start(const struct warden *warden, struct child *child)
{
    uid_t uid;
    gid_t gid, groups[WARDEN_GROUPS] = {0};
    size_t group_count = 0;
    int pair[2];
    OWN_FD log_fd = -1;
    TRY(warden_identity(child->process, &uid, &gid));
    TRY(warden_groups(child->process, groups, &group_count));
    TRY(log_open(warden, child->process, &log_fd));
    TRY(mg_packet_pair(pair));
    const pid_t pid = fork();
    if (pid == 0)
        child_exec(warden, child->process, pair[1], log_fd, uid, gid, groups, group_count);
    (void) close(pair[1]);
    if (pid < 0) {
        (void) close(pair[0]);
        return fail_errno("fork");
    }
    child->pid = pid;
    child->channel = pair[0];
    child->pid_fd = (int) syscall(SYS_pidfd_open, pid, 0);
    child->exit_seen = false;
    child->state = STARTING;
    child->started_at = mg_now();
    child->seccomp = false;
    child->landlock = 0;
    child->pings = 0;
    child->pinged_ms = mg_monotonic_ms();
    if (child->pid_fd < 0)
        return fail_errno("pidfd_open");
    TRY(watch(warden, child->pid_fd, &child->pid_token));
    TRY(watch(warden, child->channel, &child->channel_token));
    TRY(configure_send(warden, child));
    return peers_attach(child);
}

static void
child_try_start(const struct warden *warden, struct child *child)
{
    const struct mg_status status = child_start(warden, child);
    if (mg_ok(status))
        return;
    mg_log_status(MG_ERROR, mg_process_name(child->process), status);
    if (child->state == STARTING)
        (void) kill(child->pid, SIGKILL); /* its end is seen and counted like any other */
    else {
        child->state = WAITING;
        child->due_ms = mg_monotonic_ms() + BACKOFF_MOST_MS;
    }
}

/* ---- end ---- */

/* How long to wait before the next start, from the deaths in the window. */
static int64_t
backoff_ms(struct child *child, int64_t now_ms)
{
    memmove(child->deaths + 1, child->deaths, sizeof child->deaths - sizeof child->deaths[0]);
    child->deaths[0] = now_ms;
    unsigned recent = 1; /* this one */
    while (recent < DEATHS_REMEMBERED && child->deaths[recent] != 0 &&
           now_ms - child->deaths[recent] < FLAP_WINDOW_MS)
        recent++;
    if (recent >= DEATHS_REMEMBERED)
        return FLAP_WAIT_MS;
    const int64_t wait_ms = (int64_t) BACKOFF_FIRST_MS << (recent - 1);
    return wait_ms < BACKOFF_MOST_MS ? wait_ms : BACKOFF_MOST_MS;
}

/* Control: MONITORING_07 */
static void
child_ended(const struct warden *warden, struct child *child)
{
    int status = 0;
    if (child->exit_seen || waitpid(child->pid, &status, WNOHANG) != child->pid)
        return;
    child->exit_seen = true;
    (void) close(child->pid_fd);
    (void) close(child->channel);
    child->pid_fd = child->channel = -1;
    const pid_t pid = child->pid;
    child->pid = 0;
    if (warden->stop_asked) {
        child->state = ENDED;
        return;
    }
    const int64_t now_ms = mg_monotonic_ms();
    const int64_t wait_ms = backoff_ms(child, now_ms);
    child->state = wait_ms >= FLAP_WAIT_MS ? FLAPPING : WAITING;
    child->due_ms = now_ms + wait_ms;
    child->restarts++;
    char reason[128];
    (void) snprintf(reason, sizeof reason, "%s %d; starting it again in %lld ms%s",
                    WIFSIGNALED(status) ? "ended by signal" : "ended with code",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (long long) wait_ms,
                    child->state == FLAPPING ? " (it keeps ending: see its log)" : "");
    mg_log(MG_WARNING, "%s (pid %d) %s", mg_process_name(child->process), (int) pid, reason);
    record_add(MG_EVENT_process_end, child->process, reason);
}

/* The prober asks for the same table as the CLI does. */
static CHECKED struct mg_status
status_answer(const struct warden *warden, const struct child *child, uint64_t call_id)
{
    OWN_BUFFER(packet, MG_PACKET_MOST);
    TRY(warden_status_reply(warden, call_id, &packet));
    return mg_packet_send(child->channel, &packet, -1, SEND_MS);
}

/* Who gets a packet that is not its row says so, and the sender is replaced. Only who has a socket to the
 * sender can have got one; and a process that strangers reach does not decide over one that they do not:
 * what it says costs its own place, and both get a new socket that way too. */
static void
poisoned_by(const struct child *child, enum mg_process accused)
{
    const enum mg_process replaced = is_exposed(child->process) ? child->process : accused;
    mg_log(MG_ERROR, "%s sent %s a message that is not its row; replacing %s", mg_process_name(accused),
           mg_process_name(child->process), mg_process_name(replaced));
    record_add(MG_EVENT_message_poisoned, accused, mg_process_name(child->process));
    if (children[replaced].pid > 0)
        (void) kill(children[replaced].pid, SIGKILL);
}

static void
channel_read(const struct warden *warden, struct child *child)
{
    static uint8_t storage[MG_PACKET_MOST + MG_PACKET_HEADER];
    struct mg_packet packet;
    const struct mg_status status = mg_packet_receive(child->channel, storage, sizeof storage, &packet);
    if (status.code == MG_UNAVAILABLE) {
        /* Its end is reported by the pidfd. One that closed its channel and lives on obeys nobody. */
        (void) epoll_ctl(warden->epoll_fd, EPOLL_CTL_DEL, child->channel, NULL);
        (void) kill(child->pid, SIGKILL);
        return;
    }
    struct mg_reply_configure configured;
    struct mg_request_peer_poisoned poisoned;
    if (mg_ok(status) && packet.fd >= 0)
        (void) close(packet.fd);
    if (mg_ok(status) && packet.kind == MG_REPLY_configure &&
        mg_ok(mg_decode_reply_configure(packet.fields, &configured))) {
        child->state = RUNNING;
        child->seccomp = configured.seccomp_active;
        child->landlock = configured.landlock_abi;
        mg_log(MG_INFO, "%s runs (pid %d, seccomp %s, landlock %llu)", mg_process_name(child->process),
               (int) child->pid, configured.seccomp_active ? "on" : "off",
               (unsigned long long) configured.landlock_abi);
        record_add(MG_EVENT_process_start, child->process, child->restarts == 0 ? "" : "again");
    } else if (mg_ok(status) && packet.kind == MG_REQUEST_warden_status && child->process == MG_PROBER &&
               packet.fields.length == 0) {
        const struct mg_status sent = status_answer(warden, child, packet.call_id);
        if (!mg_ok(sent))
            mg_log_status(MG_WARNING, "status for the prober", sent);
    } else if (mg_ok(status) && packet.kind == MG_REQUEST_peer_poisoned &&
               mg_ok(mg_decode_request_peer_poisoned(packet.fields, &poisoned)) &&
               poisoned.peer < MG_PROCESS_COUNT &&
               are_wired(child->process, (enum mg_process) poisoned.peer)) {
        poisoned_by(child, (enum mg_process) poisoned.peer);
    } else if (mg_ok(status) && packet.kind == MG_REPLY_ping) {
        child->pings = 0;
    } else if (!mg_ok(status) || (packet.kind != MG_REPLY_failed && packet.kind != MG_REPLY_audit_append)) {
        mg_log(MG_ERROR, "%s sent the warden something else; replacing it", mg_process_name(child->process));
        (void) kill(child->pid, SIGKILL);
    }
}

/* Programs of a launcher that died are ours now. Their ends must be taken: PostgreSQL holds a
 * zombie postmaster for a living one and would not start again. */
static void
orphans_reap(void)
{
    for (;;) {
        siginfo_t ended = {.si_pid = 0};
        if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0)
            return;
        for (int process = 0; process < MG_PROCESS_COUNT; process++)
            if (children[process].pid == ended.si_pid)
                return; /* its pidfd reports it; the rest is seen after that */
        (void) waitpid(ended.si_pid, NULL, WNOHANG);
    }
}

/* ---- outside ---- */

struct mg_status
children_start(struct warden *warden)
{
    for (int process = 0; process < MG_PROCESS_COUNT; process++)
        children[process] = (struct child){.process = (enum mg_process) process, .pid_fd = -1, .channel = -1};
    record_add(MG_EVENT_system_start, MG_WARDEN, MG_VERSION);
    for (int process = 0; process < MG_PROCESS_COUNT; process++) {
        if (!is_ours(process))
            continue;
        /* A process that is not installed is a broken installation: said once, at start. */
        char name[64], path[MG_PATH];
        (void) snprintf(name, sizeof name, "masugata-%s", mg_process_name((enum mg_process) process));
        TRY(mg_path_join(path, warden->program_directory, name));
        if (access(path, X_OK) != 0)
            mg_log(MG_ERROR, "program %s is not installed; that part stays absent", path);
        else
            child_try_start(warden, &children[process]);
    }
    return OK;
}

bool
children_event(struct warden *warden, const void *token)
{
    for (int process = 0; process < MG_PROCESS_COUNT; process++) {
        struct child *child = &children[process];
        if (token == &child->pid_token) {
            child_ended(warden, child);
            return true;
        }
        if (token == &child->channel_token) {
            if (child->channel >= 0)
                channel_read(warden, child);
            return true;
        }
    }
    return false;
}

void
children_reap(struct warden *warden)
{
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        struct child *own = NULL;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
            return;
        for (int process = 0; process < MG_PROCESS_COUNT; process++)
            if (children[process].pid == info.si_pid)
                own = &children[process];
        if (own != NULL)
            child_ended(warden, own);
        else
            (void) waitpid(info.si_pid, NULL, WNOHANG);
    }
}

/* A process whose reading thread answers no more is as good as ended. Counted in pings, not in time, so that
 * a machine that slept accuses nobody. */
static void
child_ping(struct child *child)
{
    OWN_BUFFER(packet, 64);
    if (child->state != RUNNING || mg_monotonic_ms() - child->pinged_ms < PING_EVERY_MS)
        return;
    child->pinged_ms = mg_monotonic_ms();
    if (child->pings >= PINGS_MOST) {
        mg_log(MG_ERROR, "%s (pid %d) has not answered for %d s; replacing it",
               mg_process_name(child->process), (int) child->pid, PINGS_MOST * PING_EVERY_MS / 1000);
        (void) kill(child->pid, SIGKILL);
        return;
    }
    child->pings++;
    struct mg_status status = mg_packet_begin(&packet, MG_REQUEST_ping, 4);
    if (mg_ok(status))
        status = mg_encode_request_ping(&(struct mg_request_ping){0}, &packet);
    if (mg_ok(status))
        status = mg_packet_send(child->channel, &packet, -1, SEND_MS);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, mg_process_name(child->process), status);
}

int
children_tick(struct warden *warden)
{
    int64_t next_ms = 1000;
    records_flush();
    children_reap(warden); /* a signal may have come while another was pending */
    for (int process = 0; process < MG_PROCESS_COUNT; process++)
        child_ping(&children[process]);
    for (int process = 0; process < MG_PROCESS_COUNT && !warden->stop_asked; process++) {
        struct child *child = &children[process];
        if (child->state != WAITING && child->state != FLAPPING)
            continue;
        const int64_t left_ms = child->due_ms - mg_monotonic_ms();
        if (left_ms <= 0)
            child_try_start(warden, child);
        else if (left_ms < next_ms)
            next_ms = left_ms;
    }
    return (int) next_ms;
}

/* Waits for one process to end; SIGKILL when its time is over. */
static void
child_stop_wait(const struct warden *warden, struct child *child, int64_t deadline_ms)
{
    while (child->pid > 0) {
        orphans_reap();
        child_ended(warden, child);
        if (child->pid > 0 && mg_monotonic_ms() > deadline_ms) {
            mg_log(MG_WARNING, "%s does not stop; killing it", mg_process_name(child->process));
            (void) kill(child->pid, SIGKILL);
            deadline_ms = INT64_MAX;
        }
        if (child->pid > 0)
            (void) usleep(5000);
    }
}

/* Whoever is still below us was started by a process of ours that died, such as an nginx worker that finishes
 * a request: after a stop nothing of the deployment runs. */
static bool
orphans_signal(int number)
{
    char path[64];
    OWN_BUFFER(list, 65536);
    (void) snprintf(path, sizeof path, "/proc/self/task/%d/children", (int) getpid());
    if (!mg_ok(mg_file_read(path, &list)))
        return false;
    const char *text = mg_buffer_text(&list);
    bool any = false;
    for (char *end = NULL;; text = end) {
        const long pid = strtol(text, &end, 10);
        if (end == text)
            return any;
        any = kill((pid_t) pid, number) == 0 || any;
    }
}

static void
orphans_end(void)
{
    const int64_t from_ms = mg_monotonic_ms();
    orphans_reap();
    for (int64_t ms = 0; ms < 2 * ORPHANS_MS; ms = mg_monotonic_ms() - from_ms) {
        if (!orphans_signal(ms < ORPHANS_MS ? SIGTERM : SIGKILL))
            return;
        (void) usleep(20000);
        orphans_reap();
    }
}

void
children_stop(struct warden *warden)
{
    /* Who uses a service stops before it: pages and jobs, then nginx and PostgreSQL, then the log
     * that records their end, then the keys. */
    static const enum mg_process last[] = {MG_LAUNCHER, MG_AUDIT, MG_KEYS};
    warden->stop_asked = true;
    record_add(MG_EVENT_system_stop, MG_WARDEN, "");
    for (int process = 0; process < MG_PROCESS_COUNT; process++)
        if (children[process].pid > 0 && process != MG_LAUNCHER && process != MG_AUDIT && process != MG_KEYS)
            (void) kill(children[process].pid, SIGTERM);
    for (int process = 0; process < MG_PROCESS_COUNT; process++)
        if (process != MG_LAUNCHER && process != MG_AUDIT && process != MG_KEYS)
            child_stop_wait(warden, &children[process], mg_monotonic_ms() + 5000);
    for (size_t i = 0; i < MG_COUNT(last); i++) {
        struct child *child = &children[last[i]];
        if (child->pid > 0)
            (void) kill(child->pid, SIGTERM);
        child_stop_wait(warden, child,
                        mg_monotonic_ms() + (last[i] == MG_LAUNCHER ? LAUNCHER_STOP_MS : 5000));
    }
    orphans_end();
}

struct mg_status
children_describe(struct mg_buffer *list)
{
    for (int process = 0; process < MG_PROCESS_COUNT; process++) {
        const struct child *child = &children[process];
        if (!is_ours(process))
            continue;
        const struct mg_record_process_state record = {
            .name = mg_view_text(mg_process_name(child->process)),
            .state = mg_view_text(state_names[child->state]),
            .pid = (uint64_t) child->pid,
            .restarts = child->restarts,
            .started_at = child->started_at,
            .seccomp = child->seccomp,
            .landlock = child->landlock,
        };
        TRY(mg_list_add_process_state(list, &record));
    }
    return OK;
}
