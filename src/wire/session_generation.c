/* The files of a generation: opening and repairing one, making the next one current. */
#include "wire/session_writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct mg_status
join_number(char path[MG_PATH], const char *directory, const char *name, uint64_t number)
{
    char full[64];
    (void) snprintf(full, sizeof full, "%s.%llu", name, (unsigned long long) number);
    return mg_path_join(path, directory, full);
}

void
session_generation_drop(struct session_generation *generation)
{
    if (generation->header != NULL)
        (void) munmap(generation->header, session_file_bytes(generation->capacity));
    mg_fd_drop(&generation->seen_fd);
    free(generation->chain_heads);
    free(generation->chain_next);
    free(generation->fresh);
    *generation = (struct session_generation){.seen_fd = -1};
}

static struct mg_status
private_arrays(struct session_generation *generation)
{
    generation->chain_count = generation->capacity / 2;
    generation->chain_heads = malloc(generation->chain_count * sizeof(uint32_t));
    generation->chain_next = malloc(generation->capacity * sizeof(uint32_t));
    generation->fresh = calloc(generation->capacity, 1);
    if (generation->chain_heads == NULL || generation->chain_next == NULL || generation->fresh == NULL)
        return fail(OUT_OF_MEMORY);
    memset(generation->chain_heads, 0xFF, generation->chain_count * sizeof(uint32_t));
    return OK;
}

static void
point_into(struct session_generation *generation, void *base)
{
    generation->header = base;
    generation->hot = (void *) ((uint8_t *) base + SESSION_HEADER);
    generation->cold = (void *) (generation->hot + generation->capacity);
}

/* Makes a file of that size whose pages exist: a full tmpfs fails here and not as a signal later. */
static struct mg_status
create_file(const struct mg_session_writer *writer, const char *path, uint64_t bytes, mode_t mode,
            int *ret_fd)
{
    (void) unlink(path);
    OWN_FD fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno("create %s", path);
    const int failure = posix_fallocate(fd, 0, (off_t) bytes);
    if (failure != 0) {
        errno = failure;
        return fail_errno("reserve %llu bytes for %s", (unsigned long long) bytes, path);
    }
    if (writer->group != (gid_t) -1 && fchown(fd, (uid_t) -1, writer->group) != 0)
        return fail_errno("chown %s", path);
    if (fchmod(fd, mode) != 0)
        return fail_errno("chmod %s", path);
    *ret_fd = fd;
    fd = -1;
    return OK;
}

static struct mg_status
create_seen(const struct mg_session_writer *writer, struct session_generation *generation)
{
    char path[MG_PATH];
    TRY(join_number(path, writer->directory, "seen", generation->number));
    TRY(create_file(writer, path, seen_file_bytes(generation->capacity), 0660, &generation->seen_fd));
    const struct seen_header header = {
        .magic = SEEN_MAGIC, .generation = generation->number, .capacity = generation->capacity};
    return mg_fd_write_all(generation->seen_fd, mg_view_of(&header, sizeof header));
}

static struct mg_status
create_table(const struct mg_session_writer *writer, struct session_generation *generation)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, writer->directory, "sessions.new"));
    OWN_FD fd = -1;
    const uint64_t bytes = session_file_bytes(generation->capacity);
    TRY(create_file(writer, path, bytes, 0640, &fd));
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return fail_errno("map %s", path);
    (void) madvise(base, bytes, MADV_HUGEPAGE);
    point_into(generation, base);
    *generation->header = (struct session_header){
        .magic = SESSION_MAGIC,
        .version = SESSION_VERSION,
        .header_bytes = SESSION_HEADER,
        .hot_bytes = sizeof(struct session_hot_slot),
        .cold_bytes = sizeof(struct session_cold_slot),
        .generation = generation->number,
        .capacity = generation->capacity,
        .file_bytes = bytes,
    };
    generation->header->checksum = session_header_checksum(generation->header);
    return OK;
}

struct mg_status
session_generation_create(struct mg_session_writer *writer, uint64_t number, uint64_t capacity,
                          struct session_generation *ret_generation)
{
    if (capacity > SESSION_CAPACITY_MOST)
        return fail_with(TOO_LARGE, "%llu session slots", (unsigned long long) capacity);
    struct session_generation made = {.seen_fd = -1, .number = number, .capacity = capacity};
    if (made.capacity < SESSION_CAPACITY_LEAST)
        made.capacity = SESSION_CAPACITY_LEAST;
    struct mg_status status = private_arrays(&made);
    if (mg_ok(status))
        status = create_seen(writer, &made);
    if (mg_ok(status))
        status = create_table(writer, &made);
    if (!mg_ok(status)) {
        session_generation_drop(&made);
        return status;
    }
    *ret_generation = made;
    return OK;
}

