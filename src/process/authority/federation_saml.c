/* SAML 2.0: sending people to a provider, and what comes back before a browser's cookies are seen: the row
 * saml_arrive, and saml_describe.
 *
 * A response comes in a form from the provider's own site, and a browser shows cookies to such a request only
 * if they may go anywhere. Those of a sign-in that this browser began may, and it ends at once
 * (federation_sign_in.c); the session's may not. So a response that nobody here asked for, or whose cookies
 * are not seen, is read and judged, used up for all nodes, and kept for a minute under a ticket; the page
 * that the browser is then sent to sees the cookies and finishes: whether somebody is signed in in it is
 * known only there. */
#include "process/authority/federation_key.h"

#include "base/log.h"
#include "base/secret.h"
#include "domain/oidc.h"
#include "domain/saml.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    ARRIVAL_MS = 60 * 1000,
    CONFIRM_MS = 5 * 60 * 1000,
    CLAIMS_MOST = 24576,
    WARN_DAYS = 30,
    REMIND_DAYS = 7
};

/* ---- names of ours ---- */

static CHECKED struct mg_status
name_make(const struct mg_idp *idp, const struct mg_core_tenant *tenant, const char *what, char text[512])
{
    OWN_BUFFER(url, 511);
    TRY(mg_idp_address(idp, tenant, what, &url));
    return mg_view_copy(mg_buffer_view(&url), text, 512);
}

/* The entity id is the address of our metadata (Metadata section 4.1). */
struct mg_status
mg_saml_names(const struct mg_idp *idp, const struct mg_core_tenant *tenant, struct mg_saml_names *ret_names)
{
    struct mg_saml_names names;
    TRY(name_make(idp, tenant, "metadata", names.entity));
    TRY(name_make(idp, tenant, "saml", names.consumer));
    TRY(name_make(idp, tenant, "sign-out", names.logout));
    *ret_names = names;
    return OK;
}

struct mg_status
mg_saml_identifier(struct mg_buffer *text)
{
    uint8_t random[16];
    char digits[33];
    mg_random(random, sizeof random);
    mg_hex(mg_view_of(random, sizeof random), digits);
    return mg_buffer_format(text, "_%s", digits);
}

/* ---- to the provider ---- */

struct mg_status
mg_saml_query_add(const char *place, struct mg_view query, struct mg_buffer *url)
{
    TRY(mg_buffer_format(url, "%s%s", place, strchr(place, '?') == NULL ? "?" : "&"));
    return mg_buffer_add(url, query);
}

/* Words as lines. */
static CHECKED struct mg_status
lines_make(const char *list, struct mg_buffer *lines)
{
    struct mg_view word;
    while (mg_option_word(&list, &word)) {
        TRY(mg_buffer_add_text(lines, lines->length == 0 ? "" : "\n"));
        TRY(mg_buffer_add(lines, word));
    }
    return OK;
}

static const char *
asked_format(const struct mg_idp_settings *settings)
{
    return strcmp(settings->saml_name_id, "persistent") == 0
               ? "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
           : strcmp(settings->saml_name_id, "email") == 0
               ? "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
               : "";
}

/* For a provider that does not look at signatures of requests: what it answers to goes to the address it was
 * told beforehand, whoever asked, and only the browser that asked can use it here. */
static CHECKED struct mg_status
unsigned_make(const struct mg_idp_settings *settings, const struct mg_request_saml_sign *fields,
              struct mg_buffer *url, struct mg_buffer *message)
{
    OWN_BUFFER(xml, MG_SAML_XML_MOST);
    OWN_BUFFER(query, 32768);
    TRY(mg_saml_fields_check(fields));
    TRY(mg_saml_message(fields, mg_now(), MG_VIEW_EMPTY, &xml));
    if (!fields->post) {
        TRY(mg_saml_redirect_query(fields, mg_buffer_view(&xml), &query));
        return mg_saml_query_add(settings->saml_sign_in, mg_buffer_view(&query), url);
    }
    TRY(mg_buffer_add_text(url, settings->saml_sign_in));
    return mg_base64(mg_buffer_view(&xml), message);
}

