/* SAML 2.0, our side as a service provider: the rows saml_*. What a fact means the authority decides. */
#include "process/federation/federation.h"

#include "base/secret.h"
#include "ports/saml_read.h"

enum { RESPONSE_BYTES = 49152, CLAIMS_BYTES = 24576 };

/* The provider's keys; without one that may be used nothing is read. */
static CHECKED struct mg_status
keys_have(struct mg_view certificates, struct mg_saml_keys **ret_keys, struct finding *finding)
{
    char detail[256] = "";
    TRY(mg_saml_keys_read(certificates, mg_now(), ret_keys, &finding->refusal, detail));
    if (!is_fine(finding))
        (void) snprintf(finding->detail, sizeof finding->detail, "%s", detail);
    return OK;
}

static void
refuse(struct finding *finding, enum mg_federation_refusal refusal, const char *detail)
{
    finding->refusal = refusal;
    (void) snprintf(finding->detail, sizeof finding->detail, "%s", detail);
}

/* Some wrap their base64 at 76 characters. */
static bool
base64_open(struct mg_view text, struct mg_buffer *bytes)
{
    OWN_BUFFER(packed, 65536);
    for (size_t i = 0; i < text.length; i++)
        if (strchr(" \t\r\n", text.bytes[i]) == NULL && !mg_ok(mg_buffer_add_byte(&packed, text.bytes[i])))
            return false;
    return mg_ok(mg_base64_decode(mg_buffer_view(&packed), bytes));
}

/* ---- responses ---- */

static CHECKED struct mg_status
claims_write(const struct mg_saml_texts *texts, struct mg_buffer *list)
{
    const struct mg_record_saml_claims row = {
        .identifier = mg_view_text(texts->identifier),
        .issuer = mg_view_text(texts->issuer),
        .response_issuer = mg_view_text(texts->response_issuer),
        .subject = mg_view_text(texts->subject),
        .name_id = mg_view_text(texts->name_id),
        .name_format = mg_view_text(texts->name_format),
        .qualifier = mg_view_text(texts->qualifier),
        .sp_qualifier = mg_view_text(texts->sp_qualifier),
        .audiences = mg_view_text(texts->audiences),
        .recipient = mg_view_text(texts->recipient),
        .destination = mg_view_text(texts->destination),
        .in_response_to = mg_view_text(texts->in_response_to),
        .response_in_response_to = mg_view_text(texts->response_in_response_to),
        .response_signed = texts->response_signed,
        .encrypted = texts->encrypted,
        .issued_s = texts->issued_s,
        .not_before_s = texts->not_before_s,
        .expires_s = texts->expires_s,
        .confirmation_expires_s = texts->confirmation_expires_s,
        .authenticated_s = texts->authenticated_s,
        .session_expires_s = texts->session_expires_s,
        .session_index = mg_view_text(texts->session_index),
        .acr = mg_view_text(texts->acr),
        .email = mg_view_text(texts->email),
        .name = mg_view_text(texts->name),
        .groups = mg_buffer_view(&texts->groups),
        .algorithm = mg_view_text(texts->signature.algorithm),
        .key = mg_view_text(texts->signature.key),
    };
    return mg_list_add_saml_claims(list, &row);
}

static CHECKED struct mg_status
response_read(const struct mg_request_saml_read *request, struct mg_buffer *list,
              struct mg_saml_wrapped *wrapped, struct finding *finding)
{
    MG_CLEANUP(mg_saml_texts_drop) struct mg_saml_texts texts = {.groups = MG_BUFFER(0)};
    OWN(saml_keys) keys = NULL;
    OWN_BUFFER(xml, RESPONSE_BYTES);
    char subject[256], email[256], name[256], groups[256], detail[128] = "";
    const struct mg_saml_wishes wishes = {subject, email, name, groups};
    TRY(mg_view_copy(request->subject_attribute, subject, sizeof subject));
    TRY(mg_view_copy(request->email_attribute, email, sizeof email));
    TRY(mg_view_copy(request->name_attribute, name, sizeof name));
    TRY(mg_view_copy(request->groups_attribute, groups, sizeof groups));
    if (!base64_open(request->response, &xml)) {
        refuse(finding, MG_FEDERATION_XML_FORM, "SAML_BASE64|");
        return OK;
    }
    TRY(keys_have(request->certificates, &keys, finding));
    if (!is_fine(finding))
        return OK;
    TRY(mg_saml_response_read(mg_buffer_view(&xml), keys, &wishes, request->content_key, &texts, wrapped,
                              &finding->refusal, detail));
    (void) snprintf(finding->detail, sizeof finding->detail, "%s", detail);
    return is_fine(finding) && wrapped->length == 0 ? claims_write(&texts, list) : OK;
}

MG_HANDLER_PUBLIC(saml_read)
{
    OWN_BUFFER(list, CLAIMS_BYTES);
    struct mg_saml_wrapped wrapped = {.length = 0};
    struct finding finding = {.refusal = MG_FEDERATION_NONE};
    TRY(response_read(request, &list, &wrapped, &finding));
    const struct mg_reply_saml_read reply = {
        .refusal = finding.refusal,
        .detail = mg_view_text(finding.detail),
        .encrypted = wrapped.length != 0,
        .wrapped_key = mg_view_of(wrapped.bytes, wrapped.length),
        .oaep = wrapped.oaep,
        .claims = {.bytes = mg_buffer_view(&list)},
    };
    return mg_answer_saml_read(call, &reply);
}

