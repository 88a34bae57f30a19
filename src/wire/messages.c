#include "wire/messages.h"

static const char *const process_names[] = {
    [MG_WARDEN] = "warden",
#define PROCESS(NAME, name, ...) [MG_##NAME] = #name,
#define WIRE(a, b)
#include "../../catalogue/processes.def"
#undef PROCESS
#undef WIRE
    [MG_CLI] = "cli",
};

const char *
mg_process_name(enum mg_process process)
{
    return (unsigned) process < MG_PROCESS_COUNT ? process_names[process] : "unknown";
}

/* The fields of `m`, one statement each. Empty rows leave the parameters unused. */
#define U64(name) TRY(mg_put_u64(buffer, m->name));
#define I64(name) TRY(mg_put_u64(buffer, (uint64_t) m->name));
#define FLAG(name) TRY(mg_put_flag(buffer, m->name));
#define TEXT(name, most) TRY(mg_put_text(buffer, m->name, most));
#define BYTES(name, most) TRY(mg_put_bytes(buffer, m->name, most));
#define SECRET(name, most) TRY(mg_put_bytes(buffer, m->name, most));
#define LIST(name, record, most) TRY(mg_put_bytes(buffer, m->name.bytes, most));
#define ENCODER(declaration, fields) \
    struct mg_status declaration {   \
        (void) m;                    \
        (void) buffer;               \
        fields return OK;            \
    }
#define MESSAGE(name, senders, receiver, maximum, fields) \
    ENCODER(mg_encode_request_##name(const struct mg_request_##name *m, struct mg_buffer *buffer), fields)
#define REPLY(name, maximum, fields) \
    ENCODER(mg_encode_reply_##name(const struct mg_reply_##name *m, struct mg_buffer *buffer), fields)
#define RECORD(name, fields) \
    ENCODER(mg_list_add_##name(struct mg_buffer *buffer, const struct mg_record_##name *m), fields)
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD
#undef U64
#undef I64
#undef FLAG
#undef TEXT
#undef BYTES
#undef SECRET
#undef LIST

static CHECKED struct mg_status
get_i64(struct mg_reader *reader, int64_t *ret_value)
{
    uint64_t value;
    TRY(mg_get_u64(reader, &value));
    *ret_value = (int64_t) value;
    return OK;
}

#define U64(name) TRY(mg_get_u64(&reader, &m.name));
#define I64(name) TRY(get_i64(&reader, &m.name));
#define FLAG(name) TRY(mg_get_flag(&reader, &m.name));
#define TEXT(name, most) TRY(mg_get_text(&reader, &m.name, most));
#define BYTES(name, most) TRY(mg_get_bytes(&reader, &m.name, most));
#define SECRET(name, most) TRY(mg_get_bytes(&reader, &m.name, most));
#define LIST(name, record, most) TRY(mg_get_bytes(&reader, &m.name.bytes, most));
#define DECODER(declaration, type, fields)              \
    struct mg_status declaration {                      \
        struct mg_reader reader = mg_reader_of(packet); \
        type m = {0};                                   \
        fields TRY(mg_get_end(&reader));                \
        *ret_message = m;                               \
        return OK;                                      \
    }
#define MESSAGE(name, senders, receiver, maximum, fields)                                           \
    DECODER(mg_decode_request_##name(struct mg_view packet, struct mg_request_##name *ret_message), \
            struct mg_request_##name, fields)
#define REPLY(name, maximum, fields)                                                            \
    DECODER(mg_decode_reply_##name(struct mg_view packet, struct mg_reply_##name *ret_message), \
            struct mg_reply_##name, fields)
#define RECORD(name, fields)                                                                        \
    struct mg_status mg_list_next_##name(struct mg_list *list, struct mg_record_##name *ret_record, \
                                         bool *ret_more)                                            \
    {                                                                                               \
        struct mg_reader reader = mg_reader_of(list->bytes);                                        \
        struct mg_record_##name m = {0};                                                            \
        if (list->bytes.length == 0) {                                                              \
            *ret_more = false;                                                                      \
            return OK;                                                                              \
        }                                                                                           \
        fields list->bytes = mg_view_of(reader.at, (size_t) (reader.end - reader.at));              \
        *ret_record = m;                                                                            \
        *ret_more = true;                                                                           \
        return OK;                                                                                  \
    }
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD
#undef U64
#undef I64
#undef FLAG
#undef TEXT
#undef BYTES
#undef SECRET
#undef LIST

/* Sender masks in the table are written KEYS|AUTHORITY. */
enum {
#define PROCESS(NAME, ...) NAME = 1 << MG_##NAME,
#define WIRE(a, b)
#include "../../catalogue/processes.def"
#undef PROCESS
#undef WIRE
    WARDEN = 1 << MG_WARDEN,
    CLI = 1 << MG_CLI,
    ANY = (1 << MG_PROCESS_COUNT) - 1,
};

static const struct mg_message_row rows[MG_KIND_COUNT] = {
#define MESSAGE(n, who, to, most, fields) \
    [MG_REQUEST_##                        \
        n] = {.name = #n, .senders = (who), .receiver = MG_##to, .maximum = (most), .reply = MG_REPLY_##n},
#define REPLY(n, most, fields) [MG_REPLY_##n] = {.name = #n, .maximum = (most)},
#define RECORD(n, fields)
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD
};

const struct mg_message_row *
mg_message_row(enum mg_kind kind)
{
    if ((unsigned) kind >= MG_KIND_COUNT || rows[kind].name == NULL)
        return NULL;
    return &rows[kind];
}