struct mg_status
mg_saml_begin(const struct mg_idp *idp, const struct mg_core_tenant *tenant, const struct mg_saml_ask *ask,
              struct mg_buffer *url, struct mg_buffer *message)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(classes, 1023);
    struct mg_saml_names names;
    struct mg_reply_saml_sign reply;
    const struct mg_idp_settings *settings = idp->settings;
    const bool post = strcmp(settings->saml_binding, "post") == 0;
    TRY(mg_saml_names(idp, tenant, &names));
    TRY(lines_make(settings->acr, &classes));
    struct mg_request_saml_sign fields = {.kind = MG_SAML_AUTHN_REQUEST,
                                          .post = post,
                                          .identifier = ask->identifier,
                                          .destination = mg_view_text(settings->saml_sign_in),
                                          .issuer = mg_view_text(names.entity),
                                          .consumer = mg_view_text(names.consumer),
                                          .asked_format = mg_view_text(asked_format(settings)),
                                          .force = ask->fresh,
                                          .classes = mg_buffer_view(&classes),
                                          .relay_state = ask->relay_state};
    if (!settings->saml_sign_requests)
        return unsigned_make(settings, &fields, url, message);
    TRY(mg_saml_sign_ask(idp, &fields, &storage, &reply));
    if (!post)
        return mg_saml_query_add(settings->saml_sign_in, reply.query, url);
    TRY(mg_buffer_add_text(url, settings->saml_sign_in));
    return mg_buffer_add(message, reply.message);
}

/* ---- judging ---- */

struct mg_status
mg_saml_claims_judge(const struct mg_idp *idp, const struct mg_core_tenant *tenant,
                     const struct mg_record_saml_claims *claims, int64_t maximum_age_s, mg_instant now,
                     enum mg_federation_refusal *ret_refusal)
{
    struct mg_saml_names names;
    struct mg_view word;
    const char *classes = idp->settings->acr;
    TRY(mg_saml_names(idp, tenant, &names));
    struct mg_saml_expected expected = {.issuer = mg_view_text(idp->settings->issuer),
                                        .entity = mg_view_text(names.entity),
                                        .consumer = mg_view_text(names.consumer),
                                        .skew_s = idp->settings->skew / 1000,
                                        .maximum_age_s = maximum_age_s};
    while (mg_option_word(&classes, &word)) {
        if (expected.class_count == MG_SAML_CLASSES_MOST) {
            *ret_refusal = MG_FEDERATION_WRONG_CLASS;
            return OK;
        }
        expected.classes[expected.class_count++] = word;
    }
    *ret_refusal = mg_saml_judge(claims, &expected, now);
    return OK;
}

/* Classes that are known to mean more than one factor (REFEDS MFA profile; Microsoft's). */
static const char *
methods_of(struct mg_view acr)
{
    static const char *const several[] = {"https://refeds.org/profile/mfa",
                                          "http://schemas.microsoft.com/claims/multipleauthn"};
    for (size_t i = 0; i < MG_COUNT(several); i++)
        if (mg_view_is(acr, several[i]))
            return "mfa";
    return "";
}

struct mg_reply_oidc_finish
mg_saml_claims_map(const struct mg_record_saml_claims *claims)
{
    return (struct mg_reply_oidc_finish){.refusal = MG_FEDERATION_NONE,
                                         .issuer = claims->issuer,
                                         .subject = claims->subject,
                                         .audiences = claims->audiences,
                                         .expires_s = claims->confirmation_expires_s,
                                         .issued_s = claims->issued_s,
                                         .not_before_s = claims->not_before_s,
                                         .authenticated_s = claims->authenticated_s,
                                         .acr = claims->acr,
                                         .methods = mg_view_text(methods_of(claims->acr)),
                                         .sid = claims->session_index,
                                         .email = claims->email,
                                         .name = claims->name,
                                         .groups = claims->groups,
                                         .algorithm = claims->algorithm,
                                         .key = claims->key};
}

static CHECKED struct mg_status
member_add(struct mg_buffer *json, const char *name, struct mg_view value)
{
    if (value.length == 0)
        return OK;
    TRY(mg_buffer_format(json, "%s\"%s\":", json->length > 1 ? "," : "", name));
    return mg_buffer_add_json_string(json, value);
}

