/* What everybody may read: language switch, style, script, keys of the assertion. */
#include "process/portal/portal.h"

#include "domain/return_path.h"
#include "ports/embedded.h"

#include <pthread.h>

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

/* ---- the keys of the assertion ---- */

/* The last key set, for while the authority does not answer: an application that starts just then must be
 * able to check assertions. A key stands in the set a rotation before it signs and long after, so that an old
 * copy holds. */
#define KEY_SET_MOST 16384
#define KEY_SET_MS 500
#define KEY_SET_AGAIN_MS 1000

static struct {
    pthread_mutex_t lock;
    char json[KEY_SET_MOST];
    size_t length;
    int64_t next_ms; /* monotonic: when it may be asked for; before that nobody waits again */
} key_set = {.lock = PTHREAD_MUTEX_INITIALIZER};

static CHECKED struct mg_status
key_set_ask(struct visit *visit, struct mg_view *ret_json)
{
    const struct mg_request_key_set request = {0};
    struct mg_reply_key_set reply;
    (void) pthread_mutex_lock(&key_set.lock);
    const bool may_ask = mg_monotonic_ms() >= key_set.next_ms, kept = key_set.length != 0;
    (void) pthread_mutex_unlock(&key_set.lock);
    if (!may_ask && kept)
        return fail_with(UNAVAILABLE, "the key set");
    const struct mg_status status =
        mg_call_key_set(&request, &reply, &visit->storage, kept ? KEY_SET_MS : CALL_MS);
    (void) pthread_mutex_lock(&key_set.lock);
    if (mg_ok(status) && reply.json.length <= sizeof key_set.json) {
        memcpy(key_set.json, reply.json.bytes, reply.json.length);
        key_set.length = reply.json.length;
    } else if (!mg_ok(status))
        key_set.next_ms = mg_monotonic_ms() + KEY_SET_AGAIN_MS;
    (void) pthread_mutex_unlock(&key_set.lock);
    TRY(status);
    *ret_json = reply.json;
    return OK;
}

struct mg_status
page_key_set(struct visit *visit)
{
    struct mg_view json;
    OWN_BUFFER(copy, KEY_SET_MOST);
    const struct mg_status status = key_set_ask(visit, &json);
    if (!mg_ok(status)) {
        (void) pthread_mutex_lock(&key_set.lock);
        const struct mg_status copied = mg_buffer_add(&copy, mg_view_of(key_set.json, key_set.length));
        (void) pthread_mutex_unlock(&key_set.lock);
        TRY(copied);
        if (copy.length == 0)
            return status;
        json = mg_buffer_view(&copy);
    }
    return send_bytes(visit, "application/jwk-set+json", "public, max-age=300", json);
}
