#include "domain/control.h"

/* The words the rows are written in. */
enum { S = 'S', H = 'H' };
enum { PLANNED = 0, BUILT = 1 };
enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR }; /* seconds */
enum {
#define EVIDENCE(name, bit, en, ja) name = (bit),
#include "../../catalogue/control_terms.def"
};

#define WORDS(en_text, ja_text) \
    {                           \
        (en_text), (ja_text)    \
    }

static const struct mg_control_row controls[MG_CONTROL_COUNT] = {
#define CONTROL(name, state, numbers, letter, group, party, keeper, bits, every, age, iso_text, nist_text, \
                english, japanese)                                                                         \
    [MG_CONTROL_##name] = {.id = #name,                                                                    \
                           .built = (state) == BUILT,                                                      \
                           .claims = (numbers),                                                            \
                           .kind = (letter),                                                               \
                           .category = MG_CATEGORY_##group,                                                \
                           .accountable = MG_PARTY_##party,                                                \
                           .enforcer = MG_ENFORCER_##keeper,                                               \
                           .evidence = (bits),                                                             \
                           .every_ms = INT64_C(1000) * (every),                                            \
                           .age_ms = INT64_C(1000) * (age),                                                \
                           .iso = (iso_text),                                                              \
                           .nist = (nist_text),                                                            \
                           .statement = WORDS(english, japanese)},
#include "../../catalogue/controls.def"
#undef CONTROL
};

static const struct {
    const char *name;
    struct mg_words words;
} categories[MG_CATEGORY_COUNT] =
    {
#define CATEGORY(word, en, ja) [MG_CATEGORY_##word] = {#word, WORDS(en, ja)},
#include "../../catalogue/control_terms.def"
},
  parties[MG_PARTY_COUNT] =
      {
          [MG_PARTY_NONE] = {"NONE", WORDS("nobody", "該当なし")},
#define PARTY(word, en, ja) [MG_PARTY_##word] = {#word, WORDS(en, ja)},
#include "../../catalogue/control_terms.def"
},
  enforcers[MG_ENFORCER_COUNT] = {
#define ENFORCER(word, en, ja) [MG_ENFORCER_##word] = {#word, WORDS(en, ja)},
#include "../../catalogue/control_terms.def"
};

static const struct {
    unsigned bit;
    struct mg_words words;
} evidences[] = {
#define EVIDENCE(name, bit, en, ja) {(bit), WORDS(en, ja)},
#include "../../catalogue/control_terms.def"
};

enum {
#define OWNER(name, en, ja) OWNER_##name,
#include "../../catalogue/attestations.def"
};
static const struct mg_words owners[] = {
#define OWNER(name, en, ja) [OWNER_##name] = WORDS(en, ja),
#include "../../catalogue/attestations.def"
};
enum {
#define EXPIRY(name, days, en, ja) EXPIRY_##name,
#include "../../catalogue/attestations.def"
};
static const struct mg_expiry expiries[] = {
#define EXPIRY(name, days, en, ja) [EXPIRY_##name] = {(days), WORDS(en, ja)},
#include "../../catalogue/attestations.def"
};

enum { ORGANISATIONAL = 0, INHERITED = 1 };
const struct mg_attestation_row mg_attestation_rows[] = {
#define ATTESTATION(name, kind, party, keeper, end, en, ja, evidence_en, evidence_ja) \
    {.id = #name,                                                                     \
     .inherited = (kind) == INHERITED,                                                \
     .accountable = MG_PARTY_##party,                                                 \
     .owner = &owners[OWNER_##keeper],                                                \
     .expiry = &expiries[EXPIRY_##end],                                               \
     .statement = WORDS(en, ja),                                                      \
     .evidence = WORDS(evidence_en, evidence_ja)},
#include "../../catalogue/attestations.def"
};
const size_t mg_attestation_count = MG_COUNT(mg_attestation_rows);

const struct mg_attested_row mg_attested_rows[] = {
#define ATTESTED(name, keeper, end, en, ja) \
    {.control = MG_CONTROL_##name,          \
     .owner = &owners[OWNER_##keeper],      \
     .expiry = &expiries[EXPIRY_##end],     \
     .part = WORDS(en, ja)},
#include "../../catalogue/attestations.def"
};
const size_t mg_attested_count = MG_COUNT(mg_attested_rows);

const struct mg_duty_row mg_duty_rows[] = {
#define DUTY(name, party, en, ja) {.id = #name, .accountable = MG_PARTY_##party, .duty = WORDS(en, ja)},
#include "../../catalogue/attestations.def"
};
const size_t mg_duty_count = MG_COUNT(mg_duty_rows);

const struct mg_control_row *
mg_control_row(enum mg_control control)
{
    mg_must(control > MG_CONTROL_NONE && control < MG_CONTROL_COUNT);
    return &controls[control];
}

enum mg_control
mg_control_find(struct mg_view id)
{
    for (int i = 0; i < MG_CONTROL_COUNT; i++)
        if (mg_view_is(id, controls[i].id))
            return (enum mg_control) i;
    return MG_CONTROL_NONE;
}

struct mg_words
mg_category_words(enum mg_control_category category)
{
    mg_must(category < MG_CATEGORY_COUNT);
    return categories[category].words;
}

struct mg_words
mg_party_words(enum mg_party party)
{
    return parties[party < MG_PARTY_COUNT ? party : MG_PARTY_NONE].words;
}

const char *
mg_party_name(enum mg_party party)
{
    return parties[party < MG_PARTY_COUNT ? party : MG_PARTY_NONE].name;
}

struct mg_words
mg_enforcer_words(enum mg_enforcer enforcer)
{
    mg_must(enforcer < MG_ENFORCER_COUNT);
    return enforcers[enforcer].words;
}

struct mg_words
mg_evidence_words(unsigned bit)
{
    for (size_t i = 0; i < MG_COUNT(evidences); i++)
        if (evidences[i].bit == bit)
            return evidences[i].words;
    return (struct mg_words){NULL, NULL};
}
