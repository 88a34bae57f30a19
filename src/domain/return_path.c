#include "domain/return_path.h"

static bool
starts_with(struct mg_view text, const char *start)
{
    const size_t length = strlen(start);
    return text.length >= length && memcmp(text.bytes, start, length) == 0;
}

bool
mg_return_path_is_safe(struct mg_view path)
{
    if (path.length == 0 || path.length > MG_RETURN_PATH_MOST || path.bytes[0] != '/')
        return false;
    /* "//host" names another host; browsers read "/\host" the same way. */
    if (path.length > 1 && (path.bytes[1] == '/' || path.bytes[1] == '\\'))
        return false;
    for (size_t i = 0; i < path.length; i++) {
        const uint8_t c = path.bytes[i];
        if (c <= ' ' || c >= 0x7f || c == '\\' || c == '"' || c == '<' || c == '>' || c == '#' || c == '`')
            return false;
    }
    return !starts_with(path, "/.masugata");
}

struct mg_view
mg_return_path(struct mg_view path)
{
    return mg_return_path_is_safe(path) ? path : mg_view_text("/");
}