struct mg_status
mg_saml_arrived(const struct mg_record_saml_claims *claims, struct mg_buffer *json)
{
    const struct {
        const char *name;
        struct mg_view value;
    } texts[] = {{"signature", claims->algorithm},
                 {"certificate", claims->key},
                 {"Issuer", claims->issuer},
                 {"NameID", claims->name_id},
                 {"NameIDFormat", claims->name_format},
                 {"subject", claims->subject},
                 {"Audience", claims->audiences},
                 {"Recipient", claims->recipient},
                 {"Destination", claims->destination},
                 {"InResponseTo", claims->in_response_to},
                 {"SessionIndex", claims->session_index},
                 {"AuthnContextClassRef", claims->acr},
                 {"email", claims->email},
                 {"name", claims->name},
                 {"groups", mg_view_start(claims->groups, 2048)}};
    const struct {
        const char *name;
        int64_t at_s;
    } times[] = {{"IssueInstant", claims->issued_s},
                 {"NotBefore", claims->not_before_s},
                 {"NotOnOrAfter", claims->confirmation_expires_s},
                 {"AuthnInstant", claims->authenticated_s}};
    TRY(mg_buffer_add_text(json, "{"));
    for (size_t i = 0; i < MG_COUNT(texts); i++)
        TRY(member_add(json, texts[i].name, texts[i].value));
    for (size_t i = 0; i < MG_COUNT(times); i++)
        if (times[i].at_s >= 0)
            TRY(mg_buffer_format(json, "%s\"%s\":%" PRId64, json->length > 1 ? "," : "", times[i].name,
                                 times[i].at_s));
    return mg_buffer_format(json, "%s\"encrypted\":%s,\"response_signed\":%s}", json->length > 1 ? "," : "",
                            claims->encrypted ? "true" : "false", claims->response_signed ? "true" : "false");
}

/* ---- reading ---- */

static CHECKED struct mg_status
read_ask(const struct mg_idp *idp, struct mg_view response, bool all_groups, struct mg_view content_key,
         struct mg_buffer *storage, struct mg_reply_saml_read *ret_reply)
{
    OWN_BUFFER(certificates, 8191);
    const struct mg_idp_settings *settings = idp->settings;
    TRY(mg_option_words(settings->saml_certificates, &certificates));
    const struct mg_request_saml_read ask = {
        .response = response,
        .certificates = mg_buffer_view(&certificates),
        .content_key = content_key,
        .subject_attribute = mg_view_text(settings->saml_subject),
        .email_attribute = mg_view_text(settings->saml_email),
        .name_attribute = mg_view_text(settings->saml_name),
        /* Groups are asked for when they decide something, or when somebody wants to see them. */
        .groups_attribute = settings->groups_roles[0] != '\0' || all_groups
                                ? mg_view_text(settings->groups_claim)
                                : MG_VIEW_EMPTY,
    };
    return mg_call_saml_read(&ask, ret_reply, storage, MG_FEDERATION_CALL_MS);
}

/* Encrypted: keys opens the content key, and the federation process, which sees that one key and never ours,
 * reads again. A key that cannot be opened is tried as a random one would be: the refusal is the same as for
 * contents that were changed. */
struct mg_status
mg_saml_response_read(const struct mg_idp *idp, struct mg_view response, bool all_groups,
                      struct mg_buffer *storage, struct mg_reply_saml_read *ret_reply,
                      struct mg_record_saml_claims *ret_claims)
{
    OWN_BUFFER(key_storage, MG_PACKET_MOST);
    struct mg_reply_saml_unwrap key;
    OWN_KEY(nothing, 16);
    bool more = false;
    TRY(read_ask(idp, response, all_groups, MG_VIEW_EMPTY, storage, ret_reply));
    if (ret_reply->refusal == MG_FEDERATION_NONE && ret_reply->encrypted) {
        OWN(database) database = NULL;
        TRY(mg_core_database(&database));
        TRY(mg_saml_unwrap_ask(database, idp, ret_reply->wrapped_key, ret_reply->oaep, &key_storage, &key));
        mg_random(nothing, sizeof nothing);
        TRY(read_ask(idp, response, all_groups,
                     key.key.length != 0 ? key.key : mg_view_of(nothing, sizeof nothing), storage,
                     ret_reply));
        if (ret_reply->refusal == MG_FEDERATION_NONE && ret_reply->encrypted)
            ret_reply->refusal = MG_FEDERATION_ENCRYPTION;
    }
    if (ret_reply->refusal != MG_FEDERATION_NONE)
        return OK;
    TRY(mg_list_next_saml_claims(&ret_reply->claims, ret_claims, &more));
    return more ? OK : fail_with(MALFORMED, "no claims");
}

