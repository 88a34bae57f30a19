#include "wire/assertion_map.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAP_MAGIC 0x313054525341474DULL /* "MGASRT01" */
#define MAP_VERSION 2U
#define MAP_HEADER 4096U
#define WAYS 8U
#define SESSIONS_MOST (1U << 20)
#define SPINS_MOST 4096

struct map_header {
    uint64_t magic;
    uint32_t version, entry_bytes, buckets, ways;
    uint64_t file_bytes, checksum;
    _Atomic uint64_t replaced;
};

struct map_row {
    uint32_t not_before_s, expires_s;
    uint16_t offset, length;
};

struct map_entry {
    _Atomic uint64_t guard;      /* odd while it is written */
    _Atomic uint64_t session_id; /* 0: empty */
    struct map_row rows[MG_ASSERTIONS_MOST];
    uint8_t text[MG_ASSERTION_BYTES];
};

/* Which session is in which way: one cache line a bucket, so that looking for an entry does not
 * touch the entries of others. Only a hint; the entry's own number is the one under its guard. */
struct map_bucket {
    _Atomic uint64_t ids[WAYS];
};

struct map_view {
    struct map_header *header;
    struct map_bucket *index;
    struct map_entry *entries;
    uint32_t buckets;
    uint64_t bytes;
    ino_t inode;
};

struct mg_assertion_writer {
    pthread_mutex_t lock;
    char directory[MG_PATH];
    struct map_view map;
};

struct mg_assertion_reader {
    char directory[MG_PATH];
    struct map_view map;
};

static uint64_t
map_bytes(uint32_t buckets)
{
    return MAP_HEADER + (uint64_t) buckets * (sizeof(struct map_bucket) + WAYS * sizeof(struct map_entry));
}

static uint64_t
checksum(const struct map_header *header)
{
    const uint8_t *bytes = (const uint8_t *) header;
    uint64_t sum = 0xCBF29CE484222325ULL;
    for (size_t i = 0; i < offsetof(struct map_header, checksum); i++)
        sum = (sum ^ bytes[i]) * 0x100000001B3ULL;
    return sum;
}

static bool
header_valid(const struct map_header *header, uint64_t bytes)
{
    return header->magic == MAP_MAGIC && header->version == MAP_VERSION && header->ways == WAYS &&
           header->entry_bytes == sizeof(struct map_entry) && header->buckets >= 1 &&
           header->buckets <= SESSIONS_MOST && header->file_bytes == map_bytes(header->buckets) &&
           header->file_bytes == bytes && header->checksum == checksum(header);
}

static void
view_drop(struct map_view *view)
{
    if (view->header != NULL)
        (void) munmap(view->header, view->bytes);
    *view = (struct map_view){0};
}

static struct mg_status
view_open(const char *directory, bool writable, struct map_view *ret_view)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, "assertions"));
    OWN_FD fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0)
        return fail_errno("open %s", path);
    if (!S_ISREG(found.st_mode) || (found.st_mode & (S_IWGRP | S_IWOTH)) != 0 ||
        found.st_size < (off_t) MAP_HEADER)
        return fail_with(INTEGRITY, "%s: size or permissions", path);
    void *base =
        mmap(NULL, (size_t) found.st_size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return fail_errno("map %s", path);
    struct map_header *header = base;
    if (!header_valid(header, (uint64_t) found.st_size) || atomic_load(&header->replaced) != 0) {
        (void) munmap(base, (size_t) found.st_size);
        return fail_with(INTEGRITY, "%s: header", path);
    }
    *ret_view = (struct map_view){
        .header = header,
        .index = (void *) ((uint8_t *) base + MAP_HEADER),
        .entries =
            (void *) ((uint8_t *) base + MAP_HEADER + (uint64_t) header->buckets * sizeof(struct map_bucket)),
        .buckets = header->buckets,
        .bytes = (uint64_t) found.st_size,
        .inode = found.st_ino,
    };
    return OK;
}

static uint64_t
bucket_of(const struct map_view *view, uint64_t session_id)
{
    const uint64_t mixed = session_id * 0x9E3779B97F4A7C15ULL;
    return (uint64_t) (((unsigned __int128) mixed * view->buckets) >> 64);
}

