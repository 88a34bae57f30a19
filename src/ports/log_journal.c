#include "ports/log_journal.h"

#include "base/io.h"
#include "wire/codec.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define HEADER_MAGIC 0x31304e524a474dULL /* "MGJRN01" */
#define BATCH_MAGIC 0x3148435442474dULL  /* "MGBTCH1" */
#define HEADER_BYTES 65536
#define BATCH_BYTES 64

struct segment {
    int fd;
    size_t size;
    uint64_t generation; /* 0: no valid header */
};

struct mg_journal {
    struct segment segments[2];
    unsigned current; /* the newest */
    size_t offset;    /* where the next batch goes in it */
};

/* ---- opening ---- */

/* Zeros are written, not only reserved: overwriting written blocks needs no metadata commit. */
static CHECKED struct mg_status
segment_fill(int fd, size_t from, size_t size)
{
    static const uint8_t zeros[65536];
    for (size_t at = from; at < size;) {
        const size_t part = size - at < sizeof zeros ? size - at : sizeof zeros;
        const ssize_t written = pwrite(fd, zeros, part, (off_t) at);
        if (written <= 0)
            return fail_errno("fill the journal");
        at += (size_t) written;
    }
    if (fsync(fd) != 0)
        return fail_errno("sync the journal");
    return OK;
}

static CHECKED struct mg_status
segment_open(const char *directory, const char *name, size_t size, struct segment *segment)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, name));
    segment->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (segment->fd < 0)
        return fail_errno("open %s", path);
    struct stat found;
    if (fstat(segment->fd, &found) != 0)
        return fail_errno("stat %s", path);
    /* Shorter only if making it was interrupted: it has not been used then. */
    if ((size_t) found.st_size < size)
        TRY(segment_fill(segment->fd, (size_t) found.st_size, size));
    segment->size = (size_t) found.st_size < size ? size : (size_t) found.st_size;
    return OK;
}

/* Appends `length` bytes from `offset`; MALFORMED past the segment's end. */
static CHECKED struct mg_status
segment_read(const struct segment *segment, size_t offset, size_t length, struct mg_buffer *bytes)
{
    if (length > segment->size - offset)
        return fail_with(MALFORMED, "journal segment too short");
    TRY(mg_buffer_reserve(bytes, length));
    for (size_t done = 0; done < length;) {
        const ssize_t got =
            pread(segment->fd, bytes->bytes + bytes->length, length - done, (off_t) (offset + done));
        if (got <= 0)
            return fail_errno("read the journal");
        bytes->length += (size_t) got;
        done += (size_t) got;
    }
    return OK;
}

/* ---- headers ---- */

/* Magic, generation, base, peaks, levels 1 up (width and hashes), then the tail: the leaves since
 * base as a batch. The checksum at the end of the header area covers all of it. */
static CHECKED struct mg_status
header_put(const struct mg_log_state *state, uint64_t generation, struct mg_buffer *bytes)
{
    const uint64_t size = state->tree.size;
    struct mg_hash root;
    mg_tree_root(&state->tree, &root);
    TRY(mg_put_u64(bytes, HEADER_MAGIC));
    TRY(mg_put_u64(bytes, generation));
    TRY(mg_put_u64(bytes, size - size % MG_TILE_WIDTH));
    TRY(mg_put_bytes(bytes, mg_view_of(state->tree.peaks, sizeof state->tree.peaks),
                     sizeof state->tree.peaks));
    for (unsigned level = 1; level < MG_LOG_LEVELS; level++)
        TRY(mg_put_bytes(bytes, mg_view_of(state->hashes[level], state->widths[level] * (size_t) MG_HASH),
                         sizeof state->hashes[level]));
    TRY(mg_put_u64(bytes, size));
    TRY(mg_put_bytes(bytes, mg_view_of(root.bytes, MG_HASH), MG_HASH));
    return mg_put_u64(bytes, state->bundle.length);
}

struct header {
    uint64_t generation, base, size, tail_length;
    struct mg_view peaks, levels[MG_LOG_LEVELS], root;
};

