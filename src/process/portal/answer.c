#include "process/portal/portal.h"

#include "base/secret.h"
#include "domain/return_path.h"
#include "ports/embedded.h"

#include <openssl/sha.h>
#include <stdarg.h>

#define PAGES_MOST 96
#define DAY_MS (24 * 3600 * 1000LL)

static struct {
    const char *file; /* "account.html" */
    struct mg_template *template;
} pages[PAGES_MOST];
static size_t page_count;
/* Eight hexadecimal digits of their content, so that a new version is never served from a cache. */
static char style_version[9], script_version[9];

static bool
find_page(void *context, struct mg_view name, struct mg_view *ret_source)
{
    (void) context;
    char file[64];
    const int length = snprintf(file, sizeof file, "%.*s.html", (int) name.length, (const char *) name.bytes);
    return length > 0 && (size_t) length < sizeof file &&
           mg_embedded_find(mg_embedded_pages, mg_view_text(file), ret_source);
}

static void
version_of(const char *file, char version[9])
{
    struct mg_view bytes;
    uint8_t hash[32];
    mg_must(mg_embedded_find(mg_embedded_pages, mg_view_text(file), &bytes));
    mg_must(SHA256(bytes.bytes, bytes.length, hash) != NULL);
    mg_hex(mg_view_of(hash, 4), version);
}

static bool
is_template(const char *file)
{
    const size_t length = strlen(file);
    return length > 5 && strcmp(file + length - 5, ".html") == 0;
}

struct mg_status
pages_open(void)
{
    version_of("masugata.css", style_version);
    version_of("masugata.js", script_version);
    for (const struct mg_embedded *file = mg_embedded_pages; file->name != NULL; file++) {
        if (!is_template(file->name))
            continue;
        mg_must(page_count < PAGES_MOST);
        const struct mg_status status =
            mg_template_parse(file->bytes, find_page, NULL, &pages[page_count].template);
        if (!mg_ok(status))
            return fail_with(INVALID, "pages/%s: %s", file->name, status.detail);
        pages[page_count++].file = file->name;
    }
    return OK;
}

void
pages_close(void)
{
    while (page_count > 0)
        mg_template_drop(&pages[--page_count].template);
}

static struct mg_view
translate(void *context, struct mg_view msgid)
{
    return mg_translate(((const struct visit *) context)->language, msgid);
}

const char *
say(const struct visit *visit, const char *text)
{
    return mg_translate_text(visit->language, text);
}

struct mg_status
scope_reason(const struct visit *visit, struct mg_scope *scope, const char *name, struct mg_view reason)
{
    OWN_BUFFER(words, 8192);
    TRY(mg_reason_words(reason, visit->language == MG_JAPANESE, &words));
    mg_scope_set(scope, name, mg_buffer_view(&words));
    return OK;
}

const char *
arena_format(struct visit *visit, const char *format, ...)
{
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t) length >= sizeof text)
        return NULL;
    return mg_arena_text(visit->arena, mg_view_of(text, (size_t) length));
}

const char *
encoded(struct visit *visit, struct mg_view value)
{
    OWN_BUFFER(text, 16384);
    if (!mg_ok(mg_form_encode(value, &text)))
        return "";
    const char *copy = mg_arena_text(visit->arena, mg_buffer_view(&text));
    return copy == NULL ? "" : copy;
}

/* ---- headers ---- */

/* Nothing of ours may be framed, sniffed, cached or told to another site. `same-origin` rather than
 * `no-referrer`: the latter would make the Origin of our own forms "null". */
static CHECKED struct mg_status
headers_of_page(struct visit *visit)
{
    struct mg_web_answer *answer = visit->answer;
    TRY(mg_web_header_add(answer, "Content-Security-Policy",
                          "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
                          "form-action 'self'%s%s; base-uri 'none'; frame-ancestors 'none'; "
                          "require-trusted-types-for 'script'",
                          visit->form_target == NULL ? "" : " ",
                          visit->form_target == NULL ? "" : visit->form_target));
    TRY(mg_web_header_add(answer, "Cache-Control", "no-store"));
    TRY(mg_web_header_add(answer, "Content-Language", "%s", mg_language_tag(visit->language)));
    TRY(mg_web_header_add(answer, "Vary", "Accept-Language, Cookie"));
    return OK;
}