/* ---- arriving ---- */

struct arriving {
    const struct mg_request_saml_arrive *request;
    struct mg_call *call;
    mg_instant now;
    struct mg_core_tenant tenant;
    struct mg_idp *idp;
    struct mg_buffer storage; /* of the claims */
    struct mg_reply_saml_read reply;
    struct mg_record_saml_claims claims;
};

static void
arriving_drop(struct arriving *it)
{
    mg_idp_drop(&it->idp);
    mg_buffer_drop(&it->storage);
}

static CHECKED struct mg_status
answer_arrive(const struct arriving *it, enum mg_outcome outcome, struct mg_view ticket, bool *ret_answered)
{
    TRY(mg_answer_saml_arrive(it->call,
                              &(struct mg_reply_saml_arrive){.outcome = outcome, .ticket = ticket}));
    *ret_answered = true;
    return OK;
}

/* The administrator learns why, the visitor that it did not work. What bears the provider's signature is
 * worth a record of its own; what anybody could send is counted together. */
static CHECKED struct mg_status
refuse_arrive(struct arriving *it, struct mg_database *database, enum mg_federation_refusal refusal,
              struct mg_view detail, bool *ret_answered)
{
    OWN_BUFFER(arrived, MG_IDP_ARRIVED_MOST);
    const bool is_signed = it->claims.identifier.length != 0;
    if (!is_signed || !mg_ok(mg_saml_arrived(&it->claims, &arrived))) {
        mg_buffer_clear(&arrived);
        TRY(mg_buffer_add_text(&arrived, "{}"));
    }
    if (is_signed) {
        const struct mg_core_actor actor =
            mg_actor_unknown(it->claims.email.length != 0 ? it->claims.email : it->claims.subject);
        TRY(mg_idp_record(MG_EVENT_sign_in, it->idp, &actor, refusal, detail, it->request->address, 0));
    } else
        mg_sign_in_refusal_count(it->tenant.number, MG_FEDERATION_REFUSED, it->request->address);
    const struct mg_idp_attempt attempt = {
        .idp = it->idp, .refusal = refusal, .detail = detail, .arrived = mg_buffer_view(&arrived)};
    TRY(mg_idp_attempt_keep(database, &attempt, it->now));
    return answer_arrive(it, MG_FEDERATION_REFUSED, MG_VIEW_EMPTY, ret_answered);
}

/* Used up for all nodes, and kept under a ticket. */
static CHECKED struct mg_status
arrival_keep(struct arriving *it, struct mg_database *database, struct mg_view ticket,
             enum mg_federation_refusal *ret_refusal)
{
    OWN_BUFFER(claims, CLAIMS_MOST);
    OWN(rows) rows = NULL;
    struct mg_federation_once once = {.count = 0};
    uint8_t ticket_hash[32];
    const bool solicited = it->claims.in_response_to.length != 0;
    const bool confirms = !solicited && strcmp(it->idp->settings->idp_initiated, "confirm") == 0;
    TRY(mg_federation_once_add(&once, MG_ONCE_ASSERTION, it->claims.identifier));
    TRY(mg_list_add_saml_claims(&claims, &it->claims));
    TRY(mg_secret_hash(ticket, ticket_hash));
    TRY(mg_query_often(database, &rows, "SELECT federation_arrive($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                       MG_I64(it->idp->id), MG_BYTES(mg_federation_once_key(&once, 0)),
                       MG_INSTANT(it->now + MG_IDP_REPLAY_MS),
                       MG_BYTES(mg_view_of(ticket_hash, sizeof ticket_hash)), MG_I64(it->tenant.number),
                       MG_BYTES(mg_buffer_view(&claims)), MG_TEXT(it->request->relay_state),
                       MG_INSTANT(it->now + (confirms ? CONFIRM_MS : ARRIVAL_MS)), MG_FLAG(solicited)));
    *ret_refusal = mg_rows_flag(rows, 0, 0) ? MG_FEDERATION_NONE : MG_FEDERATION_REPLAYED;
    return OK;
}

