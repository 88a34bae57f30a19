/* The way of an event: queue, group, disk, signature, answer, files. Four threads, so that one group is
 * encrypted while the disk syncs the one before, keys signs (and syncs) the one before that, and the
 * published files follow behind:
 *
 *   sequencer  takes what waits, encrypts, adds to the tree, cuts a group
 *   committer  journal, fdatasync
 *   signer     keys checks, writes down, signs; then the answers
 *   publisher  tiles and checkpoint of the newest signed group
 *
 * Groups go through in order. An answer is given when the record is durable and in a signed tree;
 * whoever reads through this process waits until what was answered before is published. */
#include "base/log.h"
#include "base/secret.h"
#include "ports/log_store.h"
#include "process/audit/audit.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define QUEUE_MOST 16384
#define GROUP_MS 5                     /* how long a group is collected while many come */
#define GROUP_BYTES ((size_t) 1 << 20) /* or until it has this many */
#define GROUP_FEW 8                    /* after a group this small the next is not waited for */
#define GROUP_MOST 4096
#define GROUPS 4        /* on their way between queue and answer */
#define COMMITS_AHEAD 2 /* cut before they are durable: one at the disk, one ready */
#define PUBLISH_MS \
    50 /* between two publications: groups share them. Files made and removed cost more than all else. */
#define UNPUBLISHED_MOST 65536 /* entries; beyond it the disk is waited for */
#define READ_PATIENCE_MS 2000
#define SIGN_TIMEOUT_MS 10000
#define SIGN_PATIENCE_MS 15000 /* keys is back within 2 s of a crash */
#define RESERVE_BYTES ((uint64_t) 16 << 20)
/* Ordinary events stop while this much is left; privileged ones use the reserve to its end. */
#define ORDINARY_LEAST (2 * RESERVE_BYTES)
#define PRIVILEGED_LEAST ((uint64_t) 4 << 20)

/* An event on its way; its request borrows the call it came with. */
struct item {
    struct mg_call *call; /* NULL for audit's own */
    struct mg_request_audit_append request;
    enum mg_process sender;
    uint64_t index;
    mg_instant time;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed, published;
    struct item queue[QUEUE_MOST];
    size_t count, bytes;
    struct mg_audit_view view;
    uint64_t acknowledged; /* entries below were answered for, or are about to be */
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct group {
    struct item items[GROUP_MOST];
    size_t count;
    struct mg_log_cut *cut;
};

/* Groups by their number; each thread moves its own number on. */
static struct {
    pthread_mutex_t lock;
    /* What each thread waits for. They are signalled without the lock, which the woken thread then finds
     * free. */
    pthread_cond_t room, to_commit, to_sign, to_publish;
    struct group groups[GROUPS];
    uint64_t cut, committed, answered;
    /* For the publisher: what is signed and not taken by it yet. */
    struct mg_log_cut *ready;
    struct mg_buffer note;
    uint64_t size_cut; /* the newest group's */
    bool rolled_back, keys_away;
} flow = {.lock = PTHREAD_MUTEX_INITIALIZER, .note = MG_BUFFER(4096)};

static struct mg_log_store *store;

/* The sequencer thread's own. */
static struct {
    struct mg_entry_index *index;
    struct item staged[QUEUE_MOST]; /* taken from the queue, not in a group yet */
    size_t staged_count, staged_at;
    size_t last_count; /* of the last taking */
    int64_t began_ms;  /* it */
} own;

/* ---- putting in ---- */

/* An estimate is enough: it only bounds a group. */
static size_t
request_bytes(const struct mg_request_audit_append *request)
{
    return 512 + request->actor_id.length + request->actor_name.length + request->target.length +
           request->reason.length + request->details.bytes.length;
}

static CHECKED struct mg_status
queue_add(const struct mg_request_audit_append *request, enum mg_process sender, struct mg_call *call)
{
    struct mg_status status = OK;
    bool wakes = false;
    (void) pthread_mutex_lock(&shared.lock);
    if (shared.count == QUEUE_MOST)
        status = fail_with(BUSY, "too many events wait");
    else {
        shared.queue[shared.count++] = (struct item){
            .call = call == NULL ? NULL : mg_call_keep(call), .request = *request, .sender = sender};
        shared.bytes += request_bytes(request);
        /* The sequencer looks by itself while it collects; it is woken for the first one, and when
         * the group is full. */
        wakes = shared.count == 1 || shared.bytes >= GROUP_BYTES;
    }
    (void) pthread_mutex_unlock(&shared.lock);
    if (wakes)
        (void) pthread_cond_signal(&shared.changed);
    return status;
}

/* Text of a note must outlive the call: it is always a literal or the name of a row. */
void
mg_sequencer_note(enum mg_event event, enum mg_audit_outcome outcome, const char *target, const char *reason)
{
    const struct mg_request_audit_append request = {
        .event = (uint64_t) event,
        .actor_kind = MG_ACTOR_PROCESS,
        .actor_id = mg_view_text("audit"),
        .target = mg_view_text(target),
        .outcome = outcome,
        .reason = mg_view_text(reason),
    };
    const struct mg_status status = queue_add(&request, MG_AUDIT, NULL);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "an event of audit's own", status);
}