static CHECKED struct mg_status
headers_of_all(struct visit *visit)
{
    static const char *const rows[][2] = {
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Embedder-Policy", "require-corp"},
        {"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        TRY(mg_web_header_add(visit->answer, rows[i][0], "%s", rows[i][1]));
    return OK;
}

static CHECKED struct mg_status
cookie_add(struct visit *visit, const char *name, struct mg_view bytes, int age_s, const char *same_site)
{
    OWN_BUFFER(value, 4096); /* more no browser keeps */
    OWN_BUFFER(age, 32);
    if (age_s != 0)
        TRY(mg_base64url(bytes, &value));
    if (age_s >= 0)
        TRY(mg_buffer_format(&age, "; Max-Age=%d", age_s));
    return mg_web_header_add(visit->answer, "Set-Cookie", "%s=%s; Path=/; Secure; HttpOnly; SameSite=%s%s",
                             name, mg_buffer_text(&value), same_site, mg_buffer_text(&age));
}

struct mg_status
cookie_set(struct visit *visit, const char *name, struct mg_view bytes, int age_s)
{
    return cookie_add(visit, name, bytes, age_s, "Lax");
}

struct mg_status
cookie_set_for_forms(struct visit *visit, const char *name, struct mg_view bytes, int age_s)
{
    return cookie_add(visit, name, bytes, age_s, "None");
}

/* ---- what every page says ---- */

static void
page_common(struct visit *visit)
{
    struct mg_scope *page = visit->page;
    const bool japanese = visit->language == MG_JAPANESE;
    mg_scope_set_text(page, "lang", mg_language_tag(visit->language));
    mg_scope_set_text(page, "other_lang", japanese ? "en" : "ja");
    mg_scope_set_text(page, "other_language", japanese ? "English" : "日本語");
    if (visit->site.time_zone.length != 0)
        mg_scope_set(page, "time_zone", visit->site.time_zone);
    mg_scope_set_text(page, "style_version", style_version);
    mg_scope_set_text(page, "script_version", script_version);
    mg_scope_set_text(page, "here", visit->here != NULL ? visit->here : visit_target(visit));
    mg_scope_set_flag(page, "on_console", visit->origin == ORIGIN_OPERATOR);
    mg_scope_set_flag(page, "on_app", visit->origin == ORIGIN_APP);
    mg_scope_set_flag(page, "signed_in", visit->signed_in);
    if (visit->site.open)
        mg_scope_set(page, "label", visit->site.label);
    if (visit->signed_in) {
        const struct mg_view name = visit->person.name;
        mg_scope_set(page, "person", name.length > 0 ? name : visit->person.login);
        mg_scope_set(page, "person_login", visit->person.login);
    }
}

/* The list of pages shows what the person may: on the operators' origin by the origin itself. */
static void
page_permissions(struct visit *visit)
{
    static const char *const flags[MG_PERMISSION_COUNT] = {
#define PERMISSION(name, ...) [MG_PERMISSION_##name] = "may_" #name,
#include "catalogue/permissions.def"
    };
    const mg_permissions held = visit->signed_in ? visit->person.permissions : 0;
    if (visit->origin != ORIGIN_SIGN_IN)
        return;
    for (int i = 1; i < MG_PERMISSION_COUNT; i++)
        mg_scope_set_flag(visit->page, flags[i], mg_permissions_have(held, (enum mg_permission) i));
    /* The headings of the menu: none without a page below it. */
    static const enum mg_permission signing_in[] = {MG_PERMISSION_providers_read, MG_PERMISSION_policy_read,
                                                    MG_PERMISSION_sessions_read, MG_PERMISSION_sign_ins_read},
                                    records[] = {MG_PERMISSION_audit_read, MG_PERMISSION_reports_read,
                                                 MG_PERMISSION_backups_read};
    bool may_sign_in = false, may_records = false;
    for (size_t i = 0; i < MG_COUNT(signing_in); i++)
        may_sign_in = may_sign_in || mg_permissions_have(held, signing_in[i]);
    for (size_t i = 0; i < MG_COUNT(records); i++)
        may_records = may_records || mg_permissions_have(held, records[i]);
    mg_scope_set_flag(visit->page, "may_sign_in_pages", may_sign_in);
    mg_scope_set_flag(visit->page, "may_record_pages", may_records);
    mg_scope_set_flag(visit->page, "may_console",
                      may_sign_in || may_records || mg_permissions_have(held, MG_PERMISSION_users_read));
}

static const struct mg_template *
page_find(const char *name)
{
    for (size_t i = 0; i < page_count; i++)
        if (strncmp(pages[i].file, name, strlen(name)) == 0 &&
            strcmp(pages[i].file + strlen(name), ".html") == 0)
            return pages[i].template;
    mg_must_failed("every page has its template", MG_HERE);
}

struct mg_status
show(struct visit *visit, unsigned status, const char *name)
{
    const char *token = NULL;
    if (!visit->site_asked)
        TRY(visit_site(visit, false));
    TRY(visit_form_token(visit, &token));
    mg_scope_set_text(visit->page, "token", token);
    page_common(visit);
    page_permissions(visit);
    visit->answer->status = status;
    visit->answer->content_type = "text/html; charset=utf-8";
    TRY(headers_of_page(visit));
    TRY(headers_of_all(visit));
    if (visit->browser_is_new)
        TRY(cookie_set(visit, COOKIE_FORM, mg_view_of(visit->browser, TOKEN_BYTES), -1));
    return mg_template_render(page_find(name), visit->page, translate, visit, &visit->answer->body);
}

struct mg_status
show_message(struct visit *visit, unsigned status, const char *title, const char *text, const char *link,
             const char *link_text)
{
    mg_scope_set_text(visit->page, "title", say(visit, title));
    mg_scope_set_text(visit->page, "text", say(visit, text));
    mg_scope_set_flag(visit->page, "bad", status >= 400);
    if (link != NULL) {
        mg_scope_set_text(visit->page, "link", link);
        mg_scope_set_text(visit->page, "link_text", say(visit, link_text));
    }
    if (status == 503)
        TRY(mg_web_header_add(visit->answer, "Retry-After", "10"));
    return show(visit, status, "message");
}

void
page_problem(struct visit *visit, const char *field, const char *text)
{
    mg_scope_set_flag(visit->page, "problems", true);
    struct mg_scope *problem = mg_scope_add(visit->page, "problem_list");
    mg_scope_set_text(problem, "problem", text);
    mg_scope_set_text(problem, "problem_field", field);
    const char *wrong = arena_format(visit, "%s_wrong", field);
    if (wrong != NULL)
        mg_scope_set_flag(visit->page, wrong, true);
}

struct mg_status
show_outcome(struct visit *visit, uint64_t outcome, const char *name)
{
    unsigned status = 422;
    if (outcome == MG_RATE_LIMITED || outcome == MG_LOCKED)
        status = 429;
    else if (outcome == MG_BUSY_NOW)
        status = 503;
    else if (outcome == MG_NOT_ALLOWED || outcome == MG_ADDRESS_NOT_ALLOWED)
        status = 403;
    return show(visit, status, name);
}

struct mg_status
redirect(struct visit *visit, const char *format, ...)
{
    char location[8192];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(location, sizeof location, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t) length >= sizeof location)
        return fail_with(TOO_LARGE, "redirect");
    visit->answer->status = 303;
    TRY(mg_web_header_add(visit->answer, "Location", "%s", location));
    TRY(mg_web_header_add(visit->answer, "Cache-Control", "no-store"));
    return headers_of_all(visit);
}

struct mg_status
send_bytes(struct visit *visit, const char *content_type, const char *cache, struct mg_view bytes)
{
    visit->answer->status = 200;
    visit->answer->content_type = content_type;
    TRY(mg_web_header_add(visit->answer, "Cache-Control", "%s", cache));
    TRY(mg_web_header_add(visit->answer, "Content-Security-Policy",
                          "default-src 'none'; frame-ancestors 'none'"));
    TRY(headers_of_all(visit));
    return mg_buffer_add(&visit->answer->body, bytes);
}

/* ---- times in words ---- */

/* In the tenant's time zone, which is named; masugata.js writes it shorter, in the same zone. */
static void
date_text(const struct visit *visit, mg_instant instant, char *text, size_t size)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const bool japanese = visit->language == MG_JAPANESE;
    const struct mg_time_zone *zone = visit_time_zone(visit);
    const char *name = mg_time_zone_name(zone);
    const time_t seconds = (time_t) ((instant + mg_time_zone_ahead_ms(zone, instant)) / 1000);
    struct tm t;
    mg_must(gmtime_r(&seconds, &t) != NULL);
    if (japanese)
        (void) snprintf(text, size, "%d年%d月%d日 %d:%02d (%s)", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                        t.tm_hour, t.tm_min, strcmp(name, "Asia/Tokyo") == 0 ? "日本時間" : name);
    else
        (void) snprintf(text, size, "%d %.3s %d, %02d:%02d %s", t.tm_mday, months + 3 * t.tm_mon,
                        t.tm_year + 1900, t.tm_hour, t.tm_min, name);
}

