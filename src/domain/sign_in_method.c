#include "domain/sign_in_method.h"

#include "wire/options.h"

struct mg_status
mg_sign_in_methods_read(const char *words, unsigned *ret_methods)
{
    static const struct {
        const char *word;
        unsigned bit;
    } rows[] = {{"password", MG_METHOD_PASSWORD}, {"passkey", MG_METHOD_PASSKEY}, {"sso", MG_METHOD_SSO}};
    unsigned methods = 0;
    struct mg_view word;
    for (const char *cursor = words; mg_option_word(&cursor, &word);) {
        unsigned bit = 0;
        for (size_t i = 0; i < MG_COUNT(rows); i++)
            if (mg_view_is(word, rows[i].word))
                bit = rows[i].bit;
        if (bit == 0)
            return fail_with(INVALID, "METHOD_UNKNOWN|%.*s", (int) mg_view_start(word, 32).length,
                             (const char *) word.bytes);
        methods |= bit;
    }
    if (methods == 0)
        return fail_with(INVALID, "METHODS_NONE|");
    *ret_methods = methods;
    return OK;
}

enum mg_password_use
mg_password_use_of(unsigned methods, bool has_passkey)
{
    if ((methods & MG_METHOD_PASSWORD) != 0)
        return MG_PASSWORD_SIGNS_IN;
    return (methods & MG_METHOD_PASSKEY) != 0 && !has_passkey ? MG_PASSWORD_SETS_UP_PASSKEY
                                                              : MG_PASSWORD_NOT_HERE;
}
