#include "process/prober/provider_request.h"

#include <string.h>

const char *
mg_provider_request_body(const char *request)
{
    static const char length_name[] = "\r\ncontent-length:";
    uint64_t length = 0;
    const char *end = strstr(request, "\r\n\r\n");
    const char *line = strcasestr(request, length_name);
    if (end == NULL)
        return NULL;
    if (line != NULL && line < end) {
        const char *number = line + sizeof length_name - 1;
        number += strspn(number, " ");
        if (!mg_ok(
                mg_parse_u64(mg_view_of(number, strcspn(number, "\r")), MG_PROVIDER_REQUEST_MOST, &length)))
            return NULL;
    }
    return strlen(end + 4) >= length ? end + 4 : NULL;
}

bool
mg_provider_request_path_ends(const char *request, const char *tail)
{
    const char *path = strchr(request, ' ');
    const size_t length = path == NULL ? 0 : strcspn(path + 1, " ?\r");
    return length >= strlen(tail) && memcmp(path + 1 + length - strlen(tail), tail, strlen(tail)) == 0;
}
