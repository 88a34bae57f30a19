/* Server certificates: reading and judging what an operator brings, and the demo's own authority.
 *
 * A private key in clear exists only in memory and below RUN/tls (tmpfs). What must survive a reboot
 * is sealed by the keys process, which this file knows only as struct mg_sealer. */
#ifndef MG_PORTS_CERTIFICATE_H
#define MG_PORTS_CERTIFICATE_H

#include "base/secret.h"
#include "base/time.h"

#include <sys/types.h>

/* How keys at rest are sealed. Both functions are called with `context`. */
struct mg_sealer {
    void *context;
    CHECKED struct mg_status (*seal)(void *context, struct mg_view clear, struct mg_buffer *sealed);
    CHECKED struct mg_status (*unseal)(void *context, struct mg_view sealed, struct mg_secret **ret_clear);
};

struct mg_certificate_facts {
    char subject[256], issuer[256];
    char key_type[16];  /* "EC", "RSA" */
    char signature[32]; /* "ecdsa-with-SHA256" */
    unsigned key_bits;
    mg_instant not_before, not_after;
    size_t chain_length;
    bool anchor_included; /* the chain carries its self-signed root: harmless, but sent in vain */
    bool has_ocsp, must_staple;
    unsigned sct_count; /* RFC 6962 timestamps inside the leaf */
};

/* Chains and keys are refused past these. */
#define MG_CERTIFICATE_CHAIN_MOST 65536
#define MG_CERTIFICATE_KEY_MOST 16384

/* Reads the chain (PEM, leaf first) and checks what can be known before it is served: the order, the
 * signatures inside the chain, key type and strength (RSA 2048 or more, ECDSA on P-256 or more),
 * SHA-2 signatures, validity at `now`, and that every host is named. `key_pem` may be empty; else it
 * must belong to the leaf. INVALID says which rule failed and what to bring instead. */
CHECKED struct mg_status mg_certificate_check(struct mg_view chain_pem, struct mg_view key_pem,
                                              const char *const *hosts, size_t host_count, mg_instant now,
                                              struct mg_certificate_facts *ret_facts);

/* The same for a pair that was just read from files; on success the chain is written to
 * `chain_path` (0644) and the key to `key_path` (0400, given to uid). The files are replaced whole. */
CHECKED struct mg_status mg_certificate_install(struct mg_view chain_pem, struct mg_view key_pem,
                                                const char *const *hosts, size_t host_count, mg_instant now,
                                                const char *chain_path, const char *key_path, uid_t uid);

/* The leaf of a chain in a line, for a record: its subject, when it ends, SHA-256 of its DER form. */
#define MG_CERTIFICATE_SUMMARY 512
CHECKED struct mg_status mg_certificate_summary(struct mg_view chain_pem, char text[MG_CERTIFICATE_SUMMARY]);

/* A P-256 authority that may name only localhost and what ends in .localhost, for TLS servers only
 * (name constraints and extended key usage are critical in effect: even its key, stolen, cannot
 * impersonate a real site to a browser that trusts it). `ret_key` is PKCS#8 DER. */
CHECKED struct mg_status mg_demo_authority_new(mg_instant now, struct mg_buffer *certificate_pem,
                                               struct mg_secret **ret_key);

/* A P-256 leaf for the hosts, 90 days. REFUSED for a host the authority may not name.
 * `ret_key_pem` is PKCS#8 PEM. */
CHECKED struct mg_status mg_demo_leaf_new(struct mg_view authority_pem, struct mg_view authority_key,
                                          const char *const *hosts, size_t host_count, mg_instant now,
                                          struct mg_buffer *chain_pem, struct mg_secret **ret_key_pem);

/* What the demo serves. Files: tls_directory/demo-ca.pem (to be trusted by a browser),
 * tls_directory/demo.pem (leaf), runtime_directory/demo.key (its key, tmpfs).
 * The authority's key is tls_directory/demo-ca.key.sealed with a sealer. Without one it stays at
 * runtime_directory/demo-ca.key, so that a reboot makes a new authority. */
struct mg_demo_tls {
    const char *tls_directory, *runtime_directory;
    const char *const *hosts;
    size_t host_count;
    mg_instant now;
    const struct mg_sealer *sealer; /* may be NULL */
    uid_t key_uid;                  /* nginx's master; (uid_t) -1 leaves the owner */
};

/* Makes or renews what is missing, does not cover a host, or ends within 30 days; `ret_changed`
 * says that nginx must be reloaded. */
/* "localhost" or a name below it: the only hosts that the demo's authority may name. */
bool mg_demo_host_is_local(const char *host);
CHECKED struct mg_status mg_demo_tls_ensure(const struct mg_demo_tls *demo, bool *ret_changed);

#endif
