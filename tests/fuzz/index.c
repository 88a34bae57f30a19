/* The search index: the file is the input's, and so is what the log's entries say when they are opened.
 * Opening always works, and every row of an entry is known afterwards. */
#include "process/audit/index.c" /* NOLINT(bugprone-suspicious-include) */
#include "shared_file.h"

#define SIZE 3

static struct mg_view event;

/* Stands in for the entry's decryption. */
struct mg_status
mg_entry_open(struct mg_view leaf, struct mg_buffer *json)
{
    (void) leaf;
    return mg_buffer_add(json, event);
}

static void
log_make(void)
{
    OWN_BUFFER(bundle, 256);
    uint8_t leaf[13] = {1};
    for (size_t i = 0; i < SIZE; i++) {
        leaf[8] = (uint8_t) i;
        mg_must(mg_ok(mg_bundle_add(&bundle, mg_view_of(leaf, sizeof leaf))));
    }
    const struct mg_tile tile = {.entries = true, .width = SIZE};
    mg_must(mg_ok(mg_log_tile_write(shared_directory(), &tile, mg_buffer_view(&bundle))));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Two bytes: the length of the file; the file; the event. */
int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static bool made;
    char path[MG_PATH];
    if (length < 2 || length > 60000)
        return 0;
    if (!made)
        log_make();
    made = true;
    size_t rows = (size_t) bytes[0] | (size_t) bytes[1] << 8;
    rows = rows < length - 2 ? rows : length - 2;
    shared_write("index", mg_view_of(bytes + 2, rows));
    event = mg_view_of(bytes + 2 + rows, length - 2 - rows);
    struct mg_entry_index *index = NULL;
    mg_must(mg_ok(mg_path_join(path, shared_directory(), "index")));
    mg_must(mg_ok(mg_index_open(path, shared_directory(), SIZE, &index)));
    for (uint64_t i = 0; i < SIZE; i++)
        mg_must(mg_index_get(index, i).known != 0);
    mg_must(mg_index_get(index, SIZE).known == 0 && mg_index_get(index, UINT64_MAX).known == 0);
    (void) munmap(index->map, ROWS_MOST * sizeof(struct mg_index_row));
    mg_fd_drop(&index->fd);
    free(index);
    return 0;
}