static void
index_set(const struct map_view *view, const struct map_entry *entry, uint64_t session_id)
{
    const uint64_t number = (uint64_t) (entry - view->entries);
    atomic_store_explicit(&view->index[number / WAYS].ids[number % WAYS], session_id, memory_order_release);
}

/* ---- writer ---------------------------------------------------------------------------------- */

static struct mg_status
create_map(const char *directory, uint32_t sessions, gid_t group)
{
    char path[MG_PATH], fresh[MG_PATH];
    TRY(mg_path_join(path, directory, "assertions"));
    TRY(mg_path_join(fresh, directory, "assertions.new"));
    (void) unlink(fresh);
    OWN_FD fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno("create %s", fresh);
    struct map_header header = {.magic = MAP_MAGIC,
                                .version = MAP_VERSION,
                                .entry_bytes = sizeof(struct map_entry),
                                .buckets = (sessions + WAYS - 1) / WAYS,
                                .ways = WAYS};
    header.file_bytes = map_bytes(header.buckets);
    header.checksum = checksum(&header);
    errno = posix_fallocate(fd, 0, (off_t) header.file_bytes);
    if (errno != 0)
        return fail_errno("reserve %s", fresh);
    TRY(mg_fd_write_all(fd, mg_view_of(&header, sizeof header)));
    if (group != (gid_t) -1 && fchown(fd, (uid_t) -1, group) != 0)
        return fail_errno("chown %s", fresh);
    if (fchmod(fd, 0640) != 0 || rename(fresh, path) != 0)
        return fail_errno("rename %s", fresh);
    return OK;
}

/* Entries that a writer left half-written are emptied. */
static void
repair(const struct map_view *view)
{
    for (uint64_t i = 0; i < (uint64_t) view->buckets * WAYS; i++) {
        struct map_entry *entry = &view->entries[i];
        const uint64_t guard = atomic_load(&entry->guard);
        if ((guard & 1) != 0) {
            atomic_store(&entry->session_id, 0);
            atomic_store(&entry->guard, guard + 1);
        }
        index_set(view, entry, atomic_load(&entry->session_id));
    }
}

struct mg_status
mg_assertion_writer_open(const char *directory, uint32_t sessions, gid_t group,
                         struct mg_assertion_writer **ret_writer)
{
    if (sessions == 0 || sessions > SESSIONS_MOST)
        return fail_with(INVALID, "assertions of %u sessions", sessions);
    OWN(assertion_writer) writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return fail(OUT_OF_MEMORY);
    mg_must(pthread_mutex_init(&writer->lock, NULL) == 0);
    TRY(mg_view_copy(mg_view_text(directory), writer->directory, sizeof writer->directory));
    if (!mg_ok(view_open(directory, true, &writer->map))) {
        TRY(create_map(directory, sessions, group));
        TRY(view_open(directory, true, &writer->map));
    }
    repair(&writer->map);
    *ret_writer = TAKE(writer);
    return OK;
}

void
mg_assertion_writer_drop(struct mg_assertion_writer **writer)
{
    if (*writer == NULL)
        return;
    view_drop(&(*writer)->map);
    (void) pthread_mutex_destroy(&(*writer)->lock);
    free(*writer);
    *writer = NULL;
}

static uint32_t
entry_until_s(const struct map_entry *entry)
{
    uint32_t until_s = 0;
    for (size_t i = 0; i < MG_ASSERTIONS_MOST; i++)
        if (entry->rows[i].length != 0 && entry->rows[i].expires_s > until_s)
            until_s = entry->rows[i].expires_s;
    return until_s;
}

static struct map_entry *
entry_of(const struct map_view *view, uint64_t session_id)
{
    struct map_entry *bucket = view->entries + bucket_of(view, session_id) * WAYS;
    for (unsigned way = 0; way < WAYS; way++)
        if (atomic_load(&bucket[way].session_id) == session_id)
            return &bucket[way];
    return NULL;
}