/* Control: AUDIT_01 */
struct mg_status
mg_sequencer_put(const struct mg_request_audit_append *request, struct mg_call *call)
{
    return queue_add(request, mg_call_sender(call), call);
}

static void
wait_ms(pthread_cond_t *condition, int64_t ms)
{
    struct timespec until;
    mg_must(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long) (ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void) pthread_cond_timedwait(condition, &shared.lock, &until);
}

void
mg_sequencer_view(struct mg_audit_view *ret_view)
{
    (void) pthread_mutex_lock(&shared.lock);
    const uint64_t wanted = shared.acknowledged;
    const int64_t until = mg_monotonic_ms() + READ_PATIENCE_MS;
    for (int64_t left = READ_PATIENCE_MS; shared.view.size < wanted && left > 0;
         left = until - mg_monotonic_ms())
        wait_ms(&shared.published, left);
    *ret_view = shared.view;
    (void) pthread_mutex_unlock(&shared.lock);
}

/* ---- taking a group ---- */

/* Waits for events, at most a second; then, if the last group was a large one, until this one is
 * large too or 5 ms have passed since the last began. */
static void
queue_take(void)
{
    (void) pthread_mutex_lock(&shared.lock);
    if (shared.count == 0 && !mg_stopping())
        wait_ms(&shared.changed, 1000);
    for (;;) {
        const int64_t left = own.began_ms + GROUP_MS - mg_monotonic_ms();
        if (own.last_count <= GROUP_FEW || shared.bytes >= GROUP_BYTES || left <= 0 || shared.count == 0)
            break;
        wait_ms(&shared.changed, left);
    }
    memcpy(own.staged, shared.queue, shared.count * sizeof shared.queue[0]);
    own.staged_count = own.last_count = shared.count;
    own.staged_at = 0;
    shared.count = shared.bytes = 0;
    (void) pthread_mutex_unlock(&shared.lock);
    own.began_ms = mg_monotonic_ms();
}

/* ---- space ---- */

static void
space_look(void)
{
    struct mg_log_space space;
    mg_log_reserve_refill(store);
    const struct mg_status status = mg_log_space(store, &space);
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, "free space of the audit log", status);
        return;
    }
    const uint64_t free_bytes = space.free_bytes + space.reserve_bytes;
    const bool ordinary = space.free_bytes < ORDINARY_LEAST, privileged = free_bytes < PRIVILEGED_LEAST;
    (void) pthread_mutex_lock(&shared.lock);
    const bool worse = ordinary && !shared.view.ordinary_refused;
    const bool better = !ordinary && shared.view.ordinary_refused;
    shared.view.free_bytes = space.free_bytes;
    shared.view.ordinary_refused = ordinary;
    shared.view.privileged_refused = privileged;
    (void) pthread_mutex_unlock(&shared.lock);
    if (worse) {
        mg_log(MG_ERROR,
               "the disk of the audit log is nearly full (%llu bytes free): ordinary events are refused",
               (unsigned long long) space.free_bytes);
        mg_sequencer_note(MG_EVENT_audit_space, MG_AUDIT_FAILURE, "audit log", "ordinary events are refused");
    } else if (better)
        mg_sequencer_note(MG_EVENT_audit_space, MG_AUDIT_SUCCESS, "audit log", "there is space again");
}