/* Control: IDENTITY_03 */
static CHECKED struct mg_status
arrive_run(struct arriving *it, bool *ret_answered)
{
    OWN(database) database = NULL;
    OWN_KEY(ticket, MG_TOKEN_BYTES);
    enum mg_federation_refusal refusal;
    const struct mg_status found = mg_idp_recall(it->tenant.number, it->request->provider, &it->idp);
    if (found.code == MG_NOT_FOUND || (mg_ok(found) && !mg_idp_is_saml(it->idp->settings))) {
        mg_sign_in_refusal_count(it->tenant.number, MG_FEDERATION_REFUSED, it->request->address);
        return answer_arrive(it, MG_FEDERATION_REFUSED, MG_VIEW_EMPTY, ret_answered);
    }
    TRY(found);
    TRY(mg_core_database(&database));
    refusal = mg_idp_judge_now(it->idp, &it->tenant, it->now);
    if (refusal != MG_FEDERATION_NONE)
        return refuse_arrive(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    TRY(mg_saml_response_read(it->idp, it->request->response, false, &it->storage, &it->reply, &it->claims));
    if (it->reply.refusal != MG_FEDERATION_NONE)
        return refuse_arrive(it, database, (enum mg_federation_refusal) it->reply.refusal, it->reply.detail,
                             ret_answered);
    TRY(mg_saml_claims_judge(it->idp, &it->tenant, &it->claims, it->idp->settings->maximum_age / 1000,
                             it->now, &refusal));
    if (refusal == MG_FEDERATION_NONE && it->claims.in_response_to.length == 0)
        refusal = mg_saml_answer_judge(&it->claims, MG_VIEW_EMPTY,
                                       strcmp(it->idp->settings->idp_initiated, "no") != 0);
    if (refusal != MG_FEDERATION_NONE)
        return refuse_arrive(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    mg_random(ticket, sizeof ticket);
    TRY(arrival_keep(it, database, mg_view_of(ticket, sizeof ticket), &refusal));
    if (refusal != MG_FEDERATION_NONE)
        return refuse_arrive(it, database, refusal, MG_VIEW_EMPTY, ret_answered);
    return answer_arrive(it, MG_GRANTED, mg_view_of(ticket, sizeof ticket), ret_answered);
}

static struct mg_status
arrive_task(const void *request, struct mg_call *call, bool *ret_answered)
{
    MG_CLEANUP(arriving_drop)
    struct arriving it = {
        .request = request, .call = call, .now = mg_now(), .storage = MG_BUFFER(MG_PACKET_MOST)};
    const struct mg_status tenant = mg_core_tenant(it.request->tenant, &it.tenant);
    if (it.request->tenant == 0 || tenant.code == MG_NOT_FOUND || (mg_ok(tenant) && !it.tenant.open))
        return answer_arrive(&it, MG_TENANT_CLOSED, MG_VIEW_EMPTY, ret_answered);
    TRY(tenant);
    const struct mg_status status = arrive_run(&it, ret_answered);
    return status.code == MG_BUSY && !*ret_answered
               ? answer_arrive(&it, MG_BUSY_NOW, MG_VIEW_EMPTY, ret_answered)
               : status;
}

MG_HANDLER_PUBLIC(saml_arrive)
{
    const struct mg_status status =
        mg_federation_work(request->tenant, arrive_task, request, sizeof *request, call);
    if (status.code != MG_BUSY)
        return status;
    mg_sign_in_refusal_count(request->tenant, MG_BUSY_NOW, request->address);
    return mg_answer_saml_arrive(call, &(struct mg_reply_saml_arrive){.outcome = MG_BUSY_NOW});
}

struct mg_status
mg_saml_arrival_take(struct mg_database *database, uint64_t tenant, struct mg_view ticket,
                     enum mg_saml_taking taking, mg_instant now, struct mg_rows **ret_rows,
                     struct mg_record_saml_claims *ret_claims, struct mg_view *ret_provider,
                     struct mg_view *ret_relay_state)
{
    OWN(rows) rows = NULL;
    uint8_t hash[32];
    bool more = false;
    *ret_rows = NULL;
    if (ticket.length != MG_TOKEN_BYTES)
        return OK;
    TRY(mg_secret_hash(ticket, hash));
    const struct mg_view hash_view = mg_view_of(hash, sizeof hash);
    if (taking == MG_SAML_LOOK)
        TRY(mg_query_often(database, &rows,
                           "SELECT p.name, a.claims, a.relay_state, a.expires_at FROM federation_arrival a"
                           " JOIN identity_provider p ON p.id = a.provider AND p.tenant = a.tenant"
                           " WHERE a.ticket_hash = $1 AND a.tenant = $2",
                           MG_BYTES(hash_view), MG_I64(tenant)));
    else
        TRY(mg_query_often(database, &rows,
                           "WITH c AS (SELECT set_config('synchronous_commit', 'off', true))"
                           " DELETE FROM federation_arrival a USING c, identity_provider p"
                           " WHERE a.ticket_hash = $1 AND a.tenant = $2 AND (a.solicited OR $3)"
                           " AND p.id = a.provider AND p.tenant = a.tenant"
                           " RETURNING p.name, a.claims, a.relay_state, a.expires_at",
                           MG_BYTES(hash_view), MG_I64(tenant), MG_FLAG(taking == MG_SAML_TAKE)));
    if (mg_rows_count(rows) == 0 || mg_rows_instant(rows, 0, 3) <= now)
        return OK;
    struct mg_list list = {.bytes = mg_rows_bytes(rows, 0, 1)};
    TRY(mg_list_next_saml_claims(&list, ret_claims, &more));
    if (!more)
        return fail_with(MALFORMED, "an arrival without claims");
    *ret_provider = mg_rows_text(rows, 0, 0);
    *ret_relay_state = mg_rows_text(rows, 0, 2);
    *ret_rows = TAKE(rows);
    return OK;
}

/* ---- what we publish ---- */

MG_HANDLER_PUBLIC(saml_describe)
{
    OWN(database) database = NULL;
    OWN(idp) idp = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(xml, 16000);
    struct mg_saml_own_keys keys;
    struct mg_core_tenant tenant;
    struct mg_saml_names names;
    const struct mg_reply_saml_describe unknown = {.outcome = MG_NOT_KNOWN};
    const struct mg_status known = mg_core_tenant(request->tenant, &tenant);
    if (request->tenant == 0 || known.code == MG_NOT_FOUND)
        return mg_answer_saml_describe(call, &unknown);
    TRY(known);
    TRY(mg_core_database(&database));
    const struct mg_status found = mg_idp_load(database, request->tenant, request->provider, &idp);
    if (found.code == MG_NOT_FOUND || (mg_ok(found) && !mg_idp_is_saml(idp->settings)))
        return mg_answer_saml_describe(call, &unknown);
    TRY(found);
    TRY(mg_saml_names(idp, &tenant, &names));
    TRY(mg_saml_keys_load(database, idp->id, mg_now(), &rows, &keys));
    const struct mg_saml_metadata metadata = {
        .entity = mg_view_text(names.entity),
        .consumer = mg_view_text(names.consumer),
        .logout = mg_view_text(names.logout),
        .signs_requests = idp->settings->saml_sign_requests,
        .signing = {keys.now.signing_certificate, keys.other.signing_certificate},
        .encryption = {keys.now.encryption_certificate, keys.other.encryption_certificate}};
    TRY(mg_saml_metadata(&metadata, &xml));
    return mg_answer_saml_describe(
        call, &(struct mg_reply_saml_describe){.outcome = MG_GRANTED, .xml = mg_buffer_view(&xml)});
}

/* ---- what the provider publishes ---- */

struct mg_status
mg_saml_certificates_ask(const struct mg_idp_settings *settings, struct mg_buffer *storage,
                         struct mg_reply_saml_certificates *ret_reply)
{
    OWN_BUFFER(certificates, 8191);
    TRY(mg_option_words(settings->saml_certificates, &certificates));
    const struct mg_request_saml_certificates ask = {.certificates = mg_buffer_view(&certificates)};
    return mg_call_saml_certificates(&ask, ret_reply, storage, MG_FEDERATION_CALL_MS);
}

/* The metadata of now against what was taken from it. */
static CHECKED struct mg_status
metadata_compare(const struct mg_idp_settings *settings, uint64_t *ret_refusal, char detail[512],
                 struct mg_buffer *found)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(certificates, 8191);
    struct mg_reply_saml_metadata now;
    const struct mg_request_saml_metadata ask = {.url = mg_view_text(settings->metadata_url)};
    TRY(mg_call_saml_metadata(&ask, &now, &storage, MG_FEDERATION_CALL_MS));
    if (now.refusal != MG_FEDERATION_NONE) {
        *ret_refusal = now.refusal;
        return mg_view_copy(now.detail, detail, 512);
    }
    TRY(mg_option_words(settings->saml_certificates, &certificates));
    const bool same = mg_view_is(now.issuer, settings->issuer) &&
                      mg_view_is(now.sign_in_url, settings->saml_sign_in) &&
                      (!now.wants_signed || settings->saml_sign_requests) &&
                      mg_view_is(now.sign_out_url, settings->saml_sign_out) &&
                      mg_view_equal(now.certificates, mg_buffer_view(&certificates));
    return mg_buffer_format(found, "metadata: %s\n", same ? "METADATA_SAME|" : "METADATA_CHANGED|");
}

struct mg_status
mg_saml_look(const struct mg_idp *idp, uint64_t *ret_refusal, char detail[512], struct mg_buffer *found)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_saml_certificates reply;
    const struct mg_idp_settings *settings = idp->settings;
    TRY(mg_saml_certificates_ask(settings, &storage, &reply));
    *ret_refusal = reply.refusal;
    TRY(mg_view_copy(reply.detail, detail, 512));
    TRY(mg_buffer_format(found, "issuer: %s\nsign_in_url: %s (%s)\nsign_out_url: %s\n", settings->issuer,
                         settings->saml_sign_in, settings->saml_binding,
                         settings->saml_sign_out[0] != '\0' ? settings->saml_sign_out : "-"));
    if (settings->metadata_url[0] != '\0' && reply.refusal == MG_FEDERATION_NONE)
        TRY(metadata_compare(settings, ret_refusal, detail, found));
    TRY(mg_buffer_add_text(found, "certificates: "));
    for (size_t i = 0; i < reply.list.length; i++)
        TRY(reply.list.bytes[i] == '\n' ? mg_buffer_add_text(found, "; ")
                                        : mg_buffer_add_byte(found, reply.list.bytes[i]));
    if (reply.first_ends_at - mg_now() < (int64_t) WARN_DAYS * 86400 * 1000)
        TRY(mg_buffer_format(found, "\nwarning: CERTIFICATE_ENDS|%d", WARN_DAYS));
    return OK;
}