static void
ago_text(const struct visit *visit, int64_t age_ms, char *text, size_t size)
{
    static const struct {
        int64_t from_ms, unit_ms;
        const char *one, *many;
    } rows[] = {
        {DAY_MS, DAY_MS, N_("1 day ago"), N_("{n} days ago")},
        {DAY_MS / 24, DAY_MS / 24, N_("1 hour ago"), N_("{n} hours ago")},
        {60000, 60000, N_("1 minute ago"), N_("{n} minutes ago")},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        if (age_ms < rows[i].from_ms)
            continue;
        const long long n = age_ms / rows[i].unit_ms;
        const char *message = say(visit, n == 1 ? rows[i].one : rows[i].many);
        const char *mark = strstr(message, "{n}");
        if (mark == NULL)
            (void) snprintf(text, size, "%s", message);
        else
            (void) snprintf(text, size, "%.*s%lld%s", (int) (mark - message), message, n, mark + 3);
        return;
    }
    (void) snprintf(text, size, "%s", say(visit, N_("just now")));
}

void
scope_time(const struct visit *visit, struct mg_scope *scope, struct time_names names, mg_instant instant)
{
    if (instant <= 0)
        return;
    char iso[MG_INSTANT_TEXT], text[96];
    mg_instant_text(instant, iso);
    mg_scope_set_text(scope, names.iso, iso);
    date_text(visit, instant, text, sizeof text);
    mg_scope_set_text(scope, names.date, text);
    ago_text(visit, visit->now - instant, text, sizeof text);
    mg_scope_set_text(scope, names.ago, text);
}