static CHECKED struct mg_status
space_check(const struct mg_event_row *row)
{
    /* Only this thread writes these, so that it may read them without the lock. */
    if (shared.view.privileged_refused)
        return fail_with(DISK_FULL, "the audit log has no space left");
    if (shared.view.ordinary_refused && !row->privileged)
        return fail_with(DISK_FULL, "the audit log keeps its last space for privileged events");
    return OK;
}

/* ---- cutting groups: the sequencer thread ---- */

/* An error of the store is the end: what is on disk is found out by opening it again. */
__attribute__((noreturn)) static void
stop(const char *what, struct mg_status status)
{
    mg_log_status(MG_ERROR, what, status);
    exit(mg_error_row(status.code)->exit_code);
}

static void
item_fail(struct item *item, struct mg_status status)
{
    if (item->call != NULL)
        mg_call_fail(item->call, status);
    item->call = NULL;
}

static CHECKED struct mg_status
signer_check(void)
{
    (void) pthread_mutex_lock(&flow.lock);
    const bool rolled_back = flow.rolled_back, keys_away = flow.keys_away;
    (void) pthread_mutex_unlock(&flow.lock);
    if (rolled_back)
        return fail_with(INTEGRITY, "the audit log was rolled back; nothing is recorded");
    return keys_away ? fail_with(UNAVAILABLE, "keys does not sign") : OK;
}

/* BUSY: the cut is full. */
static CHECKED struct mg_status
item_add(struct item *item)
{
    static struct mg_buffer leaf = MG_BUFFER(MG_LEAF_MOST);
    TRY(signer_check());
    TRY(space_check(mg_event_row((enum mg_event) item->request.event)));
    item->time = mg_now();
    mg_buffer_clear(&leaf);
    TRY(mg_entry_seal(&item->request, item->sender, item->time, &leaf));
    const struct mg_status status = mg_log_add(store, mg_buffer_view(&leaf), &item->index);
    if (!mg_ok(status) && status.code != MG_DISK_FULL && status.code != MG_TOO_LARGE &&
        status.code != MG_BUSY)
        stop("append", status);
    return status;
}

static void
item_index(const struct item *item)
{
    const struct mg_index_row row = {.time = item->time,
                                     .tenant = item->request.tenant,
                                     .event = (uint16_t) item->request.event,
                                     .outcome = (uint8_t) item->request.outcome,
                                     .known = 1};
    mg_index_add(own.index, item->index, &row);
}

/* Moves what was taken into a group, as much as one commit holds. */
static void
group_fill(struct group *group)
{
    group->count = 0;
    for (; own.staged_at < own.staged_count && group->count < GROUP_MOST; own.staged_at++) {
        struct item *item = &own.staged[own.staged_at];
        const struct mg_status status = item_add(item);
        if (status.code == MG_BUSY && group->count != 0)
            break;
        if (!mg_ok(status)) {
            item_fail(item, status);
            continue;
        }
        item_index(item);
        group->items[group->count++] = *item;
    }
    const struct mg_status status = mg_log_cut(store, &group->cut);
    if (!mg_ok(status))
        stop("cut", status);
}