struct mg_status
session_file_retire(const char *path)
{
    OWN_FD fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? OK : fail_errno("open %s", path);
    struct stat found;
    if (fstat(fd, &found) != 0)
        return fail_errno("stat %s", path);
    if (!S_ISREG(found.st_mode))
        return fail_with(INTEGRITY, "%s is not a file", path);
    const uint64_t never = UINT64_MAX;
    const off_t at = (off_t) offsetof(struct session_header, successor);
    /* A shorter one was never mapped by a reader. */
    if (found.st_size >= (off_t) SESSION_HEADER && pwrite(fd, &never, sizeof never, at) != sizeof never)
        return fail_errno("retire %s", path);
    return OK;
}

/* Marks of generations that are gone; what cannot be removed only takes space. */
static void
remove_other_marks(const struct mg_session_writer *writer, uint64_t kept)
{
    char own[32];
    (void) snprintf(own, sizeof own, "seen.%llu", (unsigned long long) kept);
    DIR *directory = opendir(writer->directory);
    if (directory == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strncmp(entry->d_name, "seen.", 5) == 0 && strcmp(entry->d_name, own) != 0)
            (void) unlinkat(dirfd(directory), entry->d_name, 0);
    (void) closedir(directory);
}

/* The order matters when the writer dies in the middle. The old file keeps a second name until its
 * readers have been told to leave it, so that the next writer can tell them. */
struct mg_status
session_generation_install(struct mg_session_writer *writer, struct session_generation *next)
{
    char current[MG_PATH], previous[MG_PATH], fresh[MG_PATH];
    TRY(mg_path_join(current, writer->directory, "sessions"));
    TRY(mg_path_join(previous, writer->directory, "sessions.previous"));
    TRY(mg_path_join(fresh, writer->directory, "sessions.new"));
    (void) unlink(previous);
    if (link(current, previous) != 0 && errno != ENOENT)
        return fail_errno("link %s", previous);
    if (rename(fresh, current) != 0)
        return fail_errno("rename %s", fresh);
    struct session_generation *old = &writer->current;
    if (old->header != NULL)
        atomic_store_explicit(&old->header->successor, next->number, memory_order_release);
    else
        TRY(session_file_retire(previous));
    (void) unlink(previous);
    remove_other_marks(writer, next->number);
    return OK;
}

/* Removes half-written slots and rebuilds what is private to the writer. */
static uint64_t
repair(struct session_generation *generation)
{
    uint64_t repaired = 0;
    for (uint64_t slot = 0; slot < generation->capacity; slot++) {
        _Atomic uint64_t *words = generation->hot[slot].words;
        const uint64_t id = atomic_load_explicit(&words[HOT_ID], memory_order_relaxed);
        if ((atomic_load_explicit(&words[HOT_GUARD], memory_order_relaxed) & 1) != 0) {
            atomic_store_explicit(&words[HOT_ID], SLOT_TOMBSTONE, memory_order_relaxed);
            session_slot_clear(generation, slot);
            generation->tombstones++;
            repaired++;
        } else if (id == SLOT_TOMBSTONE)
            generation->tombstones++;
        else if (id != SLOT_EMPTY) {
            generation->sessions++;
            session_chain_add(generation, slot);
        }
    }
    return repaired;
}

static struct mg_status
open_table(struct mg_session_writer *writer, struct session_generation *generation)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, writer->directory, "sessions"));
    OWN_FD fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0)
        return fail_errno("open %s", path);
    if (!S_ISREG(found.st_mode) || (found.st_mode & (S_IWGRP | S_IWOTH)) != 0 ||
        found.st_size < (off_t) SESSION_HEADER)
        return fail_with(INTEGRITY, "%s: size or permissions", path);
    void *base = mmap(NULL, (size_t) found.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return fail_errno("map %s", path);
    struct session_header *header = base;
    if (!session_header_valid(header, (uint64_t) found.st_size) || header->successor != 0) {
        (void) munmap(base, (size_t) found.st_size);
        return fail_with(INTEGRITY, "%s: header", path);
    }
    generation->capacity = header->capacity;
    generation->number = header->generation;
    point_into(generation, base);
    return OK;
}

