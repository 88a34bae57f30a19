/* A worker's reader of the assertion map: the input overwrites entries of a good one. */
#include "wire/assertion_map.h"
#include "shared_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW ((mg_instant) 1790000000000)

static const struct mg_buffer *
good_map(void)
{
    static struct mg_buffer map = MG_BUFFER(1 << 20);
    if (map.length > 0)
        return &map;
    OWN(assertion_writer) writer = NULL;
    mg_must(mg_ok(mg_assertion_writer_open(shared_directory(), 8, (gid_t) -1, &writer)));
    for (uint64_t id = 1; id <= 8; id++) {
        const struct mg_assertion row = {
            .not_before = NOW, .expires = NOW + 300000, .token = mg_view_text("token")};
        mg_must(mg_ok(mg_assertion_put(writer, id, &row, 1, NOW)));
    }
    char path[MG_PATH];
    mg_must(mg_ok(mg_path_join(path, shared_directory(), "assertions")) && mg_ok(mg_file_read(path, &map)));
    return &map;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    OWN_BUFFER(map, 1 << 20);
    mg_must(mg_ok(mg_buffer_add(&map, mg_buffer_view(good_map()))));
    const size_t at = ((size_t) data[0] << 8 | data[1]) % map.length;
    const size_t length = size - 2 < map.length - at ? size - 2 : map.length - at;
    memcpy(map.bytes + at, data + 2, length);
    shared_write("assertions", mg_buffer_view(&map));
    OWN(assertion_reader) reader = NULL;
    if (!mg_ok(mg_assertion_reader_open(shared_directory(), &reader)))
        return 0;
    for (uint64_t id = 1; id <= 9; id++) {
        uint8_t text[MG_ASSERTION_BYTES];
        size_t token = 0;
        if (mg_assertion_find(reader, id, NOW, text, &token))
            mg_must(token <= MG_ASSERTION_BYTES);
    }
    return 0;
}
