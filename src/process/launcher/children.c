#include "process/launcher/children.h"

#include "base/io.h"
#include "base/log.h"
#include "base/time.h"
#include "process/launcher/confine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
    CHILDREN_MOST = 2000,
    LIST_ROWS = 512, /* of one answer */
    REQUEST_MOST = 131072,
    DEATHS_REMEMBERED = 8,
    FLAP_WINDOW_MS = 60000, /* that many deaths within this are flapping */
    FLAP_WAIT_MS = 30000,
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MOST_MS = 1600, /* so that a killed child is back within 2 s */
    STOPPERS = 16,          /* stops at once: a thousand databases one after another would take minutes */
};

struct child {
    const struct child_kind *kind;
    char name[CHILD_NAME];
    struct mg_buffer request;
    struct mg_process_mark mark; /* pid 0: does not run */
    int pid_fd;                  /* pidfd of mark.pid, -1 if none */
    bool wanted;
    bool busy;       /* a thread starts or stops it: nobody else may touch it */
    bool stop_tried; /* in the end of everything */
    uint64_t restarts;
    mg_instant started_at;
    int64_t due_ms;                    /* monotonic; the next start */
    int64_t deaths[DEATHS_REMEMBERED]; /* monotonic, newest first, 0 none */
    struct child *next;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a child is no longer busy */
    struct child *first;
    size_t count;
    int wake_fd;
    char directory[MG_PATH];
    const struct child_kind *const *kinds;
    size_t kind_count;
    bool ending;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .wake_fd = -1};

static void
wake(void)
{
    const uint64_t one = 1;
    (void) !write(all.wake_fd, &one, sizeof one);
}

/* ---- what is remembered on tmpfs ------------------------------------------------------------ */

static struct mg_status
record_path(const struct child *child, const char *suffix, char path[MG_PATH])
{
    if (snprintf(path, MG_PATH, "%s/%s.%s.%s", all.directory, child->kind->label, child->name, suffix) >=
        MG_PATH)
        return fail_with(TOO_LARGE, "path for %s", child->name);
    return OK;
}

static struct mg_status
request_save(const struct child *child)
{
    char path[MG_PATH];
    TRY(record_path(child, "request", path));
    return mg_file_replace(path, mg_buffer_view(&child->request), 0600);
}

static void
records_remove(const struct child *child)
{
    static const char *const suffixes[] = {"request", "pid"};
    for (size_t i = 0; i < MG_COUNT(suffixes); i++) {
        char path[MG_PATH];
        if (mg_ok(record_path(child, suffixes[i], path)))
            (void) unlink(path);
    }
}

static pid_t
pid_recorded(const struct child *child)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 32);
    uint64_t pid = 0;
    if (!mg_ok(record_path(child, "pid", path)) || !mg_ok(mg_file_read(path, &text)) ||
        !mg_ok(mg_parse_u64(mg_buffer_view(&text), INT32_MAX, &pid)))
        return 0;
    return (pid_t) pid;
}

/* ---- one child ------------------------------------------------------------------------------ */

static void
child_mark_set(struct child *child, const struct mg_process_mark *mark)
{
    child->mark = *mark;
    child->pid_fd = (int) syscall(SYS_pidfd_open, mark->pid, 0);
    child->started_at = mg_now();
}

/* One that an earlier launcher started, or we did and forgot to note. */
static bool
child_adopt(struct child *child)
{
    struct mg_process_mark mark;
    const pid_t pid = pid_recorded(child);
    if (pid <= 0 || !mg_ok(mg_process_mark(pid, &mark)) ||
        !child->kind->is_it(mg_buffer_view(&child->request), pid))
        return false;
    child_mark_set(child, &mark);
    return true;
}

