/* Programs: who comes with an API token in `Authorization: Bearer` (RFC 6750 section 2.1; no other place
 * counts). */
#include "process/portal/portal.h"

#include "base/secret.h"
#include "domain/api_token.h"

#include <openssl/sha.h>
#include <strings.h>

/* False unless the header is there once and holds something of a token's form. */
static bool
bearer_read(const struct visit *visit, uint8_t token[MG_API_TOKEN_BYTES])
{
    static const char scheme[] = "Bearer ";
    struct mg_view value;
    unsigned count = 0;
    if (!mg_web_header(visit->request, "Authorization", &value, &count) || count != 1 ||
        value.length <= sizeof scheme - 1 ||
        strncasecmp((const char *) value.bytes, scheme, sizeof scheme - 1) != 0)
        return false;
    value = mg_view_of(value.bytes + sizeof scheme - 1, value.length - sizeof scheme + 1);
    return mg_api_token_parse(value, token);
}

static CHECKED struct mg_status
rate_headers(struct visit *visit, const struct mg_reply_token_check *reply)
{
    if (reply->rate_most == 0)
        return OK;
    /* draft-ietf-httpapi-ratelimit-headers-10 */
    TRY(mg_web_header_add(visit->answer, "RateLimit-Policy", "\"token\";q=%llu;w=%llu",
                          (unsigned long long) reply->rate_most, (unsigned long long) reply->rate_window_s));
    TRY(mg_web_header_add(visit->answer, "RateLimit", "\"token\";r=%llu;t=%llu",
                          (unsigned long long) reply->rate_left, (unsigned long long) reply->rate_reset_s));
    if (reply->outcome == MG_RATE_LIMITED)
        return mg_web_header_add(visit->answer, "Retry-After", "%llu",
                                 (unsigned long long) reply->rate_reset_s);
    return OK;
}

/* Control: IDENTITY_11 */
struct mg_status
visit_identify_token(struct visit *visit, struct mg_buffer *storage, struct mg_reply_token_check *ret_reply)
{
    OWN_KEY(token, MG_API_TOKEN_BYTES);
    *ret_reply = (struct mg_reply_token_check){.outcome = MG_TOKEN_NOT_VALID};
    visit->signed_in = false;
    if (!bearer_read(visit, token))
        return OK;
    mg_must(SHA256(token, sizeof token, visit->session) != NULL);
    const struct mg_request_token_check request = {
        .tenant = visit->tenant, .token = mg_view_of(visit->session, HASH_BYTES), .address = visit->address};
    TRY(mg_call_token_check(&request, ret_reply, storage, FIRST_CALL_MS));
    visit->signed_in = ret_reply->outcome == MG_GRANTED;
    return rate_headers(visit, ret_reply);
}
