#include "ports/oidc_document.h"

#include "wire/options.h"

#include <jansson.h>
#include <stdio.h>

enum { GROUPS_BYTES = 8192, GROUPS_MOST = 512, TIME_MOST_S = 1LL << 40 };

static void
json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}
#define OWN_JSON MG_CLEANUP(json_drop) json_t *

static json_t *
object_parse(struct mg_view text)
{
    json_error_t error;
    OWN_JSON json = json_loadb((const char *) text.bytes, text.length, JSON_REJECT_DUPLICATES, &error);
    return json_is_object(json) ? TAKE(json) : NULL;
}

static bool
is_clean(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((uint8_t) text[i] < 0x20 || text[i] == 0x7F)
            return false;
    return true;
}

/* Absent gives "" and true; a value that is no clean text, or too long, gives false. */
static bool
text_read(const json_t *object, const char *name, char *array, size_t size)
{
    const json_t *member = json_object_get(object, name);
    array[0] = '\0';
    if (member == NULL || json_is_null(member))
        return true;
    const char *text = json_string_value(member);
    return text != NULL && is_clean(text, json_string_length(member)) &&
           mg_ok(mg_view_copy(mg_view_of(text, json_string_length(member)), array, size));
}

bool
mg_oidc_url_is_plain(const char *url)
{
    static const char scheme[] = "https://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0 || strlen(url) > MG_OIDC_URL_MOST)
        return false;
    for (const char *at = url; *at != '\0'; at++)
        if (*at <= 0x20 || *at > 0x7E || strchr("#\"<>\\^`{|}", *at) != NULL)
            return false;
    const char *host = url + sizeof scheme - 1;
    const size_t authority = strcspn(host, "/?");
    return authority > 0 && memchr(host, '@', authority) == NULL;
}

/* ---- discovery ---- */

static bool
url_read(const json_t *document, const char *name, bool needed, char url[MG_OIDC_URL_MOST + 1])
{
    if (!text_read(document, name, url, MG_OIDC_URL_MOST + 1))
        return false;
    return url[0] == '\0' ? !needed : mg_oidc_url_is_plain(url);
}

static bool
array_has(const json_t *array, const char *word)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text != NULL && strcmp(text, word) == 0)
            return true;
    }
    return false;
}

/* For people to read: what does not fit is left out. */
static void
words_read(const json_t *document, const char *name, char *words, size_t size)
{
    const json_t *array = json_object_get(document, name);
    size_t length = 0;
    words[0] = '\0';
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *entry = json_array_get(array, i);
        const char *text = json_string_value(entry);
        if (text == NULL || !is_clean(text, json_string_length(entry)) ||
            length + json_string_length(entry) + 2 > size)
            continue;
        length += (size_t) snprintf(words + length, size - length, "%s%s", length == 0 ? "" : " ", text);
    }
}

enum mg_federation_refusal
mg_oidc_discovery_read(struct mg_view json, const char *issuer, struct mg_oidc_discovery *ret_discovery,
                       char detail[128])
{
    struct mg_oidc_discovery found = {.issuer = ""};
    const struct {
        const char *name;
        bool needed;
        char *url;
    } urls[] = {
        {"authorization_endpoint", true, found.authorization_endpoint},
        {"token_endpoint", true, found.token_endpoint},
        {"jwks_uri", true, found.jwks_uri},
        {"userinfo_endpoint", false, found.userinfo_endpoint},
        {"end_session_endpoint", false, found.end_session_endpoint},
    };
    OWN_JSON document = json.length > MG_OIDC_DOCUMENT_BYTES ? NULL : object_parse(json);
    (void) snprintf(detail, 128, "%s", document == NULL ? "JSON_OBJECT|" : "issuer");
    if (document == NULL || !text_read(document, "issuer", found.issuer, sizeof found.issuer))
        return MG_FEDERATION_DISCOVERY;
    if (strcmp(found.issuer, issuer) != 0) {
        (void) snprintf(detail, 128, "%.127s", found.issuer);
        return MG_FEDERATION_DISCOVERY_ISSUER;
    }
    for (size_t i = 0; i < MG_COUNT(urls); i++) {
        if (url_read(document, urls[i].name, urls[i].needed, urls[i].url))
            continue;
        (void) snprintf(detail, 128, "%s", urls[i].name);
        return MG_FEDERATION_DISCOVERY;
    }
    const json_t *methods = json_object_get(document, "code_challenge_methods_supported");
    if (methods != NULL && !array_has(methods, "S256")) {
        (void) snprintf(detail, 128, "DISCOVERY_PKCE|");
        return MG_FEDERATION_DISCOVERY;
    }
    found.response_issuer =
        json_is_true(json_object_get(document, "authorization_response_iss_parameter_supported"));
    found.back_channel = json_is_true(json_object_get(document, "backchannel_logout_supported"));
    found.front_channel = json_is_true(json_object_get(document, "frontchannel_logout_supported"));
    words_read(document, "id_token_signing_alg_values_supported", found.algorithms, sizeof found.algorithms);
    words_read(document, "token_endpoint_auth_methods_supported", found.authentications,
               sizeof found.authentications);
    detail[0] = '\0';
    *ret_discovery = found;
    return MG_FEDERATION_NONE;
}

