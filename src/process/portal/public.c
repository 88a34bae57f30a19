/* What everybody may read: language switch, style, script, keys of the assertion. */
#include "process/portal/portal.h"

#include "domain/return_path.h"
#include "ports/embedded.h"

#define LANGUAGE_S (400 * 24 * 3600)
#define FOREVER "public, max-age=31536000, immutable"

/* The path after a change of language: our own pages are allowed here, other sites are not. */
static bool
is_own_page(struct mg_view path)
{
    return mg_return_path_is_safe(path) ||
           (path.length > 11 && memcmp(path.bytes, "/.masugata/", 11) == 0 &&
            path.length < MG_RETURN_PATH_MOST && memchr(path.bytes, '\\', path.length) == NULL);
}

struct mg_status
page_language(struct visit *visit)
{
    const struct mg_view to = mg_form_value(&visit->query, "to");
    const struct mg_view back = mg_form_value(&visit->query, "return");
    TRY(mg_web_header_add(visit->answer, "Set-Cookie",
                          "%s=%s; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=%d", COOKIE_LANGUAGE,
                          mg_language_tag(mg_language_of(to)), LANGUAGE_S));
    if (!is_own_page(back))
        return redirect(visit, "/");
    return redirect(visit, "%.*s", (int) back.length, (const char *) back.bytes);
}

static CHECKED struct mg_status
send_file(struct visit *visit, const char *name, const char *content_type)
{
    struct mg_view bytes;
    if (!mg_embedded_find(mg_embedded_pages, mg_view_text(name), &bytes))
        return fail(NOT_FOUND);
    return send_bytes(visit, content_type, FOREVER, bytes);
}

struct mg_status
page_style(struct visit *visit)
{
    return send_file(visit, "masugata.css", "text/css; charset=utf-8");
}

struct mg_status
page_script(struct visit *visit)
{
    return send_file(visit, "masugata.js", "text/javascript; charset=utf-8");
}

struct mg_status
page_icon(struct visit *visit)
{
    return send_file(visit, "icon.svg", "image/svg+xml");
}

struct mg_status
page_key_set(struct visit *visit)
{
    const struct mg_request_key_set request = {0};
    struct mg_reply_key_set reply;
    TRY(mg_call_key_set(&request, &reply, &visit->storage, CALL_MS));
    return send_bytes(visit, "application/jwk-set+json", "public, max-age=300", reply.json);
}
