#include "domain/password_policy.h"

#include "base/secret.h"
#include "domain/common_passwords.h"

#include <stdlib.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

/* Pieces shorter than this say nothing; longer ones are in no list. Passwords longer than FOLDED_MOST
 * are looked at only for being one short text repeated. */
enum { PIECE_LEAST = 3, PIECE_MOST = 64, FOLDED_MOST = 96, NUMBER_MOST = 4 };

static bool
is_ascii(struct mg_view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.bytes[i] >= 0x80)
            return false;
    return true;
}

static void
wiped_free(struct mg_view *allocated)
{
    mg_wipe((void *) (uintptr_t) allocated->bytes, allocated->length);
    free((void *) (uintptr_t) allocated->bytes);
}

struct mg_status
mg_password_normalise(struct mg_view typed, struct mg_buffer *buffer)
{
    if (!mg_view_is_utf8(typed))
        return fail_with(MALFORMED, "a password is UTF-8 text");
    if (is_ascii(typed)) /* already NFKC, and no copies to wipe inside the library */
        return mg_buffer_add(buffer, typed);
    size_t length = 0;
    uint8_t *normalised = u8_normalize(UNINORM_NFKC, typed.bytes, typed.length, NULL, &length);
    if (normalised == NULL)
        return fail(OUT_OF_MEMORY);
    MG_CLEANUP(wiped_free) struct mg_view owned = mg_view_of(normalised, length);
    return mg_buffer_add(buffer, owned);
}

/* NFKC and without case, like the lines of the list. */
static CHECKED struct mg_status
fold(struct mg_view text, struct mg_buffer *buffer)
{
    size_t length = 0;
    uint8_t *folded = u8_casefold(text.bytes, text.length, NULL, UNINORM_NFKC, NULL, &length);
    if (folded == NULL)
        return fail(OUT_OF_MEMORY);
    MG_CLEANUP(wiped_free) struct mg_view owned = mg_view_of(folded, length);
    return mg_buffer_add(buffer, owned);
}

/* ---- length and characters -------------------------------------------------------------------- */

/* Number of characters; *ret_printable is false when one is a control or not a character. */
static size_t
count_characters(struct mg_view text, bool *ret_printable)
{
    size_t count = 0;
    bool printable = true;
    for (size_t at = 0; at < text.length; count++) {
        ucs4_t character = 0;
        const int length = u8_mbtouc(&character, text.bytes + at, text.length - at);
        printable = printable &&
                    !uc_is_general_category_withtable(character, UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Cs |
                                                                     UC_CATEGORY_MASK_Cn);
        at += (size_t) length;
    }
    *ret_printable = printable;
    return count;
}

/* ---- what is easy to guess -------------------------------------------------------------------- */

void
mg_password_context_add(struct mg_password_context *context, struct mg_view text)
{
    if (text.length >= PIECE_LEAST && context->count < MG_PASSWORD_CONTEXT_MOST)
        context->words[context->count++] = text;
    for (size_t start = 0, at = 0; at <= text.length; at++) {
        if (at < text.length && strchr(" .,-_@+/:", text.bytes[at]) == NULL)
            continue;
        const size_t length = at - start;
        if (length >= PIECE_LEAST && length < text.length && context->count < MG_PASSWORD_CONTEXT_MOST)
            context->words[context->count++] = mg_view_of(text.bytes + start, length);
        start = at + 1;
    }
}

struct guesser {
    struct mg_view text;                            /* folded password */
    struct mg_view words[MG_PASSWORD_CONTEXT_MOST]; /* folded context */
    size_t word_count;
    bool context_used; /* a piece of the answer came from the context */
};

static bool
is_context_word(const struct guesser *guesser, struct mg_view piece)
{
    for (size_t i = 0; i < guesser->word_count; i++)
        if (mg_view_equal(guesser->words[i], piece))
            return true;
    return false;
}

