/* The options of catalogue/options.def as C: one struct, one parser, one text form.
 * Texts are owned by the struct. An option whose row does not name this process stays unset. */
#ifndef MG_WIRE_OPTIONS_H
#define MG_WIRE_OPTIONS_H

#include "base/time.h"
#include "wire/messages.h"

enum mg_option_type {
    MG_OPTION_DURATION, /* int64_t milliseconds */
    MG_OPTION_NUMBER,   /* int64_t */
    MG_OPTION_FLAG,     /* bool: yes or no */
    MG_OPTION_TEXT,     /* any UTF-8, at most 8191 bytes */
    MG_OPTION_CHOICE,   /* one word of `most`, separated by | */
    MG_OPTION_LIST,     /* words separated by spaces or commas */
};

#define MG_C_DURATION int64_t
#define MG_C_NUMBER int64_t
#define MG_C_FLAG bool
#define MG_C_TEXT const char *
#define MG_C_CHOICE const char *
#define MG_C_LIST const char *

struct mg_options {
#define OPTION(field, keyword, type, preset, least, most, readers, secret, english, japanese) \
    MG_C_##type field;
#include "../../catalogue/options.def"
#undef OPTION
};

struct mg_option_row {
    const char *keyword;
    enum mg_option_type type;
    const char *preset, *least, *most; /* as text; most holds the choices of a CHOICE */
    uint32_t readers;                  /* bits 1 << enum mg_process */
    bool secret;
    const char *en, *ja;
    size_t offset; /* in struct mg_options */
};

extern const struct mg_option_row mg_option_rows[];
extern const size_t mg_option_count;

/* NULL if no option has this keyword. */
const struct mg_option_row *mg_option_find(struct mg_view keyword);

/* All zero and empty texts. */
CHECKED struct mg_status mg_options_new(struct mg_options **ret_options);
void mg_options_drop(struct mg_options **options);

/* Checks type and range; the old value stays if it is refused. INVALID with a detail that says what
 * is allowed. */
CHECKED struct mg_status mg_option_set(struct mg_options *options, const struct mg_option_row *row,
                                       struct mg_view value);
CHECKED struct mg_status mg_options_preset(struct mg_options *options);

/* The value in the form mg_option_set reads. Not for printing: it does not redact. */
CHECKED struct mg_status mg_option_text(const struct mg_options *options, const struct mg_option_row *row,
                                        struct mg_buffer *text);

/* The same for any other table of option rows and the struct they describe (`record`). Texts of the
 * struct are owned by it: begin makes them empty, wipe frees them. */
CHECKED struct mg_status mg_option_record_begin(void *record, const struct mg_option_row *rows, size_t count);
CHECKED struct mg_status mg_option_record_preset(void *record, const struct mg_option_row *rows,
                                                 size_t count);
void mg_option_record_wipe(void *record, const struct mg_option_row *rows, size_t count);
CHECKED struct mg_status mg_option_record_set(void *record, const struct mg_option_row *row,
                                              struct mg_view value);
CHECKED struct mg_status mg_option_record_text(const void *record, const struct mg_option_row *row,
                                               struct mg_buffer *text);

/* The next word of a LIST; false at the end. Start with *cursor = the option's text. */
bool mg_option_word(const char **cursor, struct mg_view *ret_word);
/* Appends the words of a list with one space between, as the gate's snapshot and messages have them. */
CHECKED struct mg_status mg_option_words(const char *list, struct mg_buffer *words);

#endif
