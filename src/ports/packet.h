/* One packet on a SOCK_SEQPACKET socket: header and fields, with at most one descriptor. */
#ifndef MG_PORTS_PACKET_H
#define MG_PORTS_PACKET_H

#include "wire/messages.h"

struct mg_packet {
    enum mg_kind kind;
    uint64_t call_id;
    struct mg_view fields; /* borrows the receive buffer */
    int fd;                /* -1 unless one came along; the receiver owns it */
};

/* A connected pair, close-on-exec. */
CHECKED struct mg_status mg_packet_pair(int sockets[2]);

/* Begins a packet in `buffer`; the fields are appended by an encoder. */
CHECKED struct mg_status mg_packet_begin(struct mg_buffer *buffer, enum mg_kind kind, uint64_t call_id);

/* Sends the finished packet; waits at most timeout_ms for room. fd -1: none.
 * UNAVAILABLE if the peer is gone, TIMEOUT if there was no room, TOO_LARGE past the row's maximum. */
CHECKED struct mg_status mg_packet_send(int socket, const struct mg_buffer *buffer, int fd, int timeout_ms);

/* Receives one packet into `storage` (of MG_PACKET_MOST bytes). UNAVAILABLE at end of file,
 * MALFORMED for anything that has no row or is longer than its row allows. */
CHECKED struct mg_status mg_packet_receive(int socket, uint8_t *storage, size_t size,
                                           struct mg_packet *ret_packet);

#endif
