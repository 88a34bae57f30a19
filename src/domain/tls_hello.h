/* The first bytes of TLS, by hand: a ClientHello of any version from SSL 2 on with any list of suites,
 * and what a server answers to it. For scanning only: OpenSSL cannot offer what it no longer knows.
 * RFC 5246 (TLS 1.2), RFC 8446 (TLS 1.3), RFC 6101 (SSL 3), draft-hickman-netscape-ssl (SSL 2).
 * Pure: no I/O. The decoder takes foreign bytes; it is fuzzed (tests/fuzz/tls_hello.c). */
#ifndef MG_DOMAIN_TLS_HELLO_H
#define MG_DOMAIN_TLS_HELLO_H

#include "domain/tls_profile.h"

struct mg_client_hello {
    enum mg_tls_version version; /* the one and only version offered */
    const uint16_t *suites;      /* not for SSL 2, which offers all its kinds */
    size_t suite_count;
    const uint16_t *groups; /* supported_groups; none: 15 common ones */
    size_t group_count;
    const char *server_name;                       /* NULL: no server_name extension */
    bool compression, ticket, heartbeat, fallback; /* what the hello asks for beside */
};

/* Appends one record. */
CHECKED struct mg_status mg_client_hello_encode(const struct mg_client_hello *hello,
                                                struct mg_buffer *buffer);

enum mg_answer_kind {
    MG_ANSWER_NONE = 0, /* the server closed without a word */
    MG_ANSWER_HELLO,    /* it accepted */
    MG_ANSWER_RETRY,    /* TLS 1.3 HelloRetryRequest: accepted, wants a key share of `group` */
    MG_ANSWER_ALERT,
    MG_ANSWER_SSL2,  /* a SERVER-HELLO of SSL 2 */
    MG_ANSWER_OTHER, /* not TLS */
};

struct mg_server_answer {
    enum mg_answer_kind kind;
    uint16_t version; /* negotiated: 0x0300 ... 0x0304, 0x0002 */
    uint16_t suite;
    uint16_t group;   /* of the key exchange; 0 if not seen */
    unsigned dh_bits; /* of the prime in a finite-field key exchange; 0 if not seen */
    uint8_t compression;
    uint8_t alert; /* description, when kind is ALERT */
    bool renegotiation_info, ticket, heartbeat, downgrade_mark;
    bool complete; /* ServerHelloDone (or all that TLS 1.3 shows in clear) was seen */
};

#define MG_ANSWER_MOST 131072

/* Reads what has come so far. *ret_more: the bytes end in the middle, read on. Bytes that are not TLS
 * give MG_ANSWER_OTHER; a broken handshake message gives MALFORMED. */
CHECKED struct mg_status mg_server_answer_decode(struct mg_view bytes, struct mg_server_answer *ret_answer,
                                                 bool *ret_more);

/* The bit of enum mg_tls_version for a number on the wire; 0 if none. */
unsigned mg_tls_version_of_wire(uint16_t version);
uint16_t mg_tls_version_to_wire(enum mg_tls_version version);

#endif
