/* Cipher suites as a table (catalogue/tls_suites.def) and what each is worth, read from its name. */
#ifndef MG_DOMAIN_TLS_SUITE_H
#define MG_DOMAIN_TLS_SUITE_H

#include "base/bytes.h"

enum {
#define TLS_SUITE(number, name) MG_TLS_SUITE_AT_##number,
#include "../../catalogue/tls_suites.def"
#undef TLS_SUITE
    MG_TLS_SUITE_COUNT
};

/* How a ServerKeyExchange message begins (RFC 5246 section 7.4.3, RFC 8422 section 5.4). */
enum mg_key_exchange { MG_KEY_EXCHANGE_OTHER = 0, MG_KEY_EXCHANGE_PRIME, MG_KEY_EXCHANGE_CURVE };

struct mg_tls_suite {
    uint16_t number;
    const char *name;
    unsigned bits;        /* strength of the cipher: 0 for none, 40, 56, 112, 128, 256 */
    bool tls13;           /* a suite of TLS 1.3, which says nothing of key exchange */
    bool forward_secrecy; /* ephemeral key exchange with an authenticated peer */
    bool aead;
    bool anonymous, export_grade, rc4;
    bool small_blocks;  /* 64-bit blocks: SWEET32 */
    bool rsa_transport; /* the premaster secret under the server's RSA key: ROBOT, no forward secrecy */
    enum mg_key_exchange key_exchange;
};

/* Fills the properties of row `index` < MG_TLS_SUITE_COUNT. */
struct mg_tls_suite mg_tls_suite_at(size_t index);
/* The row of a number; an unknown one has the name "unknown" and no virtue. */
struct mg_tls_suite mg_tls_suite_of(uint16_t number);

#endif
