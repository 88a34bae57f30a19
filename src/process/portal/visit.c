#include "process/portal/portal.h"
#include "process/portal/scim.h"

#include "base/secret.h"
#include "wire/session_table.h"

#include <openssl/hmac.h>
#include <openssl/sha.h>

#define REPLY_BYTES MG_PACKET_MOST
#define ARENA_BYTES (4 * 1024 * 1024)
#define COOKIES_TRIED 4

struct portal_settings portal_settings;

/* A header that nginx sets on every request, exactly once. */
struct mg_status
visit_from_nginx(const struct visit *visit, const char *name, struct mg_view *ret_value)
{
    unsigned count = 0;
    if (!mg_web_header(visit->request, name, ret_value, &count) || count != 1)
        return fail_with(INVALID, "header %s came %u times", name, count);
    if (!mg_view_is_utf8(*ret_value))
        return fail_with(INVALID, "header %s is not UTF-8", name);
    return OK;
}

static CHECKED struct mg_status
origin_of(struct mg_view text, enum origin *ret_origin)
{
    static const struct {
        const char *name;
        enum origin origin;
    } origins[] = {{"app", ORIGIN_APP}, {"sign-in", ORIGIN_SIGN_IN}, {"operator", ORIGIN_OPERATOR}};
    for (size_t i = 0; i < MG_COUNT(origins); i++) {
        if (mg_view_is(text, origins[i].name)) {
            *ret_origin = origins[i].origin;
            return OK;
        }
    }
    return fail_with(INVALID, "unknown kind of origin");
}

static CHECKED struct mg_status
own_origin_make(struct visit *visit)
{
    OWN_BUFFER(text, sizeof visit->own_origin - 1);
    TRY(mg_buffer_format(&text, "https://%.*s", (int) visit->host.length, (const char *) visit->host.bytes));
    if (portal_settings.https_port != 443)
        TRY(mg_buffer_format(&text, ":%u", portal_settings.https_port));
    return mg_view_copy(mg_buffer_view(&text), visit->own_origin, sizeof visit->own_origin);
}

/* Browser text that is only shown or recorded: cut, and dropped when it is not UTF-8. */
static struct mg_view
from_browser(const struct visit *visit, const char *name, size_t most)
{
    struct mg_view value;
    if (!mg_web_header(visit->request, name, &value, NULL) || !mg_view_is_utf8(value))
        return MG_VIEW_EMPTY;
    while (value.length > most || !mg_view_is_utf8(value))
        value.length = value.length > most ? most : value.length - 1;
    return value;
}

static enum mg_language
language_of(const struct visit *visit)
{
    size_t position = 0;
    struct mg_view chosen;
    if (mg_cookie_next(visit->cookies, COOKIE_LANGUAGE, &position, &chosen))
        return mg_language_of(chosen);
    return mg_prefers_japanese(from_browser(visit, "Accept-Language", 512)) ? MG_JAPANESE : MG_ENGLISH;
}

bool
visit_is_by_program(const struct visit *visit)
{
    static const char *const places[] = {"/api/", "/scim/"};
    for (size_t i = 0; i < MG_COUNT(places); i++) {
        const size_t length = strlen(places[i]);
        const struct mg_view path = visit->request->path;
        if (visit->origin == ORIGIN_SIGN_IN && path.length >= length &&
            memcmp(path.bytes, places[i], length) == 0)
            return true;
    }
    return false;
}

static CHECKED struct mg_status
forms_read(struct visit *visit)
{
    if (scim_is_asked(visit)) /* its names and lengths are others */
        return OK;
    TRY(mg_form_decode(visit->request->query, &visit->query));
    if (!visit_posts(visit) || visit_is_by_program(visit))
        return OK;
    struct mg_view type;
    if (!mg_web_header(visit->request, "Content-Type", &type, NULL))
        return fail_with(MALFORMED, "not a form");
    /* Other servers (back-channel logout) name a character set behind it. */
    const uint8_t *parameters = memchr(type.bytes, ';', type.length);
    if (parameters != NULL)
        type.length = (size_t) (parameters - type.bytes);
    if (!mg_view_is(type, "application/x-www-form-urlencoded"))
        return fail_with(MALFORMED, "not a form");
    return mg_form_decode(visit->request->body, &visit->form);
}

