#include "probes/visitor.h"

#include "base/secret.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

enum { REDIRECTS_MOST = 8 };

void
mg_visitor_drop(struct mg_visitor *visitor)
{
    mg_wipe(visitor->cookies, sizeof visitor->cookies);
    mg_buffer_drop(&visitor->set_cookies);
}

void
mg_loopback_source(char text[16])
{
    uint8_t bytes[2];
    mg_random(bytes, sizeof bytes);
    (void) snprintf(text, 16, "127.66.%u.%u", (unsigned) bytes[0], 1 + (unsigned) bytes[1] % 254);
}

/* ---- cookies ---- */

static struct mg_visitor_cookie *
cookie_find(struct mg_visitor *visitor, const char *host, const char *name)
{
    for (size_t i = 0; i < visitor->cookie_count; i++)
        if (strcmp(visitor->cookies[i].host, host) == 0 && strcmp(visitor->cookies[i].name, name) == 0)
            return &visitor->cookies[i];
    return NULL;
}

const char *
mg_visitor_cookie(const struct mg_visitor *visitor, const char *host, const char *name)
{
    for (size_t i = 0; i < visitor->cookie_count; i++)
        if (strcmp(visitor->cookies[i].host, host) == 0 && strcmp(visitor->cookies[i].name, name) == 0 &&
            visitor->cookies[i].value[0] != '\0')
            return visitor->cookies[i].value;
    return NULL;
}

/* Name, value, and whether forms from elsewhere see it: what a browser would do with the rest is not tried
 * here. */
static CHECKED struct mg_status
cookie_take(struct mg_visitor *visitor, const char *host, struct mg_view line)
{
    char name[128];
    const uint8_t *equals = memchr(line.bytes, '=', line.length);
    if (equals == NULL)
        return OK;
    const size_t name_length = (size_t) (equals - line.bytes);
    const uint8_t *semicolon = memchr(equals, ';', line.length - name_length);
    const uint8_t *end = semicolon == NULL ? line.bytes + line.length : semicolon;
    TRY(mg_view_copy(mg_view_of(line.bytes, name_length), name, sizeof name));
    struct mg_visitor_cookie *cookie = cookie_find(visitor, host, name);
    if (cookie == NULL) {
        if (visitor->cookie_count == MG_VISITOR_COOKIES)
            return fail_with(TOO_LARGE, "more than %d cookies", MG_VISITOR_COOKIES);
        cookie = &visitor->cookies[visitor->cookie_count++];
        (void) snprintf(cookie->host, sizeof cookie->host, "%s", host);
        memcpy(cookie->name, name, sizeof name);
    }
    cookie->for_forms = memmem(end, (size_t) (line.bytes + line.length - end), "SameSite=None", 13) != NULL;
    return mg_view_copy(mg_view_of(equals + 1, (size_t) (end - equals) - 1), cookie->value,
                        sizeof cookie->value);
}

struct mg_status
mg_visitor_cookie_set(struct mg_visitor *visitor, const char *host, const char *name, const char *value)
{
    OWN_BUFFER(line, 2048);
    TRY(mg_buffer_format(&line, "%s=%s", name, value));
    return cookie_take(visitor, host, mg_buffer_view(&line));
}

struct mg_status
mg_visitor_cookies_take(struct mg_visitor *visitor, const char *host, const struct mg_fetched *answer)
{
    struct mg_view line;
    for (size_t n = 0; mg_fetched_header(answer, "Set-Cookie", n, &line); n++) {
        TRY(mg_buffer_format(&visitor->set_cookies, "%s %.*s\n", host, (int) line.length,
                             (const char *) line.bytes));
        TRY(cookie_take(visitor, host, line));
    }
    return OK;
}

static CHECKED struct mg_status
cookie_line(const struct mg_visitor *visitor, const char *host, bool for_forms, struct mg_buffer *headers)
{
    const char *between = "Cookie: ";
    for (size_t i = 0; i < visitor->cookie_count; i++) {
        const struct mg_visitor_cookie *cookie = &visitor->cookies[i];
        if (strcmp(cookie->host, host) != 0 || cookie->value[0] == '\0' || (for_forms && !cookie->for_forms))
            continue;
        TRY(mg_buffer_format(headers, "%s%s=%s", between, cookie->name, cookie->value));
        between = "; ";
    }
    return between[0] == 'C' ? OK : mg_buffer_add_text(headers, "\r\n");
}

