/* Handshakes with our own front door, for the probes. */
#ifndef MG_PROCESS_PROBER_HANDSHAKE_H
#define MG_PROCESS_PROBER_HANDSHAKE_H

#include "ports/tls_scan.h"
#include "probes/observer.h"

struct mg_status mg_prober_tls_ask(struct mg_observer *observer, const char *host,
                                   const struct mg_client_hello *hello, struct mg_server_answer *ret_answer);
struct mg_status mg_prober_tls_scan(struct mg_observer *observer, const char *host,
                                    struct mg_tls_facts *ret_facts);

#endif
