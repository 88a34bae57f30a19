/* Fetches over HTTPS on behalf of somebody who chose the address: an administrator of a tenant, or the
 * document of an identity provider. It cannot be led inside (OWASP Server-Side Request Forgery Prevention):
 * the name is resolved once, every address it has must be public (domain/public_address.h) unless the host is
 * allowed by name, the connection goes to exactly these addresses (so a second look-up by another answer
 * changes nothing), redirects are not followed, no proxy is used, and time and size are bounded. */
#ifndef MG_PORTS_OUTBOUND_H
#define MG_PORTS_OUTBOUND_H

#include "base/bytes.h"
#include "domain/federation_refusal.h"
#include "wire/network.h"

#define MG_OUTBOUND_ADDRESSES_MOST 16
#define MG_OUTBOUND_TIME_MS 6000

/* The addresses of a host; UNAVAILABLE if it has none. The system's resolver unless a test brings its own. */
typedef struct mg_status (*mg_outbound_resolver)(void *context, const char *host,
                                                 struct mg_address addresses[MG_OUTBOUND_ADDRESSES_MOST],
                                                 size_t *ret_count);

/* Certificate authorities, read once: a thread that asked again would spend more on them than on the answer.
 */
struct mg_outbound_authorities;

struct mg_outbound_rules {
    const char *inside; /* host names that may lie inside, separated by spaces */
    /* What server certificates are checked against; NULL: the system's. Connections are kept for a while
     * and used again for the same host at the same addresses, by whoever comes with the same authorities. */
    const struct mg_outbound_authorities *authorities;
    mg_outbound_resolver resolve; /* NULL: the system's */
    void *resolve_context;
};

struct mg_outbound_request {
    const char *url;           /* https only */
    struct mg_view form;       /* application/x-www-form-urlencoded for a POST; empty: a GET */
    const char *authorization; /* value of that header, or NULL */
    size_t most;               /* bytes of the answer */
};

struct mg_outbound_answer {
    long status; /* HTTP */
    struct mg_buffer body;
    enum mg_federation_refusal refusal; /* NONE when an answer came (of any status but a redirect) */
    char detail[256];                   /* what happened, for administrators */
};
void mg_outbound_answer_drop(struct mg_outbound_answer *answer);

/* Once in a process, before it is sealed. */
CHECKED struct mg_status mg_outbound_start(void);
/* Ends the connections that are kept; before the authorities that they were checked against are dropped. */
void mg_outbound_stop(void);
/* Those of the PEM text; what stands between the certificates is skipped. INVALID if there is none. The
 * result is the caller's to drop, after the threads that used it. */
CHECKED struct mg_status mg_outbound_authorities_read(struct mg_view pem,
                                                      struct mg_outbound_authorities **ret_authorities);
/* One certificate alone, DER: a server that shows it, or one that it issued. */
CHECKED struct mg_status mg_outbound_authority_read(struct mg_view der,
                                                    struct mg_outbound_authorities **ret_authorities);
/* The system's and those of the file (a path, or "" for none). */
CHECKED struct mg_status mg_outbound_authorities_load(const char *path,
                                                      struct mg_outbound_authorities **ret_authorities);
/* Ends the connections that were checked against them; none of those is in use any more. */
void mg_outbound_authorities_drop(struct mg_outbound_authorities **authorities);
/* A failing status is a fault of ours; what the other side did is in the answer. */
CHECKED struct mg_status mg_outbound_fetch(const struct mg_outbound_rules *rules,
                                           const struct mg_outbound_request *request,
                                           struct mg_outbound_answer *ret_answer);

#endif