/* Without the lock, `busy` set. */
static struct mg_status
child_start(struct child *child)
{
    char path[MG_PATH];
    struct mg_process_mark mark;
    if (child_adopt(child)) {
        mg_log(MG_INFO, "%s %s runs already (pid %d): watching it", child->kind->label, child->name,
               (int) child->mark.pid);
        return OK;
    }
    TRY(record_path(child, "pid", path));
    OWN_FD pid_file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (pid_file < 0)
        return fail_errno("create %s", path);
    TRY(child->kind->start(mg_buffer_view(&child->request), pid_file, &mark));
    child_mark_set(child, &mark);
    mg_log(MG_INFO, "%s %s started (pid %d)", child->kind->label, child->name, (int) mark.pid);
    return OK;
}

/* How long to wait before the next start. */
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

/* With the lock held. */
static void
child_lost(struct child *child, const char *how, int number)
{
    const int64_t now_ms = mg_monotonic_ms();
    const int64_t wait_ms = backoff_ms(child, now_ms);
    mg_log(MG_WARNING, "%s %s (pid %d) %s %d; starting it again in %lld ms%s", child->kind->label,
           child->name, (int) child->mark.pid, how, number, (long long) wait_ms,
           wait_ms == FLAP_WAIT_MS ? " (it keeps ending: see its log)" : "");
    mg_fd_drop(&child->pid_fd);
    child->mark = (struct mg_process_mark){.pid = 0};
    child->restarts++;
    child->due_ms = now_ms + wait_ms;
}