/* "aaaa", "4567", "dcba": the same step from character to character. */
static bool
is_run(struct mg_view piece)
{
    const int step = piece.bytes[1] - piece.bytes[0];
    if (step < -1 || step > 1)
        return false;
    for (size_t i = 2; i < piece.length; i++)
        if (piece.bytes[i] - piece.bytes[i - 1] != step)
            return false;
    return true;
}

/* Neighbours on a keyboard, in either direction. */
static bool
is_keyboard_walk(struct mg_view piece)
{
    static const char *const rows[] = {
        "`1234567890-=", "qwertyuiop[]",  "asdfghjkl;'",
        "zxcvbnm,./",    "~!@#$%^&*()_+", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
        "!\"#$%&'()=~|", "=-0987654321`", "][poiuytrewq",
        "';lkjhgfdsa",   "/.,mnbvcxz",    "+_)(*&^%$#@!~"};
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        if (memmem(rows[i], strlen(rows[i]), piece.bytes, piece.length) != NULL)
            return true;
    return false;
}

static bool
is_number(struct mg_view piece)
{
    for (size_t i = 0; i < piece.length; i++)
        if (piece.bytes[i] < '0' || piece.bytes[i] > '9')
            return false;
    return piece.length <= NUMBER_MOST;
}

static bool
is_piece(struct guesser *guesser, struct mg_view piece)
{
    if (is_context_word(guesser, piece)) {
        guesser->context_used = true;
        return true;
    }
    if (is_number(piece))
        return true;
    return piece.length >= PIECE_LEAST &&
           (is_run(piece) || is_keyboard_walk(piece) || mg_password_is_common(piece));
}

static bool
starts_with(struct mg_view text, struct mg_view piece)
{
    return piece.length != 0 && text.length >= piece.length &&
           memcmp(text.bytes, piece.bytes, piece.length) == 0;
}

static struct mg_view
after(struct mg_view text, size_t length)
{
    return mg_view_of(text.bytes + length, text.length - length);
}

/* Whether the text is a row of first's and second's. One pass: reachable[i] tells that the text up to
 * i is one. */
static bool
is_row_of(struct mg_view text, struct mg_view first, struct mg_view second)
{
    bool reachable[FOLDED_MOST + 1] = {[0] = true};
    for (size_t at = 0; at < text.length; at++) {
        if (!reachable[at])
            continue;
        const struct mg_view rest = after(text, at);
        if (starts_with(rest, first))
            reachable[at + first.length] = true;
        if (starts_with(rest, second))
            reachable[at + second.length] = true;
    }
    return reachable[text.length];
}

/* Whether the text goes on, after copies of `first` from its start, with nothing but `first` and one
 * other piece. */
static bool
completes(struct guesser *guesser, struct mg_view first)
{
    const struct mg_view text = guesser->text;
    for (size_t at = first.length; at <= text.length; at += first.length) {
        const struct mg_view rest = after(text, at);
        if (rest.length == 0)
            return true;
        for (size_t length = 1; length <= rest.length && length <= PIECE_MOST; length++) {
            const struct mg_view second = mg_view_of(rest.bytes, length);
            if (is_row_of(rest, first, second) && is_piece(guesser, second))
                return true;
        }
        if (!starts_with(rest, first))
            break;
    }
    return false;
}

/* One text, at most half as long, again and again: not more to guess than that text. */
static bool
is_repetition(struct mg_view text, size_t most)
{
    for (size_t period = 1; period <= most && period <= text.length / 2; period++)
        if (memcmp(text.bytes, text.bytes + period, text.length - period) == 0)
            return true;
    return false;
}

