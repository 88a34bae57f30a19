/* OpenID Connect, our side as a relying party: the rows oidc_*. What a claim means the authority decides. */
#include "process/federation/federation.h"

#include "base/secret.h"
#include "domain/oidc.h"

enum { FORM_BYTES = 32768 };

static CHECKED struct mg_status
field_add(struct mg_buffer *text, const char *name, struct mg_view value)
{
    if (text->length != 0)
        TRY(mg_buffer_add_text(text, "&"));
    TRY(mg_buffer_format(text, "%s=", name));
    return mg_buffer_add_encoded(text, value);
}

static void
refuse(struct finding *finding, enum mg_federation_refusal refusal, const char *detail)
{
    finding->refusal = refusal;
    (void) snprintf(finding->detail, sizeof finding->detail, "%s", detail);
}

/* ---- to the provider ---- */

MG_HANDLER_PUBLIC(oidc_begin)
{
    MG_CLEANUP(provider_leave) struct provider *provider = NULL;
    struct mg_oidc_discovery discovery;
    struct finding finding = {.refusal = MG_FEDERATION_NONE};
    TRY(provider_enter(request->issuer, request->drill_certificate, &provider));
    TRY(provider_discover(provider, false, &discovery, &finding));
    const struct mg_view endpoint =
        is_fine(&finding) ? mg_view_text(discovery.authorization_endpoint) : MG_VIEW_EMPTY;
    return mg_answer_oidc_begin(call, &(struct mg_reply_oidc_begin){.refusal = finding.refusal,
                                                                    .detail = mg_view_text(finding.detail),
                                                                    .endpoint = endpoint});
}

/* ---- back with a code ---- */

/* RFC 6749 section 2.3.1: both parts form-encoded, then basic. */
static CHECKED struct mg_status
basic_make(const struct mg_request_oidc_finish *request, struct mg_buffer *value)
{
    OWN_BUFFER(pair, 2048);
    TRY(mg_buffer_add_encoded(&pair, request->client));
    TRY(mg_buffer_add_text(&pair, ":"));
    TRY(mg_buffer_add_encoded(&pair, request->secret));
    TRY(mg_buffer_add_text(value, "Basic "));
    return mg_base64(mg_buffer_view(&pair), value);
}

static CHECKED struct mg_status
form_make(const struct mg_request_oidc_finish *request, struct mg_buffer *form,
          struct mg_buffer *authorization)
{
    TRY(field_add(form, "grant_type", mg_view_text("authorization_code")));
    TRY(field_add(form, "code", request->code));
    TRY(field_add(form, "redirect_uri", request->redirect_uri));
    TRY(field_add(form, "code_verifier", request->verifier));
    if (mg_view_is(request->authentication, "secret-basic"))
        return basic_make(request, authorization);
    TRY(field_add(form, "client_id", request->client));
    if (mg_view_is(request->authentication, "secret-post"))
        return field_add(form, "client_secret", request->secret);
    if (mg_view_is(request->authentication, "private-key")) {
        TRY(field_add(form, "client_assertion_type",
                      mg_view_text("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")));
        return field_add(form, "client_assertion", request->assertion);
    }
    return mg_view_is(request->authentication, "none") ? OK : fail_with(INVALID, "client authentication");
}

static CHECKED struct mg_status
tokens_fetch(const struct mg_request_oidc_finish *request, const struct mg_outbound_rules *rules,
             const struct mg_oidc_discovery *discovery, struct mg_oidc_tokens *ret_tokens,
             struct finding *finding)
{
    MG_CLEANUP(mg_outbound_answer_drop) struct mg_outbound_answer answer = {.body = MG_BUFFER(0)};
    OWN_BUFFER(form, FORM_BYTES);
    OWN_BUFFER(authorization, 4096);
    char detail[128];
    TRY(form_make(request, &form, &authorization));
    const struct mg_outbound_request post = {
        .url = discovery->token_endpoint,
        .form = mg_buffer_view(&form),
        .authorization = authorization.length != 0 ? mg_buffer_text(&authorization) : NULL,
        .most = 2 * MG_OIDC_DOCUMENT_BYTES,
    };
    TRY(federation_fetch(rules, &post, &answer, finding));
    if (!is_fine(finding))
        return OK;
    finding->refusal =
        mg_oidc_tokens_read(mg_buffer_view(&answer.body), answer.status == 200, ret_tokens, detail);
    if (!is_fine(finding))
        (void) snprintf(finding->detail, sizeof finding->detail, "TOKEN_ENDPOINT|%ld|%s", answer.status,
                        detail);
    return OK;
}

