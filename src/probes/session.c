/* Probes of the session cookie and of what a request may say about its tenant. */
#include "base/secret.h"
#include "probes/probe.h"
#include "probes/visitor.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

enum { TOKEN = 32 };

/* ---- SESSION_01: the cookie says nothing ---- */

/* The words that would give the customer away, looked for in a cookie's value as it is and decoded. */
struct tells {
    char words[6][256];
    size_t count;
};

static void
tell_add(struct tells *tells, const char *word)
{
    if (tells->count < MG_COUNT(tells->words) && strlen(word) >= 3)
        (void) snprintf(tells->words[tells->count++], sizeof tells->words[0], "%s", word);
}

static bool
contains_any_case(struct mg_view text, const char *word)
{
    const size_t length = strlen(word);
    for (size_t i = 0; i + length <= text.length; i++)
        if (strncasecmp((const char *) text.bytes + i, word, length) == 0)
            return true;
    return false;
}

static bool
tells_something(const struct tells *tells, struct mg_view text)
{
    for (size_t i = 0; i < tells->count; i++)
        if (contains_any_case(text, tells->words[i]))
            return true;
    return false;
}

/* The value as sent, and what it decodes to as base64, base64url or hexadecimal. */
static CHECKED struct mg_status
value_tells(const struct tells *tells, struct mg_view value, bool *ret_tells)
{
    OWN_BUFFER(standard, 8192);
    OWN_BUFFER(url, 8192);
    uint8_t bytes[2048];
    *ret_tells = tells_something(tells, value);
    if (mg_ok(mg_base64_decode(value, &standard)))
        *ret_tells = *ret_tells || tells_something(tells, mg_buffer_view(&standard));
    if (mg_ok(mg_base64url_decode(value, &url)))
        *ret_tells = *ret_tells || tells_something(tells, mg_buffer_view(&url));
    if (value.length % 2 == 0 && value.length / 2 <= sizeof bytes &&
        mg_ok(mg_unhex(value, bytes, value.length / 2)))
        *ret_tells = *ret_tells || tells_something(tells, mg_view_of(bytes, value.length / 2));
    return OK;
}

static CHECKED struct mg_status
token_of(const struct mg_visitor *visitor, const char *host, uint8_t token[TOKEN])
{
    const char *text = mg_visitor_cookie(visitor, host, "__Host-masugata");
    OWN_BUFFER(bytes, 256);
    if (text == NULL)
        return fail_with(NOT_FOUND, "a session cookie of %s", host);
    TRY(mg_base64url_decode(mg_view_text(text), &bytes));
    if (bytes.length != TOKEN)
        return fail_with(MALFORMED, "a session cookie of %zu bytes", bytes.length);
    memcpy(token, bytes.bytes, TOKEN);
    return OK;
}

static unsigned
different_bits(const uint8_t a[TOKEN], const uint8_t b[TOKEN])
{
    unsigned bits = 0;
    for (size_t i = 0; i < TOKEN; i++)
        bits += (unsigned) __builtin_popcount((unsigned) (a[i] ^ b[i]));
    return bits;
}

static CHECKED struct mg_status
cookies_are_silent(const struct mg_visitor *visitor, const struct mg_observed_tenant *tenant,
                   const struct mg_canary_account *account, struct mg_finding *finding)
{
    struct tells tells = {.count = 0};
    char number[40];
    (void) snprintf(number, sizeof number, "tenant=%ju", (uintmax_t) tenant->number);
    tell_add(&tells, tenant->name);
    tell_add(&tells, account->login);
    tell_add(&tells, number);
    for (size_t i = 0; i < visitor->cookie_count; i++) {
        bool told = false;
        TRY(value_tells(&tells, mg_view_text(visitor->cookies[i].value), &told));
        if (told || tells_something(&tells, mg_view_text(visitor->cookies[i].name)))
            mg_finding_break(finding, visitor->cookies[i].name, "the cookie tells who the customer is",
                             "Cookie からお客様が分かります");
    }
    return OK;
}