/* ---- the token endpoint ---- */

void
mg_oidc_tokens_drop(struct mg_oidc_tokens *tokens)
{
    mg_buffer_drop(&tokens->id_token);
    mg_buffer_drop(&tokens->access_token);
}

/* RFC 6749 section 5.2: the code of an error, cut, and only its own characters. */
static void
error_tell(const json_t *document, char detail[128])
{
    const json_t *member = json_object_get(document, "error");
    const char *text = json_string_value(member);
    (void) snprintf(detail, 128, "%.100s",
                    text == NULL || !is_clean(text, json_string_length(member)) ? "OIDC_NO_ERROR|" : text);
    for (char *bar = strchr(detail, '|'); text != NULL && bar != NULL && detail[0] != 'O';
         bar = strchr(bar, '|'))
        *bar = '_';
}

static bool
token_copy(const json_t *document, const char *name, struct mg_buffer *token)
{
    const json_t *member = json_object_get(document, name);
    const char *text = json_string_value(member);
    if (text == NULL)
        return member == NULL;
    for (size_t i = 0; i < json_string_length(member); i++)
        if (text[i] <= 0x20 || text[i] > 0x7E)
            return false;
    return mg_ok(mg_buffer_add(token, mg_view_of(text, json_string_length(member))));
}

enum mg_federation_refusal
mg_oidc_tokens_read(struct mg_view json, bool ok, struct mg_oidc_tokens *ret_tokens, char detail[128])
{
    MG_CLEANUP(mg_oidc_tokens_drop)
    struct mg_oidc_tokens tokens = {.id_token = MG_BUFFER(MG_OIDC_DOCUMENT_BYTES),
                                    .access_token = MG_BUFFER(MG_OIDC_DOCUMENT_BYTES)};
    OWN_JSON document = json.length > 2 * MG_OIDC_DOCUMENT_BYTES ? NULL : object_parse(json);
    if (!ok || document == NULL || json_object_get(document, "error") != NULL) {
        error_tell(document, detail);
        return MG_FEDERATION_TOKEN_REQUEST;
    }
    (void) snprintf(detail, 128, "id_token");
    if (!token_copy(document, "id_token", &tokens.id_token) || tokens.id_token.length == 0)
        return MG_FEDERATION_ANSWER;
    if (!token_copy(document, "access_token", &tokens.access_token))
        mg_buffer_clear(&tokens.access_token);
    detail[0] = '\0';
    *ret_tokens = tokens;
    tokens = (struct mg_oidc_tokens){.id_token = MG_BUFFER(0), .access_token = MG_BUFFER(0)};
    return MG_FEDERATION_NONE;
}

/* ---- claims ---- */

void
mg_oidc_texts_drop(struct mg_oidc_texts *texts)
{
    mg_buffer_drop(&texts->groups);
}

static bool
time_read(const json_t *claims, const char *name, int64_t *ret_seconds)
{
    const json_t *member = json_object_get(claims, name);
    *ret_seconds = -1;
    if (member == NULL || json_is_null(member))
        return true;
    if (!json_is_number(member))
        return false;
    const double value = json_number_value(member); /* NumericDate may have a fraction */
    if (!(value >= 0 && value < (double) TIME_MOST_S))
        return false;
    *ret_seconds = (int64_t) value;
    return true;
}

/* A text, or an array of texts, one a line. `strict`: an entry that cannot stand makes the whole fail;
 * otherwise it is left out. */
static bool
lines_read(const json_t *claims, const char *name, bool strict, struct mg_buffer *lines)
{
    const json_t *member = json_object_get(claims, name);
    if (member == NULL || json_is_null(member))
        return true;
    const bool single = json_is_string(member);
    const size_t count = single ? 1 : json_array_size(member);
    if (!single && !json_is_array(member))
        return !strict;
    if (count > GROUPS_MOST && strict)
        return false;
    for (size_t i = 0; i < count && i < GROUPS_MOST; i++) {
        const json_t *entry = single ? member : json_array_get(member, i);
        const char *text = json_string_value(entry);
        const size_t length = json_string_length(entry);
        const bool fits = text != NULL && length > 0 && is_clean(text, length) &&
                          lines->length + length + 1 <= lines->maximum;
        if (!fits && strict)
            return false;
        if (!fits)
            continue;
        if ((lines->length != 0 && !mg_ok(mg_buffer_add_text(lines, "\n"))) ||
            !mg_ok(mg_buffer_add(lines, mg_view_of(text, length))))
            return false;
    }
    return true;
}

static bool
lines_copy(const json_t *claims, const char *name, bool strict, char *array, size_t size)
{
    OWN_BUFFER(lines, size - 1);
    return lines_read(claims, name, strict, &lines) &&
           mg_ok(mg_view_copy(mg_buffer_view(&lines), array, size));
}