/* The session's own entry, an empty one, or the one that ends first. */
static struct map_entry *
entry_to_write(const struct map_view *view, uint64_t session_id, uint32_t now_s)
{
    struct map_entry *bucket = view->entries + bucket_of(view, session_id) * WAYS;
    struct map_entry *best = entry_of(view, session_id);
    if (best != NULL)
        return best;
    uint32_t earliest_s = UINT32_MAX;
    for (unsigned way = 0; way < WAYS; way++) {
        const bool empty = atomic_load(&bucket[way].session_id) == 0;
        const uint32_t until_s = empty ? 0 : entry_until_s(&bucket[way]);
        if (best == NULL || until_s < earliest_s) {
            best = &bucket[way];
            earliest_s = until_s;
        }
        if (until_s < now_s)
            break; /* empty or over: nobody loses anything */
    }
    return best;
}

static void
entry_open(struct map_entry *entry)
{
    atomic_store_explicit(&entry->guard, atomic_load(&entry->guard) + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void
entry_close(struct map_entry *entry)
{
    atomic_store_explicit(&entry->guard, atomic_load(&entry->guard) + 1, memory_order_release);
}

static uint32_t
seconds(mg_instant instant)
{
    return instant <= 0                            ? 0
           : instant / 1000 > (int64_t) UINT32_MAX ? UINT32_MAX
                                                   : (uint32_t) (instant / 1000);
}

struct mg_status
mg_assertion_put(struct mg_assertion_writer *writer, uint64_t session_id, const struct mg_assertion *rows,
                 size_t count, mg_instant now)
{
    if (session_id == 0 || count == 0)
        return fail_with(INVALID, "an assertion of nobody");
    if (rows[0].token.length == 0 || rows[0].token.length > MG_ASSERTION_BYTES)
        return fail_with(TOO_LARGE, "assertion of %zu bytes", rows[0].token.length);
    mg_must(pthread_mutex_lock(&writer->lock) == 0);
    struct map_entry *entry = entry_to_write(&writer->map, session_id, seconds(now));
    entry_open(entry);
    memset(entry->rows, 0, sizeof entry->rows);
    size_t used = 0;
    for (size_t i = 0;
         i < count && i < MG_ASSERTIONS_MOST && rows[i].token.length <= MG_ASSERTION_BYTES - used; i++) {
        memcpy(entry->text + used, rows[i].token.bytes, rows[i].token.length);
        entry->rows[i] = (struct map_row){.not_before_s = seconds(rows[i].not_before),
                                          .expires_s = seconds(rows[i].expires),
                                          .offset = (uint16_t) used,
                                          .length = (uint16_t) rows[i].token.length};
        used += rows[i].token.length;
    }
    atomic_store_explicit(&entry->session_id, session_id, memory_order_relaxed);
    entry_close(entry);
    index_set(&writer->map, entry, session_id);
    (void) pthread_mutex_unlock(&writer->lock);
    return OK;
}

static void
entry_empty(const struct map_view *view, struct map_entry *entry)
{
    index_set(view, entry, 0);
    entry_open(entry);
    atomic_store_explicit(&entry->session_id, 0, memory_order_relaxed);
    memset(entry->rows, 0, sizeof entry->rows);
    entry_close(entry);
}

void
mg_assertion_remove(struct mg_assertion_writer *writer, uint64_t session_id)
{
    mg_must(pthread_mutex_lock(&writer->lock) == 0);
    struct map_entry *entry = session_id == 0 ? NULL : entry_of(&writer->map, session_id);
    if (entry != NULL)
        entry_empty(&writer->map, entry);
    (void) pthread_mutex_unlock(&writer->lock);
}

void
mg_assertion_clear(struct mg_assertion_writer *writer)
{
    mg_must(pthread_mutex_lock(&writer->lock) == 0);
    for (uint64_t i = 0; i < (uint64_t) writer->map.buckets * WAYS; i++)
        if (atomic_load(&writer->map.entries[i].session_id) != 0)
            entry_empty(&writer->map, &writer->map.entries[i]);
    (void) pthread_mutex_unlock(&writer->lock);
}

mg_instant
mg_assertion_until(struct mg_assertion_writer *writer, uint64_t session_id)
{
    mg_must(pthread_mutex_lock(&writer->lock) == 0);
    const struct map_entry *entry = session_id == 0 ? NULL : entry_of(&writer->map, session_id);
    const mg_instant until = entry == NULL ? 0 : (mg_instant) entry_until_s(entry) * 1000;
    (void) pthread_mutex_unlock(&writer->lock);
    return until;
}

/* ---- reader ---------------------------------------------------------------------------------- */

struct mg_status
mg_assertion_reader_open(const char *directory, struct mg_assertion_reader **ret_reader)
{
    OWN(assertion_reader) reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(mg_view_copy(mg_view_text(directory), reader->directory, sizeof reader->directory));
    TRY(view_open(directory, false, &reader->map));
    *ret_reader = TAKE(reader);
    return OK;
}

void
mg_assertion_reader_drop(struct mg_assertion_reader **reader)
{
    if (*reader != NULL)
        view_drop(&(*reader)->map);
    free(*reader);
    *reader = NULL;
}

struct mg_status
mg_assertion_reader_follow(struct mg_assertion_reader *reader)
{
    char path[MG_PATH];
    struct stat found;
    TRY(mg_path_join(path, reader->directory, "assertions"));
    if (reader->map.header != NULL && stat(path, &found) == 0 && found.st_ino == reader->map.inode)
        return OK;
    view_drop(&reader->map);
    return view_open(reader->directory, false, &reader->map);
}

/* The row to use, checked against the bounds of the entry; NULL if none is valid now. */
static bool
pick_row(const struct map_entry *entry, uint32_t now_s, struct map_row *ret_row)
{
    struct map_row best = {0};
    for (size_t i = 0; i < MG_ASSERTIONS_MOST; i++) {
        const struct map_row row = entry->rows[i];
        if (row.length == 0)
            break; /* rows are put one behind the other */
        if ((size_t) row.offset + row.length <= MG_ASSERTION_BYTES && row.not_before_s <= now_s &&
            row.expires_s > now_s + 2 && row.expires_s > best.expires_s)
            best = row;
    }
    *ret_row = best;
    return best.length != 0;
}

static bool
copy_token(const struct map_entry *entry, uint64_t session_id, uint32_t now_s, uint8_t *text,
           size_t *ret_length)
{
    /* The rows and the first token, all at once. */
    for (size_t at = 0; at < 10; at++)
        __builtin_prefetch((const uint8_t *) entry + at * 64);
    for (int spin = 0; spin < SPINS_MOST; spin++) {
        const uint64_t guard = atomic_load_explicit(&entry->guard, memory_order_acquire);
        if ((guard & 1) != 0) {
            __builtin_ia32_pause();
            continue;
        }
        struct map_row row;
        const bool found = atomic_load_explicit(&entry->session_id, memory_order_relaxed) == session_id &&
                           pick_row(entry, now_s, &row);
        if (found)
            memcpy(text, entry->text + row.offset, row.length);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&entry->guard, memory_order_relaxed) != guard)
            continue;
        if (found)
            *ret_length = row.length;
        return found;
    }
    return false;
}

void
mg_assertion_prefetch(const struct mg_assertion_reader *reader, uint64_t session_id)
{
    if (reader->map.header != NULL)
        __builtin_prefetch(&reader->map.index[bucket_of(&reader->map, session_id)]);
}

bool
mg_assertion_find(struct mg_assertion_reader *reader, uint64_t session_id, mg_instant now,
                  uint8_t text[MG_ASSERTION_BYTES], size_t *ret_length)
{
    if (reader->map.header == NULL || session_id == 0)
        return false;
    const uint64_t bucket = bucket_of(&reader->map, session_id);
    for (unsigned way = 0; way < WAYS; way++)
        if (atomic_load_explicit(&reader->map.index[bucket].ids[way], memory_order_acquire) == session_id)
            return copy_token(&reader->map.entries[bucket * WAYS + way], session_id, seconds(now), text,
                              ret_length);
    return false;
}