static CHECKED struct mg_status
tenant_tokens(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
              struct mg_finding *finding)
{
    struct mg_canary_account account;
    uint8_t tokens[2][TOKEN];
    TRY(observer->ops->canary(observer, tenant->number, MG_CANARY_SIGN_IN, &account));
    for (size_t i = 0; i < 2; i++) {
        bool inside = false;
        OWN_FETCHED(answer);
        OWN_VISITOR(visitor, observer);
        TRY(mg_visitor_sign_in(&visitor, tenant->app_host, &account, &answer, &inside));
        if (!inside)
            return fail_with(REFUSED, "no session on %s", tenant->app_host);
        TRY(token_of(&visitor, tenant->app_host, tokens[i]));
        TRY(cookies_are_silent(&visitor, tenant, &account, finding));
    }
    /* 256 coin flips: outside 80 … 176 once in 10^9 tries, unless something is fixed or repeated. */
    const unsigned bits = different_bits(tokens[0], tokens[1]);
    mg_wipe(tokens, sizeof tokens);
    if (bits < 80 || bits > 176)
        mg_finding_break(finding, tenant->name, "two session cookies resemble each other",
                         "二つのセッション Cookie が似ています");
    mg_finding_note(finding, "%s: %u of 256 bits differ", tenant->name, bits);
    mg_finding_cover(finding);
    return OK;
}

struct mg_status
mg_probe_SESSION_01(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "front door";
    mg_finding_expect(finding, 0, "tenants", "テナント");
    for (size_t i = 0; i < observer->tenant_count; i++) {
        if (!observer->tenants[i].active)
            continue;
        finding->total++;
        TRY(tenant_tokens(observer, &observer->tenants[i], finding));
    }
    return OK;
}

/* ---- SESSION_02: every cookie is marked and bounded ---- */

/* The value of an attribute ("" for a bare one); false if the cookie has none of that name. */
static bool
attribute(struct mg_view cookie, const char *name, struct mg_view *ret_value)
{
    const char *at = (const char *) cookie.bytes, *end = at + cookie.length;
    const size_t length = strlen(name);
    while ((at = memchr(at, ';', (size_t) (end - at))) != NULL) {
        at++;
        while (at < end && *at == ' ')
            at++;
        const char *next = memchr(at, ';', (size_t) (end - at));
        const char *stop = next == NULL ? end : next;
        if ((size_t) (stop - at) < length || strncasecmp(at, name, length) != 0)
            continue;
        const char *value = at + length;
        if (value != stop && *value != '=')
            continue;
        *ret_value = value == stop ? MG_VIEW_EMPTY : mg_view_of(value + 1, (size_t) (stop - value) - 1);
        return true;
    }
    return false;
}

/* The reason why the cookie is not proper, NULL if it is. */
static const struct mg_words *
cookie_flaw(const char *host, struct mg_view cookie)
{
    static const struct mg_words secure = {"a cookie without Secure", "Secure のない Cookie"},
                                 http_only = {"a cookie without HttpOnly", "HttpOnly のない Cookie"},
                                 path = {"a cookie without a path", "Path のない Cookie"},
                                 domain = {"a cookie for more than its host", "ホスト以外にも届く Cookie"},
                                 prefix = {"a __Host- cookie that is not bound",
                                           "__Host- の条件を満たさない Cookie"};
    struct mg_view value;
    const bool host_bound = cookie.length > 7 && memcmp(cookie.bytes, "__Host-", 7) == 0;
    if (!attribute(cookie, "Secure", &value))
        return &secure;
    if (!attribute(cookie, "HttpOnly", &value))
        return &http_only;
    if (!attribute(cookie, "Path", &value) || value.length == 0 || value.bytes[0] != '/')
        return &path;
    if (host_bound && !mg_view_is(value, "/"))
        return &prefix;
    if (!attribute(cookie, "Domain", &value))
        return NULL;
    if (host_bound)
        return &prefix;
    return mg_view_is(value, host) ? NULL : &domain;
}

static CHECKED struct mg_status
cookies_are_proper(const struct mg_visitor *visitor, struct mg_finding *finding)
{
    for (const char *line = mg_buffer_text(&visitor->set_cookies), *end; (end = strchr(line, '\n')) != NULL;
         line = end + 1) {
        char host[256];
        const char *space = memchr(line, ' ', (size_t) (end - line));
        if (space == NULL)
            return fail(MALFORMED);
        TRY(mg_view_copy(mg_view_of(line, (size_t) (space - line)), host, sizeof host));
        const struct mg_view cookie = mg_view_of(space + 1, (size_t) (end - space) - 1);
        const struct mg_words *flaw = cookie_flaw(host, cookie);
        finding->total++;
        mg_finding_cover(finding);
        if (flaw == NULL)
            continue;
        const uint8_t *equals = memchr(cookie.bytes, '=', cookie.length);
        char subject[400];
        (void) snprintf(subject, sizeof subject, "%s %.*s", host,
                        equals == NULL ? 0 : (int) (equals - cookie.bytes), (const char *) cookie.bytes);
        mg_finding_break(finding, subject, flaw->en, flaw->ja);
    }
    return OK;
}

