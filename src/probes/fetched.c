#include "probes/observer.h"

#include <strings.h>

void
mg_fetched_drop(struct mg_fetched *fetched)
{
    mg_buffer_drop(&fetched->headers);
    mg_buffer_drop(&fetched->body);
}

static struct mg_view
trimmed(const char *start, const char *end)
{
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return mg_view_of(start, (size_t) (end - start));
}

bool
mg_fetched_header(const struct mg_fetched *fetched, const char *name, size_t n, struct mg_view *ret_value)
{
    const size_t length = strlen(name);
    for (const char *line = mg_buffer_text(&fetched->headers), *end; (end = strstr(line, "\r\n")) != NULL;
         line = end + 2) {
        const bool match =
            (size_t) (end - line) > length && strncasecmp(line, name, length) == 0 && line[length] == ':';
        if (!match || n-- > 0)
            continue;
        *ret_value = trimmed(line + length + 1, end);
        return true;
    }
    return false;
}
