#include "base/secret.h"
#include "process/audit/audit.h"

#include <pthread.h>

/* Tenants active at a time, times the months in use; beyond it the one unused for longest goes. */
#define KEYS_MOST 1024
#define KEYS_TIMEOUT_MS 10000

struct month_key {
    uint64_t tenant, used;
    uint32_t month; /* 0: free */
    uint8_t key[32];
};

/* Locked in memory and left out of dumps: one secret holds the whole table. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mg_secret *storage;
static uint64_t uses;

static struct month_key *
table(void)
{
    if (storage == NULL) {
        if (!mg_ok(mg_secret_new(KEYS_MOST * sizeof(struct month_key), &storage)))
            return NULL;
        memset(mg_secret_bytes(storage), 0, KEYS_MOST * sizeof(struct month_key));
    }
    return (struct month_key *) (void *) mg_secret_bytes(storage);
}

static bool
find(uint64_t tenant, uint32_t month, uint8_t ret_key[32])
{
    bool found = false;
    (void) pthread_mutex_lock(&lock);
    struct month_key *keys = table();
    for (size_t i = 0; keys != NULL && i < KEYS_MOST && keys[i].month != 0 && !found; i++) {
        found = keys[i].tenant == tenant && keys[i].month == month;
        if (found) {
            keys[i].used = ++uses;
            memcpy(ret_key, keys[i].key, 32);
        }
    }
    (void) pthread_mutex_unlock(&lock);
    return found;
}

static void
keep(uint64_t tenant, uint32_t month, struct mg_view key)
{
    (void) pthread_mutex_lock(&lock);
    struct month_key *keys = table(), *place = keys;
    for (size_t i = 0; keys != NULL && i < KEYS_MOST; i++) {
        if (keys[i].month == 0) {
            place = &keys[i];
            break;
        }
        if (keys[i].used < place->used)
            place = &keys[i];
    }
    if (place != NULL) {
        *place = (struct month_key){.tenant = tenant, .month = month, .used = ++uses};
        memcpy(place->key, key.bytes, sizeof place->key);
    }
    (void) pthread_mutex_unlock(&lock);
}

struct mg_status
mg_month_key(uint64_t tenant, uint32_t month, uint8_t ret_key[32])
{
    if (find(tenant, month, ret_key))
        return OK;
    OWN_BUFFER(answer, MG_PACKET_MOST);
    struct mg_reply_audit_key reply;
    TRY(mg_call_audit_key(&(struct mg_request_audit_key){.tenant = tenant, .month = month}, &reply, &answer,
                          KEYS_TIMEOUT_MS));
    if (reply.key.length != 32)
        return fail_with(MALFORMED, "month key of %zu bytes", reply.key.length);
    keep(tenant, month, reply.key);
    memcpy(ret_key, reply.key.bytes, 32);
    return OK;
}

void
mg_month_key_forget(uint64_t tenant, uint32_t month)
{
    (void) pthread_mutex_lock(&lock);
    struct month_key *keys = table();
    size_t found = KEYS_MOST, last = 0;
    for (size_t i = 0; keys != NULL && i < KEYS_MOST && keys[i].month != 0; i++) {
        last = i;
        if (keys[i].tenant == tenant && keys[i].month == month)
            found = i;
    }
    if (found != KEYS_MOST) { /* the used ones stay together at the front */
        keys[found] = keys[last];
        mg_wipe(&keys[last], sizeof keys[last]);
    }
    (void) pthread_mutex_unlock(&lock);
}

uint32_t
mg_month_of(mg_instant instant)
{
    char text[MG_INSTANT_TEXT];
    mg_instant_text(instant, text);
    uint32_t number = 0;
    for (size_t i = 0; i < 7; i++)
        if (i != 4)
            number = number * 10 + (uint32_t) (text[i] - '0');
    return number;
}