/* All that sets cookies on the way in and out, and the app's own pages. */
static CHECKED struct mg_status
tenant_visit(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
             struct mg_finding *finding)
{
    static const char *const pages[] = {"/", "/notes", "/.masugata/language?to=ja&return=/",
                                        "/does-not-exist"};
    OWN_FETCHED(answer);
    OWN_VISITOR(visitor, observer);
    TRY(mg_visitor_enter(&visitor, tenant, &answer));
    for (size_t i = 0; i < MG_COUNT(pages); i++)
        TRY(mg_visitor_get(&visitor, tenant->app_host, pages[i], &answer));
    TRY(mg_visitor_get(&visitor, tenant->sign_in_host, "/account", &answer));
    return cookies_are_proper(&visitor, finding);
}

struct mg_status
mg_probe_SESSION_02(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "front door";
    mg_finding_expect(finding, observer->host_count, "hosts and cookies", "ホストと Cookie");
    for (size_t i = 0; i < observer->tenant_count; i++)
        if (observer->tenants[i].active)
            TRY(tenant_visit(observer, &observer->tenants[i], finding));
    for (size_t i = 0; i < observer->host_count; i++) {
        OWN_FETCHED(answer);
        OWN_VISITOR(stranger, observer);
        TRY(mg_visitor_get(&stranger, observer->hosts[i].name, "/", &answer));
        TRY(mg_visitor_get(&stranger, observer->hosts[i].name, "/.masugata/start?return=/", &answer));
        TRY(cookies_are_proper(&stranger, finding));
        mg_finding_cover(finding);
    }
    return OK;
}

/* ---- TENANCY_02: a forged tenant changes nothing ---- */

/* What the application learns from the gate, as the sample application shows it: compared between an
 * honest request and a forged one, so that any application's front page will do. Digits that change
 * from request to request (times, ids, nonces) are left out of the comparison. */
static void
settled_text(const struct mg_fetched *answer, struct mg_buffer *text)
{
    const char *body = mg_buffer_text(&answer->body);
    for (; *body != '\0'; body++)
        if (!isdigit((unsigned char) *body) && !mg_ok(mg_buffer_add_byte(text, (uint8_t) *body)))
            return;
}

static CHECKED struct mg_status
forged_headers(const struct mg_observed_tenant *victim, struct mg_buffer *headers)
{
    const uintmax_t number = (uintmax_t) victim->number;
    TRY(mg_buffer_format(headers,
                         "X-Masugata-Tenant: %ju\r\nx_masugata_tenant: %ju\r\nX-MASUGATA-TENANT: %ju\r\n",
                         number, number, number));
    TRY(mg_buffer_format(headers, "X-Masugata-Host: %s\r\nX-Masugata-Origin: operator\r\n",
                         victim->app_host));
    TRY(mg_buffer_format(headers, "X-Forwarded-Host: %s\r\nX-Tenant-Id: %ju\r\n", victim->app_host, number));
    return mg_buffer_add_text(headers,
                              "X-Masugata-Assertion: eyJhbGciOiJub25lIn0.e30.\r\nX-Forwarded-User: root\r\n"
                              "X-Forwarded-Groups: admin\r\nX_Forwarded_User: root\r\n");
}

static CHECKED struct mg_status
title_of(struct mg_observer *observer, const char *host, uint64_t number, const char *headers,
         char title[512])
{
    char path[128];
    OWN_FETCHED(answer);
    (void) snprintf(path, sizeof path, "/sign-in?tenant=%ju", (uintmax_t) number);
    const struct mg_fetch request = {.host = host, .path = path, .headers = headers};
    TRY(observer->ops->fetch(observer, &request, &answer));
    const char *start = strstr(mg_buffer_text(&answer.body), "<title>");
    const char *end = start == NULL ? NULL : strstr(start, "</title>");
    if (end == NULL)
        return fail_with(MALFORMED, "the sign-in page of %s has no title (status %u)", host, answer.status);
    return mg_view_copy(mg_view_of(start, (size_t) (end - start)), title, 512);
}

