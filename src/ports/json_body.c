#include "ports/json_body.h"

#include "base/secret.h"
#include "wire/messages.h"

#include <jansson.h>

enum {
    DEPTH_MOST = 2,
    WORDS_MOST = 64,
    WORD_MOST = 63,
    SETTINGS_MOST = 64,
    KEYWORD_MOST = 63,
    VALUE_MOST = 8191
};

/* jansson calls itself for each level, on a stack that is not large: what is deeper than anything we take is
 * told before it sees it. Brackets inside texts do not count. */
static bool
is_too_deep(struct mg_view body)
{
    size_t depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < body.length; i++) {
        const uint8_t c = body.bytes[i];
        if (in_text && c == '\\')
            i++;
        else if (c == '"')
            in_text = !in_text;
        else if (!in_text && (c == '{' || c == '['))
            depth++;
        else if (!in_text && (c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > DEPTH_MOST)
            return true;
    }
    return false;
}

static bool
is_plain(struct mg_view text)
{
    for (size_t i = 0; i < text.length; i++) {
        const uint8_t c = text.bytes[i];
        if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            return false;
    }
    return true;
}

static struct mg_view
view_of(const json_t *text)
{
    return mg_view_of(json_string_value(text), json_string_length(text));
}

static bool
has_word(struct mg_view words, struct mg_view word)
{
    for (size_t at = 0; at < words.length;) {
        size_t end = at;
        while (end < words.length && words.bytes[end] != ' ')
            end++;
        if (mg_view_equal(mg_view_of(words.bytes + at, end - at), word))
            return true;
        at = end + 1;
    }
    return false;
}

static bool
is_word(struct mg_view word)
{
    for (size_t i = 0; i < word.length; i++)
        if (word.bytes[i] <= ' ' || word.bytes[i] == 0x7f)
            return false;
    return word.length != 0 && word.length <= WORD_MOST;
}

/* The readers return false for a value that is not of its type or too large; *status is our own trouble. */
static bool
words_read(const json_t *array, uint64_t most, struct mg_buffer *storage, struct mg_view *ret_text,
           struct mg_status *status)
{
    const size_t start = storage->length;
    if (!json_is_array(array) || json_array_size(array) > WORDS_MOST)
        return false;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        if (!json_is_string(item) || !is_word(view_of(item)))
            return false;
        const struct mg_view before = mg_view_of(storage->bytes + start, storage->length - start);
        if (i != 0 && has_word(before, view_of(item)))
            return false;
        if (i != 0)
            *status = mg_buffer_add_byte(storage, ' ');
        if (mg_ok(*status))
            *status = mg_buffer_add(storage, view_of(item));
        if (!mg_ok(*status))
            return true;
    }
    *ret_text = storage->length == start ? MG_VIEW_EMPTY
                                         : mg_view_of(storage->bytes + start, storage->length - start);
    return ret_text->length <= most;
}

static bool
settings_read(json_t *object, uint64_t most, struct mg_buffer *storage, struct mg_view *ret_text,
              struct mg_status *status)
{
    const size_t start = storage->length;
    const char *keyword;
    json_t *value;
    if (!json_is_object(object) || json_object_size(object) > SETTINGS_MOST)
        return false;
    json_object_foreach(object, keyword, value)
    {
        if (!json_is_string(value) || strlen(keyword) > KEYWORD_MOST || !is_plain(mg_view_text(keyword)) ||
            json_string_length(value) > VALUE_MOST || !is_plain(view_of(value)))
            return false;
        const struct mg_record_idp_setting row = {.keyword = mg_view_text(keyword), .value = view_of(value)};
        *status = mg_list_add_idp_setting(storage, &row);
        if (!mg_ok(*status))
            return status->code == MG_TOO_LARGE ? (*status = OK, false) : true;
    }
    *ret_text = storage->length == start ? MG_VIEW_EMPTY
                                         : mg_view_of(storage->bytes + start, storage->length - start);
    return ret_text->length <= most;
}

