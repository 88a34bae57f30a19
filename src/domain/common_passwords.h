/* The passwords everybody tries first: breached and common ones, shipped as data/common-passwords.txt
 * (made by tools/make-common-passwords) and linked in, so that a lookup reads no file. */
#ifndef MG_DOMAIN_COMMON_PASSWORDS_H
#define MG_DOMAIN_COMMON_PASSWORDS_H

#include "base/bytes.h"

/* Exact, no false answers: whether the text, NFKC and case-folded, is a line of the list. */
bool mg_password_is_common(struct mg_view folded);

/* Number of entries, for `status` and tests. */
size_t mg_common_passwords_count(void);

#endif
