#include "domain/tls_facts.h"

/* Short names for the conditions in catalogue/tls_caps.def. */
#define has(f, versions) mg_tls_facts_has((f), (versions))
#define any(f, test) mg_tls_facts_any((f), ~0u, (test))
#define any_modern(f, test) mg_tls_facts_any((f), MG_TLS_1_1 | MG_TLS_1_2 | MG_TLS_1_3, (test))
#define key_strength(f) mg_tls_facts_key_strength(f)
#define is_anonymous mg_suite_is_anonymous
#define is_null mg_suite_is_null
#define is_export mg_suite_is_export
#define is_rc4 mg_suite_is_rc4
#define is_small_block mg_suite_is_small_block
#define is_forward_secret mg_suite_is_forward_secret
#define is_aead mg_suite_is_aead

#define ALL_VERSIONS (MG_SSL_2 | MG_SSL_3 | MG_TLS_1_0 | MG_TLS_1_1 | MG_TLS_1_2 | MG_TLS_1_3)

/* Renegotiation exists below TLS 1.3 only; a fallback needs a version to fall back to. */
static bool
examined(const struct mg_tls_facts *f)
{
    const bool old = has(f, ALL_VERSIONS & ~(unsigned) MG_TLS_1_3);
    return (f->versions_tested & ALL_VERSIONS) == ALL_VERSIONS && f->accepted_complete &&
           f->certificate.present && f->http_answered && f->heartbleed != MG_NOT_SEEN &&
           (!old || (f->compression != MG_NOT_SEEN && f->secure_renegotiation != MG_NOT_SEEN &&
                     f->client_renegotiation != MG_NOT_SEEN));
}

static const struct mg_tls_cap_row cap_rows[MG_TLS_CAP_COUNT] = {
#define TLS_CAP(NAME, most, condition, text_en, text_ja) \
    [MG_CAP_##NAME] = {.name = #NAME, .at_most = (most), .en = (text_en), .ja = (text_ja)},
#include "../../catalogue/tls_caps.def"
#undef TLS_CAP
};

const struct mg_tls_cap_row *
mg_tls_cap_row(enum mg_tls_cap cap)
{
    mg_must(cap < MG_TLS_CAP_COUNT);
    return &cap_rows[cap];
}

static bool
cap_applies(enum mg_tls_cap cap, const struct mg_tls_facts *f)
{
    switch (cap) {
#define TLS_CAP(NAME, most, condition, ...) \
    case MG_CAP_##NAME:                     \
        return (condition);
#include "../../catalogue/tls_caps.def"
#undef TLS_CAP
    case MG_TLS_CAP_COUNT:
        break;
    }
    return true;
}

const char *
mg_tls_letter_text(enum mg_tls_letter letter)
{
    static const char *const texts[] = {"?", "F", "E", "D", "C", "B", "A-", "A", "A+"};
    return (size_t) letter < MG_COUNT(texts) ? texts[letter] : "?";
}

/* The mean of the best and the worst version. */
static unsigned
protocol_score(const struct mg_tls_facts *f)
{
    static const struct {
        unsigned version, score;
    } scores[] = {{MG_SSL_2, 0},    {MG_SSL_3, 80},    {MG_TLS_1_0, 90},
                  {MG_TLS_1_1, 95}, {MG_TLS_1_2, 100}, {MG_TLS_1_3, 100}};
    unsigned best = 0, worst = 100;
    for (size_t i = 0; i < MG_COUNT(scores); i++) {
        if (!has(f, scores[i].version))
            continue;
        best = scores[i].score > best ? scores[i].score : best;
        worst = scores[i].score < worst ? scores[i].score : worst;
    }
    return f->versions == 0 ? 0 : (best + worst) / 2;
}

static unsigned
key_score(const struct mg_tls_facts *f)
{
    unsigned bits = key_strength(f);
    if (any(f, is_anonymous) || !f->certificate.present)
        return 0;
    if (f->dh_bits_least > 0 && f->dh_bits_least < bits)
        bits = f->dh_bits_least;
    if (any(f, is_export))
        return 40;
    return bits < 512 ? 20 : bits < 1024 ? 40 : bits < 2048 ? 80 : bits < 4096 ? 90 : 100;
}

static unsigned
bits_score(unsigned bits)
{
    return bits == 0 ? 0 : bits < 128 ? 20 : bits < 256 ? 80 : 100;
}

static unsigned
cipher_score(const struct mg_tls_facts *f)
{
    unsigned best = 0, worst = 100;
    for (size_t i = 0; i < f->accepted_count; i++) {
        const unsigned score = bits_score(mg_tls_suite_of(f->accepted[i].suite).bits);
        best = score > best ? score : best;
        worst = score < worst ? score : worst;
    }
    return f->accepted_count == 0 ? 0 : (best + worst) / 2;
}

static enum mg_tls_letter
letter_of(unsigned score)
{
    return score >= 80   ? MG_GRADE_A_PLUS
           : score >= 65 ? MG_GRADE_B
           : score >= 50 ? MG_GRADE_C
           : score >= 35 ? MG_GRADE_D
           : score >= 20 ? MG_GRADE_E
                         : MG_GRADE_F;
}

/* A score of A becomes A+ when nothing at all speaks against it: every cap at A or below is a warning. */
void
mg_tls_grade(const struct mg_tls_facts *facts, struct mg_tls_grade *ret_grade)
{
    struct mg_tls_grade grade = {.protocol_score = protocol_score(facts),
                                 .key_score = key_score(facts),
                                 .cipher_score = cipher_score(facts),
                                 .trusted = facts->certificate.trusted,
                                 .names_host = facts->certificate.names_host};
    const bool zero = grade.protocol_score == 0 || grade.key_score == 0 || grade.cipher_score == 0;
    grade.score =
        zero ? 0 : (grade.protocol_score * 30 + grade.key_score * 30 + grade.cipher_score * 40) / 100;
    grade.letter = letter_of(grade.score);
    for (int i = 0; i < MG_TLS_CAP_COUNT; i++) {
        if (!cap_applies((enum mg_tls_cap) i, facts))
            continue;
        grade.caps |= UINT64_C(1) << i;
        if (cap_rows[i].at_most < grade.letter)
            grade.letter = cap_rows[i].at_most;
    }
    *ret_grade = grade;
}
