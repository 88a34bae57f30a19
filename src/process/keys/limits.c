/* How often each request is served: enough for the busiest honest day, and a bound for a taken-over
 * sender. One bucket for each sender and kind. */
#include "domain/bucket.h"
#include "process/keys/keys.h"

#include <pthread.h>

static const struct {
    enum mg_kind kind;
    int64_t per_second, burst;
} limits[] = {
    {MG_REQUEST_seal, 1000, 5000},
    {MG_REQUEST_unseal, 1000, 5000},
    {MG_REQUEST_reseal, 1000, 5000},
    {MG_REQUEST_keyed_hash, 2000, 10000},
    /* A million sessions, each renewed every 15 minutes. */
    {MG_REQUEST_sign_assertion, 2000, 10000},
    {MG_REQUEST_jwks, 20, 100},
    /* One a sign-in through a provider. */
    {MG_REQUEST_sign_client_assertion, 200, 1000},
    {MG_REQUEST_client_key, 50, 200},
    {MG_REQUEST_saml_key, 2, 20},
    {MG_REQUEST_saml_sign, 200, 1000},
    {MG_REQUEST_saml_unwrap, 200, 1000},
    {MG_REQUEST_tenant_key_create, 10, 200},
    {MG_REQUEST_tenant_key_destroy, 1, 50},
    {MG_REQUEST_key_rotate, 1, 50},
    {MG_REQUEST_key_retire, 1, 50},
    {MG_REQUEST_keys_list, 20, 1000},
    /* audit asks once a tenant and month, and signs once a group. */
    {MG_REQUEST_audit_key, 1000, 20000},
    {MG_REQUEST_audit_key_destroy, 10, 1000},
    {MG_REQUEST_backup_key, 100, 5000},
    {MG_REQUEST_vault_key, 100, 5000},
    {MG_REQUEST_log_key, 10, 100},
    {MG_REQUEST_sign_checkpoint, 2000, 10000},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mg_bucket buckets[MG_PROCESS_COUNT][MG_COUNT(limits)];

struct mg_status
mg_keys_limit(const struct mg_call *call, enum mg_kind kind)
{
    const enum mg_process sender = mg_call_sender(call);
    mg_must(sender < MG_PROCESS_COUNT);
    for (size_t i = 0; i < MG_COUNT(limits); i++) {
        if (limits[i].kind != kind)
            continue;
        (void) pthread_mutex_lock(&lock);
        const bool taken =
            mg_bucket_take(&buckets[sender][i], limits[i].per_second, limits[i].burst, mg_monotonic_ms());
        (void) pthread_mutex_unlock(&lock);
        if (!taken)
            return fail_with(BUSY, "%s asks for %s too often", mg_process_name(sender),
                             mg_message_row(kind)->name);
        return OK;
    }
    return fail_with(REFUSED, "a request without a limit is not served");
}