static bool
text_read(const json_t *text, uint64_t most, struct mg_buffer *storage, struct mg_view *ret_text,
          struct mg_status *status)
{
    const size_t start = storage->length;
    if (!json_is_string(text) || json_string_length(text) > most || !is_plain(view_of(text)))
        return false;
    *status = mg_buffer_add(storage, view_of(text));
    if (mg_ok(*status) && storage->length != start)
        *ret_text = mg_view_of(storage->bytes + start, storage->length - start);
    return true;
}

static bool
value_read(json_t *json, const struct mg_json_member *member, struct mg_buffer *storage,
           struct mg_json_value *value, struct mg_status *status)
{
    value->given = true;
    switch (member->kind) {
    case MG_JSON_TEXT:
        return text_read(json, member->most, storage, &value->text, status);
    case MG_JSON_NUMBER:
        value->number = (uint64_t) json_integer_value(json);
        return json_is_integer(json) && json_integer_value(json) >= 0 && value->number <= member->most;
    case MG_JSON_FLAG:
        value->flag = json_is_true(json);
        return json_is_boolean(json);
    case MG_JSON_TIME:
        return json_is_string(json) && json_string_length(json) <= member->most &&
               mg_ok(mg_instant_parse(view_of(json), &value->time));
    case MG_JSON_WORDS:
        return words_read(json, member->most, storage, &value->text, status);
    case MG_JSON_SETTINGS:
        return settings_read(json, member->most, storage, &value->text, status);
    }
    return false;
}

static void
blame(struct mg_json_verdict *verdict, enum mg_json_fault fault, const char *member)
{
    const struct mg_view name = mg_view_start(mg_view_text(member), sizeof verdict->member - 1);
    verdict->fault = fault;
    memcpy(verdict->member, name.bytes, name.length);
    verdict->member[name.length] = '\0';
}

static const struct mg_json_member *
member_find(const struct mg_json_member *members, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(members[i].name, name) == 0)
            return &members[i];
    return NULL;
}

static struct mg_status
members_read(json_t *root, const struct mg_json_member *members, size_t count, struct mg_json_value *values,
             struct mg_buffer *storage, struct mg_json_verdict *verdict)
{
    struct mg_status status = OK;
    const char *name;
    json_t *json;
    json_object_foreach(root, name, json)
    {
        const struct mg_json_member *member = member_find(members, count, name);
        if (member == NULL) {
            blame(verdict, MG_JSON_UNKNOWN_MEMBER, name);
            return OK;
        }
        if (!value_read(json, member, storage, &values[member - members], &status)) {
            blame(verdict, MG_JSON_WRONG_MEMBER, name);
            return OK;
        }
        TRY(status);
    }
    for (size_t i = 0; i < count; i++)
        if (members[i].required && !values[i].given) {
            blame(verdict, MG_JSON_MISSING_MEMBER, members[i].name);
            return OK;
        }
    return OK;
}

struct mg_status
mg_json_body_read(struct mg_view body, const struct mg_json_member *members, size_t count,
                  struct mg_json_value *values, struct mg_buffer *storage,
                  struct mg_json_verdict *ret_verdict)
{
    json_error_t error;
    *ret_verdict = (struct mg_json_verdict){.fault = MG_JSON_RIGHT};
    memset(values, 0, count * sizeof *values);
    /* Room for everything at once: nothing moves while views borrow it. */
    TRY(mg_buffer_reserve(storage, storage->maximum - storage->length));
    json_t *root = is_too_deep(body)
                       ? NULL
                       : json_loadb((const char *) body.bytes, body.length, JSON_REJECT_DUPLICATES, &error);
    struct mg_status status = OK;
    if (!json_is_object(root))
        blame(ret_verdict, MG_JSON_MALFORMED, "");
    else
        status = members_read(root, members, count, values, storage, ret_verdict);
    json_decref(root);
    if (!mg_ok(status) || ret_verdict->fault != MG_JSON_RIGHT)
        memset(values, 0, count * sizeof *values);
    return status;
}
