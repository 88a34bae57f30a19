#include "wire/refusal_ring.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING_MAGIC 0x313046455247474DULL /* "MGGREF01" */
#define RING_CELLS 4096U
#define RING_PROBES 16U

struct ring_cell {
    _Atomic uint64_t key; /* 0: free */
    uint64_t network_high, network_low;
    _Atomic uint64_t count;
    uint32_t tenant_id, reason;
    uint32_t first_s;
    _Atomic uint32_t last_s;
};

struct ring_bank {
    _Atomic uint64_t lost;
    uint64_t unused[7];
    struct ring_cell cells[RING_CELLS];
};

struct ring_file {
    uint64_t magic, bytes;
    uint64_t unused[6];
    struct ring_bank banks[2];
};

static const struct mg_refusal_row rows[MG_REFUSAL_COUNT] = {
#define REFUSAL(NAME, http, text, english, japanese) \
    [MG_REFUSAL_##NAME] = {.status = http, .name = text, .en = english, .ja = japanese},
#include "../../catalogue/refusals.def"
#undef REFUSAL
};

const struct mg_refusal_row *
mg_refusal_row(enum mg_refusal reason)
{
    return (unsigned) reason < MG_REFUSAL_COUNT && rows[reason].name != NULL ? &rows[reason] : NULL;
}

/* ---- the authority --------------------------------------------------------------------------- */

struct mg_refusal_drain {
    int fd;
};

static struct mg_status
create_ring(const char *path, gid_t group, int *ret_fd)
{
    char fresh[MG_PATH];
    TRY(mg_view_copy(mg_view_text(path), fresh, sizeof fresh - 4));
    memcpy(fresh + strlen(fresh), ".new", 5);
    (void) unlink(fresh);
    OWN_FD fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno("create %s", fresh);
    errno = posix_fallocate(fd, 0, sizeof(struct ring_file));
    if (errno != 0)
        return fail_errno("reserve %s", fresh);
    const uint64_t head[2] = {RING_MAGIC, sizeof(struct ring_file)};
    TRY(mg_fd_write_all(fd, mg_view_of(head, sizeof head)));
    if (group != (gid_t) -1 && fchown(fd, (uid_t) -1, group) != 0)
        return fail_errno("chown %s", fresh);
    if (fchmod(fd, 0660) != 0 || rename(fresh, path) != 0)
        return fail_errno("rename %s", fresh);
    *ret_fd = fd;
    fd = -1;
    return OK;
}

struct mg_status
mg_refusal_drain_open(const char *directory, gid_t group, struct mg_refusal_drain **ret_drain)
{
    OWN(refusal_drain) drain = calloc(1, sizeof *drain);
    if (drain == NULL)
        return fail(OUT_OF_MEMORY);
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, "refusals"));
    drain->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct stat found;
    uint64_t head[2];
    if (drain->fd < 0 || fstat(drain->fd, &found) != 0 || found.st_size != sizeof(struct ring_file) ||
        pread(drain->fd, head, sizeof head, 0) != sizeof head || head[0] != RING_MAGIC ||
        head[1] != sizeof(struct ring_file)) {
        mg_fd_drop(&drain->fd);
        TRY(create_ring(path, group, &drain->fd));
    }
    *ret_drain = TAKE(drain);
    return OK;
}

void
mg_refusal_drain_drop(struct mg_refusal_drain **drain)
{
    if (*drain != NULL)
        mg_fd_drop(&(*drain)->fd);
    free(*drain);
    *drain = NULL;
}

static struct mg_status
visit_bank(const struct ring_bank *bank, mg_refusal_visit visit, void *context, uint64_t *ret_lost)
{
    for (size_t i = 0; i < RING_CELLS; i++) {
        const struct ring_cell *cell = &bank->cells[i];
        if (cell->key == 0 || cell->count == 0 || mg_refusal_row((enum mg_refusal) cell->reason) == NULL)
            continue;
        const struct mg_refusal_count count = {
            .tenant_id = cell->tenant_id,
            .reason = (enum mg_refusal) cell->reason,
            .network = {.high = cell->network_high, .low = cell->network_low},
            .count = cell->count,
            .first_at = (mg_instant) cell->first_s * 1000,
            .last_at = (mg_instant) cell->last_s * 1000,
        };
        TRY(visit(context, &count));
    }
    *ret_lost = bank->lost;
    return OK;
}