static void
flow_wait(pthread_cond_t *condition)
{
    struct timespec until;
    mg_must(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec++;
    (void) pthread_cond_timedwait(condition, &flow.lock, &until);
}

static bool
group_may_start(void)
{
    return flow.cut - flow.committed < COMMITS_AHEAD && flow.cut - flow.answered < GROUPS &&
           flow.size_cut - mg_log_published(store) < UNPUBLISHED_MOST;
}

/* Whatever waits for a group's end (keys, the disk) waits here, and the queue fills. */
static struct group *
group_start(void)
{
    (void) pthread_mutex_lock(&flow.lock);
    while (!group_may_start())
        flow_wait(&flow.room);
    struct group *group = &flow.groups[flow.cut % GROUPS];
    (void) pthread_mutex_unlock(&flow.lock);
    return group;
}

static void
group_pass_on(const struct group *group)
{
    if (group->cut == NULL)
        return;
    (void) pthread_mutex_lock(&flow.lock);
    flow.cut++;
    flow.size_cut = group->cut->size;
    (void) pthread_mutex_unlock(&flow.lock);
    (void) pthread_cond_signal(&flow.to_commit);
}

static void *
sequencer_run(void *argument)
{
    (void) argument;
    int64_t looked_ms = 0;
    while (!mg_stopping()) {
        struct group *group = group_start();
        if (own.staged_at == own.staged_count)
            queue_take();
        if (mg_monotonic_ms() - looked_ms > 200) {
            looked_ms = mg_monotonic_ms();
            space_look();
        }
        group_fill(group);
        group_pass_on(group);
    }
    return NULL;
}

/* ---- making them durable: the committer ---- */

static void *
committer_run(void *argument)
{
    for (;;) {
        (void) pthread_mutex_lock(&flow.lock);
        while (flow.committed == flow.cut)
            flow_wait(&flow.to_commit);
        const struct group *group = &flow.groups[flow.committed % GROUPS];
        (void) pthread_mutex_unlock(&flow.lock);
        const struct mg_status status = mg_log_cut_commit(store, group->cut);
        if (!mg_ok(status))
            stop("commit", status);
        (void) pthread_mutex_lock(&flow.lock);
        flow.committed++;
        (void) pthread_mutex_unlock(&flow.lock);
        (void) pthread_cond_signal(&flow.to_sign);
        (void) pthread_cond_signal(&flow.room);
    }
    return argument;
}

/* ---- signing and answering: the signer ---- */

static CHECKED struct mg_status
sign_once(const struct mg_log_cut *cut, struct mg_buffer *note)
{
    OWN_BUFFER(answer, MG_PACKET_MOST);
    struct mg_reply_sign_checkpoint reply;
    const struct mg_request_sign_checkpoint request = {.size = cut->size,
                                                       .root = mg_view_of(cut->root.bytes, MG_HASH),
                                                       .consistency = mg_proof_view(&cut->proof)};
    TRY(mg_call_sign_checkpoint(&request, &reply, &answer, SIGN_TIMEOUT_MS));
    mg_buffer_clear(note);
    return mg_buffer_add(note, reply.note);
}

static void
keys_away_set(bool away)
{
    (void) pthread_mutex_lock(&flow.lock);
    flow.keys_away = away;
    (void) pthread_mutex_unlock(&flow.lock);
}

/* Until it is signed: keys stands at the end of this group or of the one before (its answer may have been
 * lost), and takes both. After some patience the senders are told that they have failed, though their
 * records are durable and will be published; new ones are refused until keys is back. */
static CHECKED struct mg_status
group_sign(struct group *group, struct mg_buffer *note)
{
    const int64_t until = mg_monotonic_ms() + SIGN_PATIENCE_MS;
    for (;;) {
        const struct mg_status status = sign_once(group->cut, note);
        if (mg_ok(status) || status.code == MG_INTEGRITY) {
            keys_away_set(false);
            return status;
        }
        mg_log_status(MG_WARNING, "sign the checkpoint", status);
        if (mg_monotonic_ms() > until) {
            keys_away_set(true);
            for (size_t i = 0; i < group->count; i++)
                item_fail(&group->items[i], status);
        }
        (void) nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

static void
group_answer(struct group *group)
{
    (void) pthread_mutex_lock(&shared.lock);
    shared.acknowledged = group->cut->size;
    (void) pthread_mutex_unlock(&shared.lock);
    for (size_t i = 0; i < group->count; i++) {
        struct item *item = &group->items[i];
        if (item->call == NULL)
            continue;
        const struct mg_reply_audit_append reply = {.index = item->index, .time = item->time};
        const struct mg_status status = mg_answer_audit_append(item->call, &reply);
        if (!mg_ok(status))
            mg_log_status(MG_WARNING, "answer", status);
    }
}

/* The log is not the one that keys knows: nothing more is recorded, and everybody is told why. */
static void
group_refuse(struct group *group, struct mg_status status)
{
    mg_log_status(MG_ERROR, "sign the checkpoint", status);
    for (size_t i = 0; i < group->count; i++)
        item_fail(&group->items[i], status);
    mg_log_cut_drop(&group->cut);
    (void) pthread_mutex_lock(&flow.lock);
    flow.rolled_back = true;
    flow.answered++;
    (void) pthread_mutex_unlock(&flow.lock);
    (void) pthread_cond_signal(&flow.room);
}

static void
group_to_publisher(struct group *group, struct mg_buffer *note)
{
    (void) pthread_mutex_lock(&flow.lock);
    flow.ready = mg_log_cut_merge(flow.ready, group->cut);
    group->cut = NULL;
    const struct mg_buffer old = flow.note;
    flow.note = *note;
    *note = old;
    flow.answered++;
    (void) pthread_mutex_unlock(&flow.lock);
    (void) pthread_cond_signal(&flow.to_publish);
    (void) pthread_cond_signal(&flow.room);
}

static void *
signer_run(void *argument)
{
    OWN_BUFFER(note, 4096);
    for (;;) {
        (void) pthread_mutex_lock(&flow.lock);
        while (flow.answered == flow.committed)
            flow_wait(&flow.to_sign);
        struct group *group = &flow.groups[flow.answered % GROUPS];
        const bool rolled_back = flow.rolled_back;
        (void) pthread_mutex_unlock(&flow.lock);
        const struct mg_status status =
            rolled_back ? fail_with(INTEGRITY, "the audit log was rolled back; nothing is recorded")
                        : group_sign(group, &note);
        if (!mg_ok(status)) {
            group_refuse(group, status);
            continue;
        }
        group_answer(group);
        group_to_publisher(group, &note);
    }
    return argument;
}

/* ---- publishing: the publisher ---- */

static void
view_update(uint64_t size, const struct mg_hash *root)
{
    (void) pthread_mutex_lock(&shared.lock);
    shared.view.size = size;
    shared.view.root = *root;
    (void) pthread_cond_broadcast(&shared.published);
    (void) pthread_mutex_unlock(&shared.lock);
}

/* Takes what is signed, behind what could not be published before. */
static void
ready_take(struct mg_log_cut **cut, struct mg_buffer *note)
{
    (void) pthread_mutex_lock(&flow.lock);
    if (flow.ready == NULL)
        flow_wait(&flow.to_publish);
    if (flow.ready != NULL) {
        *cut = mg_log_cut_merge(*cut, flow.ready);
        flow.ready = NULL;
        const struct mg_buffer old = *note;
        *note = flow.note;
        flow.note = old;
    }
    (void) pthread_mutex_unlock(&flow.lock);
}

static void *
publisher_run(void *argument)
{
    struct mg_log_cut *cut = NULL;
    OWN_BUFFER(note, 4096);
    for (;;) {
        ready_take(&cut, &note);
        if (cut == NULL)
            continue;
        const struct mg_status status = mg_log_cut_publish(store, cut, mg_buffer_view(&note));
        if (mg_ok(status)) {
            view_update(cut->size, &cut->root);
            mg_log_cut_drop(&cut);
            (void) pthread_mutex_lock(&flow.lock); /* who looks for room has looked, or waits */
            (void) pthread_mutex_unlock(&flow.lock);
            (void) pthread_cond_signal(&flow.room);
        } else if (status.code == MG_DISK_FULL)
            mg_log_status(MG_ERROR, "publish", status);
        else
            stop("publish", status);
        (void) nanosleep(&(struct timespec){.tv_nsec = (cut == NULL ? PUBLISH_MS : 200) * 1000000L}, NULL);
    }
    return argument;
}

/* ---- start ---- */

static CHECKED struct mg_status
store_open(const struct mg_environment *environment)
{
    static const struct mg_log_limits limits = {.segment_bytes = MG_LOG_SEGMENT_BYTES,
                                                .reserve_bytes = RESERVE_BYTES};
    char directory[MG_PATH];
    pthread_condattr_t attributes;
    (void) pthread_condattr_init(&attributes);
    (void) pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&shared.changed, &attributes);
    (void) pthread_cond_init(&shared.published, &attributes);
    (void) pthread_cond_init(&flow.room, &attributes);
    (void) pthread_cond_init(&flow.to_commit, &attributes);
    (void) pthread_cond_init(&flow.to_sign, &attributes);
    (void) pthread_cond_init(&flow.to_publish, &attributes);
    TRY(mg_path_join(directory, environment->directory, "audit"));
    TRY(mg_log_store_open(directory, &limits, &store));
    return mg_view_copy(mg_view_text(mg_log_directory(store)), shared.view.log_directory,
                        sizeof shared.view.log_directory);
}

static CHECKED struct mg_status
vkey_write(const char *directory, struct mg_view vkey)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, "audit/log.vkey"));
    OWN_BUFFER(old, 4096);
    OWN_BUFFER(text, 4096);
    TRY(mg_buffer_add(&text, vkey));
    TRY(mg_buffer_add_byte(&text, '\n'));
    const struct mg_status status = mg_file_read(path, &old);
    if (mg_ok(status) && mg_view_equal(mg_buffer_view(&old), mg_buffer_view(&text)))
        return OK;
    return mg_file_replace(path, mg_buffer_view(&text), 0644);
}

