/* Looking at a TLS server from outside: real connections, one question each. What OpenSSL can no longer
 * offer (SSL 2, SSL 3, old suites) is offered by hand-built hellos (domain/tls_hello.h); certificate,
 * renegotiation and HTTP go through OpenSSL. Every connection has a time limit; a question whose answer
 * is missing stays unanswered in the facts. */
#ifndef MG_PORTS_TLS_SCAN_H
#define MG_PORTS_TLS_SCAN_H

#include "domain/tls_grade.h"
#include "domain/tls_hello.h"

struct mg_tls_target {
    const char *address; /* to connect to: a number or a name */
    uint16_t port;
    const char *server_name; /* asked for in SNI and Host */
    const char *authorities; /* PEM file that is trusted beside the system's; NULL: none */
    int timeout_ms;          /* of one connection; 0: 5000 */
};

/* Asks everything. UNAVAILABLE if the port cannot be reached at all. */
CHECKED struct mg_status mg_tls_scan(const struct mg_tls_target *target, mg_instant now,
                                     struct mg_tls_facts *ret_facts);

/* One question: what the server answers to this hello. The suites of the hello may be NULL for all.
 * TIMEOUT if it stays silent; a closed connection is an answer (MG_ANSWER_NONE). */
CHECKED struct mg_status mg_tls_ask(const struct mg_tls_target *target, const struct mg_client_hello *hello,
                                    struct mg_server_answer *ret_answer);

/* Whether the server agrees to this version with any suite. */
CHECKED struct mg_status mg_tls_version_ask(const struct mg_tls_target *target, enum mg_tls_version version,
                                            bool *ret_accepted);

/* The parts that need a real session: certificate, stapling, timestamps, renegotiation, HSTS. Adds to facts.
 */
CHECKED struct mg_status mg_tls_session_look(const struct mg_tls_target *target, struct mg_tls_facts *facts);

/* A connected blocking socket with time limits; internal to the scanner. */
CHECKED struct mg_status mg_tls_connect(const struct mg_tls_target *target, int *ret_fd);

#endif
