/* TLS profiles: one table (catalogue/tls_profiles.def) that yields the nginx directives of a listener
 * and the facts a probe expects of it. The levels follow the IPA / CRYPTREC "TLS暗号設定ガイドライン"
 * (version 3): recommended = 推奨セキュリティ型, high = 高セキュリティ型, legacy = セキュリティ例外型.
 * aes256 is stricter than recommended in its ciphers. Pure: no I/O. */
#ifndef MG_DOMAIN_TLS_PROFILE_H
#define MG_DOMAIN_TLS_PROFILE_H

#include "base/bytes.h"

/* Bits, so that a scan can say which of them a server accepts. */
enum mg_tls_version {
    MG_SSL_2 = 1,
    MG_SSL_3 = 2,
    MG_TLS_1_0 = 4,
    MG_TLS_1_1 = 8,
    MG_TLS_1_2 = 16,
    MG_TLS_1_3 = 32,
};
#define MG_TLS_VERSION_COUNT 6

/* "TLS 1.2"; never NULL. `version` is one bit. */
const char *mg_tls_version_name(unsigned version);

enum mg_tls_profile {
    MG_TLS_PROFILE_NONE = 0, /* an unset profile is not a weak one: it is refused */
#define TLS_PROFILE(NAME, ...) MG_TLS_PROFILE_##NAME,
#include "../../catalogue/tls_profiles.def"
#undef TLS_PROFILE
    MG_TLS_PROFILE_COUNT
};

struct mg_tls_profile_row {
    const char *name;
    bool weak;
    unsigned versions; /* bits of enum mg_tls_version */
    const char *ciphers, *suites, *groups;
    const char *en, *ja;
};

/* NULL for MG_TLS_PROFILE_NONE and unknown numbers. */
const struct mg_tls_profile_row *mg_tls_profile_row(enum mg_tls_profile profile);

/* INVALID for an unknown name, with the allowed ones in the detail. REFUSED for a weak profile
 * unless weak_allowed. */
CHECKED struct mg_status mg_tls_profile_parse(struct mg_view name, bool weak_allowed,
                                              enum mg_tls_profile *ret_profile);

/* Appends the directives of nginx's http block, each on a line of its own, indented by four. */
CHECKED struct mg_status mg_tls_profile_nginx(enum mg_tls_profile profile, struct mg_buffer *buffer);

#endif