/* The tree as it was opened, signed from where keys stands (it may have heard of less) and published. */
static CHECKED struct mg_status
publish_first(struct mg_buffer *vkey)
{
    OWN_BUFFER(answer, MG_PACKET_MOST);
    OWN_BUFFER(note, 4096);
    struct mg_reply_log_key reply;
    struct mg_log_cut cut = {.size = mg_log_size(store)};
    TRY(mg_call_log_key(&(struct mg_request_log_key){.mg_set = true}, &reply, &answer, SIGN_TIMEOUT_MS));
    TRY(mg_buffer_add(vkey, reply.vkey));
    if (reply.size > cut.size)
        return fail_with(
            INTEGRITY,
            "the audit log has %llu entries, but %llu were signed: it was rolled back. Put back its "
            "newest state with the journal, or a copy made after an orderly stop",
            (unsigned long long) cut.size, (unsigned long long) reply.size);
    mg_log_root(store, &cut.root);
    TRY(mg_log_consistency(store, reply.size, &cut.proof));
    TRY(sign_once(&cut, &note));
    TRY(mg_log_publish(store, mg_buffer_view(&note)));
    shared.acknowledged = flow.size_cut = cut.size;
    view_update(cut.size, &cut.root);
    return OK;
}

static CHECKED struct mg_status
thread_start(void *(*run)(void *argument))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, NULL) != 0)
        return fail_with(SYSTEM, "no thread for the audit log");
    (void) pthread_detach(thread);
    return OK;
}