/* What the ID token does not say of the person, the userinfo endpoint may. */
static CHECKED struct mg_status
person_complete(const struct mg_outbound_rules *rules, const struct mg_oidc_discovery *discovery,
                struct mg_view access_token, const char *groups_claim, struct mg_oidc_texts *texts,
                struct finding *finding)
{
    MG_CLEANUP(mg_outbound_answer_drop) struct mg_outbound_answer answer = {.body = MG_BUFFER(0)};
    OWN_BUFFER(authorization, MG_OIDC_DOCUMENT_BYTES + 16);
    char detail[128];
    const bool complete = texts->email[0] != '\0' && texts->name[0] != '\0' &&
                          (groups_claim[0] == '\0' || texts->groups.length != 0);
    if (complete || texts->subject[0] == '\0' || discovery->userinfo_endpoint[0] == '\0' ||
        access_token.length == 0 || access_token.length > 8000)
        return OK;
    TRY(mg_buffer_add_text(&authorization, "Bearer "));
    TRY(mg_buffer_add(&authorization, access_token));
    const struct mg_outbound_request get = {.url = discovery->userinfo_endpoint,
                                            .authorization = mg_buffer_text(&authorization),
                                            .most = MG_OIDC_DOCUMENT_BYTES};
    TRY(federation_fetch(rules, &get, &answer, finding));
    if (!is_fine(finding))
        return OK;
    (void) snprintf(detail, sizeof detail, "HTTP %ld", answer.status);
    finding->refusal = answer.status == 200
                           ? mg_oidc_userinfo_read(mg_buffer_view(&answer.body), groups_claim, texts, detail)
                           : MG_FEDERATION_USER_INFORMATION;
    if (!is_fine(finding))
        (void) snprintf(finding->detail, sizeof finding->detail, "OIDC_USERINFO|%s", detail);
    return OK;
}

static CHECKED struct mg_status
finish(const struct mg_request_oidc_finish *request, struct provider *provider, struct mg_jwt_head *head,
       struct mg_oidc_texts *texts, struct finding *finding)
{
    MG_CLEANUP(mg_oidc_tokens_drop)
    struct mg_oidc_tokens tokens = {.id_token = MG_BUFFER(0), .access_token = MG_BUFFER(0)};
    OWN_BUFFER(payload, MG_JWT_PAYLOAD_BYTES);
    struct mg_oidc_discovery discovery;
    char groups_claim[64], detail[128];
    TRY(mg_view_copy(request->groups_claim, groups_claim, sizeof groups_claim));
    TRY(provider_discover(provider, false, &discovery, finding));
    if (!is_fine(finding))
        return OK;
    finding->refusal = mg_oidc_response_judge(request->with_response_issuer, request->response_issuer,
                                              discovery.response_issuer, request->issuer);
    if (!is_fine(finding))
        return OK; /* before the code goes anywhere */
    TRY(tokens_fetch(request, provider_rules(provider), &discovery, &tokens, finding));
    if (!is_fine(finding))
        return OK;
    TRY(provider_verify(provider, mg_buffer_view(&tokens.id_token), MG_JWT_ID_TOKEN, &payload, head,
                        finding));
    if (!is_fine(finding))
        return OK;
    const enum mg_federation_refusal read =
        mg_oidc_claims_read(mg_buffer_view(&payload), groups_claim, texts, detail);
    if (read != MG_FEDERATION_NONE) {
        refuse(finding, read, detail);
        return OK;
    }
    return person_complete(provider_rules(provider), &discovery, mg_buffer_view(&tokens.access_token),
                           groups_claim, texts, finding);
}

