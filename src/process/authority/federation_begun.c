/* What a sign-in through a provider must know where it ends, while nobody here keeps it: the browser does, in
 * a cookie. A keyed hash of the tenant's own key binds it to that browser's secret and to the state that went
 * to the provider, so that it is of use in no other browser, for no other sign-in and in no other tenant, and
 * none of it can be made up.
 *
 * So anybody may begin as often as they like and fill nothing with it, and every node knows what any of them
 * began. What has ended once is known by its state, in federation_replay. */
#include "process/authority/federation.h"

#include "base/secret.h"
#include "ports/crypto.h"

#include <pthread.h>

enum { MAC_BYTES = 32 };

/* ---- the tenant's key for it: made by keys for this purpose alone, from a key that it gives to nobody ----
 */

enum { PLACES = 64 };
static struct {
    pthread_mutex_t lock;
    struct {
        uint64_t tenant;
        bool known;
        uint8_t key[MAC_BYTES];
    } places[PLACES];
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static CHECKED struct mg_status
key_get(uint64_t tenant, uint8_t key[MAC_BYTES])
{
    OWN_BUFFER(storage, 512);
    struct mg_reply_keyed_hash reply;
    const size_t place = tenant % PLACES;
    (void) pthread_mutex_lock(&kept.lock);
    const bool known = kept.places[place].known && kept.places[place].tenant == tenant;
    if (known)
        memcpy(key, kept.places[place].key, MAC_BYTES);
    (void) pthread_mutex_unlock(&kept.lock);
    if (known)
        return OK;
    const struct mg_request_keyed_hash request = {
        .tenant = tenant, .purpose = mg_view_text("federation begun"), .bytes = mg_view_text("key")};
    TRY(mg_call_keyed_hash(&request, &reply, &storage, MG_IDENTITY_CALL_MS));
    if (reply.hash.length != MAC_BYTES)
        return fail_with(MALFORMED, "a keyed hash of %zu bytes", reply.hash.length);
    memcpy(key, reply.hash.bytes, MAC_BYTES);
    (void) pthread_mutex_lock(&kept.lock);
    kept.places[place].tenant = tenant;
    kept.places[place].known = true;
    memcpy(kept.places[place].key, key, MAC_BYTES);
    (void) pthread_mutex_unlock(&kept.lock);
    return OK;
}

static CHECKED struct mg_status
mac_make(const struct mg_begun_bond *bond, struct mg_view plain, uint8_t mac[MAC_BYTES])
{
    OWN_BUFFER(bound, (size_t) 2 * MG_TOKEN_BYTES + MG_BEGUN_MOST);
    OWN_KEY(key, MAC_BYTES);
    mg_must(bond->browser.length == MG_TOKEN_BYTES && bond->state.length == MG_TOKEN_BYTES);
    TRY(mg_buffer_add(&bound, bond->browser));
    TRY(mg_buffer_add(&bound, bond->state));
    TRY(mg_buffer_add(&bound, plain));
    TRY(key_get(bond->tenant, key));
    return mg_hmac_sha256(mg_view_of(key, MAC_BYTES), mg_buffer_view(&bound), mac);
}

struct mg_status
mg_begun_seal(const struct mg_begun_bond *bond, const struct mg_record_federation_begun *begun,
              struct mg_buffer *sealed)
{
    OWN_BUFFER(plain, MG_BEGUN_MOST - MAC_BYTES);
    uint8_t mac[MAC_BYTES];
    TRY(mg_list_add_federation_begun(&plain, begun));
    TRY(mac_make(bond, mg_buffer_view(&plain), mac));
    TRY(mg_buffer_add(sealed, mg_view_of(mac, sizeof mac)));
    return mg_buffer_add(sealed, mg_buffer_view(&plain));
}

struct mg_status
mg_begun_open(const struct mg_begun_bond *bond, struct mg_view sealed, mg_instant now,
              struct mg_record_federation_begun *ret_begun, bool *ret_found)
{
    uint8_t mac[MAC_BYTES];
    bool more = false;
    *ret_found = false;
    if (bond->browser.length != MG_TOKEN_BYTES || bond->state.length != MG_TOKEN_BYTES ||
        sealed.length <= MAC_BYTES || sealed.length > MG_BEGUN_MOST)
        return OK;
    const struct mg_view plain = mg_view_of(sealed.bytes + MAC_BYTES, sealed.length - MAC_BYTES);
    TRY(mac_make(bond, plain, mac));
    if (!mg_view_equal_constant_time(mg_view_of(mac, sizeof mac), mg_view_of(sealed.bytes, MAC_BYTES)))
        return OK;
    struct mg_list list = {.bytes = plain};
    TRY(mg_list_next_federation_begun(&list, ret_begun, &more));
    *ret_found = more && ret_begun->expires_at > now;
    return OK;
}

/* ---- once ---- */

struct mg_status
mg_federation_once_add(struct mg_federation_once *once, const char *kind, struct mg_view identifier)
{
    OWN_BUFFER(text, 512);
    mg_must(once->count < MG_COUNT(once->keys));
    TRY(mg_buffer_format(&text, "%s ", kind));
    TRY(mg_buffer_add(&text, identifier));
    TRY(mg_secret_hash(mg_buffer_view(&text), once->keys[once->count]));
    once->count++;
    return OK;
}

struct mg_status
mg_federation_spend(struct mg_database *database, const struct mg_idp *idp, struct mg_federation_once *once,
                    mg_instant now, bool *ret_first)
{
    OWN(rows) rows = NULL;
    *ret_first = true;
    if (once->spent || once->count == 0)
        return OK;
    TRY(mg_query_often(database, &rows, "SELECT federation_spend($1, $2, $3, $4)", MG_I64(idp->id),
                       MG_BYTES(mg_federation_once_key(once, 0)), MG_BYTES(mg_federation_once_key(once, 1)),
                       MG_INSTANT(now + MG_IDP_REPLAY_MS)));
    *ret_first = mg_rows_flag(rows, 0, 0);
    once->spent = *ret_first;
    return OK;
}
