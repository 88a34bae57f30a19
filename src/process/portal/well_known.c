/* What programs look for at fixed places of every host (RFC 8615): how to report a vulnerability, where a
 * password is changed, where passkeys are. */
#include "process/portal/portal.h"

#include "wire/options.h"

enum { EXPIRES_DAYS = 90 };
#define CACHE "public, max-age=3600"

static CHECKED struct mg_status
show_nothing(struct visit *visit)
{
    return show_message(visit, 404, N_("Page not found"), N_("There is no page at this address."), NULL,
                        NULL);
}

/* W3C, A Well-Known URL for Changing Passwords: where password managers look, on whatever host they keep it
 * for. */
struct mg_status
page_change_password(struct visit *visit)
{
    if (visit->origin != ORIGIN_APP)
        return redirect(visit, "/password");
    if (!visit->site.open)
        return show_nothing(visit);
    return redirect(visit, "%.*s/password", (int) visit->site.sign_in_origin.length,
                    (const char *) visit->site.sign_in_origin.bytes);
}

/* W3C, A Well-Known URL for Relying Party Passkey Endpoints. */
struct mg_status
page_passkey_endpoints(struct visit *visit)
{
    OWN_BUFFER(json, 2048);
    OWN_BUFFER(url, 512);
    static const struct {
        const char *name, *path;
    } rows[] = {{"enroll", "/factors/passkey"}, {"manage", "/factors"}};
    if (!visit->site.open)
        return show_nothing(visit);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        mg_buffer_clear(&url);
        TRY(mg_buffer_add(&url, visit->site.sign_in_origin));
        TRY(mg_buffer_add_text(&url, rows[i].path));
        TRY(mg_buffer_format(&json, "%s\"%s\":", i == 0 ? "{" : ",", rows[i].name));
        TRY(mg_buffer_add_json_string(&json, mg_buffer_view(&url)));
    }
    TRY(mg_buffer_add_text(&json, "}"));
    return send_bytes(visit, "application/json", CACHE, mg_buffer_view(&json));
}

/* RFC 3986: an address of one of these schemes without a blank or a line break; anything else would say
 * something else in a file of lines. */
static bool
is_address(struct mg_view text)
{
    static const char *const schemes[] = {"https://", "mailto:", "tel:"};
    bool known = false;
    for (size_t i = 0; i < MG_COUNT(schemes); i++) {
        const size_t length = strlen(schemes[i]);
        known = known || (text.length > length && memcmp(text.bytes, schemes[i], length) == 0);
    }
    for (size_t i = 0; i < text.length; i++)
        if (text.bytes[i] <= ' ' || text.bytes[i] >= 0x7f)
            return false;
    return known;
}

static CHECKED struct mg_status
line_add(struct mg_buffer *text, const char *field, struct mg_view value)
{
    if (!is_address(value))
        return OK;
    TRY(mg_buffer_format(text, "%s: ", field));
    TRY(mg_buffer_add(text, value));
    return mg_buffer_add_text(text, "\n");
}

/* RFC 9116. It is made anew for each request from the options in force, so it never gets old; Expires changes
 * with the day, so that it can be cached. */
struct mg_status
page_security_txt(struct visit *visit)
{
    OWN_BUFFER(text, 8192);
    struct mg_view word;
    const char *cursor = portal_settings.security_contact;
    char expires[MG_INSTANT_TEXT];
    const mg_instant day_ms = 86400000, today = visit->now - visit->now % day_ms;
    while (mg_option_word(&cursor, &word))
        TRY(line_add(&text, "Contact", word));
    if (text.length == 0)
        return show_nothing(visit);
    mg_instant_text(today + EXPIRES_DAYS * day_ms, expires);
    TRY(mg_buffer_format(&text, "Expires: %s\n", expires));
    TRY(line_add(&text, "Encryption", mg_view_text(portal_settings.security_encryption)));
    TRY(line_add(&text, "Policy", mg_view_text(portal_settings.security_policy)));
    TRY(mg_buffer_add_text(&text, "Preferred-Languages: ja, en\n"));
    TRY(mg_buffer_format(&text, "Canonical: %s/.well-known/security.txt\n", visit->own_origin));
    return send_bytes(visit, "text/plain; charset=utf-8", CACHE, mg_buffer_view(&text));
}