/* ---- what passes ---- */

static CHECKED struct mg_status
certificates_tell(struct mg_database *database, mg_instant now)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query_often(
        database, &rows,
        "UPDATE identity_provider SET certificate_told_at = $1 WHERE enabled AND certificate_ends_at < $2"
        " AND (certificate_told_at IS NULL OR certificate_told_at < $3)"
        " RETURNING tenant, name, certificate_ends_at",
        MG_INSTANT(now), MG_INSTANT(now + (int64_t) WARN_DAYS * 86400 * 1000),
        MG_INSTANT(now - (int64_t) REMIND_DAYS * 86400 * 1000)));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        char until[MG_INSTANT_TEXT];
        mg_instant_text(mg_rows_instant(rows, i, 2), until);
        const struct mg_core_detail details[] = {{"until", mg_view_text(until)}};
        TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_idp_certificate,
                                                    .tenant = (uint64_t) mg_rows_i64(rows, i, 0),
                                                    .target = mg_rows_text(rows, i, 1),
                                                    .details = details,
                                                    .detail_count = MG_COUNT(details)}));
        const struct mg_view name = mg_rows_text(rows, i, 1);
        mg_log(MG_WARNING, "tenant %" PRId64 ", identity provider %.*s: a certificate ends at %s",
               mg_rows_i64(rows, i, 0), (int) name.length, (const char *) name.bytes, until);
    }
    return mg_transaction_commit(&transaction);
}

struct mg_status
mg_saml_sweep(struct mg_database *database, mg_instant now)
{
    TRY(mg_query_often(database, NULL, "DELETE FROM federation_arrival WHERE expires_at <= $1",
                       MG_INSTANT(now)));
    TRY(certificates_tell(database, now));
    return mg_saml_keys_tell(database, now);
}
