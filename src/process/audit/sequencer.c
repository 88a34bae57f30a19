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
    pthread_cond_t changed;
    struct item queue[QUEUE_MOST];
    size_t count, bytes;
    struct mg_audit_view view;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The sequencer thread's own. */
static struct {
    struct mg_log_store *store;
    struct mg_entry_index *index;
    struct item group[QUEUE_MOST];
    size_t count;
    uint64_t signed_size; /* by keys */
    bool rolled_back, unpublished;
    int64_t began_ms; /* the last group */
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
    (void) pthread_mutex_lock(&shared.lock);
    if (shared.count == QUEUE_MOST)
        status = fail_with(BUSY, "too many events wait");
    else {
        shared.queue[shared.count++] = (struct item){
            .call = call == NULL ? NULL : mg_call_keep(call), .request = *request, .sender = sender};
        shared.bytes += request_bytes(request);
        /* The sequencer looks by itself while it collects; it is woken for the first one, and when
         * the group is full. */
        if (shared.count == 1 || shared.bytes >= GROUP_BYTES)
            (void) pthread_cond_signal(&shared.changed);
    }
    (void) pthread_mutex_unlock(&shared.lock);
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

void
mg_sequencer_view(struct mg_audit_view *ret_view)
{
    (void) pthread_mutex_lock(&shared.lock);
    *ret_view = shared.view;
    (void) pthread_mutex_unlock(&shared.lock);
}

/* ---- taking a group ---- */

static void
wait_ms(int64_t ms)
{
    struct timespec until;
    mg_must(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long) (ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void) pthread_cond_timedwait(&shared.changed, &shared.lock, &until);
}

/* How many of the waiting events to take: while they come in hundreds, as many as fill the open tile.
 * The rest waits for the next group, and no partial bundle is written only to be removed again. */
static size_t
group_size(size_t waiting)
{
    const uint64_t size = mg_log_size(own.store);
    const uint64_t end = (size + waiting) / MG_TILE_WIDTH * MG_TILE_WIDTH;
    return end > size && end - size >= waiting / 2 ? (size_t) (end - size) : waiting;
}

/* Waits for events, at most a second; then, if the last group was a large one, until this one is
 * large too or 5 ms have passed since the last began. */
static void
group_take(void)
{
    (void) pthread_mutex_lock(&shared.lock);
    if (shared.count == 0 && !mg_stopping())
        wait_ms(1000);
    for (;;) {
        const int64_t left = own.began_ms + GROUP_MS - mg_monotonic_ms();
        if (own.count <= GROUP_FEW || shared.bytes >= GROUP_BYTES || left <= 0 || shared.count == 0)
            break;
        wait_ms(left);
    }
    const size_t taken = group_size(shared.count);
    memcpy(own.group, shared.queue, taken * sizeof shared.queue[0]);
    memmove(shared.queue, shared.queue + taken, (shared.count - taken) * sizeof shared.queue[0]);
    own.count = taken;
    shared.bytes -= shared.bytes / (shared.count == 0 ? 1 : shared.count) * taken;
    shared.count -= taken;
    if (shared.count == 0)
        shared.bytes = 0;
    (void) pthread_mutex_unlock(&shared.lock);
    own.began_ms = mg_monotonic_ms();
}

/* ---- space ---- */

static void
space_look(void)
{
    struct mg_log_space space;
    mg_log_reserve_refill(own.store);
    const struct mg_status status = mg_log_space(own.store, &space);
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

/* ---- one group ---- */

static void
item_fail(struct item *item, struct mg_status status)
{
    if (item->call != NULL)
        mg_call_fail(item->call, status);
    item->call = NULL;
    item->request.event = MG_EVENT_NONE;
}

static void
group_fail(struct mg_status status)
{
    for (size_t i = 0; i < own.count; i++)
        item_fail(&own.group[i], status);
}

/* An error of the store is the end: what is on disk is found out by opening it again. */
__attribute__((noreturn)) static void
stop(const char *what, struct mg_status status)
{
    mg_log_status(MG_ERROR, what, status);
    exit(mg_error_row(status.code)->exit_code);
}

static CHECKED struct mg_status
item_add(struct item *item, struct mg_buffer *leaf)
{
    const struct mg_event_row *row = mg_event_row((enum mg_event) item->request.event);
    if (own.rolled_back)
        return fail_with(INTEGRITY, "the audit log was rolled back; nothing is recorded");
    TRY(space_check(row));
    item->time = mg_now();
    mg_buffer_clear(leaf);
    TRY(mg_entry_seal(&item->request, item->sender, item->time, leaf));
    struct mg_status status = mg_log_add(own.store, mg_buffer_view(leaf), &item->index);
    if (status.code == MG_BUSY) { /* the commit is full, the group is not */
        const struct mg_status committed = mg_log_commit(own.store);
        if (!mg_ok(committed))
            stop("commit", committed);
        status = mg_log_add(own.store, mg_buffer_view(leaf), &item->index);
    }
    if (!mg_ok(status) && status.code != MG_DISK_FULL && status.code != MG_TOO_LARGE &&
        status.code != MG_BUSY)
        stop("append", status);
    return status;
}

static void
group_add(void)
{
    static struct mg_buffer leaf = MG_BUFFER(MG_LEAF_MOST);
    for (size_t i = 0; i < own.count; i++) {
        const struct mg_status status = item_add(&own.group[i], &leaf);
        if (!mg_ok(status))
            item_fail(&own.group[i], status);
    }
    const struct mg_status status = mg_log_commit(own.store);
    if (!mg_ok(status))
        stop("commit", status);
}

static CHECKED struct mg_status
sign_once(uint64_t size, const struct mg_hash *root, struct mg_buffer *note)
{
    struct mg_proof proof;
    OWN_BUFFER(answer, MG_PACKET_MOST);
    TRY(mg_log_consistency(own.store, own.signed_size, &proof));
    struct mg_reply_sign_checkpoint reply;
    const struct mg_request_sign_checkpoint request = {
        .size = size, .root = mg_view_of(root->bytes, MG_HASH), .consistency = mg_proof_view(&proof)};
    TRY(mg_call_sign_checkpoint(&request, &reply, &answer, SIGN_TIMEOUT_MS));
    own.signed_size = size;
    return mg_buffer_add(note, reply.note);
}

/* Where keys stands; an answer of it may have been lost with the connection. */
static CHECKED struct mg_status
signed_learn(struct mg_buffer *vkey)
{
    OWN_BUFFER(answer, MG_PACKET_MOST);
    struct mg_reply_log_key reply;
    TRY(mg_call_log_key(&(struct mg_request_log_key){.mg_set = true}, &reply, &answer, SIGN_TIMEOUT_MS));
    if (reply.size > mg_log_size(own.store))
        return fail_with(INTEGRITY,
                         "the audit log has %llu entries, but %llu were signed: it was rolled back",
                         (unsigned long long) mg_log_size(own.store), (unsigned long long) reply.size);
    own.signed_size = reply.size;
    return vkey == NULL ? OK : mg_buffer_add(vkey, reply.vkey);
}

static CHECKED struct mg_status
sign(struct mg_buffer *note)
{
    struct mg_hash root;
    const uint64_t size = mg_log_size(own.store);
    const int64_t until = mg_monotonic_ms() + SIGN_PATIENCE_MS;
    mg_log_root(own.store, &root);
    for (;;) {
        struct mg_status status = sign_once(size, &root, note);
        if (mg_ok(status) || status.code == MG_INTEGRITY || mg_monotonic_ms() > until)
            return status;
        mg_log_status(MG_WARNING, "sign the checkpoint", status);
        (void) nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        status = signed_learn(NULL);
        if (status.code == MG_INTEGRITY)
            return status;
    }
}

static void
view_update(void)
{
    struct mg_hash root;
    mg_log_root(own.store, &root);
    (void) pthread_mutex_lock(&shared.lock);
    shared.view.size = mg_log_published(own.store);
    shared.view.root = root;
    shared.view.index = own.index;
    (void) pthread_mutex_unlock(&shared.lock);
}

static CHECKED struct mg_status
publish(void)
{
    OWN_BUFFER(note, 4096);
    own.unpublished = true;
    TRY(sign(&note));
    TRY(mg_log_publish(own.store, mg_buffer_view(&note)));
    own.unpublished = false;
    view_update();
    return OK;
}

static void
group_answer(void)
{
    for (size_t i = 0; i < own.count; i++) {
        struct item *item = &own.group[i];
        if (item->request.event == MG_EVENT_NONE || item->call == NULL)
            continue;
        const struct mg_reply_audit_append reply = {.index = item->index, .time = item->time};
        const struct mg_status status = mg_answer_audit_append(item->call, &reply);
        if (!mg_ok(status))
            mg_log_status(MG_WARNING, "answer", status);
    }
}

static void
group_index(void)
{
    for (size_t i = 0; i < own.count; i++) {
        const struct item *item = &own.group[i];
        if (item->request.event == MG_EVENT_NONE)
            continue;
        const struct mg_index_row row = {.time = item->time,
                                         .tenant = item->request.tenant,
                                         .event = (uint16_t) item->request.event,
                                         .outcome = (uint8_t) item->request.outcome,
                                         .known = 1};
        mg_index_add(own.index, item->index, &row);
    }
}

static void
group_run(void)
{
    group_add();
    group_index();
    if (mg_log_size(own.store) == mg_log_published(own.store) && !own.unpublished)
        return;
    const struct mg_status status = publish();
    if (mg_ok(status)) {
        group_answer();
        return;
    }
    /* The records are durable and will be published, but nobody is told so. */
    mg_log_status(MG_ERROR, "publish", status);
    if (status.code == MG_INTEGRITY)
        own.rolled_back = true;
    group_fail(status);
}

static void *
sequencer_run(void *argument)
{
    (void) argument;
    int64_t looked_ms = 0;
    while (!mg_stopping()) {
        group_take();
        if (mg_monotonic_ms() - looked_ms > 200) {
            looked_ms = mg_monotonic_ms();
            space_look();
        }
        if (own.count != 0 || own.unpublished)
            group_run();
    }
    return NULL;
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
    TRY(mg_path_join(directory, environment->directory, "audit"));
    TRY(mg_log_store_open(directory, &limits, &own.store));
    return mg_view_copy(mg_view_text(mg_log_directory(own.store)), shared.view.log_directory,
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

struct mg_status
mg_sequencer_start(const struct mg_environment *environment)
{
    char path[MG_PATH];
    OWN_BUFFER(vkey, 1024);
    TRY(store_open(environment));
    struct mg_status status = signed_learn(&vkey);
    if (mg_ok(status))
        status = publish();
    if (status.code == MG_INTEGRITY) {
        /* Answering with the reason says more than a process that comes and goes. */
        own.rolled_back = true;
        mg_log_status(MG_ERROR, "audit log", status);
    } else
        TRY(status);
    if (!own.rolled_back) {
        TRY(vkey_write(environment->directory, mg_buffer_view(&vkey)));
        TRY(mg_path_join(path, environment->directory, "audit/index"));
        TRY(mg_index_open(path, mg_log_directory(own.store), mg_log_published(own.store), &own.index));
        view_update();
        mg_sequencer_note(MG_EVENT_audit_open, MG_AUDIT_SUCCESS, "audit log", "");
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, sequencer_run, NULL) != 0)
        return fail_with(SYSTEM, "no thread for the sequencer");
    (void) pthread_detach(thread);
    return OK;
}
