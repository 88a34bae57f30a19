#include "base/reason.h"

#include <ctype.h>
#include <stdio.h>

#define DEPTH_MOST 10 /* certificates of a provider stand one behind the other */
#define PARAMETERS_MOST 9

static const struct mg_reason_row rows[] = {
#define REASON(name, english, japanese) {#name, english, japanese},
#include "../../catalogue/reasons.def"
#undef REASON
#define FEDERATION_REFUSAL(name, english, japanese) {#name, english, japanese},
#include "../../catalogue/federation_refusals.def"
#undef FEDERATION_REFUSAL
#define PASSKEY_REFUSAL(name, english, japanese) {"PASSKEY_" #name, english, japanese},
#include "../../catalogue/passkey_refusals.def"
#undef PASSKEY_REFUSAL
#define REFUSAL(id, status, name, english, japanese) {name, english, japanese},
#include "../../catalogue/refusals.def"
#undef REFUSAL
#define OUTCOME(name, english, japanese) {#name, english, japanese},
#include "../../catalogue/outcomes.def"
#undef OUTCOME
#define SCIM_PROBLEM(name, status, type, english, japanese) {"SCIM_" #name, english, japanese},
#include "../../catalogue/scim.def"
};

const struct mg_reason_row *
mg_reason_row(size_t i)
{
    return i < sizeof rows / sizeof rows[0] ? &rows[i] : NULL;
}

static const struct mg_reason_row *
row_find(struct mg_view code)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (mg_view_is(code, rows[i].code))
            return &rows[i];
    return NULL;
}

static struct mg_view
rest_of(struct mg_view text, size_t at)
{
    return mg_view_of(text.bytes + at, text.length - at);
}

/* How far a code reaches that begins here. */
static size_t
code_length(struct mg_view text)
{
    size_t length = 0;
    while (length < text.length && length < 64 &&
           (isalnum(text.bytes[length]) != 0 || text.bytes[length] == '_' || text.bytes[length] == '-'))
        length++;
    return length;
}

/* How many parameters the sentence takes: the highest {n}, and {>} behind them. */
static size_t
parameters_of(const char *sentence)
{
    size_t most = 0;
    bool nested = false;
    for (const char *at = strchr(sentence, '{'); at != NULL; at = strchr(at + 1, '{')) {
        if (at[1] == '>')
            nested = true;
        else if (at[1] > '0' && at[1] <= '9' && (size_t) (at[1] - '0') > most)
            most = (size_t) (at[1] - '0');
    }
    return most + (nested ? 1 : 0);
}

static CHECKED struct mg_status words_add(struct mg_view text, bool japanese, unsigned depth,
                                          struct mg_buffer *words);

static CHECKED struct mg_status
sentence_add(const char *sentence, const struct mg_view *parameters, size_t count, bool japanese,
             unsigned depth, struct mg_buffer *words)
{
    for (const char *at = sentence; *at != '\0'; at++) {
        const bool nested = at[0] == '{' && at[1] == '>' && at[2] == '}';
        const size_t number =
            at[0] == '{' && isdigit(at[1]) != 0 && at[2] == '}' ? (size_t) (at[1] - '0') : 0;
        if (nested && count > 0)
            TRY(words_add(parameters[count - 1], japanese, depth + 1, words));
        else if (number != 0 && number <= count)
            TRY(mg_buffer_add(words, parameters[number - 1]));
        else {
            TRY(mg_buffer_add_byte(words, (uint8_t) *at));
            continue;
        }
        at += 2;
    }
    return OK;
}

/* The code and its parameters at the beginning of `text`; *ret_used: how much of it they are. */
static CHECKED struct mg_status
row_add(const struct mg_reason_row *row, struct mg_view text, bool japanese, unsigned depth,
        struct mg_buffer *words, size_t *ret_used)
{
    struct mg_view parameters[PARAMETERS_MOST + 1] = {MG_VIEW_EMPTY};
    const size_t count = parameters_of(row->en);
    const uint8_t *line_end = memchr(text.bytes, '\n', text.length);
    const size_t end = line_end == NULL ? text.length : (size_t) (line_end - text.bytes);
    size_t at = strlen(row->code) + 1;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bar = i + 1 < count && at < end ? memchr(text.bytes + at, '|', end - at) : NULL;
        const size_t stop = bar == NULL ? end : (size_t) (bar - text.bytes);
        if (at < end)
            parameters[i] = mg_view_of(text.bytes + at, stop - at);
        at = stop < end ? stop + 1 : end;
    }
    *ret_used = at;
    TRY(sentence_add(japanese ? row->ja : row->en, parameters, count, japanese, depth, words));
    /* A reason behind a refusal: "CERTIFICATE|CERTIFICATE_NONE|". */
    return count == 0 && at < text.length && isupper(text.bytes[at]) != 0 ? mg_buffer_add_text(words, ": ")
                                                                          : OK;
}

static CHECKED struct mg_status
words_add(struct mg_view text, bool japanese, unsigned depth, struct mg_buffer *words)
{
    for (size_t at = 0; at < text.length;) {
        const struct mg_view rest = rest_of(text, at);
        const bool may_begin = at == 0 || strchr(" =:;|\"\n", text.bytes[at - 1]) != NULL;
        const size_t length = may_begin && depth < DEPTH_MOST ? code_length(rest) : 0;
        const bool with_bar = length != 0 && length < rest.length && rest.bytes[length] == '|';
        const bool alone = length != 0 && at == 0 && depth == 0 &&
                           (length == rest.length || rest.bytes[length] == ' ' || rest.bytes[length] == ':');
        const struct mg_reason_row *row = with_bar || alone ? row_find(mg_view_of(rest.bytes, length)) : NULL;
        size_t used = 1;
        if (row == NULL)
            TRY(mg_buffer_add_byte(words, rest.bytes[0]));
        else if (alone) {
            used = length;
            TRY(mg_buffer_add_text(words, japanese ? row->ja : row->en));
        } else
            TRY(row_add(row, rest, japanese, depth, words, &used));
        at += used;
    }
    return OK;
}

struct mg_status
mg_reason_words(struct mg_view text, bool japanese, struct mg_buffer *words)
{
    const size_t before = words->length;
    const struct mg_status status = words_add(text, japanese, 0, words);
    if (status.code != MG_TOO_LARGE)
        return status;
    /* Texts of others stand among the reasons: whatever they make of it, the page with it is shown. */
    words->length = before;
    return mg_buffer_add(words, text);
}

void
mg_reason_line(const char *text, bool japanese, char *line, size_t size)
{
    OWN_BUFFER(words, 4096);
    const bool made = text != NULL && mg_ok(mg_reason_words(mg_view_text(text), japanese, &words));
    const char *shown = made ? mg_buffer_text(&words) : text == NULL ? "" : text;
    const struct mg_view cut = mg_view_start(mg_view_text(shown), size - 1);
    memcpy(line, cut.bytes, cut.length);
    line[cut.length] = '\0';
}