struct mg_status
mg_visitor_cookies_for_forms(const struct mg_visitor *visitor, const char *host, struct mg_buffer *headers)
{
    return cookie_line(visitor, host, true, headers);
}

/* ---- requests ---- */

static CHECKED struct mg_status
request(struct mg_visitor *visitor, const char *method, const char *host, const char *path,
        struct mg_view body, const char *own_origin, struct mg_fetched *answer)
{
    OWN_BUFFER(headers, 65536);
    TRY(mg_buffer_add_text(&headers,
                           "Accept: text/html\r\nAccept-Language: en\r\nSec-Fetch-Mode: navigate\r\n"
                           "Sec-Fetch-Dest: document\r\nUser-Agent: Masugata prober\r\n"));
    if (own_origin != NULL)
        TRY(mg_buffer_format(&headers, "Origin: %s\r\nSec-Fetch-Site: same-origin\r\n", own_origin));
    if (visitor->headers != NULL)
        TRY(mg_buffer_add_text(&headers, visitor->headers));
    TRY(cookie_line(visitor, host, false, &headers));
    const struct mg_fetch fetch = {
        .method = method,
        .host = host,
        .path = path,
        .source = visitor->source,
        .headers = mg_buffer_text(&headers),
        .body = body,
        .timeout_ms = 8000,
    };
    TRY(visitor->observer->ops->fetch(visitor->observer, &fetch, answer));
    (void) snprintf(visitor->host, sizeof visitor->host, "%s", host);
    (void) snprintf(visitor->path, sizeof visitor->path, "%s", path);
    return mg_visitor_cookies_take(visitor, host, answer);
}

struct mg_status
mg_visitor_get(struct mg_visitor *visitor, const char *host, const char *path, struct mg_fetched *ret_answer)
{
    return request(visitor, "GET", host, path, MG_VIEW_EMPTY, NULL, ret_answer);
}

static bool
is_redirect(const struct mg_fetched *answer)
{
    const unsigned s = answer->status;
    return s == 301 || s == 302 || s == 303 || s == 307 || s == 308;
}

/* Splits "https://host[:port]/path" or "/path" into the host and path to go to. */
static CHECKED struct mg_status
location_read(struct mg_view location, char host[256], char path[2048])
{
    char text[2048];
    TRY(mg_view_copy(location, text, sizeof text));
    if (text[0] == '/' && text[1] != '/')
        return mg_view_copy(location, path, 2048);
    if (strncmp(text, "https://", 8) != 0)
        return fail_with(REFUSED, "redirect to \"%.80s\"", text);
    const char *start = text + 8;
    const size_t host_length = strcspn(start, ":/?#");
    const size_t authority_length = strcspn(start, "/?#");
    const char *rest = start + authority_length;
    TRY(mg_view_copy(mg_view_of(start, host_length), host, 256));
    return mg_view_copy(mg_view_text(rest[0] == '\0' ? "/" : rest), path, 2048);
}

static CHECKED struct mg_status
follow(struct mg_visitor *visitor, struct mg_fetched *answer)
{
    struct mg_view location;
    for (int i = 0; is_redirect(answer) && mg_fetched_header(answer, "Location", 0, &location); i++) {
        char host[256], path[2048];
        if (i == REDIRECTS_MOST)
            return fail_with(REFUSED, "more than %d redirects", REDIRECTS_MOST);
        (void) snprintf(host, sizeof host, "%s", visitor->host);
        TRY(location_read(location, host, path));
        TRY(mg_visitor_get(visitor, host, path, answer));
    }
    return OK;
}

struct mg_status
mg_visitor_go(struct mg_visitor *visitor, const char *host, const char *path, struct mg_fetched *ret_answer)
{
    TRY(mg_visitor_get(visitor, host, path, ret_answer));
    return follow(visitor, ret_answer);
}

