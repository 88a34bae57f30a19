/* The controls, attestations and duties of catalogue/ as data: what is claimed, who answers for it,
 * what enforces it, how often it is looked at. The probes are bound to the rows in src/probes/. */
#ifndef MG_DOMAIN_CONTROL_H
#define MG_DOMAIN_CONTROL_H

#include "base/time.h"

enum mg_control {
    MG_CONTROL_NONE = -1,
#define CONTROL(id, ...) MG_CONTROL_##id,
#include "../../catalogue/controls.def"
#undef CONTROL
    MG_CONTROL_COUNT
};

/* Zero is no party: a row without one would not compile into the matrix. */
enum mg_party {
    MG_PARTY_NONE = 0,
#define PARTY(name, en, ja) MG_PARTY_##name,
#include "../../catalogue/control_terms.def"
    MG_PARTY_COUNT
};

enum mg_control_category {
#define CATEGORY(name, en, ja) MG_CATEGORY_##name,
#include "../../catalogue/control_terms.def"
    MG_CATEGORY_COUNT
};

enum mg_enforcer {
#define ENFORCER(name, en, ja) MG_ENFORCER_##name,
#include "../../catalogue/control_terms.def"
    MG_ENFORCER_COUNT
};

enum mg_evidence {
#define EVIDENCE(name, bit, en, ja) MG_EVIDENCE_##name = (bit),
#include "../../catalogue/control_terms.def"
};

/* A text in both languages. */
struct mg_words {
    const char *en, *ja;
};
static inline const char *
mg_words_in(struct mg_words words, bool japanese)
{
    return japanese ? words.ja : words.en;
}

struct mg_control_row {
    const char *id;     /* "EDGE_01" */
    bool built;         /* enforced, probed and seen to fail */
    const char *claims; /* "1", or several separated by ", " */
    char kind;          /* 'S' software, 'H' software and an attested part */
    enum mg_control_category category;
    enum mg_party accountable;
    enum mg_enforcer enforcer;
    unsigned evidence; /* enum mg_evidence bits */
    int64_t every_ms, age_ms;
    const char *iso, *nist;
    struct mg_words statement;
};
/* Never NULL for a control below MG_CONTROL_COUNT. */
const struct mg_control_row *mg_control_row(enum mg_control control);
/* MG_CONTROL_NONE if there is no such id. Accepts the exact name only. */
enum mg_control mg_control_find(struct mg_view id);

struct mg_words mg_category_words(enum mg_control_category category);
struct mg_words mg_party_words(enum mg_party party);
const char *mg_party_name(enum mg_party party); /* "VENDOR" */
struct mg_words mg_enforcer_words(enum mg_enforcer enforcer);
/* The word of one evidence bit; both texts NULL if the bit has no row. */
struct mg_words mg_evidence_words(unsigned bit);

/* How long a statement may be relied on; 0 days: until the event that the words name. */
struct mg_expiry {
    int days;
    struct mg_words words;
};

struct mg_attestation_row {
    const char *id;
    bool inherited;
    enum mg_party accountable;
    const struct mg_words *owner;
    const struct mg_expiry *expiry;
    struct mg_words statement, evidence;
};
extern const struct mg_attestation_row mg_attestation_rows[];
extern const size_t mg_attestation_count;

/* The attested part of a control of kind H. */
struct mg_attested_row {
    enum mg_control control;
    const struct mg_words *owner;
    const struct mg_expiry *expiry;
    struct mg_words part;
};
extern const struct mg_attested_row mg_attested_rows[];
extern const size_t mg_attested_count;

/* A duty of the responsibility matrix that no control carries. */
struct mg_duty_row {
    const char *id;
    enum mg_party accountable;
    struct mg_words duty;
};
extern const struct mg_duty_row mg_duty_rows[];
extern const size_t mg_duty_count;

#endif