/* With the lock held: has it ended? */
static void
child_check(struct child *child)
{
    if (child->mark.pid == 0)
        return;
    int status = 0;
    const pid_t reaped = waitpid(child->mark.pid, &status, WNOHANG);
    if (reaped == child->mark.pid)
        child_lost(child, WIFSIGNALED(status) ? "was ended by signal" : "ended with code",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    else if (reaped < 0 && !mg_process_alive(&child->mark))
        child_lost(child, "ended; errno of its wait", errno); /* another launcher's child */
}

/* ---- the table ------------------------------------------------------------------------------ */

/* With the lock held. */
static struct child *
child_find(const struct child_kind *kind, const char *name)
{
    for (struct child *child = all.first; child != NULL; child = child->next)
        if (child->kind == kind && strcmp(child->name, name) == 0)
            return child;
    return NULL;
}

/* With the lock held; waits while another thread works on it. */
static void
child_seize(struct child *child)
{
    while (child->busy)
        (void) pthread_cond_wait(&all.changed, &all.lock);
    child->busy = true;
}

static void
child_release(struct child *child)
{
    child->busy = false;
    (void) pthread_cond_broadcast(&all.changed);
}

/* With the lock held. Children are never freed: their number is bounded and their names come back. */
static struct mg_status
child_add(const struct child_kind *kind, const char *name, struct child **ret_child)
{
    if (all.count >= CHILDREN_MOST)
        return fail_with(BUSY, "%d programs", CHILDREN_MOST);
    struct child *child = calloc(1, sizeof *child);
    if (child == NULL)
        return fail(OUT_OF_MEMORY);
    child->kind = kind;
    child->pid_fd = -1;
    child->request = MG_BUFFER(REQUEST_MOST);
    const struct mg_status status = mg_view_copy(mg_view_text(name), child->name, sizeof child->name);
    if (!mg_ok(status)) {
        free(child);
        return status;
    }
    struct child **last = &all.first;
    while (*last != NULL)
        last = &(*last)->next;
    *last = child;
    all.count++;
    *ret_child = child;
    return OK;
}

/* Without the lock, `busy` set. */
static struct mg_status
child_want(struct child *child, struct mg_view request)
{
    if (!mg_view_equal(mg_buffer_view(&child->request), request)) {
        if (child->kind->restart_on_change && child->mark.pid != 0 && mg_process_alive(&child->mark))
            TRY(child->kind->stop(mg_buffer_view(&child->request), &child->mark));
        mg_buffer_clear(&child->request);
        TRY(mg_buffer_add(&child->request, request));
    }
    TRY(request_save(child));
    child->wanted = true;
    if (child->mark.pid != 0 && mg_process_alive(&child->mark))
        return OK;
    if (child->mark.pid != 0) /* ended a moment ago */
        (void) waitpid(child->mark.pid, NULL, WNOHANG);
    mg_fd_drop(&child->pid_fd);
    return child_start(child);
}

struct mg_status
child_run(const struct child_kind *kind, const char *name, struct mg_view request,
          struct mg_process_mark *ret_mark)
{
    (void) pthread_mutex_lock(&all.lock);
    struct child *child = child_find(kind, name);
    struct mg_status status = all.ending      ? fail_with(UNAVAILABLE, "stopping")
                              : child == NULL ? child_add(kind, name, &child)
                                              : OK;
    if (!mg_ok(status)) {
        (void) pthread_mutex_unlock(&all.lock);
        return status;
    }
    child_seize(child);
    child_check(child);
    (void) pthread_mutex_unlock(&all.lock);
    status = child_want(child, request);
    (void) pthread_mutex_lock(&all.lock);
    if (mg_ok(status))
        *ret_mark = child->mark;
    child_release(child);
    (void) pthread_mutex_unlock(&all.lock);
    wake();
    return status;
}

/* Without the lock, `busy` set. */
static struct mg_status
child_end(struct child *child)
{
    child->wanted = false;
    if (child->mark.pid == 0 && !child_adopt(child))
        return OK;
    if (!mg_process_alive(&child->mark))
        return OK;
    mg_log(MG_INFO, "stopping %s %s (pid %d)", child->kind->label, child->name, (int) child->mark.pid);
    return child->kind->stop(mg_buffer_view(&child->request), &child->mark);
}

static struct mg_status
child_end_seized(struct child *child)
{
    (void) pthread_mutex_unlock(&all.lock);
    const struct mg_status status = child_end(child);
    (void) pthread_mutex_lock(&all.lock);
    if (mg_ok(status)) {
        if (child->mark.pid != 0)
            (void) waitpid(child->mark.pid, NULL, WNOHANG);
        mg_fd_drop(&child->pid_fd);
        child->mark = (struct mg_process_mark){.pid = 0};
        records_remove(child);
    }
    child_release(child);
    return status;
}

struct mg_status
child_stop(const struct child_kind *kind, const char *name)
{
    struct mg_status status = OK;
    (void) pthread_mutex_lock(&all.lock);
    struct child *child = child_find(kind, name);
    if (child != NULL) {
        child_seize(child);
        status = child_end_seized(child);
    }
    (void) pthread_mutex_unlock(&all.lock);
    return status;
}

struct mg_status
child_interrupt(const struct child_kind *kind, const char *name, int64_t hold_ms)
{
    struct mg_status status = fail_with(NOT_FOUND, "%s %s does not run", kind->label, name);
    (void) pthread_mutex_lock(&all.lock);
    struct child *child = all.ending ? NULL : child_find(kind, name);
    if (child != NULL) {
        child_seize(child);
        if (child->mark.pid != 0 && mg_process_alive(&child->mark)) {
            (void) pthread_mutex_unlock(&all.lock);
            status = kind->stop(mg_buffer_view(&child->request), &child->mark);
            (void) pthread_mutex_lock(&all.lock);
        }
        if (mg_ok(status)) {
            (void) waitpid(child->mark.pid, NULL, WNOHANG);
            mg_fd_drop(&child->pid_fd);
            child->mark = (struct mg_process_mark){.pid = 0};
            child->restarts++;
            child->due_ms = mg_monotonic_ms() + hold_ms;
        }
        child_release(child);
    }
    (void) pthread_mutex_unlock(&all.lock);
    wake();
    return status;
}

void
child_hurry(const struct child_kind *kind, const char *name)
{
    (void) pthread_mutex_lock(&all.lock);
    struct child *child = child_find(kind, name);
    if (child != NULL && child->mark.pid == 0)
        child->due_ms = 0;
    (void) pthread_mutex_unlock(&all.lock);
    wake();
}

struct mg_status
child_find_request(const struct child_kind *kind, bool (*is_it)(struct mg_view request),
                   char name[CHILD_NAME / 2])
{
    struct mg_status status = fail_with(NOT_FOUND, "such a %s", kind->label);
    (void) pthread_mutex_lock(&all.lock);
    for (const struct child *child = all.first; child != NULL && !mg_ok(status); child = child->next)
        if (child->kind == kind && !child->busy && is_it(mg_buffer_view(&child->request)))
            status = mg_view_copy(mg_view_text(child->name), name, CHILD_NAME / 2);
    (void) pthread_mutex_unlock(&all.lock);
    return status;
}

struct mg_status
child_mark(const struct child_kind *kind, const char *name, struct mg_process_mark *ret_mark)
{
    struct mg_status status = fail_with(NOT_FOUND, "%s %s does not run", kind->label, name);
    (void) pthread_mutex_lock(&all.lock);
    const struct child *child = child_find(kind, name);
    if (child != NULL && child->mark.pid != 0 && mg_process_alive(&child->mark)) {
        *ret_mark = child->mark;
        status = OK;
    }
    (void) pthread_mutex_unlock(&all.lock);
    return status;
}

/* Takes the children of a kind that no other of these threads has taken; none is added any more. */
static void *
kind_stop_run(void *argument)
{
    const struct child_kind *kind = argument;
    (void) pthread_mutex_lock(&all.lock);
    for (struct child *child = all.first; child != NULL; child = child->next) {
        if (child->kind != kind || child->stop_tried)
            continue;
        child->stop_tried = true;
        child_seize(child);
        const struct mg_status status = child_end_seized(child);
        if (!mg_ok(status))
            mg_log_status(MG_ERROR, child->name, status);
    }
    (void) pthread_mutex_unlock(&all.lock);
    return NULL;
}

static void
kind_stop(const struct child_kind *kind)
{
    pthread_t threads[STOPPERS];
    size_t started = 0;
    while (started < STOPPERS &&
           pthread_create(&threads[started], NULL, kind_stop_run, (void *) (uintptr_t) kind) == 0)
        started++;
    (void) kind_stop_run((void *) (uintptr_t) kind);
    while (started > 0)
        mg_must(pthread_join(threads[--started], NULL) == 0);
}

void
children_stop_all(void)
{
    (void) pthread_mutex_lock(&all.lock);
    all.ending = true;
    (void) pthread_mutex_unlock(&all.lock);
    for (size_t i = 0; i < all.kind_count; i++)
        kind_stop(all.kinds[i]);
}

struct mg_status
children_list(uint64_t from, struct mg_buffer *list)
{
    struct mg_status status = OK;
    uint64_t at = 0;
    (void) pthread_mutex_lock(&all.lock);
    for (const struct child *child = all.first; child != NULL && mg_ok(status); child = child->next) {
        if (at++ < from)
            continue;
        if (at > from + LIST_ROWS)
            break;
        char name[CHILD_NAME + 32];
        (void) snprintf(name, sizeof name, "%s %s", child->kind->label, child->name);
        const struct mg_record_child_state record = {
            .name = mg_view_text(name),
            .state = mg_view_text(child->mark.pid != 0 ? "running"
                                  : child->wanted      ? "waiting"
                                                       : "stopped"),
            .pid = (uint64_t) child->mark.pid,
            .restarts = child->restarts,
            .started_at = child->started_at,
        };
        status = mg_list_add_child_state(list, &record);
    }
    (void) pthread_mutex_unlock(&all.lock);
    return status;
}

/* ---- the thread that watches ----------------------------------------------------------------- */

/* With the lock held: the one that should be started now, NULL if none; shortens *wait_ms to the next. */
static struct child *
child_due(int64_t *wait_ms)
{
    const int64_t now_ms = mg_monotonic_ms();
    for (struct child *child = all.first; child != NULL; child = child->next) {
        if (!child->wanted || child->busy || child->mark.pid != 0)
            continue;
        if (child->due_ms <= now_ms)
            return child;
        if (child->due_ms - now_ms < *wait_ms)
            *wait_ms = child->due_ms - now_ms;
    }
    return NULL;
}

/* With the lock held. */
static void
child_restart(struct child *child)
{
    child->busy = true;
    (void) pthread_mutex_unlock(&all.lock);
    const struct mg_status status = child_start(child);
    (void) pthread_mutex_lock(&all.lock);
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, child->name, status);
        child->due_ms = mg_monotonic_ms() + BACKOFF_MOST_MS;
    }
    child_release(child);
}

