/* What a visitor sends and the gate takes apart: path, host, Cookie, an app's Set-Cookie. The first
 * byte picks one; properties beside "does not crash" are asserted. */
#include "gate/canonical.h"
#include "gate/cookies.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_path(struct mg_view raw, uint8_t *room)
{
    struct mg_view path, again;
    if (!mg_canonical_path(raw, room, &path))
        return;
    uint8_t *second = malloc(3 * path.length + 1);
    mg_must(second != NULL);
    mg_must(path.length > 0 && path.bytes[0] == '/');
    mg_must(mg_canonical_path(path, second, &again) && mg_view_equal(path, again));
    free(second);
}

static void
try_cookies(struct mg_view header, uint8_t *room)
{
    struct mg_tokens tokens, left;
    memset(&tokens, 0, sizeof tokens);
    memset(&left, 0, sizeof left);
    mg_tokens_collect(header, &tokens);
    mg_must(tokens.count <= MG_TOKENS_MOST);
    const size_t length = mg_cookies_without_reserved(header, room);
    mg_must(length <= header.length);
    mg_tokens_collect(mg_view_of(room, length), &left);
    mg_must(!left.reserved && left.count == 0);
}

static void
try_set_cookie(struct mg_view header, uint8_t *room)
{
    size_t length = 0;
    if (mg_set_cookie_harden(header, mg_view_text("XSRF-TOKEN"), room, &length))
        mg_must(length <= header.length + MG_SET_COOKIE_MORE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 65536)
        return 0;
    const struct mg_view input = mg_view_of(data + 1, size - 1);
    /* Exactly as much room as the callers give, so that a sanitizer sees one byte too many. */
    uint8_t *room = malloc(data[0] % 4 == 0 ? 3 * input.length + 1 : input.length + MG_SET_COOKIE_MORE);
    struct mg_view host;
    mg_must(room != NULL);
    switch (data[0] % 4) {
    case 0:
        try_path(input, room);
        break;
    case 1:
        (void) mg_canonical_host(input, room, &host);
        break;
    case 2:
        try_cookies(input, room);
        break;
    case 3:
        try_set_cookie(input, room);
        break;
    }
    free(room);
    return 0;
}
