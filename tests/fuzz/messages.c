/* Every decoder of catalogue/messages.def. The input: kind (u32), then the fields. What decodes must encode to the
 * same bytes: there is one form of each message. Lists are walked to their end. */
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
#define RECORD(name, fields)                                              \
    static void walk_##name(struct mg_list list)                          \
    {                                                                     \
        for (;;) {                                                        \
            const struct mg_view before = list.bytes;                     \
            struct mg_record_##name m;                                    \
            bool more;                                                    \
            if (!mg_ok(mg_list_next_##name(&list, &m, &more)) || !more)   \
                return;                                                   \
            mg_must(list.bytes.length < before.length);                   \
            OWN_BUFFER(again, MG_PACKET_MOST);                            \
            mg_must(mg_ok(mg_list_add_##name(&again, &m)));               \
            mg_must(mg_view_equal(mg_buffer_view(&again),                 \
                                  mg_view_of(before.bytes, before.length - list.bytes.length))); \
            fields                                                        \
        }                                                                 \
    }
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD

#define CHECK(direction, name, fields)                                       \
    static void check_##direction##_##name(struct mg_view packet)            \
    {                                                                        \
        struct mg_##direction##_##name m;                                    \
        if (!mg_ok(mg_decode_##direction##_##name(packet, &m)))              \
            return;                                                          \
        OWN_BUFFER(again, MG_PACKET_MOST);                                   \
        mg_must(mg_ok(mg_encode_##direction##_##name(&m, &again)));          \
        mg_must(mg_view_equal(mg_buffer_view(&again), packet));              \
        fields                                                               \
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
    if (length < 4 || length > MG_PACKET_MOST)
        return 0;
    const uint32_t kind = (uint32_t) bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16 | (uint32_t) bytes[3] << 24;
    const struct mg_view packet = mg_view_of(bytes + 4, length - 4);
    switch (kind % MG_KIND_COUNT) {
#define MESSAGE(name, senders, receiver, maximum, fields) \
    case MG_REQUEST_##name:                               \
        check_request_##name(packet);                     \
        break;
#define REPLY(name, maximum, fields)    \
    case MG_REPLY_##name:               \
        check_reply_##name(packet);     \
        break;
#define RECORD(name, fields)
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD
    default:
        break;
    }
    return 0;
}