static size_t
descriptors_collect(struct pollfd waits[CHILDREN_MOST + 1])
{
    size_t count = 1;
    waits[0] = (struct pollfd){.fd = all.wake_fd, .events = POLLIN};
    for (const struct child *child = all.first; child != NULL; child = child->next)
        if (child->pid_fd >= 0 && !child->busy)
            waits[count++] = (struct pollfd){.fd = child->pid_fd, .events = POLLIN};
    return count;
}

static void *
watch_thread(void *unused)
{
    static struct pollfd waits[CHILDREN_MOST + 1];
    for (;;) {
        int64_t wait_ms = 1000;
        (void) pthread_mutex_lock(&all.lock);
        if (all.ending) {
            (void) pthread_mutex_unlock(&all.lock);
            return unused;
        }
        for (struct child *child = all.first; child != NULL; child = child->next)
            if (!child->busy)
                child_check(child);
        for (struct child *due = child_due(&wait_ms); due != NULL; due = child_due(&wait_ms))
            child_restart(due);
        const size_t count = descriptors_collect(waits);
        (void) pthread_mutex_unlock(&all.lock);
        /* A descriptor that is closed meanwhile only wakes us early. */
        if (poll(waits, count, (int) wait_ms) > 0 && (waits[0].revents & POLLIN) != 0) {
            uint64_t ignored;
            (void) !read(all.wake_fd, &ignored, sizeof ignored);
        }
    }
}

