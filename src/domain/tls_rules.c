/* The IPA items and a profile's own promise; see domain/tls_grade.h. */
#include "domain/tls_facts.h"

/* Short names for the verdicts in catalogue/tls_rules.def. */
#define has(f, versions) mg_tls_facts_has((f), (versions))
#define any(f, test) mg_tls_facts_any((f), ~0u, (test))
#define key_strength(f) mg_tls_facts_key_strength(f)

static enum mg_tls_verdict
pass(bool condition)
{
    return condition ? MG_TLS_PASS : MG_TLS_FAIL;
}

static enum mg_tls_verdict
when(bool applicable, enum mg_tls_verdict verdict)
{
    return applicable ? verdict : MG_TLS_NOT_APPLICABLE;
}

static bool
tested(const struct mg_tls_facts *f, unsigned version)
{
    return (f->versions_tested & version) == version;
}

static enum mg_tls_verdict
seen(enum mg_seen value)
{
    return value == MG_NOT_SEEN ? MG_TLS_UNKNOWN : pass(value == MG_SEEN_YES);
}

/* TLS 1.3 has neither compression nor renegotiation. */
static bool
only_tls13(const struct mg_tls_facts *f)
{
    return f->versions == MG_TLS_1_3;
}

static enum mg_tls_verdict
compression_verdict(const struct mg_tls_facts *f)
{
    if (only_tls13(f))
        return MG_TLS_PASS;
    return f->compression == MG_NOT_SEEN ? MG_TLS_UNKNOWN : pass(f->compression == MG_SEEN_NO);
}

static enum mg_tls_verdict
renegotiation_verdict(const struct mg_tls_facts *f)
{
    return only_tls13(f) ? MG_TLS_PASS : seen(f->secure_renegotiation);
}

static bool
is_broken(const struct mg_tls_suite *suite)
{
    return suite->bits < 128 || suite->anonymous || suite->export_grade || suite->rc4 || suite->small_blocks;
}

/* The guideline lets the recommended level keep CBC suites with forward secrecy; ours does not. */
static bool
is_below_modern(const struct mg_tls_suite *suite)
{
    return is_broken(suite) || !suite->forward_secrecy || !suite->aead;
}

static mg_suite_test
is_below_level(enum mg_tls_profile level)
{
    return level == MG_TLS_PROFILE_LEGACY ? is_broken : is_below_modern;
}

/* IANA "TLS Supported Groups": P-256, P-384, P-521, brainpool, X25519, X448, ffdhe of 2048 and more. */
static bool
groups_are_strong(const struct mg_tls_facts *f)
{
    for (size_t i = 0; i < f->group_count; i++) {
        const uint16_t group = f->groups[i];
        if (!(group >= 0x0017 && group <= 0x001e) && !(group >= 0x0100 && group <= 0x0104))
            return false;
    }
    return true;
}

