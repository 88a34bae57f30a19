#include "ports/translation.h"

#include "ports/embedded.h"

#define MO_MAGIC 0x950412deu

const char *
mg_language_tag(enum mg_language language)
{
    return language == MG_JAPANESE ? "ja" : "en";
}

enum mg_language
mg_language_of(struct mg_view tag)
{
    return mg_view_is(tag, "ja") ? MG_JAPANESE : MG_ENGLISH;
}

bool
mg_embedded_find(const struct mg_embedded *table, struct mg_view name, struct mg_view *ret_bytes)
{
    for (; table->name != NULL; table++) {
        if (mg_view_is(name, table->name)) {
            *ret_bytes = table->bytes;
            return true;
        }
    }
    return false;
}

/* Zero outside the file, which then fails a later check. */
static uint32_t
word_at(struct mg_view file, size_t offset)
{
    if (offset > file.length || file.length - offset < 4)
        return 0;
    const uint8_t *at = file.bytes + offset;
    return (uint32_t) at[0] | (uint32_t) at[1] << 8 | (uint32_t) at[2] << 16 | (uint32_t) at[3] << 24;
}

/* A string by its descriptor (length, offset); the file has a NUL after each, so it is text too. */
static bool
string_at(struct mg_view file, size_t descriptor, struct mg_view *ret_string)
{
    const size_t length = word_at(file, descriptor), offset = word_at(file, descriptor + 4);
    if (offset >= file.length || file.length - offset <= length || file.bytes[offset + length] != '\0')
        return false;
    *ret_string = mg_view_of(file.bytes + offset, length);
    return true;
}

static int
compare(struct mg_view a, struct mg_view b)
{
    const size_t common = a.length < b.length ? a.length : b.length;
    const int order = common == 0 ? 0 : memcmp(a.bytes, b.bytes, common);
    if (order != 0)
        return order;
    return a.length < b.length ? -1 : a.length > b.length;
}

bool
mg_mo_find(struct mg_view file, struct mg_view text, struct mg_view *ret_translation)
{
    if (word_at(file, 0) != MO_MAGIC || text.length == 0)
        return false;
    const size_t originals = word_at(file, 12), translations = word_at(file, 16);
    size_t low = 0, high = word_at(file, 8);
    if (high > file.length / 8)
        return false;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        struct mg_view original;
        if (!string_at(file, originals + 8 * middle, &original))
            return false;
        const int order = compare(text, original);
        if (order == 0)
            return string_at(file, translations + 8 * middle, ret_translation);
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

struct mg_view
mg_translate(enum mg_language language, struct mg_view text)
{
    struct mg_view file, translation;
    if (language == MG_JAPANESE && mg_embedded_find(mg_embedded_translations, mg_view_text("ja.mo"), &file) &&
        mg_mo_find(file, text, &translation))
        return translation;
    return text;
}

const char *
mg_translate_text(enum mg_language language, const char *text)
{
    const struct mg_view translation = mg_translate(language, mg_view_text(text));
    return (const char *) translation.bytes; /* string_at saw the NUL */
}
