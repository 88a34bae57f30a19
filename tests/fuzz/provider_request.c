/* Requests to the prober's OpenID provider: a body lies within what was sent and is as long as was said. */
#include "process/prober/provider_request.h"
#include "base/own.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length > MG_PROVIDER_REQUEST_MOST)
        return 0;
    OWN_TEXT request = malloc(length + 1); /* as long as it is, so that a look behind its end is seen */
    if (request == NULL)
        return 0;
    memcpy(request, bytes, length);
    request[length] = '\0';
    const char *body = mg_provider_request_body(request);
    mg_must(body == NULL || (body > request + 3 && body <= request + strlen(request)));
    (void) mg_provider_request_path_ends(request, "/token");
    (void) mg_provider_request_path_ends(request, "/.well-known/openid-configuration");
    return 0;
}