struct mg_status
mg_sequencer_start(const struct mg_environment *environment)
{
    char path[MG_PATH];
    OWN_BUFFER(vkey, 1024);
    TRY(store_open(environment));
    const struct mg_status status = publish_first(&vkey);
    if (status.code == MG_INTEGRITY) {
        /* Answering with the reason says more than a process that comes and goes. */
        flow.rolled_back = true;
        mg_log_status(MG_ERROR, "audit log", status);
    } else
        TRY(status);
    if (!flow.rolled_back) {
        TRY(vkey_write(environment->directory, mg_buffer_view(&vkey)));
        TRY(mg_path_join(path, environment->directory, "audit/index"));
        TRY(mg_index_open(path, mg_log_directory(store), mg_log_published(store), &own.index));
        shared.view.index = own.index;
        mg_sequencer_note(MG_EVENT_audit_open, MG_AUDIT_SUCCESS, "audit log", "");
    }
    TRY(thread_start(committer_run));
    TRY(thread_start(signer_run));
    TRY(thread_start(publisher_run));
    return thread_start(sequencer_run);
}

/* So that the files of a deployment at rest have everything that was answered for. */
void
mg_sequencer_stop(const struct mg_environment *environment)
{
    struct mg_audit_view view;
    (void) environment;
    mg_sequencer_view(&view);
}