bool
mg_answer_keeps_out(const struct mg_fetched *answer)
{
    struct mg_view location;
    if (answer->status == 401 || answer->status == 403 || answer->status == 421)
        return true;
    if (!is_redirect(answer) || !mg_fetched_header(answer, "Location", 0, &location))
        return false;
    return memmem(location.bytes, location.length, "/.masugata/start", 16) != NULL ||
           memmem(location.bytes, location.length, "/sign-in", 8) != NULL;
}

bool
mg_answer_is_away(const struct mg_fetched *answer)
{
    return answer->status == 502 || answer->status == 503 || answer->status == 504;
}

/* ---- the form ---- */

/* What stands between `mark` and the next quote, with its character references undone. */
static bool
quoted_value(const char *html, const char *mark, char *value, size_t size)
{
    static const struct {
        const char *reference;
        char character;
    } references[] = {{"&amp;", '&'}, {"&quot;", '"'}, {"&#39;", '\''},
                      {"&lt;", '<'},  {"&gt;", '>'},   {"&#x2F;", '/'}};
    const char *at = strstr(html, mark);
    if (at == NULL)
        return false;
    size_t used = 0;
    for (at += strlen(mark); *at != '"' && *at != '\0' && used + 1 < size;) {
        size_t step = 1;
        char character = *at;
        for (size_t i = 0; i < MG_COUNT(references); i++)
            if (strncmp(at, references[i].reference, strlen(references[i].reference)) == 0) {
                step = strlen(references[i].reference);
                character = references[i].character;
            }
        value[used++] = character;
        at += step;
    }
    value[used] = '\0';
    return *at == '"';
}

static bool
input_value(const char *html, const char *name, char *value, size_t size)
{
    char mark[80];
    (void) snprintf(mark, sizeof mark, "name=\"%s\" value=\"", name);
    return quoted_value(html, mark, value, size);
}

bool
mg_page_attribute(const struct mg_fetched *page, const char *name, char *value, size_t size)
{
    char mark[80];
    (void) snprintf(mark, sizeof mark, " %s=\"", name);
    return quoted_value(mg_buffer_text(&page->body), mark, value, size);
}

struct mg_status
mg_visitor_field(struct mg_buffer *body, const char *name, const char *value)
{
    TRY(mg_buffer_format(body, "%s%s=", body->length == 0 ? "" : "&", name));
    return mg_buffer_add_encoded(body, mg_view_text(value));
}

static CHECKED struct mg_status
hidden_fill(const char *html, struct mg_buffer *body)
{
    static const char *const hidden[] = {"token", "host", "binding", "second", "return"};
    char value[2048];
    for (size_t i = 0; i < MG_COUNT(hidden); i++) {
        if (input_value(html, hidden[i], value, sizeof value))
            TRY(mg_visitor_field(body, hidden[i], value));
        else if (i == 0)
            return fail_with(NOT_FOUND, "a sign-in form");
    }
    return OK;
}

static CHECKED struct mg_status
form_fill(const char *html, const struct mg_canary_account *account, const char *code, struct mg_buffer *body)
{
    TRY(hidden_fill(html, body));
    if (code != NULL)
        return mg_visitor_field(body, "code", code);
    TRY(mg_visitor_field(body, "login", account->login));
    return mg_visitor_field(body, "password", account->password);
}

static CHECKED struct mg_status
own_origin(const struct mg_visitor *visitor, int64_t port, char origin[320])
{
    const int length = port == 443 ? snprintf(origin, 320, "https://%s", visitor->host)
                                   : snprintf(origin, 320, "https://%s:%jd", visitor->host, (intmax_t) port);
    return length > 0 && length < 320 ? OK : fail(TOO_LARGE);
}

/* Sends the form of the page at hand: name and password, or with a code that of the second step. */
static CHECKED struct mg_status
form_send(struct mg_visitor *visitor, const char *path, const struct mg_canary_account *account,
          const char *code, struct mg_fetched *answer)
{
    char origin[320], host[256];
    OWN_BUFFER(body, 16384);
    TRY(form_fill(mg_buffer_text(&answer->body), account, code, &body));
    TRY(own_origin(visitor, visitor->observer->https_port, origin));
    (void) snprintf(host, sizeof host, "%s", visitor->host);
    TRY(request(visitor, "POST", host, path, mg_buffer_view(&body), origin, answer));
    return follow(visitor, answer);
}

