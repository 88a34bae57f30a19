/* A worker's reader of the session table, and the writer that opens what another one left. The input
 * overwrites a good table from the place that its first two bytes name; the checksum of the header is
 * put right when the third byte says so. */
#include "shared_file.h"
#include "wire/session_layout.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW ((mg_instant) 1790000000000)

static void
token_hash(uint64_t id, uint8_t hash[MG_TOKEN_HASH])
{
    for (size_t i = 0; i < MG_TOKEN_HASH; i++)
        hash[i] = (uint8_t) (id * 37 + i * 11 + 1);
}

/* The bytes of a small good table; made once. */
static const struct mg_buffer *
good_table(void)
{
    static struct mg_buffer table = MG_BUFFER(1 << 20);
    if (table.length > 0)
        return &table;
    OWN(session_writer) writer = NULL;
    struct mg_session_report report;
    mg_must(mg_ok(mg_session_writer_open(shared_directory(), 64, (gid_t) -1, &writer, &report)));
    for (uint64_t id = 1; id <= 20; id++) {
        struct mg_session session = {.session_id = id,
                                     .user_id = id,
                                     .tenant_id = 1,
                                     .origin = MG_ORIGIN_APP,
                                     .idle_ms = 900000,
                                     .expires_at = NOW + 1000000,
                                     .last_seen_at = NOW};
        token_hash(id, session.token_hash);
        mg_must(mg_ok(mg_session_put(writer, &session)));
    }
    char path[MG_PATH];
    mg_must(mg_ok(mg_path_join(path, shared_directory(), "sessions")) && mg_ok(mg_file_read(path, &table)));
    return &table;
}

/* The good table's marks: taking over removes them. */
static void
keep_marks(void)
{
    struct session_header header;
    memcpy(&header, good_table()->bytes, sizeof header);
    static uint64_t marks[1024];
    const struct seen_header head = {
        .magic = SEEN_MAGIC, .generation = header.generation, .capacity = header.capacity};
    memcpy(marks, &head, sizeof head);
    char name[32];
    (void) snprintf(name, sizeof name, "seen.%llu", (unsigned long long) header.generation);
    mg_must(seen_file_bytes(header.capacity) <= sizeof marks);
    shared_write(name, mg_view_of(marks, seen_file_bytes(header.capacity)));
}

static void
read_all(void)
{
    OWN(session_reader) reader = NULL;
    if (!mg_ok(mg_session_reader_open(shared_directory(), &reader)))
        return;
    for (uint64_t id = 1; id <= 21; id++) {
        uint8_t hash[MG_TOKEN_HASH];
        struct mg_session_hot hot;
        struct mg_session_cold cold;
        token_hash(id, hash);
        if (mg_session_lookup(reader, hash, NOW, true, &hot) == MG_SESSION_FOUND)
            (void) mg_session_cold_read(reader, &hot, &cold);
    }
}

/* A writer must come up on anything, and its readers with it. */
static void
take_over(void)
{
    OWN(session_writer) writer = NULL;
    struct mg_session_report report;
    mg_must(mg_ok(mg_session_writer_open(shared_directory(), 64, (gid_t) -1, &writer, &report)));
    struct mg_session session = {.session_id = 99,
                                 .user_id = 9,
                                 .tenant_id = 1,
                                 .origin = MG_ORIGIN_APP,
                                 .expires_at = NOW + 1000000,
                                 .idle_ms = 900000,
                                 .last_seen_at = NOW};
    token_hash(99, session.token_hash);
    mg_must(mg_ok(mg_session_put(writer, &session)));
    OWN(session_reader) reader = NULL;
    mg_must(mg_ok(mg_session_reader_open(shared_directory(), &reader)));
    struct mg_session_hot hot;
    mg_must(mg_session_lookup(reader, session.token_hash, NOW, false, &hot) == MG_SESSION_FOUND);
    uint64_t count;
    mg_must(mg_ok(mg_session_remove(writer, &(struct mg_session_match){.user_id = 9}, &count)));
    mg_must(mg_session_lookup(reader, session.token_hash, NOW, false, &hot) == MG_SESSION_NONE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const struct mg_buffer *good = good_table();
    OWN_BUFFER(table, 1 << 20);
    mg_must(mg_ok(mg_buffer_add(&table, mg_buffer_view(good))));
    const size_t at = ((size_t) data[0] << 8 | data[1]) % table.length;
    const size_t length = size - 3 < table.length - at ? size - 3 : table.length - at;
    memcpy(table.bytes + at, data + 3, length);
    if ((data[2] & 1) != 0) {
        struct session_header header;
        memcpy(&header, table.bytes, sizeof header);
        header.checksum = session_header_checksum(&header);
        memcpy(table.bytes + offsetof(struct session_header, checksum), &header.checksum,
               sizeof header.checksum);
    }
    if ((data[2] & 2) != 0)
        table.length -= at;
    shared_write("sessions", mg_buffer_view(&table));
    keep_marks();
    read_all();
    take_over();
    return 0;
}
