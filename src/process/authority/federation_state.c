/* What the prober asks about identity providers: whether people can come through them. And the one that it is
 * itself, in the drill's tenant and nowhere else. */
#include "process/authority/federation.h"

#include "domain/drill.h"

#include <pthread.h>

enum { DRILL_MS = 3 * 60 * 1000, CERTIFICATE_MOST = 2048 };

/* ---- the drill's own provider ---- */

static struct {
    pthread_mutex_t lock;
    uint8_t certificate[CERTIFICATE_MOST];
    size_t length;
    int64_t until_ms; /* monotonic */
} drill = {.lock = PTHREAD_MUTEX_INITIALIZER};

MG_HANDLER_PUBLIC(drill_provider)
{
    const struct mg_view certificate = request->certificate;
    if (certificate.length == 0 || certificate.length > sizeof drill.certificate)
        return fail_with(INVALID, "a certificate of %zu bytes", certificate.length);
    (void) pthread_mutex_lock(&drill.lock);
    memcpy(drill.certificate, certificate.bytes, certificate.length);
    drill.length = certificate.length;
    drill.until_ms = mg_monotonic_ms() + DRILL_MS;
    (void) pthread_mutex_unlock(&drill.lock);
    return mg_answer_drill_provider(call, &(struct mg_reply_drill_provider){0});
}

struct mg_status
mg_drill_certificate(const struct mg_idp *idp, struct mg_buffer *certificate)
{
    static const char place[] = "https://" MG_DRILL_PROVIDER_HOST ":";
    struct mg_status status = OK;
    if (idp->tenant != MG_DRILL_NUMBER || strncmp(idp->settings->issuer, place, sizeof place - 1) != 0)
        return OK;
    (void) pthread_mutex_lock(&drill.lock);
    if (mg_monotonic_ms() < drill.until_ms)
        status = mg_buffer_add(certificate, mg_view_of(drill.certificate, drill.length));
    (void) pthread_mutex_unlock(&drill.lock);
    return status;
}

/* ---- the customers' ---- */

enum { LOOKED_MOST = 1024 };

static struct {
    pthread_mutex_t lock;
    struct {
        uint64_t provider; /* 0: free */
        struct mg_idp_looked looked;
    } list[LOOKED_MOST];
} looks = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Its place, else a free one, else the oldest. */
static size_t
look_place(uint64_t provider)
{
    size_t place = 0;
    for (size_t i = 0; i < LOOKED_MOST; i++) {
        if (looks.list[i].provider == provider)
            return i;
        if (looks.list[i].looked.at < looks.list[place].looked.at)
            place = i;
    }
    return place;
}

void
mg_idp_looked_note(uint64_t provider, uint64_t refusal, struct mg_view detail)
{
    struct mg_idp_looked looked = {.at = mg_now(), .refusal = refusal};
    if (!mg_ok(mg_view_copy(mg_view_start(detail, sizeof looked.detail - 1), looked.detail,
                            sizeof looked.detail)))
        looked.detail[0] = '\0';
    (void) pthread_mutex_lock(&looks.lock);
    const size_t place = look_place(provider);
    const bool known = looks.list[place].provider == provider;
    if (refusal != MG_FEDERATION_NONE) {
        looks.list[place].provider = provider;
        looks.list[place].looked = looked;
    } else if (known) {
        looks.list[place].provider = 0;
        looks.list[place].looked = (struct mg_idp_looked){.at = 0};
    }
    (void) pthread_mutex_unlock(&looks.lock);
}

void
mg_idp_looked_get(uint64_t provider, struct mg_idp_looked *ret_looked)
{
    *ret_looked = (struct mg_idp_looked){.at = 0};
    (void) pthread_mutex_lock(&looks.lock);
    const size_t place = look_place(provider);
    if (looks.list[place].provider == provider)
        *ret_looked = looks.list[place].looked;
    (void) pthread_mutex_unlock(&looks.lock);
}

/* Certificates that have not ended; a discovery document that can be had (or was, within the hour). */
static CHECKED struct mg_status
provider_look(const struct mg_idp *idp, struct mg_buffer *storage, struct mg_reply_provider_state *reply)
{
    if (mg_idp_is_saml(idp->settings)) {
        struct mg_reply_saml_certificates found;
        TRY(mg_saml_certificates_ask(idp->settings, storage, &found));
        reply->refusal = found.refusal;
        reply->detail = found.detail;
        return OK;
    }
    struct mg_reply_oidc_look found;
    const struct mg_request_oidc_look ask = {.issuer = mg_view_text(idp->settings->issuer)};
    TRY(mg_call_oidc_look(&ask, &found, storage, MG_FEDERATION_CALL_MS));
    reply->refusal = found.refusal;
    reply->detail = found.detail;
    return OK;
}

/* One whose end its administrators set has ended as they wished, and one of a tenant that lets nobody in by
 * providers is not offered: like those that are switched off. */
static bool
is_meant_to_work(enum mg_federation_refusal refusal)
{
    return refusal != MG_FEDERATION_PROVIDER_EXPIRED && refusal != MG_FEDERATION_METHOD &&
           refusal != MG_FEDERATION_TENANT_IS_CLOSED;
}

static CHECKED struct mg_status
next_find(const struct mg_request_provider_state *request, const struct mg_core_tenant *tenant,
          struct mg_idp **ret_idp, enum mg_federation_refusal *ret_refusal)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    TRY(mg_core_database(&database));
    TRY(mg_query_often(database, &rows,
                       "SELECT name FROM identity_provider WHERE tenant = $1 AND enabled AND name > $2"
                       " ORDER BY name LIMIT $3",
                       MG_I64(tenant->number), MG_TEXT(request->after), MG_I64(MG_IDPS_MOST)));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        OWN(idp) idp = NULL;
        const struct mg_status found = mg_idp_load(database, tenant->number, mg_rows_text(rows, i, 0), &idp);
        if (found.code == MG_NOT_FOUND) /* removed meanwhile */
            continue;
        TRY(found);
        *ret_refusal = mg_idp_judge_now(idp, tenant, mg_now());
        if (!is_meant_to_work(*ret_refusal))
            continue;
        *ret_idp = TAKE(idp);
        return OK;
    }
    return OK;
}

static struct mg_status
state_task(const void *copy, struct mg_call *call, bool *ret_answered)
{
    const struct mg_request_provider_state *request = copy;
    OWN(idp) idp = NULL;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_core_tenant tenant;
    struct mg_reply_provider_state reply = {.refusal = MG_FEDERATION_NONE};
    enum mg_federation_refusal refusal = MG_FEDERATION_NONE;
    TRY(mg_core_tenant(request->tenant, &tenant));
    TRY(next_find(request, &tenant, &idp, &refusal));
    if (idp != NULL) {
        reply.name = mg_view_text(idp->name);
        reply.saml = mg_idp_is_saml(idp->settings);
        reply.refusal = refusal; /* switched on, and yet disabled: its settings are not valid any more */
        if (refusal == MG_FEDERATION_NONE)
            TRY(provider_look(idp, &storage, &reply));
        mg_idp_looked_note(idp->id, reply.refusal, reply.detail);
    }
    TRY(mg_answer_provider_state(call, &reply));
    *ret_answered = true;
    return OK;
}

MG_HANDLER_PUBLIC(provider_state)
{
    return mg_federation_work(request->tenant, state_task, request, sizeof *request, call);
}
