#include "domain/saml.h"

#include "domain/provider_authentication.h"

#include <inttypes.h>

#define PROTOCOL "urn:oasis:names:tc:SAML:2.0:protocol"
#define ASSERTION "urn:oasis:names:tc:SAML:2.0:assertion"
#define METADATA "urn:oasis:names:tc:SAML:2.0:metadata"
#define BINDING "urn:oasis:names:tc:SAML:2.0:bindings:"
#define DSIG "http://www.w3.org/2000/09/xmldsig#"
#define EXCLUSIVE "http://www.w3.org/2001/10/xml-exc-c14n#"
#define SHA256 "http://www.w3.org/2001/04/xmlenc#sha256"
#define RSA_SHA256 "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"

/* ---- judging ---- */

static bool
has_line(struct mg_view lines, struct mg_view wanted)
{
    while (lines.length != 0) {
        const uint8_t *end = memchr(lines.bytes, '\n', lines.length);
        const size_t length = end == NULL ? lines.length : (size_t) (end - lines.bytes);
        if (mg_view_equal(mg_view_of(lines.bytes, length), wanted))
            return true;
        const size_t taken = end == NULL ? length : length + 1;
        lines = mg_view_of(lines.bytes + taken, lines.length - taken);
    }
    return false;
}

/* From whom, for whom, to where. An empty identifier never matches: it would be a provider that is not set
 * up. */
static enum mg_federation_refusal
parties_judge(const struct mg_record_saml_claims *claims, const struct mg_saml_expected *expected)
{
    if (expected->issuer.length == 0 || !mg_view_equal(claims->issuer, expected->issuer))
        return MG_FEDERATION_WRONG_ISSUER;
    if (claims->response_issuer.length != 0 && !mg_view_equal(claims->response_issuer, expected->issuer))
        return MG_FEDERATION_WRONG_ISSUER;
    if (expected->entity.length == 0 || !has_line(claims->audiences, expected->entity))
        return MG_FEDERATION_WRONG_AUDIENCE;
    if (expected->consumer.length == 0 || !mg_view_equal(claims->recipient, expected->consumer))
        return MG_FEDERATION_WRONG_RECIPIENT;
    /* Bindings section 3.5.5.2: a signed response says where it goes. */
    if (claims->destination.length == 0 ? claims->response_signed
                                        : !mg_view_equal(claims->destination, expected->consumer))
        return MG_FEDERATION_WRONG_DESTINATION;
    return MG_FEDERATION_NONE;
}

static enum mg_federation_refusal
times_judge(const struct mg_record_saml_claims *claims, int64_t skew_s, int64_t now_s)
{
    if (claims->issued_s < 0 || claims->confirmation_expires_s < 0)
        return MG_FEDERATION_TOKEN_CLAIMS;
    if (now_s >= claims->confirmation_expires_s + skew_s ||
        (claims->expires_s >= 0 && now_s >= claims->expires_s + skew_s) ||
        (claims->session_expires_s >= 0 && now_s >= claims->session_expires_s + skew_s))
        return MG_FEDERATION_EXPIRED;
    if (claims->issued_s > now_s + skew_s || claims->not_before_s > now_s + skew_s)
        return MG_FEDERATION_FROM_THE_FUTURE;
    if (now_s - claims->issued_s > MG_SAML_ASSERTION_AGE_S + skew_s)
        return MG_FEDERATION_TOO_OLD;
    return MG_FEDERATION_NONE;
}

/* Seconds of any claim are bounded where they are read (ports/saml_read.c), so that nothing here overflows.
 */
enum mg_federation_refusal
mg_saml_judge(const struct mg_record_saml_claims *claims, const struct mg_saml_expected *expected,
              mg_instant now)
{
    const int64_t now_s = now / 1000;
    if (claims->identifier.length == 0 || claims->subject.length == 0)
        return MG_FEDERATION_TOKEN_CLAIMS;
    const enum mg_federation_refusal parties = parties_judge(claims, expected);
    if (parties != MG_FEDERATION_NONE)
        return parties;
    const enum mg_federation_refusal times = times_judge(claims, expected->skew_s, now_s);
    if (times != MG_FEDERATION_NONE)
        return times;
    return mg_provider_authentication_judge(
        (struct mg_provider_authentication){.at_s = claims->authenticated_s, .class = claims->acr},
        &(struct mg_provider_authentication_wanted){.classes = expected->classes,
                                                    .class_count = expected->class_count,
                                                    .maximum_age_s = expected->maximum_age_s,
                                                    .skew_s = expected->skew_s},
        now_s);
}