/* What describes the person, and decides nothing by its form: a value that cannot stand counts as absent. */
static void
person_read(const json_t *claims, const char *groups_claim, struct mg_oidc_texts *texts)
{
    const json_t *verified = json_object_get(claims, "email_verified");
    const char *as_text = json_string_value(verified);
    if (!text_read(claims, "email", texts->email, sizeof texts->email))
        texts->email[0] = '\0';
    if (!text_read(claims, "name", texts->name, sizeof texts->name))
        texts->name[0] = '\0';
    /* Some providers write the flag as a text. */
    texts->email_verified = texts->email[0] != '\0' &&
                            (json_is_true(verified) || (as_text != NULL && strcmp(as_text, "true") == 0));
    if (groups_claim[0] != '\0')
        (void) lines_read(claims, groups_claim, false, &texts->groups);
}

/* Back-Channel Logout 1.0 section 2.4. */
static bool
has_logout_event(const json_t *claims)
{
    const json_t *events = json_object_get(claims, "events");
    return json_is_object(json_object_get(events, "http://schemas.openid.net/event/backchannel-logout"));
}

enum mg_federation_refusal
mg_oidc_claims_read(struct mg_view json, const char *groups_claim, struct mg_oidc_texts *ret_texts,
                    char detail[128])
{
    MG_CLEANUP(mg_oidc_texts_drop) struct mg_oidc_texts texts = {.groups = MG_BUFFER(GROUPS_BYTES)};
    const struct {
        const char *name;
        char *array;
        size_t size;
    } singles[] = {
        {"iss", texts.issuer, sizeof texts.issuer},
        {"sub", texts.subject, sizeof texts.subject},
        {"azp", texts.authorized_party, sizeof texts.authorized_party},
        {"nonce", texts.nonce, sizeof texts.nonce},
        {"acr", texts.acr, sizeof texts.acr},
        {"sid", texts.sid, sizeof texts.sid},
        {"jti", texts.identifier, sizeof texts.identifier},
    };
    const struct {
        const char *name;
        int64_t *seconds;
    } times[] = {{"exp", &texts.expires_s},
                 {"iat", &texts.issued_s},
                 {"nbf", &texts.not_before_s},
                 {"auth_time", &texts.authenticated_s}};
    OWN_JSON claims = object_parse(json);
    (void) snprintf(detail, 128, "JSON_OBJECT|");
    if (claims == NULL)
        return MG_FEDERATION_TOKEN_CLAIMS;
    for (size_t i = 0; i < MG_COUNT(singles); i++) {
        if (text_read(claims, singles[i].name, singles[i].array, singles[i].size))
            continue;
        (void) snprintf(detail, 128, "%s", singles[i].name);
        return MG_FEDERATION_TOKEN_CLAIMS;
    }
    for (size_t i = 0; i < MG_COUNT(times); i++) {
        if (time_read(claims, times[i].name, times[i].seconds))
            continue;
        (void) snprintf(detail, 128, "%s", times[i].name);
        return MG_FEDERATION_TOKEN_CLAIMS;
    }
    (void) snprintf(detail, 128, "aud");
    if (!lines_copy(claims, "aud", true, texts.audiences, sizeof texts.audiences))
        return MG_FEDERATION_TOKEN_CLAIMS;
    if (!lines_copy(claims, "amr", false, texts.methods, sizeof texts.methods))
        texts.methods[0] = '\0';
    texts.has_nonce = json_object_get(claims, "nonce") != NULL;
    texts.logout_event = has_logout_event(claims);
    person_read(claims, groups_claim, &texts);
    detail[0] = '\0';
    *ret_texts = texts;
    texts.groups = MG_BUFFER(0); /* the caller's now */
    return MG_FEDERATION_NONE;
}

enum mg_federation_refusal
mg_oidc_userinfo_read(struct mg_view json, const char *groups_claim, struct mg_oidc_texts *texts,
                      char detail[128])
{
    MG_CLEANUP(mg_oidc_texts_drop) struct mg_oidc_texts more = {.groups = MG_BUFFER(GROUPS_BYTES)};
    OWN_JSON claims = json.length > MG_OIDC_DOCUMENT_BYTES ? NULL : object_parse(json);
    (void) snprintf(detail, 128, "sub");
    if (claims == NULL || !text_read(claims, "sub", more.subject, sizeof more.subject) ||
        more.subject[0] == '\0' || strcmp(more.subject, texts->subject) != 0)
        return MG_FEDERATION_USER_INFORMATION;
    person_read(claims, groups_claim, &more);
    detail[0] = '\0';
    /* The signed token goes before: an address and its verification come from one place, never mixed. */
    if (texts->email[0] == '\0') {
        memcpy(texts->email, more.email, sizeof texts->email);
        texts->email_verified = more.email_verified;
    }
    if (texts->name[0] == '\0')
        memcpy(texts->name, more.name, sizeof texts->name);
    if (texts->groups.length == 0 && !mg_ok(mg_buffer_add(&texts->groups, mg_buffer_view(&more.groups))))
        return MG_FEDERATION_USER_INFORMATION;
    return MG_FEDERATION_NONE;
}
