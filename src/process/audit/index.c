/* The index lies beside the log, not in the control database: it holds no personal data, it comes and
 * goes with the log, and audit needs neither a database nor its password (ARCHITECTURE.md). */
#include "base/log.h"
#include "ports/log_tiles.h"
#include "process/audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define ROWS_A_STEP 65536
/* Address space, not memory: the file grows under one mapping that never moves. */
#define ROWS_MOST ((uint64_t) 1 << 31)

struct mg_entry_index {
    int fd;
    uint64_t rows; /* that the file has room for */
    struct mg_index_row *map;
};

/* posix_fallocate, so that a full disk is an error here and not a SIGBUS later. */
static CHECKED struct mg_status
grow(struct mg_entry_index *index, uint64_t rows)
{
    if (rows <= index->rows)
        return OK;
    if (rows > ROWS_MOST)
        return fail_with(TOO_LARGE, "the index is full");
    rows = (rows + ROWS_A_STEP - 1) / ROWS_A_STEP * ROWS_A_STEP;
    errno = posix_fallocate(index->fd, 0, (off_t) (rows * sizeof(struct mg_index_row)));
    if (errno != 0)
        return fail_errno("grow the index");
    index->rows = rows;
    return OK;
}

void
mg_index_add(struct mg_entry_index *index, uint64_t entry, const struct mg_index_row *row)
{
    if (index != NULL && mg_ok(grow(index, entry + 1)))
        index->map[entry] = *row;
}

struct mg_index_row
mg_index_get(const struct mg_entry_index *index, uint64_t entry)
{
    if (index == NULL || entry >= index->rows)
        return (struct mg_index_row){0};
    return index->map[entry];
}

/* The row of an event as it stands in the log. */
static struct mg_index_row
row_of(struct mg_view leaf, const char *json)
{
    struct mg_index_row row = {.known = 1};
    row.tenant = 0;
    for (size_t i = 1; i < 9 && i < leaf.length; i++)
        row.tenant = row.tenant << 8 | leaf.bytes[i];
    json_t *event = json_loads(json, 0, NULL);
    const json_t *metadata = json_object_get(event, "metadata");
    const char *name = json_string_value(json_object_get(metadata, "event_code"));
    const char *outcome = json_string_value(json_object_get(json_object_get(event, "unmapped"), "outcome"));
    row.time = (int64_t) json_integer_value(json_object_get(event, "time"));
    row.event = (uint16_t) mg_event_of_name(mg_view_text(name));
    for (unsigned i = 0; outcome != NULL && i < MG_AUDIT_OUTCOME_COUNT; i++)
        if (strcmp(outcome, mg_audit_outcome_name((enum mg_audit_outcome) i)) == 0)
            row.outcome = (uint8_t) i;
    json_decref(event);
    return row;
}

static CHECKED struct mg_status
rebuild(struct mg_entry_index *index, const char *log_directory, uint64_t size)
{
    OWN(log_reader) reader = NULL;
    uint64_t rebuilt = 0;
    TRY(mg_log_reader_new(log_directory, size, &reader));
    for (uint64_t entry = 0; entry < size; entry++) {
        if (index->map[entry].known != 0)
            continue;
        OWN_BUFFER(leaf, MG_LEAF_MOST);
        OWN_BUFFER(json, MG_LEAF_MOST);
        TRY(mg_log_reader_leaf(reader, entry, &leaf));
        const struct mg_status status = mg_entry_open(mg_buffer_view(&leaf), &json);
        /* A damaged entry is the verifier's to report; here it is only not found by time or event. */
        if (status.code != MG_INTEGRITY && status.code != MG_MALFORMED)
            TRY(status);
        index->map[entry] = row_of(mg_buffer_view(&leaf), mg_buffer_text(&json));
        rebuilt++;
    }
    if (rebuilt != 0)
        mg_log(MG_INFO, "index: %llu rows read from the log", (unsigned long long) rebuilt);
    return OK;
}

static CHECKED struct mg_status
index_map(struct mg_entry_index *index, const char *path, uint64_t size)
{
    struct stat found;
    index->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (index->fd < 0 || fstat(index->fd, &found) != 0)
        return fail_errno("open %s", path);
    index->rows = (uint64_t) found.st_size / sizeof(struct mg_index_row);
    TRY(grow(index, size + 1));
    void *map = mmap(NULL, ROWS_MOST * sizeof(struct mg_index_row), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_NORESERVE, index->fd, 0);
    if (map == MAP_FAILED)
        return fail_errno("map %s", path);
    index->map = map;
    /* Rows beyond the log are of entries that a crash took. */
    memset(index->map + size, 0, (index->rows - size) * sizeof(struct mg_index_row));
    return OK;
}

struct mg_status
mg_index_open(const char *path, const char *log_directory, uint64_t size, struct mg_entry_index **ret_index)
{
    struct mg_entry_index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return fail(OUT_OF_MEMORY);
    struct mg_status status = index_map(index, path, size);
    if (mg_ok(status))
        status = rebuild(index, log_directory, size);
    if (!mg_ok(status)) {
        if (index->map != NULL)
            (void) munmap(index->map, ROWS_MOST * sizeof(struct mg_index_row));
        mg_fd_drop(&index->fd);
        free(index);
        return status;
    }
    *ret_index = index;
    return OK;
}