enum mg_federation_refusal
mg_saml_answer_judge(const struct mg_record_saml_claims *claims, struct mg_view request, bool allowed)
{
    /* The response around an assertion may be unsigned: it must not say otherwise than the assertion. */
    if (claims->response_in_response_to.length != 0 &&
        !mg_view_equal(claims->response_in_response_to, claims->in_response_to))
        return MG_FEDERATION_WRONG_REQUEST;
    if (claims->in_response_to.length == 0)
        return request.length != 0 ? MG_FEDERATION_WRONG_REQUEST
               : allowed           ? MG_FEDERATION_NONE
                                   : MG_FEDERATION_UNSOLICITED;
    return request.length != 0 && mg_view_equal_constant_time(claims->in_response_to, request)
               ? MG_FEDERATION_NONE
               : MG_FEDERATION_WRONG_REQUEST;
}

enum mg_federation_refusal
mg_saml_logout_judge(const struct mg_reply_saml_logout *logout, struct mg_view issuer,
                     struct mg_view destination, int64_t skew_s, mg_instant now)
{
    const int64_t now_s = now / 1000;
    if (!logout->is_request || logout->identifier.length == 0 || logout->name_id.length == 0)
        return MG_FEDERATION_NOT_A_LOGOUT;
    if (issuer.length == 0 || !mg_view_equal(logout->issuer, issuer))
        return MG_FEDERATION_WRONG_ISSUER;
    if (!mg_view_equal(logout->destination, destination))
        return MG_FEDERATION_WRONG_DESTINATION;
    if (logout->issued_s < 0)
        return MG_FEDERATION_TOKEN_CLAIMS;
    if (logout->issued_s > now_s + skew_s)
        return MG_FEDERATION_FROM_THE_FUTURE;
    if (logout->expires_s >= 0 && now_s >= logout->expires_s + skew_s)
        return MG_FEDERATION_EXPIRED;
    return now_s - logout->issued_s > MG_SAML_LOGOUT_AGE_S + skew_s ? MG_FEDERATION_TOO_OLD
                                                                    : MG_FEDERATION_NONE;
}

/* ---- writing XML in canonical form ---- */

/* Canonical XML 1.0 section 2.3. Control characters are refused before (mg_saml_fields_check). */
static CHECKED struct mg_status
text_add(struct mg_buffer *xml, struct mg_view text, bool attribute)
{
    for (size_t i = 0; i < text.length; i++) {
        const uint8_t c = text.bytes[i];
        if (c == '&')
            TRY(mg_buffer_add_text(xml, "&amp;"));
        else if (c == '<')
            TRY(mg_buffer_add_text(xml, "&lt;"));
        else if (c == '>' && !attribute)
            TRY(mg_buffer_add_text(xml, "&gt;"));
        else if (c == '"' && attribute)
            TRY(mg_buffer_add_text(xml, "&quot;"));
        else
            TRY(mg_buffer_add_byte(xml, c));
    }
    return OK;
}

static CHECKED struct mg_status
attribute_add(struct mg_buffer *xml, const char *name, struct mg_view value)
{
    if (value.length == 0)
        return OK;
    TRY(mg_buffer_format(xml, " %s=\"", name));
    TRY(text_add(xml, value, true));
    return mg_buffer_add_text(xml, "\"");
}

static CHECKED struct mg_status
element_add(struct mg_buffer *xml, const char *start, struct mg_view text, const char *end)
{
    TRY(mg_buffer_add_text(xml, start));
    TRY(text_add(xml, text, false));
    return mg_buffer_add_text(xml, end);
}

/* xs:dateTime in UTC, whole seconds. */
static CHECKED struct mg_status
instant_attribute(struct mg_buffer *xml, mg_instant now)
{
    char text[MG_INSTANT_TEXT];
    mg_instant_text(now, text);
    return mg_buffer_format(xml, " IssueInstant=\"%.19sZ\"", text);
}

static bool
is_plain(struct mg_view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.bytes[i] < 0x20 || text.bytes[i] == 0x7F)
            return false;
    return mg_view_is_utf8(text);
}

