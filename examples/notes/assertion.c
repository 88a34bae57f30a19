/* RFC 7519 and RFC 7515, and of them only what the gate sends: three parts, ES256, string claims.
 * The algorithm is ours to choose, not the token's: "none" or a symmetric one is not even looked at. */
#include "notes.h"

#include "ports/crypto.h"

#include <jansson.h>

enum { TOKEN_MOST = 8192, LEEWAY_S = 5 };

static void
json_drop(json_t **json)
{
    json_decref(*json);
}
#define OWN_JSON MG_CLEANUP(json_drop) json_t *

struct parts {
    struct mg_view header, payload, signature, signed_text;
};

static struct mg_status
token_split(struct mg_view token, struct parts *ret_parts)
{
    if (token.length == 0 || token.length > TOKEN_MOST)
        return fail_with(REFUSED, "no assertion");
    const uint8_t *first = memchr(token.bytes, '.', token.length);
    const uint8_t *end = token.bytes + token.length;
    const uint8_t *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t) (end - first - 1));
    if (second == NULL || memchr(second + 1, '.', (size_t) (end - second - 1)) != NULL)
        return fail_with(REFUSED, "the assertion has not three parts");
    *ret_parts = (struct parts){
        .header = mg_view_of(token.bytes, (size_t) (first - token.bytes)),
        .payload = mg_view_of(first + 1, (size_t) (second - first - 1)),
        .signature = mg_view_of(second + 1, (size_t) (end - second - 1)),
        .signed_text = mg_view_of(token.bytes, (size_t) (second - token.bytes)),
    };
    return OK;
}

static struct mg_status
object_read(struct mg_view part, json_t **ret_json)
{
    OWN_BUFFER(text, TOKEN_MOST);
    if (!mg_ok(mg_base64url_decode(part, &text)))
        return fail_with(REFUSED, "the assertion is not base64url");
    json_t *json = json_loadb(mg_buffer_text(&text), text.length, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return fail_with(REFUSED, "the assertion is not JSON");
    }
    *ret_json = json;
    return OK;
}

static struct mg_status
signature_check(const struct parts *parts)
{
    OWN_JSON header = NULL;
    uint8_t key[64];
    OWN_BUFFER(signature, 64);
    TRY(object_read(parts->header, &header));
    const char *algorithm = json_string_value(json_object_get(header, "alg"));
    const char *kid = json_string_value(json_object_get(header, "kid"));
    if (algorithm == NULL || strcmp(algorithm, "ES256") != 0 || kid == NULL)
        return fail_with(REFUSED, "the assertion is not signed with ES256");
    if (!mg_ok(mg_base64url_decode(parts->signature, &signature)) || signature.length != 64)
        return fail_with(REFUSED, "the signature is not one");
    TRY(key_find(mg_view_text(kid), key));
    if (!mg_ok(
            mg_verify(MG_ES256, mg_view_of(key, sizeof key), parts->signed_text, mg_buffer_view(&signature))))
        return fail_with(REFUSED, "the signature does not match");
    return OK;
}

/* Is `word` one of the words in `list`? */
static bool
listed(const char *list, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = list; length != 0 && *at != '\0';) {
        const size_t here = strcspn(at, " ");
        if (here == length && memcmp(at, word, length) == 0)
            return true;
        at += here;
        at += strspn(at, " ");
    }
    return false;
}

static struct mg_status
claims_check(const json_t *claims, mg_instant now)
{
    const char *issuer = json_string_value(json_object_get(claims, "iss"));
    const char *audience = json_string_value(json_object_get(claims, "aud"));
    const json_t *from = json_object_get(claims, "nbf"), *until = json_object_get(claims, "exp");
    if (issuer == NULL || strcmp(issuer, settings.issuer) != 0)
        return fail_with(REFUSED, "the assertion is somebody else's");
    if (audience == NULL || !listed(settings.audience, audience))
        return fail_with(REFUSED, "the assertion is for another application");
    const int64_t now_s = now / 1000;
    if (!json_is_integer(from) || !json_is_integer(until) || json_integer_value(from) > now_s + LEEWAY_S ||
        json_integer_value(until) <= now_s)
        return fail_with(REFUSED, "the assertion is not valid now");
    return OK;
}

static struct mg_status
text_claim(const json_t *claims, const char *name, char *array, size_t size)
{
    const json_t *claim = json_object_get(claims, name);
    if (!json_is_string(claim))
        return fail_with(REFUSED, "the assertion has no %s", name);
    return mg_view_copy(mg_view_of(json_string_value(claim), json_string_length(claim)), array, size);
}

static struct mg_status
roles_claim(const json_t *claims, char *array, size_t size)
{
    const json_t *roles = json_object_get(claims, "roles");
    OWN_BUFFER(text, 511);
    for (size_t i = 0; i < json_array_size(roles); i++) {
        const char *role = json_string_value(json_array_get(roles, i));
        if (role != NULL)
            TRY(mg_buffer_format(&text, "%s%s", text.length != 0 ? " " : "", role));
    }
    return mg_view_copy(mg_buffer_view(&text), array, size);
}

struct mg_status
identity_of(struct mg_view token, mg_instant now, struct identity *ret_identity)
{
    struct parts parts;
    struct identity identity;
    OWN_JSON claims = NULL;
    TRY(token_split(token, &parts));
    TRY(signature_check(&parts)); /* before anything it says is believed */
    TRY(object_read(parts.payload, &claims));
    TRY(claims_check(claims, now));
    TRY(text_claim(claims, "sub", identity.subject, sizeof identity.subject));
    TRY(text_claim(claims, "email", identity.email, sizeof identity.email));
    TRY(text_claim(claims, "name", identity.name, sizeof identity.name));
    TRY(roles_claim(claims, identity.roles, sizeof identity.roles));
    *ret_identity = identity;
    return OK;
}