static CHECKED struct mg_status
header_get(struct mg_view bytes, struct header *ret_header)
{
    struct mg_reader reader = mg_reader_of(bytes);
    struct header header = {0};
    uint64_t magic;
    TRY(mg_get_u64(&reader, &magic));
    TRY(mg_get_u64(&reader, &header.generation));
    TRY(mg_get_u64(&reader, &header.base));
    TRY(mg_get_bytes(&reader, &header.peaks, sizeof((struct mg_tree *) NULL)->peaks));
    for (unsigned level = 1; level < MG_LOG_LEVELS; level++)
        TRY(mg_get_bytes(&reader, &header.levels[level], (size_t) MG_TILE_WIDTH * MG_HASH));
    TRY(mg_get_u64(&reader, &header.size));
    TRY(mg_get_bytes(&reader, &header.root, MG_HASH));
    TRY(mg_get_u64(&reader, &header.tail_length));
    if (magic != HEADER_MAGIC || header.generation == 0 || header.base % MG_TILE_WIDTH != 0 ||
        header.size < header.base || header.size - header.base >= MG_TILE_WIDTH ||
        header.peaks.length != sizeof((struct mg_tree *) NULL)->peaks || header.root.length != MG_HASH ||
        header.tail_length > MG_BUNDLE_MOST)
        return fail_with(MALFORMED, "journal header");
    *ret_header = header;
    return OK;
}

static CHECKED struct mg_status
header_checksum(struct mg_view header, struct mg_view tail, uint8_t ret_checksum[32])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool made = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                      EVP_DigestUpdate(context, header.bytes, header.length) == 1 &&
                      EVP_DigestUpdate(context, tail.bytes, tail.length) == 1 &&
                      EVP_DigestFinal_ex(context, ret_checksum, NULL) == 1;
    EVP_MD_CTX_free(context);
    return made ? OK : fail(CRYPTO);
}

/* A segment's header and tail, checked against the checksum; the header borrows `area`. */
static CHECKED struct mg_status
header_read(const struct segment *segment, struct mg_buffer *area, struct mg_buffer *tail,
            struct header *ret_header)
{
    struct header header;
    uint8_t checksum[MG_HASH];
    TRY(segment_read(segment, 0, HEADER_BYTES, area));
    const struct mg_view covered = mg_view_of(area->bytes, HEADER_BYTES - MG_HASH);
    TRY(header_get(covered, &header));
    TRY(segment_read(segment, HEADER_BYTES, (size_t) header.tail_length, tail));
    TRY(header_checksum(covered, mg_buffer_view(tail), checksum));
    if (memcmp(checksum, area->bytes + covered.length, MG_HASH) != 0)
        return fail_with(MALFORMED, "journal header");
    *ret_header = header;
    return OK;
}

static CHECKED struct mg_status
segment_find_generation(struct segment *segment)
{
    OWN_BUFFER(area, HEADER_BYTES);
    OWN_BUFFER(tail, MG_BUNDLE_MOST);
    struct header header;
    const struct mg_status status = header_read(segment, &area, &tail, &header);
    if (mg_ok(status))
        segment->generation = header.generation;
    /* A header that does not check was being written when the machine stopped. */
    return status.code == MG_MALFORMED ? OK : status;
}

struct mg_status
mg_journal_open(const char *directory, size_t segment_bytes, struct mg_journal **ret_journal)
{
    mg_must(segment_bytes >= 4 * (size_t) HEADER_BYTES);
    OWN(journal) journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        return fail(OUT_OF_MEMORY);
    journal->segments[0].fd = journal->segments[1].fd = -1;
    TRY(mg_directory_make(directory, 0700));
    TRY(segment_open(directory, "0", segment_bytes, &journal->segments[0]));
    TRY(segment_open(directory, "1", segment_bytes, &journal->segments[1]));
    TRY(mg_directory_sync(directory));
    for (unsigned i = 0; i < 2; i++)
        TRY(segment_find_generation(&journal->segments[i]));
    journal->current = journal->segments[1].generation > journal->segments[0].generation ? 1 : 0;
    journal->offset = journal->segments[journal->current].size;
    *ret_journal = TAKE(journal);
    return OK;
}