struct mg_status
mg_visitor_form(struct mg_visitor *visitor, const char *path, const char *const *fields,
                struct mg_fetched *answer)
{
    char origin[320], host[256];
    OWN_BUFFER(body, 16384);
    TRY(hidden_fill(mg_buffer_text(&answer->body), &body));
    for (; fields[0] != NULL; fields += 2)
        TRY(mg_visitor_field(&body, fields[0], fields[1]));
    TRY(own_origin(visitor, visitor->observer->https_port, origin));
    (void) snprintf(host, sizeof host, "%s", visitor->host);
    TRY(request(visitor, "POST", host, path, mg_buffer_view(&body), origin, answer));
    return follow(visitor, answer);
}

struct mg_status
mg_visitor_post(struct mg_visitor *visitor, const char *host, const char *path, const char *const *fields,
                struct mg_fetched *answer)
{
    char origin[320], token[256];
    OWN_BUFFER(body, 16384);
    TRY(mg_visitor_get(visitor, host, "/account", answer));
    if (answer->status != 200 || !input_value(mg_buffer_text(&answer->body), "token", token, sizeof token))
        return fail_with(NOT_FOUND, "a form on %s (status %u)", host, answer->status);
    TRY(mg_visitor_field(&body, "token", token));
    for (; fields[0] != NULL; fields += 2)
        TRY(mg_visitor_field(&body, fields[0], fields[1]));
    TRY(own_origin(visitor, visitor->observer->https_port, origin));
    return request(visitor, "POST", host, path, mg_buffer_view(&body), origin, answer);
}

bool
mg_visitor_at_second_step(const struct mg_visitor *visitor)
{
    static const char page[] = "/sign-in/second";
    return strncmp(visitor->path, page, sizeof page - 1) == 0;
}

struct mg_status
mg_visitor_password(struct mg_visitor *visitor, const char *host, const struct mg_canary_account *account,
                    struct mg_fetched *answer)
{
    TRY(mg_visitor_go(visitor, host, "/", answer));
    if (mg_answer_is_away(answer))
        return fail_with(UNAVAILABLE, "%s answers %u", visitor->host, answer->status);
    return form_send(visitor, "/sign-in", account, NULL, answer);
}

struct mg_status
mg_visitor_code(struct mg_visitor *visitor, const char *code, struct mg_fetched *answer)
{
    return form_send(visitor, "/sign-in/second", NULL, code, answer);
}

bool
mg_visitor_is_inside(const struct mg_visitor *visitor, const char *app_host, const struct mg_fetched *answer)
{
    return strcmp(visitor->host, app_host) == 0 && !mg_answer_keeps_out(answer) &&
           mg_visitor_cookie(visitor, app_host, "__Host-masugata") != NULL;
}

struct mg_status
mg_visitor_sign_in(struct mg_visitor *visitor, const char *app_host, const struct mg_canary_account *account,
                   struct mg_fetched *answer, bool *ret_inside)
{
    TRY(mg_visitor_password(visitor, app_host, account, answer));
    if (mg_visitor_at_second_step(visitor) && account->recovery[0] != '\0')
        TRY(mg_visitor_code(visitor, account->recovery, answer));
    *ret_inside = mg_visitor_is_inside(visitor, app_host, answer);
    return OK;
}

struct mg_status
mg_visitor_enter(struct mg_visitor *visitor, const struct mg_observed_tenant *tenant,
                 struct mg_fetched *answer)
{
    struct mg_canary_account account;
    bool inside = false;
    struct mg_observer *observer = visitor->observer;
    TRY(observer->ops->canary(observer, tenant->number, MG_CANARY_SIGN_IN, &account));
    TRY(mg_visitor_sign_in(visitor, tenant->app_host, &account, answer, &inside));
    mg_wipe(&account, sizeof account);
    return inside ? OK : fail_with(REFUSED, "no session on %s (status %u)", tenant->app_host, answer->status);
}
