/* The messages of catalogue/messages.def as C: a struct, an encoder and a decoder per row.
 *
 * Decoded TEXT, BYTES, SECRET and LIST fields borrow the packet. A packet is a header of
 * 16 bytes (u32 kind, u32 zero, u64 call id chosen by the caller of the request) and the fields. */
#ifndef MG_WIRE_MESSAGES_H
#define MG_WIRE_MESSAGES_H

#include "wire/codec.h"

/* Processes, as bits in sender masks and as numbers on the wire. CLI is the operator's program on
 * the admin socket, known by SO_PEERCRED. */
enum mg_process {
    MG_WARDEN = 0,
#define PROCESS(NAME, ...) MG_##NAME,
#define WIRE(a, b)
#include "../../catalogue/processes.def"
#undef PROCESS
#undef WIRE
    MG_CLI,
    MG_PROCESS_COUNT,
    MG_ANY = MG_PROCESS_COUNT,
};
const char *mg_process_name(enum mg_process process);

#define MG_PACKET_MOST 131072
#define MG_PACKET_HEADER 16

enum mg_kind {
    MG_KIND_NONE = 0,
#define MESSAGE(name, senders, receiver, maximum, fields) MG_REQUEST_##name,
#define REPLY(name, maximum, fields) MG_REPLY_##name,
#define RECORD(name, fields)
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD
    MG_KIND_COUNT
};

/* A LIST field: records back to back. Walk with mg_list_next_<record>(). */
struct mg_list {
    struct mg_view bytes;
};

#define U64(name) uint64_t name;
#define I64(name) int64_t name;
#define FLAG(name) bool name;
#define TEXT(name, most) struct mg_view name;
#define BYTES(name, most) struct mg_view name;
#define SECRET(name, most) struct mg_view name;
#define LIST(name, record, most) struct mg_list name;
#define MESSAGE(name, senders, receiver, maximum, fields)             \
    struct mg_request_##name {                                        \
        bool mg_set; /* keeps rows without fields from being empty */ \
        fields                                                        \
    };
#define REPLY(name, maximum, fields)                                  \
    struct mg_reply_##name {                                          \
        bool mg_set; /* keeps rows without fields from being empty */ \
        fields                                                        \
    };
#define RECORD(name, fields)                                          \
    struct mg_record_##name {                                         \
        bool mg_set; /* keeps rows without fields from being empty */ \
        fields                                                        \
    };
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

/* mg_encode_request_<name>(message, buffer) appends the fields; mg_decode_... reads exactly them.
 * Records: mg_list_add_<name>(buffer, record) builds a list's bytes,
 * mg_list_next_<name>(&list, &record, &more) takes the next one; more is false at the end. */
#define MESSAGE(name, senders, receiver, maximum, fields)                                      \
    CHECKED struct mg_status mg_encode_request_##name(const struct mg_request_##name *message, \
                                                      struct mg_buffer *buffer);               \
    CHECKED struct mg_status mg_decode_request_##name(struct mg_view packet,                   \
                                                      struct mg_request_##name *ret_message);
#define REPLY(name, maximum, fields)                                                       \
    CHECKED struct mg_status mg_encode_reply_##name(const struct mg_reply_##name *message, \
                                                    struct mg_buffer *buffer);             \
    CHECKED struct mg_status mg_decode_reply_##name(struct mg_view packet,                 \
                                                    struct mg_reply_##name *ret_message);
#define RECORD(name, fields)                                                                                \
    CHECKED struct mg_status mg_list_add_##name(struct mg_buffer *buffer,                                   \
                                                const struct mg_record_##name *record);                     \
    CHECKED struct mg_status mg_list_next_##name(struct mg_list *list, struct mg_record_##name *ret_record, \
                                                 bool *ret_more);
#include "../../catalogue/messages.def"
#undef MESSAGE
#undef REPLY
#undef RECORD

/* The row of a kind, NULL if there is none. */
struct mg_message_row {
    const char *name;
    uint32_t senders; /* bits 1 << enum mg_process; 0 for a reply */
    enum mg_process receiver;
    size_t maximum;     /* whole packet */
    enum mg_kind reply; /* of a request */
};
const struct mg_message_row *mg_message_row(enum mg_kind kind);

#endif