struct mg_status
visit_begin(struct visit *visit, const struct mg_web_request *request, struct mg_web_answer *answer)
{
    *visit = (struct visit){
        .request = request,
        .answer = answer,
        .now = mg_now(),
        .query = {.storage = {.maximum = MG_FORM_BYTES}},
        .form = {.storage = {.maximum = MG_WEB_BODY}},
        .site_storage = MG_BUFFER(REPLY_BYTES),
        .person_storage = MG_BUFFER(REPLY_BYTES),
        .storage = MG_BUFFER(REPLY_BYTES),
    };
    TRY(mg_arena_new(ARENA_BYTES, &visit->arena));
    visit->page = mg_scope_new(visit->arena);
    struct mg_view origin, tenant;
    TRY(visit_from_nginx(visit, "X-Masugata-Origin", &origin));
    TRY(visit_from_nginx(visit, "X-Masugata-Tenant", &tenant));
    TRY(visit_from_nginx(visit, "X-Masugata-Host", &visit->host));
    TRY(visit_from_nginx(visit, "X-Masugata-Client", &visit->address));
    TRY(origin_of(origin, &visit->origin));
    TRY(mg_parse_u64(tenant, UINT64_MAX, &visit->tenant));
    TRY(own_origin_make(visit));
    if (!visit_is_by_program(visit))
        visit->cookies = from_browser(visit, "Cookie", MG_WEB_TARGET);
    visit->user_agent = from_browser(visit, "User-Agent", 512);
    visit->language = language_of(visit);
    if (!visit_cookie(visit, COOKIE_FORM, visit->browser)) {
        mg_random(visit->browser, sizeof visit->browser);
        visit->browser_is_new = true;
    }
    return forms_read(visit);
}

void
visit_end(struct visit *visit)
{
    mg_form_drop(&visit->query);
    mg_form_drop(&visit->form);
    mg_buffer_drop(&visit->site_storage);
    mg_buffer_drop(&visit->person_storage);
    mg_buffer_drop(&visit->storage);
    mg_arena_drop(&visit->arena);
    mg_wipe(visit->browser, sizeof visit->browser);
}

const struct mg_time_zone *
visit_time_zone(const struct visit *visit)
{
    const struct mg_time_zone *zone =
        visit->site.time_zone.length == 0 ? NULL : mg_time_zone_find(visit->site.time_zone);
    if (zone == NULL)
        zone = mg_time_zone_find(mg_view_text(visit->language == MG_JAPANESE ? "Asia/Tokyo" : "UTC"));
    mg_must(zone != NULL);
    return zone;
}

bool
token_decode(struct mg_view text, uint8_t bytes[TOKEN_BYTES])
{
    OWN_BUFFER(decoded, TOKEN_BYTES);
    if (text.length != 43 || !mg_ok(mg_base64url_decode(text, &decoded)) || decoded.length != TOKEN_BYTES)
        return false;
    memcpy(bytes, decoded.bytes, TOKEN_BYTES);
    return true;
}

struct mg_status
token_text(struct visit *visit, struct mg_view bytes, const char **ret_text)
{
    OWN_BUFFER(text, 64);
    TRY(mg_base64url(bytes, &text));
    *ret_text = mg_arena_text(visit->arena, mg_buffer_view(&text));
    return *ret_text == NULL ? fail(OUT_OF_MEMORY) : OK;
}

void
token_hash(const uint8_t token[TOKEN_BYTES], uint8_t hash[HASH_BYTES])
{
    mg_must(SHA256(token, TOKEN_BYTES, hash) != NULL);
}

bool
visit_cookie(const struct visit *visit, const char *name, uint8_t bytes[TOKEN_BYTES])
{
    size_t position = 0;
    struct mg_view value;
    for (int tried = 0; tried < COOKIES_TRIED && mg_cookie_next(visit->cookies, name, &position, &value);
         tried++)
        if (token_decode(value, bytes))
            return true;
    return false;
}