static enum mg_outcome
guessable(struct guesser *guesser)
{
    const struct mg_view text = guesser->text;
    if (is_context_word(guesser, text))
        return MG_PASSWORD_LIKE_NAME;
    if (mg_password_is_common(text))
        return MG_PASSWORD_COMMON;
    for (size_t length = 1; text.length <= FOLDED_MOST && length <= text.length && length <= PIECE_MOST;
         length++) {
        guesser->context_used = false;
        if (!is_piece(guesser, mg_view_of(text.bytes, length)))
            continue;
        if (completes(guesser, mg_view_of(text.bytes, length)))
            return guesser->context_used ? MG_PASSWORD_LIKE_NAME : MG_PASSWORD_COMMON;
    }
    return is_repetition(text, MG_PASSWORD_LEAST_WITH_SECOND_FACTOR - 1) ? MG_PASSWORD_COMMON : MG_GRANTED;
}

struct mg_status
mg_password_judge(struct mg_view normalised, size_t least, const struct mg_password_context *context,
                  enum mg_outcome *ret_outcome)
{
    bool printable = false;
    if (!mg_view_is_utf8(normalised))
        return fail_with(MALFORMED, "a password is UTF-8 text");
    if (normalised.length > MG_PASSWORD_MOST_BYTES) {
        *ret_outcome = MG_PASSWORD_TOO_LONG;
        return OK;
    }
    const size_t characters = count_characters(normalised, &printable);
    if (!printable || characters < least) {
        *ret_outcome = printable ? MG_PASSWORD_TOO_SHORT : MG_NOT_VALID;
        return OK;
    }
    /* Folding can make text longer (at most threefold), never unbounded. */
    OWN_BUFFER(folded, 8 * MG_PASSWORD_MOST_BYTES);
    TRY(fold(normalised, &folded));
    OWN_BUFFER(words, 65536);
    struct guesser guesser = {.text = mg_buffer_view(&folded)};
    size_t ends[MG_PASSWORD_CONTEXT_MOST];
    for (size_t i = 0; i < context->count; i++) {
        TRY(fold(context->words[i], &words));
        ends[i] = words.length;
    }
    for (size_t i = 0; i < context->count; i++) /* after the last growth, so that none moves */
        guesser.words[i] =
            mg_view_of(words.bytes + (i == 0 ? 0 : ends[i - 1]), ends[i] - (i == 0 ? 0 : ends[i - 1]));
    guesser.word_count = context->count;
    *ret_outcome = guessable(&guesser);
    return OK;
}

bool
mg_password_is_breached(struct mg_view normalised)
{
    OWN_BUFFER(folded, 8 * MG_PASSWORD_MOST_BYTES);
    return mg_ok(fold(normalised, &folded)) && mg_password_is_common(mg_buffer_view(&folded));
}

/* ---- words of a tenant's own ---- */

bool
mg_password_word_is_valid(struct mg_view word)
{
    bool printable = false;
    if (!mg_view_is_utf8(word))
        return false;
    const size_t characters = count_characters(word, &printable);
    return printable && characters <= MG_PASSWORD_WORD_MOST &&
           (characters >= PIECE_LEAST || (characters == PIECE_LEAST - 1 && !is_ascii(word)));
}

struct mg_status
mg_password_has_word(struct mg_view normalised, struct mg_view words, bool *ret_has)
{
    OWN_BUFFER(folded, 8 * MG_PASSWORD_MOST_BYTES);
    *ret_has = true;
    if (!mg_view_is_utf8(normalised) || !mg_view_is_utf8(words))
        return fail_with(MALFORMED, "a password and the words are UTF-8 text");
    TRY(fold(normalised, &folded));
    for (size_t at = 0, end = 0; at < words.length; at = end + 1) {
        OWN_BUFFER(plain, 4096);
        OWN_BUFFER(word, 8192);
        for (end = at; end < words.length && words.bytes[end] != ' ';)
            end++;
        TRY(mg_password_normalise(mg_view_of(words.bytes + at, end - at), &plain)); /* as the password is */
        TRY(fold(mg_buffer_view(&plain), &word));
        if (word.length != 0 && folded.length >= word.length &&
            memmem(folded.bytes, folded.length, word.bytes, word.length) != NULL)
            return OK;
    }
    *ret_has = false;
    return OK;
}
