#include "domain/role.h"

static const char *const names[] = {
#define ROLE(name, ...) #name,
#include "../../catalogue/permissions.def"
};
_Static_assert(sizeof names / sizeof names[0] <= MG_OWN_ROLE_BIT, "built-in roles have the bits below");
_Static_assert(MG_OWN_ROLE_BIT + MG_OWN_ROLES_MOST <= 32, "a session has 32 of them");

static uint32_t
bit_of(struct mg_view word)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (mg_view_is(word, names[i]))
            return 1U << i;
    return 0;
}

static uint32_t
own_bit_of(struct mg_own_roles own, struct mg_view word)
{
    for (size_t i = 0; i < own.count; i++)
        if (mg_view_is(word, own.roles[i].name))
            return UINT32_C(1) << own.roles[i].bit;
    return 0;
}

uint32_t
mg_role_bits_with(struct mg_view words, struct mg_own_roles own, struct mg_view *ret_unknown)
{
    uint32_t bits = 0;
    struct mg_view unknown = MG_VIEW_EMPTY;
    for (size_t at = 0; at < words.length;) {
        size_t end = at;
        while (end < words.length && words.bytes[end] != ' ' && words.bytes[end] != ',' &&
               words.bytes[end] != '\t')
            end++;
        const struct mg_view word = mg_view_of(words.bytes + at, end - at);
        const uint32_t built_in = bit_of(word), bit = built_in != 0 ? built_in : own_bit_of(own, word);
        if (word.length != 0 && bit == 0 && unknown.length == 0)
            unknown = word;
        bits |= bit;
        at = end + 1;
    }
    if (ret_unknown != NULL)
        *ret_unknown = unknown;
    return bits;
}

uint32_t
mg_role_bits(struct mg_view words, struct mg_view *ret_unknown)
{
    return mg_role_bits_with(words, (struct mg_own_roles){.count = 0}, ret_unknown);
}

const char *
mg_role_names(void)
{
    return "administrator approver auditor user operator";
}