/* ---- start ----------------------------------------------------------------------------------- */

/* "LABEL.NAME.request" of an earlier launcher. */
static void
child_recall(const struct child_kind *kind, const char *file)
{
    const size_t label = strlen(kind->label), length = strlen(file), suffix = strlen(".request");
    char name[CHILD_NAME], path[MG_PATH];
    if (strncmp(file, kind->label, label) != 0 || file[label] != '.' || length < label + 2 + suffix ||
        strcmp(file + length - suffix, ".request") != 0)
        return;
    struct child *child = NULL;
    struct mg_status status =
        mg_view_copy(mg_view_of(file + label + 1, length - suffix - label - 1), name, sizeof name);
    if (mg_ok(status))
        status = mg_path_join(path, all.directory, file);
    if (mg_ok(status))
        status = child_add(kind, name, &child);
    if (mg_ok(status))
        status = mg_file_read(path, &child->request);
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, file, status);
        return;
    }
    child->wanted = true; /* the watching thread adopts or starts it */
}

struct mg_status
children_open(const char *runtime_directory, const struct child_kind *const *kinds, size_t kind_count)
{
    TRY(mg_path_join(all.directory, runtime_directory, "launcher"));
    TRY(mg_directory_make(all.directory, 0700));
    all.kinds = kinds;
    all.kind_count = kind_count;
    all.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (all.wake_fd < 0)
        return fail_errno("eventfd");
    DIR *directory = opendir(all.directory);
    if (directory == NULL)
        return fail_errno("read %s", all.directory);
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        for (size_t i = 0; i < kind_count; i++)
            child_recall(kinds[i], entry->d_name);
    (void) closedir(directory);
    pthread_t thread;
    if (pthread_create(&thread, NULL, watch_thread, NULL) != 0)
        return fail_with(SYSTEM, "cannot start a thread");
    (void) pthread_detach(thread);
    return OK;
}

bool
child_prepare(void *preparation)
{
    const struct child_preparation *prepared = preparation;
    /* snprintf is not for here (after fork, with threads): digits by hand. */
    char digits[16];
    size_t at = sizeof digits;
    for (pid_t left = getpid(); left > 0; left /= 10)
        digits[--at] = (char) ('0' + left % 10);
    const size_t length = sizeof digits - at;
    return write(prepared->pid_fd, digits + at, length) == (ssize_t) length &&
           confine_enter(prepared->rules_fd);
}
