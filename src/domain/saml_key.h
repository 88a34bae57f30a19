/* How our own keys at a SAML provider are rolled over without a moment in which a message cannot be checked
 * or read (SAML Metadata 2.0 section 2.4.1.1: several keys for one use): a new pair is made and published
 * beside the old one; the new one signs from when the provider knows it; then the old one is removed. What is
 * encrypted for either is read as long as it is published. */
#ifndef MG_DOMAIN_SAML_KEY_H
#define MG_DOMAIN_SAML_KEY_H

#include "base/bytes.h"
#include "base/time.h"

/* Numbers travel in idp_key (catalogue/messages.def). */
enum mg_saml_key_step {
    MG_SAML_KEY_MAKE = 1, /* the new keys, published */
    MG_SAML_KEY_USE,      /* the new one signs, at once or from a time */
    MG_SAML_KEY_FINISH,   /* the old ones go */
    MG_SAML_KEY_DROP,     /* the new ones go, which have not signed */
};

/* "make", "use", "finish", "drop"; 0 for any other word. */
uint64_t mg_saml_key_step_of(struct mg_view word);

/* How long ahead the change may be set. */
#define MG_SAML_KEY_AHEAD_MS (366 * 24 * 3600 * 1000LL)

/* `there`: there are new keys; `signs_at`: from when theirs signs, 0 while nobody has said it. */
bool mg_saml_key_signs(bool there, mg_instant signs_at, mg_instant now);

/* "" if the step may be made now, else why not (a code of base/reason.h). `at`: of USE, 0 for at once. */
const char *mg_saml_key_judge(uint64_t step, bool there, mg_instant signs_at, mg_instant at, mg_instant now);

#endif