/* What is shown without it waits next to nothing for it: not at all for some seconds after it did not come.
 */
struct mg_status
visit_site(struct visit *visit, bool needed)
{
    enum { PUBLIC_MS = 300, AWAY_MS = 5000 };
    static _Atomic int64_t away_until_ms; /* monotonic */
    const struct mg_request_site request = {.tenant = visit->tenant};
    visit->site_asked = true;
    if (!needed && mg_monotonic_ms() < away_until_ms)
        return OK;
    const struct mg_status status =
        mg_call_site(&request, &visit->site, &visit->site_storage, needed ? FIRST_CALL_MS : PUBLIC_MS);
    if (!mg_ok(status))
        away_until_ms = mg_monotonic_ms() + AWAY_MS;
    return needed ? status : OK;
}

struct mg_status
visit_identify(struct visit *visit)
{
    size_t position = 0;
    struct mg_view value;
    OWN_KEY(token, TOKEN_BYTES);
    for (int tried = 0;
         tried < COOKIES_TRIED && mg_cookie_next(visit->cookies, COOKIE_SESSION, &position, &value);
         tried++) {
        if (!token_decode(value, token))
            continue;
        mg_token_hash(token, visit->session);
        const struct mg_request_session_check request = {
            .tenant = visit->tenant, .session = mg_view_of(visit->session, HASH_BYTES), .host = visit->host};
        TRY(mg_call_session_check(&request, &visit->person, &visit->person_storage, FIRST_CALL_MS));
        visit->signed_in = visit->person.valid;
        if (visit->signed_in)
            return OK;
    }
    return OK;
}

bool
visit_is_same_origin(const struct visit *visit)
{
    struct mg_view origin, site;
    unsigned count = 0;
    if (mg_web_header(visit->request, "Origin", &origin, &count))
        return count == 1 && mg_view_is(origin, visit->own_origin);
    /* Browsers send Origin with every POST; what does not is not a browser and has no cookies to
     * abuse, but if it says where it comes from, that must be here. */
    if (mg_web_header(visit->request, "Sec-Fetch-Site", &site, &count))
        return count == 1 && mg_view_is(site, "same-origin");
    return true;
}

/* Bound to the browser by its cookie and to the session, so a token from before sign-in or from
 * another person's session is of no use. HMAC-SHA-256 keyed with what only this browser holds. */
static void
form_mac(const struct visit *visit, uint8_t mac[HASH_BYTES])
{
    uint8_t message[8 + HASH_BYTES] = "form-v1";
    if (visit->signed_in)
        memcpy(message + 8, visit->session, HASH_BYTES);
    unsigned length = HASH_BYTES;
    mg_must(HMAC(EVP_sha256(), visit->browser, TOKEN_BYTES, message, sizeof message, mac, &length) != NULL);
}

struct mg_status
visit_form_token(struct visit *visit, const char **ret_token)
{
    OWN_KEY(mac, HASH_BYTES);
    form_mac(visit, mac);
    return token_text(visit, mg_view_of(mac, HASH_BYTES), ret_token);
}

bool
visit_token_is_right(struct visit *visit)
{
    OWN_KEY(mac, HASH_BYTES);
    OWN_KEY(given, TOKEN_BYTES);
    if (visit->browser_is_new || !token_decode(mg_form_value(&visit->form, "token"), given))
        return false;
    form_mac(visit, mac);
    return mg_view_equal_constant_time(mg_view_of(mac, HASH_BYTES), mg_view_of(given, TOKEN_BYTES));
}

const char *
visit_target(struct visit *visit)
{
    const struct mg_view path = visit->request->path, query = visit->request->query;
    if (visit_posts(visit) || query.length == 0)
        return arena_format(visit, "%.*s", (int) path.length, (const char *) path.bytes);
    return arena_format(visit, "%.*s?%.*s", (int) path.length, (const char *) path.bytes, (int) query.length,
                        (const char *) query.bytes);
}
