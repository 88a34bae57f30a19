#include "domain/site.h"

#include "wire/options.h"

enum { LEAST = 2, MOST = 40 };

bool
mg_site_is_valid(struct mg_view site)
{
    if (site.length < LEAST || site.length > MOST)
        return false;
    for (size_t i = 0; i < site.length; i++) {
        const uint8_t sign = site.bytes[i];
        const bool word = (sign >= 'a' && sign <= 'z') || (sign >= '0' && sign <= '9');
        const bool joins = sign == '-' && i != 0 && i + 1 < site.length && site.bytes[i - 1] != '-';
        if (!word && !joins)
            return false;
    }
    return true;
}

bool
mg_site_is_within(const char *site, const char *residency)
{
    struct mg_view word;
    bool any = false;
    const size_t length = site == NULL ? 0 : strlen(site);
    while (mg_option_word(&residency, &word)) {
        any = true;
        if (word.length <= length && memcmp(site, word.bytes, word.length) == 0 &&
            (site[word.length] == '\0' || site[word.length] == '-'))
            return true;
    }
    return !any;
}
