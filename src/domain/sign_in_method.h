/* How people of a tenant may sign in (sign_in.methods): decided from the tenant's policy and what was shown.
 */
#ifndef MG_DOMAIN_SIGN_IN_METHOD_H
#define MG_DOMAIN_SIGN_IN_METHOD_H

#include "base/bytes.h"

/* Zero allows nothing: what was not decided keeps everybody out. */
enum {
    MG_METHOD_PASSWORD = 1 << 0,
    MG_METHOD_PASSKEY = 1 << 1,
    MG_METHOD_SSO = 1 << 2, /* an identity provider vouches */
    MG_METHODS_ALL = MG_METHOD_PASSWORD | MG_METHOD_PASSKEY | MG_METHOD_SSO,
};
/* "password passkey sso" as bits; INVALID for another word or for none. */
CHECKED struct mg_status mg_sign_in_methods_read(const char *words, unsigned *ret_methods);

/* What a sign-in has shown. A passkey that follows a password is a sign-in by passkey, too: the password
 * alone would not have been enough. */
struct mg_sign_in_shown {
    bool by_password, by_provider;
    bool passkey; /* alone, or as the second factor */
};
/* Control: IDENTITY_04 */
static inline bool
mg_sign_in_method_allowed(unsigned methods, const struct mg_sign_in_shown *shown)
{
    return ((methods & MG_METHOD_PASSWORD) != 0 && shown->by_password) ||
           ((methods & MG_METHOD_PASSKEY) != 0 && shown->passkey && !shown->by_provider) ||
           ((methods & MG_METHOD_SSO) != 0 && shown->by_provider);
}

/* Where passwords are not enough but passkeys are: what a right password leads to. The first passkey has to
 * come from somewhere, so whoever has none yet sets one up with the password; from then on the password is
 * good for nothing. */
enum mg_password_use { MG_PASSWORD_NOT_HERE = 0, MG_PASSWORD_SIGNS_IN, MG_PASSWORD_SETS_UP_PASSKEY };
enum mg_password_use mg_password_use_of(unsigned methods, bool has_passkey);

#endif