struct mg_status
mg_saml_fields_check(const struct mg_request_saml_sign *fields)
{
    const struct mg_view texts[] = {fields->identifier,    fields->destination, fields->issuer,
                                    fields->consumer,      fields->answers,     fields->name_id,
                                    fields->name_format,   fields->qualifier,   fields->sp_qualifier,
                                    fields->session_index, fields->relay_state, fields->asked_format};
    for (size_t i = 0; i < MG_COUNT(texts); i++)
        if (!is_plain(texts[i]))
            return fail_with(INVALID, "a control character in a SAML message");
    for (size_t i = 0; i < fields->classes.length; i++)
        if (fields->classes.bytes[i] < 0x20 && fields->classes.bytes[i] != '\n')
            return fail_with(INVALID, "a control character in a SAML message");
    if (fields->identifier.length < 20 || fields->identifier.bytes[0] != '_' || fields->issuer.length == 0 ||
        fields->destination.length < 9 || memcmp(fields->destination.bytes, "https://", 8) != 0)
        return fail_with(INVALID, "a SAML message has an identifier, an issuer and a destination on the web");
    switch (fields->kind) {
    case MG_SAML_AUTHN_REQUEST:
        return fields->consumer.length != 0 ? OK
                                            : fail_with(INVALID, "a request names where the answer goes");
    case MG_SAML_LOGOUT_REQUEST:
        return fields->name_id.length != 0 ? OK : fail_with(INVALID, "a sign-out names somebody");
    case MG_SAML_LOGOUT_RESPONSE:
        return fields->answers.length != 0 ? OK : fail_with(INVALID, "an answer names its request");
    default:
        return fail_with(INVALID, "no such SAML message");
    }
}

/* ---- messages ---- */

static CHECKED struct mg_status
classes_add(struct mg_buffer *xml, struct mg_view classes)
{
    if (classes.length == 0)
        return OK;
    TRY(mg_buffer_add_text(xml, "<samlp:RequestedAuthnContext Comparison=\"exact\">"));
    while (classes.length != 0) {
        const uint8_t *end = memchr(classes.bytes, '\n', classes.length);
        const size_t length = end == NULL ? classes.length : (size_t) (end - classes.bytes);
        TRY(element_add(xml, "<saml:AuthnContextClassRef xmlns:saml=\"" ASSERTION "\">",
                        mg_view_of(classes.bytes, length), "</saml:AuthnContextClassRef>"));
        const size_t taken = end == NULL ? length : length + 1;
        classes = mg_view_of(classes.bytes + taken, classes.length - taken);
    }
    return mg_buffer_add_text(xml, "</samlp:RequestedAuthnContext>");
}

static const char *
element_of(uint64_t kind)
{
    return kind == MG_SAML_AUTHN_REQUEST    ? "samlp:AuthnRequest"
           : kind == MG_SAML_LOGOUT_REQUEST ? "samlp:LogoutRequest"
                                            : "samlp:LogoutResponse";
}

/* Attributes stand in the order of their names: canonical form. */
static CHECKED struct mg_status
start_add(const struct mg_request_saml_sign *fields, mg_instant now, struct mg_buffer *xml)
{
    TRY(mg_buffer_format(xml, "<%s xmlns:samlp=\"" PROTOCOL "\"", element_of(fields->kind)));
    if (fields->kind == MG_SAML_AUTHN_REQUEST)
        TRY(attribute_add(xml, "AssertionConsumerServiceURL", fields->consumer));
    TRY(attribute_add(xml, "Destination", fields->destination));
    if (fields->kind == MG_SAML_AUTHN_REQUEST && fields->force)
        TRY(mg_buffer_add_text(xml, " ForceAuthn=\"true\""));
    TRY(attribute_add(xml, "ID", fields->identifier));
    if (fields->kind == MG_SAML_LOGOUT_RESPONSE)
        TRY(attribute_add(xml, "InResponseTo", fields->answers));
    TRY(instant_attribute(xml, now));
    if (fields->kind == MG_SAML_AUTHN_REQUEST)
        TRY(mg_buffer_add_text(xml, " ProtocolBinding=\"" BINDING "HTTP-POST\""));
    TRY(mg_buffer_add_text(xml, " Version=\"2.0\">"));
    return element_add(xml, "<saml:Issuer xmlns:saml=\"" ASSERTION "\">", fields->issuer, "</saml:Issuer>");
}