void
mg_journal_drop(struct mg_journal **journal)
{
    if (*journal == NULL)
        return;
    mg_fd_drop(&(*journal)->segments[0].fd);
    mg_fd_drop(&(*journal)->segments[1].fd);
    free(*journal);
    *journal = NULL;
}

/* ---- reading back ---- */

/* The older segment counts only if the newer one directly follows it. */
unsigned
mg_journal_segments(const struct mg_journal *journal)
{
    const struct segment *newest = &journal->segments[journal->current];
    const struct segment *other = &journal->segments[1 - journal->current];
    if (newest->generation == 0)
        return 0;
    return other->generation != 0 && other->generation + 1 == newest->generation ? 2 : 1;
}

static CHECKED struct mg_status
state_of_header(const struct header *header, struct mg_view tail, struct mg_log_state *state)
{
    const struct mg_buffer bundle = state->bundle;
    *state = (struct mg_log_state){.bundle = bundle};
    state->tree.size = header->size;
    memcpy(state->tree.peaks, header->peaks.bytes, sizeof state->tree.peaks);
    for (unsigned level = 1; level < MG_LOG_LEVELS; level++) {
        state->widths[level] = (unsigned) (header->levels[level].length / MG_HASH);
        memcpy(state->hashes[level], header->levels[level].bytes, header->levels[level].length);
    }
    struct mg_view rest = tail, leaf;
    for (bool more = true;;) {
        TRY(mg_bundle_next(&rest, &leaf, &more));
        if (!more)
            break;
        if (state->widths[0] == MG_TILE_WIDTH)
            return fail_with(INTEGRITY, "journal header with too many entries");
        mg_merkle_leaf(leaf, &state->hashes[0][state->widths[0]++]);
        TRY(mg_bundle_add(&state->bundle, leaf));
    }
    struct mg_hash root;
    mg_tree_root(&state->tree, &root);
    if (state->widths[0] != header->size % MG_TILE_WIDTH ||
        memcmp(root.bytes, header->root.bytes, MG_HASH) != 0)
        return fail_with(INTEGRITY, "journal header does not fit its entries");
    return OK;
}

struct mg_status
mg_journal_load(const struct mg_journal *journal, unsigned n, struct mg_log_state *state,
                struct mg_buffer *bytes)
{
    const unsigned count = mg_journal_segments(journal);
    mg_must(n < count && state->bundle.length == 0);
    const unsigned which = n + 1 == count ? journal->current : 1 - journal->current;
    const struct segment *segment = &journal->segments[which];
    OWN_BUFFER(area, HEADER_BYTES);
    OWN_BUFFER(tail, MG_BUNDLE_MOST);
    struct header header;
    TRY(header_read(segment, &area, &tail, &header));
    TRY(state_of_header(&header, mg_buffer_view(&tail), state));
    const size_t used = HEADER_BYTES + tail.length;
    return segment_read(segment, used, segment->size - used, bytes);
}

bool
mg_journal_next(struct mg_view *rest, uint64_t size, struct mg_journal_batch *ret_batch)
{
    if (rest->length < BATCH_BYTES)
        return false;
    struct mg_reader reader = mg_reader_of(*rest);
    uint64_t magic, size_before, count, length;
    if (!mg_ok(mg_get_u64(&reader, &magic)) || !mg_ok(mg_get_u64(&reader, &size_before)) ||
        !mg_ok(mg_get_u64(&reader, &count)) || !mg_ok(mg_get_u64(&reader, &length)))
        return false;
    if (magic != BATCH_MAGIC || size_before != size || count == 0 || count > UINT32_MAX ||
        length > rest->length - BATCH_BYTES)
        return false;
    ret_batch->size_before = size_before;
    ret_batch->count = (uint32_t) count;
    memcpy(ret_batch->root_after.bytes, reader.at, MG_HASH);
    ret_batch->bundle = mg_view_of(rest->bytes + BATCH_BYTES, (size_t) length);
    *rest = mg_view_of(rest->bytes + BATCH_BYTES + length, rest->length - BATCH_BYTES - (size_t) length);
    return true;
}

void
mg_journal_resume(struct mg_journal *journal, size_t left)
{
    const size_t size = journal->segments[journal->current].size;
    mg_must(left <= size - HEADER_BYTES);
    journal->offset = size - left;
}

