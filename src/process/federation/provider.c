#include "process/federation/federation.h"

#include "domain/drill.h"
#include "ports/crypto.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    PROVIDERS_MOST = 256,
    AT_ONCE_MOST = 16,         /* requests with one provider, of the process's threads (main.c) */
    KEEP_MS = 3600 * 1000,     /* a document is good for an hour */
    KEYS_AGAIN_MS = 30 * 1000, /* and is not fetched more often for tokens that no key fits */
};

struct provider {
    char issuer[512];
    uint8_t certificate[MG_HASH_BYTES];          /* the drill's: SHA-256 of what it is known by; else zero */
    struct mg_outbound_authorities *authorities; /* the drill's: that certificate; else NULL */
    struct mg_outbound_rules rules;
    pthread_mutex_t lock; /* of what follows; held while fetching, so that one fetch serves all who wait */
    bool discovered, with_keys;
    struct mg_oidc_discovery discovery;
    struct mg_jwks *keys;
    int64_t discovered_ms, keys_ms, keys_tried_ms; /* monotonic */
    /* Under the table's lock. */
    unsigned at_once;
    uint64_t used;
};

static struct {
    pthread_mutex_t lock;
    struct provider *list[PROVIDERS_MOST];
    size_t count;
    uint64_t clock;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
provider_free(struct provider *provider)
{
    if (provider == NULL)
        return;
    mg_jwks_drop(&provider->keys);
    mg_outbound_authorities_drop(&provider->authorities);
    (void) pthread_mutex_destroy(&provider->lock);
    free(provider);
}

/* With the table's lock held: a place, if need be of the one that nobody has used for longest. */
static CHECKED struct mg_status
place_find(size_t *ret_place)
{
    if (table.count < PROVIDERS_MOST) {
        *ret_place = table.count;
        return OK;
    }
    size_t oldest = PROVIDERS_MOST;
    for (size_t i = 0; i < table.count; i++)
        if (table.list[i]->at_once == 0 &&
            (oldest == PROVIDERS_MOST || table.list[i]->used < table.list[oldest]->used))
            oldest = i;
    if (oldest == PROVIDERS_MOST)
        return fail_with(BUSY, "%d identity providers are in use at once", PROVIDERS_MOST);
    *ret_place = oldest;
    return OK;
}

/* The one host that the drill's provider may be reached at; it leads nowhere else either. */
static struct mg_status
resolve_drill(void *context, const char *host, struct mg_address addresses[MG_OUTBOUND_ADDRESSES_MOST],
              size_t *ret_count)
{
    (void) context;
    if (strcmp(host, MG_DRILL_PROVIDER_HOST) != 0)
        return fail_with(UNAVAILABLE, "not the drill's provider");
    TRY(mg_address_parse(mg_view_text(MG_DRILL_PROVIDER_ADDRESS), &addresses[0]));
    *ret_count = 1;
    return OK;
}

static void
provider_drop(struct provider **provider)
{
    provider_free(*provider);
    *provider = NULL;
}

static CHECKED struct mg_status
provider_new(struct mg_view issuer, struct mg_view certificate, const uint8_t hash[MG_HASH_BYTES],
             struct provider **ret_provider)
{
    MG_CLEANUP(provider_drop) struct provider *provider = calloc(1, sizeof *provider);
    if (provider == NULL)
        return fail(OUT_OF_MEMORY);
    mg_must(pthread_mutex_init(&provider->lock, NULL) == 0);
    TRY(mg_view_copy(issuer, provider->issuer, sizeof provider->issuer));
    provider->rules = federation_rules;
    memcpy(provider->certificate, hash, sizeof provider->certificate);
    if (certificate.length != 0) {
        TRY(mg_outbound_authority_read(certificate, &provider->authorities));
        provider->rules = (struct mg_outbound_rules){
            .inside = MG_DRILL_PROVIDER_HOST, .authorities = provider->authorities, .resolve = resolve_drill};
    }
    *ret_provider = TAKE(provider);
    return OK;
}

const struct mg_outbound_rules *
provider_rules(const struct provider *provider)
{
    return &provider->rules;
}

static CHECKED struct mg_status
enter_locked(struct mg_view issuer, struct mg_view certificate, struct provider **ret_provider)
{
    struct provider *provider = NULL;
    uint8_t hash[MG_HASH_BYTES] = {0};
    if (certificate.length != 0)
        TRY(mg_sha256(certificate, hash));
    for (size_t i = 0; i < table.count && provider == NULL; i++) {
        struct provider *known = table.list[i];
        if (known != NULL && mg_view_is(issuer, known->issuer) &&
            memcmp(hash, known->certificate, sizeof hash) == 0)
            provider = known;
    }
    if (provider == NULL) {
        size_t place = 0;
        TRY(place_find(&place));
        TRY(provider_new(issuer, certificate, hash, &provider));
        if (place == table.count)
            table.count++;
        else
            provider_free(table.list[place]);
        table.list[place] = provider;
    }
    if (provider->at_once >= AT_ONCE_MOST)
        return fail_with(BUSY, "%s: %d requests are under way", provider->issuer, AT_ONCE_MOST);
    provider->at_once++;
    provider->used = ++table.clock;
    *ret_provider = provider;
    return OK;
}

struct mg_status
provider_enter(struct mg_view issuer, struct mg_view drill_certificate, struct provider **ret_provider)
{
    (void) pthread_mutex_lock(&table.lock);
    const struct mg_status status = enter_locked(issuer, drill_certificate, ret_provider);
    (void) pthread_mutex_unlock(&table.lock);
    return status;
}

void
provider_leave(struct provider **provider)
{
    if (*provider == NULL)
        return;
    (void) pthread_mutex_lock(&table.lock);
    (*provider)->at_once--;
    (void) pthread_mutex_unlock(&table.lock);
    *provider = NULL;
}

/* ---- documents; each function below with the provider's lock held ---- */

static bool
is_young(bool there, int64_t fetched_ms, int64_t age_ms)
{
    return there && mg_monotonic_ms() - fetched_ms < age_ms;
}

static CHECKED struct mg_status
document_fetch(const struct provider *provider, const char *url, size_t most,
               struct mg_outbound_answer *ret_answer, struct finding *finding)
{
    const struct mg_outbound_request request = {.url = url, .most = most};
    TRY(federation_fetch(&provider->rules, &request, ret_answer, finding));
    if (!is_fine(finding) || ret_answer->status == 200)
        return OK;
    finding->refusal = MG_FEDERATION_ANSWER;
    (void) snprintf(finding->detail, sizeof finding->detail, "%.400s: HTTP %ld", url, ret_answer->status);
    return OK;
}

/* Discovery 1.0 section 4.1: a slash at the issuer's end is not doubled. */
static CHECKED struct mg_status
discovery_fetch(struct provider *provider, struct finding *finding)
{
    MG_CLEANUP(mg_outbound_answer_drop) struct mg_outbound_answer answer = {.body = MG_BUFFER(0)};
    char url[640], detail[128];
    int length = (int) strlen(provider->issuer);
    if (length > 0 && provider->issuer[length - 1] == '/')
        length--;
    (void) snprintf(url, sizeof url, "%.*s/.well-known/openid-configuration", length, provider->issuer);
    TRY(document_fetch(provider, url, MG_OIDC_DOCUMENT_BYTES, &answer, finding));
    if (!is_fine(finding))
        return OK;
    struct mg_oidc_discovery found;
    finding->refusal = mg_oidc_discovery_read(mg_buffer_view(&answer.body), provider->issuer, &found, detail);
    (void) snprintf(finding->detail, sizeof finding->detail, "%s", detail);
    if (!is_fine(finding))
        return OK;
    /* Another place for the keys makes those of the old one worthless. */
    if (provider->discovered && strcmp(provider->discovery.jwks_uri, found.jwks_uri) != 0)
        provider->with_keys = false;
    provider->discovery = found;
    provider->discovered = true;
    provider->discovered_ms = mg_monotonic_ms();
    return OK;
}

static CHECKED struct mg_status
discovery_have(struct provider *provider, bool fresh, struct finding *finding)
{
    if (!fresh && is_young(provider->discovered, provider->discovered_ms, KEEP_MS))
        return OK;
    return discovery_fetch(provider, finding);
}

static CHECKED struct mg_status
keys_fetch(struct provider *provider, struct finding *finding)
{
    MG_CLEANUP(mg_outbound_answer_drop) struct mg_outbound_answer answer = {.body = MG_BUFFER(0)};
    OWN(jwks) keys = NULL;
    provider->keys_tried_ms = mg_monotonic_ms();
    TRY(document_fetch(provider, provider->discovery.jwks_uri, MG_JWKS_BYTES, &answer, finding));
    if (!is_fine(finding))
        return OK;
    const struct mg_status parsed = mg_jwks_parse(mg_buffer_view(&answer.body), &keys);
    if (parsed.code == MG_OUT_OF_MEMORY)
        return parsed;
    if (!mg_ok(parsed) || mg_jwks_count(keys) == 0) {
        finding->refusal = MG_FEDERATION_KEY_SET;
        (void) snprintf(finding->detail, sizeof finding->detail, "FETCH_FAILED|%.400s|%s",
                        provider->discovery.jwks_uri, mg_ok(parsed) ? "KEY_SET_EMPTY|" : parsed.detail);
        return OK;
    }
    mg_jwks_drop(&provider->keys);
    provider->keys = TAKE(keys);
    provider->with_keys = true;
    provider->keys_ms = mg_monotonic_ms();
    return OK;
}

static CHECKED struct mg_status
keys_have(struct provider *provider, bool fresh, struct finding *finding)
{
    if (!fresh && is_young(provider->with_keys, provider->keys_ms, KEEP_MS))
        return OK;
    TRY(discovery_have(provider, fresh, finding));
    return is_fine(finding) ? keys_fetch(provider, finding) : OK;
}

static CHECKED struct mg_status
verify_locked(struct provider *provider, struct mg_view token, enum mg_jwt_type type,
              struct mg_buffer *payload, struct mg_jwt_head *ret_head, struct finding *finding)
{
    TRY(keys_have(provider, false, finding));
    if (!is_fine(finding))
        return OK;
    TRY(mg_jwt_verify(token, type, provider->keys, payload, ret_head, &finding->refusal));
    if (finding->refusal != MG_FEDERATION_TOKEN_KEY ||
        mg_monotonic_ms() - provider->keys_tried_ms < KEYS_AGAIN_MS)
        return OK;
    /* The provider may have changed its keys since. */
    finding->refusal = MG_FEDERATION_NONE;
    TRY(keys_have(provider, true, finding));
    if (!is_fine(finding))
        return OK;
    return mg_jwt_verify(token, type, provider->keys, payload, ret_head, &finding->refusal);
}

/* ---- for the handlers ---- */

struct mg_status
provider_discover(struct provider *provider, bool fresh, struct mg_oidc_discovery *ret_discovery,
                  struct finding *finding)
{
    (void) pthread_mutex_lock(&provider->lock);
    const struct mg_status status = discovery_have(provider, fresh, finding);
    if (mg_ok(status) && is_fine(finding))
        *ret_discovery = provider->discovery;
    (void) pthread_mutex_unlock(&provider->lock);
    return status;
}

struct mg_status
provider_verify(struct provider *provider, struct mg_view token, enum mg_jwt_type type,
                struct mg_buffer *payload, struct mg_jwt_head *ret_head, struct finding *finding)
{
    (void) pthread_mutex_lock(&provider->lock);
    const struct mg_status status = verify_locked(provider, token, type, payload, ret_head, finding);
    (void) pthread_mutex_unlock(&provider->lock);
    if (mg_ok(status) && !is_fine(finding) && finding->detail[0] == '\0')
        (void) snprintf(finding->detail, sizeof finding->detail, "alg %s, kid %s", ret_head->algorithm,
                        ret_head->key);
    return status;
}

struct mg_status
provider_keys_describe(struct provider *provider, bool fresh, struct mg_buffer *text, struct finding *finding)
{
    (void) pthread_mutex_lock(&provider->lock);
    struct mg_status status = keys_have(provider, fresh, finding);
    if (mg_ok(status) && is_fine(finding))
        status = mg_jwks_describe(provider->keys, text);
    (void) pthread_mutex_unlock(&provider->lock);
    return status;
}
