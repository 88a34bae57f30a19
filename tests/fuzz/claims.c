/* The claims of a token in the assertion map. */
#include "gate/claims.h"

#include "base/own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fits_a_header(const char *text, size_t size)
{
    const size_t length = strnlen(text, size);
    mg_must(length < size && mg_view_is_utf8(mg_view_of(text, length)));
    for (size_t i = 0; i < length; i++)
        mg_must((uint8_t) text[i] >= 0x20 && text[i] != 0x7F);
}

/* The input is the payload: behind base64url a fuzzer would not find its way. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mg_claims claims;
    OWN_BUFFER(token, 65536);
    if (size > 16384)
        return 0;
    mg_must(mg_ok(mg_buffer_add_text(&token, "h.")) && mg_ok(mg_base64url(mg_view_of(data, size), &token)) &&
            mg_ok(mg_buffer_add_text(&token, ".s")));
    if (!mg_ok(mg_claims_read(mg_buffer_view(&token), &claims)))
        return 0;
    fits_a_header(claims.subject, sizeof claims.subject);
    fits_a_header(claims.email, sizeof claims.email);
    fits_a_header(claims.groups, sizeof claims.groups);
    return 0;
}
