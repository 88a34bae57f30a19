/* Grading a TLS server after Qualys' "SSL Server Rating Guide" (2009r): what was seen in, a letter out,
 * with the reason of every cap. And the same facts against the items of IPA's TLS暗号設定ガイドライン.
 * Pure: no I/O. */
#ifndef MG_DOMAIN_TLS_GRADE_H
#define MG_DOMAIN_TLS_GRADE_H

#include "base/time.h"
#include "domain/tls_profile.h"
#include "domain/tls_suite.h"

/* Zero is unknown: what was not looked at counts against the server. */
enum mg_seen { MG_NOT_SEEN = 0, MG_SEEN_NO, MG_SEEN_YES };

struct mg_tls_accepted {
    uint16_t suite;
    unsigned versions; /* bits of enum mg_tls_version */
};

#define MG_TLS_ACCEPTED_MOST 512
#define MG_TLS_GROUPS_MOST 32

struct mg_tls_facts {
    unsigned versions;        /* accepted */
    unsigned versions_tested; /* a version that could not be tested is neither */
    struct mg_tls_accepted accepted[MG_TLS_ACCEPTED_MOST];
    size_t accepted_count;
    bool accepted_complete;              /* every suite was offered */
    uint16_t groups[MG_TLS_GROUPS_MOST]; /* of ephemeral key exchange */
    size_t group_count;
    unsigned dh_bits_least; /* smallest prime; 0: no finite field */
    enum mg_seen server_order, compression, secure_renegotiation, client_renegotiation, tickets, heartbleed,
        fallback_protected, ocsp_stapled;
    struct {
        bool present;
        char subject[256], issuer[256], key_type[16], signature[32];
        unsigned key_bits;
        bool weak_signature; /* MD5 or SHA-1 below the anchor */
        bool names_host, chain_in_order, chain_complete, trusted;
        mg_instant not_before, not_after;
        size_t chain_length;
        bool has_ocsp, must_staple;
        unsigned sct_count; /* in the certificate, the handshake and the stapled answer together */
    } certificate;
    bool http_answered;
    int64_t hsts_max_age_s; /* -1: no Strict-Transport-Security */
    mg_instant at;
};

enum mg_tls_letter {
    MG_GRADE_UNKNOWN = 0,
    MG_GRADE_F,
    MG_GRADE_E,
    MG_GRADE_D,
    MG_GRADE_C,
    MG_GRADE_B,
    MG_GRADE_A_MINUS,
    MG_GRADE_A,
    MG_GRADE_A_PLUS,
};
const char *mg_tls_letter_text(enum mg_tls_letter letter);

/* Every rule that can lower a grade: catalogue/tls_caps.def. */
enum mg_tls_cap {
#define TLS_CAP(NAME, ...) MG_CAP_##NAME,
#include "../../catalogue/tls_caps.def"
#undef TLS_CAP
    MG_TLS_CAP_COUNT
};
struct mg_tls_cap_row {
    const char *name;
    enum mg_tls_letter at_most;
    const char *en, *ja;
};
const struct mg_tls_cap_row *mg_tls_cap_row(enum mg_tls_cap cap);

struct mg_tls_grade {
    unsigned protocol_score, key_score, cipher_score, score; /* 0 to 100 */
    enum mg_tls_letter letter;                               /* as if the certificate were trusted */
    bool trusted;    /* false: Qualys would show T, with `letter` as "if trust is ignored" */
    bool names_host; /* false: M */
    uint64_t caps;   /* bits 1 << enum mg_tls_cap that applied */
};
void mg_tls_grade(const struct mg_tls_facts *facts, struct mg_tls_grade *ret_grade);

/* One item of the IPA guideline: catalogue/tls_rules.def. */
enum mg_tls_rule {
#define TLS_RULE(NAME, ...) MG_TLS_RULE_##NAME,
#include "../../catalogue/tls_rules.def"
#undef TLS_RULE
    MG_TLS_RULE_COUNT
};
struct mg_tls_rule_row {
    const char *name;
    bool required; /* 遵守項目; else 推奨項目 */
    const char *en, *ja;
};
const struct mg_tls_rule_row *mg_tls_rule_row(enum mg_tls_rule rule);

enum mg_tls_verdict { MG_TLS_UNKNOWN = 0, MG_TLS_PASS, MG_TLS_FAIL, MG_TLS_NOT_APPLICABLE };
/* Against the level that the profile follows (aes256 is judged as recommended). */
enum mg_tls_verdict mg_tls_rule_check(enum mg_tls_rule rule, enum mg_tls_profile profile,
                                      const struct mg_tls_facts *facts);

/* Whether the profile's lists name the suite. */
bool mg_tls_profile_allows(enum mg_tls_profile profile, uint16_t suite);

/* What a profile promises about its own listener: exactly its versions, and no suite or group beside its
 * row. OK, REFUSED with the first difference, UNAVAILABLE if the scan was cut short. */
CHECKED struct mg_status mg_tls_profile_compare(enum mg_tls_profile profile,
                                                const struct mg_tls_facts *facts);

#endif