/* ---- sign-outs ---- */

static CHECKED struct mg_status
logout_read(const struct mg_request_saml_logout *request, struct mg_saml_logout *logout,
            struct finding *finding)
{
    OWN(saml_keys) keys = NULL;
    OWN_BUFFER(xml, RESPONSE_BYTES);
    char detail[128] = "";
    TRY(keys_have(request->certificates, &keys, finding));
    if (!is_fine(finding))
        return OK;
    if (request->message.length != 0 && !base64_open(request->message, &xml)) {
        refuse(finding, MG_FEDERATION_XML_FORM, "XML_BASE64|");
        return OK;
    }
    TRY(request->message.length != 0
            ? mg_saml_logout_message(mg_buffer_view(&xml), keys, logout, &finding->refusal, detail)
            : mg_saml_logout_query(request->query, keys, logout, &finding->refusal, detail));
    (void) snprintf(finding->detail, sizeof finding->detail, "%s", detail);
    return OK;
}

MG_HANDLER_PUBLIC(saml_logout)
{
    struct mg_saml_logout logout = {.issued_s = -1, .expires_s = -1};
    struct finding finding = {.refusal = MG_FEDERATION_NONE};
    TRY(logout_read(request, &logout, &finding));
    const struct mg_reply_saml_logout reply = {
        .refusal = finding.refusal,
        .detail = mg_view_text(finding.detail),
        .is_request = logout.is_request,
        .identifier = mg_view_text(logout.identifier),
        .issuer = mg_view_text(logout.issuer),
        .destination = mg_view_text(logout.destination),
        .issued_s = logout.issued_s,
        .expires_s = logout.expires_s,
        .name_id = mg_view_text(logout.name_id),
        .name_format = mg_view_text(logout.name_format),
        .session_index = mg_view_text(logout.session_index),
        .relay_state = mg_view_text(logout.relay_state),
    };
    return mg_answer_saml_logout(call, &reply);
}

/* ---- what providers publish ---- */

static CHECKED struct mg_status
metadata_fetch(struct mg_view url, struct mg_outbound_answer *ret_answer, struct finding *finding)
{
    OWN_TEXT text = NULL;
    TRY(mg_view_to_text(url, &text));
    const struct mg_outbound_request request = {.url = text, .most = MG_SAML_METADATA_BYTES};
    TRY(federation_fetch(&federation_rules, &request, ret_answer, finding));
    if (is_fine(finding) && ret_answer->status != 200) {
        finding->refusal = MG_FEDERATION_ANSWER;
        (void) snprintf(finding->detail, sizeof finding->detail, "%.400s: HTTP %ld", text,
                        ret_answer->status);
    }
    return OK;
}

MG_HANDLER_PUBLIC(saml_metadata)
{
    MG_CLEANUP(mg_outbound_answer_drop) struct mg_outbound_answer answer = {.body = MG_BUFFER(0)};
    struct mg_saml_provider provider = {.issuer = ""};
    struct finding finding = {.refusal = MG_FEDERATION_NONE};
    char detail[128] = "";
    if (request->url.length != 0)
        TRY(metadata_fetch(request->url, &answer, &finding));
    if (is_fine(&finding)) {
        finding.refusal =
            mg_saml_metadata_read(request->url.length != 0 ? mg_buffer_view(&answer.body) : request->document,
                                  mg_now(), &provider, detail);
        (void) snprintf(finding.detail, sizeof finding.detail, "%s", detail);
    }
    const struct mg_reply_saml_metadata reply = {
        .refusal = finding.refusal,
        .detail = mg_view_text(finding.detail),
        .issuer = mg_view_text(provider.issuer),
        .sign_in_url = mg_view_text(provider.sign_in_url),
        .post = provider.post,
        .wants_signed = provider.wants_signed,
        .sign_out_url = mg_view_text(provider.sign_out_url),
        .sign_out_answer_url = mg_view_text(provider.sign_out_answer_url),
        .certificates = mg_view_text(provider.certificates),
    };
    return mg_answer_saml_metadata(call, &reply);
}

MG_HANDLER_PUBLIC(saml_certificates)
{
    OWN(saml_keys) keys = NULL;
    OWN_BUFFER(list, 4096);
    struct finding finding = {.refusal = MG_FEDERATION_NONE};
    mg_instant first = 0, last = 0;
    TRY(keys_have(request->certificates, &keys, &finding));
    TRY(mg_saml_keys_describe(request->certificates, mg_now(), &list, &first, &last));
    const struct mg_reply_saml_certificates reply = {
        .refusal = finding.refusal,
        .detail = mg_view_text(finding.detail),
        .list = mg_buffer_view(&list),
        .first_ends_at = first,
        .last_ends_at = last,
    };
    return mg_answer_saml_certificates(call, &reply);
}
