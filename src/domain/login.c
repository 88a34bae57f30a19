#include "domain/login.h"

#include <stdlib.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

static struct mg_view
without_spaces_around(struct mg_view text)
{
    while (text.length != 0 && strchr(" \t", text.bytes[0]) != NULL)
        text = mg_view_of(text.bytes + 1, text.length - 1);
    while (text.length != 0 && strchr(" \t", text.bytes[text.length - 1]) != NULL)
        text.length--;
    return text;
}

static bool
is_plain(struct mg_view text)
{
    for (size_t at = 0; at < text.length;) {
        ucs4_t character = 0;
        const int length = u8_mbtouc(&character, text.bytes + at, text.length - at);
        if (uc_is_general_category_withtable(character, UC_CATEGORY_MASK_C | UC_CATEGORY_MASK_Z))
            return false;
        at += (size_t) length;
    }
    return true;
}

struct mg_status
mg_login_fold(struct mg_view typed, struct mg_buffer *buffer)
{
    const struct mg_view trimmed = without_spaces_around(typed);
    if (trimmed.length == 0 || trimmed.length > 2 * MG_LOGIN_MOST || !mg_view_is_utf8(trimmed))
        return fail_with(INVALID, "a sign-in name has 1 to %d bytes of UTF-8", MG_LOGIN_MOST);
    size_t length = 0;
    uint8_t *folded = u8_casefold(trimmed.bytes, trimmed.length, NULL, UNINORM_NFKC, NULL, &length);
    if (folded == NULL)
        return fail(OUT_OF_MEMORY);
    struct mg_status status = OK;
    if (length == 0 || length > MG_LOGIN_MOST || !is_plain(mg_view_of(folded, length)))
        status = fail_with(INVALID, "a sign-in name has 1 to %d bytes without spaces", MG_LOGIN_MOST);
    else
        status = mg_buffer_add(buffer, mg_view_of(folded, length));
    free(folded);
    return status;
}

bool
mg_email_plausible(struct mg_view email)
{
    const uint8_t *at = memchr(email.bytes, '@', email.length);
    if (email.length > 254 || at == NULL || at == email.bytes || at + 1 == email.bytes + email.length ||
        memchr(at + 1, '@', (size_t) (email.bytes + email.length - at - 1)) != NULL)
        return false;
    for (size_t i = 0; i < email.length; i++)
        if (strchr("<>(),;:\\\"", email.bytes[i]) != NULL)
            return false;
    return mg_view_is_utf8(email) && is_plain(email);
}

bool
mg_roles_valid(struct mg_view roles)
{
    size_t word = 0, words = 0;
    for (size_t i = 0; i < roles.length; i++) {
        const uint8_t c = roles.bytes[i];
        if (c == ' ' && word == 0)
            return false;
        word = c != ' ' ? word + 1 : 0;
        words += word == 1;
        if (word > MG_ROLE_MOST || words > MG_ROLES_MOST ||
            (word != 0 && !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')))
            return false;
    }
    return roles.length <= 1024 && (roles.length == 0 || word != 0);
}
