/* Providers that were loaded a moment ago. A sign-in asks for its provider where it begins and where it comes
 * back, and what it asks for there is judged again, from the database, before a session starts. */
#include "process/authority/federation.h"

#include <pthread.h>

enum {
    PLACES = 64,
    KEPT_MS =
        1000, /* as long as another node's change may go unseen; a change of this process is seen at once */
    ENDPOINT_KEPT_MS = 10000,
    SEALED_MOST = 4096,
};

static struct {
    pthread_mutex_t lock;
    uint64_t changes; /* so far, by this process */
    struct {
        struct mg_idp *idp;
        int64_t loaded_ms;
    } places[PLACES];
    struct {
        char issuer[512], endpoint[1024]; /* empty: none */
        int64_t told_ms;
    } endpoints[PLACES];
    struct {               /* which of our own keys signs at a SAML provider, sealed by keys for itself */
        uint64_t provider; /* 0: none */
        uint8_t sealed[SEALED_MOST];
        size_t length;
        int64_t loaded_ms;
    } signing[PLACES];
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t
place_of(uint64_t tenant, struct mg_view name)
{
    uint64_t hash = tenant * UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = 0; i < name.length; i++)
        hash = (hash ^ name.bytes[i]) * UINT64_C(0x100000001B3);
    return (size_t) (hash >> 32) % PLACES;
}

/* With the lock held. NULL: to be loaded. */
static struct mg_idp *
find_locked(uint64_t tenant, struct mg_view name, size_t place)
{
    struct mg_idp *idp = kept.places[place].idp;
    if (idp == NULL || idp->tenant != tenant || !mg_view_is(name, idp->name) ||
        mg_monotonic_ms() - kept.places[place].loaded_ms >= KEPT_MS)
        return NULL;
    return mg_idp_hold(idp);
}

void
mg_idp_changed(void)
{
    (void) pthread_mutex_lock(&kept.lock);
    kept.changes++;
    for (size_t i = 0; i < PLACES; i++)
        mg_idp_drop(&kept.places[i].idp);
    for (size_t i = 0; i < PLACES; i++)
        kept.endpoints[i].issuer[0] = '\0';
    for (size_t i = 0; i < PLACES; i++)
        kept.signing[i].provider = 0;
    (void) pthread_mutex_unlock(&kept.lock);
}

struct mg_status
mg_idp_recall(uint64_t tenant, struct mg_view name, struct mg_idp **ret_idp)
{
    OWN(database) database = NULL;
    OWN(idp) idp = NULL;
    const size_t place = place_of(tenant, name);
    (void) pthread_mutex_lock(&kept.lock);
    const uint64_t changes = kept.changes;
    idp = find_locked(tenant, name, place);
    (void) pthread_mutex_unlock(&kept.lock);
    if (idp == NULL) {
        TRY(mg_core_database(&database));
        TRY(mg_idp_load(database, tenant, name, &idp));
        (void) pthread_mutex_lock(&kept.lock);
        if (kept.changes == changes) { /* else it may be from before the change */
            mg_idp_drop(&kept.places[place].idp);
            kept.places[place].idp = mg_idp_hold(idp);
            kept.places[place].loaded_ms = mg_monotonic_ms();
        }
        (void) pthread_mutex_unlock(&kept.lock);
    }
    *ret_idp = TAKE(idp);
    return OK;
}

/* ---- where an OpenID provider has browsers come to ---- */

static bool
endpoint_find_locked(const char *issuer, size_t place, struct mg_buffer *storage)
{
    return strcmp(kept.endpoints[place].issuer, issuer) == 0 &&
           mg_monotonic_ms() - kept.endpoints[place].told_ms < ENDPOINT_KEPT_MS &&
           mg_ok(mg_buffer_add_text(storage, kept.endpoints[place].endpoint));
}

static void
endpoint_keep_locked(const char *issuer, size_t place, struct mg_view endpoint)
{
    if (!mg_ok(
            mg_view_copy(endpoint, kept.endpoints[place].endpoint, sizeof kept.endpoints[place].endpoint)) ||
        !mg_ok(mg_view_copy(mg_view_text(issuer), kept.endpoints[place].issuer,
                            sizeof kept.endpoints[place].issuer)))
        kept.endpoints[place].issuer[0] = '\0';
    kept.endpoints[place].told_ms = mg_monotonic_ms();
}

struct mg_status
mg_oidc_endpoint_recall(const struct mg_idp *idp, struct mg_buffer *storage,
                        struct mg_reply_oidc_begin *ret_reply)
{
    OWN_BUFFER(drill, 2048);
    const char *issuer = idp->settings->issuer;
    const size_t place = place_of(0, mg_view_text(issuer));
    TRY(mg_drill_certificate(idp, &drill));
    (void) pthread_mutex_lock(&kept.lock);
    const uint64_t changes = kept.changes;
    const bool found = drill.length == 0 && endpoint_find_locked(issuer, place, storage);
    (void) pthread_mutex_unlock(&kept.lock);
    if (found) {
        *ret_reply =
            (struct mg_reply_oidc_begin){.refusal = MG_FEDERATION_NONE, .endpoint = mg_buffer_view(storage)};
        return OK;
    }
    mg_buffer_clear(storage);
    const struct mg_request_oidc_begin ask = {.issuer = mg_view_text(issuer),
                                              .drill_certificate = mg_buffer_view(&drill)};
    TRY(mg_call_oidc_begin(&ask, ret_reply, storage, MG_FEDERATION_CALL_MS));
    if (ret_reply->refusal != MG_FEDERATION_NONE || drill.length != 0)
        return OK;
    (void) pthread_mutex_lock(&kept.lock);
    if (kept.changes == changes)
        endpoint_keep_locked(issuer, place, ret_reply->endpoint);
    (void) pthread_mutex_unlock(&kept.lock);
    return OK;
}

/* ---- which of our own keys signs at a SAML provider ---- */

bool
mg_saml_signing_recall(uint64_t provider, struct mg_buffer *sealed, uint64_t *ret_changes)
{
    const size_t place = provider % PLACES;
    (void) pthread_mutex_lock(&kept.lock);
    *ret_changes = kept.changes;
    const bool found =
        kept.signing[place].provider == provider &&
        mg_monotonic_ms() - kept.signing[place].loaded_ms < KEPT_MS &&
        mg_ok(mg_buffer_add(sealed, mg_view_of(kept.signing[place].sealed, kept.signing[place].length)));
    (void) pthread_mutex_unlock(&kept.lock);
    return found;
}

void
mg_saml_signing_keep(uint64_t provider, struct mg_view sealed, uint64_t changes)
{
    const size_t place = provider % PLACES;
    (void) pthread_mutex_lock(&kept.lock);
    if (kept.changes == changes && sealed.length <= SEALED_MOST) {
        memcpy(kept.signing[place].sealed, sealed.bytes, sealed.length);
        kept.signing[place].length = sealed.length;
        kept.signing[place].provider = provider;
        kept.signing[place].loaded_ms = mg_monotonic_ms();
    }
    (void) pthread_mutex_unlock(&kept.lock);
}
