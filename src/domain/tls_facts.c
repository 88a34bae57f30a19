#include "domain/tls_facts.h"

bool
mg_tls_facts_has(const struct mg_tls_facts *facts, unsigned versions)
{
    return (facts->versions & versions) != 0;
}

bool
mg_tls_facts_any(const struct mg_tls_facts *facts, unsigned versions, mg_suite_test test)
{
    for (size_t i = 0; i < facts->accepted_count; i++) {
        const struct mg_tls_suite suite = mg_tls_suite_of(facts->accepted[i].suite);
        if ((facts->accepted[i].versions & versions) != 0 && test(&suite))
            return true;
    }
    return false;
}

/* NIST SP 800-57 part 1, table 2. */
unsigned
mg_tls_facts_key_strength(const struct mg_tls_facts *facts)
{
    const unsigned bits = facts->certificate.key_bits;
    if (strcmp(facts->certificate.key_type, "EC") != 0)
        return strcmp(facts->certificate.key_type, "RSA") == 0 ? bits : bits >= 253 ? 3072 : 0;
    return bits >= 512   ? 15360
           : bits >= 384 ? 7680
           : bits >= 256 ? 3072
           : bits >= 224 ? 2048
           : bits >= 160 ? 1024
                         : 512;
}

bool
mg_suite_is_anonymous(const struct mg_tls_suite *suite)
{
    return suite->anonymous;
}

bool
mg_suite_is_null(const struct mg_tls_suite *suite)
{
    return suite->bits == 0;
}

bool
mg_suite_is_export(const struct mg_tls_suite *suite)
{
    return suite->export_grade;
}

bool
mg_suite_is_rc4(const struct mg_tls_suite *suite)
{
    return suite->rc4;
}

bool
mg_suite_is_small_block(const struct mg_tls_suite *suite)
{
    return suite->small_blocks;
}

bool
mg_suite_is_forward_secret(const struct mg_tls_suite *suite)
{
    return suite->forward_secrecy;
}

bool
mg_suite_is_aead(const struct mg_tls_suite *suite)
{
    return suite->aead;
}
