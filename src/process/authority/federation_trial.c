/* What administrators see of an identity provider: the rows idp_test and idp_attempts, and the records behind
 * them. */
#include "process/authority/federation.h"
#include "process/authority/rights.h"

#include "base/secret.h"

#include <inttypes.h>
#include <stdio.h>

enum { TRIAL_MS = 10 * 60 * 1000 };

/* ---- keeping ---- */

struct mg_status
mg_idp_attempt_keep(struct mg_database *database, const struct mg_idp_attempt *attempt, mg_instant now)
{
    return mg_query_often(database, NULL,
                          "SELECT set_config('synchronous_commit', 'off', true),"
                          " federation_attempt_keep($1, $2, $3, $4, $5, $6, $7, $8::int)",
                          MG_I64(attempt->idp->id), MG_INSTANT(now), MG_FLAG(attempt->trial),
                          MG_STRING(mg_federation_refusal_name(attempt->refusal)), MG_TEXT(attempt->detail),
                          MG_TEXT(attempt->login), MG_TEXT(attempt->arrived), MG_I64(MG_IDP_ATTEMPTS_KEPT));
}

static CHECKED struct mg_status
member_add(struct mg_buffer *json, const char *name, struct mg_view value)
{
    TRY(mg_buffer_format(json, "%s\"%s\":", json->length > 1 ? "," : "", name));
    return mg_buffer_add_json_string(json, value);
}

static CHECKED struct mg_status
seconds_add(struct mg_buffer *json, const char *name, int64_t seconds)
{
    return seconds < 0
               ? OK
               : mg_buffer_format(json, "%s\"%s\":%" PRId64, json->length > 1 ? "," : "", name, seconds);
}

struct mg_status
mg_idp_arrived(const struct mg_reply_oidc_finish *claims, struct mg_buffer *json)
{
    const struct {
        const char *name;
        struct mg_view value;
    } texts[] = {{"alg", claims->algorithm}, {"kid", claims->key},       {"iss", claims->issuer},
                 {"sub", claims->subject},   {"aud", claims->audiences}, {"azp", claims->authorized_party},
                 {"acr", claims->acr},       {"amr", claims->methods},   {"sid", claims->sid},
                 {"email", claims->email},   {"name", claims->name}};
    TRY(mg_buffer_add_text(json, "{"));
    for (size_t i = 0; i < MG_COUNT(texts); i++)
        if (texts[i].value.length != 0)
            TRY(member_add(json, texts[i].name, texts[i].value));
    if (claims->subject.length != 0) {
        TRY(seconds_add(json, "exp", claims->expires_s));
        TRY(seconds_add(json, "iat", claims->issued_s));
        TRY(seconds_add(json, "nbf", claims->not_before_s));
        TRY(seconds_add(json, "auth_time", claims->authenticated_s));
        TRY(mg_buffer_format(json, ",\"email_verified\":%s", claims->email_verified ? "true" : "false"));
    }
    if (claims->groups.length != 0)
        TRY(member_add(json, "groups", mg_view_start(claims->groups, 2048)));
    return mg_buffer_add_text(json, "}");
}

struct mg_status
mg_idp_record(enum mg_event event, const struct mg_idp *idp, const struct mg_core_actor *actor,
              enum mg_federation_refusal refusal, struct mg_view detail, struct mg_view address,
              uint64_t family)
{
    char session[24] = "";
    if (family != 0)
        (void) snprintf(session, sizeof session, "%016" PRIx64, family);
    const struct mg_core_detail details[] = {{"provider", mg_view_text(idp->name)},
                                             {"detail", mg_view_start(detail, 512)}};
    return mg_core_record(&(struct mg_core_record){
        .event = event,
        .tenant = idp->tenant,
        .actor = actor,
        .target = mg_view_text(idp->name),
        .reason = mg_view_text(refusal == MG_FEDERATION_NONE ? "" : mg_federation_refusal_name(refusal)),
        .address = mg_view_start(address, 64),
        .session = mg_view_text(session),
        .outcome = refusal == MG_FEDERATION_NONE ? MG_AUDIT_SUCCESS : MG_AUDIT_REFUSED,
        .details = details,
        .detail_count = detail.length != 0 ? 2 : 1,
    });
}