static CHECKED struct mg_status
logout_add(const struct mg_request_saml_sign *fields, struct mg_buffer *xml)
{
    TRY(mg_buffer_add_text(xml, "<saml:NameID xmlns:saml=\"" ASSERTION "\""));
    TRY(attribute_add(xml, "Format", fields->name_format));
    TRY(attribute_add(xml, "NameQualifier", fields->qualifier));
    TRY(attribute_add(xml, "SPNameQualifier", fields->sp_qualifier));
    TRY(element_add(xml, ">", fields->name_id, "</saml:NameID>"));
    return fields->session_index.length == 0
               ? OK
               : element_add(xml, "<samlp:SessionIndex>", fields->session_index, "</samlp:SessionIndex>");
}

struct mg_status
mg_saml_message(const struct mg_request_saml_sign *fields, mg_instant now, struct mg_view signature,
                struct mg_buffer *xml)
{
    TRY(start_add(fields, now, xml));
    TRY(mg_buffer_add(xml, signature));
    if (fields->kind == MG_SAML_AUTHN_REQUEST) {
        TRY(mg_buffer_add_text(xml, "<samlp:NameIDPolicy AllowCreate=\"true\""));
        TRY(attribute_add(xml, "Format", fields->asked_format));
        TRY(mg_buffer_add_text(xml, "></samlp:NameIDPolicy>"));
        TRY(classes_add(xml, fields->classes));
    } else if (fields->kind == MG_SAML_LOGOUT_REQUEST)
        TRY(logout_add(fields, xml));
    else
        TRY(mg_buffer_format(
            xml,
            "<samlp:Status><samlp:StatusCode "
            "Value=\"urn:oasis:names:tc:SAML:2.0:status:%s\"></samlp:StatusCode></samlp:Status>",
            fields->success ? "Success" : "Requester"));
    return mg_buffer_format(xml, "</%s>", element_of(fields->kind));
}

struct mg_status
mg_saml_signed_info(struct mg_view identifier, const uint8_t digest[32], bool standing_alone,
                    struct mg_buffer *xml)
{
    TRY(mg_buffer_format(xml, "<ds:SignedInfo%s>", standing_alone ? " xmlns:ds=\"" DSIG "\"" : ""));
    TRY(mg_buffer_add_text(xml, "<ds:CanonicalizationMethod Algorithm=\"" EXCLUSIVE "\">"
                                "</ds:CanonicalizationMethod>"
                                "<ds:SignatureMethod Algorithm=\"" RSA_SHA256 "\"></ds:SignatureMethod>"
                                "<ds:Reference URI=\"#"));
    TRY(text_add(xml, identifier, true));
    TRY(mg_buffer_add_text(xml, "\"><ds:Transforms><ds:Transform Algorithm=\"" DSIG "enveloped-signature\">"
                                "</ds:Transform><ds:Transform Algorithm=\"" EXCLUSIVE "\"></ds:Transform>"
                                "</ds:Transforms><ds:DigestMethod Algorithm=\"" SHA256 "\"></ds:DigestMethod>"
                                "<ds:DigestValue>"));
    TRY(mg_base64(mg_view_of(digest, 32), xml));
    return mg_buffer_add_text(xml, "</ds:DigestValue></ds:Reference></ds:SignedInfo>");
}

struct mg_status
mg_saml_signature(struct mg_view identifier, const uint8_t digest[32], struct mg_view value,
                  struct mg_buffer *xml)
{
    TRY(mg_buffer_add_text(xml, "<ds:Signature xmlns:ds=\"" DSIG "\">"));
    TRY(mg_saml_signed_info(identifier, digest, false, xml));
    TRY(mg_buffer_add_text(xml, "<ds:SignatureValue>"));
    TRY(mg_base64(value, xml));
    return mg_buffer_add_text(xml, "</ds:SignatureValue></ds:Signature>");
}