static const struct mg_tls_rule_row rule_rows[MG_TLS_RULE_COUNT] = {
#define TLS_RULE(NAME, is_required, verdict, text_en, text_ja) \
    [MG_TLS_RULE_##NAME] = {.name = #NAME, .required = (is_required), .en = (text_en), .ja = (text_ja)},
#include "../../catalogue/tls_rules.def"
#undef TLS_RULE
};

const struct mg_tls_rule_row *
mg_tls_rule_row(enum mg_tls_rule rule)
{
    mg_must(rule < MG_TLS_RULE_COUNT);
    return &rule_rows[rule];
}

enum mg_tls_verdict
mg_tls_rule_check(enum mg_tls_rule rule, enum mg_tls_profile profile, const struct mg_tls_facts *facts)
{
    const struct mg_tls_facts *f = facts;
    const enum mg_tls_profile l = profile == MG_TLS_PROFILE_AES256 ? MG_TLS_PROFILE_RECOMMENDED : profile;
    switch (rule) {
#define TLS_RULE(NAME, is_required, verdict, ...) \
    case MG_TLS_RULE_##NAME:                      \
        return (verdict);
#include "../../catalogue/tls_rules.def"
#undef TLS_RULE
    case MG_TLS_RULE_COUNT:
        break;
    }
    return MG_TLS_UNKNOWN;
}

/* ---- a profile's own promise ---- */

/* Whether the colon-separated list holds the word. */
static bool
list_has(const char *list, struct mg_view word)
{
    for (const char *at = list; *at != '\0';) {
        const size_t length = strcspn(at, ":");
        if (mg_view_equal(mg_view_of(at, length), word))
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

/* OpenSSL's spelling of an IANA name, as far as our profiles use them:
 * TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 is ECDHE-RSA-AES256-GCM-SHA384. */
static void
openssl_spelling(const char *name, char text[64])
{
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"TLS_RSA_WITH_", ""},           {"TLS_", ""}, {"WITH_", ""}, {"AES_", "AES"}, {"CBC_", ""},
        {"POLY1305_SHA256", "POLY1305"}, {"_", "-"}};
    size_t length = 0;
    while (*name != '\0' && length < 63) {
        size_t i = 0;
        while (i < MG_COUNT(changes) && strncmp(name, changes[i].from, strlen(changes[i].from)) != 0)
            i++;
        if (i == MG_COUNT(changes)) {
            text[length++] = *name++;
            continue;
        }
        for (const char *to = changes[i].to; *to != '\0' && length < 63; to++)
            text[length++] = *to;
        name += strlen(changes[i].from);
    }
    text[length] = '\0';
}

bool
mg_tls_profile_allows(enum mg_tls_profile profile, uint16_t suite)
{
    const struct mg_tls_profile_row *row = mg_tls_profile_row(profile);
    const struct mg_tls_suite found = mg_tls_suite_of(suite);
    char spelling[64];
    if (row == NULL)
        return false;
    if (found.tls13)
        return list_has(row->suites, mg_view_text(found.name));
    openssl_spelling(found.name, spelling);
    return list_has(row->ciphers, mg_view_text(spelling));
}

static bool
group_allowed(const struct mg_tls_profile_row *row, uint16_t group)
{
    static const struct {
        uint16_t number;
        const char *name;
    } names[] = {{0x001d, "X25519"}, {0x0017, "prime256v1"}, {0x0018, "secp384r1"}};
    for (size_t i = 0; i < MG_COUNT(names); i++)
        if (names[i].number == group)
            return list_has(row->groups, mg_view_text(names[i].name));
    return false;
}

struct mg_status
mg_tls_profile_compare(enum mg_tls_profile profile, const struct mg_tls_facts *facts)
{
    const struct mg_tls_profile_row *row = mg_tls_profile_row(profile);
    if (row == NULL)
        return fail_with(INVALID, "no TLS profile");
    if (!facts->accepted_complete || facts->versions_tested == 0)
        return fail_with(UNAVAILABLE, "the scan is not complete");
    for (unsigned version = MG_SSL_2; version <= MG_TLS_1_3; version <<= 1)
        if ((facts->versions & version) != (row->versions & version))
            return fail_with(REFUSED, "profile %s: %s is %s", row->name, mg_tls_version_name(version),
                             (facts->versions & version) != 0 ? "accepted" : "not accepted");
    for (size_t i = 0; i < facts->accepted_count; i++)
        if (!mg_tls_profile_allows(profile, facts->accepted[i].suite))
            return fail_with(REFUSED, "profile %s: %s is accepted", row->name,
                             mg_tls_suite_of(facts->accepted[i].suite).name);
    for (size_t i = 0; i < facts->group_count; i++)
        if (!group_allowed(row, facts->groups[i]))
            return fail_with(REFUSED, "profile %s: group 0x%04x is accepted", row->name, facts->groups[i]);
    return OK;
}