/* ---- writing ---- */

static CHECKED struct mg_status
write_durably(int fd, struct iovec *parts, int count, size_t offset)
{
    while (count > 0) {
        ssize_t written = pwritev(fd, parts, count, (off_t) offset);
        if (written < 0)
            return fail_errno("write the journal");
        offset += (size_t) written;
        for (; count > 0 && (size_t) written >= parts->iov_len; parts++, count--)
            written -= (ssize_t) parts->iov_len;
        if (count > 0) {
            parts->iov_base = (uint8_t *) parts->iov_base + written;
            parts->iov_len -= (size_t) written;
        }
    }
    if (fdatasync(fd) != 0)
        return fail_errno("sync the journal");
    return OK;
}

void
mg_journal_plan_drop(struct mg_journal_plan *plan)
{
    mg_buffer_drop(&plan->bytes);
}

static CHECKED struct mg_status
segment_header(const struct mg_log_state *state, uint64_t generation, struct mg_buffer *bytes)
{
    const struct mg_view tail = mg_buffer_view(&state->bundle);
    TRY(mg_buffer_reserve(bytes, HEADER_BYTES + tail.length));
    memset(bytes->bytes, 0, HEADER_BYTES);
    TRY(header_put(state, generation, bytes));
    const struct mg_view area = mg_view_of(bytes->bytes, HEADER_BYTES - MG_HASH);
    mg_must(bytes->length <= area.length);
    TRY(header_checksum(area, tail, bytes->bytes + area.length));
    bytes->length = HEADER_BYTES;
    return mg_buffer_add(bytes, tail);
}

struct mg_status
mg_journal_plan_segment(struct mg_journal *journal, const struct mg_log_state *state,
                        struct mg_journal_plan *ret_plan)
{
    const struct segment *newest = &journal->segments[journal->current];
    struct segment *next =
        &journal->segments[newest->generation == 0 ? journal->current : 1 - journal->current];
    const size_t length = HEADER_BYTES + state->bundle.length;
    if (length > next->size)
        return fail_with(TOO_LARGE, "the open entry bundle does not fit a journal segment");
    OWN_BUFFER(bytes, length);
    const uint64_t generation = newest->generation + 1;
    TRY(segment_header(state, generation, &bytes));
    next->generation = generation;
    journal->current = (unsigned) (next - journal->segments);
    journal->offset = length;
    *ret_plan = (struct mg_journal_plan){.segment = journal->current, .bytes = bytes};
    bytes = MG_BUFFER(0);
    return OK;
}

bool
mg_journal_has_room(const struct mg_journal *journal, size_t bundle_length)
{
    return journal->segments[journal->current].size - journal->offset >= BATCH_BYTES + bundle_length;
}

struct mg_status
mg_journal_plan_batch(struct mg_journal *journal, const struct mg_journal_batch *batch,
                      struct mg_journal_plan *ret_plan)
{
    mg_must(mg_journal_has_room(journal, batch->bundle.length));
    OWN_BUFFER(head, BATCH_BYTES);
    TRY(mg_put_u64(&head, BATCH_MAGIC));
    TRY(mg_put_u64(&head, batch->size_before));
    TRY(mg_put_u64(&head, batch->count));
    TRY(mg_put_u64(&head, batch->bundle.length));
    TRY(mg_buffer_add(&head, mg_view_of(batch->root_after.bytes, MG_HASH)));
    *ret_plan = (struct mg_journal_plan){
        .segment = journal->current, .offset = journal->offset, .bytes = head, .borrowed = batch->bundle};
    head = MG_BUFFER(0);
    journal->offset += BATCH_BYTES + batch->bundle.length;
    return OK;
}

struct mg_status
mg_journal_write(const struct mg_journal *journal, const struct mg_journal_plan *plan)
{
    struct iovec parts[] = {
        {.iov_base = plan->bytes.bytes, .iov_len = plan->bytes.length},
        {.iov_base = (void *) (uintptr_t) plan->borrowed.bytes, .iov_len = plan->borrowed.length},
    };
    return write_durably(journal->segments[plan->segment].fd, parts, plan->borrowed.length == 0 ? 1 : 2,
                         plan->offset);
}
