/* What an identity provider sends as JSON: discovery, the token endpoint's answer, claims, userinfo. The
 * first byte chooses. */
#include "ports/oidc_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
clean(const char *text, size_t size)
{
    mg_must(strnlen(text, size) < size);
    for (const char *at = text; *at != '\0'; at++)
        mg_must((uint8_t) *at >= 0x20 && *at != 0x7F);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char detail[128];
    if (size == 0)
        return 0;
    const struct mg_view input = mg_view_of(data + 1, size - 1);
    if (data[0] % 4 == 0) {
        struct mg_oidc_discovery found;
        if (mg_oidc_discovery_read(input, "https://idp.example", &found, detail) != MG_FEDERATION_NONE)
            return 0;
        mg_must(mg_oidc_url_is_plain(found.authorization_endpoint) &&
                mg_oidc_url_is_plain(found.token_endpoint) && mg_oidc_url_is_plain(found.jwks_uri));
        clean(found.algorithms, sizeof found.algorithms);
        clean(found.authentications, sizeof found.authentications);
    } else if (data[0] % 4 == 1) {
        MG_CLEANUP(mg_oidc_tokens_drop)
        struct mg_oidc_tokens tokens = {.id_token = MG_BUFFER(0), .access_token = MG_BUFFER(0)};
        if (mg_oidc_tokens_read(input, true, &tokens, detail) == MG_FEDERATION_NONE)
            mg_must(tokens.id_token.length != 0);
    } else {
        MG_CLEANUP(mg_oidc_texts_drop) struct mg_oidc_texts texts = {.groups = MG_BUFFER(0)};
        if (mg_oidc_claims_read(input, "groups", &texts, detail) != MG_FEDERATION_NONE)
            return 0;
        clean(texts.issuer, sizeof texts.issuer);
        clean(texts.subject, sizeof texts.subject);
        clean(texts.email, sizeof texts.email);
        clean(texts.name, sizeof texts.name);
        mg_must(texts.email[0] != '\0' || !texts.email_verified);
        if (data[0] % 4 == 3 && mg_oidc_userinfo_read(input, "groups", &texts, detail) == MG_FEDERATION_NONE)
            mg_must(texts.subject[0] != '\0');
    }
    return 0;
}