MG_HANDLER_PUBLIC(oidc_finish)
{
    MG_CLEANUP(provider_leave) struct provider *provider = NULL;
    MG_CLEANUP(mg_oidc_texts_drop) struct mg_oidc_texts texts = {.groups = MG_BUFFER(0)};
    struct mg_jwt_head head = {.algorithm = ""};
    struct finding finding = {.refusal = MG_FEDERATION_NONE};
    TRY(provider_enter(request->issuer, request->drill_certificate, &provider));
    TRY(finish(request, provider, &head, &texts, &finding));
    const struct mg_reply_oidc_finish reply = {
        .refusal = finding.refusal,
        .detail = mg_view_text(finding.detail),
        .issuer = mg_view_text(texts.issuer),
        .subject = mg_view_text(texts.subject),
        .audiences = mg_view_text(texts.audiences),
        .authorized_party = mg_view_text(texts.authorized_party),
        .nonce = mg_view_text(texts.nonce),
        .expires_s = texts.expires_s,
        .issued_s = texts.issued_s,
        .not_before_s = texts.not_before_s,
        .authenticated_s = texts.authenticated_s,
        .acr = mg_view_text(texts.acr),
        .methods = mg_view_text(texts.methods),
        .sid = mg_view_text(texts.sid),
        .email = mg_view_text(texts.email),
        .email_verified = texts.email_verified,
        .name = mg_view_text(texts.name),
        .groups = mg_buffer_view(&texts.groups),
        .algorithm = mg_view_text(head.algorithm),
        .key = mg_view_text(head.key),
    };
    return mg_answer_oidc_finish(call, &reply);
}

/* ---- logout tokens ---- */

MG_HANDLER_PUBLIC(oidc_logout)
{
    MG_CLEANUP(provider_leave) struct provider *provider = NULL;
    MG_CLEANUP(mg_oidc_texts_drop) struct mg_oidc_texts texts = {.groups = MG_BUFFER(0)};
    OWN_BUFFER(payload, MG_JWT_PAYLOAD_BYTES);
    struct mg_jwt_head head = {.algorithm = ""};
    struct finding finding = {.refusal = MG_FEDERATION_NONE};
    char detail[128] = "";
    TRY(provider_enter(request->issuer, MG_VIEW_EMPTY, &provider));
    TRY(provider_verify(provider, request->token, MG_JWT_LOGOUT_TOKEN, &payload, &head, &finding));
    if (is_fine(&finding))
        finding.refusal = mg_oidc_claims_read(mg_buffer_view(&payload), "", &texts, detail);
    const struct mg_reply_oidc_logout reply = {
        .refusal = finding.refusal,
        .detail = mg_view_text(finding.detail[0] != '\0' ? finding.detail : detail),
        .issuer = mg_view_text(texts.issuer),
        .subject = mg_view_text(texts.subject),
        .audiences = mg_view_text(texts.audiences),
        .authorized_party = mg_view_text(texts.authorized_party),
        .expires_s = texts.expires_s,
        .issued_s = texts.issued_s,
        .not_before_s = texts.not_before_s,
        .sid = mg_view_text(texts.sid),
        .identifier = mg_view_text(texts.identifier),
        .logout_event = texts.logout_event,
        .with_nonce = texts.has_nonce,
    };
    return mg_answer_oidc_logout(call, &reply);
}

/* ---- what the provider says of itself ---- */

MG_HANDLER_PUBLIC(oidc_look)
{
    MG_CLEANUP(provider_leave) struct provider *provider = NULL;
    OWN_BUFFER(keys, 8192);
    struct mg_oidc_discovery discovery = {.issuer = ""};
    struct finding finding = {.refusal = MG_FEDERATION_NONE};
    TRY(provider_enter(request->issuer, MG_VIEW_EMPTY, &provider));
    TRY(provider_discover(provider, request->fresh, &discovery, &finding));
    if (is_fine(&finding) && request->fresh)
        TRY(provider_keys_describe(provider, true, &keys, &finding));
    const struct mg_reply_oidc_look reply = {
        .refusal = finding.refusal,
        .detail = mg_view_text(finding.detail),
        .authorization_endpoint = mg_view_text(discovery.authorization_endpoint),
        .token_endpoint = mg_view_text(discovery.token_endpoint),
        .jwks_uri = mg_view_text(discovery.jwks_uri),
        .userinfo_endpoint = mg_view_text(discovery.userinfo_endpoint),
        .end_session_endpoint = mg_view_text(discovery.end_session_endpoint),
        .response_issuer = discovery.response_issuer,
        .back_channel = discovery.back_channel,
        .front_channel = discovery.front_channel,
        .algorithms = mg_view_text(discovery.algorithms),
        .authentications = mg_view_text(discovery.authentications),
        .keys = mg_buffer_view(&keys),
    };
    return mg_answer_oidc_look(call, &reply);
}
