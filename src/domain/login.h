/* Sign-in names: what is typed and what is stored become the same text (NFKC, without case, without
 * spaces around), so that "Ｈanako@Acme" is hanako@acme and nobody registers a look-alike in width. */
#ifndef MG_DOMAIN_LOGIN_H
#define MG_DOMAIN_LOGIN_H

#include "base/bytes.h"

#define MG_LOGIN_MOST 254

/* Appends the folded name; INVALID when it is empty, too long, or holds spaces, control characters or
 * what is not UTF-8. */
CHECKED struct mg_status mg_login_fold(struct mg_view typed, struct mg_buffer *buffer);

/* A rough check of an e-mail address before anything is sent there: one @ with text around it, no
 * spaces, no controls, at most 254 bytes. Whether it exists only a mail tells. */
bool mg_email_plausible(struct mg_view email);

/* Words of a-z, 0-9, - and _ with single spaces between, at most 1024 bytes: role names. As many and as
 * long as an assertion carries, or its user could not be let in (domain/assertion.h, catalogue/messages.def).
 */
#define MG_ROLE_MOST 63
#define MG_ROLES_MOST 64
bool mg_roles_valid(struct mg_view roles);

#endif