struct mg_status
mg_saml_redirect_query(const struct mg_request_saml_sign *fields, struct mg_view xml, struct mg_buffer *query)
{
    OWN_BUFFER(deflated, MG_SAML_XML_MOST + 8);
    OWN_BUFFER(text, 2 * MG_SAML_XML_MOST);
    if (xml.length > MG_SAML_XML_MOST)
        return fail_with(TOO_LARGE, "a SAML message of ours");
    const uint8_t head[] = {1, (uint8_t) xml.length, (uint8_t) (xml.length >> 8), (uint8_t) ~xml.length,
                            (uint8_t) (~xml.length >> 8)};
    TRY(mg_buffer_add(&deflated, mg_view_of(head, sizeof head)));
    TRY(mg_buffer_add(&deflated, xml));
    TRY(mg_base64(mg_buffer_view(&deflated), &text));
    TRY(mg_buffer_add_text(query,
                           fields->kind == MG_SAML_LOGOUT_RESPONSE ? "SAMLResponse=" : "SAMLRequest="));
    TRY(mg_buffer_add_encoded(query, mg_buffer_view(&text)));
    if (fields->relay_state.length != 0) {
        TRY(mg_buffer_add_text(query, "&RelayState="));
        TRY(mg_buffer_add_encoded(query, fields->relay_state));
    }
    return OK;
}

struct mg_status
mg_saml_redirect_input(const struct mg_request_saml_sign *fields, struct mg_view xml, struct mg_buffer *query)
{
    TRY(mg_saml_redirect_query(fields, xml, query));
    TRY(mg_buffer_add_text(query, "&SigAlg="));
    return mg_buffer_add_encoded(query, mg_view_text(RSA_SHA256));
}

/* ---- metadata ---- */

static CHECKED struct mg_status
key_add(struct mg_buffer *xml, const char *use, struct mg_view certificate)
{
    if (certificate.length == 0)
        return OK;
    TRY(mg_buffer_format(xml,
                         "<md:KeyDescriptor use=\"%s\"><ds:KeyInfo xmlns:ds=\"" DSIG
                         "\"><ds:X509Data><ds:X509Certificate>",
                         use));
    TRY(mg_base64(certificate, xml));
    TRY(mg_buffer_add_text(xml, "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"));
    if (strcmp(use, "encryption") == 0)
        TRY(mg_buffer_add_text(
            xml, "<md:EncryptionMethod Algorithm=\"http://www.w3.org/2009/xmlenc11#aes256-gcm\"/>"
                 "<md:EncryptionMethod Algorithm=\"http://www.w3.org/2009/xmlenc11#aes128-gcm\"/>"
                 "<md:EncryptionMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p\"/>"));
    return mg_buffer_add_text(xml, "</md:KeyDescriptor>");
}

static CHECKED struct mg_status
place_add(struct mg_buffer *xml, const char *element, const char *binding, struct mg_view place,
          const char *more)
{
    TRY(mg_buffer_format(xml, "<md:%s Binding=\"" BINDING "%s\"", element, binding));
    TRY(attribute_add(xml, "Location", place));
    return mg_buffer_format(xml, "%s/>", more);
}

struct mg_status
mg_saml_metadata(const struct mg_saml_metadata *metadata, struct mg_buffer *xml)
{
    TRY(mg_buffer_add_text(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                                "<md:EntityDescriptor xmlns:md=\"" METADATA "\""));
    TRY(attribute_add(xml, "entityID", metadata->entity));
    TRY(mg_buffer_format(xml,
                         "><md:SPSSODescriptor AuthnRequestsSigned=\"%s\" WantAssertionsSigned=\"true\""
                         " protocolSupportEnumeration=\"" PROTOCOL "\">",
                         metadata->signs_requests ? "true" : "false"));
    for (size_t i = 0; i < MG_COUNT(metadata->signing); i++)
        TRY(key_add(xml, "signing", metadata->signing[i]));
    for (size_t i = 0; i < MG_COUNT(metadata->encryption); i++)
        TRY(key_add(xml, "encryption", metadata->encryption[i]));
    TRY(place_add(xml, "SingleLogoutService", "HTTP-Redirect", metadata->logout, ""));
    TRY(place_add(xml, "SingleLogoutService", "HTTP-POST", metadata->logout, ""));
    TRY(place_add(xml, "AssertionConsumerService", "HTTP-POST", metadata->consumer,
                  " index=\"0\" isDefault=\"true\""));
    return mg_buffer_add_text(xml, "</md:SPSSODescriptor></md:EntityDescriptor>\n");
}
