/* Why a sign-in through an identity provider was refused, as numbers in messages and words for administrators
 * (catalogue/federation_refusals.def). */
#ifndef MG_DOMAIN_FEDERATION_REFUSAL_H
#define MG_DOMAIN_FEDERATION_REFUSAL_H

#include <stdint.h>

/* Zero is the only value that lets somebody in: whoever fills it in has made every check. */
enum mg_federation_refusal {
    MG_FEDERATION_NONE = 0,
#define FEDERATION_REFUSAL(name, ...) MG_FEDERATION_##name,
#include "../../catalogue/federation_refusals.def"
#undef FEDERATION_REFUSAL
    MG_FEDERATION_COUNT
};

/* "WRONG_AUDIENCE"; "UNKNOWN" for a number without a row, "NONE" for 0. */
const char *mg_federation_refusal_name(uint64_t refusal);
/* For administrators; Japanese when `japanese`, else English. Never NULL. */
const char *mg_federation_refusal_text(uint64_t refusal, int japanese);

#endif
