/* The authority's side of the session table. */
#include "wire/session_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

static void
unlock(pthread_mutex_t **lock)
{
    (void) pthread_mutex_unlock(*lock);
}

/* Holds the writer's lock until the scope ends. */
#define LOCKED(writer)                                             \
    mg_must(pthread_mutex_lock(&(writer)->lock) == 0);             \
    MG_CLEANUP(unlock) pthread_mutex_t *locked_ = &(writer)->lock; \
    (void) locked_

void
mg_session_writer_drop(struct mg_session_writer **writer)
{
    if (*writer == NULL)
        return;
    session_generation_drop(&(*writer)->current);
    mg_fd_drop(&(*writer)->lock_fd);
    (void) pthread_mutex_destroy(&(*writer)->lock);
    free(*writer);
    *writer = NULL;
}

/* There is one writer: a second one is refused before it can touch anything. */
static struct mg_status
claim(struct mg_session_writer *writer)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, writer->directory, "writer.lock"));
    writer->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (writer->lock_fd < 0)
        return fail_errno("open %s", path);
    if (flock(writer->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? fail_with(BUSY, "%s: another writer", path)
                                    : fail_errno("lock %s", path);
    return OK;
}

/* A writer died between making a new generation current and telling the old one's readers. */
static struct mg_status
finish_replacement(const struct mg_session_writer *writer)
{
    char current[MG_PATH], previous[MG_PATH];
    TRY(mg_path_join(current, writer->directory, "sessions"));
    TRY(mg_path_join(previous, writer->directory, "sessions.previous"));
    struct stat now, before;
    if (lstat(previous, &before) != 0)
        return OK;
    const bool same = lstat(current, &now) == 0 && now.st_ino == before.st_ino && now.st_dev == before.st_dev;
    if (!same)
        TRY(session_file_retire(previous));
    (void) unlink(previous);
    return OK;
}

static struct mg_status
replace_or_create(struct mg_session_writer *writer, uint64_t least, bool existed,
                  struct mg_session_report *report)
{
    struct session_generation made;
    TRY(session_generation_create(writer, (uint64_t) mg_now(), least + least / 2, &made));
    const struct mg_status status = session_generation_install(writer, &made);
    if (!mg_ok(status)) {
        session_generation_drop(&made);
        return status;
    }
    writer->current = made;
    report->how = existed ? MG_SESSIONS_REPLACED : MG_SESSIONS_CREATED;
    return OK;
}

struct mg_status
mg_session_writer_open(const char *directory, uint64_t least, gid_t group,
                       struct mg_session_writer **ret_writer, struct mg_session_report *ret_report)
{
    OWN(session_writer) writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return fail(OUT_OF_MEMORY);
    writer->lock_fd = -1;
    writer->current.seen_fd = -1;
    writer->group = group;
    mg_must(pthread_mutex_init(&writer->lock, NULL) == 0);
    TRY(mg_view_copy(mg_view_text(directory), writer->directory, sizeof writer->directory));
    TRY(claim(writer));
    TRY(finish_replacement(writer));
    struct mg_session_report report = {.how = MG_SESSIONS_OPENED};
    const struct mg_status found = session_generation_open(writer, &writer->current, &report.repaired);
    if (!mg_ok(found))
        TRY(replace_or_create(writer, least, found.code != MG_NOT_FOUND, &report));
    *ret_report = report;
    *ret_writer = TAKE(writer);
    return OK;
}

static struct mg_status
check_session(const struct mg_session *session)
{
    if (session->session_id == 0 || session->session_id > INT64_MAX)
        return fail_with(INVALID, "session id %llu", (unsigned long long) session->session_id);
    if (session->origin < MG_ORIGIN_APP || session->origin > MG_ORIGIN_OPERATOR)
        return fail_with(INVALID, "origin %d", (int) session->origin);
    if (session->flags > MG_SESSION_FLAGS_MOST)
        return fail_with(INVALID, "flags %u", session->flags);
    if (session->tenant_id == 0 && session->origin != MG_ORIGIN_OPERATOR)
        return fail_with(INVALID, "a session without a tenant");
    return OK;
}

static bool
is_full(const struct session_generation *generation)
{
    return (generation->sessions + generation->tombstones + 1) * 4 > generation->capacity * 3;
}

struct mg_status
mg_session_put(struct mg_session_writer *writer, const struct mg_session *session)
{
    TRY(check_session(session));
    LOCKED(writer);
    if (is_full(&writer->current))
        TRY(session_generation_grow(writer, 0));
    const uint64_t before = writer->current.sessions;
    uint64_t slot;
    struct mg_status status = session_slot_put(&writer->current, session, &slot);
    if (status.code == MG_TOO_LARGE) {
        TRY(session_generation_grow(writer, writer->current.sessions * 2));
        status = session_slot_put(&writer->current, session, &slot);
    }
    TRY(status);
    writer->current.fresh[slot] = 1;
    /* Without a mark, a reader would have to fetch the cold record at a session's first request. */
    if (writer->current.sessions > before)
        session_seen_write(&writer->current, slot,
                           session_seen_mark(session->session_id, session_seconds(session->last_seen_at)));
    return OK;
}

static bool
matches(const struct mg_session *session, const struct mg_session_match *match)
{
    return (match->token_hash == NULL ||
            memcmp(match->token_hash, session->token_hash, MG_TOKEN_HASH) == 0) &&
           (match->session_id == 0 || match->session_id == session->session_id) &&
           (match->user_id == 0 || match->user_id == session->user_id) &&
           (match->family_id == 0 || match->family_id == session->family_id) &&
           (match->tenant_id == 0 || match->tenant_id == session->tenant_id) &&
           (match->host_id == 0 || match->host_id == session->host_id) &&
           (match->origin == MG_ORIGIN_NONE || match->origin == session->origin) &&
           (match->expired_at == 0 || session->expires_at <= match->expired_at);
}

static uint64_t
remove_slot(struct session_generation *generation, uint64_t slot, const struct mg_session_match *match)
{
    if (!session_slot_live(generation, slot))
        return 0;
    struct mg_session session;
    session_slot_read(generation, slot, &session);
    if (!matches(&session, match))
        return 0;
    session_slot_clear(generation, slot);
    return 1;
}

static uint64_t
remove_of_user(struct session_generation *generation, const struct mg_session_match *match)
{
    uint64_t count = 0;
    uint32_t slot = generation->chain_heads[session_chain_bucket(generation, match->user_id)];
    while (slot != CHAIN_END) {
        const uint32_t next = generation->chain_next[slot];
        count += remove_slot(generation, slot, match);
        slot = next;
    }
    return count;
}

struct mg_status
mg_session_remove(struct mg_session_writer *writer, const struct mg_session_match *match, uint64_t *ret_count)
{
    if (match->token_hash == NULL && match->session_id == 0 && match->user_id == 0 && match->family_id == 0 &&
        match->tenant_id == 0 && match->host_id == 0 && match->origin == MG_ORIGIN_NONE &&
        match->expired_at == 0)
        return fail_with(INVALID, "a revocation that names nobody");
    LOCKED(writer);
    struct session_generation *generation = &writer->current;
    uint64_t count = 0;
    if (match->token_hash != NULL) {
        uint64_t words[4];
        session_hash_words(match->token_hash, words);
        const uint64_t slot = session_slot_find(generation, words);
        count = slot == NO_SLOT ? 0 : remove_slot(generation, slot, match);
    } else if (match->user_id != 0)
        count = remove_of_user(generation, match);
    else
        for (uint64_t slot = 0; slot < generation->capacity; slot++)
            count += remove_slot(generation, slot, match);
    *ret_count = count;
    return OK;
}

struct mg_status
mg_session_get(struct mg_session_writer *writer, const uint8_t token_hash[MG_TOKEN_HASH],
               struct mg_session *ret_session)
{
    uint64_t words[4];
    session_hash_words(token_hash, words);
    LOCKED(writer);
    const uint64_t slot = session_slot_find(&writer->current, words);
    if (slot == NO_SLOT)
        return fail(NOT_FOUND);
    session_slot_read(&writer->current, slot, ret_session);
    const mg_instant seen_at = (mg_instant) session_seen_read(&writer->current, slot) * 1000;
    if (seen_at > ret_session->last_seen_at)
        ret_session->last_seen_at = seen_at;
    return OK;
}

struct mg_status
mg_session_reload_begin(struct mg_session_writer *writer)
{
    LOCKED(writer);
    memset(writer->current.fresh, 0, writer->current.capacity);
    writer->reloading = true;
    return OK;
}

struct mg_status
mg_session_reload_end(struct mg_session_writer *writer, uint64_t *ret_removed)
{
    LOCKED(writer);
    if (!writer->reloading)
        return fail_with(INVALID, "the end of a reload that was not begun");
    struct session_generation *generation = &writer->current;
    uint64_t removed = 0;
    for (uint64_t slot = 0; slot < generation->capacity; slot++)
        if (session_slot_live(generation, slot) && generation->fresh[slot] == 0) {
            session_slot_clear(generation, slot);
            removed++;
        }
    writer->reloading = false;
    *ret_removed = removed;
    return OK;
}

#define SEEN_CHUNK 512U
struct seen_row {
    uint64_t session_id, user_id;
    mg_instant seen_at;
};

/* The rows of one chunk of slots; false past the end. */
static bool
seen_chunk(struct mg_session_writer *writer, uint64_t first, uint32_t since_s, struct seen_row *rows,
           size_t *ret_count)
{
    LOCKED(writer);
    const struct session_generation *generation = &writer->current;
    if (first >= generation->capacity)
        return false;
    uint64_t marks[SEEN_CHUNK] = {0};
    const ssize_t got =
        pread(generation->seen_fd, marks, sizeof marks, (off_t) (SEEN_HEADER + first * sizeof marks[0]));
    const size_t whole = got < 0 ? 0 : (size_t) got / sizeof marks[0];
    size_t count = 0;
    for (size_t i = 0; i < whole && first + i < generation->capacity; i++) {
        if ((uint32_t) marks[i] < since_s || marks[i] == 0 || !session_slot_live(generation, first + i))
            continue;
        struct mg_session session;
        session_slot_read(generation, first + i, &session);
        if ((uint32_t) (marks[i] >> 32) == (uint32_t) session.session_id)
            rows[count++] = (struct seen_row){.session_id = session.session_id,
                                              .user_id = session.user_id,
                                              .seen_at = (mg_instant) (uint32_t) marks[i] * 1000};
    }
    *ret_count = count;
    return true;
}

struct mg_status
mg_session_seen_walk(struct mg_session_writer *writer, mg_instant since, mg_session_visit visit,
                     void *context)
{
    struct seen_row rows[SEEN_CHUNK];
    size_t count = 0;
    for (uint64_t first = 0; seen_chunk(writer, first, session_seconds(since), rows, &count);
         first += SEEN_CHUNK)
        for (size_t i = 0; i < count; i++)
            TRY(visit(context, rows[i].session_id, rows[i].user_id, rows[i].seen_at));
    return OK;
}

struct mg_status
mg_session_grow(struct mg_session_writer *writer, uint64_t least)
{
    LOCKED(writer);
    return session_generation_grow(writer, least);
}

void
mg_session_heartbeat(struct mg_session_writer *writer, int64_t monotonic_ms)
{
    LOCKED(writer);
    atomic_store_explicit(&writer->current.header->heartbeat_ms, monotonic_ms, memory_order_relaxed);
}

void
mg_session_require_policy(struct mg_session_writer *writer, uint64_t generation)
{
    LOCKED(writer);
    atomic_store_explicit(&writer->current.header->wanted_policy, generation, memory_order_release);
}

uint64_t
mg_session_required_policy(struct mg_session_writer *writer)
{
    LOCKED(writer);
    return atomic_load_explicit(&writer->current.header->wanted_policy, memory_order_relaxed);
}

void
mg_session_set_refusal_epoch(struct mg_session_writer *writer, uint64_t epoch)
{
    LOCKED(writer);
    atomic_store_explicit(&writer->current.header->refusal_epoch, epoch, memory_order_release);
}

uint64_t
mg_session_refusal_epoch(struct mg_session_writer *writer)
{
    LOCKED(writer);
    return atomic_load_explicit(&writer->current.header->refusal_epoch, memory_order_relaxed);
}

struct mg_session_usage
mg_session_usage_of(struct mg_session_writer *writer)
{
    LOCKED(writer);
    const struct session_generation *generation = &writer->current;
    return (struct mg_session_usage){
        .sessions = generation->sessions,
        .tombstones = generation->tombstones,
        .capacity = generation->capacity,
        .generation = generation->number,
        .shared_bytes = session_file_bytes(generation->capacity) + seen_file_bytes(generation->capacity),
    };
}
