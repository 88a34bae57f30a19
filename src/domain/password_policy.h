/* Which passwords may be chosen: NIST SP 800-63B-4 section 3.1.1.2 (passwords).
 *
 * Length counts, composition does not: 15 characters where the password is the only factor, 8 beside
 * a second one, anything up to 1024 bytes, every printable character of Unicode. A password is
 * refused when it is common, or is nothing but two common pieces again and again, because that is
 * what guessing tools try; there are no other rules and nothing expires. */
#ifndef MG_DOMAIN_PASSWORD_POLICY_H
#define MG_DOMAIN_PASSWORD_POLICY_H

#include "base/bytes.h"
#include "domain/outcome.h"

enum {
    MG_PASSWORD_LEAST_ALONE = 15,
    MG_PASSWORD_LEAST_WITH_SECOND_FACTOR = 8,
    MG_PASSWORD_MOST_BYTES = 1024,
    MG_PASSWORD_CONTEXT_MOST = 16,
};

/* NFKC (Unicode Standard Annex 15): the same keys give the same bytes on every system, and digits
 * typed with a Japanese input method in full width equal those typed without. Appends to `buffer`,
 * whose maximum bounds the result; it is wiped when dropped. MALFORMED unless UTF-8 without NUL. */
CHECKED struct mg_status mg_password_normalise(struct mg_view typed, struct mg_buffer *buffer);

/* Whether the password, already in use, is on the shipped list of breached and common ones. */
bool mg_password_is_breached(struct mg_view normalised);

/* What is known about the person and the place: sign-in name, name, address, tenant, product. */
struct mg_password_context {
    struct mg_view words[MG_PASSWORD_CONTEXT_MOST];
    size_t count;
};
/* Adds the text and its parts between spaces and punctuation; beyond the maximum they are left out. */
void mg_password_context_add(struct mg_password_context *context, struct mg_view text);

/* GRANTED, PASSWORD_TOO_SHORT (fewer than `least` characters), PASSWORD_TOO_LONG, PASSWORD_COMMON,
 * PASSWORD_LIKE_NAME, or NOT_VALID (control characters). `normalised` comes from the function above;
 * a status means undecided, so refuse. */
CHECKED struct mg_status mg_password_judge(struct mg_view normalised, size_t least,
                                           const struct mg_password_context *context,
                                           enum mg_outcome *ret_outcome);

/* ---- words of a tenant's own ----
 * What NIST SP 800-63B-4 asks for compares whole passwords; a tenant may be stricter and name words that must
 * not stand anywhere in one. Nothing is named unless its administrators do. */
enum { MG_PASSWORD_WORDS_MOST = 100, MG_PASSWORD_WORD_MOST = 64 };
/* True for 3 to 64 printable characters; 2 suffice when they are not ASCII, because such names are short. */
bool mg_password_word_is_valid(struct mg_view word);
/* Whether one of the words (spaces between) stands in the password, both NFKC and without case. A status
 * means undecided, so refuse. */
CHECKED struct mg_status mg_password_has_word(struct mg_view normalised, struct mg_view words, bool *ret_has);

#endif
