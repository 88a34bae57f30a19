/* Questions about scanned facts that grading and the IPA items share. Internal to src/domain. */
#ifndef MG_DOMAIN_TLS_FACTS_H
#define MG_DOMAIN_TLS_FACTS_H

#include "domain/tls_grade.h"

typedef bool (*mg_suite_test)(const struct mg_tls_suite *suite);

/* Any of the version bits was accepted. */
bool mg_tls_facts_has(const struct mg_tls_facts *facts, unsigned versions);
/* Any accepted suite passes the test, in any of the version bits. */
bool mg_tls_facts_any(const struct mg_tls_facts *facts, unsigned versions, mg_suite_test test);
/* The certificate's key as bits of RSA: ECDSA 256 stands for 3072, 384 for 7680. */
unsigned mg_tls_facts_key_strength(const struct mg_tls_facts *facts);

bool mg_suite_is_anonymous(const struct mg_tls_suite *suite);
bool mg_suite_is_null(const struct mg_tls_suite *suite);
bool mg_suite_is_export(const struct mg_tls_suite *suite);
bool mg_suite_is_rc4(const struct mg_tls_suite *suite);
bool mg_suite_is_small_block(const struct mg_tls_suite *suite);
bool mg_suite_is_forward_secret(const struct mg_tls_suite *suite);
bool mg_suite_is_aead(const struct mg_tls_suite *suite);

#endif