static struct mg_status
open_seen(struct mg_session_writer *writer, struct session_generation *generation)
{
    char path[MG_PATH];
    TRY(join_number(path, writer->directory, "seen", generation->number));
    generation->seen_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct stat found;
    if (generation->seen_fd < 0 || fstat(generation->seen_fd, &found) != 0)
        return fail_errno("open %s", path);
    struct seen_header header;
    if (pread(generation->seen_fd, &header, sizeof header, 0) != sizeof header ||
        header.magic != SEEN_MAGIC || header.generation != generation->number ||
        header.capacity != generation->capacity ||
        (uint64_t) found.st_size != seen_file_bytes(generation->capacity))
        return fail_with(INTEGRITY, "%s does not belong to the session table", path);
    return OK;
}

struct mg_status
session_generation_open(struct mg_session_writer *writer, struct session_generation *ret_generation,
                        uint64_t *ret_repaired)
{
    struct session_generation found = {.seen_fd = -1};
    struct mg_status status = open_table(writer, &found);
    if (mg_ok(status))
        status = open_seen(writer, &found);
    if (mg_ok(status))
        status = private_arrays(&found);
    if (!mg_ok(status)) {
        session_generation_drop(&found);
        return status;
    }
    *ret_repaired = repair(&found);
    *ret_generation = found;
    return OK;
}

/* Every mark of a generation in one array; what cannot be read is 0. Marks are hints, and the
 * workers own that file: a short one is not an error. */
static uint64_t *
read_marks(const struct session_generation *generation)
{
    uint64_t *marks = calloc(generation->capacity, sizeof *marks);
    if (marks == NULL)
        return NULL;
    const size_t bytes = generation->capacity * sizeof *marks;
    for (size_t done = 0; done < bytes;) {
        const ssize_t got =
            pread(generation->seen_fd, (uint8_t *) marks + done, bytes - done, (off_t) (SEEN_HEADER + done));
        if (got <= 0)
            break;
        done += (size_t) got;
    }
    return marks;
}

/* Copies every session; `slots` receives where each old slot went. */
static struct mg_status
fill_next(const struct session_generation *old, struct session_generation *next, const uint64_t *marks,
          uint64_t *slots)
{
    for (uint64_t slot = 0; slot < old->capacity; slot++) {
        slots[slot] = NO_SLOT;
        if (!session_slot_live(old, slot))
            continue;
        struct mg_session session;
        session_slot_read(old, slot, &session);
        TRY(session_slot_put(next, &session, &slots[slot]));
        next->fresh[slots[slot]] = old->fresh[slot];
        if (marks[slot] != 0)
            session_seen_write(next, slots[slot], marks[slot]);
    }
    next->header->heartbeat_ms = old->header->heartbeat_ms;
    next->header->wanted_policy = old->header->wanted_policy;
    next->header->refusal_epoch = old->header->refusal_epoch;
    return OK;
}

/* Marks that workers stored in the old file while it was being copied. */
static void
carry_late_marks(const struct session_generation *old, const struct session_generation *next,
                 const uint64_t *before, const uint64_t *slots)
{
    uint64_t *after = read_marks(old);
    for (uint64_t slot = 0; after != NULL && slot < old->capacity; slot++)
        if (after[slot] != before[slot] && slots[slot] != NO_SLOT)
            session_seen_write(next, slots[slot], after[slot]);
    free(after);
}

static struct mg_status
move_to(struct mg_session_writer *writer, struct session_generation *next, uint64_t *marks, uint64_t *slots)
{
    if (marks == NULL || slots == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(fill_next(&writer->current, next, marks, slots));
    TRY(session_generation_install(writer, next));
    carry_late_marks(&writer->current, next, marks, slots);
    return OK;
}

struct mg_status
session_generation_grow(struct mg_session_writer *writer, uint64_t least)
{
    /* Half full afterwards, so that growing is rare and probes stay short; three quarters before
     * the next time. 96 bytes a slot, the mark included, keep a session within 183 bytes. */
    uint64_t wanted = least > writer->current.sessions + 1 ? least : writer->current.sessions + 1;
    if (wanted > SESSION_CAPACITY_MOST / 2)
        return fail_with(TOO_LARGE, "%llu sessions", (unsigned long long) wanted);
    wanted += wanted * 9 / 10;
    struct session_generation next;
    TRY(session_generation_create(writer, writer->current.number + 1, wanted, &next));
    uint64_t *marks = read_marks(&writer->current);
    uint64_t *slots = calloc(writer->current.capacity, sizeof *slots);
    const struct mg_status status = move_to(writer, &next, marks, slots);
    free(marks);
    free(slots);
    if (!mg_ok(status)) {
        session_generation_drop(&next);
        return status;
    }
    session_generation_drop(&writer->current);
    writer->current = next;
    return OK;
}
