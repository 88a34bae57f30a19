#include "notes.h"

#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>

enum { KEYS_MOST = 64, KID_MOST = 64, SET_BYTES_MOST = 65536, FETCH_MS = 5000 };

/* A key we do not know makes us look again, but a stranger's invented kid must not make us a client
 * that hammers the issuer. A set is believed this long at most: withdrawn keys end. */
static const int64_t fetch_pause_ms = 3000, believed_ms = 300000;

struct key {
    char kid[KID_MOST];
    uint8_t point[64];
};

static struct {
    pthread_mutex_t lock;
    struct key keys[KEYS_MOST];
    size_t count;
    int64_t fetched_ms, tried_ms; /* monotonic; 0 never */
} set = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
json_drop(json_t **json)
{
    json_decref(*json);
}

static size_t
receive(char *bytes, size_t size, size_t count, void *context)
{
    return mg_ok(mg_buffer_add(context, mg_view_of(bytes, size * count))) ? size * count : 0;
}

static struct mg_status
fetch(struct mg_buffer *text)
{
    char url[512];
    if (snprintf(url, sizeof url, "%s/.well-known/masugata/jwks.json", settings.issuer) >= (int) sizeof url)
        return fail(TOO_LARGE);
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return fail(OUT_OF_MEMORY);
    long status = 0;
    (void) curl_easy_setopt(curl, CURLOPT_URL, url);
    (void) curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    (void) curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) FETCH_MS);
    (void) curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    (void) curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    (void) curl_easy_setopt(curl, CURLOPT_WRITEDATA, text);
    if (settings.authority != NULL)
        (void) curl_easy_setopt(curl, CURLOPT_CAINFO, settings.authority);
    const CURLcode code = curl_easy_perform(curl);
    (void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    if (code != CURLE_OK)
        return fail_with(UNAVAILABLE, "%s: %s", url, curl_easy_strerror(code));
    return status == 200 ? OK : fail_with(UNAVAILABLE, "%s: status %ld", url, status);
}

/* RFC 7517 and RFC 7518 section 6.2: only what we can use, the rest is left out. */
static bool
key_read(const json_t *jwk, struct key *key)
{
    const char *kid = json_string_value(json_object_get(jwk, "kid"));
    const char *type = json_string_value(json_object_get(jwk, "kty"));
    const char *curve = json_string_value(json_object_get(jwk, "crv"));
    const char *parts[2] = {json_string_value(json_object_get(jwk, "x")),
                            json_string_value(json_object_get(jwk, "y"))};
    if (kid == NULL || type == NULL || curve == NULL || strcmp(type, "EC") != 0 ||
        strcmp(curve, "P-256") != 0 || !mg_ok(mg_view_copy(mg_view_text(kid), key->kid, sizeof key->kid)))
        return false;
    for (size_t i = 0; i < 2; i++) {
        OWN_BUFFER(number, 64);
        if (parts[i] == NULL || !mg_ok(mg_base64url_decode(mg_view_text(parts[i]), &number)) ||
            number.length != 32)
            return false;
        memcpy(key->point + 32 * i, number.bytes, 32);
    }
    return true;
}

/* With the lock held. A set that cannot be read changes nothing. */
static struct mg_status
refresh(int64_t now_ms)
{
    OWN_BUFFER(text, SET_BYTES_MOST);
    struct key keys[KEYS_MOST];
    size_t count = 0;
    set.tried_ms = now_ms;
    TRY(fetch(&text));
    MG_CLEANUP(json_drop)
    json_t *json = json_loadb(mg_buffer_text(&text), text.length, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = json_object_get(json, "keys");
    if (!json_is_array(list))
        return fail_with(UNAVAILABLE, "the key set is not one");
    for (size_t i = 0; i < json_array_size(list) && count < KEYS_MOST; i++)
        if (key_read(json_array_get(list, i), &keys[count]))
            count++;
    memcpy(set.keys, keys, sizeof keys);
    set.count = count;
    set.fetched_ms = now_ms;
    return OK;
}

/* With the lock held. */
static const struct key *
lookup(struct mg_view kid)
{
    for (size_t i = 0; i < set.count; i++)
        if (mg_view_is(kid, set.keys[i].kid))
            return &set.keys[i];
    return NULL;
}

/* With the lock held. */
static struct mg_status
find_locked(struct mg_view kid, uint8_t ret_key[64])
{
    const int64_t now_ms = mg_monotonic_ms();
    const bool old = set.fetched_ms == 0 || now_ms - set.fetched_ms > believed_ms;
    if ((old || lookup(kid) == NULL) && (set.tried_ms == 0 || now_ms - set.tried_ms > fetch_pause_ms)) {
        const struct mg_status status = refresh(now_ms);
        if (!mg_ok(status) && lookup(kid) == NULL)
            return status; /* an issuer that is away does not end what we know already */
    }
    const struct key *key = lookup(kid);
    if (key == NULL)
        return set.fetched_ms == 0 ? fail_with(UNAVAILABLE, "no key set yet")
                                   : fail_with(NOT_FOUND, "unknown key");
    memcpy(ret_key, key->point, 64);
    return OK;
}

struct mg_status
key_find(struct mg_view kid, uint8_t ret_key[64])
{
    (void) pthread_mutex_lock(&set.lock);
    const struct mg_status status = find_locked(kid, ret_key);
    (void) pthread_mutex_unlock(&set.lock);
    return status;
}
