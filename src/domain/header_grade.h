/* Judging the headers of an HTTPS response: what a browser would make of them, line by line, and two
 * grades people know: securityheaders.com (letters by missing headers) and MDN HTTP Observatory
 * (points). Rules are rows of catalogue/header_rules.def. Pure: no I/O. */
#ifndef MG_DOMAIN_HEADER_GRADE_H
#define MG_DOMAIN_HEADER_GRADE_H

#include "base/bytes.h"

/* RFC 6797 section 6.1. */
struct mg_hsts {
    int64_t max_age_s;
    bool subdomains, preload;
};
/* False unless there is exactly one max-age with a number. */
bool mg_hsts_parse(struct mg_view value, struct mg_hsts *ret_hsts);

/* What Content-Security-Policy Level 3 leaves open. Several policies: each must hold, so the strictest
 * counts for every property. */
struct mg_csp {
    bool present;
    bool inline_script; /* 'unsafe-inline' in force for scripts: no nonce, hash or 'strict-dynamic' beside it
                         */
    bool eval_script;   /* 'unsafe-eval' */
    bool broad_script; /* *, a whole scheme (http: https: data: blob:), or no restriction of scripts at all */
    bool default_none;
    bool frame_ancestors; /* present and not * */
    bool object_none, base_restricted, form_restricted;
};
struct mg_csp mg_csp_parse(struct mg_view value);
/* The claim's measure: no way in for injected script, and framing restricted. */
bool mg_csp_is_strict(const struct mg_csp *csp);

struct mg_headers_seen {
    bool hsts_present, frame_options, nosniff, referrer_present, referrer_safe, permissions_policy;
    bool opener_policy, embedder_policy, resource_policy, cors_any_origin, banner;
    bool xss_protection_present;
    char xss_protection[32];
    struct mg_hsts hsts;
    struct mg_csp csp;
    unsigned cookies;
    bool cookies_secure, cookies_same_site; /* of all of them */
};
/* `lines`: header lines, each ended by CRLF (a status line is skipped). */
void mg_headers_read(struct mg_view lines, struct mg_headers_seen *ret_seen);

enum mg_header_rule {
#define HEADER_RULE(NAME, ...) MG_HEADER_RULE_##NAME,
#include "../../catalogue/header_rules.def"
#undef HEADER_RULE
    MG_HEADER_RULE_COUNT
};
struct mg_header_rule_row {
    const char *name;
    int points;
    int letters;
    const char *en, *ja;
};
const struct mg_header_rule_row *mg_header_rule_row(enum mg_header_rule rule);

struct mg_header_grade {
    int points;                       /* Observatory: 0 and more */
    const char *observatory, *letter; /* "A+" ... "F" */
    uint64_t rules;                   /* bits 1 << enum mg_header_rule that applied */
};
void mg_header_grade(const struct mg_headers_seen *seen, struct mg_header_grade *ret_grade);

#endif
