/* Every decoder of catalogue/messages.def. The input: "request NAME" or "reply NAME", a NUL, the fields
 * (names, since the numbers of messages change when rows are added). What decodes must encode to the same
 * bytes: there is one form of each message. Lists are walked to their end. */
#include "wire/messages.h"

/* A record list: every row that decodes must encode again to the bytes it was read from. */
#define U64(name)
#define I64(name)
#define FLAG(name)
#define TEXT(name, most)
#define BYTES(name, most)
#define SECRET(name, most)
#define LIST(name, record, most) walk_##record(m.name);

#define MESSAGE(name, senders, receiver, maximum, fields)
#define REPLY(name, maximum, fields)
#define RECORD(name, fields)                                                                     \
    static void walk_##name(struct mg_list list)                                                 \
    {                                                                                            \
        for (;;) {                                                                               \
            const struct mg_view before = list.bytes;                                            \
            struct mg_record_##name m;                                                           \
            bool more;                                                                           \
            if (!mg_ok(mg_list_next_##name(&list, &m, &more)) || !more)                          \
                return;                                                                          \
            mg_must(list.bytes.length < before.length);                                          \
            OWN_BUFFER(again, MG_PACKET_MOST);                                                   \
            mg_must(mg_ok(mg_list_add_##name(&again, &m)));                                      \
            mg_must(mg_view_equal(mg_buffer_view(&again),                                        \
                                  mg_view_of(before.bytes, before.length - list.bytes.length))); \
            fields                                                                               \
        }                                                                                        \
    }
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD

#define CHECK(direction, name, fields)                              \
    static void check_##direction##_##name(struct mg_view packet)   \
    {                                                               \
        struct mg_##direction##_##name m;                           \
        if (!mg_ok(mg_decode_##direction##_##name(packet, &m)))     \
            return;                                                 \
        OWN_BUFFER(again, MG_PACKET_MOST);                          \
        mg_must(mg_ok(mg_encode_##direction##_##name(&m, &again))); \
        mg_must(mg_view_equal(mg_buffer_view(&again), packet));     \
        fields                                                      \
    }
#define MESSAGE(name, senders, receiver, maximum, fields) CHECK(request, name, fields)
#define REPLY(name, maximum, fields) CHECK(reply, name, fields)
#define RECORD(name, fields)
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const uint8_t *end = length == 0 ? NULL : memchr(bytes, 0, length);
    if (end == NULL || length > MG_PACKET_MOST)
        return 0;
    const struct mg_view name = mg_view_of(bytes, (size_t) (end - bytes));
    const struct mg_view packet = mg_view_of(end + 1, length - name.length - 1);
#define MESSAGE(row, senders, receiver, maximum, fields) \
    if (mg_view_is(name, "request " #row))               \
        check_request_##row(packet);
#define REPLY(row, maximum, fields)      \
    if (mg_view_is(name, "reply " #row)) \
        check_reply_##row(packet);
#define RECORD(row, fields)
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD
    return 0;
}
