/* What masugata-vault tells, as lines. Apart from the mirror, because launcher and worker know these words
 * and nothing of the seal: they are not linked with libsodium. */
#include "ports/vault_mirror.h"

#include <inttypes.h>

const char *
mg_vault_verb_word(uint64_t verb)
{
    static const char *const words[MG_VAULT_VERB_COUNT] = {[MG_VAULT_COPY] = "copy",
                                                           [MG_VAULT_CHECK] = "check",
                                                           [MG_VAULT_REMOVE] = "remove",
                                                           [MG_VAULT_FETCH] = "fetch"};
    return verb < MG_VAULT_VERB_COUNT ? words[verb] : NULL;
}

void
mg_vault_result_drop(struct mg_vault_result *result)
{
    mg_buffer_drop(&result->labels);
}

#define NUMBERS(X) \
    X(generation)  \
    X(files) X(copied) X(bytes) X(left) X(lost) X(damaged) X(gone) X(stale) X(fresh) X(old) X(other)

struct mg_status
mg_vault_result_write(const struct mg_vault_result *result, struct mg_buffer *text)
{
    TRY(mg_buffer_format(text, "id %s\nlist %s\n", result->id, result->digest));
#define WRITE(name) TRY(mg_buffer_format(text, #name " %" PRIu64 "\n", (uint64_t) result->name));
    NUMBERS(WRITE)
#undef WRITE
    if (result->first[0] != '\0')
        TRY(mg_buffer_format(text, "first %s\n", result->first));
    struct mg_view labels = mg_buffer_view(&result->labels);
    while (labels.length != 0) {
        const uint8_t *end = memchr(labels.bytes, '\n', labels.length);
        const size_t length = end == NULL ? labels.length : (size_t) (end - labels.bytes);
        TRY(mg_buffer_add_text(text, "label "));
        TRY(mg_buffer_add(text, mg_view_of(labels.bytes, length)));
        TRY(mg_buffer_add_text(text, "\n"));
        const size_t taken = end == NULL ? length : length + 1;
        labels = mg_view_of(labels.bytes + taken, labels.length - taken);
    }
    return OK;
}

static CHECKED struct mg_status
line_read(struct mg_view word, struct mg_view value, struct mg_vault_result *result)
{
    uint64_t number = 0;
    if (mg_view_is(word, "id"))
        return mg_view_copy(value, result->id, sizeof result->id);
    if (mg_view_is(word, "list"))
        return mg_view_copy(value, result->digest, sizeof result->digest);
    if (mg_view_is(word, "first"))
        return mg_view_copy(value, result->first, sizeof result->first);
    if (mg_view_is(word, "label")) {
        TRY(mg_buffer_add(&result->labels, value));
        return mg_buffer_add_byte(&result->labels, '\n');
    }
    TRY(mg_parse_u64(value, INT64_MAX, &number));
#define READ(name)                                        \
    if (mg_view_is(word, #name)) {                        \
        result->name = (__typeof__(result->name)) number; \
        return OK;                                        \
    }
    NUMBERS(READ)
#undef READ
    return fail_with(MALFORMED, "what the vault told");
}

struct mg_status
mg_vault_result_read(struct mg_view text, struct mg_vault_result *result)
{
    *result = (struct mg_vault_result){.labels = MG_BUFFER((size_t) MG_VAULT_LABELS_MOST * 80)};
    for (size_t at = 0; at < text.length;) {
        const uint8_t *line = text.bytes + at, *end = memchr(line, '\n', text.length - at);
        const uint8_t *blank = end == NULL ? NULL : memchr(line, ' ', (size_t) (end - line));
        if (blank == NULL)
            return fail_with(MALFORMED, "what the vault told");
        TRY(line_read(mg_view_of(line, (size_t) (blank - line)),
                      mg_view_of(blank + 1, (size_t) (end - blank - 1)), result));
        at += (size_t) (end - line) + 1;
    }
    return OK;
}
