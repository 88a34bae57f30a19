/* Answers of the API as JSON, member by member as catalogue/api.def lists them. */
#include "process/portal/api.h"

#include <inttypes.h>

static CHECKED struct mg_status
name_put(struct mg_buffer *json, bool *first, const char *name)
{
    TRY(mg_buffer_format(json, "%s\"%s\":", *first ? "" : ",", name));
    *first = false;
    return OK;
}

static CHECKED struct mg_status
put_TEXT(struct mg_buffer *json, struct mg_view text)
{
    return mg_buffer_add_json_string(json, text);
}

static CHECKED struct mg_status
put_NUMBER(struct mg_buffer *json, uint64_t number)
{
    return mg_buffer_format(json, "%" PRIu64, number);
}

static CHECKED struct mg_status
put_FLAG(struct mg_buffer *json, bool flag)
{
    return mg_buffer_add_text(json, flag ? "true" : "false");
}

/* 0 is never, and the end of time is no time either. */
static CHECKED struct mg_status
put_TIME(struct mg_buffer *json, mg_instant instant)
{
    char text[MG_INSTANT_TEXT];
    if (instant <= 0 || instant == INT64_MAX)
        return mg_buffer_add_text(json, "null");
    mg_instant_text(instant, text);
    return mg_buffer_format(json, "\"%s\"", text);
}

static CHECKED struct mg_status
parts_put(struct mg_buffer *json, struct mg_view text, uint8_t separator)
{
    const char *between = "";
    TRY(mg_buffer_add_byte(json, '['));
    for (size_t at = 0; at < text.length;) {
        size_t end = at;
        while (end < text.length && text.bytes[end] != separator)
            end++;
        if (end != at) {
            TRY(mg_buffer_add_text(json, between));
            TRY(mg_buffer_add_json_string(json, mg_view_of(text.bytes + at, end - at)));
            between = ",";
        }
        at = end + 1;
    }
    return mg_buffer_add_byte(json, ']');
}

static CHECKED struct mg_status
put_WORDS(struct mg_buffer *json, struct mg_view words)
{
    return parts_put(json, words, ' ');
}

static CHECKED struct mg_status
put_LINES(struct mg_buffer *json, struct mg_view lines)
{
    return parts_put(json, lines, '\n');
}

static CHECKED struct mg_status
put_RIGHTS(struct mg_buffer *json, mg_permissions held)
{
    OWN_BUFFER(words, 4096);
    TRY(mg_permissions_text(held, &words));
    return parts_put(json, mg_buffer_view(&words), ' ');
}

static CHECKED struct mg_status
put_STATE(struct mg_buffer *json, uint64_t state)
{
    static const char *const words[] = {[MG_LISTED_ACTIVE] = "active",
                                        [MG_LISTED_SUSPENDED] = "suspended",
                                        [MG_LISTED_LOCKED] = "locked",
                                        [MG_LISTED_INVITED] = "invited"};
    if (state >= MG_COUNT(words) || words[state] == NULL)
        return fail_with(MALFORMED, "the state of a user");
    return mg_buffer_format(json, "\"%s\"", words[state]);
}

static CHECKED struct mg_status
put_HEX(struct mg_buffer *json, struct mg_view bytes)
{
    char text[2 * 64 + 1];
    if (bytes.length > 64)
        return fail_with(TOO_LARGE, "an identifier");
    mg_hex(bytes, text);
    return mg_buffer_format(json, "\"%s\"", text);
}

static CHECKED struct mg_status
put_BASE64(struct mg_buffer *json, struct mg_view bytes)
{
    TRY(mg_buffer_add_byte(json, '"'));
    TRY(mg_base64(bytes, json));
    return mg_buffer_add_byte(json, '"');
}

static CHECKED struct mg_status
put_RAW(struct mg_buffer *json, struct mg_view text)
{
    return mg_buffer_add(json, text);
}

static CHECKED struct mg_status
put_SECRET(struct mg_buffer *json, struct mg_view secret)
{
    return secret.length == 0 ? mg_buffer_add_text(json, "null") : mg_buffer_add_json_string(json, secret);
}

#define MEMBER(kind, name, field, ...)        \
    TRY(name_put(&api->json, &first, #name)); \
    TRY(put_##kind(&api->json, from->field));
#define OBJECT(name, type, english, japanese, ...)                      \
    struct mg_status api_one_##name(struct api *api, const type *from)  \
    {                                                                   \
        bool first = true;                                              \
        TRY(mg_buffer_add_byte(&api->json, '{'));                       \
        __VA_ARGS__                                                     \
        api->status = api->row->answer == MG_API_MADE ? 201 : 200;      \
        return mg_buffer_add_byte(&api->json, '}');                     \
    }                                                                   \
    struct mg_status api_item_##name(struct api *api, const type *from) \
    {                                                                   \
        if (api->items++ != 0)                                          \
            TRY(mg_buffer_add_byte(&api->json, ','));                   \
        return api_one_##name(api, from);                               \
    }
#include "catalogue/api.def"
