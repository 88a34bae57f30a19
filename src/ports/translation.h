/* Translations by gettext's files: the English text is the key, po/ja.po has the Japanese, msgfmt
 * compiles it and the result is part of the program. We read the compiled file ourselves because
 * gettext(3) chooses the language by the process's locale, and our pages choose it by request. */
#ifndef MG_PORTS_TRANSLATION_H
#define MG_PORTS_TRANSLATION_H

#include "base/bytes.h"

enum mg_language { MG_ENGLISH, MG_JAPANESE };

/* "en" or "ja". */
const char *mg_language_tag(enum mg_language language);
/* Anything but "ja" is English. */
enum mg_language mg_language_of(struct mg_view tag);

/* The translation, or the text itself. */
struct mg_view mg_translate(enum mg_language language, struct mg_view text);
/* The same for literals; xgettext collects N_("...") too, for texts kept in tables. */
const char *mg_translate_text(enum mg_language language, const char *text);
#define N_(text) text

/* Looks `text` up in a compiled gettext file (MO, little-endian); false if absent or not well-formed. */
bool mg_mo_find(struct mg_view file, struct mg_view text, struct mg_view *ret_translation);

#endif