struct mg_status
mg_refusal_drain_run(struct mg_refusal_drain *drain, struct mg_session_writer *writer, mg_refusal_visit visit,
                     void *context, uint64_t *ret_lost)
{
    const uint64_t next = mg_session_refusal_epoch(writer) + 1;
    const off_t at = (off_t) (offsetof(struct ring_file, banks) + (next & 1) * sizeof(struct ring_bank));
    struct ring_bank *bank = calloc(1, sizeof *bank);
    if (bank == NULL)
        return fail(OUT_OF_MEMORY);
    struct mg_status status = OK;
    uint64_t lost = 0;
    if (pread(drain->fd, bank, sizeof *bank, at) != (ssize_t) sizeof *bank)
        status = fail_with(INTEGRITY, "the refusals were cut short");
    if (mg_ok(status))
        status = visit_bank(bank, visit, context, &lost);
    memset(bank, 0, sizeof *bank);
    if (mg_ok(status) && pwrite(drain->fd, bank, sizeof *bank, at) != (ssize_t) sizeof *bank)
        status = fail_errno("empty the refusals");
    free(bank);
    TRY(status);
    mg_session_set_refusal_epoch(writer, next);
    *ret_lost = lost;
    return OK;
}

/* ---- a worker -------------------------------------------------------------------------------- */

struct mg_refusal_ring {
    struct ring_file *file;
};

struct mg_status
mg_refusal_ring_open(const char *directory, struct mg_refusal_ring **ret_ring)
{
    OWN(refusal_ring) ring = calloc(1, sizeof *ring);
    if (ring == NULL)
        return fail(OUT_OF_MEMORY);
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, "refusals"));
    OWN_FD fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0)
        return fail_errno("open %s", path);
    if (!S_ISREG(found.st_mode) || found.st_size != sizeof(struct ring_file))
        return fail_with(INTEGRITY, "%s: size", path);
    void *base = mmap(NULL, sizeof(struct ring_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return fail_errno("map %s", path);
    ring->file = base;
    if (ring->file->magic != RING_MAGIC || ring->file->bytes != sizeof(struct ring_file))
        return fail_with(INTEGRITY, "%s: header", path);
    *ret_ring = TAKE(ring);
    return OK;
}

void
mg_refusal_ring_drop(struct mg_refusal_ring **ring)
{
    if (*ring != NULL && (*ring)->file != NULL)
        (void) munmap((*ring)->file, sizeof(struct ring_file));
    free(*ring);
    *ring = NULL;
}

static uint64_t
key_of(uint32_t tenant_id, enum mg_refusal reason, struct mg_address network)
{
    uint64_t key = network.high * 0x9E3779B97F4A7C15ULL ^ network.low;
    key = (key ^ key >> 29) * 0xBF58476D1CE4E5B9ULL + tenant_id;
    key = (key ^ key >> 32) * 0x94D049BB133111EBULL + (uint64_t) reason;
    return key | 1; /* never the free value */
}

void
mg_refusal_count(struct mg_refusal_ring *ring, uint64_t epoch, uint32_t tenant_id, enum mg_refusal reason,
                 struct mg_address client, mg_instant now)
{
    if (ring == NULL)
        return;
    const struct mg_address network = mg_address_prefix(client);
    const uint64_t key = key_of(tenant_id, reason, network);
    struct ring_bank *bank = &ring->file->banks[epoch & 1];
    for (unsigned probe = 0; probe < RING_PROBES; probe++) {
        struct ring_cell *cell = &bank->cells[((key >> 20) + probe) & (RING_CELLS - 1)];
        uint64_t there = 0;
        if (atomic_compare_exchange_strong(&cell->key, &there, key)) {
            cell->network_high = network.high;
            cell->network_low = network.low;
            cell->tenant_id = tenant_id;
            cell->reason = (uint32_t) reason;
            cell->first_s = (uint32_t) (now / 1000);
        } else if (there != key)
            continue;
        atomic_store_explicit(&cell->last_s, (uint32_t) (now / 1000), memory_order_relaxed);
        atomic_fetch_add_explicit(&cell->count, 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&bank->lost, 1, memory_order_relaxed);
}
