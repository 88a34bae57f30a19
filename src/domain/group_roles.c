#include "domain/group_roles.h"

/* False at the end. */
static bool
word_next(struct mg_view *words, struct mg_view *ret_word)
{
    while (words->length != 0 && words->bytes[0] == ' ')
        *words = mg_view_of(words->bytes + 1, words->length - 1);
    const uint8_t *end = words->length == 0 ? NULL : memchr(words->bytes, ' ', words->length);
    const size_t length = end == NULL ? words->length : (size_t) (end - words->bytes);
    *ret_word = mg_view_of(words->bytes, length);
    *words = mg_view_of(words->bytes + length, words->length - length);
    return length != 0;
}

bool
mg_words_have(struct mg_view words, struct mg_view word)
{
    struct mg_view other;
    while (word_next(&words, &other))
        if (mg_view_equal(word, other))
            return true;
    return false;
}

struct mg_status
mg_words_join(struct mg_buffer *words, struct mg_view more)
{
    struct mg_view word;
    while (word_next(&more, &word)) {
        if (mg_words_have(mg_buffer_view(words), word))
            continue;
        if (words->length != 0)
            TRY(mg_buffer_add_text(words, " "));
        TRY(mg_buffer_add(words, word));
    }
    return OK;
}

struct mg_status
mg_group_roles(struct mg_view roles, struct mg_view governed, struct mg_view given,
               struct mg_buffer *ret_roles)
{
    OWN_BUFFER(words, 1024);
    struct mg_view word;
    while (word_next(&roles, &word))
        if (!mg_words_have(governed, word))
            TRY(mg_words_join(&words, word));
    TRY(mg_words_join(&words, given));
    /* Whoever administers does not confirm what others hold: the two do not come together by way of groups
     * either. */
    if (!mg_words_have(mg_buffer_view(&words), mg_view_text("administrator")))
        return mg_buffer_add(ret_roles, mg_buffer_view(&words));
    OWN_BUFFER(apart, 1024);
    struct mg_view rest = mg_buffer_view(&words);
    while (word_next(&rest, &word))
        if (!mg_view_is(word, "approver"))
            TRY(mg_words_join(&apart, word));
    return mg_buffer_add(ret_roles, mg_buffer_view(&apart));
}