/* The sign-in pages name the service of their own tenant, whatever the request says. */
static CHECKED struct mg_status
pages_ignore_forgery(struct mg_observer *observer, const struct mg_observed_tenant *own,
                     const struct mg_observed_tenant *victim, const char *headers, struct mg_finding *finding)
{
    char honest[512], forged[512];
    OWN_BUFFER(all, 8192);
    TRY(mg_buffer_format(&all, "%sCookie: tenant=%ju; tenant_id=%ju\r\n", headers, (uintmax_t) victim->number,
                         (uintmax_t) victim->number));
    TRY(title_of(observer, own->sign_in_host, own->number, NULL, honest));
    TRY(title_of(observer, own->sign_in_host, victim->number, mg_buffer_text(&all), forged));
    if (strcmp(honest, forged) != 0)
        mg_finding_break(finding, own->sign_in_host, "a forged tenant number changed the sign-in page",
                         "偽のテナント番号でサインイン画面が変わりました");
    return OK;
}

/* A session of one tenant with another's number in every place a request has. */
static CHECKED struct mg_status
forgery_is_idle(struct mg_observer *observer, const struct mg_observed_tenant *own,
                const struct mg_observed_tenant *victim, struct mg_finding *finding)
{
    char path[128];
    OWN_FETCHED(honest);
    OWN_FETCHED(forged);
    OWN_BUFFER(headers, 4096);
    OWN_BUFFER(honest_text, 1u << 20);
    OWN_BUFFER(forged_text, 1u << 20);
    OWN_VISITOR(visitor, observer);
    TRY(mg_visitor_enter(&visitor, own, &honest));
    (void) snprintf(path, sizeof path, "/?tenant=%ju&tenant_id=%ju", (uintmax_t) own->number,
                    (uintmax_t) own->number);
    TRY(mg_visitor_get(&visitor, own->app_host, path, &honest));
    TRY(forged_headers(victim, &headers));
    visitor.headers = mg_buffer_text(&headers);
    (void) snprintf(path, sizeof path, "/?tenant=%ju&tenant_id=%ju", (uintmax_t) victim->number,
                    (uintmax_t) victim->number);
    TRY(mg_visitor_get(&visitor, own->app_host, path, &forged));
    settled_text(&honest, &honest_text);
    settled_text(&forged, &forged_text);
    if (honest.status != forged.status ||
        !mg_view_equal(mg_buffer_view(&honest_text), mg_buffer_view(&forged_text)))
        mg_finding_break(finding, own->app_host, "a forged tenant number changed the answer",
                         "偽のテナント番号で応答が変わりました");
    if (strstr(mg_buffer_text(&forged.body), victim->app_host) != NULL)
        mg_finding_break(finding, own->app_host, "the answer names the other tenant",
                         "応答に別テナントの名前が現れました");
    TRY(pages_ignore_forgery(observer, own, victim, mg_buffer_text(&headers), finding));
    mg_finding_cover(finding);
    return OK;
}

/* One tenant's session cookie shown at another's door. */
static CHECKED struct mg_status
session_does_not_travel(struct mg_observer *observer, const struct mg_observed_tenant *own,
                        const struct mg_observed_tenant *victim, struct mg_finding *finding)
{
    OWN_FETCHED(answer);
    OWN_BUFFER(headers, 2048);
    OWN_VISITOR(visitor, observer);
    TRY(mg_visitor_enter(&visitor, own, &answer));
    const char *token = mg_visitor_cookie(&visitor, own->app_host, "__Host-masugata");
    if (token == NULL)
        return fail_with(REFUSED, "no session on %s", own->app_host);
    TRY(mg_buffer_format(
        &headers, "Accept: application/json\r\nCookie: __Host-masugata=%s\r\nX-Masugata-Tenant: %ju\r\n",
        token, (uintmax_t) own->number));
    const struct mg_fetch request = {
        .host = victim->app_host, .path = "/", .headers = mg_buffer_text(&headers)};
    TRY(observer->ops->fetch(observer, &request, &answer));
    if (!mg_answer_keeps_out(&answer))
        mg_finding_break(finding, victim->app_host, "another tenant's session was let in",
                         "別テナントのセッションが通りました");
    mg_finding_cover(finding);
    return OK;
}

struct mg_status
mg_probe_TENANCY_02(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "front door";
    mg_finding_expect(finding, 0, "tenants in two ways", "テナント (二通り)");
    const struct mg_observed_tenant *first = NULL, *own = NULL;
    for (size_t i = 0; i <= observer->tenant_count; i++) {
        const bool last = i == observer->tenant_count;
        const struct mg_observed_tenant *other = last ? first : &observer->tenants[i];
        if (other == NULL || !other->active)
            continue;
        if (first == NULL)
            first = other;
        if (own != NULL && own != other) { /* each against the next, in a ring */
            finding->total += 2;
            TRY(forgery_is_idle(observer, own, other, finding));
            TRY(session_does_not_travel(observer, own, other, finding));
        }
        own = other;
    }
    return OK;
}