/* ---- idp_test ---- */

static CHECKED struct mg_status
found_write(const struct mg_reply_oidc_look *look, struct mg_buffer *text)
{
    const struct {
        const char *word;
        struct mg_view value;
    } rows[] = {{"authorization_endpoint", look->authorization_endpoint},
                {"token_endpoint", look->token_endpoint},
                {"jwks_uri", look->jwks_uri},
                {"userinfo_endpoint", look->userinfo_endpoint},
                {"end_session_endpoint", look->end_session_endpoint},
                {"algorithms", look->algorithms},
                {"client_authentication", look->authentications},
                {"keys", look->keys}};
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        if (rows[i].value.length == 0)
            continue;
        TRY(mg_buffer_format(text, "%s: ", rows[i].word));
        for (size_t at = 0; at < rows[i].value.length; at++) {
            const uint8_t c = rows[i].value.bytes[at];
            TRY(c == '\n' ? mg_buffer_add_text(text, ", ") : mg_buffer_add_byte(text, c));
        }
        TRY(mg_buffer_add_text(text, "\n"));
    }
    return mg_buffer_format(text, "response_issuer: %s\nback_channel_logout: %s\nfront_channel_logout: %s",
                            look->response_issuer ? "yes" : "no", look->back_channel ? "yes" : "no",
                            look->front_channel ? "yes" : "no");
}

/* What the provider says of itself now. The texts go into `found` and `detail`. */
static CHECKED struct mg_status
provider_look(const struct mg_idp *idp, uint64_t *ret_refusal, char detail[512], struct mg_buffer *found)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_oidc_look look;
    if (mg_idp_is_saml(idp->settings))
        return mg_saml_look(idp, ret_refusal, detail, found);
    const struct mg_request_oidc_look ask = {.issuer = mg_view_text(idp->settings->issuer), .fresh = true};
    TRY(mg_call_oidc_look(&ask, &look, &storage, MG_FEDERATION_CALL_MS));
    *ret_refusal = look.refusal;
    TRY(mg_view_copy(look.detail, detail, 512));
    return look.refusal == MG_FEDERATION_NONE ? found_write(&look, found) : OK;
}

/* One ticket at a time; only its hash is stored. */
static CHECKED struct mg_status
ticket_make(struct mg_database *database, const struct mg_idp *idp, const struct mg_core_tenant *tenant,
            mg_instant ends_at, struct mg_buffer *link)
{
    OWN_KEY(ticket, MG_TOKEN_BYTES);
    uint8_t hash[32];
    mg_random(ticket, MG_TOKEN_BYTES);
    TRY(mg_secret_hash(mg_view_of(ticket, MG_TOKEN_BYTES), hash));
    TRY(mg_query(database, NULL,
                 "UPDATE identity_provider SET trial_hash = $2, trial_until = $3 WHERE id = $1",
                 MG_I64(idp->id), MG_BYTES(mg_view_of(hash, sizeof hash)), MG_INSTANT(ends_at)));
    TRY(mg_idp_address(idp, tenant, "start", link));
    TRY(mg_buffer_add_text(link, "?trial="));
    return mg_base64url(mg_view_of(ticket, MG_TOKEN_BYTES), link);
}

/* The provider, for whoever holds `permission`; NOT_KNOWN if there is none of this name. */
static CHECKED struct mg_status
provider_find(const struct mg_call *call, enum mg_needs permission, struct mg_view session,
              struct mg_view tenant_name, struct mg_view name, struct mg_right *right,
              struct mg_database **ret_database, struct mg_idp **ret_idp, enum mg_outcome *ret_outcome)
{
    TRY(mg_right_ask(call, (enum mg_permission) permission, session, tenant_name, right, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(mg_core_database(ret_database));
    const struct mg_status loaded = mg_idp_load(*ret_database, right->tenant.number, name, ret_idp);
    if (loaded.code == MG_NOT_FOUND)
        *ret_outcome = MG_NOT_KNOWN;
    return loaded.code == MG_NOT_FOUND ? OK : loaded;
}

static struct mg_status
test_task(const void *copy, struct mg_call *call, bool *ret_answered)
{
    const struct mg_request_idp_test *request = copy;
    OWN(database) database = NULL;
    OWN(idp) idp = NULL;
    OWN_BUFFER(found, 16384);
    OWN_BUFFER(link, 511);
    struct mg_right right;
    struct mg_reply_idp_test reply = {.outcome = MG_NOT_ALLOWED};
    char detail[512] = "";
    enum mg_outcome outcome;
    TRY(provider_find(call, MG_NEEDS_idp_test, request->session, request->tenant, request->name, &right,
                      &database, &idp, &outcome));
    reply.outcome = outcome;
    if (outcome == MG_GRANTED) {
        mg_database_drop(&database); /* others may use it while the provider is asked */
        TRY(provider_look(idp, &reply.refusal, detail, &found));
        reply.detail = mg_view_text(detail);
        reply.link_ends_at = mg_now() + TRIAL_MS;
        TRY(mg_core_database(&database));
        TRY(mg_idp_record(MG_EVENT_idp_test, idp, &right.actor, (enum mg_federation_refusal) reply.refusal,
                          reply.detail, MG_VIEW_EMPTY, 0));
        TRY(ticket_make(database, idp, &right.tenant, reply.link_ends_at, &link));
        reply.link = mg_buffer_view(&link);
        reply.found = mg_buffer_view(&found);
    }
    TRY(mg_answer_idp_test(call, &reply));
    *ret_answered = true;
    return OK;
}

MG_HANDLER_PUBLIC(idp_test)
{
    uint64_t tenant = 0; /* whose threads it counts against */
    TRY(mg_right_tenant(call, request->session, request->tenant, &tenant));
    return mg_federation_work(tenant, test_task, request, sizeof *request, call);
}

MG_HANDLER_PUBLIC(idp_attempts)
{
    OWN(database) database = NULL;
    OWN(idp) idp = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, 122880);
    struct mg_right right;
    enum mg_outcome outcome;
    TRY(provider_find(call, MG_NEEDS_idp_attempts, request->session, request->tenant, request->name, &right,
                      &database, &idp, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_idp_attempts(call, &(struct mg_reply_idp_attempts){.outcome = outcome});
    TRY(mg_query(
        database, &rows,
        "SELECT at, trial, refusal, detail, login, arrived FROM federation_attempt WHERE provider = $1"
        " ORDER BY id DESC LIMIT $2",
        MG_I64(idp->id), MG_I64(MG_IDP_ATTEMPTS_KEPT)));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        const struct mg_record_idp_attempt row = {.at = mg_rows_instant(rows, i, 0),
                                                  .trial = mg_rows_flag(rows, i, 1),
                                                  .refusal = mg_rows_text(rows, i, 2),
                                                  .detail = mg_rows_text(rows, i, 3),
                                                  .login = mg_rows_text(rows, i, 4),
                                                  .arrived = mg_rows_text(rows, i, 5)};
        if (list.length + MG_IDP_ARRIVED_MOST + 2048 > list.maximum)
            break; /* the oldest are left out */
        TRY(mg_list_add_idp_attempt(&list, &row));
    }
    return mg_answer_idp_attempts(
        call,
        &(struct mg_reply_idp_attempts){.outcome = MG_GRANTED, .attempts = {.bytes = mg_buffer_view(&list)}});
}
